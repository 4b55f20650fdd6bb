"""Faults and their consequences."""

from __future__ import annotations

import io
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from ai_usage_assets_tests.fakes.bigquery.conftest import DATASET, DAY, SCHEMA, Load, rows_of, run
from ai_usage_assets_tests.fakes.bigquery.errors import ApiError
from ai_usage_assets_tests.fakes.bigquery.faults import RequestKind
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery
from ai_usage_assets_tests.fakes.bigquery.writers import Writers


def names(server: FakeBigQuery) -> list[str]:
    """The rows of the table."""
    return [row["name"] for row in server.rows("SELECT name FROM ai_usage.days ORDER BY name")]


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
    server.faults.answer(reason, on="query", times=2, status=status)
    client.get_dataset("ai_usage", retry=never)
    for _ in range(2):
        with pytest.raises(raised) as refused:
            client.query("SELECT 1 AS n", retry=never, job_retry=None)
        assert isinstance(refused.value, exceptions.GoogleAPICallError)
        assert refused.value.errors[0]["reason"] == reason
    assert run(client, "SELECT 1 AS n") == [{"n": 1}]
    assert server.faults.unused() == 0


@pytest.mark.parametrize("kind", ["upload", "load"])
def test_a_failed_load_request_changes_nothing(
    load: Load, days: bigquery.Table, server: FakeBigQuery, kind: RequestKind
) -> None:
    """An error at the start of the upload or with its bytes leaves no rows."""
    server.faults.answer("backendError", on=kind)
    with pytest.raises(exceptions.ServiceUnavailable):
        load(rows_of(DAY, "a"), "days", job_id="load-1")
    assert names(server) == []
    load(rows_of(DAY, "a"), "days", job_id="load-1").result()
    assert names(server) == ["a"]


@pytest.mark.parametrize(("when", "left"), [("before", []), ("after", ["a"])])
def test_a_lost_connection_may_leave_a_job(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, when: Any, left: list[str]
) -> None:
    """Lost before the work, there is no job; lost after it, the job can be found by its id."""
    server.faults.drop(when, on="load")
    with pytest.raises(Exception, match=r"Connection|reset|aborted"):
        load(rows_of(DAY, "a"), "days", job_id="load-1", multipart=True)
    assert names(server) == left
    assert [seen.status for seen in server.requests if seen.kind == "load"] == [0]
    if left:
        assert client.get_job("load-1").state == "DONE"
    else:
        with pytest.raises(exceptions.NotFound):
            client.get_job("load-1")


def test_a_repeated_upload_returns_the_same_job(load: Load, days: bigquery.Table, server: FakeBigQuery) -> None:
    """When the answer to a resumable upload is lost, the client repeats it and the rows exist once."""
    server.faults.drop("after", on="load")
    load(rows_of(DAY, "a"), "days", job_id="load-1", retries=1).result()
    assert names(server) == ["a"]
    assert [seen.status for seen in server.requests if seen.kind == "load"] == [0, 200]


@pytest.mark.parametrize("kind", ["query", "load"])
def test_a_slow_job_ends_after_the_requested_polls(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, kind: Any
) -> None:
    """A running job has no effect before its state is DONE."""
    server.faults.keep_running(2, on=kind)
    if kind == "load":
        load(rows_of(DAY, "a"), "days", job_id="job-1")
    else:
        statement = "INSERT INTO ai_usage.days (usage_date, name) SELECT DATE '2026-11-10', 'a'"
        client.query(statement, job_id="job-1", job_retry=None)
    states = []
    for _ in range(3):
        assert names(server) == []
        states.append(client.get_job("job-1").state)
    assert states == ["RUNNING", "RUNNING", "DONE"]
    assert names(server) == ["a"]


def test_the_client_waits_for_results(client: bigquery.Client, server: FakeBigQuery) -> None:
    """The client repeats its request while a query runs."""
    server.faults.keep_running(3)
    assert run(client, "SELECT 1 AS n") == [{"n": 1}]
    assert server.faults.unused() == 0


@pytest.mark.parametrize("kind", ["query", "load"])
def test_a_failed_job_changes_nothing(
    load: Load, client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery, kind: Any
) -> None:
    """An accepted job can end with backendError."""
    server.faults.fail_job("backendError", on=kind)
    if kind == "load":
        job: Any = load(rows_of(DAY, "a"), "days")
    else:
        job = client.query("INSERT INTO ai_usage.days (usage_date, name) SELECT DATE '2026-11-10', 'a'", job_retry=None)
    with pytest.raises(exceptions.InternalServerError, match="Error encountered during execution"):
        job.result()
    assert job.error_result["reason"] == "backendError"
    assert names(server) == []


