"""The way to a key of Metabase's API, from a fresh server on, and what is said on the way: nothing that is secret."""

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
from ai_usage_assets.metabase import credentials, spec
from ai_usage_assets.metabase.api_models import Archived
from ai_usage_assets.metabase.client import MetabaseClient, MetabaseError
from ai_usage_assets.metabase.credentials import CredentialError
from ai_usage_assets.metabase.spec import SpecError
from ai_usage_assets.settings import MetabaseSettings, Settings, SettingsError
from ai_usage_assets_tests.fakes.http_server import FakeClock, Reply, serving
from ai_usage_assets_tests.fakes.metabase import FakeMetabase, Fault
from ai_usage_assets_tests.fakes.secret_manager import FakeSecrets
from ai_usage_assets_tests.metabase.instance import ACCOUNT, KEY, PRIVATE, a_metabase, folder
from ai_usage_assets_tests.support.repository import REPOSITORY

EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
SECRET = "projects/p/secrets/metabase-api-key"


def logged_in(metabase: FakeMetabase, secrets: str | None = None, **given: Any) -> list[str]:
    """What is said on the way to a key."""
    wanted_ = MetabaseSettings(**{"admin_email": EMAIL, "admin_password": PASSWORD, **given})
    said: list[str] = []
    server = MetabaseClient(metabase.url, clock=FakeClock(), attempt_seconds=5)
    try:
        credentials.authenticate(
            server, Settings(metabase=wanted_, secrets_emulator=secrets and f"http://{secrets}"), said.append
        )
        assert server.get("/api/user/current")["is_superuser"]
    finally:
        server.close()
    return said


@contextmanager
def fresh(**options: Any) -> Iterator[FakeMetabase]:
    """A Metabase that nobody has set up."""
    with FakeMetabase(**options).serve() as metabase:
        yield metabase


def test_a_fresh_metabase_gets_an_administrator_and_a_key(tmp_path: Path) -> None:
    """It is set up, a key is made and stored for nobody else to read, and the next time the key is enough."""
    kept = tmp_path / "in" / "key"
    with fresh() as metabase:
        said = logged_in(metabase, api_key=f"file:{kept}")
        assert metabase.users == {EMAIL: PASSWORD}
        assert said[-1] == f"The key 'ai-usage' of Metabase's API was made and stored in the file {kept} (mode 0600)."
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        # The session is not left open.
        assert metabase.sessions == set()
        done = len(metabase.writes())
        assert logged_in(metabase, api_key=f"file:{kept}", admin_password=None) == []
        assert len(metabase.writes()) == done


def test_a_setup_token_that_was_given_beforehand_is_used(tmp_path: Path) -> None:
    """The token of the settings is the one that is sent."""
    with fresh(setup_token="of the settings") as metabase:
        logged_in(metabase, api_key=f"file:{tmp_path / 'key'}", setup_token="of the settings")
    with fresh() as metabase, pytest.raises(MetabaseError, match="Token does not match"):
        logged_in(metabase, api_key=f"file:{tmp_path / 'other'}", setup_token="another")


@pytest.mark.parametrize("path", ["/api/setup", "/api/api-key", "/regenerate"])
def test_an_answer_that_is_lost_on_the_way_ends_in_one_key(tmp_path: Path, path: str) -> None:
    """Who was set up logs in; a key that was made, and whose value nobody heard, gets another one."""
    with fresh(faults=[Fault("lost", "POST", path), Fault("lost", "PUT", path)]) as metabase:
        logged_in(metabase, api_key=f"file:{tmp_path / 'key'}")
        assert (len(metabase.users), len(metabase.keys)) == (1, 1)


def test_a_metabase_that_has_an_administrator_is_logged_in_to(tmp_path: Path) -> None:
    """Nothing is set up, and the key that has the name already gets another value."""
    with a_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        logged_in(metabase, api_key=f"file:{tmp_path / 'key'}")
        (key,) = metabase.keys.values()
        assert (tmp_path / "key").read_text().strip() == key["unmasked_key"] != KEY
        assert "POST /api/setup" not in metabase.writes()


def test_a_plan_makes_no_key(tmp_path: Path) -> None:
    """Who plans without a stored key logs in for it and out again; a fresh Metabase is asked nothing more."""
    given = MetabaseSettings(admin_email=EMAIL, admin_password=PASSWORD, api_key=f"file:{tmp_path / 'key'}")
    with a_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        server = MetabaseClient(metabase.url)
        with credentials.authenticate_read_only(server, Settings(metabase=given)) as is_set_up:
            assert is_set_up
            assert server.get("/api/user/current")["is_superuser"]
        assert metabase.writes() == ["POST /api/session", "DELETE /api/session"]
        metabase.users = {}
        with credentials.authenticate_read_only(server, Settings(metabase=given)) as is_set_up:
            assert not is_set_up
        server.close()
    assert not (tmp_path / "key").exists()


