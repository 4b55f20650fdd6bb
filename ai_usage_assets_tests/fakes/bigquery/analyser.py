"""Checks statements with Google's own analyzer of GoogleSQL.

Results are cached for the process by the text and the schemas of the tables.
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

from ai_usage_assets_tests.fakes.bigquery.errors import beyond_this_server, invalid_query
from ai_usage_assets_tests.fakes.bigquery.values import KINDS, OF_ZETASQL, Field, Type
from ai_usage_assets_tests.support.reference_sql import Refused, call, language_options

# By the names of the analyser's nodes, what BigQuery calls the statement.
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
class Known:
    """A table or view under a name by which the statement may call it: its parts, and its columns."""

    path: tuple[str, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class View:
    """What a CREATE VIEW says."""

    path: tuple[str, ...]
    replaces: bool
    only_if_missing: bool
    query: str
    description: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Statement:
    """A statement that may run: its type, and the columns it gives (a query) or makes (a view)."""

    type: str
    fields: tuple[Field, ...] = ()
    view: View | None = None


class TableMissing(Exception):
    """The statement names a table that is not there, by these parts."""

    def __init__(self, path: tuple[str, ...]) -> None:
        super().__init__(".".join(path))
        self.path = path


def analyse(text: str, tables: frozenset[Known], parameters: frozenset[tuple[str, Type]]) -> Statement:
    """What the statement is. Raises TableMissing, or as BigQuery refuses it."""
    found = _analyse(text, tables, parameters)
    if isinstance(found, Statement):
        return found
    missing = re.match(r"Table not found: ([^;\[]+?)(?:; Did you mean .*)?(?: \[at [\d:]+\])?$", found)
    if missing:
        raise TableMissing(tuple(missing[1].replace("`", "").split(".")))
    raise invalid_query(found)


@lru_cache(maxsize=4096)
def _analyse(text: str, tables: frozenset[Known], parameters: frozenset[tuple[str, Type]]) -> Statement | str:
    """The statement, or what Google says against it."""
    request = service.AnalyzeRequest(
        simple_catalog=_catalogue(tables), options=_options(parameters), sql_statement=text
    )
    try:
        answer = call("Analyze", request, service.AnalyzeResponse)
    except Refused as refused:
        return re.sub(r"^\[\w+\] ", "", str(refused))
    statement = answer.resolved_statement
    name = statement.WhichOneof("node")
    node = getattr(statement, name)
    while node.DESCRIPTOR.oneofs and node.WhichOneof("node"):
        name = node.WhichOneof("node")
        node = getattr(node, name)
    match _STATEMENTS.get(name):
        case None:
            raise beyond_this_server(text.strip().splitlines()[0])
        case "SELECT":
            return Statement("SELECT", _columns(node.output_column_list))
        case "CREATE_VIEW":
            return _view(node)
        case kind:
            return Statement(kind)


def _catalogue(tables: frozenset[Known]) -> Any:
    root = simple_catalog_pb2.SimpleCatalogProto(name="root")
    root.builtin_function_options.language_options.CopyFrom(language_options())
    for known in sorted(tables, key=lambda known: known.path):
        inside = root
        for part in known.path[:-1]:
            inside = next((c for c in inside.catalog if c.name == part), None) or inside.catalog.add(name=part)
        places = [(inside, known.path[-1])]
        if len(known.path) > 1:
            # Written in one pair of backticks, it is one name with dots.
            places.append((root, ".".join(known.path)))
        for place, name in places:
            table = place.table.add(name=name)
            for field in known.fields:
                table.column.add(name=field.name).type.type_kind = getattr(type_pb2, field.kind.in_zetasql)
    return root


def _options(parameters: frozenset[tuple[str, Type]]) -> Any:
    options = options_pb2.AnalyzerOptionsProto(default_timezone="UTC")
    options.language_options.CopyFrom(language_options())
    options.error_message_mode = public_options.ERROR_MESSAGE_ONE_LINE
    for name, kind in sorted(parameters, key=lambda parameter: parameter[0]):
        _fill(options.query_parameters.add(name=name).type, kind)
    return options


def _fill(made: Any, kind: Type) -> None:
    if kind.element is not None:
        made.type_kind = type_pb2.TYPE_ARRAY
        _fill(made.array_type.element_type, kind.element)
    elif kind.fields:
        made.type_kind = type_pb2.TYPE_STRUCT
        for name, inner in kind.fields:
            _fill(made.struct_type.field.add(field_name=name).field_type, inner)
    else:
        made.type_kind = getattr(type_pb2, KINDS[kind.name].in_zetasql)


def _columns(columns: Any) -> tuple[Field, ...]:
    fields = []
    for number, column in enumerate(columns):
        name = type_pb2.TypeKind.Name(column.column.type.type_kind)
        if name not in OF_ZETASQL:
            raise beyond_this_server(f"a column of {name}")
        # What has no name is numbered.
        shown = f"f{number}_" if not column.name or column.name.startswith("$") else column.name
        fields.append(Field(shown, OF_ZETASQL[name].name))
    return tuple(fields)


def _view(node: Any) -> Statement:
    base, create = node.parent, node.parent.parent
    unknown = {option.name for option in base.option_list} - _VIEW_OPTIONS
    if unknown:
        raise invalid_query(f"Unknown option: {min(unknown)}")
    options = {option.name: option.value.resolved_literal_node.value.value for option in base.option_list}
    described = [_description(column.annotations.option_list) for column in base.column_definition_list]
    fields = _columns(base.output_column_list)
    return Statement(
        "CREATE_VIEW",
        tuple(
            Field(field.name, field.type, description=description)
            for field, description in zip(fields, described or [""] * len(fields), strict=True)
        ),
        View(
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


def _description(options: Any) -> str:
    for option in options:
        if option.name == "description":
            return str(option.value.resolved_literal_node.value.value.string_value)
    return ""
