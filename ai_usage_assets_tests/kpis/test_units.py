"""Unit costs, cache savings, discounts, model mix and productivity."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    claude_code,
    copy_warehouse,
    create_warehouse,
    cursor_activity,
    cursor_usage,
    day_log_row,
    days,
    execute_sql,
    fill,
    key_mapping,
    rows,
    seat,
    seat_price,
    tokens,
)

FIRST, TODAY = date(2026, 10, 1), date(2026, 11, 11)
VIEWS = ("kpi_token_cost", "kpi_cache_savings", "kpi_discount", "kpi_model_mix", "kpi_unit_cost", "kpi_productivity")
SONNET, HAIKU = "claude-sonnet-5-5", "claude-haiku-5-5"


@pytest.fixture(scope="module")
def empty_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """October and ten days of November without usage, with list prices."""
    path = tmp_path_factory.mktemp("units") / "w.duckdb"
    warehouse = create_warehouse(path, FIRST, TODAY)
    warehouse.rebuild(catalog.table("dim_model_price"), {})
    warehouse.close()
    return path


@pytest.fixture
def warehouse(empty_path: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of the empty warehouse."""
    with copy_warehouse(empty_path, tmp_path) as warehouse:
        yield warehouse


def mark_loaded(warehouse: DuckDBWarehouse, *vendors: str) -> None:
    """Marks all days of the vendors' bills as loaded."""
    names = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}
    fill(warehouse, "ops_asset_days", [
        day_log_row(day, asset=names[vendor], vendor=vendor)
        for vendor in vendors for day in days(FIRST, date(2026, 11, 10))
    ])  # fmt: skip


def component(day: str, model: str | None, token_class: str, usd: str, list_usd: str | None = None) -> dict[str, Any]:
    """Anthropic's cost of one token class."""
    return {
        "usage_date": date.fromisoformat(day), "model": model, "token_class": token_class, "amount_usd": Decimal(usd),
        "list_amount_usd": Decimal(list_usd or usd),
    }  # fmt: skip


# --- by class of token --------------------------------------------------------------------------------------------


def test_cost_per_million_tokens_of_each_class(warehouse: DuckDBWarehouse) -> None:
    """Each class has its tokens, its billed dollars and its list price; code execution has no tokens."""
    fill(warehouse, "int_anthropic_tokens_daily", [tokens(
        "2026-11-03", model=SONNET, uncached_input_tokens=2_000_000, cache_write_5m_tokens=400_000,
        cache_write_1h_tokens=500_000, cache_read_tokens=30_000_000, output_tokens=1_000_000,
    )])  # fmt: skip
    # 20% off the list prices: 2 dollars input, 2.50 and 4 cache writes, 0.10 cache reads, 10 output.
    fill(warehouse, "int_anthropic_component_daily", [
        component("2026-11-03", SONNET, name, usd, list_usd)
        for name, usd, list_usd in (("uncached_input", "3.2", "4"), ("cache_write_5m", "0.8", "1"),
                                    ("cache_write_1h", "1.6", "2"), ("cache_read", "2.4", "3"), ("output", "8", "10"))
    ] + [component("2026-11-03", None, "code_execution", "0.05")])  # fmt: skip
    actual = rows(
        warehouse,
        "SELECT model, token_class, tokens, amount_usd, list_amount_usd, usd_per_million, list_usd_per_million, "
        "priced_usd, unpriced_tokens, price_status FROM ai_usage.kpi_token_cost ORDER BY model, token_class",
    )
    numbers = [
        ("cache_read", 30_000_000, "2.4", "3", "0.08", "0.1", "3"),
        ("cache_write_1h", 500_000, "1.6", "2", "3.2", "4", "2"),
        ("cache_write_5m", 400_000, "0.8", "1", "2", "2.5", "1"),
        ("output", 1_000_000, "8", "10", "8", "10", "10"),
        ("uncached_input", 2_000_000, "3.2", "4", "1.6", "2", "4"),
    ]
    assert actual == [
        *((SONNET, name, count, *map(Decimal, usd), 0, "listed") for name, count, *usd in numbers),
        ("no model", "code_execution", None, Decimal("0.05"), Decimal("0.05"), None, None, None, None, None),
    ]


