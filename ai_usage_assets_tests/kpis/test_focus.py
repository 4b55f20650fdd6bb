"""The FOCUS export: charges, the distribution of seat fees, and files that other tools accept."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from focus_data_toolkit import lint_focus_1_4_structure
from focus_data_toolkit.schema.detection import detect_focus_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_usage_assets import catalog, cli
from ai_usage_assets.finance import focus
from ai_usage_assets.settings import SettingsError
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets.warehouse.tables import Column, Table
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery
from ai_usage_assets_tests.support.finance_history import close_month, upsert_rows
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    create_warehouse,
    day_log_row,
    execute_sql,
    fill,
    key_mapping,
    rows,
    seat_price,
)

FIRST, TODAY, MONTH = date(2026, 10, 1), date(2026, 12, 20), date(2026, 11, 1)
PLATFORM_KEY, UNALLOCATED_KEY = "apikey_platform", "apikey_nobody"
JANE, SAM, ANN = "jane@example.com", "sam@example.com", "ann@example.com"
FEE = Decimal("1.333333333")


def event(
    day: str, usd: str, *, user: str | None = None, automation: str | None = None, basis: str = "included",
    model: str = "c1", requests: int = 2,
) -> dict[str, Any]:  # fmt: skip
    """A row of Cursor usage events."""
    return {
        "usage_date": date.fromisoformat(day), "identity_key": f"cursor|{user}|{automation}", "cost_basis": basis,
        "model": model, "principal_type": "user" if user else "automation", "principal_id": user or automation,
        "user_email": user, "automation_id": automation, "requests": requests, "amount_usd": Decimal(usd),
        "output_tokens": 500,
    }  # fmt: skip


def seat(day: str, user: str) -> dict[str, Any]:
    """A day of a paid seat."""
    return {
        "usage_date": date.fromisoformat(day), "identity_key": f"seat|{user}", "user_id": f"id of {user}",
        "user_email": user, "source": "snapshot", "is_paid": True,
    }  # fmt: skip


def person(email: str, team: str, cost_center: str, **changed: Any) -> dict[str, Any]:
    """A row of the people tab."""
    return {"person_email": email, "name": email[:3], "team": team, "cost_center": cost_center, **OPEN, **changed}


# Jane's seat of three days covers $4 of usage, Sam's covers none, and no seat covers an automation.
EVENTS = (
    event("2026-11-05", "3", user=JANE),
    event("2026-11-06", "1", user=JANE),
    event("2026-11-06", "7.5", user=JANE, basis="billed"),
    event("2026-11-06", "2", automation="aut_1"),
)
SEATS = tuple(seat(f"2026-11-0{day}", user) for day in (4, 5, 6) for user in (JANE, SAM))
PEOPLE = (person(JANE, "Platform", "CC-1"), person(SAM, 'Mobile "M"\\\n', "CC-2"))


def bills() -> list[dict[str, Any]]:
    """Three charges: one with tokens and a discount, one with requests only, one without any quantity."""
    rows = [
        {**charge("2026-11-03", "15", key=PLATFORM_KEY), "list_amount_usd": Decimal(20), "product": "messages_api"},
        charge("2026-11-10", "5", user=ANN, model="m2"),
        {**charge("2026-11-10", "0.000000001", key=UNALLOCATED_KEY), "model": None, "requests": None},
    ]
    return [{**row, "fact_no": number} for number, row in enumerate(rows, 1)]


def fill_november(warehouse: Any) -> None:
    """Fills any warehouse with the data of November."""
    fill(warehouse, "int_anthropic_cost_daily", bills())
    tokens = {"total_tokens": 2_000_000, "output_tokens": 1, "amount_usd": None, "list_amount_usd": None}
    without_charge = {**charge("2026-11-11", "1", key=PLATFORM_KEY), **tokens}
    fill(
        warehouse,
        "int_anthropic_tokens_daily",
        [
            {name: value for name, value in row.items() if not name.endswith("_usd")}
            for row in ({**bills()[0], **tokens}, without_charge)
        ],
    )
    fill(warehouse, "int_cursor_usage_daily", EVENTS)
    fill(warehouse, "int_cursor_seat_daily", SEATS)
    fill(warehouse, "raw_mapping_sheet", [seat_price("40")])
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", PLATFORM_KEY, "Platform", "CC-1")])
    fill(warehouse, "dim_person", PEOPLE)
    organization = {"snapshot_date": TODAY, "record_no": 1, "fetched_at": datetime(2026, 12, 20, tzinfo=UTC)}
    payload = f'{{"id":"org_1","name":"{ANN}\'s Organization"}}'
    fill(warehouse, "raw_anthropic_organization", [{**organization, "payload": payload}])
    warehouse.rebuild(catalog.table("int_anthropic_organization"), {"first_day": MONTH, "today": TODAY})
    fill(
        warehouse,
        "dim_api_key",
        [{"vendor": "anthropic", "api_key_id": PLATFORM_KEY, "name": f"{JANE} laptop", "last_seen_on": TODAY}],
    )
    days = [MONTH + timedelta(days=n) for n in range(30)]
    fill(warehouse, "ops_asset_days", [day_log_row(day) for day in days])


@pytest.fixture(scope="module")
def shared_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """A warehouse that all tests share, because creating tables and views is slow."""
    warehouse = create_warehouse(tmp_path_factory.mktemp("focus") / "w.duckdb", FIRST, TODAY)
    yield warehouse
    warehouse.close()


@pytest.fixture
def empty(shared_warehouse: DuckDBWarehouse) -> DuckDBWarehouse:
    """A warehouse of October to December, as of 20 December, without data."""
    clear(
        shared_warehouse, *(table.name for table in catalog.tables() if not table.is_view and table.name != "dim_date")
    )
    return shared_warehouse


def clear(warehouse: DuckDBWarehouse, *tables: str) -> None:
    """Deletes all rows of the tables."""
    execute_sql(warehouse, "".join(f"DELETE FROM {table};" for table in tables))


@pytest.fixture
def warehouse(empty: DuckDBWarehouse) -> DuckDBWarehouse:
    """A warehouse with the data of November."""
    fill_november(empty)
    return empty


def export_rows(warehouse: Any, folder: Path, version: str = "1.2", **options: Any) -> list[dict[str, str]]:
    """Exports the month and returns the rows of the CSV file."""
    export = focus.export_focus(warehouse, MONTH, folder, "csv", version=version, **options)
    with export.paths[0].open(newline="") as file:
        return list(csv.DictReader(file))


def test_charges_have_category_costs_and_units(warehouse: DuckDBWarehouse) -> None:
    """Usage, purchases, covered usage and idle seats have the expected category, costs and units."""
    charges = rows(
        warehouse,
        "SELECT CAST(ChargePeriodStart AS DATE), ChargeCategory, ChargeFrequency, x_CostBasis, BilledCost, "
        "EffectiveCost, ListCost, ContractedCost, PricingQuantity, PricingUnit, ConsumedQuantity, ConsumedUnit, x_Team "
        "FROM ai_usage.focus_cost_and_usage",
    )
    usage, zero, tiny = ("Usage", "Usage-Based"), Decimal(0), Decimal("0.000000001")
    mobile = 'Mobile "M"\\\n'

    def day(number: int) -> date:
        return date(2026, 11, number)

    def tokens(count: int) -> tuple[Any, ...]:
        return (Decimal(count), "Tokens", Decimal(count), "Tokens")

    expected: list[tuple[Any, ...]] = [
        (day(3), *usage, "billed", 15, 15, 20, 15, *tokens(2_000_000), "Platform"),
        (day(10), *usage, "billed", 5, 5, 5, 5, 4, "Requests", 4, "Requests", None),
        (day(10), *usage, "billed", tiny, tiny, tiny, tiny, 1, "Charges", 1, "Charges", None),
        # The fee of three days is 3.999999999. A quarter is rounded to 1.000000000; the larger part takes the rest.
        (day(5), *usage, "included", 0, Decimal("2.999999999"), 3, 3, *tokens(500), "Platform"),
        (day(6), *usage, "included", 0, 1, 1, 1, *tokens(500), "Platform"),
        (day(6), *usage, "included", 0, 0, 2, 2, *tokens(500), None),
        (day(6), *usage, "billed", *[Decimal("7.5")] * 4, *tokens(500), "Platform"),
    ]  # fmt: skip
    for number in (4, 5, 6):
        purchase = (day(number), "Purchase", "Recurring", "seat", FEE, zero, FEE, FEE, 1, "Seat-Days", None, None)
        expected += [(*purchase, "Platform"), (*purchase, mobile)]
        expected.append((day(number), "Usage", "Recurring", "seat", 0, FEE, 0, 0, *tokens(0), mobile))
    assert Counter(charges) == Counter(expected)


@pytest.mark.parametrize("vendor", ["anthropic", "cursor"])
def test_a_single_vendor_is_exported(empty: DuckDBWarehouse, vendor: str, tmp_path: Path) -> None:
    """A company with one vendor gets the charges of that vendor."""
    if vendor == "anthropic":
        fill(empty, "int_anthropic_cost_daily", bills())
    else:
        fill(empty, "int_cursor_usage_daily", EVENTS)
    charges = export_rows(empty, tmp_path)
    assert {row["ProviderName"] for row in charges} == {vendor.title()}
    assert len(charges) == (3 if vendor == "anthropic" else 4)


def test_a_month_without_charges_is_an_error(empty: DuckDBWarehouse, tmp_path: Path) -> None:
    """The export reports an error and writes no file."""
    assert rows(empty, "SELECT 1 AS x FROM ai_usage.focus_cost_and_usage") == []
    with pytest.raises(SettingsError, match="no charges yet"):
        export_rows(empty, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_seat_without_a_price_has_no_charge(empty: DuckDBWarehouse) -> None:
    """Without a price there is no purchase, and covered usage has no effective cost."""
    fill(empty, "int_cursor_usage_daily", EVENTS[:1])
    fill(empty, "int_cursor_seat_daily", SEATS)
    charges = rows(empty, "SELECT ChargeCategory, BilledCost, EffectiveCost FROM ai_usage.focus_cost_and_usage")
    assert charges == [("Usage", Decimal(0), Decimal(0))]


def test_the_fee_is_distributed_by_requests_when_usage_is_free(empty: DuckDBWarehouse) -> None:
    """A seat that covers only free usage is not idle. Requests replace dollars as weights; the parts add up exactly."""
    fill(empty, "raw_mapping_sheet", [seat_price("30")])
    fill(empty, "int_cursor_seat_daily", [seat("2026-11-04", JANE)])
    fill(empty, "int_cursor_usage_daily", [event(f"2026-11-0{day}", "0", user=JANE) for day in (4, 5, 6)])
    charges = rows(empty, "SELECT EffectiveCost FROM ai_usage.focus_cost_and_usage WHERE x_CostBasis = 'included'")
    third = Decimal("0.333333333")
    assert sorted(charges) == [(third,), (third,), (Decimal("0.333333334"),)]


def test_a_credit_of_included_usage_takes_no_part_of_the_fee(empty: DuckDBWarehouse) -> None:
    """Usage that the vendor takes back has its negative value as list cost; it is not billed and covers no fee."""
    fill(empty, "raw_mapping_sheet", [seat_price("30")])
    fill(empty, "int_cursor_seat_daily", [seat("2026-11-04", user) for user in (JANE, SAM)])
    fill(
        empty, "int_cursor_usage_daily",
        [
            event("2026-11-05", "3", user=JANE), event("2026-11-06", "1", user=JANE),
            event("2026-11-07", "-2", user=JANE), event("2026-11-07", "-5", user=SAM),
        ],
    )  # fmt: skip
    charges = rows(
        empty,
        "SELECT x_Person, BilledCost, ContractedCost, ListCost, EffectiveCost FROM ai_usage.focus_cost_and_usage "
        "WHERE x_CostBasis = 'included' ORDER BY x_Person, ListCost",
    )
    assert charges == [
        (JANE, 0, -2, -2, 0),
        (JANE, 0, 1, 1, Decimal("0.25")),
        (JANE, 0, 3, 3, Decimal("0.75")),
        # Without usage of positive value, the requests cover the fee.
        (SAM, 0, -5, -5, 1),
    ]
    totals = rows(empty, "SELECT SUM(BilledCost), SUM(EffectiveCost) FROM ai_usage.focus_cost_and_usage")
    assert totals == [(2, 2)]


def test_the_fee_is_distributed_within_team_and_month(empty: DuckDBWarehouse) -> None:
    """When a person changes teams, each team keeps its part of the fee."""
    moved_on = date(2026, 11, 5)
    fill(
        empty, "dim_person",
        [person(JANE, "A", "CC-1", effective_to=moved_on), person(JANE, "B", "CC-2", effective_from=moved_on)],
    )  # fmt: skip
    fill(empty, "raw_mapping_sheet", [seat_price("30")])
    fill(empty, "int_cursor_seat_daily", [seat(day, JANE) for day in ("2026-10-31", "2026-11-04", "2026-11-05")])
    fill(empty, "int_cursor_usage_daily", [event("2026-11-05", "9", user=JANE)])
    charges = rows(
        empty,
        "SELECT CAST(ChargePeriodStart AS DATE), x_Team, ChargeDescription LIKE '%no usage%', SUM(EffectiveCost) "
        "FROM ai_usage.focus_cost_and_usage WHERE ChargeCategory = 'Usage' GROUP BY 1, 2, 3",
    )
    october = Decimal("0.967741935")  # 30 dollars over 31 days
    assert Counter(charges) == Counter(
        [(date(2026, 10, 31), "A", True, october), (date(2026, 11, 4), "A", True, 1), (moved_on, "B", False, 1)]
    )


def test_a_closed_month_does_not_change(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """A restatement after the close is adjusted in the closed month and becomes a Correction in the open month."""
    close_month(warehouse, MONTH, datetime(2027, 1, 20, tzinfo=UTC))
    upsert_rows(warehouse, "int_anthropic_cost_daily", {**bills()[0], "amount_usd": Decimal(9)})
    december = date(2026, 12, 1)
    charges = rows(
        warehouse,
        "SELECT CAST(BillingPeriodStart AS DATE), ChargeCategory, ChargeClass, CAST(ChargePeriodStart AS DATE), "
        "CAST(ChargePeriodEnd AS DATE), BilledCost, EffectiveCost, ListCost, ContractedCost, x_Team "
        "FROM ai_usage.focus_cost_and_usage WHERE ChargeCategory = 'Adjustment'",
    )
    # The vendor reduces the $15 by $6.
    period = (MONTH, december)
    assert Counter(charges) == Counter(
        [
            (MONTH, "Adjustment", None, *period, *[Decimal(6)] * 4, "Platform"),
            (december, "Adjustment", "Correction", *period, *[Decimal(-6)] * 4, "Platform"),
        ]
    )
    by_month = "SELECT CAST(BillingPeriodStart AS DATE), SUM(BilledCost) FROM ai_usage.focus_cost_and_usage GROUP BY 1"
    journal = "SELECT posting_month, SUM(amount_usd) FROM ai_usage.kpi_chargeback GROUP BY 1"
    assert dict(rows(warehouse, by_month)) == dict(rows(warehouse, journal))
    assert dict(rows(warehouse, by_month))[MONTH] == Decimal("27.500000001") + 6 * FEE
    for version in ("1.2", "1.4"):
        export = focus.export_focus(warehouse, december, tmp_path, "csv", version=version)
        assert (export.rows, export.billed_usd) == (1, Decimal(-6))
    with export.paths[0].open(newline="") as file:
        report = lint_focus_1_4_structure("Cost and Usage", list(csv.DictReader(file)))
    assert report.ok, report.messages()


USERS = st.sampled_from([JANE, SAM, ANN])
DAYS = st.sampled_from(["2026-10-31", "2026-11-01", "2026-11-30"])


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.decimals(0, 10**6, places=2),
    st.sets(st.tuples(DAYS, USERS), max_size=9),
    st.dictionaries(
        st.tuples(DAYS, USERS, st.sampled_from(["c1", "c2"]), st.sampled_from(["included", "billed"])),
        st.tuples(st.decimals(0, 10**5, places=9), st.integers(0, 10**6)),
        max_size=12,
    ),
    st.decimals(1, 99, places=4),
)
def test_costs_add_up(
    empty: DuckDBWarehouse,
    monthly: Decimal,
    seats: set[tuple[str, str]],
    events: dict[tuple[str, str, str, str], tuple[Decimal, int]],
    percent: Decimal,
) -> None:
    """Billed equals the spend of each day. Effective equals billed per month, person, team and cost center."""
    clear(empty, "int_cursor_usage_daily", "int_cursor_seat_daily", "raw_mapping_sheet", "int_key_mapping")
    # Two teams share the cost of Jane.
    shares = enumerate((percent / 100, 1 - percent / 100))
    fill(
        empty, "int_key_mapping",
        [{**key_mapping("cursor", "user", JANE, f"T{n}", f"CC-{n}", n), "share": share} for n, share in shares],
    )  # fmt: skip
    fill(empty, "raw_mapping_sheet", [seat_price(str(monthly))])
    fill(empty, "int_cursor_seat_daily", [seat(*day_and_user) for day_and_user in sorted(seats)])
    fill(
        empty, "int_cursor_usage_daily",
        [
            event(day, str(usd), user=user, model=model, basis=basis, requests=requests)
            for (day, user, model, basis), (usd, requests) in sorted(events.items())
        ],
    )  # fmt: skip
    differences = rows(
        empty,
        "SELECT BillingPeriodStart, x_Person, x_Team, x_CostCenter, SUM(BilledCost), SUM(EffectiveCost) "
        "FROM ai_usage.focus_cost_and_usage GROUP BY 1, 2, 3, 4 HAVING SUM(BilledCost) <> SUM(EffectiveCost)",
    )
    assert differences == []
    by_day = "SELECT CAST(ChargePeriodStart AS DATE), SUM(BilledCost) FROM ai_usage.focus_cost_and_usage GROUP BY 1"
    spend = "SELECT usage_date, SUM(spend_usd) FROM ai_usage.kpi_spend_daily GROUP BY 1"
    assert Counter(rows(empty, by_day)) == Counter(rows(empty, spend))


# --- The specification ---

MANDATORY = """
    BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory
    ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName
    ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName
