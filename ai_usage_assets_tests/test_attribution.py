"""Every attribution rule, on hand-made rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets import catalog
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.support.rebuilding_warehouse import RebuildingWarehouse
from ai_usage_assets_tests.support.warehouse_rows import execute_sql

DAY = date(2026, 11, 10)
ALWAYS = {"effective_from": date(1, 1, 1), "effective_to": date(9999, 12, 31)}
JANE, SAM, KIM = "jane@example.com", "sam@example.com", "kim@example.com"
PEOPLE = {JANE: ("Platform", "CC-1"), SAM: ("Mobile", "CC-2"), KIM: (None, None)}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[RebuildingWarehouse]:
    """Three people, three keys, and the directory of user ids."""
    warehouse = RebuildingWarehouse(copy_empty_warehouse(tmp_path / "w.duckdb"))
    add_rows(
        warehouse,
        "dim_person",
        *({"person_email": e, "team": t, "cost_center": c, **ALWAYS} for e, (t, c) in PEOPLE.items()),
    )
    add_rows(
        warehouse, "int_anthropic_user",
        *({"user_id": f"user_{e[:3]}", "email": e, "is_member": True, "last_seen_on": DAY} for e in (JANE, SAM)),
    )  # fmt: skip
    key = {"vendor": "anthropic", "last_seen_on": DAY}
    add_rows(
        warehouse, "dim_api_key",
        {**key, "api_key_id": "apikey_bound", "name": "bound", "principal_email": SAM, "creator_email": JANE},
        {**key, "api_key_id": "apikey_made", "name": "made", "creator_email": JANE},
        {**key, "api_key_id": "apikey_plain", "name": "plain"},
    )  # fmt: skip
    yield warehouse
    warehouse.close()


def add_rows(warehouse: RebuildingWarehouse, table: str, *rows: dict[str, Any]) -> None:
    """Adds rows to a table."""
    warehouse.append(catalog.table(table), list(rows))


def add_mapping(warehouse: RebuildingWarehouse, vendor: str, kind: str, principal: str, **row: Any) -> None:
    """Adds a row of the mapping sheet."""
    defaults = {
        "row_no": len(warehouse.rows("SELECT row_no FROM ai_usage.int_key_mapping")) + 2,
        "share": Decimal(1),
        **ALWAYS,
    }
    add_rows(
        warehouse,
        "int_key_mapping",
        {**defaults, "vendor": vendor, "principal_type": kind, "principal_id": principal, **row},
    )


def attribute_anthropic(
    warehouse: RebuildingWarehouse, kind: str, principal: str | None = None, **row: Any
) -> dict[str, Any]:
    """The attribution of one Anthropic dollar of this actor."""
    money = {"fact_no": 1, "identity_key": "a", "requests": 3, "amount_usd": Decimal(1), "list_amount_usd": Decimal(2)}
    fact = {"usage_date": DAY, **money, "principal_type": kind, "principal_id": principal, **row}
    add_rows(warehouse, "int_anthropic_cost_daily", fact)
    (row,) = warehouse.rows("SELECT * FROM ai_usage.fct_cost_daily")
    assert (row["vendor"], row["cost_basis"], row["amount_usd"]) == ("anthropic", "billed", Decimal(1))
    return row


def attribute_cursor(
    warehouse: RebuildingWarehouse, kind: str, principal: str | None = None, **row: Any
) -> dict[str, Any]:
    """The attribution of one Cursor dollar of this principal."""
    fact = {"usage_date": DAY, "fact_no": 1, "identity_key": "c", "cost_basis": "billed", "requests": 1}
    money = {"amount_usd": Decimal(1), "principal_type": kind, "principal_id": principal}
    add_rows(warehouse, "int_cursor_usage_daily", {**fact, **money, **row})
    (row,) = warehouse.rows("SELECT * FROM ai_usage.fct_cost_daily")
    assert (row["vendor"], row["cost_basis"], row["amount_usd"]) == ("cursor", "billed", Decimal(1))
    return row


def assignment(row: dict[str, Any]) -> tuple[str, str | None, str | None, str | None]:
    """Method, person, team and cost center of a row."""
    return row["attribution_method"], row["person_email"], row["team"], row["cost_center"]


# --- Anthropic -----------------------------------------------------------------------


def add_all_mappings(warehouse: RebuildingWarehouse, *left_out: str) -> None:
    """Adds a mapping for every principal of the same dollar, except the kinds that are left out."""
    for kind, principal, team in (
        ("api_key", "apikey_bound", "by key"),
        ("service_account", "svac_1", "by account"),
        ("user", JANE, "by user"),
        ("workspace", "wrkspc_1", "by workspace"),
    ):
        if kind not in left_out:
            add_mapping(warehouse, "anthropic", kind, principal, team=team, cost_center="X")


SERVICE = {"kind": "service_account", "principal": "svac_1", "api_key_id": "apikey_bound", "workspace_id": "wrkspc_1"}
USER = {
    "kind": "user",
    "principal": "user_jan",
    "user_email": JANE,
    "api_key_id": "apikey_bound",
    "workspace_id": "wrkspc_1",
}
KEY = {"kind": "api_key", "principal": "apikey_bound", "api_key_id": "apikey_bound", "workspace_id": "wrkspc_1"}


@pytest.mark.parametrize(
    ("actor", "left_out", "expected"),
    [
        (SERVICE, [], ("api_key_map", None, "by key", "X")),
        (USER, [], ("api_key_map", None, "by key", "X")),
        (SERVICE, ["api_key"], ("service_account_map", None, "by account", "X")),
        (USER, ["api_key"], ("user_map", JANE, "by user", "X")),
        (USER, ["api_key", "user"], ("vendor_actor", JANE, "Platform", "CC-1")),
        (KEY, ["api_key"], ("key_principal", SAM, "Mobile", "CC-2")),
        (SERVICE, ["api_key", "service_account"], ("workspace_map", None, "by workspace", "X")),
        ({**KEY, "api_key_id": "apikey_made"}, ["api_key"], ("workspace_map", None, "by workspace", "X")),
        ({**KEY, "api_key_id": "apikey_made"}, ["api_key", "workspace"], ("key_creator", JANE, "Platform", "CC-1")),
        ({**KEY, "kind": "none", "principal": None}, ["api_key"], ("key_principal", SAM, "Mobile", "CC-2")),
        ({**KEY, "kind": "federated"}, ["api_key"], ("key_principal", SAM, "Mobile", "CC-2")),
        ({**KEY, "api_key_id": "apikey_plain"}, ["workspace"], ("unallocated", None, None, None)),
        # A service account is never a person, even when a person created its key or is its principal.
        (SERVICE, ["api_key", "service_account", "workspace"], ("unallocated", None, None, None)),
    ],
)  # fmt: skip
def test_anthropic_rules_apply_in_order(
    warehouse: RebuildingWarehouse, actor: dict[str, Any], left_out: list[str], expected: tuple[str | None, ...]
) -> None:
    """The first rule that matches wins; without its row the next one does."""
    add_all_mappings(warehouse, *left_out)
    assert assignment(attribute_anthropic(warehouse, **actor)) == expected


def test_a_user_without_email_is_found_by_id(warehouse: RebuildingWarehouse) -> None:
    """The directory gives the e-mail of a user id, to which the person's mapping applies as well."""
    assert assignment(attribute_anthropic(warehouse, "user", "user_sam")) == ("vendor_actor", SAM, "Mobile", "CC-2")
    add_mapping(warehouse, "anthropic", "user", SAM, team="On loan", cost_center="CC-9")
    (row,) = warehouse.rows("SELECT * FROM ai_usage.fct_cost_daily")
    assert assignment(row) == ("user_map", SAM, "On loan", "CC-9")