def test_prices_are_those_of_the_day(warehouse: DuckDBWarehouse) -> None:
    """The price of cache reads fell on 7 October: three million at 0.20 and one at 0.10 are 0.70 for four."""
    fill(warehouse, "int_anthropic_tokens_daily", [
        tokens("2026-10-06", model=f"{SONNET}-20260901", cache_read_tokens=3_000_000),
        tokens("2026-10-07", model=f"{SONNET}-20260901", cache_read_tokens=1_000_000),
    ])  # fmt: skip
    actual = rows(warehouse, "SELECT tokens, priced_usd, list_usd_per_million FROM ai_usage.kpi_token_cost")
    assert actual == [(4_000_000, Decimal("0.7"), Decimal("0.175"))]


@pytest.mark.parametrize(
    ("model", "status"),
    [("claude-zeta-9", "unknown_model"), (HAIKU, "depends_on_prompt"), (None, "unknown_model")],
)
def test_a_model_without_a_price_is_counted_and_not_priced(
    warehouse: DuckDBWarehouse, model: str | None, status: str
) -> None:
    """Its tokens count as unpriced in both views; its priced dollars are NULL."""
    fill(warehouse, "int_anthropic_tokens_daily", [
        tokens("2026-11-03", model=model, cache_read_tokens=5, cache_write_1h_tokens=2, output_tokens=1)
    ])  # fmt: skip
    actual = rows(
        warehouse, "SELECT token_class, unpriced_tokens, priced_usd, list_usd_per_million, price_status "
                   "FROM ai_usage.kpi_token_cost ORDER BY token_class",
    )  # fmt: skip
    assert actual == [
        ("cache_read", 5, None, None, status), ("cache_write_1h", 2, None, None, status),
        ("output", 1, None, None, status),
    ]  # fmt: skip
    saved = rows(warehouse, "SELECT unpriced_tokens, saved_usd, uncached_usd, price_status "
                            "FROM ai_usage.kpi_cache_savings")  # fmt: skip
    assert saved == [(7, None, None, status)]


def test_cursor_counts_tokens_and_prices_none(warehouse: DuckDBWarehouse) -> None:
    """Cursor charges whole events: tokens by class and basis, no dollars by class."""
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-03", "a@x", "1", uncached_input_tokens=10, cache_write_tokens=20, cache_read_tokens=30,
                     output_tokens=0),
        cursor_usage("2026-11-03", "a@x", "1", basis="included", uncached_input_tokens=7),
    ])  # fmt: skip
    actual = rows(warehouse, "SELECT cost_basis, token_class, tokens, amount_usd, unpriced_tokens, price_status "
                            "FROM ai_usage.kpi_token_cost ORDER BY cost_basis, token_class")  # fmt: skip
    assert actual == [
        ("billed", "cache_read", 30, None, 30, "not_published"),
        ("billed", "cache_write", 20, None, 20, "not_published"),
        ("billed", "uncached_input", 10, None, 10, "not_published"),
        ("included", "uncached_input", 7, None, 7, "not_published"),
    ]
    saved = rows(warehouse, "SELECT cache_hit_ratio, saved_usd, unpriced_tokens, price_status "
                            "FROM ai_usage.kpi_cache_savings")  # fmt: skip
    assert saved == [(Decimal("0.447761"), None, 50, "not_published")]


# --- what caches save ---------------------------------------------------------------------------------------------


def test_cache_savings(warehouse: DuckDBWarehouse) -> None:
    """Ten million reads save 1.90 each; writes cost 0.50 and 2 more than plain input."""
    # Saved: 10 x (2 - 0.10) - 2 x (2.50 - 2) - 1 x (4 - 2) = 16 dollars; plain input would have been 13 x 2 = 26.
    fill(warehouse, "int_anthropic_tokens_daily", [tokens(
        "2026-11-03", key="k1", model=SONNET, uncached_input_tokens=7_000_000, cache_write_5m_tokens=2_000_000,
        cache_write_1h_tokens=1_000_000, cache_read_tokens=10_000_000, output_tokens=5,
    )])  # fmt: skip
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k1", "Platform", "CC-1")])
    (actual,) = rows(
        warehouse,
        "SELECT team, cache_write_tokens, cache_hit_ratio, uncached_usd, cached_usd, saved_usd, saved_ratio, "
        "unpriced_tokens, is_provisional FROM ai_usage.kpi_cache_savings",
    )
    assert actual == (
        "Platform", 3_000_000, Decimal("0.5"), Decimal(26), Decimal(10), Decimal(16), Decimal("0.615385"), 0, True,
    )  # fmt: skip


