"""A message to a chat is sent once and in time, or it is told why not, without its address."""

from __future__ import annotations

import json

import pytest

from ai_usage_assets.finance.webhook import WebhookError, post
from ai_usage_assets_tests.http_server import Reply, serving

SECRET = "T0PSECRETPATH"


def test_a_message_arrives_as_it_is() -> None:
    """One POST of JSON with the text, whatever characters are in it."""
    with serving(Reply(body=b"ok")) as chat:
        post(f"{chat.url}/services/{SECRET}?key=k&token=t", "$1,234.50 & <more> for “Ada”")
    (seen,) = chat.seen
    assert (seen.method, seen.path, seen.query) == ("POST", f"/services/{SECRET}", [("key", "k"), ("token", "t")])
    assert seen.headers["content-type"] == "application/json"
    assert json.loads(seen.body) == {"text": "$1,234.50 & <more> for “Ada”"}


@pytest.mark.parametrize(
    ("reply", "asked", "says"),
    [
        (Reply(404, b"no_service"), 1, "answered 404 ('no_service'). It was removed"),
        (Reply(429, b"rate_limited"), 1, "the next run tries again"),
        (Reply(400, b"invalid_payload"), 1, "another form of message"),
        (Reply(503, b"later"), 2, "answered 503 ('later'). The next run tries again"),
        (Reply(goes_wrong="reset", body=b"x" * 9), 2, "did not answer (ReadError)"),
        (Reply(goes_wrong="silent"), 2, "did not answer (ReadTimeout)"),
        (Reply(goes_wrong="drip", body=b"x" * 99), 2, "did not answer (ReadTimeout)"),
        (Reply(goes_wrong="drip of headers"), 2, "did not answer (ReadTimeout)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_not_taken_is_told_without_the_address(reply: Reply, asked: int, says: str) -> None:
    """A refusal, a broken and a slow server end within the bound, with what to do and no word of the secret."""
    with serving(reply) as chat:
        with pytest.raises(WebhookError) as told:
            post(f"{chat.url}/services/{SECRET}", "text", attempt_seconds=0.3)
        assert len(chat.seen) == asked
    assert says in str(told.value)
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None


def test_a_second_attempt_may_succeed() -> None:
    """A server that stumbles once has the message in the end."""
    with serving(Reply(500), Reply(body=b"ok")) as chat:
        post(chat.url, "text")
    assert len(chat.seen) == 2


@pytest.mark.parametrize(
    "address", ["http://chat.example.com/x", "https:///x", "ftp://x", "https://a b/", "https://[x"]
)
def test_an_address_that_is_not_safe_is_not_sent_to(address: str) -> None:
    """Only https, or a server on this machine, gets what the company spends."""
    with pytest.raises(WebhookError, match="not one of https"):
        post(address, "text")
