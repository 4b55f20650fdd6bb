"""Cards of dashboards, cards with the values of filters, and the card that stores the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.client import ApiObject
from ai_usage_assets.metabase.normalize import Normalized, normalize_card
from ai_usage_assets.metabase.render import IdRegistry
from ai_usage_assets.metabase.resources.base import ManagedResource, MetabaseContext
from ai_usage_assets.metabase.resources.collection import build_collections
from ai_usage_assets.metabase.spec_models import Dashboard, Filter
from ai_usage_assets.metabase.state import StateStore


class CardResource(ManagedResource):
    """A card. Its entity id is derived from its key, so that a renamed card stays the same card."""

    path = "/api/card"
    normalize = staticmethod(normalize_card)

    def __init__(self, key: str, name: str, collection: str, body: Callable[[MetabaseContext], render.Body]) -> None:
        super().__init__(key, name)
        self._collection = collection
        self._render = body
        self._entity_id = render.entity_id(key)

    def find(self, context: MetabaseContext) -> int | None:
        return self._find_by_entity_id(context) or super().find(context)

    def find_oldest(self, context: MetabaseContext) -> int | None:
        return self._find_by_entity_id(context) or super().find_oldest(context)

    def _find_by_entity_id(self, context: MetabaseContext) -> int | None:
        card = context.client.find(f"{self.path}/{self._entity_id}")
        return card.id if card else None

    def list_candidates(self, context: MetabaseContext) -> Iterable[ApiObject]:
        return [each for each in context.list_items(self._collection) if each["model"] != "dashboard"]

    def build_body(self, context: MetabaseContext) -> render.Body:
        return self._render(context)

    def create(self, context: MetabaseContext) -> int:
        content = {key: value for key, value in self.build_body(context).items() if key != "archived"}
        return self.create_once(context, {**content, "entity_id": self._entity_id})


def build_dashboard_card(dashboard: Dashboard, name: str, filters: Mapping[str, Filter]) -> CardResource:
    """Return the resource of a dashboard's card."""
    key, card = render.card_key(dashboard.key, name), dashboard.cards[name]
    return CardResource(
        key, card.name, "collection", lambda context: render.render_card(key, card, filters, context.ids)
    )


def build_filter_card(name: str, given: Filter) -> CardResource:
    """Return the resource of the card with a filter's values."""
    title = render.filter_name(name, given)
    return CardResource(
        render.filter_key(name),
        title,
        "support collection",
        lambda context: render.render_support_card(title, "The values of the filter.", given.sql, context.ids),
    )


class StateCard(CardResource):
    """The card that stores the state."""

    def __init__(self) -> None:
        description = "The state of the last `ai-usage metabase apply`, which detects manual edits."
        super().__init__(
            "state",
            render.STATE,
            "support collection",
            lambda context: render.render_support_card(self.name, description, context.state.to_sql(), context.ids),
        )
        # The first version used the key "memory"; state that it stored must be found.
        self._entity_id = render.entity_id("memory")

    def load(self, context: MetabaseContext) -> None:
        """Load the state into the context."""
        number = self._find_by_entity_id(context)
        if not number:
            # This version assigns its own entity ids: find the card by name in its collection.
            inner = replace(context, ids=IdRegistry())
            for collection in build_collections():
                inner.ids[collection.key] = collection.find(inner) or 0
            number = self.find_oldest(inner)
        context.ids[self.key] = number or 0
        if number:
            path = f"{self.path}/{number}"
            raw = context.client.get(path)
            with context.client.parsing(path):
                context.state = _parse_state(self.normalize(raw))

    def merge(self, context: MetabaseContext) -> tuple[Normalized, Normalized]:
        """Merge the state that a concurrent run stored in the meantime. Returns the desired and the live card."""
        live = self.read_live(context)
        context.state = StateStore({**_parse_state(live), **context.state})
        return self.build_desired(context), live


def _parse_state(card: Normalized) -> StateStore:
    return StateStore.from_sql(card["query"]["sql"])
