"""A run that is killed at any moment, and the next one: no day is lost, doubled or half there, for nobody who looks."""

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
from ai_usage_assets_tests.conftest import Company, make_company
from ai_usage_assets_tests.faults.runs import Order, Point, Prepared, Seen, Statement, asked, daily_job, execute

# Held from an earlier run are two days; the second was restated since, and is loaded again with the third.
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

# By table (of the logs: and asset) and day: how many rows, and their sum as numbers of their content.
Content = dict[tuple[str, Any], tuple[int, int]]

# What is of one run only, and no part of what is held.
_OF_THE_RUN = {"run_id", "landed_run_id", "checked_at"}


def content(connection: Any, prefix: str) -> Content:
    """What is held, by table and day; of the checks those of the last run."""
    found: Content = {}
    last = f"SELECT run_id FROM {prefix}ops_runs ORDER BY started_at DESC LIMIT 1"
    for table in catalog.tables():
        if table.is_view or table.name == "ops_runs":
            continue
        chosen = [name for name in table.column_names if name not in _OF_THE_RUN]
        day = "usage_date" if "usage_date" in chosen and table.name != "dim_date" else table.partition_by or "NULL"
        of = "'/' || asset" if "asset" in chosen and table.is_ops_table else "''"
        where = f"WHERE run_id = ({last})" if table.name == "ops_check_results" else ""
        for asset, key, *rows in connection.execute(
            f"SELECT {of}, {day}, COUNT(*), SUM(CAST(hash(({', '.join(chosen)})) AS HUGEINT)) "
            f"FROM {prefix}{table.name} {where} GROUP BY ALL"
        ).fetchall():
            found[table.name + asset, key] = tuple(rows)
    return found


def read(path: Path) -> Content:
    """The same, as somebody else reads the file."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return content(connection, "ai_usage.ai_usage.")


def outcomes(path: Path) -> list[str]:
    """How the runs ended, in their order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT outcome FROM ai_usage.ai_usage.ops_runs ORDER BY started_at").fetchall()
        return [outcome for (outcome,) in rows]


def assert_whole_days(found: Content, before: Content, after: Content, where: str) -> None:
    """Every day of every table is that of before or that of after, and its log entry says which."""
    for key in found.keys() | before.keys() | after.keys():
        # Of the checks of a run that has not ended some are there already.
        if not key[0].startswith("ops_check_results"):
            assert found.get(key) in (before.get(key), after.get(key)), f"{where}: half a day: {key}"
    for table, day in before.keys() | after.keys():
        old, new, log = before.get((table, day)), after.get((table, day)), (f"ops_asset_days/{table}", day)
        if old != new and log in after:
            assert (found.get((table, day)) == new) == (found.get(log) == after[log]), (
                f"{where}: the log lies: {table} {day}"
            )


