"""Every asset check as a Dagster definition. Results are also stored in `ops_check_results`.

Messages contain days, ids and dollars, and no e-mail addresses.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from ai_usage_assets import catalog, days
from ai_usage_assets.checks import freshness, spend
from ai_usage_assets.checks.base import Check, CheckContext
from ai_usage_assets.checks.completeness import DAYS_COMPLETE, loaded_days_published
from ai_usage_assets.checks.facts import known_fields, schema_checks
from ai_usage_assets.checks.results import CheckResult, evaluate_checks
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.finance.close.checks import CLOSED_MONTHS_UNCHANGED
from ai_usage_assets.registry import load_sources
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet import checks as mapping_sheet
from ai_usage_assets.warehouse.base import Warehouse

_MAX_FINDINGS_LISTED = 100


def _all_checks() -> Iterator[Check]:
    sources = load_sources()
    source_checks = [*(source.load_checks() for source in sources), mapping_sheet.CHECKS]
    for checks in source_checks:
        yield from checks.checks
    for extract in (extract for source in sources for extract in source.extracts):
        yield from (known_fields(table, fields) for table, fields in extract.known_fields.items())
    unique_keys = {table: key for checks in source_checks for table, key in checks.unique_keys.items()}
    yield from schema_checks(catalog.models(), unique_keys)
    yield from spend.CHECKS
    yield from freshness.CHECKS
    yield DAYS_COMPLETE
    published_from = {model: raw for checks in source_checks for model, raw in checks.published_from.items()}
    yield loaded_days_published(published_from)
    yield CLOSED_MONTHS_UNCHANGED


CHECKS = tuple(_all_checks())


def build_asset_checks() -> list[dg.AssetChecksDefinition]:
    """The Dagster definitions of all checks. Those of one asset share a step: a step takes longer than a check."""
    by_asset: dict[str, list[Check]] = {}
    for check in CHECKS:
        by_asset.setdefault(check.asset, []).append(check)
    return [_build_checks(asset, checks) for asset, checks in by_asset.items()]


def _build_checks(asset: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
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
        # Lets the UI execute a single check.
        can_subset=True,
        required_resource_keys=set(STEP_RESOURCES),
    )
    def run(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        settings: Settings = context.resources.settings
        warehouse: Warehouse = context.resources.warehouse
        today = settings.now().date()
        all_days = DayRange(min(settings.start_date, today), today)
        check_context = CheckContext(warehouse, days.range_from_tags(context.run.tags) or all_days, today)
        # All are stored first: Dagster ends the step at the first failed blocking check.
        results = evaluate_checks([c for c in checks if c.name in selected], check_context, context.run.run_id)
        yield from (_to_dagster(result, check_context.days) for result in results)

    return run


def _to_dagster(result: CheckResult, checked_days: DayRange) -> dg.AssetCheckResult:
    # The UI plots numbers over time.
    metadata: dict[str, Any] = {"days": str(checked_days), "finding_count": len(result.findings)}
    if result.amount_usd is not None:
        metadata["affected_usd"] = f"{result.amount_usd:,.2f}"
    if result.findings:
        lines = [f"* {finding.message}" for finding in result.findings[:_MAX_FINDINGS_LISTED]]
        metadata["findings"] = dg.MetadataValue.md("\n".join(lines))
    return dg.AssetCheckResult(
        asset_key=result.check.asset,
        check_name=result.check.name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity(result.severity),
        description=result.message,
        metadata=metadata,
    )
