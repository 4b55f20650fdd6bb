"""Lay a dashboard out as one HTML page: Metabase's grid, with the tabs below each other.

Every height is fixed, so that the height of the page is known without a browser.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from markupsafe import Markup, escape

from ai_usage_assets.metabase.card_settings import (
    Comparison,
    ProgressSettings,
    ScalarSettings,
    TableSettings,
    TrendSettings,
)
from ai_usage_assets.metabase.card_validation import is_number
from ai_usage_assets.metabase.preview.charts import draw_chart
from ai_usage_assets.metabase.preview.queries import FilterValues
from ai_usage_assets.metabase.preview.values import format_value
from ai_usage_assets.metabase.render import GridPosition, grid_positions
from ai_usage_assets.metabase.spec_models import GRID_COLUMNS, Card, CardColumn, Dashboard, Spec
from ai_usage_assets.rendering.templates import template_environment
from ai_usage_assets.warehouse.base import Row

# In pixels. The template reads the same sizes.
WIDTH = 1440
SIZES = {
    "width": WIDTH, "row": 50, "gap": 8, "padding": 12, "margin": 20, "title": 26, "header": 108, "tab_height": 48,
    "table_head": 36, "table_row": 32, "table_foot": 24, "widest": 520,
}  # fmt: skip
# The characters in a wrapped line, and the height of each further line.
_LINE_CHARACTERS, _LINE_HEIGHT = 75, 18
_BAD, _GOOD = "#B3261E", "#55742F"
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class TableCell:
    """A table cell: its text, the length of its bar (0 to 100) and its color."""

    text: str
    is_number: bool
    is_wrapped: bool = False
    bar: int | None = None
    color: str = ""


@dataclass(frozen=True)
class TableView:
    """The rows of a table that fit into the card, of `count` rows."""

    heads: list[TableCell]
    rows: list[list[TableCell]]
    count: int


@dataclass(frozen=True)
class NumberView:
    """A number with notes below it, each a text and a color; `share` (0 to 100) draws a progress bar."""

    text: str
    notes: tuple[tuple[str, str], ...] = ()
    share: int | None = None
    color: str = ""


def render_page(spec: Spec, dashboard: Dashboard, values: FilterValues, rows: Mapping[str, pa.Table]) -> str:
    """Render the page of a dashboard from the rows of its cards."""
    filters = {
        spec.filters[key].name: ", ".join(values.get(key, ())) or ("all" if spec.filters[key].multiple else "latest")
        for key in dashboard.filters
    }
    tabs = []
    for number, tab in enumerate(dashboard.tabs):
        blocks = [_render_block(f"t{number}", position, dashboard, rows) for position in grid_positions(tab)]
        tabs.append((tab.name, [list(row) for _, row in groupby(blocks, key=lambda block: block["position"].row)]))
    template = template_environment(Path(__file__).parent).get_template("page.html.j2")
    return template.render(dashboard=dashboard, filters=filters, tabs=tabs, columns=GRID_COLUMNS, **SIZES)


def page_height(dashboard: Dashboard) -> int:
    """Return the height of a dashboard's page in pixels."""
    rows = [row.height for tab in dashboard.tabs for row in tab.rows]
    fixed = SIZES["header"] + SIZES["tab_height"] * len(dashboard.tabs) + 2 * SIZES["margin"]
    return fixed + sum(height * SIZES["row"] + SIZES["gap"] for height in rows)


def _render_block(prefix: str, position: GridPosition, dashboard: Dashboard, rows: Mapping[str, pa.Table]) -> Row:
    """Render a text or a card; the template reads the key of its kind."""
    block: Row = dict.fromkeys(("text", "card", "number", "table", "chart")) | {"position": position}
    if position.card is None:
        return block | {"text": _render_markdown(position.settings["text"])}
    card, table = dashboard.cards[position.card], rows[position.card]
    block["card"] = card
    inner_height = position.size_y * SIZES["row"] - 2 * SIZES["padding"] - SIZES["title"]
    match card.typed_settings:
        case TableSettings() as settings:
            block["table"] = _render_table(card, settings, table, inner_height)
        case TrendSettings() as settings:
            block["number"] = _render_trend(card, settings, table.to_pylist())
        case ScalarSettings() as settings:
            value = table.to_pylist()[0][settings.value]
            block["number"] = NumberView(format_value(value, card.columns[settings.value].format) or "–")
        case ProgressSettings() as settings:
            block["number"] = _render_progress(card, settings, table.to_pylist()[0])
        case _ if table.num_rows:
            grid_width = WIDTH - 2 * SIZES["margin"] + SIZES["gap"]
            width = grid_width * position.size_x // GRID_COLUMNS - SIZES["gap"] - 2 * SIZES["padding"]
            name = f"{prefix}-{position.card}"
            block["chart"] = draw_chart(name, card, table.to_pylist(), (width, inner_height))
        case _:
            block["chart"] = Markup('<p class="none">No results</p>')
    return block


