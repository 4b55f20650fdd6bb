"""Every asset check as a Dagster definition. Results are also stored in `ops_check_results`.

Messages contain days, ids and dollars, and no e-mail addresses.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ai_usage_assets import catalog, days
from ai_usage_assets.checks import freshness, spend
from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.checks.completeness import DAYS_COMPLETE, loaded_days_published
from ai_usage_assets.checks.facts import known_fields, schema_checks
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.finance.amounts import sum_known
from ai_usage_assets.finance.close.checks import CLOSED_MONTHS_UNCHANGED
from ai_usage_assets.redaction import redact
from ai_usage_assets.registry import load_sources
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet import checks as mapping_sheet
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS

# The message names the first findings, the metadata lists more of them.
_FINDINGS_IN_MESSAGE = 5
_FINDINGS_IN_METADATA = 100


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
        results = [_evaluate(check, check_context) for check in checks if check.name in selected]
        # Stored first: Dagster ends the step at the first failed blocking check.
        warehouse.upsert(
            OPS_CHECK_RESULTS,
            ("run_id", "asset", "check_name"),
            [{**row, "run_id": context.run.run_id} for _, row in results],
        )
        yield from (result for result, _ in results)

    return run


def _evaluate(check: Check, context: CheckContext) -> tuple[dg.AssetCheckResult, Row]:
    """Runs a check. Returns its Dagster result and its row of `ops_check_results`."""
    severity = dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN
    # Findings quote names, and a key can be named after an e-mail address.
    findings = [replace(finding, message=redact(finding.message)) for finding in check.run(context)]
    passed = not findings
    message = check.expectation if passed else f"{_summarize(findings)} {check.advice}"
    amount_usd = sum_known(finding.amount_usd for finding in findings)
    # The UI plots numbers over time.
    metadata: dict[str, Any] = {"days": str(context.days), "finding_count": len(findings)}
    if amount_usd is not None:
        metadata["affected_usd"] = f"{amount_usd:,.2f}"
    if findings:
        lines = [f"* {finding.message}" for finding in findings[:_FINDINGS_IN_METADATA]]
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
        "amount_usd": amount_usd,
        "message": message,
        "scope": check.scope,
    }


def _summarize(findings: Sequence[Finding]) -> str:
    first = "; ".join(finding.message for finding in findings[:_FINDINGS_IN_MESSAGE])
    more = len(findings) - _FINDINGS_IN_MESSAGE
    return f"{first}; and {more} more." if more > 0 else f"{first}."
