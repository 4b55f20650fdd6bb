"""Renames that bring a warehouse of an earlier version up to date.

The engines run the statements before they create what is missing. Raw records, snapshots, the operations log and closed
months keep every row. Tables that SQL fills keep theirs too, because a run rebuilds only its own days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from ai_usage_assets.warehouse.googlesql import WRITTEN_DATASET

# Former name of a table or view -> its current name.
RENAMED_TABLES: Mapping[str, str] = {
    "dim_anthropic_organization": "int_anthropic_organization",
    "dim_anthropic_user": "int_anthropic_user",
    "dim_attribution_daily": "bridge_attribution_daily",
    "dim_key_mapping": "int_key_mapping",
    "dim_model_price_day": "int_model_price_daily",
    "dim_seat_day": "fct_seat_daily",
    "fct_anthropic_activity_daily": "int_anthropic_activity_daily",
    "fct_anthropic_component_daily": "int_anthropic_component_daily",
    "fct_anthropic_control_daily": "int_anthropic_control_daily",
    "fct_anthropic_cost_daily": "int_anthropic_cost_daily",
    "fct_anthropic_tokens_daily": "int_anthropic_tokens_daily",
    "fct_cursor_activity_daily": "int_cursor_activity_daily",
    "fct_cursor_limit_monthly": "int_cursor_limit_monthly",
    "fct_cursor_seat_daily": "int_cursor_seat_daily",
    "fct_cursor_usage_daily": "int_cursor_usage_daily",
    "kpi_check_status": "ops_check_status",
    "kpi_forecast_origin": "int_forecast_origin",
    "kpi_freshness": "ops_freshness",
    "kpi_month_held": "int_month_completeness",
    "kpi_seat_utilisation": "kpi_seat_utilization",
}

# Table -> former name of a column -> its current name.
RENAMED_COLUMNS: Mapping[str, Mapping[str, str]] = {"ops_check_results": {"looks_at": "scope"}}

# Former name of an asset check -> its current name.
RENAMED_CHECKS: Mapping[str, str] = {
    "as_closed": "closed_months_unchanged",
    "attribution_preserves_sums": "attribution_preserves_totals",
    "budgets_can_be_spent": "known_budget_cost_centers",
    "classic_agrees": "matches_classic_report",
    "clock": "no_future_loads",
    "coverage": "cost_center_coverage",
    "equals_raw": "matches_raw_records",
    "every_day_complete": "days_complete",
    "every_held_day_built": "loaded_days_published",
    "everything_mapped": "no_unallocated_spend",
    "final_when_read": "loaded_after_settlement",
    "fresh": "freshness",
    "kinds_add_up": "token_types_add_up",
    "known_actors": "known_actor_types",
    "known_components": "known_cost_components",
    "known_kinds": "known_billing_kinds",
    "no_spikes": "no_cost_anomalies",
    "not_restated": "no_restatements",
    "nothing_astray": "rows_match_requested_day",
    "nothing_negative": "no_negative_amounts",
    "priced_models": "models_have_list_prices",
    "rows_accepted": "rows_valid",
    "seats_priced": "seats_have_prices",
    "spend_agrees": "matches_usage_events",
    "tabs_accepted": "tabs_valid",
    "unit_sentinel": "currency_unit",
}


def statements(tables: Mapping[str, Set[str]], views: Set[str]) -> Iterator[str]:
    """GoogleSQL statements for the differences, in order; none when the warehouse is up to date.

    `tables` (with their columns) and `views` are those that the project created. Views come first because they read
    tables. Each statement can be the last one that runs: the remaining ones follow at the next attempt.
    """
    for former in sorted(views & RENAMED_TABLES.keys()):
        yield f"DROP VIEW {WRITTEN_DATASET}.{former}"
    for former, current in RENAMED_TABLES.items():
        if former in tables and (current in tables or current in views):
            yield f"DROP TABLE {WRITTEN_DATASET}.{former}"
        elif former in tables:
            yield f"ALTER TABLE {WRITTEN_DATASET}.{former} RENAME TO {current}"
    if "looks_at" in tables.get("ops_check_results", ()):
        # A warehouse with the former column has the former names of checks and assets. The column changes last.
        for column, renamed in (("check_name", RENAMED_CHECKS), ("asset", RENAMED_TABLES)):
            cases = " ".join(f"WHEN '{former}' THEN '{current}'" for former, current in renamed.items())
            names = ", ".join(f"'{former}'" for former in renamed)
            yield (
                f"UPDATE {WRITTEN_DATASET}.ops_check_results SET {column} = CASE {column} {cases} END\n"
                f"WHERE {column} IN ({names})"
            )
    for table, columns in RENAMED_COLUMNS.items():
        for former, current in columns.items():
            if former in tables.get(table, ()) and current not in tables[table]:
                yield f"ALTER TABLE {WRITTEN_DATASET}.{table} RENAME COLUMN {former} TO {current}"
