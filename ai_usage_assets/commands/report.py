"""`ai-usage report`: writes the monthly report as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    add_command,
    load_settings,
    open_existing_warehouse,
    print_message,
)
from ai_usage_assets.settings import SettingsError


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(
        commands,
        "report",
        _write_report,
        summary="write the report of a month as one HTML page: spend, budgets, teams",
        example="ai-usage report --month 2026-10 --out october.html",
        settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS),
    )
    parser.add_argument("--month", metavar="YYYY-MM", help="calendar month, in UTC (default: the month of yesterday)")
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="output file (default report.html)"
    )
    parser.add_argument("--with-people", action="store_true", help="include names and e-mail addresses")


def _write_report(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.finance.report import data, render

    settings = load_settings()
    month = None if parsed.month is None else days.parse_month(parsed.month)
    warehouse = open_existing_warehouse(settings)
    content = data.load_report(warehouse, settings.now(), month, with_people=parsed.with_people)
    warehouse.close()
    try:
        render.write_report(content, parsed.out)
    except OSError as error:
        raise SettingsError(f"Cannot write {parsed.out} ({error.strerror}); set another file with --out.") from None
    print_message(f"Report written: {parsed.out.absolute().as_uri()}")
    return 0
