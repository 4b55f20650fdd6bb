"""Authentication with Metabase, the HTTP client's errors, and the commands' exit codes."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.cli import main
from ai_usage_assets.metabase import credentials
from ai_usage_assets.metabase.client import MetabaseClient, MetabaseError
from ai_usage_assets.metabase.credentials import CredentialError
from ai_usage_assets.metabase.spec_models import SpecError
from ai_usage_assets.metabase.spec_reader import read_spec
from ai_usage_assets.settings import MetabaseSettings, Settings, SettingsError
from ai_usage_assets_tests.fakes.http_server import FakeClock, Reply, serve_replies
from ai_usage_assets_tests.fakes.metabase import FakeMetabase, Fault
from ai_usage_assets_tests.fakes.secret_manager import FakeSecretManager
from ai_usage_assets_tests.metabase.instance import ACCOUNT, API_KEY, PRIVATE_KEY, serve_metabase, write_files
from ai_usage_assets_tests.support.repository import REPOSITORY

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
SECRET = "projects/p/secrets/metabase-api-key"


def authenticate(metabase: FakeMetabase, secrets: str | None = None, **given: Any) -> list[str]:
    """Authenticate with the e-mail and password and return the reported lines."""
    settings = MetabaseSettings(**{"admin_email": EMAIL, "admin_password": PASSWORD, **given})
    lines: list[str] = []
    client = MetabaseClient(metabase.url, clock=FakeClock())
    try:
        credentials.authenticate(
            client, Settings(metabase=settings, secrets_emulator=secrets and f"http://{secrets}"), lines.append
        )
        assert client.get("/api/user/current")["is_superuser"]
    finally:
        client.close()
    return lines


@contextmanager
def serve_new(**options: Any) -> Iterator[FakeMetabase]:
    """Yield a Metabase that is not set up."""
    with FakeMetabase(**options).serve() as metabase:
        yield metabase


def test_a_new_metabase_is_set_up_and_gets_an_api_key(tmp_path: Path) -> None:
    """The key is stored with mode 0600, and the next run needs the key only."""
    key_file = tmp_path / "in" / "key"
    with serve_new() as metabase:
        lines = authenticate(metabase, api_key=f"file:{key_file}")
        assert metabase.users == {EMAIL: PASSWORD}
        assert "created" in lines[-1]
        assert str(key_file) in lines[-1]
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        # The session was closed.
        assert metabase.sessions == set()
        writes = len(metabase.writes())
        assert authenticate(metabase, api_key=f"file:{key_file}", admin_password=None) == []
        assert len(metabase.writes()) == writes


def test_a_configured_setup_token_is_used(tmp_path: Path) -> None:
    """The token of the settings is sent instead of the one that Metabase shows."""
    with serve_new(setup_token="of the settings") as metabase:
        authenticate(metabase, api_key=f"file:{tmp_path / 'key'}", setup_token="of the settings")
    with serve_new() as metabase, pytest.raises(MetabaseError, match="Token does not match"):
        authenticate(metabase, api_key=f"file:{tmp_path / 'other'}", setup_token="another")


@pytest.mark.parametrize("path", ["/api/setup", "/api/api-key", "/regenerate"])
def test_a_lost_response_leaves_one_key(tmp_path: Path, path: str) -> None:
    """After a lost setup, the client logs in; a key with an unknown value is renewed."""
    with serve_new(faults=[Fault("lost", "POST", path), Fault("lost", "PUT", path)]) as metabase:
        authenticate(metabase, api_key=f"file:{tmp_path / 'key'}")
        assert (len(metabase.users), len(metabase.keys)) == (1, 1)


def test_an_existing_administrator_logs_in(tmp_path: Path) -> None:
    """Nothing is set up, and the existing key of the name is renewed."""
    with serve_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        authenticate(metabase, api_key=f"file:{tmp_path / 'key'}")
        (key,) = metabase.keys.values()
        assert (tmp_path / "key").read_text().strip() == key["unmasked_key"] != API_KEY
        assert "POST /api/setup" not in metabase.writes()


def test_a_plan_creates_no_key(tmp_path: Path) -> None:
    """Without a stored key, a plan logs in and out; on a new Metabase it sends nothing else."""
    given = MetabaseSettings(admin_email=EMAIL, admin_password=PASSWORD, api_key=f"file:{tmp_path / 'key'}")
    with serve_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        client = MetabaseClient(metabase.url)
        with credentials.authenticate_read_only(client, Settings(metabase=given)) as is_set_up:
            assert is_set_up
            assert client.get("/api/user/current")["is_superuser"]
        assert metabase.writes() == ["POST /api/session", "DELETE /api/session"]
        metabase.users = {}
        with credentials.authenticate_read_only(client, Settings(metabase=given)) as is_set_up:
            assert not is_set_up
        client.close()
    assert not (tmp_path / "key").exists()


def test_a_key_of_another_group_is_not_renewed(tmp_path: Path) -> None:
    """Metabase's rejection of the duplicate name is reported."""
    with serve_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        metabase.keys[3]["group"] = {"id": 1}
        with pytest.raises(MetabaseError, match="An API key with that name exists"):
            authenticate(metabase, api_key=f"file:{tmp_path / 'key'}")
        assert metabase.keys[3]["unmasked_key"] == API_KEY


