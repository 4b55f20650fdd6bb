"""The order of the steps of a run, without dependencies between steps.

Dagster skips every step after a failed one, so that the outage of one vendor would hide the data of the other, and a
failed extract the days that were loaded before. The assets have their lineage, but the steps have no inputs. The
in-process executor starts them by priority, and each step has the priority of its stage.
See docs/decisions/0029-steps-without-inputs.md.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import dagster as dg

from ai_usage_assets.defs.resources import STEP_RESOURCES


class Stage(IntEnum):
    """A stage of a run. Its steps start after every step of the stages before it, whether those failed or not."""

    # First, because a key that is rejected for the bill is rejected for everything.
    EXTRACT_BILLS = 0
    EXTRACT = 1
    BUILD_REFERENCE_MODELS = 2
    CHECK_RECORDS = 3
    BUILD_SOURCE_MODELS = 4
    BUILD_SHARED_MODELS = 5
    DESCRIBE_VIEWS = 6
    CHECK_MODELS = 7
    REPORT = 8

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its steps."""
        return {"dagster/priority": str(-self)}


def build_step(
    stage: Stage,
    name: str,
    run: Callable[..., Any],
    *,
    specs: Sequence[dg.AssetSpec] = (),
    check_specs: Sequence[dg.AssetCheckSpec] = (),
) -> dg.AssetsDefinition:
    """One step that can materialize any of these assets and evaluate any of these checks.

    `run(context)` yields an output for each asset that it materialized, named like the asset, and results of checks.
    """
    checks = {f"{spec.asset_key.to_python_identifier()}__{spec.name}": spec for spec in check_specs}
    keys = {spec.key.to_python_identifier(): spec.key for spec in specs}
    step = dg.op(
        name=name,
        out={output: dg.Out(dg.Nothing, is_required=False) for output in (*keys, *checks)},
        tags=stage.tags,
        required_resource_keys=set(STEP_RESOURCES),
    )(run)
    return dg.AssetsDefinition(
        specs=specs,
        node_def=step,
        keys_by_input_name={},
        keys_by_output_name=keys,
        check_specs_by_output_name=checks,
        can_subset=len(keys) + len(checks) > 1,
        backfill_policy=dg.BackfillPolicy.single_run() if any(spec.partitions_def for spec in specs) else None,
    )
