"""Render the report as an HTML page without external resources, or its headlines as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ai_usage_assets.files import write_atomically
from ai_usage_assets.finance.report.base import Headline, Report, ReportMonth
from ai_usage_assets.finance.report.sections import allocation, quality, spend, usage
from ai_usage_assets.finance.report.tables import Section
from ai_usage_assets.rendering.templates import template_environment
from ai_usage_assets.rendering.text import NONE, format_date, format_percent, format_usd, format_whole_usd

_MIN_WITHOUT_CENTS = 10_000
_MAX_NAME_LENGTH = 60

_SECTIONS: tuple[Callable[[Report, ReportMonth], Section | None], ...] = (
    spend.build_daily,
    spend.build_monthly,
    spend.build_vendors,
    allocation.build_budgets,
    allocation.build_teams,
    allocation.build_people,
    usage.build_models,
    allocation.build_unallocated,
    usage.build_seats,
    quality.build_anomalies,
    quality.build_restatements,
    quality.build_quality,
)


def render_html(report: Report) -> str:
    """Renders the page."""
    environment = template_environment(Path(__file__).parent)
    environment.globals |= {"format_headline": format_headline, "max_name_length": _MAX_NAME_LENGTH}
    sections = [build(report, report.month) for build in _SECTIONS] if report.month else []
    return environment.get_template("report.html.j2").render(
        report=report,
        title=f"AI tool spend, {report.month.first:%B %Y}" if report.month else "AI tool spend",
        subtitle=_subtitle(report),
        alarms=list(quality.find_alarms(report)),
        sections=[section for section in sections if section],
    )


def render_markdown(report: Report) -> str:
    """Renders the headlines for the page of a run."""
    lines = [_subtitle(report), *(f"\n**{alarm}**" for alarm in quality.find_alarms(report)), ""]
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


def _subtitle(report: Report) -> str:
    if report.month is None:
        return "No day is loaded yet. Run `ai-usage run` to load the first."
    month = report.month
    days = "the whole month" if month.is_over else f"month to date, {month.range_text}"
    return f"{month.first:%B %Y}, {days} (UTC days). Last updated on {format_date(month.as_of_date)}."
