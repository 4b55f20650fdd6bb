"""Hypothesis strategies for invalid values, and changes to a JSON body.

A test run tries few examples, always the same; `make fuzz` tries many, others each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# Multiplies the number of examples; with any value but 1 they are random.
_MULTIPLIER = int(os.environ.get("FUZZ_TIMES", "1"))


def fuzz_settings(examples: int) -> settings:
    """Hypothesis settings with this many examples, times FUZZ_TIMES."""
    return settings(
        max_examples=examples * _MULTIPLIER,
        derandomize=_MULTIPLIER == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# Complete keys; no message and no stored value may contain them.
SECRETS = ("sk-ant-admin01-" + "aB3" * 12, "crsr_" + "0f" * 24, "ya29.a0AfH6SMBx-secret", "AIzaSy" + "Q7" * 16)

_TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "", " ", "0", "-1", "1e5", "1E400", "NaN", "Infinity", "0x10", "1_000", "1,5", "१२३", "٣", "⅓", "\u202e12",
            "\x00", "a\x00b", "\ufeff1", "jane@example.com", "'; DROP TABLE x; --", "$.a", "../..", "2026-11-10",
            "9999-12-31", "0001-01-01T00:00:00Z", "2026-11-10T00:00:00", "2026-11-10T00:00:00+99:99", "true", "null",
            "💰" * 40, "x" * 5000, *SECRETS,
        ]
    ),
)  # fmt: skip

# JSON source text of values, including invalid JSON.
VALUES = st.one_of(
    _TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(SECRETS).map(json.dumps),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(0, 10**7).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        [
            "null", "true", "false", "{}", "[]", '[{"amount":"1"}]', "0", "-0", "-0.0", "1e999", "1E-999", "NaN",
            "-Infinity", "00012", "0.1234567890123456789012345", "99999999999999999999999999999999999999999",
            '"1e99999"', '"\\ud800"', '"\\u0000"', '"\xff', "[" * 500 + "]" * 500, '{"a":' * 300 + "1" + "}" * 300,
            "1" * 4400,
        ]
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change to a body: the action, and its position (any integer; it is hashed to a place in the tree)."""

    position: int
    action: str
    value: str


CHANGES = st.lists(
    st.builds(
        Change,
        st.integers(0, 10**6),
        st.sampled_from(["replace", "replace", "replace", "remove", "add", "twice", "cut"]),
        VALUES,
    ),
    min_size=1,
    max_size=3,
)


class _RawJson(str):
    """JSON source text that is written unchanged."""

    __slots__ = ()


def apply_changes(body: bytes, changes: list[Change]) -> bytes:
    """Applies the changes to a JSON body; all other values keep their source text."""
    # Numbers keep their source text.
    tree = json.loads(body, parse_float=_RawJson, parse_int=_RawJson)
    cut = None
    for change in changes:
        if change.action == "cut":
            cut = change.position
            continue
        places = list(_list_places(tree))
        if not places:
            break
        # Hashed, so that similar positions are spread over the tree.
        owner, key = places[change.position * 2654435761 % len(places)]
        if change.action == "replace":
            owner[key] = _RawJson(change.value)
        elif change.action == "remove":
            del owner[key]
        elif change.action == "add" and isinstance(owner, dict):
            owner["newField"] = _RawJson(change.value)
        elif change.action == "twice" and isinstance(owner, dict):
            others = dict(owner)
            # A duplicate key, before or after the original.
            if change.position % 2:
                owner.clear()
            owner[_RawJson(json.dumps(key))] = _RawJson(change.value)
            owner.update(others)
        elif change.action == "twice":
            owner.insert(key, owner[key])
    serialized = _serialize(tree).encode("utf-8", "surrogatepass")
    return serialized if cut is None else serialized[: cut % len(serialized)]


def _list_places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _list_places(tree[key])


def _serialize(tree: Any) -> str:
    match tree:
        case _RawJson():
            return str(tree)
        case dict():
            # A `_RawJson` key is a duplicate of a plain key.
            names = (name if isinstance(name, _RawJson) else json.dumps(name) for name in tree)
            fields = (f"{name}:{_serialize(value)}" for name, value in zip(names, tree.values(), strict=True))
            return f"{{{','.join(fields)}}}"
        case list():
            return f"[{','.join(map(_serialize, tree))}]"
        case _:
            return json.dumps(tree, ensure_ascii=False)


# Cells of a sheet, as the Sheets API returns them.
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    _TEXTS,
    st.sampled_from(
        [
            "#REF!", "=1+1", "60%", "33.333333333", "100", "2026-02-30", "2026-01", "anthropic", "user", 46000, 46000.5,
            0.6,
        ]
    ),
)  # fmt: skip
TEXTS = _TEXTS
