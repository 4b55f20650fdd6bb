"""The arithmetic of a close: its fingerprint, sums, comparison with the vendors' totals, and cents."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.finance.close import integrity, layouts
from ai_usage_assets.finance.close.base import CloseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CLOSE_TOTALS, OPS_JOURNAL_LINES, OPS_MONTH_CLOSES

D = Decimal
MONTH, DAY = date(2026, 9, 1), date(2026, 9, 30)


def line(usd: str, **changed: Any) -> Any:
    """A journal line, a charge of Anthropic by default."""
    return {
        "close_id": "c", "line_id": "AI-2026-09-00001", "posting_month": MONTH, "posting_date": DAY,
        "usage_month": MONTH, "line_type": "charge", "reason": None, "vendor": "anthropic", "cost_basis": "billed",
        "product": "api", "team": "Platform", "cost_center": "CC-1", "account_key": "anthropic.billed",
        "currency": "USD", "amount_usd": D(usd), "ledger_usd": D(usd).quantize(D("0.01")), "description": "usage",
        **changed,
    }  # fmt: skip


def total(usd: str, **changed: Any) -> Any:
    """A vendor's total of the month."""
    return {
        "close_id": "c", "month": MONTH, "vendor": "anthropic", "cost_basis": "billed", "amount_usd": D(usd),
        "content_digest": "d", **changed,
    }  # fmt: skip


def fingerprint(lines: list[Any], totals: list[Any], mapping: str | None = "m") -> str:
    """The fingerprint of a close of MONTH."""
    return integrity.compute_fingerprint(MONTH, mapping, totals, lines)


def test_the_fingerprint_is_stable() -> None:
    """Closes that were frozen by earlier versions stay valid: the hash and the format of its values never change."""
    lines, totals = [line("1.50"), line("0.000000001", team=None)], [total("1.500000001", content_digest=None)]
    assert fingerprint(lines, totals) == "4022392538623095c8ed55deb288a7d9"
    assert fingerprint([line("1.5"), line("1E-9", team=None)], totals) == fingerprint(lines, totals)
    assert len(fingerprint([], [], None)) == 32


@pytest.mark.parametrize("column", [name for name in line("1") if name != "close_id"])
def test_the_fingerprint_covers_every_column_of_a_line(column: str) -> None:
    """A change of any column of a line changes the fingerprint; the id of the close is not one of them."""
    before = fingerprint([line("1")], [])
    changed = {"posting_month": DAY, "posting_date": MONTH, "usage_month": DAY, "amount_usd": D(2), "ledger_usd": D(2)}
    assert fingerprint([line("1", **{column: changed.get(column, "changed")})], []) != before
    assert fingerprint([line("1", close_id="other")], []) == before


@pytest.mark.parametrize("column", [name for name in total("1") if name != "close_id"])
def test_the_fingerprint_covers_every_column_of_a_total(column: str) -> None:
    """A change of any column of a total, of the month and of the mapping changes the fingerprint."""
    before = fingerprint([], [total("1")])
    changed = {"month": DAY, "amount_usd": D(2)}
    assert fingerprint([], [total("1", **{column: changed.get(column, "changed")})]) != before
    assert fingerprint([], [total("1")], "n") != before
    assert integrity.compute_fingerprint(DAY, "m", [total("1")], []) != before


def test_lines_are_ordered_by_their_number() -> None:
    """The hundred-thousandth line comes after the others."""
    ids = ["AI-2026-09-100000", "AI-2026-09-00002", "AI-2026-09-99999", "AI-2026-09-00001"]
    ordered = sorted((line("1", line_id=one) for one in ids), key=integrity.line_order)
    assert [one["line_id"] for one in ordered] == [ids[3], ids[1], ids[2], ids[0]]


def test_charges_and_corrections_are_separate_sums() -> None:
    """Any line that is no charge is a correction."""
    lines = [line("1"), line("2"), line("-4", line_type="correction"), line("0.5", line_type="correction")]
    assert integrity.sum_lines(lines) == (D(3), D("-3.5"))
    assert integrity.sum_lines([]) == (D(0), D(0))


