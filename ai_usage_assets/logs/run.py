"""The logger that Dagster is given, which speaks to whoever the settings say.

Belongs here: wiring a run to its voice. Does not: what is said, or how.
"""

from __future__ import annotations

import logging
from functools import lru_cache

import dagster as dg

from ai_usage_assets.logs import cloud
from ai_usage_assets.logs.run_events import Story
from ai_usage_assets.settings import LogSettings


def run_logger(logs: str) -> dg.LoggerDefinition:
    """Chosen by run configuration: `loggers: {console: {}}` replaces Dagster's own console."""

    @dg.logger(
        {}, description="A line for each thing somebody wants to know; a progress bar where there is a terminal."
    )
    def console(context: dg.InitLoggerContext) -> logging.Logger:
        job = context.job_def
        logger = logging.Logger("ai_usage", logging.DEBUG)
        if job is None:
            return logger
        assets = (key.to_user_string() for key in job.asset_layer.executable_asset_keys)
        raw = frozenset(name for name in assets if name.startswith("raw_"))
        logger.addHandler(_handler(context.run_id, job.name, len(job.graph.node_dict), raw, logs))
        return logger

    return console


# Dagster makes a logger for the run and another for its steps; both speak through one handler.
@lru_cache(maxsize=2)
def _handler(run_id: str | None, job: str, steps: int, raw: frozenset[str], logs: str) -> logging.Handler:
    story = Story(run_id, job, steps, raw=raw)
    if logs == "json":
        return CloudHandler(story)
    # Rich is not for machines.
    from ai_usage_assets.logs.terminal import TerminalHandler

    return TerminalHandler(story, steps)


class CloudHandler(logging.Handler):
    """Follows one run for Cloud Logging."""

    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story
        # In a process that prints other things too, as the UI's, the lines of a run are JSON all the same.
        self._voice = cloud.voice() or cloud.Voice(1, LogSettings.from_environment())

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as entries or as nothing."""
        try:
            for line in self._story.lines(record):
                self._voice.labels = dict(self._story.labels)
                self._voice.say(
                    line.level,
                    line.message,
                    event=line.event,
                    labels=line.labels,
                    stack=line.stack,
                    reported=line.reported,
                    created=record.created,
                    **line.fields,
                )
        except Exception as error:  # noqa: BLE001 - what cannot be told must not end a run
            self._voice.fail(error, level=logging.ERROR, event="log_failed")
