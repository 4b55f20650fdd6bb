"""The retry policy of every request: vendors, the sheet, Metabase, the webhook, BigQuery and Secret Manager.

A policy states the limits of one request with all its retries; tenacity repeats the request.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying


@dataclass(frozen=True)
class RetryPolicy:
    """The limits of one request with all its retries, in seconds. The wait doubles from retry to retry."""

    max_attempts: int = 6
    first_wait_seconds: float = 1.0
    # A request whose next wait would be longer, for example because the server asks for it, fails instead.
    max_wait_seconds: float = 120.0
    total_wait_seconds: float = math.inf
    # Attempts and waits together.
    total_seconds: float = math.inf
    # The largest random addition to a wait, as a fraction of it: two processes must not retry at the same moment.
    jitter: float = 0.1

    def add_jitter(self, seconds: float) -> float:
        """Returns a wait with its random addition, at most `max_wait_seconds`."""
        return min(seconds * (1 + random.uniform(0, self.jitter)), self.max_wait_seconds)  # noqa: S311 - not a secret

    def retrying(
        self,
        condition: Callable[[RetryCallState], bool],
        *,
        sleep: Callable[[float], None] = time.sleep,
        wait: Callable[[RetryCallState], float | None] = lambda _: None,
        max_attempts: Callable[[RetryCallState], int] | None = None,
        before_sleep: Callable[[RetryCallState], None] | None = None,
        give_up: Callable[[RetryCallState], Any] | None = None,
    ) -> Retrying:
        """Returns a tenacity object that repeats a call, or a `with` block, while `condition` is true.

        `wait` returns the seconds before the next attempt, or None for the exponential wait of the policy.
        `max_attempts` replaces the policy's number. `give_up` returns the result after the last attempt; without it,
        the last error is raised.
        """
        # Imported here because it imports asyncio, and most commands send no request.
        from tenacity import Retrying
        from tenacity.wait import wait_exponential

        exponential = wait_exponential(multiplier=self.first_wait_seconds, max=self.max_wait_seconds)

        def wait_seconds(state: RetryCallState) -> float:
            seconds = wait(state)
            return self.add_jitter(exponential(state)) if seconds is None else seconds

        def is_last(state: RetryCallState) -> bool:
            return (
                state.attempt_number >= (max_attempts(state) if max_attempts else self.max_attempts)
                or state.upcoming_sleep > self.max_wait_seconds
                or state.idle_for + state.upcoming_sleep > self.total_wait_seconds
                or (state.seconds_since_start or 0) + state.upcoming_sleep > self.total_seconds
            )

        return Retrying(
            sleep=sleep,
            wait=wait_seconds,
            stop=is_last,
            retry=condition,
            before_sleep=before_sleep,
            retry_error_callback=give_up,
            reraise=True,
        )