""".split()  # noqa: SIM905
NEVER_NULL = {
    *MANDATORY, "ChargeFrequency", "ServiceSubcategory", "BillingAccountType", "PricingCategory", "PricingCurrency",
    "PricingCurrencyEffectiveCost", "SkuId", "SkuMeter",
} - {"BillingAccountName", "ChargeClass"}  # fmt: skip
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other"},
    "CommitmentDiscountCategory": {"", "Spend", "Usage"},
    "CommitmentDiscountStatus": {"", "Used", "Unused"},
    "CapacityReservationStatus": {"", "Used", "Unused"},
    "BillingCurrency": {"USD"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},
}
DECIMALS = [name for name in catalog.table(focus.VIEW).column_names if re.search("(Cost|Price|Quantity)$", name)]
TIMESTAMPS = [name for name in catalog.table(focus.VIEW).column_names if re.search("Period(Start|End)$", name)]


def test_version_1_2_conforms_to_the_specification(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """Each row has the mandatory columns, allowed values and formats, and consistent pairs of columns."""
    charges = export_rows(warehouse, tmp_path)
    assert len(charges) == 16
    assert set(MANDATORY) <= set(charges[0])
    own_columns = [name for name in charges[0] if name.startswith("x_")]
    assert list(charges[0])[-len(own_columns) :] == own_columns
    for row in charges:
        assert not [name for name in NEVER_NULL if not row[name].strip()]
        assert not [name for name, allowed in ALLOWED.items() if row[name] not in allowed]
        assert all(re.fullmatch(r"-?\d+(\.\d+)?|", row[name]) for name in DECIMALS if name in row)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name]) for name in TIMESTAMPS)
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        is_purchase = row["ChargeCategory"] == "Purchase"
        assert not is_purchase or (row["ChargeFrequency"] != "Usage-Based" and row["EffectiveCost"] == "0")
        assert (row["ConsumedQuantity"] == "") == (row["ConsumedUnit"] == "") == is_purchase
        for one, other in (
            ("ResourceType", "ResourceId"),
            ("SubAccountType", "SubAccountId"),
            ("SkuPriceDetails", "SkuPriceId"),
        ):
            assert (row[one] == "") == (row[other] == "")
        tags = json.loads(row["Tags"] or "{}")
        assert {name: re.sub("[\x00-\x1f]", " ", value) for name, value in
                (("team", row["x_Team"]), ("cost_center", row["x_CostCenter"])) if value} == tags  # fmt: skip


@pytest.mark.parametrize("version", focus.VERSIONS)
def test_each_version_has_its_columns(version: str) -> None:
    """focus-data-toolkit knows every exported column of the version and misses none."""
    names = [name for name in focus.focus_columns(version) if not name.startswith("x_")]
    detected = detect_focus_schema(names, dataset="Cost and Usage", version=version)
    assert not detected.missing_columns, detected
    assert not detected.unknown_columns, detected
    assert len(names) == {"1.2": 57, "1.3": 65, "1.4": 65}[version]


def test_version_1_4_passes_the_lint_of_focus_data_toolkit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """The structural and semantic lint passes, and fails for an invalid file."""
    charges = export_rows(warehouse, tmp_path, "1.4")
    report = lint_focus_1_4_structure("Cost and Usage", charges)
    assert report.ok, report.messages()
    charges[0] |= {"BilledCost": "5e-06", "ChargeCategory": "Seat"}
    violations = lint_focus_1_4_structure("Cost and Usage", charges).violations
    assert {"BilledCost", "ChargeCategory"} <= {violation.column for violation in violations}


# --- The files ---


def test_parquet_and_csv_are_equal_and_reproducible(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """Parquet has exact types, CSV has no exponents, and a second export produces equal files."""
    export = focus.export_focus(warehouse, MONTH, tmp_path, version="1.3")
    parquet, text = export.paths
    stored = pq.read_table(parquet)
    assert stored.schema.field("BilledCost").type == pa.decimal128(38, 9)
    assert stored.schema.field("ListUnitPrice").type == pa.decimal128(38, 9)
    assert stored.schema.field("ChargePeriodStart").type == pa.timestamp("us", "UTC")
    assert stored.schema.field("InvoiceId").type == pa.string()
    with text.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert "0.000000001" in {row["BilledCost"] for row in read}
    written = [
        {name: "" if value is None else focus.format_value(value) for name, value in row.items()}
        for row in stored.to_pylist()
    ]
    assert read == written
    assert export.rows == len(read) == 16
    # 15 + 5 + 0.000000001 + 7.5 and six seat-days.
    assert export.billed_usd == export.effective_usd == Decimal("27.500000001") + 6 * FEE
    before = [path.read_bytes() for path in export.paths]
    assert [path.read_bytes() for path in focus.export_focus(warehouse, MONTH, tmp_path, version="1.3").paths] == before


def test_people_are_exported_only_on_request(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """Without the option no file contains an e-mail address, not even in the name of a key."""
    export_rows(warehouse, tmp_path / "without")
    with_people = export_rows(warehouse, tmp_path / "with", with_people=True)
    assert "@" not in (tmp_path / "without" / "focus-1.2-2026-11.csv").read_text()
    assert {row["x_Person"] for row in with_people} == {"", JANE, SAM, ANN}
    assert f"{JANE} laptop" in {row["ResourceName"] for row in with_people}


def test_csv_escapes_formulas(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """Names get an apostrophe in CSV; negative amounts stay numbers."""
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", UNALLOCATED_KEY, "=A1+1", "@SUM(A1)", 2)])
    fill(
        warehouse,
        "dim_api_key",
        [{"vendor": "anthropic", "api_key_id": UNALLOCATED_KEY, "name": "\t-2+3", "last_seen_on": TODAY}],
    )
    fill(warehouse, "int_anthropic_cost_daily", [{**charge("2026-11-12", "-1", key=UNALLOCATED_KEY), "fact_no": 9}])
    parquet, text = focus.export_focus(warehouse, MONTH, tmp_path, version="1.2").paths
    names = ("x_Team", "x_CostCenter", "ResourceName", "BilledCost")
    with text.open(newline="") as file:
        read = {tuple(row[name] for name in names) for row in csv.DictReader(file)}
    assert ("'=A1+1", "'@SUM(A1)", "'\t-2+3", "-1") in read
    stored = {tuple(row[name] for name in names) for row in pq.read_table(parquet).to_pylist()}
    assert ("=A1+1", "@SUM(A1)", "\t-2+3", Decimal(-1)) in stored


def test_a_folder_in_place_of_a_file_keeps_the_other_file(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """When the CSV cannot be replaced, the previous Parquet file stays and no temporary file is left."""
    parquet, text = focus.export_focus(warehouse, MONTH, tmp_path, version="1.2").paths
    parquet.write_text("before")
    text.unlink()
    text.mkdir()
    with pytest.raises(focus.ExportError, match=r"2026-11\.csv cannot be written"):
        focus.export_focus(warehouse, MONTH, tmp_path, version="1.2")
    assert parquet.read_text() == "before"
    assert sorted(tmp_path.glob(".focus*")) == []


def test_files_are_written_completely_or_not_at_all(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """When the second file fails, the first keeps its content and no temporary file is left."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("before")

    def succeed(path: Path) -> None:
        path.write_text("after")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(focus.ExportError, match=r"b.csv cannot be written: No space left"):
        focus.write_files({first: succeed, second: fail})
    assert first.read_text() == "before"
    assert sorted(path.name for path in tmp_path.glob("*.csv*")) == ["a.csv"]
    (tmp_path / "file").touch()
    with pytest.raises(focus.ExportError, match="cannot be written"):
        export_rows(warehouse, tmp_path / "file")


