"""Google's GoogleSQL engine (ZetaSQL) as the reference for `sql/`: analyzes statements and evaluates queries.

For tests only: exact and slow. The first use on a machine compiles the engine for half a minute and caches the result;
analyses are cached too, by the whole request.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import os
import re
import tempfile
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import wasmtime
from zetasql.core import wasm_client
from zetasql.core.exceptions import ServerError
from zetasql.wasi import get_wasm_path
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public_options
from zetasql.wasi._pb2.zetasql.public import type_pb2, value_pb2

from ai_usage_assets_tests.support.repository import REPOSITORY

DATASET = "ai_usage"

# Features of open-source ZetaSQL that BigQuery does not have, and vice versa.
_FEATURES_OFF = (
    "ARRAY_EQUALITY", "ARRAY_ORDERING", "CONCAT_MIXED_TYPES", "DISALLOW_GROUP_BY_FLOAT", "FOREIGN_KEYS",
    "JSON_TYPE_COMPARISON", "SPANNER_LEGACY_DDL", "TIMESTAMP_NANOS", "TIMESTAMP_PICOS", "TOP_LEVEL_TABLE_STATEMENTS",
    "UNNEST_AND_FLATTEN_ARRAYS",
)  # fmt: skip
_FEATURES_ON = ("CREATE_VIEWS_WITH_COLUMN_OPTIONS",)

_KINDS = {"STRING": "STRING", "INT64": "INT64", "NUMERIC": "NUMERIC", "BOOL": "BOOL", "DATE": "DATE",
          "TIMESTAMP": "TIMESTAMP"}  # fmt: skip
_NAMES = {getattr(type_pb2, f"TYPE_{kind}"): name for name, kind in _KINDS.items()}
_EPOCH = date(1970, 1, 1)
Parameter = date | str | int | Decimal
_NANO = 10**9


class Refused(Exception):
    """Google's engine rejected a statement."""


class _Engine(wasm_client.WasmClient):  # type: ignore[misc]  # the wheel is not typed
    """The wheel's client with bulk memory copies."""

    def write_bytes(self, ptr: int, data: bytes) -> None:
        ctypes.memmove(ctypes.addressof(self.memory.data_ptr().contents) + ptr, data, len(data))

    def read_bytes(self, ptr: int, size: int) -> bytes:
        return ctypes.string_at(ctypes.addressof(self.memory.data_ptr().contents) + ptr, size)


