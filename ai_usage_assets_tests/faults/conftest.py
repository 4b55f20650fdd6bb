"""What the tests of faults share: a company that was whole, and what must be so before, during and after a fault."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ai_usage_assets.simulator import FaultOptions, Simulator
from ai_usage_assets_tests.conftest import HELD, Company, Result

NEXT = "2026-11-11"
DAYS = (date.fromisoformat(HELD), date.fromisoformat(NEXT))
ANALYTICS = "anthropic_analytics"
BILL = ("cost", "cost_total", "cost_components", "cost_by_actor_type")
LANDED = (*BILL, "usage", "usage_total")


@dataclass(frozen=True)
class Fault:
    """How a vendor goes wrong, and what a person must be told: what it is, and what to do."""

    what: str
    advice: str
    anthropic: dict[str, Any] = field(default_factory=dict)
    line: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def _nothing_secret_is_said(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever goes wrong, neither the key nor an e-mail address is in a log line."""
    yield
    told = "\n".join(record.getMessage() for record in caplog.get_records("call"))
    assert Simulator.ANTHROPIC_KEY not in told
    assert "@acme.test" not in told


_restated = itertools.cycle(range(1, 4))


def restate(company: Company) -> None:
    """The vendor takes some of both days back, other pieces than the time before: a row let through would be seen."""
    taken = next(_restated)
    for day in DAYS:
        company.simulator.amend(day, lambda pieces: pieces[:-taken])


def turn(company: Company, *, anthropic: dict[str, Any] | None = None, line: dict[str, Any] | None = None) -> None:
    """Turns switches of the vendor and of the line to it."""
    fault_options = company.simulator.fault_options
    for part, values in ((fault_options.anthropic, anthropic), (fault_options.faults, line)):
        for name, value in (values or {}).items():
            assert hasattr(part, name)
            # Counters count down, and the table of faults is read again.
            setattr(part, name, dict(value) if isinstance(value, dict) else value)


def mend(company: Company) -> None:
    """Everything is as usual again."""
    usual = FaultOptions()
    turn(company, anthropic=vars(usual.anthropic), line=vars(usual.faults))


def said(result: Result) -> str:
    """All that a run told of what went wrong."""
    return "\n".join([*result.failures().values(), *result.failed_checks().values()])


def held(company: Company) -> list[dict[str, Any]]:
    """Every row that analytics has landed, byte for byte."""
    return company.rows(
        " UNION ALL ".join(f"SELECT '{name}' AS name, * FROM ai_usage.raw_anthropic_{name}" for name in LANDED)
        + " ORDER BY name, usage_date, record_no"
    )


def days_of(company: Company, asset: str = "raw_anthropic_cost") -> dict[str, dict[str, Any]]:
    """The log entry of each day of a table."""
    rows = company.rows("SELECT * FROM ai_usage.ops_asset_days WHERE asset = @asset ORDER BY usage_date", asset=asset)
    return {str(row["usage_date"]): row for row in rows}


def assert_whole(company: Company, *days: date) -> None:
    """The days are what the ledger says: dollars and list dollars by every query of the bill, tokens and requests."""
    truth = {}
    for day in days:
        pieces = company.simulator.ledger.usage(day)
        usd = Decimal(sum(piece.billed_microcents for piece in pieces)).scaleb(-8)
        listed = Decimal(sum(piece.list_microcents for piece in pieces)).scaleb(-8)
        truth |= {(name, day): (usd, listed) for name in BILL}
        tokens, requests = sum(sum(piece.tokens) for piece in pieces), sum(piece.requests for piece in pieces)
        truth["usage", day] = (Decimal(tokens), Decimal(requests))
    measures = dict.fromkeys(BILL, ("amount_usd", "list_amount_usd")) | {"usage": ("total_tokens", "requests")}
    found = company.rows(
        " UNION ALL ".join(
            f"SELECT '{name}' AS name, usage_date, "
            f"CAST(SUM({one}) AS NUMERIC) AS one, CAST(SUM({two}) AS NUMERIC) AS two "
            f"FROM ai_usage.stg_anthropic_{name} WHERE usage_date BETWEEN @first AND @last GROUP BY usage_date"
            for name, (one, two) in measures.items()
        ),
        first=min(days),
        last=max(days),
    )
    assert {(row["name"], row["usage_date"]): (row["one"], row["two"]) for row in found} == truth
    names = ", ".join(f"'raw_anthropic_{name}'" for name in LANDED)
    landed = company.rows(
        "SELECT DISTINCT status FROM ai_usage.ops_asset_days "
        f"WHERE asset IN ({names}) AND usage_date BETWEEN @first AND @last",
        first=min(days),
        last=max(days),
    )
    assert landed == [{"status": "complete"}]


def assert_kept_then_healed(company: Company, fault: Fault) -> None:
    """Under the fault neither day is touched and a person is told; the next run brings both whole."""
    restate(company)
    before = held(company)
    turn(company, anthropic=fault.anthropic, line=fault.line)
    result = company.run(HELD, NEXT, lane=ANALYTICS)
    assert not result.success
    assert fault.what in said(result)
    assert fault.advice in said(result)
    assert Simulator.ANTHROPIC_KEY not in repr(result.events)
    assert "@acme.test" not in repr(result.events)
    assert held(company) == before
    assert {day: entry["status"] for day, entry in days_of(company).items()} == {HELD: "failed", NEXT: "failed"}
    mend(company)
    result = company.run(HELD, NEXT, lane=ANALYTICS)
    assert result.success, said(result)
    assert_whole(company, *DAYS)
