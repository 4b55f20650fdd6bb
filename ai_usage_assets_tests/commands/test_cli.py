"""The command line: exit codes, output, help, completion, and files left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from ai_usage_assets import cli
from ai_usage_assets.commands import demo, ui
from ai_usage_assets.settings import Settings
from ai_usage_assets.settings.variables import list_variables
from ai_usage_assets.simulator import Simulator
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets_tests.conftest import copy_empty_warehouse
from ai_usage_assets_tests.support.cli import ai_usage, call_main


def test_dry_run_changes_nothing(environment: dict[str, str], simulator: Simulator, tmp_path: Path) -> None:
    """A dry run prints the days and the command, sends no request and creates no file."""
    run = call_main("run", "--dry-run", **environment)
    assert run.returncode == 0
    assert "2026-11-01 to 2026-11-19 (UTC), 19 days" in run.stderr
    assert "dagster job execute -m ai_usage_assets.definitions -j daily" in run.stderr
    assert simulator.requests == []
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("run --day 2026-11-20", "not over yet"),
        ("run --day 2031-01-01", "not over yet"),
        ("run --day 2026-10-31", "AI_USAGE_START_DATE"),
        ("run --day soon", "yesterday"),
        ("run --days 0", "1 to 3660"),
        ("run --days -1", "1 to 3660"),
        ("run --days 2.5", "--days"),
        ("run --day --dry-run", "--day"),
        ("run --dayz 1", "--dayz"),
        ("run yesterday", "yesterday"),
        ("run --job weekly", "weekly"),
        ("run --no-dry-run", "--no-dry-run"),
        ("run --days 99999999999", "1 to 3660"),
        ("backfill --from 2026-11-01", "--to"),
        ("doctor --probe one two", "--probe"),
        ("status", "no warehouse"),
        ("status --days 0", "1 to 3660"),
        ("simulator --ports anthropic=0 cursor=0 sheets=99999", "--ports"),
        ("simulator --ports 0", "NAME=PORT"),
        (f"simulator --ports anthropic={'9' * 6000}", "65535"),
        ("simulator --ports openai=0", "openai"),
        ("ui --port 99999", "--port"),
        ("launch", "launch"),
        ("--port 1", "--port"),
        ("close --month=", "YYYY-MM"),
        ("close --month 9999-12", "YYYY-MM"),
        ("sql", "check"),
        ("metabase destroy", "destroy"),
    ],
)
def test_usage_errors_return_2(environment: dict[str, str], command: str, named: str) -> None:
    """A usage error is a message on stderr and exit code 2; nothing is started or created."""
    run = call_main(*command.split(), **environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert named in run.stderr
    assert not Path(environment["AI_USAGE_DUCKDB_PATH"]).parent.exists()


def test_the_process_exits_with_the_code_of_the_command(environment: dict[str, str]) -> None:
    """A process prints the message to stderr, without a traceback, and exits with 2."""
    run = ai_usage("run", "--days", "0", **environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert "1 to 3660" in run.stderr
    assert "Traceback" not in run.stderr


def test_invalid_and_unknown_settings_are_reported_together(environment: dict[str, str]) -> None:
    """The message about an invalid setting names the variable, and so does that about a misspelled one."""
    run = call_main("run", **{**environment, "AI_USAGE_DATSET": "private", "AI_USAGE_NOW": "noon"})
    assert run.returncode == 2
    assert "AI_USAGE_DATSET" in run.stderr
    assert "AI_USAGE_NOW" in run.stderr


COMMANDS = [
    *("demo", "doctor", "run", "backfill", "freshness", "status", "ui", "digest", "report", "close", "simulator"),
    *("focus export", "sql check", "metabase plan", "metabase apply", "metabase smoke", "metabase preview"),
]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`ai-usage` without arguments prints the same help as `--help`: every command, in the order of the tree."""
    assert cli.main(arguments) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if re.match(r"  [a-z]", line)]
    assert listed == [module.app.name[0] for module in cli._COMMANDS]
    assert {*listed} == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_an_example_and_its_settings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each command has one example of it, and the environment variables that it reads."""
    assert cli.main([*command.split(), "--help"]) == 0
    output = capsys.readouterr().out
    assert f"example:\n  ai-usage {command}" in output
    assert ("settings (environment variables" in output) == (command != "demo")


def test_help_lists_only_known_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Every environment variable that the help of a command lists is a setting."""
    listed: set[str] = set()
    for command in COMMANDS:
        cli.main([*command.split(), "--help"])
        listed |= set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", capsys.readouterr().out.partition("settings (")[2]))
    assert len(listed) > 20
    assert listed - {variable.name for variable in list_variables()} == set()


def test_unknown_variable_is_a_warning(environment: dict[str, str]) -> None:
    """A misspelled setting is one warning with the name that was probably meant, and the command continues."""
    run = call_main("run", "--dry-run", **environment, AI_USAGE_DATSET="private")
    assert run.returncode == 0
    (line,) = (line for line in run.stderr.splitlines() if "AI_USAGE_DATSET" in line)
    assert "AI_USAGE_DATASET" in line
    assert "private" not in run.stdout + run.stderr


def test_unknown_variable_is_one_log_entry(environment: dict[str, str]) -> None:
    """Where the logs are JSON, the warning of a misspelled setting is one entry."""
    run = ai_usage("run", "--dry-run", **environment, AI_USAGE_DATSET="private", AI_USAGE_LOGS="json")
    entries = [json.loads(line) for line in run.stdout.splitlines()]
    assert [entry["severity"] for entry in entries if entry.get("event") == "unknown_setting"] == ["WARNING"]
    assert run.stdout.count("AI_USAGE_DATSET") == 1


def help_pages(**environment: str) -> list[str]:
    """The help of some commands, printed to a pipe by one process."""
    code = (
        "from ai_usage_assets import cli\n"
        "for command in ('', 'run', 'metabase', 'metabase preview'):\n"
        "    assert cli.main([*command.split(), '--help']) == 0\n"
        "    print(end='\\f', flush=True)"
    )
    variables = {"PATH": os.environ["PATH"], **environment}
    process = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=True, timeout=60)
    assert process.stderr == b""
    return process.stdout.decode("ascii").split("\f")