@functools.cache
def _engine() -> _Engine:
    def config() -> wasmtime.Config:
        warehouse = wasmtime.Config()
        warehouse.cache = True
        return warehouse

    wasm_client.Config = config
    # Compiling uses all processors; one worker compiles, and the others read the cache.
    with Path(tempfile.gettempdir(), f"zetasql-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _Engine(wasm_path=get_wasm_path())


# The engine's memory allows one caller at a time.
_LOCK = threading.Lock()


def call(name: str, request: Any, answer: type[Any]) -> Any:
    """Calls the engine's service. Raises Refused with the engine's message."""
    with _LOCK:
        try:
            return _engine().call_grpc_func(f"ZetaSqlLocalService_{name}", request, answer)
        except ServerError as error:
            raise Refused(str(error)) from None


@functools.cache
def _cache_folder() -> Path:
    """The analyses of this version of the engine, without those that nobody used for a month."""
    folder = REPOSITORY / "build" / f"zetasql-{version('zetasql')}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - 30 * 86_400:
            path.unlink(missing_ok=True)
    return folder


def analyze(request: service.AnalyzeRequest) -> Any:
    """Analyzes a statement. Raises Refused with the engine's message.

    An analysis depends on nothing but the request, which contains the catalog, and takes up to 0.6 s, so that its
    response is stored for all workers and later sessions.
    """
    path = _cache_folder() / hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    if path.exists():
        os.utime(path)
        kind, content = (stored := path.read_bytes())[:1], zlib.decompress(stored[1:])
    else:
        try:
            kind, content = b"+", call("Analyze", request, service.AnalyzeResponse).SerializeToString()
        except Refused as error:
            kind, content = b"-", str(error).encode()
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        unfinished.write_bytes(kind + zlib.compress(content))
        unfinished.replace(path)
    if kind == b"-":
        raise Refused(content.decode())
    return service.AnalyzeResponse.FromString(content)


@functools.cache
def language_options() -> Any:
    """Language options of BigQuery."""
    language = call(
        "GetLanguageOptions", service.LanguageOptionsRequest(maximum_features=True), options_pb2.LanguageOptionsProto
    )
    language.product_mode = public_options.PRODUCT_EXTERNAL
    number = public_options.LanguageFeature.Value
    features = set(language.enabled_language_features) - {number(f"FEATURE_{name}") for name in _FEATURES_OFF}
    del language.enabled_language_features[:]
    language.enabled_language_features.extend(sorted(features | {number(f"FEATURE_{name}") for name in _FEATURES_ON}))
    language.reserved_keywords.append("QUALIFY")
    # Empty allows every kind of statement.
    del language.supported_statement_kinds[:]
    return language


class Reference:
    """A catalog of tables for Google's engine, and the query parameters."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self._parameters = parameters
        self._catalog = simple_catalog_pb2.SimpleCatalogProto(name="root")
        self._catalog.builtin_function_options.language_options.CopyFrom(language_options())
        self._dataset = self._catalog.catalog.add(name=DATASET)
        self._options = _analyzer_options(parameters)
        self._content: dict[str, Any] = {}
        self._registered_id: int | None = None

    def declare(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]] = ()) -> None:
        """Declares a table with these columns (name -> GoogleSQL type) and rows."""
        self._registered_id = None
        # The evaluator reads rows from the root catalog only; statements use the dataset.
        for catalog in (self._catalog, self._dataset):
            kept = [table for table in catalog.table if table.name != name]
            del catalog.table[:]
            catalog.table.extend(kept)
            table = catalog.table.add(name=name)
            for column, kind in columns.items():
                table.column.add(name=column).type.type_kind = getattr(type_pb2, f"TYPE_{_KINDS[kind]}")
        content = service.TableContent()
        # An empty table has contents, too.
        content.table_data.SetInParent()
        for row in rows:
            warehouse = content.table_data.row.add()
            for value, kind in zip(row, columns.values(), strict=True):
                warehouse.cell.append(_encode(value, kind))
        self._content[name] = content

    def analyze(self, sql: str) -> dict[str, str]:
        """Returns the columns and types of a CREATE statement or a query. Raises Refused with the engine's message."""
        request = service.AnalyzeRequest(simple_catalog=self._catalog, options=self._options, sql_statement=sql)
        statement = analyze(request).resolved_statement
        node = getattr(statement, statement.WhichOneof("node"))
        while node.DESCRIPTOR.oneofs and node.WhichOneof("node"):
            node = getattr(node, node.WhichOneof("node"))
        while "output_column_list" not in node.DESCRIPTOR.fields_by_name or not node.output_column_list:
            node = node.parent
        return {column.name: _NAMES[column.column.type.type_kind] for column in node.output_column_list}

    def query(
        self, sql: str, parameters: Mapping[str, Parameter] | None = None
    ) -> tuple[dict[str, str], list[list[Any]]]:
        """Evaluates a query and returns its columns and rows. Raises Refused. The tables are declared before."""
        values = self._parameters if parameters is None else parameters
        request = service.EvaluateQueryRequest(
            sql=re.sub(rf"\b{DATASET}\.", "", sql),
            options=self._options if parameters is None else _analyzer_options(parameters),
            registered_catalog_id=self._register(),
        )
        for name, value in values.items():
            request.params.add(name=name, value=_encode(value, _kind(value)))
        response = call("EvaluateQuery", request, service.EvaluateQueryResponse)
        content = response.content
        columns = {column.name: _NAMES[column.type.type_kind] for column in response.prepared.columns}
        return columns, [
            [_decode(cell, kind) for cell, kind in zip(row.cell, columns.values(), strict=True)]
            for row in content.table_data.row
        ]

    def _register(self) -> int:
        """Gives the tables to the engine once for many queries, and returns their id."""
        if self._registered_id is None:
            request = service.RegisterCatalogRequest(simple_catalog=self._catalog, table_content=self._content)
            self._registered_id = int(call("RegisterCatalog", request, service.RegisterResponse).registered_id)
        return self._registered_id


def _analyzer_options(parameters: Mapping[str, Parameter]) -> Any:
    options = options_pb2.AnalyzerOptionsProto(default_timezone="UTC")
    options.language_options.CopyFrom(language_options())
    for name, value in parameters.items():
        options.query_parameters.add(name=name).type.type_kind = getattr(type_pb2, f"TYPE_{_kind(value)}")
    return options


def _kind(parameter: Parameter) -> str:
    return {str: "STRING", int: "INT64", Decimal: "NUMERIC", date: "DATE"}[type(parameter)]


def _encode(value: Any, kind: str) -> Any:
    warehouse = value_pb2.ValueProto()
    if value is None:
        return warehouse
    match kind:
        case "STRING":
            warehouse.string_value = value
        case "INT64":
            warehouse.int64_value = value
        case "BOOL":
            warehouse.bool_value = value
        case "DATE":
            warehouse.date_value = (value - _EPOCH).days
        case "TIMESTAMP":
            since = value - datetime(1970, 1, 1, tzinfo=UTC)
            warehouse.timestamp_value.seconds = since // timedelta(seconds=1)
            warehouse.timestamp_value.nanos = since % timedelta(seconds=1) // timedelta(microseconds=1) * 1000
        case "NUMERIC":
            warehouse.numeric_value = int(value * _NANO).to_bytes(16, "little", signed=True)
    return warehouse


def _decode(cell: Any, kind: str) -> Any:
    set_one = cell.WhichOneof("value")
    if set_one is None:
        return None
    match kind:
        case "DATE":
            return _EPOCH + timedelta(days=cell.date_value)
        case "TIMESTAMP":
            stamp = cell.timestamp_value
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
        case "NUMERIC":
            # Without trailing zeros.
            return Decimal(int.from_bytes(cell.numeric_value, "little", signed=True)).scaleb(-9)
        case _:
            return getattr(cell, set_one)


def row_lists(table: pa.Table) -> list[list[Any]]:
    """The rows of an Arrow table."""
    return [list(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]


def canonical_rows(rows: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """Sorted rows as text, numbers without trailing zeros."""
    return sorted(
        tuple(format(value.normalize(), "f") if isinstance(value, Decimal) else str(value) for value in row)
        for row in rows
    )
