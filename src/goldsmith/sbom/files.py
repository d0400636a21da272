"""The files of a root held against what its packages recorded."""

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from goldsmith.sbom.boot import DIRECTORIES, boot_role
from goldsmith.sbom.hashing import ALL, MD5, SHA, FileEntry, Hasher
from goldsmith.sbom.model import BootFile, Coverage, FileState, UnownedFile
from goldsmith.sbom.ownership import Ownership
from goldsmith.sbom.root import SealedRoot, unreadable

# Filled by the kernel and by init at boot: what an image has there is never seen by a running machine.
_VIRTUAL = frozenset({"dev", "proc", "run", "sys"})

# What package management and its triggers write by themselves. Narrow on purpose: a file put anywhere else,
# /var/cache included, is reported.
_GENERATED = re.compile(
    r"var/lib/(?:dpkg|apt|ucf|pam|systemd/deb-systemd-(?:user-)?helper-[a-z]+|python)/.*"
    r"|var/cache/(?:apt|debconf|ldconfig|man|fontconfig|apparmor)/.*"
    r"|etc/ld\.so\.cache|etc/\.pwd\.lock|usr/lib/locale/locale-archive|usr/share/info/dir(?:\.old)?"
    r"|usr/lib/modules/[^/]+/modules\.[a-z.]+|usr/lib/udev/hwdb\.bin|var/lib/systemd/catalog/database|(?:.*/)?gconv-modules\.cache"
    r"|usr/share/mime/.*|usr/share/(?:applications|glib-2\.0/schemas)/(?:mimeinfo\.cache|gschemas\.compiled)"
)
_COMPILED = re.compile(r"(.*/)?__pycache__/([^/]+)\.[a-z]+-[0-9]+(?:\.opt-[12])?\.pyc")

