"""Loads the days of an extract into its raw tables.

A day is replaced completely, in one transaction with its entry in the day log, or not at all. An extract that returns
the same records changes no row. A day that is incomplete or suddenly empty never replaces loaded records: an error of
the vendor must not delete spend.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from ai_usage_assets.landing.base import RunContext
from ai_usage_assets.landing.records import content_digest, size_bytes, sort_records, to_raw_rows
from ai_usage_assets.redaction import redact
from ai_usage_assets.rendering.text import format_usd
from ai_usage_assets.sources.base import DayBatch, EmailIdentity, Extract, RejectedDay
from ai_usage_assets.warehouse.base import RawDay, Row, Warehouse
from ai_usage_assets.warehouse.ops_tables import DayLogEntry
from ai_usage_assets.warehouse.tables import Table

ACCEPT_LOSS_ADVICE = (
    "If the change is correct, accept it once with `ai-usage run --accept-loss` (or AI_USAGE_ACCEPT_LOSS=on)."
)
_DayKey = tuple[str, date]


@dataclass(frozen=True)
class LandingResult:
    """The outcome of one day of one raw table: its day log entry, and whether its rows were replaced.

    `is_loaded`: the table has the records that the source returned in this run, replaced or unchanged.
    """

    entry: DayLogEntry
    changed: bool
    is_loaded: bool = False


def load_extract(
    warehouse: Warehouse, extract: Extract, batches: Iterable[DayBatch | RejectedDay], run: RunContext
) -> list[LandingResult]:
    """Loads all days of an extract together. Returns one result per batch, in order.

    Raises WarehouseError; then none of the days has changed.
    """
    pending = deque(batches)
    day_log = _load_day_log(warehouse, extract, [batch.day for batch in pending])
    drifted = _find_drift(warehouse, extract, day_log)
    raw_days: list[RawDay] = []
    results: list[LandingResult] = []
    restatements: list[Row] = []
    while pending:
        # Removes the batch, because its records and their column can have hundreds of megabytes each.
        result, raw_day = _load_batch(warehouse, extract, pending.popleft(), day_log, drifted, run)
        results.append(result)
        if raw_day is None:
            continue
        raw_days.append(raw_day)
        before = day_log.get((raw_day.table.name, raw_day.day))
        is_changed = before is not None and before["content_digest"] != result.entry["content_digest"]
        if before and before["completed_at"] and is_changed and not extract.is_snapshot:
            restatements.append(_restatement(before, result.entry))
    warehouse.load_days(raw_days, [result.entry for result in results], restatements)
    return results


def log_unloaded_days(
    warehouse: Warehouse, extract: Extract, days: Sequence[date], run: RunContext, status: str, message: str
) -> list[LandingResult]:
    """Records in the day log why days were not loaded; data that was loaded before stays.

    A complete day stays complete when it can no longer be requested (no key, no access). It is only `failed` when a
    request failed.
    """
    day_log = _load_day_log(warehouse, extract, days)
    entries = []
    for day in days:
        for table in extract.tables:
            before = day_log.get((table.name, day))
            stays_complete = before is not None and before["completed_at"] is not None and status != "failed"
            outcome = ("complete", None) if stays_complete else (status, message)
            entries.append(_attempt_entry(extract, table, day, before, run, *outcome))
    warehouse.load_days([], entries)
    return [LandingResult(entry, changed=False) for entry in entries]


def _load_batch(
    warehouse: Warehouse,
    extract: Extract,
    batch: DayBatch | RejectedDay,
    day_log: dict[_DayKey, Row],
    drifted: set[_DayKey],
    run: RunContext,
) -> tuple[LandingResult, RawDay | None]:
    """Returns the result of a day, and the rows that replace it if it changes."""
    key = (batch.table.name, batch.day)
    before = day_log.get(key)
    if isinstance(batch, RejectedDay):
        return _refuse(extract, batch, before, run, batch.reason), None
    records, payload = sort_records(batch.records)
    digest = content_digest(payload)
    if before and before["content_digest"] == digest and key not in drifted:
        return LandingResult(
            _loaded_entry(extract, batch, before, run, payload, digest, changed=False), False, is_loaded=True
        ), None
    if reason := _find_loss(extract, batch, before, run, is_drifted=key in drifted):
        return _refuse(extract, batch, before, run, reason), None
    emails = _carry_emails(warehouse, extract.email_identities.get(batch.table.name), batch, records, before)
    entry = _loaded_entry(extract, batch, before, run, payload, digest, changed=True)
    return LandingResult(entry, True, is_loaded=True), RawDay(
        batch.table, batch.day, run.now, to_raw_rows(payload, emails)
    )


def _refuse(
    extract: Extract, batch: DayBatch | RejectedDay, before: Row | None, run: RunContext, reason: str
) -> LandingResult:
    return LandingResult(_attempt_entry(extract, batch.table, batch.day, before, run, "failed", reason), False)


def _find_loss(
    extract: Extract, batch: DayBatch, before: Row | None, run: RunContext, *, is_drifted: bool
) -> str | None:
    """Returns why a complete batch must not replace the loaded data, or None if it may."""
    if before is None or run.accept_loss:
        return None
    loaded = f"{before['records']} records"
    if before["amount_usd"] is not None:
        loaded += f" worth {format_usd(before['amount_usd'])}"
    stays = (
        "The table has other records than the day log, because a run ended between writing the two. Both stay unchanged"
        if is_drifted
        else "They stay"
    )
    if not batch.records and before["records"] and not extract.may_become_empty:
        return f"the extract is empty, but an earlier one had {loaded}. {stays}. {ACCEPT_LOSS_ADVICE}"
    is_older = batch.watermark and before["watermark"] and batch.watermark < before["watermark"]
    if before["completed_at"] and (batch.incomplete_reason or is_older):
        return (
            f"the vendor's data ends earlier than in an earlier extract, which had {loaded}. {stays}. "
            "Run the day again later."
        )
    return None


def _restatement(before: Row, after: DayLogEntry) -> Row:
    return {
        "asset": after["asset"], "vendor": after["vendor"], "usage_date": after["usage_date"],
        "run_id": after["run_id"], "restated_at": after["attempted_at"],
        "old_records": before["records"], "old_amount_usd": before["amount_usd"],
        "new_records": after["records"], "new_amount_usd": after["amount_usd"],
    }  # fmt: skip


def _load_day_log(warehouse: Warehouse, extract: Extract, days: Sequence[date]) -> dict[_DayKey, Row]:
    if not days:
        return {}
    names = ", ".join(f"'{table.name}'" for table in extract.tables)
    rows = warehouse.rows(
        f"SELECT * FROM ai_usage.ops_asset_days WHERE asset IN ({names}) "
        "AND usage_date BETWEEN @start_day AND @end_day",
        {"start_day": min(days), "end_day": max(days)},
    )
    return {(row["asset"], row["usage_date"]): row for row in rows}


def _find_drift(warehouse: Warehouse, extract: Extract, day_log: dict[_DayKey, Row]) -> set[_DayKey]:
    """Returns the days whose raw table does not contain what the day log says.

    Where the records and the log entry are not one transaction, a run can end between the two, or another run can
    overtake it.
    """
    drifted = set()
    for table in extract.tables:
        entries = {day: entry for (name, day), entry in day_log.items() if name == table.name and entry["landed_at"]}
        if not entries:
            continue
        rows = warehouse.rows(
            f"SELECT {table.partition_by} AS day, COUNT(*) AS records, MIN(fetched_at) AS first_at, "
            f"MAX(fetched_at) AS last_at FROM ai_usage.{table.name} "
            f"WHERE {table.partition_by} BETWEEN @start_day AND @end_day GROUP BY {table.partition_by}",
            {"start_day": min(entries), "end_day": max(entries)},
        )
        stored = {row["day"]: (row["records"], row["first_at"], row["last_at"]) for row in rows}
        for day, entry in entries.items():
            logged = (entry["records"], entry["landed_at"], entry["landed_at"])
            if stored.get(day, (0, *logged[1:])) != logged:
                drifted.add((table.name, day))
    return drifted


def _attempt_entry(
    extract: Extract, table: Table, day: date, before: Row | None, run: RunContext, status: str, message: str | None
) -> DayLogEntry:
    """Returns the entry of an attempt that changes nothing of the loaded data."""
    previous: dict[str, Any] = before or {}
    return DayLogEntry(
        completed_at=previous.get("completed_at"),
        landed_at=previous.get("landed_at"),
        records=previous.get("records"),
        expected_records=previous.get("expected_records"),
        amount_usd=previous.get("amount_usd"),
        pages=previous.get("pages"),
        watermark=previous.get("watermark"),
        content_digest=previous.get("content_digest"),
        bytes=previous.get("bytes"),
        landed_run_id=previous.get("landed_run_id"),
        asset=table.name,
        vendor=extract.vendor,
        usage_date=day,
        is_daily=not extract.is_snapshot,
        status=status,
        message=redact(message) if message else None,
        attempted_at=run.now,
        run_id=run.run_id,
    )


def _loaded_entry(
    extract: Extract,
    batch: DayBatch,
    before: Row | None,
    run: RunContext,
    payload: pa.Array,
    digest: str,
    *,
    changed: bool,
) -> DayLogEntry:
    """Returns the entry of a batch that was loaded, or that equals the loaded data."""
    status = "incomplete" if batch.incomplete_reason else "complete"
    entry = _attempt_entry(extract, batch.table, batch.day, before, run, status, batch.incomplete_reason)
    entry["records"] = len(batch.records)
    entry["expected_records"] = batch.expected_records
    entry["amount_usd"] = batch.amount_usd
    entry["pages"] = batch.pages
    entry["watermark"] = batch.watermark
    entry["content_digest"] = digest
    entry["bytes"] = size_bytes(payload)
    if changed:
        entry["landed_at"] = run.now
        entry["landed_run_id"] = run.run_id
    if not batch.incomplete_reason:
        entry["completed_at"] = run.now
    return entry


def _carry_emails(
    warehouse: Warehouse,
    identity: EmailIdentity | None,
    batch: DayBatch,
    records: Sequence[bytes],
    before: Row | None,
) -> list[str | None]:
    """Returns, for each record without an e-mail, the e-mail that the same record has in the loaded version."""
    emails: list[str | None] = [None] * len(records)
    if identity is None or before is None or not before["records"]:
        return emails
    identified = [identity.read(record) for record in records]
    if all(email or key is None for key, email in identified):
        return emails
    stored = warehouse.rows(
        f"SELECT payload, carried_email FROM ai_usage.{batch.table.name} WHERE {batch.table.partition_by} = @start_day",
        {"start_day": batch.day},
    )
    available: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for row in stored:
        key, email = identity.read(row["payload"].encode())
        if stored_email := email or row["carried_email"]:
            available[key][stored_email] += 1
    if identity.one_to_one:
        for key, email in identified:
            if email:
                available[key][email] -= 1
    for index, (key, email) in enumerate(identified):
        if email or key is None:
            continue
        candidates = sorted(address for address, count in available[key].items() if count > 0)
        if candidates:
            emails[index] = candidates[0]
            if identity.one_to_one:
                available[key][candidates[0]] -= 1
    return emails
