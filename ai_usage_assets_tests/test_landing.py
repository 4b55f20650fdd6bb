"""Tests when a day replaces loaded data, and which e-mails are carried forward."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.landing import records
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.sources.base import DayBatch, RejectedDay
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.landing import load_extract, log_unloaded_days

(TABLE,) = EVENTS.tables
DAY = date(2026, 11, 10)
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)


def event(number: int, email: str | None = "jane@example.com") -> bytes:
    """A usage event; equal numbers are equal events."""
    shown: dict[str, Any] = {"timestamp": str(1794300000000 + number), "model": "m", "conversationId": "c"}
    return msgspec.json.encode({**shown, **({"userEmail": email} if email else {}), "chargedCents": number})


def day(*records: bytes, usd: str = "1") -> DayBatch:
    """A complete batch for DAY."""
    return DayBatch(TABLE, DAY, records, pages=1, expected_records=len(records), amount_usd=Decimal(usd))


def stored_rows(warehouse: DuckDBWarehouse) -> list[dict[str, Any]]:
    """Every stored record."""
    return warehouse.rows(f"SELECT * FROM ai_usage.{TABLE.name} ORDER BY usage_date, record_no")


def entry(warehouse: DuckDBWarehouse) -> dict[str, Any]:
    """The only entry of the day log."""
    (row,) = warehouse.rows("SELECT * FROM ai_usage.ops_asset_days")
    return row


def run_context(hours: int = 0, **changed: Any) -> RunContext:
    """A run that starts some hours after NOW."""
    return RunContext(f"run{hours}", NOW + timedelta(hours=hours), **changed)


def test_the_same_records_change_no_row(warehouse: DuckDBWarehouse) -> None:
    """The same records in another order change no row; the day log records the attempt."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2), event(2))], run_context())
    before = stored_rows(warehouse)
    (second,) = load_extract(warehouse, EVENTS, [day(event(2), event(1), event(2))], run_context(1))
    assert not second.changed
    assert stored_rows(warehouse) == before
    assert entry(warehouse)["attempted_at"] == NOW + timedelta(hours=1)
    assert entry(warehouse)["landed_at"] == NOW


def test_records_are_sorted_after_redaction(warehouse: DuckDBWarehouse) -> None:
    """Records are sorted by their redacted bytes, so a redacted key changes no row of the next extract."""
    secret, plain = (b'{"timestamp":"1794300000000","model":"%b"}' % name for name in (b"crsr_" + b"0a" * 32, b"a"))
    masked = b'{"timestamp":"1794300000000","model":"[secret]"}'
    assert sorted([secret, plain]) == [plain, secret]
    assert sorted([masked, plain]) == [masked, plain]
    load_extract(warehouse, EVENTS, [day(plain, secret)], run_context())
    assert [row["payload"].encode() for row in stored_rows(warehouse)] == [masked, plain]
    (second,) = load_extract(warehouse, EVENTS, [day(masked, plain)], run_context(1))
    assert not second.changed


def test_equal_records_are_separate_rows(warehouse: DuckDBWarehouse) -> None:
    """Two equal events are two rows, and a third one is a change."""
    load_extract(warehouse, EVENTS, [day(event(1), event(1))], run_context())
    assert [row["record_no"] for row in stored_rows(warehouse)] == [1, 2]
    (third,) = load_extract(warehouse, EVENTS, [day(event(1), event(1), event(1))], run_context(1))
    assert third.changed
    assert len(stored_rows(warehouse)) == 3


def test_a_rejected_day_keeps_the_loaded_records(warehouse: DuckDBWarehouse) -> None:
    """A rejected day keeps its loaded records, and the day log has the reason."""
    load_extract(warehouse, EVENTS, [day(event(1), usd="7")], run_context())
    load_extract(
        warehouse, EVENTS, [RejectedDay(TABLE, DAY, "it does not add up for jane@example.com")], run_context(1)
    )
    assert len(stored_rows(warehouse)) == 1
    noted = entry(warehouse)
    assert (noted["status"], noted["message"]) == ("failed", "it does not add up for [e-mail]")
    assert (noted["amount_usd"], noted["records"], noted["completed_at"]) == (Decimal(7), 1, NOW)


