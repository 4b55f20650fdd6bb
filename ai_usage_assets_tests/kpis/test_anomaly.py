"""kpi_anomaly on small companies, and its recall and precision on the simulated year."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.checks.base import CheckContext, Finding
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.benchmarks.anomalies import measure
from ai_usage_assets_tests.kpis.engines import compare_engines
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    create_warehouse,
    day_log_row,
    execute_sql,
    fill,
    key_mapping,
)
from ai_usage_assets_tests.support.year import YEAR, simulator

FIRST, TODAY = date(2026, 8, 3), date(2026, 11, 11)
LAST = TODAY - timedelta(days=1)
LOADED_DAYS = [FIRST + timedelta(days=n) for n in range((TODAY - FIRST).days)]
# A Tuesday after fourteen weeks of history.
DAY = date(2026, 11, 10)
BOT, JANE, SAM = "apikey_bot", "jane@example.com", "sam@example.com"

Row = dict[str, Any]


def create_company(path: Path, first: date) -> DuckDBWarehouse:
    """Loaded days from the first on; team Platform owns a bot, and two people are in team Mobile."""
    warehouse = create_warehouse(path, first, TODAY)
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", BOT, "Platform", "CC-1")])
    people = [(JANE, "Mobile"), (SAM, "Mobile")]
    fill(
        warehouse,
        "dim_person",
        [{"person_email": identity, "name": identity[:3], "team": team, **OPEN} for identity, team in people],
    )
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in LOADED_DAYS if day >= first])
    return warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """Fourteen loaded weeks; the bot spends 10 dollars per day and 2 on weekends."""
    warehouse = create_company(tmp_path / "w.duckdb", FIRST)
    yield warehouse
    warehouse.close()


def usual_charges(first: date = FIRST, last: date = LAST, skip: tuple[date, ...] = (), **identity: str) -> list[Row]:
    """Charges of 10 dollars on every working day and 2 on a weekend."""
    days = [day for day in LOADED_DAYS if first <= day <= last and day not in skip]
    return [charge(day.isoformat(), "2" if day.weekday() >= 5 else "10", **identity) for day in days]


def find_anomalies(warehouse: DuckDBWarehouse, *money: Row, rest: tuple[Row, ...] | None = None) -> list[Row]:
    """Anomalies when the bot spends as usual and these charges are added."""
    charges = [*(usual_charges(key=BOT) if rest is None else rest), *money]
    fill(warehouse, "int_anthropic_cost_daily", [{**row, "fact_no": number} for number, row in enumerate(charges, 1)])
    return warehouse.rows("SELECT * FROM ai_usage.kpi_anomaly ORDER BY usage_date, event, event_rank")


def key_rows(anomalies: list[Row]) -> list[Row]:
    """Rows of API keys only; a key of a small company can also move its team and model."""
    return [row for row in anomalies if row["dimension"] == "api_key"]


def test_an_anomaly_names_the_source_the_amount_and_the_model(warehouse: DuckDBWarehouse) -> None:
    """10 of 100 dollars are expected; the spread is zero, so the minimum of 2 dollars applies: the score is 90 / 2."""
    actual = find_anomalies(warehouse, charge("2026-11-10", "90", key=BOT, model="big"))
    assert [(row["dimension"], row["dimension_value"], row["event_rank"]) for row in actual] == [
        ("api_key", BOT, 1),
        ("team", "Platform", 2),
    ]
    assert {row["event"] for row in actual} == {f"2026-11-10|anthropic|billed|{BOT}"}
    expected = {
        "usage_date": DAY, "amount_usd": 100, "expected_usd": 10, "excess_usd": 90, "score": 45,
        "baseline": "same_weekday", "days_of_history": 56, "person_email": None, "team": "Platform", "api_key_id": BOT,
        "top_model": "big", "top_model_share_of_excess": 1, "as_of_date": TODAY, "is_provisional": True,
    }  # fmt: skip
    assert {name: actual[0][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("usd", "is_reported"),
    [("24.99", False), ("25", True)],
    ids=["a cent below the floor", "at the floor"],
)
def test_the_floor_in_dollars(warehouse: DuckDBWarehouse, usd: str, is_reported: bool) -> None:
    """An excess of less than 25 dollars is no anomaly."""
    assert bool(find_anomalies(warehouse, charge("2026-11-10", usd, key=BOT))) is is_reported


def test_a_saturday_is_compared_with_saturdays(warehouse: DuckDBWarehouse) -> None:
    """A Saturday is expected to cost 2 dollars, not the 10 dollars of a working day."""
    actual = find_anomalies(warehouse, charge("2026-11-07", "40", key=BOT))
    assert actual[0]["usage_date"].weekday() == 5
    assert (actual[0]["expected_usd"], actual[0]["excess_usd"]) == (Decimal(2), Decimal(40))


def test_earlier_anomalies_do_not_hide_the_next(warehouse: DuckDBWarehouse) -> None:
    """Three anomalies on Tuesdays of the eight weeks before do not change the expected amount."""
    money = [charge(f"{DAY - timedelta(weeks=n)}", "90", key=BOT) for n in range(4)]
    actual = key_rows(find_anomalies(warehouse, *money))
    assert [(row["usage_date"], row["expected_usd"]) for row in actual] == [
        (DAY - timedelta(weeks=n), Decimal(10)) for n in (3, 2, 1, 0)
    ]


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded and empty", "never loaded"])
def test_a_day_without_spend_is_zero_only_when_the_bill_is_loaded(warehouse: DuckDBWarehouse, loaded: bool) -> None:
    """With five of eight Tuesdays empty, zero is expected; if they were never loaded, ten, from the other three."""
    empty = tuple(DAY - timedelta(weeks=n) for n in range(1, 6))
    if not loaded:
        execute_sql(
            warehouse,
            f"DELETE FROM ops_asset_days WHERE usage_date IN ({', '.join(f'DATE {str(day)!r}' for day in empty)})",
        )
    actual = find_anomalies(
        warehouse, charge("2026-11-10", "90", key=BOT), rest=tuple(usual_charges(key=BOT, skip=empty))
    )
    expected, baseline, days = (Decimal(0), "same_weekday", 56) if loaded else (Decimal(10), "all_days", 51)
    assert actual[0]["expected_usd"] == expected
    assert (actual[0]["baseline"], actual[0]["days_of_history"]) == (baseline, days)


def test_a_short_history_uses_all_days_as_baseline(warehouse: DuckDBWarehouse) -> None:
    """A key with two weeks of history is compared with them, and must also exceed its peers."""
    young = usual_charges(first=DAY - timedelta(days=14), key="apikey_young")
    (actual,) = key_rows(find_anomalies(warehouse, *young, charge("2026-11-10", "90", key="apikey_young")))
    assert (actual["expected_usd"], actual["days_of_history"], actual["baseline"]) == (Decimal(10), 14, "all_days")


@pytest.mark.parametrize(("usd", "is_reported"), [("60", False), ("109", False), ("500", True)])
def test_a_first_week_is_no_anomaly_but_500_dollars_on_the_first_day_are(
    warehouse: DuckDBWarehouse, usd: str, is_reported: bool
) -> None:
    """A new key is compared with its peers: 100 dollars more and three times their amount is an anomaly."""
    actual = key_rows(find_anomalies(warehouse, charge("2026-11-10", usd, key="apikey_new")))
    expected = ("peers", Decimal(10), Decimal(490), None, 0)
    shown = ("baseline", "expected_usd", "excess_usd", "score", "days_of_history")
    assert [(row["dimension_value"], *(row[name] for name in shown)) for row in actual] == (
        [("apikey_new", *expected)] if is_reported else []
    )


@pytest.mark.parametrize(("rest", "expected"), [({"key": BOT}, 10), ({"user": JANE}, 0)], ids=["a peer", "none"])
def test_a_new_key_is_not_its_own_peer(warehouse: DuckDBWarehouse, rest: dict[str, Any], expected: int) -> None:
    """A key that was used once, weeks ago, has no history, and is not compared with itself."""
    money = [charge("2026-09-01", "1", key="apikey_rare"), charge("2026-11-10", "500", key="apikey_rare")]
    (actual,) = key_rows(find_anomalies(warehouse, *money, rest=tuple(usual_charges(**rest))))
    assert (actual["baseline"], actual["expected_usd"]) == ("peers", Decimal(expected))


def test_the_first_week_of_a_vendor_has_no_anomalies(tmp_path: Path) -> None:
    """On the first days of a warehouse nothing can be unusual."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", DAY - timedelta(days=3), TODAY)
    fill(warehouse, "ops_asset_days", [day_log_row(DAY - timedelta(days=n)) for n in range(4)])
    assert find_anomalies(warehouse, rest=()) == []
    assert (
        find_anomalies(warehouse, charge("2026-11-07", "900", key=BOT), charge("2026-11-10", "2000", key=BOT), rest=())
        == []
    )
    warehouse.close()


