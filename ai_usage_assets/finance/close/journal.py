"""Draft, freeze and load the journal of a month."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from importlib.metadata import version
from typing import Any

from ai_usage_assets.days import ONE_DAY, next_month
from ai_usage_assets.finance.close.base import CloseDraft, CloseError
from ai_usage_assets.finance.close.integrity import (
    _number,
    _sums,
    check_totals,
    compute_fingerprint,
    round_to_cents,
    verify_integrity,
)
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CLOSE_TOTALS, OPS_JOURNAL_LINES, OPS_MONTH_CLOSES

# What a vendor's figure of a basis was made from.
_ASSETS = {
    ("anthropic", "billed"): ("raw_anthropic_cost",),
    ("cursor", "billed"): ("raw_cursor_usage_events",),
    ("cursor", "seat"): ("raw_cursor_members", "raw_cursor_daily_usage"),
}


def find_close(warehouse: Warehouse, month: date) -> Row | None:
    """The close of a month, if it is closed."""
    rows = warehouse.rows("SELECT * FROM ai_usage.ops_month_closes WHERE month = @month", {"month": month})
    return rows[0] if rows else None


def load_journal(warehouse: Warehouse, close: Row) -> list[Row]:
    """The frozen lines of a close, in their order. Raises CloseRefused when they are not those that were frozen."""
    month = close["month"]
    if wrong := verify_integrity(warehouse).get(month):
        raise CloseError(f"The journal of {month:%Y-%m} is neither shown nor exported: {wrong}")
    lines = warehouse.rows(
        "SELECT * FROM ai_usage.ops_journal_lines WHERE close_id = @close_id", {"close_id": close["close_id"]}
    )
    return sorted(lines, key=_number)


def draft_close(warehouse: Warehouse, month: date, now: datetime) -> CloseDraft:
    """The journal of an open month as it is now.

    Raises CloseRefused for one that is closed, and when it does not add up to the vendors' totals.
    """
    live = warehouse.rows(
        "SELECT * FROM ai_usage.kpi_chargeback WHERE posting_month = @month AND status = 'open'", {"month": month}
    )
    lines = _numbered(sorted(live, key=_order))
    totals = _totals(warehouse, month)
    if found := find_close(warehouse, month):
        raise CloseError(f"{month:%Y-%m} is closed since {found['closed_at']:%Y-%m-%d %H:%M:%S} UTC.")
    check_totals(month, lines, totals)
    mapping_snapshot = live[0]["mapping_snapshot"] if live else None
    (calendar,) = warehouse.rows("SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date")
    close_id = compute_fingerprint(month, mapping_snapshot, totals, lines)
    return CloseDraft(
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
    cents = round_to_cents(live)
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


def freeze_close(warehouse: Warehouse, made: CloseDraft) -> Row:
    """Closes the month, unless somebody has: the close that counts."""
    warehouse.upsert(OPS_JOURNAL_LINES, ("close_id", "line_id"), made.lines)
    warehouse.upsert(OPS_CLOSE_TOTALS, ("close_id", "vendor", "cost_basis"), made.totals)
    warehouse.insert_if_absent(OPS_MONTH_CLOSES, ("month",), made.close)
    month = made.close["month"]
    found = find_close(warehouse, month)
    if found is None:
        raise CloseError(
            f"{month:%Y-%m} is not closed: its row in {OPS_MONTH_CLOSES.name} was written and is gone. Close it again."
        )
    return found
