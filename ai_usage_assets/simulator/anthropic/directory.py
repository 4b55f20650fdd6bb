"""The directory endpoints: users, API keys, workspaces and members."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ai_usage_assets.simulator.anthropic.base import ApiRequestError, Endpoints, bad_request, format_instant, read_limit
from ai_usage_assets.simulator.organization import ApiKey, vendor_id
from ai_usage_assets.simulator.server import Request


class Directory(Endpoints):
    """The directory lists."""

    def users(self, request: Request) -> list[dict[str, Any]]:
        """Members of today, newest first."""
        today = self._now().date()
        email, roles = request.one("email"), request.many("roles")
        users = [
            {
                "id": person.user_id,
                "type": "user",
                "email": person.email,
                "name": person.name,
                "role": "admin" if number == 0 else "developer",
                "added_at": format_instant(
                    datetime(person.joined.year, person.joined.month, person.joined.day, 9, tzinfo=UTC)
                ),
            }
            for number, person in enumerate(self._ledger.organization.people)
            if person.is_here(today)
        ]
        return sorted(
            (
                user
                for user in users
                if (email is None or user["email"] == email.lower()) and (not roles or user["role"] in roles)
            ),
            key=lambda user: str(user["added_at"]),
            reverse=True,
        )

    def api_keys(self, request: Request) -> list[dict[str, Any]]:
        """API keys; archived ones only if requested by status."""
        status = request.one("status")
        if status not in (None, "active", "archived", "expired", "inactive"):
            raise bad_request("status: must be active, archived, expired or inactive")
        classic = request.headers.get("anthropic-version") == "2023-06-01"
        creator, workspace = request.one("created_by_user_id"), request.one("workspace_id")
        return [
            self._api_key(key, classic=classic)
            for key in self._ledger.organization.keys
            # A list without a status has no archived keys; no list has deleted keys.
            if not key.deleted
            and (key.status == status if status else key.status != "archived")
            and creator in (None, key.created_by)
            and workspace in (None, key.workspace_id)
        ]

    def _api_key(self, key: ApiKey, *, classic: bool) -> dict[str, Any]:
        principal: dict[str, Any] | None = None
        if key.principal:
            account = key.principal.startswith("svac_")
            kind, name = ("service_account_actor", "service_account_id") if account else ("user_actor", "user_id")
            principal = {"type": kind, name: key.principal}
        shown = {
            "id": key.id,
            "type": "api_key",
            "name": key.name,
            "created_at": "2026-02-03T09:14:03.427722Z",
            "created_by": {"id": key.created_by, "type": "user"} if key.created_by else None,
            "expires_at": f"{key.until}T00:00:00Z" if key.status == "expired" else None,
            "partial_key_hint": "sk-ant-api03-...",
            "principal": principal,
            "scope": {"type": "workspace", "workspace_id": key.workspace_id},
            "status": key.status,
        }
        return {**shown, "workspace_id": self.classic_workspace(key.workspace_id)} if classic else shown

    def workspaces(self, request: Request) -> list[dict[str, Any]]:
        """Workspaces with the requested filters."""
        archived, default = (request.one(name) == "true" for name in ("include_archived", "include_default"))
        ids = request.many("ids")
        if len(ids) > 100:
            raise bad_request("ids[]: at most 100")
        return [
            {
                "id": workspace.id,
                "type": "workspace",
                "name": workspace.name,
                "created_at": "2025-10-01T08:00:00Z",
                "archived_at": f"{workspace.archived_on}T12:00:00Z" if workspace.archived_on else None,
                "display_color": "#6C5BB9",
                "compartment_id": vendor_id(self._ledger.seed, "cmpt_", workspace.name),
                "data_residency": {
                    "workspace_geo": "us",
                    "allowed_inference_geos": "unrestricted",
                    "default_inference_geo": "global",
                },
                "external_key_id": None,
                "tags": {},
                "user_profile_id": None,
            }
            for workspace in self._ledger.organization.workspaces
            if (default or not workspace.is_default)
            and (archived or workspace.archived_on is None)
            and (not ids or workspace.id in ids)
        ]

    def members(self, workspace_id: str) -> list[dict[str, Any]]:
        """The members of a workspace."""
        workspace = next((w for w in self._ledger.organization.workspaces if w.id == workspace_id), None)
        if workspace is None:
            raise ApiRequestError(404, "not_found_error", "Workspace not found")
        if workspace.is_default:
            return []
        today = self._now().date()
        return [
            {
                "type": "workspace_member",
                "user_id": person.user_id,
                "workspace_id": workspace_id,
                "workspace_role": "workspace_developer",
            }
            for person in self._ledger.organization.people
            if person.is_here(today) and (workspace.name == "Claude Code" or person.team_on(today) == "Research")
        ]


def page_directory(request: Request, items: list[dict[str, Any]], id_field: str) -> dict[str, Any]:
    """One page of a list that is read with after_id; offsets are ignored, as the API does."""
    limit = read_limit(request, 20, 1000)
    positions = {item[id_field]: number for number, item in enumerate(items)}
    start = 0
    if after := request.one("after_id"):
        if after not in positions:
            raise bad_request("after_id: unknown id")
        start = positions[after] + 1
    elif before := request.one("before_id"):
        if before not in positions:
            raise bad_request("before_id: unknown id")
        # The page before that record.
        start = max(0, positions[before] - limit)
        limit = positions[before] - start
    page = items[start : start + limit]
    return {
        "data": page,
        "has_more": start > 0 if request.one("before_id") else start + limit < len(items),
        "first_id": page[0][id_field] if page else None,
        "last_id": page[-1][id_field] if page else None,
    }
