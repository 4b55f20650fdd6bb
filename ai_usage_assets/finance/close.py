"""The month close: a settled month's journal is frozen, once; what it turns out to be later is corrected, not changed.

Belongs here: whether a month can be closed, its journal lines, writing them down, whether they still are what was
closed, and the file a ledger imports. Does not: what a month cost or who pays for it (`kpi_chargeback`, which also
makes the corrections), or how it is shown (`screens`).

A close is its row in `ops_month_closes`. Lines and totals are written before it, under a fingerprint of everything that
is frozen, so an attempt that ended in between leaves rows that nobody sees, and the next one writes its own. That row
is added once: of two closes of the same month, one is the close, and the other says so.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from ai_usage_assets.days import MAX_DAYS, ONE_DAY, DayError, DayRange, chunk_days, last_finished_day, next_month
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.finance import spreadsheet
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CLOSE_TOTALS, OPS_JOURNAL_LINES, OPS_MONTH_CLOSES

_NOTHING = Decimal(0)
_CENT = Decimal("0.01")

# What a vendor's figure of a basis was made from.
_ASSETS = {
    ("anthropic", "billed"): ("raw_anthropic_cost",),
    ("cursor", "billed"): ("raw_cursor_usage_events",),
    ("cursor", "seat"): ("raw_cursor_members", "raw_cursor_daily_usage"),
}
_NOT_ASKED = {"not_configured", "not_exposed"}
# A message is read by a person.
_SPANS_NAMED = 3


class CloseRefused(OperatorError):
    """A month cannot be closed; each line of the message says why, how much it touches, and what to do."""


@dataclass(frozen=True)
class Hindrance:
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
class Draft:
    """What a close would freeze: the rows of its three tables."""

    close: Row
    totals: Sequence[Row]
    lines: Sequence[Row]


def closed(warehouse: Warehouse, month: date) -> Row | None:
    """The close of a month, if it is closed."""
    rows = warehouse.rows("SELECT * FROM ai_usage.ops_month_closes WHERE month = @month", {"month": month})
    return rows[0] if rows else None


def journal(warehouse: Warehouse, close: Row) -> list[Row]:
    """The frozen lines of a close, in their order. Raises CloseRefused when they are not those that were frozen."""
    month = close["month"]
    if wrong := damage(warehouse).get(month):
        raise CloseRefused(f"The journal of {month:%Y-%m} is neither shown nor exported: {wrong}")
    lines = warehouse.rows(
        "SELECT * FROM ai_usage.ops_journal_lines WHERE close_id = @close_id", {"close_id": close["close_id"]}
    )
    return sorted(lines, key=_number)


# --- is it what was closed? -------------------------------------------------------------------------------------------

_RESTORE = (
    "Bring its rows in ops_month_closes, ops_close_totals and ops_journal_lines back as they were, from a backup or "
    "the file of --csv. Until then the open month corrects what nobody restated or reallocated."
)


def damage(warehouse: Warehouse) -> dict[date, Hindrance]:
    """What is wrong with the books, by month: a close that is not what it was, or is gone from amid the others."""
    closes = {row["month"]: row for row in warehouse.rows("SELECT * FROM ai_usage.ops_month_closes")}
    if not closes:
        return {}
    lines = _by_close(warehouse.rows("SELECT * FROM ai_usage.ops_journal_lines"))
    totals = _by_close(warehouse.rows("SELECT * FROM ai_usage.ops_close_totals"))
    found = {}
    # Lines of before the first close are of a close too, unless one was given up for good in the middle of its work.
    month = min({*closes, *(line["posting_month"] for of_close in lines.values() for line in of_close)})
    while month <= max(closes):
        if (close := closes.get(month)) is None:
            wrong: Hindrance | None = _gone(month, lines)
        else:
            wrong = _changed(close, totals.get(close["close_id"], []), lines.get(close["close_id"], []))
        if wrong:
            found[month] = wrong
        month = next_month(month)
    return found


def _by_close(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["close_id"], []).append(row)
    return found


def _gone(month: date, lines: Mapping[str, Sequence[Row]]) -> Hindrance:
    """Of a month that is open amid closed ones. Attempts that did not end may have left lines beside the close's."""
    amounts = {
        close_id: sum((line["amount_usd"] for line in of_close), _NOTHING)
        for close_id, of_close in lines.items()
        if of_close[0]["posting_month"] == month
    }
    known = " or ".join(amounts)
    return Hindrance(
        f"{month:%Y-%m} is not closed, and a later month is: its row in ops_month_closes is gone"
        + (f", its lines are there as close {known}" if known else ""),
        _RESTORE,
        amount_usd=max(amounts.values(), key=abs, default=None),
    )


