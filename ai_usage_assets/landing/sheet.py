"""Reads the mapping sheet and loads its tabs as immutable versions.

An invalid tab (no header, suddenly empty, more than 30% of its rows missing) is rejected: its last good version stays
in use, the other tabs are loaded, and the check `tabs_valid` reports it. If the sheet cannot be read, the last good
version of every tab stays in use.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.redaction import redact
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, TabSnapshot
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.sql_files import read_query

VENDOR = "sheet"
_MAX_ROWS_LISTED = 10


@dataclass(frozen=True)
class TabVersion:
    """The newest version of a tab. `row_count` counts its accepted rows."""

    snapshot_id: str
    read_at: datetime
    row_count: int


def read_sheet(
    warehouse: Warehouse, sheet: MappingSheet | None, run: RunContext, log: logging.Logger
) -> list[TabSnapshot]:
    """Reads all tabs and loads the valid ones. Returns the tabs as read; none if the sheet could not be read.

    `sheet` is None without AI_USAGE_SHEET_ID. Errors of Google are recorded; raises WarehouseError.
    """
    with warehouse.label_jobs(asset=RAW_MAPPING_SHEET.name):
        return _read_sheet(warehouse, sheet, run, log)


def _read_sheet(
    warehouse: Warehouse, sheet: MappingSheet | None, run: RunContext, log: logging.Logger
) -> list[TabSnapshot]:
    versions = load_versions(warehouse)
    if sheet is None:
        message = "AI_USAGE_SHEET_ID is not set, so spend has no teams and cost centers."
        log.info(message)
        log_unread_sheet(warehouse, list(TABS), versions, run, "not_configured", message)
        return []
    # pandas and pandera take half a second to import, and only this function needs them.
    from ai_usage_assets.sources.mapping_sheet.validation import validate_tab

    # A request can take seconds; other processes can use the warehouse meanwhile.
    warehouse.close()
    try:
        values = sheet.read()
    except (ApiError, SecretError) as error:
        reason = redact(str(error))
        log_unread_sheet(warehouse, list(TABS), versions, run, "failed", reason)
        effect = "Its last good version stays in use" if versions else "Spend has no teams and cost centers"
        log.warning(f"The mapping sheet could not be read. {effect}. {reason}", extra={"event": "source_fetch_failed"})
        return []
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
        log.log(logging.ERROR if snapshot.rejection else logging.INFO, f"tab {snapshot.tab}: {_summarize(snapshot)}")
    return snapshots


def load_versions(warehouse: Warehouse) -> dict[str, TabVersion]:
    """Returns the newest version of each tab."""
    rows = warehouse.rows(read_query("landing/sheet_versions"))
    return {row["tab"]: TabVersion(row["snapshot_id"], row["read_at"], row["row_count"]) for row in rows}


def load_sheet(warehouse: Warehouse, snapshots: Sequence[TabSnapshot], run: RunContext) -> None:
    """Adds a version of each tab whose content is new, and records the outcome of every tab in the day log.

    Content that equals the newest version adds nothing. Raises WarehouseError.
    """
    versions = load_versions(warehouse)
    rows: list[Row] = []
    entries: list[Row] = []
    for snapshot in snapshots:
        before = versions.get(snapshot.tab)
        if snapshot.rejection:
            entries.append(_tab_entry(snapshot.tab, run, versions, "failed", snapshot.rejection))
            continue
        landed_at = before.read_at if before else None
        if before is None or before.snapshot_id != snapshot.digest:
            version = _version_rows(snapshot, run, before)
            landed_at = version[0]["read_at"]
            rows += version
        entries.append(
            _tab_entry(snapshot.tab, run, versions, "complete", "; ".join(_notes(snapshot)) or None)
            | {
                "records": len(snapshot.accepted),
                "expected_records": len(snapshot.rows),
                "content_digest": snapshot.digest,
                "completed_at": run.now,
                "landed_at": landed_at,
            }
        )
    # The rows are written first: the next run recognizes rows without an entry, but not an entry without rows.
    warehouse.append(RAW_MAPPING_SHEET, rows)
    _write_day_log(warehouse, entries)


def log_unread_sheet(
    warehouse: Warehouse,
    tabs: Sequence[str],
    versions: Mapping[str, TabVersion],
    run: RunContext,
    status: str,
    message: str,
) -> None:
    """Records in the day log why no tab was read."""
    _write_day_log(warehouse, [_tab_entry(tab, run, versions, status, message) for tab in tabs])


def _version_rows(snapshot: TabSnapshot, run: RunContext, before: TabVersion | None) -> list[Row]:
    # Two versions never have the same instant, even when AI_USAGE_NOW stops the clock.
    read_at = run.now if before is None else max(run.now, before.read_at + timedelta(microseconds=1))
    envelope = {
        "snapshot_date": run.now.date(),
        "tab": snapshot.tab,
        "snapshot_id": snapshot.digest,
        "read_at": read_at,
    }
    return [
        # Row 0 represents the version, so that a tab without rows has a version too.
        {**envelope, "row_no": 0, "payload": "{}", "reject_reason": None},
        *(
            {**envelope, "row_no": row.row_no, "payload": row.payload.decode(), "reject_reason": row.reject_reason}
            for row in snapshot.rows
        ),
    ]


def _tab_entry(tab: str, run: RunContext, versions: Mapping[str, TabVersion], status: str, message: str | None) -> Row:
    before = versions.get(tab)
    return {
        "asset": f"{RAW_MAPPING_SHEET.name}/{tab}",
        "vendor": VENDOR,
        "usage_date": run.now.date(),
        "is_daily": False,
        "status": status,
        "message": message,
        "attempted_at": run.now,
        "landed_at": before.read_at if before else None,
        "records": before.row_count if before else None,
        "content_digest": before.snapshot_id if before else None,
        "run_id": run.run_id,
    }


def _write_day_log(warehouse: Warehouse, entries: Sequence[Row]) -> None:
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), entries)


def _summarize(snapshot: TabSnapshot) -> str:
    if snapshot.rejection:
        return f"rejected, its last good version stays in use: {snapshot.rejection}"
    rejected = f", {len(snapshot.rejected)} rejected" if snapshot.rejected else ""
    return f"{format_count(len(snapshot.accepted), 'row')}{rejected}"


def _notes(snapshot: TabSnapshot) -> list[str]:
    rejected = [str(row.row_no) for row in snapshot.rejected]
    more = " and more" * (len(rejected) > _MAX_ROWS_LISTED)
    notes = [f"rejected: row {', '.join(rejected[:_MAX_ROWS_LISTED])}{more}"] if rejected else []
    return notes + list(snapshot.warnings)
