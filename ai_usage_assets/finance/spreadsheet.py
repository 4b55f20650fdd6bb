"""Protect the cells of files that people open in a spreadsheet."""

from __future__ import annotations

# A spreadsheet reads a cell that begins with one of these as a formula; the last four are full-width forms.
_FORMULA_START = tuple("=+-@\t\r\n＝＋－＠")


def escape_formula(value: object) -> str:
    """A value as text, None as empty text. An apostrophe is put before text that a spreadsheet would run."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_START) else text
