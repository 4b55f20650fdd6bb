"""Load the figures of the report from the KPI views.

Does not draw (`figures`) or write sentences (`headlines`, the templates). Text from the warehouse is untrusted: it is
redacted of keys, and of e-mail addresses unless the report shows people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from ai_usage_assets.days import ONE_DAY
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.finance.amounts import describe_close, total_budgets
from ai_usage_assets.finance.report import headlines
from ai_usage_assets.finance.report.base import (
    BudgetRow,
    DayRow,
    Forecast,
    MonthNotFound,
    PersonSpend,
    Report,
    ReportMonth,
    SpendRow,
    SpendTotal,
    TeamSpend,
)
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.googlesql import parse, tables_read
from ai_usage_assets.warehouse.sql_files import query_names, read_query

MONTHS_SHOWN = 13
_Key = TypeVar("_Key", bound=Hashable)


def tables_shown() -> tuple[str, ...]:
    """The names of the tables and views that the report reads, sorted: those of its query files."""
    # The corrections of a closed month are one of the digest's and the close's queries.
    queries = ["finance/close_corrections", *(name for name in query_names() if name.startswith("finance/report_"))]
    return tuple(sorted({table for name in queries for table in tables_read(parse(read_query(name)))}))


def load_report(
    warehouse: Warehouse,
    created_at: datetime,
    month: date | None = None,
    *,
    with_people: bool = False,
    only_headlines: bool = False,
) -> Report:
    """Loads the report of a month, by default of the month of the last finished day.

    `only_headlines` skips the queries that the headlines do not need. Raises MonthNotFound.
    """
    months = _load_months(warehouse)
    if month is not None and month not in months:
        available = f"It has {min(months):%Y-%m} to {max(months):%Y-%m}." if months else "It has no finished day yet."
        raise MonthNotFound(f"The warehouse has no finished day of {month:%Y-%m}. {available}")
    if not months:
        return Report(None, created_at, with_people)
    loader = _Loader(warehouse, months, months[month or max(months)], with_people)
    return loader.load(created_at, only_headlines=only_headlines)


def _load_months(warehouse: Warehouse) -> dict[date, ReportMonth]:
    return {
        row["month"]: ReportMonth(
            first=row["month"],
            first_day=row["first_day"],
            through_day=row["through_day"],
            last=row["month"] + timedelta(days=int(row["days_in_month"]) - 1),
            as_of_date=row["as_of_date"],
        )
        for row in warehouse.rows(read_query("finance/report_months"))
    }


class _Loader:
    """Runs the queries of one report."""

    def __init__(
        self, warehouse: Warehouse, months: dict[date, ReportMonth], month: ReportMonth, with_people: bool
    ) -> None:
        self._warehouse = warehouse
        self._months = months
        self._month = month
        self._with_people = with_people
        self._parameters = {
            "month": month.first,
            "through_day": month.through_day,
            "oldest_month": sorted(each for each in months if each <= month.first)[-MONTHS_SHOWN:][0],
        }

    def _rows(self, name: str) -> list[Any]:
        """The redacted rows of a query file; the caller assigns their type."""
        rows = self._warehouse.rows(read_query(f"finance/{name}"), self._parameters)
        return [{name: self._redact(value) for name, value in row.items()} for row in rows]

    def _redact(self, value: object) -> object:
        return redact_line(value, with_people=self._with_people) if isinstance(value, str) else value

    def load(self, created_at: datetime, *, only_headlines: bool) -> Report:
        """Loads the whole report, or what its headlines need."""
        month = self._month
        previous_month = (month.first - ONE_DAY).replace(day=1)
        spend: list[SpendRow] = self._rows("report_spend")
        month_spend = [row for row in spend if row["month"] == month.first]
        total = _total(month_spend) if month_spend else None
        vendors = _total_by(month_spend, lambda row: row["vendor"])
        previous_vendors = _total_by(
            (row for row in spend if row["month"] == previous_month), lambda row: row["vendor"]
        )
        days: list[DayRow] = self._rows("report_days")
        bill_status: list[Row] = self._rows("report_bill_status")
        all_budgets: list[BudgetRow] = self._rows("report_budgets")
        budgets = [row for row in all_budgets if row["month"] == month.first]
        forecasts: list[Forecast] = self._rows("report_forecast")
        forecast = forecasts[0] if forecasts else None
        # Redacting e-mail addresses first would merge people.
        people = _pivot_people(self._warehouse.rows(read_query("finance/report_people"), self._parameters))
        unallocated: list[Row] = self._rows("report_unallocated")
        checks: list[Row] = self._rows("report_checks")
        last_run = self._last_run()
        spend_headline = headlines.spend(
            month, previous_month, total, vendors, days, bill_status, describe_close(self._warehouse, month.first)
        )
        cards = (
            spend_headline,
            headlines.previous_month(previous_month, self._months, previous_vendors),
            headlines.forecast(month, forecast),
            headlines.budget_used(month, budgets),
            headlines.cost_per_user(month, spend_headline, sum(bool(person.active_days) for person in people)),
            headlines.unallocated(month, spend_headline, sum_known(row["spend_usd"] for row in unallocated)),
        )
        if only_headlines:
            return Report(month, created_at, self._with_people, cards, checks=checks, last_run=last_run)
        monthly_budgets = {
            each: totals
            for each in {row["month"] for row in all_budgets}
            if (totals := total_budgets(row for row in all_budgets if row["month"] == each))
        }
        loaded_vendors = {row["vendor"] for row in bill_status if row["loaded_days"]}
        not_configured = {row["vendor"] for row in bill_status if row["status"] == "not_configured"} - loaded_vendors
        holders: list[Row] = self._rows("report_seat_holders")
        return Report(
            month=month,
            created_at=created_at,
            with_people=self._with_people,
            headlines=cards,
            total=total,
            vendors=vendors,
            not_configured=sorted(not_configured),
            days=days,
            months=_total_by(spend, lambda row: (row["month"], row["vendor"])),
            monthly_budgets=monthly_budgets,
            teams=_pivot_teams(month_spend),
            people=people if self._with_people else (),
            models=self._rows("report_models"),
            budgets=budgets,
            forecast=forecast,
            unallocated=unallocated,
            seats=self._rows("report_seats"),
            reclaimable_seats=[row for row in holders if row["is_reclaimable"]],
            near_limit=[row for row in holders if row["is_near_limit"]],
            anomalies=self._rows("report_anomalies"),
            restatements=self._rows("report_restatements"),
            bill_status=bill_status,
            missing_days=self._rows("report_missing_days"),
            controls=self._rows("report_controls"),
            checks=checks,
            last_run=last_run,
        )

    def _last_run(self) -> Row | None:
        rows: list[Row] = self._rows("report_last_run")
        return {**rows[0], "outcome": run_log.resolve_outcome(self._warehouse, rows[0])} if rows else None


def _total_by(rows: Iterable[SpendRow], key: Callable[[SpendRow], _Key]) -> dict[_Key, SpendTotal]:
    """Adds up rows by a key, in the order of the first row of each key."""
    groups: dict[_Key, list[SpendRow]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return {group_key: _total(group) for group_key, group in groups.items()}


def _total(rows: Sequence[SpendRow]) -> SpendTotal:
    comparable = all(row["previous_usd"] is not None for row in rows)
    return SpendTotal(
        billed_usd=sum_known(row["billed_usd"] for row in rows),
        seat_usd=sum_known(row["seat_usd"] for row in rows),
        spend_usd=sum((row["spend_usd"] for row in rows), Decimal(0)),
        included_usd=sum_known(row["included_usd"] for row in rows),
        previous_usd=sum_known(row["previous_usd"] for row in rows) if comparable else None,
        through_day=max(row["through_day"] for row in rows),
        missing_days=max(row["missing_days"] for row in rows),
        is_provisional=any(row["is_provisional"] for row in rows),
    )


def _pivot_teams(rows: Sequence[SpendRow]) -> list[TeamSpend]:
    """The teams with their spend by vendor, highest spend first."""
    by_vendor: dict[str | None, dict[str, Decimal]] = defaultdict(dict)
    for (team, vendor), total in _total_by(rows, lambda row: (row["team"], row["vendor"])).items():
        by_vendor[team][vendor] = total.spend_usd
    totals = _total_by(rows, lambda row: row["team"])
    teams = [TeamSpend(team, total, by_vendor[team]) for team, total in totals.items()]
    return sorted(teams, key=lambda team: (-team.total.spend_usd, team.team or ""))


def _pivot_people(rows: Sequence[Row]) -> list[PersonSpend]:
    """The people with their spend by vendor, highest spend first."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["person_email"]].append(row)
    people = [
        PersonSpend(
            email=redact_line(email, with_people=True),
            name=next((redact_line(row["name"], with_people=True) for row in group if row["name"]), None),
            spend_usd=sum((row["spend_usd"] for row in group), Decimal(0)),
            active_days=max(row["active_days"] for row in group),
            by_vendor={row["vendor"]: row["spend_usd"] for row in group},
        )
        for email, group in groups.items()
    ]
    return sorted(people, key=lambda person: (-person.spend_usd, person.email))
