"""The engine of jobs: look at them from any process, and run them in the one that is a worker."""

import functools
import os
import socket
import threading
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldsmith.jobs.background import Loop, beat_and_reap, delete_old_journals, hand_over
from goldsmith.jobs.context import JobFunction
from goldsmith.jobs.database import open_database
from goldsmith.jobs.heartbeat import Heartbeats
from goldsmith.jobs.ledger import JobLedger
from goldsmith.jobs.model import Job, JobEvent, JobState
from goldsmith.jobs.runner import JobRunner
from goldsmith.jobs.store import JobStore
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.clock import Clock, SystemClock
from goldsmith.kernel.errors import ConflictError
from goldsmith.kernel.json import JsonObject

if TYPE_CHECKING:
    from goldsmith.jobs.durable import Durable

_EMBEDDED_EXECUTOR = "embedded"
_PRUNE_EVERY_SECONDS = 3600.0

# The workflow engine is one per process.
_one_worker = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker works. `concurrency` jobs run at once in one process.

    On PostgreSQL a worker that has not beaten for `lost_after_seconds` loses its jobs to another.
    When a worker stops, its jobs get `grace_seconds` to notice that and clean up.
    The recorded steps of a job are kept for `journal_days` after its end; the job itself stays.
    """

    concurrency: int = 2
    hand_every_seconds: float = 0.2
    beat_every_seconds: float = 3.0
    lost_after_seconds: float = 15.0
    grace_seconds: float = 10.0
    journal_days: float = 7.0


class JobEngine:
    """Jobs in one database.

    Any number of processes submit, look and cancel. A process becomes a worker with `start()`. On SQLite
    only one may be at a time: `jobs.worker` sees to that with a lock. On PostgreSQL there may be many.
    """

    def __init__(
        self,
        database_url: str,
        *,
        kinds: Mapping[str, JobFunction],
        executor_id: str | None = None,
        clock: Clock | None = None,
        settings: WorkerSettings | None = None,
    ) -> None:
        """`executor_id` names the worker: by default a fresh one on PostgreSQL, a fixed one on SQLite."""
        self._clock = clock or SystemClock()
        self._settings = settings or WorkerSettings()
        self._kinds = kinds
        self._database = open_database(database_url, idle_seconds=self._settings.lost_after_seconds)
        self._shared = self._database.dialect.name == "postgresql"
        self._executor_id = executor_id or (_fresh_executor() if self._shared else _EMBEDDED_EXECUTOR)
        self._store = JobStore(self._database, self._clock)
        self._ledger = JobLedger(self._database, self._clock)
        self._heartbeats = Heartbeats(self._database, lost_after_seconds=self._settings.lost_after_seconds)
        self._running: _Worker | None = None

    @property
    def store(self) -> JobStore:
        """The rows themselves, for a caller who submits within a transaction of its own."""
        return self._store

    @property
    def is_worker(self) -> bool:
        return self._running is not None

    def submit(self, kind: str, arguments: JsonObject, *, job_id: str, subject: str = "") -> Job:
        """Afterwards a job named `job_id` exists and runs once; one that is there is returned as it is."""
        job = self._store.submit(kind, arguments, job_id=job_id, subject=subject)
        if self._running is not None:
            self._running.wake()
        return job

    def get(self, job_id: str) -> Job:
        """Raises NotFoundError."""
        return self._store.get(job_id)

    def find(
        self,
        *,
        subject: str | None = None,
        states: Collection[JobState] | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """At most `limit` jobs, newest first."""
        return self._store.find(subject=subject, states=states, limit=limit)

    def open_count(self) -> int:
        """How many jobs have not ended."""
        return self._store.open_count()

    def events(self, job_id: str, *, after: int = 0) -> list[JobEvent]:
        """The job's events with a `seq` above `after`, oldest first; at most 10 000."""
        return self._store.events(job_id, after=after)

    def follow(
        self, job_id: str, *, after: int = 0, poll_seconds: float = 0.1, cancel: Cancel | None = None
    ) -> Iterator[JobEvent]:
        """Events as they come, until the job has ended."""
        return self._store.follow(job_id, after=after, poll_seconds=poll_seconds, cancel=cancel)

    def wait(self, job_id: str, *, cancel: Cancel | None = None) -> Job:
        """The job once it has ended. Somebody must be the worker, or it waits for ever."""
        return self._store.wait(job_id, cancel=cancel)

    def cancel(self, job_id: str) -> Job:
        """Afterwards a queued job is canceled and a running one has been asked to stop."""
        return self._store.cancel(job_id)

    def end_canceled(self, job_id: str) -> Job:
        """Cancels also a job that stands as running although no worker has it.

        Only for a caller who knows that there is no worker, because it holds the lock.
        """
        self._store.cancel(job_id)
        self._ledger.finish_canceled(job_id)
        return self._store.get(job_id)

    def other_worker(self) -> bool:
        """On PostgreSQL, whether another process is a worker and alive; on SQLite the lock tells."""
        return self._shared and self._heartbeats.anybody(besides=self._executor_id)

    def start(self) -> None:
        """Become a worker: take up what is unfinished, then run what is queued.

        Raises ConflictError when this process is a worker already.
        """
        if not _one_worker.acquire(blocking=False):
            raise ConflictError(
                "this process already runs a worker for jobs",
                hint="stop that engine first; one process runs one worker",
            )
        try:
            self._running = self._launch()
        except BaseException:
            _one_worker.release()
            raise

    def check(self) -> None:
        """Raises what keeps this worker from recording its jobs, such as a full disk."""
        if self._running is not None:
            self._running.check()

    def stop(self) -> None:
        """Stop being a worker; unfinished jobs stay for the next. Looking at jobs goes on working."""
        if self._running is None:
            return
        running, self._running = self._running, None
        try:
            running.stop(grace_seconds=self._settings.grace_seconds)
            if self._shared:
                self._heartbeats.leave(self._executor_id)
        finally:
            _one_worker.release()

    def close(self) -> None:
        """Stops, and closes the database."""
        self.stop()
        self._database.dispose()

    def _launch(self) -> "_Worker":
        # Imported here: it takes a third of a second, which commands that only look must not pay.
        from goldsmith.jobs.durable import Durable

        runner = JobRunner(self._kinds, self._ledger, self._clock)
        durable = Durable(
            self._database,
            executor_id=self._executor_id,
            concurrency=self._settings.concurrency,
            run=lambda job_id, attempt: runner.run(job_id, attempt, durable.step),
        )
        if self._shared:
            # Before the first claim: a worker that nobody knows of could not be missed.
            self._heartbeats.beat(self._executor_id)
        try:
            durable.launch()
        except BaseException:
            durable.close()
            raise
        return _Worker(runner, durable, self._loops(durable))

    def _loops(self, durable: "Durable") -> list[Loop]:
        settings = self._settings
        hand = functools.partial(hand_over, self._ledger, durable)
        prune = functools.partial(delete_old_journals, self._ledger, durable, days=settings.journal_days)
        loops = [
            Loop(hand, every_seconds=settings.hand_every_seconds, name="jobs-hand-over"),
            Loop(prune, every_seconds=_PRUNE_EVERY_SECONDS, name="jobs-delete-journals"),
        ]
        if self._shared:
            beat = functools.partial(beat_and_reap, self._heartbeats, durable, executor_id=self._executor_id)
            loops.append(Loop(beat, every_seconds=settings.beat_every_seconds, name="jobs-heartbeat"))
        return loops


class _Worker:
    """What runs in a process while it is a worker."""

    def __init__(self, runner: JobRunner, durable: "Durable", loops: list[Loop]) -> None:
        self._runner = runner
        self._durable = durable
        self._loops = loops
        for loop in loops:
            loop.start()

    def check(self) -> None:
        self._runner.check()

    def wake(self) -> None:
        for loop in self._loops[:1]:
            loop.wake()

    def stop(self, *, grace_seconds: float) -> None:
        # The heartbeat is the last to go: until the jobs have let go, nobody may take them.
        hand, *others = self._loops
        hand.stop()
        self._runner.stop(grace_seconds=grace_seconds)
        for loop in others:
            loop.stop()
        self._durable.close()


def _fresh_executor() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
