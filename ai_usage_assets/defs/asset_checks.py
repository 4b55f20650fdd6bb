"""What must hold, and what stops the line.

Belongs here: every asset check as Dagster knows it, and what it tells the person who finds it red: what is wrong, how
much money it touches, what to do. Does not: the checks themselves: `money` has those that stop the line because
published dollars would be wrong, `attention` those where a person should look. Results are also kept in
`ops_check_results`. Messages carry days, ids and dollars, never e-mail addresses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import dagster as dg

from ai_usage_assets import days
from ai_usage_assets.checks import attention, money
from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.days import DayRange
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS

__all__ = ["CHECKS", "Check", "CheckContext", "Finding", "asset_checks"]

CHECKS: tuple[Check, ...] = (*money.CHECKS, *attention.CHECKS)

# A message is read by a person; the metadata has the rest.
_FINDINGS_NAMED = 5
_FINDINGS_LISTED = 100


def asset_checks() -> list[dg.AssetChecksDefinition]:
    """Every check as Dagster knows it, those of an asset in one step: a step costs more than a check."""
    by_asset: dict[str, list[Check]] = {}
    for check in CHECKS:
        by_asset.setdefault(check.asset, []).append(check)
    return [_definition(asset, checks) for asset, checks in by_asset.items()]


def _definition(asset: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"check_{asset}",
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=asset,
                description=f"{check.expectation} If not: {check.advice}",
                blocking=check.blocking,
                additional_deps=list(check.additional_deps),
            )
            for check in checks
        ],
        # A person may execute one of them from the UI.
        can_subset=True,
        required_resource_keys={"warehouse", "settings"},
    )
    def run(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        chosen = {key.name for key in context.selected_asset_check_keys}
        settings: Settings = context.resources.settings
        warehouse: Warehouse = context.resources.warehouse
        today = settings.now().date()
        everything = DayRange(min(settings.start_date, today), today)
        check_context = CheckContext(warehouse, days.range_from_tags(context.run.tags) or everything, today)
        evaluated = [_evaluate(check, check_context) for check in checks if check.name in chosen]
        # Before Dagster is told: it ends the step at the first that must block.
        warehouse.upsert(
            OPS_CHECK_RESULTS,
            ("run_id", "asset", "check_name"),
            [{**row, "run_id": context.run.run_id} for _, row in evaluated],
        )
        yield from (result for result, _ in evaluated)

    return run


def _evaluate(check: Check, check_context: CheckContext) -> tuple[dg.AssetCheckResult, Row]:
    """What Dagster is told of a check, and what the warehouse keeps."""
    severity = dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN
    # A person may have named a key after an e-mail address; names are quoted, addresses never.
    findings = [replace(finding, message=redact(finding.message)) for finding in check.run(check_context)]
    passed = not findings
    message = check.expectation if passed else f"{_told(findings)} {check.advice}"
    amounts = [finding.amount_usd for finding in findings if finding.amount_usd is not None]
    touched = sum(amounts, Decimal(0)) if amounts else None
    metadata: dict[str, Any] = {"days": str(check_context.days)}
    if touched is not None:
        metadata["touches_usd"] = f"{touched:,.2f}"
    if findings:
        lines = [f"* {finding.message}" for finding in findings[:_FINDINGS_LISTED]]
        metadata["findings"] = dg.MetadataValue.md("\n".join(lines))
    result = dg.AssetCheckResult(
        asset_key=check.asset,
        check_name=check.name,
        passed=passed,
        severity=severity,
        description=message,
        metadata=metadata,
    )
    return result, {
        "checked_at": datetime.now(UTC),
        "asset": check.asset,
        "check_name": check.name,
        "passed": passed,
        "severity": severity.value,
        "blocking": check.blocking,
        "amount_usd": touched,
        "message": message,
        "looks_at": check.scope,
    }


def _told(findings: Sequence[Finding]) -> str:
    named = "; ".join(finding.message for finding in findings[:_FINDINGS_NAMED])
    more = len(findings) - _FINDINGS_NAMED
    return f"{named}; and {more} more." if more > 0 else f"{named}."
