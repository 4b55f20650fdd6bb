"""Query jobs with the real client: parameters, results, changes, scripts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from ai_usage_assets_tests.fakes.bigquery.conftest import DATASET, DAY, Load, day_rows, run
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery

Scalar = bigquery.ScalarQueryParameter
SCALARS: list[Any] = [
    ("DATE", date(2026, 11, 10)),
    ("TIMESTAMP", datetime(2026, 11, 10, 23, 59, 59, 999_999, tzinfo=UTC)),
    ("STRING", "it's \"ünï\" 'quoted'; \n"),
    ("INT64", -(2**63)),
    ("INT64", 2**63 - 1),
    ("NUMERIC", Decimal("-99999999999999999999999999999.999999999")),
    ("NUMERIC", Decimal("0.000000001")),
    ("BOOL", True),
    ("BOOL", False),
    ("FLOAT64", 0.1),
]


def row_array(name: str, *rows: tuple[Any, ...]) -> bigquery.ArrayQueryParameter:
    """Return a parameter of type ARRAY<STRUCT<usage_date DATE, name STRING, amount_usd NUMERIC>>."""
    types = (("usage_date", "DATE"), ("name", "STRING"), ("amount_usd", "NUMERIC"))
    return bigquery.ArrayQueryParameter(
        name,
        "STRUCT",
        [
            bigquery.StructQueryParameter(
                None, *(Scalar(n, kind, value) for (n, kind), value in zip(types, row, strict=True))
            )
            for row in rows
        ],
    )


@pytest.mark.parametrize(("kind", "value"), [*SCALARS, *((kind, None) for kind in ("DATE", "NUMERIC", "STRING"))])
def test_parameters_keep_their_values(client: bigquery.Client, kind: str, value: Any) -> None:
    """Extreme values and NULL of every scalar type are returned unchanged."""
    assert run(client, "SELECT @x AS x", Scalar("x", kind, value)) == [{"x": value}]


def test_results_are_paged_in_order(client: bigquery.Client, server: FakeBigQuery) -> None:
    """Seven rows with three per page take three requests."""
    rows = run(client, "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 7)) AS n ORDER BY n DESC")
    assert [row["n"] for row in rows] == [7, 6, 5, 4, 3, 2, 1]
    assert [request.kind for request in server.requests].count("results") >= 3


def test_rows_can_be_a_parameter(client: bigquery.Client) -> None:
    """UNNEST reads an ARRAY<STRUCT<...>> parameter, also with NULL values or without rows."""
    rows = row_array("rows", (DAY, "a", None), (None, None, Decimal("0.333333333")))
    expected = [
        {"usage_date": DAY, "name": "a", "amount_usd": None},
        {"usage_date": None, "name": None, "amount_usd": Decimal("0.333333333")},
    ]
    assert run(client, "SELECT * FROM UNNEST(@rows)", rows) == expected
    assert run(client, "SELECT r.name AS n FROM UNNEST(@rows) AS r WHERE r.usage_date = @d", rows,
               Scalar("d", "DATE", DAY)) == [{"n": "a"}]  # fmt: skip
    dates = bigquery.ArrayQueryParameter("dates", "DATE", [DAY])
    assert run(client, "SELECT name FROM UNNEST(@rows) WHERE usage_date IN UNNEST(@dates)", rows, dates) == [
        {"name": "a"}
    ]


def test_rows_are_merged(client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery) -> None:
    """MERGE replaces rows with the same key, inserts others and counts them; a duplicate key is an error."""
    statement = (
        "MERGE ai_usage.days AS target USING UNNEST(@rows) AS r\n"
        "ON target.usage_date = r.usage_date AND target.name = r.name\n"
        "WHEN MATCHED THEN UPDATE SET amount_usd = r.amount_usd\n"
        "WHEN NOT MATCHED THEN INSERT (usage_date, name, amount_usd) VALUES (r.usage_date, r.name, r.amount_usd)"
    )
    run(client, statement, row_array("rows", (DAY, "a", Decimal(1)), (DAY, "b", Decimal(2))))
    configuration = bigquery.QueryJobConfig(
        query_parameters=[row_array("rows", (DAY, "b", None), (DAY, "c", Decimal("0.333333333")))]
    )
    job = client.query(statement, job_config=configuration)
    job.result()
    assert (job.num_dml_affected_rows, job.statement_type) == (2, "MERGE")
    stored = server.rows("SELECT name, amount_usd FROM ai_usage.days ORDER BY name")
    assert [(row["name"], row["amount_usd"]) for row in stored] == [
        ("a", Decimal(1)),
        ("b", None),
        ("c", Decimal("0.333333333")),
    ]
    with pytest.raises(exceptions.BadRequest, match="must match at most one source row for each target row"):
        run(client, statement, row_array("rows", (DAY, "a", None), (DAY, "a", Decimal(1))))
    assert server.rows("SELECT COUNT(*) AS n FROM ai_usage.days") == [{"n": 3}]


def test_a_transaction_is_atomic(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """A script with a transaction replaces a day; an error in the middle changes nothing."""
    load(day_rows(DAY, "a", "b"), "days$20261110").result()
    script = (
        "BEGIN TRANSACTION;\nDELETE FROM ai_usage.days WHERE usage_date = @day;\n"
        "INSERT INTO ai_usage.days (usage_date, name) SELECT @day, {};\nCOMMIT TRANSACTION;"
    )
    day = Scalar("day", "DATE", DAY)
    for value, message in (
        ("CAST(NULL AS STRING)", "Query error: Required field name cannot be null"),
        ("nosuch", "Query error: Unrecognized name: nosuch"),
        ("CAST(CAST('x' AS INT64) AS STRING)", "Query error"),
    ):
        with pytest.raises(exceptions.BadRequest, match=message):
            run(client, script.format(value), day)
        assert [row["name"] for row in server.rows("SELECT name FROM ai_usage.days ORDER BY name")] == ["a", "b"]
    job = client.query(script.format("';'"), job_config=bigquery.QueryJobConfig(query_parameters=[day]))
    job.result()
    assert (job.statement_type, job.num_child_jobs) == ("SCRIPT", 4)
    assert server.rows("SELECT name FROM ai_usage.days") == [{"name": ";"}]


def test_a_dry_run_changes_nothing(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """A dry run returns type, schema and bytes of a query, or its error, and stores no job."""
    load(day_rows(DAY, "abc"), "days$20261110").result()
    jobs = len(server.jobs.all())
    dry = bigquery.QueryJobConfig(dry_run=True)
    job = client.query("SELECT name FROM ai_usage.days", job_config=dry)
    assert (job.statement_type, job.total_bytes_processed, [f.name for f in job.schema or ()]) == (
        "SELECT",
        8 + 5,
        ["name"],
    )
    assert client.query("DELETE FROM ai_usage.days WHERE TRUE", job_config=dry).statement_type == "DELETE"
    assert client.query("CREATE VIEW ai_usage.v AS SELECT 1 AS n", job_config=dry).statement_type == "CREATE_VIEW"
    with pytest.raises(exceptions.BadRequest, match="Unrecognized name: nosuch"):
        client.query("SELECT nosuch FROM ai_usage.days", job_config=dry)
    assert len(server.jobs.all()) == jobs
    assert [table.table_id for table in client.list_tables("ai_usage")] == ["days"]
    assert client.get_table(days.reference).num_rows == 1


def test_maximum_bytes_billed_is_enforced(client: bigquery.Client, days: bigquery.Table, load: Load) -> None:
    """A query above maximum_bytes_billed fails before it runs."""
    load(day_rows(DAY, "abc"), "days$20261110").result()
    assert run(client, "SELECT name FROM ai_usage.days", maximum_bytes_billed=10 * 1024 * 1024) == [{"name": "abc"}]
    with pytest.raises(exceptions.GoogleAPICallError, match="Query exceeded limit for bytes billed: 10"):
        run(client, "SELECT name FROM ai_usage.days", maximum_bytes_billed=10)


INVALID = [
    ("SELECT nosuch FROM ai_usage.days", "Unrecognized name: nosuch"),
    ("SELECT strftime(usage_date, '%Y') AS y FROM ai_usage.days", "Function not found: strftime"),
    ("SELECT usage_date::STRING AS y FROM ai_usage.days", "Syntax error"),
    ("SELECT name = 1 AS y FROM ai_usage.days", "No matching signature for operator ="),
    ("SELECT @nosuch AS y", "Query parameter 'nosuch' not found"),
    ("DELETE FROM ai_usage.days", "DELETE must have a WHERE clause"),
    ("INSERT INTO ai_usage.days (name) SELECT 'a'", "Required field usage_date cannot be null"),
    (
        "INSERT INTO ai_usage.days (usage_date, name) SELECT '2026-11-10', 1",
        "Query column 1 has type STRING which cannot be inserted",
    ),
    ("SELECT 1/0 AS y", "division by zero"),
    ("SELECT 1 AS n, 2 AS N", "Duplicate column names in the result are not supported"),
    ("COMMIT TRANSACTION", "Transaction control statements"),
    ("BEGIN TRANSACTION; CREATE VIEW ai_usage.v AS SELECT 1 AS n; COMMIT TRANSACTION", "not supported in a multi"),
]


@pytest.mark.parametrize(("statement", "message"), INVALID, ids=[message for _, message in INVALID])
def test_invalid_statements_are_rejected(
    client: bigquery.Client, days: bigquery.Table, statement: str, message: str
) -> None:
    """An invalid statement fails with 400 and Google's message, also when DuckDB would run it."""
    with pytest.raises(exceptions.BadRequest, match=message) as caught:
        run(client, statement)
    assert caught.value.errors[0]["reason"] == "invalidQuery"


