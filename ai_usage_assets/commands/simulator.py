"""`ai-usage simulator`: serves the simulated APIs on loopback until it is interrupted."""

from __future__ import annotations

import argparse
import signal
from contextlib import ExitStack
from typing import Any

from ai_usage_assets.commands.base import add_command, load_settings, print_result_line
from ai_usage_assets.settings import SettingsError


def add_command_to(commands: Any) -> None:
    """Declares the command."""
    parser = add_command(
        commands,
        "simulator",
        _serve,
        summary="serve the simulated vendor APIs and Google Sheets API on loopback",
        example="ai-usage simulator --ports 8701 8702 8703",
        settings=("AI_USAGE_NOW",),
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of the simulated company (default 7)")
    parser.add_argument(
        "--ports",
        type=int,
        nargs=3,
        default=(8701, 8702, 8703),
        metavar="PORT",
        help="ports of the Anthropic, Cursor and Google Sheets APIs (default 8701 8702 8703)",
    )


def _serve(parsed: argparse.Namespace) -> int:
    from ai_usage_assets.commands.demo import simulator_environment
    from ai_usage_assets.simulator import Simulator

    simulator = Simulator(load_settings().now(), seed=parsed.seed)
    with ExitStack() as stack:
        try:
            urls = stack.enter_context(simulator.serve(ports=tuple(parsed.ports)))
        except (OSError, OverflowError) as error:
            ports = " ".join(map(str, parsed.ports))
            raise SettingsError(f"The ports {ports} are not available ({error}); set others with --ports.") from None
        print_result_line("The simulated APIs run until Ctrl-C. In another terminal:")
        variables = {
            **simulator_environment(simulator, urls),
            # Keeps simulated spend out of the warehouse of a real company.
            "AI_USAGE_WAREHOUSE": "duckdb",
            "AI_USAGE_DUCKDB_PATH": f"data/simulated-{parsed.seed}/warehouse.duckdb",
        }
        for name, value in variables.items():
            print_result_line(f"export {name}={value}")
        print_result_line("ai-usage run")
        signal.pause()
    return 0
