"""What `ai-usage doctor` finds: against real vendors on loopback, a real sheet, a real file, each well and ill."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from io import StringIO
from pathlib import Path

import duckdb
import google.auth.compute_engine
import google.oauth2.credentials
import google.oauth2.service_account
import pytest
from rich.console import Console

from ai_usage_assets.commands import doctor
from ai_usage_assets.commands.doctor import Finding
from ai_usage_assets.http.transport import describe_proxy
from ai_usage_assets.settings import Settings, SettingsError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.anthropic import client as anthropic
from ai_usage_assets.sources.cursor import client as cursor
from ai_usage_assets.sources.mapping_sheet.sheet import TABS, account_of
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets_tests.commands.test_cli import ai_usage, own, simulator, urls  # noqa: F401 - fixtures
from ai_usage_assets_tests.conftest import Company, empty
from ai_usage_assets_tests.fakes.http_server import Reply, serving

MORNING = datetime(2026, 11, 20, 6, tzinfo=UTC)


def found(settings: Settings) -> dict[tuple[str, str], Finding]:
    """What is found, by room and what was tried; each once."""
    findings = list(doctor.examine(settings))
    by_name = {(finding.room, finding.what): finding for finding in findings}
    assert len(by_name) == len(findings)
    return by_name


def outcomes(settings: Settings, room: str) -> dict[str, str]:
    """How everything of a room ended."""
    return {what: finding.outcome for (where, what), finding in found(settings).items() if where == room}


def shown(settings: Settings, width: int = 110) -> tuple[int, str]:
    """The exit code, and what a person reads."""
    text = StringIO()
    return doctor.run(settings, Console(file=text, width=width)), text.getvalue()


def without_vendors(settings: Settings) -> Settings:
    """The same, with only the warehouse to look at."""
    return replace(settings.with_source("anthropic", key=None).with_source("cursor", key=None), sheet_id=None)


# --- all well -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 110])
def test_all_well(company: Company, width: int) -> None:
    """With everything in order nothing fails, it says how to go on, fits the terminal, and names no person."""
    code, text = shown(company.settings, width)
    assert code == 0
    assert "✗" not in text
    assert text.splitlines()[-1] == "✓ Everything that is configured works. Next: `ai-usage run`"
    assert max(map(len, text.splitlines())) <= width
    assert "the key belongs to Acme Robotics" in text
    assert "data until 2026-11-20 12:00 UTC" in text
    assert "50 members, 3 removed" in text
    settings = company.settings
    people = company.simulator.organisation.people
    for secret in (*(source.key for source in settings.sources.values()), "@", *(person.name for person in people)):
        assert secret not in text


def test_every_endpoint_and_tab_is_tried_once(company: Company) -> None:
    """Each endpoint the clients may call is asked, each once but for what needs an id first, and nothing else is."""
    findings = found(company.settings)
    asked = [(vendor, request.path) for vendor, request in company.simulator.requests]
    assert len(asked) == len(set(asked))
    listed = {("anthropic", e.path) for e in anthropic.ENDPOINTS} | {("cursor", e.path) for e in cursor.ENDPOINTS}
    workspaces = {workspace.id for workspace in company.simulator.organisation.workspaces}
    told = {
        (vendor, "/".join("{workspace_id}" if part in workspaces else part for part in path.split("/")))
        for vendor, path in asked
        if vendor != "sheets"
    }
    assert listed - told == {("cursor", "/analytics/team/dau")}
    assert told <= listed
    assert {what for room, what in findings if room == "Sheet"} == {"spreadsheet", *TABS}


def test_only_little_is_asked_for(company: Company) -> None:
    """No list is asked for with more than a page of twenty, and no more than a day."""
    found(company.settings)
    for vendor, request in company.simulator.requests:
        if vendor == "anthropic" and request.path.split("/")[-1] not in ("me", "workspaces"):
            assert request.one("limit") == "1", request.path
        if vendor == "cursor" and request.method == "POST":
            assert b'"pageSize":1}' in request.body


# --- the vendors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "first", "variable"),
    [("Anthropic", "me", "ANTHROPIC_ADMIN_KEY"), ("Cursor", "/teams/members", "CURSOR_ADMIN_KEY")],
)
def test_a_refused_key_is_told_once_and_the_other_vendor_is_tried(
    company: Company, vendor: str, first: str, variable: str
) -> None:
    """A key that is not accepted costs one request and names its variable; the rest of the house is examined."""
    getattr(company.simulator.switches, vendor.lower()).unauthorized = True
    findings = found(company.settings)
    assert [key for key, finding in findings.items() if finding.outcome == "fails"] == [(vendor, first)]
    assert variable in findings[vendor, first].next_step
    assert "answered 401" in findings[vendor, first].told
    assert [name for name, _ in company.simulator.requests].count(vendor.lower()) == 1
    rest = next(f for f in findings.values() if f.what.endswith("more"))
    assert "not tried" in rest.told
    assert ("Sheet", "people") in findings
    code, text = shown(company.settings)
    assert code == 1
    assert text.splitlines()[-1].startswith("✗ 1 of ")


def test_an_enterprise_key_works_for_what_it_may_see(company: Company) -> None:
    """What an Enterprise organisation does not have is told in the vendor's word, and fails nothing."""
    company.simulator.switches.anthropic.enterprise_key = True
    findings = found(company.settings)
    absent = {what for (room, what), f in findings.items() if room == "Anthropic" and f.outcome == "absent"}
    assert absent == {"address", "cost_report", "usage_report/claude_code", "api_keys", "workspaces"}
    assert "organization_type_not_supported" in findings["Anthropic", "cost_report"].told
    assert findings["Anthropic", "analytics/cost"].outcome == "works"
    assert shown(company.settings)[0] == 0


