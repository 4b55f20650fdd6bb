"""Datasets, tables and views with the real client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from ai_usage_assets_tests.fakes.bigquery.conftest import DATASET, SCHEMA, run
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery


def test_a_dataset_is_created_once(client: bigquery.Client) -> None:
    """A dataset keeps location, description and labels; creating it again fails with 409, another name with 404."""
    dataset = bigquery.Dataset("acme-project.second")
    dataset.location, dataset.description, dataset.labels = "EU", "Another one.", {"app": "ai-usage"}
    client.create_dataset(dataset)
    stored = client.get_dataset("second")
    assert (stored.location, stored.description, stored.labels) == ("EU", "Another one.", {"app": "ai-usage"})
    with pytest.raises(exceptions.Conflict, match="Already Exists: Dataset acme-project:second"):
        client.create_dataset(dataset)
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset acme-project:third"):
        client.get_dataset("third")


def test_a_denied_dataset_is_not_readable(client: bigquery.Client, server: FakeBigQuery) -> None:
    """Reading a denied dataset or its tables fails with 403 accessDenied."""
    server.faults.deny_access("ai_usage")
    for request in (
        lambda: client.get_dataset("ai_usage"),
        lambda: list(client.list_tables("ai_usage")),
        lambda: client.get_table(f"{DATASET}.days"),
    ):
        with pytest.raises(exceptions.Forbidden, match="Access Denied: Dataset acme-project:ai_usage") as caught:
            request()
        assert caught.value.errors[0]["reason"] == "accessDenied"


def test_a_table_keeps_its_layout(client: bigquery.Client) -> None:
    """A table keeps its schema, partitioning, expiration, filter, clustering and labels."""
    table = bigquery.Table(f"{DATASET}.laid_out", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(field="usage_date", expiration_ms=86_400_000 * 400)
    table.require_partition_filter = True
    table.clustering_fields = ["name"]
    table.labels, table.description = {"layer": "raw"}, "A table."
    client.create_table(table)
    stored = client.get_table(f"{DATASET}.laid_out")
    assert stored.schema == SCHEMA
    assert stored.time_partitioning.field == "usage_date"
    assert stored.time_partitioning.expiration_ms == 86_400_000 * 400
    assert (stored.require_partition_filter, stored.clustering_fields) == (True, ["name"])
    assert (stored.labels, stored.description, stored.table_type) == ({"layer": "raw"}, "A table.", "TABLE")
    assert (stored.num_rows, stored.num_bytes) == (0, 0)
    with pytest.raises(exceptions.Conflict, match=r"Already Exists: Table acme-project:ai_usage\.laid_out"):
        client.create_table(table)


def test_table_lists_are_paged(client: bigquery.Client, server: FakeBigQuery) -> None:
    """The list of tables and views has several pages."""
    for number in range(5):
        client.create_table(bigquery.Table(f"{DATASET}.t{number}", SCHEMA))
    run(client, "CREATE VIEW ai_usage.v AS SELECT 1 AS n")
    list_resource = {table.table_id: table.table_type for table in client.list_tables("ai_usage", page_size=2)}
    assert list_resource == {**{f"t{n}": "TABLE" for n in range(5)}, "v": "VIEW"}
    assert sum(request.path.endswith("/tables") and request.method == "GET" for request in server.requests) == 3


def test_a_change_with_an_old_etag_is_rejected(client: bigquery.Client, days: bigquery.Table) -> None:
    """A change with an old etag fails with 412; with the current one it succeeds."""
    stale = client.get_table(days.reference)
    days.description = "First."
    client.update_table(days, ["description"])
    stale.description = "Second."
    with pytest.raises(exceptions.PreconditionFailed):
        client.update_table(stale, ["description"])
    stored = client.get_table(days.reference)
    assert stored.description == "First."
    stored.description, stored.labels = "Third.", {"layer": "raw"}
    stored.schema = [*SCHEMA, bigquery.SchemaField("added", "INT64")]
    stored.time_partitioning = bigquery.TimePartitioning(field="usage_date", expiration_ms=1000)
    client.update_table(stored, ["description", "labels", "schema", "time_partitioning"])
    stored = client.get_table(days.reference)
    assert (stored.description, stored.labels, stored.schema[-1].name) == ("Third.", {"layer": "raw"}, "added")
    assert stored.time_partitioning.expiration_ms == 1000
    stored.labels = {"layer": None}
    assert client.update_table(stored, ["labels"]).labels == {}


FIELD = bigquery.SchemaField


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (SCHEMA[:2], "Field amount_usd is missing in new schema"),
        ([*SCHEMA[:2], FIELD("amount_usd", "STRING")], "Field amount_usd has changed type from NUMERIC to STRING"),
        ([*SCHEMA[:2], FIELD("amount_usd", "NUMERIC", "REQUIRED")], "changed mode from NULLABLE to REQUIRED"),
        ([*SCHEMA, FIELD("added", "STRING", "REQUIRED")], r"Cannot add required fields .*\(field: added\)"),
    ],
)
def test_columns_can_only_be_added(
    client: bigquery.Client, days: bigquery.Table, schema: list[Any], message: str
) -> None:
    """A schema that BigQuery rejects fails with its message."""
    days.schema = schema
    with pytest.raises(exceptions.BadRequest, match=message):
        client.update_table(days, ["schema"])
    assert client.get_table(days.reference).schema == SCHEMA


def test_a_view_is_described_and_replaced(client: bigquery.Client, days: bigquery.Table) -> None:
    """CREATE OR REPLACE VIEW sets query, columns, description and labels; a patch changes the query."""
    run(
        client,
        "CREATE OR REPLACE VIEW ai_usage.v (day OPTIONS (description = 'A day.'), n)\n"
        "OPTIONS (description = 'How many.', labels = [('layer', 'kpi')])\n"
        "AS\nSELECT usage_date, COUNT(*) FROM ai_usage.days GROUP BY usage_date",
    )
    view = client.get_table(f"{DATASET}.v")
    assert view.view_query == "SELECT usage_date, COUNT(*) FROM ai_usage.days GROUP BY usage_date"
    assert [(f.name, f.field_type, f.description) for f in view.schema] == [
        ("day", "DATE", "A day."),
        ("n", "INTEGER", None),
    ]
    assert (view.table_type, view.description, view.labels) == ("VIEW", "How many.", {"layer": "kpi"})
    with pytest.raises(exceptions.Conflict):
        run(client, "CREATE VIEW ai_usage.v AS SELECT 1 AS n")
    view.view_query = "SELECT MAX(name) AS last FROM ai_usage.days"
    changed = client.update_table(view, ["view_query"])
    assert [f.name for f in changed.schema] == ["last"]
    assert (changed.description, changed.labels) == ("How many.", {"layer": "kpi"})
    assert run(client, "SELECT * FROM ai_usage.v") == [{"last": None}]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE VIEW ai_usage.v AS SELECT nosuch FROM ai_usage.days", "Unrecognized name: nosuch"),
        ("CREATE VIEW ai_usage.v AS SELECT 1 AS n FROM days", 'Table "days" must be qualified with a dataset'),
        ("CREATE VIEW ai_usage.v AS SELECT @x AS n", "Query parameters cannot be used inside SQL view bodies"),
        ("CREATE VIEW ai_usage.v OPTIONS (nosuch = 'x') AS SELECT 1 AS n", "Unknown option: nosuch"),
        ("CREATE VIEW ai_usage.v AS SELECT 1 AS n, 2 AS n", "CREATE VIEW has columns with duplicate name n"),
        ("CREATE OR REPLACE VIEW ai_usage.days AS SELECT 1 AS n", "it is currently a TABLE"),
    ],
)
def test_an_invalid_view_is_rejected(
    client: bigquery.Client, days: bigquery.Table, statement: str, message: str
) -> None:
    """An invalid view fails with the analyzer's message and is not created."""
    parameter = bigquery.ScalarQueryParameter("x", "INT64", 1)
    with pytest.raises(exceptions.BadRequest, match=message):
        run(client, statement, parameter, default_dataset=DATASET)
    assert [table.table_id for table in client.list_tables("ai_usage")] == ["days"]


