"""Fuzzes vendor responses: each is rejected with a message, or loaded with the same amount in every view."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.redaction import redact
from ai_usage_assets.registry import load_source
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.server import Faults, Request, Response, serve_api
from ai_usage_assets.simulator.sources import SIMULATED_SOURCES
from ai_usage_assets.sources.base import DayBatch, EndpointNotAvailable, Extract, InvalidRecordError, RejectedDay
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.tables import Table
from ai_usage_assets_tests.conftest import NOW, copy_empty_warehouse
from ai_usage_assets_tests.fakes.http_server import FakeClock
from ai_usage_assets_tests.faults.fuzz import CHANGES, SECRETS, Change, apply_changes, fuzz_settings
from ai_usage_assets_tests.support.landing import load_extract

DAY = date(2026, 11, 10)
MODEL_PARAMETERS = {"first_day": date(2026, 11, 1), "today": NOW.date(), "start_day": DAY, "end_day": DAY}

# The errors that the load reports; any other exception is a crash.
EXPECTED_ERRORS = (ApiError, EndpointNotAvailable, InvalidRecordError, msgspec.MsgspecError)


EXTRACTS = [extract for extract in catalog.EXTRACTS if extract.vendor in SIMULATED_SOURCES]


@dataclass
class Vendor:
    """A simulated vendor that repeats its recorded responses, with changes to one of them."""

    api: Any
    responses: dict[Any, Response] = field(default_factory=dict)
    changed_request: int = 0
    changes: list[Change] = field(default_factory=list)
    substitution: tuple[bytes, bytes] | None = None
    requested: list[Any] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        """Returns the recorded response, with the changes or the substitution applied."""
        key = (request.path, request.query, request.body)
        if key not in self.responses:
            self.responses[key] = self.api.handle(request)
        if key not in self.requested:
            self.requested.append(key)
        response = self.responses[key]
        if self.substitution:
            assert self.substitution[0] in response.body
            return Response(response.status, response.body.replace(*self.substitution, 1), response.headers)
        if not self.changes or self.requested.index(key) != self.changed_request:
            return response
        return Response(response.status, apply_changes(response.body, self.changes), response.headers)


@dataclass
class Scene:
    """The simulated vendors, a client for each, and a warehouse."""

    vendors: dict[str, Vendor]
    clients: dict[str, Any]
    warehouse: DuckDBWarehouse
    landings: int = 0
    # The number of requests per extract.
    requests: dict[str, int] = field(default_factory=dict)

    def next_context(self) -> RunContext:
        """A later run context on each call, which accepts loss of records."""
        self.landings += 1
        return RunContext(f"r{self.landings}", NOW + timedelta(seconds=self.landings), accept_loss=True)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A small company, with every extract fetched once so that all responses are recorded."""
    simulator = Simulator(NOW, people=36)
    vendors = {name: Vendor(simulator.apis[name]) for name in SIMULATED_SOURCES}
    warehouse = DuckDBWarehouse(copy_empty_warehouse(tmp_path_factory.mktemp("fuzz") / "w.duckdb"))
    warehouse.rebuild(catalog.table("dim_date"), MODEL_PARAMETERS)
    with ExitStack() as stack:
        clients = {}
        for name, source in SIMULATED_SOURCES.items():
            url = stack.enter_context(serve_api(name, vendors[name].handle, Faults(), 0, lambda request: None))
            key = source.key
            client = load_source(name).connect(lambda key=key: key, url, pacing=False, clock=FakeClock())  # type: ignore[misc]
            stack.callback(client.close)
            clients[name] = client
        scene = Scene(vendors, clients, warehouse)
        for extract in EXTRACTS:
            vendor = vendors[extract.vendor]
            vendor.requested.clear()
            load_extract(
                warehouse,
                extract,
                list(extract.fetch(clients[extract.vendor], DayRange(DAY, DAY))),
                scene.next_context(),
            )
            scene.requests[extract.name] = len(vendor.requested)
        yield scene
    warehouse.close()


def to_usd(cents: Decimal) -> Decimal:
    """Converts cents to dollars, independently of the product."""
    return (cents / 100).quantize(Decimal("1e-9"), ROUND_HALF_UP, Context(prec=60))


def parse_first_wins(record: bytes) -> Any:
    """Parses a record with the first of duplicate fields, as the SQL engines do."""
    return json.loads(
        record, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=lambda pairs: dict(reversed(pairs))
    )


def parse_amount(value: Any) -> Decimal:
    """Parses an amount, which is a number or a string."""
    return Decimal(value)


def published_usd(table: str, record: bytes) -> Decimal | None:
    """The dollars of a raw record, independently of the product; None if its table publishes none."""
    values = parse_first_wins(record)
    match table:
        case (
            "raw_anthropic_cost" | "raw_anthropic_cost_total" | "raw_anthropic_cost_components"
            | "raw_anthropic_cost_by_actor_type"
        ):  # fmt: skip
            return to_usd(parse_amount(values["cost"]["amount"]))
        case "raw_anthropic_cost_report":
            return sum((to_usd(parse_amount(line["amount"])) for line in values["results"]), Decimal(0))
        case "raw_cursor_usage_events":
            if values.get("chargedCents") is not None:
                return to_usd(parse_amount(values["chargedCents"]))
            tokens = values.get("tokenUsage") or {}
            remaining_percent = 100 - parse_amount(tokens.get("discountPercentOff") or 0)
            fee = parse_amount(values.get("cursorTokenFee") or 0)
            return to_usd(parse_amount(tokens.get("totalCents") or 0) * remaining_percent / 100 + fee)
    return None


