"""Runs `ai-usage` with chosen environment variables: as a process, or faster in this one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from unittest import mock

from ai_usage_assets import cli
from ai_usage_assets.commands import launch
from ai_usage_assets.logs.capture import current_writer

_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG")


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """These variables, and none of the settings of this process."""
    return {**{name: os.environ[name] for name in _INHERITED if name in os.environ}, "COLUMNS": "200", **variables}


def ai_usage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process that inherits no settings."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; from ai_usage_assets.cli import main; sys.exit(main())", *arguments],
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def call_main(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in this process, without the settings of this process. It must not start Dagster."""
    output, errors = StringIO(), StringIO()
    started = AssertionError("the command started Dagster")
    logger = logging.getLogger("ai_usage_assets")
    level = logger.level
    with (
        mock.patch.dict(os.environ, _environment(environment), clear=True),
        mock.patch.object(os, "execve", side_effect=started),
        mock.patch.object(launch, "_supervise", side_effect=started),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            code = cli.main(arguments)
            # JSON logs replace the outputs of the process until it ends.
            assert current_writer() is None, "set AI_USAGE_LOGS=console"
        finally:
            logger.setLevel(level)
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())