def _changed(close: Row, totals: Sequence[Row], lines: Sequence[Row]) -> Hindrance | None:
    lines = sorted(lines, key=_number)
    totals = sorted(totals, key=lambda total: (total["vendor"], total["cost_basis"]))
    wrong, amounts = [], []
    if len(lines) != close["lines"]:
        wrong.append(f"it has {len(lines):,} lines, and {close['lines']:,} were closed")
    for name, found in _sums(lines).items():
        if found != close[name]:
            wrong.append(f"its {name.removesuffix('_usd')} are ${found:,.2f}, and ${close[name]:,.2f} were closed")
            amounts.append(abs(found - close[name]))
    if differing := _unlike(lines, totals):
        wrong.append(f"its charges differ from the vendors' totals: {_named(differing)}")
        amounts.append(sum(map(abs, differing.values()), _NOTHING))
    cents, ledger = in_cents(lines), [line["ledger_usd"] for line in lines]
    if cents != ledger:
        wrong.append("its debits and credits are not its amounts in cents")
        amounts.append(sum((abs(one - other) for one, other in zip(cents, ledger, strict=True)), _NOTHING))
    if not wrong and fingerprint(close["month"], close["mapping_snapshot"], totals, lines) != close["close_id"]:
        wrong.append("its dollars add up, and something else of it was edited")
    if not wrong:
        return None
    what = f"{close['month']:%Y-%m} is not what was closed as {close['close_id']}: {', '.join(wrong)}"
    return Hindrance(what, _RESTORE, amount_usd=max(amounts, default=None))


# What a fingerprint is made of, in this order: a column that is added later is no part of it, so closes keep theirs.
_OF_A_TOTAL = ("vendor", "cost_basis", "amount_usd", "month", "content_digest")
_OF_A_LINE = (
    "line_id", "posting_month", "posting_date", "usage_month", "line_type", "reason", "vendor", "cost_basis", "product",
    "team", "cost_center", "account_key", "currency", "amount_usd", "ledger_usd", "description",
)  # fmt: skip


def fingerprint(month: date, mapping_snapshot: str | None, totals: Sequence[Row], lines: Sequence[Row]) -> str:
    """The id of a close: everything that is frozen, in 32 hexadecimal digits. Totals and lines are in their order."""
    frozen = [
        str(month),
        mapping_snapshot,
        *({name: total[name] for name in _OF_A_TOTAL} for total in totals),
        *({name: line[name] for name in _OF_A_LINE} for line in lines),
    ]
    return hashlib.sha256(json.dumps(frozen, default=_text).encode()).hexdigest()[:32]


def _text(value: object) -> str:
    """The same for both engines, whose decimals have another number of zeros."""
    return f"{value:.9f}" if isinstance(value, Decimal) else str(value)


def _number(line: Row) -> tuple[int, str]:
    """The order of the lines, also of the hundred-thousandth."""
    return len(line["line_id"]), line["line_id"]


def _sums(lines: Sequence[Row]) -> dict[str, Decimal]:
    """What a close says of its lines."""
    sums = {"charges_usd": _NOTHING, "corrections_usd": _NOTHING}
    for line in lines:
        sums["charges_usd" if line["line_type"] == "charge" else "corrections_usd"] += line["amount_usd"]
    return sums


