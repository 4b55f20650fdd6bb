"""Each check that only asks for a look is quiet when all is well, and says what, how much and what to do when not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.checks.conftest import FIRST, LAST, TODAY, find, spoil
from ai_usage_assets_tests.conftest import Company, make_company
from ai_usage_assets_tests.support.warehouse_rows import type_tab

# What the company really has: keys that nobody mapped.
TRUE_ALARMS = {"cost_center_coverage", "no_unallocated_spend"}


def test_good_days_are_quiet(warehouse: DuckDBWarehouse) -> None:
    """On untouched days no check finds anything but the spend that truly has no cost center."""
    for check in CHECKS:
        found = find(warehouse, check.asset, check.name)
        assert bool(found) == (check.name in TRUE_ALARMS), f"{check.asset}.{check.name}: {found}"


@pytest.fixture
def cycle(tmp_path: Path) -> Iterator[Company]:
    """A company early in its billing cycle, so that few days make a whole one."""
    with make_company(tmp_path / "w.duckdb", now=datetime(2026, 11, 5, 14, tzinfo=UTC)) as company:
        yield company


def test_a_mapped_company_is_wholly_quiet(cycle: Company) -> None:
    """Once the sheet names what spends, a morning's run has not one word to say, seats and spend compared."""
    organisation = cycle.simulator.organisation
    rows = [
        *(["anthropic", "workspace", workspace.id, "", "Platform", "CC-1010"] for workspace in organisation.workspaces),
        *(["cursor", robot.kind, robot.id, "", "Platform", "CC-1010"] for robot in organisation.robots),
    ]
    header = ["vendor", "principal_type", "principal_id", "person_email", "team", "cost_center", "effective_from"]
    cycle.simulator.set_sheet("key_mapping", [header, *([*row, ""] for row in rows)])
    # Nor has it people whose address both vendors have forgotten.
    cycle.simulator.switches.cursor.strip_removed_emails = False
    for person in organisation.people:
        organisation.replace_person(person.email, forgotten=False)
    result = cycle.run("2026-11-03", "2026-11-04")
    assert result.success, result.failures()
    assert result.failed_checks() == {}
    # The control was not empty: the whole cycle is held, and a second day's snapshot has its own day.
    cycle.simulator.now += timedelta(days=1)
    again = cycle.run("2026-11-03", "2026-11-05", lane="cursor")
    assert again.success, again.failures()
    assert again.failed_checks() == {}


@pytest.mark.parametrize(("exponent", "means"), [(1, "more than the loaded events"), (-1, "less than the events")])
def test_cursors_own_spend_that_differs_is_told(cycle: Company, exponent: int, means: str) -> None:
    """What Cursor says was spent, held against its own events over the whole cycle, differs by so many dollars."""
    for _ in range(2):
        last = (cycle.simulator.now - timedelta(days=1)).date().isoformat()
        assert cycle.run("2026-11-03", last, lane="cursor").success
        cycle.simulator.now += timedelta(days=1)
    warehouse = cycle.warehouse
    try:
        spoil(
            warehouse,
            "UPDATE raw_cursor_spend SET payload = regexp_replace(payload, "
            f"'\"(overallSpendCents|spendCents)\":([0-9.]+)', '\"\\1\":\\2e{exponent}', 'g')",
        )
        check = next(check for check in CHECKS if check.name == "matches_usage_events")
        days = DayRange(date(2026, 11, 3), date(2026, 11, 5))
        found = check.run(CheckContext(warehouse, days, date(2026, 11, 6)))
    finally:
        warehouse.close()
    assert {finding.amount_usd is not None for finding in found} == {True}
    assert any(means in finding.message for finding in found)


def test_a_classic_report_that_differs_is_told(warehouse: DuckDBWarehouse) -> None:
    """A line of the classic report that has vanished is told by day, workspace and model, with its dollars."""
    spoil(
        warehouse,
        "UPDATE raw_anthropic_cost_report SET payload = json_merge_patch(payload, '{\"results\": []}') "
        "WHERE usage_date = DATE '2026-11-10'",
    )
    found = find(warehouse, "raw_anthropic_cost_report", "matches_classic_report")
    assert all(finding.message.startswith("2026-11-10 wrkspc_") for finding in found)
    total = warehouse.rows(
        "SELECT SUM(amount_usd) AS usd FROM ai_usage.int_anthropic_cost_daily WHERE usage_date = DATE '2026-11-10'"
    )[0]["usd"]
    # Lines too small to be worth a morning are left out.
    assert Decimal("0.9") * total < sum(finding.amount_usd or 0 for finding in found) <= total


