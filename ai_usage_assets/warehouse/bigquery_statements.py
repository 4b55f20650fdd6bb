"""SQL statements and parameters that write rows to BigQuery."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from google.cloud import bigquery

from ai_usage_assets.warehouse.base import Row
from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET
from ai_usage_assets.warehouse.tables import Table

T = TypeVar("T")

# Rows are sent as parameters, and a request is limited to 10 MB; an entry of the day log has about a kilobyte.
_ROWS_PER_REQUEST = 2000


def transaction(*statements: str) -> str:
    """A script that runs the statements in one transaction."""
    return ";\n".join(["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"])


def merge(table: Table, key: Sequence[str], parameter: str) -> str:
    """The statement that writes the rows of a parameter and replaces those with the same key; inserts without a key."""
    columns, values = columns_and_values(table)
    target = f"{WRITTEN_DATASET}.{table.name}"
    if not key:
        return f"INSERT INTO {target} ({columns})\nSELECT {values} FROM UNNEST(@{parameter}) AS entry"
    update = ", ".join(f"{column} = entry.{column}" for column in table.column_names if column not in key)
    return (
        f"MERGE {target} AS stored USING UNNEST(@{parameter}) AS entry ON {key_equals(key)}\n"
        f"WHEN MATCHED THEN UPDATE SET {update}\nWHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    )


def key_equals(key: Sequence[str]) -> str:
    """The condition that a stored row has the key of an entry."""
    return " AND ".join(f"stored.{column} = entry.{column}" for column in key)


def columns_and_values(table: Table) -> tuple[str, str]:
    """The column list of a table, and the columns of an entry in the same order."""
    return ", ".join(table.column_names), ", ".join(f"entry.{column}" for column in table.column_names)


def rows_parameter(name: str, table: Table, rows: Sequence[Row]) -> bigquery.ArrayQueryParameter:
    """Rows of a table as a parameter; a missing column is NULL."""
    return bigquery.ArrayQueryParameter(
        name,
        "STRUCT",
        [
            bigquery.StructQueryParameter(
                None, *(bigquery.ScalarQueryParameter(c.name, c.type, row.get(c.name)) for c in table.columns)
            )
            for row in rows
        ],
    )


def split_batches(items: Sequence[T], size: Callable[[T], int] = lambda item: 1) -> Iterator[Sequence[T]]:
    """Splits the items by size, so that each batch fits into a request; a larger item is a batch of its own."""
    first = total = 0
    for number, item in enumerate(items):
        if total and total + size(item) > _ROWS_PER_REQUEST:
            yield items[first:number]
            first, total = number, 0
        total += size(item)
    if items:
        yield items[first:]
