"""Extracts the directory: the organization, its users, API keys, workspaces and their members."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ai_usage_assets.days import DayRange
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.sources.anthropic.client import (
    CURRENT,
    DEFAULT_WORKSPACE,
    AnthropicClient,
    translate_access_errors,
)
from ai_usage_assets.sources.anthropic.responses import Identified, Workspace
from ai_usage_assets.sources.anthropic.tables import (
    NAME,
    RAW_API_KEYS,
    RAW_ORGANIZATION,
    RAW_USERS,
    RAW_WORKSPACE_MEMBERS,
    RAW_WORKSPACES,
)
from ai_usage_assets.sources.base import DayBatch, Extract, InvalidRecordError

_KEY_STATUSES = ("active", "inactive", "archived", "expired")


def _fetch_organization(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch]:
    with translate_access_errors():
        organization = client.get("me", (), msgspec.Raw, CURRENT)
    yield DayBatch(RAW_ORGANIZATION, days.last, [bytes(organization)], 1)


def _fetch_users(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch]:
    with translate_access_errors():
        records, pages = client.get_directory("users")
    if not records:
        raise InvalidRecordError("the list of users is empty")
    yield DayBatch(RAW_USERS, days.last, records, pages)


def _fetch_api_keys(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch]:
    """Lists without a status and once per status: it is not documented whether the plain list has archived keys."""
    by_id: dict[str, bytes] = {}
    pages = 0
    with translate_access_errors():
        for status in (None, *_KEY_STATUSES):
            records, page_count = client.get_directory("api_keys", [("status", status)] if status else [])
            pages += page_count
            by_id.update((msgspec.json.decode(record, type=Identified).id, record) for record in records)
    yield DayBatch(RAW_API_KEYS, days.last, list(by_id.values()), pages)


def _fetch_workspaces(client: AnthropicClient, days: DayRange) -> Iterator[DayBatch]:
    members: list[bytes] = []
    member_pages = 0
    with translate_access_errors():
        workspaces, pages = client.get_directory(
            "workspaces", [("include_archived", "true"), ("include_default", "true")]
        )
        for record in workspaces:
            workspace = msgspec.json.decode(record, type=Workspace)
            if workspace.archived_at is not None:
                continue
            try:
                records, page_count = client.get_directory(f"workspaces/{workspace.id}/members")
            except ApiError as error:
                # The default workspace has no member list; all users belong to it.
                if workspace.name != DEFAULT_WORKSPACE or error.status not in (400, 404):
                    raise
                continue
            members += records
            member_pages += page_count
    yield DayBatch(RAW_WORKSPACES, days.last, workspaces, pages)
    yield DayBatch(RAW_WORKSPACE_MEMBERS, days.last, members, member_pages)


EXTRACTS = (
    Extract("anthropic_organization", NAME, (RAW_ORGANIZATION,), _fetch_organization, is_snapshot=True),
    Extract("anthropic_users", NAME, (RAW_USERS,), _fetch_users, is_snapshot=True),
    Extract("anthropic_api_keys", NAME, (RAW_API_KEYS,), _fetch_api_keys, is_snapshot=True),
    Extract(
        "anthropic_workspaces",
        NAME,
        (RAW_WORKSPACES, RAW_WORKSPACE_MEMBERS),
        _fetch_workspaces,
        is_snapshot=True,
        may_become_empty=True,
    ),
)