@dataclass
class Scene:
    """A company, a file as it is before the run, and what the run makes of it when nobody disturbs it."""

    company: Company
    prepared: Prepared
    before: Path
    folder: Path
    made: dict[tuple[str, ...], Content]
    statements: dict[tuple[str, ...], int]
    requests: dict[tuple[str, ...], int]

    def copy(self) -> Path:
        """A copy of the file, to run on."""
        path = self.folder / "copy" / "ai_usage.duckdb"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        shutil.copy(self.before, path)
        return path

    def run(
        self,
        path: Path,
        assets: tuple[str, ...] = NARROW,
        point: Point | None = None,
        started: Callable[[int], None] = lambda pid: None,
    ) -> int:
        """One run on the file."""
        settings = replace(self.company.settings, duckdb_path=path, fixed_now=self.company.simulator.now)
        return self.prepared.run(Order(settings, DAYS, assets, point, self.says), started)

    def run_until_asked(self, path: Path, chosen: int) -> int:
        """One run that is killed when a vendor is asked for the n-th time."""
        child: queue.Queue[int] = queue.Queue()
        with asked(
            self.company.simulator,
            lambda number: os.kill(child.get(timeout=10), signal.SIGKILL) if number == chosen else None,
        ):
            return self.run(path, started=child.put)

    @property
    def says(self) -> Path:
        """What the last run said."""
        return self.folder / "says.txt"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three days held, one of them restated since, a row added to the sheet; a fourth day to come."""
    folder = tmp_path_factory.mktemp("kill")
    with make_company(folder / "before" / "ai_usage.duckdb", people=36) as company, Prepared() as prepared:
        result = company.run(FIRST.isoformat(), RESTATED.isoformat())
        assert result.success, result.failures()
        company.simulator.now += timedelta(hours=1)
        company.simulator.revise(RESTATED, Decimal("0.5"))
        rows = company.simulator.sheet("budgets")
        company.simulator.set_sheet("budgets", [*rows, ["2027-01", "CC-1010", 100]])
        made = Scene(company, prepared, company.settings.duckdb_path, folder, {}, {}, {})
        for assets in (NARROW, ()):
            path = made.copy()
            company.simulator.requests.clear()
            assert made.run(path, assets) == 0, made.says.read_text()
            made.made[assets] = read(path)
            made.statements[assets] = int(made.says.with_suffix(".count").read_text())
            made.requests[assets] = len(company.simulator.requests)
        yield made


def assert_whole(scene: Scene, path: Path, assets: tuple[str, ...], where: str) -> None:
    """What a killed run left is whole days, and that it was at work can be seen no more."""
    assert_whole_days(read(path), read(scene.before), scene.made[assets], where)
    warehouse = DuckDBWarehouse(path)
    running = warehouse.rows("SELECT run_id FROM ai_usage.ops_runs WHERE outcome = 'running'")
    assert not any(warehouse.is_run_active(run["run_id"]) for run in running), where
    warehouse.close()


def assert_heals(scene: Scene, path: Path, assets: tuple[str, ...]) -> None:
    """The next run makes what an undisturbed one would have made, tells of the killed ones, and leaves nothing else."""
    assert scene.run(path, assets) == 0, scene.says.read_text()
    assert read(path) == scene.made[assets]
    assert set(outcomes(path)) <= {"success", "interrupted"}
    assert outcomes(path)[-1] == "success"
    assert list(path.parent.iterdir()) == [path]


EVENTS, COST = "raw_cursor_usage_events", "raw_anthropic_cost"
# By kind of step. What is landed once is not landed again, so the points before that come first.
POINTS = {
    "start": [
        Point("prepare", begins="COMMIT"),
        Point("upsert", "ops_runs", "INSERT"),
        Point("upsert", "ops_runs", "COMMIT"),
        Point("upsert", "ops_runs", "COMMIT", after=True),
    ],
    "land": [
        Point("land", table, begins, number, after)
        for table in (COST, EVENTS)
        for begins, number, after in (
            ("DELETE", 1, True), ("INSERT", 1, True), ("DELETE", 2, True), ("COMMIT", 1, False), ("COMMIT", 1, True),
        )
    ],
    "sheet": [
        Point("append", "raw_mapping_sheet", "INSERT", after=True),
        Point("append", "raw_mapping_sheet", "COMMIT", after=True),
        Point("upsert", "ops_asset_days", "DELETE", after=True),
    ],
    "build": [
        Point("rebuild", "dim_date", "DELETE", after=True),
        *(
            Point("rebuild", table, begins, after=after)
            for table in ("int_cursor_usage_daily", "int_anthropic_cost_daily")
            for begins, after in (("DELETE", True), ("INSERT", True), ("COMMIT", True))
        ),
    ],
    "check": [
        Point("upsert", "ops_check_results", "DELETE", after=True),
        Point("upsert", "ops_check_results", "COMMIT", number=3, after=True),
        Point("upsert", "ops_runs", "COMMIT", number=2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", POINTS)
def test_killed_at_a_statement(scene: Scene, kind: str) -> None:
    """Killed inside and between the transactions of each kind of step, a run leaves whole days; the next one heals."""
    path = scene.copy()
    for point in POINTS[kind]:
        assert scene.run(path, NARROW, point) == -signal.SIGKILL, f"{point}: {scene.says.read_text()}"
        assert_whole(scene, path, NARROW, str(point))
    assert_heals(scene, path, NARROW)


def test_killed_while_a_vendor_answers(scene: Scene) -> None:
    """Killed while it waits for an answer, of any vendor, a run leaves whole days, and the next one heals."""
    path = scene.copy()
    for chosen in range(1, scene.requests[NARROW] + 1, 2):
        assert scene.run_until_asked(path, chosen) == -signal.SIGKILL, f"request {chosen}: {scene.says.read_text()}"
        assert_whole(scene, path, NARROW, f"request {chosen}")
    assert_heals(scene, path, NARROW)


def test_killed_again_and_again(scene: Scene) -> None:
    """Killed at places spread over the whole job, each time on what the last one left, it heals in the end."""
    path = scene.copy()
    for place in range(1, 5):
        # A run that finds much of its work done executes less; four fifths are left in any case.
        point = Point(number=scene.statements[()] * place // 5, after=bool(place % 2))
        assert scene.run(path, (), point) == -signal.SIGKILL, f"{point}: {scene.says.read_text()}"
        assert_whole(scene, path, (), str(point))
    assert outcomes(path).count("running") == 1
    assert_heals(scene, path, ())


def test_readers_of_the_file_see_whole_days_while_a_run_works(scene: Scene) -> None:
    """Whoever opens the file while a vendor is asked finds each day as it was or as it will be."""
    path = scene.copy()
    before, after = read(scene.before), scene.made[NARROW]
    told: list[Content] = []
    with asked(scene.company.simulator, lambda number: told.append(read(path))):
        assert scene.run(path) == 0, scene.says.read_text()
    assert len(told) == scene.requests[NARROW]
    for number, found in enumerate(told, 1):
        assert_whole_days(found, before, after, f"request {number}")
    # Days were seen before and after, else nothing was proven.
    assert len({frozenset(found.items()) for found in told}) > 3


def test_readers_beside_a_transaction_see_whole_days(scene: Scene) -> None:
    """Another connection of the same process finds, between any two statements, each day as it was or as it will be."""
    path = scene.copy()
    before, after = read(scene.before), scene.made[NARROW]
    told: list[tuple[Statement, Content]] = []

    def look(statement: Statement, connection: Any) -> None:
        if statement.verb in ("land", "rebuild") and statement.text.lstrip().startswith(("DELETE", "INSERT")):
            with connection.cursor() as other:
                told.append((statement, content(other, "warehouse.ai_usage.")))

    opened = Seen(path, lambda statement, connection: None, look)
    settings = replace(scene.company.settings, duckdb_path=path, fixed_now=scene.company.simulator.now)
    assert execute(daily_job(settings, lambda: opened, NARROW), DAYS)
    assert {statement.table for statement, _ in told if statement.verb == "rebuild"} == {
        "dim_date", "int_cursor_usage_daily", "int_anthropic_cost_daily",
    }  # fmt: skip
    for statement, found in told:
        assert_whole_days(found, before, after, str(statement))
    assert read(path) == after
