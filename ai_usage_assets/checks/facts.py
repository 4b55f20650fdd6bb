"""Checks of records and models: required columns, keys, known values and fields, and sums that must be equal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

from ai_usage_assets.checks.base import Check, CheckContext, CheckFunction, Finding, violations
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.rendering.text import format_usd
from ai_usage_assets.warehouse.tables import Table

RAW_ADVICE = "Published data is unchanged. Load the days again; if the failure stays, inspect their raw records."
MODEL_ADVICE = "The transformation is wrong, not the vendor's data: run `ai-usage run --job rebuild`."
VALUE_ADVICE = "Its dollars are counted. Look it up in the vendor's changelog and report what it means."
_FIELD_ADVICE = (
    "The records are stored unchanged; only known fields are used. Report the field, because it may contain an amount."
)

ALLOWED_VALUES = {
    "cost_basis": ("billed", "included", "seat"),
    "vendor": tuple(source.name for source in SOURCES),
    "principal_type": ("user", "service_account", "federated", "api_key", "automation", "cloud_agent", "none"),
    "attribution_method": (
        *("api_key_map", "service_account_map", "user_map", "vendor_actor", "key_principal", "workspace_map"),
        *("key_creator", "automation_map", "cloud_agent_map", "seat", "unallocated"),
    ),
}
# A duplicate key in a dimension would attribute cost to a second person, and no total would show it.
_UNIQUE_KEYS = {
    "dim_person": ("person_email", "effective_from"),
    "dim_api_key": ("api_key_id",),
    "dim_workspace": ("workspace_id",),
    "dim_date": ("usage_date",),
    "dim_model_price": ("model", "prompt_tier", "effective_from"),
    "int_identity_daily": ("usage_date", "vendor", "identity_key"),
    "bridge_attribution_daily": ("usage_date", "vendor", "identity_key", "part_no"),
    "fct_seat_daily": ("usage_date", "vendor", "fact_no"),
}


def schema_checks(models: Iterable[Table], unique_keys: Mapping[str, tuple[str, ...]]) -> Iterator[Check]:
    """A check of columns, values and keys for every curated table."""
    for table in models:
        if table.layer == "curated" and not table.is_view:
            yield Check(
                table.name,
                "schema",
                "Required columns are filled, values are known and keys are unique.",
                MODEL_ADVICE,
                _schema(table, unique_key(table, unique_keys)),
                scope="days" if _has_days(table) else "now",
            )


def unique_key(table: Table, unique_keys: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The key columns of a curated table, empty if none are known. `unique_keys` has those of the sources' models."""
    default = (table.partition_by, "fact_no") if table.partition_by and "fact_no" in table.column_names else ()
    return {**_UNIQUE_KEYS, **unique_keys}.get(table.name, default)


def _has_days(table: Table) -> bool:
    return "usage_date" in table.column_names and table.partition_by is not None


def _schema(table: Table, key: Sequence[str]) -> CheckFunction:
    # The mapping sheet's values are validated when it is read.
    allowed = {} if table.name == "int_key_mapping" else ALLOWED_VALUES
    conditions = {f"{column.name} is missing": f"{column.name} IS NULL" for column in table.columns if column.required}
    conditions |= {
        f"{name} has an unknown value": f"{name} NOT IN ({', '.join(map(repr, values))})"
        for name, values in allowed.items()
        if name in table.column_names
    }
    counts = (f"COUNTIF({condition}) AS count_{n}" for n, condition in enumerate(conditions.values()))
    select = ", ".join(["COUNT(*) AS row_count", *counts])
    days = "WHERE usage_date BETWEEN @start_day AND @end_day" if _has_days(table) else ""
    source = f"ai_usage.{table.name} {days}"
    key_names = ", ".join(key)

    def run(context: CheckContext) -> list[Finding]:
        # Counts only: the values may be e-mail addresses.
        (row,) = context.rows(f"SELECT {select} FROM {source}")
        rows_by_problem = {problem: row[f"count_{n}"] for n, problem in enumerate(conditions)}
        if key:
            (repeated,) = context.rows(
                f"SELECT SUM(n) AS n FROM (SELECT COUNT(*) AS n FROM {source} GROUP BY {key_names} HAVING COUNT(*) > 1)"
            )
            rows_by_problem[f"{key_names} is not unique"] = repeated["n"] or 0
        return [
            Finding(f"{problem} in {n:,} of {row['row_count']:,} rows") for problem, n in rows_by_problem.items() if n
        ]

    return run


