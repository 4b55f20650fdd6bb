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
from types import TracebackType
from typing import Any, Self

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


class ExtractLoader:
    """Loads days of one extract. It reads their day log once, and collects days until the warehouse's batch is full.

    At the end of its `with` block it loads what it has collected, also after an error: one day does not depend on
    another. `results` has one result per batch, in order.
    """

    def __init__(self, warehouse: Warehouse, extract: Extract, days: Sequence[date], run: RunContext) -> None:
        self._warehouse = warehouse
        self._extract = extract
        self._run = run
        self._day_log = _load_day_log(warehouse, extract, days)
        self.results: list[LandingResult] = []
        self._raw_days: list[RawDay] = []
        self._restatements: list[Row] = []
        self._loaded_count = 0
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()

    def load(self, batches: Iterable[DayBatch | RejectedDay]) -> None:
        """Loads the days of one fetch, now or with later ones. Raises WarehouseError; then none of them has changed."""
        pending = deque(batches)
        while pending:
            # Removes the batch, because its records and their column can have hundreds of megabytes each.
            self._add(pending.popleft())
        if self._bytes >= self._warehouse.batch_bytes:
            self.flush()

    def log_unloaded(self, days: Sequence[date], status: str, message: str) -> None:
        """Records in the day log why days were not loaded; data that was loaded before stays.

        A complete day stays complete when it can no longer be requested (no key, no access). It is only `failed` when
        a request failed.
        """
        for day in days:
            for table in self._extract.tables:
                before = self._day_log.get((table.name, day))
                stays_complete = before is not None and before["completed_at"] is not None and status != "failed"
                outcome = ("complete", None) if stays_complete else (status, message)
                entry = _attempt_entry(self._extract, table, day, before, self._run, *outcome)
                self.results.append(LandingResult(entry, changed=False))

    def flush(self) -> None:
        """Loads the collected days. Raises WarehouseError; then none of them has changed."""
        raw_days, restatements = self._raw_days, self._restatements
        entries = [result.entry for result in self.results[self._loaded_count :]]
        # Emptied first: what cannot be written is not written again at the end of the block.
        self._raw_days, self._restatements, self._bytes = [], [], 0
        self._loaded_count = len(self.results)
        if entries:
            self._warehouse.load_days(raw_days, entries, restatements)

    def _add(self, batch: DayBatch | RejectedDay) -> None:
        result, raw_day = _load_batch(self._warehouse, self._extract, batch, self._day_log, self._run)
        self.results.append(result)
        if raw_day is None:
            return
        self._raw_days.append(raw_day)
        self._bytes += raw_day.records.nbytes
        before = self._day_log.get((raw_day.table.name, raw_day.day))
        is_changed = before is not None and before["content_digest"] != result.entry["content_digest"]
        if before and before["completed_at"] and is_changed and not self._extract.is_snapshot:
            self._restatements.append(_restatement(before, result.entry))


def _load_batch(
    warehouse: Warehouse,
    extract: Extract,
    batch: DayBatch | RejectedDay,
    day_log: dict[_DayKey, Row],
    run: RunContext,
) -> tuple[LandingResult, RawDay | None]:
    """Returns the result of a day, and the rows that replace it if it changes."""
    before = day_log.get((batch.table.name, batch.day))
    if isinstance(batch, RejectedDay):
        return _refuse(extract, batch, before, run, batch.reason), None
    records, payload = sort_records(batch.records)
    digest = content_digest(payload)
    if before and before["content_digest"] == digest:
        entry = _loaded_entry(extract, batch, before, run, payload, digest, changed=False)
        return LandingResult(entry, changed=False, is_loaded=True), None
    if reason := _find_loss(extract, batch, before, run):
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


def _find_loss(extract: Extract, batch: DayBatch, before: Row | None, run: RunContext) -> str | None:
    """Returns why a complete batch must not replace the loaded data, or None if it may."""
    if before is None or run.accept_loss:
        return None
    loaded = f"{before['records']} records"
    if before["amount_usd"] is not None:
        loaded += f" worth {format_usd(before['amount_usd'])}"
    if not batch.records and before["records"] and not extract.may_become_empty:
        return f"the extract is empty, but an earlier one had {loaded}. They stay. {ACCEPT_LOSS_ADVICE}"
    is_older = batch.watermark and before["watermark"] and batch.watermark < before["watermark"]
    if before["completed_at"] and (batch.incomplete_reason or is_older):
        return (
            f"the vendor's data ends earlier than in an earlier extract, which had {loaded}. They stay. "
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
