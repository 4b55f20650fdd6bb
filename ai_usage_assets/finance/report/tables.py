"""The parts of the report page: sections with sentences, charts and tables of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup

from ai_usage_assets.registry import SOURCES
from ai_usage_assets.rendering.text import NONE, format_percent

# Longer tables are folded.
MAX_OPEN_ROWS = 12
# Longer lists are cut.
MAX_LISTED_ROWS = 50
BASIS_LABELS = {"billed": "Billed", "included": "Included in seats", None: "Billed and included"}


@dataclass(frozen=True)
class Column:
    """A column of a table. Numbers are aligned to the right; a long name that users chose is shortened."""

    title: str
    is_number: bool = False
    is_name: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text. `total` is its last row; a `folded` table is opened by a click."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    total: Sequence[str] = ()
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawn chart with its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Section:
    """A part of the page. `anchor` is its id."""

    anchor: str
    title: str
    sentences: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()


def texts(*titles: str) -> tuple[Column, ...]:
    """Columns of text."""
    return tuple(Column(title) for title in titles)


def numbers(*titles: str) -> tuple[Column, ...]:
    """Columns of numbers."""
    return tuple(Column(title, is_number=True) for title in titles)


def names(*titles: str) -> tuple[Column, ...]:
    """Columns of names that users chose."""
    return tuple(Column(title, is_name=True) for title in titles)


def order_vendors(vendors: Iterable[str]) -> list[str]:
    """The vendors in the order of the registry, so that each keeps its color in every chart."""
    present = set(vendors)
    registered = [entry.name for entry in SOURCES if entry.name in present]
    return [*registered, *sorted(present.difference(registered))]


def format_status(amount: object, *, is_provisional: bool) -> str:
    """The status of an amount; `not loaded` when it is None."""
    if amount is None:
        return "not loaded"
    return "provisional" if is_provisional else "final"


def format_change(current: Decimal | None, previous: Decimal | None) -> str:
    """The relative change between two amounts."""
    if current is None or previous is None or previous < 0:
        return NONE
    if not previous:
        return "new" if current else NONE
    return f"{'+' if current >= previous else ''}{format_percent((current - previous) / previous)}"
