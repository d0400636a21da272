"""The nouns of the vm room: a machine to start, its firmware and network, and what a command in it gave."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from goldsmith.kernel.errors import InvalidInputError

MEMORY_MIB_MIN = 256
CPUS_MAX = 64


class Accelerator(StrEnum):
    KVM = "kvm"
    TCG = "tcg"


class DiskFormat(StrEnum):
    RAW = "raw"
    QCOW2 = "qcow2"


class NetworkMode(StrEnum):
    NONE = "none"
    USER = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """One UEFI firmware build and the variable store that belongs to it.

    `secure_boot` says that `vars` holds enrolled keys and that `code` enforces them, which needs the
    machine's system management mode so that the guest cannot write the store behind the firmware's back.
    """

    code: Path
    vars: Path
    format: DiskFormat = DiskFormat.RAW
    secure_boot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PortForward:
    """A TCP port of the guest, reachable on the loopback address only; `host_port` 0: any free one."""

    guest_port: int
    host_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`none`: no network card. `user`: DHCP and the forwards, and more only if `reach_outside`."""

    mode: NetworkMode = NetworkMode.NONE
    forwards: tuple[PortForward, ...] = ()
    reach_outside: bool = False

    def __post_init__(self) -> None:
        if self.mode is NetworkMode.NONE and (self.forwards or self.reach_outside):
            raise InvalidInputError(
                "a machine with network 'none' was given port forwards or a way outside",
                hint="set the network mode to 'user', or leave the forwards out",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A virtual machine to start; `disk` is opened read-only and never changed."""

    disk: Path
    disk_format: DiskFormat
    firmware: Firmware
    accelerator: Accelerator
    memory_mib: int = 1024
    cpus: int = 2
    tpm: bool = False
    network: Network = field(default_factory=Network)
    seed: Path | None = None
    display: bool = True
    boot_timeout_seconds: float = 300.0

    def __post_init__(self) -> None:
        if self.memory_mib < MEMORY_MIB_MIN:
            raise InvalidInputError(
                f"a machine was given {self.memory_mib} MiB of memory, expected at least {MEMORY_MIB_MIN}"
            )
        if not 1 <= self.cpus <= CPUS_MAX:
            raise InvalidInputError(f"a machine was given {self.cpus} processors, expected 1 to {CPUS_MAX}")
        if self.boot_timeout_seconds <= 0:
            raise InvalidInputError("a machine's boot time limit must be more than 0 seconds")


class BootStage(StrEnum):
    """What the serial console shows on the way up, in order."""

    FIRMWARE = "firmware"
    LOADER = "loader"
    KERNEL = "kernel"
    INIT = "init"
    LOGIN = "login"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """`seconds` since power-on, to the length of one poll (about 0.1 s)."""

    stage: BootStage
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestResult:
    """What a command in the guest did; `status` is its exit status, or minus the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes
    seconds: float
    truncated: bool = False

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def error_text(self) -> str:
        return self.stderr.decode(errors="replace")
