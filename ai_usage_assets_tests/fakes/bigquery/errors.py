"""The errors of BigQuery's REST API: status, reason, message and body."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error response. `status` is the HTTP status, `reason` is BigQuery's error reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def body(self) -> dict[str, Any]:
        """Return the body of the HTTP response."""
        return {
            "error": {
                "code": self.status,
                "message": self.message,
                "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
                "status": _STATUS_NAMES.get(self.status, "UNKNOWN"),
            }
        }

    def job_error(self) -> dict[str, Any]:
        """Return the error as the `status` of a failed job contains it."""
        return {"reason": self.reason, "message": self.message}


_STATUS_NAMES = {
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


def not_found(name: str) -> ApiError:
    """`name` is the kind and name of the object, such as "Table acme-project:ai_usage.t"."""
    return ApiError(404, "notFound", f"Not found: {name}")


def not_found_in_location(name: str, location: str) -> ApiError:
    """The object does not exist in the location of the job."""
    return not_found(f"{name} was not found in location {location}")


def duplicate(name: str) -> ApiError:
    """`name` is the kind and name of the object that already exists."""
    return ApiError(409, "duplicate", f"Already Exists: {name}")


def access_denied(message: str) -> ApiError:
    """The caller has no permission for the request."""
    return ApiError(403, "accessDenied", f"Access Denied: {message}")


def invalid(message: str) -> ApiError:
    """The request or its data is invalid."""
    return ApiError(400, "invalid", message)


def invalid_query(message: str) -> ApiError:
    """The statement is invalid or fails when it runs."""
    return ApiError(400, "invalidQuery", message)


def concurrent_update(table: str) -> ApiError:
    """`table` is the full name of a table that another transaction changed."""
    return invalid_query(
        f"Transaction is aborted due to concurrent update against table {table}. "
        "Please check whether the table is being updated concurrently and retry."
    )


def precondition_failed() -> ApiError:
    """The etag of the request is not the current one."""
    return ApiError(412, "conditionNotMet", "Precondition check failed.")


def not_implemented(feature: str) -> ApiError:
    """BigQuery may support the request; this server does not."""
    return ApiError(501, "notImplemented", f"The fake BigQuery of the tests does not support this: {feature}")
