"""Pydantic models of the dashboards under `deploy/metabase`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.metabase.card_settings import SETTINGS, CardSettings, Display, Text
from ai_usage_assets.metabase.sql_template import find_variables
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.warehouse import googlesql

# The number of columns of Metabase's grid.
GRID_COLUMNS = 24

# Dollars without cents, dollars with cents, dollars with four decimals, a percentage, an integer count, a number.
NumberFormat = Literal["usd", "cents", "unit_usd", "percent", "count", "number"]


class SpecError(OperatorError):
    """The dashboard files are invalid. Each line names the file, the error and what is expected."""

    exit_code = 2

    def __init__(self, *lines: str) -> None:
        # The lines quote file names and SQL.
        super().__init__("\n".join(redact_line(line, with_people=False) for line in lines))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Filter(_Strict):
    """A filter at the top of a dashboard. The only column of `filters/<key>.sql` lists its values."""

    name: Text
    multiple: bool = True
    sql: Text


class CardColumn(_Strict):
    """How a column of a card is shown."""

    title: Text | None = None
    format: NumberFormat | None = None
    # Draws a bar in each table cell, proportional to the number.
    mini_bar: bool = False


class Click(_Strict):
    """What a click on a card does: sets filters of this dashboard, or opens another dashboard with filters set."""

    # Filter key -> the column of the card that supplies the value.
    filters: dict[str, Text] = Field(min_length=1)
    dashboard: Text | None = None


class Card(_Strict):
    """A Metabase question: SQL and how its rows are drawn."""

    name: Text
    # What the number is, its unit and its days. Metabase shows it next to the title.
    description: Text
    display: Display
    columns: dict[str, CardColumn] = {}
    # Metabase's visualization_settings, without titles and number formats: those follow from `columns`.
    settings: dict[str, Any] = Field(default={}, validate_default=True)
    # The second dimension is the vendor: each series gets the color of its vendor.
    series_by: Literal["vendor"] | None = None
    click: Click | None = None
    sql: Text

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if display := info.data.get("display"):
            SETTINGS[display].model_validate(value)
        return value

    @cached_property
    def typed_settings(self) -> CardSettings:
        """The settings of the card's display."""
        return SETTINGS[self.display].model_validate(self.settings)

    @cached_property
    def variables(self) -> list[str]:
        """The keys of the filters that the SQL uses."""
        return find_variables(self.sql)


class Placed(_Strict):
    """A card in a row, and its width in grid columns."""

    card: Text
    width: int = Field(ge=1, le=GRID_COLUMNS)


class CardRow(_Strict):
    """Cards side by side."""

    height: int = Field(ge=2, le=30)
    cards: list[Placed] = Field(min_length=1)


class TextRow(_Strict):
    """A heading or Markdown text over the full width."""

    heading: Text | None = None
    text: Text | None = None
    height: int = Field(default=1, ge=1, le=10)


def _row_type(row: Any) -> str:
    """Decide whether a row has cards or text, so that errors are reported for that kind only."""
    if isinstance(row, dict):
        return "TextRow" if "cards" not in row and row.keys() & {"heading", "text"} else "CardRow"
    return "TextRow" if isinstance(row, TextRow) else "CardRow"


Row = Annotated[Annotated[CardRow, Tag("CardRow")] | Annotated[TextRow, Tag("TextRow")], Discriminator(_row_type)]


class Tab(_Strict):
    """A tab of a dashboard."""

    name: Text
    rows: list[Row] = Field(min_length=1)

    def cards(self) -> Iterator[str]:
        """Yield the keys of the tab's cards in reading order."""
        for row in self.rows:
            if isinstance(row, CardRow):
                yield from (placed.card for placed in row.cards)


class Dashboard(_Strict):
    """A dashboard for one reader and one question."""

    key: Text
    name: Text
    reader: Text
    question: Text
    filters: list[str] = []
    tabs: list[Tab] = Field(min_length=1)
    cards: dict[str, Card]

    @property
    def description(self) -> str:
        """The text under the dashboard's title."""
        return f"{self.question} For: {self.reader}."


class Spec(_Strict):
    """All filters and dashboards."""

    filters: dict[str, Filter]
    dashboards: list[Dashboard]
    # The keys of the cards in shared.yaml.
    shared: frozenset[str] = frozenset()

    def in_dataset(self, dataset: str) -> Spec:
        """Return a copy whose SQL reads the named BigQuery dataset."""

        def move(part: Any) -> Any:
            return part.model_copy(update={"sql": googlesql.in_dataset(part.sql, dataset)})

        return Spec(
            filters={key: move(one) for key, one in self.filters.items()},
            dashboards=[
                each.model_copy(update={"cards": {key: move(card) for key, card in each.cards.items()}})
                for each in self.dashboards
            ],
            shared=self.shared,
        )


def value_column(key: str, given: Filter) -> str:
    """Return the only column of a filter's SQL. Raises SpecError for any other number of columns."""
    try:
        columns = googlesql.selected_columns(given.sql)
    except googlesql.UnsupportedSQL as error:
        raise SpecError(f"filters/{key}.sql: invalid SQL: {' '.join(str(error).split())[:200]}") from None
    if len(columns) != 1 or columns[0] in ("", "*"):
        raise SpecError(f"filters/{key}.sql must select exactly one named column; it selects {columns}.")
    return columns[0]
