"""Extracts what Cursor reports per member: daily usage, the member list, spend and billing groups."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence, Set
from datetime import date

import msgspec

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.sources.base import DayBatch, EmailIdentity, EndpointNotAvailable, Extract, InvalidRecordError
from ai_usage_assets.sources.cursor.client import MAX_PAGES, PAGE_SIZE, CursorClient, day_bounds
from ai_usage_assets.sources.cursor.responses import (
    DailyUsagePage,
    DailyUsageRow,
    Groups,
    Member,
    Members,
    MemberSpend,
    SpendPage,
)
from ai_usage_assets.sources.cursor.tables import (
    DAILY_USAGE_FIELDS,
    NAME,
    RAW_DAILY_USAGE,
    RAW_GROUPS,
    RAW_MEMBERS,
    RAW_SPEND,
)
from ai_usage_assets.sources.money import parse_optional_decimal

_DAILY_USAGE, _SPEND = "/teams/daily-usage-data", "/teams/spend"
_DAILY_USAGE_DAYS = 30
_SPEND_PAGE_SIZE = 100
_MAX_ATTEMPTS = 3
# The share of daily usage rows that may lack their day.
_MAX_UNDATED = 0.05


def _fetch_daily_usage(client: CursorClient, days: DayRange) -> Iterator[DayBatch]:
    """Reads daily usage in pages, because only then every member has a row for every day.

    Rows without a valid day are loaded with the last day of the window. The SQL models skip them and a check reports
    them, so that one of them costs one member's day and not the window.
    """
    for _ in range(_MAX_ATTEMPTS):
        pages = list(_iter_daily_usage(client, days))
        rows = [bytes(row) for page in pages for row in page.data]
        totals = {page.pagination.total_users for page in pages}
        inconsistency = _find_inconsistency(rows, totals, pages[0].pagination.total_users)
        if inconsistency is None:
            break
    else:
        raise InvalidRecordError(f"the member list changed while its pages were read ({inconsistency})")
    by_day: dict[date, list[bytes]] = defaultdict(list)
    undated = []
    for row in rows:
        try:
            by_day[msgspec.json.decode(row, type=DailyUsageRow).day].append(row)
        except msgspec.ValidationError:
            undated.append(row)
    # The next day may be included: the documentation does not say whether the end is inclusive.
    if by_day and not any(day in by_day for day in days):
        raise InvalidRecordError(f"daily usage is of {min(by_day)} to {max(by_day)}, which was not requested")
    if len(undated) > _MAX_UNDATED * len(rows):
        raise InvalidRecordError(f"{len(undated)} of {len(rows)} rows have no valid day")
    by_day[days.last] += undated
    for day in days:
        yield DayBatch(RAW_DAILY_USAGE, day, by_day[day], len(pages))


def _find_inconsistency(rows: Sequence[bytes], page_totals: Set[Hashable], member_count: int | None) -> str | None:
    """Why the pages of a member list cannot be complete; None if they can."""
    if len(page_totals) != 1:
        return "its pages report different totals"
    # Each member has one row, or one per day. A repeated row means that the list shifted and another row is missing.
    if len(set(rows)) != len(rows):
        return "a row occurred twice"
    # The count may include members who left or joined, so fewer rows are no evidence; no rows are.
    if member_count and not rows:
        return f"no rows, {member_count} members reported by Cursor"
    return None


def _iter_daily_usage(client: CursorClient, days: DayRange) -> Iterator[DailyUsagePage]:
    seen: set[bytes] = set()

    def fetch(token: str | None) -> tuple[DailyUsagePage, str | None]:
        number = int(token or 1)
        page, _ = client.post(_DAILY_USAGE, {**day_bounds(days), "page": number, "pageSize": PAGE_SIZE}, DailyUsagePage)
        has_more = _has_more(page.data, seen, number, has_next_page=page.pagination.has_next_page)
        return page, str(number + 1) if has_more else None

    return paginate(fetch, service=NAME, endpoint=_DAILY_USAGE, max_pages=MAX_PAGES)


def _has_more(rows: Sequence[msgspec.Raw], seen: set[bytes], number: int, *, has_next_page: bool) -> bool:
    """Whether to request the next page. A repeated page ends the list, because it could repeat forever.

    Raises InvalidRecordError for an empty page that is not the last.
    """
    if has_next_page and not rows:
        raise InvalidRecordError(f"page {number} is empty but not the last")
    new = set(map(bytes, rows))
    is_new = seen.isdisjoint(new)
    seen.update(new)
    return has_next_page and is_new


def _fetch_members(client: CursorClient, days: DayRange) -> Iterator[DayBatch]:
    members, _ = client.get("/teams/members", Members)
    if not members.team_members:
        # Every team has an owner; loading an empty list would end all seats.
        raise InvalidRecordError("the member list is empty")
    for member in members.team_members:
        msgspec.json.decode(member, type=Member)
    yield DayBatch(RAW_MEMBERS, days.last, [bytes(member) for member in members.team_members], 1)


def _fetch_spend(client: CursorClient, days: DayRange) -> Iterator[DayBatch]:
    """Loads complete pages as records, because the start of the billing cycle is next to the members, not in them."""
    for _ in range(_MAX_ATTEMPTS):
        pages = list(_iter_spend(client))
        members = [bytes(member) for page, _ in pages for member in page.team_member_spend]
        if not members:
            raise InvalidRecordError("the member list is empty")
        totals = {(page.subscription_cycle_start, page.total_pages, page.total_members) for page, _ in pages}
        inconsistency = _find_inconsistency(members, totals, pages[0][0].total_members)
        if inconsistency is None:
            break
    else:
        raise InvalidRecordError(f"the member list changed while its pages were read ({inconsistency})")
    yield DayBatch(RAW_SPEND, days.last, [body for _, body in pages], len(pages))


def _iter_spend(client: CursorClient) -> Iterator[tuple[SpendPage, bytes]]:
    seen: set[bytes] = set()

    def fetch(token: str | None) -> tuple[tuple[SpendPage, bytes], str | None]:
        number = int(token or 1)
        # Sorted by user, because amounts change between pages.
        query = {"sortBy": "user", "sortDirection": "asc", "page": number, "pageSize": _SPEND_PAGE_SIZE}
        page, body = client.post(_SPEND, query, SpendPage)
        for record in page.team_member_spend:
            member = msgspec.json.decode(record, type=MemberSpend)
            parse_optional_decimal(member.spend_cents)
            parse_optional_decimal(member.overall_spend_cents)
        has_more = _has_more(page.team_member_spend, seen, number, has_next_page=number < page.total_pages)
        return (page, body), str(number + 1) if has_more else None

    return paginate(fetch, service=NAME, endpoint=_SPEND, max_pages=MAX_PAGES)


def _fetch_groups(client: CursorClient, days: DayRange) -> Iterator[DayBatch]:
    _, body = get_groups(client)
    yield DayBatch(RAW_GROUPS, days.last, [body], 1)


_INVALID_KEY = re.compile(r"invalid\b.*\bkey", re.IGNORECASE)


def get_groups(client: CursorClient) -> tuple[Groups, bytes]:
    """The billing groups. Raises EndpointNotAvailable if the plan has none."""
    try:
        groups, body = client.get("/teams/groups", Groups)
    except ApiError as error:
        # Other plans have been seen to return 401 too.
        if error.status in (401, 403, 404) and not _INVALID_KEY.search(error.detail):
            raise EndpointNotAvailable(f"{error.endpoint}: {error.detail}") from None
        raise
    for group in groups.groups:
        for member in group.current_members or []:
            parse_optional_decimal(member.spend_cents)
    return groups, body


def _read_member(record: bytes) -> tuple[Hashable, str | None]:
    try:
        row = msgspec.json.decode(record, type=DailyUsageRow)
    except msgspec.ValidationError:
        return None, None
    return row.user_id, (row.email or "").strip() or None


EXTRACTS = (
    Extract(
        "cursor_daily_usage",
        NAME,
        (RAW_DAILY_USAGE,),
        _fetch_daily_usage,
        window_days=_DAILY_USAGE_DAYS,
        email_identities={RAW_DAILY_USAGE.name: EmailIdentity(_read_member, one_to_one=False)},
        known_fields={RAW_DAILY_USAGE.name: DAILY_USAGE_FIELDS},
    ),
    Extract("cursor_members", NAME, (RAW_MEMBERS,), _fetch_members, is_snapshot=True),
    Extract("cursor_spend", NAME, (RAW_SPEND,), _fetch_spend, is_snapshot=True),
    Extract("cursor_groups", NAME, (RAW_GROUPS,), _fetch_groups, is_snapshot=True),
)
