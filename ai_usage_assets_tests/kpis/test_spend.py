"""Spend views on a small company."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.finance.report.headlines import describe_change
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    create_warehouse,
    cursor_usage,
    day_log_row,
    execute_sql,
    fill,
    key_mapping,
    rows,
    seat,
    seat_price,
)

TODAY = date(2026, 11, 11)
PLATFORM, MOBILE, UNMAPPED = "apikey_platform", "apikey_mobile", "apikey_unmapped"
JANE, SAM = "jane@example.com", "sam@example.com"


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """October and the first ten days of November, as of 11 November."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", date(2026, 10, 1), TODAY)
    charges = [
        charge("2026-10-05", "10", key=PLATFORM),
        charge("2026-10-10", "1", key=PLATFORM),
        charge("2026-10-11", "100", key=PLATFORM),
        charge("2026-10-06", "7", key=MOBILE),
        charge("2026-11-03", "15", key=PLATFORM),
        charge("2026-11-10", "5", user=JANE, model="m2"),
        charge("2026-11-09", "0.000000001", key=UNMAPPED),
    ]
    for number, row in enumerate(charges, 1):
        row["fact_no"] = number
    warehouse.append(catalog.table("int_anthropic_cost_daily"), charges)
    tokens = [
        {**row, "total_tokens": 2_000_000, "output_tokens": 1, "amount_usd": None, "list_amount_usd": None}
        for row in charges
    ]
    warehouse.append(catalog.table("int_anthropic_tokens_daily"), tokens)
    warehouse.append(
        catalog.table("int_key_mapping"),
        [
            key_mapping("anthropic", "api_key", key, team, center, n)
            for n, (key, team, center) in enumerate([(PLATFORM, "Platform", "CC-1"), (MOBILE, "Mobile", "CC-2")])
        ],
    )
    warehouse.append(
        catalog.table("dim_person"),
        [{"person_email": JANE, "name": "Jane", "team": "Platform", "cost_center": "CC-1", **OPEN}],
    )
    loaded = [date(2026, 10, 1) + timedelta(days=n) for n in range(41)]
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in loaded])
    yield warehouse
    warehouse.close()


def replace_entries(warehouse: DuckDBWarehouse, *entries: dict[str, Any]) -> None:
    """Replaces entries of the day log."""
    warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), entries)


def test_month_to_date_against_the_same_days(warehouse: DuckDBWarehouse) -> None:
    """The current month is compared with the same days of the previous one; a team without new spend keeps its row."""
    actual = rows(
        warehouse,
        "SELECT team, through_date, spend_usd, previous_month_usd, previous_same_days_usd, change_usd, change_ratio, "
        "is_provisional FROM ai_usage.kpi_spend_monthly WHERE month = DATE '2026-11-01' ORDER BY team NULLS LAST",
    )
    through = date(2026, 11, 10)
    assert actual == [
        ("Mobile", through, Decimal(0), Decimal(7), Decimal(7), Decimal(-7), Decimal(-1), True),
        ("Platform", through, Decimal(20), Decimal(111), Decimal(11), Decimal(9), Decimal("0.8182"), True),
        (None, through, Decimal("0.000000001"), Decimal(0), Decimal(0), Decimal("0.000000001"), None, True),
    ]


