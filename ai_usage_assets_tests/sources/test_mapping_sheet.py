"""Tests reading and validating the mapping sheet."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
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
from google.auth.transport.requests import Request
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError, TransientApiError
from ai_usage_assets.http.retry import NO_WAIT_POLICY
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.mapping_sheet.client import MappingSheet, _ambient_credentials
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, MissingTab, TabSnapshot
from ai_usage_assets.sources.mapping_sheet.validation import validate_tab
from ai_usage_assets_tests.fakes.http_server import FakeClock, Reply, serve_replies

TODAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
KEY = "apikey_01Rj2N8SVvo6BePZj99NhmiT"
*_FIRST, _LAST = (entry.name for entry in SOURCES)
VENDORS = f"{', '.join(_FIRST)} or {_LAST}"
SECRET = "sk-ant-api03-" + "a1B2" * 12

Row = dict[str, Any]


def mapping(**changed: Any) -> Row:
    """A valid row of key_mapping."""
    return {
        "vendor": "anthropic", "principal_type": "api_key", "principal_id": KEY, "person_email": "", "team": "Platform",
        "cost_center": "CC-1", "share_pct": "", "effective_from": "", "effective_to": "", "note": "", **changed,
    }  # fmt: skip


def person(**changed: Any) -> Row:
    """A valid row of people."""
    return {
        "person_email": "jane@example.com", "name": "Jane", "team": "Platform", "cost_center": "CC-1",
        "effective_from": "", "effective_to": "", **changed,
    }  # fmt: skip


def budget(**changed: Any) -> Row:
    """A valid row of budgets."""
    return {"month": "2026-11", "cost_center": "CC-1", "budget_usd": 1200, **changed}


def price(**changed: Any) -> Row:
    """A valid row of seat_prices."""
    return {
        "vendor": "cursor", "plan": "Teams", "monthly_price_usd": 40, "effective_from": "", "effective_to": "",
        **changed,
    }  # fmt: skip


def validate(tab: str, values: Any, last_good: int | None = None, **more: Any) -> TabSnapshot:
    """Validates the values of a tab."""
    return validate_tab(tab, values, last_good_row_count=last_good, today=TODAY, **more)


def check(
    tab: str, *rows: Row, header: list[Any] | None = None, last_good: int | None = None, **more: Any
) -> TabSnapshot:
    """Validates a tab with these rows."""
    names = list(TABS[tab].names)
    return validate(tab, [header or names, *([row.get(name, "") for name in names] for row in rows)], last_good, **more)


def reason(tab: str, *rows: Row) -> str:
    """The reject reason of the first row; empty if it is accepted."""
    return check(tab, *rows).rows[0].reject_reason or ""


def cells(snapshot: TabSnapshot, number: int = 0) -> dict[str, str | None]:
    """The normalized cells of a row."""
    result: dict[str, str | None] = msgspec.json.decode(snapshot.rows[number].payload)
    return result


# --- single rows -----------------------------------------------------------------------------------------------------


def test_a_valid_row_is_normalized() -> None:
    """Case, white space, dates, shares and amounts are normalized."""
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


@pytest.mark.parametrize(
    ("tab", "row", "expected"),
    [
        ("key_mapping", mapping(principal_id=""), "principal_id must be filled in"),
        ("key_mapping", mapping(principal_id=12345), "plain text"),
        ("key_mapping", mapping(principal_id="api key"), "invisible character"),
        ("key_mapping", mapping(principal_id=KEY + "\u200b"), "invisible character"),
        ("key_mapping", mapping(vendor="openai"), f"vendor must be {VENDORS}"),
        ("key_mapping", mapping(principal_type="key"), "principal_type must be"),
        ("key_mapping", mapping(principal_type="automation"), "anthropic has no principal_type automation"),
        ("key_mapping", mapping(vendor="cursor"), "cursor has no principal_type api_key"),
        ("key_mapping", mapping(principal_type="user"), "is the e-mail address"),
        ("key_mapping", mapping(person_email="jane.example.com"), "not an e-mail"),
        ("key_mapping", mapping(person_email="jane@@example.com"), "not an e-mail"),
        ("key_mapping", mapping(person_email="jane@example"), "not an e-mail"),
        ("key_mapping", mapping(person_email="jane@acme..test"), "not an e-mail"),
        ("key_mapping", mapping(person_email="jane doe@example.com"), "not an e-mail"),
        ("key_mapping", mapping(person_email="ja\u200bne@example.com"), "invisible character"),
        ("key_mapping", mapping(effective_from="1/2/2026"), "2026-01-31"),
        ("key_mapping", mapping(effective_from="2026-02-30"), "calendar"),
        ("key_mapping", mapping(effective_from=46023.5), "whole day"),
        ("key_mapping", mapping(effective_from=float("nan")), "whole day"),
        ("key_mapping", mapping(effective_from=float("inf")), "whole day"),
        ("key_mapping", mapping(effective_to=2_958_466), "whole day"),
        ("key_mapping", mapping(effective_to=10**400), "whole day"),
        ("key_mapping", mapping(effective_to="\u0662\u0660\u0662\u0666-01-01"), "2026-01-31"),
        ("key_mapping", mapping(effective_from="2022-12-31"), "before 2023-01-01"),
        ("key_mapping", mapping(effective_from=True), "check box"),
        ("key_mapping", mapping(effective_from="2026-02-01", effective_to="2026-02-01"), "effective_to must be after"),
        ("key_mapping", mapping(effective_from="2026-02-01", effective_to="2026-01-01"), "effective_to must be after"),
        ("key_mapping", mapping(share_pct=0), "above 0"),
        ("key_mapping", mapping(share_pct=101), "at most 100"),
        ("key_mapping", mapping(share_pct="half"), "write 60 for 60%"),
        ("key_mapping", mapping(share_pct=33.3333333), "more than 6 decimals"),
        ("key_mapping", mapping(cost_center=42), "plain text"),
        ("key_mapping", mapping(team=7), "plain text"),
        ("key_mapping", mapping(team="#REF!"), "formula"),
        ("key_mapping", mapping(note="#N/A"), "formula"),
        ("key_mapping", mapping(note="#VALUE!"), "formula"),
        ("key_mapping", mapping(note="#ERROR!"), "formula"),
        ("key_mapping", mapping(vendor=""), "vendor must be filled in"),
        ("key_mapping", mapping(principal_type=""), "principal_type must be filled in"),
        ("key_mapping", mapping(team="Loading..."), "formula"),
        ("key_mapping", mapping(team=True), "check box"),
        ("key_mapping", mapping(team="", cost_center=""), "has no owner"),
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
        ("seat_prices", price(vendor="openai"), f"vendor must be {VENDORS}"),
        ("seat_prices", price(vendor=""), "vendor must be filled in"),
        ("seat_prices", price(plan=""), "plan must be filled in"),
        ("seat_prices", price(monthly_price_usd=""), "monthly_price_usd must be filled in"),
        ("seat_prices", price(monthly_price_usd=-40), "negative"),
        ("seat_prices", price(monthly_price_usd="free"), "not an amount"),
    ],
)
def test_an_invalid_row_is_rejected_with_a_reason(tab: str, row: Row, expected: str) -> None:
    """Each kind of invalid row is rejected with its own reason."""
    assert expected in reason(tab, row)


@pytest.mark.parametrize(
    ("vendor", "kinds"),
    [
        ("anthropic", {"api_key", "workspace", "service_account", "user"}),
        ("cursor", {"service_account", "user", "automation", "cloud_agent"}),
    ],
)
def test_each_vendor_has_its_own_principal_types(vendor: str, kinds: set[str]) -> None:
    """Only the principal types of the row's vendor are accepted."""
    every = ("api_key", "workspace", "service_account", "user", "automation", "cloud_agent")
    rows = [mapping(vendor=vendor, principal_type=kind, principal_id="jane@example.com") for kind in every]
    accepted = check("key_mapping", *rows).accepted
    assert {msgspec.json.decode(row.payload)["principal_type"] for row in accepted} == kinds


