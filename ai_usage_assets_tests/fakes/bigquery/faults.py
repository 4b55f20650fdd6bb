"""Faults that a test can switch on: errors, lost connections, slow or failing jobs, denied access."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from ai_usage_assets_tests.fakes.bigquery.errors import ApiError

# A request by what it wants: "upload" opens a resumable upload, "load" brings the file and starts the job, "query"
# starts a query job, "job" asks for a job, "results" for its rows.
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
_HELD_SECONDS = 30.0


@dataclass
class _OfRequest:
    on: RequestKind
    times: int
    error: ApiError | None = None
    dropped: Literal["", "before", "after"] = ""


@dataclass
class _OfJob:
    on: JobKind
    times: int
    polls: int = 0
    error: ApiError | None = None


class Held:
    """A transaction on the edge of its COMMIT."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait(self) -> None:
        """Until a transaction stands there."""
        assert self._reached.wait(_HELD_SECONDS), "no transaction came to its COMMIT"

    def release(self) -> None:
        """Lets it go on."""
        self._released.set()

    def arrive(self) -> None:
        """The transaction's side."""
        self._reached.set()
        self._released.wait(_HELD_SECONDS)


class Faults:
    """Switched on by a test; each is used up by the first requests or jobs of its kind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_requests: list[_OfRequest] = []
        self._of_jobs: list[_OfJob] = []
        self._denied: set[str] = set()
        self._held: Held | None = None

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._of_requests.clear()
            self._of_jobs.clear()
            self._denied.clear()
            self._held = None

    def unused(self) -> int:
        """How many faults nothing has met yet."""
        with self._lock:
            return sum(f.times for f in self._of_requests) + sum(f.times for f in self._of_jobs)

    def answer(
        self,
        reason: str,
        *,
        on: RequestKind = "any",
        times: int = 1,
        status: int | None = None,
        message: str = "The service said no.",
    ) -> None:
        """Answers with this reason (backendError, rateLimitExceeded, quotaExceeded ...) and does nothing."""
        error = ApiError(status or _STATUS_OF_REASON[reason], reason, message)
        with self._lock:
            self._of_requests.append(_OfRequest(on, times, error=error))

    def drop(self, when: Literal["before", "after"], *, on: RequestKind = "any", times: int = 1) -> None:
        """Ends the connection without an answer, before or after the work is done."""
        with self._lock:
            self._of_requests.append(_OfRequest(on, times, dropped=when))

    def keep_running(self, polls: int, *, on: JobKind = "any", times: int = 1) -> None:
        """The next jobs do their work only when they have been asked about that many times."""
        with self._lock:
            self._of_jobs.append(_OfJob(on, times, polls=polls))

    def fail_job(
        self,
        reason: str = "backendError",
        *,
        on: JobKind = "any",
        times: int = 1,
        message: str = "Error encountered during execution. Retrying may solve the problem.",
    ) -> None:
        """The next jobs are accepted, and end with this reason instead of doing their work."""
        error = ApiError(_STATUS_OF_REASON[reason], reason, message)
        with self._lock:
            self._of_jobs.append(_OfJob(on, times, error=error))

    def deny(self, dataset: str) -> None:
        """Whoever asks has no access to it."""
        with self._lock:
            self._denied.add(dataset)

    def allow(self, dataset: str) -> None:
        """Has it again."""
        with self._lock:
            self._denied.discard(dataset)

    @contextmanager
    def holding_commits(self) -> Iterator[Held]:
        """Transactions wait before their COMMIT, until released or the end of the block."""
        held = Held()
        with self._lock:
            self._held = held
        try:
            yield held
        finally:
            with self._lock:
                self._held = None
            held.release()

    # The server's side

    def of_request(self, kind: RequestKind) -> _OfRequest | None:
        """What goes wrong with this request."""
        with self._lock:
            return _use_up(self._of_requests, kind)

    def of_job(self, kind: JobKind) -> tuple[int, ApiError | None]:
        """How often this job is still running when asked, and what it fails with."""
        polls, error = 0, None
        with self._lock:
            for fault in list(self._of_jobs):
                if fault.on in ("any", kind):
                    polls, error = polls or fault.polls, error or fault.error
                    fault.times -= 1
                    if not fault.times:
                        self._of_jobs.remove(fault)
        return polls, error

    def is_denied(self, dataset: str) -> bool:
        """Whether nobody may touch it."""
        with self._lock:
            return dataset in self._denied

    def before_commit(self) -> None:
        """A transaction is about to commit."""
        with self._lock:
            held = self._held
        if held is not None:
            held.arrive()


def _use_up(faults: list[_OfRequest], kind: RequestKind) -> _OfRequest | None:
    for fault in faults:
        if fault.on in ("any", kind):
            fault.times -= 1
            if not fault.times:
                faults.remove(fault)
            return fault
    return None
