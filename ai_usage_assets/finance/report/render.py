"""The report in words: what each number is called, why one is missing, and the page around it.

Belongs here: sections, tables and sentences made of the figures, as one HTML file that asks nothing of anybody, or as a
few lines of Markdown. Does not: queries (`figures`), pictures (`charts`). Names come from the vendors and the sheet,
so the template escapes everything that is not a picture.
"""

# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from markupsafe import Markup

from ai_usage_assets.files import write_atomically
from ai_usage_assets.finance.amounts import BudgetTotals, sum_known
from ai_usage_assets.finance.report import charts
from ai_usage_assets.finance.report.data import VENDORS, Headline, Report, ReportMonth
from ai_usage_assets.rendering.templates import template_environment
from ai_usage_assets.rendering.text import (
    format_count,
    format_date,
    format_date_range,
    format_days,
    format_percent,
    format_usd,
)
from ai_usage_assets.warehouse.base import Row

# More than these are one bar, `all others`; the table has them all.
_BARS = 15
# Rows a table shows before it is folded.
_UNFOLDED = 12
_LISTED = 50
_WITHOUT_CENTS = 10_000
_LONGEST_NAME = 60
_CHECKS_NAMED = 5

_BUDGET_WORDS = {
    "budgeted": "",
    "unspent": "nothing spent yet",
    "missing": "no budget in the sheet",
    "duplicate": "several budgets in the sheet, so none is used",
    "negative": "a negative budget in the sheet, which is not used",
    "rejected": "the sheet's row cannot be read",
    "unallocated": "has no cost center, so no budget",
}
_CONTROL_WORDS = {
    "day_total": "the vendor's total of the day",
    "cost_components": "the vendor's sums by component",
    "actor_types": "the vendor's sums by kind of user",
    "landed_records": "the records as they came, added up by themselves",
    "classic_cost_report": "the vendor's other cost report (close, not equal, by design)",
}
_STATUS_WORDS = {
    "complete": "held and final",
    "provisional": "held, the vendor may still change it",
    "incomplete": "the vendor's data does not reach the day's end yet",
    "failed": "the last attempt failed",
    "not_exposed": "this key or plan may not see it",
    "not_configured": "no key is set",
    "not_loaded": "no run has asked for it",
}
_BASIS_WORDS = {"billed": "Billed", "included": "Included in seats", None: "Both together"}


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand to the right, and of names that others chose a long one is shortened."""

    name: str
    is_number: bool = False
    is_name: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text. `total` is its last row; one with many rows can be `folded` away."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences, a picture or two, and the exact figures beside them."""

    name: str
    title: str
    sentences: tuple[str, ...] = ()
    pictures: tuple[tuple[str, Markup], ...] = ()
    tables: tuple[Table, ...] = ()


def render_html(report: Report) -> str:
    """The whole page."""
    environment = template_environment(Path(__file__).parent)
    environment.globals |= {"shown": format_headline, "longest_name": _LONGEST_NAME}
    sections = [make(report, report.month) for make in _SECTIONS] if report.month else []
    return environment.get_template("report.html.j2").render(
        report=report,
        month=report.month,
        title=f"Spend on AI tools, {report.month.first:%B %Y}" if report.month else "Spend on AI tools",
        as_of=_as_of(report),
        alarms=_alarms(report),
        sections=[section for section in sections if section],
    )


def render_markdown(report: Report) -> str:
    """The numbers at the top, for the page of a run."""
    lines = [_as_of(report), *(f"\n**{alarm}**" for alarm in _alarms(report)), ""]
    for headline in report.headlines:
        told = f"**{format_headline(headline)}**" if headline.value is not None else f"none: {headline.absent}"
        lines.append(f"* {headline.name}: {told}" + (f" ({'; '.join(headline.notes)})" if headline.notes else ""))
    return "\n".join(lines)


def write_report(report: Report, file: Path) -> None:
    """Writes the page, whole or not at all."""
    # First, because drawing takes seconds.
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, render_html(report))


def format_headline(headline: Headline) -> str:
    """A headline's number; large dollars without cents."""
    if headline.value is None:
        return "–"
    if headline.unit == "ratio":
        return format_percent(headline.value)
    if abs(headline.value) >= _WITHOUT_CENTS:
        return format_usd(headline.value.quantize(Decimal(1))).removesuffix(".00")
    return format_usd(headline.value)


def _as_of(report: Report) -> str:
    if report.month is None:
        return "No day has been loaded yet, so there is nothing to report. `ai-usage run` loads the first."
    month = report.month
    until = "the whole month" if month.is_over else f"the days that are over, {month.span}"
    at = f"As of {format_date(month.as_of)}, when the figures were last brought up to date."
    return f"{month.first:%B %Y}: {until} (UTC days). {at}"


