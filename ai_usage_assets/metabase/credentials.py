"""Who asks Metabase: the stored key, or, where there is none yet, the first administrator who has one made.

Belongs here: where credentials are kept, and the way to a key: stored, else by logging in, else by setting Metabase
up. Does not: asking (`server`). A credential is a value, the name of a secret (`projects/P/secrets/S`), or a file
(`file:PATH`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.files import write_atomically
from ai_usage_assets.metabase.api_models import FirstUser, Login, NewKey, Preferences, Setup
from ai_usage_assets.metabase.client import AmbiguousOutcome, ApiObject, MetabaseClient, MetabaseError, RequestRejected
from ai_usage_assets.secret_manager import SecretError, SecretNotFound, resolve_secret, store_secret
from ai_usage_assets.settings import MetabaseSettings, Settings

KEY_NAME = "ai-usage"
_ADMINISTRATORS = 2
_FILE = "file:"


class CredentialError(OperatorError):
    """A credential is missing, or of no use; the message names the setting, never the value."""


def authenticate(server: MetabaseClient, settings: Settings, say: Callable[[str], None]) -> None:
    """Gives the server a key that may do everything; one that is made is stored.

    Raises CredentialError or MetabaseError.
    """
    wanted = settings.metabase
    key = _stored(wanted.api_key, settings.secrets_emulator)
    if key:
        server.use_key(key)
        if _is_admin(server):
            return
        told = f"AI_USAGE_METABASE_API_KEY ({_place(wanted.api_key)}) is a key that Metabase no longer takes"
        if not _can_store(wanted.api_key):
            raise CredentialError(
                f"{told}. Make one of the group Administrators, or name a secret or a file (file:PATH) instead: one "
                "is made then."
            )
        say(f"{told}; another is made.")
    if not _can_store(wanted.api_key):
        raise CredentialError("AI_USAGE_METABASE_API_KEY names one version of a secret; name the secret alone.")
    session = _session(server, wanted, settings.secrets_emulator, say, is_refused=bool(key))
    server.use_session(session)
    key, is_renewed = _made(server)
    _store(wanted.api_key, key, settings.secrets_emulator)
    made = "was given another value" if is_renewed else "was made"
    say(f"The key {KEY_NAME!r} of Metabase's API {made} and stored in {_place(wanted.api_key)}.")
    if is_renewed:
        say("Its old value no longer works, wherever else it is kept.")
    _log_out(server)
    server.use_key(key)


@contextmanager
def authenticate_read_only(server: MetabaseClient, settings: Settings) -> Iterator[bool]:
    """Within the block the server knows who asks, and nothing was made for it; false where nobody has set it up yet.

    Raises CredentialError or MetabaseError.
    """
    key = _stored(settings.metabase.api_key, settings.secrets_emulator)
    if key:
        server.use_key(key)
        if _is_admin(server):
            yield True
            return
    if not server.get("/api/session/properties").get("has-user-setup"):
        yield False
        return
    email, password = _admin(server, settings.metabase, settings.secrets_emulator, is_refused=bool(key))
    server.use_session(_login(server, email, password))
    try:
        yield True
    finally:
        _log_out(server)


def service_account(settings: Settings) -> str | None:
    """The JSON key with which Metabase asks BigQuery; None when none is set. Raises CredentialError."""
    given = settings.metabase.service_account
    if given is None:
        return None
    text = _value("AI_USAGE_METABASE_SERVICE_ACCOUNT", given, settings.secrets_emulator)
    try:
        key = json.loads(text)
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict) or not {"client_email", "private_key"} <= key.keys():
        raise CredentialError(
            "AI_USAGE_METABASE_SERVICE_ACCOUNT is not the JSON key of a service account, with client_email and "
            "private_key; `gcloud iam service-accounts keys create` makes one."
        )
    return text


def _is_admin(server: MetabaseClient) -> bool:
    try:
        user = server.get("/api/user/current")
    except RequestRejected as error:
        if error.status == 401:
            return False
        raise
    if not user.get("is_superuser"):
        raise CredentialError("The key in AI_USAGE_METABASE_API_KEY is not one of Metabase's group Administrators.")
    return True


def _log_out(server: MetabaseClient) -> None:
    # Left open, a session would end by itself.
    with suppress(MetabaseError):
        server.delete("/api/session")


def _admin(
    server: MetabaseClient, wanted: MetabaseSettings, secrets: str | None, *, is_refused: bool
) -> tuple[str, str]:
    """The administrator's e-mail and password; `is_refused` when there is a key and it is no longer taken."""
    if not wanted.admin_email or not wanted.admin_password:
        place = _place(wanted.api_key)
        told = (
            f"Metabase no longer takes the key in {place}" if is_refused else f"There is no key of its API in {place}"
        )
        raise CredentialError(
            f"{told}. Set AI_USAGE_METABASE_ADMIN_EMAIL and "
            "AI_USAGE_METABASE_ADMIN_PASSWORD: on a fresh Metabase they become the first administrator, else they log "
            "in; once, to make a key."
        )
    email = _value("AI_USAGE_METABASE_ADMIN_EMAIL", wanted.admin_email, secrets)
    password = _value("AI_USAGE_METABASE_ADMIN_PASSWORD", wanted.admin_password, secrets)
    for name, value in (("EMAIL", email), ("PASSWORD", password)):
        if not value:
            raise CredentialError(f"AI_USAGE_METABASE_ADMIN_{name} names something that is empty.")
    server.hide(password)
    return email, password


