"""The clock of the HTTP client, and the limiter that spaces requests."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time and sleep, replaceable in tests."""

    def monotonic(self) -> float:
        """Seconds that never decrease."""

    def now(self) -> datetime:
        """The current time, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Seconds that never decrease."""
        return time.monotonic()

    def now(self) -> datetime:
        """The current time, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


class RateLimiter:
    """A token bucket that allows at most `per_minute` requests in any minute, a tenth of them in a burst."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._clock = clock
        self._burst = max(1, per_minute // 10)
        # The burst counts toward the minute.
        self._seconds_per_token = 60.0 / (per_minute - self._burst + 1)
        self._tokens = float(self._burst)
        self._refilled_at = clock.monotonic()

    def acquire(self) -> None:
        """Waits until the next request is within the limit."""
        self._refill()
        if self._tokens < 1:
            self._clock.sleep((1 - self._tokens) * self._seconds_per_token)
            self._refill()
        self._tokens -= 1

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) / self._seconds_per_token)
        self._refilled_at = now
