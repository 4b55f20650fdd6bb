"""The wheel, installed into an empty environment, runs from an empty folder and leaves site-packages unchanged."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ai_usage_assets.commands import demo
from ai_usage_assets_tests.conftest import serve_company
from ai_usage_assets_tests.deploy import container
from ai_usage_assets_tests.support.repository import REPOSITORY, build_wheel

pytestmark = pytest.mark.slow

DAY = "2026-11-19"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel, and the dependencies of the test environment by a path file."""
    folder = tmp_path_factory.mktemp("wheel")
    files = {name: REPOSITORY / path for name, path in container.copied_files().items()}
    wheel = build_wheel(files, folder / "build")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", "--no-deps",
         "--no-index", wheel],
        check=True,
    )  # fmt: skip
    # Path files inside these folders are not read, so the checkout's own installation stays invisible.
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (_site_packages(venv) / "dependencies.pth").write_text("\n".join(packages))
    return venv


def _site_packages(venv: Path) -> Path:
    (folder,) = venv.glob("lib/python*/site-packages")
    return folder


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _command(venv: Path, folder: Path, environment: dict[str, str]) -> Command:
    unset = ("AI_USAGE_", "ANTHROPIC_", "CURSOR_", "DAGSTER_", "PYTHONPATH")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(unset)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [venv / "bin" / "ai-usage", *arguments],
            cwd=folder, env={**clean, **environment}, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    return run


def test_commands_run_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """`run`, `report`, `metabase preview` and `sql check` succeed, and only the working directory changes."""
    before = _hashes(installed)
    folder = tmp_path / "work"
    folder.mkdir()
    with serve_company(tmp_path / "unused.duckdb", people=36) as company:
        environment = {**demo.simulator_environment(company.simulator, company.urls), "AI_USAGE_START_DATE": DAY}
        run = _command(installed, folder, environment)
        for arguments in (
            ["run", "--day", DAY], ["report"], ["metabase", "preview"], ["sql", "check"],
        ):  # fmt: skip
            result = run(*arguments)
            assert result.returncode == 0, (arguments, result.stdout, result.stderr)
    assert (folder / "data" / "warehouse.duckdb").exists()
    assert _hashes(installed) == before


def test_the_demo_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """`ai-usage demo` loads its company below the working directory and reconciles every total."""
    before = _hashes(installed)
    result = _command(installed, tmp_path, {})("demo")
    assert result.returncode == 0, (result.stdout, result.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert (tmp_path / "data" / "demo" / "warehouse.duckdb").exists()
    assert _hashes(installed) == before


def test_missing_sql_files_are_an_error(installed: Path, tmp_path: Path) -> None:
    """Without its SQL files, the package says so and fails."""
    sql = _site_packages(installed) / "ai_usage_assets" / "sql"
    hidden = sql.rename(sql.with_name("hidden"))
    try:
        result = _command(installed, tmp_path, {})("sql", "check")
    finally:
        hidden.rename(sql)
    assert result.returncode != 0
    assert "Reinstall ai-usage" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_types_are_marked(installed: Path) -> None:
    """Type checkers use the annotations of the installed package."""
    assert (_site_packages(installed) / "ai_usage_assets" / "py.typed").exists()
