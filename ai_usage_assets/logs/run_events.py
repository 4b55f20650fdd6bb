"""What of all that Dagster tells of a run is worth a line, and at which level.

Belongs here: choosing, and finding out of which vendor, asset and day a line is. Does not: how a line is shown.
Dagster tells of a failed check at DEBUG level only; here it is raised to the level of what it means.
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
from ai_usage_assets.registry import SOURCES

_SOURCES = (*(entry.name for entry in SOURCES), "sheet")
# How the names of tables begin.
_LAYERS = {"raw", "stg", "fct", "dim", "kpi"}


@dataclass(frozen=True)
class Line:
    """One line. `event`, `labels` and `fields` are for machines; `stack` is a traceback as Python writes it."""

    level: int
    message: str
    event: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)
    stack: str | None = None
    # An error without a stack that is one to be counted and mended, by this name.
    reported: str | None = None


def is_interrupt(failure: DagsterEvent) -> bool:
    """Whether a step failed because somebody asked the run to end."""
    return _names_interrupt(failure.step_failure_data.error)


def _names_interrupt(error: Any) -> bool:
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


def event_of(record: logging.LogRecord) -> DagsterEvent | None:
    """The event a record of Dagster tells of; None for words."""
    meta: dict[str, Any] = getattr(record, "dagster_meta", {})
    return meta.get("dagster_event")


class Story:
    """Follows one run, and counts what its last line sums up."""

    def __init__(self, run_id: str | None, job: str, steps: int, *, raw: frozenset[str] = frozenset()) -> None:
        self._job = job
        self._steps = steps
        self._raw = raw
        self._days: days.DayRange | None = None
        self._skipped = self._failed = self._rows = self._checks = 0
        self._is_interrupted = self._has_cause = False
        self._began = time.monotonic()
        # What every line of the run has.
        self.labels: dict[str, str] = {"run_id": run_id or "", "job": job}

    def lines(self, record: logging.LogRecord) -> Iterator[Line]:
        """The lines that a record is worth: none of most."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event = event_of(record)
        labels = _labels(meta.get("step_key"))
        if event is not None:
            yield from self._of_event(event, labels, meta.get("job_tags") or {})
        # One for each step behind a failed one; how many there were is told at the end.
        elif str(meta.get("orig_message", "")).startswith("Dependencies for step"):
            self._skipped += 1
        elif record.levelno >= logging.INFO:
            labels |= getattr(record, "labels", {})
            told = getattr(record, "event", None)
            yield Line(
                record.levelno,
                str(meta.get("orig_message") or record.getMessage()),
                event=told,
                labels=labels,
                fields=_source(labels) if told else {},
                reported=meta.get("step_key") if told and record.levelno >= logging.ERROR else None,
            )

    def _of_event(self, event: DagsterEvent, labels: dict[str, str], tags: Mapping[str, str]) -> Iterator[Line]:
        match event.event_type:
            case DagsterEventType.RUN_START:
                yield self._start(tags)
            case DagsterEventType.ASSET_MATERIALIZATION:
                self._count(event.materialization)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                yield from self._check(event.asset_check_evaluation_data, labels)
            case DagsterEventType.STEP_FAILURE:
                yield from self._failure(event, labels)
            case DagsterEventType.RUN_SUCCESS:
                yield from self._end(logging.INFO, "success", "Every step ran and every blocking check held.")
            case DagsterEventType.RUN_FAILURE | DagsterEventType.RUN_CANCELED:
                yield from self._failed_run(event)

    def _start(self, tags: Mapping[str, str]) -> Line:
        self._began = time.monotonic()
        self._days = days.of_run(tags)
        chosen = self._days
        if chosen is not None:
            self.labels |= _days(chosen)
        told = f"{self._job}: {chosen or 'no days'}, {self._steps} steps"
        return Line(logging.INFO, told, event="run_started", fields=self._what | {"steps": self._steps})

    @property
    def _what(self) -> dict[str, object]:
        chosen = self._days
        return {"job": self._job, "days": str(chosen) if chosen else None, "day_count": len(chosen) if chosen else 0}

    def _count(self, made: dg.AssetMaterialization) -> None:
        rows = made.metadata.get("dagster/partition_row_count")
        if rows is not None and made.asset_key.to_user_string() in self._raw:
            self._rows += int(str(rows.value))

    def _check(self, result: Any, labels: dict[str, str]) -> Iterator[Line]:
        if result.passed:
            return
        self._checks += 1
        asset = result.asset_key.to_user_string()
        touched = result.metadata.get("touches_usd")
        yield Line(
            logging.ERROR if result.severity == dg.AssetCheckSeverity.ERROR else logging.WARNING,
            f"check {asset}.{result.check_name}: {result.description}",
            event="check_failed",
            labels=_labels(asset) | labels | {"check": result.check_name},
            fields={
                # As text: a number that a reader takes for a float would not be to the cent.
                "amount_usd": str(touched.value).replace(",", "") if touched else None,
                "blocking": bool(result.blocking),
            },
        )

    def _failure(self, event: DagsterEvent, labels: dict[str, str]) -> Iterator[Line]:
        data = event.step_failure_data
        self._failed += 1
        self._has_cause = True
        told = data.user_failure_data.description if data.user_failure_data else None
        if told:
            fetched = _source(labels)
            yield Line(
                logging.ERROR,
                told,
                event="source_fetch_failed" if fetched else "step_failed",
                labels=labels,
                fields=fetched,
                reported=event.step_key,
            )
        elif data.error and data.error.cls_name == "DagsterAssetCheckFailedError":
            return  # the check has said it already
        elif is_interrupt(event):
            self._is_interrupted = True
        elif data.error:
            yield _of_error(data.error.cause or data.error, labels, event.step_key, "step_failed")

    def _failed_run(self, event: DagsterEvent) -> Iterator[Line]:
        error = getattr(event.event_specific_data, "error", None)
        if self._is_interrupted or _names_interrupt(error):
            told = "Interrupted. What was landed stays; run it again."
            yield from self._end(logging.ERROR, "interrupted", told)
            return
        if error is not None and not self._has_cause:
            # Before any step: the resources could not be made.
            while error.cause is not None:
                error = error.cause
            yield _of_error(error, {}, None, "run_failed")
        told = "The run failed: see the errors above, or `ai-usage status`."
        yield from self._end(logging.ERROR, "failed", told)

    def _end(self, level: int, outcome: str, message: str) -> Iterator[Line]:
        if self._skipped:
            yield Line(level, f"{self._skipped} steps were not run because of what failed before them.")
        yield Line(
            level,
            message,
            event="run_finished",
            fields=self._what
            | {
                "outcome": outcome,
                "steps": self._steps,
                "steps_failed": self._failed,
                "steps_skipped": self._skipped,
                "checks_failed": self._checks,
                "rows": self._rows,
                "seconds": round(time.monotonic() - self._began, 1),
                "secret_versions": secret_manager.versions_used() or None,
            },
        )


