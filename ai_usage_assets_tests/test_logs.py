"""JSON log entries: their format, and that a process writes nothing else to its outputs, however it ends."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.commands import demo, launch
from ai_usage_assets.days import DayRange, tags_for_range
from ai_usage_assets.logs import capture
from ai_usage_assets.logs.json_logs import format_entry
from ai_usage_assets.settings import LogSettings
from ai_usage_assets_tests.conftest import LOADED_DAY, Company, copy_empty_warehouse, serve_company
from ai_usage_assets_tests.fakes.secret_manager import FakeSecretManager
from ai_usage_assets_tests.support.cli import ai_usage
from ai_usage_assets_tests.support.repository import REPOSITORY

KEY = "sk-ant-admin01-" + "Zz9_" * 20
LABELS = "logging.googleapis.com/labels"
IN_THE_CLOUD = {"CLOUD_RUN_JOB": "ai-usage-daily", "GOOGLE_CLOUD_PROJECT": "acme-ai"}


def entries(process: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Parses every line of stdout as an entry; stderr must be empty."""
    assert process.stderr == ""
    all_entries = [json.loads(line) for line in process.stdout.splitlines()]
    assert all(isinstance(entry, dict) and {"severity", "message", "time"} <= entry.keys() for entry in all_entries)
    return all_entries


def of_event(all_entries: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """The entries with this event."""
    return [entry for entry in all_entries if entry.get("event") == event]


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in another process, with the environment of a Cloud Run job."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, *(("-c", code) if code else ()), *arguments],
        env={**inherited, **IN_THE_CLOUD, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY,
    )


# --- entries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "severity"), [(5, "DEBUG"), (10, "DEBUG"), (20, "INFO"), (30, "WARNING"), (40, "ERROR"), (55, "CRITICAL")]
)
def test_severity_of_a_level(level: int, severity: str) -> None:
    """Every level maps to a severity of Cloud Logging, also levels between those of Python."""
    assert json.loads(format_entry(level, "x"))["severity"] == severity


def test_entry_has_the_fields_of_cloud_logging() -> None:
    """Time, labels, trace, source location and own fields have the names that Cloud Logging documents."""
    settings = LogSettings("json", "ai-usage-daily", "projects/p/traces/a", "b")
    line = format_entry(
        logging.INFO,
        "message",
        event="run_started",
        labels={"run_id": "r", "steps": 3, "day": None},
        created=1763992800.25,
        location=("/app/x.py", 7, "run"),
        settings=settings,
        rows=12,
        none=None,
    )
    assert "\n" not in line
    assert json.loads(line) == {
        "severity": "INFO",
        "message": "message",
        "time": "2025-11-24T14:00:00.250000Z",
        "event": "run_started",
        "rows": 12,
        LABELS: {"run_id": "r", "steps": "3"},
        "logging.googleapis.com/trace": "projects/p/traces/a",
        "logging.googleapis.com/spanId": "b",
        "logging.googleapis.com/sourceLocation": {"file": "/app/x.py", "line": "7", "function": "run"},
    }


@pytest.mark.parametrize("character", ["x", "\0", "ü", "🙂", '"', "\\"])
def test_long_message_keeps_its_start_and_end(character: str) -> None:
    """An entry stays below the limit of Cloud Logging; a long text loses only its middle."""
    text = f"begin{character * 70_000}end"
    line = format_entry(logging.ERROR, text, stack=text)
    assert len(line.encode()) < 256_000
    read = json.loads(line)
    for shortened in (read["message"], read["stack_trace"]):
        assert re.fullmatch(r"begin.*\d+ characters.*end", shortened, re.DOTALL)


class _WithoutText:
    def __str__(self) -> str:
        raise ValueError(KEY)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("0.1"), "0.1"),
        (datetime(2026, 11, 20, tzinfo=UTC), "2026-11-20 00:00:00+00:00"),
        (Path("/app"), "/app"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (0.5, 0.5),
        (True, True),
        ({1: {"a": [1, b"x"]}}, {"1": {"a": [1, "b'x'"]}}),
        ("half \ud83d a pair", "half ? a pair"),
        ("two\nlines\r\u2028three\x1b", "two\nlines\r\u2028three\x1b"),
        (_WithoutText(), "<_WithoutText without a text: ValueError>"),
        ([KEY, {"ada@acme.test": KEY}], ["[secret]", {"[e-mail]": "[secret]"}]),
    ],
)
def test_any_value_can_be_written(value: object, expected: object) -> None:
    """Values without a JSON type become text, lone surrogates are replaced, keys and addresses are redacted."""
    line = format_entry(logging.INFO, "x", field=value)
    assert json.loads(line)["field"] == expected
    assert json.loads(line.encode())["field"] == expected


