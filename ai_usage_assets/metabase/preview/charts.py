"""A card's chart, drawn of its rows by its settings.

Belongs here: bars, columns, lines, and lines over columns. Does not: what all pictures have in common (`pictures`), or
cards without axes (`page`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from ai_usage_assets.metabase.preview.values import format_value, is_money
from ai_usage_assets.metabase.spec import Card, NumberFormat
from ai_usage_assets.rendering.svg_charts import (
    DASHED,
    Drawing,
    add_legend,
    draw_stack,
    format_axis,
    label_horizontal_bars,
    render_chart,
)
from ai_usage_assets.warehouse.base import Row

# Metabase's own order of colours begins so; the dashboards name theirs.
_COLOURS = ("#509EE3", "#88BF4D", "#A989C5", "#EF8C8C", "#F9D45C")
_LONGEST_NAME = 24


class _Chart:
    """What a card's settings say, of its rows."""

    def __init__(self, card: Card, rows: Sequence[Row]) -> None:
        settings = card.settings
        dimension, *second = settings["graph.dimensions"]
        metrics: list[str] = settings["graph.metrics"]
        self.display = card.display
        self.form: NumberFormat | None = card.columns[metrics[0]].form
        self.places = list(dict.fromkeys(row[dimension] for row in rows))
        self.labels = _labels(self.places)
        self.shows_values = bool(settings.get("graph.show_values"))
        self.is_stacked = settings.get("stackable.stack_type") == "stacked"
        self._settings: Mapping[str, Any] = settings.get("series_settings", {})
        self._titles = {name: column.title or name for name, column in card.columns.items()}
        place = {value: number for number, value in enumerate(self.places)}
        self.series: dict[str, list[Decimal | None]] = {}
        for row in rows:
            for metric in metrics:
                name = format_value(row[second[0]]) or "(empty)" if second else metric
                amounts = self.series.setdefault(name, [None] * len(self.places))
                amounts[place[row[dimension]]] = None if row[metric] is None else Decimal(row[metric])

    def title(self, name: str) -> str:
        return str(self._settings.get(name, {}).get("title") or self._titles.get(name, name))

    def colour(self, name: str) -> str:
        own = self._settings.get(name, {}).get("color")
        return str(own or _COLOURS[list(self.series).index(name) % len(_COLOURS)])

    def is_line(self, name: str) -> bool:
        return (self._settings.get(name, {}).get("display") or self.display) in ("line", "area")

    def is_dashed(self, name: str) -> bool:
        return bool(self._settings.get(name, {}).get("line.style") == "dashed")

    def told(self, place: int, name: str, amount: Decimal) -> str:
        return f"{self.labels[place]}, {self.title(name)}: {format_value(amount, self.form)}"


def draw_chart(name: str, card: Card, rows: Sequence[Row], size: tuple[int, int]) -> Markup:
    """The chart in a size of (width, height) pixels; `name` is its own on the page."""
    made = _Chart(card, rows)
    described = f"{card.display} chart: {card.name}. {card.description}"
    return render_chart(
        name, described, lambda drawing: (_lying if card.display == "row" else _standing)(drawing, made), {"": size}
    )


def _lying(drawing: Drawing, draw_chart: _Chart) -> None:
    axes = drawing.axes
    low, high = _stacked(drawing, draw_chart, list(draw_chart.series), horizontal=True)
    label_horizontal_bars(drawing, draw_chart.labels, _LONGEST_NAME)
    axes.set_xlim(low * 1.05, high * 1.05 or 1)
    axes.locator_params(axis="x", nbins=5)
    format_axis(axes.xaxis, "$" if is_money(draw_chart.form) else "")
    _legend(drawing, draw_chart)


def _standing(drawing: Drawing, draw_chart: _Chart) -> None:
    axes = drawing.axes
    lines = [name for name in draw_chart.series if draw_chart.is_line(name)]
    bars = [name for name in draw_chart.series if name not in lines]
    low, high = _stacked(drawing, draw_chart, bars)
    if draw_chart.shows_values:
        _write(drawing, draw_chart, [*bars, *lines][0])
    for name in lines:
        known = [(place, amount) for place, amount in enumerate(draw_chart.series[name]) if amount is not None]
        if not known:
            continue
        style = DASHED if draw_chart.is_dashed(name) else "-"
        over = [float(amount) for _, amount in known]
        axes.plot([place for place, _ in known], over, color=draw_chart.colour(name), lw=2, ls=style)
        for place, amount in known:
            (mark,) = axes.plot([place], [float(amount)], "o", ms=6, color=draw_chart.colour(name), alpha=0.01)
            drawing.add_tooltip(mark, draw_chart.told(place, name, amount))
        low, high = min([low, *over]), max([high, *over])
    axes.set_ylim(low * 1.1, high * 1.1 or 1)
    axes.set_xlim(-0.6, max(len(draw_chart.labels), 2) - 0.4)
    width = drawing.figure.get_size_inches()[0] * 72
    step = -(-len(draw_chart.labels) * max(map(len, draw_chart.labels), default=1) * 9 // int(width)) or 1
    shown_places = range(0, len(draw_chart.labels), step)
    axes.set_xticks(list(shown_places), [draw_chart.labels[place] for place in shown_places])
    axes.grid(visible=False, axis="x")
    axes.locator_params(axis="y", nbins=6)
    format_axis(axes.yaxis, "$" if is_money(draw_chart.form) else "")
    _legend(drawing, draw_chart)


def _stacked(
    drawing: Drawing, draw_chart: _Chart, names: Sequence[str], *, horizontal: bool = False
) -> tuple[float, float]:
    """Columns or bars."""
    return draw_stack(
        drawing,
        range(len(draw_chart.places)),
        {name: draw_chart.series[name] for name in names},
        draw_chart.told,
        colors=[draw_chart.colour(name) for name in names] or _COLOURS,
        horizontal=horizontal,
    )


def _write(drawing: Drawing, draw_chart: _Chart, name: str) -> None:
    """The values of a series, at its marks."""
    for place, amount in enumerate(draw_chart.series[name]):
        if amount is not None:
            above = amount >= 0
            drawing.axes.annotate(
                format_value(amount, draw_chart.form), (place, float(amount)), (0, 3 if above else -3),
                textcoords="offset points", ha="center", va="bottom" if above else "top",
            )  # fmt: skip


def _legend(drawing: Drawing, draw_chart: _Chart) -> None:
    bars = [name for name in draw_chart.series if not draw_chart.is_dashed(name)]
    dashed = [name for name in draw_chart.series if draw_chart.is_dashed(name)]
    if len(draw_chart.series) > 1:
        add_legend(
            drawing,
            [draw_chart.title(name) for name in bars],
            draw_chart.title(dashed[0]) if dashed else "",
            colors=[draw_chart.colour(name) for name in bars],
        )


def _labels(places: Sequence[Any]) -> list[str]:
    if places and all(isinstance(place, date) for place in places):
        are_months = all(place.day == 1 for place in places)
        return [f"{place:%b %Y}" if are_months else f"{place:%b} {place.day}" for place in places]
    return [format_value(place) or "(empty)" for place in places]
