"""What Cloud Logging gets: the shape of entries, and that a process says nothing else, however it ends."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ai_usage_assets.commands import demo, launch
from ai_usage_assets.logs import capture
from ai_usage_assets.logs.json_logs import format_entry
from ai_usage_assets.settings import LogSettings
from ai_usage_assets_tests.conftest import HELD, Company
from ai_usage_assets_tests.fakes.secret_manager import FakeSecrets
from ai_usage_assets_tests.faults.runs import ai_usage
from ai_usage_assets_tests.support.repository import REPOSITORY

KEY = "sk-ant-admin01-" + "Zz9_" * 20
LABELS = "logging.googleapis.com/labels"
IN_THE_CLOUD = {"CLOUD_RUN_JOB": "ai-usage-daily", "GOOGLE_CLOUD_PROJECT": "acme-ai"}


def entries(said: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Every line of stdout as the entry it is; there is nothing else, and stderr is silent."""
    assert said.stderr == ""
    found = [json.loads(line) for line in said.stdout.splitlines()]
    assert all(isinstance(one, dict) and {"severity", "message", "time"} <= one.keys() for one in found)
    return found


def of_event(found: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """The entries of an event."""
    return [one for one in found if one.get("event") == event]


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, as in a container."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, *(("-c", code) if code else ()), *arguments],
        env={**kept, **IN_THE_CLOUD, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=REPOSITORY,
    )


# --- an entry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "severity"), [(5, "DEBUG"), (10, "DEBUG"), (20, "INFO"), (30, "WARNING"), (40, "ERROR"), (55, "CRITICAL")]
)
def test_a_level_is_a_severity(level: int, severity: str) -> None:
    """Cloud Logging's words, for levels between Python's too."""
    assert json.loads(format_entry(level, "x"))["severity"] == severity


def test_an_entry_has_the_names_that_cloud_logging_reads() -> None:
    """Time, labels as texts, trace, place and fields of one's own are where the documentation says."""
    settings = LogSettings("json", "ai-usage-daily", "projects/p/traces/a", "b")
    line = format_entry(
        logging.INFO,
        "said",
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
        "message": "said",
        "time": "2025-11-24T14:00:00.250000Z",
        "event": "run_started",
        "rows": 12,
        LABELS: {"run_id": "r", "steps": "3"},
        "logging.googleapis.com/trace": "projects/p/traces/a",
        "logging.googleapis.com/spanId": "b",
        "logging.googleapis.com/sourceLocation": {"file": "/app/x.py", "line": "7", "function": "run"},
    }


@pytest.mark.parametrize("character", ["x", "\0", "ü", "🙂", '"', "\\"])
def test_a_long_message_keeps_its_ends_and_fits(character: str) -> None:
    """An entry stays below what Cloud Logging takes, whatever it is made of; begin and end of a text are there."""
    line = format_entry(logging.ERROR, f"begin{character * 100_000}end", stack=f"begin{character * 100_000}end")
    assert len(line.encode()) < 256_000
    read = json.loads(line)
    for text in (read["message"], read["stack_trace"]):
        assert text.startswith("begin")
        assert text.endswith("end")
        assert "characters ..." in text


class _Unspeakable:
    def __str__(self) -> str:
        raise ValueError(KEY)


@pytest.mark.parametrize(
    ("value", "shown"),
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
        (_Unspeakable(), "<_Unspeakable without a text: ValueError>"),
        ([KEY, {"ada@acme.test": KEY}], ["[secret]", {"[e-mail]": "[secret]"}]),
    ],
)
def test_any_value_can_be_told(value: object, shown: object) -> None:
    """What JSON does not know is told as text, half a character is none, and keys and addresses are told nowhere."""
    line = format_entry(logging.INFO, "x", found=value)
    assert json.loads(line)["found"] == shown
    assert json.loads(line.encode())["found"] == shown


def test_what_holds_itself_ends() -> None:
    """A list that is in itself becomes an entry all the same."""
    endless: list[object] = []
    endless.append(endless)
    assert json.loads(format_entry(logging.INFO, "x", found=endless))["found"]


