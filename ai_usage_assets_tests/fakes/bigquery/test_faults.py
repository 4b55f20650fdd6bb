"""Injected faults, transactions and recorded requests."""

from __future__ import annotations

import io
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from ai_usage_assets_tests.fakes.bigquery.conftest import DATASET, DAY, SCHEMA, Load, day_rows, run, stored_names
from ai_usage_assets_tests.fakes.bigquery.errors import ApiError
from ai_usage_assets_tests.fakes.bigquery.faults import RequestKind
from ai_usage_assets_tests.fakes.bigquery.locks import TableLocks
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery


@pytest.mark.parametrize(
    ("reason", "status", "raised"),
    [
        ("backendError", None, exceptions.ServiceUnavailable),
        ("rateLimitExceeded", None, exceptions.Forbidden),
        ("rateLimitExceeded", 429, exceptions.TooManyRequests),
        ("quotaExceeded", None, exceptions.Forbidden),
    ],
)
def test_requests_fail_the_requested_number_of_times(
    client: bigquery.Client, server: FakeBigQuery, reason: str, status: int | None, raised: type[Exception]
) -> None:
    """Requests of the chosen kind fail with the chosen status and reason; later ones succeed."""
    never: Any = None
    server.faults.fail_request(reason, on="query", times=2, status=status)
    client.get_dataset("ai_usage", retry=never)
    for _ in range(2):
        with pytest.raises(raised) as caught:
            client.query("SELECT 1 AS n", retry=never, job_retry=None)
        assert isinstance(caught.value, exceptions.GoogleAPICallError)
        assert caught.value.errors[0]["reason"] == reason
    assert run(client, "SELECT 1 AS n") == [{"n": 1}]
    assert server.faults.remaining() == 0


@pytest.mark.parametrize("kind", ["upload", "load"])
def test_a_failed_load_request_changes_nothing(
    load: Load, days: bigquery.Table, server: FakeBigQuery, kind: RequestKind
) -> None:
    """An error at the start of the upload or with its bytes leaves no rows."""
    server.faults.fail_request("backendError", on=kind)
    with pytest.raises(exceptions.ServiceUnavailable):
        load(day_rows(DAY, "a"), "days", job_id="load-1")
    assert stored_names(server) == []
    load(day_rows(DAY, "a"), "days", job_id="load-1").result()
    assert stored_names(server) == ["a"]


@pytest.mark.parametrize(("when", "left"), [("before", []), ("after", ["a"])])
def test_a_lost_connection_may_leave_a_job(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, when: Any, left: list[str]
) -> None:
    """If the connection is lost before the load there is no job; after it, the job can be read by its id."""
    server.faults.drop_connection(when, on="load")
    with pytest.raises(Exception, match=r"Connection|reset|aborted"):
        load(day_rows(DAY, "a"), "days", job_id="load-1", multipart=True)
    assert stored_names(server) == left
    assert [request.status for request in server.requests if request.kind == "load"] == [0]
    if left:
        assert client.get_job("load-1").state == "DONE"
    else:
        with pytest.raises(exceptions.NotFound):
            client.get_job("load-1")


def test_a_repeated_upload_returns_the_same_job(load: Load, days: bigquery.Table, server: FakeBigQuery) -> None:
    """When the response to a resumable upload is lost, the client repeats it and the rows are stored once."""
    server.faults.drop_connection("after", on="load")
    load(day_rows(DAY, "a"), "days", job_id="load-1", retries=1).result()
    assert stored_names(server) == ["a"]
    assert [request.status for request in server.requests if request.kind == "load"] == [0, 200]


@pytest.mark.parametrize("kind", ["query", "load"])
def test_a_delayed_job_ends_after_the_requested_polls(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, kind: Any
) -> None:
    """A running job has no effect before its state is DONE."""
    server.faults.delay_job(2, on=kind)
    if kind == "load":
        load(day_rows(DAY, "a"), "days", job_id="job-1")
    else:
        statement = "INSERT INTO ai_usage.days (usage_date, name) SELECT DATE '2026-11-10', 'a'"
        client.query(statement, job_id="job-1", job_retry=None)
    states = []
    for _ in range(3):
        assert stored_names(server) == []
        states.append(client.get_job("job-1").state)
    assert states == ["RUNNING", "RUNNING", "DONE"]
    assert stored_names(server) == ["a"]


def test_the_client_waits_for_results(client: bigquery.Client, server: FakeBigQuery) -> None:
    """The client repeats its request while a query runs."""
    server.faults.delay_job(3)
    assert run(client, "SELECT 1 AS n") == [{"n": 1}]
    assert server.faults.remaining() == 0


@pytest.mark.parametrize("kind", ["query", "load"])
def test_a_failed_job_changes_nothing(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, kind: Any
) -> None:
    """An accepted job can end with backendError."""
    server.faults.fail_job("backendError", on=kind)
    if kind == "load":
        job: Any = load(day_rows(DAY, "a"), "days")
    else:
        job = client.query("INSERT INTO ai_usage.days (usage_date, name) SELECT DATE '2026-11-10', 'a'", job_retry=None)
    with pytest.raises(exceptions.InternalServerError, match="Error encountered during execution"):
        job.result()
    assert job.error_result["reason"] == "backendError"
    assert stored_names(server) == []


