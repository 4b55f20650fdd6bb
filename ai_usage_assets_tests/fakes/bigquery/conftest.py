"""One server for the tests of a module, with the real client."""

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
def shared() -> Iterator[FakeBigQuery]:
    """Started once."""
    with FakeBigQuery(page_rows=3) as made:
        yield made


@pytest.fixture
def server(shared: FakeBigQuery) -> FakeBigQuery:
    """As new."""
    shared.reset()
    return shared


@pytest.fixture
def client(server: FakeBigQuery) -> Iterator[bigquery.Client]:
    """Google's own client, with the dataset made."""
    anonymous: Any = AnonymousCredentials  # its author has no types
    made: Any = bigquery.Client("acme-project", anonymous(), client_options={"api_endpoint": server.url}, location="US")
    made.create_dataset(DATASET)
    yield made
    made.close()


@pytest.fixture
def days(client: bigquery.Client) -> bigquery.Table:
    """A table of days."""
    table = bigquery.Table(f"{DATASET}.days", SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(field="usage_date")
    return client.create_table(table)


def rows_of(day: date, *names: str, **more: Any) -> pa.Table:
    """Rows of the table of days."""
    return pa.table(
        {
            "usage_date": pa.array([day] * len(names), pa.date32()),
            "name": pa.array(list(names), pa.string()),
            "amount_usd": pa.nulls(len(names), pa.decimal128(38, 9)),
            **more,
        }
    )


Load = Callable[..., bigquery.LoadJob]


@pytest.fixture
def load(client: bigquery.Client) -> Load:
    """Loads rows into a table, with the write disposition that replaces a day if one is named."""

    def loads(rows: pa.Table, table: str, *, multipart: bool = False, **given: Any) -> bigquery.LoadJob:
        file = io.BytesIO()
        pq.write_table(rows, file)
        size = file.tell()
        job_id, retries = given.pop("job_id", None), given.pop("retries", 0)
        configuration = bigquery.LoadJobConfig(
            source_format="PARQUET",
            write_disposition="WRITE_TRUNCATE" if "$" in table else "WRITE_APPEND",
            **{"schema": SCHEMA, **given},
        )
        return client.load_table_from_file(
            file, f"{DATASET}.{table}", size=size if multipart else None, rewind=True, job_id=job_id,
            job_config=configuration, num_retries=retries,
        )  # fmt: skip

    return loads


def run(client: bigquery.Client, sql: str, *parameters: Any, **given: Any) -> list[dict[str, Any]]:
    """The rows of a statement."""
    configuration = bigquery.QueryJobConfig(query_parameters=list(parameters), **given)
    result = client.query(sql, job_config=configuration, job_retry=None).result()
    found: list[dict[str, Any]] = result.to_arrow(create_bqstorage_client=False).to_pylist()
    return found
