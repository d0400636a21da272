"""Reading a serial console: boot milestones and the signs of a machine that will never come up."""

import re
from dataclasses import dataclass

from goldsmith.kernel.proc import last_lines
from goldsmith.vm.errors import BootFailure
from goldsmith.vm.model import BootStage, Milestone

# A sign may be cut by the end of one read: this much of the last one is looked at again.
_OVERLAP_BYTES = 4096

_STAGES: tuple[tuple[BootStage, re.Pattern[bytes]], ...] = (
    (BootStage.FIRMWARE, re.compile(rb"BdsDxe: |UEFI firmware")),
    (BootStage.LOADER, re.compile(rb"GRUB|systemd-boot|BdsDxe: starting ")),
    (BootStage.KERNEL, re.compile(rb"EFI stub: |Linux version ")),
    (BootStage.INIT, re.compile(rb"systemd\[1\]: |Begin: Loading essential drivers|Welcome to .*Linux")),
    (BootStage.LOGIN, re.compile(rb"\blogin:\s")),
)

_FAILURES: tuple[tuple[BootFailure, re.Pattern[bytes]], ...] = (
    (
        BootFailure.SECURE_BOOT_REFUSED,
        re.compile(
            rb"bad shim signature|Security Violation|has invalid signature|"
            rb"BdsDxe: failed to (?:load|start) [^\r\n]*(?:Access Denied|Security Violation)|"
            rb"prohibited by secure boot policy"
        ),
    ),
    (BootFailure.KERNEL_PANIC, re.compile(rb"Kernel panic - not syncing")),
    (
        BootFailure.NO_BOOTABLE_DEVICE,
        re.compile(
            rb"BdsDxe: No bootable option or device was found|BdsDxe: failed to load [^\r\n]*Not Found|"
            rb"Boot Failed\. EFI|UEFI Interactive Shell"
        ),
    ),
    (
        BootFailure.LOADER_STOPPED,
        re.compile(rb"grub rescue>|^grub> |\ngrub> |Minimal BASH-like line editing"),
    ),
    (BootFailure.ROOT_NOT_FOUND, re.compile(rb"Gave up waiting for root|ALERT!  [^\r\n]* does not exist")),
    (BootFailure.EMERGENCY_MODE, re.compile(rb"You are in (?:emergency|rescue) mode")),
)

_OWN_SHELL = re.compile(rb"BdsDxe: [^\r\n]*EFI Internal Shell[^\r\n]*")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>c78])")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSign:
    reason: BootFailure
    line: str


class SerialScan:
    """Follows a console as it grows; each stage is reported once, the first sign of failure is kept."""

    def __init__(self) -> None:
        self._kept = b""
        self._seen: dict[BootStage, Milestone] = {}
        self.failure: FailureSign | None = None

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        return tuple(self._seen.values())

    def feed(self, data: bytes, *, seconds: float) -> tuple[Milestone, ...]:
        """New milestones in `data`, which came `seconds` after power-on."""
        window = self._kept + data
        new = [
            Milestone(stage=stage, seconds=seconds)
            for stage, pattern in _STAGES
            if stage not in self._seen and pattern.search(window)
        ]
        self._seen |= {milestone.stage: milestone for milestone in new}
        if self.failure is None:
            self.failure = find_failure(window)
        self._kept = window[-_OVERLAP_BYTES:]
        return tuple(new)

    def forgive(self) -> None:
        """Forget the failure and what was read so far; after a snapshot the console's past is not ours."""
        self._kept = b""
        self.failure = None


def find_failure(console: bytes) -> FailureSign | None:
    """The first sign, in order of how much it explains, that the machine will not come up."""
    # Where nothing else starts, some firmware tries its own shell, and Secure Boot refuses that too.
    console = _OWN_SHELL.sub(b"", console)
    for reason, pattern in _FAILURES:
        if match := pattern.search(console):
            start = console.rfind(b"\n", 0, match.start() + 1) + 1
            end = console.find(b"\n", match.end())
            line = clean_text(console[start : end if end >= 0 else None]).strip()
            return FailureSign(reason=reason, line=line)
    return None


def clean_text(console: bytes) -> str:
    """Console bytes without terminal control sequences, as lines."""
    text = _ESCAPES.sub("", console.decode(errors="replace")).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(character for character in text if character >= " " or character in "\n\t")


def evidence(console: bytes, *, lines: int = 20) -> str:
    """The last lines worth showing somebody who asks why the machine failed."""
    return last_lines(clean_text(console), lines)
