"""What Cloud Logging reads: one JSON object a line on stdout, and nothing else on stdout or stderr.

Belongs here: the shape of an entry, and gathering whatever a process says into entries: loggers, warnings, uncaught
exceptions, what libraries print. Does not: what is worth an entry (`story`). Everything written is without keys and
e-mail addresses. Imports nothing heavy: it is there before Dagster is.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from types import FrameType
from typing import Any

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.redaction import redact
from ai_usage_assets.settings import LogSettings

# An entry may have 256 KiB; what is longer arrives in pieces that are no JSON.
_MOST_BYTES = 250_000
# Characters that a text keeps, and if the entry is still too long, and then.
_LENGTHS = (60_000, 15_000, 2_000)
_MOST_DEPTH = 6

# By it Error Reporting takes an entry without a stack for an error too.
_ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
_LABELS = "logging.googleapis.com/labels"
_BEGIN = '{"severity":'
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def severity(level: int) -> str:
    """Cloud Logging's word for a level of Python's."""
    names = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"))
    return next((name for least, name in names if level >= least), "INFO" if level >= logging.INFO else "DEBUG")


def entry(
    level: int,
    message: str,
    *,
    event: str | None = None,
    labels: Mapping[str, object] | None = None,
    stack: str | None = None,
    reported: str | None = None,
    created: float | None = None,
    location: tuple[str, int, str] | None = None,
    settings: LogSettings | None = None,
    **fields: object,
) -> str:
    """One line, without its end. `event` is what metrics and alerts look for.

    `stack` is a traceback as Python writes it; Error Reporting groups by it. `reported` makes an error without a stack
    one of its groups, by that name. Fields that are None are left out.
    """
    settings = settings or LogSettings()
    moment = datetime.now(UTC) if created is None else datetime.fromtimestamp(created, UTC)
    found: dict[str, object] = {
        "severity": severity(level),
        "message": message,
        "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "event": event,
        **fields,
        _LABELS: {name: str(value) for name, value in (labels or {}).items() if value is not None} or None,
        "logging.googleapis.com/trace": settings.trace,
        "logging.googleapis.com/spanId": settings.span,
        "stack_trace": stack,
    }
    if location:
        file, line, function = location
        found["logging.googleapis.com/sourceLocation"] = {"file": file, "line": str(line), "function": function}
    if stack or reported:
        found["@type"] = _ERROR_EVENT
        found["serviceContext"] = {"service": settings.service, "version": _version()}
    if reported and not stack:
        found["context"] = {
            "reportLocation": {"filePath": "ai_usage_assets", "lineNumber": 1, "functionName": reported}
        }
    return _written({name: value for name, value in found.items() if value is not None})


def _written(found: Mapping[str, object]) -> str:
    plain, line = _plain(found), ""
    for length in _LENGTHS:
        line = json.dumps(_cut(plain, length), ensure_ascii=False, allow_nan=False)
        if len(line.encode()) <= _MOST_BYTES:
            break
    return line


def _plain(value: object, depth: int = 0) -> Any:
    """What JSON can hold, with every text as it may be shown."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and depth < _MOST_DEPTH:
        return {_text(name): _plain(held, depth + 1) for name, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and depth < _MOST_DEPTH:
        return [_plain(held, depth + 1) for held in value]
    return _text(value)


def _text(value: object) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:  # noqa: BLE001 - what cannot be told must not end a run
        text = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    # Half a pair of surrogates is no character; whoever reads the line may refuse it.
    return redact(text.encode("utf-8", "replace").decode())


def _cut(plain: Any, length: int) -> Any:
    """The same without the middle of long texts."""
    if isinstance(plain, dict):
        return {name: _cut(held, length) for name, held in plain.items()}
    if isinstance(plain, list):
        return [_cut(held, length) for held in plain]
    if not isinstance(plain, str) or len(plain) <= length:
        return plain
    head, tail = plain[: length * 2 // 3], plain[-length // 3 :]
    return f"{head}\n[... {len(plain) - len(head) - len(tail):,} characters ...]\n{tail}"


@lru_cache(maxsize=1)
def _version() -> str:
    return version("ai-usage-assets")


class Voice:
    """Writes entries to a file descriptor; `told` are the events that were written."""

    def __init__(self, out: int, settings: LogSettings) -> None:
        self._out = out
        self._settings = settings
        # A signal may come while a line is written, and has something to say too.
        self._lock = threading.RLock()
        # Of a run, for what others say while it goes on.
        self.labels: dict[str, object] = {}
        self.told: set[str] = set()

    def say(self, level: int, message: str, **more: Any) -> None:
        """One entry (see `entry`)."""
        labels = self.labels | dict(more.pop("labels", None) or {})
        if more.get("event"):
            self.told.add(more["event"])
        self._write(entry(level, message, labels=labels, settings=self._settings, **more))

    def fail(self, error: BaseException, *, level: int = logging.CRITICAL, event: str = "crashed") -> None:
        """One entry for an exception that ends something: its first cause in words, all of it as stack."""
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, OperatorError):
            # Its message is for a person, and where it was raised helps nobody.
            self.say(logging.ERROR, str(cause), event=event)
            return
        self.say(level, f"{type(cause).__name__}: {cause}", event=event, stack=_stack(error))

    def overheard(self, text: str, level: int) -> None:
        """What somebody printed: one entry, but for what is entries already."""
        printed: list[str] = []
        for line in _COLOURS.sub("", text).splitlines():
            written = _entry_of(line)
            if written is None:
                printed.append(line)
            else:
                self._write(_written(written))
        message = "\n".join(printed).strip("\n")
        if not message.strip():
            return
        if "Traceback (most recent call last)" in message:
            self.say(logging.ERROR, printed[-1], stack=message, event="crashed")
        else:
            self.say(level, message)

    def _write(self, line: str) -> None:
        rest = (line + "\n").encode()
        # Who does not read does not stop the work.
        with self._lock, suppress(OSError):
            while rest:
                rest = rest[os.write(self._out, rest) :]


def _entry_of(line: str) -> Mapping[str, object] | None:
    """An entry that a process under this one has written."""
    if not line.startswith(_BEGIN):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _stack(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


# --- everything a process says --------------------------------------------------------------------------------------


class _Everything:
    """While it is there, whatever the process says becomes entries."""

    def __init__(self) -> None:
        self._kept = [_copy(1), _copy(2)]
        self.voice = Voice(self._kept[0], LogSettings.from_environment())
        self._ends: dict[int, int] = {}
        for stream in (sys.stdout, sys.stderr):
            # Before a pipe is under it: a stream that was opened on a file asks where it stands.
            with suppress(AttributeError):
                stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
        for number, level in ((1, logging.INFO), (2, logging.WARNING)):
            reading, writing = os.pipe()
            os.dup2(writing, number)
            os.close(writing)
            self._ends[reading] = level
        self._reader = threading.Thread(target=self._read, name="logs", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """What is printed, until nobody can print any more; what is not a whole line yet waits for its end."""
        begun = dict.fromkeys(self._ends, b"")
        while begun:
            for end in select.select(list(begun), [], [])[0]:
                got = os.read(end, 65536)
                whole, newline, rest = (begun[end] + got).rpartition(b"\n")
                if not got:
                    whole, newline, rest = rest, b"\n", b""
                if newline:
                    self.voice.overheard(whole.decode("utf-8", "replace"), self._ends[end])
                begun[end] = rest
                if not got:
                    del begun[end]
                    os.close(end)

    def end(self) -> None:
        """The outputs are again what they were, and what was printed is told."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        for number, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, number)
        # A process under this one may still hold the other end.
        self._reader.join(timeout=2)


def _copy(number: int) -> int:
    try:
        return os.dup(number)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


class _Handler(logging.Handler):
    """What libraries log. What Dagster takes up from a logger is told by the run's own."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice

    def emit(self, record: logging.LogRecord) -> None:
        """One record as one entry."""
        if hasattr(record, "dagster_meta"):
            return
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit the text
            message = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        self._voice.say(
            record.levelno,
            message,
            event=getattr(record, "event", None),
            labels=getattr(record, "labels", None),
            created=record.created,
            location=(record.pathname, record.lineno, record.funcName or ""),
            stack=_stack(error) if error else None,
            logger=record.name,
        )


_everything: _Everything | None = None


def voice() -> Voice | None:
    """What writes this process's entries, once it was installed."""
    return _everything.voice if _everything else None


def install() -> Voice:
    """From here on, whatever this process says is an entry."""
    global _everything
    if _everything is None:
        _everything = _Everything()
        speak = _everything.voice
        logging.getLogger().handlers = [_Handler(speak)]
        logging.captureWarnings(capture=True)
        sys.excepthook = lambda _, error, __: _uncaught(speak, error)
        threading.excepthook = lambda told: _uncaught(speak, told.exc_value)
        sys.unraisablehook = lambda told: _uncaught(speak, told.exc_value, logging.WARNING)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _asked_to_end)
        atexit.register(release)
    return _everything.voice


def release() -> None:
    """Ends it: for another program that this process becomes, or at its end."""
    global _everything
    if _everything is not None:
        ending, _everything = _everything, None
        ending.end()


def _uncaught(speak: Voice, error: BaseException | None, level: int = logging.CRITICAL) -> None:
    if isinstance(error, KeyboardInterrupt):
        speak.say(logging.ERROR, "Interrupted.", event="interrupted")
    elif error is not None:
        speak.fail(error, level=level)


def _asked_to_end(number: int, frame: FrameType | None) -> None:
    """Before Dagster takes the signal over, and after it has let go of it."""
    speak = voice()
    if speak:
        speak.say(logging.ERROR, "Asked to end while no run was at work. Run it again.", event="interrupted")
    raise SystemExit(1)
