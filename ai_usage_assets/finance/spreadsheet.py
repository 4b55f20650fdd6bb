"""What a spreadsheet may be given: texts that it shows and does not run.

Belongs here: the one guard of every file that people open in a spreadsheet. Does not: numbers, which are written as
they are, or files that only programs read.
"""

from __future__ import annotations

# What a spreadsheet takes for the beginning of a formula, in ASCII and in full width.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def escape_formula(value: object) -> str:
    """A value as text, None as none; one that begins like a formula is preceded by an apostrophe."""
    plain = "" if value is None else str(value)
    return f"'{plain}" if plain.lstrip(" ").startswith(_FORMULA) else plain
