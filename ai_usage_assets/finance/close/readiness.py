"""Decide whether a month can be closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby

from ai_usage_assets.days import ONE_DAY, DayError, DayRange, last_finished_day, next_month
from ai_usage_assets.finance.close.base import CloseBlocker, MonthStatus
from ai_usage_assets.finance.close.integrity import _NOTHING, verify_integrity
from ai_usage_assets.warehouse.base import Row, Warehouse

_NOT_ASKED = {"not_configured", "not_exposed"}


def first_recorded_day(warehouse: Warehouse, start_date: date) -> date:
    """The first day that can belong to the books: the start date, or the first day of a bill that is held before it."""
    (held,) = warehouse.rows(
        "SELECT MIN(usage_date) AS first_day FROM ai_usage.ops_asset_days "
        "WHERE asset IN ('raw_anthropic_cost', 'raw_cursor_usage_events') AND completed_at IS NOT NULL"
    )
    return min(start_date, held["first_day"] or start_date)


def days_to_close(month: date, earliest: date) -> DayRange:
    """The days there are of a month. Raises DayError for one that lies before all of them."""
    last = next_month(month) - ONE_DAY
    if last < earliest:
        raise DayError(
            f"{month:%Y-%m} is before the first day there is, {earliest} (AI_USAGE_START_DATE, or the first that is "
            "held, whichever is earlier)."
        )
    return DayRange(max(month, earliest), last)


def find_blockers(warehouse: Warehouse, month: DayRange, today: date, start_date: date) -> list[CloseBlocker]:
    """Why a finished month cannot be closed; nothing means it can. `month` is all its days there are."""
    found = [
        *_at_work(warehouse),
        *verify_integrity(warehouse).values(),
        *_out_of_order(warehouse, month, start_date),
        *_unsettled(warehouse, month, today),
        *_differing(warehouse, month),
        *_failed_checks(warehouse, month),
    ]
    return [*found, *_before_the_start(month, start_date)] if found else []


def _before_the_start(month: DayRange, start_date: date) -> list[CloseBlocker]:
    """Advice that names days is no help where no command would take them."""
    early = [day for day in month if day < start_date]
    if not early:
        return []
    return [
        CloseBlocker(
            f"the month begins before AI_USAGE_START_DATE, which is {start_date}",
            f"To load its days again or check them, set AI_USAGE_START_DATE to {month.first}, or earlier, first.",
            early,
        )
    ]


def _at_work(warehouse: Warehouse) -> list[CloseBlocker]:
    running = warehouse.rows("SELECT run_id, started_at FROM ai_usage.ops_runs WHERE outcome = 'running'")
    return [
        CloseBlocker(
            f"run {run['run_id'][:8]}, which began {run['started_at']:%Y-%m-%d %H:%M} UTC, is still at work",
            "Close when it is over; of one that was killed, the next run says so.",
        )
        for run in running
        if warehouse.is_run_active(run["run_id"])
    ]


def _out_of_order(warehouse: Warehouse, month: DayRange, start_date: date) -> list[CloseBlocker]:
    """Months are closed one after another, beginning with the first that has spend.

    A correction is posted in the first open month; with a gap in the books nobody could say which that is.
    """
    (books,) = warehouse.rows("SELECT MAX(month) AS closed_through FROM ai_usage.ops_month_closes")
    through = books["closed_through"]
    wanted = _month_of(month)
    if through is not None:
        due = next_month(through)
        if wanted < due:
            # A month from before the books began, which has brought something since.
            return [
                CloseBlocker(
                    f"the books are closed through {through:%Y-%m}",
                    f"What an earlier month costs now is corrected in {due:%Y-%m}: see kpi_chargeback.",
                )
            ]
        return (
            [CloseBlocker(f"{due:%Y-%m} is still open", "Close the months in order: that one first.")]
            if wanted > due
            else []
        )
    earlier = warehouse.rows(
        "SELECT usage_month AS month, SUM(amount_usd) AS amount_usd FROM ai_usage.kpi_chargeback "
        "WHERE usage_month < @month GROUP BY usage_month ORDER BY usage_month",
        {"month": wanted},
    )
    return [
        CloseBlocker(
            f"{row['month']:%Y-%m} has spend and is still open",
            "Close the months in order: that one first"
            + (f", though it is before AI_USAGE_START_DATE, {start_date}." if row["month"] < start_date else "."),
            amount_usd=row["amount_usd"],
        )
        for row in earlier[:1]
    ]


_MONEY_DAYS = """
WITH entry AS (
  SELECT vendor, usage_date, status, completed_at, message
  FROM ai_usage.ops_asset_days
  WHERE asset IN ('raw_anthropic_cost', 'raw_cursor_usage_events')
), used AS (
  SELECT DISTINCT vendor
  FROM entry
  WHERE completed_at IS NOT NULL OR status NOT IN ('not_configured', 'not_exposed')
), spent AS (
  SELECT usage_date, vendor, SUM(amount_usd) AS amount_usd
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'included' AND usage_date BETWEEN @first_day AND @last_day
  GROUP BY usage_date, vendor
)
SELECT
  used.vendor,
  wanted AS usage_date,
  settlement.settles_on,
  entry.status,
  entry.completed_at,
  entry.message,
  spent.amount_usd
