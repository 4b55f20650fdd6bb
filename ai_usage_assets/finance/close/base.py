"""Records of the month close, and the errors and blockers it reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ai_usage_assets.days import MAX_DAYS, chunk_days
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.warehouse.base import Row

# A message is read by a person.
_SPANS_NAMED = 3


class CloseError(OperatorError):
    """A month cannot be closed; each line of the message says why, how much it touches, and what to do."""


@dataclass(frozen=True)
class CloseBlocker:
    """One reason why a month cannot be closed, with the days and dollars it touches where it touches some."""

    what: str
    advice: str
    days: Collection[date] = ()
    amount_usd: Decimal | None = None

    def __str__(self) -> str:
        touched = []
        if self.days:
            spans = chunk_days(self.days, MAX_DAYS)
            named = ", ".join(map(str, spans[:_SPANS_NAMED])) + " and more" * (len(spans) > _SPANS_NAMED)
            count = len(set(self.days))
            touched.append(f"{count} day{'s' * (count != 1)}: {named}")
        if self.amount_usd is not None:
            touched.append(f"${self.amount_usd:,.2f}")
        told = f" ({'; '.join(touched)})" if touched else ""
        return f"{self.what}{told}. {self.advice}"


@dataclass(frozen=True)
class CloseDraft:
    """What a close would freeze: the rows of its three tables."""

    close: Row
    totals: Sequence[Row]
    lines: Sequence[Row]


@dataclass(frozen=True)
class MonthStatus:
    """How a month stands in the books. `close` is None while it is open; `waits_for` says what keeps it so."""

    month: date
    amount_usd: Decimal
    lines: int
    close: Row | None
    waits_for: Sequence[str]
