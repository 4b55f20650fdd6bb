"""The smoke test against a fake Metabase."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_usage_assets.cli import main
from ai_usage_assets.metabase import apply, smoke
from ai_usage_assets.metabase.spec_models import Spec
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.fakes.metabase import FakeMetabase, Fault
from ai_usage_assets_tests.metabase.instance import (
    ACCOUNT,
    API_KEY,
    connect,
    dashboards_spec,
    make_spec,
    serve_metabase,
    spec_dict,
    write_files,
)

ADA = "ada@acme.test"
TOTAL, PEOPLE, MONTHS = "/card/3/query", "/card/4/query", "/api/card/1/query"


def with_months(sql: str | None = None) -> dict[str, Any]:
    """The small spec; `sql` replaces the values of its filter."""
    given = spec_dict()
    if sql:
        given["filters"]["month"]["sql"] = sql
    return given


@pytest.fixture(scope="module")
def small_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """Create the tables of the small_warehouse spec: two months, two teams, one person."""
    path = tmp_path_factory.mktemp("small_warehouse") / "small_warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA ai_usage")
        for table, whose, names in (
            ("kpi_spend_monthly", "team", ("Web", "Data")),
            ("kpi_spend_by_person", "person_email", (ADA, ADA)),
        ):
            connection.execute(
                f"CREATE TABLE ai_usage.{table} AS "
                f"SELECT * FROM (VALUES ('2026-11', '{names[0]}', 7.5::DECIMAL(38, 9)), "
                f"('2026-10', '{names[1]}', 5::DECIMAL(38, 9))) AS given (month, {whose}, spend_usd)"
            )
    warehouse = DuckDBWarehouse(path)
    yield warehouse
    warehouse.close()


def run(metabase: FakeMetabase, given: Spec) -> list[smoke.SmokeResult]:
    """Apply a spec, run the smoke test and return its results."""
    results: list[smoke.SmokeResult] = []
    with connect(metabase) as context:
        apply.apply(context, given, lambda _: None)
        smoke.run_smoke_test(context, given, results.append)
    return results


def failures(results: list[smoke.SmokeResult]) -> list[str]:
    """Return the failures of all results."""
    return [line for each in results for line in each.failures]


def test_the_dashboards_pass(closed_year: DuckDBWarehouse) -> None:
    """Every card of the real dashboards works with a simulated year, and every filter has an effect."""
    given = dashboards_spec()
    with serve_metabase(warehouse=closed_year) as metabase:
        results = run(metabase, given)
    assert metabase.ignored == []
    assert failures(results) == []
    assert [each.name for each in results[1:]] == [each.name for each in given.dashboards]
    paths = [each.path for each in metabase.requests if each.path.endswith("/query")]
    assert all(path.startswith("/api/card/") for path in paths[: len(given.filters)])
    assert len(set(paths)) == len(given.filters) + sum(len(each.cards) for each in given.dashboards)


def test_results_count_values_and_queries(small_warehouse: DuckDBWarehouse) -> None:
    """The results have the number of values of each filter and of queries of each dashboard."""
    with serve_metabase(warehouse=small_warehouse, has_column_types=False) as metabase:
        results = run(metabase, make_spec(with_months()))
    assert [f"{each.name}: {each.summary}" for each in results] == [
        "Filter values: month 2",
        "AI spend overview: 2 cards without filters, month with 1 and with 2: 4 queries",
        "People: 1 cards without filters, month with 1 and with 2: 3 queries",
    ]
    assert failures(results) == []


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (Fault("error", "POST", TOTAL, times=1), []),
        (
            Fault("error", "POST", TOTAL, times=4),
            [f"overview.yaml: card total, without filters: .* rejected POST .*{TOTAL} .503.: Service Unavailable"],
        ),
        (
            Fault("failed", "POST", TOTAL),
            ["overview.yaml: card total, without filters: the query failed: Unrecognized name: spent at .1:8."],
        ),
        (
            Fault("renamed", "POST", TOTAL),
            [
                "overview.yaml: card total, without filters: columns uses column spend_usd, which .*",
                "overview.yaml: card total, without filters: scalar.field uses column spend_usd, which .*",
                "overview.yaml: card total, without filters: column spend_usd_2 is not described under columns",
            ],
        ),
        (Fault("failed", "POST", MONTHS), ["filters.yaml: month: the query failed: Unrecognized name.*"]),
        (Fault("renamed", "POST", MONTHS), ["filters.yaml: month: the SQL does not return the column month"]),
        (Fault("unfiltered", "POST", PEOPLE, times=9), ["people.yaml: filter month has no effect on any card"]),
    ],
    ids=lambda value: f"{value.kind} {value.path}" if isinstance(value, Fault) else "",
)
def test_failures_name_the_card(small_warehouse: DuckDBWarehouse, fault: Fault, lines: list[str]) -> None:
    """A failing query, a missing column and an ignored filter are reported; one 5xx is retried."""
    with serve_metabase(warehouse=small_warehouse, faults=[fault]) as metabase:
        results = failures(run(metabase, make_spec(with_months())))
    assert len(results) == len(lines)
    for line, pattern in zip(results, lines, strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize(
    "data",
    [
        {"rows": 5},
        {"rows": [1, 2]},
        {"cols": "x"},
        {"cols": [1]},
        {"rows": [[1]], "cols": [{"name": ["a"], "base_type": ["b"]}]},
        {"rows": [[1]], "cols": [{"name": "\ud800", "base_type": "type/Text"}]},
    ],
    ids=str,
)
def test_unexpected_query_results_are_failures(small_warehouse: DuckDBWarehouse, data: dict[str, Any]) -> None:
    """The failure names the request, and the other cards are still queried."""
    response = {"status": "completed", "data": data}
    with serve_metabase(warehouse=small_warehouse) as metabase:
        metabase.responses |= {f"POST {MONTHS}": response, f"POST /api/dashboard/1/dashcard/4{TOTAL}": response}
        results = failures(run(metabase, make_spec(with_months())))
    assert [line.partition(": Metabase at ")[0] for line in results] == [
        "filters.yaml: month", "overview.yaml: card total, without filters",
    ]  # fmt: skip
    assert all("with an unexpected response" in line for line in results)


def test_a_filter_that_affects_a_shared_card_only_is_a_failure(small_warehouse: DuckDBWarehouse) -> None:
    """At least one of the dashboard's own cards must use it."""
    with serve_metabase(warehouse=small_warehouse) as metabase:
        results = failures(run(metabase, make_spec({**with_months(), "shared": ["people"]})))
    assert results == ["people.yaml: filter month has no effect on any card"]


