"""The records of a month close, and the errors and blockers that it reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NotRequired, TypedDict

from ai_usage_assets.days import MAX_DAYS, chunk_days
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.rendering.text import format_count, format_usd

_MAX_RANGES_SHOWN = 3


class CloseError(OperatorError):
    """A month cannot be closed, or its journal cannot be used. Each line of the message gives a reason and advice."""


class MonthClose(TypedDict):
    """A row of `ops_month_closes`. A month that has a row is closed."""

    month: date
    close_id: str
    closed_at: datetime
    as_of_date: date
    mapping_snapshot: str | None
    charges_usd: Decimal
    corrections_usd: Decimal
    lines: int
    version: str


class CloseTotal(TypedDict):
    """A row of `ops_close_totals`: a vendor's total of the month before attribution, and the digest of its raw days."""

    close_id: NotRequired[str]
    month: date
    vendor: str
    cost_basis: str
    amount_usd: Decimal
    content_digest: str | None


class LiveLine(TypedDict):
    """A row of `kpi_chargeback` that no close has frozen yet."""

    posting_month: date
    usage_month: date
    line_type: str
    reason: str | None
    vendor: str
    cost_basis: str
    product: str | None
    team: str | None
    cost_center: str | None
    amount_usd: Decimal


class JournalLine(LiveLine):
    """A row of `ops_journal_lines`. `amount_usd` is exact; `ledger_usd` is the amount rounded to cents."""

    close_id: NotRequired[str]
    line_id: str
    posting_date: date
    account_key: str
    currency: str
    ledger_usd: Decimal
    description: str


@dataclass(frozen=True)
class CloseDraft:
    """The rows that a close would freeze."""

    close: MonthClose
    totals: Sequence[CloseTotal]
    lines: Sequence[JournalLine]


@dataclass(frozen=True)
class CloseBlocker:
    """A reason why a month cannot be closed: the problem, the days and dollars it affects, and what to do."""

    problem: str
    advice: str
    days: Collection[date] = ()
    amount_usd: Decimal | None = None

    def __str__(self) -> str:
        scope = []
        if self.days:
            ranges = chunk_days(self.days, MAX_DAYS)
            more = " and more" if len(ranges) > _MAX_RANGES_SHOWN else ""
            scope.append(
                f"{format_count(len(set(self.days)), 'day')}: {', '.join(map(str, ranges[:_MAX_RANGES_SHOWN]))}{more}"
            )
        if self.amount_usd is not None:
            scope.append(format_usd(self.amount_usd))
        affected = f" ({'; '.join(scope)})" if scope else ""
        return f"{self.problem}{affected}. {self.advice}"


@dataclass(frozen=True)
class MonthStatus:
    """Whether a month is closed. `close` is None while it is open; `waits_for` gives the reasons."""

    month: date
    amount_usd: Decimal
    lines: int
    close: MonthClose | None
    waits_for: Sequence[str]
