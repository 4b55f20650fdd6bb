"""Verify that closed months are unchanged since they were frozen.

Does not decide whether a month may be closed (`readiness`) or load the data of a new close (`journal`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import cast

from ai_usage_assets.days import next_month
from ai_usage_assets.finance.close.base import CloseBlocker, CloseError, CloseTotal, JournalLine, LiveLine, MonthClose
from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.rendering.text import format_usd
from ai_usage_assets.warehouse.base import Warehouse

ZERO = Decimal(0)
_CENT = Decimal("0.01")
_RESTORE = (
    "Restore its rows in ops_month_closes, ops_close_totals and ops_journal_lines from a backup or from the file that "
    "--csv wrote. Until then the open month contains corrections that nobody caused."
)
# The fingerprint covers these columns in this order. A column that is added later stays out, so that the fingerprints
# of earlier closes stay valid.
_TOTAL_COLUMNS = ("vendor", "cost_basis", "amount_usd", "month", "content_digest")
_LINE_COLUMNS = (
    "line_id", "posting_month", "posting_date", "usage_month", "line_type", "reason", "vendor", "cost_basis", "product",
    "team", "cost_center", "account_key", "currency", "amount_usd", "ledger_usd", "description",
)  # fmt: skip


def verify_integrity(warehouse: Warehouse) -> dict[date, CloseBlocker]:
    """Checks every close; returns the problem of each month that was edited, or whose close row was deleted."""
    rows = cast("list[MonthClose]", warehouse.rows("SELECT * FROM ai_usage.ops_month_closes"))
    closes = {close["month"]: close for close in rows}
    if not closes:
        return {}
    lines: dict[str, list[JournalLine]] = defaultdict(list)
    for line in cast("list[JournalLine]", warehouse.rows("SELECT * FROM ai_usage.ops_journal_lines")):
        lines[line["close_id"]].append(line)
    totals: dict[str, list[CloseTotal]] = defaultdict(list)
    for total in cast("list[CloseTotal]", warehouse.rows("SELECT * FROM ai_usage.ops_close_totals")):
        totals[total["close_id"]].append(total)
    problems = {}
    # Lines that are older than the first close belong to a close whose row was deleted.
    month = min({*closes, *(line["posting_month"] for close_lines in lines.values() for line in close_lines)})
    while month <= max(closes):
        close = closes.get(month)
        if close is None:
            problems[month] = _describe_missing_close(month, lines)
        elif problem := _compare_with_close(close, totals[close["close_id"]], lines[close["close_id"]]):
            problems[month] = problem
        month = next_month(month)
    return problems


def _describe_missing_close(month: date, lines: Mapping[str, Sequence[JournalLine]]) -> CloseBlocker:
    """A month is open although a later one is closed. Interrupted attempts may have left lines of other closes."""
    amounts = {
        close_id: sum((line["amount_usd"] for line in close_lines), ZERO)
        for close_id, close_lines in lines.items()
        if close_lines and close_lines[0]["posting_month"] == month
    }
    orphans = f"; its journal lines still exist as close {' or '.join(amounts)}" if amounts else ""
    return CloseBlocker(
        f"{month:%Y-%m} is open although a later month is closed: its row in ops_month_closes was deleted{orphans}",
        _RESTORE,
        amount_usd=max(amounts.values(), key=abs, default=None),
    )


def _compare_with_close(
    close: MonthClose, totals: Sequence[CloseTotal], lines: Sequence[JournalLine]
) -> CloseBlocker | None:
    lines = sorted(lines, key=line_order)
    totals = sorted(totals, key=lambda total: (total["vendor"], total["cost_basis"]))
    problems, amounts = [], []
    if len(lines) != close["lines"]:
        problems.append(f"it has {len(lines):,} lines instead of {close['lines']:,}")
    charges, corrections = sum_lines(lines)
    for name, actual, frozen in (
        ("charges", charges, close["charges_usd"]),
        ("corrections", corrections, close["corrections_usd"]),
    ):
        if actual != frozen:
            problems.append(f"its {name} are {format_usd(actual)} instead of {format_usd(frozen)}")
            amounts.append(abs(actual - frozen))
    if differences := _compare_charges(lines, totals):
        problems.append(f"its charges differ from the vendors' totals ({_list_differences(differences)})")
        amounts.append(sum(map(abs, differences.values()), ZERO))
    cents, ledger = round_to_cents(lines), [line["ledger_usd"] for line in lines]
    if cents != ledger:
        problems.append("its debits and credits differ from its amounts in cents")
        amounts.append(sum((abs(one - other) for one, other in zip(cents, ledger, strict=True)), ZERO))
    if (
        not problems
        and compute_fingerprint(close["month"], close["mapping_snapshot"], totals, lines) != close["close_id"]
    ):
        problems.append("its dollars add up, but another column was edited")
    if not problems:
        return None
    return CloseBlocker(
        f"{close['month']:%Y-%m} was changed after close {close['close_id']}: {', '.join(problems)}",
        _RESTORE,
        amount_usd=max(amounts, default=None),
    )


def compute_fingerprint(
    month: date, mapping_snapshot: str | None, totals: Sequence[CloseTotal], lines: Sequence[JournalLine]
) -> str:
    """The id of a close: a hash of everything it freezes, 32 hexadecimal digits. Totals and lines must be in order."""
    frozen = [
        str(month),
        mapping_snapshot,
        *({name: total[name] for name in _TOTAL_COLUMNS} for total in totals),  # type: ignore[literal-required]
        *({name: line[name] for name in _LINE_COLUMNS} for line in lines),  # type: ignore[literal-required]
    ]
    return sha256_hex(json.dumps(frozen, default=_to_json), digits=32)


def _to_json(value: object) -> str:
    """A value as text; the engines return decimals with different numbers of trailing zeros."""
    return f"{value:.9f}" if isinstance(value, Decimal) else str(value)


def line_order(line: JournalLine) -> tuple[int, str]:
    """The sort key of journal lines; valid for numbers of more than five digits as well."""
    return len(line["line_id"]), line["line_id"]


def sum_lines(lines: Iterable[LiveLine]) -> tuple[Decimal, Decimal]:
    """The sums of the charges and of the corrections among the lines, in dollars."""
    charges, corrections = ZERO, ZERO
    for line in lines:
        if line["line_type"] == "charge":
            charges += line["amount_usd"]
        else:
            corrections += line["amount_usd"]
    return charges, corrections


def _compare_charges(lines: Iterable[LiveLine], totals: Iterable[CloseTotal]) -> dict[tuple[str, str], Decimal]:
    """The vendors' totals less the charges, by vendor and cost basis, where the two differ."""
    differences = {(total["vendor"], total["cost_basis"]): total["amount_usd"] for total in totals}
    for line in lines:
        if line["line_type"] == "charge":
            key = (line["vendor"], line["cost_basis"])
            differences[key] = differences.get(key, ZERO) - line["amount_usd"]
    return {key: amount for key, amount in differences.items() if amount}


