"""Making a blob visible, and keeping a collection of garbage from pulling away what it stands on.

A writer says what it needs (a *claim*), then looks whether a collection is under way (the *marker*); the
collection sets its marker, then looks for claims. So at least one of them sees the other, whatever the order.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from goldsmith.blobs.manifest import encode_manifest, manifest_path
from goldsmith.blobs.model import BlobRef
from goldsmith.blobs.objects import ObjectInfo, Objects
from goldsmith.blobs.pack import id_in_path
from goldsmith.blobs.reader import read_manifest
from goldsmith.blobs.writer import Written
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import ConflictError, CorruptError, NotFoundError
from goldsmith.kernel.ids import RandomIds
from goldsmith.kernel.json import canonical

MARKER = "collecting"
CLAIMS = "claims"
# A collection renews its marker far more often and stops when it could not; one as old is of a dead process.
MARKER_STALE_SECONDS = 120
_POLL_SECONDS = 0.2
_WAIT_SECONDS = 1800


class PacksGoneError(ConflictError):
    """Packs that the blob was to share have been removed meanwhile; store its chunks again."""

    def __init__(self, digest: str, packs: set[str]) -> None:
        super().__init__(
            f"packs of blob {digest} were removed while it was being stored: {', '.join(sorted(packs))}",
            hint="store it again",
        )
        self.packs = packs


def commit(objects: Objects, written: Written, *, cancel: Cancel) -> BlobRef:
    """Afterwards the blob is stored; of two who store it at once both succeed.

    Raises PacksGoneError, and ConflictError when a collection goes on for too long.
    """
    needed = written.manifest.header.packs
    with _claim(objects, written.digest, needed) as claim:
        _wait_for_collection(objects, claim, cancel)
        missing = missing_packs(objects, needed)
        if missing:
            raise PacksGoneError(written.digest, missing)
        path, data = manifest_path(written.digest), encode_manifest(written.manifest)
        manifest = written.manifest
        if not objects.create(path, data):
            with contextlib.suppress(CorruptError, NotFoundError):
                stored = read_manifest(objects, written.digest)
                if not missing_packs(objects, stored.header.packs):
                    manifest = stored
            # Written anew even when it is sound, so that it counts as young: its new owner may not have
            # recorded it yet when the next collection is told what to keep.
            objects.replace(path, encode_manifest(manifest))
    return BlobRef(
        digest=written.digest,
        size_bytes=manifest.header.size_bytes,
        stored_bytes=manifest.header.stored_bytes,
        added_bytes=written.added_bytes,
    )


def missing_packs(objects: Objects, packs: tuple[str, ...]) -> set[str]:
    """Those that are not there whole: a pack found damaged has lost its index."""
    if not packs:
        return set()
    stored = {id_in_path(found.path) for found in objects.list("packs")}
    indexed = {id_in_path(found.path) for found in objects.list("indexes")}
    return set(packs) - (stored & indexed)


def is_stale(marker: ObjectInfo, now: datetime) -> bool:
    return now - marker.modified > timedelta(seconds=MARKER_STALE_SECONDS)


def read_claim(objects: Objects, info: ObjectInfo) -> tuple[str, set[str]]:
    """Digest and packs that a claim names; nothing when its writer has just ended."""
    try:
        claim = json.loads(objects.get(info.path))
    except NotFoundError:
        return "", set()
    return claim["digest"], set(claim["packs"])


@contextlib.contextmanager
def _claim(objects: Objects, digest: str, packs: tuple[str, ...]) -> Iterator[str]:
    path = f"{CLAIMS}/{RandomIds().new()}"
    # Means nothing after a power cut, so it need not survive one.
    objects.create(path, canonical({"digest": digest, "packs": list(packs)}), durable=False)
    try:
        yield path
    finally:
        objects.delete(path)


def _wait_for_collection(objects: Objects, claim: str, cancel: Cancel) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while (marker := objects.info(MARKER)) is not None:
        cancel.check()
        # The store's own clock: a fresh object tells what time it is there.
        if is_stale(marker, store_time(objects, claim)):
            return
        if time.monotonic() > deadline:
            raise ConflictError(
                f"the collection of garbage begun or renewed at {marker.modified} has not ended",
                hint="store the blob again later",
            )
        time.sleep(_POLL_SECONDS)


def store_time(objects: Objects, path: str) -> datetime:
    """The store's time, from writing the caller's own object at `path` anew."""
    objects.replace(path, objects.get(path), durable=False)
    info = objects.info(path)
    assert info is not None
    return info.modified
