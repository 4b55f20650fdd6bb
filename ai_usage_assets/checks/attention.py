"""Checks where a person should look: nothing is wrong in what is published, but money may hang on it.

Belongs here: independent controls that may differ, what the sheet does not know, what the vendors have not told us
about, what they changed afterwards, what is old. Does not: what must stop the line (`money`). Each is quiet when all is
well, names the money it touches, and says what to do next.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import Check, CheckContext, Finding, usd
from ai_usage_assets.sources.anthropic import source as anthropic
from ai_usage_assets.sources.cursor import source as cursor
from ai_usage_assets.warehouse.base import Row
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET

# Below both of these a difference between two of a vendor's own figures is not worth anybody's morning.
_TOLERATED_USD, _TOLERATED_SHARE = Decimal("0.50"), Decimal("0.005")
# Of the spend, this much should have a cost center.
_COVERAGE = Decimal("0.98")
# A vendor whose newest whole day is older than this is stale: yesterday may be late once, not twice.
_STALE_DAYS = 2
# A day that is younger than this is still being counted; that it moves is no news.
_MOVING_DAYS = 2
# A spike is told on the mornings on which it is among so many newest days of a run.
_SPIKE_DAYS = 3


def _worth_a_look(difference: Decimal, reference: Decimal) -> bool:
    return abs(difference) > max(_TOLERATED_USD, _TOLERATED_SHARE * abs(reference))


# --- independent controls -----------------------------------------------------------------------------------------

# The classic report shows the default workspace as NULL, and web searches and code execution without a model.
_CLASSIC = """
WITH default_workspace AS (
  SELECT MAX(workspace_id) AS workspace_id FROM ai_usage.dim_workspace WHERE name = 'Default'
), detail AS (
  SELECT
    usage_date, workspace_id, CASE WHEN cost_type = 'tokens' THEN model ELSE cost_type END AS what,
    SUM(amount_usd) AS amount_usd
  FROM ai_usage.stg_anthropic_cost_components
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date, workspace_id, CASE WHEN cost_type = 'tokens' THEN model ELSE cost_type END
), classic AS (
  SELECT
    report.usage_date, COALESCE(report.workspace_id, default_workspace.workspace_id) AS workspace_id,
    CASE WHEN report.cost_type = 'tokens' THEN report.model ELSE report.cost_type END AS what,
    SUM(report.amount_usd) AS amount_usd
  FROM ai_usage.stg_anthropic_cost_report AS report
  CROSS JOIN default_workspace
  WHERE report.usage_date BETWEEN @start_day AND @end_day
  GROUP BY
    report.usage_date, COALESCE(report.workspace_id, default_workspace.workspace_id),
    CASE WHEN report.cost_type = 'tokens' THEN report.model ELSE report.cost_type END
), loaded AS (
  SELECT usage_date FROM ai_usage.ops_asset_days
  WHERE asset = 'raw_anthropic_cost_report' AND completed_at IS NOT NULL AND usage_date BETWEEN @start_day AND @end_day
)
SELECT
  COALESCE(detail.usage_date, classic.usage_date) AS usage_date,
  COALESCE(detail.workspace_id, classic.workspace_id) AS workspace_id,
  COALESCE(detail.what, classic.what) AS what,
  COALESCE(detail.amount_usd, 0) AS amount_usd,
  COALESCE(classic.amount_usd, 0) AS classic_usd
FROM detail
FULL OUTER JOIN classic
  ON classic.usage_date = detail.usage_date
  AND COALESCE(classic.workspace_id, '') = COALESCE(detail.workspace_id, '')
  AND COALESCE(classic.what, '') = COALESCE(detail.what, '')
