"""Which columns the columns of each model are computed from, for the Dagster UI.

sqlglot needs two seconds for all models, which every start of a run would take. The result is therefore a file,
`sql/column_lineage.json`, that `make dictionary` writes. The lineage of a model is used only while the model has the
SQL that it was computed from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlglot import exp
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema

from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET, parse
from ai_usage_assets.warehouse.sql_files import sql_folder
from ai_usage_assets.warehouse.tables import Table

# Column -> the columns it is computed from, as (table, column).
Lineage = Mapping[str, Sequence[tuple[str, str]]]

_FILE = "column_lineage.json"


def read_lineage(table: Table) -> Lineage:
    """The stored lineage of a model; empty if there is none for its SQL."""
    stored = _read_file().get(table.name, {})
    if stored.get("code_version") != table.code_version:
        return {}
    return {column: [_split(source) for source in sources] for column, sources in stored["columns"].items()}


@cache
def _read_file() -> dict[str, dict[str, Any]]:
    path = sql_folder() / _FILE
    content: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return content


def _split(name: str) -> tuple[str, str]:
    table, column = name.split(".")
    return table, column


def _align_unions(query: exp.Expr) -> None:
    """Gives every branch of a UNION BY NAME the columns of the first one: sqlglot finds them by their position."""
    for union in query.find_all(exp.SetOperation):
        branch = union.expression
        if union.args.get("by_name") and isinstance(branch, exp.Select):
            by_name = {select.alias_or_name: select for select in branch.selects}
            names = union.named_selects
            branch.set("expressions", [by_name.get(name) or exp.alias_(exp.null(), name) for name in names])
            union.set("by_name", False)


def trace_lineage(table: Table, tables: Sequence[Table]) -> Lineage:
    """The columns of other tables whose values make a value of each column; conditions of joins and WHERE do not.

    `tables` are all tables that the model can read. A count of rows is computed from no column.
    """
    schema = MappingSchema(
        # sqlglot needs a type for every column; lineage does not depend on it.
        {WRITTEN_DATASET: {each.name: dict.fromkeys(each.column_names, "STRING") for each in tables}},
        dialect="bigquery",
    )
    # Column names are case-insensitive; sqlglot makes them lower case.
    written = {(each.name, name.lower()): name for each in tables for name in each.column_names}
    query = qualify(
        parse(table.query or ""),
        schema=schema,
        dialect="bigquery",
        validate_qualify_columns=False,
        quote_identifiers=False,
    )
    _align_unions(query)
    scope = build_scope(query)
    # Copying the query for each column would take ten times as long.
    options = {"dialect": "bigquery", "scope": scope, "trim_selects": False, "copy": False}
    return {
        column: sorted(
            {
                (node.expression.name, written[node.expression.name, node.name.rpartition(".")[2].lower()])
                for node in lineage(column, query, schema, **options).walk()
                if isinstance(node.expression, exp.Table) and node.expression.db == WRITTEN_DATASET
            }
        )
        for column in table.column_names
    }


def render_lineage(tables: Sequence[Table]) -> str:
    """The content of the file."""
    content = {
        table.name: {
            "code_version": table.code_version,
            "columns": {
                column: [".".join(source) for source in sources]
                for column, sources in trace_lineage(table, tables).items()
            },
        }
        for table in sorted(tables, key=lambda table: table.name)
        if table.query
    }
    return json.dumps(content, indent=1) + "\n"
