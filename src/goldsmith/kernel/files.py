"""Files that are whole or absent, locks between processes, and trees that go away for good."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from goldsmith.kernel.errors import ConflictError, NoSpaceError


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Afterwards `path` holds exactly `data`, or what it held before; survives power loss if `durable`.

    Raises NoSpaceError when the file system is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with no_space(path), temporary.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
        if durable:
            sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def no_space(path: Path) -> Iterator[None]:
    """Turns "no space left" and "quota exceeded" below it into NoSpaceError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpaceError(
                f"no room left on the file system of {path}",
                hint="free some room or point GOLDSMITH_STATE at another disk, then run it again",
            ) from error
        raise


def remove_tree(path: Path) -> None:
    """Remove a file or tree, also one with read-only directories; absent is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    if not path.exists():
        return
    doomed = path.with_name(f".{path.name}.{os.getpid()}.doomed")
    with contextlib.suppress(FileNotFoundError):
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=False)


class FileLock:
    """An exclusive lock on a file, released by the kernel when the process ends however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def try_acquire(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        return True

    def acquire(self) -> None:
        """Raises ConflictError when another process holds it."""
        if not self.try_acquire():
            raise ConflictError(f"{self._path} is held by process {self.owner() or 'unknown'}")

    def owner(self) -> int | None:
        try:
            return int(self._path.read_text().strip() or "0") or None
        except (OSError, ValueError):
            return None

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
