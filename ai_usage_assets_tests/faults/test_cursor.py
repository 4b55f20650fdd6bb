"""Loads while Cursor misbehaves: the loaded data stays, faults are reported, the next run recovers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

import dagster as dg
import msgspec
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.simulator.cursor.api import CursorAPI
from ai_usage_assets.simulator.cursor.base import Rejection
from ai_usage_assets.simulator.records import Event
from ai_usage_assets_tests.conftest import Company, copy_empty_warehouse, serve_company
from ai_usage_assets_tests.faults.preloaded import (
    BUILT,
    DAILY,
    EVENTS,
    FIRST,
    LAST,
    MEMBERS,
    MIDDLE,
    NEW_DAY,
    SPEND,
    PreloadedCompany,
    build_preloaded_warehouse,
    copy_company,
)
from ai_usage_assets_tests.support.materialize import materialize_views

PATHS = {
    EVENTS: "/teams/filtered-usage-events",
    DAILY: "/teams/daily-usage-data",
    SPEND: "/teams/spend",
    MEMBERS: "/teams/members",
}
CONTROLLED = ("cursor_usage_events", "cursor_spend", "dim_date")
PUBLISHED = ("cursor_usage_events", "int_cursor_usage_daily")
DAYS = (FIRST, MIDDLE, LAST)


@pytest.fixture(scope="module")
def preloaded_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with three loaded days."""
    return build_preloaded_warehouse(tmp_path_factory.getbasetemp())


