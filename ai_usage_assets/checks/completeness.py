"""Checks that nothing is missing: days of the run, and loaded days that no model publishes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.rendering.text import format_usd


@dataclass(frozen=True)
class _IncompleteDays:
    """Days of one raw table that are not complete for the same reason."""

    asset: str
    status: str
    message: str
    days: int
    first_day: date
    last_day: date
    # Dollars of an earlier load, which stay.
    amount_usd: Decimal | None


@dataclass(frozen=True)
class _LoadedDay:
    asset: str
    usage_date: date
    amount_usd: Decimal | None


def _incomplete_days(context: CheckContext) -> list[Finding]:
    findings = []
    for row in context.query_rows("incomplete_days"):
        cause = _IncompleteDays(**row)
        days = f"{cause.first_day}" if cause.days == 1 else f"{cause.days} days, {cause.first_day} to {cause.last_day}"
        earlier = "" if cause.amount_usd is None else f"; {format_usd(cause.amount_usd)} of an earlier load stay"
        reason = f" ({cause.message.rstrip('.')})" if cause.message else ""
        text = f"{cause.asset}: {days} {cause.status.replace('_', ' ')}{earlier}{reason}"
        findings.append(Finding(text, cause.amount_usd))
    return findings


DAYS_COMPLETE = Check(
    "kpi_completeness",
    "days_complete",
    "Every day of the run is completely loaded, for every configured vendor.",
    "Fix the cause and load the days again with `ai-usage run`; data that was loaded before stays until then.",
    _incomplete_days,
)


def loaded_days_published(published_from: Mapping[str, str]) -> Check:
    """Every loaded day with records is in the model that publishes its raw table, including days before the run.

    `published_from` has the raw table of each model. A newer version can add a model, and a run can be killed between
    loading and transforming.
    """

    def run(context: CheckContext) -> list[Finding]:
        loaded = [_LoadedDay(**row) for row in context.query_rows("loaded_days")]
        rows = context.rows(
            " UNION ALL ".join(
                f"SELECT DISTINCT '{model}' AS model, usage_date FROM ai_usage.{model}" for model in published_from
            )
        )
        published = {(row["model"], row["usage_date"]) for row in rows}
        findings = []
        for model, raw_table in published_from.items():
            missing = [day for day in loaded if day.asset == raw_table and (model, day.usage_date) not in published]
            if missing:
                first, last = missing[0].usage_date, missing[-1].usage_date
                amounts = [day.amount_usd for day in missing if day.amount_usd is not None]
                findings.append(
                    Finding(
                        f"{model} lacks loaded days: {len(missing)}, {first} to {last}; "
                        f"run `ai-usage run --job rebuild --day {last} --days {(last - first).days + 1}`",
                        sum(amounts, Decimal(0)) if amounts else None,
                    )
                )
        return findings

    return Check(
        "kpi_completeness",
        "loaded_days_published",
        "Every loaded day is published, including days before the run.",
        "The loaded data is safe; rebuild these days to publish it.",
        run,
        additional_deps=tuple(published_from),
        scope="now",
    )
