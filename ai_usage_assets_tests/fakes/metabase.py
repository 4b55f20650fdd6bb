"""A fake Metabase on loopback: what its API stores, ignores, hides and rejects.

    with FakeMetabase().serve() as metabase:
        ... metabase.url

Keys that Metabase does not read are dropped with status 200, and recorded in `ignored`. `invalid` records bodies that
do not fit Metabase's own API description. Queries run on a warehouse of the project instead of BigQuery.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from ai_usage_assets.metabase.sql_template import fill
from ai_usage_assets.warehouse.base import Warehouse, WarehouseError
from ai_usage_assets_tests.fakes.http_server import RecordedRequest, Reply, serve_handler
from ai_usage_assets_tests.fakes.metabase_schema import (
    BODY_KEYS,
    CARD_QUERY,
    DASHCARD_KEYS,
    DASHCARD_QUERY,
    REQUIRED_KEYS,
    TAB_KEYS,
    Row,
    find_ignored_keys,
    validate_body,
)

MASK = "**MetabasePass**"
EVERYBODY, ADMINISTRATORS = 1, 2


@dataclass
class Fault:
    """A fault of the next requests with this method whose path ends with `path`.

    lost: carried out, and the connection ends before the response
    error: 503, not carried out
    stale: a concurrent change of the permissions comes first
    duplicate: a concurrent run creates the same object first
    failed: the query fails, which is reported with status 202
    unfiltered: the query ignores its filters
    renamed: the query's last column has another name
    """

    kind: Literal["lost", "error", "stale", "duplicate", "duplicate and lost", "failed", "unfiltered", "renamed"]
    method: str
    path: str
    times: int = 1


class _Rejected(Exception):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass
class FakeMetabase:
    """The stored objects by kind and id, and the options of the server."""

    setup_token: str | None = "11111111-2222-3333-4444-555555555555"
    # Older versions return template tags as a list, or the whole query in the format before MBQL 5.
    tags: Literal["map", "list"] = "map"
    is_legacy: bool = False
    keeps_entity_ids: bool = True
    # How many requests get a 503 while the server starts.
    starting_requests: int = 0
    # Whether BigQuery rejects every service account.
    rejects_keys: bool = False
    # A key that this version ignores, although BODY_KEYS has it.
    ignores: str = ""
    # What the server adds to visualization_settings.
    added_settings: Row = field(default_factory=dict)
    # Responses that replace the real ones, by method and path.
    responses: Row = field(default_factory=dict)
    # Queries run here instead of in BigQuery.
    warehouse: Warehouse | None = None
    # Whether query results have column types.
    has_column_types: bool = True
    faults: list[Fault] = field(default_factory=list)
    url: str = ""
    requests: list[RecordedRequest] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    failed_logins: int = 0
    keys: dict[int, Row] = field(default_factory=dict)
    databases: dict[int, Row] = field(default_factory=dict)
    collections: dict[int, Row] = field(default_factory=dict)
    cards: dict[int, Row] = field(default_factory=dict)
    dashboards: dict[int, Row] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=lambda: {EVERYBODY: "All Users", ADMINISTRATORS: "Administrators"})
    # Group -> database or collection -> permission.
    database_permissions: dict[str, Row] = field(default_factory=lambda: {"1": {}, "2": {}})
    collection_permissions: dict[str, Row] = field(
        default_factory=lambda: {"1": {"root": "write"}, "2": {"root": "write"}}
    )
    revision: int = 7
    # Ids are unique per kind only.
    _last_ids: dict[str, int] = field(default_factory=lambda: {"collection": 1, "group": 2})

    @contextmanager
    def serve(self) -> Iterator[FakeMetabase]:
        """Serve at `url` within the block."""
        with serve_handler(self._reply) as server:
            self.url, self.requests = server.url, server.requests
            yield self

    def writes(self) -> list[str]:
        """Return the requests that change something, as method and path."""
        return [f"{each.method} {each.path}" for each in self.requests if each.method != "GET"]

    def next_id(self, kind: str) -> int:
        """Return a new id of a kind of object."""
        self._last_ids[kind] = self._last_ids.get(kind, 0) + 1
        return self._last_ids[kind]

    def card(self, name: str) -> Row:
        """Return the card with this name."""
        return next(each for each in self.cards.values() if each["name"] == name)

    def dashboard(self, name: str) -> Row:
        """Return the dashboard with this name."""
        return next(each for each in self.dashboards.values() if each["name"] == name)

    def collection(self, name: str) -> Row:
        """Return the collection with this name."""
        return next(each for each in self.collections.values() if each["name"] == name)

    def _reply(self, request: RecordedRequest) -> Reply:
        fault = self._fault(request)
        if fault and fault.kind == "error":
            return Reply(503, b'{"message":"Service Unavailable"}')
        if fault and fault.kind == "stale":
            self.revision += 1
        if fault and fault.kind.startswith("duplicate"):
            self._handle(request, None)
        try:
            status, body = 202 if request.path.endswith("/query") else 200, self._handle(request, fault)
        except _Rejected as rejection:
            status, body = rejection.status, rejection.body
        body = self.responses.get(f"{request.method} {request.path}", body)
        content = b"" if body is None else json.dumps(body).encode()
        return Reply(status, content, fault="reset" if fault and fault.kind.endswith("lost") else "")

    def _fault(self, request: RecordedRequest) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == request.method and request.path.endswith(fault.path):
                fault.times -= 1
                return fault
        return None

    def _handle(self, request: RecordedRequest, fault: Fault | None) -> Any:
        if self.starting_requests:
            self.starting_requests -= 1
            raise _Rejected(503, {"status": "initializing", "progress": 0.5})
        for method, pattern, is_open, handler in _ROUTES:
            result = re.fullmatch(pattern, request.path)
            if method == request.method and result:
                if not is_open:
                    self._authenticate(request)
                if request.path.endswith("/query"):
                    return handler(self, request, *result.groups(), fault=fault.kind if fault else "")
                return handler(self, request, *result.groups())
        raise _Rejected(404, "API endpoint does not exist.")

    def _authenticate(self, request: RecordedRequest) -> Row:
        key = request.headers.get("x-api-key")
        stored = [each for each in self.keys.values() if key and each["unmasked_key"] == key]
        if stored:
            return {"id": 50, "email": "api-key-user@api-key.invalid", "is_superuser": stored[0]["group"]["id"] == 2}
        if request.headers.get("x-metabase-session") in self.sessions:
            return {"id": 1, "is_superuser": True}
        raise _Rejected(401, "Unauthenticated")

    def _body(self, request: RecordedRequest, path: str) -> Row:
        """Return the known keys of a request body and record the others."""
        given = json.loads(request.body)
        self.invalid += validate_body(request.method, path, given)
        known = BODY_KEYS[request.method, path] - {self.ignores}
        self.ignored += [f"{request.method} {path} {key}" for key in given.keys() - known]
        body = {key: value for key, value in given.items() if key in known}
        self.ignored += [f"{request.method} {path} {part}" for part in find_ignored_keys(body)]
        if missing := REQUIRED_KEYS.get((request.method, path), set()) - body.keys():
            raise _Rejected(400, {"errors": dict.fromkeys(missing, "missing required key"), "specific-errors": {}})
        for key in ("name", "display", "description"):
            if key in body and (body[key] == "" or not isinstance(body[key], str | None)):
                raise _Rejected(400, {"errors": {key: "value must be a non-blank string."}, "specific-errors": {}})
        return body

    # Authentication

    def health(self, request: RecordedRequest) -> Any:
        return {"status": "ok"}

    def properties(self, request: RecordedRequest) -> Any:
        token = None if self.users else self.setup_token
        return {"setup-token": token, "has-user-setup": bool(self.users), "version": {"tag": "v0.63.17"}}

    def setup(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/setup")
        if self.users:
            raise _Rejected(403, "The /api/setup route can only be used to create the first user.")
        if body["token"] != self.setup_token:
            raise _Rejected(400, {"errors": {"token": "Token does not match the setup token."}})
        self.users[body["user"]["email"]] = body["user"]["password"]
        return self._create_session()

    def login(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/session")
        if self.failed_logins >= 3:
            message = "Too many attempts! You must wait 15 seconds before trying again."
            raise _Rejected(400, {"errors": {"username": message}})
        if self.users.get(body["username"]) != body["password"]:
            self.failed_logins += 1
            raise _Rejected(401, {"errors": {"password": "did not match stored password"}})
        return self._create_session()

    def _create_session(self) -> Row:
        session = f"00000000-0000-4000-8000-{self.next_id('session'):012d}"
        self.sessions.add(session)
        return {"id": session}

    def logout(self, request: RecordedRequest) -> Any:
        self.sessions.discard(request.headers["x-metabase-session"])

    def current_user(self, request: RecordedRequest) -> Any:
        return self._authenticate(request)

    def list_keys(self, request: RecordedRequest) -> Any:
        return [{key: each[key] for key in ("id", "name", "group", "masked_key")} for each in self.keys.values()]

    def create_key(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/api-key")
        if any(each["name"] == body["name"] for each in self.keys.values()):
            raise _Rejected(400, {"errors": {"name": "An API key with that name exists."}})
        number = self.next_id("key")
        self.keys[number] = {"id": number, "name": body["name"], "group": {"id": body["group_id"]}}
        return self.regenerate_key(request, str(number))

    def regenerate_key(self, request: RecordedRequest, number: str) -> Any:
        stored = self.keys[int(number)]
        value = f"mb_{self.next_id('value'):044d}"
        stored |= {"unmasked_key": value, "masked_key": f"{value[:7]}{'*' * 40}"}
        return stored

    # Databases

    def list_databases(self, request: RecordedRequest) -> Any:
        return {"data": [self._mask(each) for each in self.databases.values()], "total": len(self.databases)}

    def create_database(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/database")
        self._test_connection(body["details"])
        number = self.next_id("database")
        self.databases[number] = {"id": number, "auto_run_queries": True, "initial_sync_status": "complete", **body}
        for group, permissions in self.database_permissions.items():
            queries = "query-builder-and-native" if group in ("1", "2") else "no"
            permissions[str(number)] = {
                "view-data": "unrestricted",
                "create-queries": queries,
                "download": {"schemas": "full"},
            }
        return self._mask(self.databases[number])

    def get_database(self, request: RecordedRequest, number: str) -> Any:
        return self._mask(self._get(self.databases, number))

    def delete_database(self, request: RecordedRequest, number: str) -> Any:
        del self.databases[self._get(self.databases, number)["id"]]

    def put_database(self, request: RecordedRequest, number: str) -> Any:
        stored = self._get(self.databases, number)
        body = self._body(request, "/api/database/{id}")
        if body["details"].get("service-account-json") == MASK:
            body["details"]["service-account-json"] = stored["details"]["service-account-json"]
        self._test_connection(body["details"])
        stored |= body
        return self._mask(stored)

    def _test_connection(self, details: Row) -> None:
        if self.rejects_keys:
            # Metabase may quote the request.
            message = {"message": f"Invalid service account: {details['service-account-json']}"}
            raise _Rejected(400, {"errors": message, "specific-errors": {}})

    @staticmethod
    def _mask(stored: Row) -> Row:
        response = copy.deepcopy(stored)
        response["details"] |= {"service-account-json": MASK, "project-id-from-credentials": "p"}
        return {**response, "created_at": "2026-01-01T00:00:00Z", "features": ["basic-aggregations"]}

    # Collections

    def list_collections(self, request: RecordedRequest) -> Any:
        personal = {"id": 1, "name": "Ada's Personal Collection", "personal_owner_id": 1, "location": "/"}
        stored = [self._show_collection(each) for each in self.collections.values() if not each["archived"]]
        return [{"id": "root", "name": "Our analytics"}, personal, *stored]

    def create_collection(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/collection")
        number = self.next_id("collection")
        parent = body.get("parent_id")
        self.collections[number] = {"id": number, "archived": False, "parent_id": None, **body}
        for permissions in self.collection_permissions.values():
            if inherited := permissions.get(str(parent or "root")):
                permissions[str(number)] = inherited
        return self._show_collection(self.collections[number])

    def get_collection(self, request: RecordedRequest, number: str) -> Any:
        return self._show_collection(self._get(self.collections, number))

    def put_collection(self, request: RecordedRequest, number: str) -> Any:
        stored = self._get(self.collections, number)
        stored |= self._body(request, "/api/collection/{id}")
        return self._show_collection(stored)

    def _show_collection(self, stored: Row) -> Row:
        parent, location = stored["parent_id"], "/"
        if parent:
            outer = self._show_collection(self.collections[parent])["location"] if parent in self.collections else "/"
            location = f"{outer}{parent}/"
        return {**stored, "location": location, "personal_owner_id": None, "can_write": True, "namespace": None}

    def list_items(self, request: RecordedRequest, number: str) -> Any:
        models = [value for key, value in request.query if key == "models"]
        stored = [("card", each) for each in self.cards.values()]
        stored += [("dashboard", each) for each in self.dashboards.values()]
        result = [
            {"id": each["id"], "name": each["name"], "model": model}
            for model, each in stored
            if each["collection_id"] == int(number) and not each["archived"] and model in models
        ]
        return {"data": result, "total": len(result), "models": models}

    # Cards

    def create_card(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/card")
        given = body.pop("entity_id", None)
        given = given if self.keeps_entity_ids else None
        if given and any(each["entity_id"] == given for each in self.cards.values()):
            raise _Rejected(500, {"message": "duplicate key value violates unique constraint"})
        number = self.next_id("card")
        entity = given or f"server-generated-{number:04d}"
        self.cards[number] = {"id": number, "entity_id": entity, "archived": False, **self._prepare_card(body)}
        return self._show_card(self.cards[number])

    def get_card(self, request: RecordedRequest, number: str) -> Any:
        return self._show_card(self._get(self.cards, number))

    def put_card(self, request: RecordedRequest, number: str) -> Any:
        stored = self._get(self.cards, number)
        stored |= self._prepare_card(self._body(request, "/api/card/{id}"))
        return self._show_card(stored)

    def _prepare_card(self, body: Row) -> Row:
        if "dataset_query" in body and body["dataset_query"]["database"] not in self.databases:
            raise _Rejected(400, {"errors": {"dataset_query": "there is no such database"}})
        if "visualization_settings" in body:
            body["visualization_settings"] |= self.added_settings
        return body

    def _show_card(self, stored: Row) -> Row:
        response = copy.deepcopy(stored)
        response["visualization_settings"]["version"] = 2
        stage = response["dataset_query"]["stages"][0]
        if self.tags == "list":
            stage["template-tags"] = list(stage["template-tags"].values())
        if self.is_legacy:
            native = {"query": stage["native"], "template-tags": stage["template-tags"]}
            response["dataset_query"] = {
                "type": "native",
                "database": response["dataset_query"]["database"],
                "native": native,
            }
        return {**response, "creator_id": 1, "cache_ttl": None, "result_metadata": None, "can_write": True}

    # Queries

    def query_card(self, request: RecordedRequest, number: str, *, fault: str) -> Any:
        self._body(request, CARD_QUERY)
        return self._run_query(self._get(self.cards, number), {}, fault)

    def query_dashcard(self, request: RecordedRequest, number: str, place: str, card: str, *, fault: str) -> Any:
        stored = self._get(self.dashboards, number)
        places = [each for each in stored["dashcards"] if (each["id"], each["card_id"]) == (int(place), int(card))]
        if not places:
            raise _Rejected(404, "Not found.")
        types = {each["id"]: each["type"] for each in stored["parameters"]}
        mapped = {each["parameter_id"]: each["target"] for each in places[0]["parameter_mappings"]}
        values = {}
        for parameter in self._body(request, DASHCARD_QUERY).get("parameters") or []:
            if types.get(parameter["id"]) != parameter["type"]:
                raise _Rejected(400, f"Dashboard does not have a parameter with ID {parameter['id']}.")
            # The mapping names the variable; without one the filter is ignored.
            if (target := mapped.get(parameter["id"])) and fault != "unfiltered":
                values[target[1][1]] = parameter["value"]
        return self._run_query(self._get(self.cards, card), values, fault)

    def _run_query(self, card: Row, values: dict[str, list[str]], fault: str) -> Row:
        assert self.warehouse
        try:
            if fault == "failed":
                raise WarehouseError("Unrecognized name: spent at [1:8]")
            result = self.warehouse.query(*fill(card["dataset_query"]["stages"][0]["native"], values))
        except WarehouseError as error:
            return {"status": "failed", "error": str(error), "data": {"rows": [], "cols": []}, "row_count": 0}
        names = result.column_names
        if fault == "renamed":
            names[-1] += "_2"
        cols: list[Row] = [{"name": name, "display_name": name} for name in names]
        if self.has_column_types:
            for col, kind in zip(cols, result.schema.types, strict=True):
                col["base_type"] = _base_type(kind)
        rows = [[None if value is None else _to_json(value) for value in row.values()] for row in result.to_pylist()]
        return {"status": "completed", "data": {"rows": rows, "cols": cols}, "row_count": len(rows)}

    # Dashboards

    def create_dashboard(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/dashboard")
        number = self.next_id("dashboard")
        self.dashboards[number] = {
            "id": number,
            "archived": False,
            "width": "fixed",
            "auto_apply_filters": True,
            "parameters": [],
            "tabs": [],
            "dashcards": [],
            **body,
        }
        return self.dashboards[number]

    def get_dashboard(self, request: RecordedRequest, number: str) -> Any:
        stored = copy.deepcopy(self._get(self.dashboards, number))
        for card in stored["dashcards"]:
            card |= {"created_at": "2026-01-01T00:00:00Z", "card": {"id": card["card_id"]}, "series": card["series"]}
        return {**stored, "param_values": None, "last-edit-info": {}, "can_write": True}

    def put_dashboard(self, request: RecordedRequest, number: str) -> Any:
        stored = self._get(self.dashboards, number)
        body = self._body(request, "/api/dashboard/{id}")
        tabs = {}
        if "tabs" in body:
            new_tabs = [self._part(stored["tabs"], tab, TAB_KEYS, request) for tab in body["tabs"]]
            # Deleting a tab deletes its dashcards.
            deleted = {tab["id"] for tab in stored["tabs"]} - {tab["id"] for tab in new_tabs}
            stored["dashcards"] = [card for card in stored["dashcards"] if card["dashboard_tab_id"] not in deleted]
            tabs = {given["id"]: tab["id"] for given, tab in zip(body["tabs"], new_tabs, strict=True)}
            body["tabs"] = new_tabs
        if "dashcards" in body:
            body["dashcards"] = [self._place(stored, card, tabs, request) for card in body["dashcards"]]
        stored |= body
        return stored

    def _place(self, stored: Row, given: Row, tabs: dict[int, int], request: RecordedRequest) -> Row:
        if len(tabs) > 1 and given.get("dashboard_tab_id") not in tabs:
            raise _Rejected(400, {"errors": {"dashcards": "dashboard_tab_id is required"}})
        if given.get("card_id") and given["card_id"] not in self.cards:
            raise _Rejected(404, "Not found.")
        card = self._part(stored["dashcards"], given, DASHCARD_KEYS, request)
        card.setdefault("series", [])
        if card.get("dashboard_tab_id"):
            card["dashboard_tab_id"] = tabs[card["dashboard_tab_id"]]
        return card

    def _part(self, stored: list[Row], given: Row, keys: set[str], request: RecordedRequest) -> Row:
        """Update the element with this id, or create one; elements that are not in the body are deleted."""
        self.ignored += [f"{request.method} {request.path} {key}" for key in given.keys() - keys]
        known = {key: value for key, value in given.items() if key in keys}
        existing = next((each for each in stored if each["id"] == known["id"]), None)
        return {**existing, **known} if existing else {**known, "id": self.next_id("part")}

    # Groups and permissions

    def list_groups(self, request: RecordedRequest) -> Any:
        return [{"id": number, "name": name, "member_count": 1} for number, name in self.groups.items()]

    def create_group(self, request: RecordedRequest) -> Any:
        name = self._body(request, "/api/permissions/group")["name"]
        if name in self.groups.values():
            raise _Rejected(400, {"errors": {"name": "A group with that name already exists."}})
        return self.add_group(name)

    def add_group(self, name: str) -> Row:
        """Add a group without permissions."""
        number = self.next_id("group")
        self.groups[number] = name
        self.collection_permissions[str(number)] = {}
        self.database_permissions[str(number)] = {
            str(each): {"view-data": "unrestricted", "create-queries": "no"} for each in self.databases
        }
        return {"id": number, "name": name}

    def get_group(self, request: RecordedRequest, number: str) -> Any:
        return {"id": int(number), "name": self._get(self.groups, number), "members": []}

    def put_group(self, request: RecordedRequest, number: str) -> Any:
        self.groups[int(number)] = self._body(request, "/api/permissions/group/{id}")["name"]
        return self.get_group(request, number)

    def get_database_graph(self, request: RecordedRequest) -> Any:
        return {"revision": self.revision, "groups": self.database_permissions}

    def put_database_graph(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/permissions/graph")
        self._check_revision(body)
        if body["groups"].get("2", self.database_permissions["2"]) != self.database_permissions["2"]:
            raise _Rejected(400, "You cannot change the permissions of the group Administrators.")
        for group, permissions in body["groups"].items():
            self.database_permissions[group] |= permissions
        return self.get_database_graph(request)

    def get_collection_graph(self, request: RecordedRequest) -> Any:
        response = {
            group: {each: permission for each, permission in permissions.items() if permission != "none"}
            for group, permissions in self.collection_permissions.items()
        }
        return {"revision": self.revision, "groups": response}

    def put_collection_graph(self, request: RecordedRequest) -> Any:
        body = self._body(request, "/api/collection/graph")
        self._check_revision(body)
        for group, permissions in body["groups"].items():
            self.collection_permissions[group] |= permissions
        return self.get_collection_graph(request)

    def _check_revision(self, body: Row) -> None:
        if body["revision"] != self.revision:
            raise _Rejected(409, "Looks like someone else edited the permissions and your data is out of date.")
        self.revision += 1

    @staticmethod
    def _get(stored: dict[int, Any], number: str) -> Any:
        if number.isdigit() and int(number) in stored:
            return stored[int(number)]
        for each in stored.values():
            if isinstance(each, dict) and each.get("entity_id") == number:
                return each
        raise _Rejected(404, "Not found.")


def _to_json(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value if isinstance(value, int) else str(value)


def _base_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "type/DateTimeWithLocalTZ"
    names = {pa.int64(): "Integer", pa.bool_(): "Boolean", pa.date32(): "Date", pa.string(): "Text"}
    return f"type/{names.get(kind, 'Decimal')}"


_N = r"([A-Za-z0-9_-]+)"
_Handler = Callable[..., Any]
# Method, path, whether it works without authentication, handler.
_ROUTES: list[tuple[str, str, bool, _Handler]] = [
    ("GET", "/api/health", True, FakeMetabase.health),
    ("GET", "/api/session/properties", True, FakeMetabase.properties),
    ("POST", "/api/setup", True, FakeMetabase.setup),
    ("POST", "/api/session", True, FakeMetabase.login),
    ("DELETE", "/api/session", False, FakeMetabase.logout),
    ("GET", "/api/user/current", False, FakeMetabase.current_user),
    ("GET", "/api/api-key", False, FakeMetabase.list_keys),
    ("POST", "/api/api-key", False, FakeMetabase.create_key),
    ("PUT", f"/api/api-key/{_N}/regenerate", False, FakeMetabase.regenerate_key),
    ("GET", "/api/database", False, FakeMetabase.list_databases),
    ("POST", "/api/database", False, FakeMetabase.create_database),
    ("GET", f"/api/database/{_N}", False, FakeMetabase.get_database),
    ("PUT", f"/api/database/{_N}", False, FakeMetabase.put_database),
    ("DELETE", f"/api/database/{_N}", False, FakeMetabase.delete_database),
    ("GET", "/api/collection/graph", False, FakeMetabase.get_collection_graph),
    ("PUT", "/api/collection/graph", False, FakeMetabase.put_collection_graph),
    ("GET", "/api/collection", False, FakeMetabase.list_collections),
    ("POST", "/api/collection", False, FakeMetabase.create_collection),
    ("GET", f"/api/collection/{_N}", False, FakeMetabase.get_collection),
    ("PUT", f"/api/collection/{_N}", False, FakeMetabase.put_collection),
    ("GET", f"/api/collection/{_N}/items", False, FakeMetabase.list_items),
    ("POST", "/api/card", False, FakeMetabase.create_card),
    ("GET", f"/api/card/{_N}", False, FakeMetabase.get_card),
    ("PUT", f"/api/card/{_N}", False, FakeMetabase.put_card),
    ("POST", f"/api/card/{_N}/query", False, FakeMetabase.query_card),
    ("POST", f"/api/dashboard/{_N}/dashcard/{_N}/card/{_N}/query", False, FakeMetabase.query_dashcard),
    ("POST", "/api/dashboard", False, FakeMetabase.create_dashboard),
    ("GET", f"/api/dashboard/{_N}", False, FakeMetabase.get_dashboard),
    ("PUT", f"/api/dashboard/{_N}", False, FakeMetabase.put_dashboard),
    ("GET", "/api/permissions/group", False, FakeMetabase.list_groups),
    ("POST", "/api/permissions/group", False, FakeMetabase.create_group),
    ("GET", f"/api/permissions/group/{_N}", False, FakeMetabase.get_group),
    ("PUT", f"/api/permissions/group/{_N}", False, FakeMetabase.put_group),
    ("GET", "/api/permissions/graph", False, FakeMetabase.get_database_graph),
    ("PUT", "/api/permissions/graph", False, FakeMetabase.put_database_graph),
]
