"""Load jobs: a Parquet file is appended to a table, or replaces one of its days."""

from __future__ import annotations

import io
import re
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ai_usage_assets_tests.fakes.bigquery.catalog import Catalog
from ai_usage_assets_tests.fakes.bigquery.errors import duplicate, invalid, not_implemented
from ai_usage_assets_tests.fakes.bigquery.locks import TableLocks
from ai_usage_assets_tests.fakes.bigquery.tables import (
    Table,
    add_column_sql,
    check_schema,
    merge_fields,
    quote_identifier,
)
from ai_usage_assets_tests.fakes.bigquery.values import SCALAR_TYPES, Field, parse_fields, schema_resource

_READ_ERROR = "Error while reading data, error message:"


def parse_destination(catalog: Catalog, configuration: dict[str, Any]) -> tuple[str, str, str | None]:
    """Return dataset, table and partition decorator ("20261110"). Raises `not_found` if the dataset does not exist."""
    reference = configuration["destinationTable"]
    catalog.dataset(reference["datasetId"])
    name, _, decorator = reference["tableId"].partition("$")
    return reference["datasetId"], name, decorator or None


def run_load(catalog: Catalog, locks: TableLocks, configuration: dict[str, Any], content: bytes) -> int:
    """Load a Parquet file and return the number of its rows. A load that fails changes no rows."""
    if configuration.get("sourceFormat") != "PARQUET":
        raise not_implemented(f"loading {configuration.get('sourceFormat')}")
    dataset, name, decorator = parse_destination(catalog, configuration)
    disposition = configuration.get("writeDisposition", "WRITE_APPEND")
    file_rows = _read_parquet(content)
    fields = parse_fields(configuration["schema"]) if configuration.get("schema") else _infer_fields(file_rows)
    with catalog.lock:
        may_create = configuration.get("createDisposition") != "CREATE_NEVER" and not decorator
        if name not in catalog.dataset(dataset).tables and may_create:
            layout = {key: value for key, value in configuration.items() if key in {"timePartitioning", "clustering"}}
            reference = {"tableId": name}
            catalog.create_table(dataset, {"tableReference": reference, "schema": schema_resource(fields), **layout})
        table = catalog.table(dataset, name)
    if table.is_view:
        raise invalid(f"{table.full_name} is not allowed for this operation because it is currently a VIEW.")
    _check_partitioning(table, configuration)
    day = _parse_decorator(table, decorator)
    if disposition == "WRITE_EMPTY" and catalog.size(table)[0]:
        raise duplicate(f"Table {table.full_name}")
    if disposition == "WRITE_TRUNCATE" and day is None:
        raise not_implemented(f"{disposition} of {name} without a day")
    with locks.exclusive(table), catalog.cursor() as cursor:
        may_add = "ALLOW_FIELD_ADDITION" in configuration.get("schemaUpdateOptions", [])
        check_schema(table, fields, may_add=may_add, is_load=True)
        rows = _match_schema(file_rows, fields)
        if day is not None:
            _check_partition(rows, table, day)
        cursor.execute("BEGIN TRANSACTION")
        try:
            existing_names = {field.name for field in table.fields}
            for field in fields:
                if field.name not in existing_names:
                    cursor.execute(add_column_sql(table, field))
            if disposition == "WRITE_TRUNCATE":
                column = quote_identifier(table.partition_column or "")
                cursor.execute(f"DELETE FROM {table.duckdb_name} WHERE {column} = ?", [day])
            cursor.register("load_rows", rows)
            cursor.execute(f"INSERT INTO {table.duckdb_name} BY NAME SELECT * FROM load_rows")
            cursor.execute("COMMIT")
        except duckdb.Error as error:
            cursor.execute("ROLLBACK")
            raise invalid(f"{_READ_ERROR} {str(error).splitlines()[0]}") from None
        with catalog.lock:
            # A load does not change the descriptions of existing columns.
            existing = {field.name: field for field in table.fields}
            table.fields = merge_fields(table, tuple(existing.get(field.name, field) for field in fields))
            catalog.delete_expired_days(table)
            table.version += 1
    return int(rows.num_rows)


def _read_parquet(content: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(content))
    except pa.ArrowException:
        raise invalid(f"{_READ_ERROR} Input file is not in Parquet format.") from None


def _infer_fields(file_rows: pa.Table) -> tuple[Field, ...]:
    return tuple(Field(column.name, _infer_type(column), required=not column.nullable) for column in file_rows.schema)


def _infer_type(column: pa.Field) -> str:
    arrow_type = column.type
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type):
        return "STRING"
    if pa.types.is_integer(arrow_type):
        return "INT64"
    if pa.types.is_floating(arrow_type):
        return "FLOAT64"
    if pa.types.is_decimal(arrow_type) and arrow_type.scale <= 9 and arrow_type.precision - arrow_type.scale <= 29:
        return "NUMERIC"
    if pa.types.is_boolean(arrow_type):
        return "BOOL"
    if pa.types.is_date(arrow_type):
        return "DATE"
    if pa.types.is_timestamp(arrow_type) and arrow_type.tz:
        return "TIMESTAMP"
    raise not_implemented(f"a Parquet column {column.name} of {arrow_type}")


def _match_schema(file_rows: pa.Table, fields: tuple[Field, ...]) -> pa.Table:
    """Return the rows of the file with the columns and types of the job's schema. Raises `invalid`."""
    unknown = set(file_rows.column_names) - {field.name for field in fields}
    if unknown:
        raise invalid(f"{_READ_ERROR} No such field: {min(unknown)}.")
    columns = {}
    for field in fields:
        if field.name not in file_rows.column_names:
            if field.required:
                raise invalid(f"{_READ_ERROR} Required field '{field.name}' is missing.")
            columns[field.name] = pa.nulls(file_rows.num_rows, field.scalar_type.arrow_type)
            continue
        column = file_rows.column(field.name)
        file_type = _infer_type(file_rows.schema.field(field.name))
        if file_type != field.type:
            file_rest_type = SCALAR_TYPES[file_type].rest_type
            raise invalid(
                f"{_READ_ERROR} Parquet column '{field.name}' has type {file_rest_type} which does not match the "
                f"target cpp_type {field.scalar_type.rest_type}."
            )
        if field.required and column.null_count:
            raise invalid(f"{_READ_ERROR} Required field '{field.name}' has a null value.")
        columns[field.name] = column.cast(field.scalar_type.arrow_type)
    return pa.table(columns)


def _check_partitioning(table: Table, configuration: dict[str, Any]) -> None:
    partitioning = configuration.get("timePartitioning")
    if partitioning and partitioning.get("field") != table.partition_column:
        raise invalid(
            "Incompatible table partitioning specification. Expected partitioning specification "
            f"{_specification(table.partition_column)}, but input partitioning specification is "
            f"{_specification(partitioning.get('field'))}"
        )


def _specification(column: str | None) -> str:
    return f"interval(type:day,field:{column})" if column else "none"


def _parse_decorator(table: Table, decorator: str | None) -> date | None:
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


def _check_partition(rows: pa.Table, table: Table, day: date) -> None:
    column = rows.column(table.partition_column)
    matching = pc.sum(pc.equal(column, pa.scalar(day))).as_py() or 0
    if matching != rows.num_rows:
        raise invalid(f"Some rows belong to different partitions rather than destination partition {day:%Y%m%d}")
