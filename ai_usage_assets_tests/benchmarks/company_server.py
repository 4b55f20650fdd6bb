"""The simulated company, in a process of its own, so that what it costs is not counted as the pipeline's.

Belongs here: serving. Does not: measuring. Run as `python company_server.py PEOPLE DAYS`; it prints a run's settings as
one JSON line and serves until its input ends. Every day is made before it is asked for, as a vendor would have it.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta

from ai_usage_assets.commands import demo
from ai_usage_assets.simulator import Simulator

# Anthropic answers for the last 364 days, and from 2026 on.
NOW = datetime(2027, 1, 2, 14, tzinfo=UTC)


def main() -> None:
    """Serves until stdin ends, which is when whoever started it does."""
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
