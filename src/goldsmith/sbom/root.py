"""Reading inside a sealed root: links are followed as if the root were `/`, and never out of it."""

import errno
import os
import stat
from pathlib import Path

from goldsmith.kernel.errors import CorruptError, InvalidInputError, UnsupportedError

_LINKS_MAX = 40
_READ_BYTES_MAX = 64 << 20
_RECURSION_LENGTH_MAX = 512


class SealedRoot:
    """A directory tree that does not change while it is read (the caller mounts it read-only).

    Paths are relative to the root, without a leading slash; those given back are canonical (free of links).
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise InvalidInputError(
                f"the root {path} is not a directory", hint="mount the image's root file system there first"
            )
        self.path = os.fspath(path.resolve()).rstrip("/")
        self._directories: dict[str, str | None] = {"": ""}

    def absolute(self, canonical: str) -> str:
        return f"{self.path}/{canonical}"

    def resolve(self, path: str) -> str | None:
        """The canonical path of `path`, its last component included; None when it does not exist."""
        return self._resolve(path)

    def locate(self, path: str) -> str | None:
        """Like `resolve`, but the last component is left as it is and need not exist."""
        directory, _, name = path.rpartition("/")
        where = self._directory(directory)
        return None if where is None else (f"{where}/{name}" if where else name)

    def read(self, path: str) -> bytes | None:
        """The content of a regular file, links followed inside the root; None when there is none.

        Raises CorruptError for one that cannot be read or is larger than 64 MiB.
        """
        canonical = self.resolve(path)
        if canonical is None:
            return None
        try:
            # A FIFO must not hang us, and nothing may have become a link since it was resolved.
            handle = os.open(self.absolute(canonical), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return None
            raise unreadable(path, error) from error
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return None
            if status.st_size > _READ_BYTES_MAX:
                raise CorruptError(f"/{path} has {status.st_size} bytes, expected at most {_READ_BYTES_MAX}")
            chunks = []
            while chunk := os.read(handle, 1 << 20):
                chunks.append(chunk)
            return b"".join(chunks)
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(handle)

    def names(self, path: str) -> list[str]:
        """The sorted names in a directory; empty when there is none."""
        canonical = self.resolve(path)
        if canonical is None:
            return []
        try:
            with os.scandir(self.absolute(canonical)) as entries:
                return sorted(entry.name for entry in entries)
        except NotADirectoryError:
            return []
        except OSError as error:
            raise unreadable(path, error) from error

    def _directory(self, path: str) -> str | None:
        if path not in self._directories:
            self._directories[path] = self._resolve_below_parent(path)
        return self._directories[path]

    def _resolve_below_parent(self, path: str) -> str | None:
        parent, _, name = path.rpartition("/")
        if name in ("", ".", "..") or len(path) > _RECURSION_LENGTH_MAX:
            return self._resolve(path)
        where = self._directory(parent)
        if where is None:
            return None
        here = f"{where}/{name}" if where else name
        try:
            is_link = stat.S_ISLNK(os.lstat(self.absolute(here)).st_mode)
        except OSError:
            return self._resolve(path)
        return self._resolve(here) if is_link else here

    def _resolve(self, path: str) -> str | None:
        todo = [part for part in reversed(path.split("/")) if part and part != "."]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                if done:
                    done.pop()
                continue
            here = "/".join((*done, part))
            try:
                mode = os.lstat(self.absolute(here)).st_mode
                if not stat.S_ISLNK(mode):
                    done.append(part)
                    continue
                target = os.fspath(Path(self.absolute(here)).readlink())
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return None
                raise unreadable(path, error) from error
            links += 1
            if links > _LINKS_MAX:
                return None
            if target.startswith("/"):
                done.clear()
            todo.extend(part for part in reversed(target.split("/")) if part and part != ".")
        return "/".join(done)


def unreadable(path: str, error: OSError) -> CorruptError | UnsupportedError:
    """The error to raise when reading `path` in the root failed."""
    if isinstance(error, PermissionError):
        return UnsupportedError(
            f"this process may not read /{path} in the root",
            hint="read the root as its owner, or as root in a user namespace",
        )
    return CorruptError(f"reading /{path} in the root failed: {error.strerror}")