JOIN loaded ON loaded.usage_date = COALESCE(detail.usage_date, classic.usage_date)
ORDER BY usage_date, workspace_id, what
"""


def _classic_agrees(context: CheckContext) -> list[Finding]:
    return [
        Finding(
            f"{row['usage_date']} {row['workspace_id']} {row['what']}: {usd(row['amount_usd'])} here, "
            f"{usd(row['classic_usd'])} in the classic report",
            abs(row["amount_usd"] - row["classic_usd"]),
        )
        for row in context.rows(_CLASSIC)
        if _worth_a_look(row["amount_usd"] - row["classic_usd"], row["classic_usd"])
    ]


# A snapshot is taken within its day, so what it says lies between the events before that day and those of the whole
# day. Compared only where every day of the billing cycle is held.
_SPEND = """
WITH held AS (
  SELECT usage_date FROM ai_usage.ops_asset_days
  WHERE asset = 'raw_cursor_usage_events' AND completed_at IS NOT NULL
), snapshot AS (
  SELECT
    spend.snapshot_date, spend.email, MIN(spend.cycle_started_at) AS cycle_started_at,
    SUM(spend.on_demand_usd) AS on_demand_usd, SUM(spend.overall_usd) AS overall_usd
  FROM ai_usage.stg_cursor_spend AS spend
  WHERE spend.snapshot_date BETWEEN @start_day AND @today AND spend.email IS NOT NULL
  GROUP BY spend.snapshot_date, spend.email
), whole AS (
  SELECT
    day.snapshot_date,
    LOGICAL_OR(held.usage_date = day.snapshot_date) AS is_day_held
  FROM (SELECT snapshot_date, MIN(cycle_started_at) AS cycle_started_at FROM snapshot GROUP BY snapshot_date) AS day
  JOIN held ON held.usage_date BETWEEN DATE(day.cycle_started_at) AND day.snapshot_date
  GROUP BY day.snapshot_date, day.cycle_started_at
  HAVING COUNTIF(held.usage_date < day.snapshot_date) = DATE_DIFF(day.snapshot_date, DATE(day.cycle_started_at), DAY)
    AND DATE(day.cycle_started_at) >= DATE_SUB(@start_day, INTERVAL 62 DAY)
), chosen AS (
  SELECT snapshot_date, is_day_held
  FROM whole
  QUALIFY ROW_NUMBER() OVER (PARTITION BY is_day_held ORDER BY snapshot_date DESC) = 1
), event AS (
  SELECT usage_date, event_at, user_email, amount_usd, kind_class = 'on_demand' AS is_on_demand
  FROM ai_usage.stg_cursor_usage_events
  -- A billing cycle is a month, and began before the first snapshot that is looked at.
  WHERE usage_date BETWEEN DATE_SUB(@start_day, INTERVAL 62 DAY) AND @today AND service_account_id IS NULL
), spent AS (
  SELECT
    snapshot.snapshot_date,
    snapshot.email,
    snapshot.on_demand_usd,
    snapshot.overall_usd,
    chosen.is_day_held,
    SUM(CASE WHEN event.is_on_demand AND event.usage_date < snapshot.snapshot_date THEN event.amount_usd ELSE 0 END)
      AS on_demand_from_usd,
    SUM(CASE WHEN event.is_on_demand THEN event.amount_usd ELSE 0 END) AS on_demand_to_usd,
    SUM(CASE WHEN event.usage_date < snapshot.snapshot_date THEN event.amount_usd ELSE 0 END) AS overall_from_usd,
    COALESCE(SUM(event.amount_usd), 0) AS overall_to_usd
  FROM snapshot
  JOIN chosen ON chosen.snapshot_date = snapshot.snapshot_date
  LEFT JOIN event
    ON event.user_email = snapshot.email
    AND event.event_at >= snapshot.cycle_started_at
    AND event.usage_date BETWEEN DATE(snapshot.cycle_started_at) AND snapshot.snapshot_date
  GROUP BY
    snapshot.snapshot_date, snapshot.email, snapshot.on_demand_usd, snapshot.overall_usd, chosen.is_day_held
)
SELECT
  snapshot_date,
  is_day_held,
  COUNT(*) AS members,
  SUM(on_demand_usd) AS on_demand_usd,
  SUM(overall_usd) AS overall_usd,
  SUM(on_demand_from_usd) AS on_demand_from_usd,
  SUM(overall_from_usd) AS overall_from_usd,
  SUM(GREATEST(on_demand_from_usd - on_demand_usd, 0)) AS on_demand_less_usd,
  SUM(GREATEST(overall_from_usd - overall_usd, 0)) AS overall_less_usd,
  SUM(CASE WHEN is_day_held THEN GREATEST(on_demand_usd - on_demand_to_usd, 0) ELSE 0 END) AS on_demand_more_usd,
  SUM(CASE WHEN is_day_held THEN GREATEST(overall_usd - overall_to_usd, 0) ELSE 0 END) AS overall_more_usd,
  COUNTIF(on_demand_usd < 0 OR on_demand_usd > overall_usd) AS absurd