@pytest.mark.parametrize("model", ["m1", "m2"], ids=["a rotated key", "and a new model"])
def test_cost_that_moved_is_no_anomaly(warehouse: DuckDBWarehouse, model: str) -> None:
    """A key that takes over the spend of another key does not change the vendor's total; nor does a new model."""
    big = [charge(day.isoformat(), "300", key="apikey_old") for day in LOADED_DAYS if day < DAY]
    assert find_anomalies(warehouse, *big, charge("2026-11-10", "300", key="apikey_next", model=model)) == []


def test_one_anomaly_is_one_event_in_every_dimension(warehouse: DuckDBWarehouse) -> None:
    """Jane's agent appears as the person, the team and the model; the row of the person has rank 1."""
    money = [*usual_charges(user=JANE), *usual_charges(user=SAM), charge("2026-11-10", "400", user=JANE)]
    actual = find_anomalies(warehouse, *money)
    assert [(row["event_rank"], row["dimension"]) for row in actual] == [(1, "person"), (2, "team"), (3, "model")]
    assert {row["event"] for row in actual} == {f"2026-11-10|anthropic|billed|{JANE}"}
    assert {row["person_email"] for row in actual} == {JANE}


def test_both_engines_find_the_same_anomalies(tmp_path: Path) -> None:
    """Google's engine returns the same rows, for all baselines and for medians of odd and even counts."""
    # Eight weeks are the longest baseline.
    first = DAY - timedelta(weeks=8)
    warehouse = create_company(tmp_path / "w.duckdb", first)
    days = [DAY - timedelta(days=n) for n in range(13)]
    find_anomalies(
        warehouse,
        *(charge(str(day), f"{n}.37", key="apikey_young") for n, day in enumerate(days, 1)),
        *(
            charge("2026-11-10", usd, key=key)
            for usd, key in (("90", BOT), ("333", "apikey_young"), ("1100", "apikey_x"))
        ),
        charge("2026-11-03", "50", key=BOT, model="m2"),
        rest=tuple(usual_charges(first, key=BOT)),
    )
    assert compare_engines(warehouse, "kpi_anomaly") >= 5
    actual = warehouse.rows("SELECT DISTINCT baseline FROM ai_usage.kpi_anomaly")
    assert len(actual) == 3
    warehouse.close()