def test_the_command_reports_totals_and_warnings(
    warehouse: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints rows, dollars, files and warnings; it rejects a month without charges and an invalid month."""
    started_at = datetime(2026, 12, 20, tzinfo=UTC)
    warehouse.append(
        OPS_RUNS, [{"run_id": "r", "job": "daily", "started_at": started_at, "outcome": "success", "version": "1"}]
    )
    warehouse.upsert(
        OPS_ASSET_DAYS, ("asset", "usage_date"), [day_log_row(date(2026, 11, 9), status="failed", completed_at=None)]
    )
    warehouse.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(warehouse.path))
    monkeypatch.delenv("AI_USAGE_WAREHOUSE", raising=False)

    def run_export(month: str) -> tuple[int, str, str]:
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
            code = cli.main(["focus", "export", "--month", month, "--out", str(tmp_path / "out")])
        return code, out.getvalue(), errors.getvalue()

    code, out, errors = run_export("2026-11")
    assert code == 0, errors
    total = "35.499999999"
    assert out.splitlines()[0] == (
        f"FOCUS 1.2, 2026-11: 16 rows, {total} USD billed, {total} USD effective, as of 2026-12-20."
    )
    assert out.splitlines()[1:] == [str(tmp_path / "out" / f"focus-1.2-2026-11.{kind}") for kind in ("parquet", "csv")]
    assert "1 day of the month's bill missing" in errors
    # All days are final: Cursor settles after 35 days, Anthropic after 30.
    assert "rows are provisional" not in errors
    for month, message in (
        ("2026-10", "no charges for 2026-10; there are some from 2026-11 to"),
        ("2026-13", "YYYY-MM"),
    ):
        code, _, errors = run_export(month)
        assert (code, message in errors) == (2, True)


def test_bigquery_and_duckdb_export_equal_files(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """The files from both engines are equal, byte for byte."""
    with FakeBigQuery() as server:
        other = BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)
        # Another test proves that both engines evaluate the views alike.
        tables = [_as_table(warehouse, name) for name in (focus.VIEW, "kpi_completeness")]
        other.prepare(tables)
        for table in tables:
            other.append(table, warehouse.rows(f"SELECT * FROM ai_usage.{table.name}"))
        other_export = focus.export_focus(other, MONTH, tmp_path / "bigquery", version="1.2")
    export = focus.export_focus(warehouse, MONTH, tmp_path / "duckdb", version="1.2")
    assert [path.read_bytes() for path in other_export.paths] == [path.read_bytes() for path in export.paths]


def _as_table(warehouse: DuckDBWarehouse, name: str) -> Table:
    types = warehouse.column_types(catalog.table(name))
    return Table(name, "ops", "A copy.", tuple(Column(column, kind, "A copy.") for column, kind in types.items()))
