"""`ai-usage sql check`: validates the SQL files."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets.commands.base import (
    WAREHOUSE_SETTINGS,
    create_group,
    describe_command,
    load_settings,
    result_console,
)
from ai_usage_assets.settings import SettingsError

app = create_group("sql", summary="Validate the SQL files under sql/.")


@app.command(name="check", help_epilogue=describe_command("ai-usage sql check --real", WAREHOUSE_SETTINGS))
def _check(
    *,
    real: Annotated[
        bool,
        Parameter(help="instead, validate the models in BigQuery with dry runs, which change nothing and are free"),
    ] = False,
) -> int:
    """Check the syntax, the tables and the columns of every SQL file."""
    from ai_usage_assets.commands import sql_check

    settings = load_settings()
    if real and settings.warehouse != "bigquery":
        raise SettingsError("--real needs BigQuery: set AI_USAGE_WAREHOUSE=bigquery and GOOGLE_CLOUD_PROJECT.")
    if real:
        return sql_check.check_in_bigquery(settings, result_console())
    return sql_check.check_offline(result_console())
