"""Checks of Cursor's usage events, spend and daily usage."""

from __future__ import annotations

from ai_usage_assets.checks.base import TOLERANCE, Check, CheckContext, Finding, SourceChecks, violations
from ai_usage_assets.checks.currency_unit import currency_unit
from ai_usage_assets.checks.facts import (
    RAW_ADVICE,
    VALUE_ADVICE,
    matches_raw_records,
    required_columns,
    unknown_values,
)
from ai_usage_assets.sources.cursor import tables

_spend_outside_events = violations(
    "cursor/member_spend",
    "spend of {snapshot_date}: Cursor reports {stated_usd} {measure}, which is {amount_usd} {problem}",
    TOLERANCE,
)
_inconsistent_spend = violations(
    "cursor/inconsistent_member_spend",
    "spend of {snapshot_date}: the on-demand spend of {members} members is negative or above their overall spend",
)


def _spend_differences(context: CheckContext) -> list[Finding]:
    return [*_inconsistent_spend(context), *_spend_outside_events(context)]


_CHECKS = (
    Check(
        tables.RAW_EVENTS.name,
        "schema",
        "Every event has a time on its day, dollars and a cost basis.",
        RAW_ADVICE,
        required_columns("stg_cursor_usage_events", ("event_at", "amount_usd", "cost_basis"), event_at="event_at"),
    ),
    Check(
        tables.RAW_EVENTS.name,
        "control_total",
        "As many events are loaded as Cursor counts, with the dollars in the day log.",
        RAW_ADVICE,
        violations(
            "cursor/control_totals",
            "{usage_date}: {records:,} events of {event_usd} are stored, Cursor counted {expected_records:,} and "
            "{logged_usd} were loaded",
        ),
    ),
    currency_unit(tables.RAW_EVENTS.name, "cursor", "the price of the models in the events", ("dim_model_price",)),
    matches_raw_records("int_cursor_usage_daily", "stg_cursor_usage_events", ("amount_usd", "output_tokens")),
    Check(
        tables.RAW_SPEND.name,
        "matches_usage_events",
        "Cursor's reported spend per member agrees with the usage events of the billing cycle.",
        "Compare the members in stg_cursor_spend with their events; if the difference remains for days, ask Cursor.",
        _spend_differences,
        blocking=False,
        additional_deps=(tables.RAW_EVENTS.name,),
    ),
    Check(
        tables.RAW_EVENTS.name,
        "known_billing_kinds",
        "Every billing kind is known.",
        "An unknown kind counts as billed. " + VALUE_ADVICE,
        unknown_values("cursor/billing_kinds", "kind"),
        blocking=False,
    ),
    Check(
        tables.RAW_EVENTS.name,
        "no_negative_amounts",
        "No event has a negative amount.",
        "The amount is counted as it is and lowers the spend; ask Cursor what was credited.",
        violations("cursor/negative_amounts", "{usage_date}: negative events: {events}, {credit_usd} in all"),
        blocking=False,
    ),
    Check(
        tables.RAW_DAILY_USAGE.name,
        "rows_match_requested_day",
        "Every row of daily usage belongs to the requested day.",
        "These rows are stored but not used, so the activity of these members is missing on the day. Their seats "
        "can be missing too if the day is before the first snapshot of members. Load the days again; if this "
        "persists, report it to Cursor.",
        violations("cursor/daily_usage_of_other_days", "{records} rows of {usage_date} have no day, or another one"),
        blocking=False,
    ),
)

CHECKS = SourceChecks(
    _CHECKS,
    published_from={
        "int_cursor_usage_daily": tables.RAW_EVENTS.name,
        "int_cursor_seat_daily": tables.RAW_DAILY_USAGE.name,
    },
)
