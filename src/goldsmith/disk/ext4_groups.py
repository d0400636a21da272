"""The groups of an empty ext4 file system: their free blocks are handed out, and all is counted and summed.

Written from the kernel's Documentation/filesystems/ext4: group descriptors, bitmaps, super block. Only a file
system as `mke2fs` makes it for us is known, see `disk.assemble`.
"""

import os
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from goldsmith.disk.ext4 import SUPER_BYTES, SUPER_OFFSET, SuperBlock, crc32c
from goldsmith.disk.ext4_checksum import crc32c_rows, words
from goldsmith.kernel.errors import Error

BLOCK_BYTES = 4096
_BITS = BLOCK_BYTES * 8
_DESCRIPTOR_BYTES = 64
_INODES_UNUSED, _BLOCKS_UNUSED, _TABLE_ZEROED = 0x1, 0x2, 0x4
_SUPER_CHECKSUM = 0x3FC
# Each number is in two halves; the width is that of one.
_HALVES = {
    "block_bitmap": ("<u4", 0x00, 0x20),
    "inode_bitmap": ("<u4", 0x04, 0x24),
    "inode_table": ("<u4", 0x08, 0x28),
    "free_blocks": ("<u2", 0x0C, 0x2C),
    "free_inodes": ("<u2", 0x0E, 0x2E),
    "directories": ("<u2", 0x10, 0x30),
    "block_bitmap_checksum": ("<u2", 0x18, 0x38),
    "inode_bitmap_checksum": ("<u2", 0x1A, 0x3A),
    "unused_inodes": ("<u2", 0x1C, 0x32),
}
_FLAGS, _CHECKSUM = 0x12, 0x1E


class FullError(Error):
    """There are not enough blocks or inodes; `disk.assemble` says so in its words."""


class Volume:
    """The blocks of a file system that begins at byte `offset` of an open file."""

    def __init__(self, handle: int, offset: int) -> None:
        self._handle = handle
        self._offset = offset

    def read(self, block: int, count: int) -> bytes:
        size = count * BLOCK_BYTES
        data = os.pread(self._handle, size, self._offset + block * BLOCK_BYTES)
        assert len(data) == size
        return data

    def write(self, block: int, data: bytes | memoryview, *, inside: int = 0) -> None:
        """Write from byte `inside` of `block` on; raises OSError when the host's disk is full."""
        rest = memoryview(data)
        place = self._offset + block * BLOCK_BYTES + inside
        while rest:
            count = os.pwrite(self._handle, rest, place)
            place += count
            rest = rest[count:]


