"""The production warehouse, through Google's own client and real HTTP: whole days or nothing, whatever goes wrong."""

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
from ai_usage_assets.commands import sql_check
from ai_usage_assets.commands.doctor.warehouse import diagnose_warehouse
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS, OPS_TABLES
from ai_usage_assets.warehouse.tables import Column, Table
from ai_usage_assets_tests.fakes.bigquery.partition_filters import relations, unfiltered
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
    with FakeBigQuery() as made:
        yield made


@pytest.fixture
def server(shared: FakeBigQuery) -> FakeBigQuery:
    shared.reset()
    return shared


def opened(server: FakeBigQuery, **given: Any) -> BigQueryWarehouse:
    """A warehouse as another container would open it; it waits for nothing."""
    return BigQueryWarehouse(PROJECT, **{"emulator_url": server.url, "sleep": lambda seconds: None, **given})


@pytest.fixture
def warehouse(server: FakeBigQuery) -> BigQueryWarehouse:
    made = opened(server)
    made.prepare(TABLES)
    server.requests.clear()
    return made


@pytest.fixture
def client(server: FakeBigQuery) -> Iterator[bigquery.Client]:
    """A person with the console."""
    made = bigquery.Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": server.url}, location="US")
    yield made
    made.close()


def held(server: FakeBigQuery) -> list[tuple[date, str]]:
    rows = server.rows(f"SELECT usage_date, payload FROM ai_usage.{RAW.name} ORDER BY usage_date, record_no")
    return [(row["usage_date"], row["payload"]) for row in rows]


# --- rows ---------------------------------------------------------------------------------------------------------


