"""Extracts usage events, the bill: a day is read completely, compared with Cursor's own count, and replaced.

Events have no id, so they are never deduplicated or merged.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import msgspec

from ai_usage_assets.days import DayRange
from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.sources.base import DayBatch, EmailIdentity, Extract, InvalidRecordError, RejectedDay
from ai_usage_assets.sources.cursor.client import MAX_PAGES, PAGE_SIZE, CursorClient, day_bounds
from ai_usage_assets.sources.cursor.responses import (
    ChargedEvent,
    ChargedEvents,
    Event,
    EventsPage,
    PlainEvents,
    PricedTokens,
    Tokens,
)
from ai_usage_assets.sources.cursor.tables import EVENT_FIELDS, NAME, RAW_EVENTS
from ai_usage_assets.sources.money import cents_to_usd, discounted_total_usd, parse_optional_decimal, sum_cents_to_usd
from ai_usage_assets.sources.records import reject_duplicate_keys

_ENDPOINT = "/teams/filtered-usage-events"
_MAX_ATTEMPTS = 3


@dataclass
class DayFetch:
    """One read of a day. It keeps no pages, because a day can have a hundred megabytes."""

    records: list[bytes] = field(default_factory=list)
    # The counts that the pages report.
    counts: set[int] = field(default_factory=set)
    pages: int = 0
    amount_usd: Decimal = Decimal(0)
    page_digests: set[str] = field(default_factory=set)
    # A page occurred twice. The count does not detect it: the page that is missing had the same length.
    has_repeated_page: bool = False
    # Why an event is invalid.
    problem: str | None = None


def _fetch_events(client: CursorClient, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    for day in days:
        yield _fetch_consistent_day(client, day)


def _fetch_consistent_day(client: CursorClient, day: date) -> DayBatch | RejectedDay:
    """Reads a day, again if it changed meanwhile: a late event shifts the pages."""
    inconsistency = ""
    for _ in range(_MAX_ATTEMPTS):
        fetched = _fetch_day(client, day)
        if fetched.has_repeated_page:
            inconsistency = "a page occurred twice"
            continue
        if fetched.counts != {len(fetched.records)}:
            counts = " then ".join(map(str, sorted(fetched.counts)))
            inconsistency = f"{len(fetched.records)} events on the pages, {counts} reported by Cursor"
            continue
        if fetched.problem:
            reason = f"an event is invalid: {fetched.problem}. Report it; the earlier data stays."
            return RejectedDay(RAW_EVENTS, day, reason)
        return DayBatch(
            RAW_EVENTS,
            day,
            fetched.records,
            fetched.pages,
            expected_records=len(fetched.records),
            amount_usd=fetched.amount_usd,
        )
    reason = f"the day changed during each read ({inconsistency}). The earlier data stays; run the day again."
    return RejectedDay(RAW_EVENTS, day, reason)


def _fetch_day(client: CursorClient, day: date) -> DayFetch:
    fetched, bounds = DayFetch(), day_bounds(DayRange(day, day))
    for page, body in _iter_pages(client, bounds):
        events = [bytes(event) for event in page.usage_events]
        digest = sha256_hex(b"\n".join(events))
        # Two pages that consist of one repeated event can be equal.
        fetched.has_repeated_page |= digest in fetched.page_digests and len(set(events)) > 1
        fetched.page_digests.add(digest)
        fetched.pages += 1
        fetched.counts.add(page.total_usage_events_count)
        fetched.records += events
        try:
            fetched.amount_usd += _sum_page_usd(body, bounds)
        except (msgspec.ValidationError, InvalidRecordError) as error:
            fetched.problem = str(error)
    return fetched


def _iter_pages(client: CursorClient, bounds: dict[str, int]) -> Iterator[tuple[EventsPage, bytes]]:
    events_read = 0

    def fetch(token: str | None) -> tuple[tuple[EventsPage, bytes], str | None]:
        nonlocal events_read
        number = int(token or 1)
        page, body = client.post(_ENDPOINT, {**bounds, "page": number, "pageSize": PAGE_SIZE}, EventsPage)
        events_read += len(page.usage_events)
        # Stops at an empty page and above the reported count, which would not end; the count then rejects the day.
        has_more = page.pagination.has_next_page and page.usage_events and events_read <= page.total_usage_events_count
        return (page, body), str(number + 1) if has_more else None

    return paginate(fetch, service=NAME, endpoint=_ENDPOINT, max_pages=MAX_PAGES)


def _sum_page_usd(body: bytes, bounds: dict[str, int]) -> Decimal:
    """The dollars of a page's events. The SQL models compute the same sum independently, and a check compares them."""
    plain = _sum_plain_page_usd(body, bounds)
    if plain is not None:
        return plain
    reject_duplicate_keys(body)
    events = msgspec.json.decode(body, type=ChargedEvents).usage_events
    for event in events:
        _validate(event, bounds)
    return sum(map(event_usd, events), Decimal(0))


