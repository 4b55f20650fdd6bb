"""The whole daily job on BigQuery: what finance reads there is what it reads on a laptop."""

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
from ai_usage_assets_tests.conftest import HELD, NEXT, Company, Result, make_company
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery, Seen
from ai_usage_assets_tests.faults.runs import ai_usage, command, ended
from ai_usage_assets_tests.test_logs import IN_THE_CLOUD, assert_nothing_secret, entries, held_keys, of_event

RUN = ("run", "--day", NEXT, "--days", "2")
# Of some thirty; the first dozen come before the first entry of the log.
LOADS_BEFORE_THE_END = 18
# What is true of the run, not of the days.
OF_THE_RUN = {"run_id", "landed_run_id"}


@dataclass
class Production(Company):
    """A company whose warehouse is BigQuery, whose keys are in Secret Manager, whose job runs as in Cloud Run."""

    server: FakeBigQuery | None = None
    secrets: str = ""
    said: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """What Terraform sets."""
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

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command as the container starts it."""
        done = ai_usage(*arguments, **self.variables)
        self.said.append(done)
        return done

    def here(self, **changed: Any) -> Result:
        """Runs both days in this process."""
        return self.run(
            HELD,
            NEXT,
            warehouse="bigquery",
            project=self.server.project,
            bigquery_emulator=self.server.url,
            **changed,
        )

    def held(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table and view but the log of runs, in an order of its own."""
        return {table.name: rows_of(self.server.rows, table.name) for table in COMPARED}

    def loads(self) -> list[Seen]:
        """The days that were loaded."""
        return [seen for seen in self.server.requests if seen.kind == "load"]


# Without the log of runs, and what is said of it: another run has another.
COMPARED = [
    table
    for table in catalog.tables()
    if (not table.is_ops_table and table.name != "ops_check_status") or table.name == "ops_asset_days"
]


def rows_of(ask: Any, table: str) -> list[tuple[Any, ...]]:
    rows = ask(f"SELECT * FROM ai_usage.{table}")
    return sorted((tuple(v for k, v in row.items() if k not in OF_THE_RUN) for row in rows), key=repr)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, two_days: Path) -> Iterator[Production]:
    """Two days, pulled once into a file, and by a job that is ended in its midst and started again into BigQuery."""
    path = shutil.copyfile(two_days, tmp_path_factory.mktemp("production") / "w.duckdb")
    with (
        FakeBigQuery() as server,
        make_company(path) as company,
        held_keys(company).serve() as secrets,
    ):
        made = Production(company.simulator, company.urls, company.settings, company.instance, {}, server, secrets)
        with command(*RUN, **made.variables) as process:
            _wait_for(lambda: len(made.loads()) >= LOADS_BEFORE_THE_END, process)
            process.send_signal(signal.SIGTERM)
            made.said.append(ended(process))
        made.command(*RUN)
        yield made


def _wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not happened() and process.poll() is None:
        time.sleep(0.01)


def test_a_job_that_is_ended_says_so_and_the_next_makes_it_whole(production: Production) -> None:
    """SIGTERM ends the run as interrupted with what was landed held; the second start ends well."""
    first, second = production.said[:2]
    assert (first.returncode, second.returncode) == (1, 0), second.stdout[-2000:]
    assert [entries(done)[-1]["outcome"] for done in (first, second)] == ["interrupted", "success"]
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


def test_what_a_job_says_is_entries_and_nothing_secret(production: Production) -> None:
    """All that was said on stdout is an entry, nothing is on stderr, and no key and no address is in any of it."""
    for done in production.said[:2]:
        assert entries(done)
        assert_nothing_secret(production, done.stdout + done.stderr)


@pytest.mark.parametrize("table", [table.name for table in COMPARED])
def test_both_warehouses_hold_the_same(production: Production, table: str) -> None:
    """Row for row and to the last digit, every raw record, fact and finance view is the same in both."""
    theirs = rows_of(production.server.rows, table)
    assert theirs == rows_of(production.rows, table)


def test_a_second_run_loads_nothing(production: Production) -> None:
    """The same days again change no row, and no raw day is sent."""
    before = production.held()
    production.server.requests.clear()
    result = production.here()
    assert result.success, result.failures()
    assert production.loads() == []
    assert production.held() == before


def test_nothing_is_asked_of_a_vendor_by_a_rebuild(production: Production) -> None:
    """Everything after the raw days is made again from them, although no vendor answers."""
    before = production.held()
    for name in ("int_anthropic_cost_daily", "int_cursor_usage_daily", "dim_person"):
        production.server.empty("ai_usage", name)
    unreachable = {"base_url": "http://127.0.0.1:9"}
    result = production.here(job="rebuild", sources={"anthropic": unreachable, "cursor": unreachable})
    assert result.success, result.failures()
    assert production.held() == before


def test_the_standby_finds_that_nothing_is_missing(production: Production) -> None:
    """The copy in the second region ends at once after a good run, and what watches over both is content."""
    asked = len(production.simulator.requests)
    standby = production.command(*RUN, "--if-missing")
    assert (standby.returncode, "Nothing to do" in standby.stdout) == (0, True)
    assert len(production.simulator.requests) == asked
    assert production.command("freshness", "--hours", "26").returncode == 1
