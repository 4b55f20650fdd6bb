"""`ai-usage focus export`: a month of `focus_cost_and_usage` as files that FinOps tools read.

Belongs here: which columns a version of FOCUS has, how they are written down, and that files are whole or not there.
Does not: what a charge is (`sql/kpi/focus_cost_and_usage.sql`).
"""

from __future__ import annotations

import csv
import errno
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
from ai_usage_assets.settings import SettingsError
from ai_usage_assets.warehouse.base import Warehouse

VIEW = "focus_cost_and_usage"
VERSIONS = ("1.2", "1.3", "1.4")
FORMATS: Mapping[str, tuple[str, ...]] = {"parquet": ("parquet",), "csv": ("csv",), "both": ("parquet", "csv")}

# The view has the columns of every version; these are not in all of them.
_SINCE = {
    **dict.fromkeys(
        (
            "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName",
            "AllocatedTags", "ContractApplied", "HostProviderName", "ServiceProviderName",
        ),
        "1.3",
    ),
    **dict.fromkeys(("CommitmentProgramEligibilityDetails", "InvoiceDetailId"), "1.4"),
}  # fmt: skip
_UNTIL = dict.fromkeys(("ProviderName", "PublisherName"), "1.3")
_PERSONAL = "x_Person"
# What a reader would sort by; every other column breaks ties, so that the same charges are the same bytes.
_ORDER = ("ChargePeriodStart", "InvoiceIssuerName", "x_CostBasis", "ChargeCategory", "SkuId", "x_CostCenter", "x_Team")


class ExportError(OperatorError):
    """The files cannot be written; the message says which and why."""


@dataclass(frozen=True)
class FocusExport:
    """What was written."""

    paths: tuple[Path, ...]
    rows: int
    billed_usd: Decimal
    effective_usd: Decimal
    provisional_rows: int
    as_of_date: date
    # Days of the month over which a vendor's bill is not held.
    missing_days: int


def focus_columns(version: str, *, with_people: bool = False) -> tuple[str, ...]:
    """The columns of a version in order, those of the specification first."""
    return tuple(
        name
        for name in catalog.table(VIEW).column_names
        if _SINCE.get(name, VERSIONS[0]) <= version <= _UNTIL.get(name, VERSIONS[-1])
        and (with_people or name != _PERSONAL)
    )


