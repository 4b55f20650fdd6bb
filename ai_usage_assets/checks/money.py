"""Checks that stop the line: where they fail, published dollars would be wrong or missing.

Belongs here: schema, completeness, control totals, units, attribution. Does not: what is only worth a look
(`attention`), or the numbers themselves (`sql/`).
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from decimal import Decimal

import pandas as pd
import pandera.errors

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import Check, CheckContext, Finding, usd
from ai_usage_assets.days import TRAILING_DAYS
from ai_usage_assets.finance.close import integrity
from ai_usage_assets.sources.anthropic import source as anthropic
from ai_usage_assets.sources.cursor import source as cursor
from ai_usage_assets.warehouse.base import Row
from ai_usage_assets.warehouse.tables import Table

# --- control totals: what is held equals what the vendor says in total --------------------------------------------

_ANTHROPIC_CONTROLS = f"""
WITH detail AS (
  SELECT usage_date, SUM(amount_usd) AS amount_usd, COUNT(*) AS records
  FROM ai_usage.stg_anthropic_cost WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
), part AS (
  SELECT 'the day total' AS control, usage_date, amount_usd FROM ai_usage.stg_anthropic_cost_total
  WHERE usage_date BETWEEN @start_day AND @end_day
  UNION ALL
  SELECT 'the cost components', usage_date, amount_usd FROM ai_usage.stg_anthropic_cost_components
  WHERE usage_date BETWEEN @start_day AND @end_day
  UNION ALL
  SELECT 'the actor types', usage_date, amount_usd FROM ai_usage.stg_anthropic_cost_by_actor_type
  WHERE usage_date BETWEEN @start_day AND @end_day
), summed AS (
  SELECT control, usage_date, SUM(amount_usd) AS amount_usd, COUNT(*) AS records
  FROM part GROUP BY control, usage_date
), expected AS (
  -- Each day that has anything must have all three.
  SELECT day.usage_date, name.control
  FROM (SELECT usage_date FROM detail UNION DISTINCT SELECT usage_date FROM summed) AS day
  CROSS JOIN (
    SELECT 'the day total' AS control UNION ALL SELECT 'the cost components' UNION ALL SELECT 'the actor types'
  ) AS name
)
SELECT
  expected.usage_date, expected.control, detail.amount_usd AS detail_usd, summed.amount_usd AS control_usd
FROM expected
LEFT JOIN detail ON detail.usage_date = expected.usage_date
LEFT JOIN summed ON summed.usage_date = expected.usage_date AND summed.control = expected.control
WHERE ABS(COALESCE(detail.amount_usd, 0) - COALESCE(summed.amount_usd, 0))
  > (COALESCE(detail.records, 0) + COALESCE(summed.records, 0)) * NUMERIC '{anthropic.ROW_ROUNDING_USD:f}'
ORDER BY expected.usage_date, expected.control
"""


def _anthropic_control_total(context: CheckContext) -> list[Finding]:
    findings, told = [], set()
    for row in context.rows(_ANTHROPIC_CONTROLS):
        day, gap = row["usage_date"], abs((row["detail_usd"] or Decimal(0)) - (row["control_usd"] or Decimal(0)))
        findings.append(
            Finding(
                f"{day}: the records add up to {_exactly(row['detail_usd'])}, {row['control']} to "
                f"{_exactly(row['control_usd'])}",
                # The same dollars are missing from each control; they are touched once.
                gap if day not in told else None,
            )
        )
        told.add(day)
    return findings


def _exactly(amount: Decimal | None) -> str:
    # Sums that differ in the eighth decimal look equal in cents.
    return "nothing" if amount is None else f"${amount.normalize():,f}"


_CURSOR_CONTROLS = """
WITH event AS (
  SELECT usage_date, COUNT(*) AS records, SUM(amount_usd) AS amount_usd
  FROM ai_usage.stg_cursor_usage_events WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
)
SELECT
  entry.usage_date,
  COALESCE(event.records, 0) AS records,
  entry.expected_records,
  COALESCE(event.amount_usd, 0) AS amount_usd,
  COALESCE(entry.amount_usd, 0) AS landed_usd
