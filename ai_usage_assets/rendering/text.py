"""Format dollars, ratios, counts and dates for people."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

# Shown where there is no number.
NONE = "–"


def format_usd(amount: Decimal | None, *, decimals: int | None = 2, missing: str = NONE) -> str:
    """Dollars, such as −$1,234.50; None for `decimals` shows all decimals. `missing` is the text for None.

    An amount that would be rounded to zero is shown as a bound.
    """
    if amount is None:
        return missing
    if decimals is None:
        amount, unit = amount.normalize(), Decimal(0)
    else:
        unit = Decimal(1).scaleb(-decimals)
    rounded = amount.quantize(unit) if unit else amount
    if amount and not rounded:
        return f"under ${unit:f}" if amount > 0 else f"over −${unit:f}"
    return f"{'−' if rounded < 0 else ''}${abs(rounded):,f}"


def format_whole_usd(amount: Decimal | None) -> str:
    """Dollars without cents, for tables."""
    return format_usd(amount, decimals=0)


def format_percent(ratio: Decimal | None) -> str:
    """A ratio in percent with one decimal place."""
    if ratio is None:
        return NONE
    if ratio and abs(ratio) < Decimal("0.0005"):
        return "under 0.1%"
    return f"{ratio * 100:,.1f}%".replace("-", "−")


def format_count(count: int, singular: str, plural: str = "") -> str:
    """A number with its noun: `1 day`, `2 days`."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def format_bounds(low: Decimal, high: Decimal) -> str:
    """A range of dollars; a single amount when both are equal to the cent."""
    first, last = format_usd(low), format_usd(high)
    return f"exactly {first}" if first == last else f"between {first} and {last}"


def format_date(day: date) -> str:
    """A date without a leading zero: `November 2, 2026`."""
    return f"{day:%B} {day.day}, {day.year}"


def format_date_range(first: date, last: date) -> str:
    """A range of dates: `November 1–22, 2026`."""
    if first == last:
        return format_date(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%B} {first.day}–{last.day}, {last.year}"
    return f"{format_date(first)} to {format_date(last)}"
