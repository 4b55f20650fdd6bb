"""BigQuery GoogleSQL as DuckDB understands it: sqlglot, and the meanings it gets wrong or leaves out.

Belongs here: the translation, and the list of constructs that `sql/` may not use because the engines would disagree.
Does not: SQL of the project. Plain sqlglot turns NUMERIC into DECIMAL(18,3), silently; every rule below is a
difference that was measured, and each has a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.scope import traverse_scope

from ai_usage_assets.hashing import sha256_hex

# The dataset as it is written in `sql/`; the engine's own takes its place.
WRITTEN_DATASET = "ai_usage"

_NUMERIC = "DECIMAL(38, 9)"
# BIGNUMERIC only ever holds vendor cents before they become dollars; 18 decimals leave room for both. BigQuery's has
# 38, so where the door adds up the same cents `sql/` rounds them to 18, which changes nothing here.
_BIGNUMERIC = "DECIMAL(38, 18)"

SESSION = "SET TimeZone = 'UTC'"

# By what a translation is known to be still the same: the translator's version, and this file.
RULES = f"{version('sqlglot')} {sha256_hex(Path(__file__).read_bytes())}\n"

# Fewer values are read faster one by one.
_FEW_PATHS = 3


class UnsupportedSQL(ValueError):
    """A construct outside the project's subset of GoogleSQL; the message names it and what to write instead."""


def parse(sql: str) -> exp.Expr:
    """One GoogleSQL statement as a tree. Raises UnsupportedSQL for none, several or unreadable ones."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="bigquery") if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        # It underlines what it means, for a terminal.
        told = re.sub(r"\x1b\[\d+m", "", str(error)) if str(error) else "it is nested too deep"
        raise UnsupportedSQL(f"not GoogleSQL: {told}") from None
    if len(trees) != 1:
        raise UnsupportedSQL(f"one statement a file, found {len(trees)}")
    return trees[0]


def check_query(sql: str) -> None:
    """Raises UnsupportedSQL for what is not exactly one query, of tables of the dataset, with nothing behind it."""
    # sqlglot takes some for blanks.
    if found := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", sql):
        raise UnsupportedSQL(f"it has the character {found[0]!r}, which is no SQL")
    tree = parse(sql)
    if not isinstance(tree, exp.Query) or not tree.selects:
        raise UnsupportedSQL("it is no query that selects columns")
    if ";" in sql and any(token.token_type.name == "SEMICOLON" for token in sqlglot.tokenize(sql, read="bigquery")):
        raise UnsupportedSQL("it has a ;, which must not be there: a limit may be put behind it")
    scopes = traverse_scope(normalize_identifiers(tree, dialect="bigquery"))
    for table in (source for scope in scopes for source in scope.sources.values() if isinstance(source, exp.Table)):
        if table.db != WRITTEN_DATASET:
            *before, name = (part.name for part in table.parts)
            written = ".".join([*before, name])
            raise UnsupportedSQL(f"the table {written} is not of the dataset: write {WRITTEN_DATASET}.{name}")


def selected(sql: str) -> list[str]:
    """The names of the columns that a query selects; none of another statement. Raises UnsupportedSQL."""
    tree = parse(sql)
    return list(tree.named_selects) if isinstance(tree, exp.Query) else []


@lru_cache(maxsize=512)
def to_duckdb(sql: str) -> str:
    """The same query for DuckDB: parameters `@name` become `$name`, tables lose their dataset.

    A file `ai_usage.duckdb` is a catalog `ai_usage`, in which a schema `ai_usage` can only be named with its catalog,
    and the catalog's name changes with the file's. Plain names are found by the search path, in views by the view's
    own. Raises UnsupportedSQL for what cannot be said with the same meaning.
    """
    tree = parse(sql)
    for node in tree.walk():
        _refuse(node)
        if isinstance(node, exp.Table) and node.db == WRITTEN_DATASET:
            node.set("db", None)
    for select in tree.find_all(exp.Select):
        _read_json_once(select)
    translated = _translate(tree)
    try:
        return translated.sql("duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except sqlglot.UnsupportedError as error:
        raise UnsupportedSQL(str(error)) from None


def in_dataset(sql: str, dataset: str) -> str:
    """The same statement on the tables of a dataset of another name."""
    return re.sub(rf"\b{WRITTEN_DATASET}\.", f"{dataset}.", sql)


def tables_read(tree: exp.Expr) -> tuple[str, ...]:
    """Names of the project's tables that a statement reads, sorted, each once."""
    target = tree.this.find(exp.Table) if isinstance(tree, exp.Create) else None
    return tuple(sorted({t.name for t in tree.find_all(exp.Table) if t.db == WRITTEN_DATASET and t is not target}))