def test_recursive_value() -> None:
    """A list that contains itself can be written."""
    endless: list[object] = []
    endless.append(endless)
    assert json.loads(format_entry(logging.INFO, "x", field=endless))["field"]


def test_every_part_of_an_entry_is_redacted() -> None:
    """Keys and addresses are redacted in message, stack, labels, fields and event, also where a text is cut."""
    secret = f"{KEY} of ada@acme.test "
    cut = "x" * (40_000 - 30) + " " + secret
    line = format_entry(
        logging.ERROR, cut + "x" * 50_000, event=secret, labels={"a": secret}, stack=secret, more=secret
    )
    assert "Zz9" not in line
    assert "acme.test" not in line


def test_an_error_is_one_that_error_reporting_takes() -> None:
    """An error with a stack, or with an error group, has the service and the version."""
    settings = LogSettings("json", "ai-usage-daily")
    with_stack = json.loads(format_entry(logging.ERROR, "x", stack="Traceback ...", settings=settings))
    named = json.loads(format_entry(logging.ERROR, "refused", error_group="cursor_spend", settings=settings))
    for entry in (with_stack, named):
        assert entry["@type"].endswith("clouderrorreporting.v1beta1.ReportedErrorEvent")
        assert entry["serviceContext"]["service"] == "ai-usage-daily"
        assert re.fullmatch(r"[0-9.]+", entry["serviceContext"]["version"])
    assert with_stack["stack_trace"] == "Traceback ..."
    assert named["context"]["reportLocation"]["functionName"] == "cursor_spend"
    assert "@type" not in json.loads(format_entry(logging.ERROR, "x"))


@pytest.mark.parametrize(
    ("environment", "logs", "trace"),
    [
        ({}, "console", None),
        ({"CLOUD_RUN_JOB": "j"}, "json", None),
        ({"CLOUD_RUN_JOB": "j", "AI_USAGE_LOGS": "CONSOLE"}, "console", None),
        ({"CLOUD_RUN_JOB": "j", "AI_USAGE_LOGS": "xml"}, "json", None),
        ({"AI_USAGE_LOGS": "loud", "AI_USAGE_NOW": "noon"}, "console", None),
        ({"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01"}, "console", None),
        ({"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01", "GOOGLE_CLOUD_PROJECT": "p"}, "console",
         f"projects/p/traces/{'a' * 32}"),
        ({"TRACEPARENT": "mine", "GOOGLE_CLOUD_PROJECT": "p"}, "console", None),
    ],
)  # fmt: skip
def test_log_settings_ignore_invalid_settings(environment: dict[str, str], logs: str, trace: str | None) -> None:
    """The log format is known even if other settings are invalid."""
    settings = LogSettings.from_environment(environment)
    assert (settings.log_format, settings.trace) == (logs, trace)


# --- a process ------------------------------------------------------------------------------------------------------

_ALL_KINDS_OF_OUTPUT = f"""
import logging, os, subprocess, sys, threading, warnings
from ai_usage_assets.logs import capture
capture.start_capture()
print("to stdout")
os.write(2, b"two\\nlines\\n")
os.write(2, b"I0000 00:00:00 a library in C\\n")
subprocess.run(["sh", "-c", "echo a child; echo {KEY} >&2"])
child = "from ai_usage_assets.logs import capture; capture.start_capture().write(40, 'an entry', a=1)"
subprocess.run([sys.executable, "-c", child])
warnings.warn("a warning")
logging.getLogger("google.auth").warning("sent to ada@acme.test")
try:
    {{}}["deep"]
except KeyError:
    logging.getLogger("urllib3").exception("caught")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
sys.stdout.write("no end of line")
try:
    raise OSError("the cause")
except OSError as error:
    raise ValueError("{KEY} of ada@acme.test") from error
"""


