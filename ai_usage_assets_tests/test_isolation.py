"""One source that fails, in every way: everything else is published by the same run, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import dagster as dg
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.checks import spend
from ai_usage_assets.simulator import FaultOptions, Simulator
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets_tests.conftest import Company, RunResult, serve_company
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery

pytestmark = pytest.mark.slow

FIRST_DAY = date(2026, 11, 2)
BILLS = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}
Failure = Literal["401", "503", "partial"]


@dataclass
class Loaded:
    """A company, the warehouse of one engine with the days before `day`, and the settings of its runs."""

    company: Company
    warehouse: Warehouse
    changed: dict[str, Any]
    day: date = FIRST_DAY

    def run(self, first: date | None = None, job: str = "daily") -> RunResult:
        """Runs a job for the day, or from an earlier day on."""
        return self.company.run((first or self.day).isoformat(), self.day.isoformat(), job=job, **self.changed)

    def spend_by_day(self, vendor: str) -> dict[date, Decimal]:
        """The usage of a vendor in the facts."""
        rows = self.warehouse.rows(
            "SELECT usage_date, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
            "WHERE vendor = @vendor AND cost_basis <> 'seat' GROUP BY usage_date",
            {"vendor": vendor},
        )
        return {row["usage_date"]: row["usd"] for row in rows}

    def bill_by_day(self, vendor: str) -> dict[date, Decimal]:
        """The dollars of the loaded bills of a vendor, from the day log."""
        rows = self.warehouse.rows(
            "SELECT usage_date, amount_usd FROM ai_usage.ops_asset_days "
            "WHERE asset = @asset AND completed_at IS NOT NULL",
            {"asset": BILLS[vendor]},
        )
        return {row["usage_date"]: row["amount_usd"] for row in rows}


@pytest.fixture(scope="module", params=["duckdb", "bigquery"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A warehouse with one loaded day."""
    with FakeBigQuery() as server, serve_company(tmp_path_factory.mktemp("isolation") / "w.duckdb") as company:
        if request.param == "bigquery":
            warehouse: Warehouse = BigQueryWarehouse(server.project, emulator_url=server.url)
            changed = {"warehouse": "bigquery", "project": server.project, "bigquery_emulator": server.url}
        else:
            warehouse, changed = company.keep_open(), {}
        loaded = Loaded(company, warehouse, changed)
        result = loaded.run()
        assert result.success, result.failures()
        yield loaded


def _fail(simulator: Simulator, source: str, failure: Failure, day: date) -> None:
    """Makes a source fail: it rejects the key, is down, or delivers only a part."""
    options = simulator.fault_options
    match source, failure:
        case ("anthropic", "partial"):
            options.anthropic.edit_row = _reject_day(day)
        case ("cursor", "partial"):
            options.faults.fail_times["/teams/filtered-usage-events"] = 100
        case ("sheet", "partial"):
            simulator.set_sheet("people", simulator.sheet("people")[1:])
        case ("sheet", "401"):
            options.sheets.failing = [401] * 6
        case ("sheet", "503"):
            options.sheets.failing = [503] * 6
        case (vendor, "401"):
            getattr(options, vendor).unauthorized = True
        case (vendor, "503"):
            options.faults.down.add(vendor)


def _reject_day(day: date) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        is_bill = "cost" in row and row["starting_at"].startswith(day.isoformat())
        return row | {"cost": row["cost"] | {"amount": "?"}} if is_bill else row

    return edit


def _materialized_days(result: RunResult, asset: str) -> set[str | None]:
    return {
        event.partition
        for event in result.events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.asset_key == dg.AssetKey(asset)
    }


@pytest.fixture(autouse=True)
def next_day(loaded: Loaded) -> Iterator[None]:
    """Moves to the next day, and removes all faults after the test."""
    loaded.day += timedelta(days=1)
    simulator = loaded.company.simulator
    people = simulator.sheet("people")
    yield
    simulator.set_sheet("people", people)
    for name, defaults in vars(FaultOptions()).items():
        # The simulated APIs keep the objects.
        vars(getattr(simulator.fault_options, name)).update(vars(defaults))