@pytest.fixture
def company(preloaded_warehouse: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[PreloadedCompany]:
    """A copy of it, and its company."""
    with copy_company(preloaded_warehouse, tmp_path, caplog) as company:
        yield company


def cursor_api(company: Company) -> CursorAPI:
    """The simulated API, to read what it would serve."""
    api = company.simulator.apis["cursor"]
    assert isinstance(api, CursorAPI)
    return api


def requests_to(company: Company, path: str) -> int:
    """The requests to an endpoint."""
    return sum(request.path == path for _, request in company.simulator.requests)


# --- rate limits and errors -------------------------------------------------------------------------------------------


def test_a_rate_limit_is_waited_for(company: PreloadedCompany) -> None:
    """A 429 of Cursor is retried after the time it states, and the day is complete."""
    fault_options = company.simulator.fault_options.cursor
    fault_options.window_seconds, fault_options.requests_per_window, fault_options.page_size_limit = 0.25, 1, 80
    assert company.load_days(NEW_DAY, NEW_DAY).success
    pages = -(-len(company.simulator.ledger.events(NEW_DAY)) // 80)
    assert requests_to(company, PATHS[EVENTS]) > pages > 3
    assert company.equals_ledger(FIRST, NEW_DAY)


def test_a_long_rate_limit_fails_the_remaining_days(company: PreloadedCompany) -> None:
    """A wait above the limit fails the remaining days, which keep their data; the run loads the earlier days."""
    before = company.read_rows()
    fault_options = company.simulator.fault_options.cursor
    fault_options.window_seconds, fault_options.requests_per_window = 86_400, 1
    result = company.run(FIRST.isoformat(), LAST.isoformat(), selection="cursor_usage_events")
    company.results.append(result)
    assert set(result.failures()) == {"cursor_usage_events"}
    # Only the loaded day is materialized.
    materialized = [e.partition for e in result.events if e.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION]
    assert materialized == [FIRST.isoformat()]
    outcomes = company.read_outcomes(EVENTS)
    assert [outcomes[day][0] for day in DAYS] == ["complete", "failed", "failed"]
    assert "asks to wait 86,400 s" in outcomes[MIDDLE][1]
    (run,) = company.instance.get_runs()
    lines = [entry.user_message for entry in company.instance.all_logs(run.run_id) if entry.level == logging.ERROR]
    assert [line.split(":")[0] for line in lines[:2]] == [f"{EVENTS} {day} failed" for day in (MIDDLE, LAST)]
    assert company.read_rows() == before
    fault_options.window_seconds = None
    assert company.recovers()


def test_repeated_rate_limits_fail_a_day_after_six_attempts(company: PreloadedCompany) -> None:
    """Ten 429 responses fail one day after six attempts; the next day gets the other four and loads."""
    before = company.read_rows()
    company.simulator.fault_options.faults.limit_times[PATHS[EVENTS]] = 10
    company.simulator.fault_options.faults.retry_after = "0"
    company.load_days()
    outcomes = company.read_outcomes(EVENTS)
    assert [outcomes[day][0] for day in DAYS] == ["failed", "complete", "complete"]
    assert "answered 429: Rate limit exceeded after 6 attempts" in outcomes[FIRST][1]
    assert company.read_rows() == before
    assert company.recovers()


def test_an_endpoint_without_access_affects_only_its_table(company: PreloadedCompany) -> None:
    """One endpoint without access fails its own table with advice, and the others load."""
    before = company.read_rows()
    company.simulator.fault_options.cursor.rejections[PATHS[EVENTS]] = "forbidden"
    result = company.load_days(selection="cursor")
    (failure,) = result.failures().values()
    assert "answered 403: Forbidden: Enterprise access required. Check CURSOR_ADMIN_KEY" in failure
    assert "the earlier data stays" in failure
    for other in PATHS.keys() - {EVENTS}:
        assert {status for status, _ in company.read_outcomes(other).values()} == {"complete"}
    assert company.read_rows() == before


def test_every_form_of_error_body_is_read(company: PreloadedCompany) -> None:
    """Cursor's own words are in the message; for billing groups an error means that the plan lacks them."""
    before = {asset: company.read_rows(asset) for asset in PATHS}
    dialects: dict[str, tuple[Rejection, str]] = {
        EVENTS: ("key", "answered 401: Invalid Team API Key"),
        DAILY: ("plan", "answered 401: You must be a member of an enterprise team to access this resource"),
        SPEND: ("sentence", "answered 403: This team may not use the Admin API"),
        MEMBERS: ("old key", "answered 401: Unauthorized: Invalid API key"),
    }
    company.simulator.fault_options.cursor.rejections = {PATHS[asset]: kind for asset, (kind, _) in dialects.items()}
    company.simulator.fault_options.cursor.rejections["/teams/groups"] = "scope"
    company.simulator.now += timedelta(days=1)
    result = company.load_days(selection="cursor")
    assert len(result.failures()) == len(dialects)
    for asset, (_, words) in dialects.items():
        assert all(words in message for status, message in company.read_outcomes(asset).values() if status == "failed")
        assert "failed" in {status for status, _ in company.read_outcomes(asset).values()}
        assert company.read_rows(asset) == before[asset]
    status, message = company.read_outcomes("raw_cursor_groups")[company.simulator.now.date()]
    assert (status, "missing required scope" in message) == ("not_exposed", True)
    # A rejected key fails every day, so it is sent once.
    assert requests_to(company, PATHS[EVENTS]) == 1
    company.simulator.fault_options.cursor.rejections.clear()
    assert company.recovers(selection="cursor")


def test_a_key_revoked_during_a_run_keeps_the_earlier_data(company: PreloadedCompany) -> None:
    """Days read before the revocation are new; the others keep their data and are not requested."""
    company.simulator.revise(FIRST, Decimal("1.5"))
    company.simulator.revise(LAST, Decimal("1.5"))
    before = company.usd()
    company.simulator.fault_options.cursor.requests_until_revoked = 1
    company.load_days()
    outcomes = company.read_outcomes(EVENTS)
    assert [outcomes[day][0] for day in DAYS] == ["complete", "failed", "failed"]
    assert "Invalid Team API Key. Check CURSOR_ADMIN_KEY" in outcomes[LAST][1]
    truth = company.simulator.ledger.cursor_usd(FIRST, FIRST)
    assert company.usd() == {**before, **truth}
    assert requests_to(company, PATHS[EVENTS]) == 2
    company.simulator.fault_options.cursor.requests_until_revoked = None
    assert company.recovers()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda s: s.cursor.rejections.update({"/teams": "page"}), "answered 502: an HTML page instead of JSON"),
        (lambda s: s.faults.html_200.add("cursor"), "answered 200: an HTML page instead of JSON"),
        (lambda s: setattr(s.faults, "truncate_every", 1), "not the expected JSON"),
    ],
    ids=["502", "login page", "truncated"],
)
def test_an_unexpected_body_never_counts_as_no_spend(
    company: PreloadedCompany, broken: Callable[[object], None], reason: str
) -> None:
    """A body that is not the expected JSON fails the days after six attempts, and they keep their dollars."""
    before = company.read_rows()
    broken(company.simulator.fault_options)
    result = company.load_days(FIRST, MIDDLE)
    (failure,) = result.failures().values()
    assert reason in failure
    assert "after 6 attempts" in failure
    assert company.read_rows() == before


