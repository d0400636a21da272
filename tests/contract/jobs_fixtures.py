"""Worker processes and waiting, for the tests of jobs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE_SECONDS = 120.0
_PROGRAM = Path(__file__).with_name("jobs_worker.py")


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def alive(process_id: int) -> bool:
    """Whether it runs; a zombie that nobody has reaped does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class WorkerProcess:
    """A run of jobs_worker.py; what it tells is in `told`, one JSON object a line."""

    def __init__(self, directory: Path, url: str, *words: str) -> None:
        number = len(list(directory.glob("worker-*.out")))
        self._out = directory / f"worker-{number}.out"
        self._err = directory / f"worker-{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), url, str(directory), *words], stdout=out, stderr=err
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in lines(self._out)]

    @property
    def errors(self) -> str:
        return self._err.read_text()

    def notices(self) -> list[str]:
        return [line["notice"] for line in self.told if "notice" in line]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def wait(self) -> int:
        """Its exit status, when it has ended by itself."""
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            # Makes the worker's threads visible in the failure report.
            raise AssertionError(f"the worker did not end; it said:\n{self.errors}") from None

    def poll(self) -> int | None:
        return self._process.poll()


class Workers:
    """Starts worker processes over one database and state directory."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self._url = url
        self._started: list[WorkerProcess] = []

    def run(self, job_id: str, kind: str, **arguments: object) -> WorkerProcess:
        return self._start("run", job_id, kind, json.dumps(arguments))

    def serve(self) -> WorkerProcess:
        return self._start("serve")

    def kill_all(self) -> None:
        for worker in self._started:
            if worker.poll() is None:
                os.kill(worker.pid, signal.SIGCONT)
                worker.kill()

    def _start(self, *words: str) -> WorkerProcess:
        worker = WorkerProcess(self._directory, self._url, *words)
        self._started.append(worker)
        return worker


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def workers(tmp_path: Path, url: str) -> Iterator[Workers]:
    started = Workers(tmp_path, url)
    yield started
    started.kill_all()
