"""Removing what no kept blob needs: blobs, then packs, then what dead writers left."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from goldsmith.blobs.commit import (
    CLAIMS,
    MARKER,
    MARKER_STALE_SECONDS,
    is_stale,
    read_claim,
    store_time,
)
from goldsmith.blobs.model import Collected, check_digest
from goldsmith.blobs.objects import ObjectInfo, Objects
from goldsmith.blobs.pack import id_in_path, index_path
from goldsmith.blobs.reader import read_header
from goldsmith.kernel.errors import ConflictError, CorruptError, NotFoundError
from goldsmith.kernel.ids import RandomIds

logger = logging.getLogger(__name__)

_RENEW_SECONDS = 10.0
_LOST_SECONDS = 60.0


def collect(objects: Objects, keep: Iterable[str], *, grace_seconds: float) -> Collected:
    """Remove the blobs that are not in `keep`, and the packs that no blob left needs.

    Nothing younger than `grace_seconds` by the store's own clock is touched: a blob is stored before its
    owner can say to keep it. With 0 nobody may be storing anything meanwhile.
    A kept blob whose manifest is damaged keeps every pack, since nobody knows which are its own.
    Raises ConflictError when another collection is under way.
    """
    kept = {check_digest(digest) for digest in keep}
    with _marked(objects) as marker:
        before = marker.now - timedelta(seconds=grace_seconds)
        # Claims first: a writer removes its claim after its manifest is there to be found.
        claimed_digests, claimed_packs = _claims(objects, before, marker)
        blobs, needed, damaged = 0, claimed_packs, []
        for info in objects.list("blobs"):
            marker.renew()
            digest = f"sha256:{id_in_path(info.path)}"
            if info.modified <= before and digest not in kept and digest not in claimed_digests:
                objects.delete(info.path)
                blobs += 1
                continue
            try:
                # It may have been deleted since it was listed.
                with contextlib.suppress(NotFoundError):
                    needed |= set(read_header(objects, digest).packs)
            except CorruptError:
                logger.warning("the manifest of blob %s is damaged: no pack is removed", digest)
                damaged.append(digest)
        doomed = [] if damaged else _unneeded(objects, needed, before)
        for info in doomed:
            marker.renew()
            # The index first: a pack without one is never built on.
            objects.delete(index_path(id_in_path(info.path)))
            objects.delete(info.path)
        objects.remove_leftovers(before)
    packs = [info for info in doomed if info.path.startswith("packs/")]
    return Collected(
        blobs=blobs,
        packs=len(packs),
        freed_bytes=sum(info.size_bytes for info in packs),
        damaged=tuple(damaged),
    )


def _unneeded(objects: Objects, needed: set[str], before: datetime) -> list[ObjectInfo]:
    """Packs, and indexes whose pack is gone."""
    packs = list(objects.list("packs"))
    stored = {id_in_path(info.path) for info in packs}
    unneeded = [info for info in packs if id_in_path(info.path) not in needed]
    dangling = [info for info in objects.list("indexes") if id_in_path(info.path) not in stored]
    return [info for info in (*unneeded, *dangling) if info.modified <= before]


def _claims(objects: Objects, before: datetime, marker: "_Marker") -> tuple[set[str], set[str]]:
    digests: set[str] = set()
    packs: set[str] = set()
    for info in list(objects.list(CLAIMS)):
        marker.renew()
        if info.modified <= before:
            objects.delete(info.path)
            continue
        digest, named = read_claim(objects, info)
        digests.add(digest)
        packs |= named
    return digests, packs


class _Marker:
    """Says that a collection is under way, as long as it is renewed."""

    def __init__(self, objects: Objects, now: datetime) -> None:
        self.now = now
        self._objects = objects
        self._renewed = time.monotonic()
        self.lost = False

    def renew(self) -> None:
        """Raises ConflictError when this process was held up so long that writers no longer wait for it."""
        waited = time.monotonic() - self._renewed
        if waited > _LOST_SECONDS:
            self.lost = True
            raise ConflictError(
                f"the collection of garbage was held up for {waited:.0f} s and stopped", hint="run it again"
            )
        if waited > _RENEW_SECONDS:
            self._objects.replace(MARKER, b"", durable=False)
            self._renewed = time.monotonic()


@contextlib.contextmanager
def _marked(objects: Objects) -> Iterator[_Marker]:
    # Empty, as there must be room for it when the disk is full.
    if not objects.create(MARKER, b"", durable=False):
        other = objects.info(MARKER)
        probe = f"{CLAIMS}/probe-{RandomIds().new()}"
        objects.create(probe, b'{"digest":"","packs":[]}', durable=False)
        now = store_time(objects, probe)
        objects.delete(probe)
        if other is not None and not is_stale(other, now):
            raise ConflictError(
                "another collection of garbage is under way",
                hint=f"wait for it; one whose process has died gives way after {MARKER_STALE_SECONDS} s",
            )
        objects.replace(MARKER, b"", durable=False)
    info = objects.info(MARKER)
    assert info is not None
    marker = _Marker(objects, info.modified)
    try:
        yield marker
    finally:
        # One that is lost may be another collection's by now.
        if not marker.lost:
            objects.delete(MARKER)
