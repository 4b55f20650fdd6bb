"""Runs in separate processes: the command line, and forks that are killed at a chosen statement."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import dagster as dg

from ai_usage_assets import catalog, days
from ai_usage_assets.days import DayRange
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.defs.resources import WarehouseResource, build_resources
from ai_usage_assets.settings import Settings
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.support.repository import REPOSITORY


def daily_job(
    settings: Settings, open_warehouse: Callable[[], Warehouse], assets: Collection[str] = ()
) -> dg.JobDefinition:
    """The daily job with the warehouse that `open_warehouse` returns, optionally restricted to some assets."""

    class OpenedWarehouse(WarehouseResource):
        def create_resource(self, context: dg.InitResourceContext) -> Warehouse:
            return open_warehouse()

    definitions = build_definitions(settings)
    job = dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        resources=build_resources(settings, OpenedWarehouse),
        loggers=definitions.loggers,
        executor=definitions.executor,
    ).resolve_job_def("daily")
    if not assets:
        return job
    keys = {dg.AssetKey(name) for name in assets}
    checks = dg.AssetSelection.checks_for_assets(*keys).resolve_checks(job.asset_layer.asset_graph)
    return job.get_subset(asset_selection=keys, asset_check_selection=checks)


def execute(job: dg.JobDefinition, day_range: DayRange) -> bool:
    """Runs a job for days in this process and returns whether it succeeded."""
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            run_config={"loggers": {"console": {}}},
            tags=days.tags_for_range(day_range),
            instance=instance,
            raise_on_error=False,
        ).success


@contextmanager
def observe_requests(simulator: Simulator, callback: Callable[[int], None]) -> Iterator[None]:
    """Calls back with the number of each request to the simulator during the block, before the response is sent."""
    simulator.requests = _ObservedRequests(callback)
    yield
    simulator.requests = []


class _ObservedRequests(list[Any]):
    """The simulator's list of requests, with a callback for each."""

    def __init__(self, callback: Callable[[int], None]) -> None:
        super().__init__()
        self._callback = callback

    def append(self, request: Any) -> None:
        super().append(request)
        self._callback(len(self))


