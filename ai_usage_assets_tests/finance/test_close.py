"""The month close: blockers, freezing, integrity, the export, and the command."""

from __future__ import annotations

import csv
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_usage_assets import catalog, cli
from ai_usage_assets.checks.base import CheckContext, Finding
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.finance.close import integrity, journal, layouts, readiness
from ai_usage_assets.finance.close.base import CloseError
from ai_usage_assets.warehouse.base import Row, Warehouse, WarehouseError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import (
    OPS_ASSET_DAYS,
    OPS_CHECK_RESULTS,
    OPS_JOURNAL_LINES,
    OPS_MONTH_CLOSES,
    OPS_RUNS,
    OPS_TABLES,
)
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery
from ai_usage_assets_tests.support.finance_history import (
    AUGUST,
    FIRST_DAY,
    NOVEMBER,
    NOW,
    OCTOBER,
    READ_AT,
    SEPTEMBER,
    TODAY,
    add_loaded_days,
    close_month,
    cost_row,
    days_of_month,
    journal_rows,
    mapping_row,
    price_row,
    seat_row,
    upsert_rows,
    usage_row,
)
from ai_usage_assets_tests.support.rebuilding_warehouse import rebuild_shared_models
from ai_usage_assets_tests.support.warehouse_rows import copy_warehouse, create_warehouse, day_log_row

D = Decimal
JANE = "jane@example.com"


def fill_months(warehouse: Warehouse) -> None:
    """Fills two final months: $10 of a key in August; $7 of it, $3 of Jane and one seat-day, $2, in September."""
    upsert_rows(
        warehouse, "int_anthropic_cost_daily",
        cost_row(1, "2026-08-05", "10", "a"), cost_row(2, "2026-09-06", "7", "a"), cost_row(3, "2026-10-05", "5", "a"),
    )  # fmt: skip
    upsert_rows(warehouse, "int_cursor_usage_daily", usage_row(1, "2026-09-07", "3", JANE))
    upsert_rows(warehouse, "int_cursor_seat_daily", seat_row(1, "2026-09-08", JANE))
    upsert_rows(warehouse, "int_key_mapping", mapping_row(1, "a", "CC-1"), mapping_row(2, JANE, "CC-2", kind="user"))
    warehouse.append(RAW_MAPPING_SHEET, [price_row("60")])
    bills = {("anthropic", date(2026, 8, 5)): 10, ("anthropic", date(2026, 9, 6)): 7, ("cursor", date(2026, 9, 7)): 3}
    for month in (AUGUST, SEPTEMBER):
        add_loaded_days(warehouse, month)
    for (vendor, day), usd in bills.items():
        replace_day_log(warehouse, day, vendor, amount_usd=D(usd))


def replace_day_log(warehouse: Warehouse, day: date, vendor: str, **changed: Any) -> None:
    """Replaces the day log row of a vendor's bill."""
    asset = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}[vendor]
    row = day_log_row(day, asset=asset, vendor=vendor, **{"completed_at": READ_AT, "content_digest": "x", **changed})
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [row])


@pytest.fixture(scope="module")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse file with these months, to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "w.duckdb"
    warehouse = create_warehouse(path, FIRST_DAY, TODAY)
    fill_months(warehouse)
    warehouse.close()
    return path


