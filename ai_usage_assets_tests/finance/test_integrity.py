"""The arithmetic of a close: its fingerprint, sums, comparison with the vendors' totals, and cents."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.finance.close import integrity, layouts
from ai_usage_assets.finance.close.base import CloseError

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
    assert integrity.sum_lines([]) == (0, 0)


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
