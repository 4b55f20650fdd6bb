"""What nobody would send, and where to put it.

Belongs here: strategies of odd values, JSON that is changed in places, how long to search. Does not: what must hold.

`make fuzz` searches for longer, with other examples every time; a test run searches a little, always the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# How many times as many examples; anything but 1 tries new ones.
_TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


def searching(examples: int) -> settings:
    """How long a property is searched for an exception."""
    return settings(
        max_examples=examples * _TIMES,
        derandomize=_TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


# Whole keys; whatever is said or kept must not hold them.
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

# JSON values as they are written, also those that a parser should not take.
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
    """One place of a body, chosen by a number, and what is done there."""

    place: int
    how: str
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


class _Raw(str):
    """JSON as it is written."""

    __slots__ = ()


def changed(body: bytes, changes: list[Change]) -> bytes:
    """The body with the changes; what is not changed is written as it was."""
    # Every number stays as it is written, in whatever way.
    tree = json.loads(body, parse_float=_Raw, parse_int=_Raw)
    cut = None
    for change in changes:
        if change.how == "cut":
            cut = change.place
            continue
        places = list(_places(tree))
        if not places:
            break
        # A hash of the number, so that neighbours are not in the same corner of the tree.
        owner, key = places[change.place * 2654435761 % len(places)]
        if change.how == "replace":
            owner[key] = _Raw(change.value)
        elif change.how == "remove":
            del owner[key]
        elif change.how == "add" and isinstance(owner, dict):
            owner["newField"] = _Raw(change.value)
        elif change.how == "twice" and isinstance(owner, dict):
            others = dict(owner)
            # The same name again, before or after it.
            if change.place % 2:
                owner.clear()
            owner[_Raw(json.dumps(key))] = _Raw(change.value)
            owner.update(others)
        elif change.how == "twice":
            owner.insert(key, owner[key])
    written = _written(tree).encode("utf-8", "surrogatepass")
    return written if cut is None else written[: cut % len(written)]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def _written(tree: Any) -> str:
    match tree:
        case _Raw():
            return str(tree)
        case dict():
            # A raw name stands beside the same one in plain.
            names = (name if isinstance(name, _Raw) else json.dumps(name) for name in tree)
            fields = (f"{name}:{_written(value)}" for name, value in zip(names, tree.values(), strict=True))
            return f"{{{','.join(fields)}}}"
        case list():
            return f"[{','.join(map(_written, tree))}]"
        case _:
            return json.dumps(tree, ensure_ascii=False)


# A cell of a sheet, as Google sends it.
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
