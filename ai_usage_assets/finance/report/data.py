"""Load the figures of the report from the KPI views."""

# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from ai_usage_assets.days import ONE_DAY
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.finance.amounts import BudgetTotals, describe_close, sum_known, total_budgets
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.rendering.text import (
    format_bounds,
    format_count,
    format_date,
    format_date_range,
    format_days,
    format_percent,
    format_usd,
)
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse

VENDORS = {"anthropic": "Anthropic", "cursor": "Cursor"}


MONTHS_SHOWN = 13


class MonthNotFound(OperatorError):
    """The month that was asked for is not in the warehouse."""

    exit_code = 2


@dataclass(frozen=True)
class Headline:
    """One of the numbers at the top; without a number, why there is none. `notes` say what it is and as of when."""

    name: str
    value: Decimal | None
    unit: Literal["usd", "ratio"]
    notes: tuple[str, ...] = ()
    absent: str = ""
    is_provisional: bool = False


@dataclass(frozen=True)
class ReportMonth:
    """The month a report is of: its days that are over, among those there are."""

    first: date
    first_held: date
    through: date
    last: date
    as_of: date

    @property
    def is_over(self) -> bool:
        """Whether no day of it is to come."""
        return self.through == self.last

    @property
    def span(self) -> str:
        """Its days that are over, for a person."""
        return format_date_range(self.first_held, self.through)


@dataclass(frozen=True)
class Report:
    """All that the page shows. Lists of rows are empty where there is nothing to show."""

    month: ReportMonth | None
    made_at: datetime
    with_people: bool
    headlines: tuple[Headline, ...] = ()
    vendors: tuple[Row, ...] = ()
    not_configured: tuple[str, ...] = ()
    days: tuple[Row, ...] = ()
    months: tuple[Row, ...] = ()
    monthly_budgets: Mapping[date, BudgetTotals] = field(default_factory=dict)
    teams: tuple[Row, ...] = ()
    people: tuple[Row, ...] = ()
    models: tuple[Row, ...] = ()
    budgets: tuple[Row, ...] = ()
    forecast: Row | None = None
    unallocated: tuple[Row, ...] = ()
    seats: Row | None = None
    reclaim: tuple[Row, ...] = ()
    near_limit: tuple[Row, ...] = ()
    anomalies: tuple[Row, ...] = ()
    restatements: tuple[Row, ...] = ()
    held: tuple[Row, ...] = ()
    gaps: tuple[Row, ...] = ()
    controls: tuple[Row, ...] = ()
    checks: tuple[Row, ...] = ()
    run: Row | None = None


def load_report(
    warehouse: Warehouse,
    made_at: datetime,
    month: date | None = None,
    *,
    with_people: bool = False,
    only_headlines: bool = False,
) -> Report:
    """The report of a month, or its headlines alone; by default of the month of the last day that is over.

    Raises NoSuchMonth when the warehouse has no finished day of it.
    """
    months = _months(warehouse)
    if month is not None and month not in months:
        held = f"it has {min(months):%Y-%m} to {max(months):%Y-%m}" if months else "it has none yet"
        raise MonthNotFound(f"The warehouse has no finished day of {month:%Y-%m}; {held}.")
    if not months:
        return Report(None, made_at, with_people)
    reading = _Reading(warehouse, months, months[month or max(months)], with_people)
    return reading.report(made_at, only_headlines=only_headlines)


def _months(warehouse: Warehouse) -> dict[date, ReportMonth]:
    rows = warehouse.rows(
        """
        SELECT
          month, MIN(usage_date) AS first_held, MAX(usage_date) AS through, MAX(days_in_month) AS days,
          MAX(as_of_date) AS as_of
        FROM ai_usage.dim_date WHERE is_over GROUP BY month
        """
    )
    return {
        row["month"]: ReportMonth(
            row["month"],
            row["first_held"],
            row["through"],
            row["month"] + timedelta(days=int(row["days"]) - 1),
            row["as_of"],
        )
        for row in rows
    }


