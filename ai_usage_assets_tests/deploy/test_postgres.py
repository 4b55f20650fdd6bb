"""Tests the shared Dagster run history on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ai_usage_assets.commands import launch
from ai_usage_assets.days import DayRange
from ai_usage_assets.settings import Settings
from ai_usage_assets_tests.conftest import LOADED_DAY, NOW, Company, copy_empty_warehouse
from ai_usage_assets_tests.support.cli import call_main

# PostgreSQL refuses to run as root.
NOBODY = 65534
PASSWORD = "kept-to-itself"


def _find_postgres() -> Path | None:
    executable = shutil.which("postgres")
    folders = [Path(executable).resolve().parent] if executable else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a PostgreSQL server that stops with the module."""
    programs = _find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    user: Any = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    # Not in pytest's folder: a socket path has at most about 100 characters, and other users cannot enter that folder.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder, environment = Path(name), {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": name}
        if user:
            os.chown(folder, NOBODY, NOBODY)
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "dagster", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, env=environment, **user,
        )  # fmt: skip
        # Listens on its socket only.
        line: list[str | Path] = [
            programs / "postgres",
            "-D",
            folder / "data",
            "-k",
            folder,
            "-c",
            "listen_addresses=",
            "-F",
        ]
        with (folder / "log").open("wb") as log, subprocess.Popen(line, env=environment, stderr=log, **user) as server:
            try:
                ask: list[str | Path] = [programs / "pg_isready", "-q", "-h", folder]
                while subprocess.run(ask, check=False, env=environment).returncode:
                    assert server.poll() is None, (folder / "log").read_text()
                    time.sleep(0.05)
                yield f"postgresql+psycopg2://dagster:{PASSWORD}@/postgres?host={folder}"
            finally:
                # Fast shutdown, which closes open connections.
                server.send_signal(2)
                server.wait(timeout=60)


def test_machines_share_one_run_history(
    company: Company, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run writes its events only to the database, and another DAGSTER_HOME with the same address reads them."""
    monkeypatch.setenv("DAGSTER_PG_URL", url)
    day = date.fromisoformat(LOADED_DAY)
    for home in ("here", "there"):
        settings = replace(company.settings, dagster_home=tmp_path / home, dagster_postgres_url=url)
        launch.job_command(settings, DayRange(day, day), "daily").prepare_home()
    with dg.DagsterInstance.from_config(str(tmp_path / "here" / "postgres")) as here:
        result = replace(company, _instance=here).run(LOADED_DAY, selection="cursor_usage_events")
        assert result.success, result.failures()
    with dg.DagsterInstance.from_config(str(tmp_path / "there" / "postgres")) as there:
        (run,) = there.get_runs(dg.RunsFilter(job_name="daily"))
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert there.get_materialized_partitions(dg.AssetKey("raw_cursor_usage_events")) == {LOADED_DAY}
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*here/**/*") if path.is_file()]
    assert sorted(files) == ["here/postgres/dagster.yaml", "there/postgres/dagster.yaml"]


def test_an_unreachable_database_is_one_error(url: str, tmp_path: Path) -> None:
    """Without its database a run exits before the first request, with a message without the password."""
    environment = {
        "DAGSTER_PG_URL": url.replace("host=", "host=/nowhere"),
        "AI_USAGE_DUCKDB_PATH": str(copy_empty_warehouse(tmp_path / "ai_usage.duckdb")),
        "AI_USAGE_NOW": NOW.isoformat(),
    }
    completed = call_main("run", "--days", "1", **environment)
    assert completed.returncode == 1
    assert "DAGSTER_PG_URL" in completed.stderr
    assert "unset the variable" in completed.stderr
    assert PASSWORD not in completed.stderr


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "mysql"])
def test_an_address_of_another_driver_is_rejected(scheme: str) -> None:
    """The error for an address of another driver names the variable and not the address."""
    url = f"{scheme}://dagster:{PASSWORD}@127.0.0.1/dagster"
    refused = call_main("run", "--dry-run", DAGSTER_PG_URL=url)
    assert refused.returncode == 2
    assert "DAGSTER_PG_URL" in refused.stderr
    assert "postgresql+psycopg2://" in refused.stderr
    assert PASSWORD not in refused.stderr


def test_file_and_postgres_histories_have_separate_homes(tmp_path: Path) -> None:
    """A DAGSTER_HOME with a file-based history is not used for PostgreSQL, and vice versa."""
    file_based = Settings(dagster_home=tmp_path)
    shared = Settings(dagster_home=tmp_path, dagster_postgres_url="postgresql+psycopg2:///dagster")
    assert launch.dagster_home(file_based) == tmp_path
    assert launch.dagster_home(shared) == tmp_path / "postgres"
    assert "psycopg2" not in repr(shared)
