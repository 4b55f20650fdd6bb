"""Runs in processes of their own, which end where a test wants them to.

Belongs here: a process that has everything loaded and nothing opened, from which a run is forked in no time; a
warehouse that kills its process at a chosen statement; the command as a person starts it. Does not: expectations.
"""

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
from typing import Any

import dagster as dg

from ai_usage_assets import catalog, days
from ai_usage_assets.days import DayRange
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.defs.resources import warehouse_resource
from ai_usage_assets.settings import Settings
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.support.repository import REPOSITORY


def daily_job(settings: Settings, opening: Callable[[], Warehouse], assets: Collection[str] = ()) -> dg.JobDefinition:
    """The daily job, its warehouse opened by `opening`; perhaps only some of its assets, and their checks."""
    built = build_definitions(settings)
    whole = dg.Definitions(
        assets=built.assets,
        asset_checks=built.asset_checks,
        jobs=built.jobs,
        resources={**(built.resources or {}), "warehouse": warehouse_resource(opening)},
        loggers=built.loggers,
        executor=built.executor,
    ).resolve_job_def("daily")
    if not assets:
        return whole
    keys = {dg.AssetKey(name) for name in assets}
    checks = dg.AssetSelection.checks_for_assets(*keys).resolve_checks(whole.asset_layer.asset_graph)
    return whole.get_subset(asset_selection=keys, asset_check_selection=checks)


def execute(job: dg.JobDefinition, chosen: DayRange) -> bool:
    """Runs it for days, in this process; whether it succeeded."""
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            run_config={"loggers": {"console": {}}},
            tags=days.tags_for_range(chosen),
            instance=instance,
            raise_on_error=False,
        ).success


@contextmanager
def asked(simulator: Simulator, tell: Callable[[int], None]) -> Iterator[None]:
    """Within the block each request of the vendors is told by its number, before it is answered."""
    simulator.requests = _Told(tell)
    yield
    simulator.requests = []


class _Told(list[Any]):
    """The simulator's list of requests, telling of each."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, request: Any) -> None:
        super().append(request)
        self._tell(len(self))


@contextmanager
def command(
    *arguments: str, before_start: Callable[[], None] | None = None, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`ai-usage` as a process that sees nothing of this one's settings; what still runs at the end is killed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; from ai_usage_assets.cli import main; sys.exit(main())", *arguments],
        env={**kept, "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before_start,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], timeout_seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """The process when it has come to its end by itself."""
    said = process.communicate(timeout=timeout_seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def ai_usage(
    *arguments: str, before_start: Callable[[], None] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command from its start to its end."""
    with command(*arguments, before_start=before_start, **environment) as process:
        return ended(process)


# --- a warehouse whose every statement is seen ----------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """One statement as DuckDB gets it: on behalf of which verb, for which table, what it begins with."""

    verb: str
    table: str
    text: str


class Seen(DuckDBWarehouse):
    """The warehouse, showing each statement before and after it is executed, and the connection it goes through."""

    def __init__(self, path: Path, before: Callable[..., None], after: Callable[..., None]) -> None:
        super().__init__(path)
        self.told = (before, after)
        self.verb, self.table = "", ""

    @contextmanager
    def _doing(self, verb: str, tables: Sequence[Table]):
        self.verb, self.table = verb, " ".join(table.name for table in tables)
        yield
        self.verb, self.table = "", ""

    def prepare(self, tables: Sequence[Table]) -> None:
        with self._doing("prepare", ()):
            super().prepare(tables)

    def load_days(self, days: Any, asset_days: Any, restated: Any = ()) -> None:
        with self._doing("land", list(dict.fromkeys(day.table for day in days))):
            super().load_days(days, asset_days, restated)

    def append(self, table: Table, rows: Any) -> None:
        with self._doing("append", (table,)):
            super().append(table, rows)

    def upsert(self, table: Table, key: Any, rows: Any) -> None:
        with self._doing("upsert", (table,)):
            super().upsert(table, key, rows)

    def rebuild(self, table: Table, parameters: Any) -> None:
        with self._doing("rebuild", (table,)):
            super().rebuild(table, parameters)

    def _open(self) -> Any:
        return _Connection(super()._open(), self)


