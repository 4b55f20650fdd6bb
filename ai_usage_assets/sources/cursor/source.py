"""All that is known of Cursor's Admin API: endpoints, paging, windows, what must add up.

Belongs here: the vendor's facts. Does not: HTTP (`gateway`), storage (`landing`), or what the numbers mean to finance
(`sql/`). `filtered-usage-events.chargedCents` is the ledger. No event has an id, so events are never told apart or
merged: a day is pulled whole, counted against the vendor's own count, and replaced whole. `spend` is the control,
members and daily usage tell who held a seat. Only read paths are known here, so nothing else can be called.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec

from ai_usage_assets.days import DayRange, day_end, day_start
from ai_usage_assets.http.client import ApiClient, Endpoint, RawResponse
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.http.rate_limit import Clock, SystemClock
from ai_usage_assets.http.retry import RetryPolicy
from ai_usage_assets.sources.base import (
    DayBatch,
    EmailIdentity,
    EndpointNotAvailable,
    Extract,
    InvalidRecordError,
    KeyKind,
    Probe,
    ProbeResult,
    RejectedDay,
    Source,
)
from ai_usage_assets.sources.money import cents_to_usd, discounted_total_usd, parse_optional_decimal, sum_cents_to_usd
from ai_usage_assets.sources.records import field_paths, reject_duplicate_keys
from ai_usage_assets.warehouse.raw_tables import raw_table

NAME = "cursor"

_T = TypeVar("_T")

# The limits are the team's, not the key's: some room is left for whoever else uses it.
_ENDPOINTS = [
    Endpoint("POST", "/teams/filtered-usage-events", 50),
    Endpoint("GET", "/teams/members", 15),
    Endpoint("POST", "/teams/spend", 15),
    Endpoint("POST", "/teams/daily-usage-data", 15),
    Endpoint("GET", "/teams/groups", 15),
    # Which plan it is shows here; asked by the probe only.
    Endpoint("GET", "/analytics/team/dau", 15),
]

_PAGE_SIZE = 1000
_SPEND_PAGE_SIZE = 100
_DAILY_USAGE_DAYS = 30
_CRAWLS = 3
# Of the rows of daily usage so many may lack their day; more is no slip, and none is believed.
_MOST_ASTRAY = 0.05
# Page numbers do not come back as a lost cursor would; half a million events a day are beyond any team.
_MOST_PAGES = 500
_MILLISECOND = timedelta(milliseconds=1)

RAW_EVENTS = raw_table(
    "raw_cursor_usage_events", "Every billable or included request: who, which model, tokens, cents charged."
)
RAW_DAILY_USAGE = raw_table(
    "raw_cursor_daily_usage", "One row per member and day: was active, lines, requests; tells who was a member."
)
RAW_MEMBERS = raw_table("raw_cursor_members", "Members of the team, removed ones as far as shown.", snapshot=True)
RAW_SPEND = raw_table(
    "raw_cursor_spend", "Cursor's own spend per member in the current billing cycle, a control.", snapshot=True
)
RAW_GROUPS = raw_table("raw_cursor_groups", "Billing groups, where the plan has them (Enterprise).", snapshot=True)


class _EventsPagination(msgspec.Struct):
    hasNextPage: bool  # noqa: N815 - the vendor's spelling, as in all shapes below


class _Events(msgspec.Struct):
    totalUsageEventsCount: int  # noqa: N815
    pagination: _EventsPagination
    usageEvents: list[msgspec.Raw]  # noqa: N815


_ABSENT = msgspec.Raw(b"")


class _Tokens(msgspec.Struct, gc=False):
    inputTokens: Decimal | None = None  # noqa: N815
    outputTokens: Decimal | None = None  # noqa: N815
    cacheWriteTokens: Decimal | None = None  # noqa: N815
    cacheReadTokens: Decimal | None = None  # noqa: N815


class _PricedTokens(_Tokens, gc=False):
    totalCents: msgspec.Raw = _ABSENT  # noqa: N815
    discountPercentOff: msgspec.Raw = _ABSENT  # noqa: N815


class _Charge(msgspec.Struct, gc=False):
    """What an event costs; the fields it has in common with `_Event` are read for their own sake there."""

    timestamp: int | str
    tokenUsage: _PricedTokens | None = None  # noqa: N815
    chargedCents: msgspec.Raw = _ABSENT  # noqa: N815
    cursorTokenFee: msgspec.Raw = _ABSENT  # noqa: N815


class _Charges(msgspec.Struct):
    usageEvents: list[_Charge]  # noqa: N815


class _PlainTokens(msgspec.Struct, gc=False):
    inputTokens: int | None = None  # noqa: N815
    outputTokens: int | None = None  # noqa: N815
    cacheWriteTokens: int | None = None  # noqa: N815
    cacheReadTokens: int | None = None  # noqa: N815


class _PlainCharge(msgspec.Struct, gc=False):
    """A charge as nearly all are written, which is read in half the time."""

    timestamp: str
    chargedCents: msgspec.Raw  # noqa: N815
    tokenUsage: _PlainTokens | None = None  # noqa: N815


class _PlainCharges(msgspec.Struct):
    usageEvents: list[_PlainCharge]  # noqa: N815


class _Event(msgspec.Struct):
    timestamp: int | str
    userEmail: str | None = None  # noqa: N815
    model: str | None = None
    conversationId: str | None = None  # noqa: N815
    tokenUsage: _Tokens | None = None  # noqa: N815


class _DailyPagination(msgspec.Struct):
    hasNextPage: bool  # noqa: N815
    totalUsers: int | None = None  # noqa: N815


class _DailyUsage(msgspec.Struct):
    data: list[msgspec.Raw]
    pagination: _DailyPagination


class _DailyRow(msgspec.Struct):
    day: date
    userId: str | int | None = None  # noqa: N815
    email: str | None = None


class _Member(msgspec.Struct):
    id: str | int
    role: str | None = None
    isRemoved: bool | None = None  # noqa: N815


class _Members(msgspec.Struct):
    teamMembers: list[msgspec.Raw]  # noqa: N815


# Until the year 2100, as far as any clock here is trusted.
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]


class _MemberSpend(msgspec.Struct):
    spendCents: msgspec.Raw = _ABSENT  # noqa: N815
    overallSpendCents: msgspec.Raw = _ABSENT  # noqa: N815


class _Spend(msgspec.Struct):
    teamMemberSpend: list[msgspec.Raw]  # noqa: N815
    subscriptionCycleStart: _Milliseconds  # noqa: N815
    totalPages: int  # noqa: N815
    totalMembers: int | None = None  # noqa: N815


class _GroupMember(msgspec.Struct):
    spendCents: msgspec.Raw = _ABSENT  # noqa: N815


class _Group(msgspec.Struct):
    currentMembers: list[_GroupMember] | None = None  # noqa: N815


class _Groups(msgspec.Struct):
    groups: list[_Group]


class Cursor:
    """The team's key, and what can be asked with it. No I/O until the first request."""

    def __init__(
        self,
        key: Callable[[], str],
        base_url: str,
        *,
        pacing: bool = True,
        retry_policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._api = ApiClient(
            NAME,
            base_url,
            authorize=lambda: _basic(key()),
            endpoints=_ENDPOINTS,
            retry_policy=retry_policy,
            pacing=pacing,
            clock=clock or SystemClock(),
            hint=_hint,
        )

    def close(self) -> None:
        """Ends the connections."""
        self._api.close()

    def get(self, path: str, response_type: type[_T]) -> tuple[_T, bytes]:
        """One answer in the promised shape, and its bytes."""
        page, answer = self._api.get(path, response_type=response_type)
        return page, answer.body

    def post(self, path: str, body: Mapping[str, object], response_type: type[_T]) -> tuple[_T, bytes]:
        """One page in the promised shape, and its bytes. The API reads with POST."""
        page, answer = self._api.post(path, body, response_type=response_type)
        return page, answer.body

    @property
    def server_date(self) -> str | None:
        """What the vendor's clock showed in its last answer."""
        return self._api.server_date

    def request_once(
        self,
        path: str,
        body: Mapping[str, object] | None = None,
        params: Sequence[tuple[str, str]] = (),
        *,
        rate_limited: bool = True,
    ) -> RawResponse:
        """One answer as it came, an error too; a body makes it a POST."""
        return self._api.request_once(
            "GET" if body is None else "POST", path, body=body, params=params, rate_limited=rate_limited
        )


def _basic(key: str) -> dict[str, str]:
    # The key is the user name and the password is empty; without the colon every call is a 401.
    return {"authorization": "Basic " + b64encode(f"{key}:".encode()).decode()}


def _hint(status: int, path: str) -> str | None:
    match status:
        case 401 | 403:
            return (
                "Check CURSOR_ADMIN_KEY: it must be a live team key (Dashboard, Settings, Admin API keys), not a "
                "personal one, and the plan must include the Admin API."
            )
        case _:
            return None


def _milliseconds(days: DayRange) -> dict[str, int]:
    """Both bounds are inclusive, so a day ends one millisecond before midnight."""
    return {
        "startDate": int(day_start(days.first).timestamp() * 1000),
        "endDate": int((day_end(days.last) - _MILLISECOND).timestamp() * 1000),
    }


def _fetch_events(client: Cursor, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    for day in days:
        yield _fetch_events_of(client, day)


@dataclass
class _Crawl:
    """One reading of a day. Pages are not kept: a day may be a hundred megabytes."""

    records: list[bytes] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)
    pages: int = 0
    amount_usd: Decimal = Decimal(0)
    digests: set[bytes] = field(default_factory=set)
    # A page came twice, in which the count sees nothing: the one it replaced was as long.
    is_repeated: bool = False
    problem: str | None = None


def _fetch_events_of(client: Cursor, day: date) -> DayBatch | RejectedDay:
    """One day, crawled again when the vendor's data moved underneath: pages shift when an event arrives late."""
    found = ""
    for _ in range(_CRAWLS):
        crawl = _crawl(client, day)
        if crawl.is_repeated:
            found = "a page came twice"
            continue
        if crawl.counted != {len(crawl.records)}:
            counted = " then ".join(map(str, sorted(crawl.counted)))
            found = f"{len(crawl.records)} events on the pages, {counted} counted by Cursor"
            continue
        if crawl.problem:
            return RejectedDay(
                RAW_EVENTS,
                day,
                f"an event has an unknown shape: {crawl.problem}. Report it; what was held is kept.",
            )
        return DayBatch(
            RAW_EVENTS,
            day,
            crawl.records,
            crawl.pages,
            expected_records=len(crawl.records),
            amount_usd=crawl.amount_usd,
        )
    return RejectedDay(
        RAW_EVENTS, day, f"the day kept changing while it was read ({found}). What was held is kept; run it again."
    )


def _crawl(client: Cursor, day: date) -> _Crawl:
    crawl, bounds = _Crawl(), _milliseconds(DayRange(day, day))
    for page, body in _event_pages(client, bounds):
        events = [bytes(event) for event in page.usageEvents]
        digest = sha256(b"\n".join(events)).digest()
        # Pages of nothing but equal events may be equal.
        crawl.is_repeated |= digest in crawl.digests and len(set(events)) > 1
        crawl.digests.add(digest)
        crawl.pages += 1
        crawl.counted.add(page.totalUsageEventsCount)
        crawl.records += events
        try:
            crawl.amount_usd += _page_usd(body, bounds)
        except (msgspec.ValidationError, InvalidRecordError) as error:
            crawl.problem = str(error)
    return crawl


def _event_pages(client: Cursor, bounds: dict[str, int]) -> Iterator[tuple[_Events, bytes]]:
    read = 0

    def fetch(cursor: str | None) -> tuple[tuple[_Events, bytes], str | None]:
        nonlocal read
        page_no = int(cursor or 1)
        page, body = client.post(
            "/teams/filtered-usage-events", {**bounds, "page": page_no, "pageSize": _PAGE_SIZE}, _Events
        )
        read += len(page.usageEvents)
        # An empty page that promises more, or more events than are counted, would go on for ever; the count settles it.
        more = page.pagination.hasNextPage and page.usageEvents and read <= page.totalUsageEventsCount
        return (page, body), str(page_no + 1) if more else None

    return paginate(fetch, service=NAME, endpoint="/teams/filtered-usage-events", max_pages=_MOST_PAGES)


def _page_usd(body: bytes, bounds: dict[str, int]) -> Decimal:
    """What the events add to usage valued at Cursor's rates; `sql/` must come to the same, in its own way."""
    plain = _plain_page_usd(body, bounds)
    if plain is not None:
        return plain
    reject_duplicate_keys(body)
    events = msgspec.json.decode(body, type=_Charges).usageEvents
    for event in events:
        stamp = str(event.timestamp)
        if not (len(stamp) < 16 and stamp.isascii() and stamp.isdigit()):
            raise InvalidRecordError("an event's timestamp is not a number of milliseconds")
        if not bounds["startDate"] <= int(stamp) <= bounds["endDate"]:
            raise InvalidRecordError("an event lies outside the day that was asked for")
        tokens = event.tokenUsage
        if tokens is None:
            continue
        for count in (tokens.inputTokens, tokens.outputTokens, tokens.cacheWriteTokens, tokens.cacheReadTokens):
            if count is not None and not count.is_finite():
                raise InvalidRecordError("a count of tokens is not a number")
    return sum(map(_amount_usd, events), Decimal(0))


# By which an event finds its person: twice in one, each parser might take another.
_ATTRIBUTING = (b'"userEmail"', b'"serviceAccountId"', b'"conversationId"', b'"model"', b'"kind"')


def _plain_page_usd(body: bytes, bounds: dict[str, int]) -> Decimal | None:
    """The same in a fifth of the time; None where anything on the page is out of the ordinary."""
    try:
        events = msgspec.json.decode(body, type=_PlainCharges).usageEvents
    except msgspec.ValidationError:
        return None
    # Whether every field is there once takes longer than all the rest; where each is written as often as there are
    # events, and the charge is all that is read, it is.
    if {body.count(name) for name in (b'"timestamp"', b'"chargedCents"')} != {len(events)} or b"\\" in body:
        return None
    if any(body.count(name) > len(events) for name in _ATTRIBUTING) or body.count(b'"usageEvents"') != 1:
        return None
    # Texts of one length are in the order of their numbers.
    stamps = [event.timestamp for event in events]
    first, last = str(bounds["startDate"]), str(bounds["endDate"])
    digits = "".join(stamps)
    if {*map(len, (first, last, *stamps))} != {len(first)} or not (digits.isascii() and digits.isdigit()):
        return None
    if not first <= min(stamps) <= max(stamps) <= last:
        return None
    return sum_cents_to_usd(event.chargedCents for event in events)


def _amount_usd(event: _Charge) -> Decimal:
    """`chargedCents`, which already holds the token fee. Where it is missing, the parts it is made of stand in.

    Where it is not, they are not read, and `sql/` takes what it cannot read of them for NULL.
    """
    charged = parse_optional_decimal(event.chargedCents)
    if charged is not None:
        return cents_to_usd(charged)
    tokens = event.tokenUsage or _PricedTokens()
    total, fee = parse_optional_decimal(tokens.totalCents), parse_optional_decimal(event.cursorTokenFee)
    discount = parse_optional_decimal(tokens.discountPercentOff) or Decimal(0)
    if not 0 <= discount <= 100 or round(discount, 4) != discount:
        raise InvalidRecordError("a discount is not a percentage with at most four decimals")
    kept = (Decimal(100) - discount) / Decimal(100)
    return discounted_total_usd(total or Decimal(0), kept, fee or Decimal(0))


def _fetch_daily_usage(client: Cursor, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    """Paged, because only then every member of the day has a row, idle ones too.

    A row that does not say of which day it is lies with the last day of the window, where `sql/` leaves it aside and a
    check tells of it: it costs one member's day, not the window.
    """
    for _ in range(_CRAWLS):
        pages = list(_daily_usage_pages(client, days))
        rows = [bytes(row) for page in pages for row in page.data]
        totals = {page.pagination.totalUsers for page in pages}
        found = _why_not_whole(rows, totals, pages[0].pagination.totalUsers)
        if found is None:
            break
    else:
        raise InvalidRecordError(f"the list of members kept changing while its pages were read ({found})")
    records: dict[date, list[bytes]] = defaultdict(list)
    astray = []
    for row in rows:
        try:
            day = msgspec.json.decode(row, type=_DailyRow).day
        except msgspec.ValidationError:
            astray.append(row)
            continue
        records[day].append(row)
    # The day after may be among them: whether the end is included is not documented.
    if records and not any(day in records for day in days):
        raise InvalidRecordError(f"daily usage is of {min(records)} to {max(records)}, which was not asked for")
    if len(astray) > _MOST_ASTRAY * len(rows):
        raise InvalidRecordError(f"{len(astray)} of {len(rows)} rows do not say of which day they are")
    records[days.last] += astray
    for day in days:
        yield DayBatch(RAW_DAILY_USAGE, day, records[day], len(pages))


def _why_not_whole(rows: Sequence[bytes], said: set[_T], counted: int | None) -> str | None:
    """Why a list of members that came in pages cannot be whole, by what each page said of it and by its own count."""
    if len(said) != 1:
        return "its pages do not say the same of it"
    # A member has one row, or one a day. One that comes twice means that the list moved, and another may be missing.
    if len(set(rows)) != len(rows):
        return "a row came twice"
    # Whom it counts besides is not documented (who left, who joined since), so fewer are no sign of a loss; none is.
    if counted and not rows:
        return f"none on the pages, {counted} counted by Cursor"
    return None


def _daily_usage_pages(client: Cursor, days: DayRange) -> Iterator[_DailyUsage]:
    seen: set[bytes] = set()

    def fetch(cursor: str | None) -> tuple[_DailyUsage, str | None]:
        page_no = int(cursor or 1)
        page, _ = client.post(
            "/teams/daily-usage-data",
            {**_milliseconds(days), "page": page_no, "pageSize": _PAGE_SIZE},
            _DailyUsage,
        )
        if page.pagination.hasNextPage and not page.data:
            raise InvalidRecordError(f"page {page_no} is empty and promises more")
        # The same page for ever would never end; that rows came twice is seen by who reads them.
        is_new = seen.isdisjoint(map(bytes, page.data))
        seen.update(map(bytes, page.data))
        return page, str(page_no + 1) if page.pagination.hasNextPage and is_new else None

    return paginate(fetch, service=NAME, endpoint="/teams/daily-usage-data", max_pages=_MOST_PAGES)


def _fetch_members(client: Cursor, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    page, _ = client.get("/teams/members", _Members)
    if not page.teamMembers:
        # Every team has its owner; believed, it would end all seats.
        raise InvalidRecordError("the list of members is empty")
    for member in page.teamMembers:
        msgspec.json.decode(member, type=_Member)
    yield DayBatch(RAW_MEMBERS, days.last, [bytes(member) for member in page.teamMembers], 1)


def _fetch_spend(client: Cursor, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    """Whole pages are the records: the start of the billing cycle stands beside the members."""
    for _ in range(_CRAWLS):
        answers = list(_spend_pages(client))
        members = [bytes(member) for page, _ in answers for member in page.teamMemberSpend]
        if not members:
            raise InvalidRecordError("the list of members is empty")
        said = {(page.subscriptionCycleStart, page.totalPages, page.totalMembers) for page, _ in answers}
        found = _why_not_whole(members, said, answers[0][0].totalMembers)
        if found is None:
            break
    else:
        raise InvalidRecordError(f"the list of members kept changing while its pages were read ({found})")
    yield DayBatch(RAW_SPEND, days.last, [body for _, body in answers], len(answers))


def _spend_pages(client: Cursor) -> Iterator[tuple[_Spend, bytes]]:
    seen: set[bytes] = set()

    def fetch(cursor: str | None) -> tuple[tuple[_Spend, bytes], str | None]:
        page_no = int(cursor or 1)
        # A fixed order, because amounts move while pages are turned.
        page, body = client.post(
            "/teams/spend",
            {"sortBy": "user", "sortDirection": "asc", "page": page_no, "pageSize": _SPEND_PAGE_SIZE},
            _Spend,
        )
        for record in page.teamMemberSpend:
            # `sql/` reads them, and must be able to.
            member = msgspec.json.decode(record, type=_MemberSpend)
            parse_optional_decimal(member.spendCents)
            parse_optional_decimal(member.overallSpendCents)
        promises_more = page_no < page.totalPages
        if promises_more and not page.teamMemberSpend:
            raise InvalidRecordError(f"page {page_no} is empty and promises more")
        is_new = seen.isdisjoint(map(bytes, page.teamMemberSpend))
        seen.update(map(bytes, page.teamMemberSpend))
        return (page, body), str(page_no + 1) if promises_more and is_new else None

    return paginate(fetch, service=NAME, endpoint="/teams/spend", max_pages=_MOST_PAGES)


def _fetch_groups(client: Cursor, days: DayRange) -> Iterator[DayBatch | RejectedDay]:
    _, body = _groups(client)
    yield DayBatch(RAW_GROUPS, days.last, [body], 1)


_KEY_INVALID = re.compile(r"invalid\b.*\bkey", re.IGNORECASE)


def _groups(client: Cursor) -> tuple[_Groups, bytes]:
    try:
        page, body = client.get("/teams/groups", _Groups)
    except ApiError as failure:
        # The wrong plan has been seen as 401, too.
        if failure.status in (401, 403, 404) and not _KEY_INVALID.search(failure.detail):
            raise EndpointNotAvailable(f"{failure.endpoint}: {failure.detail}") from None
        raise
    for group in page.groups:
        for member in group.currentMembers or []:
            parse_optional_decimal(member.spendCents)
    return page, body


def _same_event(record: bytes) -> tuple[Hashable, str | None]:
    event = msgspec.json.decode(record, type=_Event)
    tokens = event.tokenUsage or _Tokens()
    identity = (
        str(event.timestamp),
        event.model,
        event.conversationId,
        tokens.inputTokens,
        tokens.outputTokens,
        tokens.cacheWriteTokens,
        tokens.cacheReadTokens,
    )
    return identity, (event.userEmail or "").strip() or None


def _same_member(record: bytes) -> tuple[Hashable, str | None]:
    try:
        row = msgspec.json.decode(record, type=_DailyRow)
    except msgspec.ValidationError:
        return None, None
    return row.userId, (row.email or "").strip() or None


_EVENT_FIELDS = field_paths(
    "timestamp userEmail serviceAccountId serviceAccountName cloudAgentId automationId conversationId model kind "
    "maxMode isTokenBasedCall isChargeable isHeadless isFreeBugbot requestsCosts chargedCents cursorTokenFee",
    tokenUsage="inputTokens outputTokens cacheWriteTokens cacheReadTokens totalCents discountPercentOff",
)
_DAILY_FIELDS = field_paths(
    "userId day date email isActive totalLinesAdded totalLinesDeleted acceptedLinesAdded acceptedLinesDeleted "
    "totalApplies totalAccepts totalRejects totalTabsShown totalTabsAccepted composerRequests chatRequests "
    "agentRequests cmdkUsages subscriptionIncludedReqs apiKeyReqs usageBasedReqs bugbotUsages mostUsedModel "
    "applyMostUsedExtension tabMostUsedExtension clientVersion"
)

EXTRACTS = (
    Extract(
        "cursor_usage_events",
        NAME,
        (RAW_EVENTS,),
        _fetch_events,
        email_identities={RAW_EVENTS.name: EmailIdentity(_same_event, one_to_one=True)},
        known_fields={RAW_EVENTS.name: _EVENT_FIELDS},
    ),
    Extract(
        "cursor_daily_usage",
        NAME,
        (RAW_DAILY_USAGE,),
        _fetch_daily_usage,
        window_days=_DAILY_USAGE_DAYS,
        email_identities={RAW_DAILY_USAGE.name: EmailIdentity(_same_member, one_to_one=False)},
        known_fields={RAW_DAILY_USAGE.name: _DAILY_FIELDS},
    ),
    Extract("cursor_members", NAME, (RAW_MEMBERS,), _fetch_members, is_snapshot=True),
    Extract("cursor_spend", NAME, (RAW_SPEND,), _fetch_spend, is_snapshot=True),
    Extract("cursor_groups", NAME, (RAW_GROUPS,), _fetch_groups, is_snapshot=True),
)


# --- Trials -------------------------------------------------------------------------------------------------------

# A personal key begins like a team's; which one it is tells only the first answer.
KEY_KINDS = (KeyKind("crsr_", "a key of Cursor"), KeyKind("key_", "an older key of Cursor"))
WANTED_KEY = "a team key (Dashboard, Settings, Admin API keys)."


def _try_members(client: Cursor, day: date) -> ProbeResult:
    page, _ = client.get("/teams/members", _Members)
    members = [msgspec.json.decode(member, type=_Member) for member in page.teamMembers]
    if not members:
        raise InvalidRecordError("the list of members is empty")
    removed = sum(bool(member.isRemoved) for member in members)
    return ProbeResult(f"{len(members) - removed} members" + (f", {removed} removed" if removed else ""))


def _try_events(client: Cursor, day: date) -> ProbeResult:
    body = {**_milliseconds(DayRange(day, day)), "page": 1, "pageSize": 1}
    page, _ = client.post("/teams/filtered-usage-events", body, _Events)
    return ProbeResult(f"{page.totalUsageEventsCount:,} events on {day}")


def _try_spend(client: Cursor, day: date) -> ProbeResult:
    body: dict[str, object] = {"sortBy": "user", "sortDirection": "asc", "page": 1, "pageSize": 1}
    page, _ = client.post("/teams/spend", body, _Spend)
    since = datetime.fromtimestamp(page.subscriptionCycleStart / 1000, UTC)
    return ProbeResult(f"the billing cycle began on {since:%Y-%m-%d}")


def _try_daily_usage(client: Cursor, day: date) -> ProbeResult:
    body = {**_milliseconds(DayRange(day, day)), "page": 1, "pageSize": 1}
    page, _ = client.post("/teams/daily-usage-data", body, _DailyUsage)
    return ProbeResult(f"{day} is answered" if page.data else f"answers; no member on {day}")


def _try_groups(client: Cursor, day: date) -> ProbeResult:
    page, _ = _groups(client)
    return ProbeResult(f"{len(page.groups)} billing groups")


PROBES = (
    Probe("/teams/members", _try_members),
    Probe("/teams/filtered-usage-events", _try_events),
    Probe("/teams/spend", _try_spend),
    Probe("/teams/daily-usage-data", _try_daily_usage),
    Probe("/teams/groups", _try_groups),
)


SOURCE = Source(
    name=NAME,
    label="Cursor",
    connect=Cursor,
    extracts=EXTRACTS,
    probes=PROBES,
    key_kinds=KEY_KINDS,
    wanted_key=WANTED_KEY,
    money_tables={"billed": (RAW_EVENTS,), "seat": (RAW_MEMBERS, RAW_DAILY_USAGE)},
)
