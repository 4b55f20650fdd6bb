"""The cells of the simulated company's mapping sheet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from ai_usage_assets.simulator.organization import COST_CENTERS, FOUNDED, Organization

# Team -> monthly budget for its services and for each of its people.
_MONTHLY_BUDGET_USD = {
    "Platform": (420, 170),
    "Payments": (1250, 150),
    "Mobile": (370, 160),
    "Data Science": (1200, 150),
    "Customer Support": (2150, 40),
    "Marketing": (600, 50),
    "Research": (2000, 180),
}


def _generate_budgets(organization: Organization) -> Iterator[list[Any]]:
    """The monthly budgets: the people of the month, with growth for all teams except Research."""
    for number in range(15):
        year, month = FOUNDED.year + (FOUNDED.month + number - 1) // 12, (FOUNDED.month + number - 1) % 12 + 1
        first = date(year, month, 1)
        growth = 1 + number * 0.035
        for team, (services_usd, usd_per_person) in _MONTHLY_BUDGET_USD.items():
            people = sum(person.is_here(first) and person.team_on(first) == team for person in organization.people)
            usd = (services_usd + usd_per_person * people) * (1 if team == "Research" else growth)
            # One budget is missing.
            if (team, first) != ("Mobile", date(2026, 10, 1)):
                yield [f"{year}-{month:02}", COST_CENTERS[team], round(usd / 50) * 50]


def build_tabs(organization: Organization) -> dict[str, list[list[Any]]]:
    """Returns the cells of every tab, header row first."""
    keys = {key.name: key for key in organization.keys}
    workspace = {workspace.name: workspace.id for workspace in organization.workspaces}

    def row(
        vendor: str, kind: str, principal: str, person: str = "", team: str = "", share: Any = "", **when: Any
    ) -> list[Any]:
        center = COST_CENTERS.get(team, "")
        return [
            vendor,
            kind,
            principal,
            person,
            team,
            center,
            share,
            when.get("since", ""),
            when.get("until", ""),
            when.get("note", ""),
        ]

    mapping = [
        ["vendor", "principal_type", "principal_id", "person_email", "team", "cost_center", "share_pct",
         "effective_from", "effective_to", "note"],
        row("anthropic", "service_account", organization.service_accounts["billing-svc"], team="Payments"),
        row("anthropic", "service_account", organization.service_accounts["support-bot"], team="Customer Support"),
        row("anthropic", "api_key", keys["ranking-svc-prod"].id, team="Data Science", until="2026-11-01", note="moved"),
        row("anthropic", "api_key", keys["ranking-svc-prod"].id, team="Platform", since="2026-11-01"),
        row("anthropic", "api_key", keys["shared-search-index"].id, team="Platform", share=60, note="agreed in Q3"),
        row("anthropic", "api_key", keys["shared-search-index"].id, team="Mobile", share=40),
        row("anthropic", "api_key", keys["shared-sandbox"].id, team="Data Science", share=33.3),
        row("anthropic", "api_key", keys["shared-sandbox"].id, team="Research", share=33.3),
        row("anthropic", "api_key", keys["shared-sandbox"].id, team="Marketing", share=33.4),
        row("anthropic", "api_key", keys["mobile-release-notes"].id, person=organization.people[2].email),
        row("anthropic", "api_key", keys["legacy-chat-widget"].id, team="Customer Support"),
        row("anthropic", "api_key", keys["trial-embedding"].id, team="Marketing"),
        row("anthropic", "workspace", workspace["Research"], team="Research"),
        row("anthropic", "user", organization.people[18].email, team="Research", since="2026-11-01", note="on loan"),
        row("cursor", "user", organization.people[19].email, team="Platform", note="paid by Platform"),
        *(
            row("cursor", identity.kind, identity.id, team="Platform", note=identity.name)
            for identity in organization.service_identities
            if identity.in_sheet
        ),
    ]  # fmt: skip
    people: list[list[Any]] = [["person_email", "name", "team", "cost_center", "effective_from", "effective_to"]]
    for person in organization.people:
        for number, employment in enumerate(person.employments):
            until = person.employments[number + 1].since.isoformat() if number + 1 < len(person.employments) else ""
            since = employment.since.isoformat() if number or person.joined != FOUNDED else ""
            people.append([person.email, person.name, employment.team, COST_CENTERS[employment.team], since, until])
    return {
        "key_mapping": mapping,
        "people": people,
        "budgets": [["month", "cost_center", "budget_usd"], *_generate_budgets(organization)],
        "seat_prices": [
            ["vendor", "plan", "monthly_price_usd", "effective_from", "effective_to"],
            ["cursor", "Teams Standard", 40, "2026-07-01", ""],
            ["cursor", "Teams Standard", 32, "", "2026-07-01"],
        ],
    }
