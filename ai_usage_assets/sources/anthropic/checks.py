"""Checks of Anthropic's bill and usage."""

from __future__ import annotations

from ai_usage_assets.checks.base import TOLERANCE, Check, SourceChecks, violations
from ai_usage_assets.checks.currency_unit import currency_unit
from ai_usage_assets.checks.facts import (
    RAW_ADVICE,
    VALUE_ADVICE,
    matches_raw_records,
    required_columns,
    unknown_values,
)
from ai_usage_assets.sources.anthropic import tables

_CHECKS = (
    Check(
        tables.RAW_COST.name,
        "schema",
        "Every cost record has dollars and list dollars.",
        RAW_ADVICE,
        required_columns("stg_anthropic_cost", ("amount_usd", "list_amount_usd")),
    ),
    Check(
        tables.RAW_COST.name,
        "control_total",
        "The cost records of every day add up to Anthropic's day total, cost components and actor types.",
        RAW_ADVICE,
        violations(
            "anthropic/control_totals",
            "{usage_date}: the records add up to {detail_usd_exact}, {control} to {control_usd_exact}",
            {"row_rounding_usd": tables.ROW_ROUNDING_USD},
        ),
    ),
    # Without the classic report as a dependency: when it fails, the bill is still published.
    currency_unit(
        tables.RAW_COST.name, "anthropic", "the classic cost report", (tables.RAW_USAGE.name, "dim_model_price")
    ),
    Check(
        tables.RAW_USAGE.name,
        "schema",
        "Every usage record has a token count.",
        RAW_ADVICE,
        required_columns("stg_anthropic_usage", ("total_tokens",)),
    ),
    matches_raw_records("int_anthropic_cost_daily", "stg_anthropic_cost", ("amount_usd", "list_amount_usd")),
    matches_raw_records("int_anthropic_tokens_daily", "stg_anthropic_usage", ("total_tokens", "requests")),
    matches_raw_records(
        "int_anthropic_component_daily", "stg_anthropic_cost_components", ("amount_usd", "list_amount_usd")
    ),
    Check(
        tables.RAW_COST_REPORT.name,
        "matches_classic_report",
        "The classic cost report has the same dollars per day, workspace and model.",
        "Published dollars come from the analytics API. The classic report lacks Priority Tier and can lag; if the "
        "difference stays for days, ask Anthropic which one is right.",
        violations(
            "anthropic/classic_report",
            "{usage_date} {workspace_id} {item}: {analytics_usd} published, {classic_usd} in the classic report",
            TOLERANCE,
        ),
        blocking=False,
        additional_deps=(tables.RAW_COST_COMPONENTS.name, "dim_workspace"),
    ),
    Check(
        "int_anthropic_cost_daily",
        "known_products",
        "Every product is known.",
        VALUE_ADVICE,
        unknown_values("anthropic/products", "product", tables.PRODUCTS),
        blocking=False,
    ),
    Check(
        "int_anthropic_cost_daily",
        "models_have_list_prices",
        "Every model has a list price in dim_model_price.",
        "The bill does not need it. Add the model to sql/curated/dim_model_price.sql, or update this project.",
        unknown_values("anthropic/models_without_list_price", "model"),
        blocking=False,
    ),
    Check(
        tables.RAW_COST.name,
        "known_actor_types",
        "Every actor type is known.",
        "Spend of an unknown actor type is attributed by its key or workspace only. " + VALUE_ADVICE,
        unknown_values("anthropic/actor_types", "actor type", tables.ACTOR_TYPES),
        blocking=False,
    ),
    Check(
        tables.RAW_COST_COMPONENTS.name,
        "known_cost_components",
        "Every cost type and token type is known.",
        VALUE_ADVICE,
        unknown_values("anthropic/cost_components", "component", tables.COMPONENTS),
        blocking=False,
    ),
    Check(
        tables.RAW_USAGE.name,
        "token_types_add_up",
        "Input, cache write, cache read and output tokens add up to all tokens.",
        "Unit costs by token type are affected, dollars are not. If the difference remains, Anthropic counts a token "
        "type that is not loaded yet: report it.",
        violations(
            "anthropic/token_types", "{usage_date}: {total_tokens:,} tokens in all, {typed_tokens:,} by token type"
        ),
        blocking=False,
    ),
)

CHECKS = SourceChecks(
    _CHECKS,
    unique_keys={"int_anthropic_user": ("user_id",), "int_anthropic_control_daily": ("usage_date", "control")},
    published_from={
        "int_anthropic_cost_daily": tables.RAW_COST.name,
        "int_anthropic_tokens_daily": tables.RAW_USAGE.name,
        "int_anthropic_component_daily": tables.RAW_COST_COMPONENTS.name,
    },
)
