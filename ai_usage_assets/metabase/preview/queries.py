"""The rows of a dashboard's cards, from the configured warehouse.

Belongs here: asking as Metabase would, and refusing what it would draw blank. Does not: drawing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ai_usage_assets.metabase.card_validation import validate_rows
from ai_usage_assets.metabase.spec import Card, Dashboard, Spec, SpecError
from ai_usage_assets.metabase.sql_template import TemplateError, fill
from ai_usage_assets.warehouse.base import Warehouse, WarehouseError

Values = Mapping[str, Sequence[str]]

_MONTH = re.compile(r"[1-9][0-9]{3}-(0[1-9]|1[0-2])")


def parse_filters(spec: Spec, given: Sequence[str]) -> dict[str, list[str]]:
    """`KEY=VALUE`s as values of filters. Raises SpecError for what no dashboard can be filtered by."""
    values: dict[str, list[str]] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not value or key not in spec.filters:
            raise SpecError(f"--filter is {one!r}; it takes KEY=VALUE, KEY one of {', '.join(spec.filters)}.")
        if key == "month" and not _MONTH.fullmatch(value):
            raise SpecError(f"--filter is {one!r}; a month is written YYYY-MM.")
        values.setdefault(key, []).append(value)
        if len(values[key]) > 1 and not spec.filters[key].multiple:
            raise SpecError(f"--filter {key} is given twice, and takes one value.")
    return values


def query_card(warehouse: Warehouse, card: Card, values: Values) -> pa.Table:
    """A card's rows; values of filters that it does not have change nothing."""
    return warehouse.query(*fill(card.sql, values))


def query_dashboard(warehouse: Warehouse, dashboard: Dashboard, values: Values) -> dict[str, pa.Table]:
    """The rows of every card. Raises SpecError naming each card that cannot be asked or drawn, and why."""
    found: dict[str, pa.Table] = {}
    wrong: list[str] = []
    for key, card in dashboard.cards.items():
        try:
            found[key] = query_card(warehouse, card, values)
        except (TemplateError, WarehouseError) as error:
            wrong.append(f"{dashboard.key}.yaml: card {key}: {error}")
            continue
        wrong += [f"{dashboard.key}.yaml: card {key}: {fault}" for fault in validate_rows(card, found[key])]
    if wrong:
        raise SpecError(*wrong)
    return found
