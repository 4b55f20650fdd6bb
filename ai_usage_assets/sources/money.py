"""Exact money: parses the decimals of vendor records and converts cents to dollars. No floats anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal

import msgspec

from ai_usage_assets.sources.base import InvalidRecordError

# NUMERIC has nine decimals in both engines.
_USD_SCALE = Decimal("1e-9")
# What the SQL models keep of a number before they convert it to dollars; DuckDB has no room for more.
_PARSE_SCALE = Decimal("1e-18")
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)
# Ten billion dollars in cents, and more tokens than one day can have.
_MAX_VALUE = Decimal(10) ** 12

# As strict as the stricter engine, which would fail a whole view for one number that it cannot parse.
_NUMBER = re.compile(rb'"?(-?[0-9]{1,30}(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,2})?)"?')


def parse_decimal(raw: msgspec.Raw) -> Decimal:
    """Parses a JSON number or numeric string and rounds it to 18 decimals, as the SQL models do.

    Raises InvalidRecordError for anything else, and above a million million.
    """
    match = _NUMBER.fullmatch(bytes(raw))
    if match is None:
        raise InvalidRecordError("an amount is not a number")
    value = Decimal(match[1].decode())
    if abs(value) > _MAX_VALUE:
        raise InvalidRecordError("an amount is implausibly large")
    rounded = _EXACT.quantize(value, _PARSE_SCALE)
    return value if value == rounded else rounded


def parse_optional_decimal(raw: msgspec.Raw) -> Decimal | None:
    """Like `parse_decimal`; None for a field that is null or absent (an empty Raw)."""
    return None if bytes(raw) in (b"", b"null") else parse_decimal(raw)


def cents_to_usd(cents: Decimal) -> Decimal:
    """Converts cents to dollars, rounded once (half away from zero) to 9 decimals.

    Raises InvalidRecordError for a value that is not finite or not below ten billion dollars.
    """
    if not cents.is_finite() or abs(cents) > _MAX_VALUE:
        raise InvalidRecordError("an amount is not a number of cents below ten billion dollars")
    return _EXACT.quantize(_EXACT.divide(cents, Decimal(100)), _USD_SCALE)


# Plain decimals that `parse_decimal` accepts and does not round, one per line.
_PLAIN_LINES = re.compile(rb"(?:-?[0-9]{1,9}(?:\.[0-9]{1,18})?\n)+")
# Those that `cents_to_usd` does not round either: seven decimals of a cent are nine of a dollar.
_UNROUNDED_LINES = re.compile(rb"(?:-?[0-9]{1,9}(?:\.[0-9]{1,7})?\n)+")
_CENTS_SCALE = Decimal("1e-7")


def sum_cents_to_usd(cents: Iterable[msgspec.Raw]) -> Decimal | None:
    """The sum of `cents_to_usd(parse_decimal(...))`, four times as fast.

    Returns None if a value is not a plain JSON number; the caller must then convert each one.
    """
    lines = [b"%b\n" % amount for amount in cents]
    if not _PLAIN_LINES.fullmatch(joined := b"".join(lines)) or len(texts := joined.decode().split()) != len(lines):
        return None
    amounts: Iterable[Decimal] = map(Decimal, texts)
    if not _UNROUNDED_LINES.fullmatch(joined):
        amounts = (_EXACT.quantize(amount, _CENTS_SCALE) for amount in amounts)
    return sum(amounts, Decimal(0)).scaleb(-2)


def discounted_total_usd(total_cents: Decimal, remaining_share: Decimal, fee_cents: Decimal) -> Decimal:
    """The total after its discount plus the fee, in dollars; rounded once, at the end."""
    return cents_to_usd(_EXACT.fma(total_cents, remaining_share, fee_cents))
