"""Recall and precision of kpi_anomaly on the simulated year.

`make bench BENCH=finance` prints them; a test asserts a minimum.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from ai_usage_assets.simulator.records import ExpectedAnomaly
from ai_usage_assets.warehouse.base import Warehouse


@dataclass(frozen=True)
class DetectionResult:
    """Detected and missed anomalies by day, and events that were not injected."""

    injected: int
    missed: list[str]
    events: int
    false: list[str]
    seconds: float

    @property
    def recall(self) -> float:
        """Share of injected anomalies that were detected; 1 without any."""
        return 1 - len(self.missed) / self.injected if self.injected else 1.0

    @property
    def precision(self) -> float:
        """Share of detected events that were injected; 1 without any."""
        return 1 - len(self.false) / self.events if self.events else 1.0


def measure(warehouse: Warehouse, spikes: Sequence[ExpectedAnomaly]) -> DetectionResult:
    """Compares the view with the injected anomalies; each day of an anomaly and each event counts once.

    An anomaly also affects its model, team and person, so an event of any of them on its day is no false positive.
    An anomaly is detected only in its own dimension, or for a team by a row of that team.
    """
    started = time.perf_counter()
    rows = warehouse.rows("SELECT * FROM ai_usage.kpi_anomaly")
    seconds = time.perf_counter() - started
    by_event: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_event[row["event"]].append(row)
    missed = [spike for spike in spikes if not any(_matches(row, spike) for row in rows)]
    false = [
        event
        for event, event_rows in by_event.items()
        if not any(_is_related(row, spike) for row in event_rows for spike in spikes)
    ]
    return DetectionResult(
        len(spikes),
        [f"{spike.day} {spike.what}, {spike.dimension}, ${spike.usd:,.0f}" for spike in missed],
        len(by_event),
        sorted(false),
        seconds,
    )


def _matches(row: dict[str, Any], spike: ExpectedAnomaly) -> bool:
    part = row["team"] if spike.dimension == "team" else None
    on_its_day = (row["usage_date"], row["vendor"], row["cost_basis"]) == (spike.day, spike.vendor, "billed")
    return on_its_day and spike.who in (row["dimension_value"], part)


def _is_related(row: dict[str, Any], spike: ExpectedAnomaly) -> bool:
    on_its_day = (row["usage_date"], row["vendor"]) == (spike.day, spike.vendor)
    related = {spike.who, spike.email, spike.api_key_id, spike.team, spike.model} - {None}
    values = {row["dimension_value"], row["person_email"], row["team"], row["api_key_id"]}
    return on_its_day and bool(related & values)


def results_table() -> Table:
    """The results for companies of two sizes, with and without injected anomalies."""
    from ai_usage_assets_tests.support.year import simulated_year, simulator

    table = Table(title="Anomalies in the simulated year", title_justify="left")
    for heading in ("", "injected", "detected", "recall", "events", "false", "precision", "seconds"):
        table.add_column(heading, justify="left" if not heading else "right")
    for people in (36, 60):
        for name, changed in (("with injected anomalies", {}), ("without", {"injected_anomalies": ()})):
            with tempfile.TemporaryDirectory() as folder:
                warehouse = simulated_year(Path(folder) / "year.duckdb", people, **changed)
                result = measure(warehouse, simulator(people, **changed).ledger.expected_anomalies)
                warehouse.close()
            table.add_row(
                f"{people} people, {name}",
                str(result.injected),
                str(result.injected - len(result.missed)),
                f"{result.recall:.0%}" if result.injected else "",
                str(result.events),
                str(len(result.false)),
                f"{result.precision:.0%}" if result.injected else "",
                f"{result.seconds:.1f}",
            )
    return table
