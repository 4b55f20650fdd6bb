"""Everything there is in the warehouse, in the order in which it can be made.

Belongs here: gathering the one list of pulls, tables and views from where each is described. Does not: descriptions.
"""

from __future__ import annotations

from functools import cache
from graphlib import TopologicalSorter

from ai_usage_assets.registry import load_sources
from ai_usage_assets.sources.base import Extract
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.sql_files import read_models
from ai_usage_assets.warehouse.tables import Table

EXTRACTS: tuple[Extract, ...] = tuple(pull for source in load_sources() for pull in source.extracts)


@cache
def models() -> tuple[Table, ...]:
    """What SQL makes, each after everything it reads."""
    by_name = {table.name: table for table in read_models()}
    order = TopologicalSorter(
        {name: [read for read in table.reads if read in by_name] for name, table in sorted(by_name.items())}
    )
    return tuple(by_name[name] for name in order.static_order())


@cache
def raw() -> tuple[Table, ...]:
    """What the vendors and the sheet are landed in."""
    return (*(table for pull in EXTRACTS for table in pull.tables), RAW_MAPPING_SHEET)


@cache
def tables() -> tuple[Table, ...]:
    """Every table and view, each after everything it reads."""
    return (*OPS_TABLES, *raw(), *models())


def table(name: str) -> Table:
    """The table of that name. Raises KeyError."""
    return _by_name()[name]


@cache
def _by_name() -> dict[str, Table]:
    return {found.name: found for found in tables()}