FROM ai_usage.ops_asset_days AS entry
LEFT JOIN event ON event.usage_date = entry.usage_date
WHERE entry.asset = 'raw_cursor_usage_events'
  AND entry.usage_date BETWEEN @start_day AND @end_day
  AND entry.completed_at IS NOT NULL
  AND (
    COALESCE(event.records, 0) <> entry.expected_records
    OR COALESCE(event.amount_usd, 0) <> COALESCE(entry.amount_usd, 0)
  )
ORDER BY entry.usage_date
"""


def _cursor_control_total(context: CheckContext) -> list[Finding]:
    return [
        Finding(
            f"{row['usage_date']}: {row['records']:,} events worth {usd(row['amount_usd'])} are held, Cursor counted "
            f"{row['expected_records']:,} and {usd(row['landed_usd'])} were landed",
            abs(row["amount_usd"] - row["landed_usd"]),
        )
        for row in context.rows(_CURSOR_CONTROLS)
    ]


# --- the unit of money: cents taken for dollars, or dollars for cents ---------------------------------------------

# Prices and habits move by small factors from day to day; a wrong unit is a factor of 100.
_JUMP = 20
# With fewer days than this nothing is usual yet.
_USUAL_DAYS = 5
# Below these a day is too small to judge.
_SMALLEST_USD, _SMALLEST_TOKENS = Decimal(1), 100_000

# What the tokens of known models cost by the price list. Of two prices the lower, which a factor of 20 forgives.
_PRICES = """
  SELECT
    model, effective_from, effective_to, input_usd, cache_write_5m_usd, cache_write_1h_usd, cache_read_usd, output_usd
  FROM ai_usage.dim_model_price
  WHERE prompt_tier IN ('any', 'up to 100000')
"""

_ANTHROPIC_PRICE = f"""
WITH price AS ({_PRICES}), cost AS (
  SELECT usage_date, model, SUM(amount_usd) AS amount_usd
  FROM ai_usage.stg_anthropic_cost WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date, model
), token AS (
  SELECT
    usage_date, model, SUM(total_tokens) AS tokens, SUM(uncached_input_tokens) AS inputs,
    SUM(cache_write_5m_tokens) AS writes_5m, SUM(cache_write_1h_tokens) AS writes_1h, SUM(cache_read_tokens) AS reads,
    SUM(output_tokens) AS outputs
  FROM ai_usage.stg_anthropic_usage WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date, model
), listed AS (
  SELECT
    token.usage_date,
    SUM(cost.amount_usd) AS priced_usd,
    SUM(CAST((token.inputs * price.input_usd + token.writes_5m * price.cache_write_5m_usd
      + token.writes_1h * price.cache_write_1h_usd + token.reads * price.cache_read_usd
      + token.outputs * price.output_usd) * NUMERIC '0.000001' AS NUMERIC)) AS expected_usd
  FROM token
  JOIN cost ON cost.usage_date = token.usage_date AND cost.model = token.model
  JOIN price
    ON (price.model = token.model OR STARTS_WITH(token.model, CONCAT(price.model, '-20')))
    AND token.usage_date >= price.effective_from
    AND token.usage_date < price.effective_to
  GROUP BY token.usage_date
), day_cost AS (
  SELECT usage_date, SUM(amount_usd) AS amount_usd FROM cost GROUP BY usage_date
), day_token AS (
  SELECT usage_date, SUM(tokens) AS tokens FROM token GROUP BY usage_date
), classic AS (
  SELECT usage_date, SUM(amount_usd) AS amount_usd FROM ai_usage.stg_anthropic_cost_report
  WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
)
SELECT
  day_cost.usage_date, day_cost.amount_usd, day_token.tokens, classic.amount_usd AS other_usd, listed.priced_usd,
  listed.expected_usd
