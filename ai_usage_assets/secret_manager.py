"""Read secrets from Google Secret Manager when they are needed.

A value is never logged, written to disk or put into an exception; only the secret's name is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.retries import RetryPolicy

if TYPE_CHECKING:
    from google.cloud.secretmanager import SecretManagerServiceClient

_SECRET_NAME = re.compile(r"projects/([a-zA-Z0-9.:-]+)/secrets/([A-Za-z0-9_-]+)(?:/versions/([A-Za-z0-9_-]+))?")

# Unanswered attempts are repeated until the total time is used up.
_ATTEMPT_SECONDS = 10.0
_TOTAL_SECONDS = 30.0

_versions: dict[str, str] = {}

# Allowed in multiline secrets, such as the JSON key of a service account.
_MULTILINE_CHARACTERS = "\n\r\t "


class SecretError(OperatorError):
    """A secret cannot be read or written; the message gives its name, never its value, and what to do."""


class SecretNotFound(SecretError):
    """The secret does not exist or has no version."""


def versions_read() -> dict[str, str]:
    """Returns the version of each secret that this process has read, by name (`projects/P/secrets/S`)."""
    return dict(_versions)


def resolve_secret(
    setting: str, server: str | None = None, *, total_seconds: float = _TOTAL_SECONDS, multiline: bool = False
) -> str:
    """Returns the value of a setting that is a secret or the name of one.

    A name is `projects/P/secrets/S[/versions/V]`, latest by default; anything else is returned as it is. `multiline`
    allows spaces and line breaks. `server` is the address of an emulator on this machine; it gets no credentials.
    Raises SecretError, and its subclass SecretNotFound when there is none.
    """
    if not setting.startswith("projects/"):
        return setting
    return _parse_name(setting).read(server, total_seconds, multiline=multiline)


def store_secret(setting: str, value: str, server: str | None) -> str:
    """Adds a version to the named secret and returns its number. Raises SecretError."""
    return _parse_name(setting).add(value, server, _TOTAL_SECONDS)


def _parse_name(setting: str) -> _Secret:
    match = _SECRET_NAME.fullmatch(setting)
    if not match:
        raise SecretError(
            "A value that begins with projects/ must be the full name of a secret: projects/P/secrets/S or "
            "projects/P/secrets/S/versions/V."
        )
    return _Secret(match[1], match[2], match[3] or "latest")


def version_read(setting: str) -> str | None:
    """Returns the version that was read for the secret a setting names; None if none was."""
    return _versions.get(setting.partition("/versions/")[0])


@dataclass(frozen=True)
class _Secret:
    """One version of one secret."""

    project: str
    name: str
    version: str

    def read(self, server: str | None, total_seconds: float, *, multiline: bool) -> str:
        with self._translate_errors(total_seconds, "read"), _client(server) as client:
            answer = _call(client.access_secret_version, total_seconds, name=f"{self.path}/versions/{self.version}")
        version = answer.name.rpartition("/versions/")[2]
        value = self._decode_payload(answer.payload, version, _MULTILINE_CHARACTERS if multiline else "")
        _versions[self.path] = version
        return value

    def add(self, value: str, server: str | None, total_seconds: float) -> str:
        import google_crc32c
        from google.cloud.secretmanager import SecretPayload

        payload = SecretPayload(data=value.encode(), data_crc32c=google_crc32c.value(value.encode()))
        with self._translate_errors(total_seconds, "written"), _client(server) as client:
            answer = _call(client.add_secret_version, total_seconds, parent=self.path, payload=payload)
        version: str = answer.name.rpartition("/versions/")[2]
        return version

    @contextmanager
    def _translate_errors(self, total_seconds: float, action: Literal["read", "written"]) -> Iterator[None]:
        # Imported here because the client is slow to import and only needed for named secrets.
        from google.api_core.exceptions import GoogleAPIError, NotFound
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except NotFound:
            raise SecretNotFound(self._not_found(f"The secret {self.path}")) from None
        except (GoogleAPIError, GoogleAuthError) as error:
            raise SecretError(self._describe(error, total_seconds, action)) from None

    @property
    def path(self) -> str:
        return f"projects/{self.project}/secrets/{self.name}"

    def _decode_payload(self, payload: Any, version: str, allowed: str) -> str:
        import google_crc32c

        if payload.data_crc32c and google_crc32c.value(payload.data) != payload.data_crc32c:
            raise SecretError(
                f"The secret {self.path} (version {version}) was damaged in transfer: its checksum differs. Run it "
                f"again; if it happens twice, store the secret again: {self._add_command}."
            )
        try:
            value: str = payload.data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            # Raised after this block, because the exception contains the bytes.
            value = "\0"
        if not value:
            raise SecretError(
                f"The secret {self.path} (version {version}) is empty. Store the key in it: {self._add_command}."
            )
        if any(not each.isprintable() or each == " " for each in value if each not in allowed):
            raise SecretError(
                f"The secret {self.path} (version {version}) is not a key: it is not a single word of text. Store only "
                f"the key in it: {self._add_command}."
            )
        return value

    @property
    def _project_option(self) -> str:
        return f"--project={self.project}"

    @property
    def _add_command(self) -> str:
        command = f"gcloud secrets versions add {self.name} {self._project_option} --data-file=-"
        return f"`{command}` (paste the key, then Ctrl-D)"

    def _describe(self, error: Exception, total_seconds: float, action: str) -> str:
        from google.api_core import exceptions as api
        from google.auth.exceptions import GoogleAuthError, TransportError

        what = f"The secret {self.path}"
        if (isinstance(error, GoogleAuthError) and not isinstance(error, TransportError)) or _lacks_credentials(error):
            return (
                f"{what} was not requested: Google credentials are missing or expired. Log "
                "in with `gcloud auth application-default login`; in Cloud Run, give the job a service account."
            )
        match error:
            case api.FailedPrecondition():
                return self._not_enabled(what, str(error.message))
            case api.Forbidden():
                return self._forbidden(what, error.reason, action)
            case api.InvalidArgument():
                return (
                    f"{what} has no version {self.version!r}: a version is a number or latest. List them with "
                    f"`gcloud secrets versions list {self.name} {self._project_option}`."
                )
            case api.ResourceExhausted():
                return (
                    f"{what} could not be {action}: the project has used up its requests to Secret Manager. Run it "
                    f"again in a minute; see the limits with `gcloud alpha services quota list --consumer=projects/"
                    f"{self.project} --service=secretmanager.googleapis.com`."
                )
        answered = isinstance(error, api.GoogleAPICallError) and not isinstance(error, _unanswered())
        went = "refused" if answered else f"did not answer within {total_seconds:.0f} s"
        return (
            f"{what} could not be {action}: Secret Manager {went} ({type(error).__name__}). Check the network of "
            f"this machine and run it again; `gcloud secrets versions "
            f"describe {self.version} --secret={self.name} {self._project_option}` sends a request to the same server."
        )

    def _not_found(self, what: str) -> str:
        if self.version == "latest":
            return (
                f"{what} does not exist or has no version. Create it, if `gcloud secrets describe {self.name} "
                f"{self._project_option}` does not find it: `gcloud secrets create {self.name} {self._project_option} "
                f"--replication-policy=automatic`. Then store the key: {self._add_command}."
            )
        return (
            f"{what} has no version {self.version}, or does not exist. List its versions with `gcloud secrets "
            f"versions list {self.name} {self._project_option}`."
        )

    def _not_enabled(self, what: str, message: str) -> str:
        # The message contains the number of the latest version.
        match = re.search(r"/versions/([0-9]+)", message)
        version = match[1] if match else self.version
        if "DESTROYED" in message:
            return (
                f"{what} has no version {version} anymore: it was destroyed. Store the key again: {self._add_command}."
            )
        return (
            f"{what} has version {version} disabled. Enable it: `gcloud secrets versions enable {version} "
            f"--secret={self.name} {self._project_option}`; or store another key: {self._add_command}."
        )

    def _forbidden(self, what: str, reason: str | None, action: str) -> str:
        match reason:
            case "SERVICE_DISABLED":
                return (
                    f"{what} could not be {action}: the Secret Manager API is disabled in this project. Enable it: "
                    f"`gcloud services enable secretmanager.googleapis.com {self._project_option}`, and run it again "
                    "a few minutes later."
                )
            case "BILLING_DISABLED":
                return (
                    f"{what} could not be {action}: the project has no billing account. Link one: `gcloud billing "
                    f"projects link {self.project} --billing-account=BILLING_ACCOUNT_ID`."
                )
        role = "secretAccessor" if action == "read" else "secretVersionAdder"
        return (
            f"{what} cannot be {action} by this account, or does not exist. Grant it access: `gcloud secrets "
            f"add-iam-policy-binding {self.name} {self._project_option} --role=roles/secretmanager.{role} "
            "--member=serviceAccount:ACCOUNT`, with the account the job runs as (user:YOU for a person)."
        )


def _client(server: str | None) -> SecretManagerServiceClient:
    from google.cloud import secretmanager

    if server is None:
        return secretmanager.SecretManagerServiceClient()
    import grpc
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceGrpcTransport,
    )

    # A proxy cannot reach a server on this machine.
    channel = grpc.insecure_channel(urlsplit(server).netloc, options=[("grpc.enable_http_proxy", 0)])
    return secretmanager.SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))


def _call(method: Callable[..., Any], total_seconds: float, **request: Any) -> Any:
    """Sends a request, and repeats it without an answer until the time is used up."""
    from google.api_core import exceptions as api
    from google.api_core.timeout import ConstantTimeout
    from tenacity import retry_if_exception

    def is_transient(error: BaseException) -> bool:
        return isinstance(error, (*_unanswered(), api.ResourceExhausted)) and not _lacks_credentials(error)

    policy = RetryPolicy(max_attempts=100, first_wait_seconds=0.5, max_wait_seconds=5, total_seconds=total_seconds)
    timeout = ConstantTimeout(min(_ATTEMPT_SECONDS, total_seconds))  # type: ignore[no-untyped-call]
    return policy.retrying(retry_if_exception(is_transient))(method, **request, retry=None, timeout=timeout)


def _unanswered() -> tuple[type[Exception], ...]:
    """The errors of a request without an answer."""
    from google.api_core import exceptions as api

    return (api.ServiceUnavailable, api.DeadlineExceeded, api.InternalServerError)


def _lacks_credentials(error: BaseException) -> bool:
    """Whether credentials are missing; gRPC reports that as an unavailable server."""
    from google.api_core.exceptions import ServiceUnavailable, Unauthenticated

    if isinstance(error, ServiceUnavailable):
        return "metadata from plugin failed" in str(error)
    return isinstance(error, Unauthenticated)
