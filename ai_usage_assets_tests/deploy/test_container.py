"""The image: the Dockerfile, the files it copies, and its command as process 1 of a read-only file system."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ai_usage_assets.commands import demo
from ai_usage_assets_tests.conftest import Company, serve_company
from ai_usage_assets_tests.deploy import container
from ai_usage_assets_tests.deploy.container import Container
from ai_usage_assets_tests.faults.runs import observe_requests
from ai_usage_assets_tests.support.repository import REPOSITORY

DAY = date(2026, 11, 19)
# How long Cloud Run waits for a container to end after SIGTERM.
GRACE_SECONDS = 10
TIMEOUT_SECONDS = 240


def test_hadolint_reports_nothing() -> None:
    """hadolint has no finding about the Dockerfile."""
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert linter, "hadolint is in requirements-dev.lock"
    result = subprocess.run([linter, REPOSITORY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_every_copied_file_exists() -> None:
    """Each source of a COPY exists, and .dockerignore lets the build see it."""
    context = container.build_context()
    assert container.copy_sources()
    for source in container.copy_sources():
        assert any(path.as_posix() == source or path.is_relative_to(source) for path in context), source


def test_the_build_copies_what_a_run_needs_and_nothing_else() -> None:
    """Every module, query, dashboard and Dagster configuration is copied; tests, Terraform and data are not."""
    copied = container.copied_files()
    folders = (
        ("ai_usage_assets", "*.py"), ("sql", "*.sql"), ("deploy/dagster", "*.yaml"), ("deploy/metabase", "*.sql"),
    )  # fmt: skip
    for folder, pattern in folders:
        expected = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / folder).rglob(pattern)}
        assert expected <= set(copied)
        assert expected
    assert {path.partition("/")[0] for path in copied} == {
        "ai_usage_assets", "sql", "deploy", "pyproject.toml", "setup.py", "setup.cfg", "README.md", "LICENSE",
        "requirements.lock",
    }  # fmt: skip
    assert all(
        path.startswith(("deploy/dagster/", "deploy/metabase/")) for path in copied if path.startswith("deploy/")
    )
    assert not [path for path in copied if re.search(r"\.(pyc|duckdb|tf|tfvars|env)$|egg-info", path)]


def test_the_image_installs_nothing_itself() -> None:
    """The last stage installs nothing, its command needs no shell, and its user is a number."""
    names = [instruction.name for instruction in container.last_stage()]
    assert not [entry for entry in container.last_stage() if re.search(r"\b(pip|apt-get|curl)\b", entry.rest)]
    assert container.image_instruction("ENTRYPOINT").exec_form == ["ai-usage"]
    assert container.image_instruction("CMD").exec_form == ["run"]
    user, group = container.image_instruction("USER").rest.split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert "VOLUME" not in names


def test_packages_come_from_the_lock() -> None:
    """Everything that pip installs has a hash in the lock, or is this project without its dependencies."""
    building = [entry for entry in container.instructions() if entry not in container.last_stage()]
    lines = [line for entry in building if entry.name == "RUN" for line in entry.rest.split("&&")]
    installing = [line for line in lines if re.search(r"pip\b.* install\b", line)]
    assert len(installing) == 2
    assert all("--no-deps" in line and "--no-cache-dir" in line for line in installing)
    assert "--require-hashes -r requirements.lock" in installing[0]
    assert installing[1].strip().endswith("--no-build-isolation .")
    # Compiled code is never compared with its source, so compiling must be the last step.
    assert "compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib" in lines[-1]
    assert building[-1].name == "RUN"


def test_the_base_is_pinned_and_supported() -> None:
    """Both stages use one tagged Python of the versions that the test suite runs on."""
    bases = [entry.rest.split()[0] for entry in container.instructions() if entry.name == "FROM"]
    assert bases[1:] == ["base"] * (len(bases) - 1)
    assert re.fullmatch(r"python:3\.1[123]-slim", bases[0])


def test_no_secret_is_built_in() -> None:
    """No ARG, ENV or LABEL holds or takes a key."""
    for entry in container.instructions():
        if entry.name in ("ARG", "ENV", "LABEL"):
            assert not re.search(r"(?i)key|secret|token|password|sk-|crsr_", entry.rest), entry
    assert {entry.rest.partition("=")[0] for entry in container.instructions() if entry.name == "ARG"} == {
        "VERSION", "REVISION", "IMAGE",
    }  # fmt: skip


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company whose one day was loaded by an uninterrupted run."""
    with serve_company(tmp_path_factory.mktemp("uninterrupted") / "warehouse.duckdb") as served:
        company = replace(served, settings=replace(served.settings, start_date=DAY))
        result = company.run(DAY.isoformat())
        assert result.success, result.failures()
        yield company


@pytest.fixture
def box(tmp_path: Path) -> Container:
    """A container that has not run yet."""
    if reason := container.unsupported_reason():
        pytest.skip(reason)
    # pytest creates its folders for one user only; the container has another one.
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    return Container(tmp_path / "container")


def settings_of(company: Company) -> dict[str, str]:
    """The settings under which a container loads the day."""
    return {**demo.simulator_environment(company.simulator, company.urls), "AI_USAGE_START_DATE": DAY.isoformat()}


def on_request(company: Company, chosen: int, act: Callable[[], None]) -> AbstractContextManager[None]:
    """Within the block, `act` is called at the n-th request to the vendors."""
    return observe_requests(company.simulator, lambda number: act() if number == chosen else None)


@pytest.mark.slow
def test_an_interrupted_container_can_run_again(box: Container, uninterrupted: Company) -> None:
    """After SIGTERM in the middle of a run, the next run leaves the same content as an uninterrupted one."""
    own = settings_of(uninterrupted)
    with box.start(**own) as running, on_request(uninterrupted, 12, lambda: running.signal(signal.SIGTERM)):
        first = running.wait(TIMEOUT_SECONDS)
    assert first.returncode == 1, first.stderr
    assert "Interrupted. Days that were loaded stay loaded; run it again." in first.stderr
    second = box.run(**own, CLOUD_RUN_EXECUTION="ai-usage-daily-x", AI_USAGE_IMAGE="registry.test/ai-usage:1.2")
    assert second.returncode == 0, second.stderr
    assert "Traceback" not in first.stderr + second.stderr
    loaded = replace(uninterrupted, settings=replace(uninterrupted.settings, duckdb_path=box.data / "warehouse.duckdb"))
    runs = loaded.rows("SELECT outcome, execution, image FROM ai_usage.ops_runs ORDER BY started_at")
    assert [tuple(run.values()) for run in runs] == [
        ("interrupted", None, None),
        ("success", "ai-usage-daily-x", "registry.test/ai-usage:1.2"),
    ]
    assert loaded.content() == uninterrupted.content()
    assert [path.name for path in box.data.iterdir()] == ["warehouse.duckdb"]
    assert [path.name for path in box.tmp.iterdir()] == ["dagster"]


@pytest.mark.slow
def test_a_container_stops_at_once_while_it_starts(box: Container, uninterrupted: Company) -> None:
    """Process 1 ends on SIGTERM while Python and Dagster are still being imported."""
    with box.start(**settings_of(uninterrupted)) as running:
        assert running.process.stderr
        assert running.process.stderr.readline()
        running.signal(signal.SIGTERM)
        result = running.wait(GRACE_SECONDS)
    assert result.returncode == 128 + signal.SIGTERM
    assert not (box.data / "warehouse.duckdb").exists() or not list(box.data.glob("*.run"))