def _alarms(report: Report) -> list[str]:
    """Why the figures must not be relied on; the last part of the page has the details."""
    found = []
    if report.run and report.run["outcome"] in ("failed", "interrupted"):
        found.append(f"{_told_of(report.run)} What it was to bring may be missing.")
    failed = [*dict.fromkeys(_name_of(row) for row in report.checks if row["blocking"] and not row["passed"])]
    if failed:
        names = ", ".join(failed[:_CHECKS_NAMED])
        more = f", and {len(failed) - _CHECKS_NAMED} more" if len(failed) > _CHECKS_NAMED else ""
        found.append(f"{format_count(len(failed), 'check')} that must hold failed: {names}{more}.")
    found += [
        f"{format_count(row['differing'], 'day')} of {VENDORS[row['vendor']]} differ{'s' * (row['differing'] == 1)} from "
        f"{_CONTROL_WORDS[row['control']]}, by {format_usd(row['differing_usd'])} together."
        for row in report.controls
        # The classic report is close by design, and not equal.
        if row["differing"] and row["control"] != "classic_cost_report"
    ]
    return found


def _trend(report: Report, month: ReportMonth) -> Section:
    names = _names(report.days)
    days = [month.first + timedelta(days=n) for n in range((month.through - month.first).days + 1)]
    by_day = {(row["usage_date"], row["vendor"]): row for row in report.days}
    found = report.monthly_budgets.get(month.first)
    length = (month.last - month.first).days + 1
    if not names:
        return Section("trend", "Day by day", (f"No spend is held for {month.span}.",))
    daily = {VENDORS[name]: [_cell(by_day, (each, name), "spend_usd") for each in days] for name in names}
    totals = [sum_known(_cell(by_day, (each, name), "spend_usd") for name in names) for each in days]
    sentences = [_held_against(found, f"{month.first:%B %Y}")]
    lost: dict[date, list[str]] = {}
    for row in report.gaps:
        lost.setdefault(row["usage_date"], []).append(f"{VENDORS[row['vendor']]} is missing")
    if lost:
        sentences.append(
            f"A vendor's bill is missing for {format_days(len(lost))} of {month.span}: the table names them, and the last "
            "part of this page says why."
        )
    expected = report.forecast if report.forecast and not month.is_over else {}
    total = sum_known(totals) or Decimal(0)
    against = f", against budgets of {format_usd(found.budget_usd)} for a part of it" if found else ""
    climb = charts.climb(
        "climb",
        f"Line chart: spend of {month.span} added up, {format_usd(total)} at its end{against}.",
        length,
        totals,
        budget=found.budget_usd if found else None,
        budgeted=[sum_known(_cell(by_day, (each, name), "budgeted_usd") for name in names) for each in days]
        if found and found.other_usd
        else (),
        forecast=expected.get("forecast_usd"),
        low=expected.get("low_usd"),
        high=expected.get("high_usd"),
        label=f"{month.first:%B}",
    )
    columns = charts.columns(
        "days",
        f"Column chart: spend of each day of {month.span} by vendor. The exact values are in the table below it.",
        [str(each.day) for each in days],
        daily,
        tip_labels=[f"{each.day} {each:%B}" for each in days],
    )
    rows = tuple(
        (
            f"{each:%a} {format_date(each)}",
            *(format_usd(_cell(by_day, (each, name), "spend_usd")) for name in names),
            format_usd(total_of_day),
            "; ".join(
                [*lost.get(each, []), *_finality([by_day[each, name] for name in names if (each, name) in by_day])]
            )
            or "nothing spent",
        )
        for each, total_of_day in zip(days, totals, strict=True)
    )
    heading = _columns("Day", *(f"{VENDORS[name]}*" for name in names), "Spend*", "Is it final?")
    return Section(
        "trend",
        "Day by day",
        tuple(sentences),
        (("Spend of the month, added up", climb), ("Spend by day and vendor", columns)),
        (Table(f"Spend by day, {month.span} (billed and seats, USD)", heading, rows, folded=True),),
    )


