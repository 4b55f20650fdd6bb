"""Loads with every kind of change to the sheet and every error of Google: the last good version stays in use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets_tests.faults.preloaded import (
    FIRST,
    LAST,
    SHEET,
    PreloadedCompany,
    build_preloaded_warehouse,
    copy_company,
)
from ai_usage_assets_tests.support.loading import LoadResult

TABS = ("key_mapping", "people", "budgets", "seat_prices")
SECRET = "crsr_" + "4f" * 32


@pytest.fixture(scope="module")
def preloaded_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with three loaded days of Cursor and the sheet."""
    return build_preloaded_warehouse(tmp_path_factory.getbasetemp())


@pytest.fixture
def company(preloaded_warehouse: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[PreloadedCompany]:
    """A copy of that warehouse, with its simulated company."""
    with copy_company(preloaded_warehouse, tmp_path, caplog) as company:
        yield company


def read(company: PreloadedCompany, **more: Any) -> LoadResult:
    """Runs the sheet and the models that depend on it."""
    result = company.load_days(selection=SHEET, **more)
    # Finance fixes the sheet from the message; the run does not fail.
    assert result.success, result.failures()
    return result


def serving(company: PreloadedCompany) -> dict[str, list[tuple[Any, ...]]]:
    """What serves: who pays for what, who is where, what a seat costs, and every dollar with its cost center."""
    tables = ("int_key_mapping", "dim_person", "stg_budgets", "stg_seat_prices", "fct_cost_daily")
    return {table: company.read_rows(table) for table in tables}


def by_center(company: PreloadedCompany, principal: str) -> dict[date, dict[str | None, Decimal]]:
    """The dollars of a principal by day and cost center."""
    result: dict[date, dict[str | None, Decimal]] = {}
    for row in company.rows(
        "SELECT usage_date, cost_center, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
        "WHERE principal_id = @principal AND cost_basis <> 'seat' GROUP BY usage_date, cost_center",
        principal=principal,
    ):
        result.setdefault(row["usage_date"], {})[row["cost_center"]] = row["usd"]
    return result


def spend(company: PreloadedCompany) -> Decimal:
    """The total of all cost bases."""
    (row,) = company.rows("SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily")
    total: Decimal = row["usd"]
    return total


def tab(company: PreloadedCompany, name: str) -> list[list[Any]]:
    """A copy of a tab that the test can change."""
    return [list(row) for row in company.simulator.sheet(name)]


# --- Google ----------------------------------------------------------------------------------------------------------


REASONS = {
    403: "answered 403: The caller does not have permission. Share the spreadsheet with",
    404: "answered 404: Requested entity was not found. Check AI_USAGE_SHEET_ID",
    429: "answered 429: Quota exceeded for quota metric 'Read requests'",
    500: "answered 500: Internal error encountered after 6 attempts",
    502: "answered 502: an HTML page instead of JSON after 6 attempts",
}


def test_an_unreadable_sheet_keeps_its_last_good_version(company: PreloadedCompany) -> None:
    """If Google rejects the request, each tab says so, keeps its last good version, and recovers with the next run."""
    before, versions = serving(company), company.read_rows("raw_mapping_sheet")
    for status, reason in REASONS.items():
        company.simulator.fault_options.sheets.failing = [status] * 6
        result = read(company)
        assert result.failed_checks().keys() == {"raw_mapping_sheet.tabs_valid"}, status
        findings = result.findings("raw_mapping_sheet.tabs_valid")
        assert {finding.split(":")[0] for finding in findings} == {f"tab {name}" for name in TABS}, status
        assert all(reason in finding for finding in findings), (status, findings)
        assert company.read_rows("raw_mapping_sheet") == versions, status
    assert serving(company) == before
    company.simulator.fault_options.sheets.failing = []
    assert read(company).failed_checks() == {}
    assert (serving(company), company.read_rows("raw_mapping_sheet")) == (before, versions)


def test_quota_errors_are_retried_within_the_run(company: PreloadedCompany) -> None:
    """Two quota errors and one malformed response are retried within the run."""
    company.simulator.fault_options.sheets.failing = [429, 429, 502]
    assert read(company).failed_checks() == {}


# --- tabs ------------------------------------------------------------------------------------------------------------


def _headless(rows: list[list[Any]]) -> list[list[Any]]:
    return rows[1:]


def _doubled(rows: list[list[Any]]) -> list[list[Any]]:
    return [[*row, "cost_center" if number == 0 else ""] for number, row in enumerate(rows)]


def _formula(rows: list[list[Any]]) -> list[list[Any]]:
    return [rows[0], *(["#N/A", *row[1:]] for row in rows[1:])]


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        (
            {
                "key_mapping": _headless,
                "people": _doubled,
                "budgets": lambda rows: None,
                "seat_prices": lambda rows: [],
            },
            {
                "key_mapping": "its header lacks vendor, principal_type, principal_id",
                "people": "its header has cost_center more than once. Rename or remove one of them",
                "budgets": "the tab budgets does not exist. Add it with the columns month, cost_center and budget_usd",
                "seat_prices": "its first row is empty. Put the header there: vendor, plan, monthly_price_usd",
            },
        ),
        (
            {
                "key_mapping": lambda rows: rows[:7],
                "people": _formula,
                "budgets": lambda rows: [["stray"], *rows],
                "seat_prices": lambda rows: rows[:1],
            },
            {
                "key_mapping": "it has 6 rows, its last good version has 18: more than 30% are missing",
                "people": "63 of its 63 rows are invalid (row 2: person_email is the error of a formula; fix the",
                "budgets": "its header lacks month, cost_center and budget_usd. The first row must name the columns",
                "seat_prices": "it has no rows, its last good version has 2. If the change is correct, accept it once",
            },
        ),
    ],
    ids=["heads", "rows"],
)
def test_an_invalid_tab_keeps_its_last_good_version(
    company: PreloadedCompany, changes: dict[str, Any], reasons: dict[str, str]
) -> None:
    """Each way to invalidate a tab is reported for that tab, and its last good version stays in use."""
    before = serving(company)
    good = {name: company.simulator.sheet(name) for name in TABS}
    for name, change in changes.items():
        company.simulator.set_sheet(name, change(tab(company, name)))
    messages = read(company).failed_checks()
    assert messages.keys() == {"raw_mapping_sheet.tabs_valid"}
    for name, reason in reasons.items():
        assert f"tab {name}: {reason}" in messages["raw_mapping_sheet.tabs_valid"]
    assert serving(company) == before
    for name in TABS:
        company.simulator.set_sheet(name, good[name])
    assert read(company).failed_checks() == {}
    assert serving(company) == before


