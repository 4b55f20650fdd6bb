"""Rows for small warehouses whose totals can be added up by hand.

Each function builds a row as the pipeline writes it, from the few values that matter to a test.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from ai_usage_assets import catalog
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.sheet import load_sheet
from ai_usage_assets.sources.mapping_sheet.tabs import TABS
from ai_usage_assets.sources.mapping_sheet.validation import validate_tab
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse

_ARROW_TYPES = {
    "STRING": pa.string(), "INT64": pa.int64(), "NUMERIC": pa.decimal128(38, 9), "BOOL": pa.bool_(),
    "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us", "UTC"),
}  # fmt: skip
OPEN = {"effective_from": date(1, 1, 1), "effective_to": date(9999, 12, 31)}


def create_warehouse(path: Path, first_day: date, today: date) -> RebuildingWarehouse:
    """Creates a warehouse with all tables and views and no data; its calendar ends with the month of `today`."""
    warehouse = RebuildingWarehouse(copy_empty_warehouse(path))
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": first_day, "today": today})
    return warehouse


@contextmanager
def copy_warehouse(file: Path, folder: Path) -> Iterator[RebuildingWarehouse]:
    """Opens a copy of a warehouse file, and closes it at the end of the block."""
    warehouse = RebuildingWarehouse(shutil.copyfile(file, folder / "w.duckdb"))
    yield warehouse
    warehouse.close()


def fill(warehouse: Warehouse, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Appends rows to a table, and numbers them if the table has a column `fact_no`."""
    target = catalog.table(table)
    (existing,) = warehouse.rows(f"SELECT COUNT(*) AS n FROM ai_usage.{table}")
    if "fact_no" in target.column_names:
        rows = [{**row, "fact_no": number} for number, row in enumerate(rows, existing["n"] + 1)]
    if not isinstance(warehouse, DuckDBWarehouse):
        warehouse.append(target, rows)
        return
    # Half a millisecond per row faster than `append`.
    columns = {c.name: pa.array([row.get(c.name) for row in rows], _ARROW_TYPES[str(c.type)]) for c in target.columns}
    connection = warehouse._connect()
    connection.register("filled", pa.table(columns))
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM filled")
    connection.unregister("filled")
    if isinstance(warehouse, RebuildingWarehouse):
        warehouse.mark_changed()


def execute_sql(warehouse: DuckDBWarehouse, sql: str) -> None:
    """Changes the warehouse with a statement of DuckDB."""
    warehouse._connect().execute(sql)
    if isinstance(warehouse, RebuildingWarehouse):
        warehouse.mark_changed()


def charge(day: str, usd: str, *, key: str | None = None, user: str | None = None, model: str = "m1") -> dict[str, Any]:
    """A row of the Anthropic bill."""
    kind = "user" if user else "api_key"
    return {
        "usage_date": date.fromisoformat(day), "fact_no": 1, "identity_key": f"{kind}|{key}|{user}", "model": model,
        "principal_type": kind, "principal_id": user or key, "user_email": user, "api_key_id": key, "requests": 4,
        "amount_usd": Decimal(usd), "list_amount_usd": Decimal(usd),
    }  # fmt: skip


def tokens(day: str, *, key: str = "k1", model: str | None = "m1", **counts: int | None) -> dict[str, Any]:
    """A row of Anthropic token counts with their total; classes that are not given are 0."""
    kinds = ("uncached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens")
    all_counts = {**dict.fromkeys((*kinds, "output_tokens"), 0), **counts}
    return {
        "usage_date": date.fromisoformat(day), "identity_key": f"api_key|{key}|None", "model": model,
        "principal_type": "api_key", "principal_id": key, "api_key_id": key, **all_counts,
        "total_tokens": sum(count or 0 for count in all_counts.values()),
    }  # fmt: skip


def cursor_usage(
    day: str, email: str | None, usd: str, *, basis: str = "billed", model: str | None = "m1", **more: Any
) -> dict[str, Any]:
    """Cursor usage of a day, of a person unless an account or an automation is given."""
    ids = {name: more.get(name) for name in ("automation_id", "service_account_id", "cloud_agent_id")}
    kind = next((name.removesuffix("_id") for name, value in ids.items() if value), "user" if email else "none")
    return {
        "usage_date": date.fromisoformat(day), "identity_key": f"cursor|{kind}|{email}", "cost_basis": basis,
        "model": model, "principal_type": kind, "principal_id": email, "user_email": email, "requests": 1,
        "amount_usd": Decimal(usd), **more,
    }  # fmt: skip


def cursor_activity(day: date, email: str | None, *, is_active: bool = True, **more: Any) -> dict[str, Any]:
    """The Cursor activity of a member on a day."""
    return {
        "usage_date": day, "identity_key": f"cursor||||{email}", "user_email": email, "is_active": is_active, **more,
    }  # fmt: skip


def seat(day: date, email: str | None, *, role: str = "member", is_paid: bool = True, **more: Any) -> dict[str, Any]:
    """A Cursor seat on a day."""
    return {
        "usage_date": day, "identity_key": f"seat|{email}|", "user_id": f"user_{email}", "user_email": email,
        "role": role, "source": "snapshot", "is_paid": is_paid, **more,
    }  # fmt: skip


def seat_price(usd: str, *, row_no: int = 2) -> dict[str, Any]:
    """A row of the tab seat_prices with the monthly price of every Cursor seat."""
    read_at = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        "snapshot_date": read_at.date(), "tab": "seat_prices", "snapshot_id": "x", "read_at": read_at, "row_no": row_no,
        "payload": f'{{"vendor":"cursor","plan":"Teams","monthly_price_usd":"{usd}"}}',
    }  # fmt: skip


def claude_code(day: date, email: str, **counts: int) -> dict[str, Any]:
    """The Claude Code activity of a developer on a day."""
    return {
        "usage_date": day, "identity_key": f"claude_code|user|{email}|", "principal_type": "user", "user_email": email,
        "sessions": 1, **counts,
    }  # fmt: skip


def key_mapping(vendor: str, kind: str, principal: str, team: str, cost_center: str, row_no: int = 0) -> dict[str, Any]:
    """A row of the tab key_mapping that allocates a principal to a team."""
    return {
        "row_no": row_no, "vendor": vendor, "principal_type": kind, "principal_id": principal, "team": team,
        "cost_center": cost_center, "share": Decimal(1), **OPEN,
    }  # fmt: skip


def day_log_row(day: date, **changed: Any) -> dict[str, Any]:
    """A row of the day log: a bill that was loaded on the next morning."""
    morning = datetime(day.year, day.month, day.day, 6, tzinfo=UTC) + timedelta(days=1)
    return {
        "asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": day, "is_daily": True, "run_id": "r",
        "attempted_at": morning, "completed_at": morning, "status": "complete", **changed,
    }  # fmt: skip


def load_tab(warehouse: Warehouse, today: date, tab: str, *tab_rows: tuple[Any, ...]) -> None:
    """Loads a tab with the given rows as if it was read on that morning; it has an additional column of remarks."""
    snapshot = validate_tab(tab, [(*TABS[tab].names, "remark"), *tab_rows], last_good_row_count=None, today=today)
    assert snapshot.rejection is None
    load_sheet(warehouse, [snapshot], RunContext("r", datetime(today.year, today.month, today.day, 6, tzinfo=UTC)))


def days(first: date, last: date) -> list[date]:
    """The days from the first to the last."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def rows(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query as tuples."""
    return [tuple(row.values()) for row in warehouse.rows(sql)]
