"""The data dictionary as Markdown, from the same descriptions that make the tables: `make dictionary`.

Belongs here: how it is laid out. Does not: any description.
"""

from __future__ import annotations

from collections.abc import Iterator

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.tables import Table

_LAYERS = {
    "kpi": "What finance reads: one view a question.",
    "curated": "Facts and dimensions: one meaning of every number, for every view above.",
    "staging": "The vendors' records with names, types and dollars; nothing added up.",
    "raw": "The vendors' records as they came, one partition a day; the truth everything else is made from.",
    "ops": "What ran, what is held, what was checked.",
}


def markdown() -> str:
    """Every table and view with its columns."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Data dictionary"
    yield ""
    yield "Made from the schemas by `make dictionary`; do not edit. In DuckDB say `USE ai_usage.ai_usage` first (file,"
    yield "then schema), in BigQuery the dataset is `ai_usage`. Days are UTC days. Money is US dollars, exact decimals."
    for layer, meaning in _LAYERS.items():
        yield ""
        yield f"## {layer}"
        yield ""
        yield meaning
        for table in sorted(catalog.tables(), key=lambda table: table.name):
            if table.layer == layer:
                yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    kind = "view" if table.is_view else "table"
    layout = f", one partition a {table.partition_by}" if table.partition_by else ""
    yield ""
    yield f"### {table.name}"
    yield ""
    yield f"{table.description} ({kind.capitalize()}{layout}.)"
    if table.reads:
        yield ""
        yield f"Made from {', '.join(f'`{name}`' for name in table.reads)}."
    yield ""
    yield "| column | type | meaning |" if not table.is_view else "| column | meaning |"
    yield "| --- | --- | --- |" if not table.is_view else "| --- | --- |"
    for column in table.columns:
        meaning = column.description.replace("|", "\\|")
        required = " NOT NULL" if column.required else ""
        typed = "" if table.is_view else f" {column.type}{required} |"
        yield f"| `{column.name}` |{typed} {meaning} |"


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - the document is the answer
