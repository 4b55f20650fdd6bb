"""A check that cents are not read as dollars, nor dollars as cents.

Prices and usage change by small factors from day to day; a wrong unit is a factor of 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.days import TRAILING_DAYS
from ai_usage_assets.rendering.text import format_usd

_FACTOR = 20
# With fewer published days than this there is no usual price.
_MIN_USUAL_DAYS = 5
# Days with less usage are not compared.
_MIN_USD, _MIN_TOKENS = Decimal(1), 100_000


@dataclass(frozen=True)
class _Day:
    """A day's dollars and tokens, and other figures for the same usage if they exist."""

    usage_date: date
    amount_usd: Decimal
    tokens: int
    # Another figure of the vendor's for the same dollars.
    other_usd: Decimal | None = None
    # The dollars of models with a list price, and the cost of the same tokens at that price.
    priced_usd: Decimal | None = None
    list_usd: Decimal | None = None

    @property
    def is_large(self) -> bool:
        return self.tokens is not None and self.tokens >= _MIN_TOKENS

    @property
    def price(self) -> Decimal:
        """Dollars per million tokens."""
        return self.amount_usd * 1_000_000 / Decimal(self.tokens)


def currency_unit(asset: str, vendor: str, other: str, additional_deps: tuple[str, ...]) -> Check:
    """Compares each day's price per token with four references.

    A vendor that changes its unit changes every requested day, including old ones, so one reference is not enough: the
    published price of the same day, the usual price before the run, the list price, and another figure of the vendor's
    (`other` names it). The queries are `unit_prices` and `published_unit_prices` in the vendor's folder.
    """

    def run(context: CheckContext) -> list[Finding]:
        past_day = context.days.first - timedelta(days=TRAILING_DAYS)
        rows = context.query_rows(f"{vendor}/published_unit_prices", past_day=past_day)
        days = [_Day(**row) for row in rows]
        published = {day.usage_date: day.price for day in days if day.is_large and day.amount_usd}
        before = sorted(price for day, price in published.items() if day < context.days.first)
        usual = before[len(before) // 2] if len(before) >= _MIN_USUAL_DAYS else None
        findings = []
        for row in context.query_rows(f"{vendor}/unit_prices"):
            day = _Day(**row)
            largest = max(abs(value or Decimal(0)) for value in (day.amount_usd, day.other_usd, day.list_usd))
            if not day.is_large or largest < _MIN_USD:
                continue
            if reasons := _reasons(day, published.get(day.usage_date), usual, other):
                text = f"{day.usage_date}: {format_usd(day.amount_usd)}, but {' and '.join(reasons)}"
                findings.append(Finding(text, abs(day.amount_usd)))
        return findings

    return Check(
        asset,
        "currency_unit",
        "Dollars per token are plausible: cents are not read as dollars, nor dollars as cents.",
        "Published data is unchanged. Check whether the vendor changed the unit of its amounts before you load them.",
        run,
        additional_deps=additional_deps,
    )


def _reasons(day: _Day, published: Decimal | None, usual: Decimal | None, other: str) -> list[str]:
    price = f"{format_usd(day.price)} per million tokens"
    reasons = []
    if published and _differs(day.price, published):
        reasons.append(f"{price} where {format_usd(published)} is published for the day")
    if usual and _differs(day.price, usual):
        reasons.append(f"{price} where {format_usd(usual)} is usual")
    if day.list_usd and day.priced_usd is not None and _differs(day.priced_usd, day.list_usd):
        reasons.append(f"{format_usd(day.priced_usd)} for what costs {format_usd(day.list_usd)} by the price list")
    if day.other_usd and _differs(day.amount_usd, day.other_usd):
        reasons.append(f"{other} is {format_usd(day.other_usd)}")
    return reasons


def _differs(value: Decimal, reference: Decimal) -> bool:
    return abs(value) > _FACTOR * abs(reference) or abs(value) * _FACTOR < abs(reference)
