"""Whether a card's rows are what the card says of them. Metabase does not look: it draws a blank card.

Belongs here: names of columns in a card's settings, and what each display needs of the rows. Does not: what can be held
against itself without rows (`spec`), or the rows' numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from ai_usage_assets.metabase.spec import ORDERS, Card, Display

_AXES = frozenset(
    {
        "graph.dimensions", "graph.metrics", "graph.show_values", "graph.x_axis.scale", "graph.x_axis.title_text",
        "graph.y_axis.title_text", "series_settings", "stackable.stack_type",
    }
)  # fmt: skip
# The settings that are used, by display; Metabase takes any, and another name does nothing.
_SETTINGS: Mapping[Display, frozenset[str]] = {
    "area": _AXES,
    "bar": _AXES,
    "combo": _AXES,
    "line": _AXES,
    "row": _AXES,
    "progress": frozenset({"progress.value", "progress.goal", "progress.color"}),
    "scalar": frozenset({"scalar.field"}),
    "smartscalar": frozenset({"scalar.field", "scalar.comparisons", "scalar.switch_positive_negative"}),
    "table": frozenset({"table.column_formatting", "column_settings"}),
}
_NUMBERS = frozenset({"graph.metrics", "progress.goal", "progress.value", "scalar.comparisons"})


def validate_rows(card: Card, found: pa.Table) -> list[str]:
    """What of the card is not in its rows, or cannot be drawn of them, each in words."""
    return [*_names(card, found), *_needs(card, found)]


def is_number(kind: pa.DataType) -> bool:
    """Whether values of it can be added up."""
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind))


def _names(card: Card, found: pa.Table) -> Iterator[str]:
    known = _SETTINGS.get(card.display)
    if known is None:
        yield f"nobody knows the settings of a {card.display} here"
        return
    yield from (f"{key} is no setting of a {card.display}" for key in sorted(card.settings.keys() - known))
    returned = set(found.column_names)
    for where, name in _named(card):
        if name not in returned:
            yield f"{where} names {name}, which the SQL does not return"
    yield from (f"{name} is returned and not described in columns" for name in sorted(returned - card.columns.keys()))
    for name, column in card.columns.items():
        if name in returned and is_number(found.schema.field(name).type) and not column.form:
            yield f"{name} is a number and has no form"


def _named(card: Card) -> list[tuple[str, str]]:
    """Where the card names a column, and which."""
    settings, places = card.settings, list[tuple[str, str]]()
    places += [("columns", name) for name in card.columns]
    places += [("click", name) for name in (card.click.filters.values() if card.click else ())]
    for key in ("graph.dimensions", "graph.metrics"):
        places += [(key, name) for name in settings.get(key, ())]
    places += [(key, settings[key]) for key in ("scalar.field", "progress.value", "progress.goal") if key in settings]
    places += [("scalar.comparisons", one["column"]) for one in _comparisons(card) if one["type"] == "anotherColumn"]
    for rule in _rules(card):
        places += [("table.column_formatting", name) for name in rule["columns"]]
    places += [("column_settings", json.loads(key)[1]) for key in settings.get("column_settings", ())]
    # With a second dimension a series is one of its values.
    if len(settings.get("graph.dimensions", ())) < 2:
        places += [("series_settings", name) for name in settings.get("series_settings", ())]
    return places


def _numbers(card: Card) -> Iterator[tuple[str, str]]:
    """Where the card needs numbers, and the column that it names there."""
    yield from (place for place in _named(card) if place[0] in _NUMBERS)
    if card.display == "smartscalar" and "scalar.field" in card.settings:
        yield "scalar.field", card.settings["scalar.field"]
    for rule in _rules(card):
        if rule["type"] == "single" and rule["operator"] in ORDERS:
            yield from (("table.column_formatting", name) for name in rule["columns"])
    yield from (("mini_bar", name) for name, column in card.columns.items() if column.mini_bar)


def _rules(card: Card) -> list[dict[str, Any]]:
    """By which a table's cells are coloured."""
    return list(card.settings.get("table.column_formatting", ()))


def _comparisons(card: Card) -> list[dict[str, str]]:
    """What a smartscalar's number is compared with."""
    return list(card.settings.get("scalar.comparisons", ()))


def _needs(card: Card, found: pa.Table) -> Iterator[str]:
    settings = card.settings
    if card.display in ("scalar", "progress") and found.num_rows != 1:
        yield f"a {card.display} shows one row, and there are {found.num_rows}"
    if card.display in ("scalar", "smartscalar") and "scalar.field" not in settings:
        yield f"a {card.display} needs scalar.field"
    if card.display == "smartscalar":
        if not any(pa.types.is_date(kind) for kind in found.schema.types):
            yield "a smartscalar needs a column of dates"
        # It shows the last row, of whichever month that is.
        if found.num_rows > 1:
            yield f"a smartscalar shows one row or none, and there are {found.num_rows}"
        yield from (
            f"scalar.comparisons: {one['type']} looks at other rows; compare with anotherColumn"
            for one in _comparisons(card)
            if one["type"] != "anotherColumn"
        )
    if card.display == "progress" and not settings.keys() >= {"progress.value", "progress.goal"}:
        yield "a progress needs progress.value and progress.goal"
    if _SETTINGS.get(card.display) is _AXES:
        dimensions, metrics = settings.get("graph.dimensions", ()), settings.get("graph.metrics", ())
        if not dimensions or not metrics or (len(dimensions) > 1 and len(metrics) > 1):
            yield f"a {card.display} needs one dimension and its metrics, or two and one"
    for where, name in _numbers(card):
        if name in found.column_names and not is_number(found.schema.field(name).type):
            yield f"{where} needs numbers, and {name} is no number"
