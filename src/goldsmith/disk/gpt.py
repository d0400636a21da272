"""GUID partition tables and MBRs in a disk file, read and written without the kernel's help.

UEFI specification 2.10, section 5: protective MBR, header at sector 1, 128 entries, copy of both at the end.
"""

import struct
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from goldsmith.kernel.errors import CorruptError, InvalidInputError

SECTOR_BYTES = 512
_ENTRY_COUNT = 128
_ENTRY_BYTES = 128
_TABLE_SECTORS = _ENTRY_COUNT * _ENTRY_BYTES // SECTOR_BYTES
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_NAME_BYTES = 72

TYPE_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
# The Discoverable Partitions Specification.
TYPE_ROOT_X86_64 = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
TYPE_ROOT_ARM64 = uuid.UUID("b921b045-1df0-41c3-af44-4c6f280d3fae")
TYPE_LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_MBR_EXTENDED = (0x05, 0x0F, 0x85)
_MBR_PROTECTIVE = 0xEE
_MBR_LOGICAL_MAX = 64

# Reads so many sectors from that one on.
_Sectors: TypeAlias = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """`offset` and `size_bytes` are multiples of a sector; `id` and `type` are None in an MBR."""

    number: int
    offset: int
    size_bytes: int
    type: uuid.UUID | None = None
    id: uuid.UUID | None = None
    name: str = ""


def write_gpt(path: Path, disk_id: uuid.UUID, partitions: Sequence[Partition]) -> None:
    """Write both copies of the table into an existing file, whose size is the disk's.

    Raises InvalidInputError when a partition has no type or id, is not aligned, overlaps or does not fit.
    """
    sectors = path.stat().st_size // SECTOR_BYTES
    table = _table(partitions, sectors)
    primary = _header(disk_id, table, own=1, other=sectors - 1, table_sector=2, sectors=sectors)
    backup = _header(
        disk_id,
        table,
        own=sectors - 1,
        other=1,
        table_sector=sectors - 1 - _TABLE_SECTORS,
        sectors=sectors,
    )
    with path.open("r+b") as disk:
        disk.write(_protective_mbr(sectors) + primary + table)
        disk.seek((sectors - 1 - _TABLE_SECTORS) * SECTOR_BYTES)
        disk.write(table + backup)


