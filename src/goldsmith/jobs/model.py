"""The nouns of durable work: jobs, their events and how they failed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from goldsmith.kernel.errors import Error
from goldsmith.kernel.json import JsonObject


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """Whether nothing will change this job any more."""
        match self:
            case JobState.QUEUED | JobState.RUNNING:
                return False
            case JobState.SUCCEEDED | JobState.FAILED | JobState.CANCELED:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """How a job failed, as data: what `kernel.errors.Error` carries."""

    code: str
    message: str
    hint: str | None = None
    details: tuple[tuple[str, str], ...] = ()

    def as_exception(self) -> Error:
        """The error again, for a caller who waited for the job and wants it raised."""
        return Error(self.message, hint=self.hint, code=self.code, details=self.details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of durable work; `subject` is what it works on (a resource id, or "").

    `attempt` counts how often a worker took it up: 0 while queued, more than 1 after a crash or handover.
    `cancel_requested` holds while a running job has been asked to stop and has not stopped yet.
    """

    id: str
    kind: str
    subject: str
    state: JobState
    arguments: JsonObject
    created_at: datetime
    result: JsonObject | None = None
    error: JobError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One thing a job reported; `seq` counts up within the job, from 1, with gaps allowed."""

    seq: int
    job_id: str
    at: datetime
    name: str
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended: its state, and its result or its error."""

    state: JobState
    result: JsonObject | None = None
    error: JobError | None = None
