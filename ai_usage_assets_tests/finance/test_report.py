"""The figures and the page of the report, and the reasons that it gives for absent figures."""

from __future__ import annotations

import re
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
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.defs.report_asset import build_report_asset
from ai_usage_assets.defs.resources import build_resources
from ai_usage_assets.finance import amounts
from ai_usage_assets.finance.close import journal
from ai_usage_assets.finance.report import charts, data, render
from ai_usage_assets.finance.report.base import MonthNotFound, Report
from ai_usage_assets.rendering import svg_charts
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_CHECK_RESULTS, OPS_RESTATEMENTS, OPS_RUNS
from ai_usage_assets.warehouse.sql_files import read_query
from ai_usage_assets_tests.support.materialize import materialize_views
from ai_usage_assets_tests.support.warehouse_rows import (
    OPEN,
    charge,
    copy_warehouse,
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
LONG_NAME = "prod" * 1_000
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
    warehouse.close()
    # Every report of this warehouse evaluates the same views.
    materialize_views(file, data.tables_shown())
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


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse that has only a calendar."""
    path = tmp_path_factory.mktemp("empty") / "w.duckdb"
    create_warehouse(path, FIRST, TODAY).close()
    return path


@pytest.fixture
def empty_warehouse(empty_file: Path, tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A copy of the warehouse that has only a calendar."""
    with copy_warehouse(empty_file, tmp_path) as copy:
        yield copy


@pytest.fixture(scope="module")
def incomplete(empty_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """Ten days of November without Cursor: two days of Anthropic are missing, nothing is allocated, a run failed.

    The unallocated spend: $30 of a key with a long name, $5 and $3 of two keys of one name, $7 of a user without a
    name in two workspaces, and $4 of Jane.
    """
    with copy_warehouse(empty_file, tmp_path_factory.mktemp("incomplete")) as warehouse:
        user = {"principal_type": "user", "principal_id": "user_x", "api_key_id": None, "user_email": None}
        fill(warehouse, "int_anthropic_cost_daily", [
            charge("2026-11-02", "30", key="k"), charge("2026-11-03", "5", key="k1"),
            charge("2026-11-03", "3", key="k2"), charge("2026-11-03", "4", user=JANE),
            *({**charge("2026-11-02", usd), **user, "workspace_id": workspace, "identity_key": workspace}
              for usd, workspace in (("3", "w1"), ("4", "w2"))),
        ])  # fmt: skip
        names = {"k": LONG_NAME, "k1": "ci", "k2": "ci"}
        fill(warehouse, "dim_api_key", [
            {"vendor": "anthropic", "api_key_id": key, "name": name, "last_seen_on": TODAY}
            for key, name in names.items()
        ])  # fmt: skip
        fill(warehouse, "dim_person", [{"person_email": JANE, "name": "Jane", **OPEN}])
        absent = {"status": "not_configured", "completed_at": None, "message": "No key."}
        warehouse.append(OPS_ASSET_DAYS, [
            *loaded_days(NOVEMBER, THROUGH, "anthropic"),
            *({**row, **absent} for row in loaded_days(NOVEMBER, THROUGH, "cursor")),
        ])  # fmt: skip
        warehouse.upsert(OPS_ASSET_DAYS, ("asset", "usage_date"), [
            day_log_row(date(2026, 11, 5), status="failed", completed_at=None, message="503 from the vendor."),
            day_log_row(date(2026, 11, 6), **absent),
        ])  # fmt: skip
        at = {"run_id": "r1", "checked_at": CREATED_AT, "asset": "fct_cost_daily", "passed": False,
              "message": "Fix it."}  # fmt: skip
        warehouse.append(OPS_CHECK_RESULTS, [
            {**at, "check_name": "control_total", "severity": "ERROR", "blocking": True},
            # The same check has an older result for October, which is still its newest one for those days.
            {**at, "check_name": "control_total", "severity": "ERROR", "blocking": True, "run_id": "r0",
             "checked_at": CREATED_AT - timedelta(days=1)},
            {**at, "check_name": "cost_center_coverage", "severity": "WARN", "blocking": False},
        ])  # fmt: skip
        run = {"job": "daily", "outcome": "failed", "version": "1"}
        warehouse.append(OPS_RUNS, [
            {**run, "run_id": "r1", "started_at": CREATED_AT, "first_day": THROUGH, "last_day": THROUGH},
            {**run, "run_id": "r0", "started_at": CREATED_AT - timedelta(days=1), "first_day": FIRST,
             "last_day": NOVEMBER - timedelta(days=1)},
        ])  # fmt: skip
        yield warehouse


@pytest.fixture(scope="module")
def incomplete_report(incomplete: DuckDBWarehouse) -> Report:
    """The report of these days, with people."""
    return data.load_report(incomplete, CREATED_AT, with_people=True)


@pytest.fixture(scope="module")
def incomplete_text(incomplete_report: Report) -> str:
    """Its page."""
    return page_html(incomplete_report)


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


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with a cell."""
    row = re.search(rf"<tr><td[^>]*>{re.escape(first)}</td>(.*?)</tr>", text)
    assert row, first
    return re.findall(r">([^<]+)</td>", row[1])


# --- a month with everything --------------------------------------------------------------------------------------


def test_headlines_have_the_expected_values(report: Report, warehouse: DuckDBWarehouse) -> None:
    """Spend is billed ($30 + $4 + $2 + $4 + $2) and seats ($10), and two people are active, both redacted."""
    (row,) = warehouse.rows("SELECT forecast_usd FROM ai_usage.kpi_forecast_total")
    assert row["forecast_usd"] > 52
    assert headlines(report) == {
        "Spend in November 2026, month to date": Decimal(52),
        "Spend in October 2026": Decimal(100),
        "Forecast for November 2026": row["forecast_usd"],
        "Budget used": Decimal("0.3"),
        "Cost per active person": Decimal(26),
        "Unallocated": Decimal(4) / Decimal(52),
    }
    spend, _, _, used, per_person, _ = (" ".join(line.notes) for line in report.headlines)
    assert "November 1–10, 2026: $42.00 billed, $10.00 seats" in spend
    # The spend of October 1 to 10 is $20.
    assert re.search(r"160\.0% more .*\$20\.00", spend)
    assert "$22.00 of spend without a budget" in used
    assert "2 active people" in per_person
    assert all(line.is_provisional for line in report.headlines if line.value is not None)


def test_every_section_adds_up_to_the_total(report: Report) -> None:
    """Vendors, days, teams and months add up to the same spend."""
    spend = Decimal(52)
    assert sum(total.spend_usd for total in report.vendors.values()) == spend
    assert sum(row["spend_usd"] for row in report.days) == spend
    assert sum(team.total.spend_usd for team in report.teams) == spend
    assert sum(total.spend_usd for total in report.months.values()) == spend + 100
    # Billed and included amounts are never added up.
    assert sum_known(row["amount_usd"] for row in report.models if row["cost_basis"] == "billed") == 42
    assert sum_known(row["amount_usd"] for row in report.models if row["cost_basis"] == "included") == 5
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
    october = headlines(data.load_report(warehouse, CREATED_AT, FIRST, only_headlines=True))
    assert {name: value for name, value in october.items() if not isinstance(value, str)} == {
        "Spend in October 2026": Decimal(100), "Unallocated": Decimal(0),
    }  # fmt: skip
    assert "October 1, 2026" in str(october["Spend in September 2026"])
    assert "over" in str(october["Forecast for October 2026"])
    assert "no budget" in str(october["Budget used"])


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
    for tooltip in (
        "2 November, Anthropic: $30.00", "Platform, Cursor: $12.00", "Budget: $100.00",
        "November 2026, Spend with a budget: $30.00", "November, 1 to 10, with a budget: $30.00",
    ):  # fmt: skip
        # Every chart is drawn twice: wide and narrow.
        assert titles.count(tooltip) == 2, tooltip
    assert "<td>Mon, November 2, 2026</td>" in text.replace(' class="medium"', "")


def test_people_are_shown_only_on_request(text: str, incomplete_text: str) -> None:
    """Without the option the page contains no name of a person and no e-mail address."""
    assert "@" not in re.sub(r"@media", "", text)
    assert not re.search(r"\b(Jane|Sam)\b", text)
    assert JANE in incomplete_text
    assert '<td class="short">Jane</td>' in incomplete_text


def test_the_summary_of_a_run_contains_the_headlines(warehouse: DuckDBWarehouse, report: Report) -> None:
    """The Markdown summary has every headline; loading only the headlines gives the same ones."""
    assert data.load_report(warehouse, CREATED_AT, only_headlines=True).headlines == report.headlines
    summary = render.render_markdown(report)
    assert "* Spend in November 2026, month to date: **$52.00** (November 1–10, 2026" in summary
    assert summary.count("\n* ") == len(report.headlines)
    assert JANE not in summary


def test_budgets_are_compared_with_budgeted_spend_only(text: str) -> None:
    """Headline, sentence and table have the same amounts; spend without a budget is separate."""
    assert "$30.00 of $100.00, 30.0%" in text
    assert "$22.00 of spend without a budget" in text
    assert "1 cost center with spend has none" in text
    assert cells(text, "October 2026")[3:-1] == ["no budget", "–", "–", "–"]
    assert cells(text, "November 2026")[2:-1] == ["$52.00", "$100.00*", "$30.00", "30.0%", "$22.00"]
    assert "Nov*" in text


def test_seats_are_counted_with_what_is_billed_on_top(text: str) -> None:
    """One seat, and $2 of usage by its holder."""
    assert "1 paid Cursor seat:" in text
    assert "$2.00 was billed on top of them" in text


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


# --- many teams, budgets to the cent ------------------------------------------------------------------------------


def test_every_team_and_every_cent_of_a_budget_is_shown(empty_warehouse: DuckDBWarehouse) -> None:
    """The table lists every team, the chart the fifteen largest and all others; budgets have exact differences."""
    # Six cost centers of the team Platform with $10 a day: $100 so far, $300 in the month.
    budgets = {
        f"CC-{usd}{cents:+}": (Decimal(usd) + Decimal(cents) / 100, 3 if usd == 100 else 6, cell)
        for usd in (100, 300)
        for cents, cell in ((-1, "$0.01 over"), (0, "$0.00"), (1, "$0.01 under"))
    }
    teams = [f"k{n:02}" for n in range(1, 60)]
    fill(empty_warehouse, "int_anthropic_cost_daily", [
        *(charge(day.isoformat(), "10", key=name) for name in budgets for day in days(FIRST, THROUGH)),
        *(charge("2026-11-02", str(n), key=key) for n, key in enumerate(teams, 1)),
    ])  # fmt: skip
    fill(empty_warehouse, "int_key_mapping", [
        *(key_mapping("anthropic", "api_key", name, "Platform", name, n) for n, name in enumerate(budgets)),
        *(key_mapping("anthropic", "api_key", key, f"Team {key}", "CC", n) for n, key in enumerate(teams, 10)),
    ])  # fmt: skip
    fill(empty_warehouse, "raw_mapping_sheet", [
        budget(str(usd), name, n) for n, (name, (usd, _, _)) in enumerate(budgets.items(), 2)
    ])  # fmt: skip
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic"))
    report = data.load_report(empty_warehouse, CREATED_AT)
    text = page_html(report)
    assert {name: cells(text, name)[column] for name, (_, column, _) in budgets.items()} == {
        name: cell for name, (_, _, cell) in budgets.items()
    }
    assert len(report.teams) == 60
    assert [key for key in teams if f"Team {key}</td>" not in text] == []
    # The fifteen largest are Platform and the teams of $46 to $59.
    assert f"45 others, Anthropic: ${45 * 46 // 2:,.2f}" in text


# --- missing days, unallocated spend, alarms ----------------------------------------------------------------------


def test_a_missing_day_has_no_amount(incomplete_report: Report, incomplete_text: str) -> None:
    """A missing day has a dash and a reason, and the headline says that the spend is too low."""
    notes = " ".join(incomplete_report.headlines[0].notes)
    assert "too low: 2 days of Anthropic missing" in notes
    assert "not compared with October" in notes
    assert "503 from the vendor." in incomplete_text
    # The 4th is loaded and has no spend; the 5th failed, and the 6th was loaded without a key.
    assert cells(incomplete_text, "Wed, November 4, 2026") == ["–", "–", "no spend"]
    for day in ("Thu, November 5, 2026", "Fri, November 6, 2026"):
        assert cells(incomplete_text, day) == ["–", "–", "Anthropic missing"]


def test_a_vendor_that_is_not_configured_is_mentioned(incomplete_text: str) -> None:
    """Without a key for Cursor the page says that Cursor is not included, and its charts have one series."""
    assert "Cursor is not included" in incomplete_text
    assert "Anthropic is not included" not in incomplete_text
    assert re.search(r"No seats are loaded .*Not configured: Cursor\.", incomplete_text)
    assert "var(--series-2)" not in incomplete_text.partition("<main>")[2]


def test_unallocated_keys_and_users_are_separate_rows(incomplete: DuckDBWarehouse, incomplete_report: Report) -> None:
    """Keys of one name have a row each, a user in several workspaces has one; report, check and command agree."""
    rows = incomplete_report.unallocated
    assert [(row["principal_id"], row["api_key_id"], row["spend_usd"]) for row in rows] == [
        ("k", "k", 30), ("user_x", None, 7), ("k1", "k1", 5), (JANE, None, 4), ("k2", "k2", 3),
    ]  # fmt: skip
    assert {row["api_key_name"] for row in rows if row["api_key_id"] in {"k1", "k2"}} == {"ci"}
    keys = [row for row in rows if row["api_key_id"]]
    assert [row["api_key_id"] for row in keys if f"api_key, {row['api_key_id']}" not in row["next_step"]] == []
    assert sum(row["share_of_spend"] for row in rows) == pytest.approx(1)
    (check,) = (check for check in CHECKS if check.name == "no_unallocated_spend")
    findings = check.run(CheckContext(incomplete, DayRange(NOVEMBER, THROUGH), TODAY))
    assert [finding.amount_usd for finding in findings] == [30, 7, 5, 4, 3]
    summary = incomplete.rows(read_query("commands/month_unallocated"), {"month": NOVEMBER})
    assert [row["spend_usd"] for row in summary] == [30, 7, 5, 4, 3]


def test_a_long_name_is_shortened_with_a_tooltip(incomplete_text: str) -> None:
    """A long name is shortened in the table, and its tooltip has all of it."""
    shortened = f"API key {LONG_NAME}"[:59] + "…"
    assert f'<td title="API key {LONG_NAME}">{shortened}</td>' in incomplete_text


def test_one_person_is_one_active_user_and_one_row(incomplete_text: str) -> None:
    """Nouns are in the singular for one person."""
    assert "by 1 active person</li>" in incomplete_text
    assert re.search(r"Spend by person, November 1–10, 2026 .*: 1 row</summary>", incomplete_text)
    assert ": all 10 rows</summary>" in incomplete_text


def test_alarms_are_shown_at_the_top(incomplete_report: Report, incomplete_text: str) -> None:
    """A failed run, a failed check and a differing control total are listed above the headlines."""
    top, cards, _ = incomplete_text.partition('<div class="cards">')
    _, alarm, banner = top.partition('<div class="alarm" role="alert">')
    assert cards
    assert alarm
    expected = (r"November 11, 2026 for November 10, 2026\) failed", r"1 blocking check .*: control total \(fct_cost_d",
                r"2 days of Anthropic .* \$49\.00")  # fmt: skip
    shown = re.findall("<li>(.*)</li>", banner)
    assert [bool(re.search(pattern, line)) for pattern, line in zip(expected, shown, strict=True)] == [True] * 3, shown
    assert '<a href="#quality">' in banner
    assert "0 of 2 checks passed" in incomplete_text
    row = r"control total \(fct_cost_daily\)</td>.*?Fix it\.</td><td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td>"
    assert re.findall(row, incomplete_text) == [
        ("November 10, 2026", "November 11, 2026"), ("October 1–31, 2026", "November 10, 2026"),
    ]  # fmt: skip
    assert f"**{shown[1]}**" in render.render_markdown(incomplete_report)


# --- little or nothing --------------------------------------------------------------------------------------------


def set_today(warehouse: DuckDBWarehouse, today: date) -> None:
    """Rebuilds the calendar as of a day."""
    warehouse.rebuild(catalog.table("dim_date"), {"first_day": FIRST, "today": today})


def test_before_the_first_day_there_is_nothing_to_report(empty_warehouse: DuckDBWarehouse) -> None:
    """A warehouse without a finished day has a page that says what to do."""
    set_today(empty_warehouse, FIRST)
    text = page_html(data.load_report(empty_warehouse, CREATED_AT))
    assert not Page(text).open
    assert "ai-usage run" in text
    with pytest.raises(MonthNotFound, match="no finished day"):
        data.load_report(empty_warehouse, CREATED_AT, NOVEMBER)


def test_an_empty_warehouse_shows_reasons_instead_of_zeros(empty_warehouse: DuckDBWarehouse) -> None:
    """Every headline gives a reason, and every section says that nothing is loaded; loaded days without cost are $0."""
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert [line.name for line in report.headlines if line.value is not None] == []
    assert all(line.absent for line in report.headlines)
    text = page_html(report)
    assert not Page(text).open
    assert "$0.00" not in text
    assert "no budget in the sheet for November 2026" in text
    assert "No seats are loaded for November 1–10, 2026." in text
    assert 'class="alarm"' not in text
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(NOVEMBER, THROUGH, "anthropic"))
    # A run that is marked as running but no longer active was interrupted.
    run = {"run_id": "r1", "job": "daily", "started_at": CREATED_AT, "outcome": "running", "version": "1"}
    empty_warehouse.append(OPS_RUNS, [run])
    report = data.load_report(empty_warehouse, CREATED_AT)
    assert headlines(report)["Spend in November 2026, month to date"] == 0
    text = page_html(report)
    assert not Page(text).open
    assert "(daily, November 11, 2026) was interrupted" in text.partition('<div class="cards">')[0]


def test_the_first_day_of_a_month_reports_the_month_before(empty_warehouse: DuckDBWarehouse) -> None:
    """On 1 November the report covers October; on 2 November it covers one day of November."""
    charges = [charge("2026-10-31", "3", key="k"), charge("2026-11-01", "1", key="k")]
    fill(empty_warehouse, "int_anthropic_cost_daily", charges)
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, NOVEMBER, "anthropic"))
    one, three = Decimal(1), Decimal(3)
    for today, month, is_over, usd in ((NOVEMBER, FIRST, True, three), (date(2026, 11, 2), NOVEMBER, False, one)):
        set_today(empty_warehouse, today)
        report = data.load_report(empty_warehouse, CREATED_AT, only_headlines=True)
        assert report.month
        assert (report.month.first, report.month.is_over, report.headlines[0].value) == (month, is_over, usd)
    assert "November 1, 2026 (UTC days)" in render.render_markdown(report)


def test_a_closed_month_shows_the_posted_amount(empty_warehouse: DuckDBWarehouse) -> None:
    """The report of a closed month shows the current spend, the posted amount and the corrections."""
    charges = [charge("2026-10-05", "20", key="k1"), charge("2026-10-06", "5", key="k2")]
    fill(empty_warehouse, "int_anthropic_cost_daily", charges)
    empty_warehouse.append(OPS_ASSET_DAYS, loaded_days(FIRST, THROUGH, "anthropic"))
    assert amounts.describe_close(empty_warehouse, FIRST) == ""
    journal.freeze_close(empty_warehouse, journal.draft_close(empty_warehouse, FIRST, CREATED_AT))
    texts = [amounts.describe_close(empty_warehouse, FIRST)]
    fill(empty_warehouse, "int_key_mapping", [key_mapping("anthropic", "api_key", "k1", "Platform", "CC-1")])
    texts.append(amounts.describe_close(empty_warehouse, FIRST))
    fill(empty_warehouse, "int_anthropic_cost_daily", [charge("2026-10-07", "3", key="k1")])
    spend = data.load_report(empty_warehouse, CREATED_AT, FIRST, only_headlines=True).headlines[0]
    assert spend.value == 28
    texts.append(spend.notes[-1])
    assert [text.startswith("closed on November 11, 2026 with $25.00 posted") for text in texts] == [True] * 3
    assert [re.findall(r"\$([\d.]+)|(reallocated|corrections)", text.partition("posted")[2]) for text in texts] == [
        [], [("20.00", ""), ("", "reallocated")], [("", "corrections"), ("3.00", "")],
    ]  # fmt: skip


# --- parts and the command ----------------------------------------------------------------------------------------


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
    with pytest.raises(DayError, match="2026-01"):
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
    text = page.read_text()
    assert "AI tool spend, October 2026" in text
    assert "All spend is allocated" in text
    assert page.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in page.parent.iterdir()] == ["report.html"]
    assert page.as_uri() in capsys.readouterr().err.replace("\n", "")
    assert cli.main(["report", "--out", str(page), "--month", "2025-01"]) == 2
    assert "2026-10 to 2026-11" in capsys.readouterr().err
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(tmp_path / "none.duckdb"))
    assert cli.main(["report", "--out", str(page)]) == 2
    assert not (tmp_path / "none.duckdb").exists()


def test_an_unusable_path_is_an_error(
    empty_warehouse: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder, and a path below a file."""
    set_today(empty_warehouse, FIRST)
    monkeypatch.setenv("AI_USAGE_DUCKDB_PATH", str(empty_warehouse.path))
    monkeypatch.setenv("AI_USAGE_NOW", "2026-10-01T06:00:00Z")
    empty_warehouse.close()
    for path in (tmp_path, empty_warehouse.path / "under-a-file.html"):
        assert cli.main(["report", "--out", str(path)]) == 2


def test_a_failing_report_does_not_fail_the_run(empty_warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """The step attaches the summary and the file. A file that cannot be written is reported, and the run succeeds."""
    set_today(empty_warehouse, FIRST)
    empty_warehouse.close()
    page = tmp_path / "report.html"
    for path, expected in ((page, {"summary", "page"}), (page / "x.html", {"summary", "problem"}), (None, {"summary"})):
        settings = Settings(
            duckdb_path=empty_warehouse.path, fixed_now=datetime(2026, 10, 1, 6, tzinfo=UTC), report_path=path
        )
        result = dg.materialize(
            [build_report_asset()],
            resources=build_resources(settings),
            run_config={"loggers": {"console": {}}},
            raise_on_error=False,
        )
        assert result.success
        (event,) = result.get_asset_materialization_events()
        assert set(event.materialization.metadata) == expected
    assert page.read_text().startswith("<!doctype html>")