def test_all_reasons_of_a_row_are_reported() -> None:
    """A row with three errors has three reasons."""
    messages = reason("key_mapping", mapping(vendor="x", person_email="nobody", effective_from="soon"))
    assert all(name in messages for name in ("vendor", "person_email", "effective_from"))
    messages = reason("key_mapping", mapping(vendor="cursor", effective_from="soon", team="", cost_center=""))
    assert all(text in messages for text in ("cursor has no principal_type api_key", "effective_from", "has no owner"))


@pytest.mark.parametrize(
    ("tab", "row", "normalized"),
    [
        ("key_mapping", mapping(), {"share_pct": "100"}),
        ("key_mapping", mapping(team=""), {"team": None}),
        ("key_mapping", mapping(cost_center=""), {"cost_center": None}),
        ("key_mapping", mapping(team="", cost_center="", person_email="jane@example.com"), {"team": None}),
        ("key_mapping", mapping(team="\u200bData\u00a0 Plat\u00adform ", cost_center="\ufeff"),
         {"team": "Data Platform", "cost_center": None}),
        # The first and the last valid day.
        ("key_mapping", mapping(effective_from="2023-01-01", effective_to=2_958_465),
         {"effective_from": "2023-01-01", "effective_to": "9999-12-31"}),
        ("seat_prices", price(monthly_price_usd=0), {"monthly_price_usd": "0"}),
        ("budgets", budget(month="2026-11-01"), {"month": "2026-11"}),
        ("budgets", budget(month=46327), {"month": "2026-11"}),
        # Money keeps every digit.
        ("budgets", budget(budget_usd=0), {"budget_usd": "0"}),
        ("budgets", budget(budget_usd=1234.5), {"budget_usd": "1234.5"}),
        ("budgets", budget(budget_usd="1234.500"), {"budget_usd": "1234.5"}),
        ("budgets", budget(budget_usd=40), {"budget_usd": "40"}),
        ("budgets", budget(budget_usd="0.000000001"), {"budget_usd": "0.000000001"}),
        ("budgets", budget(budget_usd=1e-7), {"budget_usd": "0.0000001"}),
    ],
)  # fmt: skip
def test_cells_are_normalized(tab: str, row: Row, normalized: dict[str, str | None]) -> None:
    """A valid row is accepted with the plain values of its cells."""
    snapshot = check(tab, row)
    assert snapshot.rejected == ()
    assert normalized.items() <= cells(snapshot).items()


