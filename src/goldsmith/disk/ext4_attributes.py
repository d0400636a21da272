"""Extended attributes as ext4 keeps them: in the inode where they fit, the others in one block.

Written from the kernel's Documentation/filesystems/ext4/attributes.rst.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from goldsmith.kernel.errors import InvalidInputError, UnsupportedError

BLOCK_BYTES = 4096
# Between the fields of an inode of 256 bytes, of which 32 are extra, and its end.
INODE_BYTES = 96
_MAGIC = 0xEA020000
_PREFIXES = ((b"user.", 1), (b"trusted.", 4), (b"security.", 6))
_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}
# What overlayfs notes in its layers has no meaning outside of them.
_LEFT_OUT = (b"trusted.overlay.", b"user.overlay.")
_ENTRY = struct.Struct("<BBHIII")
_HEADER = struct.Struct("<IIIII12x")
_END_BYTES = 4
_BLOCK_ROOM = BLOCK_BYTES - _HEADER.size - _END_BYTES
_ACL_VERSION, _ACL_ENTRY = 2, struct.Struct("<HHI")
_STORED_ACL_VERSION = 1
_TAGS_WITH_ID = (0x02, 0x08)
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Attribute:
    """Fields are in the order by which the kernel sorts."""

    index: int
    length: int
    name: bytes
    value: bytes

    @property
    def entry_bytes(self) -> int:
        return _ENTRY.size + _rounded(self.length)

    @property
    def size_bytes(self) -> int:
        return self.entry_bytes + _rounded(len(self.value))


def stored_attribute(name: bytes, value: bytes) -> Attribute | None:
    """What stands in ext4 for an attribute as `getxattr` gives it; None for one that stays with the host.

    Raises UnsupportedError for an access control list of an unknown version.
    """
    if name in _ACLS:
        return Attribute(index=_ACLS[name], length=0, name=b"", value=_stored_acl(value))
    if not name.startswith(_LEFT_OUT):
        for prefix, index in _PREFIXES:
            if name.startswith(prefix):
                short = name[len(prefix) :]
                return Attribute(index=index, length=len(short), name=short, value=value)
    return None


def place_attributes(attributes: Iterable[Attribute], *, path: bytes) -> tuple[bytes, bytes | None]:
    """The 96 bytes at the end of an inode, and the block (its checksum still 0) with what they do not hold.

    Raises InvalidInputError naming `path` when it is more than a block can hold.
    """
    inside: list[Attribute] = []
    outside: list[Attribute] = []
    room = INODE_BYTES - _END_BYTES - _END_BYTES
    for item in sorted(attributes):
        if item.size_bytes <= room:
            room -= item.size_bytes
            inside.append(item)
        else:
            outside.append(item)
    needed = sum(item.size_bytes for item in outside)
    if needed > _BLOCK_ROOM:
        raise InvalidInputError(
            f"the extended attributes of {os.fsdecode(path)} take {needed} bytes, expected at most"
            f" {_BLOCK_ROOM}",
            hint="remove some of them with setfattr -x",
        )
    return _in_inode(inside), _in_block(outside) if outside else None


def _in_inode(attributes: Sequence[Attribute]) -> bytes:
    if not attributes:
        return bytes(INODE_BYTES)
    # The kernel takes no hashes here, and counts the places of values from the first entry.
    return struct.pack("<I", _MAGIC) + _packed(
        attributes, [0] * len(attributes), room=INODE_BYTES - _END_BYTES, start=0
    )


def _in_block(attributes: Sequence[Attribute]) -> bytes:
    hashes = [_hash(item) for item in attributes]
    total = 0
    for value in hashes:
        total = ((total << 16) ^ (total >> 16) ^ value) & _MASK
    if 0 in hashes:
        total = 0
    header = _HEADER.pack(_MAGIC, 1, 1, total, 0)
    return header + _packed(attributes, hashes, room=BLOCK_BYTES - len(header), start=len(header))


def _packed(attributes: Sequence[Attribute], hashes: Sequence[int], *, room: int, start: int) -> bytes:
    """Entries from the front, values from the back; `start` is where the place of a value is counted from."""
    entries, values = bytearray(), b""
    for item, hash_ in zip(attributes, hashes, strict=True):
        values = item.value.ljust(_rounded(len(item.value)), b"\0") + values
        place = start + room - len(values) if item.value else 0
        entries += _ENTRY.pack(item.length, item.index, place, 0, len(item.value), hash_)
        entries += item.name.ljust(_rounded(item.length), b"\0")
    return bytes(entries) + bytes(room - len(entries) - len(values)) + values


def _hash(item: Attribute) -> int:
    value = 0
    for byte in item.name:
        value = ((value << 5) ^ (value >> 27) ^ byte) & _MASK
    padded = item.value.ljust(_rounded(len(item.value)), b"\0")
    for (word,) in struct.iter_unpack("<I", padded):
        value = ((value << 16) ^ (value >> 16) ^ word) & _MASK
    return value


def _stored_acl(value: bytes) -> bytes:
    """The list as ext4 keeps it: another version, and ids only where an entry has one."""
    return struct.pack("<I", _STORED_ACL_VERSION) + b"".join(_stored_entries(value))


def _stored_entries(value: bytes) -> Iterator[bytes]:
    if len(value) % _ACL_ENTRY.size != 4 or struct.unpack_from("<I", value)[0] != _ACL_VERSION:
        raise UnsupportedError(f"an access control list is of an unknown version: {value[:8].hex()}")
    for tag, permissions, id_ in _ACL_ENTRY.iter_unpack(value[4:]):
        yield struct.pack("<HH", tag, permissions)
        if tag in _TAGS_WITH_ID:
            yield struct.pack("<I", id_)


def _rounded(size: int) -> int:
    return (size + 3) & ~3
