"""Decide whether a month can be closed, and describe the state of every month.

Does not build the journal (`journal`) or check closed months (`integrity`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import TypedDict, cast

from ai_usage_assets.days import ONE_DAY, DayError, DayRange, last_finished_day, next_month
from ai_usage_assets.finance.close.base import CloseBlocker, MonthClose, MonthStatus
from ai_usage_assets.finance.close.integrity import ZERO, verify_integrity
from ai_usage_assets.rendering.text import format_count, format_usd
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.sql_files import read_query

_NO_ACCESS = {"not_configured", "not_exposed"}


class _DayAmount(TypedDict):
    usage_date: date
    amount_usd: Decimal | None


class _DayStatus(_DayAmount):
    vendor: str
    settles_on: date | None
    status: str | None
    completed_at: datetime | None
    message: str | None


class _DayDifference(_DayAmount):
    vendor: str
    control: str


class _CheckResult(TypedDict):
    asset: str
    check_name: str
    passed: bool
    amount_usd: Decimal | None
    message: str
    first_day: date
    last_day: date


def first_recorded_day(warehouse: Warehouse, start_date: date) -> date:
    """The first day that can be closed: the start date, or the first day with a loaded bill if that is earlier."""
    (row,) = warehouse.rows(read_query("finance/close_first_day"))
    return min(start_date, row["first_day"] or start_date)


def days_to_close(month: date, first_day: date) -> DayRange:
    """The days of a month from `first_day` on. Raises DayError when the whole month is earlier."""
    last = next_month(month) - ONE_DAY
    if last < first_day:
        raise DayError(
            f"{month:%Y-%m} is before the first day, {first_day} (AI_USAGE_START_DATE, or the first loaded day if that "
            "is earlier)."
        )
    return DayRange(max(month, first_day), last)


def find_blockers(warehouse: Warehouse, days: DayRange, today: date, start_date: date) -> list[CloseBlocker]:
    """Finds the reasons why a finished month cannot be closed; an empty list means that it can.

    `days` is the result of `days_to_close`.
    """
    blockers = [
        *_find_active_runs(warehouse),
        *verify_integrity(warehouse).values(),
        *_check_month_order(warehouse, days.first.replace(day=1), start_date),
        *_find_unsettled_days(warehouse, days, today),
        *_find_differences(warehouse, days),
        *_find_failed_checks(warehouse, days),
    ]
    early = [day for day in days if day < start_date]
    if blockers and early:
        # Commands do not accept the days that the other advice names.
        blockers.append(
            CloseBlocker(
                f"the month begins before AI_USAGE_START_DATE, which is {start_date}",
                f"Set AI_USAGE_START_DATE to {days.first} or earlier before you load or check these days.",
                early,
            )
        )
    return blockers


def _find_active_runs(warehouse: Warehouse) -> Iterator[CloseBlocker]:
    for run in warehouse.rows("SELECT run_id, started_at FROM ai_usage.ops_runs WHERE outcome = 'running'"):
        if warehouse.is_run_active(run["run_id"]):
            yield CloseBlocker(
                f"run {run['run_id'][:8]}, started {run['started_at']:%Y-%m-%d %H:%M} UTC, is still active",
                "Close the month when the run has finished.",
            )


def _check_month_order(warehouse: Warehouse, month: date, start_date: date) -> Iterator[CloseBlocker]:
    """Months are closed one after another, because corrections are posted in the first open month."""
    (row,) = warehouse.rows("SELECT MAX(month) AS closed_through FROM ai_usage.ops_month_closes")
    if row["closed_through"] is not None:
        due = next_month(row["closed_through"])
        if month < due:
            yield CloseBlocker(
                f"all months through {row['closed_through']:%Y-%m} are closed",
                f"Changes to an earlier month are corrections in {due:%Y-%m}: see kpi_chargeback.",
            )
        elif month > due:
            yield CloseBlocker(f"{due:%Y-%m} is still open", "Close the months in order, that one first.")
        return
    for earlier in warehouse.rows(read_query("finance/close_earlier_spend"), {"month": month}):
        hint = f" It is before AI_USAGE_START_DATE, {start_date}." if earlier["month"] < start_date else ""
        yield CloseBlocker(
            f"{earlier['month']:%Y-%m} has spend and is still open",
            f"Close the months in order, that one first.{hint}",
            amount_usd=earlier["amount_usd"],
        )


def _find_unsettled_days(warehouse: Warehouse, days: DayRange, today: date) -> Iterator[CloseBlocker]:
    """Days of a used vendor that are not loaded, failed, or were last read before they were final.

    A vendor that was not configured or not exposed on every day of the month is not used in it.
    """
    rows = cast("list[_DayStatus]", warehouse.rows(read_query("finance/close_day_status"), _period(days)))
    load = f"Run `ai-usage backfill --from {days.first} --to {days.last}`."
    if not rows:
        yield CloseBlocker("no day of the month is loaded for any vendor", load)
    for vendor, group in groupby(rows, key=lambda row: row["vendor"]):
        vendor_days = list(group)
        if any(day["status"] not in _NO_ACCESS or day["completed_at"] for day in vendor_days):
            yield from _check_vendor_days(vendor, vendor_days, load, today)


def _check_vendor_days(vendor: str, days: Sequence[_DayStatus], load: str, today: date) -> Iterator[CloseBlocker]:
    missing, failed, undated = [], [], []
    provisional: list[_DayStatus] = []
    outdated: list[_DayStatus] = []
    for day in days:
        if day["completed_at"] is None:
            missing.append(day)
        elif day["status"] in ("failed", "incomplete"):
            failed.append(day)
        elif day["settles_on"] is None:
            undated.append(day)
        elif day["completed_at"].date() < day["settles_on"]:
            (provisional if day["settles_on"] > today else outdated).append(day)
    if missing:
        yield _blocker_for_days(f"{vendor}: not loaded{_first_message(missing)}", load, missing)
    if failed:
        advice = "Earlier data is kept. Fix the cause, then load these days again with `ai-usage backfill`."
        yield _blocker_for_days(f"{vendor}: the last attempt failed{_first_message(failed)}", advice, failed)
    if undated:
        advice = "`ai-usage run` builds the calendar from AI_USAGE_START_DATE on."
        yield _blocker_for_days(f"{vendor}: not in the calendar, so the settlement date is unknown", advice, undated)
    if provisional:
        final_on = max(day["settles_on"] for day in provisional if day["settles_on"])
        advice = f"Run `ai-usage run` on {final_on} or later, then close the month."
        yield _blocker_for_days(f"{vendor}: provisional until {final_on}", advice, provisional)
    if outdated:
        first, last = outdated[0]["usage_date"], outdated[-1]["usage_date"]
        advice = f"Run `ai-usage backfill --from {first} --to {last}` to load the final figures."
        yield _blocker_for_days(f"{vendor}: final now, but last loaded before that", advice, outdated)


def _blocker_for_days(problem: str, advice: str, days: Sequence[_DayAmount]) -> CloseBlocker:
    amount = sum((day["amount_usd"] or ZERO for day in days), ZERO)
    return CloseBlocker(problem, advice, [day["usage_date"] for day in days], amount)


def _first_message(days: Sequence[_DayStatus]) -> str:
    message = next((day["message"] for day in days if day["message"]), "")
    return f", {message.rstrip('.')}" if message else ""


def _find_differences(warehouse: Warehouse, days: DayRange) -> Iterator[CloseBlocker]:
    rows = cast("list[_DayDifference]", warehouse.rows(read_query("finance/close_differences"), _period(days)))
    for (vendor, control), group in groupby(rows, key=lambda row: (row["vendor"], row["control"])):
        yield _blocker_for_days(
            f"{vendor}: the facts differ from the control {control}",
            "Load these days again with `ai-usage backfill`; kpi_reconciliation shows the differences.",
            list(group),
        )


def _find_failed_checks(warehouse: Warehouse, days: DayRange) -> Iterator[CloseBlocker]:
    """Blocking checks whose newest result for a day of the month is a failure."""
    rows = cast("list[_CheckResult]", warehouse.rows(read_query("finance/close_check_results"), _period(days)))
    for (asset, name), results in groupby(rows, key=lambda row: (row["asset"], row["check_name"])):
        newest: dict[date, _CheckResult] = {}
        for result in results:
            for day in DayRange(max(result["first_day"], days.first), min(result["last_day"], days.last)):
                newest[day] = result
        failed = {day: result for day, result in newest.items() if not result["passed"]}
        if failed:
            last = failed[max(failed)]
            yield CloseBlocker(
                f"the check {asset}.{name} failed in the last run for these days: {last['message'].rstrip('.')}",
                f"Fix the cause, then run `ai-usage backfill --from {min(failed)} --to {max(failed)}` to check again.",
                failed,
                last["amount_usd"],
            )


def find_notes(warehouse: Warehouse, days: DayRange) -> list[str]:
    """Finds facts that do not block a close but that finance should know before it."""
    notes = []
    if days.first.day > 1:
        notes.append(
            f"The journal of the month begins on {days.first}, the first day of the warehouse (AI_USAGE_START_DATE)."
        )
    (unpriced,) = warehouse.rows(read_query("finance/close_unpriced_seats"), _period(days))
    if unpriced["seats"]:
        notes.append(
            f"{format_count(unpriced['seats'], 'paid seat')} without a price on "
            f"{format_count(unpriced['days'], 'day')}: no journal line contains them. A price that is added "
            "to the tab seat_prices later becomes a correction."
        )
    (unallocated,) = warehouse.rows(read_query("finance/close_unallocated"), _period(days))
    if unallocated["amount_usd"]:
        notes.append(
            f"{format_usd(unallocated['amount_usd'])} is unallocated and posted without a cost center. "
            "kpi_unallocated lists the rows to add to the sheet; after the close they become corrections."
        )
    return notes


def load_month_statuses(warehouse: Warehouse, start_date: date, now: datetime) -> list[MonthStatus]:
    """Loads every month that is closed or has journal lines, oldest first. Only the next month to close is examined."""
    closes: dict[date, MonthClose] = {
        row["month"]: cast("MonthClose", row) for row in warehouse.rows("SELECT * FROM ai_usage.ops_month_closes")
    }
    rows = warehouse.rows(
        "SELECT posting_month AS month, SUM(amount_usd) AS amount_usd, COUNT(*) AS lines FROM ai_usage.kpi_chargeback "
        "GROUP BY posting_month"
    )
    postings: dict[date, Row] = {row["month"]: row for row in rows}
    due = next_month(max(closes)) if closes else min(postings, default=None)
    first_day = first_recorded_day(warehouse, start_date)
    statuses = []
    for month in sorted({*closes, *postings} | ({due} if due else set())):
        posting = postings.get(month, {"amount_usd": ZERO, "lines": 0})
        last = next_month(month) - ONE_DAY
        waits_for: list[str] = []
        if month not in closes:
            if last > last_finished_day(now):
                waits_for = ["The month is not over yet."]
            elif month != due:
                waits_for = [f"Close {due:%Y-%m} first."]
            else:
                days = DayRange(max(month, min(first_day, last)), last)
                waits_for = [str(blocker) for blocker in find_blockers(warehouse, days, now.date(), start_date)]
        statuses.append(MonthStatus(month, posting["amount_usd"], posting["lines"], closes.get(month), waits_for))
    return statuses


def _period(days: DayRange) -> dict[str, date]:
    return {"first_day": days.first, "last_day": days.last}
