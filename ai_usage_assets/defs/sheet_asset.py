"""The mapping sheet as one Dagster asset.

It never fails the run: spend does not depend on the sheet, and the message tells finance what to fix.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.defs.stages import Stage
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.sheet import VENDOR, read_sheet
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet.tabs import TabSnapshot
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET


@dg.asset(
    name=RAW_MAPPING_SHEET.name,
    description=RAW_MAPPING_SHEET.description,
    group_name="raw_sheet",
    kinds={"python", "googlesheets"},
    owners=["team:finance", "team:platform"],
    metadata=RAW_MAPPING_SHEET.ui_metadata(),
    op_tags=Stage.EXTRACT.tags,
    # A sheet that is not configured, or cannot be read, is not materialized.
    output_required=False,
    required_resource_keys=STEP_RESOURCES | {VENDOR},
)
def mapping_sheet(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    """Reads all tabs of the sheet once per run."""
    settings: Settings = context.resources.settings
    run = RunContext(context.run.run_id, settings.now(), settings.accept_loss)
    snapshots = read_sheet(context.resources.warehouse, context.resources.sheet, run, context.log)
    if snapshots:
        yield dg.MaterializeResult(metadata={"tabs": dg.MetadataValue.md(_tab_table(snapshots))})


def _tab_table(snapshots: Sequence[TabSnapshot]) -> str:
    lines = ["| tab | rows | rejected | note |", "| --- | ---: | ---: | --- |"]
    for snapshot in snapshots:
        notes = [snapshot.rejection] if snapshot.rejection else list(snapshot.warnings)
        notes += [f"row {row.row_no}: {row.reject_reason}" for row in snapshot.rejected]
        note = "<br>".join(str(text).replace("|", "\\|") for text in notes)
        lines.append(f"| {snapshot.tab} | {len(snapshot.accepted)} | {len(snapshot.rejected)} | {note} |")
    return "\n".join(lines)
