"""The HTTP client: requests, retries, errors, rate limits, pagination and redaction.

Responses come over real HTTP from a loopback server; only the clock is fake.
"""

from __future__ import annotations

import base64
import gzip
import logging
import re
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from ai_usage_assets.http.client import ApiClient, Endpoint
from ai_usage_assets.http.errors import (
    ApiError,
    MalformedResponse,
    PageTokenExpired,
    PaginationLoop,
    PermanentApiError,
    TransientApiError,
)
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.http.retry import HttpRetryPolicy
from ai_usage_assets_tests.fakes.http_server import STARTED, FakeClock, FakeServer, Reply, serve_replies

# Matches no pattern of a key, so that only the client's knowledge of it can remove it.
KEY = "winter-tangerine-4711"
OTHER_KEY = "crsr_0123456789abcdef"
PEOPLE = ("ada@acme.test", "jo.o'neil@example.com", "ada%40acme.test")

ENDPOINTS = [
    Endpoint("GET", "/things", 60, "reading"),
    Endpoint("GET", "/people", 60, "reading"),
    Endpoint("GET", "/rooms/{room}/members", 15),
    Endpoint("POST", "/search", 15),
]


class Things(msgspec.Struct):
    """The expected response type."""

    things: list[int]


OK = Reply(body=b'{"things":[1,2]}')


@contextmanager
def client_for(
    *replies: Reply, authorize: Callable[[], Mapping[str, str]] = lambda: {"x-api-key": KEY}, **options: Any
) -> Iterator[tuple[ApiClient, FakeServer, FakeClock]]:
    """A client of a server that sends the replies."""
    clock = FakeClock()
    options = {"pacing": False, "retry_policy": HttpRetryPolicy(), "clock": clock, **options}
    with serve_replies(*replies) as server:
        client = ApiClient("acme", server.url, authorize=authorize, endpoints=ENDPOINTS, **options)
        try:
            yield client, server, clock
        finally:
            client.close()


def error_of(*replies: Reply, path: str = "/things", **options: Any) -> tuple[ApiError, FakeServer, FakeClock]:
    """The error of a request that gets the replies."""
    with client_for(*replies, **options) as (client, server, clock):
        with pytest.raises(ApiError) as caught:
            client.get(path, response_type=Things)
        return caught.value, server, clock


# --- Requests --------------------------------------------------------------------------------------------------------


def test_get_sends_parameters_and_headers() -> None:
    """Parameters keep their order, repetition and brackets; credentials and all headers are sent."""
    params = [("group_by[]", "model"), ("group_by[]", "actor"), ("at", "2026-11-01T00:00:00Z"), ("page", "a+b/c=")]
    with client_for(OK, headers={"user-agent": "tests"}) as (client, server, _):
        client.get("/things", params, response_type=Things, headers={"x-version": "2"})
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("GET", "/things", params)
    assert {"x-api-key": KEY, "user-agent": "tests", "x-version": "2"}.items() <= request.headers.items()


def test_post_sends_json() -> None:
    """A body is sent as JSON with its content type."""
    with client_for(OK) as (client, server, _):
        client.post("/search", {"page": 2, "text": "ä"}, response_type=Things)
    (request,) = server.requests
    assert request.headers["content-type"] == "application/json"
    assert msgspec.json.decode(request.body) == {"page": 2, "text": "ä"}


def test_response_is_decoded_and_returned() -> None:
    """The caller gets the decoded value, the exact bytes, the request id and the date."""
    headers = {"request-id": "req_1", "date": "Fri, 20 Nov 2026 14:00:00 GMT"}
    with client_for(Reply(body=b'{ "things": [1, 2], "new": 0.10 }', headers=headers)) as (client, _, _):
        things, response = client.get("/things", response_type=Things)
    assert things == Things([1, 2])
    assert response.body == b'{ "things": [1, 2], "new": 0.10 }'
    assert (response.request_id, response.date) == ("req_1", headers["date"])


def test_content_type_is_ignored() -> None:
    """JSON with the content type of HTML is decoded."""
    with client_for(Reply(body=OK.body, headers={"content-type": "text/html"})) as (client, _, _):
        assert client.get("/things", response_type=Things)[0] == Things([1, 2])


