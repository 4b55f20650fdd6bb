"""What must never be shown: what keys and e-mail addresses look like, and text without them.

Belongs here: the patterns, once, for logs, exceptions, events, check messages and the sheet. Does not: who shows what.
"""

from __future__ import annotations

import re

# Whole tokens that tell what they are, in the clear and in base64.
TOKEN = re.compile(
    r"""
    (?<![A-Za-z0-9]) (?: (?:sk|crsr)[-_][A-Za-z0-9_-]{20,}        # Anthropic and others, Cursor
    | (?: c2st | Y3Jzc )[A-Za-z0-9+/=_-]{16,}                     # the same in base64
    | ya29\.[A-Za-z0-9._-]+ | AIza[A-Za-z0-9_-]{20,}              # Google
    | eyJ[A-Za-z0-9._-]{16,} )                                    # signed tokens
    | (?<![A-Za-z0-9_]) key[-_][A-Za-z0-9]{20,}                   # Cursor, old; not apikey_…, an id
    """,
    re.VERBOSE,
)
# What may be a part of one, or follows a word that announces one: too wide for a sheet, right for a message.
_PIECE = re.compile(
    r"""
    (?<![A-Za-z0-9]) (?: sk- | crsr_ | c2st | Y3Jzc )[A-Za-z0-9+/=_-]{6,}
    | (?<![A-Za-z0-9_]) key_[A-Za-z0-9]{16,}
    | \b (?i:Bearer|Basic) \s+ (?! (?:auth|token|credential)[a-z]*\b ) [A-Za-z0-9+/=._~-]{6,}
    """,
    re.VERBOSE,
)
# The look-behind lets a search begin only where a word does, so a long text without an @ costs no more than its length.
_EMAIL = re.compile(
    r"""(?<![^\s<>()\[\],;:|='"`])(?:"[^"\n]{1,64}"|[^\s<>()\[\],;:|='"`@＠][^\s<>()\[\],;:|="`@＠]*)"""
    r"""(?:@|＠|%40)[^\s<>(),;:|=&'"`]+"""
)


def redact(text: str) -> str:
    """The text without anything that looks like a key or an e-mail address."""
    for pattern in (TOKEN, _PIECE):
        text = pattern.sub("[secret]", text)
    return _EMAIL.sub("[e-mail]", text)
