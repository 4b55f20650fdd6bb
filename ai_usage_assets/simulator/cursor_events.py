"""Generates the Cursor events of the simulated company from the seed and the day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ai_usage_assets.simulator import company_calendar
from ai_usage_assets.simulator.anthropic_usage import random_instant
from ai_usage_assets.simulator.records import Event, cost_basis

if TYPE_CHECKING:
    from ai_usage_assets.simulator.ledger import Ledger


_MODELS = ("claude-sonnet-5-5", "claude-opus-5-5", "grok-4-7", "composer-2", "default")
_MODEL_WEIGHTS = (5, 2, 3, 4, 4)


def generate_anomaly_events(ledger: Ledger, anomaly: company_calendar.InjectedAnomaly, day: date) -> Iterator[Event]:
    """Generates large on-demand events of one person until they cost about the anomaly's dollars."""
    rng = random.Random(f"{ledger.seed}/{anomaly.what}/{day}")
    for person in ledger.affected_people(anomaly, day):
        left, conversation = Decimal(anomaly.usd) * 100, _uuid(rng)
        while left > 0:
            event = _generate_event(
                ledger, rng, day, person.email, conversation, spent=True, model=anomaly.model, size=20
            )
            if cost_basis(event.kind) == "billed":
                left -= event.charged_cents
                yield event


def generate_events(ledger: Ledger, day: date) -> Iterator[Event]:
    """Generates the normal events of a day."""
    rng = random.Random(f"{ledger.seed}/cursor/{day}")
    weekend = company_calendar.is_day_off(day)
    activity_level = company_calendar.activity_level(day) * company_calendar.cursor_adoption(day)
    for person in ledger.organization.people:
        idle_draw, seed = rng.random(), rng.random()
        if (
            person.cursor_role in (None, "free-owner")
            or not person.is_here(day)
            or (person.cursor_inactive_since is not None and day >= person.cursor_inactive_since)
            or idle_draw > (0.15 if weekend else 0.8)
        ):
            continue
        own = random.Random(seed)
        conversation = _uuid(own)
        if ledger.long_conversations:
            week = day.isocalendar()
            conversation = _uuid(random.Random(f"{ledger.seed}/{person.email}/{week.year}-{week.week}"))
        # The included usage of a seat lasts for the first part of a month.
        spent = own.random() < (day.day - 8) / 18
        for _ in range(max(1, round(own.randrange(2, 12) * activity_level))):
            if own.random() < 0.2 and not ledger.long_conversations:
                conversation = _uuid(own)
            yield _generate_event(
                ledger, own, day, person.email, conversation, spent=spent, size=person.cursor_request_size
            )
        if own.random() < 0.08:
            twin = _generate_event(ledger, own, day, person.email, conversation, spent=spent)
            # Two equal events in the same millisecond are two events.
            yield twin
            yield twin
    for identity in ledger.organization.service_identities:
        for _ in range(
            int(identity.events_per_day * activity_level * (0.6 if weekend else 1.0) * rng.uniform(0.6, 1.4))
        ):
            event = _generate_event(ledger, rng, day, identity.email, _uuid(rng), spent=True)
            yield Event(
                event.at_ms, identity.email, event.kind, event.model, event.charged_cents, event.total_cents,
                event.fee_cents, event.discount_percent, event.tokens, event.conversation_id,
                identity.kind, identity.id, identity.name,
            )  # fmt: skip


def _generate_event(
    ledger: Ledger,
    rng: random.Random,
    day: date,
    email: str | None,
    conversation: str,
    *,
    spent: bool,
    model: str | None = None,
    size: int = 1,
) -> Event:
    at_ms = int(random_instant(rng, day).timestamp() * 1000) + rng.randrange(1000)
    model = model or rng.choices(_MODELS, _MODEL_WEIGHTS)[0]
    fate = rng.random()
    if fate < 0.03:
        return Event(at_ms, email, "Errored, Not Charged", model, Decimal(0), None, None, None, None, conversation)
    tokens = (
        rng.randrange(50, 90_000) * size,
        rng.randrange(40, 4_000) * size,
        rng.randrange(0, 40_000) * size,
        rng.randrange(0, 300_000) * size,
    )
    total = Decimal(tokens[0] * 20 + tokens[1] * 100 + tokens[2] * 25 + tokens[3]).scaleb(-5)
    factor = ledger.factors.get(day, Decimal(1))
    total = (total * factor).quantize(Decimal("1e-5"))
    fee = Decimal(sum(tokens) * 25).scaleb(-6).quantize(Decimal("1e-5")) if model.startswith("claude") else None
    discount = 10 if model == "claude-opus-5-5" and fate > 0.9 else None
    charged = total * (100 - (discount or 0)) / 100 + (fee or 0)
    model = company_calendar.model_on(model, day, tokens[0] / (90_000 * size))
    if fate < 0.04:
        kind, charged = "Free", Decimal(0)
    elif spent:
        kind = "Usage-based" if fate < 0.8 else "USAGE_EVENT_KIND_USAGE_BASED"
    else:
        kind = "Included in Business" if fate < 0.8 else "USAGE_EVENT_KIND_INCLUDED_IN_BUSINESS"
    return Event(
        at_ms, email, kind, model, _strip_zeros(charged), _strip_zeros(total), fee, discount, tokens, conversation
    )


def _strip_zeros(cents: Decimal) -> Decimal:
    """Without zeros at the end, and without an exponent."""
    return cents.normalize() + 0


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
