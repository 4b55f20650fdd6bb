"""Network and server faults against the real client and extract, and proxies.

The faults can affect any vendor; Anthropic's analytics is the example. `test_client` covers waits and decoding.
"""

from __future__ import annotations

import copy
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import ApiError, TransientApiError
from ai_usage_assets.http.loopback_server import LoopbackHandler, serve_on_loopback
from ai_usage_assets.http.transport import BoundedTransport
from ai_usage_assets.settings import SettingsError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.simulator.server import Faults
from ai_usage_assets.sources.anthropic.analytics import EXTRACT
from ai_usage_assets.sources.anthropic.client import AnthropicClient
from ai_usage_assets.sources.base import DayBatch, RejectedDay
from ai_usage_assets_tests.conftest import NOW, Company
from ai_usage_assets_tests.fakes.http_server import STARTED, FakeClock
from ai_usage_assets_tests.faults.conftest import (
    DAYS,
    Fault,
    assert_kept_then_recovered,
    clear_faults,
    failure_text,
    read_day_log,
    set_faults,
)

ANALYTICS_PATH = "/v1/organizations/analytics/"
_NO_FAULTS = vars(Faults())


class Vendor:
    """A served vendor, and what it returns for two days without faults."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator, self.url = simulator, url
        self.clock = FakeClock()
        self.batches = self.fetch()
        self.request_count = len(simulator.requests)

    def fetch(self) -> list[DayBatch | RejectedDay]:
        """Requests the extract of both days; waits pass on the clock only."""
        client = AnthropicClient(lambda: self.simulator.ANTHROPIC_KEY, self.url, pacing=False, clock=self.clock)
        try:
            return list(EXTRACT.fetch(client, DayRange(*DAYS)))
        finally:
            client.close()

    def set_faults(self, **faults: Any) -> None:
        """Replaces the faults, and forgets the requests and waits so far."""
        # Copied, because the server counts down in place.
        vars(self.simulator.fault_options.faults).update(copy.deepcopy({**_NO_FAULTS, **faults}))
        self.simulator.requests.clear()
        self.clock = FakeClock()


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    """A vendor that all tests share."""
    simulator = Simulator(NOW, people=60)
    with simulator.serve() as urls:
        served = Vendor(simulator, urls.anthropic)
        assert {type(batch) for batch in served.batches} == {DayBatch}
        yield served


# --- Transient faults -----------------------------------------------------------------------------------------------

TRANSIENT_FAULTS: dict[str, dict[str, Any]] = {
    "S8 429 with seconds": {"limit_times": {ANALYTICS_PATH: 5}, "retry_after": "0"},
    "S8 429 with a date": {
        "limit_times": {ANALYTICS_PATH: 1},
        "retry_after": format_datetime(STARTED + timedelta(seconds=7), usegmt=True),
    },
    "S8 429 without Retry-After": {"limit_times": {ANALYTICS_PATH: 5}},
    "S9 500": {"fail_times": {ANALYTICS_PATH: 5}, "fail_status": 500},
    "S9 504": {"fail_times": {ANALYTICS_PATH: 5}, "fail_status": 504},
    "S9 every third response is reset": {"reset_every": 3},
    "S9 every third response is truncated": {"truncate_every": 3},
    "every third response is labeled gzip but is not": {"garble_every": 3},
}


@pytest.mark.parametrize("faults", TRANSIENT_FAULTS.values(), ids=TRANSIENT_FAULTS)
def test_transient_faults_are_retried(vendor: Vendor, faults: dict[str, Any]) -> None:
    """A failed page is requested again until it is complete: no record is lost or duplicated."""
    vendor.set_faults(**faults)
    assert vendor.fetch() == vendor.batches
    assert len(vendor.simulator.requests) > vendor.request_count
    assert sum(vendor.clock.waits) == (7 if " GMT" in faults.get("retry_after", "") else 0)


# --- Permanent faults -----------------------------------------------------------------------------------------------

_NULL_DATA = b'{"data":null,"has_more":false,"data_refreshed_at":"2026-11-20T12:00:00Z"}'
# Faults, and the status, the attempts and a term of the error.
PERMANENT_FAULTS: dict[str, tuple[dict[str, Any], int | None, int, str]] = {
    "S9 502": ({"fail_status": 502, "fail_times": {"/": 99}}, 502, 6, "502"),
    "S9 529": ({"fail_status": 529, "fail_times": {"/": 99}}, 529, 6, "529"),
    "S11 503 on one report": ({"fail_times": {f"{ANALYTICS_PATH}usage": 99}}, 503, 6, f"{ANALYTICS_PATH}usage"),
    "S21 Retry-After of a day": ({"limit_times": {"/": 1}, "retry_after": "86400"}, 429, 1, "86,400 s"),
    "every response is reset": ({"reset_every": 1}, None, 6, "interrupted"),
    "every response is truncated": ({"truncate_every": 1}, 200, 6, "truncated"),
    "every response is labeled gzip but is not": ({"garble_every": 1}, None, 6, "DecodingError"),
    "HTML page": ({"html_200": {"anthropic"}}, 200, 6, "HTML"),
    "empty body": ({"replacements": {"/": b""}}, 200, 6, "empty"),
    "empty object": ({"replacements": {"/": b"{}"}}, 200, 6, "`data`"),
    "null data": ({"replacements": {"/": _NULL_DATA}}, 200, 6, "$.data"),
}


@pytest.mark.parametrize(("faults", "status", "attempts", "term"), PERMANENT_FAULTS.values(), ids=PERMANENT_FAULTS)
def test_permanent_faults_are_errors(
    vendor: Vendor, faults: dict[str, Any], status: int | None, attempts: int, term: str
) -> None:
    """When the retries are used up, the error has status, attempts and next step, and the next extract is complete."""
    vendor.set_faults(**faults)
    with pytest.raises(ApiError) as caught:
        vendor.fetch()
    assert (caught.value.status, caught.value.attempts) == (status, attempts)
    assert term in str(caught.value)
    assert "again later" in caught.value.next_step
    assert vendor.simulator.ANTHROPIC_KEY not in str(caught.value)
    vendor.set_faults()
    assert vendor.fetch() == vendor.batches


def test_ten_rate_limit_errors_in_a_row(vendor: Vendor) -> None:
    """After six attempts the extract fails; the next one outlasts the remaining four errors."""
    vendor.set_faults(limit_times={ANALYTICS_PATH: 10})
    with pytest.raises(TransientApiError) as caught:
        vendor.fetch()
    assert (caught.value.status, caught.value.attempts) == (429, 6)
    assert vendor.fetch() == vendor.batches


def test_a_run_changes_nothing_and_the_next_one_recovers(shared_company: Company) -> None:
    """A run with a permanent fault fails, changes no day and gives the next step; the next run loads both days."""
    assert_kept_then_recovered(
        shared_company, Fault("502", "run again later", transport={"fail_status": 502, "fail_times": {"/": 99}})
    )


# --- Unavailable vendor ------------------------------------------------------------------


def test_extract_ends_after_two_failed_chunks(company: Company) -> None:
    """One failed chunk of days fails alone; two in a row end the extract, and the other days are reported as failed."""
    path, asset = "/v1/organizations/usage_report/claude_code", "raw_anthropic_claude_code"
    failing_days = ("2026-11-02", "2026-11-04", "2026-11-05")
    set_faults(company, transport={"fail_times": {f"{path}?starting_at={day}": 99 for day in failing_days}})
    result = company.run("2026-11-02", "2026-11-07", selection="anthropic_claude_code")
    assert "answered 503" in "".join(str(entry["message"]) for entry in read_day_log(company, asset).values())
    states = {day: entry["status"] for day, entry in read_day_log(company, asset).items()}
    assert states == {
        "2026-11-02": "failed",
        # A success resets the count.
        "2026-11-03": "complete",
        "2026-11-04": "failed",
        "2026-11-05": "failed",
        "2026-11-06": "failed",
        "2026-11-07": "failed",
    }
    requested_days = [request.one("starting_at") for _, request in company.simulator.requests]
    assert list(dict.fromkeys(requested_days)) == ["2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"]
    assert {day: requested_days.count(day) for day in failing_days} == dict.fromkeys(failing_days, 6)
    clear_faults(company)
    result = company.run("2026-11-02", "2026-11-07", selection="anthropic_claude_code")
    assert result.success, failure_text(result)
    assert {entry["status"] for entry in read_day_log(company, asset).values()} == {"complete"}


# --- Rate limits -------------------------------------------------------------------------


def test_exhausted_rate_limit_is_waited_for(vendor: Vendor) -> None:
    """When the vendor's rate limit is used up, the extract waits for Retry-After and continues."""
    vendor.set_faults(per_minute={ANALYTICS_PATH: 4}, retry_after="60")
    vendor.simulator.fault_options.faults.clock = vendor.clock.monotonic
    assert vendor.fetch() == vendor.batches
    assert {*vendor.clock.waits} == {60}