def test_a_table_is_deleted(client: bigquery.Client, days: bigquery.Table) -> None:
    """A deleted table is not found."""
    client.delete_table(days.reference)
    with pytest.raises(exceptions.NotFound, match=r"Not found: Table acme-project:ai_usage\.days"):
        client.delete_table(days.reference)
    with pytest.raises(exceptions.NotFound, match=r"Table acme-project:ai_usage\.days was not found in location US"):
        run(client, "SELECT * FROM ai_usage.days")


def test_threads_can_create_tables_at_once(client: bigquery.Client) -> None:
    """Threads can create, update and fill tables and views at the same time."""

    def make(number: int) -> int:
        table = client.create_table(bigquery.Table(f"{DATASET}.t{number}", SCHEMA))
        table.description = f"Number {number}."
        client.update_table(table, ["description"])
        run(client, f"CREATE OR REPLACE VIEW ai_usage.v{number} AS SELECT name FROM ai_usage.t{number}")
        run(client, f"INSERT INTO ai_usage.t{number} (usage_date, name) SELECT DATE '2026-11-10', 'a'")
        return int(client.get_table(table.reference).num_rows)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(make, range(16))) == [1] * 16
    assert len(list(client.list_tables("ai_usage"))) == 32


def test_an_expired_table_is_gone(client: bigquery.Client, server: FakeBigQuery) -> None:
    """A table is listed with its expiration, and is deleted after it."""
    definition = bigquery.Table(f"{DATASET}.brief", SCHEMA)
    definition.expires = datetime.now(UTC) + timedelta(days=1)
    client.create_table(definition)
    (listed,) = client.list_tables(DATASET)
    assert listed.expires is not None
    server.today += timedelta(days=2)
    assert list(client.list_tables(DATASET)) == []
    with pytest.raises(exceptions.NotFound):
        client.get_table(definition.reference)


def test_a_view_is_created_by_its_resource(client: bigquery.Client) -> None:
    """tables.insert of a view returns the stored query and the columns; an invalid or second one is an error."""
    definition = bigquery.Table(f"{DATASET}.doubled")
    definition.view_query = "SELECT 2 AS n"
    definition.labels = {"app": "x"}
    created = client.create_table(definition)
    assert (created.table_type, created.view_query, [field.name for field in created.schema]) == (
        "VIEW", "SELECT 2 AS n", ["n"],
    )  # fmt: skip
    assert created.labels == {"app": "x"}
    with pytest.raises(exceptions.Conflict):
        client.create_table(definition)
    invalid = bigquery.Table(f"{DATASET}.other")
    invalid.view_query = "SELECT nosuch"
    with pytest.raises(exceptions.BadRequest, match="nosuch"):
        client.create_table(invalid)
    views = run(client, "SELECT table_name, view_definition FROM ai_usage.INFORMATION_SCHEMA.VIEWS")
    assert views == [{"table_name": "doubled", "view_definition": "SELECT 2 AS n"}]
