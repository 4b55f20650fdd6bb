"""The error for invalid settings."""

from __future__ import annotations

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.redaction import redact


class SettingsError(OperatorError):
    """Invalid settings or arguments. A line about a setting names the variable and its accepted values."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        # A key may be in the wrong variable.
        super().__init__(redact(message))
