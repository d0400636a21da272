"""Use cases of an image version's life: begun, completed, promoted, replicated, withdrawn, deleted."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from goldsmith.gallery.logic import check_deletable, check_version, check_version_change, marked
from goldsmith.gallery.model import (
    DiskImage,
    Evidence,
    ExecutedValidation,
    ImageState,
    ImageVersion,
    ProvisioningState,
    RegionReplication,
    RegionState,
)
from goldsmith.gallery.ports import GalleryStore, GalleryTransaction
from goldsmith.gallery.regions import region_key
from goldsmith.gallery.service import not_found, require_parent, show_gallery, show_version
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from goldsmith.kernel.ids import ResourceId

logger = logging.getLogger(__name__)

_HALF_MADE = (ProvisioningState.CREATING, ProvisioningState.FAILED)


def begin_version(
    store: GalleryStore,
    clock: Clock,
    draft: ImageVersion,
    *,
    build_id: str,
    disk_digest: str | None = None,
    actor: str,
) -> ImageVersion:
    """Take the version's name for a build: it is Creating, and never latest before it is completed.

    May be called again by the same build, and after a version that failed. `disk_digest` may be left out
    while the disk is not sealed. Raises NotFoundError (ParentResourceNotFound), InvalidInputError, and
    ConflictError when the version exists with other content or another build is making it.
    """
    check_version(draft, now=clock.now())
    with store.transaction(actor=actor) as transaction:
        definition_id = require_parent(transaction, draft.id)
        transaction.lock(definition_id)
        old = transaction.version(draft.id)
        if old is not None and _is_same_content(old, build_id, disk_digest):
            if old.provisioning_state is not ProvisioningState.FAILED:
                return old
        elif old is not None:
            _check_replaceable(old)
        begun = replace(
            draft,
            id=old.id if old else definition_id.child("versions", draft.id.name),
            publishing=replace(draft.publishing, exclude_from_latest=True, published_date=None),
            provisioning_state=ProvisioningState.CREATING,
            replication=(),
            validations=(),
            evidence=Evidence(build_id=build_id, disk_digest=disk_digest),
            soft_deleted=None,
            etag=old.etag if old else None,
        )
        transaction.put(begun)
    logger.info("began image version %s for build %s", begun.id, build_id)
    return show_version(store, begun.id)


def complete_version(
    store: GalleryStore,
    clock: Clock,
    id_: ResourceId,
    *,
    evidence: Evidence,
    exclude_from_latest: bool,
    validations: Sequence[ExecutedValidation] = (),
    replicated: Sequence[str] | None = None,
    actor: str,
) -> ImageVersion:
    """Publish the version a build has made, in one transaction with the aging of those it supersedes.

    `exclude_from_latest` is what the template asked; `replicated` the regions that hold the bytes (None: all
    target regions), the others go on replicating. Called again by the same build it changes nothing.
    Raises NotFoundError, ConflictError (not begun by this build, failed, or another disk), InvalidInputError
    (no disk digest, or a region that is no target).
    """
    if evidence.disk_digest is None:
        raise InvalidInputError(f"completing {id_} needs the digest of its disk, got none")
    with store.transaction(actor=actor) as transaction:
        begun = _locked(transaction, id_)
        if begun.evidence is None or begun.evidence.build_id != evidence.build_id:
            raise ConflictError(f"{id_} was not begun by build {evidence.build_id}")
        if begun.evidence.disk_digest not in (None, evidence.disk_digest):
            raise ConflictError(
                f"{id_} was begun for disk {begun.evidence.disk_digest}, got {evidence.disk_digest}",
                hint="publish the very bytes that were validated",
            )
        if begun.provisioning_state is ProvisioningState.SUCCEEDED:
            return begun
        if begun.provisioning_state is not ProvisioningState.CREATING:
            raise ConflictError(f"{id_} is {begun.provisioning_state}, expected Creating")
        completed = replace(
            begun,
            provisioning_state=ProvisioningState.SUCCEEDED,
            publishing=replace(
                begun.publishing,
                exclude_from_latest=exclude_from_latest,
                published_date=clock.now().replace(microsecond=0),
            ),
            storage=replace(begun.storage, os_disk=_sized(begun.storage.os_disk, evidence)),
            replication=_replication(begun, replicated),
            validations=tuple(validations),
            evidence=evidence,
        )
        transaction.put(completed)
        _remark(transaction, clock, begun.definition_id)
    logger.info("published image version %s (excluded from latest: %s)", id_, exclude_from_latest)
    return show_version(store, id_)


def update_version(store: GalleryStore, clock: Clock, version: ImageVersion, *, actor: str) -> ImageVersion:
    """Change what may be changed: target regions, replica counts, exclusion, end of life, safety and tags.

    Regions that are new begin as Replicating. Raises NotFoundError, ConflictError (fixed property),
    InvalidInputError, PreconditionFailedError (changed since `version` was read).
    """
    with store.transaction(actor=actor) as transaction:
        old = _locked(transaction, version.id)
        check_version_change(old, version, now=clock.now())
        done = {region_key(item.region): item for item in old.replication}
        finished = old.provisioning_state is ProvisioningState.SUCCEEDED
        changed = replace(
            version,
            id=old.id,
            provisioning_state=old.provisioning_state,
            evidence=old.evidence,
            replication=tuple(
                done.get(region.key, RegionReplication(region=region.name, state=RegionState.REPLICATING))
                for region in version.publishing.target_regions
            )
            if finished
            else (),
            etag=version.etag or old.etag,
        )
        transaction.put(changed)
        _remark(transaction, clock, old.definition_id)
    logger.info("updated image version %s", version.id)
    return show_version(store, version.id)


def fail_version(store: GalleryStore, id_: ResourceId, *, build_id: str, actor: str) -> ImageVersion:
    """Mark a version that `build_id` began as Failed; its name can be begun again.

    Raises NotFoundError, ConflictError when it is not that build's or is published.
    """
    with store.transaction(actor=actor) as transaction:
        begun = _half_made(_locked(transaction, id_), build_id)
        transaction.put(replace(begun, provisioning_state=ProvisioningState.FAILED))
    logger.info("image version %s of build %s failed", id_, build_id)
    return show_version(store, id_)


def abandon_version(store: GalleryStore, id_: ResourceId, *, build_id: str, actor: str) -> None:
    """Remove a version that `build_id` began and did not complete; none there is fine.

    Raises ConflictError when it is another build's or is published.
    """
    with store.transaction(actor=actor) as transaction:
        if transaction.version(id_) is None:
            return
        _half_made(_locked(transaction, id_), build_id)
        transaction.delete(id_)
    logger.info("abandoned image version %s of build %s", id_, build_id)


def withdraw(store: GalleryStore, clock: Clock, id_: ResourceId, *, actor: str) -> ImageVersion:
    """Stop handing the version out as latest; VMs that name it exactly still get it.

    The version below it is latest again and no longer marked aged. Raises NotFoundError.
    """
    return _set_excluded(store, clock, id_, excluded=True, actor=actor)


def promote(store: GalleryStore, clock: Clock, id_: ResourceId, *, actor: str) -> ImageVersion:
    """Let the version be latest, and mark those below it aged.

    Raises NotFoundError, ConflictError for a version that is not published.
    """
    return _set_excluded(store, clock, id_, excluded=False, actor=actor)


def record_replication(
    store: GalleryStore, id_: ResourceId, replication: RegionReplication, *, actor: str
) -> ImageVersion:
    """Note how far a target region has the version.

    Raises NotFoundError, InvalidInputError when the region is no target of it.
    """
    with store.transaction(actor=actor) as transaction:
        version = _locked(transaction, id_)
        target = version.publishing.region(replication.region)
        if target is None:
            raise InvalidInputError(f"{replication.region} is no target region of {id_}")
        key = region_key(replication.region)
        others = [item for item in version.replication if region_key(item.region) != key]
        order = [region.key for region in version.publishing.target_regions]
        items = sorted(
            (*others, replace(replication, region=target.name)),
            key=lambda item: order.index(region_key(item.region)),
        )
        transaction.put(replace(version, replication=tuple(items)))
    logger.debug("%s in %s is %s", id_, replication.region, replication.state)
    return show_version(store, id_)


def delete_version(
    store: GalleryStore, clock: Clock, id_: ResourceId, *, bypass_soft_delete: bool = False, actor: str
) -> None:
    """Delete the version, or soft-delete it when its gallery says so and it was published.

    Raises NotFoundError, ConflictError before its end of life when its safety profile blocks that, or while
    a build is making it.
    """
    with store.transaction(actor=actor) as transaction:
        version = _locked(transaction, id_)
        if version.provisioning_state is ProvisioningState.CREATING:
            raise ConflictError(f"{id_} is being made by a build", hint="cancel the build first")
        check_deletable(version, now=clock.now())
        gallery_id = version.definition_id.parent
        assert gallery_id is not None
        policy = show_gallery(transaction, gallery_id).soft_delete_policy
        published = version.provisioning_state is ProvisioningState.SUCCEEDED
        soft = policy is not None and policy.enabled and published and not bypass_soft_delete
        if soft:
            transaction.put(replace(version, soft_deleted=clock.now()))
        else:
            transaction.delete(id_)
        _remark(transaction, clock, version.definition_id)
    logger.info("%s image version %s", "soft-deleted" if soft else "deleted", id_)


def restore_version(store: GalleryStore, clock: Clock, id_: ResourceId, *, actor: str) -> ImageVersion:
    """Take back a soft deletion; raises NotFoundError when there is no such soft-deleted version."""
    with store.transaction(actor=actor) as transaction:
        version = _soft_deleted(transaction, id_)
        transaction.put(replace(version, soft_deleted=None))
        _remark(transaction, clock, version.definition_id)
    logger.info("restored image version %s", id_)
    return show_version(store, id_)


def purge_version(store: GalleryStore, id_: ResourceId, *, actor: str) -> None:
    """Delete a soft-deleted version for good; raises NotFoundError when there is none."""
    with store.transaction(actor=actor) as transaction:
        _soft_deleted(transaction, id_)
        transaction.delete(id_)
    logger.info("purged image version %s", id_)


def _locked(transaction: GalleryTransaction, id_: ResourceId) -> ImageVersion:
    """The version, with every other write to its definition's versions held off."""
    definition_id = id_.parent
    assert definition_id is not None
    try:
        transaction.lock(definition_id)
    except NotFoundError:
        raise not_found(id_) from None
    return show_version(transaction, id_)


