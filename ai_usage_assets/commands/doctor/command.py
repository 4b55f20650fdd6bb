"""The command `ai-usage doctor`: its arguments, the order of the tests, and the summary."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ai_usage_assets.commands.base import (
    DAY_SETTINGS,
    SOURCE_SETTINGS,
    WAREHOUSE_SETTINGS,
    create_command,
    result_console,
    warn_of_unknown_variables,
)
from ai_usage_assets.registry import KEY_VARIABLES_TEXT
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from ai_usage_assets.commands.diagnostics import Diagnostic
    from ai_usage_assets.settings import Settings


app = create_command(
    "doctor",
    example="ai-usage doctor",
    settings=(*SOURCE_SETTINGS, *WAREHOUSE_SETTINGS, *DAY_SETTINGS, "DAGSTER_HOME"),
)


@app.default
def _doctor(
    *,
    probe_files: Annotated[
        tuple[Path, ...] | None,
        Parameter(
            name="--probe",
            consume_multiple=(0, 1),
            metavar="[FILE]",
            help="instead, test API behavior that the vendors do not document, and write the answers, without people "
            "and keys, to FILE",
        ),
    ] = None,
) -> int:
    """Test every credential, endpoint, sheet tab and permission without changing anything."""
    from ai_usage_assets.settings import Settings
    from ai_usage_assets.settings.variables import describe_unknown_variables

    unknown = describe_unknown_variables()
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return report_wrong_settings(error, result_console(), unknown)
    # Retries are part of the result that is printed.
    logging.getLogger("ai_usage_assets").setLevel(logging.ERROR)
    if probe_files is not None:
        from ai_usage_assets.commands.doctor import probe

        warn_of_unknown_variables()
        return probe.run(settings, next(iter(probe_files), None), result_console())
    return run_diagnostics(settings, result_console(), unknown)


def run_diagnostics(settings: Settings, console: Console, unknown: Sequence[str] = ()) -> int:
    """Runs and prints every test: 0 when none has an error, else 1. `unknown`: warnings of unknown variables."""
    from ai_usage_assets.commands.diagnostics import describe_versions, print_diagnostics, print_summary

    console.print(describe_versions(), style="dim", highlight=False)
    outcomes = print_diagnostics(diagnose(settings, unknown), console)
    errors, warnings = outcomes.count("error"), outcomes.count("warning")
    if errors:
        message = f"{errors} of {len(outcomes)} tests failed. Fix the lines marked ✗ and run `ai-usage doctor` again."
        print_summary("error", message, console)
    elif not settings.configured_sources:
        message = f"Nothing failed, but no vendor is configured: set {KEY_VARIABLES_TEXT}."
        print_summary("warning", message, console)
    else:
        count = f" ({format_count(warnings, 'warning')})" if warnings else ""
        message = f"Everything that is configured works{count}. Next: `ai-usage run`"
        print_summary("warning" if warnings else "ok", message, console)
    return int(bool(errors))


def report_wrong_settings(error: SettingsError, console: Console, unknown: Sequence[str] = ()) -> int:
    """Prints every wrong setting, without which nothing can be tested, and returns the exit code."""
    from ai_usage_assets.commands.diagnostics import Diagnostic, print_diagnostics, print_summary
    from ai_usage_assets.commands.doctor.settings import diagnose_unknown_variables

    lines = (Diagnostic("Settings", "environment", "error", line) for line in str(error).splitlines())
    print_diagnostics((*lines, *diagnose_unknown_variables(unknown)), console)
    print_summary("error", "Nothing else was tested. Fix these variables and run `ai-usage doctor` again.", console)
    return error.exit_code


def diagnose(settings: Settings, unknown: Sequence[str] = ()) -> Iterator[Diagnostic]:
    """Runs every test, one after the other; changes nothing."""
    from ai_usage_assets.commands.doctor import settings as settings_tests
    from ai_usage_assets.commands.doctor import sheet, sources, warehouse
    from ai_usage_assets.registry import load_sources

    yield from settings_tests.diagnose_settings(settings)
    yield from settings_tests.diagnose_unknown_variables(unknown)
    for source in load_sources():
        yield from sources.diagnose_source(source, settings)
    yield from sheet.diagnose_sheet(settings)
    yield from warehouse.diagnose_warehouse(settings)
    yield warehouse.diagnose_dagster_home(settings)
