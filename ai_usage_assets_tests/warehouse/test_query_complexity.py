"""How many tables a statement reads when an engine shares no work, and the bound on it."""

from __future__ import annotations

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.metabase import spec_reader, sql_template
from ai_usage_assets.warehouse.query_complexity import (
    MAX_TABLE_SCANS,
    count_table_scans,
    describe_complexity,
    find_window_over_whole_table,
)
from ai_usage_assets.warehouse.sql_files import query_names, read_query
from ai_usage_assets.warehouse.tables import Column, Table

TABLES = {table.name: table for table in catalog.tables()}


def view(name: str, query: str) -> Table:
    """A view with this query."""
    return Table(name, "kpi", "V.", (Column("a", None, "A."),), is_view=True, query=query)


VIEWS = {
    "v1": view("v1", "SELECT a FROM ai_usage.t1 UNION ALL SELECT a FROM ai_usage.t2"),
    "v2": view("v2", "SELECT one.a FROM ai_usage.v1 AS one JOIN ai_usage.v1 AS two ON two.a = one.a"),
}


@pytest.mark.parametrize(
    ("sql", "scans"),
    [
        ("SELECT 1 AS a", 0),
        ("SELECT a FROM ai_usage.t1", 1),
        ("SELECT a FROM ai_usage.t1 UNION ALL SELECT a FROM ai_usage.t1", 2),
        ("SELECT a FROM ai_usage.v1", 2),
        ("SELECT a FROM ai_usage.v2", 4),
        ("WITH c AS (SELECT a FROM ai_usage.v2) SELECT x.a FROM c AS x JOIN c AS y ON y.a = x.a", 8),
        # A clause that is never read costs nothing.
        ("WITH c AS (SELECT a FROM ai_usage.v2) SELECT 1 AS a", 0),
        ("WITH c AS (SELECT a FROM ai_usage.t1), d AS (SELECT a FROM c UNION ALL SELECT a FROM c) "
         "SELECT a FROM d UNION ALL SELECT a FROM d", 4),
        # An inner clause hides an outer one of the same name.
        ("WITH c AS (SELECT a FROM ai_usage.v2) SELECT a FROM (WITH c AS (SELECT a FROM ai_usage.t1) SELECT a FROM c) "
         "AS s", 1),
        # A clause named like a view is not the view.
        ("WITH v2 AS (SELECT a FROM ai_usage.t1) SELECT a FROM v2", 1),
        ("SELECT a FROM (SELECT a FROM ai_usage.t1) AS s WHERE a = (SELECT MAX(a) FROM ai_usage.t2) "
         "AND EXISTS (SELECT 1 FROM ai_usage.v1)", 4),
    ],
)  # fmt: skip
def test_views_and_clauses_count_at_each_reference(sql: str, scans: int) -> None:
    """The expected numbers were counted by hand."""
    assert count_table_scans(sql, VIEWS) == scans


def test_one_reference_too_many_is_reported_with_the_count() -> None:
    """The bound is inclusive."""
    allowed = "WITH c AS (SELECT a FROM ai_usage.v1) " + " UNION ALL ".join(
        ["SELECT a FROM c"] * (MAX_TABLE_SCANS // 2)
    )
    assert describe_complexity(allowed, VIEWS) is None
    problem = describe_complexity(f"{allowed} UNION ALL SELECT a FROM c", VIEWS)
    assert problem
    assert str(MAX_TABLE_SCANS + 2) in problem


@pytest.mark.parametrize(
    ("over", "is_whole"),
    [("(ORDER BY a)", True), ("()", True), ("(PARTITION BY b ORDER BY a)", False), ("w", False)],
)
def test_a_window_over_the_whole_table_is_found(over: str, is_whole: bool) -> None:
    """A named window has the PARTITION BY of its definition."""
    sql = f"SELECT SUM(a) OVER {over} AS s FROM ai_usage.t1 WINDOW w AS (PARTITION BY b)"
    assert bool(find_window_over_whole_table(sql)) == is_whole


def test_every_statement_of_the_project_is_within_the_bound() -> None:
    """Models, queries and dashboard cards, with every filter set."""
    statements = {table.name: table.query for table in catalog.models() if table.query}
    statements |= {f"queries/{name}": read_query(name) for name in query_names()}
    cards = {f"{d.key}/{key}": card for d in spec_reader.read_spec().dashboards for key, card in d.cards.items()}
    for key, card in cards.items():
        values = {name: ["x"] for name in sql_template.find_variables(card.sql)}
        statements[f"card {key}"] = sql_template.fill(card.sql, values)[0]
    problems = {name: problem for name, sql in statements.items() if (problem := describe_complexity(sql, TABLES))}
    assert problems == {}
    assert len(statements) > 200
