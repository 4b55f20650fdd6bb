"""The way out: what is sent, how long it is tried, how it fails, and what never gets out.

Every answer comes over real HTTP from a loopback server; only time is made up.
"""

from __future__ import annotations

import base64
import gzip
import logging
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

from ai_usage_assets.http.client import ApiClient, Endpoint, redact
from ai_usage_assets.http.errors import (
    ApiError,
    MalformedResponse,
    PageTokenExpired,
    PaginationLoop,
    PermanentApiError,
    TransientApiError,
)
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.http.retry import RetryPolicy
from ai_usage_assets_tests.fakes.http_server import STARTED, FakeClock, Reply, Script, serving

# Of no known form, so that only its being held by the gateway can be the reason for its removal.
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
    """What the API promises."""

    things: list[int]


OK = Reply(body=b'{"things":[1,2]}')


@contextmanager
def calling(
    *replies: Reply, authorize: Callable[[], Mapping[str, str]] = lambda: {"x-api-key": KEY}, **options: Any
) -> Iterator[tuple[ApiClient, Script, FakeClock]]:
    """A gateway to a server that answers from a script."""
    clock = FakeClock()
    options = {"pacing": False, "retry_policy": RetryPolicy(), "clock": clock, **options}
    with serving(*replies) as script:
        gateway = ApiClient("acme", script.url, authorize=authorize, endpoints=ENDPOINTS, **options)
        try:
            yield gateway, script, clock
        finally:
            gateway.close()


def failure_of(*replies: Reply, path: str = "/things", **options: Any) -> tuple[ApiError, Script, FakeClock]:
    """How asking for things fails."""
    with calling(*replies, **options) as (gateway, script, clock):
        with pytest.raises(ApiError) as caught:
            gateway.get(path, response_type=Things)
        return caught.value, script, clock


# --- What is sent ---------------------------------------------------------------------------------------------------


def test_get_sends_what_it_was_given() -> None:
    """Parameters keep order, repetition and brackets; credentials and both kinds of headers arrive."""
    params = [("group_by[]", "model"), ("group_by[]", "actor"), ("at", "2026-11-01T00:00:00Z"), ("page", "a+b/c=")]
    with calling(OK, headers={"user-agent": "tests"}) as (gateway, script, _):
        gateway.get("/things", params, response_type=Things, headers={"x-version": "2"})
    (seen,) = script.seen
    assert (seen.method, seen.path, seen.query) == ("GET", "/things", params)
    assert (seen.headers["x-api-key"], seen.headers["user-agent"], seen.headers["x-version"]) == (KEY, "tests", "2")


def test_post_sends_json() -> None:
    """A body arrives as JSON and is said to be JSON."""
    with calling(OK) as (gateway, script, _):
        gateway.post("/search", {"page": 2, "text": "ä"}, response_type=Things)
    (seen,) = script.seen
    assert seen.headers["content-type"] == "application/json"
    assert msgspec.json.decode(seen.body) == {"page": 2, "text": "ä"}


def test_answer_is_decoded_and_kept() -> None:
    """The caller gets the promised shape, the very bytes, the request's id and the server's date."""
    headers = {"request-id": "req_1", "date": "Fri, 20 Nov 2026 14:00:00 GMT"}
    with calling(Reply(body=b'{ "things": [1, 2], "new": 0.10 }', headers=headers)) as (gateway, _, _):
        things, answer = gateway.get("/things", response_type=Things)
    assert things == Things([1, 2])
    assert answer.body == b'{ "things": [1, 2], "new": 0.10 }'
    assert (answer.request_id, answer.date) == ("req_1", headers["date"])


def test_content_type_is_not_believed() -> None:
    """JSON that calls itself HTML is JSON."""
    with calling(Reply(body=OK.body, headers={"content-type": "text/html"})) as (gateway, _, _):
        assert gateway.get("/things", response_type=Things)[0] == Things([1, 2])