def _validate(event: ChargedEvent, bounds: dict[str, int]) -> None:
    timestamp = str(event.timestamp)
    if not (len(timestamp) < 16 and timestamp.isascii() and timestamp.isdigit()):
        raise InvalidRecordError("a timestamp is not a number of milliseconds")
    if not bounds["startDate"] <= int(timestamp) <= bounds["endDate"]:
        raise InvalidRecordError("an event is outside the requested day")
    tokens = event.token_usage or Tokens()
    for count in (tokens.input_tokens, tokens.output_tokens, tokens.cache_write_tokens, tokens.cache_read_tokens):
        if count is not None and not count.is_finite():
            raise InvalidRecordError("a token count is not a number")


# The fields that attribute an event. A duplicate of one of them would be ambiguous.
_ATTRIBUTION_KEYS = (b'"userEmail"', b'"serviceAccountId"', b'"conversationId"', b'"model"', b'"kind"')


def _sum_plain_page_usd(body: bytes, bounds: dict[str, int]) -> Decimal | None:
    """Computes the sum for a page of events in their usual form, five times as fast; None for any other page."""
    try:
        events = msgspec.json.decode(body, type=PlainEvents).usage_events
    except msgspec.ValidationError:
        return None
    # Detecting duplicate keys takes longer than everything else. Instead: no escapes, and each key as often as events.
    if {body.count(name) for name in (b'"timestamp"', b'"chargedCents"')} != {len(events)} or b"\\" in body:
        return None
    if any(body.count(name) > len(events) for name in _ATTRIBUTION_KEYS) or body.count(b'"usageEvents"') != 1:
        return None
    # Strings of digits of equal length sort like their numbers.
    timestamps = [event.timestamp for event in events]
    first, last = str(bounds["startDate"]), str(bounds["endDate"])
    digits = "".join(timestamps)
    if {*map(len, (first, last, *timestamps))} != {len(first)} or not (digits.isascii() and digits.isdigit()):
        return None
    if not first <= min(timestamps) <= max(timestamps) <= last:
        return None
    return sum_cents_to_usd(event.charged_cents for event in events)


def event_usd(event: ChargedEvent) -> Decimal:
    """The dollars of an event: `chargedCents`, which includes the token fee, or else tokens less discount plus fee.

    The parts are parsed only if `chargedCents` is missing. The SQL models read invalid parts as NULL.
    """
    charged = parse_optional_decimal(event.charged_cents)
    if charged is not None:
        return cents_to_usd(charged)
    tokens = event.token_usage or PricedTokens()
    total, fee = parse_optional_decimal(tokens.total_cents), parse_optional_decimal(event.cursor_token_fee)
    discount = parse_optional_decimal(tokens.discount_percent_off) or Decimal(0)
    if not 0 <= discount <= 100 or round(discount, 4) != discount:
        raise InvalidRecordError("a discount is not a percentage with at most four decimals")
    remaining_share = (Decimal(100) - discount) / Decimal(100)
    return discounted_total_usd(total or Decimal(0), remaining_share, fee or Decimal(0))


def _read_identity(record: bytes) -> tuple[Hashable, str | None]:
    event = msgspec.json.decode(record, type=Event)
    tokens = event.token_usage or Tokens()
    identity = (
        str(event.timestamp),
        event.model,
        event.conversation_id,
        tokens.input_tokens,
        tokens.output_tokens,
        tokens.cache_write_tokens,
        tokens.cache_read_tokens,
    )
    return identity, (event.user_email or "").strip() or None


EXTRACT = Extract(
    "cursor_usage_events",
    NAME,
    (RAW_EVENTS,),
    _fetch_events,
    email_identities={RAW_EVENTS.name: EmailIdentity(_read_identity, one_to_one=True)},
    known_fields={RAW_EVENTS.name: EVENT_FIELDS},
)