# --- secrets and addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["principal_id", "note", "team", "something else"])
def test_a_secret_is_neither_stored_nor_quoted(column: str) -> None:
    """A pasted key rejects its row and appears in no row, reason or warning."""
    names = [*TABS["key_mapping"].names, "something else"]
    row = mapping(**{column: SECRET})
    snapshot = validate("key_mapping", [names, [row.get(name, "") for name in names]])
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
def test_keys_of_every_kind_are_detected(secret: str) -> None:
    """Keys of both vendors are detected, also inside a sentence or with an invisible character in between."""
    snapshot = check("key_mapping", mapping(note=f"the key is {secret}, do not tell"))
    assert "looks like a secret" in str(snapshot.rows[0].reject_reason)
    assert cells(snapshot)["note"] == "[removed: looks like a secret]"


@pytest.mark.parametrize("note", [KEY, "sk-ant-api03-R2D...igAA", "see key-rotation-and-ownership-guideline"])
def test_ids_hints_and_words_are_not_secrets(note: str) -> None:
    """Key ids, the vendor's key hints and plain words are accepted."""
    assert reason("key_mapping", mapping(note=note)) == ""


def test_reasons_and_warnings_contain_no_email() -> None:
    """No reason or warning quotes an e-mail address."""
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
    messages = [
        text
        for snapshot in snapshots
        for text in (*(row.reject_reason for row in snapshot.rows), *snapshot.warnings, snapshot.rejection)
        if text
    ]
    assert len(messages) > len(snapshots)
    assert not any("@" in text for text in messages)


# --- rows compared with each other -----------------------------------------------------------------------------------


def test_overlapping_rows_are_both_rejected() -> None:
    """Two full-share rows of one principal on one day are rejected, and each reason names the other row."""
    snapshot = check(
        "key_mapping", mapping(effective_to="2026-06-01"), mapping(effective_from="2026-05-31", team="Mobile")
    )
    assert "row 3" in str(snapshot.rows[0].reject_reason)
    assert "row 2" in str(snapshot.rows[1].reject_reason)


def test_every_row_of_a_chain_of_overlaps_is_rejected() -> None:
    """A row that overlaps with a rejected row is rejected too."""
    snapshot = check(
        "key_mapping",
        mapping(effective_to="2026-03-01", team="A"),
        mapping(effective_from="2026-02-01", effective_to="2026-05-01", team="B"),
        mapping(effective_from="2026-04-01", team="C"),
    )
    assert len(snapshot.rejected) == 3
    assert "row 3" in str(snapshot.rows[2].reject_reason)


def test_a_reason_lists_some_rows_and_counts_the_others() -> None:
    """The reason of forty overlapping rows stays short."""
    snapshot = check("key_mapping", *(mapping(team=f"T{n}") for n in range(40)))
    assert len(snapshot.rejected) == 40
    assert "row 3, row 4, row 5, row 6, row 7 and 34 more" in str(snapshot.rows[0].reject_reason)


_BOT = {"principal_type": "service_account", "principal_id": "build-bot"}


