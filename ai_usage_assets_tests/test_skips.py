"""The option that fails a session with an unexpected skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ai_usage_assets_tests.support.repository import REPOSITORY

REASON = "PostgreSQL is not installed"


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest on the folder with this plugin only, or with those in the arguments."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "ai_usage_assets_tests.support.skips", "-p", "no:cacheprovider",
         "--rootdir", folder, *arguments, folder],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["one process", "xdist"])
def test_an_unknown_skip_fails_the_session(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """The test is named with its reason; without the option the session passes."""
    (tmp_path / "test_x.py").write_text("import pytest\n\ndef test_x():\n    pytest.skip('some other day')\n")
    result = run_pytest(tmp_path, "--known-skips-only", *workers)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "test_x.py::test_x: some other day" in result.stdout
    assert run_pytest(tmp_path, *workers).returncode == 0


def test_a_module_that_skips_itself_fails_the_session(tmp_path: Path) -> None:
    """A skip during the collection counts too."""
    (tmp_path / "test_x.py").write_text("import pytest\n\npytest.importorskip('no_such_package')\n")
    (tmp_path / "test_y.py").write_text("def test_y():\n    pass\n")
    result = run_pytest(tmp_path, "--known-skips-only")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "no_such_package" in result.stdout


def test_known_skips_and_expected_failures_pass(tmp_path: Path) -> None:
    """A missing program and an expected failure are no surprise."""
    (tmp_path / "test_x.py").write_text(
        "import pytest\n\n"
        f"@pytest.mark.skipif(True, reason={REASON!r})\ndef test_x():\n    pass\n\n"
        "@pytest.mark.xfail\ndef test_y():\n    raise ValueError\n\n"
        "def test_z():\n    pass\n"
    )
    result = run_pytest(tmp_path, "--known-skips-only")
    assert result.returncode == 0, result.stdout + result.stderr
