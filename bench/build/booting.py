"""The boot test that every contender's disk gets: the machine and the checks of our own validation."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.build.base import Base
from goldsmith.vm import qemu
from goldsmith.vm.boottime import collect_boot_times
from goldsmith.vm.health import collect_health
from goldsmith.vm.measurements import collect_measurements
from goldsmith.vm.model import DiskFormat, Machine

_BOOT_SECONDS_MAX = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """`problems` is empty when the machine came up whole under Secure Boot with a TPM."""

    seconds: float
    problems: tuple[str, ...]


def boot_test(disk: Path, base: Base, work: Path) -> Tested:
    """Boot a qcow2 and look at it, as `publishing.validation` does; the tattoo is only in our images."""
    machine = Machine(
        disk=disk,
        disk_format=DiskFormat.QCOW2,
        firmware=base.secure,
        accelerator=base.accelerator,
        tpm=True,
        boot_timeout_seconds=_BOOT_SECONDS_MAX,
    )
    started = time.monotonic()
    with qemu.start(machine, work) as vm:
        vm.wait_for_agent()
        problems = list(collect_health(vm).problems)
        collect_boot_times(vm)
        measured = collect_measurements(vm)
    if measured.secure_boot is not True:
        problems.append("Secure Boot is off")
    if not measured.replay_matches:
        problems.append("the event log does not explain the PCRs")
    return Tested(seconds=time.monotonic() - started, problems=tuple(problems))
