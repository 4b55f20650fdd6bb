"""From the dashboards that are wanted to the bodies that bring them into a Metabase.

Belongs here: names and ids that stay, the grid, filters, clicks, forms of numbers. Does not: which keys Metabase takes
(`bodies`), asking (`server`), comparing (`plan`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.metabase.api_models import (
    BigQueryDetails,
    CardUpdate,
    Chosen,
    DashboardTab,
    DashboardUpdate,
    Dashcard,
    DashcardQuery,
    NewDashboard,
    Parameter,
    ParameterMapping,
    Query,
    Stage,
    Tag,
    ValuesSource,
)
from ai_usage_assets.metabase.spec import (
    COLUMNS,
    Card,
    CardRow,
    Click,
    Column,
    Dashboard,
    Filter,
    NumberFormat,
    Tab,
    column_key,
    value_column,
)
from ai_usage_assets.metabase.sql_template import find_variables

DATABASE = "AI usage (BigQuery)"
COLLECTION = "AI usage (managed as code)"
BEHIND = "Behind the dashboards"
GROUP = "AI finance"
MASK = "**MetabasePass**"
MEMORY = "What ai-usage last wrote (do not edit)"

_TAGS = UUID("6f0c5d0e-6c1f-4c43-9a5e-0b5b0f0d7a11")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class IdRegistry(dict[str, int]):
    """The ids of what is there, by key; 0 for what is not."""

    def __missing__(self, key: str) -> int:
        return 0


def details(project: str, dataset: str, service_account: str | None) -> BigQueryDetails:
    """The way to a dataset; without a key, with the one that Metabase has."""
    return BigQueryDetails(
        project_id=project,
        service_account_json=service_account or MASK,
        dataset_filters_type="inclusion",
        dataset_filters_patterns=dataset,
        use_jvm_timezone=False,
        include_user_id_and_hash=False,
    )


def entity_id(key: str) -> str:
    """A card's id that stays, whatever it is called: 21 letters and digits."""
    number = int(sha256_hex(f"ai-usage:{key}"), 16)
    digits = ""
    while len(digits) < 21:
        number, digit = divmod(number, len(_DIGITS))
        digits += _DIGITS[digit]
    return digits


def card(key: str, wanted: Card, filters: Mapping[str, Filter], known: IdRegistry) -> CardUpdate:
    """A card of a dashboard."""
    return _card(
        key,
        known,
        name=wanted.name,
        description=wanted.description,
        display=wanted.display,
        sql=wanted.sql,
        titles={name: filters[name].name for name in wanted.variables},
        settings=appearance(wanted),
        collection="collection",
    )


def filter_card(key: str, wanted: Filter, known: IdRegistry) -> CardUpdate:
    """The card whose rows a filter offers."""
    return helper_card(filter_key(key), filter_name(key, wanted), "What the filter offers.", wanted.sql, known)


def filter_name(key: str, wanted: Filter) -> str:
    """What the card of a filter is called."""
    return f"Values of the filter {wanted.name} ({key})"


def helper_card(key: str, name: str, description: str, sql: str, known: IdRegistry) -> CardUpdate:
    """A table that nobody is meant to look at."""
    return _card(
        key,
        known,
        name=name,
        description=description,
        display="table",
        sql=sql,
        titles={},
        settings={},
        collection="collection behind",
    )


def _card(
    key: str,
    known: IdRegistry,
    *,
    name: str,
    description: str,
    display: str,
    sql: str,
    titles: Mapping[str, str],
    settings: dict[str, Any],
    collection: str,
) -> CardUpdate:
    tags = {
        tag: Tag(
            id=str(uuid5(_TAGS, f"{key}/{tag}")),
            name=tag,
            display_name=titles.get(tag, tag),
            type="text",
            required=False,
        )
        for tag in find_variables(sql)
    }
    query = Query(
        lib_type="mbql/query",
        database=known["database"],
        stages=[Stage(lib_type="mbql.stage/native", native=sql, template_tags=tags)],
    )
    parameters = [
        Parameter(
            id=tag.id,
            name=tag.display_name,
            slug=tag.name,
            type="string/=",
            target=_variable(tag.name),
        )
        for tag in tags.values()
    ]
    return CardUpdate(
        name=name,
        description=description,
        display=display,
        type="question",
        dataset_query=query,
        visualization_settings=settings,
        parameters=parameters,
        collection_id=known[collection],
        archived=False,
    )