def test_credentials_are_resolved_once_at_the_first_request() -> None:
    """Credentials are resolved at the first request and only once."""
    reads: list[str] = []

    def authorize() -> dict[str, str]:
        reads.append("read")
        return {"x-api-key": KEY}

    with client_for(OK, authorize=authorize) as (client, _, _):
        assert reads == []
        client.get("/things", response_type=Things)
        client.get("/people", response_type=Things)
    assert reads == ["read"]


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}…", f"{KEY}\x00", f"win\r\nx: {KEY}"])
def test_key_that_is_no_valid_header(key: str) -> None:
    """A key with a line break or an invalid character fails at once, with advice; it is neither shown nor sent."""
    error, server, clock = error_of(OK, authorize=lambda: {"x-api-key": key})
    assert isinstance(error, PermanentApiError)
    assert "Paste the key again" in str(error)
    assert KEY not in all_text(error)
    assert (server.requests, clock.waits) == ([], [])


@pytest.mark.parametrize(
    "path",
    [
        *("/other", "/things/1", "/things?all=1", "/search", "things", "https://example.com/things", "/rooms//members"),
        *("/rooms/../members", "/rooms/a/b/members", "/rooms/a%2Fb/members", "/rooms/a/members\n"),
    ],
)
def test_unlisted_path_is_rejected(path: str) -> None:
    """A path that is not listed for the method is rejected before credentials are resolved."""

    def authorize() -> dict[str, str]:
        raise AssertionError("secrets were read")

    with client_for(OK, authorize=authorize) as (client, server, _):
        with pytest.raises(ValueError, match="may be called"):
            client.get(path, response_type=Things)
        assert server.requests == []


def test_placeholder_stands_for_one_identifier() -> None:
    """A path with an id is requested with it and reported without it."""
    error, server, _ = error_of(Reply(404), path="/rooms/room_01-A/members")
    assert server.requests[0].path == "/rooms/room_01-A/members"
    assert error.endpoint == "GET /rooms/{room}/members"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com",
        "http://10.0.0.1:8080",
        "//api.example.com",
    ],
)
def test_plain_http_is_rejected(url: str) -> None:
    """Credentials are never sent unencrypted, whatever the host name looks like."""
    with pytest.raises(ValueError, match="https, or to loopback addresses only"):
        ApiClient("acme", url, authorize=dict, endpoints=ENDPOINTS)


@pytest.mark.parametrize("url", ["https://api.example.com", "http://localhost:1", "http://127.1.2.3:1", "http://[::1]"])
def test_https_and_loopback_are_accepted(url: str) -> None:
    """Any https address and http on this machine are accepted."""
    ApiClient("acme", url, authorize=dict, endpoints=ENDPOINTS).close()


def test_rejected_url_does_not_show_its_password() -> None:
    """A base URL with credentials is rejected without repeating them."""
    with pytest.raises(ValueError, match="refused") as caught:
        ApiClient("acme", f"http://user:{KEY}@example.com/?token={KEY}", authorize=dict, endpoints=ENDPOINTS)
    assert KEY not in str(caught.value)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A proxy for all addresses that refuses every request."""
    with serve_replies(Reply(403)) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, server.url)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield server


def test_loopback_bypasses_the_proxy(proxy: FakeServer) -> None:
    """A server on this machine is reached directly, whatever proxy the environment names."""
    with client_for(OK) as (client, _, _):
        client.get("/things", response_type=Things)
    assert proxy.requests == []


def error_through_proxy() -> TransientApiError:
    """The error of one request to a host that is not this machine."""
    policy = HttpRetryPolicy(max_attempts=1)
    url = "https://api.example.com"
    client = ApiClient("acme", url, authorize=lambda: {"x-api-key": KEY}, endpoints=ENDPOINTS, retry_policy=policy)
    with pytest.raises(TransientApiError) as caught:
        client.get("/things", response_type=Things)
    client.close()
    return caught.value


def test_other_hosts_use_the_proxy(proxy: FakeServer) -> None:
    """Other hosts are reached through the proxy of the environment, which does not see the key."""
    assert "no connection" in str(error_through_proxy())
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert KEY not in str(proxy.requests)


def test_proxy_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch, proxy: FakeServer) -> None:
    """Only the status of the proxy's answer is reported."""
    with serve_replies(Reply(407)) as server:
        monkeypatch.setenv("https_proxy", server.url.replace("//", "//jo:pw123456@"))
        error = error_through_proxy()
    assert "407" in str(error)
    assert "pw123456" not in all_text(error)


