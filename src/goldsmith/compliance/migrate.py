"""Bringing the database to the compliance tables this version of the code knows."""

from pathlib import Path

import sqlalchemy as sa

from goldsmith.resources.migrate import Tables, bring_up

HEAD = "0001"
VERSION_TABLE = "compliance_schema"

_COMPLIANCE = Tables(
    what="the part of the database with the compliance states",
    head=HEAD,
    known=("0001",),
    version_table=VERSION_TABLE,
    # "complian" in ASCII.
    lock=0x636F6D706C69616E,
    scripts=Path(__file__).with_name("migrations"),
)


def migrate(engine: sa.Engine) -> None:
    """Afterwards the compliance tables are there; those of the resource store must be.

    Raises UnsupportedError when the database was written by a newer version of Goldsmith.
    """
    bring_up(engine, _COMPLIANCE)
