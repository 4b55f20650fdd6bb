"""The description of a table or view: its columns, their types and meanings, and its layout.

Both engines create tables from it; the Dagster UI, the schema checks and the data dictionary read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ai_usage_assets.hashing import sha256_hex

if TYPE_CHECKING:
    import dagster as dg

# The GoogleSQL types of columns, which both engines share: exact, and with the same values.
COLUMN_TYPES = ("STRING", "INT64", "NUMERIC", "BOOL", "DATE", "TIMESTAMP")

Layer = Literal["raw", "staging", "curated", "kpi", "ops"]


@dataclass(frozen=True)
class Column:
    """One column. `type` is GoogleSQL; None for a view, whose types the engine infers from the query."""

    name: str
    type: str | None
    description: str
    required: bool = False


@dataclass(frozen=True)
class Table:
    """One table or view of the warehouse.

    `query` is the GoogleSQL SELECT that fills it; None when Python writes the rows. `partition_by` is the DATE column
    of its partitions.
    """

    name: str
    layer: Layer
    description: str
    columns: tuple[Column, ...]
    is_view: bool = False
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    query: str | None = None
    # The tables that the query reads.
    reads: tuple[str, ...] = ()
    # The source whose folder under `sql/` has the file; None for a model that all sources share.
    source: str | None = None

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def is_rebuilt_by_day(self) -> bool:
        """Whether a rebuild replaces the days that the query selects with @start_day, and not the whole table."""
        return self.partition_by is not None and "@start_day" in (self.query or "")

    @cached_property
    def code_version(self) -> str | None:
        """A short hash of the query; None when Python writes the rows."""
        return sha256_hex(self.query, digits=12) if self.query else None

    # Dagster takes a second to import, and most commands do not need it.

    def ui_schema(self, types: Mapping[str, str] | None = None) -> dg.TableSchema:
        """The columns as the Dagster UI shows them."""
        import dagster as dg

        return dg.TableSchema(
            columns=[
                dg.TableColumn(
                    c.name,
                    type=c.type or (types or {}).get(c.name, ""),
                    description=c.description,
                    constraints=dg.TableColumnConstraints(nullable=not c.required),
                )
                for c in self.columns
            ]
        )

    def ui_metadata(self) -> dict[str, object]:
        """The metadata that the Dagster UI shows before the table exists."""
        return {"dagster/column_schema": self.ui_schema(), "dagster/table_name": f"ai_usage.{self.name}"}