def test_a_truncated_response_is_retried(company: PreloadedCompany) -> None:
    """Responses that end early, in their JSON or their connection, are retried; each event loads once."""
    company.simulator.fault_options.faults.truncate_every = 2
    company.simulator.fault_options.faults.reset_every = 3
    company.simulator.fault_options.cursor.page_size_limit = 200
    assert company.load_days(FIRST, NEW_DAY).success
    assert company.equals_ledger(FIRST, NEW_DAY)


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", ["late_events_while_paging", "lost_events_while_paging", "repeated_pages"])
def test_pages_that_change_once_are_read_again(company: PreloadedCompany, moved: str) -> None:
    """An event that appears or disappears between pages, or a repeated page, loses or duplicates nothing."""
    company.simulator.fault_options.cursor.page_size_limit = 80
    setattr(company.simulator.fault_options.cursor, moved, 1)
    assert company.load_days(NEW_DAY, NEW_DAY).success
    assert company.equals_ledger(FIRST, NEW_DAY)


def test_equal_pages_of_equal_events_all_count(company: PreloadedCompany) -> None:
    """160 equal events of one millisecond form two equal pages and all count; a repeated page adds none."""
    company.simulator.ledger.edit_events(NEW_DAY, lambda events: [_billed(events)[0]] * 160)
    company.simulator.fault_options.cursor.page_size_limit = 80
    company.simulator.fault_options.cursor.repeated_pages = 1
    assert company.load_days(NEW_DAY, NEW_DAY).success
    assert company.events()[NEW_DAY] == 160
    assert company.equals_ledger(FIRST, NEW_DAY)


@pytest.mark.parametrize(
    ("moving", "value", "reason"),
    [
        ("endless_paging", True, "a page occurred twice"),
        ("miscounted_events", 1, "reported by Cursor"),
    ],
)
def test_pages_that_never_agree_reject_the_day(company: PreloadedCompany, moving: str, value: int, reason: str) -> None:
    """After three inconsistent reads the day keeps its data, and the message gives the reason."""
    before = company.read_rows()
    company.simulator.fault_options.cursor.page_size_limit = 80
    setattr(company.simulator.fault_options.cursor, moving, value)
    (failure,) = company.load_days(MIDDLE, MIDDLE).failures().values()
    assert "the day changed during each read" in failure
    assert reason in failure
    assert "The earlier data stays; run the day again" in failure
    assert company.read_rows() == before
    assert requests_to(company, PATHS[EVENTS]) <= 15
    setattr(company.simulator.fault_options.cursor, moving, type(value)())
    assert company.recovers()


@pytest.mark.parametrize("asset", [DAILY, SPEND])
def test_a_repeated_member_repeats_the_read(company: PreloadedCompany, asset: str) -> None:
    """A page of members that is sent in place of the next one neither duplicates nor loses a member."""
    before = company.read_payloads(asset)
    company.simulator.fault_options.cursor.page_size_limit = 20
    company.simulator.fault_options.cursor.repeated_pages = 1
    assert company.load_days(selection=asset.removeprefix("raw_")).success
    (days,) = {
        row["days"]
        for row in company.rows(f"SELECT COUNT(*) AS days FROM ai_usage.ops_asset_days WHERE asset = '{asset}'")
    }
    assert days == (3 if asset == DAILY else 1)
    if asset == DAILY:
        assert company.read_payloads(asset) == before
    (counts,) = company.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT user_id) AS ids FROM ai_usage.stg_cursor_spend")
    assert counts["n"] == counts["ids"] == len(cursor_api(company)._team())