def test_a_key_of_that_name_in_another_group_keeps_its_value(tmp_path: Path) -> None:
    """Somebody else's key is not given another value: Metabase's refusal of a second of the name is told."""
    with a_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        metabase.keys[3]["group"] = {"id": 1}
        with pytest.raises(MetabaseError, match="An API key with that name exists"):
            logged_in(metabase, api_key=f"file:{tmp_path / 'key'}")
        assert metabase.keys[3]["unmasked_key"] == KEY


def test_a_key_that_was_removed_is_replaced(tmp_path: Path) -> None:
    """It is said that it is no longer taken, and another is made and stored in its place."""
    kept = tmp_path / "key"
    kept.write_text("mb_removed")
    with a_metabase() as metabase:
        metabase.users = {EMAIL: PASSWORD}
        first, second, last = logged_in(metabase, api_key=f"file:{kept}")
        assert "is a key that Metabase no longer takes; another is made" in first
        assert "was given another value" in second
        assert last == "Its old value no longer works, wherever else it is kept."
        assert kept.read_text() != "mb_removed"
        with pytest.raises(CredentialError, match=r"Metabase no longer takes\. Make one") as refused:
            logged_in(metabase, api_key="mb_removed")
        assert "mb_removed" not in str(refused.value)


def test_a_key_is_kept_in_secret_manager() -> None:
    """A secret without a version is a bootstrap; the key becomes its first version and is read the next time."""
    held = FakeSecrets({SECRET: [], "projects/p/secrets/password": [PASSWORD]})
    with held.serve() as secrets, fresh() as metabase:
        said = logged_in(metabase, secrets, api_key=SECRET, admin_password="projects/p/secrets/password")
        assert said[-1].endswith(f"stored in the secret {SECRET}.")
        (key,) = metabase.keys.values()
        assert held.secrets[SECRET] == [key["unmasked_key"].encode()]
        assert logged_in(metabase, secrets, api_key=SECRET) == []


