"""The month close: what keeps a month open, that it is closed once, and what a ledger gets."""

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
)
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.commands.test_cli import ai_usage
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
    billed,
    event,
    hold,
    mapped,
    posted,
    price,
    put,
    seat,
    shut,
    whole,
)
from ai_usage_assets_tests.support.warehouse_rows import copied, entry, opened

D = Decimal
JANE = "jane@example.com"


def keep(warehouse: Warehouse) -> None:
    """Two settled months: $10 of a key in August; $7 of it, $3 of Jane's and a day of her seat, $2, in September."""
    put(
        warehouse, "int_anthropic_cost_daily",
        billed(1, "2026-08-05", "10", "a"), billed(2, "2026-09-06", "7", "a"), billed(3, "2026-10-05", "5", "a"),
    )  # fmt: skip
    put(warehouse, "int_cursor_usage_daily", event(1, "2026-09-07", "3", JANE))
    put(warehouse, "int_cursor_seat_daily", seat(1, "2026-09-08", JANE))
    put(warehouse, "int_key_mapping", mapped(1, "a", "CC-1"), mapped(2, JANE, "CC-2", kind="user"))
    warehouse.append(RAW_MAPPING_SHEET, [price("60")])
    held = {("anthropic", date(2026, 8, 5)): 10, ("anthropic", date(2026, 9, 6)): 7, ("cursor", date(2026, 9, 7)): 3}
    for month in (AUGUST, SEPTEMBER):
        hold(warehouse, month)
    for (vendor, day), usd in held.items():
        again(warehouse, day, vendor, amount_usd=D(usd))