def test_an_invalid_tab_does_not_affect_the_others(company: PreloadedCompany) -> None:
    """With key_mapping cleared, a person's new team in another tab applies at once to all of history."""
    mapped = company.read_rows("int_key_mapping")
    people = tab(company, "people")
    email = next(row[0] for row in people[1:] if by_center(company, row[0]) and row[0] != _on_loan(company))
    moved = [[*row[:2], "Legal", "CC-9999", *row[4:]] if row[0] == email else row for row in people]
    company.simulator.set_sheet("key_mapping", [])
    company.simulator.set_sheet("people", moved)
    read(company)
    assert company.read_rows("int_key_mapping") == mapped
    assert {center for centers in by_center(company, email).values() for center in centers} == {"CC-9999"}


def _on_loan(company: PreloadedCompany) -> str:
    """A person whom key_mapping assigns to another team."""
    return str(next(row[2] for row in company.simulator.sheet("key_mapping") if row[:2] == ["cursor", "user"]))


def test_an_accepted_loss_is_loaded(company: PreloadedCompany) -> None:
    """An emptied tab is loaded with --accept-loss: its keys have no cost center, and no dollar is lost."""
    robot = _robot(company)
    before = spend(company)
    company.simulator.set_sheet("key_mapping", tab(company, "key_mapping")[:1])
    assert "accept it once with `ai-usage run --accept-loss`" in next(iter(read(company).failed_checks().values()))
    assert {center for centers in by_center(company, robot).values() for center in centers} == {"CC-1010"}
    read(company, accept_loss=True)
    assert {center for centers in by_center(company, robot).values() for center in centers} == {None}
    assert spend(company) == before


def _robot(company: PreloadedCompany) -> str:
    """A service account in the sheet."""
    return next(robot.id for robot in company.simulator.organization.service_identities if robot.in_sheet)


# --- rows ------------------------------------------------------------------------------------------------------------


def _people_who_spend(company: PreloadedCompany) -> list[str]:
    rows = company.rows(
        "SELECT principal_id, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
        "WHERE principal_type = 'user' AND cost_basis = 'billed' AND attribution_method = 'vendor_actor' "
        "AND person_email IS NOT NULL GROUP BY principal_id HAVING SUM(amount_usd) > 0 ORDER BY principal_id"
    )
    return [row["principal_id"] for row in rows]


