"""The house itself: documents that follow the code, a lock that names no index, tests that say what they prove."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from ai_usage_assets.commands import dictionary
from ai_usage_assets_tests.support.repository import REPOSITORY

TESTS = sorted((REPOSITORY / "ai_usage_assets_tests").rglob("test_*.py"))
MODULES = sorted((REPOSITORY / "ai_usage_assets").rglob("*.py"))


def test_the_dictionary_is_of_these_schemas() -> None:
    """docs/data_dictionary.md is what `make dictionary` makes today."""
    assert (REPOSITORY / "docs" / "data_dictionary.md").read_text() == dictionary.markdown(), "run `make dictionary`"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_hashes_and_no_index(name: str) -> None:
    """Every requirement is pinned with a hash, and no package index is named."""
    text = (REPOSITORY / name).read_text()
    pins = re.findall(r"^([A-Za-z0-9_.-]+)==", text, flags=re.MULTILINE)
    entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(pins) > 50
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|index-url", text)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_every_test_says_what_it_proves_in_a_sentence(path) -> None:
    """Each test function has a docstring of one sentence."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            docstring = ast.get_docstring(node) or ""
            assert docstring.endswith("."), node.name
            assert "\n" not in docstring, node.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_module_has_a_docstring(path) -> None:
    """Each module states in its docstring what it does."""
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_environment_has_one_reader() -> None:
    """Only settings read environment variables; the rest of the package is told."""
    readers = {path.name for path in MODULES if re.search(r"os\.environ(?!,|\})|getenv", path.read_text())}
    assert readers <= {"settings.py", "launch.py", "demo.py"}


def test_help_answers_without_loading_dagster() -> None:
    """`ai-usage --help` and a dry run do not pay for Dagster."""
    code = "import sys, ai_usage_assets.cli; sys.exit('dagster' in sys.modules or 'duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