def _daily_models(raw_tables: Set[str]) -> list[Table]:
    """The stored models with days that read the tables, directly or through other models."""
    affected = {*raw_tables}
    for model in catalog.models():
        if affected & {*model.reads}:
            affected.add(model.name)
    return [model for model in catalog.models() if model.name in affected and model.partition_by]


def assert_consistent(scene: Scene, extract: Extract, results: list[DayBatch | RejectedDay], changed: Set[str]) -> None:
    """Every view and check can read the changed tables, amounts are equal in all of them, and no key is stored."""
    warehouse = scene.warehouse
    # A check can compare an unchanged table with a changed one.
    names = {table.name for table in extract.tables}
    context = CheckContext(warehouse, DayRange(DAY, DAY), NOW.date())
    findings = [finding for check in CHECKS if check.asset in names for finding in check.run(context)]
    assert not any(secret in redact(finding.message) for secret in SECRETS for finding in findings)
    for view in (view for view in catalog.models() if view.layer == "staging" and changed & set(view.reads)):
        rows = warehouse.rows(f"SELECT * FROM ai_usage.{view.name}")
        (raw,) = view.reads
        result = next(result for result in results if result.table.name == raw)
        if isinstance(result, DayBatch) and result.amount_usd is not None:
            published = sum((row["amount_usd"] for row in rows if row["usage_date"] == DAY), Decimal(0))
            assert published == result.amount_usd, view.name
            if extract.vendor in ("anthropic", "cursor"):
                expected = sum((published_usd(raw, record) or Decimal(0) for record in result.records), Decimal(0))
                assert published == expected, view.name
    for fact in _daily_models(changed):
        warehouse.rebuild(fact, MODEL_PARAMETERS)
    for table in changed:
        for row in warehouse.rows(f"SELECT payload FROM ai_usage.{table}"):
            assert not any(secret in row["payload"] for secret in SECRETS)


@pytest.mark.parametrize("extract", EXTRACTS, ids=lambda extract: extract.name)
def test_changed_response_is_rejected_or_adds_up(scene: Scene, extract: Extract) -> None:
    """An arbitrary response is rejected without a key in the message, or loaded with equal amounts in every view."""
    vendor, client = scene.vendors[extract.vendor], scene.clients[extract.vendor]
    outcomes: list[str] = []

    # An empty body is rejected; a new field is loaded.
    @fuzz_settings(18)
    @example(0, [Change(0, "cut", "")])
    @example(0, [Change(0, "add", "1")])
    @given(st.integers(0, scene.requests[extract.name] - 1), CHANGES)
    def search(changed_request: int, changes: list[Change]) -> None:
        vendor.requested.clear()
        vendor.changed_request, vendor.changes = changed_request, changes
        try:
            results = list(extract.fetch(client, DayRange(DAY, DAY)))
        except EXPECTED_ERRORS as error:
            message = redact(str(error))
            assert message
            assert not any(secret in message for secret in SECRETS)
            outcomes.append("rejected")
            return
        finally:
            vendor.changes = []
        landed = load_extract(scene.warehouse, extract, results, scene.next_context())
        assert not any(secret in str(day.entry["message"]) for day in landed for secret in SECRETS)
        outcomes.append("loaded")
        assert_consistent(scene, extract, results, {str(day.entry["asset"]) for day in landed if day.changed})

    search()
    assert "rejected" in outcomes
    assert "loaded" in outcomes


@pytest.mark.parametrize(
    ("name", "original", "replacement"),
    [
        ("cursor_spend", b'"spendCents":', b'"spendCents":10000000000000,"was":'),
        ("cursor_spend", b'"subscriptionCycleStart":', b'"subscriptionCycleStart":99999999999999999,"was":'),
        ("cursor_groups", b'"leftAt":null,"spendCents":', b'"spendCents":1e13,"was":'),
        ("cursor_usage_events", b'"timestamp":', b'"timestamp":"soon","timestamp":'),
        ("cursor_usage_events", b'"chargedCents":', b'"chargedCents":7,"chargedCents":'),
        ("anthropic_analytics", b'"amount":', b'"amount":"1","amount":'),
        ("anthropic_cost_report", b'"amount":', b'"amount":"1","amount":'),
    ],
)
def test_unreadable_values_are_rejected(scene: Scene, name: str, original: bytes, replacement: bytes) -> None:
    """Amounts and times that no view can read, and duplicate fields, are rejected (each was once accepted)."""
    (extract,) = [extract for extract in EXTRACTS if extract.name == name]
    vendor = scene.vendors[extract.vendor]
    vendor.substitution = (original, replacement)
    try:
        results = list(extract.fetch(scene.clients[extract.vendor], DayRange(DAY, DAY)))
    except EXPECTED_ERRORS:
        return
    finally:
        vendor.substitution = None
    assert any(isinstance(result, RejectedDay) for result in results)
