"""Validate dashboards against each other: duplicate names, filters without effect, rows that are too wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from ai_usage_assets.metabase.spec_models import (
    GRID_COLUMNS,
    CardRow,
    Dashboard,
    Filter,
    Spec,
    SpecError,
    Tab,
    TextRow,
    value_column,
)
from ai_usage_assets.metabase.sql_template import find_variables

# Replaces SQL whose error is already reported, so that the rest can still be validated.
INVALID_SQL = "SELECT 1 AS invalid"


def validate_spec(spec: Spec, invalid: Collection[str]) -> list[str]:
    """Return one line per error. `invalid` are the keys of dashboards that could not be parsed."""
    errors = []
    for key, one in spec.filters.items():
        if find_variables(one.sql):
            errors.append(f"filters/{key}.sql must not use variables")
        try:
            value_column(key, one)
        except SpecError as error:
            errors.append(str(error))
    names = [card.name for dashboard in spec.dashboards for card in dashboard.cards.values()]
    names += [dashboard.name for dashboard in spec.dashboards]
    errors += [f"the name {name!r} is used {count} times" for name, count in _repeated(names)]
    if not spec.dashboards and not invalid:
        errors.append("dashboards/: there is no .yaml file; apply would archive every managed dashboard")
    if not invalid:
        shown = {key for dashboard in spec.dashboards for tab in dashboard.tabs for key in tab.cards()}
        errors += [f"shared.yaml: no dashboard shows card {key}" for key in sorted(spec.shared - shown)]
    by_key = dict.fromkeys(invalid) | {dashboard.key: dashboard for dashboard in spec.dashboards}
    for dashboard in spec.dashboards:
        errors += [f"{dashboard.key}.yaml: {line}" for line in _validate_dashboard(dashboard, spec.filters, by_key)]
    return errors


def _repeated(names: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(names).items() if count > 1]


def _validate_dashboard(
    dashboard: Dashboard, filters: Mapping[str, Filter], by_key: Mapping[str, Dashboard | None]
) -> Iterator[str]:
    shown = [key for tab in dashboard.tabs for key in tab.cards()]
    yield from (f"card {key} is on no tab" for key in dashboard.cards.keys() - set(shown))
    yield from (f"a tab shows card {key}, which is not defined" for key in set(shown) - dashboard.cards.keys())
    yield from (f"filters.yaml has no filter {key}" for key in set(dashboard.filters) - filters.keys())
    for kind, names in (
        ("card", shown),
        ("filter", dashboard.filters),
        ("tab", [tab.name for tab in dashboard.tabs]),
    ):
        yield from (f"{kind} {name} appears {count} times" for name, count in _repeated(names))
    for tab in dashboard.tabs:
        yield from (f"tab {tab.name}: {error}" for error in _validate_rows(tab))
    for key, card in dashboard.cards.items():
        for name in set(card.variables) - set(dashboard.filters):
            yield f"card {key}: {{{{{name}}}}} is not a filter of this dashboard"
        if card.click:
            opened = card.click.dashboard or dashboard.key
            if opened not in by_key:
                yield f"card {key}: a click opens {opened}, which is not a dashboard"
            elif target := by_key[opened]:
                for name in card.click.filters.keys() - set(target.filters):
                    yield f"card {key}: a click sets {name}, which is not a filter of {opened}"
    if all(card.sql != INVALID_SQL for card in dashboard.cards.values()):
        used = {name for card in dashboard.cards.values() for name in card.variables}
        yield from (f"filter {key} applies to no card" for key in dashboard.filters if key in filters.keys() - used)


def _validate_rows(tab: Tab) -> Iterator[str]:
    for row in tab.rows:
        if isinstance(row, TextRow):
            if (row.heading is None) == (row.text is None):
                yield "a text row needs either a heading or a text"
        elif isinstance(row, CardRow) and (width := sum(placed.width for placed in row.cards)) > GRID_COLUMNS:
            keys = ", ".join(placed.card for placed in row.cards)
            yield f"the row {keys} is {width} columns wide; the maximum is {GRID_COLUMNS}"
