"""How long finance waits for each view, dashboard card, and query of the report and the digest.

Relative to a floor, the smallest useful query of the facts, in the same process and on the same warehouse.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from ai_usage_assets import catalog
from ai_usage_assets.finance import digest, focus
from ai_usage_assets.finance.report import data
from ai_usage_assets.metabase import spec_reader
from ai_usage_assets.metabase.preview.queries import query_card
from ai_usage_assets.warehouse.base import QueryParameters
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.year import NOW, YEAR, simulated_year

_PEOPLE = 500
_REPEATS = 3
_FLOOR = """
SELECT usage_date, vendor, team, cost_center, SUM(amount_usd) AS amount_usd
FROM ai_usage.fct_cost_daily
GROUP BY usage_date, vendor, team, cost_center
"""
_MAX_VIEW, _MAX_REPORT = 10, 60
_LISTED = 15
_MONTH = datetime(2026, 10, 1, tzinfo=UTC)


class _RecordingWarehouse(DuckDBWarehouse):
    """Keeps the queries that it executes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.queries: list[tuple[str, QueryParameters | None]] = []

    def query(self, sql: str, parameters: QueryParameters | None = None) -> pa.Table:
        self.queries.append((sql, parameters))
        return super().query(sql, parameters)


def print_tables(terminal: Console) -> None:
    """Builds the year of a company of 500 people, and prints the slowest queries with the bounds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "year.duckdb"
        simulated_year(path, _PEOPLE).close()
        warehouse = _RecordingWarehouse(path)
        floor = _measure(lambda: warehouse.query(_FLOOR))
        views = {
            view.name: _measure(lambda view=view: warehouse.query(f"SELECT * FROM ai_usage.{view.name}"))  # type: ignore[misc]
            for view in catalog.models()
            # FOCUS is exported by month; all of its rows are half a million of 70 columns.
            if view.is_view and view.layer == "kpi" and view.name != focus.VIEW
        }
        cards = {
            f"{dashboard.name}, {key}": _measure(lambda card=card: query_card(warehouse, card, {}))  # type: ignore[misc]
            for dashboard in spec_reader.read_spec().dashboards
            for key, card in dashboard.cards.items()
        }
        queries = {
            "report": _measure_recorded(warehouse, lambda: data.load_report(warehouse, NOW)),
            "FOCUS export of a month": _measure(
                lambda: warehouse.query(
                    f"SELECT * FROM ai_usage.{focus.VIEW} WHERE BillingPeriodStart = @month", {"month": _MONTH}
                )
            ),
            "digest": _measure_recorded(warehouse, lambda: digest.build_digest(warehouse, YEAR.last)),
        }
        warehouse.close()
    terminal.print(f"Floor: {floor * 1000:.0f} ms ({_PEOPLE} people, {YEAR})")
    _print(terminal, f"Finance views, each at most {_MAX_VIEW} x the floor", views, floor)
    _print(terminal, "Dashboard cards", cards, floor)
    _print(
        terminal,
        f"All queries of the report (at most {_MAX_REPORT} x), of the digest, and of an export",
        queries,
        floor,
    )


def _measure(run: Callable[[], Any]) -> float:
    """The median seconds of a call."""
    return median(_time(run) for _ in range(_REPEATS))


def _time(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _measure_recorded(warehouse: _RecordingWarehouse, run: Callable[[], Any]) -> float:
    """The sum of the median seconds of the queries that a call executes."""
    warehouse.queries.clear()
    run()
    recorded = list(warehouse.queries)
    return sum(_measure(lambda one=one: warehouse.query(*one)) for one in recorded)  # type: ignore[misc]


def _print(terminal: Console, title: str, seconds: Mapping[str, float], floor: float) -> None:
    table = Table(title=f"{title} ({len(seconds)})", title_justify="left")
    table.add_column("")
    table.add_column("ms", justify="right")
    table.add_column("x floor", justify="right")
    for name, each in sorted(seconds.items(), key=lambda item: -item[1])[:_LISTED]:
        table.add_row(name, f"{each * 1000:,.0f}", f"{each / floor:.1f}")
    terminal.print(table)
