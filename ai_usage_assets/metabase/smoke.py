"""Smoke test: run every card of every dashboard in Metabase itself, without filters and with each filter set.

Filter values never appear in a message: some are e-mail addresses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ai_usage_assets.metabase import render
from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.client import MetabaseError, RequestRejected
from ai_usage_assets.metabase.resources.base import MetabaseContext
from ai_usage_assets.metabase.spec_models import Card, Dashboard, Filter, Spec, value_column
from ai_usage_assets.redaction import redact_line

# Metabase lists this many values of a filter; the others are found by typing.
_MAX_LISTED_VALUES = 1000
_ARROW_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("type/Integer", "type/BigInteger"), pa.int64()),
    **dict.fromkeys(("type/Float", "type/Decimal", "type/Number"), pa.float64()),
    **dict.fromkeys(("type/Text", "type/Boolean"), pa.string()),
    **dict.fromkeys(("type/DateTime", "type/DateTimeWithTZ", "type/DateTimeWithLocalTZ"), pa.timestamp("us")),
    "type/Date": pa.date32(),
}


@dataclass(frozen=True)
class SmokeResult:
    """What was run for the filters or for one dashboard, the duration, and one line per failure."""

    name: str
    summary: str
    seconds: float
    failures: list[str]

    def __str__(self) -> str:
        # Column names come from Metabase.
        lines = (redact_line(line, with_people=False) for line in self.failures)
        return "\n  ".join([f"{self.name}: {self.summary}, {self.seconds:.1f} s", *lines])


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query, and a table with its columns and as many rows, all null."""

    rows: list[list[Any]]
    columns: pa.Table

    def has_same_rows(self, other: QueryResult) -> bool:
        """Whether the rows are equal in any order."""
        return sorted(map(json.dumps, self.rows)) == sorted(map(json.dumps, other.rows))


def run_smoke_test(context: MetabaseContext, spec: Spec, report: Callable[[SmokeResult], None]) -> None:
    """Query all cards of a Metabase after apply, and report each dashboard when it is done.

    The filters' cards run first, because Metabase detects their columns by running them. Raises MetabaseError if
    Metabase cannot be queried at all; a failing card is reported.
    """
    values, result = _test_filters(context, spec)
    report(result)
    for dashboard in spec.dashboards:
        report(DashboardTest(context, spec, dashboard, values).run())


def _test_filters(context: MetabaseContext, spec: Spec) -> tuple[dict[str, list[str]], SmokeResult]:
    """Return the values of each filter."""
    started = time.monotonic()
    values: dict[str, list[str]] = {}
    failures: list[str] = []
    notes: list[str] = []
    for key, one in spec.filters.items():
        values[key] = []
        try:
            listed = _query_values(context, key, one)
        except MetabaseError as error:
            failures.append(f"filters.yaml: {key}: {error}")
            continue
        values[key] = [str(value) for value in listed if value]
        if len(values[key]) < len(listed):
            failures.append(f"filters.yaml: {key}: a value is empty and cannot be chosen")
        if not listed:
            failures.append(f"filters.yaml: {key}: no values; check that a pipeline run has completed")
        more = f" (Metabase lists {_MAX_LISTED_VALUES})" if len(listed) > _MAX_LISTED_VALUES else ""
        notes.append(f"{key} {len(values[key])}{more}")
    return values, SmokeResult("Filter values", "; ".join(notes), time.monotonic() - started, failures)


def _query_values(context: MetabaseContext, key: str, given: Filter) -> list[Any]:
    """Return the values in a filter's card. Raises MetabaseError."""
    path = f"/api/card/{context.ids[render.filter_key(key)]}/query"
    result = _query(context, path, {"ignore_cache": False}, None)
    column = value_column(key, given)
    if column not in result.columns.column_names:
        raise MetabaseError(f"the SQL does not return the column {column}")
    place = result.columns.column_names.index(column)
    with context.client.parsing(path, "POST"):
        return [row[place] for row in result.rows]