def test_documented_rate_limit_is_never_exceeded() -> None:
    """With pacing, hundreds of pages stay within 60 requests per minute; without it the server answers 429."""
    simulator, clock = Simulator(NOW), FakeClock()
    simulator.fault_options.anthropic.page_rows = 10
    faults = simulator.fault_options.faults
    faults.per_minute, faults.clock = {ANALYTICS_PATH: 60}, clock.monotonic
    days = DayRange(date(2026, 11, 1), date(2026, 11, 10))
    extract = EXTRACT
    with simulator.serve() as urls:
        client = AnthropicClient(lambda: simulator.ANTHROPIC_KEY, urls.anthropic, clock=clock)
        results = list(extract.fetch(client, days))
        client.close()
        assert all(isinstance(day, DayBatch) for day in results)
        pages = sum(day.pages for day in results if isinstance(day, DayBatch) and day.day == days.first)
        # One request per page: none was rejected.
        assert len(simulator.requests) == pages > 120
        client = AnthropicClient(lambda: simulator.ANTHROPIC_KEY, urls.anthropic, pacing=False, clock=clock)
        with pytest.raises(TransientApiError, match="429"):
            list(extract.fetch(client, days))
        client.close()


# --- Proxy --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for api.acme.test and its key, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.acme.test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.acme.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "api.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def tunnel(certificate: Path) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A proxy that tunnels every request to a local https server: its address, and the CONNECT requests."""
    connects: list[tuple[str, str | None]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    class Handler(LoopbackHandler):
        def respond(self) -> None:
            connects.append((self.path, self.headers.get("proxy-authorization")))
            self.send_response_only(200)
            self.end_headers()
            with context.wrap_socket(self.connection, server_side=True) as inner:
                while inner.recv(65536):
                    inner.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
                    inner.sendall(b'{"a":"b"}')
            self.close_connection = True

    with serve_on_loopback(Handler) as url:
        yield url.removeprefix("http://"), connects


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("_no_proxy")
def test_https_through_the_proxy(
    tunnel: tuple[str, list[tuple[str, str | None]]], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees a host name and its own credentials; one tunnel carries both responses."""
    address, connects = tunnel
    monkeypatch.setenv("https_proxy", f"ada:tangerine@{address}")
    transport = BoundedTransport("https://api.acme.test", ssl.create_default_context(cafile=certificate))
    with httpx.Client(base_url="https://api.acme.test", transport=transport, trust_env=False) as client:
        transport.set_deadline(5)
        assert [client.get(path).json() for path in ("/one", "/two")] == [{"a": "b"}] * 2
    assert connects == [("api.acme.test:443", "Basic YWRhOnRhbmdlcmluZQ==")]


@pytest.mark.usefixtures("_no_proxy")
def test_no_proxy_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in no_proxy is reached directly."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setenv("no_proxy", "acme.invalid")
    transport = BoundedTransport("https://api.acme.invalid", ssl.create_default_context())
    assert type(transport._pool).__name__ == "ConnectionPool"
    transport.close()


@pytest.mark.usefixtures("_no_proxy")
def test_unsupported_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and not its value."""
    monkeypatch.setenv("all_proxy", "socks5://ada:tangerine@proxy.acme.test:1080")
    with pytest.raises(SettingsError, match="ALL_PROXY names a proxy that cannot be used") as caught:
        BoundedTransport("https://api.acme.test", ssl.create_default_context())
    assert "tangerine" not in str(caught.value)
