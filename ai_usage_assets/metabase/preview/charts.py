"""Draw the chart of a card as SVG: bars, rows, lines, and lines over bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from ai_usage_assets.metabase.card_settings import ChartSettings, SeriesSettings
from ai_usage_assets.metabase.preview.values import format_value, is_money
from ai_usage_assets.metabase.render import render_settings
from ai_usage_assets.metabase.spec_models import Card
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

# The first of Metabase's default colors.
_COLORS = ("#509EE3", "#88BF4D", "#A989C5", "#EF8C8C", "#F9D45C")
_MAX_NAME_CHARACTERS = 24


class Chart:
    """The series of a chart, from a card's settings and rows. Each series has one amount, or None, per place."""

    def __init__(self, card: Card, rows: Sequence[Row]) -> None:
        settings = ChartSettings.model_validate(card.settings)
        dimension, *breakout = settings.dimensions
        self.display = card.display
        self.format = card.columns[settings.metrics[0]].format
        self.places = list(dict.fromkeys(row[dimension] for row in rows))
        self.labels = _format_labels(self.places)
        self.shows_values = settings.show_values
        self.has_breakout = bool(breakout)
        rendered = render_settings(card).get("series_settings", {})
        self._settings = {name: SeriesSettings.model_validate(one) for name, one in rendered.items()}
        index = {value: number for number, value in enumerate(self.places)}
        self.series: dict[str, list[Decimal | None]] = {}
        for row in rows:
            for metric in settings.metrics:
                name = format_value(row[breakout[0]]) or "(empty)" if breakout else metric
                amounts = self.series.setdefault(name, [None] * len(self.places))
                amounts[index[row[dimension]]] = None if row[metric] is None else Decimal(row[metric])

    def title(self, name: str) -> str:
        """Return the name of a series in the legend."""
        return self._of(name).title or name

    def color(self, name: str) -> str:
        """Return the color of a series."""
        return self._of(name).color or _COLORS[list(self.series).index(name) % len(_COLORS)]

    def is_line(self, name: str) -> bool:
        """Whether a series is a line."""
        return (self._of(name).display or self.display) in ("line", "area")

    def is_dashed(self, name: str) -> bool:
        """Whether a series is a dashed line."""
        return self._of(name).line_style == "dashed"

    def tooltip(self, place: int, name: str, amount: Decimal) -> str:
        """Return the text of a mark's tooltip."""
        return f"{self.labels[place]}, {self.title(name)}: {format_value(amount, self.format)}"

    def _of(self, name: str) -> SeriesSettings:
        return self._settings.get(name, SeriesSettings())


def draw_chart(name: str, card: Card, rows: Sequence[Row], size: tuple[int, int]) -> Markup:
    """Draw a card's chart of (width, height) pixels. `name` is a unique id on the page."""
    chart = Chart(card, rows)
    description = f"{card.display} chart: {card.name}. {card.description}"
    draw = _draw_rows if card.display == "row" else _draw_columns
    return render_chart(name, description, lambda drawing: draw(drawing, chart), {"": size})


def _draw_rows(drawing: Drawing, chart: Chart) -> None:
    axes = drawing.axes
    low, high = _draw_stack(drawing, chart, list(chart.series), horizontal=True)
    label_horizontal_bars(drawing, chart.labels, _MAX_NAME_CHARACTERS)
    axes.set_xlim(low * 1.05, high * 1.05 or 1)
    axes.locator_params(axis="x", nbins=5)
    format_axis(axes.xaxis, "$" if is_money(chart.format) else "")
    _draw_legend(drawing, chart)


def _draw_columns(drawing: Drawing, chart: Chart) -> None:
    axes = drawing.axes
    lines = [name for name in chart.series if chart.is_line(name)]
    bars = [name for name in chart.series if name not in lines]
    low, high = _draw_stack(drawing, chart, bars)
    if chart.shows_values:
        _draw_values(drawing, chart, [*bars, *lines][0])
    for name in lines:
        points = [(place, float(amount)) for place, amount in enumerate(chart.series[name]) if amount is not None]
        if points:
            _draw_line(drawing, chart, name, points)
            amounts = [amount for _, amount in points]
            low, high = min([low, *amounts]), max([high, *amounts])
    # Values are written above and below the bars.
    room = 1.25 if chart.shows_values else 1.1
    axes.set_ylim(low * room, high * room or 1)
    axes.set_xlim(-0.6, max(len(chart.labels), 2) - 0.4)
    # Leave labels out that would overlap, at about 9 pixels a character.
    width = drawing.figure.get_size_inches()[0] * 72
    step = -(-len(chart.labels) * max(map(len, chart.labels), default=1) * 9 // int(width)) or 1
    labeled = range(0, len(chart.labels), step)
    axes.set_xticks(list(labeled), [chart.labels[place] for place in labeled])
    axes.grid(visible=False, axis="x")
    axes.locator_params(axis="y", nbins=6)
    format_axis(axes.yaxis, "$" if is_money(chart.format) else "")
    _draw_legend(drawing, chart)


def _draw_stack(
    drawing: Drawing, chart: Chart, names: Sequence[str], *, horizontal: bool = False
) -> tuple[float, float]:
    return draw_stack(
        drawing,
        range(len(chart.places)),
        {name: chart.series[name] for name in names},
        chart.tooltip,
        colors=[chart.color(name) for name in names] or _COLORS,
        horizontal=horizontal,
    )


def _draw_line(drawing: Drawing, chart: Chart, name: str, points: Sequence[tuple[int, float]]) -> None:
    color, style = chart.color(name), DASHED if chart.is_dashed(name) else "-"
    drawing.axes.plot([place for place, _ in points], [amount for _, amount in points], color=color, lw=2, ls=style)
    for place, amount in points:
        # A nearly invisible mark carries the tooltip.
        (mark,) = drawing.axes.plot([place], [amount], "o", ms=6, color=color, alpha=0.01)
        drawing.add_tooltip(mark, chart.tooltip(place, name, chart.series[name][place] or Decimal(0)))


def _draw_values(drawing: Drawing, chart: Chart, name: str) -> None:
    for place, amount in enumerate(chart.series[name]):
        if amount is not None:
            above = amount >= 0
            drawing.axes.annotate(
                format_value(amount, chart.format), (place, float(amount)), (0, 3 if above else -3),
                textcoords="offset points", ha="center", va="bottom" if above else "top",
            )  # fmt: skip


def _draw_legend(drawing: Drawing, chart: Chart) -> None:
    if len(chart.series) > 1 or chart.has_breakout:
        solid = [name for name in chart.series if not chart.is_dashed(name)]
        dashed = next((chart.title(name) for name in chart.series if chart.is_dashed(name)), "")
        add_legend(drawing, [chart.title(name) for name in solid], dashed, colors=[chart.color(name) for name in solid])


def _format_labels(places: Sequence[Any]) -> list[str]:
    if places and all(isinstance(place, date) for place in places):
        are_months = all(place.day == 1 for place in places)
        return [f"{place:%b %Y}" if are_months else f"{place:%b} {place.day}" for place in places]
    return [format_value(place) or "(empty)" for place in places]
