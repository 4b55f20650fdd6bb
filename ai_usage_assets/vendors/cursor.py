"""All that is known of Cursor's Admin API: endpoints, paging, windows, what must add up.

Belongs here: the vendor's facts. Does not: HTTP (`gateway`), storage (`landing`), or what the numbers mean to finance
(`sql/`). `filtered-usage-events.chargedCents` is the ledger. No event has an id, so events are never told apart or
merged: a day is pulled whole, counted against the vendor's own count, and replaced whole. `spend` is the control,
members and daily usage tell who held a seat. Only read paths are known here, so nothing else can be called.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from ai_usage_assets.days import DayRange, end_of, start_of
from ai_usage_assets.gateway import Clock, Endpoint, Failure, Gateway, SystemClock, follow
from ai_usage_assets.schemas import raw_table
from ai_usage_assets.vendors import (
    EmailIdentity,
    NotCredible,
    NotExposed,
    Pull,
    PulledDay,
    RefusedDay,
    dollars,
    fields,
    optional_number,
    refuse_doubles,
)

NAME = "cursor"

_T = TypeVar("_T")

# The limits are the team's, not the key's: some room is left for whoever else uses it.
_ENDPOINTS = [
    Endpoint("POST", "/teams/filtered-usage-events", 50),
    Endpoint("GET", "/teams/members", 15),
    Endpoint("POST", "/teams/spend", 15),
    Endpoint("POST", "/teams/daily-usage-data", 15),
    Endpoint("GET", "/teams/groups", 15),
]

_PAGE_SIZE = 1000
_SPEND_PAGE_SIZE = 100
_DAILY_USAGE_DAYS = 30
_CRAWLS = 3
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


class _EventTokens(msgspec.Struct):
    inputTokens: Decimal | None = None  # noqa: N815
    outputTokens: Decimal | None = None  # noqa: N815
    cacheWriteTokens: Decimal | None = None  # noqa: N815
    cacheReadTokens: Decimal | None = None  # noqa: N815
    totalCents: msgspec.Raw = _ABSENT  # noqa: N815
    discountPercentOff: msgspec.Raw = _ABSENT  # noqa: N815


class _Event(msgspec.Struct):
    timestamp: int | str
    userEmail: str | None = None  # noqa: N815
    model: str | None = None
    conversationId: str | None = None  # noqa: N815
    tokenUsage: _EventTokens | None = None  # noqa: N815
    chargedCents: msgspec.Raw = _ABSENT  # noqa: N815
    cursorTokenFee: msgspec.Raw = _ABSENT  # noqa: N815


class _DailyPagination(msgspec.Struct):
    hasNextPage: bool  # noqa: N815


class _DailyUsage(msgspec.Struct):
    data: list[msgspec.Raw]
    pagination: _DailyPagination


class _DailyRow(msgspec.Struct):
    day: date


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
    teamMemberSpend: list[_MemberSpend]  # noqa: N815
    subscriptionCycleStart: _Milliseconds  # noqa: N815
    totalPages: int  # noqa: N815


class _GroupMember(msgspec.Struct):
    spendCents: msgspec.Raw = _ABSENT  # noqa: N815


class _Group(msgspec.Struct):
    currentMembers: list[_GroupMember] | None = None  # noqa: N815


class _Groups(msgspec.Struct):
    groups: list[_Group]


class Cursor:
    """The team's key, and what can be asked with it. No I/O until the first request."""

    def __init__(
        self, key: Callable[[], str], base_url: str, *, pacing: bool = True, clock: Clock | None = None
    ) -> None:
        self._gateway = Gateway(
            NAME,
            base_url,
            authorize=lambda: _basic(key()),
            endpoints=_ENDPOINTS,
            pacing=pacing,
            clock=clock or SystemClock(),
            hint=_hint,
        )

    def close(self) -> None:
        """Ends the connections."""
        self._gateway.close()

    def get(self, path: str, shape: type[_T]) -> tuple[_T, bytes]:
        """One answer in the promised shape, and its bytes."""
        page, answer = self._gateway.get(path, shape=shape)
        return page, answer.body

    def post(self, path: str, body: dict[str, object], shape: type[_T]) -> tuple[_T, bytes]:
        """One page in the promised shape, and its bytes. The API reads with POST."""
        page, answer = self._gateway.post(path, body, shape=shape)
        return page, answer.body


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


def _milliseconds(days: DayRange) -> dict[str, object]:
    """Both bounds are inclusive, so a day ends one millisecond before midnight."""
    return {
        "startDate": int(start_of(days.first).timestamp() * 1000),
        "endDate": int((end_of(days.last) - _MILLISECOND).timestamp() * 1000),
    }


