"""Extracts usage and cost analytics: six queries of one export, reconciled day by day before anything is loaded."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec

from ai_usage_assets.days import DayRange, day_end
from ai_usage_assets.http.errors import PageTokenExpired
from ai_usage_assets.sources.anthropic.client import (
    ANALYTICS,
    PAGE_ROWS,
    AnthropicClient,
    format_instant,
    time_bounds,
    translate_access_errors,
)
from ai_usage_assets.sources.anthropic.responses import AnalyticsReport, Bucket, CostRow, GroupedRow, UsageRow
from ai_usage_assets.sources.anthropic.tables import (
    COST_FIELDS,
    NAME,
    RAW_COST,
    RAW_COST_BY_ACTOR_TYPE,
    RAW_COST_COMPONENTS,
    RAW_COST_TOTAL,
    RAW_USAGE,
    RAW_USAGE_TOTAL,
    ROW_ROUNDING_USD,
    USAGE_FIELDS,
)
from ai_usage_assets.sources.base import DayBatch, EmailIdentity, Extract, InvalidRecordError, RejectedDay
from ai_usage_assets.sources.money import cents_to_usd, parse_decimal
from ai_usage_assets.sources.records import reject_duplicate_keys, to_utc
from ai_usage_assets.warehouse.tables import Table

# Analytics covers days from this one on, and the last 365 days.
_FIRST_DAY, _MAX_AGE = date(2026, 1, 1), timedelta(days=364)
# The API accepts 31 days; a shorter window needs less memory and restarts faster.
_WINDOW_DAYS = 10
_MAX_ATTEMPTS = 3

# The API groups by at most five dimensions.
DIMENSIONS = ("actor", "api_key_id", "workspace_id", "model", "product")


class ExportChanged(Exception):
    """Anthropic refreshed its data between two pages, so pages of both exports must not be combined."""


@dataclass(frozen=True)
class _Query:
    table: Table
    report: str
    group_by: tuple[str, ...] = ()

    @property
    def is_cost(self) -> bool:
        return self.report == "cost"


_COST_TOTAL = _Query(RAW_COST_TOTAL, "cost")
_USAGE = _Query(RAW_USAGE, "usage", DIMENSIONS)
_USAGE_TOTAL = _Query(RAW_USAGE_TOTAL, "usage")
_QUERIES = (
    _COST_TOTAL,
    _Query(RAW_COST, "cost", DIMENSIONS),
    _Query(RAW_COST_COMPONENTS, "cost", ("workspace_id", "model", "cost_type", "token_type")),
    _Query(RAW_COST_BY_ACTOR_TYPE, "cost", ("actor_type",)),
    _USAGE,
    _USAGE_TOTAL,
)


@dataclass
class _QueryDay:
    """The records of one query and day, and their sums."""

    records: list[bytes] = field(default_factory=list)
    amount_usd: Decimal = Decimal(0)
    list_amount_usd: Decimal = Decimal(0)
    tokens: Decimal = Decimal(0)
    # Tokens of the Console, which are billed. Usage of Claude Enterprise has no workspace, and seats may cover it.
    billable_tokens: Decimal = Decimal(0)
    # Why a record cannot be read.
    problem: str | None = None


@dataclass
class _Window:
    """The responses of the six queries for a range of days, all from one export."""

    watermark: datetime | None = None
    pages: dict[str, int] = field(default_factory=dict)
    days: dict[tuple[str, date], _QueryDay] = field(default_factory=dict)

    def get(self, query: _Query, day: date) -> _QueryDay:
        return self.days.get((query.table.name, day)) or _QueryDay()


def _fetch_analytics(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    """Reads a window, again from the start when the export changes or a page token expires meanwhile."""
    for _ in range(_MAX_ATTEMPTS):
        try:
            # A key without access to the bill is a configuration error and not a fact about the contract.
            with translate_access_errors(include_key_errors=False):
                window = _read_window(client, days)
        except (PageTokenExpired, ExportChanged):
            continue
        for day in days:
            yield from _reconcile_day(window, day)
        return
    reason = f"Anthropic refreshed its data during each of {_MAX_ATTEMPTS} reads; run the day again in an hour."
    for query in _QUERIES:
        for day in days:
            yield RejectedDay(query.table, day, reason)


def _read_window(client: AnthropicClient, days: DayRange) -> _Window:
    watermarks: set[datetime | None] = set()
    window = _Window()
    for query in _QUERIES:
        params = [
            *time_bounds(days),
            ("time_bucket_width", "1d"),
            ("order_by", "time"),
            ("order", "asc"),
            ("limit", str(PAGE_ROWS)),
            *(("group_by[]", dimension) for dimension in query.group_by),
        ]
        pages = 0
        for page in client.iter_report(f"analytics/{query.report}", params, AnalyticsReport, ANALYTICS):
            pages += 1
            watermarks.add(page.data_refreshed_at and to_utc(page.data_refreshed_at))
            if len(watermarks) > 1:
                raise ExportChanged
            for record in page.data:
                _bucket_record(window, query, bytes(record), days)
        window.pages[query.table.name] = pages
    window.watermark = watermarks.pop()
    return window


def _bucket_record(window: _Window, query: _Query, record: bytes, days: DayRange) -> None:
    """Adds a record to its day. A record that cannot be read invalidates its day, not the window."""
    day = to_utc(msgspec.json.decode(record, type=Bucket).starting_at).date()
    if not days.first <= day <= days.last:
        raise InvalidRecordError(f"a record of {query.table.name} is of {day}, which was not requested")
    query_day = window.days.setdefault((query.table.name, day), _QueryDay())
    query_day.records.append(record)
    try:
        _add_to_sums(query_day, query, record)
    except (msgspec.ValidationError, InvalidRecordError) as error:
        query_day.problem = str(error)


def _add_to_sums(query_day: _QueryDay, query: _Query, record: bytes) -> None:
    workspace_id = None
    if query.group_by == DIMENSIONS:
        # Validates the actor too, whose e-mail address is read again when the day is loaded.
        workspace_id = msgspec.json.decode(record, type=GroupedRow).group.workspace_id
    if query.is_cost:
        reject_duplicate_keys(record, b'"cost"', b'"amount"', b'"list_amount"')
        cost = msgspec.json.decode(record, type=CostRow).cost
        if cost.currency != "USD":
            raise InvalidRecordError("an amount is not in USD")
        query_day.amount_usd += cents_to_usd(parse_decimal(cost.amount))
        query_day.list_amount_usd += cents_to_usd(parse_decimal(cost.list_amount))
        return
    tokens = msgspec.json.decode(record, type=UsageRow).usage
    for count in (tokens.output_tokens, tokens.uncached_input_tokens, tokens.cache_read_input_tokens):
        parse_decimal(count)
    total = parse_decimal(tokens.total_tokens)
    query_day.tokens += total
    query_day.billable_tokens += total if workspace_id else 0


def _reconcile_day(window: _Window, day: date) -> Iterator[DayBatch | RejectedDay]:
    """Yields the day's batches, or rejects them. Wrong token counts do not reject the bill."""
    cost_problem = _find_cost_problem(window, day)
    usage_problem = cost_problem or _find_usage_problem(window, day)
    incomplete_reason = None
    if window.watermark is not None and window.watermark < day_end(day):
        incomplete_reason = (
            f"Anthropic's data ends at {format_instant(window.watermark)}; it lags by 4 to 24 hours. "
            "Run the day again later."
        )
    for query in _QUERIES:
        if problem := cost_problem if query.is_cost else usage_problem:
            yield RejectedDay(query.table, day, problem)
            continue
        query_day = window.get(query, day)
        yield DayBatch(
            table=query.table,
            day=day,
            records=query_day.records,
            pages=window.pages[query.table.name],
            amount_usd=query_day.amount_usd if query.is_cost else None,
            watermark=window.watermark,
            incomplete_reason=incomplete_reason,
        )


