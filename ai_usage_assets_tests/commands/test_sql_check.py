"""`ai-usage sql check` without BigQuery: syntax, tables and columns of every file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from ai_usage_assets.commands import sql_check
from ai_usage_assets.warehouse.sql_files import sql_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of `sql/`."""
    return shutil.copytree(sql_folder(), tmp_path / "sql")


def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the output."""
    code = sql_check.check_offline(Console(width=200), folder)
    return code, capsys.readouterr().out


def test_every_file_is_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files of the project are counted as valid."""
    count = len(list(folder.rglob("*.sql")))
    code, output = check(folder, capsys)
    assert (code, f"{count} of {count} SQL files are valid" in output) == (0, True)


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("kpi/kpi_discount.sql", "SUM(", "SUMX(", "sumx"),
        ("kpi/kpi_discount.sql", "FROM ai_usage.int_usage_daily", "FROM ai_usage.nothing", "nothing"),
        ("kpi/kpi_discount.sql", "line.model", "line.modell", "modell"),
        ("kpi/kpi_discount.sql", "SELECT\n  month", "SELEKT\n  month", "not GoogleSQL"),
        ("queries/finance/digest_day.sql", "SELECT", "SELEC", "digest_day"),
        ("ops/ops_runs.sql", 'OPTIONS (description = "Dagster\'s id of the run.")', "", "no description for run_id"),
    ],
)
def test_an_invalid_file_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str, reason: str
) -> None:
    """Each invalid file has a line with the reason, and the others are checked."""
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    code, output = check(folder, capsys)
    assert code == 1
    assert output.count("✗") == 1
    assert path.stem in output
    assert reason in output


def test_files_that_read_an_invalid_one_are_not_blamed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that cannot be created causes one error; what reads it is counted as not checked."""
    path = folder / "curated" / "fct_cost_daily.sql"
    path.write_text(path.read_text().replace("FROM ai_usage.int_usage_daily", "FROM ai_usage.nothing"))
    code, output = check(folder, capsys)
    assert (code, output.count("✗")) == (1, 1)
    assert "were not checked" in output
