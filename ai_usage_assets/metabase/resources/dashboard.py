"""Dashboards. Their cards must exist before a dashboard is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.client import ApiObject
from ai_usage_assets.metabase.normalize import Normalized, normalize_dashboard
from ai_usage_assets.metabase.resources.base import ManagedResource, MetabaseContext
from ai_usage_assets.metabase.spec_models import Dashboard, Filter
from ai_usage_assets.metabase.state import AppliedState


class DashboardResource(ManagedResource):
    """A dashboard with its tabs, dashcards and filters."""

    path = "/api/dashboard"
    normalize = staticmethod(normalize_dashboard)

    def __init__(self, dashboard: Dashboard, filters: Mapping[str, Filter]) -> None:
        super().__init__(render.dashboard_key(dashboard.key), dashboard.name)
        self._dashboard = dashboard
        self._filters = filters

    def list_candidates(self, context: MetabaseContext) -> Iterable[ApiObject]:
        return [each for each in context.list_items("collection") if each["model"] == "dashboard"]

    def build_body(self, context: MetabaseContext) -> render.Body:
        return render.render_dashboard(self._dashboard, self._filters, context.ids)

    def create(self, context: MetabaseContext) -> int:
        """Create the dashboard without its cards, which the following update adds."""
        body = {
            "name": self.name,
            "description": self._dashboard.description,
            "collection_id": context.ids["collection"],
        }
        return self.create_once(context, body)

    def update(self, context: MetabaseContext) -> None:
        path = self.object_path(context)
        live = context.client.get(path)
        with context.client.parsing(path):
            body = render.render_dashboard(self._dashboard, self._filters, context.ids, live)
        context.client.put(path, body)

    def is_uninitialized(self, desired: Normalized, live: Normalized, last: AppliedState | None) -> bool:
        """Return True for an empty dashboard, which an interrupted apply leaves."""
        return not live["cards"] and not live["archived"] and last is None
