"""Captures on disk: one directory a tree, named by its digest, whole or absent, never changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith.disk.sandbox import owner_call
from goldsmith.disk.tree import Manifest, load_manifest, read_manifest, write_manifest
from goldsmith.kernel import proc
from goldsmith.kernel.clock import iso, parse_iso
from goldsmith.kernel.digest import hex_of, of_bytes
from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.files import FileLock, no_space, remove_tree, sync_directory, write_atomic
from goldsmith.kernel.json import pretty
from goldsmith.marketplace.lock import parse_release_json, release_to_json
from goldsmith.marketplace.model import Capture, SourceKind

_FORMAT = "goldsmith-base-1"
_SYNC_SECONDS_MAX = 600.0


class CaptureStore:
    """`bases/<digest>/` holds `root/`, `manifest.zst`, `base.json` and, for a platform image, `lock.json`.

    What is being made is in `bases/.work/<key>/`, owned by whoever holds the lock of that key.
    """

    def __init__(self, state: Path) -> None:
        self._bases = state / "bases"
        self._work = self._bases / ".work"

    def list(self) -> tuple[Capture, ...]:
        """All captures, the earliest first; a directory that is no capture is left out."""
        found = [capture for path in self._directories() if (capture := _read(path)) is not None]
        return tuple(sorted(found, key=lambda capture: (capture.captured_at, capture.identity)))

    def find(self, kind: SourceKind, identity: str, *, source_digest: str | None = None) -> Capture | None:
        """The newest capture of that identity (and of that source, when given)."""
        wanted = _identity_key(kind, identity)
        fitting = [
            one
            for one in self.list()
            if _identity_key(one.kind, one.identity) == wanted and source_digest in (None, one.source_digest)
        ]
        return fitting[-1] if fitting else None

    def lock_path(self, key: str) -> Path:
        """The file to hold while making the captures of `key`."""
        return self._work / f"{_key_name(key)}.lock"

    def new_work(self, key: str) -> Path:
        """An empty directory to make a capture in; what a killed maker of the same key left is removed."""
        path = self._work / _key_name(key)
        remove_tree(path)
        path.mkdir(parents=True)
        path.chmod(0o700)
        return path

    def sweep(self) -> tuple[Path, ...]:
        """Remove what killed makers left, of keys nobody is working on; returns what was removed."""
        removed = []
        for path in sorted(self._work.iterdir()) if self._work.is_dir() else ():
            if path.suffix == ".lock":
                continue
            lock = FileLock(self._work / f"{path.name}.lock")
            if lock.try_acquire():
                try:
                    remove_tree(path)
                    removed.append(path)
                finally:
                    lock.release()
        return tuple(removed)

    def publish(self, work: Path, capture: Capture, manifest: Manifest, *, lock: bytes | None) -> Capture:
        """Make `work/root` visible as `capture`, at once and for good; returns it with its final paths.

        A capture of the same identity that no longer verifies is replaced by the equal new tree.
        """
        place = self._place(capture)
        staged = work / "base"
        staged.mkdir()
        with no_space(staged):
            (work / "root").rename(staged / "root")
            write_manifest(manifest, staged / "manifest.zst")
            if lock is not None:
                write_atomic(staged / "lock.json", lock)
            write_atomic(staged / "base.json", pretty(_to_json(capture)).encode() + b"\n")
        _sync_file_system(staged)
        if place.exists():
            place.rename(work / "replaced")
        staged.rename(place)
        sync_directory(self._bases)
        final = _read(place)
        assert final is not None
        return final

    def manifest(self, capture: Capture) -> Manifest:
        """Raises CorruptError when it cannot be read."""
        return load_manifest(capture.root.parent / "manifest.zst")

    def verify(self, capture: Capture) -> None:
        """Raises CorruptError naming what differs from what was captured."""
        # In a process of its own, so that a build goes on beside it without waiting for the interpreter.
        arguments = {"root": str(capture.root), "manifest": str(capture.root.parent / "manifest.zst")}
        found = owner_call("verify", arguments)["digest"]
        if found != capture.digest:
            raise CorruptError(
                f"the manifest of {capture.identity} has digest {found}, expected {capture.digest}"
            )

    def remove(self, capture: Capture) -> None:
        remove_tree(capture.root.parent)

    def _directories(self) -> Iterator[Path]:
        if self._bases.is_dir():
            yield from (path for path in self._bases.iterdir() if not path.name.startswith("."))

    def _place(self, capture: Capture) -> Path:
        """The digest names the directory; a second identity with an equal tree gets a name of its own."""
        plain = self._bases / hex_of(capture.digest)
        taken = _read(plain)
        if taken is None or _identity_key(taken.kind, taken.identity) == _identity_key(
            capture.kind, capture.identity
        ):
            return plain
        return plain.with_name(f"{plain.name}-{_key_name(capture.identity)}")


def seal(root: Path) -> Manifest:
    """The manifest a capture of `root` is named by."""
    return read_manifest(root)


def _read(directory: Path) -> Capture | None:
    try:
        value = json.loads((directory / "base.json").read_bytes())
        return _parse(value, directory)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _to_json(capture: Capture) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "kind": str(capture.kind),
        "identity": capture.identity,
        "digest": capture.digest,
        "epoch": capture.epoch,
        "os_version": capture.os_version,
        "architecture": capture.architecture,
        "captured_at": iso(capture.captured_at),
        "package_count": capture.package_count,
        "size_bytes": capture.size_bytes,
        "source_digest": capture.source_digest,
        "releases": [release_to_json(release) for release in capture.releases],
    }


def _parse(value: dict[str, Any], directory: Path) -> Capture:
    if value["format"] != _FORMAT:
        raise ValueError(f"got format {value['format']}, expected {_FORMAT}")
    lock = directory / "lock.json"
    return Capture(
        kind=SourceKind(value["kind"]),
        identity=value["identity"],
        digest=value["digest"],
        root=directory / "root",
        epoch=value["epoch"],
        os_version=value["os_version"],
        architecture=value["architecture"],
        captured_at=parse_iso(value["captured_at"]),
        package_count=value["package_count"],
        size_bytes=value["size_bytes"],
        source_digest=value["source_digest"],
        lock=lock if lock.is_file() else None,
        releases=tuple(parse_release_json(release) for release in value["releases"]),
    )


def _identity_key(kind: SourceKind, identity: str) -> tuple[SourceKind, str]:
    # File names differ in case; URNs and resource ids do not.
    return kind, identity if kind is SourceKind.MANAGED_IMAGE else identity.lower()


def _key_name(key: str) -> str:
    return hex_of(of_bytes(key.encode()))[:16]


def _sync_file_system(path: Path) -> None:
    # One flush for sixteen thousand files.
    proc.run(["sync", "--file-system", path], timeout_seconds=_SYNC_SECONDS_MAX)
    sync_directory(path)