def test_a_removed_key_is_replaced(tmp_path: Path) -> None:
    """The rejected key is reported, and another is created and stored in its place."""
    key_file = tmp_path / "key"
    key_file.write_text("mb_removed")
    with serve_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        first, second, last = authenticate(metabase, api_key=f"file:{key_file}")
        assert "rejected" in first
        assert "renewed" in second
        assert "no longer valid" in last
        assert key_file.read_text() != "mb_removed"
        with pytest.raises(CredentialError, match=r"Metabase rejected .*\. Create a key of the group") as error:
            authenticate(metabase, api_key="mb_removed")
        assert "mb_removed" not in str(error.value)


def test_the_key_is_stored_in_secret_manager() -> None:
    """The key becomes the first version of the secret and is read in the next run."""
    manager = FakeSecretManager({SECRET: [], "projects/p/secrets/password": [PASSWORD]})
    with manager.serve() as secrets, serve_new() as metabase:
        lines = authenticate(metabase, secrets, api_key=SECRET, admin_password="projects/p/secrets/password")
        assert f"the secret {SECRET}" in lines[-1]
        (key,) = metabase.keys.values()
        assert manager.secrets[SECRET] == [key["unmasked_key"].encode()]
        assert authenticate(metabase, secrets, api_key=SECRET) == []