def test_a_rejected_row_is_told_with_the_money_it_names(warehouse: DuckDBWarehouse) -> None:
    """A row that could not be used is told by its number and reason, and what its key spent in thirty days."""
    spoil(
        warehouse,
        "UPDATE raw_mapping_sheet SET reject_reason = 'it names nobody' WHERE tab = 'key_mapping' AND row_no = 5",
    )
    (found,) = find(warehouse, "raw_mapping_sheet", "rows_valid")
    assert found.message.startswith("tab key_mapping row 5: it names nobody ($")
    key = warehouse.rows(
        "SELECT JSON_VALUE(payload, '$.principal_id') AS id FROM ai_usage.raw_mapping_sheet "
        "WHERE tab = 'key_mapping' AND row_no = 5"
    )[0]["id"]
    spent = warehouse.rows(f"SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily WHERE api_key_id = '{key}'")
    assert found.amount_usd == spent[0]["usd"]


def test_a_budget_that_nobody_can_spend_is_told_with_the_nearest_name(warehouse: DuckDBWarehouse) -> None:
    """Another case and a no-break hyphen are seen, and a cost center that only keys are mapped to is one."""
    spoil(warehouse, "UPDATE int_key_mapping SET cost_center = 'Keys'")
    type_tab(
        warehouse, TODAY + timedelta(days=1), "budgets",
        ("2026-11", "CC-1010", 5), ("2026-11", "cc-1010", 10), ("2026-12", "cc-1010", 15),
        ("2026-11", "CC\u20111010", 20), ("2026-11", "Elsewhere", 30), ("2026-11", "Keys", 40),
    )  # fmt: skip
    found = find(warehouse, "kpi_budget_vs_actual", "known_budget_cost_centers")
    nearest = "the nearest known one is 'CC-1010'"
    assert {(finding.message, finding.amount_usd) for finding in found} == {
        (f"'cc-1010': $25.00 in 2 months from 2026-11 on; {nearest}", Decimal(25)),
        (rf"'CC\u20111010': $20.00 in 1 month from 2026-11 on; {nearest}", Decimal(20)),
        ("'Elsewhere': $30.00 in 1 month from 2026-11 on", Decimal(30)),
    }


def test_unmapped_keys_are_told_by_name_with_dollars_and_first_day(warehouse: DuckDBWarehouse) -> None:
    """The largest comes first, each with the row to add; together they are what has no cost center."""
    found = find(warehouse, "kpi_unallocated", "no_unallocated_spend")
    assert found[0].message.startswith("anthropic prod-2-test: $")
    assert "first seen 2026-11-10 (key_mapping: add anthropic, api_key, apikey_" in found[0].message
    (coverage,) = find(warehouse, "kpi_unallocated", "cost_center_coverage")
    assert sum(finding.amount_usd or 0 for finding in found) == coverage.amount_usd
    assert "@" not in "".join(finding.message for finding in found)


@pytest.mark.parametrize(
    ("sql", "asset", "name", "says"),
    [
        ("UPDATE int_anthropic_cost_daily SET product = 'mind_reading' WHERE fact_no = 1", "int_anthropic_cost_daily",
         "known_products", "product 'mind_reading': $"),
        ("UPDATE int_anthropic_cost_daily SET model = 'claude-opus-9' WHERE fact_no = 1", "int_anthropic_cost_daily",
         "models_have_list_prices", "model 'claude-opus-9': $"),
        ("UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"kind\": \"Barter\"}') "
         "WHERE record_no = 1", "raw_cursor_usage_events", "known_billing_kinds", "kind 'Barter': $"),
        ("UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"tokenUsage\": {\"aura\": 1}}') "
         "WHERE record_no = 1", "raw_cursor_usage_events", "known_fields", "new field 'tokenUsage.aura' in 1 of "),
        ("UPDATE raw_anthropic_cost SET payload = json_merge_patch(payload, '{\"group\": {\"mood\": null, "
         "\"tide\": \"low\"}}')", "raw_anthropic_cost", "known_fields", "new field 'group.tide' in "),
        ("UPDATE raw_anthropic_cost SET payload = json_merge_patch(payload, '{\"group\": {\"actor\": {\"type\": "
         "\"ghost_actor\"}}}') WHERE record_no = 1", "raw_anthropic_cost", "known_actor_types",
         "actor type 'ghost_actor': $"),
        ("UPDATE raw_cursor_usage_events SET payload = json_merge_patch(payload, '{\"chargedCents\": -250}') "
         "WHERE record_no = 1 AND usage_date = DATE '2026-11-10'", "raw_cursor_usage_events", "no_negative_amounts",
         "2026-11-10: 1 events of $-2.50"),
        ("INSERT INTO ops_restatements VALUES ('raw_anthropic_cost', 'anthropic', '2026-11-10', '2026-11-14 06:00+00', "
         "'r', 9, 8, 100, 40)", "kpi_completeness", "no_restatements", "anthropic 2026-11-10: $100.00 became $40.00"),
    ],
    ids=["product", "model", "kind", "event field", "cost field", "actor", "negative", "restated"],
)  # fmt: skip
def test_what_is_new_is_told(warehouse: DuckDBWarehouse, sql: str, asset: str, name: str, says: str) -> None:
    """An unknown product, model, kind or field, and a restated day, are told with their name and dollars."""
    spoil(warehouse, sql)
    (found,) = find(warehouse, asset, name, today=date(2026, 11, 14))
    assert found.message.startswith(says)
    assert (found.amount_usd is None) == (name == "known_fields")