def test_nothing_secret_is_in_any_part_of_an_entry() -> None:
    """A key or an address in the message, the stack, a label, a field or the event is gone, and where a text is cut."""
    secret = f"{KEY} of ada@acme.test "
    cut = "x" * (40_000 - 30) + " " + secret
    line = format_entry(
        logging.ERROR, cut + "x" * 50_000, event=secret, labels={"a": secret}, stack=secret, more=secret
    )
    assert "Zz9" not in line
    assert "acme.test" not in line


def test_an_error_is_one_that_error_reporting_takes() -> None:
    """With a stack, or by name without one, an error says which service and version it is of."""
    settings = LogSettings("json", "ai-usage-daily")
    with_stack = json.loads(format_entry(logging.ERROR, "x", stack="Traceback ...", settings=settings))
    named = json.loads(format_entry(logging.ERROR, "refused", error_group="cursor_spend", settings=settings))
    for one in (with_stack, named):
        assert one["@type"].endswith("clouderrorreporting.v1beta1.ReportedErrorEvent")
        assert one["serviceContext"]["service"] == "ai-usage-daily"
        assert re.fullmatch(r"[0-9.]+", one["serviceContext"]["version"])
    assert with_stack["stack_trace"] == "Traceback ..."
    assert named["context"]["reportLocation"]["functionName"] == "cursor_spend"
    assert "@type" not in json.loads(format_entry(logging.ERROR, "x"))


@pytest.mark.parametrize(
    ("environment", "logs", "trace"),
    [
        ({}, "console", None),
        ({"CLOUD_RUN_JOB": "j"}, "json", None),
        ({"CLOUD_RUN_JOB": "j", "AI_USAGE_LOGS": "console"}, "console", None),
        ({"AI_USAGE_LOGS": "loud", "AI_USAGE_NOW": "noon"}, "console", None),
        ({"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01"}, "console", None),
        ({"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01", "GOOGLE_CLOUD_PROJECT": "p"}, "console",
         f"projects/p/traces/{'a' * 32}"),
        ({"TRACEPARENT": "mine", "GOOGLE_CLOUD_PROJECT": "p"}, "console", None),
    ],
)  # fmt: skip
def test_who_reads_is_known_before_anything_else(environment: dict[str, str], logs: str, trace: str | None) -> None:
    """Wrong settings do not hide who must be told of them."""
    settings = LogSettings.from_environment(environment)
    assert (settings.log_format, settings.trace) == (logs, trace)


# --- a process ------------------------------------------------------------------------------------------------------

