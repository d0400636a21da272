"""A finished disk gets its digest and is written no more."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.files import no_space

_CHUNK_BYTES = 4 << 20
_ZEROS = bytes(_CHUNK_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDisk:
    """`sha256` is hexadecimal, over all `size_bytes` of the raw disk, holes as zeros."""

    path: Path
    sha256: str
    size_bytes: int

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256}"


def seal(path: Path, *, cancel: Cancel | None = None) -> SealedDisk:
    """Bring `path` to stable storage, take its digest and make it read-only."""
    with no_space(path):
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    sealed = SealedDisk(path=path, sha256=sparse_sha256(path, cancel=cancel), size_bytes=path.stat().st_size)
    path.chmod(0o444)
    return sealed


def sparse_sha256(path: Path, *, cancel: Cancel | None = None) -> str:
    """The SHA-256 of a file in hexadecimal, without reading its holes."""
    stopper = cancel or NeverCancel()
    state = hashlib.sha256()
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(handle).st_size
        place = 0
        while place < size:
            start = _next(handle, place, os.SEEK_DATA, size)
            while place < start:
                stopper.check()
                count = min(_CHUNK_BYTES, start - place)
                state.update(memoryview(_ZEROS)[:count])
                place += count
            end = _next(handle, place, os.SEEK_HOLE, size) if place < size else size
            while place < end:
                stopper.check()
                data = os.pread(handle, min(_CHUNK_BYTES, end - place), place)
                if not data:
                    raise OSError(f"{path} became shorter while it was read")
                state.update(data)
                place += len(data)
    finally:
        os.close(handle)
    return state.hexdigest()


def _next(handle: int, place: int, what: int, size: int) -> int:
    try:
        return min(size, os.lseek(handle, place, what))
    except OSError:
        # ENXIO: there is no more data after this place. EINVAL: a file system without holes.
        return size if what == os.SEEK_HOLE else _data_or_end(handle, place, size)


def _data_or_end(handle: int, place: int, size: int) -> int:
    try:
        os.lseek(handle, place, os.SEEK_HOLE)
    except OSError as error:
        if error.errno == 22:
            return place
    return size