def test_an_empty_day_does_not_replace_a_full_one(warehouse: DuckDBWarehouse) -> None:
    """A suddenly empty extract is not loaded, and the message names --accept-loss."""
    load_extract(warehouse, EVENTS, [day(event(1), usd="7")], run_context())
    load_extract(warehouse, EVENTS, [day(usd="0")], run_context(1))
    assert len(stored_rows(warehouse)) == 1
    assert "--accept-loss" in entry(warehouse)["message"]
    assert "$7.00" in entry(warehouse)["message"]


def test_an_accepted_empty_day_is_loaded(warehouse: DuckDBWarehouse) -> None:
    """With accept_loss, the day becomes empty and complete."""
    load_extract(warehouse, EVENTS, [day(event(1))], run_context())
    load_extract(warehouse, EVENTS, [day(usd="0")], run_context(1, accept_loss=True))
    assert stored_rows(warehouse) == []
    assert (entry(warehouse)["status"], entry(warehouse)["records"]) == ("complete", 0)


def test_a_first_empty_day_is_complete(warehouse: DuckDBWarehouse) -> None:
    """An empty day that was never loaded is complete with zero records."""
    load_extract(warehouse, EVENTS, [day(usd="0")], run_context())
    assert (entry(warehouse)["status"], entry(warehouse)["records"]) == ("complete", 0)


def test_the_day_log_describes_the_loaded_records(warehouse: DuckDBWarehouse) -> None:
    """The entry of a loaded day has its counts, bytes, dollars and times."""
    batch = replace(day(event(1), event(2), usd="7"), pages=3, expected_records=2, watermark=NOW)
    load_extract(warehouse, EVENTS, [batch], run_context())
    expected = {
        "asset": TABLE.name,
        "vendor": "cursor",
        "usage_date": DAY,
        "is_daily": True,
        "status": "complete",
        "message": None,
        "records": 2,
        "expected_records": 2,
        "pages": 3,
        "bytes": len(event(1)) + len(event(2)),
        "amount_usd": Decimal(7),
        "watermark": NOW,
        "attempted_at": NOW,
        "completed_at": NOW,
        "landed_at": NOW,
        "run_id": "run0",
        "landed_run_id": "run0",
    }
    noted = entry(warehouse)
    assert {name: noted[name] for name in expected} == expected


def test_an_incomplete_day_has_its_reason(warehouse: DuckDBWarehouse) -> None:
    """The entry of an incomplete day says why it is incomplete; its records are loaded."""
    load_extract(warehouse, EVENTS, [replace(day(event(1)), incomplete_reason="reaches only to noon")], run_context())
    noted = entry(warehouse)
    assert (noted["status"], noted["message"]) == ("incomplete", "reaches only to noon")
    assert (noted["records"], noted["completed_at"], noted["landed_at"]) == (1, None, NOW)


def test_the_current_state_is_not_daily(warehouse: DuckDBWarehouse) -> None:
    """The entry of an extract that has only the current state is not part of a series of days."""
    members = next(extract for extract in catalog.EXTRACTS if extract.is_snapshot)
    load_extract(warehouse, members, [DayBatch(members.tables[0], DAY, [b"{}"], pages=1)], run_context())
    assert entry(warehouse)["is_daily"] is False


def test_a_failed_attempt_keeps_the_loaded_day(warehouse: DuckDBWarehouse) -> None:
    """A failed attempt changes nothing of what the entry says about the loaded records."""
    load_extract(warehouse, EVENTS, [replace(day(event(1), usd="7"), watermark=NOW)], run_context())
    before = entry(warehouse)
    log_unloaded_days(warehouse, EVENTS, [DAY], run_context(1), "failed", "503")
    assert len(stored_rows(warehouse)) == 1
    attempt = {"status": "failed", "message": "503", "attempted_at": NOW + timedelta(hours=1), "run_id": "run1"}
    assert entry(warehouse) == {**before, **attempt}


