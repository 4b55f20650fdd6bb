"""Checks that nothing is missing: days of the run, and loaded days that no model publishes."""

from __future__ import annotations

from collections.abc import Mapping

from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.rendering.text import format_usd


def _incomplete_days(context: CheckContext) -> list[Finding]:
    findings = []
    for row in context.query_rows("incomplete_days"):
        first, last = row["first_day"], row["last_day"]
        days = f"{first}" if first == last else f"{row['days']} days, {first} to {last}"
        kept = "" if row["amount_usd"] is None else f"; {format_usd(row['amount_usd'])} of an earlier load kept"
        reason = f" ({row['message'].rstrip('.')})" if row["message"] else ""
        status = row["status"].replace("_", " ")
        findings.append(Finding(f"{row['asset']}: {days} {status}{kept}{reason}", row["amount_usd"]))
    return findings


DAYS_COMPLETE = Check(
    "kpi_completeness",
    "days_complete",
    "Every day of the run is completely loaded, for every configured vendor.",
    "Fix the cause and load the days again with `ai-usage run`; data that was loaded before stays until then.",
    _incomplete_days,
)


def loaded_days_published(published_from: Mapping[str, str]) -> Check:
    """Every loaded day with records is in the model that publishes its raw table, also days before the run.

    `published_from` has the raw table of each model. A newer version can add a model, and a run can be killed between
    loading and transforming.
    """

    def run(context: CheckContext) -> list[Finding]:
        loaded = context.query_rows("loaded_days")
        rows = context.rows(
            " UNION ALL ".join(
                f"SELECT DISTINCT '{model}' AS model, usage_date FROM ai_usage.{model}" for model in published_from
            )
        )
        published = {(row["model"], row["usage_date"]) for row in rows}
        findings = []
        for model, raw_table in published_from.items():
            missing = [
                row for row in loaded if row["asset"] == raw_table and (model, row["usage_date"]) not in published
            ]
            if missing:
                first, last = missing[0]["usage_date"], missing[-1]["usage_date"]
                amounts = [row["amount_usd"] for row in missing if row["amount_usd"] is not None]
                findings.append(
                    Finding(
                        f"{model} lacks {len(missing)} loaded days, {first} to {last}: "
                        f"run `ai-usage run --job rebuild --day {last} --days {(last - first).days + 1}`",
                        sum(amounts) if amounts else None,
                    )
                )
        return findings

    return Check(
        "kpi_completeness",
        "loaded_days_published",
        "Every loaded day is published, also days before the run.",
        "The loaded data is safe; rebuild these days to publish it.",
        run,
        additional_deps=tuple(published_from),
        scope="now",
    )
