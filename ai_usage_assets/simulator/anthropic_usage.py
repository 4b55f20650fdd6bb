"""Generates the Anthropic usage of the simulated company from the seed and the day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ai_usage_assets.simulator import company_calendar
from ai_usage_assets.simulator.organization import FOUNDED, ApiKey
from ai_usage_assets.simulator.records import Actor, ActorKind, Usage

if TYPE_CHECKING:
    from ai_usage_assets.simulator.ledger import Ledger

MICROCENTS_PER_USD = 10**8

TOKEN_TYPES = (
    "uncached_input_tokens",
    "cache_creation.ephemeral_5m_input_tokens",
    "cache_creation.ephemeral_1h_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)
_WEB_SEARCH_MICROCENTS = 1_000_000
_CODE_EXECUTION_MICROCENTS_PER_SECOND = 1_389
# The negotiated discount: the billed share of the list price.
_BILLED_PERCENT = 90
_BATCH_PERCENT = 50


def generate_usage(ledger: Ledger, day: date) -> Iterator[Usage]:
    """Generates the normal usage of a day."""
    rng = random.Random(f"{ledger.seed}/anthropic/{day}")
    weekend = company_calendar.is_day_off(day)
    trend = (1 + (day - FOUNDED).days / 900) * company_calendar.activity_level(day)
    default, production, claude_code, *_ = (w.id for w in ledger.organization.workspaces)
    for key in ledger.organization.keys:
        if key.usd_per_day and (key.until is None or day < key.until):
            rhythm = 0.75 if weekend and key.principal else 0.3 if weekend else 1.0
            for _ in range(3):
                yield _generate_piece(
                    ledger,
                    rng,
                    day,
                    actor_of(key, day),
                    key.id,
                    key.workspace_id,
                    key.product,
                    rng.choice(key.models),
                    key.usd_per_day / 3 * rhythm * trend * rng.uniform(0.6, 1.4),
                    tier="batch" if key.product == "message_batches_api" else "standard",
                )
    own_keys = {key.principal: key for key in ledger.organization.keys if key.product == "claude_code"}
    for person in ledger.organization.people:
        # Drawn for every person, so that a change of one person does not change the others' usage.
        idle_draw, variation, second = rng.random(), rng.uniform(0.4, 1.8), rng.random()
        seed = rng.random()
        if not person.usage_level or not person.is_here(day) or idle_draw > (0.12 if weekend else 0.85):
            continue
        own = random.Random(seed)
        own_key = own_keys.get(person.user_id)
        model = own.choices(("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"), (6, 3, 2))[0]
        actor = Actor("user", person.user_id)
        usd = person.usage_level * variation * 4.2 * trend
        yield _generate_piece(
            ledger, own, day, actor, own_key.id if own_key else None, claude_code, "claude_code", model, usd
        )
        if second < 0.25:
            yield _generate_piece(
                ledger, own, day, actor, None, default, "claude_console", "claude-sonnet-5-5", usd / 9
            )
    # Two actors without an identity, each with its own row, and one federated workload.
    for hidden in ("hidden-1", "hidden-2"):
        yield _generate_piece(
            ledger, rng, day, Actor("unknown", hidden), None, default, "messages_api", "claude-sonnet-5-5", 0.4
        )
    loader = Actor("federated", "system:serviceaccount:etl:loader")
    yield _generate_piece(ledger, rng, day, loader, None, production, "messages_api", "claude-haiku-5-5", 2.5)
    yield _generate_code_execution(ledger, rng, day, ledger.organization.keys[1])


def generate_anomaly_usage(ledger: Ledger, anomaly: company_calendar.InjectedAnomaly, day: date) -> Iterator[Usage]:
    """Generates the usage of an injected anomaly on a day."""
    rng = random.Random(f"{ledger.seed}/{anomaly.what}/{day}")
    claude_code = ledger.organization.workspaces[2].id
    if anomaly.dimension == "key":
        key = ledger.anomaly_key(anomaly)
        for _ in range(4):
            yield _generate_piece(
                ledger, rng, day, actor_of(key, day), key.id, key.workspace_id, key.product, anomaly.model,
                anomaly.usd / 4, tier="batch" if key.product == "message_batches_api" else "standard",
            )  # fmt: skip
        return
    affected = ledger.affected_people(anomaly, day)
    own_keys = {key.principal: key.id for key in ledger.organization.keys if key.product == "claude_code"}
    for person in affected:
        actor, key_id = Actor("user", person.user_id), own_keys.get(person.user_id)
        usd = anomaly.usd / len(affected)
        yield _generate_piece(ledger, rng, day, actor, key_id, claude_code, "claude_code", anomaly.model, usd)


def actor_of(key: ApiKey, day: date) -> Actor:
    """The actor of a key's usage on a day: its principal, else the key itself."""
    if key.principal is None or day < key.bound_since:
        return Actor("api_key", key.id)
    kind: ActorKind = "service_account" if key.principal.startswith("svac_") else "user"
    return Actor(kind, key.principal)