_TALKS = f"""
import logging, os, subprocess, sys, threading, warnings
from ai_usage_assets.logs import capture
capture.start_capture()
print("to stdout")
print("two\\nlines", file=sys.stderr)
os.write(2, b"I0000 00:00:00 a library in C\\n")
subprocess.run(["sh", "-c", "echo a child; echo {KEY} >&2"])
own = "from ai_usage_assets.logs import capture; capture.start_capture().write(40, 'an entry', a=1)"
subprocess.run([sys.executable, "-c", own])
warnings.warn("a warning")
logging.getLogger("google.auth").warning("said to ada@acme.test")
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


def test_whatever_a_process_says_is_an_entry() -> None:
    """Prints, libraries in C, children, warnings, loggers, threads and the exception that ends it: all in entries."""
    done = python(_TALKS)
    assert done.returncode == 1
    found = entries(done)
    told = {one["message"]: one for one in found}
    assert told["to stdout"]["severity"] == "INFO"
    assert any("two\nlines" in message and told[message]["severity"] == "WARNING" for message in told)
    for part in ("a library in C", "a child", "[secret]", "no end of line"):
        assert any(part in message for message in told), part
    # A child that writes entries is not wrapped in another.
    assert (told["an entry"]["severity"], told["an entry"]["a"]) == ("ERROR", 1)
    (warned,) = (one for one in found if "UserWarning: a warning" in one["message"])
    assert (warned["severity"], warned["logger"]) == ("WARNING", "py.warnings")
    assert told["said to [e-mail]"]["logger"] == "google.auth"
    assert told["said to [e-mail]"]["logging.googleapis.com/sourceLocation"]["file"] == "<string>"
    assert "KeyError: 'deep'" in told["caught"]["stack_trace"]
    assert "ZeroDivisionError" in told["ZeroDivisionError: division by zero"]["stack_trace"]
    (crash,) = (one for one in found if one["message"] == "OSError: the cause")
    assert crash["severity"] == "CRITICAL"
    assert crash["stack_trace"].startswith("Traceback (most recent call last):")
    assert "direct cause of the following exception" in crash["stack_trace"]
    assert "ValueError: [secret] of [e-mail]" in crash["stack_trace"]
    assert "Zz9" not in done.stdout
    assert "acme.test" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "more", "code", "says"),
    [
        (("run", "--day", "soon"), {}, 2, "it takes yesterday"),
        (("run", "--job", "weekly"), {}, 2, "invalid choice"),
        (("run",), {"AI_USAGE_NOW": "noon", "AI_USAGE_PACING": KEY}, 2, "AI_USAGE_NOW"),
        (("run", "--days", "1"), {"AI_USAGE_DUCKDB_PATH": "/dev/null"}, 1, "AI_USAGE_DUCKDB_PATH"),
    ],
)
def test_a_command_that_is_refused_says_so_in_an_entry(
    arguments: tuple[str, ...], more: dict[str, str], code: int, says: str
) -> None:
    """Before Dagster is there, what is wrong is one ERROR, and the exit code is as for a person."""
    done = ai_usage(*arguments, **{"AI_USAGE_NOW": "2026-11-20T14:00:00Z", **IN_THE_CLOUD, **more})
    assert done.returncode == code
    (refused,) = of_event(entries(done), "refused")
    assert refused["severity"] == "ERROR"
    assert says in refused["message"]
    assert "Zz9" not in done.stdout


# --- Dagster --------------------------------------------------------------------------------------------------------

_CRASHES = f"""
import logging, warnings
import dagster as dg
from ai_usage_assets.logs.run_logger import run_logger

@dg.asset
def raw_cursor_spend(context):
    print("printed")
    logging.getLogger("ai_usage_assets.http.client").warning("told once")
    logging.getLogger("google.auth").warning("told by a library")
    warnings.warn("warned")
    try:
        raise OSError("{KEY}")
    except OSError as error:
        raise ValueError("of ada@acme.test") from error

@dg.asset(deps=[raw_cursor_spend])
def behind():
    pass

