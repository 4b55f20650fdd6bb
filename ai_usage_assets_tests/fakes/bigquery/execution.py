"""Query jobs: Google's analyzer checks each statement and DuckDB runs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from ai_usage_assets.warehouse import googlesql
from ai_usage_assets_tests.fakes.bigquery import analyzer
from ai_usage_assets_tests.fakes.bigquery.analyzer import CatalogTable, Statement
from ai_usage_assets_tests.fakes.bigquery.catalog import Catalog
from ai_usage_assets_tests.fakes.bigquery.errors import (
    ApiError,
    invalid,
    invalid_query,
    not_found_in_location,
    not_implemented,
)
from ai_usage_assets_tests.fakes.bigquery.locks import TableLocks, Transaction
from ai_usage_assets_tests.fakes.bigquery.partition_filters import Relation, find_unfiltered, parse_cached
from ai_usage_assets_tests.fakes.bigquery.tables import Table
from ai_usage_assets_tests.fakes.bigquery.translation import (
    row_array_table,
    split_script,
    translate_error,
    translate_to_duckdb,
)
from ai_usage_assets_tests.fakes.bigquery.values import Field, Parameter, ParameterType

# The DDL of migrations. The analyzer does not support it.
_DDL_STATEMENT = re.compile(
    r"(?P<verb>DROP VIEW|DROP TABLE|ALTER TABLE) (?P<dataset>\w+)\.(?P<table>\w+)"
    r"(?: RENAME TO (?P<new_name>\w+)| RENAME COLUMN (?P<column>\w+) TO (?P<new_column>\w+))?"
)
_INFORMATION_SCHEMA = re.compile(r"SELECT table_name, view_definition FROM (?P<dataset>\w+)\.INFORMATION_SCHEMA\.VIEWS")
# A script variable for the number of rows that the last statement changed. The analyzer checks single statements only.
_VARIABLE_STATEMENT = re.compile(
    r"DECLARE (?P<declared>\w+) INT64|SET (?P<set>\w+) = @@row_count|SELECT (?P<selected>[a-z]\w*)"
)
_DML_TYPES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
# BigQuery bills at least 10 MB for each table that a query reads.
MINIMUM_BILLED_BYTES = 10 * 1024 * 1024


@dataclass
class JobResult:
    """The result of a job. `bytes` are the bytes that it processed."""

    type: str = "SCRIPT"
    fields: tuple[Field, ...] | None = None
    rows: pa.Table | None = None
    affected_rows: int | None = None
    bytes: int = 0
    child_jobs: int = 0
    ddl_target: Table | None = None


@dataclass
class QueryConfig:
    """The parsed configuration of a query job."""

    text: str
    parameters: tuple[Parameter, ...]
    default_dataset: str | None
    location: str
    dry_run: bool
    maximum_bytes_billed: int | None
    # Tests may read a table without the partition filter that it requires.
    skip_filter_check: bool = False

    @property
    def parameter_types(self) -> frozenset[tuple[str, ParameterType]]:
        """The names and types of the parameters."""
        return frozenset((parameter.name, parameter.type) for parameter in self.parameters)


@dataclass
class _CheckedStatement:
    """A valid statement, its syntax tree, and the tables and views of the catalog that it names."""

    text: str
    statement: Statement
    tree: exp.Expr
    tables: list[Table] = field(default_factory=list)


class QueryRunner:
    """Runs one query job.

    `check_read_access` raises an error for a table that the caller may not read. `before_commit` is called before each
    COMMIT.
    """

    def __init__(
        self,
        catalog: Catalog,
        locks: TableLocks,
        query: QueryConfig,
        *,
        check_read_access: Callable[[Table], None],
        before_commit: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._locks = locks
        self._query = query
        self._check_read_access = check_read_access
        self._before_commit = before_commit
        self._transaction: Transaction | None = None
        self._changed_tables: list[Table] = []
        self._variables: dict[str, int | None] = {}
        self._row_count: int | None = None
        self._cursor: duckdb.DuckDBPyConnection

    def run(self) -> JobResult:
        """Run all statements of the job, or only check them if it is a dry run. Raises ApiError."""
        statements = split_script(self._query.text)
        if not statements:
            raise invalid_query("Syntax error: Unexpected end of statement at [1:1]")
        if len(statements) == 1:
            return self._run_single(statements[0])
        last = JobResult()
        with self._catalog.cursor() as self._cursor:
            try:
                for number, text in enumerate(statements):
                    last = self._run_in_script(text)
                    last.child_jobs = number + 1
            finally:
                if self._transaction is not None:
                    # BigQuery rolls back a transaction that a script does not end.
                    self._end_transaction(committed=False)
        return JobResult("SCRIPT", last.fields, last.rows, last.affected_rows, last.bytes, len(statements))

    def _run_single(self, text: str) -> JobResult:
        if ddl := _DDL_STATEMENT.fullmatch(" ".join(text.split())):
            return self._run_ddl(ddl)
        if views := _INFORMATION_SCHEMA.fullmatch(" ".join(text.split())):
            return self._list_views(views["dataset"])
        with self._catalog.cursor() as self._cursor:
            checked = self._check_statement(text)
            if checked.statement.type.endswith("_TRANSACTION"):
                raise invalid_query("Transaction control statements are supported only in scripts or sessions")
            return self._execute(checked)

    def _run_ddl(self, ddl: re.Match[str]) -> JobResult:
        table = self._catalog.table(ddl["dataset"], ddl["table"])
        if table.is_view != (ddl["verb"] == "DROP VIEW"):
            raise invalid_query(f"{table.full_name} is not allowed for this operation because of its type.")
        statement_type = ddl["verb"].replace(" ", "_")
        if self._query.dry_run:
            return JobResult(statement_type)
        if ddl["verb"].startswith("DROP"):
            self._catalog.delete_table(table)
        elif ddl["new_name"]:
            self._catalog.rename_table(table, ddl["new_name"])
        else:
            self._catalog.rename_column(table, ddl["column"], ddl["new_column"])
        return JobResult(statement_type)

    def _list_views(self, dataset: str) -> JobResult:
        with self._catalog.lock:
            views = [table for table in self._catalog.tables(dataset).values() if table.is_view]
        for view in views:
            self._check_read_access(view)
        columns = {"table_name": [view.name for view in views], "view_definition": [view.query for view in views]}
        fields = tuple(Field(name, "STRING") for name in columns)
        rows = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        return JobResult("SELECT", fields, rows, bytes=MINIMUM_BILLED_BYTES)

    def _run_in_script(self, text: str) -> JobResult:
        try:
            if variable := _VARIABLE_STATEMENT.fullmatch(" ".join(text.split())):
                return self._run_variable_statement(variable)
            checked = self._check_statement(text)
            match checked.statement.type:
                case "BEGIN_TRANSACTION":
                    if self._transaction is not None:
                        raise invalid_query("Transaction is already in progress")
                    self._transaction = self._locks.begin()
                    self._cursor.execute("BEGIN TRANSACTION")
                    return JobResult("BEGIN_TRANSACTION")
                case "COMMIT_TRANSACTION" | "ROLLBACK_TRANSACTION" as statement_type:
                    if self._transaction is None:
                        raise invalid_query("There is no active transaction to commit or rollback")
                    if statement_type == "COMMIT_TRANSACTION" and not self._query.dry_run:
                        self._before_commit()
                    self._end_transaction(committed=statement_type == "COMMIT_TRANSACTION")
                    return JobResult(statement_type)
                case "CREATE_VIEW" if self._transaction is not None:
                    raise invalid_query("CREATE VIEW is not supported in a multi-statement transaction")
            return self._execute(checked)
        except ApiError as error:
            raise ApiError(error.status, error.reason, f"Query error: {error.message}") from None

    def _run_variable_statement(self, variable: re.Match[str]) -> JobResult:
        name = variable["declared"] or variable["set"] or variable["selected"]
        if variable["declared"]:
            self._variables[name] = None
            return JobResult("DECLARE")
        if name not in self._variables:
            raise invalid_query(f"Unrecognized name: {name}")
        if variable["set"]:
            self._variables[name] = self._row_count
            return JobResult("SET")
        rows = pa.table({name: pa.array([self._variables[name]], pa.int64())})
        return JobResult("SELECT", (Field(name, "INT64"),), rows)

    def _end_transaction(self, *, committed: bool) -> None:
        assert self._transaction is not None
        transaction, self._transaction = self._transaction, None
        try:
            self._cursor.execute("COMMIT" if committed else "ROLLBACK")
        finally:
            for table in self._changed_tables:
                self._catalog.delete_expired_days(table)
                table.version += 1
            self._locks.end(transaction, committed=committed)

    # Checks

    def _check_statement(self, text: str) -> _CheckedStatement:
        try:
            tree = parse_cached(text)
        except googlesql.UnsupportedSQL as error:
            # Raise the analyzer's error if the statement is invalid.
            self._analyze(text, self._all_catalog_tables())
            raise not_implemented(str(error)) from None
        tables, readable = [], set()
        with self._catalog.lock:
            for node in tree.find_all(exp.Table):
                if table := self._find_table(node):
                    tables.append(table)
                    readable.add(CatalogTable(tuple(part.name for part in node.parts), table.fields))
        if isinstance(tree, exp.Create) and tree.kind == "VIEW":
            # The default dataset does not apply in a view.
            readable = {table for table in readable if len(table.path) > 1}
        statement = self._analyze(text, frozenset(readable))
        self._check_locations(tree)
        for table in tables:
            self._check_read_access(table)
        return _CheckedStatement(text, statement, tree, tables)

    def _analyze(self, text: str, tables: frozenset[CatalogTable]) -> Statement:
        try:
            return analyzer.analyze(text, tables, self._query.parameter_types)
        except analyzer.TableNotFound as error:
            *qualifiers, name = error.path
            if not qualifiers:
                raise _unqualified(name) from None
            project, dataset = [self._catalog.project, *qualifiers][-2:]
            missing = f"Table {project}:{dataset}.{name}"
            if dataset not in self._catalog.datasets:
                missing = f"Dataset {project}:{dataset}"
            raise not_found_in_location(missing, self._query.location) from None

    def _all_catalog_tables(self) -> frozenset[CatalogTable]:
        with self._catalog.lock:
            return frozenset(
                CatalogTable((dataset.name, table.name), table.fields)
                for dataset in self._catalog.datasets.values()
                for table in dataset.tables.values()
            )

    def _find_table(self, node: exp.Table) -> Table | None:
        project = node.catalog or self._catalog.project
        dataset = self._catalog.datasets.get(node.db or self._query.default_dataset or "")
        if dataset is None or project != self._catalog.project:
            return None
        return dataset.tables.get(node.name)

    def _check_locations(self, tree: exp.Expr) -> None:
        for node in tree.find_all(exp.Table):
            dataset = self._catalog.datasets.get(node.db or "")
            if dataset is not None and dataset.location != self._query.location:
                raise not_found_in_location(f"Dataset {self._catalog.project}:{dataset.name}", self._query.location)

    # Execution

    def _execute(self, checked: _CheckedStatement) -> JobResult:
        size, limit = self._processed_bytes(checked), self._query.maximum_bytes_billed
        if limit is not None and size > limit:
            billed = max(size, MINIMUM_BILLED_BYTES * len(checked.tables))
            raise ApiError(
                400,
                "bytesBilledLimitExceeded",
                f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.",
            )
        statement_type = checked.statement.type
        if statement_type == "CREATE_VIEW":
            return self._create_view(checked)
        self._check_partition_filters(checked)
        if self._query.dry_run:
            fields = checked.statement.fields if statement_type == "SELECT" else None
            return JobResult(statement_type, fields, bytes=size)
        if statement_type in _DML_TYPES:
            return self._run_dml(checked, size)
        names = [column.name.lower() for column in checked.statement.fields]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise invalid_query(
                f"Duplicate column names in the result are not supported. Found duplicate(s): {', '.join(duplicates)}"
            )
        rows = self._run_in_duckdb(self._translate(checked.text))
        assert isinstance(rows, pa.Table)
        return JobResult("SELECT", checked.statement.fields, rows, bytes=size)

    def _processed_bytes(self, checked: _CheckedStatement) -> int:
        """Return the size of all tables read, also through views. BigQuery counts only the columns and days read."""
        return sum(self._catalog.size(table)[1] for table in self._find_tables_read(checked.tables))

    def _find_tables_read(self, tables: list[Table]) -> list[Table]:
        """Return these tables and views and those that the views read."""
        visited: dict[tuple[str, str], Table] = {}
        pending = list(tables)
        while pending:
            table = pending.pop()
            if table.key in visited:
                continue
            visited[table.key] = table
            if table.query is not None:
                nodes = parse_cached(table.query).find_all(exp.Table)
                pending.extend(inner for node in nodes if (inner := self._find_table(node)))
        return list(visited.values())

    def _check_partition_filters(self, checked: _CheckedStatement) -> None:
        """Raise an error if a table that requires a partition filter is read without one."""
        tables = self._find_tables_read(checked.tables)
        if self._query.skip_filter_check or not any(table.requires_filter for table in tables):
            return
        relations = {
            f"{table.dataset}.{table.name}": Relation(
                tuple(column.name for column in table.fields),
                table.partition_column if table.requires_filter else None,
                table.query,
            )
            for table in tables
        }
        unfiltered = find_unfiltered(checked.text, relations, self._query.default_dataset)
        if unfiltered:
            name = f"{self._catalog.project}.{unfiltered[0].table}"
            raise invalid_query(
                f"Cannot query over table '{name}' without a filter over column(s) '{unfiltered[0].column}' "
                "that can be used for partition elimination"
            )

    def _create_view(self, checked: _CheckedStatement) -> JobResult:
        view = checked.statement.view
        assert view is not None
        dataset = view.path[-2] if len(view.path) > 1 else self._query.default_dataset
        if dataset is None:
            raise _unqualified(view.path[-1])
        self._catalog.dataset(dataset)
        if self._query.dry_run:
            return JobResult("CREATE_VIEW")
        existing = self._catalog.datasets[dataset].tables.get(view.path[-1])
        if existing is not None and view.only_if_missing:
            return JobResult("CREATE_VIEW", ddl_target=existing)
        ddl_target = self._catalog.create_view(
            dataset,
            view.path[-1],
            checked.statement.fields,
            view.query,
            replaces=view.replaces,
            description=view.description,
            labels=dict(view.labels),
            duckdb_query=self._translate(view.query),
        )
        return JobResult("CREATE_VIEW", ddl_target=ddl_target)

    def _run_dml(self, checked: _CheckedStatement, size: int) -> JobResult:
        node = checked.tree.this
        target = self._find_table(node.this if isinstance(node, exp.Schema) else node)
        assert target is not None
        if target.is_view:
            raise invalid_query(f"Cannot modify rows of a view: {target.full_name}")
        statement = self._translate(checked.text)
        if self._transaction is not None:
            self._locks.acquire(target, self._transaction)
            self._changed_tables.append(target)
            affected_rows = self._run_in_duckdb(statement)
        else:
            with self._locks.exclusive(target):
                affected_rows = self._run_in_duckdb(statement)
                self._catalog.delete_expired_days(target)
        target.version += 1
        self._row_count = affected_rows
        return JobResult(checked.statement.type, affected_rows=affected_rows, bytes=size)

    def _translate(self, text: str) -> str:
        nodes = parse_cached(text).find_all(exp.Table)
        unqualified = frozenset(node.name for node in nodes if not node.db and self._find_table(node))
        dataset = self._query.default_dataset if unqualified else None
        return translate_to_duckdb(text, dataset, unqualified, self._query.parameter_types)

    def _run_in_duckdb(self, statement: str) -> Any:
        """Return the rows of a query, or the number of rows that a DML statement changed."""
        values: dict[str, Any] = {}
        for parameter in self._query.parameters:
            if parameter.type.is_row_array:
                self._cursor.register(row_array_table(parameter.name), parameter.as_table())
            elif re.search(rf"\${parameter.name}\b", statement):
                values[parameter.name] = parameter.value
        try:
            relation = self._cursor.sql(statement, params=values or None)
            if relation is None:
                return 0
            rows = relation.to_arrow_table()
        except duckdb.Error as error:
            raise translate_error(error) from None
        if statement.lstrip().split(maxsplit=1)[0].upper() in _DML_TYPES:
            return rows.column(0)[0].as_py()
        return rows


def _unqualified(table: str) -> ApiError:
    return invalid(f'Table "{table}" must be qualified with a dataset (e.g. dataset.table).')
