"""Reads the mapping spreadsheet with gspread, whose requests go through the project's own HTTP client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import requests
from gspread.http_client import HTTPClient

from ai_usage_assets.http.client import ApiClient, Endpoint
from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError
from ai_usage_assets.http.rate_limit import Clock
from ai_usage_assets.http.retry import HttpRetryPolicy
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import is_loopback
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, MissingTab, join_names

NAME = "sheets"

_SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
_VALUES = "/v4/spreadsheets/{spreadsheet_id}/values:batchGet"
_CHECK_ID = "Check AI_USAGE_SHEET_ID: it is the part of the sheet's address between /d/ and /edit."


class _ValueRange(msgspec.Struct):
    # Google omits `values` for an empty tab.
    values: list[list[Any]] = []


class _Batch(msgspec.Struct):
    valueRanges: list[_ValueRange]  # noqa: N815 - Google's spelling


class _SheetsHttpClient(HTTPClient):
    """gspread's client with the project's HTTP client as its transport."""

    def __init__(self, api: ApiClient) -> None:
        # gspread requires credentials or a session; `request` never uses the session.
        super().__init__(None, session=requests.Session())  # type: ignore[arg-type]
        self._api = api

    def request(  # type: ignore[override]  # reads have neither data nor files
        self, method: str, endpoint: str, params: dict[str, Any] | None = None, **ignored: Any
    ) -> requests.Response:
        path = endpoint.removeprefix("https://sheets.googleapis.com")
        pairs = [
            (name, str(value))
            for name, values in (params or {}).items()
            for value in (values if isinstance(values, list) else [values])
        ]
        _, raw = self._api.get(path, pairs, response_type=_Batch)
        response = requests.Response()
        response.status_code = 200
        response._content = raw.body  # noqa: SLF001 - requests has no public way to fill a response
        response.encoding = "utf-8"
        return response


class MappingSheet:
    """The mapping spreadsheet. Sends no request before `read`.

    `spreadsheet_id` is the id or the address of the spreadsheet. Requests use the ambient Google credentials; requests
    to a loopback server use none.
    """

    def __init__(
        self,
        spreadsheet_id: str,
        base_url: str,
        *,
        pacing: bool = True,
        retry_policy: HttpRetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        address = re.search(r"/spreadsheets/d/([^/]+)", spreadsheet_id)
        self._spreadsheet_id = address[1] if address else spreadsheet_id
        self._api = ApiClient(
            NAME,
            base_url,
            authorize=dict if is_loopback(base_url) else _request_headers,
            endpoints=[Endpoint("GET", _VALUES, per_minute=60)],
            retry_policy=retry_policy,
            pacing=pacing,
            clock=clock,
            hint=_hint,
        )
        self._client = _SheetsHttpClient(self._api)

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()

    def read(self) -> dict[str, list[list[Any]] | MissingTab]:
        """Returns the cells of every tab, header row first, with one request.

        If a tab is missing, Google rejects the request, and each tab is requested separately. Raises ApiError or
        SecretError.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self._spreadsheet_id):
            raise PermanentApiError(
                NAME,
                f"GET {_VALUES}",
                detail="the spreadsheet id contains characters that no id has; no request was sent",
                next_step=_CHECK_ID,
                attempts=0,
            )
        try:
            return dict(zip(TABS, self._read_tabs(list(TABS)), strict=True))
        except PermanentApiError as failure:
            if failure.status != 400:
                raise
            values_by_tab = {tab: self._read_tab(tab) for tab in TABS}
            if all(isinstance(values, MissingTab) for values in values_by_tab.values()):
                # The file is the problem, not a tab: an uploaded workbook, for example, is not a Google sheet.
                raise
            return values_by_tab

    def _read_tab(self, tab: str) -> list[list[Any]] | MissingTab:
        try:
            return self._read_tabs([tab])[0]
        except PermanentApiError as failure:
            # Google's response for a range on a missing tab. Its message is not documented, its status is.
            if failure.status != 400:
                raise
            return MissingTab()

    def _read_tabs(self, tabs: Sequence[str]) -> list[list[list[Any]]]:
        batch = self._client.values_batch_get(
            self._spreadsheet_id,
            [f"'{tab}'" for tab in tabs],
            params={"valueRenderOption": "UNFORMATTED_VALUE", "majorDimension": "ROWS"},
        )
        ranges = batch["valueRanges"]
        if len(ranges) != len(tabs):
            raise MalformedResponse(
                NAME,
                f"GET {_VALUES}",
                status=200,
                detail=f"the response has {len(ranges)} ranges for {len(tabs)} tabs",
                next_step="Run again. The last good version of the sheet stays in use.",
            )
        return [value_range.get("values", []) for value_range in ranges]


def describe_ambient_account() -> str:
    """Describes the account whose credentials read the sheet and where its address is found, without the address."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError:
        return "This machine has no Google credentials."
    return describe_account(credentials)


def describe_account(credentials: object) -> str:
    """Describes the account of the given Google credentials, without its address."""
    from google.auth import compute_engine, external_account, impersonated_credentials
    from google.oauth2 import service_account

    match credentials:
        case service_account.Credentials():
            return "The account is a service account: its address is client_email in its key file."
        case impersonated_credentials.Credentials():
            return "The account is an impersonated service account: share the sheet with it."
        case compute_engine.Credentials():
            return "The account is the service account of this machine or job: its settings show the address."
        case external_account.Credentials():
            return "The account is a workload identity: share the sheet with the service account behind it."
        case _:
            return "The account is the person who ran `gcloud auth application-default login` on this machine."


def _request_headers() -> dict[str, str]:
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        raise SecretError(
            f"No Google credentials for the mapping sheet ({type(error).__name__}). On a laptop: `gcloud auth "
            f"application-default login --scopes={_SCOPE},https://www.googleapis.com/auth/cloud-platform`; in the "
            "cloud: give the job a service account."
        ) from None
    # `apply` also sets the quota project of a person's credentials, not only the token.
    headers: dict[str, str] = {}
    credentials.apply(headers)  # type: ignore[no-untyped-call]
    return headers


def _hint(status: int, path: str) -> str | None:
    match status:
        case 400:
            return (
                "Check that the file is a Google sheet (save an uploaded workbook as one) and has the tabs "
                f"{join_names(tuple(TABS))}."
            )
        case 401:
            return "Renew the Google credentials (`gcloud auth application-default login`)."
        case 403:
            return (
                "Share the spreadsheet with the service account's address as a viewer, and enable the Google Sheets "
                "API in its project."
            )
        case 404:
            return _CHECK_ID
        case _:
            return None
