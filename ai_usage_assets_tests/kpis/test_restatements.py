"""Restatements: recorded when a day is loaded again, and reported by kpi_restatements."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.sources.base import DayBatch
from ai_usage_assets.sources.money import cents_to_usd
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_RESTATEMENT_PARTS, OPS_RESTATEMENTS
from ai_usage_assets_tests.kpis.engines import compare_engines
from ai_usage_assets_tests.support.landing import load_extract
from ai_usage_assets_tests.support.warehouse_rows import create_warehouse, execute_sql, rows

FIRST, TODAY = date(2026, 9, 1), date(2026, 11, 11)
DAY = date(2026, 11, 2)
EXTRACTS = {table.name: (pull, table) for pull in catalog.EXTRACTS for table in pull.tables}
COST, EVENTS = "raw_anthropic_cost", "raw_cursor_usage_events"
SHOWN = "dimension, dimension_value, old_amount_usd, new_amount_usd, delta_usd"


def cost(cents: str, key: str | None = "apikey_a", model: str | None = "opus", user: str | None = None) -> bytes:
    """A record of Anthropic's bill."""
    actor = {"type": "user_actor", "user_id": user} if user else {"type": "api_actor", "api_key_id": key}
    group = {"actor": actor, "api_key_id": key, "workspace_id": "wrkspc_1", "model": model}
    return msgspec.json.encode({"group": group, "cost": {"amount": cents, "list_amount": cents, "currency": "USD"}})


def event(cents: str, email: str = "jane@example.com", kind: str = "Usage-based", model: str = "m1") -> bytes:
    """A Cursor event."""
    shown = {"timestamp": "1793620800000", "userEmail": email, "kind": kind, "model": model}
    return msgspec.json.encode({**shown, "chargedCents": msgspec.Raw(cents.encode())})


def load_day(warehouse: DuckDBWarehouse, asset: str, on: date, *records: bytes, day: date = DAY) -> None:
    """Loads a complete extract of the day at six in the morning of `on`."""
    pull, table = EXTRACTS[asset]
    shown = [json.loads(record, parse_float=Decimal) for record in records]
    cents = [Decimal(of["cost"]["amount"] if asset == COST else of["chargedCents"]) for of in shown]
    usd = sum(map(cents_to_usd, cents), Decimal(0))
    at = datetime(on.year, on.month, on.day, 6, tzinfo=UTC)
    pulled = DayBatch(table, day, records, pages=1, expected_records=len(records), amount_usd=usd)
    load_extract(warehouse, pull, [pulled], RunContext(f"run of {on}", at))


@pytest.fixture
def warehouse(tmp_path: Path) -> Any:
    """An empty warehouse from September to the tenth of November."""
    warehouse = create_warehouse(tmp_path / "w.duckdb", FIRST, TODAY)
    yield warehouse
    warehouse.close()


def restatements(warehouse: DuckDBWarehouse, columns: str = SHOWN, where: str = "TRUE") -> list[tuple[Any, ...]]:
    """The rows of kpi_restatements."""
    order = "vendor, cost_basis, restated_at, dimension, dimension_value NULLS FIRST"
    return rows(warehouse, f"SELECT {columns} FROM ai_usage.kpi_restatements WHERE {where} ORDER BY {order}")


def test_a_restated_day_has_its_amounts_keys_and_models(warehouse: DuckDBWarehouse) -> None:
    """Six dollars became nine: key a lost one, key b gained four; unchanged values are left out."""
    load_day(warehouse, COST, date(2026, 11, 3), cost("300"), cost("200", model="haiku"), cost("100", key="apikey_c"))
    load_day(warehouse, COST, date(2026, 11, 5), cost("300"), cost("100", model="haiku"), cost("100", key="apikey_c"),
          cost("400", key="apikey_b"))  # fmt: skip
    assert restatements(warehouse) == [
        ("api_key", "apikey_a", Decimal(5), Decimal(4), Decimal(-1)),
        ("api_key", "apikey_b", None, Decimal(4), Decimal(4)),
        ("model", "haiku", Decimal(2), Decimal(1), Decimal(-1)),
        ("model", "opus", Decimal(4), Decimal(8), Decimal(4)),
        ("principal", "apikey_a", Decimal(5), Decimal(4), Decimal(-1)),
        ("principal", "apikey_b", None, Decimal(4), Decimal(4)),
        ("total", None, Decimal(6), Decimal(9), Decimal(3)),
        ("workspace", "wrkspc_1", Decimal(6), Decimal(9), Decimal(3)),
    ]
    when = "cost_basis, restated_at, days_later, delta_ratio, was_settled, is_latest, is_provisional, as_of_date"
    last_seen = datetime(2026, 11, 5, 6, tzinfo=UTC)
    assert restatements(warehouse, when, "dimension = 'total'") == [
        ("billed", last_seen, 3, Decimal("0.5"), False, True, True, TODAY)
    ]


