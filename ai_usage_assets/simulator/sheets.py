"""The simulated Google Sheets API: the value ranges and errors that gspread reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ai_usage_assets.simulator.organization import Organization
from ai_usage_assets.simulator.server import Request, Response, SimulatedApi

_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
_MESSAGES = {
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    429: "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per user'",
    500: "Internal error encountered.",
}
_PAGE = (
    b"<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)</title><p><b>502.</b> <ins>That's an error.</ins>"
)
# The minimum size of every tab: columns A to Z.
_ROWS, _COLUMNS = 1000, 26
# The name of a tab as a range; ranges of cells are not supported.
_TAB = re.compile(r"'((?:[^']|'')+)'|([^'!]+)")


class _ApiError(Exception):
    """A request the API does not accept."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class SheetsFaultOptions:
    """Deviations and faults of the simulated API."""

    # The sheet is not shared with the caller.
    not_shared: bool = False
    # Statuses of the next responses; 502 responds with an HTML page.
    failing: list[int] = field(default_factory=list)


class SheetsAPI(SimulatedApi):
    """Responds to requests for one spreadsheet."""

    def __init__(self, organization: Organization, spreadsheet_id: str, fault_options: SheetsFaultOptions) -> None:
        self._organization = organization
        self._spreadsheet_id = spreadsheet_id
        self._options = fault_options

    def handle(self, request: Request) -> Response:
        """Responds to one request."""
        if self._options.failing:
            return _error_response(self._options.failing.pop(0))
        try:
            status, body = 200, self._route(request)
        except _ApiError as error:
            status, body = error.status, _error_body(error.status, error.message)
        return Response(status, msgspec.json.encode(body))

    def _route(self, request: Request) -> dict[str, Any]:
        match = re.fullmatch(r"/v4/spreadsheets/([^/:]+)(?:/values(:batchGet|/(.+)))?", request.path)
        if request.method != "GET" or not match or match[1] != self._spreadsheet_id:
            raise _ApiError(404, _MESSAGES[404])
        if self._options.not_shared:
            raise _ApiError(403, _MESSAGES[403])
        if match[3]:
            return self._values(match[3], request)
        if match[2]:
            ranges = [value for name, value in request.query if name == "ranges"]
            values = [self._values(name, request) for name in ranges]
            return {"spreadsheetId": self._spreadsheet_id, "valueRanges": values}
        return {
            "spreadsheetId": self._spreadsheet_id,
            "properties": {"title": "AI tools: who pays"},
            "sheets": [
                {
                    "properties": {
                        "sheetId": number,
                        "title": tab,
                        "index": number,
                        "sheetType": "GRID",
                        "gridProperties": {"rowCount": max(_ROWS, len(rows)), "columnCount": _COLUMNS},
                    }
                }
                for number, (tab, rows) in enumerate(self._organization.tabs.items())
            ],
        }

    def _values(self, name: str, request: Request) -> dict[str, Any]:
        """The cells of a whole tab, such as `budgets` or `'key_mapping'`."""
        match = _TAB.fullmatch(name)
        tab = (match[1] or match[2]).replace("''", "'") if match else ""
        if match is None or tab not in self._organization.tabs:
            raise _ApiError(400, f"Unable to parse range: {name}")
        rows = self._organization.tabs[tab]
        raw = request.one("valueRenderOption") in ("UNFORMATTED_VALUE", "FORMULA")
        cells = [[cell if raw and cell is not None else _formatted(cell) for cell in row] for row in rows]
        value_range = {"range": f"'{tab}'!A1:Z{max(_ROWS, len(rows))}", "majorDimension": "ROWS"}
        values = _strip_trailing([_strip_trailing(line, "") for line in cells], [])
        # Google omits `values` for an empty range.
        return {**value_range, "values": values} if values else value_range


def _error_response(status: int) -> Response:
    if status in _STATUS:
        return Response(status, msgspec.json.encode(_error_body(status, _MESSAGES[status])))
    return Response(status, _PAGE, {"content-type": "text/html; charset=UTF-8"})


def _error_body(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": _STATUS[status]}}


def _strip_trailing(items: Sequence[Any], nothing: object) -> list[Any]:
    """Removes trailing empty cells or rows, which Google does not send."""
    items_left = list(items)
    while items_left and items_left[-1] == nothing:
        items_left.pop()
    return items_left


def _formatted(cell: object) -> str:
    """The displayed text of a cell, which Google returns unless unformatted values are requested."""
    if isinstance(cell, bool):
        return str(cell).upper()
    return "" if cell is None else str(cell)
