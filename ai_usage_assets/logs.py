"""What a run says while it works, for a person at a terminal.

Belongs here: which of Dagster's many events are worth a line, and how that line looks. Does not: messages themselves.
Dagster tells of a failed check at DEBUG level only; here it is raised to the level of what it means.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import lru_cache
from typing import Any, TextIO

import dagster as dg
from dagster import DagsterEvent, DagsterEventType
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ai_usage_assets.errors import OperatorError

_ENDED = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE}

_MARKS = {
    logging.INFO: "[green]·[/]",
    logging.WARNING: "[yellow]![/]",
    logging.ERROR: "[bold red]✗[/]",
    logging.CRITICAL: "[bold red]✗[/]",
}


def is_interrupt(failure: DagsterEvent) -> bool:
    """Whether a step failed because somebody asked the run to end."""
    return _names_interrupt(failure.step_failure_data.error)


def _names_interrupt(error: Any) -> bool:
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


@dg.logger({}, description="A line for each thing a person wants to know; a progress bar where there is a terminal.")
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """Chosen by run configuration: `loggers: {console: {}}` replaces Dagster's own console."""
    job = context.job_def
    steps = len(job.graph.node_dict) if job is not None else 0
    logger = logging.Logger("ai_usage", logging.DEBUG)
    logger.addHandler(_handler(context.run_id, steps))
    return logger


# Dagster makes a logger for the run and another for its steps; both speak through one handler.
@lru_cache(maxsize=2)
def _handler(run_id: str | None, steps: int) -> _RunHandler:
    return _RunHandler(Console(file=_real_stderr(), highlight=False, soft_wrap=True), steps)


def _real_stderr() -> TextIO:
    """Where stderr leads before Dagster captures it for its own log viewer, in which a progress bar is noise."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")
    except OSError:  # a stderr that is no file has nothing to capture either
        return sys.stderr


def _names(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*map(_names, kind.__subclasses__()))


class _RunHandler(logging.Handler):
    """Follows one run."""

    def __init__(self, terminal: Console, steps: int) -> None:
        super().__init__()
        self._console = terminal
        self._skipped = 0
        self._is_interrupted = False
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=terminal,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=steps)

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as a line, a step of the bar, or nothing."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event: DagsterEvent | None = meta.get("dagster_event")
        if event is None:
            # One for each step behind a failed one; how many there were is told at the end.
            if str(meta.get("orig_message", "")).startswith("Dependencies for step"):
                self._skipped += 1
                return
            if record.levelno >= logging.INFO:
                self._say(record.levelno, str(meta.get("orig_message") or record.getMessage()))
        else:
            self._follow(event)

    def _follow(self, event: DagsterEvent) -> None:
        match event.event_type:
            case DagsterEventType.RUN_START:
                if self._console.is_terminal:
                    self._progress.start()
            case DagsterEventType.STEP_START:
                self._progress.update(self._task, description=event.step_key or "")
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                self._check(event.asset_check_evaluation_data)
            case DagsterEventType.STEP_FAILURE:
                self._failure(event)
            case DagsterEventType.RUN_SUCCESS:
                self._end(logging.INFO, "Every step ran and every blocking check held.")
            case DagsterEventType.RUN_FAILURE:
                if self._is_interrupted or _names_interrupt(event.job_failure_data.error):
                    self._end(logging.ERROR, "Interrupted. What was landed stays; run it again.")
                else:
                    self._end(logging.ERROR, "The run failed: see the lines marked ✗ above, or `ai-usage status`.")
        if event.event_type in _ENDED:
            self._progress.advance(self._task)

    def _check(self, result: Any) -> None:
        if not result.passed:
            level = logging.ERROR if result.severity == dg.AssetCheckSeverity.ERROR else logging.WARNING
            self._say(level, f"check {result.asset_key.to_user_string()}.{result.check_name}: {result.description}")

    def _failure(self, event: DagsterEvent) -> None:
        data = event.step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            self._say(logging.ERROR, data.user_failure_data.description)
        elif data.error and data.error.cls_name == "DagsterAssetCheckFailedError":
            return  # the check has said it already
        elif is_interrupt(event):
            self._is_interrupted = True
        elif data.error:
            cause = data.error.cause or data.error
            if cause.cls_name in _names(OperatorError):
                # Its message is for a person: "module.Class: message".
                self._say(logging.ERROR, f"{event.step_key}: {cause.message.partition(': ')[2].strip()}")
                return
            self._say(logging.ERROR, f"{event.step_key}: {cause.to_string()}")

    def _end(self, level: int, message: str) -> None:
        self._progress.stop()
        if self._skipped:
            self._say(level, f"{self._skipped} steps were not run because of what failed before them.")
        self._say(level, message)

    def _say(self, level: int, message: str) -> None:
        self._console.print(f"{_MARKS.get(level, ' ')} {escape(message)}")
