"""Checks of records and models: required columns, keys, known values and fields, and sums that must be equal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial

from ai_usage_assets.checks.base import Check, CheckContext, CheckFunction, Finding, violations
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.rendering.text import format_usd
from ai_usage_assets.warehouse.base import Row
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
    """A check of columns, values and keys for every curated table. Together they run two queries."""
    tables = [table for table in models if table.layer == "curated" and not table.is_view]
    keys = {table.name: unique_key(table, unique_keys) for table in tables}
    conditions = {table.name: _conditions(table) for table in tables}

    def load_findings(context: CheckContext) -> dict[str, list[Finding]]:
        # Counts only: the values may be e-mail addresses.
        counted = context.rows(
            "\nUNION ALL\n".join(_count_violations(table, conditions[table.name]) for table in tables)
        )
        repeated = context.rows(
            "\nUNION ALL\n".join(_count_repeated(table, keys[table.name]) for table in tables if keys[table.name])
        )
        rows_by_problem: dict[str, dict[str, int]] = {}
        for row in counted:
            counts = map(int, row["counts"].split(",")) if row["counts"] else ()
            rows_by_problem[row["table_name"]] = dict(zip(conditions[row["table_name"]], counts, strict=True))
        for row in repeated:
            problem = f"{', '.join(keys[row['table_name']])} is not unique"
            rows_by_problem[row["table_name"]][problem] = row["n"] or 0
        totals = {row["table_name"]: row["row_count"] for row in counted}
        return {
            name: [Finding(f"{problem} in {n:,} of {totals[name]:,} rows") for problem, n in problems.items() if n]
            for name, problems in rows_by_problem.items()
        }

    for table in tables:
        yield Check(
            table.name,
            "schema",
            "Required columns are filled, values are known and keys are unique.",
            MODEL_ADVICE,
            partial(_shared_findings, name=table.name, load=load_findings),
            scope="days" if _has_days(table) else "now",
        )


def _shared_findings(
    context: CheckContext, name: str, load: Callable[[CheckContext], dict[str, list[Finding]]]
) -> list[Finding]:
    return context.share("schema", lambda: load(context))[name]


def unique_key(table: Table, unique_keys: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The key columns of a curated table, empty if none are known. `unique_keys` has those of the sources' models."""
    default = (table.partition_by, "fact_no") if table.partition_by and "fact_no" in table.column_names else ()
    return {**_UNIQUE_KEYS, **unique_keys}.get(table.name, default)


def _has_days(table: Table) -> bool:
    return "usage_date" in table.column_names and table.partition_by is not None


def _conditions(table: Table) -> dict[str, str]:
    """The problems of the rows of a table, and the condition of each."""
    # The mapping sheet's values are validated when it is read.
    allowed = {} if table.name == "int_key_mapping" else ALLOWED_VALUES
    conditions = {f"{column.name} is missing": f"{column.name} IS NULL" for column in table.columns if column.required}
    return conditions | {
        f"{name} has an unknown value": f"{name} NOT IN ({', '.join(map(repr, values))})"
        for name, values in allowed.items()
        if name in table.column_names
    }


def _count_violations(table: Table, conditions: Mapping[str, str]) -> str:
    """One row: the name of the table, its number of rows, and the number of rows for each condition, with commas."""
    counts = ", ',', ".join(f"CAST(COUNTIF({condition}) AS STRING)" for condition in conditions.values())
    return (
        f"SELECT '{table.name}' AS table_name, COUNT(*) AS row_count, {f'CONCAT({counts})' if counts else repr('')} "
        f"AS counts FROM {_source(table)}"
    )


def _count_repeated(table: Table, key: Sequence[str]) -> str:
    """One row: the name of the table, and the number of rows whose key another row has."""
    return (
        f"SELECT '{table.name}' AS table_name, SUM(n) AS n FROM (SELECT COUNT(*) AS n FROM {_source(table)} "
        f"GROUP BY {', '.join(key)} HAVING COUNT(*) > 1) AS repeated"
    )


def _source(table: Table) -> str:
    return f"ai_usage.{table.name}" + (" WHERE usage_date BETWEEN @start_day AND @end_day" if _has_days(table) else "")


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

    sums = ", ".join(f"SUM({measure}) AS {measure}" for measure in measures)
    query = "\nUNION ALL\n".join(
        f"SELECT '{table}' AS table_name, usage_date, {sums} FROM ai_usage.{table} "
        "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date"
        for table in (model, staging)
    )

    def run(context: CheckContext) -> list[Finding]:
        totals: dict[str, dict[tuple[date, str], Decimal | int]] = {model: {}, staging: {}}
        for row in context.rows(query):
            totals[row["table_name"]] |= {(row["usage_date"], measure): row[measure] or 0 for measure in measures}
        actual, expected = totals[model], totals[staging]
        findings = []
        for day, measure in sorted(actual | expected):
            pair = actual.get((day, measure), 0), expected.get((day, measure), 0)
            if pair[0] != pair[1]:
                difference = abs(Decimal(pair[0]) - pair[1]) if measure.endswith("_usd") else None
                text = f"{day}: {measure} is {pair[0]:,} in {model}, {pair[1]:,} in {staging}"
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

    def daily_spend(rows: Iterable[Row]) -> dict[tuple[date, str], Decimal]:
        return {(row["usage_date"], row["cost_basis"]): row["amount_usd"] or Decimal(0) for row in rows}

    def run(context: CheckContext) -> list[Finding]:
        findings = []
        attributed = context.query_rows("attributed_spend")
        for vendor in vendors:
            before = daily_spend(context.query_rows(f"{vendor}/unattributed_spend"))
            after = daily_spend(row for row in attributed if row["vendor"] == vendor)
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
