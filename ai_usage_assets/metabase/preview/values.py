"""Values as Metabase writes them.

Belongs here: one value into text, by the form of its column. Does not: choosing the form, which the files do.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ai_usage_assets.metabase.spec import Form
from ai_usage_assets.redaction import TOKEN, revealed

# Before the number, how often it is taken a hundredfold, decimals, behind it.
_FORMS: dict[Form, tuple[str, int, int, str]] = {
    "usd": ("$", 0, 0, ""),
    "cents": ("$", 0, 2, ""),
    "unit_usd": ("$", 0, 4, ""),
    "percent": ("", 1, 1, "%"),
    "count": ("", 0, 0, ""),
}


def is_money(form: Form | None) -> bool:
    """Whether numbers of this form are dollars."""
    return form in ("usd", "cents", "unit_usd")


def shown(value: Any, form: Form | None = None) -> str:
    """A value of a row; nothing for NULL."""
    match value:
        case None:
            return ""
        case datetime():
            return f"{_day(value)}, {value.hour % 12 or 12}:{value:%M %p}"
        case date():
            return _day(value)
        case bool() | str():
            # Names are others' words: no line ends, and nothing that looks like a key.
            text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
            return TOKEN.sub("[secret]", revealed(text))
        case _:
            return _number(Decimal(value), form)


def _day(value: date) -> str:
    return f"{value:%B} {value.day}, {value.year}"


def _number(value: Decimal, form: Form | None) -> str:
    if form is None or form not in _FORMS:
        # At most two decimals, and no more than there are.
        text = f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,f}"
        return text.rstrip("0").rstrip(".")
    before, hundreds, decimals, behind = _FORMS[form]
    rounded = value.scaleb(2 * hundreds).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{'-' if rounded < 0 else ''}{before}{abs(rounded):,f}{behind}"
