"""What differs between what is wanted and what is there, and whose doing it is.

Belongs here: comparing forms, the digests that are remembered, the verdict. Does not: asking Metabase (`objects`),
making it so (`apply`).

Of every object it is remembered, in a card of Metabase itself, what was wanted and what Metabase then held. What it
holds now is that: then a difference is ours, for what is wanted has changed. Else somebody has edited it by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.metabase.normalize import Form
from ai_usage_assets.redaction import redact_line

# New; changed here; edited by hand there; no longer wanted.
Sign = Literal["+", "~", "!", "-"]
# In place of a digest: of what was not yet as it is wanted, or not looked at.
NOT_YET = ""
_MOST_SHOWN = 4
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Change:
    """One object that is not as it is wanted, or was not."""

    sign: Sign
    key: str
    name: str
    what: str = ""
    # Whether it is now as it is wanted.
    done: bool = False

    def __str__(self) -> str:
        # Names that others chose are in it.
        told = f"{self.sign} {self.key}: {self.name}" + (f" ({self.what})" if self.what else "")
        return redact_line(told, with_people=True)


@dataclass(frozen=True)
class AppliedState:
    """What was last written of an object: its id, and the digests of what was wanted and of what was there then."""

    id: int
    wanted: str
    found: str


class StateStore(dict[str, AppliedState]):
    """What was last written, by key. It is kept as a statement of BigQuery's SQL, which a card may hold."""

    def sql(self) -> str:
        """The statement; the same memory is the same text."""
        rows = [json.dumps([key, one.id, one.wanted, one.found])[1:-1] for key, one in sorted(self.items())]
        struct = "STRUCT<object STRING, id INT64, wanted STRING, found STRING>"
        listed = ",\n".join(f"  ({row})" for row in rows)
        return f"SELECT *\nFROM UNNEST(ARRAY<{struct}> [\n{listed}\n])\nORDER BY object"

    @classmethod
    def of(cls, sql: str) -> StateStore:
        """What a statement remembers; what cannot be read is forgotten."""
        found = cls()
        for row in re.findall(r"^  \((.*)\),?$", sql, flags=re.MULTILINE):
            try:
                key, number, wanted, seen = json.loads(f"[{row}]")
            except ValueError:
                continue
            # An id becomes a part of a path.
            if isinstance(number, int):
                found[str(key)] = AppliedState(number, wanted, seen)
        return found


def digest(form: Form) -> str:
    """The same for the same form."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_hex(text, digits=16)


def classify_drift(
    wanted: Form, live: Form, last: AppliedState | None, *, is_unwritten: bool = False, is_held: bool = False
) -> Sign | None:
    """Whose doing a difference is; None for none.

    What Metabase itself made of what was sent is no difference, as long as neither side has changed since.
    `is_unwritten`: nobody has written it yet, so what is there is Metabase's own. `is_held`: all that is wanted is
    there, with more: as a run leaves it that ended before it remembered, where Metabase adds something of its own.
    """
    if wanted == live:
        return None
    if last and last.found == digest(live):
        return None if last.wanted == digest(wanted) else "~"
    if is_held and (last is None or last.wanted != digest(wanted)):
        return None
    return "+" if is_unwritten or (last and last.found == NOT_YET) else "!"


def describe_differences(wanted: Form, live: Form, *, is_whole: bool = True) -> str:
    """What differs, in a few words: where, and for short values from what there is to what is wanted.

    With `is_whole=False`, more may be there than is wanted.
    """
    found = list(_differences(wanted, live, "", is_whole=is_whole))
    more = f", {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
    return ", ".join(found[:_MOST_SHOWN]) + more


def _differences(wanted: Any, live: Any, path: str, *, is_whole: bool) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key in {**wanted, **live} if is_whole else wanted:
            step = f"{path}.{key}" if path else str(key)
            if key not in live or key not in wanted:
                yield f"{step} {'is missing' if key not in live else 'was added'}"
            else:
                yield from _differences(wanted[key], live[key], step, is_whole=is_whole)
    elif isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        for place, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _differences(one, other, f"{path}[{place}]", is_whole=is_whole)
    elif wanted != live:
        shown = _shown(live), _shown(wanted)
        yield f"{path} {shown[0]} -> {shown[1]}" if all(shown) else path


def _shown(value: Any) -> str:
    """A value that is short; nothing for another."""
    if isinstance(value, list):
        return f"{len(value)} of them"
    text = json.dumps(value, ensure_ascii=False)
    return "" if isinstance(value, Mapping) or len(text) > _LONGEST_SHOWN else text
