"""Loads while Anthropic misbehaves: the loaded data stays, faults are reported, the next run recovers.

The cases are numbered S1 to S21 and D1 to D14. Connection faults are in `http/test_transport`, single responses in
`sources/test_anthropic`. Every test starts with LOADED_DAY loaded and both days restated, so a wrong row would be
visible. It ends with both days equal to the ledger, to the last digit.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.records import Actor, Usage
from ai_usage_assets_tests.conftest import LOADED_DAY, NEXT_DAY, NOW, Company, copy_empty_warehouse, serve_company
from ai_usage_assets_tests.faults.conftest import (
    ANALYTICS,
    DAYS,
    Fault,
    assert_equals_ledger,
    assert_kept,
    assert_kept_then_recovered,
    clear_faults,
    failure_text,
    read_day_log,
    remove_usage,
    set_faults,
    stored_rows,
)
from ai_usage_assets_tests.support.loading import STORED_MODELS

Edit = Callable[[dict[str, Any]], dict[str, Any]]


# --- unusual but valid responses --------------------------------------------------------------------------------------


def _rewrite_amounts(*forms: Callable[[Decimal], Any]) -> Edit:
    """Writes the same amounts in another form; with several forms, in one after the other."""
    turns = itertools.cycle(forms)

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        for name in ("amount", "list_amount"):
            if "cost" in row:
                row["cost"][name] = next(turns)(Decimal(row["cost"][name]))
        return row

    return edit


def _rewrite_counts(row: dict[str, Any]) -> dict[str, Any]:
    """Writes the same counts as fractions and as texts in turn."""
    forms: Iterator[Callable[[int], Any]] = itertools.cycle((float, str))
    for part in (row.get("usage", {}), row.get("usage", {}).get("cache_creation", {}), row.get("cost", {})):
        for name, value in part.items():
            if isinstance(value, int):
                part[name] = next(forms)(value)
    return row


def _use_mumbai_time(row: dict[str, Any]) -> dict[str, Any]:
    """Writes the same instants with the offset +05:30."""
    for name in ("starting_at", "ending_at"):
        moment = datetime.fromisoformat(row[name]) + timedelta(hours=5, minutes=30)
        row[name] = moment.replace(tzinfo=None).isoformat() + "+05:30"
    return row


def _without_zeros(cents: Decimal) -> str:
    return f"{cents.normalize():f}"


# Amounts without zeros at the end, of thirty digits, as numbers, and with an exponent.
_AMOUNT_FORMS = (_without_zeros, lambda cents: f"{cents:.24f}", float, lambda cents: f"{cents.scaleb(2):f}e-2")

HARMLESS: dict[str, dict[str, Any]] = {
    "S1 twenty rows a page": {"page_rows": 20},
    "S2 empty pages between full ones": {"page_rows": 20, "paging": "empty pages"},
    "S5 a refresh that expires the cursor": {"page_rows": 20, "refreshes_while_paging": 1},
    "S5 a refresh that leaves the cursor": {"page_rows": 20, "refreshes_while_paging": 2, "expire_cursors": False},
    "S12 fields nobody has documented": {"extra_fields": True, "edit_row": lambda row: {**row, "carbon_grams": 1.5}},
    "S13 amounts in four forms": {"edit_row": _rewrite_amounts(*_AMOUNT_FORMS)},
    "D5 counts that become fractions and texts": {"edit_row": _rewrite_counts},
    "instants of another time zone": {"edit_row": _use_mumbai_time},
}


@pytest.mark.parametrize("fault_options", HARMLESS.values(), ids=HARMLESS)
def test_unusual_but_valid_responses_load_completely(shared_company: Company, fault_options: dict[str, Any]) -> None:
    """Nothing is lost, counted twice or rounded."""
    remove_usage(shared_company)
    set_faults(shared_company, anthropic=fault_options)
    result = shared_company.load(LOADED_DAY, NEXT_DAY, selection=ANALYTICS)
    assert result.success, failure_text(result)
    assert_equals_ledger(shared_company, *DAYS)
    assert shared_company.simulator.fault_options.anthropic.refreshes_while_paging == 0
    clear_faults(shared_company)


def test_undocumented_fields_are_reported(loaded_company: Company) -> None:
    """S12: a new field is kept in its record, and a check reports it with the number of records."""
    set_faults(loaded_company, anthropic={"edit_row": lambda row: {**row, "carbon_grams": 1.5}})
    result = loaded_company.load(NEXT_DAY, selection=ANALYTICS)
    assert result.success
    assert "new field 'carbon_grams' in " in result.failed_checks()["raw_anthropic_cost.known_fields"]
    assert all(
        '"carbon_grams":1.5' in row["payload"] for row in stored_rows(loaded_company) if row["usage_date"] == DAYS[1]
    )


def test_a_missing_token_type_is_reported(loaded_company: Company) -> None:
    """Counts that are no longer sent do not silently become zero: a check reports that the types miss the total."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        row.get("usage", {}).pop("cache_creation", None)
        return row

    set_faults(loaded_company, anthropic={"edit_row": edit})
    result = loaded_company.load(NEXT_DAY, selection=ANALYTICS)
    assert result.success
    message = result.failed_checks()["raw_anthropic_usage.token_types_add_up"]
    tokens = sum(sum(piece.tokens) for piece in loaded_company.simulator.ledger.usage(DAYS[1]))
    assert f"{NEXT_DAY}: {tokens:,} tokens in all" in message
    clear_faults(loaded_company)
    assert loaded_company.load(NEXT_DAY, selection=ANALYTICS).failed_checks() == {}


