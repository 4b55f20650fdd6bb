"""Load jobs with the real client."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from ai_usage_assets_tests.fakes.bigquery.conftest import DATASET, DAY, SCHEMA, Load, day_rows, run, stored_names
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery

NEXT_DAY = date(2026, 11, 11)


@pytest.mark.parametrize("multipart", [False, True])
def test_only_the_loaded_day_is_replaced(
    load: Load, days: bigquery.Table, server: FakeBigQuery, *, multipart: bool
) -> None:
    """A load into table$day with WRITE_TRUNCATE keeps other days, with either kind of upload."""
    load(day_rows(DAY, "a", "b"), "days$20261110", multipart=multipart).result()
    load(day_rows(NEXT_DAY, "c"), "days$20261111", multipart=multipart).result()
    job: Any = load(day_rows(DAY, "d"), "days$20261110", multipart=multipart).result()
    assert stored_names(server) == ["c", "d"]
    assert (job.output_rows, job.state) == (1, "DONE")
    load(day_rows(NEXT_DAY), "days$20261111", multipart=multipart).result()
    assert stored_names(server) == ["d"]


def test_rows_are_appended(load: Load, days: bigquery.Table, server: FakeBigQuery) -> None:
    """WRITE_APPEND without a day keeps the existing rows."""
    load(day_rows(DAY, "a"), "days").result()
    load(day_rows(NEXT_DAY, "b"), "days").result()
    assert stored_names(server) == ["a", "b"]


def test_values_are_exact(load: Load, days: bigquery.Table, client: bigquery.Client) -> None:
    """NUMERIC values keep 29 digits and nine decimals, and NULL stays NULL."""
    amounts = [Decimal("0.333333333"), Decimal("-12345678901234567890123456789.000000001"), None]
    rows = day_rows(DAY, "a", "b", "c", amount_usd=pa.array(amounts, pa.decimal128(38, 9)))
    load(rows, "days$20261110").result()
    assert [r["amount_usd"] for r in run(client, "SELECT amount_usd FROM ai_usage.days ORDER BY name")] == amounts


def test_a_load_can_add_a_column(load: Load, days: bigquery.Table, client: bigquery.Client) -> None:
    """With ALLOW_FIELD_ADDITION, a load adds a column, NULL in existing rows; descriptions do not change."""
    load(day_rows(DAY, "a"), "days$20261110").result()
    wider = [*SCHEMA, bigquery.SchemaField("added", "INTEGER")]
    rows = day_rows(NEXT_DAY, "b", added=pa.array([7], pa.int64()))
    with pytest.raises(exceptions.BadRequest, match=r"Cannot add fields \(field: added\)"):
        load(rows, "days$20261111", schema=wider).result()
    load(rows, "days$20261111", schema=wider, schema_update_options=["ALLOW_FIELD_ADDITION"]).result()
    assert run(client, "SELECT name, added FROM ai_usage.days ORDER BY name") == [
        {"name": "a", "added": None},
        {"name": "b", "added": 7},
    ]
    assert client.get_table(days.reference).schema == wider


INVALID: list[Any] = [
    ("days$20261110", day_rows(NEXT_DAY, "b"), {}, "different partitions rather than destination partition 20261110"),
    ("days$202611", day_rows(DAY, "b"), {}, "Invalid date partition decorator"),
    ("plain$20261110", day_rows(DAY, "b"), {}, "Expected partitioning specification none"),
    (
        "days$20261110",
        day_rows(DAY, "b", amount_usd=pa.array(["1"])),
        {"schema": [*SCHEMA[:2], bigquery.SchemaField("amount_usd", "STRING")]},
        "Field amount_usd has changed type from NUMERIC to STRING",
    ),
    ("days$20261110", day_rows(DAY, "b"), {"schema": None}, "has changed mode from REQUIRED to NULLABLE"),
    (
        "days$20261110",
        day_rows(DAY, "b", amount_usd=pa.array(["1"])),
        {},
        "Parquet column 'amount_usd' has type STRING",
    ),
    ("days$20261110", day_rows(DAY, "b").drop_columns("name"), {}, "Required field 'name' is missing"),
    ("days$20261110", day_rows(DAY, "b", name=pa.array([None], pa.string())), {}, "Required field 'name' has a null"),
    ("days$20261110", day_rows(DAY, "b", other=pa.array(["1"])), {}, "No such field: other"),
]


@pytest.mark.parametrize(("table", "rows", "options", "message"), INVALID, ids=[case[3] for case in INVALID])
def test_an_invalid_load_changes_nothing(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, table: str, rows: pa.Table,
    options: dict[str, Any], message: str,
) -> None:  # fmt: skip
    """A file that does not match the schema or the day fails with BigQuery's message, and the day does not change."""
    client.create_table(bigquery.Table(f"{DATASET}.plain", SCHEMA))
    load(day_rows(DAY, "a"), "days$20261110").result()
    with pytest.raises(exceptions.BadRequest, match=message) as caught:
        load(rows, table, **options).result()
    assert caught.value.errors[0]["reason"] == "invalid"
    assert stored_names(server) == ["a"]
    assert server.rows("SELECT * FROM ai_usage.plain") == []


