"""The daily job as in production: BigQuery, Secret Manager and Cloud Run; compared with DuckDB."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.commands import demo
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, Company, RunResult, serve_company
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery, RecordedRequest
from ai_usage_assets_tests.faults.runs import run_cli, start_cli, wait_for
from ai_usage_assets_tests.test_logs import IN_THE_CLOUD, assert_redacted, entries, of_event, secret_manager

RUN = ("run", "--day", NEXT_DAY, "--days", "2")
# Of about thirty; the first dozen come before the first row of the day log.
LOADS_BEFORE_THE_END = 18
# Columns that differ between two runs of the same days.
RUN_COLUMNS = {"run_id", "landed_run_id"}


@dataclass
class Production(Company):
    """A company with a BigQuery warehouse, keys in Secret Manager, and a job as in Cloud Run."""

    server: FakeBigQuery | None = None
    secrets: str = ""
    processes: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that Terraform sets."""
        return {
            **demo.simulator_environment(self.simulator, self.urls),
            **IN_THE_CLOUD,
            "AI_USAGE_START_DATE": self.settings.start_date.isoformat(),
            "AI_USAGE_WAREHOUSE": "bigquery",
            "GOOGLE_CLOUD_PROJECT": self.server.project,
            "BIGQUERY_EMULATOR_HOST": self.server.url,
            "ANTHROPIC_ADMIN_KEY": "projects/acme-ai/secrets/anthropic-admin-key/versions/latest",
            "CURSOR_ADMIN_KEY": "projects/acme-ai/secrets/cursor-admin-key/versions/latest",
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets,
            "CLOUD_RUN_EXECUTION": "ai-usage-daily-abcde",
            "AI_USAGE_IMAGE": "us-docker.pkg.dev/acme/ai-usage/pipeline@sha256:0",
        }

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command as the container does."""
        process = run_cli(*arguments, **self.variables)
        self.processes.append(process)
        return process

    def run_in_process(self, **changed: Any) -> RunResult:
        """Loads both days in this process."""
        return self.run(
            LOADED_DAY,
            NEXT_DAY,
            warehouse="bigquery",
            project=self.server.project,
            bigquery_emulator=self.server.url,
            **changed,
        )

    def bigquery_content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the compared tables and views, sorted."""
        return {table.name: rows_of(self.server.rows, table.name) for table in COMPARED}

    def loads(self) -> list[RecordedRequest]:
        """The requests that loaded a day."""
        return [seen for seen in self.server.requests if seen.kind == "load"]


# Without the run log and the status of checks, which differ between runs.
COMPARED = [
    table
    for table in catalog.tables()
    if (table not in OPS_TABLES and table.name != "ops_check_status") or table.name == "ops_asset_days"
]


def rows_of(ask: Any, table: str) -> list[tuple[Any, ...]]:
    rows = ask(f"SELECT * FROM ai_usage.{table}")
    return sorted((tuple(v for k, v in row.items() if k not in RUN_COLUMNS) for row in rows), key=repr)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, two_days: Path) -> Iterator[Production]:
    """Two days in a DuckDB file, and in BigQuery by a job that was interrupted and started again."""
    path = shutil.copyfile(two_days, tmp_path_factory.mktemp("production") / "w.duckdb")
    with (
        FakeBigQuery() as server,
        serve_company(path) as company,
        secret_manager(company).serve() as secrets,
    ):
        production = Production(
            company.simulator, company.urls, company.settings, company.instance, {}, server, secrets
        )
        with start_cli(*RUN, **production.variables) as process:
            _wait_for(lambda: len(production.loads()) >= LOADS_BEFORE_THE_END, process)
            process.send_signal(signal.SIGTERM)
            production.processes.append(wait_for(process))
        production.run_command(*RUN)
        yield production


def _wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not happened() and process.poll() is None:
        time.sleep(0.01)


def test_interrupted_job_is_completed_by_the_next(production: Production) -> None:
    """SIGTERM interrupts the run, loaded days stay loaded, and the next run succeeds."""
    first, second = production.processes[:2]
    assert (first.returncode, second.returncode) == (1, 0), second.stdout[-2000:]
    assert [entries(process)[-1]["outcome"] for process in (first, second)] == ["interrupted", "success"]
    (end,) = of_event(entries(first), "run_finished")
    assert (end, end["severity"]) == (entries(first)[-1], "ERROR")
    assert "run it again" in end["message"]
    assert not [one for one in entries(first) if "stack_trace" in one]
    rows = production.server.rows("SELECT * FROM ai_usage.ops_runs ORDER BY started_at")
    assert [row["outcome"] for row in rows] == ["interrupted", "success"]
    (_, row) = rows
    assert (row["execution"], row["task_count"], row["image"]) == (
        "ai-usage-daily-abcde", 1, "us-docker.pkg.dev/acme/ai-usage/pipeline@sha256:0",
    )  # fmt: skip
    assert json.loads(row["secret_versions"]) == {
        "projects/acme-ai/secrets/anthropic-admin-key": "2",
        "projects/acme-ai/secrets/cursor-admin-key": "1",
    }
    assert 0 < rows[0]["landed_records"] < rows[0]["landed_records"] + row["landed_records"]


def test_output_is_redacted_entries(production: Production) -> None:
    """Stdout has only log entries, stderr is empty, and neither has a key or an e-mail address."""
    for process in production.processes[:2]:
        assert entries(process)
        assert_redacted(production, process.stdout + process.stderr)


@pytest.mark.parametrize("table", [table.name for table in COMPARED])
def test_both_engines_have_equal_rows(production: Production, table: str) -> None:
    """Every table and view is equal in both engines, row for row and to the last digit."""
    bigquery_rows = rows_of(production.server.rows, table)
    assert bigquery_rows == rows_of(production.rows, table)


def test_a_second_run_loads_nothing(production: Production) -> None:
    """Loading the same days again changes no row and loads no raw day."""
    before = production.bigquery_content()
    production.server.requests.clear()
    result = production.run_in_process()
    assert result.success, result.failures()
    assert production.loads() == []
    assert production.bigquery_content() == before


def test_rebuild_needs_no_vendor(production: Production) -> None:
    """Every model is built again from the raw tables while no vendor is reachable."""
    before = production.bigquery_content()
    for name in ("int_anthropic_cost_daily", "int_cursor_usage_daily", "dim_person"):
        production.server.delete_rows("ai_usage", name)
    unreachable = {"base_url": "http://127.0.0.1:9"}
    result = production.run_in_process(job="rebuild", sources={"anthropic": unreachable, "cursor": unreachable})
    assert result.success, result.failures()
    assert production.bigquery_content() == before


def test_standby_region_does_nothing_after_a_successful_run(production: Production) -> None:
    """`--if-missing` ends at once after a successful run, and `freshness` reports days that are due."""
    request_count = len(production.simulator.requests)
    standby = production.run_command(*RUN, "--if-missing")
    assert (standby.returncode, "Nothing to do" in standby.stdout) == (0, True)
    assert len(production.simulator.requests) == request_count
    assert production.run_command("freshness", "--hours", "26").returncode == 1
