"""Export a journal as a CSV file that a ledger imports."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ai_usage_assets.files import write_atomically
from ai_usage_assets.finance import spreadsheet
from ai_usage_assets.finance.close.base import CloseError, JournalLine, MonthClose

_COLUMNS = (
    "line_id", "period", "posting_date", "cost_center", "team", "account_key", "currency", "debit", "credit",
    "amount_usd", "vendor", "cost_basis", "product", "line_type", "reason", "usage_period", "description",
    "mapping_snapshot", "close_id", "closed_at",
)  # fmt: skip


def write_csv(path: Path, close: MonthClose, lines: Sequence[JournalLine]) -> int:
    """Writes the journal of a closed month, completely or not at all, and returns the number of lines in the file.

    Debit and credit are in cents; `amount_usd` is exact. Lines of 0.00 are omitted because a ledger rejects
    them. Raises CloseError when the file cannot be written.
    """
    posted = [_ledger_row(close, line) for line in lines if line["ledger_usd"]]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(posted)
    try:
        write_atomically(path, text.getvalue())
    except OSError as error:
        raise CloseError(
            f"{path} cannot be written ({error.strerror}). The month is closed; export it again with --csv."
        ) from None
    return len(posted)


def _ledger_row(close: MonthClose, line: JournalLine) -> dict[str, str]:
    amount = line["ledger_usd"]
    return {
        **{name: spreadsheet.escape_formula(value) for name, value in line.items() if name in _COLUMNS},
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
