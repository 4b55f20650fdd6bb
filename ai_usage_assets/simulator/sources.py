"""The simulated sources: the one list of vendors that the simulated company uses.

URLs, ports, the environment of a run and the expected totals follow from it. A registered source that is not listed is
not part of the simulated company, and a run against it has no key for that source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ai_usage_assets.simulator.anthropic.api import AnthropicAPI
from ai_usage_assets.simulator.attribution import Charge
from ai_usage_assets.simulator.cursor.api import CursorAPI
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.server import SimulatedApi

if TYPE_CHECKING:
    from ai_usage_assets.simulator import Simulator


@dataclass(frozen=True)
class SimulatedSource:
    """The simulated API of one source.

    `key` is the key that it accepts, `port` the default port of `ai-usage simulator`. `create(simulator)` makes it.
    `totals(ledger, first, last)` returns what the warehouse must contain: columns of the query
    `commands/vendor_totals` and their values. `charges(ledger, day)` returns the billed charges of a day, for the
    expected attribution; None where the ledger itself has them.
    """

    key: str
    port: int
    create: Callable[[Simulator], SimulatedApi]
    totals: Callable[[Ledger, date, date], Mapping[str, Decimal | int]]
    charges: Callable[[Ledger, date], Iterable[Charge]] | None = None


def _anthropic_totals(ledger: Ledger, first: date, last: date) -> dict[str, Decimal | int]:
    return {
        "billed_usd": sum(ledger.anthropic_cost_usd(first, last).values(), Decimal(0)),
        "tokens": sum(ledger.anthropic_tokens(first, last).values()),
    }


def _cursor_totals(ledger: Ledger, first: date, last: date) -> dict[str, Decimal | int]:
    days = ledger.cursor_usd(first, last).values()
    return {
        "billed_usd": sum((day["billed"] for day in days), Decimal(0)),
        "included_usd": sum((day["included"] for day in days), Decimal(0)),
        "seat_usd": sum(ledger.seat_usd(first, last).values(), Decimal(0)),
        "requests": sum(ledger.cursor_events(first, last).values()),
    }


_ANTHROPIC_KEY = "sk-ant-admin01-simulated-organization-no-secret"
_CURSOR_KEY = "crsr_simulatedteamnosecret0000000000000000"

SIMULATED_SOURCES: Mapping[str, SimulatedSource] = {
    "anthropic": SimulatedSource(
        _ANTHROPIC_KEY,
        8701,
        lambda company: AnthropicAPI(
            company.ledger, _ANTHROPIC_KEY, company.fault_options.anthropic, lambda: company.now
        ),
        _anthropic_totals,
    ),
    "cursor": SimulatedSource(
        _CURSOR_KEY,
        8702,
        lambda company: CursorAPI(company.ledger, _CURSOR_KEY, company.fault_options.cursor, lambda: company.now),
        _cursor_totals,
    ),
}

# The name of the Google Sheets API among the simulated APIs.
SHEETS = "sheets"
# Name -> default port of `ai-usage simulator`. 8703 belongs to the sheet, so that a new source moves no port.
DEFAULT_PORTS: Mapping[str, int] = {**{name: source.port for name, source in SIMULATED_SOURCES.items()}, SHEETS: 8703}