def test_a_card_that_fails_with_a_filter_is_reported_per_choice(small_warehouse: DuckDBWarehouse) -> None:
    """Once for one value and once for two, and not as a filter without effect."""
    given = with_months()
    people = given["dashboards"][1]["cards"]["people"]
    people["sql"] = people["sql"].replace("[[AND month IN", "[[AND months IN")
    with serve_metabase(warehouse=small_warehouse) as metabase:
        results = failures(run(metabase, make_spec(given)))
    begins = [f"people.yaml: card people, month with {count}: the query failed: " for count in (1, 2)]
    assert [line.startswith(begin) for line, begin in zip(results, begins, strict=True)] == [True, True]
    assert not any(ADA in line for line in results)


@pytest.mark.parametrize(
    ("months", "lines", "summary"),
    [
        ("SELECT '2026-11' AS month", [], "month 1"),
        ("SELECT '2026-11' AS month WHERE FALSE", ["no values; check that a pipeline run has completed"], "month 0"),
        ("SELECT NULLIF(month, '2026-11') AS month FROM ai_usage.kpi_spend_monthly", ["a value is empty "], "month 1"),
        (
            "SELECT CAST(number AS STRING) AS month FROM UNNEST(GENERATE_ARRAY(1, 1001)) AS number",
            [],
            "month 1001 (Metabase lists 1000)",
        ),
    ],
)
def test_filter_values_are_validated(
    small_warehouse: DuckDBWarehouse, months: str, lines: list[str], summary: str
) -> None:
    """No values or an empty value is a failure; more values than Metabase lists are reported."""
    with serve_metabase(warehouse=small_warehouse) as metabase:
        results = run(metabase, make_spec(with_months(months)))
    assert results[0].summary == summary
    reported = failures(results)
    assert len(reported) == len(lines)
    for line, begin in zip(reported, lines, strict=True):
        assert line.startswith(f"filters.yaml: month: {begin}")


def test_exit_codes_of_smoke(
    small_warehouse: DuckDBWarehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 for success, 1 for a failure, and 3 before any query if a manual edit was kept."""
    account, key = tmp_path / "account.json", tmp_path / "key"
    account.write_text(ACCOUNT)
    key.write_text(API_KEY)
    command = ["metabase", "smoke", "--from", str(write_files(tmp_path / "deploy", with_months()))]
    with serve_metabase(warehouse=small_warehouse) as metabase:
        for name, value in {
            "GOOGLE_CLOUD_PROJECT": "p",
            "AI_USAGE_METABASE_URL": metabase.url,
            "AI_USAGE_METABASE_API_KEY": f"file:{key}",
            "AI_USAGE_METABASE_SERVICE_ACCOUNT": f"file:{account}",
        }.items():
            monkeypatch.setenv(name, value)
        codes = [main(command)]
        metabase.faults.append(Fault("failed", "POST", PEOPLE))
        codes.append(main(command))
        metabase.card("Spend")["display"] = "table"
        before = len(metabase.requests)
        codes.append(main(command))
        assert not any(each.path.endswith("/query") for each in metabase.requests[before:])
        codes.append(main([*command, "--restore"]))
    assert codes == [0, 1, 3, 0]
    output = capsys.readouterr().out
    assert "Smoke test passed: all cards and filters work." in output
    assert "\n  people.yaml: card people, without filters: the query failed: Unrecognized name" in output
    assert "`ai-usage metabase apply --restore` overwrites" in output
    assert ADA not in output
