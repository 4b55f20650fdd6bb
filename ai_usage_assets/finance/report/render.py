"""Render the report as an HTML page without external resources, or its headlines as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ai_usage_assets.decimals import sum_known
from ai_usage_assets.files import write_atomically
from ai_usage_assets.finance.report import figures, labels
from ai_usage_assets.finance.report.base import Headline, Report
from ai_usage_assets.registry import SOURCES, source_label
from ai_usage_assets.rendering.templates import template_environment
from ai_usage_assets.rendering.text import (
    NONE,
    format_count,
    format_date,
    format_date_range,
    format_percent,
    format_usd,
    format_whole_usd,
)
from ai_usage_assets.warehouse.base import Row

_MIN_WITHOUT_CENTS = 10_000
# Not within an escaped character such as `&amp;`.
_BREAK = re.compile(r"([_:./@])(?=\w)")
_SECTIONS = {
    "daily": "Daily spend",
    "monthly": "Monthly spend",
    "vendors": "By vendor",
    "budgets": "Budgets by cost center",
    "teams": "By team",
    "people": "By person",
    "models": "By model",
    "unallocated": "Unallocated spend",
    "seats": "Seats",
    "anomalies": "Anomalies",
    "restatements": "Restatements",
    "quality": "Data quality",
}


def render_html(report: Report) -> str:
    """Renders the page."""
    environment = template_environment(Path(__file__).parent)
    environment.globals |= {"format_headline": format_headline, "labels": labels}
    environment.filters |= {
        "usd": format_usd,
        "percent": format_percent,
        "change": format_change,
        "date": format_date,
        "date_range": format_date_range,
        "counted": format_count,
        "vendor": source_label,
        "total": _total,
        "breakable": _mark_breaks,
    }
    return environment.get_template("report.html.j2").render(
        report=report,
        title=f"AI tool spend, {report.month.first:%B %Y}" if report.month else "AI tool spend",
        subtitle=_subtitle(report),
        alarms=list(labels.find_alarms(report)),
        **_section_context(report),
    )


def _section_context(report: Report) -> dict[str, Any]:
    month = report.month
    if month is None:
        return {"sections": {}}
    daily = figures.build_daily(report, month)
    monthly = figures.build_monthly(report, month)
    is_shown = {"monthly": bool(monthly), "people": report.with_people}
    return {
        "sections": {anchor: title for anchor, title in _SECTIONS.items() if is_shown.get(anchor, True)},
        "month": month,
        "daily": daily,
        "monthly": monthly,
        "day_vendors": figures.order_vendors(row["vendor"] for row in report.days),
        "month_vendors": figures.order_vendors(vendor for _, vendor in report.months),
        "vendors": figures.order_vendors(report.vendors),
        "all_vendors": [entry.name for entry in SOURCES],
        "has_spend": bool(report.total and report.total.spend_usd),
        "charts": figures.draw_charts(report, month, daily, monthly),
    }


def render_markdown(report: Report) -> str:
    """Renders the headlines for the page of a run."""
    lines = [_subtitle(report), *(f"\n**{alarm}**" for alarm in labels.find_alarms(report)), ""]
    for headline in report.headlines:
        value = f"**{format_headline(headline)}**" if headline.value is not None else f"none ({headline.absent})"
        notes = f" ({'; '.join(headline.notes)})" if headline.notes else ""
        lines.append(f"* {headline.name}: {value}{notes}")
    return "\n".join(lines)


def write_report(report: Report, file: Path) -> None:
    """Writes the page atomically. Raises OSError."""
    # A wrong path must fail before the drawing, which takes seconds.
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, render_html(report))


def format_headline(headline: Headline) -> str:
    """The value of a headline; large amounts are shown without cents."""
    if headline.value is None:
        return NONE
    if headline.unit == "ratio":
        return format_percent(headline.value)
    if abs(headline.value) >= _MIN_WITHOUT_CENTS:
        return format_whole_usd(headline.value)
    return format_usd(headline.value)


def format_change(current: Decimal | None, previous: Decimal | None) -> str:
    """The relative change between two amounts."""
    if current is None or previous is None or previous < 0:
        return NONE
    if not previous:
        return "new" if current else NONE
    return f"{'+' if current >= previous else ''}{format_percent((current - previous) / previous)}"


def _mark_breaks(value: object) -> Markup:
    """Escapes a text and lets the browser break ids and names of views after punctuation instead of within a word."""
    return Markup(_BREAK.sub(r"\1<wbr>", str(escape(value))))  # noqa: S704 - escaped


def _total(rows: Iterable[Row], column: str) -> Decimal | None:
    return sum_known(row[column] for row in rows)


def _subtitle(report: Report) -> str:
    if report.month is None:
        return "No day is loaded yet. Run `ai-usage run` to load the first."
    month = report.month
    days = "the whole month" if month.is_over else f"month to date, {month.range_text}"
    return f"{month.first:%B %Y}, {days} (UTC days). Last updated on {format_date(month.as_of_date)}."