def test_credentials_are_read_once_and_late() -> None:
    """No secret is read before the first request, and none twice."""
    reads: list[str] = []

    def authorize() -> dict[str, str]:
        reads.append("read")
        return {"x-api-key": KEY}

    with calling(OK, authorize=authorize) as (gateway, _, _):
        assert reads == []
        gateway.get("/things", response_type=Things)
        gateway.get("/people", response_type=Things)
    assert reads == ["read"]


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}…", f"{KEY}\x00", f"win\r\nx: {KEY}"])
def test_key_that_no_header_can_carry(key: str) -> None:
    """A key pasted with a line break or a stray letter fails at once, with advice, without being shown or sent."""
    failure, script, clock = failure_of(OK, authorize=lambda: {"x-api-key": key})
    assert isinstance(failure, PermanentApiError)
    assert "Paste the key again" in str(failure)
    assert KEY not in everything_said(failure)
    assert (script.seen, clock.waits) == ([], [])


@pytest.mark.parametrize(
    "path",
    [
        "/other",
        "/things/1",
        "/things?all=1",
        "/search",
        "things",
        "https://example.com/things",
        "/rooms//members",
        "/rooms/../members",
        "/rooms/a/b/members",
        "/rooms/a%2Fb/members",
        "/rooms/a/members\n",
    ],
)
def test_only_listed_paths_can_be_called(path: str) -> None:
    """A path that is not on the list, or only with another method, is refused before secrets are read."""

    def authorize() -> dict[str, str]:
        raise AssertionError("secrets were read")

    with calling(OK, authorize=authorize) as (gateway, script, _):
        with pytest.raises(ValueError, match="may be called"):
            gateway.get(path, response_type=Things)
        assert script.seen == []


def test_placeholder_stands_for_one_identifier() -> None:
    """A path with an id in it is called with that id, and reported without it."""
    failure, script, _ = failure_of(Reply(404), path="/rooms/room_01-A/members")
    assert script.seen[0].path == "/rooms/room_01-A/members"
    assert failure.endpoint == "GET /rooms/{room}/members"


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
def test_plain_http_is_refused(url: str) -> None:
    """Credentials do not travel in the clear, whatever the host's name pretends."""
    with pytest.raises(ValueError, match="https, or to loopback addresses only"):
        ApiClient("acme", url, authorize=dict, endpoints=ENDPOINTS)


@pytest.mark.parametrize("url", ["https://api.example.com", "http://localhost:1", "http://127.1.2.3:1", "http://[::1]"])
def test_https_and_loopback_are_accepted(url: str) -> None:
    """Everything over https, and this machine without it."""
    ApiClient("acme", url, authorize=dict, endpoints=ENDPOINTS).close()


def test_refused_url_does_not_show_its_password() -> None:
    """A base URL that carries credentials is refused without repeating them."""
    with pytest.raises(ValueError, match="refused") as caught:
        ApiClient("acme", f"http://user:{KEY}@example.com/?token={KEY}", authorize=dict, endpoints=ENDPOINTS)
    assert KEY not in str(caught.value)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """A proxy that the environment asks to use for everything, and that refuses everything."""
    with serving(Reply(403)) as script:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, script.url)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield script


def test_loopback_needs_no_proxy(proxy: Script) -> None:
    """A server on this machine is reached directly, whatever proxy the environment names."""
    with calling(OK) as (gateway, _, _):
        gateway.get("/things", response_type=Things)
    assert proxy.seen == []


def test_the_world_is_reached_through_the_proxy(proxy: Script) -> None:
    """Elsewhere the proxy of the environment is used, and it is not shown the key."""
    gateway = ApiClient(
        "acme",
        "https://api.example.com",
        authorize=lambda: {"x-api-key": KEY},
        endpoints=ENDPOINTS,
        retry_policy=RetryPolicy(max_attempts=1),
    )
    with pytest.raises(TransientApiError, match="no connection"):
        gateway.get("/things", response_type=Things)
    gateway.close()
    assert [seen.method for seen in proxy.seen] == ["CONNECT"]
    assert KEY not in str(proxy.seen)


def test_a_proxy_repeats_no_password(monkeypatch: pytest.MonkeyPatch, proxy: Script) -> None:
    """Of what a proxy says only the status is told."""
    with serving(Reply(407)) as script:
        monkeypatch.setenv("https_proxy", script.url.replace("//", "//jo:pw123456@"))
        gateway = ApiClient(
            "acme",
            "https://api.example.com",
            authorize=dict,
            endpoints=ENDPOINTS,
            retry_policy=RetryPolicy(max_attempts=1),
        )
        with pytest.raises(TransientApiError, match=r"ProxyError: 407\)") as caught:
            gateway.get("/things", response_type=Things)
        gateway.close()
    assert "pw123456" not in everything_said(caught.value)


