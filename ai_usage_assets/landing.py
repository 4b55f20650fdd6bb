"""From pulled records to one replaced day of a raw table, and the log entry that says what is held.

Belongs here: when a day may replace what is held, the fingerprint that makes a second run change nothing, e-mails
carried forward before a re-pull loses them. Does not: how records are pulled (`vendors/`) or stored (`warehouses/`).

Three rules. A day is replaced whole, in one transaction with its log entry, or not at all. A pull that brings the same
records as before leaves every row as it is. A day that was not pulled whole, or is suddenly empty, never replaces
records: the vendor's bad hour must not become our missing money.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ai_usage_assets.redaction import OBFUSCATION_PATTERN, redact, redact_keys_in_json
from ai_usage_assets.sources.base import DayBatch, EmailIdentity, Extract, RejectedDay
from ai_usage_assets.warehouse.base import RawDay, Row, Warehouse
from ai_usage_assets.warehouse.tables import Table

# Few records have any of these, and only they are looked at closely.
_SIGNS = rf"sk-|sk_|crsr|c2st|Y3Jzc|ya29\.|AIza|eyJ|key-|key_|{OBFUSCATION_PATTERN}"

ACCEPT_LOSS_ADVICE = "If that is true, accept it once with `ai-usage run --accept-loss` (or AI_USAGE_ACCEPT_LOSS=on)."


@dataclass(frozen=True)
class Moment:
    """Which run is landing, when, and whether a person has accepted that data may shrink."""

    run_id: str
    now: datetime
    accept_loss: bool = False


@dataclass(frozen=True)
class Landed:
    """How one day of one table ended: its log entry, and whether rows were replaced."""

    entry: Row
    changed: bool


def land(
    warehouse: Warehouse, pull: Extract, results: Iterable[DayBatch | RejectedDay], moment: Moment
) -> list[Landed]:
    """Lands what a pull brought, all its days together; returns one entry per table and day, in order.

    Raises WarehouseError when the warehouse refuses; then nothing of these days has changed.
    """
    waiting = deque(results)
    held = _held(warehouse, pull, [result.day for result in waiting])
    astray = _astray(warehouse, pull, held)
    raw_days: list[RawDay] = []
    landed: list[Landed] = []
    restated: list[Row] = []
    while waiting:
        # Taken out, because a day's records and its column are a hundred megabytes each.
        outcome, raw_day = _outcome(warehouse, pull, waiting.popleft(), held, astray, moment)
        landed.append(outcome)
        if raw_day is None:
            continue
        raw_days.append(raw_day)
        before = held.get((raw_day.table.name, raw_day.day))
        is_other = before is not None and before["content_digest"] != outcome.entry["content_digest"]
        if before and before["completed_at"] and is_other and not pull.is_snapshot:
            restated.append(_restatement(before, outcome.entry))
    warehouse.load_days(raw_days, [outcome.entry for outcome in landed], restated)
    return landed


def _outcome(
    warehouse: Warehouse,
    pull: Extract,
    result: DayBatch | RejectedDay,
    held: dict[tuple[str, date], Row],
    astray: set[tuple[str, date]],
    moment: Moment,
) -> tuple[Landed, RawDay | None]:
    """How a day ends, and what replaces it if it is replaced."""
    key = (result.table.name, result.day)
    before = held.get(key)
    if isinstance(result, RejectedDay):
        return _kept(pull, result, before, moment, result.reason), None
    records, payload = _in_order(result.records)
    digest = _digest(payload)
    if before and before["content_digest"] == digest and key not in astray:
        return Landed(_complete(pull, result, before, moment, payload, digest, changed=False), False), None
    if reason := _reason_to_keep(pull, result, before, moment, is_astray=key in astray):
        return _kept(pull, result, before, moment, reason), None
    emails = _carried_emails(warehouse, pull.email_identities.get(result.table.name), result, records, before)
    entry = _complete(pull, result, before, moment, payload, digest, changed=True)
    return Landed(entry, True), RawDay(result.table, result.day, moment.now, _numbered(payload, emails))


def _kept(pull: Extract, result: DayBatch | RejectedDay, before: Row | None, moment: Moment, reason: str) -> Landed:
    return Landed(_entry(pull, result.table, result.day, before, moment, "failed", reason), False)


def _reason_to_keep(
    pull: Extract, result: DayBatch, before: Row | None, moment: Moment, *, is_astray: bool
) -> str | None:
    """Why a pull that ended well must not replace what is held; None when it may."""
    if before is None or moment.accept_loss:
        return None
    kept = (
        "and the table holds others than these, because a run ended before it could note what it had landed. Both are "
        "left as they are"
        if is_astray
        else "which are kept"
    )
    if not result.records and before["records"] and not pull.may_become_empty:
        return (
            f"the pull came back empty, but an earlier one brought {before['records']} records{_worth(before)}, "
            f"{kept}. {ACCEPT_LOSS_ADVICE}"
        )
    older = result.watermark and before["watermark"] and result.watermark < before["watermark"]
    if before["completed_at"] and (result.incomplete_reason or older):
        return (
            f"the vendor's data reaches less far than in an earlier pull, which brought {before['records']} records"
            f"{_worth(before)}, {kept}; run the day again later."
        )
    return None


def _restatement(before: Row, after: Row) -> Row:
    return {
        **{name: after[name] for name in ("asset", "vendor", "usage_date", "run_id")},
        "restated_at": after["attempted_at"],
        **{f"old_{name}": before[name] for name in ("records", "amount_usd")},
        **{f"new_{name}": after[name] for name in ("records", "amount_usd")},
    }


def log_not_pulled(
    warehouse: Warehouse, pull: Extract, days: Sequence[date], moment: Moment, status: str, message: str
) -> list[Landed]:
    """Notes that days of a pull brought nothing, and why; what is held stays.

    A day that is held whole is not less whole because nobody may ask for it any more; it only failed when it was tried.
    """
    held = _held(warehouse, pull, days)
    entries = []
    for day in days:
        for table in pull.tables:
            before = held.get((table.name, day))
            whole = before is not None and before["completed_at"] is not None and status != "failed"
            told = ("complete", None) if whole else (status, message)
            entries.append(_entry(pull, table, day, before, moment, *told))
    warehouse.load_days([], entries)
    return [Landed(entry, changed=False) for entry in entries]


def _held(warehouse: Warehouse, pull: Extract, days: Sequence[date]) -> dict[tuple[str, date], Row]:
    if not days:
        return {}
    names = ", ".join(f"'{table.name}'" for table in pull.tables)
    rows = warehouse.rows(
        f"SELECT * FROM ai_usage.ops_asset_days WHERE asset IN ({names}) "
        "AND usage_date BETWEEN @start_day AND @end_day",
        {"start_day": min(days), "end_day": max(days)},
    )
    return {(row["asset"], row["usage_date"]): row for row in rows}


def _astray(warehouse: Warehouse, pull: Extract, held: dict[tuple[str, date], Row]) -> set[tuple[str, date]]:
    """Days of which the table does not hold what the log says was landed, and when.

    Where a day and its log entry are not written together, a run may have ended, or another overtaken it, in between.
    """
    astray = set()
    for table in pull.tables:
        entries = {day: entry for (name, day), entry in held.items() if name == table.name and entry["landed_at"]}
        if not entries:
            continue
        rows = warehouse.rows(
            f"SELECT {table.partition_by} AS day, COUNT(*) AS records, MIN(fetched_at) AS first_at, "
            f"MAX(fetched_at) AS last_at FROM ai_usage.{table.name} "
            f"WHERE {table.partition_by} BETWEEN @start_day AND @end_day GROUP BY {table.partition_by}",
            {"start_day": min(entries), "end_day": max(entries)},
        )
        found = {row["day"]: (row["records"], row["first_at"], row["last_at"]) for row in rows}
        for day, entry in entries.items():
            landed = (entry["records"], entry["landed_at"], entry["landed_at"])
            if found.get(day, (0, *landed[1:])) != landed:
                astray.add((table.name, day))
    return astray


def _in_order(records: Sequence[bytes]) -> tuple[list[bytes], pa.Array]:
    """The records as they came, in the order of their bytes, and the same as a column.

    A key that somebody used as a name is kept nowhere.
    """
    ordered = sorted(records)
    payload = _column(ordered)
    suspects = pc.indices_nonzero(pc.match_substring_regex(payload, _SIGNS)).to_pylist()
    if not suspects:
        return ordered, payload
    for index in suspects:
        ordered[index] = redact_keys_in_json(ordered[index].decode()).encode()
    ordered.sort()
    return ordered, _column(ordered)


def _column(records: Sequence[bytes]) -> pa.Array:
    # End to end, once: a day may be a hundred megabytes.
    ends = np.zeros(len(records) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, records), np.int64, len(records)), out=ends[1:])
    return pa.LargeStringArray.from_buffers(len(records), pa.py_buffer(ends), pa.py_buffer(b"".join(records)))


def _digest(payload: pa.Array) -> str:
    # Where each record ends keeps two records from being mistaken for one that holds both.
    _, ends, records = payload.buffers()
    fingerprint = hashlib.sha256(ends)
    fingerprint.update(records)
    return fingerprint.hexdigest()


def _size(payload: pa.Array) -> int:
    _, _, records = payload.buffers()
    return records.size if records else 0


def _numbered(payload: pa.Array, emails: Sequence[str | None]) -> pa.Table:
    count = len(payload)
    return pa.table(
        {
            "record_no": pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(np.arange(1, count + 1))]),
            "payload": payload,
            # Told apart because pyarrow loads pandas to look at a list.
            "carried_email": pa.array(emails, pa.string()) if any(emails) else pa.nulls(count, pa.string()),
        }
    )


def _entry(
    pull: Extract, table: Table, day: date, before: Row | None, moment: Moment, status: str, message: str | None
) -> Row:
    kept = before or {}
    return {
        **{name: kept.get(name) for name in ("completed_at", "landed_at", "records", "expected_records")},
        **{name: kept.get(name) for name in ("amount_usd", "pages", "watermark", "content_digest")},
        **{name: kept.get(name) for name in ("bytes", "landed_run_id")},
        "asset": table.name,
        "vendor": pull.vendor,
        "usage_date": day,
        "is_daily": not pull.is_snapshot,
        "status": status,
        "message": redact(message) if message else None,
        "attempted_at": moment.now,
        "run_id": moment.run_id,
    }


def _complete(
    pull: Extract,
    result: DayBatch,
    before: Row | None,
    moment: Moment,
    payload: pa.Array,
    digest: str,
    *,
    changed: bool,
) -> Row:
    status = "incomplete" if result.incomplete_reason else "complete"
    entry = _entry(pull, result.table, result.day, before, moment, status, result.incomplete_reason)
    entry |= {
        "records": len(result.records),
        "expected_records": result.expected_records,
        "amount_usd": result.amount_usd,
        "pages": result.pages,
        "watermark": result.watermark,
        "content_digest": digest,
        "bytes": _size(payload),
    }
    if changed:
        entry |= {"landed_at": moment.now, "landed_run_id": moment.run_id}
    if not result.incomplete_reason:
        entry["completed_at"] = moment.now
    return entry


def _worth(before: Row) -> str:
    return f" worth ${before['amount_usd']:,.2f}" if before["amount_usd"] is not None else ""


def _carried_emails(
    warehouse: Warehouse,
    identity: EmailIdentity | None,
    result: DayBatch,
    records: Sequence[bytes],
    before: Row | None,
) -> list[str | None]:
    """For each record without an e-mail, the one the same record had in the version held until now."""
    nothing: list[str | None] = [None] * len(records)
    if identity is None or before is None or not before["records"]:
        return nothing
    read = [identity.read(record) for record in records]
    if all(email or key is None for key, email in read):
        return nothing
    stored = warehouse.rows(
        f"SELECT payload, carried_email FROM ai_usage.{result.table.name} "
        f"WHERE {result.table.partition_by} = @start_day",
        {"start_day": result.day},
    )
    lent: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for row in stored:
        key, email = identity.read(row["payload"].encode())
        if known := email or row["carried_email"]:
            lent[key][known] += 1
    if identity.one_to_one:
        for key, email in read:
            if email:
                lent[key][email] -= 1
    emails = nothing
    for index, (key, email) in enumerate(read):
        if email or key is None:
            continue
        candidates = sorted(known for known, count in lent[key].items() if count > 0)
        if candidates:
            emails[index] = candidates[0]
            if identity.one_to_one:
                lent[key][candidates[0]] -= 1
    return emails
