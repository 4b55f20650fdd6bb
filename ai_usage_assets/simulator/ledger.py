"""What the company used, event by event, and the truth that follows from it.

Belongs here: events of a day, made from the seed and the day alone, and sums over them. Does not: how a vendor shows
them, or what is special about a day (`almanac`). Money is whole millionths of a cent, so that every grouping of the
events adds up to the same total. The sums are made here in plain Python, straight from the events and the contract's
text: they are the judge of what the pipeline says.
"""

from __future__ import annotations

import calendar
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.simulator import company_calendar
from ai_usage_assets.simulator.attribution import Charge, ExpectedAttribution, is_valid_on, rows_by_header
from ai_usage_assets.simulator.organization import FOUNDED, ApiKey, Organization, Person
from ai_usage_assets.simulator.records import Actor, ActorKind, Event, ExpectedAnomaly, Usage, cost_basis

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
# The contract's discount: what is billed of the list price.
_BILLED_PERCENT = 90
_BATCH_PERCENT = 50

Amendment = Callable[[list[Usage]], list[Usage]]


@dataclass
class Ledger:
    """All that happened. `factors`: days whose money was restated; `amendments`: days that are better known now.

    `edits`: what Cursor did to a day since. `long_conversations`: a person's goes on for a week, not for a day.
    `plants`: what is out of the ordinary; `spikes` says what it came to.
    """

    seed: int
    organization: Organization
    now: datetime
    factors: dict[date, Decimal] = field(
        default_factory=lambda: {day: factor for day, (factor, _) in company_calendar.RESTATEMENTS.items()}
    )
    amendments: dict[date, Amendment] = field(default_factory=dict)
    edits: dict[date, list[Callable[[list[Event]], list[Event]]]] = field(default_factory=dict)
    long_conversations: bool = False
    injected_anomalies: Sequence[company_calendar.InjectedAnomaly] = company_calendar.INJECTED_ANOMALIES
    _usage: dict[date, list[Usage]] = field(default_factory=dict)
    _events: dict[date, list[Event]] = field(default_factory=dict)

    # --- what happened ---------------------------------------------------------------------------------------------

    def usage(self, day: date) -> list[Usage]:
        """Anthropic usage of the day, in order of time."""
        if day not in self._usage:
            ordinary = self._generate_usage(day) if day >= FOUNDED else ()
            made = sorted((*ordinary, *self._injected_usage(day)), key=lambda piece: piece.at)
            self._usage[day] = self.amendments.get(day, list)(made)
        return self._usage[day]

    def events(self, day: date) -> list[Event]:
        """Cursor events of the day, in order of time."""
        if day not in self._events:
            made = [*(self._generate_events(day) if day >= FOUNDED else ()), *self._injected_events(day)]
            for edit in self.edits.get(day, ()):
                made = edit(made)
            self._events[day] = sorted(made, key=lambda event: event.at_ms)
        return self._events[day]

    def revise(self, day: date, factor: Decimal) -> None:
        """Both vendors restate the day's money by a factor."""
        self.factors[day] = self.factors.get(day, Decimal(1)) * factor
        self.clear_cache()

    def edit_events(self, day: date, edit: Callable[[list[Event]], list[Event]]) -> None:
        """Cursor changes a day: events come late, vanish, cost something else, are somebody else's. It is the truth."""
        self.edits.setdefault(day, []).append(edit)
        self._events.pop(day, None)

    def undo_edits(self) -> None:
        """Takes every edit back."""
        self.edits.clear()
        self._events.clear()

    def clear_cache(self) -> None:
        """Makes the days again when they are next asked for."""
        self._usage.clear()
        self._events.clear()

    # --- the truth -------------------------------------------------------------------------------------------------

    def anthropic_cost_usd(self, first: date, last: date) -> dict[date, Decimal]:
        """Billed dollars per day, both ends included."""
        return {day: _usd(sum(piece.billed_microcents for piece in self.usage(day))) for day in _days(first, last)}

    def anthropic_tokens(self, first: date, last: date) -> dict[date, int]:
        """Tokens of all kinds per day."""
        return {day: sum(sum(piece.tokens) for piece in self.usage(day)) for day in _days(first, last)}

    @property
    def expected_anomalies(self) -> list[ExpectedAnomaly]:
        """What was planted, day by day: what a search for anomalies should find, and what it should say."""
        return [
            self._expected_anomaly(anomaly, day)
            for anomaly in self.injected_anomalies
            for day in _days(anomaly.first, anomaly.first + timedelta(days=anomaly.days - 1))
        ]

    def cursor_usd(self, first: date, last: date) -> dict[date, dict[str, Decimal]]:
        """Dollars per day and cost basis: billed, and included (with free and not charged)."""
        result = {}
        for day in _days(first, last):
            sums = {"billed": Decimal(0), "included": Decimal(0)}
            for event in self.events(day):
                sums[cost_basis(event.kind)] += _dollars(event.charged_cents)
            result[day] = sums
        return result

    def cursor_events(self, first: date, last: date) -> dict[date, int]:
        """Events per day."""
        return {day: len(self.events(day)) for day in _days(first, last)}

    def seat_usd(self, first: date, last: date) -> dict[date, Decimal]:
        """Seat fees per day: each member of that day, with the role members have now."""
        list_prices = rows_by_header(self.organization.tabs["seat_prices"])
        result = {}
        for day in _days(first, last):
            days_in_month = calendar.monthrange(day.year, day.month)[1]
            price = next(Decimal(row["monthly_price_usd"]) for row in list_prices if is_valid_on(row, day))
            fee = (price / days_in_month).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")
            paid = [person for person in self.members_on(day) if person.cursor_role != "free-owner"]
            result[day] = fee * len(paid)
        return result

    def members_on(self, day: date) -> list[Person]:
        """People with a Cursor membership on the day, paid or not."""
        return [person for person in self.organization.people if person.cursor_role and person.is_here(day)]

    def spend_by_cost_center(
        self, first: date, last: date, *, removed_emails: Collection[str] = ()
    ) -> dict[str | None, Decimal]:
        """Billed dollars of both vendors by cost center (None = unallocated), by the contract's rules in their order.

        `nameless`: people whose e-mail Cursor had already taken out of its history when it was first asked.
        """
        totals: dict[str | None, Decimal] = defaultdict(Decimal)
        attribution = ExpectedAttribution.open(self.organization)
        for charge in self._charges(first, last, removed_emails, attribution.emails):
            for center, usd in attribution.attribute(charge):
                totals[center] += usd
        return dict(totals)

    def _charges(
        self, first: date, last: date, removed_emails: Collection[str], emails: Mapping[str, str]
    ) -> Iterator[Charge]:
        """Money at the grain at which it is split: one row a day, identity, model and product."""
        grouped: dict[tuple[Any, ...], int] = defaultdict(int)
        for day in _days(first, last):
            for piece in self.usage(day):
                actor = piece.actor
                kind, actor_id = (actor.kind, actor.id) if actor and actor.kind != "unknown" else ("none", None)
                key = (day, kind, actor_id, piece.api_key_id, piece.workspace_id, piece.model, piece.product)
                grouped[key] += piece.billed_microcents
        for (day, kind, actor_id, api_key_id, workspace_id, _, _), microcents in grouped.items():
            email = emails.get(str(actor_id)) if kind == "user" else None
            yield Charge(day, "anthropic", _usd(microcents), kind, actor_id, api_key_id, workspace_id, email)
        for day in _days(first, last):
            sums: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
            for event in self.events(day):
                if cost_basis(event.kind) == "billed":
                    email = None if event.email in removed_emails and not event.identity_kind else event.email
                    sums[(event.identity_kind, event.identity_id, email, event.model)] += _dollars(event.charged_cents)
            for (identity_kind, identity_id, email, _), usd in sums.items():
                kind = str(identity_kind) if identity_kind else "user" if email else "none"
                yield Charge(day, "cursor", usd, kind, identity_id or email, None, None, email)

    # --- making it up ----------------------------------------------------------------------------------------------

    def _generate_usage(self, day: date) -> Iterator[Usage]:
        rng = random.Random(f"{self.seed}/anthropic/{day}")
        weekend = company_calendar.is_day_off(day)
        trend = (1 + (day - FOUNDED).days / 900) * company_calendar.activity_level(day)
        default, production, claude_code, *_ = (w.id for w in self.organization.workspaces)
        for key in self.organization.keys:
            if key.usd_per_day and (key.until is None or day < key.until):
                rhythm = 0.75 if weekend and key.principal else 0.3 if weekend else 1.0
                for _ in range(3):
                    yield self._piece(
                        rng,
                        day,
                        self._actor_of(key, day),
                        key.id,
                        key.workspace_id,
                        key.product,
                        rng.choice(key.models),
                        key.usd_per_day / 3 * rhythm * trend * rng.uniform(0.6, 1.4),
                        tier="batch" if key.product == "message_batches_api" else "standard",
                    )
        own_keys = {key.principal: key for key in self.organization.keys if key.product == "claude_code"}
        for person in self.organization.people:
            # Drawn for everybody, so that one person's fate changes nobody else's day.
            idle_draw, variation, second = rng.random(), rng.uniform(0.4, 1.8), rng.random()
            seed = rng.random()
            if not person.usage_level or not person.is_here(day) or idle_draw > (0.12 if weekend else 0.85):
                continue
            own = random.Random(seed)
            own_key = own_keys.get(person.user_id)
            model = own.choices(("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"), (6, 3, 2))[0]
            actor = Actor("user", person.user_id)
            usd = person.usage_level * variation * 4.2 * trend
            yield self._piece(own, day, actor, own_key.id if own_key else None, claude_code, "claude_code", model, usd)
            if second < 0.25:
                yield self._piece(own, day, actor, None, default, "claude_console", "claude-sonnet-5-5", usd / 9)
        # Identities that Anthropic cannot show: two of them, each its own row, and one workload of another cloud.
        for hidden in ("hidden-1", "hidden-2"):
            yield self._piece(
                rng, day, Actor("unknown", hidden), None, default, "messages_api", "claude-sonnet-5-5", 0.4
            )
        yield self._piece(
            rng, day, Actor("federated", "system:serviceaccount:etl:loader"), None, production, "messages_api",
            "claude-haiku-5-5", 2.5,
        )  # fmt: skip
        support = self.organization.keys[1]
        yield self._code_execution(rng, day, support)

    # --- what is planted -------------------------------------------------------------------------------------------

    def _injected_usage(self, day: date) -> Iterable[Usage]:
        return [piece for anomaly in self._anomalies_on(day, "anthropic") for piece in self._pieces_of(anomaly, day)]

    def _injected_events(self, day: date) -> Iterable[Event]:
        return [event for anomaly in self._anomalies_on(day, "cursor") for event in self._events_of(anomaly, day)]

    def _anomalies_on(self, day: date, vendor: str) -> list[company_calendar.InjectedAnomaly]:
        return [p for p in self.injected_anomalies if p.vendor == vendor and 0 <= (day - p.first).days < p.days]

    def _pieces_of(self, anomaly: company_calendar.InjectedAnomaly, day: date) -> Iterator[Usage]:
        rng = random.Random(f"{self.seed}/{anomaly.what}/{day}")
        claude_code = self.organization.workspaces[2].id
        if anomaly.dimension == "key":
            key = self._anomaly_key(anomaly)
            for _ in range(4):
                yield self._piece(
                    rng, day, self._actor_of(key, day), key.id, key.workspace_id, key.product, anomaly.model,
                    anomaly.usd / 4, tier="batch" if key.product == "message_batches_api" else "standard",
                )  # fmt: skip
            return
        affected = self._affected_people(anomaly, day)
        own_keys = {key.principal: key.id for key in self.organization.keys if key.product == "claude_code"}
        for person in affected:
            actor, key_id = Actor("user", person.user_id), own_keys.get(person.user_id)
            usd = anomaly.usd / len(affected)
            yield self._piece(rng, day, actor, key_id, claude_code, "claude_code", anomaly.model, usd)

    def _events_of(self, anomaly: company_calendar.InjectedAnomaly, day: date) -> Iterator[Event]:
        """On-demand events of one person, twenty times as large as others, until they come to about the dollars."""
        rng = random.Random(f"{self.seed}/{anomaly.what}/{day}")
        for person in self._affected_people(anomaly, day):
            left, conversation = Decimal(anomaly.usd) * 100, _uuid(rng)
            while left > 0:
                event = self._event(rng, day, person.email, conversation, spent=True, model=anomaly.model, size=20)
                if cost_basis(event.kind) == "billed":
                    left -= event.charged_cents
                    yield event

    def _affected_people(self, anomaly: company_calendar.InjectedAnomaly, day: date) -> list[Person]:
        """The people whose usage it is."""
        if anomaly.dimension == "person":
            person = self.organization.people[int(anomaly.who)]
            return [person] if person.is_here(day) else []
        return [
            person
            for person in self.organization.people
            if person.usage_level and person.is_here(day) and anomaly.who in (anomaly.model, person.team_on(day))
        ]

    def _anomaly_key(self, anomaly: company_calendar.InjectedAnomaly) -> ApiKey:
        return next(key for key in self.organization.keys if key.name == anomaly.who)

    def _expected_anomaly(self, anomaly: company_calendar.InjectedAnomaly, day: date) -> ExpectedAnomaly:
        if anomaly.vendor == "cursor":
            events = list(self._events_of(anomaly, day))
            usd, model = sum((_dollars(event.charged_cents) for event in events), Decimal(0)), events[0].model
        else:
            pieces = list(self._pieces_of(anomaly, day))
            usd, model = _usd(sum(piece.billed_microcents for piece in pieces)), str(pieces[0].model)
        email = api_key_id = team = None
        match anomaly.dimension:
            case "person":
                person = self.organization.people[int(anomaly.who)]
                who, email, team = person.email, person.email, person.team_on(day)
            case "key":
                who = api_key_id = self._anomaly_key(anomaly).id
            case "team":
                who = team = str(anomaly.who)
            case "model":
                who = model
        return ExpectedAnomaly(
            day, anomaly.what, anomaly.vendor, anomaly.dimension, who, model, usd, email, api_key_id, team
        )

    def _actor_of(self, key: ApiKey, day: date) -> Actor:
        if key.principal is None or day < key.bound_since:
            return Actor("api_key", key.id)
        kind: ActorKind = "service_account" if key.principal.startswith("svac_") else "user"
        return Actor(kind, key.principal)

    def _piece(
        self,
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
        """Usage that costs about `usd` at list price."""
        weights = (
            rng.uniform(0.5, 1.5),
            rng.uniform(0.2, 0.6),
            rng.uniform(0, 0.2),
            rng.uniform(3, 9),
            rng.uniform(0.1, 0.35),
        )
        # One of the weights is the dice too: another draw would make every day another.
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
            self._component(day, "tokens", kind, count * price * percent // 100 // 1000)
            for kind, count, price in zip(TOKEN_TYPES, tokens, list_prices, strict=True)
            if count
        ]
        if searches:
            components.append(self._component(day, "web_search", None, searches * _WEB_SEARCH_MICROCENTS))
        return Usage(
            at=_random_instant(rng, day),
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

    def _code_execution(self, rng: random.Random, day: date, key: ApiKey) -> Usage:
        seconds = rng.randrange(3_000, 30_000)
        return Usage(
            at=_random_instant(rng, day),
            actor=self._actor_of(key, day),
            api_key_id=key.id,
            workspace_id=key.workspace_id,
            product=None,
            model=None,
            service_tier=None,
            inference_geo=None,
            tokens=(0, 0, 0, 0, 0),
            web_searches=0,
            requests=max(1, seconds // 300),
            components=(self._component(day, "code_execution", None, seconds * _CODE_EXECUTION_MICROCENTS_PER_SECOND),),
        )

    def _component(
        self, day: date, cost_type: str, token_type: str | None, list_microcents: int
    ) -> tuple[str, str | None, int, int]:
        revised = int(list_microcents * self.factors.get(day, Decimal(1)))
        return cost_type, token_type, revised, (revised * _BILLED_PERCENT + 50) // 100

    def _generate_events(self, day: date) -> Iterator[Event]:
        rng = random.Random(f"{self.seed}/cursor/{day}")
        weekend = company_calendar.is_day_off(day)
        activity_level = company_calendar.activity_level(day) * company_calendar.cursor_adoption(day)
        for person in self.organization.people:
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
            if self.long_conversations:
                week = day.isocalendar()
                conversation = _uuid(random.Random(f"{self.seed}/{person.email}/{week.year}-{week.week}"))
            # The pool of a seat lasts for the first part of a month.
            spent = own.random() < (day.day - 8) / 18
            for _ in range(max(1, round(own.randrange(2, 12) * activity_level))):
                if own.random() < 0.2 and not self.long_conversations:
                    conversation = _uuid(own)
                yield self._event(own, day, person.email, conversation, spent=spent, size=person.cursor_request_size)
            if own.random() < 0.08:
                twin = self._event(own, day, person.email, conversation, spent=spent)
                # Two equal events in one millisecond are two events.
                yield twin
                yield twin
        for identity in self.organization.service_identities:
            for _ in range(
                int(identity.events_per_day * activity_level * (0.6 if weekend else 1.0) * rng.uniform(0.6, 1.4))
            ):
                event = self._event(rng, day, identity.email, _uuid(rng), spent=True)
                yield Event(
                    event.at_ms, identity.email, event.kind, event.model, event.charged_cents, event.total_cents,
                    event.fee_cents, event.discount_percent, event.tokens, event.conversation_id,
                    identity.kind, identity.id, identity.name,
                )  # fmt: skip

    def _event(
        self,
        rng: random.Random,
        day: date,
        email: str | None,
        conversation: str,
        *,
        spent: bool,
        model: str | None = None,
        size: int = 1,
    ) -> Event:
        at_ms = int(_random_instant(rng, day).timestamp() * 1000) + rng.randrange(1000)
        model = (
            model
            or rng.choices(
                ("claude-sonnet-5-5", "claude-opus-5-5", "grok-4-7", "composer-2", "default"), (5, 2, 3, 4, 4)
            )[0]
        )
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
        factor = self.factors.get(day, Decimal(1))
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


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _usd(microcents: int) -> Decimal:
    return Decimal(microcents).scaleb(-8)


def _dollars(cents: Decimal) -> Decimal:
    return (cents / 100).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")


def _strip_zeros(cents: Decimal) -> Decimal:
    """Without zeros at the end, and without an exponent."""
    return cents.normalize() + 0


def _random_instant(rng: random.Random, day: date) -> datetime:
    # Working hours of a company in Europe, with a tail.
    hour = min(23, max(0, int(rng.gauss(12, 4))))
    return datetime(day.year, day.month, day.day, hour, rng.randrange(60), rng.randrange(60), tzinfo=UTC)


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
