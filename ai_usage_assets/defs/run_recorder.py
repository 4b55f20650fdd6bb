"""Records each run in `ops_runs` and delivers its digest.

The recorder is a resource that every step requires. Dagster has no hook after the last step of a failed run that works
without a daemon: op hooks run per step, and run status sensors need the daemon. A resource is initialized before the
first step and torn down after the last one, even if steps fail or the process is interrupted. If the process is killed,
the row of the run stays `running` until the next run corrects it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg

from ai_usage_assets.finance.digest import publish_digest
from ai_usage_assets.logs.run_events import is_interrupt
from ai_usage_assets.settings import Settings
from ai_usage_assets.transform import prepare_warehouse
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import PreparedSchema, Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import OPS_CHECK_RESULTS, OPS_RESTATEMENT_PARTS, OPS_RUNS

# The runs that this process has recorded. Dagster initializes the resources again after a run, to load its outputs.
_recorded_runs: set[str] = set()
_STEP_ENDS = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_SKIPPED}

# What grows with every run and is not needed for books. Restatements themselves stay, without their parts.
_EXPIRING = ((OPS_CHECK_RESULTS, "checked_at"), (OPS_RESTATEMENT_PARTS, "restated_at"))


class RunRecorderResource(dg.ConfigurableResource[PreparedSchema]):
    """Creates the tables and views, and records the run in `ops_runs` before its first step and after its last one."""

    settings: dg.ResourceDependency[Settings]
    warehouse: dg.ResourceDependency[Warehouse]

    def create_resource(self, context: dg.InitResourceContext) -> PreparedSchema:
        """Creates what is missing in the warehouse, and returns what changed."""
        return prepare_warehouse(self.warehouse, self.settings)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[PreparedSchema]:
        """Records the start, holds the run lock, records the outcome and publishes the digest."""
        warehouse = self.warehouse
        run = context.run
        if run is not None and run.run_id in _recorded_runs:
            yield PreparedSchema()
            return
        prepared = self.create_resource(context)
        if run is None:
            yield prepared
            return
        row = _record_start(warehouse, run, self.settings)
        _recorded_runs.add(run.run_id)
        with warehouse.run_lock(run.run_id):
            try:
                yield prepared
            finally:
                outcome = infer_outcome(context.instance, run) if context.instance else "failed"
                row = _record_end(warehouse, row, outcome)
                if context.log:
                    publish_digest(warehouse, self.settings, row, context.log.log)


def _record_start(warehouse: Warehouse, run: dg.DagsterRun, settings: Settings) -> Row:
    row = run_log.start_run(run, settings.cloud_run)
    # Tasks of one job would delete the same rows.
    if settings.cloud_run.task_index == 0:
        warehouse.delete_older(_EXPIRING, settings.now() - timedelta(days=settings.ops_expiry_days))
    # Before the run lock exists: a process that is killed in between leaves no lock behind.
    warehouse.upsert(OPS_RUNS, ("run_id",), [*run_log.find_killed_runs(warehouse), row])
    return row


def _record_end(warehouse: Warehouse, row: Row, outcome: str) -> Row:
    row = run_log.finish_run(warehouse, row, outcome)
    warehouse.upsert(OPS_RUNS, ("run_id",), [row])
    return row


def infer_outcome(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The outcome of a run whose steps have ended: `success`, `failed` or `interrupted`."""
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    failures = [entry.dagster_event for entry in entries if entry.dagster_event]
    if any(map(is_interrupt, failures)):
        return "interrupted"
    if failures:
        return "failed"
    return "success" if _has_completed(instance, run) else "interrupted"


def _has_completed(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether every planned step has ended. An interrupt between two steps does not fail either of them."""
    if run.execution_plan_snapshot_id is None:
        return True
    planned = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute
    ended = {entry.step_key for entry in instance.all_logs(run.run_id, of_type=_STEP_ENDS)}
    return ended >= set(planned)
