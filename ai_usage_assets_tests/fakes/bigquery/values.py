"""Types and values, converted between GoogleSQL, REST resources, Arrow and DuckDB."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import pyarrow as pa

from ai_usage_assets_tests.fakes.bigquery.errors import beyond_this_server, invalid, invalid_query


@dataclass(frozen=True)
class Kind:
    """One scalar type under its names. `bytes` is what BigQuery counts for a value; None: as long as its text."""

    name: str
    in_resources: str
    in_duckdb: str
    in_zetasql: str
    in_arrow: pa.DataType
    bytes: int | None


_KINDS = (
    Kind("STRING", "STRING", "VARCHAR", "TYPE_STRING", pa.string(), None),
    Kind("INT64", "INTEGER", "BIGINT", "TYPE_INT64", pa.int64(), 8),
    Kind("FLOAT64", "FLOAT", "DOUBLE", "TYPE_DOUBLE", pa.float64(), 8),
    Kind("NUMERIC", "NUMERIC", "DECIMAL(38, 9)", "TYPE_NUMERIC", pa.decimal128(38, 9), 16),
    Kind("BOOL", "BOOLEAN", "BOOLEAN", "TYPE_BOOL", pa.bool_(), 1),
    Kind("DATE", "DATE", "DATE", "TYPE_DATE", pa.date32(), 8),
    Kind("TIMESTAMP", "TIMESTAMP", "TIMESTAMPTZ", "TYPE_TIMESTAMP", pa.timestamp("us", "UTC"), 8),
)
KINDS = {kind.name: kind for kind in _KINDS} | {kind.in_resources: kind for kind in _KINDS}
OF_ZETASQL = {kind.in_zetasql: kind for kind in _KINDS}


@dataclass(frozen=True)
class Field:
    """One column; `type` is GoogleSQL's name."""

    name: str
    type: str
    is_required: bool = False
    description: str = ""

    @property
    def kind(self) -> Kind:
        """Its type under all names."""
        return KINDS[self.type]

    @property
    def mode(self) -> str:
        """As resources call it."""
        return "REQUIRED" if self.is_required else "NULLABLE"

    def resource(self) -> dict[str, Any]:
        """As a table's schema shows it."""
        shown = {"name": self.name, "type": self.kind.in_resources, "mode": self.mode}
        return shown | ({"description": self.description} if self.description else {})


def fields_of(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The columns a request describes."""
    fields = []
    for given in schema.get("fields", []):
        if given["type"] not in KINDS or given.get("mode") == "REPEATED":
            raise beyond_this_server(f"column {given['name']} {given['type']} {given.get('mode', '')}")
        is_required = given.get("mode") == "REQUIRED"
        fields.append(Field(given["name"], KINDS[given["type"]].name, is_required, given.get("description") or ""))
    names = [field.name.lower() for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Duplicate field names: {name}")
    return tuple(fields)


def schema_resource(fields: Iterable[Field]) -> dict[str, Any]:
    """The other way round."""
    return {"fields": [field.resource() for field in fields]}


@dataclass(frozen=True)
class Type:
    """The type of a parameter: a scalar, ARRAY of `element`, or STRUCT of `fields`."""

    name: str
    element: Type | None = None
    fields: tuple[tuple[str, Type], ...] = ()

    @property
    def is_rows(self) -> bool:
        """Whether it is an ARRAY of STRUCT: rows."""
        return self.element is not None and bool(self.element.fields)

    def googlesql(self) -> str:
        """As a statement writes it."""
        return f"ARRAY<{self.element.googlesql()}>" if self.element else self.name


@dataclass(frozen=True)
class Parameter:
    """A named parameter and its value as Python has it; rows are lists of dictionaries."""

    name: str
    type: Type
    value: Any

    def as_table(self) -> pa.Table:
        """Rows as a table."""
        assert self.type.element is not None
        columns = {
            name: pa.array([row[name] for row in self.value], KINDS[kind.name].in_arrow)
            for name, kind in self.type.element.fields
        }
        return pa.table(columns)


def parameters_of(given: Sequence[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """The parameters of a query's configuration."""
    found = []
    for one in given:
        kind = _type_of(one["parameterType"])
        found.append(Parameter(one["name"], kind, _decode(one["parameterValue"], kind)))
    return tuple(found)


def _type_of(given: Mapping[str, Any]) -> Type:
    match given["type"]:
        case "ARRAY":
            return Type("ARRAY", element=_type_of(given["arrayType"]))
        case "STRUCT":
            return Type("STRUCT", fields=tuple((f["name"], _type_of(f["type"])) for f in given["structTypes"]))
        case name if name in KINDS:
            return Type(KINDS[name].name)
        case name:
            raise beyond_this_server(f"parameter of type {name}")


def _decode(given: Mapping[str, Any], kind: Type) -> Any:
    if kind.element is not None:
        element = kind.element
        return [_decode(one, element) for one in given.get("arrayValues", [])]
    if kind.fields:
        return {name: _decode(given["structValues"].get(name, {}), inner) for name, inner in kind.fields}
    text = given.get("value")
    if text is None:
        return None
    try:
        return _scalar(text, kind.name)
    except (ValueError, ArithmeticError):
        raise invalid(f"Invalid value for type {kind.name}: {text!r}") from None


def _scalar(text: Any, name: str) -> Any:
    match name:
        case "INT64":
            return int(text)
        case "FLOAT64":
            return float(text)
        case "NUMERIC":
            return Decimal(text)
        case "BOOL":
            # The client writes Python's own `true`, others the word.
            return {"true": True, "false": False}[str(text).lower()]
        case "DATE":
            return date.fromisoformat(text)
        case "TIMESTAMP":
            read = datetime.fromisoformat(text)
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read
        case _:
            return text


def encode(rows: pa.Table, fields: Sequence[Field], *, int64_timestamps: bool) -> list[dict[str, Any]]:
    """Rows as an answer holds them: {"f": [{"v": "1"}, ...]}."""
    columns = [_cells(rows.column(i), field, int64_timestamps) for i, field in enumerate(fields)]
    return [{"f": [{"v": cell} for cell in row]} for row in zip(*columns, strict=True)]


def _cells(column: pa.ChunkedArray, field: Field, int64_timestamps: bool) -> list[str | None]:
    """DuckDB answers sums as wider integers and products with more decimals; BigQuery's types are what is declared."""
    if field.type == "INT64":
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            raise invalid_query("int64 overflow") from None
    if field.type == "TIMESTAMP":
        column = column.cast(field.kind.in_arrow).cast(pa.int64())
        if not int64_timestamps:
            return [None if value is None else repr(value / 1_000_000) for value in column.to_pylist()]
    convert = _CONVERSIONS.get(field.type, str)
    return [None if value is None else convert(value) for value in column.to_pylist()]


def _numeric(value: Decimal | float) -> str:
    rounded = Decimal(str(value)).quantize(_NANO, ROUND_HALF_UP, _PRECISE)
    return format(rounded.normalize(_PRECISE), "f") if rounded else "0"


def _float(value: Decimal | float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")


# 28 digits, Python's own choice, are not enough.
_PRECISE = Context(prec=60)
_NANO = Decimal("1e-9")
_CONVERSIONS: dict[str, Callable[[Any], str]] = {
    "BOOL": lambda value: "true" if value else "false",
    "DATE": date.isoformat,
    "FLOAT64": _float,
    "NUMERIC": _numeric,
}