FROM spent
GROUP BY snapshot_date, is_day_held
ORDER BY snapshot_date
"""


def _cursor_spend_agrees(context: CheckContext) -> list[Finding]:
    findings = []
    for row in context.rows(_SPEND):
        day = row["snapshot_date"]
        if row["absurd"]:
            findings.append(
                Finding(f"{day}: {row['absurd']} of {row['members']} members have more on demand than in all")
            )
        for measure, name in (("on_demand", "on demand"), ("overall", "overall")):
            said = row[f"{measure}_usd"]
            if said is None:
                # Cursor has not always sent it.
                continue
            for gap, means in (
                (row[f"{measure}_less_usd"] or Decimal(0), "less than the events of its members"),
                (row[f"{measure}_more_usd"] or Decimal(0), "more than the events that are held"),
            ):
                if _worth_a_look(gap, said):
                    findings.append(
                        Finding(
                            f"spend of {day}: Cursor says {usd(said)} {name}, for some members {usd(gap)} {means}", gap
                        )
                    )
    return findings


# --- the sheet ----------------------------------------------------------------------------------------------------

_SHEET_TABS = f"""
SELECT asset, message FROM ai_usage.ops_asset_days
WHERE asset LIKE '{RAW_MAPPING_SHEET.name}/%' AND usage_date = @today AND status = 'failed'
ORDER BY asset
"""


def _tabs_accepted(context: CheckContext) -> list[Finding]:
    return [
        Finding(f"tab {row['asset'].partition('/')[2]}: {str(row['message']).rstrip('.')}")
        for row in context.rows(_SHEET_TABS)
    ]


_REJECTED_ROWS = """
WITH version AS (
  SELECT *, MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
), rejected AS (
  SELECT
    tab, row_no, reject_reason,
    LOWER(COALESCE(JSON_VALUE(payload, '$.principal_id'), JSON_VALUE(payload, '$.person_email'))) AS named
  FROM version
  WHERE read_at = last_read_at AND row_no > 0 AND reject_reason IS NOT NULL
), recent AS (
  SELECT api_key_id, principal_id, workspace_id, person_email, amount_usd
  FROM ai_usage.fct_cost_daily
  WHERE usage_date BETWEEN DATE_SUB(@end_day, INTERVAL 29 DAY) AND @end_day AND cost_basis <> 'included'
)
SELECT rejected.tab, rejected.row_no, rejected.reject_reason, rejected.named, SUM(recent.amount_usd) AS amount_usd
FROM rejected
LEFT JOIN recent
  ON rejected.named = LOWER(recent.api_key_id)
  OR rejected.named = LOWER(recent.principal_id)
  OR rejected.named = LOWER(recent.workspace_id)
  OR rejected.named = LOWER(recent.person_email)
