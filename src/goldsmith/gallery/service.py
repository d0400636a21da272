"""Use cases of galleries and image definitions, and the look-up of versions: one function each."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from goldsmith.gallery.logic import (
    check_definition,
    check_definition_change,
    check_gallery_name_free,
    not_in_region,
    resolve,
)
from goldsmith.gallery.model import (
    GALLERY_TYPE,
    VERSION_TYPE,
    Gallery,
    ImageDefinition,
    ImageState,
    ImageVersion,
    ProvisioningState,
)
from goldsmith.gallery.ports import GalleryReading, GalleryStore
from goldsmith.kernel.clock import Clock
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from goldsmith.kernel.ids import ResourceId

logger = logging.getLogger(__name__)

NESTED_TEXT = "Can not delete resource before nested resources are deleted."


def create_gallery(store: GalleryStore, gallery: Gallery, *, actor: str) -> Gallery:
    """Create the gallery, or update it when `gallery` carries the etag of the one that exists.

    Raises ConflictError when its name is taken in the subscription, PreconditionFailedError when it changed.
    """
    with store.transaction(actor=actor) as transaction:
        old = transaction.gallery(gallery.id)
        check_gallery_name_free(gallery, transaction.galleries(gallery.id.subscription))
        made = replace(
            gallery,
            id=old.id if old else gallery.id,
            provisioning_state=ProvisioningState.SUCCEEDED,
            etag=gallery.etag or (old.etag if old else None),
        )
        transaction.put(made)
    logger.info("%s gallery %s", "updated" if old else "created", made.id)
    return show_gallery(store, made.id)


def create_definition(store: GalleryStore, definition: ImageDefinition, *, actor: str) -> ImageDefinition:
    """Create the definition, or update it.

    Raises NotFoundError (ParentResourceNotFound), InvalidInputError, and ConflictError when publisher, offer
    and sku are taken or a property that is fixed at creation differs.
    """
    with store.transaction(actor=actor) as transaction:
        gallery = require_parent(transaction, definition.id)
        transaction.lock(gallery)
        old = transaction.definition(definition.id)
        if old is not None:
            check_definition_change(old, definition)
        check_definition(definition, transaction.definitions(gallery))
        made = replace(
            definition,
            id=old.id if old else gallery.child("images", definition.id.name),
            provisioning_state=ProvisioningState.SUCCEEDED,
            etag=definition.etag or (old.etag if old else None),
        )
        transaction.put(made)
    logger.info("%s image definition %s", "updated" if old else "created", made.id)
    return show_definition(store, made.id)


def show_gallery(store: GalleryReading, id_: ResourceId) -> Gallery:
    """Raises NotFoundError."""
    found = store.gallery(id_)
    if found is None:
        raise not_found(id_)
    return found


def show_definition(store: GalleryReading, id_: ResourceId) -> ImageDefinition:
    """Raises NotFoundError."""
    found = store.definition(id_)
    if found is None:
        raise not_found(id_)
    return found


def show_version(store: GalleryReading, id_: ResourceId) -> ImageVersion:
    """Raises NotFoundError, also for a version that is soft-deleted."""
    found = store.version(id_)
    if found is None or found.image_state is ImageState.SOFT_DELETED:
        raise not_found(id_)
    return found


def list_galleries(store: GalleryReading, subscription: str, *, group: str | None = None) -> list[Gallery]:
    return store.galleries(subscription, group=group)


def list_definitions(store: GalleryReading, gallery_id: ResourceId) -> list[ImageDefinition]:
    """Raises NotFoundError (ParentResourceNotFound) when there is no such gallery."""
    if store.gallery(gallery_id) is None:
        raise parent_not_found(gallery_id)
    return store.definitions(gallery_id)


def list_versions(store: GalleryReading, definition_id: ResourceId) -> list[ImageVersion]:
    """The versions that are not soft-deleted, lowest first; raises NotFoundError as `list_definitions`."""
    return [v for v in _versions(store, definition_id) if v.image_state is ImageState.ACTIVE]


def list_soft_deleted(store: GalleryReading, definition_id: ResourceId) -> list[ImageVersion]:
    """The versions that can be restored, lowest first."""
    return [v for v in _versions(store, definition_id) if v.image_state is ImageState.SOFT_DELETED]


def resolve_latest(store: GalleryReading, definition_id: ResourceId, *, region: str) -> ImageVersion:
    """The version that a VM made now in `region` from the definition gets.

    Raises NotFoundError with Azure's text for why there is none.
    """
    definition = show_definition(store, definition_id)
    return resolve(str(definition.id), store.versions(definition_id), region=region)


def resolve_image(store: GalleryReading, image_id: ResourceId, *, region: str, clock: Clock) -> ImageVersion:
    """The version that an image reference means: a definition, its `versions/latest`, or one version.

    A version named exactly is found also when it is withdrawn, and when it is soft-deleted as long as its
    gallery's retention lasts. Raises NotFoundError, and InvalidInputError for an id of another type.
    """
    if image_id.type.lower() != VERSION_TYPE.lower():
        if len(image_id.names) != 2 or not image_id.type.lower().startswith(GALLERY_TYPE.lower()):
            raise InvalidInputError(f"{image_id} is a {image_id.type}, expected an image of a gallery")
        return resolve_latest(store, image_id, region=region)
    definition_id = image_id.parent
    assert definition_id is not None
    if image_id.name.lower() == "latest":
        return resolve_latest(store, definition_id, region=region)
    found = store.version(image_id)
    if found is None or not _deployable(store, found, clock.now()):
        raise not_found(image_id)
    if not found.replicated_to(region):
        raise not_in_region(str(found.id), region)
    return found


def delete_gallery(store: GalleryStore, id_: ResourceId, *, actor: str) -> None:
    """Raises NotFoundError, ConflictError while it holds a definition."""
    with store.transaction(actor=actor) as transaction:
        transaction.lock(show_gallery(transaction, id_).id)
        if transaction.definitions(id_):
            raise ConflictError(NESTED_TEXT, code="CannotDeleteResource", hint="delete its definitions first")
        transaction.delete(id_)
    logger.info("deleted gallery %s", id_)


def delete_definition(store: GalleryStore, id_: ResourceId, *, actor: str) -> None:
    """Raises NotFoundError, ConflictError while it holds a version, soft-deleted ones included."""
    with store.transaction(actor=actor) as transaction:
        transaction.lock(show_definition(transaction, id_).id)
        if transaction.versions(id_):
            raise ConflictError(
                NESTED_TEXT,
                code="CannotDeleteResource",
                hint="delete its versions first, soft-deleted ones too",
            )
        transaction.delete(id_)
    logger.info("deleted image definition %s", id_)


def require_parent(store: GalleryReading, id_: ResourceId) -> ResourceId:
    """The id of the parent as it is stored; raises NotFoundError (ParentResourceNotFound)."""
    parent_id = id_.parent
    assert parent_id is not None
    parent = store.gallery(parent_id) if len(parent_id.names) == 1 else store.definition(parent_id)
    if parent is None:
        raise parent_not_found(parent_id)
    return parent.id


def not_found(id_: ResourceId) -> NotFoundError:
    name = "/".join((id_.type, *id_.names[-1:]))
    return NotFoundError(
        f"The Resource '{name}' under resource group '{id_.group}' was not found.",
        hint="'goldsmith gallery list' shows what there is",
    )


def parent_not_found(parent_id: ResourceId) -> NotFoundError:
    return NotFoundError(
        "Can not perform requested operation on nested resource. "
        f"Parent resource '{'/'.join(parent_id.names)}' not found.",
        code="ParentResourceNotFound",
        hint="create the parent first",
    )


def _versions(store: GalleryReading, definition_id: ResourceId) -> list[ImageVersion]:
    if store.definition(definition_id) is None:
        raise parent_not_found(definition_id)
    return sorted(store.versions(definition_id), key=lambda version: version.name)


def _deployable(store: GalleryReading, version: ImageVersion, now: datetime) -> bool:
    if version.provisioning_state is not ProvisioningState.SUCCEEDED:
        return False
    if version.soft_deleted is None:
        return True
    gallery_id = version.definition_id.parent
    assert gallery_id is not None
    gallery = store.gallery(gallery_id)
    policy = gallery.soft_delete_policy if gallery else None
    return policy is not None and now < version.soft_deleted + timedelta(days=policy.retention_days)
