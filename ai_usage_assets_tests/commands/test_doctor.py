"""`ai-usage doctor` against simulated vendors, a sheet and a warehouse, each working and failing."""

from __future__ import annotations

import json
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
from typing import Any

import duckdb
import google.auth.compute_engine
import google.oauth2.credentials
import google.oauth2.service_account
import pytest
from rich.console import Console

from ai_usage_assets.commands.diagnostics import Diagnostic
from ai_usage_assets.commands.doctor.command import diagnose, run_diagnostics
from ai_usage_assets.http.transport import describe_proxy
from ai_usage_assets.registry import load_source
from ai_usage_assets.settings import Settings, SettingsError
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.sources.cursor import client as cursor
from ai_usage_assets.sources.mapping_sheet.client import describe_account
from ai_usage_assets.sources.mapping_sheet.tabs import TABS
from ai_usage_assets.warehouse.base import WarehouseError
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets_tests.conftest import Company, copy_empty_warehouse, serve_company
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies
from ai_usage_assets_tests.support.cli import call_main

MORNING = datetime(2026, 11, 20, 6, tzinfo=UTC)


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """A small company whose warehouse does not exist yet."""
    with serve_company(tmp_path / "ai_usage.duckdb") as served:
        yield served


def diagnostics(settings: Settings) -> dict[tuple[str, str], Diagnostic]:
    """Every diagnostic by its section and subject; each pair occurs once."""
    results = list(diagnose(settings))
    by_name = {(result.section, result.subject): result for result in results}
    assert len(by_name) == len(results)
    return by_name


def outcomes(settings: Settings, section: str) -> dict[str, str]:
    """The outcomes of a section, by subject."""
    return {name: result.outcome for (where, name), result in diagnostics(settings).items() if where == section}


def count_requests(company: Company, section: str) -> int:
    """The number of requests that the vendor received."""
    return sum(vendor == section.lower() for vendor, _ in company.simulator.requests)


def run_doctor(settings: Settings, width: int = 110) -> tuple[int, str]:
    """The exit code and the output."""
    text = StringIO()
    return run_diagnostics(settings, Console(file=text, width=width)), text.getvalue()


def diagnose_cursor(folder: Path, reply: Reply) -> dict[str, Diagnostic]:
    """The diagnostics of Cursor, by subject, when every request gets the reply."""
    with serve_replies(reply) as server:
        settings = Settings(duckdb_path=folder / "w.duckdb", pacing=False)
        results = diagnostics(settings.with_source("cursor", key=TEAM_KEY, base_url=server.url))
    return {subject: result for (section, subject), result in results.items() if section == "Cursor"}


# --- everything works -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 110])
def test_everything_works(company: Company, width: int) -> None:
    """The output ends with the next step, fits the terminal, and contains no key and no person."""
    code, text = run_doctor(company.settings, width)
    assert code == 0
    assert "✗" not in text
    assert text.splitlines()[-1].startswith("✓ ")
    assert "`ai-usage run`" in text.splitlines()[-1]
    assert max(map(len, text.splitlines())) <= width
    for fact in ("Acme Robotics", "2026-11-20 12:00 UTC", "50 members, 3 removed"):
        assert fact in text
    keys = [source.key for source in company.settings.sources.values() if source.key]
    for private in (*keys, "@", *(person.name for person in company.simulator.organization.people)):
        assert private not in text


def test_every_endpoint_and_tab_is_tested_once(company: Company) -> None:
    """Each endpoint that the clients can call is requested once, and no other."""
    results = diagnostics(company.settings)
    requests = [(vendor, request.path) for vendor, request in company.simulator.requests if vendor != "sheets"]
    assert len(requests) == len(set(requests))
    configured = [load_source(entry.name) for entry in company.settings.configured_sources]
    listed = {(source.name, endpoint.path) for source in configured for endpoint in source.connect.endpoints}
    workspaces = {workspace.id for workspace in company.simulator.organization.workspaces}
    requested = {
        (vendor, "/".join("{workspace_id}" if part in workspaces else part for part in path.split("/")))
        for vendor, path in requests
    }
    assert requested == listed
    assert {subject for section, subject in results if section == "Sheet"} == {"spreadsheet", *TABS}