GROUP BY rejected.tab, rejected.row_no, rejected.reject_reason, rejected.named
ORDER BY rejected.tab, rejected.row_no
"""


def _rows_accepted(context: CheckContext) -> list[Finding]:
    findings, told = [], set()
    for row in context.rows(_REJECTED_ROWS):
        money = f" ({usd(row['amount_usd'])} in 30 days)" if row["amount_usd"] is not None else ""
        # Two rows for one key touch its money once.
        touched = row["amount_usd"] if row["named"] not in told else None
        told.add(row["named"])
        findings.append(Finding(f"tab {row['tab']} row {row['row_no']}: {row['reject_reason']}{money}", touched))
    return findings


_UNMAPPED = """
WITH line AS (
  SELECT
    vendor, next_step, first_day, spend_usd, person_email IS NOT NULL AS is_person,
    -- A user's id is an e-mail at Cursor.
    COALESCE(api_key_name, api_key_id, CASE WHEN principal_type <> 'user' THEN principal_id END) AS label
  FROM ai_usage.kpi_unallocated
  WHERE month = DATE_TRUNC(@end_day, MONTH)
)
SELECT vendor, label, is_person, next_step, MIN(first_day) AS first_day, SUM(spend_usd) AS amount_usd
FROM line
GROUP BY vendor, label, is_person, next_step
HAVING SUM(spend_usd) <> 0
ORDER BY amount_usd DESC, vendor, label, next_step
"""


def _everything_mapped(context: CheckContext) -> list[Finding]:
    findings = []
    for row in context.rows(_UNMAPPED):
        what = "people without a cost center" if row["is_person"] else row["label"] or "nobody named"
        findings.append(
            Finding(
                f"{row['vendor']} {what}: {usd(row['amount_usd'])} this month, first seen {row['first_day']} "
                f"({row['next_step'].rstrip('.')})",
                row["amount_usd"],
            )
        )
    return findings


_COVERED = """
SELECT SUM(amount_usd) AS spend_usd, SUM(CASE WHEN cost_center IS NULL THEN amount_usd ELSE 0 END) AS amount_usd
FROM ai_usage.fct_cost_daily
WHERE usage_date BETWEEN DATE_SUB(@end_day, INTERVAL 29 DAY) AND @end_day AND cost_basis <> 'included'
"""


def _covered(context: CheckContext) -> list[Finding]:
    (row,) = context.rows(_COVERED)
    if row["spend_usd"] is None or row["spend_usd"] <= 0:
        return []
    share = 1 - row["amount_usd"] / row["spend_usd"]
    if share >= _COVERAGE:
        return []
    return [
        Finding(
            f"{share:.1%} of the spend of the last 30 days has a cost center, {usd(row['amount_usd'])} has none",
            row["amount_usd"],
        )
    ]


_COST_CENTERS = """
SELECT cost_center FROM ai_usage.dim_person WHERE cost_center IS NOT NULL
UNION DISTINCT
SELECT cost_center FROM ai_usage.int_key_mapping WHERE cost_center IS NOT NULL
"""
_BUDGETS = """
SELECT cost_center, COUNT(*) AS months, MIN(month) AS first_month, SUM(budget_usd) AS amount_usd
FROM ai_usage.stg_budgets
GROUP BY cost_center
ORDER BY cost_center
"""


def _budgets_can_be_spent(context: CheckContext) -> list[Finding]:
    named = {row["cost_center"] for row in context.rows(_COST_CENTERS)}
    by_spelling = {_spelling(name): name for name in sorted(named)}
    findings = []
    for row in context.rows(_BUDGETS):
        budgeted = row["cost_center"]
        if budgeted in named:
            continue
        nearest = get_close_matches(_spelling(budgeted), by_spelling, n=1)
        # In ASCII, since two names may look the same.
        hint = f"; the nearest that is named is {by_spelling[nearest[0]]!a}" if nearest else ""
        months = f"{row['months']} month{'s' * (row['months'] != 1)}"
        findings.append(
            Finding(
                f"{budgeted!a}: {usd(row['amount_usd'])} in {months} from {row['first_month']:%Y-%m} on{hint}",
                row["amount_usd"],
            )
        )
    return findings


def _spelling(name: str) -> str:
    """What is the same in two spellings of a name: its letters and digits."""
    return "".join(sign for sign in unicodedata.normalize("NFKC", name).casefold() if sign.isalnum())


_UNPRICED_SEATS = """
SELECT COUNT(*) AS seat_days, COUNT(DISTINCT user_id) AS seats, MIN(usage_date) AS first_day
FROM ai_usage.fct_seat_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND is_paid AND amount_usd IS NULL
"""


def _seats_priced(context: CheckContext) -> list[Finding]:
    (row,) = context.rows(_UNPRICED_SEATS)
    if not row["seat_days"]:
        return []
    return [
        Finding(
            f"{row['seats']} paid Cursor seats have no price since {row['first_day']}: their fees are not in the spend"
        )
    ]


# --- what the vendors have not told us about ----------------------------------------------------------------------

_PRODUCTS = """
SELECT product AS value, SUM(amount_usd) AS amount_usd, MIN(usage_date) AS first_day
FROM ai_usage.int_anthropic_cost_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND product IS NOT NULL
GROUP BY product ORDER BY product
"""
_KINDS = """
SELECT COALESCE(kind, '(none)') AS value, SUM(amount_usd) AS amount_usd, MIN(usage_date) AS first_day
FROM ai_usage.stg_cursor_usage_events
WHERE usage_date BETWEEN @start_day AND @end_day AND kind_class = 'unknown'
GROUP BY COALESCE(kind, '(none)') ORDER BY value
"""
_COMPONENTS = """
SELECT
  COALESCE(token_type, cost_type, '(none)') AS value, SUM(amount_usd) AS amount_usd, MIN(usage_date) AS first_day