@pytest.mark.parametrize(
    ("lines", "totals", "difference"),
    [
        ([], [], None),
        ([line("1"), line("2")], [total("3")], None),
        # A correction belongs to another month.
        ([line("3"), line("9", line_type="correction")], [total("3")], None),
        ([line("2.999999999")], [total("3")], r"anthropic billed by \$0.000000001"),
        ([line("3.000000001")], [total("3")], r"anthropic billed by −\$0.000000001"),
        ([], [total("3"), total("0", vendor="cursor")], r"anthropic billed by \$3.000000000"),
        # A vendor or cost basis without a total.
        ([line("3"), line("1", vendor="cursor")], [total("3")], r"cursor billed by −\$1.000000000"),
        ([line("3", cost_basis="seat")], [total("3")],
         r"anthropic billed by \$3.000000000; anthropic seat by −\$3.000000000"),
    ],
)  # fmt: skip
def test_charges_must_equal_the_totals(lines: list[Any], totals: list[Any], difference: str | None) -> None:
    """Any difference of a vendor and cost basis prevents the close, and is in the message."""
    if difference is None:
        integrity.check_totals(MONTH, lines, totals)
        return
    with pytest.raises(CloseError, match=rf"^2026-09 is not closed: .*\({difference}\)"):
        integrity.check_totals(MONTH, lines, totals)


@pytest.mark.parametrize(
    ("amounts", "cents"),
    [
        ([], []),
        (["1.234"], ["1.23"]),
        (["1.235"], ["1.24"]),
        # Three thirds are a dollar: the cent goes to the line that lost most, the first of equals.
        (["0.333333333", "0.333333333", "0.333333334"], ["0.33", "0.33", "0.34"]),
        (["0.335", "0.335", "0.33"], ["0.34", "0.33", "0.33"]),
        (["0.009", "0.001", "0.001", "0.009"], ["0.01", "0.00", "0.00", "0.01"]),
        (["-0.004"], ["0.00"]),
        (["-0.005"], ["-0.01"]),
        (["-1.005", "2.015"], ["-1.00", "2.01"]),
        (["-0.333333333", "-0.333333333", "-0.333333334"], ["-0.33", "-0.33", "-0.34"]),
    ],
)
def test_cents_go_to_the_lines_that_lost_most(amounts: list[str], cents: list[str]) -> None:
    """The cents add up to the rounded sum of the amounts."""
    assert integrity.round_to_cents([line(usd) for usd in amounts]) == [D(cent) for cent in cents]


@pytest.mark.parametrize("changed", [{"vendor": "cursor"}, {"cost_basis": "seat"}, {"usage_month": DAY}])
def test_every_vendor_cost_basis_and_month_is_rounded_by_itself(changed: dict[str, Any]) -> None:
    """Half a cent of each of two groups is a cent of each."""
    assert integrity.round_to_cents([line("0.005"), line("0.005", **changed)]) == [D("0.01"), D("0.01")]
    assert integrity.round_to_cents([line("0.005"), line("0.005", team="other")]) == [D("0.01"), D("0.00")]


