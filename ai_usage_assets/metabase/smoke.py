"""Tries every card of every dashboard in Metabase itself: that it answers, with what it names, and minds its filters.

Belongs here: what Metabase is asked, and what is wrong with its answers. Does not: bringing the dashboards there
(`apply`), what a card needs of its rows (`shape`). Values are never told: some are people's addresses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ai_usage_assets.metabase import api_models, render
from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.client import MetabaseError, RequestRejected
from ai_usage_assets.metabase.objects import MetabaseContext
from ai_usage_assets.metabase.spec import Card, Dashboard, Filter, Spec, value_column
from ai_usage_assets.redaction import redact_line

# As many values as Metabase lists; others are found by typing.
_LISTED = 1000
_KINDS: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("type/Integer", "type/BigInteger"), pa.int64()),
    **dict.fromkeys(("type/Float", "type/Decimal", "type/Number"), pa.float64()),
    **dict.fromkeys(("type/Text", "type/Boolean"), pa.string()),
    **dict.fromkeys(("type/DateTime", "type/DateTimeWithTZ", "type/DateTimeWithLocalTZ"), pa.timestamp("us")),
    "type/Date": pa.date32(),
}


class QueryFailed(MetabaseError):
    """Metabase took the question and could not answer it; the message is what it says."""


@dataclass(frozen=True)
class SmokeResult:
    """One thing that was tried: how, in how many seconds, and what is wrong, a line each."""

    name: str
    how: str
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        # Names of columns are Metabase's.
        lines = (redact_line(line, with_people=False) for line in self.wrong)
        return "\n  ".join([f"{self.name}: {self.how}, {self.seconds:.1f} s", *lines])


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query, and a table of as many rows of its columns, without their values."""

    rows: list[list[Any]]
    shape: pa.Table

    def is_like(self, other: QueryResult) -> bool:
        """Whether the rows are the same, in whichever order."""
        return sorted(map(json.dumps, self.rows)) == sorted(map(json.dumps, other.rows))


def smoke(site: MetabaseContext, spec: Spec, tell: Callable[[SmokeResult], None]) -> None:
    """Asks everything of a Metabase that is as it is wanted (`apply`), telling each dashboard when it is through.

    The cards of the filters' values come first: Metabase learns their columns by running them. Raises MetabaseError
    when it cannot be asked at all; what fails of a card is told.
    """
    offered, tried = _offered(site, spec)
    tell(tried)
    for dashboard in spec.dashboards:
        tell(DashboardTest(site, spec, dashboard, offered).tried())


def _offered(site: MetabaseContext, spec: Spec) -> tuple[dict[str, list[str]], SmokeResult]:
    """The values that each filter offers."""
    started = time.monotonic()
    offered: dict[str, list[str]] = {}
    wrong: list[str] = []
    notes: list[str] = []
    for key, wanted in spec.filters.items():
        try:
            values = _values(site, key, wanted)
        except MetabaseError as error:
            offered[key] = []
            wrong.append(f"filters.yaml: {key}: {error}")
            continue
        offered[key] = [str(value) for value in values if value]
        if len(offered[key]) < len(values):
            wrong.append(f"filters.yaml: {key}: a value is empty, which nobody can choose")
        if not values:
            wrong.append(f"filters.yaml: {key}: there is nothing to choose; did the first run end?")
        more = f", of which Metabase lists {_LISTED}" if len(values) > _LISTED else ""
        notes.append(f"{key} {len(offered[key])}{more}")
    return offered, SmokeResult("Values of filters", "; ".join(notes), time.monotonic() - started, wrong)


def _values(site: MetabaseContext, key: str, wanted: Filter) -> list[Any]:
    """What a filter's card returns in the column of its values. Raises MetabaseError."""
    path = f"/api/card/{site.known[render.filter_key(key)]}/query"
    answer = _asked(site, path, api_models.CardQuery(ignore_cache=False), None)
    column = value_column(key, wanted)
    if column not in answer.shape.column_names:
        raise QueryFailed(f"the values are in {column}, which the SQL does not return")
    place = answer.shape.column_names.index(column)
    with site.server.reading(path, "POST"):
        return [row[place] for row in answer.rows]


