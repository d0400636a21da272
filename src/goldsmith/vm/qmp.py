"""The QEMU machine protocol: commands, jobs, and the state of the machine.

Follows the QEMU Machine Protocol specification (docs/interop/qmp-spec): greeting, capability
negotiation, then one answer for each command, with events in between.
"""

import itertools
import json
import time
from pathlib import Path
from typing import Any

from goldsmith.kernel.errors import Error, UnavailableError
from goldsmith.kernel.json import JsonObject
from goldsmith.vm.channel import Channel, Tick, no_tick

_COMMAND_SECONDS = 60.0
_JOB_POLL_SECONDS = 0.05


class QmpError(Error):
    """QEMU refused a command."""

    code = "EmulatorRefused"


class Qmp:
    """A monitor connection; used by one thread at a time."""

    def __init__(self, path: Path, *, timeout_seconds: float = 30.0, tick: Tick = no_tick) -> None:
        """Raises UnavailableError when QEMU does not answer in time."""
        self._channel = Channel(path, name="the QEMU monitor", timeout_seconds=timeout_seconds, tick=tick)
        self._jobs = itertools.count(1)
        self._next_message(timeout_seconds, tick)  # the greeting
        self.execute("qmp_capabilities", timeout_seconds=timeout_seconds, tick=tick)

    def close(self) -> None:
        self._channel.close()

    def execute(
        self,
        command: str,
        arguments: JsonObject | None = None,
        *,
        timeout_seconds: float = _COMMAND_SECONDS,
        tick: Tick = no_tick,
    ) -> Any:
        """What the command returns. Raises QmpError (refused) and UnavailableError (no answer)."""
        self._channel.send({"execute": command, **({"arguments": arguments} if arguments else {})}, tick=tick)
        end = time.monotonic() + timeout_seconds
        while True:
            message = self._next_message(end - time.monotonic(), tick)
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise QmpError(f"QEMU refused {command}: {message['error'].get('desc', 'no reason given')}")

    def run_job(
        self, command: str, arguments: JsonObject, *, timeout_seconds: float, tick: Tick = no_tick
    ) -> None:
        """Start a job and wait for its end. Raises QmpError when it fails."""
        job_id = f"job{next(self._jobs)}"
        end = time.monotonic() + timeout_seconds
        self.execute(command, {"job-id": job_id, **arguments}, timeout_seconds=timeout_seconds, tick=tick)
        while True:
            left = end - time.monotonic()
            jobs = self.execute("query-jobs", timeout_seconds=max(left, 1.0), tick=tick)
            job = next((job for job in jobs if job["id"] == job_id), None)
            if job is None or job["status"] == "concluded":
                break
            if left <= 0:
                raise UnavailableError(f"QEMU's {command} did not end within {timeout_seconds:.0f} s")
            time.sleep(_JOB_POLL_SECONDS)
        if job is not None:
            self.execute("job-dismiss", {"id": job_id}, tick=tick)
            if reason := job.get("error"):
                raise QmpError(f"QEMU's {command} failed: {reason}")

    def status(self) -> str:
        """The run state: `running`, `paused`, `internal-error`, …"""
        return str(self.execute("query-status")["status"])

    def frontend_open(self, chardev: str) -> bool:
        """Whether the guest has opened its end of a character device."""
        devices = self.execute("query-chardev")
        return any(device["label"] == chardev and device["frontend-open"] for device in devices)

    def monitor(self, line: str, *, timeout_seconds: float = _COMMAND_SECONDS) -> str:
        """What the human monitor prints for `line`."""
        arguments = {"command-line": line}
        return str(self.execute("human-monitor-command", arguments, timeout_seconds=timeout_seconds))

    def _next_message(self, timeout_seconds: float, tick: Tick) -> JsonObject:
        line = self._channel.receive(timeout_seconds=timeout_seconds, tick=tick)
        if line is None:
            raise UnavailableError(f"the QEMU monitor did not answer within {timeout_seconds:.0f} s")
        message: JsonObject = json.loads(line)
        return message