@contextmanager
def start_cli(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Starts `ai-usage` without the settings of this process; it is killed at the end of the block."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; from ai_usage_assets.cli import main; sys.exit(main())", *arguments],
        env={**inherited, "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], timeout_seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Waits until the process ends by itself."""
    output = process.communicate(timeout=timeout_seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, *output)


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `ai-usage` to its end."""
    with start_cli(*arguments, **environment) as process:
        return wait_for(process)


# --- Traced warehouse ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """A SQL statement, with the warehouse method and the tables for which it runs."""

    method: str
    table: str
    text: str


class TracedWarehouse(DuckDBWarehouse):
    """A warehouse that calls back before and after each statement, with its connection."""

    def __init__(self, path: Path, before: Callable[..., None], after: Callable[..., None]) -> None:
        super().__init__(path)
        self.callbacks = (before, after)
        self.method, self.table = "", ""

    @contextmanager
    def _tag(self, method: str, tables: Sequence[Table]) -> Iterator[None]:
        self.method, self.table = method, " ".join(table.name for table in tables)
        yield
        self.method, self.table = "", ""

    def prepare(self, tables: Sequence[Table]) -> None:
        with self._tag("prepare", ()):
            super().prepare(tables)

    def load_days(self, days: Any, asset_days: Any, restated: Any = ()) -> None:
        with self._tag("load_days", list(dict.fromkeys(day.table for day in days))):
            super().load_days(days, asset_days, restated)

    def append(self, table: Table, rows: Any) -> None:
        with self._tag("append", (table,)):
            super().append(table, rows)

    def upsert(self, table: Table, key: Any, rows: Any) -> None:
        with self._tag("upsert", (table,)):
            super().upsert(table, key, rows)

    def rebuild(self, table: Table, parameters: Any) -> int:
        with self._tag("rebuild", (table,)):
            return super().rebuild(table, parameters)

    def _open(self) -> Any:
        return _Connection(super()._open(), self)


class _Connection:
    """A DuckDB connection that calls back before and after each statement."""

    def __init__(self, real: Any, warehouse: TracedWarehouse) -> None:
        self._real, self._warehouse = real, warehouse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, text: str, *arguments: Any) -> Any:
        return self._trace(self._real.execute, text, *arguments)

    def executemany(self, text: str, *arguments: Any) -> Any:
        return self._trace(self._real.executemany, text, *arguments)

    def _trace(self, call: Callable[..., Any], text: str, *arguments: Any) -> Any:
        before, after = self._warehouse.callbacks
        statement = Statement(self._warehouse.method, self._warehouse.table, text)
        before(statement, self._real)
        result = call(text, *arguments)
        after(statement, self._real)
        return result


@dataclass(frozen=True)
class KillPoint:
    """Where a run is killed: before or after the n-th matching statement; an empty field matches all."""

    method: str = ""
    table: str = ""
    prefix: str = ""
    number: int = 1
    after: bool = False

    def __str__(self) -> str:
        what = " ".join(part for part in (self.method, self.table, self.prefix) if part) or "any statement"
        return f"{'after' if self.after else 'before'} {what} {self.number}"

    def matches(self, statement: Statement) -> bool:
        """Whether the statement is counted."""
        return (
            self.method in ("", statement.method)
            and self.table in ("", *statement.table.split())
            and statement.text.lstrip().startswith(self.prefix)
        )


class KillingWarehouse:
    """A warehouse that kills its process at a point; without a point it only counts statements."""

    def __init__(self, path: Path, point: KillPoint | None) -> None:
        self.statements = 0
        self._point, self._count = point, 0
        self.warehouse = TracedWarehouse(path, self._before, self._after)

    def _before(self, statement: Statement, connection: Any) -> None:
        self.statements += 1
        if self._point and self._point.matches(statement):
            self._count += 1
            if self._count == self._point.number and not self._point.after:
                os.kill(os.getpid(), signal.SIGKILL)

    def _after(self, statement: Statement, connection: Any) -> None:
        if self._point and self._point.matches(statement) and self._count == self._point.number:
            os.kill(os.getpid(), signal.SIGKILL)


# --- Processes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunRequest:
    """A run to start: where it is killed, if at all, and the file for its output."""

    settings: Settings
    days: DayRange
    assets: tuple[str, ...]
    point: KillPoint | None
    output_path: Path


class ForkServer:
    """A process with all modules loaded and no file open, from which one run at a time is forked."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve_runs; serve_runs()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])},
        )
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._replies = self._process.stdin, self._process.stdout
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.close()
        self._process.wait(timeout=30)
        self._replies.close()

    def run(self, request: RunRequest, started: Callable[[int], None] = lambda pid: None) -> int:
        """Runs it and returns the exit code: 0, 1, or the negative signal number."""
        pickle.dump(request, self._requests)
        self._requests.flush()
        started(self._read_reply())
        return self._read_reply()

    def _read_reply(self) -> int:
        reply: int = pickle.load(self._replies)  # noqa: S301 - from our own process
        return reply


def serve_runs() -> None:
    """Forks a process for each request on stdin, until stdin ends."""
    replies = os.fdopen(os.dup(1), "wb")
    # Output of libraries must not mix with the replies.
    os.dup2(2, 1)
    _warm_up()
    jobs: dict[Any, dg.JobDefinition] = {}
    opened: list[Warehouse] = []
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test
        except EOFError:
            return
        key = (request.settings, request.assets)
        if key not in jobs:
            jobs[key] = daily_job(request.settings, lambda: opened[0], request.assets)
        pid = os.fork()
        if pid == 0:
            killing = KillingWarehouse(request.settings.duckdb_path, request.point)
            opened.append(killing.warehouse)
            os._exit(_run(request, jobs[key], killing))
        pickle.dump(pid, replies)
        replies.flush()
        pickle.dump(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), replies)
        replies.flush()


def _warm_up() -> None:
    """Does the work that every run would repeat, without opening files or starting threads."""
    for table in catalog.models():
        googlesql.to_duckdb(table.query or "")
    with dg.DagsterInstance.ephemeral():
        pass


def _run(request: RunRequest, job: dg.JobDefinition, killing: KillingWarehouse) -> int:
    with request.output_path.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    try:
        success = execute(job, request.days)
        request.output_path.with_suffix(".count").write_text(str(killing.statements))
    except BaseException:  # noqa: BLE001 - a fork must not continue as its parent
        traceback.print_exc()
        return 2
    return 0 if success else 1
