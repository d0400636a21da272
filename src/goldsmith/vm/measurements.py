"""What the machine measured as it booted: PCR values, the log behind them, Secure Boot, lockdown."""

import re
from dataclasses import dataclass

from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.json import JsonObject
from goldsmith.vm.eventlog import Algorithm, Event, parse_event_log, replay
from goldsmith.vm.running import RunningVm

# Firmware, its settings, boot loader, kernel, initrd, MOK list: equal in every boot of the same
# image on the same kind of machine. The others belong to the running system.
GOLDEN_PCRS = (*range(10), 14)
_EVENT_LOG = "/sys/kernel/security/tpm0/binary_bios_measurements"
_PCR = re.compile(r"pcr (\d+) ([0-9A-Fa-f]{64})")
_SECURE_BOOT = re.compile(r"secureboot((?: [0-9a-f]{2}){5})")
_LOCKDOWN = re.compile(r"lockdown .*\[(\w+)\]")
_COLLECT = f"""
for index in $(seq 0 23); do
    file=/sys/class/tpm/tpm0/pcr-sha256/$index
    if [ -r "$file" ]; then echo "pcr $index $(cat "$file")"; fi
done
variable=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
if [ -r "$variable" ]; then echo "secureboot$(od -An -tx1 "$variable")"; fi
if [ -r /sys/kernel/security/lockdown ]; then echo "lockdown $(cat /sys/kernel/security/lockdown)"; fi
if [ -r {_EVENT_LOG} ]; then echo eventlog; fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """`pcrs` by index in lower-case hex (SHA-256 bank); empty when the machine has no TPM.

    `replayed` are the values the event log leads to. `secure_boot` and `lockdown` are None when the
    guest does not say.
    """

    pcrs: dict[int, str]
    events: tuple[Event, ...]
    replayed: dict[int, str]
    secure_boot: bool | None
    lockdown: str | None

    @property
    def mismatched(self) -> tuple[int, ...]:
        """PCRs whose value the event log does not explain; a sound log leaves none."""
        return tuple(pcr for pcr, value in self.replayed.items() if self.pcrs.get(pcr) != value)

    @property
    def replay_matches(self) -> bool:
        return bool(self.replayed) and not self.mismatched

    @property
    def golden(self) -> dict[int, str]:
        """The values to hold later boots of this image against."""
        return {pcr: self.pcrs[pcr] for pcr in GOLDEN_PCRS if pcr in self.pcrs}

    def to_json(self) -> JsonObject:
        """`{"pcrs": {"0": hex}, "events": [{pcr, type, digest, description}], …}`"""
        return {
            "algorithm": "sha256",
            "pcrs": {str(pcr): value for pcr, value in self.pcrs.items()},
            "golden": {str(pcr): value for pcr, value in self.golden.items()},
            "replayMatches": self.replay_matches,
            "mismatched": list(self.mismatched),
            "secureBoot": self.secure_boot,
            "lockdown": self.lockdown,
            "events": [
                {
                    "pcr": event.pcr,
                    "type": event.type_name,
                    "digest": event.digests.get(Algorithm.SHA256, b"").hex(),
                    "description": event.description,
                }
                for event in self.events
            ],
        }


def collect_measurements(vm: RunningVm) -> Measurements:
    """Raises GuestAgentError, and CorruptError when the event log cannot be parsed."""
    text = vm.run(_COLLECT, timeout_seconds=60).text
    log = vm.read_file(_EVENT_LOG, bytes_max=16 << 20) if "\neventlog" in text else None
    return read_measurements(text, log)


def read_measurements(text: str, log: bytes | None) -> Measurements:
    """From what the collecting script printed in the guest, and the guest's binary event log."""
    secure_boot = _SECURE_BOOT.search(text)
    lockdown = _LOCKDOWN.search(text)
    parsed = parse_event_log(log) if log else None
    if parsed is not None and Algorithm.SHA256 not in parsed.algorithms:
        raise CorruptError("the boot event log has no SHA-256 digests")
    return Measurements(
        pcrs={int(index): value.lower() for index, value in _PCR.findall(text)},
        events=parsed.events if parsed else (),
        replayed=replay(parsed) if parsed else {},
        # efivarfs puts four bytes of attributes before the value.
        secure_boot=secure_boot[1].split()[4] == "01" if secure_boot else None,
        lockdown=lockdown[1] if lockdown else None,
    )