def _months(report: Report, month: ReportMonth) -> Section | None:
    names = _names(report.months)
    shown_months = sorted({row["month"] for row in report.months})
    if len(shown_months) < 2:
        return None
    found = {(row["month"], row["vendor"]): row for row in report.months}
    budgets = [report.monthly_budgets.get(each) for each in shown_months]
    labels = [
        f"{each:%b}" + (f"\n{each:%Y}" if each.month == 1 or each == shown_months[0] else "") for each in shown_months
    ]
    tip_labels = [f"{each:%B %Y}" for each in shown_months]
    by_vendor = charts.columns(
        "months",
        "Column chart: spend of each month by vendor. The exact values are in the table below it.",
        labels,
        {VENDORS[name]: [_cell(found, (each, name), "spend_usd") for each in shown_months] for name in names},
        tip_labels=tip_labels,
    )
    pictures = [("Spend by month and vendor", by_vendor)]
    sentences = [] if month.is_over else ["The last column is the month to date."]
    if any(budgets):
        pictures.append(("Budgets and the spend that is held against them", _within(budgets, labels, tip_labels)))
        sentences.append("Only what cost centers with a budget spent is held against the budgets.")
    if any(each and each.lacking for each in budgets):
        sentences.append("A star marks months in which a cost center spent that has no budget.")
    rows = []
    for each, budget in zip(shown_months, budgets, strict=True):
        its = [found[each, name] for name in names if (each, name) in found]
        total = sum_known(row["spend_usd"] for row in its)
        missing, through = max(row["missing_days"] for row in its), max(row["through"] for row in its)
        remarks = [_open(any(row["is_provisional"] for row in its), total)]
        if each == month.first and not month.is_over:
            remarks.append(f"to {through.day} {through:%B}")
        if missing:
            remarks.append(f"{format_days(missing)} missing")
        rows.append(
            (
                f"{each:%B %Y}",
                *(format_usd(_cell(found, (each, name), "spend_usd")) for name in names),
                format_usd(total),
                *_of_budgets(budget),
                "; ".join(remarks),
            )
        )
    heading = _columns(
        "Month", *(f"{VENDORS[name]}*" for name in names), "Spend*", "Budgets*", "Spent of them*", "Used*",
        "Spent without*", "Is it final?",
    )  # fmt: skip
    return Section(
        "months",
        "Month by month",
        tuple(sentences),
        tuple(pictures),
        (Table("Spend by month (billed and seats, USD)", heading, tuple(rows), folded=len(rows) > _UNFOLDED + 1),),
    )


def _within(budgets: Sequence[BudgetTotals | None], labels: Sequence[str], tip_labels: Sequence[str]) -> Markup:
    """The months' budgets, and what was spent of them."""
    return charts.columns(
        "budgeted",
        "Column chart: what cost centers with a budget spent in each month, and their budgets. The exact values are in "
        "the table below it.",
        [
            f"{label[:3]}*{label[3:]}" if each and each.lacking else label
            for label, each in zip(labels, budgets, strict=True)
        ],
        {"Spend with a budget": [each.spend_usd if each else None for each in budgets]},
        levels=[each.budget_usd if each else None for each in budgets],
        level_name="Budget of the month",
        tip_labels=tip_labels,
    )


def _of_budgets(found: BudgetTotals | None) -> tuple[str, str, str, str]:
    """The budgets of a month, what was spent of them, and without one."""
    if found is None:
        return ("none in the sheet", "–", "–", "–")
    return (
        format_usd(found.budget_usd) + "*" * bool(found.lacking),
        format_usd(found.spend_usd),
        format_percent(found.used_ratio),
        format_usd(found.other_usd) if found.other_usd else "–",
    )


def _held_against(found: BudgetTotals | None, month: str) -> str:
    if found is None:
        return f"There is no budget line: no budget in the sheet for {month}."
    used = "" if found.used_ratio is None else f", {format_percent(found.used_ratio)}"
    told = (
        f"Cost centers with a budget have spent {format_usd(found.spend_usd)} of {format_usd(found.budget_usd)}{used}."
    )
    if found.beside:
        told += f" {found.beside}, and is not held against it."
    return told + (f" The budgets are incomplete: {found.incomplete}." if found.incomplete else "")


