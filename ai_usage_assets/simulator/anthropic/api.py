"""Routes and authenticates requests to the simulated Anthropic APIs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from ai_usage_assets.simulator.anthropic.analytics import Analytics
from ai_usage_assets.simulator.anthropic.base import STATUS_ERRORS, AnthropicFaultOptions, ApiRequestError, bad_request
from ai_usage_assets.simulator.anthropic.directory import Directory, page_directory
from ai_usage_assets.simulator.anthropic.reports import Reports
from ai_usage_assets.simulator.ledger import Ledger
from ai_usage_assets.simulator.organization import vendor_id
from ai_usage_assets.simulator.server import Request, Response, SimulatedApi

_ROOT = "/v1/organizations"


class AnthropicAPI(SimulatedApi):
    """Responds to requests. `now` returns the simulated instant."""

    def __init__(
        self, ledger: Ledger, key: str, fault_options: AnthropicFaultOptions, now: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._key = key
        self._options = fault_options
        self._now = now
        self._served = 0
        self._analytics = Analytics(ledger, fault_options, now)
        self._reports = Reports(ledger, fault_options, now)
        self._directory = Directory(ledger, fault_options, now)

    def clear_cache(self) -> None:
        """Drops everything that was computed from an older ledger."""
        self._analytics.clear_cache()

    def handle(self, request: Request) -> Response:
        """Responds to one request."""
        self._served += 1
        request_id = vendor_id(self._ledger.seed, "req_", self._served)
        try:
            status, body = 200, self._route(request)
            if self._options.extra_fields:
                body = {**body, "undocumented_field": {"since": "tomorrow"}}
        except ApiRequestError as error:
            content: dict[str, Any] = {"type": error.kind, "message": error.message + self._options.error_suffix}
            if error.code:
                content["details"] = {"error_code": error.code}
            status, body = error.status, {"type": "error", "error": content, "request_id": request_id}
        headers = {
            "content-type": "application/json",
            "request-id": request_id,
            "anthropic-organization-id": self._ledger.organization.uuid,
        }
        return Response(status, msgspec.json.encode(body), headers)

    # --- routing and authentication --------------------------------------------------------------------------------

    def _route(self, request: Request) -> dict[str, Any]:
        endpoint = self._find(request)
        given = request.headers.get("x-api-key")
        bearer = request.headers.get("authorization")
        if (given != self._key and bearer != f"Bearer {self._key}") or self._options.unauthorized or self._revoked():
            raise ApiRequestError(401, "authentication_error", "invalid x-api-key")
        path = request.path.removeprefix(_ROOT)
        if status := self._options.rejected_paths.get(path.removeprefix("/")):
            raise ApiRequestError(status, *STATUS_ERRORS[status])
        if path.startswith("/service_accounts"):
            raise ApiRequestError(403, "permission_error", "Admin API keys may not list service accounts.")
        if self._options.enterprise_key and not path.startswith(("/analytics/", "/users", "/me")):
            message = "This endpoint is not available for your organization type."
            raise ApiRequestError(400, "invalid_request_error", message, "organization_type_not_supported")
        if request.headers.get("anthropic-version") not in ("2023-06-01", "2026-10-21"):
            raise bad_request("anthropic-version: header is required")
        return endpoint(request)

    def _revoked(self) -> bool:
        left = self._options.responses_until_revoked
        if left is not None:
            self._options.responses_until_revoked = max(0, left - 1)
        return left == 0

    def _find(self, request: Request) -> Callable[[Request], dict[str, Any]]:
        if request.method != "GET" or not request.path.startswith(f"{_ROOT}/"):
            raise ApiRequestError(404, "not_found_error", "Not found")
        parts = request.path.removeprefix(f"{_ROOT}/").split("/")
        match parts:
            case ["analytics", "cost" | "usage" as family]:
                return lambda request: self._analytics.respond(request, family)
            case ["cost_report"]:
                return self._reports.cost_report
            case ["usage_report", "claude_code"]:
                return self._reports.claude_code
            case ["me"]:
                return lambda request: {
                    "id": self._ledger.organization.uuid,
                    "type": "organization",
                    "name": self._ledger.organization.name,
                }
            case ["users"]:
                return lambda request: page_directory(request, self._directory.users(request), "id")
            case ["api_keys"]:
                return lambda request: page_directory(request, self._directory.api_keys(request), "id")
            case ["workspaces"]:
                return lambda request: page_directory(request, self._directory.workspaces(request), "id")
            case ["workspaces", workspace_id, "members"]:
                return lambda request: page_directory(request, self._directory.members(workspace_id), "user_id")
            case ["service_accounts"]:
                return lambda request: {}
        raise ApiRequestError(404, "not_found_error", "Not found")
