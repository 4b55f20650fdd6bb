"""A dashboard as one page: Metabase's grid, with the tabs one below the other.

Belongs here: where everything stands, and cards without axes (numbers, tables, words). Does not: charts (`charts`),
rows (`answers`). Every height is fixed, so that the page's is known without a browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from markupsafe import Markup, escape

from ai_usage_assets.metabase.card_validation import is_number
from ai_usage_assets.metabase.preview import charts
from ai_usage_assets.metabase.preview.queries import Values
from ai_usage_assets.metabase.preview.values import format_value
from ai_usage_assets.metabase.spec import COLUMNS, Card, CardRow, Column, Dashboard, Spec, Tab, TextRow
from ai_usage_assets.rendering.templates import template_environment
from ai_usage_assets.warehouse.base import Row

# In pixels: the page, a row of the grid, what is between cards, inside of one, and the parts whose height is fixed.
WIDTH = 1440
_ROW, _GAP, _PADDING, _MARGIN = 50, 8, 12, 20
_TITLE, _HEADER, _TAB = 26, 108, 48
_TABLE_HEAD, _TABLE_ROW, _TABLE_FOOT = 36, 32, 24
# How wide a cell may be, in pixels and in letters, before it is cut, or wrapped; and a line of one that is.
_WIDEST, _LETTERS, _LINE = 520, 75, 18
_BAD, _GOOD = "#B3261E", "#55742F"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, how long its bar is (0 to 100), and its colour."""

    text: str
    is_number: bool
    is_wrapped: bool = False
    bar: int | None = None
    colour: str = ""


@dataclass(frozen=True)
class Table:
    """As many rows as the card has room for, of `count`."""

    heads: list[Cell]
    rows: list[list[Cell]]
    count: int


@dataclass(frozen=True)
class Comparison:
    """How a number stands to another, with its colour."""

    text: str
    colour: str


@dataclass(frozen=True)
class Number:
    """A number by itself; `share` of a goal, 0 to 100."""

    text: str
    below: str = ""
    comparisons: tuple[Comparison, ...] = ()
    share: int | None = None
    colour: str = ""


@dataclass(frozen=True)
class Block:
    """Something on the grid: a card with one of a number, a table or a picture, or words."""

    width: int
    page_height: int
    title: str = ""
    description: str = ""
    words: Markup | None = None
    is_heading: bool = False
    number: Number | None = None
    table: Table | None = None
    picture: Markup | None = None


def render_page(spec: Spec, dashboard: Dashboard, values: Values, found: Mapping[str, pa.Table]) -> str:
    """The page of a dashboard, of the rows of its cards."""
    environment = template_environment(Path(__file__).parent)
    filters = {
        spec.filters[key].name: ", ".join(values.get(key, ())) or ("all" if spec.filters[key].multiple else "latest")
        for key in dashboard.filters
    }
    return environment.get_template("page.html.j2").render(
        dashboard=dashboard,
        filters=filters,
        tabs=[(tab.name, list(_rows(dashboard, tab, number, found))) for number, tab in enumerate(dashboard.tabs)],
        width=WIDTH,
        row=_ROW,
        gap=_GAP,
        padding=_PADDING,
        margin=_MARGIN,
        title=_TITLE,
        header=_HEADER,
        tab_height=_TAB,
        table_head=_TABLE_HEAD,
        table_row=_TABLE_ROW,
        table_foot=_TABLE_FOOT,
        widest=_WIDEST,
        columns=COLUMNS,
    )


def page_height(dashboard: Dashboard) -> int:
    """Of its page, in pixels."""
    rows = [row.height for tab in dashboard.tabs for row in tab.rows]
    return _HEADER + _TAB * len(dashboard.tabs) + sum(_pixels(page_height) + _GAP for page_height in rows) + 2 * _MARGIN


def _pixels(rows: int) -> int:
    return rows * _ROW


def _rows(dashboard: Dashboard, tab: Tab, number: int, found: Mapping[str, pa.Table]) -> list[list[Block]]:
    made = []
    for row in tab.rows:
        if isinstance(row, CardRow):
            made.append(
                [
                    _block(f"t{number}-{one.card}", dashboard.cards[one.card], found[one.card], one.width, row.height)
                    for one in row.cards
                ]
            )
        else:
            made.append([_words(row)])
    return made


def _words(row: TextRow) -> Block:
    return Block(COLUMNS, row.height, words=_markdown(row.heading or row.text or ""), is_heading=bool(row.heading))


def _markdown(text: str) -> Markup:
    """As much of Markdown as the dashboards use: **strong**, *emphasis*, `code`."""
    made = str(escape(text))
    for pattern, tag in ((r"\*\*(.+?)\*\*", "strong"), (r"\*(.+?)\*", "em"), (r"`(.+?)`", "code")):
        made = re.sub(pattern, rf"<{tag}>\1</{tag}>", made)
    # What was text in it is escaped.
    return Markup(made)  # noqa: S704


