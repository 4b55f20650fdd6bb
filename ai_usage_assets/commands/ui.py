"""`ai-usage ui`: serves the Dagster UI, with the simulated company when no vendor key and no sheet is set."""

from __future__ import annotations

import argparse
import socket
from typing import Any

from ai_usage_assets.commands.base import SOURCE_SETTINGS, WAREHOUSE_SETTINGS, add_command, print_message
from ai_usage_assets.commands.launch import ui_command
from ai_usage_assets.settings import Settings, SettingsError


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(
        commands,
        "ui",
        _serve_ui,
        summary="serve the Dagster UI; without a vendor key or sheet, show the simulated company of the demo",
        example="ai-usage ui --port 3000",
        settings=(*SOURCE_SETTINGS, *WAREHOUSE_SETTINGS, "DAGSTER_HOME", "DAGSTER_PG_URL"),
    )
    parser.add_argument("--port", type=int, default=3000, help="port on this machine (default 3000)")


def _serve_ui(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands import demo

    settings = Settings.from_environment()
    with socket.socket() as test_socket:
        test_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test_socket.bind(("127.0.0.1", parsed.port))
        except (OSError, OverflowError) as error:
            raise SettingsError(f"Port {parsed.port} is not available ({error}); set another with --port.") from None
    if settings.configured_sources or settings.sheet_id:
        ui_command(settings, parsed.port).exec()
    print_message("No vendor key and no sheet is set, so the UI shows the simulated company of `ai-usage demo`.")
    with demo.serve_company() as (_, environment):
        return ui_command(Settings.from_environment(environment), parsed.port).run(environment).code
