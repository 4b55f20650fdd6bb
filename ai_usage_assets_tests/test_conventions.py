"""Conventions of the repository that no linter checks: documents, locks, file sizes, SQL in Python, and names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ai_usage_assets import catalog
from ai_usage_assets.commands import dictionary, settings_page
from ai_usage_assets.warehouse.column_lineage import render_lineage
from ai_usage_assets_tests.support.repository import REPOSITORY

MODULES = sorted((REPOSITORY / "ai_usage_assets").rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in MODULES}

MAX_LINES = 450
MAX_SQL_LINES = 3
_SQL = re.compile(r"\s*(--.*\n\s*)*(SELECT|WITH|INSERT INTO|UPDATE|DELETE FROM|MERGE|CREATE) ")

# Names of an earlier vocabulary, which docs/glossary.md has replaced: functions and classes, and words for any name.
REPLACED_DEFINITIONS = {
    "Moment", "Landed", "_kept", "_held", "_astray", "_worth", "Patience", "Look", "look", "_patiently", "_once",
    "_Problem", "_Budget", "Answer", "follow", "NotExposed", "NotCredible", "PulledDay", "RefusedDay", "Pull",
    "Told", "Trial", "refuse_doubles", "number", "dollars", "dollars_of_all", "dollars_of_parts", "_DataMoved",
    "_file", "_judge", "_Crawl", "Question", "Asking", "BudgetSpent", "Unanswered", "misfits", "add_once",
    "release", "at_work", "look_only", "choose", "between", "block", "windows", "of_run", "covering", "fresh",
    "is_kept", "interrupted", "Subject", "looks_at", "holds", "Story", "Line", "Voice", "overheard", "_Everything",
    "Ended", "as_child", "_attend", "become", "strips", "troubles", "Hindrance", "Draft", "damage", "State",
    "_Teller", "of_month", "beside", "Site", "Thing", "Known", "Memory", "verdict", "Elsewhere", "_Walk", "Lost",
    "almanac", "Plant", "switches", "Robot", "Stay", "books", "ledgers", "lived_in", "loaded",
}  # fmt: skip
REPLACED_WORDS = {"told", "found", "held", "asked", "said", "kept", "named", "worth", "made", "mend", "astray"}


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


def test_locks_have_hashes_and_no_index() -> None:
    """Every requirement is pinned with a hash, and no package index is named."""
    whole_environments = {"requirements.lock", "requirements-dev.lock"}
    locks = {path.name: path.read_text() for path in REPOSITORY.glob("requirements*.lock")}
    assert whole_environments < locks.keys()
    for name, text in locks.items():
        entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
        assert len(entries) > (50 if name in whole_environments else 0), name
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == [], name
        assert not re.search(r"https?://|index-url", text), name


def test_each_test_has_a_docstring_of_one_line() -> None:
    """Each test function states its fact on one line; ruff checks that it exists and ends with a period."""
    paths = sorted((REPOSITORY / "ai_usage_assets_tests").rglob("test_*.py"))
    tests = [
        (f"{path.relative_to(REPOSITORY)}::{node.name}", ast.get_docstring(node) or "")
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(tests) > len(paths) > 50
    assert [name for name, docstring in tests if "\n" in docstring] == []


def test_no_module_is_too_long() -> None:
    """A longer module is split by subject."""
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert [str(path) for path, lines in lengths.items() if lines > MAX_LINES] == []


def test_no_module_has_a_long_sql_statement() -> None:
    """A longer statement moves to sql/queries."""
    long_statements = [
        f"{path.relative_to(REPOSITORY)}: {sql}"
        for path, tree in TREES.items()
        for sql in _strings(tree)
        if _SQL.match(sql) and sql.strip().count("\n") >= MAX_SQL_LINES
    ]
    assert long_statements == []


def test_no_module_has_a_replaced_name() -> None:
    """Functions, classes, variables and arguments have the names of the glossary."""
    replaced = {
        str(path.relative_to(REPOSITORY)): names
        for path, tree in TREES.items()
        if (names := _definitions(tree) & (REPLACED_DEFINITIONS | REPLACED_WORDS) | _variables(tree) & REPLACED_WORDS)
    }
    assert replaced == {}


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
