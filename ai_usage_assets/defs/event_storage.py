"""Dagster's event log in SQLite, with connections that stay open.

`sqlite.yaml` names the class. Dagster's own storage opens a connection and compiles every statement again for each of
the hundreds of events of a run. The files are the same, so either class can read what the other wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import StringSource
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

# The index of all runs, the current run, and a few runs that the UI shows.
_MAX_OPEN_FILES = 8
_BUSY_SECONDS = 20


class OpenSqliteEventLogStorage(SqliteEventLogStorage):
    """The event log with one open connection per recently used file.

    Overrides a private method of Dagster 1.13, because its storages have no public one to open a connection.
    """

    def __init__(self, home: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(str(Path(home) / "history" / "runs"), inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration: the folder DAGSTER_HOME."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> OpenSqliteEventLogStorage:
        """Returns the storage of a configuration in `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._open_engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _open_engine(self, shard: str) -> Engine:
        engine = self._engines.pop(shard, None) or _create_engine(self.conn_string_for_shard(shard))
        self._engines[shard] = engine
        if len(self._engines) > _MAX_OPEN_FILES:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def dispose(self) -> None:
        """Closes the files."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _create_engine(address: str) -> Engine:
    engine = create_engine(address, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:
        # With a write-ahead log, a power failure can lose the last events and damages nothing.
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine
