"""A warehouse as version 0.1.0 left it, before tables, columns and checks were renamed.

The archive has the definition and the rows of every table, and the rows of every finance view: three days of the
simulated company, loaded twice with a restatement, with failed checks and a closed month.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.tables import Column, Table

ARCHIVE = Path(__file__).parents[1] / "warehouse" / "old_warehouse" / "0.1.0.zip"

# The settings of its last run, and the days that it has.
SETTINGS = Settings(start_date=date(2026, 10, 29), fixed_now=datetime(2026, 12, 10, 14, tzinfo=UTC))
FIRST, LAST = date(2026, 10, 29), date(2026, 10, 31)


@dataclass(frozen=True)
class OldWarehouse:
    """Definitions, and the rows of tables and finance views by their names at the time."""

    tables: tuple[Table, ...]
    rows: Mapping[str, pa.Table]


@cache
def old_warehouse() -> OldWarehouse:
    """The stored warehouse."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        tables = tuple(map(_table, json.loads(archive.read("tables.json"))))
        rows = {
            name.removesuffix(".parquet"): pq.read_table(pa.BufferReader(archive.read(name)))
            for name in archive.namelist()
            if name.endswith(".parquet")
        }
    return OldWarehouse(tables, rows)


def _table(stored: dict[str, Any]) -> Table:
    columns = tuple(Column(**column) for column in stored.pop("columns"))
    properties: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    return Table(columns=columns, **properties)
