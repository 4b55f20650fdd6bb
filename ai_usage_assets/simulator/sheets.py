"""The simulated Google Sheets API, as far as gspread reads values.

Belongs here: ranges, ragged rows, Google's errors. Does not: what stands in the tabs (`organisation`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ai_usage_assets.simulator.organisation import Organisation
from ai_usage_assets.simulator.server import Request, Response

_STATUS = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


class _Refused(Exception):
    """A request the API does not accept."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class SheetsSwitches:
    """What can be different; all can be changed while it serves."""

    # The sheet is not shared with whoever asks.
    not_shared: bool = False


class SheetsAPI:
    """Answers requests for one spreadsheet."""

    def __init__(self, organisation: Organisation, spreadsheet_id: str, switches: SheetsSwitches) -> None:
        self._organisation = organisation
        self._spreadsheet_id = spreadsheet_id
        self._switches = switches

    def handle(self, request: Request) -> Response:
        """One answer."""
        try:
            status, body = 200, self._route(request)
        except _Refused as refused:
            status = refused.status
            body = {"error": {"code": status, "message": refused.message, "status": _STATUS[status]}}
        return Response(status, msgspec.json.encode(body))

    def _route(self, request: Request) -> dict[str, Any]:
        found = re.fullmatch(r"/v4/spreadsheets/([^/:]+)(?:/values(:batchGet|/(.+)))?", request.path)
        if request.method != "GET" or not found or found[1] != self._spreadsheet_id:
            raise _Refused(404, "Requested entity was not found.")
        if self._switches.not_shared:
            raise _Refused(403, "The caller does not have permission")
        if found[3]:
            return self._values(found[3])
        if found[2]:
            ranges = [value for name, value in request.query if name == "ranges"]
            return {"spreadsheetId": self._spreadsheet_id, "valueRanges": [self._values(name) for name in ranges]}
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
                        "gridProperties": {"rowCount": 1000, "columnCount": 26},
                    }
                }
                for number, tab in enumerate(self._organisation.tabs)
            ],
        }

    def _values(self, name: str) -> dict[str, Any]:
        tab = name.partition("!")[0].strip("'").replace("''", "'")
        if tab not in self._organisation.tabs:
            raise _Refused(400, f"Unable to parse range: {name}")
        answer: dict[str, Any] = {"range": f"'{tab}'!A1:Z1000", "majorDimension": "ROWS"}
        rows = [_without_end(row) for row in self._organisation.tabs[tab]]
        while rows and not rows[-1]:
            rows.pop()
        # An empty range has no `values` at all.
        return {**answer, "values": rows} if rows else answer


def _without_end(row: list[Any]) -> list[Any]:
    """Trailing empty cells are not sent."""
    cells = list(row)
    while cells and cells[-1] in ("", None):
        cells.pop()
    return ["" if cell is None else cell for cell in cells]
