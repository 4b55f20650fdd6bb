"""Export a month of `focus_cost_and_usage` as FOCUS files that FinOps tools read.

Does not define the charges: `sql/kpi/focus_cost_and_usage.sql` does.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ai_usage_assets import catalog
from ai_usage_assets.errors import OperatorError
from ai_usage_assets.files import replace_atomically
from ai_usage_assets.finance import spreadsheet
from ai_usage_assets.redaction import redact
from ai_usage_assets.rendering.text import format_count
from ai_usage_assets.settings import SettingsError
from ai_usage_assets.warehouse.base import Warehouse

VIEW = "focus_cost_and_usage"
VERSIONS = ("1.2", "1.3", "1.4")
FORMATS: Mapping[str, tuple[str, ...]] = {"parquet": ("parquet",), "csv": ("csv",), "both": ("parquet", "csv")}

# The view has the columns of every version. These columns were added or removed by a version.
_ADDED_IN = {
    **dict.fromkeys(
        (
            "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName",
            "AllocatedTags", "ContractApplied", "HostProviderName", "ServiceProviderName",
        ),
        "1.3",
    ),
    **dict.fromkeys(("CommitmentProgramEligibilityDetails", "InvoiceDetailId"), "1.4"),
}  # fmt: skip
_LAST_IN = dict.fromkeys(("ProviderName", "PublisherName"), "1.3")
_PERSON_COLUMN = "x_Person"
# The sort order. All other columns break ties, so that equal charges produce equal files.
_SORT_COLUMNS = (
    "ChargePeriodStart",
    "InvoiceIssuerName",
    "x_CostBasis",
    "ChargeCategory",
    "SkuId",
    "x_CostCenter",
    "x_Team",
)


class ExportError(OperatorError):
    """A file cannot be written; the message names it and the reason."""


@dataclass(frozen=True)
class FocusExport:
    """The files of an export and what they contain. `missing_days` counts days of the month without a vendor's bill."""

    paths: tuple[Path, ...]
    rows: int
    billed_usd: Decimal
    effective_usd: Decimal
    provisional_rows: int
    as_of_date: date
    missing_days: int


def focus_columns(version: str, *, with_people: bool = False) -> tuple[str, ...]:
    """The columns of a FOCUS version in order, those of the specification first."""
    return tuple(
        name
        for name in catalog.table(VIEW).column_names
        if _ADDED_IN.get(name, VERSIONS[0]) <= version <= _LAST_IN.get(name, VERSIONS[-1])
        and (with_people or name != _PERSON_COLUMN)
    )


def export_focus(
    warehouse: Warehouse, month: date, folder: Path, formats: str = "both", *, version: str, with_people: bool = False
) -> FocusExport:
    """Writes the charges of a month. Raises SettingsError when there are none, and ExportError."""
    names = ", ".join(focus_columns(version, with_people=with_people))
    rows = warehouse.query(
        f"SELECT {names} FROM ai_usage.{VIEW} WHERE BillingPeriodStart = @start",
        {"start": datetime(month.year, month.month, 1, tzinfo=UTC)},
    )
    if not rows.num_rows:
        raise _no_charges_error(warehouse, month)
    charges = _normalize(rows if with_people else _redact_text(rows))
    paths = tuple(folder / f"focus-{version}-{month:%Y-%m}.{kind}" for kind in FORMATS[formats])
    write_files({path: partial(_WRITERS[path.suffix], charges, version) for path in paths})
    return FocusExport(
        paths=paths,
        rows=charges.num_rows,
        billed_usd=_sum(charges["BilledCost"]),
        effective_usd=_sum(charges["EffectiveCost"]),
        provisional_rows=pc.sum(charges["x_IsProvisional"].cast(pa.int64())).as_py() or 0,
        as_of_date=pc.max(charges["x_AsOfDate"]).as_py(),
        missing_days=_count_missing_days(warehouse, month),
    )


def _no_charges_error(warehouse: Warehouse, month: date) -> SettingsError:
    (row,) = warehouse.rows(
        f"SELECT MIN(x.BillingPeriodStart) AS first, MAX(x.BillingPeriodStart) AS last FROM ai_usage.{VIEW} AS x"
    )
    if not row["first"]:
        return SettingsError("There are no charges yet; `ai-usage run` loads them.")
    return SettingsError(
        f"There are no charges for {month:%Y-%m}; there are some from {row['first']:%Y-%m} to {row['last']:%Y-%m}."
    )