def test_an_anomaly_of_many_people_is_one_event(warehouse: DuckDBWarehouse) -> None:
    """Three people spend ten times as much on one day: one event, named after what they have in common."""
    fill(warehouse, "dim_person", [{"person_email": "kim@example.com", "name": "kim", "team": "Mobile", **OPEN}])
    people = (JANE, SAM, "kim@example.com")
    money = [
        row for identity in people for row in (*usual_charges(user=identity), charge("2026-11-10", "90", user=identity))
    ]
    # All use one model, so that the event is named after the model.
    actual = find_anomalies(warehouse, *money)
    assert {row["event"] for row in actual} == {"2026-11-10|anthropic|billed|model m1"}
    assert [row["dimension"] for row in actual] == ["model", "person", "person", "person", "team"]


def test_included_usage_has_its_own_anomalies(warehouse: DuckDBWarehouse) -> None:
    """Included usage has its own anomalies, which do not affect billed cost."""
    cursor = {"asset": "raw_cursor_usage_events", "vendor": "cursor"}
    fill(warehouse, "ops_asset_days", [day_log_row(day, **cursor) for day in LOADED_DAYS])
    included = [
        {"usage_date": day, "identity_key": "c", "cost_basis": "included", "model": "m", "principal_type": "user",
         "principal_id": JANE, "user_email": JANE, "requests": 1, "amount_usd": Decimal(200 if day == DAY else 5)}
        for day in LOADED_DAYS
    ]  # fmt: skip
    fill(warehouse, "int_cursor_usage_daily", included)
    actual = warehouse.rows("SELECT DISTINCT vendor, cost_basis FROM ai_usage.kpi_anomaly")
    assert actual == [{"vendor": "cursor", "cost_basis": "included"}]
    assert check_findings(warehouse) == []


