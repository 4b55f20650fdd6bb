"""The sections on spend over time and by vendor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from markupsafe import Markup

from ai_usage_assets.finance.amounts import BudgetTotals, sum_known
from ai_usage_assets.finance.report import charts
from ai_usage_assets.finance.report.base import Report, ReportMonth, SpendTotal
from ai_usage_assets.finance.report.tables import (
    MAX_OPEN_ROWS,
    Chart,
    Section,
    Table,
    format_change,
    format_status,
    numbers,
    order_vendors,
    texts,
)
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import NONE, format_count, format_date, format_percent, format_usd


def build_daily(report: Report, month: ReportMonth) -> Section:
    """The spend of each day, and how it adds up to the month."""
    title = "Daily spend"
    vendors = order_vendors(row["vendor"] for row in report.days)
    if not vendors:
        return Section("daily", title, (f"No spend is loaded for {month.range_text}.",))
    days = [month.first + timedelta(days=n) for n in range((month.through_day - month.first).days + 1)]
    rows = {(row["usage_date"], row["vendor"]): row for row in report.days}
    spend = {
        vendor: [rows[day, vendor]["spend_usd"] if (day, vendor) in rows else None for day in days]
        for vendor in vendors
    }
    totals = [sum_known(amounts) for amounts in zip(*spend.values(), strict=True)]
    missing: dict[date, list[str]] = defaultdict(list)
    for gap in report.missing_days:
        missing[gap["usage_date"]].append(f"{source_label(gap['vendor'])} missing")
    budgets = report.monthly_budgets.get(month.first)
    sentences = [_describe_budgets(budgets, f"{month.first:%B %Y}")]
    if missing:
        sentences.append(
            f"A vendor's bill is missing on {format_count(len(missing), 'day')} of {month.range_text}. The section on "
            "data quality gives the reasons."
        )
    table_rows = []
    for day, total in zip(days, totals, strict=True):
        day_rows = [rows[day, vendor] for vendor in vendors if (day, vendor) in rows]
        status = list(missing.get(day, []))
        if day_rows:
            status.append(format_status(total, is_provisional=any(row["is_provisional"] for row in day_rows)))
        amounts = [rows[day, vendor]["spend_usd"] if (day, vendor) in rows else None for vendor in vendors]
        table_rows.append(
            (
                f"{day:%a} {format_date(day)}",
                *map(format_usd, amounts),
                format_usd(total),
                "; ".join(status) or "no spend",
            )
        )
    columns = (*texts("Day"), *numbers(*map(source_label, vendors), "Spend"), *texts("Status"))
    daily_chart = charts.draw_columns(
        "days",
        f"Column chart: spend of each day of {month.range_text} by vendor. The table below has the exact values.",
        [str(day.day) for day in days],
        {source_label(vendor): amounts for vendor, amounts in spend.items()},
        tooltip_labels=[f"{day.day} {day:%B}" for day in days],
    )
    return Section(
        "daily",
        title,
        sentences,
        (
            Chart("Cumulative spend of the month", _draw_cumulative(report, month, days, totals, budgets)),
            Chart("Spend by day and vendor", daily_chart),
        ),
        (Table(f"Spend by day, {month.range_text} (billed and seats, USD)", columns, table_rows, folded=True),),
    )


def _draw_cumulative(
    report: Report,
    month: ReportMonth,
    days: Sequence[date],
    totals: Sequence[Decimal | None],
    budgets: BudgetTotals | None,
) -> Markup:
    budgeted: list[Decimal | None] = []
    if budgets and budgets.unbudgeted_usd:
        budgeted = [sum_known(row["budgeted_usd"] for row in report.days if row["usage_date"] == day) for day in days]
    total = sum_known(totals) or Decimal(0)
    compared = f", compared with budgets of {format_usd(budgets.budget_usd)}" if budgets else ""
    forecast = None if month.is_over else report.forecast
    return charts.draw_cumulative(
        "cumulative",
        f"Line chart: cumulative spend of {month.range_text}, {format_usd(total)}{compared}.",
        (month.last - month.first).days + 1,
        totals,
        month_name=f"{month.first:%B}",
        budget=budgets.budget_usd if budgets else None,
        budgeted=budgeted,
        forecast=forecast["forecast_usd"] if forecast else None,
        low=forecast["low_usd"] if forecast else None,
        high=forecast["high_usd"] if forecast else None,
    )


def _describe_budgets(budgets: BudgetTotals | None, month_name: str) -> str:
    if budgets is None:
        return f"The sheet has no budget for {month_name}."
    used = "" if budgets.used_ratio is None else f", {format_percent(budgets.used_ratio)}"
    parts = [
        f"Cost centers with a budget have spent {format_usd(budgets.spend_usd)} of "
        f"{format_usd(budgets.budget_usd)}{used}."
    ]
    if budgets.unbudgeted_text:
        parts.append(f"{budgets.unbudgeted_text}.")
    if budgets.missing_text:
        parts.append(f"Budgets are incomplete: {budgets.missing_text}.")
    return " ".join(parts)


def build_monthly(report: Report, month: ReportMonth) -> Section | None:
    """The spend of each month; None while there is only one month."""
    months = sorted({each for each, _ in report.months})
    if len(months) < 2:
        return None
    vendors = order_vendors(vendor for _, vendor in report.months)
    totals = report.months
    budgets = [report.monthly_budgets.get(each) for each in months]
    labels = [f"{each:%b}" + (f"\n{each:%Y}" if each.month == 1 or each == months[0] else "") for each in months]
    tooltip_labels = [f"{each:%B %Y}" for each in months]
    spend_chart = charts.draw_columns(
        "months",
        "Column chart: spend of each month by vendor. The table below has the exact values.",
        labels,
        {
            source_label(vendor): [
                totals[each, vendor].spend_usd if (each, vendor) in totals else None for each in months
            ]
            for vendor in vendors
        },
        tooltip_labels=tooltip_labels,
    )
    section_charts = [Chart("Spend by month and vendor", spend_chart)]
    sentences = [] if month.is_over else ["The last column is the month to date."]
    if any(budgets):
        budget_chart = charts.draw_columns(
            "budgeted",
            "Column chart: spend of cost centers with a budget in each month, and their budgets. The table below has "
            "the exact values.",
            [
                f"{label[:3]}*{label[3:]}" if budget and budget.missing else label
                for label, budget in zip(labels, budgets, strict=True)
            ],
            {"Spend with a budget": [budget.spend_usd if budget else None for budget in budgets]},
            levels=[budget.budget_usd if budget else None for budget in budgets],
            level_name="Budget",
            tooltip_labels=tooltip_labels,
        )
        section_charts.append(Chart("Budgets and the spend they cover", budget_chart))
        sentences.append("Budgets are compared with the spend of cost centers that have a budget.")
    if any(budget and budget.missing for budget in budgets):
        sentences.append("An asterisk marks months in which a cost center with spend had no budget.")
    rows = []
    for each, budget in zip(months, budgets, strict=True):
        by_vendor = {vendor: totals[each, vendor] for vendor in vendors if (each, vendor) in totals}
        total = sum((part.spend_usd for part in by_vendor.values()), Decimal(0))
        rows.append(
            (
                f"{each:%B %Y}",
                *(format_usd(by_vendor[vendor].spend_usd if vendor in by_vendor else None) for vendor in vendors),
                format_usd(total),
                *_budget_cells(budget),
                _month_status([*by_vendor.values()], to_date=each == month.first and not month.is_over),
            )
        )
    columns = (
        *texts("Month"),
        *numbers(*map(source_label, vendors), "Spend", "Budgets", "Spent of budgets", "Used", "Spent without budget"),
        *texts("Status"),
    )
    table = Table("Spend by month (billed and seats, USD)", columns, rows, folded=len(rows) > MAX_OPEN_ROWS + 1)
    return Section("monthly", "Monthly spend", sentences, section_charts, (table,))


def _budget_cells(budget: BudgetTotals | None) -> tuple[str, str, str, str]:
    if budget is None:
        return ("no budget", NONE, NONE, NONE)
    return (
        format_usd(budget.budget_usd) + ("*" if budget.missing else ""),
        format_usd(budget.spend_usd),
        format_percent(budget.used_ratio),
        format_usd(budget.unbudgeted_usd) if budget.unbudgeted_usd else NONE,
    )


def _month_status(parts: Sequence[SpendTotal], *, to_date: bool) -> str:
    status = ["provisional" if any(part.is_provisional for part in parts) else "final"]
    if to_date:
        through = max(part.through_day for part in parts)
        status.append(f"to {through.day} {through:%B}")
    if missing := max(part.missing_days for part in parts):
        status.append(f"{format_count(missing, 'day')} missing")
    return "; ".join(status)


def build_vendors(report: Report, month: ReportMonth) -> Section:
    """The spend of each vendor, compared with the previous month."""
    title = "By vendor"
    absent = [f"{source_label(vendor)} is not included: it is not configured." for vendor in report.not_configured]
    if not report.vendors:
        return Section("vendors", title, (f"No spend is loaded for {month.range_text}.", *absent))
    vendors = order_vendors(report.vendors)
    parts = [report.vendors[vendor] for vendor in vendors]
    comparable = all(part.previous_usd is not None for part in parts)
    total = SpendTotal(
        billed_usd=sum_known(part.billed_usd for part in parts),
        seat_usd=sum_known(part.seat_usd for part in parts),
        spend_usd=sum((part.spend_usd for part in parts), Decimal(0)),
        included_usd=sum_known(part.included_usd for part in parts),
        previous_usd=sum_known(part.previous_usd for part in parts) if comparable else None,
        through_day=month.through_day,
        missing_days=0,
        is_provisional=any(part.is_provisional for part in parts),
    )
    previous = "Previous month" if month.is_over else "Same days of previous month"
    columns = (
        *texts("Vendor"),
        *numbers("Billed", "Seats", "Spend", previous, "Change", "Included"),
        *texts("Status"),
    )
    rows = [(source_label(vendor), *_vendor_cells(report.vendors[vendor])) for vendor in vendors]
    table = Table(f"Spend by vendor, {month.range_text} (USD)", columns, rows, ("Total", *_vendor_cells(total)))
    explanation = (
        "Spend is what is billed on top of seats plus the seat fees, spread over the days of the month. Included usage "
        "is covered by a seat and valued at the vendor's rates; it is never part of the spend."
    )
    return Section("vendors", title, (*absent, explanation), (), (table,))


def _vendor_cells(total: SpendTotal) -> tuple[str, ...]:
    return (
        format_usd(total.billed_usd),
        format_usd(total.seat_usd),
        format_usd(total.spend_usd),
        format_usd(total.previous_usd) if total.previous_usd is not None else "not all loaded",
        format_change(total.spend_usd, total.previous_usd),
        format_usd(total.included_usd),
        format_status(total.spend_usd, is_provisional=total.is_provisional),
    )
