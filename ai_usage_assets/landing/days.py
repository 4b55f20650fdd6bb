"""Requests the days of an extract window by window and loads them.

A failed day does not stop the others: the days that can be loaded are loaded, and a failed day keeps its earlier data.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

import msgspec

from ai_usage_assets.days import DayRange, chunk_days
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.extracts import ExtractLoader, LandingResult
from ai_usage_assets.redaction import redact
from ai_usage_assets.registry import load_source, source_entry
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.sources.base import EndpointNotAvailable, Extract, InvalidRecordError, SourceClient
from ai_usage_assets.warehouse.base import Warehouse

# After this many failed windows in a row, each with all its retries, the vendor is down: more requests only cost time.
_MAX_FAILED_WINDOWS = 2
# These statuses reject the key, so every other window would fail too.
_UNAUTHORIZED = 401
_KEY_REJECTED = {_UNAUTHORIZED, 402, 403}


def load_days(
    warehouse: Warehouse,
    extract: Extract,
    client: SourceClient | None,
    days: Sequence[date],
    run: RunContext,
    log: logging.Logger,
) -> list[LandingResult]:
    """Loads the days of an extract. Returns one result per day and table, also of days that were not loaded.

    `client` is the source's; None without a key. Errors of the source become results; raises WarehouseError.
    """
    with warehouse.label_jobs(asset=extract.name), ExtractLoader(warehouse, extract, days, run) as loader:
        _load_windows(warehouse, extract, client, days, loader, run, log)
    return loader.results


def _load_windows(
    warehouse: Warehouse,
    extract: Extract,
    client: SourceClient | None,
    days: Sequence[date],
    loader: ExtractLoader,
    run: RunContext,
    log: logging.Logger,
) -> None:
    source = source_entry(extract.vendor)
    if client is None:
        message = f"{source.key_variable} is not set, so {source.label} is not loaded."
        log.info(message)
        loader.log_unloaded(days, "not_configured", message)
        return
    if client.key_rejection:
        loader.log_unloaded(days, "failed", client.key_rejection)
        return
    earliest = extract.earliest_day(run.now.date()) if extract.earliest_day else date.min
    too_old = [day for day in days if day < earliest]
    message = f"{source.label} no longer returns this day. Data that was loaded before stays."
    loader.log_unloaded(too_old, "not_exposed", message)
    failed_windows = 0
    windows = chunk_days([day for day in days if day >= earliest], extract.window_days)
    for number, window in enumerate(windows):
        # A request can take minutes; other processes can use the warehouse meanwhile.
        warehouse.close()
        remaining = [day for later in windows[number:] for day in later]
        try:
            loader.load(extract.fetch(client, window))
        except EndpointNotAvailable as error:
            log.info(f"{extract.name}: not exposed: {redact(str(error))}")
            loader.log_unloaded(remaining, "not_exposed", str(error))
            return
        except SecretError as error:
            loader.log_unloaded(remaining, "failed", str(error))
            return
        except ApiError as error:
            failed_windows += 1
            # Another endpoint can reject a key that is valid for the bill, depending on the plan.
            if error.status == _UNAUTHORIZED and load_source(extract.vendor).is_bill(extract):
                client.key_rejection = str(error)
            if error.status in _KEY_REJECTED or failed_windows >= _MAX_FAILED_WINDOWS:
                loader.log_unloaded(remaining, "failed", str(error))
                return
            loader.log_unloaded(list(window), "failed", str(error))
        except (InvalidRecordError, msgspec.MsgspecError) as error:
            message = f"a response of {extract.name} is invalid: {error}. The earlier data stays."
            loader.log_unloaded(list(window), "failed", message)
        else:
            failed_windows = 0
            log.debug(f"{extract.name}: {window} extracted")


def describe_failure(extract: Extract, results: Sequence[LandingResult]) -> str | None:
    """Which days were not loaded, and why; None if every day was loaded, or if none was to be loaded."""
    failed = [result.entry for result in results if result.entry["status"] == "failed"]
    if not failed:
        return None
    days = sorted({entry["usage_date"] for entry in failed})
    span = DayRange(days[0], days[-1])
    count = f"no day of {span}" if len(failed) == len(results) else f"{len(days)} of the days {span}"
    verb = "was" if len(failed) == len(results) or len(days) == 1 else "were"
    outcome = f"{count} {verb} loaded" if len(failed) == len(results) else f"{count} {verb} not loaded"
    return f"{extract.name}: {outcome}; the earlier data stays. {failed[0]['message']}"