def _unlike(lines: Sequence[Row], totals: Sequence[Row]) -> dict[tuple[str, str], Decimal]:
    """By how many dollars the charges among the lines fall short of the vendors' totals, where they do not agree."""
    wrong = {(total["vendor"], total["cost_basis"]): total["amount_usd"] for total in totals}
    for line in lines:
        if line["line_type"] == "charge":
            key = (line["vendor"], line["cost_basis"])
            wrong[key] = wrong.get(key, _NOTHING) - line["amount_usd"]
    return {key: amount for key, amount in wrong.items() if amount}


def _named(differing: Mapping[tuple[str, str], Decimal]) -> str:
    return "; ".join(f"{vendor} {basis} by ${amount:,.9f}" for (vendor, basis), amount in differing.items())


# --- may it be closed? ------------------------------------------------------------------------------------------------


def first_day(warehouse: Warehouse, start_date: date) -> date:
    """The first day that can belong to the books: the start date, or the first day of a bill that is held before it."""
    (held,) = warehouse.rows(
        "SELECT MIN(usage_date) AS first_day FROM ai_usage.ops_asset_days "
        "WHERE asset IN ('raw_anthropic_cost', 'raw_cursor_usage_events') AND completed_at IS NOT NULL"
    )
    return min(start_date, held["first_day"] or start_date)


def days_of(month: date, first_day: date) -> DayRange:
    """The days there are of a month. Raises DayError for one that lies before all of them."""
    last = next_month(month) - ONE_DAY
    if last < first_day:
        raise DayError(
            f"{month:%Y-%m} is before the first day there is, {first_day} (AI_USAGE_START_DATE, or the first that is "
            "held, whichever is earlier)."
        )
    return DayRange(max(month, first_day), last)


def hindrances(warehouse: Warehouse, month: DayRange, today: date, start_date: date) -> list[Hindrance]:
    """Why a finished month cannot be closed; nothing means it can. `month` is all its days there are."""
    found = [
        *_at_work(warehouse),
        *damage(warehouse).values(),
        *_out_of_order(warehouse, month, start_date),
        *_unsettled(warehouse, month, today),
        *_differing(warehouse, month),
        *_failed_checks(warehouse, month),
    ]
    return [*found, *_before_the_start(month, start_date)] if found else []


def _before_the_start(month: DayRange, start_date: date) -> list[Hindrance]:
    """Advice that names days is no help where no command would take them."""
    early = [day for day in month if day < start_date]
    if not early:
        return []
    return [
        Hindrance(
            f"the month begins before AI_USAGE_START_DATE, which is {start_date}",
            f"To load its days again or check them, set AI_USAGE_START_DATE to {month.first}, or earlier, first.",
            early,
        )
    ]


def _at_work(warehouse: Warehouse) -> list[Hindrance]:
    running = warehouse.rows("SELECT run_id, started_at FROM ai_usage.ops_runs WHERE outcome = 'running'")
    return [
        Hindrance(
            f"run {run['run_id'][:8]}, which began {run['started_at']:%Y-%m-%d %H:%M} UTC, is still at work",
            "Close when it is over; of one that was killed, the next run says so.",
        )
        for run in running
        if warehouse.is_run_active(run["run_id"])
    ]


