"""The simulated Google Sheets API, as far as gspread reads values.

Belongs here: ranges, ragged rows, Google's errors. Does not: what stands in the tabs (`organisation`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ai_usage_assets.simulator.organization import Organisation
from ai_usage_assets.simulator.server import Request, Response

_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
_SAID = {
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    429: "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute per user'",
    500: "Internal error encountered.",
}
_PAGE = (
    b"<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)</title><p><b>502.</b> <ins>That's an error.</ins>"
)
# The size of every tab; more rows than that make it longer.
_ROWS, _COLUMNS = 1000, 26
_RANGE = re.compile(
    r"(?:'(?P<quoted>(?:[^']|'')+)'|(?P<plain>[^'!]+))"
    r"(?P<cells>!(?P<left>[A-Z]*)(?P<top>\d*)(?P<to>:(?P<right>[A-Z]*)(?P<bottom>\d*))?)?"
)


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
    # Statuses of the next answers, before it works again; 502 is a page for people.
    failing: list[int] = field(default_factory=list)


class SheetsAPI:
    """Answers requests for one spreadsheet."""

    def __init__(self, organisation: Organisation, spreadsheet_id: str, switches: SheetsSwitches) -> None:
        self._organisation = organisation
        self._spreadsheet_id = spreadsheet_id
        self._switches = switches

    def handle(self, request: Request) -> Response:
        """One answer."""
        if self._switches.failing:
            return _failure(self._switches.failing.pop(0))
        try:
            status, body = 200, self._route(request)
        except _Refused as refused:
            status, body = refused.status, _error(refused.status, refused.message)
        return Response(status, msgspec.json.encode(body))

    def _route(self, request: Request) -> dict[str, Any]:
        found = re.fullmatch(r"/v4/spreadsheets/([^/:]+)(?:/values(:batchGet|/(.+)))?", request.path)
        if request.method != "GET" or not found or found[1] != self._spreadsheet_id:
            raise _Refused(404, _SAID[404])
        if self._switches.not_shared:
            raise _Refused(403, _SAID[403])
        if found[3]:
            return self._values(found[3], request)
        if found[2]:
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
                for number, (tab, rows) in enumerate(self._organisation.tabs.items())
            ],
        }

    def _values(self, name: str, request: Request) -> dict[str, Any]:
        """The cells of a range such as `budgets`, `'key_mapping'!A1:C9`, `people!2:2` or `people!A:A`."""
        found = _RANGE.fullmatch(name)
        tab = (found["quoted"] or found["plain"]).replace("''", "'") if found else ""
        if found is None or tab not in self._organisation.tabs:
            raise _Refused(400, f"Unable to parse range: {name}")
        rows = self._organisation.tabs[tab]
        one = bool(found["cells"]) and not found["to"]
        left, top = _number(found["left"]) or 1, int(found["top"] or 1)
        right = left if one else _number(found["right"]) or _COLUMNS
        bottom = top if one else int(found["bottom"] or max(_ROWS, len(rows)))
        raw = request.one("valueRenderOption") in ("UNFORMATTED_VALUE", "FORMULA")
        cells = [
            [cell if raw and cell is not None else _formatted(cell) for cell in row[left - 1 : right]]
            for row in rows[top - 1 : bottom]
        ]
        dimension = request.one("majorDimension") or "ROWS"
        if dimension == "COLUMNS":
            cells = [list(column) for column in itertools.zip_longest(*cells, fillvalue="")]
        answer = {
            "range": f"'{tab}'!{_letters(left)}{top}:{_letters(right)}{bottom}",
            "majorDimension": dimension,
        }
        values = _without_end([_without_end(line, "") for line in cells], [])
        # An empty range has no `values` at all.
        return {**answer, "values": values} if values else answer


def _failure(status: int) -> Response:
    if status in _STATUS:
        return Response(status, msgspec.json.encode(_error(status, _SAID[status])))
    return Response(status, _PAGE, {"content-type": "text/html; charset=UTF-8"})


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": _STATUS[status]}}


def _without_end(items: Sequence[Any], nothing: object) -> list[Any]:
    """Trailing empty cells and rows are not sent."""
    kept = list(items)
    while kept and kept[-1] == nothing:
        kept.pop()
    return kept


def _formatted(cell: object) -> str:
    """A cell as it is seen, which is what is answered unless values are asked for."""
    if isinstance(cell, bool):
        return str(cell).upper()
    return "" if cell is None else str(cell)


def _number(letters: str | None) -> int:
    """The number of a column, 1 for A; 0 for none."""
    number = 0
    for letter in letters or "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _letters(number: int) -> str:
    """The letters of a column."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