FROM ai_usage.stg_anthropic_cost_components
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY COALESCE(token_type, cost_type, '(none)') ORDER BY value
"""
_COUNTED = """
SELECT usage_date, SUM(total_tokens) AS total_tokens, SUM(COALESCE(uncached_input_tokens, 0)
  + COALESCE(cache_write_5m_tokens, 0) + COALESCE(cache_write_1h_tokens, 0) + COALESCE(cache_read_tokens, 0)
  + COALESCE(output_tokens, 0)) AS kinds
FROM ai_usage.stg_anthropic_usage
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date ORDER BY usage_date
"""
_ACTORS = """
SELECT
  JSON_VALUE(payload, '$.group.actor.type') AS value,
  SUM(CAST(SAFE_CAST(JSON_VALUE(payload, '$.cost.amount') AS BIGNUMERIC) * NUMERIC '0.01' AS NUMERIC)) AS amount_usd,
  MIN(usage_date) AS first_day
FROM ai_usage.raw_anthropic_cost
WHERE usage_date BETWEEN @start_day AND @end_day AND JSON_VALUE(payload, '$.group.actor.type') IS NOT NULL
GROUP BY JSON_VALUE(payload, '$.group.actor.type') ORDER BY value
"""
_NEGATIVE = """
SELECT usage_date AS first_day, COUNT(*) AS events, SUM(amount_usd) AS amount_usd
FROM ai_usage.stg_cursor_usage_events
WHERE usage_date BETWEEN @start_day AND @end_day AND amount_usd < 0
GROUP BY usage_date ORDER BY usage_date
"""
_UNPRICED = """
SELECT cost.model AS value, SUM(cost.amount_usd) AS amount_usd, MIN(cost.usage_date) AS first_day
FROM ai_usage.int_anthropic_cost_daily AS cost
LEFT JOIN (SELECT DISTINCT model FROM ai_usage.dim_model_price) AS price
  ON cost.model = price.model OR STARTS_WITH(cost.model, CONCAT(price.model, '-20'))
WHERE cost.usage_date BETWEEN @start_day AND @end_day AND cost.model IS NOT NULL AND price.model IS NULL
GROUP BY cost.model ORDER BY value
"""


def _unknown(query: str, what: str, known: Collection[str] = ()) -> Callable[[CheckContext], list[Finding]]:
    def find(context: CheckContext) -> list[Finding]:
        return [
            Finding(
                f"{what} {row['value']!r}: {usd(row['amount_usd'])}, first seen {row['first_day']}", row["amount_usd"]
            )
            for row in context.rows(query)
            if row["value"] not in known
        ]

    return find


def _kinds_add_up(context: CheckContext) -> list[Finding]:
    return [
        Finding(f"{row['usage_date']}: {row['total_tokens']:,} tokens in all, {row['kinds']:,} by their kinds")
        for row in context.rows(_COUNTED)
        if row["total_tokens"] != row["kinds"]
    ]


def _nothing_negative(context: CheckContext) -> list[Finding]:
    return [
        Finding(f"{row['first_day']}: {row['events']} events of {usd(row['amount_usd'])}", abs(row["amount_usd"]))
        for row in context.rows(_NEGATIVE)
    ]


def _fields_known(table: str, known: frozenset[str]) -> Callable[[CheckContext], list[Finding]]:
    """Of the newest day of the run only: a field that is new is in all records, and all days are many."""
    query = f"SELECT payload FROM ai_usage.{table} WHERE usage_date = @end_day"

    def find(context: CheckContext) -> list[Finding]:
        payloads = [row["payload"] for row in context.rows(query)]
        # Numbers are not looked at, and Python refuses to read one that is thousands of digits long.
        records = (json.loads(payload, parse_int=str) for payload in payloads)
        counts = Counter(path for record in records for path in set(_paths(record)) - known)
        return [
            Finding(f"new field {path!r} in {count:,} of {len(payloads):,} records of {context.days.last}")
            for path, count in sorted(counts.items())
        ]

    return find


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Every field of a record by its path; a list adds nothing to it."""
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, prefix)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield prefix + name
            yield from _paths(inner, f"{prefix}{name}.")