def test_table_names_can_be_qualified_in_every_way(client: bigquery.Client, days: bigquery.Table) -> None:
    """A table is found by its full name in backticks, with project or dataset, or with a default dataset."""
    for name in ("`acme-project.ai_usage.days`", "`acme-project`.ai_usage.days", "`ai_usage.days`", "ai_usage.days"):
        assert run(client, f"SELECT name FROM {name}") == []
    assert run(client, "WITH w AS (SELECT * FROM days) SELECT * FROM w", default_dataset=DATASET) == []
    with pytest.raises(exceptions.BadRequest, match="must be qualified with a dataset"):
        run(client, "SELECT name FROM days")


def test_a_query_id_is_used_once(client: bigquery.Client) -> None:
    """A second job with the id fails with 409; the first one keeps its labels and rows."""
    configuration = bigquery.QueryJobConfig(labels={"app": "ai-usage"})
    client.query("SELECT 1 AS n", job_id="query-1", job_config=configuration, job_retry=None).result()
    connection: Any = client._connection
    with pytest.raises(exceptions.Conflict, match=r"Already Exists: Job acme-project:US\.query-1"):
        connection.api_request(
            method="POST",
            path="/projects/acme-project/jobs",
            data={
                "jobReference": {"projectId": "acme-project", "jobId": "query-1", "location": "US"},
                "configuration": {"query": {"query": "SELECT 2 AS n", "useLegacySql": False}},
            },
        )
    job: Any = client.get_job("query-1")
    assert job.labels == {"app": "ai-usage"}
    assert [dict(row) for row in job.result()] == [{"n": 1}]


def test_a_script_variable_keeps_the_number_of_changed_rows(client: bigquery.Client, days: bigquery.Table) -> None:
    """A variable has the row count of the last statement after the transaction; an unknown name is an error."""
    insert = "INSERT INTO ai_usage.days (usage_date, name) VALUES (DATE '2026-11-10', 'a'), (DATE '2026-11-10', 'b')"
    script = f"DECLARE n INT64; BEGIN TRANSACTION; {insert}; SET n = @@row_count; COMMIT TRANSACTION; SELECT n"
    assert run(client, script) == [{"n": 2}]
    with pytest.raises(exceptions.BadRequest, match="Unrecognized name: m"):
        run(client, "DECLARE n INT64; SELECT m")
