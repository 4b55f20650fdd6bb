"""The mapping sheet: which rows are used, which are rejected and why, and when a whole tab is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth import jwt
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError, TransientApiError
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.mapping_sheet.sheet import (
    TABS,
    MappingSheet,
    TabMissing,
    TabSnapshot,
    _ambient_credentials,
    check_tab,
)
from ai_usage_assets_tests.fakes.http_server import Reply, serving

TODAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
KEY = "apikey_01Rj2N8SVvo6BePZj99NhmiT"
SECRET = "sk-ant-api03-" + "a1B2" * 12

Row = dict[str, Any]


def mapping(**changed: Any) -> Row:
    """A good row of key_mapping."""
    return {
        "vendor": "anthropic", "principal_type": "api_key", "principal_id": KEY, "person_email": "", "team": "Platform",
        "cost_center": "CC-1", "share_pct": "", "effective_from": "", "effective_to": "", "note": "", **changed,
    }  # fmt: skip


def person(**changed: Any) -> Row:
    """A good row of people."""
    return {
        "person_email": "jane@example.com", "name": "Jane", "team": "Platform", "cost_center": "CC-1",
        "effective_from": "", "effective_to": "", **changed,
    }  # fmt: skip


def budget(**changed: Any) -> Row:
    """A good row of budgets."""
    return {"month": "2026-11", "cost_center": "CC-1", "budget_usd": 1200, **changed}


def price(**changed: Any) -> Row:
    """A good row of seat_prices."""
    return {
        "vendor": "cursor",
        "plan": "Teams",
        "monthly_price_usd": 40,
        "effective_from": "",
        "effective_to": "",
        **changed,
    }


def check(tab: str, *rows: Row, header: list[Any] | None = None, held: int | None = None, **more: Any) -> TabSnapshot:
    """What is made of a tab with these rows."""
    names = list(TABS[tab].names)
    cells = [[row.get(name, "") for name in names] for row in rows]
    return check_tab(tab, [header or names, *cells], last_good_row_count=held, today=TODAY, **more)


def reason(tab: str, *rows: Row) -> str:
    """Why the first row is rejected; empty when it is not."""
    return check(tab, *rows).rows[0].reject_reason or ""


def cells(snapshot: TabSnapshot, number: int = 0) -> dict[str, str | None]:
    """The normalised cells of a row."""
    found: dict[str, str | None] = msgspec.json.decode(snapshot.rows[number].payload)
    return found


# --- single rows -----------------------------------------------------------------------------------------------------


def test_a_good_row_is_normalised() -> None:
    """Case, space, dates, shares and amounts come out in one form each."""
    row = mapping(
        vendor=" Anthropic", principal_type="USER", principal_id="Jane@Example.com ", person_email=" JANE@example.com",
        share_pct="60.50%", effective_from=46023, effective_to="2026-12-31",
    )  # fmt: skip
    rest = mapping(principal_type="user", principal_id="jane@example.com", share_pct=39.5, effective_from="2026-01-01",
                   effective_to="2026-12-31", team="Mobile")  # fmt: skip
    snapshot = check("key_mapping", row, rest)
    assert snapshot.rejected == ()
    assert cells(snapshot) == {
        "vendor": "anthropic", "principal_type": "user", "principal_id": "jane@example.com",
        "person_email": "jane@example.com", "team": "Platform", "cost_center": "CC-1", "share_pct": "60.5",
        "effective_from": "2026-01-01", "effective_to": "2026-12-31", "note": None,
    }  # fmt: skip


def test_a_blank_share_is_all_of_it() -> None:
    """Nothing written means one hundred percent."""
    assert cells(check("key_mapping", mapping()))["share_pct"] == "100"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"principal_id": ""}, "principal_id must be filled in"),
        ({"principal_id": 12345}, "plain text"),
        ({"principal_id": "api key"}, "invisible character"),
        ({"principal_id": KEY + "\u200b"}, "invisible character"),
        ({"vendor": "openai"}, "vendor must be anthropic or cursor"),
        ({"principal_type": "key"}, "principal_type must be"),
        ({"principal_type": "automation"}, "does not exist at anthropic"),
        ({"vendor": "cursor"}, "does not exist at cursor"),
        ({"principal_type": "user"}, "is the e-mail address"),
        ({"person_email": "jane.example.com"}, "not an e-mail"),
        ({"person_email": "jane@@example.com"}, "not an e-mail"),
        ({"person_email": "jane@example"}, "not an e-mail"),
        ({"person_email": "jane@acme..test"}, "not an e-mail"),
        ({"person_email": "jane doe@example.com"}, "not an e-mail"),
        ({"person_email": "ja\u200bne@example.com"}, "invisible character"),
        ({"effective_from": "1/2/2026"}, "2026-01-31"),
        ({"effective_from": "2026-02-30"}, "calendar"),
        ({"effective_from": 46023.5}, "whole day"),
        ({"effective_from": float("nan")}, "whole day"),
        ({"effective_from": float("inf")}, "whole day"),
        ({"effective_to": 2_958_466}, "whole day"),
        ({"effective_to": 10**400}, "whole day"),
        ({"effective_to": "\u0662\u0660\u0662\u0666-01-01"}, "2026-01-31"),
        ({"effective_from": "2022-12-31"}, "before 2023-01-01"),
        ({"effective_from": True}, "check box"),
        ({"effective_from": "2026-02-01", "effective_to": "2026-02-01"}, "effective_to must be after"),
        ({"effective_from": "2026-02-01", "effective_to": "2026-01-01"}, "effective_to must be after"),
        ({"share_pct": 0}, "above 0"),
        ({"share_pct": 101}, "at most 100"),
        ({"share_pct": "half"}, "write 60 for 60 %"),
        ({"share_pct": 33.3333333}, "more than 6 decimals"),
        ({"cost_center": 42}, "plain text"),
        ({"team": 7}, "plain text"),
        ({"team": "#REF!"}, "formula"),
        ({"note": "#N/A"}, "formula"),
        ({"note": "#VALUE!"}, "formula"),
        ({"note": "#ERROR!"}, "formula"),
        ({"vendor": ""}, "vendor must be filled in"),
        ({"principal_type": ""}, "principal_type must be filled in"),
        ({"team": "Loading..."}, "formula"),
        ({"team": True}, "check box"),
        ({"team": "", "cost_center": ""}, "names nobody"),
    ],
)
def test_a_wrong_mapping_row_is_rejected_with_what_to_do(changed: Row, says: str) -> None:
    """Each thing that can be wrong with a row has a reason that says how to mend it."""
    assert says in reason("key_mapping", mapping(**changed))


@pytest.mark.parametrize(
    ("tab", "row", "says"),
    [
        ("people", person(person_email=""), "person_email must be filled in"),
        ("people", person(cost_center=4711), "plain text"),
        ("people", person(team=7), "plain text"),
        ("budgets", budget(month=""), "month must be filled in"),
        ("budgets", budget(month="November"), "2026-01"),
        ("budgets", budget(month="2026-11-15"), "day within a month"),
        ("budgets", budget(month="1926-11"), "before 2023-01"),
        ("budgets", budget(month="#REF!"), "formula"),
        ("budgets", budget(cost_center="\u200b"), "cost_center must be filled in"),
        ("budgets", budget(budget_usd=0.1234567891), "more than 9 decimals; round it"),
        ("budgets", budget(budget_usd="1,200.50"), "separators"),
        ("budgets", budget(budget_usd="$1200"), "separators"),
        ("budgets", budget(budget_usd=-1), "negative"),
        ("budgets", budget(budget_usd=1e15), "not an amount"),
        ("budgets", budget(budget_usd=""), "must be filled in"),
        ("seat_prices", price(vendor="openai"), "vendor must be anthropic or cursor"),
        ("seat_prices", price(vendor=""), "vendor must be filled in"),
        ("seat_prices", price(plan=""), "plan must be filled in"),
        ("seat_prices", price(monthly_price_usd=""), "monthly_price_usd must be filled in"),
        ("seat_prices", price(monthly_price_usd=-40), "negative"),
        ("seat_prices", price(monthly_price_usd="free"), "not an amount"),
    ],
)
def test_a_wrong_row_of_another_tab_is_rejected(tab: str, row: Row, says: str) -> None:
    """The other tabs have their own rules, told the same way."""
    assert says in reason(tab, row)


@pytest.mark.parametrize(
    ("vendor", "kinds"),
    [
        ("anthropic", {"api_key", "workspace", "service_account", "user"}),
        ("cursor", {"service_account", "user", "automation", "cloud_agent"}),
    ],
)
def test_each_vendor_has_its_own_principals(vendor: str, kinds: set[str]) -> None:
    """What a vendor attributes usage to can be mapped; what only the other one has is a mistake."""
    every = ("api_key", "workspace", "service_account", "user", "automation", "cloud_agent")
    rows = [mapping(vendor=vendor, principal_type=kind, principal_id="jane@example.com") for kind in every]
    accepted = check("key_mapping", *rows).accepted
    assert {msgspec.json.decode(row.payload)["principal_type"] for row in accepted} == kinds


def test_bounds_are_within() -> None:
    """The first and the last day there can be are days, and nothing is an amount."""
    assert reason("key_mapping", mapping(effective_from="2023-01-01", effective_to=2_958_465)) == ""
    assert reason("budgets", budget(budget_usd=0)) == ""
    assert reason("seat_prices", price(monthly_price_usd=0)) == ""


@pytest.mark.parametrize(("month", "found"), [("2026-11", "2026-11"), ("2026-11-01", "2026-11"), (46327, "2026-11")])
def test_a_month_may_be_text_or_a_date(month: Any, found: str) -> None:
    """Sheets likes to make dates of months; the first of a month is that month."""
    assert cells(check("budgets", budget(month=month)))["month"] == found


def test_money_keeps_every_digit() -> None:
    """Amounts come out as plain decimals, floats and text alike."""
    for written, found in (
        (1234.5, "1234.5"),
        ("1234.500", "1234.5"),
        (40, "40"),
        ("0.000000001", "0.000000001"),
        (1e-7, "0.0000001"),
    ):
        assert cells(check("budgets", budget(budget_usd=written)))["budget_usd"] == found


def test_several_reasons_are_all_told() -> None:
    """A row with three mistakes needs one visit to the sheet, not three."""
    told = reason("key_mapping", mapping(vendor="x", person_email="nobody", effective_from="soon"))
    assert all(name in told for name in ("vendor", "person_email", "effective_from"))
    told = reason("key_mapping", mapping(vendor="cursor", effective_from="soon", team="", cost_center=""))
    assert all(text in told for text in ("does not exist at cursor", "effective_from", "names nobody"))


def test_what_cannot_be_seen_makes_no_other_label() -> None:
    """Zero-width characters and doubled spaces do not make a second team of the same name."""
    row = mapping(team="\u200bData\u00a0 Plat\u00adform ", cost_center="\ufeff")
    assert cells(check("key_mapping", row))["team"] == "Data Platform"
    assert cells(check("key_mapping", row))["cost_center"] is None


def test_a_team_or_a_cost_center_alone_is_enough() -> None:
    """What a row leaves blank stays blank."""
    assert reason("key_mapping", mapping(team="")) == ""
    assert reason("key_mapping", mapping(cost_center="")) == ""
    assert reason("key_mapping", mapping(team="", cost_center="", person_email="jane@example.com")) == ""


# --- what must not be kept -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["principal_id", "note", "team", "something else"])
def test_a_secret_is_neither_kept_nor_told(column: str) -> None:
    """A pasted key rejects its row; neither the row, the reason nor a warning holds it."""
    names = [*TABS["key_mapping"].names, "something else"]
    row = mapping(**{column: SECRET})
    snapshot = check_tab(
        "key_mapping", [names, [row.get(name, "") for name in names]], last_good_row_count=None, today=TODAY
    )
    assert "looks like a secret" in str(snapshot.rows[0].reject_reason)
    assert SECRET not in str(snapshot)


@pytest.mark.parametrize(
    "secret",
    [
        "crsr_" + "0af1" * 16,
        "key_" + "0af1" * 16,
        "key_" + "0af1" * 5,
        "sk-" + "x9Y8" * 10,
        SECRET[:9] + "\u200b" + SECRET[9:],
    ],
)
def test_every_kind_of_key_is_a_secret(secret: str) -> None:
    """Keys of both vendors are known by their form, also in the middle of a sentence or with something between."""
    snapshot = check("key_mapping", mapping(note=f"the key is {secret}, do not tell"))
    assert "looks like a secret" in str(snapshot.rows[0].reject_reason)
    assert cells(snapshot)["note"] == "[removed: looks like a secret]"


@pytest.mark.parametrize("note", [KEY, "sk-ant-api03-R2D...igAA", "see key-rotation-and-ownership-guideline"])
def test_ids_hints_and_words_are_no_secrets(note: str) -> None:
    """apikey_ ids are what the sheet is for; the vendor's short hint of a key and plain words are harmless."""
    assert reason("key_mapping", mapping(note=note)) == ""


