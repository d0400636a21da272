"""Jobs in one process, over SQLite and over PostgreSQL: submit, run, look, cancel, fail."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from goldsmith.jobs.context import JobContext
from goldsmith.jobs.database import open_database
from goldsmith.jobs.engine import JobEngine, WorkerSettings
from goldsmith.jobs.model import JobState
from goldsmith.kernel.errors import ConflictError, NotFoundError
from goldsmith.kernel.json import JsonObject
from tests.contract.jobs_fixtures import PATIENCE_SECONDS, eventually, lines, url
from tests.contract.jobs_worker import FAST, KINDS

__all__ = ["url"]


@pytest.fixture
def engine(url: str) -> Iterator[JobEngine]:
    found = JobEngine(url, kinds=KINDS, settings=FAST)
    yield found
    found.close()


def test_a_job_runs_its_steps_in_order_and_keeps_its_result(engine: JobEngine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine.start()
    submitted = engine.submit("five-steps", {"log": str(log)}, job_id="a", subject="/images/gold")
    assert submitted.state is JobState.QUEUED
    job = engine.wait("a")
    assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"total": 15}, 1)
    assert lines(log) == [f"{word} {number}" for number in range(1, 6) for word in ("begin", "end")]
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


def test_events_come_in_order_and_after_a_number(engine: JobEngine, tmp_path: Path) -> None:
    engine.start()
    engine.submit("five-steps", {"log": str(tmp_path / "log")}, job_id="a")
    followed = list(engine.follow("a"))
    assert [(event.name, event.data) for event in followed[:4]] == [
        ("begun", {"step": 1}),
        ("done", {"step": 1}),
        ("sum", {"total": 1}),
        ("begun", {"step": 2}),
    ]
    assert len(followed) == 15
    assert [event.seq for event in followed] == sorted({event.seq for event in followed})
    assert engine.events("a", after=followed[9].seq) == followed[10:]


def test_jobs_are_found_by_subject_and_state(engine: JobEngine) -> None:
    engine.submit("refused", {}, job_id="a", subject="x")
    engine.submit("refused", {}, job_id="b", subject="x")
    engine.submit("refused", {}, job_id="c", subject="y")
    engine.cancel("a")
    assert [job.id for job in engine.find(subject="x")] == ["b", "a"]
    assert [job.id for job in engine.find(states=[JobState.CANCELED])] == ["a"]
    assert [job.id for job in engine.find(limit=1)] == ["c"]
    assert engine.open_count() == 2


def test_an_unknown_job_is_not_found(engine: JobEngine) -> None:
    for call in (engine.get, engine.cancel, engine.wait):
        with pytest.raises(NotFoundError):
            call("absent")


def test_the_same_id_submitted_by_many_runs_once(engine: JobEngine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine.start()

    def submit(_number: int) -> str:
        return engine.submit("five-steps", {"log": str(log)}, job_id="a").id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(submit, range(16))) == {"a"}
    engine.wait("a")
    assert len(lines(log)) == 10
    again = engine.submit("refused", {}, job_id="a")
    assert (again.kind, again.state) == ("five-steps", JobState.SUCCEEDED)


def test_a_job_submitted_in_a_transaction_exists_only_if_that_commits(engine: JobEngine, url: str) -> None:
    database = open_database(url)
    for job_id, commits in (("kept", True), ("dropped", False)):
        with database.connect() as connection:
            engine.store.submit_in(connection, "refused", {}, job_id=job_id)
            if commits:
                connection.commit()
    database.dispose()
    assert [job.id for job in engine.find()] == ["kept"]


def test_an_error_is_kept_as_data(engine: JobEngine) -> None:
    engine.start()
    engine.submit("refused", {}, job_id="a")
    job = engine.wait("a")
    assert job.state is JobState.FAILED
    assert job.error is not None
    raised = job.error.as_exception()
    assert (raised.code, raised.message) == ("VersionExists", "the version exists already")
    assert raised.hint == "choose another name"
    assert raised.details == (("name", "1.2.3"), ("region", "north"))


@pytest.mark.parametrize(
    ("kind", "code", "part"),
    [
        ("defective", "InternalError", "KeyError"),
        ("exiting", "InternalError", "SystemExit"),
        ("unheard-of", "JobKindUnknown", "unheard-of"),
    ],
)
def test_what_no_job_should_do_ends_it_with_an_error(
    engine: JobEngine, kind: str, code: str, part: str
) -> None:
    engine.start()
    engine.submit(kind, {}, job_id="a")
    job = engine.wait("a")
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == code
    assert part in job.error.message


def test_a_defect_is_logged_with_its_traceback(engine: JobEngine, caplog: pytest.LogCaptureFixture) -> None:
    engine.start()
    engine.submit("defective", {}, job_id="a")
    engine.wait("a")
    assert any(record.exc_info and record.exc_info[0] is KeyError for record in caplog.records)


def test_a_result_that_is_not_json_fails_the_job(url: str) -> None:
    def odd(_context: JobContext, _arguments: JsonObject) -> JsonObject:
        return {"set": {1, 2}}

    def odd_step(context: JobContext, _arguments: JsonObject) -> JsonObject:
        context.step("set", lambda: {1, 2})  # type: ignore[arg-type,return-value]  # the mistake under test
        return {}

    def large(context: JobContext, _arguments: JsonObject) -> JsonObject:
        context.step("text", lambda: "x" * (1 << 20))
        return {}

    engine = JobEngine(url, kinds={"odd": odd, "odd-step": odd_step, "large": large}, settings=FAST)
    engine.start()
    for kind in ("odd", "odd-step", "large"):
        engine.submit(kind, {}, job_id=kind)
        assert engine.wait(kind).state is JobState.FAILED
    engine.close()


def test_a_queued_job_is_canceled_at_once_and_never_runs(engine: JobEngine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine.submit("five-steps", {"log": str(log)}, job_id="a")
    assert engine.cancel("a").state is JobState.CANCELED
    engine.start()
    engine.submit("refused", {}, job_id="b")
    engine.wait("b")
    assert engine.get("a").state is JobState.CANCELED
    assert lines(log) == []


def test_a_job_canceled_while_it_waits_for_its_turn_never_runs(engine: JobEngine, tmp_path: Path) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    engine.start()
    for job_id in ("a", "b", "c"):
        engine.submit("held", {"log": str(log), "release": str(release)}, job_id=job_id)
    eventually(lambda: len(lines(log)) == 4, "two of three jobs are in their middle step")
    waiting = engine.find(states=[JobState.QUEUED])
    assert len(waiting) == 1
    assert engine.cancel(waiting[0].id).state is JobState.CANCELED
    release.touch()
    ended = [engine.wait(job_id).state for job_id in ("a", "b", "c")]
    assert sorted(ended) == [JobState.CANCELED, JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert len(lines(log)) == 6


def test_a_running_job_stops_when_it_is_canceled(engine: JobEngine, tmp_path: Path) -> None:
    log = tmp_path / "log"
    engine.start()
    engine.submit("held", {"log": str(log), "release": str(tmp_path / "never")}, job_id="a")
    eventually(lambda: len(lines(log)) == 2, "the job is in its middle step")
    assert engine.cancel("a").cancel_requested
    job = engine.wait("a")
    assert (job.state, job.cancel_requested) == (JobState.CANCELED, False)
    assert len(lines(log)) == 2
    assert engine.cancel("a") == job


def test_two_jobs_run_at_the_same_time(url: str) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def meet(context: JobContext, _arguments: JsonObject) -> JsonObject:
        context.step("meet", lambda: meeting.wait() >= 0)
        return {}

    engine = JobEngine(url, kinds={"meet": meet}, settings=FAST)
    engine.start()
    for job_id in ("a", "b"):
        engine.submit("meet", {}, job_id=job_id)
    assert {engine.wait(job_id).state for job_id in ("a", "b")} == {JobState.SUCCEEDED}
    engine.close()


def test_a_worker_stopped_in_the_middle_leaves_the_job_to_the_next(
    engine: JobEngine, url: str, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    engine.start()
    engine.submit("held", {"log": str(log), "release": str(release)}, job_id="a")
    eventually(lambda: len(lines(log)) == 2, "the job is in its middle step")
    engine.stop()
    assert engine.get("a").state is JobState.RUNNING
    release.touch()
    next_engine = JobEngine(url, kinds=KINDS, settings=FAST)
    next_engine.start()
    job = next_engine.wait("a")
    next_engine.close()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert [line.split()[0] for line in lines(log)] == ["first", "middle", "middle", "last"]
    assert [event.name for event in engine.events("a")] == ["first", "middle", "last"]


def test_one_process_runs_one_worker(engine: JobEngine, url: str) -> None:
    engine.start()
    other = JobEngine(url, kinds=KINDS, settings=FAST)
    with pytest.raises(ConflictError):
        other.start()
    engine.stop()
    other.start()
    other.close()


def test_the_journal_of_old_jobs_is_deleted_and_the_jobs_stay(url: str, tmp_path: Path) -> None:
    engine = JobEngine(url, kinds=KINDS, settings=FAST)
    engine.start()
    engine.submit("five-steps", {"log": str(tmp_path / "log")}, job_id="a")
    engine.wait("a")
    assert journal_rows(url) == (1, 5)
    engine.stop()
    forgetful = JobEngine(url, kinds=KINDS, settings=WorkerSettings(journal_days=0.0))
    forgetful.start()
    eventually(lambda: journal_rows(url) == (0, 0), "the journal is empty")
    forgetful.close()
    assert engine.get("a").state is JobState.SUCCEEDED
    assert len(engine.events("a")) == 15
    engine.close()


def test_nothing_in_the_journal_is_pickled(engine: JobEngine, url: str, tmp_path: Path) -> None:
    engine.start()
    for kind in ("five-steps", "refused", "defective"):
        engine.submit(kind, {"log": str(tmp_path / "log")}, job_id=kind)
        engine.wait(kind)
    engine.stop()
    database, prefix = open_journal(url)
    with database.connect() as connection:
        for table in ("workflow_status", "operation_outputs"):
            query = sa.text(f"SELECT DISTINCT serialization FROM {prefix}{table}")
            assert set(connection.execute(query).scalars()) <= {"portable_json"}
    database.dispose()


def test_looking_and_submitting_load_no_workflow_engine(url: str) -> None:
    program = f"""
import sys
from goldsmith.jobs.database import open_database
from goldsmith.jobs.engine import JobEngine
import goldsmith.jobs.worker
engine = JobEngine({url!r}, kinds={{}})
engine.submit("k", {{}}, job_id="a")
engine.get("a"), engine.find(), engine.events("a"), engine.cancel("a"), list(engine.follow("a"))
engine.close()
assert "dbos" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_SECONDS)


def open_journal(url: str) -> tuple[sa.Engine, str]:
    """The database, and what stands before the names of the workflow engine's tables."""
    # Through the same driver: two SQLite libraries in one process break each other's locks.
    return open_database(url), "" if url.startswith("sqlite") else "dbos."


def journal_rows(url: str) -> tuple[int, int]:
    """How many jobs and how many steps the workflow engine keeps."""
    database, prefix = open_journal(url)
    with database.connect() as connection:
        jobs, steps = (
            connection.execute(sa.text(f"SELECT count(*) FROM {prefix}{table}")).scalar_one()
            for table in ("workflow_status", "operation_outputs")
        )
    database.dispose()
    return jobs, steps
