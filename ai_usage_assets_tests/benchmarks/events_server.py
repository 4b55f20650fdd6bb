"""Serves Cursor events from its own process; all pages are generated before the first request.

Run as `python events_server.py EVENTS DAYS`; it prints its port and the sum of the charges in 1e-5 cents, and serves
until stdin ends.
"""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime, timedelta

from ai_usage_assets.http.loopback_server import LoopbackHandler, serve_on_loopback

FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
PAGE_SIZE = 1000
_MODELS = ("claude-sonnet-5-5", "claude-opus-5-5", "grok-4-7", "composer-2", "default")
_DAY_MS = 86_400_000


def pages(events: int, days: int, seed: int = 7) -> tuple[dict[tuple[int, int], bytes], int]:
    """Page bodies by first millisecond of the day and page number, and the sum of the charges in 1e-5 cents."""
    rng = random.Random(seed)
    people = [f"person{n}@acme.test" for n in range(200)]
    bodies: dict[tuple[int, int], bytes] = {}
    total = 0
    for day in range(days):
        start = int((FIRST_DAY + timedelta(days=day)).timestamp() * 1000)
        count = events // days
        timestamps_ms = sorted((start + rng.randrange(_DAY_MS) for _ in range(count)), reverse=True)
        last = -(-count // PAGE_SIZE)
        for page in range(1, last + 1):
            events_of_page = []
            for timestamp_ms in timestamps_ms[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]:
                charge = rng.randrange(1, 3_700_000)
                total += charge
                events_of_page.append(_event(rng, timestamp_ms, charge, rng.choice(people)))
            body = {
                "totalUsageEventsCount": count,
                "pagination": {
                    "numPages": last,
                    "currentPage": page,
                    "pageSize": PAGE_SIZE,
                    "hasNextPage": page < last,
                    "hasPreviousPage": page > 1,
                },
                "usageEvents": events_of_page,
                "period": {"startDate": start, "endDate": start + _DAY_MS - 1},
            }
            bodies[start, page] = json.dumps(body, separators=(",", ":")).encode()
    return bodies, total


def _event(rng: random.Random, timestamp_ms: int, charge: int, email: str) -> dict[str, object]:
    event: dict[str, object] = {
        "timestamp": str(timestamp_ms),
        "userEmail": email,
        "conversationId": f"{rng.getrandbits(128):032x}",
        "model": rng.choice(_MODELS),
        "kind": rng.choice(("Usage-based", "Included in Business")),
        "maxMode": rng.random() < 0.1,
        "requestsCosts": rng.randrange(1, 5),
        "isTokenBasedCall": True,
        "isChargeable": True,
        "isHeadless": False,
        "tokenUsage": {
            "inputTokens": rng.randrange(90_000),
            "outputTokens": rng.randrange(4_000),
            "cacheWriteTokens": rng.randrange(40_000),
            "cacheReadTokens": rng.randrange(300_000),
            "totalCents": rng.randrange(3_000_000) / 100_000,
        },
        "chargedCents": charge / 100_000,
        "cursorTokenFee": rng.randrange(500_000) / 100_000,
    }
    if rng.random() < 0.01:
        # The vendor omits fields that do not apply.
        del event["userEmail"]
    return event


def main() -> None:
    """Serves until stdin ends."""
    bodies, total = pages(int(sys.argv[1]), int(sys.argv[2]))

    class Handler(LoopbackHandler):
        wbufsize = 1 << 20

        def respond(self) -> None:
            query = json.loads(self.read_body())
            self.send(200, {"content-type": "application/json"}, bodies[query["startDate"], query["page"]])
            self.wfile.flush()

    with serve_on_loopback(Handler) as url:
        sys.stdout.write(f"{url.rpartition(':')[2]} {total}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