def test_endless_member_lists_stop_after_a_few_requests(company: PreloadedCompany) -> None:
    """The loaded data stays."""
    before = {asset: company.read_rows(asset) for asset in (DAILY, SPEND)}
    company.simulator.fault_options.cursor.page_size_limit = 20
    company.simulator.fault_options.cursor.endless_paging = True
    result = company.load_days(selection=("cursor_daily_usage", "cursor_spend"))
    assert len(result.failures()) == 2
    for failure in result.failures().values():
        assert "the member list changed while its pages were read" in failure
    assert {asset: company.read_rows(asset) for asset in (DAILY, SPEND)} == before
    assert requests_to(company, PATHS[DAILY]) + requests_to(company, PATHS[SPEND]) <= 12
    company.simulator.fault_options.cursor.endless_paging = False
    assert company.recovers(selection="cursor")


# --- records ----------------------------------------------------------------------------------------------------------


def _billed(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "Usage-based" and event.tokens and not event.identity_kind]


def _charged(event: Event, text: str, **more: object) -> Event:
    return replace(event, charged_cents=Decimal(text), **more)  # type: ignore[arg-type]


def test_unusual_money_is_exact_and_reported(company: PreloadedCompany) -> None:
    """Credits, unknown kinds, charges without tokens, long decimals and new fields load exactly and are reported."""
    ledger = company.simulator.ledger
    first, *_ = _billed(ledger.events(FIRST))
    ledger.edit_events(FIRST, lambda events: [*events, _charged(first, "-350.25")])
    no_tokens = {"tokens": None, "total_cents": None, "fee_cents": None, "discount_percent": None}
    ledger.edit_events(
        MIDDLE, lambda events: [*events, _charged(_billed(events)[0], "995", kind="Mystery", **no_tokens)]
    )
    long = "20.648620000000000000000000000001"
    ledger.edit_events(
        LAST,
        lambda events: [
            *events,
            _charged(_billed(events)[0], long, discount_percent=Decimal("12.5"), total_cents=Decimal(long)),
        ],
    )
    company.simulator.fault_options.cursor.extra_fields = True
    result = company.load_days(selection=PUBLISHED)
    assert result.success, result.failures()
    messages = result.failed_checks()
    assert messages[f"{EVENTS}.no_negative_amounts"].startswith("2026-11-09: negative events: 1, −$3.50 in all.")
    assert "'Mystery': $9.95, first seen 2026-11-10" in messages[f"{EVENTS}.known_billing_kinds"]
    assert "new field 'undocumentedField'" in messages[f"{EVENTS}.known_fields"]
    assert len(messages) == 3
    assert company.equals_ledger()
    built = company.rows(
        "SELECT usage_date, SUM(amount_usd) AS usd FROM ai_usage.int_cursor_usage_daily GROUP BY usage_date"
    )
    assert {row["usage_date"]: row["usd"] for row in built} == {
        day: sum(sums.values()) for day, sums in ledger.cursor_usd(FIRST, LAST).items()
    }
    ledger.undo_edits()
    company.simulator.fault_options.cursor.extra_fields = False
    assert company.recovers(selection=PUBLISHED)