def test_help_is_plain_text() -> None:
    """Help in a pipe is ASCII without color codes, fits the width, and breaks lines only between words."""
    wide = help_pages(COLUMNS="400")
    narrow = help_pages(COLUMNS="80")
    for columns, pages in ((80, narrow), (120, help_pages(COLUMNS="120", LC_ALL="C"))):
        assert "\x1b" not in "".join(pages)
        assert max(len(line) for page in pages for line in page.splitlines()) <= columns
        assert [page.split() for page in pages] == [page.split() for page in wide]
    assert help_pages(COLUMNS="80", NO_COLOR="1") == narrow


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`ai-usage --version` prints the version of the package."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ai-usage {version('ai-usage-assets')}\n"


def test_help_imports_nothing_heavy() -> None:
    """No help imports Dagster, an engine, Google's clients, pandas or pydantic, so that it prints at once."""
    code = (
        "import sys; from ai_usage_assets import cli\n"
        f"for command in {['', *COMMANDS]!r}: assert cli.main([*command.split(), '--help']) == 0\n"
        "heavy = {'dagster', 'duckdb', 'google', 'matplotlib', 'pandas', 'pyarrow', 'pydantic', 'sqlglot'}\n"
        "sys.exit(', '.join(heavy & {*sys.modules}) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == (0, "")


def test_a_usage_error_repeats_no_key(environment: dict[str, str]) -> None:
    """A key at the place of a command, an argument or a value is not printed."""
    key = "sk-ant-admin01-" + "Zz9_" * 20
    for command in ("{}", "run {}", "run --day {}", "run --days {}", "run --{}", "report --month {}"):
        run = call_main(*command.format(key).split(), **environment)
        assert run.returncode == 2, command
        assert key not in run.stdout + run.stderr, command


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The completion script of each shell."""
    folder = tmp_path_factory.mktemp("completion")
    paths = {shell: folder / shell for shell in ("bash", "zsh")}
    for shell, path in paths.items():
        written = call_main("--install-completion", "--shell", shell, "--output", str(path), HOME=str(folder / "home"))
        assert written.returncode == 0, written.stderr
    return paths


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("me", ["metabase"]),
        ("metabase pr", ["preview"]),
        ("run --da", ["--day", "--days"]),
        ("run --job re", ["rebuild"]),
        ("sql check --r", ["--real"]),
    ],
)
def test_completion_in_bash(words: str, completions: list[str], scripts: dict[str, Path]) -> None:
    """The completion script completes commands, options and their choices in bash."""
    code = (
        'source "$1"; read -ra COMP_WORDS <<< "ai-usage $2"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        'COMP_LINE="ai-usage $2"; COMP_POINT=${#COMP_LINE}; _ai_usage; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = ["bash", "--norc", "-c", code, "bash", str(scripts["bash"]), words]
    process = subprocess.run(bash, capture_output=True, text=True, timeout=60, check=False)
    assert process.stderr == ""
    assert [line.strip() for line in process.stdout.splitlines()] == completions


def test_completion_scripts_cover_every_command(scripts: dict[str, Path]) -> None:
    """The script of each shell names every command."""
    words = {word for command in COMMANDS for word in command.split()} | {"accept-loss"}
    for shell, path in scripts.items():
        script = path.read_text()
        assert [word for word in words if not re.search(rf"\b{word}\b", script)] == [], shell


def test_file_that_is_not_a_warehouse(environment: dict[str, str], tmp_path: Path) -> None:
    """A path to another kind of file fails at once with the name of its setting."""
    path = tmp_path / "blocks.duckdb"
    path.write_text("not a warehouse")
    run = call_main("run", "--days", "1", **{**environment, "AI_USAGE_DUCKDB_PATH": str(path)})
    assert run.returncode == 1
    assert "AI_USAGE_DUCKDB_PATH" in run.stderr.splitlines()[-1]


def test_status_before_any_run_has_ended(environment: dict[str, str]) -> None:
    """After a first run that was killed, status shows that run as interrupted."""
    path = Path(environment["AI_USAGE_DUCKDB_PATH"])
    path.parent.mkdir()
    warehouse = DuckDBWarehouse(copy_empty_warehouse(path))
    start = datetime(2026, 11, 20, 6, tzinfo=UTC)
    run = {"run_id": "r" * 8, "job": "daily", "started_at": start, "outcome": "running", "version": "1"}
    warehouse.append(OPS_RUNS, [run])
    entry = {"asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": date(2026, 11, 10), "is_daily": True}
    warehouse.append(OPS_ASSET_DAYS, [{**entry, "status": "complete", "attempted_at": start, "run_id": "r" * 8}])
    warehouse.close()
    status = call_main("status", **environment)
    assert status.returncode == 0, status.stderr
    assert "interrupted" in status.stdout


def test_demo_never_uses_a_real_warehouse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo has its own DuckDB file and run history, whatever the shell is configured for."""
    monkeypatch.setenv("AI_USAGE_WAREHOUSE", "bigquery")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "real")
    monkeypatch.setenv("DAGSTER_PG_URL", "postgresql+psycopg2:///real")
    with demo.serve_company() as (_, variables):
        settings = Settings.from_environment(variables)
    assert (settings.warehouse, settings.dagster_postgres_url) == ("duckdb", None)
    assert settings.duckdb_path.parts[-2:] == ("demo", "warehouse.duckdb")


@pytest.mark.parametrize(
    ("setting", "is_configured"),
    [
        ({}, False),
        ({"AI_USAGE_DUCKDB_PATH": str(demo.WAREHOUSE)}, False),
        ({"DAGSTER_PG_URL": "postgresql+psycopg2://host/dagster"}, True),
        ({"AI_USAGE_SHEET_ID": "sheet"}, True),
        ({"CURSOR_ADMIN_KEY": "key"}, True),
        ({"DAGSTER_HOME": "home"}, True),
        ({"AI_USAGE_WAREHOUSE": "bigquery", "GOOGLE_CLOUD_PROJECT": "p"}, True),
        ({"AI_USAGE_DUCKDB_PATH": __file__}, True),
    ],
)
def test_the_ui_shows_the_demo_only_if_nothing_is_configured(
    setting: dict[str, str], is_configured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source, a warehouse or a run history of the user's own is shown instead of the simulated company."""
    monkeypatch.chdir(tmp_path)
    assert ui.is_configured(Settings.from_environment(setting)) is is_configured