def _count_missing_days(warehouse: Warehouse, month: date) -> int:
    (row,) = warehouse.rows(
        "SELECT COUNT(DISTINCT usage_date) AS days FROM ai_usage.kpi_completeness "
        "WHERE is_bill AND is_missing AND DATE_TRUNC(usage_date, MONTH) = @month",
        {"month": month},
    )
    return int(row["days"])


def _sum(column: pa.ChunkedArray) -> Decimal:
    total: Decimal = pc.sum(column.cast(pa.decimal128(38, 9))).as_py()
    return total


def _redact_text(charges: pa.Table) -> pa.Table:
    """Redacts text that users chose, such as the name of a key or of an organization."""
    for index, field in enumerate(charges.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            encoded = charges[field.name].combine_chunks().dictionary_encode()
            redacted = pa.array([redact(value) for value in encoded.dictionary.to_pylist()], pa.string())
            charges = charges.set_column(index, field.name, redacted.take(encoded.indices))
    return charges


def _normalize(charges: pa.Table) -> pa.Table:
    """Gives the charges the same types and order on both engines."""
    typed = charges.cast(pa.schema([(field.name, _normalize_type(field.type)) for field in charges.schema]))
    others = [name for name in typed.column_names if name not in _SORT_COLUMNS]
    return typed.sort_by([(name, "ascending") for name in (*_SORT_COLUMNS, *others)])


def _normalize_type(data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal(data_type):
        return pa.decimal128(38, 9)
    if pa.types.is_timestamp(data_type):
        return pa.timestamp("us", "UTC")
    return pa.string() if pa.types.is_large_string(data_type) else data_type


def write_files(files: Mapping[Path, Callable[[Path], None]]) -> None:
    """Writes every file atomically, and replaces none before all are written. Raises ExportError."""
    path = Path()
    try:
        with ExitStack() as stack:
            for path, write in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write(stack.enter_context(replace_atomically(path)))
    except OSError as error:
        raise ExportError(f"{error.filename2 or path} cannot be written: {error.strerror or error}.") from None


def _write_parquet(charges: pa.Table, version: str, path: Path) -> None:
    pq.write_table(charges.replace_schema_metadata({"focus_version": version}), path, compression="zstd")


def _write_csv(charges: pa.Table, version: str, path: Path) -> None:
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(charges.column_names)
        writer.writerows(zip(*(_format_column(charges[name]) for name in charges.column_names), strict=True))


_WRITERS: Mapping[str, Callable[[pa.Table, str, Path], None]] = {".parquet": _write_parquet, ".csv": _write_csv}


def _format_column(column: pa.ChunkedArray) -> Sequence[str]:
    if column.null_count == len(column):
        return [""] * len(column)
    # Users choose the names of keys, teams and cost centers, and spreadsheets run formulas.
    to_text = spreadsheet.escape_formula if pa.types.is_string(column.type) else format_value
    return ["" if value is None else to_text(value) for value in column.to_pylist()]


def format_value(value: object) -> str:
    """Formats a value as FOCUS requires: decimals without exponent, timestamps in UTC."""
    match value:
        case Decimal():
            whole, _, fraction = f"{value:f}".partition(".")
            return f"{whole}.{fraction}".rstrip("0").rstrip(".")
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case bool():
            return str(value).lower()
        case date():
            return value.isoformat()
        case other:
            return str(other)


def summarize_export(export: FocusExport, version: str, month: date) -> Iterable[str]:
    """The totals of an export, and the path of each file."""
    yield (
        f"FOCUS {version}, {month:%Y-%m}: {export.rows:,} rows, {export.billed_usd:,f} USD billed, "
        f"{export.effective_usd:,f} USD effective, as of {export.as_of_date}."
    )
    yield from map(str, export.paths)


def export_warnings(export: FocusExport) -> Iterable[str]:
    """Warnings about missing days and provisional rows in the files."""
    if export.missing_days:
        yield f"{format_count(export.missing_days, 'day')} of the month's bill missing: see `ai-usage status`."
    if export.provisional_rows:
        yield f"{export.provisional_rows:,} rows are provisional (x_IsProvisional). Export again when they are final."
