"""Check that a card's rows have the columns and types the card needs. Metabase draws a blank card instead."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa

from ai_usage_assets.metabase.card_settings import (
    ChartSettings,
    ProgressSettings,
    ScalarSettings,
    TableSettings,
    TrendSettings,
)
from ai_usage_assets.metabase.spec_models import Card


def validate_rows(card: Card, rows: pa.Table) -> list[str]:
    """Return one line per column that is missing or has the wrong type, and one if the number of rows is wrong."""
    return [*_check_columns(card, rows), *_check_row_count(card, rows)]


def is_number(kind: pa.DataType) -> bool:
    """Whether values of the type can be summed."""
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind))


def _check_columns(card: Card, rows: pa.Table) -> Iterator[str]:
    returned = {field.name: field.type for field in rows.schema}
    for setting, name, needs_number in _used_columns(card):
        if name not in returned:
            yield f"{setting} uses column {name}, which the SQL does not return"
        elif needs_number and not is_number(returned[name]):
            yield f"{setting} needs a number, and column {name} is not a number"
    for name in sorted(returned.keys() - card.columns.keys()):
        yield f"column {name} is not described under columns"
    for name, column in card.columns.items():
        if name in returned and is_number(returned[name]) and not column.format:
            yield f"column {name} is a number and has no format"


def _used_columns(card: Card) -> Iterator[tuple[str, str, bool]]:
    """Yield each setting that names a column, the column, and whether it must be a number."""
    for name, column in card.columns.items():
        yield ("mini_bar", name, True) if column.mini_bar else ("columns", name, False)
    for name in card.click.filters.values() if card.click else ():
        yield "click", name, False
    match card.typed_settings:
        case ChartSettings() as chart:
            yield from (("graph.dimensions", name, False) for name in chart.dimensions)
            yield from (("graph.metrics", name, True) for name in chart.metrics)
            # With two dimensions, a series is a value of the second one.
            if len(chart.dimensions) == 1:
                yield from (("series_settings", name, False) for name in chart.series)
            yield from (("column_settings", json.loads(key)[1], False) for key in chart.columns)
        case TrendSettings() as trend:
            yield "scalar.field", trend.value, True
            yield from (("scalar.comparisons", one.column, True) for one in trend.comparisons)
        case ScalarSettings() as scalar:
            yield "scalar.field", scalar.value, False
        case ProgressSettings() as progress:
            yield "progress.value", progress.value, True
            yield "progress.goal", progress.goal, True
        case TableSettings() as table:
            for rule in table.rules:
                yield from (("table.column_formatting", name, rule.needs_numbers) for name in rule.columns)
            yield from (("column_settings", json.loads(key)[1], False) for key in table.columns)


def _check_row_count(card: Card, rows: pa.Table) -> Iterator[str]:
    if card.display in ("scalar", "progress") and rows.num_rows != 1:
        yield f"a {card.display} needs exactly one row; the SQL returns {rows.num_rows}"
    if card.display == "smartscalar":
        if not any(pa.types.is_date(kind) for kind in rows.schema.types):
            yield "a smartscalar needs a date column"
        # Metabase shows the last row, whichever month it is.
        if rows.num_rows > 1:
            yield f"a smartscalar needs at most one row; the SQL returns {rows.num_rows}"
