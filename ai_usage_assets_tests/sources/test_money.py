"""Amounts are parsed, converted and added up exactly, up to the limits that the module states."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from ai_usage_assets.sources.base import InvalidRecordError
from ai_usage_assets.sources.money import (
    cents_to_usd,
    discounted_total_usd,
    parse_decimal,
    parse_optional_decimal,
    sum_cents_to_usd,
)

MILLION_MILLIONS = 10**12


def raw(text: str) -> msgspec.Raw:
    """A JSON value as the vendor sent it."""
    return msgspec.Raw(text.encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-12.5", "-12.5"),
        ('"41280.000000"', "41280.000000"),
        ("1e-7", "1E-7"),
        ("2.5E+3", "2500"),
        ('"1e12"', "1E+12"),
        ("-1000000000000", "-1000000000000"),
        # 18 decimals are kept. The 19th is rounded half away from zero.
        ("0.000000000000000001", "1E-18"),
        ("0.0000000000000000005", "1E-18"),
        ("-0.0000000000000000005", "-1E-18"),
        ("0.00000000000000000049", "0"),
        ("999999999999.1234567890123456789", "999999999999.123456789012345679"),
        ("0." + "1" * 60, "0." + "1" * 18),
    ],
)
def test_a_number_is_parsed_to_18_decimals(text: str, expected: str) -> None:
    """Numbers and numeric strings, with exponent or not, are exact to 18 decimals."""
    assert parse_decimal(raw(text)) == Decimal(expected)
    assert parse_optional_decimal(raw(text)) == Decimal(expected)


def test_a_number_without_rounding_keeps_its_digits() -> None:
    """A number that is not rounded is returned as it was written."""
    assert str(parse_decimal(raw("1.50"))) == "1.50"


@pytest.mark.parametrize("parse", [parse_decimal, parse_optional_decimal])
@pytest.mark.parametrize("text", ["true", "{}", '"NaN"', "1,5", "+1", ".5", "1.", "1e123", "0x1", "١", " 1", "1\n"])
def test_text_that_is_no_number_is_invalid(parse: Callable[[msgspec.Raw], object], text: str) -> None:
    """The error states the reason and does not quote the value."""
    with pytest.raises(InvalidRecordError, match=r"^an amount is not a number$"):
        parse(raw(text))


@pytest.mark.parametrize("text", ["1000000000001", "-1000000000000.1", "1e13", "9e99"])
def test_an_implausible_number_is_invalid(text: str) -> None:
    """A number above a million million is invalid."""
    with pytest.raises(InvalidRecordError, match=r"^an amount is implausibly large$"):
        parse_decimal(raw(text))


def test_a_missing_number_is_none() -> None:
    """A field that is absent or null has no number; a required one is invalid."""
    assert parse_optional_decimal(raw("")) is None
    assert parse_optional_decimal(raw("null")) is None
    for text in ("", "null"):
        with pytest.raises(InvalidRecordError):
            parse_decimal(raw(text))


@pytest.mark.parametrize(
    ("cents", "usd"),
    [
        ("0", "0"),
        ("1", "0.01"),
        ("-150", "-1.5"),
        # Nine decimals of a dollar; half of the last one is rounded away from zero.
        ("0.00000005", "0.000000001"),
        ("-0.00000005", "-0.000000001"),
        ("0.00000004999", "0"),
        ("0.00000025", "0.000000003"),
        (MILLION_MILLIONS, "10000000000"),
        (-MILLION_MILLIONS, "-10000000000"),
        ("999999999999.9999999", "9999999999.999999999"),
    ],
)
def test_cents_are_converted_to_nine_decimals(cents: str | int, usd: str) -> None:
    """A hundredth of the cents, rounded once, with nine decimals."""
    converted = cents_to_usd(Decimal(cents))
    assert converted == Decimal(usd)
    assert converted.as_tuple().exponent == -9


@pytest.mark.parametrize("cents", ["NaN", "Infinity", "-Infinity", "1000000000000.01", "-1000000000001"])
def test_cents_out_of_range_are_invalid(cents: str) -> None:
    """Cents that are not finite, or ten billion dollars and more, are invalid."""
    with pytest.raises(InvalidRecordError, match=r"^an amount is not a number of cents below ten billion dollars$"):
        cents_to_usd(Decimal(cents))


@pytest.mark.parametrize(
    ("cents", "usd"),
    [
        ([], None),
        (["1"], "0.01"),
        (["20.64862", "3", "-1.5"], "0.2214862"),
        # Each amount is rounded before the sum.
        (["0.00000005", "0.00000005"], "0.000000002"),
        (["0.00000004", "0.00000004"], "0"),
        (["-0.00000005", "1.1234567"], "0.011234566"),
        (["999999999.123456789012345678"], "9999999.991234568"),
        # Other forms must be converted one by one.
        (["1", '"1"'], None),
        (["1e2"], None),
        (["null"], None),
        (["1000000000"], None),
        (["0.1234567890123456789"], None),
        (["1\n2"], None),
        (["1 2"], None),
        (["1", ""], None),
    ],
)
def test_plain_cents_are_added_up(cents: list[str], usd: str | None) -> None:
    """The sum of plain numbers is that of the single conversions, and other numbers have none."""
    total = sum_cents_to_usd(raw(amount) for amount in cents)
    assert total == (None if usd is None else Decimal(usd))
    if total is not None:
        assert total == sum(cents_to_usd(parse_decimal(raw(amount))) for amount in cents)


def test_a_discount_is_rounded_once() -> None:
    """Total, discount and fee are multiplied and added up before the only rounding."""
    assert discounted_total_usd(Decimal(200), Decimal("0.75"), Decimal("0.5")) == Decimal("1.505")
    assert discounted_total_usd(Decimal("0.0000001"), Decimal("0.25"), Decimal("0.000000025")) == Decimal("1e-9")
    assert discounted_total_usd(Decimal("-3"), Decimal(1), Decimal(0)) == Decimal("-0.03")
