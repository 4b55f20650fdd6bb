"""What Metabase holds, in one form: whichever version says it, and whether it was asked or is about to be told.

Belongs here: taking what an API answers, or a request body, to the form in which both are compared. Does not: what
follows from a difference (`plan`). What Metabase adds of its own (moments, authors, permissions, nulls) is no part of
a form; a part that is missing stays away, and is a difference then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Form = dict[str, Any]

_TAG_KEYS = ("id", "name", "display-name", "type", "default", "required")
_PARAMETER_KEYS = (
    "id",
    "name",
    "slug",
    "type",
    "target",
    "sectionId",
    "isMultiSelect",
    "default",
    "required",
    "values_query_type",
    "values_source_type",
)
_DETAILS = ("project-id", "dataset-filters-type", "dataset-filters-patterns", "include-user-id-and-hash")


def database(raw: Mapping[str, Any]) -> Form:
    """A connection to BigQuery, without its key."""
    details = raw.get("details") or {}
    return {
        **_some(raw, "name", "engine", "auto_run_queries"),
        "details": _some(details, *_DETAILS),
        "jvm_timezone": bool(details.get("use-jvm-timezone")),
    }


def collection(raw: Mapping[str, Any]) -> Form:
    """A collection, and in which one it is."""
    parent = raw.get("parent_id") or next(reversed(parents(raw)), None)
    return {**_some(raw, "name", "description"), "parent": parent, "archived": bool(raw.get("archived"))}


def parents(raw: Mapping[str, Any]) -> list[int]:
    """The collections in which one is, the outermost first."""
    return [int(part) for part in str(raw.get("location") or "").split("/") if part.isdigit()]


def group(raw: Mapping[str, Any]) -> Form:
    """A group of people; who is in it is nobody's business here."""
    return _some(raw, "name")


def card(raw: Mapping[str, Any]) -> Form:
    """A card."""
    return {
        **_some(raw, "name", "description", "display", "type", "collection_id"),
        "archived": bool(raw.get("archived")),
        "query": _query(raw.get("dataset_query") or {}),
        "settings": _settings(raw.get("visualization_settings") or {}),
        "parameters": [_parameter(each) for each in raw.get("parameters") or []],
    }


def dashboard(raw: Mapping[str, Any]) -> Form:
    """A dashboard with what is on it; ids of what is on it are no part of it."""
    tabs = {tab["id"]: tab["name"] for tab in raw.get("tabs") or []}
    order = {None: -1} | {name: place for place, name in enumerate(tabs.values())}
    cards = [_dashcard(each, tabs) for each in raw.get("dashcards") or []]
    return {
        **_some(raw, "name", "description", "collection_id", "width", "auto_apply_filters"),
        "archived": bool(raw.get("archived")),
        "parameters": [_parameter(each) for each in raw.get("parameters") or []],
        "tabs": list(tabs.values()),
        "cards": sorted(cards, key=lambda each: (order[each["tab"]], each["row"], each["col"])),
    }


def _query(raw: Mapping[str, Any]) -> Form:
    """A native query, of MBQL 5 or as it was written before."""
    stages = raw.get("stages")
    native = stages[0] if stages else raw.get("native") or {}
    tags = native.get("template-tags") or {}
    listed = tags.values() if isinstance(tags, Mapping) else tags
    return {
        "database": raw.get("database"),
        "sql": native.get("native") if stages else native.get("query"),
        "variables": {tag["name"]: {key: tag[key] for key in _TAG_KEYS if tag.get(key)} for tag in listed},
    }


def _parameter(raw: Mapping[str, Any]) -> Form:
    form = {key: raw[key] for key in _PARAMETER_KEYS if raw.get(key) not in (None, [], False)}
    if "target" in form:
        form["target"] = _target(raw)
    # Without the word, people may choose several.
    form["isMultiSelect"] = raw.get("isMultiSelect") is not False
    source = raw.get("values_source_config") or {}
    if source:
        # A reference to a field has its options before or after the name.
        column = next((part for part in (source.get("value_field") or [])[1:] if isinstance(part, str)), None)
        form["values"] = {"card": source.get("card_id"), "column": column}
    return form


def _target(raw: Mapping[str, Any]) -> list[Any]:
    """Which variable is meant, without options that Metabase may add."""
    return list(raw["target"][:2])


def _dashcard(raw: Mapping[str, Any], tabs: Mapping[int, str]) -> Form:
    mappings = [
        {"filter": each["parameter_id"], "card": each.get("card_id"), "target": _target(each)}
        for each in raw.get("parameter_mappings") or []
    ]
    form = {
        **_some(raw, "row", "col", "size_x", "size_y", "card_id"),
        "tab": tabs.get(raw.get("dashboard_tab_id") or 0),
        "filters": sorted(mappings, key=lambda each: str(each["filter"])),
        "settings": _settings(raw.get("visualization_settings") or {}),
    }
    if raw.get("series"):
        form["series"] = [each["id"] for each in raw["series"]]
    return form


def _settings(raw: Mapping[str, Any]) -> Form:
    # Metabase says of which version of its own the settings are.
    return {key: _clean(value, key) for key, value in raw.items() if value is not None and key != "version"}


def _clean(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        kept = {name: _clean(each, name) for name, each in value.items() if each is not None}
        return {_column(name): each for name, each in kept.items()} if key == "column_settings" else kept
    if isinstance(value, list):
        return [_clean(each, "") for each in value]
    return value


def _column(name: str) -> str:
    """A key of column_settings, which is JSON, without spaces."""
    try:
        return json.dumps(json.loads(name), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return name


def _some(raw: Mapping[str, Any], *keys: str) -> Form:
    return {key: raw[key] for key in keys if raw.get(key) is not None}
