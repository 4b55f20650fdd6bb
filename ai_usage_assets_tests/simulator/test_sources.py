"""The list of simulated sources: one entry makes a source part of the simulated company."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from ai_usage_assets.commands import demo
from ai_usage_assets.registry import SOURCES, SourceEntry
from ai_usage_assets.settings import is_loopback
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.attribution import Charge
from ai_usage_assets.simulator.control_totals import billed_by_cost_center, control_totals
from ai_usage_assets.simulator.server import Request, Response, SimulatedApi
from ai_usage_assets.simulator.sources import DEFAULT_PORTS, SIMULATED_SOURCES, SimulatedSource

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
DAY = date(2026, 11, 10)
NOVA = SourceEntry("nova", "Nova", "NOVA_ADMIN_KEY", "NOVA_BASE_URL", "https://api.nova.example", ("nova-",))


class NovaApi(SimulatedApi):
    """Responds alike to every request."""

    def handle(self, request: Request) -> Response:
        return Response(200, b'{"from": "nova"}')


def test_a_listed_source_is_part_of_the_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry adds a URL, the settings of a run, totals and the expected attribution."""
    usd = Decimal("12.5")
    source = SimulatedSource(
        "nova-key",
        8709,
        lambda company: NovaApi(),
        lambda ledger, first, last: {"billed_usd": usd},
        lambda ledger, day: [Charge(day, "nova", usd, "user", "x@unknown.test", None, None, None)],
    )
    usual = billed_by_cost_center(Simulator(NOW), DAY, DAY)
    monkeypatch.setitem(SIMULATED_SOURCES, "nova", source)
    monkeypatch.setattr(demo, "SOURCES", (*SOURCES, NOVA))
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        assert httpx.get(urls.sources["nova"]).json() == {"from": "nova"}
        environment = demo.simulator_environment(simulator, urls)
    assert environment["NOVA_ADMIN_KEY"] == "nova-key"
    assert environment["NOVA_BASE_URL"] == urls.sources["nova"]
    assert [name for name, _ in simulator.requests] == ["nova"]
    assert ("nova", "billed_usd", usd) in [(t.vendor, t.measure, t.value) for t in control_totals(simulator, DAY, DAY)]
    billed = billed_by_cost_center(simulator, DAY, DAY)
    assert sum(billed.values()) - sum(usual.values()) == usd


def test_a_registered_source_without_a_simulator_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no key and an address on this machine, so a key of the shell loads nothing into the demo."""
    monkeypatch.setattr(demo, "SOURCES", (*SOURCES, NOVA))
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        environment = demo.simulator_environment(simulator, urls)
    assert environment["NOVA_ADMIN_KEY"] == ""
    assert is_loopback(environment["NOVA_BASE_URL"])
    assert "nova" not in urls.sources


def test_simulated_sources_are_registered_and_have_ports_of_their_own() -> None:
    """A simulated source is a registered one, and no two simulated APIs have the same default port."""
    assert set(SIMULATED_SOURCES) <= {entry.name for entry in SOURCES}
    assert len(set(DEFAULT_PORTS.values())) == len(DEFAULT_PORTS)
