"""The workflow engine DBOS behind a small door: the only module that imports it.

Everything that is private in DBOS and used here was read in 3.4; `pyproject.toml` holds it below 3.5.
"""

import contextvars
import logging
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos._dbos import _get_or_create_dbos_registry
from dbos._error import DBOSBaseException, DBOSUnexpectedStepError
from dbos._serialization import DBOSPortableJSON

from goldsmith.jobs.context import JobInterruptedError
from goldsmith.kernel.errors import ConflictError, NoSpaceError
from goldsmith.kernel.json import JsonObject

# DBOS runs recovered work only under the version it was started with, by default a hash of the source.
# Ours is the version of the journal: what has changed in a job's steps shows when it is replayed.
_JOURNAL_VERSION = "1"
_APPLICATION = "goldsmith"
_QUEUE = "jobs"
_WORKFLOW = "job"
_POLL_SECONDS = 0.1


class Durable:
    """A launched DBOS that runs jobs from its queue; one per process.

    `run(job_id, attempt)` is called in a thread of its own for each claim of a job; `attempt` grows with
    every claim. It must leave the job ended, or raise JobInterruptedError to leave it for the next worker.
    """

    def __init__(
        self, database: sa.Engine, *, executor_id: str, concurrency: int, run: Callable[[str, int], None]
    ) -> None:
        self._database = database
        self._executor_id = executor_id
        self._concurrency = concurrency
        self._run = run
        self._enqueue: Callable[[str], object] | None = None

    def launch(self) -> None:
        """Creates or migrates the journal, takes up what this executor left unfinished, starts the queue."""
        _quiet()
        DBOS(config=self._config())
        # An in-memory queue: its limit is this process's own, and it is there from the first moment,
        # which the registered queues, looked up once a second, are not.
        _get_or_create_dbos_registry()._register_internal_queue(
            _QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=_POLL_SECONDS
        )

        def workflow(job_id: str) -> None:
            self._run(job_id, self._attempt(job_id))

        # No limit of recoveries here: the engine of jobs counts attempts and ends the job with an error.
        registered = DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)(workflow)
        self._enqueue = lambda job_id: DBOS.enqueue_workflow(_QUEUE, registered, job_id)
        DBOS.launch()

    def hand(self, job_id: str) -> None:
        """Puts a job into the queue; once only, however often and from wherever it is handed."""
        assert self._enqueue is not None, "hand() before launch()"
        with SetWorkflowID(job_id):
            self._enqueue(job_id)

    def step(self, name: str, function: Callable[[], JsonObject]) -> JsonObject:
        """Within `run`: the recorded value of this step, by running `function` when there is none.

        Raises JobInterruptedError when another worker has taken the job, ConflictError when another step was
        recorded in this place.
        """
        try:
            return DBOS.run_step({"name": name}, function)
        except (DBOSBaseException, NoSpaceError) as error:
            raise JobInterruptedError(str(error)) from error
        except DBOSUnexpectedStepError as error:
            raise ConflictError(
                f"the job cannot go on: at step '{name}' its record holds another step ({error})",
                code="JobRecordMismatch",
                hint="it was begun by another version of the program; submit it again as a new job",
            ) from error

    def recover(self, executor_ids: Sequence[str]) -> list[str]:
        """Queues again what lost executors left unfinished; returns the jobs' ids."""
        handles = DBOS._recover_pending_workflows(list(executor_ids))
        return [handle.get_workflow_id() for handle in handles]

    def delete(self, job_ids: Sequence[str]) -> None:
        """Deletes the recorded steps of jobs that have ended."""
        DBOS.delete_workflows(list(job_ids))

    def close(self) -> None:
        """Stops the queue and every thread of DBOS; running jobs must have returned."""
        DBOS.destroy(destroy_registry=True)

    def _attempt(self, job_id: str) -> int:
        # In an empty context, because within a workflow DBOS would record this look-up as a step.
        status = contextvars.Context().run(DBOS.get_workflow_status, job_id)
        if status is None or status.executor_id != self._executor_id:
            raise JobInterruptedError(f"job {job_id} was taken by another worker")
        assert status.recovery_attempts is not None
        return status.recovery_attempts

    def _config(self) -> DBOSConfig:
        return {
            "name": _APPLICATION,
            "system_database_engine": self._database,
            "application_version": _JOURNAL_VERSION,
            "executor_id": self._executor_id,
            "serializer": DBOSPortableJSON,
            "enable_otlp": False,
            "log_level": "ERROR",
            # Messages between workflows are not used: no listener connection, and a thread that only sleeps,
            # for this long, which stopping has to wait for.
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": _POLL_SECONDS,
            "scheduler_polling_interval_sec": 3600.0,
        }


def _quiet() -> None:
    """DBOS's messages go where ours go."""
    log = logging.getLogger("dbos")
    if not log.handlers:
        # A handler of any kind keeps it from writing to the terminal by itself.
        log.addHandler(logging.NullHandler())
    log.propagate = True
