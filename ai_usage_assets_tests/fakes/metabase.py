"""A Metabase on loopback: what its API keeps, drops, hides and refuses.

Belongs here: the server's side as it is documented. Does not: what is expected of a client, or BigQuery, in whose place
a warehouse of the project is asked.

    with FakeMetabase().serve() as metabase:
        ... metabase.url

A body's keys are closed sets: what is not in them is dropped without a word, with 200, and noted in `dropped`. Where
Metabase's own description of its API is at hand (`description`), every body is held against it too; `wrong` says what
does not fit.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from ai_usage_assets.metabase.sql_template import fill
from ai_usage_assets.warehouse.base import Warehouse, WarehouseError
from ai_usage_assets_tests.fakes.http_server import Reply, Seen, answering

MASK = "**MetabasePass**"
EVERYBODY, ADMINISTRATORS = 1, 2
_PLACES = (
    Path(os.environ.get("AI_USAGE_METABASE_OPENAPI", "/nowhere")),
    Path(__file__).parents[3] / "shared" / "reference" / "metabase_openapi_subset.json",
)

_CARD = {
    "name",
    "type",
    "description",
    "display",
    "visualization_settings",
    "dataset_query",
    "parameters",
    "parameter_mappings",
    "collection_id",
    "collection_position",
    "result_metadata",
    "cache_ttl",
    "dashboard_id",
    "dashboard_tab_id",
}
_CARD_QUERY = "/api/card/{card-id}/query"
_DASHCARD_QUERY = "/api/dashboard/{dashboard-id}/dashcard/{dashcard-id}/card/{card-id}/query"
# The path of a write or a query -> the keys it knows.
_KEYS: dict[tuple[str, str], set[str]] = {
    ("POST", "/api/setup"): {"token", "user", "prefs"},
    ("POST", "/api/session"): {"username", "password"},
    ("POST", "/api/api-key"): {"name", "group_id"},
    ("POST", "/api/database"): {
        "name",
        "engine",
        "details",
        "is_full_sync",
        "is_on_demand",
        "connection_source",
        "auto_run_queries",
        "cache_ttl",
        "schedules",
        "provider_name",
    },
    ("PUT", "/api/database/{id}"): {
        "name",
        "engine",
        "details",
        "auto_run_queries",
        "cache_ttl",
        "schedules",
        "description",
        "caveats",
        "points_of_interest",
        "settings",
        "refingerprint",
        "provider_name",
    },
    ("POST", "/api/collection"): {"name", "description", "parent_id", "authority_level", "namespace"},
    ("PUT", "/api/collection/{id}"): {"name", "description", "parent_id", "archived", "authority_level", "type"},
    ("POST", "/api/card"): _CARD | {"entity_id"},
    ("PUT", "/api/card/{id}"): _CARD
    | {"archived", "enable_embedding", "embedding_params", "embedding_type", "collection_preview"},
    ("POST", "/api/dashboard"): {
        "name",
        "description",
        "collection_id",
        "collection_position",
        "parameters",
        "cache_ttl",
    },
    ("PUT", "/api/dashboard/{id}"): {
        "name",
        "description",
        "parameters",
        "width",
        "auto_apply_filters",
        "archived",
        "cache_ttl",
        "collection_id",
        "collection_position",
        "tabs",
        "dashcards",
        "caveats",
        "points_of_interest",
        "position",
        "show_in_getting_started",
        "enable_embedding",
        "embedding_params",
        "embedding_type",
    },
    ("POST", "/api/permissions/group"): {"name", "is_tenant_group"},
    ("PUT", "/api/permissions/group/{id}"): {"name"},
    ("PUT", "/api/collection/graph"): {"revision", "groups", "namespace"},
    ("PUT", "/api/permissions/graph"): {"revision", "groups"},
    ("POST", _CARD_QUERY): {"ignore_cache", "dashboard_id", "collection_preview"},
    ("POST", _DASHCARD_QUERY): {"parameters", "dashboard_load_id"},
}
_REQUIRED = {
    ("POST", "/api/database"): {"name", "engine", "details"},
    ("POST", "/api/collection"): {"name"},
    ("POST", "/api/card"): {"name", "display", "dataset_query", "visualization_settings"},
    ("POST", "/api/dashboard"): {"name"},
}
_TAB = {"id", "name", "position"}
_DASHCARD = {
    "id",
    "row",
    "col",
    "size_x",
    "size_y",
    "card_id",
    "dashboard_tab_id",
    "parameter_mappings",
    "visualization_settings",
    "inline_parameters",
    "action_id",
    "series",
}
# Parts of a body -> the keys that are read; Metabase keeps others at best, and does nothing with them.
_PARTS = {
    "parameters": {
        "id",
        "name",
        "slug",
        "type",
        "target",
        "value",
        "default",
        "required",
        "sectionId",
        "isMultiSelect",
        "values_query_type",
        "values_source_type",
        "values_source_config",
    },
    "values_source_config": {"card_id", "value_field", "values", "label_field"},
    "parameter_mappings": {"parameter_id", "card_id", "target"},
    "details": {
        "project-id",
        "billing-project-id",
        "service-account-json",
        "dataset-filters-type",
        "dataset-filters-patterns",
        "use-jvm-timezone",
        "include-user-id-and-hash",
    },
    "dataset_query": {"lib/type", "database", "stages"},
    "stages": {"lib/type", "native", "template-tags"},
    "template-tags": {"id", "name", "display-name", "type", "required", "default", "widget-type", "dimension"},
    "column_settings": {
        "number_style",
        "currency",
        "currency_style",
        "decimals",
        "column_title",
        "show_mini_bar",
        "text_wrapping",
        "click_behavior",
    },
    "series_settings": {"title", "color", "display", "axis", "line.style", "line.marker_enabled", "show_series_values"},
    "table.column_formatting": {"columns", "type", "operator", "value", "color", "highlight_row"},
    "scalar.comparisons": {"id", "type", "column", "label", "value"},
    "click_behavior": {"type", "linkType", "targetId", "parameterMapping"},
    "parameterMapping": {"id", "source", "target"},
    "source": {"type", "id", "name"},
    "virtual_card": {"display", "dataset_query", "visualization_settings", "name", "archived"},
    "visualization_settings": {
        "text",
        "dashcard.background",
        "card.title",
        "virtual_card",
        "click_behavior",
        "column_settings",
        "series_settings",
        "graph.dimensions",
        "graph.metrics",
        "graph.show_values",
        "graph.x_axis.scale",
        "graph.x_axis.title_text",
        "graph.y_axis.title_text",
        "stackable.stack_type",
        "progress.value",
        "progress.goal",
        "progress.color",
        "scalar.field",
        "scalar.comparisons",
        "scalar.switch_positive_negative",
        "table.column_formatting",
        "table.columns",
        "table.pivot",
    },
}
# Parts that hold others by a name.
_NAMED = {"template-tags", "column_settings", "series_settings", "parameterMapping"}
# What the description of the API leaves out, and the server reads.
_UNDESCRIBED = {"auto_apply_filters"}


@dataclass
class Fault:
    """What goes wrong with the next request of this method whose path ends like that.

    `lost`: it is done, and the connection ends before the answer; `error`: 503, nothing is done; `stale`: somebody else
    changes the permissions first; `twin`: somebody else makes the same a moment before. Of queries,
    `failed`: the warehouse refuses the statement, which is told with 202; `unfiltered`: what is chosen is ignored;
    `renamed`: the last column has another name.
    """

    kind: Literal["lost", "error", "stale", "twin", "twin and lost", "failed", "unfiltered", "renamed"]
    method: str
    path: str
    times: int = 1


class _Refused(Exception):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


Row = dict[str, Any]


@dataclass
class FakeMetabase:
    """What is kept, by kind and id, and how it answers."""

    setup_token: str | None = "11111111-2222-3333-4444-555555555555"
    # Template tags read back as a list, or the whole query as it was written before MBQL 5.
    tags: Literal["map", "list"] = "map"
    is_legacy: bool = False
    keeps_entity_ids: bool = True
    # Requests that are answered with 503 while it starts.
    starting: int = 0
    # Whether BigQuery knows no service account.
    refuses_keys: bool = False
    # A key that this version does not know, although the closed sets do.
    forgets: str = ""
    # What it puts into visualization_settings by itself.
    adds: Row = field(default_factory=dict)
    # What it answers, by method and path, in place of what it would.
    odd: Row = field(default_factory=dict)
    # What it asks in place of BigQuery.
    warehouse: Warehouse | None = None
    # Whether answers say of which type a column is.
    types_columns: bool = True
    faults: list[Fault] = field(default_factory=list)
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    failed_logins: int = 0
    keys: dict[int, Row] = field(default_factory=dict)
    databases: dict[int, Row] = field(default_factory=dict)
    collections: dict[int, Row] = field(default_factory=dict)
    cards: dict[int, Row] = field(default_factory=dict)
    dashboards: dict[int, Row] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=lambda: {EVERYBODY: "All Users", ADMINISTRATORS: "Administrators"})
    # Group -> database or collection -> what it may.
    may_query: dict[str, Row] = field(default_factory=lambda: {"1": {}, "2": {}})
    may_see: dict[str, Row] = field(default_factory=lambda: {"1": {"root": "write"}, "2": {"root": "write"}})
    revision: int = 7
    # Ids are given kind by kind, so one number means many things.
    _last: dict[str, int] = field(default_factory=lambda: {"collection": 1, "group": 2})

    @contextmanager
    def serve(self) -> Iterator[FakeMetabase]:
        """Within the block it answers at `url`."""
        with answering(self._reply) as script:
            self.url, self.seen = script.url, script.seen
            yield self

    def writes(self) -> list[str]:
        """What was asked that changes something, as method and path."""
        return [f"{each.method} {each.path}" for each in self.seen if each.method != "GET"]

    def number(self, kind: str) -> int:
        """An id that nothing of its kind has."""
        self._last[kind] = self._last.get(kind, 0) + 1
        return self._last[kind]

    def card(self, name: str) -> Row:
        """The card of that name."""
        return next(each for each in self.cards.values() if each["name"] == name)

    def dashboard(self, name: str) -> Row:
        """The dashboard of that name."""
        return next(each for each in self.dashboards.values() if each["name"] == name)

    def collection(self, name: str) -> Row:
        """The collection of that name."""
        return next(each for each in self.collections.values() if each["name"] == name)

    def _reply(self, seen: Seen) -> Reply:
        fault = self._fault(seen)
        if fault and fault.kind == "error":
            return Reply(503, b'{"message":"Service Unavailable"}')
        if fault and fault.kind == "stale":
            self.revision += 1
        if fault and fault.kind.startswith("twin"):
            self._answer(seen, None)
        try:
            status, body = 202 if seen.path.endswith("/query") else 200, self._answer(seen, fault)
        except _Refused as refusal:
            status, body = refusal.status, refusal.body
        body = self.odd.get(f"{seen.method} {seen.path}", body)
        content = b"" if body is None else json.dumps(body).encode()
        return Reply(status, content, goes_wrong="reset" if fault and fault.kind.endswith("lost") else "")

    def _fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == seen.method and seen.path.endswith(fault.path):
                fault.times -= 1
                return fault
        return None

    def _answer(self, seen: Seen, fault: Fault | None) -> Any:
        if self.starting:
            self.starting -= 1
            raise _Refused(503, {"status": "initializing", "progress": 0.5})
        for method, pattern, is_open, handler in _ROUTES:
            found = re.fullmatch(pattern, seen.path)
            if method == seen.method and found:
                if not is_open:
                    self._who(seen)
                if seen.path.endswith("/query"):
                    return handler(self, seen, *found.groups(), goes_wrong=fault.kind if fault else "")
                return handler(self, seen, *found.groups())
        raise _Refused(404, "API endpoint does not exist.")

    def _who(self, seen: Seen) -> Row:
        key = seen.headers.get("x-api-key")
        held = [each for each in self.keys.values() if key and each["unmasked_key"] == key]
        if held:
            return {"id": 50, "email": "api-key-user@api-key.invalid", "is_superuser": held[0]["group"]["id"] == 2}
        if seen.headers.get("x-metabase-session") in self.sessions:
            return {"id": 1, "is_superuser": True}
        raise _Refused(401, "Unauthenticated")

    def _body(self, seen: Seen, path: str) -> Row:
        """What is taken of a body: the rest vanishes."""
        given = json.loads(seen.body)
        self.wrong += _against_description(seen.method, path, given)
        known = _KEYS[seen.method, path] - {self.forgets}
        self.dropped += [f"{seen.method} {path} {key}" for key in given.keys() - known]
        taken = {key: value for key, value in given.items() if key in known}
        self.dropped += [f"{seen.method} {path} {part}" for part in _unread(taken)]
        if missing := _REQUIRED.get((seen.method, path), set()) - taken.keys():
            raise _Refused(400, {"errors": dict.fromkeys(missing, "missing required key"), "specific-errors": {}})
        for key in ("name", "display", "description"):
            if key in taken and (taken[key] == "" or not isinstance(taken[key], str | None)):
                raise _Refused(400, {"errors": {key: "value must be a non-blank string."}, "specific-errors": {}})
        return taken

    # Who asks

    def health(self, seen: Seen) -> Any:
        return {"status": "ok"}

    def properties(self, seen: Seen) -> Any:
        token = None if self.users else self.setup_token
        return {"setup-token": token, "has-user-setup": bool(self.users), "version": {"tag": "v0.63.17"}}

    def setup(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/setup")
        if self.users:
            raise _Refused(403, "The /api/setup route can only be used to create the first user.")
        if body["token"] != self.setup_token:
            raise _Refused(400, {"errors": {"token": "Token does not match the setup token."}})
        self.users[body["user"]["email"]] = body["user"]["password"]
        return self._session()

    def login(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/session")
        if self.failed_logins >= 3:
            told = "Too many attempts! You must wait 15 seconds before trying again."
            raise _Refused(400, {"errors": {"username": told}})
        if self.users.get(body["username"]) != body["password"]:
            self.failed_logins += 1
            raise _Refused(401, {"errors": {"password": "did not match stored password"}})
        return self._session()

    def _session(self) -> Row:
        session = f"00000000-0000-4000-8000-{self.number('session'):012d}"
        self.sessions.add(session)
        return {"id": session}

    def logout(self, seen: Seen) -> Any:
        self.sessions.discard(seen.headers["x-metabase-session"])

    def current_user(self, seen: Seen) -> Any:
        return self._who(seen)

    def list_keys(self, seen: Seen) -> Any:
        return [{key: each[key] for key in ("id", "name", "group", "masked_key")} for each in self.keys.values()]

    def make_key(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/api-key")
        if any(each["name"] == body["name"] for each in self.keys.values()):
            raise _Refused(400, {"errors": {"name": "An API key with that name exists."}})
        number = self.number("key")
        self.keys[number] = {"id": number, "name": body["name"], "group": {"id": body["group_id"]}}
        return self.renew_key(seen, str(number))

    def renew_key(self, seen: Seen, number: str) -> Any:
        held = self.keys[int(number)]
        value = f"mb_{self.number('value'):044d}"
        held |= {"unmasked_key": value, "masked_key": f"{value[:7]}{'*' * 40}"}
        return held

    # The database

    def list_databases(self, seen: Seen) -> Any:
        return {"data": [self._masked(each) for each in self.databases.values()], "total": len(self.databases)}

    def make_database(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/database")
        self._connect(body["details"])
        number = self.number("database")
        self.databases[number] = {"id": number, "auto_run_queries": True, "initial_sync_status": "complete", **body}
        for group, may in self.may_query.items():
            can = "query-builder-and-native" if group in ("1", "2") else "no"
            may[str(number)] = {"view-data": "unrestricted", "create-queries": can, "download": {"schemas": "full"}}
        return self._masked(self.databases[number])

    def get_database(self, seen: Seen, number: str) -> Any:
        return self._masked(self._there(self.databases, number))

    def end_database(self, seen: Seen, number: str) -> Any:
        del self.databases[self._there(self.databases, number)["id"]]

    def put_database(self, seen: Seen, number: str) -> Any:
        held = self._there(self.databases, number)
        body = self._body(seen, "/api/database/{id}")
        if body["details"].get("service-account-json") == MASK:
            body["details"]["service-account-json"] = held["details"]["service-account-json"]
        self._connect(body["details"])
        held |= body
        return self._masked(held)

    def _connect(self, details: Row) -> None:
        if self.refuses_keys:
            # Metabase may quote what it was sent.
            told = {"message": f"Invalid service account: {details['service-account-json']}"}
            raise _Refused(400, {"errors": told, "specific-errors": {}})

    @staticmethod
    def _masked(held: Row) -> Row:
        shown = copy.deepcopy(held)
        shown["details"] |= {"service-account-json": MASK, "project-id-from-credentials": "p"}
        return {**shown, "created_at": "2026-01-01T00:00:00Z", "features": ["basic-aggregations"]}

    # Collections

    def list_collections(self, seen: Seen) -> Any:
        personal = {"id": 1, "name": "Ada's Personal Collection", "personal_owner_id": 1, "location": "/"}
        held = [self._folder(each) for each in self.collections.values() if not each["archived"]]
        return [{"id": "root", "name": "Our analytics"}, personal, *held]

    def make_collection(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/collection")
        number = self.number("collection")
        parent = body.get("parent_id")
        self.collections[number] = {"id": number, "archived": False, "parent_id": None, **body}
        for may in self.may_see.values():
            if inherited := may.get(str(parent or "root")):
                may[str(number)] = inherited
        return self._folder(self.collections[number])

    def get_collection(self, seen: Seen, number: str) -> Any:
        return self._folder(self._there(self.collections, number))

    def put_collection(self, seen: Seen, number: str) -> Any:
        held = self._there(self.collections, number)
        held |= self._body(seen, "/api/collection/{id}")
        return self._folder(held)

    def _folder(self, held: Row) -> Row:
        parent, location = held["parent_id"], "/"
        if parent:
            outer = self._folder(self.collections[parent])["location"] if parent in self.collections else "/"
            location = f"{outer}{parent}/"
        return {**held, "location": location, "personal_owner_id": None, "can_write": True, "namespace": None}

    def items(self, seen: Seen, number: str) -> Any:
        models = [value for key, value in seen.query if key == "models"]
        held = [("card", each) for each in self.cards.values()]
        held += [("dashboard", each) for each in self.dashboards.values()]
        found = [
            {"id": each["id"], "name": each["name"], "model": model}
            for model, each in held
            if each["collection_id"] == int(number) and not each["archived"] and model in models
        ]
        return {"data": found, "total": len(found), "models": models}

    # Cards

    def make_card(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/card")
        given = body.pop("entity_id", None)
        given = given if self.keeps_entity_ids else None
        if given and any(each["entity_id"] == given for each in self.cards.values()):
            raise _Refused(500, {"message": "duplicate key value violates unique constraint"})
        number = self.number("card")
        entity = given or f"made-by-the-server-{number:02d}"[:21].ljust(21, "x")
        self.cards[number] = {"id": number, "entity_id": entity, "archived": False, **self._of_card(body)}
        return self._question(self.cards[number])

    def get_card(self, seen: Seen, number: str) -> Any:
        return self._question(self._there(self.cards, number))

    def put_card(self, seen: Seen, number: str) -> Any:
        held = self._there(self.cards, number)
        held |= self._of_card(self._body(seen, "/api/card/{id}"))
        return self._question(held)

    def _of_card(self, body: Row) -> Row:
        if "dataset_query" in body and body["dataset_query"]["database"] not in self.databases:
            raise _Refused(400, {"errors": {"dataset_query": "there is no such database"}})
        if "visualization_settings" in body:
            body["visualization_settings"] |= self.adds
        return body

    def _question(self, held: Row) -> Row:
        shown = copy.deepcopy(held)
        shown["visualization_settings"]["version"] = 2
        stage = shown["dataset_query"]["stages"][0]
        if self.tags == "list":
            stage["template-tags"] = list(stage["template-tags"].values())
        if self.is_legacy:
            native = {"query": stage["native"], "template-tags": stage["template-tags"]}
            shown["dataset_query"] = {
                "type": "native",
                "database": shown["dataset_query"]["database"],
                "native": native,
            }
        return {**shown, "creator_id": 1, "cache_ttl": None, "result_metadata": None, "can_write": True}

    # Queries

    def query_card(self, seen: Seen, number: str, *, goes_wrong: str) -> Any:
        self._body(seen, _CARD_QUERY)
        return self._rows(self._there(self.cards, number), {}, goes_wrong)

    def query_dashcard(self, seen: Seen, number: str, place: str, card: str, *, goes_wrong: str) -> Any:
        held = self._there(self.dashboards, number)
        places = [each for each in held["dashcards"] if (each["id"], each["card_id"]) == (int(place), int(card))]
        if not places:
            raise _Refused(404, "Not found.")
        types = {each["id"]: each["type"] for each in held["parameters"]}
        mapped = {each["parameter_id"]: each["target"] for each in places[0]["parameter_mappings"]}
        values = {}
        for chosen in self._body(seen, _DASHCARD_QUERY).get("parameters") or []:
            if types.get(chosen["id"]) != chosen["type"]:
                raise _Refused(400, f"Dashboard does not have a parameter with ID {chosen['id']}.")
            # Which variable it sets is said by the mapping; without one it is ignored.
            if (target := mapped.get(chosen["id"])) and goes_wrong != "unfiltered":
                values[target[1][1]] = chosen["value"]
        return self._rows(self._there(self.cards, card), values, goes_wrong)

    def _rows(self, card: Row, values: dict[str, list[str]], goes_wrong: str) -> Row:
        assert self.warehouse
        try:
            if goes_wrong == "failed":
                raise WarehouseError("Unrecognized name: spent at [1:8]")
            found = self.warehouse.query(*fill(card["dataset_query"]["stages"][0]["native"], values))
        except WarehouseError as error:
            return {"status": "failed", "error": str(error), "data": {"rows": [], "cols": []}, "row_count": 0}
        names = found.column_names
        if goes_wrong == "renamed":
            names[-1] += "_2"
        cols: list[Row] = [{"name": name, "display_name": name} for name in names]
        if self.types_columns:
            for col, kind in zip(cols, found.schema.types, strict=True):
                col["base_type"] = _base_type(kind)
        rows = [[None if value is None else _plain(value) for value in row.values()] for row in found.to_pylist()]
        return {"status": "completed", "data": {"rows": rows, "cols": cols}, "row_count": len(rows)}

    # Dashboards

    def make_dashboard(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/dashboard")
        number = self.number("dashboard")
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

    def get_dashboard(self, seen: Seen, number: str) -> Any:
        held = copy.deepcopy(self._there(self.dashboards, number))
        for card in held["dashcards"]:
            card |= {"created_at": "2026-01-01T00:00:00Z", "card": {"id": card["card_id"]}, "series": card["series"]}
        return {**held, "param_values": None, "last-edit-info": {}, "can_write": True}

    def put_dashboard(self, seen: Seen, number: str) -> Any:
        held = self._there(self.dashboards, number)
        body = self._body(seen, "/api/dashboard/{id}")
        tabs = {}
        if "tabs" in body:
            made = [self._part(held["tabs"], tab, _TAB, seen) for tab in body["tabs"]]
            # With a tab its cards are deleted.
            gone = {tab["id"] for tab in held["tabs"]} - {tab["id"] for tab in made}
            held["dashcards"] = [card for card in held["dashcards"] if card["dashboard_tab_id"] not in gone]
            tabs = {given["id"]: tab["id"] for given, tab in zip(body["tabs"], made, strict=True)}
            body["tabs"] = made
        if "dashcards" in body:
            body["dashcards"] = [self._placed(held, card, tabs, seen) for card in body["dashcards"]]
        held |= body
        return held

    def _placed(self, held: Row, given: Row, tabs: dict[int, int], seen: Seen) -> Row:
        if len(tabs) > 1 and given.get("dashboard_tab_id") not in tabs:
            raise _Refused(400, {"errors": {"dashcards": "dashboard_tab_id is required"}})
        if given.get("card_id") and given["card_id"] not in self.cards:
            raise _Refused(404, "Not found.")
        card = self._part(held["dashcards"], given, _DASHCARD, seen)
        card.setdefault("series", [])
        if card.get("dashboard_tab_id"):
            card["dashboard_tab_id"] = tabs[card["dashboard_tab_id"]]
        return card

    def _part(self, held: list[Row], given: Row, keys: set[str], seen: Seen) -> Row:
        """A part of a list that is given whole: an id that is not there makes one, what is not in the list is gone."""
        self.dropped += [f"{seen.method} {seen.path} {key}" for key in given.keys() - keys]
        taken = {key: value for key, value in given.items() if key in keys}
        there = next((each for each in held if each["id"] == taken["id"]), None)
        return {**there, **taken} if there else {**taken, "id": self.number("part")}

    # Groups of people, and what they may

    def list_groups(self, seen: Seen) -> Any:
        return [{"id": number, "name": name, "member_count": 1} for number, name in self.groups.items()]

    def make_group(self, seen: Seen) -> Any:
        name = self._body(seen, "/api/permissions/group")["name"]
        if name in self.groups.values():
            raise _Refused(400, {"errors": {"name": "A group with that name already exists."}})
        return self.add_group(name)

    def add_group(self, name: str) -> Row:
        """A group that may nothing yet."""
        number = self.number("group")
        self.groups[number] = name
        self.may_see[str(number)] = {}
        self.may_query[str(number)] = {
            str(each): {"view-data": "unrestricted", "create-queries": "no"} for each in self.databases
        }
        return {"id": number, "name": name}

    def get_group(self, seen: Seen, number: str) -> Any:
        return {"id": int(number), "name": self._there(self.groups, number), "members": []}

    def put_group(self, seen: Seen, number: str) -> Any:
        self.groups[int(number)] = self._body(seen, "/api/permissions/group/{id}")["name"]
        return self.get_group(seen, number)

    def query_graph(self, seen: Seen) -> Any:
        return {"revision": self.revision, "groups": self.may_query}

    def put_query_graph(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/permissions/graph")
        self._fresh(body)
        if body["groups"].get("2", self.may_query["2"]) != self.may_query["2"]:
            raise _Refused(400, "You cannot change the permissions of the group Administrators.")
        for group, may in body["groups"].items():
            self.may_query[group] |= may
        return self.query_graph(seen)

    def collection_graph(self, seen: Seen) -> Any:
        shown = {
            group: {each: can for each, can in may.items() if can != "none"} for group, may in self.may_see.items()
        }
        return {"revision": self.revision, "groups": shown}

    def put_collection_graph(self, seen: Seen) -> Any:
        body = self._body(seen, "/api/collection/graph")
        self._fresh(body)
        for group, may in body["groups"].items():
            self.may_see[group] |= may
        return self.collection_graph(seen)

    def _fresh(self, body: Row) -> None:
        if body["revision"] != self.revision:
            raise _Refused(409, "Looks like someone else edited the permissions and your data is out of date.")
        self.revision += 1

    @staticmethod
    def _there(held: dict[int, Any], number: str) -> Any:
        if number.isdigit() and int(number) in held:
            return held[int(number)]
        for each in held.values():
            if isinstance(each, dict) and each.get("entity_id") == number:
                return each
        raise _Refused(404, "Not found.")


def _unread(part: Any, name: str = "") -> Iterator[str]:
    """The keys within a body that nobody reads, each with the part that it is in."""
    if isinstance(part, list):
        for each in part:
            yield from _unread(each, name)
    elif isinstance(part, dict):
        for one in part.values() if name in _NAMED else [part]:
            for key, value in one.items():
                if name in _PARTS and key not in _PARTS[name]:
                    yield f"{name}.{key}"
                yield from _unread(value, key)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value if isinstance(value, int) else str(value)


def _base_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "type/DateTimeWithLocalTZ"
    names = {pa.int64(): "Integer", pa.bool_(): "Boolean", pa.date32(): "Date", pa.string(): "Text"}
    return f"type/{names.get(kind, 'Decimal')}"


_N = r"([A-Za-z0-9_-]+)"
_Handler = Callable[..., Any]
# Method, path, whether it asks nobody who they are, what answers.
_ROUTES: list[tuple[str, str, bool, _Handler]] = [
    ("GET", "/api/health", True, FakeMetabase.health),
    ("GET", "/api/session/properties", True, FakeMetabase.properties),
    ("POST", "/api/setup", True, FakeMetabase.setup),
    ("POST", "/api/session", True, FakeMetabase.login),
    ("DELETE", "/api/session", False, FakeMetabase.logout),
    ("GET", "/api/user/current", False, FakeMetabase.current_user),
    ("GET", "/api/api-key", False, FakeMetabase.list_keys),
    ("POST", "/api/api-key", False, FakeMetabase.make_key),
    ("PUT", f"/api/api-key/{_N}/regenerate", False, FakeMetabase.renew_key),
    ("GET", "/api/database", False, FakeMetabase.list_databases),
    ("POST", "/api/database", False, FakeMetabase.make_database),
    ("GET", f"/api/database/{_N}", False, FakeMetabase.get_database),
    ("PUT", f"/api/database/{_N}", False, FakeMetabase.put_database),
    ("DELETE", f"/api/database/{_N}", False, FakeMetabase.end_database),
    ("GET", "/api/collection/graph", False, FakeMetabase.collection_graph),
    ("PUT", "/api/collection/graph", False, FakeMetabase.put_collection_graph),
    ("GET", "/api/collection", False, FakeMetabase.list_collections),
    ("POST", "/api/collection", False, FakeMetabase.make_collection),
    ("GET", f"/api/collection/{_N}", False, FakeMetabase.get_collection),
    ("PUT", f"/api/collection/{_N}", False, FakeMetabase.put_collection),
    ("GET", f"/api/collection/{_N}/items", False, FakeMetabase.items),
    ("POST", "/api/card", False, FakeMetabase.make_card),
    ("GET", f"/api/card/{_N}", False, FakeMetabase.get_card),
    ("PUT", f"/api/card/{_N}", False, FakeMetabase.put_card),
    ("POST", f"/api/card/{_N}/query", False, FakeMetabase.query_card),
    ("POST", f"/api/dashboard/{_N}/dashcard/{_N}/card/{_N}/query", False, FakeMetabase.query_dashcard),
    ("POST", "/api/dashboard", False, FakeMetabase.make_dashboard),
    ("GET", f"/api/dashboard/{_N}", False, FakeMetabase.get_dashboard),
    ("PUT", f"/api/dashboard/{_N}", False, FakeMetabase.put_dashboard),
    ("GET", "/api/permissions/group", False, FakeMetabase.list_groups),
    ("POST", "/api/permissions/group", False, FakeMetabase.make_group),
    ("GET", f"/api/permissions/group/{_N}", False, FakeMetabase.get_group),
    ("PUT", f"/api/permissions/group/{_N}", False, FakeMetabase.put_group),
    ("GET", "/api/permissions/graph", False, FakeMetabase.query_graph),
    ("PUT", "/api/permissions/graph", False, FakeMetabase.put_query_graph),
]


def description() -> Path | None:
    """Metabase's own description of its API (OpenAPI), if it is beside this checkout or named by the environment."""
    return next((path for path in _PLACES if path.exists()), None)