# How Metabase is told to write numbers; the preview reads it too.
FORMS: Mapping[NumberFormat, Mapping[str, Any]] = {
    "usd": {"number_style": "currency", "currency": "USD", "currency_style": "symbol", "decimals": 0},
    "cents": {"number_style": "currency", "currency": "USD", "currency_style": "symbol", "decimals": 2},
    "unit_usd": {"number_style": "currency", "currency": "USD", "currency_style": "symbol", "decimals": 4},
    "percent": {"number_style": "percent", "decimals": 1},
    "count": {"number_style": "decimal", "decimals": 0},
    "number": {"number_style": "decimal"},
}


def appearance(wanted: Card) -> dict[str, Any]:
    """A card's visualization_settings: as written, and the forms and titles of its columns."""
    # Of a table with three columns Metabase would make a pivot unasked.
    settings = {"table.pivot": False, **wanted.settings} if wanted.display == "table" else dict(wanted.settings)
    columns = {column_key(name): _of_column(column) for name, column in wanted.columns.items()}
    if columns := _laid_over(columns, settings.get("column_settings", {})):
        settings["column_settings"] = columns
    # A series has the name of its column, unless it is one of several values of a second dimension.
    if len(settings.get("graph.dimensions", ())) == 1:
        titles = {
            name: {"title": wanted.columns[name].title}
            for name in settings.get("graph.metrics", ())
            if name in wanted.columns and wanted.columns[name].title
        }
        if series := _laid_over(titles, settings.get("series_settings", {})):
            settings["series_settings"] = series
    return settings


def _of_column(column: Column) -> dict[str, Any]:
    settings = dict(FORMS[column.form]) if column.form else {}
    if column.title:
        settings["column_title"] = column.title
    if column.mini_bar:
        settings["show_mini_bar"] = True
    return settings


def _laid_over(under: Mapping[str, dict[str, Any]], over: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: {**under.get(key, {}), **over.get(key, {})} for key in {**under, **over}}


@dataclass(frozen=True)
class Place:
    """Where something stands on a tab: a card's key, or the settings of words."""

    tab: str
    row: int
    col: int
    size_x: int
    size_y: int
    card: str | None
    words: dict[str, Any]


def places(tab: Tab) -> Iterator[Place]:
    """The grid of a tab, in reading order."""
    top = 0
    for row in tab.rows:
        left = 0
        if isinstance(row, CardRow):
            for placed in row.cards:
                yield Place(tab.name, top, left, placed.width, row.height, placed.card, {})
                left += placed.width
        else:
            display = "text" if row.heading is None else "heading"
            words = {
                "virtual_card": {"display": display, "dataset_query": {}, "visualization_settings": {}},
                "text": row.text if row.heading is None else row.heading,
                "dashcard.background": False,
            }
            yield Place(tab.name, top, 0, COLUMNS, row.height, None, words)
        top += row.height


def dashboard_description(wanted: Dashboard) -> str:
    """The question it answers, and whose it is."""
    return f"{wanted.question} For: {wanted.reader}."


def new_dashboard(wanted: Dashboard, known: IdRegistry) -> NewDashboard:
    """The dashboard before it has cards."""
    return NewDashboard(name=wanted.name, description=dashboard_description(wanted), collection_id=known["collection"])


def dashboard(
    wanted: Dashboard, filters: Mapping[str, Filter], known: IdRegistry, live: Mapping[str, Any] | None = None
) -> DashboardUpdate:
    """A dashboard; tabs and cards that are there (`live`, as Metabase gives it) keep their ids.

    A dashboard of one tab has none: Metabase would show a lonely one.
    """
    there = _Ids(live or {})
    names = [tab.name for tab in wanted.tabs] if len(wanted.tabs) > 1 else []
    tabs = [DashboardTab(id=number, name=name) for name, number in there.tabs(names).items()]
    tab_ids = {tab.name: tab.id for tab in tabs}
    dashcards = [
        _dashcard(place, wanted, known, there, tab_ids.get(place.tab)) for tab in wanted.tabs for place in places(tab)
    ]
    return DashboardUpdate(
        name=wanted.name,
        description=dashboard_description(wanted),
        collection_id=known["collection"],
        width="full",
        auto_apply_filters=True,
        archived=False,
        parameters=[_parameter(key, filters[key], known) for key in wanted.filters],
        tabs=tabs,
        dashcards=dashcards,
    )


