"""A message to a chat: one POST of `{"text": ...}`, as Slack, Mattermost and Google Chat take it.

Belongs here: sending it within a bounded time, and saying what went wrong. Does not: what is told (`digest`). The
address of a webhook is a secret: whoever has it may post. It is never quoted; only its host is.
"""

from __future__ import annotations

import json
import re
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpcore
import httpx

from ai_usage_assets.errors import OperatorError
from ai_usage_assets.http.transport import BoundedTransport
from ai_usage_assets.settings import is_https_or_loopback

# Two attempts, so that the end of a run never waits for more than ten seconds.
_ATTEMPTS = 2
_ATTEMPT_SECONDS = 5.0
_LONGEST_ANSWER_SHOWN = 200
_LONGEST_ANSWER_READ = 1_000
# Of an address, what could be the secret in it.
_TELLING = re.compile(r"[A-Za-z0-9_~-]{8,}")
_BROKEN_OFF = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
)


class WebhookError(OperatorError):
    """A message was not taken; the message names the host and says what to do."""


def post_message(address: str, text: str, *, attempt_seconds: float = _ATTEMPT_SECONDS) -> None:
    """Sends a text. Raises WebhookError when it was not taken, and SettingsError for a proxy that cannot be used."""
    if not is_https_or_loopback(address):
        raise WebhookError("The address of the webhook is not one of https. Copy it again from where it was made.")
    host = urlsplit(address).hostname
    transport = BoundedTransport(address, httpx.create_ssl_context())
    body = json.dumps({"text": text}).encode()
    request = httpx.Request("POST", address, headers={"content-type": "application/json"}, content=body)
    told = ""
    try:
        for _ in range(_ATTEMPTS):
            transport.set_deadline(attempt_seconds)
            try:
                answer = transport.handle_request(request)
            except _BROKEN_OFF as error:
                told = f"did not answer ({type(error).__name__}). Look at the network, and whether {host} is up"
                continue
            if answer.is_success:
                # Whatever comes after it, the message was taken, and must not be sent twice.
                return
            said = _without(address, _beginning(answer))[:_LONGEST_ANSWER_SHOWN]
            told = f"answered {answer.status_code} ({said!r}). {_advice(answer.status_code)}"
            if answer.status_code < 500:
                break
    finally:
        transport.close()
    raise WebhookError(f"The webhook at {host} {told}.")


def _beginning(answer: httpx.Response) -> str:
    """What a refusal says first: it may never end, and what breaks off is told as far as it came."""
    said = b""
    with closing(answer), suppress(*_BROKEN_OFF):
        for piece in answer.iter_raw():
            said += piece
            if len(said) >= _LONGEST_ANSWER_READ:
                break
    return said[:_LONGEST_ANSWER_READ].decode(errors="replace").strip()


def _without(address: str, said: str) -> str:
    """The answer without the parts of the address that it repeats."""
    parts = urlsplit(address)
    for telling in _TELLING.findall(f"{parts.path} {parts.query}"):
        said = said.replace(telling, "…")
    return said


def _advice(status: int) -> str:
    if status in (401, 403, 404, 410):
        return "It was removed, or its channel was: make another and put its address into AI_USAGE_DIGEST_WEBHOOK"
    if status == 429:
        return "Too many messages were sent there; the next run tries again"
    if status >= 500:
        return "The next run tries again"
    return "It may want another form of message; it is sent as JSON with one field, text"
