"""`make bench`: how fast it is, as ratios measured side by side in one run.

Belongs here: starting what is compared, in turns, each in a fresh process, and printing what it took. Does not: what is
compared (the other files). Nothing here is a test: a machine may be busy.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

_ROOM = Path(__file__).parent
_ROOT = _ROOM.parents[1]
_EVENTS = 200_000
_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
_PEOPLE, _MANY_PEOPLE = 60, 600
_BOTH = {"PYTHONPATH": str(_ROOT), "PYTHONWARNINGS": "ignore"}

terminal = Console(width=100, highlight=False)


@dataclass(frozen=True)
class Took:
    """What a process took, and what it said."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    said: str


def took(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Took:
    """Runs a command to its end and measures it. Ends the benchmark when it fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            arguments, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **_BOTH, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        out.seek(0)
        said = out.read()
    if os.waitstatus_to_exitcode(status):
        terminal.print(said)
        raise SystemExit(f"{arguments} failed")
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said)


@contextmanager
def server(name: str, *arguments: object) -> Iterator[str]:
    """A server of this room while the block lasts; gives the line it prints."""
    process = subprocess.Popen(
        [sys.executable, str(_ROOM / name), *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **_BOTH},
    )  # fmt: skip
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=30)


def events() -> None:
    """200,000 Cursor events: the floor against the product, whole processes, in turns."""
    table = _table("Cursor events into a warehouse", "seconds", "CPU seconds", "peak MB", "x floor")
    for days in (1, 40):
        found: dict[str, list[Took]] = {"floor": [], "ours": []}
        with server("events_server.py", _EVENTS, days) as line:
            port, total = line.split()
            for turn in range(_ROUNDS):
                for name in ("floor", "ours") if turn % 2 else ("ours", "floor"):
                    with tempfile.TemporaryDirectory() as folder:
                        url = f"http://127.0.0.1:{port}"
                        result = took([sys.executable, str(_ROOM / f"events_{name}.py"), url, str(days), folder])
                    count, cents = result.said.split()
                    if int(count) != _EVENTS or round(float(cents) * 100_000) != int(total):
                        raise SystemExit(f"{name}: {result.said}, not {_EVENTS} events and {total}")
                    found[name].append(result)
        for name, results in found.items():
            label = {"floor": "floor, typed table only", "ours": "product, verbatim and typed"}[name]
            _row(table, f"{label}, {days} day{'s' * (days > 1)}", results, found["floor"])
    terminal.print(table)


def runs() -> None:
    """`ai-usage run` against a job of as many empty assets, and 40 days against one."""
    found: dict[str, list[Took]] = {"empty": [], "one": [], "forty": []}
    with server("company_server.py", _PEOPLE, 80) as line:
        company = json.loads(line)
        for _ in range(_ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                own = company | {"AI_USAGE_DUCKDB_PATH": f"{folder}/w.duckdb", "DAGSTER_HOME": f"{folder}/dagster"}
                found["forty"].append(took([*_AI_USAGE, "run", "--days", "40"], own))
                found["one"].append(took([*_AI_USAGE, "run", "--days", "1"], own))
                found["empty"].append(took(_empty_job(), own | {"BENCH_STEPS": str(_steps())}))
    table = _table("A run of the default company", "seconds", "CPU seconds", "peak MB", "ratio")
    _row(table, "as many empty assets", found["empty"], found["empty"])
    _row(table, "--days 1, against the empty assets", found["one"], found["empty"])
    _row(table, "--days 40, against --days 1", found["forty"], found["one"])
    terminal.print(table)


def year() -> None:
    """What a year costs, and how it grows with days and with people."""
    table = _table("A backfill", "seconds", "CPU seconds", "peak MB", "MB on disk", "ratio")
    first: list[Took] = []
    for people in (_PEOPLE, _MANY_PEOPLE):
        with server("company_server.py", people, 365) as line:
            company = json.loads(line) | {"AI_USAGE_START_DATE": "2026-01-01"}
            for days in (91, 365):
                with tempfile.TemporaryDirectory() as folder:
                    own = company | {"AI_USAGE_DUCKDB_PATH": f"{folder}/w.duckdb", "DAGSTER_HOME": f"{folder}/dagster"}
                    results = [took([*_AI_USAGE, "run", "--days", str(days)], own)]
                    size = Path(folder, "w.duckdb").stat().st_size / 1024**2
                first = first or results
                _row(table, f"{people} people, {days} days", results, first, f"{size:,.0f}")
    terminal.print(table)


def finance() -> None:
    """How good finance's views are on a year, and how long they take."""
    from ai_usage_assets_tests.benchmarks import anomalies
    from ai_usage_assets_tests.benchmarks.finance import measure

    measure(terminal)
    terminal.print(anomalies.results_table())


_AI_USAGE = [str(Path(sys.executable).with_name("ai-usage"))]


@cache
def _steps() -> int:
    from ai_usage_assets.definitions import defs

    return len(defs.resolve_job_def("daily").graph.node_dict)


def _empty_job() -> list[str]:
    from ai_usage_assets.commands import launch
    from ai_usage_assets.days import DayRange
    from ai_usage_assets.settings import Settings
    from ai_usage_assets_tests.benchmarks.company_server import NOW

    day = NOW.date() - timedelta(days=1)
    arguments = list(launch.job_command(Settings(), DayRange(day, day), "daily").arguments)
    arguments[arguments.index("-m") + 1] = "ai_usage_assets_tests.benchmarks.empty_job"
    return [sys.executable, "-m", "dagster", *arguments]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _row(table: Table, label: str, results: Sequence[Took], base: Sequence[Took], *more: str) -> None:
    seconds = [result.seconds for result in results]
    table.add_row(
        label,
        f"{median(seconds):.1f} ({min(seconds):.1f}-{max(seconds):.1f})",
        f"{median(result.cpu_seconds for result in results):.1f}",
        f"{max(result.peak_mb for result in results):,.0f}",
        *more,
        f"{median(seconds) / median(result.seconds for result in base):.2f}",
    )


_ALL = {"events": events, "runs": runs, "year": year, "finance": finance}

if __name__ == "__main__":
    for name in sys.argv[1:] or _ALL:
        _ALL[name]()
