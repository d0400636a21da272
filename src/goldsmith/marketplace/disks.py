"""Bases from disk files: a local one, or that of a gallery image version."""

import logging
from pathlib import Path

from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.digest import of_file
from goldsmith.kernel.errors import ConflictError, NotFoundError
from goldsmith.kernel.files import remove_tree
from goldsmith.marketplace import system
from goldsmith.marketplace.model import Capture, SourceKind
from goldsmith.marketplace.ports import OnProgress, Progress, RootExtractor, Stage
from goldsmith.marketplace.service import Marketplace, silent
from goldsmith.marketplace.store import seal
from goldsmith.marketplace.waiting import held

logger = logging.getLogger(__name__)


def capture_disk_file(
    marketplace: Marketplace,
    path: Path,
    *,
    extract: RootExtractor,
    cancel: Cancel | None = None,
    on_progress: OnProgress = silent,
) -> Capture:
    """The base tree of a local disk file (raw, qcow2, VHD), pinned by the file's digest.

    The same content is captured once; a changed file gives another capture and the earlier one stays.
    Raises NotFoundError when there is no such file, and what `extract` raises.
    """
    resolved = path.resolve()
    return _capture(
        marketplace,
        resolved,
        kind=SourceKind.MANAGED_IMAGE,
        identity=str(resolved),
        extract=extract,
        cancel=cancel or NeverCancel(),
        on_progress=on_progress,
    )


def capture_image_version(
    marketplace: Marketplace,
    image_version_id: str,
    path: Path,
    *,
    extract: RootExtractor,
    cancel: Cancel | None = None,
    on_progress: OnProgress = silent,
) -> Capture:
    """The base tree of a gallery image version whose disk is at `path`.

    Raises ConflictError when it was captured with other content, and what `capture_disk_file` raises.
    """
    return _capture(
        marketplace,
        path,
        kind=SourceKind.SHARED_IMAGE_VERSION,
        identity=image_version_id,
        extract=extract,
        cancel=cancel or NeverCancel(),
        on_progress=on_progress,
    )


def _capture(
    marketplace: Marketplace,
    path: Path,
    *,
    kind: SourceKind,
    identity: str,
    extract: RootExtractor,
    cancel: Cancel,
    on_progress: OnProgress,
) -> Capture:
    if not path.is_file():
        raise NotFoundError(
            f"there is no disk file at {path}", hint="give the path of a raw, qcow2 or VHD file"
        )
    store = marketplace.store
    key = f"{kind}:{identity}"
    with held(store.lock_path(key), cancel, on_wait=lambda: on_progress(Progress(stage=Stage.WAIT))):
        on_progress(Progress(stage=Stage.INDEX))
        pin = of_file(path)
        if known := store.find(kind, identity, source_digest=pin):
            return known
        earlier = store.find(kind, identity)
        if earlier and kind is SourceKind.SHARED_IMAGE_VERSION:
            raise ConflictError(
                f"{identity} was captured from a disk with digest {earlier.source_digest}, got {pin}",
                hint="an image version never changes: verify the gallery's copy of it",
            )
        work = store.new_work(key)
        try:
            on_progress(Progress(stage=Stage.EXTRACT))
            extract(path, work / "root")
            cancel.check()
            on_progress(Progress(stage=Stage.DIGEST))
            captured = _publish(marketplace, work, kind=kind, identity=identity, pin=pin)
        finally:
            remove_tree(work)
    logger.info("captured %s as %s", captured.identity, captured.digest)
    return captured


def _publish(marketplace: Marketplace, work: Path, *, kind: SourceKind, identity: str, pin: str) -> Capture:
    manifest = seal(work / "root")
    facts = system.read_facts(work / "root")
    made = Capture(
        kind=kind,
        identity=identity,
        digest=manifest.digest,
        root=work / "root",
        # A disk has no date of its own; that of its newest file is the same for whoever reads it.
        epoch=max(entry.mtime for entry in manifest.entries),
        os_version=facts.os_version,
        architecture=facts.architecture,
        captured_at=marketplace.clock.now(),
        package_count=facts.package_count,
        size_bytes=manifest.size_bytes,
        source_digest=pin,
        lock=None,
        releases=(),
    )
    return marketplace.store.publish(work, made, manifest, lock=None)