def test_requests_are_small(company: Company) -> None:
    """Lists are requested with one record per page where the API has a page size."""
    diagnostics(company.settings)
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
def test_rejected_key_costs_one_request(company: Company, vendor: str, first: str, variable: str) -> None:
    """A rejected key costs one request, names its variable, and does not stop the other tests."""
    getattr(company.simulator.fault_options, vendor.lower()).unauthorized = True
    results = diagnostics(company.settings)
    assert [key for key, result in results.items() if result.outcome == "error"] == [(vendor, first)]
    assert variable in results[vendor, first].next_step
    assert "401" in results[vendor, first].message
    assert count_requests(company, vendor) == 1
    assert [result.outcome for result in results.values() if result.subject.endswith(" more")] == ["info"]
    assert results["Sheet", "people"].outcome == "ok"


def test_enterprise_key(company: Company) -> None:
    """Endpoints that an Enterprise organization lacks are reported with the vendor's reason and are no errors."""
    company.simulator.fault_options.anthropic.enterprise_key = True
    results = diagnostics(company.settings)
    absent = {subject for (section, subject), f in results.items() if section == "Anthropic" and f.outcome == "info"}
    assert absent == {"address", "cost_report", "usage_report/claude_code", "api_keys", "workspaces"}
    assert "organization_type_not_supported" in results["Anthropic", "cost_report"].message
    assert results["Anthropic", "analytics/cost"].outcome == "ok"
    assert "error" not in {result.outcome for result in results.values()}


def test_teams_plan_has_no_groups(company: Company) -> None:
    """An endpoint that the plan lacks is no error."""
    company.simulator.fault_options.cursor.teams_plan = True
    result = diagnostics(company.settings)["Cursor", "/teams/groups"]
    assert result.outcome == "info"


def test_vendor_that_is_down_gets_two_requests(company: Company) -> None:
    """After two endpoints without an answer the others are reported as not tested."""
    company.simulator.fault_options.faults.down = {"cursor"}
    result = outcomes(company.settings, "Cursor")
    assert [subject for subject, outcome in result.items() if outcome == "error"] == [
        "/teams/members",
        "/teams/filtered-usage-events",
    ]
    assert result["3 more"] == "info"


def test_separate_failures_do_not_end_the_tests(company: Company) -> None:
    """Two failed endpoints with a working one between them do not count as a vendor that is down."""
    prefix = "/v1/organizations/"
    company.simulator.fault_options.faults.fail_times = {f"{prefix}cost_report": 99, f"{prefix}users": 99}
    results = diagnostics(company.settings)
    assert {subject for (_, subject), f in results.items() if f.outcome == "error"} == {"cost_report", "users"}
    assert "503" in results["Anthropic", "users"].message
    assert results["Anthropic", "workspaces"].outcome == "ok"


def test_html_page_is_an_error(company: Company) -> None:
    """HTML with status 200, such as the login page of a proxy, is an error."""
    company.simulator.fault_options.faults.html_200 = {"sheets"}
    result = diagnostics(company.settings)["Sheet", "spreadsheet"]
    assert result.outcome == "error"
    assert "HTML page" in result.message


def test_refused_connection(company: Company) -> None:
    """A port without a server is reported once, with the reason."""
    results = diagnostics(company.settings.with_source("cursor", base_url="http://127.0.0.1:9"))
    assert "Connection refused" in results["Cursor", "/teams/members"].message
    assert ("Cursor", "4 more") in results


def test_data_that_does_not_reach_yesterday_is_a_warning(company: Company) -> None:
    """Before the export covers yesterday, doctor reports how far it reaches as a warning."""
    company.simulator.fault_options.anthropic.empty_export = True
    results = diagnostics(company.settings)
    assert results["Anthropic", "analytics/cost"].outcome == "warning"
    assert "2026-11-19" in results["Anthropic", "analytics/cost"].message
    assert "error" not in {result.outcome for result in results.values()}


