"""Authenticate with Metabase: with the stored API key or, without one, as the first administrator, who creates it.

A credential setting is a value, a Secret Manager name (`projects/P/secrets/S`) or a file (`file:PATH`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.files import write_atomically
from ai_usage_assets.metabase.client import AmbiguousOutcome, ApiObject, MetabaseClient, MetabaseError, RequestRejected
from ai_usage_assets.secret_manager import SecretError, SecretNotFound, resolve_secret, store_secret
from ai_usage_assets.settings import Settings

KEY_NAME = "ai-usage"
ADMINISTRATORS = 2
_FILE = "file:"
_UNSUPPORTED = "The supported version is v0.63."


class CredentialError(OperatorError):
    """A credential is missing or invalid. The message names the setting, never the value."""


class _MissingSecretError(CredentialError):
    """The named secret has no value yet."""


def authenticate(client: MetabaseClient, settings: Settings, report: Callable[[str], None]) -> None:
    """Authenticate the client with an administrator's API key; without a valid stored key, create and store one.

    Raises CredentialError or MetabaseError.
    """
    metabase, emulator = settings.metabase, settings.secrets_emulator
    key = _read_stored_key(metabase.api_key, emulator)
    if key:
        client.use_api_key(key)
        if _is_administrator(client):
            return
        message = f"Metabase rejected the API key in {_describe_place(metabase.api_key)} (AI_USAGE_METABASE_API_KEY)"
        if not _is_writable(metabase.api_key):
            raise CredentialError(
                f"{message}. Create a key of the group Administrators, or set a secret name or file:PATH to have one "
                "created."
            )
        report(f"{message}; creating another.")
    if not _is_writable(metabase.api_key):
        raise CredentialError("AI_USAGE_METABASE_API_KEY names one version of a secret; name the secret itself.")
    client.use_session(_start_session(client, settings, report, is_rejected=bool(key)))
    key, is_renewed = _create_api_key(client)
    _store_key(metabase.api_key, key, emulator)
    report(
        f"API key {KEY_NAME!r} {'renewed' if is_renewed else 'created'} and stored in "
        f"{_describe_place(metabase.api_key)}."
    )
    if is_renewed:
        report("Its previous value is no longer valid.")
    _log_out(client)
    client.use_api_key(key)


@contextmanager
def authenticate_read_only(client: MetabaseClient, settings: Settings) -> Iterator[bool]:
    """Authenticate within the block without creating anything. Yields False for a Metabase without users.

    Raises CredentialError or MetabaseError.
    """
    key = _read_stored_key(settings.metabase.api_key, settings.secrets_emulator)
    if key:
        client.use_api_key(key)
        if _is_administrator(client):
            yield True
            return
    if not client.get("/api/session/properties").get("has-user-setup"):
        yield False
        return
    client.use_session(_log_in(client, *_read_administrator(client, settings, is_rejected=bool(key))))
    try:
        yield True
    finally:
        _log_out(client)


def read_service_account(settings: Settings) -> str | None:
    """Return the JSON key with which Metabase queries BigQuery, or None if unset. Raises CredentialError."""
    setting = settings.metabase.service_account
    if setting is None:
        return None
    text = _read("AI_USAGE_METABASE_SERVICE_ACCOUNT", setting, settings.secrets_emulator)
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict) or not {"client_email", "private_key"} <= key.keys():
        raise CredentialError(
            "AI_USAGE_METABASE_SERVICE_ACCOUNT is not a service account's JSON key with client_email and private_key. "
            "Create one with `gcloud iam service-accounts keys create`."
        )
    return text


def _is_administrator(client: MetabaseClient) -> bool:
    """Return False if Metabase rejects the key. Raises CredentialError for a key of another group."""
    try:
        user = client.get("/api/user/current")
    except RequestRejected as error:
        if error.status == 401:
            return False
        raise
    if not user.get("is_superuser"):
        raise CredentialError("The key in AI_USAGE_METABASE_API_KEY does not belong to the group Administrators.")
    return True


def _log_out(client: MetabaseClient) -> None:
    # A session that stays open expires.
    with suppress(MetabaseError):
        client.delete("/api/session")


def _read_administrator(client: MetabaseClient, settings: Settings, *, is_rejected: bool) -> tuple[str, str]:
    """Return the administrator's e-mail and password. `is_rejected`: the stored key is no longer valid."""
    metabase = settings.metabase
    if not metabase.admin_email or not metabase.admin_password:
        place = _describe_place(metabase.api_key)
        problem = f"Metabase rejected the API key in {place}" if is_rejected else f"There is no API key in {place}"
        raise CredentialError(
            f"{problem}. Set AI_USAGE_METABASE_ADMIN_EMAIL and AI_USAGE_METABASE_ADMIN_PASSWORD to create one. On a "
            "new Metabase they become the first administrator; otherwise they log in once."
        )
    email = _read("AI_USAGE_METABASE_ADMIN_EMAIL", metabase.admin_email, settings.secrets_emulator)
    password = _read("AI_USAGE_METABASE_ADMIN_PASSWORD", metabase.admin_password, settings.secrets_emulator)
    for name, value in (("EMAIL", email), ("PASSWORD", password)):
        if not value:
            raise CredentialError(f"AI_USAGE_METABASE_ADMIN_{name} is empty.")
    client.hide_secrets(password)
    return email, password


