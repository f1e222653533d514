"""Connections to SQLite or PostgreSQL, set up so that many threads and kill -9 do no harm."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ifw.errors import ConfigError, DataDirError

_BUSY_MS: Final = 30_000
_LOCK_NAME: Final = "lock"
_VERSION: Final = sa.Table("ifw_schema", sa.MetaData(), sa.Column("version", sa.Integer, primary_key=True))
_REACHING: Final = {  # a server that does not answer is given up within seconds, not hours
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SCHEMA_LOCK: Final = 0x1F37A5C5  # advisory locks of PostgreSQL are named by numbers


class Database:
    """One database, with transactions that read and transactions that write.

    Args:
        engine: See `sqlite_engine` and `postgresql_engine`.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(ifw_reads=True)

    @property
    def is_postgresql(self) -> bool:
        """Whether several processes may share it."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that is committed at the end, or not at all."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads, and waits for no writer."""
        with self._reader.begin() as connection:
            yield connection

    def create(self, metadata: sa.MetaData, version: int) -> None:
        """Make the tables that are missing; several processes may do so at once.

        Args:
            metadata: The tables.
            version: Of their columns and what these mean.

        Raises:
            ConfigError: The tables that are there are of another version.
        """
        with self.write() as connection:
            self.lock(connection)
            _VERSION.create(connection, checkfirst=True)
            found = connection.scalar(sa.select(_VERSION.c.version))
            if found is None:
                connection.execute(sa.insert(_VERSION).values(version=version))
            elif found != version:
                raise ConfigError(
                    f"the tables of the tasks: got version {found}, allowed: {version}, which this ifw knows; "
                    "run the version of ifw that made them, or name another database or data folder"
                )
            metadata.create_all(connection)

    def lock(self, connection: sa.Connection) -> None:
        """Let no other transaction that calls this run until the end of this one."""
        if self.is_postgresql:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def insert_new(self, table: sa.Table) -> Any:
        """An INSERT that leaves rows alone that are there already."""
        if self.is_postgresql:
            return postgresql.insert(table).on_conflict_do_nothing()
        return sqlite.insert(table).on_conflict_do_nothing()

    def ping(self) -> None:
        """Have the database answer."""
        with self.read() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def sqlite_engine(path: Path, *, is_synced: bool = True, begins: bool = True) -> sa.Engine:
    """A SQLite file with a write-ahead log, in which writers wait for each other instead of failing.

    Args:
        path: The file; it is made where it does not exist.
        is_synced: Whether a commit survives a power cut; it survives the death of the process in any case.
        begins: Whether transactions are begun here; else by Python's module, before the first statement that writes.
    """
    engine = sa.create_engine(
        f"sqlite:///{path}",
        pool_size=10,
        max_overflow=40,
        pool_timeout=60,
        connect_args={"timeout": _BUSY_MS / 1000},
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None if begins else "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if is_synced else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys=ON")

    if not begins:
        return engine

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # A deferred transaction that turns from reader to writer fails at once where another one writes.
        reads = connection.get_execution_options().get("ifw_reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def postgresql_engine(url: str) -> sa.Engine:
    """A PostgreSQL database, reached through psycopg, with time limits where the URL names none."""
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    limits = {name: str(value) for name, value in _REACHING.items() if name not in parsed.query}
    return sa.create_engine(
        parsed.update_query_dict(limits),
        pool_size=10,
        max_overflow=20,
        pool_timeout=15,
        pool_pre_ping=True,
        hide_parameters=True,
    )


class DataDirLock:
    """Holds the data folder for this process, until it is released or the process ends.

    Args:
        data_dir: The folder; it is made where it does not exist.

    Raises:
        DataDirError: Another process holds it, or it cannot be written.
    """

    def __init__(self, data_dir: Path) -> None:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(data_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(
                f"data folder {data_dir}: {error.strerror}; allowed: a folder that can be written"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise DataDirError(
                f"data folder {data_dir}: another process (pid {holder}) works in it. With SQLite one process serves "
                "and works; stop it, name another folder, or set a PostgreSQL database to run several"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process have the folder; calling it twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
