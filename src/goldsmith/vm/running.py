"""A machine that has been powered on: waiting for it, talking to it, saving and restoring its state."""

import contextlib
import logging
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import UnavailableError
from goldsmith.kernel.files import write_atomic
from goldsmith.vm.commandline import AGENT_CHARDEV, DISK_NODE, VARS_NODE, MachineFiles
from goldsmith.vm.errors import BootFailedError, BootFailure, GuestAgentError
from goldsmith.vm.guestagent import FILE_BYTES_MAX, GuestAgent
from goldsmith.vm.model import BootStage, GuestResult, Machine, Milestone
from goldsmith.vm.qmp import Qmp, QmpError
from goldsmith.vm.screen import png_from_ppm
from goldsmith.vm.serial import SerialScan, clean_text, evidence

logger = logging.getLogger(__name__)

_SYNC_SECONDS = 10.0
_SNAPSHOT_SECONDS = 120.0
_STATUS_EVERY_SECONDS = 1.0
_SERIAL_BYTES_MAX = 64 << 20
_EVIDENCE_BYTES = 64 << 10
# Run states from which QEMU does not go on by itself (QMP, RunState).
_STOPPED_STATES = frozenset({"internal-error", "io-error", "guest-panicked"})

OnMilestone = Callable[[Milestone], None]