class DashboardTest:
    """The smoke test of one dashboard."""

    def __init__(
        self, context: MetabaseContext, spec: Spec, dashboard: Dashboard, values: Mapping[str, list[str]]
    ) -> None:
        self._context = context
        self._spec = spec
        self._dashboard = dashboard
        self._values = values
        self._path = f"/api/dashboard/{context.ids[render.dashboard_key(dashboard.key)]}"
        # Card id -> dashcard id.
        self._dashcards: dict[int, int] = {}
        self._unfiltered: dict[str, QueryResult] = {}
        self._failures: list[str] = []
        self._queries = 0

    def run(self) -> SmokeResult:
        """Query every card without filters and with each filter."""
        started = time.monotonic()
        with self._context.client.parsing(self._path):
            dashcards = self._context.client.get(self._path)["dashcards"]
            self._dashcards = {each["card_id"]: each.id for each in dashcards if each.get("card_id")}
        for key in self._dashboard.cards:
            # A card that fails without filters is not queried again.
            if result := self._query_card(key, None, []):
                self._unfiltered[key] = result
        parts = [f"{len(self._dashboard.cards)} cards without filters"]
        for name in self._dashboard.filters:
            if choices := self._test_filter(name):
                parts.append(f"{name} {' and '.join(f'with {len(choice)}' for choice in choices)}")
        summary = f"{', '.join(parts)}: {self._queries} queries"
        return SmokeResult(self._dashboard.name, summary, time.monotonic() - started, self._failures)

    def _test_filter(self, name: str) -> list[list[str]]:
        """Query with one value and, if the filter allows it, with two. Returns the chosen values."""
        values = self._values[name]
        # The first value may be the default, as the latest month is.
        choices = [values[1:2] or values[:1]] if values else []
        if len(values) > 1 and self._spec.filters[name].multiple:
            choices.append(values[:2])
        effects = [self._has_effect(name, choice) for choice in choices]
        if len(values) > 1 and not any(effects) and not self._has_effect(name, values[:1]):
            self._failures.append(f"{self._dashboard.key}.yaml: filter {name} has no effect on any card")
        return choices

    def _has_effect(self, name: str, choice: list[str]) -> bool:
        """Whether a card of the dashboard's own changes; a failing card counts as changed."""
        results = {
            key: self._query_card(key, name, choice)
            for key in self._unfiltered
            if name in self._dashboard.cards[key].variables
        }
        return any(
            result is None or not result.has_same_rows(self._unfiltered[key])
            for key, result in results.items()
            if key not in self._spec.shared
        )

    def _query_card(self, key: str, name: str | None, choice: list[str]) -> QueryResult | None:
        """Query a card and record its failures; None if the query failed."""
        card = self._dashboard.cards[key]
        number = self._context.ids[render.card_key(self._dashboard.key, key)]
        with_filter = f"{name} with {len(choice)}" if name else "without filters"
        where = f"{self._dashboard.key}.yaml: card {key}, {with_filter}"
        path = f"{self._path}/dashcard/{self._dashcards.get(number, 0)}/card/{number}/query"
        self._queries += 1
        parameters = [{"id": name, "type": "string/=", "value": choice}] if name else []
        try:
            result = _query(self._context, path, {"parameters": parameters}, card)
        except MetabaseError as error:
            # Without authentication, every other query fails too.
            if isinstance(error, RequestRejected) and error.status == 401:
                raise
            self._failures.append(f"{where}: {error}")
            return None
        self._failures += [f"{where}: {line}" for line in validate_rows(card, result.columns)]
        return result


def _query(context: MetabaseContext, path: str, body: render.Body, card: Card | None) -> QueryResult:
    """Run a query. Raises MetabaseError; Metabase reports a failed query with a success status."""
    response = context.client.query(path, body)
    data = response.get("data") if isinstance(response, dict) else None
    if not isinstance(data, dict) or response.get("status") == "failed" or response.get("error"):
        reason = response.get("error") or response.get("message") if isinstance(response, dict) else None
        raise MetabaseError(f"the query failed: {context.client.redact(str(reason or 'no rows in the response'))}")
    with context.client.parsing(path, "POST"):
        rows = [[*row] for row in data.get("rows") or []]
        kinds = {str(each["name"]): _arrow_type(each, card) for each in data.get("cols") or []}
        return QueryResult(rows, pa.table({name: pa.nulls(len(rows), kind) for name, kind in kinds.items()}))


def _arrow_type(column: Mapping[str, Any], card: Card | None) -> pa.DataType:
    """Return a column's type; a type that Metabase does not know is assumed to be what the card needs."""
    known = _ARROW_TYPES.get(column.get("base_type", ""))
    if known is not None:
        return known
    described = card.columns.get(column["name"]) if card else None
    return pa.float64() if described and described.format else pa.date32()
