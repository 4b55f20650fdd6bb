"""The readers' group and the permissions of all groups.

Metabase returns the permissions of all groups as one graph with a revision; writing an old revision fails.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.client import RequestRejected
from ai_usage_assets.metabase.credentials import ADMINISTRATORS
from ai_usage_assets.metabase.normalize import Normalized, normalize_group
from ai_usage_assets.metabase.resources.base import ManagedResource, MetabaseContext

# Somebody else may be changing permissions at the same time.
_MAX_ATTEMPTS = 5
# Collection name -> resource key.
_COLLECTIONS = {render.COLLECTION: "collection", render.SUPPORT_COLLECTION: "support collection"}


class GroupResource(ManagedResource):
    """The group of the readers. Its members are managed in Metabase."""

    path = "/api/permissions/group"
    normalize = staticmethod(normalize_group)

    def __init__(self) -> None:
        super().__init__("group", render.GROUP)

    def build_body(self, context: MetabaseContext) -> render.Body:
        return {"name": self.name}

    def create(self, context: MetabaseContext) -> int:
        try:
            return super().create(context)
        except RequestRejected:
            # Group names are unique, and a concurrent run may have created it.
            existing = self.find_by_name(context)
            if existing is None:
                raise
            return existing


class PermissionResource(ManagedResource):
    """A permission graph, reduced to the managed objects."""

    is_builtin = True
    is_exact = True

    @abstractmethod
    def read_permission(self, granted: Mapping[str, Any], context: MetabaseContext) -> Any:
        """Return what a group may do with the managed objects; a false value for nothing."""

    @abstractmethod
    def change_graph(self, groups: Mapping[str, Any], context: MetabaseContext) -> dict[str, dict[str, Any]]:
        """Return the part of the graph to write."""

    @staticmethod
    def normalize(raw: Mapping[str, Any]) -> Normalized:
        return dict(raw)

    def find(self, context: MetabaseContext) -> int | None:
        return 1 if all(context.ids[key] for key in self.belongs_to) else None

    def read_live(self, context: MetabaseContext) -> Normalized:
        """Return the permissions of the groups that have any, so that a new group is not a difference."""
        groups, graph = context.list_groups(), self._read_groups(context.client.get(self.path), context)
        with context.client.parsing(self.path):
            permissions = {
                name: self.read_permission(graph.get(str(number), {}), context) for name, number in groups.items()
            }
        return {name: permission for name, permission in permissions.items() if permission}

    def create(self, context: MetabaseContext) -> int:
        self.update(context)
        return 1

    def update(self, context: MetabaseContext) -> None:
        """Read, change and write the graph; again after a concurrent change."""
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            graph = context.client.get(self.path)
            changed = self.change_graph(self._read_groups(graph, context), context)
            try:
                context.client.put(self.path, {"revision": graph["revision"], "groups": changed})
            except RequestRejected as error:
                # 400: a group or database was added or removed meanwhile.
                if error.status not in (400, 409) or attempt == _MAX_ATTEMPTS:
                    raise
            else:
                return

    def _read_groups(self, graph: Mapping[str, Any], context: MetabaseContext) -> dict[str, Any]:
        groups: dict[str, Any] = graph["groups"]
        if not groups:
            raise context.client.unexpected(self.path, "the graph has no groups")
        return groups


class CollectionPermissions(PermissionResource):
    """The readers' group may read the managed collections; other groups may not."""

    path = "/api/collection/graph"
    belongs_to = (*_COLLECTIONS.values(), "group")

    def __init__(self) -> None:
        super().__init__("collection permissions", render.COLLECTION)

    def build_body(self, context: MetabaseContext) -> render.Body:
        return {render.GROUP: dict.fromkeys(_COLLECTIONS, "read")}

    def read_permission(self, granted: Mapping[str, Any], context: MetabaseContext) -> Any:
        # Metabase leaves "none" out, or writes it.
        permissions = {name: granted.get(str(context.ids[key]), "none") for name, key in _COLLECTIONS.items()}
        return {name: permission for name, permission in permissions.items() if permission != "none"}

    def change_graph(self, groups: Mapping[str, Any], context: MetabaseContext) -> dict[str, dict[str, Any]]:
        """Return only the groups whose permissions differ: some groups are Metabase's own."""
        numbers, desired = [str(context.ids[key]) for key in _COLLECTIONS.values()], self.build_desired(context)
        return {
            str(number): dict.fromkeys(numbers, "read" if name in desired else "none")
            for name, number in context.list_groups().items()
            if self.read_permission(groups.get(str(number), {}), context) != desired.get(name, {})
        }


class DatabasePermissions(PermissionResource):
    """Only administrators may write queries. Dashboards query the database on behalf of their readers."""

    path = "/api/permissions/graph"
    belongs_to = ("database",)

    def __init__(self) -> None:
        super().__init__("database permissions", render.DATABASE)

    def build_body(self, context: MetabaseContext) -> render.Body:
        return {}

    def read_permission(self, granted: Mapping[str, Any], context: MetabaseContext) -> Any:
        permissions = granted.get(str(context.ids["database"]), {})
        # The keys of versions before v50.
        if not permissions.keys().isdisjoint({"data", "native", "schemas"}):
            raise context.client.unexpected(self.path, f"it has the keys {', '.join(permissions)}")
        queries = permissions.get("create-queries", "no")
        return None if queries == "no" else queries

    def change_graph(self, groups: Mapping[str, Any], context: MetabaseContext) -> dict[str, dict[str, Any]]:
        """Return the complete graph with queries revoked; it is not documented whether a part is sufficient."""
        managed, administrators = str(context.ids["database"]), str(ADMINISTRATORS)
        return {
            group: {
                database: {**permissions, "create-queries": "no"}
                if database == managed and group != administrators
                else permissions
                for database, permissions in granted.items()
            }
            for group, granted in groups.items()
        }
