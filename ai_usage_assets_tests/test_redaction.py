"""Every format of key is redacted wherever a text leaves or enters: raw records, logs, screens and sheet cells."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.util import find_spec, module_from_spec

import pytest

from ai_usage_assets import redaction
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.logs.json_logs import format_entry
from ai_usage_assets.redaction import KEY_FORMATS, deobfuscate, redact, redact_keys_in_json, redact_line
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.sources.base import DayBatch
from ai_usage_assets.sources.cursor.events import EXTRACT as EVENTS
from ai_usage_assets.sources.mapping_sheet.cells import is_secret
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets_tests.support.landing import load_extract

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
    others = [p for entry in SOURCES if entry.name not in ("anthropic", "cursor") for p in entry.key_prefixes]
    # `test_registry` has an example of each of these.
    generated = {form for p in others for form in (*redaction._separator_variants(p), redaction._in_base64(p))}
    assert {prefix for key_format in KEY_FORMATS for prefix in key_format.prefixes} == KEYS.keys() | generated


@pytest.mark.parametrize(
    ("prefix", "variants", "encoded"),
    [
        ("sk-", ("sk-", "sk_"), "c2st"),
        ("crsr_", ("crsr-", "crsr_"), "Y3Jzc"),
        ("abc_", ("abc-", "abc_"), "YWJj"),
        ("keyX", ("keyX",), "a2V5W"),
    ],
)
def test_each_prefix_is_detected_in_other_forms(prefix: str, variants: tuple[str, ...], encoded: str) -> None:
    """A prefix is detected with either separator, and in base64 as far as the key's next character has no effect."""
    assert (redaction._separator_variants(prefix), redaction._in_base64(prefix)) == (variants, encoded)
    assert all(base64.b64encode(f"{prefix}{c}".encode()).decode().startswith(encoded) for c in "\x00a\x7f")


def test_an_import_builds_the_patterns_of_every_format() -> None:
    """The patterns, which another process builds when it imports the module, match each key and no prefix alone."""
    spec = find_spec(redaction.__name__)
    assert spec is not None
    assert spec.loader is not None
    imported = module_from_spec(spec)
    spec.loader.exec_module(imported)
    for prefix, key in KEYS.items():
        assert imported.KEY_PATTERN.fullmatch(key)
        assert not imported.KEY_PATTERN.search(prefix)
        # x_key_… can be an id.
        assert bool(imported.KEY_PATTERN.search(f"x_{key}")) == (prefix not in ("key-", "key_"))


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


ESCAPED_KEY = ANTHROPIC_KEY.replace("-", r"\u002d")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # Only the string with the key changes; the others keep their escapes and invisible characters.
        (f'{{"a": "{ESCAPED_KEY}",  "b":"R\\u0026D", "c":"x\u200by"}}',
         '{"a": "[secret]",  "b":"R\\u0026D", "c":"x\u200by"}'),
        (f'["{CURSOR_KEY[:9]}\u200b{CURSOR_KEY[9:]}", "\\""]', '["[secret]", "\\""]'),
        (f'{{"b":"R\\u0026D","a":"{CURSOR_KEY}"}}', '{"b":"R\\u0026D","a":"[secret]"}'),
        # A key as the name of a field, after an escaped quotation mark, and two keys in one string.
        (f'{{"{ESCAPED_KEY}":1}}', '{"[secret]":1}'),
        (f'{{"a":"\\"{ESCAPED_KEY}\\" {ESCAPED_KEY}"}}', '{"a":"\\"[secret]\\" [secret]"}'),
        # A line break inside a string is invalid JSON that some vendors send.
        (f'{{"a":"1\n{ESCAPED_KEY}"}}', '{"a":"1\\n[secret]"}'),
        ('{"a":"\\u0041","b":1.50}', '{"a":"\\u0041","b":1.50}'),
    ],
)  # fmt: skip
def test_escapes_in_json_do_not_hide_a_key(record: str, expected: str) -> None:
    """A string with a hidden key is rewritten without it; every other byte of the record stays."""
    assert redact_keys_in_json(record) == expected


def test_escapes_and_invisible_characters_are_resolved() -> None:
    """Hexadecimal and Unicode escapes of ASCII become characters, with any number of backslashes."""
    assert deobfuscate(r"\u0041\x42\\\u0043" + "D\u200b\ufeffE" + r"\u00e9\u200B\xad.") == "ABCDE" + r"\u00e9."


@pytest.mark.parametrize(
    ("with_people", "expected"),
    [(True, "Team of ada@example.com [secret] R&D"), (False, "Team of [e-mail] [secret] R&D")],
)
def test_a_name_becomes_one_line(with_people: bool, expected: str) -> None:
    """Line breaks and control characters are spaces, keys are never shown, and addresses only with people."""
    text = f" Team\n\tof\x1b ada@example.com \u2028{CURSOR_KEY[:8]}\u200b{CURSOR_KEY[8:]} R\\u0026D "
    assert redact_line(text, with_people=with_people) == expected


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("see sk-ant-api, key_0123456789abcdef, please", "see [secret], [secret], please"),
        ("Authorization: Bearer abcDEF123456, bearer abcdef", "Authorization: [secret], [secret]"),
        ("basic dXNlcjpwYXNz", "[secret]"),
        ("of 'Jo.Doe+x@mail.example.com'.", "of '[e-mail]'."),
        ("O'Brien@example.com, jörg@example.com", "[e-mail], [e-mail]"),
        ("a" * 300 + ".jo@example.com", "a" * 239 + "[e-mail]"),
        ("?email=jo%40example.com&page=2", "?email=[e-mail]&page=2"),
        # As JSON and Python write them: after an escape, with escapes inside, or with what nobody sees.
        (
            r"Leaked:\nsk-ant-admin01-Ab_9-xyz, \u201ccrsr_0123456789abcdef0123\u201d",
            r"Leaked:\n[secret], \u201c[secret]\u201d",
        ),
        (r"X=x\x01key_0123456789abcdef0123\tBearer abcDEF123456", r"X=x\x01[secret]\t[secret]"),
        (r"\u0073k\u002dant-admin01-Ab_9\u002dxyz, crsr\\u005f0123456789abcdef0123", "[secret], [secret]"),
        (r"sk-ant-\u200badmin01-" + "\u200bAb_9-\ufeffxyz", "[secret]"),
        (r'{"said":"{\"to\":\"jane\\\\u0040corp.com\"}"}', r'{"said":"{\"to\":\"[e-mail]"}"}'),
    ],
)
def test_keys_and_addresses_are_redacted_in_messages(text: str, clean: str) -> None:
    """Keys, parts of keys, credentials and e-mail addresses are replaced, and the rest stays."""
    assert redact(text) == clean


def test_similar_text_stays() -> None:
    """What only resembles a key or an address is what messages are made of."""
    for text in (
        "apikey_01AbCdEfGhIjKlMnOpQr, apikey_0123456789abcdef",
        "stg_key_mapping_rejects, key_principal",
        "Basic authentication is required, or a Bearer token",
        "risk-adjusted-numbers at 12:00 @ noon",
    ):
        assert redact(text) == text