FROM UNNEST(GENERATE_DATE_ARRAY(@first_day, @last_day)) AS wanted
CROSS JOIN used
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = wanted AND settlement.vendor = used.vendor
LEFT JOIN entry ON entry.vendor = used.vendor AND entry.usage_date = wanted
LEFT JOIN spent ON spent.vendor = used.vendor AND spent.usage_date = wanted
ORDER BY used.vendor, wanted
"""


def _unsettled(warehouse: Warehouse, month: DayRange, today: date) -> list[CloseBlocker]:
    """Days of a vendor in use that are not held, not sound, or were last read before they were final.

    Not in use is a vendor that was not configured, or not exposed, on every day of the month.
    """
    rows = warehouse.rows(_MONEY_DAYS, {"first_day": month.first, "last_day": month.last})
    load = f"`ai-usage backfill --from {month.first} --to {month.last}` loads it."
    if not rows:
        return [CloseBlocker("no day of it is held, of any vendor", load)]
    found = []
    for vendor, of_vendor in groupby(rows, key=lambda row: str(row["vendor"])):
        days = list(of_vendor)
        if all(row["status"] in _NOT_ASKED and row["completed_at"] is None for row in days):
            continue
        missing = [row for row in days if row["completed_at"] is None]
        unsound = [row for row in days if row not in missing and row["status"] in ("failed", "incomplete")]
        held = [row for row in days if row not in missing and row not in unsound]
        unknown = [row for row in held if row["settles_on"] is None]
        early = [row for row in held if row["settles_on"] and row["completed_at"].date() < row["settles_on"]]
        unsettled = [row for row in early if row["settles_on"] > today]
        stale = [row for row in early if row not in unsettled]
        if missing:
            found.append(_of_days(f"{vendor}: not held whole{_why(missing)}", load, missing))
        if unsound:
            again = "What was held before is kept; `ai-usage run` for these days again, when the cause is gone."
            found.append(_of_days(f"{vendor}: the last pull did not end well{_why(unsound)}", again, unsound))
        if unknown:
            again = "`ai-usage run` makes the calendar from AI_USAGE_START_DATE on."
            found.append(_of_days(f"{vendor}: not in the calendar, so nobody knows when they settle", again, unknown))
        if unsettled:
            last = max(row["settles_on"] for row in unsettled)
            wait = f"Run on {last} or later, then close."
            found.append(_of_days(f"{vendor}: may still be restated, the last until {last}", wait, unsettled))
        if stale:
            first, end = stale[0]["usage_date"], stale[-1]["usage_date"]
            read = f"`ai-usage backfill --from {first} --to {end}` reads what is final."
            found.append(_of_days(f"{vendor}: settled since, but last read before", read, stale))
    return found


def _of_days(what: str, advice: str, rows: Sequence[Row]) -> CloseBlocker:
    days = [row["usage_date"] for row in rows]
    return CloseBlocker(what, advice, days, sum((row["amount_usd"] or _NOTHING for row in rows), _NOTHING))


def _why(rows: Sequence[Row]) -> str:
    """What was said of the first of them."""
    message = next((str(row["message"]) for row in rows if row["message"]), "")
    return f", {message.rstrip('.')}" if message else ""


def _differing(warehouse: Warehouse, month: DayRange) -> list[CloseBlocker]:
    # The classic report is another API, close by design and not equal.
    rows = warehouse.rows(
        """
        SELECT vendor, control, usage_date, ABS(difference_usd) AS amount_usd
        FROM ai_usage.kpi_reconciliation
        WHERE status = 'differs' AND control <> 'classic_cost_report' AND usage_date BETWEEN @first_day AND @last_day
        ORDER BY vendor, control, usage_date
        """,
        {"first_day": month.first, "last_day": month.last},
    )
    return [
        _of_days(
            f"{vendor}: the facts differ from the control {control}",
            "Run these days again (`ai-usage backfill`); kpi_reconciliation shows what differs.",
            list(of_control),
        )
        for (vendor, control), of_control in groupby(rows, key=lambda row: (row["vendor"], row["control"]))
    ]


def _failed_checks(warehouse: Warehouse, month: DayRange) -> list[CloseBlocker]:
    """Blocking checks that failed when a day of the month was last checked; a run without days looked at all.

    Not the one of the books: `damage` is asked anew.
    """
    rows = warehouse.rows(
        """
        SELECT
          result.asset, result.check_name, result.passed, result.amount_usd, result.message,
          COALESCE(run.first_day, @first_day) AS first_day, COALESCE(run.last_day, @last_day) AS last_day
        FROM ai_usage.ops_check_results AS result
        JOIN ai_usage.ops_runs AS run ON run.run_id = result.run_id
        WHERE result.blocking AND result.check_name <> 'closed_months_unchanged'
          AND COALESCE(run.first_day, @first_day) <= @last_day AND COALESCE(run.last_day, @last_day) >= @first_day
        ORDER BY result.asset, result.check_name, result.checked_at
        """,
        {"first_day": month.first, "last_day": month.last},
    )
    found = []
    for (asset, name), results in groupby(rows, key=lambda row: (row["asset"], row["check_name"])):
        last: dict[date, Row] = {}
        for result in results:
            for day in DayRange(max(result["first_day"], month.first), min(result["last_day"], month.last)):
                last[day] = result
        failed = {day: result for day, result in last.items() if not result["passed"]}
        if failed:
            newest = failed[max(failed)]
            found.append(
                CloseBlocker(
                    f"the check {asset}.{name} failed in the last run for these days: {newest['message'].rstrip('.')}",
                    f"Mend that; `ai-usage backfill --from {min(failed)} --to {max(failed)}` checks it again.",
                    failed,
                    newest["amount_usd"],
                )
            )
    return found


def find_notes(warehouse: Warehouse, month: DayRange) -> list[str]:
    """What does not keep a month from being closed, and whoever closes it should know."""
    parameters = {"first_day": month.first, "last_day": month.last}
    found = []
    if month.first.day > 1:
        found.append(f"The month begins with {month.first}, the first day there is (AI_USAGE_START_DATE).")
    (unpriced,) = warehouse.rows(
        "SELECT COUNT(DISTINCT user_id) AS seats, COUNT(DISTINCT usage_date) AS days FROM ai_usage.fct_seat_daily "
        "WHERE is_paid AND amount_usd IS NULL AND usage_date BETWEEN @first_day AND @last_day",
        parameters,
    )
    if unpriced["seats"]:
        found.append(
            f"{unpriced['seats']} paid seats have no price on {unpriced['days']} days, and no line; a price in the tab "
            "seat_prices is a correction once the month is closed."
        )
    (unallocated,) = warehouse.rows(
        "SELECT SUM(amount_usd) AS amount_usd FROM ai_usage.fct_cost_daily "
        "WHERE cost_basis <> 'included' AND cost_center IS NULL AND usage_date BETWEEN @first_day AND @last_day",
        parameters,
    )
    if unallocated["amount_usd"]:
        found.append(
            f"${unallocated['amount_usd']:,.2f} has no cost center and is posted without; kpi_unallocated says what to "
            "write into the sheet, which is a correction once the month is closed."
        )
    return found


def load_month_statuses(warehouse: Warehouse, start_date: date, now: datetime) -> list[MonthStatus]:
    """Every month that is closed or has something to post, oldest first; only the one that is due is examined."""
    closes = {row["month"]: row for row in warehouse.rows("SELECT * FROM ai_usage.ops_month_closes")}
    rows = warehouse.rows(
        "SELECT posting_month AS month, SUM(amount_usd) AS amount_usd, COUNT(*) AS lines FROM ai_usage.kpi_chargeback "
        "GROUP BY posting_month"
    )
    posted = {row["month"]: row for row in rows}
    due = next_month(max(closes)) if closes else min(posted, default=None)
    first = first_recorded_day(warehouse, start_date)
    found = []
    for month in sorted({*closes, *posted} | ({due} if due else set())):
        row = posted.get(month, {"amount_usd": _NOTHING, "lines": 0})
        last = next_month(month) - ONE_DAY
        waits_for = []
        if month not in closes and last > last_finished_day(now):
            waits_for = ["It is not over yet."]
        elif month not in closes and month != due:
            waits_for = [f"{due:%Y-%m} comes first."]
        elif month not in closes:
            days = DayRange(max(month, min(first, last)), last)
            waits_for = [str(hindrance) for hindrance in find_blockers(warehouse, days, now.date(), start_date)]
        found.append(MonthStatus(month, row["amount_usd"], row["lines"], closes.get(month), waits_for))
    return found


def _month_of(days: DayRange) -> date:
    return days.first.replace(day=1)
