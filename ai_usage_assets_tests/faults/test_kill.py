"""Runs that are killed at any time: no reader sees a lost, duplicated or partial day."""

from __future__ import annotations

import os
import queue
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.days import DayRange
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.conftest import Company, serve_company
from ai_usage_assets_tests.faults.runs import (
    ForkServer,
    KillPoint,
    RunRequest,
    Statement,
    TracedWarehouse,
    daily_job,
    execute,
    observe_requests,
)

pytestmark = pytest.mark.slow

# The first two days were loaded by an earlier run. The second was restated since and is loaded again with the third.
FIRST, RESTATED, LAST = date(2026, 11, 9), date(2026, 11, 10), date(2026, 11, 11)
DAYS = DayRange(RESTATED, LAST)

# A step of every kind, of both vendors and the sheet, in a second instead of the whole job's five.
NARROW = (
    *(
        table.name
        for pull in catalog.EXTRACTS
        if pull.name in ("cursor_usage_events", "anthropic_analytics")
        for table in pull.tables
    ),
    "raw_mapping_sheet", "dim_date", "int_cursor_usage_daily", "int_anthropic_cost_daily",
)  # fmt: skip

# By table (for ops tables also by asset) and day: the number of rows and the sum of their hashes.
Content = dict[tuple[str, Any], tuple[int, int]]

# Columns that differ between two runs of the same days.
_RUN_COLUMNS = {"run_id", "landed_run_id", "checked_at"}


def content(connection: Any, prefix: str) -> Content:
    """The content of the warehouse by table and day; check results of the last run only."""
    snapshot: Content = {}
    last = f"SELECT run_id FROM {prefix}ops_runs ORDER BY started_at DESC LIMIT 1"
    for table in catalog.tables():
        if table.is_view or table.name == "ops_runs":
            continue
        columns = [name for name in table.column_names if name not in _RUN_COLUMNS]
        day = "usage_date" if "usage_date" in columns and table.name != "dim_date" else table.partition_by or "NULL"
        of = "'/' || asset" if "asset" in columns and table in OPS_TABLES else "''"
        where = f"WHERE run_id = ({last})" if table.name == "ops_check_results" else ""
        for asset, key, *rows in connection.execute(
            f"SELECT {of}, {day}, COUNT(*), SUM(CAST(hash(({', '.join(columns)})) AS HUGEINT)) "
            f"FROM {prefix}{table.name} {where} GROUP BY ALL"
        ).fetchall():
            snapshot[table.name + asset, key] = tuple(rows)
    return snapshot


def read(path: Path) -> Content:
    """The content of a file, read by another connection."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return content(connection, "ai_usage.ai_usage.")


def outcomes(path: Path) -> list[str]:
    """The outcomes of the runs, in order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT outcome FROM ai_usage.ai_usage.ops_runs ORDER BY started_at").fetchall()
        return [outcome for (outcome,) in rows]


def assert_complete_days(snapshot: Content, before: Content, after: Content, where: str) -> None:
    """Asserts that each day of each table is as before or as after the run, and that the day log agrees."""
    for key in snapshot.keys() | before.keys() | after.keys():
        # A run that has not ended has stored some of its check results.
        if not key[0].startswith("ops_check_results"):
            assert snapshot.get(key) in (before.get(key), after.get(key)), f"{where}: partial day: {key}"
    for table, day in before.keys() | after.keys():
        old, new, log = before.get((table, day)), after.get((table, day)), (f"ops_asset_days/{table}", day)
        if old != new and log in after:
            assert (snapshot.get((table, day)) == new) == (snapshot.get(log) == after[log]), (
                f"{where}: the day log is wrong: {table} {day}"
            )