def test_other_file_formats_are_rejected(client: bigquery.Client, days: bigquery.Table) -> None:
    """A file that is not Parquet is an error."""
    configuration = bigquery.LoadJobConfig(source_format="PARQUET", schema=SCHEMA)
    job = client.load_table_from_file(io.BytesIO(b"{}"), days.reference, job_config=configuration)
    with pytest.raises(exceptions.BadRequest, match="not in Parquet format"):
        job.result()


def test_a_load_id_is_used_once(
    load: Load, days: bigquery.Table, client: bigquery.Client, server: FakeBigQuery
) -> None:
    """A second job with the id fails with 409 and changes nothing; the first one can be read."""
    load(day_rows(DAY, "a"), "days", job_id="load-1").result()
    with pytest.raises(exceptions.Conflict, match=r"Already Exists: Job acme-project:US\.load-1"):
        load(day_rows(DAY, "b"), "days", job_id="load-1")
    assert stored_names(server) == ["a"]
    job: Any = client.get_job("load-1")
    assert (job.state, job.job_type, job.output_rows) == ("DONE", "load", 1)
    assert job.destination.table_id == "days"
    for id_, location in (("load-2", "US"), ("load-1", "EU")):
        with pytest.raises(exceptions.NotFound, match=f"Not found: Job acme-project:{location}.{id_}"):
            client.get_job(id_, location=location)


def test_a_load_into_a_missing_table_fails(load: Load, client: bigquery.Client) -> None:
    """A missing table that may not be created, or a missing dataset, is not found."""
    with pytest.raises(exceptions.NotFound, match=r"Table acme-project:ai_usage\.nosuch"):
        load(day_rows(DAY, "a"), "nosuch", create_disposition="CREATE_NEVER").result()
    configuration = bigquery.LoadJobConfig(source_format="PARQUET", schema=SCHEMA)
    with pytest.raises(exceptions.NotFound, match="Not found: Dataset acme-project:nosuch"):
        client.load_table_from_file(io.BytesIO(b""), "acme-project.nosuch.t", job_config=configuration)


def test_an_old_day_expires_at_once(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery
) -> None:
    """Expiration depends on the day, not on the time of the load, also when it is set later."""
    server.today = date(2026, 11, 20)
    load(day_rows(DAY, "old"), "days$20261110").result()
    # A load changes the etag.
    days = client.get_table(days.reference)
    days.time_partitioning = bigquery.TimePartitioning(field="usage_date", expiration_ms=9 * 86_400_000)
    client.update_table(days, ["time_partitioning"])
    assert stored_names(server) == []
    load(day_rows(NEXT_DAY, "new"), "days$20261111").result()
    assert load(day_rows(DAY, "old"), "days$20261110").result().state == "DONE"
    assert stored_names(server) == ["new"]


def test_write_empty_never_adds_to_rows(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery
) -> None:
    """WRITE_EMPTY fills an empty table and keeps its expiration; a second load fails and changes nothing."""
    table = client.get_table(days.reference)
    table.expires = datetime.now(UTC) + timedelta(days=1)
    client.update_table(table, ["expires"])
    load(day_rows(DAY, "a"), "days", write_disposition="WRITE_EMPTY").result()
    with pytest.raises(exceptions.Conflict, match=r"Already Exists: Table acme-project:ai_usage\.days"):
        load(day_rows(DAY, "b"), "days", write_disposition="WRITE_EMPTY").result()
    assert stored_names(server) == ["a"]
    assert client.get_table(days.reference).expires == table.expires.replace(
        microsecond=table.expires.microsecond // 1000 * 1000
    )