def test_billed_and_included_are_separate(warehouse: DuckDBWarehouse) -> None:
    """An event that changes from included to billed reduces one basis and increases the other."""
    load_day(warehouse, EVENTS, date(2026, 11, 3), event("100"), event("250", kind="Included in Pro"))
    load_day(warehouse, EVENTS, date(2026, 11, 4), event("100"), event("250"))
    assert restatements(warehouse, f"cost_basis, {SHOWN}", "dimension IN ('total', 'principal')") == [
        ("billed", "principal", "jane@example.com", Decimal(1), Decimal("3.5"), Decimal("2.5")),
        ("billed", "total", None, Decimal(1), Decimal("3.5"), Decimal("2.5")),
        ("included", "principal", "jane@example.com", Decimal("2.5"), None, Decimal("-2.5")),
        ("included", "total", None, Decimal("2.5"), None, Decimal("-2.5")),
    ]


def test_each_restatement_is_listed_and_the_latest_is_marked(warehouse: DuckDBWarehouse) -> None:
    """A day that changed twice has two restatements; one after settlement is marked as such."""
    day = date(2026, 9, 20)
    load_day(warehouse, COST, date(2026, 9, 21), cost("100"), day=day)
    load_day(warehouse, COST, date(2026, 9, 22), cost("200"), day=day)
    load_day(warehouse, COST, date(2026, 11, 9), cost("500"), day=day)
    columns = "old_amount_usd, new_amount_usd, days_later, was_settled, is_latest, is_provisional"
    actual = restatements(warehouse, columns, "dimension = 'total'")
    assert actual == [
        (Decimal(1), Decimal(2), 2, False, False, False),
        (Decimal(2), Decimal(5), 50, True, True, False),
    ]


def test_cost_that_moved_between_keys_is_listed(warehouse: DuckDBWarehouse) -> None:
    """A dollar moved to another key with an unchanged total; a change without dollars is no restatement."""
    load_day(warehouse, COST, date(2026, 11, 3), cost("100"))
    load_day(warehouse, COST, date(2026, 11, 4), cost("100", key="apikey_b"))
    assert restatements(warehouse, SHOWN, "dimension IN ('total', 'api_key')") == [
        ("api_key", "apikey_a", Decimal(1), None, Decimal(-1)),
        ("api_key", "apikey_b", None, Decimal(1), Decimal(1)),
        ("total", None, Decimal(1), Decimal(1), Decimal(0)),
    ]
    before = len(restatements(warehouse))
    load_day(warehouse, COST, date(2026, 11, 5), cost("60", key="apikey_b"), cost("40", key="apikey_b"))
    assert len(rows(warehouse, "SELECT * FROM ai_usage.ops_restatements")) == 2
    assert len(restatements(warehouse)) == before


def test_a_first_load_and_an_equal_load_are_no_restatements(warehouse: DuckDBWarehouse) -> None:
    """The first load, an equal load and an empty company have no restatements."""
    assert restatements(warehouse) == []
    load_day(warehouse, COST, date(2026, 11, 3), cost("100"), cost("50"))
    load_day(warehouse, COST, date(2026, 11, 4), cost("50"), cost("100"))
    assert restatements(warehouse) == []


def test_a_restatement_without_details_has_its_total(warehouse: DuckDBWarehouse) -> None:
    """Restatements of an older version have only a total; Cursor's two bases were one sum then."""
    noted = {"usage_date": DAY, "restated_at": datetime(2026, 11, 4, tzinfo=UTC), "run_id": "r",
             "old_amount_usd": Decimal(1), "new_amount_usd": Decimal(3)}  # fmt: skip
    warehouse.append(
        OPS_RESTATEMENTS,
        [
            {"asset": COST, "vendor": "anthropic", **noted},
            {"asset": EVENTS, "vendor": "cursor", **noted},
            {"asset": EVENTS, "vendor": "cursor", **noted, "usage_date": FIRST, "new_amount_usd": Decimal(1)},
            {"asset": "raw_anthropic_usage", "vendor": "anthropic", **noted},
        ],
    )
    assert restatements(warehouse, f"vendor, cost_basis, {SHOWN}") == [
        ("anthropic", "billed", "total", None, Decimal(1), Decimal(3), Decimal(2)),
        ("cursor", None, "total", None, Decimal(1), Decimal(3), Decimal(2)),
    ]


def test_details_that_do_not_add_up_are_not_stored(warehouse: DuckDBWarehouse) -> None:
    """When the raw table differed from the day log, only the total is stored."""
    load_day(warehouse, COST, date(2026, 11, 3), cost("100"), cost("50", key="apikey_b"))
    execute_sql(warehouse, "DELETE FROM raw_anthropic_cost WHERE record_no = 1")
    load_day(warehouse, COST, date(2026, 11, 4), cost("300"))
    assert restatements(warehouse) == [("total", None, Decimal("1.5"), Decimal(3), Decimal("1.5"))]


