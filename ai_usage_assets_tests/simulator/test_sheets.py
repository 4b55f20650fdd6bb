"""The simulated Sheets API, used by gspread."""

from __future__ import annotations

from typing import Any

import google.auth.credentials
import gspread
import pytest
from gspread.http_client import HTTPClient

from ai_usage_assets.simulator import Simulator, Urls


def test_gspread_reads_the_sheet(simulator: Simulator, urls: Urls) -> None:
    """gspread, redirected to the simulator, opens the sheet and reads its tabs."""

    class RedirectedClient(HTTPClient):
        def request(self, method: str, endpoint: str, *args: Any, **options: Any) -> Any:
            return super().request(
                method, endpoint.replace("https://sheets.googleapis.com", urls.sheets), *args, **options
            )

    credentials = google.auth.credentials.AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = gspread.authorize(credentials, http_client=RedirectedClient)
    sheet = client.open_by_key(simulator.SHEET_ID)
    assert [tab.title for tab in sheet.worksheets()] == ["key_mapping", "people", "budgets", "seat_prices"]
    assert sheet.worksheet("seat_prices").get_values()[1][:3] == ["cursor", "Teams Standard", "40"]
    response = client.http_client.values_batch_get(simulator.SHEET_ID, ["'people'", "'budgets'"])
    assert len(response["valueRanges"][0]["values"]) == len(simulator.sheet("people"))
    with pytest.raises(gspread.exceptions.APIError, match="Unable to parse range"):
        client.http_client.values_batch_get(simulator.SHEET_ID, ["'nothing'"])
    with pytest.raises(gspread.exceptions.SpreadsheetNotFound):
        client.open_by_key("another")
