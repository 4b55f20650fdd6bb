"""The file of the embedded warehouse: opening, locking, renaming, and DuckDB's errors."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from ai_usage_assets.redaction import redact
from ai_usage_assets.warehouse import googlesql
from ai_usage_assets.warehouse.base import WarehouseBusyError, WarehouseError

logger = logging.getLogger(__name__)

# DuckDB has no error class for a damaged file. Whole phrases, because a path in the message may contain any word.
_DAMAGED = re.compile(
    "Corrupt database file|not a valid DuckDB database|Could not read enough bytes|^INTERNAL Error|^Serialization Error"
)

# DuckDB works on row groups in parallel and compresses the last group again when rows are appended. At its own group
# size, a day of 200,000 events uses one processor.
ROW_GROUP_SIZE = 20_480

# A run holds the file for seconds at a time; a longer wait means that another tool keeps it open.
_LOCK_WAIT_SECONDS = 60.0
_LOCK_RETRY_SECONDS = 0.2
_LOCK_NOTICE_SECONDS = 2.0


class DuckDBFile:
    """A DuckDB file with one writer. The connection is made at the first operation and kept until `close`."""

    def __init__(
        self,
        path: Path | str,
        dataset: str = "ai_usage",
        *,
        lock_wait_seconds: float = _LOCK_WAIT_SECONDS,
        read_only: bool = False,
    ) -> None:
        self.path = Path(path)
        self.dataset = dataset
        # A read-only warehouse creates neither the file nor the schema and does not exclude other readers.
        self._read_only = read_only
        self._lock_wait_seconds = lock_wait_seconds
        self._connection: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def run_lock(self, run_id: str) -> Iterator[None]:
        path = self._run_file(run_id)
        try:
            file = path.open("w")
        except OSError as error:
            raise WarehouseError(f"{path} is not writable ({error.strerror}); set AI_USAGE_DUCKDB_PATH.") from None
        with file:
            # The kernel releases this lock when the process ends, also in another container. A process id would not
            # do: another process may have it by then.
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def is_run_active(self, run_id: str) -> bool:
        path = self._run_file(run_id)
        try:
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        # A killed run left the file.
        with suppress(OSError):
            path.unlink()
        return False

    def _run_file(self, run_id: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{run_id}.run")

    def rename_file(self, path: Path) -> bool:
        """Renames the file while nothing else uses it. Returns False if there is nothing to rename.

        Raises WarehouseBusyError during a run or a connection.
        """
        with _lock_folder(self.path.parent):
            # Another process may have renamed it in the meantime.
            if path.exists() or not self.path.exists():
                return False
            return self._rename_unused_file(path)

    def _rename_unused_file(self, path: Path) -> bool:
        for run_file in self.path.parent.glob(f"{self.path.name}.*.run"):
            run_id = run_file.name.removeprefix(f"{self.path.name}.").removesuffix(".run")
            if self.is_run_active(run_id):
                raise WarehouseBusyError(f"{self.path} is in use by the run {run_id}. Start again after its end.")
        with self._errors():
            connection = self._open()
            # Without a write-ahead log, the file is the whole database. DuckDB keeps its lock during the renaming.
            try:
                is_warehouse = connection.execute(
                    "SELECT 1 FROM duckdb_tables() WHERE schema_name = ? AND table_name = 'ops_runs'", [self.dataset]
                ).fetchall()
                if is_warehouse:
                    connection.execute("CHECKPOINT warehouse")
                    self.path.rename(path)
            except OSError as error:
                raise WarehouseError(
                    f"{self.path} cannot be renamed to {path.name} ({error.strerror}). Make the folder writable, or "
                    f"set AI_USAGE_DUCKDB_PATH={self.path}."
                ) from None
            finally:
                connection.close()
        return bool(is_warehouse)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._errors():
            connection = self._connect()
            connection.execute("BEGIN TRANSACTION")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # After a fatal error, such as a full disk, the connection is invalid and has no transaction.
                try:
                    connection.execute("ROLLBACK")
                except duckdb.Error:
                    self.close()
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise WarehouseError(f"{self.path}: {_describe(error)}") from None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            connection = self._open()
            schema = f'warehouse."{self.dataset}"'
            if not self._read_only:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                connection.execute(f"USE {schema}")
            elif connection.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = ?", [self.dataset]).fetchall():
                connection.execute(f"USE {schema}")
            connection.execute(googlesql.SESSION)
            self._connection = connection
        return self._connection

    def _open(self) -> duckdb.DuckDBPyConnection:
        folder = self.path.parent
        try:
            if not self._read_only:
                folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise WarehouseError(f"{folder} is a file, not a folder; set AI_USAGE_DUCKDB_PATH.") from None
        except OSError as error:
            raise WarehouseError(f"{folder} cannot be created ({error.strerror}); set AI_USAGE_DUCKDB_PATH.") from None
        if self.path.is_dir():
            raise WarehouseError(f"{self.path} is a folder; set AI_USAGE_DUCKDB_PATH to a file.")
        connection = duckdb.connect(
            # Two warehouses on the same file in one process share the database of this name.
            f":memory:{self.path.absolute()}",
            # Extensions are never downloaded, whatever the file contains.
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"},
        )
        try:
            self._attach(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        mode = "READ_ONLY" if self._read_only else f"ROW_GROUP_SIZE {ROW_GROUP_SIZE}"
        started, has_notified = time.monotonic(), False
        while True:
            try:
                connection.execute(f"ATTACH IF NOT EXISTS {quote(str(self.path))} AS warehouse ({mode})")
            except duckdb.Error as error:
                if "Could not set lock" not in str(error):
                    raise WarehouseError(f"{self.path} cannot be opened: {_describe(error)}") from None
            else:
                return
            waited = time.monotonic() - started
            if waited > self._lock_wait_seconds:
                raise WarehouseBusyError(
                    f"{self.path} is in use by another process (a run, or a tool that has it open); waited "
                    f"{self._lock_wait_seconds:.0f} s. Close it and run again; nothing was changed."
                )
            if waited > _LOCK_NOTICE_SECONDS and not has_notified:
                has_notified = True
                logger.warning(
                    "%s is in use by another process; waiting up to %.0f s for it", self.path, self._lock_wait_seconds
                )
            time.sleep(_LOCK_RETRY_SECONDS)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Excludes other processes that lock the folder. The kernel releases the lock when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _describe(error: duckdb.Error) -> str:
    """The first line of DuckDB's message, redacted, and what to do. Further lines quote values of rows."""
    reason = redact(str(error).splitlines()[0]).rstrip(".!")
    advice = ""
    if _DAMAGED.search(reason):
        advice = (
            " The file is damaged or is not a DuckDB file. Restore a good copy; or move the file away and load the "
            "days again (`ai-usage run --days N`), or set AI_USAGE_DUCKDB_PATH."
        )
    elif "storage version" in reason:
        advice = " A newer DuckDB wrote the file: use the version of this project that did."
    elif isinstance(error, duckdb.IOException) or "Could not write" in reason:
        advice = (
            " Nothing was changed. Check that the disk has space, and that the file and its folder are writable "
            "(AI_USAGE_DUCKDB_PATH)."
        )
    elif isinstance(error, duckdb.CatalogException | duckdb.BinderException) and (
        "does not exist" in reason or "not found in FROM clause" in reason
    ):
        advice = " If an earlier version of this project wrote the file, `ai-usage run` brings it up to date."
    return f"{reason}.{advice}"


def quote(text: str) -> str:
    """A string literal of DuckDB."""
    return "'" + text.replace("'", "''") + "'"