def test_keys_and_users_have_names(warehouse: DuckDBWarehouse) -> None:
    """A key has its name, a user the e-mail."""
    last_seen = {"last_seen_on": DAY}
    warehouse.append(
        catalog.table("dim_api_key"), [{"vendor": "anthropic", "api_key_id": "apikey_a", "name": "ci", **last_seen}]
    )
    warehouse.append(
        catalog.table("int_anthropic_user"),
        [{"user_id": "user_1", "email": "jane@example.com", "is_member": True, **last_seen}],
    )
    load_day(warehouse, COST, date(2026, 11, 3), cost("100"), cost("100", key=None, user="user_1"))
    load_day(warehouse, COST, date(2026, 11, 4), cost("200"), cost("300", key=None, user="user_1"))
    actual = restatements(warehouse, "dimension_value, dimension_name", "dimension IN ('api_key', 'principal')")
    assert actual == [
        (None, None), ("apikey_a", "ci"), ("apikey_a", None), ("user_1", "jane@example.com"),
    ]  # fmt: skip


def test_both_engines_return_the_same_restatements(warehouse: DuckDBWarehouse) -> None:
    """Google's engine returns the same rows."""
    load_day(warehouse, COST, date(2026, 11, 3), cost("300"), cost("200", model="haiku"))
    load_day(warehouse, COST, date(2026, 11, 5), cost("301"), cost("400", key="apikey_b"))
    load_day(warehouse, EVENTS, date(2026, 11, 3), event("100"), event("250", kind="Included in Pro"))
    load_day(warehouse, EVENTS, date(2026, 11, 6), event("100.0000001"), event("250"))
    assert compare_engines(warehouse, "kpi_restatements") > 10


def test_a_failed_load_records_nothing(warehouse: DuckDBWarehouse) -> None:
    """The day, its log entry, the restatement and its details are one transaction."""
    load_day(warehouse, COST, date(2026, 11, 3), cost("100"))
    execute_sql(warehouse, "ALTER TABLE ops_restatement_parts DROP COLUMN new_amount_usd")
    before = rows(warehouse, "SELECT payload FROM ai_usage.raw_anthropic_cost")
    with pytest.raises(WarehouseError):
        load_day(warehouse, COST, date(2026, 11, 4), cost("300"))
    assert rows(warehouse, "SELECT payload FROM ai_usage.raw_anthropic_cost") == before
    assert rows(warehouse, "SELECT * FROM ai_usage.ops_restatements") == []


def test_an_older_warehouse_gains_the_details_table(tmp_path: Path) -> None:
    """A file without the details table gets it; its restatements stay."""
    warehouse = create_warehouse(tmp_path / "old.duckdb", FIRST, TODAY)
    execute_sql(warehouse, "DROP VIEW kpi_restatements")
    execute_sql(warehouse, "DROP TABLE ops_restatement_parts")
    warehouse.append(
        OPS_RESTATEMENTS,
        [{"asset": COST, "vendor": "anthropic", "usage_date": DAY, "restated_at": datetime(2026, 11, 4, tzinfo=UTC),
          "run_id": "r", "old_amount_usd": Decimal(1), "new_amount_usd": Decimal(3)}],
    )  # fmt: skip
    warehouse.prepare(catalog.tables())
    assert [row[-1] for row in restatements(warehouse)] == [Decimal(2)]
    warehouse.close()


CENTS = st.decimals(-1000, 100_000, places=11).map(str)
COSTS = st.lists(
    st.builds(cost, CENTS, st.sampled_from([None, "k1", "k2"]), st.sampled_from([None, "m1", "m2"])), max_size=5
)
CHARGES = st.lists(
    st.builds(event, CENTS, st.sampled_from(["a@x.test", "b@x.test"]), st.sampled_from(["Usage-based", "Free"])),
    max_size=5,
)


@settings(max_examples=15, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just(COST), st.lists(COSTS.filter(bool), min_size=2, max_size=3)),
        st.tuples(st.just(EVENTS), st.lists(CHARGES.filter(bool), min_size=2, max_size=3)),
    )
)
def test_every_dimension_adds_up_to_the_change(
    shared: DuckDBWarehouse, extracted: tuple[str, list[list[bytes]]]
) -> None:
    """For any two versions of a day, the changes of each dimension add up to the change of the total."""
    asset, versions = extracted
    tables = (asset, "ops_asset_days", OPS_RESTATEMENTS.name, OPS_RESTATEMENT_PARTS.name)
    for table in tables:
        shared._connect().execute(f"DELETE FROM {table}")
    for number, records in enumerate(versions):
        load_day(shared, asset, date(2026, 11, 3) + timedelta(days=number), *records)
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    for at, basis, dimension, delta in restatements(shared, "restated_at, cost_basis, dimension, delta_usd"):
        sums[at, basis, dimension] += delta
    for (at, basis, dimension), delta in sums.items():
        assert sums[at, basis, "total"] == delta, dimension
    totals: dict[Any, Decimal] = defaultdict(Decimal)
    for (at, _, dimension), delta in sums.items():
        totals[at] += delta if dimension == "total" else 0
    noted = rows(shared, "SELECT restated_at, new_amount_usd - old_amount_usd FROM ai_usage.ops_restatements")
    assert {at: delta for at, delta in noted if delta} == {at: delta for at, delta in totals.items() if delta}


@pytest.fixture(scope="module")
def shared() -> Any:
    """One warehouse for all examples, emptied by each of them."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = create_warehouse(Path(folder) / "w.duckdb", FIRST, TODAY)
        yield warehouse
        warehouse.close()
