"""Packs: objects of many chunks, so that a store of millions of chunks has thousands of objects."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from goldsmith.blobs.chunks import KEY_BYTES
from goldsmith.kernel.errors import CorruptError

# A pack is closed by the chunk that fills it, so it is at most a chunk longer.
PACK_BYTES = 24 << 20
_MAGIC = b"gs-index-1\n"
_ENTRY = struct.Struct(f">{KEY_BYTES}sII")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEntry:
    """Where in its pack a chunk's stored form is."""

    key: bytes
    offset: int
    stored_length: int


def pack_id(content: bytes | bytearray) -> str:
    """A pack is named by its content, so that equal packs are one and a damaged one can be told."""
    return blake3(content).hexdigest()


def pack_path(pack: str) -> str:
    return f"packs/{pack[:2]}/{pack}"


def index_path(pack: str) -> str:
    return f"indexes/{pack}"


def id_in_path(path: str) -> str:
    return path.rsplit("/", 1)[1]


def encode_index(entries: list[PackEntry]) -> bytes:
    """A magic line, BLAKE3 of the rest, then an entry a chunk: key, offset, stored length; big-endian."""
    body = b"".join(_ENTRY.pack(entry.key, entry.offset, entry.stored_length) for entry in entries)
    return _MAGIC + blake3(body).digest() + body


def decode_index(data: bytes) -> Iterator[PackEntry]:
    """Raises CorruptError, before the first entry, when it is not what was written."""
    head = len(_MAGIC) + KEY_BYTES
    body = data[head:]
    if data[:head] != _MAGIC + blake3(body).digest() or len(body) % _ENTRY.size:
        raise CorruptError("an index of a pack is damaged")
    for key, offset, stored_length in _ENTRY.iter_unpack(body):
        yield PackEntry(key=key, offset=offset, stored_length=stored_length)
