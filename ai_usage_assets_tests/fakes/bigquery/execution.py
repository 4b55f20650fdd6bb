"""Query jobs: statements and scripts, checked by the analyzer and run by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets_tests.fakes.bigquery import analyser, partition_filters
from ai_usage_assets_tests.fakes.bigquery.analyser import Known, Statement
from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, beyond_this_server, invalid, invalid_query, not_found
from ai_usage_assets_tests.fakes.bigquery.partition_filters import Relation
from ai_usage_assets_tests.fakes.bigquery.tables import Catalogue, Table
from ai_usage_assets_tests.fakes.bigquery.values import Field, Parameter, Type
from ai_usage_assets_tests.fakes.bigquery.writers import Transaction, Writers

# DDL of migrations, which the analyser does not read.
_DEFINITION_CHANGE = re.compile(
    r"(?P<verb>DROP VIEW|DROP TABLE|ALTER TABLE) (?P<dataset>\w+)\.(?P<table>\w+)"
    r"(?: RENAME TO (?P<new_name>\w+)| RENAME COLUMN (?P<column>\w+) TO (?P<new_column>\w+))?"
)
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
# BigQuery bills at least this for each table a query reads.
LEAST_BYTES = 10 * 1024 * 1024


@dataclass
class Outcome:
    """What a query job came to."""

    type: str = "SCRIPT"
    fields: tuple[Field, ...] | None = None
    rows: pa.Table | None = None
    affected: int | None = None
    bytes: int = 0
    children: int = 0
    made: Table | None = None


@dataclass
class Query:
    """A query job's configuration, read."""

    text: str
    parameters: tuple[Parameter, ...]
    default_dataset: str | None
    location: str
    is_dry: bool
    most_bytes: int | None
    # A look of a test, which no rule on partitions keeps from looking.
    unfiltered: bool = False


@dataclass
class _Read:
    """A statement that has passed: its tree, and the tables of the catalogue it names."""

    text: str
    statement: Statement
    tree: exp.Expr
    tables: list[Table] = field(default_factory=list)


@lru_cache(maxsize=1024)
def split(text: str) -> tuple[str, ...]:
    """The statements of a script, as they are written."""
    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except sqlglot.errors.TokenError:
        # The analyser says what is wrong.
        return (text,)
    found, start = [], 0
    for token in tokens:
        if token.token_type == sqlglot.TokenType.SEMICOLON:
            found.append(text[start : token.start])
            start = token.end + 1
    return tuple(statement for statement in [*found, text[start:]] if _says_something(statement))


def _says_something(statement: str) -> bool:
    return bool(sqlglot.tokenize(statement, read="bigquery"))


