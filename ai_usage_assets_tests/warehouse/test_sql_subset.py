"""The SQL files use only functions and words on which both engines agree; checked by name, in a second.

`googlesql` rejects further constructs, and `test_sql_files` compares the results with Google's engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from sqlglot import exp

from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.base import QueryParameters
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.sql_files import sql_folder
from ai_usage_assets_tests.conftest import copy_empty_warehouse

# https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
RESERVED = frozenset(
    """
    ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT
    DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM
    FULL GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE
    LIMIT LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY
    RANGE RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION
    UNNEST USING WHEN WHERE WINDOW WITH WITHIN
    """.split()  # noqa: SIM905 - more readable as words
)

# Functions for which both engines return the same values. Add another one together with a test in `test_googlesql`.
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
    """The constructs of a statement that the engines do not share, each with what to do."""
    return list(_problems(googlesql.parse(sql), published))


def _problems(tree: exp.Expr, published: bool) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, exp.Identifier) and not node.args.get("quoted") and node.name.upper() in RESERVED:
            yield f"{node.name} is reserved in GoogleSQL: choose another name"
        elif isinstance(node, exp.Anonymous):
            yield f"{node.name}() is unknown: use one of the functions in SHARED"
        elif isinstance(node, exp.Func) and type(node) not in SHARED:
            yield f"{node.sql_name()}() may differ between the engines: test it and add it to SHARED"
        elif published and isinstance(node, exp.Order) and isinstance(node.parent, exp.Query):
            if not node.parent.args.get("limit"):
                yield "ORDER BY without LIMIT has no effect on a table"
        elif isinstance(node, exp.Limit) and not (node.parent and node.parent.args.get("order")):
            yield "LIMIT without ORDER BY: the engines keep different rows"


def test_files_use_the_shared_subset() -> None:
    """No file under sql/ has a word, a function or an order that the engines do not share."""
    paths = list(sql_folder().rglob("*.sql"))
    assert len(paths) > 100
    results = {path.stem: problems(path.read_text(), published="queries" not in path.parts) for path in paths}
    assert {name: result for name, result in results.items() if result} == {}


class _Recording(DuckDBWarehouse):
    """A warehouse that records every query."""

    queries: set[str]

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        self.queries.add(sql)
        return super().query(sql, parameters)


def test_checks_use_the_shared_subset(tmp_path: Path) -> None:
    """No query of a check has a construct that the engines do not share."""
    warehouse = _Recording(copy_empty_warehouse(tmp_path / "w.duckdb"))
    warehouse.queries = set()
    day = date(2026, 11, 10)
    for check in CHECKS:
        check.run(CheckContext(warehouse, DayRange(day, day), day))
    warehouse.close()
    assert len(warehouse.queries) > len(CHECKS) / 2
    results = {sql: problems(sql, published=False) for sql in warehouse.queries}
    assert {sql: result for sql, result in results.items() if result} == {}


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT a AS rows FROM t", "rows is reserved"),
        ("WITH hash AS (SELECT 1 AS a) SELECT a FROM hash", "hash is reserved"),
        ("SELECT t.a FROM t AS `end`", ""),
        ("SELECT MEDIAN(a) FROM t", "may differ"),
        ("SELECT list_sort(a) FROM t", "is unknown"),
        ("SELECT RAND() AS a", "may differ"),
        ("SELECT a FROM t ORDER BY a", "ORDER BY without LIMIT"),
        ("SELECT a FROM t LIMIT 3", "LIMIT without ORDER BY"),
        ("SELECT a, ROW_NUMBER() OVER (ORDER BY a) AS n FROM t ORDER BY a LIMIT 3", ""),
    ],
)
def test_problems_are_named(sql: str, problem: str) -> None:
    """Each construct that the engines do not share is reported, and no other."""
    reported = problems(sql, published=True)
    assert problem in " ".join(reported)
    assert bool(reported) == bool(problem)