defs = dg.Definitions(
    assets=[raw_cursor_spend, behind],
    jobs=[dg.define_asset_job("daily", dg.AssetSelection.all())],
    loggers={{"console": run_logger("json")}},
    executor=dg.in_process_executor,
)
"""


def dagster(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Dagster's command as `ai-usage run` becomes it."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((REPOSITORY / "deploy" / "dagster" / "dagster.yaml").read_text())
    environment = {**launch.IGNORE_FUTURE_WARNINGS, **launch.GRPC_ERRORS_ONLY, "DAGSTER_HOME": str(home)}
    return python("", "-m", "ai_usage_assets.logs.dagster_process", "job", "execute", *arguments, **environment)


def test_a_crash_in_a_step_is_one_entry_with_its_stack(tmp_path: Path) -> None:
    """An exception of ours inside Dagster is one ERROR with its causes; whatever else is said is an entry, once."""
    (tmp_path / "crash.py").write_text(_CRASHES)
    config = str(REPOSITORY / "deploy" / "dagster" / "run.yaml")
    done = dagster(tmp_path, "-f", str(tmp_path / "crash.py"), "-j", "daily", "-c", config)
    assert done.returncode == 1
    found = entries(done)
    (crash,) = (one for one in found if "stack_trace" in one)
    assert (crash["severity"], crash["event"]) == ("ERROR", "step_failed")
    assert crash["message"] == "raw_cursor_spend: ValueError: of [e-mail]"
    assert crash[LABELS]["vendor"] == "cursor"
    assert crash[LABELS]["asset"] == "raw_cursor_spend"
    stack = crash["stack_trace"]
    assert stack.startswith("Traceback (most recent call last):\n  File ")
    assert stack.index("OSError: [secret]") < stack.index("direct cause") < stack.index("ValueError: of [e-mail]")
    for part in ("printed", "told once", "told by a library", "UserWarning: warned"):
        (one,) = (one for one in found if part in one["message"])
        assert one[LABELS]["run_id"]
    (end,) = of_event(found, "run_finished")
    assert (end["severity"], end["outcome"], end["steps_failed"], end["steps_skipped"]) == ("ERROR", "failed", 1, 1)
    assert "resulted in failure" not in done.stdout
    assert "Zz9" not in done.stdout


def test_what_cannot_be_loaded_is_one_entry(tmp_path: Path) -> None:
    """When Dagster itself cannot begin, there is one entry that says why, and the exit code is 1."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('ada@acme.test broke it')")
    done = dagster(tmp_path, "-f", str(tmp_path / "broken.py"), "-j", "daily")
    assert done.returncode == 1
    (crash,) = entries(done)
    assert (crash["severity"], crash["event"]) == ("CRITICAL", "crashed")
    assert crash["message"] == "RuntimeError: [e-mail] broke it"
    assert "broken.py" in crash["stack_trace"]


def test_a_failed_check_is_told_with_its_dollars(holding: Company, capfd: pytest.CaptureFixture[str]) -> None:
    """A check that does not hold is a WARNING with asset, check, day, and the dollars it touches, as text."""
    result = holding.run(HELD, lane=("kpi_unallocated", "int_key_mapping"), log_format="json")
    assert result.success
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    failed = {one[LABELS]["check"]: one for one in of_event(found, "check_failed")}
    assert failed.keys() == {name.partition(".")[2] for name in result.failed_checks()}
    coverage = failed["cost_center_coverage"]
    assert coverage["severity"] == "WARNING"
    assert coverage["blocking"] is False
    assert coverage[LABELS]["asset"] == "kpi_unallocated"
    assert coverage[LABELS]["day"] == HELD
    assert Decimal(coverage["amount_usd"]) > 0
    (view,) = holding.rows(
        "SELECT amount_usd FROM ai_usage.ops_check_results WHERE check_name = 'cost_center_coverage' AND NOT passed "
        "ORDER BY checked_at DESC LIMIT 1"
    )
    assert Decimal(coverage["amount_usd"]) == round(view["amount_usd"], 2)


def test_outputs_may_be_files(tmp_path: Path) -> None:
    """What is refused is one entry with its exit code, also where stdout and stderr are files."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        code = "from ai_usage_assets import cli; raise SystemExit(cli.main(['run', '--days', '0']))"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, **IN_THE_CLOUD}, stdout=out, stderr=err, timeout=60, check=False, cwd=REPOSITORY,
        )  # fmt: skip
    assert done.returncode == 2
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert json.loads(line)["event"] == "refused"
    assert (tmp_path / "err").read_text() == ""


# --- the whole job --------------------------------------------------------------------------------------------------


def own(company: Company, tmp_path: Path, secrets: str) -> dict[str, str]:
    """A job's settings: keys are names of secrets, and logs are read by Cloud Logging."""
    return {
        **demo.simulator_environment(company.simulator, company.urls),
        **IN_THE_CLOUD,
        "ANTHROPIC_ADMIN_KEY": "projects/acme-ai/secrets/anthropic-admin-key",
        "CURSOR_ADMIN_KEY": "projects/acme-ai/secrets/cursor-admin-key/versions/1",
        "SECRET_MANAGER_EMULATOR_HOST": secrets,
        "AI_USAGE_DUCKDB_PATH": str(tmp_path / "w" / "ai_usage.duckdb"),
        "AI_USAGE_START_DATE": "2026-10-01",
    }