class Groups:
    """Blocks are handed out from the first free one on, inodes from the first on: nothing is ever given back.

    What was taken is on the disk after `finish` only.
    """

    def __init__(self, volume: Volume, block: SuperBlock) -> None:
        assert block.checksum_seed is not None
        assert block.blocks_per_group == _BITS
        self._volume = volume
        self._block = block
        self._seed = block.checksum_seed
        count = block.group_count
        self._table_blocks = -(-count * _DESCRIPTOR_BYTES // BLOCK_BYTES)
        raw = volume.read(1, self._table_blocks)[: count * _DESCRIPTOR_BYTES]
        self._raw = np.frombuffer(bytearray(raw), np.uint8).reshape(count, _DESCRIPTOR_BYTES)
        self._numbers = {name: self._decoded(name) for name in _HALVES}
        self._flags = self._raw[:, _FLAGS : _FLAGS + 2].copy().view("<u2")[:, 0]
        self._bitmaps: dict[int, NDArray[np.uint8]] = {}
        self._runs = self._free_runs()
        self._taken: list[tuple[int, int]] = []
        self._next = self._end = 0

    def take(self, count: int) -> list[tuple[int, int]]:
        """The next `count` free blocks, as runs (first, how many); raises FullError."""
        found: list[tuple[int, int]] = []
        while count:
            if self._next == self._end:
                following = next(self._runs, None)
                if following is None:
                    raise FullError("the file system has no free block left")
                self._next, self._end = following
                self._taken.append(following)
            part = min(count, self._end - self._next)
            found.append((self._next, part))
            self._next += part
            count -= part
        return found

    def take_one(self) -> int:
        return self.take(1)[0][0]

    def table_block(self, group: int) -> int:
        """Where the table of the inodes of `group` begins."""
        return int(self._numbers["inode_table"][group])

    def finish(self, *, inode_count: int, directories: NDArray[np.int64]) -> None:
        """Write bitmaps, descriptors and super blocks: inodes 1 to `inode_count` are in use.

        `directories` is how many of them are directories, by group.
        """
        self._finish_blocks()
        self._finish_inodes(inode_count, directories)
        # The file was made of nothing but zeros, so that no kernel has to write them into the tables.
        self._flags |= _TABLE_ZEROED
        self._encode()
        table = self._raw.tobytes()
        for group in range(self._block.group_count):
            if self._has_super(group):
                start = group * self._block.blocks_per_group
                self._volume.write(start + 1, table)
                self._write_super(start, SUPER_OFFSET if group == 0 else 0)

    def _free_runs(self) -> Iterator[tuple[int, int]]:
        for group in range(self._block.group_count):
            if self._numbers["free_blocks"][group] == 0:
                continue
            bitmap = self._bitmap(group)
            self._bitmaps[group] = bitmap
            start = group * self._block.blocks_per_group
            bits = np.unpackbits(bitmap, bitorder="little")
            for first, end in runs(bits == 0):
                yield start + first, start + end

    def _bitmap(self, group: int) -> NDArray[np.uint8]:
        if not self._flags[group] & _BLOCKS_UNUSED:
            data = self._volume.read(int(self._numbers["block_bitmap"][group]), 1)
            return np.frombuffer(data, np.uint8)
        # The bitmap was never written: what is in use in it follows from where the groups' own blocks are.
        bits = np.zeros(_BITS, np.uint8)
        start = group * self._block.blocks_per_group
        bits[max(0, self._block.block_count - start) :] = 1
        if self._has_super(group):
            bits[: 1 + self._table_blocks] = 1
        table_blocks = self._block.inodes_per_group * self._block.inode_bytes // BLOCK_BYTES
        for name, size in (("block_bitmap", 1), ("inode_bitmap", 1), ("inode_table", table_blocks)):
            places = self._numbers[name] - start
            for place in places[(places > -size) & (places < _BITS)]:
                bits[max(0, place) : place + size] = 1
        return np.packbits(bits, bitorder="little")

    def _has_super(self, group: int) -> bool:
        """`sparse_super`: copies are in the groups 0, 1 and the powers of 3, 5 and 7."""
        return group <= 1 or any(_is_power(group, base) for base in (3, 5, 7))

    def _finish_blocks(self) -> None:
        per_group = self._block.blocks_per_group
        changed: dict[int, list[tuple[int, int]]] = {}
        for first, end in self._taken:
            # The last run may not have been needed to its end.
            part = (first, self._next if end == self._end else end)
            changed.setdefault(first // per_group, []).append(part)
        rows: list[NDArray[np.uint8]] = []
        for group, parts in changed.items():
            bits = np.unpackbits(self._bitmaps[group], bitorder="little")
            for first, end in parts:
                bits[first - group * per_group : end - group * per_group] = 1
                self._numbers["free_blocks"][group] -= end - first
            rows.append(np.packbits(bits, bitorder="little"))
            self._volume.write(int(self._numbers["block_bitmap"][group]), rows[-1].tobytes())
        if rows:
            groups = list(changed)
            self._numbers["block_bitmap_checksum"][groups] = crc32c_rows(self._seed, np.stack(rows))
            self._flags[groups] &= ~np.uint16(_BLOCKS_UNUSED)

    def _finish_inodes(self, inode_count: int, directories: NDArray[np.int64]) -> None:
        per_group = self._block.inodes_per_group
        for group in range(-(-inode_count // per_group)):
            used = min(per_group, inode_count - group * per_group)
            bits = np.zeros(_BITS, np.uint8)
            bits[:used] = 1
            # What is behind the inodes of the group counts as in use.
            bits[per_group:] = 1
            bitmap = np.packbits(bits, bitorder="little").tobytes()
            self._volume.write(int(self._numbers["inode_bitmap"][group]), bitmap)
            self._numbers["inode_bitmap_checksum"][group] = crc32c(self._seed, bitmap[: per_group // 8])
            self._numbers["free_inodes"][group] = per_group - used
            self._numbers["unused_inodes"][group] = per_group - used
            self._numbers["directories"][group] = directories[group]
            self._flags[group] &= ~np.uint16(_INODES_UNUSED)

    def _decoded(self, name: str) -> NDArray[np.int64]:
        form, low, high = _HALVES[name]
        width = np.dtype(form).itemsize
        lower = self._raw[:, low : low + width].copy().view(form)[:, 0].astype(np.int64)
        upper = self._raw[:, high : high + width].copy().view(form)[:, 0].astype(np.int64)
        return lower | upper << (8 * width)

    def _encode(self) -> None:
        for name, (form, low, high) in _HALVES.items():
            width = np.dtype(form).itemsize
            values = self._numbers[name]
            for place, half in ((low, values), (high, values >> (8 * width))):
                columns = half.astype(form).view(np.uint8).reshape(-1, width)
                self._raw[:, place : place + width] = columns
        self._raw[:, _FLAGS : _FLAGS + 2] = self._flags.astype("<u2").view(np.uint8).reshape(-1, 2)
        self._raw[:, _CHECKSUM : _CHECKSUM + 2] = 0
        numbers = words(np.arange(len(self._raw), dtype=np.uint64), count=1)
        sums = crc32c_rows(crc32c_rows(self._seed, numbers), self._raw)
        self._raw[:, _CHECKSUM : _CHECKSUM + 2] = (
            (sums & np.uint32(0xFFFF)).astype("<u2").view(np.uint8).reshape(-1, 2)
        )

    def _write_super(self, block: int, inside: int) -> None:
        raw = bytearray(self._volume.read(block, 1)[inside : inside + SUPER_BYTES])
        free_blocks = int(self._numbers["free_blocks"].sum())
        struct.pack_into("<I", raw, 0x0C, free_blocks & 0xFFFFFFFF)
        struct.pack_into("<I", raw, 0x158, free_blocks >> 32)
        struct.pack_into("<I", raw, 0x10, int(self._numbers["free_inodes"].sum()))
        struct.pack_into("<I", raw, _SUPER_CHECKSUM, crc32c(0xFFFFFFFF, bytes(raw[:_SUPER_CHECKSUM])))
        self._volume.write(block, bytes(raw), inside=inside)


def runs(chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where `chosen` holds without a break: (first, end), in order."""
    padded = np.concatenate(([False], chosen, [False]))
    borders = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(borders[::2], borders[1::2], strict=True))


def _is_power(number: int, base: int) -> bool:
    while number > 1 and number % base == 0:
        number //= base
    return number == 1