def _list_differences(differences: Mapping[tuple[str, str], Decimal]) -> str:
    return "; ".join(
        f"{vendor} {basis} by {format_usd(amount, decimals=9)}" for (vendor, basis), amount in differences.items()
    )


def check_totals(month: date, lines: Iterable[LiveLine], totals: Iterable[CloseTotal]) -> None:
    """Raises CloseError unless the charges are equal to the vendors' totals, to the last digit."""
    if differences := _compare_charges(lines, totals):
        raise CloseError(
            f"{month:%Y-%m} is not closed: its journal lines differ from the vendors' totals "
            f"({_list_differences(differences)}). If a run is active, close the month when it has finished; "
            "otherwise rebuild the models with `ai-usage run --job rebuild`."
        )


def round_to_cents(lines: Sequence[LiveLine]) -> list[Decimal]:
    """Rounds each amount so that the cents of a vendor, cost basis and usage month add up to their rounded sum.

    Every amount is rounded down. The remaining cents go to the lines that lost most.
    """
    rounded = [line["amount_usd"].quantize(_CENT, ROUND_FLOOR) for line in lines]
    groups: dict[tuple[date, str, str], list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        groups[line["usage_month"], line["vendor"], line["cost_basis"]].append(index)
    for indices in groups.values():
        total = sum((lines[index]["amount_usd"] for index in indices), ZERO).quantize(_CENT, ROUND_HALF_UP)
        remainder = int((total - sum((rounded[index] for index in indices), ZERO)) / _CENT)
        for index in sorted(indices, key=lambda index: rounded[index] - lines[index]["amount_usd"])[:remainder]:
            rounded[index] += _CENT
    return rounded