def test_a_key_that_cannot_be_stored_is_told_and_not_shown(tmp_path: Path) -> None:
    """The next run replaces the key that nobody has."""
    (tmp_path / "file").touch()
    with fresh() as metabase:
        with pytest.raises(CredentialError, match="could not be stored") as refused:
            logged_in(metabase, api_key=f"file:{tmp_path / 'file' / 'key'}")
        (key,) = metabase.keys.values()
        assert key["unmasked_key"] not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"admin_password": None}, "Set AI_USAGE_METABASE_ADMIN_EMAIL and AI_USAGE_METABASE_ADMIN_PASSWORD"),
        (
            {"admin_password": "wrong wrong wrong"},
            r"refused POST /api/session \(401\).*did not match.*\. This Metabase has been set up already",
        ),
        ({"admin_password": "file:/nowhere/password"}, "AI_USAGE_METABASE_ADMIN_PASSWORD: /nowhere/password cannot be"),
        ({"admin_password": "file:/dev/null"}, "AI_USAGE_METABASE_ADMIN_PASSWORD names something that is empty"),
        ({"api_key": f"{SECRET}/versions/1"}, "AI_USAGE_METABASE_API_KEY"),
    ],
)
def test_who_cannot_log_in_is_told_why(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    """The setting is named, and a wrong password is tried once: Metabase counts."""
    held = FakeSecrets({SECRET: []})
    with a_metabase() as metabase, held.serve() as secrets:
        with pytest.raises((CredentialError, MetabaseError), match=told):
            logged_in(metabase, secrets, **{"api_key": f"file:{tmp_path / 'key'}", **given})
        assert metabase.failed_logins <= 1


def test_a_key_that_is_refused_is_told_where_nobody_can_log_in(tmp_path: Path) -> None:
    """The key is there and no longer taken, which is not that there is none; a plan says it too."""
    kept = tmp_path / "key"
    kept.write_text("mb_removed")
    wanted_ = Settings(metabase=MetabaseSettings(api_key=f"file:{kept}"))
    with a_metabase() as metabase:
        server = MetabaseClient(metabase.url, clock=FakeClock())
        with pytest.raises(CredentialError, match=r"^Metabase no longer takes the key in the file .* Set AI_USAGE"):
            credentials.authenticate(server, wanted_, lambda _: None)
        with (
            pytest.raises(CredentialError, match=r"^Metabase no longer takes the key"),
            credentials.authenticate_read_only(server, wanted_),
        ):
            pass
        server.close()


def test_a_key_file_is_read_as_editors_leave_it(tmp_path: Path) -> None:
    """A mark of the bytes' order is no part of the key; a second line is, and makes it none."""
    kept = tmp_path / "key"
    with a_metabase() as metabase:
        kept.write_bytes(b"\xef\xbb\xbf" + KEY.encode() + b"\r\n")
        assert logged_in(metabase, api_key=f"file:{kept}") == []
        for text in (f"{KEY}\nmb_second", f"{KEY}\u2028"[:-1] + "\x07", "schlüssel"):
            kept.write_text(text)
            with pytest.raises(CredentialError, match=r"^AI_USAGE_METABASE_API_KEY: .* not one word") as refused:
                logged_in(metabase, api_key=f"file:{kept}")
            assert text[:8] not in str(refused.value)


def test_a_key_of_another_group_is_told(tmp_path: Path) -> None:
    """A key that may not do everything is not used to do half of it."""
    with a_metabase() as metabase:
        metabase.keys[3]["group"] = {"id": 1}
        with pytest.raises(CredentialError, match="not one of Metabase's group Administrators"):
            logged_in(metabase, api_key=KEY)


def test_a_metabase_that_is_starting_is_waited_for() -> None:
    """For so many seconds, and then it is told what was seen last."""
    clock = FakeClock()
    with fresh(starting=5) as metabase:
        server = MetabaseClient(metabase.url, clock=clock)
        server.wait_until_healthy(60)
        assert clock.waits == [2.0] * 5
        metabase.starting = 1000
        with pytest.raises(MetabaseError, match="was not ready within 20 s: the last time it answered 503"):
            server.wait_until_healthy(20)
        server.close()


def test_a_tunnel_that_is_closed_is_told() -> None:
    """Where nobody listens, the line reads as one."""
    server = MetabaseClient("http://127.0.0.1:1", clock=FakeClock())
    told = r"ready within 0 s: the last time it did not answer \(ConnectError\)\. Is the tunnel open, and is Metabase "
    with pytest.raises(MetabaseError, match=told):
        server.wait_until_healthy(0)
    server.close()


def test_who_asks_too_often_waits() -> None:
    """A 429 is asked again like a 503, a POST too: neither was done."""
    clock = FakeClock()
    with serving(Reply(status=429), Reply(status=429), Reply(body=b'{"id": 7}')) as other:
        server = MetabaseClient(other.url, clock=clock)
        assert server.make("/api/card", Archived(archived=True), lambda: None).id == 7
        server.close()
    assert clock.waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        *(
            (Reply(body=body), "AI_USAGE_METABASE_URL says where it is looked for")
            for body in (b"<!doctype html><title>Dagster</title>", b"{}", b"[]", b'"ok"')
        ),
        (
            Reply(status=302, headers={"location": "https://x.example/"}),
            r"It leads elsewhere: put the address it leads",
        ),
    ],
)
def test_another_program_on_the_port_is_told_at_once(reply: Reply, told: str) -> None:
    """What answers and is not Metabase is not waited for, and no key is sent to it."""
    clock = FakeClock()
    with serving(reply) as other:
        server = MetabaseClient(other.url, clock=clock)
        with pytest.raises(MetabaseError, match=told):
            server.wait_until_healthy(60)
        server.close()
    assert clock.waits == []


