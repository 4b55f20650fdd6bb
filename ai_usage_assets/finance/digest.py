"""The morning's digest: what was spent yesterday and this month, and where somebody should look.

Belongs here: reading a few figures from finance's views and putting them into short lines, for the log of a run and for
a chat. Does not: figures of its own, or how a message travels (`webhook`). People are named only if that is switched
on; a key, a team and a model always are.
"""

# ruff: noqa: D101, D102
from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ai_usage_assets.days import ONE_DAY, last_finished_day, next_month
from ai_usage_assets.finance.amounts import describe_close, sum_known, total_budgets
from ai_usage_assets.finance.report.data import VENDORS
from ai_usage_assets.http import webhook
from ai_usage_assets.redaction import redact, redact_line
from ai_usage_assets.rendering.text import format_bounds, format_count, format_days, format_percent, format_usd
from ai_usage_assets.secret_manager import SecretError, resolve_secret
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse

# Each kind of news has so many lines; the warehouse and the report have the rest.
_NAMED = 5
_DAYS_OF_ANOMALIES = 3
# A chat that is not reached must not hold up the end of a run.
_SECRET_SECONDS = 10.0
# Of a key, a person, a team, a cost center or a model.
_LONGEST_NAME = 80
# Mattermost takes 16,383 characters, Slack 40,000.
_LONGEST_MESSAGE = 16_000
# Outside of an e-mail address a chat takes what follows for somebody to be called.
_CALL = re.compile(r"(?<![A-Za-z0-9])@")


@dataclass(frozen=True)
class Digest:
    """What is told of one day: its lines, the first of which is a headline."""

    day: date
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def publish_digest(warehouse: Warehouse, settings: Settings, run: Row, log: Callable[..., None]) -> None:
    """Tells of a daily run for the latest day, in its log and to the chat that is set. Raises nothing.

    `log` takes a level and a message, and `extra` as Python's own loggers do.
    """
    day = last_finished_day(settings.now())
    is_of_today = run["job"] == "daily" and run["last_day"] == day and run["outcome"] != "interrupted"
    if not settings.digest or not is_of_today:
        return
    try:
        digest = build_digest(warehouse, day, with_people=settings.digest_people, run=run)
    except Exception as error:  # noqa: BLE001 - news must not fail what they are about
        log(logging.WARNING, f"The digest could not be made ({type(error).__name__}: {redact(str(error))}).")
        return
    # A log is not the warehouse: addresses stay out of it.
    log(logging.INFO, redact(str(digest)), extra={"event": "digest"})
    if settings.digest_webhook:
        try:
            send_digest(digest, settings)
        except Exception as error:  # noqa: BLE001
            told = (
                redact(str(error)) if isinstance(error, (webhook.WebhookError, SecretError)) else type(error).__name__
            )
            log(logging.WARNING, f"The digest was not sent: {told}", extra={"event": "digest_not_sent"})


def send_digest(digest: Digest, settings: Settings) -> None:
    """Sends it to AI_USAGE_DIGEST_WEBHOOK. Raises WebhookError, SecretError or SettingsError."""
    address = resolve_secret(settings.digest_webhook or "", settings.secrets_emulator, total_seconds=_SECRET_SECONDS)
    webhook.post_message(address, format_for_chat(digest.lines))


def format_for_chat(lines: Sequence[str]) -> str:
    """The lines as a chat takes them: its own signs written out, and without the longest where all are too long."""
    written = [line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in lines]
    kept = [*written]
    while sum(map(len, kept)) + len(kept) > _LONGEST_MESSAGE:
        kept.remove(max(kept, key=len))
    left_out = len(written) - len(kept)
    if left_out:
        kept.append(f"• {format_count(left_out, 'line')} too long for a chat: `ai-usage digest` has all.")
    return "\n".join(kept)


def build_digest(warehouse: Warehouse, day: date, *, with_people: bool = False, run: Row | None = None) -> Digest:
    """The digest of a day, from what the warehouse holds. Raises WarehouseError.

    Of `run`, how it ended is told; without one, the newest daily run's checks are.
    """
    teller = DigestBuilder(warehouse, day, with_people)
    lines = (
        teller.headline(run),
        *teller.yesterday(),
        *teller.month(),
        *teller.unallocated(),
        *teller.anomalies(),
        *teller.checks(run),
        *teller.stale(),
    )
    return Digest(day, lines)


