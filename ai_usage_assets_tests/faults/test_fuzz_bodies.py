"""Answers of the vendors that nobody would send: refused in words, or landed so that every reading gives the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.extracts import load_extract
from ai_usage_assets.redaction import redact
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.server import Faults, Request, Response, serving
from ai_usage_assets.sources.anthropic.client import AnthropicClient
from ai_usage_assets.sources.base import DayBatch, EndpointNotAvailable, Extract, InvalidRecordError, RejectedDay
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.conftest import NOW, empty
from ai_usage_assets_tests.fakes.http_server import FakeClock
from ai_usage_assets_tests.faults.fuzz import CHANGES, SECRETS, Change, changed, searching

DAY = date(2026, 11, 10)

# What `pulls` catches and tells of; anything else would be a crash.
TOLD = (ApiError, EndpointNotAvailable, InvalidRecordError, msgspec.MsgspecError)


@dataclass
class Vendor:
    """A simulated vendor that answers the same again and again, one of its answers changed."""

    api: Any
    answers: dict[Any, Response] = field(default_factory=dict)
    chosen: int = 0
    changes: list[Change] = field(default_factory=list)
    swapped: tuple[bytes, bytes] | None = None
    asked: list[Any] = field(default_factory=list)

    def handle(self, request: Request) -> Response:
        """The answer, changed if it is the chosen one."""
        key = (request.path, request.query, request.body)
        if key not in self.answers:
            self.answers[key] = self.api.handle(request)
        if key not in self.asked:
            self.asked.append(key)
        answer = self.answers[key]
        if self.swapped:
            assert self.swapped[0] in answer.body
            return Response(answer.status, answer.body.replace(*self.swapped, 1), answer.headers)
        if not self.changes or self.asked.index(key) != self.chosen:
            return answer
        return Response(answer.status, changed(answer.body, self.changes), answer.headers)


@dataclass
class Scene:
    """Both vendors, a client of each, and a warehouse."""

    vendors: dict[str, Vendor]
    clients: dict[str, Any]
    warehouse: DuckDBWarehouse
    landings: int = 0
    # How many requests each pull makes.
    requests: dict[str, int] = field(default_factory=dict)

    def moment(self) -> RunContext:
        """A later moment each time, at which data may shrink."""
        self.landings += 1
        return RunContext(f"r{self.landings}", NOW + timedelta(seconds=self.landings), accept_loss=True)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A small company; every pull has been asked once, so that all answers are known."""
    simulator = Simulator(NOW, people=36)
    vendors = {"anthropic": Vendor(simulator._anthropic), "cursor": Vendor(simulator._cursor)}
    warehouse = DuckDBWarehouse(empty(tmp_path_factory.mktemp("fuzz") / "w.duckdb"))
    days = {"first_day": date(2026, 11, 1), "today": NOW.date(), "start_day": DAY, "end_day": DAY}
    warehouse.rebuild(catalog.table("dim_date"), days)
    with (
        serving("anthropic", vendors["anthropic"].handle, Faults(), 0, lambda request: None) as anthropic,
        serving("cursor", vendors["cursor"].handle, Faults(), 0, lambda request: None) as cursor,
    ):
        clients = {
            "anthropic": AnthropicClient(lambda: Simulator.ANTHROPIC_KEY, anthropic, pacing=False, clock=FakeClock()),
            "cursor": CursorClient(lambda: Simulator.CURSOR_KEY, cursor, pacing=False, clock=FakeClock()),
        }
        made = Scene(vendors, clients, warehouse)
        for pull in catalog.EXTRACTS:
            vendor = vendors[pull.vendor]
            vendor.asked.clear()
            load_extract(warehouse, pull, list(pull.fetch(clients[pull.vendor], DayRange(DAY, DAY))), made.moment())
            made.requests[pull.name] = len(vendor.asked)
        yield made
        for client in clients.values():
            client.close()
    warehouse.close()


def usd(cents: Decimal) -> Decimal:
    """Dollars of cents, read by the contract alone."""
    return (cents / 100).quantize(Decimal("1e-9"), ROUND_HALF_UP, Context(prec=60))


def read(record: bytes) -> Any:
    """A record by another parser; of a field that comes twice it takes the first, as the engines do."""
    return json.loads(
        record, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=lambda pairs: dict(reversed(pairs))
    )


def cents(value: Any) -> Decimal:
    """An amount: a number, or a text that holds one."""
    return Decimal(value)