def test_pages_longer_than_the_limit_load_completely(loaded_company: Company) -> None:
    """S3: rows that the vendor does not count towards the limit are loaded."""
    set_faults(loaded_company, anthropic={"page_rows": 5})
    assert loaded_company.load(NEXT_DAY, selection=ANALYTICS).success
    entry = read_day_log(loaded_company, "raw_anthropic_cost_components")[NEXT_DAY]
    assert entry["records"] > 5 * entry["pages"]
    assert_equals_ledger(loaded_company, DAYS[1])


def test_rows_with_equal_dimensions_all_count(loaded_company: Company) -> None:
    """S4: identities that are not shown have equal rows; all are loaded, and a reload duplicates none."""
    twins = (
        "SELECT MAX(n) AS most FROM (SELECT COUNT(*) AS n FROM ai_usage.stg_anthropic_cost WHERE usage_date = @day "
        "GROUP BY principal_type, principal_id, api_key_id, workspace_id, model, product) AS grouped"
    )
    assert loaded_company.rows(twins, day=DAYS[0]) == [{"most": 2}]
    before = stored_rows(loaded_company)
    assert loaded_company.load(LOADED_DAY, selection=ANALYTICS).success
    assert stored_rows(loaded_company) == before
    assert_equals_ledger(loaded_company, DAYS[0])


def test_rows_that_are_rounded_individually_load(loaded_company: Company) -> None:
    """Rows and total may differ by less than one rounding per row."""
    set_faults(loaded_company, anthropic={"rounds_rows": True})
    result = loaded_company.load(NEXT_DAY, selection=ANALYTICS)
    assert result.success, failure_text(result)
    detail, total = (
        loaded_company.rows(
            f"SELECT SUM(amount_usd) AS usd, COUNT(*) AS n FROM ai_usage.stg_anthropic_{name} WHERE usage_date = @day",
            day=DAYS[1],
        )[0]
        for name in ("cost", "cost_total")
    )
    # Otherwise the test would prove nothing.
    assert detail["usd"] != total["usd"]
    assert abs(detail["usd"] - total["usd"]) <= detail["n"] * Decimal("1e-8")


