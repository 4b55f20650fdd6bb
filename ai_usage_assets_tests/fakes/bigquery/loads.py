"""Load jobs: a Parquet file replaces or extends a table or one of its days."""

from __future__ import annotations

import io
import re
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ai_usage_assets_tests.fakes.bigquery.errors import beyond_this_server, invalid, not_found
from ai_usage_assets_tests.fakes.bigquery.tables import Catalogue, Table, add_column, check_schema, in_order, quoted
from ai_usage_assets_tests.fakes.bigquery.values import KINDS, Field, fields_of
from ai_usage_assets_tests.fakes.bigquery.writers import Writers

_READING = "Error while reading data, error message:"


def destination(catalogue: Catalogue, configuration: dict[str, Any]) -> tuple[str, str, str | None]:
    """Dataset, table and, behind a `$`, the day. Raises not found for a dataset that is not there."""
    reference = configuration["destinationTable"]
    catalogue.dataset(reference["datasetId"])
    name, _, day = reference["tableId"].partition("$")
    return reference["datasetId"], name, day or None


def load(catalogue: Catalogue, writers: Writers, configuration: dict[str, Any], content: bytes) -> int:
    """Rows loaded. Nothing is changed when it raises."""
    if configuration.get("sourceFormat") != "PARQUET":
        raise beyond_this_server(f"loading {configuration.get('sourceFormat')}")
    dataset, name, decorator = destination(catalogue, configuration)
    disposition = configuration.get("writeDisposition", "WRITE_APPEND")
    found = _read(content)
    wanted = fields_of(configuration["schema"]) if configuration.get("schema") else _fields_of_file(found)
    with catalogue.lock:
        if name not in catalogue.dataset(dataset).tables:
            if configuration.get("createDisposition") == "CREATE_NEVER" or decorator:
                raise not_found(f"Table {catalogue.project}:{dataset}.{name}")
            made: dict[str, Any] = {
                key: configuration[key] for key in ("timePartitioning", "clustering") if key in configuration
            }
            catalogue.create_table(
                dataset,
                {
                    "tableReference": {"tableId": name},
                    "schema": {"fields": [field.resource() for field in wanted]},
                    **made,
                },
            )
        table = catalogue.table(dataset, name)
    if table.is_view:
        raise invalid(f"{table.full_name} is not allowed for this operation because it is currently a VIEW.")
    _check_layout(table, configuration)
    day = _day(table, decorator)
    if disposition not in {"WRITE_APPEND", "WRITE_TRUNCATE"} or (disposition == "WRITE_TRUNCATE" and day is None):
        raise beyond_this_server(f"{disposition} of {name} without a day")
    with writers.alone(table), catalogue.cursor() as cursor:
        may_add = "ALLOW_FIELD_ADDITION" in configuration.get("schemaUpdateOptions", [])
        check_schema(table, wanted, may_add=may_add, may_leave_out=True)
        rows = _fitting(found, wanted)
        if day is not None:
            _check_days(rows, table, day)
        cursor.execute("BEGIN TRANSACTION")
        try:
            known = {field.name for field in table.fields}
            for field in wanted:
                if field.name not in known:
                    cursor.execute(add_column(table, field))
            if disposition == "WRITE_TRUNCATE":
                cursor.execute(f"DELETE FROM {table.in_duckdb} WHERE {quoted(table.partition_column or '')} = ?", [day])
            cursor.register("loaded", rows)
            cursor.execute(f"INSERT INTO {table.in_duckdb} BY NAME SELECT * FROM loaded")
            cursor.execute("COMMIT")
        except duckdb.Error as error:
            cursor.execute("ROLLBACK")
            raise invalid(f"{_READING} {str(error).splitlines()[0]}") from None
        with catalogue.lock:
            # What a load says of descriptions is for a table it makes.
            described = {field.name: field for field in table.fields}
            table.fields = in_order(table, tuple(described.get(field.name, field) for field in wanted))
            catalogue.expire(table)
            table.version += 1
    return int(rows.num_rows)


def _read(content: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(content))
    except pa.ArrowException:
        raise invalid(f"{_READING} Input file is not in Parquet format.") from None


def _fields_of_file(found: pa.Table) -> tuple[Field, ...]:
    return tuple(Field(f.name, _type(f), is_required=not f.nullable) for f in found.schema)


def _type(column: pa.Field) -> str:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "STRING"
    if pa.types.is_integer(kind):
        return "INT64"
    if pa.types.is_floating(kind):
        return "FLOAT64"
    if pa.types.is_decimal(kind) and kind.scale <= 9 and kind.precision - kind.scale <= 29:
        return "NUMERIC"
    if pa.types.is_boolean(kind):
        return "BOOL"
    if pa.types.is_date(kind):
        return "DATE"
    if pa.types.is_timestamp(kind) and kind.tz:
        return "TIMESTAMP"
    raise beyond_this_server(f"a Parquet column {column.name} of {kind}")


def _fitting(found: pa.Table, wanted: tuple[Field, ...]) -> pa.Table:
    """The file's rows under the columns of the job's schema."""
    strangers = set(found.column_names) - {field.name for field in wanted}
    if strangers:
        raise invalid(f"{_READING} No such field: {min(strangers)}.")
    columns = {}
    for field in wanted:
        if field.name not in found.column_names:
            if field.is_required:
                raise invalid(f"{_READING} Required field '{field.name}' is missing.")
            columns[field.name] = pa.nulls(found.num_rows, field.kind.in_arrow)
            continue
        column = found.column(field.name)
        has = _type(found.schema.field(field.name))
        if has != field.type:
            shown = KINDS[has].in_resources
            raise invalid(
                f"{_READING} Parquet column '{field.name}' has type {shown} which does not match the target "
                f"cpp_type {field.kind.in_resources}."
            )
        if field.is_required and column.null_count:
            raise invalid(f"{_READING} Required field '{field.name}' has a null value.")
        columns[field.name] = column.cast(field.kind.in_arrow)
    return pa.table(columns)


def _check_layout(table: Table, configuration: dict[str, Any]) -> None:
    given = configuration.get("timePartitioning")
    if given and given.get("field") != table.partition_column:
        raise invalid(
            "Incompatible table partitioning specification. Expected partitioning specification "
            f"{_specification(table.partition_column)}, but input partitioning specification is "
            f"{_specification(given.get('field'))}"
        )


def _specification(column: str | None) -> str:
    return f"interval(type:day,field:{column})" if column else "none"


def _day(table: Table, decorator: str | None) -> date | None:
    if decorator is None:
        return None
    if table.partition_column is None:
        raise invalid(
            "Incompatible table partitioning specification. Expected partitioning specification none, but input "
            "partitioning specification is interval(type:day)"
        )
    try:
        if not re.fullmatch(r"\d{8}", decorator):
            raise ValueError
        return date.fromisoformat(decorator)
    except ValueError:
        raise invalid(f'Invalid date partition decorator "${decorator}".') from None


def _check_days(rows: pa.Table, table: Table, day: date) -> None:
    column = rows.column(table.partition_column)
    inside = pc.sum(pc.equal(column, pa.scalar(day))).as_py() or 0
    if inside != rows.num_rows:
        raise invalid(f"Some rows belong to different partitions rather than destination partition {day:%Y%m%d}")
