"""BigQuery jobs: starting them, waiting, retrying, and turning errors into messages.

Every job has an id that is chosen here. When the response to a request is lost, the id shows whether the work was done,
so a retry never does it twice.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa
import requests
from dagster_gcp import BigQueryResource
from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from tenacity import RetryCallState, retry_if_exception

from ai_usage_assets.redaction import redact
from ai_usage_assets.retries import RetryPolicy
from ai_usage_assets.warehouse.base import QueryParameters, WarehouseError
from ai_usage_assets.warehouse.googlesql import in_dataset

logger = logging.getLogger(__name__)

# The data must stay in this location for compliance.
LOCATION = "US"
LABELS = {"app": "ai-usage"}
# Each thread has its own: models are built side by side.
_job_labels: ContextVar[dict[str, str]] = ContextVar("job_labels", default=LABELS)
RETRY_SECONDS = 120.0

# A statement that takes longer hangs.
_JOB_SECONDS = 1800.0
_REQUEST_SECONDS = 60.0
# BigQuery ends a page earlier if it has 10 MB.
_PAGE_ROWS = 100_000
RETRY_POLICY = RetryPolicy(max_attempts=6, first_wait_seconds=0.5, max_wait_seconds=30, jitter=1)
# Transactions conflict per table, so another run's last statement may have to end first: tries for 15 minutes.
_CONFLICT_ATTEMPTS = 40

_TRANSIENT_REASONS = {"backendError", "internalError", "rateLimitExceeded", "jobRateLimitExceeded", "jobBackendError"}
_BYTES_LIMIT = "bytesBilledLimitExceeded"
_CONFLICT = re.compile(r"due to concurrent update|Could not serialize access|concurrent update", re.IGNORECASE)
# What the client adds before and after BigQuery's own message.
_CLIENT_TEXT = re.compile(r"^(?:GET|POST|PUT|PATCH|DELETE) \S+: |; (?:reason|message|location): .*$")
_NO_ANSWER = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    api.ServerError,
    api.TooManyRequests,
    # The access token could not be fetched.
    TransportError,
)


class EmulatedBigQueryResource(BigQueryResource):
    """Dagster's BigQuery resource for an emulator, which gets no credentials."""

    emulator_url: str

    @contextmanager
    def get_client(self) -> Iterator[bigquery.Client]:
        """A client of the emulator."""
        yield bigquery.Client(
            project=self.project,
            location=self.location,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options=ClientOptions(api_endpoint=self.emulator_url),
        )


def bigquery_resource(project: str, emulator_url: str | None = None) -> BigQueryResource:
    """Dagster's BigQuery resource with ambient credentials, or with none for an emulator."""
    if emulator_url is None:
        return BigQueryResource(project=project, location=LOCATION)
    return EmulatedBigQueryResource(project=project, location=LOCATION, emulator_url=emulator_url)


