"""The charts of the report: stacked columns, stacked bars, and the cumulative spend of a month.

Every chart is drawn twice, for a wide page and for a phone, because text that shrinks with its chart is unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate

from markupsafe import Markup

from ai_usage_assets.rendering.svg_charts import (
    DASHED,
    INK,
    SERIES,
    DrawFunction,
    Drawing,
    add_legend,
    draw_stack,
    format_axis,
    label_horizontal_bars,
    legend_options,
    render_chart,
)
from ai_usage_assets.rendering.text import format_usd

# A phone is 390 pixels wide; this is what its margins leave.
_WIDTHS = {"wide": 980, "narrow": 340}
_MAX_NAME_LENGTH = {"wide": 34, "narrow": 18}
_LEGEND_COLUMNS = {"wide": 4, "narrow": 2}
_MAX_LABELS = {"wide": 16, "narrow": 6}
_MAX_TICKS = {"wide": 7, "narrow": 3}

Amounts = Sequence[Decimal | None]


def draw_columns(
    name: str,
    description: str,
    labels: Sequence[str],
    series: Mapping[str, Amounts],
    *,
    levels: Amounts = (),
    level_name: str = "",
    tooltip_labels: Sequence[str] = (),
) -> Markup:
    """Draws a stacked column for each label and a dashed level across it. None is not drawn."""

    def draw(drawing: Drawing) -> None:
        axes, positions = drawing.axes, range(len(labels))
        long_labels = tooltip_labels or labels
        low, high = draw_stack(
            drawing,
            positions,
            series,
            lambda position, name, amount: f"{long_labels[position]}, {name}: {format_usd(amount)}",
        )
        known_levels = [level for level in levels if level is not None]
        for first, last, level in _merge_levels(levels):
            (line,) = axes.plot([first - 0.5, last + 0.5], [float(level)] * 2, color=INK, lw=1.6, ls=DASHED)
            period = long_labels[first] if first == last else f"{long_labels[first]} to {long_labels[last]}"
            drawing.add_tooltip(line, f"{period}: {level_name.lower()} {format_usd(level)}")
        axes.set_ylim(low * 1.08, max([high, *map(float, known_levels)]) * 1.08 or 1)
        axes.set_xlim(-0.6, max(len(labels), 7) - 0.4)
        step = -(-len(labels) // _MAX_LABELS[drawing.kind]) or 1
        axes.set_xticks(list(positions)[::step], list(labels)[::step])
        axes.grid(visible=False, axis="x")
        format_axis(axes.yaxis)
        add_legend(drawing, [*series], level_name if known_levels else "", columns=_LEGEND_COLUMNS[drawing.kind])

    return _render(name, description, draw, height=260)


def draw_bars(name: str, description: str, labels: Sequence[str], series: Mapping[str, Amounts]) -> Markup:
    """Draws a horizontal stacked bar for each label, the first on top."""

    def draw(drawing: Drawing) -> None:
        low, high = draw_stack(
            drawing,
            range(len(labels)),
            series,
            lambda position, name, amount: f"{labels[position]}, {name}: {format_usd(amount)}",
            horizontal=True,
        )
        label_horizontal_bars(drawing, labels, _MAX_NAME_LENGTH[drawing.kind])
        axes = drawing.axes
        axes.set_xlim(low * 1.02, high * 1.02 or 1)
        axes.locator_params(axis="x", nbins=_MAX_TICKS[drawing.kind])
        format_axis(axes.xaxis)
        add_legend(drawing, [*series], "", columns=_LEGEND_COLUMNS[drawing.kind])

    return _render(name, description, draw, height=70 + 26 * len(labels))


def draw_cumulative(
    name: str,
    description: str,
    days: int,
    spend: Amounts,
    *,
    month_name: str,
    budget: Decimal | None,
    budgeted: Amounts,
    forecast: Decimal | None,
    low: Decimal | None,
    high: Decimal | None,
) -> Markup:
    """Draws the cumulative spend of a month of `days` days, its forecast, and its budget.

    `budgeted` is the part of the spend that the budget covers; empty when it covers all.
    """

    def draw(drawing: Drawing) -> None:
        axes, color = drawing.axes, SERIES[0]
        points = _accumulate(spend)
        values = [float(amount) for _, amount in points]
        axes.fill_between([day for day, _ in points], values, color=color, alpha=0.15, lw=0)
        axes.plot([day for day, _ in points], values, color=color, lw=2.4, label="Spend")
        for day, amount in points[1:]:
            (mark,) = axes.plot([day], [float(amount)], "o", ms=9, alpha=0, color=color)
            drawing.add_tooltip(mark, f"{month_name}, 1 to {day}: {format_usd(amount)}")
        extent = [*values]
        if budgeted:
            steps = _accumulate(budgeted)
            values = [float(amount) for _, amount in steps]
            (mark,) = axes.plot([day for day, _ in steps], values, color=SERIES[2], lw=2, label="With a budget")
            drawing.add_tooltip(mark, f"{month_name}, 1 to {steps[-1][0]}, with a budget: {format_usd(steps[-1][1])}")
            extent += values
        if budget is not None:
            line = axes.axhline(float(budget), color=INK, lw=1.6, ls=DASHED, label="Budget")
            drawing.add_tooltip(line, f"Budget: {format_usd(budget)}")
            extent.append(float(budget))
        if forecast is not None:
            ends = [float(points[-1][1]), float(forecast)]
            axes.plot([len(spend), days], ends, color=color, lw=1.8, ls=":", label="Forecast")
            if low is not None and high is not None:
                (bar,) = axes.plot([days, days], [float(low), float(high)], color=color, lw=7, alpha=0.35)
                drawing.add_tooltip(bar, f"Forecast: {format_usd(low)} to {format_usd(high)}")
                extent.append(float(high))
            (mark,) = axes.plot([days], [float(forecast)], "o", ms=7, color=color)
            drawing.add_tooltip(mark, f"Forecast for the month: {format_usd(forecast)}")
            extent.append(float(forecast))
        axes.set_xlim(0, days + 0.4)
        axes.set_ylim(min(0.0, *extent) * 1.08, max(extent) * 1.08 or 1)
        axes.set_xticks([1, *range(5, days - 1, 5), days])
        axes.grid(visible=False, axis="x")
        format_axis(axes.yaxis)
        axes.legend(**legend_options(_LEGEND_COLUMNS[drawing.kind]))

    return _render(name, description, draw, height=260)


def _accumulate(amounts: Amounts) -> list[tuple[int, Decimal]]:
    """The cumulative sum at the end of each day, from day 0 on."""
    return list(enumerate(accumulate((amount or Decimal(0) for amount in amounts), initial=Decimal(0))))


def _merge_levels(levels: Amounts) -> list[tuple[int, int, Decimal]]:
    """Joins neighboring equal levels: first position, last position, level. None is left out."""
    merged: list[tuple[int, int, Decimal]] = []
    for position, level in enumerate(levels):
        if level is None:
            continue
        if merged and merged[-1][1:] == (position - 1, level):
            merged[-1] = (merged[-1][0], position, level)
        else:
            merged.append((position, position, level))
    return merged


def _render(name: str, description: str, draw: DrawFunction, *, height: int) -> Markup:
    return render_chart(name, description, draw, {kind: (width, height) for kind, width in _WIDTHS.items()})
