"""Keys of sources: which vendor a key belongs to, and clients that use it. A key is never sent to another vendor."""

from __future__ import annotations

from ai_usage_assets.http.client import RetryPolicy
from ai_usage_assets.registry import load_source, load_sources, source_entry
from ai_usage_assets.secret_manager import SecretError, resolve_secret
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.base import KeyKind, SourceClient


def kind_of(key: str) -> tuple[str, KeyKind] | None:
    """The name of the vendor whose keys begin like this, and the kind of key; None for an unknown prefix."""
    kinds = ((source.name, kind) for source in load_sources() for kind in source.key_kinds)
    return next(((name, kind) for name, kind in kinds if key.startswith(kind.prefix)), None)


def own_key(vendor: str, setting: str, secrets_emulator: str | None = None) -> str:
    """Resolves the setting to a key of that vendor. Raises SecretError, also for a key of another vendor."""
    key = resolve_secret(setting, secrets_emulator)
    found = kind_of(key)
    if found and found[0] != vendor:
        entry = source_entry(vendor)
        raise SecretError(
            f"{entry.key_variable} holds {found[1].what}; it was not sent to {entry.label}. Put its own key there."
        )
    return key


def connect(name: str, settings: Settings, *, retry_policy: RetryPolicy | None = None) -> SourceClient | None:
    """A client for the source, or None if the source has no key. The key is resolved at the first request."""
    source = settings.sources[name]
    if not (key := source.key):
        return None
    return load_source(name).connect(
        lambda: own_key(name, key, settings.secrets_emulator),
        source.base_url,
        pacing=settings.pacing,
        retry_policy=retry_policy,
    )
