"""Property tests: Python and SQL compute exactly the same dollars from any amount."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ai_usage_assets import catalog
from ai_usage_assets.sources.base import InvalidRecordError
from ai_usage_assets.sources.cursor.events import event_usd
from ai_usage_assets.sources.cursor.responses import ChargedEvent
from ai_usage_assets.sources.money import cents_to_usd, parse_decimal, sum_cents_to_usd
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

DAY = date(2026, 11, 10)
SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# As vendors send them: decimal strings, integers, and floats with rounding noise.
AMOUNTS = st.one_of(
    st.decimals(-(10**11), 10**11, places=6).map(lambda value: f'"{value:f}"'),
    st.integers(-(10**11), 10**11).map(str),
    st.floats(1e-4, 1e9, allow_nan=False).map(repr),
    st.floats(1e-25, 1e-2).map(repr),
    # Just below half of the last decimal of a dollar, or of the last stored decimal of a cent.
    st.builds(
        lambda tie, sign, nines: f'"{sign}{tie}4{"9" * nines}"',
        st.sampled_from(["0.0000937", "0.0000002", "7.0000000", "0.000000000000000001", "40.0000000499999999"]),
        st.sampled_from(["", "-"]),
        st.integers(1, 30),
    ),
    st.sampled_from(['"41280.000000"', "40.16699999999999", "0.1", "1e-5", '"-0.01"', '"0"', "2.5e3"]),
)


def delete_rows(warehouse: DuckDBWarehouse, *tables: str) -> None:
    """Deletes all rows of tables."""
    for table in tables:
        warehouse._connect().execute(f"DELETE FROM {table}")


@SLOW
@given(st.lists(AMOUNTS, min_size=1, max_size=40))
@example(["0.0000005", "0.00000049", '"0.000000500000"'])
@example(["9.374999999999999e-05", "-9.374999999999999e-05", "0.00009374999999999999"])
def test_python_and_sql_convert_cents_alike(warehouse: DuckDBWarehouse, amounts: list[str]) -> None:
    """Validation before the load and the staging view compute the same dollars, to the last digit."""
    delete_rows(warehouse, "raw_cursor_usage_events")
    warehouse.append(
        catalog.table("raw_cursor_usage_events"),
        [
            {"usage_date": DAY, "record_no": n, "fetched_at": datetime(2026, 11, 11, tzinfo=UTC),
             "payload": f'{{"timestamp":"1794300000000","chargedCents":{amount}}}'}
            for n, amount in enumerate(amounts)
        ],
    )  # fmt: skip
    rows = warehouse.rows("SELECT amount_usd FROM ai_usage.stg_cursor_usage_events ORDER BY record_no")
    assert [row["amount_usd"] for row in rows] == [
        cents_to_usd(parse_decimal(msgspec.Raw(a.encode()))) for a in amounts
    ]


@SLOW
@given(st.lists(st.tuples(AMOUNTS, st.integers(0, 10**6), AMOUNTS), min_size=1, max_size=40))
@example([("9.374999999999999e-05", 0, "0"), ("0", 0, "-9.374999999999999e-05")])
@example([("99999999999.123456", 999_999, "0.0000000000499999999"), ('"40.000000500000000001"', 900_000, "5e-8")])
@example([("0.0000005", 900_000, "0.0000000999999999999999999")])
@example([("999999999999.000000049999999999", 0, "0")])
def test_python_and_sql_derive_a_missing_charge_alike(
    warehouse: DuckDBWarehouse, parts: list[tuple[str, int, str]]
) -> None:
    """Without a charge, both compute the same dollars from total, discount and fee, to the last digit."""
    delete_rows(warehouse, "raw_cursor_usage_events")
    payloads = [
        f'{{"timestamp":"1794300000000","tokenUsage":{{"totalCents":{total},"discountPercentOff":{discount / 10_000}}},'
        f'"cursorTokenFee":{fee}}}'
        for total, discount, fee in parts
    ]
    warehouse.append(
        catalog.table("raw_cursor_usage_events"),
        [
            {"usage_date": DAY, "record_no": n, "fetched_at": datetime(2026, 11, 11, tzinfo=UTC), "payload": payload}
            for n, payload in enumerate(payloads)
        ],
    )
    rows = warehouse.rows("SELECT amount_usd FROM ai_usage.stg_cursor_usage_events ORDER BY record_no")
    assert [row["amount_usd"] for row in rows] == [
        event_usd(msgspec.json.decode(payload, type=ChargedEvent)) for payload in payloads
    ]


@given(st.lists(AMOUNTS, min_size=1, max_size=30))
@example(["0.0000005", "0.00000049", "-0.00000005"])
@example(["0.00009374999999999999", "0.000093749999999999"])
def test_a_batch_sums_like_single_amounts(amounts: list[str]) -> None:
    """The sum of a page is the sum of its rounded events, or None."""
    raws = [msgspec.Raw(amount.encode()) for amount in amounts]
    batch_sum = sum_cents_to_usd(raws)
    assert batch_sum in (None, sum(cents_to_usd(parse_decimal(raw)) for raw in raws))
    assert sum_cents_to_usd([msgspec.Raw(b"1"), msgspec.Raw(b"1000000000001")]) is None
    assert sum_cents_to_usd([msgspec.Raw(b"20.64862"), msgspec.Raw(b"3"), msgspec.Raw(b"-1.5")]) == Decimal("0.2214862")


@given(st.lists(st.text('0123456789.-+eE_ \n"aN', max_size=8), min_size=1, max_size=4))
def test_a_batch_with_other_text_is_not_summed(texts: list[str]) -> None:
    """Text that is not a plain number, also with a line break, never becomes part of a sum."""
    raws = [msgspec.Raw(text.encode()) for text in texts]
    batch_sum = sum_cents_to_usd(raws)
    if batch_sum is not None:
        assert batch_sum == sum(cents_to_usd(parse_decimal(raw)) for raw in raws)


@given(st.text(max_size=12))
def test_a_parsed_number_is_a_plain_decimal(text: str) -> None:
    """Only ASCII decimals, which both engines can parse, are accepted."""
    try:
        value = parse_decimal(msgspec.Raw(msgspec.json.encode(text)))
    except InvalidRecordError:
        return
    assert text.isascii()
    assert abs(Decimal(text) - value) <= Decimal("5e-19")
    assert not set(text) - set("+-.0123456789eE")


@SLOW
@given(
    st.lists(st.decimals(-100, 10**6, places=9), min_size=1, max_size=8),
    st.lists(st.integers(1, 1000), min_size=2, max_size=7),
)
def test_split_amounts_add_up(warehouse: DuckDBWarehouse, amounts: list[Decimal], weights: list[int]) -> None:
    """The shares of a split key add up to each row in dollars, list dollars, requests and tokens."""
    delete_rows(warehouse, "int_anthropic_cost_daily", "int_anthropic_tokens_daily", "int_key_mapping")
    shares = [(Decimal(weight) / sum(weights)).quantize(Decimal("1e-8")) for weight in weights]
    shares[0] += 1 - sum(shares)
    always = {"effective_from": date(1, 1, 1), "effective_to": date(9999, 12, 31)}
    warehouse.append(
        catalog.table("int_key_mapping"),
        [
            {"row_no": n, "vendor": "anthropic", "principal_type": "api_key", "principal_id": "k", "team": str(n),
             "cost_center": "C", "share": share, **always}
            for n, share in enumerate(shares)
        ],
    )  # fmt: skip
    facts = [
        {"usage_date": DAY, "fact_no": n, "identity_key": "i", "principal_type": "api_key", "api_key_id": "k",
         "model": str(n), "requests": n * 7, "amount_usd": amount, "list_amount_usd": amount * 2,
         "total_tokens": n * 13, "output_tokens": n}
        for n, amount in enumerate(amounts)
    ]  # fmt: skip
    warehouse.append(catalog.table("int_anthropic_cost_daily"), facts)
    warehouse.append(catalog.table("int_anthropic_tokens_daily"), facts)
    cost = warehouse.rows(
        "SELECT model, COUNT(*) AS parts, SUM(amount_usd) AS usd, SUM(list_amount_usd) AS list_usd, "
        "SUM(requests) AS requests, MIN(requests) AS fewest FROM ai_usage.fct_cost_daily GROUP BY model"
    )
    assert {row["model"]: (row["usd"], row["list_usd"], row["requests"]) for row in cost} == {
        fact["model"]: (fact["amount_usd"], fact["list_amount_usd"], fact["requests"]) for fact in facts
    }
    assert {row["parts"] for row in cost} == {len(shares)}
    tokens = warehouse.rows(
        "SELECT model, SUM(total_tokens) AS tokens, MIN(total_tokens) AS fewest FROM ai_usage.fct_tokens_daily "
        "GROUP BY model"
    )
    assert {row["model"]: row["tokens"] for row in tokens} == {fact["model"]: fact["total_tokens"] for fact in facts}
    assert all(row["fewest"] >= 0 for row in [*cost, *tokens])
