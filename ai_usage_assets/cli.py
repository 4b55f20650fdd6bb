"""`ai-usage`: the command tree. Each command declares its arguments and its handler in `commands/`."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

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
from ai_usage_assets.commands.base import Parser, print_message
from ai_usage_assets.commands.doctor import command as doctor
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.logs.capture import start_capture
from ai_usage_assets.settings import LogSettings

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
    parser = _build_parser()
    try:
        parsed = parser.parse_args(arguments)
        if parsed.handler is None:
            parser.print_help()
            return 0
        code: int = parsed.handler(parsed)
    except OperatorError as error:
        print_message(str(error), logging.ERROR, event="refused")
        return error.exit_code
    except OSError as error:
        # Such as a path that is too long, a folder without access, or a full disk behind stdout.
        print_message(f"{error.strerror or error}: {error.filename or 'the output'}", logging.ERROR, event="refused")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="ai-usage",
        description="Loads the usage and cost of AI tools, reconciles it with the vendors' totals, and reports it.",
        epilog="`ai-usage COMMAND --help` shows the arguments, an example and the settings of a command. "
        "Exit codes: 0 success, 1 failure, 2 usage or configuration error.",
    )
    parser.add_argument("--version", action=_PrintVersion, help="print the version and exit")
    parser.set_defaults(handler=None)
    commands = parser.add_subparsers(metavar="command")
    for module in _COMMANDS:
        module.add_command_to(commands)
    return parser


class _PrintVersion(argparse.Action):
    """`--version`. Unlike argparse's own action, it reads the version only when the option is used."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"ai-usage {version('ai-usage-assets')}\n")
        parser.exit()
