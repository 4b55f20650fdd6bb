"""The totals of a simulated company, to compare a warehouse with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.sources import SIMULATED_SOURCES


@dataclass(frozen=True)
class ControlTotal:
    """One total of a vendor; `measure` is a column of the query `commands/vendor_totals`."""

    vendor: str
    measure: str
    value: Decimal | int


def control_totals(simulator: Simulator, first: date, last: date) -> list[ControlTotal]:
    """The totals of every vendor over a range of days, from the ledger that the simulated APIs serve."""
    return [
        ControlTotal(vendor, measure, value)
        for vendor, source in SIMULATED_SOURCES.items()
        for measure, value in source.totals(simulator.ledger, first, last).items()
    ]


def billed_by_cost_center(simulator: Simulator, first: date, last: date) -> dict[str | None, Decimal]:
    """Billed dollars per cost center; None for unallocated."""
    return simulator.ledger.spend_by_cost_center(first, last, removed_emails=simulator.removed_emails)