def test_billed_seat_and_included_usage_are_separate_sums(warehouse: DuckDBWarehouse) -> None:
    """A day and a month have a sum of each kind; spend is billed plus seats, and 0 for included usage alone."""
    fill(warehouse, "dim_person", [{"person_email": SAM, "team": "Platform", "cost_center": "CC-1", **OPEN}])
    usage = [("04", "5"), ("04", "6"), ("05", "1")], [("04", "8"), ("04", "9"), ("05", "2"), ("06", "3")]
    fill(
        warehouse, "int_cursor_usage_daily",
        [cursor_usage(f"2026-11-{day}", JANE, usd, basis=basis)
         for basis, charges in zip(("billed", "included"), usage, strict=True) for day, usd in charges],
    )  # fmt: skip
    fourth, fifth, sixth = (date(2026, 11, day) for day in (4, 5, 6))
    fill(warehouse, "int_cursor_seat_daily", [seat(fourth, JANE), seat(fourth, SAM), seat(fifth, SAM)])
    fill(warehouse, "raw_mapping_sheet", [seat_price("60")])
    sums = "billed_usd, seat_usd, spend_usd, included_usd"
    actual = rows(
        warehouse,
        f"SELECT usage_date, {sums}, team, cost_center, as_of_date FROM ai_usage.kpi_spend_daily "
        "WHERE vendor = 'cursor' ORDER BY usage_date",
    )
    assert actual == [
        (fourth, 11, 4, 15, 17, "Platform", "CC-1", TODAY),
        (fifth, 1, 2, 3, 2, "Platform", "CC-1", TODAY),
        (sixth, None, None, 0, 3, "Platform", "CC-1", TODAY),
    ]
    query = f"SELECT {sums}, as_of_date FROM ai_usage.kpi_spend_monthly WHERE vendor = 'cursor'"
    assert rows(warehouse, f"{query} AND month = DATE '2026-11-01'") == [(12, 6, 18, 22, TODAY)]


def test_spend_outside_the_calendar_has_its_rows(warehouse: DuckDBWarehouse) -> None:
    """Spend before AI_USAGE_START_DATE is part of its day and month, which are compared with nothing."""
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-08-31", "3", key=PLATFORM)])
    query = "SELECT spend_usd, as_of_date FROM ai_usage.kpi_spend_daily WHERE usage_date = DATE '2026-08-31'"
    assert rows(warehouse, query) == [(3, None)]
    actual = rows(
        warehouse,
        "SELECT spend_usd, through_date, previous_month_usd, change_usd, missing_days FROM ai_usage.kpi_spend_monthly "
        "WHERE month = DATE '2026-08-01'",
    )
    assert actual == [(3, None, None, None, 0)]


def test_a_month_without_spend_has_a_negative_change(warehouse: DuckDBWarehouse) -> None:
    """A vendor without charges in the month has a row with 0 and the previous spend."""
    execute_sql(warehouse, "DELETE FROM int_anthropic_cost_daily WHERE usage_date > '2026-10-31'")
    actual = rows(
        warehouse,
        "SELECT team, spend_usd, previous_same_days_usd, change_usd, is_provisional FROM ai_usage.kpi_spend_monthly "
        "WHERE month = DATE '2026-11-01' ORDER BY team",
    )
    assert actual == [("Mobile", 0, 7, -7, True), ("Platform", 0, 11, -11, True)]


def test_a_negative_previous_month_has_no_ratio(warehouse: DuckDBWarehouse) -> None:
    """Compared with a month of credits, the change has dollars and no ratio."""
    credit = {**charge("2026-10-06", "-107", key=MOBILE), "fact_no": 20}
    more = {**charge("2026-11-06", "-300", key=MOBILE), "fact_no": 21}
    warehouse.append(catalog.table("int_anthropic_cost_daily"), [credit, more])
    actual = rows(
        warehouse,
        "SELECT spend_usd, previous_same_days_usd, change_usd, change_ratio FROM ai_usage.kpi_spend_monthly "
        "WHERE month = DATE '2026-11-01' AND team = 'Mobile'",
    )
    assert actual == [(-300, -100, -200, None)]
    assert describe_change(Decimal(-300), Decimal(-100)) == "$200.00 less than in"
    assert describe_change(Decimal(50), Decimal(-100)) == "$150.00 more than in"


