"""The manifest of a blob: which chunks it is made of and where they are; what is between them is zeros."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from goldsmith.blobs.chunks import KEY_BYTES
from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.json import canonical

# Enough for the header of a blob with a thousand packs.
HEADER_GUESS_BYTES = 72 << 10
_MAGIC = b"gs-blob-01\n"
_LENGTH = struct.Struct(">I")
_CHUNK = struct.Struct(f">QIIII{KEY_BYTES}s")
_FIXED_BYTES = len(_MAGIC) + _LENGTH.size + KEY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkAt:
    """`raw_length` bytes of the blob from `offset` are the chunk `key`, found in `packs[pack]`."""

    offset: int
    raw_length: int
    pack: int
    pack_offset: int
    stored_length: int
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`packs`: the ids of all packs the blob needs. `inline`: the body is the one chunk itself."""

    size_bytes: int
    stored_bytes: int
    packs: tuple[str, ...]
    inline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    header: Header
    body: bytes

    def chunks(self) -> Iterator[ChunkAt]:
        assert not self.header.inline
        for offset, raw_length, pack, pack_offset, stored_length, key in _CHUNK.iter_unpack(self.body):
            yield ChunkAt(
                offset=offset,
                raw_length=raw_length,
                pack=pack,
                pack_offset=pack_offset,
                stored_length=stored_length,
                key=key,
            )


def manifest_path(digest: str) -> str:
    text = digest.removeprefix("sha256:")
    return f"blobs/{text[:2]}/{text}"


def encode_chunks(chunks: list[ChunkAt]) -> bytes:
    return b"".join(
        _CHUNK.pack(at.offset, at.raw_length, at.pack, at.pack_offset, at.stored_length, at.key)
        for at in chunks
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """A magic line; length and BLAKE3 of the header; the header, JSON, with those of the body; the body."""
    header = manifest.header
    text = canonical(
        {
            "body": blake3(manifest.body).hexdigest(),
            "bodyLength": len(manifest.body),
            "inline": header.inline,
            "packs": list(header.packs),
            "size": header.size_bytes,
            "stored": header.stored_bytes,
        }
    )
    return _MAGIC + _LENGTH.pack(len(text)) + blake3(text).digest() + text + manifest.body


def header_length(start: bytes, digest: str) -> int:
    """How many bytes from the start of the manifest hold its header. Raises CorruptError."""
    if len(start) < _FIXED_BYTES or not start.startswith(_MAGIC):
        raise _damaged(digest)
    (length,) = _LENGTH.unpack_from(start, len(_MAGIC))
    return _FIXED_BYTES + int(length)


def decode_header(start: bytes, digest: str) -> Header:
    """From at least the first `header_length` bytes. Raises CorruptError."""
    return _decode(start, digest)[0]


def decode_manifest(data: bytes, digest: str) -> Manifest:
    """Raises CorruptError when it is not, byte for byte, what was written."""
    header, body_length, body_hash = _decode(data, digest)
    body = data[header_length(data, digest) :]
    if len(body) != body_length or blake3(body).hexdigest() != body_hash:
        raise _damaged(digest)
    return Manifest(header=header, body=body)


def _decode(data: bytes, digest: str) -> tuple[Header, int, str]:
    text = data[_FIXED_BYTES : header_length(data, digest)]
    if blake3(text).digest() != data[_FIXED_BYTES - KEY_BYTES : _FIXED_BYTES]:
        raise _damaged(digest)
    # Written by us, as the hash shows; what it holds needs no second check.
    value = json.loads(text)
    header = Header(
        size_bytes=value["size"],
        stored_bytes=value["stored"],
        packs=tuple(value["packs"]),
        inline=value["inline"],
    )
    return header, value["bodyLength"], value["body"]


def _damaged(digest: str) -> CorruptError:
    return CorruptError(
        f"the manifest of blob {digest} is damaged or cut off",
        hint="store the same content again to repair it",
    )