def test_address_in_the_name_of_the_organization_is_redacted(company: Company) -> None:
    """An organization that is named after an e-mail address is printed without it."""
    company.simulator.organization.name = "jo@acme.test's organization"
    _, text = run_doctor(company.settings)
    assert "[e-mail]" in text
    assert "jo@" not in text


# --- keys -----------------------------------------------------------------------------------------------------------

TEAM_KEY = "crsr_0123456789abcdefghij0123456789"
ADMIN_KEY = "sk-ant-admin01-0123456789abcdefghij"


@pytest.mark.parametrize(
    ("key", "section", "outcome", "message"),
    [
        ("sk-ant-api03-0123456789abcdefghij", "Anthropic", "warning", "workspace"),
        ("sk-ant-oat01-0123456789abcdefghij", "Anthropic", "warning", "Claude Code"),
        ("s3cr3t-of-nobody", "Anthropic", "warning", "does not start like a key"),
        (TEAM_KEY, "Anthropic", "error", "key of Cursor"),
        (ADMIN_KEY, "Cursor", "error", "Admin key"),
        ("key_0123456789abcdefghij", "Cursor", "ok", "older key"),
    ],
)
def test_other_kinds_of_keys_are_recognized(
    company: Company, key: str, section: str, outcome: str, message: str
) -> None:
    """A key of the wrong kind is named by its kind, one of another vendor is not sent, and none is printed."""
    settings = replace(company.settings, sheet_id=None).with_source(section.lower(), key=key)
    results = diagnostics(settings)
    assert results[section, "key"].outcome == outcome
    assert message in results[section, "key"].message
    assert count_requests(company, section) == (0 if outcome == "error" else 1)
    assert "error" in {result.outcome for result in results.values()}
    assert key[13:] not in str(results)


# --- settings -------------------------------------------------------------------------------------------------------


