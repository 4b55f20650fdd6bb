"""The state of the last apply, which distinguishes changes of the files from manual edits in Metabase.

For each object the state has the fingerprints of the desired content and of the content that Metabase stored. The
state is stored in a card of Metabase, as SQL, so that every machine reads the same state and Metabase's backup
includes it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.metabase.normalize import Normalized

# Keys of the first version -> keys of today.
_RENAMED_KEYS = {
    "collection behind": "support collection",
    "access to the collections": "collection permissions",
    "access to the database": "database permissions",
}
# Replaces a fingerprint while an apply is unfinished.
PENDING = ""


@dataclass(frozen=True)
class AppliedState:
    """The id of an object, and the fingerprints of its desired and its stored content at the last apply."""

    id: int
    desired: str
    live: str


class StateStore(dict[str, AppliedState]):
    """The applied state by resource key, serialized as a BigQuery SELECT statement."""

    def to_sql(self) -> str:
        """Return the statement; equal stores give equal text."""
        rows = [json.dumps([key, one.id, one.desired, one.live])[1:-1] for key, one in sorted(self.items())]
        struct = "STRUCT<object STRING, id INT64, desired STRING, live STRING>"
        values = ",\n".join(f"  ({row})" for row in rows)
        return "\n".join(["SELECT *", f"FROM UNNEST(ARRAY<{struct}> [", values, "])", "ORDER BY object"])

    @classmethod
    def from_sql(cls, sql: object) -> StateStore:
        """Parse a statement; rows that cannot be parsed are dropped."""
        store = cls()
        for row in re.findall(r"^  \((.*)\),?$", sql if isinstance(sql, str) else "", flags=re.MULTILINE):
            try:
                key, number, desired, live = json.loads(f"[{row}]")
            except ValueError:
                continue
            # An id becomes part of a path.
            if isinstance(number, int):
                store[_RENAMED_KEYS.get(str(key), str(key))] = AppliedState(number, desired, live)
        return store


def fingerprint(content: Normalized) -> str:
    """Return a hash that is equal for equal content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_hex(text, digits=16)
