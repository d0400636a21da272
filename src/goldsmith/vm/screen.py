"""The machine's screen as a PNG file."""

import re
import struct
import zlib

from goldsmith.kernel.errors import CorruptError

# PPM specification: magic, width, height and maximum, split by white space, then one white space.
_PPM_HEADER = re.compile(rb"P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_from_ppm(ppm: bytes) -> bytes:
    """A PNG of a binary portable pixmap (`P6`, 8 bits a channel), which every QEMU can write.

    QEMU itself writes PNG only when it was built with libpng. Raises CorruptError when it is no such pixmap.
    """
    header = _PPM_HEADER.match(ppm)
    if header is None:
        raise CorruptError("the screen dump is not a P6 pixmap with 8 bits a channel")
    width, height = int(header[1]), int(header[2])
    stride = width * 3
    pixels = ppm[header.end() :]
    if width == 0 or height == 0 or len(pixels) != stride * height:
        raise CorruptError(f"the screen dump holds {len(pixels)} bytes, expected {stride * height}")
    # Each PNG line starts with its filter type; 0 leaves the bytes as they are.
    lines = b"".join(b"\0" + pixels[row * stride : (row + 1) * stride] for row in range(height))
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", size) + _chunk(b"IDAT", zlib.compress(lines, 6)) + _chunk(b"IEND", b"")
    return _PNG_SIGNATURE + body


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
