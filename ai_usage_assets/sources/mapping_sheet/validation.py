"""Validates a tab of the mapping sheet.

An invalid row keeps its number and gets a reason that states what to do; the other rows are accepted. A tab that is
invalid as a whole is rejected. No message quotes an e-mail address or anything that looks like a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from ai_usage_assets.sources.mapping_sheet.cells import CellError, cell_text, is_secret, parse_cell
from ai_usage_assets.sources.mapping_sheet.tabs import (
    PRINCIPAL_TYPES,
    TABS,
    CellType,
    MissingTab,
    SheetColumn,
    SheetRow,
    TabSchema,
    TabSnapshot,
    join_names,
)

_REMOVED = "[removed: looks like a secret]"
_EARLIEST = date(2023, 1, 1)
_MAX_ROWS_LISTED = 5
# A tab that loses more than this at once was filtered, partly sorted or cleared by mistake.
_MAX_LOST_SHARE, _MAX_LOST_ROWS = 0.3, 1
_ACCEPT_LOSS = "If the change is correct, accept it once with `ai-usage run --accept-loss`."


@dataclass
class _DraftRow:
    """A row during validation. Columns in `invalid` already have a reason, and later rules ignore them."""

    row_no: int
    cells: dict[str, str | None]
    reasons: list[str] = field(default_factory=list)
    invalid: set[str] = field(default_factory=set)

    def reject(self, reason: str, *columns: str) -> None:
        self.reasons.append(reason)
        self.invalid.update(columns)

    def has_valid(self, *columns: str) -> bool:
        return self.invalid.isdisjoint(columns) and self.cells.keys() >= set(columns)

    @cached_property
    def first_day(self) -> date:
        return date.fromisoformat(self.cells.get("effective_from") or date.min.isoformat())

    @cached_property
    def end_day(self) -> date:
        """Exclusive."""
        return date.fromisoformat(self.cells.get("effective_to") or date.max.isoformat())

    @property
    def share_pct(self) -> Decimal:
        return Decimal(self.cells.get("share_pct") or "100")

    def to_row(self, schema: TabSchema) -> SheetRow:
        payload = msgspec.json.encode({name: self.cells[name] for name in schema.names})
        return SheetRow(self.row_no, payload, "; ".join(self.reasons) or None)


def validate_tab(
    tab: str,
    values: Sequence[Sequence[Any]] | MissingTab,
    *,
    last_good_row_count: int | None,
    today: date,
    accept_loss: bool = False,
) -> TabSnapshot:
    """Returns the validated rows of a tab, or a snapshot with a `rejection` for an invalid tab.

    `last_good_row_count` is the number of accepted rows in the version in use, None without one. `accept_loss` accepts
    a tab that lost rows. Never raises for the content of cells.
    """
    schema = TABS[tab]
    if isinstance(values, MissingTab):
        columns = join_names(schema.names)
        return TabSnapshot(tab, rejection=f"the tab {tab} does not exist. Add it with the columns {columns}.")
    header = _read_header(schema, values)
    if isinstance(header, str):
        return TabSnapshot(tab, rejection=header)
    drafts = _read_rows(schema, header, values)
    warnings = [] if drafts else ["the tab has no rows"]
    _check_columns(schema, drafts)
    _check_rows(drafts)
    _reject_duplicates(drafts, warnings)
    _check_overlaps(schema, drafts, warnings)
    _add_warnings(tab, drafts, today, warnings)
    rejection = _find_loss(drafts, last_good_row_count or 0)
    if rejection and not accept_loss:
        return TabSnapshot(tab, rejection=rejection)
    return TabSnapshot(tab, tuple(draft.to_row(schema) for draft in drafts), warnings=tuple(warnings))


def _find_loss(drafts: Sequence[_DraftRow], last_good_row_count: int) -> str | None:
    """Returns why the last good version stays in use: the tab lost too many valid rows. None if it did not."""
    valid = sum(not draft.reasons for draft in drafts)
    lost = last_good_row_count - valid
    is_tolerated = lost <= _MAX_LOST_ROWS or lost <= _MAX_LOST_SHARE * last_good_row_count
    if lost <= 0 or (valid and is_tolerated):
        return None
    rejected = [draft for draft in drafts if draft.reasons]
    if not rejected:
        share = f": more than {_MAX_LOST_SHARE:.0%} are missing" if valid else ""
        return f"it has {valid or 'no'} rows, its last good version has {last_good_row_count}{share}. {_ACCEPT_LOSS}"
    first = f"row {rejected[0].row_no}: {rejected[0].reasons[0]}"
    return (
        f"{len(rejected)} of its {len(drafts)} rows are invalid ({first}), which leaves {valid} of the "
        f"{last_good_row_count} rows of its last good version. Fix them. {_ACCEPT_LOSS}"
    )


def _read_header(schema: TabSchema, values: Sequence[Sequence[Any]]) -> dict[str, int] | str:
    """Returns the position of each column by name, or why the header is invalid."""
    if not values or not any(cell_text(cell) for cell in values[0]):
        return f"its first row is empty. Put the header there: {join_names(schema.names)}."
    names = [re.sub(r"[\s\-]+", "_", cell_text(cell).lower()) for cell in values[0]]
    missing = [c.name for c in schema.columns if c.header_required and c.name not in names]
    if missing:
        return f"its header lacks {join_names(missing)}. The first row must name the columns."
    repeated = sorted({name for name in names if name in schema.names and names.count(name) > 1})
    if repeated:
        return f"its header has {join_names(repeated)} more than once. Rename or remove one of them."
    for row_no, row in enumerate(values[1:], 2):
        for position, cell in enumerate(row):
            if cell_text(cell) and (position >= len(names) or not names[position]):
                return (
                    f"row {row_no} has a value in column {_column_letters(position)}, which has no header. "
                    "Give the column a header or clear it."
                )
    return {name: names.index(name) for name in schema.names if name in names}


def _read_rows(schema: TabSchema, header: dict[str, int], values: Sequence[Sequence[Any]]) -> list[_DraftRow]:
    # Only the schema's columns make a row: a column of check boxes can be filled down to the end of the sheet.
    return [
        _read_row(schema, header, row_no, row)
        for row_no, row in enumerate(values[1:], 2)
        if any(position < len(row) and cell_text(row[position]) for position in header.values())
    ]


def _read_row(schema: TabSchema, header: dict[str, int], row_no: int, row: Sequence[Any]) -> _DraftRow:
    draft = _DraftRow(row_no, {})
    # Extra columns are checked too: a key in any cell is reported.
    if any(is_secret(cell) for cell in row):
        draft.reject(
            "a cell looks like a secret: remove it from the sheet, revoke the key, and enter the key's id instead"
        )
    for column in schema.columns:
        position = header.get(column.name)
        cell = row[position] if position is not None and position < len(row) else None
        if is_secret(cell):
            draft.cells[column.name] = _REMOVED
            draft.invalid.add(column.name)
            continue
        try:
            draft.cells[column.name] = parse_cell(column.type, cell)
        except CellError as error:
            draft.cells[column.name] = cell_text(cell)
            draft.reject(f"{column.name} {error}", column.name)
    if "share_pct" in draft.cells and draft.cells["share_pct"] is None:
        draft.cells["share_pct"] = "100"
    # The principal_id of a user is an e-mail address, and addresses are compared without case.
    if draft.cells.get("principal_type") == "user" and draft.cells["principal_id"]:
        draft.cells["principal_id"] = draft.cells["principal_id"].lower()
    return draft


_EMAIL = re.compile(r"[^@\s,;<>()\[\]]+@(?:[^@\s,;<>()\[\].]+\.)+[^@\s,;<>()\[\].]{2,}")


def _check(predicate: Callable[[str], bool], error: str) -> pa.Check:
    return pa.Check(predicate, element_wise=True, error=error)


_CHECKS: dict[CellType, pa.Check] = {
    "email": _check(lambda text: _EMAIL.fullmatch(text) is not None, "is not an e-mail address"),
    "date": _check(lambda text: text >= _EARLIEST.isoformat(), f"is before {_EARLIEST}; leave it blank for always"),
    "month": _check(lambda text: text >= f"{_EARLIEST:%Y-%m}", f"is before {_EARLIEST:%Y-%m}"),
    "percent": _check(lambda text: 0 < Decimal(text) <= 100, "must be above 0 and at most 100; write 60 for 60%"),
    "money": _check(lambda text: Decimal(text) >= 0, "must not be negative"),
}


def _column_checks(column: SheetColumn) -> list[pa.Check]:
    if column.values:
        return [pa.Check.isin(column.values, error=f"must be {join_names(column.values, 'or')}")]
    return [_CHECKS[column.type]] if column.type in _CHECKS else []


def _check_columns(schema: TabSchema, drafts: Sequence[_DraftRow]) -> None:
    """Checks each column on its own with pandera; cells that already have a reason are skipped."""
    if not drafts:
        return
    frame = pd.DataFrame(
        [{name: None if name in draft.invalid else value for name, value in draft.cells.items()} for draft in drafts],
        dtype=object,
    )
    columns = {c.name: pa.Column(object, checks=_column_checks(c), nullable=True) for c in schema.columns}
    try:
        pa.DataFrameSchema(columns).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        for index, column, check in zip(cases["index"], cases["column"], cases["check"], strict=True):
            drafts[int(index)].reject(f"{column} {check}", column)
    for draft in drafts:
        blank = [c.name for c in schema.columns if c.required and draft.cells[c.name] is None]
        if blank:
            draft.reject(f"{join_names(blank)} must be filled in", *blank)


def _check_rows(drafts: Iterable[_DraftRow]) -> None:
    """Checks the cells of each row against each other, as far as they are valid."""
    for draft in drafts:
        cells = draft.cells
        if draft.has_valid("effective_from", "effective_to") and draft.end_day <= draft.first_day:
            draft.reject("effective_to must be after effective_from; it is the first day on which the row is not valid")
        if draft.has_valid("vendor", "principal_type"):
            vendor, principal_type = str(cells["vendor"]), str(cells["principal_type"])
            allowed = PRINCIPAL_TYPES[vendor]
            if principal_type not in allowed:
                draft.reject(f"{vendor} has no principal_type {principal_type}; it has {join_names(allowed)}")
        if draft.has_valid("principal_type", "principal_id"):
            is_user = cells["principal_type"] == "user"
            if is_user and not _EMAIL.fullmatch(str(cells["principal_id"])):
                draft.reject("principal_id of a user is the e-mail address")
        owner = ("person_email", "team", "cost_center")
        if draft.has_valid("principal_id", *owner) and not any(cells[name] for name in owner):
            draft.reject("it has no owner: fill in person_email, or team and cost_center")


def _reject_duplicates(drafts: Iterable[_DraftRow], warnings: list[str]) -> None:
    first_row_no: dict[tuple[str | None, ...], int] = {}
    for draft in drafts:
        if draft.reasons:
            continue
        first = first_row_no.setdefault(tuple(draft.cells.values()), draft.row_no)
        if first != draft.row_no:
            draft.reject(f"exact duplicate of row {first}; remove one of them")
            warnings.append(f"row {draft.row_no} duplicates row {first}")


def _check_overlaps(schema: TabSchema, drafts: Sequence[_DraftRow], warnings: list[str]) -> None:
    groups: dict[tuple[str | None, ...], list[_DraftRow]] = {}
    for draft in drafts:
        if not draft.reasons:
            groups.setdefault(tuple(_key_part(name, draft.cells[name]) for name in schema.key), []).append(draft)
    for group in groups.values():
        remaining = group
        # A rejected row can have completed the shares of others on other days, so the rest is checked again.
        while conflicts := _find_conflicts(remaining):
            for draft, reason in conflicts:
                draft.reject(reason)
            remaining = [draft for draft in remaining if not draft.reasons]
        _warn_of_gaps(remaining, warnings)


def _key_part(name: str, cell: str | None) -> str | None:
    # Plans are compared without case; labels and ids are compared as they are.
    return cell.casefold() if cell and name == "plan" else cell


def _find_conflicts(group: Sequence[_DraftRow]) -> list[tuple[_DraftRow, str]]:
    """Returns the rows that are valid on a day on which the shares do not add up to 100, with the first such reason.

    All days are checked before a row is rejected, so that in a chain of three rows the first does not hide the last.
    """
    reasons: dict[int, str] = {}
    # Nothing changes between these days.
    for day in sorted({draft.first_day for draft in group} | {draft.end_day for draft in group}):
        active = [draft for draft in group if draft.first_day <= day < draft.end_day]
        if active and sum(draft.share_pct for draft in active) != 100:
            for draft in active:
                if draft.row_no not in reasons:
                    reasons[draft.row_no] = _conflict_reason(draft, active, day)
    return [(draft, reasons[draft.row_no]) for draft in group if draft.row_no in reasons]


def _conflict_reason(draft: _DraftRow, active: Sequence[_DraftRow], day: date) -> str:
    others = _format_rows([row.row_no for row in active[: _MAX_ROWS_LISTED + 2] if row is not draft], len(active) - 1)
    if all(row.share_pct == 100 for row in active):
        if "effective_from" not in draft.cells:
            return f"has the same key as {others}; keep one"
        return f"overlaps in time with {others}; end one before the other begins"
    total = sum((row.share_pct for row in active), Decimal(0))
    together = f" together with {others}" if others else ""
    on_day = f" on {day}" if day > date.min else ""
    # A cell that is displayed as 60% contains 0.6.
    advice = "; format the column as a number and write 60 for 60%" if total <= 1 else ""
    return f"shares{together} add up to {total.normalize():f}% instead of 100%{on_day}{advice}"


def _format_rows(row_nos: Sequence[int], count: int) -> str:
    """Lists the first row numbers of `count` rows and the number of the others."""
    names = [f"row {row_no}" for row_no in row_nos[:_MAX_ROWS_LISTED]]
    if count > len(names):
        names.append(f"{count - len(names)} more")
    return join_names(names) if names else ""


def _warn_of_gaps(group: Sequence[_DraftRow], warnings: list[str]) -> None:
    ordered = sorted(group, key=lambda draft: (draft.first_day, draft.end_day))
    covered = ordered[0].end_day if ordered else date.max
    for draft in ordered[1:]:
        if draft.first_day > covered:
            warnings.append(f"no row is valid from {covered} until row {draft.row_no} begins on {draft.first_day}")
        covered = max(covered, draft.end_day)


def _add_warnings(tab: str, drafts: Iterable[_DraftRow], today: date, warnings: list[str]) -> None:
    for draft in drafts:
        if draft.reasons:
            continue
        if draft.cells.get("effective_from") and draft.first_day > today + timedelta(days=365):
            warnings.append(f"row {draft.row_no} begins more than a year from now, on {draft.first_day}")
        if tab == "people" and not (draft.cells["team"] and draft.cells["cost_center"]):
            warnings.append(f"row {draft.row_no} has no team or no cost center: that person's spend stays unallocated")


def _column_letters(position: int) -> str:
    """Returns a column's letters: 0 is A, 26 is AA."""
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