# --- Failing at once ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 301, 302, 307, 308])
def test_permanent_failures_are_not_retried(status: int) -> None:
    """What would fail again is asked once."""
    failure, script, clock = failure_of(Reply(status))
    assert type(failure) is PermanentApiError
    assert (failure.status, failure.attempts, failure.service) == (status, 1, "acme")
    assert len(script.seen) == 1
    assert clock.waits == []


def test_redirect_is_not_followed() -> None:
    """Credentials stay with the host they were meant for, even when it sends the client elsewhere."""
    with serving(OK) as elsewhere:
        failure, _, _ = failure_of(Reply(302, headers={"location": f"{elsewhere.url}/things"}))
        assert elsewhere.seen == []
    assert "Redirects are not followed" in failure.next_step


def test_expired_cursor_is_told_apart() -> None:
    """410 is a class of its own, so that the caller can start its window again."""
    failure, script, _ = failure_of(Reply(410, b'{"error":{"message":"cursor expired"}}'))
    assert type(failure) is PageTokenExpired
    assert len(script.seen) == 1


def test_hint_of_the_vendor_comes_first() -> None:
    """The next step is the vendor's own advice where it has one, else the general one."""
    hints = {(401, "/things"): "Ask Ada for a key."}
    told, _, _ = failure_of(Reply(401), hint=lambda status, path: hints.get((status, path)))
    silent, _, _ = failure_of(Reply(403), hint=lambda status, path: hints.get((status, path)))
    assert told.next_step == "Ask Ada for a key."
    assert silent.next_step == "Check what the key and the plan give access to."


def test_text_of_a_failure() -> None:
    """One line says who, where, what, how often, which request, and what to do."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded."}}'
    failure, _, _ = failure_of(Reply(529, body, {"request-id": "req_7"}), retry_policy=RetryPolicy(max_attempts=3))
    assert str(failure) == (
        "acme GET /things answered 529: Overloaded after 3 attempts (request req_7). "
        "Nothing was changed; run again later."
    )
    assert (failure.detail, failure.request_id, failure.attempts) == ("Overloaded.", "req_7", 3)


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
def test_what_the_server_said(body: bytes, detail: str) -> None:
    """The vendors' dialects of errors all come down to the sentence a person can read."""
    failure, _, _ = failure_of(Reply(400, body))
    assert failure.detail == detail


# --- Trying again ---------------------------------------------------------------------------------------------------


def http_date(seconds_from_start: float) -> str:
    """An HTTP date, as far from the start of the test's clock."""
    return format_datetime(STARTED + timedelta(seconds=seconds_from_start), usegmt=True)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("1.5", 1.5, 1.5),
        (http_date(30), 30, 30),
        (None, 60, 66),
        ("", 60, 66),
        ("-5", 60, 66),
        ("soon", 60, 66),
        ("1 Jan 99999999999999999999 00:00:00 GMT", 60, 66),
        (http_date(-30), 60, 66),
    ],
)
def test_wait_after_429(retry_after: str | None, least: float, most: float) -> None:
    """The server's own delay is kept, in seconds or as a date; without a usable one a minute's budget is waited out."""
    limited = Reply(429, headers={} if retry_after is None else {"retry-after": retry_after})
    with calling(limited, OK) as (gateway, _, clock):
        assert gateway.get("/things", response_type=Things)[0] == Things([1, 2])
    (wait,) = clock.waits
    assert least <= wait <= most


def test_429_for_ever() -> None:
    """Ten refusals in a row are not all asked for: after the sixth it is a loud, transient failure."""
    failure, script, clock = failure_of(*[Reply(429)] * 10)
    assert type(failure) is TransientApiError
    assert (failure.status, failure.attempts, len(script.seen)) == (429, 6, 6)
    assert len(clock.waits) == 5
    assert 300 <= sum(clock.waits) <= 330
    # Clients that were refused together do not come back together.
    assert len(set(clock.waits)) == 5


@pytest.mark.parametrize("retry_after", ["86400", "999999999999", http_date(86400)])
@pytest.mark.parametrize("status", [429, 503])
def test_nobody_sleeps_for_hours(status: int, retry_after: str) -> None:
    """A server that asks for a day is told apart from one that asks for a minute: no wait, and a text that says so."""
    failure, script, clock = failure_of(Reply(status, headers={"retry-after": retry_after}))
    assert type(failure) is TransientApiError
    assert clock.waits == []
    assert len(script.seen) == 1
    assert failure.detail.startswith("asks to wait ")


