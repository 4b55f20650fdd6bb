"""The daily digest: yesterday's and this month's spend, and what needs attention, in a few lines.

Does not define figures (the KPI views do) or deliver messages (`http.webhook`). People are named only when the setting
for it is on; API keys, teams and models always are.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypedDict

from ai_usage_assets.days import ONE_DAY, last_finished_day, next_month
from ai_usage_assets.decimals import sum_known
from ai_usage_assets.finance.amounts import BudgetAmounts, describe_close, total_budgets
from ai_usage_assets.http import webhook
from ai_usage_assets.redaction import redact, redact_line
from ai_usage_assets.registry import source_label
from ai_usage_assets.rendering.text import format_bounds, format_count, format_percent, format_usd
from ai_usage_assets.secret_manager import SecretError, resolve_secret
from ai_usage_assets.settings import Settings
from ai_usage_assets.warehouse import run_log
from ai_usage_assets.warehouse.base import Row, Warehouse
from ai_usage_assets.warehouse.sql_files import read_query

# A line lists at most this many items; the report and the warehouse have the rest.
_MAX_ITEMS = 5
_ANOMALY_DAYS = 3
# An unreachable secret manager must not delay the end of a run.
_SECRET_SECONDS = 10.0
_MAX_NAME_LENGTH = 80
# Of the reason why a source failed.
_MAX_CAUSE_LENGTH = 240
# Mattermost accepts 16,383 characters, Slack 40,000.
_MAX_MESSAGE_LENGTH = 16_000
# A chat reads an @ outside an e-mail address as a mention.
_MENTION = re.compile(r"(?<![A-Za-z0-9])@")


class _DaySpend(TypedDict):
    vendor: str
    seat_usd: Decimal | None
    spend_usd: Decimal


class _BudgetRow(BudgetAmounts):
    variance_usd: Decimal | None
    projected_usd: Decimal | None
    last_spend_date: date | None


@dataclass(frozen=True)
class Digest:
    """The lines of a digest; the first one is the title."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def publish_digest(warehouse: Warehouse, settings: Settings, run: Row, log: Callable[..., None]) -> None:
    """Logs the digest after a daily run for the latest day, and sends it to the webhook if one is set.

    `log` takes a level, a message and `extra`, like a Python logger. Never raises: a digest must not fail its run.
    """
    day = last_finished_day(settings.now())
    is_for_latest_day = run["job"] == "daily" and run["last_day"] == day and run["outcome"] != "interrupted"
    if not settings.digest or not is_for_latest_day:
        return
    try:
        digest = build_digest(warehouse, day, with_people=settings.digest_people, run=run)
    except Exception as error:  # noqa: BLE001
        log(logging.WARNING, f"The digest failed ({type(error).__name__}: {redact(str(error))}).")
        return
    # Logs contain no e-mail addresses, even when the digest does.
    log(logging.INFO, redact(str(digest)), extra={"event": "digest"})
    if settings.digest_webhook:
        try:
            send_digest(digest, settings)
        except Exception as error:  # noqa: BLE001
            is_known = isinstance(error, (webhook.WebhookError, SecretError))
            reason = redact(str(error)) if is_known else type(error).__name__
            log(logging.WARNING, f"The digest was not delivered: {reason}", extra={"event": "digest_not_sent"})


def send_digest(digest: Digest, settings: Settings) -> None:
    """Sends the digest to AI_USAGE_DIGEST_WEBHOOK. Raises WebhookError, SecretError or SettingsError."""
    address = resolve_secret(settings.digest_webhook or "", settings.secrets_emulator, total_seconds=_SECRET_SECONDS)
    webhook.post_message(address, format_for_chat(digest.lines))


def format_for_chat(lines: Sequence[str]) -> str:
    """Escapes the lines for a chat, and omits the longest ones while the message is too long."""
    escaped = [line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in lines]
    remaining = [*escaped]
    while sum(map(len, remaining)) + len(remaining) > _MAX_MESSAGE_LENGTH:
        remaining.remove(max(remaining, key=len))
    if omitted := len(escaped) - len(remaining):
        remaining.append(f"• {format_count(omitted, 'line')} omitted because of length: see `ai-usage digest`.")
    return "\n".join(remaining)


def build_digest(warehouse: Warehouse, day: date, *, with_people: bool = False, run: Row | None = None) -> Digest:
    """Builds the digest of a day. Raises WarehouseError.

    `run` is the run that has just ended; without it the digest describes the newest daily run.
    """
    return Digest(tuple(DigestBuilder(warehouse, day, with_people).build(run)))


