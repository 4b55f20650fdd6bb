"""Small final months of both vendors that can be closed, with numbered rows that tests can change afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets import catalog
from ai_usage_assets.days import DayRange, next_month
from ai_usage_assets.finance.close import journal
from ai_usage_assets.finance.close.base import MonthClose
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.warehouse_rows import OPEN, charge, day_log_row

TODAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
AUGUST, SEPTEMBER, OCTOBER, NOVEMBER = (date(2026, month, 1) for month in (8, 9, 10, 11))
# August and September are final by now.
FIRST_DAY = AUGUST
READ_AT = datetime(2026, 11, 15, 6, tzinfo=UTC)


def cost_row(number: int, day: str, usd: str, key: str) -> Row:
    """A row of the Anthropic bill; a row of the same number restates it."""
    return {**charge(day, usd, key=key), "fact_no": number, "product": "api"}


def usage_row(number: int, day: str, usd: str, user: str, basis: str = "billed") -> Row:
    """The Cursor usage of a person on a day."""
    return {
        "usage_date": date.fromisoformat(day), "fact_no": number, "identity_key": f"c|{user}", "cost_basis": basis,
        "principal_type": "user", "principal_id": user, "user_email": user, "requests": 2, "amount_usd": Decimal(usd),
    }  # fmt: skip


def seat_row(number: int, day: str, user: str) -> Row:
    """A paid seat on a day."""
    return {
        "usage_date": date.fromisoformat(day), "fact_no": number, "identity_key": f"s|{user}", "user_id": user,
        "user_email": user, "role": "member", "source": "snapshot", "is_paid": True,
    }  # fmt: skip


def mapping_row(row_no: int, key: str, cost_center: str | None, share: str = "1", kind: str = "api_key") -> Row:
    """A row of the tab key_mapping whose team is named after its cost center."""
    vendor = "cursor" if kind == "user" else "anthropic"
    return {
        "row_no": row_no, "vendor": vendor, "principal_type": kind, "principal_id": key, "cost_center": cost_center,
        "team": cost_center and f"Team {cost_center}", "share": Decimal(share), **OPEN,
    }  # fmt: skip


def price_row(usd: str, read_at: datetime = READ_AT) -> Row:
    """A version of the tab seat_prices with one price."""
    return {
        "snapshot_date": read_at.date(), "tab": "seat_prices", "snapshot_id": f"{usd:>12}", "read_at": read_at,
        "row_no": 2, "payload": f'{{"vendor":"cursor","plan":"Teams","monthly_price_usd":"{usd}"}}',
    }  # fmt: skip


def upsert_rows(warehouse: Warehouse, table: str, *rows: Row) -> None:
    """Inserts rows, or replaces those of the same number."""
    key = ("row_no",) if table == "int_key_mapping" else ("usage_date", "fact_no")
    warehouse.upsert(catalog.table(table), key, rows)


def add_loaded_days(warehouse: Warehouse, month: date, **changed: Any) -> None:
    """Adds day log rows: both vendors' bills of a month were loaded when they were final."""
    days = [month + timedelta(days=n) for n in range((next_month(month) - month).days)]
    bills = (("anthropic", "raw_anthropic_cost"), ("cursor", "raw_cursor_usage_events"))
    warehouse.upsert(
        OPS_ASSET_DAYS,
        ("asset", "usage_date"),
        [
            day_log_row(
                day, asset=asset, vendor=vendor, completed_at=READ_AT, content_digest=f"{asset} {day}", **changed
            )
            for vendor, asset in bills
            for day in days
        ],
    )


def close_month(warehouse: Warehouse, month: date, now: datetime = NOW) -> MonthClose:
    """Closes a month unless it is closed, without checking that it can be closed."""
    return journal.find_close(warehouse, month) or journal.freeze_close(
        warehouse, journal.draft_close(warehouse, month, now)
    )


def days_of_month(month: date) -> DayRange:
    """The days of a month."""
    return DayRange(month, next_month(month) - timedelta(days=1))


def journal_rows(warehouse: Warehouse, *columns: str, where: str = "TRUE") -> Sequence[tuple[Any, ...]]:
    """Columns of the journal lines, in a fixed order."""
    names = ", ".join(columns)
    rows = warehouse.rows(
        f"SELECT {names}, amount_usd FROM ai_usage.kpi_chargeback WHERE {where} "
        "ORDER BY posting_month, usage_month, vendor, cost_basis, cost_center NULLS LAST, line_id"
    )
    return [tuple(row.values()) for row in rows]
