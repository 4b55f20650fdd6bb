"""The check that closed months are unchanged."""

from __future__ import annotations

from ai_usage_assets.checks.base import Check, CheckContext, Finding
from ai_usage_assets.finance.close.integrity import verify_integrity


def _changed_months(context: CheckContext) -> list[Finding]:
    return [
        Finding(str(blocker).rstrip("."), blocker.amount_usd)
        for blocker in verify_integrity(context.warehouse).values()
    ]


CLOSED_MONTHS_UNCHANGED = Check(
    "kpi_chargeback",
    "closed_months_unchanged",
    "Every closed month is unchanged, and no month between two closed months is open.",
    "Until the month is restored, no month can be closed and this month is not exported.",
    _changed_months,
    scope="now",
)
