"""The figures at the top of the report, each with what it covers or why it is absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from ai_usage_assets.decimals import sum_known
from ai_usage_assets.finance.amounts import total_budgets
from ai_usage_assets.finance.report.base import (
    BudgetRow,
    DayRow,
    Forecast,
    Headline,
    ReportMonth,
    SpendTotal,
)
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import (
    format_bounds,
    format_count,
    format_date,
    format_percent,
    format_usd,
)
from ai_usage_assets.warehouse.base import Row


def spend(
    month: ReportMonth,
    previous_month: date,
    total: SpendTotal | None,
    vendors: Mapping[str, SpendTotal],
    days: Sequence[DayRow],
    bill_status: Iterable[Row],
    close_text: str,
) -> Headline:
    """The spend of the month. `close_text` says when it was closed; empty for an open month."""
    name = f"Spend in {month.first:%B %Y}" + ("" if month.is_over else ", month to date")
    if total is None and not any(row["loaded_days"] for row in bill_status):
        return Headline(name, None, "usd", absent=f"no bill is loaded for {month.range_text}")
    billed, seats = (total.billed_usd, total.seat_usd) if total else (None, None)
    spend_usd = total.spend_usd if total else Decimal(0)
    notes = [f"{month.range_text}: {format_usd(billed)} billed, {format_usd(seats, missing='no')} seats"]
    if total and total.previous_usd is not None:
        previous = total.previous_usd
        period = "the previous month" if month.is_over else "the same days of the previous month"
        notes.append(f"{describe_change(spend_usd, previous)} {period} ({format_usd(previous)})")
    else:
        notes.append(f"not compared with {previous_month:%B}: some of these days are not loaded in {previous_month:%B}")
    provisional = sum_known(row["spend_usd"] for row in days if row["is_provisional"])
    notes.append("final" if provisional is None else f"{format_usd(provisional)} of it is provisional")
    notes += _missing_notes(vendors)
    if close_text:
        notes.append(close_text)
    return Headline(name, spend_usd, "usd", tuple(notes), is_provisional=provisional is not None)


def previous_month(month: date, months: Mapping[date, ReportMonth], vendors: Mapping[str, SpendTotal]) -> Headline:
    """The spend of the month before."""
    name = f"Spend in {month:%B %Y}"
    previous = months.get(month)
    if previous is None:
        first_day = months[min(months)].first_day
        return Headline(name, None, "usd", absent=f"the warehouse begins on {format_date(first_day)}")
    if not vendors:
        return Headline(name, None, "usd", absent="no spend is loaded for it")
    is_provisional = any(vendor.is_provisional for vendor in vendors.values())
    notes = [
        previous.range_text
        if previous.first_day == previous.first
        else f"only {previous.range_text}: the warehouse has no earlier days",
        "provisional" if is_provisional else "final",
        *_missing_notes(vendors),
    ]
    total = sum((vendor.spend_usd for vendor in vendors.values()), Decimal(0))
    return Headline(name, total, "usd", tuple(notes), is_provisional=is_provisional)


def forecast(month: ReportMonth, expected: Forecast | None) -> Headline:
    """The forecast of the month."""
    name = f"Forecast for {month.first:%B %Y}"
    if month.is_over:
        return Headline(name, None, "usd", absent="the month is over")
    if expected is None or expected["forecast_usd"] is None:
        return Headline(name, None, "usd", absent="too few days are loaded")
    low, high = expected["low_usd"], expected["high_usd"]
    notes = [
        "no range, because it needs three earlier months"
        if low is None or high is None
        else f"{format_bounds(low, high)}, from the forecast errors of earlier months",
        f"based on spend by weekday and on the seats, up to {format_date(month.through_day)}",
    ]
    if expected["missing_days"]:
        notes.append(f"includes an estimate for {format_count(expected['missing_days'], 'missing day')}")
    return Headline(name, expected["forecast_usd"], "usd", tuple(notes), is_provisional=True)


def budget_used(month: ReportMonth, budgets: Sequence[BudgetRow]) -> Headline:
    """The share of the budgets that is spent."""
    name = "Budget used"
    totals = total_budgets(budgets)
    if totals is None:
        usable = "usable " if any(row["budget_note"] for row in budgets) else ""
        return Headline(name, None, "ratio", absent=f"no {usable}budget in the sheet for {month.first:%B %Y}")
    unbudgeted = (totals.unbudgeted_text,) if totals.unbudgeted_text else ()
    if totals.used_ratio is None:
        spent = f", and {format_usd(totals.spend_usd)} was spent" if totals.spend_usd else ""
        return Headline(name, None, "ratio", unbudgeted, f"the budget for {month.first:%B %Y} is $0.00{spent}")
    rows = [row for row in budgets if row["budget_usd"] is not None]
    notes = [f"{format_usd(totals.spend_usd)} of {format_usd(totals.budget_usd)}"]
    if not month.is_over:
        notes.append(f"{rows[0]['elapsed_business_days']} of {rows[0]['business_days']} business days are loaded")
    notes += unbudgeted
    if totals.missing_text:
        notes.append(f"budgets are incomplete: {totals.missing_text}")
    is_provisional = any(row["is_provisional"] for row in rows)
    return Headline(name, totals.used_ratio, "ratio", tuple(notes), is_provisional=is_provisional)


def cost_per_user(month: ReportMonth, spend: Headline, active_people: int) -> Headline:
    """The spend per person who used a tool in the month."""
    name = "Cost per active person"
    if spend.value is None or not active_people:
        return Headline(name, None, "usd", absent=f"no active person is known for {month.first:%B %Y}")
    notes = (
        f"all spend of {month.range_text} divided by {format_count(active_people, 'active person', 'active people')}",
        "includes spend without a person",
    )
    return Headline(name, spend.value / active_people, "usd", notes, is_provisional=spend.is_provisional)


def unallocated(month: ReportMonth, spend: Headline, amount: Decimal | None) -> Headline:
    """The unallocated share of the spend."""
    name = "Unallocated"
    if not spend.value:
        return Headline(name, None, "ratio", absent="there is no spend")
    unallocated_usd = amount or Decimal(0)
    notes = (f"{format_usd(unallocated_usd)} of the spend of {month.range_text} has no cost center",)
    return Headline(name, unallocated_usd / spend.value, "ratio", notes, is_provisional=spend.is_provisional)


def describe_change(current: Decimal, previous: Decimal) -> str:
    """Describes a change in words, to be followed by the previous period: `12.0% more than in`."""
    if not previous:
        return "no spend in" if current else "no spend, as in"
    if current == previous:
        return "the same as in"
    direction = "more" if current > previous else "less"
    if previous < 0:
        # A share of a negative amount has no meaning.
        return f"{format_usd(abs(current - previous))} {direction} than in"
    ratio = abs((current - previous) / previous)
    return "the same as in" if ratio < Decimal("0.0005") else f"{format_percent(ratio)} {direction} than in"


def _missing_notes(vendors: Mapping[str, SpendTotal]) -> list[str]:
    return [
        f"too low: {format_count(total.missing_days, 'day')} of {source_label(vendor)} missing"
        for vendor, total in vendors.items()
        if total.missing_days
    ]
