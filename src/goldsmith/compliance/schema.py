"""The tables of compliance states, the same on SQLite and PostgreSQL, beside those of the resource store."""

import sqlalchemy as sa

from goldsmith.resources.schema import Key, Sequence, UtcDateTime

metadata = sa.MetaData()

# One row: up to where the feed of changes and the clock have been followed. `revision` counts the writes and
# is what keeps two followers from writing over each other.
progress = sa.Table(
    "compliance_progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("clock_at", UtcDateTime),
    sa.Column("scanned_at", UtcDateTime),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# One row for each time that a definition came into force through an assignment.
policy = sa.Table(
    "compliance_policy",
    metadata,
    sa.Column("id", Sequence, primary_key=True, autoincrement=True),
    sa.Column("assignment_key", Key, nullable=False),
    sa.Column("reference_key", Key, nullable=False),
    sa.Column("definition_id", sa.Text, nullable=False),
    sa.Column("initiative_id", sa.Text),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Index("compliance_policy_key", "assignment_key", "reference_key"),
    sqlite_autoincrement=True,
)

# Ids of the resources of a type, in the order of the rows that bitmaps speak of; zstd, NUL between them.
roster = sa.Table(
    "compliance_roster",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("ids", sa.LargeBinary, nullable=False),
)

# A snapshot of one policy over one type. `first_at` is when the policy was first evaluated over the type.
unit = sa.Table(
    "compliance_unit",
    metadata,
    sa.Column("policy_id", sa.BigInteger, primary_key=True),
    sa.Column("type_key", Key, primary_key=True),
    sa.Column("roster", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("first_at", UtcDateTime, nullable=False),
    sa.Column("evaluated_at", UtcDateTime, nullable=False),
)

bitmap = sa.Table(
    "compliance_bitmap",
    metadata,
    sa.Column("policy_id", sa.BigInteger, primary_key=True),
    sa.Column("type_key", Key, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("bits", sa.LargeBinary, nullable=False),
)

# Append-only. "" stands for no state.
transition = sa.Table(
    "compliance_transition",
    metadata,
    sa.Column("seq", Sequence, primary_key=True, autoincrement=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("policy_id", sa.BigInteger, nullable=False),
    sa.Column("type_key", Key, nullable=False),
    sa.Column("resource_key", Key, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("cause_id", sa.Text, nullable=False),
    sa.Index("compliance_transition_resource", "resource_key", "policy_id", "seq"),
    sa.Index("compliance_transition_policy", "policy_id", "revision"),
    sqlite_autoincrement=True,
)

# The last counts of each day; policy 0 stands for the resources as a whole.
day_count = sa.Table(
    "compliance_day",
    metadata,
    sa.Column("policy_id", sa.BigInteger, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("counts", sa.JSON, nullable=False),
)

# What a remediation task does to each resource; the task itself is an ARM resource.
deployment = sa.Table(
    "compliance_deployment",
    metadata,
    sa.Column("remediation_key", Key, primary_key=True),
    sa.Column("resource_key", Key, primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("location", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("deployment_id", sa.Text),
    sa.Column("error", sa.JSON),
    sa.Column("changed_at", UtcDateTime, nullable=False),
)
