"""When a day replaces another, and what is carried over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.extracts import load_extract, log_unloaded_days
from ai_usage_assets.sources.base import DayBatch, RejectedDay
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

(TABLE,) = EVENTS.tables
DAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)


def event(number: int, email: str | None = "jane@example.com") -> bytes:
    """A usage event; the same number is the same event."""
    shown: dict[str, Any] = {"timestamp": str(1794300000000 + number), "model": "m", "conversationId": "c"}
    return msgspec.json.encode({**shown, **({"userEmail": email} if email else {}), "chargedCents": number})


def day(*records: bytes, usd: str = "1") -> DayBatch:
    return DayBatch(TABLE, DAY, records, pages=1, expected_records=len(records), amount_usd=Decimal(usd))


def held(warehouse: DuckDBWarehouse) -> list[dict[str, Any]]:
    return warehouse.rows(f"SELECT * FROM ai_usage.{TABLE.name} ORDER BY usage_date, record_no")


def entry(warehouse: DuckDBWarehouse) -> dict[str, Any]:
    (row,) = warehouse.rows("SELECT * FROM ai_usage.ops_asset_days")
    return row


def moment(hours: int = 0, **changed: Any) -> RunContext:
    return RunContext(f"run{hours}", NOW + timedelta(hours=hours), **changed)


def test_the_same_records_change_nothing(warehouse: DuckDBWarehouse) -> None:
    """The same content in another order leaves every row, and when it was fetched; only the attempt is noted."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2), event(2))], moment())
    before = held(warehouse)
    (again,) = load_extract(warehouse, EVENTS, [day(event(2), event(1), event(2))], moment(1))
    assert not again.changed
    assert held(warehouse) == before
    assert entry(warehouse)["attempted_at"] == NOW + timedelta(hours=1)
    assert entry(warehouse)["landed_at"] == NOW


@pytest.mark.parametrize(
    "astray",
    [
        f"DELETE FROM ai_usage.{TABLE.name}",
        f"DELETE FROM ai_usage.{TABLE.name} WHERE record_no = 2",
        f"UPDATE ai_usage.{TABLE.name} SET fetched_at = TIMESTAMPTZ '2026-11-20 05:00:00Z'",
    ],
    ids=["gone", "in part", "of another run"],
)
def test_a_day_that_is_not_what_its_log_says_is_landed_again(warehouse: DuckDBWarehouse, astray: str) -> None:
    """Where a run ended between a day and its log, or another overtook it, the next pull mends it."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2))], moment())
    before = held(warehouse)
    warehouse._connect().execute(astray.replace("ai_usage.", ""))
    (again,) = load_extract(warehouse, EVENTS, [day(event(1), event(2))], moment(1))
    assert again.changed
    assert warehouse.rows("SELECT * FROM ai_usage.ops_restatements") == []
    later = NOW + timedelta(hours=1)
    assert held(warehouse) == [row | {"fetched_at": later} for row in before]
    assert entry(warehouse)["landed_at"] == later


def test_what_a_log_claims_and_the_table_lacks_is_not_called_held(warehouse: DuckDBWarehouse) -> None:
    """An empty pull over a day that is not what its log says changes nothing, and says that the two disagree."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2))], moment())
    warehouse._connect().execute(f"DELETE FROM {TABLE.name} WHERE record_no = 2")
    before = held(warehouse)
    (refused,) = load_extract(warehouse, EVENTS, [day()], moment(1))
    assert held(warehouse) == before
    assert (
        "an earlier one brought 2 records worth $1.00, and the table holds others than these"
        in refused.entry["message"]
    )
    (mended,) = load_extract(warehouse, EVENTS, [day(event(1), event(2))], moment(2))
    assert (mended.changed, len(held(warehouse))) == (True, 2)


def test_a_masked_key_takes_its_place_in_the_order(warehouse: DuckDBWarehouse) -> None:
    """Records stand in the order of what is kept of them, so that a key that was masked before changes nothing."""
    secret, plain = (b'{"timestamp":"1794300000000","model":"%b"}' % name for name in (b"crsr_" + b"0a" * 32, b"a"))
    masked = b'{"timestamp":"1794300000000","model":"[secret]"}'
    assert sorted([secret, plain]) == [plain, secret]
    assert sorted([masked, plain]) == [masked, plain]
    load_extract(warehouse, EVENTS, [day(plain, secret)], moment())
    assert [row["payload"].encode() for row in held(warehouse)] == [masked, plain]
    (again,) = load_extract(warehouse, EVENTS, [day(masked, plain)], moment(1))
    assert not again.changed


