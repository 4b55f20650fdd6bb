"""How violations become findings, and the checks of cost centers, on a small warehouse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.checks import base, spend
from ai_usage_assets.checks.base import TOLERANCE, CheckContext, Finding, violations
from ai_usage_assets.days import DayRange
from ai_usage_assets.warehouse.ops_tables import OPS_RESTATEMENTS
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import charge, create_warehouse, fill, key_mapping, load_tab

D = Decimal
DAYS, TODAY = DayRange(date(2026, 11, 1), date(2026, 11, 10)), date(2026, 11, 20)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse without data."""
    path = tmp_path_factory.mktemp("small") / "w.duckdb"
    create_warehouse(path, date(2026, 10, 1), TODAY).close()
    return path


@pytest.fixture
def context(file: Path, tmp_path: Path) -> Iterator[CheckContext]:
    """What a check of the first ten days of November reads: an empty warehouse."""
    warehouse = RebuildingWarehouse(shutil.copyfile(file, tmp_path / "w.duckdb"))
    yield CheckContext(warehouse, DAYS, TODAY)
    warehouse.close()


def restate(context: CheckContext, day: int, old: str | None, new: str | None) -> None:
    """Records that today's run changed a bill."""
    amounts = {"old_amount_usd": old and D(old), "new_amount_usd": new and D(new)}
    context.warehouse.append(OPS_RESTATEMENTS, [
        {"asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": date(2026, 11, day), "run_id": "r",
         "restated_at": datetime(2026, 11, 20, 6, tzinfo=UTC), "old_records": 1, "new_records": 1, **amounts},
    ])  # fmt: skip


def test_a_violation_has_a_message_and_the_affected_dollars(context: CheckContext) -> None:
    """Dollars are formatted, or exact on request; the days of the run and today are parameters."""
    run = violations("restatements", "{usage_date}: {old_usd}, {new_usd_exact}...", {**TOLERANCE, "recent_days": 3})
    assert run(context) == []
    restate(context, 3, "1000", "1234.567")
    restate(context, 10, None, "0.501")
    restate(context, 11, "1", "99")
    assert run(context) == [
        Finding("2026-11-03: $1,000.00, $1,234.567", D("234.567")),
        Finding("2026-11-10: $0.00, $0.501", D("0.501")),
    ]
    assert context.parameters == {"start_day": DAYS.first, "end_day": DAYS.last, "today": TODAY}


def test_known_values_are_no_violations(context: CheckContext) -> None:
    """A row whose value is known is left out, also from messages without dollars."""
    charges = [{**charge("2026-11-02", usd, key="k"), "product": name} for name, usd in (("api", "1"), ("odd", "2.5"))]
    fill(context.warehouse, "int_anthropic_cost_daily", charges)
    run = violations("anthropic/products", "{value}: {amount_usd}", known=("api",))
    assert run(context) == [Finding("odd: $2.50", D("2.5"))]
    # A message ends without a period, whatever precedes it.
    messages = [finding.message for finding in violations("anthropic/products", "{value} X.")(context)]
    assert messages == ["api X", "odd X"]


def test_a_check_without_dollars_affects_none(context: CheckContext) -> None:
    """A finding of a query without the column amount_usd has no dollars, and NULL dollars are nothing."""
    context.warehouse.append(catalog.table("ops_asset_days"), [
        {"asset": "a", "vendor": "anthropic", "usage_date": TODAY, "is_daily": True, "run_id": "r", "status": "failed",
         "attempted_at": datetime(2026, 11, 21, tzinfo=UTC)},
    ])  # fmt: skip
    assert violations("future_loads", "{attempted_on} > {today}")(context) == [Finding("2026-11-21 > 2026-11-20")]
    values = base._format_values({"missing_usd": None, "days": None})
    assert values == {"missing_usd": "nothing", "missing_usd_exact": "nothing", "days": None}


@pytest.mark.parametrize(
    ("mapped", "nobody", "message"),
    [
        ("98", "2", None),
        ("97.99", "2.01", "98.0% of the spend of the last 30 days has a cost center, $2.01 has none"),
        ("-98", "-2", None),
        ("1", "-1", None),
        ("0.5", "0.5", "50.0% of the spend of the last 30 days has a cost center, $0.50 has none"),
    ],
)
def test_coverage_below_98_percent_is_reported(
    context: CheckContext, mapped: str, nobody: str, message: str | None
) -> None:
    """The share of the last 30 days' spend with a cost center; credits alone have no share."""
    charges = [charge("2026-11-02", mapped, key="k"), charge("2026-10-12", nobody, key="n")]
    # Before the last 30 days.
    fill(context.warehouse, "int_anthropic_cost_daily", [*charges, charge("2026-10-11", "1000", key="n")])
    fill(context.warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k", "T", "CC-1")])
    assert spend._low_coverage(context) == ([Finding(message, D(nobody))] if message else [])


def test_the_budget_of_an_unknown_cost_center_is_reported(context: CheckContext) -> None:
    """With its dollars, months and the nearest known spelling; a name without any resemblance has no hint."""
    mappings = [key_mapping("anthropic", "api_key", name, "T", name, n) for n, name in enumerate(("CC-1", "R & D"))]
    fill(context.warehouse, "int_key_mapping", mappings)
    budgets: list[Any] = [("2026-12", "cc 1", 5), ("2026-11", "cc 1", "7.5"), ("2026-11", "CC-1", 1)]
    budgets += [("2026-11", "\uff32&D", 2), ("2026-11", "Zebra", 3)]
    load_tab(context.warehouse, date(2026, 11, 19), "budgets", *budgets)
    known = "on; the nearest known one is"
    assert spend._unknown_budget_cost_centers(context) == [
        Finding("'Zebra': $3.00 in 1 month from 2026-11 on", D(3)),
        Finding(f"'cc 1': $12.50 in 2 months from 2026-11 {known} 'CC-1'", D("12.5")),
        Finding(rf"'\uff32&D': $2.00 in 1 month from 2026-11 {known} 'R & D'", D(2)),
    ]
