"""`ai-usage focus export`: writes the charges of a month in the columns of FOCUS."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    WAREHOUSE_SETTINGS,
    add_command,
    add_group,
    load_settings,
    open_existing_warehouse,
    print_message,
    print_result_line,
)


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    group = add_group(commands, "focus", summary="export the charges in the FOCUS format, for FinOps tools")
    parser = add_command(
        group,
        "export",
        _export,
        summary="write the charges of a month as Parquet and CSV files",
        example="ai-usage focus export --month 2026-10 --format csv --out exports",
        settings=WAREHOUSE_SETTINGS,
    )
    parser.add_argument("--month", required=True, metavar="YYYY-MM", help="calendar month, in UTC")
    parser.add_argument(
        "--format", choices=("parquet", "csv", "both"), default="both", help="files to write (default both)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="output folder (default: current folder)"
    )
    parser.add_argument(
        "--focus-version", choices=("1.2", "1.3", "1.4"), default="1.2", help="version of the columns (default 1.2)"
    )
    parser.add_argument("--with-people", action="store_true", help="include e-mail addresses, as x_Person")


def _export(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.finance import focus

    settings = load_settings()
    month = days.parse_month(parsed.month)
    warehouse = open_existing_warehouse(settings, read_only=True)
    result = focus.export_focus(
        warehouse, month, parsed.out, parsed.format, version=parsed.focus_version, with_people=parsed.with_people
    )
    warehouse.close()
    for line in focus.summarize_export(result, parsed.focus_version, month):
        print_result_line(line)
    for line in focus.export_warnings(result):
        print_message(line, logging.WARNING)
    return 0
