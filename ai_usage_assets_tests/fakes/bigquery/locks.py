"""Table locks of transactions, statements and loads.

As BigQuery documents it, one of two transactions that change the same table is aborted. Statements and loads outside a
transaction wait.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ai_usage_assets_tests.fakes.bigquery.errors import ApiError, concurrent_update
from ai_usage_assets_tests.fakes.bigquery.tables import Table

# Longer than any test keeps a transaction open.
_WAIT_SECONDS = 30.0


class Transaction:
    """An open transaction: the sequence number of its start, and the keys of the tables it has changed."""

    def __init__(self, start_number: int) -> None:
        self.start_number = start_number
        self.tables: set[tuple[str, str]] = set()


class TableLocks:
    """One write lock per table."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        # The owner is None when a statement or load outside a transaction has the lock.
        self._owners: dict[tuple[str, str], Transaction | None] = {}
        self._last_changes: dict[tuple[str, str], int] = {}
        self._counter = itertools.count(1)

    def begin(self) -> Transaction:
        """Begin a transaction."""
        with self._condition:
            return Transaction(next(self._counter))

    def acquire(self, table: Table, transaction: Transaction) -> None:
        """Lock the table until the transaction ends. Raises an error if it was changed since the transaction began."""
        with self._condition:
            owner = self._owners.get(table.key)
            if owner is transaction:
                return
            if table.key in self._owners and owner is None:
                # A statement or load is short; the check below detects its change.
                self._condition.wait_for(lambda: table.key not in self._owners, _WAIT_SECONDS)
                owner = self._owners.get(table.key)
            if owner is not None or self._last_changes.get(table.key, 0) > transaction.start_number:
                raise concurrent_update(table.full_name)
            self._owners[table.key] = transaction
            transaction.tables.add(table.key)

    def end(self, transaction: Transaction, *, committed: bool) -> None:
        """Release the locks of the transaction."""
        with self._condition:
            for key in transaction.tables:
                del self._owners[key]
                if committed:
                    self._last_changes[key] = next(self._counter)
            self._condition.notify_all()

    @contextmanager
    def exclusive(self, table: Table) -> Iterator[None]:
        """Wait for the lock of the table and keep it for a change outside a transaction."""
        with self._condition:
            if not self._condition.wait_for(lambda: table.key not in self._owners, _WAIT_SECONDS):
                raise ApiError(503, "backendError", f"A transaction on {table.full_name} does not end.")
            self._owners[table.key] = None
        try:
            yield
        finally:
            with self._condition:
                del self._owners[table.key]
                self._last_changes[table.key] = next(self._counter)
                self._condition.notify_all()
