"""All that is known of the mapping sheet: its four tabs, how they are read, and what makes a row usable.

Belongs here: reading through gspread, header and row rules. Does not: HTTP (`gateway`), versions (`mapping`), or how
the mapping is used (`sql/`). A row that is wrong is kept with its number and a reason that says what to do; a tab
that is wrong as a whole is refused, with one. Neither ever quotes an e-mail address or what looks like a secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal

import msgspec
import pandas as pd
import pandera.errors
import pandera.pandas as pa
import requests
from gspread.http_client import HTTPClient

from ai_usage_assets.http.client import ApiClient, Endpoint
from ai_usage_assets.http.errors import MalformedResponse, PermanentApiError
from ai_usage_assets.http.rate_limit import Clock
from ai_usage_assets.http.retry import RetryPolicy
from ai_usage_assets.redaction import KEY_PATTERN
from ai_usage_assets.secret_manager import SecretError
from ai_usage_assets.settings import is_loopback

NAME = "sheets"

_SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
_VALUES = "/v4/spreadsheets/{spreadsheet_id}/values:batchGet"
_CHECK_ID = "Check AI_USAGE_SHEET_ID: it is the part of the sheet's address between /d/ and /edit."

# --- the tabs ------------------------------------------------------------------------------------------------------

Kind = Literal["id", "label", "text", "enum", "email", "date", "month", "percent", "money"]


@dataclass(frozen=True)
class SheetColumn:
    """One column of a tab. A column whose header may be absent counts as blank in every row."""

    name: str
    kind: Kind
    filled: bool = False
    header: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class TabSchema:
    """One tab. Rows with equal `key` must not overlap in time, or must share to 100 % where there are shares."""

    columns: tuple[SheetColumn, ...]
    key: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


_INTERVAL = (SheetColumn("effective_from", "date"), SheetColumn("effective_to", "date", header=False))
_VENDORS = ("anthropic", "cursor")
_PRINCIPALS = {
    "anthropic": ("api_key", "workspace", "service_account", "user"),
    "cursor": ("service_account", "user", "automation", "cloud_agent"),
}

TABS: dict[str, TabSchema] = {
    "key_mapping": TabSchema(
        (
            SheetColumn("vendor", "enum", filled=True, values=_VENDORS),
            SheetColumn(
                "principal_type",
                "enum",
                filled=True,
                values=tuple(sorted({p for ps in _PRINCIPALS.values() for p in ps})),
            ),
            SheetColumn("principal_id", "id", filled=True),
            SheetColumn("person_email", "email"),
            SheetColumn("team", "label"),
            SheetColumn("cost_center", "label"),
            SheetColumn("share_pct", "percent", header=False),
            *_INTERVAL,
            SheetColumn("note", "text", header=False),
        ),
        key=("vendor", "principal_type", "principal_id"),
    ),
    "people": TabSchema(
        (
            SheetColumn("person_email", "email", filled=True),
            SheetColumn("name", "text", header=False),
            SheetColumn("team", "label"),
            SheetColumn("cost_center", "label"),
            *_INTERVAL,
        ),
        key=("person_email",),
    ),
    "budgets": TabSchema(
        (
            SheetColumn("month", "month", filled=True),
            SheetColumn("cost_center", "label", filled=True),
            SheetColumn("budget_usd", "money", filled=True),
        ),
        key=("month", "cost_center"),
    ),
    "seat_prices": TabSchema(
        (
            SheetColumn("vendor", "enum", filled=True, values=_VENDORS),
            SheetColumn("plan", "label", filled=True),
            SheetColumn("monthly_price_usd", "money", filled=True),
            *_INTERVAL,
        ),
        key=("vendor", "plan"),
    ),
}

# --- what comes out ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TabMissing:
    """The spreadsheet has no tab of that name."""


@dataclass(frozen=True)
class SheetRow:
    """One row of a tab: its number as the sheet shows it, its normalised cells as JSON text, why it is not used."""

    row_no: int
    payload: bytes
    reject_reason: str | None


@dataclass(frozen=True)
class TabSnapshot:
    """What was read of a tab. `refused`: why none of it is used, and what to do."""

    tab: str
    rows: tuple[SheetRow, ...] = ()
    refused: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def accepted(self) -> tuple[SheetRow, ...]:
        """Rows that are used."""
        return tuple(row for row in self.rows if row.reject_reason is None)

    @property
    def rejected(self) -> tuple[SheetRow, ...]:
        """Rows that are not."""
        return tuple(row for row in self.rows if row.reject_reason is not None)

    @property
    def digest(self) -> str:
        """Fingerprint of the content: row numbers, cells and reasons."""
        content = msgspec.json.encode([[row.row_no, row.payload.decode(), row.reject_reason] for row in self.rows])
        return hashlib.sha256(content).hexdigest()


# --- reading ------------------------------------------------------------------------------------------------------


class _ValueRange(msgspec.Struct):
    # Google leaves `values` out of an empty tab.
    values: list[list[Any]] = []


class _Batch(msgspec.Struct):
    valueRanges: list[_ValueRange]  # noqa: N815 - Google's spelling


class _GatewayClient(HTTPClient):
    """gspread's own client, its requests going out through the gateway."""

    def __init__(self, gateway: ApiClient) -> None:
        # A session in place of credentials, and never used: `request` is the only way out.
        super().__init__(None, session=requests.Session())  # type: ignore[arg-type]
        self._api = gateway

    def request(  # type: ignore[override]  # reads have neither data nor files
        self, method: str, endpoint: str, params: dict[str, Any] | None = None, **ignored: Any
    ) -> requests.Response:
        path = endpoint.removeprefix("https://sheets.googleapis.com")
        pairs = [
            (name, str(value))
            for name, values in (params or {}).items()
            for value in (values if isinstance(values, list) else [values])
        ]
        _, answer = self._api.get(path, pairs, response_type=_Batch)
        response = requests.Response()
        response.status_code = 200
        response._content = answer.body  # noqa: SLF001 - how requests itself fills a response
        response.encoding = "utf-8"
        return response


