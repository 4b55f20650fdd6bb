"""Reads the SQL files under `sql/`: tables, views and queries."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from sqlglot import exp

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.package_data import data_folder
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.tables import COLUMN_TYPES, Column, Layer, Table

_LAYERS: tuple[Layer, ...] = ("staging", "curated", "kpi", "ops")


class SchemaError(OperatorError):
    """A file under `sql/` cannot be used; the message names the file and the problem."""


class MissingSqlError(OperatorError):
    """SQL files are missing from the installation."""


def sql_folder() -> Path:
    """The folder of the project's SQL files."""
    return data_folder("sql")


@cache
def read_query(name: str, folder: Path | None = None) -> str:
    """The text of `sql/queries/<name>.sql`, for example "finance/report_days". Raises MissingSqlError.

    `folder` replaces `sql/`.
    """
    return _read((folder or sql_folder()) / "queries" / f"{name}.sql")


def _read(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise MissingSqlError(f"The SQL file {path} does not exist. Reinstall ai-usage.") from None
    except UnicodeDecodeError:
        raise SchemaError(f"{path.name}: is not UTF-8") from None
    if text.startswith("\ufeff"):
        raise SchemaError(f"{path.name}: begins with a byte order mark; save it as UTF-8 without one")
    return text


def query_names(folder: Path | None = None) -> list[str]:
    """The sorted names of all queries, for example "finance/report_days". Raises MissingSqlError if there are none."""
    folder = (folder or sql_folder()) / "queries"
    names = sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.sql"))
    if not names:
        raise MissingSqlError(f"No SQL files found in {folder}. Reinstall ai-usage.")
    return names


def table_paths(folder: Path | None = None) -> list[Path]:
    """The files under `sql/` (or another folder) that define a table or view. Raises MissingSqlError without any."""
    folder = folder or sql_folder()
    queries = folder / "queries"
    paths = sorted(path for path in folder.rglob("*.sql") if queries not in path.parents)
    if not paths:
        raise MissingSqlError(f"No SQL files found in {folder}. Reinstall ai-usage.")
    return paths


def read_models(folder: Path | None = None) -> list[Table]:
    """Every table and view that a query under `sql/` (or another folder) fills, each after those that it reads.

    Raises SchemaError for a file that does not describe itself, MissingSqlError when there is no file.
    """
    return sort_tables([table for table in map(read_table, table_paths(folder)) if table.query])


def sort_tables(tables: Iterable[Table]) -> list[Table]:
    """The tables, each after those that it reads. Raises SchemaError for two of one name, or that read each other."""
    by_name: dict[str, Table] = {}
    for table in sorted(tables, key=lambda table: (table.name, table.layer)):
        if other := by_name.get(table.name):
            raise SchemaError(f"{table.name}: two files have this name, in {other.layer} and {table.layer}; rename one")
        by_name[table.name] = table
    order = TopologicalSorter({name: [r for r in table.reads if r in by_name] for name, table in by_name.items()})
    try:
        return [by_name[name] for name in order.static_order()]
    except CycleError as error:
        raise SchemaError(f"{' reads '.join(reversed(error.args[1]))}: a circle") from None


def read_table(path: Path) -> Table:
    """The table or view that one file defines. Only a table in `ops` has no query: Python writes its rows.

    Raises SchemaError naming the file, MissingSqlError if there is none.
    """
    text = _read(path)
    try:
        tree = googlesql.parse(text)
    except googlesql.UnsupportedSQL as error:
        raise SchemaError(f"{path.name}: {error}") from None
    if not isinstance(tree, exp.Create) or not isinstance(tree.this, exp.Schema):
        raise SchemaError(f"{path.name}: must be CREATE TABLE or CREATE VIEW with a column list")
    layer = _layer(path)
    _, separator, query = text.partition("\nAS\n")
    if tree.expression is None and (layer != "ops" or tree.kind == "VIEW"):
        raise SchemaError(f"{path.name}: must have a query, AS SELECT ...")
    if tree.expression is not None and not separator:
        raise SchemaError(f"{path.name}: AS must be on its own line between the columns and the query")
    target = tree.this.this
    if target.name != path.stem or target.db != googlesql.WRITTEN_DATASET:
        raise SchemaError(f"{path.name}: must create {googlesql.WRITTEN_DATASET}.{path.stem}, not {target.sql()}")
    properties = tree.args["properties"].expressions if tree.args.get("properties") else []
    description = _description(properties)
    columns = tuple(_column(definition) for definition in tree.this.expressions)
    undescribed = [c.name for c in columns if not c.description] + ([] if description else ["the table itself"])
    if undescribed:
        raise SchemaError(f"{path.name}: no description for {', '.join(undescribed)}")
    for column in columns:
        if column.type not in (*COLUMN_TYPES, None):
            raise SchemaError(
                f"{path.name}: the column {column.name} has the type {column.type}; both warehouses have "
                f"{', '.join(COLUMN_TYPES)}"
            )
    selected = [e.alias_or_name for e in tree.expression.selects] if tree.expression else None
    if selected is not None and selected != [c.name for c in columns]:
        raise SchemaError(f"{path.name}: declares columns {[c.name for c in columns]} but selects {selected}")
    reads = googlesql.tables_read(tree.expression) if tree.expression else ()
    if layer == "staging" and len(reads) != 1:
        raise SchemaError(f"{path.name}: a staging view reads one raw table, not {', '.join(reads) or 'none'}")
    partition = [p for p in properties if isinstance(p, exp.PartitionedByProperty)]
    cluster = [p for p in properties if isinstance(p, exp.ClusterProperty)]
    return Table(
        name=path.stem,
        layer=layer,
        description=description,
        columns=columns,
        is_view=tree.kind == "VIEW",
        partition_by=partition[0].this.name if partition else None,
        cluster_by=tuple(c.name for p in cluster for c in p.expressions),
        query=query.strip().removesuffix(";").rstrip() or None,
        reads=reads,
        source=path.parent.name if path.parent.name not in _LAYERS else None,
    )


def _layer(path: Path) -> Layer:
    # A source's own tables are in a subfolder of the layer.
    for folder in (path.parent.name, path.parent.parent.name):
        for layer in _LAYERS:
            if folder == layer:
                return layer
    raise SchemaError(f"{path}: tables and views belong in one of {', '.join(_LAYERS)}, not in {path.parent.name}")


def _column(definition: exp.Expr) -> Column:
    # A column without a type and options is parsed as its name, which has neither.
    column_type = definition.args.get("kind")
    kinds = [constraint.args.get("kind") for constraint in definition.args.get("constraints") or ()]
    options = [o for kind in kinds if isinstance(kind, exp.Properties) for o in kind.expressions]
    return Column(
        name=definition.name,
        type=column_type.sql("bigquery") if column_type else None,
        description=_description(options),
        required=any(isinstance(kind, exp.NotNullColumnConstraint) for kind in kinds),
    )


def _description(properties: Iterable[exp.Expr]) -> str:
    for option in properties:
        if isinstance(option, exp.Property) and option.name == "description":
            return str(option.args["value"].name)
    return ""
