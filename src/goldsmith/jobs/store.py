"""What everybody may do with jobs: submit, look, follow, cancel; needs no worker and no workflow engine."""

import time
from collections.abc import Collection, Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from goldsmith.jobs.model import Job, JobEvent, JobState
from goldsmith.jobs.rows import event_from_row, job_from_row, json_text, time_text
from goldsmith.jobs.tables import job, job_event
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import NotFoundError
from goldsmith.kernel.json import JsonObject

_OPEN_STATES = (JobState.QUEUED, JobState.RUNNING)


class JobStore:
    """Jobs as rows, shared by every process that opens the database."""

    def __init__(self, database: sa.Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def submit(self, kind: str, arguments: JsonObject, *, job_id: str, subject: str = "") -> Job:
        """Afterwards a job named `job_id` exists; one that was there already is returned as it is."""
        with self._database.begin() as connection:
            self.submit_in(connection, kind, arguments, job_id=job_id, subject=subject)
        return self.get(job_id)

    def submit_in(
        self,
        connection: sa.Connection,
        kind: str,
        arguments: JsonObject,
        *,
        job_id: str,
        subject: str = "",
    ) -> None:
        """`submit` within the caller's transaction: the job exists if and only if that commits."""
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(
            insert(job)
            .values(
                id=job_id,
                kind=kind,
                subject=subject,
                state=JobState.QUEUED,
                arguments=json_text(arguments),
                created_at=time_text(self._clock.now()),
                attempt=0,
                event_seq=0,
                handed=False,
                journal_deleted=False,
            )
            .on_conflict_do_nothing()
        )

    def get(self, job_id: str) -> Job:
        """Raises NotFoundError."""
        with self._database.connect() as connection:
            row = connection.execute(sa.select(job).where(job.c.id == job_id)).one_or_none()
        if row is None:
            raise NotFoundError(
                f"there is no job {job_id}", code="JobNotFound", hint="'goldsmith job list' shows the jobs"
            )
        return job_from_row(row)

    def find(
        self,
        *,
        subject: str | None = None,
        states: Collection[JobState] | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """At most `limit` jobs, newest first."""
        query = sa.select(job).order_by(job.c.created_at.desc(), job.c.id).limit(limit)
        if subject is not None:
            query = query.where(job.c.subject == subject)
        if states is not None:
            query = query.where(job.c.state.in_(states))
        with self._database.connect() as connection:
            return [job_from_row(row) for row in connection.execute(query)]

    def open_count(self) -> int:
        """How many jobs have not ended."""
        query = sa.select(sa.func.count()).select_from(job).where(job.c.state.in_(_OPEN_STATES))
        with self._database.connect() as connection:
            return connection.execute(query).scalar_one()

    def events(self, job_id: str, *, after: int = 0, limit: int = 10_000) -> list[JobEvent]:
        """The job's events with a `seq` above `after`, oldest first."""
        query = (
            sa.select(job_event)
            .where(job_event.c.job_id == job_id, job_event.c.seq > after)
            .order_by(job_event.c.seq)
            .limit(limit)
        )
        with self._database.connect() as connection:
            return [event_from_row(row) for row in connection.execute(query)]

    def follow(
        self, job_id: str, *, after: int = 0, poll_seconds: float = 0.1, cancel: Cancel | None = None
    ) -> Iterator[JobEvent]:
        """Events as they come, to the last one of a job that has ended.

        Raises NotFoundError, and what `cancel.check()` raises; neither touches the job.
        """
        stopper = cancel or NeverCancel()
        while True:
            stopper.check()
            # Read before the events: whatever an ended job emitted is in the next query.
            ended = self.get(job_id).state.ended
            events = self.events(job_id, after=after)
            for event in events:
                after = event.seq
                yield event
            if ended and not events:
                return
            if not events:
                time.sleep(poll_seconds)

    def wait(self, job_id: str, *, poll_seconds: float = 0.1, cancel: Cancel | None = None) -> Job:
        """The job once it has ended. Raises NotFoundError, and what `cancel.check()` raises."""
        stopper = cancel or NeverCancel()
        while not (found := self.get(job_id)).state.ended:
            stopper.check()
            time.sleep(poll_seconds)
        return found

    def cancel(self, job_id: str) -> Job:
        """Afterwards a queued job is canceled and a running one has been asked to stop.

        A job that has ended stays as it is. Raises NotFoundError.
        """
        now = time_text(self._clock.now())
        with self._database.begin() as connection:
            connection.execute(
                sa.update(job)
                .where(job.c.id == job_id, job.c.state == JobState.QUEUED)
                .values(state=JobState.CANCELED, finished_at=now, cancel_requested_at=now)
            )
            connection.execute(
                sa.update(job)
                .where(
                    job.c.id == job_id,
                    job.c.state == JobState.RUNNING,
                    job.c.cancel_requested_at.is_(None),
                )
                .values(cancel_requested_at=now)
            )
        return self.get(job_id)
