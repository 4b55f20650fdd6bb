"""What there is in a Metabase, kind by kind: how each is found, read, made and written.

Belongs here: paths of the API, and what identifies an object. Does not: when which is written (`apply`), or whether
(`plan`). An object is the one whose id is remembered; a card also the one with the id that is made of its key; else
the one of its name, of which there may be only one in its place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from ai_usage_assets.metabase import api_models, normalize, render
from ai_usage_assets.metabase.client import ApiObject, MetabaseClient, MetabaseError, RequestRejected
from ai_usage_assets.metabase.credentials import CredentialError
from ai_usage_assets.metabase.normalize import Form
from ai_usage_assets.metabase.plan import AppliedState, StateStore, digest
from ai_usage_assets.metabase.render import IdRegistry
from ai_usage_assets.metabase.spec import Dashboard, Filter, Spec

ADMINISTRATORS = 2
# Somebody else may be changing permissions too.
_STALE_ATTEMPTS = 5
_CREDENTIAL = "service account"
_PLACE = ("project-id", "dataset-filters-patterns")
_FOLDERS = {render.COLLECTION: "collection", render.BEHIND: "collection behind"}


@dataclass
class MetabaseContext:
    """A Metabase, what is known and remembered of it, and the warehouse it shall show."""

    server: MetabaseClient
    project: str
    dataset: str
    # The JSON key with which Metabase asks BigQuery.
    service_account: str | None = field(default=None, repr=False)
    known: IdRegistry = field(default_factory=IdRegistry)
    memory: StateStore = field(default_factory=StateStore)

    def groups(self) -> dict[str, int]:
        """The groups of people by name, but for the one that may do everything."""
        path = "/api/permissions/group"
        listed = self.server.listed(path)
        # One that lists nobody would have it that nobody may anything.
        if ADMINISTRATORS not in (each.id for each in listed):
            raise self.server.unexpected(path, "the group Administrators is not in it")
        return {each["name"]: each.id for each in listed if each.id != ADMINISTRATORS}

    def items(self, collection: str) -> list[ApiObject]:
        """The cards and dashboards of a collection, each with `id`, `model` and `name`."""
        if not self.known[collection]:
            return []
        query = urlencode([("models", each) for each in ("card", "dataset", "metric", "dashboard")])
        return self.server.listed(f"/api/collection/{self.known[collection]}/items?{query}")


class ManagedResource(ABC):
    """One object that is wanted."""

    # Below which path of the API it is.
    path: str
    # Whether it is there whether or not anybody has written it: then at first it is Metabase's own.
    is_always_there = False
    # Whether more in what is there than was sent is as bad as less.
    is_exact = False
    # What it is of: where that is made anew, what was remembered is of another.
    of: tuple[str, ...] = ()

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name

    def find(self, site: MetabaseContext) -> int | None:
        """The id of what is there."""
        last = site.memory.get(self.key)
        if last and site.server.find(f"{self.path}/{last.id}"):
            return last.id
        return self.named(site)

    def named(self, site: MetabaseContext) -> int | None:
        """The id of the one of its name. Raises MetabaseError when there are several."""
        ids = self.ids(site)
        if len(ids) > 1:
            # Of two that are made at once one is about to go.
            site.server.pause()
            ids = self.ids(site)
        if len(ids) > 1:
            raise MetabaseError(
                f"There are {len(ids)} of the name {self.name!r} (ids {', '.join(map(str, ids))}): rename all but the "
                "one that is meant."
            )
        return ids[0] if ids else None

    def ids(self, site: MetabaseContext) -> list[int]:
        """All of its name in its place."""
        return [each.id for each in self.candidates(site) if each["name"] == self.name]

    def first(self, site: MetabaseContext) -> int | None:
        """The id of the one that was made first."""
        return min(self.ids(site), default=None)

    @abstractmethod
    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        """Where it is looked for by name: objects with `id` and `name`."""

    def read(self, site: MetabaseContext) -> Form:
        """What is there."""
        path = f"{self.path}/{site.known[self.key]}"
        raw = site.server.get(path)
        with site.server.reading(path):
            return self.form(raw)

    @abstractmethod
    def form(self, raw: Mapping[str, Any]) -> Form:
        """What the API says of it, or what it is told, as it is compared."""

    @abstractmethod
    def wanted(self, site: MetabaseContext) -> Form:
        """What shall be there."""

    @abstractmethod
    def make(self, site: MetabaseContext) -> int:
        """Makes it, and gives its id."""

    @abstractmethod
    def write(self, site: MetabaseContext) -> None:
        """Makes what is there as it is wanted."""

    def moved(self, wanted: Form, live: Form) -> str:
        """Where to writing it would lead readers, if it is to something else altogether."""
        return ""

    def is_unwritten(self, wanted: Form, live: Form, last: AppliedState | None) -> bool:
        """Whether what is there is nobody's work."""
        return self.is_always_there and last is None

    def created(self, site: MetabaseContext, path: str, body: api_models.RequestBody) -> int:
        """The id of what is made by a POST, or was by one whose answer was lost, or by somebody else at the same time.

        Of two that are made at once the first stays: whoever made the second sees both, and takes it back.
        """

        def look() -> ApiObject | None:
            found = self.first(site)
            return None if found is None else ApiObject(path, {"id": found})

        made = site.server.make(path, body, look).id
        first = min(self.ids(site), default=made)
        if first < made:
            self.take_back(site, made)
            return first
        return made

    def take_back(self, site: MetabaseContext, number: int) -> None:
        """Puts away what was made a moment ago."""
        site.server.put(f"{self.path}/{number}", api_models.Archived(archived=True))


