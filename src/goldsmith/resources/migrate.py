"""Bringing the database to the tables this version of the code knows."""

import threading
from pathlib import Path

import sqlalchemy as sa

from goldsmith.kernel.errors import UnsupportedError
from goldsmith.resources.engine import begin_write

HEAD = "0001"
VERSION_TABLE = "resource_schema"

_version = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text))
_KNOWN = ("0001",)
# Any number will do, as long as nothing else that shares the database uses it: "goldsmit" in ASCII.
_ADVISORY_LOCK = 0x676F6C64736D6974
# Alembic keeps the migration that is running in module globals.
_alembic_lock = threading.Lock()


def migrate(engine: sa.Engine) -> None:
    """Afterwards the tables of the resource store are there, at version HEAD.

    May be called again, and by several processes at once: one of them does the work, the others wait for it.
    Raises UnsupportedError when the database was written by a newer version of Goldsmith.
    """
    with engine.connect() as connection:
        # Most starts find everything in place, and need not wait for a writer to learn it.
        if engine.dialect.name == "sqlite" and _found_version(connection) == HEAD:
            return
    with begin_write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        found = _found_version(connection)
        if found not in (None, *_KNOWN):
            raise UnsupportedError(
                f"the database is at schema version {found}, expected {HEAD} or older",
                hint="run the newer version of Goldsmith that wrote it, or restore an older copy",
            )
        if found != HEAD:
            _upgrade(connection)
        if engine.dialect.name == "postgresql":
            _adopt_restored_changes(connection)


def _found_version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar()


def _upgrade(connection: sa.Connection) -> None:
    # Imported here because it costs every start of the program and is needed at the first one only.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _alembic_lock:
        command.upgrade(config, HEAD)


def _adopt_restored_changes(connection: sa.Connection) -> None:
    # A dump restored into another cluster brings transaction numbers which that cluster has not reached, and
    # the feed would hide their rows until it has. They are all committed: numbers below zero say so, and keep
    # their order.
    connection.exec_driver_sql(
        "UPDATE change SET xid = xid - 1 - (SELECT max(xid) FROM change) WHERE "
        "(SELECT max(xid) FROM change) >= (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint"
    )