def money(table: str, record: bytes) -> Decimal | None:
    """The dollars of a raw record, read by the contract alone; None where it has none that are published."""
    found = read(record)
    match table:
        case (
            "raw_anthropic_cost" | "raw_anthropic_cost_total" | "raw_anthropic_cost_components"
            | "raw_anthropic_cost_by_actor_type"
        ):  # fmt: skip
            return usd(cents(found["cost"]["amount"]))
        case "raw_anthropic_cost_report":
            return sum((usd(cents(line["amount"])) for line in found["results"]), Decimal(0))
        case "raw_cursor_usage_events":
            if found.get("chargedCents") is not None:
                return usd(cents(found["chargedCents"]))
            tokens = found.get("tokenUsage") or {}
            kept = 100 - cents(tokens.get("discountPercentOff") or 0)
            fee = cents(found.get("cursorTokenFee") or 0)
            return usd(cents(tokens.get("totalCents") or 0) * kept / 100 + fee)
    return None


def assert_consistent(scene: Scene, pull: Extract, results: list[DayBatch | RejectedDay]) -> None:
    """What was landed can be read by every view and check, adds up in every reading, and holds no key."""
    warehouse = scene.warehouse
    names = {table.name for table in pull.tables}
    subject = CheckContext(warehouse, DayRange(DAY, DAY), NOW.date())
    found = {check.name: check.run(subject) for check in CHECKS if check.asset in names}
    assert not any(
        secret in redact(told.message) for secret in SECRETS for findings in found.values() for told in findings
    )
    for view in (view for view in catalog.models() if view.layer == "staging" and names & set(view.reads)):
        rows = warehouse.rows(f"SELECT * FROM ai_usage.{view.name}")
        (raw,) = view.reads
        taken = next(result for result in results if result.table.name == raw)
        if isinstance(taken, DayBatch) and taken.amount_usd is not None:
            published = sum((row["amount_usd"] for row in rows if row["usage_date"] == DAY), Decimal(0))
            expected = sum((money(raw, record) for record in taken.records), Decimal(0))
            assert published == taken.amount_usd == expected, view.name
    for fact in (fact for fact in catalog.models() if fact.partition_by):
        days = {"first_day": date(2026, 11, 1), "today": NOW.date(), "start_day": DAY, "end_day": DAY}
        warehouse.rebuild(fact, days)
    for table in names:
        for row in warehouse.rows(f"SELECT payload FROM ai_usage.{table}"):
            assert not any(secret in row["payload"] for secret in SECRETS)


@pytest.mark.parametrize("pull", catalog.EXTRACTS, ids=lambda pull: pull.name)
def test_a_changed_answer_is_refused_or_adds_up(scene: Scene, pull: Extract) -> None:
    """Whatever stands in an answer, it is refused in words without keys, or lands with one meaning in every reading."""
    vendor, client = scene.vendors[pull.vendor], scene.clients[pull.vendor]
    ended: list[str] = []

    @searching(20)
    @given(st.integers(0, scene.requests[pull.name] - 1), CHANGES)
    def search(chosen: int, changes: list[Change]) -> None:
        vendor.asked.clear()
        vendor.chosen, vendor.changes = chosen, changes
        try:
            results = list(pull.fetch(client, DayRange(DAY, DAY)))
        except TOLD as problem:
            said = redact(str(problem))
            assert said
            assert not any(secret in said for secret in SECRETS)
            ended.append("refused")
            return
        finally:
            vendor.changes = []
        moment = scene.moment()
        for landed in load_extract(scene.warehouse, pull, results, moment):
            assert not any(secret in str(landed.entry["message"]) for secret in SECRETS)
        ended.append("landed")
        assert_consistent(scene, pull, results)

    search()
    # Neither everything is thrown away nor everything believed.
    assert "refused" in ended
    assert "landed" in ended


@pytest.mark.parametrize(
    ("name", "written", "replacement"),
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
def test_what_was_found_once_is_refused(scene: Scene, name: str, written: bytes, replacement: bytes) -> None:
    """Amounts and instants that no view could read, and fields that stand twice, do not come in."""
    (pull,) = [pull for pull in catalog.EXTRACTS if pull.name == name]
    vendor = scene.vendors[pull.vendor]
    vendor.swapped = (written, replacement)
    try:
        results = list(pull.fetch(scene.clients[pull.vendor], DayRange(DAY, DAY)))
    except TOLD:
        return
    finally:
        vendor.swapped = None
    assert any(isinstance(result, RejectedDay) for result in results)
