"""A minimal script that fetches events into one typed table, without raw records and checks.

Run as `python events_minimal.py URL DAYS FOLDER`; prints rows and cents.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import httpx
import orjson

from ai_usage_assets_tests.benchmarks.events_server import FIRST_DAY, PAGE_SIZE

_COLUMNS = {
    "timestamp": "VARCHAR",
    "userEmail": "VARCHAR",
    "serviceAccountId": "VARCHAR",
    "automationId": "VARCHAR",
    "cloudAgentId": "VARCHAR",
    "conversationId": "VARCHAR",
    "model": "VARCHAR",
    "kind": "VARCHAR",
    "tokenUsage": "STRUCT(inputTokens BIGINT, outputTokens BIGINT, cacheWriteTokens BIGINT, cacheReadTokens BIGINT, "
    "totalCents DECIMAL(38, 9), discountPercentOff DECIMAL(9, 4))",
    "chargedCents": "DECIMAL(38, 9)",
    "cursorTokenFee": "DECIMAL(38, 9)",
}


def main() -> None:
    """Loads all events into one DuckDB file."""
    url, days, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    lines = folder / "events.ndjson"
    with httpx.Client(base_url=url) as client, lines.open("wb") as out:
        for day in range(days):
            start = int((FIRST_DAY + timedelta(days=day)).timestamp() * 1000)
            page, more = 1, True
            while more:
                body = {"startDate": start, "endDate": start + 86_399_999, "page": page, "pageSize": PAGE_SIZE}
                response = orjson.loads(client.post("/teams/filtered-usage-events", json=body).content)
                for event in response["usageEvents"]:
                    out.write(orjson.dumps(event))
                    out.write(b"\n")
                page, more = page + 1, response["pagination"]["hasNextPage"]
    with duckdb.connect(str(folder / "minimal.duckdb")) as warehouse:
        warehouse.execute(
            "CREATE TABLE events AS SELECT * FROM read_json(?, format = 'newline_delimited', columns = ?)",
            [str(lines), _COLUMNS],
        )
        totals = warehouse.execute("SELECT count(*), sum(chargedCents) FROM events").fetchone()
    sys.stdout.write("{} {}\n".format(*(totals or ())))


if __name__ == "__main__":
    main()
