"""The HTTP client of Cursor's Admin API: endpoints, rate limits, credentials and day bounds. It can only read."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

from ai_usage_assets.days import DayRange, day_end, day_start
from ai_usage_assets.http.client import Endpoint
from ai_usage_assets.sources.base import SourceClient
from ai_usage_assets.sources.cursor.tables import NAME

_T = TypeVar("_T")

# Below the documented limits (60 and 20 a minute), which all keys of the team share.
ENDPOINTS = [
    Endpoint("POST", "/teams/filtered-usage-events", 50),
    Endpoint("GET", "/teams/members", 15),
    Endpoint("POST", "/teams/spend", 15),
    Endpoint("POST", "/teams/daily-usage-data", 15),
    Endpoint("GET", "/teams/groups", 15),
]

PAGE_SIZE = 1000
# Page numbers do not repeat as a lost page token would; no team has half a million events a day.
MAX_PAGES = 500
_MILLISECOND = timedelta(milliseconds=1)


class CursorClient(SourceClient):
    """Reads with a team key."""

    service = NAME
    endpoints = ENDPOINTS

    @staticmethod
    def authorize(key: str) -> Mapping[str, str]:
        """The headers that carry the key."""
        # The key is the user name, the password is empty; without the colon Cursor returns 401.
        return {"authorization": "Basic " + b64encode(f"{key}:".encode()).decode()}

    @staticmethod
    def hint(status: int, path: str) -> str | None:
        """Advice that names the setting and the kind of key."""
        if status in (401, 403):
            return (
                "Check CURSOR_ADMIN_KEY: it must be a live team key (Dashboard, Settings, Admin API keys), not a "
                "personal one, and the plan must include the Admin API."
            )
        return None

    def get(self, path: str, response_type: type[_T]) -> tuple[_T, bytes]:
        """Gets one response, decoded and as bytes."""
        decoded, response = self._api.get(path, response_type=response_type)
        return decoded, response.body

    def post(self, path: str, body: Mapping[str, object], response_type: type[_T]) -> tuple[_T, bytes]:
        """Posts a query and gets one response, decoded and as bytes."""
        decoded, response = self._api.post(path, body, response_type=response_type)
        return decoded, response.body


def day_bounds(days: DayRange) -> dict[str, int]:
    """The parameters that select whole days. Both bounds are inclusive, so a day ends a millisecond before midnight."""
    return {
        "startDate": int(day_start(days.first).timestamp() * 1000),
        "endDate": int((day_end(days.last) - _MILLISECOND).timestamp() * 1000),
    }