class DatabaseResource(ManagedResource):
    """The connection to the warehouse."""

    path = "/api/database"

    def __init__(self) -> None:
        super().__init__("database", render.DATABASE)

    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        return site.server.listed(self.path)

    def form(self, raw: Mapping[str, Any]) -> Form:
        return normalize.database(raw)

    def read(self, site: MetabaseContext) -> Form:
        """The key itself is never shown; of the one that was sent last a digest is remembered."""
        last = site.memory.get(_CREDENTIAL)
        return {**super().read(site), _CREDENTIAL: last.found if last else None}

    def wanted(self, site: MetabaseContext) -> Form:
        given = site.service_account
        last = site.memory.get(_CREDENTIAL)
        credential = digest({_CREDENTIAL: given}) if given else last.found if last else None
        return {**self.form(self._update(site).sent()), _CREDENTIAL: credential}

    def make(self, site: MetabaseContext) -> int:
        if not site.service_account:
            raise CredentialError(
                "AI_USAGE_METABASE_SERVICE_ACCOUNT is not set: the JSON key of a service account that may read the "
                "dataset, the name of a secret that holds one, or file:PATH. Metabase knows no other way to BigQuery."
            )
        update = self._update(site)
        body = api_models.NewDatabase(
            name=update.name,
            engine=update.engine,
            details=update.details,
            is_full_sync=False,
            is_on_demand=False,
            connection_source="admin",
            auto_run_queries=True,
        )
        number = self.created(site, self.path, body)
        self._remember(site)
        return number

    def write(self, site: MetabaseContext) -> None:
        site.server.put(f"{self.path}/{site.known[self.key]}", self._update(site))
        self._remember(site)

    def take_back(self, site: MetabaseContext, number: int) -> None:
        site.server.delete(f"{self.path}/{number}")

    def is_unwritten(self, wanted: Form, live: Form, last: AppliedState | None) -> bool:
        """Where all that can be seen is as it is wanted, nobody has edited the key either: it is sent once more."""
        return last is None and live == {**wanted, _CREDENTIAL: None}

    def moved(self, wanted: Form, live: Form) -> str:
        """A setting that was forgotten shall not show finance other books."""
        shown, said = (tuple(str(form["details"].get(key, "")) for key in _PLACE) for form in (live, wanted))
        # With all datasets it shows the wanted one too.
        is_elsewhere = shown != said and all(shown)
        return f"shows {'.'.join(shown)}, and the settings say {'.'.join(said)}" if is_elsewhere else ""

    def _update(self, site: MetabaseContext) -> api_models.DatabaseUpdate:
        return api_models.DatabaseUpdate(
            name=self.name,
            engine="bigquery-cloud-sdk",
            details=render.details(site.project, site.dataset, site.service_account),
            auto_run_queries=True,
        )

    def _remember(self, site: MetabaseContext) -> None:
        if site.service_account:
            sent = digest({_CREDENTIAL: site.service_account})
            site.memory[_CREDENTIAL] = AppliedState(0, sent, sent)