@pytest.fixture
def warehouse(prepared_file: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of these months for one test."""
    with copy_warehouse(prepared_file, tmp_path) as copy:
        yield copy


def blockers(warehouse: Warehouse, month: date = AUGUST, today: date = TODAY) -> list[str]:
    """The reasons why a month cannot be closed, as text."""
    return [str(blocker) for blocker in readiness.find_blockers(warehouse, days_of_month(month), today, FIRST_DAY)]


# --- blockers ---------------------------------------------------------------------------------------------------------


def test_a_final_month_can_be_closed(warehouse: DuckDBWarehouse) -> None:
    """A month that is loaded, final and equal to its control totals has no blocker and no note."""
    assert blockers(warehouse) == []
    assert readiness.find_notes(warehouse, days_of_month(AUGUST)) == []


DAY = date(2026, 8, 5)


def add_check_result(warehouse: Warehouse, run: str, first: date, last: date, at: int, *, passed: bool) -> None:
    """Adds a run of some days with the result of one blocking check."""
    checked_at = READ_AT + timedelta(hours=at)
    warehouse.append(OPS_RUNS, [
        {"run_id": run, "job": "daily", "started_at": checked_at, "first_day": first, "last_day": last,
         "outcome": "failed", "version": "1"},
    ])  # fmt: skip
    warehouse.append(OPS_CHECK_RESULTS, [
        {"run_id": run, "checked_at": checked_at, "asset": "fct_x", "check_name": "adds_up", "passed": passed,
         "severity": "ERROR", "blocking": True, "amount_usd": D(4), "message": "off by $4."},
    ])  # fmt: skip


ONE_DAY = "1 day: 2026-08-05"
BACKFILL = "`ai-usage backfill --from 2026-08-0"
BLOCKED: dict[str, tuple[Callable[[Warehouse], None], tuple[str, ...]]] = {
    "a day that is not loaded": (
        lambda w: replace_day_log(w, DAY, "anthropic", completed_at=None, status="failed", message="503."),
        ("anthropic: not loaded, 503", ONE_DAY, "$10.00", BACKFILL),
    ),
    "a day whose last attempt failed": (
        lambda w: replace_day_log(w, DAY, "anthropic", status="failed", message="503.", amount_usd=D(10)),
        ("anthropic: the last attempt failed, 503", ONE_DAY, "$10.00"),
    ),
    "a day that was loaded before it was final": (
        lambda w: replace_day_log(w, DAY, "cursor", completed_at=datetime(2026, 9, 8, 23, tzinfo=UTC)),
        ("cursor: final now", ONE_DAY, "$0.00", BACKFILL),
    ),
    "a day without a key": (
        lambda w: replace_day_log(w, DAY, "cursor", completed_at=None, status="not_configured", message="No key."),
        ("cursor: not loaded, No key", ONE_DAY, "$0.00"),
    ),
    "a control total that differs": (
        lambda w: upsert_rows(w, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "12", "a")),
        ("anthropic: the facts differ", "loaded_records", ONE_DAY, "$2.00"),
    ),
    "a check that failed": (
        lambda w: add_check_result(w, "r1", date(2026, 7, 1), DAY, 1, passed=False),
        ("fct_x.adds_up failed", "off by $4", "5 days: 2026-08-01 to 2026-08-05", "$4.00",
         "`ai-usage backfill --from 2026-08-01 --to 2026-08-05`"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKED)
def test_a_blocker_has_days_dollars_and_advice(warehouse: DuckDBWarehouse, name: str) -> None:
    """Each case causes exactly one blocker."""
    change, facts = BLOCKED[name]
    change(warehouse)
    (reason,) = blockers(warehouse)
    assert [fact for fact in facts if fact not in reason] == [], reason


def test_a_month_cannot_be_closed_before_its_last_day_is_final(warehouse: DuckDBWarehouse) -> None:
    """October, loaded on 15 November, has days that are still provisional and days that must be loaded again."""
    close_month(warehouse, AUGUST)
    close_month(warehouse, SEPTEMBER)
    add_loaded_days(warehouse, OCTOBER)
    replace_day_log(warehouse, date(2026, 10, 5), "anthropic", amount_usd=D(5))
    # Anthropic is final after 30 days: days to 16 October were final when they were loaded, and days to 21 October are
    # final today. Cursor is final after 35 days.
    reasons = blockers(warehouse, OCTOBER)
    assert [reason.split(" (")[0] for reason in reasons] == [
        "anthropic: provisional until 2026-11-30",
        "anthropic: final now, but last loaded before that",
        "cursor: provisional until 2026-12-05",
        "cursor: final now, but last loaded before that",
    ]
    assert "10 days: 2026-10-22 to 2026-10-31" in reasons[0]
    assert "5 days: 2026-10-17 to 2026-10-21" in reasons[1]
    assert "`ai-usage run` on 2026-12-05" in reasons[2]


def test_a_vendor_without_a_key_all_month_is_ignored(warehouse: DuckDBWarehouse) -> None:
    """A vendor that was not configured in the month does not block it; one that was not loaded does."""
    for day in days_of_month(AUGUST):
        replace_day_log(warehouse, day, "cursor", completed_at=None, status="not_configured")
    assert blockers(warehouse) == []
    (reason,) = [reason for reason in blockers(warehouse, date(2026, 10, 1)) if "cursor" in reason]
    assert reason.startswith("cursor: not loaded (31 days: 2026-10-01 to 2026-10-31; $0.00)")


def test_a_month_without_loaded_days_cannot_be_closed(tmp_path: Path) -> None:
    """An empty warehouse is not a month without spend."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST_DAY, TODAY)
    (reason,) = blockers(warehouse)
    assert "no day of the month is loaded" in reason
    warehouse.close()


def test_a_failed_check_blocks_until_the_same_days_pass(warehouse: DuckDBWarehouse) -> None:
    """A later run of other days does not clear a failure; a run of the same days does."""
    add_check_result(warehouse, "r1", date(2026, 8, 1), DAY, 1, passed=False)
    add_check_result(warehouse, "r2", date(2026, 8, 5), date(2026, 8, 9), 2, passed=True)
    (reason,) = blockers(warehouse)
    assert "4 days: 2026-08-01 to 2026-08-04" in reason
    add_check_result(warehouse, "r3", date(2026, 7, 1), date(2026, 8, 31), 3, passed=True)
    assert blockers(warehouse) == []


def test_months_are_closed_in_order(warehouse: DuckDBWarehouse) -> None:
    """The first month with spend is closed first, then one after another."""
    (reason,) = blockers(warehouse, SEPTEMBER)
    assert reason.startswith("2026-08 has spend and is still open ($10.00)")
    close_month(warehouse, AUGUST)
    assert blockers(warehouse, SEPTEMBER) == []
    assert "2026-09 is still open" in blockers(warehouse, OCTOBER)[0]
    assert "all months through 2026-08 are closed" in blockers(warehouse, date(2026, 7, 1))[0]


def test_an_active_run_blocks_a_close(warehouse: DuckDBWarehouse) -> None:
    """An active run blocks the close; a run that was killed does not."""
    row = {"run_id": "12345678-9", "job": "daily", "started_at": NOW, "outcome": "running", "version": "1"}
    warehouse.append(OPS_RUNS, [row])
    assert blockers(warehouse) == []
    with warehouse.run_lock("12345678-9"):
        (reason,) = blockers(warehouse)
    assert reason.startswith("run 12345678, started 2026-11-20 14:00 UTC")


def test_notes_describe_what_does_not_block(warehouse: DuckDBWarehouse) -> None:
    """A month that begins late, seats without a price and unallocated spend are noted."""
    warehouse.append(RAW_MAPPING_SHEET, [price_row("0", READ_AT + timedelta(days=1)) | {"payload": '{"vendor":"x"}'}])
    upsert_rows(warehouse, "int_key_mapping", mapping_row(1, "a", None))
    late, unpriced, unallocated = readiness.find_notes(warehouse, DayRange(date(2026, 9, 2), date(2026, 9, 30)))
    assert "begins on 2026-09-02" in late
    assert unpriced.startswith("1 paid seat without a price on 1 day:")
    assert unallocated.startswith("$7.00 is unallocated")


# --- freezing ---------------------------------------------------------------------------------------------------------


def closed_lines(warehouse: Warehouse) -> list[Row]:
    """The frozen lines of all months."""
    return warehouse.rows("SELECT * FROM ai_usage.kpi_chargeback WHERE status = 'closed' ORDER BY line_id")


def test_keys_that_share_a_name_have_separate_lines(warehouse: DuckDBWarehouse) -> None:
    """Keys of one name post to their own cost centers, also when one of them has none."""
    twin = {"vendor": "anthropic", "name": "ci", "last_seen_on": TODAY}
    warehouse.append(catalog.table("dim_api_key"), [{**twin, "api_key_id": key} for key in ("a", "b", "c")])
    upsert_rows(
        warehouse,
        "int_anthropic_cost_daily",
        cost_row(4, "2026-08-05", "20", "b"),
        cost_row(5, "2026-08-05", "40", "c"),
    )
    upsert_rows(warehouse, "int_key_mapping", mapping_row(3, "b", "CC-9"))
    close_month(warehouse, AUGUST)
    assert journal_rows(warehouse, "cost_center", "team", where="status = 'closed'") == [
        ("CC-1", "Team CC-1", 10),
        ("CC-9", "Team CC-9", 20),
        (None, None, 40),
    ]
    # Unallocated lines are the last ones.
    assert [line["cost_center"] for line in closed_lines(warehouse)] == ["CC-1", "CC-9", None]


def test_a_closed_month_is_not_drafted_again(warehouse: DuckDBWarehouse) -> None:
    """The draft of a closed month is an error, which says when it was closed."""
    close_month(warehouse, AUGUST)
    with pytest.raises(CloseError, match=r"2026-08 .*2026-11-20 14:00:00"):
        journal.draft_close(warehouse, AUGUST, NOW + timedelta(days=1))


def test_a_month_without_spend_has_a_close_without_lines(warehouse: DuckDBWarehouse) -> None:
    """A month without spend closes with zero dollars and without totals."""
    draft = journal.draft_close(warehouse, NOVEMBER, NOW)
    assert (draft.lines, draft.totals) == ([], [])
    close = draft.close
    assert (close["lines"], close["charges_usd"], close["corrections_usd"]) == (0, D(0), D(0))
    assert close["mapping_snapshot"] is None


def test_a_close_covers_the_days_of_its_month(warehouse: DuckDBWarehouse) -> None:
    """Lines and totals include the last day of the month and not the first one of the next."""
    upsert_rows(
        warehouse,
        "int_anthropic_cost_daily",
        cost_row(4, "2026-08-31", "20", "a"),
        cost_row(5, "2026-09-01", "40", "a"),
        cost_row(6, "2026-07-31", "80", "a"),
    )
    draft = journal.draft_close(warehouse, AUGUST, NOW)
    assert [total["amount_usd"] for total in draft.totals] == [D(30)] == [draft.close["charges_usd"]]


def test_closing_twice_changes_nothing(warehouse: DuckDBWarehouse) -> None:
    """The second close returns the first, even when the data changed in between."""
    first = close_month(warehouse, AUGUST)
    lines = closed_lines(warehouse)
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "11", "a"))
    assert close_month(warehouse, AUGUST, NOW + timedelta(days=1)) == first
    assert closed_lines(warehouse) == lines
    assert first["closed_at"] == NOW
    assert [line["amount_usd"] for line in journal.load_journal(warehouse, first)] == [D(10)]


