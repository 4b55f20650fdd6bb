"""The report's pictures.

Belongs here: drawing numbers that are given, in columns, bars and a climbing line. Does not: choosing numbers
(`figures`), words (`page`), or what all pictures have in common (`pictures`). Each picture is drawn twice, for a wide
page and for a phone: text that shrinks with its picture cannot be read.
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

# Of a phone that is 390 wide, what is left beside the margins.
_WIDTHS = {"wide": 980, "narrow": 340}
_LONGEST_NAME = {"wide": 34, "narrow": 18}
_LEGEND_COLUMNS = {"wide": 4, "narrow": 2}
_MOST_LABELS = {"wide": 16, "narrow": 6}
_MOST_NUMBERS = {"wide": 7, "narrow": 3}


def columns(
    name: str,
    described: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Decimal | None]],
    *,
    levels: Sequence[Decimal | None] = (),
    level_name: str = "",
    tip_labels: Sequence[str] = (),
) -> Markup:
    """Stacked columns, one for each label, and a dashed level across each; what is None is not drawn."""

    def draw(drawing: Drawing) -> None:
        axes, places = drawing.axes, range(len(labels))
        told = tip_labels or labels
        low, high = draw_stack(
            drawing, places, series, lambda place, name, amount: f"{told[place]}, {name}: {format_usd(amount)}"
        )
        known = [level for level in levels if level is not None]
        for first, last, level in _runs(levels):
            (line,) = axes.plot([first - 0.5, last + 0.5], [float(level)] * 2, color=INK, lw=1.6, ls=DASHED)
            told_of = told[first] if first == last else f"{told[first]} to {told[last]}"
            drawing.add_tooltip(line, f"{told_of}: {level_name.lower()} {format_usd(level)}")
        axes.set_ylim(low * 1.08, max([high, *map(float, known)]) * 1.08 or 1)
        axes.set_xlim(-0.6, max(len(labels), 7) - 0.4)
        step = -(-len(labels) // _MOST_LABELS[drawing.kind]) or 1
        shown = [place for place in places if place % step == 0]
        axes.set_xticks(shown, [labels[place] for place in shown])
        axes.grid(visible=False, axis="x")
        format_axis(axes.yaxis)
        add_legend(drawing, [*series], level_name if known else "", columns=_LEGEND_COLUMNS[drawing.kind])

    return _picture(name, described, draw, height=260)


def bars(
    name: str,
    described: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Decimal | None]],
) -> Markup:
    """Stacked bars that lie, the first on top, for names that need room."""

    def draw(drawing: Drawing) -> None:
        low, high = draw_stack(
            drawing,
            range(len(labels)),
            series,
            lambda place, name, amount: f"{labels[place]}, {name}: {format_usd(amount)}",
            horizontal=True,
        )
        label_horizontal_bars(drawing, labels, _LONGEST_NAME[drawing.kind])
        axes = drawing.axes
        axes.set_xlim(low * 1.02, high * 1.02 or 1)
        axes.locator_params(axis="x", nbins=_MOST_NUMBERS[drawing.kind])
        format_axis(axes.xaxis)
        add_legend(drawing, [*series], "", columns=_LEGEND_COLUMNS[drawing.kind])

    return _picture(name, described, draw, height=70 + 26 * len(labels))


def climb(
    name: str,
    described: str,
    days: int,
    spent: Sequence[Decimal | None],
    *,
    budget: Decimal | None,
    budgeted: Sequence[Decimal | None],
    forecast: Decimal | None,
    low: Decimal | None,
    high: Decimal | None,
    label: str,
) -> Markup:
    """What a month has added up to, day by day, where it is expected to end, and the budget above it.

    `budgeted` is the part of the spend that is held against the budget; empty when that is all of it.
    """

    def draw(drawing: Drawing) -> None:
        axes = drawing.axes
        points = _added_up(spent)
        total = points[-1][1]
        over = [float(amount) for _, amount in points]
        axes.fill_between([day for day, _ in points], over, color=SERIES[0], alpha=0.15, lw=0)
        axes.plot([day for day, _ in points], over, color=SERIES[0], lw=2.4, label="Spent so far")
        for day, amount in points[1:]:
            (mark,) = axes.plot([day], [float(amount)], "o", ms=9, alpha=0, color=SERIES[0])
            drawing.add_tooltip(mark, f"{label}, 1 to {day}: {format_usd(amount)}")
        reached = [*over]
        if budgeted:
            steps = _added_up(budgeted)
            part = [float(amount) for _, amount in steps]
            (mark,) = axes.plot([day for day, _ in steps], part, color=SERIES[2], lw=2, label="Of it, with a budget")
            drawing.add_tooltip(mark, f"{label}, 1 to {steps[-1][0]}, with a budget: {format_usd(steps[-1][1])}")
            reached += part
        if budget is not None:
            line = axes.axhline(float(budget), color=INK, lw=1.6, ls=DASHED, label="Budget of the month")
            drawing.add_tooltip(line, f"Budget of the month: {format_usd(budget)}")
            reached.append(float(budget))
        if forecast is not None:
            ends = [len(spent), days]
            axes.plot(ends, [float(total), float(forecast)], color=SERIES[0], lw=1.8, ls=":", label="Expected")
            if low is not None and high is not None:
                (bar,) = axes.plot([days, days], [float(low), float(high)], color=SERIES[0], lw=7, alpha=0.35)
                drawing.add_tooltip(bar, f"Low {format_usd(low)}, high {format_usd(high)}")
                reached.append(float(high))
            (mark,) = axes.plot([days], [float(forecast)], "o", ms=7, color=SERIES[0])
            drawing.add_tooltip(mark, f"Expected at the end of the month: {format_usd(forecast)}")
            reached.append(float(forecast))
        axes.set_xlim(0, days + 0.4)
        axes.set_ylim(min(0.0, *reached) * 1.08, max(reached) * 1.08 or 1)
        axes.set_xticks([1, *range(5, days - 1, 5), days])
        axes.grid(visible=False, axis="x")
        format_axis(axes.yaxis)
        axes.legend(**legend_options(_LEGEND_COLUMNS[drawing.kind]))

    return _picture(name, described, draw, height=260)


def _added_up(amounts: Sequence[Decimal | None]) -> list[tuple[int, Decimal]]:
    """What each day, counted from 1, brings the sum to; day 0 is nothing."""
    sums = accumulate((amount or Decimal(0) for amount in amounts), initial=Decimal(0))
    return list(enumerate(sums))


def _runs(levels: Sequence[Decimal | None]) -> list[tuple[int, int, Decimal]]:
    """Where each level begins and ends; what is not known is left out."""
    found: list[tuple[int, int, Decimal]] = []
    for place, level in enumerate(levels):
        if level is None:
            continue
        if found and found[-1][1:] == (place - 1, level):
            found[-1] = (found[-1][0], place, level)
        else:
            found.append((place, place, level))
    return found


def _picture(name: str, described: str, draw: DrawFunction, *, height: int) -> Markup:
    return render_chart(name, described, draw, {kind: (width, height) for kind, width in _WIDTHS.items()})