class CollectionResource(ManagedResource):
    """A folder of what is managed; all others are nobody's business here."""

    path = "/api/collection"

    def __init__(self, key: str, name: str, description: str, parent: str | None) -> None:
        super().__init__(key, name)
        self._description = description
        self._parent = parent

    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        parent = site.known[self._parent] if self._parent else None
        if parent == 0:
            return []
        listed = [each for each in site.server.listed(self.path) if isinstance(each["id"], int)]
        # People's own and the trash, and what is in them, are nobody's business.
        apart = {each["id"] for each in listed if each.get("personal_owner_id") or each.get("type") == "trash"}
        managed_collections = [each for each in listed if apart.isdisjoint({each["id"], *normalize.parents(each)})]
        here = [each for each in managed_collections if self.form(each)["parent"] == parent]
        elsewhere = [each["id"] for each in managed_collections if each["name"] == self.name and each not in here]
        # Somebody may have moved it; one more beside it would be a second set of everything.
        if elsewhere and self._parent is None and not any(each["name"] == self.name for each in here):
            raise MetabaseError(
                f"The collection {self.name!r} (id {elsewhere[0]}) lies in another, and is not known to be ours: move "
                "it to the top, or give it another name."
            )
        return here

    def form(self, raw: Mapping[str, Any]) -> Form:
        return normalize.collection(raw)

    def wanted(self, site: MetabaseContext) -> Form:
        return self.form(self._body(site).sent())

    def make(self, site: MetabaseContext) -> int:
        body = self._body(site)
        new = api_models.NewCollection(name=body.name, description=body.description, parent_id=body.parent_id)
        return self.created(site, self.path, new)

    def write(self, site: MetabaseContext) -> None:
        site.server.put(f"{self.path}/{site.known[self.key]}", self._body(site))

    def _body(self, site: MetabaseContext) -> api_models.CollectionUpdate:
        parent = site.known[self._parent] if self._parent else None
        return api_models.CollectionUpdate(
            name=self.name, description=self._description, parent_id=parent, archived=False
        )


class CardResource(ManagedResource):
    """A question; its id of 21 characters is made of its key, so a new name does not make another card of it."""

    path = "/api/card"

    def __init__(self, key: str, name: str, collection: str) -> None:
        super().__init__(key, name)
        self._collection = collection

    @abstractmethod
    def body(self, site: MetabaseContext) -> api_models.CardUpdate:
        """What is wanted of it."""

    def find(self, site: MetabaseContext) -> int | None:
        return self._with_its_id(site) or super().find(site)

    def first(self, site: MetabaseContext) -> int | None:
        return self._with_its_id(site) or super().first(site)

    def _with_its_id(self, site: MetabaseContext) -> int | None:
        found = site.server.find(f"{self.path}/{render.entity_id(self.key)}")
        return found.id if found else None

    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        return [each for each in site.items(self._collection) if each["model"] != "dashboard"]

    def form(self, raw: Mapping[str, Any]) -> Form:
        return normalize.card(raw)

    def wanted(self, site: MetabaseContext) -> Form:
        return self.form(self.body(site).sent())

    def make(self, site: MetabaseContext) -> int:
        given = {key: value for key, value in self.body(site).sent().items() if key != "archived"}
        return self.created(site, self.path, api_models.NewCard(**given, entity_id=render.entity_id(self.key)))

    def write(self, site: MetabaseContext) -> None:
        site.server.put(f"{self.path}/{site.known[self.key]}", self.body(site))


class DashboardCardResource(CardResource):
    """A card of a dashboard."""

    def __init__(self, dashboard: Dashboard, key: str, filters: Mapping[str, Filter]) -> None:
        self._card = dashboard.cards[key]
        self._filters = filters
        super().__init__(render.card_key(dashboard.key, key), self._card.name, "collection")

    def body(self, site: MetabaseContext) -> api_models.CardUpdate:
        return render.card(self.key, self._card, self._filters, site.known)


class FilterCardResource(CardResource):
    """The values that a filter offers."""

    def __init__(self, key: str, wanted: Filter) -> None:
        self._filter = key, wanted
        super().__init__(render.filter_key(key), render.filter_name(key, wanted), "collection behind")

    def body(self, site: MetabaseContext) -> api_models.CardUpdate:
        return render.filter_card(*self._filter, site.known)


