"""Locks of transactions on tables.

As BigQuery documents it, one of two transactions that change the same table is aborted; other changes wait.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, invalid_query
from ai_usage_assets_tests.fakes.bigquery.tables import Table

# Longer than any test holds a transaction open.
_PATIENCE_SECONDS = 30.0


class Transaction:
    """One open transaction: when it began, and the tables it has changed."""

    def __init__(self, began: int) -> None:
        self.began = began
        self.changes: set[tuple[str, str]] = set()


class Writers:
    """The turns at each table."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._taken: dict[tuple[str, str], Transaction | None] = {}
        self._changed_at: dict[tuple[str, str], int] = {}
        self._numbers = itertools.count(1)

    def begin(self) -> Transaction:
        """A transaction begins."""
        with self._free:
            return Transaction(next(self._numbers))

    def take(self, table: Table, transaction: Transaction) -> None:
        """The transaction changes the table from now to its end. Raises if another has since it began."""
        with self._free:
            holder = self._taken.get(table.key)
            if holder is transaction:
                return
            if table.key in self._taken and holder is None:
                # A statement of its own or a load is short; what it did is seen below.
                self._free.wait_for(lambda: table.key not in self._taken, _PATIENCE_SECONDS)
                holder = self._taken.get(table.key)
            if holder is not None or self._changed_at.get(table.key, 0) > transaction.began:
                raise aborted(table)
            self._taken[table.key] = transaction
            transaction.changes.add(table.key)

    def end(self, transaction: Transaction, *, committed: bool) -> None:
        """It is over."""
        with self._free:
            for key in transaction.changes:
                del self._taken[key]
                if committed:
                    self._changed_at[key] = next(self._numbers)
            self._free.notify_all()

    @contextmanager
    def alone(self, table: Table) -> Iterator[None]:
        """A change outside any transaction: waits until the table is free, keeps others waiting until its end."""
        with self._free:
            if not self._free.wait_for(lambda: table.key not in self._taken, _PATIENCE_SECONDS):
                raise ApiError(503, "backendError", f"{table.full_name} is held by a transaction that does not end.")
            self._taken[table.key] = None
        try:
            yield
        finally:
            with self._free:
                del self._taken[table.key]
                self._changed_at[table.key] = next(self._numbers)
                self._free.notify_all()


def aborted(table: Table) -> ApiError:
    """The one that came second."""
    return invalid_query(
        f"Transaction is aborted due to concurrent update against table {table.full_name}. "
        "Please check whether the table is being updated concurrently and retry."
    )
