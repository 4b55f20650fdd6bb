"""The image: what the Dockerfile says and takes, and its command as process 1 of a root that cannot be written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ai_usage_assets.commands import demo
from ai_usage_assets.settings import PROJECT_ROOT
from ai_usage_assets_tests.conftest import Company, make_company
from ai_usage_assets_tests.deploy import container
from ai_usage_assets_tests.deploy.container import Container
from ai_usage_assets_tests.faults.runs import asked

DAY = date(2026, 11, 19)
# What Cloud Run gives a container that it has asked to end.
GRACE_SECONDS = 10
PATIENCE_SECONDS = 240


def test_a_linter_finds_nothing() -> None:
    """The Dockerfile is what hadolint would write."""
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert linter, "hadolint is in requirements-dev.lock"
    done = subprocess.run([linter, PROJECT_ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_that_is_copied_is_there() -> None:
    """Each source of a COPY exists, and .dockerignore lets the build see it."""
    seen = container.context()
    assert container.copied()
    for source in container.copied():
        assert any(path.as_posix() == source or path.is_relative_to(source) for path in seen), source


def test_what_a_run_needs_is_in_the_image_and_nothing_else() -> None:
    """Every module, query, dashboard and configuration of Dagster is copied; tests, Terraform and data are not."""
    inside = container.image_files()
    folders = (
        ("ai_usage_assets", "*.py"), ("sql", "*.sql"), ("deploy/dagster", "*.yaml"), ("deploy/metabase", "*.sql"),
    )  # fmt: skip
    for folder, pattern in folders:
        wanted = {path.relative_to(PROJECT_ROOT).as_posix() for path in (PROJECT_ROOT / folder).rglob(pattern)}
        assert wanted <= set(inside)
        assert wanted
    assert {path.partition("/")[0] for path in inside} == {
        "ai_usage_assets", "sql", "deploy", "pyproject.toml", "setup.cfg", "README.md", "requirements.lock",
    }  # fmt: skip
    assert all(
        path.startswith(("deploy/dagster/", "deploy/metabase/")) for path in inside if path.startswith("deploy/")
    )
    assert not [path for path in inside if re.search(r"\.(pyc|duckdb|tf|tfvars|env)$|egg-info", path)]


def test_the_image_is_bare() -> None:
    """The last stage installs nothing; what it runs is read by no shell, and belongs to a user who is a number."""
    names = [found.name for found in container.last_stage()]
    assert not [found for found in container.last_stage() if re.search(r"\b(pip|apt-get|curl)\b", found.rest)]
    assert container.of_image("ENTRYPOINT").exec_form == ["ai-usage"]
    assert container.of_image("CMD").exec_form == ["run"]
    user, group = container.of_image("USER").rest.split(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in ("RUN", "COPY"))
    assert "VOLUME" not in names


def test_packages_are_those_of_the_lock() -> None:
    """Everything that pip installs has a hash in the lock, or is this project without its dependencies."""
    building = [found for found in container.instructions() if found not in container.last_stage()]
    lines = [line for found in building if found.name == "RUN" for line in found.rest.split("&&")]
    installing = [line for line in lines if re.search(r"pip\b.* install\b", line)]
    assert len(installing) == 2
    assert all("--no-deps" in line and "--no-cache-dir" in line for line in installing)
    assert "--require-hashes -r requirements.lock" in installing[0]
    assert "--no-build-isolation --editable ." in installing[1]
    # As no file's time is looked at when it is used, every file must be compiled, and after the last one was changed.
    assert "compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /app/ai_usage_assets" in lines[-1]
    assert building[-1].name == "RUN"


def test_the_base_is_pinned_and_supported() -> None:
    """Both stages stand on one tagged Python of those that the suite runs on."""
    bases = [found.rest.split()[0] for found in container.instructions() if found.name == "FROM"]
    assert bases[1:] == ["base"] * (len(bases) - 1)
    assert re.fullmatch(r"python:3\.1[123]-slim", bases[0])


def test_no_secret_is_built_in() -> None:
    """No ARG, ENV or LABEL holds or takes a key; how the image is called is all it is told."""
    for found in container.instructions():
        if found.name in ("ARG", "ENV", "LABEL"):
            assert not re.search(r"(?i)key|secret|token|password|sk-|crsr_", found.rest), found
    assert {found.rest.partition("=")[0] for found in container.instructions() if found.name == "ARG"} == {
        "VERSION", "REVISION", "IMAGE",
    }  # fmt: skip


# --- its command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A company whose one day was loaded by nothing but the job."""
    with make_company(tmp_path_factory.mktemp("undisturbed") / "ai_usage.duckdb") as made:
        company = replace(made, settings=replace(made.settings, start_date=DAY))
        result = company.run(DAY.isoformat())
        assert result.success, result.failures()
        yield company


@pytest.fixture
def box(tmp_path: Path) -> Container:
    """A container that has never run."""
    if reason := container.why_not():
        pytest.skip(reason)
    # Which pytest lets nobody else into.
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    return Container(tmp_path / "container")


def settings_of(company: Company) -> dict[str, str]:
    """The settings under which a container loads the day."""
    return {**demo.environment(company.simulator, company.urls), "AI_USAGE_START_DATE": DAY.isoformat()}


def at_request(company: Company, chosen: int, act: Callable[[], None]):
    """Within the block something is done when the vendors are asked for the n-th time."""
    return asked(company.simulator, lambda number: act() if number == chosen else None)


def test_a_container_that_is_ended_is_whole_and_starts_again(box: Container, undisturbed: Company) -> None:
    """Ended in the middle, the image's command says so; started again, it leaves what an undisturbed run does."""
    own = settings_of(undisturbed)
    with box.start(**own) as running, at_request(undisturbed, 12, lambda: running.signal(signal.SIGTERM)):
        first = running.ended(PATIENCE_SECONDS)
    assert first.returncode == 1, first.stderr
    assert "Interrupted. Days that were loaded stay loaded; run it again." in first.stderr
    second = box.run(**own, CLOUD_RUN_EXECUTION="ai-usage-daily-x", AI_USAGE_IMAGE="registry.test/ai-usage:1.2")
    assert second.returncode == 0, second.stderr
    assert "Traceback" not in first.stderr + second.stderr
    held = replace(undisturbed, settings=replace(undisturbed.settings, duckdb_path=box.data / "ai_usage.duckdb"))
    runs = held.rows("SELECT outcome, execution, image FROM ai_usage.ops_runs ORDER BY started_at")
    assert [tuple(run.values()) for run in runs] == [
        ("interrupted", None, None),
        ("success", "ai-usage-daily-x", "registry.test/ai-usage:1.2"),
    ]
    assert held.content() == undisturbed.content()
    assert [path.name for path in box.data.iterdir()] == ["ai_usage.duckdb"]
    assert [path.name for path in box.tmp.iterdir()] == ["dagster"]


def test_a_container_that_is_ended_before_it_works_stops_at_once(box: Container, undisturbed: Company) -> None:
    """Asked to end while Python and Dagster are only loading, process 1 does not wait to be killed."""
    with box.start(**settings_of(undisturbed)) as running:
        assert running.process.stderr.readline()
        running.signal(signal.SIGTERM)
        done = running.ended(GRACE_SECONDS)
    assert done.returncode == 128 + signal.SIGTERM
    assert not (box.data / "ai_usage.duckdb").exists() or not list(box.data.glob("*.run"))
