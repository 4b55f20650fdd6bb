"""Tables and amounts as the commands print them on a terminal."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from rich.table import Table
from rich.text import Text

# Columns of text: left-aligned, and folded when the terminal is narrow.
_TEXT_COLUMNS = {"Team", "Cost center", "Next step", "Since", "Table", "Job"}


def create_table(title: str, *headings: str, left: Collection[str] = ()) -> Table:
    """A table whose first column and columns of text are left-aligned; `left` adds others."""
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    for number, heading in enumerate(headings):
        is_text = number == 0 or heading in _TEXT_COLUMNS
        is_left = is_text or heading in left
        table.add_column(heading, justify="left" if is_left else "right", no_wrap=not is_text, overflow="fold")
    return table


def result_line(passed: bool, text: str) -> Text:
    """A line marked ✓ or ✗."""
    return Text.assemble(("  ✓ ", "green") if passed else ("  ✗ ", "bold red"), text)


def warning_line(text: str) -> Text:
    """A line marked !."""
    return Text.assemble(("  ! ", "yellow"), text)


def format_change(change: Decimal | None, previous: Decimal | None) -> str:
    """A change in percent of the previous amount; – when it has no meaning."""
    if change is None or previous is None or previous < 0:
        return "–"
    return f"{change / previous:+.1%}" if previous else "new"