def test_all_output_of_a_process_becomes_entries() -> None:
    """Prints, C libraries, child processes, warnings, loggers, threads and the last exception become entries."""
    process = python(_ALL_KINDS_OF_OUTPUT)
    assert process.returncode == 1
    all_entries = entries(process)
    by_message = {entry["message"]: entry for entry in all_entries}
    # Lines of one write are one entry. `print` would write the end of the last line by itself.
    for part, severity in (("to stdout", "INFO"), ("two\nlines", "WARNING")):
        assert {e["severity"] for e in all_entries if part in e["message"]} == {severity}, part
    for part in ("a library in C", "a child", "[secret]", "no end of line"):
        assert any(part in message for message in by_message), part
    # A child that writes entries is not wrapped in another.
    assert (by_message["an entry"]["severity"], by_message["an entry"]["a"]) == ("ERROR", 1)
    (warned,) = (entry for entry in all_entries if "UserWarning: a warning" in entry["message"])
    assert (warned["severity"], warned["logger"]) == ("WARNING", "py.warnings")
    assert by_message["sent to [e-mail]"]["logger"] == "google.auth"
    assert by_message["sent to [e-mail]"]["logging.googleapis.com/sourceLocation"]["file"] == "<string>"
    assert "KeyError: 'deep'" in by_message["caught"]["stack_trace"]
    assert "ZeroDivisionError" in by_message["ZeroDivisionError: division by zero"]["stack_trace"]
    (crash,) = (entry for entry in all_entries if entry["message"] == "OSError: the cause")
    assert crash["severity"] == "CRITICAL"
    assert crash["stack_trace"].startswith("Traceback (most recent call last):")
    assert "direct cause of the following exception" in crash["stack_trace"]
    assert "ValueError: [secret] of [e-mail]" in crash["stack_trace"]
    assert "Zz9" not in process.stdout
    assert "acme.test" not in process.stdout


@pytest.mark.parametrize(
    ("arguments", "more", "code", "message"),
    [
        (("run", "--job", "weekly"), {}, 2, "weekly"),
        (("run",), {"AI_USAGE_NOW": "noon", "AI_USAGE_PACING": KEY}, 2, "AI_USAGE_NOW"),
        (("run", "--days", "1"), {"AI_USAGE_DUCKDB_PATH": "/dev/null"}, 1, "AI_USAGE_DUCKDB_PATH"),
    ],
)
def test_usage_error_is_an_entry(arguments: tuple[str, ...], more: dict[str, str], code: int, message: str) -> None:
    """An error before Dagster starts is one ERROR entry, and the exit code is the same as on a terminal."""
    process = ai_usage(*arguments, **{"AI_USAGE_NOW": "2026-11-20T14:00:00Z", **IN_THE_CLOUD, **more})
    assert process.returncode == code
    (refused,) = of_event(entries(process), "refused")
    assert refused["severity"] == "ERROR"
    assert message in refused["message"]
    assert "Zz9" not in process.stdout


# --- Dagster --------------------------------------------------------------------------------------------------------