class RunningVm:
    """One machine; used by one thread at a time, inside the `with` of `qemu.start`."""

    def __init__(
        self,
        machine: Machine,
        files: MachineFiles,
        process: "subprocess.Popen[bytes]",
        *,
        cancel: Cancel,
        clock: Clock,
    ) -> None:
        self.machine = machine
        self.files = files
        self._process = process
        self._cancel = cancel
        self._clock = clock
        self._powered_on = clock.monotonic_seconds()
        self._scan = SerialScan()
        self._serial_offset = 0
        self._new_milestones: list[Milestone] = []
        self._agent_milestone: Milestone | None = None
        self._agent: GuestAgent | None = None
        self._status_due = 0.0
        self._ready = False
        with self._explained():
            self._qmp = Qmp(files.qmp_socket, tick=self._check_process)

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """What has been seen so far, in order of time."""
        agent = (self._agent_milestone,) if self._agent_milestone else ()
        return tuple(sorted((*self._scan.milestones, *agent), key=lambda milestone: milestone.seconds))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Of QEMU, for resource accounting."""
        return self._process.pid

    def seconds_since_power_on(self) -> float:
        return self._clock.monotonic_seconds() - self._powered_on

    def watch(self) -> tuple[Milestone, ...]:
        """Look at the machine once; for waits that do not go through this class.

        Returns the milestones not yet returned. Raises BootFailedError when the machine will not
        come up or has died, and what `cancel.check()` raises.
        """
        self._check_process()
        self._check_state()
        new = tuple(self._new_milestones)
        self._new_milestones.clear()
        return new

    def wait_for_agent(
        self, timeout_seconds: float | None = None, *, on_milestone: OnMilestone | None = None
    ) -> float:
        """Afterwards `run` works; returns the seconds from power-on to the agent's first answer.

        The limit defaults to the machine's own boot time limit. Raises BootFailedError.
        """
        limit = self.machine.boot_timeout_seconds if timeout_seconds is None else timeout_seconds
        end = self._clock.monotonic_seconds() + limit

        def tick() -> None:
            for milestone in self.watch():
                logger.debug("machine reached %s after %.1f s", milestone.stage, milestone.seconds)
                if on_milestone is not None:
                    on_milestone(milestone)
            if self._clock.monotonic_seconds() > end:
                self._fail(BootFailure.TIMED_OUT, f"the guest agent did not answer within {limit:.0f} s")

        while not self._try_agent(tick):
            tick()
            time.sleep(0.1)
        if self._agent_milestone is None:
            self._agent_milestone = Milestone(stage=BootStage.AGENT, seconds=self.seconds_since_power_on())
            self._new_milestones.append(self._agent_milestone)
        tick()
        self._ready = True
        return self._agent_milestone.seconds

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout_seconds: float = 60.0,
        input: bytes | None = None,  # named as in subprocess
    ) -> GuestResult:
        """Run a program (argument list) or a script (text, for /bin/sh) in the guest as root.

        The exit status is in the result. Raises ProgramTimeoutError, GuestAgentError, BootFailedError.
        """
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        with self._agent_in_use() as agent:
            return agent.run(argv, timeout_seconds=timeout_seconds, input=input, tick=self._tick)

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Raises GuestAgentError."""
        with self._agent_in_use() as agent:
            agent.write_file(path, data, mode=mode, tick=self._tick)

    def read_file(self, path: str, *, bytes_max: int = FILE_BYTES_MAX) -> bytes:
        """Raises GuestAgentError when it cannot be read or is larger than `bytes_max`."""
        with self._agent_in_use() as agent:
            return agent.read_file(path, bytes_max=bytes_max, tick=self._tick)

    def journal(self, *, lines_max: int = 2000) -> str:
        """The newest lines of this boot's journal, with seconds since the kernel started."""
        command = ["journalctl", "--boot", "--no-pager", "--output=short-monotonic", f"--lines={lines_max}"]
        return self.run(command, timeout_seconds=120).text

    def save_snapshot(self, name: str) -> float:
        """Save memory, disk, variable store and vTPM as `name` in the machine's own files; seconds taken."""
        return self._snapshot_job("snapshot-save", name)

    def load_snapshot(self, name: str) -> float:
        """The machine is as it was when `name` was saved, in place; returns the seconds until it answers.

        The guest's clock goes back too. Raises QmpError when there is no such snapshot.
        """
        started = self._clock.monotonic_seconds()
        try:
            self._snapshot_job("snapshot-load", name)
        except QmpError:
            # A load that fails leaves the machine stopped, though nothing of it was changed.
            self._qmp.execute("cont")
            raise
        # What the console said after the snapshot was taken has not happened.
        self._read_serial()
        self._scan.forgive()
        if self._agent is not None:
            with self._agent_in_use() as agent:
                agent.sync(timeout_seconds=60.0, tick=self._tick)
        return self._clock.monotonic_seconds() - started

    def screenshot(self, path: Path) -> None:
        """Write the screen as a PNG. Raises UnavailableError when the machine has no display."""
        if not self.machine.display:
            raise UnavailableError("the machine has no display to take a picture of")
        dump = self.files.overlay.with_name("screen.ppm")
        try:
            self._qmp.execute("screendump", {"filename": str(dump)}, tick=self._check_process)
            write_atomic(path, png_from_ppm(dump.read_bytes()))
        finally:
            dump.unlink(missing_ok=True)

    def serial_text(self) -> str:
        """Everything on the serial console so far, without terminal control sequences."""
        return clean_text(self._serial_tail(_SERIAL_BYTES_MAX))

    def host_port(self, guest_port: int) -> int:
        """The loopback port that leads to `guest_port`. Raises UnavailableError when none does."""
        table = self._qmp.monitor("info usernet")
        # TCP[HOST_FORWARD]  13  127.0.0.1  40123  10.0.2.15  22  0  0
        for match in re.finditer(r"TCP\[HOST_FORWARD\]\s+\S+\s+\S+\s+(\d+)\s+\S+\s+(\d+)", table):
            if int(match[2]) == guest_port:
                return int(match[1])
        raise UnavailableError(f"no port of this host leads to port {guest_port} of the machine")

    def shutdown(self, *, timeout_seconds: float = 90.0) -> bool:
        """Ask the guest to power off; True when it did, False when it had to be killed."""
        with contextlib.suppress(UnavailableError):
            self._qmp.execute("system_powerdown")
        end = self._clock.monotonic_seconds() + timeout_seconds
        while self.alive and self._clock.monotonic_seconds() < end:
            self._cancel.check()
            time.sleep(0.1)
        went_down = not self.alive
        self.kill()
        return went_down

    def kill(self) -> None:
        """Power cut: QEMU is gone when this returns."""
        if self._agent is not None:
            self._agent.close()
        self._qmp.close()
        proc.kill_group(self._process)

    def _try_agent(self, tick: Callable[[], None]) -> bool:
        # Until the guest opens its end nobody can answer, and what is sent would wait in the
        # queue as a synchronisation too many.
        try:
            with self._explained():
                if not self._qmp.frontend_open(AGENT_CHARDEV):
                    return False
                if self._agent is None:
                    self._agent = GuestAgent(self.files.agent_socket)
                self._agent.sync(timeout_seconds=_SYNC_SECONDS, tick=tick)
        except GuestAgentError:
            return False
        return True

    @contextlib.contextmanager
    def _agent_in_use(self) -> Iterator[GuestAgent]:
        if self._agent is None:
            raise GuestAgentError(
                "the guest agent has not been waited for", hint="call wait_for_agent before using the guest"
            )
        with self._explained():
            yield self._agent

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """A connection that closes because QEMU ended is told as QEMU's end, with its reason."""
        try:
            yield
        except UnavailableError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5 if self.alive else 0)
            self._check_process()
            raise

    def _tick(self) -> None:
        self._check_process()
        self._check_state()

    def _check_process(self) -> None:
        self._cancel.check()
        if not self.alive:
            status = proc.describe_status(self._process.returncode)
            log = proc.last_lines(self.files.qemu_log.read_text(errors="replace"))
            self._fail(BootFailure.EMULATOR_ENDED, f"QEMU ended with {status}: {log or 'it printed nothing'}")

    def _check_state(self) -> None:
        self._check_console()
        now = self._clock.monotonic_seconds()
        if now < self._status_due:
            return
        self._status_due = now + _STATUS_EVERY_SECONDS
        with self._explained():
            status = self._qmp.status()
        if status in _STOPPED_STATES:
            self._fail(BootFailure.EMULATOR_STOPPED, f"QEMU stopped the machine with status '{status}'")

    def _check_console(self) -> None:
        self._read_serial()
        sign = self._scan.failure
        # Once it is up, text on the console that only looks like a failed boot is the guest's own affair.
        if sign is not None and (not self._ready or sign.reason is BootFailure.KERNEL_PANIC):
            self._fail(sign.reason, f"the machine did not boot: {sign.line}")

    def _read_serial(self) -> None:
        try:
            with self.files.serial_log.open("rb") as log:
                log.seek(self._serial_offset)
                data = log.read(1 << 20)
        except FileNotFoundError:
            return
        self._serial_offset += len(data)
        if data:
            self._new_milestones += self._scan.feed(data, seconds=self.seconds_since_power_on())
        if self._serial_offset > _SERIAL_BYTES_MAX:
            self._fail(
                BootFailure.SERIAL_FLOOD, f"the guest wrote {self._serial_offset} bytes to its serial console"
            )

    def _serial_tail(self, bytes_max: int) -> bytes:
        try:
            with self.files.serial_log.open("rb") as log:
                log.seek(max(0, self.files.serial_log.stat().st_size - bytes_max))
                return log.read(bytes_max)
        except FileNotFoundError:
            return b""

    def _snapshot_job(self, command: str, name: str) -> float:
        started = self._clock.monotonic_seconds()
        arguments = {"tag": name, "vmstate": DISK_NODE, "devices": [DISK_NODE, VARS_NODE]}
        with self._explained():
            self._qmp.run_job(command, arguments, timeout_seconds=_SNAPSHOT_SECONDS, tick=self._check_process)
        return self._clock.monotonic_seconds() - started

    def _fail(self, reason: BootFailure, message: str) -> NoReturn:
        raise BootFailedError(message, reason=reason, evidence=evidence(self._serial_tail(_EVIDENCE_BYTES)))