def _find_cost_problem(window: _Window, day: date) -> str | None:
    if window.watermark is None:
        return "Anthropic has no data for these days yet (data_refreshed_at is null); run them again later."
    cost_queries = [query for query in _QUERIES if query.is_cost]
    for query in cost_queries:
        if problem := _find_unreadable(window, query, day):
            return problem
    total = window.get(_COST_TOTAL, day)
    billable_tokens = window.get(_USAGE, day).billable_tokens
    if billable_tokens and not total.records:
        return (
            f"Anthropic reports {billable_tokens:,} tokens but no cost for the day. The earlier data stays; run the "
            "day again, and ask Anthropic if this persists."
        )
    for query in cost_queries:
        detail = window.get(query, day)
        tolerance = ROW_ROUNDING_USD * (len(detail.records) + len(total.records))
        for what, detail_usd, total_usd in (
            ("billed", detail.amount_usd, total.amount_usd),
            ("at list price", detail.list_amount_usd, total.list_amount_usd),
        ):
            if abs(detail_usd - total_usd) > tolerance:
                return (
                    f"the rows of {query.table.name} add up to ${detail_usd} {what}, Anthropic's total of the day is "
                    f"${total_usd}. The earlier data stays; run the day again, and report it if this persists."
                )
    return None


def _find_usage_problem(window: _Window, day: date) -> str | None:
    for query in (_USAGE, _USAGE_TOTAL):
        if problem := _find_unreadable(window, query, day):
            return problem
    detail, total = window.get(_USAGE, day).tokens, window.get(_USAGE_TOTAL, day).tokens
    if detail != total:
        return (
            f"the rows of {RAW_USAGE.name} add up to {detail:,} tokens, Anthropic's total of the day is {total:,}. "
            "The earlier data stays; run the day again, and report it if this persists."
        )
    return None


def _find_unreadable(window: _Window, query: _Query, day: date) -> str | None:
    problem = window.get(query, day).problem
    return problem and f"{query.table.name} has an invalid record: {problem}. Report it; the earlier data stays."


def _read_user(record: bytes) -> tuple[Hashable, str | None]:
    actor = msgspec.json.decode(record, type=GroupedRow).group.actor
    return (actor.user_id, actor.email_address) if actor and actor.user_id else (None, None)


_USER = EmailIdentity(_read_user, one_to_one=False)

EXTRACT = Extract(
    "anthropic_analytics",
    NAME,
    tuple(query.table for query in _QUERIES),
    _fetch_analytics,
    window_days=_WINDOW_DAYS,
    earliest_day=lambda today: max(_FIRST_DAY, today - _MAX_AGE),
    email_identities={RAW_COST.name: _USER, RAW_USAGE.name: _USER},
    known_fields={RAW_COST.name: COST_FIELDS, RAW_USAGE.name: USAGE_FIELDS},
)