def test_credits_and_zero_amounts_are_exact(loaded_company: Company) -> None:
    """S13: a negative adjustment lowers the day, and a row of "0" is a row."""

    def amendment(pieces: list[Usage]) -> list[Usage]:
        adjusted = tuple((kind, token, -listed, -billed) for kind, token, listed, billed in pieces[0].components)
        back = replace(pieces[0], product="adjustments", components=adjusted, tokens=(0, 0, 0, 0, 0), web_searches=0)
        return [*pieces, back, replace(pieces[1], product="free_tier", components=())]

    loaded_company.simulator.amend(DAYS[1], amendment)
    set_faults(loaded_company, anthropic={"edit_row": _rewrite_amounts(_without_zeros)})
    result = loaded_company.load(NEXT_DAY, selection=ANALYTICS)
    assert result.success, failure_text(result)
    assert_equals_ledger(loaded_company, DAYS[1])
    rows = loaded_company.rows(
        "SELECT JSON_VALUE(payload, '$.cost.amount') AS amount FROM ai_usage.raw_anthropic_cost "
        "WHERE usage_date = @day AND JSON_VALUE(payload, '$.group.product') IN ('adjustments', 'free_tier')",
        day=DAYS[1],
    )
    assert [row["amount"] == "0" for row in rows].count(True) == 1
    assert [Decimal(row["amount"]) < 0 for row in rows].count(True) == 1


# --- faults: nothing replaces the loaded data -------------------------------------------------------------------------


def _replace_money(**changed: Any) -> Edit:
    """Replaces fields of the cost."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        if "cost" in row:
            row["cost"] |= changed
        return row

    return edit


_KEPT = "he earlier data stays"

FAULTS = {
    "S5 data that never holds still": Fault(
        "refreshed its data during each of 3 reads",
        "run the day again in an hour",
        {"page_rows": 20, "refreshes_while_paging": 1000},
    ),
    "S6 an empty export": Fault("data_refreshed_at is null", "run them again later", {"empty_export": True}),
    "S10 a key that is refused, and repeated": Fault(
        "answered 401",
        "Check ANTHROPIC_ADMIN_KEY",
        {"unauthorized": True, "error_suffix": f": {Simulator.ANTHROPIC_KEY} of ada@acme.test"},
    ),
    "S10 a key without the right": Fault(
        "answered 403", "an Enterprise key with read:analytics", {"rejected_paths": {"analytics/cost": 403}}
    ),
    "a key that is revoked half way": Fault(
        "answered 401", "Check ANTHROPIC_ADMIN_KEY", {"responses_until_revoked": 2}
    ),
    "an organization that is not enrolled": Fault(
        "answered 404", "ask Anthropic", {"rejected_paths": {"analytics/usage": 404}}
    ),
    "S19 a cursor that leads back": Fault(
        "leads back to one that was already read", "report it to the vendor", {"page_rows": 20, "paging": "same cursor"}
    ),
    "more to come without a cursor": Fault(
        "has_more is true but next_page is missing", "run again later", {"page_rows": 20, "paging": "no cursor"}
    ),
    "D12 pages that overlap": Fault("Anthropic's total of the day is $", _KEPT, {"page_rows": 20, "drift": -3}),
    "pages with a gap": Fault("Anthropic's total of the day is $", _KEPT, {"page_rows": 20, "drift": 3}),
    "S13 an amount that is no number": Fault(
        "an amount is not a number", _KEPT, {"edit_row": _replace_money(amount="12,50")}
    ),
    "an amount that is null": Fault("an amount is not a number", _KEPT, {"edit_row": _replace_money(amount=None)}),
    "another currency": Fault("not in USD", _KEPT, {"edit_row": _replace_money(currency="EUR")}),
    "instants as numbers": Fault(
        "Expected `datetime`, got `int`", _KEPT, {"edit_row": lambda row: {**row, "starting_at": 1762732800000}}
    ),
    "a field that is gone": Fault(
        "missing required field `group`",
        _KEPT,
        {"edit_row": lambda row: {name: value for name, value in row.items() if name != "group"}},
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_keeps_the_earlier_data(shared_company: Company, fault: Fault) -> None:
    """No row changes, and the message has the problem and the advice."""
    assert_kept(shared_company, fault)


def test_the_next_run_after_a_fault_loads_both_days(shared_company: Company) -> None:
    """What a fault leaves behind, the failed days in the day log, does not keep the next load from completing them."""
    assert_kept_then_recovered(shared_company, FAULTS["S6 an empty export"])


def test_an_invalid_record_rejects_only_its_day(loaded_company: Company) -> None:
    """The other day loads."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        return _replace_money(amount="?")(row) if row["starting_at"].startswith(LOADED_DAY) else row

    remove_usage(loaded_company)
    before = [row for row in stored_rows(loaded_company) if row["usage_date"] == DAYS[0]]
    set_faults(loaded_company, anthropic={"edit_row": edit})
    assert set(loaded_company.load(LOADED_DAY, NEXT_DAY, selection=ANALYTICS).failures()) == {ANALYTICS}
    entries = read_day_log(loaded_company)
    assert (entries[LOADED_DAY]["status"], entries[NEXT_DAY]["status"]) == ("failed", "complete")
    assert "an amount is not a number. Report it; the earlier data stays" in entries[LOADED_DAY]["message"]
    assert [row for row in stored_rows(loaded_company) if row["usage_date"] == DAYS[0]] == before
    assert_equals_ledger(loaded_company, DAYS[1])
    clear_faults(loaded_company)
    assert loaded_company.load(LOADED_DAY, NEXT_DAY, selection=ANALYTICS).success
    assert_equals_ledger(loaded_company, *DAYS)