def test_a_small_previous_month_has_a_ratio(warehouse: DuckDBWarehouse) -> None:
    """Compared with a month of less than a dollar, the change has a ratio."""
    fill(warehouse, "int_anthropic_cost_daily", [charge("2026-10-07", "0.5", key=UNMAPPED)])
    query = "SELECT previous_same_days_usd, change_ratio FROM ai_usage.kpi_spend_monthly WHERE team IS NULL"
    assert rows(warehouse, f"{query} AND month = DATE '2026-11-01'") == [(Decimal("0.5"), -1)]


def test_a_finished_month_is_compared_with_the_whole_previous_month(warehouse: DuckDBWarehouse) -> None:
    """When the previous month is not loaded, the comparison is NULL."""
    actual = rows(
        warehouse,
        "SELECT team, through_date, spend_usd, previous_month_usd, change_usd FROM ai_usage.kpi_spend_monthly "
        "WHERE month = DATE '2026-10-01' ORDER BY team",
    )
    assert actual == [
        ("Mobile", date(2026, 10, 31), Decimal(7), None, None),
        ("Platform", date(2026, 10, 31), Decimal(111), None, None),
    ]


def test_people_are_ranked_and_other_spend_is_listed(warehouse: DuckDBWarehouse) -> None:
    """A person has a rank and a share of all spend; spend without a person has no rank."""
    actual = rows(
        warehouse,
        "SELECT name, team, spend_usd, person_rank, share_of_spend FROM ai_usage.kpi_spend_by_person "
        "WHERE month = DATE '2026-11-01' ORDER BY spend_usd DESC",
    )
    assert actual == [
        (None, "Platform", Decimal(15), None, Decimal("0.75")),
        ("Jane", "Platform", Decimal(5), 1, Decimal("0.25")),
        (None, None, Decimal("0.000000001"), None, Decimal(0)),
    ]


SHARES = ("kpi_spend_by_person.share_of_spend", "kpi_unallocated.share_of_spend", "kpi_model_mix.share_of_amount")


@pytest.mark.parametrize("share", SHARES)
def test_a_negative_total_has_no_shares(warehouse: DuckDBWarehouse, share: str) -> None:
    """A month in which credits exceed charges has no shares; the previous month has its own."""
    view, column = share.split(".")
    credit = {**charge("2026-11-09", "-100", key=UNMAPPED), "fact_no": 8}
    old = {**charge("2026-10-09", "1", key=UNMAPPED), "fact_no": 9}
    warehouse.append(catalog.table("int_anthropic_cost_daily"), [credit, old])
    actual = rows(warehouse, f"SELECT DISTINCT month, {column} IS NULL FROM ai_usage.{view} ORDER BY month")
    assert actual == [(date(2026, 10, 1), False), (date(2026, 11, 1), True)]


def test_every_row_has_is_provisional_and_as_of_date(warehouse: DuckDBWarehouse) -> None:
    """On 3 December, October is final and November is provisional in every view."""
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": date(2026, 10, 1), "today": date(2026, 12, 3)})
    replace_entries(
        warehouse, day_log_row(date(2026, 10, 5), amount_usd=10), day_log_row(date(2026, 11, 10), amount_usd=5)
    )
    late = {**charge("2026-10-09", "1", key=UNMAPPED), "fact_no": 9}
    warehouse.append(catalog.table("int_anthropic_cost_daily"), [late])
    october, november, as_of = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 3)
    for view, month, where in (
        ("kpi_spend_by_person", "month", "TRUE"),
        ("kpi_unallocated", "month", "TRUE"),
        ("kpi_spend_monthly", "month", "month < DATE '2026-12-01'"),
        ("int_month_completeness", "month", "vendor = 'anthropic' AND month < DATE '2026-12-01'"),
        ("kpi_reconciliation", "DATE_TRUNC(usage_date, MONTH)", "TRUE"),
    ):
        query = f"SELECT DISTINCT {month}, is_provisional, as_of_date FROM ai_usage.{view} WHERE {where} ORDER BY 1"
        assert rows(warehouse, query) == [(october, False, as_of), (november, True, as_of)], view


