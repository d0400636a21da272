"""One attempt at one job: call its function and record how it ended."""

import contextvars
import logging
import threading
from collections.abc import Mapping

from goldsmith.jobs.context import (
    DurableStep,
    JobCancel,
    JobFunction,
    JobInterruptedError,
    RunningContext,
)
from goldsmith.jobs.failure import error_of
from goldsmith.jobs.ledger import JobLedger
from goldsmith.jobs.model import Job, JobError, JobState, Outcome
from goldsmith.jobs.rows import json_text
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import CanceledError, Error

logger = logging.getLogger(__name__)

# A job that brings its worker down each time must not do so for ever; handovers count as well.
_ATTEMPTS_MAX = 100
_LOOK_SECONDS = 0.1


class JobRunner:
    """Runs jobs in threads that do not keep the process alive."""

    def __init__(self, kinds: Mapping[str, JobFunction], ledger: JobLedger, clock: Clock) -> None:
        self._kinds = kinds
        self._ledger = ledger
        self._clock = clock
        self._stopping = threading.Event()
        self._abandoned = threading.Event()
        self._idle = threading.Condition()
        self._active: set[str] = set()
        self._trouble: Error | None = None

    def check(self) -> None:
        """Raises what kept a job from being recorded: such a worker is of no use to anybody."""
        if self._trouble is not None:
            raise self._trouble

    def run(self, job_id: str, attempt: int, step: DurableStep) -> None:
        """Afterwards the job has ended; raises JobInterruptedError when another worker must go on with it."""
        with self._idle:
            self._active.add(job_id)
        try:
            self._run(job_id, attempt, step)
        except Error as error:
            # Not even its end could be written down: the job is left to the next worker.
            self._trouble = error
            raise JobInterruptedError(job_id) from error
        finally:
            with self._idle:
                self._active.discard(job_id)
                self._idle.notify_all()

    def stop(self, *, grace_seconds: float) -> None:
        """Interrupts the running jobs; after `grace_seconds` those that do not look are abandoned."""
        self._stopping.set()
        with self._idle:
            self._idle.wait_for(lambda: not self._active, timeout=grace_seconds)
            abandoned = sorted(self._active)
        if abandoned:
            logger.warning("these jobs did not stop when asked and are abandoned: %s", ", ".join(abandoned))
        self._abandoned.set()
        with self._idle:
            self._idle.wait_for(lambda: not self._active, timeout=10 * _LOOK_SECONDS)

    def _run(self, job_id: str, attempt: int, step: DurableStep) -> None:
        if self._stopping.is_set():
            raise JobInterruptedError(job_id)
        job = self._ledger.start(job_id, attempt=attempt)
        if job is None:
            if self._ledger.ended(job_id):
                return
            raise JobInterruptedError(job_id)
        logger.debug("job %s (%s) begins, attempt %d", job.id, job.kind, attempt)
        outcome = self._refusal(job) or self._call(job, self._kinds[job.kind], step)
        self._ledger.finish(job.id, outcome)

    def _refusal(self, job: Job) -> Outcome | None:
        """How the job ends without being run (again), or None."""
        if job.cancel_requested:
            return Outcome(state=JobState.CANCELED)
        if job.kind not in self._kinds:
            return _failed(
                JobError(
                    code="JobKindUnknown",
                    message=f"this worker knows no jobs of kind '{job.kind}', only {sorted(self._kinds)}",
                    hint="run the worker in the version of the program that submitted the job",
                )
            )
        if job.attempt > _ATTEMPTS_MAX:
            return _failed(
                JobError(
                    code="JobAbandoned",
                    message=f"the job was begun {_ATTEMPTS_MAX} times and never came to its end",
                    hint="look into the worker's log for what ends it, then submit the job anew",
                )
            )
        return None

    def _call(self, job: Job, function: JobFunction, step: DurableStep) -> Outcome:
        """The function's outcome. Raises JobInterruptedError when it was interrupted, or is abandoned."""
        context = RunningContext(
            job,
            ledger=self._ledger,
            durable_step=step,
            cancel=JobCancel(job.id, self._ledger, self._clock, self._stopping),
            clock=self._clock,
        )
        ended: list[Outcome] = []

        def body() -> None:
            try:
                ended.append(_outcome(job, function, context))
            except JobInterruptedError as interrupted:
                if isinstance(interrupted.__cause__, Error):
                    self._trouble = interrupted.__cause__

        # A daemon thread: the interpreter waits at its end for the workflow engine's threads, and one that
        # sits in a job function that does not look at its `cancel` would keep it from ending. The copied
        # context is how the workflow engine knows its workflow in the new thread.
        name = f"job-{job.id}"
        thread = threading.Thread(target=contextvars.copy_context().run, args=(body,), name=name, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            if self._abandoned.is_set() and thread.is_alive():
                raise JobInterruptedError(job.id)
        if not ended:
            raise JobInterruptedError(job.id)
        return ended[0]


def _outcome(job: Job, function: JobFunction, context: RunningContext) -> Outcome:
    """Raises JobInterruptedError when the job was interrupted."""
    try:
        result = function(context, job.arguments)
        json_text(result)
        return Outcome(state=JobState.SUCCEEDED, result=result)
    except JobInterruptedError:
        raise
    except CanceledError as error:
        return Outcome(state=JobState.CANCELED, error=error_of(error))
    except Error as error:
        return _failed(error_of(error))
    except BaseException as error:
        # The boundary of the job: also SystemExit from a careless library must end the job, not the worker.
        logger.exception("job %s (%s) failed unexpectedly", job.id, job.kind)
        return _failed(error_of(error))


def _failed(error: JobError) -> Outcome:
    return Outcome(state=JobState.FAILED, error=error)