def _vendors(report: Report, month: ReportMonth) -> Section:
    sentences = [
        f"{VENDORS.get(name, name)} is not in these figures: no key is set for it." for name in report.not_configured
    ]
    if not report.vendors:
        return Section("vendors", "By vendor", (f"No spend is held for {month.span}.", *sentences))
    compared = "The month before" if month.is_over else "Same days of the month before"
    rows = tuple(
        (
            VENDORS[row["vendor"]],
            format_usd(row["billed_usd"]),
            format_usd(row["seat_usd"]),
            format_usd(row["spend_usd"]),
            format_usd(row["before_usd"]) if row["before_usd"] is not None else "not all held",
            _changed(row["spend_usd"], row["before_usd"]),
            format_usd(row["included_usd"]),
            _open(row["is_provisional"], row["spend_usd"]),
        )
        for row in report.vendors
    )
    sums = {
        name: sum_known(row[name] for row in report.vendors)
        for name in ("billed_usd", "seat_usd", "spend_usd", "included_usd")
    }
    before = (
        sum_known(row["before_usd"] for row in report.vendors)
        if all(row["before_usd"] is not None for row in report.vendors)
        else None
    )
    total = (
        "All",
        format_usd(sums["billed_usd"]),
        format_usd(sums["seat_usd"]),
        format_usd(sums["spend_usd"]),
        format_usd(before) if before is not None else "not all held",
        _changed(sums["spend_usd"], before),
        format_usd(sums["included_usd"]),
        _open(any(row["is_provisional"] for row in report.vendors), sums["spend_usd"]),
    )
    sentences += [
        "Spend is what is billed on top of seats, and the seats' fees spread over the days of the month. Included "
        "usage is what a seat already covers, at the vendor's rates: it is shown, and never part of the spend."
    ]
    heading = _columns("Vendor", "Billed*", "Seats*", "Spend*", f"{compared}*", "Change*", "Included*", "Is it final?")
    return Section(
        "vendors",
        "By vendor",
        tuple(sentences),
        (),
        (Table(f"Spend by vendor, {month.span} (USD)", heading, rows, total),),
    )


def _budgets(report: Report, month: ReportMonth) -> Section:
    title = "Budgets by cost center"
    if not any(row["budget_usd"] is not None for row in report.budgets):
        told = (
            f"There is no budget in the sheet for {month.first:%B %Y}, so there is nothing to hold the spend against."
        )
        notes = [row["budget_note"] for row in report.budgets if row["budget_note"]]
        return Section("budgets", title, (told, *notes))
    rows = tuple(
        (
            row["cost_center"] or "(no cost center)",
            format_usd(row["budget_usd"]) if row["budget_usd"] is not None else "none",
            format_usd(row["spend_usd"]),
            format_percent(row["used_ratio"]),
            format_usd(row["variance_usd"]),
            format_percent(row["pace_ratio"]),
            format_usd(row["projected_usd"]),
            _over(row["projected_variance_usd"]),
            row["budget_note"] or _BUDGET_WORDS[row["budget_status"]],
        )
        for row in report.budgets
    )
    first = report.budgets[0]
    sentences = [
        "Pace is the spend as a share of the part of the budget whose business days are held: over 100 % is ahead "
        "of it."
    ]
    if not month.is_over:
        sentences.insert(
            0, f"{first['elapsed_business_days']} of the month's {first['business_days']} business days are held."
        )
    heading = _columns(
        "Cost center~", "Budget*", "Spend*", "Used*", "Over (or −under)*", "Pace*", "Expected at the end*",
        "Expected to be*", "Remark",
    )  # fmt: skip
    return Section(
        "budgets",
        title,
        tuple(sentences),
        (),
        (Table(f"Budget and spend by cost center, {month.span} (USD)", heading, rows, folded=len(rows) > _LISTED),),
    )


def _teams(report: Report, month: ReportMonth) -> Section:
    if not report.teams:
        return Section("teams", "By team", (f"No spend is held for {month.span}.",))
    return Section(
        "teams",
        "By team",
        ("A person counts for the team they were in on the day. Spend that nobody is named for has no team.",),
        (
            (
                "Spend by team and vendor",
                _lying("teams", "team", report.teams, lambda row: row["team"] or "(no team)", report, month),
            ),
        ),
        (
            Table(
                f"Spend by team, {month.span} (billed and seats, USD)",
                _columns("Team~", *(f"{VENDORS[name]}*" for name in _of(report)), "Spend*", "Share*", "Change*"),
                _with_shares(report, report.teams, lambda row: row["team"] or "(no team)"),
                folded=len(report.teams) > _UNFOLDED,
            ),
        ),
    )


def _with_shares(report: Report, rows: Sequence[Row], label: Callable[[Row], str]) -> tuple[tuple[str, ...], ...]:
    whole = sum_known(row["spend_usd"] for row in rows) or Decimal(0)
    return tuple(
        (
            label(row),
            *(format_usd(row[f"{name}_usd"]) for name in _of(report)),
            format_usd(row["spend_usd"]),
            format_percent(row["spend_usd"] / whole if whole else None),
            _changed(row["spend_usd"], row["before_usd"]),
        )
        for row in rows
    )


