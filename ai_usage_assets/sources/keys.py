"""Whose key a setting holds: none is ever sent to another vendor.

Belongs here: telling the vendors' keys apart. Does not: what a key looks like (each vendor's `KEYS`), or where it is
kept (`secrets`).
"""

from __future__ import annotations

from ai_usage_assets.secret_manager import SecretError, resolve
from ai_usage_assets.settings import KEY_VARIABLES
from ai_usage_assets.sources.anthropic import source as anthropic
from ai_usage_assets.sources.base import KeyKind
from ai_usage_assets.sources.cursor import source as cursor

_KINDS = {anthropic.NAME: anthropic.KEYS, cursor.NAME: cursor.KEYS}


def kind_of(key: str) -> tuple[str, KeyKind] | None:
    """Which vendor's key it is, and which kind; None for what begins like none that is known."""
    return next(
        ((vendor, kind) for vendor, kinds in _KINDS.items() for kind in kinds if key.startswith(kind.prefix)), None
    )


def own_key(vendor: str, setting: str, secrets_url: str | None = None) -> str:
    """The key a setting stands for (`secrets.resolve`). Raises SecretError, for a key of another vendor too."""
    key = resolve(setting, secrets_url)
    found = kind_of(key)
    if found and found[0] != vendor:
        raise SecretError(
            f"{KEY_VARIABLES[vendor]} holds {found[1].what}; it was not sent to {vendor.capitalize()}. Put its own "
            "key there."
        )
    return key