def test_numbers_in_other_forms_are_equal(company: PreloadedCompany) -> None:
    """Decimal points, strings of thirty digits and numeric ids change no dollar, token, seat or person."""
    tables = ("int_cursor_usage_daily", "int_cursor_activity_daily")
    seats = "SELECT usage_date, user_email, role, is_paid FROM ai_usage.int_cursor_seat_daily"
    before = {table: _without_ids(company, table) for table in tables}, company.read_sorted(seats)
    records = company.read_payloads(EVENTS)
    fault_options = company.simulator.fault_options.cursor
    styles: tuple[tuple[Literal["floats", "text"], bool], ...] = (("floats", False), ("text", True))
    for fault_options.number_format, fault_options.numeric_ids in styles:
        result = company.load_days(selection=BUILT)
        assert result.success, result.failures()
        assert result.failed_checks() == {}
        assert company.read_payloads(EVENTS) != records
        assert company.equals_ledger()
        assert ({table: _without_ids(company, table) for table in tables}, company.read_sorted(seats)) == before
    fault_options.number_format, fault_options.numeric_ids = "numbers", False
    assert company.recovers()
    assert company.read_payloads(EVENTS) == records


def _without_ids(company: PreloadedCompany, table: str) -> list[dict[str, object]]:
    return company.read_sorted(f"SELECT * EXCEPT (fact_no{', user_id' * ('activity' in table)}) FROM ai_usage.{table}")


def test_missing_fields_have_fallbacks(company: PreloadedCompany) -> None:
    """Without charged cents their parts count, the fee once; without e-mails, the earlier ones are carried forward."""
    billed = (
        "SELECT usage_date, principal_id, model, SUM(amount_usd) AS usd FROM ai_usage.int_cursor_usage_daily "
        "WHERE cost_basis = 'billed' GROUP BY usage_date, principal_id, model"
    )
    before = company.read_sorted(billed)
    assert before
    company.simulator.fault_options.cursor.omitted_fields = {"chargedCents": 1, "userEmail": 1}
    result = company.load_days(selection=PUBLISHED)
    assert result.success, result.failures()
    assert company.read_sorted(billed) == before
    company.simulator.fault_options.cursor.omitted_fields = {}
    assert company.recovers(selection=PUBLISHED)


def test_an_implausible_amount_rejects_only_its_day(company: PreloadedCompany) -> None:
    """A hundred billion dollars in one event reject its day; the other days get their new figures."""
    company.simulator.revise(FIRST, Decimal("1.1"))
    company.simulator.revise(LAST, Decimal("0.9"))
    before = company.usd()
    company.simulator.ledger.edit_events(MIDDLE, lambda events: [*events, _charged(events[0], "10000000000001")])
    company.load_days()
    outcomes = company.read_outcomes(EVENTS)
    assert [outcomes[day][0] for day in DAYS] == ["complete", "failed", "complete"]
    assert "an amount is implausibly large. Report it; the earlier data stays" in outcomes[MIDDLE][1]
    truth = company.simulator.ledger.cursor_usd(FIRST, LAST)
    assert company.usd() == {**truth, MIDDLE: before[MIDDLE]}
    company.simulator.ledger.undo_edits()
    assert company.recovers()


def test_daily_usage_rows_without_a_day_are_reported(company: PreloadedCompany) -> None:
    """Such a row is kept, not used, and reported; the days of other members are unchanged."""
    activity = "SELECT usage_date, user_id, requests FROM ai_usage.int_cursor_activity_daily"
    selection = ("cursor_daily_usage", "int_cursor_activity_daily")
    before, records = company.read_sorted(activity), company.read_payloads(DAILY)
    company.simulator.fault_options.cursor.omitted_fields = {"day": 40}
    result = company.load_days(selection=selection)
    assert result.success, result.failures()
    ((check, message),) = result.failed_checks().items()
    assert check == f"{DAILY}.rows_match_requested_day"
    assert message.startswith("4 rows of 2026-11-11 have no day, or another one. These rows are stored")
    rows = company.read_sorted(activity)
    assert len(company.read_payloads(DAILY)) == len(records)
    assert len(rows) == len(before) - 4
    assert all(row in before for row in rows)
    assert {status for status, _ in company.read_outcomes(DAILY).values()} == {"complete"}
    # A larger share is rejected.
    stored = company.read_rows(DAILY)
    company.simulator.fault_options.cursor.omitted_fields = {"day": 3}
    (failure,) = company.load_days(selection=selection).failures().values()
    assert f"of {len(records)} rows have no valid day. The earlier data stays" in failure
    assert company.read_rows(DAILY) == stored
    company.simulator.fault_options.cursor.omitted_fields = {}
    assert company.recovers(selection=selection)
    assert (company.read_sorted(activity), company.read_payloads(DAILY)) == (before, records)