class BigQueryJobs:
    """Runs jobs in one project, on one dataset. `resource` creates the client at the first request."""

    def __init__(
        self,
        project: str,
        dataset: str,
        resource: BigQueryResource,
        *,
        max_bytes_billed: int | None = None,
        retry_seconds: float = RETRY_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.project = project
        self.dataset = dataset
        self._resource = resource
        self._max_bytes_billed = max_bytes_billed
        self._retry = DEFAULT_RETRY.with_timeout(retry_seconds)
        self._sleep = sleep
        self._client: bigquery.Client | None = None

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}"

    @property
    def client(self) -> bigquery.Client:
        """Google's client."""
        if self._client is None:
            with self._resource.get_client() as client:
                self._client = client
        return self._client

    @contextmanager
    def label_jobs(self, **values: str) -> Iterator[None]:
        """Adds labels to the jobs of the block, as BigQuery allows them: 63 lower-case letters, digits, - and _."""
        added = {name: re.sub(r"[^a-z0-9_-]", "-", value.lower())[:63] for name, value in values.items()}
        token = _job_labels.set({**_job_labels.get(), **added})
        try:
            yield
        finally:
            _job_labels.reset(token)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of jobs that start now."""
        return _job_labels.get()

    @property
    def request_options(self) -> dict[str, Any]:
        """Retries and timeout of a request that can be repeated."""
        return {"retry": self._retry, "timeout": _REQUEST_SECONDS}

    def get_table(self, name: str) -> bigquery.Table:
        """A table or view with its columns and query. Raises the client's NotFound."""
        return self.client.get_table(f"{self.dataset}.{name}", **self.request_options)

    def query(
        self,
        sql: str,
        parameters: QueryParameters,
        row_parameters: Sequence[bigquery.ArrayQueryParameter] = (),
        *,
        name: str | None = None,
    ) -> bigquery.QueryJob:
        """Runs a statement to its end; `name` makes the job's id, otherwise it is random."""
        config = bigquery.QueryJobConfig(
            query_parameters=[*scalar_parameters(sql, parameters), *row_parameters],
            labels=self.labels,
            # The client would send None as a text.
            **({"maximum_bytes_billed": self._max_bytes_billed} if self._max_bytes_billed else {}),
        )
        start = partial(self.client.query, in_dataset(sql, self.dataset), job_config=config, job_retry=None)
        job: bigquery.QueryJob = self.run(start, "query", name)
        return job

    def query_table(self, sql: str, parameters: QueryParameters) -> pa.Table:
        """The result of a query."""
        return self.result(self.query(sql, parameters)).to_arrow(create_bqstorage_client=False)

    def result(self, job: Any) -> Any:
        """Waits for the end of a job; returns the rows of a query, the first page without another request."""
        page = {"page_size": _PAGE_ROWS} if isinstance(job, bigquery.QueryJob) else {}
        return job.result(retry=self._retry, timeout=_JOB_SECONDS, **page)

    def estimate_bytes(self, sql: str, parameters: QueryParameters) -> int:
        """The bytes that a statement would read, by BigQuery's estimate."""
        config = bigquery.QueryJobConfig(
            query_parameters=scalar_parameters(sql, parameters), dry_run=True, use_query_cache=False
        )
        job = self.client.query(in_dataset(sql, self.dataset), job_config=config, **self.request_options)
        return int(job.total_bytes_processed or 0)

    def run(self, start: Callable[..., Any], kind: str, name: str | None = None) -> Any:
        """Starts a job and waits for its end; retries after conflicts and transient errors.

        Raises the client's exception when the job fails for good.
        """
        name, failed, job = name or uuid.uuid4().hex, 0, None
        job_id = ""

        def run_once() -> Any:
            nonlocal failed, job, job_id
            # Only a job that is known to have failed gets another id: a start without an answer may still arrive.
            failed += job is not None
            job_id = _job_id(kind, name) + (f"-{failed + 1}" if failed else "")
            job = None
            job = self._start(start, job_id)
            self.result(job)
            return job

        retrying = RETRY_POLICY.retrying(
            retry_if_exception(lambda e: _is_transient(e) or (job is None and isinstance(e, api.Conflict))),
            sleep=self._sleep,
            max_attempts=_max_attempts,
            before_sleep=lambda state: logger.info("%s: retried (%s)", job_id, type(_error(state)).__name__),
        )
        try:
            return retrying(run_once)
        except TimeoutError:
            if job is not None:
                with suppress(api.GoogleAPICallError, requests.exceptions.RequestException):
                    job.cancel(**self.request_options)
            raise WarehouseError(
                f"{self}: the job {job_id} did not end within {_JOB_SECONDS / 60:.0f} minutes and was canceled. "
                "Nothing was lost; run it again."
            ) from None

    def _start(self, start: Callable[..., Any], job_id: str) -> Any:
        """Starts the job, or returns the one that an earlier request started whose response was lost."""
        try:
            # The client's own retries would choose a new id and could repeat the work.
            return start(job_id=job_id, retry=None, timeout=_REQUEST_SECONDS)
        except (api.Conflict, *_NO_ANSWER) as error:
            try:
                return self.client.get_job(job_id, location=LOCATION, **self.request_options)
            except api.NotFound:
                raise error from None

    def unfailed_name(self, name: str) -> str:
        """`name`, or its first variant under which no query has failed: a failed id stays taken for months."""
        for attempt in itertools.count(1):
            variant = name if attempt == 1 else f"{name}-again-{attempt}"
            try:
                job = self.client.get_job(_job_id("query", variant), location=LOCATION, **self.request_options)
            except api.NotFound:
                return variant
            if job.error_result is None:
                return variant
        raise AssertionError("unreachable")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns the client's exceptions into WarehouseError."""
        try:
            yield
        except (api.GoogleAPIError, GoogleAuthError, requests.exceptions.RequestException) as error:
            raise WarehouseError(self._describe(error)) from None

    def _describe(self, error: Exception) -> str:
        """BigQuery's message, redacted, and what to do."""
        if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
            return (
                f"{self}: Google credentials are missing or no longer valid. Log in with `gcloud auth "
                "application-default login`; in Cloud Run, give the job a service account."
            )
        lines = (str(getattr(error, "message", None) or error) or type(error).__name__).splitlines()
        reason = redact(_CLIENT_TEXT.sub("", lines[0])).rstrip(". ")
        advice = ""
        match error:
            case api.Forbidden() if _reasons(error) & {"quotaExceeded", "rateLimitExceeded"}:
                advice = "Nothing was lost; run it again when the quota allows (Console, IAM, Quotas)."
            case _ if _BYTES_LIMIT in _reasons(error):
                advice = "Nothing was changed. If the cost is intended, increase AI_USAGE_MAX_BYTES_BILLED."
            case api.Forbidden() if _reasons(error) & {"billingNotEnabled", "accessNotConfigured"}:
                advice = f"Enable billing and the BigQuery API in the project {self.project}."
            case api.Forbidden():
                advice = (
                    f"Grant this account roles/bigquery.dataEditor on the dataset {self.dataset} and "
                    f"roles/bigquery.jobUser on the project {self.project} (deploy/terraform does)."
                )
            case api.NotFound() if "Dataset" in reason:
                advice = (
                    f"Create it with deploy/terraform, or `bq mk --location={LOCATION} {self.project}:{self.dataset}`."
                )
            case api.NotFound():
                advice = "Check GOOGLE_CLOUD_PROJECT and AI_USAGE_DATASET; the next run creates missing tables."
            case (
                TransportError()
                | requests.exceptions.RequestException()
                | api.ServerError()
                | api.RetryError()
                | api.TooManyRequests()
            ):
                advice = "BigQuery did not answer for minutes. Nothing was lost; run it again."
            case _ if _CONFLICT.search(reason):
                advice = "Another run changes the same days. Nothing was lost; run it again after its end."
        return f"{self}: {reason}. {advice}".strip()