def test_reasons_and_warnings_hold_no_email() -> None:
    """People are told of by row number, whatever is wrong and wherever the address stands."""
    user = mapping(principal_type="user", principal_id="jane@example.com", person_email="jane@example.com")
    snapshots = [
        check("people", person(), person(), person(effective_from="2026-01-01")),
        check("people", person(team=""), person(person_email="sam@@example.com", effective_to="sam@example.com")),
        check("key_mapping", user, {**user, "share_pct": 60}, {**user, "vendor": "jane@example.com"}),
        check("key_mapping", user, user, {**user, "principal_type": "workspace", "principal_id": "a jane@example.com"}),
        check("key_mapping", {**user, "effective_to": "2026-02-01"}, {**user, "effective_from": "2026-03-01"}),
        check("budgets", budget(month="jane@example.com"), budget(budget_usd="jane@example.com")),
        check("budgets", budget(cost_center="jane@example.com"), budget(cost_center="jane@example.com", budget_usd=1)),
        check("budgets", header=["month", "month", "cost_center", "budget_usd", "jane@example.com"]),
        check("budgets", header=["jane@example.com"]),
        check("budgets", budget(), header=["month", "cost_center", "budget_usd", ""]),
    ]
    told = [
        text
        for snapshot in snapshots
        for text in (*(row.reject_reason for row in snapshot.rows), *snapshot.warnings, snapshot.refused)
        if text
    ]
    assert len(told) > len(snapshots)
    assert not any("@" in text for text in told)


