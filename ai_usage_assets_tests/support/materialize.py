"""Replaces views by tables with the same rows, for tests that query them many times and never change what they read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from ai_usage_assets import catalog


def materialize_views(path: Path, names: Iterable[str]) -> None:
    """Replaces these views of the warehouse file by tables; names of tables are ignored."""
    chosen = set(names)
    with duckdb.connect(str(path)) as connection:
        connection.execute("USE ai_usage")
        # In the order of the catalog, so that a view reads the tables that already replace others.
        for view in catalog.models():
            if (
                view.name in chosen
                and connection.execute("SELECT 1 FROM duckdb_views() WHERE view_name = ?", [view.name]).fetchone()
            ):
                connection.execute(f"CREATE TABLE {view.name}_ AS SELECT * FROM {view.name}")
                connection.execute(f"DROP VIEW {view.name}")
                connection.execute(f"ALTER TABLE {view.name}_ RENAME TO {view.name}")
