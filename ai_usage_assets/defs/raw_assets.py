"""One Dagster asset per raw table, one step per pull.

Belongs here: asking a vendor for the days of a run, going on after a bad day, and telling Dagster and the log what
came. Does not: vendor facts (`vendors/`), when a day may replace another (`landing`).

A bad day does not stop the others: what can be landed is landed, the days that failed keep what was held, and the
checks `complete` and `days_complete` turn red and fail the run at its end. Only a pull that brought nothing at
all fails its own step.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg
import msgspec

from ai_usage_assets import catalog
from ai_usage_assets.days import DayRange, chunk_days, range_from_tags
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing import Landed, Moment, land, log_not_pulled
from ai_usage_assets.redaction import redact
from ai_usage_assets.registry import source_entry
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import Settings
from ai_usage_assets.sources.base import EndpointNotAvailable, Extract, InvalidRecordError
from ai_usage_assets.warehouse.base import Warehouse

# Two windows in a row without an answer, after all retries: the vendor is down, asking on only costs time.
_PATIENCE_WINDOWS = 2
# What one window is refused for, every other would be.
_KEY_REFUSED = {401, 402, 403}

# Two months.
_DAYS_LISTED = 62

_OWNERS = ["team:platform"]


def pull_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The assets of every pull there is."""
    return [_asset(pull, partitions) for pull in catalog.EXTRACTS]


