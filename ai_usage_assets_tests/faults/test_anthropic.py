"""Anthropic's bad days, through the real job: what lands, what stays, what is told, and that the next run heals.

Belongs here: what this vendor can send or do (S1 to S21 of its contract). Does not: broken lines and servers
(`test_transport`), or one client's answer to one page (`vendors/test_anthropic`).

HELD is loaded before every test and restated by the vendor since, so that a fault that let a single row through would
be seen; NEXT is not loaded yet. A fault ends with both days equal to the ledger, to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.anthropic import AnthropicSwitches
from ai_usage_assets_tests.conftest import HELD, Company, Result

NEXT = "2026-11-11"
DAYS = (date(2026, 11, 10), date(2026, 11, 11))
ANALYTICS = "anthropic_analytics"
BILL = ("cost", "cost_total", "cost_components", "cost_by_actor_type")


@pytest.fixture(autouse=True)
def _nothing_secret_is_said(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever goes wrong, neither the key nor an e-mail address is in a log line."""
    yield
    said = "\n".join(record.getMessage() for when in ("setup", "call") for record in caplog.get_records(when))
    assert Simulator.ANTHROPIC_KEY not in said
    assert "@acme.test" not in said


def held(company: Company) -> list[dict[str, Any]]:
    """Every row that analytics has landed, byte for byte."""
    return company.rows(
        " UNION ALL ".join(
            f"SELECT '{name}' AS name, * FROM ai_usage.raw_anthropic_{name}" for name in (*BILL, "usage")
        )
        + " ORDER BY name, usage_date, record_no"
    )


def days_of(company: Company, asset: str = "raw_anthropic_cost") -> dict[str, dict[str, Any]]:
    """The log entry of each day of a table."""
    rows = company.rows("SELECT * FROM ai_usage.ops_asset_days WHERE asset = @asset", asset=asset)
    return {str(row["usage_date"]): row for row in rows}


def assert_whole(company: Company, *days: date) -> None:
    """The days are what the ledger says: dollars and list dollars by every query of the bill, tokens and requests."""
    truth = {}
    for day in days:
        pieces = company.simulator.ledger.usage(day)
        usd = Decimal(sum(piece.billed_microcents for piece in pieces)).scaleb(-8)
        listed = Decimal(sum(piece.list_microcents for piece in pieces)).scaleb(-8)
        truth |= {(name, day): (usd, listed) for name in BILL}
        tokens, requests = sum(sum(piece.tokens) for piece in pieces), sum(piece.requests for piece in pieces)
        truth["usage", day] = (Decimal(tokens), Decimal(requests))
    measures = dict.fromkeys(BILL, ("amount_usd", "list_amount_usd")) | {"usage": ("total_tokens", "requests")}
    found = company.rows(
        " UNION ALL ".join(
            f"SELECT '{name}' AS name, usage_date, "
            f"CAST(SUM({one}) AS NUMERIC) AS one, CAST(SUM({two}) AS NUMERIC) AS two "
            f"FROM ai_usage.stg_anthropic_{name} WHERE usage_date BETWEEN @first AND @last GROUP BY usage_date"
            for name, (one, two) in measures.items()
        ),
        first=min(days),
        last=max(days),
    )
    assert {(row["name"], row["usage_date"]): (row["one"], row["two"]) for row in found} == truth
    entries = company.rows(
        "SELECT asset, status FROM ai_usage.ops_asset_days WHERE usage_date BETWEEN @first AND @last",
        first=min(days),
        last=max(days),
    )
    landed = {row["status"] for row in entries if row["asset"].removeprefix("raw_anthropic_") in measures}
    assert landed == {"complete"}


def restate(simulator: Simulator, day: date = DAYS[0]) -> None:
    """The vendor takes two pieces of a day back."""
    simulator.amend(day, lambda pieces: pieces[:-2])


def mend(company: Company) -> None:
    """The vendor is as usual again."""
    for name, value in vars(AnthropicSwitches()).items():
        setattr(company.simulator.switches.anthropic, name, value)


def said(result: Result) -> str:
    """All that a run told of what went wrong."""
    return "\n".join([*result.failures().values(), *result.failed_checks().values()])


# --- what the vendor may do, and a run takes in its stride --------------------------------------------------------