def test_daily_usage_is_requested_in_windows_of_30_days(company: PreloadedCompany) -> None:
    """Every day of a longer range loads."""
    first = date(2026, 10, 5)
    assert company.load_days(first, LAST, selection="cursor_daily_usage").success
    bodies = [msgspec.json.decode(r.body) for _, r in company.simulator.requests if r.path == PATHS[DAILY]]
    assert [round((body["endDate"] - body["startDate"]) / 86_400_000) for body in bodies] == [30, 8]
    rows = company.rows("SELECT usage_date, COUNT(*) AS n FROM ai_usage.stg_cursor_daily_usage GROUP BY usage_date")
    members = company.simulator.ledger.members_on
    days = [first + timedelta(days=n) for n in range((LAST - first).days + 1)]
    assert {row["usage_date"]: row["n"] for row in rows} == {day: len(members(day)) for day in days}


# --- restatements -----------------------------------------------------------------------------------------------------


def test_restated_days_are_replaced_completely(company: PreloadedCompany) -> None:
    """Late, lost and moved events replace the loaded ones, are recorded as restatements, and change nothing twice."""
    ledger = company.simulator.ledger
    old = company.usd()
    ledger.edit_events(
        FIRST,
        lambda events: [
            *(replace(event, email=company.simulator.organization.people[0].email) for event in events[:5]),
            *events[7:],
            events[-1],
        ],
    )
    company.simulator.revise(MIDDLE, Decimal(3))
    company.simulator.revise(LAST, Decimal("0.25"))
    assert company.load_days().success
    assert company.equals_ledger()
    notes = "SELECT usage_date, old_records, new_records, old_amount_usd, new_amount_usd FROM ai_usage.ops_restatements"
    noted = {row["usage_date"]: row for row in company.rows(notes)}
    assert {day: (row["old_amount_usd"], row["new_amount_usd"]) for day, row in noted.items()} == {
        day: (sum(old[day].values()), sum(sums.values())) for day, sums in ledger.cursor_usd(FIRST, LAST).items()
    }
    assert noted[FIRST]["new_records"] == noted[FIRST]["old_records"] - 1
    before = [row for row in company.read_rows() if row[0] <= LAST]
    company.simulator.now += timedelta(hours=1)
    assert company.load_days(MIDDLE, NEW_DAY).success
    assert [row for row in company.read_rows() if row[0] <= LAST] == before
    assert len(company.rows(notes)) == 3
    assert company.equals_ledger(FIRST, NEW_DAY)


def test_an_empty_day_replaces_spend_only_with_accept_loss(company: PreloadedCompany) -> None:
    """An empty day that had dollars is kept and reported; one that had none is complete."""
    before = company.read_rows()
    worth = f"${sum(company.usd()[LAST].values()):,.2f}"
    for day in (LAST, NEW_DAY):
        company.simulator.ledger.edit_events(day, lambda events: [])
    company.load_days(LAST, NEW_DAY)
    outcomes = company.read_outcomes(EVENTS)
    assert outcomes[LAST][0] == "failed"
    assert f"records worth {worth}. They stay" in outcomes[LAST][1]
    assert "ai-usage run --accept-loss" in outcomes[LAST][1]
    assert outcomes[NEW_DAY] == ("complete", "")
    assert company.read_rows() == before
    assert company.load_days(LAST, NEW_DAY, accept_loss=True).success
    assert {status for status, _ in company.read_outcomes(EVENTS).values()} == {"complete"}
    assert company.events().keys() == {FIRST, MIDDLE}
    company.simulator.ledger.undo_edits()
    assert company.load_days(FIRST, NEW_DAY).success
    assert company.equals_ledger(FIRST, NEW_DAY)


