"""Totals that the report and the digest share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypedDict

from ai_usage_assets.decimals import sum_known
from ai_usage_assets.rendering.text import format_count, format_date, format_usd
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.sql_files import read_query


class BudgetAmounts(TypedDict):
    """The columns of a row of `kpi_budget_vs_actual` that its totals need."""

    cost_center: str | None
    budget_usd: Decimal | None
    spend_usd: Decimal | None


@dataclass(frozen=True)
class BudgetTotals:
    """The budgets of a month, and the spend of the cost centers that have one.

    `unbudgeted_usd` is the spend of all others. `missing` counts cost centers with spend and without a usable budget.
    """

    budget_usd: Decimal
    spend_usd: Decimal
    unbudgeted_usd: Decimal
    missing: int

    @property
    def used_ratio(self) -> Decimal | None:
        """The spend as a share of the budgets; None when these are zero."""
        return self.spend_usd / self.budget_usd if self.budget_usd else None

    @property
    def unbudgeted_text(self) -> str:
        """The spend without a budget in words; empty when there is none."""
        if not self.unbudgeted_usd:
            return ""
        kind = "spend" if self.unbudgeted_usd > 0 else "credits"
        return f"{format_usd(abs(self.unbudgeted_usd))} of {kind} without a budget is not included"

    @property
    def missing_text(self) -> str:
        """The number of missing budgets in words; empty when none is missing."""
        if not self.missing:
            return ""
        return f"{format_count(self.missing, 'cost center')} with spend {'has' if self.missing == 1 else 'have'} none"


def total_budgets(rows: Iterable[BudgetAmounts]) -> BudgetTotals | None:
    """Adds up the rows of a month of `kpi_budget_vs_actual`; None when no cost center has a budget."""
    budgeted: list[BudgetAmounts] = []
    unbudgeted: list[BudgetAmounts] = []
    for row in rows:
        (unbudgeted if row["budget_usd"] is None else budgeted).append(row)
    budget = sum_known(row["budget_usd"] for row in budgeted)
    if budget is None:
        return None
    return BudgetTotals(
        budget,
        sum_known(row["spend_usd"] for row in budgeted) or Decimal(0),
        sum_known(row["spend_usd"] for row in unbudgeted) or Decimal(0),
        sum(bool(row["cost_center"] and row["spend_usd"]) for row in unbudgeted),
    )


def describe_close(warehouse: Warehouse, month: date) -> str:
    """When a month was closed, what was posted and what was corrected since; empty for an open month."""
    parameters = {"month": month}
    closes = warehouse.rows(
        "SELECT closed_at, charges_usd FROM ai_usage.ops_month_closes WHERE month = @month", parameters
    )
    if not closes:
        return ""
    (close,) = closes
    text = f"closed on {format_date(close['closed_at'].date())} with {format_usd(close['charges_usd'])} posted"
    (corrections,) = warehouse.rows(read_query("finance/close_corrections"), parameters)
    if corrections["amount_usd"]:
        return f"{text}; corrections since then: {format_usd(corrections['amount_usd'])}"
    if corrections["moved_usd"]:
        return f"{text}; {format_usd(corrections['moved_usd'])} was reallocated since then"
    return text
