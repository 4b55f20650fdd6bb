"""A shared server, Google's client and helpers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery

DATASET = "acme-project.ai_usage"
DAY = date(2026, 11, 10)
SCHEMA = [
    bigquery.SchemaField("usage_date", "DATE", "REQUIRED", description="UTC day."),
    bigquery.SchemaField("name", "STRING", "REQUIRED", description="Name."),
    bigquery.SchemaField("amount_usd", "NUMERIC", description="Dollars."),
]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[FakeBigQuery]:
    """A server that is started once."""
    with FakeBigQuery(page_rows=3) as server:
        yield server


@pytest.fixture
def server(shared_server: FakeBigQuery) -> FakeBigQuery:
    """The shared server without data, jobs and faults."""
    shared_server.reset()
    return shared_server


@pytest.fixture
def client(server: FakeBigQuery) -> Iterator[bigquery.Client]:
    """Google's client. The dataset exists."""
    anonymous: Any = AnonymousCredentials  # google-auth is not typed
    client: Any = bigquery.Client(
        "acme-project", anonymous(), client_options={"api_endpoint": server.url}, location="US"
    )
    client.create_dataset(DATASET)
    yield client
    client.close()


@pytest.fixture
def days(client: bigquery.Client) -> bigquery.Table:
    """The table `days`, partitioned by `usage_date`."""
    table = bigquery.Table(f"{DATASET}.days", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(field="usage_date")
    return client.create_table(table)


def day_rows(day: date, *names: str, **columns: Any) -> pa.Table:
    """Return rows of the table `days`: one for each name."""
    return pa.table(
        {
            "usage_date": pa.array([day] * len(names), pa.date32()),
            "name": pa.array(list(names), pa.string()),
            "amount_usd": pa.nulls(len(names), pa.decimal128(38, 9)),
            **columns,
        }
    )


Load = Callable[..., bigquery.LoadJob]


@pytest.fixture
def load(client: bigquery.Client) -> Load:
    """Start a load job: it replaces the day of "table$day" and appends to a "table"."""

    def load_rows(rows: pa.Table, table: str, *, multipart: bool = False, **options: Any) -> bigquery.LoadJob:
        file = io.BytesIO()
        pq.write_table(rows, file)
        size = file.tell()
        job_id, retries = options.pop("job_id", None), options.pop("retries", 0)
        configuration = bigquery.LoadJobConfig(
            source_format="PARQUET",
            **{
                "schema": SCHEMA,
                "write_disposition": "WRITE_TRUNCATE" if "$" in table else "WRITE_APPEND",
                **options,
            },
        )
        return client.load_table_from_file(
            file, f"{DATASET}.{table}", size=size if multipart else None, rewind=True, job_id=job_id,
            job_config=configuration, num_retries=retries,
        )  # fmt: skip

    return load_rows


def run(client: bigquery.Client, sql: str, *parameters: Any, **options: Any) -> list[dict[str, Any]]:
    """Run a statement and return its rows."""
    configuration = bigquery.QueryJobConfig(query_parameters=list(parameters), **options)
    result = client.query(sql, job_config=configuration, job_retry=None).result()
    rows: list[dict[str, Any]] = result.to_arrow(create_bqstorage_client=False).to_pylist()
    return rows


def stored_names(server: FakeBigQuery) -> list[str]:
    """Return the names in the table `days`."""
    return [row["name"] for row in server.rows("SELECT name FROM ai_usage.days ORDER BY name")]
