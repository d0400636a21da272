"""Objects in a local directory or an S3 bucket, with errors of our own tree."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from goldsmith.kernel.errors import ConflictError, Error, InvalidInputError, NotFoundError, UnavailableError
from goldsmith.kernel.files import no_space, remove_tree, sync_directory

# What `open_objects` takes besides `allow_http`; all are obstore's own names.
S3_OPTIONS = frozenset(
    {
        *("access_key_id", "secret_access_key", "session_token", "region"),
        *("endpoint", "virtual_hosted_style_request", "skip_signature"),
    }
)
_REQUEST_SECONDS = 600
_RETRIES_MAX = 5
_RETRY_TIME_LIMIT = timedelta(seconds=120)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
# obstore writes beside the object and links it into place; a killed process leaves this behind.
_STAGED = re.compile(r".*#\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    path: str
    size_bytes: int
    modified: datetime


def open_objects(url: str, options: Mapping[str, str] | None = None) -> "Objects":
    """`file:///directory`, a plain path, or `s3://bucket/prefix` with S3_OPTIONS and `allow_http`.

    What the options leave out for S3 comes from the usual AWS_* variables.
    Raises InvalidInputError for anything else.
    """
    parts = urlsplit(url)
    given = dict(options or {})
    if parts.scheme in ("", "file"):
        if given:
            raise InvalidInputError(
                f"a blob store in a directory takes no options, got {', '.join(sorted(given))}",
                hint="leave the options out, or give the URL of a bucket",
            )
        root = Path(unquote(parts.path) if parts.scheme else url).absolute()
        root.mkdir(parents=True, exist_ok=True)
        return Objects(LocalStore(root), str(root), root=root)
    if parts.scheme == "s3" and parts.netloc:
        return _open_s3(url, parts.netloc, parts.path.strip("/"), given)
    raise InvalidInputError(
        f"'{url}' is not the URL of a blob store", hint="expected a directory or s3://bucket/prefix"
    )


def _open_s3(url: str, bucket: str, prefix: str, given: dict[str, str]) -> "Objects":
    allow_http = given.pop("allow_http", "false").lower() in ("true", "1", "yes")
    unknown = sorted(set(given) - S3_OPTIONS)
    if unknown:
        raise InvalidInputError(
            f"unknown option {', '.join(unknown)} for the blob store {url}",
            hint=f"expected some of {', '.join(sorted({*S3_OPTIONS, 'allow_http'}))}",
        )
    # obstore declares one keyword for each option; they come from the settings here.
    config: Any = given
    store = S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"allow_http": allow_http, "timeout": f"{_REQUEST_SECONDS}s"},
        retry_config={"max_retries": _RETRIES_MAX, "retry_timeout": _RETRY_TIME_LIMIT},
        **config,
    )
    return Objects(store, url)


class Objects:
    """Named byte strings, each whole or absent; safe to share between threads.

    Every method raises UnavailableError when the store does not answer and NoSpaceError when it is full.
    """

    def __init__(self, store: LocalStore | S3Store, where: str, *, root: Path | None = None) -> None:
        self._store = store
        self._where = where
        self._root = root

    def __repr__(self) -> str:
        return f"Objects({self._where})"

    @property
    def where(self) -> str:
        """The directory or URL, for people."""
        return self._where

    def get(self, path: str) -> bytes:
        """Raises NotFoundError."""
        with self._errors("read", path):
            return obstore.get(self._store, path).bytes().to_bytes()

    def get_range(self, path: str, start: int, length: int) -> bytes:
        """Fewer bytes when the object ends earlier, none when it ends before. Raises NotFoundError."""
        with self._errors("read", path):
            try:
                return bytes(obstore.get_range(self._store, path, start=start, length=length))
            except BaseError:
                if obstore.head(self._store, path)["size"] <= start:
                    return b""
                raise

    def info(self, path: str) -> ObjectInfo | None:
        try:
            with self._errors("look for", path):
                return _info(obstore.head(self._store, path))
        except NotFoundError:
            return None

    def create(self, path: str, data: bytes | bytearray, *, durable: bool = True) -> bool:
        """Store `data` unless the object exists; whether this call made it. Of two at once one makes it."""
        with self._errors("write", path):
            try:
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        if durable:
            self._make_durable(path)
        return True

    def replace(self, path: str, data: bytes | bytearray, *, durable: bool = True) -> None:
        with self._errors("write", path):
            obstore.put(self._store, path, data, use_multipart=False)
        if durable:
            self._make_durable(path)

    def delete(self, path: str) -> None:
        """Afterwards the object is absent."""
        with contextlib.suppress(NotFoundError), self._errors("delete", path):
            obstore.delete(self._store, path)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose path begins with the segments of `prefix`."""
        with self._errors("list", prefix):
            for page in obstore.list(self._store, prefix or None, chunk_size=1000):
                for meta in page:
                    yield _info(meta)

    def remove_leftovers(self, before: datetime) -> None:
        """Remove what killed writers have left in the directory and nobody can see."""
        if self._root is None:
            return
        for found in self._root.rglob("*#*"):
            with contextlib.suppress(FileNotFoundError):
                if _STAGED.fullmatch(found.name) and found.stat().st_mtime <= before.timestamp():
                    remove_tree(found)

    def _make_durable(self, path: str) -> None:
        """Survive power loss: obstore leaves a local file to the kernel's good will."""
        if self._root is None:
            return
        file = self._root / path
        # Another process may have removed it since, which is not our failure.
        with contextlib.suppress(FileNotFoundError), no_space(file):
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            for folder in file.parents:
                sync_directory(folder)
                if folder == self._root:
                    break

    @contextlib.contextmanager
    def _errors(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise NotFoundError(
                f"{self._where} has no object {path}", hint="check the name, or list what is stored"
            ) from error
        except BaseError as error:
            raise self._translated(error, verb, path) from error

    def _translated(self, error: BaseError, verb: str, path: str) -> Error:
        reason = str(error).split("\n", 1)[0]
        found = _OS_ERROR.search(reason)
        number = int(found.group(1)) if found else 0
        if number in (errno.ENOSPC, errno.EDQUOT):
            try:
                with no_space(Path(self._where) / path):
                    raise OSError(number, reason)
            except Error as full:
                return full
        if number in (errno.ENOTDIR, errno.EISDIR):
            return ConflictError(
                f"cannot {verb} {path}: one name is the folder of another", hint="choose another name"
            )
        return UnavailableError(
            f"cannot {verb} {path} in the blob store {self._where}: {reason}",
            hint="check that the store is running and reachable, and what it allows these credentials to do",
        )


def _info(meta: Any) -> ObjectInfo:
    return ObjectInfo(path=meta["path"], size_bytes=meta["size"], modified=meta["last_modified"])
