"""Which file system begins at a place of a raw disk, told by the magic numbers that they have."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from goldsmith.disk import ext4
from goldsmith.disk.gpt import Partition

_HEAD_BYTES = 0x10000 + 4096
_RAID_MAGIC = b"\xfc\x4e\x2b\xa9"


class FileSystem(StrEnum):
    EXT = "ext4"
    XFS = "xfs"
    BTRFS = "btrfs"
    FAT = "FAT"
    SWAP = "swap"
    LUKS = "LUKS"
    LVM = "LVM"
    NTFS = "NTFS"
    RAID = "RAID"
    BITLOCKER = "BitLocker"
    SQUASHFS = "squashfs"
    NONE = "no file system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A partition (or a whole disk, number 0) and what is on it; `id` and `label` as fstab would name it."""

    partition: Partition
    kind: FileSystem
    id: str = ""
    label: str = ""


def read_volume(disk: Path, partition: Partition) -> Volume:
    with disk.open("rb") as file:
        file.seek(partition.offset)
        head = file.read(min(_HEAD_BYTES, partition.size_bytes))
        kind = identify(head)
        if kind is FileSystem.EXT:
            block = ext4.read_super_block(file, partition.offset)
            assert block is not None
            return Volume(
                partition=partition, kind=kind, id=str(uuid.UUID(bytes=block.uuid)), label=block.label
            )
    if kind is FileSystem.XFS:
        label = head[108:120].split(b"\0", 1)[0].decode(errors="replace")
        return Volume(partition=partition, kind=kind, id=str(uuid.UUID(bytes=head[32:48])), label=label)
    return Volume(partition=partition, kind=kind)


def identify(head: bytes) -> FileSystem:
    """From the first 68 KiB of a partition."""
    if head[:6] in (b"LUKS\xba\xbe", b"SKUL\xba\xbe"):
        return FileSystem.LUKS
    if any(head[start : start + 8] == b"LABELONE" for start in range(0, 2048, 512)):
        return FileSystem.LVM
    if head[4096:4100] == _RAID_MAGIC or head[:4] == _RAID_MAGIC:
        return FileSystem.RAID
    if head[:4] == b"XFSB":
        return FileSystem.XFS
    if head[0x10040:0x10048] == b"_BHRfS_M":
        return FileSystem.BTRFS
    if int.from_bytes(head[0x438:0x43A], "little") == ext4.MAGIC:
        return FileSystem.EXT
    if head[3:11] == b"NTFS    ":
        return FileSystem.NTFS
    if head[3:11] == b"-FVE-FS-":
        return FileSystem.BITLOCKER
    if head[82:87] == b"FAT32" or head[54:57] == b"FAT":
        return FileSystem.FAT
    if head[4086:4096] == b"SWAPSPACE2":
        return FileSystem.SWAP
    if head[:4] == b"hsqs":
        return FileSystem.SQUASHFS
    return FileSystem.NONE
