"""Loading the days of an extract: the same results in both engines, and BigQuery's jobs, faults and labels."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.days import load_days
from ai_usage_assets.landing.extracts import ExtractLoader
from ai_usage_assets.registry import load_source
from ai_usage_assets.sources.base import DayBatch
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.warehouse.base import Warehouse, WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS, OPS_RESTATEMENT_PARTS, OPS_TABLES
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery
from ai_usage_assets_tests.support.landing import load_extract
from ai_usage_assets_tests.warehouse.raw_days import DAY, NEXT_DAY, NOW, RAW, log_entry, raw_day
from ai_usage_assets_tests.warehouse.test_bigquery import FACT, PROJECT, TABLES, loaded_records, open_warehouse

# No request is sent.
CLIENT = load_source("cursor").connect(lambda: "", "http://127.0.0.1:9")
LOG = logging.getLogger(__name__)
VENDOR_IS_DOWN = ApiError("Cursor", "events", detail="it answered 503", next_step="Run again.", status=503)
DAYS = [date(2026, 9, 1) + timedelta(days=number) for number in range(60)]


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


@pytest.fixture
def bigquery(server: FakeBigQuery) -> BigQueryWarehouse:
    """A BigQuery warehouse with a few tables."""
    warehouse = open_warehouse(server)
    warehouse.prepare(TABLES)
    server.requests.clear()
    return warehouse


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse of each engine."""
    if request.param == "bigquery":
        yield request.getfixturevalue("bigquery")
        return
    opened = DuckDBWarehouse(copy_empty_warehouse(tmp_path / "w.duckdb"))
    yield opened
    opened.close()


def event(cents: int, model: str = "m1") -> bytes:
    """A usage event."""
    return b'{"timestamp":"1794300000000","kind":"Usage-based","model":"%b","chargedCents":%d}' % (
        model.encode(),
        cents,
    )


def batch(day: date, *cents: int) -> DayBatch:
    """A complete day with an event of each amount."""
    return DayBatch(RAW, day, [event(amount) for amount in cents], pages=1, amount_usd=Decimal(sum(cents)) / 100)


def run_context(hours: int = 0, **changed: Any) -> RunContext:
    """A run that starts some hours after NOW."""
    return RunContext(f"run{hours}", NOW + timedelta(hours=hours), **changed)


def records_by_day(warehouse: Warehouse) -> dict[date, int]:
    """The number of records of each day in the raw table."""
    rows = warehouse.rows(
        f"SELECT usage_date, COUNT(*) AS n FROM ai_usage.{RAW.name} "
        "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date",
        {"start_day": DAYS[0], "end_day": date(2026, 12, 31)},
    )
    return {row["usage_date"]: row["n"] for row in rows}


def day_log(warehouse: Warehouse) -> dict[date, tuple[str, int | None]]:
    """The status and the records of each day in the day log."""
    rows = warehouse.rows("SELECT usage_date, status, records FROM ai_usage.ops_asset_days")
    return {row["usage_date"]: (row["status"], row["records"]) for row in rows}


# --- both engines -----------------------------------------------------------------------------------------------------


def test_sixty_days_are_loaded_window_by_window(warehouse: Warehouse) -> None:
    """Every day of an extract has its records and its entry, also the days without records."""
    extract = replace(
        EVENTS, window_days=7, fetch=lambda client, days: (batch(day, *range(day.day % 3)) for day in days)
    )
    results = load_days(warehouse, extract, CLIENT, DAYS, run_context(), LOG)
    assert [result.entry["usage_date"] for result in results] == DAYS
    assert records_by_day(warehouse) == {day: day.day % 3 for day in DAYS if day.day % 3}
    assert day_log(warehouse) == {day: ("complete", day.day % 3) for day in DAYS}
    again = load_days(warehouse, extract, CLIENT, DAYS, run_context(1), LOG)
    assert not any(result.changed for result in again)


