"""The ledger of the simulated company: it is deterministic, and a revision is local."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from ai_usage_assets.simulator import Simulator
from ai_usage_assets_tests.simulator.conftest import NOW

DAYS = (date(2026, 11, 10), date(2026, 11, 12))


def test_days_depend_on_the_seed_only() -> None:
    """A day depends on the seed and its date only, not on the order of reads."""
    one, other = Simulator(NOW), Simulator(NOW + timedelta(days=30))
    later = other.ledger.usage(DAYS[1])
    assert [one.ledger.usage(day) for day in DAYS] == [other.ledger.usage(DAYS[0]), later]
    assert [one.ledger.events(day) for day in DAYS] == [other.ledger.events(day) for day in DAYS]
    assert Simulator(NOW, seed=8).ledger.usage(DAYS[0]) != one.ledger.usage(DAYS[0])


def test_revision_changes_its_day_only() -> None:
    """A revision scales the dollars of its day; other days and the tokens stay the same."""
    company = Simulator(NOW)
    before, tokens = company.ledger.anthropic_cost_usd(*DAYS), company.ledger.anthropic_tokens(*DAYS)
    company.revise(DAYS[0], Decimal("0.5"))
    after = company.ledger.anthropic_cost_usd(*DAYS)
    assert abs(after[DAYS[0]] - before[DAYS[0]] / 2) < Decimal("0.001")
    assert {day: usd for day, usd in after.items() if day != DAYS[0]} == {
        d: u for d, u in before.items() if d != DAYS[0]
    }
    assert company.ledger.anthropic_tokens(*DAYS) == tokens
