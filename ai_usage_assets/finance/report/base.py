"""The figures of the report: the rows of its queries and the totals made from them.

A row has a type where Python computes with its amounts. A `Row` is only shown; its query file defines its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypedDict

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.finance.amounts import BudgetAmounts, BudgetTotals
from ai_usage_assets.rendering.text import format_date_range
from ai_usage_assets.warehouse.base import Row


class MonthNotFound(OperatorError):
    """The warehouse has no finished day of the requested month."""

    exit_code = 2


class SpendRow(TypedDict):
    """The spend of a vendor and team in a month."""

    month: date
    vendor: str
    team: str | None
    through_day: date
    billed_usd: Decimal | None
    seat_usd: Decimal | None
    spend_usd: Decimal
    included_usd: Decimal | None
    previous_usd: Decimal | None
    missing_days: int
    is_provisional: bool


class DayRow(TypedDict):
    """The spend of a day and vendor; `budgeted_usd` is the part that a budget covers."""

    usage_date: date
    vendor: str
    spend_usd: Decimal
    budgeted_usd: Decimal | None
    is_provisional: bool


class BudgetRow(BudgetAmounts):
    """The budget of a cost center in a month, with the columns that Python reads; the page shows more of them."""

    month: date
    budget_note: str | None
    business_days: int
    elapsed_business_days: int
    is_provisional: bool


class Forecast(TypedDict):
    """The forecast of the current month."""

    forecast_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    missing_days: int


@dataclass(frozen=True)
class SpendTotal:
    """The sum of some spend. `previous_usd` is None unless every part can be compared with the month before."""

    billed_usd: Decimal | None
    seat_usd: Decimal | None
    spend_usd: Decimal
    included_usd: Decimal | None
    previous_usd: Decimal | None
    through_day: date
    missing_days: int
    is_provisional: bool


@dataclass(frozen=True)
class TeamSpend:
    """The spend of a team, in total and by vendor. `team` is None for spend without a team."""

    team: str | None
    total: SpendTotal
    by_vendor: Mapping[str, Decimal]


@dataclass(frozen=True)
class PersonSpend:
    """The spend of a person, in total and by vendor."""

    email: str
    name: str | None
    spend_usd: Decimal
    active_days: int
    by_vendor: Mapping[str, Decimal]


@dataclass(frozen=True)
class Headline:
    """A figure at the top of the report. When `value` is None, `absent` gives the reason. `notes` explain the value."""

    name: str
    value: Decimal | None
    unit: Literal["usd", "ratio"]
    notes: tuple[str, ...] = ()
    absent: str = ""
    is_provisional: bool = False


@dataclass(frozen=True)
class ReportMonth:
    """The month of a report: its finished days are `first_day` to `through_day`."""

    first: date
    first_day: date
    through_day: date
    last: date
    as_of_date: date

    @property
    def is_over(self) -> bool:
        """Whether every day of the month is finished."""
        return self.through_day == self.last

    @property
    def range_text(self) -> str:
        """The finished days: `November 1–22, 2026`."""
        return format_date_range(self.first_day, self.through_day)


@dataclass(frozen=True)
class Report:
    """Everything that the report shows. Sequences are empty, and `total` is None, where there is nothing to show."""

    month: ReportMonth | None
    created_at: datetime
    with_people: bool
    headlines: Sequence[Headline] = ()
    total: SpendTotal | None = None
    vendors: Mapping[str, SpendTotal] = field(default_factory=dict)
    not_configured: Sequence[str] = ()
    days: Sequence[DayRow] = ()
    months: Mapping[tuple[date, str], SpendTotal] = field(default_factory=dict)
    monthly_budgets: Mapping[date, BudgetTotals] = field(default_factory=dict)
    teams: Sequence[TeamSpend] = ()
    people: Sequence[PersonSpend] = ()
    models: Sequence[Row] = ()
    budgets: Sequence[BudgetRow] = ()
    forecast: Forecast | None = None
    unallocated: Sequence[Row] = ()
    seats: Sequence[Row] = ()
    reclaimable_seats: Sequence[Row] = ()
    near_limit: Sequence[Row] = ()
    anomalies: Sequence[Row] = ()
    restatements: Sequence[Row] = ()
    bill_status: Sequence[Row] = ()
    missing_days: Sequence[Row] = ()
    controls: Sequence[Row] = ()
    checks: Sequence[Row] = ()
    last_run: Row | None = None