def test_an_unknown_user_keeps_the_method_vendor_actor(warehouse: RebuildingWarehouse) -> None:
    """Without any e-mail the person is NULL, and no workspace mapping applies."""
    add_all_mappings(warehouse, "api_key")
    assert assignment(attribute_anthropic(warehouse, "user", "user_gone", workspace_id="wrkspc_1")) == (
        "vendor_actor",
        None,
        None,
        None,
    )


# --- Cursor --------------------------------------------------------------------------------------------------------

IDS = {"automation_id": "auto_1", "service_account_id": "sa_1", "cloud_agent_id": "bc_1", "user_email": JANE}


@pytest.mark.parametrize(
    ("ids", "left_out", "expected"),
    [
        (IDS, [], ("automation_map", None, "by automation", "X")),
        (IDS, ["automation"], ("service_account_map", None, "by service_account", "X")),
        (IDS, ["automation", "service_account"], ("cloud_agent_map", None, "by cloud_agent", "X")),
        # A service account is never a person, even with an e-mail.
        (IDS, ["automation", "service_account", "cloud_agent"], ("unallocated", None, None, None)),
        ({**IDS, "service_account_id": None}, ["automation", "cloud_agent"], ("user_map", JANE, "by user", "X")),
        ({"user_email": JANE}, [], ("user_map", JANE, "by user", "X")),
        ({"user_email": JANE}, ["user"], ("vendor_actor", JANE, "Platform", "CC-1")),
        ({"user_email": None}, [], ("unallocated", None, None, None)),
    ],
)  # fmt: skip
def test_cursor_rules_apply_in_order(
    warehouse: RebuildingWarehouse, ids: dict[str, Any], left_out: list[str], expected: tuple[str | None, ...]
) -> None:
    """The order is automation, service account, cloud agent, mapped user, e-mail of the event, unallocated."""
    for kind, principal in (
        ("automation", "auto_1"), ("service_account", "sa_1"), ("cloud_agent", "bc_1"), ("user", JANE)
    ):  # fmt: skip
        if kind not in left_out:
            add_mapping(warehouse, "cursor", kind, principal, team=f"by {kind}", cost_center="X")
    assert assignment(attribute_cursor(warehouse, "user" if ids["user_email"] else "none", **ids)) == expected


