"""Write files atomically: a reader sees the previous content or the new one, never a part of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file next to `path`; it replaces `path` when the block succeeds."""
    if not path.name or path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str, *, mode: int = 0o666) -> None:
    """Writes text as UTF-8 without changing line ends. `mode` applies from the first byte on, less the umask."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with replace_atomically(path) as temporary, os.fdopen(os.open(temporary, flags, mode), "wb") as file:
        file.write(content.encode())
