"""`ai-usage close`: freezes the journal of a final month, or lists which months are closed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    create_command,
    load_settings,
    open_existing_warehouse,
    print_message,
    result_console,
)
from ai_usage_assets.logs.capture import current_writer
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.finance.close.base import JournalLine, MonthClose
    from ai_usage_assets.settings import Settings
    from ai_usage_assets.warehouse.base import Warehouse


app = create_command(
    "close",
    example="ai-usage close --month 2026-09 --csv september.csv",
    settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS),
)


@app.default
def _close(
    *,
    month: Annotated[
        str | None, Parameter(metavar="YYYY-MM", help="month to close, in UTC; a closed month stays unchanged")
    ] = None,
    dry_run: Annotated[bool, Parameter(help="only show what would be frozen")] = False,
    csv: Annotated[
        Path | None, Parameter(metavar="FILE", help="also write the journal as a CSV file for the ledger")
    ] = None,
) -> int:
    """Freeze the journal of a final month; without --month, list the months."""
    from ai_usage_assets.commands.close_tables import months_table
    from ai_usage_assets.finance.close import readiness

    settings = load_settings()
    if csv and (not month or dry_run):
        raise SettingsError("--csv writes the journal of a closed month: it needs --month and excludes --dry-run.")
    if csv and (csv.is_dir() or not csv.absolute().parent.is_dir()):
        raise SettingsError(f"--csv is {str(csv)!r}; it takes a file in an existing folder.")
    first = days.parse_finished_month(settings.now(), month) if month is not None else None
    warehouse = open_existing_warehouse(settings)
    try:
        if first is None:
            states = readiness.load_month_statuses(warehouse, settings.start_date, settings.now())
            for renderable in months_table(states):
                result_console().print(renderable)
            return 0
        return _close_month(warehouse, first, settings, dry_run=dry_run, csv=csv)
    finally:
        warehouse.close()


def _close_month(warehouse: Warehouse, first: date, settings: Settings, *, dry_run: bool, csv: Path | None) -> int:
    from ai_usage_assets.finance.close import journal, layouts, readiness
    from ai_usage_assets.finance.close.base import CloseError

    now = settings.now()
    draft, frozen = None, journal.find_close(warehouse, first)
    if frozen is None:
        month = readiness.days_to_close(first, readiness.first_recorded_day(warehouse, settings.start_date))
        if blockers := readiness.find_blockers(warehouse, month, now.date(), settings.start_date):
            reasons = "\n".join(map(str, blockers))
            raise CloseError(f"{first:%Y-%m} cannot be closed; nothing was frozen:\n{reasons}")
        draft = journal.draft_close(warehouse, first, now)
        for note in readiness.find_notes(warehouse, month):
            print_message(note, logging.WARNING)
        if dry_run:
            _print_journal(draft.close, draft.lines)
            print_message(f"{first:%Y-%m} can be closed. This was a dry run; nothing was frozen.")
            return 0
        frozen = journal.freeze_close(warehouse, draft)
    lines = journal.load_journal(warehouse, frozen)
    _print_journal(frozen, lines)
    if draft and frozen == draft.close:
        print_message(f"{first:%Y-%m} is closed. Later changes become corrections in the next month.")
    else:
        print_message(f"{first:%Y-%m} was closed on {frozen['closed_at']:%Y-%m-%d %H:%M} UTC. Nothing was changed.")
    if csv:
        written = layouts.write_csv(csv, frozen, lines)
        print_message(f"{format_count(written, 'line')} written to {csv}.")
        if omitted := len(lines) - written:
            print_message(f"{format_count(omitted, 'line')} omitted: 0.00 when rounded to cents.")
    return 0


def _print_journal(close_row: MonthClose, lines: Sequence[JournalLine]) -> None:
    """Prints the journal for a person; where the logs are JSON, it is in the warehouse."""
    from ai_usage_assets.commands.close_tables import journal_table

    if not current_writer():
        result_console().print(journal_table(close_row, lines))
