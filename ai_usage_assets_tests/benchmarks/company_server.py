"""Serves the simulated company from its own process, so that its cost is not measured.

Run as `python company_server.py PEOPLE DAYS`. It generates the days, prints the settings of a run as one JSON line, and
serves until stdin ends.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta

from ai_usage_assets.commands import demo
from ai_usage_assets.simulator import Simulator

# Anthropic's API has data for the last 364 days, from 2026 on.
NOW = datetime(2027, 1, 2, 14, tzinfo=UTC)


def main() -> None:
    """Serves until stdin ends."""
    people, days = int(sys.argv[1]), int(sys.argv[2])
    simulator = Simulator(NOW, people=people)
    for ago in range(days + 1):
        day: date = (NOW - timedelta(days=ago)).date()
        simulator.ledger.usage(day)
        simulator.ledger.events(day)
    with simulator.serve() as urls:
        sys.stdout.write(json.dumps(demo.simulator_environment(simulator, urls)) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