def _soft_deleted(transaction: GalleryTransaction, id_: ResourceId) -> ImageVersion:
    definition_id = require_parent(transaction, id_)
    transaction.lock(definition_id)
    version = transaction.version(id_)
    if version is None or version.image_state is not ImageState.SOFT_DELETED:
        raise not_found(id_)
    return version


def _set_excluded(
    store: GalleryStore, clock: Clock, id_: ResourceId, *, excluded: bool, actor: str
) -> ImageVersion:
    with store.transaction(actor=actor) as transaction:
        version = _locked(transaction, id_)
        if not excluded and version.provisioning_state is not ProvisioningState.SUCCEEDED:
            raise ConflictError(f"{id_} is {version.provisioning_state}, expected Succeeded to promote it")
        if version.publishing.exclude_from_latest is not excluded:
            publishing = replace(version.publishing, exclude_from_latest=excluded)
            transaction.put(replace(version, publishing=publishing))
            _remark(transaction, clock, version.definition_id)
            logger.info("%s image version %s", "withdrew" if excluded else "promoted", id_)
    return show_version(store, id_)


def _remark(transaction: GalleryTransaction, clock: Clock, definition_id: ResourceId) -> None:
    # Read again within the transaction: what was just written counts, and has a new etag.
    for version in marked(transaction.versions(definition_id), today=clock.now().date()):
        transaction.put(version)


