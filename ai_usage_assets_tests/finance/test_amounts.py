"""The totals that the report and the digest share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.decimals import sum_known
from ai_usage_assets.finance import amounts
from ai_usage_assets.finance.amounts import BudgetTotals
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.finance_history import AUGUST, close_month, cost_row, mapping_row, upsert_rows
from ai_usage_assets_tests.support.warehouse_rows import create_warehouse

D = Decimal


def row(cost_center: str | None, budget: str | None, spend: str | None) -> Any:
    """A row of `kpi_budget_vs_actual`."""
    return {"cost_center": cost_center, "budget_usd": budget and D(budget), "spend_usd": spend and D(spend)}


def test_unknown_values_are_not_zero() -> None:
    """None is left out of a sum, and a sum of nothing is None."""
    assert sum_known([D(1), None, D("0.5")]) == D("1.5")
    assert sum_known([D(0)]) == 0
    assert sum_known([None, None]) is None
    assert sum_known([]) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], None),
        ([row("A", None, "9")], None),
        ([row("A", "10", "4"), row("B", "0", None)], BudgetTotals(D(10), D(4), D(0), 0)),
        ([row("A", "10", None)], BudgetTotals(D(10), D(0), D(0), 0)),
        # Spend without a cost center has no budget that could be missing; a cost center without spend needs none.
        (
            [
                row("A", "10", "4"),
                row("B", None, "3"),
                row(None, None, "2"),
                row("C", None, None),
                row("D", None, "-9"),
            ],
            BudgetTotals(D(10), D(4), D(-4), 2),
        ),
    ],
)
def test_budgets_are_added_up_apart_from_other_spend(rows: list[Any], expected: BudgetTotals | None) -> None:
    """Budgets and their spend, the spend of all others, and the number of missing budgets."""
    assert amounts.total_budgets(iter(rows)) == expected


@pytest.mark.parametrize(("budget", "used"), [("0", None), ("8", "0.5"), ("3.2", "1.25")])
def test_the_used_ratio_is_spend_by_budget(budget: str, used: str | None) -> None:
    """A budget of zero has no ratio."""
    assert BudgetTotals(D(budget), D(4), D(0), 0).used_ratio == (used and D(used))


@pytest.mark.parametrize(
    ("unbudgeted", "expected"),
    [
        ("0", ""),
        ("0.01", "$0.01 of spend without a budget is not included"),
        ("-0.01", "$0.01 of credits without a budget is not included"),
    ],
)
def test_spend_without_a_budget_is_named(unbudgeted: str, expected: str) -> None:
    """A cent of spend or credit is named, and nothing when there is none."""
    assert BudgetTotals(D(1), D(1), D(unbudgeted), 0).unbudgeted_text == expected


@pytest.mark.parametrize(
    ("missing", "expected"),
    [(0, ""), (1, "1 cost center with spend has none"), (2, "2 cost centers with spend have none")],
)
def test_missing_budgets_are_counted(missing: int, expected: str) -> None:
    """The verb matches the number."""
    assert BudgetTotals(D(1), D(1), D(0), missing).missing_text == expected


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """Ten dollars of a key in August."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", AUGUST, date(2026, 11, 20))
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "10", "a"))
    upsert_rows(warehouse, "int_key_mapping", mapping_row(1, "a", "CC-1"))
    yield warehouse
    warehouse.close()


def test_a_close_is_described_with_its_corrections(warehouse: DuckDBWarehouse) -> None:
    """An open month has no text; a closed one has what was posted, and what changed since then."""
    assert amounts.describe_close(warehouse, AUGUST) == ""
    close_month(warehouse, AUGUST, datetime(2026, 11, 20, tzinfo=UTC))
    posted = "closed on November 20, 2026 with $10.00 posted"
    assert amounts.describe_close(warehouse, AUGUST) == posted
    assert amounts.describe_close(warehouse, date(2026, 9, 1)) == ""
    upsert_rows(warehouse, "int_key_mapping", mapping_row(1, "a", "CC-2"))
    assert amounts.describe_close(warehouse, AUGUST) == f"{posted}; $10.00 was reallocated since then"
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-08-05", "9.99", "a"))
    assert amounts.describe_close(warehouse, AUGUST) == f"{posted}; corrections since then: −$0.01"
