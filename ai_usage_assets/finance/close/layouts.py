"""Export a journal as a file that a ledger imports."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from ai_usage_assets.finance import spreadsheet
from ai_usage_assets.finance.close.base import CloseError
from ai_usage_assets.warehouse.base import Row

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
        raise CloseError(
            f"{path} cannot be written ({error.strerror}). The month is closed; export it again with --csv."
        ) from None
    return len(posted)


def _for_a_ledger(close: Row, line: Row) -> dict[str, str]:
    amount = line["ledger_usd"]
    return {
        **{name: spreadsheet.escape_formula(line[name]) for name in _COLUMNS if name in line},
        "period": f"{line['posting_month']:%Y-%m}",
        "posting_date": str(line["posting_date"]),
        "usage_period": f"{line['usage_month']:%Y-%m}",
        "debit": f"{amount:.2f}" if amount >= 0 else "",
        "credit": f"{-amount:.2f}" if amount < 0 else "",
        "amount_usd": f"{line['amount_usd']:.9f}",
        "mapping_snapshot": spreadsheet.escape_formula(close["mapping_snapshot"]),
        "close_id": close["close_id"],
        "closed_at": f"{close['closed_at']:%Y-%m-%dT%H:%M:%SZ}",
    }
