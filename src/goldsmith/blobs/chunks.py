"""Cutting content where the content says so, and the stored form of a piece."""

import threading
from collections.abc import Iterator

import zstandard
from blake3 import blake3
from pyfastcdc import FastCDC

from goldsmith.kernel.errors import CorruptError

# Of 16 KiB to 1 MiB these store least when a file system is rebuilt rather than changed in place.
AVERAGE_BYTES = 64 << 10
MIN_BYTES = 16 << 10
MAX_BYTES = 256 << 10
KEY_BYTES = 32
_ZSTD_LEVEL = 3

# zstd contexts hold a megabyte each and serve one thread at a time.
_local = threading.local()


class Cutter:
    """FastCDC over stretches that may continue each other; the same content is cut at the same places,
    however it is divided into stretches."""

    def __init__(self) -> None:
        self._cdc = FastCDC(AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES)
        self._rest = b""
        self._rest_offset = 0

    def feed(self, offset: int, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """The chunks that are certain by now; offsets rise from call to call."""
        if self._rest and self._rest_offset + len(self._rest) != offset:
            yield from self.finish()
        base = self._rest_offset if self._rest else offset
        buffer = self._rest + bytes(data)
        view = memoryview(buffer)
        cuts = [(chunk.offset, chunk.length) for chunk in self._cdc.cut_buf(buffer)]
        # The last one ends where the data ends, which is not where the content would cut.
        last, _ = cuts.pop()
        self._rest, self._rest_offset = bytes(view[last:]), base + last
        for start, length in cuts:
            yield base + start, view[start : start + length]

    def finish(self) -> Iterator[tuple[int, memoryview]]:
        if self._rest:
            yield self._rest_offset, memoryview(self._rest)
        self._rest = b""


def key_of_chunk(data: bytes | memoryview) -> bytes:
    return blake3(data).digest()


def encode(data: bytes | memoryview) -> bytes:
    """zstd, or the data itself where that does not help; a stored form as long as the data is the data."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    packed: bytes = _local.compressor.compress(data)
    return packed if len(packed) < len(data) else bytes(data)


def decode(stored: bytes | memoryview, *, raw_length: int, key: bytes) -> bytes:
    """The chunk. Raises CorruptError unless it has that length and that key."""
    data = bytes(stored) if len(stored) == raw_length else decompress(stored, raw_length)
    if len(data) != raw_length or key_of_chunk(data) != key:
        raise CorruptError(f"a chunk is not the {key.hex()} that was stored")
    return data


def decompress(stored: bytes | memoryview, raw_length: int) -> bytes:
    """What was compressed, or nothing at all when this is not a frame of that content length."""
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    try:
        # The frame itself says how much room it wants; a damaged one may say anything.
        if zstandard.frame_content_size(stored) != raw_length:
            return b""
        data: bytes = _local.decompressor.decompress(stored, max_output_size=raw_length)
    except zstandard.ZstdError:
        return b""
    return data
