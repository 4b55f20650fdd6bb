"""`ai-usage`: the command tree. Each command declares its arguments and its handler in `commands/`."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, Parameter

from ai_usage_assets.commands import (
    backfill,
    close,
    demo,
    digest,
    focus,
    freshness,
    launch,
    metabase,
    report,
    run,
    simulator,
    sql,
    status,
    ui,
)
from ai_usage_assets.commands.base import print_message
from ai_usage_assets.commands.doctor import command as doctor
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.logs.capture import start_capture
from ai_usage_assets.settings import LogSettings

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

# In the order of `--help`.
_COMMANDS = (
    demo, doctor, run, backfill, freshness, status, ui, digest, report, close, focus, metabase, sql, simulator,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 success, 1 failure, 2 usage or configuration error."""
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot encode must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if arguments is None and os.getpid() == 1:
        return launch.reexec_as_child().code
    if LogSettings.from_environment().log_format == "json":
        start_capture()
    try:
        code: int | None = app(
            sys.argv[1:] if arguments is None else arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        command = " ".join(["ai-usage", *(error.command_chain or ())])
        print_message(f"{error} See `{command} --help`.", logging.ERROR, event="refused")
        return 2
    except OperatorError as error:
        print_message(str(error), logging.ERROR, event="refused")
        return error.exit_code
    except OSError as error:
        # Such as a path that is too long, a folder without access, or a full disk behind stdout.
        print_message(f"{error.strerror or error}: {error.filename or 'the output'}", logging.ERROR, event="refused")
        return 1
    except KeyboardInterrupt:
        return 130
    # None: the command printed help, the version or a completion script.
    return code or 0


def _version_line() -> str:
    # Read only for --version: the import costs 30 ms.
    from importlib.metadata import version

    return f"ai-usage {version('ai-usage-assets')}"


def _default_text(value: object) -> str | None:
    """A default as a user would type it; None for a switch and for an option without a default."""
    if not value:
        return None
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


class _HelpFormatter:
    """Prints the usage, and the commands or options in two columns, without the boxes of Cyclopts."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: object) -> None:
        console.print(f"Usage: {usage}", highlight=False, markup=False)

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        from cyclopts.help import DescriptionRenderer
        from rich.padding import Padding
        from rich.table import Table

        if not panel.entries:
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        for entry in panel.entries:
            table.add_row(", ".join(entry.display_labels_with_metavar), DescriptionRenderer()(entry))
        console.print(f"{panel.title}:", style="bold")
        console.print(Padding(table, (0, 0, 0, 2), expand=False))


app = App(
    name="ai-usage",
    help="Loads the usage and cost of AI tools, reconciles it with the vendors' totals, and reports it.",
    help_epilogue="`ai-usage COMMAND --help` shows the arguments, an example and the settings of a command. "
    "Exit codes: 0 success, 1 failure, 2 usage or configuration error.",
    help_format="plaintext",
    help_formatter=_HelpFormatter(),
    version=_version_line,
    default_parameter=Parameter(negative=(), show_default=_default_text),
    # `main` returns 130 for it.
    suppress_keyboard_interrupt=False,
)
for _position, _module in enumerate(_COMMANDS):
    _module.app.sort_key = _position
    app.command(_module.app)
app.register_install_completion_command(help="Install shell completion for bash, zsh, fish or PowerShell.")
