"""Extracts the classic reports: the cost report, an independent control, and Claude Code productivity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import msgspec

from ai_usage_assets.days import DayRange
from ai_usage_assets.sources.anthropic.client import (
    CLASSIC,
    PAGE_ROWS,
    AnthropicClient,
    time_bounds,
    translate_access_errors,
)
from ai_usage_assets.sources.anthropic.responses import Bucket, ClaudeCodeRow, CostReportBucket, Report
from ai_usage_assets.sources.anthropic.tables import COST_REPORT_FIELDS, NAME, RAW_CLAUDE_CODE, RAW_COST_REPORT
from ai_usage_assets.sources.base import DayBatch, Extract, InvalidRecordError, RejectedDay
from ai_usage_assets.sources.money import cents_to_usd, parse_decimal
from ai_usage_assets.sources.records import reject_duplicate_keys, to_utc

_PAGE_DAYS = 31


def _fetch_cost_report(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    params = [
        *time_bounds(days),
        ("bucket_width", "1d"),
        ("limit", str(_PAGE_DAYS)),
        ("group_by[]", "workspace_id"),
        ("group_by[]", "description"),
    ]
    buckets: dict[date, list[bytes]] = defaultdict(list)
    pages = 0
    with translate_access_errors():
        for page in client.iter_report("cost_report", params, Report, CLASSIC):
            pages += 1
            for record in page.data:
                bucket = msgspec.json.decode(record, type=Bucket)
                buckets[to_utc(bucket.starting_at).date()].append(bytes(record))
    for day in days:
        if len(buckets[day]) != 1:
            reason = f"cost_report returned {len(buckets[day])} buckets for the day instead of one."
            yield RejectedDay(RAW_COST_REPORT, day, reason)
            continue
        try:
            amount_usd = _sum_usd(buckets[day][0])
        except (msgspec.ValidationError, InvalidRecordError) as error:
            yield RejectedDay(RAW_COST_REPORT, day, f"the bucket is invalid: {error}.")
            continue
        yield DayBatch(RAW_COST_REPORT, day, buckets[day], pages, amount_usd=amount_usd)


def _sum_usd(record: bytes) -> Decimal:
    reject_duplicate_keys(record)
    items = msgspec.json.decode(record, type=CostReportBucket).results
    if any(item.currency != "USD" for item in items):
        raise InvalidRecordError("an amount is not in USD")
    return sum((cents_to_usd(parse_decimal(item.amount)) for item in items), Decimal(0))


def _fetch_claude_code(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    for day in days:
        params = [("starting_at", day.isoformat()), ("limit", str(PAGE_ROWS))]
        with translate_access_errors():
            pages = list(client.iter_report("usage_report/claude_code", params, Report, CLASSIC))
        records = [bytes(record) for page in pages for record in page.data]
        if any(to_utc(msgspec.json.decode(record, type=ClaudeCodeRow).date).date() != day for record in records):
            yield RejectedDay(RAW_CLAUDE_CODE, day, "a record is of another day than requested.")
            continue
        yield DayBatch(RAW_CLAUDE_CODE, day, records, len(pages))


EXTRACTS = (
    Extract(
        "anthropic_cost_report",
        NAME,
        (RAW_COST_REPORT,),
        _fetch_cost_report,
        window_days=_PAGE_DAYS,
        known_fields={RAW_COST_REPORT.name: COST_REPORT_FIELDS},
    ),
    Extract("anthropic_claude_code", NAME, (RAW_CLAUDE_CODE,), _fetch_claude_code, may_become_empty=True),
)
