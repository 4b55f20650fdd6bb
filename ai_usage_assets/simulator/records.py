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
    """Whom Anthropic attributes usage to. `unknown` is an identity it cannot show: each is its own."""

    kind: ActorKind
    id: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One piece of Anthropic usage. `components` are (cost type, token type, list, billed) in millionths of a cent."""

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
        """List price of the piece."""
        return sum(component[2] for component in self.components)

    @property
    def billed_microcents(self) -> int:
        """Billed price of the piece."""
        return sum(component[3] for component in self.components)


@dataclass(frozen=True, slots=True)
class Event:
    """One Cursor usage event; cents are exact decimals."""

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
    """What was planted on a day: `usd` billed on top of the ordinary for `who`, by the name the vendor has for them.

    `dimension` is where it stands out most: a person (e-mail), a key (id), a team, or a model. What it costs is also in
    the figures of `model`, of `team` and `email`, and of `api_key_id` where these are one.
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
    """What a Cursor kind means for money."""
    name = kind.upper().removeprefix("USAGE_EVENT_KIND_")
    return "included" if name.startswith(("INCLUDED", "FREE", "ERRORED", "ABORTED")) else "billed"