def required_columns(staging: str, columns: Sequence[str], event_at: str | None = None) -> CheckFunction:
    """Counts records of a staging view that lack a column or, with `event_at`, happened on another day."""
    conditions = {f"{column} is missing": f"{column} IS NULL" for column in columns}
    if event_at:
        conditions[f"{event_at} is on another day"] = f"DATE({event_at}) <> usage_date"
    counts = ", ".join(f"COUNTIF({condition}) AS count_{n}" for n, condition in enumerate(conditions.values()))
    query = (
        f"SELECT usage_date, COUNT(*) AS records, {counts} FROM ai_usage.{staging} "
        "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date ORDER BY usage_date"
    )

    def run(context: CheckContext) -> list[Finding]:
        return [
            Finding(f"{row['usage_date']}: {problem} in {row[f'count_{n}']:,} of {row['records']:,} records")
            for row in context.rows(query)
            for n, problem in enumerate(conditions)
            if row[f"count_{n}"]
        ]

    return run


def matches_raw_records(model: str, staging: str, measures: Sequence[str]) -> Check:
    """The sums of a daily model equal those of its staging view."""

    def daily_sums(context: CheckContext, table: str) -> dict[tuple[date, str], Decimal | int]:
        sums = ", ".join(f"SUM({measure}) AS {measure}" for measure in measures)
        rows = context.rows(
            f"SELECT usage_date, {sums} FROM ai_usage.{table} "
            "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date"
        )
        return {(row["usage_date"], measure): row[measure] or 0 for row in rows for measure in measures}

    def run(context: CheckContext) -> list[Finding]:
        actual, expected = daily_sums(context, model), daily_sums(context, staging)
        findings = []
        for day, measure in sorted(actual | expected):
            sums = actual.get((day, measure), 0), expected.get((day, measure), 0)
            if sums[0] != sums[1]:
                difference = abs(Decimal(sums[0]) - sums[1]) if measure.endswith("_usd") else None
                text = f"{day}: {measure} is {sums[0]:,} in {model}, {sums[1]:,} in {staging}"
                findings.append(Finding(text, difference))
        return findings

    return Check(
        model,
        "matches_raw_records",
        "The daily sums equal those of the raw records, to the last digit.",
        MODEL_ADVICE,
        run,
    )


def attribution_preserves_totals(vendors: Sequence[str]) -> Check:
    """The attributed dollars of each vendor equal those of `sql/queries/checks/<vendor>/unattributed_spend.sql`."""

    def daily_spend(context: CheckContext, query: str, vendor: str) -> dict[tuple[date, str], Decimal]:
        rows = context.query_rows(query, vendor=vendor)
        return {(row["usage_date"], row["cost_basis"]): row["amount_usd"] or Decimal(0) for row in rows}

    def run(context: CheckContext) -> list[Finding]:
        findings = []
        for vendor in vendors:
            before = daily_spend(context, f"{vendor}/unattributed_spend", vendor)
            after = daily_spend(context, "attributed_spend", vendor)
            for day, cost_basis in sorted(before | after):
                old, new = before.get((day, cost_basis), Decimal(0)), after.get((day, cost_basis), Decimal(0))
                if old != new:
                    sums = f"{format_usd(old, decimals=None)} before, {format_usd(new, decimals=None)} after"
                    findings.append(Finding(f"{day} {vendor} {cost_basis}: {sums}", abs(old - new)))
        return findings

    return Check(
        "fct_cost_daily",
        "attribution_preserves_totals",
        "Attribution leaves the dollars of each day and cost basis equal, to the last digit.",
        MODEL_ADVICE,
        run,
    )


def unknown_values(query: str, noun: str, known: Collection[str] = ()) -> CheckFunction:
    """Reports the rows of a query with the columns value, amount_usd and first_day whose value is not in `known`."""
    return violations(query, noun + " {value!r}: {amount_usd}, first seen {first_day}", known=known)


def known_fields(raw_table: str, known: frozenset[str]) -> Check:
    """Warns of fields in the records of the run's last day that are not in `known`.

    One day is enough, because a new field is in all records, and cheaper than all days.
    """

    def run(context: CheckContext) -> list[Finding]:
        rows = context.rows(f"SELECT payload FROM ai_usage.{raw_table} WHERE usage_date = @end_day")
        # Integers stay text: Python refuses to parse one with thousands of digits.
        records = (json.loads(row["payload"], parse_int=str) for row in rows)
        counts = Counter(path for record in records for path in set(_field_paths(record)) - known)
        return [
            Finding(f"new field {path!r} in {count:,} of {len(rows):,} records of {context.days.last}")
            for path, count in sorted(counts.items())
        ]

    return Check(
        raw_table, "known_fields", "The records have known fields only.", _FIELD_ADVICE, run, blocking=False,
        scope="until",
    )  # fmt: skip


def _field_paths(value: object, prefix: str = "") -> Iterator[str]:
    """The path of every field of a record; a list has the path of its items."""
    if isinstance(value, list):
        for item in value:
            yield from _field_paths(item, prefix)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield prefix + name
            yield from _field_paths(inner, f"{prefix}{name}.")