# --- rows together ---------------------------------------------------------------------------------------------------


def test_overlapping_rows_are_both_rejected() -> None:
    """Two rows that both claim a principal for the same day are both out, each naming the other."""
    snapshot = check(
        "key_mapping", mapping(effective_to="2026-06-01"), mapping(effective_from="2026-05-31", team="Mobile")
    )
    assert "row 3" in str(snapshot.rows[0].reject_reason)
    assert "row 2" in str(snapshot.rows[1].reject_reason)


def test_of_a_chain_of_overlaps_every_row_is_rejected() -> None:
    """The third row overlaps the second, whether or not the second is already out because of the first."""
    snapshot = check(
        "key_mapping",
        mapping(effective_to="2026-03-01", team="A"),
        mapping(effective_from="2026-02-01", effective_to="2026-05-01", team="B"),
        mapping(effective_from="2026-04-01", team="C"),
    )
    assert len(snapshot.rejected) == 3
    assert "row 3" in str(snapshot.rows[2].reject_reason)


def test_a_reason_names_a_few_rows_and_counts_the_rest() -> None:
    """Forty rows for one principal do not make forty reasons of forty numbers."""
    snapshot = check("key_mapping", *(mapping(team=f"T{n}") for n in range(40)))
    assert len(snapshot.rejected) == 40
    assert "row 3, row 4, row 5, row 6, row 7 and 34 more" in str(snapshot.rows[0].reject_reason)