def test_a_teams_plan_has_no_groups(company: Company) -> None:
    """Billing groups that the plan lacks fail nothing."""
    company.simulator.switches.cursor.teams_plan = True
    finding = found(company.settings)["Cursor", "/teams/groups"]
    assert finding.outcome == "absent"
    assert "enterprise team" in finding.told


def test_a_vendor_that_is_down_is_not_asked_eight_times(company: Company) -> None:
    """Two endpoints without an answer end the asking; the others are told as not tried."""
    company.simulator.switches.faults.down = {"cursor"}
    told = outcomes(company.settings, "Cursor")
    assert [what for what, outcome in told.items() if outcome == "fails"] == [
        "/teams/members",
        "/teams/filtered-usage-events",
    ]
    assert told["3 more"] == "absent"


def test_failures_apart_from_each_other_end_nothing(company: Company) -> None:
    """Two endpoints that fail with a good one between them do not make the vendor one that is down."""
    prefix = "/v1/organizations/"
    company.simulator.switches.faults.fail_times = {f"{prefix}cost_report": 99, f"{prefix}users": 99}
    findings = found(company.settings)
    assert {what for (_, what), f in findings.items() if f.outcome == "fails"} == {"cost_report", "users"}
    assert "answered 503: Overloaded, 2 times" in findings["Anthropic", "users"].told
    assert findings["Anthropic", "workspaces"].outcome == "works"


def test_a_page_for_people_is_a_failure(company: Company) -> None:
    """HTML with status 200, as a proxy's login, is not taken for an answer."""
    company.simulator.switches.faults.html_200 = {"sheets"}
    finding = found(company.settings)["Sheet", "spreadsheet"]
    assert finding.outcome == "fails"
    assert "HTML page" in finding.told


def test_nobody_at_the_address(company: Company) -> None:
    """A port at which nobody listens is told with the reason, once."""
    findings = found(company.settings.with_source("cursor", base_url="http://127.0.0.1:9"))
    assert "Connection refused" in findings["Cursor", "/teams/members"].told
    assert ("Cursor", "4 more") in findings


def test_data_that_does_not_reach_yesterday_is_worth_a_look(company: Company) -> None:
    """Before Anthropic's export covers yesterday, doctor says how far it reaches and fails nothing."""
    company.simulator.switches.anthropic.empty_export = True
    finding = found(company.settings)["Anthropic", "analytics/cost"]
    assert (finding.outcome, finding.told) == ("look", "no data for 2026-11-19 yet")
    assert shown(company.settings)[0] == 0


