"""Mutates the SQL of one model at a time, which mutmut cannot, and runs the tests that should notice.

Each mutant is one change: an aggregate, a comparison, a number, the default of COALESCE, or the kind of a join.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest
from sqlglot import exp

from ai_usage_assets.warehouse import googlesql

ROOT = Path(__file__).resolve().parents[2]
_PROJECT = ("ai_usage_assets", "ai_usage_assets_tests")
# An exit code that pytest does not have.
_NO_RESULT = 100

# A model, and the test files that are fast and should notice its mutations.
MODELS: Mapping[str, Sequence[str]] = {
    "curated/bridge_attribution_daily": ("test_attribution.py",),
    "curated/fct_cost_daily": ("test_attribution.py", "kpis/test_spend.py"),
    "curated/fct_seat_daily": ("kpis/test_seats.py", "test_attribution.py"),
    "kpi/kpi_budget_vs_actual": ("kpis/test_budget.py",),
    "kpi/kpi_chargeback": ("kpis/test_chargeback.py",),
    "kpi/kpi_reconciliation": ("kpis/test_reconciliation.py",),
    "kpi/kpi_spend_daily": ("kpis/test_spend.py",),
    "kpi/kpi_spend_monthly": ("kpis/test_spend.py",),
    "kpi/kpi_unallocated": ("kpis/test_spend.py", "finance/test_report.py"),
}

_SWAPS: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.Sum: exp.Min, exp.Min: exp.Max, exp.Max: exp.Min, exp.GT: exp.GTE, exp.GTE: exp.GT, exp.LT: exp.LTE,
    exp.LTE: exp.LT, exp.EQ: exp.NEQ, exp.NEQ: exp.EQ, exp.And: exp.Or, exp.Or: exp.And, exp.Add: exp.Sub,
    exp.Sub: exp.Add,
}  # fmt: skip


def _change_number(text: str) -> str:
    """The double of a fraction, or the next whole number."""
    return f"{Decimal(text) * 2:f}" if "." in text else str(int(text) + 1)


def _mutate_node(node: exp.Expr) -> Iterator[Callable[[exp.Expr], exp.Expr | None]]:
    """The changes of one node; each takes the node of a copied tree and returns its replacement."""
    if swapped := _SWAPS.get(type(node)):
        yield lambda copy: swapped(**copy.args)
    if isinstance(node, exp.Literal) and not node.is_string:
        yield lambda copy: exp.Literal.number(_change_number(copy.name))
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.name.replace(".", "").isdigit():
        yield lambda copy: exp.cast(exp.Literal.string(_change_number(copy.this.name)), copy.args["to"])
    if isinstance(node, exp.Coalesce) and node.expressions:
        yield lambda copy: copy.this
    if isinstance(node, exp.Join) and node.side == "LEFT":
        yield lambda copy: exp.Join(**{**copy.args, "side": None})


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """A description and the text of each mutant of a model file."""
    head, _, query = text.partition("\nAS\n")
    nodes = list(googlesql.parse(query).walk())
    for place, node in enumerate(nodes):
        for change in _mutate_node(node):
            tree = googlesql.parse(query)
            old = list(tree.walk())[place]
            # A number says little without what it is part of.
            around = old.parent if isinstance(old, exp.Literal) and old.parent else None
            before = (around or old).sql("bigquery")
            new = change(old)
            old.replace(new)
            after = (around or new).sql("bigquery") if new else ""
            yield f"{before[:120]}  ->  {after[:120]}", f"{head}\nAS\n{tree.sql('bigquery', pretty=True)}\n"


def measure(name: str, folder: Path, minutes: float, processes: int) -> tuple[int, int, list[str]]:
    """The numbers of mutants of a model and of those that were checked in the time, and the survivors.

    They are checked in a random order that is always the same, so that a part of them is a fair sample. Raises
    RuntimeError when the tests fail without a mutant, or pytest ends otherwise than with a result.
    """
    shutil.rmtree(folder, ignore_errors=True)
    copies = [folder / str(number) for number in range(processes)]
    for copy in copies:
        # Copies, so that the project can be edited meanwhile.
        for part in (*_PROJECT, "sql", "deploy"):
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
    file = Path("sql") / f"{name}.sql"
    text = (ROOT / file).read_text()
    _import_libraries(MODELS[name])
    if _is_detected(os.waitpid(_start_tests(copies[0], MODELS[name]), 0)[1], copies[0]):
        raise RuntimeError(f"{', '.join(MODELS[name])} fail without a mutant; see {copies[0]}")
    found = list(mutants(text))
    random.Random(1).shuffle(found)
    survivors: list[str] = []
    running: dict[int, tuple[str, Path]] = {}

    def finish_one() -> None:
        ended, status = os.waitpid(-1, 0)
        description, copy = running.pop(ended)
        if not _is_detected(status, copy):
            survivors.append(description)
        copies.append(copy)

    checked, end = 0, time.monotonic() + minutes * 60
    for description, mutant in found:
        if not copies:
            finish_one()
        if time.monotonic() > end:
            break
        copy = copies.pop()
        (copy / file).write_text(mutant)
        running[_start_tests(copy, MODELS[name])] = description, copy
        checked += 1
    while running:
        finish_one()
    return len(found), checked, survivors


def _import_libraries(tests: Sequence[str]) -> None:
    """Imports what the tests import, so that a fork of this process has it already."""
    for test in ("conftest.py", *tests):
        import_module(f"ai_usage_assets_tests.{test.removesuffix('.py').replace('/', '.')}")


def _start_tests(folder: Path, tests: Sequence[str]) -> int:
    """Runs the tests in a folder with its SQL, in a fork that imports the project again; returns the process id."""
    sys.stdout.flush()
    if process := os.fork():
        return process
    # An exception must not return to the caller, which is a copy of the parent.
    try:
        output = os.open(folder / "pytest.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        for module in [name for name in sys.modules if name.partition(".")[0] in _PROJECT]:
            del sys.modules[module]
        os._exit(
            pytest.main(
                ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
                 *(f"ai_usage_assets_tests/{test}" for test in tests)]
            )
        )  # fmt: skip
    finally:
        os._exit(_NO_RESULT)


def _is_detected(status: int, folder: Path) -> bool:
    """Whether a test failed, from the wait status of the process that ran the tests in the folder."""
    code = os.waitstatus_to_exitcode(status)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {code}; see {folder / 'pytest.log'}")
    return code == pytest.ExitCode.TESTS_FAILED
