"""The monitor and guest agent protocols, against servers that follow a script."""

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.kernel.errors import (
    CanceledError,
    ProgramTimeoutError,
    UnavailableError,
    UnsupportedError,
)
from goldsmith.vm.errors import GuestAgentError
from goldsmith.vm.guestagent import GuestAgent
from goldsmith.vm.qmp import Qmp, QmpError

Answer = Callable[[dict[str, Any]], list[bytes]]


@contextlib.contextmanager
def server(path: Path, answer: Answer, *, greeting: bytes = b"") -> Iterator[list[dict[str, Any]]]:
    """Serves one connection; yields the requests it has seen."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    seen: list[dict[str, Any]] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(greeting)
                stream.flush()
                for line in stream:
                    request = json.loads(line.lstrip(b"\xff"))
                    seen.append(request)
                    for reply in answer(request):
                        stream.write(reply + b"\n")
                    stream.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        listener.close()


def returns(value: Any) -> list[bytes]:
    return [json.dumps({"return": value}).encode()]


def refuses(description: str, kind: str = "GenericError") -> list[bytes]:
    return [json.dumps({"error": {"class": kind, "desc": description}}).encode()]


def agent_that(answer: Answer) -> Answer:
    """Answers synchronisations as the agent does, everything else as `answer` does."""

    def both(request: dict[str, Any]) -> list[bytes]:
        if request["execute"] == "guest-sync-delimited":
            return [b"\xff" + json.dumps({"return": request["arguments"]["id"]}).encode()]
        return answer(request)

    return both


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_sync_skips_what_was_meant_for_somebody_else(path: Path) -> None:
    stale = b'{"return": {"pid": 7}}\n\xff{"return": 1}\n{"error": {"class": "GenericError", "desc": "x"}}\n'
    with server(path, agent_that(lambda _: returns("mine")), greeting=stale):
        agent = GuestAgent(path)
        agent.sync(timeout_seconds=30)
        assert agent.call("guest-ping") == "mine"
        agent.close()


def test_answer_that_comes_too_late_is_not_taken_for_the_next(path: Path) -> None:
    late: list[bytes] = []

    def answer(request: dict[str, Any]) -> list[bytes]:
        if request["execute"] == "slow":
            late.extend(returns("slow's answer"))
            return []
        if request["execute"] == "guest-sync-delimited":
            mark = b"\xff" + json.dumps({"return": request["arguments"]["id"]}).encode()
            held, late[:] = list(late), []
            return [*held, mark]
        return returns("fast's answer")

    with server(path, answer):
        agent = GuestAgent(path)
        with pytest.raises(GuestAgentError):
            agent.call("slow", timeout_seconds=0.3)
        assert agent.call("fast") == "fast's answer"
        agent.close()


def test_only_one_synchronisation_is_ever_outstanding(path: Path) -> None:
    with server(path, lambda _: []) as seen:
        agent = GuestAgent(path)
        with pytest.raises(GuestAgentError):
            agent.sync(timeout_seconds=0.5)
        agent.close()
    assert len(seen) == 1


def test_wait_ends_when_the_tick_says_so(path: Path) -> None:
    def tick() -> None:
        raise CanceledError("enough")

    with server(path, lambda _: []):
        agent = GuestAgent(path)
        with pytest.raises(CanceledError):
            agent.sync(timeout_seconds=600, tick=tick)
        agent.close()


@pytest.mark.parametrize("kind", ["CommandNotFound", "GenericError"])
def test_blocked_command_says_what_to_change(path: Path, kind: str) -> None:
    refusal = refuses("The command guest-exec has been disabled for this instance", kind)
    with server(path, agent_that(lambda _: refusal)):
        agent = GuestAgent(path)
        with pytest.raises(UnsupportedError) as raised:
            agent.run(["/bin/true"], timeout_seconds=10)
        agent.close()
    assert raised.value.hint is not None


def test_program_over_its_limit_is_killed_in_the_guest(path: Path) -> None:
    def answer(request: dict[str, Any]) -> list[bytes]:
        return returns({"pid": 42} if request["execute"] == "guest-exec" else {"exited": False})

    with server(path, agent_that(answer)) as seen:
        agent = GuestAgent(path)
        with pytest.raises(ProgramTimeoutError):
            agent.run(["/bin/sleep", "9"], timeout_seconds=0.2)
        agent.close()
    assert seen[-1]["execute"] == "guest-exec"
    assert seen[-1]["arguments"]["arg"][-1] == "42"


def test_result_of_a_program_ended_by_a_signal_is_negative(path: Path) -> None:
    ended = {"exited": True, "signal": 9, "out-data": base64.b64encode(b"so far").decode()}

    def answer(request: dict[str, Any]) -> list[bytes]:
        return returns({"pid": 1} if request["execute"] == "guest-exec" else ended)

    with server(path, agent_that(answer)):
        agent = GuestAgent(path)
        result = agent.run(["/bin/x"], timeout_seconds=10)
        agent.close()
    assert (result.status, result.text) == (-9, "so far")


def test_file_is_written_whole_though_the_guest_takes_it_in_pieces(path: Path) -> None:
    stored = bytearray()

    def answer(request: dict[str, Any]) -> list[bytes]:
        match request["execute"]:
            case "guest-file-write":
                taken = base64.b64decode(request["arguments"]["buf-b64"])[:100_000]
                stored.extend(taken)
                return returns({"count": len(taken), "eof": False})
            case "guest-exec":
                return returns({"pid": 1})
            case "guest-exec-status":
                return returns({"exited": True, "exitcode": 0})
            case _:
                return returns(3)

    data = bytes(range(256)) * 2000
    with server(path, agent_that(answer)):
        agent = GuestAgent(path)
        agent.write_file("/f", data)
        agent.close()
    assert bytes(stored) == data


def monitor_that(answer: Answer) -> Answer:
    event = b'{"event": "RTC_CHANGE", "data": {}}'

    def both(request: dict[str, Any]) -> list[bytes]:
        return [event, *(returns({}) if request["execute"] == "qmp_capabilities" else answer(request))]

    return both


GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'


def test_monitor_answers_are_found_among_events(path: Path) -> None:
    with server(path, monitor_that(lambda _: returns({"status": "running"})), greeting=GREETING):
        qmp = Qmp(path)
        assert qmp.status() == "running"
        qmp.close()


def test_monitor_refusal_is_told_in_its_own_words(path: Path) -> None:
    with server(path, monitor_that(lambda _: refuses("no such device")), greeting=GREETING):
        qmp = Qmp(path)
        with pytest.raises(QmpError, match="no such device"):
            qmp.execute("device_del", {"id": "x"})
        qmp.close()


@pytest.mark.parametrize("error", [None, "disk is full"])
def test_job_ends_with_its_own_verdict_and_is_dismissed(path: Path, error: str | None) -> None:
    jobs: dict[str, int] = {}

    def answer(request: dict[str, Any]) -> list[bytes]:
        match request["execute"]:
            case "snapshot-save":
                jobs[request["arguments"]["job-id"]] = 0
            case "job-dismiss":
                del jobs[request["arguments"]["id"]]
            case "query-jobs":
                listing = []
                for name in jobs:
                    jobs[name] += 1
                    done = {"status": "concluded", **({"error": error} if error else {})}
                    listing.append({"id": name, **(done if jobs[name] > 2 else {"status": "running"})})
                return returns(listing)
        return returns({})

    with server(path, monitor_that(answer), greeting=GREETING):
        qmp = Qmp(path)
        with pytest.raises(QmpError, match="disk is full") if error else contextlib.nullcontext():
            qmp.run_job("snapshot-save", {"tag": "s"}, timeout_seconds=30)
        qmp.close()
    assert jobs == {}


def test_monitor_that_goes_away_is_unavailable(path: Path) -> None:
    with server(path, lambda _: [], greeting=GREETING), pytest.raises(UnavailableError):
        Qmp(path, timeout_seconds=0.3)
    with pytest.raises(UnavailableError):
        Qmp(path.with_name("nobody"), timeout_seconds=0.1)
