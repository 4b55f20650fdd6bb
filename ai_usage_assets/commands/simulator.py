"""`ai-usage simulator`: serves the simulated APIs on loopback until it is interrupted."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import Annotated

from cyclopts import Parameter

from ai_usage_assets.commands.base import WholeNumber, create_command, load_settings, print_result_line
from ai_usage_assets.settings import SettingsError

app = create_command(
    "simulator",
    example="ai-usage simulator --ports 8701 8702 8703",
    settings=("AI_USAGE_NOW",),
)


@app.default
def _serve(
    *,
    seed: Annotated[WholeNumber, Parameter(help="seed of the simulated company")] = 7,
    ports: Annotated[
        tuple[WholeNumber, WholeNumber, WholeNumber],
        Parameter(metavar="PORT PORT PORT", help="ports of the Anthropic, Cursor and Google Sheets APIs"),
    ] = (8701, 8702, 8703),
) -> int:
    """Serve the simulated vendor APIs and Google Sheets API on loopback."""
    from ai_usage_assets.commands.demo import simulator_environment
    from ai_usage_assets.simulator import Simulator

    simulator = Simulator(load_settings().now(), seed=seed)
    with ExitStack() as stack:
        try:
            urls = stack.enter_context(simulator.serve(ports=ports))
        except (OSError, OverflowError) as error:
            numbers = " ".join(map(str, ports))
            raise SettingsError(f"The ports {numbers} are not available ({error}); set others with --ports.") from None
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
