"""Fixtures that several test folders share: a simulated company, a warehouse, and runs of the real jobs."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import dagster as dg
import pytest

from ai_usage_assets import catalog, days
from ai_usage_assets.days import DayRange
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.settings import Settings, SourceSettings
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
# The day that the fixture `holding` has loaded, and the next one.
HELD, NEXT = "2026-11-10", "2026-11-11"

# Views with the time of a read: they change with a run that changes no data.
_OF_WHEN_IT_WAS_READ = ("ops_check_status", "kpi_completeness", "ops_freshness")

# A worker takes one module at a time: the longest start first, so that none is left over at the end.
_LONGEST = (
    "test_production", "test_run", "test_kill", "test_sql", "test_warehouse", "test_container", "test_signals",
    "test_anthropic", "test_cursor", "test_bigquery", "test_cards", "test_focus",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the longest modules to the front."""
    order = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@dataclass
class Company:
    """A simulated company, the addresses of its APIs, and a warehouse to load it into."""

    simulator: Simulator
    urls: Urls
    settings: Settings
    instance: dg.DagsterInstance = field(repr=False)
    # Building a job takes longer than a small run, so jobs are reused.
    _jobs: dict[tuple[Any, ...], dg.JobDefinition] = field(default_factory=dict, repr=False)

    @property
    def warehouse(self) -> DuckDBWarehouse:
        """The warehouse of the runs; close it after use."""
        return DuckDBWarehouse(self.settings.duckdb_path, self.settings.dataset)

    def run(
        self,
        first: str,
        last: str | None = None,
        *,
        job: str = "daily",
        lane: str | Sequence[str] | None = None,
        sources: Mapping[str, Mapping[str, str | None]] = MappingProxyType({}),
        **changed: Any,
    ) -> Result:
        """Runs a job for days, in this process, with settings changed for this run only; `sources` names vendors.

        `lane` restricts the job to the raw tables of a vendor or of an extract, to single tables, or to several of
        these, with the assets between them and their checks.
        """
        run_days = DayRange(date.fromisoformat(first), date.fromisoformat(last or first))
        settings = replace(self.settings, **{"fixed_now": self.simulator.now, **changed})
        for name, changes in sources.items():
            settings = settings.with_source(name, **changes)
        key = (settings, job, lane)
        if key not in self._jobs:
            full_job = build_definitions(settings).resolve_job_def(job)
            names = [lane] if isinstance(lane, str) else lane
            self._jobs[key] = full_job if names is None else _lane(full_job, names)
        outcome = self._jobs[key].execute_in_process(
            run_config={"loggers": {"console": {}}},
            tags=days.tags_for_range(run_days),
            instance=self.instance,
            raise_on_error=False,
        )
        return Result(outcome.success, list(outcome.all_events))

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query against the warehouse."""
        warehouse = self.warehouse
        try:
            return warehouse.rows(sql, parameters)
        finally:
            warehouse.close()

    def content(self, *names: str) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of these tables and views, sorted; by default of all but the run log."""
        chosen = names or [
            table.name
            for table in catalog.tables()
            if table not in OPS_TABLES and table.name not in _OF_WHEN_IT_WAS_READ
        ]
        warehouse = self.warehouse
        try:
            rows_by_name = {name: warehouse.rows(f"SELECT * FROM ai_usage.{name}") for name in chosen}
        finally:
            warehouse.close()
        return {name: sorted((tuple(row.values()) for row in rows), key=repr) for name, rows in rows_by_name.items()}


def _lane(job: dg.JobDefinition, names: Sequence[str]) -> dg.JobDefinition:
    pulled = {table.name: (pull.vendor, pull.name) for pull in catalog.EXTRACTS for table in pull.tables}
    chosen_tables = [t.name for t in catalog.tables() if {t.name, *pulled.get(t.name, ())} & {*names}]
    named = dg.AssetSelection.assets(*chosen_tables, *({"report"} & {*names}))
    graph = job.asset_layer.asset_graph
    # With the assets between them, which define the order.
    chosen = (named | named.downstream() & named.upstream()).resolve(graph)
    checks = dg.AssetSelection.checks_for_assets(*chosen).resolve_checks(graph)
    return job.get_subset(asset_selection=chosen, asset_check_selection=checks)


