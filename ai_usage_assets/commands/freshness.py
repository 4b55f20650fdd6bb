"""`ai-usage freshness`: whether a successful daily run has loaded the latest day that is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    WAREHOUSE_SETTINGS,
    CommandFailed,
    WholeNumber,
    check_range,
    create_command,
    load_settings,
    print_message,
)
from ai_usage_assets.commands.run import finish_time

_MAX_HOURS = 24 * 366


app = create_command(
    "freshness",
    example="ai-usage freshness --hours 26",
    settings=(*WAREHOUSE_SETTINGS, *DAY_SETTINGS),
)


@app.default
def _check_freshness(
    *,
    hours: Annotated[WholeNumber, Parameter(help="hours after the end of a day (midnight UTC) until it is due")] = 26,
) -> int:
    """Check that a successful daily run loaded the latest day; exit code 1 if not."""
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import open_warehouse

    settings = load_settings()
    check_range("--hours", hours, _MAX_HOURS)
    warehouse = open_warehouse(settings, read_only=True)
    has_run_log = run_log.exists(warehouse)
    fresh_run = run_log.find_fresh_run(warehouse, settings.now(), hours) if has_run_log else None
    last_run = fresh_run or (run_log.find_last_success(warehouse) if has_run_log else None)
    warehouse.close()
    loaded = days.DayRange(last_run["first_day"], last_run["last_day"]) if last_run else None
    if fresh_run:
        message = f"Fresh: run {fresh_run['run_id'][:8]} loaded {loaded} and ended {finish_time(fresh_run)}."
        print_message(message, event="fresh")
        return 0
    due = days.last_finished_day(settings.now() - timedelta(hours=hours))
    history = (
        f"The last successful run ended {finish_time(last_run)} and loaded {loaded}."
        if last_run
        else f"{settings.warehouse_location} has no successful run."
    )
    advice = "`ai-usage doctor` shows what fails now. Then run `ai-usage run`."
    if has_run_log:
        advice = f"`ai-usage status` shows how the last runs ended, {advice}"
    raise CommandFailed(
        f"No successful daily run has loaded {due}, which ended more than {hours} hours ago. {history} {advice}"
    )