class _Connection:
    """DuckDB's connection, telling the warehouse of what is executed."""

    def __init__(self, real: Any, seen: Seen) -> None:
        self._real, self._seen = real, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, text: str, *arguments: Any) -> Any:
        return self._tell(self._real.execute, text, *arguments)

    def executemany(self, text: str, *arguments: Any) -> Any:
        return self._tell(self._real.executemany, text, *arguments)

    def _tell(self, call: Callable[..., Any], text: str, *arguments: Any) -> Any:
        before, after = self._seen.told
        statement = Statement(self._seen.verb, self._seen.table, text)
        before(statement, self._real)
        found = call(text, *arguments)
        after(statement, self._real)
        return found


@dataclass(frozen=True)
class Point:
    """Where a run is killed: before or after the n-th of the statements that fit, or of all."""

    verb: str = ""
    table: str = ""
    begins: str = ""
    number: int = 1
    after: bool = False

    def __str__(self) -> str:
        what = " ".join(part for part in (self.verb, self.table, self.begins) if part) or "any statement"
        return f"{'after' if self.after else 'before'} {what} {self.number}"

    def fits(self, statement: Statement) -> bool:
        """Whether it is one of the statements that are counted."""
        return (
            self.verb in ("", statement.verb)
            and self.table in ("", *statement.table.split())
            and statement.text.lstrip().startswith(self.begins)
        )


class Deadly:
    """A warehouse that ends its process at a point; without one it counts its statements."""

    def __init__(self, path: Path, point: Point | None) -> None:
        self.statements = 0
        self._point, self._count = point, 0
        self.warehouse = Seen(path, self._before, self._after)

    def _before(self, statement: Statement, connection: Any) -> None:
        self.statements += 1
        if self._point and self._point.fits(statement):
            self._count += 1
            if self._count == self._point.number and not self._point.after:
                os.kill(os.getpid(), signal.SIGKILL)

    def _after(self, statement: Statement, connection: Any) -> None:
        if self._point and self._point.fits(statement) and self._count == self._point.number:
            os.kill(os.getpid(), signal.SIGKILL)


# --- processes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """A run to make: where it ends, if it does not end by itself, and the file for what it says."""

    settings: Settings
    days: DayRange
    assets: tuple[str, ...]
    point: Point | None
    says: Path


class Prepared:
    """The process from which runs are forked. One run at a time."""

    def __enter__(self) -> Prepared:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])},
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def run(self, order: Order, started: Callable[[int], None] = lambda pid: None) -> int:
        """Makes the run and gives how it ended: 0, 1, or the negative number of the signal that ended it."""
        pickle.dump(order, self._process.stdin)
        self._process.stdin.flush()
        started(pickle.load(self._process.stdout))  # noqa: S301 - from our own process
        return pickle.load(self._process.stdout)  # noqa: S301 - from our own process


def serve() -> None:
    """What the process does: a fork for each order, until there are no more."""
    replies = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get among the replies.
    os.dup2(2, 1)
    _load()
    jobs: dict[Any, dg.JobDefinition] = {}
    opened: list[Warehouse] = []
    while True:
        try:
            order = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test
        except EOFError:
            return
        key = (order.settings, order.assets)
        if key not in jobs:
            jobs[key] = daily_job(order.settings, lambda: opened[0], order.assets)
        pid = os.fork()
        if pid == 0:
            deadly = Deadly(order.settings.duckdb_path, order.point)
            opened.append(deadly.warehouse)
            os._exit(_run(order, jobs[key], deadly))
        pickle.dump(pid, replies)
        replies.flush()
        pickle.dump(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), replies)
        replies.flush()


def _load() -> None:
    """What every run would do again, as far as it opens no file and starts no thread."""
    for table in catalog.models():
        googlesql.to_duckdb(table.query or "")
    with dg.DagsterInstance.ephemeral():
        pass


def _run(order: Order, job: dg.JobDefinition, deadly: Deadly) -> int:
    with order.says.open("wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    try:
        success = execute(job, order.days)
        order.says.with_suffix(".count").write_text(str(deadly.statements))
    except BaseException:  # noqa: BLE001 - a fork must never go on as the process it came from
        traceback.print_exc()
        return 2
    return 0 if success else 1