@dataclass
class Result:
    """The result of a run."""

    success: bool
    events: list[dg.DagsterEvent]

    def failures(self) -> dict[str, str]:
        """The messages of failed steps."""
        messages = {}
        for event in self.events:
            if event.event_type == dg.DagsterEventType.STEP_FAILURE:
                data = event.step_failure_data
                user = data.user_failure_data.description if data.user_failure_data else None
                messages[str(event.step_key)] = str(user or (data.error and data.error.to_string()))
        return messages

    def failed_checks(self) -> dict[str, str]:
        """The messages of failed checks, by asset and check."""
        messages = {}
        for event in self.events:
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                data = event.asset_check_evaluation_data
                if not data.passed:
                    messages[f"{data.asset_key.to_user_string()}.{data.check_name}"] = str(data.description)
        return messages


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as folder:
        warehouse = DuckDBWarehouse(Path(folder) / "w.duckdb")
        warehouse.prepare(catalog.tables())
        warehouse.close()
        return warehouse.path.read_bytes()


def empty(path: Path) -> Path:
    """Copies an empty warehouse with every table and view, which is ten times faster than creating it."""
    path.write_bytes(_empty())
    return path


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Creates a file once for all workers; tests must copy it, not change it."""
    folder = factory.getbasetemp()
    if folder.name.startswith("popen-"):
        # The folder of one worker; its parent is shared.
        folder = folder.parent
    path = folder / name
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = factory.mktemp("made_once") / name
            make(unfinished)
            unfinished.rename(path)
    return path


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """An empty warehouse."""
    opened = DuckDBWarehouse(empty(tmp_path / "w.duckdb"))
    yield opened
    opened.close()


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """A small company with an empty warehouse."""
    with make_company(empty(tmp_path / "ai_usage.duckdb")) as served:
        yield served


@pytest.fixture(scope="session")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with HELD loaded; to be copied."""

    def make(path: Path) -> None:
        with make_company(path) as company:
            result = company.run(HELD)
            assert result.success, result.failures()

    return made_once(tmp_path_factory, "one_day.duckdb", make)


@pytest.fixture(scope="session")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with HELD and NEXT loaded by one run; to be copied."""

    def make(path: Path) -> None:
        with make_company(path) as company:
            result = company.run(HELD, NEXT)
            assert result.success, result.failures()

    return made_once(tmp_path_factory, "two_days.duckdb", make)


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """Thirteen months of the simulated company; read-only."""
    # Imported here because the module imports this one.
    from ai_usage_assets_tests.support.year import simulated_year

    path = made_once(tmp_path_factory, "year.duckdb", lambda path: simulated_year(path).close())
    # Only one process can open a DuckDB file, and there may be several workers.
    warehouse = DuckDBWarehouse(shutil.copyfile(path, tmp_path_factory.mktemp("year") / "year.duckdb"))
    yield warehouse
    warehouse.close()


@pytest.fixture
def holding(tmp_path: Path, one_day: Path) -> Iterator[Company]:
    """A company whose warehouse has HELD loaded."""
    with make_company(shutil.copyfile(one_day, tmp_path / "ai_usage.duckdb")) as served:
        yield served


@pytest.fixture(scope="module")
def ailing(tmp_path_factory: pytest.TempPathFactory, one_day: Path) -> Iterator[Company]:
    """The same, shared by the tests of a module; they must leave it unchanged."""
    path = tmp_path_factory.mktemp("ailing") / "ai_usage.duckdb"
    with make_company(shutil.copyfile(one_day, path)) as served:
        yield served


class make_company:  # noqa: N801 - used like a function
    """Serves a company until the end of the block."""

    def __init__(self, path: Path, *, people: int = 60, now: datetime = NOW) -> None:
        self._simulator = Simulator(now, people=people)
        self._serving = self._simulator.serve()
        self._path = path
        self._instance = dg.DagsterInstance.ephemeral()

    def __enter__(self) -> Company:
        urls = self._serving.__enter__()
        settings = Settings(
            duckdb_path=self._path,
            sources={
                "anthropic": SourceSettings(self._simulator.ANTHROPIC_KEY, urls.anthropic),
                "cursor": SourceSettings(self._simulator.CURSOR_KEY, urls.cursor),
            },
            sheet_id=self._simulator.SHEET_ID,
            sheets_url=urls.sheets,
            start_date=date(2026, 10, 1),
            fixed_now=self._simulator.now,
            pacing=False,
        )
        return Company(self._simulator, urls, settings, self._instance)

    def __exit__(self, *error: object) -> None:
        self._instance.dispose()
        self._serving.__exit__(None, None, None)