@pytest.mark.parametrize("drift", [-3, 3])
def test_inconsistent_usage_does_not_reject_the_bill(loaded_company: Company, drift: int) -> None:
    """Usage pages that overlap or leave a gap reject the tokens of the day; its bill loads."""
    set_faults(loaded_company, anthropic={"page_rows": 20, "drift": drift, "drifting_reports": ("usage",)})
    loaded_company.load(NEXT_DAY, selection=ANALYTICS)
    assert read_day_log(loaded_company)[NEXT_DAY]["status"] == "complete"
    entry = read_day_log(loaded_company, "raw_anthropic_usage")[NEXT_DAY]
    assert entry["status"] == "failed"
    assert "tokens, Anthropic's total of the day is" in entry["message"]
    assert not [
        row for row in stored_rows(loaded_company) if row["usage_date"] == DAYS[1] and row["name"].startswith("usage")
    ]
    clear_faults(loaded_company)
    assert loaded_company.load(NEXT_DAY, selection=ANALYTICS).success
    assert_equals_ledger(loaded_company, DAYS[1])


def test_an_older_export_replaces_nothing(loaded_company: Company) -> None:
    """If the export suddenly ends before the end of the day, the complete day of an earlier run stays."""
    before = stored_rows(loaded_company)
    set_faults(loaded_company, anthropic={"lag": timedelta(days=10)})
    assert not loaded_company.load(LOADED_DAY, selection=ANALYTICS).success
    assert stored_rows(loaded_company) == before
    assert "ends earlier than in an earlier extract" in read_day_log(loaded_company)[LOADED_DAY]["message"]
    clear_faults(loaded_company)
    assert loaded_company.load(LOADED_DAY, selection=ANALYTICS).success
    assert_equals_ledger(loaded_company, DAYS[0])


