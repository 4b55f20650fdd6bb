"""The sections on models and seats."""

from __future__ import annotations

from collections.abc import Iterable

from ai_usage_assets.finance.amounts import sum_known
from ai_usage_assets.finance.report.base import Report, ReportMonth, SeatHolder, SeatSummary
from ai_usage_assets.finance.report.sections.allocation import NO_TEAM
from ai_usage_assets.finance.report.sections.bars import draw_vendor_bars
from ai_usage_assets.finance.report.tables import (
    BASIS_LABELS,
    MAX_OPEN_ROWS,
    Chart,
    Section,
    Table,
    names,
    numbers,
    order_vendors,
    texts,
)
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import NONE, format_count, format_date, format_percent, format_usd


def build_models(report: Report, month: ReportMonth) -> Section:
    """The usage and unit cost of each model."""
    title = "By model"
    if not report.models:
        return Section("models", title, (f"No usage of {month.range_text} has a model.",))
    billed = [
        (row["model"], {row["vendor"]: row["amount_usd"]}) for row in report.models if row["cost_basis"] == "billed"
    ]
    section_charts = []
    if billed:
        vendors = order_vendors(report.vendors)
        chart = draw_vendor_bars("models", f"billed dollars by model, {month.range_text}", billed, vendors)
        section_charts.append(Chart("Billed dollars by model and vendor (without seats)", chart))
    rows = [
        (
            row["model"],
            source_label(row["vendor"]),
            BASIS_LABELS[row["cost_basis"]],
            format_usd(row["amount_usd"]),
            f"{row['requests']:,}" if row["requests"] is not None else "not counted",
            f"{row['total_tokens']:,}" if row["total_tokens"] is not None else "not counted",
            format_usd(row["usd_per_million_tokens"]),
        )
        for row in report.models
    ]
    columns = (
        *names("Model"),
        *texts("Vendor", "Basis"),
        *numbers("Dollars", "Requests", "Tokens", "Per million tokens"),
    )
    explanation = (
        "Billed dollars are owed. Included dollars are usage that a seat covers, at the vendor's rates. They are never "
        "added up. Seat fees have no model."
    )
    table = Table(f"Usage by model, {month.range_text} (USD)", columns, rows, folded=len(rows) > MAX_OPEN_ROWS)
    return Section("models", title, (explanation,), section_charts, (table,))


def build_seats(report: Report, month: ReportMonth) -> Section:
    """Paid, idle and reclaimable seats."""
    if not report.seats:
        absent = ", ".join(map(source_label, report.not_configured))
        reason = f" Not configured: {absent}." if absent else ""
        return Section("seats", "Seats", (f"No seats are loaded for {month.range_text}.{reason}",))
    sentences = [sentence for summary in report.seats for sentence in _describe_seats(summary, month)]
    tables = []
    holder_columns = names("Name", "E-mail") if report.with_people else ()
    if report.reclaimable_seats:
        sentences += _describe_reclaimable(report)
        rows = [
            (
                *_holder_cells(seat, with_people=report.with_people),
                seat["plan"] or NONE,
                format_usd(seat["monthly_price_usd"]) if seat["monthly_price_usd"] is not None else "unknown",
                format_date(seat["last_active_date"]) if seat["last_active_date"] else "never in the loaded days",
                format_date(seat["first_seat_date"]),
            )
            for seat in report.reclaimable_seats
        ]
        columns = (
            *holder_columns, *names("Team", "Plan"), *numbers("Price per month"), *texts("Last used", "Seat since")
        )  # fmt: skip
        caption = f"Reclaimable seats on {format_date(month.through_day)} (USD)"
        tables.append(Table(caption, columns, rows, folded=len(rows) > MAX_OPEN_ROWS))
    else:
        sentences.append("No seat is reclaimable: none is known to be unused on each of the last 30 days.")
    if report.near_limit:
        rows = [
            (
                *_holder_cells(seat, with_people=report.with_people),
                format_usd(seat["limit_spent_usd"]),
                format_usd(seat["limit_usd"]),
                format_percent(seat["limit_used_ratio"]),
                format_date(seat["limit_as_of_date"]),
            )
            for seat in report.near_limit
        ]
        columns = (*holder_columns, *names("Team"), *numbers("Spent", "Limit", "Used"), *texts("As of"))
        caption = "People near their on-demand limit (USD, in the vendor's billing cycle)"
        tables.append(Table(caption, columns, rows, folded=True))
    return Section("seats", "Seats", sentences, (), tables)


def _describe_seats(seats: SeatSummary, month: ReportMonth) -> Iterable[str]:
    seat = f"paid {source_label(seats['vendor'])} seat"
    unknown = f", {seats['unknown_seats']} unknown" if seats["unknown_seats"] else ""
    yield (
        f"{format_count(seats['paid_seats'], seat)}: {seats['active_seats']} active (used in the month or in the 30 "
        f"days to {format_date(month.through_day)}), {seats['idle_seats']} idle, {seats['never_used_seats']} never "
        f"used{unknown}."
    )
    if seats["seat_usd"] is None:
        yield "The fees are unknown: the tab seat_prices of the sheet has no price."
    else:
        idle = format_usd(seats["idle_usd"])
        yield f"The fees to date are {format_usd(seats['seat_usd'])}, of which {idle} is for idle and unused seats."
    if seats["leverage_ratio"] is not None:
        yield (
            f"The seats covered usage worth {format_usd(seats['included_usage_usd'])} at the vendor's rates, "
            f"{seats['leverage_ratio']:.1f} times the fees. {format_usd(seats['overage_usd'])} was billed on top of "
            "them for usage by seat holders. Both figures exclude usage without a seat, such as automations."
        )


def _describe_reclaimable(report: Report) -> Iterable[str]:
    count = sum(summary["reclaimable_seats"] for summary in report.seats)
    savings = sum_known(summary["reclaimable_usd"] for summary in report.seats)
    text = f"; returning them saves {format_usd(savings)} a month" if savings else ""
    yield f"{format_count(count, 'seat')} can be returned: paid and unused on each of the last 30 days{text}."
    if not report.with_people:
        yield "Names are hidden; `ai-usage report --with-people` shows them."


def _holder_cells(seat: SeatHolder, *, with_people: bool) -> tuple[str, ...]:
    person = (seat["name"] or "(not in the people tab)", seat["user_email"] or NONE) if with_people else ()
    return (*person, seat["team"] or NO_TEAM)
