"""Jobs: their ids, states, results and REST resources."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, beyond_this_server, duplicate, invalid, not_found
from ai_usage_assets_tests.fakes.bigquery.execution import LEAST_BYTES, Outcome
from ai_usage_assets_tests.fakes.bigquery.faults import Faults, JobKind
from ai_usage_assets_tests.fakes.bigquery.tables import check_labels
from ai_usage_assets_tests.fakes.bigquery.values import encode, schema_resource

_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")


@dataclass
class Job:
    """One job. Its work is done when it is first asked about after `polls` times, so that nothing is early."""

    project: str
    id: str
    location: str
    kind: JobKind
    configuration: Mapping[str, Any]
    work: Callable[[], Outcome]
    polls: int = 0
    state: str = "PENDING"
    error: ApiError | None = None
    outcome: Outcome = field(default_factory=Outcome)
    created_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    input_bytes: int = 0
    _at_work: threading.Lock = field(default_factory=threading.Lock)

    def advance(self) -> None:
        """Goes on by one step."""
        if not self._at_work.acquire(blocking=False):
            return
        try:
            if self.state == "DONE":
                return
            self.state = "RUNNING"
            if self.polls > 0:
                self.polls -= 1
                return
            try:
                if self.error is None:
                    self.outcome = self.work()
            except ApiError as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 - a fault of this server is no success of the job
                self.error = beyond_this_server(repr(error))
            finally:
                self.state = "DONE"
        finally:
            self._at_work.release()

    def reference(self) -> dict[str, str]:
        """As resources name it."""
        return {"projectId": self.project, "jobId": self.id, "location": self.location}

    def resource(self) -> dict[str, Any]:
        """As jobs.get shows it."""
        status: dict[str, Any] = {"state": self.state}
        statistics: dict[str, Any] = {"creationTime": str(self.created_ms), "startTime": str(self.created_ms)}
        if self.state == "DONE":
            statistics["endTime"] = str(self.created_ms + 1)
            if self.error is not None:
                status |= {"errorResult": self.error.of_job(), "errors": [self.error.of_job()]}
            else:
                statistics |= self._statistics()
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:{self.location}.{self.id}",
            "jobReference": self.reference(),
            "configuration": {**self.configuration, "jobType": self.kind.upper()},
            "status": status,
            "statistics": statistics,
        }

    def _statistics(self) -> dict[str, Any]:
        done = self.outcome
        if self.kind == "load":
            return {
                "load": {
                    "inputFiles": "1",
                    "inputFileBytes": str(self.input_bytes),
                    "outputRows": str(done.affected),
                    "outputBytes": str(done.bytes),
                }
            }
        query: dict[str, Any] = {
            "statementType": done.type,
            "totalBytesProcessed": str(done.bytes),
            "totalBytesBilled": str(max(done.bytes, LEAST_BYTES) if done.bytes else 0),
            "cacheHit": False,
        }
        if done.fields is not None:
            query["schema"] = schema_resource(done.fields)
        if done.affected is not None:
            query["numDmlAffectedRows"] = str(done.affected)
        if done.made is not None:
            query["ddlTargetTable"] = done.made.listed()["tableReference"]
        shown: dict[str, Any] = {"query": query, "totalBytesProcessed": str(done.bytes)}
        return shown | ({"numChildJobs": str(done.children)} if done.type == "SCRIPT" else {})

    def results(self, asked: Mapping[str, str], page_rows: int) -> dict[str, Any]:
        """One page, or that there is none yet. Raises what the job failed with."""
        shown: dict[str, Any] = {"kind": "bigquery#getQueryResultsResponse", "jobReference": self.reference()}
        if self.state != "DONE":
            return shown | {"jobComplete": False}
        if self.error is not None:
            raise self.error
        done = self.outcome
        shown |= {"jobComplete": True, "cacheHit": False, "totalBytesProcessed": str(done.bytes)}
        if done.affected is not None:
            shown["numDmlAffectedRows"] = str(done.affected)
        if done.fields is None or done.rows is None:
            return shown
        first = int(asked.get("pageToken") or asked.get("startIndex") or 0)
        count = min(int(asked.get("maxResults") or page_rows), page_rows)
        if asked.get("maxResults") == "0":
            count = 0
        page = done.rows.slice(first, count)
        shown |= {
            "totalRows": str(done.rows.num_rows),
            "schema": schema_resource(done.fields),
            "rows": encode(
                page,
                done.fields,
                int64_timestamps=asked.get("formatOptions.useInt64Timestamp", "").lower() == "true",
            ),
        }
        if first + count < done.rows.num_rows:
            shown["pageToken"] = str(first + count)
        return shown


class Jobs:
    """Every job there was, by its id and place."""

    def __init__(self, project: str, faults: Faults) -> None:
        self._project = project
        self._faults = faults
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def all(self) -> list[Job]:
        """In the order they came."""
        with self._lock:
            return list(self._jobs.values())

    def clear(self) -> None:
        """Forgets them."""
        with self._lock:
            self._jobs.clear()

    def insert(self, given: Mapping[str, Any], kind: JobKind, work: Callable[[Job], Outcome], size: int = 0) -> Job:
        """Starts a job, or runs a dry one, which is not kept. Raises duplicate, and what a dry one finds."""
        reference = given.get("jobReference") or {}
        job = Job(
            self._project,
            reference.get("jobId") or uuid.uuid4().hex,
            reference.get("location") or "US",
            kind,
            given["configuration"],
            lambda: work(job),
            input_bytes=size,
        )
        if not _ID.fullmatch(job.id):
            raise invalid(f'Invalid job ID "{job.id}". Job IDs must be alphanumeric (plus underscores and dashes).')
        check_labels(job.configuration.get("labels") or {})
        if job.configuration.get("dryRun"):
            job.outcome, job.state = work(job), "DONE"
            return job
        with self._lock:
            if job.id in self._jobs:
                raise duplicate(f"Job {self._project}:{job.location}.{job.id}")
            job.polls, job.error = self._faults.of_job(kind)
            self._jobs[job.id] = job
        if not job.polls:
            job.advance()
        return job

    def get(self, id_: str, location: str | None) -> Job:
        """The job, one step further. Raises not found."""
        with self._lock:
            job = self._jobs.get(id_)
        if job is None or (location or job.location) != job.location:
            raise not_found(f"Job {self._project}:{location or 'US'}.{id_}")
        job.advance()
        return job