class MappingSheet:
    """The spreadsheet, read whole. No I/O until `read`.

    `spreadsheet_id` may also be the sheet's whole address. Uses the ambient Google credentials; a server on this
    machine is asked without any.
    """

    def __init__(
        self,
        spreadsheet_id: str,
        base_url: str,
        *,
        pacing: bool = True,
        retry_policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        address = re.search(r"/spreadsheets/d/([^/]+)", spreadsheet_id)
        self._spreadsheet_id = address[1] if address else spreadsheet_id
        self._api = ApiClient(
            NAME,
            base_url,
            authorize=dict if is_loopback(base_url) else _ambient_credentials,
            endpoints=[Endpoint("GET", _VALUES, per_minute=60)],
            retry_policy=retry_policy,
            pacing=pacing,
            clock=clock,
            hint=_hint,
        )
        self._client = _GatewayClient(self._api)

    def close(self) -> None:
        """Ends the connections."""
        self._api.close()

    def read(self) -> dict[str, list[list[Any]] | TabMissing]:
        """Every tab's cells, header row first, in one request.

        Only when a tab is missing are the tabs asked for one by one. Raises Failure or SecretError.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self._spreadsheet_id):
            raise PermanentApiError(
                NAME,
                f"GET {_VALUES}",
                detail="the id of the spreadsheet holds what no id holds; nothing was sent",
                next_step=_CHECK_ID,
                attempts=0,
            )
        try:
            return dict(zip(TABS, self._values(list(TABS)), strict=True))
        except PermanentApiError as failure:
            if failure.status != 400:
                raise
            found = {tab: self._one(tab) for tab in TABS}
            if all(isinstance(values, TabMissing) for values in found.values()):
                # About the file, not about a tab: an uploaded workbook, for one, is not a Google sheet.
                raise
            return found

    def _one(self, tab: str) -> list[list[Any]] | TabMissing:
        try:
            return self._values([tab])[0]
        except PermanentApiError as failure:
            # Google's answer to a range on a tab that does not exist; its wording is not documented.
            if failure.status != 400:
                raise
            return TabMissing()

    def _values(self, tabs: Sequence[str]) -> list[list[list[Any]]]:
        answer = self._client.values_batch_get(
            self._spreadsheet_id,
            [f"'{tab}'" for tab in tabs],
            params={"valueRenderOption": "UNFORMATTED_VALUE", "majorDimension": "ROWS"},
        )
        ranges = answer["valueRanges"]
        if len(ranges) != len(tabs):
            raise MalformedResponse(
                NAME,
                f"GET {_VALUES}",
                status=200,
                detail=f"{len(ranges)} ranges came for {len(tabs)} tabs",
                next_step="Run it again; the last good version of the sheet serves on.",
            )
        return [found.get("values", []) for found in ranges]


def account() -> str:
    """Whose credentials ask for the sheet, and where their address stands; never the address, which is an e-mail."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError:
        return "There are no Google credentials here."
    return account_of(credentials)


def account_of(credentials: object) -> str:
    """The same of given credentials."""
    from google.auth import compute_engine, external_account, impersonated_credentials
    from google.oauth2 import service_account

    match credentials:
        case service_account.Credentials():
            return "It is asked by a service account: its address is client_email in the file of its key."
        case impersonated_credentials.Credentials():
            return "It is asked as a service account that is impersonated: share it with that one."
        case compute_engine.Credentials():
            return "It is asked by the service account this machine or job runs as: its settings name the address."
        case external_account.Credentials():
            return "It is asked by a workload identity: share it with the service account that it stands for."
        case _:
            return "It is asked by the person who did `gcloud auth application-default login` here."


def _ambient_credentials() -> dict[str, str]:
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
    # Not the token alone: a person's own credentials also name the project that the API is counted against.
    headers: dict[str, str] = {}
    credentials.apply(headers)  # type: ignore[no-untyped-call]
    return headers


def _hint(status: int, path: str) -> str | None:
    match status:
        case 400:
            return (
                "Check that the file is a Google sheet (an uploaded workbook must be saved as one) and has the tabs "
                f"{_list(tuple(TABS))}."
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


# --- the header ---------------------------------------------------------------------------------------------------

# A tab that lost this much at once was filtered, sorted apart or cleared by mistake.
_LARGEST_LOSS = 0.3
_SMALLEST_LOSS_ROWS = 2


def check_tab(
    tab: str,
    values: Sequence[Sequence[Any]] | TabMissing,
    *,
    last_good_row_count: int | None,
    today: date,
    accept_loss: bool = False,
) -> TabSnapshot:
    """A tab's cells as rows that are used, rows that are rejected, or a refusal of the tab.

    `last_good_row_count` is the number of usable rows in the version that serves now, None for none. `accept_loss`
    lets the tab shrink. Never raises for what stands in the cells.
    """
    schema = TABS[tab]
    if isinstance(values, TabMissing):
        return TabSnapshot(tab, refused=f"there is no tab named {tab}. Add it, with the columns {_list(schema.names)}.")
    header = _header(schema, values)
    if isinstance(header, str):
        return TabSnapshot(tab, refused=header)
    drafts = _drafts(schema, header, values)
    warnings = [] if drafts else ["the tab has no rows"]
    _check_columns(schema, drafts)
    _check_rows(drafts)
    _drop_duplicates(drafts, warnings)
    _check_overlaps(schema, drafts, warnings)
    _warn(tab, drafts, today, warnings)
    if (refused := _reason_to_refuse(drafts, last_good_row_count or 0)) and not accept_loss:
        return TabSnapshot(tab, refused=refused)
    return TabSnapshot(tab, tuple(draft.row(schema) for draft in drafts), warnings=tuple(warnings))


def _reason_to_refuse(drafts: Sequence[_Draft], last_good_row_count: int) -> str | None:
    """Why the last good version of the tab must serve on: rows are gone, or of no use any more; else None."""
    usable = sum(not draft.reasons for draft in drafts)
    lost = last_good_row_count - usable
    is_small = lost < _SMALLEST_LOSS_ROWS or lost <= _LARGEST_LOSS * last_good_row_count
    if lost <= 0 or (usable and is_small):
        return None
    rejected = [draft for draft in drafts if draft.reasons]
    if not rejected:
        return (
            f"it has {usable or 'no'} rows, its last good version has {last_good_row_count}"
            + (f": more than {_LARGEST_LOSS:.0%} are gone" if usable else "")
            + f". {_ACCEPT_LOSS}"
        )
    first = f"row {rejected[0].row_no}: {rejected[0].reasons[0]}"
    return (
        f"{len(rejected)} of its {len(drafts)} rows cannot be used ({first}), which leaves {usable} of the "
        f"{last_good_row_count} of its last good version. Mend them. {_ACCEPT_LOSS}"
    )


_ACCEPT_LOSS = "If that is meant, accept it once with `ai-usage run --accept-loss`."


def _header(schema: TabSchema, values: Sequence[Sequence[Any]]) -> dict[str, int] | str:
    """Column positions by name, or why there is no usable header."""
    if not values or not any(_text(cell) for cell in values[0]):
        return f"its first row is empty. Put the header there: {_list(schema.names)}."
    names = [re.sub(r"[\s\-]+", "_", _text(cell).lower()) for cell in values[0]]
    missing = [c.name for c in schema.columns if c.header and c.name not in names]
    if missing:
        return f"its header lacks {_list(missing)}. The first row must name the columns."
    twice = sorted({name for name in names if name in schema.names and names.count(name) > 1})
    if twice:
        return f"its header has {_list(twice)} more than once. Rename or remove one of them."
    for row_no, row in enumerate(values[1:], 2):
        for position, cell in enumerate(row):
            if _text(cell) and (position >= len(names) or not names[position]):
                return (
                    f"row {row_no} has something in column {_letters(position)}, which has no heading. "
                    "Give the column a heading or clear it."
                )
    return {name: names.index(name) for name in schema.names if name in names}


# --- the cells ----------------------------------------------------------------------------------------------------

_REMOVED = "[removed: looks like a secret]"
_FORMULA_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#ERROR!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "LOADING..."}
# What a copied cell may carry without showing it: control characters, zero-width spaces, direction marks.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_BLANK = "".join(c for c in map(chr, [*range(0x3001), 0xFEFF]) if c.isspace() or _INVISIBLE.match(c))
_SERIAL_START = date(1899, 12, 30)
_EARLIEST = date(2023, 1, 1)
_PLAIN_TEXT = "is a number; format the column as plain text and type it again (leading zeros are lost otherwise)"


class _Wrong(ValueError):
    """A cell that cannot be used; the text says why and what to do, without the cell."""


@dataclass
class _Draft:
    """A row while it is judged."""

    row_no: int
    cells: dict[str, str | None]
    reasons: list[str] = field(default_factory=list)
    # Columns that already have a reason, so that no rule judges them again.
    unusable: set[str] = field(default_factory=set)

    def reject(self, reason: str, *columns: str) -> None:
        self.reasons.append(reason)
        self.unusable.update(columns)

    def has(self, *columns: str) -> bool:
        """Whether the row has these columns, and all can be used."""
        return self.unusable.isdisjoint(columns) and self.cells.keys() >= set(columns)

    @cached_property
    def first(self) -> date:
        return date.fromisoformat(self.cells.get("effective_from") or date.min.isoformat())

    @cached_property
    def end(self) -> date:
        return date.fromisoformat(self.cells.get("effective_to") or date.max.isoformat())

    def row(self, schema: TabSchema) -> SheetRow:
        payload = msgspec.json.encode({name: self.cells[name] for name in schema.names})
        return SheetRow(self.row_no, payload, "; ".join(self.reasons) or None)


def _drafts(schema: TabSchema, header: dict[str, int], values: Sequence[Sequence[Any]]) -> list[_Draft]:
    # Only our columns make a row: a column of check boxes next to them is filled down to the sheet's end.
    return [
        _draft(schema, header, row_no, row)
        for row_no, row in enumerate(values[1:], 2)
        if any(position < len(row) and _text(row[position]) for position in header.values())
    ]


def _draft(schema: TabSchema, header: dict[str, int], row_no: int, row: Sequence[Any]) -> _Draft:
    draft = _Draft(row_no, {})
    # Anywhere in the row, also in columns that are not ours: somebody pasted a key and should be told.
    if any(_is_secret(cell) for cell in row):
        draft.reject(
            "a cell looks like a secret: remove it from the sheet, revoke the key, and put the key's id there instead"
        )
    for column in schema.columns:
        position = header.get(column.name)
        cell = row[position] if position is not None and position < len(row) else None
        if _is_secret(cell):
            draft.cells[column.name] = _REMOVED
            draft.unusable.add(column.name)
            continue
        try:
            draft.cells[column.name] = _READERS[column.kind](cell) if _text(cell) else None
        except _Wrong as wrong:
            draft.cells[column.name] = _text(cell)
            draft.reject(f"{column.name} {wrong}", column.name)
    if "share_pct" in draft.cells and draft.cells["share_pct"] is None:
        draft.cells["share_pct"] = "100"
    # A user is named by e-mail, and e-mails are compared without case.
    if draft.cells.get("principal_type") == "user" and draft.cells["principal_id"]:
        draft.cells["principal_id"] = draft.cells["principal_id"].lower()
    return draft


def _text(cell: Any) -> str:
    """The cell as text, without what cannot be seen around it."""
    return "" if cell is None else str(cell).strip(_BLANK)


def _is_secret(cell: Any) -> bool:
    return KEY_PATTERN.search(_INVISIBLE.sub("", _text(cell))) is not None


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _plain(cell: Any) -> str:
    if isinstance(cell, bool):
        raise _Wrong("is a check box; write text")
    text = _text(cell)
    if text.upper() in _FORMULA_ERRORS:
        raise _Wrong("is a formula that failed; mend the formula")
    return text


def _read_label(cell: Any) -> str:
    if _is_number(cell):
        raise _Wrong(_PLAIN_TEXT)
    # Labels are compared as text, so one that looks the same must be the same.
    return " ".join(_INVISIBLE.sub("", _plain(cell)).split())


def _read_id(cell: Any) -> str:
    if _is_number(cell):
        raise _Wrong(_PLAIN_TEXT)
    text = _plain(cell)
    if _INVISIBLE.search(str(cell)) or re.search(r"\s", text):
        raise _Wrong("holds a space or an invisible character; copy the id again")
    return text


def _read_email(cell: Any) -> str:
    text = _plain(cell).lower()
    if _INVISIBLE.search(text):
        raise _Wrong("holds an invisible character; type it again")
    return text


def _read_date(cell: Any) -> str:
    if _is_number(cell):
        # Bounds first: only what is within them can be made whole.
        if not 0 < cell < 2_958_466 or cell != int(cell):
            raise _Wrong("is not a whole day; write it as 2026-01-31")
        return (_SERIAL_START + timedelta(days=int(cell))).isoformat()
    text = _plain(cell)
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise _Wrong("is not a date that means the same everywhere; write it as 2026-01-31")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _Wrong("is not a day of the calendar") from None


def _read_month(cell: Any) -> str:
    text = _plain(cell)
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        return text
    try:
        day = _read_date(cell)
    except _Wrong:
        raise _Wrong("is not a month; write it as 2026-01") from None
    if not day.endswith("-01"):
        raise _Wrong("is a day within a month; write the month as 2026-01")
    return day[:7]


def _decimal(cell: Any, text: str, advice: str) -> Decimal:
    if not _is_number(cell) and not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]+)?", text):
        raise _Wrong(advice)
    try:
        value = Decimal(repr(cell) if _is_number(cell) else text)
    except InvalidOperation:
        raise _Wrong(advice) from None
    if not value.is_finite() or abs(value) >= 10**15:
        raise _Wrong(advice)
    return value