_REFUSED: dict[type[exp.Expr], str] = {
    exp.Bracket: "no subscripts: DuckDB counts from 1; use JSON_VALUE with a path",
    exp.ArgMax: "MAX_BY is not in GoogleSQL; use QUALIFY ROW_NUMBER() with a total order",
    exp.ApproxTopK: "APPROX_TOP_COUNT is not exact; use QUALIFY",
    exp.CurrentDate: "no clock in SQL; use @today, so that a run can be reproduced",
    exp.CurrentTimestamp: "no clock in SQL; use @today, so that a run can be reproduced",
}


def _refuse(node: exp.Expr) -> None:
    advice = _REFUSED.get(type(node))
    if advice:
        raise UnsupportedSQL(f"{node.sql('bigquery')}: {advice}")
    if isinstance(node, exp.Unnest) and node.args.get("offset"):
        raise UnsupportedSQL("UNNEST ... WITH OFFSET: DuckDB counts from 1; number the rows with ROW_NUMBER()")
    if isinstance(node, exp.Extract) and node.this.name.upper() in {"WEEK", "DAYOFWEEK"}:
        raise UnsupportedSQL(f"{node.sql('bigquery')}: the engines number weeks differently; use ISOWEEK")


_PLAIN_PATH = re.compile(r"'\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+'")


def _read_json_once(select: exp.Select) -> None:
    """DuckDB parses a record again for each JSON_VALUE; for a list of paths it does it once, and shares the list."""
    # What is grouped by must stay word for word what is selected.
    if select.args.get("group"):
        return
    by_record: dict[str, list[exp.JSONExtractScalar]] = {}
    for expression in select.expressions:
        for node in expression.find_all(exp.JSONExtractScalar):
            # Another path, or none, stays as it is written: in a list DuckDB would read it differently.
            if node.parent_select is select and _PLAIN_PATH.fullmatch(node.expression.sql("duckdb")):
                by_record.setdefault(node.this.sql(), []).append(node)
    for nodes in by_record.values():
        paths = sorted({node.expression.sql("duckdb") for node in nodes})
        if len(paths) < _FEW_PATHS:
            continue
        for node in nodes:
            every = exp.Array(expressions=[exp.Literal.string(path.strip("'")) for path in paths])
            number = exp.Literal.number(paths.index(node.expression.sql("duckdb")) + 1)
            value = _call("list_extract", _call("json_value", node.this, every), number)
            node.replace(exp.JSONExtractScalar(this=value, expression=exp.JSONPath(expressions=[exp.JSONPathRoot()])))


def _cast(node: exp.Expr, kind: str) -> exp.Expr:
    return exp.Cast(this=node, to=exp.DataType.build(kind, dialect="duckdb"))


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _datatype(node: exp.DataType) -> exp.Expr:
    if node.this == exp.DataType.Type.DECIMAL and not node.expressions:
        return exp.DataType.build(_NUMERIC, dialect="duckdb")
    if node.this == exp.DataType.Type.BIGDECIMAL:
        return exp.DataType.build(_BIGNUMERIC, dialect="duckdb")
    return node


def _literal(node: exp.Literal) -> exp.Expr:
    # 0.1 is FLOAT64 in BigQuery and an exact decimal in DuckDB; money writes NUMERIC '0.1'.
    if not node.is_string and not str(node.this).isdigit():
        return _cast(node, "DOUBLE")
    return node