def test_a_loaded_empty_day_stays_unchanged(warehouse: DuckDBWarehouse) -> None:
    """A day without records has no rows to compare with the day log, and is not loaded again."""
    for hours in range(2):
        (result,) = load_extract(warehouse, EVENTS, [day(usd="0")], run_context(hours))
        assert result.changed == (hours == 0)


def test_emails_are_carried_forward(warehouse: DuckDBWarehouse) -> None:
    """An event whose e-mail the vendor removed keeps it through any number of extracts."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2, "sam@example.com"))], run_context())
    for hours in (1, 2):
        load_extract(warehouse, EVENTS, [day(event(1, None), event(2, None), event(hours + 10))], run_context(hours))
        carried = {row["carried_email"] for row in stored_rows(warehouse)}
        assert carried == {"jane@example.com", "sam@example.com", None}


def test_each_stored_event_passes_its_email_on_once(warehouse: DuckDBWarehouse) -> None:
    """Two equal events with different e-mails keep one each; an e-mail that an event still has is not carried."""
    jane, sam = "jane@example.com", "sam@example.com"
    load_extract(warehouse, EVENTS, [day(event(1, jane), event(1, sam))], run_context())
    for hours, (named, expected) in enumerate(((sam, jane), (jane, sam)), 1):
        load_extract(warehouse, EVENTS, [day(event(1, None), event(1, named), event(9))], run_context(hours))
        carried = [row["carried_email"] for row in stored_rows(warehouse) if row["carried_email"]]
        assert carried == [expected]


def test_equal_events_of_a_person_keep_their_emails(warehouse: DuckDBWarehouse) -> None:
    """Two equal events of one person pass on two e-mails, also when only one of them lost its own."""
    jane = "jane@example.com"
    load_extract(warehouse, EVENTS, [day(event(1), event(1))], run_context())
    load_extract(warehouse, EVENTS, [day(event(1), event(1, None))], run_context(1))
    stored = {row["payload"]: row["carried_email"] for row in stored_rows(warehouse)}
    assert stored == {event(1).decode(): None, event(1, None).decode(): jane}
    load_extract(warehouse, EVENTS, [day(event(1, None), event(1, None))], run_context(2))
    assert [row["carried_email"] for row in stored_rows(warehouse)] == [jane, jane]


def test_an_email_is_carried_past_named_events(warehouse: DuckDBWarehouse) -> None:
    """An event that still has its e-mail does not end the search for those of later events."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2))], run_context())
    load_extract(warehouse, EVENTS, [day(event(1), event(2, None))], run_context(1))
    assert [row["carried_email"] for row in stored_rows(warehouse)] == [None, "jane@example.com"]


def test_an_email_is_not_carried_to_a_second_event(warehouse: DuckDBWarehouse) -> None:
    """Equal events without e-mails get those of the stored events, each once; an additional event gets none."""
    load_extract(warehouse, EVENTS, [day(event(1), event(1, "sam@example.com"))], run_context())
    load_extract(warehouse, EVENTS, [day(*[event(1, None)] * 3)], run_context(1))
    carried = ["jane@example.com", "sam@example.com", None]
    assert [row["carried_email"] for row in stored_rows(warehouse)] == carried
    # Nor when the e-mail itself was carried.
    load_extract(warehouse, EVENTS, [day(*[event(1, None)] * 4)], run_context(2))
    assert [row["carried_email"] for row in stored_rows(warehouse)] == [*carried, None]