@pytest.mark.parametrize("fails", [VENDOR_IS_DOWN, KeyError("a defect")], ids=["the vendor", "a defect"])
def test_windows_before_a_failure_are_loaded(warehouse: Warehouse, fails: Exception) -> None:
    """The days that were fetched before another fetch fails are loaded, whatever the failure is."""

    def fetch(client: object, days: DayRange) -> Iterator[DayBatch]:
        if days.first > DAYS[1]:
            raise fails
        yield batch(days.first, 7)

    extract = replace(EVENTS, fetch=fetch)
    if isinstance(fails, ApiError):
        load_days(warehouse, extract, CLIENT, DAYS[:4], run_context(), LOG)
        failed = dict.fromkeys(DAYS[2:4], ("failed", None))
    else:
        with pytest.raises(KeyError):
            load_days(warehouse, extract, CLIENT, DAYS[:4], run_context(), LOG)
        failed = {}
    assert records_by_day(warehouse) == dict.fromkeys(DAYS[:2], 1)
    assert day_log(warehouse) == {**dict.fromkeys(DAYS[:2], ("complete", 1)), **failed}


def test_an_accepted_empty_day_deletes_its_records(warehouse: Warehouse) -> None:
    """An empty day replaces nothing unless the loss is accepted; then its records are gone and other days stay."""
    load_extract(warehouse, EVENTS, [batch(DAY, 1, 2), batch(NEXT_DAY, 3)], run_context())
    load_extract(warehouse, EVENTS, [batch(DAY)], run_context(1))
    assert records_by_day(warehouse) == {DAY: 2, NEXT_DAY: 1}
    load_extract(warehouse, EVENTS, [batch(DAY)], run_context(2, accept_loss=True))
    assert records_by_day(warehouse) == {NEXT_DAY: 1}
    assert day_log(warehouse) == {DAY: ("complete", 0), NEXT_DAY: ("complete", 1)}


@pytest.mark.parametrize("becomes_empty", [False, True])
def test_restated_days_have_their_parts(warehouse: Warehouse, *, becomes_empty: bool) -> None:
    """Both restated days have the parts that changed; the unchanged day has none."""
    load_extract(warehouse, EVENTS, [batch(DAYS[0], 100), batch(DAYS[1], 5), batch(DAYS[2], 7)], run_context())
    changed = [batch(DAYS[0]) if becomes_empty else batch(DAYS[0], 300), batch(DAYS[1], 5), batch(DAYS[2], 7, 1)]
    load_extract(warehouse, EVENTS, changed, run_context(1, accept_loss=True))
    parts = warehouse.rows(
        "SELECT usage_date, old_amount_usd, new_amount_usd FROM ai_usage.ops_restatement_parts "
        "WHERE dimension = 'model' ORDER BY usage_date"
    )
    new = None if becomes_empty else Decimal(3)
    assert [tuple(part.values()) for part in parts] == [
        (DAYS[0], Decimal(1), new),
        (DAYS[2], Decimal("0.07"), Decimal("0.08")),
    ]
    notes = warehouse.rows("SELECT usage_date FROM ai_usage.ops_restatements ORDER BY usage_date")
    assert [note["usage_date"] for note in notes] == [DAYS[0], DAYS[2]]


def test_a_rebuild_returns_its_rows(warehouse: Warehouse) -> None:
    """A rebuild returns the number of rows that it inserted."""
    warehouse.prepare([FACT])
    load_extract(warehouse, EVENTS, [batch(DAY, 1, 2), batch(NEXT_DAY, 3)], run_context())
    assert warehouse.rebuild(FACT, {"start_day": DAY, "end_day": NEXT_DAY}) == 2
    assert warehouse.rebuild(FACT, {"start_day": NEXT_DAY, "end_day": NEXT_DAY}) == 1
    assert warehouse.rebuild(FACT, {"start_day": date(2026, 1, 1), "end_day": date(2026, 1, 1)}) == 0


# --- BigQuery's jobs --------------------------------------------------------------------------------------------------


def job_kinds(server: FakeBigQuery) -> list[str]:
    """The kinds of the jobs that were started, in order."""
    return [
        request.kind for request in server.requests if request.kind in ("load", "query") and request.method != "GET"
    ]


def landing_tables(server: FakeBigQuery) -> list[str]:
    """The landing tables that exist."""
    return [name for name in server.catalog.tables("ai_usage") if name.startswith("landing_")]


