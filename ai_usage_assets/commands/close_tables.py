"""The tables of `ai-usage close`: the journal of a month, and the status of every month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ai_usage_assets.commands.tables import create_table
from ai_usage_assets.finance.close.base import JournalLine, MonthClose, MonthStatus


def journal_table(close: MonthClose, lines: Sequence[JournalLine]) -> Table:
    """The journal of a month, summed by cost center and line type."""
    by_center: dict[tuple[str, str], list[JournalLine]] = {}
    for line in lines:
        by_center.setdefault((line["cost_center"] or "Unallocated", line["line_type"]), []).append(line)
    table = create_table(
        f"Journal of {close['month']:%B %Y}", "Cost center", "Line type", "Lines", "USD", left=("Line type",)
    )
    for (center, line_type), group in sorted(by_center.items()):
        amount = sum((line["amount_usd"] for line in group), Decimal(0))
        table.add_row(center, line_type, f"{len(group):,}", f"{amount:z,.2f}")
    table.add_section()
    for line_type, amount in (("charges", close["charges_usd"]), ("corrections", close["corrections_usd"])):
        table.add_row("total", line_type, "", f"{amount:z,.2f}", style="bold")
    if close["mapping_snapshot"]:
        table.caption = f"Cost centers from {close['mapping_snapshot']}."
    return table


def months_table(states: Sequence[MonthStatus]) -> Iterator[RenderableType]:
    """The status of every month, and why open months cannot be closed yet."""
    if not states:
        yield "No spend is loaded yet."
        return
    table = create_table("Months", "Month", "Status", "Lines", "USD", "Closed, UTC")
    for state in states:
        status = Text("open" if state.waits_for else "can be closed", "yellow")
        if state.close:
            status = Text("closed", "green")
        closed_at = f"{state.close['closed_at']:%Y-%m-%d %H:%M}" if state.close else ""
        table.add_row(f"{state.month:%Y-%m}", status, f"{state.lines:,}", f"{state.amount_usd:z,.2f}", closed_at)
    yield table
    for state in states:
        for reason in state.waits_for:
            yield Text.assemble((f"{state.month:%Y-%m} – ", "bold"), reason)
