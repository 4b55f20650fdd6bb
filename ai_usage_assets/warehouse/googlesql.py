"""Translates GoogleSQL for DuckDB, and rejects constructs on which the two engines disagree.

sqlglot does most of the work. Each rule below corrects a difference that was measured; for example, sqlglot alone turns
NUMERIC into DECIMAL(18, 3) without a warning. Every rule has a test.
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

# The dataset name in `sql/`; each engine replaces it by its own.
WRITTEN_DATASET = "ai_usage"

_NUMERIC = "DECIMAL(38, 9)"
# BIGNUMERIC holds vendor cents before they become dollars. BigQuery's has 38 decimals and DuckDB's has room for 18, so
# `sql/` rounds cents to 18 decimals.
_BIGNUMERIC = "DECIMAL(38, 18)"

SESSION = "SET TimeZone = 'UTC'"

# Identifies the translation rules: the version of sqlglot and the content of this file.
RULES = f"{version('sqlglot')} {sha256_hex(Path(__file__).read_bytes())}\n"

# A list of paths is slower than separate reads below this number.
_MINIMUM_PATHS = 3


class UnsupportedSQL(ValueError):
    """SQL outside the project's subset of GoogleSQL; the message names the construct and what to write instead."""


def parse(sql: str) -> exp.Expr:
    """The syntax tree of one GoogleSQL statement. Raises UnsupportedSQL for none, several or invalid ones."""
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="bigquery") if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        # sqlglot underlines the position with terminal codes.
        reason = re.sub(r"\x1b\[\d+m", "", str(error)) if str(error) else "it is nested too deeply"
        raise UnsupportedSQL(f"not GoogleSQL: {reason}") from None
    if len(trees) != 1:
        raise UnsupportedSQL(f"expected one statement, found {len(trees)}")
    return trees[0]


def check_query(sql: str) -> None:
    """Raises UnsupportedSQL unless the text is one query on tables of the dataset, without a semicolon."""
    # sqlglot reads some control characters as blanks.
    if control := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", sql):
        raise UnsupportedSQL(f"it contains the control character {control[0]!r}")
    tree = parse(sql)
    if not isinstance(tree, exp.Query) or not tree.selects:
        raise UnsupportedSQL("it is not a query that selects columns")
    if ";" in sql and any(token.token_type.name == "SEMICOLON" for token in sqlglot.tokenize(sql, read="bigquery")):
        raise UnsupportedSQL("it contains a semicolon; remove it, because a limit may be appended")
    scopes = traverse_scope(normalize_identifiers(tree, dialect="bigquery"))
    for table in (source for scope in scopes for source in scope.sources.values() if isinstance(source, exp.Table)):
        if table.db != WRITTEN_DATASET:
            path = ".".join(part.name for part in table.parts)
            raise UnsupportedSQL(f"the table {path} is outside the dataset: write {WRITTEN_DATASET}.{table.name}")


def selected_columns(sql: str) -> list[str]:
    """The names of the columns that a query selects; empty for another statement. Raises UnsupportedSQL."""
    tree = parse(sql)
    return list(tree.named_selects) if isinstance(tree, exp.Query) else []


@lru_cache(maxsize=512)
def to_duckdb(sql: str) -> str:
    """The query in DuckDB's dialect: parameters `@name` become `$name`, table names lose their dataset.

    DuckDB names a catalog after the file, so a stored view must not depend on it; unqualified names are found by the
    search path, in a view by the view's own schema. Raises UnsupportedSQL for what DuckDB would read differently.
    """
    tree = parse(sql)
    for node in tree.walk():
        _reject(node)
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
    """The statement on the tables of another dataset."""
    return re.sub(rf"\b{WRITTEN_DATASET}\.", f"{dataset}.", sql)


def tables_read(tree: exp.Expr) -> tuple[str, ...]:
    """The names of the project's tables that a statement reads, sorted."""
    target = tree.this.find(exp.Table) if isinstance(tree, exp.Create) else None
    return tuple(sorted({t.name for t in tree.find_all(exp.Table) if t.db == WRITTEN_DATASET and t is not target}))


_REJECTED: dict[type[exp.Expr], str] = {
    exp.Bracket: "subscripts start at 1 in DuckDB; use JSON_VALUE with a path",
    exp.ArgMax: "GoogleSQL has no MAX_BY; use QUALIFY ROW_NUMBER() with a total order",
    exp.ApproxTopK: "APPROX_TOP_COUNT is not exact; use QUALIFY",
    exp.CurrentDate: "a run must be reproducible; use @today",
    exp.CurrentTimestamp: "a run must be reproducible; use @today",
}


def _reject(node: exp.Expr) -> None:
    advice = _REJECTED.get(type(node))
    if advice:
        raise UnsupportedSQL(f"{node.sql('bigquery')}: {advice}")
    if isinstance(node, exp.Unnest) and node.args.get("offset"):
        raise UnsupportedSQL("UNNEST ... WITH OFFSET starts at 1 in DuckDB; number the rows with ROW_NUMBER()")
    if isinstance(node, exp.Extract) and (advice := _extract_advice(node)):
        raise UnsupportedSQL(f"{node.sql('bigquery')}: {advice}")


def _extract_advice(node: exp.Extract) -> str | None:
    """What to write instead of a part of a day that the engines number differently; None for any other part."""
    part = node.this.sql("bigquery").upper()
    if part == "DAYOFWEEK":
        day = node.expression.sql("bigquery")
        return (
            "the engines number the days of a week differently; write "
            f"DATE_DIFF({day}, DATE_TRUNC({day}, ISOWEEK), DAY) + 1, which is 1 on a Monday and 7 on a Sunday"
        )
    return "the engines number weeks differently; use ISOWEEK" if part.startswith("WEEK") else None