def test_waiting_is_bounded_in_total() -> None:
    """The waits of one request together stay within its patience, even when there are attempts left."""
    failure, _, clock = failure_of(
        Reply(429, headers={"retry-after": "100"}), retry_policy=RetryPolicy(total_wait_seconds=250)
    )
    assert clock.waits == [100, 100]
    assert failure.attempts == 3


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 529, 599])
def test_transient_failures_are_retried(status: int) -> None:
    """What may pass is asked again, after a wait that doubles."""
    with calling(Reply(status), Reply(status), OK) as (gateway, script, clock):
        assert gateway.get("/things", [("page", "2")], response_type=Things)[0] == Things([1, 2])
    assert 1 <= clock.waits[0] <= 1.1
    assert 2 <= clock.waits[1] <= 2.2
    assert [seen.query for seen in script.seen] == [[("page", "2")]] * 3


def test_backoff_is_bounded() -> None:
    """Doubling ends at the longest wait there is, jitter included."""
    _, _, clock = failure_of(Reply(500), retry_policy=RetryPolicy(max_attempts=8, max_wait_seconds=10))
    assert len(clock.waits) == 7
    assert clock.waits == sorted(clock.waits)
    assert clock.waits[-1] == 10


def test_503_may_say_how_long() -> None:
    """Retry-After counts for every transient status."""
    with calling(Reply(503, headers={"retry-after": "17"}), OK) as (gateway, _, clock):
        gateway.get("/things", response_type=Things)
    assert clock.waits == [17]


def test_post_is_retried_with_its_body() -> None:
    """APIs that read with POST are as safe to ask again, with the same question."""
    with calling(Reply(500), OK) as (gateway, script, _):
        gateway.post("/search", {"page": 1}, response_type=Things)
    assert [seen.body for seen in script.seen] == [b'{"page":1}'] * 2


@pytest.mark.parametrize(
    "broken",
    [
        Reply(body=OK.body, goes_wrong="cut"),
        Reply(body=OK.body, goes_wrong="reset"),
        Reply(body=OK.body, headers={"content-encoding": "gzip"}),
        Reply(body=OK.body[:-3]),
        Reply(body=b"<html>We will be right back</html>", headers={"content-type": "text/html"}),
        Reply(body=b""),
    ],
    ids=["cut", "reset", "gzip", "truncated JSON", "HTML", "empty"],
)
def test_broken_answers_are_asked_for_again(broken: Reply) -> None:
    """An answer that breaks off or is no JSON never reaches the caller; the next good one does."""
    with calling(broken, broken, OK) as (gateway, script, clock):
        assert gateway.get("/things", response_type=Things)[0] == Things([1, 2])
    assert len(script.seen) == 3
    assert len(clock.waits) == 2


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_connection_that_keeps_breaking(kind: Any) -> None:
    """Patience with a broken line ends as a transient failure without a status."""
    failure, _, _ = failure_of(Reply(body=OK.body, goes_wrong=kind))
    assert type(failure) is TransientApiError
    assert (failure.status, failure.attempts) == (None, 6)
    assert "interrupted" in failure.detail


def test_nobody_listens() -> None:
    """A refused connection is retried, then a transient failure."""
    with serving(OK) as script:
        url = script.url
    clock = FakeClock()
    gateway = ApiClient("acme", url, authorize=dict, endpoints=ENDPOINTS, pacing=False, clock=clock)
    with pytest.raises(TransientApiError, match="no connection") as caught:
        gateway.get("/things", response_type=Things)
    gateway.close()
    assert caught.value.attempts == 6


@pytest.mark.parametrize("kind", ["silent", "drip", "drip of headers"])
def test_slow_servers_do_not_hold_a_run(kind: Any) -> None:
    """Neither silence nor headers or a body that drip in for ever last longer than an attempt may."""
    started = time.monotonic()
    failure, script, _ = failure_of(
        Reply(goes_wrong=kind), retry_policy=RetryPolicy(max_attempts=2, attempt_seconds=0.1)
    )
    assert type(failure) is TransientApiError
    assert "in time" in failure.detail
    assert len(script.seen) == 2
    assert time.monotonic() - started < 5


