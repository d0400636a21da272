"""What a worker does beside its jobs: hand over new ones, delete old journals, beat, reap lost workers."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from goldsmith.jobs.heartbeat import Heartbeats
from goldsmith.jobs.ledger import JobLedger

logger = logging.getLogger(__name__)

_HAND_AT_ONCE_MAX = 100
_DELETE_AT_ONCE_MAX = 200
_STOP_SECONDS_MAX = 10.0


class Journal(Protocol):
    """The part of the workflow engine that is needed here."""

    def hand(self, job_id: str) -> None: ...

    def recover(self, executor_ids: list[str]) -> list[str]: ...

    def delete(self, job_ids: list[str]) -> None: ...


class Loop:
    """Calls `work` every so often, or at once when woken, in a thread of its own, until stopped."""

    def __init__(self, work: Callable[[], None], *, every_seconds: float, name: str) -> None:
        self._work = work
        self._every_seconds = every_seconds
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(_STOP_SECONDS_MAX)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._work()
            except Exception:
                # The boundary of a thread without which the worker would only seem to be one: whatever it
                # was, most likely a database that is away, is tried again.
                logger.exception("%s failed, trying again", self._thread.name)
            self._wake.wait(self._every_seconds)
            self._wake.clear()


def hand_over(ledger: JobLedger, journal: Journal) -> None:
    """Gives new jobs to the workflow engine; a crash in between gives one twice, which is once."""
    for job_id in ledger.unhanded(_HAND_AT_ONCE_MAX):
        journal.hand(job_id)
        ledger.mark_handed(job_id)


def delete_old_journals(ledger: JobLedger, journal: Journal, *, days: float) -> None:
    while job_ids := ledger.old_journals(days=days, limit=_DELETE_AT_ONCE_MAX):
        journal.delete(job_ids)
        ledger.mark_journals_deleted(job_ids)
        logger.debug("deleted the journals of %d jobs", len(job_ids))


def beat_and_reap(heartbeats: Heartbeats, journal: Journal, *, executor_id: str) -> None:
    """Shows that this worker lives, and queues again the jobs of those that do not."""
    heartbeats.beat(executor_id)
    lost = heartbeats.lost(besides=executor_id)
    if not lost:
        return
    job_ids = journal.recover(lost)
    heartbeats.mark_reaped(lost)
    if job_ids:
        logger.warning("took over jobs of lost workers %s: %s", ", ".join(lost), ", ".join(job_ids))