@dataclass
class Scene:
    """A company, a file before the run, and the content that an undisturbed run produces."""

    company: Company
    fork_server: ForkServer
    before: Path
    folder: Path
    expected: dict[tuple[str, ...], Content]
    statements: dict[tuple[str, ...], int]
    requests: dict[tuple[str, ...], int]

    def copy(self) -> Path:
        """Copies the file for one test."""
        path = self.folder / "copy" / "ai_usage.duckdb"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        shutil.copy(self.before, path)
        return path

    def run(
        self,
        path: Path,
        assets: tuple[str, ...] = NARROW,
        point: KillPoint | None = None,
        started: Callable[[int], None] = lambda pid: None,
    ) -> int:
        """Runs the job on a file."""
        settings = replace(self.company.settings, duckdb_path=path, fixed_now=self.company.simulator.now)
        return self.fork_server.run(RunRequest(settings, DAYS, assets, point, self.output_path), started)

    def run_until_request(self, path: Path, request_no: int) -> int:
        """Runs the job and kills it at the n-th request."""
        child: queue.Queue[int] = queue.Queue()
        with observe_requests(
            self.company.simulator,
            lambda number: os.kill(child.get(timeout=10), signal.SIGKILL) if number == request_no else None,
        ):
            return self.run(path, started=child.put)

    @property
    def output_path(self) -> Path:
        """The output of the last run."""
        return self.folder / "output.txt"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two loaded days, one of them restated since, a row added to the sheet, and a third day to load."""
    folder = tmp_path_factory.mktemp("kill")
    with serve_company(folder / "before" / "ai_usage.duckdb", people=36) as company, ForkServer() as fork_server:
        result = company.run(FIRST.isoformat(), RESTATED.isoformat())
        assert result.success, result.failures()
        company.simulator.now += timedelta(hours=1)
        company.simulator.revise(RESTATED, Decimal("0.5"))
        rows = company.simulator.sheet("budgets")
        company.simulator.set_sheet("budgets", [*rows, ["2027-01", "CC-1010", 100]])
        scene = Scene(company, fork_server, company.settings.duckdb_path, folder, {}, {}, {})
        for assets in (NARROW, ()):
            path = scene.copy()
            company.simulator.requests.clear()
            assert scene.run(path, assets) == 0, scene.output_path.read_text()
            scene.expected[assets] = read(path)
            scene.statements[assets] = int(scene.output_path.with_suffix(".count").read_text())
            scene.requests[assets] = len(company.simulator.requests)
        yield scene


def assert_consistent(scene: Scene, path: Path, assets: tuple[str, ...], where: str) -> None:
    """Asserts that a killed run left only complete days and no run lock."""
    assert_complete_days(read(path), read(scene.before), scene.expected[assets], where)
    warehouse = DuckDBWarehouse(path)
    running = warehouse.rows("SELECT run_id FROM ai_usage.ops_runs WHERE outcome = 'running'")
    assert not any(warehouse.is_run_active(run["run_id"]) for run in running), where
    warehouse.close()


def assert_completes(scene: Scene, path: Path, assets: tuple[str, ...]) -> None:
    """Asserts that the next run produces the content of an undisturbed run and records the killed ones."""
    assert scene.run(path, assets) == 0, scene.output_path.read_text()
    assert read(path) == scene.expected[assets]
    assert set(outcomes(path)) <= {"success", "interrupted"}
    assert outcomes(path)[-1] == "success"
    assert list(path.parent.iterdir()) == [path]


EVENTS, COST = "raw_cursor_usage_events", "raw_anthropic_cost"
# By kind of step. A day that was loaded is not loaded again, so earlier points come first.
POINTS = {
    "start": [
        KillPoint("prepare", prefix="COMMIT"),
        KillPoint("upsert", "ops_runs", "INSERT"),
        KillPoint("upsert", "ops_runs", "COMMIT"),
        KillPoint("upsert", "ops_runs", "COMMIT", after=True),
    ],
    "load_days": [
        KillPoint("load_days", table, prefix, number, after)
        for table in (COST, EVENTS)
        for prefix, number, after in (
            ("DELETE", 1, True), ("INSERT", 1, True), ("DELETE", 2, True), ("COMMIT", 1, False), ("COMMIT", 1, True),
        )
    ],
    "sheet": [
        KillPoint("append", "raw_mapping_sheet", "INSERT", after=True),
        KillPoint("append", "raw_mapping_sheet", "COMMIT", after=True),
        KillPoint("upsert", "ops_asset_days", "DELETE", after=True),
    ],
    "build": [
        KillPoint("rebuild", "dim_date", "DELETE", after=True),
        *(
            KillPoint("rebuild", table, prefix, after=after)
            for table in ("int_cursor_usage_daily", "int_anthropic_cost_daily")
            for prefix, after in (("DELETE", True), ("INSERT", True), ("COMMIT", True))
        ),
    ],
    "check": [
        KillPoint("upsert", "ops_check_results", "DELETE", after=True),
        KillPoint("upsert", "ops_check_results", "COMMIT", number=3, after=True),
        KillPoint("upsert", "ops_runs", "COMMIT", number=2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", POINTS)
def test_killed_at_a_statement(scene: Scene, kind: str) -> None:
    """A run killed inside or between the transactions of a step leaves complete days, and the next run completes."""
    path = scene.copy()
    for point in POINTS[kind]:
        assert scene.run(path, NARROW, point) == -signal.SIGKILL, f"{point}: {scene.output_path.read_text()}"
        assert_consistent(scene, path, NARROW, str(point))
    assert_completes(scene, path, NARROW)


def test_killed_during_a_request(scene: Scene) -> None:
    """A run killed while it waits for a response leaves complete days, and the next run completes."""
    path = scene.copy()
    for request_no in range(1, scene.requests[NARROW] + 1, 2):
        assert scene.run_until_request(path, request_no) == -signal.SIGKILL, (
            f"request {request_no}: {scene.output_path.read_text()}"
        )
        assert_consistent(scene, path, NARROW, f"request {request_no}")
    assert_completes(scene, path, NARROW)


def test_killed_repeatedly(scene: Scene) -> None:
    """After several runs that were killed at different points, each on the content of the last, a run completes."""
    path = scene.copy()
    for place in range(1, 5):
        # A run whose days are partly loaded executes fewer statements, but at least four fifths.
        point = KillPoint(number=scene.statements[()] * place // 5, after=bool(place % 2))
        assert scene.run(path, (), point) == -signal.SIGKILL, f"{point}: {scene.output_path.read_text()}"
        assert_consistent(scene, path, (), str(point))
    assert outcomes(path).count("running") == 1
    assert_completes(scene, path, ())


def test_other_processes_read_complete_days_during_a_run(scene: Scene) -> None:
    """A reader that opens the file during a request sees each day as before or as after the run."""
    path = scene.copy()
    before, after = read(scene.before), scene.expected[NARROW]
    snapshots: list[Content] = []
    with observe_requests(scene.company.simulator, lambda number: snapshots.append(read(path))):
        assert scene.run(path) == 0, scene.output_path.read_text()
    assert len(snapshots) == scene.requests[NARROW]
    for number, snapshot in enumerate(snapshots, 1):
        assert_complete_days(snapshot, before, after, f"request {number}")
    # Otherwise the reader saw no change, and the test would prove nothing.
    assert len({frozenset(snapshot.items()) for snapshot in snapshots}) > 3


def test_other_connections_read_complete_days(scene: Scene) -> None:
    """Between any two statements another connection sees each day as before or as after the run."""
    path = scene.copy()
    before, after = read(scene.before), scene.expected[NARROW]
    snapshots: list[tuple[Statement, Content]] = []

    def read_beside(statement: Statement, connection: Any) -> None:
        if statement.method in ("load_days", "rebuild") and statement.text.lstrip().startswith(("DELETE", "INSERT")):
            with connection.cursor() as other:
                snapshots.append((statement, content(other, "warehouse.ai_usage.")))

    opened = TracedWarehouse(path, lambda statement, connection: None, read_beside)
    settings = replace(scene.company.settings, duckdb_path=path, fixed_now=scene.company.simulator.now)
    assert execute(daily_job(settings, lambda: opened, NARROW), DAYS)
    assert {statement.table for statement, _ in snapshots if statement.method == "rebuild"} == {
        "dim_date", "int_cursor_usage_daily", "int_anthropic_cost_daily",
    }  # fmt: skip
    for statement, snapshot in snapshots:
        assert_complete_days(snapshot, before, after, str(statement))
    assert read(path) == after
