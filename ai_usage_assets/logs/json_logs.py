"""JSON log entries in the format of Cloud Logging, one per line, without keys or e-mail addresses.

The module must stay light: it is imported before Dagster.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import LogSettings

# Cloud Logging splits an entry above 256 KiB into parts that are not valid JSON.
_MAX_ENTRY_BYTES = 250_000
# Maximum length of a string in an entry; the next, shorter limit applies if the entry is still too large.
_MAX_STRING_LENGTHS = (60_000, 15_000, 2_000)
_MAX_DEPTH = 6

# Makes Error Reporting accept an entry without a stack trace.
_ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
_LABELS = "logging.googleapis.com/labels"
_ENTRY_START = '{"severity":'
_ANSI_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def severity(level: int) -> str:
    """The severity of Cloud Logging for a level of `logging`."""
    names = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"))
    return next((name for least, name in names if level >= least), "INFO" if level >= logging.INFO else "DEBUG")


def format_entry(
    level: int,
    message: str,
    *,
    event: str | None = None,
    labels: Mapping[str, object] | None = None,
    stack: str | None = None,
    error_group: str | None = None,
    created: float | None = None,
    location: tuple[str, int, str] | None = None,
    settings: LogSettings | None = None,
    **fields: object,
) -> str:
    """Formats one entry as a JSON object without a line break. Fields that are None are omitted.

    `event` is the field that metrics and alerts filter by. `stack` is a traceback as Python prints it; Error Reporting
    groups errors by it, and errors without one by `error_group`.
    """
    settings = settings or LogSettings()
    time = datetime.now(UTC) if created is None else datetime.fromtimestamp(created, UTC)
    content: dict[str, object] = {
        "severity": severity(level),
        "message": message,
        "time": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "event": event,
        **fields,
        _LABELS: {name: str(value) for name, value in (labels or {}).items() if value is not None} or None,
        "logging.googleapis.com/trace": settings.trace,
        "logging.googleapis.com/spanId": settings.span,
        "stack_trace": stack,
    }
    if location:
        file, line, function = location
        content["logging.googleapis.com/sourceLocation"] = {"file": file, "line": str(line), "function": function}
    if stack or error_group:
        content["@type"] = _ERROR_EVENT
        content["serviceContext"] = {"service": settings.service, "version": _package_version()}
    if error_group and not stack:
        content["context"] = {
            "reportLocation": {"filePath": "ai_usage_assets", "lineNumber": 1, "functionName": error_group}
        }
    return _encode({name: value for name, value in content.items() if value is not None})


def format_stack(error: BaseException) -> str:
    """The traceback of an exception and its causes, as Python prints it."""
    return "".join(traceback.format_exception(error))


def _encode(content: Mapping[str, object]) -> str:
    jsonable, line = _to_jsonable(content), ""
    for max_length in _MAX_STRING_LENGTHS:
        line = json.dumps(_shorten(jsonable, max_length), ensure_ascii=False, allow_nan=False)
        if len(line.encode()) <= _MAX_ENTRY_BYTES:
            break
    return line


def _to_jsonable(value: object, depth: int = 0) -> Any:
    """Converts any value to JSON types and redacts every string."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return {_to_text(name): _to_jsonable(item, depth + 1) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and depth < _MAX_DEPTH:
        return [_to_jsonable(item, depth + 1) for item in value]
    return _to_text(value)


def _to_text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:  # noqa: BLE001 - a log message must not end a run
        text = f"<{type(value).__name__} without a text: {type(error).__name__}>"
    # A lone surrogate cannot be encoded as UTF-8.
    return redact(text.encode("utf-8", "replace").decode())


def _shorten(jsonable: Any, max_length: int) -> Any:
    """Removes the middle of strings that are longer than `max_length` characters."""
    if isinstance(jsonable, dict):
        return {name: _shorten(item, max_length) for name, item in jsonable.items()}
    if isinstance(jsonable, list):
        return [_shorten(item, max_length) for item in jsonable]
    if not isinstance(jsonable, str) or len(jsonable) <= max_length:
        return jsonable
    head, tail = jsonable[: max_length * 2 // 3], jsonable[-max_length // 3 :]
    return f"{head}\n[... {len(jsonable) - len(head) - len(tail):,} characters ...]\n{tail}"


@lru_cache(maxsize=1)
def _package_version() -> str:
    from importlib.metadata import version

    return version("ai-usage-assets")


class JsonLogWriter:
    """Writes entries to a file descriptor.

    `labels` are added to every entry; `events` holds the events written so far.
    """

    def __init__(self, descriptor: int, settings: LogSettings) -> None:
        self._descriptor = descriptor
        self._settings = settings
        # Reentrant: a signal handler may log while an entry is being written.
        self._lock = threading.RLock()
        self.labels: dict[str, object] = {}
        self.events: set[str] = set()

    def write(self, level: int, message: str, **fields: Any) -> None:
        """Writes one entry; see `format_entry` for the fields."""
        labels = self.labels | dict(fields.pop("labels", None) or {})
        if fields.get("event"):
            self.events.add(fields["event"])
        self._write_line(format_entry(level, message, labels=labels, settings=self._settings, **fields))

    def write_exception(self, error: BaseException, *, level: int, event: str = "crashed") -> None:
        """Writes one entry for an exception: the root cause as the message, the whole chain as the stack."""
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, OperatorError):
            # The message says what to do; a stack trace would not help.
            self.write(logging.ERROR, str(cause), event=event)
            return
        self.write(level, f"{type(cause).__name__}: {cause}", event=event, stack=format_stack(error))

    def forward_output(self, text: str, level: int) -> None:
        """Writes printed text as one entry; lines that are entries already are passed through."""
        printed: list[str] = []
        for line in _ANSI_CODES.sub("", text).splitlines():
            entry = _parse_entry(line)
            if entry is None:
                printed.append(line)
            else:
                self._write_line(_encode(entry))
        message = "\n".join(printed).strip("\n")
        if not message.strip():
            return
        if "Traceback (most recent call last)" in message:
            self.write(logging.ERROR, printed[-1], stack=message, event="crashed")
        else:
            self.write(level, message)

    def _write_line(self, line: str) -> None:
        remaining = (line + "\n").encode()
        # A closed pipe must not end the run.
        with self._lock, suppress(OSError):
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]


def _parse_entry(line: str) -> Mapping[str, object] | None:
    """The entry that a child process wrote; None for any other text."""
    if not line.startswith(_ENTRY_START):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
