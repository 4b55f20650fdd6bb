"""Draft, freeze and load the journal of a month.

A close is its row in `ops_month_closes`. Lines and totals are written before that row, under the fingerprint of
everything that the close freezes. An interrupted attempt therefore leaves rows that nothing reads, and the next attempt
writes its own. The close row is inserted only if the month has none: of two concurrent closes one wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from importlib.metadata import version
from typing import Any, cast

from ai_usage_assets.days import ONE_DAY, next_month
from ai_usage_assets.finance.close.base import CloseDraft, CloseError, CloseTotal, JournalLine, LiveLine, MonthClose
from ai_usage_assets.finance.close.integrity import (
    check_totals,
    compute_fingerprint,
    line_order,
    round_to_cents,
    sum_lines,
    verify_integrity,
)
from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.registry import load_sources
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CLOSE_TOTALS, OPS_JOURNAL_LINES, OPS_MONTH_CLOSES
from ai_usage_assets.warehouse.sql_files import read_query


def find_close(warehouse: Warehouse, month: date) -> MonthClose | None:
    """Returns the close of a month; None while the month is open."""
    rows = warehouse.rows("SELECT * FROM ai_usage.ops_month_closes WHERE month = @month", {"month": month})
    return cast("MonthClose", rows[0]) if rows else None


def load_journal(warehouse: Warehouse, close: MonthClose) -> list[JournalLine]:
    """Loads the lines of a close in order. Raises CloseError when the close was changed after it was frozen."""
    month = close["month"]
    if problem := verify_integrity(warehouse).get(month):
        raise CloseError(f"The journal of {month:%Y-%m} is not shown or exported: {problem}")
    rows = warehouse.rows(
        "SELECT * FROM ai_usage.ops_journal_lines WHERE close_id = @close_id", {"close_id": close["close_id"]}
    )
    return sorted(cast("list[JournalLine]", rows), key=line_order)


def draft_close(warehouse: Warehouse, month: date, now: datetime) -> CloseDraft:
    """Builds the close of an open month from the current data.

    Raises CloseError when the month is closed, or when its lines differ from the vendors' totals.
    """
    rows = warehouse.rows(
        "SELECT * FROM ai_usage.kpi_chargeback WHERE posting_month = @month AND status = 'open'", {"month": month}
    )
    lines = _number_lines(sorted(cast("list[LiveLine]", rows), key=_journal_order))
    totals = _load_totals(warehouse, month)
    if existing := find_close(warehouse, month):
        raise CloseError(f"{month:%Y-%m} is already closed, since {existing['closed_at']:%Y-%m-%d %H:%M:%S} UTC.")
    check_totals(month, lines, totals)
    mapping_snapshot = rows[0]["mapping_snapshot"] if rows else None
    (calendar,) = warehouse.rows("SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date")
    close_id = compute_fingerprint(month, mapping_snapshot, totals, lines)
    charges, corrections = sum_lines(lines)
    close = MonthClose(
        month=month,
        close_id=close_id,
        closed_at=now,
        as_of_date=calendar["as_of_date"],
        mapping_snapshot=mapping_snapshot,
        charges_usd=charges,
        corrections_usd=corrections,
        lines=len(lines),
        version=version("ai-usage-assets"),
    )
    return CloseDraft(
        close, [{**total, "close_id": close_id} for total in totals], [{**line, "close_id": close_id} for line in lines]
    )


def _journal_order(line: LiveLine) -> tuple[Any, ...]:
    names = (line["vendor"], line["cost_basis"], line["product"], line["cost_center"], line["team"])
    return (line["line_type"] != "charge", line["usage_month"], *((name is None, name or "") for name in names))


def _number_lines(live: Sequence[LiveLine]) -> list[JournalLine]:
    """Turns live lines into journal lines without a close."""
    lines = []
    for number, (line, ledger_usd) in enumerate(zip(live, round_to_cents(live), strict=True), 1):
        posting_month = line["posting_month"]
        kind = "AI usage" if line["line_type"] == "charge" else f"Correction ({line['reason']}) of AI usage"
        item = " ".join(name for name in (line["vendor"], line["cost_basis"], line["product"]) if name)
        lines.append(
            JournalLine(
                line_id=f"AI-{posting_month:%Y-%m}-{number:05}",
                posting_month=posting_month,
                posting_date=next_month(posting_month) - ONE_DAY,
                usage_month=line["usage_month"],
                line_type=line["line_type"],
                reason=line["reason"],
                vendor=line["vendor"],
                cost_basis=line["cost_basis"],
                product=line["product"],
                team=line["team"],
                cost_center=line["cost_center"],
                account_key=f"{line['vendor']}.{line['cost_basis']}",
                currency="USD",
                amount_usd=line["amount_usd"],
                ledger_usd=ledger_usd,
                description=f"{kind} {line['usage_month']:%Y-%m}, {item}, {line['team'] or 'no team'}",
            )
        )
    return lines


def _load_totals(warehouse: Warehouse, month: date) -> list[CloseTotal]:
    """Loads the vendors' totals of a month before attribution, with the digest of the raw days they come from."""
    period = {"first_day": month, "last_day": next_month(month) - ONE_DAY}
    digests = warehouse.rows(read_query("finance/close_digests"), period)
    seats = warehouse.rows(read_query("finance/close_seats"), period)
    totals = []
    for source in load_sources():
        usage = warehouse.rows(read_query(f"finance/{source.name}/close_usage"), period)
        for row in (*usage, *(row for row in seats if row["vendor"] == source.name)):
            tables = {table.name for table in source.money_tables[row["cost_basis"]]}
            days = [
                f"{day['asset']} {day['usage_date']} {day['content_digest']}\n"
                for day in digests
                if day["asset"] in tables
            ]
            totals.append(
                CloseTotal(
                    month=month,
                    vendor=source.name,
                    cost_basis=row["cost_basis"],
                    amount_usd=row["amount_usd"],
                    content_digest=sha256_hex("".join(days)) if days else None,
                )
            )
    return sorted(totals, key=lambda total: (total["vendor"], total["cost_basis"]))


def freeze_close(warehouse: Warehouse, draft: CloseDraft) -> MonthClose:
    """Closes the month and returns the close in effect: that of another process if it was first."""
    warehouse.upsert(OPS_JOURNAL_LINES, ("close_id", "line_id"), [dict(line) for line in draft.lines])
    warehouse.upsert(OPS_CLOSE_TOTALS, ("close_id", "vendor", "cost_basis"), [dict(total) for total in draft.totals])
    warehouse.insert_if_absent(OPS_MONTH_CLOSES, ("month",), dict(draft.close))
    month = draft.close["month"]
    close = find_close(warehouse, month)
    if close is None:
        raise CloseError(
            f"{month:%Y-%m} is not closed: its row in {OPS_MONTH_CLOSES.name} was written and then deleted. "
            "Close the month again."
        )
    return close
