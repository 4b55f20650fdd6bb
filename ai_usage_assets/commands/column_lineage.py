"""Prints the lineage of all columns as JSON, from the SQL: `make dictionary` writes it to `sql/column_lineage.json`."""

from __future__ import annotations

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.column_lineage import render_lineage


def main() -> None:
    """Prints the file."""
    print(render_lineage(catalog.tables()), end="")  # noqa: T201 - its output


if __name__ == "__main__":
    main()
