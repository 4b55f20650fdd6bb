"""Runs Dagster's command line with only JSON log entries on its outputs.

Usage: `python -m ai_usage_assets.logs.dagster_process job execute ...`. Exit codes are those of Dagster: 0, or 1 when
the run failed or was interrupted.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ai_usage_assets.logs.capture import start_capture


def main(arguments: Sequence[str]) -> int:
    """Runs one Dagster command and returns its exit code."""
    writer = start_capture()
    # Dagster takes seconds to import; errors during the import are captured already.
    import click

    # No public module has the command line. The console script `dagster` imports this one too, but it prints errors
    # and ends the process.
    from dagster._cli import ENV_PREFIX, cli

    try:
        cli.main(list(arguments), prog_name="dagster", standalone_mode=False, auto_envvar_prefix=ENV_PREFIX)
    except click.ClickException as error:
        # A run that failed has logged more than this.
        if "run_finished" not in writer.events:
            writer.write(logging.ERROR, error.format_message(), event="run_failed")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if "run_finished" not in writer.events:
            writer.write(logging.ERROR, "Interrupted before the run started. Run it again.", event="interrupted")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
