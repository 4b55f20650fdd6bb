"""Checks of Anthropic's bill and usage."""

from __future__ import annotations

from ai_usage_assets.checks.base import TOLERANCE, Check, SourceChecks, violations
from ai_usage_assets.checks.currency_unit import currency_unit
from ai_usage_assets.checks.facts import (
    RAW_ADVICE,
    attribution_preserves_totals,
    known_values,
    matches_raw_records,
    required_columns,
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
            row_rounding_usd=tables.ROW_ROUNDING_USD,
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
    attribution_preserves_totals("int_anthropic_cost_daily", "anthropic"),
    Check(
        tables.RAW_COST_REPORT.name,
        "matches_classic_report",
        "The classic cost report has the same dollars per day, workspace and model.",
        "Published dollars come from the analytics API. The classic report lacks Priority Tier and can lag; if the "
        "difference stays for days, ask Anthropic which one is right.",
        violations(
            "anthropic/classic_report",
            "{usage_date} {workspace_id} {item}: {analytics_usd} published, {classic_usd} in the classic report",
            **TOLERANCE,
        ),
        blocking=False,
        additional_deps=(tables.RAW_COST_COMPONENTS.name, "dim_workspace"),
    ),
    known_values(
        "int_anthropic_cost_daily",
        "known_products",
        "Every product surface is known.",
        "product",
        "anthropic/products",
        tables.PRODUCTS,
    ),
    known_values(
        "int_anthropic_cost_daily",
        "models_have_list_prices",
        "Every model has a list price in dim_model_price.",
        "model",
        "anthropic/models_without_list_price",
        advice="The bill does not need it. Add the model to sql/curated/dim_model_price.sql, or update this project.",
    ),
    known_values(
        tables.RAW_COST.name,
        "known_actor_types",
        "Every actor type is known.",
        "actor type",
        "anthropic/actor_types",
        tables.ACTOR_TYPES,
        advice="Spend of an unknown actor type is attributed by its key or workspace only. Look the type up in "
        "Anthropic's changelog and report it.",
    ),
    known_values(
        tables.RAW_COST_COMPONENTS.name,
        "known_cost_components",
        "Every cost type and token type is known.",
        "component",
        "anthropic/cost_components",
        tables.COMPONENTS,
    ),
    Check(
        tables.RAW_USAGE.name,
        "token_types_add_up",
        "Input, cache write, cache read and output tokens add up to all tokens.",
        "Unit costs by token type are affected, dollars are not. If it stays, Anthropic counts a token type that "
        "is not loaded yet: report it.",
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