def test_seat_prices_overlap_by_vendor_and_plan() -> None:
    """One plan has one price at a time; another vendor's plan of the same name is another plan."""
    assert len(check("seat_prices", price(), price(monthly_price_usd=32)).rejected) == 2
    assert check("seat_prices", price(), price(vendor="anthropic"), price(plan="Pro")).rejected == ()


def test_only_rows_about_the_same_thing_can_overlap() -> None:
    """An id at another vendor, or of another kind, is another principal; another month is another budget."""
    same = {"principal_type": "service_account", "principal_id": "build-bot"}
    rows = (mapping(**same), mapping(**same, vendor="cursor"), mapping(**{**same, "principal_type": "workspace"}))
    assert check("key_mapping", *rows).rejected == ()
    assert check("budgets", budget(), budget(month="2026-12"), budget(cost_center="CC-2")).rejected == ()


def test_adjacent_intervals_do_not_overlap() -> None:
    """effective_to is the first day a row no longer holds."""
    snapshot = check(
        "key_mapping", mapping(effective_to="2026-06-01"), mapping(effective_from="2026-06-01", team="Mobile")
    )
    assert snapshot.rejected == ()
    assert snapshot.warnings == ()


def test_case_and_space_do_not_hide_an_overlap() -> None:
    """The same person written differently is the same person."""
    snapshot = check("people", person(), person(person_email=" Jane@Example.COM ", team="Mobile"))
    assert len(snapshot.rejected) == 2


@pytest.mark.parametrize("shares", [(60, 40), ("33.3", 33.3, "33.4%"), ("60 %", 40), (100,), (12.5,) * 8])
def test_shares_of_exactly_one_hundred_are_used(shares: tuple[Any, ...]) -> None:
    """Shares of one principal that add up to a hundred are all used."""
    snapshot = check("key_mapping", *(mapping(share_pct=share, team=f"T{n}") for n, share in enumerate(shares)))
    assert snapshot.rejected == ()
    assert sum(Decimal(str(cells(snapshot, n)["share_pct"])) for n in range(len(shares))) == 100


@pytest.mark.parametrize("shares", [(60, 30), (60, 50), (33.3, 33.3, 33.3), (90,), (100, 1)])
def test_shares_of_another_sum_are_rejected(shares: tuple[Any, ...]) -> None:
    """Shares that do not add up to a hundred are all rejected, and the sum is told."""
    snapshot = check("key_mapping", *(mapping(share_pct=share, team=f"T{n}") for n, share in enumerate(shares)))
    assert len(snapshot.rejected) == len(shares)
    assert "instead of 100 %" in str(snapshot.rows[0].reject_reason)


def test_shares_count_on_each_day() -> None:
    """A share that ends before its partner leaves days with less than a hundred: those active then are rejected."""
    rows = [
        mapping(share_pct=60, effective_to="2026-06-01", team="A"),
        mapping(share_pct=40, effective_to="2026-05-01", team="B"),
    ]
    snapshot = check("key_mapping", *rows)
    assert len(snapshot.rejected) == 2
    assert "60 % instead of 100 % on 2026-05-01" in str(snapshot.rows[0].reject_reason)
    rows[1]["effective_to"] = "2026-06-01"
    rows.append(mapping(effective_from="2026-06-01", team="C"))
    assert check("key_mapping", *rows).rejected == ()


def test_shares_from_a_percent_column_are_explained() -> None:
    """A cell that shows 60 % may hold 0.6; the reason says how to mend that."""
    snapshot = check("key_mapping", mapping(share_pct=0.6, team="A"), mapping(share_pct=0.4, team="B"))
    assert "format the column as a number" in str(snapshot.rows[0].reject_reason)