def test_equal_records_are_as_many_rows(warehouse: DuckDBWarehouse) -> None:
    """Two equal events are two rows, and a third is a change."""
    load_extract(warehouse, EVENTS, [day(event(1), event(1))], moment())
    assert [row["record_no"] for row in held(warehouse)] == [1, 2]
    (third,) = load_extract(warehouse, EVENTS, [day(event(1), event(1), event(1))], moment(1))
    assert third.changed
    assert len(held(warehouse)) == 3


def test_a_refused_day_keeps_what_is_held(warehouse: DuckDBWarehouse) -> None:
    """A day that must not be believed leaves the old records, and its reason in the log beside their dollars."""
    load_extract(warehouse, EVENTS, [day(event(1), usd="7")], moment())
    load_extract(warehouse, EVENTS, [RejectedDay(TABLE, DAY, "it does not add up for jane@example.com")], moment(1))
    assert len(held(warehouse)) == 1
    noted = entry(warehouse)
    assert (noted["status"], noted["message"]) == ("failed", "it does not add up for [e-mail]")
    assert (noted["amount_usd"], noted["records"], noted["completed_at"]) == (Decimal(7), 1, NOW)


def test_an_empty_day_does_not_replace_a_full_one(warehouse: DuckDBWarehouse) -> None:
    """A pull that is suddenly empty is kept out, and the message says how to accept it."""
    load_extract(warehouse, EVENTS, [day(event(1), usd="7")], moment())
    load_extract(warehouse, EVENTS, [day(usd="0")], moment(1))
    assert len(held(warehouse)) == 1
    assert "--accept-loss" in entry(warehouse)["message"]
    assert "$7.00" in entry(warehouse)["message"]


def test_an_empty_day_may_be_accepted(warehouse: DuckDBWarehouse) -> None:
    """When a person accepts the loss, the day is emptied and complete."""
    load_extract(warehouse, EVENTS, [day(event(1))], moment())
    load_extract(warehouse, EVENTS, [day(usd="0")], moment(1, accept_loss=True))
    assert held(warehouse) == []
    assert (entry(warehouse)["status"], entry(warehouse)["records"]) == ("complete", 0)


def test_an_empty_day_is_a_result_where_nothing_was(warehouse: DuckDBWarehouse) -> None:
    """A quiet Sunday is complete with zero records."""
    load_extract(warehouse, EVENTS, [day(usd="0")], moment())
    assert (entry(warehouse)["status"], entry(warehouse)["records"]) == ("complete", 0)


def test_a_days_failure_is_noted_without_touching_it(warehouse: DuckDBWarehouse) -> None:
    """A vendor that does not answer leaves the day's records and its last completion, and a reason."""
    load_extract(warehouse, EVENTS, [day(event(1))], moment())
    log_unloaded_days(warehouse, EVENTS, [DAY], moment(1), "failed", "503")
    assert len(held(warehouse)) == 1
    assert (entry(warehouse)["status"], entry(warehouse)["completed_at"]) == ("failed", NOW)


def test_emails_are_carried_forward(warehouse: DuckDBWarehouse) -> None:
    """An event whose e-mail the vendor has taken away keeps the one it had, through any number of pulls."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2, "sam@example.com"))], moment())
    for hours in (1, 2):
        load_extract(warehouse, EVENTS, [day(event(1, None), event(2, None), event(hours + 10))], moment(hours))
        carried = {row["carried_email"] for row in held(warehouse)}
        assert carried == {"jane@example.com", "sam@example.com", None}


def test_each_stored_event_lends_its_email_once(warehouse: DuckDBWarehouse) -> None:
    """Of two equal events with different e-mails each keeps its own; none is lent twice."""
    load_extract(warehouse, EVENTS, [day(event(1), event(1, "sam@example.com"))], moment())
    load_extract(warehouse, EVENTS, [day(event(1, None), event(1, "sam@example.com"), event(9))], moment(1))
    carried = [row["carried_email"] for row in held(warehouse) if row["carried_email"]]
    assert carried == ["jane@example.com"]


def test_lengths_belong_to_the_fingerprint(warehouse: DuckDBWarehouse) -> None:
    """Two records are never taken for one that is both of them."""
    users = next(pull for pull in catalog.EXTRACTS if pull.name == "anthropic_users")
    one = DayBatch(users.tables[0], DAY, [b'{"a":1}{"a":2}'], pages=1)
    two = DayBatch(users.tables[0], DAY, [b'{"a":1}', b'{"a":2}'], pages=1)
    load_extract(warehouse, users, [one], moment())
    assert load_extract(warehouse, users, [two], moment(1))[0].changed


def test_a_restated_day_is_noted_with_both_totals(warehouse: DuckDBWarehouse) -> None:
    """A day that was whole and changes leaves a line with its old and new records and dollars; the same again none."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2), usd="7")], moment())
    load_extract(warehouse, EVENTS, [day(event(2), usd="5")], moment(1))
    load_extract(warehouse, EVENTS, [day(event(2), usd="5")], moment(2))
    (noted,) = warehouse.rows("SELECT * FROM ai_usage.ops_restatements")
    assert (noted["usage_date"], noted["run_id"]) == (DAY, "run1")
    assert (noted["old_records"], noted["new_records"]) == (2, 1)
    assert (noted["old_amount_usd"], noted["new_amount_usd"]) == (Decimal(7), Decimal(5))