def test_one_of_two_concurrent_closes_wins(warehouse: DuckDBWarehouse) -> None:
    """The second of two concurrent closes returns the first; its own lines are ignored."""
    slow = journal.draft_close(warehouse, AUGUST, NOW)
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "11", "a"))
    quick = journal.draft_close(warehouse, AUGUST, NOW + timedelta(seconds=1))
    assert slow.close["close_id"] != quick.close["close_id"]
    won = journal.freeze_close(warehouse, quick)
    assert journal.freeze_close(warehouse, slow) == won == quick.close
    assert [line["amount_usd"] for line in closed_lines(warehouse)] == [D(11)]


def test_a_close_can_be_repeated_after_it_was_killed(warehouse: DuckDBWarehouse) -> None:
    """Lines without a close row are ignored, and a later close writes its own."""
    draft = journal.draft_close(warehouse, AUGUST, NOW)
    warehouse.upsert(OPS_JOURNAL_LINES, ("close_id", "line_id"), [{**line} for line in draft.lines])
    assert closed_lines(warehouse) == []
    assert journal.find_close(warehouse, AUGUST) is None
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "11", "a"))
    close_month(warehouse, AUGUST)
    assert [line["amount_usd"] for line in closed_lines(warehouse)] == [D(11)]


def test_totals_are_stored_with_a_digest_of_their_raw_days(warehouse: DuckDBWarehouse) -> None:
    """Totals are stored by vendor and cost basis; the digest changes when a raw day changes."""
    close_month(warehouse, AUGUST)
    before = journal.draft_close(warehouse, SEPTEMBER, NOW)
    replace_day_log(warehouse, date(2026, 9, 30), "cursor", content_digest="another")
    close_month(warehouse, SEPTEMBER)
    rows = warehouse.rows("SELECT * FROM ai_usage.ops_close_totals ORDER BY month, vendor, cost_basis")
    totals = [(row["month"], row["vendor"], row["cost_basis"], row["amount_usd"]) for row in rows]
    assert totals == [
        (AUGUST, "anthropic", "billed", D(10)),
        (SEPTEMBER, "anthropic", "billed", D(7)),
        (SEPTEMBER, "cursor", "billed", D(3)),
        (SEPTEMBER, "cursor", "seat", D(2)),
    ]
    digests = [row["content_digest"] for row in rows]
    assert [len(digest or "") for digest in digests] == [64, 64, 64, 0]
    assert before.totals[0]["content_digest"] == digests[1]
    assert before.totals[1]["content_digest"] != digests[2]