def test_a_rejected_partner_breaks_the_rest() -> None:
    """When one of three sharing rows is wrong, the other two no longer make a whole and are rejected too."""
    snapshot = check(
        "key_mapping", mapping(share_pct=50, team="A"), mapping(share_pct=30, team="B"),
        mapping(share_pct=20, team="C", person_email="nobody"),
    )  # fmt: skip
    assert len(snapshot.rejected) == 3


def test_other_principals_are_untouched_by_a_conflict() -> None:
    """A conflict rejects its own rows; the rest of the tab loads."""
    snapshot = check("key_mapping", mapping(), mapping(team="Mobile"), mapping(principal_id="apikey_other"))
    assert [row.reject_reason is None for row in snapshot.rows] == [False, False, True]


def test_an_exact_duplicate_is_collapsed() -> None:
    """The same row twice counts once, with a warning."""
    snapshot = check("key_mapping", mapping(), mapping())
    assert snapshot.rows[0].reject_reason is None
    assert "exact duplicate of row 2" in str(snapshot.rows[1].reject_reason)
    assert snapshot.warnings == ("row 3 repeats row 2",)


def test_a_wrong_row_twice_is_wrong_twice() -> None:
    """Of two equal rows that are both wrong none is the good one, so none is called its duplicate."""
    snapshot = check("key_mapping", mapping(vendor="x"), mapping(vendor="x"))
    assert snapshot.rows[0].reject_reason == snapshot.rows[1].reject_reason
    assert snapshot.warnings == ()


def test_a_duplicate_share_is_no_second_share() -> None:
    """The same half twice is one half, not a whole."""
    snapshot = check("key_mapping", mapping(share_pct=50), mapping(share_pct=50))
    assert "50 % instead of 100 %" in str(snapshot.rows[0].reject_reason)
    assert "exact duplicate of row 2" in str(snapshot.rows[1].reject_reason)


def test_budgets_twice_for_a_month_are_both_rejected() -> None:
    """Two different budgets of one cost center and month leave it open which is meant."""
    assert len(check("budgets", budget(), budget(budget_usd=1300)).rejected) == 2


def test_a_gap_is_warned_of() -> None:
    """Days on which a principal belongs to nobody are told, in whichever order the rows stand."""
    early, late = mapping(effective_to="2026-03-01"), mapping(effective_from="2026-04-01")
    for rows, begins in (((early, late), 3), ((late, early), 2)):
        snapshot = check("key_mapping", *rows)
        assert snapshot.rejected == ()
        assert snapshot.warnings == (f"nothing holds from 2026-03-01 until row {begins} begins on 2026-04-01",)


def test_a_far_future_is_warned_of() -> None:
    """A year ahead is planning, more is rather a typing mistake; both load."""
    assert check("key_mapping", mapping(effective_from="2027-11-20")).warnings == ()
    far = check("key_mapping", mapping(effective_from="2027-11-21"))
    assert far.warnings == ("row 2 begins more than a year from now, on 2027-11-21",)
    assert far.rejected == ()


@pytest.mark.parametrize("blank", ["team", "cost_center"])
def test_a_person_without_a_place_is_warned_of(blank: str) -> None:
    """Without a team or a cost center the person loads, and finance is told."""
    snapshot = check("people", person(**{blank: ""}))
    assert snapshot.rejected == ()
    assert "row 2 has no team or no cost center" in snapshot.warnings[0]
    assert check("key_mapping", mapping(**{blank: ""})).warnings == ()


# --- whole tabs ------------------------------------------------------------------------------------------------------


def test_headers_are_forgiving_in_form() -> None:
    """Case, spaces and hyphens in a heading do not matter, nor do order and further columns."""
    header = ["Cost \n Center", " MONTH ", "budget-usd", "Remark", "Remark"]
    snapshot = check_tab("budgets", [header, ["CC-1", "2026-11", 5, "x"]], last_good_row_count=None, today=TODAY)
    assert cells(snapshot) == {"month": "2026-11", "cost_center": "CC-1", "budget_usd": "5"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "first row is empty"),
        ([["", ""], ["2026-11", "CC-1"]], "first row is empty"),
        ([["month", "cost_center"], ["2026-11", "CC-1"]], "lacks budget_usd"),
        ([["month", "cost_center", "budget_usd", "Month"], ["2026-11", "CC-1", 5]], "month more than once"),
        (
            [["month", "cost_center", "budget_usd", ""], ["2026-11", "CC-1", 5, "stray"]],
            "row 2 has something in column D",
        ),
        ([["month", "cost_center", "budget_usd"], ["2026-11", "CC-1", 5, "", "stray"]], "column E"),
        ([["2026-11", "CC-1", 5]], "lacks"),
    ],
)
def test_a_tab_without_a_usable_header_is_refused(values: list[list[Any]], says: str) -> None:
    """A header that cannot be trusted refuses the tab, and says what the first row must be."""
    snapshot = check_tab("budgets", values, last_good_row_count=3, today=TODAY)
    assert says in str(snapshot.refused)
    assert snapshot.rows == ()


