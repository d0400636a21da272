"""The QEMU guest agent: commands and files in the guest, over a stream that survives restarts of either side.

Follows the QEMU Guest Agent protocol reference. The stream has no framing that outlives a lost
answer, so before anything else, and after a snapshot is restored, it is synchronised with
`guest-sync-delimited`: the answer comes after a 0xFF byte, which cannot occur in JSON text.
"""

import base64
import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldsmith.kernel.errors import ProgramTimeoutError, UnavailableError, UnsupportedError
from goldsmith.kernel.json import JsonObject
from goldsmith.vm.channel import Channel, Tick, no_tick
from goldsmith.vm.errors import GuestAgentError
from goldsmith.vm.model import GuestResult

_ANSWER_SECONDS = 120.0
_FILE_CHUNK_BYTES = 256 << 10
_EXEC_POLL_SECONDS = (0.02, 0.5)
FILE_BYTES_MAX = 256 << 20
# Stop each process before its children are listed, so that it cannot start new ones meanwhile.
_KILL_TREE = r"""
end() {
    kill -STOP "$1"
    for status in $(grep -ls "^PPid:.$1\$" /proc/[0-9]*/status); do
        child=${status%/status}
        end "${child##*/}"
    done
    kill -KILL "$1"
}
end "$1"
"""


