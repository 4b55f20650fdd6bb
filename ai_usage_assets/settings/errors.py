"""The error for settings that cannot be used."""

from __future__ import annotations

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.redaction import redact


class SettingsError(OperatorError):
    """Settings with invalid values; each line of the message names a variable and the values it takes."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        # A key may be in the wrong variable.
        super().__init__(redact(message))
