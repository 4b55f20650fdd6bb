"""The figures and the page of the report, and the reasons that it gives for absent figures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from ai_usage_assets import catalog, cli
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayError, DayRange, parse_month
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.finance import amounts
from ai_usage_assets.finance.close import journal
from ai_usage_assets.finance.report import charts, data, render
from ai_usage_assets.finance.report.base import MonthNotFound, Report
from ai_usage_assets.rendering import svg_charts
from ai_usage_assets.rendering.text import format_bounds, format_usd
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_CHECK_RESULTS, OPS_RESTATEMENTS, OPS_RUNS
from ai_usage_assets.warehouse.sql_files import read_query
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    create_warehouse,
    cursor_usage,
    day_log_row,
    days,
    fill,
    key_mapping,
    seat,
    seat_price,
)

FIRST, TODAY, THROUGH = date(2026, 10, 1), date(2026, 11, 11), date(2026, 11, 10)
NOVEMBER = date(2026, 11, 1)
CREATED_AT = datetime(2026, 11, 11, 6, tzinfo=UTC)
JANE, SAM = "jane@example.com", "sam@example.com"
SCRIPT = "<script>alert('x')</script> & $a$"
VOID_TAGS = {"meta", "br", "link", "img"}


def budget(usd: str, cost_center: str = "CC-1", row_no: int = 2) -> dict[str, Any]:
    """A row of the tab budgets for November."""
    read_at = datetime(2026, 1, 1, tzinfo=UTC)
    payload = {"month": "2026-11", "cost_center": cost_center, "budget_usd": usd}
    return {
        "snapshot_date": read_at.date(), "tab": "budgets", "snapshot_id": "y", "read_at": read_at, "row_no": row_no,
        "payload": msgspec.json.encode(payload).decode(),
    }  # fmt: skip


def loaded_days(first: date, last: date, *vendors: str) -> list[dict[str, Any]]:
    """Day log rows of loaded bills."""
    assets = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}
    return [day_log_row(day, asset=assets[vendor], vendor=vendor) for vendor in vendors for day in days(first, last)]


def page_html(report: Report) -> str:
    """The page without its optional line breaks."""
    return render.render_html(report).replace("<wbr>", "")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the warehouse file."""
    return tmp_path_factory.mktemp("report") / "w.duckdb"


