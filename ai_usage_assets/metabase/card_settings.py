"""The `visualization_settings` that each display accepts.

Metabase accepts any setting and ignores those it does not know, so an unknown setting is an error here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, StrictStr, model_validator

Display = Literal["area", "bar", "combo", "line", "progress", "row", "scalar", "smartscalar", "table"]
Text = Annotated[str, Field(min_length=1)]
Color = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]


def column_key(name: str) -> str:
    """Return the key of a column in `column_settings`: JSON text, written exactly as Metabase looks it up."""
    return json.dumps(["name", name], separators=(",", ":"), ensure_ascii=False)


def _check_column_key(key: str) -> str:
    try:
        match json.loads(key):
            case ["name", str(name)] if key == column_key(name):
                return key
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"a column key is written '{column_key('COLUMN')}'")


class _Settings(BaseModel):
    # Strict: Metabase receives the value as it is written, not as pydantic would convert it.
    model_config = ConfigDict(strict=True, extra="forbid")


class SeriesSettings(_Settings):
    """How one series of a chart is drawn."""

    title: str | None = None
    display: Literal["area", "bar", "line"] | None = None
    color: Color | None = None
    line_style: Literal["solid", "dashed", "dotted"] | None = Field(default=None, alias="line.style")
    markers: bool | None = Field(default=None, alias="line.marker_enabled")


class Comparison(_Settings):
    """A column of the same row that a trend is compared with; Metabase's other types compare with other rows."""

    id: Text
    type: Literal["anotherColumn"]
    column: Text
    label: Text


class FormattingRule(_Settings):
    """A condition that colors the cells of columns, or the whole row."""

    columns: list[Text]
    type: Literal["single"]
    operator: Operator
    value: StrictStr | StrictInt | FiniteFloat
    color: Color
    highlight_row: bool = False

    @property
    def needs_numbers(self) -> bool:
        """Whether the operator compares by size."""
        return self.operator not in ("=", "!=")

    @model_validator(mode="after")
    def _check_value(self) -> FormattingRule:
        if self.needs_numbers and isinstance(self.value, str):
            raise ValueError(f"{self.operator} needs a number as its value")
        return self


class ColumnSettings(_Settings):
    """Settings of a table column beyond its title and number format."""

    text_wrapping: bool = False
    decimals: int | None = None


class ChartSettings(_Settings):
    """A chart with axes: one dimension and its metrics, or two dimensions and one metric."""

    dimensions: list[Text] = Field(alias="graph.dimensions", min_length=1, max_length=2)
    metrics: list[Text] = Field(alias="graph.metrics", min_length=1)
    show_values: bool = Field(default=False, alias="graph.show_values")
    scale: Literal["timeseries", "ordinal"] = Field(default="ordinal", alias="graph.x_axis.scale")
    x_title: str = Field(default="", alias="graph.x_axis.title_text")
    y_title: str = Field(default="", alias="graph.y_axis.title_text")
    stack_type: Literal["stacked"] | None = Field(default=None, alias="stackable.stack_type")
    series: dict[str, SeriesSettings] = Field(default={}, alias="series_settings")
    columns: dict[Annotated[str, AfterValidator(_check_column_key)], ColumnSettings] = Field(
        default={}, alias="column_settings"
    )

    @model_validator(mode="after")
    def _check_breakout(self) -> ChartSettings:
        if len(self.dimensions) > 1 and len(self.metrics) > 1:
            raise ValueError("a chart has one dimension and its metrics, or two dimensions and one metric")
        return self


class ScalarSettings(_Settings):
    """One number."""

    value: Text = Field(alias="scalar.field")


class TrendSettings(ScalarSettings):
    """One number and what it is compared with."""

    comparisons: list[Comparison] = Field(default=[], alias="scalar.comparisons")
    less_is_better: bool = Field(default=False, alias="scalar.switch_positive_negative")


class ProgressSettings(_Settings):
    """A number as a share of a goal."""

    value: Text = Field(alias="progress.value")
    goal: Text = Field(alias="progress.goal")
    color: Color = Field(default="#509EE3", alias="progress.color")


class TableSettings(_Settings):
    """A table."""

    rules: list[FormattingRule] = Field(default=[], alias="table.column_formatting")
    columns: dict[Annotated[str, AfterValidator(_check_column_key)], ColumnSettings] = Field(
        default={}, alias="column_settings"
    )

    def wrapped_columns(self) -> set[str]:
        """Return the columns whose text wraps."""
        return {json.loads(key)[1] for key, column in self.columns.items() if column.text_wrapping}


CardSettings = ChartSettings | ScalarSettings | TrendSettings | ProgressSettings | TableSettings
SETTINGS: Mapping[Display, type[CardSettings]] = {
    "area": ChartSettings,
    "bar": ChartSettings,
    "combo": ChartSettings,
    "line": ChartSettings,
    "row": ChartSettings,
    "progress": ProgressSettings,
    "scalar": ScalarSettings,
    "smartscalar": TrendSettings,
    "table": TableSettings,
}
