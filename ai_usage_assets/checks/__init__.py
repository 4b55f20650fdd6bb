"""What must hold, and what stops the line.

Belongs here: every asset check as Dagster knows it, and what it tells the person who finds it red: what is wrong, how
much money it touches, what to do. Does not: the checks themselves: `money` has those that stop the line because
published dollars would be wrong, `attention` those where a person should look. Results are also kept in
`ops_check_results`. Messages carry days, ids and dollars, never e-mail addresses.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import dagster as dg

from ai_usage_assets import days
from ai_usage_assets.checks import attention, money
from ai_usage_assets.checks.base import Check, Finding, Subject
from ai_usage_assets.days import DayRange
from ai_usage_assets.redaction import redact
from ai_usage_assets.schemas import OPS_CHECK_RESULTS
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouses import Warehouse

__all__ = ["CHECKS", "Check", "Finding", "Subject", "asset_checks"]

CHECKS: tuple[Check, ...] = (*money.CHECKS, *attention.CHECKS)

# A message is read by a person; the metadata has the rest.
_FINDINGS_NAMED = 5
_FINDINGS_LISTED = 100


def asset_checks() -> list[dg.AssetChecksDefinition]:
    """Every check as Dagster knows it."""
    return [_definition(check) for check in CHECKS]


def _definition(check: Check) -> dg.AssetChecksDefinition:
    severity = dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN

    @dg.asset_check(
        asset=check.asset,
        name=check.name,
        description=f"{check.holds} {check.advice}",
        blocking=check.blocking,
        additional_deps=list(check.after),
        required_resource_keys={"warehouse", "settings"},
    )
    def run(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        settings: Settings = context.resources.settings
        warehouse: Warehouse = context.resources.warehouse
        today = settings.now().date()
        everything = DayRange(min(settings.start_date, today), today)
        chosen = days.of_run(context.run.tags) or everything
        # A person may have named a key after an e-mail address; names are quoted, addresses never.
        found = check.find(Subject(warehouse, chosen, today))
        findings = [replace(finding, line=redact(finding.line)) for finding in found]
        passed = not findings
        message = check.holds if passed else f"{_told(findings)} {check.advice}"
        amounts = [finding.amount_usd for finding in findings if finding.amount_usd is not None]
        touched = sum(amounts, Decimal(0)) if amounts else None
        warehouse.upsert(
            OPS_CHECK_RESULTS,
            ("run_id", "asset", "check_name"),
            [
                {
                    "run_id": context.run.run_id,
                    "checked_at": datetime.now(UTC),
                    "asset": check.asset,
                    "check_name": check.name,
                    "passed": passed,
                    "severity": severity.value,
                    "blocking": check.blocking,
                    "amount_usd": touched,
                    "message": message,
                }
            ],
        )
        metadata: dict[str, Any] = {"days": str(chosen)}
        if touched is not None:
            metadata["touches_usd"] = f"{touched:,.2f}"
        if findings:
            metadata["findings"] = dg.MetadataValue.md(
                "\n".join(f"* {finding.line}" for finding in findings[:_FINDINGS_LISTED])
            )
        return dg.AssetCheckResult(passed=passed, severity=severity, description=message, metadata=metadata)

    return run


def _told(findings: Sequence[Finding]) -> str:
    named = "; ".join(finding.line for finding in findings[:_FINDINGS_NAMED])
    more = len(findings) - _FINDINGS_NAMED
    return f"{named}; and {more} more." if more > 0 else f"{named}."
