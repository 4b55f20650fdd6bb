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
from ai_usage_assets.checks.facts import attribution_preserves_totals, known_fields, schema_checks
from ai_usage_assets.checks.results import CheckResult, evaluate_checks
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.stages import Stage, build_step
from ai_usage_assets.finance.close.checks import CLOSED_MONTHS_UNCHANGED
from ai_usage_assets.registry import load_sources
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet import checks as mapping_sheet
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET

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
    yield attribution_preserves_totals([source.name for source in sources])
    yield from spend.CHECKS
    yield from freshness.CHECKS
    yield DAYS_COMPLETE
    published_from = {model: raw for checks in source_checks for model, raw in checks.published_from.items()}
    yield loaded_days_published(published_from)
    yield CLOSED_MONTHS_UNCHANGED


CHECKS = tuple(_all_checks())
_SOURCE_OF_RAW_TABLE = {
    RAW_MAPPING_SHEET.name: "sheet",
    **{table.name: extract.vendor for extract in catalog.EXTRACTS for table in extract.tables},
}
_REFERENCE_MODELS = {model.name for model in catalog.models() if not model.reads}


def build_asset_checks() -> list[dg.AssetsDefinition]:
    """The Dagster definitions of all checks: a step for the records of each source, and a step for the models.

    Checks share steps because a step takes longer than a check.
    """
    records: dict[str, list[Check]] = {}
    models: list[Check] = []
    for check in CHECKS:
        # A check of records that also reads models is evaluated after they are built.
        source = _SOURCE_OF_RAW_TABLE.get(check.asset)
        if source and {*check.additional_deps} <= {*_SOURCE_OF_RAW_TABLE, *_REFERENCE_MODELS}:
            records.setdefault(source, []).append(check)
        else:
            models.append(check)
    return [
        *(_build_checks(Stage.CHECK_RECORDS, f"{source}_records", checks) for source, checks in records.items()),
        _build_checks(Stage.CHECK_MODELS, "models", models),
    ]


def _build_checks(stage: Stage, subject: str, checks: Sequence[Check]) -> dg.AssetsDefinition:
    def run(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {(key.asset_key.to_user_string(), key.name) for key in context.selected_asset_check_keys}
        settings: Settings = context.resources.settings
        warehouse: Warehouse = context.resources.warehouse
        today = settings.now().date()
        all_days = DayRange(min(settings.start_date, today), today)
        check_context = CheckContext(warehouse, days.range_from_tags(context.run.tags) or all_days, today)
        chosen = [check for check in checks if (check.asset, check.name) in selected]
        for result in evaluate_checks(chosen, check_context, context.run.run_id):
            yield _to_dagster(result, check_context.days)

    return build_step(
        stage,
        f"check_{subject}",
        run,
        check_specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=check.asset,
                description=f"{check.expectation} If not: {check.advice}",
                blocking=check.blocking,
                additional_deps=list(check.additional_deps),
            )
            for check in checks
        ],
    )


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