@pytest.fixture(scope="module")
def warehouse(file: Path) -> Iterator[DuckDBWarehouse]:
    """October and ten days of November.

    Anthropic in November: $30 of a team with an odd name, $4 of Jane, $2 of Sam, and $4 that is unallocated.
    Cursor in November: $2 billed and $5 included for Jane, and ten days of her seat at $30 a month.
    """
    warehouse = create_warehouse(file, FIRST, TODAY)
    fill(warehouse, "int_anthropic_cost_daily", [
        charge("2026-10-05", "20", key="k_odd"), charge("2026-10-20", "80", key="k_odd"),
        charge("2026-11-02", "30", key="k_odd"), charge("2026-11-03", "4", user=JANE, model="m2"),
        charge("2026-11-03", "2", user=SAM, model="m2"),
        charge("2026-11-09", "4", key="k_nobody"),
    ])  # fmt: skip
    fill(warehouse, "int_cursor_usage_daily", [
        cursor_usage("2026-11-04", JANE, "2"), cursor_usage("2026-11-04", JANE, "5", basis="included"),
    ])  # fmt: skip
    fill(warehouse, "int_cursor_seat_daily", [seat(day, JANE) for day in days(NOVEMBER, THROUGH)])
    fill(warehouse, "raw_mapping_sheet", [seat_price("30"), budget("100")])
    fill(warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k_odd", SCRIPT, "CC-1")])
    fill(
        warehouse,
        "dim_api_key",
        [{"vendor": "anthropic", "api_key_id": "k_nobody", "name": f"{SCRIPT} of {JANE}", "last_seen_on": TODAY}],
    )
    people = ((JANE, "Jane"), (SAM, "Sam"))
    fill(warehouse, "dim_person", [
        {"person_email": email, "name": name, "team": "Platform", "cost_center": "CC-2", **OPEN}
        for email, name in people
    ])  # fmt: skip
    warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic", "cursor"))
    at = {"run_id": "r1", "checked_at": CREATED_AT, "asset": "kpi_completeness", "amount_usd": None}
    warehouse.append(OPS_CHECK_RESULTS, [
        {**at, "check_name": "good_one", "passed": True, "severity": "ERROR", "blocking": True, "message": "Fine."},
        {**at, "check_name": "bad_one", "passed": False, "severity": "WARN", "blocking": False, "message": SCRIPT},
        {**at, "run_id": "r0", "checked_at": CREATED_AT - timedelta(days=1), "check_name": "good_one", "passed": False,
         "severity": "ERROR", "blocking": True, "message": "Old."},
    ])  # fmt: skip
    warehouse.append(OPS_RESTATEMENTS, [
        {"asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": date(2026, 11, 2), "run_id": "r1",
         "restated_at": CREATED_AT, "old_records": 1, "new_records": 1, "old_amount_usd": Decimal(31),
         "new_amount_usd": Decimal(30)},
    ])  # fmt: skip
    warehouse.append(OPS_RUNS, [
        {"run_id": name, "job": "daily", "started_at": CREATED_AT - timedelta(days=ago), "first_day": FIRST,
         "last_day": THROUGH, "outcome": "success", "version": "1"} for name, ago in (("r0", 1), ("r1", 0))
    ])  # fmt: skip
    yield warehouse
    warehouse.close()


@pytest.fixture(scope="module")
def report(warehouse: DuckDBWarehouse) -> Report:
    """The report of November, without people."""
    return data.load_report(warehouse, CREATED_AT)


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    """The HTML page of the report of November."""
    return page_html(report)


class Page(HTMLParser):
    """Parses the page: tags, ids, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID_TAGS:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src", "action", "srcset", "data"} or name.startswith("on"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID_TAGS:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def headlines(report: Report) -> dict[str, Decimal | str]:
    """The value of each headline, or the reason why it has none."""
    return {line.name: line.absent if line.value is None else line.value for line in report.headlines}


def test_headlines_have_the_expected_values(report: Report) -> None:
    """Spend is billed ($30 + $4 + $2 + $4 + $2) and seats ($10). Two people are active although both are redacted."""
    assert headlines(report) == {
        "Spend in November 2026, month to date": Decimal(52),
        "Spend in October 2026": Decimal(100),
        "Forecast for November 2026": headlines(report)["Forecast for November 2026"],
        "Budget used": Decimal("0.3"),
        "Cost per active person": Decimal(26),
        "Unallocated": Decimal(4) / Decimal(52),
    }
    spend, _, _, used, *_ = report.headlines
    assert "November 1–10, 2026: $42.00 billed, $10.00 seats" in spend.notes
    # The spend of October 1 to 10 is $20.
    assert "160.0% more than in the same days of the previous month ($20.00)" in spend.notes
    assert "$22.00 of spend without a budget is not included" in used.notes
    assert all(line.is_provisional for line in report.headlines if line.value is not None)


def test_the_forecast_is_that_of_the_view(warehouse: DuckDBWarehouse, report: Report) -> None:
    """The headline is the forecast of kpi_forecast_total, which is above the spend to date."""
    (row,) = warehouse.rows("SELECT forecast_usd FROM ai_usage.kpi_forecast_total")
    expected = headlines(report)["Forecast for November 2026"]
    assert expected == row["forecast_usd"]
    assert isinstance(expected, Decimal)
    assert expected > 52


def test_every_section_adds_up_to_the_total(report: Report) -> None:
    """Vendors, days, teams and months add up to the same spend."""
    spend = Decimal(52)
    assert sum(total.spend_usd for total in report.vendors.values()) == spend
    assert sum(row["spend_usd"] for row in report.days) == spend
    assert sum(team.total.spend_usd for team in report.teams) == spend
    assert sum(total.spend_usd for total in report.months.values()) == spend + 100
    # Billed and included amounts are never added up.
    assert amounts.sum_known(row["amount_usd"] for row in report.models if row["cost_basis"] == "billed") == 42
    assert amounts.sum_known(row["amount_usd"] for row in report.models if row["cost_basis"] == "included") == 5
    assert {team.team: (team.by_vendor.get("anthropic"), team.by_vendor.get("cursor")) for team in report.teams} == {
        SCRIPT: (Decimal(30), None),
        "Platform": (Decimal(6), Decimal(12)),
        None: (Decimal(4), None),
    }


def test_checks_and_restatements_are_shown(report: Report, text: str) -> None:
    """The newest result of each check counts, and a restatement has the amounts before and after it."""
    assert {row["check_name"] for row in report.checks} == {"good_one", "bad_one"}
    assert "1 of 2 checks passed" in text
    (restatement,) = report.restatements
    assert (restatement["old_amount_usd"], restatement["new_amount_usd"], restatement["delta_usd"]) == (31, 30, -1)
    assert "−$1.00" in text


def test_a_finished_month_has_no_forecast(warehouse: DuckDBWarehouse) -> None:
    """October is over: it has no forecast, and the month before it is not in the warehouse."""
    october = data.load_report(warehouse, CREATED_AT, date(2026, 10, 1))
    assert headlines(october) == {
        "Spend in October 2026": Decimal(100),
        "Spend in September 2026": "the warehouse begins on October 1, 2026",
        "Forecast for October 2026": "the month is over",
        "Budget used": "no budget in the sheet for October 2026",
        "Cost per active person": "no active person is known for October 2026",
        "Unallocated": Decimal(0),
    }
    assert "All spend is allocated to a cost center." in page_html(october)


def test_the_page_loads_no_external_resource(text: str) -> None:
    """The page is well-formed and below 500 kB; it has no script, no external address and no duplicate id."""
    page = Page(text)
    assert not page.open
    assert "script" not in page.tags
    assert page.tags.count("svg") == 12
    assert all(address.startswith("#") for address in page.addresses), page.addresses
    assert {address.removeprefix("#") for address in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?:|//|url\((?!#)|@import", text)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(page.ids)
    assert len(text.encode()) < 500_000


def test_names_are_escaped(text: str) -> None:
    """A team whose name is a script is shown as text in tables and charts."""
    page = Page(text)
    assert sum(SCRIPT in words for words in page.words) > 3
    assert "<script" not in text


def test_charts_use_the_colors_and_font_of_the_page(text: str) -> None:
    """Charts contain no color or font of their own, so that they follow the light or dark mode of the page."""
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert not re.search(r"#[0-9a-f]{6}|font-family", svg)
        assert "var(--series-1)" in svg
        assert re.search(r'role="img" aria-label="[A-Z][^"]+\."', svg)


def test_marks_have_tooltips_with_exact_amounts(text: str) -> None:
    """The tooltip of a column, bar or line has the exact amount."""
    titles = re.findall(r"<title>(.*?)</title>", text)
    for tooltip in ("2 November, Anthropic: $30.00", "Platform, Cursor: $12.00", "Budget: $100.00"):
        # Every chart is drawn twice: wide and narrow.
        assert titles.count(tooltip) == 2
    assert "<td>Mon, November 2, 2026</td>" in text.replace(' class="medium"', "")


def test_people_are_shown_only_on_request(warehouse: DuckDBWarehouse, text: str) -> None:
    """Without the option the page contains no name of a person and no e-mail address."""
    assert "@" not in re.sub(r"@media", "", text)
    assert not re.search(r"\b(Jane|Sam)\b", text)
    with_people = page_html(data.load_report(warehouse, CREATED_AT, with_people=True))
    assert JANE in with_people
    assert '<td class="short">Jane</td>' in with_people


def test_the_summary_of_a_run_contains_the_headlines(warehouse: DuckDBWarehouse, report: Report) -> None:
    """The Markdown summary has every headline; loading only the headlines gives the same ones."""
    assert data.load_report(warehouse, CREATED_AT, only_headlines=True).headlines == report.headlines
    summary = render.render_markdown(report)
    assert "* Spend in November 2026, month to date: **$52.00** (November 1–10, 2026" in summary
    assert summary.count("\n* ") == len(report.headlines)
    assert JANE not in summary


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with a cell."""
    row = re.search(rf"<tr><td[^>]*>{re.escape(first)}</td>(.*?)</tr>", text)
    assert row, first
    return re.findall(r">([^<]+)</td>", row[1])


def test_budgets_are_compared_with_budgeted_spend_only(text: str) -> None:
    """Headline, sentence, table and charts have the same amounts; spend without a budget is separate."""
    assert "Cost centers with a budget have spent $30.00 of $100.00, 30.0%." in text
    assert "$22.00 of spend without a budget is not included." in text
    assert "Budgets are incomplete: 1 cost center with spend has none." in text
    assert cells(text, "October 2026")[3:-1] == ["no budget", "–", "–", "–"]
    assert cells(text, "November 2026")[2:-1] == ["$52.00", "$100.00*", "$30.00", "30.0%", "$22.00"]
    assert text.count("<title>November 2026, Spend with a budget: $30.00</title>") == 2
    assert text.count("<title>November, 1 to 10, with a budget: $30.00</title>") == 2
    assert "Nov*" in text


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(None, "9")], None),
        ([("0", "9")], (None, "", "")),
        ([("10", "9"), ("10", None), (None, None)], (Decimal("0.45"), "", "")),
        (
            [("10", "9"), (None, "-5"), (None, "2")],
            (Decimal("0.9"), "$3.00 of credits", "2 cost centers with spend have none"),
        ),
    ],
)
def test_budget_totals_exclude_unbudgeted_spend(
    rows: list[tuple[str | None, str | None]], expected: tuple[Decimal | None, str, str] | None
) -> None:
    """Budgets of zero have no used ratio, and credits without a budget are called credits."""
    totals = amounts.total_budgets(
        {
            "cost_center": f"CC-{number}",
            "budget_usd": None if budget_usd is None else Decimal(budget_usd),
            "spend_usd": None if spend is None else Decimal(spend),
        }
        for number, (budget_usd, spend) in enumerate(rows)
    )
    assert (
        totals and (totals.used_ratio, totals.unbudgeted_text.partition(" without")[0], totals.missing_text)
    ) == expected