def test_jobs_do_not_find_a_dataset_of_another_location(client: bigquery.Client, load: Load) -> None:
    """A query and a load in US do not find a dataset in EU."""
    dataset = bigquery.Dataset("acme-project.elsewhere")
    dataset.location = "EU"
    client.create_dataset(dataset)
    client.create_table(bigquery.Table("acme-project.elsewhere.t", SCHEMA))
    said = "Not found: Dataset acme-project:elsewhere was not found in location US"
    for statement in ("SELECT name FROM elsewhere.t", "CREATE VIEW elsewhere.v AS SELECT 1 AS n"):
        with pytest.raises(exceptions.NotFound, match=said):
            run(client, statement)
    configuration = bigquery.LoadJobConfig(source_format="PARQUET", schema=SCHEMA)
    with pytest.raises(exceptions.NotFound, match=said):
        client.load_table_from_file(io.BytesIO(b""), "acme-project.elsewhere.t", job_config=configuration)
    assert [dict(row) for row in client.query("SELECT name FROM elsewhere.t", location="EU").result()] == []


def test_a_denied_dataset_takes_no_query_and_no_load(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """Jobs on a denied dataset fail with 403 accessDenied until access is allowed again."""
    server.faults.deny("ai_usage")
    with pytest.raises(exceptions.Forbidden, match=r"Access Denied: Table acme-project:ai_usage\.days"):
        run(client, "SELECT name FROM ai_usage.days")
    with pytest.raises(exceptions.Forbidden, match="Access Denied: Dataset acme-project:ai_usage"):
        load(rows_of(DAY, "a"), "days")
    server.faults.allow("ai_usage")
    load(rows_of(DAY, "a"), "days").result()
    assert run(client, "SELECT name FROM ai_usage.days") == [{"name": "a"}]


SCRIPT = (
    "BEGIN TRANSACTION; DELETE FROM ai_usage.days WHERE usage_date = '{day}'; "
    "INSERT INTO ai_usage.days (usage_date, name) SELECT DATE '{day}', '{name}'; COMMIT TRANSACTION;"
)


def test_of_two_transactions_on_one_table_the_second_is_aborted(
    client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery
) -> None:
    """The second is aborted even for other days; the first becomes visible with its COMMIT."""
    with server.faults.holding_commits() as held, ThreadPoolExecutor(1) as thread:
        first = thread.submit(run, client, SCRIPT.format(day="2026-11-10", name="first"))
        held.wait()
        assert names(server) == []
        with pytest.raises(
            exceptions.BadRequest,
            match=r"Transaction is aborted due to concurrent update against table acme-project:ai_usage\.days",
        ):
            run(client, SCRIPT.format(day="2026-11-11", name="second"))
        held.release()
        first.result()
    assert names(server) == ["first"]
    run(client, SCRIPT.format(day="2026-11-11", name="second"))
    assert names(server) == ["first", "second"]


def test_a_statement_and_a_load_wait_for_a_transaction(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """A statement and a load during a transaction run after its end."""
    with server.faults.holding_commits() as held, ThreadPoolExecutor(3) as threads:
        first = threads.submit(run, client, SCRIPT.format(day="2026-11-10", name="first"))
        held.wait()
        statement = threads.submit(
            run, client, "UPDATE ai_usage.days SET name = CONCAT(name, '!') WHERE name = 'first'"
        )
        loaded = threads.submit(lambda: load(rows_of(DAY, "b"), "days").result())
        held.release()
        for one in (first, statement, loaded):
            one.result()
    assert names(server) == ["b", "first!"]


def test_the_server_records_its_requests(
    client: bigquery.Client, days: bigquery.Table, load: Load, server: FakeBigQuery
) -> None:
    """Each request is recorded with its kind, job, size and status."""
    server.requests.clear()
    load(rows_of(DAY, "a"), "days", job_id="load-1").result()
    client.query("SELECT nosuch", job_id="query-1", job_retry=None)
    seen = [(one.kind, one.job_id, one.status) for one in server.requests]
    assert seen == [("upload", "load-1", 200), ("load", "load-1", 200), ("query", "query-1", 200)]
    assert server.requests[1].bytes > 500
    assert [(job.kind, job.id, job.error is None) for job in server.jobs.all()] == [
        ("load", "load-1", True),
        ("query", "query-1", False),
    ]
    assert DATASET.startswith(server.project)


def test_unsupported_requests_are_errors(client: bigquery.Client) -> None:
    """A request that the server does not support fails with 501 and names it."""
    connection: Any = client._connection
    with pytest.raises(exceptions.MethodNotImplemented, match="The fake BigQuery of the tests does not do this"):
        connection.api_request(method="GET", path="/projects/acme-project/jobs")
    with pytest.raises(exceptions.MethodNotImplemented, match="CREATE TABLE"):
        run(client, "CREATE TABLE ai_usage.t AS SELECT 1 AS n")


def test_a_server_stops_with_its_block() -> None:
    """After the block, no server listens."""
    with FakeBigQuery() as server:
        port = int(server.url.rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_transaction_is_aborted_by_what_was_changed_since_it_began(
    client: bigquery.Client, days: bigquery.Table, server: FakeBigQuery
) -> None:
    """A change since its start aborts a transaction on the table; other tables can still be changed."""
    writers = Writers()
    table = server.catalogue.table("ai_usage", "days")
    late, other = writers.begin(), writers.begin()
    writers.take(table, other)
    writers.end(other, committed=False)
    writers.take(table, late)
    writers.end(late, committed=False)
    late = writers.begin()
    with writers.alone(table):
        pass
    with pytest.raises(ApiError, match="Transaction is aborted due to concurrent update"):
        writers.take(table, late)
