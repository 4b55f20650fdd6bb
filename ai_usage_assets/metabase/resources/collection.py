"""The managed collections. All other collections are never changed."""

from __future__ import annotations

from collections.abc import Iterable

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.client import ApiObject, MetabaseError
from ai_usage_assets.metabase.normalize import normalize_collection, parent_ids
from ai_usage_assets.metabase.resources.base import ManagedResource, MetabaseContext


class CollectionResource(ManagedResource):
    """A collection."""

    path = "/api/collection"
    normalize = staticmethod(normalize_collection)

    def __init__(self, key: str, name: str, description: str, parent: str | None) -> None:
        super().__init__(key, name)
        self._description = description
        self._parent = parent

    def list_candidates(self, context: MetabaseContext) -> Iterable[ApiObject]:
        parent = context.ids[self._parent] if self._parent else None
        if parent == 0:
            return []
        listed = [each for each in context.client.get_list(self.path) if isinstance(each["id"], int)]
        # Personal collections and the trash, with everything in them.
        excluded = {each["id"] for each in listed if each.get("personal_owner_id") or each.get("type") == "trash"}
        shared = [each for each in listed if excluded.isdisjoint({each["id"], *parent_ids(each)})]
        here = [each for each in shared if self.normalize(each)["parent"] == parent]
        elsewhere = [each["id"] for each in shared if each["name"] == self.name and each not in here]
        # It may have been moved. Creating another one would duplicate everything.
        if elsewhere and self._parent is None and not any(each["name"] == self.name for each in here):
            raise MetabaseError(
                f"The collection {self.name!r} (id {elsewhere[0]}) is inside another collection and is not in the "
                "state: move it to the top level or rename it."
            )
        return here

    def update(self, context: MetabaseContext) -> None:
        context.client.put(self.object_path(context), {**self.build_body(context), "archived": False})

    def build_body(self, context: MetabaseContext) -> render.Body:
        parent = context.ids[self._parent] if self._parent else None
        return {"name": self.name, "description": self._description, "parent_id": parent}


def build_collections() -> list[CollectionResource]:
    """Return the managed collections, the outer one first."""
    return [
        CollectionResource(
            "collection", render.COLLECTION, "Managed by ai-usage: apply overwrites manual edits.", None
        ),
        CollectionResource(
            "support collection",
            render.SUPPORT_COLLECTION,
            "The values of the filters and the state of ai-usage.",
            "collection",
        ),
    ]
