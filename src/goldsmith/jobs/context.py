"""What a job function is given: durable steps, progress events, and the request to stop."""

import json
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from goldsmith.jobs.failure import error_of, exception_from_json, exception_to_json
from goldsmith.jobs.ledger import JobLedger, Place
from goldsmith.jobs.model import Job
from goldsmith.jobs.rows import json_text
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.clock import Clock, parse_iso
from goldsmith.kernel.errors import CanceledError, Error
from goldsmith.kernel.json import JsonObject, JsonValue

logger = logging.getLogger(__name__)

# Step results are copied into the journal: ids and digests belong there, contents in the blob store.
_RESULT_BYTES_MAX = 1 << 20
_CANCEL_LOOK_SECONDS = 0.2


class JobInterruptedError(BaseException):
    """The worker stops or lost the job: the job is not over, another worker goes on with it.

    Not an Exception, so that a job function cannot take it for a failure of the step; like
    KeyboardInterrupt it runs `finally` clauses and must be let through.
    """


class JobContext(Protocol):
    """A job function's only way to the world of jobs.

    The function may be called again from its start after a crash. Steps that are recorded are then not run
    again: their results come from the record. So everything with an effect or a varying result belongs in a
    step, and the function must come to the same steps in the same order. Steps run one at a time, in the
    thread that called the function.
    """

    @property
    def job_id(self) -> str: ...

    @property
    def cancel(self) -> Cancel:
        """For `kernel.proc.run` and loops: raises CanceledError once somebody has canceled the job."""
        ...

    def step(self, name: str, function: Callable[[], JsonValue]) -> Any:
        """The JSON value of `function`, run at least once and recorded once.

        An Error it raises is recorded and raised, now and on every replay; any other exception becomes an
        Error with code InternalError. A step that was interrupted runs again from its start.
        """
        ...

    def emit(self, name: str, /, **data: JsonValue) -> None:
        """Reports progress; other processes can read it when this returns.

        A recorded step's events stay as they are. When an interrupted step runs again, the events of its
        first run are replaced by those of the second.
        """
        ...

    def now(self) -> datetime:
        """The time; outside of steps it is recorded, so that a replay sees the same."""
        ...


JobFunction: TypeAlias = Callable[[JobContext, JsonObject], JsonObject]

# (name of the step, what runs it and gives the value to record) → the recorded value
DurableStep: TypeAlias = Callable[[str, Callable[[], JsonObject]], JsonObject]


class JobCancel:
    """The cancel request of one job, looked up in the database at most every 0.2 s."""

    def __init__(self, job_id: str, ledger: JobLedger, clock: Clock, stopping: threading.Event) -> None:
        self._job_id = job_id
        self._ledger = ledger
        self._clock = clock
        self._stopping = stopping
        self._next_look_seconds = clock.monotonic_seconds()
        self._canceled = False

    def check(self) -> None:
        """Raises CanceledError, or JobInterruptedError when the worker is stopping."""
        if self._stopping.is_set():
            raise JobInterruptedError(self._job_id)
        if not self._canceled and self._clock.monotonic_seconds() >= self._next_look_seconds:
            self._canceled = self._ledger.cancel_requested(self._job_id)
            self._next_look_seconds = self._clock.monotonic_seconds() + _CANCEL_LOOK_SECONDS
        if self._canceled:
            raise CanceledError(f"job {self._job_id} was canceled")


class RunningContext:
    """The JobContext of one attempt at one job."""

    def __init__(
        self, job: Job, *, ledger: JobLedger, durable_step: DurableStep, cancel: Cancel, clock: Clock
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._durable_step = durable_step
        self._cancel = cancel
        self._clock = clock
        self._place_lock = threading.Lock()
        self._place = Place(step=0, in_step=False, ordinal=0)

    @property
    def job_id(self) -> str:
        return self._job.id

    @property
    def cancel(self) -> Cancel:
        return self._cancel

    def step(self, name: str, function: Callable[[], JsonValue]) -> Any:
        assert not self._place.in_step, f"step {name} was begun within another step"
        self._cancel.check()
        number = self._place.step + 1
        raised: Error | None = None

        def attempt() -> JsonObject:
            nonlocal raised
            self._enter(number, in_step=True)
            if self._job.attempt > 1:
                self._ledger.forget_step_events(self._job.id, number)
            try:
                return {"value": _checked(name, function())}
            except Error as error:
                raised = error
            except Exception as error:
                # A step is a boundary like a process: what a defect raises must be kept as data.
                logger.exception("step %s of job %s failed unexpectedly", name, self._job.id)
                kept = error_of(error)
                raised = Error(kept.message, hint=kept.hint, code=kept.code)
                raised.__cause__ = error
            return {"error": exception_to_json(raised)}

        try:
            recorded = self._durable_step(name, attempt)
        finally:
            self._enter(number, in_step=False)
        if raised is not None:
            raise raised
        if "error" in recorded:
            raise exception_from_json(recorded["error"])
        return recorded["value"]

    def emit(self, name: str, /, **data: JsonValue) -> None:
        with self._place_lock:
            place = self._place
            self._place = Place(step=place.step, in_step=place.in_step, ordinal=place.ordinal + 1)
        self._ledger.emit(self._job.id, name, data, attempt=self._job.attempt, place=place)

    def now(self) -> datetime:
        if self._place.in_step:
            return self._clock.now()
        return parse_iso(self.step("now", lambda: self._clock.now().isoformat()))

    def _enter(self, step: int, *, in_step: bool) -> None:
        with self._place_lock:
            self._place = Place(step=step, in_step=in_step, ordinal=0)


def _checked(name: str, value: JsonValue) -> JsonValue:
    """The value as a replay will see it: tuples have become lists."""
    text = json_text(value)
    if len(text) > _RESULT_BYTES_MAX:
        raise ValueError(
            f"the result of step {name} has {len(text)} bytes of JSON; at most 1 MiB is recorded"
        )
    result: JsonValue = json.loads(text)
    return result
