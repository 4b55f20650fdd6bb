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
from typing import Any, Literal

from ai_usage_assets.simulator import company_calendar
from ai_usage_assets.simulator.organization import FOUNDED, ApiKey, Organisation, Person

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
    robot_kind: str | None = None
    robot_id: str | None = None
    robot_name: str | None = None


@dataclass(frozen=True)
class Spike:
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


@dataclass(frozen=True)
class _Charge:
    """Money as the contract attributes it."""

    day: date
    vendor: str
    usd: Decimal
    actor_kind: str
    actor_id: str | None
    api_key_id: str | None
    workspace_id: str | None
    email: str | None


Amendment = Callable[[list[Usage]], list[Usage]]


@dataclass
class Ledger:
    """All that happened. `factors`: days whose money was restated; `amendments`: days that are better known now.

    `edits`: what Cursor did to a day since. `long_conversations`: a person's goes on for a week, not for a day.
    `plants`: what is out of the ordinary; `spikes` says what it came to.
    """

    seed: int
    organisation: Organisation
    now: datetime
    factors: dict[date, Decimal] = field(
        default_factory=lambda: {day: factor for day, (factor, _) in company_calendar.RESTATEMENTS.items()}
    )
    amendments: dict[date, Amendment] = field(default_factory=dict)
    edits: dict[date, list[Callable[[list[Event]], list[Event]]]] = field(default_factory=dict)
    long_conversations: bool = False
    plants: Sequence[company_calendar.Plant] = company_calendar.PLANTS
    _usage: dict[date, list[Usage]] = field(default_factory=dict)
    _events: dict[date, list[Event]] = field(default_factory=dict)

    # --- what happened ---------------------------------------------------------------------------------------------

    def usage(self, day: date) -> list[Usage]:
        """Anthropic usage of the day, in order of time."""
        if day not in self._usage:
            ordinary = self._make_usage(day) if day >= FOUNDED else ()
            made = sorted((*ordinary, *self._planted_usage(day)), key=lambda piece: piece.at)
            self._usage[day] = self.amendments.get(day, list)(made)
        return self._usage[day]

    def events(self, day: date) -> list[Event]:
        """Cursor events of the day, in order of time."""
        if day not in self._events:
            made = [*(self._make_events(day) if day >= FOUNDED else ()), *self._planted_events(day)]
            for edit in self.edits.get(day, ()):
                made = edit(made)
            self._events[day] = sorted(made, key=lambda event: event.at_ms)
        return self._events[day]

    def revise(self, day: date, factor: Decimal) -> None:
        """Both vendors restate the day's money by a factor."""
        self.factors[day] = self.factors.get(day, Decimal(1)) * factor
        self.forget()

    def edit_events(self, day: date, edit: Callable[[list[Event]], list[Event]]) -> None:
        """Cursor changes a day: events come late, vanish, cost something else, are somebody else's. It is the truth."""
        self.edits.setdefault(day, []).append(edit)
        self._events.pop(day, None)

    def undo_edits(self) -> None:
        """Takes every edit back."""
        self.edits.clear()
        self._events.clear()

    def forget(self) -> None:
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
    def spikes(self) -> list[Spike]:
        """What was planted, day by day: what a search for anomalies should find, and what it should say."""
        return [
            self._spike(plant, day)
            for plant in self.plants
            for day in _days(plant.first, plant.first + timedelta(days=plant.days - 1))
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
        prices = _named(self.organisation.tabs["seat_prices"])
        result = {}
        for day in _days(first, last):
            days_in_month = calendar.monthrange(day.year, day.month)[1]
            price = next(Decimal(row["monthly_price_usd"]) for row in prices if _holds(row, day))
            fee = (price / days_in_month).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")
            paid = [person for person in self.members_on(day) if person.cursor_role != "free-owner"]
            result[day] = fee * len(paid)
        return result

    def members_on(self, day: date) -> list[Person]:
        """People with a Cursor membership on the day, paid or not."""
        return [person for person in self.organisation.people if person.cursor_role and person.is_here(day)]

    def spend_by_cost_center(
        self, first: date, last: date, *, nameless: Collection[str] = ()
    ) -> dict[str | None, Decimal]:
        """Billed dollars of both vendors by cost center (None = unallocated), by the contract's rules in their order.

        `nameless`: people whose e-mail Cursor had already taken out of its history when it was first asked.
        """
        totals: dict[str | None, Decimal] = defaultdict(Decimal)
        books = _Books.open(self.organisation)
        for charge in self._charges(first, last, nameless, books.emails):
            for center, usd in books.attribute(charge):
                totals[center] += usd
        return dict(totals)

    def _charges(
        self, first: date, last: date, nameless: Collection[str], emails: Mapping[str, str]
    ) -> Iterator[_Charge]:
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
            yield _Charge(day, "anthropic", _usd(microcents), kind, actor_id, api_key_id, workspace_id, email)
        for day in _days(first, last):
            sums: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
            for event in self.events(day):
                if cost_basis(event.kind) == "billed":
                    email = None if event.email in nameless and not event.robot_kind else event.email
                    sums[(event.robot_kind, event.robot_id, email, event.model)] += _dollars(event.charged_cents)
            for (robot_kind, robot_id, email, _), usd in sums.items():
                kind = str(robot_kind) if robot_kind else "user" if email else "none"
                yield _Charge(day, "cursor", usd, kind, robot_id or email, None, None, email)

    # --- making it up ----------------------------------------------------------------------------------------------

    def _make_usage(self, day: date) -> Iterator[Usage]:
        rng = random.Random(f"{self.seed}/anthropic/{day}")
        weekend = company_calendar.is_quiet(day)
        trend = (1 + (day - FOUNDED).days / 900) * company_calendar.level(day)
        default, production, claude_code, *_ = (w.id for w in self.organisation.workspaces)
        for key in self.organisation.keys:
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
        own_keys = {key.principal: key for key in self.organisation.keys if key.product == "claude_code"}
        for person in self.organisation.people:
            # Drawn for everybody, so that one person's fate changes nobody else's day.
            busy, mood, second = rng.random(), rng.uniform(0.4, 1.8), rng.random()
            seed = rng.random()
            if not person.appetite or not person.is_here(day) or busy > (0.12 if weekend else 0.85):
                continue
            own = random.Random(seed)
            own_key = own_keys.get(person.user_id)
            model = own.choices(("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"), (6, 3, 2))[0]
            actor = Actor("user", person.user_id)
            usd = person.appetite * mood * 4.2 * trend
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
        support = self.organisation.keys[1]
        yield self._code_execution(rng, day, support)

    # --- what is planted -------------------------------------------------------------------------------------------

    def _planted_usage(self, day: date) -> Iterable[Usage]:
        return [piece for plant in self._plants_on(day, "anthropic") for piece in self._pieces_of(plant, day)]

    def _planted_events(self, day: date) -> Iterable[Event]:
        return [event for plant in self._plants_on(day, "cursor") for event in self._events_of(plant, day)]

    def _plants_on(self, day: date, vendor: str) -> list[company_calendar.Plant]:
        return [p for p in self.plants if p.vendor == vendor and 0 <= (day - p.first).days < p.days]

    def _pieces_of(self, plant: company_calendar.Plant, day: date) -> Iterator[Usage]:
        rng = random.Random(f"{self.seed}/{plant.what}/{day}")
        claude_code = self.organisation.workspaces[2].id
        if plant.dimension == "key":
            key = self._planted_key(plant)
            for _ in range(4):
                yield self._piece(
                    rng, day, self._actor_of(key, day), key.id, key.workspace_id, key.product, plant.model,
                    plant.usd / 4, tier="batch" if key.product == "message_batches_api" else "standard",
                )  # fmt: skip
            return
        concerned = self._concerned(plant, day)
        own_keys = {key.principal: key.id for key in self.organisation.keys if key.product == "claude_code"}
        for person in concerned:
            actor, key_id = Actor("user", person.user_id), own_keys.get(person.user_id)
            usd = plant.usd / len(concerned)
            yield self._piece(rng, day, actor, key_id, claude_code, "claude_code", plant.model, usd)

    def _events_of(self, plant: company_calendar.Plant, day: date) -> Iterator[Event]:
        """On-demand events of one person, twenty times as large as others, until they come to about the dollars."""
        rng = random.Random(f"{self.seed}/{plant.what}/{day}")
        for person in self._concerned(plant, day):
            left, conversation = Decimal(plant.usd) * 100, _uuid(rng)
            while left > 0:
                event = self._event(rng, day, person.email, conversation, spent=True, model=plant.model, size=20)
                if cost_basis(event.kind) == "billed":
                    left -= event.charged_cents
                    yield event

    def _concerned(self, plant: company_calendar.Plant, day: date) -> list[Person]:
        """The people whose usage it is."""
        if plant.dimension == "person":
            person = self.organisation.people[int(plant.who)]
            return [person] if person.is_here(day) else []
        return [
            person
            for person in self.organisation.people
            if person.appetite and person.is_here(day) and plant.who in (plant.model, person.team_on(day))
        ]

    def _planted_key(self, plant: company_calendar.Plant) -> ApiKey:
        return next(key for key in self.organisation.keys if key.name == plant.who)

    def _spike(self, plant: company_calendar.Plant, day: date) -> Spike:
        if plant.vendor == "cursor":
            events = list(self._events_of(plant, day))
            usd, model = sum((_dollars(event.charged_cents) for event in events), Decimal(0)), events[0].model
        else:
            pieces = list(self._pieces_of(plant, day))
            usd, model = _usd(sum(piece.billed_microcents for piece in pieces)), str(pieces[0].model)
        email = api_key_id = team = None
        match plant.dimension:
            case "person":
                person = self.organisation.people[int(plant.who)]
                who, email, team = person.email, person.email, person.team_on(day)
            case "key":
                who = api_key_id = self._planted_key(plant).id
            case "team":
                who = team = str(plant.who)
            case "model":
                who = model
        return Spike(day, plant.what, plant.vendor, plant.dimension, who, model, usd, email, api_key_id, team)

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
        prices = company_calendar.prices(model, day)
        percent = _BATCH_PERCENT if tier == "batch" else 100
        per_unit = sum(weight * price for weight, price in zip(weights, prices, strict=True)) * percent / 100
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
            for kind, count, price in zip(TOKEN_TYPES, tokens, prices, strict=True)
            if count
        ]
        if searches:
            components.append(self._component(day, "web_search", None, searches * _WEB_SEARCH_MICROCENTS))
        return Usage(
            at=_moment(rng, day),
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
            at=_moment(rng, day),
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

    def _make_events(self, day: date) -> Iterator[Event]:
        rng = random.Random(f"{self.seed}/cursor/{day}")
        weekend = company_calendar.is_quiet(day)
        level = company_calendar.level(day) * company_calendar.adoption(day)
        for person in self.organisation.people:
            busy, seed = rng.random(), rng.random()
            if (
                person.cursor_role in (None, "free-owner")
                or not person.is_here(day)
                or (person.cursor_until is not None and day >= person.cursor_until)
                or busy > (0.15 if weekend else 0.8)
            ):
                continue
            own = random.Random(seed)
            conversation = _uuid(own)
            if self.long_conversations:
                week = day.isocalendar()
                conversation = _uuid(random.Random(f"{self.seed}/{person.email}/{week.year}-{week.week}"))
            # The pool of a seat lasts for the first part of a month.
            spent = own.random() < (day.day - 8) / 18
            for _ in range(max(1, round(own.randrange(2, 12) * level))):
                if own.random() < 0.2 and not self.long_conversations:
                    conversation = _uuid(own)
                yield self._event(own, day, person.email, conversation, spent=spent, size=person.cursor_size)
            if own.random() < 0.08:
                twin = self._event(own, day, person.email, conversation, spent=spent)
                # Two equal events in one millisecond are two events.
                yield twin
                yield twin
        for robot in self.organisation.robots:
            for _ in range(int(robot.events_per_day * level * (0.6 if weekend else 1.0) * rng.uniform(0.6, 1.4))):
                event = self._event(rng, day, robot.email, _uuid(rng), spent=True)
                yield Event(
                    event.at_ms, robot.email, event.kind, event.model, event.charged_cents, event.total_cents,
                    event.fee_cents, event.discount_percent, event.tokens, event.conversation_id,
                    robot.kind, robot.id, robot.name,
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
        at_ms = int(_moment(rng, day).timestamp() * 1000) + rng.randrange(1000)
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
        return Event(at_ms, email, kind, model, _plain(charged), _plain(total), fee, discount, tokens, conversation)


@dataclass(frozen=True)
class _Somebody:
    """A person the vendor names, taken as they are."""

    email: str | None


@dataclass(frozen=True)
class _Books:
    """The sheet as it is now, looked up by principal and by person, and the contract's rules over it."""

    mapping: dict[tuple[str, str, str], list[dict[str, str]]]
    people: dict[str, list[dict[str, str]]]
    keys: dict[str, ApiKey]
    emails: dict[str, str]

    @classmethod
    def open(cls, organisation: Organisation) -> _Books:
        """The books of a company."""
        mapping: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
        for row in _named(organisation.tabs["key_mapping"]):
            mapping[(row["vendor"], row["principal_type"], row["principal_id"])].append(row)
        people: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in _named(organisation.tabs["people"]):
            people[row["person_email"]].append(row)
        # A deleted account that was never seen with an address has none.
        emails = {p.user_id: p.email for p in organisation.people if not p.forgotten}
        return cls(mapping, people, {key.id: key for key in organisation.keys}, emails)

    def attribute(self, charge: _Charge) -> list[tuple[str | None, Decimal]]:
        """The cost centers of a charge and what is for each; None for no cost center."""
        for kind, principal in self._mapping_order(charge):
            if isinstance(principal, _Somebody):
                return [(self._center_of(principal.email, charge.day), charge.usd)]
            rows = [r for r in self.mapping.get((charge.vendor, kind, principal or ""), ()) if _holds(r, charge.day)]
            if rows:
                return self._split(rows, charge)
        return [(None, charge.usd)]

    def _mapping_order(self, charge: _Charge) -> Iterator[tuple[str, str | _Somebody | None]]:
        """Contract section 2, in its order: what to look up in the sheet, or whom to take as they are."""
        if charge.vendor == "cursor":
            for kind in ("automation", "service_account", "cloud_agent"):
                if charge.actor_kind == kind:
                    yield kind, charge.actor_id
            if charge.actor_kind != "service_account" and charge.email:
                yield "user", charge.email
                yield "", _Somebody(charge.email)
            return
        key = self.keys.get(charge.api_key_id or "")
        yield "api_key", charge.api_key_id
        if charge.actor_kind == "service_account":
            yield "service_account", charge.actor_id
        if charge.actor_kind == "user":
            if charge.email:
                yield "user", charge.email
            yield "", _Somebody(charge.email)
        nobody = charge.actor_kind not in ("user", "service_account")
        if nobody and key and (email := self.emails.get(key.principal or "")):
            yield "", _Somebody(email)
        yield "workspace", charge.workspace_id
        if nobody and key and (email := self.emails.get(key.created_by or "")):
            yield "", _Somebody(email)

    def _split(self, rows: list[dict[str, str]], charge: _Charge) -> list[tuple[str | None, Decimal]]:
        parts: list[tuple[str | None, Decimal]] = []
        largest, taken = 0, Decimal(0)
        shares = [Decimal(row["share_pct"] or "100") for row in rows]
        for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
            usd = (charge.usd * share / 100).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")
            person = row["person_email"] or (charge.email if row["principal_type"] == "user" else "")
            center = row["cost_center"] or (self._center_of(person, charge.day) if person else None)
            parts.append((center, usd))
            taken += usd
            if share > shares[largest]:
                largest = number
        center, usd = parts[largest]
        parts[largest] = (center, usd + charge.usd - taken)
        return parts

    def _center_of(self, email: str | None, day: date) -> str | None:
        found = next((row for row in self.people.get(email or "", ()) if _holds(row, day)), None)
        return (found["cost_center"] or None) if found else None


def cost_basis(kind: str) -> Literal["billed", "included"]:
    """What a Cursor kind means for money."""
    name = kind.upper().removeprefix("USAGE_EVENT_KIND_")
    return "included" if name.startswith(("INCLUDED", "FREE", "ERRORED", "ABORTED")) else "billed"


def _named(tab: list[list[Any]]) -> list[dict[str, str]]:
    header, *rows = tab
    return [dict(zip(header, map(str, row), strict=False)) for row in rows]


def _holds(row: dict[str, str], day: date) -> bool:
    return (row["effective_from"] or "0001-01-01") <= day.isoformat() < (row["effective_to"] or "9999-12-31")


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _usd(microcents: int) -> Decimal:
    return Decimal(microcents).scaleb(-8)


def _dollars(cents: Decimal) -> Decimal:
    return (cents / 100).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")


def _plain(cents: Decimal) -> Decimal:
    """Without zeros at the end, and without an exponent."""
    return cents.normalize() + 0


def _moment(rng: random.Random, day: date) -> datetime:
    # Working hours of a company in Europe, with a tail.
    hour = min(23, max(0, int(rng.gauss(12, 4))))
    return datetime(day.year, day.month, day.day, hour, rng.randrange(60), rng.randrange(60), tzinfo=UTC)


def _uuid(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