class Runner:
    """Runs one query job. `may_read` raises for a dataset the caller has no access to; `pause` is called before a
    transaction commits."""

    def __init__(
        self,
        catalogue: Catalogue,
        writers: Writers,
        query: Query,
        *,
        may_read: Callable[[Table], None],
        pause: Callable[[], None],
    ) -> None:
        self._catalogue = catalogue
        self._writers = writers
        self._query = query
        self._may_read = may_read
        self._pause = pause
        self._transaction: Transaction | None = None
        self._changed: list[Table] = []
        self._cursor: duckdb.DuckDBPyConnection

    def run(self) -> Outcome:
        """Everything the job says, or, dry, only whether it may."""
        statements = split(self._query.text)
        if not statements:
            raise invalid_query("Syntax error: Unexpected end of statement at [1:1]")
        if len(statements) == 1:
            return self._one(statements[0])
        last = Outcome()
        with self._catalogue.cursor() as self._cursor:
            try:
                for number, text in enumerate(statements):
                    last = self._in_script(text)
                    last.children = number + 1
            finally:
                if self._transaction is not None:
                    # BigQuery rolls back what a script leaves open.
                    self._end(committed=False)
        return Outcome("SCRIPT", last.fields, last.rows, last.affected, last.bytes, len(statements))

    def _one(self, text: str) -> Outcome:
        if change := _DEFINITION_CHANGE.fullmatch(" ".join(text.split())):
            return self._change_definition(change)
        with self._catalogue.cursor() as self._cursor:
            read = self._read(text)
            if read.statement.type.endswith("_TRANSACTION"):
                raise invalid_query("Transaction control statements are supported only in scripts or sessions")
            return self._execute(read)

    def _change_definition(self, change: re.Match[str]) -> Outcome:
        table = self._catalogue.table(change["dataset"], change["table"])
        if table.is_view != (change["verb"] == "DROP VIEW"):
            raise invalid_query(f"{table.full_name} is not allowed for this operation because of its type.")
        kind = change["verb"].replace(" ", "_")
        if self._query.is_dry:
            return Outcome(kind)
        if change["verb"].startswith("DROP"):
            self._catalogue.delete_table(table)
        elif change["new_name"]:
            self._catalogue.rename_table(table, change["new_name"])
        else:
            self._catalogue.rename_column(table, change["column"], change["new_column"])
        return Outcome(kind)

    def _in_script(self, text: str) -> Outcome:
        try:
            read = self._read(text)
            match read.statement.type:
                case "BEGIN_TRANSACTION":
                    if self._transaction is not None:
                        raise invalid_query("Transaction is already in progress")
                    self._transaction = self._writers.begin()
                    self._cursor.execute("BEGIN TRANSACTION")
                    return Outcome("BEGIN_TRANSACTION")
                case "COMMIT_TRANSACTION" | "ROLLBACK_TRANSACTION" as kind:
                    if self._transaction is None:
                        raise invalid_query("There is no active transaction to commit or rollback")
                    if kind == "COMMIT_TRANSACTION" and not self._query.is_dry:
                        self._pause()
                    self._end(committed=kind == "COMMIT_TRANSACTION")
                    return Outcome(kind)
                case "CREATE_VIEW" if self._transaction is not None:
                    raise invalid_query("CREATE VIEW is not supported in a multi-statement transaction")
            return self._execute(read)
        except ApiError as error:
            raise ApiError(error.status, error.reason, f"Query error: {error.message}") from None

    def _end(self, *, committed: bool) -> None:
        assert self._transaction is not None
        transaction, self._transaction = self._transaction, None
        try:
            self._cursor.execute("COMMIT" if committed else "ROLLBACK")
        finally:
            for table in self._changed:
                self._catalogue.expire(table)
                table.version += 1
            self._writers.end(transaction, committed=committed)

    # What is it, and may it be?

    def _read(self, text: str) -> _Read:
        parameters = frozenset((parameter.name, parameter.type) for parameter in self._query.parameters)
        try:
            tree = _parsed(text)
        except googlesql.UnsupportedSQL as error:
            # Google says what is wrong with it; if nothing is, this server cannot run it.
            self._analyse(text, self._all_known(), parameters)
            raise beyond_this_server(str(error)) from None
        tables, known = [], set()
        with self._catalogue.lock:
            for node in tree.find_all(exp.Table):
                if table := self._table(node):
                    tables.append(table)
                    known.add(Known(tuple(part.name for part in node.parts), table.fields))
        is_view = isinstance(tree, exp.Create) and tree.kind == "VIEW"
        if is_view:
            # The default dataset does not reach into a view.
            known = {one for one in known if len(one.path) > 1}
        statement = self._analyse(text, frozenset(known), parameters)
        self._check_places(tree)
        for table in tables:
            self._may_read(table)
        return _Read(text, statement, tree, tables)

    def _analyse(self, text: str, known: frozenset[Known], parameters: frozenset[tuple[str, Type]]) -> Statement:
        try:
            return analyser.analyse(text, known, parameters)
        except analyser.TableMissing as missing:
            *above, name = missing.path
            if not above:
                raise invalid(f'Table "{name}" must be qualified with a dataset (e.g. dataset.table).') from None
            project = above[0] if len(above) > 1 else self._catalogue.project
            what = f"Table {project}:{above[-1]}.{name}"
            if above[-1] not in self._catalogue.datasets:
                what = f"Dataset {project}:{above[-1]}"
            raise not_found(f"{what} was not found in location {self._query.location}") from None

    def _all_known(self) -> frozenset[Known]:
        with self._catalogue.lock:
            return frozenset(
                Known((dataset.name, table.name), table.fields)
                for dataset in self._catalogue.datasets.values()
                for table in dataset.tables.values()
            )

    def _table(self, node: exp.Table) -> Table | None:
        project = node.catalog or self._catalogue.project
        dataset = self._catalogue.datasets.get(node.db or self._query.default_dataset or "")
        if dataset is None or project != self._catalogue.project:
            return None
        return dataset.tables.get(node.name)

    def _check_places(self, tree: exp.Expr) -> None:
        for node in tree.find_all(exp.Table):
            dataset = self._catalogue.datasets.get(node.db or "")
            if dataset is not None and dataset.location != self._query.location:
                raise not_found(
                    f"Dataset {self._catalogue.project}:{dataset.name} was not found in location {self._query.location}"
                )

    # Running it

    def _execute(self, read: _Read) -> Outcome:
        size = self._bytes(read)
        if self._query.most_bytes is not None and size > self._query.most_bytes:
            billed = max(size, LEAST_BYTES * len(read.tables))
            raise ApiError(
                400,
                "bytesBilledLimitExceeded",
                f"Query exceeded limit for bytes billed: {self._query.most_bytes}. {billed} or higher required.",
            )
        kind = read.statement.type
        if kind == "CREATE_VIEW":
            return self._create_view(read)
        self._check_filters(read)
        if self._query.is_dry:
            return Outcome(kind, read.statement.fields if kind == "SELECT" else None, bytes=size)
        if kind in _CHANGES:
            return self._change(read, size)
        names = [column.name.lower() for column in read.statement.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise invalid_query(
                f"Duplicate column names in the result are not supported. Found duplicate(s): {', '.join(twice)}"
            )
        rows = self._run(self._translated(read.text))
        assert isinstance(rows, pa.Table)
        return Outcome("SELECT", read.statement.fields, rows, bytes=size)

    def _bytes(self, read: _Read) -> int:
        """Of every table it reads, through views too, whole: BigQuery would count the columns and days it needs."""
        return sum(self._catalogue.size(table)[1] for table in self._base_tables(read.tables))

    def _base_tables(self, tables: list[Table]) -> list[Table]:
        found: dict[tuple[str, str], Table] = {}
        waiting = list(tables)
        while waiting:
            table = waiting.pop()
            if table.key in found:
                continue
            found[table.key] = table
            if table.query is not None:
                named = [self._table(node) for node in _parsed(table.query).find_all(exp.Table)]
                waiting.extend(one for one in named if one is not None)
        return [table for table in found.values() if not table.is_view]

    def _check_filters(self, read: _Read) -> None:
        """Tables that require a filter on their days get one, through whatever views."""
        with self._catalogue.lock:
            everything = [t for d in self._catalogue.datasets.values() for t in d.tables.values()]
        if self._query.unfiltered or not any(table.requires_filter for table in everything):
            return
        known = {
            f"{table.dataset}.{table.name}": Relation(
                tuple(column.name for column in table.fields),
                table.partition_column if table.requires_filter else None,
                table.query,
            )
            for table in everything
        }
        found = partition_filters.unfiltered(read.text, known, self._query.default_dataset)
        if found:
            raise invalid_query(
                f"Cannot query over table '{self._catalogue.project}.{found[0].table}' without a filter over column(s) "
                f"'{found[0].column}' that can be used for partition elimination"
            )

    def _create_view(self, read: _Read) -> Outcome:
        view = read.statement.view
        assert view is not None
        dataset = view.path[-2] if len(view.path) > 1 else self._query.default_dataset
        if dataset is None:
            raise invalid(f'Table "{view.path[-1]}" must be qualified with a dataset (e.g. dataset.table).')
        self._catalogue.dataset(dataset)
        if self._query.is_dry:
            return Outcome("CREATE_VIEW")
        existing = self._catalogue.datasets[dataset].tables.get(view.path[-1])
        if existing is not None and view.only_if_missing:
            return Outcome("CREATE_VIEW", made=existing)
        made = self._catalogue.put_view(
            dataset,
            view.path[-1],
            read.statement.fields,
            view.query,
            replaces=view.replaces,
            description=view.description,
            labels=dict(view.labels),
            duckdb_query=self._translated(view.query),
        )
        return Outcome("CREATE_VIEW", made=made)

    def _change(self, read: _Read, size: int) -> Outcome:
        node = read.tree.this
        target = self._table(node.this if isinstance(node, exp.Schema) else node)
        assert target is not None
        if target.is_view:
            raise invalid_query(f"Cannot modify rows of a view: {target.full_name}")
        statement = self._translated(read.text)
        if self._transaction is not None:
            self._writers.take(target, self._transaction)
            self._changed.append(target)
            affected = self._run(statement)
        else:
            with self._writers.alone(target):
                affected = self._run(statement)
                self._catalogue.expire(target)
        target.version += 1
        return Outcome(read.statement.type, affected=affected, bytes=size)

    def _translated(self, text: str) -> str:
        here = {node.name for node in _parsed(text).find_all(exp.Table) if not node.db and self._table(node)}
        kinds = frozenset((parameter.name, parameter.type) for parameter in self._query.parameters)
        return _for_duckdb(text, self._query.default_dataset if here else None, frozenset(here), kinds)

    def _run(self, statement: str) -> Any:
        """Rows of a query, or how many rows a change touched."""
        values: dict[str, Any] = {}
        for parameter in self._query.parameters:
            if parameter.type.is_rows:
                self._cursor.register(_rows_name(parameter.name), parameter.as_table())
            elif re.search(rf"\${parameter.name}\b", statement):
                values[parameter.name] = parameter.value
        try:
            found = self._cursor.sql(statement, params=values or None)
            if found is None:
                return 0
            rows = found.to_arrow_table()
        except duckdb.Error as error:
            raise _told(error) from None
        if statement.lstrip().split(maxsplit=1)[0].upper() in _CHANGES:
            return rows.column(0)[0].as_py()
        return rows


@lru_cache(maxsize=1024)
def _parsed(text: str) -> exp.Expr:
    """The tree, for looking only."""
    return googlesql.parse(text)


@lru_cache(maxsize=1024)
def _for_duckdb(
    text: str, dataset: str | None, in_dataset: frozenset[str], parameters: frozenset[tuple[str, Type]]
) -> str:
    """The statement for DuckDB: names without project, parameters of their types, rows as a table of that name.

    `in_dataset` are the tables named without a dataset that are found in `dataset`.
    """
    tree = _parsed(text).copy()
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if table.catalog:
            table.set("catalog", None)
        elif not table.db and table.name in in_dataset - local:
            table.set("db", exp.to_identifier(dataset, quoted=True))
    kinds = dict(parameters)
    for unnest in list(tree.find_all(exp.Unnest)):
        (given,) = unnest.expressions
        if isinstance(given, exp.Parameter) and kinds[given.name].is_rows:
            rows = exp.Table(this=exp.to_identifier(_rows_name(given.name), quoted=True))
            if alias := unnest.args.get("alias"):
                rows.set("alias", exp.TableAlias(this=(alias.columns or [alias.this])[0].copy()))
            unnest.replace(rows)
    for node in list(tree.find_all(exp.Parameter)):
        kind = exp.DataType.build(kinds[node.name].googlesql(), dialect="bigquery")
        node.replace(exp.Cast(this=node.copy(), to=kind))
    try:
        return googlesql.to_duckdb(tree.sql("bigquery"))
    except googlesql.UnsupportedSQL as error:
        raise beyond_this_server(str(error)) from None


def _rows_name(parameter: str) -> str:
    return f"rows of {parameter}"


def _told(error: duckdb.Error) -> ApiError:
    """What only shows when it runs, in BigQuery's words."""
    said = str(error).splitlines()[0]
    if missing := re.search(r"NOT NULL constraint failed: .*?(\w+)\"?$", said):
        return invalid_query(f"Required field {missing[1]} cannot be null")
    if "cannot affect the same target row more than once" in said:
        return invalid_query("UPDATE/MERGE must match at most one source row for each target row")
    return invalid_query(said)
