"""Helpers of the fault tests: inject faults into the simulated vendors, and compare the warehouse with the ledger."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ai_usage_assets.simulator import FaultOptions, Simulator
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, Company, RunResult
from ai_usage_assets_tests.support.loading import LoadResult

DAYS = (date.fromisoformat(LOADED_DAY), date.fromisoformat(NEXT_DAY))
ANALYTICS = "anthropic_analytics"
BILL = ("cost", "cost_total", "cost_components", "cost_by_actor_type")
TABLES = (*BILL, "usage", "usage_total")


@dataclass(frozen=True)
class Fault:
    """Faults of a vendor and of the transport, and the reason and the next step that the run must report."""

    reason: str
    next_step: str
    anthropic: dict[str, Any] = field(default_factory=dict)
    transport: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def _assert_logs_contain_no_secret(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Asserts that no log line contains a key or an e-mail address."""
    yield
    messages = "\n".join(record.getMessage() for record in caplog.get_records("call"))
    assert Simulator.ANTHROPIC_KEY not in messages
    assert "@acme.test" not in messages


_removed_counts = itertools.cycle(range(1, 4))


def remove_usage(company: Company) -> None:
    """Restates both days by removing usage, each time a different amount, so that a loaded row would be noticed."""
    removed = next(_removed_counts)
    for day in DAYS:
        company.simulator.amend(day, lambda pieces: pieces[:-removed])


def set_faults(
    company: Company, *, anthropic: dict[str, Any] | None = None, transport: dict[str, Any] | None = None
) -> None:
    """Sets fault options of Anthropic and of the transport."""
    fault_options = company.simulator.fault_options
    for part, values in ((fault_options.anthropic, anthropic), (fault_options.faults, transport)):
        for name, value in (values or {}).items():
            assert hasattr(part, name)
            # Copied, because the simulator counts down in place and the fault tables are reused.
            setattr(part, name, dict(value) if isinstance(value, dict) else value)


def clear_faults(company: Company) -> None:
    """Resets all fault options."""
    defaults = FaultOptions()
    set_faults(company, anthropic=vars(defaults.anthropic), transport=vars(defaults.faults))


def failure_text(result: RunResult | LoadResult) -> str:
    """The messages of failed steps and checks."""
    return "\n".join([*result.failures().values(), *result.failed_checks().values()])


def stored_rows(company: Company) -> list[dict[str, Any]]:
    """Every raw row of the analytics extract."""
    return company.rows(
        " UNION ALL ".join(f"SELECT '{name}' AS name, * FROM ai_usage.raw_anthropic_{name}" for name in TABLES)
        + " ORDER BY name, usage_date, record_no"
    )


def read_day_log(company: Company, asset: str = "raw_anthropic_cost") -> dict[str, dict[str, Any]]:
    """The day log of a table, by day."""
    rows = company.rows("SELECT * FROM ai_usage.ops_asset_days WHERE asset = @asset ORDER BY usage_date", asset=asset)
    return {str(row["usage_date"]): row for row in rows}


def assert_equals_ledger(company: Company, *days: date) -> None:
    """Asserts that dollars, list dollars, tokens and requests of the days equal the ledger, in every table."""
    expected: dict[tuple[str, date], tuple[Decimal, Decimal]] = {}
    for day in days:
        pieces = company.simulator.ledger.usage(day)
        usd = Decimal(sum(piece.billed_microcents for piece in pieces)).scaleb(-8)
        listed = Decimal(sum(piece.list_microcents for piece in pieces)).scaleb(-8)
        expected |= {(name, day): (usd, listed) for name in BILL}
        tokens, requests = sum(sum(piece.tokens) for piece in pieces), sum(piece.requests for piece in pieces)
        expected["usage", day] = (Decimal(tokens), Decimal(requests))
    measures = dict.fromkeys(BILL, ("amount_usd", "list_amount_usd")) | {"usage": ("total_tokens", "requests")}
    totals = company.rows(
        " UNION ALL ".join(
            f"SELECT '{name}' AS name, usage_date, "
            f"CAST(SUM({one}) AS NUMERIC) AS one, CAST(SUM({two}) AS NUMERIC) AS two "
            f"FROM ai_usage.stg_anthropic_{name} WHERE usage_date BETWEEN @first AND @last GROUP BY usage_date"
            for name, (one, two) in measures.items()
        ),
        first=min(days),
        last=max(days),
    )
    assert {(row["name"], row["usage_date"]): (row["one"], row["two"]) for row in totals} == expected
    names = ", ".join(f"'raw_anthropic_{name}'" for name in TABLES)
    statuses = company.rows(
        "SELECT DISTINCT status FROM ai_usage.ops_asset_days "
        f"WHERE asset IN ({names}) AND usage_date BETWEEN @first AND @last",
        first=min(days),
        last=max(days),
    )
    assert statuses == [{"status": "complete"}]


def assert_kept(company: Company, fault: Fault) -> None:
    """Asserts that a load with the fault changes no row, reports the fault, and records it for both days."""
    remove_usage(company)
    before = stored_rows(company)
    set_faults(company, anthropic=fault.anthropic, transport=fault.transport)
    result = company.load(LOADED_DAY, NEXT_DAY, selection=ANALYTICS)
    clear_faults(company)
    assert not result.success
    assert fault.reason in failure_text(result)
    assert fault.next_step in failure_text(result)
    assert Simulator.ANTHROPIC_KEY not in result.text()
    assert "@acme.test" not in result.text()
    assert stored_rows(company) == before
    entries = read_day_log(company)
    assert {day: entry["status"] for day, entry in entries.items()} == {LOADED_DAY: "failed", NEXT_DAY: "failed"}
    assert {entry["run_id"] for entry in entries.values()} == {result.run_id}


def assert_recovers(company: Company) -> None:
    """Asserts that the next load completes both days."""
    result = company.load(LOADED_DAY, NEXT_DAY, selection=ANALYTICS)
    assert result.success, failure_text(result)
    assert_equals_ledger(company, *DAYS)


def assert_kept_then_recovered(company: Company, fault: Fault) -> None:
    """Asserts that a load with the fault changes no day and reports it, and that the next load completes both days."""
    assert_kept(company, fault)
    assert_recovers(company)
