"""The report: its figures, its page, and what it says when a figure is absent."""

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
from ai_usage_assets.days import DayError, parse_month
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.finance import amounts
from ai_usage_assets.finance.close import journal
from ai_usage_assets.finance.report import charts, data, render
from ai_usage_assets.finance.report.base import MonthNotFound, Report
from ai_usage_assets.rendering import svg_charts
from ai_usage_assets.rendering.text import format_bounds, format_usd
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_CHECK_RESULTS, OPS_RESTATEMENTS, OPS_RUNS
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
MADE_AT = datetime(2026, 11, 11, 6, tzinfo=UTC)
JANE = "jane@example.com"
SCRIPT = "<script>alert('x')</script> & $a$"
VOID = {"meta", "br", "link", "img"}


def budget(usd: str, cost_center: str = "CC-1", row_no: int = 2) -> dict[str, Any]:
    """A row of the tab budgets for November."""
    read = datetime(2026, 1, 1, tzinfo=UTC)
    payload = {"month": "2026-11", "cost_center": cost_center, "budget_usd": usd}
    return {
        "snapshot_date": read.date(), "tab": "budgets", "snapshot_id": "y", "read_at": read, "row_no": row_no,
        "payload": msgspec.json.encode(payload).decode(),
    }  # fmt: skip


