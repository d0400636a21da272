"""Inodes of ext4, many at once: 256 bytes each, with times in whole seconds and their checksums.

Written from the kernel's Documentation/filesystems/ext4/inodes.rst.
"""

import os
import stat
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.disk.ext4_attributes import INODE_BYTES as ATTRIBUTES_BYTES
from goldsmith.disk.ext4_checksum import crc32c_rows, words
from goldsmith.disk.ext4_extents import ROOT_BYTES
from goldsmith.disk.ext4_nodes import Node

INODE_BYTES = 256
LINK_BYTES_MAX = 59
_BLOCK_SECTORS = 8
_EXTENTS_FLAG = 0x80000
_EXTRA_BYTES = 32
# Of a directory with more subdirectories than fit, `dir_nlink` says that nobody counts them.
_DIRECTORY_LINKS_MAX = 64999
_SECOND_NS = 1_000_000_000
_SECONDS_MIN, _SECONDS_MAX = -(1 << 31), (1 << 34) - (1 << 31) - 1
_ATTRIBUTES_OFFSET = 160
_FIELDS = {
    "mode": ("<u2", 0x00),
    "uid": ("<u2", 0x02),
    "size": ("<u4", 0x04),
    "atime": ("<u4", 0x08),
    "ctime": ("<u4", 0x0C),
    "mtime": ("<u4", 0x10),
    "gid": ("<u2", 0x18),
    "links": ("<u2", 0x1A),
    "sectors": ("<u4", 0x1C),
    "flags": ("<u4", 0x20),
    "attribute_block": ("<u4", 0x68),
    "size_high": ("<u4", 0x6C),
    "sectors_high": ("<u2", 0x74),
    "attribute_block_high": ("<u2", 0x76),
    "uid_high": ("<u2", 0x78),
    "gid_high": ("<u2", 0x7A),
    "checksum_low": ("<u2", 0x7C),
    "extra_bytes": ("<u2", 0x80),
    "checksum_high": ("<u2", 0x82),
    "ctime_extra": ("<u4", 0x84),
    "mtime_extra": ("<u4", 0x88),
    "atime_extra": ("<u4", 0x8C),
    "crtime": ("<u4", 0x90),
    "crtime_extra": ("<u4", 0x94),
    # 15 words of extents or the target of a link, and what follows the fields.
    "map": (f"V{ROOT_BYTES}", 0x28),
    "attributes": (f"V{ATTRIBUTES_BYTES}", _ATTRIBUTES_OFFSET),
}
_INODE = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [form for form, _ in _FIELDS.values()],
        "offsets": [offset for _, offset in _FIELDS.values()],
        "itemsize": INODE_BYTES,
    }
)
_NO_EXTENTS = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0).ljust(ROOT_BYTES, b"\0")


# A tuple, because there are as many as inodes.
class Placed(NamedTuple):
    """Where a node's bytes went: `map` are 15 words of its inode (None: no blocks at all), `block_count` all
    its blocks, `attribute_block` 0 for none.
    """

    size_bytes: int
    map: bytes | None = None
    block_count: int = 0
    attribute_block: int = 0
    attributes: bytes = b""


def fill_inodes(rows: NDArray[np.uint8], nodes: Sequence[Node], placed: Sequence[Placed]) -> None:
    """Make each row the inode of the node of the same index; the checksums are not yet in it."""
    inodes = rows.view(_INODE)[:, 0]
    inodes["mode"] = [node.mode for node in nodes]
    _split(inodes, "uid", "uid_high", 16, [node.uid for node in nodes])
    _split(inodes, "gid", "gid_high", 16, [node.gid for node in nodes])
    _split(inodes, "size", "size_high", 32, [item.size_bytes for item in placed])
    _split(inodes, "sectors", "sectors_high", 32, [item.block_count * _BLOCK_SECTORS for item in placed])
    _split(inodes, "attribute_block", "attribute_block_high", 32, [item.attribute_block for item in placed])
    inodes["links"] = [_links(node) for node in nodes]
    maps = [_map(node, item) for node, item in zip(nodes, placed, strict=True)]
    inodes["map"] = np.frombuffer(b"".join(data for data, _ in maps), f"V{ROOT_BYTES}")
    inodes["flags"] = [_EXTENTS_FLAG if has_extents else 0 for _, has_extents in maps]
    inodes["extra_bytes"] = _EXTRA_BYTES
    attributes = b"".join(item.attributes.ljust(ATTRIBUTES_BYTES, b"\0") for item in placed)
    inodes["attributes"] = np.frombuffer(attributes, f"V{ATTRIBUTES_BYTES}")
    set_times(rows, [node.mtime_ns // _SECOND_NS for node in nodes])


def set_times(rows: NDArray[np.uint8], times: Sequence[int]) -> None:
    """Give each inode its time for access, change, modification and creation, and no parts of a second.

    What lies outside of 1901 to 2446 becomes the nearest that ext4 can hold.
    """
    inodes = rows.view(_INODE)[:, 0]
    seconds = np.clip(np.array(times, np.int64), _SECONDS_MIN, _SECONDS_MAX)
    low = (seconds & 0xFFFFFFFF).astype(np.uint32)
    # Two bits continue the seconds, which are signed, beyond 2038.
    epoch = (seconds - low.view(np.int32).astype(np.int64)) >> 32
    for name in ("atime", "ctime", "mtime", "crtime"):
        inodes[name] = low
        inodes[f"{name}_extra"] = epoch


def sum_inodes(rows: NDArray[np.uint8], numbers: NDArray[np.uint64], seed: int) -> None:
    """Put the checksums of the inodes `numbers` (their generation is 0) into their rows."""
    inodes = rows.view(_INODE)[:, 0]
    inodes["checksum_low"] = inodes["checksum_high"] = 0
    sums = crc32c_rows(crc32c_rows(seed, words(numbers, count=2)), rows)
    inodes["checksum_low"] = sums & np.uint32(0xFFFF)
    inodes["checksum_high"] = sums >> np.uint32(16)


def map_of(row: NDArray[np.uint8]) -> bytes:
    """The 15 words of an inode that say where its blocks are."""
    return row[0x28 : 0x28 + ROOT_BYTES].tobytes()


def _split(inodes: NDArray[np.void], low: str, high: str, bits: int, values: Sequence[int]) -> None:
    numbers = np.array(values, np.uint64)
    inodes[low] = numbers & np.uint64((1 << bits) - 1)
    inodes[high] = numbers >> np.uint64(bits)


def _links(node: Node) -> int:
    return 1 if node.is_directory and node.links > _DIRECTORY_LINKS_MAX else node.links


def _map(node: Node, placed: Placed) -> tuple[bytes, bool]:
    """The 15 words, and whether they are extents."""
    if placed.map is not None:
        return placed.map, True
    mode = node.mode
    if stat.S_ISREG(mode):
        return _NO_EXTENTS, True
    if stat.S_ISLNK(mode):
        return node.target.ljust(ROOT_BYTES, b"\0"), False
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return _device(os.major(node.device), os.minor(node.device)), False
    return bytes(ROOT_BYTES), False


def _device(major: int, minor: int) -> bytes:
    """Small numbers stand in the first word, others as the kernel keeps them now in the second."""
    if major < 256 and minor < 256:
        return struct.pack("<I", major << 8 | minor).ljust(ROOT_BYTES, b"\0")
    wide = (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12
    return struct.pack("<II", 0, wide).ljust(ROOT_BYTES, b"\0")
