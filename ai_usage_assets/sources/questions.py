"""What it takes to ask a vendor about its own API: a budget, one raw answer at a time, and answers without people.

Belongs here: counting requests, and noting of each what may be kept. Does not: the questions of a vendor
(`*_questions`), or what becomes of the answers (`probe`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ai_usage_assets.http.client import RawResponse

Facts = dict[str, Any]
Parameters = Sequence[tuple[str, str]]

# Whose values say how often one may ask, and for how long an answer holds; of all others only the name is kept.
_KEPT_HEADERS = re.compile(r"rate-?limit|retry|cache-control|^age$")
# Fields whose values name a person, a key or a thing of the company.
_PERSONAL_FIELD = re.compile(r"(?i)(?:name|e-?mail(?:_address)?|subject|hint|url|(?:^|_)ids?|\wId)$")
_DOWN, _LIMITED = 500, 429
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_PREFIXED = re.compile(r"([A-Za-z]{2,14}_)[A-Za-z0-9]+")


class BudgetSpent(Exception):
    """One more request than was agreed on; it was not sent."""


class NotAnswered(Exception):
    """The question cannot be answered with this key or this data; the message says why."""


class Unanswered(NotAnswered):
    """The vendor could not answer now, which says nothing of what was asked."""


@dataclass(frozen=True)
class Answer:
    """What was learnt: a sentence for a person, and facts that name nobody."""

    told: str
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """One thing that is not known of an API for sure."""

    name: str
    text: str
    answer: Callable[[], Answer]


@dataclass(frozen=True)
class Seen:
    """One answer: its status, what the vendor said of an error, and its JSON (None when it is none)."""

    status: int
    said: str
    codes: frozenset[str]
    value: Any

    @property
    def ok(self) -> bool:
        """Whether it is what was asked for."""
        return 200 <= self.status < 300 and isinstance(self.value, dict)

    @property
    def short(self) -> str:
        """The status, and what the vendor calls it."""
        return " ".join([str(self.status), *sorted(self.codes)])

    def expect(self) -> Any:
        """The JSON. Raises NotAnswered when it is not what was asked for."""
        if not self.ok:
            raise NotAnswered(f"it answered {self.short}")
        return self.value


class Asking:
    """A vendor, as far as a budget of requests reaches."""

    def __init__(self, most_requests: int) -> None:
        self.most_requests = most_requests
        self.spent = 0
        # Of the present question.
        self.noted: list[Facts] = []
        self.header_names: Counter[str] = Counter()
        # Names, addresses and ids that came by: none of them may get into an answer.
        self.personal: set[str] = set()

    def __call__(
        self,
        send: Callable[[], RawResponse],
        request: str,
        parameters: Parameters | Mapping[str, object],
        *,
        version: str = "",
        about_limits: bool = False,
    ) -> Seen:
        """Sends one request and notes it. Raises BudgetSpent instead of sending one too many.

        Raises Unanswered when the vendor is down or asks to wait, unless that is what the question is about.
        """
        if self.spent >= self.most_requests:
            raise BudgetSpent(f"the {self.most_requests} requests that were agreed on are spent")
        self.spent += 1
        pairs = list(parameters.items()) if isinstance(parameters, Mapping) else list(parameters)
        note: Facts = {"request": request, "parameters": [f"{name}={_shown(name, value)}" for name, value in pairs]}
        if version:
            note["version"] = version
        self.noted.append(note)
        look = send()
        self.header_names.update(look.headers.keys())
        note["status"] = look.status
        if look.error_message:
            note["said"] = look.error_message
        if kept := {name: value for name, value in sorted(look.headers.items()) if _KEPT_HEADERS.search(name)}:
            note["headers"] = kept
        try:
            value = json.loads(look.body, parse_float=Decimal)
        except (ValueError, RecursionError):
            value = None
        self._remember(value)
        if look.status >= _DOWN or (look.status == _LIMITED and not about_limits):
            raise Unanswered(f"it answered {look.status}: {look.error_message}")
        return Seen(look.status, look.error_message, look.error_codes, value)

    def _remember(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                # A short number might be any.
                shortest = {str: 3, int: 5}.get(type(inner))
                if shortest and len(str(inner)) >= shortest and _PERSONAL_FIELD.search(name):
                    self.personal.add(str(inner))
                self._remember(inner)
        elif isinstance(value, list):
            for inner in value:
                self._remember(inner)


def _shown(name: str, value: object) -> str:
    # A cursor may hold anything, in a spelling that nobody would recognise.
    return "(a cursor)" if name == "page" and not str(value).isdigit() else str(value)


def form(value: object) -> str:
    """What an id looks like, without being it."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return "uuid"
        if found := _PREFIXED.fullmatch(value):
            return f"{found[1]}…"
        return "digits" if value.isdigit() else "text"
    return {bool: "boolean", int: "number", Decimal: "number", type(None): "null"}.get(type(value), "object")


def fields_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every field that any of the records has."""
    return sorted({name for record in records for name in record})


def counts(values: Iterable[object]) -> dict[str, int]:
    """How often each value occurs, most often first; null and absent are `null`."""
    counted = Counter("null" if value is None else str(value) for value in values)
    return dict(counted.most_common())
