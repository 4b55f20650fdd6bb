"""Tests when the mapping sheet gets a new version, and what the day log says about each tab."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.sheet import load_sheet, load_versions, log_unread_sheet, read_sheet
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, SheetRow, TabSnapshot
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
LOG = logging.getLogger(__name__)


def run_context(hours: int = 0, **changed: Any) -> RunContext:
    """A run that starts some hours after NOW."""
    return RunContext(f"run{hours}", NOW + timedelta(hours=hours), **changed)


def snapshot(*payloads: bytes, rejected: int = 0, warnings: tuple[str, ...] = ()) -> TabSnapshot:
    """A version of the budgets with the given rows; the last `rejected` of them have a reason."""
    rows = [
        SheetRow(number, payload, "the month is blank" if number > len(payloads) + 1 - rejected else None)
        for number, payload in enumerate(payloads, 2)
    ]
    return TabSnapshot("budgets", tuple(rows), warnings=warnings)


def stored_rows(warehouse: DuckDBWarehouse) -> list[dict[str, Any]]:
    """Every stored row of the sheet."""
    return warehouse.rows("SELECT * FROM ai_usage.raw_mapping_sheet ORDER BY tab, read_at, row_no")


def entries(warehouse: DuckDBWarehouse) -> dict[str, dict[str, Any]]:
    """The day log entries by tab."""
    rows = warehouse.rows("SELECT * FROM ai_usage.ops_asset_days ORDER BY usage_date")
    return {row["asset"].removeprefix("raw_mapping_sheet/"): row for row in rows}


def read(
    warehouse: DuckDBWarehouse, simulator: Simulator, run: RunContext, log: logging.Logger = LOG
) -> list[TabSnapshot]:
    """Reads the sheet of a simulated company over HTTP."""
    with simulator.serve() as urls:
        return read_sheet(warehouse, MappingSheet(Simulator.SHEET_ID, urls.sheets, pacing=False), run, log)


def test_a_version_has_every_row_of_the_tab(warehouse: DuckDBWarehouse) -> None:
    """A version has a row for itself and one for each row of the tab, with the reasons of rejected rows."""
    version = snapshot(b'{"n":"1"}', b'{"n":"2"}', rejected=1)
    load_sheet(warehouse, [version], run_context())
    envelope = {"snapshot_date": NOW.date(), "tab": "budgets", "snapshot_id": version.digest, "read_at": NOW}
    assert stored_rows(warehouse) == [
        {**envelope, "row_no": 0, "payload": "{}", "reject_reason": None},
        {**envelope, "row_no": 2, "payload": '{"n":"1"}', "reject_reason": None},
        {**envelope, "row_no": 3, "payload": '{"n":"2"}', "reject_reason": "the month is blank"},
    ]
    (known,) = load_versions(warehouse).values()
    assert (known.snapshot_id, known.read_at, known.row_count) == (version.digest, NOW, 1)


def test_the_day_log_describes_each_version(warehouse: DuckDBWarehouse) -> None:
    """The entry of a tab has its numbers of accepted and of all rows, its digest, and when it was read."""
    version = snapshot(b"{}", b"{}", b"{}", rejected=1)
    load_sheet(warehouse, [version], run_context())
    (entry,) = entries(warehouse).values()
    expected = {
        "asset": "raw_mapping_sheet/budgets",
        "vendor": "sheet",
        "usage_date": NOW.date(),
        "is_daily": False,
        "status": "complete",
        "attempted_at": NOW,
        "completed_at": NOW,
        "landed_at": NOW,
        "records": 2,
        "expected_records": 3,
        "content_digest": version.digest,
        "run_id": "run0",
    }
    assert {name: entry[name] for name in expected} == expected


def test_equal_content_adds_no_version(warehouse: DuckDBWarehouse) -> None:
    """A tab that did not change keeps its version; the day log records the attempt and when the version was read."""
    load_sheet(warehouse, [snapshot(b'{"n":"1"}')], run_context())
    before = stored_rows(warehouse)
    load_sheet(warehouse, [snapshot(b'{"n":"1"}')], run_context(1))
    assert stored_rows(warehouse) == before
    (entry,) = entries(warehouse).values()
    later = NOW + timedelta(hours=1)
    assert (entry["attempted_at"], entry["completed_at"], entry["landed_at"]) == (later, later, NOW)


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_new_version_is_newer_than_the_last_one(warehouse: DuckDBWarehouse, hours: int) -> None:
    """Two versions never have the same time, even if the clock stands still or goes back."""
    load_sheet(warehouse, [snapshot(b'{"n":"1"}')], run_context())
    second = snapshot(b'{"n":"2"}', b'{"n":"3"}')
    load_sheet(warehouse, [second], run_context(hours))
    expected = NOW + (timedelta(hours=1) if hours == 1 else timedelta(microseconds=1))
    (known,) = load_versions(warehouse).values()
    assert (known.snapshot_id, known.read_at, known.row_count) == (second.digest, expected, 2)
    assert [row["row_no"] for row in stored_rows(warehouse)] == [0, 2, 0, 2, 3]


def test_a_rejected_tab_keeps_its_version_and_stops_no_other(warehouse: DuckDBWarehouse) -> None:
    """A rejected tab adds no version; its entry has the reason and describes the version in use."""
    good = snapshot(b"{}", b"{}")
    load_sheet(warehouse, [good], run_context())
    people = TabSnapshot("people", (SheetRow(2, b"{}", None),))
    load_sheet(warehouse, [TabSnapshot("budgets", rejection="it has no header"), people], run_context(1))
    assert [row["tab"] for row in stored_rows(warehouse)] == ["budgets"] * 3 + ["people"] * 2
    budgets = entries(warehouse)["budgets"]
    assert (budgets["status"], budgets["message"]) == ("failed", "it has no header")
    assert (budgets["records"], budgets["content_digest"], budgets["landed_at"]) == (2, good.digest, NOW)
    assert budgets["attempted_at"] == NOW + timedelta(hours=1)
    assert entries(warehouse)["people"]["status"] == "complete"


def test_a_tab_that_was_never_read_has_no_version(warehouse: DuckDBWarehouse) -> None:
    """The entry of a tab without any version describes no data."""
    load_sheet(warehouse, [TabSnapshot("budgets", rejection="it has no header")], run_context())
    assert (stored_rows(warehouse), load_versions(warehouse)) == ([], {})
    (entry,) = entries(warehouse).values()
    names = ("records", "expected_records", "content_digest", "landed_at", "completed_at")
    assert (entry["status"], *(entry[name] for name in names)) == ("failed", *(None for _ in names))


@pytest.mark.parametrize(("rejected", "is_cut"), [(10, False), (11, True)])
def test_rejected_rows_and_warnings_are_listed(warehouse: DuckDBWarehouse, rejected: int, is_cut: bool) -> None:
    """The message of an accepted tab has the numbers of its first ten rejected rows and all warnings."""
    version = snapshot(*[b"{}"] * (rejected + 1), rejected=rejected, warnings=("a warning", "another"))
    load_sheet(warehouse, [version], run_context())
    (entry,) = entries(warehouse).values()
    listed, *warnings = entry["message"].split("; ")
    assert listed.removesuffix(" and more").endswith("row " + ", ".join(str(number) for number in range(3, 13)))
    assert listed.endswith(" and more") == is_cut
    assert warnings == ["a warning", "another"]


def test_a_tab_without_remarks_has_no_message(warehouse: DuckDBWarehouse) -> None:
    """The entry of a tab without rejected rows and warnings has no message."""
    load_sheet(warehouse, [snapshot(b"{}")], run_context())
    assert entries(warehouse)["budgets"]["message"] is None


def test_an_unread_sheet_is_logged_for_every_tab(warehouse: DuckDBWarehouse) -> None:
    """If no tab was read, each given tab has an entry with the reason and keeps its version."""
    load_sheet(warehouse, [snapshot(b"{}")], run_context())
    log_unread_sheet(warehouse, ["budgets", "people"], load_versions(warehouse), run_context(1), "failed", "503")
    logged = {tab: (entry["status"], entry["message"], entry["records"]) for tab, entry in entries(warehouse).items()}
    assert logged == {"budgets": ("failed", "503", 1), "people": ("failed", "503", None)}


def test_every_tab_of_a_sheet_is_loaded(warehouse: DuckDBWarehouse, caplog: pytest.LogCaptureFixture) -> None:
    """All tabs are read over HTTP, validated, loaded and counted; the next run finds the same versions."""
    simulator = Simulator(NOW)
    simulator.set_sheet(
        "budgets", [["month", "cost_center", "budget_usd"], ["2026-09", "CC-1", 5], ["soon", "CC-1", 5]]
    )
    with caplog.at_level(logging.INFO):
        snapshots = read(warehouse, simulator, run_context())
    counts = [[len(rows) for rows in (each.accepted, each.rejected) if rows] for each in snapshots]
    lines = [record.message for record in caplog.records if record.name == LOG.name]
    assert [list(map(int, re.findall(r"\d+", line))) for line in lines] == counts
    assert counts[list(TABS).index("budgets")] == [1, 1]
    assert [each.tab for each in snapshots] == list(TABS)
    assert {tab: len(simulator.sheet(tab)) - 1 for tab in TABS} == {each.tab: len(each.rows) for each in snapshots}
    versions = load_versions(warehouse)
    assert {each.tab: (each.digest, len(each.accepted)) for each in snapshots} == {
        tab: (version.snapshot_id, version.row_count) for tab, version in versions.items()
    }
    read(warehouse, simulator, run_context(1))
    assert load_versions(warehouse) == versions


@pytest.mark.parametrize("accept_loss", [False, True])
def test_a_tab_that_lost_rows_is_rejected_unless_accepted(
    warehouse: DuckDBWarehouse, caplog: pytest.LogCaptureFixture, accept_loss: bool
) -> None:
    """A tab that became empty keeps its last good version, with an error in the log; an operator can accept it."""
    simulator = Simulator(NOW)
    read(warehouse, simulator, run_context())
    rows = load_versions(warehouse)["budgets"].row_count
    simulator.set_sheet("budgets", simulator.sheet("budgets")[:1])
    with caplog.at_level(logging.INFO):
        snapshots = {each.tab: each for each in read(warehouse, simulator, run_context(1, accept_loss=accept_loss))}
    assert load_versions(warehouse)["budgets"].row_count == (0 if accept_loss else rows)
    assert (snapshots["budgets"].rejection is None) == accept_loss
    levels = {tab: record.levelno for record in caplog.records for tab in TABS if f"tab {tab}" in record.message}
    assert levels == {**dict.fromkeys(TABS, logging.INFO), "budgets": logging.INFO if accept_loss else logging.ERROR}


@pytest.mark.parametrize(("now", "is_distant"), [(NOW, True), (NOW + timedelta(days=15), False)])
def test_a_row_is_validated_on_the_day_of_the_run(warehouse: DuckDBWarehouse, now: datetime, is_distant: bool) -> None:
    """A row that takes effect more than a year after the run has a warning."""
    simulator = Simulator(NOW)
    header = ["vendor", "plan", "monthly_price_usd", "effective_from"]
    simulator.set_sheet("seat_prices", [header, ["cursor", "Teams", 40, "2027-11-25"]])
    (prices,) = (each for each in read(warehouse, simulator, RunContext("r", now)) if each.tab == "seat_prices")
    assert (len(prices.accepted), len(prices.warnings)) == (1, int(is_distant))


@pytest.mark.parametrize("was_read", [False, True])
def test_an_unreadable_sheet_keeps_every_version(
    warehouse: DuckDBWarehouse, caplog: pytest.LogCaptureFixture, was_read: bool
) -> None:
    """An error of Google is one warning, which has the reason and the effect; every tab keeps its version."""
    simulator = Simulator(NOW)
    if was_read:
        read(warehouse, simulator, run_context())
    versions = load_versions(warehouse)
    simulator.fault_options.sheets.failing = [403]
    caplog.clear()
    assert read(warehouse, simulator, run_context(1)) == []
    assert load_versions(warehouse) == versions
    assert len(versions) == (len(TABS) if was_read else 0)
    logged = entries(warehouse)
    assert logged.keys() == TABS.keys()
    (reason,) = {entry["message"] for entry in logged.values()}
    assert {entry["status"] for entry in logged.values()} == {"failed"}
    assert "answered 403" in reason
    (record,) = (record for record in caplog.records if record.name == LOG.name)
    assert (record.levelno, record.__dict__["event"]) == (logging.WARNING, "source_fetch_failed")
    assert reason in record.message
    assert ("stays in use" in record.message) == was_read
    assert ("no teams" in record.message) != was_read


def test_a_missing_sheet_is_logged_for_every_tab(warehouse: DuckDBWarehouse, caplog: pytest.LogCaptureFixture) -> None:
    """Without AI_USAGE_SHEET_ID nothing is read, and the day log and the log name the setting."""
    with caplog.at_level(logging.INFO):
        assert read_sheet(warehouse, None, run_context(), LOG) == []
    (message,) = {entry["message"] for entry in entries(warehouse).values()}
    assert {entry["status"] for entry in entries(warehouse).values()} == {"not_configured"}
    assert entries(warehouse).keys() == TABS.keys()
    assert "AI_USAGE_SHEET_ID" in message
    assert [record.message for record in caplog.records if record.name == LOG.name] == [message]
