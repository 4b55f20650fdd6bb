"""The registry of sources: the one list of vendors, with what must be known before a source is imported.

Imports nothing but the standard library, because `settings` reads the variables of every source and `redaction` the
prefixes of its keys. What a source can do is its `Source`, in `sources/<name>/source.py`; `load_source` imports it on
first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ai_usage_assets.sources.base import Source


@dataclass(frozen=True)
class SourceEntry:
    """One vendor: its name in the warehouse, its label for people, its settings, and how its keys begin."""

    name: str
    label: str
    key_variable: str
    base_url_variable: str
    default_base_url: str
    # By these, keys are found and removed wherever a text enters or leaves. A `-` or `_` at the end stands for either.
    key_prefixes: tuple[str, ...]
    # What the key is, for docs/settings.md.
    key_meaning: str = "Admin key"


SOURCES = (
    SourceEntry(
        "anthropic",
        "Anthropic",
        "ANTHROPIC_ADMIN_KEY",
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com",
        # Shorter than sk-ant-, so that it also finds the keys of other vendors in text.
        ("sk-",),
        "Admin key or analytics key",
    ),
    SourceEntry(
        "cursor",
        "Cursor",
        "CURSOR_ADMIN_KEY",
        "CURSOR_BASE_URL",
        "https://api.cursor.com",
        ("crsr_",),
        "Admin API key of the team",
    ),
)

# For messages: the variables of which at least one must be set.
KEY_VARIABLES_TEXT = " or ".join(entry.key_variable for entry in SOURCES)


def source_entry(name: str) -> SourceEntry:
    """The entry of that name. Raises KeyError."""
    return _BY_NAME[name]


def source_label(name: str) -> str:
    """The label of a vendor; the name itself where the warehouse has a vendor that is not registered."""
    return _BY_NAME[name].label if name in _BY_NAME else name


def load_source(name: str) -> Source:
    """Imports the source of that name. Raises KeyError."""
    module = import_module(f"ai_usage_assets.sources.{source_entry(name).name}.source")
    return cast("Source", module.SOURCE)


def load_sources() -> tuple[Source, ...]:
    """Imports every source, in the order of `SOURCES`."""
    return tuple(load_source(entry.name) for entry in SOURCES)


_BY_NAME = {entry.name: entry for entry in SOURCES}
