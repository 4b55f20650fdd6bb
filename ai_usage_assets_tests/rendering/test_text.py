"""Dollars, ratios, counts and dates as people read them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from ai_usage_assets.rendering import text


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0", "$0.00"),
        ("-0.00", "$0.00"),
        ("0.01", "$0.01"),
        ("-0.01", "−$0.01"),
        ("1234.5", "$1,234.50"),
        ("-1234567.891", "−$1,234,567.89"),
        ("0.005", "under $0.01"),
        ("0.0051", "$0.01"),
        ("0.000000001", "under $0.01"),
        ("-0.004", "over −$0.01"),
    ],
)
def test_dollars_have_cents(amount: str, expected: str) -> None:
    """Two decimals, separators and the sign before the dollars; an amount that would be zero is a bound."""
    assert text.format_usd(Decimal(amount)) == expected


@pytest.mark.parametrize(
    ("amount", "decimals", "expected"),
    [
        ("1234.5", 0, "$1,234"),
        ("1235.5", 0, "$1,236"),
        ("0.4", 0, "under $1"),
        ("-0.4", 0, "over −$1"),
        ("12", 9, "$12.000000000"),
        ("0.0000000001", 9, "under $0.000000001"),
        # All decimals, and none that are zero.
        ("1234.567800", None, "$1,234.5678"),
        ("-1500", None, "−$1,500"),
        ("0", None, "$0"),
        ("0.000000001", None, "$0.000000001"),
    ],
)
def test_the_number_of_decimals_can_be_chosen(amount: str, decimals: int | None, expected: str) -> None:
    """Any number of decimals, and all of them."""
    assert text.format_usd(Decimal(amount), decimals=decimals) == expected


def test_a_missing_amount_has_its_own_text() -> None:
    """None is a dash or the text of the caller, never zero."""
    assert text.format_usd(None) == "–"
    assert text.format_usd(None, decimals=None, missing="nothing") == "nothing"
    assert text.format_whole_usd(None) == "–"
    assert text.format_percent(None) == "–"
    assert text.format_whole_usd(Decimal("12.6")) == "$13"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ("0", "0.0%"),
        ("0.0004999", "under 0.1%"),
        ("-0.0004", "under 0.1%"),
        ("0.0005", "0.0%"),
        ("0.0006", "0.1%"),
        ("0.756", "75.6%"),
        ("1", "100.0%"),
        ("-0.1", "−10.0%"),
        ("12.3456", "1,234.6%"),
    ],
)
def test_a_ratio_is_shown_in_percent(ratio: str, expected: str) -> None:
    """One decimal; a share that would be zero is a bound."""
    assert text.format_percent(Decimal(ratio)) == expected


def test_a_noun_matches_its_number() -> None:
    """Singular for one, plural for zero and others, with a plural of its own if given."""
    assert [text.format_count(count, "day") for count in (0, 1, 2, 1234)] == ["0 days", "1 day", "2 days", "1,234 days"]
    assert [text.format_count(count, "person", "people") for count in (1, 2)] == ["1 person", "2 people"]


def test_bounds_that_look_alike_are_one_amount() -> None:
    """A range whose ends are equal to the cent is one amount."""
    assert text.format_bounds(Decimal("9.801"), Decimal("9.799")) == "exactly $9.80"
    assert text.format_bounds(Decimal(9), Decimal(10)) == "between $9.00 and $10.00"


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ((2026, 11, 2), (2026, 11, 2), "November 2, 2026"),
        ((2026, 11, 1), (2026, 11, 22), "November 1–22, 2026"),
        ((2026, 10, 31), (2026, 11, 1), "October 31, 2026 to November 1, 2026"),
        ((2025, 11, 1), (2026, 11, 2), "November 1, 2025 to November 2, 2026"),
    ],
)
def test_dates_are_shown_as_a_range(first: tuple[int, int, int], last: tuple[int, int, int], expected: str) -> None:
    """One day, days of a month, or days of several months."""
    assert text.format_date_range(date(*first), date(*last)) == expected
