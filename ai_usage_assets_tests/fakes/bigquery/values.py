"""Converts types and values between GoogleSQL, REST resources, Arrow and DuckDB."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import pyarrow as pa

from ai_usage_assets_tests.fakes.bigquery.errors import invalid, invalid_query, not_implemented


@dataclass(frozen=True)
class ScalarType:
    """The names of a scalar type. `bytes` is the size of a value that BigQuery counts; None means its text length."""

    name: str
    rest_type: str
    duckdb_type: str
    zetasql_type: str
    arrow_type: pa.DataType
    bytes: int | None


_SCALAR_TYPES = (
    ScalarType("STRING", "STRING", "VARCHAR", "TYPE_STRING", pa.string(), None),
    ScalarType("INT64", "INTEGER", "BIGINT", "TYPE_INT64", pa.int64(), 8),
    ScalarType("FLOAT64", "FLOAT", "DOUBLE", "TYPE_DOUBLE", pa.float64(), 8),
    ScalarType("NUMERIC", "NUMERIC", "DECIMAL(38, 9)", "TYPE_NUMERIC", pa.decimal128(38, 9), 16),
    ScalarType("BOOL", "BOOLEAN", "BOOLEAN", "TYPE_BOOL", pa.bool_(), 1),
    ScalarType("DATE", "DATE", "DATE", "TYPE_DATE", pa.date32(), 8),
    ScalarType("TIMESTAMP", "TIMESTAMP", "TIMESTAMPTZ", "TYPE_TIMESTAMP", pa.timestamp("us", "UTC"), 8),
)
# By GoogleSQL name and by REST name.
SCALAR_TYPES = {
    name: scalar_type for scalar_type in _SCALAR_TYPES for name in (scalar_type.name, scalar_type.rest_type)
}
ZETASQL_TYPES = {scalar_type.zetasql_type: scalar_type for scalar_type in _SCALAR_TYPES}


@dataclass(frozen=True)
class Field:
    """A column. `type` is the GoogleSQL name of its type."""

    name: str
    type: str
    required: bool = False
    description: str = ""

    @property
    def scalar_type(self) -> ScalarType:
        """The names of its type."""
        return SCALAR_TYPES[self.type]

    @property
    def mode(self) -> str:
        """The mode in REST resources."""
        return "REQUIRED" if self.required else "NULLABLE"

    def resource(self) -> dict[str, Any]:
        """Return the entry in a table's schema."""
        entry = {"name": self.name, "type": self.scalar_type.rest_type, "mode": self.mode}
        return entry | ({"description": self.description} if self.description else {})