def _is_same_content(old: ImageVersion, build_id: str, disk_digest: str | None) -> bool:
    if old.evidence is None or old.image_state is ImageState.SOFT_DELETED:
        return False
    known = old.evidence.disk_digest
    if old.evidence.build_id == build_id:
        return disk_digest is None or known in (None, disk_digest)
    return (
        old.provisioning_state is ProvisioningState.SUCCEEDED and known is not None and known == disk_digest
    )


def _check_replaceable(old: ImageVersion) -> None:
    maker = old.evidence.build_id if old.evidence else "another client"
    if old.image_state is ImageState.SOFT_DELETED:
        raise ConflictError(
            f"{old.id} is soft-deleted, expected a version that does not exist",
            hint="restore it, purge it, or choose the next version",
        )
    if old.provisioning_state is ProvisioningState.SUCCEEDED:
        raise ConflictError(
            f"{old.id} is published with other content, made by {maker}", hint="choose the next version"
        )
    if old.provisioning_state is not ProvisioningState.FAILED:
        raise ConflictError(
            f"{old.id} is {old.provisioning_state}, being made by {maker}",
            hint="wait for that build or cancel it, or choose the next version",
        )


def _half_made(version: ImageVersion, build_id: str) -> ImageVersion:
    maker = version.evidence.build_id if version.evidence else "another client"
    if version.provisioning_state not in _HALF_MADE or maker != build_id:
        raise ConflictError(
            f"{version.id} is {version.provisioning_state} and made by {maker}, "
            f"expected one half made by {build_id}"
        )
    return version


def _sized(os_disk: DiskImage | None, evidence: Evidence) -> DiskImage | None:
    if evidence.disk_size_bytes is None:
        return os_disk
    return replace(os_disk or DiskImage(), size_gib=ceil(evidence.disk_size_bytes / (1 << 30)))


def _replication(version: ImageVersion, replicated: Sequence[str] | None) -> tuple[RegionReplication, ...]:
    targets = version.publishing.target_regions
    done = {region.key for region in targets} if replicated is None else {region_key(n) for n in replicated}
    strangers = done - {region.key for region in targets}
    if strangers:
        raise InvalidInputError(f"{', '.join(sorted(strangers))} is no target region of {version.id}")
    return tuple(
        RegionReplication(region=region.name, state=RegionState.COMPLETED, progress=100)
        if region.key in done
        else RegionReplication(region=region.name, state=RegionState.REPLICATING)
        for region in targets
    )
