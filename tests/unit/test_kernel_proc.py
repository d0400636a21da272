"""Running programs: their output, their failures, and that nothing of them stays behind."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.errors import CanceledError, ProgramError, ProgramTimeoutError, UnsupportedError


def test_output_of_both_streams_is_kept_and_logged() -> None:
    log = io.BytesIO()
    result = proc.run(["sh", "-c", "echo out; echo err >&2"], timeout_seconds=20, log=log)
    assert (result.text, result.error_text) == ("out\n", "err\n")
    assert sorted(log.getvalue().split()) == [b"err", b"out"]


def test_input_larger_than_a_pipe_arrives_whole() -> None:
    data = os.urandom(1 << 20)
    assert proc.run(["cat"], timeout_seconds=60, input=data).stdout == data


def test_a_failure_tells_status_and_last_lines() -> None:
    with pytest.raises(ProgramError, match="exit status 3: broken") as caught:
        proc.run(["sh", "-c", "echo broken >&2; exit 3"], timeout_seconds=20)
    assert caught.value.returncode == 3
    assert caught.value.tail == "broken"


def test_a_missing_program_is_unsupported_here() -> None:
    with pytest.raises(UnsupportedError, match="no-such-program-here is not installed"):
        proc.run(["no-such-program-here"], timeout_seconds=5)


def test_a_program_past_its_time_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(ProgramTimeoutError):
        proc.run(["sh", "-c", f"sleep 60 & echo $! > {pids}; wait"], timeout_seconds=0.5)
    assert _gone(int(pids.read_text()))


def test_a_cancel_from_another_thread_kills_the_program(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    flag = CancelFlag()
    threading.Timer(0.3, flag.set, ["asked to"]).start()
    with pytest.raises(CanceledError, match="asked to"):
        proc.run(["sh", "-c", f"echo $$ > {pids}; exec sleep 60"], timeout_seconds=60, cancel=flag)
    assert _gone(int(pids.read_text()))


def test_a_program_dies_with_a_killed_parent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "from goldsmith.kernel import proc; "
        f"proc.run(['sh', '-c', 'echo $$ > {pids}; exec sleep 60'], timeout_seconds=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    _wait_for(lambda: pids.exists() and bool(pids.read_text().strip()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert _gone(int(pids.read_text()))


def test_a_private_namespace_hides_mounts_and_ends_with_its_program(tmp_path: Path) -> None:
    user = os.geteuid() != 0
    argv = proc.in_private_namespace(
        ["sh", "-c", f"mount -t tmpfs none {tmp_path} && touch {tmp_path}/inside && ls {tmp_path}"], user=user
    )
    result = proc.run(argv, timeout_seconds=30, check=False)
    if result.returncode != 0 and user:
        pytest.skip("this host gives this user no user namespace")
    assert result.text == "inside\n"
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def _gone(pid: int) -> bool:
    return _wait_for(lambda: not _alive(pid))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait_for(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
