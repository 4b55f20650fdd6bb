"""Draw charts with matplotlib as SVG elements of a page.

The elements contain no addresses; their colors are CSS variables of the page, and every mark has a tooltip. What a
chart shows is decided by its callers.
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

# Placeholders for the CSS variables of the page, so that charts follow its light and dark mode.
INK, SOFT, GRID, ALARM = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#110001", "#110002", "#110003")
_VARIABLES = {INK: "--ink", SOFT: "--soft", GRID: "--grid", ALARM: "--alarm"} | {
    color: f"--series-{number}" for number, color in enumerate(SERIES, 1)
}
_NO_METADATA: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
DASHED = (0, (4, 2))
_STYLE: Any = {
    # Text stays text: it can be searched and read aloud, and uses the font of the page.
    "svg.fonttype": "none",
    # Equal data produces an equal file.
    "svg.hashsalt": "ai-usage",
    # The name of a team may look like a formula, such as $x$.
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
    """A chart that is being drawn. `kind` is the key of its size; `tooltips` are the texts of its marks."""

    figure: Figure
    axes: Axes
    kind: str
    tooltips: list[str] = field(default_factory=list)

    def add_tooltip(self, mark: Any, text: str) -> None:
        """Shows `text` when the pointer is on the mark."""
        mark.set_gid(f"tip-{len(self.tooltips)}")
        self.tooltips.append(text)


DrawFunction = Callable[[Drawing], None]
# Makes the tooltip of a mark from its position, series name and amount.
TooltipText = Callable[[int, str, Decimal], str]


def render_chart(name: str, description: str, draw: DrawFunction, sizes: Mapping[str, tuple[int, int]]) -> Markup:
    """Draws the chart in each size, (width, height) in pixels by kind. `name` must be unique on the page."""
    # Importing matplotlib takes seconds.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    elements = []
    for kind, (width, height) in sizes.items():
        with matplotlib.rc_context(_STYLE), _suppress_font_warnings():
            # At 72 dots per inch a point is a pixel.
            figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
            drawing = Drawing(figure, figure.subplots(), kind)
            draw(drawing)
            file = io.StringIO()
            # Draws once; `savefig` draws twice, the first time for the layout alone.
            canvas: Any = FigureCanvasSVG(figure)
            canvas.print_svg(file, metadata=_NO_METADATA)
        elements.append(_embed_svg(file.getvalue(), f"{name}-{kind}", kind, description, drawing.tooltips))
    # The elements were serialized from an XML tree, so their text is escaped.
    return Markup("".join(elements))  # noqa: S704


def draw_stack(
    drawing: Drawing,
    positions: Sequence[int],
    series: Mapping[str, Sequence[Decimal | None]],
    tooltip: TooltipText,
    *,
    colors: Sequence[str] = SERIES,
    horizontal: bool = False,
) -> tuple[float, float]:
    """Draws stacked bars, negative parts below zero, and returns the lowest and the highest end."""
    ends = dict.fromkeys(positions, (0.0, 0.0))
    for number, (name, amounts) in enumerate(series.items()):
        color = colors[number % len(colors)]
        for position, amount in zip(positions, amounts, strict=True):
            if not amount:
                continue
            low, high = ends[position]
            size = float(amount)
            start = high if size > 0 else low
            if horizontal:
                (mark,) = drawing.axes.barh([position], [size], left=[start], height=0.72, color=color)
            else:
                (mark,) = drawing.axes.bar([position], [size], bottom=[start], width=0.78, color=color)
            drawing.add_tooltip(mark, tooltip(position, name, amount))
            ends[position] = (low, high + size) if size > 0 else (low + size, high)
    return min([*(low for low, _ in ends.values()), 0.0]), max([*(high for _, high in ends.values()), 0.0])


def label_horizontal_bars(drawing: Drawing, labels: Sequence[str], max_length: int) -> None:
    """Labels horizontal bars, the first on top, with names of at most `max_length` characters."""
    drawing.axes.set_yticks(list(range(len(labels))), [_shorten(label, max_length) for label in labels])
    drawing.axes.invert_yaxis()
    drawing.axes.grid(visible=False, axis="y")
    drawing.axes.tick_params(axis="y", length=0, labelcolor=INK)


def add_legend(
    drawing: Drawing, names: Sequence[str], level: str, *, colors: Sequence[str] = SERIES, columns: int = 4
) -> None:
    """Adds a legend of the series, and of the dashed level if it has a name."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(color=colors[n % len(colors)], label=name) for n, name in enumerate(names)]
    if level:
        handles.append(Line2D([], [], color=INK, lw=1.6, ls=DASHED, label=level))
    if handles:
        drawing.axes.legend(handles=handles, **legend_options(columns))


def legend_options(columns: int) -> dict[str, Any]:
    """Options that place a legend above the chart."""
    return {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1),
        "ncols": columns,
        "frameon": False,
        "borderaxespad": 0.2,
        "handlelength": 1.6,
        "columnspacing": 1.4,
    }


def format_axis(axis: Any, unit: str = "$") -> None:
    """Formats the numbers of an axis; `unit` is written before each."""
    axis.set_major_formatter(lambda value, _: format_compact(Decimal(str(value)), unit))
    axis.set_tick_params(length=0)


def format_compact(amount: Decimal, unit: str = "$") -> str:
    """Formats a number for an axis: $950, $1.2k, $3M."""
    size, sign = abs(amount), "−" if amount < 0 else ""
    for factor, suffix in ((Decimal(1_000_000), "M"), (Decimal(1_000), "k")):
        if size >= factor:
            return f"{sign}{unit}{(size / factor).quantize(Decimal('0.01')).normalize():f}{suffix}"
    return f"{sign}{unit}{size.quantize(Decimal('0.01')).normalize():f}"


def _shorten(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


@contextmanager
def _suppress_font_warnings() -> Iterator[None]:
    """Suppresses warnings about glyphs that matplotlib's font lacks: the browser renders the text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _embed_svg(svg: str, name: str, kind: str, description: str, tooltips: Sequence[str]) -> str:
    """Turns an SVG file into an element of the page: unique ids, colors of the page, tooltips, no metadata."""
    # The text was written by matplotlib, so it is trusted XML.
    root = ElementTree.fromstring(svg)  # noqa: S314
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        original_id = element.attrib.get("id", "")
        attributes = {key.rpartition("}")[2]: _adapt_value(value, name) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(attributes)
        if "id" in attributes:
            element.set("id", f"{name}-{attributes['id']}")
        if "href" in attributes:
            element.set("href", f"#{name}-{attributes['href'].removeprefix('#')}")
        if original_id.startswith("tip-"):
            title = ElementTree.Element("title")
            title.text = tooltips[int(original_id.removeprefix("tip-"))]
            element.insert(0, title)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"class": f"chart {kind}", "role": "img", "aria-label": description}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _adapt_value(value: str, name: str) -> str:
    """Replaces the placeholder colors and local ids in an attribute, and removes its font."""
    for color, variable in _VARIABLES.items():
        value = value.replace(color, f"var({variable})")
    return re.sub(r"font-family: [^;]*(; )?", "", value.replace("url(#", f"url(#{name}-"))
