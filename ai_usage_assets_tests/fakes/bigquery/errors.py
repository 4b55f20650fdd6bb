"""The errors of BigQuery's REST API: status, reason, message and body."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal; `status` is HTTP's, `reason` BigQuery's."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def body(self) -> dict[str, Any]:
        """The body of the HTTP answer."""
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
                "status": _STATUS.get(self.status, "UNKNOWN"),
            }
        }

    def of_job(self) -> dict[str, Any]:
        """The same as a failed job tells it."""
        return {"reason": self.reason, "message": self.message}


_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


def not_found(what: str) -> ApiError:
    """`what` is as in "Table acme-project:ai_usage.t"."""
    return ApiError(404, "notFound", f"Not found: {what}")


def duplicate(what: str) -> ApiError:
    """There is one already."""
    return ApiError(409, "duplicate", f"Already Exists: {what}")


def invalid(message: str) -> ApiError:
    """A request or data that cannot be."""
    return ApiError(400, "invalid", message)


def invalid_query(message: str) -> ApiError:
    """A statement that cannot be."""
    return ApiError(400, "invalidQuery", message)


def beyond_this_server(what: str) -> ApiError:
    """BigQuery might do it; this server was not taught."""
    return ApiError(501, "notImplemented", f"The fake BigQuery of the tests does not do this: {what}")
