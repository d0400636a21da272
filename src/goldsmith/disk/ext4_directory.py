"""The blocks of a directory of ext4: a list of names, no index; each block ends in a checksum.

Written from the kernel's Documentation/filesystems/ext4/directory.rst.
"""

import struct
from collections.abc import Iterable

BLOCK_BYTES = 4096
# The tail looks like an entry without a name, so that kernels without checksums pass over it.
TAIL_BYTES = 12
_ROOM = BLOCK_BYTES - TAIL_BYTES
_TAIL = struct.pack("<IHBBI", 0, TAIL_BYTES, 0, 0xDE, 0)
_ENTRY = struct.Struct("<IHBB")
_EMPTY = _ENTRY.pack(0, _ROOM, 0, 0) + bytes(_ROOM - _ENTRY.size) + _TAIL


def directory_blocks(entries: Iterable[tuple[int, bytes, int]], *, blocks_min: int = 1) -> bytes:
    """Whole blocks with `entries` (inode, name, type of file) in their order; the checksums are still 0."""
    parts: list[bytes] = []
    used = waiting = 0
    number, name, kind = 0, b"", 0
    for entry in entries:
        need = (len(entry[1]) + _ENTRY.size + 3) & ~3
        if used + need > _ROOM:
            # The last entry of a block has all that is left of it.
            parts.append(_packed(number, name, kind, waiting + _ROOM - used) + _TAIL)
            used = waiting = 0
        if waiting:
            parts.append(_packed(number, name, kind, waiting))
        number, name, kind = entry
        waiting = need
        used += need
    if waiting:
        parts.append(_packed(number, name, kind, waiting + _ROOM - used) + _TAIL)
    data = b"".join(parts)
    return data + _EMPTY * (blocks_min - len(data) // BLOCK_BYTES)


def _packed(number: int, name: bytes, kind: int, size: int) -> bytes:
    return (_ENTRY.pack(number, size, len(name), kind) + name).ljust(size, b"\0")