_ASTRAY = """
SELECT usage_date, COUNT(*) AS n
FROM ai_usage.raw_cursor_daily_usage
WHERE usage_date BETWEEN @start_day AND @end_day
  AND COALESCE(JSON_VALUE(payload, '$.day'), '') <> CAST(usage_date AS STRING)
GROUP BY usage_date
ORDER BY usage_date
"""


def _nothing_astray(context: CheckContext) -> list[Finding]:
    return [
        Finding(f"{row['n']} rows that were read with {row['usage_date']} do not say of which day they are")
        for row in context.rows(_ASTRAY)
    ]


# --- what changed afterwards, and what is old ---------------------------------------------------------------------

_RESTATED = """
SELECT usage_date, vendor, asset, old_amount_usd, new_amount_usd
FROM ai_usage.ops_restatements
WHERE usage_date BETWEEN @start_day AND @end_day
  AND DATE(restated_at) = @today
  AND asset IN ('raw_anthropic_cost', 'raw_cursor_usage_events')
ORDER BY vendor, usage_date, restated_at
"""


def _not_restated(context: CheckContext) -> list[Finding]:
    findings = []
    for row in context.rows(_RESTATED):
        old, new = row["old_amount_usd"] or Decimal(0), row["new_amount_usd"] or Decimal(0)
        if _worth_a_look(new - old, old) and (context.today - row["usage_date"]).days > _MOVING_DAYS:
            findings.append(
                Finding(f"{row['vendor']} {row['usage_date']}: {usd(old)} became {usd(new)}", abs(new - old))
            )
    return findings


_NEWEST = """
SELECT
  vendor,
  MAX(CASE WHEN completed_at IS NOT NULL THEN usage_date END) AS newest_day,
  -- Whether it still is, is said by the newest day.
  COALESCE(
    MAX(CASE WHEN is_missing OR status NOT IN ('not_configured', 'not_loaded') THEN usage_date END) = MAX(usage_date),
    FALSE
  ) AS is_asked
FROM ai_usage.kpi_completeness
WHERE is_money OR vendor = 'sheet'
GROUP BY vendor
ORDER BY vendor
"""


def _fresh(context: CheckContext) -> list[Finding]:
    findings = []
    for row in context.rows(_NEWEST):
        newest = row["newest_day"]
        if row["is_asked"] and (newest is None or (context.today - newest).days > _STALE_DAYS):
            findings.append(Finding(f"{row['vendor']}: the newest whole day is {newest or 'none at all'}"))
    return findings


_READ_TOO_EARLY = """
WITH held AS (
  SELECT
    entry.vendor, entry.usage_date, entry.amount_usd, DATE(entry.completed_at) AS read_on,
    settlement.settles_on
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
  JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = entry.usage_date AND settlement.vendor = entry.vendor
  WHERE entry.completed_at IS NOT NULL
)
SELECT
  vendor, COUNT(*) AS days, MIN(usage_date) AS first_day, MAX(usage_date) AS last_day, SUM(amount_usd) AS amount_usd
FROM held
WHERE settles_on <= @today AND read_on < settles_on
GROUP BY vendor
ORDER BY vendor
"""


def _final_days_were_read_when_final(context: CheckContext) -> list[Finding]:
    return [
        Finding(
            f"{row['vendor']}: {row['days']} days from {row['first_day']} to {row['last_day']} count as final but were "
            f"last read before the vendor had settled them",
            row["amount_usd"],
        )
        for row in context.rows(_READ_TOO_EARLY)
    ]


_FROM_THE_FUTURE = """
SELECT COUNT(DISTINCT usage_date) AS days, MAX(DATE(attempted_at)) AS read_on
FROM ai_usage.ops_asset_days
WHERE DATE(attempted_at) > @today
"""


def _nothing_from_the_future(context: CheckContext) -> list[Finding]:
    (row,) = context.rows(_FROM_THE_FUTURE)
    return (
        [Finding(f"{row['days']} days were last tried as late as {row['read_on']}, and today is {context.today}")]
        if row["days"]
        else []
    )