def dagster(tmp_path: Path, code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command that `ai-usage run` executes, with the code location of a file."""
    home, file, folder = tmp_path / "dagster", tmp_path / "code_location.py", REPOSITORY / "deploy" / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((folder / "dagster.yaml").read_text())
    file.write_text(code)
    environment = {**launch.IGNORE_FUTURE_WARNINGS, **launch.GRPC_ERRORS_ONLY, "DAGSTER_HOME": str(home), **environment}
    options = ("-f", str(file), "-j", "daily", "-c", str(folder / "run.yaml"))
    return python(
        "", "-m", "ai_usage_assets.logs.dagster_process", "job", "execute", *options, *arguments, **environment
    )


def test_definitions_that_fail_to_load_are_one_entry(tmp_path: Path) -> None:
    """If Dagster cannot start, one entry has the reason and the exit code is 1."""
    process = dagster(tmp_path, "raise RuntimeError('ada@acme.test broke it')")
    assert process.returncode == 1
    (crash,) = entries(process)
    assert (crash["severity"], crash["event"]) == ("CRITICAL", "crashed")
    assert crash["message"] == "RuntimeError: [e-mail] broke it"
    assert "code_location.py" in crash["stack_trace"]


def test_failed_check_has_its_dollars(loaded_company: Company, capfd: pytest.CaptureFixture[str]) -> None:
    """A failed check is a WARNING entry with asset, check, day, and the affected dollars as text."""
    result = loaded_company.run(LOADED_DAY, selection=("kpi_unallocated", "int_key_mapping"), log_format="json")
    assert result.success
    all_entries = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    failed = {entry[LABELS]["check"]: entry for entry in of_event(all_entries, "check_failed")}
    assert failed.keys() == {name.partition(".")[2] for name in result.failed_checks()}
    coverage = failed["cost_center_coverage"]
    assert coverage["severity"] == "WARNING"
    assert coverage["blocking"] is False
    assert coverage[LABELS]["asset"] == "kpi_unallocated"
    assert coverage[LABELS]["day"] == LOADED_DAY
    assert Decimal(coverage["amount_usd"]) > 0
    (view,) = loaded_company.rows(
        "SELECT amount_usd FROM ai_usage.ops_check_results WHERE check_name = 'cost_center_coverage' AND NOT passed "
        "ORDER BY checked_at DESC LIMIT 1"
    )
    assert Decimal(coverage["amount_usd"]) == round(view["amount_usd"], 2)


def test_outputs_can_be_files(tmp_path: Path) -> None:
    """A usage error is one entry also if stdout and stderr are files."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        code = "from ai_usage_assets import cli; raise SystemExit(cli.main(['run', '--days', '0']))"
        process = subprocess.run(
            [sys.executable, "-c", code],
            env={**inherited, **IN_THE_CLOUD}, stdout=out, stderr=err, timeout=60, check=False, cwd=REPOSITORY,
        )  # fmt: skip
    assert process.returncode == 2
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert json.loads(line)["event"] == "refused"
    assert (tmp_path / "err").read_text() == ""


# The extracts of Cursor, one of Anthropic, and an asset that fails with all kinds of output. A whole job takes three
# times as long.
_CODE_LOCATION = f"""
import logging, warnings
import dagster as dg
from ai_usage_assets.defs.raw_assets import build_raw_assets
from ai_usage_assets.defs.resources import build_resources
from ai_usage_assets.logs.run_logger import run_logger
from ai_usage_assets.settings import Settings

@dg.asset
def raw_failing():
    print("printed")
    logging.getLogger("ai_usage_assets.http.client").warning("logged once")
    logging.getLogger("google.auth").warning("logged by a library")
    warnings.warn("warned")
    try:
        raise OSError("{KEY}")
    except OSError as error:
        raise ValueError("of ada@acme.test") from error

@dg.asset(deps=[raw_failing])
def behind():
    pass

settings = Settings.from_environment()
extracts = build_raw_assets(dg.DailyPartitionsDefinition("2026-10-01", end_date="2026-11-20"))
defs = dg.Definitions(
    assets=[raw_failing, behind, *(a for a in extracts if a.op.name.startswith(("cursor_", "anthropic_analytics")))],
    jobs=[dg.define_asset_job("daily", dg.AssetSelection.all())],
    resources=build_resources(settings),
    loggers={{"console": run_logger(settings.log_format)}},
    executor=dg.in_process_executor,
)
"""


@dataclass
class FailedRun:
    """The process of a run with failing steps, its entries, and the rows of Anthropic that it landed."""

    process: subprocess.CompletedProcess[str]
    entries: list[dict[str, Any]]
    keys: dict[str, str]
    landed: int


@pytest.fixture(scope="module")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> FailedRun:
    """A run in which an asset raises and Cursor rejects the key."""
    folder = tmp_path_factory.mktemp("failed_run")
    secrets = {vendor: f"projects/acme-ai/secrets/{vendor}-admin-key" for vendor in ("anthropic", "cursor")}
    with serve_company(copy_empty_warehouse(folder / "w.duckdb")) as company:
        simulator = company.simulator
        keys = {secrets["anthropic"]: simulator.ANTHROPIC_KEY, secrets["cursor"]: simulator.CURSOR_KEY}
        simulator.fault_options.cursor.unauthorized = True
        day = date.fromisoformat(LOADED_DAY)
        with FakeSecretManager(
            {secrets["anthropic"]: ["old", simulator.ANTHROPIC_KEY], secrets["cursor"]: [simulator.CURSOR_KEY]}
        ).serve() as address:
            environment = {
                **demo.simulator_environment(simulator, company.urls),
                "ANTHROPIC_ADMIN_KEY": secrets["anthropic"],
                "CURSOR_ADMIN_KEY": f"{secrets['cursor']}/versions/1",
                "SECRET_MANAGER_EMULATOR_HOST": address,
                "AI_USAGE_DUCKDB_PATH": str(company.settings.duckdb_path),
                "AI_USAGE_START_DATE": "2026-10-01",
            }
            tags = json.dumps(tags_for_range(DayRange(day, day)))
            process = dagster(folder, _CODE_LOCATION, "--tags", tags, **environment)
        (landed,) = company.rows(
            "SELECT SUM(records) AS n FROM ai_usage.ops_asset_days WHERE status = 'complete' AND vendor = 'anthropic'"
        )
    assert process.returncode == 1
    return FailedRun(process, entries(process), keys, int(landed["n"]))


def test_exception_in_a_step_is_one_entry_with_its_stack(failed_run: FailedRun) -> None:
    """An exception in a step is one ERROR entry with its causes; all other output is written once."""
    (crash,) = (entry for entry in failed_run.entries if "stack_trace" in entry)
    assert (crash["severity"], crash["event"]) == ("ERROR", "step_failed")
    assert crash["message"] == "raw_failing: ValueError: of [e-mail]"
    assert crash[LABELS]["asset"] == "raw_failing"
    stack = crash["stack_trace"]
    assert stack.startswith("Traceback (most recent call last):\n  File ")
    assert stack.index("OSError: [secret]") < stack.index("direct cause") < stack.index("ValueError: of [e-mail]")
    for part in ("printed", "logged once", "logged by a library", "UserWarning: warned"):
        (entry,) = (entry for entry in failed_run.entries if part in entry["message"])
        assert entry[LABELS]["run_id"]
    (skipped,) = (entry for entry in failed_run.entries if entry["message"].startswith("1 step "))
    assert skipped["severity"] == "ERROR"
    assert "resulted in failure" not in failed_run.process.stdout
    assert not any(secret in failed_run.process.stdout for secret in (*failed_run.keys.values(), "@acme.test", "Zz9"))


def test_entries_of_a_run_with_a_failing_vendor(failed_run: FailedRun) -> None:
    """The entries are the start, each failure with its next step, and the end with totals."""
    (start,) = of_event(failed_run.entries, "run_started")
    (end,) = of_event(failed_run.entries, "run_finished")
    assert failed_run.entries[-1] == end
    assert (start["days"], start["severity"]) == (LOADED_DAY, "INFO")
    assert (end["outcome"], end["severity"], end["days"]) == ("failed", "ERROR", LOADED_DAY)
    assert [*end["secret_versions"].items()] == [*zip(failed_run.keys, ("2", "1"), strict=True)]
    assert {entry[LABELS]["run_id"] for entry in failed_run.entries if LABELS in entry} == {start[LABELS]["run_id"]}
    # Every record that was landed is counted.
    assert end["rows"] == failed_run.landed > 0
    failed = of_event(failed_run.entries, "source_fetch_failed")
    # The five extracts of Cursor, the asset that raises, and the one behind it.
    assert (len(failed), end["steps_failed"], end["steps_skipped"]) == (5, 6, 1)
    for entry in failed:
        assert entry["severity"] == "ERROR"
        assert entry["source"] == entry[LABELS]["vendor"] == "cursor"
        assert "CURSOR_ADMIN_KEY" in entry["message"]
        assert entry["context"]["reportLocation"]["functionName"] == entry[LABELS]["step"]
    errors = [entry for entry in failed_run.entries if entry["severity"] not in ("INFO", "WARNING")]
    others = [entry for entry in errors if entry not in failed]
    assert [entry.get("event") for entry in others] == ["step_failed", None, "run_finished"]
    (by_message,) = (entry for entry in failed_run.entries if entry["message"].startswith("raw_anthropic_cost: 1 day"))
    assert by_message[LABELS] | {"run_id": ""} == {
        "run_id": "", "job": "daily", "day": LOADED_DAY, "step": "anthropic_analytics", "vendor": "anthropic",
        "asset": "raw_anthropic_cost",
    }  # fmt: skip


def test_capture_imports_nothing_heavy() -> None:
    """The capture imports neither Dagster nor Google's clients nor rich."""
    process = python(
        "import sys, ai_usage_assets.logs.capture; "
        "sys.exit(len({'dagster', 'google', 'rich', 'duckdb', 'grpc'} & {*sys.modules}))"
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_without_capture_the_outputs_are_unchanged() -> None:
    """Importing the module does not start the capture."""
    assert capture.current_writer() is None
