"""The records of the simulated ledger: Anthropic usage, Cursor events and expected anomalies.

Anthropic amounts are integer microcents (1e-6 cents), so that every grouping of the records adds up to the same total.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

ActorKind = Literal["user", "service_account", "federated", "api_key", "unknown"]


@dataclass(frozen=True)
class Actor:
    """The actor to whom Anthropic attributes usage. Each `unknown` actor is a separate identity."""

    kind: ActorKind
    id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One record of Anthropic usage. `components` are (cost type, token type, list, billed) in microcents."""

    at: datetime
    actor: Actor | None
    api_key_id: str | None
    workspace_id: str
    product: str | None
    model: str | None
    service_tier: str | None
    inference_geo: str | None
    tokens: tuple[int, int, int, int, int]
    web_searches: int
    requests: int
    components: tuple[tuple[str, str | None, int, int], ...]
    terminal: str = ""

    @property
    def list_microcents(self) -> int:
        """The list price in microcents."""
        return sum(component[2] for component in self.components)

    @property
    def billed_microcents(self) -> int:
        """The billed price in microcents."""
        return sum(component[3] for component in self.components)


@dataclass(frozen=True, slots=True)
class Event:
    """One Cursor usage event. Amounts in cents are exact decimals."""

    at_ms: int
    email: str | None
    kind: str
    model: str
    charged_cents: Decimal
    total_cents: Decimal | None
    fee_cents: Decimal | None
    discount_percent: int | Decimal | None
    tokens: tuple[int, int, int, int] | None
    conversation_id: str | None
    identity_kind: str | None = None
    identity_id: str | None = None
    identity_name: str | None = None


@dataclass(frozen=True)
class ExpectedAnomaly:
    """An injected anomaly on a day: `usd` extra billed dollars of `who`.

    `dimension` is where it is most visible: a person (e-mail), a key (id), a team or a model. `model`, `team`, `email`
    and `api_key_id` are the other dimensions that include the extra dollars.
    """

    day: date
    what: str
    vendor: str
    dimension: Literal["person", "key", "team", "model"]
    who: str
    model: str
    usd: Decimal
    email: str | None = None
    api_key_id: str | None = None
    team: str | None = None


def cost_basis(kind: str) -> Literal["billed", "included"]:
    """The cost basis of a Cursor event kind."""
    name = kind.upper().removeprefix("USAGE_EVENT_KIND_")
    return "included" if name.startswith(("INCLUDED", "FREE", "ERRORED", "ABORTED")) else "billed"