class GuestAgent:
    """One connection to the agent; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._channel = Channel(path, name="the guest agent's channel")
        # A start of our own, so that an answer meant for a former process is never taken for ours.
        self._sync_ids = itertools.count(random.randrange(1 << 20, 1 << 30))
        self._in_sync = False

    def close(self) -> None:
        self._channel.close()

    def sync(self, *, timeout_seconds: float, tick: Tick = no_tick) -> None:
        """Afterwards the next answer belongs to the next command.

        Only one synchronisation is ever outstanding: a second one sent while the first waits in
        the queue would leave an answer behind. Raises GuestAgentError when none comes in time.
        """
        self._in_sync = False
        self._channel.drain()
        sync_id = next(self._sync_ids)
        message = {"execute": "guest-sync-delimited", "arguments": {"id": sync_id}}
        # The leading 0xFF makes the agent drop half a command it may still hold.
        self._channel.send(message, prefix=b"\xff", tick=tick)
        end = time.monotonic() + timeout_seconds
        while (left := end - time.monotonic()) > 0:
            line = self._channel.receive(timeout_seconds=left, tick=tick)
            if line is not None and _is_sync_answer(line, sync_id):
                self._in_sync = True
                return
        raise GuestAgentError(
            f"the guest agent did not answer within {timeout_seconds:.0f} s",
            hint="check that qemu-guest-agent is installed and enabled in the image",
        )

    def call(
        self,
        command: str,
        arguments: JsonObject | None = None,
        *,
        timeout_seconds: float = _ANSWER_SECONDS,
        tick: Tick = no_tick,
    ) -> Any:
        """What the agent returns.

        Raises GuestAgentError (refused, or no answer) and UnsupportedError (command switched off).
        """
        if not self._in_sync:
            self.sync(timeout_seconds=timeout_seconds, tick=tick)
        # A wait that is cut short leaves an answer on its way, which is not the next command's.
        self._in_sync = False
        self._channel.send({"execute": command, **({"arguments": arguments} if arguments else {})}, tick=tick)
        line = self._channel.receive(timeout_seconds=timeout_seconds, tick=tick)
        if line is None:
            raise GuestAgentError(f"the guest agent did not answer {command} within {timeout_seconds:.0f} s")
        self._in_sync = True
        answer = _parse(line)
        if "error" not in answer:
            return answer.get("return")
        reason = str(answer["error"].get("desc", "no reason given"))
        if answer["error"].get("class") == "CommandNotFound" or "disabled" in reason:
            raise UnsupportedError(
                f"the guest agent does not offer {command}: {reason}",
                hint="allow it in the guest: remove it from the agent's block list (/etc/sysconfig/qemu-ga)",
            )
        raise GuestAgentError(f"the guest agent refused {command}: {reason}")

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_seconds: float,
        input: bytes | None = None,  # named as in subprocess
        tick: Tick = no_tick,
    ) -> GuestResult:
        """Run a program in the guest to its end.

        Raises ProgramTimeoutError after it was killed at its limit, GuestAgentError when it cannot start.
        """
        started = time.monotonic()
        arguments: JsonObject = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        if input is not None:
            arguments["input-data"] = base64.b64encode(input).decode()
        pid = int(self.call("guest-exec", arguments, tick=tick)["pid"])
        pause = _EXEC_POLL_SECONDS[0]
        while True:
            status = self.call("guest-exec-status", {"pid": pid}, tick=tick)
            if status["exited"]:
                return _result(status, time.monotonic() - started)
            if time.monotonic() - started > timeout_seconds:
                self._kill(pid, tick)
                raise ProgramTimeoutError(
                    f"{argv[0]} was still running in the guest after {timeout_seconds:.0f} s and was killed",
                    argv=argv,
                    returncode=-9,
                )
            tick()
            time.sleep(pause)
            pause = min(pause * 1.5, _EXEC_POLL_SECONDS[1])

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, tick: Tick = no_tick) -> None:
        """Afterwards `path` in the guest holds `data`, with `mode` from its first byte on."""
        # The file gets its mode while it is empty: a secret is never readable by others, not even briefly.
        made = self.run(
            ["/usr/bin/install", "-D", "-m", f"{mode:o}", "/dev/null", path], timeout_seconds=60, tick=tick
        )
        if made.status != 0:
            raise GuestAgentError(f"writing {path} in the guest failed: {made.error_text.strip()}")
        handle = self.call("guest-file-open", {"path": path, "mode": "w"}, tick=tick)
        try:
            for start in range(0, len(data), _FILE_CHUNK_BYTES):
                chunk = data[start : start + _FILE_CHUNK_BYTES]
                while chunk:
                    text = base64.b64encode(chunk).decode()
                    written = self.call("guest-file-write", {"handle": handle, "buf-b64": text}, tick=tick)
                    if written["count"] <= 0:
                        raise GuestAgentError(f"writing {path} in the guest stopped before its end")
                    chunk = chunk[written["count"] :]
        finally:
            self.call("guest-file-close", {"handle": handle}, tick=tick)

    def read_file(self, path: str, *, bytes_max: int = FILE_BYTES_MAX, tick: Tick = no_tick) -> bytes:
        """Raises GuestAgentError when `path` cannot be opened or holds more than `bytes_max`."""
        handle = self.call("guest-file-open", {"path": path, "mode": "r"}, tick=tick)
        data = bytearray()
        try:
            while True:
                arguments = {"handle": handle, "count": _FILE_CHUNK_BYTES}
                part = self.call("guest-file-read", arguments, tick=tick)
                data += base64.b64decode(part["buf-b64"])
                if len(data) > bytes_max:
                    raise GuestAgentError(f"{path} in the guest holds more than {bytes_max} bytes")
                if part["eof"] or part["count"] == 0:
                    return bytes(data)
        finally:
            self.call("guest-file-close", {"handle": handle}, tick=tick)

    def _kill(self, pid: int, tick: Tick) -> None:
        # The agent cannot end what it started, and starts it in no group of its own.
        self.call("guest-exec", {"path": "/bin/sh", "arg": ["-c", _KILL_TREE, "sh", str(pid)]}, tick=tick)


def _is_sync_answer(line: bytes, sync_id: int) -> bool:
    # What stands before the 0xFF is the rest of an answer to somebody else.
    _, mark, rest = line.rpartition(b"\xff")
    if not mark:
        return False
    try:
        answer = json.loads(rest)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("return") == sync_id


def _parse(line: bytes) -> JsonObject:
    try:
        answer = json.loads(line.rpartition(b"\xff")[2])
    except ValueError as error:
        raise UnavailableError("the guest agent sent a line that is not JSON") from error
    if not isinstance(answer, dict):
        raise UnavailableError("the guest agent sent something that is not an answer")
    return answer


def _result(status: JsonObject, seconds: float) -> GuestResult:
    return GuestResult(
        status=-int(status["signal"]) if "signal" in status else int(status.get("exitcode", 0)),
        stdout=base64.b64decode(status.get("out-data", "")),
        stderr=base64.b64decode(status.get("err-data", "")),
        seconds=seconds,
        truncated=bool(status.get("out-truncated") or status.get("err-truncated")),
    )
