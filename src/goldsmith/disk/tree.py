"""Manifests: all that is in a tree of files, so that one can be named by its digest and checked again.

An overlay layer is a tree too: a whiteout (character device 0:0) and an opaque directory are entries of their
own kind, written alike whether the host keeps them in `trusted.` or, without root, in `user.` attributes.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import zstandard

from goldsmith.disk.kinds import OPAQUE_ATTRIBUTES, Kind, is_kept_attribute, kind_of
from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.files import write_atomic

_FORMAT = "goldsmith-manifest-1"
_READ_BYTES = 1 << 20
_BATCH_FILES = 64
_SHOWN_DIFFERENCES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a tree; `path` is relative, `.` for the top, and undecodable bytes are surrogates.

    `mode` holds permission, setuid, setgid and sticky bits; `mtime` seconds; `size` and `sha256` are of
    regular files; `same_as` is the first path (in sorted order) of a file with several names; `xattrs` values
    are base64.
    """

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    sha256: str = ""
    same_as: str = ""
    target: str = ""
    device: tuple[int, int] | None = None
    opaque: bool = False
    xattrs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    entries: tuple[Entry, ...]

    def lines(self) -> bytes:
        """One line of JSON an entry, sorted by path, fields with their usual value left out."""
        return b"".join(_line(entry) for entry in self.entries)

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.lines()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """The bytes of all regular files, each counted once."""
        return sum(entry.size for entry in self.entries if not entry.same_as)


def read_manifest(root: Path, *, threads: int = 2) -> Manifest:
    """All entries below (and with) `root`; raises OSError when the tree cannot be read."""
    found = list(_walk(os.fspath(root)))
    found.sort(key=lambda item: item[0])
    first: dict[tuple[int, int], str] = {}
    contents: list[str] = []
    for path, status in found:
        if stat.S_ISREG(status.st_mode) and (
            status.st_nlink == 1 or first.setdefault((status.st_dev, status.st_ino), path) == path
        ):
            contents.append(path)
    digests = _hash_all(os.fspath(root), contents, threads)
    return Manifest(entries=tuple(_entry(os.fspath(root), *item, first, digests) for item in found))


def verify_tree(root: Path, manifest: Manifest, *, threads: int = 2) -> None:
    """Raises CorruptError naming the first paths that are not as `manifest` says."""
    try:
        actual = read_manifest(root, threads=threads)
    except OSError as error:
        raise CorruptError(f"the tree {root} cannot be read whole: {error.strerror}") from error
    if actual == manifest:
        return
    differences = list(itertools.islice(compare(manifest, actual), _SHOWN_DIFFERENCES))
    raise CorruptError(
        f"the tree {root} is not what was recorded: {'; '.join(differences)}",
        hint="it was changed after it was made; remove it so that it is built again",
    )


def compare(expected: Manifest, actual: Manifest) -> Iterator[str]:
    """What differs, in words, one sentence a path, in the order of the paths."""
    wanted = {entry.path: entry for entry in expected.entries}
    present = {entry.path: entry for entry in actual.entries}
    for path in sorted(wanted.keys() | present.keys()):
        if path not in present:
            yield f"{path} is missing"
        elif path not in wanted:
            yield f"{path} was added"
        elif wanted[path] != present[path]:
            changed = [
                item.name
                for item in fields(Entry)
                if getattr(wanted[path], item.name) != getattr(present[path], item.name)
            ]
            yield f"{path} has another {' and '.join(changed)}"


def write_manifest(manifest: Manifest, path: Path) -> None:
    header = json.dumps({"format": _FORMAT}).encode() + b"\n"
    # Not forced to the disk, as the tree it describes is not: one that power loss has torn differs from it.
    write_atomic(path, zstandard.ZstdCompressor(level=3).compress(header + manifest.lines()), durable=False)


def load_manifest(path: Path) -> Manifest:
    """Raises CorruptError when the file is not a manifest."""
    try:
        data = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=1 << 31)
        header, *lines = data.splitlines()
        if json.loads(header) != {"format": _FORMAT}:
            raise ValueError(f"expected format {_FORMAT}")
        return Manifest(entries=tuple(_parse(line) for line in lines))
    except (OSError, ValueError, KeyError, TypeError, zstandard.ZstdError) as error:
        raise CorruptError(f"the manifest {path} cannot be read: {error}") from error


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    yield ".", os.lstat(root)
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder)) as listing:  # noqa: PTH118 - Path is slower
            for item in listing:
                path = f"{folder}/{item.name}" if folder else item.name
                status = item.stat(follow_symlinks=False)
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)


def _hash_all(root: str, paths: Sequence[str], threads: int) -> dict[str, str]:
    batches = [paths[start : start + _BATCH_FILES] for start in range(0, len(paths), _BATCH_FILES)]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        hashed = pool.map(lambda batch: [_hash(f"{root}/{path}") for path in batch], batches)
        return dict(zip(paths, itertools.chain.from_iterable(hashed), strict=True))


def _hash(path: str) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        state = hashlib.sha256()
        while data := os.read(handle, _READ_BYTES):
            state.update(data)
        return state.hexdigest()
    finally:
        os.close(handle)


def _entry(
    root: str,
    path: str,
    status: os.stat_result,
    first: dict[tuple[int, int], str],
    digests: dict[str, str],
) -> Entry:
    kind = kind_of(status)
    if kind is Kind.WHITEOUT:
        return Entry(path=path, kind=kind)
    absolute = f"{root}/{path}"
    xattrs, opaque = _attributes(absolute)
    leader = first.get((status.st_dev, status.st_ino), path)
    return Entry(
        path=path,
        kind=kind,
        # The permissions of a symbolic link mean nothing, and file systems disagree about them.
        mode=0 if kind is Kind.LINK else stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns // 1_000_000_000,
        size=status.st_size if kind is Kind.FILE else 0,
        sha256=digests[leader] if kind is Kind.FILE else "",
        same_as=leader if kind is Kind.FILE and leader != path else "",
        target=os.readlink(absolute) if kind is Kind.LINK else "",  # noqa: PTH115 - as above
        device=(
            (os.major(status.st_rdev), os.minor(status.st_rdev))
            if kind in (Kind.CHARACTER, Kind.BLOCK)
            else None
        ),
        opaque=opaque,
        xattrs=xattrs,
    )


def _attributes(path: str) -> tuple[dict[str, str], bool]:
    kept: dict[str, str] = {}
    opaque = False
    for name in os.listxattr(path, follow_symlinks=False):
        if name in OPAQUE_ATTRIBUTES:
            opaque = os.getxattr(path, name, follow_symlinks=False) == b"y"
        elif is_kept_attribute(name):
            # A name that goes away between the two calls is no error of ours.
            with contextlib.suppress(OSError):
                value = os.getxattr(path, name, follow_symlinks=False)
                kept[name] = base64.b64encode(value).decode()
    return dict(sorted(kept.items())), opaque


_USUAL = {
    item.name: item.default for item in fields(Entry) if item.name not in ("path", "kind", "xattrs")
} | {"xattrs": {}}


def _line(entry: Entry) -> bytes:
    values = {name: value for name, value in asdict(entry).items() if _USUAL.get(name, ...) != value}
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes) -> Entry:
    values = json.loads(line)
    values["kind"] = Kind(values["kind"])
    if "device" in values:
        major, minor = values["device"]
        values["device"] = (major, minor)
    return Entry(**values)
