"""The results that `ai-usage doctor` prints: what was tested, the outcome, and what to do."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ai_usage_assets.redaction import redact

# `info`: a fact, or something that is not configured or not available to this key.
Outcome = Literal["ok", "info", "warning", "error"]

_MARKS: dict[Outcome, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "info": ("–", "dim"),
    "warning": ("!", "yellow"),
    "error": ("✗", "bold red"),
}


@dataclass(frozen=True)
class Diagnostic:
    """The result of one test, in a section of the output."""

    section: str
    subject: str
    outcome: Outcome
    message: str
    next_step: str = ""


def error_diagnostic(section: str, subject: str, message: str) -> Diagnostic:
    """An error whose message says what is wrong in its first sentence and what to do in the rest."""
    problem, _, next_step = message.partition(". ")
    return Diagnostic(section, subject, "error", problem, next_step)


def print_diagnostics(diagnostics: Iterable[Diagnostic], console: Console) -> list[Outcome]:
    """Prints each line as soon as it is known, under the name of its section, and returns the outcomes."""
    section, outcomes = "", []
    for diagnostic in diagnostics:
        if diagnostic.section != section:
            section = diagnostic.section
            console.print()
            console.print(Text(section, "bold"))
        mark, style = _MARKS[diagnostic.outcome]
        message = Text(redact(diagnostic.message))
        if diagnostic.next_step:
            message.append(f"\n→ {redact(diagnostic.next_step)}", style=style)
        line = Table.grid(padding=(0, 1))
        line.add_column(width=3, justify="right")
        line.add_column(width=29, overflow="fold")
        line.add_column(overflow="fold")
        line.add_row(Text(mark, style), Text(diagnostic.subject), message)
        console.print(line)
        outcomes.append(diagnostic.outcome)
    return outcomes


def print_summary(outcome: Outcome, message: str, console: Console) -> None:
    """Prints the summary line."""
    console.print()
    console.print(Text.assemble((f"{_MARKS[outcome][0]} ", _MARKS[outcome][1]), message))


def describe_versions() -> str:
    """The versions of this program, of Python and of the main libraries, and the operating system."""
    parts = [f"ai-usage {version('ai-usage-assets')}", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *(f"{name} {version(name)}" for name in ("dagster", "duckdb")), platform.system()])
