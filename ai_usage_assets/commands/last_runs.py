"""The last runs, as `ai-usage status` shows them, and the failed checks of the newest one."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

from ai_usage_assets.commands.tables import create_table, result_line, warning_line
from ai_usage_assets.rendering.text import format_usd, format_whole_usd
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse

# Longer runs are shown in minutes.
_MAX_SECONDS_SHOWN = 600
_COLORS = {"success": "green", "failed": "bold red", "interrupted": "bold red"}
_ADVICE = {
    "running": "is still running",
    "interrupted": "was interrupted. Days that were loaded stay loaded; run it again",
    "failed": "failed. Fix the errors above and run it again; checks downstream of a failure did not run",
}


def print_last_runs(warehouse: Warehouse, console: Console) -> None:
    """Prints the last five runs and how the newest one ended."""
    runs = warehouse.rows("SELECT * FROM ai_usage.ops_runs ORDER BY started_at DESC LIMIT 5")
    for run in runs:
        run["outcome"] = run_log.resolve_outcome(warehouse, run)
    table = create_table("Last runs", "Job", "Days", "Started, UTC", "Took", "Loaded", "Outcome")
    for run in runs:
        table.add_row(
            run["job"],
            _format_days(run),
            f"{run['started_at']:%m-%d %H:%M}",
            _format_duration(run),
            format_whole_usd(run.get("landed_usd")),
            Text(run["outcome"], _COLORS.get(run["outcome"], "yellow")),
        )
    for column in table.columns:
        column.justify, column.no_wrap = "left", column.header != "Days"
    console.print(table)
    if not runs:
        return
    newest = runs[0]
    console.print(_describe(newest), style="dim", highlight=False)
    failed_checks = warehouse.rows(
        "SELECT * FROM ai_usage.ops_check_results WHERE run_id = @run_id AND NOT passed ORDER BY asset, check_name",
        {"run_id": newest["run_id"]},
    )
    if newest["outcome"] != "success":
        console.print(result_line(False, f"The last run {_ADVICE.get(newest['outcome'], _ADVICE['failed'])}."))
    elif not failed_checks:
        console.print(result_line(True, "Every check of the last run passed."))
    for check in failed_checks:
        amount = f" (affects {format_usd(check['amount_usd'])})" if check["amount_usd"] is not None else ""
        text = f"{check['asset']}.{check['check_name']}{amount}: {check['message']}"
        console.print(result_line(False, text) if check["blocking"] else warning_line(text))


def _format_days(run: Row) -> str:
    first, last = run["first_day"], run["last_day"]
    if not first or first == last:
        return str(first or "")
    return f"{first} to {last:%m-%d}" if first.year == last.year else f"{first} to {last}"


def _format_duration(run: Row) -> str:
    if not run["finished_at"]:
        return "?"
    seconds = round((run["finished_at"] - run["started_at"]).total_seconds())
    return f"{seconds} s" if seconds < _MAX_SECONDS_SHOWN else f"{seconds / 60:.0f} min"


def _describe(run: Row) -> str:
    """The details of a run. A row that an older version wrote lacks some of them."""
    parts = [f"Run {run['run_id'][:8]}, version {run['version']}"]
    if run.get("landed_records") is not None:
        parts.append(f"loaded {run['landed_records']:,} records")
    if run.get("landed_bytes") is not None:
        parts.append(f"{run['landed_bytes'] / 1e6:,.1f} MB")
    if run.get("execution"):
        parts.append(f"{run['execution']}, task {run['task_index'] + 1} of {run['task_count']}")
        parts.append(f"attempt {run['attempt'] + 1}")
    if run.get("image"):
        parts.append(run["image"])
    for name, version in json.loads(run.get("secret_versions") or "{}").items():
        parts.append(f"{name.rpartition('/')[2]} version {version}")
    return ", ".join(parts) + "."
