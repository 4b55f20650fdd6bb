"""The tabs of the mapping sheet: their columns and keys, and the snapshot of a tab that validation produces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ai_usage_assets.hashing import sha256_hex

CellType = Literal["id", "label", "text", "enum", "email", "date", "month", "percent", "money"]

# The principal types that each vendor can attribute usage to.
PRINCIPAL_TYPES = {
    "anthropic": ("api_key", "workspace", "service_account", "user"),
    "cursor": ("service_account", "user", "automation", "cloud_agent"),
}


@dataclass(frozen=True)
class SheetColumn:
    """One column of a tab.

    `required`: every row needs a value. `header_required`: the tab needs the column; without it every cell is blank.
    """

    name: str
    type: CellType
    required: bool = False
    header_required: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class TabSchema:
    """The columns of a tab. Rows with the same `key` must not overlap in time, or their shares must add up to 100."""

    columns: tuple[SheetColumn, ...]
    key: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)


_VALIDITY = (SheetColumn("effective_from", "date"), SheetColumn("effective_to", "date", header_required=False))
_VENDOR = SheetColumn("vendor", "enum", required=True, values=tuple(PRINCIPAL_TYPES))

TABS: dict[str, TabSchema] = {
    "key_mapping": TabSchema(
        (
            _VENDOR,
            SheetColumn(
                "principal_type",
                "enum",
                required=True,
                values=tuple(sorted({name for names in PRINCIPAL_TYPES.values() for name in names})),
            ),
            SheetColumn("principal_id", "id", required=True),
            SheetColumn("person_email", "email"),
            SheetColumn("team", "label"),
            SheetColumn("cost_center", "label"),
            SheetColumn("share_pct", "percent", header_required=False),
            *_VALIDITY,
            SheetColumn("note", "text", header_required=False),
        ),
        key=("vendor", "principal_type", "principal_id"),
    ),
    "people": TabSchema(
        (
            SheetColumn("person_email", "email", required=True),
            SheetColumn("name", "text", header_required=False),
            SheetColumn("team", "label"),
            SheetColumn("cost_center", "label"),
            *_VALIDITY,
        ),
        key=("person_email",),
    ),
    "budgets": TabSchema(
        (
            SheetColumn("month", "month", required=True),
            SheetColumn("cost_center", "label", required=True),
            SheetColumn("budget_usd", "money", required=True),
        ),
        key=("month", "cost_center"),
    ),
    "seat_prices": TabSchema(
        (
            _VENDOR,
            SheetColumn("plan", "label", required=True),
            SheetColumn("monthly_price_usd", "money", required=True),
            *_VALIDITY,
        ),
        key=("vendor", "plan"),
    ),
}


@dataclass(frozen=True)
class MissingTab:
    """The spreadsheet has no tab with the requested name."""


@dataclass(frozen=True)
class SheetRow:
    """One row of a tab: its row number in the sheet, its normalized cells as a JSON object, and its reject reason."""

    row_no: int
    payload: bytes
    reject_reason: str | None


@dataclass(frozen=True)
class TabSnapshot:
    """A validated tab. `rejection` states why the whole tab is rejected and what to do; None for an accepted tab."""

    tab: str
    rows: tuple[SheetRow, ...] = ()
    rejection: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def accepted(self) -> tuple[SheetRow, ...]:
        """Rows without a reject reason."""
        return tuple(row for row in self.rows if row.reject_reason is None)

    @property
    def rejected(self) -> tuple[SheetRow, ...]:
        """Rows with a reject reason."""
        return tuple(row for row in self.rows if row.reject_reason is not None)

    @property
    def digest(self) -> str:
        """SHA-256 of the content: row numbers, cells and reject reasons."""
        content = msgspec.json.encode([[row.row_no, row.payload.decode(), row.reject_reason] for row in self.rows])
        return sha256_hex(content)


def join_names(names: Sequence[str], last: str = "and") -> str:
    """Joins names for a message: `a, b and c`."""
    return ", ".join(names[:-1]) + f" {last} {names[-1]}" if len(names) > 1 else names[0]
