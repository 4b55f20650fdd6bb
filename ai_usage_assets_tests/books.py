"""A company's books, small enough to add up by hand, written straight into the tables finance's views read.

Belongs here: rows as the pipeline would have left them, by the few things a test cares about. Does not: expectations.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ai_usage_assets import catalogue
from ai_usage_assets.warehouses.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import empty

OPEN = {"effective_from": date(1, 1, 1), "effective_to": date(9999, 12, 31)}


def opened(path: Path, first_day: date, today: date) -> DuckDBWarehouse:
    """A warehouse with every table and view and nothing in them, whose calendar ends with the month of `today`."""
    made = DuckDBWarehouse(empty(path))
    made.rebuild(catalogue.table("dim_date"), {"first_day": first_day, "today": today})
    return made


def fill(warehouse: DuckDBWarehouse, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Adds rows to a table, numbered within it where the table numbers its rows."""
    target = catalogue.table(table)
    numbered = [{"fact_no": number, **row} for number, row in enumerate(rows, 1)]
    warehouse.append(target, numbered if "fact_no" in target.column_names else list(rows))


def charge(day: str, usd: str, *, key: str | None = None, user: str | None = None, model: str = "m1") -> dict[str, Any]:
    """A row of Anthropic's bill."""
    kind = "user" if user else "api_key"
    return {
        "usage_date": date.fromisoformat(day), "fact_no": 1, "identity_key": f"{kind}|{key}|{user}", "model": model,
        "principal_type": kind, "principal_id": user or key, "user_email": user, "api_key_id": key, "requests": 4,
        "amount_usd": Decimal(usd), "list_amount_usd": Decimal(usd),
    }  # fmt: skip


def key_mapping(vendor: str, kind: str, principal: str, team: str, cost_center: str, row_no: int = 0) -> dict[str, Any]:
    """A row of the sheet that gives all of a principal to a team."""
    return {
        "row_no": row_no, "vendor": vendor, "principal_type": kind, "principal_id": principal, "team": team,
        "cost_center": cost_center, "share": Decimal(1), **OPEN,
    }  # fmt: skip


def entry(day: date, **changed: Any) -> dict[str, Any]:
    """How the pull of a day of the bill ended: well, on the morning after."""
    morning = datetime(day.year, day.month, day.day, 6, tzinfo=UTC) + timedelta(days=1)
    return {
        "asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": day, "is_daily": True, "run_id": "r",
        "attempted_at": morning, "completed_at": morning, "status": "complete", **changed,
    }  # fmt: skip


def rows(warehouse: DuckDBWarehouse, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query as plain tuples."""
    return [tuple(row.values()) for row in warehouse.rows(sql)]
