"""BigQuery's REST API on loopback, as far as the project calls it; any other request fails with 501.

    with FakeBigQuery() as server:
        client = bigquery.Client("acme-project", AnonymousCredentials(), client_options={"api_endpoint": server.url})

It tests that the real client is called correctly, that every statement is valid for Google's analyzer, and the state
after a fault. It does not test permissions (IAM), quotas, cost (bytes are those of whole tables), how far BigQuery's
optimizer carries a filter, or values: DuckDB computes them with the project's translation.
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
from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, beyond_this_server, invalid
from ai_usage_assets_tests.fakes.bigquery.execution import Outcome, Query, Runner
from ai_usage_assets_tests.fakes.bigquery.faults import Faults, RequestKind
from ai_usage_assets_tests.fakes.bigquery.jobs import Job, Jobs
from ai_usage_assets_tests.fakes.bigquery.tables import Catalogue, Table, precondition_failed
from ai_usage_assets_tests.fakes.bigquery.values import parameters_of
from ai_usage_assets_tests.fakes.bigquery.writers import Writers

# BigQuery ends a page at about 10 MB; tests want to see a second one.
_PAGE_ROWS = 5000
_PAGE_TABLES = 50


@dataclass(frozen=True)
class Seen:
    """A request as it arrived, the job it was about, and how it was answered; 0: not at all."""

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
        """The body."""
        read = json.loads(self.body or b"{}")
        if not isinstance(read, dict):
            raise invalid("Invalid JSON payload received.")
        return read


@dataclass
class _Answer:
    status: int = 200
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class _Upload:
    """A resumable upload; the job is made of its last piece."""

    given: dict[str, Any]
    content: bytearray = field(default_factory=bytearray)
    job: Job | None = None


class FakeBigQuery:
    """One project. `faults` makes it fail, `requests` tells what it was asked, `url` is where it is."""

    def __init__(self, project: str = "acme-project", *, page_rows: int = _PAGE_ROWS) -> None:
        self.project = project
        # By which days expire; a test may set another.
        self.today = datetime.now(UTC).date()
        self.page_rows = page_rows
        self.faults = Faults()
        self.requests: list[Seen] = []
        self.catalogue = Catalogue(project, lambda: self.today)
        self.jobs = Jobs(project, self.faults)
        self._writers = Writers()
        self._uploads: dict[str, _Upload] = {}
        self._serving = ExitStack()
        self.url = ""

    def __enter__(self) -> Self:
        handler = type("_BoundHandler", (_Handler,), {"fake": self})
        self.url = self._serving.enter_context(serve_on_loopback(handler))
        return self

    def __exit__(self, *error: object) -> None:
        self._serving.close()
        self.catalogue.close()

    def reset(self) -> None:
        """As new, at the same address: for one server that several tests share."""
        self.today = datetime.now(UTC).date()
        self.faults.clear()
        self.requests.clear()
        self.jobs.clear()
        self._uploads.clear()
        self.catalogue.close()
        self.catalogue = Catalogue(self.project, lambda: self.today)
        self._writers = Writers()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a GoogleSQL query, without HTTP and faults: for a test to look."""
        query = Query(sql, (), None, "US", is_dry=False, most_bytes=None, unfiltered=True)
        done = Runner(self.catalogue, self._writers, query, may_read=lambda _: None, pause=lambda: None).run()
        assert done.rows is not None
        found: list[dict[str, Any]] = done.rows.to_pylist()
        return found

    def empty(self, dataset: str, name: str) -> None:
        """Takes every row of a table away."""
        table = self.catalogue.datasets[dataset].tables[name]
        with self.catalogue.lock, self.catalogue.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table.in_duckdb}")
        table.version += 1

    # Routes

    def answer(self, request: _Request) -> _Answer:
        """The answer to one request. Raises ApiError."""
        upload = re.fullmatch(r"(?:/resumable)?/upload/bigquery/v2/projects/([^/]+)/jobs", request.path)
        if upload:
            return self._upload(request)
        found = re.fullmatch(r"/bigquery/v2/projects/([^/]+)/(.+)", request.path)
        if not found:
            raise ApiError(404, "notFound", f"Not found: {request.path}")
        if unquote(found[1]) != self.project:
            raise ApiError(
                403, "accessDenied", f"Access Denied: Project {found[1]}: User does not have access to project"
            )
        parts = [unquote(part) for part in found[2].split("/")]
        match request.method, parts:
            case "POST", ["datasets"]:
                given = request.json()
                self._check_access(given["datasetReference"]["datasetId"], "bigquery.datasets.create")
                return _Answer(body=self.catalogue.create_dataset(given).resource)
            case "GET", ["datasets", dataset]:
                self._check_access(dataset, "bigquery.datasets.get")
                return _Answer(body=self.catalogue.dataset(dataset).resource)
            case "GET", ["datasets", dataset, "tables"]:
                self._check_access(dataset, "bigquery.tables.list")
                return _Answer(body=self._list(dataset, request.query))
            case "POST", ["datasets", dataset, "tables"]:
                self._check_access(dataset, "bigquery.tables.create")
                return _Answer(body=self._create(dataset, request.json()))
            case method, ["datasets", dataset, "tables", name]:
                self._check_access(dataset, f"bigquery.tables.{_VERBS.get(method, method)}")
                return self._table(request, dataset, name)
            case "POST", ["jobs"]:
                return _Answer(body=self._query_job(request.json()).resource())
            case "GET", ["jobs", id_]:
                return _Answer(body=self.jobs.get(id_, request.query.get("location")).resource())
            case "GET", ["queries", id_]:
                job = self.jobs.get(id_, request.query.get("location"))
                return _Answer(body=job.results(request.query, self.page_rows))
        raise beyond_this_server(f"{request.method} {request.path}")

    def _check_access(self, dataset: str, permission: str) -> None:
        if self.faults.is_denied(dataset):
            told = f"{self.project}:{dataset}"
            raise ApiError(
                403,
                "accessDenied",
                f"Access Denied: Dataset {told}: Permission {permission} denied on dataset {told} "
                "(or it may not exist).",
            )

    def _may_read(self, table: Table) -> None:
        if self.faults.is_denied(table.dataset):
            raise ApiError(
                403,
                "accessDenied",
                f"Access Denied: Table {table.full_name}: User does not have permission to query table "
                f"{table.full_name}, or perhaps it does not exist.",
            )

    # Tables

    def _list(self, dataset: str, query: Mapping[str, str]) -> dict[str, Any]:
        with self.catalogue.lock:
            tables = sorted(self.catalogue.dataset(dataset).tables.items())
        first = int(query.get("pageToken") or 0)
        count = min(int(query.get("maxResults") or _PAGE_TABLES), _PAGE_TABLES)
        shown: dict[str, Any] = {"kind": "bigquery#tableList", "totalItems": len(tables)}
        if page := [table.listed() for _, table in tables[first : first + count]]:
            shown["tables"] = page
        return shown | ({"nextPageToken": str(first + count)} if first + count < len(tables) else {})

    def _create(self, dataset: str, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("view"):
            raise beyond_this_server("tables.insert of a view; CREATE VIEW makes one")
        with self.catalogue.lock:
            return self.catalogue.resource(self.catalogue.create_table(dataset, given))

    def _table(self, request: _Request, dataset: str, name: str) -> _Answer:
        with self.catalogue.lock:
            table = self.catalogue.table(dataset, name)
            match request.method:
                case "GET":
                    return _Answer(body=self.catalogue.resource(table))
                case "DELETE":
                    self.catalogue.delete_table(table)
                    return _Answer(204)
                case "PATCH":
                    wanted = request.headers.get("if-match")
                    if wanted and wanted != table.etag():
                        raise precondition_failed()
            if request.method != "PATCH":
                raise beyond_this_server(f"{request.method} {request.path}")
        return _Answer(body=self._patch(table, request.json()))

    def _patch(self, table: Table, given: dict[str, Any]) -> dict[str, Any]:
        with self._writers.alone(table), self.catalogue.lock:
            view = given.pop("view", None)
            if view is not None:
                if not table.is_view:
                    raise invalid(
                        f"{table.full_name} is not allowed for this operation because it is currently a TABLE."
                    )
                table = self._view_anew(table, view["query"])
            self.catalogue.patch_table(table, given)
            return self.catalogue.resource(table)

    def _view_anew(self, view: Table, query: str) -> Table:
        kept = view.description, dict(view.labels)
        # A line of its own: the query may end in a comment.
        self._runner(f"CREATE OR REPLACE VIEW `{view.dataset}`.`{view.name}` AS\n{query}").run()
        made = self.catalogue.table(view.dataset, view.name)
        made.description, made.labels = kept
        return made

    # Jobs

    def _runner(self, sql: str) -> Runner:
        query = Query(sql, (), None, "US", is_dry=False, most_bytes=None)
        return Runner(self.catalogue, self._writers, query, may_read=self._may_read, pause=self.faults.before_commit)

    def _query_job(self, given: dict[str, Any]) -> Job:
        if "query" not in given["configuration"]:
            raise beyond_this_server(f"a job of {sorted(given['configuration'])}")
        return self.jobs.insert(given, "query", self._run_query)

    def _run_query(self, job: Job) -> Outcome:
        asked = job.configuration["query"]
        if asked.get("useLegacySql", True):
            raise beyond_this_server("legacy SQL")
        unknown = set(asked) - _QUERY_KEYS
        if unknown:
            raise beyond_this_server(f"a query with {min(unknown)}")
        query = Query(
            asked["query"],
            parameters_of(asked.get("queryParameters") or []),
            (asked.get("defaultDataset") or {}).get("datasetId"),
            job.location,
            is_dry=bool(job.configuration.get("dryRun")),
            most_bytes=int(asked["maximumBytesBilled"]) if asked.get("maximumBytesBilled") else None,
        )
        return Runner(
            self.catalogue, self._writers, query, may_read=self._may_read, pause=self.faults.before_commit
        ).run()

    def _load_job(self, given: dict[str, Any], content: bytes) -> Job:
        self._check_load(given)
        configuration = given["configuration"]["load"]

        def work(_: Job) -> Outcome:
            rows = loads.load(self.catalogue, self._writers, configuration, content)
            return Outcome("LOAD", affected=rows, bytes=len(content))

        return self.jobs.insert(given, "load", work, len(content))

    def _check_load(self, given: dict[str, Any]) -> None:
        """What is refused before a job is there."""
        configuration = given["configuration"]["load"]
        self._check_access(configuration["destinationTable"]["datasetId"], "bigquery.tables.updateData")
        dataset, _, _ = loads.destination(self.catalogue, configuration)
        location = (given.get("jobReference") or {}).get("location") or "US"
        if self.catalogue.dataset(dataset).location != location:
            raise ApiError(
                404, "notFound", f"Not found: Dataset {self.project}:{dataset} was not found in location {location}"
            )

    # Uploads

    def _upload(self, request: _Request) -> _Answer:
        if request.query.get("uploadType") == "multipart":
            given, content = _parts(request)
            request.job_id = _job_id(given)
            return _Answer(body=self._load_job(given, content).resource())
        if request.method == "POST":
            given = request.json()
            request.job_id = _job_id(given)
            self._check_load(given)
            id_ = uuid.uuid4().hex
            self._uploads[id_] = _Upload(given)
            where = f"http://{request.host}{request.path}?uploadType=resumable&upload_id={id_}"
            return _Answer(headers={"Location": where})
        upload = self._uploads.get(request.query.get("upload_id", ""))
        if upload is None:
            raise ApiError(404, "notFound", "Upload not found.")
        request.job_id = _job_id(upload.given)
        return self._continue(upload, request)

    def _continue(self, upload: _Upload, request: _Request) -> _Answer:
        if upload.job is None:
            given = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", request.headers.get("content-range", ""))
            if not given:
                raise invalid("Failed to parse Content-Range header.")
            if given[1] is not None:
                if int(given[1]) != len(upload.content):
                    raise invalid("Invalid request. A piece does not follow the one before.")
                upload.content += request.body
            if given[2] == "*" or len(upload.content) < int(given[2]):
                held = {"Range": f"bytes=0-{len(upload.content) - 1}"} if upload.content else {}
                return _Answer(308, headers=held)
            upload.job = self._load_job(upload.given, bytes(upload.content))
        return _Answer(body=upload.job.resource())


_VERBS = {"GET": "get", "PATCH": "update", "DELETE": "delete"}
_QUERY_KEYS = {
    "query", "useLegacySql", "queryParameters", "parameterMode", "defaultDataset", "maximumBytesBilled",
    "useQueryCache", "priority",
}  # fmt: skip


def _job_id(given: Mapping[str, Any]) -> str:
    return str((given.get("jobReference") or {}).get("jobId") or "")


def _parts(request: _Request) -> tuple[dict[str, Any], bytes]:
    """The job and the file of a multipart upload."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if not boundary:
        raise invalid("Missing boundary in multipart request.")
    line = b"--" + boundary[1].strip("'").encode()
    _, job, rest = request.body.split(line, 2)
    content = rest.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n").removesuffix(line + b"--").removesuffix(b"\r\n")
    given: dict[str, Any] = json.loads(job.split(b"\r\n\r\n", 1)[1])
    return given, content


def _kind(request: _Request) -> RequestKind:
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
        kind = _kind(request)
        if kind in ("job", "results"):
            request.job_id = request.path.rsplit("/", 1)[1]
        elif kind == "query" and request.body:
            request.job_id = _job_id(json.loads(request.body))
        fault = fake.faults.of_request(kind)
        if fault is not None and fault.dropped == "before":
            self._drop(request, kind)
            return
        if fault is not None and fault.error is not None:
            answer = _Answer(fault.error.status, fault.error.body())
        else:
            answer = self._work(request)
        if fault is not None and fault.dropped == "after":
            self._drop(request, kind)
            return
        self._note(request, kind, answer.status)
        self._send(answer)

    def _work(self, request: _Request) -> _Answer:
        try:
            return self.fake.answer(request)
        except ApiError as error:
            return _Answer(error.status, error.body())
        except Exception as error:  # noqa: BLE001 - the client would try for ten minutes to get another answer
            told = beyond_this_server(repr(error))
            return _Answer(told.status, told.body())

    def _note(self, request: _Request, kind: RequestKind, status: int) -> None:
        self.fake.requests.append(Seen(request.method, request.path, kind, request.job_id, len(request.body), status))

    def _drop(self, request: _Request, kind: RequestKind) -> None:
        self._note(request, kind, 0)
        self.reset_connection()

    def _send(self, answer: _Answer) -> None:
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send(answer.status, {**answer.headers, "content-type": "application/json; charset=UTF-8"}, body)
