"""Which workers are alive, on a database that several share: each beats, and any may find another lost."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from goldsmith.jobs.tables import job_worker

# How long the row of a lost worker is kept, and how often its jobs are looked for again meanwhile:
# one that wakes up for a moment may have taken a job without having beaten.
_KEPT_SECONDS = 3600.0
_REAP_AGAIN_SECONDS = 60.0


class Heartbeats:
    """Rows of `job_worker` on PostgreSQL; all times are the database's, never a worker's own."""

    def __init__(self, database: sa.Engine, *, lost_after_seconds: float) -> None:
        self._database = database
        self._lost_after_seconds = lost_after_seconds
        self._now = sa.func.extract("epoch", sa.func.clock_timestamp())

    def beat(self, executor_id: str) -> None:
        with self._database.begin() as connection:
            connection.execute(
                postgresql.insert(job_worker)
                .values(executor_id=executor_id, beat=self._now, reaped=0.0)
                .on_conflict_do_update(
                    index_elements=["executor_id"], set_={"beat": self._now, "reaped": 0.0}
                )
            )

    def leave(self, executor_id: str) -> None:
        """The worker stops in good order: what it left unfinished may be taken over at once."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(job_worker)
                .where(job_worker.c.executor_id == executor_id)
                .values(beat=self._now - self._lost_after_seconds, reaped=0.0)
            )

    def lost(self, *, besides: str) -> list[str]:
        """Workers other than `besides` that have not beaten for long and are due to be reaped."""
        query = sa.select(job_worker.c.executor_id).where(
            job_worker.c.executor_id != besides,
            job_worker.c.beat <= self._now - self._lost_after_seconds,
            job_worker.c.reaped <= self._now - _REAP_AGAIN_SECONDS,
        )
        with self._database.connect() as connection:
            return list(connection.execute(query).scalars())

    def mark_reaped(self, executor_ids: Sequence[str]) -> None:
        lost = job_worker.c.beat <= self._now - self._lost_after_seconds
        with self._database.begin() as connection:
            connection.execute(
                sa.update(job_worker)
                .where(job_worker.c.executor_id.in_(executor_ids), lost)
                .values(reaped=self._now)
            )
            connection.execute(
                sa.delete(job_worker).where(
                    job_worker.c.reaped > 0.0, job_worker.c.beat <= self._now - _KEPT_SECONDS
                )
            )

    def anybody(self, *, besides: str) -> bool:
        """Whether any worker other than `besides` is alive."""
        query = sa.select(job_worker.c.executor_id).where(
            job_worker.c.executor_id != besides,
            job_worker.c.beat > self._now - self._lost_after_seconds,
        )
        with self._database.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None