def test_a_removed_member_keeps_their_history(company: PreloadedCompany) -> None:
    """Dollars, seats and activity stay attributed, also for days that are loaded later."""
    ledger, fault_options = company.simulator.ledger, company.simulator.fault_options.cursor
    queries = [
        f"SELECT usage_date, user_email, {what} FROM ai_usage.{table} WHERE usage_date <= DATE '{LAST}'"
        for table, what in (
            ("int_cursor_usage_daily", "amount_usd"),
            ("int_cursor_seat_daily", "role, is_paid"),
            ("int_cursor_activity_daily", "is_active, requests"),
        )
    ]
    before = [company.read_sorted(query) for query in queries]
    names = [{event.email for event in ledger.events(day) if not event.identity_kind} for day in (MIDDLE, NEW_DAY)]
    email = sorted(name for name in names[0] & names[1] if name and name not in company.simulator.removed_emails)[0]
    company.simulator.now += timedelta(days=1)
    company.simulator.remove_person(email, company.simulator.now.date())
    fault_options.hide_removed_members = True
    result = company.load_days(FIRST, NEW_DAY, selection=BUILT)
    assert result.success, result.failures()
    shown = [msgspec.json.decode(record[2]) for record in company.read_payloads(DAILY)]
    assert email not in {row.get("email") for row in shown}
    assert [company.read_sorted(query) for query in queries] == before
    rows = company.rows(
        "SELECT SUM(amount_usd) AS usd, SUM(requests) AS n FROM ai_usage.int_cursor_usage_daily "
        "WHERE usage_date = @day AND user_email = @email",
        day=NEW_DAY,
        email=email,
    )
    theirs = [event for event in ledger.events(NEW_DAY) if event.email == email]
    assert (rows[0]["n"], rows[0]["usd"]) == (len(theirs), sum(event.charged_cents for event in theirs) / 100)


# --- controls and clock -----------------------------------------------------------------------------------------------


def _other(folder: Path, now: datetime) -> AbstractContextManager[Company]:
    return serve_company(copy_empty_warehouse(folder / "other.duckdb"), now=now)


def test_a_spend_figure_that_differs_from_events_is_reported(tmp_path: Path) -> None:
    """Cursor's own figure that lacks five dollars per member is reported; limits and tiers are no money."""
    with _other(tmp_path, datetime(2026, 11, 5, 14, tzinfo=UTC)) as company:
        fault_options = company.simulator.fault_options.cursor
        fault_options.strip_removed_emails = False
        fault_options.spend_drift_cents, fault_options.billing_tier = Decimal(-500), "premium"
        result = company.load("2026-11-03", "2026-11-04", selection=CONTROLLED)
        assert result.success, result.failures()
        ((check, message),) = result.failed_checks().items()
        assert check == f"{SPEND}.matches_usage_events"
        assert "Cursor reports " in message
        assert "less than the events of some members" in message
        assert "ask Cursor" in message
        fault_options.spend_drift_cents = Decimal(0)
        assert company.load("2026-11-03", "2026-11-04", selection=CONTROLLED).failed_checks() == {}
        spent = cursor_api(company)._spent_cents(datetime(2026, 11, 3, tzinfo=UTC))
        rows = company.rows("SELECT * FROM ai_usage.stg_cursor_spend WHERE overall_usd <> 0")
        assert {(row["email"], row["on_demand_usd"] * 100, row["overall_usd"] * 100) for row in rows} == {
            (email, *both) for email, both in spent.items() if both[1] and email in {row["email"] for row in rows}
        }
        assert len(rows) > 20
        assert {row["billing_tier"] for row in rows} == {"premium"}


