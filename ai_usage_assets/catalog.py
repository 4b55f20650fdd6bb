"""All extracts, tables and views of the project, in an order in which they can be created."""

from __future__ import annotations

from functools import cache

from ai_usage_assets.registry import load_sources
from ai_usage_assets.sources.base import Extract
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets.warehouse.sql_files import read_models
from ai_usage_assets.warehouse.tables import Table

EXTRACTS: tuple[Extract, ...] = tuple(extract for source in load_sources() for extract in source.extracts)


@cache
def models() -> tuple[Table, ...]:
    """The tables and views that SQL files define, each after those that it reads."""
    return tuple(read_models())


@cache
def raw_tables() -> tuple[Table, ...]:
    """The raw tables."""
    return (*(table for extract in EXTRACTS for table in extract.tables), RAW_MAPPING_SHEET)


@cache
def tables() -> tuple[Table, ...]:
    """Every table and view, each after those that it reads."""
    return (*OPS_TABLES, *raw_tables(), *models())


@cache
def stored_reads(model: Table) -> frozenset[str]:
    """The stored tables that a query reads, directly or through views."""
    reads: set[str] = set()
    for name in model.reads:
        read = table(name)
        reads |= stored_reads(read) if read.is_view else {name}
    return frozenset(reads)


def table(name: str) -> Table:
    """The table of that name. Raises KeyError."""
    return _by_name()[name]


@cache
def _by_name() -> dict[str, Table]:
    return {table.name: table for table in tables()}
