"""The simulated company: people, teams, keys, workspaces, service accounts, seats and the mapping sheet.

Everything is derived from the seed. All days are fixed, so the company does not depend on the clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal

from ai_usage_assets.hashing import sha256_hex

FOUNDED = date(2025, 10, 1)
# The first people have their own keys or exceptions, by number.
MIN_PEOPLE = 36

# Team -> cost center. One code has leading zeros, as in accounting systems.
COST_CENTERS = {
    "Platform": "CC-1010",
    "Payments": "CC-1020",
    "Mobile": "CC-1030",
    "Data Science": "CC-2010",
    "Customer Support": "CC-3010",
    "Marketing": "0042",
    "Research": "CC-4010",
}


_FIRST_NAMES = [
    "Ada", "Ben", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Keiko", "Lars", "Mina",
    "Noah", "Olga", "Pavel", "Quinn", "Rosa", "Sven", "Tara", "Umar", "Vera", "Wim", "Xenia", "Yusuf", "Zoe",
    "Alma", "Boris", "Chiara", "Diego", "Edda", "Finn", "Gaia", "Henrik", "Ilse", "Jamal", "Katya", "Liam", "Maren",
    "Nils", "Otto", "Priya", "Ravi", "Sofia", "Timo", "Ulla", "Viktor", "Wanda", "Yara", "Zeno", "Aiko", "Bruno",
    "Celia", "Dario", "Emil", "Fiona", "Goran", "Hana", "Ivo", "Jette",
]  # fmt: skip
_LAST_NAMES = [
    "Adler", "Baptiste", "Costa", "Dimitrov", "Eriksen", "Fischer", "Greco", "Holm", "Ivanov", "Jansen", "Keller",
    "Lopez", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Tanaka", "Ueda", "Vogel", "Weber",
    "Xu", "Yilmaz", "Zhang",
]  # fmt: skip


@dataclass(frozen=True)
class Employment:
    """The membership of a person in a team from a day on."""

    team: str
    since: date


@dataclass(frozen=True)
class Person:
    """A person of the company. `left` is the first day after leaving."""

    email: str
    name: str
    employments: tuple[Employment, ...]
    joined: date
    left: date | None
    user_id: str
    # Relative Anthropic usage; 0 for people without an account.
    usage_level: float
    cursor_role: Literal["owner", "member", "free-owner"] | None
    cursor_user_id: str
    # Anthropic removes the address of a deleted account.
    account_deleted: bool = False
    # The seat is unused from this day on; FOUNDED for a seat that was never used.
    cursor_inactive_since: date | None = None
    # Relative size of the person's requests, and their on-demand limit per billing cycle.
    cursor_request_size: int = 1
    cursor_limit_usd: int | None = None

    def team_on(self, day: date) -> str:
        """The person's team on a day."""
        return next(
            employment.team
            for employment in reversed(self.employments)
            if employment.since <= day or employment is self.employments[0]
        )

    def is_here(self, day: date) -> bool:
        """Whether the person is employed on a day."""
        return self.joined <= day and (self.left is None or day < self.left)


@dataclass(frozen=True)
class Workspace:
    """An Anthropic workspace."""

    id: str
    name: str
    is_default: bool = False
    archived_on: date | None = None


@dataclass(frozen=True)
class ApiKey:
    """An Anthropic API key. `principal` is the user or service account it acts as."""

    id: str
    name: str
    workspace_id: str
    status: Literal["active", "inactive", "archived", "expired"]
    created_by: str | None
    principal: str | None = None
    # Dollars on an average working day, until the day before `until`.
    usd_per_day: float = 0.0
    until: date | None = None
    models: tuple[str, ...] = ("claude-sonnet-5-5",)
    product: str = "messages_api"
    # Before this day the key had no principal, although the directory shows one today.
    bound_since: date = FOUNDED
    # Missing in all lists; its cost stays.
    deleted: bool = False


@dataclass(frozen=True)
class ServiceIdentity:
    """A user of Cursor that is not a person: a service account, an automation or a cloud agent."""

    kind: Literal["service_account", "automation", "cloud_agent"]
    id: str
    name: str
    email: str | None
    events_per_day: int
    in_sheet: bool = True


@dataclass
class Organization:
    """The simulated company. `tabs` has the cells of the mapping sheet, header row first."""

    name: str
    uuid: str
    people: list[Person]
    workspaces: list[Workspace]
    keys: list[ApiKey]
    service_accounts: dict[str, str]
    service_identities: list[ServiceIdentity]
    tabs: dict[str, list[list[Any]]] = field(default_factory=dict)

    def person(self, email: str) -> Person:
        """The person with an e-mail address. Raises StopIteration."""
        return next(person for person in self.people if person.email == email)

    def replace_person(self, email: str, **changes: Any) -> None:
        """Changes one person."""
        self.people = [replace(p, **changes) if p.email == email else p for p in self.people]

    def replace_key(self, name: str, **changes: Any) -> None:
        """Changes one API key."""
        self.keys = [replace(key, **changes) if key.name == name else key for key in self.keys]


