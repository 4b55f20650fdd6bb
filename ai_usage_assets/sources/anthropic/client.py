"""The HTTP client of Anthropic's organization APIs: endpoints, version headers, rate limits and pagination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import ClassVar, TypeVar

from ai_usage_assets.days import DayRange, day_end, day_start
from ai_usage_assets.http.client import Endpoint
from ai_usage_assets.http.errors import ApiError
from ai_usage_assets.http.pagination import paginate
from ai_usage_assets.sources.anthropic.responses import Directory, Report
from ai_usage_assets.sources.anthropic.tables import NAME
from ai_usage_assets.sources.base import EndpointNotAvailable, SourceClient

_T = TypeVar("_T")
_ReportT = TypeVar("_ReportT", bound=Report)

# The classic reports are documented for the older version only.
CLASSIC = {"anthropic-version": "2023-06-01"}
CURRENT = {"anthropic-version": "2026-10-21"}
ANALYTICS = {**CURRENT, "anthropic-beta": "analytics-usage-cost-2026-08-24"}

ORGANIZATION = "/v1/organizations"
PAGE_ROWS = 1000
DEFAULT_WORKSPACE = "Default"

# Documented limits per minute: 60 for analytics, 100 for the directory; none for the classic reports.
ENDPOINTS = [
    *(Endpoint("GET", f"{ORGANIZATION}/analytics/{name}", 60, "analytics") for name in ("cost", "usage")),
    *(Endpoint("GET", f"{ORGANIZATION}/{name}", 60, "classic") for name in ("cost_report", "usage_report/claude_code")),
    *(
        Endpoint("GET", f"{ORGANIZATION}/{name}", 60, "directory")
        for name in ("me", "users", "api_keys", "workspaces", "workspaces/{workspace_id}/members")
    ),
]

Params = Sequence[tuple[str, str]]


class AnthropicClient(SourceClient):
    """Reads with an Admin key of the Console or a key of Claude Enterprise."""

    service = NAME
    endpoints = ENDPOINTS
    headers: ClassVar[Mapping[str, str]] = {"user-agent": "ai-usage-assets"}
    path_prefix = f"{ORGANIZATION}/"

    @staticmethod
    def authorize(key: str) -> Mapping[str, str]:
        """The headers that carry the key."""
        return {"x-api-key": key}

    @staticmethod
    def hint(status: int, path: str) -> str | None:
        """Advice that names the setting and the kind of key."""
        match status:
            case 401:
                return "Check ANTHROPIC_ADMIN_KEY: it must be a live Admin key of the Console, not a workspace's key."
            case 403:
                return "The key lacks a permission. Use a Console Admin key, or an Enterprise key with read:analytics."
            case 404 if "/analytics/" in path:
                return "The organization may not be enrolled in the usage and cost analytics API; ask Anthropic."
            case _:
                return None

    def get(self, path: str, params: Params, response_type: type[_T], version: Mapping[str, str]) -> _T:
        """Gets one response."""
        response, _ = self._api.get(self.path_prefix + path, params, response_type=response_type, headers=version)
        return response

    def iter_report(
        self, path: str, params: Params, response_type: type[_ReportT], version: Mapping[str, str]
    ) -> Iterator[_ReportT]:
        """Gets the pages of a report."""

        def fetch(token: str | None) -> tuple[_ReportT, str | None]:
            page = self.get(path, [*params, ("page", token)] if token else params, response_type, version)
            return page, page.next_page if page.has_more else None

        return paginate(fetch, service=NAME, endpoint=path)

    def get_directory(self, path: str, params: Params = ()) -> tuple[list[bytes], int]:
        """Gets all records of a directory list, and the number of pages. Only `after_id` advances these lists."""

        def fetch(last_id: str | None) -> tuple[Directory, str | None]:
            page_params = [*params, ("limit", str(PAGE_ROWS)), *([("after_id", last_id)] if last_id else [])]
            page = self.get(path, page_params, Directory, CURRENT)
            return page, page.last_id if page.has_more else None

        pages = list(paginate(fetch, service=NAME, endpoint=path))
        return [bytes(record) for page in pages for record in page.data], len(pages)


def format_instant(instant: datetime) -> str:
    """An instant as the API writes it, in UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_bounds(days: DayRange) -> list[tuple[str, str]]:
    """The parameters that select whole days; the end is exclusive."""
    return [
        ("starting_at", format_instant(day_start(days.first))),
        ("ending_at", format_instant(day_end(days.last))),
    ]


_NOT_FOR_ORGANIZATION = {"organization_type_not_supported", "organization_not_enrolled_in_beta"}
_NOT_FOR_KEY = {"permission_error", "not_found_error"}


@contextmanager
def translate_access_errors(*, include_key_errors: bool = True) -> Iterator[None]:
    """Raises EndpointNotAvailable for an error that says that this organization or key has no access.

    Only Anthropic's own error codes count: the 404 of a proxy carries none.
    """
    try:
        yield
    except ApiError as error:
        if error.error_codes & (_NOT_FOR_ORGANIZATION | (_NOT_FOR_KEY if include_key_errors else set())):
            raise EndpointNotAvailable(f"{error.endpoint}: {error.detail}") from None
        raise
