"""Where the blocks of a file are, as ext4 keeps it: extents in the inode, or a tree of them below it.

Written from the kernel's Documentation/filesystems/ext4/ifork.rst.
"""

import struct
from collections.abc import Callable, Sequence

BLOCK_BYTES = 4096
# Of an index block; its checksum is behind it.
CHECKED_BYTES = 4092
ROOT_BYTES = 60
EXTENT_BLOCKS_MAX = 32768
_MAGIC = 0xF30A
_ROOT_ENTRIES_MAX = 4
_BLOCK_ENTRIES_MAX = 340
_HEADER = struct.Struct("<HHHHI")
_EXTENT = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
_ONE = struct.Struct("<HHHHIIHHI36x")

# First block in the file, first block on the disk, how many.
Extent = tuple[int, int, int]


def add_extent(extents: list[Extent], logical: int, place: int, count: int) -> None:
    """Add `count` blocks behind what `extents` has; as one with the last where they touch on both sides."""
    if extents:
        before, begin, length = extents[-1]
        if before + length == logical and begin + length == place:
            count += length
            logical, place = before, begin
            extents.pop()
    while count > EXTENT_BLOCKS_MAX:
        extents.append((logical, place, EXTENT_BLOCKS_MAX))
        logical += EXTENT_BLOCKS_MAX
        place += EXTENT_BLOCKS_MAX
        count -= EXTENT_BLOCKS_MAX
    extents.append((logical, place, count))


def extent_tree(
    extents: Sequence[Extent], take_block: Callable[[], int]
) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The 60 bytes in the inode, and the blocks below it (from `take_block`), their checksums still 0."""
    if len(extents) == 1:
        logical, place, count = extents[0]
        one = _ONE.pack(_MAGIC, 1, _ROOT_ENTRIES_MAX, 0, 0, logical, count, place >> 32, place & 0xFFFFFFFF)
        return one, []
    entries = [
        (logical, _EXTENT.pack(logical, count, place >> 32, place & 0xFFFFFFFF))
        for logical, place, count in extents
    ]
    blocks: list[tuple[int, bytes]] = []
    depth = 0
    while len(entries) > _ROOT_ENTRIES_MAX:
        above: list[tuple[int, bytes]] = []
        for start in range(0, len(entries), _BLOCK_ENTRIES_MAX):
            below = entries[start : start + _BLOCK_ENTRIES_MAX]
            place = take_block()
            blocks.append((place, _node(below, _BLOCK_ENTRIES_MAX, depth).ljust(BLOCK_BYTES, b"\0")))
            above.append((below[0][0], _INDEX.pack(below[0][0], place & 0xFFFFFFFF, place >> 32, 0)))
        entries = above
        depth += 1
    return _node(entries, _ROOT_ENTRIES_MAX, depth).ljust(ROOT_BYTES, b"\0"), blocks


def root_extents(data: bytes) -> list[Extent]:
    """The extents that are in the inode itself (its 60 bytes are `data`)."""
    _, count, _, depth, _ = _HEADER.unpack_from(data)
    assert depth == 0
    found: list[Extent] = []
    for number in range(count):
        logical, length, high, low = _EXTENT.unpack_from(data, _HEADER.size + number * _EXTENT.size)
        found.append((logical, high << 32 | low, length))
    return found


def _node(entries: Sequence[tuple[int, bytes]], most: int, depth: int) -> bytes:
    return _HEADER.pack(_MAGIC, len(entries), most, depth, 0) + b"".join(data for _, data in entries)
