"""The ledger of the simulated company: generated usage and events, and the totals that the vendors' APIs must return.

The totals are summed in plain Python, independently of the pipeline's SQL.
"""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from ai_usage_assets.simulator import company_calendar
from ai_usage_assets.simulator.anthropic_usage import generate_anomaly_usage, generate_usage
from ai_usage_assets.simulator.attribution import Charge, ExpectedAttribution, is_valid_on, rows_by_header
from ai_usage_assets.simulator.cursor_events import generate_anomaly_events, generate_events
from ai_usage_assets.simulator.organization import FOUNDED, ApiKey, Organization, Person
from ai_usage_assets.simulator.records import Event, ExpectedAnomaly, Usage, cost_basis

Amendment = Callable[[list[Usage]], list[Usage]]


@dataclass
class Ledger:
    """Usage, events and totals by day.

    `factors` restate the money of a day. `amendments` change Anthropic's usage, `edits` Cursor's events of a day.
    With `long_conversations`, a person's Cursor conversation lasts a week instead of a day. `other_charges` return the
    billed charges of a day from sources whose usage is not kept here.
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
    other_charges: Sequence[Callable[[Ledger, date], Iterable[Charge]]] = ()
    _usage: dict[date, list[Usage]] = field(default_factory=dict)
    _events: dict[date, list[Event]] = field(default_factory=dict)

    # --- usage and events ---------------------------------------------------------------------------------------------

    def usage(self, day: date) -> list[Usage]:
        """Anthropic usage of a day, ordered by time."""
        if day not in self._usage:
            normal = generate_usage(self, day) if day >= FOUNDED else ()
            generated = sorted((*normal, *self._injected_usage(day)), key=lambda piece: piece.at)
            self._usage[day] = self.amendments.get(day, list)(generated)
        return self._usage[day]

    def events(self, day: date) -> list[Event]:
        """Cursor events of a day, ordered by time."""
        if day not in self._events:
            generated = [*(generate_events(self, day) if day >= FOUNDED else ()), *self._injected_events(day)]
            for edit in self.edits.get(day, ()):
                generated = edit(generated)
            self._events[day] = sorted(generated, key=lambda event: event.at_ms)
        return self._events[day]

    def revise(self, day: date, factor: Decimal) -> None:
        """Makes both vendors restate the money of a day by a factor."""
        self.factors[day] = self.factors.get(day, Decimal(1)) * factor
        self.clear_cache()

    def edit_events(self, day: date, edit: Callable[[list[Event]], list[Event]]) -> None:
        """Makes Cursor change the events of a day: late, removed, repriced or reattributed events."""
        self.edits.setdefault(day, []).append(edit)
        self._events.pop(day, None)

    def undo_edits(self) -> None:
        """Removes all edits."""
        self.edits.clear()
        self._events.clear()

    def clear_cache(self) -> None:
        """Generates all days again at their next use."""
        self._usage.clear()
        self._events.clear()

    # --- totals -------------------------------------------------------------------------------------------------

    def anthropic_cost_usd(self, first: date, last: date) -> dict[date, Decimal]:
        """Billed dollars per day, inclusive of both days."""
        return {day: _usd(sum(piece.billed_microcents for piece in self.usage(day))) for day in _days(first, last)}

    def anthropic_tokens(self, first: date, last: date) -> dict[date, int]:
        """Tokens of all types per day."""
        return {day: sum(sum(piece.tokens) for piece in self.usage(day)) for day in _days(first, last)}

    @property
    def expected_anomalies(self) -> list[ExpectedAnomaly]:
        """The anomalies that detection should report, by day."""
        return [
            self._expected_anomaly(anomaly, day)
            for anomaly in self.injected_anomalies
            for day in _days(anomaly.first, anomaly.first + timedelta(days=anomaly.days - 1))
        ]

    def cursor_usd(self, first: date, last: date) -> dict[date, dict[str, Decimal]]:
        """Dollars per day and cost basis, billed and included."""
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
        """Seat fees per day, with the current role of each member."""
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
        """People with a Cursor membership on a day, paid or free."""
        return [person for person in self.organization.people if person.cursor_role and person.is_here(day)]

    def spend_by_cost_center(
        self, first: date, last: date, *, removed_emails: Collection[str] = ()
    ) -> dict[str | None, Decimal]:
        """Billed dollars of all vendors by cost center (None: unallocated), by the attribution rules.

        `removed_emails`: people whose e-mail Cursor had removed before the first extract.
        """
        totals: dict[str | None, Decimal] = defaultdict(Decimal)
        attribution = ExpectedAttribution.from_organization(self.organization)
        for charge in self._charges(first, last, removed_emails, attribution.emails):
            for center, usd in attribution.attribute(charge):
                totals[center] += usd
        return dict(totals)

    def _charges(
        self, first: date, last: date, removed_emails: Collection[str], emails: Mapping[str, str]
    ) -> Iterator[Charge]:
        """Charges at the grain at which they are split: day, identity, model and product."""
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
            for charges in self.other_charges:
                yield from charges(self, day)

    # --- anomalies -------------------------------------------------------------------------------------------

    def _injected_usage(self, day: date) -> Iterable[Usage]:
        return [
            piece
            for anomaly in self._anomalies_on(day, "anthropic")
            for piece in generate_anomaly_usage(self, anomaly, day)
        ]

    def _injected_events(self, day: date) -> Iterable[Event]:
        return [
            event
            for anomaly in self._anomalies_on(day, "cursor")
            for event in generate_anomaly_events(self, anomaly, day)
        ]

    def _anomalies_on(self, day: date, vendor: str) -> list[company_calendar.InjectedAnomaly]:
        return [p for p in self.injected_anomalies if p.vendor == vendor and 0 <= (day - p.first).days < p.days]

    def affected_people(self, anomaly: company_calendar.InjectedAnomaly, day: date) -> list[Person]:
        """The people whose usage an anomaly increases."""
        if anomaly.dimension == "person":
            person = self.organization.people[int(anomaly.who)]
            return [person] if person.is_here(day) else []
        return [
            person
            for person in self.organization.people
            if person.usage_level and person.is_here(day) and anomaly.who in (anomaly.model, person.team_on(day))
        ]

    def anomaly_key(self, anomaly: company_calendar.InjectedAnomaly) -> ApiKey:
        """The key whose usage an anomaly increases."""
        return next(key for key in self.organization.keys if key.name == anomaly.who)

    def _expected_anomaly(self, anomaly: company_calendar.InjectedAnomaly, day: date) -> ExpectedAnomaly:
        if anomaly.vendor == "cursor":
            events = list(generate_anomaly_events(self, anomaly, day))
            usd, model = sum((_dollars(event.charged_cents) for event in events), Decimal(0)), events[0].model
        else:
            pieces = list(generate_anomaly_usage(self, anomaly, day))
            usd, model = _usd(sum(piece.billed_microcents for piece in pieces)), str(pieces[0].model)
        email = api_key_id = team = None
        match anomaly.dimension:
            case "person":
                person = self.organization.people[int(anomaly.who)]
                who, email, team = person.email, person.email, person.team_on(day)
            case "key":
                who = api_key_id = self.anomaly_key(anomaly).id
            case "team":
                who = team = str(anomaly.who)
            case "model":
                who = model
        return ExpectedAnomaly(
            day, anomaly.what, anomaly.vendor, anomaly.dimension, who, model, usd, email, api_key_id, team
        )


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _usd(microcents: int) -> Decimal:
    return Decimal(microcents).scaleb(-8)


def _dollars(cents: Decimal) -> Decimal:
    return (cents / 100).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")
