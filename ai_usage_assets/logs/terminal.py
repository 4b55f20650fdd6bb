"""How a person at a terminal sees a run: a line for each thing worth one, and a progress bar.

Belongs here: marks, colours, the bar. Does not: what is worth a line (`story`).
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from dagster import DagsterEventType
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ai_usage_assets.logs.run_events import Line, Story, event_of

_STEP_ENDED = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE}
_RUN_ENDED = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}

_MARKS = {
    logging.INFO: "[green]·[/]",
    logging.WARNING: "[yellow]![/]",
    logging.ERROR: "[bold red]✗[/]",
    logging.CRITICAL: "[bold red]✗[/]",
}


class TerminalHandler(logging.Handler):
    """Follows one run."""

    def __init__(self, story: Story, steps: int) -> None:
        super().__init__()
        self._story = story
        self._console = Console(file=_real_stderr(), highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=steps)

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as lines, a step of the bar, or nothing."""
        event = event_of(record)
        kind = event.event_type if event else None
        if event and kind == DagsterEventType.RUN_START and self._console.is_terminal:
            self._progress.start()
        if event and kind == DagsterEventType.STEP_START:
            self._progress.update(self._task, description=event.step_key or "")
        if kind in _RUN_ENDED:
            self._progress.stop()
        for line in self._story.lines(record):
            # That it begins is what the command has said.
            if line.event != "run_started":
                self._say(line)
        if kind in _STEP_ENDED:
            self._progress.advance(self._task)

    def _say(self, line: Line) -> None:
        stack = f"\n\n{line.stack}" if line.stack else ""
        self._console.print(f"{_MARKS.get(line.level, ' ')} {escape(line.message + stack)}")


def _real_stderr() -> TextIO:
    """Where stderr leads before Dagster captures it for its own log viewer, in which a progress bar is noise."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except OSError:  # a stderr that is no file has nothing to capture either
        return sys.stderr