def test_an_email_is_not_carried_to_another_event(warehouse: DuckDBWarehouse) -> None:
    """An event of another model or time gets no e-mail."""
    load_extract(warehouse, EVENTS, [day(event(1))], run_context())
    other = event(1, None).replace(b'"model":"m"', b'"model":"n"')
    load_extract(warehouse, EVENTS, [day(other, event(2, None))], run_context(1))
    assert [row["carried_email"] for row in stored_rows(warehouse)] == [None, None]


def test_an_email_is_carried_to_every_record_of_a_person(warehouse: DuckDBWarehouse) -> None:
    """A table that identifies people keeps the e-mail for each record of the same id, and for no other id."""
    usage = next(extract for extract in catalog.EXTRACTS if extract.name == "cursor_daily_usage")
    (table,) = usage.tables
    known, unnamed, again, other = (
        b'{"day":"2026-11-10","userId":%d,"n":%d%b}' % row
        for row in ((1, 1, b',"email":"jane@example.com"'), (1, 1, b""), (1, 2, b""), (2, 3, b""))
    )
    load_extract(warehouse, usage, [DayBatch(table, DAY, [known], pages=1)], run_context())
    for hours in (1, 2):
        batch = DayBatch(table, DAY, [unnamed, again, other][: hours + 1], pages=1)
        load_extract(warehouse, usage, [batch], run_context(hours))
        rows = warehouse.rows(f"SELECT carried_email FROM ai_usage.{table.name} ORDER BY record_no")
        assert [row["carried_email"] for row in rows] == ["jane@example.com", "jane@example.com", None][: hours + 1]


def test_a_record_with_an_email_needs_no_carried_one(warehouse: DuckDBWarehouse) -> None:
    """Of two records of a person, only the one without an e-mail gets the stored one."""
    usage = next(extract for extract in catalog.EXTRACTS if extract.name == "cursor_daily_usage")
    (table,) = usage.tables
    named, unnamed = b'{"day":"2026-11-10","userId":1,"email":"jane@example.com"}', b'{"day":"2026-11-10","userId":1}'
    load_extract(warehouse, usage, [DayBatch(table, DAY, [named], pages=1)], run_context())
    load_extract(warehouse, usage, [DayBatch(table, DAY, [named, unnamed], pages=1)], run_context(1))
    stored = warehouse.rows(f"SELECT payload, carried_email FROM ai_usage.{table.name}")
    carried = {row["payload"].encode(): row["carried_email"] for row in stored}
    assert carried == {named: None, unnamed: "jane@example.com"}


def test_the_days_of_an_extract_are_loaded_together(warehouse: DuckDBWarehouse) -> None:
    """Unchanged, rejected and changed days of one extract each have their own result, in order."""
    later = [replace(day(event(number)), day=DAY + timedelta(days=number)) for number in range(3)]
    load_extract(warehouse, EVENTS, later, run_context())
    rejected = RejectedDay(TABLE, later[1].day, "it does not add up")
    results = load_extract(
        warehouse, EVENTS, [later[0], rejected, replace(later[2], records=[event(9)])], run_context(1)
    )
    assert [(result.entry["usage_date"], result.entry["status"], result.changed) for result in results] == [
        (later[0].day, "complete", False), (later[1].day, "failed", False), (later[2].day, "complete", True),
    ]  # fmt: skip
    assert [result.changed is False for result in results] == [True, True, False]
    assert [row["payload"] for row in stored_rows(warehouse)] == [event(number).decode() for number in (0, 1, 9)]


def test_unloaded_days_have_a_result_each(warehouse: DuckDBWarehouse) -> None:
    """A day that was not loaded has its entry as the result, unchanged."""
    days = [DAY, DAY + timedelta(days=1)]
    results = log_unloaded_days(warehouse, EVENTS, days, run_context(), "failed", "503")
    assert [(result.entry["usage_date"], result.changed is False) for result in results] == [
        (day, True) for day in days
    ]


