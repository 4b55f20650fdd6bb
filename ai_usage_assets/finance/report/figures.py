"""Arrange the figures of the report: its rows of days and months, and the data of its charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from markupsafe import Markup

from ai_usage_assets.decimals import sum_known
from ai_usage_assets.finance.amounts import BudgetTotals
from ai_usage_assets.finance.report import charts
from ai_usage_assets.finance.report.base import DayRow, Report, ReportMonth
from ai_usage_assets.finance.report.labels import NO_TEAM
from ai_usage_assets.registry import SOURCES, source_label
from ai_usage_assets.rendering.text import format_count, format_usd

_MAX_BARS = 15
_TABLE_BELOW = "The table below has the exact values."

Amounts = Mapping[str, Decimal | None]


@dataclass(frozen=True)
class PeriodSpend:
    """The spend of a day or month that begins on `first`. A day has no budget; its total is None without spend."""

    first: date
    amounts: Amounts
    total_usd: Decimal | None
    status: str
    budget: BudgetTotals | None = None


def order_vendors(vendors: Iterable[str]) -> list[str]:
    """The vendors in the order of the registry, so that each keeps its color in every chart."""
    present = set(vendors)
    registered = [entry.name for entry in SOURCES if entry.name in present]
    return [*registered, *sorted(present.difference(registered))]


def build_daily(report: Report, month: ReportMonth) -> list[PeriodSpend]:
    """The finished days of the month; empty when no spend is loaded."""
    if not report.days:
        return []
    rows: dict[date, list[DayRow]] = defaultdict(list)
    for row in report.days:
        rows[row["usage_date"]].append(row)
    statuses: dict[date, list[str]] = defaultdict(list)
    for gap in report.missing_days:
        statuses[gap["usage_date"]].append(f"{source_label(gap['vendor'])} missing")
    daily = []
    for number in range((month.through_day - month.first).days + 1):
        day = month.first + timedelta(days=number)
        total = sum_known(row["spend_usd"] for row in rows[day])
        if total is not None:
            statuses[day].append(_format_status(row["is_provisional"] for row in rows[day]))
        elif rows[day]:
            statuses[day].append("not loaded")
        amounts = {row["vendor"]: row["spend_usd"] for row in rows[day]}
        daily.append(PeriodSpend(day, amounts, total, "; ".join(statuses[day]) or "no spend"))
    return daily


def build_monthly(report: Report, month: ReportMonth) -> list[PeriodSpend]:
    """The months shown, oldest first; empty while there is only one."""
    months = sorted({each for each, _ in report.months})
    if len(months) < 2:
        return []
    monthly = []
    for each in months:
        parts = {vendor: total for (other, vendor), total in report.months.items() if other == each}
        status = [_format_status(part.is_provisional for part in parts.values())]
        if each == month.first and not month.is_over:
            through = max(part.through_day for part in parts.values())
            status.append(f"through {through:%B} {through.day}")
        if missing := max(part.missing_days for part in parts.values()):
            status.append(f"{format_count(missing, 'day')} missing")
        monthly.append(
            PeriodSpend(
                each,
                {vendor: part.spend_usd for vendor, part in parts.items()},
                sum((part.spend_usd for part in parts.values()), Decimal(0)),
                "; ".join(status),
                report.monthly_budgets.get(each),
            )
        )
    return monthly


def _format_status(provisional: Iterable[bool]) -> str:
    return "provisional" if any(provisional) else "final"


def draw_charts(
    report: Report, month: ReportMonth, daily: Sequence[PeriodSpend], monthly: Sequence[PeriodSpend]
) -> dict[str, Markup | None]:
    """Draws the charts of the page by name; None for a chart without data."""
    days = month.range_text
    teams = [(team.team or NO_TEAM, team.by_vendor) for team in report.teams]
    billed = [row for row in report.models if row["cost_basis"] == "billed"]
    models = [(row["model"], {row["vendor"]: row["amount_usd"]}) for row in billed]
    return {
        "cumulative": _draw_cumulative(report, month, daily) if daily else None,
        "days": charts.draw_columns(
            "days",
            f"Column chart: spend of each day of {days} by vendor. {_TABLE_BELOW}",
            [str(row.first.day) for row in daily],
            _series_by_vendor([row.amounts for row in daily]),
            tooltip_labels=[f"{row.first.day} {row.first:%B}" for row in daily],
        )
        if daily
        else None,
        **(_draw_months(monthly) if monthly else {}),
        "teams": _draw_bars("teams", f"spend by team, {days}", teams, report) if teams else None,
        "models": _draw_bars("models", f"billed dollars by model, {days}", models, report) if models else None,
    }


def _draw_cumulative(report: Report, month: ReportMonth, daily: Sequence[PeriodSpend]) -> Markup:
    budgets = report.monthly_budgets.get(month.first)
    budgeted: list[Decimal | None] = []
    if budgets and budgets.unbudgeted_usd:
        budgeted = [
            sum_known(row["budgeted_usd"] for row in report.days if row["usage_date"] == each.first) for each in daily
        ]
    totals = [row.total_usd for row in daily]
    compared = f", compared with budgets of {format_usd(budgets.budget_usd)}" if budgets else ""
    forecast = None if month.is_over else report.forecast
    return charts.draw_cumulative(
        "cumulative",
        f"Line chart: cumulative spend of {month.range_text}, {format_usd(sum_known(totals) or Decimal(0))}{compared}.",
        (month.last - month.first).days + 1,
        totals,
        month_name=f"{month.first:%B}",
        budget=budgets.budget_usd if budgets else None,
        budgeted=budgeted,
        forecast=forecast["forecast_usd"] if forecast else None,
        low=forecast["low_usd"] if forecast else None,
        high=forecast["high_usd"] if forecast else None,
    )


def _draw_months(monthly: Sequence[PeriodSpend]) -> dict[str, Markup | None]:
    labels, budget_labels = [], []
    for number, row in enumerate(monthly):
        year = f"\n{row.first:%Y}" if row.first.month == 1 or number == 0 else ""
        labels.append(f"{row.first:%b}{year}")
        budget_labels.append(f"{row.first:%b}{'*' if row.budget and row.budget.missing else ''}{year}")
    tooltip_labels = [f"{row.first:%B %Y}" for row in monthly]
    budgets = [row.budget for row in monthly]
    return {
        "months": charts.draw_columns(
            "months",
            f"Column chart: spend of each month by vendor. {_TABLE_BELOW}",
            labels,
            _series_by_vendor([row.amounts for row in monthly]),
            tooltip_labels=tooltip_labels,
        ),
        "budgeted": charts.draw_columns(
            "budgeted",
            "Column chart: spend of cost centers with a budget in each month, and their budgets. " + _TABLE_BELOW,
            budget_labels,
            {"Spend with a budget": [budget.spend_usd if budget else None for budget in budgets]},
            levels=[budget.budget_usd if budget else None for budget in budgets],
            level_name="Budget",
            tooltip_labels=tooltip_labels,
        )
        if any(budgets)
        else None,
    }


def _draw_bars(name: str, subject: str, items: Sequence[tuple[str, Amounts]], report: Report) -> Markup:
    """Draws a bar of each vendor's amounts for the largest items, and one bar for all others. `items` are in order."""
    shown, others = (items, []) if len(items) <= _MAX_BARS + 1 else (items[:_MAX_BARS], items[_MAX_BARS:])
    bars = [*shown]
    if others:
        rest = {vendor: sum_known(amounts.get(vendor) for _, amounts in others) for vendor in report.vendors}
        bars.append((f"{len(others)} others", rest))
    return charts.draw_bars(
        name,
        f"Bar chart: {subject}, the largest first. {_TABLE_BELOW}",
        [label for label, _ in bars],
        _series_by_vendor([amounts for _, amounts in bars], report.vendors),
    )


def _series_by_vendor(rows: Sequence[Amounts], vendors: Iterable[str] | None = None) -> dict[str, list[Decimal | None]]:
    """The amounts of each vendor, by default of those in the rows, under the vendor's label."""
    ordered = order_vendors({vendor for row in rows for vendor in row} if vendors is None else vendors)
    return {source_label(vendor): [row.get(vendor) for row in rows] for vendor in ordered}