@pytest.mark.parametrize(("cents", "cell"), [(-1, "$0.01 over"), (0, "$0.00"), (1, "$0.01 under")])
def test_one_cent_over_or_under_a_budget_is_shown(empty_warehouse: DuckDBWarehouse, cents: int, cell: str) -> None:
    """The budgets table has the exact difference of spend and forecast to the budget, and its direction."""
    charges = [charge(day.isoformat(), "10", key=key) for key in ("k1", "k2") for day in days(FIRST, THROUGH)]
    fill(empty_warehouse, "int_anthropic_cost_daily", charges)
    mappings = [key_mapping("anthropic", "api_key", f"k{n}", "Platform", f"CC-{n}", n) for n in (1, 2)]
    fill(empty_warehouse, "int_key_mapping", mappings)
    # Ten dollars a day are 100 so far, and 300 in the month.
    budgets = [budget(str(usd + Decimal(cents) / 100), f"CC-{n}", n + 2) for n, usd in ((1, 100), (2, 300))]
    fill(empty_warehouse, "raw_mapping_sheet", budgets)
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic"))
    text = page_html(data.load_report(empty_warehouse, CREATED_AT))
    assert cells(text, "CC-1")[3] == cell
    assert cells(text, "CC-2")[6] == cell


def test_singular_and_plural_match_the_number(warehouse: DuckDBWarehouse, text: str) -> None:
    """Nouns and ranges match their number."""
    assert "divided by 2 active people" in text
    assert "1 paid Cursor seat:" in text
    assert "$2.00 was billed on top of them for usage by seat holders." in text
    assert '<th scope="col" class="n">Forecast over or under</th>' in text
    with_people = page_html(data.load_report(warehouse, CREATED_AT, with_people=True))
    assert "Spend by person, November 1–10, 2026 (billed and seats, USD): all 2 rows</summary>" in with_people
    assert format_bounds(Decimal("9.801"), Decimal("9.799")) == "exactly $9.80"
    assert format_bounds(Decimal(9), Decimal(10)) == "between $9.00 and $10.00"


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse that has only a calendar."""
    path = tmp_path_factory.mktemp("empty") / "w.duckdb"
    create_warehouse(path, FIRST, TODAY).close()
    return path


@pytest.fixture
def empty_warehouse(empty_file: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of the warehouse that has only a calendar."""
    path = tmp_path / "w.duckdb"
    shutil.copyfile(empty_file, path)
    warehouse = DuckDBWarehouse(path)
    yield warehouse
    warehouse.close()