FROM day_cost
JOIN day_token ON day_token.usage_date = day_cost.usage_date
LEFT JOIN classic ON classic.usage_date = day_cost.usage_date
LEFT JOIN listed ON listed.usage_date = day_cost.usage_date
ORDER BY usage_date
"""

_ANTHROPIC_PUBLISHED = """
SELECT cost.usage_date, cost.amount_usd, token.tokens
FROM (
  SELECT usage_date, SUM(amount_usd) AS amount_usd FROM ai_usage.int_anthropic_cost_daily
  WHERE usage_date BETWEEN @past_day AND @end_day GROUP BY usage_date
) AS cost
JOIN (
  SELECT usage_date, SUM(total_tokens) AS tokens FROM ai_usage.int_anthropic_tokens_daily
  WHERE usage_date BETWEEN @past_day AND @end_day GROUP BY usage_date
) AS token ON token.usage_date = cost.usage_date
ORDER BY usage_date
"""

_CURSOR_PRICE = f"""
WITH price AS ({_PRICES}), event AS (
  SELECT
    event.usage_date, event.amount_usd, event.model_usd,
    event.uncached_input_tokens + event.cache_write_tokens + event.cache_read_tokens + event.output_tokens AS tokens,
    CASE WHEN price.model IS NOT NULL THEN event.amount_usd END AS priced_usd,
    CAST((event.uncached_input_tokens * price.input_usd + event.cache_write_tokens * price.cache_write_5m_usd
      + event.cache_read_tokens * price.cache_read_usd + event.output_tokens * price.output_usd)
      * NUMERIC '0.000001' AS NUMERIC) AS expected_usd
  FROM ai_usage.stg_cursor_usage_events AS event
  LEFT JOIN price
    ON price.model = event.model
    AND event.usage_date >= price.effective_from
    AND event.usage_date < price.effective_to
  WHERE event.usage_date BETWEEN @start_day AND @end_day AND event.uncached_input_tokens IS NOT NULL
)
SELECT
  usage_date, SUM(amount_usd) AS amount_usd, SUM(tokens) AS tokens, SUM(model_usd) AS other_usd,
  SUM(priced_usd) AS priced_usd, SUM(expected_usd) AS expected_usd
FROM event
GROUP BY usage_date
ORDER BY usage_date
"""

_CURSOR_PUBLISHED = """
SELECT
  usage_date, SUM(amount_usd) AS amount_usd,
  SUM(uncached_input_tokens + cache_write_tokens + cache_read_tokens + output_tokens) AS tokens