@pytest.mark.parametrize(
    ("tab", "rows", "accepted"),
    [
        ("key_mapping", [mapping(), mapping(team="Mobile"), mapping(principal_id="apikey_other")], "--+"),
        # effective_to is exclusive.
        ("key_mapping", [mapping(effective_to="2026-06-01"), mapping(effective_from="2026-06-01", team="A")], "++"),
        ("key_mapping", [mapping(**_BOT), mapping(**_BOT, vendor="cursor")], "++"),
        ("key_mapping", [mapping(**_BOT), mapping(**{**_BOT, "principal_type": "workspace"})], "++"),
        ("people", [person(), person(person_email=" Jane@Example.COM ", team="Mobile")], "--"),
        ("budgets", [budget(), budget(budget_usd=1300)], "--"),
        ("budgets", [budget(), budget(month="2026-12"), budget(cost_center="CC-2")], "+++"),
        ("seat_prices", [price(), price(monthly_price_usd=32)], "--"),
        ("seat_prices", [price(), price(vendor="anthropic"), price(plan="Pro")], "+++"),
        ("seat_prices", [price(plan="Teams Standard"), price(plan="teams  standard", monthly_price_usd=45)], "--"),
    ],
)
def test_rows_with_the_same_key_cannot_overlap(tab: str, rows: list[Row], accepted: str) -> None:
    """All rows of one key on one day are rejected, whatever their spelling, and rows of another key are not."""
    snapshot = check(tab, *rows)
    assert "".join("-" if row.reject_reason else "+" for row in snapshot.rows) == accepted
    assert snapshot.warnings == ()


@pytest.mark.parametrize("shares", [(60, 40), ("33.3", 33.3, "33.4%"), ("60 %", 40), (100,), (12.5,) * 8])
def test_shares_that_add_up_to_100_are_accepted(shares: tuple[Any, ...]) -> None:
    """Shares that add up to 100 are accepted."""
    snapshot = check("key_mapping", *(mapping(share_pct=share, team=f"T{n}") for n, share in enumerate(shares)))
    assert snapshot.rejected == ()
    assert sum(Decimal(str(cells(snapshot, n)["share_pct"])) for n in range(len(shares))) == 100


@pytest.mark.parametrize("shares", [(60, 30), (60, 50), (33.3, 33.3, 33.3), (90,), (100, 1)])
def test_shares_with_another_sum_are_rejected(shares: tuple[Any, ...]) -> None:
    """All rows of a group whose shares do not add up to 100 are rejected with the sum."""
    snapshot = check("key_mapping", *(mapping(share_pct=share, team=f"T{n}") for n, share in enumerate(shares)))
    assert len(snapshot.rejected) == len(shares)
    assert "instead of 100%" in str(snapshot.rows[0].reject_reason)


def test_shares_are_checked_per_day() -> None:
    """Rows that are valid on a day with an incomplete sum are rejected."""
    rows = [
        mapping(share_pct=60, effective_to="2026-06-01", team="A"),
        mapping(share_pct=40, effective_to="2026-05-01", team="B"),
    ]
    snapshot = check("key_mapping", *rows)
    assert len(snapshot.rejected) == 2
    assert "60% instead of 100% on 2026-05-01" in str(snapshot.rows[0].reject_reason)
    rows[1]["effective_to"] = "2026-06-01"
    rows.append(mapping(effective_from="2026-06-01", team="C"))
    assert check("key_mapping", *rows).rejected == ()


def test_shares_of_a_percent_column_are_explained() -> None:
    """The reason for a share of 0.6 explains how to enter 60%."""
    snapshot = check("key_mapping", mapping(share_pct=0.6, team="A"), mapping(share_pct=0.4, team="B"))
    assert "format the column as a number" in str(snapshot.rows[0].reject_reason)


def test_a_rejected_row_leaves_its_group_incomplete() -> None:
    """If one of three sharing rows is invalid, the other two are rejected too."""
    snapshot = check(
        "key_mapping", mapping(share_pct=50, team="A"), mapping(share_pct=30, team="B"),
        mapping(share_pct=20, team="C", person_email="nobody"),
    )  # fmt: skip
    assert len(snapshot.rejected) == 3


def test_an_exact_duplicate_is_rejected_with_a_warning() -> None:
    """The second of two equal rows is rejected with a warning."""
    snapshot = check("key_mapping", mapping(), mapping())
    assert snapshot.rows[0].reject_reason is None
    assert "exact duplicate of row 2" in str(snapshot.rows[1].reject_reason)
    assert snapshot.warnings == ("row 3 duplicates row 2",)


def test_two_equal_invalid_rows_are_not_duplicates() -> None:
    """Two equal invalid rows both keep their own reason."""
    snapshot = check("key_mapping", mapping(vendor="x"), mapping(vendor="x"))
    assert snapshot.rows[0].reject_reason == snapshot.rows[1].reject_reason
    assert snapshot.warnings == ()


