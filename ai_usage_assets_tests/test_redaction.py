"""Every format of key is redacted wherever a text leaves or enters: raw records, logs, screens and sheet cells."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.extracts import load_extract
from ai_usage_assets.logs.json_logs import format_entry
from ai_usage_assets.redaction import KEY_FORMATS, redact, redact_line
from ai_usage_assets.sources.base import DayBatch
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.sources.mapping_sheet.cells import is_secret
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse

RUN = RunContext("r", datetime(2026, 11, 20, 6, tzinfo=UTC))
(TABLE,) = EVENTS.tables

# The shortest key of each format, built from the vendors' documentation and not from the patterns.
ANTHROPIC_KEY, CURSOR_KEY = "sk-ant-admin01-" + "Zz9_" * 2, "crsr_" + "0af1" * 5
KEYS = {
    "sk-": ANTHROPIC_KEY,
    "sk_": "sk_" + "9x" * 10,
    "crsr_": CURSOR_KEY,
    "crsr-": "crsr-" + "0af1" * 5,
    "c2st": base64.b64encode(ANTHROPIC_KEY.encode()).decode(),
    "Y3Jzc": base64.b64encode(CURSOR_KEY.encode()).decode(),
    "ya29.": "ya29.a0AfB_by-C",
    "AIza": "AIzaSyD-" + "x1Y_" * 4,
    "eyJ": "eyJhbGciOiJIUzI1NiJ9.e30",
    "key-": "key-" + "a1b2" * 5,
    "key_": "key_" + "a1b2" * 5,
}


def store(warehouse: DuckDBWarehouse, *records: str) -> list[str]:
    """Loads records as one day, and returns the stored payloads in order."""
    day = date(2026, 11, 10)
    batch = DayBatch(TABLE, day, [record.encode() for record in records], pages=1, amount_usd=Decimal(1))
    load_extract(warehouse, EVENTS, [batch], RUN)
    stored = warehouse.rows(f"SELECT payload FROM ai_usage.{TABLE.name} ORDER BY record_no")
    return [row["payload"] for row in stored]


def test_every_prefix_has_an_example() -> None:
    """A prefix that is added or removed changes the examples below."""
    assert {prefix for key_format in KEY_FORMATS for prefix in key_format.prefixes} == KEYS.keys()


@pytest.mark.parametrize("prefix", KEYS)
def test_a_key_of_every_format_is_redacted_in_records(warehouse: DuckDBWarehouse, prefix: str) -> None:
    """A record loses its key and nothing else; the prefix alone stays."""
    record, other = '{"a":"note of %s, 1","n":1.50}', f'{{"b":"{prefix}"}}'
    assert store(warehouse, record % KEYS[prefix], other) == [record % "[secret]", other]


@pytest.mark.parametrize("prefix", KEYS)
def test_a_key_of_every_format_is_redacted_in_texts(prefix: str) -> None:
    """Messages, log entries and names on screens have no key, also names of people; a sheet cell is recognized."""
    text, expected = f"note of {KEYS[prefix]}, 1", "note of [secret], 1"
    assert redact(text) == expected
    assert json.loads(format_entry(logging.INFO, text))["message"] == expected
    assert redact_line(text, with_people=True) == expected
    assert is_secret(text)
    assert not is_secret(f"note of {prefix}, 1")


@pytest.mark.parametrize("key", [ANTHROPIC_KEY, CURSOR_KEY])
@pytest.mark.parametrize("text", ["%b", "%b:", "%b:password", "%b\n"])
def test_a_key_in_base64_is_redacted(warehouse: DuckDBWarehouse, key: str, text: str) -> None:
    """The credentials of a Basic header, alone or with its scheme, are redacted in records and texts."""
    encoded = base64.b64encode(text.encode() % key.encode()).decode()
    assert store(warehouse, f'{{"h":"Basic {encoded}"}}', f'{{"i":"{encoded}"}}') == [
        '{"h":"Basic [secret]"}',
        '{"i":"[secret]"}',
    ]
    assert redact_line(encoded, with_people=True) == "[secret]"
    assert redact(f"i {encoded}") == "i [secret]"
    assert encoded not in redact(f"Authorization: Basic {encoded}")


@pytest.mark.parametrize("piece", [ANTHROPIC_KEY[:12], CURSOR_KEY[:12]])
def test_a_piece_of_a_key_in_base64_is_redacted_in_messages(piece: str) -> None:
    """The start of a key in base64, too short to be a complete key, is redacted in a message."""
    encoded = base64.b64encode(piece.encode()).decode()
    assert redact(f"{encoded[:12]} was cut") == "[secret] was cut"
