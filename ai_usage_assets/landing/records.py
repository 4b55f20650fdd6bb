"""The records of one day as an Arrow column: sorted, without secrets, with their digest and row numbers.

A day can have hundreds of megabytes, so the functions work on one buffer and copy nothing record by record.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ai_usage_assets.hashing import sha256_hex
from ai_usage_assets.redaction import POSSIBLE_KEY_RE2, redact_keys_in_json


def sort_records(records: Sequence[bytes]) -> tuple[list[bytes], pa.Array]:
    """Returns the records in the order of their bytes, as a list and as a column, with keys in them redacted."""
    ordered = sorted(records)
    payload = _to_column(ordered)
    # Few records match, and only those are searched for keys in detail.
    suspects = pc.indices_nonzero(pc.match_substring_regex(payload, POSSIBLE_KEY_RE2)).to_pylist()
    if not suspects:
        return ordered, payload
    for index in suspects:
        ordered[index] = redact_keys_in_json(ordered[index].decode()).encode()
    ordered.sort()
    return ordered, _to_column(ordered)


def _to_column(records: Sequence[bytes]) -> pa.Array:
    offsets = np.zeros(len(records) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, records), np.int64, len(records)), out=offsets[1:])
    return pa.LargeStringArray.from_buffers(len(records), pa.py_buffer(offsets), pa.py_buffer(b"".join(records)))


def content_digest(payload: pa.Array) -> str:
    """Returns the SHA-256 of a column of records.

    It includes the offsets, so that two records never have the digest of one record with the same bytes.
    """
    _, offsets, content = payload.buffers()
    return sha256_hex(offsets, content)


def size_bytes(payload: pa.Array) -> int:
    """Returns the total size of the records in bytes."""
    _, _, content = payload.buffers()
    return content.size if content else 0


def to_raw_rows(payload: pa.Array, emails: Sequence[str | None]) -> pa.Table:
    """Returns the columns record_no, payload and carried_email of a raw table."""
    count = len(payload)
    return pa.table(
        {
            "record_no": pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(np.arange(1, count + 1))]),
            "payload": payload,
            # `pa.array(list)` imports pandas; avoid it.
            "carried_email": pa.array(emails, pa.string()) if any(emails) else pa.nulls(count, pa.string()),
        }
    )
