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
from typing import Any, Literal

import msgspec
import pandas as pd
import pandera.errors
import pandera.pandas as pa
import requests
from gspread.http_client import HTTPClient

from ai_usage_assets.gateway import Clock, Endpoint, Gateway, PermanentFailure
from ai_usage_assets.secrets import SecretError
from ai_usage_assets.settings import is_loopback

NAME = "sheets"

_SCOPE = "https://www.googleapis.com/auth/spreadsheets.readonly"
_VALUES = "/v4/spreadsheets/{spreadsheet_id}/values:batchGet"

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
            SheetColumn("plan", "text", filled=True),
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

    def __init__(self, gateway: Gateway) -> None:
        # A session in place of credentials, and never used: `request` is the only way out.
        super().__init__(None, session=requests.Session())  # type: ignore[arg-type]
        self._gateway = gateway

    def request(  # type: ignore[override]  # reads have neither data nor files
        self, method: str, endpoint: str, params: dict[str, Any] | None = None, **ignored: Any
    ) -> requests.Response:
        path = endpoint.removeprefix("https://sheets.googleapis.com")
        pairs = [
            (name, str(value))
            for name, values in (params or {}).items()
            for value in (values if isinstance(values, list) else [values])
        ]
        _, answer = self._gateway.get(path, pairs, shape=_Batch)
        response = requests.Response()
        response.status_code = 200
        response._content = answer.body  # noqa: SLF001 - how requests itself fills a response
        response.encoding = "utf-8"
        return response


class MappingSheet:
    """The spreadsheet, read whole. No I/O until `read`.

    Uses the ambient Google credentials; a server on this machine is asked without any.
    """

    def __init__(self, spreadsheet_id: str, base_url: str, *, pacing: bool = True, clock: Clock | None = None) -> None:
        self._spreadsheet_id = spreadsheet_id
        self._gateway = Gateway(
            NAME,
            base_url,
            authorize=dict if is_loopback(base_url) else _ambient_credentials,
            endpoints=[Endpoint("GET", _VALUES, per_minute=60)],
            pacing=pacing,
            clock=clock,
            hint=_hint,
        )
        self._client = _GatewayClient(self._gateway)

    def close(self) -> None:
        """Ends the connections."""
        self._gateway.close()

    def read(self) -> dict[str, list[list[Any]] | TabMissing]:
        """Every tab's cells, header row first, in one request.

        Only when a tab is missing are the tabs asked for one by one. Raises Failure or SecretError.
        """
        try:
            return dict(zip(TABS, self._values(list(TABS)), strict=True))
        except PermanentFailure as failure:
            if failure.status != 400:
                raise
        return {tab: self._one(tab) for tab in TABS}

    def _one(self, tab: str) -> list[list[Any]] | TabMissing:
        try:
            return self._values([tab])[0]
        except PermanentFailure as failure:
            # Google's answer to a range on a tab that does not exist.
            if failure.status != 400:
                raise
            return TabMissing()

    def _values(self, tabs: Sequence[str]) -> list[list[list[Any]]]:
        answer = self._client.values_batch_get(
            self._spreadsheet_id,
            [f"'{tab}'" for tab in tabs],
            params={"valueRenderOption": "UNFORMATTED_VALUE", "majorDimension": "ROWS"},
        )
        return [found.get("values", []) for found in answer["valueRanges"]]


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
    return {"authorization": f"Bearer {credentials.token}"}


def _hint(status: int, path: str) -> str | None:
    match status:
        case 401:
            return "Renew the Google credentials (`gcloud auth application-default login`)."
        case 403:
            return (
                "Share the spreadsheet with the service account's address as a viewer, and enable the Google Sheets "
                "API in its project."
            )
        case 404:
            return "Check AI_USAGE_SHEET_ID: it is the part of the sheet's address between /d/ and /edit."
        case _:
            return None


# --- the header ---------------------------------------------------------------------------------------------------

# A tab that lost this much at once was filtered, sorted apart or cleared by mistake.
_LARGEST_LOSS = 0.3
_SMALLEST_LOSS_ROWS = 3