def _fetch_events(client: Cursor, days: DayRange) -> Iterator[PulledDay | RefusedDay]:
    for day in days:
        yield _fetch_events_of(client, day)


def _fetch_events_of(client: Cursor, day: date) -> PulledDay | RefusedDay:
    """One day, crawled again when the vendor's data moved underneath: pages shift when an event arrives late."""
    bounds = _milliseconds(DayRange(day, day))
    found = ""
    for _ in range(_CRAWLS):
        pages = list(_event_pages(client, bounds))
        totals = {page.totalUsageEventsCount for page in pages}
        records = [bytes(event) for page in pages for event in page.usageEvents]
        if totals == {len(records)}:
            try:
                amount_usd = sum((_amount_usd(record, bounds) for record in records), Decimal(0))
            except (msgspec.ValidationError, NotCredible) as error:
                return RefusedDay(
                    RAW_EVENTS, day, f"an event has an unknown shape: {error}. Report it; what was held is kept."
                )
            return PulledDay(RAW_EVENTS, day, records, len(pages), expected_records=len(records), amount_usd=amount_usd)
        found = f"{len(records)} events on the pages, {' then '.join(map(str, sorted(totals)))} counted by Cursor"
    return RefusedDay(
        RAW_EVENTS, day, f"the day kept changing while it was read ({found}). What was held is kept; run it again."
    )


def _event_pages(client: Cursor, bounds: dict[str, object]) -> Iterator[_Events]:
    read = 0

    def fetch(cursor: str | None) -> tuple[_Events, str | None]:
        nonlocal read
        page_no = int(cursor or 1)
        page, _ = client.post(
            "/teams/filtered-usage-events", {**bounds, "page": page_no, "pageSize": _PAGE_SIZE}, _Events
        )
        read += len(page.usageEvents)
        # An empty page that promises more, or more events than are counted, would go on for ever; the count settles it.
        more = page.pagination.hasNextPage and page.usageEvents and read <= page.totalUsageEventsCount
        return page, str(page_no + 1) if more else None

    return follow(fetch, vendor=NAME, endpoint="/teams/filtered-usage-events", max_pages=_MOST_PAGES)


_READ_FOR_MONEY = (
    b'"timestamp"', b'"chargedCents"', b'"tokenUsage"', b'"totalCents"', b'"discountPercentOff"', b'"cursorTokenFee"',
)  # fmt: skip


def _amount_usd(record: bytes, bounds: dict[str, object]) -> Decimal:
    """What the event adds to usage valued at Cursor's rates; `sql/` must come to the same, in its own way.

    `chargedCents` already holds the token fee. Where it is missing, the parts it is made of stand in.
    """
    event = msgspec.json.decode(record, type=_Event)
    refuse_doubles(record, *_READ_FOR_MONEY)
    stamp = str(event.timestamp)
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        raise NotCredible("an event's timestamp is not a number of milliseconds")
    moment = int(stamp)
    if not int(str(bounds["startDate"])) <= moment <= int(str(bounds["endDate"])):
        raise NotCredible("an event lies outside the day that was asked for")
    tokens = event.tokenUsage or _EventTokens()
    # Read also where it does not count: `sql/` reads it, and must be able to.
    total, fee = optional_number(tokens.totalCents), optional_number(event.cursorTokenFee)
    discount = optional_number(tokens.discountPercentOff) or Decimal(0)
    if not 0 <= discount <= 100 or round(discount, 4) != discount:
        raise NotCredible("a discount is not a percentage with at most four decimals")
    charged = optional_number(event.chargedCents)
    if charged is not None:
        return dollars(charged)
    kept = (Decimal(100) - discount) / Decimal(100)
    return dollars((total or Decimal(0)) * kept + (fee or Decimal(0)))


def _fetch_daily_usage(client: Cursor, days: DayRange) -> Iterator[PulledDay | RefusedDay]:
    """Paged, because only then every member of the day has a row, idle ones too."""

    def fetch(cursor: str | None) -> tuple[_DailyUsage, str | None]:
        page_no = int(cursor or 1)
        page, _ = client.post(
            "/teams/daily-usage-data",
            {**_milliseconds(days), "page": page_no, "pageSize": _PAGE_SIZE},
            _DailyUsage,
        )
        if page.pagination.hasNextPage and not page.data:
            raise NotCredible(f"page {page_no} is empty and promises more")
        return page, str(page_no + 1) if page.pagination.hasNextPage else None

    records: dict[date, list[bytes]] = defaultdict(list)
    pages = 0
    for page in follow(fetch, vendor=NAME, endpoint="/teams/daily-usage-data", max_pages=_MOST_PAGES):
        pages += 1
        for record in page.data:
            records[msgspec.json.decode(record, type=_DailyRow).day].append(bytes(record))
    for day in days:
        yield PulledDay(RAW_DAILY_USAGE, day, records[day], pages)