_PLAIN_PATH = re.compile(r"'\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+'")


def _read_json_once(select: exp.Select) -> None:
    """Reads all paths of a record with one call: DuckDB parses the record again for each JSON_VALUE."""
    # A grouped expression must stay equal to the selected one.
    if select.args.get("group"):
        return
    by_record: dict[str, list[exp.JSONExtractScalar]] = {}
    for expression in select.expressions:
        for node in expression.find_all(exp.JSONExtractScalar):
            # In a list, DuckDB reads other kinds of paths differently.
            if node.parent_select is select and _PLAIN_PATH.fullmatch(node.expression.sql("duckdb")):
                by_record.setdefault(node.this.sql(), []).append(node)
    for nodes in by_record.values():
        paths = sorted({node.expression.sql("duckdb") for node in nodes})
        if len(paths) < _MINIMUM_PATHS:
            continue
        for node in nodes:
            path_list = exp.Array(expressions=[exp.Literal.string(path.strip("'")) for path in paths])
            number = exp.Literal.number(paths.index(node.expression.sql("duckdb")) + 1)
            value = _call("list_extract", _call("json_value", node.this, path_list), number)
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
    # 0.1 is FLOAT64 in BigQuery and an exact decimal in DuckDB; for money, write NUMERIC '0.1'.
    if not node.is_string and not str(node.this).isdigit():
        return _cast(node, "DOUBLE")
    return node


def _divide(node: exp.Div) -> exp.Expr:
    # 1/0 is an error in BigQuery; DuckDB returns NULL or infinity.
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
        raise UnsupportedSQL("of the functions from Unix time, only TIMESTAMP_MILLIS is supported")
    return _call("timezone", exp.Literal.string("UTC"), _call("make_timestamp_ms", node.this))


def _date(node: exp.Date) -> exp.Expr:
    # The UTC day of an instant; DuckDB would use the time zone of the session that reads a view.
    if node.args.get("zone") or node.expressions:
        raise UnsupportedSQL(f"{node.sql('bigquery')}: only DATE(timestamp), the UTC day, is supported")
    return _cast(_call("timezone", exp.Literal.string("UTC"), node.this), "DATE")


def _timestamp(node: exp.Timestamp) -> exp.Expr:
    # Midnight in UTC, for the same reason.
    if node.args.get("zone"):
        raise UnsupportedSQL(f"{node.sql('bigquery')}: only TIMESTAMP(date), midnight in UTC, is supported")
    return _call("timezone", exp.Literal.string("UTC"), _cast(node.this, "TIMESTAMP"))


def _extract(node: exp.Extract) -> exp.Expr:
    if node.this.name.upper() == "ISOWEEK":
        return exp.Extract(this=exp.var("WEEK"), expression=node.expression)
    return node


def _union(node: exp.Union) -> exp.Expr:
    # DuckDB's BY NAME fills a column that one side lacks with NULL; in BigQuery this is FULL UNION ... BY NAME.
    if node.args.get("side") == "FULL" and node.args.get("by_name"):
        node.set("side", None)
    elif node.args.get("side") or node.args.get("kind"):
        raise UnsupportedSQL(f"{node.args.get('side') or node.args.get('kind')} UNION: use FULL UNION ALL BY NAME")
    return node


def _json_array(node: exp.JSONExtractArray) -> exp.Expr:
    # A value that is no array is NULL in BigQuery; sqlglot's cast would fail.
    value = exp.JSONExtract(this=node.this, expression=node.expression)
    return exp.TryCast(this=value, to=exp.DataType.build("JSON[]", dialect="duckdb"))


_TRANSLATIONS: dict[type[exp.Expr], Callable[..., exp.Expr]] = {
    exp.DataType: _datatype,
    exp.Literal: _literal,
    exp.SafeDivide: _safe_divide,
    exp.UnixToTime: _timestamp_millis,
    exp.Date: _date,
    exp.Timestamp: _timestamp,
    exp.Extract: _extract,
    exp.JSONExtractArray: _json_array,
    exp.Union: _union,
    # BIGINT, and 0 without rows.
    exp.CountIf: lambda n: exp.Count(this=exp.If(this=n.this, true=exp.Literal.number(1))),
    exp.Div: _divide,
    # sqlglot drops the parentheses around the operands.
    exp.IntDiv: lambda n: exp.paren(exp.IntDiv(this=exp.paren(n.this), expression=exp.paren(n.expression))),
    # DuckDB returns TIMESTAMP.
    exp.DateTrunc: lambda n: _cast(n, "DATE"),
    exp.DateAdd: lambda n: _cast(n, "DATE"),
    exp.DateSub: lambda n: _cast(n, "DATE"),
    # Whole units elapsed, not boundaries crossed.
    exp.TimestampDiff: lambda n: _call(
        "date_sub", exp.Literal.string(n.args["unit"].name.lower()), n.expression, n.this
    ),
}


def _translate(node: exp.Expr) -> exp.Expr:
    """Applies the rules to the children first, so that the result of a rule is not translated again."""
    for key, value in list(node.args.items()):
        if isinstance(value, exp.Expr):
            node.set(key, _translate(value))
        elif isinstance(value, list):
            node.set(key, [_translate(item) if isinstance(item, exp.Expr) else item for item in value])
    rule = _TRANSLATIONS.get(type(node))
    return rule(node) if rule else node