def again(warehouse: Warehouse, day: date, vendor: str, **changed: Any) -> None:
    """Another ending of the pull of a day of a vendor's bill."""
    asset = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}[vendor]
    row = entry(day, asset=asset, vendor=vendor, **{"completed_at": READ_AT, "content_digest": "x", **changed})
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [row])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with these books; to be copied."""
    path = tmp_path_factory.mktemp("kept") / "w.duckdb"
    made = opened(path, FIRST_DAY, TODAY)
    keep(made)
    made.close()
    return path


@pytest.fixture
def warehouse(kept: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """These books, of its own for a test."""
    with copied(kept, tmp_path) as made:
        yield made


def told(warehouse: Warehouse, month: date = AUGUST, today: date = TODAY) -> list[str]:
    """Why a month cannot be closed."""
    return [str(blocker) for blocker in readiness.find_blockers(warehouse, whole(month), today, FIRST_DAY)]


# --- what keeps a month open --------------------------------------------------------------------------------------


def test_a_settled_month_can_be_closed(warehouse: DuckDBWarehouse) -> None:
    """Held, sound, final, equal to its controls: nothing is told, and nothing is of note."""
    assert told(warehouse) == []
    assert readiness.find_notes(warehouse, whole(AUGUST)) == []


DAY = date(2026, 8, 5)


def checked(warehouse: Warehouse, run: str, first: date, last: date, at: int, *, passed: bool) -> None:
    """A run of some days and how one blocking check ended in it."""
    moment = READ_AT + timedelta(hours=at)
    warehouse.append(
        OPS_RUNS,
        [
            {
                "run_id": run,
                "job": "daily",
                "started_at": moment,
                "first_day": first,
                "last_day": last,
                "outcome": "failed",
                "version": "1",
            }
        ],
    )
    warehouse.append(
        OPS_CHECK_RESULTS,
        [
            {
                "run_id": run,
                "checked_at": moment,
                "asset": "fct_x",
                "check_name": "adds_up",
                "passed": passed,
                "severity": "ERROR",
                "blocking": True,
                "amount_usd": D(4),
                "message": "off by $4.",
            }
        ],
    )


HINDERED: dict[str, tuple[Callable[[Warehouse], None], str]] = {
    "a day that is not held": (
        lambda w: again(w, DAY, "anthropic", completed_at=None, status="failed", message="503."),
        "anthropic: not loaded, 503 (1 day: 2026-08-05; $10.00). Run `ai-usage backfill --from 2026-08-01 --to",
    ),
    "a day whose last pull failed": (
        lambda w: again(w, DAY, "anthropic", status="failed", message="503.", amount_usd=D(10)),
        "anthropic: the last attempt failed, 503 (1 day: 2026-08-05; $10.00). Earlier data is kept",
    ),
    "a day that was read before it settled": (
        lambda w: again(w, DAY, "cursor", completed_at=datetime(2026, 9, 8, 23, tzinfo=UTC)),
        "cursor: final now, but last loaded before that (1 day: 2026-08-05; $0.00). Run `ai-usage backfill --from",
    ),
    "a key that was missing for a day": (
        lambda w: again(w, DAY, "cursor", completed_at=None, status="not_configured", message="No key."),
        "cursor: not loaded, No key (1 day: 2026-08-05; $0.00)",
    ),
    "a control that differs": (
        lambda w: put(w, "int_anthropic_cost_daily", billed(1, "2026-08-05", "12", "a")),
        "anthropic: the facts differ from the control loaded_records (1 day: 2026-08-05; $2.00)",
    ),
    "a check that failed": (
        lambda w: checked(w, "r1", date(2026, 7, 1), DAY, 1, passed=False),
        "the check fct_x.adds_up failed in the last run for these days: off by $4 (5 days: 2026-08-01 to 2026-08-05; "
        "$4.00). Fix the cause, then run `ai-usage backfill --from 2026-08-01 --to 2026-08-05`",
    ),
}


@pytest.mark.parametrize("name", HINDERED)
def test_what_keeps_a_month_open_is_told_with_days_dollars_and_advice(warehouse: DuckDBWarehouse, name: str) -> None:
    """Each reason stands alone, and the month can be closed as soon as it is gone."""
    hinder, says = HINDERED[name]
    hinder(warehouse)
    (reason,) = told(warehouse)
    assert reason.startswith(says)


def test_a_month_waits_until_its_last_day_has_settled(warehouse: DuckDBWarehouse) -> None:
    """October, read on 15 November: its days settle from 8 November (Anthropic) or 5 November (Cursor) on."""
    shut(warehouse, AUGUST)
    shut(warehouse, SEPTEMBER)
    hold(warehouse, OCTOBER)
    again(warehouse, date(2026, 10, 5), "anthropic", amount_usd=D(5))
    # Anthropic: the 17th and later are final thirty days after, from the 16th of November on; those after the 20th of
    # October are not yet. Cursor: the 12th settles on the 16th of November.
    found = told(warehouse, OCTOBER)
    assert [reason.split(" (")[0] for reason in found] == [
        "anthropic: provisional until 2026-11-30",
        "anthropic: final now, but last loaded before that",
        "cursor: provisional until 2026-12-05",
        "cursor: final now, but last loaded before that",
    ]
    assert "10 days: 2026-10-22 to 2026-10-31" in found[0]
    assert "5 days: 2026-10-17 to 2026-10-21" in found[1]
    assert "Run `ai-usage run` on 2026-12-05 or later, then close the month." in found[2]


def test_a_vendor_that_was_not_configured_all_month_is_not_waited_for(warehouse: DuckDBWarehouse) -> None:
    """One that is used later, and had no key then, has no day to wait for; one that was just not loaded has."""
    for day in whole(AUGUST):
        again(warehouse, day, "cursor", completed_at=None, status="not_configured")
    assert told(warehouse) == []
    (reason,) = [reason for reason in told(warehouse, date(2026, 10, 1)) if "cursor" in reason]
    assert reason.startswith("cursor: not loaded (31 days: 2026-10-01 to 2026-10-31; $0.00)")


def test_a_month_that_nobody_has_loaded_is_not_closed(tmp_path: Path) -> None:
    """Nothing held of anybody is no month without spend."""
    warehouse = opened(tmp_path / "w.duckdb", FIRST_DAY, TODAY)
    (reason,) = told(warehouse)
    assert "no day of the month is loaded" in reason
    warehouse.close()


def test_a_failed_check_is_forgotten_when_the_same_days_pass(warehouse: DuckDBWarehouse) -> None:
    """A later run of other days does not make a failure good; one of these days does."""
    checked(warehouse, "r1", date(2026, 8, 1), DAY, 1, passed=False)
    checked(warehouse, "r2", date(2026, 8, 5), date(2026, 8, 9), 2, passed=True)
    (reason,) = told(warehouse)
    assert "4 days: 2026-08-01 to 2026-08-04" in reason
    checked(warehouse, "r3", date(2026, 7, 1), date(2026, 8, 31), 3, passed=True)
    assert told(warehouse) == []


def test_months_are_closed_in_order(warehouse: DuckDBWarehouse) -> None:
    """The first with spend comes first, then one after another; what lies before the books stays there."""
    assert told(warehouse, SEPTEMBER) == [
        "2026-08 has spend and is still open ($10.00). Close the months in order, that one first."
    ]
    shut(warehouse, AUGUST)
    assert told(warehouse, SEPTEMBER) == []
    assert "2026-09 is still open. Close the months in order" in told(warehouse, OCTOBER)[0]
    assert "all months through 2026-08 are closed" in told(warehouse, date(2026, 7, 1))[0]


def test_nothing_is_closed_under_a_run_at_work(warehouse: DuckDBWarehouse) -> None:
    """A run that is building makes the month wait; one that was killed does not."""
    row = {"run_id": "12345678-9", "job": "daily", "started_at": NOW, "outcome": "running", "version": "1"}
    warehouse.append(OPS_RUNS, [row])
    assert told(warehouse) == []
    with warehouse.run_lock("12345678-9"):
        (reason,) = told(warehouse)
    assert reason.startswith("run 12345678, started 2026-11-20 14:00 UTC, is still active.")


def test_what_does_not_hinder_is_noted(warehouse: DuckDBWarehouse) -> None:
    """A month that begins late, a seat without a price and spend without a cost center are said before."""
    warehouse.append(RAW_MAPPING_SHEET, [price("0", READ_AT + timedelta(days=1)) | {"payload": '{"vendor":"x"}'}])
    put(warehouse, "int_key_mapping", mapped(1, "a", None))
    late, unpriced, unallocated = readiness.find_notes(warehouse, DayRange(date(2026, 9, 2), date(2026, 9, 30)))
    assert "begins on 2026-09-02" in late
    assert unpriced.startswith("1 paid seat without a price on 1 day:")
    assert unallocated.startswith("$7.00 is unallocated")


# --- once -------------------------------------------------------------------------------------------------------------


def frozen(warehouse: Warehouse) -> list[Row]:
    return warehouse.rows("SELECT * FROM ai_usage.kpi_chargeback WHERE status = 'closed' ORDER BY line_id")


def test_closing_twice_is_one_close(warehouse: DuckDBWarehouse) -> None:
    """The second finds the first, whatever has happened in between, and nothing is written anew."""
    first = shut(warehouse, AUGUST)
    lines = frozen(warehouse)
    put(warehouse, "int_anthropic_cost_daily", billed(1, "2026-08-05", "11", "a"))
    assert shut(warehouse, AUGUST, NOW + timedelta(days=1)) == first
    assert frozen(warehouse) == lines
    assert first["closed_at"] == NOW
    assert [line["amount_usd"] for line in journal.load_journal(warehouse, first)] == [D(10)]


def test_of_two_closes_at_once_one_wins(warehouse: DuckDBWarehouse) -> None:
    """Who comes second, with other lines, is told of the first; its own lines count for nothing."""
    slow = journal.draft_close(warehouse, AUGUST, NOW)
    put(warehouse, "int_anthropic_cost_daily", billed(1, "2026-08-05", "11", "a"))
    quick = journal.draft_close(warehouse, AUGUST, NOW + timedelta(seconds=1))
    assert slow.close["close_id"] != quick.close["close_id"]
    won = journal.freeze_close(warehouse, quick)
    assert journal.freeze_close(warehouse, slow) == won == quick.close
    assert [line["amount_usd"] for line in frozen(warehouse)] == [D(11)]


def test_a_close_that_was_killed_is_made_good(warehouse: DuckDBWarehouse) -> None:
    """Lines without the row that closes their month are not seen, and a later close writes its own."""
    made = journal.draft_close(warehouse, AUGUST, NOW)
    warehouse.upsert(OPS_JOURNAL_LINES, ("close_id", "line_id"), made.lines)
    assert frozen(warehouse) == []
    assert journal.find_close(warehouse, AUGUST) is None
    put(warehouse, "int_anthropic_cost_daily", billed(1, "2026-08-05", "11", "a"))
    shut(warehouse, AUGUST)
    assert [line["amount_usd"] for line in frozen(warehouse)] == [D(11)]


def test_lines_that_do_not_add_up_are_not_frozen(warehouse: DuckDBWarehouse) -> None:
    """A journal that lacks a billionth of a dollar of what the vendor billed is refused."""
    made = journal.draft_close(warehouse, AUGUST, NOW)
    short = [{**line, "amount_usd": D("9.999999999")} for line in made.lines]
    with pytest.raises(CloseError, match=r"anthropic billed by \$0\.000000001"):
        integrity.check_totals(AUGUST, short, made.totals)


def test_the_totals_and_what_they_came_from_are_kept(warehouse: DuckDBWarehouse) -> None:
    """Per vendor and basis, with a digest of the raw days that changes when one of them does."""
    shut(warehouse, AUGUST)
    before = journal.draft_close(warehouse, SEPTEMBER, NOW)
    again(warehouse, date(2026, 9, 30), "cursor", content_digest="another")
    shut(warehouse, SEPTEMBER)
    rows = warehouse.rows("SELECT * FROM ai_usage.ops_close_totals ORDER BY month, vendor, cost_basis")
    found = [(row["month"], row["vendor"], row["cost_basis"], row["amount_usd"]) for row in rows]
    assert found == [
        (AUGUST, "anthropic", "billed", D(10)),
        (SEPTEMBER, "anthropic", "billed", D(7)),
        (SEPTEMBER, "cursor", "billed", D(3)),
        (SEPTEMBER, "cursor", "seat", D(2)),
    ]
    digests = [row["content_digest"] for row in rows]
    assert [len(digest or "") for digest in digests] == [64, 64, 64, 0]
    assert before.totals[0]["content_digest"] == digests[1]
    assert before.totals[1]["content_digest"] != digests[2]


# --- is it what was closed? -------------------------------------------------------------------------------------------

EDITED = {
    "an amount": (
        "UPDATE ops_journal_lines SET amount_usd = amount_usd + 100 WHERE line_id = 'AI-2026-09-00001'",
        "its charges are $112.00 instead of $12.00, its charges differ from the vendors' totals (anthropic billed by "
        "−$100.000000000), its debits and credits are not its amounts in cents ($100.00)",
    ),
    "a debit": (
        "UPDATE ops_journal_lines SET ledger_usd = ledger_usd + 1 WHERE line_id = 'AI-2026-09-00001'",
        "its debits and credits are not its amounts in cents ($1.00)",
    ),
    "a cost center": (
        "UPDATE ops_journal_lines SET cost_center = 'CC-9' WHERE line_id = 'AI-2026-09-00001'",
        "its dollars add up, but another column was edited",
    ),
    "a total": (
        "UPDATE ops_close_totals SET amount_usd = 9 WHERE vendor = 'anthropic' AND month = DATE '2026-09-01'",
        "its charges differ from the vendors' totals (anthropic billed by $2.000000000) ($2.00)",
    ),
    "a line gone": (
        "DELETE FROM ops_journal_lines WHERE line_id = 'AI-2026-09-00003'",
        "it has 2 lines instead of 3, its charges are $10.00 instead of $12.00, its charges differ from the vendors' "
        "totals (cursor seat by $2.000000000) ($2.00)",
    ),
    "what a close says of itself": (
        "UPDATE ops_month_closes SET corrections_usd = 4 WHERE month = DATE '2026-09-01'",
        "its corrections are $0.00 instead of $4.00 ($4.00)",
    ),
}  # fmt: skip


def edit(warehouse: DuckDBWarehouse, sql: str) -> None:
    """Changes the books behind everybody's back."""
    warehouse._connect().execute(sql)