def _fixed(value: Decimal, decimals: int) -> str:
    if round(value, decimals) != value:
        raise _Wrong(f"has more than {decimals} decimals; round it")
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _read_percent(cell: Any) -> str:
    value = _decimal(cell, _plain(cell).removesuffix("%").strip(), "is not a percentage; write 60 for 60 %")
    return _fixed(value, 6)


def _read_money(cell: Any) -> str:
    value = _decimal(cell, _plain(cell), "is not an amount; write 1234.50, without separators or a currency sign")
    return _fixed(value, 9)


_READERS: dict[Kind, Callable[[Any], str]] = {
    "id": _read_id,
    "label": _read_label,
    "text": _plain,
    "enum": lambda cell: _plain(cell).lower(),
    "email": _read_email,
    "date": _read_date,
    "month": _read_month,
    "percent": _read_percent,
    "money": _read_money,
}

# --- the columns ---------------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"[^@\s,;<>()\[\]]+@(?:[^@\s,;<>()\[\].]+\.)+[^@\s,;<>()\[\].]{2,}")


def _check(test: Callable[[str], bool], error: str) -> pa.Check:
    return pa.Check(test, element_wise=True, error=error)


_CHECKS: dict[Kind, pa.Check] = {
    "email": _check(lambda text: _EMAIL.fullmatch(text) is not None, "is not an e-mail address"),
    "date": _check(lambda text: text >= _EARLIEST.isoformat(), f"is before {_EARLIEST}; leave it blank for always"),
    "month": _check(lambda text: text >= f"{_EARLIEST:%Y-%m}", f"is before {_EARLIEST:%Y-%m}"),
    "percent": _check(lambda text: 0 < Decimal(text) <= 100, "must be above 0 and at most 100; write 60 for 60 %"),
    "money": _check(lambda text: Decimal(text) >= 0, "must not be negative"),
}