def test_unread_cache_writes_have_negative_savings(warehouse: DuckDBWarehouse) -> None:
    """A million tokens written for an hour cost two dollars more than plain input; rows without input are left out."""
    fill(warehouse, "int_anthropic_tokens_daily", [
        tokens("2026-11-03", model=SONNET, cache_write_1h_tokens=1_000_000)
    ])  # fmt: skip
    fill(warehouse, "int_anthropic_tokens_daily", [tokens("2026-11-04", model=None, output_tokens=3)])
    actual = rows(warehouse, "SELECT saved_usd, saved_ratio, cache_hit_ratio FROM ai_usage.kpi_cache_savings")
    assert actual == [(Decimal(-2), Decimal(-1), Decimal(0))]


# --- discount -----------------------------------------------------------------------------------------------------


def test_effective_discount(warehouse: DuckDBWarehouse) -> None:
    """The discount divided by the list price, per model; without published prices it is NULL."""
    fill(warehouse, "int_anthropic_cost_daily", [
        {**charge("2026-11-03", "8", key="k"), "list_amount_usd": Decimal(10)},
        {**charge("2026-11-04", "10", key="k"), "list_amount_usd": Decimal(14)},
        {**charge("2026-11-04", "0", key="k", model="free"), "list_amount_usd": Decimal(0)},
    ])  # fmt: skip
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-03", "a@x", "5"), cursor_usage("2026-11-03", "a@x", "7", basis="included"),
    ])  # fmt: skip
    actual = rows(warehouse, "SELECT vendor, model, list_usd, billed_usd, discount_usd, discount_ratio "
                            "FROM ai_usage.kpi_discount ORDER BY vendor, model")  # fmt: skip
    assert actual == [
        ("anthropic", "free", Decimal(0), Decimal(0), Decimal(0), None),
        ("anthropic", "m1", Decimal(24), Decimal(18), Decimal(6), Decimal("0.25")),
        ("cursor", "m1", None, Decimal(5), None, None),
    ]


# --- price, volume and mix ----------------------------------------------------------------------------------------

EFFECTS = "model, previous_amount_usd, amount_usd, price_effect_usd, volume_effect_usd, mix_effect_usd, change_usd"


