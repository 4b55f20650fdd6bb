"""SHA-256 digests."""

from __future__ import annotations

import hashlib


def sha256_hex(*parts: str | bytes | memoryview, digits: int = 64) -> str:
    """Returns the first hexadecimal digits of the SHA-256 of the parts, hashed one after the other without a copy."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()[:digits]