def _rules(column: SheetColumn) -> list[pa.Check]:
    if column.values:
        return [pa.Check.isin(column.values, error=f"must be {_list(column.values, 'or')}")]
    return [_CHECKS[column.kind]] if column.kind in _CHECKS else []


def _check_columns(schema: TabSchema, drafts: Sequence[_Draft]) -> None:
    """What can be said of a column alone, by pandera; a cell that already has a reason is not judged again."""
    if not drafts:
        return
    frame = pd.DataFrame(
        [{name: None if name in draft.unusable else value for name, value in draft.cells.items()} for draft in drafts],
        dtype=object,
    )
    rules = pa.DataFrameSchema(
        {
            column.name: pa.Column(
                object,
                checks=_rules(column),
                nullable=True,
            )
            for column in schema.columns
        }
    )
    try:
        rules.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        for index, column, check in zip(cases["index"], cases["column"], cases["check"], strict=True):
            drafts[int(index)].reject(f"{column} {check}", column)
    for draft in drafts:
        blank = [c.name for c in schema.columns if c.filled and draft.cells[c.name] is None]
        if blank:
            draft.reject(f"{_list(blank)} must be filled in", *blank)


def _check_rows(drafts: Iterable[_Draft]) -> None:
    """What can be said of a row alone, as far as its cells can be used."""
    for draft in drafts:
        cells = draft.cells
        if draft.has("effective_from", "effective_to") and draft.end <= draft.first:
            draft.reject("effective_to must be after effective_from; it is the first day the row no longer holds")
        if draft.has("vendor", "principal_type"):
            vendor, kind = str(cells["vendor"]), str(cells["principal_type"])
            if kind not in _PRINCIPALS[vendor]:
                draft.reject(f"principal_type {kind} does not exist at {vendor}; it has {_list(_PRINCIPALS[vendor])}")
        if draft.has("principal_type", "principal_id"):
            is_user, named = cells["principal_type"] == "user", str(cells["principal_id"])
            if is_user and not _EMAIL.fullmatch(named):
                draft.reject("principal_id of a user is the e-mail address")
        if draft.has("principal_id", "person_email", "team", "cost_center"):
            somebody = cells["person_email"] or cells["team"] or cells["cost_center"]
            if not somebody:
                draft.reject("it names nobody: fill in person_email, or team and cost_center")


