"""The JSON that Metabase's API is sent, strict: a server that meets a key it does not know drops it without a word.

Belongs here: the keys Metabase takes, and what holds among them. Does not: what is sent of them (`build`), asking
(`server`), comparing (`plan`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai_usage_assets.metabase.spec import COLUMNS

Name = Annotated[str, Field(min_length=1)]
# 0 stands for what is not there yet, in a plan.
Id = Annotated[int, Field(ge=0)]
# Where Metabase's name is none of Python's.
_ALIASES = {
    "lib_type": "lib/type",
    "template_tags": "template-tags",
    "display_name": "display-name",
    "section_id": "sectionId",
    "is_multi_select": "isMultiSelect",
}


class RequestBody(BaseModel):
    """A JSON object that is sent; only what was given is a part of it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=lambda name: _ALIASES.get(name, name)
    )

    def sent(self) -> dict[str, Any]:
        """As it goes out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class FirstUser(RequestBody):
    """Who sets Metabase up."""

    email: Name
    password: Name
    first_name: Name
    last_name: Name


class Preferences(RequestBody):
    """What the first user chooses."""

    site_name: Name
    allow_tracking: bool


class Setup(RequestBody):
    """POST /api/setup."""

    token: Name
    user: FirstUser
    prefs: Preferences


class Login(RequestBody):
    """POST /api/session."""

    username: Name
    password: Name


class NewKey(RequestBody):
    """POST /api/api-key."""

    name: Name
    group_id: Id


class BigQueryDetails(RequestBody):
    """How Metabase reaches a dataset."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    project_id: Name
    # The key itself, or MASK: Metabase keeps the one it has when it is sent what it shows in its place.
    service_account_json: Name
    dataset_filters_type: Literal["inclusion"]
    dataset_filters_patterns: Name
    use_jvm_timezone: Literal[False]
    # A comment in every query would keep BigQuery's cache of results from ever being used.
    include_user_id_and_hash: Literal[False]


class NewDatabase(RequestBody):
    """POST /api/database."""

    name: Name
    engine: Literal["bigquery-cloud-sdk"]
    details: BigQueryDetails
    # Values are never scanned: that would be queries that somebody pays for.
    is_full_sync: Literal[False]
    is_on_demand: Literal[False]
    connection_source: Literal["admin"]
    auto_run_queries: bool


class DatabaseUpdate(RequestBody):
    """PUT /api/database/{id}."""

    name: Name
    engine: Literal["bigquery-cloud-sdk"]
    details: BigQueryDetails
    auto_run_queries: bool


class NewCollection(RequestBody):
    """POST /api/collection."""

    name: Name
    description: Name
    parent_id: Id | None


class CollectionUpdate(NewCollection):
    """PUT /api/collection/{id}."""

    archived: bool


class Tag(RequestBody):
    """A variable of a statement."""

    id: Name
    name: Name
    display_name: Name
    type: Literal["text"]
    required: Literal[False]


class Stage(RequestBody):
    """A statement in the warehouse's SQL."""

    lib_type: Literal["mbql.stage/native"]
    native: Name
    template_tags: dict[str, Tag]


class Query(RequestBody):
    """What a card asks, and of which database."""

    lib_type: Literal["mbql/query"]
    database: Id
    stages: list[Stage] = Field(min_length=1, max_length=1)


class ValuesSource(RequestBody):
    """The card whose rows a filter offers."""

    card_id: Id
    value_field: list[Any]


class Parameter(RequestBody):
    """A filter of a dashboard or of a card."""

    id: Name
    name: Name
    slug: Name
    type: Literal["string/="]
    target: list[Any] | None = None
    section_id: Literal["string"] = "string"
    is_multi_select: bool = True
    values_query_type: Literal["list"] | None = None
    values_source_type: Literal["card"] | None = None
    values_source_config: ValuesSource | None = None


class CardBody(RequestBody):
    """What POST and PUT of a card have in common."""

    name: Name
    description: Name
    display: Name
    type: Literal["question"]
    dataset_query: Query
    visualization_settings: dict[str, Any]
    parameters: list[Parameter]
    collection_id: Id


class NewCard(CardBody):
    """POST /api/card."""

    entity_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{21}$")]


class CardUpdate(CardBody):
    """PUT /api/card/{id}."""

    archived: bool


class NewDashboard(RequestBody):
    """POST /api/dashboard; its cards come with the first PUT."""

    name: Name
    description: Name
    collection_id: Id


class DashboardTab(RequestBody):
    """A page; a negative id makes it."""

    id: int
    name: Name


class ParameterMapping(RequestBody):
    """Which variable of a card a filter of its dashboard sets."""

    parameter_id: Name
    card_id: Id
    target: list[Any]


class Dashcard(RequestBody):
    """A card, or words, on the grid; a negative id makes it."""

    id: int
    card_id: Id | None
    dashboard_tab_id: int | None
    row: int = Field(ge=0)
    col: int = Field(ge=0)
    size_x: int = Field(ge=1)
    size_y: int = Field(ge=1)
    parameter_mappings: list[ParameterMapping]
    visualization_settings: dict[str, Any]


class DashboardUpdate(NewDashboard):
    """PUT /api/dashboard/{id}: everything, for what is left out of a list is deleted."""

    width: Literal["full"]
    auto_apply_filters: Literal[True]
    archived: bool
    parameters: list[Parameter]
    tabs: list[DashboardTab]
    dashcards: list[Dashcard]

    @model_validator(mode="after")
    def _fits(self) -> DashboardUpdate:
        taken: set[tuple[int | None, int, int]] = set()
        for card in self.dashcards:
            if card.col + card.size_x > COLUMNS:
                raise ValueError(f"a card at column {card.col} is {card.size_x} wide: beyond the {COLUMNS} there are")
            cells = {
                (card.dashboard_tab_id, row, column)
                for row in range(card.row, card.row + card.size_y)
                for column in range(card.col, card.col + card.size_x)
            }
            if cells & taken:
                raise ValueError(f"two cards overlap at row {card.row}, column {card.col}")
            taken |= cells
        return self


class Archived(RequestBody):
    """PUT of a card, a dashboard or a collection that is not wanted."""

    archived: Literal[True]


class CardQuery(RequestBody):
    """POST /api/card/{id}/query."""

    ignore_cache: bool


class Chosen(RequestBody):
    """A filter of a dashboard, and what is chosen."""

    id: Name
    type: Literal["string/="]
    value: list[Name] = Field(min_length=1)


class DashcardQuery(RequestBody):
    """POST /api/dashboard/{id}/dashcard/{id}/card/{id}/query."""

    parameters: list[Chosen]


class NewGroup(RequestBody):
    """POST /api/permissions/group."""

    name: Name


class Graph(RequestBody):
    """PUT /api/collection/graph and /api/permissions/graph: group -> collection or database -> what it may."""

    revision: int
    groups: dict[str, dict[str, Any]]
