"""Loads events with the product: API client, validation, raw table, and the typed table built from it.

Run as `python events_product.py URL DAYS FOLDER`; prints rows and cents.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ai_usage_assets.days import DayRange
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.sources.cursor.events import EXTRACT
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets.warehouse.sql_files import read_table, sql_folder
from ai_usage_assets_tests.benchmarks.events_server import FIRST_DAY
from ai_usage_assets_tests.support.landing import load_extract

_TYPED = sql_folder() / "staging" / "cursor" / "stg_cursor_usage_events.sql"


def main() -> None:
    """Loads all events into one DuckDB file."""
    url, days, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    warehouse = DuckDBWarehouse(folder / "product.duckdb")
    # Only the measured tables, as in the minimal script.
    warehouse.prepare([*OPS_TABLES, *EXTRACT.tables, read_table(_TYPED)])
    client = CursorClient(lambda: "crsr_benchmark", url, pacing=False)
    first = FIRST_DAY.date()
    for offset in range(days):
        day = first + timedelta(days=offset)
        load_extract(
            warehouse, EXTRACT, EXTRACT.fetch(client, DayRange(day, day)), RunContext("bench", datetime.now(UTC))
        )
    warehouse._connect().execute("CREATE TABLE typed AS SELECT * FROM stg_cursor_usage_events")
    totals = warehouse.rows("SELECT COUNT(*) AS n, SUM(amount_usd) * 100 AS cents FROM ai_usage.typed")[0]
    warehouse.close()
    client.close()
    sys.stdout.write(f"{totals['n']} {totals['cents']}\n")


if __name__ == "__main__":
    main()