# --- integrity --------------------------------------------------------------------------------------------------------

# What is edited in September -> the SQL, terms of the finding, and its dollars.
EDITED = {
    "an amount": (
        "UPDATE ops_journal_lines SET amount_usd = amount_usd + 100 WHERE line_id = 'AI-2026-09-00001'",
        ("$112.00 instead of $12.00", "anthropic billed by −$100.000000000", "debits and credits"), 100,
    ),
    "a debit": (
        "UPDATE ops_journal_lines SET ledger_usd = ledger_usd + 1 WHERE line_id = 'AI-2026-09-00001'",
        ("debits and credits",), 1,
    ),
    "a cost center": (
        "UPDATE ops_journal_lines SET cost_center = 'CC-9' WHERE line_id = 'AI-2026-09-00001'",
        ("its dollars add up",), None,
    ),
    "a total": (
        "UPDATE ops_close_totals SET amount_usd = 9 WHERE vendor = 'anthropic' AND month = DATE '2026-09-01'",
        ("anthropic billed by $2.000000000",), 2,
    ),
    "a deleted line": (
        "DELETE FROM ops_journal_lines WHERE line_id = 'AI-2026-09-00003'",
        ("2 lines instead of 3", "$10.00 instead of $12.00", "cursor seat by $2.000000000"), 2,
    ),
    "a sum in the close row": (
        "UPDATE ops_month_closes SET corrections_usd = 4 WHERE month = DATE '2026-09-01'",
        ("$0.00 instead of $4.00",), 4,
    ),
}  # fmt: skip


