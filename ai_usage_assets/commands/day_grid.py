"""The grid of `ai-usage status`: the status of every table and day, and the reasons of failures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from rich.table import Table
from rich.text import Text

from ai_usage_assets.commands.tables import create_table
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.rendering.text import format_usd
from ai_usage_assets.warehouse.base import Row

_MARKS = {
    "complete": ("█", "green"),
    "provisional": ("▓", "green"),
    "incomplete": ("▒", "yellow"),
    "failed": ("✗", "bold red"),
    "not_loaded": ("·", "dim"),
    "not_exposed": ("–", "dim"),
    "not_configured": ("○", "dim"),
}
_LOADED = {"complete", "provisional", "incomplete"}

# The width of the other columns.
_OTHER_COLUMNS_WIDTH, _MIN_DAYS = 62, 7
# The parts of a message that differ between requests that failed for the same reason.
_REQUEST_DETAILS = re.compile(r"\b(?:GET|POST) /\S+ | \(request [^)]*\)")


def visible_day_count(width: int) -> int:
    """How many days a terminal of this width can show in one line."""
    return max(width - _OTHER_COLUMNS_WIDTH, _MIN_DAYS)


def legend() -> Text:
    """What the marks mean."""
    return Text.assemble(*(part for name, mark in _MARKS.items() for part in (mark, f" {_status_text(name)}  ")))


def day_grid(rows: list[Row], first: date, last: date) -> Table:
    """One line per raw table, one mark per day; a snapshot has the date of its last read instead."""
    table = create_table(f"Days loaded, {first} to {last} (UTC)", "Table", "Days", "Records", "USD", left=("Days",))
    table.columns[0].no_wrap = True
    by_asset: dict[str, list[Row]] = {}
    for row in rows:
        by_asset.setdefault(row["asset"], []).append(row)
    for asset, asset_rows in by_asset.items():
        visible = {row["usage_date"]: row for row in asset_rows if first <= row["usage_date"] <= last}
        is_daily = any(row["status"] == "not_loaded" for row in asset_rows)
        if visible and (is_daily or len(visible) > 1):
            dates = (first + timedelta(days=number) for number in range((last - first).days + 1))
            marks = Text.assemble(*(_MARKS[visible[day]["status"]] if day in visible else (" ", "") for day in dates))
        else:
            newest = asset_rows[-1]
            visible = {newest["usage_date"]: newest}
            status = "read" if newest["status"] in _LOADED else _status_text(newest["status"])
            marks = Text.assemble(_MARKS[newest["status"]], f" {status} on {newest['usage_date']}")
        table.add_row(
            asset.removeprefix("raw_"),
            marks,
            f"{sum(row['records'] or 0 for row in visible.values()):,}",
            format_usd(sum_known(row["amount_usd"] for row in visible.values()), decimals=0, missing=""),
        )
    return table


def failures(rows: list[Row], first: date) -> Iterator[Text]:
    """One paragraph per reason for which days since `first` are not complete."""
    by_reason: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["message"] and row["usage_date"] >= first:
            # A vendor that rejects a key gives the same reason for each of its tables.
            reason = _REQUEST_DETAILS.sub("", row["message"])
            by_reason.setdefault((row["vendor"], row["status"], reason), []).append(row)
    for (_, status, _), affected in by_reason.items():
        dates = sorted({row["usage_date"] for row in affected})
        span = f"{dates[0]}" if len(dates) == 1 else f"{len(dates)} days, {dates[0]} to {dates[-1]}"
        asset, *others = dict.fromkeys(row["asset"].removeprefix("raw_") for row in affected)
        more = f" and {len(others)} more" if others else ""
        yield Text.assemble(
            (f"{asset}{more}", "bold"),
            f", {span}: ",
            (_status_text(status), _MARKS[status][1]),
            f". {affected[0]['message']}",
        )


def _status_text(status: str) -> str:
    return status.replace("_", " ")
