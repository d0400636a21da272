"""Resources, their tags and the change feed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_KEY = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "resource",
        sa.Column("key", _KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("parent_key", _KEY, nullable=False),
        sa.Column("type_key", _KEY, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("location", sa.Text),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("properties", sa.JSON, nullable=False),
        sa.Column("extra", sa.JSON, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("modified_at", _INSTANT, nullable=False),
        sa.Column("modified_by", sa.Text, nullable=False),
    )
    op.create_index("resource_parent", "resource", ["parent_key", "key"])
    op.create_index("resource_type", "resource", ["type_key", "key"])
    op.create_table(
        "resource_tag",
        sa.Column("key", _KEY, sa.ForeignKey("resource.key", ondelete="CASCADE"), primary_key=True),
        sa.Column("name_key", _KEY, primary_key=True),
        sa.Column("value", _KEY, nullable=False),
    )
    op.create_index("resource_tag_value", "resource_tag", ["name_key", "value", "key"])
    # The transaction that writes a row names itself: readers then know which rows may still be joined by
    # earlier ones.
    on_postgresql = op.get_context().dialect.name == "postgresql"
    transaction = "(pg_current_xact_id()::text)::bigint" if on_postgresql else "0"
    op.create_table(
        "change",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("xid", sa.BigInteger, nullable=False, server_default=sa.text(transaction)),
        sa.Column("resource_id", sa.Text, nullable=False),
        sa.Column("resource_type", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("change_feed", "change", ["xid", "seq"])