def edit(warehouse: DuckDBWarehouse, sql: str) -> None:
    """Changes the warehouse without the pipeline."""
    warehouse._connect().execute(sql)


def find_changes(warehouse: Warehouse) -> list[Finding]:
    """The findings of the check of closed months."""
    (check,) = (check for check in CHECKS if check.name == "closed_months_unchanged")
    assert (check.asset, check.blocking) == ("kpi_chargeback", True)
    return list(check.run(CheckContext(warehouse, days_of_month(NOVEMBER), TODAY)))


def test_an_edited_close_is_reported_and_not_exported(warehouse: DuckDBWarehouse) -> None:
    """The finding names the month and the dollars. Only that month is not exported, and no month can be closed."""
    first, second = close_month(warehouse, AUGUST), close_month(warehouse, SEPTEMBER)
    assert find_changes(warehouse) == []
    for name, (sql, facts, usd) in EDITED.items():
        edit(warehouse, "BEGIN")
        edit(warehouse, sql)
        (finding,) = find_changes(warehouse)
        assert [fact for fact in (f"2026-09 was changed after close {second['close_id']}", *facts)
                if fact not in finding.message] == [], name  # fmt: skip
        assert finding.amount_usd == usd, name
        with pytest.raises(CloseError, match="2026-09 is not shown or exported"):
            journal.load_journal(warehouse, second)
        assert len(journal.load_journal(warehouse, first)) == 1
        edit(warehouse, "ROLLBACK")
    edit(warehouse, sql)
    assert blockers(warehouse, OCTOBER)[0].startswith("2026-09 was changed after close")


def test_a_deleted_close_row_before_another_is_reported(warehouse: DuckDBWarehouse) -> None:
    """The finding has the dollars and the id of the lines. Deleting the last close is allowed."""
    first, _ = close_month(warehouse, AUGUST), close_month(warehouse, SEPTEMBER)
    edit(warehouse, f"DELETE FROM ops_month_closes WHERE month = DATE '{AUGUST}'")
    (finding,) = find_changes(warehouse)
    assert finding.message.startswith("2026-08 is open although")
    assert first["close_id"] in finding.message
    assert finding.amount_usd == 10
    edit(warehouse, f"DELETE FROM ops_month_closes WHERE month > DATE '{AUGUST}'")
    assert find_changes(warehouse) == []


def test_a_stored_result_of_the_integrity_check_does_not_block(warehouse: DuckDBWarehouse) -> None:
    """A close verifies the closed months itself and ignores what a run found."""
    add_check_result(warehouse, "r1", date(2026, 8, 1), DAY, 1, passed=False)
    edit(warehouse, "UPDATE ops_check_results SET asset = 'kpi_chargeback', check_name = 'closed_months_unchanged'")
    assert blockers(warehouse) == []


