"""Storing content: cut, hash, compress and pack it, on two threads beside the one that reads."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from goldsmith.blobs.chunks import Cutter, encode, key_of_chunk
from goldsmith.blobs.index import ChunkIndex, Location
from goldsmith.blobs.manifest import ChunkAt, Header, Manifest, encode_chunks
from goldsmith.blobs.model import Progress
from goldsmith.blobs.objects import Objects
from goldsmith.blobs.pack import PACK_BYTES, PackEntry, encode_index, index_path, pack_id, pack_path
from goldsmith.blobs.source import WINDOW_BYTES, Source, windows, without_zeros
from goldsmith.kernel.cancel import Cancel

# Content up to this size is kept in the manifest itself.
INLINE_BYTES = 64 << 10
_BATCH_BYTES = 2 << 20
_WORKERS = 2
# What is read but not packed yet, and packed but not uploaded yet, is bounded by these.
_BATCHES_MAX = 6
_UPLOADS_MAX = 2
_ZEROS = bytes(WINDOW_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Chunks and packs are stored; the blob does not exist before its manifest is."""

    digest: str
    manifest: Manifest
    added_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    """`stored` is None when the store had the chunk already, at `location`."""

    offset: int
    raw_length: int
    key: bytes
    stored: bytes | None
    location: Location | None


def inline(data: bytes) -> Written:
    stored = encode(data)
    header = Header(size_bytes=len(data), stored_bytes=len(stored), packs=(), inline=True)
    return Written(
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
        manifest=Manifest(header=header, body=stored),
        added_bytes=len(stored),
    )


def write_chunks(
    source: Source, objects: Objects, index: ChunkIndex, *, cancel: Cancel, progress: Progress | None
) -> Written:
    """Store what of the content the store has not yet.

    Raises NoSpaceError, UnavailableError, ConflictError when the content changed meanwhile, and what
    `cancel.check()` raises; what was stored by then is garbage.
    """
    with ExitStack() as stack:
        workers = stack.enter_context(ThreadPoolExecutor(_WORKERS))
        hasher = _Hasher(stack.enter_context(ThreadPoolExecutor(1)))
        packer = _Packer(objects, index, stack.enter_context(ThreadPoolExecutor(1)))
        pending: deque[Future[list[_Encoded]]] = deque()
        stack.callback(lambda: [future.cancel() for future in pending])
        for batch in _batches(source, hasher, cancel, progress):
            pending.append(workers.submit(_encode_batch, batch, index))
            while len(pending) > _BATCHES_MAX or (pending and pending[0].done()):
                packer.add(pending.popleft().result())
        while pending:
            packer.add(pending.popleft().result())
        return packer.finish(source.size_bytes, hasher)


def _batches(
    source: Source, hasher: "_Hasher", cancel: Cancel, progress: Progress | None
) -> Iterator[list[tuple[int, memoryview]]]:
    cutter = Cutter()
    batch: list[tuple[int, memoryview]] = []
    size = 0
    for offset, window in windows(source):
        cancel.check()
        hasher.update(offset, window)
        for start, stretch in without_zeros(offset, window):
            for chunk in cutter.feed(start, stretch):
                batch.append(chunk)
                size += len(chunk[1])
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        if progress is not None and offset + len(window) < source.size_bytes:
            progress(offset + len(window), source.size_bytes)
    yield [*batch, *cutter.finish()]
    hasher.zeros_until(source.size_bytes)
    cancel.check()
    if progress is not None:
        progress(source.size_bytes, source.size_bytes)


def _encode_batch(batch: list[tuple[int, memoryview]], index: ChunkIndex) -> list[_Encoded]:
    encoded = []
    for offset, data in batch:
        key = key_of_chunk(data)
        location = index.find(key)
        stored = encode(data) if location is None else None
        encoded.append(
            _Encoded(offset=offset, raw_length=len(data), key=key, stored=stored, location=location)
        )
    return encoded


