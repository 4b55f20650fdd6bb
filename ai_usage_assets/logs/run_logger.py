"""The Dagster logger of a run, for a terminal or for Cloud Logging."""

from __future__ import annotations

import logging
from functools import lru_cache

import dagster as dg

from ai_usage_assets.logs.capture import current_writer
from ai_usage_assets.logs.json_logs import JsonLogWriter
from ai_usage_assets.logs.run_events import RunEventFormatter
from ai_usage_assets.settings import LogSettings


def run_logger(logs: str) -> dg.LoggerDefinition:
    """The logger definition; the run configuration `loggers: {console: {}}` selects it instead of Dagster's own."""

    @dg.logger({}, description="One line per noteworthy event, with a progress bar on a terminal.")
    def console(context: dg.InitLoggerContext) -> logging.Logger:
        job = context.job_def
        logger = logging.Logger("ai_usage", logging.DEBUG)
        if job is None:
            return logger
        assets = (key.to_user_string() for key in job.asset_layer.executable_asset_keys)
        raw_tables = frozenset(name for name in assets if name.startswith("raw_"))
        logger.addHandler(_create_handler(context.run_id, job.name, len(job.graph.node_dict), raw_tables, logs))
        return logger

    return console


# Dagster creates one logger for the run and one for its steps; both share a handler.
@lru_cache(maxsize=2)
def _create_handler(
    run_id: str | None, job: str, step_count: int, raw_tables: frozenset[str], logs: str
) -> logging.Handler:
    formatter = RunEventFormatter(run_id, job, step_count, raw_tables=raw_tables)
    if logs == "json":
        return CloudLoggingHandler(formatter)
    # Imports rich.
    from ai_usage_assets.logs.terminal import TerminalHandler

    return TerminalHandler(formatter, step_count)


class CloudLoggingHandler(logging.Handler):
    """Writes the events of one run as JSON log entries."""

    def __init__(self, formatter: RunEventFormatter) -> None:
        super().__init__()
        self._formatter = formatter
        # Without a capture (a run that the UI started) the entries go to stdout next to other output.
        self._writer = current_writer() or JsonLogWriter(1, LogSettings.from_environment())

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the entries for one record; most records have none."""
        try:
            for event in self._formatter.log_events(record):
                self._writer.labels = dict(self._formatter.labels)
                self._writer.write(
                    event.level,
                    event.message,
                    event=event.event,
                    labels=event.labels,
                    stack=event.stack,
                    error_group=event.error_group,
                    created=record.created,
                    **event.fields,
                )
        except Exception as error:  # noqa: BLE001 - an error in a log message must not end the run
            self._writer.write_exception(error, level=logging.ERROR, event="log_failed")
