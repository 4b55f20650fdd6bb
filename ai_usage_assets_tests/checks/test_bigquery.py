"""The queries of the checks in BigQuery."""

from __future__ import annotations

from ai_usage_assets import catalog
from ai_usage_assets.checks.base import CheckContext
from ai_usage_assets.days import DayRange
from ai_usage_assets.defs.asset_checks import CHECKS
from ai_usage_assets.warehouse.bigquery import BigQueryWarehouse
from ai_usage_assets_tests.checks.conftest import FIRST, LAST, TODAY
from ai_usage_assets_tests.fakes.bigquery.server import FakeBigQuery


def test_every_check_runs_in_bigquery() -> None:
    """BigQuery accepts every query and its parameters; an empty dataset has no finding."""
    with FakeBigQuery() as server:
        warehouse = BigQueryWarehouse("acme-project", emulator_url=server.url, sleep=lambda seconds: None)
        warehouse.prepare(catalog.tables())
        context = CheckContext(warehouse, DayRange(FIRST, LAST), TODAY)
        assert {check.name: findings for check in CHECKS if (findings := check.run(context))} == {}