def _out_of_order(warehouse: Warehouse, month: DayRange, start_date: date) -> list[Hindrance]:
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
                Hindrance(
                    f"the books are closed through {through:%Y-%m}",
                    f"What an earlier month costs now is corrected in {due:%Y-%m}: see kpi_chargeback.",
                )
            ]
        return (
            [Hindrance(f"{due:%Y-%m} is still open", "Close the months in order: that one first.")]
            if wanted > due
            else []
        )
    earlier = warehouse.rows(
        "SELECT usage_month AS month, SUM(amount_usd) AS amount_usd FROM ai_usage.kpi_chargeback "
        "WHERE usage_month < @month GROUP BY usage_month ORDER BY usage_month",
        {"month": wanted},
    )
    return [
        Hindrance(
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


def _unsettled(warehouse: Warehouse, month: DayRange, today: date) -> list[Hindrance]:
    """Days of a vendor in use that are not held, not sound, or were last read before they were final.

    Not in use is a vendor that was not configured, or not exposed, on every day of the month.
    """
    rows = warehouse.rows(_MONEY_DAYS, {"first_day": month.first, "last_day": month.last})
    load = f"`ai-usage backfill --from {month.first} --to {month.last}` loads it."
    if not rows:
        return [Hindrance("no day of it is held, of any vendor", load)]
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


def _of_days(what: str, advice: str, rows: Sequence[Row]) -> Hindrance:
    days = [row["usage_date"] for row in rows]
    return Hindrance(what, advice, days, sum((row["amount_usd"] or _NOTHING for row in rows), _NOTHING))


def _why(rows: Sequence[Row]) -> str:
    """What was said of the first of them."""
    message = next((str(row["message"]) for row in rows if row["message"]), "")
    return f", {message.rstrip('.')}" if message else ""


def _differing(warehouse: Warehouse, month: DayRange) -> list[Hindrance]:
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


def _failed_checks(warehouse: Warehouse, month: DayRange) -> list[Hindrance]:
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
                Hindrance(
                    f"the check {asset}.{name} failed in the last run for these days: {newest['message'].rstrip('.')}",
                    f"Mend that; `ai-usage backfill --from {min(failed)} --to {max(failed)}` checks it again.",
                    failed,
                    newest["amount_usd"],
                )
            )
    return found


def notes(warehouse: Warehouse, month: DayRange) -> list[str]:
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


@dataclass(frozen=True)
class State:
    """How a month stands in the books. `close` is None while it is open; `waits_for` says what keeps it so."""

    month: date
    amount_usd: Decimal
    lines: int
    close: Row | None
    waits_for: Sequence[str]


def states(warehouse: Warehouse, start_date: date, now: datetime) -> list[State]:
    """Every month that is closed or has something to post, oldest first; only the one that is due is examined."""
    closes = {row["month"]: row for row in warehouse.rows("SELECT * FROM ai_usage.ops_month_closes")}
    rows = warehouse.rows(
        "SELECT posting_month AS month, SUM(amount_usd) AS amount_usd, COUNT(*) AS lines FROM ai_usage.kpi_chargeback "
        "GROUP BY posting_month"
    )
    posted = {row["month"]: row for row in rows}
    due = next_month(max(closes)) if closes else min(posted, default=None)
    first = first_day(warehouse, start_date)
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
            waits_for = [str(hindrance) for hindrance in hindrances(warehouse, days, now.date(), start_date)]
        found.append(State(month, row["amount_usd"], row["lines"], closes.get(month), waits_for))
    return found


# --- what would be frozen? --------------------------------------------------------------------------------------------


def draft(warehouse: Warehouse, month: date, now: datetime) -> Draft:
    """The journal of an open month as it is now.

    Raises CloseRefused for one that is closed, and when it does not add up to the vendors' totals.
    """
    live = warehouse.rows(
        "SELECT * FROM ai_usage.kpi_chargeback WHERE posting_month = @month AND status = 'open'", {"month": month}
    )
    lines = _numbered(sorted(live, key=_order))
    totals = _totals(warehouse, month)
    if found := closed(warehouse, month):
        raise CloseRefused(f"{month:%Y-%m} is closed since {found['closed_at']:%Y-%m-%d %H:%M:%S} UTC.")
    add_up(month, lines, totals)
    mapping_snapshot = live[0]["mapping_snapshot"] if live else None
    (calendar,) = warehouse.rows("SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date")
    close_id = fingerprint(month, mapping_snapshot, totals, lines)
    return Draft(
        close={
            "month": month,
            "close_id": close_id,
            "closed_at": now,
            "as_of_date": calendar["as_of_date"],
            "mapping_snapshot": mapping_snapshot,
            **_sums(lines),
            "lines": len(lines),
            "version": version("ai-usage-assets"),
        },
        totals=[{**total, "close_id": close_id} for total in totals],
        lines=[{**line, "close_id": close_id} for line in lines],
    )


def _order(line: Row) -> tuple[Any, ...]:
    names = (line["vendor"], line["cost_basis"], line["product"], line["cost_center"], line["team"])
    return (line["line_type"] != "charge", line["usage_month"], *((name is None, name or "") for name in names))


def _numbered(live: Sequence[Row]) -> list[Row]:
    """Journal lines, without the close they belong to."""
    cents = in_cents(live)
    lines = []
    for number, (line, ledger_usd) in enumerate(zip(live, cents, strict=True), 1):
        posting_month, used = line["posting_month"], f"{line['usage_month']:%Y-%m}"
        what = "AI usage" if line["line_type"] == "charge" else f"Correction ({line['reason']}) of AI usage"
        of_what = " ".join(name for name in (line["vendor"], line["cost_basis"], line["product"]) if name)
        lines.append(
            {
                "line_id": f"AI-{posting_month:%Y-%m}-{number:05}",
                "posting_month": posting_month,
                "posting_date": next_month(posting_month) - ONE_DAY,
                **{name: line[name] for name in ("usage_month", "line_type", "reason", "vendor", "cost_basis")},
                **{name: line[name] for name in ("product", "team", "cost_center")},
                "account_key": f"{line['vendor']}.{line['cost_basis']}",
                "currency": "USD",
                "amount_usd": line["amount_usd"],
                "ledger_usd": ledger_usd,
                "description": f"{what} {used}, {of_what}, {line['team'] or 'no team'}",
            }
        )
    return lines


def in_cents(lines: Sequence[Row]) -> list[Decimal]:
    """Each amount in whole cents, so that those of one vendor, basis and usage month add up to their sum in cents.

    All are rounded down; what is then missing of the sum, a cent each, goes to those that lost most.
    """
    rounded = [line["amount_usd"].quantize(_CENT, ROUND_FLOOR) for line in lines]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, line in enumerate(lines):
        groups.setdefault((line["usage_month"], line["vendor"], line["cost_basis"]), []).append(number)
    for numbers in groups.values():
        total = sum((lines[number]["amount_usd"] for number in numbers), _NOTHING).quantize(_CENT, ROUND_HALF_UP)
        missing = int((total - sum((rounded[number] for number in numbers), _NOTHING)) / _CENT)
        lost = sorted(numbers, key=lambda number: rounded[number] - lines[number]["amount_usd"])
        for number in lost[:missing]:
            rounded[number] += _CENT
    return rounded


def _totals(warehouse: Warehouse, month: date) -> list[Row]:
    """The vendors' own totals of a month, before anybody was said to pay, and what they were made from."""
    parameters = {"first_day": month, "last_day": next_month(month) - ONE_DAY}
    amounts = warehouse.rows(
        """
        WITH money AS (
          SELECT usage_date, 'anthropic' AS vendor, 'billed' AS cost_basis, amount_usd
          FROM ai_usage.int_anthropic_cost_daily
          UNION ALL
          SELECT usage_date, 'cursor', cost_basis, amount_usd
          FROM ai_usage.int_cursor_usage_daily
          WHERE cost_basis <> 'included'
          UNION ALL
          SELECT usage_date, vendor, 'seat', amount_usd
          FROM ai_usage.fct_seat_daily
          WHERE is_paid
        )
        SELECT vendor, cost_basis, SUM(amount_usd) AS amount_usd
        FROM money
        WHERE usage_date BETWEEN @first_day AND @last_day AND amount_usd IS NOT NULL
        GROUP BY vendor, cost_basis ORDER BY vendor, cost_basis
        """,
        parameters,
    )
    held = warehouse.rows(
        "SELECT asset, usage_date, content_digest FROM ai_usage.ops_asset_days "
        "WHERE content_digest IS NOT NULL AND usage_date BETWEEN @first_day AND @last_day ORDER BY asset, usage_date",
        parameters,
    )
    for total in amounts:
        total["month"] = month
        assets = _ASSETS[total["vendor"], total["cost_basis"]]
        days = [
            f"{row['asset']} {row['usage_date']} {row['content_digest']}\n" for row in held if row["asset"] in assets
        ]
        total["content_digest"] = hashlib.sha256("".join(days).encode()).hexdigest() if days else None
    return amounts


def add_up(month: date, lines: Sequence[Row], totals: Sequence[Row]) -> None:
    """Raises CloseRefused when the charges among the lines are not the vendors' totals, to the last digit."""
    if differing := _unlike(lines, totals):
        raise CloseRefused(
            f"{month:%Y-%m} is not closed: its lines and the vendors' totals differ: {_named(differing)}. If a run "
            "was at work, close again when it is over; else `ai-usage run --job rebuild`."
        )


# --- freezing ---------------------------------------------------------------------------------------------------------


def freeze(warehouse: Warehouse, made: Draft) -> Row:
    """Closes the month, unless somebody has: the close that counts."""
    warehouse.upsert(OPS_JOURNAL_LINES, ("close_id", "line_id"), made.lines)
    warehouse.upsert(OPS_CLOSE_TOTALS, ("close_id", "vendor", "cost_basis"), made.totals)
    warehouse.insert_if_absent(OPS_MONTH_CLOSES, ("month",), made.close)
    month = made.close["month"]
    found = closed(warehouse, month)
    if found is None:
        raise CloseRefused(
            f"{month:%Y-%m} is not closed: its row in {OPS_MONTH_CLOSES.name} was written and is gone. Close it again."
        )
    return found


# --- for a ledger -----------------------------------------------------------------------------------------------------

_COLUMNS = (
    "line_id", "period", "posting_date", "cost_center", "team", "account_key", "currency", "debit", "credit",
    "amount_usd", "vendor", "cost_basis", "product", "line_type", "reason", "usage_period", "description",
    "mapping_snapshot", "close_id", "closed_at",
)  # fmt: skip


def write_csv(path: Path, close: Row, lines: Sequence[Row]) -> int:
    """The journal of a closed month as a file that a ledger imports: all of it, or the file is as it was.

    Debit and credit are in whole cents; amount_usd is exact. A line that is 0.00 in cents is left out: a ledger refuses
    it. Returns how many lines are in the file. Raises CloseRefused where it cannot be written.
    """
    posted = [_for_a_ledger(close, line) for line in lines if line["ledger_usd"]]
    text = io.StringIO(newline="")
    rows = csv.DictWriter(text, _COLUMNS)
    rows.writeheader()
    rows.writerows(posted)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text.getvalue(), encoding="utf-8", newline="")
        unfinished.replace(path)
    except OSError as error:
        raise CloseRefused(
            f"{path} cannot be written ({error.strerror}). The month is closed; export it again with --csv."
        ) from None
    return len(posted)


def _for_a_ledger(close: Row, line: Row) -> dict[str, str]:
    amount = line["ledger_usd"]
    return {
        **{name: spreadsheet.text(line[name]) for name in _COLUMNS if name in line},
        "period": f"{line['posting_month']:%Y-%m}",
        "posting_date": str(line["posting_date"]),
        "usage_period": f"{line['usage_month']:%Y-%m}",
        "debit": f"{amount:.2f}" if amount >= 0 else "",
        "credit": f"{-amount:.2f}" if amount < 0 else "",
        "amount_usd": f"{line['amount_usd']:.9f}",
        "mapping_snapshot": spreadsheet.text(close["mapping_snapshot"]),
        "close_id": close["close_id"],
        "closed_at": f"{close['closed_at']:%Y-%m-%dT%H:%M:%SZ}",
    }


def _month_of(days: DayRange) -> date:
    return days.first.replace(day=1)
