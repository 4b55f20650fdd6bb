"""Shows a run on a terminal: one line per event and a progress bar."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from dagster import DagsterEventType
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ai_usage_assets.logs.run_events import LogEvent, RunEventFormatter, dagster_event

_STEP_END = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE}
_RUN_END = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}

_MARKS = {
    logging.INFO: "[green]·[/]",
    logging.WARNING: "[yellow]![/]",
    logging.ERROR: "[bold red]✗[/]",
    logging.CRITICAL: "[bold red]✗[/]",
}


class TerminalHandler(logging.Handler):
    """Shows the events of one run."""

    def __init__(self, formatter: RunEventFormatter, step_count: int) -> None:
        super().__init__()
        self._formatter = formatter
        self._console = Console(file=_original_stderr(), highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=step_count)

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the lines for one record and updates the progress bar."""
        event = dagster_event(record)
        kind = event.event_type if event else None
        if kind == DagsterEventType.RUN_START and self._console.is_terminal:
            self._progress.start()
        if event and kind == DagsterEventType.STEP_START:
            self._progress.update(self._task, description=event.step_key or "")
        if kind in _RUN_END:
            self._progress.stop()
        for log_event in self._formatter.log_events(record):
            # The command has printed its own start line.
            if log_event.event != "run_started":
                self._print(log_event)
        if kind in _STEP_END:
            self._progress.advance(self._task)

    def _print(self, event: LogEvent) -> None:
        stack = f"\n\n{event.stack}" if event.stack else ""
        self._console.print(f"{_MARKS.get(event.level, ' ')} {escape(event.message + stack)}")


def _original_stderr() -> TextIO:
    """A copy of stderr from before Dagster captures it for its log viewer, where a progress bar would be noise."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except OSError:  # stderr is not a file, so Dagster does not capture it
        return sys.stderr
