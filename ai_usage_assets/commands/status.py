"""`ai-usage status`: which days are loaded, why others are not, the last runs and their failed checks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    WholeNumber,
    check_range,
    create_command,
    load_settings,
    open_existing_warehouse,
    result_console,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ai_usage_assets.warehouse.base import Warehouse


app = create_command("status", example="ai-usage status --days 14", settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS))


@app.default
def _print_status(
    *,
    day_count: Annotated[
        WholeNumber, Parameter(name="--days", help="number of days, ending with the last finished day")
    ] = 40,
) -> int:
    """Show which days are loaded, the last runs and their failed checks."""
    settings = load_settings()
    check_range("--days", day_count, days.MAX_DAYS)
    print_status(open_existing_warehouse(settings), result_console(), day_count=day_count)
    return 0


def print_status(warehouse: Warehouse, console: Console, *, day_count: int) -> None:
    """Prints the grid of days, what failed, and the last runs."""
    from ai_usage_assets.commands.day_grid import day_grid, failures, legend, visible_day_count
    from ai_usage_assets.commands.last_runs import print_last_runs

    rows = warehouse.rows("SELECT * FROM ai_usage.kpi_completeness ORDER BY vendor, asset, usage_date")
    if not rows:
        console.print("No run has loaded anything yet: `ai-usage run`.")
        print_last_runs(warehouse, console)
        return
    # `as_of_date` is NULL until a run has built the calendar.
    as_of_dates = [row["as_of_date"] for row in rows if row["as_of_date"]]
    last = max(as_of_dates) - timedelta(days=1) if as_of_dates else max(row["usage_date"] for row in rows)
    visible = min(day_count, visible_day_count(console.width))
    console.print(day_grid(rows, last - timedelta(days=visible - 1), last))
    console.print(legend())
    for line in failures(rows, last - timedelta(days=day_count - 1)):
        console.print(line)
    print_last_runs(warehouse, console)