def charge_with_tokens(model: str | None, day: str, usd: str, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A charge and its tokens."""
    return {**charge(day, usd, key="k"), "model": model}, tokens(day, key="k", model=model, output_tokens=count)


def add_usage(warehouse: DuckDBWarehouse, *usages: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Adds charges and their tokens."""
    fill(warehouse, "int_anthropic_cost_daily", [cost for cost, _ in usages])
    fill(warehouse, "int_anthropic_tokens_daily", [count for _, count in usages if count["total_tokens"]])


def effects(warehouse: DuckDBWarehouse, month: str = "2026-11-01") -> dict[str, list[Any]]:
    """Effects of a month by model."""
    actual = rows(warehouse, f"SELECT {EFFECTS} FROM ai_usage.kpi_model_mix WHERE month = DATE '{month}'")
    return {model: values for model, *values in actual}


def test_price_volume_and_mix(warehouse: DuckDBWarehouse) -> None:
    """Tokens double; one model becomes more expensive, one is new, one ends; code execution has no tokens."""
    # a: 60 tokens for 60 (1 each), now 140 for 280 (2 each). Price 140 x 1 = 140, volume 60 x 1 = 60, mix (140 - 60 x
    # 2) x 1 = 20. old: 40 tokens for 20, now none: volume 20 x 1 = 20, mix -(40 x 2) x 0.5 = -40. new: nothing, now
    # 60 tokens for 6: all mix.
    mark_loaded(warehouse, "anthropic")
    add_usage(
        warehouse,
        charge_with_tokens("a", "2026-10-05", "60", 60), charge_with_tokens("a", "2026-11-05", "280", 140),
        charge_with_tokens("old", "2026-10-10", "20", 40), charge_with_tokens("new", "2026-11-06", "6", 60),
        charge_with_tokens(None, "2026-10-05", "1", 0), charge_with_tokens(None, "2026-11-05", "4", 0),
        # After the tenth, which November is not compared with yet.
        charge_with_tokens("a", "2026-10-11", "1000", 1000), charge_with_tokens("late", "2026-10-11", "1000", 1000),
    )  # fmt: skip
    assert effects(warehouse) == {
        "a": [60, 280, 140, 60, 20, 220],
        "old": [20, 0, 0, 20, -40, -20],
        "new": [0, 6, 0, 0, 6, 6],
        "no model": [1, 4, 0, 3, 0, 3],
    }


def test_a_month_that_cannot_be_compared_has_no_effects(warehouse: RebuildingWarehouse) -> None:
    """When a day of the previous month is not loaded, the effects are NULL."""
    mark_loaded(warehouse, "anthropic")
    add_usage(
        warehouse, charge_with_tokens("a", "2026-10-05", "60", 60), charge_with_tokens("a", "2026-11-05", "280", 140)
    )
    assert effects(warehouse, "2026-10-01") == {"a": [None, 60, None, None, None, None]}
    execute_sql(warehouse, "UPDATE ops_asset_days SET completed_at = NULL WHERE usage_date = DATE '2026-10-07'")
    assert effects(warehouse) == {"a": [None, 280, None, None, None, None]}


def test_a_new_vendor_is_all_volume(warehouse: DuckDBWarehouse) -> None:
    """Without any tokens in the previous month, the whole change is volume."""
    mark_loaded(warehouse, "anthropic", "cursor")
    add_usage(warehouse, charge_with_tokens("a", "2026-11-05", "280", 140))
    fill(warehouse, "int_cursor_usage_daily", [cursor_usage("2026-10-05", "a@x", "3", output_tokens=5)])
    assert effects(warehouse)["a"] == [0, 280, 0, 280, 0, 280]
    # The same for a vendor that ends.
    assert rows(warehouse, "SELECT volume_effect_usd FROM ai_usage.kpi_model_mix WHERE vendor = 'cursor' "
                           "AND month = DATE '2026-11-01'") == [(Decimal(-3),)]  # fmt: skip


AMOUNT = st.decimals(0, 10**6, places=9)
COUNT = st.integers(0, 10**12)
MODEL = st.fixed_dictionaries({"before": st.tuples(AMOUNT, COUNT), "now": st.tuples(AMOUNT, COUNT)})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MODEL, min_size=1, max_size=6))
def test_the_three_effects_add_up_to_the_change(warehouse: DuckDBWarehouse, models: list[dict[str, Any]]) -> None:
    """For any models, to the last digit."""
    for table in ("int_anthropic_cost_daily", "int_anthropic_tokens_daily"):
        execute_sql(warehouse, f"DELETE FROM {table}")
    if not rows(warehouse, "SELECT usage_date FROM ai_usage.ops_asset_days"):
        mark_loaded(warehouse, "anthropic")
    add_usage(warehouse, *(
        charge_with_tokens(f"m{number}", day, f"{model[when][0]:f}", model[when][1])
        for number, model in enumerate(models) for when, day in (("before", "2026-10-05"), ("now", "2026-11-05"))
    ))  # fmt: skip
    for model, (before, now, price, volume, mixed, change) in effects(warehouse).items():
        assert (before, now) == (models[int(model[1:])]["before"][0], models[int(model[1:])]["now"][0])
        assert price + volume + mixed == change == now - before


def test_mix_and_unit_cost_have_the_same_dollars(warehouse: DuckDBWarehouse) -> None:
    """Both views contain all cost per basis, also when a shared key is split."""
    fill(warehouse, "int_key_mapping", [
        {**key_mapping("anthropic", "api_key", "k", team, "CC", n), "share": Decimal(share)}
        for n, (team, share) in enumerate((("A", "0.3"), ("B", "0.7")))
    ])  # fmt: skip
    add_usage(
        warehouse,
        charge_with_tokens("a", "2026-11-05", "0.000000001", 7),
        charge_with_tokens(None, "2026-11-05", "3", 0),
    )
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-03", "a@x", "5", output_tokens=3),
        cursor_usage("2026-11-03", "a@x", "7", basis="included"),
    ])  # fmt: skip
    columns = "vendor, cost_basis, model, amount_usd, total_tokens, requests"
    both = [sorted(rows(warehouse, f"SELECT {columns} FROM ai_usage.{view}"), key=repr)
            for view in ("kpi_unit_cost", "kpi_model_mix")]  # fmt: skip
    assert both[0] == both[1]
    assert len(both[0]) == 4


# --- what was made ------------------------------------------------------------------------------------------------


