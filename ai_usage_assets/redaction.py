"""What must never be shown: what keys and e-mail addresses look like, and text without them.

Belongs here: the patterns, once, for logs, exceptions, events, check messages and the sheet. Does not: who shows what.
"""

from __future__ import annotations

import json
import re

# Where a word begins; in JSON and in a repr, an escape before it may end in a letter or a digit.
_AFTER_ESCAPE = r"(?<=\\[nrtbf]) | (?<=\\x[0-9a-fA-F]{2}) | (?<=\\u[0-9a-fA-F]{4}) | (?<=\\U[0-9a-fA-F]{8})"
_START = rf"(?: (?<![A-Za-z0-9]) | {_AFTER_ESCAPE} )"
_KEY_START = rf"(?: (?<![A-Za-z0-9_]) | {_AFTER_ESCAPE} )"

# Whole tokens that tell what they are, in the clear and in base64.
KEY_PATTERN = re.compile(
    rf"""
    {_START} (?: (?:sk|crsr)[-_][A-Za-z0-9_-]{{20,}}        # Anthropic and others, Cursor
    | (?: c2st | Y3Jzc )[A-Za-z0-9+/=_-]{{16,}}                     # the same in base64
    | ya29\.[A-Za-z0-9._-]+ | AIza[A-Za-z0-9_-]{{20,}}              # Google
    | eyJ[A-Za-z0-9._-]{{16,}} )                                    # signed tokens
    | {_KEY_START} key[-_][A-Za-z0-9]{{20,}}                   # Cursor, old; not apikey_…, an id
    """,
    re.VERBOSE,
)
# What may be a part of one, or follows a word that announces one: too wide for a sheet, right for a message.
_PIECE = re.compile(
    rf"""
    {_START} (?: sk- | crsr_ | c2st | Y3Jzc )[A-Za-z0-9+/=_-]{{6,}}
    | {_KEY_START} key_[A-Za-z0-9]{{16,}}
    | (?: \b | {_AFTER_ESCAPE} ) (?i:Bearer|Basic) \s+ (?! (?:auth|token|credential)[a-z]*\b ) [A-Za-z0-9+/=._~-]{{6,}}
    """,
    re.VERBOSE,
)
# A search begins where a word does, or at most so far before the @ as a name may be long: a long text without an @
# costs no more than a multiple of its length, whatever is in it.
_EMAIL = re.compile(
    r"""(?:(?<![^\s<>()\[\],;:|='"`])(?:"[^"\n]{1,64}"|[^\s<>()\[\],;:|='"`@＠][^\s<>()\[\],;:|="`@＠]{0,255})"""
    r"""|[^\s<>()\[\],;:|='"`@＠]{1,64})"""
    r"""(?:@|＠|%40)[^\s<>(),;:|=&'"`]+"""
)

# What hides a token from who looks for one, in words of `re` and of RE2: an ASCII character written as an escape (in
# JSON within JSON, with more than one backslash), and characters that nobody sees.
_ESCAPED = r"\\+(?:x|u00)([2-7][0-9a-fA-F])"
_UNSEEN = (
    r"[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2069}\x{FEFF}]"
    r"|\\+(?:xad|u(?i:00AD|200[B-F]|202[A-E]|206[0-9]|FEFF))"
)
OBFUSCATION_PATTERN = f"{_ESCAPED}|{_UNSEEN}"
_HIDING = re.compile(
    re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: chr(int(found[1], 16)), OBFUSCATION_PATTERN)
    # A run of backslashes is looked at from its begin only; RE2 needs no such help, and knows none.
    .replace(r"\\+", r"(?<!\\)\\+")
)


def deobfuscate(text: str) -> str:
    """The text with nothing hidden in it that looks like something else."""
    return _HIDING.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", text)


def redact_keys_in_json(record: str) -> str:
    """A JSON text without keys. Every string that holds none stays as it is written."""
    if _HIDING.search(record):
        record = _STRING.sub(_without_hidden, record)
    return KEY_PATTERN.sub("[secret]", record)


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _without_hidden(string: re.Match[str]) -> str:
    if not _HIDING.search(string[0]):
        return string[0]
    read = deobfuscate(json.loads(string[0], strict=False))
    return json.dumps(KEY_PATTERN.sub("[secret]", read)) if KEY_PATTERN.search(read) else string[0]


def redact(text: str) -> str:
    """The text without anything that looks like a key or an e-mail address."""
    text = deobfuscate(text)
    for pattern in (KEY_PATTERN, _PIECE):
        text = pattern.sub("[secret]", text)
    return _EMAIL.sub("[e-mail]", text)


def redact_line(text: str, *, with_people: bool) -> str:
    """What others have named, for a reader: one line of what can be printed, without keys, and without e-mail
    addresses unless people are wanted.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in deobfuscate(text)).split())
    return KEY_PATTERN.sub("[secret]", line) if with_people else redact(line)
