"""The settings of logs, read with the standard library alone.

The standard library is enough because these settings are read first: errors in the other settings are logged in this
format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# The variables that only this module reads, and their meanings in docs/settings.md.
LOG_VARIABLES = {
    "CLOUD_RUN_JOB": "name of the Cloud Run job; the service of its log entries, which are JSON",
    "TRACEPARENT": "trace of the request that started the job, in the format of W3C Trace Context",
}


@dataclass(frozen=True)
class LogSettings:
    """The format of log lines and their labels."""

    log_format: Literal["console", "json"] = "console"
    service: str = "ai-usage"
    # The trace of the request, in the format of Cloud Logging.
    trace: str | None = None
    span: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> LogSettings:
        """Reads the settings; invalid values are ignored."""
        variables = read_variables(environment)
        job = variables.get("CLOUD_RUN_JOB")
        # Cloud Logging reads the output of a Cloud Run job.
        log_format = variables.get("AI_USAGE_LOGS", "json" if job else "console").lower()
        project = variables.get("GOOGLE_CLOUD_PROJECT")
        parent = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", variables.get("TRACEPARENT", ""))
        return cls(
            log_format="json" if log_format == "json" or (log_format != "console" and job) else "console",
            service=job or cls.service,
            trace=f"projects/{project}/traces/{parent[1]}" if project and parent else None,
            span=parent[2] if project and parent else None,
        )


def read_variables(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of an environment, by default that of this process. An empty variable counts as unset."""
    variables = os.environ if environment is None else environment
    return {name: value.strip() for name, value in variables.items() if value.strip()}