@pytest.mark.parametrize(
    ("tab", "column"),
    [
        (tab, column)
        for tab, columns in {
            "key_mapping": "vendor principal_type principal_id person_email team cost_center effective_from",
            "people": "person_email team cost_center effective_from",
            "budgets": "month cost_center budget_usd",
            "seat_prices": "vendor plan monthly_price_usd effective_from",
        }.items()
        for column in columns.split()
    ],
)
def test_a_heading_that_matters_must_be_there(tab: str, column: str) -> None:
    """Without a heading the rows under it would silently count as blank."""
    header = [name for name in TABS[tab].names if name != column]
    assert f"lacks {column}." in str(check(tab, header=header).refused)


def test_a_heading_far_to_the_right_is_named_as_the_sheet_does() -> None:
    """After column Z comes AA."""
    header = [*TABS["budgets"].names, *["x"] * 23]
    values = [header, [*["x"] * 26, "stray"]]
    refused = check_tab("budgets", values, last_good_row_count=None, today=TODAY).refused
    assert "row 2 has something in column AA" in str(refused)


def test_a_missing_tab_is_refused() -> None:
    """A tab that is not there is told by name, with its columns."""
    refused = check_tab("budgets", TabMissing(), last_good_row_count=None, today=TODAY).refused
    assert "no tab named budgets" in str(refused)
    assert "budget_usd" in str(refused)


def test_a_tab_that_shrinks_is_refused_until_accepted() -> None:
    """An emptied or cut tab never replaces a good one by itself."""
    assert "no rows" in str(check("budgets", held=4).refused)
    cut = [budget(month=f"2026-0{n}") for n in range(1, 8)]
    assert check("budgets", *cut, held=10).refused is None
    assert "more than 30%" in str(check("budgets", *cut[:6], held=10).refused)
    assert check("budgets", *cut[:6], held=10, accept_loss=True).refused is None
    assert check("budgets", held=4, accept_loss=True).refused is None


def test_a_single_row_may_go_from_a_small_tab() -> None:
    """One row less is an edit however few there were; two of six are not, and the last one never goes by itself."""
    rows = [budget(month=f"2026-0{n}") for n in range(1, 5)]
    assert check("budgets", *rows[:2], held=3).refused is None
    assert check("budgets", *rows[:1], held=2).refused is None
    assert "more than 30%" in str(check("budgets", *rows, held=6).refused)
    assert "no rows" in str(check("budgets", held=1).refused)


def test_an_empty_tab_where_nothing_was_is_accepted() -> None:
    """A company without budgets has an empty tab; that is told, not refused."""
    snapshot = check("budgets")
    assert snapshot.refused is None
    assert snapshot.warnings == ("the tab has no rows",)


def test_row_numbers_are_those_of_the_sheet() -> None:
    """Blank lines are skipped and do not shift the numbers; short rows are blank at their end."""
    names = list(TABS["budgets"].names)
    values: list[list[Any]] = [names, ["2026-01", "CC-1", 5], [], ["", "  ", None], ["2026-02", "CC-1"]]
    snapshot = check_tab("budgets", values, last_good_row_count=None, today=TODAY)
    assert [(row.row_no, row.reject_reason is None) for row in snapshot.rows] == [(2, True), (5, False)]


def test_the_digest_is_of_the_content() -> None:
    """The same content has the same fingerprint; a moved row, a changed cell or another verdict another."""
    one = check("budgets", budget(), budget(month="2026-12"))
    assert one.digest == check("budgets", budget(), budget(month="2026-12")).digest
    assert one.digest != check("budgets", budget(month="2026-12"), budget()).digest
    assert one.digest != check("budgets", budget(), budget(month="2026-12", budget_usd=1)).digest
    assert one.digest != check("budgets", budget(), {}, budget(month="2026-12")).digest
    number, text = check("budgets", budget(cost_center=42)), check("budgets", budget(cost_center="42"))
    assert cells(number) == cells(text)
    assert number.digest != text.digest


def test_columns_that_are_not_ours_make_no_rows() -> None:
    """A column of unticked boxes down to the end of the sheet is not a thousand wrong rows."""
    header = [*TABS["budgets"].names, "Approved"]
    values: list[list[Any]] = [header, ["2026-11", "CC-1", 5, True], ["", "", "", False], ["", "", "", False]]
    snapshot = check_tab("budgets", values, last_good_row_count=None, today=TODAY)
    assert [row.row_no for row in snapshot.rows] == [2]
    assert b"true" not in snapshot.rows[0].payload