# --- Permanent errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 301, 302, 307, 308])
def test_permanent_errors_are_not_retried(status: int) -> None:
    """A request that would fail again is sent once."""
    error, server, clock = error_of(Reply(status))
    assert type(error) is PermanentApiError
    assert (error.status, error.attempts, error.service) == (status, 1, "acme")
    assert len(server.requests) == 1
    assert clock.waits == []


def test_redirect_is_not_followed() -> None:
    """Credentials are not sent to the target of a redirect."""
    with serve_replies(OK) as elsewhere:
        error, _, _ = error_of(Reply(302, headers={"location": f"{elsewhere.url}/things"}))
        assert elsewhere.requests == []
    assert "Redirects are not followed" in error.next_step


def test_expired_page_token_has_its_own_class() -> None:
    """410 has its own class, so that the caller can start the list again."""
    error, server, _ = error_of(Reply(410, b'{"error":{"message":"cursor expired"}}'))
    assert type(error) is PageTokenExpired
    assert len(server.requests) == 1


def test_hint_of_the_service_takes_precedence() -> None:
    """The next step is the service's own advice if there is one, else the general one."""
    hints = {(401, "/things"): "Ask Ada for a key."}
    hinted, _, _ = error_of(Reply(401), hint=lambda status, path: hints.get((status, path)))
    unhinted, _, _ = error_of(Reply(403), hint=lambda status, path: hints.get((status, path)))
    assert hinted.next_step == "Ask Ada for a key."
    assert unhinted.next_step == "Check what the key and the plan give access to."