def vendor_id(seed: int, prefix: str, *parts: object) -> str:
    """A vendor-like id, derived from the seed and the parts."""
    digest = bytes.fromhex(sha256_hex("|".join(map(str, (seed, prefix, *parts)))))
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return prefix + "01" + "".join(alphabet[byte % len(alphabet)] for byte in digest[:22])


def build_organization(seed: int, people: int) -> Organization:
    """Builds the company of a seed. Raises ValueError for fewer than MIN_PEOPLE people."""
    if people < MIN_PEOPLE:
        raise ValueError(f"the company has at least {MIN_PEOPLE} people, not {people}")
    rng = random.Random(f"{seed}/organisation")
    staff = list(_generate_people(seed, people, rng))
    workspaces = [
        Workspace(vendor_id(seed, "wrkspc_", "default"), "Default", is_default=True),
        Workspace(vendor_id(seed, "wrkspc_", "production"), "Production"),
        Workspace(vendor_id(seed, "wrkspc_", "claude-code"), "Claude Code"),
        Workspace(vendor_id(seed, "wrkspc_", "research"), "Research"),
        Workspace(vendor_id(seed, "wrkspc_", "hackathon"), "Hackathon 2025", archived_on=date(2026, 6, 30)),
    ]
    service_accounts = {
        name: vendor_id(seed, "svac_", name) for name in ("billing-svc", "support-bot", "ranking-svc", "nightly-evals")
    }
    keys = list(_generate_keys(seed, staff, workspaces, service_accounts))
    service_identities = [
        ServiceIdentity(
            "service_account", "sa_" + vendor_id(seed, "", "ci")[2:14], "Nightly CI", "nightly-ci@agents.acme.test", 18
        ),
        ServiceIdentity(
            "service_account", "sa_" + vendor_id(seed, "", "docs")[2:14], "Docs bot", None, 5, in_sheet=False
        ),
        ServiceIdentity("automation", "auto_" + vendor_id(seed, "", "triage")[2:14], "Issue triage", None, 8),
        ServiceIdentity("cloud_agent", "bc_" + vendor_id(seed, "", "migrate")[2:14], "Migration agent", None, 6),
    ]
    return Organization(
        "Acme Robotics",
        str(_uuid(seed)),
        staff,
        workspaces,
        keys,
        service_accounts,
        service_identities,
    )