def test_columns_with_a_usual_answer_may_be_absent() -> None:
    """Without note, share_pct and effective_to a mapping is for all of it, for good."""
    header = ["vendor", "principal_type", "principal_id", "person_email", "team", "cost_center", "effective_from"]
    row = ["anthropic", "api_key", KEY, "", "Platform", "CC-1", "2026-01-01"]
    snapshot = check_tab("key_mapping", [header, row], last_good_row_count=None, today=TODAY)
    assert snapshot.rejected == ()
    found = cells(snapshot)
    assert (found["share_pct"], found["effective_to"], found["note"]) == ("100", None, None)
    header = ["person_email", "team", "cost_center", "effective_from"]
    row = ["jane@example.com", "Platform", "CC-1", "2026-01-01"]
    snapshot = check_tab("people", [header, row], last_good_row_count=None, today=TODAY)
    assert (cells(snapshot)["name"], snapshot.rejected) == (None, ())


_CELL = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 60_000), st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", " ", "anthropic", "cursor", "user", "api_key", "a@b.cd", "2026-01-31", "50", "100%", "#REF!"]),
    st.sampled_from([10**400, -(10**400), 2_958_466, SECRET, "\u200b", "\x00"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(TABS)), st.lists(st.lists(_CELL, max_size=10), max_size=8))
def test_no_cells_can_break_it(tab: str, rows: list[list[Any]]) -> None:
    """Whatever stands in the cells, each non-blank row comes out exactly once, used or with a reason."""
    values = [list(TABS[tab].names), *(row[: len(TABS[tab].names)] for row in rows)]
    snapshot = check_tab(tab, values, last_good_row_count=None, today=TODAY)
    out = [row.row_no for row in snapshot.rows]
    assert out == sorted(set(out))
    for row_no, row in enumerate(values[1:], 2):
        # Between the two lie characters of which it may be argued whether anything can be seen.
        seen = any(any(map(str.isalnum, str(cell))) for cell in row if cell is not None)
        blank = all(cell is None or str(cell).isspace() or cell == "" for cell in row)
        assert row_no in out if seen else not blank or row_no not in out
    assert SECRET not in str(snapshot)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TABS)), st.lists(st.lists(_CELL, max_size=5), max_size=4))
def test_no_header_can_break_it(tab: str, values: list[list[Any]]) -> None:
    """Whatever stands where the header should be, the tab is refused with a reason that holds none of it."""
    snapshot = check_tab(tab, values, last_good_row_count=None, today=TODAY)
    assert snapshot.refused
    assert SECRET not in snapshot.refused


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_whole_sheet_is_one_read() -> None:
    """All tabs come in one request, and the company's sheet is clean."""
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        values = MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False).read()
    assert len(simulator.requests) == 1
    for tab, found in values.items():
        snapshot = check_tab(tab, found, last_good_row_count=None, today=TODAY)
        assert (snapshot.refused, snapshot.rejected) == (None, ())
        assert len(snapshot.accepted) == len(simulator.sheet(tab)) - 1


def test_one_missing_tab_does_not_hide_the_others() -> None:
    """When a tab is gone, the others are read one by one."""
    simulator = Simulator(NOW)
    simulator.set_sheet("budgets", None)
    simulator.set_sheet("seat_prices", [])
    with simulator.serve() as urls:
        values = MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False).read()
    assert values["budgets"] == TabMissing()
    assert values["seat_prices"] == []
    people = values["people"]
    assert not isinstance(people, TabMissing)
    assert len(people) == len(simulator.sheet("people"))


def test_a_sheet_that_cannot_be_read_says_what_to_do() -> None:
    """Not shared, not found and not there are told apart, each with its remedy."""
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        with pytest.raises(PermanentApiError, match="AI_USAGE_SHEET_ID"):
            MappingSheet("another", urls.sheets, pacing=False).read()
        simulator.switches.sheets.not_shared = True
        with pytest.raises(PermanentApiError, match="Share the spreadsheet"):
            MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False).read()
        # Neither is about a tab, so neither is asked for tab by tab.
        assert len(simulator.requests) == 2
        simulator.switches.faults.html_200.add("sheets")
        with pytest.raises(TransientApiError, match="HTML"):
            MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False, clock=_NoWait()).read()


def _sheet(url: str, spreadsheet_id: str = "1AbC-d_E") -> MappingSheet:
    return MappingSheet(spreadsheet_id, url, pacing=False, clock=_NoWait())


def _ranges(*tabs: list[list[Any]] | None) -> Reply:
    """Google's answer for these tabs; None has no values."""
    found = [{"range": "A1:Z9", "majorDimension": "ROWS"} | ({"values": rows} if rows else {}) for rows in tabs]
    return Reply(body=json.dumps({"spreadsheetId": "1AbC-d_E", "valueRanges": found}).encode())


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": {"code": status, "message": message}}).encode())