def set_today(warehouse: DuckDBWarehouse, today: date) -> None:
    """Rebuilds the calendar as of a day."""
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": FIRST, "today": today})


def test_one_person_is_one_active_user_and_one_row(empty_warehouse: DuckDBWarehouse) -> None:
    """Nouns are in the singular for one person."""
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-11-03", "4", user=JANE)])
    fill(empty_warehouse, "dim_person", [{"person_email": JANE, "name": "Jane", **OPEN}])
    text = page_html(data.load_report(empty_warehouse, CREATED_AT, with_people=True))
    assert "divided by 1 active person</li>" in text
    assert "Spend by person, November 1–10, 2026 (billed and seats, USD): 1 row</summary>" in text


def test_before_the_first_day_there_is_nothing_to_report(empty_warehouse: DuckDBWarehouse) -> None:
    """A warehouse without a finished day has a page that says what to do."""
    set_today(empty_warehouse, FIRST)
    text = page_html(data.load_report(empty_warehouse, CREATED_AT))
    assert not Page(text).open
    assert "No day is loaded yet" in text
    with pytest.raises(MonthNotFound, match="It has no finished day yet"):
        data.load_report(empty_warehouse, CREATED_AT, NOVEMBER)


def test_an_empty_warehouse_shows_reasons_instead_of_zeros(empty_warehouse: DuckDBWarehouse) -> None:
    """Every headline gives a reason, and every section says that nothing is loaded."""
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert [line.name for line in report.headlines if line.value is not None] == []
    assert all(line.absent for line in report.headlines)
    text = page_html(report)
    assert not Page(text).open
    assert "$0.00" not in text
    assert "no budget in the sheet for November 2026" in text
    assert "No seats are loaded for November 1–10, 2026." in text
    assert 'class="alarm"' not in text


