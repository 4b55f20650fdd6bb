"""Helpers for JSON records: duplicate keys, instants, and the paths of known fields."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ai_usage_assets.sources.base import InvalidRecordError


def reject_duplicate_keys(record: bytes, *names: bytes) -> None:
    """Raises InvalidRecordError if an object has a key twice, because JSON parsers differ in which value they keep.

    With `names` (JSON-encoded), parses the record only if one of them occurs more than once.
    """

    def reject(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise InvalidRecordError("a field occurs twice")

    if not names or any(record.count(name) > 1 for name in names):
        # `parse_int=str`: Python refuses to parse integers of thousands of digits.
        try:
            json.loads(record, object_pairs_hook=reject, parse_int=str, parse_float=str)
        except RecursionError:
            raise InvalidRecordError("its fields are nested too deeply") from None


def to_utc(instant: datetime) -> datetime:
    """Converts to UTC. Raises InvalidRecordError at the limits of `datetime`."""
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidRecordError("a time is out of range") from None


def field_paths(*names: str, **nested: str) -> frozenset[str]:
    """Paths of record fields: `field_paths("a b", c="d")` is a, b, c and c.d; `__` in a keyword is a dot."""
    paths = {name for text in names for name in text.split()}
    for outer, text in nested.items():
        path = outer.replace("__", ".")
        paths |= {path, *(f"{path}.{name}" for name in text.split())}
    return frozenset(paths)
