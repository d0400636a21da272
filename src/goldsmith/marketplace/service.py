"""Use cases of the marketplace: what is offered, which version is meant, and capturing it."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.disk.bootstrap import Variant
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import ConflictError, CorruptError, UnavailableError
from goldsmith.kernel.files import remove_tree
from goldsmith.marketplace import system
from goldsmith.marketplace.lock import Lock, read_lock, write_lock
from goldsmith.marketplace.logic import find, no_such_version, version_of
from goldsmith.marketplace.model import (
    DEBIAN_ARCHITECTURES,
    Capture,
    ImageNumber,
    Offer,
    ReleaseFile,
    ResolvedVersion,
    Sku,
    SourceKind,
    Urn,
    epoch_of,
)
from goldsmith.marketplace.ports import Builder, Mirror, OnProgress, Progress, Stage
from goldsmith.marketplace.store import CaptureStore, seal
from goldsmith.marketplace.waiting import held

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marketplace:
    """What the use cases work with; `variant` is the set of packages below the SKUs' own."""

    offers: tuple[Offer, ...]
    store: CaptureStore
    mirror: Mirror
    builder: Builder
    clock: Clock
    variant: Variant = Variant.REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    urn: Urn
    capture: Capture | None
    on_mirror: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDetails:
    urn: Urn
    offer: Offer
    sku: Sku
    resolved: ResolvedVersion
    capture: Capture | None


def silent(_: Progress) -> None:
    return None


def list_offers(marketplace: Marketplace) -> tuple[Offer, ...]:
    return marketplace.offers


def list_captures(marketplace: Marketplace) -> tuple[Capture, ...]:
    """Every base captured here, of all kinds, the earliest first."""
    return marketplace.store.list()


def list_versions(
    marketplace: Marketplace, urn: Urn, *, cancel: Cancel | None = None
) -> tuple[VersionRow, ...]:
    """Captured versions and the one the mirror offers now, oldest first; without the mirror only the former.

    Raises NotFoundError for an unknown publisher, offer or SKU.
    """
    offer, _, named = find(marketplace.offers, urn)
    captures = _captured(marketplace, named)
    offered: ImageNumber | None = None
    try:
        offered = version_of(marketplace.mirror.releases(offer, cancel=cancel or NeverCancel()))
    except UnavailableError as error:
        logger.warning("the mirror's version of %s is not known: %s", named, error)
    numbers = sorted({*captures, *((offered,) if offered else ())})
    return tuple(
        VersionRow(urn=named.at(number), capture=captures.get(number), on_mirror=number == offered)
        for number in numbers
    )


def resolve(marketplace: Marketplace, urn: Urn, *, cancel: Cancel | None = None) -> ResolvedVersion:
    """The exact version a URN means now; `latest` is what the mirror offers at this moment.

    Raises NotFoundError with the nearest names, UnavailableError when `latest` (or a version that is not
    captured) is asked for and the mirror does not answer.
    """
    offer, _, named = find(marketplace.offers, urn)
    captures = _captured(marketplace, named)
    if named.number is not None and named.number in captures:
        return ResolvedVersion(urn=named, epoch=captures[named.number].epoch, captured=True)
    try:
        releases = marketplace.mirror.releases(offer, cancel=cancel or NeverCancel())
    except UnavailableError as error:
        raise _with_pin(error, named, captures) from error
    number = version_of(releases)
    if named.number not in (None, number):
        raise no_such_version(named, (*captures, number))
    return ResolvedVersion(
        urn=named.at(number), epoch=epoch_of(number), captured=number in captures, releases=releases
    )


def show(marketplace: Marketplace, urn: Urn, *, cancel: Cancel | None = None) -> ImageDetails:
    """All that is known of one version; raises what `resolve` raises."""
    offer, sku, _ = find(marketplace.offers, urn)
    resolved = resolve(marketplace, urn, cancel=cancel)
    capture = marketplace.store.find(SourceKind.PLATFORM_IMAGE, str(resolved.urn))
    return ImageDetails(urn=resolved.urn, offer=offer, sku=sku, resolved=resolved, capture=capture)


def capture(
    marketplace: Marketplace, urn: Urn, *, cancel: Cancel | None = None, on_progress: OnProgress = silent
) -> Capture:
    """The captured base of a version, made now unless it is there; a captured one is never changed.

    Of two captures at once one works and the other waits for it. Raises what `resolve` raises, NoSpaceError,
    ProgramError, and what `cancel.check()` raises; a failed capture leaves nothing visible.
    """
    stop = cancel or NeverCancel()
    offer, sku, named = find(marketplace.offers, urn)
    if named.number is not None and (known := _known(marketplace, named)):
        return known
    key = str(named.at(None))
    with held(
        marketplace.store.lock_path(key), stop, on_wait=lambda: on_progress(Progress(stage=Stage.WAIT))
    ):
        resolved = resolve(marketplace, named, cancel=stop)
        if known := _known(marketplace, resolved.urn):
            return known
        lock = _fetch_lock(marketplace, offer, sku, named, cancel=stop, on_progress=on_progress)
        # The mirror may have moved on since it was asked.
        if known := _known(marketplace, lock.urn):
            return known
        made = _build(marketplace, key, lock, cancel=stop, on_progress=on_progress)
    logger.info("captured %s as %s", made.identity, made.digest)
    return made