def _generate_piece(
    ledger: Ledger,
    rng: random.Random,
    day: date,
    actor: Actor,
    api_key_id: str | None,
    workspace_id: str,
    product: str,
    model: str,
    usd: float,
    *,
    tier: str = "standard",
) -> Usage:
    """Generates usage that costs about `usd` at list price."""
    weights = (
        rng.uniform(0.5, 1.5),
        rng.uniform(0.2, 0.6),
        rng.uniform(0, 0.2),
        rng.uniform(3, 9),
        rng.uniform(0.1, 0.35),
    )
    # Reuses a weight as the draw, because another draw would change every generated day.
    model = company_calendar.model_on(model, day, weights[0] - 0.5)
    list_prices = company_calendar.list_prices(model, day)
    percent = _BATCH_PERCENT if tier == "batch" else 100
    per_unit = sum(weight * price for weight, price in zip(weights, list_prices, strict=True)) * percent / 100
    units = usd * MICROCENTS_PER_USD * 1000 / per_unit
    tokens = (
        int(weights[0] * units),
        int(weights[1] * units),
        int(weights[2] * units),
        int(weights[3] * units),
        int(weights[4] * units),
    )
    searches = rng.randrange(1, 9) if rng.random() < 0.15 else 0
    components = [
        _build_component(ledger, day, "tokens", kind, count * price * percent // 100 // 1000)
        for kind, count, price in zip(TOKEN_TYPES, tokens, list_prices, strict=True)
        if count
    ]
    if searches:
        components.append(_build_component(ledger, day, "web_search", None, searches * _WEB_SEARCH_MICROCENTS))
    return Usage(
        at=random_instant(rng, day),
        actor=actor,
        api_key_id=api_key_id,
        workspace_id=workspace_id,
        product=product,
        model=model,
        service_tier=tier,
        inference_geo="global",
        tokens=tokens,
        web_searches=searches,
        requests=max(1, int(sum(tokens) / rng.uniform(30_000, 90_000))),
        components=tuple(components),
        terminal=rng.choice(("vscode", "iTerm.app", "tmux", "pycharm")) if product == "claude_code" else "",
    )


def _generate_code_execution(ledger: Ledger, rng: random.Random, day: date, key: ApiKey) -> Usage:
    seconds = rng.randrange(3_000, 30_000)
    return Usage(
        at=random_instant(rng, day),
        actor=actor_of(key, day),
        api_key_id=key.id,
        workspace_id=key.workspace_id,
        product=None,
        model=None,
        service_tier=None,
        inference_geo=None,
        tokens=(0, 0, 0, 0, 0),
        web_searches=0,
        requests=max(1, seconds // 300),
        components=(
            _build_component(ledger, day, "code_execution", None, seconds * _CODE_EXECUTION_MICROCENTS_PER_SECOND),
        ),
    )


def _build_component(
    ledger: Ledger, day: date, cost_type: str, token_type: str | None, list_microcents: int
) -> tuple[str, str | None, int, int]:
    revised = int(list_microcents * ledger.factors.get(day, Decimal(1)))
    return cost_type, token_type, revised, (revised * _BILLED_PERCENT + 50) // 100


def random_instant(rng: random.Random, day: date) -> datetime:
    """A random instant of a day, mostly in European working hours."""
    hour = min(23, max(0, int(rng.gauss(12, 4))))
    return datetime(day.year, day.month, day.day, hour, rng.randrange(60), rng.randrange(60), tzinfo=UTC)
