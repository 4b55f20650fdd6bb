"""A simulated company in a warehouse of its own: two months, from the vendors to the screen finance reads.

Belongs here: putting the simulator, one real run and the last screen together, and holding the result against what the
simulator knows to be true. Does not: anything a real company would not get.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ai_usage_assets.commands import launch, screens
from ai_usage_assets.days import DayRange
from ai_usage_assets.settings import Settings
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.factory import open_warehouse

# Held still, so that everybody sees the same figures.
NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
DAYS = DayRange(date(2026, 10, 1), date(2026, 11, 22))
FOLDER = Path("data/demo").absolute()


def environment(simulator: Simulator, urls: Urls) -> dict[str, str]:
    """The settings under which a run talks to a simulator."""
    return {
        "ANTHROPIC_ADMIN_KEY": simulator.ANTHROPIC_KEY,
        "CURSOR_ADMIN_KEY": simulator.CURSOR_KEY,
        "AI_USAGE_SHEET_ID": simulator.SHEET_ID,
        "ANTHROPIC_BASE_URL": urls.anthropic,
        "CURSOR_BASE_URL": urls.cursor,
        "SHEETS_BASE_URL": urls.sheets,
        "AI_USAGE_NOW": simulator.now.isoformat(),
        "AI_USAGE_PACING": "off",
    }


@contextmanager
def company() -> Iterator[tuple[Simulator, Mapping[str, str]]]:
    """The demo's company while it can be asked, and the environment of a run against it."""
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        own = {
            **environment(simulator, urls),
            "AI_USAGE_DUCKDB_PATH": str(FOLDER / "warehouse.duckdb"),
            "AI_USAGE_START_DATE": DAYS.first.isoformat(),
            "AI_USAGE_REPORT": str(FOLDER / "report.html"),
            "DAGSTER_HOME": str(FOLDER / "dagster"),
            # Whatever this shell is set up for: a simulated company is never among a real one's dollars or runs.
            "AI_USAGE_WAREHOUSE": "duckdb",
            "DAGSTER_PG_URL": "",
        }
        yield simulator, {**os.environ, **own}


def run(answer: Console, progress: Console) -> int:
    """Runs the demo: 0 when the run succeeded and every total equals the simulator's ledger."""
    with company() as (simulator, own):
        progress.print(
            f"A simulated company, {DAYS}: Anthropic, Cursor and the mapping sheet, served on this machine.\n"
            "One run of the daily job pulls, lands, builds and checks it.",
            style="bold",
        )
        settings = Settings.from_environment(own)
        code = launch.job_command(settings, DAYS, "daily").run(own).code
        if code:
            progress.print("The run did not succeed, so there is nothing to show; its lines above say why.")
            return code
        warehouse = open_warehouse(settings)
        screens.finance(warehouse, answer)
        equal = _compare(warehouse, simulator, answer)
        warehouse.close()
    written = FOLDER / "report.html"
    if written.exists():
        answer.print(f"\nThe report that the run wrote, for a browser: [bold]{written.as_uri()}[/]", soft_wrap=True)
    file = settings.duckdb_path.relative_to(Path.cwd())
    answer.print(
        "\nWhere to look next: [bold]make ui[/] shows how every number is made, README.md how to use your own keys.\n"
        "Finance's other commands, on these figures and on their morning:\n\n"
        f"  export AI_USAGE_DUCKDB_PATH={file} AI_USAGE_START_DATE={DAYS.first} AI_USAGE_NOW={NOW:%Y-%m-%dT%H:%MZ}\n"
        "  .venv/bin/ai-usage digest\n  .venv/bin/ai-usage close\n  .venv/bin/ai-usage metabase preview",
        soft_wrap=True,
    )
    return int(not equal)


def _compare(warehouse: Warehouse, simulator: Simulator, answer: Console) -> bool:
    """Every total of the warehouse beside the simulator's own ledger; whether all are equal."""
    ledger = simulator.ledger
    first, last = DAYS.first, DAYS.last
    cursor = ledger.cursor_usd(first, last)
    centers_truth = ledger.spend_by_cost_center(first, last, nameless=simulator.removed_emails)
    truth: dict[str, Decimal | int] = {
        "Anthropic, billed USD": sum(ledger.anthropic_cost_usd(first, last).values(), Decimal(0)),
        "Anthropic, tokens": sum(ledger.anthropic_tokens(first, last).values()),
        "Cursor, billed USD": sum((day["billed"] for day in cursor.values()), Decimal(0)),
        "Cursor, included USD": sum((day["included"] for day in cursor.values()), Decimal(0)),
        "Cursor, seats USD": sum(ledger.seat_usd(first, last).values(), Decimal(0)),
        "Cursor, events": sum(ledger.cursor_events(first, last).values()),
    }
    found = warehouse.rows(
        """
        SELECT
          SUM(CASE WHEN vendor = 'anthropic' AND cost_basis = 'billed' THEN amount_usd END) AS c0,
          (SELECT CAST(SUM(total_tokens) AS INT64) FROM ai_usage.fct_tokens_daily WHERE vendor = 'anthropic') AS c1,
          SUM(CASE WHEN vendor = 'cursor' AND cost_basis = 'billed' THEN amount_usd END) AS c2,
          SUM(CASE WHEN cost_basis = 'included' THEN amount_usd END) AS c3,
          SUM(CASE WHEN cost_basis = 'seat' THEN amount_usd END) AS c4,
          CAST(SUM(CASE WHEN vendor = 'cursor' THEN requests END) AS INT64) AS c5
        FROM ai_usage.fct_cost_daily
        """
    )[0]
    centers = {
        row["cost_center"]: row["amount_usd"]
        for row in warehouse.rows(
            "SELECT cost_center, SUM(amount_usd) AS amount_usd FROM ai_usage.fct_cost_daily "
            "WHERE cost_basis = 'billed' GROUP BY cost_center"
        )
    }
    lines: list[tuple[str, Decimal | int | None, Decimal | int | None]] = [
        (name, found[f"c{n}"], value) for n, (name, value) in enumerate(truth.items())
    ]
    for center, value in sorted(centers_truth.items(), key=lambda item: str(item[0])):
        lines.append((f"Billed to {center or 'no cost center'}, USD", centers.pop(center, None), value))
    lines += [(f"Billed to {center}, USD", value, None) for center, value in centers.items()]
    table = Table(title="Held against the simulator's own ledger", title_justify="left", title_style="bold")
    for heading in ("Total", "Warehouse", "Ledger", ""):
        table.add_column(heading, justify="left" if heading == "Total" else "right", no_wrap=True)
    equal = True
    for name, ours, theirs in lines:
        same = ours is not None and theirs is not None and ours == theirs
        equal &= same
        table.add_row(name, _exact(ours), _exact(theirs), "[green]equal[/]" if same else "[bold red]differs[/]")
    answer.print(table)
    return equal


def _exact(value: Decimal | int | None) -> str:
    if value is None:
        return "nothing"
    return f"{value:,.9f}" if isinstance(value, Decimal) else f"{value:,}"