def test_a_duplicate_share_counts_once() -> None:
    """Two equal rows of 50% do not add up to 100%."""
    snapshot = check("key_mapping", mapping(share_pct=50), mapping(share_pct=50))
    assert "50% instead of 100%" in str(snapshot.rows[0].reject_reason)
    assert "exact duplicate of row 2" in str(snapshot.rows[1].reject_reason)


def test_a_gap_raises_a_warning() -> None:
    """Days between two rows of a principal raise a warning, in any order of the rows."""
    early, late = mapping(effective_to="2026-03-01"), mapping(effective_from="2026-04-01")
    for rows, begins in (((early, late), 3), ((late, early), 2)):
        snapshot = check("key_mapping", *rows)
        assert snapshot.rejected == ()
        assert snapshot.warnings == (f"no row is valid from 2026-03-01 until row {begins} begins on 2026-04-01",)


def test_a_start_in_the_far_future_raises_a_warning() -> None:
    """A row that begins in more than a year raises a warning and is accepted."""
    assert check("key_mapping", mapping(effective_from="2027-11-20")).warnings == ()
    far = check("key_mapping", mapping(effective_from="2027-11-21"))
    assert far.warnings == ("row 2 begins more than a year from now, on 2027-11-21",)
    assert far.rejected == ()


@pytest.mark.parametrize("blank", ["team", "cost_center"])
def test_a_person_without_team_or_cost_center_raises_a_warning(blank: str) -> None:
    """A person without team or cost center is accepted with a warning."""
    snapshot = check("people", person(**{blank: ""}))
    assert snapshot.rejected == ()
    assert "row 2 has no team or no cost center" in snapshot.warnings[0]
    assert check("key_mapping", mapping(**{blank: ""})).warnings == ()


# --- whole tabs ------------------------------------------------------------------------------------------------------


def test_header_spelling_and_order_are_flexible() -> None:
    """Case, spaces, hyphens, order and extra columns of the header do not matter."""
    header = ["Cost \n Center", " MONTH ", "budget-usd", "Remark", "Remark"]
    snapshot = validate("budgets", [header, ["CC-1", "2026-11", 5, "x"]])
    assert cells(snapshot) == {"month": "2026-11", "cost_center": "CC-1", "budget_usd": "5"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "first row is empty"),
        ([["", ""], ["2026-11", "CC-1"]], "first row is empty"),
        ([["month", "cost_center"], ["2026-11", "CC-1"]], "lacks budget_usd"),
        ([["month", "cost_center", "budget_usd", "Month"], ["2026-11", "CC-1", 5]], "month more than once"),
        (
            [["month", "cost_center", "budget_usd", ""], ["2026-11", "CC-1", 5, "stray"]],
            "row 2 has a value in column D",
        ),
        ([["month", "cost_center", "budget_usd"], ["2026-11", "CC-1", 5, "", "stray"]], "column E"),
        # The column after Z is AA.
        ([[*TABS["budgets"].names, *["x"] * 23], [*["x"] * 26, "stray"]], "row 2 has a value in column AA"),
        ([["2026-11", "CC-1", 5]], "lacks"),
    ],
)
def test_a_tab_with_an_invalid_header_is_rejected(values: list[list[Any]], expected: str) -> None:
    """An invalid header rejects the tab with a reason."""
    snapshot = validate("budgets", values)
    assert expected in str(snapshot.rejection)
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
def test_required_headers_must_exist(tab: str, column: str) -> None:
    """Each required header that is missing rejects the tab."""
    header = [name for name in TABS[tab].names if name != column]
    assert f"lacks {column}." in str(check(tab, header=header).rejection)


def test_a_missing_tab_is_rejected() -> None:
    """A missing tab is rejected with its name and columns."""
    rejection = validate("budgets", MissingTab()).rejection
    assert "the tab budgets does not exist" in str(rejection)
    assert "budget_usd" in str(rejection)


def test_a_tab_that_shrinks_is_rejected_until_accepted() -> None:
    """A tab that lost more than 30% of its rows is rejected unless the loss is accepted."""
    assert "no rows" in str(check("budgets", last_good=4).rejection)
    cut = [budget(month=f"2026-0{n}") for n in range(1, 8)]
    assert check("budgets", *cut, last_good=10).rejection is None
    assert "more than 30%" in str(check("budgets", *cut[:6], last_good=10).rejection)
    assert check("budgets", *cut[:6], last_good=10, accept_loss=True).rejection is None
    assert check("budgets", last_good=4, accept_loss=True).rejection is None