class StateCard(CardResource):
    """What was last written."""

    def __init__(self) -> None:
        super().__init__("memory", render.MEMORY, "collection behind")

    def body(self, site: MetabaseContext) -> api_models.CardUpdate:
        told = "Digests of what ai-usage last wrote here, by which it tells an edit by hand from one of its own."
        return render.helper_card(self.key, self.name, told, site.memory.sql(), site.known)

    def recall(self, site: MetabaseContext) -> None:
        """Takes what is remembered from where it is."""
        number = self._with_its_id(site)
        if not number:
            # A version that gives its own ids: it is found by its name, where it lies.
            inner = replace(site, known=IdRegistry())
            for folder in managed_collections():
                inner.known[folder.key] = folder.find(inner) or 0
            number = self.first(inner)
        if number:
            with site.server.reading(f"{self.path}/{number}"):
                site.memory = _remembered(self.form(site.server.get(f"{self.path}/{number}")))

    def merged(self, site: MetabaseContext) -> tuple[Form, Form]:
        """What is wanted of it and what there is; what another run has remembered meanwhile is wanted too."""
        live = self.read(site)
        site.memory = StateStore({**_remembered(live), **site.memory})
        return self.wanted(site), live


def _remembered(form: Form) -> StateStore:
    sql = form["query"]["sql"]
    return StateStore.of(sql if isinstance(sql, str) else "")


class DashboardResource(ManagedResource):
    """A dashboard; its cards must be there before it is written."""

    path = "/api/dashboard"

    def __init__(self, wanted: Dashboard, filters: Mapping[str, Filter]) -> None:
        super().__init__(render.dashboard_key(wanted.key), wanted.name)
        self._wanted = wanted
        self._filters = filters

    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        return [each for each in site.items("collection") if each["model"] == "dashboard"]

    def form(self, raw: Mapping[str, Any]) -> Form:
        return normalize.dashboard(raw)

    def wanted(self, site: MetabaseContext) -> Form:
        return self.form(render.dashboard(self._wanted, self._filters, site.known).sent())

    def make(self, site: MetabaseContext) -> int:
        """Without its cards, which are written afterwards."""
        return self.created(site, self.path, render.new_dashboard(self._wanted, site.known))

    def write(self, site: MetabaseContext) -> None:
        path = f"{self.path}/{site.known[self.key]}"
        live = site.server.get(path)
        with site.server.reading(path):
            body = render.dashboard(self._wanted, self._filters, site.known, live)
        site.server.put(path, body)

    def is_unwritten(self, wanted: Form, live: Form, last: AppliedState | None) -> bool:
        """As the first half of making it leaves it, where the second was interrupted."""
        return not live["cards"] and not live["archived"] and last is None


class GroupResource(ManagedResource):
    """The people who read."""

    path = "/api/permissions/group"

    def __init__(self) -> None:
        super().__init__("group", render.GROUP)

    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        return site.server.listed(self.path)

    def form(self, raw: Mapping[str, Any]) -> Form:
        return normalize.group(raw)

    def wanted(self, site: MetabaseContext) -> Form:
        return self.form(self._body().sent())

    def make(self, site: MetabaseContext) -> int:
        try:
            return self.created(site, self.path, self._body())
        except RequestRejected:
            # Metabase takes no second of a name, and one may have been made meanwhile.
            found = self.named(site)
            if found is None:
                raise
            return found

    def write(self, site: MetabaseContext) -> None:
        site.server.put(f"{self.path}/{site.known[self.key]}", self._body())

    def _body(self) -> api_models.NewGroup:
        return api_models.NewGroup(name=self.name)


class PermissionResource(ManagedResource):
    """What each group of people may; Metabase gives a graph of all, which has a revision."""

    is_always_there = True
    is_exact = True

    def find(self, site: MetabaseContext) -> int | None:
        return 1 if all(site.known[key] for key in self.of) else None

    def candidates(self, site: MetabaseContext) -> Iterable[ApiObject]:
        return []

    def form(self, raw: Mapping[str, Any]) -> Form:
        return dict(raw)

    def read(self, site: MetabaseContext) -> Form:
        """Only groups that may something are told: another group is no difference."""
        groups, graph = site.groups(), self._granted(site.server.get(self.path), site)
        with site.server.reading(self.path):
            told = {name: self.may(graph.get(str(number), {}), site) for name, number in groups.items()}
        return {name: may for name, may in told.items() if may}

    def make(self, site: MetabaseContext) -> int:
        self.write(site)
        return 1

    def write(self, site: MetabaseContext) -> None:
        """Reads, changes and writes; again, when somebody else was quicker."""
        for attempt in range(1, _STALE_ATTEMPTS + 1):
            graph = site.server.get(self.path)
            changed = self.changed(self._granted(graph, site), site)
            try:
                site.server.put(self.path, api_models.Graph(revision=graph["revision"], groups=changed))
            except RequestRejected as error:
                # 400: of a group or a database that was made or ended meanwhile.
                if error.status not in (400, 409) or attempt == _STALE_ATTEMPTS:
                    raise
            else:
                return

    def _granted(self, graph: Mapping[str, Any], site: MetabaseContext) -> dict[str, Any]:
        granted: dict[str, Any] = graph["groups"]
        if not granted:
            raise site.server.unexpected(self.path, "there are no groups in it")
        return granted

    @abstractmethod
    def may(self, granted: Mapping[str, Any], site: MetabaseContext) -> Any:
        """What a group may, of what is managed."""

    @abstractmethod
    def changed(self, groups: Mapping[str, Any], site: MetabaseContext) -> dict[str, dict[str, Any]]:
        """The graph, or the part of it that is written."""


