"""Splits scripts into statements, and translates statements and errors between GoogleSQL and DuckDB."""

from __future__ import annotations

import re
from functools import lru_cache

import duckdb
import sqlglot
from sqlglot import exp

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, invalid_query, not_implemented
from ai_usage_assets_tests.fakes.bigquery.partition_filters import parse_cached
from ai_usage_assets_tests.fakes.bigquery.values import ParameterType


@lru_cache(maxsize=1024)
def split_script(text: str) -> tuple[str, ...]:
    """Return the statements of a script without their semicolons."""
    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except sqlglot.errors.TokenError:
        # The analyzer reports the syntax error.
        return (text,)
    statements, start = [], 0
    for token in tokens:
        if token.token_type == sqlglot.TokenType.SEMICOLON:
            statements.append(text[start : token.start])
            start = token.end + 1
    statements.append(text[start:])
    return tuple(statement for statement in statements if sqlglot.tokenize(statement, read="bigquery"))


@lru_cache(maxsize=1024)
def translate_to_duckdb(
    text: str, dataset: str | None, unqualified: frozenset[str], parameters: frozenset[tuple[str, ParameterType]]
) -> str:
    """Translate a statement for DuckDB.

    Table names lose their project, parameters are cast to their types, and UNNEST of an ARRAY<STRUCT> parameter reads a
    registered table. `unqualified` are the tables that the statement names without `dataset`.
    """
    tree = parse_cached(text)
    has_project = any(table.catalog for table in tree.find_all(exp.Table))
    if not unqualified and not has_project and not tree.find(exp.Parameter):
        return _to_duckdb(text)
    tree = tree.copy()
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if table.catalog:
            table.set("catalog", None)
        elif not table.db and table.name in unqualified - ctes:
            table.set("db", exp.to_identifier(dataset, quoted=True))
    parameter_types = dict(parameters)
    for unnest in list(tree.find_all(exp.Unnest)):
        (argument,) = unnest.expressions
        if isinstance(argument, exp.Parameter) and parameter_types[argument.name].is_row_array:
            rows = exp.Table(this=exp.to_identifier(row_array_table(argument.name), quoted=True))
            if alias := unnest.args.get("alias"):
                rows.set("alias", exp.TableAlias(this=(alias.columns or [alias.this])[0].copy()))
            unnest.replace(rows)
    for node in list(tree.find_all(exp.Parameter)):
        data_type = exp.DataType.build(parameter_types[node.name].googlesql(), dialect="bigquery")
        node.replace(exp.Cast(this=node.copy(), to=data_type))
    return _to_duckdb(tree.sql("bigquery", copy=False))


def _to_duckdb(text: str) -> str:
    try:
        return googlesql.to_duckdb(text)
    except googlesql.UnsupportedSQL as error:
        raise not_implemented(str(error)) from None


def row_array_table(parameter: str) -> str:
    """Return the name of the DuckDB table with the rows of an ARRAY<STRUCT> parameter."""
    return f"rows of {parameter}"


def translate_error(error: duckdb.Error) -> ApiError:
    """Translate an error of DuckDB at run time into BigQuery's message."""
    message = str(error).splitlines()[0]
    if missing := re.search(r"NOT NULL constraint failed: .*?(\w+)\"?$", message):
        return invalid_query(f"Required field {missing[1]} cannot be null")
    if "cannot affect the same target row more than once" in message:
        return invalid_query("UPDATE/MERGE must match at most one source row for each target row")
    return invalid_query(message)
