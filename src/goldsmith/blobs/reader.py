"""Reading content back: fetch stretches of packs, decode and check them on two threads, in order."""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from goldsmith.blobs.chunks import decode, decompress
from goldsmith.blobs.manifest import (
    HEADER_GUESS_BYTES,
    ChunkAt,
    Header,
    Manifest,
    decode_header,
    decode_manifest,
    header_length,
    manifest_path,
)
from goldsmith.blobs.model import Progress
from goldsmith.blobs.objects import Objects
from goldsmith.blobs.pack import index_path, pack_path
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import CorruptError, NotFoundError

_WORKERS = 2
_FETCH_BYTES_MAX = 4 << 20
# Reading over a gap of this size is cheaper than asking twice.
_GAP_BYTES_MAX = 64 << 10
_AHEAD = 4
_ZEROS = bytes(1 << 20)


def read_header(objects: Objects, digest: str) -> Header:
    """Raises NotFoundError and CorruptError."""
    try:
        start = objects.get_range(manifest_path(digest), 0, HEADER_GUESS_BYTES)
        missing = header_length(start, digest) - len(start)
        if missing > 0:
            start += objects.get_range(manifest_path(digest), len(start), missing)
    except NotFoundError as error:
        raise _no_blob(digest) from error
    return decode_header(start, digest)


def read_manifest(objects: Objects, digest: str) -> Manifest:
    """Raises NotFoundError and CorruptError."""
    try:
        return decode_manifest(objects.get(manifest_path(digest)), digest)
    except NotFoundError as error:
        raise _no_blob(digest) from error


def read_content(
    objects: Objects, digest: str, *, cancel: Cancel, progress: Progress | None = None
) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each chunk in order; between them are zeros.

    Each chunk is checked before it is handed out, the whole at the end, so what was handed out is only known
    to be the blob when the iterator ends. Raises NotFoundError, CorruptError and what `cancel` raises.
    """
    manifest = read_manifest(objects, digest)
    size = manifest.header.size_bytes
    state = hashlib.sha256()
    end = 0
    for offset, data in _chunks(objects, digest, manifest):
        cancel.check()
        if offset < end:
            raise _not_the_blob(digest)
        _hash_zeros(state.update, offset - end)
        state.update(data)
        end = offset + len(data)
        yield offset, data
        if progress is not None and end < size:
            progress(end, size)
    if end <= size:
        _hash_zeros(state.update, size - end)
    if end > size or "sha256:" + state.hexdigest() != digest:
        raise _not_the_blob(digest)
    if progress is not None:
        progress(size, size)


def _chunks(objects: Objects, digest: str, manifest: Manifest) -> Iterator[tuple[int, bytes]]:
    if manifest.header.inline:
        data = _decode_inline(manifest, digest)
        if data:
            yield 0, data
        return
    packs = manifest.header.packs
    with ThreadPoolExecutor(_WORKERS) as workers:
        fetches = _fetches(manifest.chunks())
        ahead: deque[Future[list[tuple[int, bytes]]]] = deque(
            workers.submit(_fetch, objects, digest, packs[first[0].pack], first)
            for first in itertools.islice(fetches, _AHEAD)
        )
        try:
            while ahead:
                yield from ahead.popleft().result()
                for following in itertools.islice(fetches, 1):
                    ahead.append(workers.submit(_fetch, objects, digest, packs[following[0].pack], following))
        finally:
            for future in ahead:
                future.cancel()


def _decode_inline(manifest: Manifest, digest: str) -> bytes:
    # The manifest's own hash covers the body, and the whole digest is checked as for any blob.
    size = manifest.header.size_bytes
    data = manifest.body if len(manifest.body) == size else decompress(manifest.body, size)
    if len(data) != size:
        raise _not_the_blob(digest)
    return data


def _fetches(chunks: Iterable[ChunkAt]) -> Iterator[list[ChunkAt]]:
    """Neighbours in the blob that are near each other in one pack, to be read in one go."""
    group: list[ChunkAt] = []
    for chunk in chunks:
        if group:
            last = group[-1]
            gap = chunk.pack_offset - (last.pack_offset + last.stored_length)
            span = chunk.pack_offset + chunk.stored_length - group[0].pack_offset
            if chunk.pack != last.pack or not 0 <= gap <= _GAP_BYTES_MAX or span > _FETCH_BYTES_MAX:
                yield group
                group = []
        group.append(chunk)
    if group:
        yield group


def _fetch(objects: Objects, digest: str, pack: str, group: list[ChunkAt]) -> list[tuple[int, bytes]]:
    start = group[0].pack_offset
    length = group[-1].pack_offset + group[-1].stored_length - start
    try:
        view = memoryview(objects.get_range(pack_path(pack), start, length))
        decoded = []
        for at in group:
            stored = view[at.pack_offset - start : at.pack_offset - start + at.stored_length]
            decoded.append((at.offset, decode(stored, raw_length=at.raw_length, key=at.key)))
    except (CorruptError, NotFoundError) as error:
        # Without its index nothing new is built on the pack, and storing the content again repairs it.
        objects.delete(index_path(pack))
        kind = "missing" if isinstance(error, NotFoundError) else "damaged"
        raise CorruptError(
            f"cannot read blob {digest}: pack {pack} is {kind}",
            hint="store the same content again, or restore the pack from a copy of the store",
        ) from error
    return decoded


def _hash_zeros(update: Callable[[bytes], None], length: int) -> None:
    for _ in range(length // len(_ZEROS)):
        update(_ZEROS)
    update(_ZEROS[: length % len(_ZEROS)])


def _no_blob(digest: str) -> NotFoundError:
    return NotFoundError(f"the blob {digest} is not stored", hint="check the digest, or build it again")


def _not_the_blob(digest: str) -> CorruptError:
    return CorruptError(
        f"what is stored as blob {digest} has another digest",
        hint="store the same content again to repair it",
    )