def test_error_text() -> None:
    """The text gives service, endpoint, reason, attempts, request id and next step."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded."}}'
    error, _, _ = error_of(Reply(529, body, {"request-id": "req_7"}), retry_policy=HttpRetryPolicy(max_attempts=3))
    assert (error.detail, error.request_id, error.attempts) == ("Overloaded.", "req_7", 3)
    for part in ("acme GET /things", "529", "Overloaded", "3 attempts", "req_7", error.next_step):
        assert part in str(error)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (
            b'{"error":"Bad Request","message":"Some users are not in the team"}',
            "Bad Request: Some users are not in the team",
        ),
        (b'{"code":"error","message":"Invalid Team API Key"}', "Invalid Team API Key"),
        (b'{"error":"User is not a member"}', "User is not a member"),
        (b'{"statusCode":400,"error":"Unauthorized","message":"Unauthorized"}', "Unauthorized"),
        (b'{"error":{"code":400,"message":"Unable to parse range","details":[{"a":1}]}}', "Unable to parse range"),
        (
            b'{"error":{"message":"Not offered.","details":{"error_code":"organization_type_not_supported"}}}',
            "Not offered.: organization_type_not_supported",
        ),
        (b'{"problems":["a","b"]}', '{"problems":["a","b"]}'),
        (b'{"error":5}', '{"error":5}'),
        (b'{"new":' + b"[" * 100_000, '{"new":' + "[" * 293 + "…"),
        (b"upstream connect  error\n or disconnect", "upstream connect error or disconnect"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"<!DOCTYPE html><p>Sorry", "an HTML page instead of JSON"),
        (b"", "Bad Request"),
    ],
)
def test_error_message_of_each_body_format(body: bytes, detail: str) -> None:
    """The message is extracted from each format of an error body."""
    error, _, _ = error_of(Reply(400, body))
    assert error.detail == detail


# --- Retries ---------------------------------------------------------------------------------------------------------


def http_date(seconds_from_start: float) -> str:
    """An HTTP date relative to the start of the fake clock."""
    return format_datetime(STARTED + timedelta(seconds=seconds_from_start), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("1.5", 1.5, 1.5),
        (http_date(30), 30, 30),
        # Without a usable one: a minute, because rate limits are per minute, or the first wait.
        *((unusable, None, None) for unusable in (None, "", "-5", "soon", "1 Jan 99999999999999999999 00:00:00 GMT")),
        (http_date(-30), None, None),
    ],
)
def test_wait_before_a_retry(status: int, retry_after: str | None, least: float | None, most: float | None) -> None:
    """Retry-After counts for every transient status, as seconds or a date."""
    limited = Reply(status, headers={} if retry_after is None else {"retry-after": retry_after})
    with client_for(limited, OK) as (client, _, clock):
        assert client.get("/things", response_type=Things)[0] == Things([1, 2])
    (wait,) = clock.waits
    first, last = (least, most) if least is not None and most is not None else (60, 66) if status == 429 else (1, 1.1)
    assert first <= wait <= last


def test_endless_429() -> None:
    """After six attempts a rate limit is a transient error."""
    error, server, clock = error_of(*[Reply(429)] * 10)
    assert type(error) is TransientApiError
    assert (error.status, error.attempts, len(server.requests)) == (429, 6, 6)
    assert len(clock.waits) == 5
    assert 300 <= sum(clock.waits) <= 330
    # Jitter keeps clients from retrying at the same time.
    assert len(set(clock.waits)) == 5


@pytest.mark.parametrize("retry_after", ["86400", "999999999999", http_date(86400)])
@pytest.mark.parametrize("status", [429, 503])
def test_long_retry_after_is_not_waited_for(status: int, retry_after: str) -> None:
    """A Retry-After of a day fails at once, and the text says so."""
    error, server, clock = error_of(Reply(status, headers={"retry-after": retry_after}))
    assert type(error) is TransientApiError
    assert clock.waits == []
    assert len(server.requests) == 1
    assert error.detail.startswith("asks to wait ")


def test_total_wait_is_bounded() -> None:
    """The waits of one request stay within the total, even if attempts are left."""
    error, _, clock = error_of(
        Reply(429, headers={"retry-after": "100"}), retry_policy=HttpRetryPolicy(total_wait_seconds=250)
    )
    assert clock.waits == [100, 100]
    assert error.attempts == 3


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 529, 599])
def test_transient_errors_are_retried(status: int) -> None:
    """A transient error is retried after a wait that doubles."""
    with client_for(Reply(status), Reply(status), OK) as (client, server, clock):
        assert client.get("/things", [("page", "2")], response_type=Things)[0] == Things([1, 2])
    assert 1 <= clock.waits[0] <= 1.1
    assert 2 <= clock.waits[1] <= 2.2
    assert [request.query for request in server.requests] == [[("page", "2")]] * 3


def test_backoff_is_bounded() -> None:
    """The wait grows up to its maximum, jitter included."""
    _, _, clock = error_of(Reply(500), retry_policy=HttpRetryPolicy(max_attempts=8, max_wait_seconds=10))
    assert len(clock.waits) == 7
    assert clock.waits == sorted(clock.waits)
    assert clock.waits[-1] == 10


def test_post_is_retried_with_its_body() -> None:
    """A POST that reads is retried with the same body."""
    with client_for(Reply(500), OK) as (client, server, _):
        client.post("/search", {"page": 1}, response_type=Things)
    assert [request.body for request in server.requests] == [b'{"page":1}'] * 2


@pytest.mark.parametrize(
    "broken",
    [
        Reply(body=OK.body, fault="cut"),
        Reply(body=OK.body, fault="reset"),
        Reply(body=OK.body, headers={"content-encoding": "gzip"}),
        Reply(body=OK.body[:-3]),
        Reply(body=b"<html>We will be right back</html>", headers={"content-type": "text/html"}),
        Reply(body=b""),
    ],
    ids=["cut", "reset", "gzip", "truncated JSON", "HTML", "empty"],
)
def test_broken_responses_are_retried(broken: Reply) -> None:
    """An interrupted or non-JSON response never reaches the caller; the next good one does."""
    with client_for(broken, broken, OK) as (client, server, clock):
        assert client.get("/things", response_type=Things)[0] == Things([1, 2])
    assert len(server.requests) == 3
    assert len(clock.waits) == 2


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_interrupted_connection(kind: Any) -> None:
    """A connection that is always interrupted ends as a transient error without a status."""
    error, _, _ = error_of(Reply(body=OK.body, fault=kind))
    assert type(error) is TransientApiError
    assert (error.status, error.attempts) == (None, 6)
    assert "interrupted" in error.detail


def test_refused_connection() -> None:
    """A refused connection is retried, then a transient error."""
    with serve_replies(OK) as server:
        url = server.url
    clock = FakeClock()
    client = ApiClient("acme", url, authorize=dict, endpoints=ENDPOINTS, pacing=False, clock=clock)
    with pytest.raises(TransientApiError, match="no connection") as caught:
        client.get("/things", response_type=Things)
    client.close()
    assert caught.value.attempts == 6


@pytest.mark.parametrize("kind", ["silent", "drip", "drip of headers"])
def test_attempt_time_is_bounded(kind: Any) -> None:
    """A silent server, or one that sends byte by byte, takes no longer than the attempt limit."""
    started = time.monotonic()
    error, server, _ = error_of(Reply(fault=kind), retry_policy=HttpRetryPolicy(max_attempts=2, attempt_seconds=0.1))
    assert type(error) is TransientApiError
    assert "in time" in error.detail
    assert len(server.requests) == 2
    assert time.monotonic() - started < 5


def deflated_mebibytes(count: int) -> bytes:
    """A small body that decompresses to zeros."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    # A full flush makes the block independent of what is before it, so it can simply be repeated.
    return (packer.compress(bytes(1024**2)) + packer.flush(zlib.Z_FULL_FLUSH)) * count