def _against_description(method: str, path: str, body: Row) -> list[str]:
    judge = _judge(method, path)
    if judge is None:
        return []
    keys, validator = judge
    unknown = [f"{method} {path}: {key} is not described" for key in sorted(body.keys() - keys - _UNDESCRIBED)]
    return unknown + [
        f"{method} {path}: {'/'.join(map(str, error.path))}: {error.message[:200]}"
        for error in validator.iter_errors(body)
    ]


@cache
def _judge(method: str, path: str) -> tuple[set[str], Any] | None:
    """The keys of a body, and what validates it; None where it is not described."""
    import jsonschema

    described = _described()
    operation = described["paths"].get(path, {}).get(method.lower()) if described else None
    if operation is None:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    keys = set(schema["properties"]) or _KEYS[method, path]
    return keys, jsonschema.Draft202012Validator({**schema, "$defs": described["components"]["schemas"]})


@cache
def _described() -> Any:
    path = description()
    if path is None:
        return None
    return _usable(json.loads(path.read_text().replace("#/components/schemas/", "#/$defs/")))


def _usable(part: Any) -> Any:
    """Without the one-of of the description, which means any-of: one of its schemas takes everything."""
    if isinstance(part, dict):
        return {("anyOf" if key == "oneOf" else key): _usable(each) for key, each in part.items()}
    return [_usable(each) for each in part] if isinstance(part, list) else part