def test_an_organisation_named_after_an_address_is_not_shown(company: Company) -> None:
    """Some organisations are called after the person who founded them; what is printed has no address all the same."""
    company.simulator.organisation.name = "jo@acme.test's organisation"
    _, text = shown(company.settings)
    assert "the key belongs to [e-mail]" in text
    assert "jo@" not in text


# --- keys -----------------------------------------------------------------------------------------------------------

WORKSPACE_KEY = "sk-ant-api03-0123456789abcdefghij"
LOGIN = "sk-ant-oat01-0123456789abcdefghij"
TEAM_KEY = "crsr_0123456789abcdefghij0123456789"
ADMIN_KEY = "sk-ant-admin01-0123456789abcdefghij"


@pytest.mark.parametrize(
    ("key", "room", "outcome", "says"),
    [
        (WORKSPACE_KEY, "Anthropic", "look", "a workspace's key"),
        (LOGIN, "Anthropic", "look", "a login of Claude Code"),
        ("s3cr3t-of-nobody", "Anthropic", "look", "begins like no key"),
        (TEAM_KEY, "Anthropic", "fails", "holds a key of Cursor; it was not sent"),
        (ADMIN_KEY, "Cursor", "fails", "holds an Admin key of the Console; it was not sent"),
        ("key_0123456789abcdefghij", "Cursor", "works", "an older key"),
    ],
)
def test_another_kind_of_key_is_recognised_and_never_shown(
    company: Company, key: str, room: str, outcome: str, says: str
) -> None:
    """A key of the wrong kind is told by its kind; one of another vendor is not sent at all, and none is shown."""
    settings = company.settings.with_source(room.lower(), key=key)
    finding = found(settings)[room, "key"]
    assert finding.outcome == outcome
    assert says in finding.told
    sent = [vendor for vendor, _ in company.simulator.requests].count(room.lower())
    assert sent == (0 if outcome == "fails" else 1)
    code, text = shown(settings)
    assert code == 1
    assert key not in text
    assert key[13:] not in text


# --- settings -------------------------------------------------------------------------------------------------------


def test_nothing_configured(tmp_path: Path) -> None:
    """Without any setting nothing fails, nobody is asked, and it says what to set."""
    code, text = shown(Settings(duckdb_path=tmp_path / "w.duckdb"), 80)
    assert code == 0
    text = " ".join(text.split())
    for name in ("ANTHROPIC_ADMIN_KEY", "CURSOR_ADMIN_KEY", "AI_USAGE_SHEET_ID"):
        assert f"{name} is not set" in text
    assert "! Nothing fails, but no vendor is configured" in text
    assert list(tmp_path.iterdir()) == []


def test_all_wrong_settings_are_named_at_once() -> None:
    """Every variable that cannot be read is told in one go, with exit code 2; a key in the wrong one is not shown."""
    told = ai_usage("doctor", AI_USAGE_NOW="noon", AI_USAGE_PACING="perhaps", CURSOR_BASE_URL=ADMIN_KEY)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr
    for name in ("AI_USAGE_NOW", "AI_USAGE_PACING", "CURSOR_BASE_URL"):
        assert f"{name} is" in told.stdout
    assert ADMIN_KEY not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"fixed_now": MORNING}, "AI_USAGE_NOW"),
        ({"accept_loss": True}, "AI_USAGE_ACCEPT_LOSS"),
        ({"start_date": date(2099, 1, 1)}, "days"),
    ],
)
def test_settings_that_were_left_behind_are_worth_a_look(tmp_path: Path, changed: dict[str, object], what: str) -> None:
    """What was set for one occasion and forgotten is told before it spoils a morning."""
    finding = found(replace(Settings(duckdb_path=tmp_path / "w.duckdb"), **changed))["Settings", what]
    assert finding.outcome == "look"
    assert finding.next_step


