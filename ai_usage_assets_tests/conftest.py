"""Fixtures that several test folders share: a simulated company, a warehouse, and runs of the real jobs."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from ai_usage_assets.commands import demo
from ai_usage_assets.days import DayRange
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.settings import Settings
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.support.loading import LoadResult, load_selection
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
# The day that is loaded in `loaded_company`, and the next one.
LOADED_DAY, NEXT_DAY = "2026-11-10", "2026-11-11"

pytest_plugins = ["ai_usage_assets_tests.support.skips"]

# Views with the time of a read; they change even if a run changes no data.
_VIEWS_WITH_READ_TIME = ("ops_check_status", "kpi_completeness", "ops_freshness")

# A worker takes one module at a time; the longest ones start first, to balance the workers.
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
    _instance: dg.DagsterInstance | None = field(default=None, repr=False)
    # Building a job takes longer than a small run, so jobs are reused.
    _jobs: dict[tuple[Any, ...], dg.JobDefinition] = field(default_factory=dict, repr=False)
    _kept_open: DuckDBWarehouse | None = field(default=None, init=False, repr=False)

    @property
    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance of the runs, created at its first use."""
        if self._instance is None:
            self._instance = dg.DagsterInstance.ephemeral()
        return self._instance

    @property
    def warehouse(self) -> DuckDBWarehouse:
        """The warehouse of the runs; close it after use."""
        return DuckDBWarehouse(self.settings.duckdb_path, self.settings.dataset)

    def keep_open(self) -> DuckDBWarehouse:
        """The warehouse, open for all later loads and reads; other processes can use its file after `close`."""
        if self._kept_open is None:
            self._kept_open = self.warehouse
        return self._kept_open

    def close(self) -> None:
        """Lets other processes use the file of the warehouse."""
        if self._kept_open is not None:
            self._kept_open.close()
            self._kept_open = None

    def run(
        self,
        first: str,
        last: str | None = None,
        *,
        job: str = "daily",
        selection: str | Sequence[str] | None = None,
        sources: Mapping[str, Mapping[str, str | None]] = MappingProxyType({}),
        **changed: Any,
    ) -> RunResult:
        """Runs a job for days, in this process, with settings changed for this run only; `sources` names vendors.

        `selection` restricts the job to the raw tables of a vendor or of an extract, to single tables, or to several of
        these, with the assets between them and their checks.
        """
        run_days = DayRange(date.fromisoformat(first), date.fromisoformat(last or first))
        settings = self._change_settings(sources, changed)
        key = (settings, job, selection)
        if key not in self._jobs:
            full_job = build_definitions(settings).resolve_job_def(job)
            names = [selection] if isinstance(selection, str) else selection
            self._jobs[key] = full_job if names is None else _select_assets(full_job, names)
        result = self._jobs[key].execute_in_process(
            run_config={"loggers": {"console": {}}},
            tags=days.tags_for_range(run_days),
            instance=self.instance,
            raise_on_error=False,
        )
        return RunResult(result.success, list(result.all_events))

    def load(
        self,
        first: str,
        last: str | None = None,
        *,
        selection: str | Sequence[str],
        sources: Mapping[str, Mapping[str, str | None]] = MappingProxyType({}),
        **changed: Any,
    ) -> LoadResult:
        """Loads days without Dagster and keeps the warehouse open: a third of the cost of `run`.

        `selection` names vendors, extracts and tables; other tables are not filled. Nothing is recorded in ops_runs.
        """
        days_to_load = DayRange(date.fromisoformat(first), date.fromisoformat(last or first))
        settings = self._change_settings(sources, changed)
        # The reader stays open while landing closes its own connection during requests.
        self.keep_open().rows("SELECT 1 AS n")
        warehouse = self.warehouse
        try:
            return load_selection(warehouse, settings, days_to_load, selection)
        finally:
            warehouse.close()

    def _change_settings(self, sources: Mapping[str, Mapping[str, str | None]], changed: Mapping[str, Any]) -> Settings:
        settings = replace(self.settings, **{"fixed_now": self.simulator.now, **changed})
        for name, changes in sources.items():
            settings = settings.with_source(name, **changes)
        return settings

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query against the warehouse."""
        with self._reader() as warehouse:
            return warehouse.rows(sql, parameters)

    @contextmanager
    def _reader(self) -> Iterator[DuckDBWarehouse]:
        warehouse = self._kept_open or self.warehouse
        try:
            yield warehouse
        finally:
            if warehouse is not self._kept_open:
                warehouse.close()

    def content(self, *names: str) -> dict[str, list[tuple[Any, ...]]]:
        """Sorted rows of tables and views, by default of all but the ops tables."""
        chosen = names or [
            table.name
            for table in catalog.tables()
            if table not in OPS_TABLES and table.name not in _VIEWS_WITH_READ_TIME
        ]
        with self._reader() as warehouse:
            rows_by_name = {name: warehouse.rows(f"SELECT * FROM ai_usage.{name}") for name in chosen}
        return {name: sorted((tuple(row.values()) for row in rows), key=repr) for name, rows in rows_by_name.items()}


def _select_assets(job: dg.JobDefinition, names: Sequence[str]) -> dg.JobDefinition:
    extracts = {table.name: (extract.vendor, extract.name) for extract in catalog.EXTRACTS for table in extract.tables}
    chosen_tables = [t.name for t in catalog.tables() if {t.name, *extracts.get(t.name, ())} & {*names}]
    selected = dg.AssetSelection.assets(*chosen_tables, *({"report"} & {*names}))
    graph = job.asset_layer.asset_graph
    # The assets between the selected ones define their order.
    chosen = (selected | selected.downstream() & selected.upstream()).resolve(graph)
    checks = dg.AssetSelection.checks_for_assets(*chosen).resolve_checks(graph)
    # A rebuild evaluates the checks of raw tables that it does not load.
    executed = chosen & {*job.asset_layer.executable_asset_keys}
    return job.get_subset(asset_selection=executed, asset_check_selection=checks)


@dataclass
class RunResult:
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

    def text(self) -> str:
        """All text of the events."""
        return repr(self.events)

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


def copy_empty_warehouse(path: Path) -> Path:
    """Copies an empty warehouse with all tables and views, which is ten times faster than creating one."""
    path.write_bytes(_empty())
    return path


def build_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Creates a file once for all workers; tests must copy it, not change it."""
    folder = factory.getbasetemp()
    if folder.name.startswith("popen-"):
        # The folder of one worker; its parent is shared.
        folder = folder.parent
    path = folder / name
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = factory.mktemp("build_once") / name
            make(unfinished)
            unfinished.rename(path)
    return path


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[RebuildingWarehouse]:
    """An empty warehouse."""
    opened = RebuildingWarehouse(copy_empty_warehouse(tmp_path / "w.duckdb"))
    yield opened
    opened.close()


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """A small company with an empty warehouse."""
    with serve_company(copy_empty_warehouse(tmp_path / "ai_usage.duckdb")) as served:
        yield served


