"""Classify differences between the desired and the live state of an object, and describe them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ai_usage_assets.metabase.normalize import Normalized
from ai_usage_assets.metabase.state import PENDING, AppliedState, fingerprint
from ai_usage_assets.redaction import redact_line

# Create, update, manual edit (needs --restore), archive.
Sign = Literal["+", "~", "!", "-"]
_MAX_DIFFERENCES = 4
_MAX_VALUE_CHARACTERS = 40


@dataclass(frozen=True)
class Change:
    """One object that differs, or differed before `is_applied`."""

    sign: Sign
    key: str
    name: str
    details: str = ""
    is_applied: bool = False

    def __str__(self) -> str:
        # The name may come from a person in Metabase.
        text = f"{self.sign} {self.key}: {self.name}" + (f" ({self.details})" if self.details else "")
        return redact_line(text, with_people=True)


def classify_drift(
    desired: Normalized,
    live: Normalized,
    last: AppliedState | None,
    *,
    is_uninitialized: bool,
    has_only_additions: bool,
) -> Sign | None:
    """Decide whether a difference is a change of the files (`~`, `+`) or a manual edit (`!`); None for no difference.

    Metabase can store the applied content in another form; this is no difference until the files or the object change.
    `is_uninitialized`: the object still has Metabase's own content. `has_only_additions`: the object has all desired
    content and settings that Metabase added, for example after an apply that ended before it saved its state.
    """
    if desired == live:
        return None
    if last and last.live == fingerprint(live):
        return None if last.desired == fingerprint(desired) else "~"
    if has_only_additions and (last is None or last.desired != fingerprint(desired)):
        return None
    return "+" if is_uninitialized or (last and last.live == PENDING) else "!"


def describe_differences(desired: Normalized, live: Normalized, *, is_exact: bool = True) -> str:
    """Describe what differs: the path and, for short values, `live -> desired`. Empty if nothing does.

    With `is_exact=False`, additional keys in `live` are ignored.
    """
    lines = list(_find_differences(desired, live, "", is_exact=is_exact))
    more = f", {len(lines) - _MAX_DIFFERENCES} more" if len(lines) > _MAX_DIFFERENCES else ""
    return ", ".join(lines[:_MAX_DIFFERENCES]) + more


def _find_differences(desired: Any, live: Any, path: str, *, is_exact: bool) -> Iterator[str]:
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        for key in {**desired, **live} if is_exact else desired:
            step = f"{path}.{key}" if path else str(key)
            if key not in live or key not in desired:
                yield f"{step} {'is missing' if key not in live else 'was added'}"
            else:
                yield from _find_differences(desired[key], live[key], step, is_exact=is_exact)
    elif isinstance(desired, list) and isinstance(live, list) and len(desired) == len(live):
        for place, (one, other) in enumerate(zip(desired, live, strict=True)):
            yield from _find_differences(one, other, f"{path}[{place}]", is_exact=is_exact)
    elif desired != live:
        before, after = _format_value(live), _format_value(desired)
        yield f"{path} {before} -> {after}" if before and after else path


def _format_value(value: Any) -> str:
    """Format a short value; empty for a long one."""
    if isinstance(value, list):
        return f"{len(value)} items"
    text = json.dumps(value, ensure_ascii=False)
    return "" if isinstance(value, Mapping) or len(text) > _MAX_VALUE_CHARACTERS else text
