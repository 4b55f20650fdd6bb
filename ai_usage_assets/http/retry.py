"""HTTP requests with retries: which failures are transient, how long to wait, and the error after the last attempt."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn, TypeVar

import httpx
from tenacity import RetryCallState, retry_if_result

from ai_usage_assets.http.errors import (
    ApiError,
    MalformedResponse,
    PageTokenExpired,
    PermanentApiError,
    TransientApiError,
    default_next_step,
    error_codes,
    error_message,
)
from ai_usage_assets.http.rate_limit import Clock
from ai_usage_assets.retries import RetryPolicy

T = TypeVar("T")

logger = logging.getLogger(__name__)

_TRANSIENT_STATUS = {408, 409, 425, 429}


@dataclass
class AttemptError:
    """Why one attempt failed."""

    detail: str
    transient: bool
    status: int | None = None
    error_codes: frozenset[str] = frozenset()
    request_id: str | None = None
    malformed: bool = False
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class HttpRetryPolicy(RetryPolicy):
    """The limits of one HTTP request with all its retries."""

    total_wait_seconds: float = 600.0
    # For a 429 without Retry-After; the vendors' rate limits are per minute.
    rate_limit_wait_seconds: float = 60.0
    # Ends an attempt whose response arrives so slowly that no single read times out.
    attempt_seconds: float = 120.0

    def requested_wait(self, error: AttemptError) -> float | None:
        """Returns the wait that the response asks for, in seconds; None for the exponential wait of the policy.

        A 429 without Retry-After asks for `rate_limit_wait_seconds`.
        """
        if error.retry_after_seconds is None and error.status == 429:
            return self.add_jitter(self.rate_limit_wait_seconds)
        return error.retry_after_seconds


# For simulated vendors: the same number of attempts, and no wait except a Retry-After.
NO_WAIT_POLICY = HttpRetryPolicy(first_wait_seconds=0.0, rate_limit_wait_seconds=0.0)


def is_transient(status: int) -> bool:
    """Returns whether a request with this response status may succeed later."""
    return status in _TRANSIENT_STATUS or status >= 500


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Returns the seconds a Retry-After header asks for, as a number or a future HTTP date; None if neither."""
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,15}(\.\d{1,15})?", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    seconds = ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
    return seconds if seconds >= 0 else None


def failed_response(
    status: int, headers: Mapping[str, str], body: bytes, redact: Callable[[str], str], now: datetime
) -> AttemptError:
    """Describes a response with an error status. `redact` removes secrets from the texts of the response."""
    request_id = headers.get("request-id") or headers.get("x-request-id")
    return AttemptError(
        redact(error_message(body) or httpx.codes.get_reason_phrase(status)),
        status=status,
        error_codes=frozenset(map(redact, error_codes(body))),
        request_id=request_id and redact(request_id),
        transient=is_transient(status),
        retry_after_seconds=parse_retry_after(headers.get("retry-after"), now),
    )


def send_with_retries(
    attempt: Callable[[], T | AttemptError], policy: HttpRetryPolicy, clock: Clock, name: str
) -> tuple[T | AttemptError, int]:
    """Repeats a request while its failure is transient.

    Returns the result or the last failure, and the number of attempts. `name` is the service and endpoint for the log.
    """

    def log_retry(state: RetryCallState) -> None:
        error = _failure(state)
        logger.warning(
            "%s: %s; attempt %d of %d, retrying in %.0f s",
            name,
            error.detail if error.malformed else error.status or error.detail,
            state.attempt_number,
            policy.max_attempts,
            state.upcoming_sleep,
        )

    def give_up(state: RetryCallState) -> AttemptError:
        error = _failure(state)
        if state.upcoming_sleep > policy.max_wait_seconds:
            error.detail = f"asks to wait {state.upcoming_sleep:,.0f} s. {error.detail}"
        return error

    retrying = policy.retrying(
        retry_if_result(lambda result: isinstance(result, AttemptError) and result.transient),
        sleep=clock.sleep,
        wait=lambda state: policy.requested_wait(_failure(state)),
        before_sleep=log_retry,
        give_up=give_up,
    )
    return retrying(attempt), retrying.statistics["attempt_number"]


def raise_failure(service: str, endpoint: str, error: AttemptError, attempts: int, hint: str | None) -> NoReturn:
    """Raises the ApiError that describes a failed request. `hint` replaces the default advice."""
    error_class: type[ApiError]
    if error.status == httpx.codes.GONE:
        error_class = PageTokenExpired
    elif error.malformed:
        error_class = MalformedResponse
    else:
        error_class = TransientApiError if error.transient else PermanentApiError
    raise error_class(
        service,
        endpoint,
        status=error.status,
        error_codes=error.error_codes,
        detail=error.detail,
        next_step=hint or default_next_step(error.status, error.detail, transient=error.transient),
        request_id=error.request_id,
        attempts=attempts,
    )


def _failure(state: RetryCallState) -> AttemptError:
    """The failure of the last attempt."""
    result = state.outcome.result() if state.outcome else None
    if not isinstance(result, AttemptError):
        raise TypeError(f"{type(result).__name__} is not a failed attempt")
    return result