def test_an_older_export_does_not_replace_a_whole_day(warehouse: DuckDBWarehouse) -> None:
    """A pull whose data reaches less far than what is held is kept out, whatever it brings."""
    late, early = NOW, NOW - timedelta(hours=8)
    load_extract(warehouse, EVENTS, [replace(day(event(1), event(2), usd="30"), watermark=late)], moment())
    partial = replace(day(event(1), usd="0.05"), watermark=early, incomplete_reason="reaches only to noon")
    for number, pulled in enumerate((partial, replace(day(event(3), usd="9"), watermark=early)), 1):
        load_extract(warehouse, EVENTS, [pulled], moment(number))
        noted = entry(warehouse)
        assert (noted["status"], noted["amount_usd"], noted["records"]) == ("failed", Decimal(30), 2)
        assert "reaches less far" in noted["message"]
    load_extract(warehouse, EVENTS, [replace(day(event(3), usd="9"), watermark=late)], moment(3))
    assert entry(warehouse)["amount_usd"] == Decimal(9)


@pytest.mark.parametrize("status", ["not_configured", "not_exposed"])
def test_a_day_that_is_held_whole_stays_whole_when_it_may_no_longer_be_asked(
    warehouse: DuckDBWarehouse, status: str
) -> None:
    """A key that was taken away makes no held day missing; days that were never held say why they are not."""
    load_extract(warehouse, EVENTS, [day(event(1))], moment())
    log_unloaded_days(warehouse, EVENTS, [DAY, DAY + timedelta(days=1)], moment(1), status, "no key")
    found = warehouse.rows("SELECT status, message FROM ai_usage.ops_asset_days ORDER BY usage_date")
    assert found == [{"status": "complete", "message": None}, {"status": status, "message": "no key"}]


def test_productivity_may_become_empty(warehouse: DuckDBWarehouse) -> None:
    """Where no money hangs on it, a complete and empty pull is the truth."""
    code = next(pull for pull in catalog.EXTRACTS if pull.name == "anthropic_claude_code")
    load_extract(warehouse, code, [DayBatch(code.tables[0], DAY, [b"{}"], pages=1)], moment())
    load_extract(warehouse, code, [DayBatch(code.tables[0], DAY, [], pages=1)], moment(1))
    assert (entry(warehouse)["status"], entry(warehouse)["records"]) == ("complete", 0)


def test_a_key_used_as_a_name_is_not_kept(warehouse: DuckDBWarehouse) -> None:
    """A record is landed byte for byte, but for what looks like a whole key; ids and hints stay."""
    kept = b'{"id":"apikey_01Rj2N8SVvo6BePZj99NhmiT","hint":"sk-ant-api03-R2D...igAA",  "n":1.50}'
    secret = b'{"name":"sk-ant-api03-' + b"a1B2" * 12 + b'"}'
    load_extract(warehouse, EVENTS, [day(kept, secret)], moment())
    assert [row["payload"] for row in held(warehouse)] == [kept.decode(), '{"name":"[secret]"}']


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (rb"Leaked:\n%s", r"Leaked:\n[secret]"),
        (rb"\u201c%s\u201d", r"\u201c[secret]\u201d"),
        (rb"\u00e9%s", r"\u00e9[secret]"),
        (rb"\u0022of\u0020\u0073%.37s", r"\"of [secret]"),
        (rb"sk\u002dant-\u200b%.37s\u002dtail", "[secret]"),
        ("s\u200bk-ant\u2060-%.37s".encode(), "[secret]"),
    ],
)
def test_a_key_is_found_however_it_is_written(warehouse: DuckDBWarehouse, written: bytes, kept: str) -> None:
    """Escapes before a key or in it and unseen characters hide no key; other strings stay as they are written."""
    rest = b"k-ant-api03-" if b"u0073" in written else b"" if b"ant" in written else b"sk-ant-api03-"
    other = b'"of":"R\\u0026D","who":"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",  "n":1.50'
    secret = b'{"name":"' + written % (rest + b"a1B2" * 12) + b'",' + other + b"}"
    harmless = b'{"name":"",' + other + b"}"
    load_extract(warehouse, EVENTS, [day(harmless, secret)], moment())
    assert {row["payload"] for row in held(warehouse)} == {
        harmless.decode(),
        f'{{"name":"{kept}",{other.decode()}}}',
    }
    assert not load_extract(warehouse, EVENTS, [day(harmless, secret)], moment(1))[0].changed
