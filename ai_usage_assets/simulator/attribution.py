"""The expected attribution of spend: the attribution rules in plain Python, independent of the pipeline's SQL.

Tests and the demo compare the warehouse with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from ai_usage_assets.simulator.organization import ApiKey, Organization


@dataclass(frozen=True)
class Charge:
    """An amount to attribute, with its identity."""

    day: date
    vendor: str
    usd: Decimal
    actor_kind: str
    actor_id: str | None
    api_key_id: str | None
    workspace_id: str | None
    email: str | None


@dataclass(frozen=True)
class _VendorActor:
    """A person whom the vendor names, used without the sheet."""

    email: str | None


@dataclass(frozen=True)
class ExpectedAttribution:
    """The current sheet by principal and by person, and the attribution rules."""

    mapping: dict[tuple[str, str, str], list[dict[str, str]]]
    people: dict[str, list[dict[str, str]]]
    keys: dict[str, ApiKey]
    emails: dict[str, str]

    @classmethod
    def from_organization(cls, organization: Organization) -> ExpectedAttribution:
        """Reads the sheet of a company."""
        mapping: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
        for row in rows_by_header(organization.tabs["key_mapping"]):
            mapping[(row["vendor"], row["principal_type"], row["principal_id"])].append(row)
        people: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in rows_by_header(organization.tabs["people"]):
            people[row["person_email"]].append(row)
        # A deleted account has no e-mail address.
        emails = {p.user_id: p.email for p in organization.people if not p.account_deleted}
        return cls(mapping, people, {key.id: key for key in organization.keys}, emails)

    def attribute(self, charge: Charge) -> list[tuple[str | None, Decimal]]:
        """The parts of a charge by cost center; None for unallocated."""
        for kind, principal in self._mapping_order(charge):
            if isinstance(principal, _VendorActor):
                return [(self._cost_center(principal.email, charge.day), charge.usd)]
            rows = [
                r for r in self.mapping.get((charge.vendor, kind, principal or ""), ()) if is_valid_on(r, charge.day)
            ]
            if rows:
                return self._split(rows, charge)
        return [(None, charge.usd)]

    def _mapping_order(self, charge: Charge) -> Iterator[tuple[str, str | _VendorActor | None]]:
        """The attribution rules in order: a principal to look up in the sheet, or a person whom the vendor names."""
        if charge.vendor == "cursor":
            for kind in ("automation", "service_account", "cloud_agent"):
                if charge.actor_kind == kind:
                    yield kind, charge.actor_id
            if charge.actor_kind != "service_account" and charge.email:
                yield "user", charge.email
                yield "", _VendorActor(charge.email)
            return
        key = self.keys.get(charge.api_key_id or "")
        yield "api_key", charge.api_key_id
        if charge.actor_kind == "service_account":
            yield "service_account", charge.actor_id
        if charge.actor_kind == "user":
            if charge.email:
                yield "user", charge.email
            yield "", _VendorActor(charge.email)
        is_unbound = charge.actor_kind not in ("user", "service_account")
        if is_unbound and key and (email := self.emails.get(key.principal or "")):
            yield "", _VendorActor(email)
        yield "workspace", charge.workspace_id
        if is_unbound and key and (email := self.emails.get(key.created_by or "")):
            yield "", _VendorActor(email)

    def _split(self, rows: list[dict[str, str]], charge: Charge) -> list[tuple[str | None, Decimal]]:
        parts: list[tuple[str | None, Decimal]] = []
        largest, taken = 0, Decimal(0)
        shares = [Decimal(row["share_pct"] or "100") for row in rows]
        for number, (row, share) in enumerate(zip(rows, shares, strict=True)):
            usd = (charge.usd * share / 100).quantize(Decimal("1e-9"), rounding="ROUND_HALF_UP")
            person = row["person_email"] or (charge.email if row["principal_type"] == "user" else "")
            center = row["cost_center"] or (self._cost_center(person, charge.day) if person else None)
            parts.append((center, usd))
            taken += usd
            if share > shares[largest]:
                largest = number
        center, usd = parts[largest]
        parts[largest] = (center, usd + charge.usd - taken)
        return parts

    def _cost_center(self, email: str | None, day: date) -> str | None:
        row = next((row for row in self.people.get(email or "", ()) if is_valid_on(row, day)), None)
        return (row["cost_center"] or None) if row else None


def rows_by_header(tab: list[list[Any]]) -> list[dict[str, str]]:
    """The rows of a sheet tab as text by column name."""
    header, *rows = tab
    return [dict(zip(header, map(str, row), strict=False)) for row in rows]


def is_valid_on(row: dict[str, str], day: date) -> bool:
    """Whether a row of the sheet is valid on a day."""
    return (row["effective_from"] or "0001-01-01") <= day.isoformat() < (row["effective_to"] or "9999-12-31")
