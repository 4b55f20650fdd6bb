"""The run log `ops_runs`: writes the row of a run and finds earlier runs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING

from ai_usage_assets import secret_manager
from ai_usage_assets.days import DayRange, day_end, last_finished_day, range_from_tags
from ai_usage_assets.settings import CloudRun
from ai_usage_assets.warehouse.base import QueryParameters, Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_RUNS
from ai_usage_assets.warehouse.sql_files import read_query

if TYPE_CHECKING:
    from dagster import DagsterRun

_ANY_DAY, _ANY_TIME = date.max, datetime(1970, 1, 1, tzinfo=UTC)


def start_run(run: DagsterRun, cloud_run: CloudRun) -> Row:
    """Returns the row of a run that starts now."""
    days = range_from_tags(run.tags)
    is_task = cloud_run.execution is not None
    return {
        "run_id": run.run_id,
        "job": run.job_name,
        # The real clock, because AI_USAGE_NOW says nothing about how long a run takes.
        "started_at": datetime.now(UTC),
        "first_day": days.first if days else None,
        "last_day": days.last if days else None,
        "outcome": "running",
        "version": version("ai-usage-assets"),
        "execution": cloud_run.execution,
        "task_index": cloud_run.task_index if is_task else None,
        "task_count": cloud_run.task_count if is_task else None,
        "attempt": cloud_run.task_attempt if is_task else None,
        "image": cloud_run.image,
        "days": len(days) if days else None,
    }


def finish_run(warehouse: Warehouse, row: Row, outcome: str) -> Row:
    """Returns the row of a run that ends now with `outcome`."""
    finished_at = datetime.now(UTC)
    secret_versions = secret_manager.versions_read()
    return {
        **row,
        **_load_totals(warehouse, row["run_id"]),
        "finished_at": finished_at,
        "outcome": outcome,
        "seconds": Decimal((finished_at - row["started_at"]) // timedelta(milliseconds=1)).scaleb(-3),
        "secret_versions": json.dumps(secret_versions, sort_keys=True) if secret_versions else None,
    }


def resolve_outcome(warehouse: Warehouse, row: Row) -> str:
    """Returns the outcome of a run; `interrupted` for a killed one, which only the next run records."""
    is_killed = row["outcome"] == "running" and not warehouse.is_run_active(row["run_id"])
    return "interrupted" if is_killed else str(row["outcome"])


def find_killed_runs(warehouse: Warehouse) -> list[Row]:
    """Returns the completed rows of runs that were killed before they could record their end."""
    running = warehouse.rows("SELECT * FROM ai_usage.ops_runs WHERE outcome = 'running'")
    killed = [row for row in running if not warehouse.is_run_active(row["run_id"])]
    return [row | _load_totals(warehouse, row["run_id"]) | {"outcome": "interrupted"} for row in killed]


def _load_totals(warehouse: Warehouse, run_id: str) -> Row:
    """The day log has them even if the run was killed: it is written together with the days."""
    (row,) = warehouse.rows(read_query("landing/run_totals"), {"run_id": run_id})
    # DuckDB returns the sum of integers as a wider type.
    counts = {name: int(row[name]) for name in ("landed_records", "landed_bytes")}
    return {**counts, "landed_usd": Decimal(row["landed_usd"])}


def find_covering_run(warehouse: Warehouse, job: str, days: DayRange) -> Row | None:
    """Returns the newest successful run of a job that covers all these days and ended after the last of them.

    The run log must exist.
    """
    return _find_success(warehouse, job, days.first, days.last, day_end(days.last))


def find_fresh_run(warehouse: Warehouse, now: datetime, hours: int) -> Row | None:
    """Returns the newest successful daily run that loaded the latest day that ended at least `hours` ago.

    Only its days matter, not when it ran: yesterday afternoon's run did not load yesterday. The run log must exist.
    """
    due = last_finished_day(now - timedelta(hours=hours))
    return _find_success(warehouse, "daily", _ANY_DAY, due, _ANY_TIME)


def find_last_success(warehouse: Warehouse) -> Row | None:
    """Returns the newest successful daily run, of any days. The run log must exist."""
    return _find_success(warehouse, "daily", _ANY_DAY, date.min, _ANY_TIME)


def exists(warehouse: Warehouse) -> bool:
    """Whether the warehouse has a run log; the first run creates it."""
    return warehouse.schema_conflicts([OPS_RUNS]) is not None


def _find_success(warehouse: Warehouse, job: str, first: date, last: date, finished_since: datetime) -> Row | None:
    """Returns the newest successful run with first_day <= `first` and last_day >= `last`."""
    parameters: QueryParameters = {"job": job, "first_day": first, "last_day": last, "finished_since": finished_since}
    rows = warehouse.rows(read_query("landing/last_successful_run"), parameters)
    return rows[0] if rows else None
