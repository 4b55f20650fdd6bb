"""Books that can be closed: small months of both vendors, held and settled, whose rows can be changed afterwards.

Belongs here: what the tests of the month close share. Does not: expectations.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets import catalog
from ai_usage_assets.days import DayRange, next_month
from ai_usage_assets.finance.close import journal
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.warehouse_rows import OPEN, charge, entry

TODAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
AUGUST, SEPTEMBER, OCTOBER, NOVEMBER = (date(2026, month, 1) for month in (8, 9, 10, 11))
# Of August and September, both vendors' last day has settled by now.
FIRST_DAY = AUGUST
READ_AT = datetime(2026, 11, 15, 6, tzinfo=UTC)


def billed(number: int, day: str, usd: str, key: str) -> Row:
    """A row of Anthropic's bill under a number by which it can be restated."""
    return {**charge(day, usd, key=key), "fact_no": number, "product": "api"}


def event(number: int, day: str, usd: str, user: str, basis: str = "billed") -> Row:
    """What a person used of Cursor on a day."""
    return {
        "usage_date": date.fromisoformat(day), "fact_no": number, "identity_key": f"c|{user}", "cost_basis": basis,
        "principal_type": "user", "principal_id": user, "user_email": user, "requests": 2, "amount_usd": Decimal(usd),
    }  # fmt: skip


def seat(number: int, day: str, user: str) -> Row:
    """A paid seat of a day."""
    return {
        "usage_date": date.fromisoformat(day), "fact_no": number, "identity_key": f"s|{user}", "user_id": user,
        "user_email": user, "role": "member", "source": "snapshot", "is_paid": True,
    }  # fmt: skip


def mapped(row_no: int, key: str, cost_center: str | None, share: str = "1", kind: str = "api_key") -> Row:
    """A row of the sheet, whose team is named after its cost center."""
    vendor = "cursor" if kind == "user" else "anthropic"
    return {
        "row_no": row_no, "vendor": vendor, "principal_type": kind, "principal_id": key, "cost_center": cost_center,
        "team": cost_center and f"Team {cost_center}", "share": Decimal(share), **OPEN,
    }  # fmt: skip


def price(usd: str, read_at: datetime = READ_AT) -> Row:
    """A version of the seat prices, with one price in it."""
    return {
        "snapshot_date": read_at.date(), "tab": "seat_prices", "snapshot_id": f"{usd:>12}", "read_at": read_at,
        "row_no": 2, "payload": f'{{"vendor":"cursor","plan":"Teams","monthly_price_usd":"{usd}"}}',
    }  # fmt: skip


def put(warehouse: Warehouse, table: str, *rows: Row) -> None:
    """Adds rows to a table, or replaces those of the same number."""
    key = ("row_no",) if table == "int_key_mapping" else ("usage_date", "fact_no")
    warehouse.upsert(catalog.table(table), key, rows)


def hold(warehouse: Warehouse, month: date, **changed: Any) -> None:
    """Both vendors' bills of a month were read when they were final."""
    days = [month + timedelta(days=n) for n in range((next_month(month) - month).days)]
    bills = (("anthropic", "raw_anthropic_cost"), ("cursor", "raw_cursor_usage_events"))
    warehouse.upsert(
        OPS_ASSET_DAYS,
        ("asset", "usage_date"),
        [
            entry(day, asset=asset, vendor=vendor, completed_at=READ_AT, content_digest=f"{asset} {day}", **changed)
            for vendor, asset in bills
            for day in days
        ],
    )


def shut(warehouse: Warehouse, month: date, now: datetime = NOW) -> Row:
    """Closes a month, if it is not, without asking whether it may be."""
    return journal.find_close(warehouse, month) or journal.freeze_close(
        warehouse, journal.draft_close(warehouse, month, now)
    )


def whole(month: date) -> DayRange:
    """All days of a month."""
    return DayRange(month, next_month(month) - timedelta(days=1))


def posted(warehouse: Warehouse, *columns: str, where: str = "TRUE") -> Sequence[tuple[Any, ...]]:
    """Columns of the journal, in the order of all of them."""
    names = ", ".join(columns)
    rows = warehouse.rows(
        f"SELECT {names}, amount_usd FROM ai_usage.kpi_chargeback WHERE {where} "
        "ORDER BY posting_month, usage_month, vendor, cost_basis, cost_center NULLS LAST, line_id"
    )
    return [tuple(row.values()) for row in rows]
