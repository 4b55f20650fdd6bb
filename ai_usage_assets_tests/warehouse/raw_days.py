"""Raw days and entries of the day log for the tests of both engines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, cast

import pyarrow as pa

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.base import RawDay
from ai_usage_assets.warehouse.ops_tables import DayLogEntry

DAY, NEXT_DAY = date(2026, 11, 10), date(2026, 11, 11)
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
RAW = catalog.table("raw_cursor_usage_events")


def raw_day(*payloads: str, day: date = DAY, fetched_at: datetime = NOW) -> RawDay:
    """A day of RAW with these records."""
    records = pa.table(
        {
            "record_no": pa.array(range(1, len(payloads) + 1), pa.int64()),
            "payload": pa.array(payloads, pa.string()),
            "carried_email": pa.array([None] * len(payloads), pa.string()),
        }
    )
    return RawDay(RAW, day, fetched_at, records)


def log_entry(day: date = DAY, **changes: Any) -> DayLogEntry:
    """The entry of a complete day in the day log; columns that are not given stay NULL."""
    entry = {
        "asset": RAW.name, "vendor": "cursor", "usage_date": day, "is_daily": True, "status": "complete",
        "attempted_at": NOW, "run_id": "r", **changes,
    }  # fmt: skip
    return cast("DayLogEntry", entry)