def test_the_file_has_a_debit_or_a_credit_for_each_posted_line(tmp_path: Path) -> None:
    """Cents on one side, the exact amount beside them, and nothing for lines of zero cents."""
    close: Any = {
        "month": MONTH, "close_id": "c1", "mapping_snapshot": "=m",
        "closed_at": datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC),
    }  # fmt: skip
    lines = [
        line("0.01", team="=1+1"),
        line("-2.005000000", ledger_usd=D("-2.01"), line_type="correction", usage_month=date(2026, 8, 1)),
        line("0.004"),
        line("1234.5", product=None, mapping_snapshot="other"),
    ]
    path = tmp_path / "j.csv"
    assert layouts.write_csv(path, close, lines) == 3
    # Lines end as RFC 4180 requires.
    assert path.read_bytes().count(b"\r\n") == path.read_bytes().count(b"\n") == 4
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["debit"], row["credit"], row["amount_usd"]) for row in rows] == [
        ("0.01", "", "0.010000000"), ("", "2.01", "-2.005000000"), ("1234.50", "", "1234.500000000"),
    ]  # fmt: skip
    assert rows[1] == {
        "line_id": "AI-2026-09-00001", "period": "2026-09", "posting_date": "2026-09-30", "cost_center": "CC-1",
        "team": "Platform", "account_key": "anthropic.billed", "currency": "USD", "debit": "", "credit": "2.01",
        "amount_usd": "-2.005000000", "vendor": "anthropic", "cost_basis": "billed", "product": "api",
        "line_type": "correction", "reason": "", "usage_period": "2026-08", "description": "usage",
        "mapping_snapshot": "'=m", "close_id": "c1", "closed_at": "2026-11-02T03:04:05Z",
    }  # fmt: skip
    assert [rows[0]["team"], rows[2]["product"], rows[2]["mapping_snapshot"]] == ["'=1+1", "", "'=m"]
    assert [*rows[0]][:3] == ["line_id", "period", "posting_date"]
    with pytest.raises(CloseError, match=r"cannot be written .* export it again with --csv"):
        layouts.write_csv(tmp_path / "none" / "j.csv", close, lines)


# --- verification of closed months ------------------------------------------------------------------------------------

AUGUST, OCTOBER = date(2026, 8, 1), date(2026, 10, 1)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A warehouse that has only the tables of closes."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb")
    warehouse.prepare([OPS_MONTH_CLOSES, OPS_JOURNAL_LINES, OPS_CLOSE_TOTALS])
    yield warehouse
    warehouse.close()


def freeze(warehouse: DuckDBWarehouse, month: date = MONTH, close_id: str | None = None) -> str:
    """Closes a month with $3 of charges in three lines and a correction of −$2; returns the id of the close."""
    dates = {"posting_month": month, "posting_date": month, "usage_month": month}
    # A number of six digits follows those of five.
    ids = {"100000": "0.005", "00001": "1", "00002": "1.995"}
    lines = [line(usd, line_id=f"AI-{month:%Y-%m}-{number}", **dates) for number, usd in ids.items()]
    lines.append(line("-2", line_id=f"AI-{month:%Y-%m}-00003", line_type="correction", **dates))
    lines.sort(key=integrity.line_order)
    for one, cents in zip(lines, integrity.round_to_cents(lines), strict=True):
        one["ledger_usd"] = cents
    totals = [total("3", month=month), total("0", month=month, cost_basis="seat")]
    close_id = close_id or integrity.compute_fingerprint(month, "m", totals, lines)
    warehouse.append(OPS_JOURNAL_LINES, [{**one, "close_id": close_id} for one in reversed(lines)])
    warehouse.append(OPS_CLOSE_TOTALS, [{**one, "close_id": close_id} for one in reversed(totals)])
    warehouse.append(OPS_MONTH_CLOSES, [
        {"month": month, "close_id": close_id, "closed_at": datetime(2026, 11, 2, tzinfo=UTC), "as_of_date": DAY,
         "mapping_snapshot": "m", "charges_usd": D(3), "corrections_usd": D(-2), "lines": 4, "version": "1"},
    ])  # fmt: skip
    return close_id


def execute(warehouse: DuckDBWarehouse, sql: str) -> None:
    """Changes the warehouse without the pipeline."""
    warehouse._connect().execute(sql)


def test_unchanged_closes_have_no_problem(warehouse: DuckDBWarehouse) -> None:
    """Whatever the order of the rows; without a close, lines of interrupted attempts are no problem."""
    warehouse.append(OPS_JOURNAL_LINES, [line("1")])
    assert integrity.verify_integrity(warehouse) == {}
    execute(warehouse, "DELETE FROM ops_journal_lines")
    for month in (MONTH, AUGUST):
        freeze(warehouse, month)
    assert integrity.verify_integrity(warehouse) == {}


