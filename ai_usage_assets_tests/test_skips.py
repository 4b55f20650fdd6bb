"""The option that fails a session with an unexpected skip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


SKIPPING_TEST = "import pytest\n\ndef test_x():\n    pytest.skip('some other day')\n"


def test_an_unknown_skip_fails_the_session(tmp_path: Path) -> None:
    """A test and a module that skip themselves are named with the reason; without the option the session passes."""
    (tmp_path / "test_x.py").write_text(SKIPPING_TEST)
    (tmp_path / "test_y.py").write_text("import pytest\n\npytest.importorskip('no_such_package')\n")
    result = run_pytest(tmp_path, "--known-skips-only")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "test_x.py::test_x: some other day" in result.stdout
    assert re.search(r"test_y\.py: .*no_such_package", result.stdout)
    assert run_pytest(tmp_path).returncode == 0


def test_a_module_that_skips_itself_fails_the_session(tmp_path: Path) -> None:
    """A skip during the collection alone fails the session."""
    (tmp_path / "test_x.py").write_text("import pytest\n\npytest.importorskip('no_such_package')\n")
    (tmp_path / "test_y.py").write_text("def test_y():\n    pass\n")
    assert run_pytest(tmp_path, "--known-skips-only").returncode == 1


def test_an_unknown_skip_of_a_worker_fails_the_session(tmp_path: Path) -> None:
    """With xdist, the session has the skips of its workers."""
    (tmp_path / "test_x.py").write_text(SKIPPING_TEST)
    result = run_pytest(tmp_path, "--known-skips-only", "-p", "xdist", "-n", "1")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "test_x.py::test_x: some other day" in result.stdout


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