def _people(report: Report, month: ReportMonth) -> Section | None:
    if not report.with_people:
        return None
    rows = tuple(
        (
            row["name"] or "(not in the people tab)",
            row["person_email"],
            format_usd(row["anthropic"]),
            format_usd(row["cursor_usd"]),
            format_usd(row["spend_usd"]),
            str(row["active_days"]),
        )
        for row in report.people[:_LISTED]
    )
    heading = _columns("Name~", "E-mail~", "Anthropic*", "Cursor*", "Spend*", "Active days*")
    told = () if rows else (f"No spend of {month.span} names a person.",)
    if len(report.people) > _LISTED:
        told = (f"The {_LISTED} who spent most of {len(report.people):,}.",)
    tables = (
        (Table(f"Spend by person, {month.span} (billed and seats, USD)", heading, rows, folded=True),) if rows else ()
    )
    return Section("people", "By person", told, (), tables)


def _models(report: Report, month: ReportMonth) -> Section:
    title = "By model"
    if not report.models:
        return Section("models", title, (f"No usage of {month.span} names a model.",))
    billed = [row for row in report.models if row["cost_basis"] == "billed"]
    pictures: tuple[tuple[str, Markup], ...] = ()
    if billed:
        by_model = [{"label": row["model"], f"{row['vendor']}_usd": row["amount_usd"]} for row in billed]
        picture = _lying("models", "model", by_model, lambda row: row["label"], report, month)
        pictures = (("Billed dollars by model and vendor (without seats)", picture),)
    rows = tuple(
        (
            row["model"],
            VENDORS[row["vendor"]],
            _BASIS_WORDS[row["cost_basis"]],
            format_usd(row["amount_usd"]),
            f"{row['requests']:,}" if row["requests"] is not None else "not counted",
            f"{row['total_tokens']:,}" if row["total_tokens"] is not None else "not counted",
            format_usd(row["usd_per_million_tokens"]),
        )
        for row in report.models
    )
    heading = _columns("Model~", "Vendor", "Basis", "Dollars*", "Requests*", "Tokens*", "Per million tokens*")
    return Section(
        "models",
        title,
        (
            "Billed dollars are owed; those that are included in seats are usage that a seat covers, at the vendor's "
            "rates. The two are never added. Seats have no model.",
        ),
        pictures,
        (Table(f"Usage by model, {month.span} (USD)", heading, rows, folded=len(rows) > _UNFOLDED),),
    )


def _unallocated(report: Report, month: ReportMonth) -> Section:
    title = "Spend without a cost center"
    if not report.unallocated:
        spent = sum_known(row["spend_usd"] for row in report.vendors)
        told = "Every dollar has a cost center." if spent else f"No spend is held for {month.span}."
        return Section("unallocated", title, (told,))
    total = sum_known(row["spend_usd"] for row in report.unallocated)
    share = sum_known(row["share_of_spend"] for row in report.unallocated)
    listed = report.unallocated[:_LISTED]
    rows = tuple(
        (
            _thing(row, report.with_people),
            VENDORS[row["vendor"]],
            format_usd(row["spend_usd"]),
            format_percent(row["share_of_spend"]),
            format_date(row["first_day"]),
            row["next_step"],
        )
        for row in listed
    )
    sentences = [f"{format_usd(total)}, {format_percent(share)} of the spend of {month.span}, has no cost center."]
    if len(listed) < len(report.unallocated):
        rest = sum_known(row["spend_usd"] for row in report.unallocated[_LISTED:])
        sentences.append(
            f"The {_LISTED} largest are listed; {len(report.unallocated) - _LISTED} more come to {format_usd(rest)}."
        )
    heading = _columns("What~", "Vendor", "Spend*", "Share*", "Since", "What to write into the sheet")
    table = Table(f"Spend without a cost center, {month.span} (USD)", heading, rows, folded=len(rows) > _UNFOLDED)
    return Section("unallocated", title, tuple(sentences), (), (table,))


def _thing(row: Row, with_people: bool) -> str:
    """What unallocated spend hangs on."""
    if row["person_email"] or (row["principal_type"] == "user" and row["principal_id"]):
        who = row["person_email"] or row["principal_id"]
        return f"Person {who}" if with_people else "A person who has no cost center"
    if row["api_key_id"]:
        return f"API key {row['api_key_name'] or row['api_key_id']}"
    if row["principal_id"]:
        return f"{str(row['principal_type']).replace('_', ' ').capitalize()} {row['principal_id']}"
    if row["workspace_id"]:
        return f"Workspace {row['workspace_name'] or row['workspace_id']}"
    return "Nobody named"