# --- rows together ------------------------------------------------------------------------------------------------

_NAMED_ROWS = 5


def _drop_duplicates(drafts: Iterable[_Draft], warnings: list[str]) -> None:
    seen: dict[tuple[str | None, ...], int] = {}
    for draft in drafts:
        if draft.reasons:
            continue
        first = seen.setdefault(tuple(draft.cells.values()), draft.row_no)
        if first != draft.row_no:
            draft.reject(f"exact duplicate of row {first}; remove one of them")
            warnings.append(f"row {draft.row_no} repeats row {first}")


def _check_overlaps(schema: TabSchema, drafts: Sequence[_Draft], warnings: list[str]) -> None:
    groups: dict[tuple[str | None, ...], list[_Draft]] = {}
    for draft in drafts:
        if not draft.reasons:
            groups.setdefault(tuple(_same(name, draft.cells[name]) for name in schema.key), []).append(draft)
    for group in groups.values():
        remaining = group
        # A rejected row may have completed others' shares on other days, so the rest is judged again.
        while wrong := _not_whole(remaining):
            for draft, reason in wrong:
                draft.reject(reason)
            remaining = [draft for draft in remaining if not draft.reasons]
        _warn_of_gaps(remaining, warnings)


def _same(name: str, cell: str | None) -> str | None:
    # Plans are matched without case; labels and ids are compared as they are.
    return cell.casefold() if cell and name == "plan" else cell


