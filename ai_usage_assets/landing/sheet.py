"""Loads the tabs of the mapping sheet as immutable versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.sources.mapping_sheet.tabs import TabSnapshot
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


def _notes(snapshot: TabSnapshot) -> list[str]:
    rejected = [str(row.row_no) for row in snapshot.rejected]
    more = " and more" * (len(rejected) > _MAX_ROWS_LISTED)
    notes = [f"rejected: row {', '.join(rejected[:_MAX_ROWS_LISTED])}{more}"] if rejected else []
    return notes + list(snapshot.warnings)
