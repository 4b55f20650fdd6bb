"""Turn the dashboards of the spec into the request bodies that create them in Metabase.

Metabase ignores keys it does not know. Apply reads every object back and reports a key that was ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from uuid import UUID, uuid5

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.metabase.card_settings import column_key
from ai_usage_assets.metabase.spec_models import (
    GRID_COLUMNS,
    Card,
    CardColumn,
    CardRow,
    Click,
    Dashboard,
    Filter,
    NumberFormat,
    Tab,
    value_column,
)
from ai_usage_assets.registry import SOURCES

DATABASE = "AI usage (BigQuery)"
COLLECTION = "AI usage (managed as code)"
SUPPORT_COLLECTION = "Filter values and state"
GROUP = "AI finance"
# Metabase shows this instead of a secret, and keeps the secret when it receives it.
MASK = "**MetabasePass**"
STATE = "ai-usage state (do not edit)"

# The series colors of vendors, in the order of the registry. Readable on white, also with color blindness.
VENDOR_COLORS = ("#B4592A", "#2563A8", "#55742F", "#7A4FA3", "#B8860B", "#1F7A7A")
_TAGS = UUID("6f0c5d0e-6c1f-4c43-9a5e-0b5b0f0d7a11")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_USD = {"number_style": "currency", "currency": "USD", "currency_style": "symbol"}
# Metabase's settings for each number format.
NUMBER_FORMATS: Mapping[NumberFormat, Mapping[str, Any]] = {
    "usd": {**_USD, "decimals": 0},
    "cents": {**_USD, "decimals": 2},
    "unit_usd": {**_USD, "decimals": 4},
    "percent": {"number_style": "percent", "decimals": 1},
    "count": {"number_style": "decimal", "decimals": 0},
    "number": {"number_style": "decimal"},
}


Body = dict[str, Any]


class IdRegistry(dict[str, int]):
    """The ids of Metabase's objects by resource key; 0 for an object that does not exist yet."""

    def __missing__(self, key: str) -> int:
        return 0


def card_key(dashboard: str, card: str) -> str:
    """Return the resource key of a card."""
    return f"card {dashboard}.{card}"


def dashboard_key(dashboard: str) -> str:
    """Return the resource key of a dashboard."""
    return f"dashboard {dashboard}"


def filter_key(name: str) -> str:
    """Return the resource key of the card with a filter's values."""
    return f"filter {name}"


def filter_name(key: str, given: Filter) -> str:
    """Return the name of the card with a filter's values."""
    return f"Values of the filter {given.name} ({key})"


def entity_id(key: str) -> str:
    """Return the permanent id of a card, 21 letters and digits derived from its key: a new name keeps it."""
    number = int(sha256_hex(f"ai-usage:{key}"), 16)
    digits = ""
    while len(digits) < 21:
        number, digit = divmod(number, len(_DIGITS))
        digits += _DIGITS[digit]
    return digits


def render_database(project: str, dataset: str, service_account: str | None) -> Body:
    """Render the connection to a dataset. Without a key, Metabase keeps the one it has."""
    details = {
        "project-id": project,
        "service-account-json": service_account or MASK,
        "dataset-filters-type": "inclusion",
        "dataset-filters-patterns": dataset,
        "use-jvm-timezone": False,
        # A user comment in each query would defeat BigQuery's result cache.
        "include-user-id-and-hash": False,
    }
    return {"name": DATABASE, "engine": "bigquery-cloud-sdk", "details": details, "auto_run_queries": True}


def render_card(key: str, card: Card, filters: Mapping[str, Filter], ids: IdRegistry) -> Body:
    """Render a card of a dashboard."""
    tags, parameters = {}, []
    for name in card.variables:
        tag_id, title = str(uuid5(_TAGS, f"{key}/{name}")), filters[name].name
        tags[name] = {"id": tag_id, "name": name, "display-name": title, "type": "text", "required": False}
        parameters.append({"id": tag_id, "name": title, "slug": name, "type": "string/=", "target": _variable(name)})
    return {
        "name": card.name,
        "description": card.description,
        "display": card.display,
        "type": "question",
        "dataset_query": _render_query(card.sql, tags, ids),
        "visualization_settings": render_settings(card),
        "parameters": parameters,
        "collection_id": ids["collection"],
        "archived": False,
    }


