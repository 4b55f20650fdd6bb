"""A fake of BigQuery's REST API on loopback. Requests that the project does not use fail with 501.

    with FakeBigQuery() as server:
        client = bigquery.Client("acme-project", AnonymousCredentials(), client_options={"api_endpoint": server.url})

Tests can rely on it for the calls of Google's client, the validity of statements (Google's analyzer checks them) and
the state after a fault. It does not reproduce permissions (IAM), quotas, costs (it counts the bytes of whole tables) or
the partition pruning of BigQuery's optimizer. DuckDB computes the values, with the project's own translation.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from ai_usage_assets.http.loopback_server import LoopbackHandler, serve_on_loopback
from ai_usage_assets_tests.fakes.bigquery import loads
from ai_usage_assets_tests.fakes.bigquery.catalog import Catalog
from ai_usage_assets_tests.fakes.bigquery.errors import (
    ApiError,
    access_denied,
    invalid,
    not_found,
    not_found_in_location,
    not_implemented,
    precondition_failed,
)
from ai_usage_assets_tests.fakes.bigquery.execution import JobResult, QueryConfig, QueryRunner
from ai_usage_assets_tests.fakes.bigquery.faults import Faults, RequestKind
from ai_usage_assets_tests.fakes.bigquery.jobs import Job, Jobs
from ai_usage_assets_tests.fakes.bigquery.locks import TableLocks
from ai_usage_assets_tests.fakes.bigquery.tables import Table
from ai_usage_assets_tests.fakes.bigquery.values import parse_parameters

# BigQuery ends a page at about 10 MB; a lower limit lets tests read several pages.
_PAGE_ROWS = 5000
_PAGE_TABLES, _MAX_PAGE_TABLES = 50, 1000


@dataclass(frozen=True)
class RecordedRequest:
    """A request and the status of its response; 0 if the connection was reset. `job_id` is "" if there is no job."""

    method: str
    path: str
    kind: RequestKind
    job_id: str
    bytes: int
    status: int


@dataclass
class _Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    host: str
    job_id: str = ""

    def json(self) -> dict[str, Any]:
        """Parse the body. Raises `invalid`."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise invalid("Invalid JSON payload received.")
        return value


@dataclass
class _Response:
    status: int = 200
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class _Upload:
    """A resumable upload. Its last part creates the job."""

    body: dict[str, Any]
    content: bytearray = field(default_factory=bytearray)
    job: Job | None = None