def damaged(warehouse: Warehouse) -> list[Finding]:
    """What the check of the books finds."""
    (check,) = (check for check in CHECKS if check.name == "closed_months_unchanged")
    assert (check.asset, check.blocking) == ("kpi_chargeback", True)
    return list(check.run(CheckContext(warehouse, whole(NOVEMBER), TODAY)))


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_close_is_told_and_neither_shown_nor_built_upon(warehouse: DuckDBWarehouse, name: str) -> None:
    """The month, what differs and the dollars are told; that month is not exported, another is, and none is closed."""
    first, second = shut(warehouse, AUGUST), shut(warehouse, SEPTEMBER)
    assert damaged(warehouse) == []
    sql, says = EDITED[name]
    edit(warehouse, sql)
    (found,) = damaged(warehouse)
    assert found.message.startswith(
        f"2026-09 was changed after close {second['close_id']}: {says}. Restore its rows in"
    )
    with pytest.raises(CloseError, match="The journal of 2026-09 is not shown or exported: 2026-09 was"):
        journal.load_journal(warehouse, second)
    assert len(journal.load_journal(warehouse, first)) == 1
    assert told(warehouse, OCTOBER)[0].startswith("2026-09 was changed after close")


@pytest.mark.parametrize("gone", [AUGUST, SEPTEMBER])
def test_a_close_that_is_gone_from_amid_the_others_is_told(warehouse: DuckDBWarehouse, gone: date) -> None:
    """Its dollars, which are posted again as corrections, and the id of its lines; the last may be taken away."""
    closes = {month: shut(warehouse, month) for month in (AUGUST, SEPTEMBER, OCTOBER)}
    edit(warehouse, f"DELETE FROM ops_month_closes WHERE month = DATE '{gone}'")
    (found,) = damaged(warehouse)
    assert found.message.startswith(
        f"{gone:%Y-%m} is open although a later month is closed: its row in ops_month_closes was deleted; its journal "
        f"lines still exist as close {closes[gone]['close_id']} (${closes[gone]['charges_usd']:.2f}). Restore its rows"
    )
    assert found.amount_usd == closes[gone]["charges_usd"]
    edit(warehouse, f"DELETE FROM ops_month_closes WHERE month > DATE '{AUGUST}'")
    assert damaged(warehouse) == []


