"""`ai-usage sql check` without BigQuery: syntax, tables and columns of every file."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from ai_usage_assets.commands import sql_check
from ai_usage_assets.warehouse.sql_files import sql_folder

_RAW = "FROM ai_usage.raw_anthropic_cost"
# The query of each invalid view, and what its error names.
INVALID_VIEWS = {
    "kpi_function": (f"SELECT SUMX(record_no) AS amount {_RAW}", "sumx"),
    "kpi_table": ("SELECT 1 AS amount FROM ai_usage.nothing", "nothing"),
    "kpi_column": (f"SELECT record_number AS amount {_RAW}", "record_number"),
    "kpi_syntax": (f"SELECT (record_no AS amount {_RAW}", "not GoogleSQL"),
    "kpi_columns": (f"SELECT record_no AS amounts {_RAW}", "amounts"),
}


def write_view(folder: Path, name: str, query: str, description: str = "Amount.") -> None:
    """Writes a view with the one column `amount`."""
    options = f' OPTIONS (description = "{description}")' if description else ""
    path = folder / "kpi" / f"{name}.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"CREATE OR REPLACE VIEW ai_usage.{name} (\n  amount{options}\n)\n"
        f'OPTIONS (description = "Amounts.")\nAS\n{query}\n'
    )


def test_every_file_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    """All files of the project are counted as valid."""
    count = len(list(sql_folder().rglob("*.sql")))
    assert sql_check.check_offline(Console(width=200)) == 0
    assert f"{count} of {count} " in capsys.readouterr().out


def test_each_invalid_file_is_named_and_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each invalid file has one line with the reason; a file that reads one of them is counted as not checked."""
    expected = {name: reason for name, (_, reason) in INVALID_VIEWS.items()}
    expected |= {"kpi_undescribed": "no description for amount", "queries/finance/select": "not GoogleSQL"}
    for name, (query, _) in INVALID_VIEWS.items():
        write_view(tmp_path, name, query)
    write_view(tmp_path, "kpi_undescribed", f"SELECT record_no AS amount {_RAW}", description="")
    write_view(tmp_path, "kpi_valid", f"SELECT record_no AS amount {_RAW}")
    write_view(tmp_path, "kpi_reader", "SELECT amount FROM ai_usage.kpi_table")
    queries = tmp_path / "queries" / "finance"
    queries.mkdir(parents=True)
    (queries / "select.sql").write_text("SELEC amount FROM ai_usage.kpi_valid")
    (queries / "valid.sql").write_text("SELECT amount FROM ai_usage.kpi_valid")
    (queries / "reader.sql").write_text("SELECT amount FROM ai_usage.kpi_reader")

    assert sql_check.check_offline(Console(width=1000), tmp_path) == 1
    *lines, unchecked, summary = capsys.readouterr().out.splitlines()
    lines = [line.removeprefix("✗ ") for line in lines if line.startswith("✗ ")]
    errors = {line.partition(":")[0].removesuffix(".sql"): line for line in lines}
    assert len(errors) == len(lines)
    assert errors.keys() == expected.keys()
    assert [name for name, reason in expected.items() if reason not in errors[name]] == []
    assert unchecked.startswith("2 files ")
    assert summary.startswith("2 of 11 ")


# The expression of a column of a view, what its error names, and whether the advice is this complete expression.
UNSHARED_TYPES = {
    "kpi_ratio": ("SAFE_DIVIDE(SUM(record_no), COUNT(*))", "CAST(ROUND(CAST({} AS NUMERIC), 6) AS NUMERIC)"),
    "kpi_decimal": ("NUMERIC '1' * NUMERIC '1'", "CAST({} AS NUMERIC)"),
    "kpi_number": ("SUM(record_no)", "CAST({} AS INT64)"),
    "kpi_literal": ("1", "CAST({} AS INT64)"),
}


def test_a_type_that_the_warehouses_do_not_share_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the view, the column and the cast; with this cast the view is valid."""
    for name, (expression, cast) in UNSHARED_TYPES.items():
        write_view(tmp_path, name, f"SELECT {expression} AS amount {_RAW}")
        write_view(tmp_path, f"{name}_cast", f"SELECT {cast.format(expression)} AS amount {_RAW}")
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "valid.sql").write_text(f"SELECT 1 AS amount {_RAW}")
    assert sql_check.check_offline(Console(width=1000), tmp_path) == 1
    lines = [line.removeprefix("✗ ") for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
    errors = {line.partition(":")[0]: line for line in lines}
    assert errors.keys() == UNSHARED_TYPES.keys()
    for name, (_, cast) in UNSHARED_TYPES.items():
        assert f"{name}.amount" in errors[name]
        assert cast.format("...") in errors[name]


def test_the_types_of_a_table_and_of_its_query_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A declared type outside the shared ones, and an inexact value in a column of dollars, are errors."""
    for name, declared in (("fct_declared", "FLOAT64"), ("fct_query", "NUMERIC")):
        path = tmp_path / "curated" / f"{name}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f'CREATE TABLE IF NOT EXISTS ai_usage.{name} (\n  usd {declared} OPTIONS (description = "Dollars.")\n)\n'
            f'OPTIONS (description = "Amounts.")\nAS\nSELECT record_no / 3 AS usd {_RAW}\n'
        )
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "valid.sql").write_text(f"SELECT 1 AS amount {_RAW}")
    assert sql_check.check_offline(Console(width=1000), tmp_path) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ ")]
    assert ["fct_declared" in lines[0] and "FLOAT64" in lines[0], "fct_query.usd" in lines[1]] == [True, True]
