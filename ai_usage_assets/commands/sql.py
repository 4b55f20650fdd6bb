"""`ai-usage sql check`: validates the SQL files."""

from __future__ import annotations

import argparse
from typing import Any

from ai_usage_assets.commands.base import WAREHOUSE_SETTINGS, add_command, add_group, load_settings, result_console
from ai_usage_assets.settings import SettingsError


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    group = add_group(commands, "sql", summary="validate the SQL files under sql/")
    parser = add_command(
        group,
        "check",
        _check,
        summary="check the syntax, the tables and the columns of every SQL file",
        example="ai-usage sql check --real",
        settings=WAREHOUSE_SETTINGS,
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help="validate the models in BigQuery with dry runs, which change nothing and are free",
    )


def _check(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import sql_check

    settings = load_settings()
    if parsed.real and settings.warehouse != "bigquery":
        raise SettingsError("--real needs BigQuery: set AI_USAGE_WAREHOUSE=bigquery and GOOGLE_CLOUD_PROJECT.")
    if parsed.real:
        return sql_check.check_in_bigquery(settings, result_console())
    return sql_check.check_offline(result_console())