def _not_whole(group: Sequence[_Draft]) -> list[tuple[_Draft, str]]:
    """The rows active on any day on which the group does not make exactly one whole, with the first such day's reason.

    All days are judged before a row goes, so that of three rows in a chain the last is not saved by the first.
    """
    reasons: dict[int, str] = {}
    # Between these days nothing changes.
    for day in sorted({draft.first for draft in group} | {draft.end for draft in group}):
        active = [draft for draft in group if draft.first <= day < draft.end]
        if active and sum(map(_share, active)) != 100:
            for draft in active:
                if draft.row_no not in reasons:
                    reasons[draft.row_no] = _overlap_reason(draft, active, day)
    return [(draft, reasons[draft.row_no]) for draft in group if draft.row_no in reasons]


def _share(draft: _Draft) -> Decimal:
    return Decimal(draft.cells.get("share_pct") or "100")


def _overlap_reason(draft: _Draft, active: Sequence[_Draft], day: date) -> str:
    others = _rows([other.row_no for other in active[: _NAMED_ROWS + 2] if other is not draft], len(active) - 1)
    if all(_share(other) == 100 for other in active):
        if "effective_from" not in draft.cells:
            return f"says the same thing twice, with {others}; keep one"
        return f"overlaps in time with {others}; end one before the other begins"
    total = sum(map(_share, active), Decimal(0))
    together = f" together with {others}" if others else ""
    since = f" on {day}" if day > date.min else ""
    # What a cell shown as 60 % really holds is 0.6.
    advice = "; format the column as a number and write 60 for 60 %" if total <= 1 else ""
    return f"usable shares{together} add up to {total.normalize():f} % instead of 100 %{since}{advice}"