class _Hasher:
    """SHA-256 of content that comes in windows with zeros between them, on a thread of its own."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread
        self._state = hashlib.sha256()
        self._end = 0
        self._pending: deque[Future[None]] = deque()

    def update(self, offset: int, window: bytes) -> None:
        self.zeros_until(offset)
        self._submit(window)
        self._end = offset + len(window)

    def zeros_until(self, offset: int) -> None:
        while self._end < offset:
            length = min(offset - self._end, WINDOW_BYTES)
            self._submit(memoryview(_ZEROS)[:length])
            self._end += length

    def digest(self) -> str:
        while self._pending:
            self._pending.popleft().result()
        return "sha256:" + self._state.hexdigest()

    def _submit(self, data: bytes | memoryview) -> None:
        self._pending.append(self._thread.submit(self._state.update, data))
        if len(self._pending) > _BATCHES_MAX:
            self._pending.popleft().result()


class _Packer:
    """Gathers new chunks into packs and remembers where each chunk of the blob is."""

    def __init__(self, objects: Objects, index: ChunkIndex, thread: ThreadPoolExecutor) -> None:
        self._objects = objects
        self._index = index
        self._thread = thread
        self._uploads: deque[tuple[int, Future[str]]] = deque()
        # Packs by number; the id of one that is being written is known once it is.
        self._packs: list[str] = []
        self._numbers: dict[str, int] = {}
        self._open: int | None = None
        self._content = bytearray()
        self._entries: list[PackEntry] = []
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._chunks: list[ChunkAt] = []
        self._added_bytes = 0

    def add(self, batch: list[_Encoded]) -> None:
        for chunk in batch:
            place = self._places.get(chunk.key)
            if place is None:
                place = self._place(chunk)
                self._places[chunk.key] = place
            number, offset, stored_length = place
            self._chunks.append(
                ChunkAt(
                    offset=chunk.offset,
                    raw_length=chunk.raw_length,
                    pack=number,
                    pack_offset=offset,
                    stored_length=stored_length,
                    key=chunk.key,
                )
            )

    def finish(self, size_bytes: int, hasher: _Hasher) -> Written:
        self._close_pack()
        self._finish_uploads(0)
        header = Header(
            size_bytes=size_bytes,
            stored_bytes=sum(length for _, _, length in self._places.values()),
            packs=tuple(self._packs),
            inline=False,
        )
        return Written(
            digest=hasher.digest(),
            manifest=Manifest(header=header, body=encode_chunks(self._chunks)),
            added_bytes=self._added_bytes,
        )

    def _place(self, chunk: _Encoded) -> tuple[int, int, int]:
        if chunk.location is not None:
            known = chunk.location
            if known.pack not in self._numbers:
                self._numbers[known.pack] = len(self._packs)
                self._packs.append(known.pack)
            return self._numbers[known.pack], known.offset, known.stored_length
        assert chunk.stored is not None
        if self._open is None:
            self._open = len(self._packs)
            self._packs.append("")
        place = (self._open, len(self._content), len(chunk.stored))
        self._entries.append(PackEntry(key=chunk.key, offset=place[1], stored_length=place[2]))
        self._content += chunk.stored
        self._added_bytes += place[2]
        if len(self._content) >= PACK_BYTES:
            self._close_pack()
        return place

    def _close_pack(self) -> None:
        if self._open is None:
            return
        upload = self._thread.submit(_store_pack, self._objects, self._index, self._content, self._entries)
        self._uploads.append((self._open, upload))
        self._open, self._content, self._entries = None, bytearray(), []
        self._finish_uploads(_UPLOADS_MAX)

    def _finish_uploads(self, left: int) -> None:
        while len(self._uploads) > left:
            number, upload = self._uploads.popleft()
            self._packs[number] = upload.result()


def _store_pack(objects: Objects, index: ChunkIndex, content: bytearray, entries: list[PackEntry]) -> str:
    pack = pack_id(content)
    # One that exists was left by a writer that died or had the same chunks; it may have been damaged since.
    if not objects.create(pack_path(pack), content) and pack_id(objects.get(pack_path(pack))) != pack:
        objects.replace(pack_path(pack), content)
    objects.create(index_path(pack), encode_index(entries))
    index.add(pack, entries)
    return pack
