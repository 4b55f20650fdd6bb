"""The partition filters that reach a table, and those that do not."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from ai_usage_assets import catalog
from ai_usage_assets_tests.fakes.bigquery.conftest import DATASET, DAY, SCHEMA, Load, day_rows, run
from ai_usage_assets_tests.fakes.bigquery.partition_filters import (
    Relation,
    UnfilteredTable,
    find_unfiltered,
    project_relations,
)

RELATIONS = {
    "a.days": Relation(("usage_date", "name", "amount"), "usage_date"),
    "a.other": Relation(("usage_date", "name"), "usage_date"),
    "a.plain": Relation(("usage_date", "name")),
    "a.v": Relation(("day", "who"), None, "SELECT usage_date AS day, name AS who FROM a.days"),
    "a.vv": Relation(("d", "n"), None, "SELECT day, COUNT(*) AS n FROM a.v GROUP BY day"),
}

FILTERED = [
    "SELECT * FROM a.days WHERE usage_date = @day",
    "SELECT * FROM a.days AS d WHERE (d.usage_date BETWEEN @x AND DATE_ADD(@x, INTERVAL 3 DAY)) AND d.name = 'a'",
    "SELECT * FROM a.days WHERE @day <= usage_date",
    "SELECT * FROM a.days WHERE usage_date IN UNNEST(@days)",
    "SELECT * FROM a.days WHERE usage_date = @x OR (usage_date > @y AND name = 'a')",
    "SELECT * FROM a.v WHERE day = @day",
    "SELECT n FROM a.vv WHERE d = @day",
    "SELECT n FROM (SELECT * FROM a.vv) AS s WHERE s.d >= @day",
    "WITH w AS (SELECT usage_date AS d, name FROM a.days) SELECT * FROM w WHERE d = @day",
    "WITH w AS (SELECT * EXCEPT (name) FROM a.days), x AS (SELECT * FROM w) SELECT * FROM x WHERE usage_date = @day",
    "SELECT * FROM (SELECT usage_date, name FROM a.days UNION ALL SELECT usage_date, name FROM a.other)"
    " WHERE usage_date = @day",
    "SELECT * FROM a.plain AS p LEFT JOIN a.days AS d ON d.name = p.name AND d.usage_date = @day",
    "SELECT * FROM a.plain AS p JOIN a.days AS d ON d.name = p.name WHERE d.usage_date = @day",
    "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY usage_date ORDER BY name) AS n FROM a.days)"
    " WHERE usage_date = @day",
    "SELECT usage_date, COUNT(*) AS n FROM a.days WHERE usage_date = @day GROUP BY 1 LIMIT 3",
    "SELECT (SELECT COUNT(*) FROM a.days WHERE usage_date = @day) AS n",
    "DELETE FROM a.days WHERE usage_date BETWEEN @x AND @y",
    "UPDATE a.days SET name = 'a' WHERE usage_date = @day",
    "INSERT INTO a.days (usage_date, name) SELECT usage_date, name FROM a.other WHERE usage_date = @day",
    "MERGE a.days AS d USING UNNEST(@rows) AS r ON d.usage_date = @day AND d.name = r.name"
    " WHEN NOT MATCHED THEN INSERT (usage_date) VALUES (r.usage_date)",
    "SELECT * FROM a.plain",
]

# Statement, and the table that it reads without a filter: "table" or "table via view".
UNFILTERED = [
    ("SELECT * FROM a.days", "a.days"),
    ("SELECT * FROM a.days WHERE name = 'a'", "a.days"),
    ("SELECT * FROM a.days WHERE usage_date <> @day", "a.days"),
    ("SELECT * FROM a.days WHERE usage_date = @x OR name = 'a'", "a.days"),
    ("SELECT * FROM a.days WHERE NOT usage_date = @x", "a.days"),
    ("SELECT * FROM a.days WHERE DATE_TRUNC(usage_date, MONTH) = @x", "a.days"),
    ("SELECT * FROM a.days WHERE usage_date = (SELECT MAX(usage_date) FROM a.plain)", "a.days"),
    ("SELECT * FROM a.days WHERE usage_date IN (SELECT usage_date FROM a.plain)", "a.days"),
    ("SELECT * FROM a.v WHERE who = 'a'", "a.days via a.v"),
    ("SELECT * FROM a.vv", "a.days via a.v"),
    ("SELECT * FROM (SELECT usage_date FROM a.days LIMIT 3) WHERE usage_date = @x", "a.days"),
    ("SELECT * FROM (SELECT MAX(usage_date) AS d FROM a.days) WHERE d = @x", "a.days"),
    ("SELECT * FROM (SELECT usage_date FROM a.days GROUP BY ROLLUP(usage_date)) WHERE usage_date = @x", "a.days"),
    ("SELECT * FROM (SELECT name, MAX(usage_date) AS d FROM a.days GROUP BY name) WHERE d = @x", "a.days"),
    (
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY name ORDER BY usage_date) AS n FROM a.days)"
        " WHERE usage_date = @day",
        "a.days",
    ),
    (
        "SELECT * FROM (SELECT * FROM a.days QUALIFY COUNT(*) OVER () = 1) WHERE usage_date = @day",
        "a.days",
    ),
    ("SELECT * FROM a.other AS o JOIN a.days AS d ON d.usage_date = o.usage_date WHERE o.usage_date = @x", "a.days"),
    ("SELECT * FROM a.days AS d LEFT JOIN a.plain AS p ON d.usage_date = @x", "a.days"),
    ("SELECT * FROM a.plain AS p LEFT JOIN a.days AS d ON d.name = p.name WHERE d.usage_date = @x", "a.days"),
    (
        "SELECT usage_date FROM a.days WHERE usage_date = @x UNION ALL SELECT usage_date FROM a.other",
        "a.other",
    ),
    ("SELECT (SELECT COUNT(*) FROM a.days) AS n FROM a.plain WHERE usage_date = @x", "a.days"),
    ("SELECT * FROM a.plain WHERE EXISTS (SELECT 1 FROM a.days)", "a.days"),
    ("DELETE FROM a.days WHERE name = 'a'", "a.days"),
    ("DELETE FROM a.days WHERE usage_date = @x AND name IN (SELECT name FROM a.other)", "a.other"),
    ("INSERT INTO a.plain (name) SELECT name FROM a.days", "a.days"),
    (
        "MERGE a.days AS d USING UNNEST(@rows) AS r ON d.usage_date = r.usage_date"
        " WHEN NOT MATCHED THEN INSERT (usage_date) VALUES (r.usage_date)",
        "a.days",
    ),
    ("CREATE VIEW a.x AS SELECT * FROM a.days", "a.days"),
]


@pytest.mark.parametrize("statement", FILTERED)
def test_filters_reach_the_table(statement: str) -> None:
    """A filter passes through views, CTEs, subqueries, unions, group and window keys, and the right side of a join."""
    assert find_unfiltered(statement, RELATIONS) == []


@pytest.mark.parametrize(("statement", "unfiltered_table"), UNFILTERED, ids=[statement for statement, _ in UNFILTERED])
def test_unfiltered_tables_are_reported(statement: str, unfiltered_table: str) -> None:
    """A table that no filter reaches is reported with the views in between."""
    reported = {
        f"{read.table} via {read.via[-1]}" if read.via else read.table for read in find_unfiltered(statement, RELATIONS)
    }
    assert reported == {unfiltered_table}


def test_the_default_dataset_applies() -> None:
    """A table without a dataset belongs to the default dataset."""
    assert find_unfiltered("SELECT * FROM days", RELATIONS, "a") == [UnfilteredTable("a.days", "usage_date")]


def test_partitioned_project_tables_require_a_filter() -> None:
    """In the relations of the project, reading a staging view reads its raw table without a filter."""
    view = "ai_usage.stg_cursor_spend"
    assert find_unfiltered(f"SELECT * FROM {view}", project_relations(catalog.tables())) == [
        UnfilteredTable("ai_usage.raw_cursor_spend", "snapshot_date", (view,))
    ]


def test_the_server_enforces_required_filters(client: bigquery.Client, load: Load) -> None:
    """A query without the filter fails with BigQuery's message, through a view or in a dry run."""
    table = bigquery.Table(f"{DATASET}.days", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(field="usage_date")
    table.require_partition_filter = True
    client.create_table(table)
    load(day_rows(DAY, "a"), "days$20261110").result()
    run(client, "CREATE VIEW ai_usage.v AS SELECT usage_date AS day, name FROM ai_usage.days")
    message = (
        r"Cannot query over table 'acme-project\.ai_usage\.days' without a filter over column\(s\) 'usage_date' that "
        "can be used for partition elimination"
    )
    for statement in ("SELECT name FROM ai_usage.v", "DELETE FROM ai_usage.days WHERE TRUE"):
        for dry_run in (False, True):
            with pytest.raises(exceptions.BadRequest, match=message):
                run(client, statement, dry_run=dry_run)
    assert run(client, "SELECT name FROM ai_usage.v WHERE day = '2026-11-10'") == [{"name": "a"}]
    run(client, "DELETE FROM ai_usage.days WHERE usage_date = '2026-11-10'")
    assert run(client, "SELECT name FROM ai_usage.v WHERE day = '2026-11-10'") == []