def check_findings(warehouse: DuckDBWarehouse, first: date = FIRST, last: date = LAST) -> list[Finding]:
    """Findings of the check after a run of these days."""
    (check,) = (check for check in CHECKS if check.name == "no_cost_anomalies")
    return list(check.run(CheckContext(warehouse, DayRange(first, last), last + timedelta(days=1))))


def test_the_check_reports_an_anomaly_once_and_for_three_days(warehouse: DuckDBWarehouse) -> None:
    """One finding per event with its excess and without an e-mail; none on the fourth day."""
    day = date(2026, 11, 6)
    find_anomalies(
        warehouse, *usual_charges(user=JANE), charge(str(day), "90", key=BOT), charge(str(day), "290", user=JANE)
    )
    actual = check_findings(warehouse, last=day)
    assert [(finding.message, finding.amount_usd) for finding in actual] == [
        ("2026-11-06 anthropic a person of team Mobile: $300.00, expected $10.00, mostly m1", Decimal(290)),
        ("2026-11-06 anthropic key apikey_bot: $100.00, expected $10.00, mostly m1", Decimal(90)),
    ]
    assert [len(check_findings(warehouse, last=day + timedelta(days=n))) for n in range(4)] == [2, 2, 2, 0]
    assert check_findings(warehouse, first=date(2026, 11, 7)) == []


def test_an_empty_company_has_no_anomalies(tmp_path: Path) -> None:
    """Without loaded days there are no anomalies and no findings."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    assert warehouse.rows("SELECT * FROM ai_usage.kpi_anomaly") == []
    assert check_findings(warehouse) == []
    warehouse.close()


def test_recall_and_precision_on_the_simulated_year(year: DuckDBWarehouse) -> None:
    """Recall and precision of the injected anomalies are at least 90%."""
    # Both are 100% today; 90% leaves room for another simulated company.
    find_anomalies = simulator().ledger.expected_anomalies
    actual = measure(year, find_anomalies)
    assert actual.injected >= 20
    assert actual.recall >= 0.9, actual.missed
    assert actual.precision >= 0.9, actual.false
    # One of a person, and one of a team over three days.
    for spike in (find_anomalies[0], next(spike for spike in find_anomalies if spike.dimension == "team")):
        lines = [finding.message for finding in check_findings(year, YEAR.first, spike.day)]
        assert len(lines) == 1
        assert "@" not in lines[0]