def _render_markdown(text: str) -> Markup:
    """Render the Markdown that the dashboards use: **strong**, *emphasis* and `code`."""
    html = str(escape(text))
    for pattern, tag in ((r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em"), (r"`(.+?)`", "code")):
        html = re.sub(pattern, rf"<{tag}>\1</{tag}>", html)
    # The text was escaped above.
    return Markup(html)  # noqa: S704


def _render_trend(card: Card, settings: TrendSettings, rows: list[Row]) -> NumberView:
    if not rows:
        return NumberView("–")
    row = rows[-1]
    day = next((value for value in row.values() if hasattr(value, "year")), None)
    notes = [(f"{day:%B %Y}", "")] if day else []
    notes += [_compare(card, settings, row, one) for one in settings.comparisons]
    return NumberView(format_value(row[settings.value], card.columns[settings.value].format) or "–", tuple(notes))


def _compare(card: Card, settings: TrendSettings, row: Row, comparison: Comparison) -> tuple[str, str]:
    now, before = row[settings.value], row[comparison.column]
    if now is None or not before:
        return f"Not compared: no value for {comparison.label}", ""
    ratio = (Decimal(now) - Decimal(before)) / abs(Decimal(before))
    color = "" if not ratio else _BAD if (ratio > 0) == settings.less_is_better else _GOOD
    previous = format_value(before, card.columns[settings.value].format)
    change = f"{'↑' if ratio > 0 else '↓'} {format_value(abs(ratio), 'percent')}"
    return f"{change} vs. {comparison.label}: {previous}", color


def _render_progress(card: Card, settings: ProgressSettings, row: Row) -> NumberView:
    value, goal = row[settings.value], row[settings.goal]
    text = format_value(value, card.columns[settings.value].format)
    if value is None or not goal:
        return NumberView(text or "–", (("No goal", ""),))
    ratio = Decimal(value) / Decimal(goal)
    note = f"{format_value(ratio, 'percent')} of {format_value(goal, card.columns[settings.goal].format)}"
    return NumberView(text, ((note, ""),), share=min(100, int(ratio * 100)), color=settings.color)


def _render_table(card: Card, settings: TableSettings, table: pa.Table, height: int) -> TableView:
    rows: list[Row] = table.to_pylist()
    columns = {name: card.columns.get(name, CardColumn()) for name in table.column_names}
    numeric = {name for name in columns if is_number(table.schema.field(name).type)}
    wrapped = settings.wrapped_columns()
    largest = {
        name: max((abs(row[name]) for row in rows if row[name] is not None), default=0)
        for name, column in columns.items()
        if column.mini_bar
    }
    cells = []
    for row in rows:
        colors = _color_cells(settings, row)
        cells.append(
            [
                TableCell(
                    text=format_value(row[name], column.format),
                    is_number=name in numeric,
                    is_wrapped=name in wrapped,
                    bar=int(100 * max(row[name] or 0, 0) / largest[name]) if largest.get(name) else None,
                    color=colors.get(name, ""),
                )
                for name, column in columns.items()
            ]
        )
    heads = [TableCell(column.title or name, name in numeric) for name, column in columns.items()]
    return TableView(heads, cells[: _count_fitting(cells, height - SIZES["table_head"])], len(rows))


def _count_fitting(rows: list[list[TableCell]], height: int) -> int:
    """Return how many rows fit; if not all do, a foot line needs room too."""
    bottoms, bottom = [], 0
    for row in rows:
        lines = max([-(-len(cell.text) // _LINE_CHARACTERS) for cell in row if cell.is_wrapped], default=1) or 1
        bottom += SIZES["table_row"] + _LINE_HEIGHT * (lines - 1)
        bottoms.append(bottom)
    if bottom <= height:
        return len(rows)
    return sum(each <= height - SIZES["table_foot"] for each in bottoms)


def _color_cells(settings: TableSettings, row: Row) -> dict[str, str]:
    """Return the color of each column whose rule applies."""
    colors: dict[str, str] = {}
    for rule in settings.rules:
        for name in rule.columns:
            if row[name] is not None and _OPERATORS[rule.operator](row[name], rule.value):
                colors |= dict.fromkeys(row if rule.highlight_row else [name], rule.color)
    return colors