# --- export -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 2), st.decimals(D(-1000), D(1000), places=9)), max_size=30))
def test_cents_add_up_to_the_rounded_total(amounts: list[tuple[int, Decimal]]) -> None:
    """Each line is within a cent of its exact amount, and the cents of a vendor add up to the rounded sum."""
    lines: list[Any] = [
        {"usage_month": AUGUST, "vendor": who, "cost_basis": "billed", "amount_usd": usd} for who, usd in amounts
    ]
    cents = integrity.round_to_cents(lines)
    for who in (1, 2):
        mine = [(usd, cent) for (vendor, usd), cent in zip(amounts, cents, strict=True) if vendor == who]
        exact = sum((usd for usd, _ in mine), D(0))
        assert abs(sum((cent for _, cent in mine), D(0)) - exact) <= D("0.005")
        assert all(abs(usd - cent) < D("0.01") for usd, cent in mine)
    assert all(cent == cent.quantize(D("0.01")) for cent in cents)


def test_the_export_has_the_format_of_a_ledger(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """The file has ISO dates, fixed decimals and debit or credit, and escapes formulas in names."""
    close_month(warehouse, AUGUST)
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "4.005", "a"))
    upsert_rows(
        warehouse, "int_key_mapping",
        mapping_row(1, "a", "CC-1") | {"team": "=A1"}, mapping_row(2, JANE, "@SUM(1)", kind="user"),
    )  # fmt: skip
    close = close_month(warehouse, SEPTEMBER)
    path, lines = tmp_path / "journal.csv", journal.load_journal(warehouse, close)
    assert [line["reason"] for line in lines] == [None] * 3 + ["restated"] * 2
    assert all(line["description"].endswith(f", {line['team']}") for line in lines)
    layouts.write_csv(path, close, lines)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = ("usage_period", "cost_center", "team", "account_key", "debit", "credit", "amount_usd")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("2026-09", "CC-1", "'=A1", "anthropic.billed", "7.00", "", "7.000000000"),
        ("2026-09", "'@SUM(1)", "Team @SUM(1)", "cursor.billed", "3.00", "", "3.000000000"),
        ("2026-09", "'@SUM(1)", "Team @SUM(1)", "cursor.seat", "2.00", "", "2.000000000"),
        # $4.005 and -$10 are -$5.995, in cents -$6.00: the line of $4.005 loses its half cent.
        ("2026-08", "CC-1", "'=A1", "anthropic.billed", "4.00", "", "4.005000000"),
        ("2026-08", "CC-1", "Team CC-1", "anthropic.billed", "", "10.00", "-10.000000000"),
    ]
    assert [row["line_id"] for row in rows] == [f"AI-2026-09-0000{number}" for number in range(1, 6)]
    assert {(row["period"], row["posting_date"], row["currency"]) for row in rows} == {("2026-09", "2026-09-30", "USD")}
    assert rows[0]["description"].startswith("AI usage 2026-09, anthropic billed api,")
    assert rows[4]["description"].startswith("Correction (restated) of AI usage 2026-08,")
    assert not any(value.startswith(("=", "+", "@", "\t")) for row in rows for value in row.values())
    assert [file.name for file in tmp_path.iterdir() if "journal" in file.name] == ["journal.csv"]


