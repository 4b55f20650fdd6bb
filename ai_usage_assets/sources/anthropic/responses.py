"""The shapes of Anthropic's responses, as far as the extracts read them. Unknown fields are ignored here and loaded."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Report(msgspec.Struct, kw_only=True):
    """A page of a report."""

    data: list[msgspec.Raw]
    has_more: bool
    next_page: str | None = None

    def __post_init__(self) -> None:
        if self.has_more and not self.next_page:
            raise ValueError("has_more is true but next_page is missing")


class AnalyticsReport(Report, kw_only=True):
    """A page of usage and cost analytics. `data_refreshed_at` is required: it says how far the data reaches."""

    data_refreshed_at: Instant | None


class Directory(msgspec.Struct):
    """A page of a directory list."""

    data: list[msgspec.Raw]
    has_more: bool
    last_id: str | None = None

    def __post_init__(self) -> None:
        if self.has_more and not self.last_id:
            raise ValueError("has_more is true but last_id is missing")


class Bucket(msgspec.Struct):
    """Any record of a report: its time bucket."""

    starting_at: Instant


class Cost(msgspec.Struct):
    """Money in cents."""

    amount: msgspec.Raw
    list_amount: msgspec.Raw
    currency: str


class CostRow(Bucket):
    """A record of analytics/cost."""

    cost: Cost


class Tokens(msgspec.Struct):
    """Token counts."""

    total_tokens: msgspec.Raw
    output_tokens: msgspec.Raw
    uncached_input_tokens: msgspec.Raw
    cache_read_input_tokens: msgspec.Raw


class UsageRow(Bucket):
    """A record of analytics/usage."""

    usage: Tokens


class Actor(msgspec.Struct):
    """Whom a record is attributed to."""

    user_id: str | None = None
    email_address: str | None = None


class Group(msgspec.Struct):
    """The dimensions of a record."""

    actor: Actor | None = None
    workspace_id: str | None = None


class GroupedRow(msgspec.Struct):
    """A record with dimensions."""

    group: Group


class CostReportItem(msgspec.Struct):
    """One amount of the classic cost report, in cents."""

    amount: msgspec.Raw
    currency: str


class CostReportBucket(Bucket):
    """A day of the classic cost report."""

    results: list[CostReportItem]


class ClaudeCodeRow(msgspec.Struct):
    """A record of usage_report/claude_code."""

    date: Instant


class Identified(msgspec.Struct):
    """A directory record."""

    id: str


class Organization(msgspec.Struct):
    """The response of `me`."""

    name: str


class Workspace(Identified):
    """A directory record of a workspace."""

    name: str | None = None
    archived_at: str | None = None
