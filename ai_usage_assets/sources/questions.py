"""Questions that the documentation of a vendor's API leaves open. Answers contain no person, key or id."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.sources.base import SourceClient

Facts = dict[str, Any]


@dataclass(frozen=True)
class ApiRequest:
    """One read of an API. A `body` makes it a POST."""

    path: str
    params: Sequence[tuple[str, str]] = ()
    body: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ApiQuestion:
    """A question, its requests (built for today's date), and the function that turns their responses into facts."""

    name: str
    text: str
    requests: tuple[Callable[[date], ApiRequest], ...]
    answer: Callable[..., Facts]


@dataclass(frozen=True)
class QuestionResult:
    """The facts, or why there are none. `failed`: other questions would fail for the same reason."""

    question: ApiQuestion
    facts: Facts | None = None
    problem: str = ""
    failed: bool = False


class VendorUnavailable(Exception):
    """No response answers the question. With `failed`, other questions would fail too."""

    def __init__(self, message: str, *, failed: bool = False) -> None:
        super().__init__(message)
        self.failed = failed


class BudgetedClient:
    """Sends equal requests once, and never more than the questions need."""

    def __init__(self, client: SourceClient, questions: Sequence[ApiQuestion], today: date) -> None:
        self._client = client
        self._responses: dict[str, Any] = {}
        self.max_requests = len({repr(build(today)) for question in questions for build in question.requests})
        self.requests_sent = 0

    def request(self, request: ApiRequest) -> Any:
        """The decoded response; decimals are exact. Raises VendorUnavailable, ApiError and ValueError."""
        if repr(request) not in self._responses:
            if self.requests_sent >= self.max_requests:
                raise VendorUnavailable(f"the budget of {self.max_requests} requests is used up")
            self.requests_sent += 1
            response = self._client.request_once(request.path, request.params, request.body, request.headers)
            if (status := response.status) != 200:
                # Not the message of the error, which could quote a person.
                message = " ".join([f"status {status}", *sorted(response.error_codes)])
                raise VendorUnavailable(message, failed=status in (401, 429) or status >= 500)
            self._responses[repr(request)] = json.loads(response.body, parse_float=Decimal)
        return self._responses[repr(request)]


def ask(client: BudgetedClient, questions: Sequence[ApiQuestion], today: date) -> list[QuestionResult]:
    """Asks each question; stops if the first one fails or two in a row do."""
    answers: list[QuestionResult] = []
    failures = 0
    for question in questions:
        answers.append(answer := _ask(client, question, today))
        failures = failures + 1 if answer.failed else 0
        if failures == 2 or (failures and len(answers) == 1):
            break
    return answers


def _ask(client: BudgetedClient, question: ApiQuestion, today: date) -> QuestionResult:
    try:
        return QuestionResult(question, question.answer(*(client.request(build(today)) for build in question.requests)))
    except ApiError as error:
        return QuestionResult(question, problem=error.detail, failed=True)
    except VendorUnavailable as error:
        return QuestionResult(question, problem=str(error), failed=error.failed)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        # The text of the error could quote the response.
        return QuestionResult(question, problem=f"the response has an unexpected shape ({type(error).__name__})")


def counts(values: Iterable[object]) -> dict[str, int]:
    """How often each value of an enumeration occurs, most frequent first."""
    return dict(Counter("null" if value is None else str(value) for value in values).most_common())
