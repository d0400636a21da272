"""States as snapshots and transitions, daily counts, and deployments of remediation tasks."""

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
        "compliance_progress",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("clock_at", _INSTANT),
        sa.Column("scanned_at", _INSTANT),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "compliance_policy",
        sa.Column("id", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("assignment_key", _KEY, nullable=False),
        sa.Column("reference_key", _KEY, nullable=False),
        sa.Column("definition_id", sa.Text, nullable=False),
        sa.Column("initiative_id", sa.Text),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT),
        sqlite_autoincrement=True,
    )
    op.create_index("compliance_policy_key", "compliance_policy", ["assignment_key", "reference_key"])
    op.create_table(
        "compliance_roster",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("ids", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "compliance_unit",
        sa.Column("policy_id", sa.BigInteger, primary_key=True),
        sa.Column("type_key", _KEY, primary_key=True),
        sa.Column("roster", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("first_at", _INSTANT, nullable=False),
        sa.Column("evaluated_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "compliance_bitmap",
        sa.Column("policy_id", sa.BigInteger, primary_key=True),
        sa.Column("type_key", _KEY, primary_key=True),
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("bits", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "compliance_transition",
        sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("policy_id", sa.BigInteger, nullable=False),
        sa.Column("type_key", _KEY, nullable=False),
        sa.Column("resource_key", _KEY, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("cause_id", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "compliance_transition_resource", "compliance_transition", ["resource_key", "policy_id", "seq"]
    )
    op.create_index("compliance_transition_policy", "compliance_transition", ["policy_id", "revision"])
    op.create_table(
        "compliance_day",
        sa.Column("policy_id", sa.BigInteger, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("counts", sa.JSON, nullable=False),
    )
    op.create_table(
        "compliance_deployment",
        sa.Column("remediation_key", _KEY, primary_key=True),
        sa.Column("resource_key", _KEY, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("location", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("deployment_id", sa.Text),
        sa.Column("error", sa.JSON),
        sa.Column("changed_at", _INSTANT, nullable=False),
    )
    op.execute("INSERT INTO compliance_progress (name, position, revision) VALUES ('fleet', 0, 0)")
