"""Faults that a test can inject: errors, lost connections, slow or failing jobs, denied access."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ai_usage_assets_tests.fakes.bigquery.errors import ApiError

# "upload" opens a resumable upload, "load" sends the file and starts the job, "query" starts a query job, "job" reads
# the state of a job, "results" reads its rows.
RequestKind = Literal["any", "datasets", "tables", "upload", "load", "query", "job", "results"]
JobKind = Literal["any", "load", "query"]

_STATUS_OF_REASON = {
    "backendError": 503,
    "internalError": 500,
    "rateLimitExceeded": 403,
    "jobRateLimitExceeded": 400,
    "quotaExceeded": 403,
    "accessDenied": 403,
    "invalidQuery": 400,
}
_PAUSE_SECONDS = 30.0


@dataclass
class RequestFault:
    """An error response or a lost connection for the next `times` requests of a kind."""

    on: RequestKind
    times: int
    error: ApiError | None = None
    drop: Literal["", "before", "after"] = ""


@dataclass
class JobFault:
    """A delay or an error for the next `times` jobs of a kind."""

    on: JobKind
    times: int
    polls: int = 0
    error: ApiError | None = None


class PausedCommit:
    """Pauses transactions immediately before their COMMIT."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait(self) -> None:
        """Wait until a transaction reaches its COMMIT."""
        assert self._reached.wait(_PAUSE_SECONDS), "no transaction reached its COMMIT"

    def release(self) -> None:
        """Let the transactions commit."""
        self._released.set()

    def pause(self) -> None:
        """Block the calling transaction until `release`."""
        self._reached.set()
        self._released.wait(_PAUSE_SECONDS)


class Faults:
    """Faults in the order of injection. The first requests or jobs of the kind use them up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._request_faults: list[RequestFault] = []
        self._job_faults: list[JobFault] = []
        self._denied: set[str] = set()
        self._paused_commit: PausedCommit | None = None

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._request_faults.clear()
            self._job_faults.clear()
            self._denied.clear()
            self._paused_commit = None

    def remaining(self) -> int:
        """Return how many requests and jobs are still to fail."""
        with self._lock:
            faults: list[RequestFault | JobFault] = [*self._request_faults, *self._job_faults]
            return sum(fault.times for fault in faults)

    def fail_request(
        self,
        reason: str,
        *,
        on: RequestKind = "any",
        times: int = 1,
        status: int | None = None,
        message: str = "The service is unavailable.",
    ) -> None:
        """Reject requests with the reason (backendError, rateLimitExceeded, quotaExceeded ...) without any effect."""
        error = ApiError(status or _STATUS_OF_REASON[reason], reason, message)
        with self._lock:
            self._request_faults.append(RequestFault(on, times, error=error))

    def drop_connection(self, when: Literal["before", "after"], *, on: RequestKind = "any", times: int = 1) -> None:
        """Reset the connection without a response, before or after the request takes effect."""
        with self._lock:
            self._request_faults.append(RequestFault(on, times, drop=when))

    def delay_job(self, polls: int, *, on: JobKind = "any", times: int = 1) -> None:
        """Keep jobs running, without any effect, until their state was requested `polls` times."""
        with self._lock:
            self._job_faults.append(JobFault(on, times, polls=polls))

    def fail_job(
        self,
        reason: str = "backendError",
        *,
        on: JobKind = "any",
        times: int = 1,
        message: str = "Error encountered during execution. Retrying may solve the problem.",
    ) -> None:
        """Accept jobs, and end them with the reason and without any effect."""
        error = ApiError(_STATUS_OF_REASON[reason], reason, message)
        with self._lock:
            self._job_faults.append(JobFault(on, times, error=error))

    def deny_access(self, dataset: str) -> None:
        """Deny access to the dataset."""
        with self._lock:
            self._denied.add(dataset)

    def allow_access(self, dataset: str) -> None:
        """Allow access to a denied dataset again."""
        with self._lock:
            self._denied.discard(dataset)

    @contextmanager
    def pause_commits(self) -> Iterator[PausedCommit]:
        """Pause transactions before their COMMIT until `release` or the end of the block."""
        paused_commit = PausedCommit()
        with self._lock:
            self._paused_commit = paused_commit
        try:
            yield paused_commit
        finally:
            with self._lock:
                self._paused_commit = None
            paused_commit.release()

    # Called by the server

    def take_request_fault(self, kind: RequestKind) -> RequestFault | None:
        """Return the first fault for the request and count it as used."""
        with self._lock:
            for fault in self._request_faults:
                if fault.on in ("any", kind):
                    fault.times -= 1
                    if not fault.times:
                        self._request_faults.remove(fault)
                    return fault
        return None

    def take_job_faults(self, kind: JobKind) -> tuple[int, ApiError | None]:
        """Return the number of polls that delay the job, and its error. Counts the faults as used."""
        polls, error = 0, None
        with self._lock:
            for fault in list(self._job_faults):
                if fault.on in ("any", kind):
                    polls, error = polls or fault.polls, error or fault.error
                    fault.times -= 1
                    if not fault.times:
                        self._job_faults.remove(fault)
        return polls, error

    def is_denied(self, dataset: str) -> bool:
        """Return whether access to the dataset is denied."""
        with self._lock:
            return dataset in self._denied

    def wait_before_commit(self) -> None:
        """Block while `pause_commits` is active and not released."""
        with self._lock:
            paused_commit = self._paused_commit
        if paused_commit is not None:
            paused_commit.pause()
