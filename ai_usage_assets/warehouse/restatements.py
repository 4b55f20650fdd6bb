"""Compares a restated day of the bill before and after its replacement, and returns the parts whose dollars changed.

An engine queries the parts of the loaded and of the new records of a day, because raw tables hold only the newest
version. A raw table has parts if `sql/queries/restatements/<vendor>/<raw table>.sql` exists.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cache

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.base import QueryParameters, Row
from ai_usage_assets.warehouse.ops_tables import OPS_RESTATEMENT_PARTS
from ai_usage_assets.warehouse.sql_files import query_names, read_query, read_table, table_paths
from ai_usage_assets.warehouse.tables import Table

# Dollars by cost basis, dimension and value.
Parts = dict[tuple[str, str, str | None], Decimal]
PartsByDay = dict[tuple[str, date], Parts]

TOTAL = "total"
# Column of a parts query -> the dimension's name in OPS_RESTATEMENT_PARTS.
_DIMENSIONS = {"model": "model", "api_key_id": "api_key", "workspace_id": "workspace", "principal_id": "principal"}


@cache
def _known_queries() -> frozenset[str]:
    return frozenset(query_names())


def query_parts(restatements: Iterable[Row], query_rows: Callable[[str, QueryParameters], list[Row]]) -> PartsByDay:
    """Queries the present parts of the restated days, by raw table and day."""
    days: dict[tuple[str, str], set[date]] = defaultdict(set)
    for row in restatements:
        query = f"restatements/{row['vendor']}/{row['asset']}"
        has_amounts = None not in (row.get("old_amount_usd"), row.get("new_amount_usd"))
        if has_amounts and query in _known_queries():
            days[query, row["asset"]].add(row["usage_date"])
    parts: PartsByDay = {(asset, day): defaultdict(Decimal) for (_, asset), dates in days.items() for day in dates}
    for (query, asset), dates in days.items():
        for row in query_rows(read_query(query), {"start_day": min(dates), "end_day": max(dates)}):
            # The range can include days that are not restated.
            day_parts = parts.get((asset, row["usage_date"]))
            if day_parts is None:
                continue
            day_parts[row["cost_basis"], TOTAL, None] += row["amount_usd"]
            for column, dimension in _DIMENSIONS.items():
                if column in row:
                    day_parts[row["cost_basis"], dimension, row[column]] += row["amount_usd"]
    return parts


def read_from_landing(sql: str, landing: str) -> str:
    """Returns a parts query that reads the records of a landing table instead of those of the raw table.

    A parts query reads one typed view, and the view reads one raw table.
    """
    (name,) = googlesql.tables_read(googlesql.parse(sql))
    view = _read_view(name)
    (raw,) = view.reads
    columns = "day AS usage_date, record_no, payload, carried_email, fetched_at"
    records = f"(SELECT {columns} FROM {landing} WHERE asset = '{raw}')"
    typed = f"(\n{_replace_table(view.query or '', raw, records)}\n)"
    return _replace_table(sql, name, typed)


@cache
def _read_view(name: str) -> Table:
    return read_table(next(path for path in table_paths() if path.stem == name))


def _replace_table(sql: str, name: str, replacement: str) -> str:
    return re.sub(rf"\b{googlesql.WRITTEN_DATASET}\.{name}\b", lambda _: replacement, sql)


def changed_parts(restatements: Sequence[Row], before: PartsByDay, after: PartsByDay) -> list[Row]:
    """Returns the rows of OPS_RESTATEMENT_PARTS: each day's totals, and every value whose dollars changed.

    A day that differs from its log, before or after, has no parts, because they would explain another amount.
    """
    return [part for row in restatements for part in _changed_parts(row, before, after)]


def _changed_parts(row: Row, before: PartsByDay, after: PartsByDay) -> list[Row]:
    day_key = (row["asset"], row["usage_date"])
    if day_key not in before or day_key not in after:
        return []
    old, new = before[day_key], after[day_key]
    if (_total(old), _total(new)) != (row["old_amount_usd"], row["new_amount_usd"]):
        return []
    changed = [part for part in old | new if part[1] != TOTAL and old.get(part) != new.get(part)]
    if not changed:
        return []
    totals = [part for part in old | new if part[1] == TOTAL]
    envelope = {name: row[name] for name in OPS_RESTATEMENT_PARTS.column_names if name in row}
    return [
        {
            **envelope, "cost_basis": part[0], "dimension": part[1], "dimension_value": part[2],
            "old_amount_usd": old.get(part), "new_amount_usd": new.get(part),
        }
        for part in sorted(totals + changed, key=lambda part: (part[0], part[1], part[2] or ""))
    ]  # fmt: skip


def _total(changed_parts: Mapping[tuple[str, str, str | None], Decimal]) -> Decimal:
    return sum((usd for (_, dimension, _), usd in changed_parts.items() if dimension == TOTAL), Decimal(0))
