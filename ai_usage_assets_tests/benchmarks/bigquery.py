"""Counts the BigQuery jobs and calls of `ai-usage run`, and estimates how long BigQuery would take for them.

The runs use the fake BigQuery of the tests, which answers in milliseconds. The estimate replaces each answer by a fixed
latency, and nothing sleeps. A call that starts a job takes as long as the job; the first call that waits for the job is
part of it. Calls of the main thread follow one another. Calls that other threads send between two calls of the main
thread overlap: each thread takes its next work item when it is free, as the threads of a pool do. A work item is a job
with the calls that belong to it, or one other call. A script counts as one query job. BigQuery runs its statements one
after another, so a second estimate counts each of them. The vendors' requests and the run's own computing do not count.
"""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from ai_usage_assets.commands import demo
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets_tests.benchmarks.company_server import NOW
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery

_RECORDER = Path(__file__).parent / "record_calls"
_PEOPLE = 60

CallKind = Literal["load", "query", "other", "wait"]
# Typical for small jobs; a wait is part of the job that it waits for.
SECONDS: dict[CallKind, float] = {"load": 3.0, "query": 1.5, "other": 0.15, "wait": 0.0}


@dataclass(frozen=True)
class Call:
    """One request: what it does, its job, and the thread that sent it; the main thread is `None`."""

    kind: CallKind
    job_id: str
    thread: tuple[int, int] | None
    statements: int = 1

    def seconds(self, *, by_statement: bool) -> float:
        """The simulated latency; that of a script is multiplied by its statements if they are counted."""
        return SECONDS[self.kind] * (self.statements if by_statement and self.kind == "query" else 1)


@dataclass(frozen=True)
class RunCost:
    """The calls of one run, by kind, and the minutes that they would take."""

    loads: int
    queries: int
    others: int
    minutes: float
    minutes_by_statement: float


@dataclass(frozen=True)
class Bound:
    """The limits of a run; None is no limit."""

    loads: int | None = None
    jobs: int | None = None
    minutes: float | None = None


def measure_cost(calls: Iterable[Call]) -> RunCost:
    """Counts the calls of a run and estimates its minutes."""
    listed = list(calls)
    counts = {kind: sum(call.kind == kind for call in listed) for kind in SECONDS}
    minutes, minutes_by_statement = (estimate_seconds(listed, by_statement=counted) / 60 for counted in (False, True))
    return RunCost(counts["load"], counts["query"], counts["other"], minutes, minutes_by_statement)


def estimate_seconds(calls: Iterable[Call], *, by_statement: bool = False) -> float:
    """Estimates how long the calls take, as the docstring of this module describes. They are in the order of start."""
    seconds = 0.0
    for is_main, group in groupby(calls, key=lambda call: call.thread is None):
        if is_main:
            seconds += sum(call.seconds(by_statement=by_statement) for call in group)
            continue
        concurrent = list(group)
        free_at = [0.0] * len({call.thread for call in concurrent})
        for item_seconds in _work_items(concurrent, by_statement):
            heapq.heappush(free_at, heapq.heappop(free_at) + item_seconds)
        seconds += max(free_at)
    return seconds


def _work_items(calls: Iterable[Call], by_statement: bool) -> Iterator[float]:
    """Yields the seconds of each job with its calls, and of each other call."""
    by_job: dict[object, float] = {}
    for number, call in enumerate(calls):
        key = call.job_id or number
        by_job[key] = by_job.get(key, 0.0) + call.seconds(by_statement=by_statement)
    yield from by_job.values()


