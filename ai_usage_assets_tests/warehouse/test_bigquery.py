"""The BigQuery warehouse with Google's client, over HTTP to a fake server that injects faults."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery import SchemaField
from rich.console import Console

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.commands import sql_check
from ai_usage_assets.commands.doctor.warehouse import diagnose_warehouse
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS, OPS_TABLES
from ai_usage_assets.warehouse.tables import Column, Table
from ai_usage_assets_tests.fakes.bigquery.partition_filters import find_unfiltered, project_relations
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery
from ai_usage_assets_tests.warehouse.raw_days import DAY, NEXT_DAY, NOW, RAW, log_entry, raw_day

PROJECT = "acme-project"
STAGED = catalog.table("stg_cursor_usage_events")
FACT = Table(
    "fct_x",
    "curated",
    "X.",
    (Column("usage_date", "DATE", "Day.", required=True), Column("records", "INT64", "Records.")),
    partition_by="usage_date",
    query="SELECT usage_date, COUNT(*) AS records FROM ai_usage.raw_cursor_usage_events "
    "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date",
)
TABLES = (*OPS_TABLES, RAW, STAGED, FACT)
DAYS = {"start_day": DAY, "end_day": NEXT_DAY}


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeBigQuery]:
    """A server for all tests of the module."""
    with FakeBigQuery() as server:
        yield server


@pytest.fixture
def server(shared: FakeBigQuery) -> FakeBigQuery:
    """The server without datasets."""
    shared.reset()
    return shared


def open_warehouse(server: FakeBigQuery, **options: Any) -> BigQueryWarehouse:
    """Open the warehouse as another container does. Retries do not wait."""
    return BigQueryWarehouse(PROJECT, **{"emulator_url": server.url, "sleep": lambda seconds: None, **options})


@pytest.fixture(scope="module")
def whole() -> Iterator[FakeBigQuery]:
    """A server whose dataset has every table and view."""
    with FakeBigQuery() as server:
        open_warehouse(server).prepare(catalog.tables())
        yield server


@pytest.fixture
def warehouse(server: FakeBigQuery) -> BigQueryWarehouse:
    """The warehouse with a few tables."""
    warehouse = open_warehouse(server)
    warehouse.prepare(TABLES)
    server.requests.clear()
    return warehouse


@pytest.fixture
def client(server: FakeBigQuery) -> Iterator[bigquery.Client]:
    """Google's client, which reads and changes the dataset without the warehouse."""
    anonymous: Any = AnonymousCredentials  # google-auth is not typed
    client: Any = bigquery.Client(PROJECT, anonymous(), client_options={"api_endpoint": server.url}, location="US")
    yield client
    client.close()


def loaded_records(server: FakeBigQuery) -> list[tuple[date, str]]:
    """Day and payload of every record."""
    rows = server.rows(f"SELECT usage_date, payload FROM ai_usage.{RAW.name} ORDER BY usage_date, record_no")
    return [(row["usage_date"], row["payload"]) for row in rows]


# --- rows ---------------------------------------------------------------------------------------------------------


