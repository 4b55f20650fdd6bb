"""Keys of sources: which vendor a key belongs to, and clients that use it. A key is never sent to another vendor."""

from __future__ import annotations

from ai_usage_assets.http.retry import HttpRetryPolicy
from ai_usage_assets.registry import load_source, load_sources, source_entry
from ai_usage_assets.secret_manager import SecretError, resolve_secret
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.base import KeyKind, Source, SourceClient


def identify_key(key: str) -> tuple[Source, KeyKind] | None:
    """The vendor whose keys have this prefix, and the kind of key; None for an unknown prefix."""
    kinds = ((source, kind) for source in load_sources() for kind in source.key_kinds)
    return next(((source, kind) for source, kind in kinds if key.startswith(kind.prefix)), None)


def resolve_key(name: str, setting: str, secrets_emulator: str | None) -> str:
    """Resolves the key of a source. Raises SecretError, also for a key that belongs to another vendor."""
    key = resolve_secret(setting, secrets_emulator)
    match identify_key(key):
        case (source, kind) if source.name != name:
            entry = source_entry(name)
            raise SecretError(
                f"{entry.key_variable} contains {kind.description}; it was not sent to {entry.label}. "
                f"Set it to a key of {entry.label}."
            )
    return key


def connect(name: str, settings: Settings, *, retry_policy: HttpRetryPolicy | None = None) -> SourceClient | None:
    """A client for the source, or None if the source has no key. The key is resolved at the first request."""
    own = settings.sources[name]
    if not (key := own.key):
        return None
    return load_source(name).connect(
        lambda: resolve_key(name, key, settings.secrets_emulator),
        own.base_url,
        pacing=settings.pacing,
        retry_policy=retry_policy,
    )