def test_a_dated_model_has_the_price_of_its_name(warehouse: DuckDBWarehouse) -> None:
    """A model named with its date is the model of that name."""
    spoil(warehouse, "UPDATE int_anthropic_cost_daily SET model = 'claude-haiku-4-5-20251001' WHERE fact_no = 1")
    assert find(warehouse, "int_anthropic_cost_daily", "models_have_list_prices") == []


def test_a_young_day_may_still_move(warehouse: DuckDBWarehouse) -> None:
    """That yesterday's figure grew since last night is no news, nor are a few cents of any day."""
    for day, old, new in ((LAST, 1, 50), (FIRST, "100.00", "100.49")):
        spoil(
            warehouse,
            "INSERT INTO ops_restatements VALUES "
            f"('raw_anthropic_cost', 'anthropic', '{day}', '{TODAY} 06:00+00', 'r', 1, 1, {old}, {new})",
        )
    assert find(warehouse, "kpi_completeness", "no_restatements") == []


def test_a_vendor_that_went_quiet_is_stale(warehouse: DuckDBWarehouse) -> None:
    """A vendor is stale when its newest whole day is three days old, not when one morning is late."""
    assert find(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=2)) == []
    found = find(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=3))
    assert [finding.message for finding in found] == [
        "anthropic: the newest complete day is 2026-11-11",
        "cursor: the newest complete day is 2026-11-11",
    ]


def test_a_vendor_that_was_given_up_is_not_stale(warehouse: DuckDBWarehouse) -> None:
    """Without its key the newest day is missed at first, and no longer when the last one read is months old."""
    spoil(warehouse, f"UPDATE ops_asset_days SET status = 'not_configured', completed_at = NULL "
        f"WHERE vendor = 'cursor' AND usage_date = '{LAST}'")  # fmt: skip
    found = find(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=2))
    assert [finding.message for finding in found] == ["cursor: the newest complete day is 2026-11-10"]
    spoil(warehouse, "UPDATE ops_asset_days SET usage_date = usage_date - 60 "
        "WHERE vendor = 'cursor' AND status <> 'not_configured'")  # fmt: skip
    assert find(warehouse, "kpi_completeness", "freshness", today=LAST + timedelta(days=2)) == []


def test_a_day_that_was_last_read_before_it_was_final_is_told(warehouse: DuckDBWarehouse) -> None:
    """Days that have settled since nobody read them are told with their dollars; read again they are quiet."""
    assert find(warehouse, "kpi_completeness", "loaded_after_settlement", today=date(2026, 12, 9)) == []
    found = find(warehouse, "kpi_completeness", "loaded_after_settlement", today=date(2026, 12, 20))
    assert [finding.message[:46] for finding in found] == [
        "anthropic: 2 final days, 2026-11-10 to 2026-11",
        "cursor: 2 final days, 2026-11-10 to 2026-11-11",
    ]
    assert all(finding.amount_usd for finding in found)
    spoil(warehouse, "UPDATE ops_asset_days SET completed_at = '2026-12-19 06:00+00'")
    assert find(warehouse, "kpi_completeness", "loaded_after_settlement", today=date(2026, 12, 20)) == []
