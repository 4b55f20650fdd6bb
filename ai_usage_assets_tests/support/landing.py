"""Loads batches of records as one extract does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.extracts import ExtractLoader, LandingResult
from ai_usage_assets.sources.base import DayBatch, Extract, RejectedDay
from ai_usage_assets.warehouse.base import Warehouse


def load_extract(
    warehouse: Warehouse, extract: Extract, batches: Iterable[DayBatch | RejectedDay], run: RunContext
) -> list[LandingResult]:
    """Loads all batches together. Returns one result per batch, in order."""
    fetched = list(batches)
    with ExtractLoader(warehouse, extract, [batch.day for batch in fetched], run) as loader:
        loader.load(fetched)
    return loader.results


def log_unloaded_days(
    warehouse: Warehouse, extract: Extract, days: Sequence[date], run: RunContext, status: str, message: str
) -> list[LandingResult]:
    """Records in the day log why days were not loaded."""
    with ExtractLoader(warehouse, extract, days, run) as loader:
        loader.log_unloaded(days, status, message)
    return loader.results
