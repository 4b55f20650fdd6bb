"""Jobs: their ids, states, results and REST resources."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, duplicate, invalid, not_found, not_implemented
from ai_usage_assets_tests.fakes.bigquery.execution import MINIMUM_BILLED_BYTES, JobResult
from ai_usage_assets_tests.fakes.bigquery.faults import Faults, JobKind
from ai_usage_assets_tests.fakes.bigquery.tables import validate_labels
from ai_usage_assets_tests.fakes.bigquery.values import encode_rows, schema_resource

_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")


@dataclass
class Job:
    """A job. It has no effect until its state has been requested `remaining_polls` times; then `work` runs."""

    project: str
    id: str
    location: str
    kind: JobKind
    configuration: Mapping[str, Any]
    work: Callable[[], JobResult]
    remaining_polls: int = 0
    state: str = "PENDING"
    error: ApiError | None = None
    result: JobResult = field(default_factory=JobResult)
    created_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    input_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def advance(self) -> None:
        """Count one request for the state, and run the job when it is due."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self.state == "DONE":
                return
            self.state = "RUNNING"
            if self.remaining_polls > 0:
                self.remaining_polls -= 1
                return
            try:
                if self.error is None:
                    self.result = self.work()
            except ApiError as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 - a defect of this server must fail the job
                self.error = not_implemented(repr(error))
            finally:
                self.state = "DONE"
        finally:
            self._lock.release()

    def reference(self) -> dict[str, str]:
        """Return the `jobReference` of a REST resource."""
        return {"projectId": self.project, "jobId": self.id, "location": self.location}

    def resource(self) -> dict[str, Any]:
        """Return the response of jobs.get."""
        status: dict[str, Any] = {"state": self.state}
        statistics: dict[str, Any] = {"creationTime": str(self.created_ms), "startTime": str(self.created_ms)}
        if self.state == "DONE":
            statistics["endTime"] = str(self.created_ms + 1)
            if self.error is not None:
                status |= {"errorResult": self.error.job_error(), "errors": [self.error.job_error()]}
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
        result = self.result
        if self.kind == "load":
            return {
                "load": {
                    "inputFiles": "1",
                    "inputFileBytes": str(self.input_bytes),
                    "outputRows": str(result.affected_rows),
                    "outputBytes": str(result.bytes),
                }
            }
        query: dict[str, Any] = {
            "statementType": result.type,
            "totalBytesProcessed": str(result.bytes),
            "totalBytesBilled": str(max(result.bytes, MINIMUM_BILLED_BYTES) if result.bytes else 0),
            "cacheHit": False,
        }
        if result.fields is not None:
            query["schema"] = schema_resource(result.fields)
        if result.affected_rows is not None:
            query["numDmlAffectedRows"] = str(result.affected_rows)
        if result.ddl_target is not None:
            query["ddlTargetTable"] = result.ddl_target.list_resource()["tableReference"]
        statistics: dict[str, Any] = {"query": query, "totalBytesProcessed": str(result.bytes)}
        return statistics | ({"numChildJobs": str(result.child_jobs)} if result.type == "SCRIPT" else {})

    def results(self, query: Mapping[str, str], page_rows: int) -> dict[str, Any]:
        """Return the response of jobs.getQueryResults for one page. Raises the error of a failed job."""
        response: dict[str, Any] = {"kind": "bigquery#getQueryResultsResponse", "jobReference": self.reference()}
        if self.state != "DONE":
            return response | {"jobComplete": False}
        if self.error is not None:
            raise self.error
        result = self.result
        response |= {"jobComplete": True, "cacheHit": False, "totalBytesProcessed": str(result.bytes)}
        if result.affected_rows is not None:
            response["numDmlAffectedRows"] = str(result.affected_rows)
        if result.fields is None or result.rows is None:
            return response
        first = int(query.get("pageToken") or query.get("startIndex") or 0)
        count = min(int(query.get("maxResults") or page_rows), page_rows)
        if query.get("maxResults") == "0":
            count = 0
        page = result.rows.slice(first, count)
        response |= {
            "totalRows": str(result.rows.num_rows),
            "schema": schema_resource(result.fields),
            "rows": encode_rows(
                page,
                result.fields,
                int64_timestamps=query.get("formatOptions.useInt64Timestamp", "").lower() == "true",
            ),
        }
        if first + count < result.rows.num_rows:
            response["pageToken"] = str(first + count)
        return response


class Jobs:
    """All jobs by id."""

    def __init__(self, project: str, faults: Faults) -> None:
        self._project = project
        self._faults = faults
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def all(self) -> list[Job]:
        """Return the jobs in the order of their creation."""
        with self._lock:
            return list(self._jobs.values())

    def clear(self) -> None:
        """Delete all jobs."""
        with self._lock:
            self._jobs.clear()

    def insert(self, body: Mapping[str, Any], kind: JobKind, work: Callable[[Job], JobResult], size: int = 0) -> Job:
        """Start a job. Raises `duplicate` or `invalid`. A dry run is not stored and raises its own error."""
        reference = body.get("jobReference") or {}
        job = Job(
            self._project,
            reference.get("jobId") or uuid.uuid4().hex,
            reference.get("location") or "US",
            kind,
            body["configuration"],
            lambda: work(job),
            input_bytes=size,
        )
        if not _ID.fullmatch(job.id):
            raise invalid(f'Invalid job ID "{job.id}". Job IDs must be alphanumeric (plus underscores and dashes).')
        validate_labels(job.configuration.get("labels") or {})
        if job.configuration.get("dryRun"):
            job.result, job.state = work(job), "DONE"
            return job
        with self._lock:
            if job.id in self._jobs:
                raise duplicate(f"Job {self._project}:{job.location}.{job.id}")
            job.remaining_polls, job.error = self._faults.take_job_faults(kind)
            self._jobs[job.id] = job
        if not job.remaining_polls:
            job.advance()
        return job

    def get(self, id_: str, location: str | None) -> Job:
        """Advance the job and return it. Raises `not_found`."""
        with self._lock:
            job = self._jobs.get(id_)
        if job is None or (location or job.location) != job.location:
            raise not_found(f"Job {self._project}:{location or 'US'}.{id_}")
        job.advance()
        return job