def scalar_parameters(sql: str, parameters: QueryParameters) -> list[bigquery.ScalarQueryParameter]:
    """The parameters that a statement contains."""
    return [
        bigquery.ScalarQueryParameter(name, _parameter_type(value), value)
        for name, value in parameters.items()
        if re.search(rf"@{name}\b", sql)
    ]


def _parameter_type(value: object) -> str:
    match value:
        case datetime():
            return "TIMESTAMP"
        case date():
            return "DATE"
        case int():
            return "INT64"
        case Decimal():
            return "NUMERIC"
        case _:
            return "STRING"


def _reasons(error: BaseException) -> set[str]:
    """BigQuery's machine-readable reasons for an error."""
    details = getattr(error, "errors", None) or []
    return {str(detail.get("reason")) for detail in details if isinstance(detail, Mapping)}


def _is_transient(error: BaseException) -> bool:
    # The client turns a reason that it does not know into a server error.
    if _BYTES_LIMIT in _reasons(error):
        return False
    if isinstance(error, _NO_ANSWER):
        return True
    return bool(_reasons(error) & _TRANSIENT_REASONS or _CONFLICT.search(str(error)))


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _max_attempts(state: RetryCallState) -> int:
    return _CONFLICT_ATTEMPTS if _CONFLICT.search(str(_error(state))) else RETRY_POLICY.max_attempts


def _job_id(kind: str, name: str) -> str:
    return f"ai-usage-{kind}-{name}"