def test_a_bill_in_another_unit_blocks_publishing(loaded_company: Company) -> None:
    """A run with a consistent bill that is a hundred times too high fails a blocking check and publishes nothing."""
    bill = (ANALYTICS, "anthropic_cost_report", "int_anthropic_cost_daily")
    published = loaded_company.content("int_anthropic_cost_daily")
    set_faults(loaded_company, anthropic={"edit_row": _rewrite_amounts(lambda cents: str(cents * 100))})
    result = loaded_company.run(NEXT_DAY, selection=bill)
    assert not result.success
    usd = loaded_company.simulator.ledger.anthropic_cost_usd(DAYS[1], DAYS[1])[DAYS[1]]
    message = result.failed_checks()["raw_anthropic_cost.currency_unit"]
    assert f"{NEXT_DAY}: ${usd * 100:,.2f}, but" in message
    assert f"the classic cost report is ${usd:,.2f}" in message
    assert loaded_company.content("int_anthropic_cost_daily") == published
    clear_faults(loaded_company)
    assert loaded_company.run(NEXT_DAY, selection=bill).success
    assert_equals_ledger(loaded_company, DAYS[1])
    assert loaded_company.content("int_anthropic_cost_daily") != published


# --- endpoints that fail alone ----------------------------------------------------------------------------------------

# Path: the status it returns, the table it fills, the status of the day, and the message.
ENDPOINTS = {
    "cost_report": (403, "cost_report", "not_exposed", "does not have permission"),
    "usage_report/claude_code": (404, "claude_code", "not_exposed", "Not found"),
    "api_keys": (401, "api_keys", "failed", "Check ANTHROPIC_ADMIN_KEY"),
    # S11: an endpoint that was down for a day is not used here, but any endpoint can be down.
    "workspaces": (503, "workspaces", "failed", "not ready yet; try again later after 6 attempts"),
}


def test_an_endpoint_without_access_affects_only_its_table(loaded_company: Company) -> None:
    """The message is stored for its own table, the bill loads, and the next run loads everything."""
    set_faults(loaded_company, anthropic={"rejected_paths": {path: status for path, (status, *_) in ENDPOINTS.items()}})
    result = loaded_company.load(NEXT_DAY, selection="anthropic")
    assert set(result.failures()) == {"anthropic_api_keys", "anthropic_workspaces"}
    assert_equals_ledger(loaded_company, DAYS[1])

    def entries() -> dict[str, dict[str, Any]]:
        rows = loaded_company.rows(
            "SELECT * FROM ai_usage.ops_asset_days WHERE vendor = 'anthropic' AND usage_date IN (@day, @today)",
            day=DAYS[1],
            today=loaded_company.simulator.now.date(),
        )
        return {row["asset"].removeprefix("raw_anthropic_"): row for row in rows}

    ended = {name: entry["status"] for name, entry in entries().items() if entry["status"] != "complete"}
    assert ended.pop("workspace_members") == "failed"
    assert ended == {name: status for _, name, status, _ in ENDPOINTS.values()}
    for _, name, _, words in ENDPOINTS.values():
        assert words in entries()[name]["message"]
    clear_faults(loaded_company)
    assert loaded_company.load(NEXT_DAY, selection="anthropic").success
    assert {entry["status"] for entry in entries().values()} == {"complete"}


# --- restatements -----------------------------------------------------------------------------------------------------


def _reassign_actor(pieces: list[Usage]) -> list[Usage]:
    """Attributes the usage of one actor to another; the total stays the same."""
    first, other = [piece for piece in pieces if piece.actor and piece.actor.kind == "user" and not piece.api_key_id][
        :2
    ]
    return [replace(p, actor=other.actor) if p.actor == first.actor and not p.api_key_id else p for p in pieces]


def _of_another_workspace(pieces: list[Usage]) -> list[Usage]:
    one, other = sorted({piece.workspace_id for piece in pieces})[:2]
    return [replace(piece, workspace_id=other) if piece.workspace_id == one else piece for piece in pieces]


def _late(pieces: list[Usage]) -> list[Usage]:
    return [*pieces, *(replace(piece, at=piece.at.replace(hour=23)) for piece in pieces[:5])]


CORRECTIONS = {
    "S7 rows vanish": lambda pieces: pieces[4:],
    "S7 every other row vanishes": lambda pieces: pieces[::2],
    "a row moves to another actor": _reassign_actor,
    "rows move to another workspace": _of_another_workspace,
    "events arrive late": _late,
}


