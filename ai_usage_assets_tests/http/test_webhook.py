"""Webhook messages are posted once and in bounded time; errors do not contain the address."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from ai_usage_assets.http.webhook import WebhookError, post_message
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies

SECRET = "T0PSECRETPATH"


def test_message_is_posted_as_json() -> None:
    """One POST of JSON contains the text, with any characters."""
    with serve_replies(Reply(body=b"ok")) as chat:
        post_message(f"{chat.url}/services/{SECRET}?key=k&token=t", "$1,234.50 & <more> for “Ada”")
    (request,) = chat.requests
    assert (request.method, request.path, request.query) == (
        "POST",
        f"/services/{SECRET}",
        [("key", "k"), ("token", "t")],
    )
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {"text": "$1,234.50 & <more> for “Ada”"}


@pytest.mark.parametrize(
    ("reply", "request_count", "reason"),
    [
        (Reply(404, b"no_service"), 1, "answered 404 ('no_service'). The webhook or its channel was removed"),
        (Reply(429, b"rate_limited"), 1, "the next run tries again"),
        (Reply(400, b"invalid_payload"), 1, "another message format"),
        (Reply(503, b"later"), 2, "answered 503 ('later'). The next run tries again"),
        (Reply(503, fault="cut", body=b"x" * 9), 2, "answered 503 ('xxxx')"),
        (Reply(fault="silent"), 2, "did not answer (ReadTimeout)"),
        (Reply(500, fault="drip", body=b"x" * 99), 2, "answered 500 ('')"),
        (Reply(404, f"No /services/{SECRET} here".encode()), 1, "answered 404 ('No /…/… here')"),
        (Reply(fault="drip of headers"), 2, "did not answer (ReadTimeout)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_failure_is_reported_without_the_address(reply: Reply, request_count: int, reason: str) -> None:
    """A refused, interrupted or slow post ends in time, with advice and without the secret."""
    with serve_replies(reply) as chat:
        with pytest.raises(WebhookError) as caught:
            post_message(f"{chat.url}/services/{SECRET}", "text", attempt_seconds=0.3)
        assert len(chat.requests) == request_count
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("fault", ["drip", "cut"])
def test_accepted_message_is_not_sent_again(fault: Literal["drip", "cut"]) -> None:
    """After a success status a slow or interrupted body causes no retry."""
    with serve_replies(Reply(fault=fault, body=b"x" * 99)) as chat:
        post_message(chat.url, "text", attempt_seconds=0.3)
        assert len(chat.requests) == 1


def test_endless_error_body_is_read_partly() -> None:
    """Only the beginning of an endless error body is read, whatever its announced length."""
    endless = Reply(400, b"x" * 2_000, headers={"content-length": str(10**12)})
    with serve_replies(endless) as chat, pytest.raises(WebhookError, match=r"answered 400 \('x{200}'\)"):
        post_message(chat.url, "text", attempt_seconds=60)


def test_second_attempt_may_succeed() -> None:
    """A single failure is retried."""
    with serve_replies(Reply(500), Reply(body=b"ok")) as chat:
        post_message(chat.url, "text")
    assert len(chat.requests) == 2


@pytest.mark.parametrize(
    "address", ["http://chat.example.com/x", "https:///x", "ftp://x", "https://a b/", "https://[x"]
)
def test_insecure_address_is_rejected(address: str) -> None:
    """Messages are sent over https or to this machine only."""
    with pytest.raises(WebhookError, match="not an https URL"):
        post_message(address, "text")