def read_calls(path: Path) -> Iterator[Call]:
    """Reads the calls that `record_calls` has written, in the order of their start."""
    awaited: set[str] = set()
    lines = sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: float(line["started"]))
    for line in lines:
        kind: CallKind = "other"
        job_id = line["job_id"]
        if line["method"] == "POST" and line["path"].endswith("/jobs"):
            kind = "query"
        if "/upload/" in line["path"]:
            # 308 asks for the next part of a large file; the address of the upload has no status 308.
            is_address = line["method"] == "POST" and line["status"] == 200 and not job_id
            kind = "other" if line["status"] == 308 or is_address else "load"
        if line["method"] == "GET" and (last := line["path"].rsplit("/", 2))[1] in ("jobs", "queries"):
            job_id = last[2]
            kind = "other" if job_id in awaited else "wait"
            awaited.add(job_id)
        thread = None if line["is_main"] else (line["process"], line["thread"])
        yield Call(kind, job_id, thread, line["statements"])


def run_and_measure(environment: dict[str, str], folder: Path, *arguments: str) -> RunCost:
    """Runs `ai-usage` and returns the cost of its calls. Exits when the command fails."""
    path = folder / "calls.jsonl"
    path.write_text("")
    recording = {"RECORD_CALLS_TO": str(path), "RECORD_CALLS_OF": environment["BIGQUERY_EMULATOR_HOST"]}
    process = subprocess.run(
        [str(Path(sys.executable).with_name("ai-usage")), *arguments],
        env={**os.environ, **environment, **recording, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise SystemExit(f"ai-usage {' '.join(arguments)} failed:\n{process.stdout[-4000:]}{process.stderr[-4000:]}")
    return measure_cost(read_calls(path))


def print_runs(terminal: Console) -> None:
    """Prints the cost of a first run of 40 days, of the next morning and of the same day again."""
    table = _table("BigQuery jobs of a run, at the simulated latencies")
    with FakeBigQuery() as server, tempfile.TemporaryDirectory() as name:
        simulator = Simulator(NOW, people=_PEOPLE)
        with simulator.serve() as urls:
            environment = _environment(simulator, urls, server, name)
            first = run_and_measure(environment, Path(name), "run", "--days", "40")
            _row(table, "first run, 40 days", first, Bound(loads=60, minutes=6))
            simulator.now += timedelta(days=1)
            environment |= {"AI_USAGE_NOW": simulator.now.isoformat()}
            _row(table, "next morning", run_and_measure(environment, Path(name), "run"), Bound(jobs=130, minutes=4))
            again = run_and_measure(environment, Path(name), "run")
            _row(table, "same day again", again, Bound(jobs=60))
    terminal.print(table)


def print_year(terminal: Console) -> None:
    """Prints the cost of a first run of a year."""
    table = _table("BigQuery jobs of a year, at the simulated latencies")
    with FakeBigQuery() as server, tempfile.TemporaryDirectory() as name:
        simulator = Simulator(NOW, people=_PEOPLE)
        with simulator.serve() as urls:
            environment = _environment(simulator, urls, server, name)
            cost = run_and_measure(environment, Path(name), "run", "--days", "365")
            _row(table, "first run, 365 days", cost, Bound(minutes=20))
    terminal.print(table)


def _environment(simulator: Simulator, urls: Urls, server: FakeBigQuery, folder: str) -> dict[str, str]:
    return {
        **demo.simulator_environment(simulator, urls),
        "AI_USAGE_WAREHOUSE": "bigquery",
        "GOOGLE_CLOUD_PROJECT": server.project,
        "BIGQUERY_EMULATOR_HOST": server.url,
        "DAGSTER_HOME": f"{folder}/dagster",
        "PYTHONPATH": os.pathsep.join([str(_RECORDER), str(Path(__file__).parents[2])]),
    }


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("load jobs", "query jobs", "other calls", "jobs", "minutes", "by statement"):
        table.add_column(heading, justify="right")
    return table


def _row(table: Table, label: str, cost: RunCost, bound: Bound) -> None:
    table.add_row(
        label,
        _against(f"{cost.loads}", bound.loads),
        f"{cost.queries}",
        f"{cost.others}",
        _against(f"{cost.loads + cost.queries}", bound.jobs),
        _against(f"{cost.minutes:.1f}", bound.minutes),
        f"{cost.minutes_by_statement:.1f}",
    )


def _against(value: str, bound: float | None) -> str:
    return value if bound is None else f"{value} (bound {bound:g})"
