"""Reads the mapping spreadsheet with gspread and the ambient Google credentials."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import google.auth
import gspread
import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from urllib3.exceptions import HTTPError

from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError, describe_non_json
from ai_usage_assets.http.rate_limit import Clock, SystemClock
from ai_usage_assets.http.retry import (
    NO_WAIT_POLICY,
    AttemptError,
    HttpRetryPolicy,
    failed_response,
    raise_failure,
    send_with_retries,
)
from ai_usage_assets.redaction import redact_line
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import is_loopback
from ai_usage_assets.sources.mapping_sheet.tabs import TABS, MissingTab, join_names

NAME = "sheets"

# The address in the URLs of gspread.
_GOOGLE_URL = "https://sheets.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0
_MAX_BODY_BYTES = 64 * 1024 * 1024
_PART_BYTES = 64 * 1024
_MAX_DETAIL_CHARACTERS = 300
_RUN_AGAIN = "Run again. The last good version of the sheet stays in use."
_CHECK_ID = "Check AI_USAGE_SHEET_ID: it is the part of the sheet's address between /d/ and /edit."


class _SheetsHttpClient(gspread.HTTPClient):
    """gspread's HTTP client with the project's retries and errors, for Google or a server on this machine."""

    def __init__(
        self,
        auth: Credentials,
        session: requests.Session | None,
        *,
        base_url: str,
        policy: HttpRetryPolicy,
        clock: Clock,
    ) -> None:
        super().__init__(auth, session)
        self.set_timeout((_CONNECT_SECONDS, _READ_SECONDS))
        self._base_url = base_url
        self._policy = policy
        self._clock = clock

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Sends a request. Raises ApiError or SecretError."""
        method, endpoint = arguments
        url = endpoint.replace(_GOOGLE_URL, self._base_url, 1)
        path = re.sub(r"(?<=/spreadsheets/)[^/]+", "{spreadsheet_id}", urlsplit(url).path)
        name = f"{method.upper()} {path}"
        result, attempts = send_with_retries(
            lambda: self._attempt(method, url, options), self._policy, self._clock, f"{NAME} {name}"
        )
        if isinstance(result, AttemptError):
            raise_failure(NAME, name, result, attempts, _hint(result.status or 0))
        return result

    def _attempt(self, method: str, url: str, options: Mapping[str, Any]) -> requests.Response | AttemptError:
        deadline = time.monotonic() + self._policy.attempt_seconds
        try:
            # gspread's own method fails on error bodies of another form than Google's.
            response = self.session.request(
                method, url, timeout=self.timeout, stream=True, allow_redirects=False, **options
            )
            with closing(response.raw):
                problem = _read_body(response, deadline)
            if problem:
                return problem
            if not response.ok or response.is_redirect:
                return failed_response(
                    response.status_code, response.headers, response.content, self._redact, self._clock.now()
                )
            response.json()
        except requests.JSONDecodeError:
            detail = describe_non_json(response.content) or "not the expected JSON"
            return AttemptError(detail, status=response.status_code, transient=True, malformed=True)
        except (requests.RequestException, HTTPError, TransportError) as error:
            return AttemptError(f"no complete response ({type(error).__name__})", transient=True)
        except GoogleAuthError as error:
            raise _credentials_error(error) from None
        return response

    def _redact(self, text: str) -> str:
        credentials = getattr(self.session, "credentials", None)
        if credentials and credentials.token:
            text = text.replace(credentials.token, "[secret]")
        return redact_line(text, with_people=False)[:_MAX_DETAIL_CHARACTERS]