def test_a_line_of_zero_cents_is_not_exported(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """A line of 0.00 stays in the journal and is not exported; its number stays unused."""
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(4, "2026-08-05", "0.004", "b"))
    upsert_rows(warehouse, "int_key_mapping", mapping_row(3, "b", "CC-0"))
    close = close_month(warehouse, AUGUST)
    lines = journal.load_journal(warehouse, close)
    assert [line["ledger_usd"] for line in lines] == [D(0), D(10)]
    path = tmp_path / "journal.csv"
    assert layouts.write_csv(path, close, lines) == 1
    with path.open(newline="", encoding="utf-8") as file:
        assert [(row["line_id"], row["debit"]) for row in csv.DictReader(file)] == [("AI-2026-08-00002", "10.00")]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(prepared_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a command on these months."""
    variables = {
        "AI_USAGE_DUCKDB_PATH": str(shutil.copyfile(prepared_file, tmp_path / "w.duckdb")),
        "AI_USAGE_START_DATE": str(FIRST_DAY),
        "AI_USAGE_NOW": NOW.isoformat(),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_the_command_closes_once_and_exports(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command freezes the month and writes a file. A second call changes nothing and writes an equal file."""
    file = tmp_path / "journal.csv"
    command = ("close", "--month", "2026-08", "--csv", str(file))
    assert cli.main(command) == 0
    output = capsys.readouterr()
    assert "2026-08 is closed" in output.err
    assert "1 line written" in output.err
    assert "CC-1" in output.out
    assert JANE not in output.out + output.err
    exported = file.read_bytes()
    assert exported.count(b"AI-2026-08-00001") == 1
    file.unlink()
    assert cli.main(command) == 0
    assert "2026-08 was closed on 2026-11-20 14:00 UTC" in capsys.readouterr().err
    assert file.read_bytes() == exported


COMMANDS: list[tuple[tuple[str, ...], int, tuple[str, ...]]] = [
    (("--month", "2026-11"), 2, ("2026-11 is not over",)),
    (("--month", "2026-13"), 2, ("YYYY-MM",)),
    (("--month", "2026-07"), 2, ("2026-08-01",)),
    (("--month", "2026-08", "--csv", "no/x.csv"), 2, ("existing folder",)),
    (("--csv", "x.csv"), 2, ("needs --month",)),
    (("--month", "2026-09"), 1, ("2026-08 has spend and is still open ($10.00)",)),
    (("--month", "2026-08", "--dry-run"), 0, ("2026-08 can be closed",)),
    ((), 0, ("2026-08 │ can be closed │", "2026-09 – Close 2026-08 first.")),
]


def test_the_command_reports_results_and_errors(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command gives its reason when it refuses; a listing and a dry run change nothing."""
    wrong = []
    for arguments, expected, reasons in COMMANDS:
        code = cli.main(("close", *arguments))
        output = capsys.readouterr()
        text = " ".join((output.out + output.err).split())
        if code != expected or any(reason not in text for reason in reasons):
            wrong.append((arguments, code, text))
    assert wrong == []
    warehouse = DuckDBWarehouse(environment["AI_USAGE_DUCKDB_PATH"])
    assert warehouse.rows("SELECT close_id FROM ai_usage.ops_journal_lines") == []
    assert warehouse.rows("SELECT close_id FROM ai_usage.ops_month_closes") == []
    warehouse.close()


def test_a_month_before_the_start_date_can_be_closed(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With data from before the start date, the first month with spend is closed first."""
    monkeypatch.setenv("AI_USAGE_START_DATE", "2026-09-15")
    assert cli.main(("close", "--month", "2026-09")) == 1
    assert "before AI_USAGE_START_DATE, 2026-09-15" in capsys.readouterr().err
    assert cli.main(("close", "--month", "2026-07")) == 2
    assert "2026-07 is before the first day, 2026-08-01" in capsys.readouterr().err
    for _ in range(2):
        assert cli.main(("close", "--month", "2026-08", "--csv", str(tmp_path / "journal.csv"))) == 0
    assert "2026-08 was closed on" in capsys.readouterr().err
    assert cli.main(("close", "--month", "2026-09", "--dry-run")) == 0


def test_days_outside_the_calendar_block_a_close(warehouse: DuckDBWarehouse) -> None:
    """Their settlement date is unknown; the advice names the setting to change."""
    edit(warehouse, "DELETE FROM dim_date WHERE usage_date < DATE '2026-08-03'")
    reasons = [
        str(reason) for reason in readiness.find_blockers(warehouse, days_of_month(AUGUST), TODAY, date(2026, 8, 3))
    ]
    expected = (
        "anthropic: not in the calendar",
        "cursor: not in the calendar",
        "the month begins before AI_USAGE_STAR",
    )
    assert [reason[: len(begin)] for reason, begin in zip(reasons, expected, strict=True)] == [*expected]
    assert ["2 days: 2026-08-01 to 2026-08-02" in reason for reason in reasons] == [True] * 3
    assert "Set AI_USAGE_START_DATE to 2026-08-01" in reasons[-1]


# --- BigQuery ---------------------------------------------------------------------------------------------------------


def all_journal_lines(warehouse: Warehouse) -> list[Row]:
    """Every line of the journal, in the order of the file."""
    return warehouse.rows(
        "SELECT * FROM ai_usage.kpi_chargeback ORDER BY posting_month, line_id, usage_month, "
        "cost_center, vendor, product, cost_basis, line_type, reason"
    )


def tables_read_by(*names: str) -> list[Table]:
    """These tables and views, all that they read, and the ops tables."""
    wanted = set(names)
    for table in reversed(catalog.tables()):
        wanted |= set(table.reads) if table.name in wanted else set()
    return [table for table in catalog.tables() if table.name in wanted or table in OPS_TABLES]


def test_bigquery_and_duckdb_close_alike(warehouse: DuckDBWarehouse) -> None:
    """Both engines freeze equal lines under equal ids, and correct them by the same dollars."""
    with FakeBigQuery() as server:
        bigquery = BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)
        prepared = tables_read_by("kpi_chargeback", "kpi_reconciliation")
        bigquery.prepare(prepared)
        bigquery.rebuild(catalog.table("dim_date"), {"first_day": FIRST_DAY, "today": TODAY})
        fill_months(bigquery)
        rebuild_shared_models(bigquery, prepared)
        assert blockers(bigquery) == blockers(warehouse) == []
        for one in (bigquery, warehouse):
            first = close_month(one, AUGUST)
            assert close_month(one, AUGUST, NOW + timedelta(days=1)) == first
            upsert_rows(one, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "7.5", "a"))
            rebuild_shared_models(one, prepared)
            close_month(one, SEPTEMBER)
            upsert_rows(one, "int_key_mapping", mapping_row(1, "a", "CC-9"))
            rebuild_shared_models(one, prepared)
        assert all_journal_lines(bigquery) == all_journal_lines(warehouse)
        assert integrity.verify_integrity(bigquery) == integrity.verify_integrity(warehouse) == {}
        closes = "SELECT * FROM ai_usage.ops_month_closes ORDER BY month"
        assert bigquery.rows(closes) == warehouse.rows(closes)
        assert len(journal_rows(bigquery, "line_id", where="status = 'open'")) == len(all_journal_lines(bigquery)) - 5


