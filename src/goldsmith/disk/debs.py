"""A store of Debian packages keyed by their digest, and flat package repositories made from it."""

import io
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from goldsmith.kernel import digest
from goldsmith.kernel.errors import CorruptError, InvalidInputError, NotFoundError
from goldsmith.kernel.files import no_space, sync_directory, write_atomic

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
# A control archive is a few kilobytes; one that unpacks to more than this is not a package.
_CONTROL_BYTES_MAX = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedDeb:
    """One binary package, exactly: `digest` is `sha256:…` of the .deb file, `source` is `name version`."""

    name: str
    version: str
    architecture: str
    digest: str
    size_bytes: int
    filename: str
    source: str


class DebStore:
    """Packages under one directory, each as `<sha256>.deb`; what is in it never changes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, deb_digest: str) -> Path:
        """Where the package with this digest is, or would be."""
        return self._root / f"{digest.hex_of(deb_digest)}.deb"

    def has(self, deb_digest: str) -> bool:
        return self.path(deb_digest).is_file()

    def add(self, deb: Path) -> LockedDeb:
        """Take the file over (a hard link where possible, else a copy) and say what it is.

        Raises InvalidInputError when it is not a Debian package, NoSpaceError when the disk is full.
        """
        fields = parse_control(read_control(deb))
        deb_digest = digest.of_file(deb)
        added = locked(fields, deb_digest=deb_digest, size_bytes=deb.stat().st_size)
        target = self.path(deb_digest)
        if not target.exists():
            self._root.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            temporary.unlink(missing_ok=True)
            with no_space(target):
                _link_or_copy(deb, temporary)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            temporary.replace(target)
        return added

    def sync(self) -> None:
        """Afterwards every package added so far survives power loss."""
        self._root.mkdir(parents=True, exist_ok=True)
        sync_directory(self._root)

    def place(self, deb_digest: str, target: Path) -> None:
        """Make the stored package appear as `target` too (a hard link where possible)."""
        _link_or_copy(self.path(deb_digest), target)

    def verify(self, deb: LockedDeb) -> Path:
        """The package's path; raises NotFoundError when absent, CorruptError when it is another file."""
        path = self.path(deb.digest)
        if not path.is_file():
            raise NotFoundError(
                f"the package {deb.name} {deb.version} ({deb.digest}) is not in the package store",
                hint="capture the base from the mirror, or copy the store of the host that made the lock",
            )
        if (found := digest.of_file(path)) != deb.digest:
            raise CorruptError(
                f"the stored package {deb.name} {deb.version} has digest {found}, expected {deb.digest}",
                hint=f"remove {path} and capture the base from the mirror again",
            )
        return path

    def as_repository(self, debs: Iterable[LockedDeb], directory: Path) -> Path:
        """Fill `directory` with a flat repository of exactly these packages, each verified; returns it.

        The index depends on nothing but the packages: sorted by name, version and architecture, no dates.
        Use it as `deb [trusted=yes] copy:<directory> ./` (Debian repository format, flat repositories).
        Raises what `verify` raises.
        """
        directory.mkdir(parents=True, exist_ok=True)
        stanzas: list[str] = []
        for deb in sorted(debs, key=lambda item: (item.name, item.version, item.architecture)):
            path = self.verify(deb)
            self.place(deb.digest, directory / deb.filename)
            stanzas.append(_index_stanza(read_control(path), deb))
        write_atomic(directory / "Packages", "\n".join(stanzas).encode())
        return directory


def locked(fields: dict[str, str], *, deb_digest: str, size_bytes: int) -> LockedDeb:
    """A package from its control fields; raises InvalidInputError when a mandatory one is missing."""
    try:
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
    except KeyError as error:
        raise InvalidInputError(f"the package {deb_digest} has no field {error.args[0]}") from error
    # Debian policy 5.6.1: without Source it is the binary's own name; the version is given if it differs.
    source_name, _, source_version = fields.get("Source", name).partition(" ")
    return LockedDeb(
        name=name,
        version=version,
        architecture=architecture,
        digest=deb_digest,
        size_bytes=size_bytes,
        filename=deb_filename(name, version, architecture),
        source=f"{source_name} {source_version.strip('()') or version}",
    )


def deb_filename(name: str, version: str, architecture: str) -> str:
    """The name apt gives the file in its archives directory: the epoch's colon is written `%3a`."""
    return f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"


def parse_control(text: str) -> dict[str, str]:
    """The fields of the first paragraph; continuation lines keep their line breaks (deb822(5))."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if not line.strip():
            if fields:
                break
        elif line[0] in " \t":
            if last:
                fields[last] += "\n" + line
        else:
            last, _, value = line.partition(":")
            fields[last] = value.strip()
    return fields


def read_control(deb: Path) -> str:
    """The text of a package's `control` file (deb(5)); raises InvalidInputError when it is not a package."""
    try:
        with deb.open("rb") as file:
            for name, size in _ar_members(file):
                if name.startswith("control.tar"):
                    return _control_of(name, file.read(size))
    except (tarfile.TarError, lzma.LZMAError, zstandard.ZstdError, zlib.error, EOFError, ValueError) as error:
        raise InvalidInputError(f"{deb} is not a Debian package: {error}") from error
    raise InvalidInputError(f"{deb} is not a Debian package: it has no control archive")


def _ar_members(file: IO[bytes]) -> Iterator[tuple[str, int]]:
    """Each member's name and size, with the file standing at its first byte."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("no ar archive")
    while len(header := file.read(_AR_HEADER_BYTES)) == _AR_HEADER_BYTES:
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        start = file.tell()
        yield name, size
        # Members start at even offsets.
        file.seek(start + size + size % 2)


def _control_of(name: str, packed: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(_unpack(name, packed))) as archive:
        for member in archive:
            if member.name.removeprefix("./") == "control" and (file := archive.extractfile(member)):
                return file.read().decode()
    raise ValueError("its control archive has no control file")


def _unpack(name: str, packed: bytes) -> bytes:
    # No more than the limit is ever unpacked, whatever the archive claims.
    limit = _CONTROL_BYTES_MAX + 1
    match name.rpartition(".")[2]:
        case "xz":
            data = lzma.LZMADecompressor().decompress(packed, max_length=limit)
        case "gz":
            data = zlib.decompressobj(wbits=31).decompress(packed, limit)
        case "zst":
            data = zstandard.ZstdDecompressor().stream_reader(packed).read(limit)
        case "tar":
            data = packed
        case other:
            raise ValueError(f"its control archive is compressed with {other}")
    if len(data) > _CONTROL_BYTES_MAX:
        raise ValueError(f"its control archive is larger than {_CONTROL_BYTES_MAX} bytes")
    return data


def _index_stanza(control: str, deb: LockedDeb) -> str:
    paragraph = "\n".join(line for line in control.splitlines() if line.strip())
    hexadecimal = digest.hex_of(deb.digest)
    return f"{paragraph}\nFilename: ./{deb.filename}\nSize: {deb.size_bytes}\nSHA256: {hexadecimal}\n"


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copyfile(source, target)