def test_a_small_tab_can_lose_a_single_row() -> None:
    """One row less is accepted unless it is the last one."""
    rows = [budget(month=f"2026-0{n}") for n in range(1, 5)]
    assert check("budgets", *rows[:2], last_good=3).rejection is None
    assert check("budgets", *rows[:1], last_good=2).rejection is None
    assert "more than 30%" in str(check("budgets", *rows, last_good=6).rejection)
    assert "no rows" in str(check("budgets", last_good=1).rejection)


def test_an_empty_tab_without_a_good_version_is_accepted() -> None:
    """An empty tab is accepted with a warning if it was never filled."""
    snapshot = check("budgets")
    assert snapshot.rejection is None
    assert snapshot.warnings == ("the tab has no rows",)


def test_row_numbers_are_those_of_the_sheet() -> None:
    """Blank rows are skipped without shifting row numbers, and short rows are blank at their end."""
    names = list(TABS["budgets"].names)
    values: list[list[Any]] = [names, ["2026-01", "CC-1", 5], [], ["", "  ", None], ["2026-02", "CC-1"]]
    snapshot = validate("budgets", values)
    assert [(row.row_no, row.reject_reason is None) for row in snapshot.rows] == [(2, True), (5, False)]


def test_the_digest_covers_the_content() -> None:
    """A moved row, a changed cell and another reason change the digest."""
    one = check("budgets", budget(), budget(month="2026-12"))
    assert one.digest == check("budgets", budget(), budget(month="2026-12")).digest
    assert one.digest != check("budgets", budget(month="2026-12"), budget()).digest
    assert one.digest != check("budgets", budget(), budget(month="2026-12", budget_usd=1)).digest
    assert one.digest != check("budgets", budget(), {}, budget(month="2026-12")).digest
    number, text = check("budgets", budget(cost_center=42)), check("budgets", budget(cost_center="42"))
    assert cells(number) == cells(text)
    assert number.digest != text.digest


def test_extra_columns_make_no_rows() -> None:
    """A row with values only in extra columns is ignored."""
    header = [*TABS["budgets"].names, "Approved"]
    values: list[list[Any]] = [header, ["2026-11", "CC-1", 5, True], ["", "", "", False], ["", "", "", False]]
    snapshot = validate("budgets", values)
    assert [row.row_no for row in snapshot.rows] == [2]
    assert b"true" not in snapshot.rows[0].payload


def test_optional_columns_can_be_absent() -> None:
    """Without note, share_pct and effective_to, a mapping has 100% and no end."""
    header = ["vendor", "principal_type", "principal_id", "person_email", "team", "cost_center", "effective_from"]
    row = ["anthropic", "api_key", KEY, "", "Platform", "CC-1", "2026-01-01"]
    snapshot = validate("key_mapping", [header, row])
    assert snapshot.rejected == ()
    result = cells(snapshot)
    assert (result["share_pct"], result["effective_to"], result["note"]) == ("100", None, None)
    header = ["person_email", "team", "cost_center", "effective_from"]
    row = ["jane@example.com", "Platform", "CC-1", "2026-01-01"]
    snapshot = validate("people", [header, row])
    assert (cells(snapshot)["name"], snapshot.rejected) == (None, ())


_CELL = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 60_000), st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["", " ", "anthropic", "cursor", "user", "api_key", "a@b.cd", "2026-01-31", "50", "100%", "#REF!"]),
    st.sampled_from([10**400, -(10**400), 2_958_466, SECRET, "\u200b", "\x00"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(TABS)), st.lists(st.lists(_CELL, max_size=10), max_size=8))
def test_any_cells_give_each_row_one_result(tab: str, rows: list[list[Any]]) -> None:
    """Each non-blank row of arbitrary cells is returned exactly once, accepted or with a reason."""
    values = [list(TABS[tab].names), *(row[: len(TABS[tab].names)] for row in rows)]
    snapshot = validate(tab, values)
    out = [row.row_no for row in snapshot.rows]
    assert out == sorted(set(out))
    for row_no, row in enumerate(values[1:], 2):
        # Between the two lie characters of which it may be argued whether anything can be seen.
        visible = any(any(map(str.isalnum, str(cell))) for cell in row if cell is not None)
        blank = all(cell is None or str(cell).isspace() or cell == "" for cell in row)
        assert row_no in out if visible else not blank or row_no not in out
    assert SECRET not in str(snapshot)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TABS)), st.lists(st.lists(_CELL, max_size=5), max_size=4))
def test_any_invalid_header_gives_a_rejection(tab: str, values: list[list[Any]]) -> None:
    """An arbitrary header gives a rejection that quotes none of it."""
    snapshot = validate(tab, values)
    assert snapshot.rejection
    assert SECRET not in snapshot.rejection


# --- reading ---------------------------------------------------------------------------------------------------------