def _block(name: str, card: Card, found: pa.Table, width: int, page_height: int) -> Block:
    rows: list[Row] = found.to_pylist()
    block = partial(Block, width, page_height, card.name, card.description)
    match card.display:
        case "table":
            return block(table=_table(card, found, rows, page_height))
        case "scalar":
            return block(number=_scalar(card, rows))
        case "smartscalar":
            return block(number=_trend(card, rows))
        case "progress":
            return block(number=_progress(card, rows))
    if not rows:
        return block(picture=Markup('<p class="none">No results</p>'))
    inside = (WIDTH - 2 * _MARGIN + _GAP) * width // COLUMNS - _GAP - 2 * _PADDING
    return block(picture=charts.draw_chart(name, card, rows, (inside, _pixels(page_height) - 2 * _PADDING - _TITLE)))


def _scalar(card: Card, rows: list[Row]) -> Number:
    name = card.settings["scalar.field"]
    return Number(format_value(rows[0][name], card.columns[name].form) or "–")


def _trend(card: Card, rows: list[Row]) -> Number:
    """The row's number, against another of its columns."""
    name = card.settings["scalar.field"]
    if not rows:
        return Number("–")
    last, form = rows[-1], card.columns[name].form
    compared = []
    for one in card.settings.get("scalar.comparisons", ()):
        before = last[one["column"]]
        compared.append(_comparison(last[name], before, one["label"], format_value(before, form), card))
    day = next((value for value in last.values() if hasattr(value, "year")), None)
    return Number(format_value(last[name], form) or "–", f"{day:%B %Y}" if day else "", tuple(compared))


def _comparison(now: Decimal | None, before: Decimal | None, label: str, told: str, card: Card) -> Comparison:
    if now is None or not before:
        return Comparison(f"No {label} to compare with", "")
    ratio = (Decimal(now) - Decimal(before)) / abs(Decimal(before))
    is_bad = (ratio > 0) == card.settings.get("scalar.switch_positive_negative", False)
    colour = "" if not ratio else _BAD if is_bad else _GOOD
    return Comparison(f"{'↑' if ratio > 0 else '↓'} {format_value(abs(ratio), 'percent')} vs. {label}: {told}", colour)


def _progress(card: Card, rows: list[Row]) -> Number:
    settings, (row,) = card.settings, rows
    value, goal = row[settings["progress.value"]], row[settings["progress.goal"]]
    form, goal_form = (card.columns[settings[key]].form for key in ("progress.value", "progress.goal"))
    if value is None or not goal:
        return Number(format_value(value, form) or "–", "No goal")
    ratio = Decimal(value) / Decimal(goal)
    below = f"{format_value(ratio, 'percent')} of {format_value(goal, goal_form)}"
    return Number(
        format_value(value, form), below, share=min(100, int(ratio * 100)), colour=settings.get("progress.color", "")
    )


def _table(card: Card, found: pa.Table, rows: list[Row], page_height: int) -> Table:
    names: list[str] = found.column_names
    numeric = {name for name in names if is_number(found.schema.field(name).type)}
    column = {name: card.columns.get(name, Column()) for name in names}
    most = {
        name: max((abs(row[name]) for row in rows if row[name] is not None), default=0)
        for name in names
        if column[name].mini_bar
    }
    wrapped = {
        json.loads(key)[1] for key, one in card.settings.get("column_settings", {}).items() if one.get("text_wrapping")
    }
    heads = [Cell(column[name].title or name, name in numeric) for name in names]
    made = []
    for row in rows:
        colours = _coloured(card, row, names)
        made.append(
            [
                Cell(
                    format_value(row[name], column[name].form),
                    name in numeric,
                    name in wrapped,
                    int(100 * max(row[name] or 0, 0) / most[name]) if most.get(name) else None,
                    colours.get(name, ""),
                )
                for name in names
            ]
        )
    return Table(heads, made[: _fitting(made, _pixels(page_height) - 2 * _PADDING - _TITLE - _TABLE_HEAD)], len(rows))


def _fitting(rows: list[list[Cell]], room: int) -> int:
    """How many rows there is room for; where not for all, below them for a line that says so."""
    tops = [0]
    for row in rows:
        lines = max([-(-len(cell.text) // _LETTERS) for cell in row if cell.is_wrapped], default=1) or 1
        tops.append(tops[-1] + _TABLE_ROW + _LINE * (lines - 1))
    if tops[-1] <= room:
        return len(rows)
    return sum(top <= room - _TABLE_FOOT for top in tops[1:])


# Of rules the commonest; by others, and by ranges, only Metabase colours.
_HOLDS: dict[str, Any] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def _coloured(card: Card, row: Row, names: list[str]) -> dict[str, str]:
    """Column -> colour, by the card's rules."""
    colours: dict[str, str] = {}
    for rule in card.settings.get("table.column_formatting", ()):
        holds = _HOLDS.get(rule["operator"]) if rule["type"] == "single" else None
        for name in rule["columns"]:
            if holds and row[name] is not None and holds(row[name], rule["value"]):
                colours |= dict.fromkeys(names if rule.get("highlight_row") else [name], rule["color"])
    return colours