def test_landing_replaces_whole_days_only(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A day landed again has its new records and none of the old; its neighbour is untouched, each has one entry."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    warehouse.load_days([raw_day("d")], [log_entry(DAY, records=1)])
    assert held(server) == [(DAY, "d"), (NEXT_DAY, "c")]
    logged = server.rows("SELECT usage_date, records FROM ai_usage.ops_asset_days ORDER BY usage_date")
    assert logged == [{"usage_date": DAY, "records": 1}, {"usage_date": NEXT_DAY, "records": None}]


def test_an_empty_day_replaces_a_full_one_when_it_is_landed(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Zero records are a result like any other."""
    warehouse.load_days([raw_day("a"), raw_day("b", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    warehouse.load_days([raw_day()], [log_entry(DAY)])
    assert held(server) == [(NEXT_DAY, "b")]


def test_rows_come_back_as_they_were_written(warehouse: BigQueryWarehouse) -> None:
    """Money to nine decimals, instants to the microsecond, nothing where nothing was."""
    row = log_entry(
        DAY, amount_usd=Decimal("-12345678901234567890.123456789"), completed_at=NOW + timedelta(microseconds=1),
        records=2**53 + 1, message="a 'quote', a \\ and a ☃\nof its own",
    )  # fmt: skip
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [row])
    (found,) = warehouse.rows("SELECT * FROM ai_usage.ops_asset_days WHERE usage_date = @start_day", DAYS)
    assert found == {name: row.get(name) for name in OPS_ASSET_DAYS.column_names}


def test_upsert_replaces_by_key_and_append_adds(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A second entry under the same key takes the place of the first; what is appended stands beside it."""
    row = {"run_id": "r", "job": "daily", "started_at": NOW, "outcome": "running", "version": "1"}
    warehouse.upsert(OPS_RUNS, ("run_id",), [row])
    warehouse.upsert(OPS_RUNS, ("run_id",), [row | {"outcome": "success"}, row | {"run_id": "s"}])
    warehouse.append(OPS_RUNS, [row | {"run_id": "t"}])
    found = server.rows("SELECT run_id, outcome FROM ai_usage.ops_runs ORDER BY run_id")
    assert [tuple(row.values()) for row in found] == [("r", "success"), ("s", "running"), ("t", "running")]


def test_rebuild_replaces_its_days_together(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """The days of the range are made anew, the others stay; a query that fails changes nothing."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    warehouse.rebuild(FACT, DAYS)
    warehouse.load_days([raw_day("d")], [log_entry(DAY)])
    warehouse.rebuild(FACT, {"start_day": DAY, "end_day": DAY})
    made = [{"usage_date": DAY, "records": 1}, {"usage_date": NEXT_DAY, "records": 1}]
    assert server.rows("SELECT * FROM ai_usage.fct_x ORDER BY usage_date") == made
    broken = replace(FACT, query=(FACT.query or "").replace("COUNT(*)", "DIV(1, COUNT(*) - COUNT(*))"))
    with pytest.raises(WarehouseError):
        warehouse.rebuild(broken, DAYS)
    assert server.rows("SELECT * FROM ai_usage.fct_x ORDER BY usage_date") == made


def test_errors_do_not_quote_rows(warehouse: BigQueryWarehouse) -> None:
    """What BigQuery stumbled over is not repeated: it may hold an address or a key."""
    with pytest.raises(WarehouseError) as caught:
        warehouse.rows("SELECT CAST('jane@example.com sk-ant-api03-abcdefgh01234567' AS INT64) AS n")
    assert "jane" not in str(caught.value)
    assert "abcdefgh" not in str(caught.value)
    assert caught.value.__suppress_context__


# --- whatever goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        lambda faults: faults.answer("backendError", on="load", times=2),
        lambda faults: faults.answer("backendError", on="query", times=2),
        lambda faults: faults.answer("rateLimitExceeded", status=429, on="load", times=2),
        lambda faults: faults.answer("rateLimitExceeded", status=429, on="query", times=2),
        lambda faults: (faults.keep_running(1, on="load"), faults.answer("backendError", on="job")),
        lambda faults: faults.drop("before", on="load"),
        lambda faults: faults.drop("after", on="load"),
        lambda faults: faults.drop("before", on="query"),
        lambda faults: faults.drop("after", on="query"),
        lambda faults: faults.drop("after", on="results"),
        lambda faults: faults.keep_running(1),
        lambda faults: faults.fail_job("backendError", on="load", times=2),
        lambda faults: faults.fail_job("backendError", on="query", times=2),
        lambda faults: faults.fail_job("jobRateLimitExceeded", on="load"),
    ],
    ids=[
        *("503 on load", "503 on query", "429 on load", "429 on query", "503 when asked for a job"),
        *("load unheard", "load answer lost", "query unheard", "query answer lost", "results lost", "slow jobs"),
        *("load fails twice", "query fails twice", "job limit"),
    ],
)  # fmt: skip
def test_a_fault_that_passes_leaves_one_effect(warehouse: BigQueryWarehouse, server: FakeBigQuery, fault: Any) -> None:
    """Work is done once, whether a request was not heard, its answer was lost, or a job had to be started again."""
    fault(server.faults)
    warehouse.load_days([raw_day("a", "b")], [log_entry(DAY)], [_restated()])
    warehouse.rebuild(FACT, DAYS)
    assert server.faults.unused() == 0
    assert held(server) == [(DAY, "a"), (DAY, "b")]
    assert server.rows("SELECT records FROM ai_usage.fct_x") == [{"records": 2}]
    for table in ("ops_asset_days", "ops_restatements"):
        assert server.rows(f"SELECT COUNT(*) AS n FROM ai_usage.{table}") == [{"n": 1}]


def _restated() -> dict[str, Any]:
    return {"asset": RAW.name, "vendor": "cursor", "usage_date": DAY, "restated_at": NOW, "run_id": "r"}


@pytest.mark.parametrize("on", ["load", "query"])
def test_a_start_that_was_not_heard_keeps_its_id(warehouse: BigQueryWarehouse, server: FakeBigQuery, on: Any) -> None:
    """It may be heard late, after the next: under one id the work is done once all the same."""
    server.faults.answer("backendError", on=on, times=2)
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    assert server.faults.unused() == 0
    started = {seen.job_id for seen in server.requests if seen.kind == on and seen.job_id}
    assert len(started) == 1


def test_a_load_whose_answer_was_lost_is_not_done_again(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """The job's own id tells that it was done, so the file goes over the wire once."""
    server.faults.drop("after", on="load")
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    assert len([seen for seen in server.requests if seen.kind == "load"]) == 1


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_day_too_large_for_one_request_is_sent_in_pieces(
    warehouse: BigQueryWarehouse, server: FakeBigQuery, lost: Any
) -> None:
    """A large file goes up resumably; whether its last piece was not heard or not answered, it is there once."""
    # Nothing that could be packed.
    large = random.Random(7).randbytes(6_000_000).hex()
    server.faults.drop(lost, on="load")
    warehouse.load_days([raw_day(large, "b")], [log_entry(DAY)])
    assert "upload" in {seen.kind for seen in server.requests}
    assert held(server) == [(DAY, large), (DAY, "b")]


def test_the_same_content_in_the_same_run_is_the_same_job(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Landed again by the same run it is found done; in another run, or with other content, it is another job."""
    for payload, run_id in (("a", "r"), ("a", "r"), ("b", "r"), ("a", "s")):
        warehouse.load_days([raw_day(payload)], [log_entry(DAY, run_id=run_id)])
    loads = [seen for seen in server.requests if seen.kind == "load"]
    assert len({seen.job_id for seen in loads}) == 3
    assert [seen.status for seen in loads] == [200, 409, 200, 200]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda s: s.faults.deny("ai_usage"), "roles/bigquery.dataEditor on the dataset ai_usage"),
        (lambda s: s.faults.answer("quotaExceeded", on="load", times=99), "when the quota allows"),
        (lambda s: s.faults.answer("backendError", on="load", times=99), "did not answer for minutes"),
    ],
    ids=["no access", "no quota", "no answer"],
)
def test_a_fault_that_lasts_is_told_and_changes_nothing(
    warehouse: BigQueryWarehouse, server: FakeBigQuery, fault: Any, says: str
) -> None:
    """What was held stays, with its log, and the message says what to do."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY, records=1)])
    fault(server)
    with pytest.raises(WarehouseError, match=says):
        warehouse.load_days([raw_day("b", "c")], [log_entry(DAY, records=2)])
    server.faults.clear()
    assert held(server) == [(DAY, "a")]
    assert server.rows("SELECT records FROM ai_usage.ops_asset_days") == [{"records": 1}]


def test_a_transaction_that_loses_its_race_is_tried_again(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Two containers that rebuild the same days at once both end, and the days are there once."""
    warehouse.load_days([raw_day("a", "b"), raw_day("c", day=NEXT_DAY)], [log_entry(DAY), log_entry(NEXT_DAY)])
    with ThreadPoolExecutor(2) as pool:
        with server.faults.holding_commits() as first:
            one = pool.submit(warehouse.rebuild, FACT, DAYS)
            first.wait()
            other = pool.submit(opened(server).rebuild, FACT, DAYS)
        one.result(timeout=30)
        other.result(timeout=30)
    assert server.rows("SELECT records FROM ai_usage.fct_x ORDER BY usage_date") == [{"records": 2}, {"records": 1}]


def test_a_race_is_lost_for_long_before_it_is_given_up(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """What other runs hold up is tried for as long as their last statement may take, what fails else six times."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    lost = "Transaction is aborted due to concurrent update against table acme-project:ai_usage.fct_x."
    server.faults.fail_job("invalidQuery", message=lost, on="query", times=30)
    warehouse.rebuild(FACT, DAYS)
    assert server.rows("SELECT records FROM ai_usage.fct_x") == [{"records": 1}]
    server.faults.fail_job("backendError", on="query", times=30)
    with pytest.raises(WarehouseError):
        warehouse.rebuild(FACT, DAYS)
    assert server.faults.unused() == 24


def test_many_rows_travel_in_several_requests(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A log of many days is written in parts that a request can hold, each entry with what it restates."""
    days = [DAY + timedelta(days=n) for n in range(2001)]
    restated = [
        {"asset": RAW.name, "vendor": "x", "usage_date": of, "run_id": "r", "restated_at": NOW} for of in days[-2:]
    ]
    warehouse.load_days([], [log_entry(of) for of in days], restated)
    assert [seen.kind for seen in server.requests if seen.kind == "query"] == ["query"] * 2
    counted = [
        server.rows(f"SELECT COUNT(*) AS n FROM ai_usage.ops_{name}")[0]["n"] for name in ("asset_days", "restatements")
    ]
    assert counted == [2001, 2]


def _event(cents: int, model: str = "m1") -> str:
    return f'{{"timestamp": "1794300000000", "kind": "Usage-based", "model": "{model}", "chargedCents": {cents}}}'


def test_a_restated_day_keeps_what_changed(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """The old version is looked at before it is replaced, the new one after, and the difference goes with the log."""
    warehouse.load_days([raw_day(_event(100), _event(50, "m2"))], [log_entry(DAY)])
    changed = _restated() | {"old_amount_usd": Decimal("1.5"), "new_amount_usd": Decimal("3.5")}
    warehouse.load_days([raw_day(_event(300), _event(50, "m2"))], [log_entry(DAY)], [changed])
    found = server.rows(
        "SELECT cost_basis, dimension, dimension_value, old_amount_usd, new_amount_usd, run_id "
        "FROM ai_usage.ops_restatement_parts ORDER BY dimension"
    )
    assert [tuple(row.values()) for row in found] == [
        ("billed", "model", "m1", Decimal(1), Decimal(3), "r"),
        ("billed", "principal", None, Decimal("1.5"), Decimal("3.5"), "r"),
        ("billed", "total", None, Decimal("1.5"), Decimal("3.5"), "r"),
    ]


def test_a_day_and_what_changed_in_it_travel_together(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """However many parts days have, a request holds whole days only, so that none is told in part."""
    days = [DAY, NEXT_DAY]
    many = [[_event(cents + n, f"m{n}") for n in range(1001)] for cents in (1, 2)]
    usd = [Decimal(sum(range(first, first + 1001))) / 100 for first in (1, 2)]
    warehouse.load_days([raw_day(*many[0], day=of) for of in days], [log_entry(of) for of in days])
    server.requests.clear()
    restated = [_restated() | {"usage_date": of, "old_amount_usd": usd[0], "new_amount_usd": usd[1]} for of in days]
    warehouse.load_days([raw_day(*many[1], day=of) for of in days], [log_entry(of) for of in days], restated)
    # Two looks, and one request for each day.
    assert [seen.kind for seen in server.requests if seen.kind == "query"] == ["query"] * 4
    found = server.rows("SELECT usage_date, COUNT(*) AS n FROM ai_usage.ops_restatement_parts GROUP BY usage_date")
    assert {row["usage_date"]: row["n"] for row in found} == dict.fromkeys(days, 1003)


def test_two_containers_land_the_same_days_at_once(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """Whoever comes last, each day has the records of one of them, whole, and one log entry."""
    ours, theirs = ["a", "b", "c"], ["a", "b"]

    def landing(other: BigQueryWarehouse, payloads: list[str], run_id: str, at: datetime) -> None:
        for _ in range(3):
            other.load_days(
                [raw_day(*payloads, fetched_at=at), raw_day(*payloads, day=NEXT_DAY, fetched_at=at)],
                [log_entry(of, run_id=run_id, content_digest=run_id, records=len(payloads)) for of in (DAY, NEXT_DAY)],
            )

    with ThreadPoolExecutor(2) as pool:
        for done in (
            pool.submit(landing, opened(server), ours, "ours", NOW),
            pool.submit(landing, opened(server), theirs, "theirs", NOW + timedelta(minutes=1)),
        ):
            done.result(timeout=60)
    for of in (DAY, NEXT_DAY):
        assert [payload for found, payload in held(server) if found == of] in (ours, theirs)
    assert server.rows("SELECT COUNT(*) AS n FROM ai_usage.ops_asset_days") == [{"n": 2}]


# --- the dataset, its tables and views ----------------------------------------------------------------------------


def test_the_dataset_lies_in_the_united_states(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    """Where it is made, and where all its jobs run, is a matter of compliance."""
    assert client.get_dataset("ai_usage").location == "US"
    assert warehouse.jobs.client.location == "US"


def test_a_dataset_elsewhere_is_refused(server: FakeBigQuery, client: bigquery.Client) -> None:
    """Data that lies where it may not is told, and nothing is put there."""
    elsewhere = bigquery.Dataset(f"{PROJECT}.ai_usage")
    elsewhere.location = "EU"
    client.create_dataset(elsewhere)
    with pytest.raises(WarehouseError, match="is in the location EU, expected US"):
        opened(server).prepare(TABLES)
    assert list(client.list_tables("ai_usage")) == []


def test_tables_are_laid_out_and_described(warehouse: BigQueryWarehouse, client: bigquery.Client) -> None:
    """Partitioned by day, clustered, described, labelled; raw days cannot be read without saying which."""
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


def test_no_table_of_the_project_can_lose_its_filter() -> None:
    """Every raw table of days, which are by far the most there is, asks for a filter; each has a DATE to filter by."""
    daily = [table for table in catalog.raw() if table.partition_by == "usage_date"]
    made = BigQueryWarehouse(PROJECT)
    assert len(daily) > 5
    for table in daily:
        assert made.schema.definition(table).require_partition_filter is True, table.name


def test_preparing_again_changes_nothing(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """With everything in place, only questions are asked."""
    opened(server).prepare(TABLES)
    assert {seen.method for seen in server.requests} == {"GET"}


def test_a_view_is_made_again_only_when_it_changes(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A new definition replaces the old in place."""
    view = Table("stg_x", "staging", "X.", (Column("a", None, 'A "b" \\ c.'),), is_view=True, query="SELECT 1 AS a")
    warehouse.prepare([view])
    server.requests.clear()
    warehouse.prepare([view])
    assert {seen.method for seen in server.requests} == {"GET"}
    warehouse.prepare([replace(view, query="SELECT 2 AS a")])
    assert server.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 2}]


@pytest.mark.parametrize("how", ["replaced", "edited"])
def test_a_view_changed_by_hand_is_told_and_restored(
    warehouse: BigQueryWarehouse,
    server: FakeBigQuery,
    client: bigquery.Client,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    """Whether somebody replaced it by a statement or edited its query, the next run says so and puts it back."""
    view = Table("stg_x", "staging", "X.", (Column("a", None, "A."),), is_view=True, query="SELECT 1 AS a")
    warehouse.prepare([view])
    if how == "replaced":
        client.query("CREATE OR REPLACE VIEW ai_usage.stg_x AS SELECT 7 AS a").result()
    else:
        found = client.get_table("ai_usage.stg_x")
        found.view_query = "SELECT 7 AS a"
        client.update_table(found, ["view_query"])
    with caplog.at_level(logging.WARNING):
        warehouse.prepare([view])
    assert "stg_x was changed manually" in caplog.text
    assert "SELECT 7 AS a" in caplog.text
    assert server.rows("SELECT a FROM ai_usage.stg_x") == [{"a": 1}]
    caplog.clear()
    warehouse.prepare([view])
    assert caplog.text == ""


def test_a_dataset_of_another_version_is_brought_forward(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A table gains columns, descriptions and layout, and no row is lost."""
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
    assert held(server) == [(DAY, "a")]
    found = warehouse.jobs.client.get_table(f"ai_usage.{RAW.name}")
    assert (found.description, found.clustering_fields) == ("Another.", ["record_no"])
    assert [(f.name, f.mode) for f in found.schema][-1] == ("extra", "NULLABLE")
    found.schema = [SchemaField(f.name, f.field_type, "NULLABLE") for f in found.schema]
    warehouse.jobs.client.update_table(found, ["schema"])
    warehouse.prepare([RAW])
    warehouse.load_days([raw_day("b", day=NEXT_DAY)], [log_entry(NEXT_DAY)])
    assert held(server) == [(DAY, "a"), (NEXT_DAY, "b")]
    warehouse.prepare([wider])
    server.requests.clear()
    warehouse.prepare([wider])
    assert {seen.method for seen in server.requests} == {"GET"}


def test_a_changed_type_is_refused_in_words(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """What cannot be brought forward is told before anything is written; what is made from others is made again."""
    warehouse.load_days([raw_day("a")], [log_entry(DAY)])
    number = replace(RAW, columns=tuple(replace(c, type="INT64") if c.name == "payload" else c for c in RAW.columns))
    assert warehouse.schema_conflicts([number]) == [
        f"acme-project.ai_usage.{RAW.name}.payload has the type STRING, expected INT64: another version of this "
        f"project wrote the dataset. Keep a copy of {RAW.name} and use that version."
    ]
    with pytest.raises(WarehouseError, match="payload has the type STRING, expected INT64"):
        warehouse.prepare([number])
    assert held(server) == [(DAY, "a")]
    texts = replace(FACT, columns=(FACT.columns[0], replace(FACT.columns[1], type="NUMERIC")))
    warehouse.prepare([texts])
    assert warehouse.column_types(texts) == {"usage_date": "DATE", "records": "NUMERIC"}


def test_two_containers_may_start_at_once(server: FakeBigQuery) -> None:
    """Both make and describe the same tables and views, and neither stumbles over what the other has just done."""
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(opened(server).prepare, TABLES) for _ in range(3)]:
            done.result(timeout=60)
    again = replace(RAW, description="Another.")
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(opened(server).prepare, [again]) for _ in range(3)]:
            done.result(timeout=60)
    assert opened(server).jobs.client.get_table(f"ai_usage.{RAW.name}").description == "Another."


def test_nothing_is_there_before_the_first_run(server: FakeBigQuery) -> None:
    """Who only looks finds that nothing was ever prepared, and makes nothing."""
    assert opened(server).schema_conflicts(TABLES) is None
    assert {seen.method for seen in server.requests} == {"GET"}


def test_raw_records_may_expire_and_facts_stay(
    warehouse: BigQueryWarehouse, server: FakeBigQuery, client: bigquery.Client
) -> None:
    """Off unless asked for; a day whose records are gone is not made again of nothing."""
    short = BigQueryWarehouse(PROJECT, emulator_url=server.url, raw_expiry_days=90)
    short.prepare(TABLES)
    assert client.get_table(f"ai_usage.{RAW.name}").time_partitioning.expiration_ms == 90 * 86_400_000
    gone = {"start_day": date(2026, 8, 1), "end_day": NEXT_DAY, "today": date(2026, 11, 20)}
    with pytest.raises(WarehouseError, match="those before 2026-08-22 are gone"):
        short.rebuild(FACT, gone)
    warehouse.rebuild(FACT, gone)
    warehouse.prepare(TABLES)
    assert client.get_table(f"ai_usage.{RAW.name}").time_partitioning.expiration_ms is None


def test_another_dataset_is_another_company(server: FakeBigQuery, client: bigquery.Client) -> None:
    """The name under which it is written in the project's SQL is only a name."""
    other = opened(server, dataset="finance_ai")
    other.prepare(TABLES)
    other.load_days([raw_day("a")], [log_entry(DAY)])
    other.rebuild(FACT, DAYS)
    assert other.rows("SELECT records FROM ai_usage.fct_x WHERE usage_date = @start_day", DAYS) == [{"records": 1}]
    with pytest.raises(NotFound):
        client.get_dataset("ai_usage")


def test_a_run_counts_as_at_work_until_no_task_can_be(warehouse: BigQueryWarehouse) -> None:
    """A run that never said how it ended is taken for killed when it began longer ago than any may last."""
    now = datetime.now(UTC)
    row = {"job": "daily", "outcome": "running", "version": "1"}
    for name, started in (("new", now), ("old", now - timedelta(days=2))):
        warehouse.upsert(OPS_RUNS, ("run_id",), [row | {"run_id": name, "started_at": started}])
    assert (warehouse.is_run_active("new"), warehouse.is_run_active("old"), warehouse.is_run_active("none")) == (
        True,
        False,
        False,
    )


def test_an_estimate_does_nothing(warehouse: BigQueryWarehouse, server: FakeBigQuery) -> None:
    """A dry run tells what would be read, or why not, and changes nothing."""
    warehouse.load_days([raw_day("a" * 1000)], [log_entry(DAY)])
    assert warehouse.estimate_bytes(FACT.query or "", DAYS) > 0
    warehouse.estimate_bytes(f"DELETE FROM ai_usage.{RAW.name} WHERE usage_date = @start_day", DAYS)
    assert len(held(server)) == 1
    with pytest.raises(WarehouseError, match="nosuch"):
        warehouse.estimate_bytes("SELECT nosuch FROM ai_usage.ops_runs")


# --- what is read -------------------------------------------------------------------------------------------------

KNOWN = relations(catalog.tables())
# A version of the sheet is a few hundred rows, and every version ever read may be the one in force.
SHEET = "raw_mapping_sheet"


@pytest.mark.parametrize("table", [t for t in catalog.models() if not t.is_view], ids=lambda table: table.name)
def test_what_a_run_makes_reads_only_its_days(table: Table) -> None:
    """No statement that fills a table reads all partitions of a raw or fact table."""
    read = {found.table for found in unfiltered(table.query or "", KNOWN)}
    assert read <= {f"ai_usage.{SHEET}"}


@pytest.mark.parametrize(
    "view", [t for t in catalog.models() if t.is_view and t.layer != "staging"], ids=lambda table: table.name
)
def test_no_view_of_finance_reads_all_raw_days(view: Table) -> None:
    """Who opens a view may read all days of facts, which are small, and never all raw records."""
    read = {found.table.removeprefix("ai_usage.") for found in unfiltered(f"SELECT * FROM ai_usage.{view.name}", KNOWN)}
    assert {name for name in read if name.startswith("raw_")} <= {SHEET}


# --- what a person is told ----------------------------------------------------------------------------------------


def production(server: FakeBigQuery) -> Settings:
    return Settings(warehouse="bigquery", project=PROJECT, bigquery_emulator=server.url, fixed_now=NOW)


def test_the_doctor_examines_the_dataset(server: FakeBigQuery) -> None:
    """Before the first run, after it, and without access: each is told with what to do, and nothing is changed."""

    def told() -> list[tuple[str, str]]:
        return [(found.subject, found.outcome) for found in diagnose_warehouse(production(server))]

    assert told() == [("dataset", "ok"), ("tables", "info"), ("rights", "info")]
    opened(server).prepare(catalog.tables())
    server.requests.clear()
    assert told() == [
        *(("dataset", "ok"), ("tables", "ok"), ("days", "info"), ("rights", "ok")),
    ]
    assert {seen.method for seen in server.requests if seen.kind != "query"} == {"GET"}
    server.faults.deny("ai_usage")
    assert [outcome for _, outcome in told()] == ["error"]


def test_every_statement_is_tried_without_being_done(server: FakeBigQuery, capsys: pytest.CaptureFixture[str]) -> None:
    """`sql check --real` tells the bytes of each statement, and which one BigQuery refuses; it changes nothing."""
    warehouse = opened(server)
    warehouse.prepare(catalog.tables())
    warehouse.load_days([raw_day("a" * 1000)], [log_entry(DAY)])
    before = len(server.requests)
    assert sql_check.real(production(server), Console(width=100)) == 0
    shown = capsys.readouterr().out
    assert f"{len(catalog.models())} of {len(catalog.models())} are valid" in shown
    assert all(table.name in shown for table in catalog.models())
    assert {seen.method for seen in server.requests[before:] if seen.kind != "query"} == {"GET"}
    warehouse.jobs.client.delete_table(f"ai_usage.{STAGED.name}")
    assert sql_check.real(production(server), Console(width=100)) == 1
    count = len(catalog.models())
    assert f"{count - 2} of {count} are valid" in capsys.readouterr().out