def _labels(name: str | None) -> dict[str, str]:
    """Of a step or an asset: its name, and the vendor whose it is."""
    if not name:
        return {}
    parts = name.split("_")
    vendor = next((source for source in _SOURCES if source in parts), None)
    return (
        {"step": name}
        | ({"vendor": vendor} if vendor else {})
        # A pull, or the checks of an asset, are a step too.
        | ({"asset": name} if parts[0] in _LAYERS else {})
    )


def _source(labels: Mapping[str, str]) -> dict[str, object]:
    return {"source": labels["vendor"]} if "vendor" in labels else {}


def _days(chosen: days.DayRange) -> dict[str, str]:
    if len(chosen) == 1:
        return {"day": chosen.first.isoformat()}
    return {"first_day": chosen.first.isoformat(), "last_day": chosen.last.isoformat()}


def _of_error(error: Any, labels: dict[str, str], step: str | None, event: str) -> Line:
    before = f"{step}: " if step else ""
    if error.cls_name in _names(OperatorError):
        # Its message is for a person: "module.Class: message".
        message = before + error.message.partition(": ")[2].strip()
        return Line(logging.ERROR, message, event=event, labels=labels, reported=step or event)
    return Line(logging.ERROR, before + error.message.strip(), event=event, labels=labels, stack=traceback_of(error))


def traceback_of(error: Any) -> str:
    """An error that Dagster has taken down, as Python would have written it: causes first."""
    before = ""
    if error.cause is not None:
        before = traceback_of(error.cause) + (
            "\nThe above exception was the direct cause of the following exception:\n\n"
        )
    return f"{before}Traceback (most recent call last):\n{''.join(error.stack)}{error.message.rstrip()}\n"


def _names(kind: type[Exception]) -> set[str]:
    return {kind.__name__}.union(*map(_names, kind.__subclasses__()))