def test_without_any_setting(tmp_path: Path) -> None:
    """Without any setting nothing fails or is created, and the output names what to set."""
    code, text = run_doctor(Settings(duckdb_path=tmp_path / "w.duckdb"), 80)
    assert code == 0
    assert "\n! " in text
    for name in ("ANTHROPIC_ADMIN_KEY", "CURSOR_ADMIN_KEY", "AI_USAGE_SHEET_ID"):
        assert f"{name} is not set" in " ".join(text.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("now", ["", "noon"])
def test_unknown_variable_is_a_warning(now: str) -> None:
    """A misspelled setting is one warning with the name that was probably meant, also next to an invalid setting."""
    result = call_main("doctor", AI_USAGE_NOW=now, AI_USAGE_DATSET="private")
    assert result.returncode == (2 if now else 0)
    (line,) = [line for line in result.stdout.splitlines() if "AI_USAGE_DATSET" in line]
    assert line.split()[0] == "!"
    assert "AI_USAGE_DATASET" in " ".join(result.stdout.split())
    assert "private" not in result.stdout
    assert "AI_USAGE_DATSET" not in result.stderr


def test_all_invalid_settings_are_reported_at_once() -> None:
    """Every invalid variable is reported, with exit code 2; a key in the wrong one is not printed."""
    result = call_main("doctor", AI_USAGE_NOW="noon", AI_USAGE_PACING="perhaps", CURSOR_BASE_URL=ADMIN_KEY)
    assert result.returncode == 2
    for name in ("AI_USAGE_NOW", "AI_USAGE_PACING", "CURSOR_BASE_URL"):
        assert f"{name} is" in result.stdout
    assert ADMIN_KEY not in result.stdout + result.stderr


def test_settings_for_one_occasion_are_warnings(tmp_path: Path) -> None:
    """A setting that was meant for one run and is still set is a warning with a next step."""
    settings = Settings(duckdb_path=tmp_path / "w.duckdb")
    for changed, subject in (
        (replace(settings, fixed_now=MORNING), "AI_USAGE_NOW"),
        (replace(settings, accept_loss=True), "AI_USAGE_ACCEPT_LOSS"),
        (replace(settings, start_date=date(2099, 1, 1)), "days"),
    ):
        result = diagnostics(changed)["Settings", subject]
        assert (result.outcome, bool(result.next_step)) == ("warning", True), subject


@pytest.fixture
def proxy_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, to be changed."""
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_proxy_is_shown_without_its_credentials(proxy_variables: pytest.MonkeyPatch) -> None:
    """The proxy of a URL is shown without its password; loopback has none."""
    proxy_variables.setenv("https_proxy", "http://jo:pass@proxy.acme.test:3128")
    assert describe_proxy("https://api.anthropic.com") == "http://proxy.acme.test:3128"
    assert describe_proxy("http://127.0.0.1:8701") is None
    proxy_variables.setenv("no_proxy", "api.anthropic.com")
    assert describe_proxy("https://api.anthropic.com") is None


@pytest.mark.parametrize(
    "named",
    ["socks5://us:pw123456@127.0.0.1:1", "http://us:pw123456@proxy:notaport", " http://us:pw123456@127.0.0.1:1", "://"],
)
def test_invalid_proxy_is_rejected(proxy_variables: pytest.MonkeyPatch, named: str) -> None:
    """The message names the variable and not the password."""
    proxy_variables.setenv("HTTPS_PROXY", named)
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as result:
        describe_proxy("https://api.anthropic.com")
    assert "pw123456" not in str(result.value)


def test_invalid_proxy_in_a_command(tmp_path: Path) -> None:
    """A run and the doctor name the variable and not the password; vendors without a proxy are still tested."""
    with serve_replies(Reply(body=b'{"teamMembers":[]}')) as server:
        environment = {
            "HTTPS_PROXY": "socks5://us:pw123456@127.0.0.1:1",
            "ANTHROPIC_ADMIN_KEY": "sk-ant-admin01-" + "x" * 30,
            "CURSOR_ADMIN_KEY": TEAM_KEY,
            "CURSOR_BASE_URL": server.url,
            "AI_USAGE_DUCKDB_PATH": str(tmp_path / "w.duckdb"),
            "DAGSTER_HOME": str(tmp_path),
        }
        run, doctor = call_main("run", **environment), call_main("doctor", **environment)
    assert (run.returncode, doctor.returncode) == (2, 1)
    assert server.requests
    for text in (run.stderr.splitlines()[-1], doctor.stdout):
        assert "HTTPS_PROXY" in text
        assert "api.anthropic.com" in text
    assert "pw123456" not in run.stdout + run.stderr + doctor.stdout + doctor.stderr


@pytest.mark.parametrize(
    "server_date", ["Fri, 20 Nov 2026 14:00:00 +9999999999", "999929929999999999999 Nov 2026 14:00:00 GMT", "soon"]
)
def test_invalid_date_header(tmp_path: Path, server_date: str) -> None:
    """A Date header that is no date counts as missing."""
    reply = Reply(401, b'{"message":"Invalid Team API Key"}', {"date": server_date})
    assert diagnose_cursor(tmp_path, reply)["clock"].outcome == "info"


def test_invalid_timestamp_fails_one_endpoint(tmp_path: Path) -> None:
    """Microseconds instead of milliseconds fail their endpoint, and the others are still tested."""
    body = {
        "teamMemberSpend": [], "subscriptionCycleStart": 1763000000000000, "totalPages": 1,
        "teamMembers": [{"id": 1, "name": "A", "email": "a@acme.test", "role": "member"}],
        "totalUsageEventsCount": 0, "pagination": {"hasNextPage": False}, "usageEvents": [], "data": [], "groups": [],
    }  # fmt: skip
    results = diagnose_cursor(tmp_path, Reply(body=json.dumps(body).encode()))
    assert [subject for subject, result in results.items() if result.outcome == "error"] == ["/teams/spend"]
    assert {endpoint.path for endpoint in cursor.ENDPOINTS} <= results.keys()


@pytest.mark.parametrize(("name", "message"), [("", "is a folder"), ("file/w.duckdb", "is a file")])
def test_folder_and_file_mixed_up(tmp_path: Path, name: str, message: str) -> None:
    """A warehouse path that is a folder, or whose folder is a file, is an error of a run and of the doctor."""
    (tmp_path / "file").touch()
    path = tmp_path / name
    results = diagnostics(Settings(duckdb_path=path)).values()
    assert any(message in result.message for result in results if result.outcome == "error")
    with pytest.raises(WarehouseError, match=message):
        DuckDBWarehouse(path).prepare([])


@pytest.mark.parametrize(
    ("minutes", "outcome", "named"), [(0, "ok", ""), (-47, "warning", "47 min ahead"), (90, "warning", "90 min behind")]
)
def test_clock_of_this_machine(tmp_path: Path, minutes: int, outcome: str, named: str) -> None:
    """The clock is compared with the vendor's, also when the vendor rejects the request."""
    theirs = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    result = diagnose_cursor(tmp_path, Reply(401, b'{"message":"Invalid Team API Key"}', {"date": theirs}))["clock"]
    assert result.outcome == outcome
    assert named in result.message


# --- the sheet ------------------------------------------------------------------------------------------------------


def test_sheet_that_cannot_be_read(company: Company) -> None:
    """The next step for a wrong id names its variable, and for a refused sheet is to share it."""
    result = diagnostics(replace(company.settings, sheet_id="another-sheet"))["Sheet", "spreadsheet"]
    assert result.outcome == "error"
    assert "AI_USAGE_SHEET_ID" in result.next_step
    company.simulator.fault_options.sheets.not_shared = True
    result = diagnostics(company.settings)["Sheet", "spreadsheet"]
    assert result.outcome == "error"
    assert "Share" in result.next_step


def test_tabs_are_validated_one_by_one(company: Company) -> None:
    """A missing tab, a wrong header and an invalid row have their own messages, without the cells."""
    simulated = company.simulator
    simulated.set_sheet("budgets", None)
    simulated.set_sheet("seat_prices", [["what", "is", "this"]])
    simulated.sheet("people").append(["jo@acme.test", "Jo", "T", "CC", "soon", ""])
    results = diagnostics(company.settings)
    assert {tab: results["Sheet", tab].outcome for tab in TABS} == {
        "key_mapping": "ok", "people": "warning", "budgets": "error", "seat_prices": "error",
    }  # fmt: skip
    assert "does not exist" in results["Sheet", "budgets"].message
    people = results["Sheet", "people"]
    assert "1 invalid" in people.message
    assert f"row {len(simulated.sheet('people'))}: effective_from" in people.next_step
    code, text = run_doctor(company.settings)
    assert code == 1
    assert "@" not in text


def test_account_to_share_with_is_described_without_its_address() -> None:
    """Each kind of Google credentials has a description of where to find its address."""
    # The constructors have no annotations.
    service_account: Any = google.oauth2.service_account.Credentials
    login: Any = google.oauth2.credentials.Credentials
    machine: Any = google.auth.compute_engine.Credentials
    for credentials, named in (
        (service_account(None, "robot@acme.test", "https://oauth2.googleapis.com/token"), "client_email"),
        (machine(), "this machine or job"),
        (login("token"), "application-default login"),
    ):
        description = describe_account(credentials)
        assert named in description
        assert "@" not in description


# --- the warehouse --------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with only a warehouse, in a temporary folder."""
    return Settings(duckdb_path=tmp_path / "w" / "ai_usage.duckdb")


@pytest.fixture
def warehouse_path(settings: Settings) -> Path:
    """A file as a run of two days leaves it."""
    settings.duckdb_path.parent.mkdir()
    warehouse = DuckDBWarehouse(copy_empty_warehouse(settings.duckdb_path))
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


def test_existing_warehouse_is_not_changed(settings: Settings, warehouse_path: Path, tmp_path: Path) -> None:
    """Days and last run are reported, and no byte and no modification time changes."""
    before = state(tmp_path)
    results = diagnostics(settings)
    assert state(tmp_path) == before
    assert results["Warehouse", "file"].outcome == "ok"
    for fact in ("2 days", "Cursor", "2026-11-17", "2026-11-18"):
        assert fact in results["Warehouse", "days"].message
    assert results["Warehouse", "last run"].outcome == "warning"
    assert results["Dagster", "home"].outcome == "ok"


def test_before_the_first_run_nothing_is_created(settings: Settings, tmp_path: Path) -> None:
    """A file that does not exist is no error, and neither file nor folder is created."""
    results = diagnostics(settings)
    assert results["Warehouse", "file"].outcome == "info"
    assert results["Warehouse", "folder"].outcome == "ok"
    assert list(tmp_path.iterdir()) == []


def test_duckdb_file_without_tables(settings: Settings) -> None:
    """A DuckDB file without the tables is reported as such and gets none."""
    settings.duckdb_path.parent.mkdir()
    duckdb.connect(str(settings.duckdb_path)).close()
    assert diagnostics(settings)["Warehouse", "tables"].outcome == "info"
    with duckdb.connect(str(settings.duckdb_path)) as connection:
        assert connection.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'ai_usage'").fetchall() == []


def test_file_of_another_format(settings: Settings) -> None:
    """A file that is no DuckDB file is an error and stays unchanged."""
    settings.duckdb_path.parent.mkdir()
    settings.duckdb_path.write_text("these are my notes " * 400)
    assert diagnostics(settings)["Warehouse", "file"].outcome == "error"
    assert settings.duckdb_path.read_text().startswith("these are my notes")


def test_tables_of_another_version(settings: Settings, warehouse_path: Path) -> None:
    """A column of another type, which a run would reject, is an error."""
    with duckdb.connect(str(warehouse_path)) as connection:
        connection.execute("ALTER TABLE ai_usage.ai_usage.ops_runs ALTER COLUMN version TYPE BIGINT")
    result = diagnostics(settings)["Warehouse", "tables"]
    assert result.outcome == "error"
    assert "ops_runs.version" in result.message
    assert "BIGINT" in result.message


@pytest.mark.parametrize(("read_only", "outcome"), [(False, "error"), (True, "ok")])
def test_warehouse_in_use(settings: Settings, warehouse_path: Path, read_only: bool, outcome: str) -> None:
    """A file that another process writes is an error; one that another process reads is not."""
    code = (
        f"import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only={read_only}); "
        "print('open', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(warehouse_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        result = diagnostics(settings)["Warehouse", "file"]
    finally:
        holder.communicate()
    assert result.outcome == outcome


@contextmanager
def unprivileged_account() -> Iterator[Path]:
    """A read-only folder, and an account that does not own it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        # Root may write everywhere, so the process becomes `nobody` for a while.
        if root := os.geteuid() == 0:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)
            Path(name).chmod(0o755)


def test_read_only_folder(settings: Settings) -> None:
    """A read-only folder is an error of the warehouse and of the Dagster home, with the name of the variable."""
    diagnostics(settings)
    with unprivileged_account() as folder:
        for path in (folder / "w.duckdb", folder / "below" / "w.duckdb"):
            results = diagnostics(replace(settings, duckdb_path=path))
            for section, subject, variable in (
                ("Warehouse", "folder", "AI_USAGE_DUCKDB_PATH"),
                ("Dagster", "home", "DAGSTER_HOME"),
            ):
                assert "Permission denied" in results[section, subject].message
                assert variable in results[section, subject].next_step


def test_read_only_file(settings: Settings, warehouse_path: Path) -> None:
    """A read-only file is an error."""
    with unprivileged_account() as folder:
        path = folder / "w.duckdb"
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        path.write_bytes(warehouse_path.read_bytes())
        path.chmod(0o444)
        folder.chmod(0o555)
        if os.getuid() == 0:
            os.seteuid(65534)
        result = diagnostics(replace(settings, duckdb_path=path))["Warehouse", "file"]
    assert result.outcome == "error"
    assert "is not writable" in result.message


# --- as a command ---------------------------------------------------------------------------------------------------


def test_command(environment: dict[str, str], simulator: Simulator) -> None:
    """The command prints everything to stdout and exits with 1 for an error."""
    simulator.fault_options.faults.fail_times = {"/v4": 99}
    result = call_main("doctor", **environment)
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith("✗ 1 of ")
    assert result.stderr == ""
