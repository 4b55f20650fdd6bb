"""Mutates the SQL of one model at a time, which mutmut cannot, and runs the tests that should notice.

Each mutant is one change: an aggregate, a comparison, a number, the default of COALESCE, or the kind of a join.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from sqlglot import exp

from ai_usage_assets.warehouse import googlesql

ROOT = Path(__file__).resolve().parents[2]

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
            before = old.sql("bigquery")
            new = change(old)
            after = new.sql("bigquery") if new else ""
            old.replace(new)
            yield f"{before[:90]}  ->  {after[:90]}", f"{head}\nAS\n{tree.sql('bigquery', pretty=True)}\n"


def detects(folder: Path, tests: Sequence[str]) -> bool:
    """Whether a test fails."""
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         *(f"ai_usage_assets_tests/{test}" for test in tests)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, check=False,
    )  # fmt: skip
    if process.returncode not in (0, 1):
        raise RuntimeError(process.stdout.decode()[-2000:])
    return process.returncode == 1


def measure(name: str, folder: Path, minutes: float) -> tuple[int, int, list[str]]:
    """The numbers of mutants of a model and of those that were checked in the time, and the survivors.

    They are checked in a random order that is always the same, so that a part of them is a fair sample. Raises
    RuntimeError when the tests fail without a mutant.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for link in ("ai_usage_assets", "ai_usage_assets_tests", "deploy", "pyproject.toml"):
        (folder / link).symlink_to(ROOT / link)
    shutil.copytree(ROOT / "sql", folder / "sql")
    path = folder / "sql" / f"{name}.sql"
    text = path.read_text()
    if detects(folder, MODELS[name]):
        raise RuntimeError(f"{', '.join(MODELS[name])} fail without a mutant")
    found = list(mutants(text))
    random.Random(1).shuffle(found)
    survivors, checked, end = [], 0, time.monotonic() + minutes * 60
    for description, mutant in found:
        if time.monotonic() > end:
            break
        path.write_text(mutant)
        checked += 1
        if not detects(folder, MODELS[name]):
            survivors.append(description)
    return len(found), checked, survivors
