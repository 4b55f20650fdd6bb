"""`ai-usage focus export`: writes the charges of a month in the columns of FOCUS."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    WAREHOUSE_SETTINGS,
    create_group,
    describe_command,
    load_settings,
    open_existing_warehouse,
    print_message,
    print_result_line,
)

app = create_group("focus", summary="Export the charges in the FOCUS format, for FinOps tools.")


@app.command(
    name="export",
    help_epilogue=describe_command(
        "ai-usage focus export --month 2026-10 --format csv --out exports", WAREHOUSE_SETTINGS
    ),
)
def _export(
    *,
    month: Annotated[str, Parameter(metavar="YYYY-MM", help="calendar month, in UTC")],
    file_format: Annotated[
        Literal["parquet", "csv", "both"], Parameter(name="--format", metavar="FORMAT", help="files to write")
    ] = "both",
    out: Annotated[Path, Parameter(metavar="DIR", help="output folder")] = Path(),
    focus_version: Annotated[
        Literal["1.2", "1.3", "1.4"], Parameter(metavar="VERSION", help="version of the columns")
    ] = "1.2",
    with_people: Annotated[bool, Parameter(help="include e-mail addresses, as x_Person")] = False,
) -> int:
    """Write the charges of a month as Parquet and CSV files."""
    from ai_usage_assets.finance import focus

    settings = load_settings()
    first = days.parse_month(month)
    warehouse = open_existing_warehouse(settings, read_only=True)
    result = focus.export_focus(warehouse, first, out, file_format, version=focus_version, with_people=with_people)
    warehouse.close()
    for line in focus.summarize_export(result, focus_version, first):
        print_result_line(line)
    for line in focus.export_warnings(result):
        print_message(line, logging.WARNING)
    return 0