class DashboardTest:
    """One dashboard, asked without filters and with each."""

    def __init__(
        self, site: MetabaseContext, spec: Spec, dashboard: Dashboard, offered: Mapping[str, list[str]]
    ) -> None:
        self._site = site
        self._spec = spec
        self._dashboard = dashboard
        self._offered = offered
        self._path = f"/api/dashboard/{site.known[render.dashboard_key(dashboard.key)]}"
        self._places: dict[int, int] = {}
        self._usual: dict[str, QueryResult] = {}
        self._wrong: list[str] = []
        self._queries = 0

    def tried(self) -> SmokeResult:
        """Runs it."""
        started = time.monotonic()
        with self._site.server.reading(self._path):
            shown = self._site.server.get(self._path)["dashcards"]
            self._places = {each["card_id"]: each.id for each in shown if each.get("card_id")}
        for key in self._dashboard.cards:
            # One that has no answer is asked no more: with filters it would have none either.
            if answer := self._ask(key, None, []):
                self._usual[key] = answer
        how = [f"{len(self._dashboard.cards)} cards without filters"]
        for name in self._dashboard.filters:
            if tries := self._try_filter(name):
                how.append(f"{name} {' and '.join(f'with {len(choice)}' for choice in tries)}")
        told = f"{', '.join(how)}: {self._queries} queries"
        return SmokeResult(self._dashboard.name, told, time.monotonic() - started, self._wrong)

    def _try_filter(self, name: str) -> list[list[str]]:
        """What was chosen of it."""
        values = self._offered[name]
        # The first may be what is shown anyway, as the latest month is.
        tries = [values[1:2] or values[:1]] if values else []
        if len(values) > 1 and self._spec.filters[name].multiple:
            tries.append(values[:2])
        changes = [self._changes(name, choice) for choice in tries]
        if len(values) > 1 and not any(changes) and not self._changes(name, values[:1]):
            self._wrong.append(f"{self._dashboard.key}.yaml: filter {name} changes nothing on any card")
        return tries

    def _changes(self, name: str, choice: list[str]) -> bool:
        """Whether a card of its own shows something else then; one that fails is told, and accuses nothing more."""
        found = {
            key: self._ask(key, name, choice) for key in self._usual if name in self._dashboard.cards[key].variables
        }
        return any(
            answer is None or not answer.is_like(self._usual[key])
            for key, answer in found.items()
            if key not in self._spec.shared
        )

    def _ask(self, key: str, name: str | None, choice: list[str]) -> QueryResult | None:
        card = self._dashboard.cards[key]
        number = self._site.known[render.card_key(self._dashboard.key, key)]
        where = f"{self._dashboard.key}.yaml: card {key}, {f'{name} with {len(choice)}' if name else 'without filters'}"
        path = f"{self._path}/dashcard/{self._places.get(number, 0)}/card/{number}/query"
        self._queries += 1
        try:
            answer = _asked(self._site, path, render.dashcard_query({name: choice} if name else {}), card)
        except MetabaseError as error:
            # Who is not known for one card is not for the next.
            if isinstance(error, RequestRejected) and error.status == 401:
                raise
            self._wrong.append(f"{where}: {error}")
            return None
        self._wrong += [f"{where}: {fault}" for fault in validate_rows(card, answer.shape)]
        return answer


def _asked(site: MetabaseContext, path: str, body: api_models.RequestBody, card: Card | None) -> QueryResult:
    """What a query answers. Raises MetabaseError, of which QueryFailed for what Metabase tells with success."""
    raw = site.server.ask(path, body)
    data = raw.get("data") if isinstance(raw, dict) else None
    if not isinstance(data, dict) or raw.get("status") == "failed" or raw.get("error"):
        told = raw.get("error") or raw.get("message") if isinstance(raw, dict) else None
        raise QueryFailed(f"Metabase says: {site.server.shown(str(told or 'nothing, and gives no rows'))}")
    with site.server.reading(path, "POST"):
        rows = [[*row] for row in data.get("rows") or []]
        kinds = {str(each["name"]): _kind(each, card) for each in data.get("cols") or []}
        return QueryResult(rows, pa.table({name: pa.nulls(len(rows), kind) for name, kind in kinds.items()}))


def _kind(column: Mapping[str, Any], card: Card | None) -> pa.DataType:
    """A column's type; one that Metabase does not know accuses nobody: it is what the card takes it for."""
    known = _KINDS.get(column.get("base_type", ""))
    if known is not None:
        return known
    described = card.columns.get(column["name"]) if card else None
    return pa.float64() if described and described.form else pa.date32()
