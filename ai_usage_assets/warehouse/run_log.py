"""What the warehouse remembers of each run: its row in `ops_runs`, from the start to the end.

Belongs here: writing that row, also for a run that was killed and could not, and asking whether there was a good one.
Does not: what a day or a check left behind (`landing`, `checks`), or how any of it is shown (`screens`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING

from ai_usage_assets import secret_manager
from ai_usage_assets.days import DayRange, day_end, last_finished_day, range_from_tags
from ai_usage_assets.settings import CloudRun
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_RUNS

if TYPE_CHECKING:
    from dagster._core.storage.dagster_run import DagsterRun


def started(run: DagsterRun, cloud_run: CloudRun) -> Row:
    """The row of a run that begins."""
    chosen = range_from_tags(run.tags)
    is_task = cloud_run.execution is not None
    return {
        "run_id": run.run_id,
        "job": run.job_name,
        # How long a run takes is told by the real clock, also when the run believes in another day.
        "started_at": datetime.now(UTC),
        "first_day": chosen.first if chosen else None,
        "last_day": chosen.last if chosen else None,
        "outcome": "running",
        "version": version("ai-usage-assets"),
        "execution": cloud_run.execution,
        "task_index": cloud_run.task_index if is_task else None,
        "task_count": cloud_run.task_count if is_task else None,
        "attempt": cloud_run.task_attempt if is_task else None,
        "image": cloud_run.image,
        "days": len(chosen) if chosen else None,
    }


def ended(warehouse: Warehouse, row: Row, outcome: str) -> Row:
    """The row of a run that ends now, by whatever cause."""
    finished_at = datetime.now(UTC)
    used = secret_manager.versions_read()
    return {
        **row,
        **_landed(warehouse, [row["run_id"]]).get(row["run_id"], _NOTHING),
        "finished_at": finished_at,
        "outcome": outcome,
        "seconds": Decimal((finished_at - row["started_at"]) // timedelta(milliseconds=1)).scaleb(-3),
        "secret_versions": json.dumps(used, sort_keys=True) if used else None,
    }


def outcome(warehouse: Warehouse, row: Row) -> str:
    """How a run ended: of one that was killed, `interrupted`, though only the next run writes that down."""
    killed = row["outcome"] == "running" and not warehouse.is_run_active(row["run_id"])
    return "interrupted" if killed else str(row["outcome"])


def interrupted(warehouse: Warehouse) -> list[Row]:
    """The rows of runs that were killed, and so could not say themselves how they ended."""
    running = warehouse.rows("SELECT * FROM ai_usage.ops_runs WHERE outcome = 'running'")
    killed = [row for row in running if not warehouse.is_run_active(row["run_id"])]
    landed = _landed(warehouse, [row["run_id"] for row in killed])
    return [row | landed.get(row["run_id"], _NOTHING) | {"outcome": "interrupted"} for row in killed]


_NOTHING: Row = {"landed_records": 0, "landed_bytes": 0, "landed_usd": Decimal(0)}


def _landed(warehouse: Warehouse, run_ids: Sequence[str]) -> dict[str, Row]:
    """What runs have brought, by the log of days: it was written with the days themselves, whatever came after."""
    if not run_ids:
        return {}
    marks = ", ".join(f"@run_{number}" for number in range(len(run_ids)))
    rows = warehouse.rows(
        f"""
        SELECT
          landed_run_id, SUM(records) AS landed_records, SUM(bytes) AS landed_bytes,
          SUM(CASE WHEN asset IN ('raw_anthropic_cost', 'raw_cursor_usage_events') THEN amount_usd ELSE 0 END)
            AS landed_usd
        FROM ai_usage.ops_asset_days WHERE landed_run_id IN ({marks}) GROUP BY landed_run_id
        """,
        {f"run_{number}": run_id for number, run_id in enumerate(run_ids)},
    )
    # A sum of whole numbers is a wider kind of number in one of the engines.
    return {row.pop("landed_run_id"): row | {name: int(row[name]) for name in _COUNTS} for row in rows}


_COUNTS = ("landed_records", "landed_bytes")


def covering(warehouse: Warehouse, job: str, chosen: DayRange) -> Row | None:
    """The newest good run of a job for all these days, made after the last of them was over."""
    return _newest(
        warehouse,
        "job = @job AND first_day <= @first AND last_day >= @last AND finished_at >= @over",
        {"job": job, "first": chosen.first, "last": chosen.last, "over": day_end(chosen.last)},
    )


def fresh(warehouse: Warehouse, now: datetime, hours: int) -> Row | None:
    """The newest good daily run that brought the latest of the days that ended so many hours ago.

    When a run ended does not matter: one of yesterday afternoon does not bring yesterday.
    """
    due = last_finished_day(now - timedelta(hours=hours))
    return _newest(warehouse, "job = 'daily' AND last_day >= @due", {"due": due})


def last_success(warehouse: Warehouse) -> Row | None:
    """The newest good daily run, however old, whatever its days."""
    return _newest(warehouse, "job = 'daily'", {})


def is_kept(warehouse: Warehouse) -> bool:
    """Whether there is a record of runs at all; the first run makes it."""
    return warehouse.schema_conflicts([OPS_RUNS]) is not None


def _newest(warehouse: Warehouse, condition: str, parameters: Row) -> Row | None:
    if not is_kept(warehouse):
        return None
    rows = warehouse.rows(
        "SELECT run_id, finished_at, first_day, last_day FROM ai_usage.ops_runs "
        f"WHERE outcome = 'success' AND {condition} ORDER BY finished_at DESC LIMIT 1",
        parameters,
    )
    return rows[0] if rows else None