@pytest.mark.parametrize("failure", ["401", "503", "partial"])
@pytest.mark.parametrize(("down", "fresh"), [("anthropic", "cursor"), ("cursor", "anthropic")])
def test_a_failing_vendor_hides_nothing_else(loaded: Loaded, down: str, fresh: str, failure: Failure) -> None:
    """The new day of the other vendor is published, the failing one keeps its days, and the run fails."""
    before = loaded.spend_by_day(down)
    _fail(loaded.company.simulator, down, failure, loaded.day)
    result = loaded.run()
    assert not result.success
    assert {step.partition("_")[0] for step in result.failures()} == {down, "check"}
    assert loaded.spend_by_day(down) == before == loaded.bill_by_day(down)
    assert loaded.spend_by_day(fresh) == loaded.bill_by_day(fresh)
    assert loaded.day in loaded.spend_by_day(fresh)
    assert _materialized_days(result, BILLS[down]) == set()
    assert _materialized_days(result, BILLS[fresh]) == {loaded.day.isoformat()}
    stored = {model.name for model in catalog.models() if not model.is_view}
    assert stored == {name for name in stored if _materialized_days(result, name)}
    (statuses,) = loaded.warehouse.rows(
        "SELECT MAX(CASE WHEN asset = @down THEN status END) AS down, MAX(CASE WHEN asset = @fresh THEN status END) "
        "AS fresh FROM ai_usage.kpi_completeness WHERE usage_date = @day",
        {"down": BILLS[down], "fresh": BILLS[fresh], "day": loaded.day},
    )
    assert (statuses["down"], statuses["fresh"]) == ("failed", "provisional")


@pytest.mark.parametrize("failure", ["401", "503", "partial"])
def test_a_failing_sheet_keeps_its_last_version(loaded: Loaded, failure: Failure) -> None:
    """Both vendors are published with the teams of the last good version; the run succeeds with a warning."""
    people = loaded.warehouse.rows("SELECT * FROM ai_usage.dim_person")
    _fail(loaded.company.simulator, "sheet", failure, loaded.day)
    result = loaded.run()
    assert result.success, result.failures()
    assert "raw_mapping_sheet.tabs_valid" in result.failed_checks()
    assert loaded.warehouse.rows("SELECT * FROM ai_usage.dim_person") == people
    for vendor in BILLS:
        assert loaded.day in loaded.spend_by_day(vendor)
    (teams,) = loaded.warehouse.rows(
        "SELECT COUNT(DISTINCT cost_center) AS n FROM ai_usage.fct_cost_daily WHERE usage_date = @day",
        {"day": loaded.day},
    )
    assert teams["n"] > 1


def test_a_warning_check_that_raises_fails_only_itself(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that BigQuery refuses makes a failed warning with the error; the run succeeds."""
    anomalies = next(check for check in spend.CHECKS if check.name == "no_cost_anomalies")
    refused = "SELECT no_such_column FROM ai_usage.dim_date"
    monkeypatch.setitem(vars(anomalies), "run", lambda context: context.rows(refused))
    result = loaded.run()
    assert result.success, result.failures()
    assert "no_such_column" in result.failed_checks()["kpi_anomaly.no_cost_anomalies"]


def test_the_next_run_loads_what_is_missing(loaded: Loaded) -> None:
    """After all failures, one run makes the facts equal to the bills, and a full rebuild changes no row."""
    result = loaded.run(FIRST_DAY)
    assert result.success, result.failures()
    days = [FIRST_DAY + timedelta(days=n) for n in range((loaded.day - FIRST_DAY).days + 1)]
    for vendor in BILLS:
        assert loaded.spend_by_day(vendor) == loaded.bill_by_day(vendor)
        assert sorted(loaded.bill_by_day(vendor)) == days
    stored = [model for model in catalog.models() if not model.is_view]
    before = {model.name: _read_rows(loaded.warehouse, model.name) for model in stored}
    assert loaded.run(FIRST_DAY, job="rebuild").success
    assert [name for name, rows in before.items() if _read_rows(loaded.warehouse, name) != rows] == []


def _read_rows(warehouse: Warehouse, table: str) -> list[str]:
    return sorted(map(repr, warehouse.rows(f"SELECT * FROM ai_usage.{table}")))