def capture_from_lock(
    marketplace: Marketplace,
    lock_path: Path,
    *,
    cancel: Cancel | None = None,
    on_progress: OnProgress = silent,
) -> Capture:
    """Make a base again from its lock and the stored packages, with no mirror; the digest is the same.

    An existing capture that still verifies is returned; one that does not is replaced by the equal new tree.
    Raises CorruptError when the tree comes out different, ConflictError when the lock belongs to another
    recipe or contradicts a captured version, NotFoundError when a package is not in the store.
    """
    stop = cancel or NeverCancel()
    lock = read_lock(lock_path)
    key = str(lock.urn.at(None))
    with held(
        marketplace.store.lock_path(key), stop, on_wait=lambda: on_progress(Progress(stage=Stage.WAIT))
    ):
        known = _known(marketplace, lock.urn)
        if known and known.source_digest != lock.digest:
            raise ConflictError(
                f"{lock.urn} is already captured from the lock {known.source_digest}, expected {lock.digest}",
                hint=f"use the lock {known.lock}",
            )
        if known and _verifies(marketplace, known):
            return known
        if lock.recipe_digest != marketplace.builder.recipe_digest:
            raise ConflictError(
                f"the lock of {lock.urn} was made by another recipe ({lock.recipe_digest}) than this one's",
                hint="use the release of Goldsmith that made the lock, or capture a new version",
            )
        made = _build(marketplace, key, lock, cancel=stop, on_progress=on_progress)
    logger.info("captured %s again from its lock as %s", made.identity, made.digest)
    return made


def verify(marketplace: Marketplace, captured: Capture) -> None:
    """Raises CorruptError naming what differs from the tree that was captured."""
    try:
        marketplace.store.verify(captured)
    except CorruptError as error:
        again = (
            f"capture it again: goldsmith marketplace capture {captured.identity} --from-lock {captured.lock}"
            if captured.lock
            else "remove it and capture the disk file again"
        )
        raise CorruptError(error.message, hint=again) from error


def sweep(marketplace: Marketplace) -> tuple[Path, ...]:
    """Remove what killed captures left; returns what was removed."""
    return marketplace.store.sweep()


def _captured(marketplace: Marketplace, named: Urn) -> dict[ImageNumber, Capture]:
    found: dict[ImageNumber, Capture] = {}
    for one in marketplace.store.list():
        urn = one.urn
        if urn is not None and urn.number is not None and urn.at(None).key == named.at(None).key:
            found[urn.number] = one
    return found


def _known(marketplace: Marketplace, urn: Urn) -> Capture | None:
    return marketplace.store.find(SourceKind.PLATFORM_IMAGE, str(urn))


def _verifies(marketplace: Marketplace, captured: Capture) -> bool:
    try:
        marketplace.store.verify(captured)
    except CorruptError as error:
        logger.warning("%s is made again: %s", captured.identity, error)
        return False
    return True


def _with_pin(error: UnavailableError, named: Urn, captures: dict[ImageNumber, Capture]) -> UnavailableError:
    """The same error, whose hint names the version to use until the mirror is back."""
    if not captures:
        return error
    return UnavailableError(
        error.message, hint=f"pin the newest captured version until it is back: {named.at(max(captures))}"
    )


def _fetch_lock(
    marketplace: Marketplace, offer: Offer, sku: Sku, asked: Urn, *, cancel: Cancel, on_progress: OnProgress
) -> Lock:
    def acceptable(releases: tuple[ReleaseFile, ...]) -> None:
        number = version_of(releases)
        # The mirror may have moved on since it was asked; an exact version is then gone from it.
        if asked.number is not None and number != asked.number:
            raise no_such_version(asked, (number,))

    fetched = marketplace.mirror.fetch(offer, sku, wanted=acceptable, cancel=cancel, on_progress=on_progress)
    number = version_of(fetched.releases)
    return Lock(
        urn=asked.at(number),
        epoch=epoch_of(number),
        architecture=DEBIAN_ARCHITECTURES[sku.architecture],
        variant=marketplace.variant,
        include=sku.packages,
        sources=fetched.sources,
        releases=fetched.releases,
        debs=fetched.debs,
        recipe_digest=marketplace.builder.recipe_digest,
    )


def _build(
    marketplace: Marketplace, key: str, lock: Lock, *, cancel: Cancel, on_progress: OnProgress
) -> Capture:
    store = marketplace.store
    work = store.new_work(key)
    try:
        marketplace.builder.build(
            lock, work / "root", scratch=work / "scratch", cancel=cancel, on_progress=on_progress
        )
        on_progress(Progress(stage=Stage.DIGEST))
        manifest = seal(work / "root")
        if lock.tree_digest not in (None, manifest.digest):
            raise CorruptError(
                f"the lock of {lock.urn} gave a tree {manifest.digest}, expected {lock.tree_digest}",
                hint="compare mmdebstrap, apt and dpkg with those of the host that made the lock",
            )
        cancel.check()
        on_progress(Progress(stage=Stage.STORE))
        facts = system.read_facts(work / "root")
        made = Capture(
            kind=SourceKind.PLATFORM_IMAGE,
            identity=str(lock.urn),
            digest=manifest.digest,
            root=work / "root",
            epoch=lock.epoch,
            os_version=facts.os_version,
            architecture=facts.architecture,
            captured_at=marketplace.clock.now(),
            package_count=facts.package_count,
            size_bytes=manifest.size_bytes,
            source_digest=lock.digest,
            lock=None,
            releases=lock.releases,
        )
        written = write_lock(replace(lock, tree_digest=manifest.digest))
        return store.publish(work, made, manifest, lock=written)
    finally:
        remove_tree(work)