class FakeBigQuery:
    """A fake BigQuery with one project. `faults` injects faults, `requests` are the requests received."""

    def __init__(self, project: str = "acme-project", *, page_rows: int = _PAGE_ROWS) -> None:
        self.project = project
        # The day from which expirations count.
        self.today = datetime.now(UTC).date()
        self.page_rows = page_rows
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        self.catalog = Catalog(project, lambda: self.today)
        self.jobs = Jobs(project, self.faults)
        self._locks = TableLocks()
        self._uploads: dict[str, _Upload] = {}
        self._serving = ExitStack()
        self.url = ""

    def __enter__(self) -> Self:
        handler = type("_BoundHandler", (_Handler,), {"fake": self})
        self.url = self._serving.enter_context(serve_on_loopback(handler))
        return self

    def __exit__(self, *error: object) -> None:
        self._serving.close()
        self.catalog.close()

    def reset(self) -> None:
        """Delete data, jobs, requests and faults. The URL stays, so that tests can share the server."""
        self.today = datetime.now(UTC).date()
        self.faults.clear()
        self.requests.clear()
        self.jobs.clear()
        self._uploads.clear()
        self.catalog.close()
        self.catalog = Catalog(self.project, lambda: self.today)
        self._locks = TableLocks()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Run a GoogleSQL query without HTTP, faults, access checks and required filters, and return its rows."""
        query = QueryConfig(sql, (), None, "US", dry_run=False, maximum_bytes_billed=None, skip_filter_check=True)
        result = QueryRunner(
            self.catalog, self._locks, query, check_read_access=lambda _: None, before_commit=lambda: None
        ).run()
        assert result.rows is not None
        rows: list[dict[str, Any]] = result.rows.to_pylist()
        return rows

    def delete_rows(self, dataset: str, name: str) -> None:
        """Delete all rows of a table."""
        table = self.catalog.datasets[dataset].tables[name]
        with self.catalog.lock, self.catalog.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table.duckdb_name}")
        table.version += 1

    # Routes

    def handle(self, request: _Request) -> _Response:
        """Handle a request. Raises ApiError."""
        if re.fullmatch(r"(?:/resumable)?/upload/bigquery/v2/projects/([^/]+)/jobs", request.path):
            return self._handle_upload(request)
        route = re.fullmatch(r"/bigquery/v2/projects/([^/]+)/(.+)", request.path)
        if not route:
            raise not_found(request.path)
        if unquote(route[1]) != self.project:
            raise access_denied(f"Project {route[1]}: User does not have access to project")
        parts = [unquote(part) for part in route[2].split("/")]
        match request.method, parts:
            case "POST", ["datasets"]:
                body = request.json()
                self._check_access(body["datasetReference"]["datasetId"], "bigquery.datasets.create")
                return _Response(body=self.catalog.create_dataset(body).resource)
            case "GET", ["datasets", dataset]:
                self._check_access(dataset, "bigquery.datasets.get")
                return _Response(body=self.catalog.dataset(dataset).resource)
            case "GET", ["datasets", dataset, "tables"]:
                self._check_access(dataset, "bigquery.tables.list")
                return _Response(body=self._list_tables(dataset, request.query))
            case "POST", ["datasets", dataset, "tables"]:
                self._check_access(dataset, "bigquery.tables.create")
                return _Response(body=self._create_table(dataset, request.json()))
            case method, ["datasets", dataset, "tables", name]:
                self._check_access(dataset, f"bigquery.tables.{_VERBS.get(method, method)}")
                return self._handle_table(request, dataset, name)
            case "POST", ["jobs"]:
                return _Response(body=self._insert_query_job(request.json()).resource())
            case "GET", ["jobs", id_]:
                return _Response(body=self.jobs.get(id_, request.query.get("location")).resource())
            case "GET", ["queries", id_]:
                job = self.jobs.get(id_, request.query.get("location"))
                return _Response(body=job.results(request.query, self.page_rows))
        raise not_implemented(f"{request.method} {request.path}")

    def _check_access(self, dataset: str, permission: str) -> None:
        if self.faults.is_denied(dataset):
            name = f"{self.project}:{dataset}"
            raise access_denied(
                f"Dataset {name}: Permission {permission} denied on dataset {name} (or it may not exist)."
            )

    def _check_read_access(self, table: Table) -> None:
        if self.faults.is_denied(table.dataset):
            raise access_denied(
                f"Table {table.full_name}: User does not have permission to query table {table.full_name}, "
                "or perhaps it does not exist."
            )

    # Tables

    def _list_tables(self, dataset: str, query: Mapping[str, str]) -> dict[str, Any]:
        with self.catalog.lock:
            tables = sorted(self.catalog.tables(dataset).items())
        first = int(query.get("pageToken") or 0)
        count = min(int(query.get("maxResults") or _PAGE_TABLES), _MAX_PAGE_TABLES)
        response: dict[str, Any] = {"kind": "bigquery#tableList", "totalItems": len(tables)}
        if page := [table.list_resource() for _, table in tables[first : first + count]]:
            response["tables"] = page
        return response | ({"nextPageToken": str(first + count)} if first + count < len(tables) else {})

    def _create_table(self, dataset: str, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("view"):
            return self.catalog.resource(self._create_view(dataset, body))
        with self.catalog.lock:
            return self.catalog.resource(self.catalog.create_table(dataset, body))

    def _create_view(self, dataset: str, body: dict[str, Any]) -> Table:
        name = body["tableReference"]["tableId"]
        sql = f"CREATE VIEW `{dataset}`.`{name}` AS\n{body['view']['query']}"
        with self.catalog.lock:
            self._runner(QueryConfig(sql, (), None, "US", dry_run=False, maximum_bytes_billed=None)).run()
            view = self.catalog.table(dataset, name)
            self.catalog.patch_table(view, {key: body[key] for key in ("description", "labels") if key in body})
        return view

    def _handle_table(self, request: _Request, dataset: str, name: str) -> _Response:
        with self.catalog.lock:
            table = self.catalog.table(dataset, name)
            match request.method:
                case "GET":
                    return _Response(body=self.catalog.resource(table))
                case "DELETE":
                    self.catalog.delete_table(table)
                    return _Response(204)
                case "PATCH":
                    etag = request.headers.get("if-match")
                    if etag and etag != table.etag():
                        raise precondition_failed()
            if request.method != "PATCH":
                raise not_implemented(f"{request.method} {request.path}")
        return _Response(body=self._patch_table(table, request.json()))

    def _patch_table(self, table: Table, body: dict[str, Any]) -> dict[str, Any]:
        with self._locks.exclusive(table), self.catalog.lock:
            view = body.pop("view", None)
            if view is not None:
                if not table.is_view:
                    raise invalid(
                        f"{table.full_name} is not allowed for this operation because it is currently a TABLE."
                    )
                table = self._replace_view_query(table, view["query"])
            self.catalog.patch_table(table, body)
            return self.catalog.resource(table)

    def _replace_view_query(self, view: Table, query: str) -> Table:
        sql = f"CREATE OR REPLACE VIEW `{view.dataset}`.`{view.name}` AS\n{query}"
        self._runner(QueryConfig(sql, (), None, "US", dry_run=False, maximum_bytes_billed=None)).run()
        new_view = self.catalog.table(view.dataset, view.name)
        new_view.description, new_view.labels = view.description, dict(view.labels)
        return new_view

    # Jobs

    def _runner(self, query: QueryConfig) -> QueryRunner:
        return QueryRunner(
            self.catalog,
            self._locks,
            query,
            check_read_access=self._check_read_access,
            before_commit=self.faults.wait_before_commit,
        )

    def _insert_query_job(self, body: dict[str, Any]) -> Job:
        if "query" not in body["configuration"]:
            raise not_implemented(f"a job of {sorted(body['configuration'])}")
        return self.jobs.insert(body, "query", self._run_query)

    def _run_query(self, job: Job) -> JobResult:
        query_body = job.configuration["query"]
        if query_body.get("useLegacySql", True):
            raise not_implemented("legacy SQL")
        unknown = set(query_body) - _QUERY_KEYS
        if unknown:
            raise not_implemented(f"a query with {min(unknown)}")
        limit = query_body.get("maximumBytesBilled")
        query = QueryConfig(
            query_body["query"],
            parse_parameters(query_body.get("queryParameters") or []),
            (query_body.get("defaultDataset") or {}).get("datasetId"),
            job.location,
            dry_run=bool(job.configuration.get("dryRun")),
            maximum_bytes_billed=int(limit) if limit else None,
        )
        return self._runner(query).run()

    def _insert_load_job(self, body: dict[str, Any], content: bytes) -> Job:
        self._check_load(body)
        configuration = body["configuration"]["load"]

        def work(_: Job) -> JobResult:
            rows = loads.run_load(self.catalog, self._locks, configuration, content)
            return JobResult("LOAD", affected_rows=rows, bytes=len(content))

        return self.jobs.insert(body, "load", work, len(content))

    def _check_load(self, body: dict[str, Any]) -> None:
        """Raise the errors that prevent the creation of the job."""
        configuration = body["configuration"]["load"]
        self._check_access(configuration["destinationTable"]["datasetId"], "bigquery.tables.updateData")
        dataset, _, _ = loads.parse_destination(self.catalog, configuration)
        location = (body.get("jobReference") or {}).get("location") or "US"
        if self.catalog.dataset(dataset).location != location:
            raise not_found_in_location(f"Dataset {self.project}:{dataset}", location)

    # Uploads

    def _handle_upload(self, request: _Request) -> _Response:
        if request.query.get("uploadType") == "multipart":
            body, content = _parse_multipart(request)
            request.job_id = _job_id(body)
            return _Response(body=self._insert_load_job(body, content).resource())
        if request.method == "POST":
            body = request.json()
            request.job_id = _job_id(body)
            self._check_load(body)
            id_ = uuid.uuid4().hex
            self._uploads[id_] = _Upload(body)
            url = f"http://{request.host}{request.path}?uploadType=resumable&upload_id={id_}"
            return _Response(headers={"Location": url})
        upload = self._uploads.get(request.query.get("upload_id", ""))
        if upload is None:
            raise ApiError(404, "notFound", "Upload not found.")
        request.job_id = _job_id(upload.body)
        return self._continue_upload(upload, request)

    def _continue_upload(self, upload: _Upload, request: _Request) -> _Response:
        if upload.job is None:
            content_range = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", request.headers.get("content-range", ""))
            if not content_range:
                raise invalid("Failed to parse Content-Range header.")
            if content_range[1] is not None:
                if int(content_range[1]) != len(upload.content):
                    raise invalid("Invalid request. A part does not follow the previous one.")
                upload.content += request.body
            if content_range[2] == "*" or len(upload.content) < int(content_range[2]):
                headers = {"Range": f"bytes=0-{len(upload.content) - 1}"} if upload.content else {}
                return _Response(308, headers=headers)
            upload.job = self._insert_load_job(upload.body, bytes(upload.content))
        return _Response(body=upload.job.resource())


_VERBS = {"GET": "get", "PATCH": "update", "DELETE": "delete"}
_QUERY_KEYS = {
    "query", "useLegacySql", "queryParameters", "parameterMode", "defaultDataset", "maximumBytesBilled",
    "useQueryCache", "priority",
}  # fmt: skip


def _job_id(body: Mapping[str, Any]) -> str:
    return str((body.get("jobReference") or {}).get("jobId") or "")


def _parse_multipart(request: _Request) -> tuple[dict[str, Any], bytes]:
    """Return the job and the file of a multipart upload. Raises `invalid`."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if not boundary:
        raise invalid("Missing boundary in multipart request.")
    delimiter = b"--" + boundary[1].strip("'").encode()
    _, job, rest = request.body.split(delimiter, 2)
    content = rest.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n").removesuffix(delimiter + b"--").removesuffix(b"\r\n")
    body: dict[str, Any] = json.loads(job.split(b"\r\n\r\n", 1)[1])
    return body, content


