"""The blob store: content under its digest, and a few small objects under readable names."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from goldsmith.blobs import garbage
from goldsmith.blobs.commit import PacksGoneError, commit
from goldsmith.blobs.index import ChunkIndex
from goldsmith.blobs.manifest import manifest_path
from goldsmith.blobs.model import BlobRef, Collected, Progress, check_digest, check_name
from goldsmith.blobs.objects import Objects, open_objects
from goldsmith.blobs.pack import id_in_path
from goldsmith.blobs.reader import read_content, read_header
from goldsmith.blobs.source import BytesSource, FileSource, Source
from goldsmith.blobs.writer import INLINE_BYTES, inline, write_chunks
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from goldsmith.kernel.files import no_space, sync_directory
from goldsmith.kernel.ids import RandomIds

GRACE_SECONDS = 24 * 3600.0
_ATTEMPTS = 3


def open_store(url: str, options: Mapping[str, str] | None = None) -> "BlobStore":
    """A directory (`file:///directory` or a path) or `s3://bucket/prefix`; options as `open_objects` says."""
    return BlobStore(open_objects(url, options))


class BlobStore:
    """Safe to share between threads, processes and hosts. A blob is there whole or not at all.

    Methods raise InvalidInputError for a malformed digest or name, UnavailableError when the store does not
    answer and NoSpaceError when it is full.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._index = ChunkIndex()

    def put_file(
        self, path: Path, *, cancel: Cancel | None = None, progress: Progress | None = None
    ) -> BlobRef:
        """Store the content of a file or block device; its holes and zeros take no room.

        Raises NotFoundError when there is no such file, InvalidInputError when it cannot be read,
        ConflictError when it changes meanwhile, and what `cancel.check()` raises.
        """
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {path} to store", hint="check the path") from error
        except PermissionError as error:
            raise InvalidInputError(
                f"the file {path} may not be read", hint="check its owner and mode"
            ) from error
        try:
            before = os.fstat(handle)
            if not (stat.S_ISREG(before.st_mode) or stat.S_ISBLK(before.st_mode)):
                raise InvalidInputError(
                    f"{path} is neither a file nor a block device", hint="give one of these"
                )
            source = FileSource(handle, str(path))
            if source.size_bytes <= INLINE_BYTES:
                return self.put_bytes(source.read(0, source.size_bytes))
            stored = self._put(source, cancel or NeverCancel(), progress, unchanged=(handle, before, path))
        finally:
            os.close(handle)
        return stored

    def put_bytes(self, data: bytes) -> BlobRef:
        if len(data) <= INLINE_BYTES:
            return commit(self._objects, inline(data), cancel=NeverCancel())
        return self._put(BytesSource(data), NeverCancel(), None)

    def get_bytes(self, digest: str) -> bytes:
        """Raises NotFoundError; CorruptError when stored bytes are damaged or missing."""
        size = read_header(self._objects, check_digest(digest)).size_bytes
        content = bytearray(size)
        for offset, data in read_content(self._objects, digest, cancel=NeverCancel()):
            content[offset : offset + len(data)] = data
        return bytes(content)

    def get_file(
        self,
        digest: str,
        path: Path,
        *,
        sparse: bool = True,
        cancel: Cancel | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Afterwards `path` holds exactly the blob, or what it held before; zeros are holes if `sparse`.

        Raises NotFoundError; CorruptError when stored bytes are damaged or missing.
        """
        size = read_header(self._objects, check_digest(digest)).size_bytes
        content = read_content(self._objects, digest, cancel=cancel or NeverCancel(), progress=progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        with no_space(path), _replacing(path) as handle:
            os.ftruncate(handle, size)
            if not sparse and size:
                os.posix_fallocate(handle, 0, size)
            for offset, data in content:
                _write_at(handle, data, offset)

    def verify(self, digest: str) -> None:
        """Read all of the blob. Raises NotFoundError, or CorruptError naming the blob and what is damaged."""
        for _ in read_content(self._objects, check_digest(digest), cancel=NeverCancel()):
            pass

    def exists(self, digest: str) -> bool:
        return self._objects.info(manifest_path(check_digest(digest))) is not None

    def ref(self, digest: str) -> BlobRef:
        """Raises NotFoundError and CorruptError."""
        header = read_header(self._objects, check_digest(digest))
        return BlobRef(digest=digest, size_bytes=header.size_bytes, stored_bytes=header.stored_bytes)

    def list_named(self, prefix: str = "") -> list[str]:
        """The sorted names that begin with the segments of `prefix`: `a` finds `a/b` and not `ab`."""
        folder = _named_path(prefix.rstrip("/")) if prefix else "named"
        return sorted(info.path.removeprefix("named/") for info in self._objects.list(folder))

    def list(self) -> Iterator[str]:
        """The digests of all blobs, in no order."""
        for info in self._objects.list("blobs"):
            yield f"sha256:{id_in_path(info.path)}"

    def delete(self, digest: str) -> None:
        """Afterwards the blob is absent; its room comes back with the next collection of garbage."""
        self._objects.delete(manifest_path(check_digest(digest)))

    def collect_garbage(self, keep: Iterable[str], *, grace_seconds: float = GRACE_SECONDS) -> Collected:
        """Remove blobs that are not in `keep` and all that no blob left needs, as `garbage.collect` says."""
        return garbage.collect(self._objects, keep, grace_seconds=grace_seconds)

    def put_named(self, name: str, data: bytes) -> None:
        """Store or replace a small object; it is never seen half-written."""
        self._objects.replace(_named_path(name), data)

    def get_named(self, name: str) -> bytes:
        """Raises NotFoundError."""
        return self._objects.get(_named_path(name))

    def where_named(self, name: str) -> str:
        """For people: the path or URL at which the object called `name` lies."""
        return f"{self._objects.where}/{_named_path(name)}"

    def delete_named(self, name: str) -> None:
        """Afterwards the object is absent."""
        self._objects.delete(_named_path(name))

    def _put(
        self,
        source: Source,
        cancel: Cancel,
        progress: Progress | None,
        *,
        unchanged: tuple[int, os.stat_result, Path] | None = None,
    ) -> BlobRef:
        for _ in range(_ATTEMPTS):
            self._index.refresh(self._objects)
            written = write_chunks(source, self._objects, self._index, cancel=cancel, progress=progress)
            if unchanged is not None:
                _check_unchanged(*unchanged)
            try:
                return commit(self._objects, written, cancel=cancel)
            except PacksGoneError as error:
                self._index.forget(error.packs)
                gone = error
        raise gone


def _named_path(name: str) -> str:
    return f"named/{check_name(name)}"


def _check_unchanged(handle: int, before: os.stat_result, path: Path) -> None:
    after = os.fstat(handle)
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
        raise ConflictError(
            f"{path} changed while it was being stored", hint="store it when nothing writes to it any more"
        )


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[int]:
    """A new file that takes the place of `path` at the end of the block, unless it raises."""
    temporary = path.with_name(f".{path.name}.{RandomIds().new()}.tmp")
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            yield handle
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write_at(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
