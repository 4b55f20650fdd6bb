"""Query the cards of a dashboard in the configured warehouse."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.spec_models import Card, Dashboard, Spec, SpecError, value_column
from ai_usage_assets.metabase.sql_template import TemplateError, fill
from ai_usage_assets.warehouse.base import Warehouse, WarehouseError

FilterValues = Mapping[str, Sequence[str]]

_MAX_LISTED = 10

_MONTH = re.compile(r"[1-9][0-9]{3}-(0[1-9]|1[0-2])")


def parse_filters(spec: Spec, arguments: Sequence[str]) -> dict[str, list[str]]:
    """Parse `KEY=VALUE` arguments. Raises SpecError for an unknown filter or an invalid value."""
    values: dict[str, list[str]] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not value or key not in spec.filters:
            raise SpecError(
                f"--filter is {argument!r}; it must be KEY=VALUE with KEY one of {', '.join(spec.filters)}."
            )
        if key == "month" and not _MONTH.fullmatch(value):
            raise SpecError(f"--filter is {argument!r}; a month is written YYYY-MM.")
        values.setdefault(key, []).append(value)
        if len(values[key]) > 1 and not spec.filters[key].multiple:
            raise SpecError(f"--filter {key} is given twice; it takes one value.")
    return values


def check_filters(warehouse: Warehouse, spec: Spec, values: FilterValues) -> None:
    """Raises SpecError for a value that the warehouse does not have. A month without spend can be shown."""
    for key, chosen in values.items():
        if key == "month":
            continue
        column = warehouse.query(*fill(spec.filters[key].sql, {}))[value_column(key, spec.filters[key])]
        known = [str(value) for value in column.to_pylist()]
        for value in chosen:
            if value not in known:
                # Persons are e-mail addresses.
                listed = "" if key == "person" else f"; it must be one of {', '.join(known[:_MAX_LISTED])}"
                raise SpecError(f"--filter is '{key}={value}', which is not in the warehouse{listed}.")


def query_card(warehouse: Warehouse, card: Card, values: FilterValues) -> pa.Table:
    """Return a card's rows; filters that the card does not use are ignored."""
    return warehouse.query(*fill(card.sql, values))


def query_dashboard(warehouse: Warehouse, dashboard: Dashboard, values: FilterValues) -> dict[str, pa.Table]:
    """Return the rows of every card. Raises SpecError with one line per card that fails or cannot be drawn."""
    rows: dict[str, pa.Table] = {}
    errors: list[str] = []
    for key, card in dashboard.cards.items():
        where = f"{dashboard.key}.yaml: card {key}"
        try:
            rows[key] = query_card(warehouse, card, values)
        except (TemplateError, WarehouseError) as error:
            errors.append(f"{where}: {error}")
        else:
            errors += [f"{where}: {line}" for line in validate_rows(card, rows[key])]
    if errors:
        raise SpecError(*errors)
    return rows