def loaded_days(first: date, last: date, *vendors: str) -> list[dict[str, Any]]:
    """Day log rows of loaded bills."""
    assets = {"anthropic": "raw_anthropic_cost", "cursor": "raw_cursor_usage_events"}
    return [day_log_row(day, asset=assets[vendor], vendor=vendor) for vendor in vendors for day in days(first, last)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the warehouse file."""
    return tmp_path_factory.mktemp("report") / "w.duckdb"


@pytest.fixture(scope="module")
def books(file: Path) -> Iterator[DuckDBWarehouse]:
    """October and ten days of November. Of November: 30 dollars of a team with an odd name, 6 of Jane and 4 of nobody
    at Anthropic; at Cursor 2 billed to Jane, 5 included, and her seat for ten days of 30 dollars a month.
    """
    made = create_warehouse(file, FIRST, TODAY)
    fill(made, "int_anthropic_cost_daily", [
        charge("2026-10-05", "20", key="k_odd"), charge("2026-10-20", "80", key="k_odd"),
        charge("2026-11-02", "30", key="k_odd"), charge("2026-11-03", "6", user=JANE, model="m2"),
        charge("2026-11-09", "4", key="k_nobody"),
    ])  # fmt: skip
    fill(made, "int_cursor_usage_daily", [
        cursor_usage("2026-11-04", JANE, "2"), cursor_usage("2026-11-04", JANE, "5", basis="included"),
    ])  # fmt: skip
    fill(made, "int_cursor_seat_daily", [seat(day, JANE) for day in days(NOVEMBER, THROUGH)])
    fill(made, "raw_mapping_sheet", [seat_price("30"), budget("100")])
    fill(made, "int_key_mapping", [key_mapping("anthropic", "api_key", "k_odd", SCRIPT, "CC-1")])
    fill(
        made,
        "dim_api_key",
        [{"vendor": "anthropic", "api_key_id": "k_nobody", "name": f"{SCRIPT} of {JANE}", "last_seen_on": TODAY}],
    )
    person = {"person_email": JANE, "name": "Jane", "team": "Platform", "cost_center": "CC-2", **OPEN}
    fill(made, "dim_person", [person])
    made.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic", "cursor"))
    at = {"run_id": "r1", "checked_at": MADE_AT, "asset": "kpi_completeness", "amount_usd": None}
    made.append(OPS_CHECK_RESULTS, [
        {**at, "check_name": "good_one", "passed": True, "severity": "ERROR", "blocking": True, "message": "Fine."},
        {**at, "check_name": "bad_one", "passed": False, "severity": "WARN", "blocking": False, "message": SCRIPT},
        {**at, "run_id": "r0", "checked_at": MADE_AT - timedelta(days=1), "check_name": "good_one", "passed": False,
         "severity": "ERROR", "blocking": True, "message": "Old."},
    ])  # fmt: skip
    made.append(OPS_RESTATEMENTS, [
        {"asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": date(2026, 11, 2), "run_id": "r1",
         "restated_at": MADE_AT, "old_records": 1, "new_records": 1, "old_amount_usd": Decimal(31),
         "new_amount_usd": Decimal(30)},
    ])  # fmt: skip
    made.append(OPS_RUNS, [
        {"run_id": name, "job": "daily", "started_at": MADE_AT - timedelta(days=ago), "first_day": FIRST,
         "last_day": THROUGH, "outcome": "success", "version": "1"} for name, ago in (("r0", 1), ("r1", 0))
    ])  # fmt: skip
    yield made
    made.close()


@pytest.fixture(scope="module")
def report(books: DuckDBWarehouse) -> Report:
    """The report of November, without people."""
    return data.load_report(books, MADE_AT)


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    """The page of that report."""
    return render.render_html(report)


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
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src", "action", "srcset", "data"} or name.startswith("on"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def headlines(report: Report) -> dict[str, Decimal | str]:
    """The value of each headline, or the reason why it has none."""
    return {line.name: line.absent if line.value is None else line.value for line in report.headlines}


def test_headlines_have_the_expected_values(report: Report) -> None:
    """Spend is billed and seats: 30 + 6 + 4 + 2 and ten days of a dollar; one person was active; 30 of 100 are used."""
    assert headlines(report) == {
        "Spend in November 2026, month to date": Decimal(52),
        "Spend in October 2026": Decimal(100),
        "Forecast for November 2026": headlines(report)["Forecast for November 2026"],
        "Budget used": Decimal("0.3"),
        "Cost per active user": Decimal(52),
        "Unallocated": Decimal(4) / Decimal(52),
    }
    spend, _, _, used, *_ = report.headlines
    assert "1 to 10 November 2026: $42.00 billed, $10.00 seats" in spend.notes
    # Of October's 1 to 10 there are 20 dollars.
    assert "160.0% more than in the same days of the previous month ($20.00)" in spend.notes
    assert "$22.00 of spend without a budget is not included" in used.notes
    assert all(line.is_provisional for line in report.headlines if line.value is not None)


def test_the_forecast_is_that_of_the_view(books: DuckDBWarehouse, report: Report) -> None:
    """The expected dollars are those of kpi_forecast_total, never less than is spent."""
    (row,) = books.rows("SELECT forecast_usd FROM ai_usage.kpi_forecast_total")
    expected = headlines(report)["Forecast for November 2026"]
    assert expected == row["forecast_usd"]
    assert isinstance(expected, Decimal)
    assert expected > 52


def test_every_section_adds_up_to_the_total(report: Report) -> None:
    """Vendors, days, teams and months add up to the same spend."""
    whole = Decimal(52)
    assert sum(total.spend_usd for total in report.vendors.values()) == whole
    assert sum(row["spend_usd"] for row in report.days) == whole
    assert sum(team.total.spend_usd for team in report.teams) == whole
    assert sum(total.spend_usd for total in report.months.values()) == whole + 100
    # Billed and included stand apart.
    assert amounts.sum_known(row["amount_usd"] for row in report.models if row["cost_basis"] == "billed") == 42
    assert amounts.sum_known(row["amount_usd"] for row in report.models if row["cost_basis"] == "included") == 5
    assert {team.team: (team.by_vendor.get("anthropic"), team.by_vendor.get("cursor")) for team in report.teams} == {
        SCRIPT: (Decimal(30), None),
        "Platform": (Decimal(6), Decimal(12)),
        None: (Decimal(4), None),
    }


def test_checks_and_restatements_are_shown(report: Report, text: str) -> None:
    """Of each check the newest result counts; a restated day says from what to what."""
    assert {row["check_name"] for row in report.checks} == {"good_one", "bad_one"}
    assert "1 of 2 checks passed" in text
    (changed,) = report.restatements
    assert (changed["old_amount_usd"], changed["new_amount_usd"], changed["delta_usd"]) == (31, 30, -1)
    assert "−$1.00" in text


def test_a_finished_month_has_no_forecast(books: DuckDBWarehouse) -> None:
    """October is whole: nothing is expected of it, and what was before it is said to be absent."""
    october = data.load_report(books, MADE_AT, date(2026, 10, 1))
    assert headlines(october) == {
        "Spend in October 2026": Decimal(100),
        "Spend in September 2026": "the warehouse begins on 1 October 2026",
        "Forecast for October 2026": "the month is over",
        "Budget used": "no budget in the sheet for October 2026",
        "Cost per active user": "no active user is known for October 2026",
        "Unallocated": Decimal(0),
    }
    assert "All spend is allocated to a cost center." in render.render_html(october)


def test_the_page_loads_no_external_resource(text: str) -> None:
    """It is well-formed and small, has no script and no address, and every name in it is there once."""
    found = Page(text)
    assert not found.open
    assert "script" not in found.tags
    assert found.tags.count("svg") == 12
    assert all(address.startswith("#") for address in found.addresses), found.addresses
    assert {address.removeprefix("#") for address in found.addresses} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert not re.search(r"https?:|//|url\((?!#)|@import", text)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(found.ids)
    assert len(text.encode()) < 500_000


def test_names_are_escaped(text: str) -> None:
    """A team whose name is a script is shown as text in tables and charts."""
    found = Page(text)
    assert sum(SCRIPT in words for words in found.words) > 3
    assert "<script" not in text


def test_charts_use_the_colors_and_font_of_the_page(text: str) -> None:
    """No picture brings a colour or a font of its own, so that it is light or dark with the page."""
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert not re.search(r"#[0-9a-f]{6}|font-family", picture)
        assert "var(--series-1)" in picture
        assert re.search(r'role="img" aria-label="[A-Z][^"]+\."', picture)


def test_marks_have_tooltips_with_exact_amounts(text: str) -> None:
    """Pointing at a column, a bar or a line tells the exact dollars, as the table beside it does."""
    titles = re.findall(r"<title>(.*?)</title>", text)
    for told in ("2 November, Anthropic: $30.00", "Platform, Cursor: $12.00", "Budget: $100.00"):
        # Once in the wide picture and once in the narrow one.
        assert titles.count(told) == 2
    assert "<td>Mon 2 November 2026</td>" in text.replace(' class="short"', "")


def test_people_are_shown_only_on_request(books: DuckDBWarehouse, text: str) -> None:
    """Without the option the page contains no name of a person and no e-mail address."""
    assert "@" not in re.sub(r"@media", "", text)
    assert not re.search(r"\bJane\b", text)
    named = render.render_html(data.load_report(books, MADE_AT, with_people=True))
    assert JANE in named
    assert '<td class="short">Jane</td>' in named


def test_the_summary_of_a_run_contains_the_headlines(books: DuckDBWarehouse, report: Report) -> None:
    """Attached to a run are the numbers at the top, each with what it is; asked for alone they are the same."""
    assert data.load_report(books, MADE_AT, only_headlines=True).headlines == report.headlines
    told = render.render_markdown(report)
    assert "* Spend in November 2026, month to date: **$52.00** (1 to 10 November 2026" in told
    assert told.count("\n* ") == len(report.headlines)
    assert JANE not in told


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with a cell."""
    row = re.search(rf"<tr><td[^>]*>{re.escape(first)}</td>(.*?)</tr>", text)
    assert row, first
    return re.findall(r">([^<]+)</td>", row[1])


def test_budgets_are_compared_with_budgeted_spend_only(text: str) -> None:
    """Card, sentence, table and pictures tell of the same dollars; what was spent without a budget stands beside."""
    assert "Cost centers with a budget have spent $30.00 of $100.00, 30.0%." in text
    assert "$22.00 of spend without a budget is not included." in text
    assert "Budgets are incomplete: 1 cost center with spend has none." in text
    assert cells(text, "October 2026")[3:-1] == ["no budget", "–", "–", "–"]
    assert cells(text, "November 2026")[2:-1] == ["$52.00", "$100.00*", "$30.00", "30.0%", "$22.00"]
    assert text.count("<title>November 2026, Spend with a budget: $30.00</title>") == 2
    assert text.count("<title>November, 1 to 10, with a budget: $30.00</title>") == 2
    assert "Nov*" in text


@pytest.mark.parametrize(
    ("rows", "told"),
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
    rows: list[tuple[str | None, str | None]], told: tuple[Decimal | None, str, str] | None
) -> None:
    """Of budgets of nothing there is no share, and credits without a budget are no spend."""
    found = amounts.total_budgets(
        {
            "cost_center": f"CC-{number}",
            "budget_usd": None if budget_usd is None else Decimal(budget_usd),
            "spend_usd": None if spend is None else Decimal(spend),
        }
        for number, (budget_usd, spend) in enumerate(rows)
    )
    assert (found and (found.used_ratio, found.unbudgeted_text.partition(" without")[0], found.missing_text)) == told


def test_singular_and_plural_match_the_number(books: DuckDBWarehouse, text: str) -> None:
    """One is not many, a span of one amount is that amount, and dollars of seat holders are called so."""
    assert "divided by 1 active user" in text
    assert "1 paid Cursor seat:" in text
    assert "$2.00 was billed on top of them for usage by seat holders." in text
    assert '<th scope="col" class="n">Forecast over or under</th>' in text
    named = render.render_html(data.load_report(books, MADE_AT, with_people=True))
    assert "Spend by person, 1 to 10 November 2026 (billed and seats, USD): 1 row</summary>" in named
    assert format_bounds(Decimal("9.801"), Decimal("9.799")) == "exactly $9.80"
    assert format_bounds(Decimal(9), Decimal(10)) == "between $9.00 and $10.00"


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse without anything but a calendar; to be copied."""
    path = tmp_path_factory.mktemp("blank") / "w.duckdb"
    create_warehouse(path, FIRST, TODAY).close()
    return path


@pytest.fixture
def made(blank: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """One of its own for a test."""
    path = tmp_path / "w.duckdb"
    shutil.copyfile(blank, path)
    warehouse = DuckDBWarehouse(path)
    yield warehouse
    warehouse.close()


def on(warehouse: DuckDBWarehouse, today: date) -> None:
    """Moves the calendar to a day."""
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": FIRST, "today": today})


def test_before_the_first_day_there_is_nothing_to_report(made: DuckDBWarehouse) -> None:
    """A warehouse without a finished day has a page that says what to do."""
    on(made, FIRST)
    text = render.render_html(data.load_report(made, MADE_AT))
    assert not Page(text).open
    assert "No day is loaded yet" in text
    with pytest.raises(MonthNotFound, match="It has no finished day yet"):
        data.load_report(made, MADE_AT, NOVEMBER)


def test_an_empty_warehouse_shows_reasons_instead_of_zeros(made: DuckDBWarehouse) -> None:
    """Every headline gives a reason, and every section says that nothing is loaded."""
    empty = data.load_report(made, MADE_AT)
    assert [line.name for line in empty.headlines if line.value is not None] == []
    assert all(line.absent for line in empty.headlines)
    text = render.render_html(empty)
    assert not Page(text).open
    assert "$0.00" not in text
    assert "no budget in the sheet for November 2026" in text
    assert "No seats are loaded for 1 to 10 November 2026." in text
    assert 'class="alarm"' not in text


def test_loaded_days_without_spend_are_zero(made: DuckDBWarehouse) -> None:
    """Loaded days without cost add up to $0."""
    made.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    found = data.load_report(made, MADE_AT)
    assert headlines(found)["Spend in November 2026, month to date"] == 0
    assert not Page(render.render_html(found)).open


def test_a_vendor_that_is_not_configured_is_mentioned(made: DuckDBWarehouse) -> None:
    """Without a key for Cursor the page says that it is not in the figures, and shows one series."""
    fill(made, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    absent = {"status": "not_configured", "completed_at": None, "message": "No key."}
    made.append(OPS_ASSET_DAYS, [
        *loaded_days(NOVEMBER, THROUGH, "anthropic"),
        *({**row, **absent} for row in loaded_days(NOVEMBER, THROUGH, "cursor")),
    ])  # fmt: skip
    found = data.load_report(made, MADE_AT)
    text = render.render_html(found)
    assert "Cursor is not included: it is not configured." in text
    assert "No seats are loaded for 1 to 10 November 2026. Not configured: Cursor." in text
    assert "var(--series-2)" not in text.partition("<main>")[2]
    assert "not compared with October: some of these days are not loaded in October" in found.headlines[0].notes


@pytest.mark.parametrize("status", ["failed", "not_configured"])
def test_a_missing_day_has_no_amount(made: DuckDBWarehouse, status: str) -> None:
    """A day of which the bill did not come has a dash, a reason, and makes the headline say that it is too low."""
    fill(made, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    made.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    lost = day_log_row(date(2026, 11, 5), status=status, completed_at=None, message="503 from the vendor.")
    made.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [lost])
    found = data.load_report(made, MADE_AT)
    assert "too low: 1 day of Anthropic missing" in found.headlines[0].notes
    text = render.render_html(found)
    assert "503 from the vendor." in text
    row = re.search(r"<tr><td[^>]*>Thu 5 November 2026</td>(.*?)</tr>", text)
    assert row
    assert re.findall(r">([^<]+)</td>", row[1]) == ["–", "–", "Anthropic missing"]
    assert "is not included: it" not in text
    # The 4th is held, and cost nothing.
    row = re.search(r"<tr><td[^>]*>Wed 4 November 2026</td>(.*?)</tr>", text)
    assert row
    assert re.findall(r">([^<]+)</td>", row[1]) == ["–", "–", "no spend"]


def test_the_first_day_of_a_month_reports_the_month_before(made: DuckDBWarehouse) -> None:
    """On 1 November October is whole; on the 2nd there is one day of November."""
    on(made, NOVEMBER)
    fill(made, "int_anthropic_cost_daily", [charge("2026-10-31", "3", key="k"), charge("2026-11-01", "1", key="k")])
    made.append(OPS_ASSET_DAYS, loaded_days(FIRST, date(2026, 10, 31), "anthropic"))
    found = data.load_report(made, MADE_AT)
    assert found.month
    assert (found.month.first, found.month.is_over) == (FIRST, True)
    made.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, NOVEMBER, "anthropic"))
    on(made, date(2026, 11, 2))
    found = data.load_report(made, MADE_AT)
    assert headlines(found)["Spend in November 2026, month to date"] == 1
    assert "1 November 2026 (UTC days)" in render.render_html(found)


def test_sixty_teams_are_all_listed(made: DuckDBWarehouse) -> None:
    """A picture shows the largest and one bar of all others; the table has every one, and both the whole sum."""
    keys = [f"k{n:02}" for n in range(60)]
    fill(made, "int_anthropic_cost_daily", [charge("2026-11-02", str(n + 1), key=key) for n, key in enumerate(keys)])
    fill(made, "int_key_mapping", [
        key_mapping("anthropic", "api_key", key, f"Team {key}", "CC", n) for n, key in enumerate(keys)
    ])  # fmt: skip
    made.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    found = data.load_report(made, MADE_AT)
    text = render.render_html(found)
    assert len(found.teams) == 60
    assert all(f"Team {key}</td>" in text for key in keys)
    # 1 to 45 are not among the fifteen largest.
    assert f"45 others, Anthropic: ${45 * 46 // 2:,.2f}" in text


def test_alarms_are_shown_at_the_top(made: DuckDBWarehouse) -> None:
    """A failed run, a failed check and a total that differs stand above the numbers, and lead to what is wrong."""
    made.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    # What came was nothing, by the log of days.
    fill(made, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    at = {"run_id": "r1", "checked_at": MADE_AT, "asset": "fct_cost_daily", "passed": False, "message": "Mend it."}
    made.append(OPS_CHECK_RESULTS, [
        {**at, "check_name": "control_total", "severity": "ERROR", "blocking": True},
        # Of October, which nothing has looked at since: one check of two findings.
        {**at, "check_name": "control_total", "severity": "ERROR", "blocking": True, "run_id": "r0",
         "checked_at": MADE_AT - timedelta(days=1)},
        {**at, "check_name": "cost_center_coverage", "severity": "WARN", "blocking": False},
    ])  # fmt: skip
    run = {"job": "daily", "outcome": "failed", "version": "1"}
    made.append(OPS_RUNS, [
        {**run, "run_id": "r1", "started_at": MADE_AT, "first_day": THROUGH, "last_day": THROUGH},
        {**run, "run_id": "r0", "started_at": MADE_AT - timedelta(days=1), "first_day": FIRST,
         "last_day": NOVEMBER - timedelta(days=1)},
    ])  # fmt: skip
    bad = data.load_report(made, MADE_AT)
    top, cards, _ = render.render_html(bad).partition('<div class="cards">')
    _, alarm, banner = top.partition('<div class="alarm" role="alert">')
    assert cards
    assert alarm
    assert re.findall("<li>(.*)</li>", banner) == [
        "The last run (daily, 11 November 2026 for 10 November 2026) failed. Its data may be missing.",
        "1 blocking check failed: control total (fct_cost_daily).",
        "1 day of Anthropic differs from the loaded records, added up independently, by $30.00 in total.",
    ]
    assert '<a href="#quality">' in banner
    text = render.render_html(bad)
    assert "0 of 2 checks passed" in text
    cells = r"control total \(fct_cost_daily\)</td>.*?Mend it\.</td><td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td>"
    assert re.findall(cells, text) == [
        ("10 November 2026", "11 November 2026"), ("1 to 31 October 2026", "10 November 2026"),
    ]  # fmt: skip
    in_a_run = render.render_markdown(data.load_report(made, MADE_AT, only_headlines=True))
    assert "**1 blocking check failed: control total (fct_cost_daily).**" in in_a_run


def test_a_killed_run_is_reported_as_interrupted(made: DuckDBWarehouse) -> None:
    """A run that is marked as running but no longer active was interrupted."""
    run = {"run_id": "r1", "job": "daily", "started_at": MADE_AT, "outcome": "running", "version": "1"}
    made.append(OPS_RUNS, [run])
    assert "The last run (daily, 11 November 2026) was interrupted." in render.render_html(
        data.load_report(made, MADE_AT)
    )


def test_a_closed_month_shows_the_posted_amount(made: DuckDBWarehouse) -> None:
    """The report of a closed month shows today's figures, what was posted, and what is carried as corrections."""
    fill(made, "int_anthropic_cost_daily", [charge("2026-10-05", "20", key="k1"), charge("2026-10-06", "5", key="k2")])
    made.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic"))
    journal.freeze_close(made, journal.draft_close(made, FIRST, MADE_AT))

    def told() -> tuple[Decimal | None, str]:
        spend = data.load_report(made, MADE_AT, FIRST, only_headlines=True).headlines[0]
        return spend.value, spend.notes[-1]

    posted = "closed on 11 November 2026 with $25.00 posted"
    assert told() == (Decimal(25), posted)
    fill(made, "int_key_mapping", [key_mapping("anthropic", "api_key", "k1", "Platform", "CC-1")])
    assert told() == (Decimal(25), f"{posted}; $20.00 was reallocated since then")
    fill(made, "int_anthropic_cost_daily", [charge("2026-10-07", "3", key="k1")])
    assert told() == (Decimal(28), f"{posted}; corrections since then: $3.00")


def test_a_long_name_is_shortened_with_a_tooltip(made: DuckDBWarehouse) -> None:
    """A name that would fill pages is cut in tables, and whole where a reader points at it."""
    name = "prod" * 1_000
    fill(made, "int_anthropic_cost_daily", [charge("2026-11-02", "30", key="k")])
    fill(made, "dim_api_key", [{"vendor": "anthropic", "api_key_id": "k", "name": name, "last_seen_on": TODAY}])
    text = render.render_html(data.load_report(made, MADE_AT))
    shortened = f"API key {name}"[:59] + "…"
    assert f'<td title="API key {name}">{shortened}</td>' in text


def test_a_user_without_a_name_is_one_row(made: DuckDBWarehouse) -> None:
    """What one user spent without a cost center is one line, in however many workspaces: the same is to be done."""
    nameless = {"principal_type": "user", "principal_id": "user_x", "api_key_id": None, "user_email": None}
    fill(made, "int_anthropic_cost_daily", [
        {**charge("2026-11-02", usd), **nameless, "workspace_id": workspace, "identity_key": workspace}
        for usd, workspace in (("3", "w1"), ("4", "w2"))
    ])  # fmt: skip
    (row,) = data.load_report(made, MADE_AT).unallocated
    assert (row["principal_id"], row["spend_usd"], row["share_of_spend"]) == ("user_x", 7, 1)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("0.004", "under $0.01"),
        ("-0.004", "over −$0.01"),
        ("1234567.891", "$1,234,567.89"),
        ("-5", "−$5.00"),
    ],
)
def test_dollars_are_formatted_to_the_cent(amount: str, shown: str) -> None:
    """Dollars have separators and cents, and what is there is never called nothing."""
    assert format_usd(Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("amount", "shown"), [("0", "$0"), ("2500", "$2.5k"), ("3000000", "$3M"), ("0.5", "$0.5"), ("-1200", "−$1.2k")]
)
def test_axis_numbers_are_short(amount: str, shown: str) -> None:
    """An axis says thousands and millions in a letter."""
    assert svg_charts.format_compact(Decimal(amount)) == shown