def _seats(report: Report, month: ReportMonth) -> Section:
    title, seats = "Seats", report.seats
    if seats is None:
        why = (
            "no key is set for Cursor"
            if "cursor" in report.not_configured
            else f"Cursor has told of no seat for {month.span}"
        )
        return Section("seats", title, (f"There are no seats to show: {why}.",))
    unknown = f", {seats['unknown_seats']} of which nothing is known" if seats["unknown_seats"] else ""
    sentences = [
        f"{format_count(seats['paid_seats'], 'paid Cursor seat')}: {seats['active_seats']} active (used in the month or "
        f"the 30 days to {format_date(month.through)}), {seats['idle_seats']} idle, {seats['never_used_seats']} never used"
        f"{unknown}.",
        f"Their fees to date are {format_usd(seats['seat_usd'])}, of which {format_usd(seats['idle_usd'])} for idle and unused ones."
        if seats["seat_usd"] is not None
        else "What they cost is not known: no price in the sheet's seat_prices.",
    ]
    if seats["leverage_ratio"] is not None:
        sentences.append(
            f"They covered usage by seat holders worth {format_usd(seats['included_usage_usd'])} at the vendor's rates, "
            f"{seats['leverage_ratio']:.1f} times the fees; {format_usd(seats['overage_usd'])} was billed on top of them for "
            "usage by seat holders. What automations and others without a seat used is in neither."
        )
    who = _columns("Name~", "E-mail~") if report.with_people else ()
    reclaim = tuple(
        (
            *((row["name"] or "(not in the people tab)", row["user_email"] or "–") if report.with_people else ()),
            row["team"] or "(no team)",
            row["plan"] or "–",
            format_usd(row["monthly_price_usd"]) if row["monthly_price_usd"] is not None else "not known",
            format_date(row["last_active_date"]) if row["last_active_date"] else "never, in all that is loaded",
            format_date(row["first_held_date"]),
        )
        for row in report.reclaim
    )
    tables = []
    if reclaim:
        told = (
            f"; giving them back saves {format_usd(seats['reclaimable_usd'])} a month"
            if seats["reclaimable_usd"]
            else ""
        )
        sentences.append(
            f"{seats['reclaimable_seats']} can be given back: paid and unused on each of the last 30 days{told}."
        )
        if not report.with_people:
            sentences.append("Who holds them is left out; `ai-usage report --with-people` says it.")
        heading = (*who, *_columns("Team~", "Plan~", "Price a month*", "Last used", "Held since"))
        tables.append(
            Table(
                f"Seats to give back, as of {format_date(month.through)} (USD)",
                heading,
                reclaim,
                folded=len(reclaim) > _UNFOLDED,
            )
        )
    else:
        sentences.append("None can be given back: none is known to have been unused on each of the last 30 days.")
    if report.near_limit:
        rows = tuple(
            (
                *((row["name"] or "(not in the people tab)", row["user_email"] or "–") if report.with_people else ()),
                row["team"] or "(no team)",
                format_usd(row["limit_spent_usd"]),
                format_usd(row["limit_usd"]),
                format_percent(row["limit_used_ratio"]),
                format_date(row["limit_as_of_date"]),
            )
            for row in report.near_limit
        )
        heading = (*who, *_columns("Team~", "Spent*", "Limit*", "Used*", "As of"))
        tables.append(
            Table("People near their on-demand limit (USD, the vendor's billing cycle)", heading, rows, folded=True)
        )
    return Section("seats", title, tuple(sentences), (), tuple(tables))


def _anomalies(report: Report, month: ReportMonth) -> Section:
    title = "Days that stand out"
    rule = (
        "A spike is at least $25.00 and twice what is usual for the same weekday in the eight weeks before, far "
        "outside what varies anyway; what is too young for that is held against its peers."
    )
    if not report.anomalies:
        spent = sum_known(row["spend_usd"] for row in report.vendors)
        told = f"No spike in {month.span}." if spent else f"No spend is held for {month.span}, so no spike either."
        return Section("anomalies", title, (told, rule))
    rows = tuple(
        (
            format_date(row["usage_date"]),
            _who(row, report.with_people),
            VENDORS[row["vendor"]],
            _BASIS_WORDS[row["cost_basis"]],
            format_usd(row["amount_usd"]),
            format_usd(row["expected_usd"]),
            format_usd(row["excess_usd"]),
            row["top_model"] or "–",
            row["team"] or "–",
            _open(row["is_provisional"], row["amount_usd"]),
        )
        for row in report.anomalies[:_LISTED]
    )
    count = len(report.anomalies)
    sentences = [f"{format_count(count, 'spike')} in {month.span}. {rule}"]
    for basis in ("billed", "included"):
        excess = sum_known(row["excess_usd"] for row in report.anomalies if row["cost_basis"] == basis)
        if excess is not None:
            what = "was billed" if basis == "billed" else "of usage was included in seats"
            sentences.append(f"{format_usd(excess)} more {what} than expected.")
    if count > _LISTED:
        sentences.append(f"The {_LISTED} largest are listed.")
    heading = _columns(
        "Day", "Who or what~", "Vendor", "Basis", "Dollars*", "Expected*", "More than expected*", "Most of it on~",
        "Team~", "Is it final?",
    )  # fmt: skip
    table = Table(f"Days that stand out, {month.span} (USD)", heading, rows, folded=len(rows) > _UNFOLDED)
    return Section("anomalies", title, tuple(sentences), (), (table,))