def _session(
    server: MetabaseClient,
    wanted: MetabaseSettings,
    secrets: str | None,
    say: Callable[[str], None],
    *,
    is_refused: bool,
) -> str:
    email, password = _admin(server, wanted, secrets, is_refused=is_refused)
    properties = server.get("/api/session/properties")
    if not properties.get("has-user-setup"):
        token = properties.get("setup-token")
        if wanted.setup_token:
            token = _value("AI_USAGE_METABASE_SETUP_TOKEN", wanted.setup_token, secrets)
        if session := _set_up(server, token, email, password):
            say("Metabase was fresh: its first administrator is that of AI_USAGE_METABASE_ADMIN_EMAIL.")
            return session
    return _login(server, email, password)


def _login(server: MetabaseClient, email: str, password: str) -> str:
    try:
        return _id(server.post("/api/session", Login(username=email, password=password)))
    except RequestRejected as error:
        raise CredentialError(
            f"{error}. This Metabase has been set up already: AI_USAGE_METABASE_ADMIN_EMAIL and "
            "AI_USAGE_METABASE_ADMIN_PASSWORD must be those of an administrator whom it knows."
        ) from None


def _set_up(server: MetabaseClient, token: str | None, email: str, password: str) -> str | None:
    """The session of the first administrator; None when there is one already, made meanwhile or just now."""
    if not isinstance(token, str) or not token:
        raise CredentialError(
            "This Metabase says no setup token: set the one it was given, AI_USAGE_METABASE_SETUP_TOKEN."
        )
    server.hide(token)
    user = FirstUser(email=email, password=password, first_name="AI usage", last_name="Administrator")
    body = Setup(token=token, user=user, prefs=Preferences(site_name="AI usage", allow_tracking=False))
    try:
        return _id(server.post("/api/setup", body))
    except AmbiguousOutcome:
        # What was not answered may have been done.
        return None
    except RequestRejected as error:
        if error.status == 403:
            return None
        raise


def _id(answer: Any) -> str:
    session = answer.get("id") if isinstance(answer, dict) else None
    if not _is_word(session):
        raise MetabaseError("Metabase answered a login without a session. Is it a version this was made for (v0.63)?")
    return str(session)


def _made(server: MetabaseClient) -> tuple[str, bool]:
    """A key of that name; one that is there, and whose value nobody has, gets another value: then true."""

    def look() -> ApiObject | None:
        return next((key for key in server.listed("/api/api-key") if is_ours(key)), None)

    def is_ours(key: ApiObject) -> bool:
        # Of another group it is somebody else's, and in use.
        with server.reading("/api/api-key"):
            group = key.get("group") or {"id": _ADMINISTRATORS}
            return bool(key["name"] == KEY_NAME and group["id"] == _ADMINISTRATORS)

    held = look()
    made = held or server.make("/api/api-key", NewKey(name=KEY_NAME, group_id=_ADMINISTRATORS), look)
    if not made.get("unmasked_key"):
        made = server.put(f"/api/api-key/{made.id}/regenerate")
    key = made.get("unmasked_key") if isinstance(made, dict) else None
    if not isinstance(key, str) or not _is_word(key):
        raise MetabaseError("Metabase made a key and did not say it. Is it a version this was made for (v0.63)?")
    server.hide(key)
    return key, held is not None


def _stored(setting: str, secrets: str | None) -> str | None:
    """The key that is kept; None when none is yet."""
    if setting.startswith(_FILE) and not _path(setting).exists():
        return None
    try:
        key = _value("AI_USAGE_METABASE_API_KEY", setting, secrets)
    except _Missing:
        return None
    if key and not _is_word(key):
        raise CredentialError(
            f"AI_USAGE_METABASE_API_KEY: what is kept in {_place(setting)} is no key of Metabase's API: it is "
            "not one word of ASCII."
        )
    return key


def _is_word(value: object) -> bool:
    """Whether it can be a header."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable() and " " not in value


class _Missing(CredentialError):
    """There is no such secret."""


def _value(name: str, setting: str, secrets: str | None) -> str:
    try:
        if setting.startswith(_FILE):
            return _path(setting).read_text("utf-8-sig").strip()
        return resolve_secret(setting, secrets, multiline=True)
    except SecretNotFound as error:
        raise _Missing(f"{name}: {error}") from None
    except SecretError as error:
        raise CredentialError(f"{name}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CredentialError(f"{name}: {_path(setting)} cannot be read ({told}).") from None


def _can_store(setting: str) -> bool:
    return setting.startswith(_FILE) or (setting.startswith("projects/") and "/versions/" not in setting)


def _store(setting: str, key: str, secrets: str | None) -> None:
    try:
        if setting.startswith(_FILE):
            _write(_path(setting), key)
        else:
            store_secret(setting, key, secrets)
    except SecretError as error:
        told = str(error)
    except OSError as error:
        told = f"{_path(setting)} cannot be written ({error.strerror})."
    else:
        return
    raise CredentialError(
        f"A key of Metabase's API was made and could not be stored: {told} Mend that and run it again: the key gets "
        "another value then."
    )


def _write(path: Path, key: str) -> None:
    """Whole, and readable by nobody else from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{key}\n", mode=0o600)


def _path(setting: str) -> Path:
    path = Path(setting.removeprefix(_FILE))
    try:
        return path.expanduser()
    except RuntimeError:
        raise CredentialError(f"Nobody has the home that {path} names.") from None


def _place(setting: str) -> str:
    """Where a key is kept, for a person."""
    if setting.startswith(_FILE):
        return f"the file {_path(setting)} (mode 0600)"
    return f"the secret {setting}" if setting.startswith("projects/") else "the environment"
