"""Jobs among processes that are killed, stopped, canceled and race, over SQLite and over PostgreSQL."""

import functools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.jobs.engine import JobEngine
from goldsmith.jobs.model import JobState
from goldsmith.jobs.worker import cancel_job, state_ownership
from tests.contract.jobs_fixtures import Workers, alive, eventually, lines, sqlite_url, url, workers
from tests.contract.jobs_worker import FAST, KINDS

__all__ = ["sqlite_url", "url", "workers"]


@pytest.fixture
def engine(url: str) -> Iterator[JobEngine]:
    """Looks on from the test's process; it is never a worker."""
    found = JobEngine(url, kinds=KINDS, settings=FAST)
    yield found
    found.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_in_each_step_goes_on_at_that_step(
    engine: JobEngine, workers: Workers, tmp_path: Path, when: str
) -> None:
    log = tmp_path / "log"
    arguments = {"log": str(log), "kill": when}
    for _ in range(5):
        assert workers.run("a", "five-steps", **arguments).wait() == -signal.SIGKILL
        assert engine.get("a").state is JobState.RUNNING
    last = workers.run("a", "five-steps", **arguments)
    assert last.wait() == 0
    assert last.told[-1] == {"state": "succeeded", "result": {"total": 15}, "attempt": 6}
    begun = [line for line in lines(log) if line.startswith("begin")]
    assert begun == [f"begin {number}" for number in range(1, 6) for _ in range(2)]
    assert_events_once(engine, steps=5)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