def _rows(value_range: Mapping[str, Any]) -> list[list[Any]]:
    """The rows of a tab. Raises TypeError if they are not lists of cells."""
    rows = value_range.get("values", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise TypeError("the values of a range are not rows")
    return rows


def _read_body(response: requests.Response, deadline: float) -> AttemptError | None:
    """Reads the body into memory, until a time on the monotonic clock: requests limits only the wait for each part."""
    body = bytearray()
    if "," in response.headers.get("content-encoding", ""):
        # A small response that is compressed twice can fill the memory while its first part is decoded.
        return AttemptError("the response is compressed twice", status=response.status_code, transient=False)
    while part := response.raw.read1(_PART_BYTES, decode_content=True):
        body += part
        if len(body) > _MAX_BODY_BYTES:
            detail = f"the response is larger than {_MAX_BODY_BYTES // 1024**2} MiB"
            return AttemptError(detail, status=response.status_code, transient=False)
        if time.monotonic() > deadline:
            return AttemptError("no complete response (too slow)", transient=True)
    response.raw = BytesIO(body)
    return None


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
        self._base_url = base_url
        self._policy = retry_policy or (HttpRetryPolicy() if pacing else NO_WAIT_POLICY)
        self._clock = clock or SystemClock()

    def read(self) -> dict[str, list[list[Any]] | MissingTab]:
        """Returns the cells of every tab, header row first. Raises ApiError or SecretError."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self._spreadsheet_id):
            raise PermanentApiError(
                NAME,
                "spreadsheet",
                detail="the spreadsheet id contains characters that no id has; no request was sent",
                next_step=_CHECK_ID,
                attempts=0,
            )
        try:
            return self._read_tabs()
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            # gspread reads the responses without checking their form.
            raise MalformedResponse(
                NAME,
                "spreadsheet",
                status=200,
                detail=f"the response does not have the form of Google's ({type(error).__name__})",
                next_step=_RUN_AGAIN,
            ) from None

    def _read_tabs(self) -> dict[str, list[list[Any]] | MissingTab]:
        spreadsheet = self._connect().open_by_key(self._spreadsheet_id)
        titles = {worksheet.title for worksheet in spreadsheet.worksheets()}
        tabs = [tab for tab in TABS if tab in titles]
        if not tabs:
            return dict.fromkeys(TABS, MissingTab())
        batch = spreadsheet.values_batch_get(
            [f"'{tab}'" for tab in tabs],
            # Unformatted, so that a numeric id is detected.
            params={"valueRenderOption": "UNFORMATTED_VALUE", "majorDimension": "ROWS"},
        )
        ranges = batch["valueRanges"]
        if len(ranges) != len(tabs):
            raise MalformedResponse(
                NAME,
                "values:batchGet",
                status=200,
                detail=f"the response has {len(ranges)} ranges for {len(tabs)} tabs",
                next_step=_RUN_AGAIN,
            )
        # Google omits `values` for an empty tab.
        values = {tab: _rows(value_range) for tab, value_range in zip(tabs, ranges, strict=True)}
        return {tab: values.get(tab, MissingTab()) for tab in TABS}

    def _connect(self) -> gspread.Client:
        session = requests.Session() if is_loopback(self._base_url) else None
        credentials = None if session else _ambient_credentials()
        http_client = partial(_SheetsHttpClient, base_url=self._base_url, policy=self._policy, clock=self._clock)
        # gspread calls it like a class, and takes no credentials with a session.
        return gspread.Client(credentials, session, http_client)  # type: ignore[arg-type]


def describe_ambient_account() -> str:
    """Describes the account whose credentials read the sheet and where its address is found, without the address."""
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


def _ambient_credentials() -> Credentials:
    """The Google credentials of this machine or job. Raises SecretError."""
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError as error:
        raise _credentials_error(error) from None
    return credentials


def _credentials_error(error: Exception) -> SecretError:
    return SecretError(
        f"No Google credentials for the mapping sheet ({type(error).__name__}). On a laptop: `gcloud auth "
        f"application-default login --scopes={_SCOPE},https://www.googleapis.com/auth/cloud-platform`; in the "
        "cloud: give the job a service account."
    )


def _hint(status: int) -> str | None:
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