class DigestBuilder:
    def __init__(self, warehouse: Warehouse, day: date, with_people: bool) -> None:
        self._warehouse = warehouse
        self._day = day
        self._month = day.replace(day=1)
        self._with_people = with_people

    def _rows(self, sql: str, **more: object) -> list[Row]:
        rows = self._warehouse.rows(sql, {"day": self._day, "month": self._month, **more})  # type: ignore[dict-item]
        return [{name: self._told(value) for name, value in row.items()} for row in rows]

    def _told(self, value: object) -> object:
        """A value; of a name that others chose, what makes no line of its own and calls nobody."""
        if not isinstance(value, str):
            return value
        # A key may be named after somebody.
        name = _CALL.sub("＠", redact_line(value, with_people=self._with_people))
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

    def headline(self, run: Row | None) -> str:
        return f"AI tools, {self._day} (UTC).{self._ended(run)}"

    def _ended(self, run: Row | None) -> str:
        """How the run ended if it did not end well; without one, how the last did."""
        if run is not None:
            return "" if run["outcome"] == "success" else f" The run {run['outcome']}."
        rows = self._rows(f"SELECT run_id, started_at, outcome FROM ai_usage.ops_runs {_NEWEST}")
        outcome = run_log.resolve_outcome(self._warehouse, rows[0]) if rows else "success"
        if outcome == "success":
            return ""
        ended = {"running": "is still at work", "interrupted": "was interrupted"}.get(outcome, outcome)
        return f" The last run, of {rows[0]['started_at']:%Y-%m-%d %H:%M} UTC, {ended}."

    def yesterday(self) -> Iterator[str]:
        rows = self._rows(
            """
            SELECT vendor, SUM(billed_usd) AS billed, SUM(seat_usd) AS seat, SUM(spend_usd) AS spend
            FROM ai_usage.kpi_spend_daily WHERE usage_date = @day GROUP BY vendor ORDER BY vendor
            """
        )
        if not rows:
            yield f"• On {self._day}: no spend is held."
            return
        total = sum_known(row["spend"] for row in rows)
        parts = [
            f"{VENDORS[row['vendor']]} {format_usd(row['spend'])}"
            + (f" (of it {format_usd(row['seat'])} for seats)" if row["seat"] else "")
            for row in rows
        ]
        yield f"• On {self._day}: {format_usd(total)} – {', '.join(parts)}. Vendors may still restate it."

    def month(self) -> Iterator[str]:
        rows = self._rows(
            """
            SELECT cost_center, budget_usd, spend_usd, variance_usd, projected_usd, through_date
            FROM ai_usage.kpi_budget_vs_actual WHERE month = @month ORDER BY variance_usd DESC, cost_center
            """
        )
        spent = sum_known(row["spend_usd"] for row in rows)
        if spent is None:
            return
        yield f"• {self._span(rows[0]['through_date'])}: {format_usd(spent)}{self._posted()}.{self._forecast()}"
        yield f"• {self._budgets(rows)}"
        over = [row for row in rows if row["variance_usd"] is not None and row["variance_usd"] > 0]
        if over:
            yield "• Over budget: " + _listed(
                f"{row['cost_center']} {format_usd(row['spend_usd'])} of {format_usd(row['budget_usd'])}"
                for row in over
            )
        going = [
            row
            for row in rows
            if row["budget_usd"] is not None
            and row["projected_usd"] is not None
            and row["projected_usd"] > row["budget_usd"]
            and row not in over
        ]
        if going:
            yield "• On course to go over: " + _listed(
                f"{row['cost_center']} {format_usd(row['projected_usd'])} of {format_usd(row['budget_usd'])}"
                for row in going
            )

    def _span(self, through: date | None) -> str:
        """Which days of the month are told of."""
        last = min(through or self._day, self._day)
        if last + ONE_DAY == next_month(self._month):
            return f"{self._month:%B}, all of it"
        return f"{self._month:%B} to {last.day} {last:%B}"

    def _posted(self) -> str:
        told = describe_close(self._rows)
        return f" ({told})" if told else ""

    def _budgets(self, rows: Sequence[Row]) -> str:
        found = total_budgets(rows)
        if found is None:
            return f"There are no budgets for {self._month:%B}."
        used = "" if found.used_ratio is None else f", {format_percent(found.used_ratio)}"
        told = f"Cost centers with a budget: {format_usd(found.spend_usd)} of {format_usd(found.budget_usd)}{used}"
        told += f"; {found.beside}." if found.beside else "."
        return told + (f" Budgets are incomplete: {found.incomplete}." if found.incomplete else "")

    def _forecast(self) -> str:
        rows = self._rows(
            "SELECT forecast_usd, low_usd, high_usd FROM ai_usage.kpi_forecast_total WHERE month = @month"
        )
        if not rows or rows[0]["forecast_usd"] is None:
            return ""
        row = rows[0]
        span = "" if row["low_usd"] is None else f", {format_bounds(row['low_usd'], row['high_usd'])}"
        return f" At its end about {format_usd(row['forecast_usd'])}{span}."

    def unallocated(self) -> Iterator[str]:
        (row,) = self._rows(
            """
            SELECT SUM(spend_usd) AS spend, SUM(CASE WHEN cost_center IS NULL THEN spend_usd END) AS unallocated
            FROM ai_usage.kpi_spend_monthly WHERE month = @month
            """
        )
        if row["spend"] and row["unallocated"]:
            part = f"{format_usd(row['unallocated'])}, {format_percent(row['unallocated'] / row['spend'])}"
            yield f"• Without a cost center in {self._month:%B}: {part} (kpi_unallocated says what to map)."

    def anomalies(self) -> Iterator[str]:
        rows = self._rows(
            """
            SELECT usage_date, vendor, cost_basis, dimension, dimension_value, dimension_name, person_email, team,
              top_model, amount_usd, expected_usd
            FROM ai_usage.kpi_anomaly
            WHERE event_rank = 1 AND usage_date BETWEEN @first AND @day
            ORDER BY usage_date DESC, cost_basis, excess_usd DESC
            """,
            first=self._day - timedelta(days=_DAYS_OF_ANOMALIES - 1),
        )
        if rows:
            yield f"• Unusual: {_listed(self._anomaly(row) for row in rows)}"

    def _anomaly(self, row: Row) -> str:
        who = self._who(row)
        mostly = "" if row["dimension"] == "model" or not row["top_model"] else f", mostly {row['top_model']}"
        instead = f"{format_usd(row['amount_usd'])} instead of {format_usd(row['expected_usd'])}"
        included = ", which seats cover" if row["cost_basis"] == "included" else ""
        return f"{row['usage_date']} {VENDORS[row['vendor']]}, {who}: {instead}{included}{mostly}"

    def _who(self, row: Row) -> str:
        if row["dimension"] == "person":
            named = row["dimension_value"] if self._with_people else "a person"
            return f"{named} of {row['team']}" if row["team"] else str(named)
        return f"{row['dimension'].replace('_', ' ')} {row['dimension_name'] or row['dimension_value']}"

    def checks(self, run: Row | None) -> Iterator[str]:
        newest = f"SELECT run_id FROM ai_usage.ops_runs {_NEWEST}"
        rows = self._rows(
            f"""
            SELECT asset, check_name, severity, amount_usd FROM ai_usage.ops_check_results
            WHERE NOT passed AND run_id = {"@run_id" if run else f"({newest})"}
            ORDER BY severity, amount_usd DESC, asset, check_name
            """,
            **({"run_id": run["run_id"]} if run else {}),
        )
        for severity, what in (("ERROR", "Failed checks, which stop the line"), ("WARN", "Asking for a look")):
            found = [row for row in rows if row["severity"] == severity]
            if found:
                yield f"• {what}: " + _listed(
                    f"{row['check_name']}" + (f" ({format_usd(row['amount_usd'])})" if row["amount_usd"] else "")
                    for row in found
                )

    def stale(self) -> Iterator[str]:
        rows = self._rows(
            """
            SELECT vendor, MAX(CASE WHEN completed_at IS NOT NULL THEN usage_date END) AS last_day,
              COUNTIF(is_missing AND usage_date = @day) > 0 AS is_behind,
              COUNTIF(is_missing AND usage_date BETWEEN @month AND @day) AS missing
            FROM ai_usage.kpi_completeness WHERE is_money GROUP BY vendor ORDER BY vendor
            """
        )
        behind = [row for row in rows if row["is_behind"]]
        if behind:
            yield "• Stale: " + _listed(
                f"{VENDORS[row['vendor']]} is held "
                + (f"to {row['last_day']} only" if row["last_day"] else "for no day yet")
                for row in behind
            )
        short = [row for row in rows if row["missing"] and row["last_day"]]
        if short:
            yield f"• Missing, so {self._month:%B} is too low: " + _listed(
                f"{format_days(row['missing'])} of {VENDORS[row['vendor']]}" for row in short
            )


# Of the daily runs.
_NEWEST = "WHERE job = 'daily' ORDER BY started_at DESC LIMIT 1"


def _listed(parts: Iterable[str]) -> str:
    found = list(parts)
    more = len(found) - _NAMED
    return "; ".join(found[:_NAMED]) + (f"; and {more} more." if more > 0 else ".")