def test_unit_costs(warehouse: DuckDBWarehouse) -> None:
    """Dollars per million tokens, per request and per person, by model."""
    actual = rows(
        warehouse,
        "SELECT model, usd_per_million_tokens, usd_per_request, people, usd_per_person FROM ai_usage.kpi_unit_cost "
        "WHERE month = DATE '2026-11-01' ORDER BY model",
    )
    assert actual == [
        ("m1", Decimal("3.75"), Decimal("1.875"), 0, None),
        ("m2", Decimal("2.5"), Decimal("1.25"), 1, Decimal(5)),
    ]
    mix = rows(warehouse, "SELECT model, share_of_amount, share_of_tokens FROM ai_usage.kpi_model_mix "
                          "WHERE month = DATE '2026-11-01' ORDER BY model")  # fmt: skip
    assert mix == [
        ("m1", Decimal("0.75"), Decimal("0.666667")),
        ("m2", Decimal("0.25"), Decimal("0.333333")),
    ]


def test_unallocated_spend_has_its_first_day_and_the_row_to_add(warehouse: DuckDBWarehouse) -> None:
    """Spend without a cost center is listed with its first day and the row to add."""
    actual = rows(warehouse, "SELECT api_key_id, spend_usd, first_day, next_step FROM ai_usage.kpi_unallocated")
    assert [row[:3] for row in actual] == [(UNMAPPED, Decimal("0.000000001"), date(2026, 11, 9))]
    assert UNMAPPED in actual[0][3]


def test_unallocated_spend_is_summed_by_month(warehouse: DuckDBWarehouse) -> None:
    """Each month has its sum and share of all spend; the first day is that of all months. Included usage is no cost."""
    fill(
        warehouse, "int_anthropic_cost_daily",
        [charge("2026-10-20", "0.2", key=UNMAPPED), charge("2026-10-22", "0.1", key=UNMAPPED)],
    )  # fmt: skip
    fill(warehouse, "int_cursor_usage_daily", [cursor_usage("2026-10-20", SAM, "50", basis="included")])
    query = (
        "SELECT month, spend_usd, share_of_spend, first_day, as_of_date FROM ai_usage.kpi_unallocated ORDER BY month"
    )
    first = date(2026, 10, 20)
    # October: 0.3 of 118.3.
    assert rows(warehouse, query) == [
        (date(2026, 10, 1), Decimal("0.3"), Decimal("0.002536"), first, TODAY),
        (date(2026, 11, 1), Decimal("0.000000001"), 0, first, TODAY),
    ]
    execute_sql(warehouse, "DELETE FROM int_anthropic_cost_daily WHERE amount_usd NOT IN (0.2, 0.1)")
    assert [row[2] for row in rows(warehouse, query)] == [1]


def test_unallocated_spend_has_the_names_of_key_and_workspace(warehouse: DuckDBWarehouse) -> None:
    """Names belong to an id of a vendor; a key or workspace without a name keeps its row."""
    fill(
        warehouse, "int_anthropic_cost_daily",
        [{**charge("2026-11-02", usd, key=key), "workspace_id": f"w_{key}"} for key, usd in (("k1", "1"), ("k2", "2"))],
    )  # fmt: skip
    seen = {"last_seen_on": TODAY, "is_archived": False, "members": 1}
    for table, column, prefix in (("dim_api_key", "api_key_id", ""), ("dim_workspace", "workspace_id", "w_")):
        names = (("anthropic", "k1", "ci"), ("cursor", "k1", "no"), ("anthropic", "k3", "no"), ("cursor", "k2", "no"))
        fill(
            warehouse, table,
            [{"vendor": vendor, column: f"{prefix}{key}", "name": f"{prefix}{name}", **seen}
             for vendor, key, name in names],
        )  # fmt: skip
    actual = rows(
        warehouse,
        "SELECT api_key_id, api_key_name, workspace_name FROM ai_usage.kpi_unallocated WHERE spend_usd >= 1 ORDER BY 1",
    )
    assert actual == [("k1", "ci", "w_ci"), ("k2", None, None)]


