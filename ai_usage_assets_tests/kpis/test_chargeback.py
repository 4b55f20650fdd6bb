"""kpi_chargeback: open months follow the facts, closed months are frozen, and all lines add up to the facts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.days import next_month
from ai_usage_assets.warehouse.base import Warehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.raw_tables import RAW_MAPPING_SHEET
from ai_usage_assets_tests.support.finance_history import (
    AUGUST,
    FIRST_DAY,
    NOVEMBER,
    OCTOBER,
    READ_AT,
    SEPTEMBER,
    TODAY,
    close_month,
    cost_row,
    journal_rows,
    mapping_row,
    price_row,
    seat_row,
    upsert_rows,
    usage_row,
)
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import copy_warehouse, create_warehouse

JANE = "jane@example.com"
D = Decimal


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse file with all tables and views and a calendar, to copy."""
    path = tmp_path_factory.mktemp("empty") / "w.duckdb"
    create_warehouse(path, FIRST_DAY, TODAY).close()
    return path


@pytest.fixture
def warehouse(empty: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of the empty warehouse."""
    with copy_warehouse(empty, tmp_path) as warehouse:
        yield warehouse


@pytest.fixture
def history(warehouse: DuckDBWarehouse) -> DuckDBWarehouse:
    """Spend of two keys and a person in September and October.

    September: $10 of key a, two thirds to CC-1 and one third to CC-2; $7 of key b, which is unmapped; $3 of Jane's on
    demand and $99 that her seat covers; one day of her seat of $60, 60 / 30 = $2. October: $5 of key a.
    """
    upsert_rows(
        warehouse, "int_anthropic_cost_daily",
        cost_row(1, "2026-09-05", "10", "a"), cost_row(2, "2026-09-06", "7", "b"), cost_row(3, "2026-10-05", "5", "a"),
    )  # fmt: skip
    upsert_rows(
        warehouse, "int_cursor_usage_daily",
        usage_row(1, "2026-09-07", "3", JANE), usage_row(2, "2026-09-07", "99", JANE, "included"),
    )  # fmt: skip
    upsert_rows(warehouse, "int_cursor_seat_daily", seat_row(1, "2026-09-08", JANE))
    upsert_rows(
        warehouse, "int_key_mapping",
        mapping_row(1, "a", "CC-1", "0.666666667"), mapping_row(2, "a", "CC-2", "0.333333333"),
        mapping_row(3, JANE, "CC-3", kind="user"),
    )  # fmt: skip
    warehouse.append(RAW_MAPPING_SHEET, [price_row("60")])
    return warehouse


def test_an_open_month_follows_the_facts(history: DuckDBWarehouse) -> None:
    """All spend has a line, also without a cost center; usage that a seat covers has none."""
    actual = journal_rows(
        history, "posting_month", "vendor", "cost_basis", "cost_center", "line_type", "status", "line_id"
    )
    assert actual == [
        (SEPTEMBER, "anthropic", "billed", "CC-1", "charge", "open", None, D("6.666666670")),
        (SEPTEMBER, "anthropic", "billed", "CC-2", "charge", "open", None, D("3.333333330")),
        (SEPTEMBER, "anthropic", "billed", None, "charge", "open", None, D(7)),
        (SEPTEMBER, "cursor", "billed", "CC-3", "charge", "open", None, D(3)),
        (SEPTEMBER, "cursor", "seat", "CC-3", "charge", "open", None, D(2)),
        (OCTOBER, "anthropic", "billed", "CC-1", "charge", "open", None, D("3.333333335")),
        (OCTOBER, "anthropic", "billed", "CC-2", "charge", "open", None, D("1.666666665")),
    ]
    (reported,) = history.rows(
        "SELECT DISTINCT mapping_snapshot, as_of_date FROM ai_usage.kpi_chargeback WHERE vendor = 'cursor'"
    )
    assert reported == {
        "mapping_snapshot": "key_mapping none, people none, seat_prices           60",
        "as_of_date": TODAY,
    }
    provisional = history.rows("SELECT DISTINCT usage_month, is_provisional FROM ai_usage.kpi_chargeback")
    assert {row["usage_month"]: row["is_provisional"] for row in provisional} == {SEPTEMBER: False, OCTOBER: False}


def test_without_spend_there_are_no_lines(warehouse: DuckDBWarehouse) -> None:
    """An empty company has no lines, neither open nor closed."""
    assert journal_rows(warehouse, "line_id") == []
    closed = close_month(warehouse, AUGUST)
    assert (closed["lines"], closed["charges_usd"]) == (0, Decimal(0))
    assert closed["mapping_snapshot"] is None
    close_month(warehouse, SEPTEMBER)
    assert journal_rows(warehouse, "line_id") == []


def test_one_vendor_on_its_first_day(warehouse: DuckDBWarehouse) -> None:
    """The first loaded day is a provisional line of the current month."""
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-11-19", "4", "a"))
    actual = journal_rows(warehouse, "posting_month", "is_provisional", "closed_at", "reason")
    assert actual == [(NOVEMBER, True, None, None, D(4))]


def test_a_restated_day_of_a_closed_month_is_a_correction_in_the_open_month(history: DuckDBWarehouse) -> None:
    """The vendor reduces key a by $3: two thirds are CC-1's, one third CC-2's; lines of September do not change."""
    closed = close_month(history, SEPTEMBER)
    frozen = history.rows("SELECT * FROM ai_usage.kpi_chargeback WHERE status = 'closed' ORDER BY line_id")
    assert [row["line_id"] for row in frozen] == [f"AI-2026-09-0000{n}" for n in range(1, 6)]
    assert {row["closed_at"] for row in frozen} == {closed["closed_at"]}
    upsert_rows(history, "int_anthropic_cost_daily", cost_row(1, "2026-09-05", "7", "a"))
    assert history.rows("SELECT * FROM ai_usage.kpi_chargeback WHERE status = 'closed' ORDER BY line_id") == frozen
    columns = ("usage_month", "cost_center", "line_type", "reason")
    assert journal_rows(history, *columns, where=f"posting_month = DATE '{OCTOBER}'") == [
        (SEPTEMBER, "CC-1", "correction", "restated", D("-2.000000001")),
        (SEPTEMBER, "CC-2", "correction", "restated", D("-0.999999999")),
        (OCTOBER, "CC-1", "charge", None, D("3.333333335")),
        (OCTOBER, "CC-2", "charge", None, D("1.666666665")),
    ]


def test_a_backdated_edit_of_the_sheet_moves_cost_between_cost_centers(history: DuckDBWarehouse) -> None:
    """Key b is mapped to CC-1 after the close: corrections of +$7 and -$7."""
    close_month(history, SEPTEMBER)
    upsert_rows(history, "int_key_mapping", mapping_row(4, "b", "CC-1"))
    actual = journal_rows(history, "posting_month", "cost_center", "team", "reason", where="line_type = 'correction'")
    assert actual == [
        (OCTOBER, "CC-1", "Team CC-1", "reallocated", D(7)),
        (OCTOBER, None, None, "reallocated", D(-7)),
    ]


@pytest.mark.parametrize("is_edited", [True, False])
def test_a_restatement_and_an_edit_of_the_sheet_are_both_reasons(history: DuckDBWarehouse, is_edited: bool) -> None:
    """Key b, now of CC-1, is restated by $2; a vendor that moves $7 to another key and adds $2 only restates."""
    close_month(history, SEPTEMBER)
    if is_edited:
        upsert_rows(history, "int_key_mapping", mapping_row(4, "b", "CC-1"))
        upsert_rows(history, "int_anthropic_cost_daily", cost_row(2, "2026-09-06", "9", "b"))
        history.append(RAW_MAPPING_SHEET, [price_row("60", READ_AT + timedelta(days=1)) | {"snapshot_id": "another"}])
    else:
        upsert_rows(history, "int_key_mapping", mapping_row(4, "c", "CC-1"))
        upsert_rows(history, "int_anthropic_cost_daily", cost_row(2, "2026-09-06", "9", "c"))
    upsert_rows(history, "int_cursor_usage_daily", usage_row(1, "2026-09-07", "4", JANE))
    both = "restated and reallocated" if is_edited else "restated"
    assert journal_rows(history, "vendor", "cost_center", "reason", where="line_type = 'correction'") == [
        ("anthropic", "CC-1", both, D(9)),
        ("anthropic", None, both, D(-7)),
        ("cursor", "CC-3", "restated", D(1)),
    ]


def test_a_correction_is_compared_with_the_sheet_of_the_last_close(history: DuckDBWarehouse) -> None:
    """An edit of the sheet between two closes was posted with the second, and is no reason of a later correction."""
    close_month(history, SEPTEMBER)
    history.append(RAW_MAPPING_SHEET, [price_row("60", READ_AT + timedelta(days=1)) | {"snapshot_id": "another"}])
    close_month(history, OCTOBER)
    upsert_rows(history, "int_key_mapping", mapping_row(4, "c", "CC-1"))
    upsert_rows(
        history, "int_anthropic_cost_daily", cost_row(2, "2026-09-06", "9", "c"), cost_row(4, "2026-10-06", "1", "b")
    )
    actual = journal_rows(history, "posting_month", "usage_month", "cost_center", "reason", where="status = 'open'")
    assert actual == [
        (NOVEMBER, SEPTEMBER, "CC-1", "restated", D(9)),
        (NOVEMBER, SEPTEMBER, None, "restated", D(-7)),
        (NOVEMBER, OCTOBER, None, "restated", D(1)),
    ]


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("10.9", "6.5", "restated and reallocated"),
        ("10.9", "7.5", "restated"),
        ("10.9", "8.5", "restated"),
        ("9.1", "6.5", "restated"),
    ],
)
def test_lines_in_both_directions_are_reallocated(history: DuckDBWarehouse, a: str, b: str, reason: str) -> None:
    """After an edit of the sheet, only lines of one product that rise and fall show that cost moved between teams."""
    close_month(history, SEPTEMBER)
    history.append(RAW_MAPPING_SHEET, [price_row("60", READ_AT + timedelta(days=1)) | {"snapshot_id": "another"}])
    upsert_rows(
        history, "int_anthropic_cost_daily", cost_row(1, "2026-09-05", a, "a"), cost_row(2, "2026-09-06", b, "b")
    )
    actual = journal_rows(history, "cost_center", "reason", where="line_type = 'correction'")
    assert [row[:2] for row in actual] == [("CC-1", reason), ("CC-2", reason), (None, reason)]


def test_the_snapshot_names_the_newest_version_of_each_tab(warehouse: DuckDBWarehouse) -> None:
    """A line has the beginning of the digests of the three tabs that allocate cost, or none."""
    upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(1, "2026-09-05", "1", "a"))
    query = "SELECT mapping_snapshot FROM ai_usage.kpi_chargeback"
    assert warehouse.rows(query) == [{"mapping_snapshot": "key_mapping none, people none, seat_prices none"}]
    tabs = {"key_mapping": "k", "people": "p", "seat_prices": "s", "budgets": "b"}
    for age, digest in enumerate(("0123456789abcdef", "fedcba9876543210")):
        read_at = READ_AT - timedelta(days=age)
        version = {"snapshot_date": read_at.date(), "read_at": read_at, "row_no": 0, "payload": "{}"}
        warehouse.append(
            RAW_MAPPING_SHEET, [{**version, "tab": tab, "snapshot_id": name + digest} for tab, name in tabs.items()]
        )
    assert warehouse.rows(query) == [
        {"mapping_snapshot": "key_mapping k0123456789a, people p0123456789a, seat_prices s0123456789a"}
    ]


def test_an_edited_seat_price_corrects_every_closed_month(history: DuckDBWarehouse) -> None:
    """A seat costs $75 instead of $60: $2.50 per day of September, $0.50 more than was posted."""
    close_month(history, SEPTEMBER)
    history.append(RAW_MAPPING_SHEET, [price_row("75", READ_AT + timedelta(days=1))])
    actual = journal_rows(history, "cost_basis", "cost_center", "reason", where="line_type = 'correction'")
    assert actual == [("seat", "CC-3", "restated", D("0.5"))]


def test_corrections_are_frozen_with_their_month(history: DuckDBWarehouse) -> None:
    """A correction closed with October is final; later changes are compared with everything that was posted."""
    close_month(history, SEPTEMBER)
    upsert_rows(history, "int_anthropic_cost_daily", cost_row(2, "2026-09-06", "9", "b"))
    closed = close_month(history, OCTOBER)
    assert (closed["charges_usd"], closed["corrections_usd"]) == (Decimal(5), Decimal(2))
    assert journal_rows(history, "line_id", where="status = 'open'") == []
    upsert_rows(history, "int_anthropic_cost_daily", cost_row(2, "2026-09-06", "8", "b"))
    assert journal_rows(history, "posting_month", "usage_month", "status", where="line_type = 'correction'") == [
        (OCTOBER, SEPTEMBER, "closed", D(2)),
        (NOVEMBER, SEPTEMBER, "open", D(-1)),
    ]


def test_spend_before_the_first_close_is_a_correction(history: DuckDBWarehouse) -> None:
    """A month without spend at the first close is corrected in the open month."""
    close_month(history, SEPTEMBER)
    upsert_rows(history, "int_anthropic_cost_daily", cost_row(1, "2026-08-31", "1", "b"))
    actual = journal_rows(history, "posting_month", "line_type", where=f"usage_month = DATE '{AUGUST}'")
    assert actual == [(OCTOBER, "correction", D(1))]


CENTERS = st.sampled_from(["CC-1", "CC-2", None])
AMOUNTS = st.decimals(D(-5), D(500), places=9)
DAYS = st.dates(AUGUST, date(2026, 10, 31)).map(str)
CHANGES = st.one_of(
    st.tuples(st.just("bill"), st.integers(1, 4), DAYS, AMOUNTS, st.sampled_from("ab")),
    st.tuples(st.just("event"), st.integers(1, 2), DAYS, AMOUNTS, st.sampled_from(["billed", "included"])),
    st.tuples(st.just("sheet"), st.sampled_from("ab"), CENTERS, st.sampled_from(["1", "0.333333333", "0.7"])),
    st.tuples(st.just("price"), st.integers(1, 99)),
)
SPENT = (
    "SELECT DATE_TRUNC(usage_date, MONTH) AS usage_month, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
    "WHERE cost_basis <> 'included' GROUP BY usage_month"
)
ALL_LINES = """
SELECT status, posting_month, usage_month, line_type, vendor, cost_basis, product, team, cost_center, reason, amount_usd
FROM ai_usage.kpi_chargeback
"""
# Charges of a month in the journal, and the vendors' totals at the close.
CHARGED = """
SELECT posting_month AS month, vendor, cost_basis, SUM(amount_usd) AS usd FROM ai_usage.kpi_chargeback
WHERE status = 'closed' AND line_type = 'charge' GROUP BY posting_month, vendor, cost_basis
"""
TOTALS = """
SELECT total.month, vendor, cost_basis, amount_usd AS usd FROM ai_usage.ops_close_totals AS total
JOIN ai_usage.ops_month_closes AS closing ON closing.close_id = total.close_id
"""


def change(warehouse: Warehouse, step: int, what: tuple[Any, ...]) -> None:
    """Applies one change to the warehouse."""
    match what:
        case ("bill", number, day, usd, key):
            upsert_rows(warehouse, "int_anthropic_cost_daily", cost_row(number, day, str(usd), key))
        case ("event", number, day, usd, basis):
            upsert_rows(warehouse, "int_cursor_usage_daily", usage_row(number, day, str(usd), JANE, basis))
        case ("sheet", key, center, share):
            rest = str(1 - D(share))
            first = 10 * ord(key)
            upsert_rows(
                warehouse,
                "int_key_mapping",
                mapping_row(first, key, center, share),
                mapping_row(first + 1, key, "CC-9", rest),
            )
        case ("price", usd):
            warehouse.append(RAW_MAPPING_SHEET, [price_row(str(usd), READ_AT + timedelta(seconds=step))])


def sums(warehouse: Warehouse, sql: str) -> dict[tuple[Any, ...], Decimal]:
    """Non-zero sums by all columns except the amount."""
    rows = [tuple(row.values()) for row in warehouse.rows(sql)]
    return {row[:-1]: row[-1] for row in rows if row[-1]}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(months=st.lists(st.lists(CHANGES, max_size=4), min_size=2, max_size=3))
def test_the_journal_adds_up_to_the_facts_and_closed_lines_never_change(
    empty: Path, tmp_path: Path, months: list[list[tuple[Any, ...]]]
) -> None:
    """For any changes and closes, lines add up to the spend of their usage month; closed lines never change."""
    warehouse = RebuildingWarehouse(shutil.copyfile(empty, tmp_path / "w.duckdb"))
    try:
        upsert_rows(
            warehouse, "int_cursor_seat_daily", seat_row(1, "2026-08-08", JANE), seat_row(1, "2026-09-30", JANE)
        )
        month = AUGUST
        frozen: list[Any] = []
        for number, changes in enumerate(months):
            for step, what in enumerate(changes, 10 * number):
                change(warehouse, step, what)
            lines = sorted(map(tuple, (line.values() for line in warehouse.rows(ALL_LINES))), key=repr)
            total: dict[tuple[Any, ...], Decimal] = {}
            for _, _, used, *_, usd in lines:
                total[used,] = total.get((used,), D(0)) + usd
            assert {used: usd for used, usd in total.items() if usd} == sums(warehouse, SPENT)
            assert [line for line in lines if line[0] == "closed"] == frozen
            frozen = sorted((("closed", *line[1:]) for line in lines if line[1] <= month), key=repr)
            close_month(warehouse, month)
            month = next_month(month)
        assert sums(warehouse, CHARGED) == sums(warehouse, TOTALS)
    finally:
        warehouse.close()


def test_the_journal_depends_on_the_facts_only() -> None:
    """The ops tables that the view reads are no upstream assets."""
    assert {"ops_journal_lines", "ops_month_closes"} <= set(catalog.table("kpi_chargeback").reads)
