"""The report's pictures: matplotlib's SVG, made part of the page.

Belongs here: drawing numbers that are given, and what turns matplotlib's file into a part of a page: no address of
anything, colours that follow the page's, a title on every mark. Does not: choosing numbers (`figures`), words (`page`).
Each picture is drawn twice, for a wide page and for a phone: text that shrinks with its picture cannot be read.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from ai_usage_assets.finance.report.figures import usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stand for the page's own, so that a picture is light or dark with it.
_INK, _SOFT, _GRID, _ALARM = "#010101", "#020202", "#030303", "#040404"
_SERIES = ("#110001", "#110002", "#110003")
_VARIABLES = {_INK: "--ink", _SOFT: "--soft", _GRID: "--grid", _ALARM: "--alarm"} | {
    colour: f"--series-{number}" for number, colour in enumerate(_SERIES, 1)
}
# Of a phone that is 390 wide, what is left beside the margins; at 72 dots an inch a point is a pixel.
_WIDE, _NARROW = 980, 340
_LONGEST_NAME = {True: 18, False: 34}
_STYLE: Any = {
    # Letters stay letters: they can be searched, read aloud, and look like the page's.
    "svg.fonttype": "none",
    # The same numbers make the same file.
    "svg.hashsalt": "ai-usage",
    # A team may be called $x$.
    "text.parse_math": False,
    "font.size": 12,
    "figure.dpi": 72,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _SOFT,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _SOFT,
    "ytick.labelcolor": _SOFT,
    "grid.color": _GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


@dataclass
class _Drawing:
    """A picture in the making; `tips` are what its marks say when they are pointed at."""

    figure: Figure
    axes: Axes
    is_narrow: bool
    tips: list[str] = field(default_factory=list)

    def tip(self, mark: Any, text: str) -> None:
        mark.set_gid(f"tip-{len(self.tips)}")
        self.tips.append(text)


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

    def draw(drawing: _Drawing) -> None:
        axes, places = drawing.axes, range(len(labels))
        told = tip_labels or labels
        bottoms = _stack(drawing, places, series, told)
        known = [level for level in levels if level is not None]
        for first, last, level in _runs(levels):
            (line,) = axes.plot([first - 0.5, last + 0.5], [float(level)] * 2, color=_INK, lw=1.6, ls=(0, (4, 2)))
            told_of = told[first] if first == last else f"{told[first]} to {told[last]}"
            drawing.tip(line, f"{told_of}: {level_name.lower()} {usd(level)}")
        top = max([*(high for _, high in bottoms.values()), *map(float, known), 0.0])
        low = min([*(low for low, _ in bottoms.values()), 0.0])
        axes.set_ylim(low * 1.08, top * 1.08 or 1)
        axes.set_xlim(-0.6, max(len(labels), 7) - 0.4)
        step = -(-len(labels) // (6 if drawing.is_narrow else 16)) or 1
        shown = [place for place in places if place % step == 0]
        axes.set_xticks(shown, [labels[place] for place in shown])
        axes.grid(visible=False, axis="x")
        _dollars(axes.yaxis)
        _legend(drawing, [*series], level_name if known else "")

    return _picture(name, described, draw, height=260)


def bars(
    name: str,
    described: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Decimal | None]],
) -> Markup:
    """Stacked bars that lie, the first on top, for names that need room."""

    def draw(drawing: _Drawing) -> None:
        axes, places = drawing.axes, range(len(labels))
        ends = _stack(drawing, places, series, labels, lying=True)
        longest = _LONGEST_NAME[drawing.is_narrow]
        axes.set_yticks(list(places), [_short(label, longest) for label in labels])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        top = max([*(high for _, high in ends.values()), 0.0])
        low = min([*(low for low, _ in ends.values()), 0.0])
        axes.set_xlim(low * 1.02, top * 1.02 or 1)
        axes.locator_params(axis="x", nbins=3 if drawing.is_narrow else 7)
        _dollars(axes.xaxis)
        _legend(drawing, [*series], "")

    return _picture(name, described, draw, height=70 + 26 * len(labels))


def climb(
    name: str,
    described: str,
    days: int,
    spent: Sequence[Decimal | None],
    *,
    budget: Decimal | None,
    forecast: Decimal | None,
    low: Decimal | None,
    high: Decimal | None,
    label: str,
) -> Markup:
    """What a month has added up to, day by day, where it is expected to end, and the budget above it."""

    def draw(drawing: _Drawing) -> None:
        axes = drawing.axes
        total, points = Decimal(0), [(0, Decimal(0))]
        for day, amount in enumerate(spent, 1):
            total += amount or 0
            points.append((day, total))
        over = [float(amount) for _, amount in points]
        axes.fill_between([day for day, _ in points], over, color=_SERIES[0], alpha=0.15, lw=0)
        axes.plot([day for day, _ in points], over, color=_SERIES[0], lw=2.4, label="Spent so far")
        for day, amount in points[1:]:
            (mark,) = axes.plot([day], [float(amount)], "o", ms=9, alpha=0, color=_SERIES[0])
            drawing.tip(mark, f"{label}, 1 to {day}: {usd(amount)}")
        tops = [max(over)]
        if budget is not None:
            line = axes.axhline(float(budget), color=_INK, lw=1.6, ls=(0, (4, 2)), label="Budget of the month")
            drawing.tip(line, f"Budget of the month: {usd(budget)}")
            tops.append(float(budget))
        if forecast is not None:
            ends = [len(spent), days]
            axes.plot(ends, [float(total), float(forecast)], color=_SERIES[0], lw=1.8, ls=":", label="Expected")
            if low is not None and high is not None:
                (bar,) = axes.plot([days, days], [float(low), float(high)], color=_SERIES[0], lw=7, alpha=0.35)
                drawing.tip(bar, f"Low {usd(low)}, high {usd(high)}")
                tops.append(float(high))
            (mark,) = axes.plot([days], [float(forecast)], "o", ms=7, color=_SERIES[0])
            drawing.tip(mark, f"Expected at the end of the month: {usd(forecast)}")
            tops.append(float(forecast))
        axes.set_xlim(0, days + 0.4)
        axes.set_ylim(min(0.0, *over) * 1.08, max(tops) * 1.08 or 1)
        axes.set_xticks([1, *range(5, days - 1, 5), days])
        axes.grid(visible=False, axis="x")
        _dollars(axes.yaxis)
        axes.legend(**_legend_place(drawing))

    return _picture(name, described, draw, height=260)


def _stack(
    drawing: _Drawing,
    places: Sequence[int],
    series: Mapping[str, Sequence[Decimal | None]],
    told: Sequence[str],
    *,
    lying: bool = False,
) -> dict[int, tuple[float, float]]:
    """Draws the parts of each place, those below zero downwards; returns how far each place reaches."""
    ends = dict.fromkeys(places, (0.0, 0.0))
    for number, (name, amounts) in enumerate(series.items()):
        colour = _SERIES[number % len(_SERIES)]
        for place, amount in zip(places, amounts, strict=True):
            if not amount:
                continue
            low, high = ends[place]
            size = float(amount)
            start = high if size > 0 else low
            if lying:
                (mark,) = drawing.axes.barh([place], [size], left=[start], height=0.72, color=colour)
            else:
                (mark,) = drawing.axes.bar([place], [size], bottom=[start], width=0.78, color=colour)
            drawing.tip(mark, f"{told[place]}, {name}: {usd(amount)}")
            ends[place] = (low, high + size) if size > 0 else (low + size, high)
    return ends


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


def _legend(drawing: _Drawing, names: Sequence[str], level_name: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=_SERIES[n % len(_SERIES)], label=name) for n, name in enumerate(names)]
    if level_name:
        handles.append(Line2D([], [], color=_INK, lw=1.6, ls=(0, (4, 2)), label=level_name))
    if handles:
        drawing.axes.legend(handles=handles, **_legend_place(drawing))


def _legend_place(drawing: _Drawing) -> dict[str, Any]:
    """Above the picture, from the left."""
    return {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1),
        "ncols": 2 if drawing.is_narrow else 4,
        "frameon": False,
        "borderaxespad": 0.2,
        "handlelength": 1.6,
        "columnspacing": 1.4,
    }


def _dollars(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: compact(Decimal(str(value))))
    axis.set_tick_params(length=0)


def compact(amount: Decimal) -> str:
    """Dollars for an axis: $950, $1.2k, $3M."""
    size, sign = abs(amount), "−" if amount < 0 else ""
    for unit, name in ((Decimal(1_000_000), "M"), (Decimal(1_000), "k")):
        if size >= unit:
            return f"{sign}${(size / unit).quantize(Decimal('0.01')).normalize():f}{name}"
    return f"{sign}${size.quantize(Decimal('0.01')).normalize():f}"


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _picture(name: str, described: str, draw: Any, *, height: int) -> Markup:
    # Imported late: it takes seconds, and only who makes a report should pay for them.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.figure import Figure

    made = []
    for is_narrow in (False, True):
        with matplotlib.rc_context(_STYLE), _without_words():
            width = _NARROW if is_narrow else _WIDE
            figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
            drawing = _Drawing(figure, figure.subplots(), is_narrow)
            draw(drawing)
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        kind = "narrow" if is_narrow else "wide"
        made.append(_part_of_page(file.getvalue(), f"{name}-{kind}", kind, described, drawing.tips))
    # The pieces are an XML tree, written by its own writer: what was text in it is escaped.
    return Markup("".join(made))  # noqa: S704


@contextmanager
def _without_words() -> Iterator[None]:
    """A letter that matplotlib's own font lacks is no matter: the browser's has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _part_of_page(svg: str, name: str, kind: str, described: str, tips: Sequence[str]) -> str:
    """An SVG file as an element of a page: own names for its parts, colours by the page, words for its marks."""
    # What is parsed was written a moment ago by matplotlib, not by anybody else.
    root = ElementTree.fromstring(svg)  # noqa: S314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}metadata") or child.tag.endswith("}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        marked = element.attrib.get("id", "")
        kept = {key.rpartition("}")[2]: _page_value(value, name) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(kept)
        if "id" in kept:
            element.set("id", f"{name}-{kept['id']}")
        if "href" in kept:
            element.set("href", f"#{name}-{kept['href'].removeprefix('#')}")
        if marked.startswith("tip-"):
            title = ElementTree.Element("title")
            title.text = tips[int(marked.removeprefix("tip-"))]
            element.insert(0, title)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"class": f"chart {kind}", "role": "img", "aria-label": described}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _page_value(value: str, name: str) -> str:
    """An attribute's value with the page's colours and font, and with this picture's names."""
    for colour, variable in _VARIABLES.items():
        value = value.replace(colour, f"var({variable})")
    return re.sub(r"font-family: [^;]*(; )?", "", value.replace("url(#", f"url(#{name}-"))
