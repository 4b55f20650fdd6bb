"""From the name of a secret to its value, at the moment it is needed.

Belongs here: Secret Manager. Does not: who needs which secret. A value is never logged, kept on disk or put into an
exception; only the secret's name is.
"""

from __future__ import annotations

import re

_SECRET_NAME = re.compile(r"projects/[^/]+/secrets/[^/]+(/versions/[^/]+)?")


class SecretError(RuntimeError):
    """A secret cannot be read; the message names it, never its value, and says what to do."""


def versions_used() -> dict[str, str]:
    """Which version of each secret this process has read, by the secret's name."""
    return {}


def resolve(setting: str) -> str:
    """The secret a setting stands for: itself, or what Secret Manager holds under that name.

    Takes a key, or `projects/P/secrets/S[/versions/V]` (latest by default). Raises SecretError.
    """
    if not _SECRET_NAME.fullmatch(setting):
        return setting
    # Imported late: a laptop without secrets in the cloud should not pay for the client.
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import secretmanager

    name = setting if "/versions/" in setting else f"{setting}/versions/latest"
    try:
        answer = secretmanager.SecretManagerServiceClient().access_secret_version(name=name)
    except (GoogleAPIError, GoogleAuthError) as error:
        raise SecretError(
            f"The secret {name} could not be read ({type(error).__name__}). Check that it exists, is enabled, and "
            "that this account has roles/secretmanager.secretAccessor on it."
        ) from None
    return str(answer.payload.data.decode()).strip()
