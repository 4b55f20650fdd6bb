"""Values as Metabase writes them.

Belongs here: one value into text, by the form of its column. Does not: choosing the form, which the files do.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ai_usage_assets.metabase.render import FORMS
from ai_usage_assets.metabase.spec import NumberFormat
from ai_usage_assets.redaction import KEY_PATTERN, deobfuscate


def is_money(form: NumberFormat | None) -> bool:
    """Whether numbers of this form are dollars."""
    return form is not None and FORMS[form]["number_style"] == "currency"


def format_value(value: Any, form: NumberFormat | None = None) -> str:
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
            return KEY_PATTERN.sub("[secret]", deobfuscate(text))
        case _:
            return _number(Decimal(value), form)


def _day(value: date) -> str:
    return f"{value:%B} {value.day}, {value.year}"


def _number(value: Decimal, form: NumberFormat | None) -> str:
    settings = FORMS[form or "number"]
    decimals = settings.get("decimals")
    if decimals is None:
        # At most two decimals, and no more than there are.
        text = f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,f}"
        return text.rstrip("0").rstrip(".")
    is_share = settings["number_style"] == "percent"
    rounded = value.scaleb(2 if is_share else 0).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{'-' if rounded < 0 else ''}{'$' if is_money(form) else ''}{abs(rounded):,f}{'%' if is_share else ''}"