def test_a_failure_of_the_books_check_is_forgotten_when_they_are_mended(warehouse: DuckDBWarehouse) -> None:
    """The books are looked at when a month is closed, whatever a run had found."""
    checked(warehouse, "r1", date(2026, 8, 1), DAY, 1, passed=False)
    edit(warehouse, "UPDATE ops_check_results SET asset = 'kpi_chargeback', check_name = 'closed_months_unchanged'")
    assert told(warehouse) == []


# --- for a ledger -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 2), st.decimals(D(-1000), D(1000), places=9)), max_size=30))
def test_cents_add_up_to_the_rounded_total(amounts: list[tuple[int, Decimal]]) -> None:
    """Each line is within a cent of its exact amount, and those of one vendor add up to their sum, rounded once."""
    lines = [{"usage_month": AUGUST, "vendor": who, "cost_basis": "billed", "amount_usd": usd} for who, usd in amounts]
    cents = integrity.round_to_cents(lines)
    for who in (1, 2):
        mine = [(line["amount_usd"], cent) for line, cent in zip(lines, cents, strict=True) if line["vendor"] == who]
        exact = sum((usd for usd, _ in mine), D(0))
        assert abs(sum((cent for _, cent in mine), D(0)) - exact) <= D("0.005")
        assert all(abs(usd - cent) < D("0.01") for usd, cent in mine)
    assert all(cent == cent.quantize(D("0.01")) for cent in cents)


