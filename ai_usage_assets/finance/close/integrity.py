"""Verify that closed months still match what was frozen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

from ai_usage_assets.days import next_month
from ai_usage_assets.finance.close.base import CloseBlocker, CloseError
from ai_usage_assets.warehouse.base import Row, Warehouse

_NOTHING = Decimal(0)


_CENT = Decimal("0.01")


_RESTORE = (
    "Bring its rows in ops_month_closes, ops_close_totals and ops_journal_lines back as they were, from a backup or "
    "the file of --csv. Until then the open month corrects what nobody restated or reallocated."
)


def verify_integrity(warehouse: Warehouse) -> dict[date, CloseBlocker]:
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
            wrong: CloseBlocker | None = _gone(month, lines)
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


def _gone(month: date, lines: Mapping[str, Sequence[Row]]) -> CloseBlocker:
    """Of a month that is open amid closed ones. Attempts that did not end may have left lines beside the close's."""
    amounts = {
        close_id: sum((line["amount_usd"] for line in of_close), _NOTHING)
        for close_id, of_close in lines.items()
        if of_close[0]["posting_month"] == month
    }
    known = " or ".join(amounts)
    return CloseBlocker(
        f"{month:%Y-%m} is not closed, and a later month is: its row in ops_month_closes is gone"
        + (f", its lines are there as close {known}" if known else ""),
        _RESTORE,
        amount_usd=max(amounts.values(), key=abs, default=None),
    )


def _changed(close: Row, totals: Sequence[Row], lines: Sequence[Row]) -> CloseBlocker | None:
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
    cents, ledger = round_to_cents(lines), [line["ledger_usd"] for line in lines]
    if cents != ledger:
        wrong.append("its debits and credits are not its amounts in cents")
        amounts.append(sum((abs(one - other) for one, other in zip(cents, ledger, strict=True)), _NOTHING))
    if not wrong and compute_fingerprint(close["month"], close["mapping_snapshot"], totals, lines) != close["close_id"]:
        wrong.append("its dollars add up, and something else of it was edited")
    if not wrong:
        return None
    what = f"{close['month']:%Y-%m} is not what was closed as {close['close_id']}: {', '.join(wrong)}"
    return CloseBlocker(what, _RESTORE, amount_usd=max(amounts, default=None))


# What a fingerprint is made of, in this order: a column that is added later is no part of it, so closes keep theirs.
_OF_A_TOTAL = ("vendor", "cost_basis", "amount_usd", "month", "content_digest")


_OF_A_LINE = (
    "line_id", "posting_month", "posting_date", "usage_month", "line_type", "reason", "vendor", "cost_basis", "product",
    "team", "cost_center", "account_key", "currency", "amount_usd", "ledger_usd", "description",
)  # fmt: skip


def compute_fingerprint(month: date, mapping_snapshot: str | None, totals: Sequence[Row], lines: Sequence[Row]) -> str:
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


def round_to_cents(lines: Sequence[Row]) -> list[Decimal]:
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


def check_totals(month: date, lines: Sequence[Row], totals: Sequence[Row]) -> None:
    """Raises CloseRefused when the charges among the lines are not the vendors' totals, to the last digit."""
    if differing := _unlike(lines, totals):
        raise CloseError(
            f"{month:%Y-%m} is not closed: its lines and the vendors' totals differ: {_named(differing)}. If a run "
            "was at work, close again when it is over; else `ai-usage run --job rebuild`."
        )