def render_support_card(name: str, description: str, sql: str, ids: IdRegistry) -> Body:
    """Render a table without filters that is on no dashboard."""
    return {
        "name": name,
        "description": description,
        "display": "table",
        "type": "question",
        "dataset_query": _render_query(sql, {}, ids),
        "visualization_settings": {},
        "parameters": [],
        "collection_id": ids["support collection"],
        "archived": False,
    }


def _render_query(sql: str, tags: Body, ids: IdRegistry) -> Body:
    stage = {"lib/type": "mbql.stage/native", "native": sql, "template-tags": tags}
    return {"lib/type": "mbql/query", "database": ids["database"], "stages": [stage]}


def render_settings(card: Card) -> Body:
    """Render `visualization_settings`: titles and formats of the columns, overlaid with the card's own settings."""
    settings = dict(card.settings)
    if card.display == "table":
        # Metabase pivots a table of three columns by default.
        settings = {"table.pivot": False, **settings}
    columns = {column_key(name): _render_column(column) for name, column in card.columns.items()}
    series: dict[str, Body] = {}
    dimensions = settings.get("graph.dimensions", ())
    if len(dimensions) == 1:
        titles = {name: card.columns[name].title for name in settings["graph.metrics"] if name in card.columns}
        series = {name: {"title": title} for name, title in titles.items() if title}
    if card.series_by == "vendor":
        series = {entry.label: {"color": color} for entry, color in zip(SOURCES, cycle(VENDOR_COLORS), strict=False)}
    for name, defaults in (("column_settings", columns), ("series_settings", series)):
        if merged := _overlay(defaults, settings.get(name, {})):
            settings[name] = merged
    return settings


def _render_column(column: CardColumn) -> Body:
    settings = dict(NUMBER_FORMATS[column.format]) if column.format else {}
    if column.title:
        settings["column_title"] = column.title
    if column.mini_bar:
        settings["show_mini_bar"] = True
    return settings


def _overlay(under: Mapping[str, Body], over: Mapping[str, Body]) -> dict[str, Body]:
    merged = {key: {**under.get(key, {}), **over.get(key, {})} for key in {**under, **over}}
    return {key: values for key, values in merged.items() if values}


@dataclass(frozen=True)
class GridPosition:
    """The place of a card on a tab. Without a card key, `settings` hold a text."""

    tab: str
    row: int
    col: int
    size_x: int
    size_y: int
    card: str | None
    settings: Body


def grid_positions(tab: Tab) -> Iterator[GridPosition]:
    """Yield the positions on a tab in reading order."""
    top = 0
    for row in tab.rows:
        left = 0
        if isinstance(row, CardRow):
            for placed in row.cards:
                yield GridPosition(tab.name, top, left, placed.width, row.height, placed.card, {})
                left += placed.width
        else:
            display = "text" if row.heading is None else "heading"
            settings = {
                "virtual_card": {"display": display, "dataset_query": {}, "visualization_settings": {}},
                "text": row.heading or row.text,
                "dashcard.background": False,
            }
            yield GridPosition(tab.name, top, 0, GRID_COLUMNS, row.height, None, settings)
        top += row.height


def render_dashboard(
    dashboard: Dashboard, filters: Mapping[str, Filter], ids: IdRegistry, live: Mapping[str, Any] | None = None
) -> Body:
    """Render a dashboard. Tabs and dashcards of `live`, its current state in Metabase, keep their ids.

    Metabase deletes the tabs and dashcards that are not in the body.
    A dashboard with one tab has no tabs in Metabase, which would otherwise show a single tab.
    """
    parts = _PartIds(live or {})
    names = [tab.name for tab in dashboard.tabs] if len(dashboard.tabs) > 1 else []
    tab_ids = parts.assign_tabs(names)
    return {
        "name": dashboard.name,
        "description": dashboard.description,
        "collection_id": ids["collection"],
        "width": "full",
        "auto_apply_filters": True,
        "archived": False,
        "parameters": [_render_filter(key, filters[key], ids) for key in dashboard.filters],
        "tabs": [{"id": number, "name": name} for name, number in tab_ids.items()],
        "dashcards": [
            _render_dashcard(position, dashboard, ids, parts, tab_ids.get(tab.name))
            for tab in dashboard.tabs
            for position in grid_positions(tab)
        ],
    }