def test_announced_body_is_too_large() -> None:
    """A body that announces more than memory should be given to is not read, and not asked for again."""
    announced = Reply(headers={"content-length": str(300 * 1024**2)})
    failure, script, _ = failure_of(announced, retry_policy=RetryPolicy(max_attempts=2, attempt_seconds=1))
    assert type(failure) is PermanentApiError
    assert "larger than 256 MiB" in failure.detail
    assert len(script.seen) == 1


def test_unpacked_body_is_too_large() -> None:
    """A few kilobytes that unpack to more than memory should be given to are refused on the way."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    # A full flush makes the block independent of what is before it, so it can simply be repeated.
    mebibyte = packer.compress(bytes(1024**2)) + packer.flush(zlib.Z_FULL_FLUSH)
    failure, script, _ = failure_of(Reply(body=mebibyte * 257, headers={"content-encoding": "deflate"}))
    assert type(failure) is PermanentApiError
    assert "larger than 256 MiB" in failure.detail
    assert len(script.seen) == 1


# --- The promised JSON ----------------------------------------------------------------------------------------------


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
def test_success_that_is_not_what_was_promised(body: bytes, detail: str) -> None:
    """A 200 with anything but the promised shape is a failure that says where it differs, never zero spend."""
    failure, script, _ = failure_of(Reply(body=body), retry_policy=RetryPolicy(max_attempts=2))
    assert type(failure) is MalformedResponse
    assert detail in failure.detail
    assert (failure.status, failure.attempts, len(script.seen)) == (200, 2, 2)


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
def test_loose_shapes_are_checked_too(response_type: type[Any], body: bytes) -> None:
    """A caller that takes anything still never gets what is not JSON, or not text."""
    with (
        calling(Reply(body=body), retry_policy=RetryPolicy(max_attempts=1)) as (gateway, _, _),
        pytest.raises(MalformedResponse),
    ):
        gateway.get("/things", response_type=response_type)


def test_success_without_content() -> None:
    """204 promises nothing and is therefore not an answer."""
    failure, _, _ = failure_of(Reply(204, b""), retry_policy=RetryPolicy(max_attempts=1))
    assert type(failure) is MalformedResponse
    assert failure.status == 204


# --- What never gets out --------------------------------------------------------------------------------------------


def everything_said(failure: ApiError) -> str:
    """All that a careless program could print of a failure."""
    assert failure.__cause__ is None
    assert failure.__context__ is None
    return "\n".join([str(failure), repr(failure), repr(vars(failure)), *traceback.format_exception(failure)])


@pytest.mark.parametrize("status", [401, 500])
def test_secrets_and_people_stay_inside(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats the key, its parts, a cursor and people gets none of it into errors or logs."""
    basic = base64.b64encode(f"{KEY}:".encode()).decode()
    params = [("email", PEOPLE[0]), ("page", "secret-cursor")]
    body = msgspec.json.encode(
        {"message": f"key {KEY} as Basic {basic} or {basic}, {OTHER_KEY}, of Jo <{PEOPLE[1]}>, page {PEOPLE[2]}"}
    )
    with (
        caplog.at_level(logging.DEBUG),
        calling(
            Reply(status, body, {"request-id": f"req_{KEY}"}), authorize=lambda: {"authorization": f"Basic {basic}"}
        ) as (gateway, script, _),
        pytest.raises(ApiError) as caught,
    ):
        gateway.get("/things", params, response_type=Things)
    said = everything_said(caught.value) + caplog.text + repr([vars(record) for record in caplog.records])
    assert script.seen[0].query == params
    assert caplog.records
    for secret in (KEY, basic, OTHER_KEY, "neil", "example.com", "acme.test", "secret-cursor", script.url):
        assert secret not in said
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
def test_no_spelling_lets_a_secret_out(body: bytes) -> None:
    """A key as the type of an error, after an escape, or spelled with escapes in nested JSON stays inside."""
    key = b"sk-ant-admin01-" + b"Q7z_" * 8
    failure, _, _ = failure_of(
        Reply(400, body % {b"key": key, b"rest": key[1:]}), retry_policy=RetryPolicy(max_attempts=1)
    )
    for secret in ("admin01", "Q7z_", "jane", "example.com"):
        assert secret not in everything_said(failure)