def _divide(node: exp.Div) -> exp.Expr:
    # 1/0 is an error in BigQuery, not NULL or infinity.
    return exp.If(
        this=exp.EQ(this=exp.paren(node.expression.copy()), expression=exp.Literal.number(0)),
        true=_call("error", exp.Literal.string("division by zero")),
        false=exp.Div(this=node.this, expression=node.expression, typed=False, safe=False),
    )


def _safe_divide(node: exp.SafeDivide) -> exp.Expr:
    numerator, divisor = exp.paren(node.this), exp.paren(node.expression)
    return exp.If(
        this=exp.EQ(this=divisor.copy(), expression=exp.Literal.number(0)),
        true=exp.Null(),
        false=exp.Div(this=numerator, expression=divisor, typed=False, safe=False),
    )


def _timestamp_millis(node: exp.UnixToTime) -> exp.Expr:
    scale = node.args.get("scale")
    if scale is None or scale.name != "3":
        raise UnsupportedSQL("only TIMESTAMP_MILLIS of the TIMESTAMP_* family is in the subset")
    return _call("timezone", exp.Literal.string("UTC"), _call("make_timestamp_ms", node.this))


def _date(node: exp.Date) -> exp.Expr:
    # Of an instant its UTC day, whatever the time zone of who reads a view; DuckDB would take the reader's.
    if node.args.get("zone") or node.expressions:
        raise UnsupportedSQL(f"{node.sql('bigquery')}: only DATE of an instant is in the subset, which is its UTC day")
    return _cast(_call("timezone", exp.Literal.string("UTC"), node.this), "DATE")


def _timestamp(node: exp.Timestamp) -> exp.Expr:
    # The same the other way round: midnight in UTC.
    if node.args.get("zone"):
        raise UnsupportedSQL(
            f"{node.sql('bigquery')}: only TIMESTAMP of a date is in the subset, which is its UTC midnight"
        )
    return _call("timezone", exp.Literal.string("UTC"), _cast(node.this, "TIMESTAMP"))


def _extract(node: exp.Extract) -> exp.Expr:
    if node.this.name.upper() == "ISOWEEK":
        return exp.Extract(this=exp.var("WEEK"), expression=node.expression)
    return node


def _json_array(node: exp.JSONExtractArray) -> exp.Expr:
    # What is no array is NULL in BigQuery; sqlglot's cast would fail.
    found = exp.JSONExtract(this=node.this, expression=node.expression)
    return exp.TryCast(this=found, to=exp.DataType.build("JSON[]", dialect="duckdb"))


_TRANSLATIONS: dict[type[exp.Expr], Callable[..., exp.Expr]] = {
    exp.DataType: _datatype,
    exp.Literal: _literal,
    exp.SafeDivide: _safe_divide,
    exp.UnixToTime: _timestamp_millis,
    exp.Date: _date,
    exp.Timestamp: _timestamp,
    exp.Extract: _extract,
    exp.JSONExtractArray: _json_array,
    # 0 on no rows, and BIGINT.
    exp.CountIf: lambda n: exp.Count(this=exp.If(this=n.this, true=exp.Literal.number(1))),
    exp.Div: _divide,
    # sqlglot forgets the brackets of what is divided.
    exp.IntDiv: lambda n: exp.paren(exp.IntDiv(this=exp.paren(n.this), expression=exp.paren(n.expression))),
    # DuckDB answers TIMESTAMP.
    exp.DateTrunc: lambda n: _cast(n, "DATE"),
    exp.DateAdd: lambda n: _cast(n, "DATE"),
    exp.DateSub: lambda n: _cast(n, "DATE"),
    # Whole units elapsed, not boundaries crossed.
    exp.TimestampDiff: lambda n: _call(
        "date_sub", exp.Literal.string(n.args["unit"].name.lower()), n.expression, n.this
    ),
}


def _translate(node: exp.Expr) -> exp.Expr:
    """Children first, so that what a rule builds is never translated twice."""
    for key, value in list(node.args.items()):
        if isinstance(value, exp.Expr):
            node.set(key, _translate(value))
        elif isinstance(value, list):
            node.set(key, [_translate(item) if isinstance(item, exp.Expr) else item for item in value])
    rule = _TRANSLATIONS.get(type(node))
    return rule(node) if rule else node
