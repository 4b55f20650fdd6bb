"""`ai-usage report`: writes the monthly report as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    create_command,
    load_settings,
    open_existing_warehouse,
    print_message,
)
from ai_usage_assets.settings import SettingsError

app = create_command(
    "report",
    example="ai-usage report --month 2026-10 --out october.html",
    settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS),
)


@app.default
def _write_report(
    *,
    month: Annotated[
        str | None, Parameter(metavar="YYYY-MM", help="calendar month, in UTC (default: the month of yesterday)")
    ] = None,
    out: Annotated[Path, Parameter(metavar="FILE", help="output file")] = Path("report.html"),
    with_people: Annotated[bool, Parameter(help="include names and e-mail addresses")] = False,
) -> int:
    """Write the report of a month as one HTML page: spend, budgets, teams."""
    from ai_usage_assets.finance.report import data, render

    settings = load_settings()
    first = None if month is None else days.parse_month(month)
    warehouse = open_existing_warehouse(settings)
    content = data.load_report(warehouse, settings.now(), first, with_people=with_people)
    warehouse.close()
    try:
        render.write_report(content, out)
    except OSError as error:
        raise SettingsError(f"Cannot write {out} ({error.strerror}); set another file with --out.") from None
    print_message(f"Report written: {out.absolute().as_uri()}")
    return 0
