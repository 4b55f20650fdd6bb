"""The same records give the same tables, whatever their order and pages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.days import DayRange
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.simulator.server import Faults, Request, Response, serve_api
from ai_usage_assets.sources.anthropic.client import AnthropicClient
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.faults.fuzz import fuzz_settings
from ai_usage_assets_tests.support.landing import load_extract

DAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
EXTRACTS = {extract.name: extract for extract in catalog.EXTRACTS}

# Some are equal, some have no e-mail and get it from their conversation, some differ only in the last field.
EVENTS = [
    {
        "timestamp": str(1794268800000 + index // 2 * 60_000),
        "model": f"m{index % 3}",
        "kind": "Usage-based",
        "conversationId": f"c{index % 4}",
        "chargedCents": index // 3 + 0.1,
        **({"userEmail": f"p{index % 4}@example.com"} if index % 5 else {}),
    }
    for index in range(14)
] + [{"timestamp": "1794268800000", "kind": "Usage-based", "chargedCents": 1.5}] * 2  # fmt: skip

ROWS = [
    {
        "starting_at": "2026-11-10T00:00:00Z",
        "group": {"actor": {"type": "user_actor", "user_id": f"u{index % 4}"}, "model": f"m{index % 3}",
                  "workspace_id": "w", "api_key_id": None, "product": "messages_api"},
        "cost": {"amount": f"{index // 2}.000001", "list_amount": f"{index}.5", "currency": "USD"},
        "usage": {"total_tokens": index, "output_tokens": index, "uncached_input_tokens": 0,
                  "cache_read_input_tokens": 0},
    }
    for index in range(12)
]  # fmt: skip

# An order of the records, and where pages end.
CUTS = st.tuples(st.permutations(range(16)), st.sets(st.integers(1, 15), max_size=6))


class Pages:
    """Responses with the records in a given order, split into pages."""

    def __init__(self) -> None:
        self.order: list[int] = list(range(16))
        self.ends: set[int] = set()

    def _page(self, records: list[Any], page: int) -> tuple[list[Any], bool]:
        ordered = [records[index] for index in self.order if index < len(records)]
        ends = [0, *sorted(end for end in self.ends if end < len(ordered)), len(ordered)]
        first, last = list(itertools.pairwise(ends))[page - 1]
        return ordered[first:last], page < len(ends) - 1

    def cursor(self, request: Request) -> Response:
        """The usage events."""
        page = json.loads(request.body)["page"]
        events, more = self._page(EVENTS, page)
        body = {"totalUsageEventsCount": len(EVENTS), "pagination": {"hasNextPage": more}, "usageEvents": events}
        return Response(200, json.dumps(body).encode())

    def anthropic(self, request: Request) -> Response:
        """The six queries; those with one row per day have one page."""
        page = int(request.one("page") or 1)
        if len(request.many("group_by")) == 5:
            rows, more = self._page(ROWS, page)
        else:
            total = {"amount": "30.000012", "list_amount": "72.0", "currency": "USD"}
            counts = {"total_tokens": sum(range(len(ROWS))), "output_tokens": 0, "uncached_input_tokens": 0,
                      "cache_read_input_tokens": 0}  # fmt: skip
            rows, more = [{"starting_at": "2026-11-10T00:00:00Z", "group": {}, "cost": total, "usage": counts}], False
        body = {"data": rows, "has_more": more, "next_page": str(page + 1) if more else None,
                "data_refreshed_at": "2026-11-12T00:00:00Z"}  # fmt: skip
        return Response(200, json.dumps(body).encode())


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pages, dict[str, Any], DuckDBWarehouse]]:
    """Both vendors on loopback addresses, a client for each, and a warehouse."""
    pages = Pages()
    warehouse = DuckDBWarehouse(copy_empty_warehouse(tmp_path_factory.mktemp("paging") / "w.duckdb"))
    with (
        serve_api("cursor", pages.cursor, Faults(), 0, lambda request: None) as cursor,
        serve_api("anthropic", pages.anthropic, Faults(), 0, lambda request: None) as anthropic,
    ):
        clients = {
            "cursor_usage_events": CursorClient(lambda: "key", cursor, pacing=False),
            "anthropic_analytics": AnthropicClient(lambda: "key", anthropic, pacing=False),
        }
        yield pages, clients, warehouse
        for client in clients.values():
            client.close()
    warehouse.close()


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("cursor_usage_events", {"raw_cursor_usage_events": "int_cursor_usage_daily"}),
        (
            "anthropic_analytics",
            {"raw_anthropic_cost": "int_anthropic_cost_daily", "raw_anthropic_usage": "int_anthropic_tokens_daily"},
        ),
    ],
)
def test_order_and_pages_do_not_change_the_tables(
    apis: tuple[Pages, dict[str, Any], DuckDBWarehouse], name: str, facts: dict[str, str]
) -> None:
    """Row numbers, the digest and the facts do not depend on order and pages."""
    pages, clients, warehouse = apis
    days = {"first_day": DAY, "today": NOW.date(), "start_day": DAY, "end_day": DAY + timedelta(days=1)}
    first_result: list[Any] = []

    def read(raw: str, fact: str) -> list[Any]:
        warehouse.rebuild(catalog.table(fact), days)
        rows = warehouse.rows(f"SELECT record_no, payload FROM ai_usage.{raw} ORDER BY record_no")
        log = warehouse.rows(
            f"SELECT status, records, content_digest FROM ai_usage.ops_asset_days WHERE asset = '{raw}'"
        )
        fact_rows = sorted(map(str, warehouse.rows(f"SELECT * FROM ai_usage.{fact}")))
        assert log[0]["status"] == "complete"
        assert len(rows) == log[0]["records"] >= len(ROWS)
        assert fact_rows
        return [rows, log, fact_rows]

    @fuzz_settings(25)
    @given(CUTS)
    def search(cut: tuple[list[int], set[int]]) -> None:
        pages.order, pages.ends = cut
        # Empty tables, because an unchanged digest would skip the load.
        deletions = [f"DELETE FROM {raw}" for raw in facts]
        warehouse._connect().execute("; ".join([*deletions, "DELETE FROM ops_asset_days"]))
        results = list(EXTRACTS[name].fetch(clients[name], DayRange(DAY, DAY)))
        load_extract(warehouse, EXTRACTS[name], results, RunContext("r", NOW))
        result = [read(raw, fact) for raw, fact in facts.items()]
        first_result[:] = first_result or result
        assert result == first_result

    search()