def test_what_is_packed_twice_is_not_unpacked() -> None:
    """A body that is packed twice is refused unread: a piece of it may be larger than memory."""
    body = gzip.compress(gzip.compress(b'{"things":[]}'))
    failure, _, _ = failure_of(Reply(body=body, headers={"content-encoding": "gzip, gzip"}))
    assert "compressed twice" in failure.detail


def test_wrong_shape_does_not_show_what_was_in_it() -> None:
    """A record of the wrong shape is described by its fields, not by the person in it."""
    failure, _, _ = failure_of(Reply(body=b'{"things":["jo@example.com"]}'), retry_policy=RetryPolicy(max_attempts=1))
    assert "jo" not in everything_said(failure)


def test_details_are_short() -> None:
    """A page of text is cut to what fits a line."""
    failure, _, _ = failure_of(Reply(400, b'{"message":"' + b"a b " * 50_000 + b'"}'))
    assert len(failure.detail) == 301


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key sk-ant-admin01-Ab_9-xyz, no", "key [secret], no"),
        ("crsr_0123456789abcdef0123", "[secret]"),
        ("key_0123456789abcdef0123", "[secret]"),
        ("Authorization: Bearer abcDEF123456", "Authorization: [secret]"),
        ("basic dXNlcjpwYXNz", "[secret]"),
        (base64.b64encode(b"sk-ant-admin01-xyz:").decode(), "[secret]"),
        (base64.b64encode(b"crsr_0123456789abcdef:").decode(), "[secret]"),
        ("ya29.a0AfH6SMBx-y_z", "[secret]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[secret]"),
        ("of 'Jo.Doe+x@mail.example.com'.", "of '[e-mail]'."),
        ("O'Brien@example.com, jörg@example.com", "[e-mail], [e-mail]"),
        ("a" * 300 + ".jo@example.com", "a" * 239 + "[e-mail]"),
        ("?email=jo%40example.com&page=2", "?email=[e-mail]&page=2"),
        # As JSON and Python write them: after an escape, with escapes inside, or with what nobody sees.
        (
            r"Leaked:\nsk-ant-admin01-Ab_9-xyz, \u201ccrsr_0123456789abcdef0123\u201d",
            r"Leaked:\n[secret], \u201c[secret]\u201d",
        ),
        (r"X=x\x01key_0123456789abcdef0123\tBearer abcDEF123456", r"X=x\x01[secret]\t[secret]"),
        (r"\u0073k\u002dant-admin01-Ab_9\u002dxyz, crsr\\u005f0123456789abcdef0123", "[secret], [secret]"),
        (r"sk-ant-\u200badmin01-" + "\u200bAb_9-\ufeffxyz", "[secret]"),
        (r'{"said":"{\"to\":\"jane\\\\u0040corp.com\"}"}', r'{"said":"{\"to\":\"[e-mail]"}"}'),
        # What only resembles them is what messages are made of.
        ("apikey_01AbCdEfGhIjKlMnOpQr", "apikey_01AbCdEfGhIjKlMnOpQr"),
        ("stg_key_mapping_rejects, key_principal", "stg_key_mapping_rejects, key_principal"),
        ("Basic authentication is required, or a Bearer token", "Basic authentication is required, or a Bearer token"),
        ("risk-adjusted-numbers at 12:00 @ noon", "risk-adjusted-numbers at 12:00 @ noon"),
    ],
)
def test_redact(text: str, clean: str) -> None:
    """Keys, credentials in base64 and e-mail addresses go; what only resembles them stays."""
    assert redact(text) == clean


def test_retries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per retry says who, where, what, which attempt and how long the wait is."""
    limited = Reply(429, headers={"retry-after": "7"})
    with caplog.at_level(logging.WARNING), calling(limited, limited, OK) as (gateway, _, _):
        gateway.get("/things", [("page", "2")], response_type=Things)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("ai_usage_assets.http.client", f"acme GET /things: 429; attempt {n} of 6, retrying in 7 s") for n in (1, 2)
    ]


# --- Pacing ---------------------------------------------------------------------------------------------------------


def test_budget_holds_in_every_minute() -> None:
    """Endpoints of one group share a budget: after a small burst they are spaced, and no minute holds more."""
    with calling(OK, pacing=True) as (gateway, _, clock):
        moments = []
        for number in range(130):
            gateway.get("/things" if number % 2 else "/people", response_type=Things)
            moments.append(clock.monotonic())
    assert moments[5] == moments[0]
    assert moments[6] > moments[5]
    assert max(sum(start <= moment < start + 60 for moment in moments) for start in moments) <= 60
    # Slower than needed would be a fault as well.
    assert moments[-1] - moments[0] < 140


def test_small_budget_is_spaced_from_the_start() -> None:
    """Fifteen a minute are four seconds apart, and another group's requests do not count."""
    with calling(OK, pacing=True) as (gateway, _, clock):
        for _ in range(3):
            gateway.post("/search", {}, response_type=Things)
            gateway.get("/things", response_type=Things)
    assert clock.waits == pytest.approx([4, 4])


