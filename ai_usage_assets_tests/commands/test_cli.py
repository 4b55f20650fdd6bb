"""What a person types, as processes: exit codes, what is printed, what is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.commands import demo
from ai_usage_assets.settings import Settings
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets_tests.conftest import NOW

Own = dict[str, str]


@pytest.fixture
def simulator() -> Simulator:
    """A company of its own for a test."""
    return Simulator(NOW)


@pytest.fixture
def urls(simulator: Simulator) -> Iterator[Urls]:
    """Where it can be asked."""
    with simulator.serve() as served:
        yield served


@pytest.fixture
def own(simulator: Simulator, urls: Urls, tmp_path: Path) -> Own:
    """The settings of a run against it, in a folder of its own."""
    return {
        **demo.environment(simulator, urls),
        "AI_USAGE_DUCKDB_PATH": str(tmp_path / "w" / "ai_usage.duckdb"),
        "AI_USAGE_START_DATE": "2026-11-01",
    }


def ai_usage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a process that sees nothing of this one's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from ai_usage_assets.cli import main; sys.exit(main())", *arguments],
        env={**kept, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_dry_run_does_nothing(own: Own, simulator: Simulator, tmp_path: Path) -> None:
    """It prints the days and the command, asks nobody, and leaves no file."""
    run = ai_usage("run", "--dry-run", **own)
    assert run.returncode == 0
    assert "2026-11-01 to 2026-11-19 (UTC), 19 days" in run.stderr
    assert "dagster job execute -m ai_usage_assets.definitions -j daily" in run.stderr
    assert simulator.requests == []
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "--day", "2026-11-20"), "not over yet"),
        (("run", "--day", "2031-01-01"), "not over yet"),
        (("run", "--day", "2026-10-31"), "AI_USAGE_START_DATE"),
        (("run", "--day", "soon"), "it takes yesterday"),
        (("run", "--days", "0"), "1 to 3660"),
        (("run", "--job", "weekly"), "invalid choice"),
        (("run", "--days", "99999999999"), "1 to 3660"),
        (("status",), "There is no warehouse"),
        (("status", "--days", "0"), "1 to 3660"),
        (("simulator", "--ports", "0", "0", "99999"), "--ports"),
        (("ui", "--port", "99999"), "--port"),
        (("launch",), "invalid choice"),
        ((), "required"),
    ],
)
def test_a_wrong_wish_exits_two_with_one_line(own: Own, arguments: tuple[str, ...], says: str) -> None:
    """What was asked for wrongly is told in words, with exit code 2, before anything is done."""
    run = ai_usage(*arguments, **own)
    assert run.returncode == 2
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_a_wrong_setting_exits_two_and_names_it(own: Own) -> None:
    """A setting that cannot be used is told by its name."""
    run = ai_usage("run", **{**own, "AI_USAGE_NOW": "noon"})
    assert run.returncode == 2
    assert "AI_USAGE_NOW" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_file_that_is_no_warehouse_is_told_in_a_line(own: Own, tmp_path: Path) -> None:
    """A path that leads to something else is said at once, with the variable to look at, whatever its name."""
    path = tmp_path / "blocks.duckdb"
    path.write_text("not a warehouse")
    run = ai_usage("run", "--days", "1", **{**own, "AI_USAGE_DUCKDB_PATH": str(path)})
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "AI_USAGE_DUCKDB_PATH" in run.stderr.splitlines()[-1]


def test_status_can_be_asked_before_any_run_has_ended(own: Own) -> None:
    """A first run that was killed leaves a warehouse of which status tells the run, not a traceback."""
    warehouse = DuckDBWarehouse(Path(own["AI_USAGE_DUCKDB_PATH"]))
    warehouse.prepare(catalog.tables())
    moment = datetime(2026, 11, 20, 6, tzinfo=UTC)
    run = {"run_id": "r" * 8, "job": "daily", "started_at": moment, "outcome": "running", "version": "1"}
    warehouse.append(OPS_RUNS, [run])
    entry = {"asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": date(2026, 11, 10), "is_daily": True}
    warehouse.append(OPS_ASSET_DAYS, [{**entry, "status": "complete", "attempted_at": moment, "run_id": "r" * 8}])
    warehouse.close()
    told = ai_usage("status", **own)
    assert told.returncode == 0, told.stderr
    assert "The last run was interrupted" in told.stdout


def test_a_simulated_company_is_never_among_real_dollars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a shell is set up for, the demo goes into its own file, and its runs into a history of their own."""
    monkeypatch.setenv("AI_USAGE_WAREHOUSE", "bigquery")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "real")
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql+psycopg2:///real")
    with demo.company() as (_, environment):
        settings = Settings.from_environment(environment)
    assert (settings.warehouse, settings.dagster_postgres_url) == ("duckdb", None)
    assert settings.duckdb_path.parts[-2:] == ("demo", "warehouse.duckdb")
