"""`ai-usage demo`: loads two months of a simulated company and compares the result with the simulator's ledger."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ai_usage_assets.commands.base import create_command, load_settings, print_message, result_console
from ai_usage_assets.commands.launch import job_command
from ai_usage_assets.days import DayRange
from ai_usage_assets.registry import SOURCES, source_label

if TYPE_CHECKING:
    from rich.table import Table

    from ai_usage_assets.simulator import Simulator, Urls
    from ai_usage_assets.warehouse.base import Warehouse

# The clock is fixed, so that every demo shows the same figures.
NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 10, 1), date(2026, 11, 22))
FOLDER = Path("data") / "demo"
WAREHOUSE = FOLDER / "warehouse.duckdb"

# An address where nothing answers.
_NOBODY = "http://127.0.0.1:9"

Total = Decimal | int | None


app = create_command("demo", example="ai-usage demo")


def simulator_environment(simulator: Simulator, urls: Urls) -> dict[str, str]:
    """The environment variables of a run against the simulated APIs.

    A source that is not simulated has no key and an address on this machine, so that a key of the shell loads nothing.
    """
    from ai_usage_assets.simulator.sources import SIMULATED_SOURCES

    simulated = [(entry, SIMULATED_SOURCES[entry.name]) for entry in SOURCES if entry.name in SIMULATED_SOURCES]
    return {
        **{entry.key_variable: "" for entry in SOURCES},
        **{entry.base_url_variable: _NOBODY for entry in SOURCES},
        **{entry.key_variable: source.key for entry, source in simulated},
        **{entry.base_url_variable: urls.sources[entry.name] for entry, _ in simulated},
        "AI_USAGE_SHEET_ID": simulator.SHEET_ID,
        "SHEETS_BASE_URL": urls.sheets,
        "AI_USAGE_NOW": simulator.now.isoformat(),
        "AI_USAGE_PACING": "off",
    }


@contextmanager
def serve_company() -> Iterator[tuple[Simulator, Mapping[str, str]]]:
    """Serves the APIs of the simulated company; yields the simulator and the environment of a run against it."""
    from ai_usage_assets.simulator import Simulator

    simulator = Simulator(NOW)
    folder = FOLDER.absolute()
    with simulator.serve() as urls:
        variables = {
            **simulator_environment(simulator, urls),
            "AI_USAGE_DUCKDB_PATH": str(WAREHOUSE.absolute()),
            "AI_USAGE_START_DATE": DAYS.first.isoformat(),
            "AI_USAGE_REPORT": str(folder / "report.html"),
            "DAGSTER_HOME": str(folder / "dagster"),
            # The shell may be configured for a real warehouse and run history.
            "AI_USAGE_WAREHOUSE": "duckdb",
            "DAGSTER_PG_URL": "",
        }
        yield simulator, {**os.environ, **variables}


@app.default
def _run_demo() -> int:
    """Load two months of a simulated company into data/demo, without keys or network."""
    from ai_usage_assets.commands.month_summary import print_month_summary
    from ai_usage_assets.warehouse.factory import open_warehouse

    console = result_console()
    with serve_company() as (simulator, environment):
        print_message(
            f"A simulated company, {DAYS} (UTC): its vendors and its mapping sheet are served on this machine.\n"
            "One run of the daily job loads, transforms and checks its data.",
            style="bold",
        )
        settings = load_settings(environment)
        code = job_command(settings, DAYS, "daily").run(environment).code
        if code:
            print_message("The run failed; see the errors above.")
            return code
        warehouse = open_warehouse(settings)
        print_month_summary(warehouse, console)
        table, all_equal = _compare(warehouse, simulator)
        console.print(table)
        warehouse.close()
    report = FOLDER / "report.html"
    if report.exists():
        console.print(f"\nReport: [bold]{report.absolute().as_uri()}[/]", soft_wrap=True)
    console.print(
        "\nNext, on the data of the demo:\n\n"
        f"{_activation()}"
        f"  export AI_USAGE_DUCKDB_PATH={WAREHOUSE} AI_USAGE_START_DATE={DAYS.first} "
        f"AI_USAGE_NOW={NOW:%Y-%m-%dT%H:%MZ}\n"
        "  ai-usage status\n  ai-usage digest\n  ai-usage close\n  ai-usage metabase preview\n"
        "  ai-usage ui       # where each number comes from",
        soft_wrap=True,
        highlight=False,
    )
    return int(not all_equal)


def _activation() -> str:
    """The line that activates the environment of this program, if the shell does not find `ai-usage` without it."""
    if shutil.which("ai-usage"):
        return ""
    script = Path(sys.prefix) / "bin" / "activate"
    shown = script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script
    return f"  . {shown}\n"


def _compare(warehouse: Warehouse, simulator: Simulator) -> tuple[Table, bool]:
    """Compares every total of the warehouse with the simulator's ledger: a table, and whether all are equal."""
    from ai_usage_assets.commands.tables import create_table

    table = create_table("Comparison with the simulator's ledger", "Total", "Warehouse", "Ledger", "")
    table.columns[0].no_wrap = True
    all_equal = True
    for label, actual, expected in _totals(warehouse, simulator):
        equal = actual is not None and actual == expected
        all_equal &= equal
        result_text = "[green]equal[/]" if equal else "[bold red]differs[/]"
        table.add_row(label, _format_exact(actual), _format_exact(expected), result_text)
    return table, all_equal


def _totals(warehouse: Warehouse, simulator: Simulator) -> Iterator[tuple[str, Total, Total]]:
    """The label of each total, its value in the warehouse and in the ledger."""
    from ai_usage_assets.simulator.control_totals import billed_by_cost_center, control_totals
    from ai_usage_assets.warehouse.sql_files import read_query

    vendors = {row["vendor"]: row for row in warehouse.rows(read_query("commands/vendor_totals"))}
    for total in control_totals(simulator, DAYS.first, DAYS.last):
        label = f"{source_label(total.vendor)}, {total.measure.replace('_usd', ' USD')}"
        yield label, vendors.get(total.vendor, {}).get(total.measure), total.value
    rows = warehouse.rows(
        "SELECT cost_center, SUM(amount_usd) AS amount_usd FROM ai_usage.fct_cost_daily "
        "WHERE cost_basis = 'billed' GROUP BY cost_center"
    )
    actual = {row["cost_center"]: row["amount_usd"] for row in rows}
    expected = billed_by_cost_center(simulator, DAYS.first, DAYS.last)
    for center in sorted({*actual, *expected}, key=str):
        yield f"Billed to {center or 'Unallocated'}, USD", actual.get(center), expected.get(center)


def _format_exact(value: Total) -> str:
    if value is None:
        return "missing"
    return f"{value:,.9f}" if isinstance(value, Decimal) else f"{value:,}"
