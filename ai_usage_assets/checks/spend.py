"""Checks of who pays for what: cost centers, budgets, seat prices and anomalies."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches

from ai_usage_assets.checks.base import Check, CheckContext, Finding, violations
from ai_usage_assets.rendering.text import format_count, format_usd

# The part of the spend that should have a cost center.
_COVERAGE = Decimal("0.98")
# A warning names an anomaly for this many days.
_ANOMALY_DAYS = 3


@dataclass(frozen=True)
class _BudgetRow:
    """All budgeted months of a cost center."""

    cost_center: str
    months: int
    first_month: date
    amount_usd: Decimal


def _low_coverage(context: CheckContext) -> list[Finding]:
    (row,) = context.query_rows("cost_center_coverage")
    spend: Decimal = row["spend_usd"]
    unallocated: Decimal = row["unallocated_usd"]
    if spend <= 0 or (share := 1 - unallocated / spend) >= _COVERAGE:
        return []
    text = f"{share:.1%} of the spend of the last 30 days has a cost center, {format_usd(unallocated)} has none"
    return [Finding(text, unallocated)]


def _unknown_budget_cost_centers(context: CheckContext) -> list[Finding]:
    known = {row["cost_center"] for row in context.query_rows("cost_centers")}
    by_spelling = {_normalize(name): name for name in sorted(known)}
    findings = []
    for budget in (_BudgetRow(**row) for row in context.query_rows("budgets")):
        if budget.cost_center in known:
            continue
        nearest = get_close_matches(_normalize(budget.cost_center), by_spelling, n=1)
        # ASCII, because two names can look the same.
        hint = f"; the nearest known one is {by_spelling[nearest[0]]!a}" if nearest else ""
        amount = f"{format_usd(budget.amount_usd)} in {format_count(budget.months, 'month')}"
        findings.append(
            Finding(f"{budget.cost_center!a}: {amount} from {budget.first_month:%Y-%m} on{hint}", budget.amount_usd)
        )
    return findings


def _normalize(name: str) -> str:
    """The letters and digits of a name, which two spellings of it share."""
    return "".join(char for char in unicodedata.normalize("NFKC", name).casefold() if char.isalnum())


CHECKS = (
    Check(
        "kpi_unallocated",
        "no_unallocated_spend",
        "All spend of this month has a cost center.",
        "Add the rows to the mapping sheet; the next run applies them to all of history.",
        violations(
            "unallocated_spend",
            "{vendor} {principal}: {amount_usd} this month, first seen {first_day} ({next_step})",
        ),
        blocking=False,
        scope="until",
    ),
    Check(
        "kpi_unallocated",
        "cost_center_coverage",
        f"At least {_COVERAGE:.0%} of the spend of the last 30 days has a cost center.",
        "kpi_unallocated lists the spend and the sheet rows to add, largest first.",
        _low_coverage,
        blocking=False,
        scope="until",
    ),
    Check(
        "kpi_budget_vs_actual",
        "known_budget_cost_centers",
        "Every cost center with a budget is in the tab people or key_mapping.",
        "No spend is assigned to this cost center, so its budget is never used. Use the spelling of the tabs people "
        "and key_mapping, or add the people or keys of the cost center there.",
        _unknown_budget_cost_centers,
        blocking=False,
        scope="now",
    ),
    Check(
        "fct_seat_daily",
        "seats_have_prices",
        "Every paid seat has a price.",
        "Add the price to the tab seat_prices. If several plans have a price on one day, the plan of each member must "
        "be known: name the plans like the vendor's billing tiers, or keep the price of one plan.",
        violations(
            "seats_without_price",
            "{seats} paid {vendor} seats have no price since {first_day}: their fees are missing from the spend",
        ),
        blocking=False,
    ),
    Check(
        "kpi_anomaly",
        "no_cost_anomalies",
        f"No cost of the newest {_ANOMALY_DAYS} days is far above its usual range.",
        "The vendor bills it. kpi_anomaly shows who spent it on which model; ask them whether it was intended, and if "
        "not, revoke the key or set a limit at the vendor.",
        violations(
            "cost_anomalies",
            "{usage_date} {vendor} {spender}: {actual_usd}, expected {expected_usd}, mostly {top_model}",
            {"days_back": _ANOMALY_DAYS - 1},
        ),
        blocking=False,
        scope="until",
    ),
)