FROM ai_usage.int_cursor_usage_daily
WHERE usage_date BETWEEN @past_day AND @end_day AND uncached_input_tokens IS NOT NULL
GROUP BY usage_date
ORDER BY usage_date
"""


def _unit_sentinel(query: str, published: str, other: str) -> Callable[[CheckContext], list[Finding]]:
    """Four comparisons, because a vendor that changes its unit changes every day it is asked for, old ones too.

    With what was published for the same day, what was usual before the run, what the price list says of the tokens,
    and another figure of the vendor's.
    """

    def find(context: CheckContext) -> list[Finding]:
        past = {"past_day": context.days.first - timedelta(days=TRAILING_DAYS), **context.parameters}
        known = {
            row["usage_date"]: _per_million(row)
            for row in context.warehouse.rows(published, past)
            if _is_large(row["tokens"]) and row["amount_usd"]
        }
        before = sorted(price for day, price in known.items() if day < context.days.first)
        usual = before[len(before) // 2] if len(before) >= _USUAL_DAYS else None
        findings = []
        for row in context.rows(query):
            day, amount = row["usage_date"], row["amount_usd"]
            others = (amount, row["other_usd"], row["expected_usd"])
            if not _is_large(row["tokens"]) or max(abs(value or Decimal(0)) for value in others) < _SMALLEST_USD:
                continue
            price = _per_million(row)
            reasons = []
            if (was := known.get(day)) and _far(price, was):
                reasons.append(f"{usd(price)} per million tokens where {usd(was)} was published for the day")
            if usual and _far(price, usual):
                reasons.append(f"{usd(price)} per million tokens where {usd(usual)} is usual")
            if row["expected_usd"] and _far(row["priced_usd"], row["expected_usd"]):
                reasons.append(f"{usd(row['priced_usd'])} for what costs {usd(row['expected_usd'])} by the price list")
            if row["other_usd"] and _far(amount, row["other_usd"]):
                reasons.append(f"{other} says {usd(row['other_usd'])}")
            if reasons:
                findings.append(Finding(f"{day}: {usd(amount)}, but {' and '.join(reasons)}", abs(amount)))
        return findings

    return find


def _is_large(tokens: int | None) -> bool:
    return tokens is not None and tokens >= _SMALLEST_TOKENS


def _per_million(row: Row) -> Decimal:
    return Decimal(row["amount_usd"]) * 1_000_000 / Decimal(row["tokens"])


def _far(value: Decimal, reference: Decimal) -> bool:
    return abs(value) > _JUMP * abs(reference) or abs(value) * _JUMP < abs(reference)


# --- typed, built and attributed without losing a cent ------------------------------------------------------------


def _typed(table: str, columns: Sequence[str], event_at: str | None = None) -> Callable[[CheckContext], list[Finding]]:
    conditions = {f"{column} is missing": f"{column} IS NULL" for column in columns}
    if event_at:
        conditions["the event is of another day"] = f"DATE({event_at}) <> usage_date"
    counts = ", ".join(f"COUNTIF({condition}) AS c{n}" for n, condition in enumerate(conditions.values()))
    query = (
        f"SELECT usage_date, COUNT(*) AS records, {counts} FROM ai_usage.{table} "
        "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date ORDER BY usage_date"
    )

    def find(context: CheckContext) -> list[Finding]:
        return [
            Finding(f"{row['usage_date']}: {reason} in {row[f'c{n}']:,} of {row['records']:,} records")
            for row in context.rows(query)
            for n, reason in enumerate(conditions)
            if row[f"c{n}"]
        ]

    return find


_ALLOWED = {
    "cost_basis": ("billed", "included", "seat"),
    "vendor": ("anthropic", "cursor"),
    "principal_type": ("user", "service_account", "federated", "api_key", "automation", "cloud_agent", "none"),
    "attribution_method": (
        *("api_key_map", "service_account_map", "user_map", "vendor_actor", "key_principal", "workspace_map"),
        *("key_creator", "automation_map", "cloud_agent_map", "seat", "unallocated"),
    ),
}
# What no two rows of a dimension may share: a row too many would give money to a second person, unseen by any sum.
_KEYS = {
    "dim_person": ("person_email", "effective_from"),
    "int_key_mapping": ("row_no",),
    "dim_api_key": ("api_key_id",),
    "dim_workspace": ("workspace_id",),
    "int_anthropic_user": ("user_id",),
    "dim_date": ("usage_date",),
    "dim_model_price": ("model", "prompt_tier", "effective_from"),
    "int_anthropic_control_daily": ("usage_date", "control"),
}


def _has_days(table: Table) -> bool:
    return bool(table.partition_by or table.is_view)


def _schema(table: Table) -> Callable[[CheckContext], list[Finding]]:
    key = _KEYS.get(table.name, (table.partition_by, "fact_no") if table.partition_by else ())
    # The sheet's own words were checked when it was read.
    allowed = {} if table.name == "int_key_mapping" else _ALLOWED
    schema = table.check_schema({name: allowed[name] for name in table.column_names if name in allowed}, key)
    scope = "WHERE usage_date BETWEEN @start_day AND @end_day" if _has_days(table) else ""
    query = f"SELECT {', '.join(table.column_names)} FROM ai_usage.{table.name} {scope}"

    def find(context: CheckContext) -> list[Finding]:
        # Arrow types keep decimals and whole numbers exact; pandas' own would make floats of them.
        frame = context.warehouse.query(query, context.parameters).to_pandas(types_mapper=pd.ArrowDtype)
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            # Counts only: the failing cells may be e-mail addresses.
            counts = errors.failure_cases.groupby(["column", "check"], dropna=False).size()
            return [Finding(f"{column}: {check} fails for {n:,} rows") for (column, check), n in counts.items()]
        return []

    return find


def _equals_raw(table: str, source: str, measures: Sequence[str]) -> Callable[[CheckContext], list[Finding]]:
    sums = ", ".join(f"COALESCE(SUM({measure}), 0) AS {measure}" for measure in measures)
    scope = "WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date"
    built = ", ".join(f"COALESCE(built.{measure}, 0) AS built_{measure}" for measure in measures)
    typed = ", ".join(f"COALESCE(typed.{measure}, 0) AS typed_{measure}" for measure in measures)
    query = (
        f"WITH built AS (SELECT usage_date, {sums} FROM ai_usage.{table} {scope}), "
        f"typed AS (SELECT usage_date, {sums} FROM ai_usage.{source} {scope}) "
        f"SELECT COALESCE(built.usage_date, typed.usage_date) AS usage_date, {built}, {typed} "
        "FROM built FULL OUTER JOIN typed ON typed.usage_date = built.usage_date ORDER BY usage_date"
    )

    def find(context: CheckContext) -> list[Finding]:
        return [
            Finding(
                f"{row['usage_date']}: {measure} is {row[f'built_{measure}']:,} here, "
                f"{row[f'typed_{measure}']:,} in {source}",
                abs(row[f"built_{measure}"] - row[f"typed_{measure}"]) if measure.endswith("_usd") else None,
            )
            for row in context.rows(query)
            for measure in measures
            if row[f"built_{measure}"] != row[f"typed_{measure}"]
        ]

    return find


_ATTRIBUTION = """
WITH before_it AS (
  SELECT 'anthropic' AS vendor, 'billed' AS cost_basis, usage_date, SUM(amount_usd) AS amount_usd
  FROM ai_usage.int_anthropic_cost_daily WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
  UNION ALL
  SELECT 'cursor', cost_basis, usage_date, SUM(amount_usd)
  FROM ai_usage.int_cursor_usage_daily WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY cost_basis, usage_date
  UNION ALL
  SELECT vendor, 'seat', usage_date, SUM(amount_usd)
  FROM ai_usage.fct_seat_daily WHERE usage_date BETWEEN @start_day AND @end_day AND is_paid GROUP BY vendor, usage_date
), after_it AS (
  SELECT vendor, cost_basis, usage_date, SUM(amount_usd) AS amount_usd
  FROM ai_usage.fct_cost_daily WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY vendor, cost_basis, usage_date
)
SELECT
  COALESCE(before_it.usage_date, after_it.usage_date) AS usage_date,
  COALESCE(before_it.vendor, after_it.vendor) AS vendor,
  COALESCE(before_it.cost_basis, after_it.cost_basis) AS cost_basis,
  COALESCE(before_it.amount_usd, 0) AS before_usd,
  COALESCE(after_it.amount_usd, 0) AS after_usd