ADA = "ada@example.com"


def _bill(kind: str, principal: str | None, **ids: str) -> dict[str, Any]:
    identity = {"principal_type": kind, "principal_id": principal, "identity_key": f"{kind}|{principal}"}
    return {**charge("2026-11-05", "1"), **identity, **ids}


def _event(**ids: str) -> dict[str, Any]:
    return cursor_usage("2026-11-05", None, "1", principal_id=next(iter(ids.values())), **ids)


@pytest.mark.parametrize(
    ("row", "step"),
    [
        (_bill("user", ADA, user_email=ADA), "people: add a row"),
        (_bill("api_key", "k", api_key_id="k"), "key_mapping: add anthropic, api_key, k "),
        (_bill("user", "user_9"), "The vendor no longer reports who user_9 is"),
        (_bill("user", None), "The vendor no longer reports who this user is"),
        (_bill("service_account", "svc"), "key_mapping: add anthropic, service_account, svc "),
        (_bill("workspace", "w", workspace_id="w"), "key_mapping: add anthropic, workspace, w "),
        (_bill("none", None), "The vendor reports no identity"),
        (_event(service_account_id="sa"), "key_mapping: add cursor, service_account, sa "),
        (_event(automation_id="au"), "key_mapping: the matching row has no cost center"),
    ],
)
def test_unallocated_spend_has_the_step_that_allocates_it(
    warehouse: DuckDBWarehouse, row: dict[str, Any], step: str
) -> None:
    """The next step depends on what the vendor knows: a person, a key, a workspace, an account, or nothing."""
    fill(warehouse, "int_key_mapping", [{**key_mapping("cursor", "automation", "au", "", "", 9), "cost_center": None}])
    fill(warehouse, "int_cursor_usage_daily" if "cost_basis" in row else "int_anthropic_cost_daily", [row])
    ((actual,),) = rows(warehouse, "SELECT next_step FROM ai_usage.kpi_unallocated WHERE spend_usd = 1")
    assert actual.startswith(step)


def test_days_are_provisional_until_the_vendor_settles(warehouse: DuckDBWarehouse) -> None:
    """A day of early October is final at the later of 30 days after it and 8 November."""
    actual = dict(rows(warehouse, "SELECT usage_date, is_provisional FROM ai_usage.fct_cost_daily"))
    assert actual[date(2026, 10, 5)] is False
    assert actual[date(2026, 10, 11)] is False
    assert actual[date(2026, 11, 3)] is True
    settles = dict(
        rows(warehouse, "SELECT usage_date, settles_on FROM ai_usage.int_settlement_daily WHERE vendor = 'anthropic'")
    )
    assert settles[date(2026, 10, 1)] == date(2026, 11, 8)
    assert settles[date(2026, 10, 31)] == date(2026, 11, 30)


def test_missing_days_are_counted_for_the_month(warehouse: DuckDBWarehouse) -> None:
    """A month counts its finished days without a complete bill; a day that failed after it was loaded is complete."""
    replace_entries(
        warehouse,
        day_log_row(date(2026, 11, 8), status="failed", message="503"),
        day_log_row(date(2026, 11, 9), status="failed", message="503", completed_at=None),
        day_log_row(date(2026, 11, 10), status="incomplete", completed_at=None),
        day_log_row(date(2026, 10, 4), status="failed", completed_at=None),
    )
    actual = rows(warehouse, "SELECT DISTINCT month, missing_days FROM ai_usage.kpi_spend_monthly ORDER BY month")
    assert actual == [(date(2026, 10, 1), 1), (date(2026, 11, 1), 2)]


