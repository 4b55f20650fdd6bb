"""Checks statements with Google's GoogleSQL analyzer.

Results are cached in the process, by the text of the statement, the schemas of its tables and the parameter types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import type_pb2
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_ast_enums_pb2

from ai_usage_assets_tests.fakes.bigquery.errors import invalid_query, not_implemented
from ai_usage_assets_tests.fakes.bigquery.values import SCALAR_TYPES, ZETASQL_TYPES, Field, ParameterType
from ai_usage_assets_tests.support.reference_sql import Refused, language_options
from ai_usage_assets_tests.support.reference_sql import analyze as analyze_request

# The analyzer's name of a node -> BigQuery's name of the statement type.
_STATEMENTS = {
    "resolved_query_stmt_node": "SELECT",
    "resolved_create_view_stmt_node": "CREATE_VIEW",
    "resolved_insert_stmt_node": "INSERT",
    "resolved_update_stmt_node": "UPDATE",
    "resolved_delete_stmt_node": "DELETE",
    "resolved_merge_stmt_node": "MERGE",
    "resolved_begin_stmt_node": "BEGIN_TRANSACTION",
    "resolved_commit_stmt_node": "COMMIT_TRANSACTION",
    "resolved_rollback_stmt_node": "ROLLBACK_TRANSACTION",
}
_CREATE_MODE = resolved_ast_enums_pb2.ResolvedCreateStatementEnums.CreateMode
_VIEW_OPTIONS = {"description", "labels", "friendly_name", "expiration_timestamp"}


@dataclass(frozen=True)
class CatalogTable:
    """A table or view that a statement can read. `path` is its name as the statement writes it, in parts."""

    path: tuple[str, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class ViewDefinition:
    """A parsed CREATE VIEW statement."""

    path: tuple[str, ...]
    replaces: bool
    only_if_missing: bool
    query: str
    description: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Statement:
    """A valid statement: its type, and the columns that a query returns or a view has."""

    type: str
    fields: tuple[Field, ...] = ()
    view: ViewDefinition | None = None


class TableNotFound(Exception):
    """The statement reads a table that the catalog does not contain. `path` is its name in parts."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(".".join(path))
        self.path = path


def analyze(text: str, tables: frozenset[CatalogTable], parameters: frozenset[tuple[str, ParameterType]]) -> Statement:
    """Analyze a statement. Raises TableNotFound, or `invalid_query` with the analyzer's message."""
    result = _analyze_cached(text, tables, parameters)
    if isinstance(result, Statement):
        return result
    missing = re.match(r"Table not found: ([^;\[]+?)(?:; Did you mean .*)?(?: \[at [\d:]+\])?$", result)
    if missing:
        raise TableNotFound(tuple(missing[1].replace("`", "").split(".")))
    raise invalid_query(result)


@lru_cache(maxsize=4096)
def _analyze_cached(
    text: str, tables: frozenset[CatalogTable], parameters: frozenset[tuple[str, ParameterType]]
) -> Statement | str:
    """Return the statement, or the analyzer's error message."""
    request = service.AnalyzeRequest(
        simple_catalog=_build_catalog(tables), options=_build_options(parameters), sql_statement=text
    )
    try:
        response = analyze_request(request)
    except Refused as caught:
        return re.sub(r"^\[\w+\] ", "", str(caught))
    statement = response.resolved_statement
    name = statement.WhichOneof("node")
    node = getattr(statement, name)
    while node.DESCRIPTOR.oneofs and node.WhichOneof("node"):
        name = node.WhichOneof("node")
        node = getattr(node, name)
    match _STATEMENTS.get(name):
        case None:
            raise not_implemented(text.strip().splitlines()[0])
        case "SELECT":
            return Statement("SELECT", _read_columns(node.output_column_list))
        case "CREATE_VIEW":
            return _read_view(node)
        case statement_type:
            return Statement(statement_type)


def _build_catalog(tables: frozenset[CatalogTable]) -> Any:
    root = simple_catalog_pb2.SimpleCatalogProto(name="root")
    root.builtin_function_options.language_options.CopyFrom(language_options())
    for table in sorted(tables, key=lambda table: table.path):
        parent = root
        for part in table.path[:-1]:
            children = {child.name: child for child in parent.catalog}
            parent = children.get(part) or parent.catalog.add(name=part)
        entries = [parent.table.add(name=table.path[-1])]
        if len(table.path) > 1:
            # The analyzer reads `dataset.table` in one pair of backticks as one name with a dot.
            entries.append(root.table.add(name=".".join(table.path)))
        for entry in entries:
            for field in table.fields:
                entry.column.add(name=field.name).type.type_kind = getattr(type_pb2, field.scalar_type.zetasql_type)
    return root


def _build_options(parameters: frozenset[tuple[str, ParameterType]]) -> Any:
    options = options_pb2.AnalyzerOptionsProto(default_timezone="UTC")
    options.language_options.CopyFrom(language_options())
    options.error_message_mode = public_options.ERROR_MESSAGE_ONE_LINE
    for name, parameter_type in sorted(parameters, key=lambda parameter: parameter[0]):
        _set_type(options.query_parameters.add(name=name).type, parameter_type)
    return options


def _set_type(target: Any, parameter_type: ParameterType) -> None:
    if parameter_type.element is not None:
        target.type_kind = type_pb2.TYPE_ARRAY
        _set_type(target.array_type.element_type, parameter_type.element)
    elif parameter_type.fields:
        target.type_kind = type_pb2.TYPE_STRUCT
        for name, field_type in parameter_type.fields:
            _set_type(target.struct_type.field.add(field_name=name).field_type, field_type)
    else:
        target.type_kind = getattr(type_pb2, SCALAR_TYPES[parameter_type.name].zetasql_type)


def _read_columns(columns: Any) -> tuple[Field, ...]:
    fields = []
    for number, column in enumerate(columns):
        name = type_pb2.TypeKind.Name(column.column.type.type_kind)
        if name not in ZETASQL_TYPES:
            raise not_implemented(f"a column of {name}")
        # BigQuery numbers columns without a name.
        column_name = f"f{number}_" if not column.name or column.name.startswith("$") else column.name
        fields.append(Field(column_name, ZETASQL_TYPES[name].name))
    return tuple(fields)


def _read_view(node: Any) -> Statement:
    base, create = node.parent, node.parent.parent
    unknown = {option.name for option in base.option_list} - _VIEW_OPTIONS
    if unknown:
        raise invalid_query(f"Unknown option: {min(unknown)}")
    options = {option.name: option.value.resolved_literal_node.value.value for option in base.option_list}
    descriptions = [_read_description(column.annotations.option_list) for column in base.column_definition_list]
    fields = _read_columns(base.output_column_list)
    return Statement(
        "CREATE_VIEW",
        tuple(
            Field(field.name, field.type, description=description)
            for field, description in zip(fields, descriptions or [""] * len(fields), strict=True)
        ),
        ViewDefinition(
            path=tuple(create.name_path),
            replaces=create.create_mode == _CREATE_MODE.Value("CREATE_OR_REPLACE"),
            only_if_missing=create.create_mode == _CREATE_MODE.Value("CREATE_IF_NOT_EXISTS"),
            query=base.sql,
            description=options["description"].string_value if "description" in options else "",
            labels=tuple(
                (pair.struct_value.field[0].string_value, pair.struct_value.field[1].string_value)
                for pair in (options["labels"].array_value.element if "labels" in options else ())
            ),
        ),
    )


def _read_description(options: Any) -> str:
    for option in options:
        if option.name == "description":
            return str(option.value.resolved_literal_node.value.value.string_value)
    return ""
