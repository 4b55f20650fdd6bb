"""Functions that the commands share: declaring a command, printing, reading settings, opening the warehouse.

The module must import quickly, because `ai-usage` declares all commands before it runs one of them.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import App, Parameter, Token

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.logs.capture import current_writer
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from ai_usage_assets.settings import Settings
    from ai_usage_assets.warehouse.base import Warehouse

# The settings that `--help` lists, by subject.
SOURCE_SETTINGS = (*(entry.key_variable for entry in SOURCES), "AI_USAGE_SHEET_ID")
WAREHOUSE_SETTINGS = ("AI_USAGE_WAREHOUSE", "AI_USAGE_DUCKDB_PATH", "GOOGLE_CLOUD_PROJECT", "AI_USAGE_DATASET")
DAY_SETTINGS = ("AI_USAGE_START_DATE", "AI_USAGE_NOW")

# The width of results that are written to a file or a pipe.
_FILE_WIDTH = 110


class CommandFailed(OperatorError):
    """The command ran to its end, and its result is a failure, such as a failed run."""


def _parse_whole_number(_: Any, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is not a whole number.") from None


# Cyclopts itself also accepts 2.5 for an integer, and rounds it.
WholeNumber = Annotated[int, Parameter(converter=_parse_whole_number, metavar="N")]


def create_command(name: str, *, example: str, settings: Sequence[str] = ()) -> App:
    """Creates a command; its `--help` shows the example and the settings it reads."""
    return App(name=name, help_epilogue=describe_command(example, settings))


def create_group(name: str, *, summary: str) -> App:
    """Creates a group of commands, such as `ai-usage sql`. Calling the group without a command is a usage error."""
    group = App(name=name, help=summary)

    @group.default
    def refuse(*words: Annotated[str, Parameter(show=False)]) -> NoReturn:
        given = f"{words[0]!r} is not a command of" if words else "A command is required after"
        commands = ", ".join(command for command in group if not command.startswith("-"))
        raise SettingsError(f"{given} `ai-usage {name}`: {commands}.")

    return group


def describe_command(example: str, settings: Sequence[str] = ()) -> str:
    """The end of a command's `--help`: an example and the settings it reads."""
    text = f"example:\n  {example}"
    if settings:
        variables = textwrap.fill(", ".join(settings), 78, initial_indent="  ", subsequent_indent="  ")
        text += f"\n\nsettings (environment variables, see docs/settings.md):\n{variables}"
    return text


def print_message(message: str, level: int = logging.INFO, *, style: str = "", event: str | None = None) -> None:
    """Prints progress, a warning or an error to stderr, or logs it where the logs are JSON."""
    if writer := current_writer():
        writer.write(level, message, event=event)
        return
    from rich.console import Console
    from rich.text import Text

    mark, color = "", ""
    if level >= logging.WARNING:
        mark, color = ("ai-usage: ", "bold red") if level >= logging.ERROR else ("! ", "yellow")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in message.splitlines():
        # An error repeats what was typed, which can be a key.
        console.print(Text.assemble((mark, color), (redact_line(line, with_people=True), style)))


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads all settings, and prints a warning for each unknown `AI_USAGE_*` variable. Raises SettingsError."""
    # Imported here because it imports pydantic.
    from ai_usage_assets.settings import Settings

    warn_of_unknown_variables(environment)
    return Settings.from_environment(environment)


def warn_of_unknown_variables(environment: Mapping[str, str] | None = None) -> None:
    """Prints a warning for each `AI_USAGE_*` variable that is not a setting."""
    from ai_usage_assets.settings.variables import describe_unknown_variables

    for warning in describe_unknown_variables(environment):
        print_message(warning, logging.WARNING, event="unknown_setting")


def result_console() -> Console:
    """The console for results, on stdout."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def print_result_line(line: str) -> None:
    """Prints one line to stdout without wrapping or styling it."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False, markup=False).print(line)


def check_range(option: str, value: int, maximum: int) -> None:
    """Raises SettingsError for a number outside of 1 to `maximum`."""
    if not 1 <= value <= maximum:
        raise SettingsError(f"{option} is {value}; it takes 1 to {maximum}.")


def open_existing_warehouse(settings: Settings, *, read_only: bool = False) -> Warehouse:
    """Opens an existing warehouse. Raises SettingsError when no run has created it yet."""
    from ai_usage_assets.warehouse import run_log
    from ai_usage_assets.warehouse.factory import find_duckdb_file, open_warehouse

    is_file = settings.warehouse == "duckdb"
    warehouse = open_warehouse(settings, read_only=read_only)
    if (is_file and not find_duckdb_file(settings.duckdb_path).exists()) or not run_log.exists(warehouse):
        demo = " For the demo, set AI_USAGE_DUCKDB_PATH=data/demo/warehouse.duckdb." if is_file else ""
        raise SettingsError(
            f"There is no warehouse at {settings.warehouse_location} yet; `ai-usage run` creates it.{demo}"
        )
    return warehouse