def _asset(pull: Extract, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=pull.name,
        specs=[
            dg.AssetSpec(
                table.name,
                description=table.description,
                group_name=f"raw_{pull.vendor}",
                kinds={"python", pull.vendor},
                owners=_OWNERS,
                metadata=table.ui_metadata(),
            )
            for table in pull.tables
        ],
        partitions_def=None if pull.is_snapshot else partitions,
        backfill_policy=None if pull.is_snapshot else dg.BackfillPolicy.single_run(),
        required_resource_keys={pull.vendor, "warehouse", "settings"},
    )
    def run(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        settings: Settings = context.resources.settings
        moment = Moment(context.run.run_id, settings.now(), settings.accept_loss)
        if not pull.is_snapshot and range_from_tags(context.run.tags) is None:
            raise dg.Failure(
                description=f"{pull.name}: the run has no days. Use `ai-usage run`, or choose a partition in the UI.",
                allow_retries=False,
            )
        days = [moment.now.date()] if pull.is_snapshot else [date.fromisoformat(key) for key in context.partition_keys]
        outcomes = _pull(context, pull, getattr(context.resources, pull.vendor), days, moment)
        yield from _report(context, pull, outcomes)

    return run


def _pull(
    context: dg.AssetExecutionContext, pull: Extract, client: object | None, days: Sequence[date], moment: Moment
) -> list[Landed]:
    warehouse: Warehouse = context.resources.warehouse
    if client is None:
        message = f"{source_entry(pull.vendor).key_variable} is not set, so {pull.vendor} is not pulled."
        context.log.info(message)
        return log_not_pulled(warehouse, pull, days, moment, "not_configured", message)
    earliest = pull.earliest_day(moment.now.date()) if pull.earliest_day else date.min
    beyond = [day for day in days if day < earliest]
    message = f"{pull.vendor} no longer answers for this day; what was landed in time is kept."
    outcomes = log_not_pulled(warehouse, pull, beyond, moment, "not_exposed", message)
    unanswered = 0
    ranges = chunk_days([day for day in days if day >= earliest], pull.window_days)
    for number, window in enumerate(ranges):
        # The vendor may take minutes to answer; nobody should wait for the warehouse meanwhile.
        warehouse.close()
        rest = [day for later in ranges[number:] for day in later]
        try:
            outcomes += land(warehouse, pull, pull.fetch(client, window), moment)
        except EndpointNotAvailable as reason:
            context.log.info(f"{pull.name}: not exposed: {redact(str(reason))}")
            return outcomes + log_not_pulled(warehouse, pull, rest, moment, "not_exposed", str(reason))
        except SecretError as failure:
            return outcomes + log_not_pulled(warehouse, pull, rest, moment, "failed", str(failure))
        except ApiError as failure:
            if failure.status in _KEY_REFUSED:
                return outcomes + log_not_pulled(warehouse, pull, rest, moment, "failed", str(failure))
            unanswered += 1
            if unanswered >= _PATIENCE_WINDOWS:
                return outcomes + log_not_pulled(warehouse, pull, rest, moment, "failed", str(failure))
            outcomes += log_not_pulled(warehouse, pull, list(window), moment, "failed", str(failure))
        except (InvalidRecordError, msgspec.MsgspecError) as problem:
            message = f"an answer of {pull.name} is not what was asked for: {problem}. The earlier data stays."
            outcomes += log_not_pulled(warehouse, pull, list(window), moment, "failed", message)
        else:
            unanswered = 0
            context.log.debug(f"{pull.name}: {window} pulled")
    return outcomes


def _report(
    context: dg.AssetExecutionContext, pull: Extract, outcomes: Sequence[Landed]
) -> Iterator[dg.MaterializeResult[None]]:
    """Metadata for a person, day by day; raises when the pull brought nothing at all."""
    failed = [outcome.entry for outcome in outcomes if outcome.entry["status"] == "failed"]
    if failed and len(failed) == len(outcomes):
        days = sorted({entry["usage_date"] for entry in failed})
        raise dg.Failure(
            description=f"{pull.name}: none of {DayRange(days[0], days[-1])} could be pulled; the earlier data stays. "
            f"{failed[0]['message']}",
            metadata={"days": dg.MetadataValue.md(_day_by_day(outcomes))},
            allow_retries=False,
        )
    for entry in failed:
        labels = {"asset": entry["asset"], "day": str(entry["usage_date"])}
        context.log.error(
            f"{entry['asset']} {entry['usage_date']} failed: {entry['message']}",
            extra={"event": "source_fetch_failed", "labels": labels},
        )
    for table in pull.tables:
        own = [outcome for outcome in outcomes if outcome.entry["asset"] == table.name]
        for outcome in own:
            context.add_asset_metadata(
                _day_metadata(outcome),
                asset_key=dg.AssetKey(table.name),
                partition_key=None if pull.is_snapshot else outcome.entry["usage_date"].isoformat(),
            )
        context.log.info(f"{table.name}: {_summary(own)}", extra={"labels": {"asset": table.name}})
        yield dg.MaterializeResult(asset_key=table.name, metadata={"days": dg.MetadataValue.md(_day_by_day(own))})


def _day_metadata(outcome: Landed) -> dict[str, Any]:
    entry = outcome.entry
    metadata: dict[str, Any] = {
        "status": entry["status"],
        "changed": outcome.changed,
        "dagster/partition_row_count": entry["records"] or 0,
    }
    if entry["amount_usd"] is not None:
        metadata["amount_usd"] = f"{entry['amount_usd']:,.2f}"
    for name in ("pages", "expected_records", "message"):
        if entry[name] is not None:
            metadata[name] = entry[name]
    if entry["watermark"] is not None:
        metadata["watermark"] = entry["watermark"].isoformat()
    return metadata


def _summary(outcomes: Sequence[Landed]) -> str:
    entries = [outcome.entry for outcome in outcomes]
    records = sum(entry["records"] or 0 for entry in entries)
    changed = sum(outcome.changed for outcome in outcomes)
    parts = [f"{len(entries)} day{'s' * (len(entries) != 1)}", f"{records:,} record{'s' * (records != 1)}"]
    amounts = [entry["amount_usd"] for entry in entries if entry["amount_usd"] is not None]
    if amounts:
        parts.append(f"${sum(amounts):,.2f}")
    parts.append(f"{changed} changed")
    bad = [entry for entry in entries if entry["status"] != "complete"]
    if bad:
        parts.append(", ".join(sorted({f"{entry['status'].replace('_', ' ')}" for entry in bad})))
    return ", ".join(parts)


def _day_by_day(outcomes: Sequence[Landed]) -> str:
    lines = ["| day | table | status | records | USD | pages | watermark | note |", "|---|---|---|--:|--:|--:|---|---|"]
    # Dagster keeps this with every day of the range, so a long range lists only what a person must look at.
    told = outcomes if len(outcomes) <= _DAYS_LISTED else [o for o in outcomes if o.entry["status"] != "complete"]
    for outcome in told[:_DAYS_LISTED]:
        entry = outcome.entry
        amount = f"{entry['amount_usd']:,.2f}" if entry["amount_usd"] is not None else ""
        watermark = entry["watermark"].strftime("%Y-%m-%d %H:%M") if entry["watermark"] else ""
        lines.append(
            f"| {entry['usage_date']} | {entry['asset']} | {entry['status']} | {entry['records'] or 0:,} | {amount} "
            f"| {entry['pages'] or ''} | {watermark} | {entry['message'] or ('new' if outcome.changed else '')} |"
        )
    if len(outcomes) > _DAYS_LISTED:
        lines.append(f"\n{len(outcomes)} days and tables in all; {len(told)} of them are not complete.")
    return "\n".join(lines)
