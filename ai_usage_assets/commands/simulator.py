"""`ai-usage simulator`: serves the simulated APIs on loopback until it is interrupted."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets.commands.base import WholeNumber, create_command, load_settings, print_result_line
from ai_usage_assets.settings import SettingsError

_MAX_PORT = 65535
_MAX_SHOWN = 40

app = create_command(
    "simulator",
    example="ai-usage simulator --ports anthropic=9001 sheets=9003",
    settings=("AI_USAGE_NOW",),
)


@app.default
def _serve(
    *,
    seed: Annotated[WholeNumber, Parameter(help="seed of the simulated company")] = 7,
    ports: Annotated[
        tuple[str, ...],
        Parameter(
            consume_multiple=True,
            negative=(),
            metavar="NAME=PORT",
            help="ports that replace the usual ones, by the name of a source or sheets; 0 is any free port",
        ),
    ] = (),
) -> int:
    """Serve the simulated vendor APIs and Google Sheets API on loopback."""
    from ai_usage_assets.commands.demo import simulator_environment
    from ai_usage_assets.simulator import Simulator

    port_by_name = _parse_ports(ports)
    simulator = Simulator(load_settings().now(), seed=seed)
    with ExitStack() as stack:
        try:
            urls = stack.enter_context(simulator.serve(port_by_name))
        except (OSError, OverflowError) as error:
            tried = " ".join(f"{name}={port}" for name, port in port_by_name.items())
            raise SettingsError(f"Not all ports of {tried} are available ({error}); set others with --ports.") from None
        print_result_line("The simulated APIs run until Ctrl-C. In another terminal:")
        variables = {
            **simulator_environment(simulator, urls),
            # Keeps simulated spend out of the warehouse of a real company.
            "AI_USAGE_WAREHOUSE": "duckdb",
            "AI_USAGE_DUCKDB_PATH": f"data/simulated-{seed}/warehouse.duckdb",
        }
        for name, value in variables.items():
            print_result_line(f"export {name}={value}")
        print_result_line("ai-usage run")
        signal.pause()
    return 0


def _parse_ports(words: Sequence[str]) -> dict[str, int]:
    """The port of every simulated API, from words such as `cursor=8702`. Raises SettingsError."""
    from ai_usage_assets.simulator.sources import DEFAULT_PORTS

    ports = dict(DEFAULT_PORTS)
    for word in words:
        name, _, port = word.partition("=")
        if name not in ports or not re.fullmatch("[0-9]{1,5}", port) or int(port) > _MAX_PORT:
            raise SettingsError(
                f"--ports {word[:_MAX_SHOWN]}: it takes NAME=PORT; the names are {', '.join(ports)}, and a port is a "
                f"number from 0 to {_MAX_PORT}."
            )
        ports[name] = int(port)
    return ports