def test_the_proxy_is_named_without_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that leave through a proxy say which, and those to this machine never do."""
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://jo:pass@proxy.acme.test:3128")
    assert describe_proxy("https://api.anthropic.com") == "http://proxy.acme.test:3128"
    assert describe_proxy("http://127.0.0.1:8701") is None
    monkeypatch.setenv("no_proxy", "api.anthropic.com")
    assert describe_proxy("https://api.anthropic.com") is None


@pytest.mark.parametrize(
    "named",
    ["socks5://us:pw123456@127.0.0.1:1", "http://us:pw123456@proxy:notaport", " http://us:pw123456@127.0.0.1:1", "://"],
)
def test_a_proxy_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Its variable and what it takes are named, its password is not."""
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(SettingsError, match="HTTPS_PROXY names a proxy that cannot be used") as told:
        describe_proxy("https://api.anthropic.com")
    assert "pw123456" not in str(told.value)


def test_a_proxy_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """A run and the doctor name the variable and not the password, and whoever needs no proxy is tried all the same."""
    members = Reply(body=b'{"teamMembers":[]}')
    with serving(members) as script:
        environment = {
            "HTTPS_PROXY": "socks5://us:pw123456@127.0.0.1:1",
            "ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-" + "x" * 30,
            "CURSOR_ADMIN_KEY": TEAM_KEY,
            "CURSOR_BASE_URL": script.url,
            "AI_USAGE_DUCKDB_PATH": str(tmp_path / "w.duckdb"),
            "DAGSTER_HOME": str(tmp_path),
        }
        run = ai_usage("run", **environment)
        doctor_told = ai_usage("doctor", **environment)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].count("HTTPS_PROXY names a proxy that cannot be used for api.anthropic.com") == 1
    assert "HTTPS_PROXY names a proxy" in doctor_told.stdout
    assert doctor_told.returncode == 1
    assert script.seen
    for told in (run, doctor_told):
        assert "Traceback" not in told.stderr
        assert "pw123456" not in told.stdout + told.stderr


@pytest.mark.parametrize(
    "server_date", ["Fri, 20 Nov 2026 14:00:00 +9999999999", "999929929999999999999 Nov 2026 14:00:00 GMT", "soon"]
)
def test_a_clock_that_cannot_be_read_is_no_end(tmp_path: Path, server_date: str) -> None:
    """A date that no calendar has is told as none."""
    with serving(Reply(401, b'{"message":"Invalid Team API Key"}', {"date": server_date})) as script:
        settings = Settings(duckdb_path=tmp_path / "w.duckdb", pacing=False).with_source(
            "cursor", key=TEAM_KEY, base_url=script.url
        )
        finding = found(settings)["Cursor", "clock"]
    assert finding.outcome == "absent"


def test_a_cycle_that_began_in_no_year_is_no_end(tmp_path: Path) -> None:
    """Microseconds where milliseconds belong fail the endpoint that says so, and the rest is tried."""
    body = b'{"teamMemberSpend":[],"subscriptionCycleStart":1763000000000000,"totalPages":1,"teamMembers":[]}'
    with serving(Reply(body=body)) as script:
        settings = Settings(duckdb_path=tmp_path / "w.duckdb", pacing=False).with_source(
            "cursor", key=TEAM_KEY, base_url=script.url
        )
        assert "fails" in outcomes(settings, "Cursor").values()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_folder_and_a_file_in_each_others_place_are_told(tmp_path: Path, what: str) -> None:
    """A warehouse that is a folder, or whose folder is a file, is told as that by a run and by the doctor."""
    (tmp_path / "file").touch()
    path = tmp_path if what == "folder" else tmp_path / "file" / "w.duckdb"
    says = "is a folder" if what == "folder" else "is a file, not a folder"
    told = [finding.told for finding in found(Settings(duckdb_path=path)).values() if finding.outcome == "fails"]
    assert any(says in line for line in told)
    with pytest.raises(WarehouseError, match=says):
        DuckDBWarehouse(path).prepare([])


@pytest.mark.parametrize(("minutes", "outcome"), [(0, "works"), (-47, "look"), (90, "look")])
def test_a_clock_that_is_wrong_is_told(tmp_path: Path, minutes: int, outcome: str) -> None:
    """The clock is held against the vendor's own, also when the vendor refuses."""
    theirs = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    with serving(Reply(401, b'{"message":"Invalid Team API Key"}', {"date": theirs})) as script:
        settings = Settings(duckdb_path=tmp_path / "w.duckdb", pacing=False).with_source(
            "cursor", key=TEAM_KEY, base_url=script.url
        )
        finding = found(settings)["Cursor", "clock"]
    assert finding.outcome == outcome
    if outcome == "look":
        assert f"{abs(minutes)} min {'behind' if minutes > 0 else 'ahead of'} Cursor" in finding.told


