"""The sections on who spends: budgets, teams, people, and unallocated spend."""

from __future__ import annotations

from decimal import Decimal

from ai_usage_assets.finance.amounts import sum_known
from ai_usage_assets.finance.report.base import BudgetRow, Report, ReportMonth, UnallocatedRow
from ai_usage_assets.finance.report.sections.bars import draw_vendor_bars
from ai_usage_assets.finance.report.tables import (
    MAX_LISTED_ROWS,
    MAX_OPEN_ROWS,
    Chart,
    Section,
    Table,
    format_change,
    names,
    numbers,
    order_vendors,
    texts,
)
from ai_usage_assets.registry import SOURCES, source_label
from ai_usage_assets.rendering.text import NONE, format_date, format_percent, format_usd

UNALLOCATED = "Unallocated"
NO_TEAM = "(no team)"

_BUDGET_REMARKS = {
    "budgeted": "",
    "unspent": "no spend yet",
    "missing": "no budget in the sheet",
    "duplicate": "several budgets in the sheet; none is used",
    "negative": "negative budget in the sheet; not used",
    "rejected": "the row in the sheet is invalid",
    "unallocated": "unallocated spend has no budget",
}


def build_budgets(report: Report, month: ReportMonth) -> Section:
    """Budget and spend of each cost center."""
    title = "Budgets by cost center"
    if not any(row["budget_usd"] is not None for row in report.budgets):
        notes = [row["budget_note"] for row in report.budgets if row["budget_note"]]
        return Section("budgets", title, (f"The sheet has no budget for {month.first:%B %Y}.", *notes))
    sentences = [
        "Pace is the spend as a share of the budget for the business days loaded so far; above 100% is ahead of it."
    ]
    if not month.is_over:
        first = report.budgets[0]
        elapsed = f"{first['elapsed_business_days']} of the month's {first['business_days']} business days are loaded."
        sentences.insert(0, elapsed)
    rows = [
        (
            row["cost_center"] or UNALLOCATED,
            format_usd(row["budget_usd"]) if row["budget_usd"] is not None else "none",
            format_usd(row["spend_usd"]),
            format_percent(row["used_ratio"]),
            format_usd(row["variance_usd"]),
            format_percent(row["pace_ratio"]),
            format_usd(row["projected_usd"]),
            _format_variance(row),
            row["budget_note"] or _BUDGET_REMARKS[row["budget_status"]],
        )
        for row in report.budgets
    ]
    columns = (
        *names("Cost center"),
        *numbers("Budget", "Spend", "Used", "Over (or −under)", "Pace", "Forecast", "Forecast over or under"),
        *texts("Remark"),
    )
    caption = f"Budget and spend by cost center, {month.range_text} (USD)"
    return Section(
        "budgets", title, sentences, (), (Table(caption, columns, rows, folded=len(rows) > MAX_LISTED_ROWS),)
    )


def _format_variance(row: BudgetRow) -> str:
    variance = row["projected_variance_usd"]
    if variance is None:
        return NONE
    return f"{format_usd(abs(variance))} {'over' if variance > 0 else 'under'}"


def build_teams(report: Report, month: ReportMonth) -> Section:
    """The spend of each team."""
    title = "By team"
    if not report.teams:
        return Section("teams", title, (f"No spend is loaded for {month.range_text}.",))
    vendors = order_vendors(report.vendors)
    whole = sum((team.total.spend_usd for team in report.teams), Decimal(0))
    rows = [
        (
            team.team or NO_TEAM,
            *(format_usd(team.by_vendor.get(vendor)) for vendor in vendors),
            format_usd(team.total.spend_usd),
            format_percent(team.total.spend_usd / whole if whole else None),
            format_change(team.total.spend_usd, team.total.previous_usd),
        )
        for team in report.teams
    ]
    columns = (*names("Team"), *numbers(*map(source_label, vendors), "Spend", "Share", "Change"))
    chart = draw_vendor_bars(
        "teams",
        f"spend by team, {month.range_text}",
        [(team.team or NO_TEAM, team.by_vendor) for team in report.teams],
        vendors,
    )
    caption = f"Spend by team, {month.range_text} (billed and seats, USD)"
    return Section(
        "teams",
        title,
        ("A person counts toward the team they belonged to on the day. Spend without a person has no team.",),
        (Chart("Spend by team and vendor", chart),),
        (Table(caption, columns, rows, folded=len(rows) > MAX_OPEN_ROWS),),
    )


