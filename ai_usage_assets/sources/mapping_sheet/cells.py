"""Parses one cell of the mapping sheet into normalized text."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from ai_usage_assets.redaction import KEY_PATTERN
from ai_usage_assets.sources.mapping_sheet.tabs import CellType

_FORMULA_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#ERROR!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "LOADING..."}
# Invisible characters that a copied cell can contain: control characters, zero-width spaces, direction marks.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_BLANK = "".join(c for c in map(chr, [*range(0x3001), 0xFEFF]) if c.isspace() or _INVISIBLE.match(c))
# Day 0 of a spreadsheet's serial dates, and the first serial after the year 9999.
_SERIAL_START, _SERIAL_END = date(1899, 12, 30), 2_958_466
_NOT_TEXT = "is a number; format the column as plain text and type it again (leading zeros are lost otherwise)"


class CellError(ValueError):
    """A cell is invalid; the message states why and what to do, without the cell's value."""


def cell_text(cell: Any) -> str:
    """Returns the cell as text, without surrounding white space and invisible characters."""
    return "" if cell is None else str(cell).strip(_BLANK)


def is_secret(cell: Any) -> bool:
    """Whether the cell contains something that looks like a key."""
    return KEY_PATTERN.search(_INVISIBLE.sub("", cell_text(cell))) is not None


def parse_cell(cell_type: CellType, cell: Any) -> str | None:
    """Returns the cell's normalized text, or None for a blank cell. Raises CellError."""
    return _PARSERS[cell_type](cell) if cell_text(cell) else None


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _parse_text(cell: Any) -> str:
    if isinstance(cell, bool):
        raise CellError("is a check box; write text")
    text = cell_text(cell)
    if text.upper() in _FORMULA_ERRORS:
        raise CellError("is the error of a formula; fix the formula")
    return text


def _parse_label(cell: Any) -> str:
    if _is_number(cell):
        raise CellError(_NOT_TEXT)
    # Labels are compared as text, so labels that look the same must be the same.
    return " ".join(_INVISIBLE.sub("", _parse_text(cell)).split())


def _parse_id(cell: Any) -> str:
    if _is_number(cell):
        raise CellError(_NOT_TEXT)
    text = _parse_text(cell)
    if _INVISIBLE.search(str(cell)) or re.search(r"\s", text):
        raise CellError("contains a space or an invisible character; copy the id again")
    return text


def _parse_email(cell: Any) -> str:
    text = _parse_text(cell).lower()
    if _INVISIBLE.search(text):
        raise CellError("contains an invisible character; type it again")
    return text


def _parse_date(cell: Any) -> str:
    if _is_number(cell):
        # The bounds also exclude infinity and NaN, which `int` cannot convert.
        if not 0 < cell < _SERIAL_END or cell != int(cell):
            raise CellError("is not a whole day; write it as 2026-01-31")
        return (_SERIAL_START + timedelta(days=int(cell))).isoformat()
    text = _parse_text(cell)
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise CellError("is an ambiguous date; write it as 2026-01-31")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise CellError("does not exist in the calendar") from None


def _parse_month(cell: Any) -> str:
    text = _parse_text(cell)
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        return text
    try:
        day = _parse_date(cell)
    except CellError:
        raise CellError("is not a month; write it as 2026-01") from None
    if not day.endswith("-01"):
        raise CellError("is a day within a month; write the month as 2026-01")
    return day[:7]


def _parse_decimal(cell: Any, text: str, advice: str) -> Decimal:
    if not _is_number(cell) and not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]+)?", text):
        raise CellError(advice)
    try:
        value = Decimal(repr(cell) if _is_number(cell) else text)
    except InvalidOperation:
        raise CellError(advice) from None
    if not value.is_finite() or abs(value) >= 10**15:
        raise CellError(advice)
    return value


def _format_decimal(value: Decimal, decimals: int) -> str:
    if round(value, decimals) != value:
        raise CellError(f"has more than {decimals} decimals; round it")
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _parse_percent(cell: Any) -> str:
    text = _parse_text(cell).removesuffix("%").strip()
    return _format_decimal(_parse_decimal(cell, text, "is not a percentage; write 60 for 60%"), 6)


def _parse_money(cell: Any) -> str:
    advice = "is not an amount; write 1234.50, without separators or a currency sign"
    return _format_decimal(_parse_decimal(cell, _parse_text(cell), advice), 9)


_PARSERS: dict[CellType, Callable[[Any], str]] = {
    "id": _parse_id,
    "label": _parse_label,
    "text": _parse_text,
    "enum": lambda cell: _parse_text(cell).lower(),
    "email": _parse_email,
    "date": _parse_date,
    "month": _parse_month,
    "percent": _parse_percent,
    "money": _parse_money,
}
