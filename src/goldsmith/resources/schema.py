"""The tables of the resource store, the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData()

# Ordered byte by byte on both engines, whatever the locale of the PostgreSQL cluster.
Key = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
# SQLite gives values by itself to an INTEGER primary key only.
Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An instant in UTC; SQLite keeps no time zone, so it is put back when read."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if not isinstance(value, datetime):
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


resource = sa.Table(
    "resource",
    metadata,
    sa.Column("key", Key, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("parent_key", Key, nullable=False),
    sa.Column("type_key", Key, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("location", sa.Text),
    # JSON as text on both: JSONB would change the order of members and refuse the character U+0000.
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("extra", sa.JSON, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("modified_at", UtcDateTime, nullable=False),
    sa.Column("modified_by", sa.Text, nullable=False),
    sa.Index("resource_parent", "parent_key", "key"),
    sa.Index("resource_type", "type_key", "key"),
)

# Tags once more, for filters; names are compared without case, values with it.
resource_tag = sa.Table(
    "resource_tag",
    metadata,
    sa.Column("key", Key, sa.ForeignKey("resource.key", ondelete="CASCADE"), primary_key=True),
    sa.Column("name_key", Key, primary_key=True),
    sa.Column("value", Key, nullable=False),
    sa.Index("resource_tag_value", "name_key", "value", "key"),
)

# `xid` is the writing transaction on PostgreSQL and 0 on SQLite; the feed is read in the order (xid, seq).
change = sa.Table(
    "change",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("xid", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("resource_id", sa.Text, nullable=False),
    sa.Column("resource_type", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Index("change_feed", "xid", "seq"),
    sqlite_autoincrement=True,
)