class DigestBuilder:
    """Queries the figures of a day and writes them as lines."""

    def __init__(self, warehouse: Warehouse, day: date, with_people: bool) -> None:
        self._warehouse = warehouse
        self._day = day
        self._month = day.replace(day=1)
        self._with_people = with_people

    def build(self, run: Row | None) -> Iterator[str]:
        """The lines of the digest, title first."""
        last_run = run or self._find_last_run()
        yield f"AI tool spend, {self._day} (UTC).{self._describe_run(run, last_run)}"
        yield from self._day_lines()
        yield from self._month_lines()
        yield from self._unallocated_lines()
        yield from self.anomaly_lines()
        if last_run:
            yield from self._check_lines(last_run["run_id"])
        yield from self.failure_lines()
        yield from self.completeness_lines()

    def _rows(self, name: str, **parameters: Any) -> list[Any]:
        """The sanitized rows of a query file; the caller assigns their type."""
        return self._query(read_query(f"finance/{name}"), **parameters)

    def _query(self, sql: str, **parameters: Any) -> list[Any]:
        rows = self._warehouse.rows(sql, {"day": self._day, "month": self._month, **parameters})
        return [{name: self._sanitize(value) for name, value in row.items()} for row in rows]

    def _sanitize(self, value: object) -> object:
        """Makes names that users chose safe: one line, limited length, no mention, no key or address."""
        if not isinstance(value, str):
            return value
        name = _MENTION.sub("＠", redact_line(value, with_people=self._with_people))
        return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"

    def _find_last_run(self) -> Row | None:
        rows = self._query(
            "SELECT run_id, started_at, outcome FROM ai_usage.ops_runs WHERE job = 'daily' "
            "ORDER BY started_at DESC LIMIT 1"
        )
        return rows[0] if rows else None

    def _describe_run(self, run: Row | None, last_run: Row | None) -> str:
        """How a run ended that did not succeed; empty otherwise."""
        if run is not None:
            return "" if run["outcome"] == "success" else f" The run {run['outcome']}."
        if last_run is None:
            return ""
        outcome = run_log.resolve_outcome(self._warehouse, last_run)
        if outcome == "success":
            return ""
        text = {"running": "is still active", "interrupted": "was interrupted"}.get(outcome, outcome)
        return f" The last run, started {last_run['started_at']:%Y-%m-%d %H:%M} UTC, {text}."

    def _day_lines(self) -> Iterator[str]:
        rows: list[_DaySpend] = self._rows("digest_day")
        if not rows:
            yield f"• {self._day}: no spend is loaded."
            return
        vendors = [
            f"{source_label(row['vendor'])} {format_usd(row['spend_usd'])}"
            + (f" including {format_usd(row['seat_usd'])} for seats" if row["seat_usd"] else "")
            for row in rows
        ]
        total = format_usd(sum_known(row["spend_usd"] for row in rows))
        yield f"• {self._day}: {total} ({', '.join(vendors)}), provisional."

    def _month_lines(self) -> Iterator[str]:
        rows: list[_BudgetRow] = self._rows("digest_budgets")
        spend = sum_known(row["spend_usd"] for row in rows)
        if spend is None:
            return
        close = describe_close(self._warehouse, self._month)
        close_text = f" ({close})" if close else ""
        period = self._format_period(rows[0]["last_spend_date"])
        yield f"• {period}: {format_usd(spend)}{close_text}.{self._forecast_text()}"
        yield f"• {self._budget_text(rows)}"
        over = [row for row in rows if row["variance_usd"] is not None and row["variance_usd"] > 0]
        if over:
            yield "• Over budget: " + _join_items(_compare_with_budget(row, row["spend_usd"]) for row in over)
        forecast_over = [
            row
            for row in rows
            if row["budget_usd"] is not None
            and row["projected_usd"] is not None
            and row["projected_usd"] > row["budget_usd"]
            and row not in over
        ]
        if forecast_over:
            items = (_compare_with_budget(row, row["projected_usd"]) for row in forecast_over)
            yield f"• Forecast over budget: {_join_items(items)}"

    def _format_period(self, last_day: date | None) -> str:
        last = last_day or self._day
        name = "Month" if last + ONE_DAY == next_month(self._month) else "Month to date"
        days = f"1–{last.day}" if last.day > 1 else "1"
        return f"{name} ({self._month:%b} {days})"

    def _forecast_text(self) -> str:
        rows = self._query(
            "SELECT forecast_usd, low_usd, high_usd FROM ai_usage.kpi_forecast_total WHERE month = @month"
        )
        if not rows or rows[0]["forecast_usd"] is None:
            return ""
        row = rows[0]
        bounds = "" if row["low_usd"] is None else f" ({format_bounds(row['low_usd'], row['high_usd'])})"
        return f" Forecast: {format_usd(row['forecast_usd'])}{bounds}."

    def _budget_text(self, rows: Sequence[_BudgetRow]) -> str:
        totals = total_budgets(rows)
        if totals is None:
            return f"No budgets for {self._month:%B}."
        used = "" if totals.used_ratio is None else f", {format_percent(totals.used_ratio)}"
        parts = [f"Budgets: {format_usd(totals.spend_usd)} of {format_usd(totals.budget_usd)}{used}."]
        if totals.unbudgeted_text:
            parts.append(f"{totals.unbudgeted_text}.")
        if totals.missing_text:
            parts.append(f"Budgets are incomplete: {totals.missing_text}.")
        return " ".join(parts)

    def _unallocated_lines(self) -> Iterator[str]:
        (row,) = self._rows("digest_unallocated")
        if row["spend_usd"] and row["unallocated_usd"]:
            share = format_percent(row["unallocated_usd"] / row["spend_usd"])
            yield (
                f"• Unallocated in {self._month:%B}: {format_usd(row['unallocated_usd'])}, {share}. "
                "kpi_unallocated lists the rows to add to the sheet."
            )

    def anomaly_lines(self) -> Iterator[str]:
        """A line of the anomalies of the last days, or none."""
        rows = self._rows("digest_anomalies", first_day=self._day - timedelta(days=_ANOMALY_DAYS - 1))
        if rows:
            yield f"• Anomalies: {_join_items(map(self._describe_anomaly, rows))}"

    def _describe_anomaly(self, row: Row) -> str:
        amounts = f"{format_usd(row['amount_usd'])}, expected {format_usd(row['expected_usd'])}"
        included = ", included in seats" if row["cost_basis"] == "included" else ""
        model = f", mainly {row['top_model']}" if row["top_model"] and row["dimension"] != "model" else ""
        subject = self._describe_subject(row)
        return f"{row['usage_date']} {source_label(row['vendor'])}, {subject}: {amounts}{included}{model}"

    def _describe_subject(self, row: Row) -> str:
        if row["dimension"] == "person":
            person = row["dimension_value"] if self._with_people else "a person"
            return f"{person} of {row['team']}" if row["team"] else str(person)
        return f"{row['dimension'].replace('_', ' ')} {row['dimension_name'] or row['dimension_value']}"

    def _check_lines(self, run_id: str) -> Iterator[str]:
        rows = self._rows("digest_failed_checks", run_id=run_id)
        for severity, title in (("ERROR", "Failed checks"), ("WARN", "Warnings")):
            items = [
                row["check_name"] + (f" ({format_usd(row['amount_usd'])})" if row["amount_usd"] else "")
                for row in rows
                if row["severity"] == severity
            ]
            if items:
                yield f"• {title}: {_join_items(items)}"

    def failure_lines(self) -> Iterator[str]:
        """A line of the sources that could not be read completely today, with the cause, or none."""
        failures = self._warehouse.rows(read_query("finance/digest_failures"))
        causes = {row["vendor"]: redact_line(row["message"] or "no reason", with_people=False) for row in failures}
        if causes:
            items = (f"{source_label(vendor)} ({_shorten(cause)})" for vendor, cause in causes.items())
            yield f"• Not read completely: {_join_items(items)}"

    def completeness_lines(self) -> Iterator[str]:
        """Lines of the vendors that are behind and of the month's missing days; none if everything is loaded."""
        rows = self._rows("digest_completeness")
        behind = [
            f"{source_label(row['vendor'])} is "
            + (f"loaded only to {row['last_day']}" if row["last_day"] else "not loaded")
            for row in rows
            if row["is_behind"]
        ]
        if behind:
            yield f"• Behind: {_join_items(behind)}"
        missing = [
            f"{format_count(row['missing_days'], 'day')} of {source_label(row['vendor'])} missing"
            for row in rows
            if row["missing_days"] and row["last_day"]
        ]
        if missing:
            yield f"• Spend of {self._month:%B} is too low: {_join_items(missing)}"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_CAUSE_LENGTH else f"{text[: _MAX_CAUSE_LENGTH - 1]}…"


def _compare_with_budget(row: _BudgetRow, amount: Decimal | None) -> str:
    return f"{row['cost_center']} {format_usd(amount)} of {format_usd(row['budget_usd'])}"


def _join_items(items: Iterable[str]) -> str:
    listed = list(items)
    more = len(listed) - _MAX_ITEMS
    return "; ".join(listed[:_MAX_ITEMS]) + (f"; and {more} more." if more > 0 else ".")