# Of one spike, the row that says it most closely. What is included costs nothing yet, and is no reason for a warning.
_SPIKES = f"""
SELECT
  usage_date, vendor, dimension, dimension_value, dimension_name, team, top_model, amount_usd, expected_usd, excess_usd
FROM ai_usage.kpi_anomaly
WHERE usage_date BETWEEN DATE_SUB(@end_day, INTERVAL {_SPIKE_DAYS - 1} DAY) AND @end_day
  AND usage_date >= @start_day
  AND cost_basis = 'billed'
  AND event_rank = 1
ORDER BY usage_date DESC, excess_usd DESC, dimension_value
"""


def _no_spikes(context: CheckContext) -> list[Finding]:
    return [
        Finding(
            f"{row['usage_date']} {row['vendor']} {_whose(row)}: {usd(row['amount_usd'])}, "
            f"expected {usd(row['expected_usd'])}, mostly {row['top_model']}",
            row["excess_usd"],
        )
        for row in context.rows(_SPIKES)
    ]


def _whose(row: Row) -> str:
    match row["dimension"]:
        case "person":
            return f"a person of team {row['team']}" if row["team"] else "a person without a team"
        case "api_key":
            return f"key {row['dimension_name'] or row['dimension_value']}"
        case dimension:
            return f"{dimension} {row['dimension_value']}"


_FIELD_ADVICE = (
    "The records are kept whole and the known fields are used; report it, it may be money that is not read yet."
)
_VALUE_ADVICE = "Its money is counted; look it up in the vendor's changelog and report what it means."

