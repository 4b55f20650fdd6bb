"""Evaluates checks and stores their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.redaction import redact
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS
from ai_usage_assets.warehouse.sql_files import read_query

# The message names the first findings only.
_FINDINGS_IN_MESSAGE = 5


@dataclass(frozen=True)
class CheckResult:
    """The findings of one check, without e-mail addresses and keys, and when it was evaluated."""

    check: Check
    findings: Sequence[Finding]
    checked_at: datetime

    @property
    def passed(self) -> bool:
        """Whether the check has no finding."""
        return not self.findings

    @property
    def severity(self) -> Literal["ERROR", "WARN"]:
        """How severe a finding of the check is, in Dagster's words."""
        return "ERROR" if self.check.blocking else "WARN"

    @property
    def amount_usd(self) -> Decimal | None:
        """The dollars of all findings; None when none affects money."""
        return sum_known(finding.amount_usd for finding in self.findings)

    @property
    def message(self) -> str:
        """The first findings with the advice, or the expectation that is met."""
        if self.passed:
            return self.check.expectation
        first = "; ".join(finding.message for finding in self.findings[:_FINDINGS_IN_MESSAGE])
        more = len(self.findings) - _FINDINGS_IN_MESSAGE
        return f"{first}; and {more} more. {self.check.advice}" if more > 0 else f"{first}. {self.check.advice}"

    def to_row(self, run_id: str) -> Row:
        """The row of `ops_check_results`."""
        return {
            "run_id": run_id,
            "checked_at": self.checked_at,
            "asset": self.check.asset,
            "check_name": self.check.name,
            "passed": self.passed,
            "severity": self.severity,
            "blocking": self.check.blocking,
            "amount_usd": self.amount_usd,
            "message": self.message,
            "scope": self.check.scope,
        }


def evaluate_checks(checks: Iterable[Check], context: CheckContext, run_id: str) -> list[CheckResult]:
    """Runs the checks, side by side where the warehouse can, and stores their results for the run.

    Raises WarehouseError.
    """
    with ThreadPoolExecutor(context.warehouse.parallel_statements) as pool:
        # Each with the labels of this thread.
        evaluations = [pool.submit(copy_context().run, _evaluate, check, context) for check in checks]
    results = [evaluation.result() for evaluation in evaluations]
    rows = [result.to_row(run_id) for result in results]
    context.warehouse.upsert(OPS_CHECK_RESULTS, ("run_id", "asset", "check_name"), rows)
    return results


def find_failed_blocking_checks(warehouse: Warehouse, run_id: str) -> dict[str, str]:
    """The failed blocking checks of a run so far: for each asset, a text that names them and their findings."""
    rows = warehouse.rows(read_query("checks/failed_blocking"), {"run_id": run_id})
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["asset"], []).append(f"{row['check_name']} of {row['asset']} failed: {row['message']}")
    return {asset: " ".join(texts) for asset, texts in reasons.items()}


def _evaluate(check: Check, context: CheckContext) -> CheckResult:
    try:
        with context.warehouse.label_jobs(asset=check.asset):
            findings = check.run(context)
    except Exception as error:  # noqa: BLE001 - a check that cannot be evaluated must not stop the others
        findings = [Finding(f"the check could not be evaluated: {type(error).__name__}: {error}")]
    # Findings quote names, and a key can be named after an e-mail address.
    redacted = [replace(finding, message=redact(finding.message)) for finding in findings]
    return CheckResult(check, redacted, datetime.now(UTC))
