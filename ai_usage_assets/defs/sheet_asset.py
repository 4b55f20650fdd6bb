"""The mapping sheet as one asset: what was read becomes an immutable version, or the last good one goes on serving.

Belongs here: when a tab's content becomes a new version, and how each tab ended. Does not: what a good row is
(`vendors/key_mapping`), or how the mapping is used (`sql/`).

A tab that cannot be used (no header, suddenly empty, a third of it gone) is refused alone: its last good version serves
on, the other tabs load, and the check `tabs_valid` says so; so it is with a sheet that cannot be read at all. None
of it fails the run: spend is whole without the sheet, and finance mends it by the message.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing import Moment
from ai_usage_assets.redaction import redact
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, TabSnapshot
from ai_usage_assets.sources.mapping_sheet.validation import validate_tab
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET

VENDOR = "sheet"


@dg.asset(
    name=RAW_MAPPING_SHEET.name,
    description=RAW_MAPPING_SHEET.description,
    group_name="raw_sheet",
    kinds={"python", "googlesheets"},
    owners=["team:finance", "team:platform"],
    metadata=RAW_MAPPING_SHEET.ui_metadata(),
    required_resource_keys={VENDOR, "warehouse", "settings"},
)
def mapping_sheet(context: dg.AssetExecutionContext) -> None:
    """The sheet is read once a run, whole."""
    settings: Settings = context.resources.settings
    moment = Moment(context.run.run_id, settings.now(), settings.accept_loss)
    sheet: MappingSheet | None = context.resources.sheet
    warehouse: Warehouse = context.resources.warehouse
    held = _held(warehouse)
    if sheet is None:
        message = "AI_USAGE_SHEET_ID is not set: spend stays with whom the vendors name, without teams or cost centers."
        context.log.info(message)
        _log(warehouse, [_entry(tab, moment, held, "not_configured", message) for tab in TABS])
        return
    # Reading takes seconds; nobody should wait for the warehouse meanwhile.
    warehouse.close()
    try:
        values = sheet.read()
    except (ApiError, SecretError) as failure:
        reason = redact(str(failure))
        _log(warehouse, [_entry(tab, moment, held, "failed", reason) for tab in TABS])
        meanwhile = "its last good version serves on" if held else "until then spend has no teams and cost centers"
        context.log.warning(
            f"The mapping sheet could not be read; {meanwhile}. {reason}", extra={"event": "source_fetch_failed"}
        )
        return
    snapshots = [
        validate_tab(
            tab,
            values[tab],
            last_good_row_count=held[tab].row_count if tab in held else None,
            today=moment.now.date(),
            accept_loss=moment.accept_loss,
        )
        for tab in TABS
    ]
    land_sheet(warehouse, snapshots, moment)
    for snapshot in snapshots:
        say = context.log.error if snapshot.rejection else context.log.info
        say(f"tab {snapshot.tab}: {_summary(snapshot)}")
    context.add_asset_metadata({"tabs": dg.MetadataValue.md(_tab_by_tab(snapshots))})


def land_sheet(warehouse: Warehouse, snapshots: Sequence[TabSnapshot], moment: Moment) -> None:
    """Adds a version for each tab whose content is new, and notes how every tab ended.

    Content that is already the newest version adds nothing. Raises WarehouseError.
    """
    held = _held(warehouse)
    rows: list[Row] = []
    entries: list[Row] = []
    for snapshot in snapshots:
        before = held.get(snapshot.tab)
        if snapshot.rejection:
            entries.append(_entry(snapshot.tab, moment, held, "failed", snapshot.rejection))
            continue
        landed_at = before.read_at if before else None
        if before is None or before.snapshot_id != snapshot.digest:
            version = _version(snapshot, moment, before)
            landed_at = version[0]["read_at"]
            rows += version
        entries.append(
            _entry(snapshot.tab, moment, held, "complete", "; ".join(_notes(snapshot)) or None)
            | {
                "records": len(snapshot.accepted),
                "expected_records": len(snapshot.rows),
                "content_digest": snapshot.digest,
                "completed_at": moment.now,
                "landed_at": landed_at,
            }
        )
    # Rows first: a version without its entry is seen again by its digest, an entry without its version would lie.
    warehouse.append(RAW_MAPPING_SHEET, rows)
    _log(warehouse, entries)


class _Version:
    """The newest version of one tab."""

    def __init__(self, row: Row) -> None:
        self.snapshot_id: str = row["snapshot_id"]
        self.read_at: datetime = row["read_at"]
        self.row_count: int = row["row_count"]


def _held(warehouse: Warehouse) -> dict[str, _Version]:
    rows = warehouse.rows(
        "WITH versions AS (SELECT *, MAX(read_at) OVER (PARTITION BY tab) AS last_read_at "
        "FROM ai_usage.raw_mapping_sheet) "
        "SELECT tab, snapshot_id, read_at, COUNTIF(row_no > 0 AND reject_reason IS NULL) AS row_count FROM versions "
        "WHERE read_at = last_read_at GROUP BY tab, snapshot_id, read_at"
    )
    return {row["tab"]: _Version(row) for row in rows}


def _version(snapshot: TabSnapshot, moment: Moment, before: _Version | None) -> list[Row]:
    # Two versions must never share an instant, even when the clock is held still.
    read_at = moment.now if before is None else max(moment.now, before.read_at + timedelta(microseconds=1))
    envelope = {
        "snapshot_date": moment.now.date(),
        "tab": snapshot.tab,
        "snapshot_id": snapshot.digest,
        "read_at": read_at,
    }
    return [
        # An accepted tab without rows is a version too.
        {**envelope, "row_no": 0, "payload": "{}", "reject_reason": None},
        *(
            {**envelope, "row_no": row.row_no, "payload": row.payload.decode(), "reject_reason": row.reject_reason}
            for row in snapshot.rows
        ),
    ]


def _entry(tab: str, moment: Moment, held: dict[str, _Version], status: str, message: str | None) -> Row:
    before = held.get(tab)
    return {
        "asset": f"{RAW_MAPPING_SHEET.name}/{tab}",
        "vendor": VENDOR,
        "usage_date": moment.now.date(),
        "is_daily": False,
        "status": status,
        "message": message,
        "attempted_at": moment.now,
        "landed_at": before.read_at if before else None,
        "records": before.row_count if before else None,
        "content_digest": before.snapshot_id if before else None,
        "run_id": moment.run_id,
    }


def _log(warehouse: Warehouse, entries: Sequence[Row]) -> None:
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), entries)


def _notes(snapshot: TabSnapshot) -> list[str]:
    rejected = [row.row_no for row in snapshot.rejected]
    told = (
        [f"not used: row {', '.join(map(str, rejected[:10]))}{' and more' * (len(rejected) > 10)}"] if rejected else []
    )
    return told + list(snapshot.warnings)


def _summary(snapshot: TabSnapshot) -> str:
    if snapshot.rejection:
        return f"refused, the last good version serves on: {snapshot.rejection}"
    rejected = f", {len(snapshot.rejected)} rejected" if snapshot.rejected else ""
    return f"{len(snapshot.accepted)} rows{rejected}"


def _tab_by_tab(snapshots: Sequence[TabSnapshot]) -> str:
    lines = ["| tab | rows | rejected | note |", "| --- | ---: | ---: | --- |"]
    for snapshot in snapshots:
        notes = [snapshot.rejection] if snapshot.rejection else list(snapshot.warnings)
        notes += [f"row {row.row_no}: {row.reject_reason}" for row in snapshot.rejected]
        note = "<br>".join(str(text).replace("|", "\\|") for text in notes)
        lines.append(f"| {snapshot.tab} | {len(snapshot.accepted)} | {len(snapshot.rejected)} | {note} |")
    return "\n".join(lines)
