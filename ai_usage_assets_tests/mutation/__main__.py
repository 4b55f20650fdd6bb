"""`make mutants`: mutmut changes one expression of a module at a time, and runs the tests that should notice.

A module is measured in its own folder under build/mutants, which keeps the results: an interrupted measurement
continues. MODULES="money amounts" selects modules, MINUTES limits the time of each (default 10).
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

_ROOT = Path(__file__).resolve().parents[2]
_BUILD = _ROOT / "build" / "mutants"
_PACKAGE, _TESTS = "ai_usage_assets", "ai_usage_assets_tests"
_MINUTES = float(os.environ.get("MINUTES", "10"))
_PROCESSES = os.environ.get("PROCESSES", "2")
# The exit code of pytest for a mutant, or the signal that ended it.
_KILLED, _TIMED_OUT = (1, 3), (24, -24, 36, 152, 255)

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
    "redaction": Module("redaction.py", ("test_redaction.py", "http/test_client.py::test_redact")),
    "amounts": Module("finance/amounts.py", ("finance/test_amounts.py",)),
    "integrity": Module("finance/close/integrity.py", ("finance/test_integrity.py",)),
    "journal": Module("finance/close/journal.py", ("finance/test_close.py",)),
    "layouts": Module("finance/close/layouts.py", ("finance/test_integrity.py",)),
    "records": Module("landing/records.py", ("test_landing.py", "test_redaction.py")),
    "extracts": Module("landing/extracts.py", ("test_landing.py",)),
    "sheet": Module("landing/sheet.py", ("sources/test_mapping_sheet.py",)),
    "events": Module("sources/cursor/events.py", ("sources/test_cursor.py",)),
    "analytics": Module("sources/anthropic/analytics.py", ("sources/test_anthropic.py",)),
    "checks": Module("checks/base.py", ("checks/test_base.py",)),
    "spend": Module("checks/spend.py", ("checks/test_spend.py",)),
}


@dataclass(frozen=True)
class Score:
    """How many mutants of a module the tests detected, and the names of the others."""

    detected: int
    timed_out: int
    survivors: Sequence[str]
    unchecked: int

    @property
    def checked(self) -> int:
        """The number of mutants that were run."""
        return self.detected + len(self.survivors)


def prepare(module: Module, folder: Path) -> None:
    """Creates the folder that mutmut runs in, with its settings for this module."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (_PACKAGE, _TESTS, "sql", "deploy"):
        link = folder / name
        if not link.exists():
            link.symlink_to(_ROOT / name)
    # A changed test must count, so that only the package keeps its mutants.
    for name in (_TESTS, "sql", "deploy"):
        shutil.rmtree(folder / "mutants" / name, ignore_errors=True)
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
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
    survivors = [name for name, code in exit_codes.items() if code not in (None, *_KILLED, *_TIMED_OUT)]
    return Score(sum(counts[code] for code in _KILLED) + timed_out, timed_out, survivors, counts[None])


def main(names: Sequence[str]) -> int:
    """Measures the modules; prints their scores and survivors. Returns 1 when a module could not be measured."""
    if unknown := set(names) - MODULES.keys():
        terminal.print(f"Unknown: {', '.join(sorted(unknown))}. Modules: {', '.join(MODULES)}.")
        return 2
    table = Table("module", "mutants", "checked", "detected", "by timeout", "survived", "score")
    failed = False
    for name in names or MODULES:
        module, folder = MODULES[name], _BUILD / name
        prepare(module, folder)
        run_mutmut(folder)
        score = read_score(module, folder)
        if score is None or not score.checked:
            terminal.print(f"{module.file} was not measured; see {folder / 'mutmut.log'}")
            failed = True
            continue
        numbers = (score.checked + score.unchecked, score.checked, score.detected, score.timed_out)
        share = f"{score.detected / score.checked:.1%}"
        table.add_row(module.file, *map(str, numbers), str(len(score.survivors)), share)
        for survivor in score.survivors:
            terminal.print(f"survived: {survivor} (cd {folder}; mutmut show {survivor})", soft_wrap=True)
    terminal.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or os.environ.get("MODULES", "").split()))
