"""Pictures in a page: matplotlib's SVG, made part of it.

Belongs here: how a picture looks, and what turns matplotlib's file into a part of a page: no address of anything,
colors that follow the page's, a title on every mark. Does not: what is drawn (`report.charts`, `metabase.preview`), or
how a number is written.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that stand for the page's own, so that a picture is light or dark with it.
INK, SOFT, GRID, ALARM = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#110001", "#110002", "#110003")
_VARIABLES = {INK: "--ink", SOFT: "--soft", GRID: "--grid", ALARM: "--alarm"} | {
    color: f"--series-{number}" for number, color in enumerate(SERIES, 1)
}
DASHED = (0, (4, 2))
_STYLE: Any = {
    # Letters stay letters: they can be searched, read aloud, and look like the page's.
    "svg.fonttype": "none",
    # The same numbers make the same file.
    "svg.hashsalt": "ai-usage",
    # A team may be called $x$.
    "text.parse_math": False,
    "font.size": 12,
    "figure.dpi": 72,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "grid.color": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


@dataclass
class Drawing:
    """A picture in the making; `tips` are what its marks say when they are pointed at."""

    figure: Figure
    axes: Axes
    kind: str
    tips: list[str] = field(default_factory=list)

    def add_tooltip(self, mark: Any, text: str) -> None:
        """Says `text` when the mark is pointed at."""
        mark.set_gid(f"tip-{len(self.tips)}")
        self.tips.append(text)


DrawFunction = Callable[[Drawing], None]
# What a mark says: place, name of the series, amount.
TooltipText = Callable[[int, str, Decimal], str]


def render_chart(name: str, described: str, draw: DrawFunction, sizes: Mapping[str, tuple[int, int]]) -> Markup:
    """The picture in each kind of size, of (width, height) in pixels; `name` is its own on the page."""
    # Imported late: it takes seconds, and only who makes a page should pay for them.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.figure import Figure

    made = []
    for kind, (width, height) in sizes.items():
        with matplotlib.rc_context(_STYLE), _without_words():
            # At 72 dots an inch a point is a pixel.
            figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
            drawing = Drawing(figure, figure.subplots(), kind)
            draw(drawing)
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        made.append(_part_of_page(file.getvalue(), f"{name}-{kind}", kind, described, drawing.tips))
    # The pieces are an XML tree, written by its own writer: what was text in it is escaped.
    return Markup("".join(made))  # noqa: S704


def draw_stack(
    drawing: Drawing,
    places: Sequence[int],
    series: Mapping[str, Sequence[Decimal | None]],
    told: TooltipText,
    *,
    colors: Sequence[str] = SERIES,
    horizontal: bool = False,
) -> tuple[float, float]:
    """Draws the parts of each place, those below zero downwards; returns how far down and up they reach."""
    ends = dict.fromkeys(places, (0.0, 0.0))
    for number, (name, amounts) in enumerate(series.items()):
        color = colors[number % len(colors)]
        for place, amount in zip(places, amounts, strict=True):
            if not amount:
                continue
            low, high = ends[place]
            size = float(amount)
            start = high if size > 0 else low
            if horizontal:
                (mark,) = drawing.axes.barh([place], [size], left=[start], height=0.72, color=color)
            else:
                (mark,) = drawing.axes.bar([place], [size], bottom=[start], width=0.78, color=color)
            drawing.add_tooltip(mark, told(place, name, amount))
            ends[place] = (low, high + size) if size > 0 else (low + size, high)
    return min([*(low for low, _ in ends.values()), 0.0]), max([*(high for _, high in ends.values()), 0.0])


def label_horizontal_bars(drawing: Drawing, labels: Sequence[str], longest: int) -> None:
    """Names beside bars that lie, the first on top, shortened to `longest` characters."""
    drawing.axes.set_yticks(list(range(len(labels))), [_short(label, longest) for label in labels])
    drawing.axes.invert_yaxis()
    drawing.axes.grid(visible=False, axis="y")
    drawing.axes.tick_params(axis="y", length=0, labelcolor=INK)


def add_legend(
    drawing: Drawing, names: Sequence[str], level: str, *, colors: Sequence[str] = SERIES, columns: int = 4
) -> None:
    """Which color is which, and that of the dashed level if there is one."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colors[n % len(colors)], label=name) for n, name in enumerate(names)]
    if level:
        handles.append(Line2D([], [], color=INK, lw=1.6, ls=DASHED, label=level))
    if handles:
        drawing.axes.legend(handles=handles, **legend_options(columns))


def legend_options(columns: int) -> dict[str, Any]:
    """Above the picture, from the left."""
    return {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1),
        "ncols": columns,
        "frameon": False,
        "borderaxespad": 0.2,
        "handlelength": 1.6,
        "columnspacing": 1.4,
    }


def format_axis(axis: Any, mark: str = "$") -> None:
    """Short numbers along an axis, of dollars or of whatever `mark` stands for."""
    axis.set_major_formatter(lambda value, _: format_compact(Decimal(str(value)), mark))
    axis.set_tick_params(length=0)


def format_compact(amount: Decimal, mark: str = "$") -> str:
    """A number for an axis: $950, $1.2k, $3M."""
    size, sign = abs(amount), "−" if amount < 0 else ""
    for unit, name in ((Decimal(1_000_000), "M"), (Decimal(1_000), "k")):
        if size >= unit:
            return f"{sign}{mark}{(size / unit).quantize(Decimal('0.01')).normalize():f}{name}"
    return f"{sign}{mark}{size.quantize(Decimal('0.01')).normalize():f}"


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


@contextmanager
def _without_words() -> Iterator[None]:
    """A letter that matplotlib's own font lacks is no matter: the browser's has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _part_of_page(svg: str, name: str, kind: str, described: str, tips: Sequence[str]) -> str:
    """An SVG file as an element of a page: own names for its parts, colors by the page, words for its marks."""
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
    """An attribute's value with the page's colors and font, and with this picture's names."""
    for color, variable in _VARIABLES.items():
        value = value.replace(color, f"var({variable})")
    return re.sub(r"font-family: [^;]*(; )?", "", value.replace("url(#", f"url(#{name}-"))
