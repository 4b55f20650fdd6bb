"""The simulated year with what the dashboards show beyond it: closed months, runs, check results and failures."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.base import Row
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_CHECK_RESULTS, OPS_RUNS
from ai_usage_assets_tests.support.materialize import materialize_views
from ai_usage_assets_tests.support.year import NOW, YEAR

CLOSED_THROUGH = date(2026, 9, 1)
# The difference between the posted and the current seat fees: $40 were reallocated later, $25 were added.
_POSTED_DIFFERENCE = """
  CASE
    WHEN cost_basis <> 'seat' THEN 0
    WHEN usage_month = DATE '2026-08-01' AND cost_center = 'CC-1010' THEN 40
    WHEN usage_month = DATE '2026-08-01' AND cost_center = 'CC-1020' THEN -40
    WHEN usage_month = DATE '2026-09-01' AND cost_center = 'CC-4010' THEN -25
    ELSE 0
  END
"""
_JOURNAL = f"""
INSERT INTO ai_usage.ops_journal_lines
SELECT
  'close of ' || posting_month, 'AI-' || strftime(posting_month, '%Y%m') || '-'
    || lpad(row_number() OVER (PARTITION BY posting_month ORDER BY vendor, cost_basis, product, team)::VARCHAR, 4, '0'),
  posting_month, last_day(posting_month), usage_month, line_type, reason, vendor, cost_basis, product, team,
  cost_center, vendor || '_' || cost_basis, 'USD', amount_usd + {_POSTED_DIFFERENCE},
  round(amount_usd + {_POSTED_DIFFERENCE}, 2), 'AI usage'
FROM ai_usage.kpi_chargeback WHERE posting_month <= DATE '{CLOSED_THROUGH}'
"""
_CLOSES = """
INSERT INTO ai_usage.ops_month_closes
SELECT
  posting_month, any_value(close_id), posting_month + INTERVAL 40 DAY, posting_month + INTERVAL 40 DAY, 'fingerprint',
  sum(amount_usd), 0, count(*), '0.1.0'
FROM ai_usage.ops_journal_lines GROUP BY posting_month
"""
# A day whose control total differs by 5 dollars.
DIFFERING_DAY = date(2026, 11, 18)
_CONTROL = f"""
UPDATE ai_usage.int_anthropic_control_daily SET control_usd = control_usd + 5
WHERE usage_date = DATE '{DIFFERING_DAY}' AND control = 'cost_components'
"""


def add_operations(path: Path) -> None:
    """Add closed months, runs, check results, a failed day and a control difference to the year at `path`."""
    warehouse = DuckDBWarehouse(path)
    warehouse.append(OPS_RUNS, [*_runs()])
    warehouse.append(OPS_CHECK_RESULTS, [*_checks()])
    (gap,) = warehouse.rows(
        "SELECT * FROM ai_usage.ops_asset_days WHERE asset = 'raw_anthropic_claude_code' AND usage_date = @day",
        {"day": DIFFERING_DAY},
    )
    message = "The vendor answered 503 five times; the earlier data stays. The next run loads the day again."
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [{**gap, "status": "failed", "message": message}])
    warehouse.close()
    with duckdb.connect(str(path)) as connection:
        for statement in (_JOURNAL, _CLOSES, _CONTROL):
            connection.execute(statement)


def _runs() -> list[Row]:
    return [
        {
            "run_id": f"run {days_ago}", "job": "daily", "started_at": NOW - timedelta(days=days_ago),
            "finished_at": NOW - timedelta(days=days_ago) + timedelta(seconds=94 + days_ago),
            "first_day": YEAR.last - timedelta(days=39 + days_ago), "last_day": YEAR.last - timedelta(days=days_ago),
            "outcome": "failed" if days_ago == 4 else "success", "version": "0.1.0", "days": 40,
            "seconds": Decimal(94 + days_ago), "landed_records": 4_000 + 17 * days_ago,
            "landed_usd": Decimal("613.25") + days_ago,
        }
        for days_ago in range(6)
    ]  # fmt: skip


def _checks() -> list[Row]:
    at = {"run_id": "run 0", "checked_at": datetime(2026, 11, 23, 6, 2, tzinfo=UTC), "amount_usd": None}
    passed = {**at, "passed": True, "severity": "ERROR", "blocking": True, "message": "Passed."}
    warning = {**at, "passed": False, "severity": "WARN", "blocking": False}
    return [
        *({**passed, "asset": "fct_cost_daily", "check_name": name} for name in ("money_adds_up", "no_day_twice")),
        {**passed, "asset": "raw_cursor_usage_events", "check_name": "every_page_came"},
        {
            **warning, "asset": "kpi_unallocated", "check_name": "unallocated_spend", "amount_usd": Decimal("690.87"),
            "message": "7 keys and users have no cost center; kpi_unallocated has the rows to add to the sheet.",
        },
        {
            **warning, "asset": "kpi_reconciliation", "check_name": "control_differs", "amount_usd": Decimal(5),
            "message": f"The control total of {DIFFERING_DAY} differs by $5.00; load the day again.",
        },
    ]  # fmt: skip


def materialize_cards(path: Path) -> None:
    """Replace the views that the cards query, and those in between, by tables with the same rows."""
    # No card queries the FOCUS view, which is the slowest.
    names = {view.name for view in catalog.models() if view.layer != "staging"} - {"focus_cost_and_usage"}
    materialize_views(path, names)
