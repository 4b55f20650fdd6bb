"""SQL files define tables and views, and the catalog orders them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_usage_assets import catalog
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets.warehouse.sql_files import (
    MissingSqlError,
    SchemaError,
    read_models,
    read_query,
    read_table,
    sql_folder,
)
from ai_usage_assets.warehouse.tables import Table

GOOD = """CREATE TABLE IF NOT EXISTS ai_usage.fct_x (
  usage_date DATE NOT NULL OPTIONS (description = "Day."),
  usd NUMERIC OPTIONS (description = "Dollars.")
)
PARTITION BY usage_date
CLUSTER BY usd
OPTIONS (description = "X.")
AS
SELECT usage_date, usd FROM ai_usage.fct_y
"""


def read(tmp_path: Path, sql: str, name: str = "fct_x", layer: str = "curated") -> list[Table]:
    """The tables that a folder with this one file defines."""
    (tmp_path / layer).mkdir()
    (tmp_path / layer / f"{name}.sql").write_text(sql)
    return read_models(tmp_path)


def test_a_file_defines_a_table(tmp_path: Path) -> None:
    """Name, columns, partition, clustering, description and lineage come from the statement."""
    (table,) = read(tmp_path, GOOD)
    assert (table.name, table.layer, table.is_view, table.partition_by) == ("fct_x", "curated", False, "usage_date")
    assert (table.cluster_by, table.reads, table.description) == (("usd",), ("fct_y",), "X.")
    assert [(c.name, c.type, c.required) for c in table.columns] == [
        ("usage_date", "DATE", True),
        ("usd", "NUMERIC", False),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('OPTIONS (description = "Dollars.")', "", "no description for usd"),
        ("fct_x (", "fct_z (", "must create ai_usage.fct_x"),
        ("SELECT usage_date, usd", "SELECT usd, usage_date", "declares columns"),
        ("FROM ai_usage.fct_y", "FROM (ai_usage.fct_y", "not GoogleSQL"),
        ('OPTIONS (description = "X.")\n', "", "the table itself"),
        ("\nAS\nSELECT", " AS\nSELECT", "AS must be on its own line"),
        ("AS\nSELECT usage_date, usd FROM ai_usage.fct_y\n", "", "must have a query"),
    ],
)
def test_an_incomplete_file_is_an_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message names the file and the problem."""
    with pytest.raises(SchemaError, match=message) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert "fct_x.sql" in str(caught.value)


def test_two_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    """A name that two layers define is an error, because one definition would replace the other."""
    read(tmp_path, GOOD)
    with pytest.raises(SchemaError, match="curated and kpi"):
        read(tmp_path, GOOD, layer="kpi")


def test_a_staging_view_reads_one_table(tmp_path: Path) -> None:
    """A staging view of two tables is an error that names both."""
    with pytest.raises(SchemaError, match="fct_y, fct_z"):
        read(tmp_path, GOOD.replace("FROM ai_usage.fct_y", "FROM ai_usage.fct_y, ai_usage.fct_z"), layer="staging")


@pytest.mark.parametrize(("encoding", "message"), [("utf-16", "not UTF-8"), ("utf-8-sig", "byte order mark")])
def test_another_encoding_is_an_error(tmp_path: Path, encoding: str, message: str) -> None:
    """The message names the file and the encoding."""
    (tmp_path / "curated").mkdir()
    (tmp_path / "curated" / "fct_x.sql").write_text(GOOD, encoding)
    with pytest.raises(SchemaError, match=rf"fct_x.sql: .*{message}"):
        read_models(tmp_path)


def test_an_unknown_folder_is_an_error(tmp_path: Path) -> None:
    """A file in a folder that is no layer is an error, not ignored."""
    with pytest.raises(SchemaError, match="staging, curated, kpi, ops"):
        read(tmp_path, GOOD, layer="misc")


def test_every_table_that_python_writes_is_in_the_catalog() -> None:
    """Every file under sql/ops without a query is one of OPS_TABLES."""
    files = [read_table(path) for path in (sql_folder() / "ops").glob("*.sql")]
    assert {table.name for table in files if table.query is None} == {table.name for table in OPS_TABLES}


def test_tables_follow_those_that_they_read() -> None:
    """The catalog lists each table after those that it reads, and nothing reads a missing table."""
    seen: set[str] = set()
    for table in catalog.tables():
        assert set(table.reads) <= seen, table.name
        seen.add(table.name)


def test_names_are_unique_and_begin_with_their_layer() -> None:
    """Every table name is unique and begins with a prefix of its layer."""
    names = [table.name for table in catalog.tables()]
    assert len(names) == len(set(names))
    prefixes = {
        "raw": ("raw_",),
        "staging": ("stg_",),
        "curated": ("dim_", "fct_", "bridge_", "int_"),
        "kpi": ("kpi_", "focus_"),
        "ops": ("ops_",),
    }
    for table in catalog.tables():
        assert table.name.startswith(prefixes[table.layer]), table.name


def test_facts_have_the_contract_columns() -> None:
    """The facts have the columns of the contract, in its order."""
    assert catalog.table("fct_cost_daily").column_names == (
        "usage_date", "vendor", "cost_basis", "product", "model", "principal_type", "principal_id", "api_key_id",
        "workspace_id", "person_email", "team", "cost_center", "attribution_method", "requests", "amount_usd",
        "list_amount_usd", "is_provisional",
    )  # fmt: skip
    assert catalog.table("fct_tokens_daily").column_names[-9:] == (
        "requests", "uncached_input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_tokens",
        "cache_read_tokens", "output_tokens", "total_tokens", "web_search_requests",
    )  # fmt: skip
    assert catalog.table("fct_activity_daily").column_names == (
        "usage_date", "vendor", "person_email", "team", "cost_center", "is_active", "requests", "sessions",
        "lines_added", "lines_accepted", "commits", "pull_requests",
    )  # fmt: skip


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    """An installation without SQL files is an error, not an empty catalog."""
    with pytest.raises(MissingSqlError, match="No SQL files found"):
        read_models(tmp_path)


def test_a_missing_query_is_an_error() -> None:
    """The message names the query that is missing."""
    with pytest.raises(MissingSqlError, match=r"finance/nothing\.sql does not exist"):
        read_query("finance/nothing")
