"""Bringing the database to the compliance tables this version of the code knows."""

import threading
from pathlib import Path

import sqlalchemy as sa

from goldsmith.kernel.errors import UnsupportedError
from goldsmith.resources.engine import begin_write

HEAD = "0001"
VERSION_TABLE = "compliance_schema"

_version = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text))
_KNOWN = ("0001",)
# Any number will do, as long as nothing else that shares the database uses it: "complian" in ASCII.
_ADVISORY_LOCK = 0x636F6D706C69616E
# Alembic keeps the migration that is running in module globals.
_alembic_lock = threading.Lock()


def migrate(engine: sa.Engine) -> None:
    """Afterwards the compliance tables are there, at version HEAD; those of the resource store must be.

    May be called again, and by several processes at once.
    Raises UnsupportedError when the database was written by a newer version of Goldsmith.
    """
    with engine.connect() as connection:
        if _found_version(connection) == HEAD:
            return
    with begin_write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        found = _found_version(connection)
        if found not in (None, *_KNOWN):
            raise UnsupportedError(
                f"the compliance tables are at schema version {found}, expected {HEAD} or older",
                hint="run the newer version of Goldsmith that wrote them, or restore an older copy",
            )
        if found != HEAD:
            _upgrade(connection)


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