@pytest.mark.parametrize(
    ("day", "whole_month", "same_days"),
    [
        (date(2026, 10, 31), None, Decimal(11)),
        (date(2026, 10, 10), None, None),
        (date(2026, 11, 9), Decimal(111), None),
    ],
    ids=["after the days compared", "among them", "of the month itself"],
)
def test_a_month_is_only_compared_with_loaded_days(
    warehouse: DuckDBWarehouse, day: date, whole_month: Decimal | None, same_days: Decimal | None
) -> None:
    """A previous month with a missing day has no total, and months with missing days are not compared."""
    replace_entries(warehouse, day_log_row(day, status="failed", completed_at=None))
    actual = rows(
        warehouse,
        "SELECT previous_month_usd, previous_same_days_usd, change_usd IS NULL FROM ai_usage.kpi_spend_monthly "
        "WHERE month = DATE '2026-11-01' AND team = 'Platform'",
    )
    assert actual == [(whole_month, same_days, same_days is None)]


def test_a_day_is_final_only_when_read_after_settlement(warehouse: DuckDBWarehouse) -> None:
    """A day that was last read before settlement stays provisional; read again, it is complete."""
    replace_entries(warehouse, day_log_row(date(2026, 10, 4), completed_at=datetime(2026, 11, 9, tzinfo=UTC)))
    actual = dict(rows(warehouse, "SELECT usage_date, status FROM ai_usage.kpi_completeness"))
    assert (actual[date(2026, 10, 3)], actual[date(2026, 10, 4)]) == ("provisional", "complete")


def test_seats_are_spread_over_the_days_of_the_month(warehouse: DuckDBWarehouse) -> None:
    """A seat costs its price divided by the days of the month, unless the member is removed or a free owner."""
    members = [
        '{"id":"u1","email":"jane@example.com","role":"member","isRemoved":false}',
        '{"id":"u2","email":"sam@example.com","role":"free-owner","isRemoved":false}',
        '{"id":"u3","email":"kim@example.com","role":"member","isRemoved":true}',
    ]
    warehouse.append(
        catalog.table("raw_cursor_members"),
        [
            {"snapshot_date": date(2026, 11, 5), "record_no": n, "payload": payload, "fetched_at": datetime.now(UTC)}
            for n, payload in enumerate(members, 1)
        ],
    )
    usage = '{"userId":"u1","day":"2026-11-04","email":"jane@example.com","isActive":false}'
    warehouse.append(
        catalog.table("raw_cursor_daily_usage"),
        [{"usage_date": date(2026, 11, 4), "record_no": 1, "payload": usage, "fetched_at": datetime.now(UTC)}],
    )
    sheet = {"snapshot_date": TODAY, "tab": "seat_prices", "snapshot_id": "x", "read_at": datetime.now(UTC)}
    warehouse.append(
        catalog.table("raw_mapping_sheet"),
        [{**sheet, "row_no": 2, "payload": '{"vendor":"cursor","plan":"Teams","monthly_price_usd":"40"}'}],
    )
    days = {
        "first_day": date(2026, 10, 1),
        "today": TODAY,
        "start_day": date(2026, 11, 3),
        "end_day": date(2026, 11, 6),
    }
    warehouse.rebuild(catalog.table("int_cursor_seat_daily"), days)
    actual = rows(
        warehouse,
        "SELECT usage_date, source, amount_usd FROM ai_usage.fct_seat_daily WHERE is_paid ORDER BY usage_date",
    )
    fee = Decimal("1.333333333")
    assert actual == [
        (date(2026, 11, 4), "daily_usage", fee),
        (date(2026, 11, 5), "snapshot", fee),
        (date(2026, 11, 6), "earlier_snapshot", fee),
    ]
    seats = rows(warehouse, "SELECT person_email, cost_center, SUM(amount_usd) FROM ai_usage.fct_cost_daily "
                            "WHERE cost_basis = 'seat' GROUP BY person_email, cost_center")  # fmt: skip
    assert seats == [(JANE, "CC-1", 3 * fee)]