def _rows(row_nos: Sequence[int], count: int) -> str:
    """The first of `count` rows by number, no more of them than can be read."""
    named = [f"row {row_no}" for row_no in row_nos[:_NAMED_ROWS]]
    if count > len(named):
        named.append(f"{count - len(named)} more")
    return _list(named) if named else ""


def _warn_of_gaps(group: Sequence[_Draft], warnings: list[str]) -> None:
    ordered = sorted(group, key=lambda draft: (draft.first, draft.end))
    covered = ordered[0].end if ordered else date.max
    for draft in ordered[1:]:
        if draft.first > covered:
            warnings.append(f"nothing holds from {covered} until row {draft.row_no} begins on {draft.first}")
        covered = max(covered, draft.end)


def _warn(tab: str, drafts: Iterable[_Draft], today: date, warnings: list[str]) -> None:
    for draft in drafts:
        if draft.reasons:
            continue
        if draft.cells.get("effective_from") and draft.first > today + timedelta(days=365):
            warnings.append(f"row {draft.row_no} begins more than a year from now, on {draft.first}")
        if tab == "people" and not (draft.cells["team"] and draft.cells["cost_center"]):
            warnings.append(f"row {draft.row_no} has no team or no cost center: that person's spend stays unallocated")


def _list(names: Sequence[str], last: str = "and") -> str:
    return ", ".join(names[:-1]) + f" {last} {names[-1]}" if len(names) > 1 else names[0]


def _letters(position: int) -> str:
    """A column as the sheet names it: 0 is A, 26 is AA."""
    name = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