def test_all_values_are_read_with_one_request() -> None:
    """The values of all tabs come in one request, and the simulated company's sheet is valid."""
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        values = MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False).read()
    assert sum(request.path.endswith("values:batchGet") for _, request in simulator.requests) == 1
    for tab, result in values.items():
        snapshot = validate(tab, result)
        assert (snapshot.rejection, snapshot.rejected) == (None, ())
        assert len(snapshot.accepted) == len(simulator.sheet(tab)) - 1


def test_a_missing_tab_does_not_hide_the_others() -> None:
    """If a tab is missing, the others are read."""
    simulator = Simulator(NOW)
    simulator.set_sheet("budgets", None)
    simulator.set_sheet("seat_prices", [])
    with simulator.serve() as urls:
        values = MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False).read()
    assert values["budgets"] == MissingTab()
    assert values["seat_prices"] == []
    people = values["people"]
    assert not isinstance(people, MissingTab)
    assert len(people) == len(simulator.sheet("people"))


def test_an_unreadable_sheet_has_instructions() -> None:
    """The errors for a sheet that is not shared, not found or unavailable have their own instructions."""
    simulator = Simulator(NOW)
    with simulator.serve() as urls:
        with pytest.raises(PermanentApiError, match="AI_USAGE_SHEET_ID"):
            MappingSheet("another", urls.sheets, pacing=False).read()
        simulator.fault_options.sheets.not_shared = True
        with pytest.raises(PermanentApiError, match="Share the spreadsheet"):
            MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False).read()
        assert len(simulator.requests) == 2
        simulator.fault_options.faults.html_200.add("sheets")
        with pytest.raises(TransientApiError, match="HTML"):
            MappingSheet(simulator.SHEET_ID, urls.sheets, pacing=False, clock=FakeClock()).read()


def _sheet(url: str, spreadsheet_id: str = "1AbC-d_E") -> MappingSheet:
    return MappingSheet(spreadsheet_id, url, pacing=False, clock=FakeClock())


def _metadata(*tabs: str) -> list[Reply]:
    """Google's description of a spreadsheet with these tabs, which gspread requests twice; all tabs by default."""
    sheets = [
        {"properties": {"sheetId": n, "title": tab, "index": n, "gridProperties": {"rowCount": 9, "columnCount": 9}}}
        for n, tab in enumerate(tabs or TABS)
    ]
    content = {"spreadsheetId": "1AbC-d_E", "properties": {"title": "Keys"}, "sheets": sheets}
    return [Reply(body=json.dumps(content).encode())] * 2


def _ranges(*tabs: list[list[Any]] | None) -> Reply:
    """Google's response for these tabs; None has no values."""
    result = [{"range": "A1:Z9", "majorDimension": "ROWS"} | ({"values": rows} if rows else {}) for rows in tabs]
    return Reply(body=json.dumps({"spreadsheetId": "1AbC-d_E", "valueRanges": result}).encode())


