"""`make bench`: measures the pipeline against baselines, alternately in fresh processes of one run.

Benchmarks assert no timing, because the machine may be busy.
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
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

_FOLDER = Path(__file__).parent
_ROOT = _FOLDER.parents[1]
_EVENTS = 200_000
_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
_SMALL_COMPANY, _LARGE_COMPANY = 60, 600
_ENVIRONMENT = {"PYTHONPATH": str(_ROOT), "PYTHONWARNINGS": "ignore"}

terminal = Console(width=100, highlight=False)


@dataclass(frozen=True)
class Measurement:
    """The time, memory and output of a process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def measure(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Measurement:
    """Runs a command and measures it. Exits when the command fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            arguments, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **_ENVIRONMENT, **(environment or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        out.seek(0)
        output = out.read()
    if os.waitstatus_to_exitcode(status):
        terminal.print(output)
        raise SystemExit(f"{arguments} failed")
    return Measurement(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


@contextmanager
def start_server(name: str, *arguments: object) -> Iterator[str]:
    """Runs a server of this folder during the block and yields the line that it prints."""
    process = subprocess.Popen(
        [sys.executable, str(_FOLDER / name), *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **_ENVIRONMENT},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=30)


def benchmark_events() -> None:
    """Loads 200,000 Cursor events with a minimal script and with the product."""
    table = _table("Load of Cursor events", "seconds", "CPU seconds", "peak MB", "CPU ratio")
    for days in (1, 40):
        measurements: dict[str, list[Measurement]] = {"minimal": [], "product": []}
        with start_server("events_server.py", _EVENTS, days) as line:
            port, total = line.split()
            for round_no in range(_ROUNDS):
                for name in ("minimal", "product") if round_no % 2 else ("product", "minimal"):
                    with tempfile.TemporaryDirectory() as folder:
                        url = f"http://127.0.0.1:{port}"
                        result = measure([sys.executable, str(_FOLDER / f"events_{name}.py"), url, str(days), folder])
                    count, cents = result.output.split()
                    if int(count) != _EVENTS or round(float(cents) * 100_000) != int(total):
                        raise SystemExit(f"{name}: {result.output}, not {_EVENTS} events and {total}")
                    measurements[name].append(result)
        for name, results in measurements.items():
            label = {"minimal": "minimal script, typed table only", "product": "product, raw and typed table"}[name]
            _row(table, f"{label}, {days} day{'s' * (days > 1)}", results, measurements["minimal"])
    terminal.print(table)


def benchmark_runs() -> None:
    """Runs `ai-usage run` for one day and for 40 days, and a Dagster job with one empty asset."""
    measurements: dict[str, list[Measurement]] = {"empty": [], "one": [], "forty": []}
    with start_server("company_server.py", _SMALL_COMPANY, 80) as line:
        company = json.loads(line)
        for _ in range(_ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                environment = company | _paths(folder)
                measurements["forty"].append(measure([*_AI_USAGE, "run", "--days", "40"], environment))
                measurements["one"].append(measure([*_AI_USAGE, "run", "--days", "1"], environment))
                measurements["empty"].append(measure(_empty_job(), environment))
    table = _table("A run of the default company", "seconds", "CPU seconds", "peak MB", "CPU ratio")
    _row(table, "a job with one empty asset", measurements["empty"], measurements["empty"])
    _row(table, "--days 1, relative to the empty asset", measurements["one"], measurements["empty"])
    _row(table, "--days 40, relative to --days 1", measurements["forty"], measurements["one"])
    terminal.print(table)


def benchmark_year() -> None:
    """Backfills a quarter and a year, of a small and a large company."""
    table = _table("A backfill", "seconds", "CPU seconds", "peak MB", "MB on disk", "CPU ratio")
    base: list[Measurement] = []
    for people in (_SMALL_COMPANY, _LARGE_COMPANY):
        with start_server("company_server.py", people, 365) as line:
            company = json.loads(line) | {"AI_USAGE_START_DATE": "2026-01-01"}
            for days in (91, 365):
                with tempfile.TemporaryDirectory() as folder:
                    environment = company | _paths(folder)
                    results = [measure([*_AI_USAGE, "run", "--days", str(days)], environment)]
                    size = Path(folder, "w.duckdb").stat().st_size / 1024**2
                base = base or results
                _row(table, f"{people} people, {days} days", results, base, f"{size:,.0f}")
    terminal.print(table)


def benchmark_finance() -> None:
    """Measures accuracy and run time of the finance views on a year."""
    from ai_usage_assets_tests.benchmarks import anomalies
    from ai_usage_assets_tests.benchmarks.finance import print_tables

    print_tables(terminal)
    terminal.print(anomalies.results_table())


def benchmark_bigquery() -> None:
    """Counts the BigQuery jobs of a first run, the next morning and the same day again."""
    from ai_usage_assets_tests.benchmarks.bigquery import print_runs

    print_runs(terminal)


def benchmark_bigquery_year() -> None:
    """Counts the BigQuery jobs of a first run of a year."""
    from ai_usage_assets_tests.benchmarks.bigquery import print_year

    print_year(terminal)


def benchmark_views() -> None:
    """Measures how long finance waits for each view, dashboard card and report."""
    from ai_usage_assets_tests.benchmarks import views

    views.print_tables(terminal)


_AI_USAGE = [str(Path(sys.executable).with_name("ai-usage"))]


def _paths(folder: str) -> dict[str, str]:
    return {"AI_USAGE_DUCKDB_PATH": f"{folder}/w.duckdb", "DAGSTER_HOME": f"{folder}/dagster"}


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


def _row(table: Table, label: str, results: Sequence[Measurement], base: Sequence[Measurement], *more: str) -> None:
    seconds = [result.seconds for result in results]
    table.add_row(
        label,
        f"{median(seconds):.1f} ({min(seconds):.1f}-{max(seconds):.1f})",
        f"{median(result.cpu_seconds for result in results):.1f}",
        f"{max(result.peak_mb for result in results):,.0f}",
        *more,
        f"{median(r.cpu_seconds for r in results) / median(r.cpu_seconds for r in base):.2f}",
    )


_BENCHMARKS = {
    "events": benchmark_events,
    "runs": benchmark_runs,
    "year": benchmark_year,
    "finance": benchmark_finance,
    "views": benchmark_views,
    "bigquery": benchmark_bigquery,
    "bigquery-year": benchmark_bigquery_year,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or _BENCHMARKS:
        _BENCHMARKS[name]()
