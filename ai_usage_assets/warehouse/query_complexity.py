"""Counts what a statement makes an engine read when it shares no work between references.

BigQuery documents that it evaluates a common table expression once for each reference, and it expands views. A few
references can multiply into thousands of scans, which are slow, or fail with "not enough resources for query planning".
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.tables import Table

MAX_TABLE_SCANS = 60


def describe_complexity(sql: str, tables: Mapping[str, Table]) -> str | None:
    """Why a valid statement is too complex for BigQuery, and what to do; None if it is not."""
    scans = count_table_scans(sql, tables)
    if scans > MAX_TABLE_SCANS:
        return (
            f"it reads {scans:,} tables when each view and WITH clause is expanded at each reference, and at most "
            f"{MAX_TABLE_SCANS} are allowed. Reference a WITH clause once, or make a stage of it a table under "
            "sql/curated"
        )
    if window := find_window_over_whole_table(sql):
        return f"{window} sorts all rows in one place; add PARTITION BY, or join an aggregate"
    return None


def count_table_scans(sql: str, tables: Mapping[str, Table]) -> int:
    """The number of reads of stored tables, with every view and common table expression expanded at each reference.

    `tables` has the views by name; every other table of the dataset is one scan. Raises UnsupportedSQL.
    """
    return _ScanCounter(tables).count(googlesql.parse(sql), {})


def find_window_over_whole_table(sql: str) -> str | None:
    """A window function that sorts all rows of its input in one place, without PARTITION BY; None without any.

    A window over aggregated rows counts too: its input is not known to be small. Raises UnsupportedSQL.
    """
    nodes = googlesql.parse(sql).find_all(exp.Window)
    # `OVER name` refers to a definition, which is a node of its own.
    windows = (node for node in nodes if not node.args.get("alias") and not node.args.get("partition_by"))
    window = next(windows, None)
    return window.sql("bigquery") if window else None


class _ScanCounter:
    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._counts: dict[str, int] = {}

    def count(self, node: exp.Expr, expressions: Mapping[str, int]) -> int:
        """The scans of a syntax tree; `expressions` has the scans of the common table expressions in scope."""
        clause = node.args.get("with_")
        if clause:
            expressions = dict(expressions)
            for expression in clause.expressions:
                expressions[expression.alias] = self.count(expression.this, expressions)
        total = self._count_table(node, expressions) if isinstance(node, exp.Table) else 0
        for name, value in node.args.items():
            if name == "with_":
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, exp.Expr):
                    total += self.count(child, expressions)
        return total

    def _count_table(self, table: exp.Table, expressions: Mapping[str, int]) -> int:
        if not table.db:
            return expressions.get(table.name, 0)
        stored = self._tables.get(table.name)
        if stored is None or not stored.is_view:
            return 1
        if table.name not in self._counts:
            self._counts[table.name] = self.count(googlesql.parse(stored.query or ""), {})
        return self._counts[table.name]
