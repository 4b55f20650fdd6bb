"""The graph explains itself: nothing external, every asset described, owned and shown with its columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from ai_usage_assets import catalog
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import Settings

SETTINGS = Settings(start_date=date(2026, 1, 1), fixed_now=datetime(2026, 11, 20, 6, tzinfo=UTC))


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """The code location, without any vendor."""
    return build_definitions(SETTINGS)


def test_it_loads(definitions: dg.Definitions) -> None:
    """Everything that is wired to something can be loaded."""
    dg.Definitions.validate_loadable(definitions)


def test_nothing_is_external(definitions: dg.Definitions) -> None:
    """A mistyped upstream name would silently become an external asset; there is none."""
    assert not definitions.resolve_asset_graph().external_asset_keys


def test_every_table_but_the_logs_is_an_asset(definitions: dg.Definitions) -> None:
    """The graph has an asset for each table and view, and beside them only the report."""
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {"report", *(table.name for table in catalog.tables() if not table.is_ops_table)}


def test_lineage_is_that_of_the_sql(definitions: dg.Definitions) -> None:
    """What an asset depends on is what its statement reads."""
    graph = definitions.resolve_asset_graph()
    for table in catalog.models():
        parents = {key.to_user_string() for key in graph.get(dg.AssetKey(table.name)).parent_keys}
        assert {name for name in table.reads if not name.startswith("ops_")} <= parents, table.name


def test_every_asset_explains_itself(definitions: dg.Definitions) -> None:
    """Each asset has a description, a group, kinds, owners and described columns."""
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.group_name != "default", key
        assert node.kinds, key
        assert node.owners, key
        if key == dg.AssetKey("report"):
            continue
        schema = node.metadata["dagster/column_schema"]
        assert schema.columns, key
        assert all(column.description for column in schema.columns), key


def test_daily_tables_are_partitioned_and_loaded_in_one_run(definitions: dg.Definitions) -> None:
    """What has days is partitioned by day with single-run backfills; views and snapshots are not."""
    graph = definitions.resolve_asset_graph()
    for table in catalog.tables():
        if table.is_ops_table:
            continue
        node = graph.get(dg.AssetKey(table.name))
        daily = table.partition_by == "usage_date"
        assert (node.partitions_def is not None) == daily, table.name
        if daily:
            assert node.backfill_policy == dg.BackfillPolicy.single_run(), table.name


def test_partitions_end_with_the_last_finished_day(definitions: dg.Definitions) -> None:
    """The UI offers the days that the command line would accept, and no unfinished one."""
    partitions = definitions.resolve_asset_graph().get(dg.AssetKey("raw_anthropic_cost")).partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys()
    assert (keys[0], keys[-1]) == ("2026-01-01", "2026-11-19")


def test_blocking_checks_guard_the_money(definitions: dg.Definitions) -> None:
    """Every check is in the graph, and those where money would be wrong stop the line."""
    graph = definitions.resolve_asset_graph()
    known = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert known == {(check.asset, check.name) for check in CHECKS}
    blocking = {(check.asset, check.name) for check in CHECKS if check.blocking}
    assert {
        ("raw_anthropic_cost", "control_total"), ("raw_anthropic_cost", "currency_unit"),
        ("raw_anthropic_cost", "schema"),
        ("raw_cursor_usage_events", "control_total"), ("raw_cursor_usage_events", "currency_unit"),
        ("raw_cursor_usage_events", "schema"), ("int_anthropic_cost_daily", "attribution_preserves_totals"),
        ("int_cursor_usage_daily", "attribution_preserves_totals"),
        ("kpi_completeness", "days_complete"),
    } <= blocking  # fmt: skip


def test_every_check_says_what_holds_and_what_to_do() -> None:
    """A check that turns red tells its reader the next step."""
    assert all(check.expectation.endswith(".") and check.advice.endswith(".") for check in CHECKS)


def test_rebuild_leaves_the_vendors_alone(definitions: dg.Definitions) -> None:
    """The rebuild job has every table after raw and the report, and no pull."""
    job = definitions.resolve_job_def("rebuild")
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert selected == {"report", *(table.name for table in catalog.models())}


def test_vendors_without_keys_still_load() -> None:
    """The location loads the same with and without keys: no secret is read to look at the graph."""
    named = replace(SETTINGS, sheet_id="x")
    for entry in SOURCES:
        named = named.with_source(entry.name, key=f"projects/p/secrets/{entry.name}")
    dg.Definitions.validate_loadable(build_definitions(named))