def test_a_credit_is_drawn_below_zero() -> None:
    """A negative amount is drawn below the axis with its tooltip."""
    drawn = charts.draw_columns("c", "A chart.", ["1", "2"], {"Anthropic": [Decimal(5), Decimal(-3)]})
    assert "2, Anthropic: −$3.00" in drawn


@pytest.mark.parametrize("text", ["2026-13", "november", "2026-11-01", ""])
def test_a_month_is_written_as_one(text: str) -> None:
    """Anything but a year and a month is refused with an example."""
    with pytest.raises(DayError, match="such as 2026-01"):
        parse_month(text)


def test_the_command_writes_the_page(
    books: DuckDBWarehouse,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`ai-usage report` writes where it is told, says where, and refuses a month that is not there."""
    books.close()
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(file))
    monkeypatch.setenv("AI_USAGE_NOW", MADE_AT.isoformat())
    made = tmp_path / "made" / "here.html"
    assert cli.main(["report", "--out", str(made), "--month", "2026-10"]) == 0
    assert "AI tool spend, October 2026" in made.read_text()
    assert made.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in made.parent.iterdir()] == ["here.html"]
    assert made.as_uri() in capsys.readouterr().err.replace("\n", "")
    assert cli.main(["report", "--out", str(made), "--month", "2025-01"]) == 2
    assert "2026-10 to 2026-11" in capsys.readouterr().err
    assert cli.main(["report", "--out", str(made / "under-a-file.html")]) == 2
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(tmp_path / "none.duckdb"))
    assert cli.main(["report", "--out", str(made)]) == 2
    assert not (tmp_path / "none.duckdb").exists()


def test_a_failing_report_does_not_fail_the_run(books: DuckDBWarehouse, file: Path, tmp_path: Path) -> None:
    """The step attaches the summary and the file. A file that cannot be written is reported, and the run succeeds."""
    books.close()
    made = tmp_path / "report.html"
    for path, expected in ((made, {"summary", "page"}), (made / "x.html", {"summary", "problem"}), (None, {"summary"})):
        settings = Settings(duckdb_path=file, fixed_now=MADE_AT, start_date=FIRST, report_path=path)
        job = build_definitions(settings).resolve_job_def("rebuild").get_subset(asset_selection={dg.AssetKey("report")})
        result = job.execute_in_process(
            instance=dg.DagsterInstance.ephemeral(), run_config={"loggers": {"console": {}}}
        )
        assert result.success
        (event,) = result.get_asset_materialization_events()
        assert set(event.materialization.metadata) == expected
    assert made.read_text().startswith("<!doctype html>")