FROM before_it
FULL OUTER JOIN after_it
  ON after_it.vendor = before_it.vendor
  AND after_it.cost_basis = before_it.cost_basis
  AND after_it.usage_date = before_it.usage_date
WHERE COALESCE(before_it.amount_usd, 0) <> COALESCE(after_it.amount_usd, 0)
ORDER BY usage_date, vendor, cost_basis
"""


def _attribution_preserves_sums(vendor: str) -> Callable[[CheckContext], list[Finding]]:
    def find(context: CheckContext) -> list[Finding]:
        return [
            Finding(
                f"{row['usage_date']} {vendor} {row['cost_basis']}: {_exactly(row['before_usd'])} before attribution, "
                f"{_exactly(row['after_usd'])} after",
                abs(row["before_usd"] - row["after_usd"]),
            )
            for row in context.rows(_ATTRIBUTION)
            if row["vendor"] == vendor
        ]

    return find


# --- nothing missing ----------------------------------------------------------------------------------------------

_INCOMPLETE = """
SELECT asset, usage_date, status, message, amount_usd
FROM ai_usage.kpi_completeness
WHERE status IN ('failed', 'incomplete', 'not_loaded')
  AND vendor <> 'sheet'
  AND (
    usage_date BETWEEN @start_day AND @end_day
    OR (usage_date = @today AND asset IN (SELECT DISTINCT asset FROM ai_usage.ops_asset_days WHERE NOT is_daily))
  )