def test_loaded_days_without_spend_are_zero(empty_warehouse: DuckDBWarehouse) -> None:
    """Loaded days without cost add up to $0."""
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert headlines(report)["Spend in November 2026, month to date"] == 0
    assert not Page(page_html(report)).open


def test_a_vendor_that_is_not_configured_is_mentioned(empty_warehouse: DuckDBWarehouse) -> None:
    """Without a key for Cursor the page says that Cursor is not included, and its charts have one series."""
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    absent = {"status": "not_configured", "completed_at": None, "message": "No key."}
    empty_warehouse.append(OPS_ASSET_DAYS, [
        *loaded_days(NOVEMBER, THROUGH, "anthropic"),
        *({**row, **absent} for row in loaded_days(NOVEMBER, THROUGH, "cursor")),
    ])  # fmt: skip
    report = data.load_report(empty_warehouse, CREATED_AT)
    text = page_html(report)
    assert "Cursor is not included: it is not configured." in text
    assert "No seats are loaded for November 1–10, 2026. Not configured: Cursor." in text
    assert "var(--series-2)" not in text.partition("<main>")[2]
    assert "not compared with October: some of these days are not loaded in October" in report.headlines[0].notes


@pytest.mark.parametrize("status", ["failed", "not_configured"])
def test_a_missing_day_has_no_amount(empty_warehouse: DuckDBWarehouse, status: str) -> None:
    """A missing day has a dash and a reason, and the headline says that the spend is too low."""
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    failed = day_log_row(date(2026, 11, 5), status=status, completed_at=None, message="503 from the vendor.")
    empty_warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [failed])
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert "too low: 1 day of Anthropic missing" in report.headlines[0].notes
    text = page_html(report)
    assert "503 from the vendor." in text
    row = re.search(r"<tr><td[^>]*>Thu, November 5, 2026</td>(.*?)</tr>", text)
    assert row
    assert re.findall(r">([^<]+)</td>", row[1]) == ["–", "–", "Anthropic missing"]
    assert "is not included: it" not in text
    # The 4th is loaded and has no spend.
    row = re.search(r"<tr><td[^>]*>Wed, November 4, 2026</td>(.*?)</tr>", text)
    assert row
    assert re.findall(r">([^<]+)</td>", row[1]) == ["–", "–", "no spend"]


