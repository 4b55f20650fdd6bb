"""`make mutants`: mutmut changes one expression of a module at a time, and runs the tests that should notice.

A module is measured in its own folder under build/mutants. MODULES="money kpi/kpi_chargeback" selects modules and
models, MINUTES limits the time of each (default 10).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ai_usage_assets_tests.mutation import models

_BUILD = models.ROOT / "build" / "mutants"
_PACKAGE, _TESTS = "ai_usage_assets", "ai_usage_assets_tests"
_MINUTES = float(os.environ.get("MINUTES", "10"))
_PROCESSES = os.environ.get("PROCESSES", "2")
# The exit code of pytest for a mutant, or the signal that ended it.
_KILLED, _TIMED_OUT, _NO_TEST = (1, 3), (24, -24, 36, 152, 255), (5, 33)

terminal = Console(width=120, highlight=False)


@dataclass(frozen=True)
class Module:
    """A file of the package, and the test files (or single tests) that are fast and should notice its mutations."""

    file: str
    tests: Sequence[str]


# Where amounts are parsed, loaded, added up, posted and formatted.
MODULES: Mapping[str, Module] = {
    "money": Module("sources/money.py", ("sources/test_money.py",)),
    "text": Module("rendering/text.py", ("rendering/test_text.py",)),
    "redaction": Module("redaction.py", ("test_redaction.py",)),
    "decimals": Module("decimals.py", ("finance/test_amounts.py",)),
    "amounts": Module("finance/amounts.py", ("finance/test_amounts.py",)),
    "integrity": Module("finance/close/integrity.py", ("finance/test_integrity.py",)),
    "journal": Module("finance/close/journal.py", ("finance/test_close.py",)),
    "layouts": Module("finance/close/layouts.py", ("finance/test_integrity.py",)),
    "records": Module("landing/records.py", ("test_landing.py", "test_redaction.py")),
    "extracts": Module("landing/extracts.py", ("test_landing.py",)),
    "sheet": Module("landing/sheet.py", ("test_landing_sheet.py",)),
    "events": Module("sources/cursor/events.py", ("sources/test_cursor.py",)),
    "analytics": Module("sources/anthropic/analytics.py", ("sources/test_anthropic.py",)),
    "checks": Module("checks/base.py", ("checks/test_base.py",)),
    "spend": Module("checks/spend.py", ("checks/test_base.py",)),
}


@dataclass(frozen=True)
class Score:
    """How many mutants of a file the tests detected, and which not. `untested` counts those that no test runs."""

    detected: int
    timed_out: int
    survivors: Sequence[str]
    untested: Counter[str]
    unchecked: int

    @property
    def checked(self) -> int:
        """The number of mutants with a result."""
        return self.detected + len(self.survivors) + self.untested.total()


def prepare(module: Module, folder: Path) -> None:
    """Creates the folder that mutmut runs in, with its settings for this module and without earlier results."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in (_PACKAGE, _TESTS, "sql", "deploy"):
        (folder / name).symlink_to(models.ROOT / name)
    project = tomllib.loads((models.ROOT / "pyproject.toml").read_text())
    sections = {
        "tool.pytest.ini_options": project["tool"]["pytest"]["ini_options"],
        "tool.mutmut": {
            "source_paths": [_PACKAGE],
            "only_mutate": [f"{_PACKAGE}/{module.file}"],
            "also_copy": [_TESTS, "sql", "deploy"],
            "pytest_add_cli_args_test_selection": [f"{_TESTS}/{test}" for test in module.tests],
            "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:xdist"],
            # The machine may be busy.
            "timeout_constant": 60.0,
            "use_git_change_detection": False,
        },
    }
    lines = (
        line
        for section, values in sections.items()
        for line in (f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()))
    )
    (folder / "pyproject.toml").write_text("\n".join(lines) + "\n")


def run_mutmut(folder: Path) -> None:
    """Runs mutmut until every mutant is checked or the time is over."""
    with (folder / "mutmut.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mutmut", "run", "--max-children", _PROCESSES],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")},
            start_new_session=True,
        )
        try:
            process.wait(_MINUTES * 60)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stopped:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            if isinstance(stopped, KeyboardInterrupt):
                raise


def read_score(module: Module, folder: Path) -> Score | None:
    """Reads the results of a module; None when mutmut has made no mutants."""
    path = folder / "mutants" / _PACKAGE / f"{module.file}.meta"
    if not path.exists():
        return None
    exit_codes: dict[str, int | None] = json.loads(path.read_text())["exit_code_by_key"]
    counts = Counter(exit_codes.values())
    timed_out = sum(counts[code] for code in _TIMED_OUT)
    untested = Counter(name.rpartition("__mutmut")[0] for name, code in exit_codes.items() if code in _NO_TEST)
    other = (None, *_KILLED, *_TIMED_OUT, *_NO_TEST)
    survivors = [name for name, code in exit_codes.items() if code not in other]
    return Score(sum(counts[code] for code in _KILLED) + timed_out, timed_out, survivors, untested, counts[None])


def measure_module(name: str) -> tuple[str, Score | None]:
    """Measures a module of the package; None when mutmut ended before it ran a mutant."""
    module, folder = MODULES[name], _BUILD / name
    prepare(module, folder)
    run_mutmut(folder)
    score = read_score(module, folder)
    return module.file, score if score and score.checked else None


def measure_model(name: str) -> tuple[str, Score | None]:
    """Measures a model; None when its tests fail without a mutant or pytest is ended."""
    try:
        found, checked, survivors = models.measure(name, _BUILD / name, _MINUTES, int(_PROCESSES))
    except RuntimeError as error:
        terminal.print(str(error), markup=False)
        return f"sql/{name}.sql", None
    return f"sql/{name}.sql", Score(checked - len(survivors), 0, survivors, Counter(), found - checked)


def main(names: Sequence[str]) -> int:
    """Measures modules and models; prints their survivors and scores. Returns 1 when one could not be measured."""
    known = [*MODULES, *models.MODELS]
    if unknown := {*names}.difference(known):
        terminal.print(f"Unknown: {', '.join(sorted(unknown))}. Known: {', '.join(known)}.")
        return 2
    table = Table("file", "mutants", "checked", "detected", "by timeout", "survived", "not run", "score")
    failed = False
    for name in names or known:
        file, score = measure_module(name) if name in MODULES else measure_model(name)
        if score is None:
            terminal.print(f"{file} was not measured; see {_BUILD / name}")
            failed = True
            continue
        for survivor in score.survivors:
            terminal.print(f"{file}: {survivor} survived", markup=False, soft_wrap=True)
        for function, count in score.untested.items():
            terminal.print(f"{file}: no test runs {function}, {count} mutants", markup=False, soft_wrap=True)
        numbers = (score.checked + score.unchecked, score.checked, score.detected, score.timed_out)
        untested = score.untested.total()
        share = f"{score.detected / score.checked:.1%}" if score.checked else "–"
        table.add_row(file, *map(str, (*numbers, len(score.survivors), untested)), share)
    terminal.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or os.environ.get("MODULES", "").split()))
