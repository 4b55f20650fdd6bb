"""Dagster's history of runs in a database that several machines share, on a real PostgreSQL."""

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

import dagster as dg
import pytest

from ai_usage_assets import cli
from ai_usage_assets.commands import launch
from ai_usage_assets.days import DayRange
from ai_usage_assets.settings import Settings
from ai_usage_assets_tests.conftest import HELD, NOW, Company
from ai_usage_assets_tests.faults.runs import ai_usage

# PostgreSQL refuses to be root.
NOBODY = 65534
PASSWORD = "kept-to-itself"
# Where packages may lie beside the environment.
_PATH = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def _programs() -> Path | None:
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a database of its own, which ends with the module."""
    programs = _programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    # Not below pytest's folder: the name of a socket holds a hundred letters, and nobody else may enter there.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder, environment = Path(name), {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": name}
        if user:
            os.chown(folder, NOBODY, NOBODY)
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", "dagster", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, capture_output=True, env=environment, **user,
        )  # fmt: skip
        # Without an address: only through its socket.
        line = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-F"]
        with (folder / "log").open("wb") as log, subprocess.Popen(line, env=environment, stderr=log, **user) as server:
            try:
                ask = [programs / "pg_isready", "-q", "-h", folder]
                while subprocess.run(ask, check=False, env=environment).returncode:
                    assert server.poll() is None, (folder / "log").read_text()
                    time.sleep(0.05)
                yield f"postgresql+psycopg2://dagster:{PASSWORD}@/postgres?host={folder}"
            finally:
                # At once, connections or not.
                server.send_signal(2)
                server.wait(timeout=60)


def test_runs_of_all_machines_are_in_one_history(
    company: Company, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run leaves its events in the database alone, and whoever has the address finds them from a home of its own."""
    monkeypatch.setenv("DAGSTER_PG_URL", url)
    day = date.fromisoformat(HELD)
    for home in ("here", "there"):
        settings = replace(company.settings, dagster_home=tmp_path / home, dagster_postgres=url)
        launch.job(settings, DayRange(day, day), "daily")._make_home()
    with dg.DagsterInstance.from_config(str(tmp_path / "here" / "postgres")) as here:
        result = replace(company, instance=here).run(HELD, lane="cursor_usage_events")
        assert result.success, result.failures()
    with dg.DagsterInstance.from_config(str(tmp_path / "there" / "postgres")) as there:
        (run,) = there.get_runs(dg.RunsFilter(job_name="daily"))
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert there.get_materialized_partitions(dg.AssetKey("raw_cursor_usage_events")) == {HELD}
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*here/**/*") if path.is_file()]
    assert sorted(files) == ["here/postgres/dagster.yaml", "there/postgres/dagster.yaml"]


def test_a_database_that_does_not_answer_is_told_in_a_line(url: str, tmp_path: Path) -> None:
    """Without its database a run ends before it asks a vendor, with a line that says what to do and no password."""
    own = {
        "DAGSTER_PG_URL": url.replace("host=", "host=/nowhere"),
        "AI_USAGE_DUCKDB_PATH": str(tmp_path / "ai_usage.duckdb"),
        "AI_USAGE_NOW": NOW.isoformat(),
        **_PATH,
    }
    done = ai_usage("run", "--days", "1", **own)
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert "The database of DAGSTER_PG_URL cannot be used" in told
    assert "unset the variable" in told
    assert PASSWORD not in told
    assert "Traceback" not in told


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "mysql"])
def test_an_address_of_another_driver_is_refused(
    scheme: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address that SQLAlchemy would read as another driver's is told by its variable, and not shown."""
    monkeypatch.setenv("DAGSTER_PG_URL", f"{scheme}://dagster:{PASSWORD}@127.0.0.1/dagster")
    assert cli.main(["run", "--dry-run"]) == 2
    told = capsys.readouterr().err
    assert "DAGSTER_PG_URL takes an address that begins with postgresql+psycopg2://" in " ".join(told.split())
    assert PASSWORD not in told


def test_each_kind_of_history_has_a_home_of_its_own(tmp_path: Path) -> None:
    """A home that holds files of the one kind is never given to the other."""
    alone = Settings(dagster_home=tmp_path)
    shared = Settings(dagster_home=tmp_path, dagster_postgres="postgresql+psycopg2:///dagster")
    assert launch.home(alone) == tmp_path
    assert launch.home(shared) == tmp_path / "postgres"
    assert "psycopg2" not in repr(shared)
