"""Post a message to a chat as `{"text": ...}`, the format of Slack, Mattermost and Google Chat.

The address of a webhook is a secret: it is enough to post messages. Messages name its host only.
"""

from __future__ import annotations

import json
import re
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
from tenacity import retry_if_exception_type

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.http.transport import CONNECTION_ERRORS, BoundedTransport
from ai_usage_assets.retries import RetryPolicy
from ai_usage_assets.settings import is_https_or_loopback

# Two attempts, so that the end of a run is delayed by ten seconds at most.
_RETRY_POLICY = RetryPolicy(max_attempts=2, first_wait_seconds=0)
_ATTEMPT_SECONDS = 5.0
_MAX_RESPONSE_SHOWN = 200
_MAX_RESPONSE_READ = 1_000
# Parts of an address that may be its secret.
_SECRET_PART = re.compile(r"[A-Za-z0-9_~-]{8,}")


class WebhookError(OperatorError):
    """The chat did not accept the message; the text names the host and states what to do."""


class _UnansweredError(WebhookError):
    """A second attempt may succeed."""


def post_message(address: str, text: str, *, attempt_seconds: float = _ATTEMPT_SECONDS) -> None:
    """Posts a text. Raises WebhookError if it is not accepted, SettingsError for a proxy that cannot be used."""
    if not is_https_or_loopback(address):
        raise WebhookError("The webhook's address is not an https URL. Copy it again from the chat that created it.")
    host = urlsplit(address).hostname
    transport = BoundedTransport(address, httpx.create_ssl_context())
    body = json.dumps({"text": text}).encode()
    request = httpx.Request("POST", address, headers={"content-type": "application/json"}, content=body)

    def post_once() -> None:
        transport.set_deadline(attempt_seconds)
        try:
            response = transport.handle_request(request)
        except CONNECTION_ERRORS as error:
            raise _UnansweredError(
                f"The webhook at {host} did not answer ({type(error).__name__}). Check the network, and whether {host} "
                "is up."
            ) from None
        # An accepted message must not be sent twice, whatever happens to the rest of the response.
        if not response.is_success:
            shown = _remove_secrets(address, _read_start(response))[:_MAX_RESPONSE_SHOWN]
            error_class = _UnansweredError if response.status_code >= 500 else WebhookError
            raise error_class(
                f"The webhook at {host} answered {response.status_code} ({shown!r}). {_advice(response.status_code)}."
            )

    try:
        _RETRY_POLICY.retrying(retry_if_exception_type(_UnansweredError))(post_once)
    finally:
        transport.close()


def _read_start(response: httpx.Response) -> str:
    """The start of an error response, which can be endless or interrupted."""
    body = b""
    with closing(response), suppress(*CONNECTION_ERRORS):
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= _MAX_RESPONSE_READ:
                break
    return body[:_MAX_RESPONSE_READ].decode(errors="replace").strip()


def _remove_secrets(address: str, text: str) -> str:
    """The text without the parts of the address that it repeats."""
    parts = urlsplit(address)
    for part in _SECRET_PART.findall(f"{parts.path} {parts.query}"):
        text = text.replace(part, "…")
    return text


def _advice(status: int) -> str:
    if status in (401, 403, 404, 410):
        return "The webhook or its channel was removed: create another and set AI_USAGE_DIGEST_WEBHOOK to its address"
    if status == 429:
        return "It receives too many messages; the next run tries again"
    if status >= 500:
        return "The next run tries again"
    return "It may expect another message format; this is JSON with the field text"
