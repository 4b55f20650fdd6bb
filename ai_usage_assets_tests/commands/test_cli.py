"""`ai-usage` as a process: exit codes, output, and files left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pytest

from ai_usage_assets import catalog, cli
from ai_usage_assets.commands import demo, ui
from ai_usage_assets.settings import Settings
from ai_usage_assets.settings.variables import list_variables
from ai_usage_assets.simulator import Simulator, Urls
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.ops_tables import OPS_ASSET_DAYS, OPS_RUNS
from ai_usage_assets_tests.conftest import NOW

Environment = dict[str, str]


@pytest.fixture
def simulator() -> Simulator:
    """A simulated company."""
    return Simulator(NOW)


@pytest.fixture
def urls(simulator: Simulator) -> Iterator[Urls]:
    """The addresses of its APIs."""
    with simulator.serve() as served:
        yield served


@pytest.fixture
def environment(simulator: Simulator, urls: Urls, tmp_path: Path) -> Environment:
    """The environment variables of a run against it."""
    return {
        **demo.simulator_environment(simulator, urls),
        "AI_USAGE_DUCKDB_PATH": str(tmp_path / "w" / "ai_usage.duckdb"),
        "AI_USAGE_START_DATE": "2026-11-01",
    }


def ai_usage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process that inherits no settings."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", "import sys; from ai_usage_assets.cli import main; sys.exit(main())", *arguments],
        env={**inherited, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_dry_run_changes_nothing(environment: Environment, simulator: Simulator, tmp_path: Path) -> None:
    """A dry run prints the days and the command, sends no request and creates no file."""
    run = ai_usage("run", "--dry-run", **environment)
    assert run.returncode == 0
    assert "2026-11-01 to 2026-11-19 (UTC), 19 days" in run.stderr
    assert "dagster job execute -m ai_usage_assets.definitions -j daily" in run.stderr
    assert simulator.requests == []
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--day", "2026-11-20"), "not over yet"),
        (("run", "--day", "2031-01-01"), "not over yet"),
        (("run", "--day", "2026-10-31"), "AI_USAGE_START_DATE"),
        (("run", "--day", "soon"), "it takes yesterday"),
        (("run", "--days", "0"), "1 to 3660"),
        (("run", "--days", "-1"), "1 to 3660"),
        (("run", "--days", "2.5"), "--days"),
        (("run", "--day", "--dry-run"), "--day"),
        (("run", "--dayz", "1"), "--dayz"),
        (("run", "yesterday"), "yesterday"),
        (("run", "--job", "weekly"), "weekly"),
        (("run", "--no-dry-run"), "--no-dry-run"),
        (("run", "--days", "99999999999"), "1 to 3660"),
        (("backfill", "--from", "2026-11-01"), "--to"),
        (("doctor", "--probe", "one", "two"), "--probe"),
        (("status",), "There is no warehouse"),
        (("status", "--days", "0"), "1 to 3660"),
        (("simulator", "--ports", "anthropic=0", "cursor=0", "sheets=99999"), "--ports"),
        (("simulator", "--ports", "0"), "NAME=PORT"),
        (("simulator", "--ports", "openai=0"), "openai"),
        (("ui", "--port", "99999"), "--port"),
        (("launch",), "launch"),
        (("--port", "1"), "--port"),
        (("close", "--month", ""), "it takes YYYY-MM"),
        (("close", "--month", "9999-12"), "it takes YYYY-MM"),
        (("sql",), "check"),
        (("metabase", "destroy"), "destroy"),
    ],
)
def test_usage_errors_exit_with_2(environment: Environment, arguments: tuple[str, ...], message: str) -> None:
    """A usage error is a message without a traceback, and exit code 2."""
    run = ai_usage(*arguments, **environment)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_invalid_setting_exits_with_2(environment: Environment) -> None:
    """The message about an invalid setting names the variable."""
    run = ai_usage("run", **{**environment, "AI_USAGE_NOW": "noon"})
    assert run.returncode == 2
    assert "AI_USAGE_NOW" in run.stderr
    assert "Traceback" not in run.stderr


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


def test_unknown_variable_is_a_warning(environment: Environment) -> None:
    """A misspelled setting is one warning with the name that was probably meant, and the command continues."""
    run = ai_usage("run", "--dry-run", **environment, AI_USAGE_DATSET="private")
    assert run.returncode == 0
    assert [line for line in run.stderr.splitlines() if "AI_USAGE_DATSET" in line and "AI_USAGE_DATASET" in line]
    assert run.stderr.count("AI_USAGE_DATSET") == 1
    assert "private" not in run.stdout + run.stderr


def test_unknown_variable_is_one_log_entry(environment: Environment) -> None:
    """Where the logs are JSON, the warning of a misspelled setting is one entry."""
    run = ai_usage("run", "--dry-run", **environment, AI_USAGE_DATSET="private", AI_USAGE_LOGS="json")
    entries = [json.loads(line) for line in run.stdout.splitlines()]
    assert [entry["severity"] for entry in entries if entry.get("event") == "unknown_setting"] == ["WARNING"]
    assert run.stdout.count("AI_USAGE_DATSET") == 1


def test_unknown_variable_is_reported_with_invalid_ones(environment: Environment) -> None:
    """A misspelled setting and an invalid one are reported by the same command."""
    run = ai_usage("run", **{**environment, "AI_USAGE_DATSET": "private", "AI_USAGE_NOW": "noon"})
    assert run.returncode == 2
    assert "AI_USAGE_DATSET" in run.stderr
    assert "AI_USAGE_NOW" in run.stderr


def test_dagster_does_not_repeat_the_warning(environment: Environment) -> None:
    """The code location, which a command loads in a child process, prints nothing about a misspelled setting."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    process = subprocess.run(
        [sys.executable, "-c", "import ai_usage_assets.definitions"],
        env={**inherited, **environment, "AI_USAGE_DATSET": "private"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0
    assert "AI_USAGE_DATSET" not in process.stdout + process.stderr


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["", "run", "metabase", "metabase preview"])
def test_help_is_plain_text(command: str, columns: int) -> None:
    """Help in a pipe has no color codes, fits the width, and breaks lines only between words."""
    pages = [
        ai_usage(*command.split(), "--help", **{**variables, "COLUMNS": str(columns)})
        for variables in ({}, {"LC_ALL": "C"}, {"NO_COLOR": "1"})
    ]
    assert {(page.returncode, page.stderr) for page in pages} == {(0, "")}
    assert len({page.stdout for page in pages}) == 1
    wide = ai_usage(*command.split(), "--help", COLUMNS="400")
    assert pages[0].stdout.isascii()
    assert "\x1b" not in pages[0].stdout
    assert max(map(len, pages[0].stdout.splitlines())) <= columns
    assert pages[0].stdout.split() == wide.stdout.split()


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
def test_completion_in_bash(words: str, completions: list[str], tmp_path: Path) -> None:
    """The completion script completes commands, options and their choices in bash."""
    script = tmp_path / "completion.bash"
    assert (
        ai_usage("--install-completion", "--shell", "bash", "--output", str(script), HOME=str(tmp_path)).returncode == 0
    )
    code = (
        'source "$1"; read -ra COMP_WORDS <<< "ai-usage $2"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        'COMP_LINE="ai-usage $2"; COMP_POINT=${#COMP_LINE}; _ai_usage; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = ["bash", "--norc", "-c", code, "bash", str(script), words]
    process = subprocess.run(bash, capture_output=True, text=True, timeout=60, check=False)
    assert process.stderr == ""
    assert [line.strip() for line in process.stdout.splitlines()] == completions


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_script_covers_every_command(shell: Literal["bash", "zsh"], tmp_path: Path) -> None:
    """The printed script of each shell names every command, and nothing is installed."""
    process = ai_usage("--install-completion", "--shell", shell, "--output", "/dev/stdout", HOME=str(tmp_path))
    assert process.returncode == 0
    assert all(re.search(rf"\b{word}\b", process.stdout) for command in COMMANDS for word in command.split())
    assert "--accept-loss" in process.stdout


def test_file_that_is_not_a_warehouse(environment: Environment, tmp_path: Path) -> None:
    """A path to another kind of file fails at once with the name of its setting."""
    path = tmp_path / "blocks.duckdb"
    path.write_text("not a warehouse")
    run = ai_usage("run", "--days", "1", **{**environment, "AI_USAGE_DUCKDB_PATH": str(path)})
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "AI_USAGE_DUCKDB_PATH" in run.stderr.splitlines()[-1]


def test_status_before_any_run_has_ended(environment: Environment) -> None:
    """After a first run that was killed, status shows that run as interrupted."""
    warehouse = DuckDBWarehouse(Path(environment["AI_USAGE_DUCKDB_PATH"]))
    warehouse.prepare(catalog.tables())
    start = datetime(2026, 11, 20, 6, tzinfo=UTC)
    run = {"run_id": "r" * 8, "job": "daily", "started_at": start, "outcome": "running", "version": "1"}
    warehouse.append(OPS_RUNS, [run])
    entry = {"asset": "raw_anthropic_cost", "vendor": "anthropic", "usage_date": date(2026, 11, 10), "is_daily": True}
    warehouse.append(OPS_ASSET_DAYS, [{**entry, "status": "complete", "attempted_at": start, "run_id": "r" * 8}])
    warehouse.close()
    status = ai_usage("status", **environment)
    assert status.returncode == 0, status.stderr
    assert "The last run was interrupted" in status.stdout


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
