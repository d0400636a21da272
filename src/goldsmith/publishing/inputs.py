"""The files a template names: fetched once, checked against their SHA-256, kept by content."""

import contextlib
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from goldsmith.kernel import digest
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import InvalidInputError, NotFoundError, UnavailableError
from goldsmith.kernel.files import no_space, sync_directory
from goldsmith.publishing.model import StepInput

_CHUNK_BYTES = 1 << 20
_SIZE_BYTES_MAX = 2 << 30
_TIMEOUT_SECONDS = 60.0


class InputStore:
    """Content of scriptUri and sourceUri under `root`, one file per SHA-256.

    A URI is http(s), `file://`, or a path; relative paths start at the template's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, wanted: str) -> Path:
        return self._root / digest.hex_of(wanted)

    def fetch(
        self, role: str, uri: str, *, checksum: str | None, directory: Path, cancel: Cancel, where: str
    ) -> StepInput:
        """Afterwards `path(result.digest)` holds the content.

        Raises NotFoundError (no such file), UnavailableError (the server did not give it), and
        InvalidInputError when `checksum` (64 hexadecimal digits, or None) is another one.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        temporary = self._root / f".fetch.{os.getpid()}.{digest.hex_of(digest.of_bytes(uri.encode()))[:12]}"
        try:
            with no_space(temporary):
                if urllib.parse.urlsplit(uri).scheme in ("http", "https"):
                    _download(uri, temporary, cancel=cancel, where=where)
                else:
                    _copy(_local_path(uri, directory), temporary, where=where)
            found = digest.of_file(temporary)
            if checksum is not None and digest.hex_of(found) != checksum.lower():
                raise InvalidInputError(
                    f"{where}: the content of {uri} has SHA-256 {digest.hex_of(found)}, expected {checksum}",
                    code="ChecksumMismatch",
                    hint="if the new content is meant, write its SHA-256 into sha256Checksum",
                )
            temporary.replace(self.path(found))
            sync_directory(self._root)
        finally:
            temporary.unlink(missing_ok=True)
        return StepInput(role=role, uri=uri, digest=found)


def _local_path(uri: str, directory: Path) -> Path:
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme == "file":
        return Path(urllib.parse.unquote(parts.path))
    return directory / uri


def _copy(source: Path, target: Path, *, where: str) -> None:
    if not source.is_file():
        raise NotFoundError(
            f"{where}: there is no file {source}",
            hint="paths in a template start at the template's directory",
        )
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())


def _download(uri: str, target: Path, *, cancel: Cancel, where: str) -> None:
    try:
        with (
            contextlib.closing(urllib.request.urlopen(uri, timeout=_TIMEOUT_SECONDS)) as reader,
            target.open("wb") as writer,
        ):
            size = 0
            while chunk := reader.read(_CHUNK_BYTES):
                cancel.check()
                size += len(chunk)
                if size > _SIZE_BYTES_MAX:
                    raise InvalidInputError(f"{where}: {uri} is larger than {_SIZE_BYTES_MAX >> 30} GiB")
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
    except urllib.error.HTTPError as error:
        raise UnavailableError(
            f"{where}: {uri} answered HTTP {error.code}",
            hint="check the address, then run the same command again",
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise UnavailableError(
            f"{where}: {uri} could not be fetched: {reason}", hint="check the address and the network"
        ) from error
