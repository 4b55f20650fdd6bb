"""Checks of how current and how final the loaded data is."""

from __future__ import annotations

from ai_usage_assets.checks.base import TOLERANCE, Check, violations

# One late run is tolerated; a second one is reported.
_STALE_DAYS = 2
# Vendors still count usage on younger days, so changes to them are expected.
_RECENT_DAYS = 2

CHECKS = (
    Check(
        "kpi_completeness",
        "no_restatements",
        "No vendor restated the bill of an older day today.",
        "The new figure is published. Inform finance if the month is closed. kpi_restatements has both figures, and "
        "the keys and models that differ.",
        violations(
            "restatements",
            "{vendor} {usage_date}: {old_usd} became {new_usd}",
            {**TOLERANCE, "recent_days": _RECENT_DAYS},
        ),
        blocking=False,
    ),
    Check(
        "kpi_completeness",
        "freshness",
        f"The newest complete day of every source is at most {_STALE_DAYS} days old.",
        "`ai-usage status` shows the reason; load the missing days. A vendor whose key was removed is reported until "
        "the end of the next month.",
        violations("stale_sources", "{vendor}: the newest complete day is {newest_day}", {"stale_days": _STALE_DAYS}),
        blocking=False,
        scope="now",
    ),
    Check(
        "kpi_completeness",
        "loaded_after_settlement",
        "Every final day was loaded after the vendor settled it.",
        "Load these days again: `ai-usage backfill --from FIRST --to LAST`.",
        violations(
            "loaded_before_settlement",
            "{vendor}: {days} final days loaded before the vendor settled them, from {first_day} to {last_day}",
        ),
        blocking=False,
        scope="now",
    ),
    Check(
        "kpi_completeness",
        "no_future_loads",
        "No load attempt is dated after today.",
        "Check the clock of this machine, and AI_USAGE_NOW. No money is affected: the next run with the right clock "
        "corrects which days are final.",
        violations("future_loads", "the newest load attempt is dated {attempted_on}, after today ({today})"),
        blocking=False,
        scope="now",
    ),
)
