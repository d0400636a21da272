"""Reading content to be stored: only where it holds data, window by window."""

import errno
import os
from collections.abc import Iterator
from typing import Protocol

from goldsmith.kernel.errors import ConflictError

WINDOW_BYTES = 4 << 20
# A block of zeros at a multiple of this is a hole, whether or not the file system stored it as one.
BLOCK_BYTES = 16 << 10
_ZERO_BLOCK = bytes(BLOCK_BYTES)


class Source(Protocol):
    size_bytes: int

    def extents(self) -> Iterator[tuple[int, int]]:
        """Start and end of each stretch that may hold data, in order, at multiples of BLOCK_BYTES."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. Raises ConflictError when they are not there any more."""
        ...


class BytesSource:
    def __init__(self, data: bytes) -> None:
        self.size_bytes = len(data)
        self._data = data

    def extents(self) -> Iterator[tuple[int, int]]:
        if self._data:
            yield 0, self.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class FileSource:
    """A file or block device, open for reading."""

    def __init__(self, handle: int, name: str) -> None:
        self.size_bytes = os.lseek(handle, 0, os.SEEK_END)
        self._handle = handle
        self._name = name

    def extents(self) -> Iterator[tuple[int, int]]:
        end = 0
        while end < self.size_bytes:
            try:
                start = os.lseek(self._handle, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # no more data
                    return
                if error.errno != errno.EINVAL:
                    raise
                # The file system or device cannot say; all of it may be data.
                yield end, self.size_bytes
                return
            hole = os.lseek(self._handle, start, os.SEEK_HOLE)
            # Rounding outwards may reach into what the extent before has covered.
            start = max(end, start // BLOCK_BYTES * BLOCK_BYTES)
            end = min(-(-hole // BLOCK_BYTES) * BLOCK_BYTES, self.size_bytes)
            if start < end:
                yield start, end

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._handle, length, offset)
        while len(data) < length:
            more = os.pread(self._handle, length - len(data), offset + len(data))
            if not more:
                raise ConflictError(
                    f"{self._name} became shorter while it was being stored",
                    hint="store it when nothing writes to it any more",
                )
            data += more
        return data


def windows(source: Source) -> Iterator[tuple[int, bytes]]:
    """Offset and content of at most WINDOW_BYTES at a time; what lies between is zeros."""
    for start, end in source.extents():
        for offset in range(start, end, WINDOW_BYTES):
            yield offset, source.read(offset, min(WINDOW_BYTES, end - offset))


def without_zeros(offset: int, window: bytes) -> Iterator[tuple[int, memoryview]]:
    """The window's stretches between blocks of zeros; `offset` is a multiple of BLOCK_BYTES."""
    view = memoryview(window)
    start = -1
    for position in range(0, len(window), BLOCK_BYTES):
        block = window[position : position + BLOCK_BYTES]
        if block == (_ZERO_BLOCK if len(block) == BLOCK_BYTES else bytes(len(block))):
            if start >= 0:
                yield offset + start, view[start:position]
            start = -1
        elif start < 0:
            start = position
    if start >= 0:
        yield offset + start, view[start:]
