"""Format dollars, ratios, counts and dates for people."""

from __future__ import annotations

from datetime import date
from decimal import Decimal


def format_count(count: int, one: str, more: str = "") -> str:
    """How many of something, for a person."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def format_days(count: int) -> str:
    """A number of days for a person."""
    return format_count(count, "day")


def format_bounds(low: Decimal, high: Decimal) -> str:
    """A low and a high for a person, once when they are the same."""
    return (
        f"exactly {format_usd(low)}"
        if format_usd(low) == format_usd(high)
        else f"between {format_usd(low)} and {format_usd(high)}"
    )


def format_usd(amount: Decimal | None) -> str:
    """Dollars for a person, to the cent; what is less than half a cent is not called nothing."""
    if amount is None:
        return "–"
    cents = amount.quantize(Decimal("0.01"))
    if not cents and amount:
        return "under $0.01" if amount > 0 else "over −$0.01"
    return f"{'−' if cents < 0 else ''}${abs(cents):,.2f}"


def format_percent(ratio: Decimal | None) -> str:
    """A ratio for a person."""
    if ratio is None:
        return "–"
    if ratio and abs(ratio) < Decimal("0.0005"):
        return "under 0.1 %"
    return f"{ratio * 100:,.1f} %".replace("-", "−")


def format_date(value: date) -> str:
    """A day for a person, without leading zero."""
    return f"{value.day} {value:%B %Y}"


def format_date_range(first: date, last: date) -> str:
    """Days for a person: `1 to 22 November 2026`."""
    if first == last:
        return format_date(first)
    return (
        f"{first.day} to {format_date(last)}"
        if (first.year, first.month) == (last.year, last.month)
        else f"{format_date(first)} to {format_date(last)}"
    )