RUN = ("run", "--day", HELD, "--days", "1")


def held_keys(company: Company) -> FakeSecrets:
    """Both keys in Secret Manager; Anthropic's was changed once."""
    return FakeSecrets({
        "projects/acme-ai/secrets/anthropic-admin-key": ["old", company.simulator.ANTHROPIC_KEY],
        "projects/acme-ai/secrets/cursor-admin-key": [company.simulator.CURSOR_KEY],
    })  # fmt: skip


def assert_nothing_secret(company: Company, said: str) -> None:
    """Neither key nor address of anybody is in it."""
    for secret in (company.simulator.ANTHROPIC_KEY, company.simulator.CURSOR_KEY, "@acme.test"):
        assert secret not in said


def test_a_run_with_a_vendor_down_is_told_in_entries(company: Company, tmp_path: Path) -> None:
    """Start, each vendor's failure with what to do, and end with its sums: nothing else, and nothing secret."""
    company.simulator.fault_options.cursor.unauthorized = True
    with held_keys(company).serve() as secrets:
        done = ai_usage(*RUN, **own(company, tmp_path, secrets))
    assert done.returncode == 1
    found = entries(done)
    assert_nothing_secret(company, done.stdout)
    assert any("dagster job execute -m ai_usage_assets.definitions -j daily" in one["message"] for one in found)
    (start,) = of_event(found, "run_started")
    (end,) = of_event(found, "run_finished")
    assert found[-1] == end
    assert (start["days"], start["severity"]) == (HELD, "INFO")
    assert (end["outcome"], end["severity"], end["days"]) == ("failed", "ERROR", HELD)
    assert end["secret_versions"] == {
        "projects/acme-ai/secrets/anthropic-admin-key": "2",
        "projects/acme-ai/secrets/cursor-admin-key": "1",
    }
    assert {one[LABELS]["run_id"] for one in found if LABELS in one} == {start[LABELS]["run_id"]}
    # Every record that was landed is counted.
    (landed,) = replaced(company, tmp_path).rows(
        "SELECT SUM(records) AS n FROM ai_usage.ops_asset_days WHERE status = 'complete' AND vendor = 'anthropic'"
    )
    assert end["rows"] == landed["n"] > 0
    failed = of_event(found, "source_fetch_failed")
    assert len(failed) == end["steps_failed"] == 5
    for one in failed:
        assert one["severity"] == "ERROR"
        assert one["source"] == one[LABELS]["vendor"] == "cursor"
        assert "CURSOR_ADMIN_KEY" in one["message"]
        assert one["context"]["reportLocation"]["functionName"] == one[LABELS]["step"]
    errors = [one for one in found if one["severity"] not in ("INFO", "WARNING")]
    # And one that counts the steps behind them.
    assert len(errors) == len(failed) + 2
    (told,) = (one for one in found if one["message"].startswith("raw_anthropic_cost: 1 day"))
    assert told[LABELS] | {"run_id": ""} == {
        "run_id": "", "job": "daily", "day": HELD, "step": "anthropic_analytics", "vendor": "anthropic",
        "asset": "raw_anthropic_cost",
    }  # fmt: skip


def replaced(company: Company, tmp_path: Path) -> Company:
    """The company, with the warehouse the process wrote."""
    path = tmp_path / "w" / "ai_usage.duckdb"
    return replace(company, settings=replace(company.settings, duckdb_path=path))


def test_lines_cost_little_to_load() -> None:
    """What makes entries loads neither Dagster nor the clients of Google nor rich."""
    done = python(
        "import sys, ai_usage_assets.logs.capture; "
        "sys.exit(len({'dagster', 'google', 'rich', 'duckdb', 'grpc'} & {*sys.modules}))"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_that_was_not_asked_keeps_its_outputs() -> None:
    """Without `install` nothing is taken over."""
    assert capture.current_writer() is None