def test_a_job_survives_kills_at_any_instant(
    engine: JobEngine, workers: Workers, tmp_path: Path, kills: int
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    instants = random.Random(seed)
    log = tmp_path / "log"
    steps = 5 + 6 * kills
    arguments = {"log": str(log), "steps": steps, "step_seconds": 0.1}
    for number in range(kills):
        worker, so_far = workers.run("a", "five-steps", **arguments), len(lines(log))
        if number % 4 == 3:
            # Somewhere in its start.
            time.sleep(instants.uniform(0.2, 1.0))
        else:
            eventually(functools.partial(grown, log, so_far), "the job goes on")
            time.sleep(instants.uniform(0.0, 0.4))
        worker.kill()
    last = workers.run("a", "five-steps", **arguments)
    assert last.wait() == 0
    job = engine.get("a")
    assert (job.state, job.result) == (JobState.SUCCEEDED, {"total": steps * (steps + 1) // 2})
    assert job.attempt > kills * 3 // 4
    begun = [int(line.split()[1]) for line in lines(log) if line.startswith("begin")]
    assert begun == sorted(begun)
    assert set(begun) == set(range(1, steps + 1))
    assert len(begun) <= steps + kills
    assert_events_once(engine, steps=steps)


def test_a_recorded_failure_is_raised_again_as_what_it_was(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    assert workers.run("a", "repaired", log=str(log)).wait() == -signal.SIGKILL
    assert workers.run("a", "repaired", log=str(log)).wait() == 0
    job = engine.get("a")
    assert job.result is not None
    assert job.result["caught"] == {
        "returncode": 3,
        "tail": "no room",
        "argv": ["sh", "-c", "echo no room >&2; exit 3"],
    }
    assert lines(log) == ["fail"]
    assert job.started_at is not None
    assert job.finished_at is not None
    # The time a job asked for is recorded too: it is that of the first attempt.
    assert job.started_at.isoformat() <= job.result["begun_at"] <= job.finished_at.isoformat()


def test_two_commands_at_once_run_both_jobs_once(workers: Workers, url: str, tmp_path: Path) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    arguments = {"log": str(log), "release": str(release)}
    both = [workers.run(job_id, "held", **arguments) for job_id in ("a", "b")]
    eventually(lambda: len(lines(log)) == 4, "both jobs are in their middle step")
    release.touch()
    assert [worker.wait() for worker in both] == [0, 0]
    assert Counter(line.split()[0] for line in lines(log)) == {"first": 2, "middle": 2, "last": 2}
    for worker in both:
        names = [line["event"] for line in worker.told if "event" in line]
        assert names == ["first", "middle", "last"]
        assert worker.errors == ""
    if not url.startswith("sqlite"):
        # On a shared database each of them may have become a worker.
        return
    owner, follower = sorted(both, key=lambda worker: worker.notices()[0] != "running-here")
    assert {line.split()[1] for line in lines(log)} == {str(owner.pid)}
    assert follower.told[0] == {"notice": "handed-over", "owner": owner.pid, "open_jobs": 0}


def test_one_id_submitted_by_two_commands_runs_once(workers: Workers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [workers.run("a", "five-steps", log=str(log)) for _ in range(2)]
    assert [worker.wait() for worker in both] == [0, 0]
    assert len(lines(log)) == 10
    assert both[0].told[-1] == both[1].told[-1]


def test_a_follower_takes_over_when_the_owner_is_killed(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    arguments = {"log": str(log), "release": str(release)}
    owner = workers.run("a", "held", **arguments)
    eventually(lambda: len(lines(log)) == 2, "the first job is in its middle step")
    follower = workers.run("b", "held", **arguments)
    eventually(lambda: len(lines(log)) == 4, "the second job is, too")
    assert follower.notices() == ["handed-over"]
    owner.kill()
    eventually(lambda: "taken-over" in follower.notices(), "the follower has taken over")
    release.touch()
    assert follower.wait() == 0
    # It stays for the job it inherited.
    assert [engine.get(job_id).state for job_id in ("a", "b")] == [JobState.SUCCEEDED] * 2
    ran = Counter((line.split()[0], line.split()[1] == str(follower.pid)) for line in lines(log))
    assert ran[("first", True)] == 0
    assert ran[("last", True)] == 2
    assert [event.name for event in engine.events("a")] == ["first", "middle", "last"]


def test_an_owner_stays_for_jobs_handed_to_it(engine: JobEngine, workers: Workers, tmp_path: Path) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    first, second = tmp_path / "release-first", release
    owner = workers.run("a", "held", log=str(log), release=str(first))
    eventually(lambda: len(lines(log)) == 2, "the first job is in its middle step")
    follower = workers.run("b", "held", log=str(log), release=str(second))
    eventually(lambda: len(lines(log)) == 4, "the second job is, too")
    first.touch()
    eventually(lambda: "staying" in owner.notices(), "the owner says that it stays")
    second.touch()
    assert owner.wait() == 0
    assert follower.wait() == 0
    assert engine.open_count() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_its_job_and_nothing_running(
    engine: JobEngine, workers: Workers, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    worker = workers.run("a", "sleeper", log=str(log))
    eventually(lambda: len(lines(log)) == 1, "the program runs")
    worker.signal(number)
    assert worker.wait() == 130
    assert worker.errors == ""
    assert not alive(int(lines(log)[0]))
    assert engine.get("a").state is JobState.RUNNING
    second = workers.run("a", "sleeper", log=str(log))
    eventually(lambda: len(lines(log)) == 2, "the program runs again")
    engine.cancel("a")
    assert second.wait() == 0


def test_a_job_canceled_from_another_process_stops_its_program(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    worker = workers.run("a", "sleeper", log=str(log))
    eventually(lambda: len(lines(log)) == 1, "the program runs")
    asked = time.monotonic()
    engine.cancel("a")
    eventually(lambda: not alive(int(lines(log)[0])), "the program is gone")
    print(f"gone {time.monotonic() - asked:.2f} s after the request")
    assert worker.wait() == 0
    assert engine.get("a").state is JobState.CANCELED


def test_a_program_dies_with_its_worker(workers: Workers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = workers.run("a", "sleeper", log=str(log))
    eventually(lambda: len(lines(log)) == 1, "the program runs")
    worker.kill()
    eventually(lambda: not alive(int(lines(log)[0])), "the program is gone")


def test_a_job_canceled_while_its_worker_is_dead_does_not_run_again(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    worker = workers.run("a", "sleeper", log=str(log))
    eventually(lambda: len(lines(log)) == 1, "the program runs")
    worker.kill()
    engine.cancel("a")
    second = workers.run("a", "sleeper", log=str(log))
    assert second.wait() == 0
    assert second.told[-1]["state"] == "canceled"
    assert len(lines(log)) == 1


def test_a_job_that_never_looks_does_not_keep_its_process(workers: Workers, tmp_path: Path) -> None:
    log = tmp_path / "log"
    worker = workers.run("a", "stubborn", log=str(log))
    eventually(lambda: len(lines(log)) == 1, "the job has begun")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 130
    assert "abandoned" in worker.errors


def test_a_served_state_directory_takes_jobs_and_stops_when_told(
    engine: JobEngine, workers: Workers, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    server = workers.serve()
    eventually(lambda: server.notices() == ["running-here"], "the server runs jobs")
    command = workers.run("a", "five-steps", log=str(log))
    assert command.wait() == 0
    assert command.notices() == ["handed-over"]
    server.signal(signal.SIGTERM)
    assert server.wait() in (0, 130)
    assert engine.get("a").state is JobState.SUCCEEDED


def test_canceling_a_job_nobody_runs_ends_it_at_once(sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    workers = Workers(tmp_path, sqlite_url)
    worker = workers.run("a", "sleeper", log=str(log))
    eventually(lambda: len(lines(log)) == 1, "the program runs")
    engine = JobEngine(sqlite_url, kinds=KINDS)
    worker.signal(signal.SIGSTOP)
    assert cancel_job(engine, state_ownership(tmp_path), "a").state is JobState.RUNNING
    worker.kill()
    assert cancel_job(engine, state_ownership(tmp_path), "a").state is JobState.CANCELED
    engine.close()
    again = workers.run("a", "sleeper", log=str(log))
    assert again.wait() == 0
    assert len(lines(log)) == 1


def grown(path: Path, count: int) -> bool:
    return len(lines(path)) > count


def assert_events_once(engine: JobEngine, *, steps: int) -> None:
    """Of each step exactly one "begun", one "done" and one "sum", in order."""
    told = [(event.name, event.data) for event in engine.events("a")]
    expected: list[tuple[str, dict[str, int]]] = []
    for number in range(1, steps + 1):
        expected += [
            ("begun", {"step": number}),
            ("done", {"step": number}),
            ("sum", {"total": number * (number + 1) // 2}),
        ]
    assert told == expected
