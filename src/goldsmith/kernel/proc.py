"""Running other programs: argument lists only, a time limit always, and nothing left behind."""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import ProgramError, ProgramTimeoutError, UnsupportedError

_POLL_SECONDS = 0.1
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def error_text(self) -> str:
        return self.stderr.decode(errors="replace")


def run(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    input: bytes | None = None,  # named as in subprocess
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: IO[bytes] | None = None,
    on_output: Callable[[bytes], None] | None = None,
    cancel: Cancel | None = None,
    check: bool = True,
) -> Result:
    """Run a program to its end; it and its process group are killed on time-out, cancel or our death.

    Output goes to `log` and `on_output` as it comes (both streams, in order of arrival) and into the result.
    Raises ProgramError (exit status not 0 and `check`), ProgramTimeoutError, UnsupportedError (no such
    program), and what `cancel.check()` raises.
    """
    words = [str(word) for word in argv]
    stopper = cancel or NeverCancel()
    stopper.check()
    started = time.monotonic()
    process = spawn(
        words,
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
    )
    captured: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    try:
        _pump(process, input, captured, log, on_output, stopper, started + timeout_seconds, words)
        returncode = process.wait()
    except BaseException:
        kill_group(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
    result = Result(
        argv=tuple(words),
        returncode=returncode,
        stdout=bytes(captured["stdout"]),
        stderr=bytes(captured["stderr"]),
        seconds=time.monotonic() - started,
    )
    if check and returncode != 0:
        tail = last_lines((result.stderr or result.stdout).decode(errors="replace"))
        raise ProgramError(
            f"{Path(words[0]).name} ended with {describe_status(returncode)}: {tail or 'it printed nothing'}",
            argv=words,
            returncode=returncode,
            tail=tail,
        )
    return result


def spawn(
    argv: Sequence[str | Path],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    die_with_parent: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own; it dies with the calling thread unless told otherwise.

    Raises UnsupportedError when the program is not installed.
    """
    words = [str(word) for word in argv]
    program = which(words[0])
    if program is None:
        raise UnsupportedError(
            f"the program {words[0]} is not installed", hint="run 'goldsmith doctor' to see what to install"
        )
    return subprocess.Popen(
        [*(_with_parent() if die_with_parent else ()), str(program), *words[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(env) if env is not None else None,
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


def in_private_namespace(argv: Sequence[str | Path], *, user: bool = False) -> list[str]:
    """The argument list that runs `argv` with mounts and processes of its own, all gone when it ends.

    With `user` it also gets a user namespace in which the caller is root (needs a range in /etc/subuid).
    """
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    if user:
        unshare += ["--user", "--map-root-user", "--map-auto"]
    return [*unshare, "--", *(str(word) for word in argv)]


def kill_group(process: subprocess.Popen[bytes], *, wait_seconds: float = 10.0) -> None:
    """Kill the process and its group, and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_seconds)


def which(name: str) -> Path | None:
    """Where a program is, looked for in PATH and the administrator's directories."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    return Path(found) if found else None


def last_lines(text: str, count: int = _TAIL_LINES) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def describe_status(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-returncode).name}"
    return f"signal {-returncode}"


# A parent that dies before the signal is asked for sends none: then the program must not start at all.
_UNLESS_ORPHANED = 'test "$PPID" = "$0" || exit 137; exec "$@"'


def _with_parent() -> tuple[str, ...]:
    setpriv = _setpriv()
    if setpriv is None:
        return ()
    return (str(setpriv), "--pdeathsig", "KILL", "--", "/bin/sh", "-c", _UNLESS_ORPHANED, str(os.getpid()))


@cache
def _setpriv() -> Path | None:
    return which("setpriv")


def _pump(
    process: subprocess.Popen[bytes],
    data: bytes | None,
    captured: dict[str, bytearray],
    log: IO[bytes] | None,
    on_output: Callable[[bytes], None] | None,
    cancel: Cancel,
    deadline: float,
    words: Sequence[str],
) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    remaining = memoryview(data or b"")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, "stdout")
        selector.register(process.stderr, selectors.EVENT_READ, "stderr")
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
        while selector.get_map():
            cancel.check()
            if time.monotonic() > deadline:
                tail = last_lines(bytes(captured["stderr"] or captured["stdout"]).decode(errors="replace"))
                raise ProgramTimeoutError(
                    f"{Path(words[0]).name} was still running at its time limit and was killed",
                    argv=words,
                    returncode=-signal.SIGKILL,
                    tail=tail,
                )
            for key, _ in selector.select(_POLL_SECONDS):
                if key.data == "stdin":
                    assert process.stdin is not None
                    try:
                        remaining = remaining[os.write(process.stdin.fileno(), remaining[: 1 << 16]) :]
                    except BrokenPipeError:
                        remaining = memoryview(b"")
                    if not remaining:
                        selector.unregister(process.stdin)
                        with contextlib.suppress(BrokenPipeError):
                            process.stdin.close()
                    continue
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                captured[key.data] += chunk
                if log is not None:
                    log.write(chunk)
                    log.flush()
                if on_output is not None:
                    on_output(chunk)