@pytest.mark.parametrize(
    "reply",
    [
        Reply(headers={"content-length": str(300 * 1024**2)}),
        Reply(body=deflated_mebibytes(257), headers={"content-encoding": "deflate"}),
    ],
    ids=["announced", "decompressed"],
)
def test_too_large_body(reply: Reply) -> None:
    """A body above the limit is not read to its end and not requested again."""
    error, server, _ = error_of(reply, retry_policy=HttpRetryPolicy(max_attempts=2, attempt_seconds=10))
    assert type(error) is PermanentApiError
    assert "256 MiB" in error.detail
    assert len(server.requests) == 1


# --- Malformed responses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{}", "missing required field `things`"),
        (b'{"things":null}', "Expected `array`, got `null` - at `$.things`"),
        (b'{"things":["1"]}', "Expected `int`, got `str` - at `$.things[0]`"),
        (b'{"things":[1.5]}', "Expected `int`, got `float`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"things":[1,2]', "truncated"),
        (b'{"things":[1,2]} {}', "trailing characters"),
        (b'{"new":' + b"[" * 100_000, "not the expected JSON: maximum recursion depth exceeded"),
        (b" \n <!DOCTYPE html><title>Sign in</title>", "an HTML page instead of JSON"),
        (b" \n ", "an empty body instead of JSON"),
        (b"OK", "not the expected JSON"),
    ],
)
def test_unexpected_json_is_malformed(body: bytes, detail: str) -> None:
    """A 200 with another type is an error that says where it differs, never zero spend."""
    error, server, _ = error_of(Reply(body=body), retry_policy=HttpRetryPolicy(max_attempts=2))
    assert type(error) is MalformedResponse
    assert detail in error.detail
    assert (error.status, error.attempts, len(server.requests)) == (200, 2, 2)


@pytest.mark.parametrize(
    ("response_type", "body"),
    [
        (msgspec.Raw, b""),
        (msgspec.Raw, b"<html></html>"),
        (msgspec.Raw, b'{"things":[1,2}'),
        (msgspec.Raw, b'{"a":1'),
        (dict, b'{"a":"\xff"}'),
    ],
)
def test_untyped_response_is_checked_too(response_type: type[Any], body: bytes) -> None:
    """A caller that accepts any type still never gets invalid JSON or text."""
    with (
        client_for(Reply(body=body), retry_policy=HttpRetryPolicy(max_attempts=1)) as (client, _, _),
        pytest.raises(MalformedResponse),
    ):
        client.get("/things", response_type=response_type)


def test_success_without_content() -> None:
    """204 has no JSON and is malformed."""
    error, _, _ = error_of(Reply(204, b""), retry_policy=HttpRetryPolicy(max_attempts=1))
    assert type(error) is MalformedResponse
    assert error.status == 204


