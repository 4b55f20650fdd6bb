"""Format values as Metabase does."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ai_usage_assets.metabase.render import NUMBER_FORMATS
from ai_usage_assets.metabase.spec_models import NumberFormat
from ai_usage_assets.redaction import KEY_PATTERN, deobfuscate


def is_money(number_format: NumberFormat | None) -> bool:
    """Whether numbers of the format are dollars."""
    return number_format is not None and NUMBER_FORMATS[number_format]["number_style"] == "currency"


def format_value(value: Any, number_format: NumberFormat | None = None) -> str:
    """Format a value; NULL is empty. Line breaks become spaces, and what looks like a key is redacted."""
    match value:
        case None:
            return ""
        case datetime():
            return f"{_format_day(value)}, {value.hour % 12 or 12}:{value:%M %p}"
        case date():
            return _format_day(value)
        case bool() | str():
            text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
            return KEY_PATTERN.sub("[secret]", deobfuscate(text))
        case _:
            return _format_number(Decimal(value), number_format)


def _format_day(value: date) -> str:
    return f"{value:%B} {value.day}, {value.year}"


def _format_number(value: Decimal, number_format: NumberFormat | None) -> str:
    settings = NUMBER_FORMATS[number_format or "number"]
    decimals = settings.get("decimals")
    if decimals is None:
        text = f"{value.quantize(Decimal('0.01'), ROUND_HALF_UP):,f}"
        return text.rstrip("0").rstrip(".")
    is_percent = settings["number_style"] == "percent"
    rounded = value.scaleb(2 if is_percent else 0).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    sign, dollar = "-" if rounded < 0 else "", "$" if is_money(number_format) else ""
    return f"{sign}{dollar}{abs(rounded):,f}{'%' if is_percent else ''}"
