"""What a person reads at the terminal: finance's screen after the demo, and the operator's status.

Belongs here: tables on a terminal, read from the KPI and operations tables. Does not: numbers of its own. No e-mail
address is ever shown; people go by their name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ai_usage_assets.finance.close.base import MonthStatus
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse

_TOP = 7

_STATUS_MARKS = {
    "complete": ("█", "green"),
    "provisional": ("▓", "green"),
    "incomplete": ("▒", "yellow"),
    "failed": ("✗", "bold red"),
    "not_loaded": ("·", "dim"),
    "not_exposed": ("–", "dim"),
    "not_configured": ("○", "dim"),
}


_READ = {"complete", "provisional", "incomplete"}
_SECONDS_SHOWN = 600
_BESIDE_STRIPS, _FEWEST_DAYS = 62, 7
# Which path it was, and its number: the cause is the same without.
_OF_ONE_REQUEST = re.compile(r"\b(?:GET|POST) /\S+ | \(request [^)]*\)")


def finance(warehouse: Warehouse, console: Console) -> None:
    """Spend by vendor, top teams and people, what is unallocated, and what was checked."""
    month = warehouse.rows("SELECT MAX(month) AS month, MAX(through_date) AS through FROM ai_usage.kpi_spend_monthly")[
        0
    ]
    if month["month"] is None:
        console.print("No spend is held yet.")
        return
    chosen, through = month["month"], month["through"]
    span = f"{chosen:%B %Y}, {chosen.day} to {through.day} (UTC)"
    console.print()
    console.rule(f"[bold]What the company spends on AI tools · {span}")
    parameters = {"month": chosen}
    console.print(_by_vendor(warehouse, parameters))
    console.print(_by_team(warehouse, parameters))
    console.print(_by_person(warehouse, parameters))
    _unallocated(warehouse, parameters, console)
    _checked(warehouse, console)


def _by_vendor(warehouse: Warehouse, parameters: dict[str, Any]) -> Table:
    rows = warehouse.rows(
        """
        SELECT
          vendor, SUM(billed_usd) AS billed, SUM(seat_usd) AS seat, SUM(spend_usd) AS spend,
          SUM(previous_same_days_usd) AS before_it, SUM(change_usd) AS change, SUM(included_usd) AS included
        FROM ai_usage.kpi_spend_monthly WHERE month = @month GROUP BY vendor ORDER BY spend DESC
        """,
        parameters,
    )
    total = {key: _sum(row[key] for row in rows) for key in rows[0] if key != "vendor"}
    table = _table("Spend by vendor", "Vendor", "Billed", "Seats", "Spend", "Before*", "Change", "Included**")
    for row in [*rows, {"vendor": "total", **total}]:
        table.add_row(
            str(row["vendor"]).capitalize(),
            _usd(row["billed"]),
            _usd(row["seat"]),
            Text(_usd(row["spend"]), "bold"),
            _usd(row["before_it"]),
            _change(row["change"], row["before_it"]),
            _usd(row["included"]),
            style="bold" if row["vendor"] == "total" else "",
            end_section=row is rows[-1],
        )
    table.caption = "* the same days of the month before   ** usage that a seat already covers; never part of the spend"
    return table


def _by_team(warehouse: Warehouse, parameters: dict[str, Any]) -> Table:
    rows = warehouse.rows(
        """
        SELECT
          COALESCE(team, '(no team)') AS team, cost_center, SUM(spend_usd) AS spend,
          SUM(previous_same_days_usd) AS before_it, SUM(change_usd) AS change
        FROM ai_usage.kpi_spend_monthly WHERE month = @month
        GROUP BY team, cost_center ORDER BY spend DESC
        """,
        parameters,
    )
    total = _sum(row["spend"] for row in rows) or Decimal(0)
    table = _table("Top teams", "Team", "Cost center", "Spend", "Share", "Before*", "Change")
    for row in rows[:_TOP]:
        table.add_row(
            row["team"],
            row["cost_center"] or "(none)",
            _usd(row["spend"]),
            _share(row["spend"], total),
            _usd(row["before_it"]),
            _change(row["change"], row["before_it"]),
        )
    _rest(table, rows, total, columns_before=2)
    return table


def _by_person(warehouse: Warehouse, parameters: dict[str, Any]) -> Table:
    rows = warehouse.rows(
        """
        SELECT
          COALESCE(name, 'a person who is not in the people tab') AS name, MIN(COALESCE(team, '(no team)')) AS team,
          COALESCE(SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END), 0) AS anthropic,
          COALESCE(SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END), 0) AS cursor_usd,
          SUM(spend_usd) AS spend
        FROM ai_usage.kpi_spend_by_person WHERE month = @month AND person_email IS NOT NULL
        GROUP BY person_email, name ORDER BY spend DESC, name
        """,
        parameters,
    )
    table = _table("Top people", "Person", "Team", "Anthropic", "Cursor", "Spend")
    for row in rows[:_TOP]:
        table.add_row(row["name"], row["team"], _usd(row["anthropic"]), _usd(row["cursor_usd"]), _usd(row["spend"]))
    return table


def _unallocated(warehouse: Warehouse, parameters: dict[str, Any], console: Console) -> None:
    rows = warehouse.rows(
        """
        SELECT
          vendor, principal_type, COALESCE(api_key_name, principal_id) AS label, person_email, next_step,
          SUM(spend_usd) AS spend, SUM(share_of_spend) AS share, MIN(first_day) AS first_day
        FROM ai_usage.kpi_unallocated WHERE month = @month
        GROUP BY vendor, principal_type, api_key_name, principal_id, person_email, next_step ORDER BY spend DESC
        """,
        parameters,
    )
    share = _sum(row["share"] for row in rows) or Decimal(0)
    total = _sum(row["spend"] for row in rows)
    if not rows:
        console.print("[bold]Unallocated[/] nothing: every dollar has a cost center.")
        return
    table = _table(
        f"Unallocated: {_usd(total)}, {share:.1%} of the spend has no cost center",
        "What",
        "Spend",
        "Since",
        "Next step",
    )
    for row in rows[:3]:
        label = "a person" if row["person_email"] else row["label"] or "nobody named"
        table.add_row(
            f"{str(row['vendor']).capitalize()} {label}", _usd(row["spend"]), str(row["first_day"]), row["next_step"]
        )
    if rest := rows[3:]:
        table.add_row(
            f"{len(rest)} more", _usd(_sum(row["spend"] for row in rest)), "", "see kpi_unallocated", style="dim"
        )
    console.print(table)


def _checked(warehouse: Warehouse, console: Console) -> None:
    run = last_run(warehouse)
    checks = warehouse.rows(
        "SELECT * FROM ai_usage.ops_check_results WHERE run_id = @run_id", {"run_id": run["run_id"]}
    )
    failed = [row for row in checks if not row["passed"] and row["blocking"]]
    look = [row for row in checks if not row["passed"] and not row["blocking"]]
    controls = warehouse.rows(
        """
        SELECT COUNT(*) AS n, COUNTIF(status = 'equal') AS equal, COUNTIF(status = 'differs') AS differing,
          SUM(CASE WHEN status = 'differs' THEN ABS(difference_usd) ELSE 0 END) AS touched
        FROM ai_usage.kpi_reconciliation
        """
    )[0]
    held = warehouse.rows(
        """
        SELECT
          COUNT(*) AS n, COUNTIF(status = 'provisional') AS provisional,
          COUNTIF(status IN ('complete', 'provisional')) AS held
        FROM ai_usage.kpi_completeness WHERE is_money AND (is_missing OR completed_at IS NOT NULL)
        """
    )[0]
    console.print("[bold]What was checked[/]")
    console.print(
        _verdict(
            bool(checks) and not failed,
            f"{len(checks) - len(failed) - len(look)} of {len(checks)} checks of the run hold",
        )
    )
    console.print(
        _verdict(
            not controls["differing"],
            f"{controls['n'] - controls['differing']} of {controls['n']} daily totals match the vendors' own controls, "
            f"{controls['equal']} of them to the last digit, the others within the vendors' own rounding",
        )
    )
    console.print(
        _verdict(
            held["held"] == held["n"],
            f"{held['held']} of {held['n']} vendor days are held whole; the vendors may still restate "
            f"{held['provisional']} of them",
        )
    )
    for row in look:
        console.print(Text.assemble(("  ! ", "yellow"), f"worth a look: {_brief(row)}"))
    for row in failed:
        console.print(f"    {row['asset']}.{row['check_name']}: {row['message']}", style="red", markup=False)


def _brief(row: Row) -> str:
    """A check in a line: what it is about and the money it touches; `ai-usage status` has it all."""
    name = row["check_name"].replace("_", " ")
    touches = f", {_usd(row['amount_usd'])}" if row["amount_usd"] is not None else ""
    return f"{name} ({row['asset']}{touches})"


def status(warehouse: Warehouse, console: Console, *, days_back: int) -> None:
    """Per vendor and day what is held, why what is not; the last runs; the failed checks of the last one."""
    rows = warehouse.rows("SELECT * FROM ai_usage.kpi_completeness ORDER BY vendor, asset, usage_date")
    if not rows:
        console.print("No run has loaded anything yet: `ai-usage run`.")
        _runs(warehouse, console)
        return
    # Before the first run has built its calendar, the days that were tried are all that is known.
    brought_up_to = [row["as_of_date"] for row in rows if row["as_of_date"]]
    last = max(brought_up_to) - timedelta(days=1) if brought_up_to else max(row["usage_date"] for row in rows)
    first = last - timedelta(days=days_back - 1)
    # What one line has room for beside the names and the sums.
    shown = last - timedelta(days=min(days_back, max(console.width - _BESIDE_STRIPS, _FEWEST_DAYS)) - 1)
    console.print(_strips(rows, shown, last))
    console.print(
        Text.assemble(
            *(part for name, mark in _STATUS_MARKS.items() for part in (mark, f" {name.replace('_', ' ')}  "))
        )
    )
    _troubles(rows, first, console)
    _runs(warehouse, console)


def _strips(rows: list[Row], first: date, last: date) -> Table:
    table = _table(f"Days held, {first} to {last} (UTC)", "Table", "Days", "Records", "USD")
    table.columns[0].no_wrap = True
    table.columns[1].justify = "left"
    by_asset: dict[str, list[Row]] = {}
    for row in rows:
        by_asset.setdefault(row["asset"], []).append(row)
    daily = {asset for asset, days in by_asset.items() if any(row["status"] == "not_loaded" for row in days)}
    for asset, days in by_asset.items():
        inside = {row["usage_date"]: row for row in days if first <= row["usage_date"] <= last}
        if inside and (asset in daily or len(inside) > 1):
            cells = [
                _STATUS_MARKS[inside[day]["status"]] if day in inside else (" ", "")
                for day in (first + timedelta(days=n) for n in range((last - first).days + 1))
            ]
            strip = Text.assemble(*cells)
        else:
            newest = days[-1]
            how = "read" if newest["status"] in _READ else newest["status"].replace("_", " ")
            strip = Text.assemble(_STATUS_MARKS[newest["status"]], f" {how} on {newest['usage_date']}")
            inside = {newest["usage_date"]: newest}
        amounts = [row["amount_usd"] for row in inside.values() if row["amount_usd"] is not None]
        table.add_row(
            asset.removeprefix("raw_"),
            strip,
            f"{sum(row['records'] or 0 for row in inside.values()):,}",
            _usd(sum(amounts, Decimal(0))) if amounts else "",
        )
    return table


def _troubles(rows: list[Row], first: date, console: Console) -> None:
    causes: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["message"] and row["usage_date"] >= first:
            # A vendor that is down or refuses a key says the same of each of its tables.
            cause = _OF_ONE_REQUEST.sub("", row["message"])
            causes.setdefault((row["vendor"], row["status"], cause), []).append(row)
    for (_, state, _), found in causes.items():
        days = sorted({row["usage_date"] for row in found})
        span = f"{days[0]}" if len(days) == 1 else f"{len(days)} days, {days[0]} to {days[-1]}"
        first_asset, *others = dict.fromkeys(row["asset"].removeprefix("raw_") for row in found)
        more = f" and {len(others)} more" if others else ""
        console.print(
            Text.assemble(
                (f"{first_asset}{more}", "bold"),
                f" {span}: ",
                (state.replace("_", " "), _STATUS_MARKS[state][1]),
                f": {found[0]['message']}",
            )
        )


def _runs(warehouse: Warehouse, console: Console) -> None:
    runs = warehouse.rows("SELECT * FROM ai_usage.ops_runs ORDER BY started_at DESC LIMIT 5")
    for run in runs:
        run["outcome"] = run_log.outcome(warehouse, run)
    table = _table("Last runs", "Job", "Days", "Began, UTC", "Took", "Landed", "Outcome")
    for run in runs:
        colour = {"success": "green", "failed": "bold red", "interrupted": "bold red"}.get(run["outcome"], "yellow")
        table.add_row(
            run["job"],
            _span(run),
            f"{run['started_at']:%m-%d %H:%M}",
            _took(run),
            _usd(run.get("landed_usd")),
            Text(run["outcome"], colour),
        )
    for column in table.columns:
        column.justify, column.no_wrap = "left", column.header != "Days"
    console.print(table)
    if not runs:
        return
    console.print(_about(runs[0]), style="dim", highlight=False)
    failed = warehouse.rows(
        "SELECT * FROM ai_usage.ops_check_results WHERE run_id = @run_id AND NOT passed ORDER BY asset, check_name",
        {"run_id": runs[0]["run_id"]},
    )
    if runs[0]["outcome"] != "success":
        told = {
            "running": "is not over",
            "interrupted": "was interrupted: what it had landed is held, run it again",
        }.get(
            runs[0]["outcome"],
            "failed: mend what is told above and run it again; what comes behind a failure was not checked",
        )
        console.print(_verdict(False, f"The last run {told}."))
    elif not failed:
        console.print(_verdict(True, "Every check that ran in the last run holds."))
    for row in failed:
        touches = f" (touches ${row['amount_usd']:,.2f})" if row["amount_usd"] is not None else ""
        text = f"{row['asset']}.{row['check_name']}{touches}: {row['message']}"
        console.print(_verdict(False, text) if row["blocking"] else Text.assemble(("  ! ", "yellow"), text))


def journal(close: Row, lines: Sequence[Row], console: Console) -> None:
    """The journal of a month, by cost center; a line of a screen may be several of a ledger."""
    by_center: dict[tuple[str, str], list[Row]] = {}
    for line in lines:
        by_center.setdefault((line["cost_center"] or "(none)", line["line_type"]), []).append(line)
    table = _table(f"Journal of {close['month']:%B %Y}", "Cost center", "What", "Lines", "USD")
    for (center, kind), found in sorted(by_center.items()):
        amount = sum((line["amount_usd"] for line in found), Decimal(0))
        table.add_row(center, kind, f"{len(found):,}", f"{amount:z,.2f}")
    table.add_section()
    for kind, name in (("charges", "charges_usd"), ("corrections", "corrections_usd")):
        table.add_row("total", kind, "", f"{close[name]:z,.2f}", style="bold")
    table.columns[1].justify = "left"
    console.print(table)
    if close["mapping_snapshot"]:
        console.print(f"Who pays is said by {close['mapping_snapshot']}.", style="dim", highlight=False)


def months(states: Sequence[MonthStatus], console: Console) -> None:
    """Which months are closed, which is due, and what it waits for."""
    if not states:
        console.print("No spend is held yet.")
        return
    table = _table("The books", "Month", "State", "Lines", "USD", "Closed, UTC")
    for state in states:
        word = (
            Text("closed", "green") if state.close else Text("open" if state.waits_for else "can be closed", "yellow")
        )
        closed_at = f"{state.close['closed_at']:%Y-%m-%d %H:%M}" if state.close else ""
        table.add_row(f"{state.month:%Y-%m}", word, f"{state.lines:,}", f"{state.amount_usd:z,.2f}", closed_at)
    console.print(table)
    for state in states:
        for reason in state.waits_for:
            console.print(Text.assemble((f"{state.month:%Y-%m} ", "bold"), reason))


def _span(run: Row) -> str:
    first, last = run["first_day"], run["last_day"]
    if not first or first == last:
        return str(first or "")
    return f"{first} to {last:%m-%d}" if first.year == last.year else f"{first} to {last}"


def _took(run: Row) -> str:
    if not run["finished_at"]:
        return "?"
    seconds = round((run["finished_at"] - run["started_at"]).total_seconds())
    return f"{seconds} s" if seconds < _SECONDS_SHOWN else f"{seconds / 60:.0f} min"


def _about(run: Row) -> str:
    """Which run it was, and of what; of a row that an older version wrote, what it knows."""
    parts = [f"Run {run['run_id'][:8]}, version {run['version']}"]
    if run.get("landed_records") is not None:
        parts.append(f"landed {run['landed_records']:,} records")
    if run.get("landed_bytes") is not None:
        parts.append(f"{run['landed_bytes'] / 1e6:,.1f} MB")
    if run.get("execution"):
        parts.append(f"{run['execution']}, task {run['task_index'] + 1} of {run['task_count']}")
        parts.append(f"attempt {run['attempt'] + 1}")
    if run.get("image"):
        parts.append(run["image"])
    for name, read in json.loads(run.get("secret_versions") or "{}").items():
        parts.append(f"{name.rpartition('/')[2]} version {read}")
    return ", ".join(parts) + "."


def last_run(warehouse: Warehouse) -> Row:
    """The newest run. Raises IndexError when there is none."""
    return warehouse.rows("SELECT * FROM ai_usage.ops_runs ORDER BY started_at DESC LIMIT 1")[0]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", caption_justify="left")
    for number, heading in enumerate(headings):
        text = number == 0 or heading in {"Team", "Cost center", "Next step", "Since", "Table", "Job"}
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    return table


def _rest(table: Table, rows: list[Row], total: Decimal, *, columns_before: int) -> None:
    rest = rows[_TOP:]
    if rest:
        spend = _sum(row["spend"] for row in rest) or Decimal(0)
        before, change = _sum(row["before_it"] for row in rest), _sum(row["change"] for row in rest)
        blank = [""] * (columns_before - 1)
        table.add_row(
            f"{len(rest)} more",
            *blank,
            _usd(spend),
            _share(spend, total),
            _usd(before),
            _change(change, before),
            style="dim",
        )


def _verdict(good: bool, text: str) -> Text:
    return Text.assemble(("  ✓ ", "green") if good else ("  ✗ ", "bold red"), text)


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known else None


def _usd(amount: Decimal | None) -> str:
    return "–" if amount is None else f"{'−' if round(amount) < 0 else ''}${abs(amount):,.0f}"


def _share(part: Decimal, whole: Decimal) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _change(change: Decimal | None, before: Decimal | None) -> str:
    if change is None or before is None or before < 0:
        return "–"
    return f"{change / before:+.1%}" if before else "new"
