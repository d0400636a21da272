"""The firmware's measured boot log: parse it, replay it to PCR values, say what each event is about.

Follows the TCG PC Client Platform Firmware Profile 1.05, section 10: one TCG_PCR_EVENT (SHA-1 form)
that holds TCG_EfiSpecIDEvent, then TCG_PCR_EVENT2 entries with a digest for each active bank.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from goldsmith.kernel.errors import CorruptError, UnsupportedError
from goldsmith.vm.eventdata import describe

EVENTS_MAX = 65536
_SIGNATURE = b"Spec ID Event03\0"
_LOCALITY_SIGNATURE = b"StartupLocality\0"
_PCRS = 24


class Algorithm(IntEnum):
    """TPM_ALG_ID of the hashes a bank may use (TCG Algorithm Registry)."""

    SHA1 = 0x0004
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D


class EventType(IntEnum):
    """Event types of section 10.4; a log may hold others, kept as plain numbers."""

    POST_CODE = 0x00000001
    NO_ACTION = 0x00000003
    SEPARATOR = 0x00000004
    ACTION = 0x00000005
    EVENT_TAG = 0x00000006
    S_CRTM_CONTENTS = 0x00000007
    S_CRTM_VERSION = 0x00000008
    CPU_MICROCODE = 0x00000009
    PLATFORM_CONFIG_FLAGS = 0x0000000A
    TABLE_OF_DEVICES = 0x0000000B
    COMPACT_HASH = 0x0000000C
    IPL = 0x0000000D
    IPL_PARTITION_DATA = 0x0000000E
    NONHOST_CODE = 0x0000000F
    NONHOST_CONFIG = 0x00000010
    NONHOST_INFO = 0x00000011
    OMIT_BOOT_DEVICE_EVENTS = 0x00000012
    EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
    EFI_VARIABLE_BOOT = 0x80000002
    EFI_BOOT_SERVICES_APPLICATION = 0x80000003
    EFI_BOOT_SERVICES_DRIVER = 0x80000004
    EFI_RUNTIME_SERVICES_DRIVER = 0x80000005
    EFI_GPT_EVENT = 0x80000006
    EFI_ACTION = 0x80000007
    EFI_PLATFORM_FIRMWARE_BLOB = 0x80000008
    EFI_HANDOFF_TABLES = 0x80000009
    EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000000A
    EFI_HANDOFF_TABLES2 = 0x8000000B
    EFI_VARIABLE_BOOT2 = 0x8000000C
    EFI_HCRTM_EVENT = 0x80000010
    EFI_VARIABLE_AUTHORITY = 0x800000E0
    EFI_SPDM_FIRMWARE_BLOB = 0x800000E1
    EFI_SPDM_FIRMWARE_CONFIG = 0x800000E2


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One measurement; `digests` by TPM algorithm id, `data` what the firmware says it measured."""

    pcr: int
    type: int
    digests: dict[int, bytes]
    data: bytes

    @property
    def type_name(self) -> str:
        """`EV_IPL`, or `0x…` for a type this profile does not name."""
        try:
            return f"EV_{EventType(self.type).name}"
        except ValueError:
            return f"0x{self.type:08x}"

    @property
    def extends(self) -> bool:
        """EV_NO_ACTION events inform the reader and are not measured."""
        return self.type != EventType.NO_ACTION

    @property
    def description(self) -> str:
        return describe(self.type_name, self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    algorithms: tuple[int, ...]
    events: tuple[Event, ...]


def parse_event_log(log: bytes) -> EventLog:
    """Raises CorruptError (cut short or malformed) and UnsupportedError (a TPM 1.2 log)."""
    reader = _Reader(log)
    _, first_type, _, size = reader.unpack("<II20sI")
    header = reader.take(size)
    if first_type != EventType.NO_ACTION or not header.startswith(_SIGNATURE):
        raise UnsupportedError(
            "the boot event log does not open with a TCG crypto-agile header",
            hint="only TPM 2.0 logs are read; start the machine with a TPM 2.0",
        )
    sizes = _digest_sizes(header)
    events: list[Event] = []
    while reader.left:
        if len(events) == EVENTS_MAX:
            raise CorruptError(f"the boot event log holds more than {EVENTS_MAX} events")
        event = _event(reader, sizes)
        if event is None:
            break
        events.append(event)
    return EventLog(algorithms=tuple(sizes), events=tuple(events))


def replay(log: EventLog, algorithm: Algorithm = Algorithm.SHA256) -> dict[int, str]:
    """The value in hex of every PCR the log measures into, by index.

    Raises CorruptError when the log has no such bank.
    """
    if algorithm not in log.algorithms:
        raise CorruptError(f"the boot event log has no {algorithm.name} digests")
    size = hashlib.new(algorithm.name.lower()).digest_size
    values: dict[int, bytes] = {}
    locality = _startup_locality(log.events)
    for event in log.events:
        if not event.extends:
            continue
        # Section 3.3.2: PCR 0 starts at the locality TPM2_Startup came from, all others at zero.
        start = bytes(size - 1) + bytes([locality if event.pcr == 0 else 0])
        value = values.get(event.pcr, start)
        values[event.pcr] = hashlib.new(algorithm.name.lower(), value + event.digests[algorithm]).digest()
    return {pcr: values[pcr].hex() for pcr in sorted(values)}


def _startup_locality(events: Iterable[Event]) -> int:
    for event in events:
        if event.type == EventType.NO_ACTION and event.data.startswith(_LOCALITY_SIGNATURE):
            tail = event.data[len(_LOCALITY_SIGNATURE) :]
            return tail[0] if tail else 0
    return 0


def _digest_sizes(header: bytes) -> dict[int, int]:
    # TCG_EfiSpecIdEvent: signature[16], platformClass u32, version and size bytes, numberOfAlgorithms u32.
    reader = _Reader(header)
    reader.take(len(_SIGNATURE) + 8)
    (count,) = reader.unpack("<I")
    if not 1 <= count <= 16:
        raise CorruptError(f"the boot event log names {count} digest algorithms, expected 1 to 16")
    sizes: dict[int, int] = {}
    for _ in range(count):
        algorithm, size = reader.unpack("<HH")
        sizes[algorithm] = size
    return sizes


def _event(reader: "_Reader", sizes: dict[int, int]) -> Event | None:
    pcr, type_, count = reader.unpack("<III")
    if pcr == 0 and type_ == 0 and count == 0:
        return None  # Some firmware hands over its whole buffer; zeros follow the last event.
    if pcr >= _PCRS or count != len(sizes):
        raise CorruptError(
            f"the boot event log is malformed at byte {reader.offset}: PCR {pcr} with {count} digests"
        )
    digests: dict[int, bytes] = {}
    for _ in range(count):
        (algorithm,) = reader.unpack("<H")
        if algorithm not in sizes:
            raise CorruptError(f"the boot event log uses algorithm 0x{algorithm:04x}, which it does not name")
        digests[algorithm] = reader.take(sizes[algorithm])
    if len(digests) != count:
        raise CorruptError(f"the boot event log repeats a digest algorithm at byte {reader.offset}")
    (size,) = reader.unpack("<I")
    return Event(pcr=pcr, type=type_, digests=digests, data=reader.take(size))


class _Reader:
    """Takes bytes from the front; asking for more than is left is a corrupt log."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.offset

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise CorruptError(
                f"the boot event log ends at byte {len(self._data)}, within the entry at {self.offset}"
            )
        self.offset += size
        return self._data[self.offset - size : self.offset]

    def unpack(self, format: str) -> tuple[int, ...]:
        return struct.unpack(format, self.take(struct.calcsize(format)))