def test_one_of_several_concurrent_closes_wins() -> None:
    """Concurrent inserts for a month leave one row. After it is deleted by hand, a row can be inserted again."""
    with FakeBigQuery() as server:
        containers = [
            BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None) for _ in range(4)
        ]
        containers[0].prepare([OPS_MONTH_CLOSES])
        row = {"month": AUGUST, "closed_at": NOW, "as_of_date": TODAY, "charges_usd": D(1), "corrections_usd": D(0)}
        row |= {"lines": 1, "version": "1"}
        gate = threading.Barrier(len(containers))

        def add(number: int) -> None:
            gate.wait()
            containers[number].insert_if_absent(OPS_MONTH_CLOSES, ("month",), {**row, "close_id": str(number)})

        threads = [threading.Thread(target=add, args=(number,)) for number in range(len(containers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (row_in_table,) = server.rows("SELECT * FROM ai_usage.ops_month_closes")
        assert row_in_table["close_id"] in "0123"
        # Delete it by hand, and insert it again.
        containers[0].query("DELETE FROM ai_usage.ops_month_closes WHERE TRUE")
        containers[0].insert_if_absent(OPS_MONTH_CLOSES, ("month",), {**row, "close_id": "5"})
        assert [row["close_id"] for row in server.rows("SELECT * FROM ai_usage.ops_month_closes")] == ["5"]


def test_a_failed_bigquery_insert_is_repeated_under_a_new_job_id() -> None:
    """The job id depends on the table, the month and the number of failures."""
    with FakeBigQuery() as server:
        container = BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)
        container.prepare([OPS_MONTH_CLOSES])
        server.requests.clear()
        row = {"month": AUGUST, "close_id": "1", "closed_at": NOW, "as_of_date": TODAY, "charges_usd": D(1)}
        row |= {"corrections_usd": D(0), "lines": 1, "version": "1"}
        server.faults.fail_job("quotaExceeded", on="query")
        with pytest.raises(WarehouseError):
            container.insert_if_absent(OPS_MONTH_CLOSES, ("month",), row)
        container.insert_if_absent(OPS_MONTH_CLOSES, ("month",), row)
        first, second = [seen.job_id for seen in server.requests if seen.kind == "query"]
        assert second == f"{first}-again-2"
        assert len(server.rows("SELECT * FROM ai_usage.ops_month_closes")) == 1
