"""Digests of many files at once, in two threads: reading and hashing both let go of the interpreter."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from goldsmith.sbom.root import SealedRoot, unreadable

THREADS = 2
_BUFFER_BYTES = 256 << 10
_BATCH_BYTES = 4 << 20

Algorithms = tuple[str, ...]
Constructor = Callable[..., "hashlib._Hash"]
MD5: Algorithms = ("md5",)
SHA: Algorithms = ("sha1", "sha256")
ALL: Algorithms = (*SHA, *MD5)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file seen in the walk: its canonical path and its size in bytes."""

    path: str
    size_bytes: int


class Hasher:
    """A pool that hashes the files given to `start`; the digests come back from `Future.result()`.

    Every byte of every file is read: neither sizes nor times stand in for content, because both can be set by
    whoever changes a file and an image's file system has passed through tar and copies.
    """

    def __init__(self, root: SealedRoot) -> None:
        self._root = root
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sbom-hash")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(
        self, entries: Sequence[FileEntry], algorithms: Algorithms
    ) -> list[Future[dict[str, tuple[str, ...]]]]:
        """Futures of path → hex digests in the order of `algorithms`.

        They raise CorruptError or UnsupportedError when a file cannot be read.
        """
        return [self._pool.submit(self._hash_all, batch, algorithms) for batch in _batches(entries)]

    def _hash_all(self, batch: Sequence[FileEntry], algorithms: Algorithms) -> dict[str, tuple[str, ...]]:
        buffer = bytearray(min(_BUFFER_BYTES, max(entry.size_bytes for entry in batch) + 1))
        constructors = [getattr(hashlib, name) for name in algorithms]
        return {entry.path: self._hash(entry, constructors, buffer) for entry in batch}

    def _hash(
        self, entry: FileEntry, constructors: Sequence[Constructor], buffer: bytearray
    ) -> tuple[str, ...]:
        view = memoryview(buffer)
        try:
            # What became a link or a FIFO since the walk must neither lead out of the root nor hang us.
            handle = os.open(self._root.absolute(entry.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                count = os.readv(handle, (buffer,))
                states = [constructor(view[:count], usedforsecurity=False) for constructor in constructors]
                # A read that does not fill the buffer has met the end, save on file systems in user space.
                total = count
                while count and (count == len(buffer) or total < entry.size_bytes):
                    count = os.readv(handle, (buffer,))
                    total += count
                    for state in states:
                        state.update(view[:count])
            finally:
                os.close(handle)
        except OSError as error:
            raise unreadable(entry.path, error) from error
        return tuple(state.hexdigest() for state in states)


def _batches(entries: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    # Large files first, so that no thread is left alone with one at the end.
    batch: list[FileEntry] = []
    size = 0
    for entry in sorted(entries, key=lambda entry: -entry.size_bytes):
        batch.append(entry)
        size += entry.size_bytes + 4096
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
