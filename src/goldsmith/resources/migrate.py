"""Bringing the database to the tables this version of the code knows."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from goldsmith.kernel.errors import UnsupportedError
from goldsmith.resources.engine import begin_write

HEAD = "0001"
VERSION_TABLE = "resource_schema"

# Alembic keeps the migration that is running in module globals.
_alembic_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """One room's tables: `what` names them in messages, `scripts` is the directory with their migrations.

    `lock` is a number that nothing else which shares the database uses for an advisory lock.
    """

    what: str
    head: str
    known: tuple[str, ...]
    version_table: str
    lock: int
    scripts: Path


_RESOURCES = Tables(
    what="the database",
    head=HEAD,
    known=("0001",),
    version_table=VERSION_TABLE,
    # "goldsmit" in ASCII.
    lock=0x676F6C64736D6974,
    scripts=Path(__file__).with_name("migrations"),
)


def migrate(engine: sa.Engine) -> None:
    """Afterwards the tables of the resource store are there, at version HEAD.

    Raises as `bring_up`.
    """
    # Restored rows are looked for at each start; SQLite has nothing to look for.
    afterwards = _adopt_restored_changes if engine.dialect.name == "postgresql" else None
    bring_up(engine, _RESOURCES, afterwards=afterwards)


def bring_up(
    engine: sa.Engine, tables: Tables, *, afterwards: Callable[[sa.Connection], None] | None = None
) -> None:
    """Afterwards the tables are there, at the version that this code knows.

    May be called again, and by several processes at once: one of them does the work, the others wait for it.
    `afterwards` is done each time, in the same transaction.
    Raises UnsupportedError when the database was written by a newer version of Goldsmith.
    """
    if afterwards is None:
        with engine.connect() as connection:
            # Most starts find everything in place, and need not wait for a writer to learn it.
            if _found_version(connection, tables) == tables.head:
                return
    with begin_write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(tables.lock)))
        found = _found_version(connection, tables)
        if found not in (None, *tables.known):
            raise UnsupportedError(
                f"{tables.what} is at schema version {found}, expected {tables.head} or older",
                hint="run the newer version of Goldsmith that wrote it, or restore an older copy",
            )
        if found != tables.head:
            _upgrade(connection, tables)
        if afterwards is not None:
            afterwards(connection)


def _found_version(connection: sa.Connection, tables: Tables) -> str | None:
    if not sa.inspect(connection).has_table(tables.version_table):
        return None
    version = sa.table(tables.version_table, sa.column("version_num", sa.Text))
    return connection.execute(sa.select(version.c.version_num)).scalar()


def _upgrade(connection: sa.Connection, tables: Tables) -> None:
    # Imported here because it costs every start of the program and is needed at the first one only.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(tables.scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _alembic_lock:
        command.upgrade(config, tables.head)


def _adopt_restored_changes(connection: sa.Connection) -> None:
    # A dump restored into another cluster brings transaction numbers which that cluster has not reached, and
    # the feed would hide their rows until it has. They are all committed: numbers below zero say so, and keep
    # their order.
    connection.exec_driver_sql(
        "UPDATE change SET xid = xid - 1 - (SELECT max(xid) FROM change) WHERE "
        "(SELECT max(xid) FROM change) >= (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint"
    )
