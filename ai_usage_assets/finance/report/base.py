"""The figures of the report: the rows of its queries and the totals made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypedDict

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.finance.amounts import BudgetAmounts, BudgetTotals
from ai_usage_assets.rendering.text import format_date_range


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


class ModelRow(TypedDict):
    """The usage of a model in a month."""

    vendor: str
    cost_basis: str | None
    model: str
    amount_usd: Decimal | None
    requests: int | None
    total_tokens: int | None
    usd_per_million_tokens: Decimal | None


class BudgetRow(BudgetAmounts):
    """The budget of a cost center in a month."""

    month: date
    budget_status: str
    budget_note: str | None
    variance_usd: Decimal | None
    used_ratio: Decimal | None
    pace_ratio: Decimal | None
    business_days: int
    elapsed_business_days: int
    projected_usd: Decimal | None
    projected_variance_usd: Decimal | None
    is_provisional: bool


class Forecast(TypedDict):
    """The forecast of the current month."""

    forecast_usd: Decimal | None
    low_usd: Decimal | None
    high_usd: Decimal | None
    missing_days: int


class UnallocatedRow(TypedDict):
    """Unallocated spend of a principal."""

    vendor: str
    principal_type: str | None
    principal_id: str | None
    api_key_id: str | None
    api_key_name: str | None
    workspace_id: str | None
    workspace_name: str | None
    person_email: str | None
    next_step: str
    spend_usd: Decimal
    share_of_spend: Decimal | None
    first_day: date


class SeatSummary(TypedDict):
    """The seats of a vendor in a month."""

    vendor: str
    paid_seats: int
    active_seats: int
    idle_seats: int
    never_used_seats: int
    unknown_seats: int
    reclaimable_seats: int
    seat_usd: Decimal | None
    idle_usd: Decimal | None
    reclaimable_usd: Decimal | None
    leverage_ratio: Decimal | None
    included_usage_usd: Decimal | None
    overage_usd: Decimal | None


class SeatHolder(TypedDict):
    """A seat that can be returned, or whose holder is near the limit."""

    user_email: str | None
    name: str | None
    team: str | None
    plan: str | None
    monthly_price_usd: Decimal | None
    last_active_date: date | None
    first_seat_date: date
    is_reclaimable: bool
    is_near_limit: bool
    limit_usd: Decimal | None
    limit_spent_usd: Decimal | None
    limit_used_ratio: Decimal | None
    limit_as_of_date: date


class AnomalyRow(TypedDict):
    """A day on which a cost was far outside its usual range."""

    usage_date: date
    vendor: str
    cost_basis: str | None
    dimension: str
    dimension_value: str | None
    dimension_name: str | None
    team: str | None
    top_model: str | None
    amount_usd: Decimal
    expected_usd: Decimal
    excess_usd: Decimal
    is_provisional: bool


class RestatementRow(TypedDict):
    """A change by the vendor to a loaded day."""

    usage_date: date
    vendor: str
    cost_basis: str | None
    old_amount_usd: Decimal | None
    new_amount_usd: Decimal | None
    delta_usd: Decimal
    restated_at: datetime
    days_later: int
    was_settled: bool


class BillStatus(TypedDict):
    """The number of days of a vendor's bill with a status."""

    vendor: str
    status: str
    days: int
    loaded_days: int


class MissingDay(TypedDict):
    """A missing day of a vendor's bill."""

    vendor: str
    usage_date: date
    status: str
    message: str | None


class ControlRow(TypedDict):
    """How many days match a control total."""

    vendor: str
    control: str
    days: int
    equal_days: int
    close_days: int
    different_days: int
    difference_usd: Decimal | None


class CheckStatus(TypedDict):
    """The current result of a check."""

    asset: str
    check_name: str
    passed: bool
    blocking: bool
    message: str
    amount_usd: Decimal | None
    first_day: date | None
    last_day: date | None
    checked_at: datetime


class LastRun(TypedDict):
    """The newest run."""

    run_id: str
    job: str
    started_at: datetime
    outcome: str
    first_day: date | None
    last_day: date | None


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
        """The finished days: `1 to 22 November 2026`."""
        return format_date_range(self.first_day, self.through_day)


@dataclass(frozen=True)
class Report:
    """Everything that the report shows. Sequences are empty where there is nothing to show."""

    month: ReportMonth | None
    created_at: datetime
    with_people: bool
    headlines: Sequence[Headline] = ()
    vendors: Mapping[str, SpendTotal] = field(default_factory=dict)
    not_configured: Sequence[str] = ()
    days: Sequence[DayRow] = ()
    months: Mapping[tuple[date, str], SpendTotal] = field(default_factory=dict)
    monthly_budgets: Mapping[date, BudgetTotals] = field(default_factory=dict)
    teams: Sequence[TeamSpend] = ()
    people: Sequence[PersonSpend] = ()
    models: Sequence[ModelRow] = ()
    budgets: Sequence[BudgetRow] = ()
    forecast: Forecast | None = None
    unallocated: Sequence[UnallocatedRow] = ()
    seats: Sequence[SeatSummary] = ()
    reclaimable_seats: Sequence[SeatHolder] = ()
    near_limit: Sequence[SeatHolder] = ()
    anomalies: Sequence[AnomalyRow] = ()
    restatements: Sequence[RestatementRow] = ()
    bill_status: Sequence[BillStatus] = ()
    missing_days: Sequence[MissingDay] = ()
    controls: Sequence[ControlRow] = ()
    checks: Sequence[CheckStatus] = ()
    last_run: LastRun | None = None