def test_an_extract_is_one_load_and_one_transaction(bigquery: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Sixty days need three jobs: one reads the day log, one loads the records, one replaces the days."""
    extract = replace(EVENTS, fetch=lambda client, days: (batch(day, 1) for day in days))
    load_days(bigquery, extract, CLIENT, DAYS, run_context(), LOG)
    assert job_kinds(server) == ["query", "load", "query"]
    assert landing_tables(server) == []
    server.requests.clear()
    load_days(bigquery, extract, CLIENT, DAYS, run_context(1), LOG)
    assert job_kinds(server) == ["query", "query"]


def test_a_full_batch_is_loaded_at_once(bigquery: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Records are loaded when they fill a batch, so that an extract of any length fits into memory."""
    bigquery.batch_bytes = 3 * len(event(1))
    with ExtractLoader(bigquery, EVENTS, DAYS, run_context()) as loader:
        loaded = []
        for day in DAYS[:7]:
            loader.load([batch(day, 1)])
            loaded.append(len(loaded_records(server)))
    assert loaded[-1] >= 3
    assert sorted(loaded) == loaded
    assert len(loaded_records(server)) == 7
    assert 2 <= job_kinds(server).count("load") <= 4


FAULTS: dict[str, Callable[[FakeBigQuery], None]] = {
    "the landing table": lambda s: s.faults.fail_request("quotaExceeded", on="tables", times=9),
    "the load": lambda s: s.faults.fail_job("quotaExceeded", on="load", times=9),
    "the transaction": lambda s: s.faults.fail_job("quotaExceeded", on="query", times=9),
}


@pytest.mark.parametrize("stage", FAULTS)
def test_a_failure_changes_neither_day_nor_log(bigquery: BigQueryWarehouse, server: FakeBigQuery, stage: str) -> None:
    """Days and log stay as they were when any of the stages fails, and running again loads them."""
    bigquery.load_days([raw_day("a")], [log_entry(DAY, records=1)])
    FAULTS[stage](server)
    with pytest.raises(WarehouseError, match="Nothing was lost"):
        bigquery.load_days([raw_day("b", "c")], [log_entry(DAY, records=2)])
    server.faults.clear()
    assert loaded_records(server) == [(DAY, "a")]
    assert day_log(bigquery) == {DAY: ("complete", 1)}
    open_warehouse(server).load_days([raw_day("b", "c")], [log_entry(DAY, records=2, run_id="s")])
    assert loaded_records(server) == [(DAY, "b"), (DAY, "c")]
    assert day_log(bigquery) == {DAY: ("complete", 2)}


def test_a_run_killed_after_its_load_leaves_nothing_for_long(
    bigquery: BigQueryWarehouse, server: FakeBigQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days and log do not change, the landing table expires, and the next run loads the day."""

    class Killed(BaseException):
        pass

    def stop(*arguments: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(bigquery.jobs, "query", stop)
        # A killed process deletes nothing.
        patch.setattr(bigquery.jobs.client, "delete_table", stop)
        with pytest.raises(Killed):
            bigquery.load_days([raw_day("a")], [log_entry(DAY)])
    assert loaded_records(server) == []
    assert len(landing_tables(server)) == 1
    bigquery.load_days([raw_day("a")], [log_entry(DAY, run_id="next")])
    assert loaded_records(server) == [(DAY, "a")]
    server.today += timedelta(days=2)
    assert landing_tables(server) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("on", ["tables", "load", "job", "query", "results"])
def test_a_lost_response_repeats_no_work(bigquery: BigQueryWarehouse, server: FakeBigQuery, on: Any, when: Any) -> None:
    """Whichever request or response is lost, the day, the log and the restatement exist once."""
    server.faults.delay_job(1, on="load")
    server.faults.drop_connection(when, on=on)
    restated = {"asset": RAW.name, "vendor": "cursor", "usage_date": DAY, "restated_at": NOW, "run_id": "r"}
    bigquery.load_days([raw_day("a", "b")], [log_entry(DAY, records=2)], [restated])
    assert server.faults.remaining() == 0
    assert loaded_records(server) == [(DAY, "a"), (DAY, "b")]
    assert day_log(bigquery) == {DAY: ("complete", 2)}
    assert server.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_restatements") == [{"n": 1}]
    assert landing_tables(server) == []


def test_two_runs_of_the_same_days_leave_one_of_them(bigquery: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """The records of each day and its log entry are of the same run, although one transaction was aborted."""
    other = open_warehouse(server)

    def load(warehouse: BigQueryWarehouse, payloads: list[str], run_id: str, at: datetime) -> None:
        days = [raw_day(*payloads, day=day, fetched_at=at) for day in (DAY, NEXT_DAY)]
        warehouse.load_days(days, [log_entry(day, run_id=run_id, records=len(payloads)) for day in (DAY, NEXT_DAY)])

    with ThreadPoolExecutor(2) as pool:
        with server.faults.pause_commits() as paused:
            first = pool.submit(load, bigquery, ["a", "b", "c"], "first", NOW)
            paused.wait()
            second = pool.submit(load, other, ["d"], "second", NOW + timedelta(minutes=1))
        first.result(timeout=30)
        second.result(timeout=30)
    expected = {"first": ["a", "b", "c"], "second": ["d"]}
    entries = server.rows("SELECT usage_date, run_id, records FROM ai_usage.ops_asset_days ORDER BY usage_date")
    assert [entry["usage_date"] for entry in entries] == [DAY, NEXT_DAY]
    for entry in entries:
        payloads = [payload for day, payload in loaded_records(server) if day == entry["usage_date"]]
        assert payloads == expected[entry["run_id"]]
        assert entry["records"] == len(payloads)
    assert landing_tables(server) == []


def test_jobs_have_the_labels_of_their_run_and_asset(bigquery: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Jobs of a run have its id and their asset as labels, in the characters that BigQuery allows."""
    extract = replace(EVENTS, fetch=lambda client, days: (batch(day, 1) for day in days))
    with bigquery.run_lock("2B7C/x" + "y" * 80):
        load_days(bigquery, extract, CLIENT, [DAY], run_context(), LOG)
        bigquery.rebuild(FACT, {"start_day": DAY, "end_day": DAY})
    labels = [job.configuration["labels"] for job in server.jobs.all() if "run" in job.configuration["labels"]]
    assert [entry["asset"] for entry in labels] == ["cursor_usage_events"] * 3 + ["fct_x"]
    assert all(re.fullmatch("2b7c-xy{57}", entry["run"]) for entry in labels)
    bigquery.rows("SELECT 1 AS n")
    assert "run" not in server.jobs.all()[-1].configuration["labels"]


def test_a_query_that_costs_too_much_is_rejected(bigquery: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Every query has the limit; a query above it fails, and the message names the setting."""
    bigquery.load_days([raw_day("a" * 1000)], [log_entry(DAY)])
    limited = BigQueryWarehouse(PROJECT, emulator_url=server.url, max_bytes_billed=500)
    with pytest.raises(WarehouseError, match="AI_USAGE_MAX_BYTES_BILLED"):
        limited.rows(f"SELECT payload FROM ai_usage.{RAW.name} WHERE usage_date = @start_day", {"start_day": DAY})
    limited.rows("SELECT run_id FROM ai_usage.ops_runs")
    jobs = [job for job in server.jobs.all() if job.kind == "query"]
    # It is not tried again.
    assert sum("SELECT payload" in job.configuration["query"]["query"] for job in jobs) == 1
    assert json.loads(jobs[-1].configuration["query"]["maximumBytesBilled"]) == 500


def test_a_landing_table_is_no_table_of_the_project(bigquery: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Preparing the dataset ignores the landing table of a run that is active."""
    with server.faults.pause_commits() as paused, ThreadPoolExecutor(1) as pool:
        loading = pool.submit(bigquery.load_days, [raw_day("a")], [log_entry(DAY)])
        paused.wait()
        open_warehouse(server).prepare(OPS_TABLES)
        paused.release()
        loading.result(timeout=30)
    assert loaded_records(server) == [(DAY, "a")]


def test_only_older_rows_are_deleted(warehouse: Warehouse) -> None:
    """Rows from the given time on stay, and other tables are not touched."""
    row = {"asset": "a", "check_name": "c", "passed": True, "severity": "WARN", "blocking": False, "message": "m"}
    limit = datetime(2026, 11, 1, tzinfo=UTC)
    times = [limit - timedelta(seconds=1), limit, limit + timedelta(days=1)]
    warehouse.append(OPS_CHECK_RESULTS, [{**row, "run_id": f"r{n}", "checked_at": at} for n, at in enumerate(times)])
    warehouse.delete_older([(OPS_CHECK_RESULTS, "checked_at"), (OPS_RESTATEMENT_PARTS, "restated_at")], limit)
    rows = warehouse.rows("SELECT run_id FROM ai_usage.ops_check_results ORDER BY run_id")
    assert [stored["run_id"] for stored in rows] == ["r1", "r2"]