def test_an_unchanged_day_stays_unchanged(warehouse: DuckDBWarehouse) -> None:
    """An extract that equals the loaded records keeps their digest, so that the next one is equal too."""
    for hours in range(3):
        (result,) = load_extract(warehouse, EVENTS, [day(event(1))], run_context(hours))
        assert result.changed == (hours == 0)
    assert (entry(warehouse)["landed_at"], entry(warehouse)["landed_run_id"]) == (NOW, "run0")


def test_an_accepted_incomplete_day_was_complete_before(warehouse: DuckDBWarehouse) -> None:
    """When an operator accepts a part of a complete day, the time of its last complete load stays."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2))], run_context())
    partial = replace(day(event(1)), incomplete_reason="reaches only to noon")
    load_extract(warehouse, EVENTS, [partial], run_context(1, accept_loss=True))
    noted = entry(warehouse)
    assert (noted["status"], noted["records"], noted["completed_at"]) == ("incomplete", 1, NOW)
    assert noted["landed_at"] == NOW + timedelta(hours=1)


def test_the_digest_covers_the_content_of_records() -> None:
    """Records of the same length, other boundaries, and empty records have different digests."""
    days: list[list[bytes]] = [
        [b"ab"],
        [b"ba"],
        [b"a", b"b"],
        [b"", b"ab"],
        [b"ab", b""],
        [b"abab"],
        [b"ab", b"ab"],
        [],
    ]
    columns = [records._to_column(day_records) for day_records in days]
    assert len({records.content_digest(column) for column in columns}) == len(days)
    assert [records.size_bytes(column) for column in columns] == [2, 2, 2, 2, 2, 4, 4, 0]


def test_a_restatement_of_equal_length_is_a_change(warehouse: DuckDBWarehouse) -> None:
    """A record that changes without becoming longer replaces the day."""
    load_extract(warehouse, EVENTS, [day(event(1))], run_context())
    (second,) = load_extract(warehouse, EVENTS, [day(event(2))], run_context(1))
    assert len(event(1)) == len(event(2))
    assert second.changed
    assert [row["payload"] for row in stored_rows(warehouse)] == [event(2).decode()]


@pytest.mark.parametrize("emails", [[None, None], [None, "jane@example.com"]])
def test_raw_rows_have_fixed_columns(emails: list[str | None]) -> None:
    """The names and types do not depend on whether a record has an e-mail."""
    rows = records.to_raw_rows(records._to_column([b"a", b"b"]), emails)
    assert rows.schema == pa.schema(
        {"record_no": pa.int64(), "payload": pa.large_string(), "carried_email": pa.string()}
    )
    assert rows.to_pydict() == {"record_no": [1, 2], "payload": ["a", "b"], "carried_email": emails}


def test_a_restated_day_is_recorded_with_both_totals(warehouse: DuckDBWarehouse) -> None:
    """A complete day that changes is recorded with its old and new records and dollars."""
    load_extract(warehouse, EVENTS, [day(event(1), event(2), usd="7")], run_context())
    load_extract(warehouse, EVENTS, [day(event(2), usd="5")], run_context(1))
    load_extract(warehouse, EVENTS, [day(event(2), usd="5")], run_context(2))
    (noted,) = warehouse.rows("SELECT * FROM ai_usage.ops_restatements")
    assert (noted["usage_date"], noted["run_id"]) == (DAY, "run1")
    assert (noted["old_records"], noted["new_records"]) == (2, 1)
    assert (noted["old_amount_usd"], noted["new_amount_usd"]) == (Decimal(7), Decimal(5))


def test_an_older_export_does_not_replace_a_complete_day(warehouse: DuckDBWarehouse) -> None:
    """An extract with an earlier watermark is not loaded."""
    late, early = NOW, NOW - timedelta(hours=8)
    load_extract(warehouse, EVENTS, [replace(day(event(1), event(2), usd="30"), watermark=late)], run_context())
    partial = replace(day(event(1), usd="0.05"), watermark=early, incomplete_reason="reaches only to noon")
    for number, pulled in enumerate((partial, replace(day(event(3), usd="9"), watermark=early)), 1):
        load_extract(warehouse, EVENTS, [pulled], run_context(number))
        noted = entry(warehouse)
        assert (noted["status"], noted["amount_usd"], noted["records"]) == ("failed", Decimal(30), 2)
        assert "ends earlier" in noted["message"]
    load_extract(warehouse, EVENTS, [replace(day(event(3), usd="9"), watermark=late)], run_context(3))
    assert entry(warehouse)["amount_usd"] == Decimal(9)


@pytest.mark.parametrize("status", ["not_configured", "not_exposed"])
def test_a_complete_day_stays_complete_without_access(warehouse: DuckDBWarehouse, status: str) -> None:
    """A complete day stays complete without a key; a day that was never loaded has the reason."""
    load_extract(warehouse, EVENTS, [day(event(1))], run_context())
    log_unloaded_days(warehouse, EVENTS, [DAY, DAY + timedelta(days=1)], run_context(1), status, "no key")
    entries = warehouse.rows("SELECT status, message FROM ai_usage.ops_asset_days ORDER BY usage_date")
    assert entries == [{"status": "complete", "message": None}, {"status": status, "message": "no key"}]


def test_an_extract_without_money_may_become_empty(warehouse: DuckDBWarehouse) -> None:
    """An extract that may become empty replaces a full day with an empty one."""
    code = next(pull for pull in catalog.EXTRACTS if pull.name == "anthropic_claude_code")
    load_extract(warehouse, code, [DayBatch(code.tables[0], DAY, [b"{}"], pages=1)], run_context())
    load_extract(warehouse, code, [DayBatch(code.tables[0], DAY, [], pages=1)], run_context(1))
    assert (entry(warehouse)["status"], entry(warehouse)["records"]) == ("complete", 0)


def test_a_key_in_a_record_is_redacted(warehouse: DuckDBWarehouse) -> None:
    """A record is stored byte for byte, except for complete keys; ids and key hints stay."""
    expected = b'{"id":"apikey_01Rj2N8SVvo6BePZj99NhmiT","hint":"sk-ant-api03-R2D...igAA",  "n":1.50}'
    secret = b'{"name":"sk-ant-api03-' + b"a1B2" * 12 + b'"}'
    load_extract(warehouse, EVENTS, [day(expected, secret)], run_context())
    assert [row["payload"] for row in stored_rows(warehouse)] == [expected.decode(), '{"name":"[secret]"}']


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (rb"Leaked:\n%s", r"Leaked:\n[secret]"),
        (rb"\u201c%s\u201d", r"\u201c[secret]\u201d"),
        (rb"\u00e9%s", r"\u00e9[secret]"),
        (rb"\u0022of\u0020\u0073%.37s", r"\"of [secret]"),
        (rb"sk\u002dant-\u200b%.37s\u002dtail", "[secret]"),
        ("s\u200bk-ant\u2060-%.37s".encode(), "[secret]"),
    ],
)
def test_keys_with_escapes_are_redacted(warehouse: DuckDBWarehouse, record: bytes, expected: str) -> None:
    """JSON escapes and invisible characters do not hide a key, and other strings stay unchanged."""
    rest = b"k-ant-api03-" if b"u0073" in record else b"" if b"ant" in record else b"sk-ant-api03-"
    other = b'"of":"R\\u0026D","who":"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",  "n":1.50'
    secret = b'{"name":"' + record % (rest + b"a1B2" * 12) + b'",' + other + b"}"
    harmless = b'{"name":"",' + other + b"}"
    load_extract(warehouse, EVENTS, [day(harmless, secret)], run_context())
    assert {row["payload"] for row in stored_rows(warehouse)} == {
        harmless.decode(),
        f'{{"name":"{expected}",{other.decode()}}}',
    }
    assert not load_extract(warehouse, EVENTS, [day(harmless, secret)], run_context(1))[0].changed
