"""`ai-usage ui`: serves the Dagster UI; with the simulated company of the demo when nothing is configured."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ai_usage_assets.commands.base import (
    SOURCE_SETTINGS,
    WAREHOUSE_SETTINGS,
    WholeNumber,
    create_command,
    load_settings,
    print_message,
)
from ai_usage_assets.commands.launch import ui_command
from ai_usage_assets.settings import SettingsError

if TYPE_CHECKING:
    from ai_usage_assets.settings import Settings

app = create_command(
    "ui",
    example="ai-usage ui --port 3000",
    settings=(*SOURCE_SETTINGS, *WAREHOUSE_SETTINGS, "DAGSTER_HOME", "DAGSTER_PG_URL"),
)


@app.default
def _serve_ui(*, port: Annotated[WholeNumber, Parameter(metavar="PORT", help="port on this machine")] = 3000) -> int:
    """Serve the Dagster UI; if nothing is configured, it shows the simulated company of the demo."""
    from ai_usage_assets.commands import demo

    settings = load_settings()
    with socket.socket() as test_socket:
        test_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test_socket.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise SettingsError(f"Port {port} is not available ({error}); set another with --port.") from None
    if is_configured(settings):
        ui_command(settings, port).exec()
    print_message("Nothing is configured, so the UI shows the simulated company of `ai-usage demo`.")
    with demo.serve_company() as (_, environment):
        return ui_command(load_settings(environment), port).run(environment).code


def is_configured(settings: Settings) -> bool:
    """Whether there is anything of the user's own to show: a source, a warehouse or a run history."""
    from ai_usage_assets.commands import demo

    return bool(
        settings.configured_sources
        or settings.sheet_id
        or settings.warehouse == "bigquery"
        or settings.dagster_home
        or settings.dagster_postgres_url
        or (settings.duckdb_path.exists() and settings.duckdb_path.absolute() != demo.WAREHOUSE.absolute())
    )
