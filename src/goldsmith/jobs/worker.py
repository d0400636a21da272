"""Who runs the jobs: one process owns a state directory's; others hand theirs to it and follow."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from goldsmith.jobs.engine import JobEngine
from goldsmith.jobs.model import Job, JobEvent
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import CanceledError
from goldsmith.kernel.files import FileLock

_POLL_SECONDS = 0.03


class Ownership(Protocol):
    """The right to run jobs. `kernel.files.FileLock` is one."""

    def try_acquire(self) -> bool: ...

    def release(self) -> None: ...

    def owner(self) -> int | None:
        """The process that holds it, where that is known."""
        ...


class SharedOwnership:
    """On PostgreSQL everybody may run jobs; a command becomes a worker only while there is none."""

    def __init__(self, engine: JobEngine) -> None:
        self._engine = engine

    def try_acquire(self) -> bool:
        return not self._engine.other_worker()

    def release(self) -> None:
        return None

    def owner(self) -> int | None:
        return None


class NoticeKind(StrEnum):
    RUNNING_HERE = "running-here"
    HANDED_OVER = "handed-over"
    TAKEN_OVER = "taken-over"
    STAYING = "staying"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a command should tell its user about where the job runs.

    `owner` is the process a job was handed to, where known; `open_jobs` how many a finished command still
    stays for, because others handed them to it.
    """

    kind: NoticeKind
    owner: int | None = None
    open_jobs: int = 0


def state_ownership(state_directory: Path) -> FileLock:
    """The lock of a state directory's embedded jobs."""
    return FileLock(state_directory / "jobs.lock")


def run_or_follow(
    engine: JobEngine,
    ownership: Ownership,
    job_id: str,
    *,
    on_event: Callable[[JobEvent], None] = lambda _: None,
    on_notice: Callable[[Notice], None] = lambda _: None,
    cancel: Cancel | None = None,
) -> Job:
    """The submitted job once it has ended, run by this process or by the one that owns the jobs.

    If the owner dies or leaves meanwhile, this process takes over. As the owner it returns only when every
    open job has ended. What `cancel.check()` raises ends the call and leaves unfinished jobs to the next
    owner; to cancel the job itself call `engine.cancel`.
    """
    stopper = cancel or NeverCancel()
    seen = 0
    told = False
    owning = False
    try:
        while True:
            ended = engine.get(job_id).state.ended
            for event in engine.events(job_id, after=seen):
                seen = event.seq
                on_event(event)
            if ended:
                break
            stopper.check()
            engine.check()
            if not owning and ownership.try_acquire():
                owning = True
                on_notice(Notice(kind=NoticeKind.TAKEN_OVER if told else NoticeKind.RUNNING_HERE))
                engine.start()
            elif not owning and not told:
                on_notice(Notice(kind=NoticeKind.HANDED_OVER, owner=ownership.owner()))
            told = True
            time.sleep(_POLL_SECONDS)
        if owning:
            _stay(engine, stopper, on_notice)
        return engine.get(job_id)
    finally:
        if owning:
            engine.stop()
            ownership.release()


def serve(
    engine: JobEngine,
    ownership: Ownership,
    *,
    cancel: Cancel,
    on_notice: Callable[[Notice], None] = lambda _: None,
) -> None:
    """Run jobs until `cancel` says stop; waits first for a command that owns them to finish.

    Unfinished jobs stay for the next owner.
    """
    owning = False
    try:
        told = False
        while not (owning := ownership.try_acquire()):
            if not told:
                on_notice(Notice(kind=NoticeKind.HANDED_OVER, owner=ownership.owner()))
                told = True
            cancel.check()
            time.sleep(_POLL_SECONDS)
        on_notice(Notice(kind=NoticeKind.RUNNING_HERE))
        engine.start()
        while True:
            cancel.check()
            time.sleep(_POLL_SECONDS)
    except CanceledError:
        return
    finally:
        if owning:
            engine.stop()
            ownership.release()


def cancel_job(engine: JobEngine, ownership: Ownership, job_id: str) -> Job:
    """Cancels a job; one whose worker is gone ends at once, one that runs when it has noticed."""
    job = engine.cancel(job_id)
    if job.state.ended or not ownership.try_acquire():
        return job
    try:
        return engine.end_canceled(job_id)
    finally:
        ownership.release()


def _stay(engine: JobEngine, cancel: Cancel, on_notice: Callable[[Notice], None]) -> None:
    told = 0
    # On a shared database the jobs are no more ours than another worker's.
    while (open_jobs := engine.open_count()) and not engine.other_worker():
        if open_jobs != told:
            on_notice(Notice(kind=NoticeKind.STAYING, open_jobs=open_jobs))
            told = open_jobs
        try:
            cancel.check()
        except CanceledError:
            # Our own job is done: only the others' are given up.
            return
        time.sleep(_POLL_SECONDS)