def _start_session(
    client: MetabaseClient, settings: Settings, report: Callable[[str], None], *, is_rejected: bool
) -> str:
    email, password = _read_administrator(client, settings, is_rejected=is_rejected)
    properties = client.get("/api/session/properties")
    if not properties.get("has-user-setup"):
        token = properties.get("setup-token")
        if configured := settings.metabase.setup_token:
            token = _read("AI_USAGE_METABASE_SETUP_TOKEN", configured, settings.secrets_emulator)
        if session := _set_up(client, token, email, password):
            report("Metabase set up; AI_USAGE_METABASE_ADMIN_EMAIL is its first administrator.")
            return session
    return _log_in(client, email, password)


def _log_in(client: MetabaseClient, email: str, password: str) -> str:
    try:
        return _read_session(client.post("/api/session", {"username": email, "password": password}))
    except RequestRejected as error:
        raise CredentialError(
            f"{error}. Metabase is already set up: AI_USAGE_METABASE_ADMIN_EMAIL and AI_USAGE_METABASE_ADMIN_PASSWORD "
            "must be those of an existing administrator."
        ) from None


def _set_up(client: MetabaseClient, token: str | None, email: str, password: str) -> str | None:
    """Create the first administrator and return a session; None if there is an administrator already."""
    if not isinstance(token, str) or not token:
        raise CredentialError("Metabase does not show its setup token; set AI_USAGE_METABASE_SETUP_TOKEN.")
    client.hide_secrets(token)
    user = {"email": email, "password": password, "first_name": "AI usage", "last_name": "Administrator"}
    preferences = {"site_name": "AI usage", "allow_tracking": False}
    try:
        return _read_session(client.post("/api/setup", {"token": token, "user": user, "prefs": preferences}))
    except AmbiguousOutcome:
        return None
    except RequestRejected as error:
        if error.status == 403:
            return None
        raise


def _read_session(response: Any) -> str:
    session = response.get("id") if isinstance(response, dict) else None
    if not _is_header_value(session):
        raise MetabaseError(f"Metabase answered a login without a session. {_UNSUPPORTED}")
    return str(session)


def _create_api_key(client: MetabaseClient) -> tuple[str, bool]:
    """Create the API key; an existing key of the name gets a new value. Returns the value and whether it existed."""

    def find_existing() -> ApiObject | None:
        return next((key for key in client.get_list("/api/api-key") if is_ours(key)), None)

    def is_ours(key: ApiObject) -> bool:
        # A key of another group belongs to somebody else.
        with client.parsing("/api/api-key"):
            group = key.get("group") or {"id": ADMINISTRATORS}
            return bool(key["name"] == KEY_NAME and group["id"] == ADMINISTRATORS)

    existing = find_existing()
    body = {"name": KEY_NAME, "group_id": ADMINISTRATORS}
    created = existing or client.create("/api/api-key", body, find_existing)
    if not created.get("unmasked_key"):
        created = client.put(f"/api/api-key/{created.id}/regenerate")
    key = created.get("unmasked_key") if isinstance(created, dict) else None
    if not isinstance(key, str) or not _is_header_value(key):
        raise MetabaseError(f"Metabase created an API key without returning it. {_UNSUPPORTED}")
    client.hide_secrets(key)
    return key, existing is not None


def _is_header_value(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value


def _read_stored_key(setting: str, emulator: str | None) -> str | None:
    """Return the stored API key, or None if none is stored yet."""
    if setting.startswith(_FILE) and not _to_path(setting).exists():
        return None
    try:
        key = _read("AI_USAGE_METABASE_API_KEY", setting, emulator)
    except _MissingSecretError:
        return None
    if key and not _is_header_value(key):
        raise CredentialError(
            f"AI_USAGE_METABASE_API_KEY: {_describe_place(setting)} does not contain an API key (one ASCII word)."
        )
    return key


def _read(name: str, setting: str, emulator: str | None) -> str:
    try:
        if setting.startswith(_FILE):
            return _to_path(setting).read_text("utf-8-sig").strip()
        return resolve_secret(setting, emulator, multiline=True)
    except SecretNotFound as error:
        raise _MissingSecretError(f"{name}: {error}") from None
    except SecretError as error:
        raise CredentialError(f"{name}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CredentialError(f"{name}: cannot read {_to_path(setting)} ({reason}).") from None


def _is_writable(setting: str) -> bool:
    return setting.startswith(_FILE) or (setting.startswith("projects/") and "/versions/" not in setting)


def _store_key(setting: str, key: str, emulator: str | None) -> None:
    try:
        if setting.startswith(_FILE):
            path = _to_path(setting)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, f"{key}\n", mode=0o600)
        else:
            store_secret(setting, key, emulator)
    except (SecretError, OSError) as error:
        reason = f"cannot write {setting} ({error.strerror})." if isinstance(error, OSError) else str(error)
        raise CredentialError(
            f"The new API key of Metabase could not be stored: {reason} Fix this and run the command again; the key "
            "then gets a new value."
        ) from None


def _to_path(setting: str) -> Path:
    path = Path(setting.removeprefix(_FILE))
    try:
        return path.expanduser()
    except RuntimeError:
        raise CredentialError(f"{path}: there is no such home directory.") from None


def _describe_place(setting: str) -> str:
    if setting.startswith(_FILE):
        return f"the file {_to_path(setting)} (mode 0600)"
    return f"the secret {setting}" if setting.startswith("projects/") else "the environment"