def read_partitions(path: Path) -> list[Partition]:
    """The partitions of a raw disk by GPT (its copy at the end when the first is damaged) or MBR; [] for
    none.

    Raises CorruptError when a table is announced and neither copy of it is whole.
    """
    with path.open("rb") as disk:
        size = disk.seek(0, 2)

        def sectors(number: int, count: int) -> bytes:
            disk.seek(number * SECTOR_BYTES)
            return disk.read(count * SECTOR_BYTES)

        mbr = sectors(0, 1)
        if len(mbr) < SECTOR_BYTES or mbr[510:] != b"\x55\xaa":
            return []
        records = [_mbr_record(mbr, index) for index in range(4)]
        if any(kind == _MBR_PROTECTIVE for kind, _, _ in records):
            for place in (1, size // SECTOR_BYTES - 1):
                entries = _checked_entries(sectors, place)
                if entries is not None:
                    return _parse_entries(entries)
            raise CorruptError(
                f"neither copy of the partition table in {path} is whole",
                hint="the file is cut off or damaged; fetch it again",
            )
        found: list[Partition] = []
        for number, (kind, start, count) in enumerate(records, 1):
            if kind in _MBR_EXTENDED:
                found += _logical(sectors, start)
            elif kind and count:
                found.append(_mbr_partition(number, start, count))
        return found


def _table(partitions: Sequence[Partition], sectors: int) -> bytes:
    table = bytearray(_ENTRY_COUNT * _ENTRY_BYTES)
    end = 2 + _TABLE_SECTORS
    last_usable = sectors - 2 - _TABLE_SECTORS
    for partition in sorted(partitions, key=lambda item: item.offset):
        name = partition.name.encode("utf-16-le")
        if partition.type is None or partition.id is None or len(name) > _NAME_BYTES:
            raise InvalidInputError(
                f"partition {partition.number} needs a type, an id and a name of at most 36 letters"
            )
        first, rest = divmod(partition.offset, SECTOR_BYTES)
        count, odd = divmod(partition.size_bytes, SECTOR_BYTES)
        if rest or odd or count < 1 or first < end or first + count - 1 > last_usable:
            raise InvalidInputError(
                f"partition {partition.number} at {partition.offset} with {partition.size_bytes} bytes"
                f" is not aligned, overlaps another or does not fit on a disk of {sectors} sectors"
            )
        end = first + count
        _ENTRY.pack_into(
            table,
            (partition.number - 1) * _ENTRY_BYTES,
            partition.type.bytes_le,
            partition.id.bytes_le,
            first,
            first + count - 1,
            0,
            name,
        )
    return bytes(table)


def _header(
    disk_id: uuid.UUID, table: bytes, *, own: int, other: int, table_sector: int, sectors: int
) -> bytes:
    def packed(checksum: int) -> bytes:
        return _HEADER.pack(
            b"EFI PART",
            0x10000,
            _HEADER.size,
            checksum,
            0,
            own,
            other,
            2 + _TABLE_SECTORS,
            sectors - 2 - _TABLE_SECTORS,
            disk_id.bytes_le,
            table_sector,
            _ENTRY_COUNT,
            _ENTRY_BYTES,
            zlib.crc32(table),
        )

    return packed(zlib.crc32(packed(0))).ljust(SECTOR_BYTES, b"\0")


def _protective_mbr(sectors: int) -> bytes:
    record = struct.pack(
        "<B3sB3sII", 0, b"\0\2\0", _MBR_PROTECTIVE, b"\xff\xff\xff", 1, min(sectors - 1, 0xFFFFFFFF)
    )
    return bytes(446) + record + bytes(48) + b"\x55\xaa"


def _checked_entries(sectors: _Sectors, place: int) -> list[bytes] | None:
    header = sectors(place, 1)
    if len(header) < SECTOR_BYTES or header[:8] != b"EFI PART":
        return None
    length = struct.unpack_from("<I", header, 12)[0]
    if not _HEADER.size <= length <= SECTOR_BYTES:
        return None
    _, _, _, checksum, _, own, _, _, _, _, table_sector, count, entry_bytes, table_checksum = (
        _HEADER.unpack_from(header)
    )
    blanked = header[:16] + bytes(4) + header[20:length]
    if zlib.crc32(blanked) != checksum or own != place or count > 4096 or not 128 <= entry_bytes <= 4096:
        return None
    table = sectors(table_sector, -(-count * entry_bytes // SECTOR_BYTES))[: count * entry_bytes]
    if zlib.crc32(table) != table_checksum:
        return None
    return [table[start : start + _ENTRY_BYTES] for start in range(0, len(table), entry_bytes)]


def _parse_entries(entries: Sequence[bytes]) -> list[Partition]:
    found = []
    for number, entry in enumerate(entries, 1):
        type_, id_, first, last, _, name = _ENTRY.unpack(entry)
        if type_ == bytes(16):
            continue
        found.append(
            Partition(
                number=number,
                offset=first * SECTOR_BYTES,
                size_bytes=(last - first + 1) * SECTOR_BYTES,
                type=uuid.UUID(bytes_le=type_),
                id=uuid.UUID(bytes_le=id_),
                name=name.decode("utf-16-le", errors="replace").split("\0", 1)[0],
            )
        )
    return found


def _mbr_record(mbr: bytes, index: int) -> tuple[int, int, int]:
    """The kind, first sector and count of sectors of one of the four records."""
    kind, start, count = struct.unpack_from("<4xB3xII", mbr, 446 + 16 * index)
    return kind, start, count


def _mbr_partition(number: int, start: int, count: int) -> Partition:
    return Partition(number=number, offset=start * SECTOR_BYTES, size_bytes=count * SECTOR_BYTES)


def _logical(sectors: _Sectors, extended: int) -> list[Partition]:
    # Each logical partition has a small MBR of its own: itself, and where the next of the chain is.
    found: list[Partition] = []
    place = extended
    for number in range(5, 5 + _MBR_LOGICAL_MAX):
        mbr = sectors(place, 1)
        if len(mbr) < SECTOR_BYTES or mbr[510:] != b"\x55\xaa":
            break
        kind, start, count = _mbr_record(mbr, 0)
        if kind and count:
            found.append(_mbr_partition(number, place + start, count))
        next_kind, next_start, _ = _mbr_record(mbr, 1)
        if next_kind not in _MBR_EXTENDED:
            break
        place = extended + next_start
    return found
