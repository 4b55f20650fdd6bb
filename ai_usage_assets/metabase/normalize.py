"""Normalize Metabase's responses and this project's request bodies to one form, so that they can be compared.

The form is the same for all supported versions. It leaves out what Metabase adds: timestamps, authors, nulls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Normalized = dict[str, Any]

_TAG_KEYS = ("id", "name", "display-name", "type", "default", "required")
_PARAMETER_KEYS = (
    "id", "name", "slug", "type", "target", "sectionId", "isMultiSelect", "default", "required", "values_query_type",
    "values_source_type",
)  # fmt: skip
_DETAILS = ("project-id", "dataset-filters-type", "dataset-filters-patterns", "include-user-id-and-hash")


def normalize_database(raw: Mapping[str, Any]) -> Normalized:
    """Normalize a BigQuery connection, without its key."""
    details = raw.get("details") or {}
    return {
        **_pick(raw, "name", "engine", "auto_run_queries"),
        "details": _pick(details, *_DETAILS),
        "jvm_timezone": bool(details.get("use-jvm-timezone")),
    }


def normalize_collection(raw: Mapping[str, Any]) -> Normalized:
    """Normalize a collection and its parent."""
    parent = raw.get("parent_id") or next(reversed(parent_ids(raw)), None)
    return {**_pick(raw, "name", "description"), "parent": parent, "archived": bool(raw.get("archived"))}


def parent_ids(raw: Mapping[str, Any]) -> list[int]:
    """Return the ids of a collection's parents, outermost first."""
    return [int(part) for part in str(raw.get("location") or "").split("/") if part.isdigit()]


def normalize_group(raw: Mapping[str, Any]) -> Normalized:
    """Normalize a permissions group, without its members."""
    return _pick(raw, "name")


def normalize_card(raw: Mapping[str, Any]) -> Normalized:
    """Normalize a card."""
    return {
        **_pick(raw, "name", "description", "display", "type", "collection_id"),
        "archived": bool(raw.get("archived")),
        "query": _normalize_query(raw.get("dataset_query") or {}),
        "settings": _normalize_settings(raw.get("visualization_settings") or {}),
        "parameters": [_normalize_parameter(each) for each in raw.get("parameters") or []],
    }


def normalize_dashboard(raw: Mapping[str, Any]) -> Normalized:
    """Normalize a dashboard with its dashcards, without their ids."""
    tabs = {tab["id"]: tab["name"] for tab in raw.get("tabs") or []}
    order = {None: -1} | {name: place for place, name in enumerate(tabs.values())}
    cards = [_normalize_dashcard(each, tabs) for each in raw.get("dashcards") or []]
    return {
        **_pick(raw, "name", "description", "collection_id", "width", "auto_apply_filters"),
        "archived": bool(raw.get("archived")),
        "parameters": [_normalize_parameter(each) for each in raw.get("parameters") or []],
        "tabs": list(tabs.values()),
        "cards": sorted(cards, key=lambda each: (order[each["tab"]], each["row"], each["col"])),
    }


def _normalize_query(raw: Mapping[str, Any]) -> Normalized:
    """Normalize a native query, in MBQL 5 or the earlier format."""
    stages = raw.get("stages")
    native = stages[0] if stages else raw.get("native") or {}
    tags = native.get("template-tags") or {}
    tags = tags.values() if isinstance(tags, Mapping) else tags
    return {
        "database": raw.get("database"),
        "sql": native.get("native") if stages else native.get("query"),
        "variables": {tag["name"]: {key: tag[key] for key in _TAG_KEYS if tag.get(key)} for tag in tags},
    }


def _normalize_parameter(raw: Mapping[str, Any]) -> Normalized:
    parameter = {key: raw[key] for key in _PARAMETER_KEYS if raw.get(key) not in (None, [], False)}
    if "target" in parameter:
        parameter["target"] = _normalize_target(raw)
    # Metabase's default is to allow several values.
    parameter["isMultiSelect"] = raw.get("isMultiSelect") is not False
    if source := raw.get("values_source_config"):
        # A field reference has its options before or after the name.
        column = next((part for part in (source.get("value_field") or [])[1:] if isinstance(part, str)), None)
        parameter["values"] = {"card": source.get("card_id"), "column": column}
    return parameter


def _normalize_target(raw: Mapping[str, Any]) -> list[Any]:
    """Return the reference to a variable without the options that Metabase may add."""
    return list(raw["target"][:2])


def _normalize_dashcard(raw: Mapping[str, Any], tabs: Mapping[int, str]) -> Normalized:
    mappings = [
        {"filter": each["parameter_id"], "card": each.get("card_id"), "target": _normalize_target(each)}
        for each in raw.get("parameter_mappings") or []
    ]
    dashcard = {
        **_pick(raw, "row", "col", "size_x", "size_y", "card_id"),
        "tab": tabs.get(raw.get("dashboard_tab_id") or 0),
        "filters": sorted(mappings, key=lambda each: str(each["filter"])),
        "settings": _normalize_settings(raw.get("visualization_settings") or {}),
    }
    if raw.get("series"):
        dashcard["series"] = [each["id"] for each in raw["series"]]
    return dashcard


def _normalize_settings(raw: Mapping[str, Any]) -> Normalized:
    # Metabase adds the version of the settings' format.
    return {key: _remove_nulls(value, key) for key, value in raw.items() if value is not None and key != "version"}


def _remove_nulls(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        items = {name: _remove_nulls(each, name) for name, each in value.items() if each is not None}
        return {_compact_json(name): each for name, each in items.items()} if key == "column_settings" else items
    return [_remove_nulls(each, "") for each in value] if isinstance(value, list) else value


def _compact_json(name: str) -> str:
    """Remove spaces from a key of `column_settings`, which is JSON."""
    try:
        return json.dumps(json.loads(name), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return name


def _pick(raw: Mapping[str, Any], *keys: str) -> Normalized:
    return {key: raw[key] for key in keys if raw.get(key) is not None}