def test_a_run_right_after_midnight_and_a_new_billing_cycle(tmp_path: Path) -> None:
    """The day is provisional, a later event is not lost, and different cycles are not compared."""
    with _other(tmp_path, datetime(2026, 12, 2, 23, 30, tzinfo=UTC)) as company:
        assert company.load("2026-12-01", selection=CONTROLLED).success
        company.simulator.now = datetime(2026, 12, 3, 0, 0, 30, tzinfo=UTC)
        result = company.load("2026-12-01", "2026-12-02", selection=CONTROLLED)
        assert (result.success, result.failed_checks()) == (True, {})
        cycles = company.rows("SELECT DISTINCT snapshot_date, cycle_started_at FROM ai_usage.stg_cursor_spend")
        assert {(row["snapshot_date"], row["cycle_started_at"].date()) for row in cycles} == {
            (date(2026, 12, 2), date(2026, 11, 3)),
            (date(2026, 12, 3), date(2026, 12, 3)),
        }
        statuses = "SELECT DISTINCT status FROM ai_usage.kpi_completeness WHERE is_bill AND usage_date >= '2026-12-01'"
        assert company.rows(statuses) == [{"status": "provisional"}]
        company.simulator.now += timedelta(hours=6)
        last_ms = int(datetime(2026, 12, 3, tzinfo=UTC).timestamp() * 1000) - 1
        company.simulator.ledger.edit_events(
            date(2026, 12, 2), lambda events: [*events, replace(events[0], at_ms=last_ms)]
        )
        result = company.load("2026-12-01", "2026-12-02", selection=CONTROLLED)
        assert (result.success, result.failed_checks()) == (True, {})
        loaded = PreloadedCompany(company.simulator, company.urls, company.settings)
        assert loaded.equals_ledger(date(2026, 12, 1), date(2026, 12, 2))


def _at_moments(*moments_ms: int) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [replace(events[0], at_ms=at_ms) for at_ms in moments_ms]


def test_the_first_and_last_millisecond_of_a_year(tmp_path: Path) -> None:
    """Events on either side of midnight at the end of a year belong to their own day."""
    eve, new = date(2026, 12, 31), date(2027, 1, 1)
    with _other(tmp_path, datetime(2027, 1, 2, 6, tzinfo=UTC)) as company:
        midnight = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1000)
        for day, moments in ((eve, (midnight - 86_400_000, midnight - 1)), (new, (midnight, midnight + 86_399_999))):
            company.simulator.ledger.edit_events(day, _at_moments(*moments))
        result = company.load("2026-12-31", "2027-01-01", selection="cursor_usage_events")
        assert (result.success, result.failed_checks()) == (True, {})
        rows = company.rows("SELECT usage_date, event_at FROM ai_usage.stg_cursor_usage_events ORDER BY event_at")
        assert [row["usage_date"] for row in rows] == [eve, eve, new, new]
        assert all(row["event_at"].astimezone(UTC).date() == row["usage_date"] for row in rows)


def test_the_first_day_of_data_without_cursor_usage(tmp_path: Path) -> None:
    """If one vendor has nothing on the first day, every view works and no check fails."""
    with _other(tmp_path, datetime(2026, 11, 10, 14, tzinfo=UTC)) as company:
        company.simulator.ledger.edit_events(FIRST, lambda events: [])
        everything = [table.name for table in (*catalog.raw_tables(), *catalog.models())]
        result = company.load(FIRST.isoformat(), selection=everything, start_date=FIRST)
        assert result.success, result.failures()
        company.close()
        materialize_views(company.settings.duckdb_path, everything)
        assert company.rows("SELECT * FROM ai_usage.int_cursor_usage_daily") == []
        # A single day has no past for comparison.
        kpis = [name for name in everything if name.startswith("kpi_")]
        silent = {name for name in kpis if not company.rows(f"SELECT * FROM ai_usage.{name} LIMIT 1")}
        assert silent == {"kpi_anomaly", "kpi_forecast_backtest", "kpi_restatements"}
        assert {row["previous_same_days_usd"] for row in company.rows("SELECT * FROM ai_usage.kpi_spend_monthly")} == {
            None
        }
        bases = company.rows("SELECT DISTINCT vendor, cost_basis FROM ai_usage.fct_cost_daily")
        assert ("cursor", "billed") not in {tuple(row.values()) for row in bases}
        state = company.rows(
            "SELECT status, records, amount_usd FROM ai_usage.kpi_completeness WHERE asset = @asset", asset=EVENTS
        )
        assert state == [{"status": "provisional", "records": 0, "amount_usd": Decimal(0)}]