@pytest.fixture(scope="session")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with LOADED_DAY loaded without Dagster, so ops_runs is empty; to be copied."""

    def make(path: Path) -> None:
        with serve_company(copy_empty_warehouse(path)) as company:
            everything = [table.name for table in catalog.tables() if table not in OPS_TABLES]
            result = company.load(LOADED_DAY, selection=everything)
            assert result.success, result.failures()

    return build_once(tmp_path_factory, "one_day.duckdb", make)


@pytest.fixture(scope="session")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with LOADED_DAY and NEXT_DAY loaded by one run; to be copied."""

    def make(path: Path) -> None:
        with serve_company(path) as company:
            result = company.run(LOADED_DAY, NEXT_DAY)
            assert result.success, result.failures()

    return build_once(tmp_path_factory, "two_days.duckdb", make)


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """Thirteen months of the simulated company; read-only."""
    # Imported here because the module imports this one.
    from ai_usage_assets_tests.support.year import simulated_year

    path = build_once(tmp_path_factory, "year.duckdb", lambda path: simulated_year(path).close())
    # Only one process can open a DuckDB file, and there may be several workers.
    warehouse = DuckDBWarehouse(shutil.copyfile(path, tmp_path_factory.mktemp("year") / "year.duckdb"))
    yield warehouse
    warehouse.close()


@pytest.fixture
def loaded_company(tmp_path: Path, one_day: Path) -> Iterator[Company]:
    """A company whose warehouse has LOADED_DAY loaded."""
    with serve_company(shutil.copyfile(one_day, tmp_path / "ai_usage.duckdb")) as served:
        yield served


@pytest.fixture(scope="module")
def shared_company(tmp_path_factory: pytest.TempPathFactory, one_day: Path) -> Iterator[Company]:
    """A `loaded_company` that is shared by the tests of a module; they must leave it unchanged."""
    path = tmp_path_factory.mktemp("shared_company") / "ai_usage.duckdb"
    with serve_company(shutil.copyfile(one_day, path)) as served:
        yield served


@contextmanager
def serve_company(path: Path, *, people: int = 60, now: datetime = NOW) -> Iterator[Company]:
    """Serves a company until the end of the block."""
    simulator = Simulator(now, people=people)
    with simulator.serve() as urls:
        settings = replace(
            Settings.from_environment(demo.simulator_environment(simulator, urls)),
            duckdb_path=path,
            start_date=date(2026, 10, 1),
        )
        company = Company(simulator, urls, settings)
        try:
            yield company
        finally:
            company.close()
            if company._instance is not None:
                company._instance.dispose()