def test_invalid_rows_are_reported_with_their_dollars(company: PreloadedCompany) -> None:
    """Each invalid row is rejected and reported with its dollars, no secret is stored, and fixed rows apply."""
    before, total = serving(company), spend(company)
    ada, ben, cem, dan, eve, fay, *_ = _people_who_spend(company)
    good = tab(company, "key_mapping")
    center = ["", "Legal", "CC-9999"]
    wrong: list[tuple[list[Any], str, str | None]] = [
        (["cursor", "user", ada, *center, 50], "shares together with row 21 add up to 90%", ada),
        (
            ["cursor", "user", ada, "", "Sales", "CC-9998", 40],
            "shares together with row 20 add up to 90%",
            None,
        ),
        (
            ["cursor", "user", ben, *center, "", "", "2026-11-11"],
            "overlaps in time with row 23; end one before the",
            ben,
        ),
        (
            ["cursor", "user", ben, *center, "", "2026-11-10", ""],
            "overlaps in time with row 22; end one before the",
            None,
        ),
        (["cursor", "user", cem, "", "Legal", "CC-1", ""], "overlaps in time with row 25", cem),
        (["cursor", "user", cem, "", "Sales", "CC-2", ""], "overlaps in time with row 24", None),
        (
            ["cursor", "user", dan, "", "", "", ""],
            "it has no owner: fill in person_email, or team and cost_center",
            dan,
        ),
        (["cursor", "user", eve, "", "#N/A", "CC-9999", ""], "team is the error of a formula; fix the formula", eve),
        (["cursor", "service_account", 1.23e18, *center], "principal_id is a number; format the column as plain", None),
        (["anthropic", "api_key", 12345, *center], "principal_id is a number; format the column as plain text", None),
        (["cursor", "user", fay, *center, "", "", "", f"key: {SECRET}"], "a cell looks like a secret: remove it", fay),
    ]
    company.simulator.set_sheet("key_mapping", [*good, *(row for row, _, _ in wrong)])
    result = read(company)
    messages = result.failed_checks()
    assert messages.keys() == {"raw_mapping_sheet.rows_valid"}
    assert "Correct the rows in the sheet; the next run applies them" in messages["raw_mapping_sheet.rows_valid"]
    lines = result.findings("raw_mapping_sheet.rows_valid")
    assert len(lines) == len(wrong)
    touched = Decimal(0)
    for number, (line, (row, reason, email)) in enumerate(zip(lines, wrong, strict=True), len(good) + 1):
        assert line.startswith(f"tab key_mapping row {number}: ")
        assert reason in line
        if named := row[2] if "@" in str(row[2]) else None:
            dollars = company.rows(
                "SELECT SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
                "WHERE cost_basis <> 'included' AND (principal_id = @email OR person_email = @email)",
                email=named,
            )[0]["usd"]
            assert f"(${dollars:,.2f} in 30 days)" in line
            touched += dollars if email else 0
    stored = company.rows(
        "SELECT amount_usd FROM ai_usage.ops_check_results WHERE check_name = 'rows_valid' AND NOT passed"
    )
    assert [row["amount_usd"] for row in stored] == [touched]
    assert (serving(company), spend(company)) == (before, total)
    stored = company.rows("SELECT payload, reject_reason FROM ai_usage.raw_mapping_sheet")
    assert SECRET not in repr(stored) + company.recorded_text()
    fixed = [["cursor", "user", email, "", "Legal", "CC-9999"] for email in (ada, ben, cem, dan, eve, fay)]
    company.simulator.set_sheet("key_mapping", [*good, *fixed])
    assert read(company).failed_checks() == {}
    for email in (ada, ben, cem, dan, eve, fay):
        assert {center for centers in by_center(company, email).values() for center in centers} == {"CC-9999"}
    assert spend(company) == total


def test_formatting_of_the_sheet_changes_no_dollar(company: PreloadedCompany) -> None:
    """Column order, extra columns, spaces, capitals, blank rows and an exact duplicate change no dollar."""
    before = serving(company)["fct_cost_daily"]
    header, *rows = tab(company, "key_mapping")
    untidy = [["Colour", *(f" {name.replace('_', ' ').title()} " for name in reversed(header))]]
    for row in rows:
        untidy += [["blue", *(f" {cell} " if isinstance(cell, str) and cell else cell for cell in reversed(row))], []]
    company.simulator.set_sheet("key_mapping", [*untidy, untidy[1]])
    messages = read(company).failed_checks()
    assert f"tab key_mapping row {len(untidy) + 1}: exact duplicate of row 2; remove one of them" in messages.pop(
        "raw_mapping_sheet.rows_valid"
    )
    assert messages == {}
    assert serving(company)["fct_cost_daily"] == before


def test_a_change_within_a_month_applies_from_its_day(company: PreloadedCompany) -> None:
    """A backdated change of a mapping splits a robot's dollars at its day and loses none."""
    robot, total = _robot(company), spend(company)
    good = tab(company, "key_mapping")
    day = LAST.isoformat()
    changed = [[*row[:8], day, row[9]] if row[2] == robot else row for row in good]
    company.simulator.set_sheet(
        "key_mapping", [*changed, ["cursor", "service_account", robot, "", "Sales", "CC-9998", 100, day, "", "moved"]]
    )
    before = by_center(company, robot)
    assert read(company).failed_checks() == {}
    after = by_center(company, robot)
    assert {day: {*centers} for day, centers in after.items()} == {
        FIRST: {"CC-1010"}, FIRST + timedelta(days=1): {"CC-1010"}, LAST: {"CC-9998"},
    }  # fmt: skip
    assert {day: sum(centers.values()) for day, centers in after.items()} == {
        day: sum(centers.values()) for day, centers in before.items()
    }
    assert spend(company) == total
