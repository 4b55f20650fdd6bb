"""The keys that Metabase's API reads, and validation of bodies against Metabase's OpenAPI description."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_DESCRIPTIONS = (
    Path(os.environ.get("AI_USAGE_METABASE_OPENAPI", "/nowhere")),
    Path(__file__).parents[3] / "shared" / "reference" / "metabase_openapi_subset.json",
)
CARD_QUERY = "/api/card/{card-id}/query"
DASHCARD_QUERY = "/api/dashboard/{dashboard-id}/dashcard/{dashcard-id}/card/{card-id}/query"
_CARD = (
    "name type description display visualization_settings dataset_query parameters parameter_mappings collection_id"
    " collection_position result_metadata cache_ttl dashboard_id dashboard_tab_id"
)
# Method and path of a write or a query -> the keys of the body that Metabase reads.
BODY_KEYS = {
    request: set(keys.split())
    for request, keys in {
        ("POST", "/api/setup"): "token user prefs",
        ("POST", "/api/session"): "username password",
        ("POST", "/api/api-key"): "name group_id",
        ("POST", "/api/database"): (
            "name engine details is_full_sync is_on_demand connection_source auto_run_queries cache_ttl schedules"
            " provider_name"
        ),
        ("PUT", "/api/database/{id}"): (
            "name engine details auto_run_queries cache_ttl schedules description caveats points_of_interest settings"
            " refingerprint provider_name"
        ),
        ("POST", "/api/collection"): "name description parent_id authority_level namespace",
        ("PUT", "/api/collection/{id}"): "name description parent_id archived authority_level type",
        ("POST", "/api/card"): f"{_CARD} entity_id",
        ("PUT", "/api/card/{id}"): (
            f"{_CARD} archived enable_embedding embedding_params embedding_type collection_preview"
        ),
        ("POST", "/api/dashboard"): "name description collection_id collection_position parameters cache_ttl",
        ("PUT", "/api/dashboard/{id}"): (
            "name description parameters width auto_apply_filters archived cache_ttl collection_id collection_position"
            " tabs dashcards caveats points_of_interest position show_in_getting_started enable_embedding"
            " embedding_params embedding_type"
        ),
        ("POST", "/api/permissions/group"): "name is_tenant_group",
        ("PUT", "/api/permissions/group/{id}"): "name",
        ("PUT", "/api/collection/graph"): "revision groups namespace",
        ("PUT", "/api/permissions/graph"): "revision groups",
        ("POST", CARD_QUERY): "ignore_cache dashboard_id collection_preview",
        ("POST", DASHCARD_QUERY): "parameters dashboard_load_id",
    }.items()
}
REQUIRED_KEYS = {
    ("POST", "/api/database"): {"name", "engine", "details"},
    ("POST", "/api/collection"): {"name"},
    ("POST", "/api/card"): {"name", "display", "dataset_query", "visualization_settings"},
    ("POST", "/api/dashboard"): {"name"},
}
TAB_KEYS = {"id", "name", "position"}
DASHCARD_KEYS = {
    "id", "row", "col", "size_x", "size_y", "card_id", "dashboard_tab_id", "parameter_mappings",
    "visualization_settings", "inline_parameters", "action_id", "series",
}  # fmt: skip
# A part of a body -> the keys that have an effect. Metabase may store others, but ignores them.
_PART_KEYS = {
    part: set(keys.split())
    for part, keys in {
        "parameters": (
            "id name slug type target value default required sectionId isMultiSelect values_query_type"
            " values_source_type values_source_config"
        ),
        "values_source_config": "card_id value_field values label_field",
        "parameter_mappings": "parameter_id card_id target",
        "details": (
            "project-id billing-project-id service-account-json dataset-filters-type dataset-filters-patterns"
            " use-jvm-timezone include-user-id-and-hash"
        ),
        "dataset_query": "lib/type database stages",
        "stages": "lib/type native template-tags",
        "template-tags": "id name display-name type required default widget-type dimension",
        "column_settings": (
            "number_style currency currency_style decimals column_title show_mini_bar text_wrapping click_behavior"
        ),
        "series_settings": "title color display axis line.style line.marker_enabled show_series_values",
        "table.column_formatting": "columns type operator value color highlight_row",
        "scalar.comparisons": "id type column label value",
        "click_behavior": "type linkType targetId parameterMapping",
        "parameterMapping": "id source target",
        "source": "type id name",
        "virtual_card": "display dataset_query visualization_settings name archived",
        "visualization_settings": (
            "text dashcard.background card.title virtual_card click_behavior column_settings series_settings"
            " graph.dimensions graph.metrics graph.show_values graph.x_axis.scale graph.x_axis.title_text"
            " graph.y_axis.title_text stackable.stack_type progress.value progress.goal progress.color scalar.field"
            " scalar.comparisons scalar.switch_positive_negative table.column_formatting table.columns table.pivot"
        ),
    }.items()
}
# Parts that map names to objects.
_MAPPINGS = {"template-tags", "column_settings", "series_settings", "parameterMapping"}
# Keys that the server reads although the description lacks them.
_UNDESCRIBED = {"auto_apply_filters"}


def find_ignored_keys(part: Any, name: str = "") -> Iterator[str]:
    """Yield the keys within a body that have no effect, each with the part it is in."""
    if isinstance(part, list):
        for each in part:
            yield from find_ignored_keys(each, name)
    elif isinstance(part, dict):
        for one in part.values() if name in _MAPPINGS else [part]:
            for key, value in one.items():
                if name in _PART_KEYS and key not in _PART_KEYS[name]:
                    yield f"{name}.{key}"
                yield from find_ignored_keys(value, key)


def find_description() -> Path | None:
    """Return Metabase's OpenAPI description, if it is beside this checkout or named by the environment."""
    return next((path for path in _DESCRIPTIONS if path.exists()), None)


def validate_body(method: str, path: str, body: Row) -> list[str]:
    """Return how a body violates the description, if the request is described."""
    described = _load_schema(method, path)
    if described is None:
        return []
    keys, validator = described
    unknown = [f"{method} {path}: {key} is not described" for key in sorted(body.keys() - keys - _UNDESCRIBED)]
    return unknown + [
        f"{method} {path}: {'/'.join(map(str, error.path))}: {error.message[:200]}"
        for error in validator.iter_errors(body)
    ]


@cache
def _load_schema(method: str, path: str) -> tuple[set[str], Any] | None:
    """Return the keys of a body and its validator; None if the request is not described."""
    import jsonschema

    document = _load_description()
    operation = document["paths"].get(path, {}).get(method.lower()) if document else None
    if operation is None:
        return None
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    keys = set(schema["properties"]) or BODY_KEYS[method, path]
    return keys, jsonschema.Draft202012Validator({**schema, "$defs": document["components"]["schemas"]})


@cache
def _load_description() -> Any:
    path = find_description()
    if path is None:
        return None
    return _replace_one_of(json.loads(path.read_text().replace("#/components/schemas/", "#/$defs/")))


def _replace_one_of(part: Any) -> Any:
    """Replace `oneOf` by `anyOf`: one of the alternatives accepts everything."""
    if isinstance(part, dict):
        return {("anyOf" if key == "oneOf" else key): _replace_one_of(each) for key, each in part.items()}
    return [_replace_one_of(each) for each in part] if isinstance(part, list) else part
