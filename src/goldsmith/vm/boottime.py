"""Where the seconds of a boot went: firmware and loader from the console, the rest from systemd."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.json import JsonObject
from goldsmith.vm.model import BootStage, Milestone
from goldsmith.vm.running import RunningVm

_TIMESTAMPS = ("InitRDTimestampMonotonic", "UserspaceTimestampMonotonic", "FinishTimestampMonotonic")
_FINISH_SECONDS = 300.0
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(h|min|ms|us|s)(?=\s)")
_SPAN_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTime:
    unit: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTimes:
    """Seconds of each phase; None where the machine does not show it (a quiet console, no systemd initrd).

    `total_seconds` is from power-on, or from the kernel's start when the console was quiet.
    """

    firmware_seconds: float | None
    loader_seconds: float | None
    kernel_seconds: float
    initrd_seconds: float | None
    userspace_seconds: float
    slowest_units: tuple[UnitTime, ...] = ()

    @property
    def total_seconds(self) -> float:
        phases = (
            self.firmware_seconds,
            self.loader_seconds,
            self.kernel_seconds,
            self.initrd_seconds,
            self.userspace_seconds,
        )
        return sum(seconds for seconds in phases if seconds is not None)

    def to_json(self) -> JsonObject:
        return {
            "firmwareSeconds": self.firmware_seconds,
            "loaderSeconds": self.loader_seconds,
            "kernelSeconds": self.kernel_seconds,
            "initrdSeconds": self.initrd_seconds,
            "userspaceSeconds": self.userspace_seconds,
            "totalSeconds": self.total_seconds,
            "slowestUnits": [{"unit": unit.unit, "seconds": unit.seconds} for unit in self.slowest_units],
        }


def collect_boot_times(vm: RunningVm, *, units_max: int = 10) -> BootTimes:
    """Waits for systemd to finish booting. Raises GuestAgentError, ProgramTimeoutError, CorruptError."""
    script = (
        "systemctl is-system-running --wait >/dev/null 2>&1; "
        f"systemctl show --property={','.join(_TIMESTAMPS)}; echo; systemd-analyze blame --no-pager"
    )
    text = vm.run(script, timeout_seconds=_FINISH_SECONDS).text
    shown, _, blame = text.partition("\n\n")
    slowest = parse_blame(blame)[:units_max]
    return boot_times(vm.milestones, parse_timestamps(shown), slowest_units=slowest)


def boot_times(
    milestones: Sequence[Milestone],
    timestamps: Mapping[str, int],
    *,
    slowest_units: tuple[UnitTime, ...] = (),
) -> BootTimes:
    """`timestamps` are systemd's, in microseconds since the kernel started.

    Raises CorruptError when systemd does not say when the boot finished.
    """
    seen = {milestone.stage: milestone.seconds for milestone in milestones}
    loader, kernel = seen.get(BootStage.LOADER), seen.get(BootStage.KERNEL)
    userspace, finish = (timestamps.get(name, 0) for name in _TIMESTAMPS[1:])
    if not 0 < userspace <= finish:
        raise CorruptError(
            f"systemd reports userspace at {userspace} us and the boot finished at {finish} us",
            hint="the boot has not finished; look for jobs that wait with 'systemctl list-jobs'",
        )
    # Zero means that no systemd ran in the initrd; its time is then part of the kernel's.
    initrd = timestamps.get(_TIMESTAMPS[0], 0) or userspace
    return BootTimes(
        firmware_seconds=loader if loader is not None else kernel,
        loader_seconds=kernel - loader if loader is not None and kernel is not None else None,
        kernel_seconds=initrd / 1e6,
        initrd_seconds=(userspace - initrd) / 1e6 if initrd != userspace else None,
        userspace_seconds=(finish - userspace) / 1e6,
        slowest_units=slowest_units,
    )


def parse_timestamps(text: str) -> dict[str, int]:
    """`systemctl show` lines; those without a number are left out."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: int(value) for name, value in pairs if value.isascii() and value.isdigit()}


def parse_blame(text: str) -> tuple[UnitTime, ...]:
    """`systemd-analyze blame`: `1min 2.345s some.service`, slowest first."""
    units: list[UnitTime] = []
    for line in text.splitlines():
        spans = list(_SPAN.finditer(line + " "))
        words = line.split()
        if spans and len(words) == len(spans) + 1:
            seconds = sum(float(span[1]) * _SPAN_SECONDS[span[2]] for span in spans)
            units.append(UnitTime(unit=words[-1], seconds=round(seconds, 6)))
    return tuple(units)
