"""What is tried of the dashboards in Metabase itself, and what of its answers is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_usage_assets.cli import main
from ai_usage_assets.metabase import apply, smoke
from ai_usage_assets.metabase import spec as specs
from ai_usage_assets.metabase.spec import Spec
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.fakes.metabase import FakeMetabase, Fault
from ai_usage_assets_tests.metabase.instance import ACCOUNT, KEY, a_metabase, folder, site, spec, wanted

ADA = "ada@acme.test"
TOTAL, PEOPLE, MONTHS = "/card/3/query", "/card/4/query", "/api/card/1/query"


def described(months: str | None = None) -> dict[str, Any]:
    """The small dashboards with everything that is said of their columns; `months` are what the filter offers."""
    given = wanted()
    overview, people = given["dashboards"]
    overview["cards"]["total"] |= {"settings": {"scalar.field": "spend_usd"}, "columns": {"spend_usd": {"form": "usd"}}}
    overview["cards"]["spend"]["columns"] |= {"month": {}, "team": {}}
    people["cards"]["people"]["columns"] |= {"month": {}, "person_email": {}}
    if months:
        given["filters"]["month"]["sql"] = months
    return given


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """A warehouse of what the small dashboards ask for: two months, two teams, one person."""
    path = tmp_path_factory.mktemp("small") / "small.duckdb"
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


def tried(metabase: FakeMetabase, given: Spec) -> list[smoke.SmokeResult]:
    """What is told of dashboards that were just applied."""
    one, told = site(metabase), list[smoke.SmokeResult]()
    try:
        apply.apply(one, given, lambda _: None)
        smoke.smoke(one, given, told.append)
    finally:
        one.server.close()
    return told


def wrong(told: list[smoke.SmokeResult]) -> list[str]:
    """What is wrong, of everything."""
    return [line for each in told for line in each.wrong]


def test_the_dashboards_pass(books: DuckDBWarehouse) -> None:
    """Every card of the real dashboards answers a year as Metabase asks, and each of their filters changes a card."""
    given = specs.read_spec()
    with a_metabase(warehouse=books) as metabase:
        told = tried(metabase, given)
    assert metabase.dropped == []
    assert wrong(told) == []
    assert [each.name for each in told[1:]] == [each.name for each in given.dashboards]
    asked = [each.path for each in metabase.seen if each.path.endswith("/query")]
    assert all(path.startswith("/api/card/") for path in asked[: len(given.filters)])
    assert len(set(asked)) == len(given.filters) + sum(len(each.cards) for each in given.dashboards)


def test_what_was_tried_is_told(small: DuckDBWarehouse) -> None:
    """Of each filter how much it offers and how much was chosen, and of each dashboard how many queries it took."""
    with a_metabase(warehouse=small, types_columns=False) as metabase:
        told = tried(metabase, spec(described()))
    assert [f"{each.name}: {each.how}" for each in told] == [
        "Values of filters: month 2",
        "AI spend overview: 2 cards without filters, month with 1 and with 2: 4 queries",
        "People: 1 cards without filters, month with 1 and with 2: 3 queries",
    ]
    assert wrong(told) == []


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (Fault("error", "POST", TOTAL, times=1), []),
        (
            Fault("error", "POST", TOTAL, times=4),
            [f"overview.yaml: card total, without filters: .* refused POST .*{TOTAL} .503.: Service Unavailable"],
        ),
        (
            Fault("failed", "POST", TOTAL),
            ["overview.yaml: card total, without filters: Metabase says: Unrecognized name: spent at .1:8."],
        ),
        (
            Fault("renamed", "POST", TOTAL),
            [
                "overview.yaml: card total, without filters: columns names spend_usd, which the SQL does not return",
                "overview.yaml: card total, without filters: scalar.field names spend_usd, which .*",
                "overview.yaml: card total, without filters: spend_usd_2 is returned and not described in columns",
            ],
        ),
        (Fault("failed", "POST", MONTHS), ["filters.yaml: month: Metabase says: Unrecognized name.*"]),
        (Fault("renamed", "POST", MONTHS), ["filters.yaml: month: the values are in month, which the SQL does not .*"]),
        (Fault("unfiltered", "POST", PEOPLE, times=9), ["people.yaml: filter month changes nothing on any card"]),
    ],
    ids=lambda value: f"{value.kind} {value.path}" if isinstance(value, Fault) else "",
)
def test_what_is_wrong_is_told(small: DuckDBWarehouse, fault: Fault, lines: list[str]) -> None:
    """A query that fails, a column that is missing and a filter that is ignored are named; one 5xx is asked again."""
    with a_metabase(warehouse=small, faults=[fault]) as metabase:
        told = wrong(tried(metabase, spec(described())))
    assert len(told) == len(lines)
    for line, pattern in zip(told, lines, strict=True):
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
def test_rows_that_are_something_else_are_told(small: DuckDBWarehouse, data: dict[str, Any]) -> None:
    """Of a filter's card and of a dashboard's, with what was asked; the others are asked on."""
    odd = {"status": "completed", "data": data}
    with a_metabase(warehouse=small) as metabase:
        metabase.odd |= {f"POST {MONTHS}": odd, f"POST /api/dashboard/1/dashcard/4{TOTAL}": odd}
        told = wrong(tried(metabase, spec(described())))
    assert [line.partition(": Metabase at ")[0] for line in told] == [
        "filters.yaml: month", "overview.yaml: card total, without filters",
    ]  # fmt: skip
    assert all("with something else than was expected" in line for line in told)


def test_a_filter_that_changes_what_all_dashboards_show_alone_is_told(small: DuckDBWarehouse) -> None:
    """A shared card minds it, and no card of the dashboard's own."""
    with a_metabase(warehouse=small) as metabase:
        told = wrong(tried(metabase, spec({**described(), "shared": ["people"]})))
    assert told == ["people.yaml: filter month changes nothing on any card"]


