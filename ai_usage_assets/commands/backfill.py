"""`ai-usage backfill`: loads a range of past days, split between Cloud Run tasks and into several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets import days
from ai_usage_assets.commands.base import (
    CommandFailed,
    WholeNumber,
    check_range,
    create_command,
    load_settings,
    print_message,
)
from ai_usage_assets.commands.launch import DagsterCommand, job_command
from ai_usage_assets.commands.run import RUN_SETTINGS, announce, prepare_warehouse
from ai_usage_assets.settings import SettingsError

app = create_command(
    "backfill",
    example="ai-usage backfill --from 2026-01-01 --to 2026-06-30",
    settings=(*RUN_SETTINGS, "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
)


@app.default
def _backfill(
    *,
    first: Annotated[str, Parameter(name="--from", metavar="DAY", help="first day, in UTC: YYYY-MM-DD")],
    last: Annotated[str, Parameter(name="--to", metavar="DAY", help="last day, in UTC: yesterday or YYYY-MM-DD")],
    days_per_run: Annotated[
        WholeNumber, Parameter(help="days that one run loads; fewer days need less memory")
    ] = days.TRAILING_DAYS,
    dry_run: Annotated[bool, Parameter(help="only print the days and the Dagster commands")] = False,
) -> int:
    """Load a range of past days; Cloud Run tasks split it between them."""
    settings = load_settings()
    all_days = days.date_range(settings.now(), settings.start_date, first, last)
    check_range("--days-per-run", days_per_run, days.MAX_DAYS)
    index, count = settings.cloud_run.task_index, settings.cloud_run.task_count
    if index >= count:
        raise SettingsError(
            f"CLOUD_RUN_TASK_INDEX is {index}, but CLOUD_RUN_TASK_COUNT is {count}: the index takes 0 to {count - 1}."
        )
    if count > 1:
        print_message(f"backfill: task {index + 1} of {count} for {all_days} (UTC)")
    task_days = days.split_for_task(all_days, index, count)
    if task_days is None:
        print_message("There are more tasks than days, so this task has nothing to load.")
        return 0
    ranges = days.chunk_days(task_days, days_per_run)
    commands = [job_command(settings, run_days, "daily") for run_days in ranges]
    # If there are several runs, each prints its days when it starts.
    announce(settings, "backfill", task_days, commands if dry_run or len(commands) == 1 else [])
    if dry_run:
        return 0
    prepare_warehouse(settings)
    if len(commands) == 1:
        commands[0].exec()
    return _run_in_sequence(ranges, commands)


def _run_in_sequence(ranges: Sequence[days.DayRange], commands: Sequence[DagsterCommand]) -> int:
    """Runs each command in its own process. A failed run does not stop the next: one bad day must not leave a gap."""
    failed: list[str] = []
    for number, (run_days, command) in enumerate(zip(ranges, commands, strict=True), 1):
        print_message(f"backfill: run {number} of {len(ranges)}, {run_days}")
        result = command.run()
        if result.was_interrupted:
            message = f"The backfill was interrupted in {run_days}; days that were loaded stay loaded."
            for label, names in (("Failed", failed), ("Not started", list(map(str, ranges[number:])))):
                message += f" {label}: {'; '.join(names)}." if names else ""
            raise CommandFailed(f"{message} Run it again.")
        if result.code:
            failed.append(str(run_days))
    if failed:
        raise CommandFailed(
            f"{len(failed)} of {len(ranges)} runs of the backfill failed: {'; '.join(failed)}. Fix the errors that "
            "each run reports, and load these days again."
        )
    print_message(f"backfill: all {len(ranges)} runs succeeded.")
    return 0