class _Ids:
    """Ids that are there, and negative ones for what is new."""

    def __init__(self, live: Mapping[str, Any]) -> None:
        self._tabs = {tab["name"]: tab["id"] for tab in live.get("tabs") or []}
        self._cards: dict[Any, list[int]] = {}
        for each in live.get("dashcards") or []:
            key = each.get("card_id") or (each.get("visualization_settings") or {}).get("text")
            self._cards.setdefault(key, []).append(each["id"])
        self._new = 0

    def tabs(self, names: Sequence[str]) -> dict[str, int]:
        """Each name's id; a new name takes one that is no longer wanted, for with a tab its cards would be deleted."""
        left = [number for name, number in self._tabs.items() if name not in names]
        ids = {}
        for name in names:
            ids[name] = self._tabs[name] if name in self._tabs else left.pop(0) if left else self._next()
        return ids

    def card(self, key: int | str) -> int:
        """The id of what shows a card, or says a text."""
        return self._cards[key].pop(0) if self._cards.get(key) else self._next()

    def _next(self) -> int:
        self._new -= 1
        return self._new


def _dashcard(place: Place, wanted: Dashboard, known: IdRegistry, there: _Ids, tab: int | None) -> Dashcard:
    settings, mappings, card_id = place.words, [], None
    if place.card:
        shown = wanted.cards[place.card]
        card_id = known[card_key(wanted.key, place.card)]
        settings = _clicks(shown, known)
        mappings = [
            ParameterMapping(parameter_id=name, card_id=card_id, target=_variable(name)) for name in shown.variables
        ]
    return Dashcard(
        id=there.card(card_id or place.words.get("text", "")),
        card_id=card_id,
        dashboard_tab_id=tab,
        row=place.row,
        col=place.col,
        size_x=place.size_x,
        size_y=place.size_y,
        parameter_mappings=mappings,
        visualization_settings=settings,
    )


def card_key(dashboard: str, card: str) -> str:
    """What a card of a dashboard is called among all that is managed."""
    return f"card {dashboard}.{card}"


def dashboard_key(dashboard: str) -> str:
    """What a dashboard is called there."""
    return f"dashboard {dashboard}"


def filter_key(name: str) -> str:
    """What the card of a filter's values is called there."""
    return f"filter {name}"


def dashcard_query(chosen: Mapping[str, Sequence[str]]) -> DashcardQuery:
    """What a dashboard asks of one of its cards, with what is chosen of its filters."""
    return DashcardQuery(
        parameters=[Chosen(id=name, type="string/=", value=list(values)) for name, values in chosen.items()]
    )


def _variable(name: str) -> list[Any]:
    """How a card's variable is meant."""
    return ["variable", ["template-tag", name]]


def _clicks(shown: Card, known: IdRegistry) -> dict[str, Any]:
    if not shown.click:
        return {}
    behaviour = _behaviour(shown.click, known)
    if shown.display == "table":
        # In a table the columns are clicked, not the card.
        columns = sorted(set(shown.click.filters.values()))
        return {"column_settings": {column_key(column): {"click_behavior": behaviour} for column in columns}}
    return {"click_behavior": behaviour}


def _behaviour(click: Click, known: IdRegistry) -> dict[str, Any]:
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
    return {
        "type": "link",
        "linkType": "dashboard",
        "targetId": known[dashboard_key(click.dashboard)],
        "parameterMapping": mapping,
    }


def _parameter(key: str, wanted: Filter, known: IdRegistry) -> Parameter:
    return Parameter(
        id=key,
        name=wanted.name,
        slug=key,
        type="string/=",
        section_id="string",
        is_multi_select=wanted.multiple,
        values_query_type="list",
        values_source_type="card",
        values_source_config=ValuesSource(
            card_id=known[filter_key(key)],
            value_field=["field", value_column(key, wanted), {"base-type": "type/Text"}],
        ),
    )