def test_the_request_asks_for_types_and_all_tabs() -> None:
    """Numbers must come as numbers: only so a damaged id can be told; empty tabs and short rows come as they are."""
    with serving(
        _ranges([["vendor", "principal_type"], ["cursor"]], None, [["month"], [46327, "CC-1"]], None)
    ) as script:
        values = _sheet(script.url).read()
    assert values == {
        "key_mapping": [["vendor", "principal_type"], ["cursor"]],
        "people": [],
        "budgets": [["month"], [46327, "CC-1"]],
        "seat_prices": [],
    }
    (seen,) = script.seen
    assert (seen.method, seen.path) == ("GET", "/v4/spreadsheets/1AbC-d_E/values:batchGet")
    assert [value for name, value in seen.query if name == "ranges"] == [f"'{tab}'" for tab in TABS]
    assert ("valueRenderOption", "UNFORMATTED_VALUE") in seen.query
    assert ("majorDimension", "ROWS") in seen.query
    assert "authorization" not in seen.headers


def test_a_busy_sheet_is_asked_again() -> None:
    """A used-up budget per minute is waited for."""
    with serving(_refusal(429, "Quota exceeded"), _ranges(None, None, None, None)) as script:
        assert _sheet(script.url).read() == {tab: [] for tab in TABS}
    assert len(script.seen) == 2


def test_a_sheet_that_is_closed_meanwhile_has_no_missing_tabs() -> None:
    """Access that ends between two requests is told as that, not as tabs that are gone."""
    script_of = (_refusal(400, "Unable to parse range: 'people'"), _ranges(None), _refusal(403, "No permission"))
    with serving(*script_of) as script, pytest.raises(PermanentApiError, match="Share the spreadsheet"):
        _sheet(script.url).read()
    assert len(script.seen) == 3


def test_credentials_that_ran_out_are_renewed_by_hand() -> None:
    """A refused login says which command renews it."""
    with serving(_refusal(401, "Invalid")) as script, pytest.raises(PermanentApiError, match="gcloud auth"):
        _sheet(script.url).read()


def test_an_uploaded_workbook_is_not_four_missing_tabs() -> None:
    """When not one tab can be read, the refusal is about the file and is told as such."""
    unsupported = _refusal(400, "This operation is not supported for this document")
    with serving(unsupported) as script, pytest.raises(PermanentApiError, match="uploaded workbook"):
        _sheet(script.url).read()
    assert len(script.seen) == 1 + len(TABS)


def test_an_answer_for_fewer_tabs_is_no_answer() -> None:
    """Tabs are told apart by their order, so none may be left out."""
    with serving(_ranges(None, None, None)) as script, pytest.raises(MalformedResponse, match="3 ranges came for 4"):
        _sheet(script.url).read()


def test_the_address_of_the_sheet_is_as_good_as_its_id() -> None:
    """People paste what the browser shows; what can be no id is never sent."""
    with serving(_ranges(None, None, None, None)) as script:
        _sheet(script.url, "https://docs.google.com/spreadsheets/d/1AbC-d_E/edit#gid=0").read()
    assert script.seen[0].path == "/v4/spreadsheets/1AbC-d_E/values:batchGet"
    with serving() as script, pytest.raises(PermanentApiError, match="AI_USAGE_SHEET_ID"):
        _sheet(script.url, "my sheet?/../x").read()
    assert script.seen == []


def test_the_ambient_credentials_may_only_read_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service account's token is asked for with the one scope that is needed, and names who pays for the quota."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with serving(Reply(body=b'{"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}')) as script:
        account = {
            "type": "service_account",
            "project_id": "acme",
            "client_email": "usage@example.com",
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "token_uri": script.url,
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "acme-tools")
        headers = _ambient_credentials()
    assert headers["authorization"] == "Bearer a-token"
    assert headers["x-goog-user-project"] == "acme-tools"
    claims = jwt.decode(dict(parse_qsl(script.seen[0].body.decode()))["assertion"], verify=False)  # type: ignore[no-untyped-call]
    assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets.readonly"


def test_absent_credentials_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should have to know what ADC is."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(SecretError, match="gcloud auth application-default login"):
        _ambient_credentials()


class _NoWait:
    """A clock on which waiting takes no time."""

    def __init__(self) -> None:
        self._slept = 0.0

    def monotonic(self) -> float:
        return self._slept

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


def test_a_tab_whose_rows_are_all_wrong_is_refused() -> None:
    """Unusable rows are as lost as rows that are gone: the last good version serves, and the first reason is told."""
    rows = [mapping(principal_id=number) for number in range(1000, 1010)]
    refused = check("key_mapping", *rows, held=10).refused
    assert refused
    assert refused.startswith("10 of its 10 rows cannot be used (row 2: principal_id is a number")
    assert check("key_mapping", *rows, held=None).refused is None
    few = [mapping(principal_id=f"apikey_{n}") for n in range(8)] + rows[:2]
    assert check("key_mapping", *few, held=10).refused is None


def test_one_plan_in_two_spellings_is_one_plan() -> None:
    """Plans are matched without case, so two prices for one plan overlap however it is written."""
    found = check("seat_prices", price(plan="Teams Standard"), price(plan="teams  standard", monthly_price_usd=45))
    assert len(found.rejected) == 2
