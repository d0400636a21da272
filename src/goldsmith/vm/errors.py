"""Errors of the vm room: a machine that did not come up, and a guest that does not answer.

Error
├── BootFailedError          the machine will not come up; `.reason` and `.evidence` say why
└── UnavailableError
    └── GuestAgentError      the guest agent did not answer, or refused
"""

from enum import StrEnum

from goldsmith.kernel.errors import Error, UnavailableError


class BootFailure(StrEnum):
    SECURE_BOOT_REFUSED = "secure-boot-refused"
    KERNEL_PANIC = "kernel-panic"
    NO_BOOTABLE_DEVICE = "no-bootable-device"
    LOADER_STOPPED = "loader-stopped"
    ROOT_NOT_FOUND = "root-not-found"
    EMERGENCY_MODE = "emergency-mode"
    EMULATOR_ENDED = "emulator-ended"
    EMULATOR_STOPPED = "emulator-stopped"
    SERIAL_FLOOD = "serial-flood"
    TIMED_OUT = "timed-out"


_HINTS = {
    BootFailure.SECURE_BOOT_REFUSED: (
        "the boot loader or kernel is unsigned or signed by a key this firmware does not trust; "
        "install the distribution's signed packages, or start it without Secure Boot"
    ),
    BootFailure.KERNEL_PANIC: "read the serial log above the panic; often root= is wrong",
    BootFailure.NO_BOOTABLE_DEVICE: "check that the EFI system partition holds EFI/BOOT/BOOTX64.EFI",
    BootFailure.LOADER_STOPPED: "check the boot loader's configuration and the kernel's and initrd's paths",
    BootFailure.ROOT_NOT_FOUND: "check root= on the kernel command line against the disk's partitions",
    BootFailure.EMERGENCY_MODE: "check /etc/fstab; systemd could not reach its default target",
    BootFailure.EMULATOR_ENDED: "read qemu.log in the machine's directory",
    BootFailure.EMULATOR_STOPPED: "the accelerator may be broken on this host; start it again with tcg",
    BootFailure.SERIAL_FLOOD: "the guest writes without end to its serial console",
    BootFailure.TIMED_OUT: "read the serial log; on a slow or busy host raise the boot time limit",
}


class BootFailedError(Error):
    """The machine did not reach its goal: `reason` is why, `evidence` the last lines of its console."""

    code = "BootFailed"

    def __init__(self, message: str, *, reason: BootFailure, evidence: str) -> None:
        super().__init__(message, hint=_HINTS[reason], details=((reason.value, evidence),))
        self.reason = reason
        self.evidence = evidence


class GuestAgentError(UnavailableError):
    code = "GuestAgentUnavailable"
