"""Remove keys and e-mail addresses from logs, exceptions, events, check messages and sheet cells."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from ai_usage_assets.registry import SOURCES

# The start of a word. In JSON and in a repr, the escape before it may end in a letter or a digit.
_AFTER_ESCAPE = r"(?<=\\[nrtbf]) | (?<=\\x[0-9a-fA-F]{2}) | (?<=\\u[0-9a-fA-F]{4}) | (?<=\\U[0-9a-fA-F]{8})"
_START = rf"(?: (?<![A-Za-z0-9]) | {_AFTER_ESCAPE} )"
_KEY_START = rf"(?: (?<![A-Za-z0-9_]) | {_AFTER_ESCAPE} )"


class KeyFormat(NamedTuple):
    """A format of complete keys: its literal prefixes, and a pattern of what follows one of them."""

    prefixes: tuple[str, ...]
    rest: str
    start: str = _START


def _separator_variants(prefix: str) -> tuple[str, ...]:
    """The prefix with either separator at its end."""
    return (f"{prefix[:-1]}-", f"{prefix[:-1]}_") if prefix[-1] in "-_" else (prefix,)


def _in_base64(prefix: str) -> str:
    """How the base64 form of every key with this prefix begins."""
    word = prefix.rstrip("-_").encode()
    # The separator can be another one, but a word of one or two letters would match too much.
    known = word if len(word) > 2 else prefix.encode()
    # Six bits are one character; the last one also depends on the next byte of the key.
    return base64.b64encode(known).decode()[: len(known) * 8 // 6]


_VENDOR_PREFIXES = tuple(prefix for entry in SOURCES for prefix in entry.key_prefixes)
_VENDOR_PREFIXES_IN_BASE64 = tuple(map(_in_base64, _VENDOR_PREFIXES))

# All keys with a recognizable prefix. Every pattern that detects complete keys is generated from this table.
KEY_FORMATS = (
    # Vendors.
    KeyFormat(tuple(v for prefix in _VENDOR_PREFIXES for v in _separator_variants(prefix)), "[A-Za-z0-9_-]{20,}"),
    # The same in base64.
    KeyFormat(_VENDOR_PREFIXES_IN_BASE64, "[A-Za-z0-9+/=_-]{16,}"),
    # Google.
    KeyFormat(("ya29.",), "[A-Za-z0-9._-]+"),
    KeyFormat(("AIza",), "[A-Za-z0-9_-]{20,}"),
    # Signed tokens.
    KeyFormat(("eyJ",), "[A-Za-z0-9._-]{16,}"),
    # Older keys; apikey_… is an id.
    KeyFormat(("key-", "key_"), "[A-Za-z0-9]{20,}", _KEY_START),
)


def _match_prefixes(prefixes: Iterable[str]) -> str:
    return "|".join(map(re.escape, prefixes))


def _match_keys(start: str) -> str:
    formats = [key_format for key_format in KEY_FORMATS if key_format.start == start]
    return rf"{start} (?:{'|'.join(f'(?:{_match_prefixes(one.prefixes)}){one.rest}' for one in formats)})"


KEY_PATTERN = re.compile(f"{_match_keys(_START)} | {_match_keys(_KEY_START)}", re.VERBOSE)
# Parts of keys, and words after Bearer or Basic. Too broad for a sheet cell, right for a message.
_PIECE = re.compile(
    rf"""
    {_START} (?: {_match_prefixes((*_VENDOR_PREFIXES, *_VENDOR_PREFIXES_IN_BASE64))} )[A-Za-z0-9+/=_-]{{6,}}
    | {_KEY_START} key_[A-Za-z0-9]{{16,}}
    | (?: \b | {_AFTER_ESCAPE} ) (?i:Bearer|Basic) \s+ (?! (?:auth|token|credential)[a-z]*\b ) [A-Za-z0-9+/=._~-]{{6,}}
    """,
    re.VERBOSE,
)
# A match begins at the start of a word or at most 64 characters before the @, so the time is linear in the length of a
# text without an @.
_EMAIL = re.compile(
    r"""(?:(?<![^\s<>()\[\],;:|='"`])(?:"[^"\n]{1,64}"|[^\s<>()\[\],;:|='"`@＠][^\s<>()\[\],;:|="`@＠]{0,255})"""
    r"""|[^\s<>()\[\],;:|='"`@＠]{1,64})"""
    r"""(?:@|＠|%40)[^\s<>(),;:|=&'"`]+"""
)

# What hides a key from the patterns, in the syntax of both `re` and RE2: escaped ASCII characters (with more than one
# backslash in nested JSON) and invisible characters.
_ESCAPED = r"\\+(?:x|u00)([2-7][0-9a-fA-F])"
_INVISIBLE = (
    r"[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2069}\x{FEFF}]"
    r"|\\+(?:xad|u(?i:00AD|200[B-F]|202[A-E]|206[0-9]|FEFF))"
)
_OBFUSCATION_PATTERN = f"{_ESCAPED}|{_INVISIBLE}"
# Finds every text that `redact_keys_in_json` changes, and a few others; in the syntax of RE2, which searches faster.
POSSIBLE_KEY_RE2 = f"{_match_prefixes(prefix for one in KEY_FORMATS for prefix in one.prefixes)}|{_OBFUSCATION_PATTERN}"
_OBFUSCATION = re.compile(
    re.sub(r"\\x\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), _OBFUSCATION_PATTERN)
    # Matches a run of backslashes from its start only. RE2 is linear anyway and has no lookbehind.
    .replace(r"\\+", r"(?<!\\)\\+")
)


def deobfuscate(text: str) -> str:
    """Returns the text with ASCII escapes resolved and invisible characters removed."""
    return _OBFUSCATION.sub(lambda match: chr(int(match[1], 16)) if match[1] else "", text)


def redact_keys_in_json(record: str) -> str:
    """Returns a JSON text without keys. Strings without a key keep their bytes."""
    if _OBFUSCATION.search(record):
        record = _STRING.sub(_redact_string, record)
    return KEY_PATTERN.sub("[secret]", record)


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _redact_string(string: re.Match[str]) -> str:
    if not _OBFUSCATION.search(string[0]):
        return string[0]
    text = deobfuscate(json.loads(string[0], strict=False))
    return json.dumps(KEY_PATTERN.sub("[secret]", text)) if KEY_PATTERN.search(text) else string[0]


def redact(text: str) -> str:
    """Returns the text without keys and e-mail addresses."""
    text = deobfuscate(text)
    for pattern in (KEY_PATTERN, _PIECE):
        text = pattern.sub("[secret]", text)
    return _EMAIL.sub("[e-mail]", text)


def redact_line(text: str, *, with_people: bool) -> str:
    """Returns a name as one printable line without keys, and without e-mail addresses unless `with_people`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in deobfuscate(text)).split())
    return KEY_PATTERN.sub("[secret]", line) if with_people else redact(line)
