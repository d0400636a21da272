"""Opening a database: SQLite in a file, or PostgreSQL; knows nothing of what is kept in it."""

import contextlib
import importlib
import json
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from goldsmith.kernel.errors import InvalidInputError, UnsupportedError

_BUSY_SECONDS = 30
_WAL_ATTEMPTS = 100
_WAL_PAUSE_SECONDS = 0.05
# Before 3.42 `unixepoch('subsec')` is NULL, which the durable-work engine on the same file trips over.
_SQLITE_MIN = (3, 45)

# Python writes NaN and Infinity by default; they are not JSON and PostgreSQL refuses them.
to_json = partial(json.dumps, allow_nan=False, separators=(",", ":"))


def open_engine(url: str) -> sa.Engine:
    """An engine for `sqlite:///relative/or//absolute/path` or `postgresql://user@host/database`.

    SQLite runs in WAL mode with synchronous=NORMAL: an acknowledged write survives the death of the process
    however it dies; a power cut may take the last few, never the file. Its connections may pass between
    threads. PostgreSQL runs at READ COMMITTED.
    Raises InvalidInputError for another kind of database or one in memory.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise InvalidInputError(f"'{url}' is not a database URL", hint=_URL_HINT) from error
    match parsed.get_backend_name():
        case "sqlite":
            return _open_sqlite(parsed)
        case "postgresql":
            return sa.create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                isolation_level="READ COMMITTED",
                json_serializer=to_json,
                max_overflow=30,
                pool_pre_ping=True,
                pool_size=10,
            )
        case other:
            raise InvalidInputError(f"no database of kind '{other}' is supported", hint=_URL_HINT)


@contextlib.contextmanager
def begin_write(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that will write: committed at the end of the block, rolled back if it raises.

    On SQLite it holds the write lock from its start, so what it reads stays true until it commits.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def is_transient(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction, run again, may well succeed: it met another one."""
    state = getattr(error.orig, "sqlstate", None)
    # PostgreSQL appendix A: 40001 serialization_failure, 40P01 deadlock_detected.
    return state in ("40001", "40P01") or "database is locked" in str(error.orig)


_URL_HINT = "expected sqlite:///path/to/file or postgresql://user@host/database"


def _open_sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise InvalidInputError(f"'{url}' does not name a database file", hint=_URL_HINT)
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url.set(drivername="sqlite"),
        module=_sqlite_module(),
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
        json_serializer=to_json,
        max_overflow=30,
        pool_size=10,
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _sqlite_module() -> ModuleType:
    if sqlite3.sqlite_version_info >= _SQLITE_MIN:
        return importlib.import_module("sqlite3.dbapi2")
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError as error:
        wanted = ".".join(map(str, _SQLITE_MIN))
        raise UnsupportedError(
            f"Python's SQLite is {sqlite3.sqlite_version}, expected {wanted} or newer",
            hint="install the package pysqlite3, which brings its own SQLite",
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The durable-work engine shares this database and wants the driver's own transactions, begun with the
    # write lock; anything else fails in its migrations.
    connection.isolation_level = "IMMEDIATE"
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()


def _use_wal(cursor: Any) -> None:
    # Turning WAL on needs the file alone and does not wait for it, whatever the busy timeout.
    for attempt in range(_WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            mode = str(cursor.fetchone()[0])
        except Exception as error:
            # The driver is one of two modules, so its error class has no one name here.
            if type(error).__name__ != "OperationalError" or attempt == _WAL_ATTEMPTS - 1:
                raise
        else:
            if mode == "wal":
                return
        time.sleep(_WAL_PAUSE_SECONDS)
    raise UnsupportedError(
        "SQLite could not turn on its write-ahead log",
        hint="keep the database on a local file system, or use PostgreSQL",
    )