def _error_reply(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": {"code": status, "message": message}}).encode())


def test_a_response_of_another_form_is_malformed() -> None:
    """JSON of another form than Google's, a redirect and a body that is compressed twice are errors of the sheet."""
    no_list = json.dumps({"valueRanges": [{"values": 5}] * len(TABS)}).encode()
    for body in (b"{}", b"[]", b"null", b'{"valueRanges": "abcd"}', b'{"valueRanges": [null, 1, 2, 3]}', no_list):
        with serve_replies(*_metadata(), Reply(body=body)) as server, pytest.raises(MalformedResponse):
            _sheet(server.url).read()
    with serve_replies(Reply(body=b'{"sheets": [{}]}')) as server, pytest.raises(MalformedResponse):
        _sheet(server.url).read()
    elsewhere = Reply(302, headers={"location": "http://127.0.0.1:9/"})
    with serve_replies(elsewhere) as server, pytest.raises(PermanentApiError):
        _sheet(server.url).read()
    zeros = gzip.compress(gzip.compress(bytes(1_000_000)))
    twice = Reply(body=zeros, headers={"content-encoding": "gzip, gzip"})
    with serve_replies(twice) as server, pytest.raises(PermanentApiError, match="compressed twice"):
        _sheet(server.url).read()


def test_an_incomplete_or_endless_response_is_requested_again() -> None:
    """A response that is cut off, reset or slower than an attempt may take is requested again."""
    response = _ranges(None, None, None, None)
    broken = [replace(response, fault="cut"), replace(response, fault="reset"), replace(response, fault="drip")]
    policy = replace(NO_WAIT_POLICY, attempt_seconds=0.3)
    with serve_replies(*_metadata(), *broken, response) as server:
        sheet = MappingSheet("1AbC-d_E", server.url, retry_policy=policy, clock=FakeClock())
        assert sheet.read() == {tab: [] for tab in TABS}
    assert len(server.requests) == 6


def test_the_request_has_all_tabs_and_unformatted_values() -> None:
    """The request has every tab and asks for unformatted values, so that a numeric id is detected."""
    ranges = _ranges([["vendor", "principal_type"], ["cursor"]], None, [["month"], [46327, "CC-1"]], None)
    with serve_replies(*_metadata(), ranges) as server:
        values = _sheet(server.url).read()
    assert values == {
        "key_mapping": [["vendor", "principal_type"], ["cursor"]],
        "people": [],
        "budgets": [["month"], [46327, "CC-1"]],
        "seat_prices": [],
    }
    request = server.requests[-1]
    assert (request.method, request.path) == ("GET", "/v4/spreadsheets/1AbC-d_E/values:batchGet")
    assert [value for name, value in request.query if name == "ranges"] == [f"'{tab}'" for tab in TABS]
    assert ("valueRenderOption", "UNFORMATTED_VALUE") in request.query
    assert ("majorDimension", "ROWS") in request.query
    assert "authorization" not in request.headers


def test_a_429_is_retried() -> None:
    """A used-up quota is waited for."""
    quota = _error_reply(429, "Quota exceeded")
    with serve_replies(quota, *_metadata(), quota, _ranges(None, None, None, None)) as server:
        assert _sheet(server.url).read() == {tab: [] for tab in TABS}
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("replies", "error", "named"),
    [
        # Access that ends between two requests is not a missing tab.
        ([*_metadata(), _error_reply(403, "No permission")], PermanentApiError, "Share the spreadsheet"),
        ([_error_reply(401, "Invalid")], PermanentApiError, "gcloud auth"),
        # An error of the file is not an error of its tabs.
        ([_error_reply(400, "This operation is not supported for this document")], PermanentApiError, "workbook"),
        ([*_metadata(), _ranges(None, None, None)], MalformedResponse, "3 ranges for 4"),
    ],
)
def test_errors_of_google_have_instructions(replies: list[Reply], error: type[Exception], named: str) -> None:
    """Each error of Google names what to do."""
    with serve_replies(*replies) as server, pytest.raises(error, match=named):
        _sheet(server.url).read()
    if error is PermanentApiError:
        assert len(server.requests) == len(replies)


def test_the_address_of_the_sheet_is_accepted() -> None:
    """The browser's address works as an id, and an impossible id is never sent."""
    with serve_replies(*_metadata(), _ranges(None, None, None, None)) as server:
        _sheet(server.url, "https://docs.google.com/spreadsheets/d/1AbC-d_E/edit#gid=0").read()
    assert server.requests[-1].path == "/v4/spreadsheets/1AbC-d_E/values:batchGet"
    with serve_replies() as server, pytest.raises(PermanentApiError, match="AI_USAGE_SHEET_ID"):
        _sheet(server.url, "my sheet?/../x").read()
    assert server.requests == []


def test_ambient_credentials_use_the_read_only_scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is requested with the read-only scope, and the quota project is sent."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with serve_replies(
        Reply(body=b'{"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}')
    ) as server:
        account = {
            "type": "service_account",
            "project_id": "acme",
            "client_email": "usage@example.com",
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "token_uri": server.url,
        }
        (tmp_path / "account.json").write_text(json.dumps(account))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "acme-tools")
        headers: dict[str, str] = {}
        credentials: Any = _ambient_credentials()
        credentials.before_request(Request(), "GET", "https://sheets.googleapis.com/", headers)
    assert headers["authorization"] == "Bearer a-token"
    assert headers["x-goog-user-project"] == "acme-tools"
    claims = jwt.decode(dict(parse_qsl(server.requests[0].body.decode()))["assertion"], verify=False)  # type: ignore[no-untyped-call]
    assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets.readonly"


def test_missing_credentials_have_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error for missing credentials has the command that creates them."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(SecretError, match="gcloud auth application-default login"):
        _ambient_credentials()


def test_a_tab_with_only_invalid_rows_is_rejected() -> None:
    """A tab whose rows are all invalid is rejected with the first reason."""
    rows = [mapping(principal_id=number) for number in range(1000, 1010)]
    rejection = check("key_mapping", *rows, last_good=10).rejection
    assert rejection
    assert rejection.startswith("10 of its 10 rows are invalid (row 2: principal_id is a number")
    assert check("key_mapping", *rows, last_good=None).rejection is None
    few = [mapping(principal_id=f"apikey_{n}") for n in range(8)] + rows[:2]
    assert check("key_mapping", *few, last_good=10).rejection is None