def test_the_export_is_what_a_ledger_takes(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """A header, ISO dates, fixed decimals, debit or credit; a name that is a formula is only a name."""
    shut(warehouse, AUGUST)
    put(warehouse, "int_anthropic_cost_daily", billed(1, "2026-08-05", "4.005", "a"))
    put(
        warehouse, "int_key_mapping",
        mapped(1, "a", "CC-1") | {"team": "=A1"}, mapped(2, JANE, "@SUM(1)", kind="user"),
    )  # fmt: skip
    closed = shut(warehouse, SEPTEMBER)
    path = tmp_path / "journal.csv"
    layouts.write_csv(path, closed, journal.load_journal(warehouse, closed))
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


def test_a_line_of_nothing_is_not_exported(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """What is 0.00 in cents stays in the journal, and is no posting; the number of its line stays free."""
    put(warehouse, "int_anthropic_cost_daily", billed(4, "2026-08-05", "0.004", "b"))
    put(warehouse, "int_key_mapping", mapped(3, "b", "CC-0"))
    closed = shut(warehouse, AUGUST)
    lines = journal.load_journal(warehouse, closed)
    assert [line["ledger_usd"] for line in lines] == [D(0), D(10)]
    path = tmp_path / "journal.csv"
    assert layouts.write_csv(path, closed, lines) == 1
    with path.open(newline="", encoding="utf-8") as file:
        assert [(row["line_id"], row["debit"]) for row in csv.DictReader(file)] == [("AI-2026-08-00002", "10.00")]


def test_a_file_that_cannot_be_written_is_told(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """The month is closed all the same, and said to be."""
    with pytest.raises(CloseError, match="The month is closed; export it again"):
        layouts.write_csv(tmp_path / "no" / "journal.csv", shut(warehouse, AUGUST), [])


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a command on these books."""
    variables = {
        "AI_USAGE_DUCKDB_PATH": str(shutil.copyfile(kept, tmp_path / "w.duckdb")),
        "AI_USAGE_START_DATE": str(FIRST_DAY),
        "AI_USAGE_NOW": NOW.isoformat(),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def test_the_command_closes_once_and_exports(
    own: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a process it freezes the month and writes a file; a second time nothing changes, and the file is the same."""
    file = tmp_path / "journal.csv"
    done = ai_usage("close", "--month", "2026-08", "--csv", str(file), **own)
    assert done.returncode == 0, done.stderr
    assert "2026-08 is closed. Later changes become corrections in the next month." in done.stderr
    assert "1 line written to " in done.stderr
    assert "CC-1" in done.stdout
    assert JANE not in done.stdout + done.stderr
    exported = file.read_bytes()
    assert exported.count(b"AI-2026-08-00001") == 1
    file.unlink()
    assert cli.main(("close", "--month", "2026-08", "--csv", str(file))) == 0
    assert "2026-08 was closed on 2026-11-20 14:00 UTC. Nothing was changed." in capsys.readouterr().err
    assert file.read_bytes() == exported


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--month", "2026-11"), 2, "2026-11 is not over yet"),
        (("--month", "2026-13"), 2, "it takes YYYY-MM, such as"),
        (("--month", "2026-07"), 2, "before the first day, 2026-08-01"),
        (("--month", "2026-08", "--csv", "no/x.csv"), 2, "a file in an existing folder"),
        (("--csv", "x.csv"), 2, "it needs --month"),
        (("--month", "2026-09"), 1, "nothing was frozen: ai-usage: 2026-08 has spend and is still open ($10.00)."),
        (("--month", "2026-08", "--dry-run"), 0, "2026-08 can be closed. This was a dry run; nothing was frozen."),
        ((), 0, "2026-08 │ can be closed │"),
        ((), 0, "2026-09 Close 2026-08 first."),
    ],
)  # fmt: skip
def test_the_command_says_why_and_what(
    own: dict[str, str], arguments: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done is told with its reason; looking changes nothing."""
    assert cli.main(("close", *arguments)) == code
    told = capsys.readouterr()
    assert says in " ".join((told.out + told.err).split())
    warehouse = DuckDBWarehouse(own["AI_USAGE_DUCKDB_PATH"])
    assert frozen(warehouse) == []
    warehouse.close()


def test_the_start_date_does_not_stand_in_the_way_of_the_first_month(
    own: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With data from before it, the first month with spend is closed, and exported again, before the next one is."""
    monkeypatch.setenv("AI_USAGE_START_DATE", "2026-09-15")
    assert cli.main(("close", "--month", "2026-09")) == 1
    assert "that one first. It is before AI_USAGE_START_DATE, 2026-09-15." in capsys.readouterr().err
    assert cli.main(("close", "--month", "2026-07")) == 2
    assert "2026-07 is before the first day, 2026-08-01 (AI_USAGE_START_DATE, or" in capsys.readouterr().err
    for _ in range(2):
        assert cli.main(("close", "--month", "2026-08", "--csv", str(tmp_path / "journal.csv"))) == 0
    assert "2026-08 was closed on" in capsys.readouterr().err
    assert cli.main(("close", "--month", "2026-09", "--dry-run")) == 0


def test_days_outside_the_calendar_keep_a_month_open(warehouse: DuckDBWarehouse) -> None:
    """Nobody knows when they settle; what to set and run is told."""
    edit(warehouse, "DELETE FROM dim_date WHERE usage_date < DATE '2026-08-03'")
    found = [str(reason) for reason in readiness.find_blockers(warehouse, whole(AUGUST), TODAY, date(2026, 8, 3))]
    unknown = "not in the calendar, so the settlement date is unknown (2 days: 2026-08-01 to 2026-08-02; $0.00)"
    assert [reason.split(". ")[0] for reason in found] == [
        f"anthropic: {unknown}",
        f"cursor: {unknown}",
        "the month begins before AI_USAGE_START_DATE, which is 2026-08-03 (2 days: 2026-08-01 to 2026-08-02)",
    ]
    assert found[-1].endswith("Set AI_USAGE_START_DATE to 2026-08-01 or earlier before you load or check these days.")


# --- BigQuery ---------------------------------------------------------------------------------------------------------


def journal_of(warehouse: Warehouse) -> list[Row]:
    return warehouse.rows(
        "SELECT * FROM ai_usage.kpi_chargeback ORDER BY posting_month, line_id, usage_month, "
        "cost_center, vendor, product, cost_basis, line_type, reason"
    )


def read_by(*names: str) -> list[Table]:
    """These tables and views and all they are made from, and what Python writes."""
    wanted = set(names)
    for table in reversed(catalog.tables()):
        wanted |= set(table.reads) if table.name in wanted else set()
    return [table for table in catalog.tables() if table.name in wanted or table.is_ops_table]


def test_bigquery_closes_the_same_books_alike(warehouse: DuckDBWarehouse) -> None:
    """Both engines refuse alike, freeze the same lines under the same ids, and correct them by the same dollars."""
    with FakeBigQuery() as server:
        theirs = BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)
        theirs.prepare(read_by("kpi_chargeback", "kpi_reconciliation"))
        theirs.rebuild(catalog.table("dim_date"), {"first_day": FIRST_DAY, "today": TODAY})
        keep(theirs)
        assert told(theirs) == told(warehouse) == []
        for one in (theirs, warehouse):
            first = shut(one, AUGUST)
            assert shut(one, AUGUST, NOW + timedelta(days=1)) == first
            put(one, "int_anthropic_cost_daily", billed(1, "2026-08-05", "7.5", "a"))
            shut(one, SEPTEMBER)
            put(one, "int_key_mapping", mapped(1, "a", "CC-9"))
        assert journal_of(theirs) == journal_of(warehouse)
        assert integrity.verify_integrity(theirs) == integrity.verify_integrity(warehouse) == {}
        closes = "SELECT * FROM ai_usage.ops_month_closes ORDER BY month"
        assert theirs.rows(closes) == warehouse.rows(closes)
        assert len(posted(theirs, "line_id", where="status = 'open'")) == len(journal_of(theirs)) - 5


def test_of_several_containers_one_closes() -> None:
    """Several that add the row of the same month at once leave one; taken away by hand, it can be added again."""
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
        (held,) = server.rows("SELECT * FROM ai_usage.ops_month_closes")
        assert held["close_id"] in "0123"
        # By hand, and then again.
        containers[0].query("DELETE FROM ai_usage.ops_month_closes WHERE TRUE")
        containers[0].insert_if_absent(OPS_MONTH_CLOSES, ("month",), {**row, "close_id": "5"})
        assert [found["close_id"] for found in server.rows("SELECT * FROM ai_usage.ops_month_closes")] == ["5"]


def test_a_close_that_bigquery_refused_is_not_found_again() -> None:
    """While the table is as it was, the id of the job follows from it and the month, and from how often that failed."""
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
