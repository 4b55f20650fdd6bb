"""Conventions of the repository that no linter checks: documents, locks, file sizes, SQL in Python, and names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.commands import dictionary, settings_page
from ai_usage_assets.warehouse.column_lineage import render_lineage
from ai_usage_assets_tests.support.repository import REPOSITORY

TESTS = sorted((REPOSITORY / "ai_usage_assets_tests").rglob("test_*.py"))
MODULES = sorted((REPOSITORY / "ai_usage_assets").rglob("*.py"))

MAX_LINES = 450
MAX_SQL_LINES = 3
_SQL = re.compile(r"\s*(--.*\n\s*)*(SELECT|WITH|INSERT INTO|UPDATE|DELETE FROM|MERGE|CREATE) ")

# Names of an earlier vocabulary, which docs/glossary.md has replaced: functions and classes, and words for any name.
REPLACED_DEFINITIONS = frozenset(
    [
        "Moment",
        "Landed",
        "_kept",
        "_held",
        "_astray",
        "_worth",
        "Patience",
        "Look",
        "look",
        "_patiently",
        "_once",
        "_Problem",
        "_Budget",
        "Answer",
        "follow",
        "NotExposed",
        "NotCredible",
        "PulledDay",
        "RefusedDay",
        "Pull",
        "Told",
        "Trial",
        "refuse_doubles",
        "number",
        "dollars",
        "dollars_of_all",
        "dollars_of_parts",
        "_DataMoved",
        "_file",
        "_judge",
        "_Crawl",
        "Question",
        "Asking",
        "BudgetSpent",
        "Unanswered",
        "misfits",
        "add_once",
        "release",
        "at_work",
        "look_only",
        "choose",
        "between",
        "block",
        "windows",
        "of_run",
        "covering",
        "fresh",
        "is_kept",
        "interrupted",
        "Subject",
        "looks_at",
        "holds",
        "Story",
        "Line",
        "Voice",
        "overheard",
        "_Everything",
        "Ended",
        "as_child",
        "_attend",
        "become",
        "strips",
        "troubles",
        "Hindrance",
        "Draft",
        "damage",
        "State",
        "_Teller",
        "of_month",
        "beside",
        "Site",
        "Thing",
        "Known",
        "Memory",
        "verdict",
        "Elsewhere",
        "_Walk",
        "Lost",
        "almanac",
        "Plant",
        "switches",
        "Robot",
        "Stay",
        "books",
        "ledgers",
        "lived_in",
        "loaded",
    ]
)
REPLACED_WORDS = frozenset(
    ["told", "found", "held", "asked", "said", "kept", "named", "worth", "made", "mend", "astray"]
)


def test_the_data_dictionary_is_current() -> None:
    """docs/data_dictionary.md is the output of `make dictionary`."""
    stored = (REPOSITORY / "docs" / "data_dictionary.md").read_text()
    assert stored == dictionary.render_dictionary(), "run `make dictionary`"


def test_the_settings_page_is_current() -> None:
    """docs/settings.md is the output of `make settings`."""
    stored = (REPOSITORY / "docs" / "settings.md").read_text()
    assert stored == settings_page.render_settings(), "run `make settings`"


def test_the_column_lineage_is_current() -> None:
    """sql/column_lineage.json is the output of `make dictionary`."""
    stored = (REPOSITORY / "sql" / "column_lineage.json").read_text()
    assert stored == render_lineage(catalog.tables()), "run `make dictionary`"


@pytest.mark.parametrize("name", sorted(path.name for path in REPOSITORY.glob("requirements*.lock")))
def test_locks_have_hashes_and_no_index(name: str) -> None:
    """Every requirement is pinned with a hash, and no package index is named."""
    text = (REPOSITORY / name).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
    # These two list the whole environment.
    assert len(entries) > (50 if name in ("requirements.lock", "requirements-dev.lock") else 0)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://|index-url", text)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_each_test_has_a_docstring_of_one_sentence(path: Path) -> None:
    """Each test function states its fact on one line that ends with a period."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            docstring = ast.get_docstring(node) or ""
            assert docstring.endswith("."), node.name
            assert "\n" not in docstring, node.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_modules_keep_the_conventions(path: Path) -> None:
    """Each module has a docstring, a limited size, no long SQL statement and no replaced name."""
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MAX_LINES, "split the module by subject"
    assert [sql for sql in _strings(tree) if _SQL.match(sql) and sql.strip().count("\n") >= MAX_SQL_LINES] == [], (
        "move the statement to sql/queries"
    )
    assert _definitions(tree) & (REPLACED_DEFINITIONS | REPLACED_WORDS) == set()
    assert _variables(tree) & REPLACED_WORDS == set()


def _strings(tree: ast.AST) -> Iterator[str]:
    """String literals, with the fields of f-strings as `?`."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def _definitions(tree: ast.AST) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def _variables(tree: ast.AST) -> set[str]:
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def test_settings_are_the_only_reader_of_the_environment() -> None:
    """Only `settings` reads environment variables; commands that start a process pass the environment on."""
    readers = {path.name for path in MODULES if re.search(r"os\.environ(?!,|\})|getenv", path.read_text())}
    assert readers <= {"log_settings.py", "launch.py", "demo.py"}


def test_help_does_not_import_dagster() -> None:
    """`ai-usage --help` starts without Dagster and DuckDB, which take seconds to import."""
    code = "import sys, ai_usage_assets.cli; sys.exit('dagster' in sys.modules or 'duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
