"""The contents of files on their way into an ext4: read in large pieces, long runs of zeros become holes."""

import errno
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.disk.ext4_extents import Extent, add_extent
from goldsmith.disk.ext4_groups import Groups, Volume, runs
from goldsmith.disk.ext4_nodes import Node, changed
from goldsmith.kernel.cancel import Cancel

BLOCK_BYTES = 4096
# A file is looked at in pieces; a run of so many zero blocks in a piece is a hole, whatever the host's file
# has there, so that equal files give equal blocks.
PIECE_BYTES = 1 << 20
HOLE_BLOCKS_MIN = 16
# Small enough to stay in a processor's cache between reading and writing.
_BATCH_BYTES = 2 << 20
_BATCHES = 3
_CANCEL_FILES = 256
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class _Piece(NamedTuple):
    """Blocks of a file: `logical` is the place of the first in it, `start` that in the batch."""

    extents: list[Extent]
    logical: int
    start: int
    blocks: int


class _Batch:
    """Pieces one behind another in a buffer, each from a new block on."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_BATCH_BYTES))
        self.pieces: list[_Piece] = []
        self.used = 0
        self.writing: Future[None] | None = None

    def zero_blocks(self) -> NDArray[np.bool_]:
        rows = np.frombuffer(self.buffer[: self.used], np.uint64).reshape(-1, BLOCK_BYTES // 8)
        found: NDArray[np.bool_] = np.bitwise_or.reduce(rows, axis=1) == 0
        return found

    def empty(self) -> None:
        """Wait until it is on the disk, and raise what went wrong there."""
        if self.writing is not None:
            self.writing.result()
        self.writing, self.pieces, self.used = None, [], 0


class _Batches:
    """One batch is filled while others are on their way to the disk."""

    def __init__(self, volume: Volume, groups: Groups, writer: ThreadPoolExecutor) -> None:
        self._volume = volume
        self._groups = groups
        self._writer = writer
        self._all = [_Batch() for _ in range(_BATCHES)]
        self._current = 0

    def with_room(self, size: int) -> _Batch:
        batch = self._all[self._current]
        if batch.used + size <= _BATCH_BYTES:
            return batch
        self._send()
        self._current = (self._current + 1) % _BATCHES
        following = self._all[self._current]
        following.empty()
        return following

    def finish(self) -> None:
        self._send()
        for batch in self._all:
            batch.empty()

    def _send(self) -> None:
        batch = self._all[self._current]
        parts = _place(batch, self._groups)
        batch.writing = self._writer.submit(_write, self._volume, batch.buffer, parts)


def write_files(
    volume: Volume, groups: Groups, nodes: Iterable[Node], *, cancel: Cancel
) -> dict[int, list[Extent]]:
    """Write the contents of `nodes` (regular files) to the next free blocks; the extents by number of inode.

    Raises ConflictError when a file is not what it was when the tree was looked through, FullError, OSError.
    """
    found: dict[int, list[Extent]] = {}
    with ThreadPoolExecutor(1) as writer:
        batches = _Batches(volume, groups, writer)
        for number, node in enumerate(nodes):
            if number % _CANCEL_FILES == 0:
                cancel.check()
            if node.size_bytes:
                found[node.number] = _read_file(node, batches, cancel)
        batches.finish()
    return found


def data_runs(zero: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The blocks of a piece (first, end) that are written, given which of them are all zeros."""
    holes = [(first, end) for first, end in runs(zero) if end - first >= HOLE_BLOCKS_MIN]
    borders = [0, *(border for hole in holes for border in hole), len(zero)]
    return [(first, end) for first, end in zip(borders[::2], borders[1::2], strict=True) if first < end]


def _read_file(node: Node, batches: _Batches, cancel: Cancel) -> list[Extent]:
    """The list that will have the file's extents once all batches are sent."""
    extents: list[Extent] = []
    size = node.size_bytes
    try:
        handle = os.open(node.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise changed(node.path) from error
        raise
    try:
        place = 0
        while place < size:
            if place:
                cancel.check()
            if node.has_holes:
                place = _next_data(handle, size, place)
            part = min(PIECE_BYTES, size - place)
            count = -(-part // BLOCK_BYTES)
            batch = batches.with_room(count * BLOCK_BYTES)
            start, end = batch.used, batch.used + part
            batch.used += count * BLOCK_BYTES
            batch.pieces.append(_Piece(extents, place // BLOCK_BYTES, start // BLOCK_BYTES, count))
            while start < end:
                got = os.preadv(handle, [batch.buffer[start:end]], place)
                if got == 0:
                    raise changed(node.path)
                start += got
                place += got
            # The buffer still has what a batch before had there.
            batch.buffer[end : batch.used] = bytes(batch.used - end)
        status = os.fstat(handle)
        if (status.st_size, status.st_mtime_ns) != (size, node.mtime_ns):
            raise changed(node.path)
    finally:
        os.close(handle)
    return extents


def _next_data(handle: int, size: int, place: int) -> int:
    """From which place on to read: pieces that the host keeps as a hole are passed over.

    The last piece is read in any case: when it is short, its zeros are written.
    """
    last = (size - 1) // PIECE_BYTES * PIECE_BYTES
    if place >= last:
        return place
    try:
        data = os.lseek(handle, place, os.SEEK_DATA)
    except OSError as error:
        # There is no more data; or this file system knows no holes, and is read to its end.
        return last if error.errno == errno.ENXIO else place
    return max(place, min(data // PIECE_BYTES * PIECE_BYTES, last))


def _place(batch: _Batch, groups: Groups) -> list[tuple[int, int, int]]:
    """Give the pieces their blocks; what to write: index in the batch, block on the disk, how many."""
    zero = batch.zero_blocks() if any(item.blocks >= HOLE_BLOCKS_MIN for item in batch.pieces) else None
    parts: list[tuple[int, int, int]] = []
    for item in batch.pieces:
        if zero is None or item.blocks < HOLE_BLOCKS_MIN:
            written = [(0, item.blocks)]
        else:
            written = data_runs(zero[item.start : item.start + item.blocks])
        for first, end in written:
            for block, count in groups.take(end - first):
                add_extent(item.extents, item.logical + first, block, count)
                index = item.start + first
                if parts and parts[-1][0] + parts[-1][2] == index and parts[-1][1] + parts[-1][2] == block:
                    parts[-1] = (parts[-1][0], parts[-1][1], parts[-1][2] + count)
                else:
                    parts.append((index, block, count))
                first += count
    return parts


def _write(volume: Volume, buffer: memoryview, parts: list[tuple[int, int, int]]) -> None:
    for index, block, count in parts:
        volume.write(block, buffer[index * BLOCK_BYTES : (index + count) * BLOCK_BYTES])