def test_the_first_day_of_a_month_reports_the_month_before(empty_warehouse: DuckDBWarehouse) -> None:
    """On 1 November the report covers October; on 2 November it covers one day of November."""
    set_today(empty_warehouse, NOVEMBER)
    fill(
        empty_warehouse,
        "int_anthropic_cost_daily",
        [charge("2026-10-31", "3", key="k"), charge("2026-11-01", "1", key="k")],
    )
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, date(2026, 10, 31), "anthropic"))
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert report.month
    assert (report.month.first, report.month.is_over) == (FIRST, True)
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, NOVEMBER, "anthropic"))
    set_today(empty_warehouse, date(2026, 11, 2))
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert headlines(report)["Spend in November 2026, month to date"] == 1
    assert "November 1, 2026 (UTC days)" in page_html(report)


def test_keys_that_share_a_name_are_separate_rows(empty_warehouse: DuckDBWarehouse) -> None:
    """Unallocated keys of one name have a row of their own in the report and for the check, each with its own id."""
    keys = {"k1": 5, "k2": 3}
    fill(empty_warehouse, "int_anthropic_cost_daily", [
        charge("2026-11-03", str(usd), key=key) for key, usd in keys.items()
    ])  # fmt: skip
    twin = {"vendor": "anthropic", "name": "ci", "last_seen_on": TODAY}
    fill(empty_warehouse, "dim_api_key", [{**twin, "api_key_id": key} for key in keys])
    rows = data.load_report(empty_warehouse, CREATED_AT).unallocated
    assert [(row["api_key_id"], row["api_key_name"], row["spend_usd"]) for row in rows] == [
        ("k1", "ci", 5), ("k2", "ci", 3),
    ]  # fmt: skip
    assert [f"api_key, {key}" in row["next_step"] for key, row in zip(keys, rows, strict=True)] == [True, True]
    (check,) = (check for check in CHECKS if check.name == "no_unallocated_spend")
    findings = check.run(CheckContext(empty_warehouse, DayRange(NOVEMBER, THROUGH), TODAY))
    assert [finding.amount_usd for finding in findings] == [5, 3]
    summary = empty_warehouse.rows(read_query("commands/month_unallocated"), {"month": NOVEMBER})
    assert [row["spend_usd"] for row in summary] == [5, 3]


def test_sixty_teams_are_all_listed(empty_warehouse: DuckDBWarehouse) -> None:
    """The chart shows the fifteen largest teams and one bar for all others; the table lists every team."""
    keys = [f"k{n:02}" for n in range(60)]
    fill(
        empty_warehouse,
        "int_anthropic_cost_daily",
        [charge("2026-11-02", str(n + 1), key=key) for n, key in enumerate(keys)],
    )
    fill(empty_warehouse, "int_key_mapping", [
        key_mapping("anthropic", "api_key", key, f"Team {key}", "CC", n) for n, key in enumerate(keys)
    ])  # fmt: skip
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    report = data.load_report(empty_warehouse, CREATED_AT)
    text = page_html(report)
    assert len(report.teams) == 60
    assert all(f"Team {key}</td>" in text for key in keys)
    # Teams 1 to 45 are not among the fifteen largest.
    assert f"45 others, Anthropic: ${45 * 46 // 2:,.2f}" in text


