"""The tables of jobs: what is shown of them; the journal of their steps is the workflow engine's own."""

import sqlalchemy as sa

metadata = sa.MetaData()

# Times are ISO 8601 text with microseconds, in UTC: equal in both databases, and they sort as text.
job = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("started_at", sa.Text),
    sa.Column("finished_at", sa.Text),
    sa.Column("cancel_requested_at", sa.Text),
    # The worker's claim: only the newest attempt may add events.
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("event_seq", sa.Integer, nullable=False, default=0),
    # Whether the workflow engine has it, and whether the journal of its steps is gone again.
    sa.Column("handed", sa.Boolean, nullable=False, default=False),
    sa.Column("journal_deleted", sa.Boolean, nullable=False, default=False),
    sa.Index("job_by_state", "state", "created_at"),
    sa.Index("job_by_subject", "subject", "created_at"),
)

job_event = sa.Table(
    "job_event",
    metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("job.id"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    # Where in the job it was emitted: a replayed job comes past the same places again.
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("in_step", sa.Boolean, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.UniqueConstraint("job_id", "step", "in_step", "ordinal"),
)

# One row per worker process on PostgreSQL; times are the database's, in seconds.
job_worker = sa.Table(
    "job_worker",
    metadata,
    sa.Column("executor_id", sa.Text, primary_key=True),
    sa.Column("beat", sa.Float(53), nullable=False),
    sa.Column("reaped", sa.Float(53), nullable=False, default=0.0),
)