class _Reading:
    """The queries of one report."""

    def __init__(
        self, warehouse: Warehouse, months: dict[date, ReportMonth], month: ReportMonth, with_people: bool
    ) -> None:
        self._warehouse = warehouse
        self._months = months
        self._month = month
        self._with_people = with_people
        self._previous = (month.first - ONE_DAY).replace(day=1)
        self._oldest = sorted(each for each in months if each <= month.first)[-MONTHS_SHOWN:][0]

    def rows(self, sql: str) -> tuple[Row, ...]:
        """The rows of a query; @through is the last day of @month that is over, @oldest the first month shown."""
        found = self._warehouse.rows(
            sql,
            {"month": self._month.first, "through": self._month.through, "oldest": self._oldest},
        )
        return tuple({name: self._shown(value) for name, value in row.items()} for row in found)

    def _shown(self, value: Any) -> Any:
        return redact_line(value, with_people=self._with_people) if isinstance(value, str) else value

    def report(self, made_at: datetime, *, only_headlines: bool) -> Report:
        """Everything, or what the headlines need: a run of every day does not pay for more."""
        spent, days, held = self._spent(), self._days(), self._held()
        vendors = add_up(spent, "vendor", month=self._month.first)
        people, unallocated = self._people(), self._unallocated()
        every_budget, forecast = self._budgets(), self._forecast()
        budgets = tuple(row for row in every_budget if row["month"] == self._month.first)
        checks, run = self._checks(), self._run()
        spend = self._spend(vendors, days, held)
        headlines = (
            spend,
            self._month_before(add_up(spent, "vendor", month=self._previous)),
            self._expected(forecast),
            self._budget_used(budgets),
            self._per_user(spend, people),
            self._unallocated_share(spend, unallocated),
        )
        if only_headlines:
            return Report(self._month, made_at, self._with_people, headlines, checks=checks, run=run)
        holders = self._holders()
        return Report(
            month=self._month,
            made_at=made_at,
            with_people=self._with_people,
            headlines=headlines,
            vendors=vendors,
            not_configured=tuple(
                sorted(
                    {row["vendor"] for row in held if row["status"] == "not_configured"}
                    - {row["vendor"] for row in held if row["held"]}
                )
            ),
            days=days,
            months=add_up(spent, "month", "vendor"),
            monthly_budgets={
                month: found
                for month in {row["month"] for row in every_budget}
                if (found := total_budgets(row for row in every_budget if row["month"] == month))
            },
            teams=_side_by_side(spent, self._month.first),
            people=people if self._with_people else (),
            models=self._models(),
            budgets=budgets,
            forecast=forecast,
            unallocated=unallocated,
            seats=self._seats(),
            reclaim=tuple(row for row in holders if row["is_reclaimable"]),
            near_limit=tuple(row for row in holders if row["is_near_limit"]),
            anomalies=self._anomalies(),
            restatements=self._restatements(),
            held=held,
            gaps=self._gaps(),
            controls=self._controls(),
            checks=checks,
            run=run,
        )

    def _spent(self) -> tuple[Row, ...]:
        """Each vendor's and team's spend in each of the last months, up to this one."""
        return self.rows(
            """
            SELECT
              month, vendor, team, MAX(through_date) AS through, SUM(billed_usd) AS billed_usd,
              SUM(seat_usd) AS seat_usd, SUM(spend_usd) AS spend_usd, SUM(included_usd) AS included_usd,
              CASE WHEN COUNTIF(previous_same_days_usd IS NULL) = 0 THEN SUM(previous_same_days_usd) END AS before_usd,
              CAST(MAX(missing_days) AS INT64) AS missing_days, LOGICAL_OR(is_provisional) AS is_provisional
            FROM ai_usage.kpi_spend_monthly WHERE month BETWEEN @oldest AND @month
            GROUP BY month, vendor, team ORDER BY month, vendor, team
            """
        )

    def _days(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT
              spent.usage_date, spent.vendor, SUM(spent.spend_usd) AS spend_usd,
              SUM(CASE WHEN budget.budget_usd IS NOT NULL THEN spent.spend_usd END) AS budgeted_usd,
              LOGICAL_OR(spent.is_provisional) AS is_provisional
            FROM ai_usage.kpi_spend_daily AS spent
            LEFT JOIN ai_usage.stg_budgets AS budget
              ON budget.month = @month AND budget.cost_center = spent.cost_center
            WHERE spent.usage_date BETWEEN @month AND @through
            GROUP BY spent.usage_date, spent.vendor ORDER BY spent.usage_date, spent.vendor
            """
        )

    def _people(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT
              person_email, MAX(name) AS name,
              COALESCE(SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END), 0) AS anthropic,
              COALESCE(SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END), 0) AS cursor_usd,
              SUM(spend_usd) AS spend_usd, CAST(MAX(active_days_all_vendors) AS INT64) AS active_days
            FROM ai_usage.kpi_spend_by_person WHERE month = @month AND person_email IS NOT NULL
            GROUP BY person_email ORDER BY spend_usd DESC, person_email
            """
        )

    def _models(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT vendor, cost_basis, model, amount_usd, requests, total_tokens, usd_per_million_tokens
            FROM ai_usage.kpi_unit_cost WHERE month = @month ORDER BY cost_basis, amount_usd DESC, vendor, model
            """
        )

    def _unallocated(self) -> tuple[Row, ...]:
        """By whom, and by workspace only where nobody is named: what is to be done is the same in all of them."""
        return self.rows(
            """
            SELECT
              vendor, principal_type, principal_id, api_key_id, api_key_name, MAX(workspace_id) AS workspace_id,
              MAX(workspace_name) AS workspace_name, person_email, next_step, SUM(spend_usd) AS spend_usd,
              SUM(share_of_spend) AS share_of_spend, MIN(first_day) AS first_day
            FROM ai_usage.kpi_unallocated WHERE month = @month
            GROUP BY vendor, principal_type, principal_id, api_key_id, api_key_name, person_email, next_step
            ORDER BY spend_usd DESC, first_day, api_key_id
            """
        )

    def _budgets(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT
              month, cost_center, budget_status, budget_note, budget_usd, spend_usd, variance_usd, used_ratio,
              pace_ratio, business_days, elapsed_business_days, projected_usd, projected_variance_usd, is_provisional
            FROM ai_usage.kpi_budget_vs_actual WHERE month BETWEEN @oldest AND @month
            ORDER BY month, budget_usd IS NULL, variance_usd DESC, spend_usd DESC, cost_center
            """
        )

    def _forecast(self) -> Row | None:
        return self._only(
            "SELECT forecast_usd, low_usd, high_usd, missing_days FROM ai_usage.kpi_forecast_total WHERE month = @month"
        )

    def _seats(self) -> Row | None:
        return self._only("SELECT * FROM ai_usage.kpi_seat_summary WHERE month = @month AND vendor = 'cursor'")

    def _holders(self) -> tuple[Row, ...]:
        """Who holds a seat that can be given back, or is near their limit."""
        return self.rows(
            """
            SELECT
              user_email, name, team, cost_center, plan, monthly_price_usd, last_active_date, first_held_date,
              is_reclaimable, is_near_limit, limit_usd, limit_spent_usd, limit_used_ratio, limit_as_of_date
            FROM ai_usage.kpi_seat_utilization WHERE month = @month AND (is_reclaimable OR is_near_limit)
            ORDER BY monthly_price_usd DESC, limit_used_ratio DESC, team, last_active_date, user_id
            """
        )

    def _anomalies(self) -> tuple[Row, ...]:
        """Each spike once, by what says it most closely."""
        return self.rows(
            """
            SELECT
              usage_date, vendor, cost_basis, dimension, dimension_value, dimension_name, person_email, team, top_model,
              amount_usd, expected_usd, excess_usd, baseline, is_provisional
            FROM ai_usage.kpi_anomaly
            WHERE event_rank = 1 AND usage_date BETWEEN @month AND @through
            ORDER BY excess_usd DESC, usage_date, vendor, dimension, dimension_value
            """
        )

    def _restatements(self) -> tuple[Row, ...]:
        """Days of the month that changed, and days of other months whose change was seen in it."""
        return self.rows(
            """
            SELECT
              usage_date, vendor, cost_basis, old_amount_usd, new_amount_usd, delta_usd, restated_at, days_later,
              was_settled
            FROM ai_usage.kpi_restatements
            WHERE dimension = 'total'
              AND (usage_date BETWEEN @month AND @through OR DATE(restated_at) BETWEEN @month AND @through)
            ORDER BY ABS(delta_usd) DESC, usage_date, vendor, restated_at
            """
        )

    def _only(self, sql: str) -> Row | None:
        """The row of a query that has one at most."""
        found = self.rows(sql)
        return found[0] if found else None

    def _held(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT vendor, status, COUNT(*) AS days, COUNTIF(completed_at IS NOT NULL) AS held
            FROM ai_usage.kpi_completeness WHERE is_money AND usage_date BETWEEN @month AND @through
            GROUP BY vendor, status ORDER BY vendor, status
            """
        )

    def _gaps(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT vendor, usage_date, status, message
            FROM ai_usage.kpi_completeness
            WHERE is_money AND is_missing AND usage_date BETWEEN @month AND @through
            ORDER BY usage_date, vendor
            """
        )

    def _controls(self) -> tuple[Row, ...]:
        return self.rows(
            """
            SELECT
              vendor, control, COUNT(*) AS days, COUNTIF(status = 'equal') AS equal,
              COUNTIF(status = 'within_tolerance') AS near, COUNTIF(status = 'differs') AS differing,
              SUM(CASE WHEN status = 'differs' THEN ABS(difference_usd) END) AS differing_usd
            FROM ai_usage.kpi_reconciliation WHERE usage_date BETWEEN @month AND @through
            GROUP BY vendor, control ORDER BY vendor, control
            """
        )

    def _checks(self) -> tuple[Row, ...]:
        """What every check says now; those that failed first."""
        return self.rows(
            """
            SELECT asset, check_name, passed, blocking, message, amount_usd, first_day, last_day, checked_at
            FROM ai_usage.ops_check_status
            ORDER BY passed, blocking DESC, asset, check_name, checked_at DESC
            """
        )

    def _run(self) -> Row | None:
        run = self._only(
            "SELECT run_id, job, started_at, outcome, first_day, last_day FROM ai_usage.ops_runs "
            "ORDER BY started_at DESC LIMIT 1"
        )
        return run and {**run, "outcome": run_log.resolve_outcome(self._warehouse, run)}

    def _spend(self, vendors: Sequence[Row], days: Sequence[Row], held: Sequence[Row]) -> Headline:
        month = self._month
        name = f"Spend in {month.first:%B %Y}" + ("" if month.is_over else ", so far")
        if not vendors and not any(row["held"] for row in held):
            return Headline(name, None, "usd", absent=f"no day of {month.span} is held of any vendor")
        total = sum_known(row["spend_usd"] for row in vendors) or Decimal(0)
        billed, seat = sum_known(row["billed_usd"] for row in vendors), sum_known(row["seat_usd"] for row in vendors)
        notes = [
            f"{month.span}: {format_usd(billed)} billed, {format_usd(seat) if seat is not None else 'none for'} seats"
        ]
        if vendors and all(row["before_usd"] is not None for row in vendors):
            before = sum_known(row["before_usd"] for row in vendors) or Decimal(0)
            compared = "all of the month before" if month.is_over else "the same days of the month before"
            notes.append(f"{describe_change(total, before)} {compared} ({format_usd(before)})")
        else:
            notes.append(f"not compared with {self._previous:%B}, of which not all these days are held")
        open_usd = sum_known(row["spend_usd"] for row in days if row["is_provisional"])
        notes.append(
            "final: the vendors change none of it any more"
            if open_usd is None
            else f"provisional: the vendors may still change the days that make up {format_usd(open_usd)} of it"
        )
        notes += _missing(vendors)
        if told := describe_close(self.rows):
            notes.append(told)
        return Headline(name, total, "usd", tuple(notes), is_provisional=open_usd is not None)

    def _month_before(self, vendors: Sequence[Row]) -> Headline:
        name = f"Spend in {self._previous:%B %Y}"
        before = self._months.get(self._previous)
        if before is None:
            return Headline(
                name,
                None,
                "usd",
                absent=f"the warehouse begins with {format_date(self._months[min(self._months)].first_held)}",
            )
        if not vendors:
            return Headline(name, None, "usd", absent="no spend is held of it")
        is_open = any(row["is_provisional"] for row in vendors)
        notes = [before.span if before.first_held == before.first else f"only {before.span}: there is none before"]
        notes.append("provisional: the vendors may still change it" if is_open else "final")
        notes += _missing(vendors)
        return Headline(
            name, sum_known(row["spend_usd"] for row in vendors), "usd", tuple(notes), is_provisional=is_open
        )

    def _expected(self, forecast: Row | None) -> Headline:
        month = self._month
        name = f"Expected for all of {month.first:%B %Y}"
        if month.is_over:
            return Headline(name, None, "usd", absent="the month is over: the spend is all there will be")
        if forecast is None or forecast["forecast_usd"] is None:
            return Headline(name, None, "usd", absent="too few days are held to expect anything by")
        low, high = forecast["low_usd"], forecast["high_usd"]
        bounds = (
            "without a low and a high: it takes three months before this one"
            if low is None or high is None
            else f"{format_bounds(low, high)}, by how far it was off in the months before"
        )
        notes = [bounds, f"by the days up to {format_date(month.through)}, the same weekdays, and the seats held then"]
        if forecast["missing_days"]:
            notes.append(f"{format_days(forecast['missing_days'])} that are missing are estimated")
        return Headline(name, forecast["forecast_usd"], "usd", tuple(notes), is_provisional=True)

    def _budget_used(self, budgets: Sequence[Row]) -> Headline:
        month, name = self._month, "Budget used"
        found = total_budgets(budgets)
        if found is None:
            unused = " that can be used" if any(row["budget_note"] for row in budgets) else ""
            return Headline(name, None, "ratio", absent=f"no budget{unused} in the sheet for {month.first:%B %Y}")
        beside = (f"{found.beside}, and is not in it",) if found.beside else ()
        if found.used_ratio is None:
            spent = f", and {format_usd(found.spend_usd)} was spent" if found.spend_usd else ""
            return Headline(name, None, "ratio", beside, f"the budget for {month.first:%B %Y} is $0.00{spent}")
        notes = [f"{format_usd(found.spend_usd)} of {format_usd(found.budget_usd)}"]
        with_budget = [row for row in budgets if row["budget_usd"] is not None]
        if not month.is_over:
            passed, all_of_them = with_budget[0]["elapsed_business_days"], with_budget[0]["business_days"]
            notes.append(f"{passed} of {all_of_them} business days are held")
        notes += beside
        if found.incomplete:
            notes.append(f"the budgets are incomplete: {found.incomplete}")
        is_open = any(row["is_provisional"] for row in with_budget)
        return Headline(name, found.used_ratio, "ratio", tuple(notes), is_provisional=is_open)

    def _per_user(self, spend: Headline, people: Sequence[Row]) -> Headline:
        name = "Cost per active user"
        active = sum(bool(row["active_days"]) for row in people)
        if spend.value is None or not active:
            return Headline(
                name, None, "usd", absent=f"nobody is known to have used a tool in {self._month.first:%B %Y}"
            )
        notes = (
            f"all spend of {self._month.span} over the {format_count(active, 'person', 'people')} who used a tool in it",
            "spend that names no person is in it too",
        )
        return Headline(name, spend.value / active, "usd", notes, is_provisional=spend.is_provisional)

    def _unallocated_share(self, spend: Headline, unallocated: Sequence[Row]) -> Headline:
        name = "Without a cost center"
        if not spend.value:
            return Headline(name, None, "ratio", absent="there is no spend to have a share of")
        without = sum_known(row["spend_usd"] for row in unallocated) or Decimal(0)
        notes = (f"{format_usd(without)} of the spend of {self._month.span}",)
        return Headline(name, without / spend.value, "ratio", notes, is_provisional=spend.is_provisional)


