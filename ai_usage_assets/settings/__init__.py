"""Typed, validated settings from environment variables; no other package reads the environment.

`ai-usage --help` and the JSON logs need only `LogSettings` and `SettingsError`, which import quickly. The other names
import pydantic, which takes longer than printing the help, so they are loaded at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ai_usage_assets.settings.addresses import is_https_or_loopback, is_loopback
from ai_usage_assets.settings.errors import SettingsError
from ai_usage_assets.settings.log_settings import LogSettings

if TYPE_CHECKING:
    from ai_usage_assets.settings.model import (
        DEFAULT_DUCKDB_PATH,
        CloudRun,
        MetabaseSettings,
        Settings,
        SourceSettings,
    )

__all__ = [
    "DEFAULT_DUCKDB_PATH",
    "CloudRun",
    "LogSettings",
    "MetabaseSettings",
    "Settings",
    "SettingsError",
    "SourceSettings",
    "is_https_or_loopback",
    "is_loopback",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("ai_usage_assets.settings.model"), name)
