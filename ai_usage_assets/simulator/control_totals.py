"""The totals of a simulated company, to compare a warehouse with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ai_usage_assets.simulator import Simulator


@dataclass(frozen=True)
class ControlTotal:
    """One total of a vendor; `measure` is a column of the query `commands/vendor_totals`."""

    vendor: str
    measure: str
    value: Decimal | int


def control_totals(simulator: Simulator, first: date, last: date) -> list[ControlTotal]:
    """The totals of every vendor over a range of days, from the ledger that the simulated APIs serve."""
    ledger = simulator.ledger
    cursor_days = ledger.cursor_usd(first, last).values()
    return [
        ControlTotal("anthropic", "billed_usd", sum(ledger.anthropic_cost_usd(first, last).values(), Decimal(0))),
        ControlTotal("anthropic", "tokens", sum(ledger.anthropic_tokens(first, last).values())),
        ControlTotal("cursor", "billed_usd", sum((day["billed"] for day in cursor_days), Decimal(0))),
        ControlTotal("cursor", "included_usd", sum((day["included"] for day in cursor_days), Decimal(0))),
        ControlTotal("cursor", "seat_usd", sum(ledger.seat_usd(first, last).values(), Decimal(0))),
        ControlTotal("cursor", "requests", sum(ledger.cursor_events(first, last).values())),
    ]


def billed_by_cost_center(simulator: Simulator, first: date, last: date) -> dict[str | None, Decimal]:
    """Billed dollars per cost center; None for unallocated."""
    return simulator.ledger.spend_by_cost_center(first, last, removed_emails=simulator.removed_emails)