def test_jobs_do_not_find_a_dataset_of_another_location(client: bigquery.Client, load: Load) -> None:
    """A query and a load in US do not find a dataset in EU."""
    dataset = bigquery.Dataset("acme-project.other_location")
    dataset.location = "EU"
    client.create_dataset(dataset)
    client.create_table(bigquery.Table("acme-project.other_location.t", SCHEMA))
    message = "Not found: Dataset acme-project:other_location was not found in location US"
    for statement in ("SELECT name FROM other_location.t", "CREATE VIEW other_location.v AS SELECT 1 AS n"):
        with pytest.raises(exceptions.NotFound, match=message):
            run(client, statement)
    configuration = bigquery.LoadJobConfig(source_format="PARQUET", schema=SCHEMA)
    with pytest.raises(exceptions.NotFound, match=message):
        client.load_table_from_file(io.BytesIO(b""), "acme-project.other_location.t", job_config=configuration)
    assert [dict(row) for row in client.query("SELECT name FROM other_location.t", location="EU").result()] == []


def test_jobs_on_a_denied_dataset_fail(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """Queries and loads on a denied dataset fail with 403 accessDenied until access is allowed."""
    server.faults.deny_access("ai_usage")
    with pytest.raises(exceptions.Forbidden, match=r"Access Denied: Table acme-project:ai_usage\.days"):
        run(client, "SELECT name FROM ai_usage.days")
    with pytest.raises(exceptions.Forbidden, match="Access Denied: Dataset acme-project:ai_usage"):
        load(day_rows(DAY, "a"), "days")
    server.faults.allow_access("ai_usage")
    load(day_rows(DAY, "a"), "days").result()
    assert run(client, "SELECT name FROM ai_usage.days") == [{"name": "a"}]


SCRIPT = (
    "BEGIN TRANSACTION; DELETE FROM ai_usage.days WHERE usage_date = '{day}'; "
    "INSERT INTO ai_usage.days (usage_date, name) SELECT DATE '{day}', '{name}'; COMMIT TRANSACTION;"
)


def test_the_second_transaction_on_a_table_is_aborted(
    client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery
) -> None:
    """The second transaction is aborted, also on another day; the first one is visible after its COMMIT."""
    with server.faults.pause_commits() as paused, ThreadPoolExecutor(1) as thread:
        first = thread.submit(run, client, SCRIPT.format(day="2026-11-10", name="first"))
        paused.wait()
        assert stored_names(server) == []
        with pytest.raises(
            exceptions.BadRequest,
            match=r"Transaction is aborted due to concurrent update against table acme-project:ai_usage\.days",
        ):
            run(client, SCRIPT.format(day="2026-11-11", name="second"))
        paused.release()
        first.result()
    assert stored_names(server) == ["first"]
    run(client, SCRIPT.format(day="2026-11-11", name="second"))
    assert stored_names(server) == ["first", "second"]


def test_a_statement_and_a_load_wait_for_a_transaction(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """A statement and a load that start during a transaction run after its end."""
    with server.faults.pause_commits() as paused, ThreadPoolExecutor(3) as threads:
        first = threads.submit(run, client, SCRIPT.format(day="2026-11-10", name="first"))
        paused.wait()
        statement = threads.submit(
            run, client, "UPDATE ai_usage.days SET name = CONCAT(name, '!') WHERE name = 'first'"
        )
        appended = threads.submit(lambda: load(day_rows(DAY, "b"), "days").result())
        paused.release()
        for future in (first, statement, appended):
            future.result()
    assert stored_names(server) == ["b", "first!"]


def test_the_server_records_its_requests(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """Each request is recorded with its kind, job, size and status."""
    server.requests.clear()
    load(day_rows(DAY, "a"), "days", job_id="load-1").result()
    client.query("SELECT nosuch", job_id="query-1", job_retry=None)
    recorded = [(request.kind, request.job_id, request.status) for request in server.requests]
    assert recorded == [("upload", "load-1", 200), ("load", "load-1", 200), ("query", "query-1", 200)]
    assert server.requests[1].bytes > 500
    assert [(job.kind, job.id, job.error is None) for job in server.jobs.all()] == [
        ("load", "load-1", True),
        ("query", "query-1", False),
    ]
    assert DATASET.startswith(server.project)


def test_unsupported_requests_are_errors(client: bigquery.Client) -> None:
    """A request that the server does not support fails with 501 and names it."""
    connection: Any = client._connection
    with pytest.raises(exceptions.MethodNotImplemented, match="The fake BigQuery of the tests does not support this"):
        connection.api_request(method="GET", path="/projects/acme-project/jobs")
    with pytest.raises(exceptions.MethodNotImplemented, match="CREATE TABLE"):
        run(client, "CREATE TABLE ai_usage.t AS SELECT 1 AS n")


def test_the_server_stops_at_the_end_of_its_block() -> None:
    """After the block, the port refuses connections."""
    with FakeBigQuery() as server:
        port = int(server.url.rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_change_since_its_start_aborts_a_transaction(
    client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery
) -> None:
    """A rolled-back change of the table does not abort a later transaction; a committed one does."""
    locks = TableLocks()
    table = server.catalog.table("ai_usage", "days")
    transaction, other = locks.begin(), locks.begin()
    locks.acquire(table, other)
    locks.end(other, committed=False)
    locks.acquire(table, transaction)
    locks.end(transaction, committed=False)
    transaction = locks.begin()
    with locks.exclusive(table):
        pass
    with pytest.raises(ApiError, match="Transaction is aborted due to concurrent update"):
        locks.acquire(table, transaction)
