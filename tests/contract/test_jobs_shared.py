"""Several workers on one PostgreSQL database: shared work, lost workers, workers that come back."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from goldsmith.jobs.database import open_database
from goldsmith.jobs.engine import JobEngine
from goldsmith.jobs.model import JobState
from tests.contract.jobs_fixtures import WorkerProcess, Workers, eventually, lines
from tests.contract.jobs_worker import FAST, KINDS


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def workers(tmp_path: Path, url: str) -> Iterator[Workers]:
    started = Workers(tmp_path, url)
    yield started
    started.kill_all()


@pytest.fixture
def engine(url: str) -> Iterator[JobEngine]:
    found = JobEngine(url, kinds=KINDS, settings=FAST)
    yield found
    found.close()


def serving(workers: Workers) -> WorkerProcess:
    worker = workers.serve()
    eventually(lambda: worker.notices() == ["running-here"], "the worker runs")
    return worker


def test_jobs_are_shared_among_workers_and_each_runs_once(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    both = [serving(workers), serving(workers)]
    job_ids = [f"job-{number}" for number in range(4)]
    for job_id in job_ids:
        engine.submit("held", {"log": str(log), "release": str(release)}, job_id=job_id)
    eventually(lambda: len(lines(log)) == 8, "all four are in their middle step")
    release.touch()
    assert {engine.wait(job_id).state for job_id in job_ids} == {JobState.SUCCEEDED}
    ran = Counter(line.split()[1] for line in lines(log) if line.startswith("last"))
    assert ran == {str(worker.pid): 2 for worker in both}


def test_the_jobs_of_a_killed_worker_go_on_at_another(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    lost = serving(workers)
    for job_id in ("a", "b"):
        engine.submit("held", {"log": str(log), "release": str(release)}, job_id=job_id)
    eventually(lambda: len(lines(log)) == 4, "both are in their middle step")
    heir = serving(workers)
    lost.kill()
    release.touch()
    assert {engine.wait(job_id).state for job_id in ("a", "b")} == {JobState.SUCCEEDED}
    by_heir = Counter(line.split()[0] for line in lines(log) if line.split()[1] == str(heir.pid))
    assert by_heir == {"middle": 2, "last": 2}


def test_the_jobs_of_a_worker_that_stops_in_good_order_go_on_at_another(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    leaving = serving(workers)
    engine.submit("held", {"log": str(log), "release": str(release)}, job_id="a")
    eventually(lambda: len(lines(log)) == 2, "the job is in its middle step")
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 130
    heir = serving(workers)
    release.touch()
    assert engine.wait("a").result == {"worker": heir.pid}


def test_a_worker_that_was_taken_for_dead_does_not_go_on_with_its_job(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    sleeping = serving(workers)
    engine.submit("held", {"log": str(log), "release": str(release)}, job_id="a")
    eventually(lambda: len(lines(log)) == 2, "the job is in its middle step")
    os.kill(sleeping.pid, signal.SIGSTOP)
    heir = serving(workers)
    eventually(lambda: f"middle {heir.pid}" in lines(log), "the other worker has taken the job over")
    # Both are in the middle step now; the sleeper wakes, and both may end it at the same time.
    os.kill(sleeping.pid, signal.SIGCONT)
    release.touch()
    job = engine.wait("a")
    assert (job.state, job.attempt, job.result) == (JobState.SUCCEEDED, 2, {"worker": heir.pid})
    assert [line for line in lines(log) if line.startswith("last")] == [f"last {heir.pid}"]
    assert [event.name for event in engine.events("a")] == ["first", "middle", "last"]
    # It is a good worker again, and ends when told.
    heir.kill()
    engine.submit("held", {"log": str(log), "release": str(release)}, job_id="b")
    assert engine.wait("b").result == {"worker": sleeping.pid}
    sleeping.signal(signal.SIGTERM)
    assert sleeping.wait() == 130


def test_a_job_survives_the_loss_of_every_connection(
    engine: JobEngine, workers: Workers, url: str, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    serving(workers)
    engine.submit("held", {"log": str(log), "release": str(release)}, job_id="a")
    eventually(lambda: len(lines(log)) == 2, "the job is in its middle step")
    database = open_database(url)
    with database.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(sa.text(f"{others} AND datname = current_database()"))
    database.dispose()
    release.touch()
    job = engine.wait("a")
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
    assert len(lines(log)) == 3
