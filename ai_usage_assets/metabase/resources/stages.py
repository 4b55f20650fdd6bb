"""The managed resources of a spec in the order of their creation."""

from __future__ import annotations

from ai_usage_assets.metabase.resources.base import ManagedResource
from ai_usage_assets.metabase.resources.card import build_dashboard_card, build_filter_card
from ai_usage_assets.metabase.resources.collection import build_collections
from ai_usage_assets.metabase.resources.dashboard import DashboardResource
from ai_usage_assets.metabase.resources.database import DatabaseResource
from ai_usage_assets.metabase.resources.permissions import CollectionPermissions, DatabasePermissions, GroupResource
from ai_usage_assets.metabase.spec_models import Spec


def build_stages(spec: Spec) -> list[list[ManagedResource]]:
    """Return all resources but the state card, stage by stage.

    Metabase lets everybody read a new database and collection. The permissions come before any content, because a
    later stage may fail.
    """
    outer, support = build_collections()
    return [
        [DatabaseResource()],
        [DatabasePermissions()],
        [GroupResource()],
        [outer],
        [support],
        [CollectionPermissions()],
        [build_filter_card(key, one) for key, one in spec.filters.items()],
        [build_dashboard_card(each, key, spec.filters) for each in spec.dashboards for key in each.cards],
        [DashboardResource(each, spec.filters) for each in spec.dashboards],
    ]