def _amounts(form: Callable[[Decimal], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The same amounts, written otherwise."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        for name in ("amount", "list_amount"):
            if "cost" in row:
                row["cost"][name] = form(Decimal(row["cost"][name]))
        return row

    return edit


def _counts(form: Callable[[int], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The same counts, written otherwise."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        for part in (row.get("usage", {}), row.get("usage", {}).get("cache_creation", {}), row.get("cost", {})):
            for name, value in part.items():
                if isinstance(value, int):
                    part[name] = form(value)
        return row

    return edit


def _offsets(row: dict[str, Any]) -> dict[str, Any]:
    """The same instants, as a clock in Mumbai shows them."""
    for name in ("starting_at", "ending_at"):
        hours = timedelta(hours=5, minutes=30)
        moment = datetime.fromisoformat(row[name]) + hours
        row[name] = moment.replace(tzinfo=None).isoformat() + "+05:30"
    return row


HARMLESS: dict[str, dict[str, Any]] = {
    "S1 twenty rows a page": {"page_rows": 20},
    "S2 empty pages between full ones": {"page_rows": 20, "paging": "empty pages"},
    "S5 a refresh that expires the cursor": {"page_rows": 20, "refreshes_while_paging": 1},
    "S5 a refresh that leaves the cursor": {"page_rows": 20, "refreshes_while_paging": 2, "expire_cursors": False},
    "S12 fields nobody has documented": {"extra_fields": True, "edit_row": lambda row: {**row, "carbon_grams": 1.5}},
    "S13 amounts without zeros at the end": {"edit_row": _amounts(lambda cents: f"{cents.normalize():f}")},
    "S13 amounts of thirty digits": {"edit_row": _amounts(lambda cents: f"{cents:.24f}")},
    "S13 amounts as numbers": {"edit_row": _amounts(float)},
    "S13 amounts with an exponent": {"edit_row": _amounts(lambda cents: f"{cents.scaleb(2):f}e-2")},
    "counts that become fractions": {"edit_row": _counts(float)},
    "counts that become texts": {"edit_row": _counts(str)},
    "S17 instants of another time zone": {"edit_row": _offsets},
}


@pytest.mark.parametrize("switches", HARMLESS.values(), ids=HARMLESS)
def test_what_a_run_takes_in_its_stride(holding: Company, switches: dict[str, Any]) -> None:
    """Odd but honest answers land whole, with nothing lost, doubled or rounded."""
    restate(holding.simulator)
    for name, value in switches.items():
        setattr(holding.simulator.switches.anthropic, name, value)
    result = holding.run(HELD, NEXT, lane=ANALYTICS)
    assert result.success, said(result)
    assert_whole(holding, *DAYS)
    assert holding.simulator.switches.anthropic.refreshes_while_paging == 0


def test_pages_are_longer_than_asked_for(holding: Company) -> None:
    """S3: rows that the vendor does not count towards the limit are all landed."""
    holding.simulator.switches.anthropic.page_rows = 5
    assert holding.run(NEXT, lane=ANALYTICS).success
    entry = days_of(holding, "raw_anthropic_cost_components")[NEXT]
    assert entry["records"] > 5 * entry["pages"]
    assert_whole(holding, DAYS[1])


def test_rows_that_look_alike_are_all_counted(holding: Company) -> None:
    """S4: identities that cannot be shown have equal rows; both are held, and a page read again doubles neither."""
    twins = (
        "SELECT MAX(n) AS most FROM (SELECT COUNT(*) AS n FROM ai_usage.stg_anthropic_cost WHERE usage_date = @day "
        "GROUP BY principal_type, principal_id, api_key_id, workspace_id, model, product) AS found"
    )
    assert holding.rows(twins, day=DAYS[0]) == [{"most": 2}]
    before = held(holding)
    assert holding.run(HELD, lane=ANALYTICS).success
    assert held(holding) == before


def test_rows_rounded_each_by_itself(holding: Company) -> None:
    """Where each row is rounded, details and total part by less than a row's rounding each: they land as they are."""
    holding.simulator.switches.anthropic.rounds_rows = True
    result = holding.run(NEXT, lane=ANALYTICS)
    assert result.success, said(result)
    (detail, total) = (
        holding.rows(
            f"SELECT SUM(amount_usd) AS usd, COUNT(*) AS n FROM ai_usage.stg_anthropic_{name} WHERE usage_date = @day",
            day=DAYS[1],
        )[0]
        for name in ("cost", "cost_total")
    )
    # Else this would prove nothing.
    assert detail["usd"] != total["usd"]
    assert abs(detail["usd"] - total["usd"]) <= detail["n"] * Decimal("1e-8")


# --- what the vendor may not do: nothing of it replaces what is held ----------------------------------------------


def _only(day: str, edit: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Spoils the rows of one day."""

    def edited(row: dict[str, Any]) -> dict[str, Any]:
        if row["starting_at"].startswith(day):
            edit(row)
        return row

    return edited


def _money(**changed: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Rows of the bill say something else of money."""

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        if "cost" in row:
            row["cost"] |= changed
        return row

    return edit


@dataclass(frozen=True)
class Fault:
    """How the vendor goes wrong, and what a person must be told: what it is, and what to do."""

    switches: dict[str, Any]
    what: str
    advice: str


FAULTS = {
    "S5 data that never holds still": Fault(
        {"page_rows": 20, "refreshes_while_paging": 1000},
        "refreshed its data during each of 3 attempts",
        "run the day again in an hour",
    ),
    "S6 an empty export": Fault({"empty_export": True}, "data_refreshed_at is null", "run them again later"),
    "S10 a key that is refused": Fault({"unauthorized": True}, "answered 401", "Check ANTHROPIC_ADMIN_KEY"),
    "S10 a key without the right": Fault(
        {"refused": {"analytics/cost": 403}}, "answered 403", "an Enterprise key with read:analytics"
    ),
    "a key that is revoked half way": Fault({"answers_left": 2}, "answered 401", "Check ANTHROPIC_ADMIN_KEY"),
    "an organisation that is not enrolled": Fault(
        {"refused": {"analytics/usage": 404}}, "answered 404", "ask Anthropic"
    ),
    "S19 a cursor that leads back": Fault(
        {"page_rows": 20, "paging": "same cursor"}, "leads back to one that was already read", "report it to the vendor"
    ),
    "more to come without a cursor": Fault(
        {"page_rows": 20, "paging": "no cursor"}, "has_more is true but next_page is missing", "run again later"
    ),
    "pages that overlap": Fault(
        {"page_rows": 20, "drift": -3}, "Anthropic's own total of the day is $", "What was held is kept"
    ),
    "pages with a gap": Fault(
        {"page_rows": 20, "drift": 3}, "Anthropic's own total of the day is $", "What was held is kept"
    ),
    "S13 an amount that is no number": Fault(
        {"edit_row": _money(amount="12,50")}, "an amount is not a number", "what was held is kept"
    ),
    "an amount that is null": Fault(
        {"edit_row": _money(amount=None)}, "an amount is not a number", "what was held is kept"
    ),
    "another currency": Fault({"edit_row": _money(currency="EUR")}, "not in USD", "what was held is kept"),
    "instants as numbers": Fault(
        {"edit_row": lambda row: {**row, "starting_at": 1762732800000}},
        "Expected `datetime`, got `int`",
        "What was held is kept",
    ),
    "a field that is gone": Fault(
        {"edit_row": lambda row: {name: value for name, value in row.items() if name != "group"}},
        "missing required field `group`",
        "what was held is kept",
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_keeps_what_is_held_and_the_next_run_heals(holding: Company, fault: Fault) -> None:
    """Neither day is touched, it is said what is wrong and what to do, and the next run brings both whole."""
    restate(holding.simulator)
    before = held(holding)
    for name, value in fault.switches.items():
        setattr(holding.simulator.switches.anthropic, name, value)
    result = holding.run(HELD, NEXT, lane=ANALYTICS)
    assert not result.success
    assert fault.what in said(result)
    assert fault.advice in said(result)
    assert Simulator.ANTHROPIC_KEY not in repr(result.events)
    assert held(holding) == before
    entries = days_of(holding)
    assert {day: entry["status"] for day, entry in entries.items()} == {HELD: "failed", NEXT: "failed"}
    # The day is still known to be held, and the other to be held never.
    assert [bool(entries[day]["completed_at"]) for day in (HELD, NEXT)] == [True, False]
    mend(holding)
    result = holding.run(HELD, NEXT, lane=ANALYTICS)
    assert result.success, said(result)
    assert_whole(holding, *DAYS)
