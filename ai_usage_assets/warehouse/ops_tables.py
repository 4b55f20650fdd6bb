"""The `ops_*` tables, which the pipeline itself writes: runs, the day log, check results, restatements, closes.

`sql/ops` defines their columns.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict

from ai_usage_assets.warehouse.sql_files import read_table, sql_folder

OPS_TABLES = (
    OPS_RUNS := read_table(sql_folder() / "ops/ops_runs.sql"),
    OPS_ASSET_DAYS := read_table(sql_folder() / "ops/ops_asset_days.sql"),
    OPS_CHECK_RESULTS := read_table(sql_folder() / "ops/ops_check_results.sql"),
    OPS_RESTATEMENTS := read_table(sql_folder() / "ops/ops_restatements.sql"),
    OPS_RESTATEMENT_PARTS := read_table(sql_folder() / "ops/ops_restatement_parts.sql"),
    OPS_MONTH_CLOSES := read_table(sql_folder() / "ops/ops_month_closes.sql"),
    OPS_CLOSE_TOTALS := read_table(sql_folder() / "ops/ops_close_totals.sql"),
    OPS_JOURNAL_LINES := read_table(sql_folder() / "ops/ops_journal_lines.sql"),
)


class DayLogEntry(TypedDict):
    """A row of OPS_ASSET_DAYS for one raw table and day. `amount_usd` is in dollars."""

    asset: str
    vendor: str
    usage_date: date
    is_daily: bool
    status: str
    message: str | None
    attempted_at: datetime
    completed_at: datetime | None
    landed_at: datetime | None
    records: int | None
    expected_records: int | None
    amount_usd: Decimal | None
    pages: int | None
    watermark: datetime | None
    content_digest: str | None
    bytes: int | None
    landed_run_id: str | None
    run_id: str