def parse_fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """Parse the columns of a REST schema."""
    fields = []
    for resource in schema.get("fields", []):
        if resource["type"] not in SCALAR_TYPES or resource.get("mode") == "REPEATED":
            raise not_implemented(f"column {resource['name']} {resource['type']} {resource.get('mode', '')}")
        required = resource.get("mode") == "REQUIRED"
        type_name = SCALAR_TYPES[resource["type"]].name
        fields.append(Field(resource["name"], type_name, required, resource.get("description") or ""))
    names = [field.name.lower() for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Duplicate field names: {name}")
    return tuple(fields)


def schema_resource(fields: Iterable[Field]) -> dict[str, Any]:
    """Return the REST schema of the columns."""
    return {"fields": [field.resource() for field in fields]}


@dataclass(frozen=True)
class ParameterType:
    """The type of a parameter: a scalar, ARRAY of `element`, or STRUCT of `fields`."""

    name: str
    element: ParameterType | None = None
    fields: tuple[tuple[str, ParameterType], ...] = ()

    @property
    def is_row_array(self) -> bool:
        """Whether the type is ARRAY<STRUCT>, which a statement reads as rows."""
        return self.element is not None and bool(self.element.fields)

    def googlesql(self) -> str:
        """Return the type in GoogleSQL."""
        return f"ARRAY<{self.element.googlesql()}>" if self.element else self.name


@dataclass(frozen=True)
class Parameter:
    """A named parameter. The value of an ARRAY<STRUCT> is a list of dictionaries."""

    name: str
    type: ParameterType
    value: Any

    def as_table(self) -> pa.Table:
        """Return the value of an ARRAY<STRUCT> as an Arrow table."""
        assert self.type.element is not None
        columns = {
            name: pa.array([row[name] for row in self.value], SCALAR_TYPES[field_type.name].arrow_type)
            for name, field_type in self.type.element.fields
        }
        return pa.table(columns)


def parse_parameters(resources: Sequence[Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """Parse the `queryParameters` of a query job."""
    parameters = []
    for resource in resources:
        parameter_type = _parse_type(resource["parameterType"])
        value = _parse_value(resource["parameterValue"], parameter_type)
        parameters.append(Parameter(resource["name"], parameter_type, value))
    return tuple(parameters)


def _parse_type(resource: Mapping[str, Any]) -> ParameterType:
    match resource["type"]:
        case "ARRAY":
            return ParameterType("ARRAY", element=_parse_type(resource["arrayType"]))
        case "STRUCT":
            fields = tuple((field["name"], _parse_type(field["type"])) for field in resource["structTypes"])
            return ParameterType("STRUCT", fields=fields)
        case name if name in SCALAR_TYPES:
            return ParameterType(SCALAR_TYPES[name].name)
        case name:
            raise not_implemented(f"parameter of type {name}")


def _parse_value(resource: Mapping[str, Any], parameter_type: ParameterType) -> Any:
    if parameter_type.element is not None:
        element = parameter_type.element
        return [_parse_value(item, element) for item in resource.get("arrayValues", [])]
    if parameter_type.fields:
        values = resource["structValues"]
        return {name: _parse_value(values.get(name, {}), field_type) for name, field_type in parameter_type.fields}
    text = resource.get("value")
    if text is None:
        return None
    try:
        return _parse_scalar(text, parameter_type.name)
    except (ValueError, ArithmeticError):
        raise invalid(f"Invalid value for type {parameter_type.name}: {text!r}") from None


def _parse_scalar(text: Any, name: str) -> Any:
    match name:
        case "INT64":
            return int(text)
        case "FLOAT64":
            return float(text)
        case "NUMERIC":
            return Decimal(text)
        case "BOOL":
            # Depending on the client, the value is a JSON boolean or a string.
            return {"true": True, "false": False}[str(text).lower()]
        case "DATE":
            return date.fromisoformat(text)
        case "TIMESTAMP":
            timestamp = datetime.fromisoformat(text)
            return timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp
        case _:
            return text


def encode_rows(rows: pa.Table, fields: Sequence[Field], *, int64_timestamps: bool) -> list[dict[str, Any]]:
    """Return rows in the format of a response: {"f": [{"v": "1"}, ...]}."""
    columns = [_encode_column(rows.column(i), field, int64_timestamps) for i, field in enumerate(fields)]
    return [{"f": [{"v": cell} for cell in row]} for row in zip(*columns, strict=True)]


def _encode_column(column: pa.ChunkedArray, field: Field, int64_timestamps: bool) -> list[str | None]:
    """Format values in the declared type; DuckDB returns wider integers for sums and more decimals for products."""
    if field.type == "INT64":
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            raise invalid_query("int64 overflow") from None
    if field.type == "TIMESTAMP":
        column = column.cast(field.scalar_type.arrow_type).cast(pa.int64())
        if not int64_timestamps:
            return [None if value is None else repr(value / 1_000_000) for value in column.to_pylist()]
    convert = _FORMATTERS.get(field.type, str)
    return [None if value is None else convert(value) for value in column.to_pylist()]


def _format_numeric(value: Decimal | float) -> str:
    rounded = Decimal(str(value)).quantize(_NANO, ROUND_HALF_UP, _PRECISE)
    return format(rounded.normalize(_PRECISE), "f") if rounded else "0"


def _format_float(value: Decimal | float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")


# Python's default precision of 28 digits is too low for NUMERIC.
_PRECISE = Context(prec=60)
_NANO = Decimal("1e-9")
_FORMATTERS: dict[str, Callable[[Any], str]] = {
    "BOOL": lambda value: "true" if value else "false",
    "DATE": date.isoformat,
    "FLOAT64": _format_float,
    "NUMERIC": _format_numeric,
}