@pytest.mark.parametrize(
    ("sql", "problem", "amount"),
    [
        ("UPDATE ops_month_closes SET lines = 1234",
         "it has 4 lines instead of 1,234", None),
        ("UPDATE ops_month_closes SET charges_usd = 3.01",
         "its charges are $3.00 instead of $3.01", "0.01"),
        ("UPDATE ops_month_closes SET corrections_usd = -5",
         "its corrections are −$2.00 instead of −$5.00", "3"),
        ("UPDATE ops_month_closes SET corrections_usd = 5, charges_usd = 1",
         "its charges are $3.00 instead of $1.00, its corrections are −$2.00 instead of $5.00", "7"),
        ("UPDATE ops_close_totals SET amount_usd = amount_usd - 0.5",
         "its charges differ from the vendors' totals (anthropic billed by −$0.500000000; anthropic seat by "
         "−$0.500000000)", "1"),
        ("UPDATE ops_journal_lines SET ledger_usd = ledger_usd + CASE line_type WHEN 'charge' THEN 1 ELSE -1 END",
         "its debits and credits differ from its amounts in cents", "4"),
        ("UPDATE ops_journal_lines SET team = 'x' WHERE line_id = 'AI-2026-09-100000'",
         "its dollars add up, but another column was edited", None),
        ("UPDATE ops_close_totals SET content_digest = 'x'",
         "its dollars add up, but another column was edited", None),
        ("UPDATE ops_month_closes SET mapping_snapshot = NULL",
         "its dollars add up, but another column was edited", None),
    ],
)  # fmt: skip
def test_an_edited_close_has_a_problem(warehouse: DuckDBWarehouse, sql: str, problem: str, amount: str | None) -> None:
    """The problem names what differs, and the largest difference in dollars."""
    close_id = freeze(warehouse)
    execute(warehouse, sql)
    ((month, found),) = integrity.verify_integrity(warehouse).items()
    assert month == MONTH
    assert found.problem == f"2026-09 was changed after close {close_id}: {problem}"
    assert found.advice.startswith("Restore its rows in ops_month_closes")
    assert found.amount_usd == (None if amount is None else D(amount))


@pytest.mark.parametrize("gone", [AUGUST, MONTH])
def test_a_month_without_its_close_row_has_a_problem(warehouse: DuckDBWarehouse, gone: date) -> None:
    """Before the last close every month needs one, from the first with journal lines on; the last may be reopened."""
    ids = {month: freeze(warehouse, month) for month in (AUGUST, MONTH, OCTOBER)}
    execute(warehouse, f"DELETE FROM ops_month_closes WHERE month = '{gone}'")
    warehouse.append(OPS_JOURNAL_LINES, [
        line("-9", close_id="another", posting_month=gone),
        line("99", close_id="of a later month", posting_month=date(2026, 11, 1)),
    ])  # fmt: skip
    ((month, found),) = integrity.verify_integrity(warehouse).items()
    assert month == gone
    assert found.problem == (
        f"{gone:%Y-%m} is open although a later month is closed: its row in ops_month_closes was deleted; its journal "
        f"lines still exist as close {ids[gone]} or another"
    )
    assert found.amount_usd == -9
    assert found.advice.startswith("Restore its rows in ops_month_closes")
    execute(warehouse, f"DELETE FROM ops_journal_lines WHERE posting_month = '{gone}'")
    problems = integrity.verify_integrity(warehouse)
    # Without lines, nothing shows that the first month was closed.
    assert [*problems] == ([] if gone == AUGUST else [MONTH])
    assert all(one.problem.endswith("was deleted") and one.amount_usd is None for one in problems.values())
    execute(warehouse, f"DELETE FROM ops_month_closes WHERE month > '{AUGUST}'")
    assert integrity.verify_integrity(warehouse) == {}