ORDER BY asset, usage_date
"""


def _every_day_complete(context: CheckContext) -> list[Finding]:
    findings = []
    by_cause: dict[tuple[str, str, str], list[Row]] = {}
    for row in context.rows(_INCOMPLETE):
        by_cause.setdefault((row["asset"], row["status"], row["message"] or ""), []).append(row)
    for (asset, status, message), rows in by_cause.items():
        first, last = rows[0]["usage_date"], rows[-1]["usage_date"]
        amounts = [row["amount_usd"] for row in rows if row["amount_usd"] is not None]
        held = f", {usd(sum(amounts, Decimal(0)))} held from before" if amounts else ""
        span = f"{len(rows)} days from {first} to {last}" if len(rows) > 1 else f"{first}"
        findings.append(
            Finding(
                f"{asset}: {span} {status.replace('_', ' ')}{held}" + (f" ({message.rstrip('.')})" if message else ""),
                sum(amounts, Decimal(0)) if amounts else None,
            )
        )
    return findings


# What publishes the records of each raw table. A day may be held and not built: by a table that a newer version added,
# or after a run that was killed in between.
_BUILT_FROM = {
    "int_anthropic_cost_daily": anthropic.RAW_COST.name,
    "int_anthropic_tokens_daily": anthropic.RAW_USAGE.name,
    "int_anthropic_component_daily": anthropic.RAW_COST_COMPONENTS.name,
    "int_cursor_usage_daily": cursor.RAW_EVENTS.name,
    "int_cursor_seat_daily": cursor.RAW_DAILY_USAGE.name,
}
_UNBUILT = "\nUNION ALL\n".join(
    f"""SELECT
  '{table}' AS built, COUNT(*) AS days, MIN(entry.usage_date) AS first_day, MAX(entry.usage_date) AS last_day,
  SUM(entry.amount_usd) AS amount_usd
