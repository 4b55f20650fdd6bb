"""Sums of amounts that can be unknown."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal


def sum_known(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of the values that are not None; None when all are."""
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known else None