def _who(row: Row, with_people: bool) -> str:
    """What a spike is of."""
    kind = row["dimension"]
    name = row["dimension_name"] or row["dimension_value"] or "nobody named"
    if kind == "person" and not with_people:
        return "A person"
    words = {"api_key": "API key", "robot": "Robot", "person": "Person", "team": "Team", "model": "Model"}
    return f"{words.get(kind, kind)} {name}"


def _restatements(report: Report, month: ReportMonth) -> Section:
    title = "Figures the vendors changed"
    if not report.restatements:
        told = f"No vendor has changed the dollars of a day of {month.span}, or of an earlier day in that time."
        return Section("restatements", title, (told,))
    rows = tuple(
        (
            format_date(row["usage_date"]),
            VENDORS[row["vendor"]],
            _BASIS_WORDS[row["cost_basis"]],
            format_usd(row["old_amount_usd"]),
            format_usd(row["new_amount_usd"]),
            format_usd(row["delta_usd"]),
            format_date(row["restated_at"].date()),
            "after it counted as final" if row["was_settled"] else f"{format_days(row['days_later'])} later",
        )
        for row in report.restatements[:_LISTED]
    )
    more = len(report.restatements) - len(rows)
    billed = [row["delta_usd"] for row in report.restatements if row["cost_basis"] == "billed"]
    sentences = [
        f"{format_count(len(report.restatements), 'time')} a day's dollars changed after it was held: days of "
        f"{month.first:%B %Y}, and other days whose change was seen in that month."
    ]
    if billed:
        sentences.append(f"Together they changed what is billed by {format_usd(sum_known(billed))}.")
    if more > 0:
        sentences.append(f"The {_LISTED} largest are listed.")
    heading = _columns("Day", "Vendor", "Basis", "Before*", "After*", "Change*", "Seen on", "When")
    table = Table("Days whose dollars changed (USD)", heading, rows, folded=len(rows) > _UNFOLDED)
    return Section("restatements", title, tuple(sentences), (), (table,))


def _quality(report: Report, month: ReportMonth) -> Section:
    by_vendor: dict[str, list[Row]] = {}
    for row in report.held:
        by_vendor.setdefault(row["vendor"], []).append(row)
    sentences = []
    for vendor, rows in sorted(by_vendor.items()):
        told = ", ".join(f"{row['days']} {_STATUS_WORDS[row['status']]}" for row in rows)
        sentences.append(f"{VENDORS.get(vendor, vendor)}, days of the bill of {month.span}: {told}.")
    if not by_vendor:
        sentences.append(f"Nothing says whether the days of {month.span} are held.")
    tables = []
    if report.gaps:
        rows_of_gaps = tuple(
            (
                format_date(row["usage_date"]),
                VENDORS[row["vendor"]],
                _STATUS_WORDS[row["status"]],
                row["message"] or "–",
            )
            for row in report.gaps
        )
        heading = _columns("Day", "Vendor", "Why", "What the last attempt said")
        tables.append(
            Table("Days of the bill that are missing", heading, rows_of_gaps, folded=len(rows_of_gaps) > _UNFOLDED)
        )
    tables += _checked(report, sentences)
    if report.controls:
        differing = sum(row["differing"] for row in report.controls)
        count = sum(row["days"] for row in report.controls)
        sentences.append(
            f"{count - differing:,} of {format_count(count, 'daily total')} match the vendors' own."
            + (
                f" {differing:,} {'does' if differing == 1 else 'do'} not: the table says by how much."
                if differing
                else ""
            )
        )
        rows_of_controls = tuple(
            (
                VENDORS[row["vendor"]],
                _CONTROL_WORDS[row["control"]],
                f"{row['equal']:,}",
                f"{row['near']:,}",
                f"{row['differing']:,}",
                format_usd(row["differing_usd"]) if row["differing"] else "–",
            )
            for row in report.controls
        )
        heading = _columns(
            "Vendor", "Held against", "Days equal*", "Days within rounding*", "Days that differ*", "By together*"
        )
        tables.append(Table(f"Totals held against the vendors', {month.span} (USD)", heading, rows_of_controls))
    else:
        sentences.append(f"There is no total of a vendor to hold {month.span} against.")
    if report.run:
        sentences.append(_told_of(report.run))
    return Section("quality", "Is it complete, is it right?", tuple(sentences), (), tuple(tables))