# --- the sheet ------------------------------------------------------------------------------------------------------


def test_a_sheet_that_is_not_shared(company: Company) -> None:
    """A refused sheet says that it must be shared."""
    company.simulator.switches.sheets.not_shared = True
    finding = found(company.settings)["Sheet", "spreadsheet"]
    assert finding.outcome == "fails"
    assert "Share the spreadsheet" in finding.next_step


def test_a_sheet_that_is_not_there(company: Company) -> None:
    """A wrong id is told with the variable it stands in."""
    finding = found(replace(company.settings, sheet_id="another-sheet"))["Sheet", "spreadsheet"]
    assert finding.outcome == "fails"
    assert "AI_USAGE_SHEET_ID" in finding.next_step


def test_tabs_are_judged_one_by_one(company: Company) -> None:
    """A missing tab, a bad header and a bad row are told apart, without the cells; the good tab stays good."""
    simulated = company.simulator
    simulated.set_sheet("budgets", None)
    simulated.set_sheet("seat_prices", [["what", "is", "this"]])
    simulated.sheet("people").append(["jo@acme.test", "Jo", "T", "CC", "soon", ""])
    findings = found(company.settings)
    assert findings["Sheet", "key_mapping"].outcome == "works"
    assert findings["Sheet", "budgets"].outcome == "fails"
    assert "there is no tab named budgets" in findings["Sheet", "budgets"].told
    assert findings["Sheet", "seat_prices"].outcome == "fails"
    people = findings["Sheet", "people"]
    assert people.outcome == "look"
    assert people.told.endswith(" rows can be used, 1 cannot")
    assert f"row {len(simulated.sheet('people'))}: effective_from" in people.next_step
    code, text = shown(company.settings)
    assert code == 1
    assert "@" not in text


@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        (
            google.oauth2.service_account.Credentials(None, "robot@acme.test", "https://oauth2.googleapis.com/token"),
            "client_email",
        ),
        (google.auth.compute_engine.Credentials(), "this machine or job"),
        (google.oauth2.credentials.Credentials("token"), "application-default login"),
    ],
)
def test_whom_to_share_with_is_told_without_the_address(credentials: object, says: str) -> None:
    """Each kind of Google credentials says where the address stands to share the sheet with."""
    told = account_of(credentials)
    assert says in told
    assert "@" not in told


# --- the warehouse --------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Only a warehouse, in a folder of its own."""
    return Settings(duckdb_path=tmp_path / "w" / "ai_usage.duckdb")


@pytest.fixture
def made(settings: Settings) -> Path:
    """The file as a run of two days leaves it."""
    settings.duckdb_path.parent.mkdir()
    warehouse = DuckDBWarehouse(empty(settings.duckdb_path))
    entry = {"vendor": "cursor", "asset": "raw_cursor_usage_events", "is_daily": True, "status": "complete"}
    at = {"attempted_at": MORNING, "completed_at": MORNING, "run_id": "r"}
    warehouse.append(OPS_ASSET_DAYS, [{**entry, **at, "usage_date": date(2026, 11, day)} for day in (17, 18)])
    run = {"run_id": "r", "job": "daily", "started_at": MORNING, "outcome": "failed", "version": "1"}
    warehouse.append(OPS_RUNS, [run])
    warehouse.close()
    return settings.duckdb_path


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and time of change."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_looking_changes_nothing(settings: Settings, made: Path, tmp_path: Path) -> None:
    """A file that is held is looked at, days and last run told, and every byte and time stays."""
    before = state(tmp_path)
    findings = found(settings)
    assert state(tmp_path) == before
    assert findings["Warehouse", "file"].outcome == "works"
    assert findings["Warehouse", "days"].told == "2 of Cursor are held, 2026-11-17 to 2026-11-18"
    assert findings["Warehouse", "last run"].outcome == "look"
    assert findings["Dagster", "home"].outcome == "works"