@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
def test_a_corrected_day_is_replaced_completely(
    loaded_company: Company, correction: Callable[[list[Usage]], list[Usage]]
) -> None:
    """Removed rows disappear, moved usage counts once, and both totals are recorded."""
    old = read_day_log(loaded_company)[LOADED_DAY]
    loaded_company.simulator.amend(DAYS[0], correction)
    result = loaded_company.load(LOADED_DAY, selection=ANALYTICS)
    assert result.success, failure_text(result)
    assert_equals_ledger(loaded_company, DAYS[0])
    places: dict[tuple[str | None, str | None, str | None], Decimal] = defaultdict(Decimal)
    for piece in loaded_company.simulator.ledger.usage(DAYS[0]):
        actor = piece.actor.id if piece.actor and piece.actor.kind != "unknown" else None
        places[piece.workspace_id, piece.api_key_id, actor] += Decimal(piece.billed_microcents).scaleb(-8)
    rows = loaded_company.rows(
        "SELECT workspace_id, api_key_id, principal_id, SUM(amount_usd) AS usd FROM ai_usage.stg_anthropic_cost "
        "WHERE usage_date = @day GROUP BY workspace_id, api_key_id, principal_id",
        day=DAYS[0],
    )
    assert {(row["workspace_id"], row["api_key_id"], row["principal_id"]): row["usd"] for row in rows} == places
    new = read_day_log(loaded_company)[LOADED_DAY]
    (noted,) = loaded_company.rows("SELECT * FROM ai_usage.ops_restatements WHERE asset = 'raw_anthropic_cost'")
    assert (noted["old_amount_usd"], noted["old_records"]) == (old["amount_usd"], old["records"])
    assert (noted["new_amount_usd"], noted["new_records"]) == (new["amount_usd"], new["records"])


def test_old_days_are_restated_in_both_directions(company: Company) -> None:
    """D2: a lower day of last week and a higher day of last month get their new totals, once."""
    fallen, risen = NOW.date() - timedelta(days=3), NOW.date() - timedelta(days=29)
    for _ in range(2):
        for day in (fallen, risen):
            assert company.load(day.isoformat(), selection=ANALYTICS).success
            assert_equals_ledger(company, day)
        company.simulator.revise(fallen, Decimal("0.5"))
        company.simulator.revise(risen, Decimal("1.5"))
    noted = company.rows("SELECT DISTINCT usage_date FROM ai_usage.ops_restatements WHERE asset = 'raw_anthropic_cost'")
    assert {row["usage_date"] for row in noted} == {fallen, risen}


# --- clock and calendar -----------------------------------------------------------------------------------------------


def test_a_run_right_after_midnight_marks_the_day_incomplete(tmp_path: Path) -> None:
    """A run before the data is complete loads what exists and marks the day; a later run completes it."""
    with serve_company(
        copy_empty_warehouse(tmp_path / "w.duckdb"), now=datetime(2026, 11, 12, 0, 0, 30, tzinfo=UTC)
    ) as company:
        set_faults(company, anthropic={"lag": timedelta(hours=5)})
        company.load(NEXT_DAY, selection="anthropic")
        entry = read_day_log(company)[NEXT_DAY]
        assert (entry["status"], entry["completed_at"]) == ("incomplete", None)
        assert "ends at 2026-11-11T16:00:00Z" in entry["message"]
        assert "Run the day again later" in entry["message"]
        # S15: no unfinished day is requested, which the classic report would reject.
        requests = [request for _, request in company.simulator.requests if request.one("ending_at")]
        assert {request.one("ending_at") for request in requests} == {"2026-11-12T00:00:00Z"}
        # S17, S18: complete UTC days and the documented pagination only.
        assert {request.one("starting_at") for request in requests} == {"2026-11-11T00:00:00Z"}
        assert not any(request.one("offset") for _, request in company.simulator.requests)
        company.simulator.now = datetime(2026, 11, 12, 6, tzinfo=UTC)
        clear_faults(company)
        assert company.load(NEXT_DAY, selection="anthropic").success
        assert_equals_ledger(company, DAYS[1])