# --- Redaction -------------------------------------------------------------------------------------------------------


def all_text(error: ApiError) -> str:
    """All text that a program could print of an error."""
    assert error.__cause__ is None
    assert error.__context__ is None
    return "\n".join([str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)])


@pytest.mark.parametrize("status", [401, 500])
def test_errors_and_logs_contain_no_secrets(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats the key, its parts, a page token and e-mail addresses gets none into errors or logs."""
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    params = [("email", PEOPLE[0]), ("page", "secret-cursor")]
    body = msgspec.json.encode(
        {"message": f"key {KEY} as Basic {basic} or {basic}, {OTHER_KEY}, of Jo <{PEOPLE[1]}>, page {PEOPLE[2]}"}
    )
    with (
        caplog.at_level(logging.DEBUG),
        client_for(
            Reply(status, body, {"request-id": f"req_{KEY}"}), authorize=lambda: {"authorization": f"Basic {basic}"}
        ) as (client, server, _),
        pytest.raises(ApiError) as caught,
    ):
        client.get("/things", params, response_type=Things)
    text = all_text(caught.value) + caplog.text + repr([vars(record) for record in caplog.records])
    assert server.requests[0].query == params
    assert caplog.records
    for secret in (KEY, basic, OTHER_KEY, "neil", "example.com", "acme.test", "secret-cursor", server.url):
        assert secret not in text
    assert "[secret]" in caught.value.detail
    assert "[e-mail]" in caught.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"type":"%(key)s","message":"no","details":{"error_code":"%(key)s"}}}',
        b'{"x":{"y":"a\\n%(key)s"}}',
        b'{"error":{"message":"a\\\\n%(key)s"}}',
        b'{"x":{"y":"{\\"to\\":\\"jane\\\\u0040example.com\\"} \\\\u0073%(rest)s"}}',
    ],
)
def test_escaped_secrets_are_redacted(body: bytes) -> None:
    """A key as an error code, after an escape, or escaped in nested JSON is redacted."""
    key = b"sk-ant-admin01-" + b"Q7z_" * 8
    error, _, _ = error_of(
        Reply(400, body % {b"key": key, b"rest": key[1:]}), retry_policy=HttpRetryPolicy(max_attempts=1)
    )
    for secret in ("admin01", "Q7z_", "jane", "example.com"):
        assert secret not in all_text(error)


def test_body_compressed_twice_is_rejected() -> None:
    """A body that is compressed twice is rejected unread, because a chunk could exceed the memory."""
    body = gzip.compress(gzip.compress(b'{"things":[]}'))
    error, _, _ = error_of(Reply(body=body, headers={"content-encoding": "gzip, gzip"}))
    assert "compressed twice" in error.detail


def test_malformed_response_shows_no_values() -> None:
    """A record of the wrong type is described by its fields, not its values."""
    error, _, _ = error_of(Reply(body=b'{"things":["jo@example.com"]}'), retry_policy=HttpRetryPolicy(max_attempts=1))
    assert "jo" not in all_text(error)


def test_details_are_truncated() -> None:
    """A long text is cut to one line."""
    error, _, _ = error_of(Reply(400, b'{"message":"' + b"a b " * 50_000 + b'"}'))
    assert len(error.detail) == 301


def test_retries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each retry logs one warning with endpoint, status, attempt and wait."""
    limited = Reply(429, headers={"retry-after": "7"})
    with caplog.at_level(logging.WARNING), client_for(limited, limited, OK) as (client, _, _):
        client.get("/things", [("page", "2")], response_type=Things)
    messages = [record.getMessage() for record in caplog.records]
    assert [re.findall(r"/things|\b\d+\b", message) for message in messages] == [
        ["/things", "429", attempt, "6", "7"] for attempt in ("1", "2")
    ]


# --- Rate limits -----------------------------------------------------------------------------------------------------


def test_rate_limit_holds_in_every_minute() -> None:
    """Endpoints of one group share a rate limit: a small burst, then evenly spaced."""
    with client_for(OK, pacing=True) as (client, _, clock):
        moments = []
        for number in range(130):
            client.get("/things" if number % 2 else "/people", response_type=Things)
            moments.append(clock.monotonic())
    assert moments[5] == moments[0]
    assert moments[6] > moments[5]
    assert max(sum(start <= moment < start + 60 for moment in moments) for start in moments) <= 60
    # Not slower than needed.
    assert moments[-1] - moments[0] < 140


def test_small_rate_limit_is_spaced_from_the_start() -> None:
    """Fifteen a minute are four seconds apart, and other groups do not count."""
    with client_for(OK, pacing=True) as (client, _, clock):
        for _ in range(3):
            client.post("/search", {}, response_type=Things)
            client.get("/things", response_type=Things)
    assert clock.waits == pytest.approx([4, 4])


def test_retries_count_toward_the_rate_limit() -> None:
    """A retry is a request like any other, but the wait before it counts."""
    with client_for(Reply(503), OK, pacing=True) as (client, _, clock):
        client.post("/search", {}, response_type=Things)
    assert len(clock.waits) == 2
    assert sum(clock.waits) == pytest.approx(4)


def test_without_pacing_only_retry_after_is_waited_for() -> None:
    """Simulated vendors are called without waits except a Retry-After."""
    with client_for(OK, OK, OK, Reply(429, headers={"retry-after": "3"}), OK) as (client, _, clock):
        for _ in range(4):
            client.post("/search", {}, response_type=Things)
    assert clock.waits == [3]


def test_one_request_at_a_time() -> None:
    """With several threads the server still sees one request at a time."""
    with client_for(Reply(body=OK.body, delay_seconds=0.02)) as (client, server, _):
        threads = [
            threading.Thread(target=client.get, args=("/things",), kwargs={"response_type": Things}) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(server.requests), server.max_concurrency) == (4, 1)


# --- Pagination ------------------------------------------------------------------------------------------------------


def paging(nexts: Mapping[str | None, str | None]) -> Callable[[str | None], tuple[str, str | None]]:
    """Pages named by their token, each with the token of the next."""
    return lambda cursor: (f"page {cursor}", nexts[cursor])


def test_paginate_yields_every_page_once() -> None:
    """Pages come in order until there is no next token, and each is fetched on demand."""
    pages = paginate(paging({None: "a", "a": "b", "b": None}), service="acme", endpoint="/things")
    assert list(pages) == ["page None", "page a", "page b"]


@pytest.mark.parametrize("nexts", [{None: "a", "a": "a"}, {None: "a", "a": "b", "b": "a"}])
def test_repeated_token_is_a_loop(nexts: Mapping[str | None, str | None]) -> None:
    """A list that leads back into itself is an error."""
    with pytest.raises(PaginationLoop, match="already read") as caught:
        list(paginate(paging(nexts), service="acme", endpoint="/things"))
    assert (caught.value.service, caught.value.endpoint) == ("acme", "/things")
    assert isinstance(caught.value, PermanentApiError)


def test_endless_list_is_a_loop() -> None:
    """New tokens forever end at the limit; a list of exactly that length is complete."""

    def fetch(cursor: str | None) -> tuple[int, str | None]:
        number = int(cursor or 0) + 1
        return number, str(number) if number < last else None

    last = 3
    assert list(paginate(fetch, service="acme", endpoint="/things", max_pages=3)) == [1, 2, 3]
    last = 4
    with pytest.raises(PaginationLoop, match="more than 3 pages"):
        list(paginate(fetch, service="acme", endpoint="/things", max_pages=3))


def test_error_while_paging_is_raised() -> None:
    """When the second page fails, so does the list."""
    expired = Reply(410, b'{"error":"expired"}')
    with client_for(OK, expired) as (client, _, _):
        pages = paginate(
            lambda cursor: (client.get("/things", response_type=Things)[0], "next"), service="acme", endpoint="/things"
        )
        assert next(pages) == Things([1, 2])
        with pytest.raises(PageTokenExpired):
            next(pages)


def test_invalid_utf8_is_malformed() -> None:
    """A byte that is not UTF-8 makes the response malformed; the text column could not store it."""
    with client_for(Reply(body=b'{"things":[1],"name":"J\xf6rg"}')) as (client, _, _), pytest.raises(MalformedResponse):
        client.get("/things", response_type=Things)