def test_alarms_are_shown_at_the_top(empty_warehouse: DuckDBWarehouse) -> None:
    """A failed run, a failed check and a differing control total are listed above the headlines."""
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    # The day log has no amount for this day.
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    at = {"run_id": "r1", "checked_at": CREATED_AT, "asset": "fct_cost_daily", "passed": False, "message": "Fix it."}
    empty_warehouse.append(OPS_CHECK_RESULTS, [
        {**at, "check_name": "control_total", "severity": "ERROR", "blocking": True},
        # The same check has an older result for October, which is still its newest one for those days.
        {**at, "check_name": "control_total", "severity": "ERROR", "blocking": True, "run_id": "r0",
         "checked_at": CREATED_AT - timedelta(days=1)},
        {**at, "check_name": "cost_center_coverage", "severity": "WARN", "blocking": False},
    ])  # fmt: skip
    run = {"job": "daily", "outcome": "failed", "version": "1"}
    empty_warehouse.append(OPS_RUNS, [
        {**run, "run_id": "r1", "started_at": CREATED_AT, "first_day": THROUGH, "last_day": THROUGH},
        {**run, "run_id": "r0", "started_at": CREATED_AT - timedelta(days=1), "first_day": FIRST,
         "last_day": NOVEMBER - timedelta(days=1)},
    ])  # fmt: skip
    report = data.load_report(empty_warehouse, CREATED_AT)
    top, cards, _ = page_html(report).partition('<div class="cards">')
    _, alarm, banner = top.partition('<div class="alarm" role="alert">')
    assert cards
    assert alarm
    assert re.findall("<li>(.*)</li>", banner) == [
        "The last run (daily, November 11, 2026 for November 10, 2026) failed. Its data may be missing.",
        "1 blocking check failed: control total (fct_cost_daily).",
        "1 day of Anthropic differs from the loaded records, added up independently, by $30.00 in total.",
    ]
    assert '<a href="#quality">' in banner
    text = page_html(report)
    assert "0 of 2 checks passed" in text
    cells = r"control total \(fct_cost_daily\)</td>.*?Fix it\.</td><td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td>"
    assert re.findall(cells, text) == [
        ("November 10, 2026", "November 11, 2026"), ("October 1–31, 2026", "November 10, 2026"),
    ]  # fmt: skip
    summary = render.render_markdown(data.load_report(empty_warehouse, CREATED_AT, only_headlines=True))
    assert "**1 blocking check failed: control total (fct_cost_daily).**" in summary


def test_a_killed_run_is_reported_as_interrupted(empty_warehouse: DuckDBWarehouse) -> None:
    """A run that is marked as running but no longer active was interrupted."""
    run = {"run_id": "r1", "job": "daily", "started_at": CREATED_AT, "outcome": "running", "version": "1"}
    empty_warehouse.append(OPS_RUNS, [run])
    assert "The last run (daily, November 11, 2026) was interrupted." in page_html(
        data.load_report(empty_warehouse, CREATED_AT)
    )


def test_a_closed_month_shows_the_posted_amount(empty_warehouse: DuckDBWarehouse) -> None:
    """The report of a closed month shows the current spend, the posted amount and the corrections."""
    fill(
        empty_warehouse,
        "int_anthropic_cost_daily",
        [charge("2026-10-05", "20", key="k1"), charge("2026-10-06", "5", key="k2")],
    )
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic"))
    journal.freeze_close(empty_warehouse, journal.draft_close(empty_warehouse, FIRST, CREATED_AT))

    def spend_and_note() -> tuple[Decimal | None, str]:
        spend = data.load_report(empty_warehouse, CREATED_AT, FIRST, only_headlines=True).headlines[0]
        return spend.value, spend.notes[-1]

    posted = "closed on November 11, 2026 with $25.00 posted"
    assert spend_and_note() == (Decimal(25), posted)
    fill(empty_warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k1", "Platform", "CC-1")])
    assert spend_and_note() == (Decimal(25), f"{posted}; $20.00 was reallocated since then")
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-10-07", "3", key="k1")])
    assert spend_and_note() == (Decimal(28), f"{posted}; corrections since then: $3.00")


def test_a_long_name_is_shortened_with_a_tooltip(empty_warehouse: DuckDBWarehouse) -> None:
    """A long name is shortened in the table, and its tooltip has all of it."""
    name = "prod" * 1_000
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    fill(
        empty_warehouse,
        "dim_api_key",
        [{"vendor": "anthropic", "api_key_id": "k", "name": name, "last_seen_on": TODAY}],
    )
    text = page_html(data.load_report(empty_warehouse, CREATED_AT))
    shortened = f"API key {name}"[:59] + "…"
    assert f'<td title="API key {name}">{shortened}</td>' in text


def test_a_user_without_a_name_is_one_row(empty_warehouse: DuckDBWarehouse) -> None:
    """The unallocated spend of a user in several workspaces is one row, because the advice is the same."""
    user = {"principal_type": "user", "principal_id": "user_x", "api_key_id": None, "user_email": None}
    fill(empty_warehouse, "int_anthropic_cost_daily", [
        {**charge("2026-11-02", usd), **user, "workspace_id": workspace, "identity_key": workspace}
        for usd, workspace in (("3", "w1"), ("4", "w2"))
    ])  # fmt: skip
    (row,) = data.load_report(empty_warehouse, CREATED_AT).unallocated
    assert (row["principal_id"], row["spend_usd"], row["share_of_spend"]) == ("user_x", 7, 1)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0", "$0.00"),
        ("0.004", "under $0.01"),
        ("-0.004", "over −$0.01"),
        ("1234567.891", "$1,234,567.89"),
        ("-5", "−$5.00"),
    ],
)
def test_dollars_are_formatted_to_the_cent(amount: str, expected: str) -> None:
    """Dollars have separators and cents; an amount that rounds to zero is shown as a bound."""
    assert format_usd(Decimal(amount)) == expected


