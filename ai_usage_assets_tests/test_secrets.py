"""Secret names are resolved to values through the unmodified Secret Manager client, over real gRPC on loopback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from ai_usage_assets.secret_manager import SecretError, resolve_secret, versions_read
from ai_usage_assets_tests.commands.test_doctor import diagnostics
from ai_usage_assets_tests.conftest import LOADED_DAY, Company
from ai_usage_assets_tests.fakes.secret_manager import FakeSecretManager, ServiceError, Version

KEY = "projects/acme-ai/secrets/anthropic-admin-key"
EMPTY = "projects/acme-ai/secrets/without-versions"
VALUE = "sk-ant-admin01-" + "x" * 40
UNAVAILABLE = ServiceError(grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable.")
ADD = "`gcloud secrets versions add anthropic-admin-key --project=acme-ai --data-file=-`"


@pytest.fixture
def secret_manager() -> FakeSecretManager:
    """A Secret Manager with two versions of one secret and a secret without versions."""
    return FakeSecretManager({KEY: ["sk-ant-admin01-old", VALUE], EMPTY: []})


@pytest.fixture
def server(secret_manager: FakeSecretManager) -> Iterator[str]:
    """The URL of the Secret Manager."""
    with secret_manager.serve() as address:
        yield f"http://{address}"


@pytest.fixture(autouse=True)
def _forget_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_usage_assets.secret_manager._versions", {})


def resolution_error(setting: str, server: str | None, total_seconds: float = 5) -> str:
    """The error message for a secret that cannot be read; no exception in its chain contains the value."""
    with pytest.raises(SecretError) as caught:
        resolve_secret(setting, server, total_seconds=total_seconds)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert versions_read() == {}
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "version"),
    [
        (KEY, VALUE, "2"),
        (f"{KEY}/versions/latest", VALUE, "2"),
        (f"{KEY}/versions/1", "sk-ant-admin01-old", "1"),
    ],
)
def test_secret_value_and_version(
    server: str, secret_manager: FakeSecretManager, setting: str, value: str, version: str
) -> None:
    """The latest or the pinned version is read once, without credentials, and its number is recorded."""
    assert versions_read() == {}
    assert resolve_secret(setting, server) == value
    assert versions_read() == {KEY: version}
    assert len(secret_manager.requests) == 1
    assert secret_manager.credentials == []


@pytest.mark.parametrize("stored", [f"{VALUE}\n", f"\ufeff{VALUE}\r\n", f"  {VALUE} "])
def test_surrounding_whitespace_is_removed(server: str, secret_manager: FakeSecretManager, stored: str) -> None:
    """Line ends, spaces and a byte order mark are not part of a key."""
    secret_manager.secrets = {KEY: [stored]}
    assert resolve_secret(KEY, server) == VALUE


@pytest.mark.parametrize(
    ("setting", "versions", "reason", "command"),
    [
        (KEY, [], "does not exist or has no version", "`gcloud secrets create anthropic-admin-key --project=acme-ai "),
        (EMPTY, [], "has no version", "`gcloud secrets versions add without-versions --project=acme-ai --data-file=-`"),
        (f"{KEY}/versions/9", [VALUE], "no version 9", "versions list anthropic-admin-key --project=acme-ai`"),
        (f"{KEY}/versions/newest", [VALUE], "no version 'newest'", "versions list anthropic-admin-key --project="),
        (KEY, [VALUE, Version(VALUE.encode(), "DISABLED")], "has version 2 disabled",
         "`gcloud secrets versions enable 2 --secret=anthropic-admin-key --project=acme-ai`"),
        (KEY, [Version(b"", "DESTROYED")], "was destroyed", ADD),
        (KEY, [Version(VALUE.encode(), is_corrupt=True)], "checksum", ADD),
        (KEY, [b"sk-ant-\xff\xfe"], "not a single word of text", ADD),
        (KEY, [f"KEY={VALUE}\nOTHER=1"], "not a single word of text", ADD),
        (KEY, [""], "is empty", ADD),
        (KEY, [" \n"], "is empty", ADD),
        (f"{KEY}/versions/", [VALUE], "must be the full name", "projects/P/secrets/S/versions/V"),
        ("projects/p/locations/eu/secrets/s", [VALUE], "must be the full name", "projects/P/secrets/S"),
    ],
)  # fmt: skip
def test_unusable_secret_gives_the_command(
    server: str, secret_manager: FakeSecretManager, setting: str, versions: list[Version], reason: str, command: str
) -> None:
    """The message gives the problem and the complete command that fixes it, without the value."""
    secret_manager.secrets = {KEY: versions}
    message = resolution_error(setting, server)
    assert reason in message
    assert command in message
    assert "sk-ant" not in message


@pytest.mark.parametrize(
    ("code", "detail", "reason", "command"),
    [
        ("PERMISSION_DENIED", "IAM_PERMISSION_DENIED", "cannot be read by this account",
         "`gcloud secrets add-iam-policy-binding anthropic-admin-key --project=acme-ai "
         "--role=roles/secretmanager.secretAccessor "),
        ("PERMISSION_DENIED", "SERVICE_DISABLED", "is disabled",
         "`gcloud services enable secretmanager.googleapis.com --project=acme-ai`"),
        ("PERMISSION_DENIED", "BILLING_DISABLED", "no billing account", "`gcloud billing projects link acme-ai "),
        ("UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "missing or expired", "`gcloud auth application-default login`"),
        # gRPC reports credentials that cannot be refreshed as UNAVAILABLE.
        ("UNAVAILABLE", "Getting metadata from plugin failed with error: expired", "missing or expired",
         "`gcloud auth application-default login`"),
        ("OUT_OF_RANGE", "", "Secret Manager refused (OutOfRange)", "`gcloud secrets versions describe latest "),
    ],
)  # fmt: skip
def test_permanent_error_gives_the_command_and_is_not_retried(
    server: str, secret_manager: FakeSecretManager, code: str, detail: str, reason: str, command: str
) -> None:
    """A permanent error gives the reason and the command at once."""
    secret_manager.errors = [ServiceError(grpc.StatusCode[code], detail, detail if code == "PERMISSION_DENIED" else "")]
    secret_manager.repeat_first_error = True
    message = resolution_error(KEY, server)
    assert reason in message
    assert command in message
    assert len(secret_manager.requests) == 1


def test_transient_error_is_retried(server: str, secret_manager: FakeSecretManager) -> None:
    """A transient error is retried."""
    secret_manager.errors = [UNAVAILABLE]
    assert resolve_secret(KEY, server) == VALUE
    assert len(secret_manager.requests) == 2


@pytest.mark.parametrize("fault", ["unavailable", "silent", "over quota", "unreachable"])
def test_retries_end(server: str, secret_manager: FakeSecretManager, fault: str) -> None:
    """The total time is bounded for an unavailable, silent or unreachable service; the message says what to check."""
    secret_manager.silent = fault == "silent"
    if fault in ("unavailable", "over quota"):
        code = grpc.StatusCode.RESOURCE_EXHAUSTED if fault == "over quota" else grpc.StatusCode.UNAVAILABLE
        secret_manager.errors, secret_manager.repeat_first_error = [ServiceError(code, "Not now.")], True
    message = resolution_error(KEY, "http://127.0.0.1:1" if fault == "unreachable" else server, total_seconds=1)
    assert ("used up its requests" if fault == "over quota" else "did not answer within 1 s") in message
    assert "`gcloud " in message
    assert "anthropic-admin-key" in message


def test_missing_credentials_explain_the_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Google credentials nothing is sent, and the message explains how to log in."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    message = resolution_error(KEY, None)
    assert "`gcloud auth application-default login`" in message


def test_missing_secret_fails_its_own_vendor_only(company: Company) -> None:
    """Keys are resolved on first use: a missing secret fails its own vendor, with the command."""
    cursor = "projects/acme-ai/secrets/cursor-admin-key"
    secret_manager = FakeSecretManager({cursor: [company.simulator.CURSOR_KEY]})
    with secret_manager.serve() as address:
        result = company.run(
            LOADED_DAY,
            selection=("anthropic_organization", "cursor_members"),
            sources={"anthropic": {"key": KEY}, "cursor": {"key": cursor}},
            secrets_emulator=f"http://{address}",
        )
    assert [*result.failures()] == ["anthropic_organization"]
    assert "`gcloud secrets create anthropic-admin-key --project=acme-ai" in result.failures()["anthropic_organization"]
    assert company.rows("SELECT COUNT(*) AS n FROM ai_usage.raw_cursor_members")[0]["n"] > 0
    assert versions_read() == {cursor: "1"}


def test_doctor_shows_the_secret_version(company: Company) -> None:
    """The doctor shows secret and version of a key, and what to do about a disabled version."""
    key = re.sub("anthropic", "cursor", KEY)
    secret_manager = FakeSecretManager(
        {KEY: ["old", company.simulator.ANTHROPIC_KEY], key: [Version(b"crsr_" + b"x" * 64, "DISABLED")]}
    )
    with secret_manager.serve() as address:
        settings = replace(company.settings, secrets_emulator=f"http://{address}")
        settings = settings.with_source("anthropic", key=KEY).with_source("cursor", key=key)
        findings = diagnostics(settings)
    assert findings["Anthropic", "key"].outcome == "ok"
    assert f"(Secret Manager, {KEY}, version 2)" in findings["Anthropic", "key"].message
    assert findings["Cursor", "key"].outcome == "error"
    assert "`gcloud secrets versions enable 1 --secret=cursor-admin-key" in findings["Cursor", "key"].next_step