def _request_kind(request: _Request) -> RequestKind:
    if "/upload/" in request.path:
        is_start = request.method == "POST" and request.query.get("uploadType") == "resumable"
        return "upload" if is_start else "load"
    if re.search(r"/queries/[^/]+$", request.path):
        return "results"
    if re.search(r"/jobs/[^/]+$", request.path):
        return "job"
    if request.path.endswith("/jobs"):
        return "query"
    return "tables" if "/tables" in request.path else "datasets"


class _Handler(LoopbackHandler):
    fake: FakeBigQuery

    def respond(self) -> None:
        fake = self.fake
        parts = urlsplit(self.path)
        request = _Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            self.read_headers(),
            self.read_body(),
            self.headers.get("host", ""),
        )
        kind = _request_kind(request)
        if kind in ("job", "results"):
            request.job_id = request.path.rsplit("/", 1)[1]
        elif kind == "query" and request.body:
            request.job_id = _job_id(json.loads(request.body))
        fault = fake.faults.take_request_fault(kind)
        if fault is not None and fault.drop == "before":
            self._drop_connection(request, kind)
            return
        if fault is not None and fault.error is not None:
            response = _Response(fault.error.status, fault.error.body())
        else:
            response = self._handle(request)
        if fault is not None and fault.drop == "after":
            self._drop_connection(request, kind)
            return
        self._record(request, kind, response.status)
        self._send(response)

    def _handle(self, request: _Request) -> _Response:
        try:
            return self.fake.handle(request)
        except ApiError as error:
            return _Response(error.status, error.body())
        except Exception as error:  # noqa: BLE001 - the client would retry a lost connection for ten minutes
            response = not_implemented(repr(error))
            return _Response(response.status, response.body())

    def _record(self, request: _Request, kind: RequestKind, status: int) -> None:
        self.fake.requests.append(
            RecordedRequest(request.method, request.path, kind, request.job_id, len(request.body), status)
        )

    def _drop_connection(self, request: _Request, kind: RequestKind) -> None:
        self._record(request, kind, 0)
        self.reset_connection()

    def _send(self, response: _Response) -> None:
        body = b"" if response.body is None else json.dumps(response.body).encode()
        self.send(response.status, {**response.headers, "content-type": "application/json; charset=UTF-8"}, body)
