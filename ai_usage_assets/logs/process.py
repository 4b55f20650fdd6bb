"""Dagster's command line with nothing but entries on its outputs: `python -m ai_usage_assets.logs.process job ...`.

Belongs here: what Dagster's command says by itself, in entries. Does not: runs. Exit codes are Dagster's: 0, or 1 when
a run failed or was interrupted.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ai_usage_assets.logs import cloud


def main(arguments: Sequence[str]) -> int:
    """Runs one command of Dagster and gives its exit code."""
    voice = cloud.install()
    # Dagster takes seconds to import; what goes wrong meanwhile is an entry already.
    import click
    from dagster._cli import ENV_PREFIX, cli

    try:
        cli.main(list(arguments), prog_name="dagster", standalone_mode=False, auto_envvar_prefix=ENV_PREFIX)
    except click.ClickException as error:
        # Of a run that failed, the run has said more.
        if "run_finished" not in voice.told:
            voice.say(logging.ERROR, error.format_message(), event="run_failed")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        if "run_finished" not in voice.told:
            voice.say(logging.ERROR, "Interrupted before the run began. Run it again.", event="interrupted")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
