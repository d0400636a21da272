"""What a worker writes about the jobs it runs; every call survives a restart of the database server."""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from goldsmith.jobs.failure import error_to_json
from goldsmith.jobs.model import Job, JobState, Outcome
from goldsmith.jobs.rows import job_from_row, json_text, time_text
from goldsmith.jobs.tables import job, job_event
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import UnavailableError
from goldsmith.kernel.json import JsonObject

logger = logging.getLogger(__name__)

_RETRY_SECONDS_MAX = 60.0
_RETRY_EVERY_SECONDS = 0.5

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a job an event is emitted: in or after which step (0: before the first), as which one."""

    step: int
    in_step: bool
    ordinal: int


def _patient(method: Callable[P, R]) -> Callable[P, R]:
    """Repeats a call that found the database away; each of them may be repeated without harm."""

    @functools.wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        deadline = time.monotonic() + _RETRY_SECONDS_MAX
        while True:
            try:
                return method(*arguments, **named)
            except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"the database of jobs did not answer for {_RETRY_SECONDS_MAX:.0f} seconds: {error}",
                        hint="start the database server again, then the job",
                    ) from error
                logger.info("the database of jobs did not answer, trying again: %s", error)
                time.sleep(_RETRY_EVERY_SECONDS)

    return call


class JobLedger:
    def __init__(self, database: sa.Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._insert = postgresql.insert if database.dialect.name == "postgresql" else sqlite.insert

    @_patient
    def unhanded(self, limit: int) -> list[str]:
        """Queued jobs the workflow engine has not been given yet, oldest first."""
        query = (
            sa.select(job.c.id)
            .where(job.c.state == JobState.QUEUED, job.c.handed.is_(False))
            .order_by(job.c.created_at, job.c.id)
            .limit(limit)
        )
        with self._database.connect() as connection:
            return list(connection.execute(query).scalars())

    @_patient
    def mark_handed(self, job_id: str) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.update(job).where(job.c.id == job_id).values(handed=True))

    @_patient
    def start(self, job_id: str, *, attempt: int) -> Job | None:
        """The job, now running as `attempt`; None when it has ended or a later attempt has begun."""
        now = time_text(self._clock.now())
        with self._database.begin() as connection:
            row = connection.execute(
                sa.update(job)
                .where(
                    job.c.id == job_id,
                    job.c.state.in_((JobState.QUEUED, JobState.RUNNING)),
                    # Equal when this very call is repeated after a lost answer.
                    job.c.attempt <= attempt,
                )
                .values(
                    state=JobState.RUNNING,
                    attempt=attempt,
                    started_at=sa.func.coalesce(job.c.started_at, now),
                )
                .returning(job)
            ).one_or_none()
        return job_from_row(row) if row is not None else None

    @_patient
    def ended(self, job_id: str) -> bool:
        """Whether the job has ended; one that does not exist has."""
        query = sa.select(job.c.state).where(job.c.id == job_id)
        with self._database.connect() as connection:
            state = connection.execute(query).scalar_one_or_none()
        return state is None or JobState(state).ended

    @_patient
    def finish(self, job_id: str, outcome: Outcome) -> None:
        """Records how the job ended, unless that is recorded already."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(job)
                .where(job.c.id == job_id, job.c.state == JobState.RUNNING)
                .values(
                    state=outcome.state,
                    result=json_text(outcome.result) if outcome.result is not None else None,
                    error=json_text(error_to_json(outcome.error)) if outcome.error is not None else None,
                    finished_at=time_text(self._clock.now()),
                )
            )

    def finish_canceled(self, job_id: str) -> None:
        self.finish(job_id, Outcome(state=JobState.CANCELED))

    @_patient
    def emit(self, job_id: str, name: str, data: JsonObject, *, attempt: int, place: Place) -> None:
        """Adds an event, unless the job came past this place before or a later attempt has begun.

        The number comes from the job's row: its lock makes a job's events commit in the order of their
        numbers, so that a reader who asks for "after n" misses none.
        """
        with self._database.begin() as connection:
            seq = connection.execute(
                sa.update(job)
                .where(job.c.id == job_id, job.c.attempt == attempt)
                .values(event_seq=job.c.event_seq + 1)
                .returning(job.c.event_seq)
            ).scalar_one_or_none()
            if seq is None:
                return
            connection.execute(
                self._insert(job_event)
                .values(
                    job_id=job_id,
                    seq=seq,
                    at=time_text(self._clock.now()),
                    name=name,
                    data=json_text(data),
                    step=place.step,
                    in_step=place.in_step,
                    ordinal=place.ordinal,
                )
                .on_conflict_do_nothing()
            )

    @_patient
    def forget_step_events(self, job_id: str, step: int) -> None:
        """Drops what an interrupted run of a step emitted, because the step runs again."""
        with self._database.begin() as connection:
            connection.execute(
                sa.delete(job_event).where(
                    job_event.c.job_id == job_id, job_event.c.step == step, job_event.c.in_step.is_(True)
                )
            )

    @_patient
    def cancel_requested(self, job_id: str) -> bool:
        query = sa.select(job.c.cancel_requested_at).where(job.c.id == job_id)
        with self._database.connect() as connection:
            return connection.execute(query).scalar_one_or_none() is not None

    @_patient
    def old_journals(self, *, days: float, limit: int) -> list[str]:
        """Jobs that ended more than `days` ago and whose steps are still in the journal."""
        before = time_text(self._clock.now() - timedelta(days=days))
        query = (
            sa.select(job.c.id)
            .where(job.c.finished_at < before, job.c.journal_deleted.is_(False))
            .order_by(job.c.finished_at)
            .limit(limit)
        )
        with self._database.connect() as connection:
            return list(connection.execute(query).scalars())

    @_patient
    def mark_journals_deleted(self, job_ids: Sequence[str]) -> None:
        with self._database.begin() as connection:
            connection.execute(sa.update(job).where(job.c.id.in_(job_ids)).values(journal_deleted=True))