@pytest.fixture
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_new_york")
def test_a_day_with_25_local_hours_is_24_utc_hours(company: Company) -> None:
    """On the day on which local clocks change, the requested and loaded day is the UTC day."""
    day = date(2026, 11, 1)
    assert company.load(day.isoformat(), selection=ANALYTICS).success
    requests = {(request.one("starting_at"), request.one("ending_at")) for _, request in company.simulator.requests}
    assert requests == {("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")}
    assert_equals_ledger(company, day)


@pytest.mark.parametrize(
    ("now", "beyond", "first"),
    [
        (datetime(2026, 12, 31, 14, tzinfo=UTC), date(2025, 12, 31), date(2026, 1, 1)),
        (datetime(2027, 2, 10, 14, tzinfo=UTC), date(2026, 2, 10), date(2026, 2, 11)),
    ],
    ids=["the first day there is", "365 days back"],
)
def test_days_outside_the_retention_are_not_requested(tmp_path: Path, now: datetime, beyond: date, first: date) -> None:
    """S20: a day outside the retention is not exposed and not requested; the first day within it loads."""
    with serve_company(copy_empty_warehouse(tmp_path / "w.duckdb"), now=now) as company:
        result = company.load(beyond.isoformat(), first.isoformat(), selection=ANALYTICS, start_date=date(2025, 12, 1))
        assert result.success, failure_text(result)
        states = {day: entry["status"] for day, entry in read_day_log(company).items()}
        assert states == {beyond.isoformat(): "not_exposed", first.isoformat(): "complete"}
        assert {request.one("starting_at") for _, request in company.simulator.requests} == {f"{first}T00:00:00Z"}
        assert_equals_ledger(company, first)


# --- finance views ----------------------------------------------------------------------------------------------------

FINANCE = ("anthropic", *STORED_MODELS, "fct_cost_daily", "fct_tokens_daily")
ATTRIBUTED = (
    "SELECT api_key_id, workspace_id, person_email, team, cost_center, attribution_method, SUM(amount_usd) AS usd "
    "FROM ai_usage.fct_cost_daily WHERE vendor = 'anthropic' AND usage_date = @day "
    "GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"
)


def test_removed_keys_and_users_keep_their_past_spend(loaded_company: Company) -> None:
    """S14: an archived key, two deleted keys, a removed user and a deleted account keep the spend of their days."""
    simulator, organization = loaded_company.simulator, loaded_company.simulator.organization
    before = loaded_company.rows(ATTRIBUTED, day=DAYS[0])
    organization.replace_key("shared-sandbox", status="archived")
    for name in ("growth-experiment", "support-bot-prod"):
        organization.replace_key(name, deleted=True)
    spenders = {piece.actor.id for piece in simulator.ledger.usage(DAYS[0]) if piece.actor}
    removed, deleted = [person.email for person in organization.people if person.user_id in spenders][:2]
    simulator.now += timedelta(days=1)
    simulator.remove_person(removed, NOW.date())
    simulator.remove_person(deleted, NOW.date(), account_deleted=True)
    result = loaded_company.load(LOADED_DAY, selection=FINANCE)
    assert result.success, failure_text(result)
    shown = "\n".join(row["payload"] for row in stored_rows(loaded_company) if row["name"] == "cost")
    assert '"email_address":null,"name":"Deleted User","deleted":true' in shown
    assert loaded_company.rows(ATTRIBUTED, day=DAYS[0]) == before
    # S16: the default workspace is NULL in the classic report and has an id elsewhere.
    assert "raw_anthropic_cost_report.matches_classic_report" not in result.failed_checks()
    assert_equals_ledger(loaded_company, DAYS[0])


