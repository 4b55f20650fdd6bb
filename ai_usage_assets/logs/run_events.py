"""Selects and words what is logged of a Dagster run, independent of the format.

Dagster logs a failed asset check at DEBUG; here it gets the level of its severity.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster import DagsterEvent, DagsterEventType

from ai_usage_assets import days, secret_manager
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.registry import SOURCES, source_label

_SOURCES = (*(entry.name for entry in SOURCES), "sheet")
_TABLE_PREFIXES = {"raw", "stg", "int", "fct", "dim", "bridge", "kpi", "ops"}


@dataclass(frozen=True)
class LogEvent:
    """One log line. `event`, `labels` and `fields` are for machines; `stack` is a traceback as Python prints it."""

    level: int
    message: str
    event: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)
    stack: str | None = None
    # The name by which Error Reporting groups an error without a stack.
    error_group: str | None = None


def is_interrupt(failure: DagsterEvent) -> bool:
    """Whether a step failed because the process received SIGINT or SIGTERM."""
    return _is_interrupt_error(failure.step_failure_data.error)


def _is_interrupt_error(error: Any) -> bool:
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


def dagster_event(record: logging.LogRecord) -> DagsterEvent | None:
    """The Dagster event of a log record; None for a plain message."""
    metadata: dict[str, Any] = getattr(record, "dagster_meta", {})
    return metadata.get("dagster_event")


class RunEventFormatter:
    """Turns the log records of one run into log events and counts what the last one reports."""

    def __init__(
        self, run_id: str | None, job: str, step_count: int, *, raw_tables: frozenset[str] = frozenset()
    ) -> None:
        self._job = job
        self._step_count = step_count
        self._raw_tables = raw_tables
        self._days: days.DayRange | None = None
        self._skipped = self._failed = self._rows = self._failed_checks = 0
        self._interrupted = self._has_cause = False
        # Source -> why its first failed step failed.
        self._causes: dict[str, str] = {}
        self._start_time = time.monotonic()
        # Labels of every event of the run.
        self.labels: dict[str, str] = {"run_id": run_id or "", "job": job}

    def log_events(self, record: logging.LogRecord) -> Iterator[LogEvent]:
        """The log events for a record: none for most records."""
        metadata: dict[str, Any] = getattr(record, "dagster_meta", {})
        step = metadata.get("step_key")
        message = str(metadata.get("orig_message") or record.getMessage())
        labels = _asset_labels(step)
        if event := dagster_event(record):
            yield from self._format_event(event, labels, metadata.get("job_tags") or {})
        elif message.startswith("Dependencies for step"):
            # Logged for each step downstream of a failure; the last event of the run has their number.
            self._skipped += 1
        elif record.levelno >= logging.INFO:
            labels |= getattr(record, "labels", {})
            name = getattr(record, "event", None)
            yield LogEvent(
                record.levelno,
                message,
                event=name,
                labels=labels,
                fields=_source_field(labels) if name else {},
                error_group=step if name and record.levelno >= logging.ERROR else None,
            )

    def _format_event(self, event: DagsterEvent, labels: dict[str, str], tags: Mapping[str, str]) -> Iterator[LogEvent]:
        match event.event_type:
            case DagsterEventType.RUN_START:
                yield self._format_start(tags)
            case DagsterEventType.ASSET_MATERIALIZATION:
                self._count_rows(event.materialization)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                yield from self._format_check(event.asset_check_evaluation_data, labels)
            case DagsterEventType.STEP_FAILURE:
                yield from self._format_step_failure(event, labels)
            case DagsterEventType.RUN_SUCCESS:
                yield from self._format_end(logging.INFO, "success", "Every step and every blocking check succeeded.")
            case DagsterEventType.RUN_FAILURE | DagsterEventType.RUN_CANCELED:
                yield from self._format_run_failure(event)

    def _format_start(self, tags: Mapping[str, str]) -> LogEvent:
        self._start_time = time.monotonic()
        self._days = days.range_from_tags(tags)
        if self._days is not None:
            self.labels |= _day_labels(self._days)
        message = f"{self._job}: {self._days or 'no days'}, {self._step_count} steps"
        return LogEvent(
            logging.INFO, message, event="run_started", fields=self._run_fields | {"steps": self._step_count}
        )

    @property
    def _run_fields(self) -> dict[str, object]:
        run_days = self._days
        return {
            "job": self._job,
            "days": str(run_days) if run_days else None,
            "day_count": len(run_days) if run_days else 0,
        }

    def _count_rows(self, materialization: dg.AssetMaterialization) -> None:
        rows = materialization.metadata.get("dagster/partition_row_count")
        if rows is not None and materialization.asset_key.to_user_string() in self._raw_tables:
            self._rows += int(str(rows.value))

    def _format_check(self, result: Any, labels: dict[str, str]) -> Iterator[LogEvent]:
        if result.passed:
            return
        self._failed_checks += 1
        asset = result.asset_key.to_user_string()
        amount = result.metadata.get("affected_usd")
        yield LogEvent(
            logging.ERROR if result.severity == dg.AssetCheckSeverity.ERROR else logging.WARNING,
            f"check {asset}.{result.check_name}: {result.description}",
            event="check_failed",
            labels=_asset_labels(asset) | labels | {"check": result.check_name},
            fields={
                # A string: a JSON number would be read as a float.
                "amount_usd": str(amount.value).replace(",", "") if amount else None,
                "blocking": bool(result.blocking),
            },
        )

    def _format_step_failure(self, event: DagsterEvent, labels: dict[str, str]) -> Iterator[LogEvent]:
        failure = event.step_failure_data
        self._failed += 1
        self._has_cause = True
        message = failure.user_failure_data.description if failure.user_failure_data else None
        if message:
            source = _source_field(labels)
            if source and failure.user_failure_data and (cause := failure.user_failure_data.metadata.get("cause")):
                self._causes.setdefault(labels["vendor"], str(cause.value))
            yield LogEvent(
                logging.ERROR,
                message,
                event="source_fetch_failed" if source else "step_failed",
                labels=labels,
                fields=source,
                error_group=event.step_key,
            )
        elif failure.error and failure.error.cls_name == "DagsterAssetCheckFailedError":
            return  # the check has its own event
        elif is_interrupt(event):
            self._interrupted = True
        elif failure.error:
            yield _format_error(failure.error.cause or failure.error, labels, event.step_key, "step_failed")

    def _format_run_failure(self, event: DagsterEvent) -> Iterator[LogEvent]:
        error = getattr(event.event_specific_data, "error", None)
        if self._interrupted or _is_interrupt_error(error):
            message = "Interrupted. Days that were loaded stay loaded; run it again."
            yield from self._format_end(logging.ERROR, "interrupted", message)
            return
        if error is not None and not self._has_cause:
            # No step has failed: the resources could not be created.
            while error.cause is not None:
                error = error.cause
            yield _format_error(error, {}, None, "run_failed")
        yield from self._format_end(logging.ERROR, "failed", self._describe_failure())

    def _describe_failure(self) -> str:
        if not self._causes:
            return "The run failed: see the errors above, or `ai-usage status`."
        causes = " ".join(f"{source_label(source)}: {cause}" for source, cause in self._causes.items())
        return f"The run failed. {causes} Everything that is loaded was published; `ai-usage status` shows the days."

    def _format_end(self, level: int, outcome: str, message: str) -> Iterator[LogEvent]:
        if self._skipped:
            steps = f"{self._skipped} step{'s were' if self._skipped > 1 else ' was'}"
            yield LogEvent(level, f"{steps} skipped because an upstream step failed.")
        yield LogEvent(
            level,
            message,
            event="run_finished",
            fields=self._run_fields
            | {
                "outcome": outcome,
                "steps": self._step_count,
                "steps_failed": self._failed,
                "steps_skipped": self._skipped,
                "checks_failed": self._failed_checks,
                "rows": self._rows,
                "seconds": round(time.monotonic() - self._start_time, 1),
                "secret_versions": secret_manager.versions_read() or None,
            },
        )


def _asset_labels(name: str | None) -> dict[str, str]:
    """The labels of a step or an asset: its name and its source."""
    if not name:
        return {}
    parts = name.split("_")
    source = next((source for source in _SOURCES if source in parts), None)
    return (
        {"step": name}
        | ({"vendor": source} if source else {})
        # Steps that load several tables or run checks are not named after an asset.
        | ({"asset": name} if parts[0] in _TABLE_PREFIXES else {})
    )


def _source_field(labels: Mapping[str, str]) -> dict[str, object]:
    return {"source": labels["vendor"]} if "vendor" in labels else {}


def _day_labels(run_days: days.DayRange) -> dict[str, str]:
    if len(run_days) == 1:
        return {"day": run_days.first.isoformat()}
    return {"first_day": run_days.first.isoformat(), "last_day": run_days.last.isoformat()}


def _format_error(error: Any, labels: dict[str, str], step: str | None, event: str) -> LogEvent:
    prefix = f"{step}: " if step else ""
    if error.cls_name in _class_names(OperatorError):
        # Dagster's message is "module.Class: message"; an OperatorError needs no stack.
        message = prefix + error.message.partition(": ")[2].strip()
        return LogEvent(logging.ERROR, message, event=event, labels=labels, error_group=step or event)
    return LogEvent(logging.ERROR, prefix + error.message.strip(), event=event, labels=labels, stack=_traceback(error))


def _traceback(error: Any) -> str:
    """The traceback of an error that Dagster serialized, as Python prints it: causes first."""
    cause = ""
    if error.cause is not None:
        cause = f"{_traceback(error.cause)}\nThe above exception was the direct cause of the following exception:\n\n"
    return f"{cause}Traceback (most recent call last):\n{''.join(error.stack)}{error.message.rstrip()}\n"


def _class_names(cls: type[Exception]) -> set[str]:
    return {cls.__name__}.union(*map(_class_names, cls.__subclasses__()))