def _uuid(seed: int) -> str:
    digits = sha256_hex(f"{seed}/organisation")
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def _generate_people(seed: int, count: int, rng: random.Random) -> Iterator[Person]:
    teams = list(COST_CENTERS)
    weights = (12, 10, 8, 8, 9, 6, 7)
    # Relative usage by team.
    usage_by_team = {"Platform": 1.6, "Payments": 1.2, "Mobile": 1.1, "Data Science": 1.5, "Research": 2.2}
    for number in range(count):
        name = f"{_FIRST_NAMES[number % len(_FIRST_NAMES)]} {_LAST_NAMES[(number * 7 + seed) % len(_LAST_NAMES)]}"
        suffix = str(number // len(_FIRST_NAMES)) if number >= len(_FIRST_NAMES) else ""
        email = f"{name.lower().replace(' ', '.')}{suffix}@acme.test"
        team = teams[number] if number < len(teams) else rng.choices(teams, weights)[0]
        builder = team in usage_by_team
        role: Literal["owner", "member", "free-owner"] | None = "member" if builder or rng.random() < 0.2 else None
        person = Person(
            email,
            name,
            (Employment(team, FOUNDED),),
            joined=FOUNDED,
            left=None,
            user_id=vendor_id(seed, "user_", email),
            usage_level=usage_by_team.get(team, 0.35) * rng.uniform(0.3, 1.7) if builder or rng.random() < 0.6 else 0.0,
            cursor_role=role,
            cursor_user_id=vendor_id(seed, "user_", "cursor", email),
        )
        if number >= MIN_PEOPLE:
            # The company grows by one person every two weeks.
            joined = FOUNDED + timedelta(days=(number - MIN_PEOPLE) * 13 % 312)
            person = replace(person, joined=joined, employments=(Employment(team, joined),))
        yield replace(person, **_EXCEPTIONS.get(number, {}))


# Exceptions by person number: movers, joiners, leavers, Cursor administrators, unused seats, on-demand limits.
_EXCEPTIONS: dict[int, dict[str, Any]] = {
    0: {"cursor_role": "owner"},
    4: {"cursor_role": "free-owner", "usage_level": 0.2},
    8: {
        "employments": (Employment("Payments", FOUNDED), Employment("Platform", date(2026, 5, 1))),
        "usage_level": 1.4,
        "cursor_role": "member",
    },
    9: {
        "employments": (Employment("Mobile", FOUNDED), Employment("Research", date(2026, 11, 1))),
        "usage_level": 2.0,
        "cursor_role": "member",
    },
    10: {
        "employments": (Employment("Customer Support", FOUNDED), Employment("Data Science", date(2026, 11, 9))),
        "usage_level": 1.1,
        "cursor_role": "member",
    },
    11: {
        "joined": date(2026, 10, 26),
        "employments": (Employment("Platform", date(2026, 10, 26)),),
        "cursor_role": "member",
        "usage_level": 1.2,
    },
    12: {"joined": date(2026, 3, 2), "employments": (Employment("Research", date(2026, 3, 2)),), "usage_level": 1.9},
    13: {
        "left": date(2026, 11, 14),
        "employments": (Employment("Payments", FOUNDED),),
        "cursor_role": "member",
        "usage_level": 1.3,
    },
    14: {
        "left": date(2026, 10, 29),
        "employments": (Employment("Mobile", FOUNDED),),
        "usage_level": 0.9,
        "cursor_role": "member",
    },
    15: {
        "left": date(2026, 8, 1),
        "employments": (Employment("Data Science", FOUNDED),),
        "cursor_role": "member",
        "usage_level": 0.8,
    },
    16: {
        "left": date(2026, 11, 5),
        "employments": (Employment("Platform", FOUNDED),),
        "usage_level": 0.7,
        "account_deleted": True,
        "cursor_role": None,
    },
    2: {"cursor_role": "member", "cursor_request_size": 3, "cursor_limit_usd": 20},
    6: {"cursor_role": "member", "cursor_inactive_since": date(2026, 11, 2)},
    17: {"cursor_role": "member", "cursor_inactive_since": FOUNDED},
    20: {"cursor_role": "member", "cursor_request_size": 3, "cursor_limit_usd": 25},
    21: {"cursor_role": "member", "cursor_inactive_since": date(2026, 9, 18)},
    27: {"cursor_role": "member", "cursor_inactive_since": FOUNDED},
}


def _generate_keys(
    seed: int, staff: list[Person], workspaces: list[Workspace], accounts: dict[str, str]
) -> Iterator[ApiKey]:
    default, production, claude_code, research, hackathon = (workspace.id for workspace in workspaces)
    ada, ben, carla = staff[0].user_id, staff[1].user_id, staff[2].user_id

    def key(name: str, workspace: str, created_by: str | None, usd: float, **more: Any) -> ApiKey:
        return ApiKey(
            vendor_id(seed, "apikey_", name),
            name,
            workspace,
            more.pop("status", "active"),
            created_by,
            usd_per_day=usd,
            **more,
        )

    opus, sonnet, haiku = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
    yield key("billing-svc-prod", production, ada, 46, principal=accounts["billing-svc"], models=(sonnet, haiku))
    yield key("support-bot-prod", production, ada, 61, principal=accounts["support-bot"], models=(haiku, sonnet))
    yield key("ranking-svc-prod", production, ben, 38, principal=accounts["ranking-svc"], models=(haiku,))
    yield key(
        "nightly-evals", research, carla, 52, principal=accounts["nightly-evals"], models=(opus, sonnet),
        product="message_batches_api",
    )  # fmt: skip
    # The sheet does not map these keys, but their service accounts or workspace.
    yield key("shared-search-index", production, ada, 24, models=(sonnet,))
    yield key("shared-sandbox", default, ben, 17, models=(sonnet, "claude-haiku-4-5"))
    yield key("mobile-release-notes", production, ada, 6, models=(haiku,), status="inactive", until=date(2026, 11, 10))
    yield key(
        "legacy-chat-widget",
        hackathon,
        carla,
        9,
        models=("claude-haiku-4-5",),
        status="archived",
        until=date(2026, 10, 20),
    )
    yield key("trial-embedding", default, ben, 3, models=(haiku,), status="expired", until=date(2026, 10, 12))
    # Spend that the sheet does not map: one key is attributed by its creator, two are unallocated.
    yield key("growth-experiment", default, staff[5].user_id, 14, models=(sonnet,))
    yield key("prod-2-test", default, None, 19, models=(opus, sonnet))
    yield key("tmp-migration", default, None, 8, models=(sonnet,))
    yield key(
        "design-prototype", default, staff[33].user_id, 7, principal=staff[33].user_id, models=(sonnet,),
        bound_since=date(2026, 11, 16),
    )  # fmt: skip
    for person in staff[20:32]:
        yield key(
            f"claude-code-{person.email.partition('@')[0]}", claude_code, person.user_id, 0, principal=person.user_id,
            product="claude_code",
        )  # fmt: skip
    for person in staff[32:36]:
        # The key has no principal, only a creator.
        yield key(f"notebook-{person.email.partition('@')[0]}", research, person.user_id, 4, models=(sonnet,))