class CollectionPermissions(PermissionResource):
    """Finance reads what is managed; nobody else does, but for administrators."""

    path = "/api/collection/graph"
    of = (*_FOLDERS.values(), "group")

    def __init__(self) -> None:
        super().__init__("access to the collections", render.COLLECTION)

    def wanted(self, site: MetabaseContext) -> Form:
        return {render.GROUP: dict.fromkeys((render.COLLECTION, render.BEHIND), "read")}

    def may(self, granted: Mapping[str, Any], site: MetabaseContext) -> Any:
        # Metabase says no "none", or says it.
        found = {each: granted.get(str(site.known[key]), "none") for each, key in _FOLDERS.items()}
        return {each: may for each, may in found.items() if may != "none"}

    def changed(self, groups: Mapping[str, Any], site: MetabaseContext) -> dict[str, dict[str, Any]]:
        """Only groups that may something else than they shall: some are Metabase's own and better left alone."""
        keys, wanted = [str(site.known[key]) for key in _FOLDERS.values()], self.wanted(site)
        return {
            str(number): dict.fromkeys(keys, "read" if name in wanted else "none")
            for name, number in site.groups().items()
            if self.may(groups.get(str(number), {}), site) != wanted.get(name, {})
        }


class DatabasePermissions(PermissionResource):
    """Nobody but administrators writes queries: what a dashboard asks is asked for its reader."""

    path = "/api/permissions/graph"
    of = ("database",)

    def __init__(self) -> None:
        super().__init__("access to the database", render.DATABASE)

    def wanted(self, site: MetabaseContext) -> Form:
        return {}

    def may(self, granted: Mapping[str, Any], site: MetabaseContext) -> Any:
        given = granted.get(str(site.known["database"]), {})
        # As versions before v50 said it.
        if not given.keys().isdisjoint({"data", "native", "schemas"}):
            raise site.server.unexpected(self.path, f"it says {', '.join(given)}")
        allowed = given.get("create-queries", "no")
        return None if allowed == "no" else allowed

    def changed(self, groups: Mapping[str, Any], site: MetabaseContext) -> dict[str, dict[str, Any]]:
        """All of it, as it was but for one word for each group: that a part is enough is documented nowhere."""
        ours, administrators = str(site.known["database"]), str(ADMINISTRATORS)
        return {
            group: {
                database: {**may, "create-queries": "no"} if database == ours and group != administrators else may
                for database, may in granted.items()
            }
            for group, granted in groups.items()
        }


def managed_collections() -> list[CollectionResource]:
    """The collections, the outer one first."""
    return [
        CollectionResource("collection", render.COLLECTION, "Made by ai-usage: edits by hand are overwritten.", None),
        CollectionResource(
            "collection behind", render.BEHIND, "What the filters offer, and what was last written.", "collection"
        ),
    ]


def build_stages(spec: Spec) -> list[list[ManagedResource]]:
    """Everything that is wanted, but for the memory of it, in the order in which it can be made.

    Metabase lets everybody into a new database and collection: that is ended before there is anything in them, for what
    comes after may fail.
    """
    outer, behind = managed_collections()
    return [
        [DatabaseResource()],
        [DatabasePermissions()],
        [GroupResource()],
        [outer],
        [behind],
        [CollectionPermissions()],
        [FilterCardResource(key, wanted) for key, wanted in spec.filters.items()],
        [DashboardCardResource(each, key, spec.filters) for each in spec.dashboards for key in each.cards],
        [DashboardResource(each, spec.filters) for each in spec.dashboards],
    ]
