"""The Dagster code location: assets, lineage, partitions, jobs and checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_dg_core.context import DgContext
from dagster_gcp import BigQueryResource

from ai_usage_assets import catalog
from ai_usage_assets.commands.launch import job_command
from ai_usage_assets.days import TRAILING_DAYS, range_from_tags, trailing_range
from ai_usage_assets.definitions import build_definitions
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.defs.resources import build_resources
from ai_usage_assets.finance.report import data
from ai_usage_assets.registry import SOURCES
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse.column_lineage import read_lineage
from ai_usage_assets.warehouse.duckdb import DuckDBWarehouse
from ai_usage_assets.warehouse.googlesql import parse, tables_read
from ai_usage_assets.warehouse.ops_tables import OPS_TABLES
from ai_usage_assets_tests.support.repository import REPOSITORY
from ai_usage_assets_tests.support.warehouse_rows import create_warehouse

SETTINGS = Settings(start_date=date(2026, 1, 1), fixed_now=datetime(2026, 11, 20, 6, tzinfo=UTC))


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """The code location without any API key."""
    return build_definitions(SETTINGS)


def test_definitions_load(definitions: dg.Definitions) -> None:
    """Every job, asset and resource resolves."""
    dg.Definitions.validate_loadable(definitions)


def test_dg_finds_the_definitions() -> None:
    """`dg` finds the code location, under the name that workspace.yaml gives it."""
    project = DgContext.for_project_environment(REPOSITORY, {})
    (location,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
    module = location["python_module"]["module_name"]
    assert (project.code_location_name, project.code_location_target_module_name) == (module, module)
    assert import_module(module).defs


def test_no_asset_is_external(definitions: dg.Definitions) -> None:
    """A mistyped upstream name would become an external asset without an error."""
    assert not definitions.resolve_asset_graph().external_asset_keys


def test_every_table_except_ops_tables_is_an_asset(definitions: dg.Definitions) -> None:
    """The assets are the tables, the views and the report."""
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {"report", *(table.name for table in catalog.tables() if table not in OPS_TABLES)}


def test_lineage_comes_from_the_sql(definitions: dg.Definitions) -> None:
    """A model depends on the tables that its SQL reads."""
    graph = definitions.resolve_asset_graph()
    for table in catalog.models():
        parents = {key.to_user_string() for key in graph.get(dg.AssetKey(table.name)).parent_keys}
        assert {name for name in table.reads if not name.startswith("ops_")} <= parents, table.name


@pytest.mark.parametrize(
    ("name", "column", "sources"),
    [
        ("stg_cursor_usage_events", "amount_usd", {("raw_cursor_usage_events", "payload")}),
        ("fct_cost_daily", "team", {("bridge_attribution_daily", "team")}),
        ("kpi_spend_daily", "billed_usd", {("fct_cost_daily", "amount_usd"), ("fct_cost_daily", "cost_basis")}),
        # The number of rows.
        ("int_cursor_usage_daily", "requests", set()),
    ],
)
def test_columns_have_their_lineage(
    definitions: dg.Definitions, name: str, column: str, sources: set[tuple[str, str]]
) -> None:
    """Each column names the columns that it is computed from; these were read in the SQL by hand."""
    node = definitions.resolve_asset_graph().get(dg.AssetKey(name))
    deps = node.metadata["dagster/column_lineage"].deps_by_column[column]
    assert {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps} == sources


def test_the_code_version_follows_the_sql(definitions: dg.Definitions) -> None:
    """Each model has the hash of its query, and a changed query has neither that hash nor the stored lineage."""
    graph = definitions.resolve_asset_graph()
    versions = {table.name: graph.get(dg.AssetKey(table.name)).code_version for table in catalog.models()}
    assert len({*versions.values()}) == len(versions)
    table = catalog.table("kpi_spend_daily")
    changed = replace(table, query=f"{table.query} LIMIT 1")
    assert changed.code_version != table.code_version == versions[table.name]
    assert read_lineage(table)
    assert not read_lineage(changed)


def test_the_report_depends_on_what_it_shows(definitions: dg.Definitions, tmp_path: Path) -> None:
    """The tables that the report reads are its parents, but its step waits for none of them."""
    read: set[str] = set()

    class RecordingWarehouse(DuckDBWarehouse):
        def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
            read.update(tables_read(parse(sql)))
            return super().rows(sql, *arguments)

    path = tmp_path / "w.duckdb"
    create_warehouse(path, date(2026, 11, 1), date(2026, 11, 11)).close()
    warehouse = RecordingWarehouse(path)
    data.load_report(warehouse, datetime(2026, 11, 11, 6, tzinfo=UTC))
    warehouse.close()
    parents = {key.to_user_string() for key in definitions.resolve_asset_graph().get(dg.AssetKey("report")).parent_keys}
    # Corrections are read for a closed month.
    assert parents == (read - {table.name for table in OPS_TABLES}) | {"kpi_chargeback"}
    job = definitions.resolve_job_def("daily")
    assert not job.graph.dependencies[dg.NodeInvocation("report")]


def test_steps_without_inputs_start_after_what_they_read(definitions: dg.Definitions) -> None:
    """No step waits for another; what a model of another step reads is built at a higher priority."""
    job = definitions.resolve_job_def("daily")
    assert all(not inputs for inputs in job.graph.dependencies.values())
    priorities = {node.name: int(node.definition.tags["dagster/priority"]) for node in job.graph.nodes}
    graph = definitions.resolve_asset_graph()
    step_of = {key: assets.node_def.name for assets in graph.assets_defs for key in (*assets.keys, *assets.check_keys)}
    # Views exist before the first step, so only the stored tables behind them count.
    for model in (table for table in catalog.models() if not table.is_view):
        step = step_of[dg.AssetKey(model.name)]
        for name in catalog.stored_reads(model) - {table.name for table in OPS_TABLES}:
            parent = step_of[dg.AssetKey(name)]
            assert parent == step or priorities[parent] > priorities[step], (name, model.name)


def test_only_the_report_has_a_freshness_policy(definitions: dg.Definitions) -> None:
    """A backfill would make every other asset fresh without the latest day."""
    graph = definitions.resolve_asset_graph()
    policies = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy}
    assert policies == {"report"}


def test_every_asset_is_documented(definitions: dg.Definitions) -> None:
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
    """Daily tables are partitioned by day with single-run backfills; views and snapshots are not."""
    graph = definitions.resolve_asset_graph()
    for table in catalog.tables():
        if table in OPS_TABLES:
            continue
        node = graph.get(dg.AssetKey(table.name))
        daily = table.partition_by == "usage_date"
        assert (node.partitions_def is not None) == daily, table.name
        if daily:
            assert node.backfill_policy == dg.BackfillPolicy.single_run(), table.name


def test_partitions_end_with_the_last_finished_day(definitions: dg.Definitions) -> None:
    """The UI offers the days that the command line accepts."""
    partitions = definitions.resolve_asset_graph().get(dg.AssetKey("raw_anthropic_cost")).partitions_def
    assert partitions is not None
    keys = partitions.get_partition_keys()
    assert (keys[0], keys[-1]) == ("2026-01-01", "2026-11-19")


def test_checks_of_money_are_blocking(definitions: dg.Definitions) -> None:
    """Every check is in the graph, and those that find wrong dollars are blocking."""
    graph = definitions.resolve_asset_graph()
    graph_checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert graph_checks == {(check.asset, check.name) for check in CHECKS}
    blocking = {(check.asset, check.name) for check in CHECKS if check.blocking}
    assert {
        ("raw_anthropic_cost", "control_total"), ("raw_anthropic_cost", "currency_unit"),
        ("raw_anthropic_cost", "schema"),
        ("raw_cursor_usage_events", "control_total"), ("raw_cursor_usage_events", "currency_unit"),
        ("raw_cursor_usage_events", "schema"), ("fct_cost_daily", "attribution_preserves_totals"),
        ("kpi_completeness", "days_complete"),
    } <= blocking  # fmt: skip


def test_every_check_has_an_expectation_and_advice() -> None:
    """Both are sentences."""
    assert all(check.expectation.endswith(".") and check.advice.endswith(".") for check in CHECKS)


def test_the_rebuild_job_requests_nothing(definitions: dg.Definitions) -> None:
    """It has every model and the report, and no extract."""
    job = definitions.resolve_job_def("rebuild")
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert selected == {"report", *(table.name for table in catalog.models())}


def test_the_schedule_requests_the_run_of_the_command_line() -> None:
    """It has the time of Cloud Scheduler, is stopped, and its run has the tags and configuration of `ai-usage run`."""
    settings = replace(SETTINGS, fixed_now=None)
    definitions = build_definitions(settings)
    schedule = definitions.resolve_schedule_def("daily_schedule")
    terraform = (REPOSITORY / "deploy" / "terraform" / "schedule.tf").read_text()
    assert f'cron        = "{schedule.cron_schedule}"' in terraform
    assert f'time_zone        = "{schedule.execution_timezone}"' in terraform
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    now = datetime(2026, 11, 20, 14, tzinfo=UTC)
    tick = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=now))
    assert tick.run_requests
    (request,) = tick.run_requests
    arguments = job_command(settings, trailing_range(now, settings.start_date), "daily").arguments
    tags = json.loads(arguments[arguments.index("--tags") + 1])
    assert {**request.tags, ".dagster/repository": tags[".dagster/repository"]}.items() >= tags.items()
    days = range_from_tags(request.tags)
    assert days
    assert len(days) == TRAILING_DAYS
    assert request.run_config == yaml.safe_load(Path(arguments[arguments.index("-c") + 1]).read_text())
    assert schedule.job_name == definitions.resolve_job_def("daily").name


def test_the_schedule_skips_days_before_the_start_date() -> None:
    """Before the first day is over there is nothing to load."""
    schedule = build_definitions(replace(SETTINGS, fixed_now=None)).resolve_schedule_def("daily_schedule")
    early = datetime(2026, 1, 1, 14, tzinfo=UTC)
    tick = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=early))
    assert not tick.run_requests
    assert "2025-12-31" in (tick.skip_message or "")


def test_definitions_load_without_reading_secrets() -> None:
    """Keys that are secret references load as well: no secret is read to show the graph."""
    settings = replace(SETTINGS, sheet_id="x")
    for entry in SOURCES:
        settings = settings.with_source(entry.name, key=f"projects/p/secrets/{entry.name}")
    dg.Definitions.validate_loadable(build_definitions(settings))


def test_the_ui_shows_no_key() -> None:
    """The configuration of the resources, which the UI shows, contains no key and no address of a chat."""
    secrets = ["sk-ant-admin01-secret", "crsr_secret", "https://hooks.example/secret"]
    settings = replace(SETTINGS, sheet_id="x", digest_webhook=secrets[2])
    for entry, key in zip(SOURCES, secrets, strict=False):
        settings = settings.with_source(entry.name, key=key)
    repository = build_definitions(settings).get_repository_def()
    schemas = {name: definition.config_schema for name, definition in repository.get_top_level_resources().items()}
    assert "anthropic" in schemas
    shown = repr(
        [(name, schema.default_value if schema.default_provided else None) for name, schema in schemas.items()]
    )
    assert "ANTHROPIC_ADMIN_KEY" in shown
    assert not any(secret in shown for secret in secrets)


def test_bigquery_is_a_resource_of_its_own() -> None:
    """A BigQuery warehouse uses the client of the registered resource of dagster-gcp."""
    settings = replace(SETTINGS, warehouse="bigquery", project="acme", bigquery_emulator="http://127.0.0.1:9")
    resources = build_resources(settings)
    assert isinstance(resources["bigquery"], BigQueryResource)
    with dg.build_resources({name: resources[name] for name in ("bigquery", "warehouse")}) as opened:
        client = opened.warehouse.jobs.client
    assert (client.project, client.location, client._connection.API_BASE_URL) == (
        "acme", "US", "http://127.0.0.1:9",
    )  # fmt: skip
    assert "bigquery" not in build_resources(SETTINGS)


_IMPORT_SIDE_EFFECTS = """
import gc, logging, os, signal, sys, threading, warnings
# These libraries change warning filters and environment variables when they are imported.
import dagster, numpy, pandera.pandas, requests

def state():
    return {
        "warning filters": [*warnings.filters],
        "frozen objects": gc.get_freeze_count(),
        "gc": (gc.isenabled(), gc.get_threshold()),
        "signal handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "root logger": (logging.root.level, [*logging.root.handlers]),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.stdout, sys.stderr),
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "folder": (os.getcwd(), os.listdir()),
    }

before = state()
import ai_usage_assets.definitions
after = state()
sys.exit(", ".join(name for name in before if before[name] != after[name]) or 0)
"""


def test_importing_the_definitions_has_no_side_effects(tmp_path: Path) -> None:
    """The import changes no state of the process and no file, and prints nothing, also about a misspelled setting."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "AI_USAGE_DATSET": "private"}
    process = subprocess.run(
        [sys.executable, "-c", _IMPORT_SIDE_EFFECTS],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