def build_people(report: Report, month: ReportMonth) -> Section | None:
    """The spend of each person; None unless the report shows people."""
    if not report.with_people:
        return None
    if not report.people:
        return Section("people", "By person", (f"No spend of {month.range_text} has a person.",))
    vendors = [entry.name for entry in SOURCES]
    rows = [
        (
            person.name or "(not in the people tab)",
            person.email,
            *(format_usd(person.by_vendor.get(vendor, Decimal(0))) for vendor in vendors),
            format_usd(person.spend_usd),
            str(person.active_days),
        )
        for person in report.people[:MAX_LISTED_ROWS]
    ]
    sentences = []
    if len(report.people) > MAX_LISTED_ROWS:
        sentences.append(f"The {MAX_LISTED_ROWS} of {len(report.people):,} people with the highest spend are listed.")
    columns = (*names("Name", "E-mail"), *numbers(*map(source_label, vendors), "Spend", "Active days"))
    caption = f"Spend by person, {month.range_text} (billed and seats, USD)"
    return Section("people", "By person", sentences, (), (Table(caption, columns, rows, folded=True),))


def build_unallocated(report: Report, month: ReportMonth) -> Section:
    """Unallocated spend by principal, with the row to add to the sheet."""
    title = "Unallocated spend"
    if not report.unallocated:
        spend = sum_known(total.spend_usd for total in report.vendors.values())
        text = "All spend is allocated to a cost center." if spend else f"No spend is loaded for {month.range_text}."
        return Section("unallocated", title, (text,))
    total = sum_known(row["spend_usd"] for row in report.unallocated)
    share = sum_known(row["share_of_spend"] for row in report.unallocated)
    listed, others = report.unallocated[:MAX_LISTED_ROWS], report.unallocated[MAX_LISTED_ROWS:]
    sentences = [
        f"{format_usd(total)} of the spend of {month.range_text}, {format_percent(share)}, has no cost center."
    ]
    if others:
        rest = format_usd(sum_known(row["spend_usd"] for row in others))
        sentences.append(f"The {MAX_LISTED_ROWS} largest items are listed; {len(others):,} others add up to {rest}.")
    rows = [
        (
            _describe_principal(row, with_people=report.with_people),
            source_label(row["vendor"]),
            format_usd(row["spend_usd"]),
            format_percent(row["share_of_spend"]),
            format_date(row["first_day"]),
            row["next_step"],
        )
        for row in listed
    ]
    columns = (
        *names("Principal"), *texts("Vendor"), *numbers("Spend", "Share"), *texts("Since", "Row to add to the sheet")
    )  # fmt: skip
    caption = f"Unallocated spend, {month.range_text} (USD)"
    return Section(
        "unallocated", title, sentences, (), (Table(caption, columns, rows, folded=len(rows) > MAX_OPEN_ROWS),)
    )


def _describe_principal(row: UnallocatedRow, *, with_people: bool) -> str:
    if row["person_email"] or (row["principal_type"] == "user" and row["principal_id"]):
        return (
            f"Person {row['person_email'] or row['principal_id']}" if with_people else "A person without a cost center"
        )
    if row["api_key_id"]:
        return f"API key {row['api_key_name'] or row['api_key_id']}"
    if row["principal_id"]:
        return f"{str(row['principal_type']).replace('_', ' ').capitalize()} {row['principal_id']}"
    if row["workspace_id"]:
        return f"Workspace {row['workspace_name'] or row['workspace_id']}"
    return "No principal"
