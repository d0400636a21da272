"""Just enough of ext2, 3 and 4 on disk to know one and to look through its inodes.

Written from the kernel's Documentation/filesystems/ext4: super block, group descriptors, inode table.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAGIC = 0xEF53
SUPER_OFFSET = 1024
SUPER_BYTES = 1024
_INCOMPAT_RECOVER = 0x4
_INCOMPAT_META_BG = 0x10
_INCOMPAT_64BIT = 0x80
_INCOMPAT_SEED = 0x2000
_RO_METADATA_CHECKSUM = 0x400
_GROUP_INODES_UNUSED = 0x1
_ATTRIBUTE_MAGIC = b"\x00\x00\x02\xea"
_EXTRA_SIZE = 0x80
_BASE_INODE_BYTES = 128
_POLYNOMIAL = 0x82F63B78


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperBlock:
    """`features` are the words compatible, incompatible and read-only compatible."""

    features: tuple[int, int, int]
    block_count: int
    block_bytes: int
    blocks_per_group: int
    inode_count: int
    inodes_per_group: int
    inode_bytes: int
    group_count: int
    descriptor_bytes: int
    first_data_block: int
    uuid: bytes
    label: str
    checksum_seed: int | None
    needs_recovery: bool
    meta_groups: bool


def read_super_block(disk: IO[bytes], offset: int) -> SuperBlock | None:
    """The super block of the file system that begins at byte `offset`; None when it is not ext2, 3 or 4."""
    disk.seek(offset + SUPER_OFFSET)
    raw = disk.read(SUPER_BYTES)
    if len(raw) < SUPER_BYTES or struct.unpack_from("<H", raw, 0x38)[0] != MAGIC:
        return None
    blocks = struct.unpack_from("<I", raw, 0x04)[0]
    compat, incompat, ro_compat = struct.unpack_from("<III", raw, 0x5C)
    large = bool(incompat & _INCOMPAT_64BIT)
    if large:
        blocks |= struct.unpack_from("<I", raw, 0x150)[0] << 32
    first_data_block = struct.unpack_from("<I", raw, 0x14)[0]
    per_group = struct.unpack_from("<I", raw, 0x20)[0]
    revision = struct.unpack_from("<I", raw, 0x4C)[0]
    seed: int | None = None
    if ro_compat & _RO_METADATA_CHECKSUM:
        explicit = struct.unpack_from("<I", raw, 0x270)[0]
        seed = explicit if incompat & _INCOMPAT_SEED else crc32c(0xFFFFFFFF, raw[0x68:0x78])
    return SuperBlock(
        features=(compat, incompat, ro_compat),
        block_count=blocks,
        blocks_per_group=per_group,
        inode_count=struct.unpack_from("<I", raw)[0],
        block_bytes=1024 << struct.unpack_from("<I", raw, 0x18)[0],
        inodes_per_group=struct.unpack_from("<I", raw, 0x28)[0],
        inode_bytes=struct.unpack_from("<H", raw, 0x58)[0] if revision else _BASE_INODE_BYTES,
        group_count=-(-(blocks - first_data_block) // max(1, per_group)),
        descriptor_bytes=struct.unpack_from("<H", raw, 0xFE)[0] if large else 32,
        first_data_block=first_data_block,
        uuid=raw[0x68:0x78],
        label=raw[0x78:0x88].split(b"\0", 1)[0].decode(errors="replace"),
        checksum_seed=seed,
        needs_recovery=bool(incompat & _INCOMPAT_RECOVER),
        meta_groups=bool(incompat & _INCOMPAT_META_BG),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inode:
    """`mode` with the type of the file in it, `mtime` in seconds."""

    number: int
    mode: int
    mtime: int
    link_count: int
    has_attributes: bool


def read_inodes(path: Path, offset: int) -> Iterator[Inode]:
    """The inodes in use of the file system at `offset`; none when it is not ext4 as `mke2fs` lays it out."""
    with path.open("rb") as disk:
        block = read_super_block(disk, offset)
        if block is None or block.meta_groups:
            return
        for first, table in _inode_tables(disk, block, offset):
            for number, start in enumerate(range(0, len(table), block.inode_bytes), first):
                inode = table[start : start + block.inode_bytes]
                mode, mtime = struct.unpack_from("<H14xI", inode)
                link_count: int = struct.unpack_from("<H", inode, 0x1A)[0]
                if link_count:
                    yield Inode(
                        number=number,
                        mode=mode,
                        mtime=mtime,
                        link_count=link_count,
                        has_attributes=_has_attributes(inode),
                    )


def crc32c(register: int, data: bytes) -> int:
    """The CRC-32C register after `data`, with no final inversion (as ext4 keeps it)."""
    for byte in data:
        register = _TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register


def _inode_tables(disk: IO[bytes], block: SuperBlock, offset: int) -> Iterator[tuple[int, bytes]]:
    """Of each group: the number of its first inode, and the used part of its table."""
    disk.seek(offset + (block.first_data_block + 1) * block.block_bytes)
    descriptors = disk.read(block.group_count * block.descriptor_bytes)
    for group in range(block.group_count):
        raw = descriptors[group * block.descriptor_bytes : (group + 1) * block.descriptor_bytes].ljust(
            64, b"\0"
        )
        flags, unused = struct.unpack_from("<H", raw, 0x12)[0], struct.unpack_from("<H", raw, 0x1C)[0]
        table_block = struct.unpack_from("<I", raw, 0x08)[0]
        if block.descriptor_bytes >= 64:
            table_block |= struct.unpack_from("<I", raw, 0x28)[0] << 32
            unused |= struct.unpack_from("<H", raw, 0x32)[0] << 16
        if flags & _GROUP_INODES_UNUSED:
            continue
        disk.seek(offset + table_block * block.block_bytes)
        table = disk.read((block.inodes_per_group - unused) * block.inode_bytes)
        yield group * block.inodes_per_group + 1, table


def _has_attributes(inode: bytes) -> bool:
    if inode[0x68:0x6C] != bytes(4) or inode[0x76:0x78] != bytes(2):
        return True
    if len(inode) <= _BASE_INODE_BYTES:
        return False
    extra_bytes: int = struct.unpack_from("<H", inode, _EXTRA_SIZE)[0]
    place = _BASE_INODE_BYTES + extra_bytes
    return inode[place : place + 4] == _ATTRIBUTE_MAGIC


def _make_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _make_table()
