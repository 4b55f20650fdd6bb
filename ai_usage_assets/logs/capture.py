"""Captures everything that a process logs, prints or raises, and writes it to stdout as JSON log entries."""

from __future__ import annotations

import atexit
import logging
import os
import select
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from ai_usage_assets.logs.json_logs import JsonLogWriter, format_stack
from ai_usage_assets.settings import LogSettings


class StdioCapture:
    """Replaces stdout and stderr by pipes and writes what arrives there as entries to the original stdout."""

    def __init__(self) -> None:
        self._originals = [_duplicate(1), _duplicate(2)]
        self.writer = JsonLogWriter(self._originals[0], LogSettings.from_environment())
        self._levels: dict[int, int] = {}
        for stream in (sys.stdout, sys.stderr):
            # Before the pipe replaces the file: reconfiguring a stream of a seekable file asks for its position.
            with suppress(AttributeError):
                stream.reconfigure(line_buffering=True, errors="replace")  # type: ignore[union-attr]
        for descriptor, level in ((1, logging.INFO), (2, logging.WARNING)):
            read_end, write_end = os.pipe()
            os.dup2(write_end, descriptor)
            os.close(write_end)
            self._levels[read_end] = level
        self._reader = threading.Thread(target=self._read, name="logs", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Forwards whole lines until every write end is closed; the last line may lack its line break."""
        partial = dict.fromkeys(self._levels, b"")
        while partial:
            for read_end in select.select(list(partial), [], [])[0]:
                chunk = os.read(read_end, 65536)
                lines, newline, rest = (partial[read_end] + chunk).rpartition(b"\n")
                if not chunk:
                    lines, newline, rest = rest, b"\n", b""
                if newline:
                    self.writer.forward_output(lines.decode("utf-8", "replace"), self._levels[read_end])
                partial[read_end] = rest
                if not chunk:
                    del partial[read_end]
                    os.close(read_end)

    def close(self) -> None:
        """Restores stdout and stderr after everything that was printed has been written."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        for descriptor, original in zip((1, 2), self._originals, strict=True):
            os.dup2(original, descriptor)
        # A child process may keep a write end open.
        self._reader.join(timeout=2)


def _duplicate(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


class _LoggingHandler(logging.Handler):
    """Writes the records of every logger, except those that Dagster forwards to the logger of the run."""

    def __init__(self, writer: JsonLogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record as one entry."""
        if hasattr(record, "dagster_meta"):
            return
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the arguments do not fit the message
            message = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        self._writer.write(
            record.levelno,
            message,
            event=getattr(record, "event", None),
            labels=getattr(record, "labels", None),
            created=record.created,
            location=(record.pathname, record.lineno, record.funcName or ""),
            stack=format_stack(error) if error else None,
            logger=record.name,
        )


_capture: StdioCapture | None = None


def current_writer() -> JsonLogWriter | None:
    """The writer of this process; None unless `start_capture` was called."""
    return _capture.writer if _capture else None


def start_capture() -> JsonLogWriter:
    """Writes everything that this process logs, prints or raises from now on as entries."""
    global _capture
    if _capture is None:
        _capture = StdioCapture()
        writer = _capture.writer
        logging.getLogger().handlers = [_LoggingHandler(writer)]
        # Google's libraries leave a logger with a level alone; otherwise they cut it off from the root.
        logging.getLogger("google").setLevel(logging.WARNING)
        logging.captureWarnings(capture=True)
        sys.excepthook = lambda _, error, __: _write_uncaught(writer, error)
        threading.excepthook = lambda hook: _write_uncaught(writer, hook.exc_value)
        sys.unraisablehook = lambda hook: _write_uncaught(writer, hook.exc_value, logging.WARNING)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _handle_sigterm)
        atexit.register(stop_capture)
    return _capture.writer


def stop_capture() -> None:
    """Restores stdout and stderr, at the end of the process or before it executes another program."""
    global _capture
    if _capture is not None:
        capture, _capture = _capture, None
        capture.close()


def _write_uncaught(writer: JsonLogWriter, error: BaseException | None, level: int = logging.CRITICAL) -> None:
    if isinstance(error, KeyboardInterrupt):
        writer.write(logging.ERROR, "Interrupted.", event="interrupted")
    elif error is not None:
        writer.write_exception(error, level=level)


def _handle_sigterm(number: int, frame: FrameType | None) -> None:
    """Handles SIGTERM while Dagster does not: before a run starts and after it has ended."""
    writer = current_writer()
    if writer:
        writer.write(logging.ERROR, "Terminated while no run was active. Run it again.", event="interrupted")
    raise SystemExit(1)