def add_up(rows: Iterable[Row], *by: str, **only: Any) -> tuple[Row, ...]:
    """Rows added up by some of their columns, in the order in which these are first met; `only` chooses among them.

    What is known adds up; a comparison that one part lacks, the whole lacks too.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if all(row[name] == value for name, value in only.items()):
            groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return tuple({**dict(zip(by, key, strict=True)), **_whole(parts)} for key, parts in groups.items())


def _whole(parts: Sequence[Row]) -> Row:
    whole: Row = {name: sum_known(row[name] for row in parts) for name in _SUMS if name in parts[0]}
    if "before_usd" in whole and any(row["before_usd"] is None for row in parts):
        whole["before_usd"] = None
    whole["is_provisional"] = any(row["is_provisional"] for row in parts)
    return whole | {name: max(row[name] for row in parts) for name in ("through", "missing_days") if name in parts[0]}


_SUMS = ("billed_usd", "seat_usd", "spend_usd", "included_usd", "before_usd", "budget_usd")


def _side_by_side(spent: Sequence[Row], month: date) -> tuple[Row, ...]:
    """The teams of a month, who spent most first, with a column for each vendor."""
    by_vendor = {(row["team"], row["vendor"]): row["spend_usd"] for row in add_up(spent, "team", "vendor", month=month)}
    teams = [
        {**row, **{f"{vendor}_usd": by_vendor.get((row["team"], vendor)) for vendor in VENDORS}}
        for row in add_up(spent, "team", month=month)
    ]
    return tuple(sorted(teams, key=lambda row: (-row["spend_usd"], row["team"] or "")))


def _missing(vendors: Iterable[Row]) -> list[str]:
    return [
        f"{format_days(row['missing_days'])} of {VENDORS[row['vendor']]} missing, so it is too low"
        for row in vendors
        if row["missing_days"]
    ]


def describe_change(now: Decimal, before: Decimal) -> str:
    """How one amount stands to an earlier one, to be followed by the name of that."""
    if not before:
        return "there was none in" if now else "none, as in"
    if before < 0:
        # Of less than nothing there is no share.
        if now == before:
            return "as much as in"
        return f"{format_usd(abs(now - before))} {'less' if now < before else 'more'} than in"
    ratio = (now - before) / before
    if abs(ratio) < Decimal("0.0005"):
        return "as much as in"
    return f"{format_percent(abs(ratio))} {'more' if ratio > 0 else 'less'} than in"