class _PartIds:
    """The ids of a dashboard's existing tabs and dashcards, and negative ids for new ones."""

    def __init__(self, live: Mapping[str, Any]) -> None:
        self._tabs = {tab["name"]: tab["id"] for tab in live.get("tabs") or []}
        self._dashcards: dict[Any, list[int]] = {}
        for each in live.get("dashcards") or []:
            content = each.get("card_id") or (each.get("visualization_settings") or {}).get("text")
            self._dashcards.setdefault(content, []).append(each["id"])
        self._new = 0

    def assign_tabs(self, names: Sequence[str]) -> dict[str, int]:
        """Return the id of each tab. A new name reuses a removed tab's id: deleting a tab deletes its dashcards."""
        removed = [number for name, number in self._tabs.items() if name not in names]
        ids = {}
        for name in names:
            ids[name] = self._tabs[name] if name in self._tabs else removed.pop(0) if removed else self._next()
        return ids

    def assign_dashcard(self, content: int | str) -> int:
        """Return the id of a dashcard with this card id or text."""
        return self._dashcards[content].pop(0) if self._dashcards.get(content) else self._next()

    def _next(self) -> int:
        self._new -= 1
        return self._new


def _render_dashcard(
    position: GridPosition, dashboard: Dashboard, ids: IdRegistry, parts: _PartIds, tab: int | None
) -> Body:
    settings, mappings, card_id = position.settings, list[Body](), None
    if position.card:
        card = dashboard.cards[position.card]
        card_id = ids[card_key(dashboard.key, position.card)]
        settings = _render_click(card, ids)
        mappings = [{"parameter_id": name, "card_id": card_id, "target": _variable(name)} for name in card.variables]
    return {
        "id": parts.assign_dashcard(card_id or position.settings.get("text", "")),
        "card_id": card_id,
        "dashboard_tab_id": tab,
        "row": position.row,
        "col": position.col,
        "size_x": position.size_x,
        "size_y": position.size_y,
        "parameter_mappings": mappings,
        "visualization_settings": settings,
    }


def _variable(name: str) -> list[Any]:
    """Return Metabase's reference to a card's variable."""
    return ["variable", ["template-tag", name]]


def _render_click(card: Card, ids: IdRegistry) -> Body:
    if not card.click:
        return {}
    behavior = _render_behavior(card.click, ids)
    if card.display != "table":
        return {"click_behavior": behavior}
    # In a table, the columns are clickable instead of the card.
    columns = sorted(set(card.click.filters.values()))
    return {"column_settings": {column_key(column): {"click_behavior": behavior} for column in columns}}


def _render_behavior(click: Click, ids: IdRegistry) -> Body:
    mapping = {
        name: {
            "id": name,
            "source": {"type": "column", "id": column, "name": column},
            "target": {"type": "parameter", "id": name},
        }
        for name, column in click.filters.items()
    }
    if click.dashboard is None:
        return {"type": "crossfilter", "parameterMapping": mapping}
    target = ids[dashboard_key(click.dashboard)]
    return {"type": "link", "linkType": "dashboard", "targetId": target, "parameterMapping": mapping}


def _render_filter(key: str, given: Filter, ids: IdRegistry) -> Body:
    field = ["field", value_column(key, given), {"base-type": "type/Text"}]
    return {
        "id": key,
        "name": given.name,
        "slug": key,
        "type": "string/=",
        "sectionId": "string",
        "isMultiSelect": given.multiple,
        "values_query_type": "list",
        "values_source_type": "card",
        "values_source_config": {"card_id": ids[filter_key(key)], "value_field": field},
    }