FROM ai_usage.ops_asset_days AS entry
LEFT JOIN (SELECT DISTINCT usage_date FROM ai_usage.{table}) AS day ON day.usage_date = entry.usage_date
WHERE entry.asset = '{raw}' AND entry.completed_at IS NOT NULL AND entry.records > 0 AND day.usage_date IS NULL"""
    for table, raw in _BUILT_FROM.items()
)


def _every_held_day_built(context: CheckContext) -> list[Finding]:
    return [
        Finding(
            f"{row['built']} lacks {row['days']} days from {row['first_day']} to {row['last_day']} that are held: "
            f"rebuild with --day {row['last_day']} --days {(row['last_day'] - row['first_day']).days + 1}",
            row["amount_usd"],
        )
        for row in context.rows(_UNBUILT)
        if row["days"]
    ]


# --- the books ----------------------------------------------------------------------------------------------------


def _as_closed(context: CheckContext) -> list[Finding]:
    return [
        Finding(str(wrong).rstrip("."), wrong.amount_usd)
        for wrong in integrity.verify_integrity(context.warehouse).values()
    ]


_SEND_RAW = "What was built before stays. Run the days again; if it stays, open the day's raw records."
_UNIT_ADVICE = "What was built before stays. Check whether the vendor changed the unit before letting it through."
_BUILT_ADVICE = "This is a fault of the transformation, not of the vendor: rebuild with `ai-usage run --job rebuild`."


def _built_checks() -> Iterable[Check]:
    """Every curated table holds its own schema."""
    for table in catalog.models():
        is_fact = table.name.startswith(("fct_", "int_")) and table.name.endswith(("_daily", "_monthly"))
        if table.layer == "curated" and (is_fact or not table.is_view):
            yield Check(
                table.name,
                "schema",
                "Every required column is filled and every listed value is known.",
                _BUILT_ADVICE,
                _schema(table),
                scope="days" if _has_days(table) else "now",
            )


CHECKS: tuple[Check, ...] = (
    Check(
        anthropic.RAW_COST.name,
        "schema",
        "Every record of the bill has a day, dollars and list dollars.",
        _SEND_RAW,
        _typed("stg_anthropic_cost", ("amount_usd", "list_amount_usd")),
    ),
    Check(
        anthropic.RAW_COST.name,
        "control_total",
        "The records of every day add up to Anthropic's own total, its components and its actor types.",
        _SEND_RAW,
        _anthropic_control_total,
    ),
    Check(
        anthropic.RAW_COST.name,
        "currency_unit",
        "Dollars per token are what models cost: cents are not taken for dollars, nor dollars for cents.",
        _UNIT_ADVICE,
        _unit_sentinel(_ANTHROPIC_PRICE, _ANTHROPIC_PUBLISHED, "the classic cost report"),
        # Not after the classic report: when that fails, the bill is still to be published.
        additional_deps=(anthropic.RAW_USAGE.name, "dim_model_price"),
    ),
    Check(
        anthropic.RAW_USAGE.name,
        "schema",
        "Every record of the usage has a count of tokens.",
        _SEND_RAW,
        _typed("stg_anthropic_usage", ("total_tokens",)),
    ),
    Check(
        cursor.RAW_EVENTS.name,
        "schema",
        "Every event has a time within its day, dollars and a cost basis.",
        _SEND_RAW,
        _typed("stg_cursor_usage_events", ("event_at", "amount_usd", "cost_basis"), event_at="event_at"),
    ),
    Check(
        cursor.RAW_EVENTS.name,
        "control_total",
        "As many events are held as Cursor counts, and their dollars are those that were landed.",
        _SEND_RAW,
        _cursor_control_total,
    ),
    Check(
        cursor.RAW_EVENTS.name,
        "currency_unit",
        "Dollars per token are what models cost: cents are not taken for dollars, nor dollars for cents.",
        _UNIT_ADVICE,
        _unit_sentinel(_CURSOR_PRICE, _CURSOR_PUBLISHED, "the price of the models within the events"),
        additional_deps=("dim_model_price",),
    ),
    *_built_checks(),
    Check(
        "int_anthropic_cost_daily",
        "matches_raw_records",
        "The table adds up to its raw records, day by day, to the last digit.",
        _BUILT_ADVICE,
        _equals_raw("int_anthropic_cost_daily", "stg_anthropic_cost", ("amount_usd", "list_amount_usd")),
    ),
    Check(
        "int_anthropic_tokens_daily",
        "matches_raw_records",
        "The table adds up to its raw records, day by day.",
        _BUILT_ADVICE,
        _equals_raw("int_anthropic_tokens_daily", "stg_anthropic_usage", ("total_tokens", "requests")),
    ),
    Check(
        "int_anthropic_component_daily",
        "matches_raw_records",
        "The table adds up to its raw records, day by day, to the last digit.",
        _BUILT_ADVICE,
        _equals_raw(
            "int_anthropic_component_daily", "stg_anthropic_cost_components", ("amount_usd", "list_amount_usd")
        ),
    ),
    Check(
        "int_cursor_usage_daily",
        "matches_raw_records",
        "The table adds up to its raw records, day by day, to the last digit.",
        _BUILT_ADVICE,
        _equals_raw("int_cursor_usage_daily", "stg_cursor_usage_events", ("amount_usd", "output_tokens")),
    ),
    # On each vendor's own table, so that it is asked also when the other vendor is down.
    *(
        Check(
            table,
            "attribution_preserves_totals",
            "Dollars before and after attribution are equal to the last digit, per day and cost basis.",
            _BUILT_ADVICE,
            _attribution_preserves_sums(vendor),
        )
        for table, vendor in (("int_anthropic_cost_daily", "anthropic"), ("int_cursor_usage_daily", "cursor"))
    ),
    Check(
        "kpi_completeness",
        "days_complete",
        "Every day of the run is held whole, for every vendor that is configured.",
        "Run the days again with `ai-usage run` when the cause is gone; what is held stays until then.",
        _every_day_complete,
    ),
    Check(
        "kpi_completeness",
        "loaded_days_published",
        "Every day that is held is published, also those before the run.",
        "What is held is safe; `ai-usage run --job rebuild` for these days publishes it.",
        _every_held_day_built,
        additional_deps=tuple(_BUILT_FROM),
        scope="now",
    ),
    Check(
        "kpi_chargeback",
        "closed_months_unchanged",
        "Every closed month is what was closed, and none is missing among them.",
        "While it is so, nothing is closed and the month is not exported.",
        _as_closed,
        scope="now",
    ),
)
