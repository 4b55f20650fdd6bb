"""The summary after the demo: the month's spend by vendor, team and person, and the results of the checks."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ai_usage_assets.commands.tables import (
    create_table,
    format_change,
    result_line,
    warning_line,
)
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.registry import SOURCES, source_label
from ai_usage_assets.rendering.text import format_count, format_percent, format_whole_usd
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.sql_files import read_query

_TOP = 7
_TOP_UNALLOCATED = 3


def print_month_summary(warehouse: Warehouse, console: Console) -> None:
    """Prints the summary of the latest month."""
    (latest,) = warehouse.rows(
        "SELECT MAX(month) AS month, MAX(through_date) AS last_day FROM ai_usage.kpi_spend_monthly"
    )
    month: date | None = latest["month"]
    if month is None:
        console.print("No spend is loaded yet.")
        return
    console.print()
    console.rule(f"[bold]Spend on AI tools, {month:%B} {month.day}-{latest['last_day'].day}, {month.year} (UTC)")
    console.print(_vendor_table(_query(warehouse, "month_by_vendor", month)))
    console.print(_team_table(_query(warehouse, "month_by_team", month)))
    console.print(_person_table(_query(warehouse, "month_by_person", month, top=_TOP)))
    console.print(_unallocated_table(_query(warehouse, "month_unallocated", month)))
    _print_checks(warehouse, console)


def _query(warehouse: Warehouse, name: str, month: date, **parameters: Any) -> list[Row]:
    return warehouse.rows(read_query(f"commands/{name}"), {"month": month} | parameters)


def _vendor_table(rows: list[Row]) -> Table:
    total = {key: sum_known(row[key] for row in rows) for key in rows[0] if key != "vendor"}
    table = create_table("Spend by vendor", "Vendor", "Billed", "Seats", "Spend", "Before*", "Change", "Included**")
    for row in [*rows, {"vendor": "Total", **total}]:
        table.add_row(
            source_label(row["vendor"]),
            format_whole_usd(row["billed_usd"]),
            format_whole_usd(row["seat_usd"]),
            Text(format_whole_usd(row["spend_usd"]), "bold"),
            format_whole_usd(row["previous_usd"]),
            format_change(row["change_usd"], row["previous_usd"]),
            format_whole_usd(row["included_usd"]),
            style="bold" if row["vendor"] == "Total" else "",
            end_section=row is rows[-1],
        )
    table.caption = "* same days of the previous month   ** covered by seats, not in spend"
    return table


def _team_table(rows: list[Row]) -> Table:
    total = sum_known(row["spend_usd"] for row in rows) or Decimal(0)
    table = create_table("Top teams", "Team", "Cost center", "Spend", "Share", "Before*", "Change")
    for row in rows[:_TOP]:
        table.add_row(row["team"], row["cost_center"] or "Unallocated", *_team_amounts(row, total))
    if rest := rows[_TOP:]:
        names = ("spend_usd", "previous_usd", "change_usd")
        sums = {name: sum_known(row[name] for row in rest) for name in names}
        table.add_row(f"{len(rest)} more", "", *_team_amounts(sums, total), style="dim")
    return table


def _team_amounts(row: Row, total: Decimal) -> tuple[str, ...]:
    spend = row["spend_usd"] or Decimal(0)
    previous = row["previous_usd"]
    return (
        format_whole_usd(spend),
        format_percent(spend / total if total else None),
        format_whole_usd(previous),
        format_change(row["change_usd"], previous),
    )


def _person_table(rows: list[Row]) -> Table:
    labels = [entry.label for entry in SOURCES]
    table = create_table("Top people", "Person", "Team", *labels, "Spend")
    for _, group in groupby(rows, key=lambda row: row["person_email"]):
        person = list(group)
        by_vendor = {row["vendor"]: row["spend_usd"] for row in person}
        table.add_row(
            person[0]["name"] or "Not in the people tab",
            min(row["team"] for row in person),
            *(format_whole_usd(by_vendor.get(entry.name, Decimal(0))) for entry in SOURCES),
            format_whole_usd(sum_known(by_vendor.values())),
        )
    return table


def _unallocated_table(rows: list[Row]) -> Table | Text:
    if not rows:
        return Text("Unallocated: $0. All spend has a cost center.")
    total = sum_known(row["spend_usd"] for row in rows)
    share = sum_known(row["share_of_spend"] for row in rows) or Decimal(0)
    title = f"Unallocated: {format_whole_usd(total)}, {share:.1%} of spend"
    table = create_table(title, "Principal", "Spend", "Since", "Next step")
    for row in rows[:_TOP_UNALLOCATED]:
        label = "a person" if row["person_email"] else row["label"] or "no principal"
        table.add_row(
            f"{source_label(row['vendor'])} {label}",
            format_whole_usd(row["spend_usd"]),
            str(row["first_day"]),
            row["next_step"],
        )
    if rest := rows[_TOP_UNALLOCATED:]:
        spend = format_whole_usd(sum_known(row["spend_usd"] for row in rest))
        table.add_row(f"{len(rest)} more", spend, "", "see kpi_unallocated", style="dim")
    return table


def _print_checks(warehouse: Warehouse, console: Console) -> None:
    checks = warehouse.rows(
        "SELECT * FROM ai_usage.ops_check_results WHERE run_id = "
        "(SELECT run_id FROM ai_usage.ops_runs ORDER BY started_at DESC LIMIT 1)"
    )
    failed = [check for check in checks if not check["passed"] and check["blocking"]]
    warnings = [check for check in checks if not check["passed"] and not check["blocking"]]
    (quality,) = warehouse.rows(read_query("commands/quality_summary"))
    passed = len(checks) - len(failed) - len(warnings)
    matching = quality["totals"] - quality["differing"]
    console.print("[bold]Checks[/]")
    summary = f"{passed} of {len(checks)} checks passed"
    if warnings:
        summary += f", {format_count(len(warnings), 'warning')}"
    console.print(result_line(bool(checks) and not failed, summary))
    console.print(
        result_line(
            not quality["differing"],
            f"{matching} of {quality['totals']} daily totals match the vendors' control totals "
            f"({quality['equal']} exactly, the others within rounding)",
        )
    )
    console.print(
        result_line(
            quality["loaded"] == quality["days"],
            f"{quality['loaded']} of {quality['days']} vendor days are loaded; {quality['provisional']} of them are "
            "provisional",
        )
    )
    for check in warnings:
        amount = f", affects {format_whole_usd(check['amount_usd'])}" if check["amount_usd"] is not None else ""
        name = check["check_name"].replace("_", " ")
        console.print(warning_line(f"warning: {name} ({check['asset']}{amount})"))
    for check in failed:
        console.print(f"    {check['asset']}.{check['check_name']}: {check['message']}", style="red", markup=False)
