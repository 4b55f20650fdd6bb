"""Totals that the report and the digest share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ai_usage_assets.rendering.text import format_count, format_date, format_usd
from ai_usage_assets.warehouse.base import Row


@dataclass(frozen=True)
class BudgetTotals:
    """A month's budgets, and what the cost centers that have one spent; what the others spent is held against none.

    `lacking` counts cost centers that spent and have no budget that can be used.
    """

    budget_usd: Decimal
    spend_usd: Decimal
    other_usd: Decimal
    lacking: int

    @property
    def used_ratio(self) -> Decimal | None:
        """The spend as a share of the budgets; None when these are nothing."""
        return self.spend_usd / self.budget_usd if self.budget_usd else None

    @property
    def beside(self) -> str:
        """What was spent without a budget, for a person; nothing when nothing was."""
        if not self.other_usd:
            return ""
        more = "spent" if self.other_usd > 0 else "given back than spent"
        return f"{format_usd(abs(self.other_usd))} more was {more} where there is no budget"

    @property
    def incomplete(self) -> str:
        """How many cost centers lack one, for a person; nothing when none does."""
        if not self.lacking:
            return ""
        return f"{format_count(self.lacking, 'cost center')} that spent {'has' if self.lacking == 1 else 'have'} none"


def total_budgets(rows: Iterable[Row]) -> BudgetTotals | None:
    """Of a month's rows of kpi_budget_vs_actual; None when no cost center has a budget."""
    having: list[Row] = []
    lacking: list[Row] = []
    for row in rows:
        (lacking if row["budget_usd"] is None else having).append(row)
    budget = sum_known(row["budget_usd"] for row in having)
    if budget is None:
        return None
    return BudgetTotals(
        budget,
        sum_known(row["spend_usd"] for row in having) or Decimal(0),
        sum_known(row["spend_usd"] for row in lacking) or Decimal(0),
        sum(bool(row["cost_center"] and row["spend_usd"]) for row in lacking),
    )


def describe_close(rows: Callable[[str], Sequence[Row]]) -> str:
    """How a closed month stands in the books and what it has turned out to be since; nothing of an open one.

    `rows` asks the warehouse, where @month is the month.
    """
    closes = rows("SELECT closed_at, charges_usd FROM ai_usage.ops_month_closes WHERE month = @month")
    if not closes:
        return ""
    told = f"closed on {format_date(closes[0]['closed_at'].date())}: as posted {format_usd(closes[0]['charges_usd'])}"
    (since,) = rows(
        """
        SELECT SUM(amount_usd) AS amount_usd, SUM(CASE WHEN amount_usd > 0 THEN amount_usd END) AS moved_usd
        FROM ai_usage.kpi_chargeback WHERE usage_month = @month AND line_type = 'correction'
        """
    )
    if since["amount_usd"]:
        return f"{told}; {format_usd(since['amount_usd'])} is carried as corrections"
    return f"{told}; {format_usd(since['moved_usd'])} of it has gone to others since" if since["moved_usd"] else told


def sum_known(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known else None