def test_before_the_first_run_nothing_is_made(settings: Settings, tmp_path: Path) -> None:
    """Without a file doctor says that the first run makes it, and makes neither file nor folder."""
    findings = found(settings)
    assert findings["Warehouse", "file"].outcome == "absent"
    assert "can be made" in findings["Warehouse", "folder"].told
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_yet_a_warehouse(settings: Settings) -> None:
    """A DuckDB file without our tables is told as such, and gets none."""
    settings.duckdb_path.parent.mkdir()
    duckdb.connect(str(settings.duckdb_path)).close()
    assert found(settings)["Warehouse", "tables"].outcome == "absent"
    with duckdb.connect(str(settings.duckdb_path)) as connection:
        assert connection.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'ai_usage'").fetchall() == []


def test_a_file_that_is_something_else(settings: Settings) -> None:
    """What is no DuckDB file at all is told, and kept."""
    settings.duckdb_path.parent.mkdir()
    settings.duckdb_path.write_text("these are my notes " * 400)
    assert found(settings)["Warehouse", "file"].outcome == "fails"
    assert settings.duckdb_path.read_text().startswith("these are my notes")


def test_a_file_of_another_version(settings: Settings, made: Path) -> None:
    """A column of another type, which a run would refuse, is told beforehand."""
    with duckdb.connect(str(made)) as connection:
        connection.execute("ALTER TABLE ai_usage.ai_usage.ops_runs ALTER COLUMN version TYPE BIGINT")
    finding = found(settings)["Warehouse", "tables"]
    assert finding.outcome == "fails"
    assert "ops_runs.version is BIGINT" in finding.told


@pytest.mark.parametrize(("read_only", "outcome"), [(False, "fails"), (True, "works")])
def test_a_warehouse_in_use(settings: Settings, made: Path, read_only: bool, outcome: str) -> None:
    """While another process writes the file, it is told after two seconds; a reader stands in nobody's way."""
    code = (
        f"import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only={read_only}); "
        "print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(made)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "open\n"
        finding = found(settings)["Warehouse", "file"]
    finally:
        holder.communicate()
    assert finding.outcome == outcome
    assert ("in use by another process" in finding.told) == (outcome == "fails")


@contextmanager
def a_plain_account() -> Iterator[Path]:
    """A folder that only its owner may change, and an account that is somebody else."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        # Root may write everywhere, so it becomes nobody for a while.
        if root := os.geteuid() == 0:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)
            Path(name).chmod(0o755)


def test_a_folder_that_cannot_be_written(settings: Settings) -> None:
    """A read-only folder fails the warehouse and Dagster's home, each with its variable, also one level above."""
    found(settings)
    with a_plain_account() as folder:
        for path in (folder / "w.duckdb", folder / "below" / "w.duckdb"):
            findings = found(replace(settings, duckdb_path=path))
            for room, what, variable in (
                ("Warehouse", "folder", "AI_USAGE_DUCKDB_PATH"),
                ("Dagster", "home", "DAGSTER_HOME"),
            ):
                assert "Permission denied" in findings[room, what].told
                assert variable in findings[room, what].next_step


def test_a_file_that_cannot_be_written(settings: Settings, made: Path) -> None:
    """A read-only file is told before a run stumbles over it."""
    with a_plain_account() as folder:
        path = folder / "w.duckdb"
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        path.write_bytes(made.read_bytes())
        path.chmod(0o444)
        folder.chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(65534)
        finding = found(replace(settings, duckdb_path=path))["Warehouse", "file"]
    assert finding.outcome == "fails"
    assert "cannot be written" in finding.told


# --- as a command ---------------------------------------------------------------------------------------------------


def test_the_command(own: dict[str, str], simulator: Simulator) -> None:  # noqa: F811 - fixtures
    """The command tells everything on standard output, and its exit code is what was found."""
    simulator.switches.faults.fail_times = {"/v4": 99}
    told = ai_usage("doctor", **own)
    assert told.returncode == 1
    assert told.stdout.splitlines()[-1].startswith("✗ 1 of ")
    assert told.stderr == ""