def test_a_key_and_previews_are_never_committed() -> None:
    """Git ignores them in whichever folder the command was started."""
    paths = [
        f"{folder}{each}" for folder in ("", "deploy/metabase/") for each in ("data/metabase.key", "metabase-preview/x")
    ]
    told = subprocess.run(["git", "check-ignore", *paths], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if told.returncode == 128:
        pytest.skip("this is no checkout")
    assert told.stdout.split() == paths


@pytest.mark.parametrize("url", ["http://metabase.example.com", "http://10.0.0.2:3000", "ftp://localhost"])
def test_nothing_secret_travels_in_the_clear(url: str) -> None:
    """Plain http is for this machine, where a tunnel ends."""
    with pytest.raises(SettingsError, match="AI_USAGE_METABASE_URL"):
        Settings.from_environment({"AI_USAGE_METABASE_URL": url})
    with pytest.raises(MetabaseError, match="must be one of https"):
        MetabaseClient(url)


@pytest.mark.parametrize(
    "said",
    [
        b'no: pass "horse" of mine',
        json.dumps({"errors": {"password": 'pass "horse" of mine'}}).encode(),
        json.dumps({"message": f"cannot read {ACCOUNT}"}).encode(),
        json.dumps({"message": json.dumps({"was": ACCOUNT})}).encode(),
        json.dumps(['pass "horse" of mine']).encode()[:-1] + b", " + b"[" * 100_000,
    ],
)
def test_a_refusal_is_quoted_without_what_is_secret(said: bytes) -> None:
    """However it is written: as it is, in JSON, and in JSON within JSON."""
    with serving(Reply(400, said)) as other:
        server = MetabaseClient(other.url)
        server.hide('pass "horse" of mine', ACCOUNT)
        with pytest.raises(MetabaseError, match=r"refused GET /api/x \(400\).*\[secret\]") as refused:
            server.get("/api/x")
        server.close()
    assert "horse" not in str(refused.value)
    assert PRIVATE not in str(refused.value)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(body=b"<html>"), "with something that is no JSON"),
        (Reply(body=b"[" * 100_000), "with something that is no JSON"),
        (Reply(body=b"[]"), "something else than was expected: it is no object"),
        (Reply(body=b""), "something else than was expected: it is no object"),
        (Reply(body=b"{}", headers={"content-encoding": "gzip"}), r"did not answer GET /api/x \(DecodingError\)"),
    ],
)
def test_what_is_no_metabase_is_told(reply: Reply, told: str) -> None:
    """A page in place of JSON, JSON of another shape and bytes that cannot be unpacked are not taken for an answer."""
    with serving(reply) as other:
        server = MetabaseClient(other.url, clock=FakeClock())
        with pytest.raises(MetabaseError, match=told):
            server.get("/api/x")
        server.close()


@pytest.mark.parametrize("body", [b'{"total": 1}', b'{"data": {}}', b'[1, "x"]', b"null"])
def test_a_list_that_is_none_is_told(body: bytes) -> None:
    """Neither an object in its place nor other things in it are walked through."""
    with serving(Reply(body=body)) as other:
        server = MetabaseClient(other.url, clock=FakeClock())
        with pytest.raises(MetabaseError, match=r"answered GET /api/x with something else than was expected"):
            server.listed("/api/x")
        server.close()


def test_an_object_without_what_is_asked_for_is_told() -> None:
    """A key that is missing, however deep, is told with where the answer came from."""
    with serving(Reply(body=b'{"groups": [{"name": "x"}]}')) as other:
        server = MetabaseClient(other.url, clock=FakeClock())
        (group,) = server.get("/api/x")["groups"]
        with pytest.raises(MetabaseError, match=r"answered GET /api/x with something else .*: id is missing"):
            group["id"]
        server.close()


def test_one_command_from_a_fresh_metabase_to_its_dashboards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan is 3, apply 0, plan 0 then; an edit by hand is 3 for both; nothing secret is said or in a URL."""
    verb = ["--from", str(folder(tmp_path / "deploy"))]
    account = tmp_path / "account.json"
    account.write_text(ACCOUNT)
    with fresh() as metabase:
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
        # A connection that fails quotes what it was sent.
        metabase.refuses_keys = True
        account.write_text(ACCOUNT.replace("metabase@", "other@"))
        codes.append(main(["metabase", "apply", *verb]))
        account.write_text(ACCOUNT[:-1])
        codes.append(main(["metabase", "apply", *verb]))
        (key,) = metabase.keys.values()
        secrets = [PRIVATE, PASSWORD, key["unmasked_key"], str(metabase.setup_token)]
    assert codes == [3, 0, 0, 3, 3, 0, 0, 1, 1]
    told = capsys.readouterr()
    assert '! card overview.total: Spend (display "table" -> "scalar")' in told.out
    assert "Nothing to do" in told.out
    assert 'refused PUT /api/database/1 (400): {"message": "Invalid service account: [secret]"}' in told.err
    assert "AI_USAGE_METABASE_SERVICE_ACCOUNT is not the JSON key of a service account" in told.err
    urls = json.dumps([(each.path, each.query) for each in metabase.seen])
    for secret in secrets:
        assert secret not in told.out + told.err + urls


def test_a_folder_without_dashboards_is_no_wish_for_none(tmp_path: Path) -> None:
    """Everything in Metabase would be archived, and with it what people subscribed to."""
    shutil.rmtree(folder(tmp_path / "deploy") / "dashboards")
    with pytest.raises(SpecError, match="there are none"):
        spec.read_spec(tmp_path / "deploy")


def test_a_plan_needs_a_project(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a dataset of BigQuery there is nothing to show."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    assert main(["metabase", "plan", "--from", "/nowhere"]) == 2
    assert "filters.yaml" in capsys.readouterr().err