def test_productivity_ratios_of_a_cohort(warehouse: DuckDBWarehouse) -> None:
    """All dollars of a team divided by its output, per vendor; four people are too few; uncounted output is NULL."""
    # Platform at Anthropic: 5 people x 2 dollars of Claude Code for 20 commits and 4 pull requests; its API traffic
    # does not count. At Cursor: 5 seats at a dollar and 1 billed for 12 accepted lines.
    platform, mobile = ([f"{team}{n}@example.com" for n in range(size)] for team, size in (("p", 5), ("m", 4)))
    fill(warehouse, "dim_person", [
        {"person_email": email, "name": None, "team": team, "cost_center": "CC", **OPEN}
        for team, people in (("Platform", platform), ("Mobile", mobile)) for email in people
    ])  # fmt: skip
    day = date(2026, 11, 3)
    fill(warehouse, "int_anthropic_cost_daily", [
        *({**charge("2026-11-03", "2", user=email), "product": "claude_code"} for email in (*platform, *mobile)),
        {**charge("2026-11-03", "500", user=platform[0]), "product": "messages_api"},
    ])  # fmt: skip
    fill(warehouse, "int_anthropic_activity_daily", [
        *(claude_code(day, email, commits=4, pull_requests=1 if email != platform[0] else 0) for email in platform),
        *(claude_code(day, email, commits=100, pull_requests=9) for email in mobile),
    ])  # fmt: skip
    fill(warehouse, "raw_mapping_sheet", [seat_price("30")])
    fill(warehouse, "int_cursor_seat_daily", [seat(day, email) for email in platform])
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-03", platform[0], "1"), cursor_usage("2026-11-03", platform[0], "70", basis="included"),
    ])  # fmt: skip
    fill(warehouse, "int_cursor_activity_daily", [
        cursor_activity(day, email, lines_accepted=count)
        for email, count in zip(platform, (12, 0, 0, 0, 0), strict=True)
    ])  # fmt: skip
    actual = rows(
        warehouse,
        "SELECT vendor, team, people, spend_usd, commits, pull_requests, lines_accepted, usd_per_commit, "
        "usd_per_pull_request, usd_per_accepted_line, withheld_reason FROM ai_usage.kpi_productivity "
        "ORDER BY vendor, team",
    )
    assert actual == [
        ("anthropic", "Mobile", 4, Decimal(8), None, None, None, None, None, None, "small_cohort"),
        ("anthropic", "Platform", 5, Decimal(10), 20, 4, None, Decimal("0.5"), Decimal("2.5"), None, None),
        ("cursor", "Platform", 5, Decimal(6), None, None, 12, None, None, Decimal("0.5"), None),
    ]


def test_spend_without_activity_is_withheld(warehouse: DuckDBWarehouse) -> None:
    """A team without loaded activity has dollars and no ratios; idle people do not form a cohort."""
    fill(warehouse, "int_anthropic_cost_daily", [{**charge("2026-11-03", "2", key="k"), "product": "claude_code"}])
    fill(warehouse, "int_cursor_activity_daily", [
        cursor_activity(date(2026, 11, 3), f"p{n}@example.com", is_active=False, lines_accepted=1) for n in range(9)
    ])  # fmt: skip
    actual = rows(warehouse, "SELECT vendor, people, spend_usd, lines_accepted, usd_per_commit, withheld_reason "
                            "FROM ai_usage.kpi_productivity ORDER BY vendor")  # fmt: skip
    assert actual == [
        ("anthropic", 0, Decimal(2), None, None, "no_activity"),
        ("cursor", 0, None, None, None, "small_cohort"),
    ]


def test_the_view_has_no_person(warehouse: DuckDBWarehouse) -> None:
    """No column of the productivity view can contain a person."""
    assert not {"person_email", "user_email", "name"} & set(catalog.table("kpi_productivity").column_names)


# --- every view ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_company(warehouse: DuckDBWarehouse, view: str) -> None:
    """Without data every view is empty."""
    assert rows(warehouse, f"SELECT * FROM ai_usage.{view}") == []


def test_the_first_day_of_one_vendor(warehouse: DuckDBWarehouse) -> None:
    """With one day of one vendor, each view has that vendor, provisional and as of today."""
    fill(warehouse, "int_anthropic_cost_daily", [{**charge("2026-11-10", "2", key="k"), "product": "claude_code"}])
    fill(warehouse, "int_anthropic_tokens_daily", [tokens("2026-11-10", key="k", uncached_input_tokens=5)])
    for view in VIEWS:
        actual = rows(warehouse, f"SELECT vendor, month, is_provisional, as_of_date FROM ai_usage.{view}")
        assert actual == [("anthropic", date(2026, 11, 1), True, TODAY)], view
