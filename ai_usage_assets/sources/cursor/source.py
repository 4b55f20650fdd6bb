"""Cursor: usage events are the bill, members and daily usage show who had a seat, and spend is a control."""

from __future__ import annotations

from ai_usage_assets.registry import source_entry
from ai_usage_assets.sources.base import KeyKind, Source
from ai_usage_assets.sources.cursor import events, members
from ai_usage_assets.sources.cursor.client import CursorClient
from ai_usage_assets.sources.cursor.probes import PROBES
from ai_usage_assets.sources.cursor.tables import NAME, RAW_DAILY_USAGE, RAW_EVENTS, RAW_MEMBERS

SOURCE = Source(
    entry=source_entry(NAME),
    connect=CursorClient,
    extracts=(events.EXTRACT, *members.EXTRACTS),
    probes=PROBES,
    # Personal and team keys have the same prefix; only the first response distinguishes them.
    key_kinds=(KeyKind("crsr_", "a key of Cursor"), KeyKind("key_", "an older key of Cursor")),
    required_key="a team key (Dashboard, Settings, Admin API keys).",
    money_tables={"billed": (RAW_EVENTS,), "seat": (RAW_MEMBERS, RAW_DAILY_USAGE)},
)
