"""Opening the database of jobs: SQLite in a state directory, or PostgreSQL."""

import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from goldsmith.jobs.tables import metadata
from goldsmith.kernel.errors import NoSpaceError

# The first SQLite with every function the workflow engine calls, and with the fixes to its WAL mode.
_SQLITE_MINIMUM = (3, 45)
_BUSY_MILLISECONDS = 30_000
# Any constant will do: it keeps two processes from creating the tables at the same time.
_CREATE_LOCK = 0x676F6C64


def open_database(url: str, *, idle_seconds: float = 15.0) -> sa.Engine:
    """An engine for `sqlite:///path` or `postgresql://...`, its tables created when absent.

    On PostgreSQL a transaction of a process that hangs is ended after `idle_seconds`, with its locks.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _open_sqlite(parsed)
    else:
        engine = _open_postgresql(parsed, idle_seconds)
    _create_tables(engine)
    return engine


def _open_sqlite(url: sa.URL) -> sa.Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, module=_sqlite_module())

    def configure(connection: Any, _record: object) -> None:
        # The driver begins each writing transaction itself, with the write lock, so that a reader
        # that turns writer cannot fail half way.
        connection.isolation_level = "IMMEDIATE"
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}")
        connection.execute("PRAGMA journal_mode=WAL")
        # In WAL mode a commit survives the death of the process; only a loss of power may undo the last
        # ones, and then their steps run again.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    sa.event.listen(engine, "connect", configure)
    sa.event.listen(engine, "handle_error", _raise_if_full)
    return engine


def _raise_if_full(context: sa.ExceptionContext) -> None:
    # SQLITE_FULL is told by this text alone. As one of our errors it is neither retried nor a defect.
    if "database or disk is full" in str(context.original_exception):
        raise NoSpaceError(
            "no room left on the file system of the database of jobs",
            hint="free some room or point GOLDSMITH_STATE at another disk, then run it again",
        ) from context.original_exception


def _open_postgresql(url: sa.URL, idle_seconds: float) -> sa.Engine:
    # Pinged before use: a restart of the server must not fail the work that was waiting.
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)

    def configure(connection: Any, _record: object) -> None:
        # A worker that was stopped within a transaction would keep others from the very rows by which
        # they take its jobs over.
        milliseconds = int(idle_seconds * 1000)
        connection.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
        connection.commit()

    sa.event.listen(engine, "connect", configure)
    return engine


def _sqlite_module() -> ModuleType:
    if sqlite3.sqlite_version_info >= _SQLITE_MINIMUM:
        return sqlite3
    from pysqlite3 import dbapi2

    module: ModuleType = dbapi2
    return module


def _create_tables(engine: sa.Engine) -> None:
    if all(sa.inspect(engine).has_table(name) for name in metadata.tables):
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATE_LOCK)))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        metadata.create_all(connection)
