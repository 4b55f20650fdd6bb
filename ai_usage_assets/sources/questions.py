"""Questions about a vendor's API that its documentation leaves open: their types, and a client with a request budget.

An answer is a set of facts: counts, differences and forms of ids, never a person, a key or an id.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.sources.base import SourceClient

Facts = dict[str, Any]

_RECORDED_HEADERS = re.compile(r"rate-?limit|retry|cache-control")
_PERSONAL_FIELD = re.compile(r"(?i)(?:name|e-?mail(?:_address)?|subject|hint|url|(?:^|_)ids?|\wId)$")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_PREFIXED_ID = re.compile(r"([A-Za-z]{2,14}_)[A-Za-z0-9]+")
_MAX_FAILURES = 2


class Unanswered(Exception):
    """The vendor's response does not answer the question; the message says why."""


class VendorUnavailable(Unanswered):
    """The vendor is down, limits requests or refuses the key."""


class BudgetExceeded(Unanswered):
    """The request would exceed the budget; it was not sent."""


@dataclass(frozen=True)
class ApiRequest:
    """One read of an API. A `body` makes it a POST."""

    path: str
    params: Sequence[tuple[str, str]] = ()
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ApiQuestion:
    """A question, the requests that answer it, and the function that turns the decoded responses into facts.

    Each element of `requests` builds a request for today's date. Equal requests of several questions are sent once.
    """

    name: str
    text: str
    requests: tuple[Callable[[date], ApiRequest], ...]
    answer: Callable[..., Facts]


@dataclass
class Answer:
    """The facts, or the problem. `failed`: the vendor did not respond properly, so other questions may fail too."""

    question: ApiQuestion
    facts: Facts | None = None
    problem: str = ""
    failed: bool = False
    requests: list[Facts] = field(default_factory=list)


class BudgetedClient:
    """Sends each request at most once, never more than `max_requests`, and collects the personal data it receives."""

    def __init__(self, client: SourceClient, max_requests: int) -> None:
        self._client = client
        self._responses: dict[str, tuple[Any, Facts]] = {}
        self.max_requests = max_requests
        self.sent = 0
        self.personal: set[str] = set()

    def request(self, request: ApiRequest) -> tuple[Any, Facts]:
        """The decoded response, with decimals, and a note about the request. Raises Unanswered and ApiError."""
        if response := self._responses.get(repr(request)):
            return response
        if self.sent >= self.max_requests:
            raise BudgetExceeded(f"the budget of {self.max_requests} requests is used up")
        self.sent += 1
        raw = self._client.request_once(request.path, request.params, request.body, request.headers)
        note: Facts = {"path": request.path, "status": raw.status} | {
            name: value for name, value in sorted(raw.headers.items()) if _RECORDED_HEADERS.search(name)
        }
        try:
            value = json.loads(raw.body, parse_float=Decimal)
        except (ValueError, RecursionError):
            value = None
        self._collect_personal(value)
        if raw.status != 200 or not isinstance(value, dict):
            kind = VendorUnavailable if raw.status in (401, 429) or raw.status >= 500 else Unanswered
            raise kind(" ".join([str(raw.status), *sorted(raw.error_codes)]) + f": {raw.error_message}")
        self._responses[repr(request)] = value, note
        return value, note

    def _collect_personal(self, value: Any) -> None:
        items = value.items() if isinstance(value, dict) else [("", item) for item in value or ()]
        for name, item in items:
            if isinstance(item, dict | list):
                self._collect_personal(item)
            # Shorter values occur in other places too.
            elif isinstance(item, str | int) and _PERSONAL_FIELD.search(name):
                if len(str(item)) >= (3 if isinstance(item, str) else 5):
                    self.personal.add(str(item))


def count_requests(questions: Sequence[ApiQuestion], today: date) -> int:
    """The number of requests that the questions need."""
    return len({repr(build(today)) for question in questions for build in question.requests})


def ask(client: BudgetedClient, questions: Sequence[ApiQuestion], today: date) -> list[Answer]:
    """Asks one question after the other; stops after a refused key and after two failures in a row."""
    answers: list[Answer] = []
    failures = 0
    for question in questions:
        answers.append(answer := _ask(client, question, today))
        failures = failures + 1 if answer.failed else 0
        if failures == _MAX_FAILURES or (failures and len(answers) == 1):
            break
    return answers


def _ask(client: BudgetedClient, question: ApiQuestion, today: date) -> Answer:
    answer = Answer(question)
    try:
        values = []
        for build in question.requests:
            value, note = client.request(build(today))
            values.append(value)
            answer.requests.append(note)
        answer.facts = question.answer(*values)
    except (Unanswered, ApiError) as error:
        answer.problem = error.detail if isinstance(error, ApiError) else str(error)
        answer.failed = isinstance(error, VendorUnavailable | ApiError)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        # The message of the error could quote the response.
        answer.problem = f"the response has an unexpected shape ({type(error).__name__})"
    return answer


def id_form(value: object) -> str:
    """What an id looks like, without the id."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return "uuid"
        if match := _PREFIXED_ID.fullmatch(value):
            return f"{match[1]}…"
        return "digits" if value.isdigit() else "text"
    return "null" if value is None else "number"


def counts(values: Iterable[object]) -> dict[str, int]:
    """How often each value occurs, most frequent first."""
    return dict(Counter("null" if value is None else str(value) for value in values).most_common())
