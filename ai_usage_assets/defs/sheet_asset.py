"""The mapping sheet as one Dagster asset.

An invalid tab (no header, suddenly empty, more than 30% of its rows missing) is rejected: its last good version stays
in use, the other tabs are loaded, and the check `tabs_valid` reports it. If the sheet cannot be read, the last good
version of every tab stays in use. None of this fails the run, because spend does not depend on the sheet, and the
message tells finance what to fix.
"""

from collections.abc import Sequence

import dagster as dg

from ai_usage_assets.defs.resources import STEP_RESOURCES
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.sheet import VENDOR, load_sheet, load_versions, log_unread_sheet
from ai_usage_assets.redaction import redact
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, TabSnapshot
from ai_usage_assets.sources.mapping_sheet.validation import validate_tab
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET


@dg.asset(
    name=RAW_MAPPING_SHEET.name,
    description=RAW_MAPPING_SHEET.description,
    group_name="raw_sheet",
    kinds={"python", "googlesheets"},
    owners=["team:finance", "team:platform"],
    metadata=RAW_MAPPING_SHEET.ui_metadata(),
    required_resource_keys=STEP_RESOURCES | {VENDOR},
)
def mapping_sheet(context: dg.AssetExecutionContext) -> None:
    """Reads all tabs of the sheet once per run."""
    settings: Settings = context.resources.settings
    run = RunContext(context.run.run_id, settings.now(), settings.accept_loss)
    sheet: MappingSheet | None = context.resources.sheet
    warehouse: Warehouse = context.resources.warehouse
    versions = load_versions(warehouse)
    if sheet is None:
        message = "AI_USAGE_SHEET_ID is not set, so spend has no teams and cost centers."
        context.log.info(message)
        log_unread_sheet(warehouse, list(TABS), versions, run, "not_configured", message)
        return
    # A request can take seconds; other processes can use the warehouse meanwhile.
    warehouse.close()
    try:
        values = sheet.read()
    except (ApiError, SecretError) as error:
        reason = redact(str(error))
        log_unread_sheet(warehouse, list(TABS), versions, run, "failed", reason)
        effect = "Its last good version stays in use" if versions else "Spend has no teams and cost centers"
        context.log.warning(
            f"The mapping sheet could not be read. {effect}. {reason}", extra={"event": "source_fetch_failed"}
        )
        return
    snapshots = [
        validate_tab(
            tab,
            values[tab],
            last_good_row_count=versions[tab].row_count if tab in versions else None,
            today=run.now.date(),
            accept_loss=run.accept_loss,
        )
        for tab in TABS
    ]
    load_sheet(warehouse, snapshots, run)
    for snapshot in snapshots:
        log = context.log.error if snapshot.rejection else context.log.info
        log(f"tab {snapshot.tab}: {_summarize(snapshot)}")
    context.add_asset_metadata({"tabs": dg.MetadataValue.md(_tab_table(snapshots))})


def _summarize(snapshot: TabSnapshot) -> str:
    if snapshot.rejection:
        return f"rejected, its last good version stays in use: {snapshot.rejection}"
    rejected = f", {len(snapshot.rejected)} rejected" if snapshot.rejected else ""
    return f"{format_count(len(snapshot.accepted), 'row')}{rejected}"


def _tab_table(snapshots: Sequence[TabSnapshot]) -> str:
    lines = ["| tab | rows | rejected | note |", "| --- | ---: | ---: | --- |"]
    for snapshot in snapshots:
        notes = [snapshot.rejection] if snapshot.rejection else list(snapshot.warnings)
        notes += [f"row {row.row_no}: {row.reject_reason}" for row in snapshot.rejected]
        note = "<br>".join(str(text).replace("|", "\\|") for text in notes)
        lines.append(f"| {snapshot.tab} | {len(snapshot.accepted)} | {len(snapshot.rejected)} | {note} |")
    return "\n".join(lines)