def _fetch_members(client: Cursor, days: DayRange) -> Iterator[PulledDay | RefusedDay]:
    page, _ = client.get("/teams/members", _Members)
    if not page.teamMembers:
        # Every team has its owner; believed, it would end all seats.
        raise NotCredible("the list of members is empty")
    for member in page.teamMembers:
        msgspec.json.decode(member, type=_Member)
    yield PulledDay(RAW_MEMBERS, days.last, [bytes(member) for member in page.teamMembers], 1)


def _fetch_spend(client: Cursor, days: DayRange) -> Iterator[PulledDay | RefusedDay]:
    """Whole pages are the records: the start of the billing cycle stands beside the members."""
    bodies: list[bytes] = []

    def fetch(cursor: str | None) -> tuple[_Spend, str | None]:
        page_no = int(cursor or 1)
        # A fixed order, because amounts move while pages are turned.
        page, body = client.post(
            "/teams/spend",
            {"sortBy": "user", "sortDirection": "asc", "page": page_no, "pageSize": _SPEND_PAGE_SIZE},
            _Spend,
        )
        for member in page.teamMemberSpend:
            # `sql/` reads them, and must be able to.
            optional_number(member.spendCents)
            optional_number(member.overallSpendCents)
        bodies.append(body)
        return page, str(page_no + 1) if page_no < page.totalPages else None

    for _ in follow(fetch, vendor=NAME, endpoint="/teams/spend", max_pages=_MOST_PAGES):
        pass
    yield PulledDay(RAW_SPEND, days.last, bodies, len(bodies))


def _fetch_groups(client: Cursor, days: DayRange) -> Iterator[PulledDay | RefusedDay]:
    try:
        page, body = client.get("/teams/groups", _Groups)
    except Failure as failure:
        # The wrong plan has been seen as 401, too; a bad key fails the members and the events.
        if failure.status in (401, 403, 404):
            raise NotExposed(f"{failure.endpoint}: {failure.detail}") from None
        raise
    for group in page.groups:
        for member in group.currentMembers or []:
            optional_number(member.spendCents)
    yield PulledDay(RAW_GROUPS, days.last, [body], 1)


def _same_event(record: bytes) -> tuple[Hashable, str | None]:
    event = msgspec.json.decode(record, type=_Event)
    tokens = event.tokenUsage or _EventTokens()
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


_EVENT_FIELDS = fields(
    "timestamp userEmail serviceAccountId serviceAccountName cloudAgentId automationId conversationId model kind "
    "maxMode isTokenBasedCall isChargeable isHeadless isFreeBugbot requestsCosts chargedCents cursorTokenFee",
    tokenUsage="inputTokens outputTokens cacheWriteTokens cacheReadTokens totalCents discountPercentOff",
)
_DAILY_FIELDS = fields(
    "userId day date email isActive totalLinesAdded totalLinesDeleted acceptedLinesAdded acceptedLinesDeleted "
    "totalApplies totalAccepts totalRejects totalTabsShown totalTabsAccepted composerRequests chatRequests "
    "agentRequests cmdkUsages subscriptionIncludedReqs apiKeyReqs usageBasedReqs bugbotUsages mostUsedModel "
    "applyMostUsedExtension tabMostUsedExtension clientVersion"
)

PULLS = (
    Pull(
        "cursor_usage_events",
        NAME,
        (RAW_EVENTS,),
        _fetch_events,
        emails={RAW_EVENTS.name: EmailIdentity(_same_event, one_to_one=True)},
        fields={RAW_EVENTS.name: _EVENT_FIELDS},
    ),
    Pull(
        "cursor_daily_usage",
        NAME,
        (RAW_DAILY_USAGE,),
        _fetch_daily_usage,
        window_days=_DAILY_USAGE_DAYS,
        fields={RAW_DAILY_USAGE.name: _DAILY_FIELDS},
    ),
    Pull("cursor_members", NAME, (RAW_MEMBERS,), _fetch_members, snapshot=True),
    Pull("cursor_spend", NAME, (RAW_SPEND,), _fetch_spend, snapshot=True),
    Pull("cursor_groups", NAME, (RAW_GROUPS,), _fetch_groups, snapshot=True),
)