CHECKS: tuple[Check, ...] = (
    Check(
        anthropic.RAW_COST_REPORT.name,
        "matches_classic_report",
        "The classic cost report says the same, per day, workspace and model.",
        "Published dollars come from the analytics API. The classic report lacks Priority Tier and may lag; if the "
        "difference stays for days, ask Anthropic which is right.",
        _classic_agrees,
        blocking=False,
        additional_deps=(anthropic.RAW_COST_COMPONENTS.name, "dim_workspace"),
    ),
    Check(
        cursor.RAW_SPEND.name,
        "matches_usage_events",
        "Cursor's own spend per member lies within what their events of the billing cycle add up to.",
        "Look at the members in stg_cursor_spend and their events; if it stays for days, ask Cursor.",
        _cursor_spend_agrees,
        blocking=False,
        additional_deps=(cursor.RAW_EVENTS.name,),
    ),
    Check(
        RAW_MAPPING_SHEET.name,
        "tabs_valid",
        "Every tab of the mapping sheet could be used.",
        "Mend the tab; until then its last good version serves.",
        _tabs_accepted,
        blocking=False,
        scope="now",
    ),
    Check(
        RAW_MAPPING_SHEET.name,
        "rows_valid",
        "Every row of the mapping sheet could be used.",
        "Mend the rows in the sheet; the next run takes them, for all of history.",
        _rows_accepted,
        blocking=False,
        additional_deps=("fct_cost_daily",),
        scope="now",
    ),
    Check(
        "kpi_unallocated",
        "no_unallocated_spend",
        "Everything that spends this month has a cost center.",
        "Add the rows to the sheet; the next run takes them, for all of history.",
        _everything_mapped,
        blocking=False,
        scope="until",
    ),
    Check(
        "kpi_unallocated",
        "cost_center_coverage",
        f"At least {_COVERAGE:.0%} of the spend of the last 30 days has a cost center.",
        "kpi_unallocated lists what is missing, the largest first.",
        _covered,
        blocking=False,
        scope="until",
    ),
    Check(
        "kpi_budget_vs_actual",
        "known_budget_cost_centers",
        "Every cost center with a budget is named by a row of people or key_mapping.",
        "Nobody can spend it, and it makes the others look less used: spell it as people and key_mapping do, "
        "or add there who spends it.",
        _budgets_can_be_spent,
        blocking=False,
        scope="now",
    ),
    Check(
        "fct_seat_daily",
        "seats_have_prices",
        "Every paid seat has a price.",
        "Fill in the tab seat_prices for cursor. With several plans on one day each member's plan must be known: "
        "name the plans as stg_cursor_spend.billing_tier does, or keep the price of one.",
        _seats_priced,
        blocking=False,
    ),
    Check(
        "int_anthropic_cost_daily",
        "known_products",
        "Every product surface is known.",
        _VALUE_ADVICE,
        _unknown(_PRODUCTS, "product", anthropic.PRODUCTS),
        blocking=False,
    ),
    Check(
        "int_anthropic_cost_daily",
        "models_have_list_prices",
        "Every model has a list price in dim_model_price.",
        "The bill does not need it. Add the model to sql/curated/dim_model_price.sql, or update this project.",
        _unknown(_UNPRICED, "model"),
        blocking=False,
    ),
    Check(
        cursor.RAW_EVENTS.name,
        "known_billing_kinds",
        "Every billing kind is known.",
        "An unknown kind counts as billed. " + _VALUE_ADVICE,
        _unknown(_KINDS, "kind"),
        blocking=False,
    ),
    Check(
        anthropic.RAW_COST.name,
        "known_actor_types",
        "Every type of actor is known.",
        "An unknown actor counts as none: only its key or workspace can say who pays. " + _VALUE_ADVICE,
        _unknown(_ACTORS, "actor type", anthropic.ACTOR_TYPES),
        blocking=False,
    ),
    Check(
        anthropic.RAW_COST_COMPONENTS.name,
        "known_cost_components",
        "Every type of cost and of token is known.",
        _VALUE_ADVICE,
        _unknown(_COMPONENTS, "component", anthropic.COMPONENTS),
        blocking=False,
    ),
    Check(
        anthropic.RAW_USAGE.name,
        "token_types_add_up",
        "Input, cache writes of both durations, cache reads and output add up to all tokens.",
        "No money depends on it, unit costs by kind do. If it stays, Anthropic counts a kind that is not read yet: "
        "report it.",
        _kinds_add_up,
        blocking=False,
    ),
    Check(
        cursor.RAW_EVENTS.name,
        "no_negative_amounts",
        "No event takes money back.",
        "It is counted as it is, and lowers the spend; ask Cursor what was credited.",
        _nothing_negative,
        blocking=False,
    ),
    Check(
        cursor.RAW_DAILY_USAGE.name,
        "rows_match_requested_day",
        "Every row says of which day it is.",
        "They are kept and not used: a day's activity of as many members is missing, and before the first list of "
        "members perhaps their seats. Run the days again; if it stays, report it to Cursor.",
        _nothing_astray,
        blocking=False,
    ),
    *(
        Check(
            table,
            "known_fields",
            "The records have no field that is not known.",
            _FIELD_ADVICE,
            _fields_known(table, fields),
            blocking=False,
            scope="until",
        )
        for pull in catalog.EXTRACTS
        for table, fields in pull.known_fields.items()
    ),
    Check(
        "kpi_anomaly",
        "no_cost_anomalies",
        f"Nobody and nothing spent far more than usual on the newest {_SPIKE_DAYS} days.",
        "It is what the vendor bills. kpi_anomaly says who and which model for the day; ask them whether it was meant, "
        "and if it was not, stop the key or set a limit at the vendor.",
        _no_spikes,
        blocking=False,
        scope="until",
    ),
    Check(
        "kpi_completeness",
        "no_restatements",
        "No vendor has restated the money of a day that had come to rest.",
        "What is published is the new figure. Tell finance if the month is closed; kpi_restatements has both, and the "
        "keys and models they differ in.",
        _not_restated,
        blocking=False,
    ),
    Check(
        "kpi_completeness",
        "freshness",
        f"The newest whole day of every vendor, and the sheet, is at most {_STALE_DAYS} days old.",
        "See `ai-usage status` for the reason, and run the days that are missing. A vendor whose key was taken away is "
        "told until the end of the month after.",
        _fresh,
        blocking=False,
        scope="now",
    ),
    Check(
        "kpi_completeness",
        "loaded_after_settlement",
        "Every day that counts as final was read after the vendor had settled it.",
        "Run these days once more: `ai-usage run --day LAST --days N`.",
        _final_days_were_read_when_final,
        blocking=False,
        scope="now",
    ),
    Check(
        "kpi_completeness",
        "no_future_loads",
        "No day was tried after today.",
        "Check the clock of this machine, and AI_USAGE_NOW. No money is touched; what is final is judged by the clock, "
        "and the next run under the right one puts it right.",
        _nothing_from_the_future,
        blocking=False,
        scope="now",
    ),
)