Digests = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What comparing a tree with its packages found; both sequences are sorted by path."""

    boot_files: tuple[BootFile, ...]
    files: tuple[UnownedFile, ...]
    coverage: Coverage


def walk(root: SealedRoot, start: str = "") -> list[FileEntry]:
    """Every regular file below `start` (a canonical path), virtual file systems left out; follows no link."""
    found: list[FileEntry] = []
    todo = [start]
    while todo:
        directory = todo.pop()
        prefix = f"{directory}/" if directory else ""
        try:
            with os.scandir(root.absolute(directory)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if directory or entry.name not in _VIRTUAL:
                            todo.append(prefix + entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        size = entry.stat(follow_symlinks=False).st_size
                        found.append(FileEntry(prefix + entry.name, size))
        except (FileNotFoundError, NotADirectoryError) as error:
            if directory != start:
                raise unreadable(directory, error) from error
        except OSError as error:
            raise unreadable(directory, error) from error
    return found


def walk_boot(root: SealedRoot) -> list[FileEntry]:
    """The files of the boot directories only."""
    # One that is a link, or below one, is another directory's name and could lead out of the root.
    real = [directory for directory in DIRECTORIES if root.resolve(directory) == directory]
    return [entry for directory in real for entry in walk(root, directory)]


class TreeComparison:
    """A comparison at work: `start` sets the hashing off, `finish` waits for it and judges.

    The two are apart so that the licences can be read in between.
    """

    def __init__(
        self,
        root: SealedRoot,
        hasher: Hasher,
        ownership: Ownership,
        *,
        entries: Sequence[FileEntry],
        walked: bool,
    ) -> None:
        self._root = root
        self._hasher = hasher
        self._ownership = ownership
        self._walked = walked
        self._boot: list[FileEntry] = []
        self._recorded: list[FileEntry] = []
        self._compiled: list[FileEntry] = []
        self._others: list[FileEntry] = []
        self._generated = 0
        for entry in entries:
            if boot_role(entry.path):
                self._boot.append(entry)
            elif not walked:
                continue
            elif entry.path in ownership.digests:
                self._recorded.append(entry)
            elif compiled_source(entry.path):
                self._compiled.append(entry)
            elif is_generated(entry.path):
                self._generated += 1
            else:
                self._others.append(entry)
        self._recorded_boot = [entry for entry in self._boot if entry.path in ownership.digests]
        unowned_boot = [entry for entry in self._boot if entry.path not in ownership.digests]
        self._md5 = hasher.start(self._recorded, MD5)
        self._all = hasher.start(self._recorded_boot, ALL)
        self._sha = hasher.start([*unowned_boot, *self._others], SHA)

    def finish(self) -> Comparison:
        """Raises CorruptError or UnsupportedError when a file could not be read."""
        recorded = self._ownership.digests
        boot = _gather(self._all)
        measured = {**_gather(self._md5), **boot}
        pristine = {path for path, (*_, md5) in measured.items() if md5 == recorded[path]}
        # A .pyc is what the interpreter makes of its source: as good as the source is.
        stale = [entry for entry in self._compiled if not self._has_pristine_source(entry.path, pristine)]
        changed = [entry for entry in self._recorded if entry.path not in pristine]
        digests = {**_gather([*self._sha, *self._hasher.start([*stale, *changed], SHA)]), **boot}
        files = tuple(
            UnownedFile(
                path=entry.path,
                state=self._state(entry.path, pristine),
                size_bytes=entry.size_bytes,
                sha1=digests[entry.path][0],
                sha256=digests[entry.path][1],
                package=self._ownership.owners.get(entry.path, ""),
            )
            for entry in sorted([*self._others, *stale, *changed], key=lambda entry: entry.path)
        )
        boot_files = tuple(
            self._boot_file(entry, digests, pristine)
            for entry in sorted(self._boot, key=lambda entry: entry.path)
        )
        generated = self._generated + len(self._compiled) - len(stale)
        return Comparison(
            boot_files=boot_files,
            files=files,
            coverage=self._coverage(files, generated) if self._walked else Coverage(),
        )

    def _has_pristine_source(self, path: str, pristine: set[str]) -> bool:
        source = compiled_source(path)
        assert source is not None
        # Debian links some sources elsewhere, as sitecustomize.py into /etc.
        return source in pristine or self._root.resolve(source) in pristine

    def _state(self, path: str, pristine: set[str]) -> FileState:
        if path in pristine:
            return FileState.PRISTINE
        if path in self._ownership.digests:
            return FileState.MODIFIED
        return FileState.UNVERIFIABLE if path in self._ownership.owners else FileState.UNOWNED

    def _boot_file(self, entry: FileEntry, digests: Digests, pristine: set[str]) -> BootFile:
        found = boot_role(entry.path)
        assert found is not None
        role, release = found
        return BootFile(
            path=entry.path,
            role=role,
            state=self._state(entry.path, pristine),
            size_bytes=entry.size_bytes,
            sha1=digests[entry.path][0],
            sha256=digests[entry.path][1],
            package=self._ownership.owners.get(entry.path, ""),
            release=release,
        )

    def _coverage(self, files: Iterable[UnownedFile], generated: int) -> Coverage:
        states = [file.state for file in files]
        modified = states.count(FileState.MODIFIED)
        present = {entry.path for entry in (*self._recorded, *self._recorded_boot)}
        absent = self._ownership.digests.keys() - present - self._ownership.optional
        return Coverage(
            walked=True,
            seen=len(self._boot)
            + len(self._recorded)
            + len(self._others)
            + self._generated
            + len(self._compiled),
            pristine=len(self._recorded) - modified,
            modified=modified,
            unowned=states.count(FileState.UNOWNED),
            unverifiable=states.count(FileState.UNVERIFIABLE),
            generated=generated,
            missing=len(absent),
            boot=len(self._boot),
        )


def is_generated(path: str) -> bool:
    """Whether package management wrote the file as its own bookkeeping."""
    return _GENERATED.fullmatch(path) is not None


def compiled_source(path: str) -> str | None:
    """The source a byte-compiled Python file belongs to (PEP 3147), None for any other file."""
    match = _COMPILED.fullmatch(path)
    return f"{match[1] or ''}{match[2]}.py" if match else None


def _gather(futures: Iterable[Future[Digests]]) -> Digests:
    digests: Digests = {}
    for future in futures:
        digests.update(future.result())
    return digests