def test_a_key_that_cannot_be_stored_is_an_error_without_the_key(tmp_path: Path) -> None:
    """The next run renews the key."""
    (tmp_path / "file").touch()
    with serve_new() as metabase:
        with pytest.raises(CredentialError, match="could not be stored") as error:
            authenticate(metabase, api_key=f"file:{tmp_path / 'file' / 'key'}")
        (key,) = metabase.keys.values()
        assert key["unmasked_key"] not in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"admin_password": None}, "Set AI_USAGE_METABASE_ADMIN_EMAIL and AI_USAGE_METABASE_ADMIN_PASSWORD"),
        (
            {"admin_password": "wrong wrong wrong"},
            r"rejected POST /api/session \(401\).*did not match.*\. Metabase is already set up",
        ),
        ({"admin_password": "file:/nowhere/password"}, "AI_USAGE_METABASE_ADMIN_PASSWORD: cannot read /nowhere"),
        ({"admin_password": "file:/dev/null"}, "AI_USAGE_METABASE_ADMIN_PASSWORD is empty"),
        ({"api_key": f"{SECRET}/versions/1"}, "AI_USAGE_METABASE_API_KEY"),
    ],
)
def test_a_failed_login_is_explained(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    """The message names the setting, and a wrong password is tried once: Metabase limits attempts."""
    manager = FakeSecretManager({SECRET: []})
    with serve_metabase() as metabase, manager.serve() as secrets:
        with pytest.raises((CredentialError, MetabaseError), match=message):
            authenticate(metabase, secrets, **{"api_key": f"file:{tmp_path / 'key'}", **given})
        assert metabase.failed_logins <= 1


def test_a_rejected_key_without_a_login_is_reported(tmp_path: Path) -> None:
    """The message says that the key was rejected, not that it is missing; a plan reports the same."""
    key_file = tmp_path / "key"
    key_file.write_text("mb_removed")
    settings = Settings(metabase=MetabaseSettings(api_key=f"file:{key_file}"))
    with serve_metabase() as metabase:
        client = MetabaseClient(metabase.url, clock=FakeClock())
        with pytest.raises(CredentialError, match=r"rejected the API key .* Set AI_USAGE"):
            credentials.authenticate(client, settings, lambda _: None)
        with (
            pytest.raises(CredentialError, match="rejected the API key"),
            credentials.authenticate_read_only(client, settings),
        ):
            pass
        client.close()


def test_a_key_file_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark and a line end are removed; a second line is an error."""
    key_file = tmp_path / "key"
    with serve_metabase() as metabase:
        key_file.write_bytes(b"\xef\xbb\xbf" + API_KEY.encode() + b"\r\n")
        assert authenticate(metabase, api_key=f"file:{key_file}") == []
        for text in (f"{API_KEY}\nmb_second", f"{API_KEY}\u2028"[:-1] + "\x07", "schlüssel"):
            key_file.write_text(text)
            with pytest.raises(
                CredentialError, match=r"^AI_USAGE_METABASE_API_KEY: .* not contain an API key"
            ) as error:
                authenticate(metabase, api_key=f"file:{key_file}")
            assert text[:8] not in str(error.value)


def test_a_key_without_administrator_rights_is_an_error(tmp_path: Path) -> None:
    """The message names the group."""
    with serve_metabase() as metabase:
        metabase.keys[3]["group"] = {"id": 1}
        with pytest.raises(CredentialError, match="does not belong to the group Administrators"):
            authenticate(metabase, api_key=API_KEY)


def test_apply_waits_for_a_starting_metabase() -> None:
    """After the timeout, the message has the last response."""
    clock = FakeClock()
    with serve_new(starting_requests=5) as metabase:
        client = MetabaseClient(metabase.url, clock=clock)
        client.wait_until_healthy(60)
        assert clock.waits == [2.0] * 5
        metabase.starting_requests = 1000
        with pytest.raises(MetabaseError, match=r"within 20 s; .* 503"):
            client.wait_until_healthy(20)
        client.close()


def test_a_closed_tunnel_is_reported() -> None:
    """The message says that the connection failed."""
    client = MetabaseClient("http://127.0.0.1:1", clock=FakeClock())
    with pytest.raises(MetabaseError, match=r"within 0 s; .*ConnectError.* tunnel"):
        client.wait_until_healthy(0)
    client.close()


def test_status_429_is_retried() -> None:
    """A POST is retried too, because it was not carried out."""
    clock = FakeClock()
    with serve_replies(Reply(status=429), Reply(status=429), Reply(body=b'{"id": 7}')) as other:
        client = MetabaseClient(other.url, clock=clock)
        assert client.create("/api/card", {"archived": True}, lambda: None).id == 7
        client.close()
    assert clock.waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        *(
            (Reply(body=body), "Check AI_USAGE_METABASE_URL")
            for body in (b"<!doctype html><title>Dagster</title>", b"{}", b"[]", b'"ok"')
        ),
        (Reply(status=302, headers={"location": "https://x.example/"}), r"It redirects: set AI_USAGE_METABASE_URL"),
    ],
)
def test_another_program_on_the_port_is_an_error_at_once(reply: Reply, message: str) -> None:
    """The client neither waits for it nor sends it a key."""
    clock = FakeClock()
    with serve_replies(reply) as other:
        client = MetabaseClient(other.url, clock=clock)
        with pytest.raises(MetabaseError, match=message):
            client.wait_until_healthy(60)
        client.close()
    assert clock.waits == []


def test_git_ignores_keys_and_previews() -> None:
    """In every folder the command may run in."""
    paths = [
        f"{folder}{each}" for folder in ("", "deploy/metabase/") for each in ("data/metabase.key", "metabase-preview/x")
    ]
    result = subprocess.run(
        ["git", "check-ignore", *paths], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if result.returncode == 128:
        pytest.skip("not a git checkout")
    assert result.stdout.split() == paths


@pytest.mark.parametrize("url", ["http://metabase.example.com", "http://10.0.0.2:3000", "ftp://localhost"])
def test_plain_http_is_allowed_for_this_machine_only(url: str) -> None:
    """Another address without TLS is an error."""
    with pytest.raises(SettingsError, match="AI_USAGE_METABASE_URL"):
        Settings.from_environment({"AI_USAGE_METABASE_URL": url})
    with pytest.raises(MetabaseError, match="must use https"):
        MetabaseClient(url)


@pytest.mark.parametrize(
    "content",
    [
        b'no: pass "horse" of mine',
        json.dumps({"errors": {"password": 'pass "horse" of mine'}}).encode(),
        json.dumps({"message": f"cannot read {ACCOUNT}"}).encode(),
        json.dumps({"message": json.dumps({"was": ACCOUNT})}).encode(),
        json.dumps(['pass "horse" of mine']).encode()[:-1] + b", " + b"[" * 100_000,
    ],
)
def test_error_messages_contain_no_secrets(content: bytes) -> None:
    """As plain text, in JSON, and in JSON within JSON."""
    with serve_replies(Reply(400, content)) as other:
        client = MetabaseClient(other.url)
        client.hide_secrets('pass "horse" of mine', ACCOUNT)
        with pytest.raises(MetabaseError, match=r"rejected GET /api/x \(400\).*\[secret\]") as error:
            client.get("/api/x")
        client.close()
    assert "horse" not in str(error.value)
    assert PRIVATE_KEY not in str(error.value)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(body=b"<html>"), "GET /api/x .*invalid JSON"),
        (Reply(body=b"[" * 100_000), "GET /api/x .*invalid JSON"),
        (Reply(body=b"[]"), "GET /api/x .*not an object"),
        (Reply(body=b""), "GET /api/x .*not an object"),
        (Reply(body=b"{}", headers={"content-encoding": "gzip"}), r"GET /api/x \(DecodingError\)"),
    ],
)
def test_an_invalid_response_is_an_error(reply: Reply, message: str) -> None:
    """HTML, JSON of another shape and corrupt bytes."""
    with serve_replies(reply) as other:
        client = MetabaseClient(other.url, clock=FakeClock())
        with pytest.raises(MetabaseError, match=message):
            client.get("/api/x")
        client.close()


@pytest.mark.parametrize("body", [b'{"total": 1}', b'{"data": {}}', b'[1, "x"]', b"null"])
def test_an_invalid_list_is_an_error(body: bytes) -> None:
    """An object instead of a list, or other elements in it."""
    with serve_replies(Reply(body=body)) as other:
        client = MetabaseClient(other.url, clock=FakeClock())
        with pytest.raises(MetabaseError, match=r"answered GET /api/x with an unexpected response"):
            client.get_list("/api/x")
        client.close()


def test_a_missing_key_is_an_error() -> None:
    """The message names the request and the key."""
    with serve_replies(Reply(body=b'{"groups": [{"name": "x"}]}')) as other:
        client = MetabaseClient(other.url, clock=FakeClock())
        (group,) = client.get("/api/x")["groups"]
        with pytest.raises(MetabaseError, match=r"answered GET /api/x with an unexpected response: id is missing"):
            group["id"]
        client.close()


def test_exit_codes_of_plan_and_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan 3, apply 0, plan 0; with a manual edit both are 3. No secret is printed or part of a URL."""
    verb = ["--from", str(write_files(tmp_path / "deploy"))]
    account = tmp_path / "account.json"
    account.write_text(ACCOUNT)
    with serve_new() as metabase:
        for name, value in {
            "GOOGLE_CLOUD_PROJECT": "p",
            "AI_USAGE_METABASE_URL": metabase.url,
            "AI_USAGE_METABASE_API_KEY": f"file:{tmp_path / 'key'}",
            "AI_USAGE_METABASE_ADMIN_EMAIL": EMAIL,
            "AI_USAGE_METABASE_ADMIN_PASSWORD": PASSWORD,
            "AI_USAGE_METABASE_SERVICE_ACCOUNT": f"file:{account}",
        }.items():
            monkeypatch.setenv(name, value)
        codes = [main(["metabase", "plan", *verb])]
        assert (metabase.writes(), metabase.users) == ([], {})
        codes += [main(["metabase", each, *verb]) for each in ("apply", "plan")]
        metabase.card("Spend")["display"] = "table"
        codes += [main(["metabase", *each, *verb]) for each in (["plan"], ["apply"], ["apply", "--restore"], ["plan"])]
        # Metabase's error message quotes the key.
        metabase.rejects_keys = True
        account.write_text(ACCOUNT.replace("metabase@", "other@"))
        codes.append(main(["metabase", "apply", *verb]))
        account.write_text(ACCOUNT[:-1])
        codes.append(main(["metabase", "apply", *verb]))
        (key,) = metabase.keys.values()
        secrets = [PRIVATE_KEY, PASSWORD, key["unmasked_key"], str(metabase.setup_token)]
    assert codes == [3, 0, 0, 3, 3, 0, 0, 1, 1]
    output = capsys.readouterr()
    assert '! card overview.total: Spend (display "table" -> "scalar")' in output.out
    assert "No changes." in output.out
    assert 'rejected PUT /api/database/1 (400): {"message": "Invalid service account: [secret]"}' in output.err
    assert "AI_USAGE_METABASE_SERVICE_ACCOUNT is not" in output.err
    urls = json.dumps([(each.path, each.query) for each in metabase.requests])
    for secret in secrets:
        assert secret not in output.out + output.err + urls


def test_a_folder_without_dashboards_is_an_error(tmp_path: Path) -> None:
    """Otherwise every dashboard would be archived."""
    shutil.rmtree(write_files(tmp_path / "deploy") / "dashboards")
    with pytest.raises(SpecError, match="archive every managed dashboard"):
        read_spec(tmp_path / "deploy")


def test_an_invalid_folder_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the missing file."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    assert main(["metabase", "plan", "--from", "/nowhere"]) == 2
    assert "filters.yaml" in capsys.readouterr().err
