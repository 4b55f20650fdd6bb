"""The base class of managed resources, and the Metabase they belong to.

A resource is identified by the id in the state; a card also by the entity id derived from its key; otherwise by its
name, which must be unique in its collection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from ai_usage_assets.metabase.client import ApiObject, Body, MetabaseClient, MetabaseError
from ai_usage_assets.metabase.credentials import ADMINISTRATORS
from ai_usage_assets.metabase.normalize import Normalized
from ai_usage_assets.metabase.render import IdRegistry
from ai_usage_assets.metabase.state import AppliedState, StateStore

_GROUPS = "/api/permissions/group"


@dataclass
class MetabaseContext:
    """A Metabase, the dataset it shows, and the known ids and state of its objects."""

    client: MetabaseClient
    project: str
    dataset: str
    # The JSON key with which Metabase queries BigQuery; None keeps the current one.
    service_account: str | None = field(default=None, repr=False)
    ids: IdRegistry = field(default_factory=IdRegistry)
    state: StateStore = field(default_factory=StateStore)

    def list_groups(self) -> dict[str, int]:
        """Return the id of each permissions group by name, without Administrators."""
        groups = self.client.get_list(_GROUPS)
        # An empty list would grant nobody anything.
        if ADMINISTRATORS not in (each.id for each in groups):
            raise self.client.unexpected(_GROUPS, "the group Administrators is missing")
        return {each["name"]: each.id for each in groups if each.id != ADMINISTRATORS}

    def list_items(self, collection: str) -> list[ApiObject]:
        """Return the cards and dashboards of a managed collection, each with `id`, `model` and `name`."""
        if not self.ids[collection]:
            return []
        query = urlencode([("models", each) for each in ("card", "dataset", "metric", "dashboard")])
        return self.client.get_list(f"/api/collection/{self.ids[collection]}/items?{query}")


class ManagedResource(ABC):
    """One object that should exist in Metabase."""

    # The API path of this kind of object.
    path: str
    # Whether Metabase has it from the start, with content of its own.
    is_builtin = False
    # Whether content that exists only in Metabase counts as a difference.
    is_exact = False
    # The keys of the resources that it belongs to. If one of them is created again, so is this one.
    belongs_to: tuple[str, ...] = ()

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name

    @staticmethod
    @abstractmethod
    def normalize(raw: Mapping[str, Any]) -> Normalized:
        """Normalize a response or a request body for comparison."""

    @abstractmethod
    def build_body(self, context: MetabaseContext) -> Body:
        """Return the request body with the desired content."""

    def build_desired(self, context: MetabaseContext) -> Normalized:
        """Return the desired content, normalized."""
        return self.normalize(self.build_body(context))

    def create(self, context: MetabaseContext) -> int:
        """Create the object and return its id."""
        return self.create_once(context, self.build_body(context))

    def update(self, context: MetabaseContext) -> None:
        """Write the desired content."""
        context.client.put(self.object_path(context), self.build_body(context))

    def list_candidates(self, context: MetabaseContext) -> Iterable[ApiObject]:
        """Return the objects among which it is searched by name, each with `id` and `name`."""
        return context.client.get_list(self.path)

    def find(self, context: MetabaseContext) -> int | None:
        """Return the id of the existing object. Raises MetabaseError if its name is not unique."""
        last = context.state.get(self.key)
        if last and context.client.find(f"{self.path}/{last.id}"):
            return last.id
        return self.find_by_name(context)

    def find_by_name(self, context: MetabaseContext) -> int | None:
        """Return the id of the object with the resource's name. Raises MetabaseError if there are several."""
        ids = self._list_ids(context)
        if len(ids) > 1:
            # A concurrent run may be about to remove its duplicate.
            context.client.pause()
            ids = self._list_ids(context)
        if len(ids) > 1:
            raise MetabaseError(
                f"{len(ids)} objects have the name {self.name!r} (ids {', '.join(map(str, ids))}). Rename all but the "
                "managed one in Metabase."
            )
        return ids[0] if ids else None

    def find_oldest(self, context: MetabaseContext) -> int | None:
        """Return the lowest id among the objects with the resource's name."""
        return min(self._list_ids(context), default=None)

    def _list_ids(self, context: MetabaseContext) -> list[int]:
        return [each.id for each in self.list_candidates(context) if each["name"] == self.name]

    def read_live(self, context: MetabaseContext) -> Normalized:
        """Return the current content, normalized."""
        path = self.object_path(context)
        raw = context.client.get(path)
        with context.client.parsing(path):
            return self.normalize(raw)

    def object_path(self, context: MetabaseContext) -> str:
        """Return the API path of the existing object."""
        return f"{self.path}/{context.ids[self.key]}"

    def describe_target_change(self, desired: Normalized, live: Normalized) -> str:
        """Describe the change if readers would then see the data of another project or dataset; empty otherwise."""
        return ""

    def is_uninitialized(self, desired: Normalized, live: Normalized, last: AppliedState | None) -> bool:
        """Return whether the object still has the content with which Metabase created it."""
        return self.is_builtin and last is None

    def create_once(self, context: MetabaseContext, body: Body) -> int:
        """Create the object with a POST and return its id, without leaving duplicates.

        After a lost response, an existing object of the name is used. If a concurrent run created one first, that one
        is used and the duplicate is discarded.
        """

        def find_existing() -> ApiObject | None:
            oldest = self.find_oldest(context)
            return None if oldest is None else ApiObject(self.path, {"id": oldest})

        created = context.client.create(self.path, body, find_existing).id
        oldest = self.find_oldest(context)
        if oldest is not None and oldest < created:
            self.discard(context, created)
            return oldest
        return created

    def discard(self, context: MetabaseContext, number: int) -> None:
        """Remove a duplicate that was just created."""
        context.client.put(f"{self.path}/{number}", {"archived": True})