def test_loading_replaces_whole_days(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A day that is loaded again has only its new records and one log entry; other days do not change."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    warehouse.load_days([raw_day("d")], [log_entry(DAY, records=1)])
    assert loaded_records(server) == [(DAY, "d"), (NEXT_DAY, "c")]
    logged = server.rows("SELECT usage_date, records FROM ai_usage.ops_asset_days ORDER BY usage_date")
    assert logged == [{"usage_date": DAY, "records": 1}, {"usage_date": NEXT_DAY, "records": None}]


def test_a_day_can_be_replaced_by_no_records(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Loading a day without records removes its earlier records."""
    warehouse.load_days([raw_day("a"), raw_day("b", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    warehouse.load_days([raw_day()], [log_entry(DAY)])
    assert loaded_records(server) == [(NEXT_DAY, "b")]


def test_values_are_exact(warehouse: BigQueryWarehouse) -> None:
    """Amounts keep nine decimals, timestamps their microseconds, and NULL stays NULL."""
    row = log_entry(
        DAY, amount_usd=Decimal("-12345678901234567890.123456789"), completed_at=NOW + timedelta(microseconds=1),
        records=2**53 + 1, message="a 'quote', a \\ and a ☃\nof its own",
    )  # fmt: skip
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [dict(row)])
    (stored,) = warehouse.rows("SELECT * FROM ai_usage.ops_asset_days WHERE usage_date = @start_day", DAYS)
    assert stored == {name: row.get(name) for name in OPS_ASSET_DAYS.column_names}


def test_upsert_replaces_by_key_and_append_inserts(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A second row with the same key replaces the first; an appended row is added."""
    row = {"run_id": "r", "job": "daily", "started_at": NOW, "outcome": "running", "version": "1"}
    warehouse.upsert(OPS_RUNS, ("run_id",), [row])
    warehouse.upsert(OPS_RUNS, ("run_id",), [row | {"outcome": "success"}, row | {"run_id": "s"}])
    warehouse.append(OPS_RUNS, [row | {"run_id": "t"}])
    rows = server.rows("SELECT run_id, outcome FROM ai_usage.ops_runs ORDER BY run_id")
    assert [tuple(row.values()) for row in rows] == [("r", "success"), ("s", "running"), ("t", "running")]


def test_rebuild_is_one_transaction(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A rebuild replaces only the days of its range; a query that fails changes nothing."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    assert warehouse.rebuild(FACT, DAYS) == 2
    warehouse.load_days([raw_day("d")], [log_entry(DAY)])
    assert warehouse.rebuild(FACT, {"start_day": DAY, "end_day": DAY}) == 1
    expected = [{"usage_date": DAY, "records": 1}, {"usage_date": NEXT_DAY, "records": 1}]
    assert server.rows("SELECT * FROM ai_usage.fct_x ORDER BY usage_date") == expected
    broken = replace(FACT, query=(FACT.query or "").replace("COUNT(*)", "DIV(1, COUNT(*) - COUNT(*))"))
    with pytest.raises(WarehouseError):
        warehouse.rebuild(broken, DAYS)
    assert server.rows("SELECT * FROM ai_usage.fct_x ORDER BY usage_date") == expected


def test_errors_do_not_quote_rows(warehouse: BigQueryWarehouse) -> None:
    """An error message contains no value of a row, which may be an address or a key."""
    with pytest.raises(WarehouseError) as caught:
        warehouse.rows("SELECT CAST('jane@example.com sk-ant-api03-abcdefgh01234567' AS INT64) AS n")
    assert "jane" not in str(caught.value)
    assert "abcdefgh" not in str(caught.value)
    assert caught.value.__suppress_context__


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        lambda faults: faults.fail_request("backendError", on="load", times=2),
        lambda faults: faults.fail_request("backendError", on="query", times=2),
        lambda faults: faults.fail_request("rateLimitExceeded", status=429, on="load", times=2),
        lambda faults: faults.fail_request("rateLimitExceeded", status=429, on="query", times=2),
        lambda faults: (faults.delay_job(1, on="load"), faults.fail_request("backendError", on="job")),
        lambda faults: faults.drop_connection("before", on="load"),
        lambda faults: faults.drop_connection("after", on="load"),
        lambda faults: faults.drop_connection("before", on="query"),
        lambda faults: faults.drop_connection("after", on="query"),
        lambda faults: faults.drop_connection("after", on="results"),
        lambda faults: faults.delay_job(1),
        lambda faults: faults.fail_job("backendError", on="load", times=2),
        lambda faults: faults.fail_job("backendError", on="query", times=2),
        lambda faults: faults.fail_job("jobRateLimitExceeded", on="load"),
    ],
    ids=[
        *("503 on load", "503 on query", "429 on load", "429 on query", "503 on job status"),
        *("load request lost", "load response lost", "query request lost", "query response lost", "results lost"),
        "slow jobs",
        *("load fails twice", "query fails twice", "job limit"),
    ],
)  # fmt: skip
def test_after_a_transient_fault_the_work_is_done_once(
    warehouse: BigQueryWarehouse, server: FakeBigQuery, fault: Any
) -> None:
    """Work is done once, also when a request or its response was lost or a job was started again."""
    fault(server.faults)
    warehouse.load_days([raw_day("a", "b")], [log_entry(DAY)], [_restatement()])
    warehouse.rebuild(FACT, DAYS)
    assert server.faults.remaining() == 0
    assert loaded_records(server) == [(DAY, "a"), (DAY, "b")]
    assert server.rows("SELECT records FROM ai_usage.fct_x") == [{"records": 2}]
    for table in ("ops_asset_days", "ops_restatements"):
        assert server.rows(f"SELECT COUNT(*) AS n FROM ai_usage.{table}") == [{"n": 1}]


def _restatement() -> dict[str, Any]:
    return {"asset": RAW.name, "vendor": "cursor", "usage_date": DAY, "restated_at": NOW, "run_id": "r"}


@pytest.mark.parametrize("on", ["load", "query"])
def test_a_retried_start_keeps_its_job_id(warehouse: BigQueryWarehouse, server: FakeBigQuery, on: Any) -> None:
    """A request that failed may still arrive; with the same job id, the work is done once."""
    server.faults.fail_request("backendError", on=on, times=2)
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    assert server.faults.remaining() == 0
    started = {request.job_id for request in server.requests if request.kind == on and request.job_id}
    assert len(started) == 1


def test_a_load_with_a_lost_response_is_not_repeated(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """The job id shows that the load was done, so the file is sent once."""
    server.faults.drop_connection("after", on="load")
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    assert len([request for request in server.requests if request.kind == "load"]) == 1


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_large_day_is_uploaded_in_parts(warehouse: BigQueryWarehouse, server: FakeBigQuery, lost: Any) -> None:
    """A resumable upload is loaded once, also when its last part or the response to it was lost."""
    # Random bytes cannot be compressed.
    large = random.Random(7).randbytes(6_000_000).hex()
    server.faults.drop_connection(lost, on="load")
    warehouse.load_days([raw_day(large, "b")], [log_entry(DAY)])
    assert "upload" in {request.kind for request in server.requests}
    assert loaded_records(server) == [(DAY, large), (DAY, "b")]


def test_the_same_content_in_the_same_run_is_the_same_job(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A repeated load in the same run uses the completed job; another run or other content is another job."""
    for payload, run_id in (("a", "r"), ("a", "r"), ("b", "r"), ("a", "s")):
        warehouse.load_days([raw_day(payload)], [log_entry(DAY, run_id=run_id)])
    loads = [request for request in server.requests if request.kind == "load"]
    assert len({request.job_id for request in loads}) == 3
    assert [request.status for request in loads] == [200, 409, 200, 200]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda s: s.faults.deny_access("ai_usage"), "roles/bigquery.dataEditor on the dataset ai_usage"),
        (lambda s: s.faults.fail_request("quotaExceeded", on="load", times=99), "when the quota allows"),
        (lambda s: s.faults.fail_request("backendError", on="load", times=99), "did not answer for minutes"),
    ],
    ids=["no access", "no quota", "no response"],
)
def test_a_lasting_fault_changes_nothing(
    warehouse: BigQueryWarehouse, server: FakeBigQuery, fault: Any, message: str
) -> None:
    """Earlier records and their log do not change, and the message says what to do."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY, records=1)])
    fault(server)
    with pytest.raises(WarehouseError, match=message):
        warehouse.load_days([raw_day("b", "c")], [log_entry(DAY, records=2)])
    server.faults.clear()
    assert loaded_records(server) == [(DAY, "a")]
    assert server.rows("SELECT records FROM ai_usage.ops_asset_days") == [{"records": 1}]


def test_a_conflicting_transaction_is_retried(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Two containers that rebuild the same days at once both succeed, and the days exist once."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    with ThreadPoolExecutor(2) as pool:
        with server.faults.pause_commits() as paused:
            first = pool.submit(warehouse.rebuild, FACT, DAYS)
            paused.wait()
            second = pool.submit(open_warehouse(server).rebuild, FACT, DAYS)
        first.result(timeout=30)
        second.result(timeout=30)
    assert server.rows("SELECT records FROM ai_usage.fct_x ORDER BY usage_date") == [{"records": 2}, {"records": 1}]


def test_conflicts_are_retried_longer_than_other_errors(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A conflict is retried for as long as another run's statement may take; other errors six times."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    conflict = "Transaction is aborted due to concurrent update against table acme-project:ai_usage.fct_x."
    server.faults.fail_job("invalidQuery", message=conflict, on="query", times=30)
    warehouse.rebuild(FACT, DAYS)
    assert server.rows("SELECT records FROM ai_usage.fct_x") == [{"records": 1}]
    server.faults.fail_job("backendError", on="query", times=30)
    with pytest.raises(WarehouseError):
        warehouse.rebuild(FACT, DAYS)
    assert server.faults.remaining() == 24


def test_many_rows_are_sent_in_several_requests(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A log of many days is written in batches, each entry together with its restatement."""
    days = [DAY + timedelta(days=n) for n in range(2001)]
    restated = [
        {"asset": RAW.name, "vendor": "x", "usage_date": of, "run_id": "r", "restated_at": NOW} for of in days[-2:]
    ]
    warehouse.load_days([], [log_entry(of) for of in days], restated)
    assert [request.kind for request in server.requests if request.kind == "query"] == ["query"] * 2
    counts = [
        server.rows(f"SELECT COUNT(*) AS n FROM ai_usage.ops_{name}")[0]["n"] for name in ("asset_days", "restatements")
    ]
    assert counts == [2001, 2]


def _event(cents: int, model: str = "m1") -> str:
    return f'{{"timestamp": "1794300000000", "kind": "Usage-based", "model": "{model}", "chargedCents": {cents}}}'


def test_a_restatement_stores_its_parts(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """The parts are read before and after the day is replaced, and the difference is stored with the log."""
    warehouse.load_days([raw_day(_event(100), _event(50, "m2"))], [log_entry(DAY)])
    restatement = _restatement() | {"old_amount_usd": Decimal("1.5"), "new_amount_usd": Decimal("3.5")}
    warehouse.load_days([raw_day(_event(300), _event(50, "m2"))], [log_entry(DAY)], [restatement])
    rows = server.rows(
        "SELECT cost_basis, dimension, dimension_value, old_amount_usd, new_amount_usd, run_id "
        "FROM ai_usage.ops_restatement_parts ORDER BY dimension"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("billed", "model", "m1", Decimal(1), Decimal(3), "r"),
        ("billed", "principal", None, Decimal("1.5"), Decimal("3.5"), "r"),
        ("billed", "total", None, Decimal("1.5"), Decimal("3.5"), "r"),
    ]


def test_a_day_and_its_parts_are_sent_together(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A request contains all parts of a day, also when there are many."""
    days = [DAY, NEXT_DAY]
    many = [[_event(cents + n, f"m{n}") for n in range(1001)] for cents in (1, 2)]
    usd = [Decimal(sum(range(first, first + 1001))) / 100 for first in (1, 2)]
    warehouse.load_days([raw_day(*many[0], day=of) for of in days], [log_entry(of) for of in days])
    server.requests.clear()
    restated = [_restatement() | {"usage_date": of, "old_amount_usd": usd[0], "new_amount_usd": usd[1]} for of in days]
    warehouse.load_days([raw_day(*many[1], day=of) for of in days], [log_entry(of) for of in days], restated)
    # Two queries read the parts; one query per day writes them.
    assert [request.kind for request in server.requests if request.kind == "query"] == ["query"] * 4
    rows = server.rows("SELECT usage_date, COUNT(*) AS n FROM ai_usage.ops_restatement_parts GROUP BY usage_date")
    assert {row["usage_date"]: row["n"] for row in rows} == dict.fromkeys(days, 1003)


def test_two_containers_can_load_the_same_days(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Each day has all records of exactly one container and one log entry."""
    ours, theirs = ["a", "b", "c"], ["a", "b"]

    def load(other: BigQueryWarehouse, payloads: list[str], run_id: str, at: datetime) -> None:
        for _ in range(3):
            other.load_days(
                [raw_day(*payloads, fetched_at=at), raw_day(*payloads, day=NEXT_DAY, fetched_at=at)],
                [log_entry(of, run_id=run_id, content_digest=run_id, records=len(payloads)) for of in (DAY, NEXT_DAY)],
            )

    with ThreadPoolExecutor(2) as pool:
        for future in (
            pool.submit(load, open_warehouse(server), ours, "ours", NOW),
            pool.submit(load, open_warehouse(server), theirs, "theirs", NOW + timedelta(minutes=1)),
        ):
            future.result(timeout=60)
    for day in (DAY, NEXT_DAY):
        assert [payload for loaded, payload in loaded_records(server) if loaded == day] in (ours, theirs)
    assert server.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_asset_days") == [{"n": 2}]


# --- the dataset, its tables and views ----------------------------------------------------------------------------


def test_the_dataset_is_in_the_united_states(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    """The dataset and its jobs are in the location US."""
    assert client.get_dataset("ai_usage").location == "US"
    assert warehouse.jobs.client.location == "US"


def test_a_dataset_in_another_location_is_rejected(server: FakeBigQuery, client: bigquery.Client) -> None:
    """A dataset in another location is an error, and nothing is created in it."""
    dataset = bigquery.Dataset(f"{PROJECT}.ai_usage")
    dataset.location = "EU"
    client.create_dataset(dataset)
    with pytest.raises(WarehouseError, match="is in the location EU, expected US"):
        open_warehouse(server).prepare(TABLES)
    assert list(client.list_tables("ai_usage")) == []


def test_tables_are_laid_out_and_described(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    """Tables are partitioned, clustered, described and labeled; raw tables require a filter on their days."""
    raw, view = client.get_table(f"ai_usage.{RAW.name}"), client.get_table(f"ai_usage.{STAGED.name}")
    assert raw.time_partitioning.field == "usage_date"
    assert raw.time_partitioning.expiration_ms is None
    assert raw.require_partition_filter is True
    assert raw.description == RAW.description
    assert {field.name: (field.field_type, field.mode, field.description) for field in raw.schema}["payload"] == (
        "STRING", "REQUIRED", next(c.description for c in RAW.columns if c.name == "payload"),
    )  # fmt: skip
    assert (raw.labels["app"], raw.labels["layer"]) == ("ai-usage", "raw")
    assert view.description == STAGED.description
    assert [field.description for field in view.schema] == [column.description for column in STAGED.columns]


def test_daily_raw_tables_require_a_filter() -> None:
    """Every daily raw table requires a filter on its days; these are the largest tables."""
    daily = [table for table in catalog.raw_tables() if table.partition_by == "usage_date"]
    warehouse = BigQueryWarehouse(PROJECT)
    assert len(daily) > 5
    for table in daily:
        assert warehouse.schema.definition(table).require_partition_filter is True, table.name


def test_preparing_again_changes_nothing(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """When everything is up to date, the dataset and its tables are listed, and one query reads the views."""
    open_warehouse(server).prepare(TABLES)
    assert [request.kind for request in server.requests] == ["datasets", "tables", "query", "results"]
    assert not _changed_kinds(server)


def _changed_kinds(server: FakeBigQuery) -> set[str]:
    """The kinds of requests that may have changed something: all but reads and queries."""
    return {request.kind for request in server.requests if request.method != "GET" and request.kind != "query"}


def test_a_view_is_replaced_only_when_it_changes(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A new definition replaces the view; the same one changes nothing."""
    view = Table("stg_x", "staging", "X.", (Column("a", None, 'A "b" \\ c.'),), is_view=True, query="SELECT 1 AS a")
    warehouse.prepare([view])
    server.requests.clear()
    warehouse.prepare([view])
    assert not _changed_kinds(server)
    warehouse.prepare([replace(view, query="SELECT 2 AS a")])
    assert server.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 2}]


@pytest.mark.parametrize("how", ["replaced", "edited"])
def test_a_manually_changed_view_is_restored(
    warehouse: BigQueryWarehouse,
    server: FakeBigQuery,
    client: bigquery.Client,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    """If a user replaced the view or edited its query, the next run restores it with a warning."""
    view = Table("stg_x", "staging", "X.", (Column("a", None, "A."),), is_view=True, query="SELECT 1 AS a")
    warehouse.prepare([view])
    if how == "replaced":
        client.query("CREATE OR REPLACE VIEW ai_usage.stg_x AS SELECT 7 AS a").result()
    else:
        edited = client.get_table("ai_usage.stg_x")
        edited.view_query = "SELECT 7 AS a"
        client.update_table(edited, ["view_query"])
    with caplog.at_level(logging.WARNING):
        warehouse.prepare([view])
    assert "stg_x was changed manually" in caplog.text
    assert "SELECT 7 AS a" in caplog.text
    assert server.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 1}]
    caplog.clear()
    warehouse.prepare([view])
    assert caplog.text == ""


def test_a_dataset_of_another_version_is_updated(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A table gets new columns, descriptions and layout, and no row is lost."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    wider = replace(
        RAW,
        description="Another.",
        columns=(
            *RAW.columns[:-1],
            replace(RAW.columns[-1], description="Else."),
            Column("extra", "NUMERIC", "More.", required=True),
        ),
        cluster_by=("record_no",),
    )
    warehouse.prepare([wider])
    assert loaded_records(server) == [(DAY, "a")]
    table = warehouse.jobs.client.get_table(f"ai_usage.{RAW.name}")
    assert (table.description, table.clustering_fields) == ("Another.", ["record_no"])
    assert [(f.name, f.mode) for f in table.schema][-1] == ("extra", "NULLABLE")
    table.schema = [SchemaField(f.name, f.field_type, "NULLABLE") for f in table.schema]
    warehouse.jobs.client.update_table(table, ["schema"])
    warehouse.prepare([RAW])
    warehouse.load_days([raw_day("b", day=NEXT_DAY)], [log_entry(NEXT_DAY)])
    assert loaded_records(server) == [(DAY, "a"), (NEXT_DAY, "b")]
    warehouse.prepare([wider])
    server.requests.clear()
    warehouse.prepare([wider])
    assert not _changed_kinds(server)


def test_a_changed_type_is_rejected(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A raw table with another type is an error before anything is written; a model is recreated."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    number = replace(RAW, columns=tuple(replace(c, type="INT64") if c.name == "payload" else c for c in RAW.columns))
    assert warehouse.schema_conflicts([number]) == [
        f"acme-project.ai_usage.{RAW.name}.payload has the type STRING, expected INT64: another version of this "
        f"project wrote the dataset. Keep a copy of {RAW.name} and use that version."
    ]
    with pytest.raises(WarehouseError, match="payload has the type STRING, expected INT64"):
        warehouse.prepare([number])
    assert loaded_records(server) == [(DAY, "a")]
    texts = replace(FACT, columns=(FACT.columns[0], replace(FACT.columns[1], type="NUMERIC")))
    warehouse.prepare([texts])
    assert warehouse.column_types(texts) == {"usage_date": "DATE", "records": "NUMERIC"}


def test_containers_can_start_at_once(server: FakeBigQuery) -> None:
    """Containers that create and update the same tables and views at once all succeed."""
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(open_warehouse(server).prepare, TABLES) for _ in range(3)]:
            future.result(timeout=60)
    again = replace(RAW, description="Another.")
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(open_warehouse(server).prepare, [again]) for _ in range(3)]:
            future.result(timeout=60)
    assert open_warehouse(server).jobs.client.get_table(f"ai_usage.{RAW.name}").description == "Another."


def test_reading_an_empty_project_creates_nothing(server: FakeBigQuery) -> None:
    """Before the first run there are no tables, and asking for conflicts creates none."""
    assert open_warehouse(server).schema_conflicts(TABLES) is None
    assert {request.method for request in server.requests} == {"GET"}


def test_raw_records_may_expire_and_facts_do_not(
    warehouse: BigQueryWarehouse, server: FakeBigQuery, client: bigquery.Client
) -> None:
    """Expiration is off by default; a day whose raw records have expired is not rebuilt."""
    short = BigQueryWarehouse(PROJECT, emulator_url=server.url, raw_expiry_days=90)
    short.prepare(TABLES)
    assert client.get_table(f"ai_usage.{RAW.name}").time_partitioning.expiration_ms == 90 * 86_400_000
    expired = {"start_day": date(2026, 8, 1), "end_day": NEXT_DAY, "today": date(2026, 11, 20)}
    with pytest.raises(WarehouseError, match="those before 2026-08-22 are gone"):
        short.rebuild(FACT, expired)
    warehouse.rebuild(FACT, expired)
    warehouse.prepare(TABLES)
    assert client.get_table(f"ai_usage.{RAW.name}").time_partitioning.expiration_ms is None


def test_the_dataset_can_have_another_name(server: FakeBigQuery, client: bigquery.Client) -> None:
    """The dataset name in the SQL files is replaced by the configured one."""
    other = open_warehouse(server, dataset="finance_ai")
    other.prepare(TABLES)
    other.load_days([raw_day("a")], [log_entry(DAY)])
    other.rebuild(FACT, DAYS)
    assert other.rows("SELECT records FROM ai_usage.fct_x WHERE usage_date = @start_day", DAYS) == [{"records": 1}]
    with pytest.raises(NotFound):
        client.get_dataset("ai_usage")


def test_a_run_is_active_for_as_long_as_a_task_can_last(warehouse: BigQueryWarehouse) -> None:
    """A run without an outcome counts as killed when it started longer ago than a task may last."""
    now = datetime.now(UTC)
    row = {"job": "daily", "outcome": "running", "version": "1"}
    for name, started in (("new", now), ("old", now - timedelta(days=2))):
        warehouse.upsert(OPS_RUNS, ("run_id",), [row | {"run_id": name, "started_at": started}])
    assert (warehouse.is_run_active("new"), warehouse.is_run_active("old"), warehouse.is_run_active("none")) == (
        True,
        False,
        False,
    )


def test_an_estimate_changes_nothing(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A dry run returns the bytes or the error of a statement without running it."""
    warehouse.load_days([raw_day("a" * 1000)], [log_entry(DAY)])
    assert warehouse.estimate_bytes(FACT.query or "", DAYS) > 0
    warehouse.estimate_bytes(f"DELETE FROM ai_usage.{RAW.name} WHERE usage_date = @start_day", DAYS)
    assert len(loaded_records(server)) == 1
    with pytest.raises(WarehouseError, match="nosuch"):
        warehouse.estimate_bytes("SELECT nosuch FROM ai_usage.ops_runs")


# --- partition filters --------------------------------------------------------------------------------------------

RELATIONS = project_relations(catalog.tables())
# Every version of the sheet is read: it has a few hundred rows, and any version may be in effect.
SHEET = "raw_mapping_sheet"


def _find_whole_tables(statement: str) -> set[str]:
    names = {relation.table.removeprefix("ai_usage.") for relation in find_unfiltered(statement, RELATIONS)}
    return names - {SHEET}


def test_models_read_only_the_days_of_the_run() -> None:
    """No statement that fills a table reads all partitions of a raw table; a rebuild of days reads only days."""
    for table in (table for table in catalog.models() if not table.is_view):
        names = _find_whole_tables(table.query or "")
        assert not {name for name in names if table.is_rebuilt_by_day or name.startswith("raw_")}, table.name


def test_views_do_not_read_all_raw_days() -> None:
    """A view may read all days of facts, which are small, but never all raw records."""
    views = [table for table in catalog.models() if table.is_view and table.layer != "staging"]
    names = {view.name: _find_whole_tables(f"SELECT * FROM ai_usage.{view.name}") for view in views}
    assert {name: raw for name, read in names.items() if (raw := {r for r in read if r.startswith("raw_")})} == {}


# --- commands -----------------------------------------------------------------------------------------------------


def production(server: FakeBigQuery) -> Settings:
    """Settings that select this server."""
    return Settings(warehouse="bigquery", project=PROJECT, bigquery_emulator=server.url, fixed_now=NOW)


def test_the_doctor_examines_the_dataset(server: FakeBigQuery, whole: FakeBigQuery) -> None:
    """The doctor reports the dataset before the first run, after it and without access, and changes nothing."""

    def outcomes(server: FakeBigQuery) -> list[tuple[str, str]]:
        return [(diagnosis.subject, diagnosis.outcome) for diagnosis in diagnose_warehouse(production(server))]

    assert outcomes(server) == [("dataset", "ok"), ("tables", "info"), ("permissions", "info")]
    whole.requests.clear()
    assert outcomes(whole) == [("dataset", "ok"), ("tables", "ok"), ("days", "info"), ("permissions", "ok")]
    assert {request.method for request in whole.requests if request.kind != "query"} == {"GET"}
    whole.faults.deny_access("ai_usage")
    assert [outcome for _, outcome in outcomes(whole)] == ["error"]
    whole.faults.clear()


def test_every_check_runs(whole: FakeBigQuery) -> None:
    """BigQuery accepts every query of a check and its parameters; an empty dataset has no finding."""
    context = CheckContext(open_warehouse(whole), DayRange(DAY, NEXT_DAY), NOW.date())
    assert {check.name: findings for check in CHECKS if (findings := check.run(context))} == {}


def test_sql_check_dry_runs_every_model(whole: FakeBigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    """`sql check --real` reports the bytes of each statement and the invalid ones; it changes nothing."""
    warehouse = open_warehouse(whole)
    warehouse.load_days([raw_day("a" * 1000)], [log_entry(DAY)])
    whole.requests.clear()
    assert sql_check.check_in_bigquery(production(whole), Console(width=100)) == 0
    output = capsys.readouterr().out
    assert f"{len(catalog.models())} of {len(catalog.models())} are valid" in output
    assert all(table.name in output for table in catalog.models())
    assert {request.method for request in whole.requests if request.kind != "query"} == {"GET"}
    warehouse.jobs.client.delete_table(f"ai_usage.{STAGED.name}")
    assert sql_check.check_in_bigquery(production(whole), Console(width=100)) == 1
    count = len(catalog.models())
    assert f"{count - 2} of {count} are valid" in capsys.readouterr().out