def _unfamiliar_usage(pieces: list[Usage]) -> list[Usage]:
    """Usage with values that the project does not know yet."""
    user = next(piece for piece in pieces if piece.actor and piece.actor.kind == "user")
    key = next(piece for piece in pieces if piece.api_key_id and piece.service_tier == "standard")
    account = next(piece.actor for piece in pieces if piece.actor and piece.actor.kind == "service_account")
    return [
        *_reassign_actor(pieces),
        # S12: unknown names.
        replace(user, product="claude_for_toasters"),
        replace(user, model="claude-sonata-7"),
        replace(user, components=(("data_transfer", None, 7_000_000, 6_300_000),), tokens=(0, 0, 0, 0, 0)),
        # D13: blocked requests have tokens and no cost.
        replace(user, components=(), tokens=(90_000, 0, 0, 0, 40)),
        # The Priority Tier, which the classic report omits.
        *(replace(key, service_tier="priority") for _ in range(9)),
        # A federated workload, and a service account without a key.
        replace(key, actor=Actor("federated", "repo:acme/site"), api_key_id=None),
        replace(key, actor=account, api_key_id=None),
    ]


def holding_account(pieces: list[Usage]) -> str:
    """A service account that the sheet maps."""
    return next(piece.actor.id for piece in pieces if piece.actor and piece.actor.kind == "service_account")


def test_unfamiliar_usage_reaches_finance_completely(loaded_company: Company) -> None:
    """S7, S12, D6, D11, D13, D14: new, moved, blocked and unpriced usage counts once, is attributed and reported."""
    one_row = "SELECT * FROM ai_usage.fct_cost_daily LIMIT 1"
    columns = list(loaded_company.rows(one_row)[0])
    loaded_company.simulator.amend(DAYS[0], _unfamiliar_usage)

    def shouted(row: dict[str, Any]) -> dict[str, Any]:
        actor = row["group"]["actor"]
        if actor and actor.get("email_address"):
            actor["email_address"] = actor["email_address"].upper()
        return row

    set_faults(loaded_company, anthropic={"edit_row": shouted})
    result = loaded_company.load(LOADED_DAY, selection=FINANCE)
    assert result.success, failure_text(result)
    assert_equals_ledger(loaded_company, *DAYS[:1])
    messages = result.failed_checks()
    assert "product 'claude_for_toasters': $" in messages["int_anthropic_cost_daily.known_products"]
    assert "model 'claude-sonata-7': $" in messages["int_anthropic_cost_daily.models_have_list_prices"]
    assert "component 'data_transfer': $0.06" in messages["raw_anthropic_cost_components.known_cost_components"]
    assert "lacks Priority Tier" in messages["raw_anthropic_cost_report.matches_classic_report"]
    ledger = loaded_company.simulator.ledger
    rows = loaded_company.rows(
        "SELECT cost_center, SUM(amount_usd) AS usd FROM ai_usage.fct_cost_daily "
        "WHERE cost_basis = 'billed' AND usage_date = @day GROUP BY cost_center",
        day=DAYS[0],
    )
    expected = ledger.spend_by_cost_center(DAYS[0], DAYS[0], removed_emails=loaded_company.simulator.removed_emails)
    assert {row["cost_center"]: row["usd"] for row in rows} == expected
    (tokens,) = loaded_company.rows(
        "SELECT SUM(uncached_input_tokens) AS a, SUM(cache_write_5m_tokens) AS b, SUM(cache_write_1h_tokens) AS c, "
        "SUM(cache_read_tokens) AS d, SUM(output_tokens) AS e FROM ai_usage.fct_tokens_daily "
        "WHERE vendor = 'anthropic' AND usage_date = @day",
        day=DAYS[0],
    )
    kinds = zip(*(piece.tokens for piece in ledger.usage(DAYS[0])), strict=True)
    assert list(tokens.values()) == [sum(kind) for kind in kinds]
    assert list(loaded_company.rows(one_row)[0]) == columns
