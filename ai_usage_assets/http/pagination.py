"""Iterates over the pages of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from ai_usage_assets.http.errors import PaginationLoop

P = TypeVar("P")


def paginate(
    fetch: Callable[[str | None], tuple[P, str | None]], *, service: str, endpoint: str, max_pages: int = 2_000
) -> Iterator[P]:
    """Yields the pages of a list. `fetch(token)` returns a page and the next token, None at the end.

    Raises PaginationLoop when a token repeats, or after `max_pages`.
    """
    seen: set[str] = set()
    token: str | None = None
    for _ in range(max_pages):
        page, token = fetch(token)
        yield page
        if token is None:
            return
        if token in seen:
            reason = f"page {len(seen) + 1} leads back to one that was already read"
            break
        seen.add(token)
    else:
        reason = f"there are more than {max_pages:,} pages"
    raise PaginationLoop(
        service,
        endpoint,
        detail=f"the list does not end: {reason}",
        next_step="Run again; if it happens again, report it to the vendor.",
    )