@pytest.mark.parametrize(
    ("amount", "expected"), [("0", "$0"), ("2500", "$2.5k"), ("3000000", "$3M"), ("0.5", "$0.5"), ("-1200", "−$1.2k")]
)
def test_axis_numbers_are_short(amount: str, expected: str) -> None:
    """Thousands and millions on an axis are abbreviated."""
    assert svg_charts.format_compact(Decimal(amount)) == expected


def test_a_credit_is_drawn_below_zero() -> None:
    """A negative amount is drawn below the axis with its tooltip."""
    chart = charts.draw_columns("c", "A chart.", ["1", "2"], {"Anthropic": [Decimal(5), Decimal(-3)]})
    assert "2, Anthropic: −$3.00" in chart


@pytest.mark.parametrize("text", ["2026-13", "november", "2026-11-01", ""])
def test_an_invalid_month_is_rejected(text: str) -> None:
    """The error has an example of a valid month."""
    with pytest.raises(DayError, match="such as 2026-01"):
        parse_month(text)


def test_the_command_writes_the_page(
    warehouse: DuckDBWarehouse,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`ai-usage report` writes the file and prints its path; it rejects a month without data and an unusable path."""
    warehouse.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(file))
    monkeypatch.setenv("AI_USAGE_NOW", CREATED_AT.isoformat())
    page = tmp_path / "new" / "report.html"
    assert cli.main(["report", "--out", str(page), "--month", "2026-10"]) == 0
    assert "AI tool spend, October 2026" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in page.parent.iterdir()] == ["report.html"]
    assert page.as_uri() in capsys.readouterr().err.replace("\n", "")
    assert cli.main(["report", "--out", str(page), "--month", "2025-01"]) == 2
    assert "2026-10 to 2026-11" in capsys.readouterr().err
    assert cli.main(["report", "--out", str(page / "under-a-file.html")]) == 2
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(tmp_path / "none.duckdb"))
    assert cli.main(["report", "--out", str(page)]) == 2
    assert cli.main(["report", "--out", "."]) == 2
    assert not (tmp_path / "none.duckdb").exists()


def test_a_failing_report_does_not_fail_the_run(warehouse: DuckDBWarehouse, file: Path, tmp_path: Path) -> None:
    """The step attaches the summary and the file. A file that cannot be written is reported, and the run succeeds."""
    warehouse.close()
    page = tmp_path / "report.html"
    for path, expected in ((page, {"summary", "page"}), (page / "x.html", {"summary", "problem"}), (None, {"summary"})):
        settings = Settings(duckdb_path=file, fixed_now=CREATED_AT, start_date=FIRST, report_path=path)
        job = build_definitions(settings).resolve_job_def("rebuild").get_subset(asset_selection={dg.AssetKey("report")})
        result = job.execute_in_process(
            instance=dg.DagsterInstance.ephemeral(), run_config={"loggers": {"console": {}}}
        )
        assert result.success
        (event,) = result.get_asset_materialization_events()
        assert set(event.materialization.metadata) == expected
    assert page.read_text().startswith("<!doctype html>")