def test_retries_are_paced_too() -> None:
    """An attempt is a request like any other, but the wait before it counts."""
    with calling(Reply(503), OK, pacing=True) as (gateway, _, clock):
        gateway.post("/search", {}, response_type=Things)
    assert len(clock.waits) == 2
    assert sum(clock.waits) == pytest.approx(4)


def test_without_pacing_only_the_server_is_waited_for() -> None:
    """Simulated vendors are asked as fast as they answer; their Retry-After is kept all the same."""
    with calling(OK, OK, OK, Reply(429, headers={"retry-after": "3"}), OK) as (gateway, _, clock):
        for _ in range(4):
            gateway.post("/search", {}, response_type=Things)
    assert clock.waits == [3]


def test_one_request_at_a_time() -> None:
    """However many threads ask, the vendor sees one request in flight."""
    with calling(Reply(body=OK.body, delay_seconds=0.02)) as (gateway, script, _):
        threads = [
            threading.Thread(target=gateway.get, args=("/things",), kwargs={"response_type": Things}) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(script.seen), script.most_at_once) == (4, 1)


# --- Paging ---------------------------------------------------------------------------------------------------------


def paging(nexts: Mapping[str | None, str | None]) -> Callable[[str | None], tuple[str, str | None]]:
    """Pages named by their cursor, each with the cursor of the next."""
    return lambda cursor: (f"page {cursor}", nexts[cursor])


def test_follow_gives_every_page_once() -> None:
    """Pages come in order until there is no next cursor, and each is fetched only when it is wanted."""
    pages = paginate(paging({None: "a", "a": "b", "b": None}), service="acme", endpoint="/things")
    assert list(pages) == ["page None", "page a", "page b"]


@pytest.mark.parametrize("nexts", [{None: "a", "a": "a"}, {None: "a", "a": "b", "b": "a"}])
def test_cursor_that_comes_back_is_a_loop(nexts: Mapping[str | None, str | None]) -> None:
    """A list that leads back into itself is an error, not an endless run and not a short list."""
    with pytest.raises(PaginationLoop, match="already read") as caught:
        list(paginate(paging(nexts), service="acme", endpoint="/things"))
    assert (caught.value.service, caught.value.endpoint) == ("acme", "/things")
    assert isinstance(caught.value, PermanentApiError)


def test_list_without_end_is_a_loop() -> None:
    """New cursors for ever end at the limit; a list of exactly that length is fine."""

    def fetch(cursor: str | None) -> tuple[int, str | None]:
        number = int(cursor or 0) + 1
        return number, str(number) if number < last else None

    last = 3
    assert list(paginate(fetch, service="acme", endpoint="/things", max_pages=3)) == [1, 2, 3]
    last = 4
    with pytest.raises(PaginationLoop, match="more than 3 pages"):
        list(paginate(fetch, service="acme", endpoint="/things", max_pages=3))


def test_failure_while_paging_is_not_an_end() -> None:
    """When the second page fails, so does the list."""
    expired = Reply(410, b'{"error":"expired"}')
    with calling(OK, expired) as (gateway, _, _):
        pages = paginate(
            lambda cursor: (gateway.get("/things", response_type=Things)[0], "next"), service="acme", endpoint="/things"
        )
        assert next(pages) == Things([1, 2])
        with pytest.raises(PageTokenExpired):
            next(pages)


def test_bytes_that_are_no_text_are_malformed() -> None:
    """A byte that is not UTF-8 makes the answer malformed; it would break the text column a record is landed in."""
    with calling(Reply(body=b'{"things":[1],"name":"J\xf6rg"}')) as (gateway, _, _), pytest.raises(MalformedResponse):
        gateway.get("/things", response_type=Things)
