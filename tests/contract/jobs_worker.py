"""A worker process for the tests of jobs: run one job as a command would, or serve until told to stop.

jobs_worker.py URL STATE run JOB_ID KIND ARGUMENTS
jobs_worker.py URL STATE serve
"""

import functools
import json
import os
import signal
import sys
import time
from pathlib import Path

from goldsmith.jobs.context import JobContext
from goldsmith.jobs.engine import JobEngine, WorkerSettings
from goldsmith.jobs.model import JobEvent
from goldsmith.jobs.worker import Notice, Ownership, SharedOwnership, run_or_follow, serve, state_ownership
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import CanceledError, ConflictError, ProgramError
from goldsmith.kernel.json import JsonObject
from goldsmith.kernel.proc import run

FAST = WorkerSettings(concurrency=2, beat_every_seconds=0.3, lost_after_seconds=2.0, grace_seconds=3.0)
_PATIENCE_SECONDS = 120.0


def note(path: str, text: str) -> None:
    """One line, whole, whoever else writes to the file."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def five_steps(context: JobContext, arguments: JsonObject) -> JsonObject:
    """Adds up what its steps give; each kills its own process once, "before" or "after" work (`kill`)."""
    log = arguments["log"]

    def work(number: int) -> int:
        note(log, f"begin {number}")
        context.emit("begun", step=number)
        die(number, "before")
        time.sleep(arguments.get("step_seconds", 0.0))
        context.emit("done", step=number)
        note(log, f"end {number}")
        die(number, "after")
        return number

    def die(number: int, when: str) -> None:
        marker = Path(f"{log}.killed-{number}")
        if arguments.get("kill") == when and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    total = 0
    for number in range(1, arguments.get("steps", 5) + 1):
        total += context.step(f"step {number}", functools.partial(work, number))
        context.emit("sum", total=total)
    return {"total": total}


def held(context: JobContext, arguments: JsonObject) -> JsonObject:
    """Three steps: the middle one waits for the file `release`; each notes who ran it."""

    def work(name: str) -> str:
        note(arguments["log"], f"{name} {os.getpid()}")
        context.emit(name)
        return name

    def wait() -> str:
        work("middle")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not Path(arguments["release"]).exists() and time.monotonic() < deadline:
            context.cancel.check()
            time.sleep(0.02)
        return "middle"

    context.step("first", lambda: work("first"))
    context.step("middle", wait)
    context.step("last", lambda: work("last"))
    return {"worker": os.getpid()}


def sleeper(context: JobContext, arguments: JsonObject) -> JsonObject:
    """Runs a program that would take a minute, and notes its process id."""
    program = f"echo $$ >> {arguments['log']}; exec sleep 60"
    context.step(
        "sleep",
        lambda: (
            run(["sh", "-c", program], timeout_seconds=_PATIENCE_SECONDS, cancel=context.cancel).returncode
        ),
    )
    return {}


def stubborn(context: JobContext, arguments: JsonObject) -> JsonObject:
    """Never looks whether it should stop."""

    def wait() -> None:
        note(arguments["log"], "begin")
        time.sleep(_PATIENCE_SECONDS)

    context.step("wait", wait)
    return {}


def refused(_context: JobContext, _arguments: JsonObject) -> JsonObject:
    raise ConflictError(
        "the version exists already",
        code="VersionExists",
        hint="choose another name",
        details=[("name", "1.2.3"), ("region", "north")],
    )


def defective(context: JobContext, _arguments: JsonObject) -> JsonObject:
    known: dict[str, str] = {}
    context.step("look up", lambda: known["absent"])
    return {}


def exiting(_context: JobContext, _arguments: JsonObject) -> JsonObject:
    sys.exit("a careless library")


def repaired(context: JobContext, arguments: JsonObject) -> JsonObject:
    """A step fails with ProgramError, the job goes on without it, and is killed once afterwards."""

    def fail() -> None:
        note(arguments["log"], "fail")
        run(["sh", "-c", "echo no room >&2; exit 3"], timeout_seconds=60)

    def die_once() -> None:
        marker = Path(arguments["log"] + ".killed")
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        context.step("fail", fail)
    except ProgramError as error:
        caught = {"returncode": error.returncode, "tail": error.tail, "argv": list(error.argv)}
    begun_at = context.now().isoformat()
    context.step("die", die_once)
    return {"caught": caught, "begun_at": begun_at}


KINDS = {
    "five-steps": five_steps,
    "held": held,
    "sleeper": sleeper,
    "stubborn": stubborn,
    "refused": refused,
    "defective": defective,
    "exiting": exiting,
    "repaired": repaired,
}


def tell(**data: object) -> None:
    print(json.dumps(data), flush=True)


def main() -> int:
    url, state, command, *words = sys.argv[1:]
    engine = JobEngine(url, kinds=KINDS, settings=FAST)
    ownership: Ownership = (
        state_ownership(Path(state)) if url.startswith("sqlite") else SharedOwnership(engine)
    )
    flag = CancelFlag()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: flag.set("stopped by a signal"))

    def on_notice(notice: Notice) -> None:
        tell(notice=notice.kind, owner=notice.owner, open_jobs=notice.open_jobs)

    def on_event(event: JobEvent) -> None:
        tell(event=event.name, seq=event.seq, **{f"data_{key}": value for key, value in event.data.items()})

    try:
        if command == "serve":
            if isinstance(ownership, SharedOwnership):
                # On a shared database there may be many.
                engine.start()
                tell(notice="running-here")
                while True:
                    flag.check()
                    time.sleep(0.05)
            serve(engine, ownership, cancel=flag, on_notice=on_notice)
            return 0
        job_id, kind, arguments = words
        engine.submit(kind, json.loads(arguments), job_id=job_id)
        job = run_or_follow(engine, ownership, job_id, on_event=on_event, on_notice=on_notice, cancel=flag)
        tell(state=job.state, result=job.result, attempt=job.attempt)
        return 0
    except CanceledError:
        return 130
    finally:
        engine.close()


if __name__ == "__main__":
    sys.exit(main())
