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
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, Company, serve_company
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery, RecordedRequest
from ai_usage_assets_tests.fakes.secret_manager import FakeSecretManager
from ai_usage_assets_tests.faults.runs import run_cli, start_cli, wait_for
from ai_usage_assets_tests.support.cli import call_main
from ai_usage_assets_tests.test_logs import IN_THE_CLOUD, entries, of_event

ANTHROPIC_SECRET, CURSOR_SECRET = (f"projects/acme-ai/secrets/{vendor}-admin-key" for vendor in ("anthropic", "cursor"))
RUN = ("run", "--day", NEXT_DAY, "--days", "2")
# Of twelve, one for each extract.
LOADS_BEFORE_THE_END = 7
# Columns that differ between two runs of the same days.
RUN_COLUMNS = {"run_id", "landed_run_id"}

# By table: its rows, sorted.
Content = dict[str, list[tuple[Any, ...]]]


@dataclass
class Production(Company):
    """A company with a BigQuery warehouse, keys in Secret Manager, and a job as in Cloud Run."""

    server: FakeBigQuery = field(kw_only=True)
    secrets_url: str = field(kw_only=True)
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
            "ANTHROPIC_ADMIN_KEY": f"{ANTHROPIC_SECRET}/versions/latest",
            "CURSOR_ADMIN_KEY": f"{CURSOR_SECRET}/versions/latest",
            "SECRET_MANAGER_EMULATOR_HOST": self.secrets_url,
            "CLOUD_RUN_EXECUTION": "ai-usage-daily-abcde",
            "AI_USAGE_IMAGE": "us-docker.pkg.dev/acme/ai-usage/pipeline@sha256:0",
        }

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command as the container does."""
        process = run_cli(*arguments, **self.variables)
        self.processes.append(process)
        return process

    def bigquery_content(self) -> Content:
        """Every row of the compared tables of BigQuery, sorted."""
        return {table.name: read_rows(self.server.rows, table.name) for table in COMPARED}

    def duckdb_content(self) -> Content:
        """Every row of the compared tables of the DuckDB file, sorted."""
        return {table.name: read_rows(self.rows, table.name) for table in COMPARED}

    def loads(self) -> list[RecordedRequest]:
        """The requests that loaded the days of an extract."""
        return [seen for seen in self.server.requests if seen.kind == "load"]


# Without the run log and the results of checks, which differ between runs.
COMPARED = [
    table
    for table in catalog.tables()
    if not table.is_view and (table not in OPS_TABLES or table.name == "ops_asset_days")
]


def read_rows(query: Callable[[str], list[dict[str, Any]]], table: str) -> list[tuple[Any, ...]]:
    """The rows of a table, sorted."""
    rows = query(f"SELECT * FROM ai_usage.{table}")
    return sorted((tuple(v for k, v in row.items() if k not in RUN_COLUMNS) for row in rows), key=repr)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, two_days: Path) -> Iterator[Production]:
    """Two days in a DuckDB file, and in BigQuery by a job that was interrupted and started again."""
    path = shutil.copyfile(two_days, tmp_path_factory.mktemp("production") / "w.duckdb")
    with (
        FakeBigQuery() as server,
        serve_company(path) as company,
        FakeSecretManager(
            {ANTHROPIC_SECRET: ["old", company.simulator.ANTHROPIC_KEY], CURSOR_SECRET: [company.simulator.CURSOR_KEY]}
        ).serve() as secrets_url,
    ):
        production = Production(
            company.simulator, company.urls, company.settings, server=server, secrets_url=secrets_url
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
        ANTHROPIC_SECRET: "2",
        CURSOR_SECRET: "1",
    }
    # The second job loaded what the first had not, and nothing again.
    (logged,) = production.server.rows("SELECT SUM(records) AS n FROM ai_usage.ops_asset_days WHERE vendor <> 'sheet'")
    landed = [run["landed_records"] for run in rows]
    assert (min(landed) > 0, sum(landed)) == (True, logged["n"])


def test_output_is_redacted_entries(production: Production) -> None:
    """Stdout has only log entries, stderr is empty, and neither has a key or an e-mail address."""
    for process in production.processes[:2]:
        assert entries(process)
        for secret in (production.simulator.ANTHROPIC_KEY, production.simulator.CURSOR_KEY, "@acme.test"):
            assert secret not in process.stdout + process.stderr


def test_both_engines_have_equal_rows(production: Production) -> None:
    """Every table is equal in both engines, row for row and to the last digit, and every view has its query."""
    bigquery, duckdb = production.bigquery_content(), production.duckdb_content()
    assert [name for name in duckdb if bigquery[name] != duckdb[name]] == []
    assert len(duckdb["int_anthropic_cost_daily"]) > 100
    stored = production.server.catalog.datasets["ai_usage"].tables
    views = [table for table in catalog.tables() if table.is_view]
    assert [view.name for view in views if stored[view.name].query != view.query] == []
    # One view with most of the others behind it.
    assert read_rows(production.server.rows, "fct_cost_daily") == read_rows(production.rows, "fct_cost_daily")


def test_rebuild_needs_no_vendor(production: Production) -> None:
    """Every model is built again from the raw tables while no vendor is reachable; no raw day is loaded."""
    before = production.bigquery_content()
    for name in ("int_anthropic_cost_daily", "int_cursor_usage_daily", "dim_person"):
        production.server.delete_rows("ai_usage", name)
    production.server.requests.clear()
    unreachable = {"base_url": "http://127.0.0.1:9"}
    result = production.run(
        LOADED_DAY,
        NEXT_DAY,
        job="rebuild",
        sources={"anthropic": unreachable, "cursor": unreachable},
        warehouse="bigquery",
        project=production.server.project,
        bigquery_emulator=production.server.url,
    )
    assert result.success, result.failures()
    assert production.loads() == []
    assert production.bigquery_content() == before


def test_standby_region_does_nothing_after_a_successful_run(production: Production) -> None:
    """`--if-missing` ends at once after a successful run, and `freshness` reports days that are due."""
    request_count = len(production.simulator.requests)
    production.server.requests.clear()
    variables = {**production.variables, "AI_USAGE_LOGS": "console"}
    standby = call_main(*RUN, "--if-missing", **variables)
    assert (standby.returncode, "Nothing to do" in standby.stdout + standby.stderr) == (0, True)
    assert len(production.simulator.requests) == request_count
    assert len(production.server.requests) <= 5
    production.server.requests.clear()
    assert call_main("freshness", "--hours", "26", **variables).returncode == 1
    assert len(production.server.requests) <= 5
