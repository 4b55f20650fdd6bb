"""The retry policy of HTTP requests: which failures are transient, and how long their servers ask to wait."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ai_usage_assets.retries import RetryPolicy

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
    """The limits of one HTTP request with all its retries, in seconds."""

    total_wait_seconds: float = 600.0
    # For a 429 without Retry-After; the vendors' rate limits are per minute.
    rate_limit_wait_seconds: float = 60.0
    # Ends an attempt whose response arrives so slowly that no single read times out.
    attempt_seconds: float = 120.0

    def requested_wait(self, error: AttemptError) -> float | None:
        """Returns the wait that a failed attempt asks for: Retry-After, else the one after a 429; None for others."""
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
