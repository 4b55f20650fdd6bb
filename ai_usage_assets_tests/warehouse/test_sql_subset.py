"""The subset of GoogleSQL that both engines share, told by name in a second and without Google's engine.

What `googlesql` refuses (clocks, subscripts, offsets, week numbers) and what `schemas` asks for (columns named, so no
star in what is published) is not looked at again. Google's engine proves the rest in `test_sql`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.base import QueryParameters
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.sql_files import sql_folder

# https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
RESERVED = frozenset(
    """
    ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT
    DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM
    FULL GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE
    LIMIT LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY
    RANGE RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION
    UNNEST USING WHEN WHERE WINDOW WITH WITHIN
    """.split()  # noqa: SIM905 - words, not a list of texts
)

# What both engines were seen to answer alike, on every value that tests know of. Another one is added with its proof in
# `warehouses/test_googlesql`.
SHARED: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Abs, exp.And, exp.Case, exp.Cast, exp.Coalesce, exp.Concat, exp.Count, exp.CountIf, exp.Date, exp.DateAdd,
        exp.DateDiff, exp.DateSub, exp.DateTrunc, exp.Exists, exp.Extract, exp.Floor, exp.GenerateDateArray,
        exp.Greatest, exp.If, exp.JSONExtractArray, exp.JSONExtractScalar, exp.LastDay, exp.Least, exp.Length,
        exp.LogicalOr, exp.Lower, exp.Max, exp.Min, exp.Nullif, exp.Or, exp.Rank, exp.RegexpReplace, exp.Replace,
        exp.Round, exp.RowNumber, exp.SafeDivide, exp.StartsWith, exp.Substring, exp.Sum, exp.Timestamp, exp.Trim,
        exp.TryCast, exp.UnixToTime, exp.Unnest, exp.Upper,
    }
)  # fmt: skip


def problems(sql: str, *, published: bool) -> list[str]:
    """What a statement has that the engines do not share, each with what to do."""
    return list(_problems(googlesql.parse(sql), published))


def _problems(tree: exp.Expr, published: bool) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, exp.Identifier) and not node.args.get("quoted") and node.name.upper() in RESERVED:
            yield f"{node.name} is reserved in GoogleSQL: choose another name"
        elif isinstance(node, exp.Anonymous):
            yield f"{node.name}(): is it GoogleSQL, and the same in DuckDB? Use one of the functions in SHARED"
        elif isinstance(node, exp.Func) and type(node) not in SHARED:
            yield f"{node.sql_name()}(): not known to be the same in both engines; prove it and add it to SHARED"
        elif published and isinstance(node, exp.Order) and isinstance(node.parent, exp.Query):
            if not node.parent.args.get("limit"):
                yield "ORDER BY without LIMIT: a table has no order, and BigQuery sorts for nothing"
        elif isinstance(node, exp.Limit) and not (node.parent and node.parent.args.get("order")):
            yield "LIMIT without ORDER BY: each engine keeps other rows"


@pytest.mark.parametrize("path", sorted(sql_folder().rglob("*.sql")), ids=lambda path: path.stem)
def test_a_file_keeps_to_what_both_engines_share(path: Path) -> None:
    """No file under sql/ uses a word, a function or an order that the engines do not share."""
    published = "queries" not in path.parts
    assert problems(path.read_text(), published=published) == []


class _Recording(DuckDBWarehouse):
    """A warehouse that remembers every query."""

    asked: set[str]

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        self.asked.add(sql)
        return super().query(sql, parameters)


def test_checks_keep_to_what_both_engines_share(tmp_path: Path) -> None:
    """Nor does any query of a check."""
    warehouse = _Recording(tmp_path / "w.duckdb")
    warehouse.asked = set()
    warehouse.prepare(catalog.tables())
    day = date(2026, 11, 10)
    for check in CHECKS:
        check.run(CheckContext(warehouse, DayRange(day, day), day))
    warehouse.close()
    assert len(warehouse.asked) > len(CHECKS) / 2
    found: dict[str, Any] = {sql: problems(sql, published=False) for sql in warehouse.asked}
    assert {sql: told for sql, told in found.items() if told} == {}


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT a AS rows FROM t", "rows is reserved"),
        ("WITH hash AS (SELECT 1 AS a) SELECT a FROM hash", "hash is reserved"),
        ("SELECT t.a FROM t AS `end`", ""),
        ("SELECT MEDIAN(a) FROM t", "not known"),
        ("SELECT list_sort(a) FROM t", "is it GoogleSQL"),
        ("SELECT RAND() AS a", "not known"),
        ("SELECT a FROM t ORDER BY a", "ORDER BY without LIMIT"),
        ("SELECT a FROM t LIMIT 3", "LIMIT without ORDER BY"),
        ("SELECT a, ROW_NUMBER() OVER (ORDER BY a) AS n FROM t ORDER BY a LIMIT 3", ""),
    ],
)
def test_what_is_told(sql: str, says: str) -> None:
    """Each thing the engines do not share is named, and what they share is not."""
    told = problems(sql, published=True)
    assert says in " ".join(told)
    assert bool(told) == bool(says)
