"""One Dagster multi-asset per extract, with one asset per raw table.

The step fails if a day failed. Then only the days that were loaded are materialized.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg

from ai_usage_assets import catalog
from ai_usage_assets.days import range_from_tags
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.defs.stages import Stage
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.days import describe_failure, load_days
from ai_usage_assets.landing.extracts import LandingResult
from ai_usage_assets.registry import load_source
from ai_usage_assets.rendering.text import format_count, format_usd
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.base import Extract

_MAX_DAYS_LISTED = 62


def build_raw_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Returns the multi-asset of every extract."""
    return [_build_asset(extract, partitions) for extract in catalog.EXTRACTS]


def _build_asset(extract: Extract, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=extract.name,
        specs=[
            dg.AssetSpec(
                table.name,
                description=table.description,
                group_name=f"raw_{extract.vendor}",
                kinds={"python", extract.vendor},
                owners=["team:platform"],
                metadata=table.ui_metadata(),
                # A table without a loaded day is not materialized.
                skippable=True,
            )
            for table in extract.tables
        ],
        op_tags=(Stage.EXTRACT_BILLS if load_source(extract.vendor).is_bill(extract) else Stage.EXTRACT).tags,
        partitions_def=None if extract.is_snapshot else partitions,
        backfill_policy=None if extract.is_snapshot else dg.BackfillPolicy.single_run(),
        required_resource_keys=STEP_RESOURCES | {extract.vendor},
    )
    def load(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization]:
        settings: Settings = context.resources.settings
        run = RunContext(context.run.run_id, settings.now(), settings.accept_loss)
        if not extract.is_snapshot and range_from_tags(context.run.tags) is None:
            raise dg.Failure(
                description=f"{extract.name}: the run has no days. Use `ai-usage run` or select a partition in the UI.",
                allow_retries=False,
            )
        days = [run.now.date()] if extract.is_snapshot else [date.fromisoformat(key) for key in context.partition_keys]
        client = getattr(context.resources, extract.vendor)
        results = load_days(context.resources.warehouse, extract, client, days, run, context.log)
        yield from _report_results(context, extract, results)
        if description := describe_failure(extract, results):
            raise dg.Failure(
                description=description,
                metadata={
                    "days": dg.MetadataValue.md(_day_table(results)),
                    "cause": next(str(r.entry["message"]) for r in results if r.entry["status"] == "failed"),
                },
                allow_retries=False,
            )

    return load


def _report_results(
    context: dg.AssetExecutionContext, extract: Extract, results: Sequence[LandingResult]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetMaterialization]:
    """Materializes the loaded days of each table."""
    failed = [result.entry for result in results if result.entry["status"] == "failed"]
    # If no day was loaded, the failure of the step says everything.
    for entry in failed if len(failed) < len(results) else ():
        labels = {"asset": entry["asset"], "day": str(entry["usage_date"])}
        context.log.error(
            f"{entry['asset']} {entry['usage_date']} failed: {entry['message']}",
            extra={"event": "source_fetch_failed", "labels": labels},
        )
    for table in extract.tables:
        table_results = [result for result in results if result.entry["asset"] == table.name]
        context.log.info(f"{table.name}: {_summarize(table_results)}", extra={"labels": {"asset": table.name}})
        loaded = [result for result in table_results if result.is_loaded]
        if len(loaded) < len(table_results):
            # A result of the asset would materialize every day of the run.
            for result in loaded:
                yield dg.AssetMaterialization(
                    table.name, metadata=_day_metadata(result), partition=_partition(extract, result)
                )
            continue
        for result in loaded:
            context.add_asset_metadata(
                _day_metadata(result), asset_key=dg.AssetKey(table.name), partition_key=_partition(extract, result)
            )
        days_metadata = {"days": dg.MetadataValue.md(_day_table(table_results))}
        yield dg.MaterializeResult(asset_key=table.name, metadata=days_metadata)


def _partition(extract: Extract, result: LandingResult) -> str | None:
    return None if extract.is_snapshot else result.entry["usage_date"].isoformat()


def _day_metadata(result: LandingResult) -> dict[str, Any]:
    entry = result.entry
    metadata: dict[str, Any] = {
        "status": entry["status"],
        "changed": result.changed,
        "dagster/partition_row_count": entry["records"] or 0,
    }
    if entry["amount_usd"] is not None:
        metadata["amount_usd"] = f"{entry['amount_usd']:,.2f}"
    optional = {"pages": entry["pages"], "expected_records": entry["expected_records"], "message": entry["message"]}
    metadata |= {name: value for name, value in optional.items() if value is not None}
    if entry["watermark"] is not None:
        metadata["watermark"] = entry["watermark"].isoformat()
    return metadata


def _summarize(results: Sequence[LandingResult]) -> str:
    entries = [result.entry for result in results]
    parts = [
        format_count(len(entries), "day"),
        format_count(sum(entry["records"] or 0 for entry in entries), "record"),
    ]
    amount_usd = sum_known(entry["amount_usd"] for entry in entries)
    if amount_usd is not None:
        parts.append(format_usd(amount_usd))
    parts.append(f"{sum(result.changed for result in results)} changed")
    statuses = sorted({entry["status"].replace("_", " ") for entry in entries if entry["status"] != "complete"})
    if statuses:
        parts.append(", ".join(statuses))
    return ", ".join(parts)


def _day_table(results: Sequence[LandingResult]) -> str:
    lines = ["| day | table | status | records | USD | pages | watermark | note |", "|---|---|---|--:|--:|--:|---|---|"]
    # Dagster stores this table with every day of the range, so a long range lists only days that need attention.
    incomplete = [result for result in results if result.entry["status"] != "complete"]
    listed = results if len(results) <= _MAX_DAYS_LISTED else incomplete
    for result in listed[:_MAX_DAYS_LISTED]:
        entry = result.entry
        amount = f"{entry['amount_usd']:,.2f}" if entry["amount_usd"] is not None else ""
        watermark = entry["watermark"].strftime("%Y-%m-%d %H:%M") if entry["watermark"] else ""
        lines.append(
            f"| {entry['usage_date']} | {entry['asset']} | {entry['status']} | {entry['records'] or 0:,} | {amount} "
            f"| {entry['pages'] or ''} | {watermark} | {entry['message'] or ('new' if result.changed else '')} |"
        )
    if len(results) > _MAX_DAYS_LISTED:
        lines.append(f"\n{len(results)} days and tables in total; {len(incomplete)} of them are not complete.")
    return "\n".join(lines)
