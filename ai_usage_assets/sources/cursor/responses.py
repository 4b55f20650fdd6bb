"""The shapes of Cursor's responses, as far as the extracts read them. Unknown fields are ignored here and loaded."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

import msgspec

_ABSENT = msgspec.Raw(b"")


class EventsPagination(msgspec.Struct, rename="camel"):
    """Whether another page of events follows."""

    has_next_page: bool


class EventsPage(msgspec.Struct, rename="camel"):
    """A page of /teams/filtered-usage-events."""

    total_usage_events_count: int
    pagination: EventsPagination
    usage_events: list[msgspec.Raw]


class Tokens(msgspec.Struct, rename="camel", gc=False):
    """Token counts."""

    input_tokens: Decimal | None = None
    output_tokens: Decimal | None = None
    cache_write_tokens: Decimal | None = None
    cache_read_tokens: Decimal | None = None


class PricedTokens(Tokens, rename="camel", gc=False):
    """Token counts and their price."""

    total_cents: msgspec.Raw = _ABSENT
    discount_percent_off: msgspec.Raw = _ABSENT


class ChargedEvent(msgspec.Struct, rename="camel", gc=False):
    """What an event costs."""

    timestamp: int | str
    token_usage: PricedTokens | None = None
    charged_cents: msgspec.Raw = _ABSENT
    cursor_token_fee: msgspec.Raw = _ABSENT


class ChargedEvents(msgspec.Struct, rename="camel"):
    """A page of events, decoded for their cost."""

    usage_events: list[ChargedEvent]


class PlainTokens(msgspec.Struct, rename="camel", gc=False):
    """Token counts that are integers."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_read_tokens: int | None = None


class PlainEvent(msgspec.Struct, rename="camel", gc=False):
    """The usual form of an event, which decodes in half the time of ChargedEvent."""

    timestamp: str
    charged_cents: msgspec.Raw
    token_usage: PlainTokens | None = None


class PlainEvents(msgspec.Struct, rename="camel"):
    """A page of events in their usual form."""

    usage_events: list[PlainEvent]


class Event(msgspec.Struct, rename="camel"):
    """What identifies an event; it has no id."""

    timestamp: int | str
    user_email: str | None = None
    model: str | None = None
    conversation_id: str | None = None
    token_usage: Tokens | None = None


class DailyUsagePagination(msgspec.Struct, rename="camel"):
    """Whether another page follows, and the number of members."""

    has_next_page: bool
    total_users: int | None = None


class DailyUsagePage(msgspec.Struct):
    """A page of /teams/daily-usage-data."""

    data: list[msgspec.Raw]
    pagination: DailyUsagePagination


class DailyUsageRow(msgspec.Struct, rename="camel"):
    """The day and member of a row."""

    day: date
    user_id: str | int | None = None
    email: str | None = None


class Members(msgspec.Struct, rename="camel"):
    """The response of /teams/members."""

    team_members: list[msgspec.Raw]


class Member(msgspec.Struct, rename="camel"):
    """A member of the team."""

    id: str | int
    role: str | None = None
    is_removed: bool | None = None


# Before the year 2100.
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]


class SpendPage(msgspec.Struct, rename="camel"):
    """A page of /teams/spend."""

    team_member_spend: list[msgspec.Raw]
    subscription_cycle_start: _Milliseconds
    total_pages: int
    total_members: int | None = None


class MemberSpend(msgspec.Struct, rename="camel"):
    """A member's spend, in cents."""

    spend_cents: msgspec.Raw = _ABSENT
    overall_spend_cents: msgspec.Raw = _ABSENT


class GroupMember(msgspec.Struct, rename="camel"):
    """A member of a billing group."""

    spend_cents: msgspec.Raw = _ABSENT


class BillingGroup(msgspec.Struct, rename="camel"):
    """A billing group."""

    current_members: list[GroupMember] | None = None


class Groups(msgspec.Struct):
    """The response of /teams/groups."""

    groups: list[BillingGroup]