def check_tab(
    tab: str,
    values: Sequence[Sequence[Any]] | TabMissing,
    *,
    last_good_row_count: int | None,
    today: date,
    accept_loss: bool = False,
) -> TabSnapshot:
    """A tab's cells as rows that are used, rows that are rejected, or a refusal of the tab.

    `last_good_row_count` is the number of rows in the version that serves now, None for none. `accept_loss` lets the
    tab shrink. Never raises for what stands in the cells.
    """
    schema = TABS[tab]
    if isinstance(values, TabMissing):
        return TabSnapshot(tab, refused=f"there is no tab named {tab}. Add it, with the columns {_list(schema.names)}.")
    header = _header(schema, values)
    if isinstance(header, str):
        return TabSnapshot(tab, refused=header)
    drafts = _drafts(schema, header, values)
    if not drafts and last_good_row_count and not accept_loss:
        return TabSnapshot(
            tab, refused=f"it has no rows, its last good version has {last_good_row_count}. {_ACCEPT_LOSS}"
        )
    lost = (last_good_row_count or 0) - len(drafts)
    if lost >= _SMALLEST_LOSS_ROWS and lost > _LARGEST_LOSS * (last_good_row_count or 0) and not accept_loss:
        return TabSnapshot(
            tab,
            refused=f"it has {len(drafts)} rows, its last good version has {last_good_row_count}: more than "
            f"{_LARGEST_LOSS:.0%} are gone. {_ACCEPT_LOSS}",
        )
    warnings = [] if drafts else ["the tab has no rows"]
    _check_columns(schema, drafts)
    _check_rows(tab, drafts)
    _drop_duplicates(drafts, warnings)
    _check_overlaps(schema, drafts, warnings)
    _warn(tab, drafts, today, warnings)
    return TabSnapshot(tab, tuple(draft.row(schema) for draft in drafts), warnings=tuple(warnings))


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

_SECRET = re.compile(r"(?<![A-Za-z0-9])(?:crsr|key|sk)[-_][A-Za-z0-9_-]{20,}")
_REMOVED = "[removed: looks like a secret]"
_FORMULA_ERRORS = {"#N/A", "#REF!", "#VALUE!", "#ERROR!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"}
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad]")
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

    @property
    def first(self) -> date:
        return date.fromisoformat(self.cells.get("effective_from") or date.min.isoformat())

    @property
    def end(self) -> date:
        return date.fromisoformat(self.cells.get("effective_to") or date.max.isoformat())

    def row(self, schema: TabSchema) -> SheetRow:
        payload = msgspec.json.encode({name: self.cells[name] for name in schema.names})
        return SheetRow(self.row_no, payload, "; ".join(self.reasons) or None)


def _drafts(schema: TabSchema, header: dict[str, int], values: Sequence[Sequence[Any]]) -> list[_Draft]:
    return [
        _draft(schema, header, row_no, row)
        for row_no, row in enumerate(values[1:], 2)
        if any(_text(cell) for cell in row)
    ]


def _draft(schema: TabSchema, header: dict[str, int], row_no: int, row: Sequence[Any]) -> _Draft:
    draft = _Draft(row_no, {})
    # Anywhere in the row, also in columns that are not ours: somebody pasted a key and should be told.
    if any(_SECRET.search(_text(cell)) for cell in row):
        draft.reasons.append(
            "a cell looks like a secret: remove it from the sheet, revoke the key, and put the key's id there instead"
        )
    for column in schema.columns:
        position = header.get(column.name)
        cell = row[position] if position is not None and position < len(row) else None
        if _SECRET.search(_text(cell)):
            draft.cells[column.name] = _REMOVED
            continue
        try:
            draft.cells[column.name] = _READERS[column.kind](cell) if _text(cell) else None
        except _Wrong as wrong:
            draft.cells[column.name] = _text(cell)
            draft.reasons.append(f"{column.name} {wrong}")
    if "share_pct" in draft.cells and draft.cells["share_pct"] is None:
        draft.cells["share_pct"] = "100"
    # A user is named by e-mail, and e-mails are compared without case.
    if draft.cells.get("principal_type") == "user" and draft.cells["principal_id"]:
        draft.cells["principal_id"] = draft.cells["principal_id"].lower()
    return draft


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


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
    return _INVISIBLE.sub("", _plain(cell)).strip()


def _read_id(cell: Any) -> str:
    if _is_number(cell):
        raise _Wrong(_PLAIN_TEXT)
    text = _plain(cell)
    if _INVISIBLE.search(text) or re.search(r"\s", text):
        raise _Wrong("holds a space or an invisible character; copy the id again")
    return text


def _read_date(cell: Any) -> str:
    if _is_number(cell):
        if cell != int(cell) or not 0 < cell < 2_958_466:
            raise _Wrong("is not a whole day; write it as 2026-01-31")
        return (_SERIAL_START + timedelta(days=int(cell))).isoformat()
    text = _plain(cell)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise _Wrong("is not a date that means the same everywhere; write it as 2026-01-31")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _Wrong("is not a day of the calendar") from None


def _read_month(cell: Any) -> str:
    if isinstance(cell, str) and re.fullmatch(r"\s*\d{4}-(0[1-9]|1[0-2])\s*", cell):
        return cell.strip()
    try:
        day = _read_date(cell)
    except _Wrong:
        raise _Wrong("is not a month; write it as 2026-01") from None
    if not day.endswith("-01"):
        raise _Wrong("is a day within a month; write the month as 2026-01")
    return day[:7]


def _decimal(cell: Any, text: str, advice: str) -> Decimal:
    if not _is_number(cell) and not re.fullmatch(r"[+-]?\d{1,15}(\.\d+)?", text):
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
        raise _Wrong(f"has more than {decimals} decimals")
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
    "email": lambda cell: _plain(cell).lower(),
    "date": _read_date,
    "month": _read_month,
    "percent": _read_percent,
    "money": _read_money,
}