def test_a_mapping_applies_to_its_vendor_only(warehouse: RebuildingWarehouse) -> None:
    """A user mapping of one vendor does not apply to another."""
    add_mapping(warehouse, "anthropic", "user", JANE, team="Elsewhere", cost_center="X")
    assert assignment(attribute_cursor(warehouse, "user", JANE, user_email=JANE)) == (
        "vendor_actor",
        JANE,
        "Platform",
        "CC-1",
    )


# --- mapping rows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"team": "T", "cost_center": "C"}, (None, "T", "C")),
        ({"team": "T"}, (None, "T", None)),
        ({"person_email": SAM}, (SAM, "Mobile", "CC-2")),
        ({"person_email": SAM, "cost_center": "C"}, (SAM, "Mobile", "C")),
        ({"person_email": KIM}, (KIM, None, None)),
        ({"person_email": "new@example.com"}, ("new@example.com", None, None)),
    ],
)
def test_a_mapping_replaces_the_actor_and_people_fill_its_blanks(
    warehouse: RebuildingWarehouse, row: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    """A mapping without a person assigns none, not even the actor; its blanks come from the person it names."""
    add_mapping(warehouse, "anthropic", "api_key", "apikey_bound", **row)
    assert assignment(attribute_anthropic(warehouse, **USER))[1:] == expected


def test_a_user_mapping_without_a_person_keeps_the_user(warehouse: RebuildingWarehouse) -> None:
    """A user mapping with only a cost center keeps the person and their team."""
    add_mapping(warehouse, "cursor", "user", JANE, cost_center="C")
    assert assignment(attribute_cursor(warehouse, "user", JANE, user_email=JANE)) == ("user_map", JANE, "Platform", "C")


@pytest.mark.parametrize(
    ("first", "end", "applies"),
    [
        (date(2026, 11, 10), date(2026, 11, 11), True),
        (date(2026, 11, 1), date(2026, 11, 10), False),
        (date(2026, 11, 11), date(9999, 12, 31), False),
    ],
    ids=["only day", "ends on the day", "begins the next day"],
)
def test_intervals_include_their_start_and_exclude_their_end(
    warehouse: RebuildingWarehouse, first: date, end: date, applies: bool
) -> None:
    """Mappings and people apply from effective_from on, and no longer on effective_to."""
    add_mapping(
        warehouse,
        "anthropic",
        "api_key",
        "apikey_plain",
        person_email="mo@example.com",
        effective_from=first,
        effective_to=end,
    )
    add_rows(warehouse, "dim_person", {"person_email": "pat@example.com", "team": "T", "cost_center": "C",
                                  "effective_from": first, "effective_to": end})  # fmt: skip
    row = attribute_anthropic(warehouse, "user", "user_pat", user_email="pat@example.com", api_key_id="apikey_plain")
    assert assignment(row)[:2] == (
        ("api_key_map", "mo@example.com") if applies else ("vendor_actor", "pat@example.com")
    )
    execute_sql(warehouse, "DELETE FROM int_key_mapping")
    (row,) = warehouse.rows("SELECT * FROM ai_usage.fct_cost_daily")
    assert assignment(row)[2:] == (("T", "C") if applies else (None, None))


def test_shares_split_exactly_and_the_largest_takes_the_remainder(warehouse: RebuildingWarehouse) -> None:
    """Three shares of an indivisible amount add up to it in dollars, list dollars and requests."""
    for share, team in (("0.333", "A"), ("0.333", "B"), ("0.334", "C")):
        add_mapping(
            warehouse, "anthropic", "api_key", "apikey_plain", team=team, cost_center=team, share=Decimal(share)
        )
    fact = {"usage_date": DAY, "fact_no": 1, "identity_key": "a", "principal_type": "api_key", "requests": 5}
    money = {"amount_usd": Decimal("0.000000005"), "list_amount_usd": Decimal("10.000000001")}
    add_rows(warehouse, "int_anthropic_cost_daily", {**fact, **money, "api_key_id": "apikey_plain"})
    rows = warehouse.rows("SELECT * FROM ai_usage.fct_cost_daily ORDER BY team")
    assert [(row["team"], row["amount_usd"], row["list_amount_usd"], row["requests"]) for row in rows] == [
        ("A", Decimal("0.000000002"), Decimal("3.330000000"), 1),
        ("B", Decimal("0.000000002"), Decimal("3.330000000"), 1),
        ("C", Decimal("0.000000001"), Decimal("3.340000001"), 3),
    ]


# --- seats, tokens and activity ------------------------------------------------------------------------------------


def test_a_seat_follows_its_user_mapping(warehouse: RebuildingWarehouse) -> None:
    """A seat belongs to its holder, or to the person of a user mapping; its method is always seat."""
    add_rows(
        warehouse, "int_cursor_seat_daily",
        {"usage_date": DAY, "fact_no": 1, "identity_key": "s", "user_email": JANE, "source": "snapshot",
         "is_paid": True},
    )  # fmt: skip

    def seat() -> tuple[str | None, ...]:
        (row,) = warehouse.rows("SELECT * FROM ai_usage.fct_cost_daily")
        assert (row["cost_basis"], row["amount_usd"]) == ("seat", None)
        return assignment(row)

    assert seat() == ("seat", JANE, "Platform", "CC-1")
    add_mapping(warehouse, "cursor", "user", JANE, person_email=SAM)
    assert seat() == ("seat", SAM, "Mobile", "CC-2")


def test_tokens_are_attributed_like_dollars(warehouse: RebuildingWarehouse) -> None:
    """Cache writes include both durations; a split keeps every sum of tokens."""
    for share, team in (("0.6", "A"), ("0.4", "B")):
        add_mapping(warehouse, "anthropic", "api_key", "apikey_plain", team=team, share=Decimal(share))
    add_rows(
        warehouse, "int_anthropic_tokens_daily",
        {"usage_date": DAY, "fact_no": 1, "identity_key": "a", "principal_type": "api_key", "api_key_id":
         "apikey_plain", "requests": 7, "uncached_input_tokens": 101, "cache_write_5m_tokens": 11,
         "cache_write_1h_tokens": 5, "cache_read_tokens": 1001, "output_tokens": 33, "total_tokens": 1151,
         "web_search_requests": 3},
    )  # fmt: skip
    add_rows(
        warehouse, "int_cursor_usage_daily",
        {"usage_date": DAY, "fact_no": 1, "identity_key": "c", "cost_basis": "included", "principal_type": "user",
         "user_email": SAM, "requests": 2, "amount_usd": Decimal(0), "uncached_input_tokens": 1,
         "cache_write_tokens": 2, "cache_read_tokens": 3, "output_tokens": 4},
    )  # fmt: skip
    columns = (
        "requests", "uncached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_tokens",
        "cache_read_tokens", "output_tokens", "total_tokens", "web_search_requests",
    )  # fmt: skip
    rows = warehouse.rows(
        f"SELECT vendor, COUNT(*) AS parts, {', '.join(f'SUM({name}) AS {name}' for name in columns)} "
        "FROM ai_usage.fct_tokens_daily GROUP BY vendor ORDER BY vendor"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("anthropic", 2, 7, 101, 11, 5, 16, 1001, 33, 1151, 3),
        ("cursor", 1, 2, 1, None, None, 2, 3, 4, 10, None),
    ]


def test_keys_that_share_a_name_are_not_merged(warehouse: RebuildingWarehouse) -> None:
    """Dollars follow the id of a key; activity that has only the name is attributed to neither key."""
    add_rows(
        warehouse, "dim_api_key",
        {"vendor": "anthropic", "last_seen_on": DAY, "api_key_id": "apikey_twin", "name": "bound"},
        # The keys of another vendor do not count.
        {"vendor": "cursor", "last_seen_on": DAY, "api_key_id": "apikey_other", "name": "made"},
    )  # fmt: skip
    for number, (key, team) in enumerate((("apikey_bound", "A"), ("apikey_twin", "B"), ("apikey_made", "C")), 1):
        add_mapping(warehouse, "anthropic", "api_key", key, team=team, cost_center=f"CC-{team}")
        add_rows(
            warehouse, "int_anthropic_cost_daily",
            {"usage_date": DAY, "fact_no": number, "identity_key": f"api_key|{key}", "principal_type": "api_key",
             "principal_id": key, "api_key_id": key, "amount_usd": Decimal(10**number), "list_amount_usd": Decimal(0)},
        )  # fmt: skip
    for number, name in enumerate(("bound", "made"), 1):
        add_rows(
            warehouse, "int_anthropic_activity_daily",
            {"usage_date": DAY, "fact_no": number, "identity_key": name, "principal_type": "api_key",
             "api_key_name": name, "sessions": 1},
        )  # fmt: skip
    spend = warehouse.rows("SELECT api_key_id, team, cost_center, amount_usd FROM ai_usage.fct_cost_daily ORDER BY 1")
    assert [tuple(row.values()) for row in spend] == [
        ("apikey_bound", "A", "CC-A", 10), ("apikey_made", "C", "CC-C", 1000), ("apikey_twin", "B", "CC-B", 100),
    ]  # fmt: skip
    activity = warehouse.rows(
        "SELECT identity_key, team, cost_center FROM ai_usage.bridge_attribution_daily "
        "WHERE identity_key IN ('bound', 'made') ORDER BY identity_key"
    )
    assert [tuple(row.values()) for row in activity] == [("bound", None, None), ("made", "C", "CC-C")]


def test_activity_is_summed_per_person(warehouse: RebuildingWarehouse) -> None:
    """A developer's rows of a day become one, also those of an API key with a unique name; idle members stay."""
    code = {
        "usage_date": DAY,
        "principal_type": "user",
        "sessions": 2,
        "lines_added": 10,
        "commits": 1,
        "pull_requests": 1,
    }
    add_rows(
        warehouse, "int_anthropic_activity_daily",
        {**code, "fact_no": 1, "identity_key": "x", "user_email": SAM},
        {**code, "fact_no": 2, "identity_key": "y", "principal_type": "api_key", "api_key_name": "bound"},
        {**code, "fact_no": 3, "identity_key": "z", "principal_type": "api_key", "api_key_name": "of nobody"},
    )  # fmt: skip
    add_rows(
        warehouse, "int_cursor_activity_daily",
        {"usage_date": DAY, "fact_no": 1, "identity_key": "i", "user_email": JANE, "is_active": False, "requests": 0},
    )  # fmt: skip
    rows = warehouse.rows("SELECT * FROM ai_usage.fct_activity_daily ORDER BY vendor, person_email NULLS LAST")
    assert [
        (row["vendor"], row["person_email"], row["is_active"], row["sessions"], row["commits"]) for row in rows
    ] == [
        ("anthropic", SAM, True, 4, 2),
        ("anthropic", None, True, 2, 1),
        ("cursor", JANE, False, None, None),
    ]