def export_focus(
    warehouse: Warehouse, month: date, folder: Path, formats: str = "both", *, version: str, with_people: bool = False
) -> FocusExport:
    """Writes the month's charges. Raises SettingsError for a month without any, ExportError where files cannot be."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    found = warehouse.query(
        f"SELECT {', '.join(focus_columns(version, with_people=with_people))} FROM ai_usage.{VIEW} "
        "WHERE BillingPeriodStart = @start",
        {"start": start},
    )
    if not found.num_rows:
        raise _unknown(warehouse, month)
    charges = _alike(found if with_people else _nameless(found))
    billed, effective = (_sum(charges[name]) for name in ("BilledCost", "EffectiveCost"))
    paths = tuple(folder / f"focus-{version}-{month:%Y-%m}.{kind}" for kind in FORMATS[formats])
    write_files({path: partial(_WRITERS[path.suffix], charges, version) for path in paths})
    return FocusExport(
        paths=paths,
        rows=charges.num_rows,
        billed_usd=billed,
        effective_usd=effective,
        provisional_rows=pc.sum(charges["x_IsProvisional"].cast(pa.int64())).as_py() or 0,
        as_of_date=pc.max(charges["x_AsOfDate"]).as_py(),
        missing_days=_missing_days(warehouse, month),
    )


def _unknown(warehouse: Warehouse, month: date) -> SettingsError:
    held = warehouse.rows(
        f"SELECT MIN(x.BillingPeriodStart) AS first, MAX(x.BillingPeriodStart) AS last FROM ai_usage.{VIEW} AS x"
    )[0]
    there = f"there are {held['first']:%Y-%m} to {held['last']:%Y-%m}" if held["first"] else "there are none at all yet"
    return SettingsError(f"There are no charges of {month:%Y-%m}; {there}.")


def _missing_days(warehouse: Warehouse, month: date) -> int:
    found = warehouse.rows(
        "SELECT COUNT(DISTINCT usage_date) AS days FROM ai_usage.kpi_completeness "
        "WHERE is_bill AND is_missing AND DATE_TRUNC(usage_date, MONTH) = @month",
        {"month": month},
    )
    return int(found[0]["days"])


def _sum(column: pa.ChunkedArray) -> Decimal:
    total: Decimal = pc.sum(column.cast(pa.decimal128(38, 9))).as_py()
    return total


def _nameless(charges: pa.Table) -> pa.Table:
    """Without addresses in what people name freely: a key, or an organisation that is called after its owner."""
    for number, field in enumerate(charges.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            coded = charges[field.name].combine_chunks().dictionary_encode()
            shown = pa.array([redact(format_value) for format_value in coded.dictionary.to_pylist()], pa.string())
            charges = charges.set_column(number, field.name, shown.take(coded.indices))
    return charges


def _alike(charges: pa.Table) -> pa.Table:
    """The same types and the same order, whatever engine answered."""
    typed = charges.cast(pa.schema([(field.name, _type(field.type)) for field in charges.schema]))
    others = [name for name in typed.column_names if name not in _ORDER]
    return typed.sort_by([(name, "ascending") for name in (*_ORDER, *others)])


def _type(found: pa.DataType) -> pa.DataType:
    if pa.types.is_decimal(found):
        return pa.decimal128(38, 9)
    if pa.types.is_timestamp(found):
        return pa.timestamp("us", "UTC")
    return pa.string() if pa.types.is_large_string(found) else found


def write_files(files: Mapping[Path, Callable[[Path], None]]) -> None:
    """Writes every file atomically, and replaces none before all are written. Raises ExportError."""
    path = Path()
    try:
        with ExitStack() as stack:
            for path, write in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write(stack.enter_context(replace_atomically(path)))
            for path in files:
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "it is a folder")
    except OSError as error:
        raise ExportError(f"{error.filename2 or path} cannot be written: {error.strerror or error}.") from None


def _parquet(charges: pa.Table, version: str, path: Path) -> None:
    pq.write_table(charges.replace_schema_metadata({"focus_version": version}), path, compression="zstd")


def _csv(charges: pa.Table, version: str, path: Path) -> None:
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(charges.column_names)
        writer.writerows(zip(*(_texts(charges[name]) for name in charges.column_names), strict=True))


_WRITERS: Mapping[str, Callable[[pa.Table, str, Path], None]] = {".parquet": _parquet, ".csv": _csv}


def _texts(column: pa.ChunkedArray) -> Sequence[str]:
    if column.null_count == len(column):
        return [""] * len(column)
    # People name keys, teams and cost centers freely, and others open the file in a spreadsheet.
    write = spreadsheet.escape_formula if pa.types.is_string(column.type) else format_value
    return ["" if value is None else write(value) for value in column.to_pylist()]


def format_value(value: object) -> str:
    """A value as FOCUS writes it: decimals with a point and no exponent, instants in UTC."""
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


def summarize_export(done: FocusExport, version: str, month: date) -> Iterable[str]:
    """What a person is told of it."""
    yield (
        f"FOCUS {version}, {month:%Y-%m}: {done.rows:,} rows, {done.billed_usd:,f} USD billed, "
        f"{done.effective_usd:,f} USD effective, as of {done.as_of_date}."
    )
    for path in done.paths:
        yield str(path)


def export_warnings(done: FocusExport) -> Iterable[str]:
    """What they should know before it is sent on."""
    if done.missing_days:
        days = f"{done.missing_days} day{'s' * (done.missing_days > 1)}"
        yield f"{days} of the month's bill {'are' if done.missing_days > 1 else 'is'} not held: see `ai-usage status`."
    if done.provisional_rows:
        yield f"{done.provisional_rows:,} rows may still be restated (x_IsProvisional); export the month again later."