# --- the columns ---------------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"[^@\s,;<>()\[\]]+@[^@\s,;<>()\[\]]+\.[^@\s,;<>()\[\].]{2,}")


def _check(test: Callable[[str], bool], error: str) -> pa.Check:
    return pa.Check(test, element_wise=True, error=error)


_CHECKS: dict[Kind, pa.Check] = {
    "email": _check(lambda text: _EMAIL.fullmatch(text) is not None, "is not an e-mail address"),
    "date": _check(lambda text: text >= _EARLIEST.isoformat(), f"is before {_EARLIEST}; leave it blank for always"),
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
        [
            {
                name: None if value == _REMOVED or any(r.startswith(f"{name} ") for r in draft.reasons) else value
                for name, value in draft.cells.items()
            }
            for draft in drafts
        ],
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
            drafts[int(index)].reasons.append(f"{column} {check}")
    for draft in drafts:
        blank = [c.name for c in schema.columns if c.filled and draft.cells[c.name] is None]
        if blank:
            draft.reasons.append(f"{_list(blank)} must be filled in")


def _check_rows(tab: str, drafts: Iterable[_Draft]) -> None:
    """What can be said of a row alone."""
    for draft in drafts:
        if draft.reasons:
            continue
        cells = draft.cells
        if draft.end <= draft.first:
            draft.reasons.append(
                "effective_to must be after effective_from; it is the first day the row no longer holds"
            )
        if tab == "key_mapping":
            vendor, kind = str(cells["vendor"]), str(cells["principal_type"])
            if kind not in _PRINCIPALS[vendor]:
                draft.reasons.append(
                    f"principal_type {kind} does not exist at {vendor}; it has {_list(_PRINCIPALS[vendor])}"
                )
            if kind == "user" and not _EMAIL.fullmatch(str(cells["principal_id"])):
                draft.reasons.append("principal_id of a user is the e-mail address")
            names_somebody = cells["person_email"] or cells["team"] or cells["cost_center"]
            if not names_somebody:
                draft.reasons.append("it names nobody: fill in person_email, or team and cost_center")


# --- rows together ------------------------------------------------------------------------------------------------


def _drop_duplicates(drafts: Iterable[_Draft], warnings: list[str]) -> None:
    seen: dict[tuple[str | None, ...], int] = {}
    for draft in drafts:
        if draft.reasons:
            continue
        first = seen.setdefault(tuple(draft.cells.values()), draft.row_no)
        if first != draft.row_no:
            draft.reasons.append(f"exact duplicate of row {first}; remove one of them")
            warnings.append(f"row {draft.row_no} repeats row {first}")


def _check_overlaps(schema: TabSchema, drafts: Sequence[_Draft], warnings: list[str]) -> None:
    groups: dict[tuple[str | None, ...], list[_Draft]] = {}
    for draft in drafts:
        if not draft.reasons:
            groups.setdefault(tuple(draft.cells[name] for name in schema.key), []).append(draft)
    for group in groups.values():
        remaining = group
        # A rejected row may have completed others' shares on other days, so the rest is judged again.
        while wrong := _first_wrong_day(remaining):
            for draft in wrong:
                others = [other.row_no for other in wrong if other is not draft]
                draft.reasons.append(_overlap_reason(draft, wrong, others))
            remaining = [draft for draft in remaining if draft not in wrong]
        _warn_of_gaps(remaining, warnings)


def _first_wrong_day(group: Sequence[_Draft]) -> list[_Draft]:
    """The rows active on the earliest day on which they do not make exactly one whole."""
    for day in sorted({draft.first for draft in group}):
        active = [draft for draft in group if draft.first <= day < draft.end]
        if sum((_share(draft) for draft in active), Decimal(0)) != 100:
            return active
    for day in sorted({draft.end for draft in group} - {date.max}):
        active = [draft for draft in group if draft.first <= day < draft.end]
        if active and sum((_share(draft) for draft in active), Decimal(0)) != 100:
            return active
    return []


def _share(draft: _Draft) -> Decimal:
    return Decimal(draft.cells.get("share_pct") or "100")


def _overlap_reason(draft: _Draft, wrong: Sequence[_Draft], others: Sequence[int]) -> str:
    rows = _list([f"row {row_no}" for row_no in others]) if others else ""
    if all(_share(other) == 100 for other in wrong):
        if "effective_from" not in draft.cells:
            return f"says the same thing twice, with {rows}; keep one"
        return f"overlaps in time with {rows}; end one before the other begins"
    total = sum((_share(other) for other in wrong), Decimal(0))
    day = max(other.first for other in wrong)
    since = f" on {day}" if day > date.min else ""
    together = f" together with {rows}" if others else ""
    return f"shares{together} add up to {total.normalize():f} % instead of 100 %{since}"


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