def test_a_card_that_fails_with_a_filter_alone_is_told(small: DuckDBWarehouse) -> None:
    """Once for one value and once for two, and nobody says that the filter changes nothing."""
    given = described()
    people = given["dashboards"][1]["cards"]["people"]
    people["sql"] = people["sql"].replace("[[AND month IN", "[[AND months IN")
    with a_metabase(warehouse=small) as metabase:
        told = wrong(tried(metabase, spec(given)))
    begins = [f"people.yaml: card people, month with {count}: Metabase says: " for count in (1, 2)]
    assert [line.startswith(begin) for line, begin in zip(told, begins, strict=True)] == [True, True]
    assert not any(ADA in line for line in told)


@pytest.mark.parametrize(
    ("months", "lines", "how"),
    [
        ("SELECT '2026-11' AS month", [], "month 1"),
        ("SELECT '2026-11' AS month WHERE FALSE", ["there is nothing to choose; did the first run end?"], "month 0"),
        ("SELECT NULLIF(month, '2026-11') AS month FROM ai_usage.kpi_spend_monthly", ["a value is empty, "], "month 1"),
        (
            "SELECT CAST(number AS STRING) AS month FROM UNNEST(GENERATE_ARRAY(1, 1001)) AS number",
            [],
            "month 1001, of which Metabase lists 1000",
        ),
    ],
)
def test_what_a_filter_offers_is_looked_at(small: DuckDBWarehouse, months: str, lines: list[str], how: str) -> None:
    """None or an empty value is wrong; one alone need not change anything; more than Metabase lists is told."""
    with a_metabase(warehouse=small) as metabase:
        told = tried(metabase, spec(described(months)))
    assert told[0].how == how
    found = wrong(told)
    assert len(found) == len(lines)
    for line, begin in zip(found, lines, strict=True):
        assert line.startswith(f"filters.yaml: month: {begin}")


def test_one_command_applies_and_tries(
    small: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 0, with 1 where something is wrong, and with 3 before a query is asked where somebody has edited."""
    account, key = tmp_path / "account.json", tmp_path / "key"
    account.write_text(ACCOUNT)
    key.write_text(KEY)
    command = ["metabase", "smoke", "--from", str(folder(tmp_path / "deploy", described()))]
    with a_metabase(warehouse=small) as metabase:
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
        before = len(metabase.seen)
        codes.append(main(command))
        assert not any(each.path.endswith("/query") for each in metabase.seen[before:])
        codes.append(main([*command, "--restore"]))
    assert codes == [0, 1, 3, 0]
    told = capsys.readouterr().out
    assert "Every card returns rows, and every filter works." in told
    assert "\n  people.yaml: card people, without filters: Metabase says: Unrecognized name" in told
    assert "`ai-usage metabase apply --restore` overwrites them" in told
    assert ADA not in told