def _checked(report: Report, sentences: list[str]) -> list[Table]:
    failed = [row for row in report.checks if not row["passed"]]
    if not report.checks:
        sentences.append("No check has been made yet.")
        return []
    at = max(row["checked_at"] for row in report.checks)
    # One that holds now, and has an older finding that stands, does not hold.
    made, not_held = ({_name_of(row) for row in rows} for rows in (report.checks, failed))
    sentences.append(
        f"{len(made) - len(not_held)} of {format_count(len(made), 'check')} hold; the last was made on "
        f"{format_date(at.date())} at {at:%H:%M} UTC."
    )
    if not failed:
        return []
    rows = tuple(
        (
            "Failed" if row["blocking"] else "Worth a look",
            _name_of(row),
            format_usd(row["amount_usd"]),
            row["message"],
            format_date_range(row["first_day"], row["last_day"]) if row["first_day"] else "all",
            format_date(row["checked_at"].date()),
        )
        for row in failed
    )
    heading = _columns("", "Check", "Touches*", "What is wrong, and what to do", "Days looked at", "Checked")
    return [Table("Checks that ask for a look (USD)", heading, rows)]


def _name_of(check: Row) -> str:
    return f"{check['check_name'].replace('_', ' ')} ({check['asset']})"


def _told_of(run: Row) -> str:
    days = f" for {format_date_range(run['first_day'], run['last_day'])}" if run["first_day"] else ""
    ended = {
        "running": "was still at work when this was written",
        "success": "ended well",
        "failed": "failed",
        "interrupted": "was interrupted",
    }[run["outcome"]]
    return f"The last run ({run['job']}, {format_date(run['started_at'].date())}{days}) {ended}."


def _lying(
    name: str, what: str, rows: Sequence[Row], label: Callable[[Row], str], report: Report, month: ReportMonth
) -> Markup:
    """Bars of the largest, and one of all others."""
    shown_rows, rest = (rows, []) if len(rows) <= _BARS + 1 else (rows[:_BARS], rows[_BARS:])
    labels = [label(row) for row in shown_rows] + ([f"{len(rest)} others"] if rest else [])
    series = {}
    for vendor in _of(report):
        amounts = [row.get(f"{vendor}_usd") for row in shown_rows]
        if rest:
            amounts.append(sum_known(row.get(f"{vendor}_usd") for row in rest))
        series[VENDORS[vendor]] = amounts
    described = (
        f"Bar chart: dollars by {what}, {month.span}, the largest first. The exact values are in the table below it."
    )
    return charts.bars(name, described, labels, series)


def _of(report: Report) -> list[str]:
    """The vendors that the month has spend of, always in one order, so that a colour stays a vendor's."""
    return _names(report.vendors)


def _names(rows: Sequence[Row]) -> list[str]:
    found = {row["vendor"] for row in rows}
    return [name for name in VENDORS if name in found]


def _columns(*names: str) -> tuple[Column, ...]:
    """Columns by what they are called; a star marks numbers, a tilde names that others chose."""
    return tuple(Column(name.rstrip("*~"), name.endswith("*"), name.endswith("~")) for name in names)


def _cell(found: Mapping[tuple[date, str], Row], key: tuple[date, str], name: str) -> Decimal | None:
    row = found.get(key)
    return row[name] if row else None


def _open(is_provisional: bool, amount: Decimal | None) -> str:
    if amount is None:
        return "not held"
    return "may still change" if is_provisional else "final"


def _finality(rows: Sequence[Row]) -> list[str]:
    return ["may still change" if any(row["is_provisional"] for row in rows) else "final"] if rows else []


def _changed(now: Decimal | None, before: Decimal | None) -> str:
    if now is None or before is None or before < 0:
        return "–"
    if not before:
        return "new" if now else "–"
    return f"{'+' if now >= before else ''}{format_percent((now - before) / before)}"


def _over(variance: Decimal | None) -> str:
    if variance is None:
        return "–"
    return f"{format_usd(abs(variance))} {'over' if variance > 0 else 'under'}"


_SECTIONS: tuple[Callable[[Report, ReportMonth], Section | None], ...] = (
    _trend,
    _months,
    _vendors,
    _budgets,
    _teams,
    _people,
    _models,
    _unallocated,
    _seats,
    _anomalies,
    _restatements,
    _quality,
)
