"""Decisions about image versions: which is latest, which are aged, and what may be changed or deleted.

The messages quoted from Azure keep its wording and punctuation, as clients show them to people who search
for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from goldsmith.gallery.model import (
    Gallery,
    ImageDefinition,
    ImageState,
    ImageVersion,
    ProvisioningState,
    SecurityType,
)
from goldsmith.gallery.regions import region_key
from goldsmith.kernel.clock import iso
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError

AGED_TAG = "aged"
SUPERSEDED_BY_TAG = "supersededBy"

TARGET_REGIONS_MAX = 100
REPLICAS_MAX = 100


def latest(versions: Iterable[ImageVersion], *, region: str) -> ImageVersion | None:
    """The highest Major.Minor.Patch that may be handed out as latest in `region`, or None."""
    return _highest(version for version in versions if _is_latest_candidate(version, region))


def newest(versions: Iterable[ImageVersion]) -> ImageVersion | None:
    """The highest version that may be latest at all, whatever the region."""
    return _highest(version for version in versions if _is_promoted(version))


def resolve(definition_id: str, versions: Sequence[ImageVersion], *, region: str) -> ImageVersion:
    """As `latest`; raises NotFoundError that says whether there is none at all or none in this region."""
    found = latest(versions, region=region)
    if found is not None:
        return found
    elsewhere = newest(versions)
    if elsewhere is None:
        raise NotFoundError(
            f'There is no latest image version exists for "{definition_id}"',
            code="GalleryImageNotFound",
            hint="publish a version, or clear excludeFromLatest on one",
        )
    raise not_in_region(definition_id, region)


def not_in_region(image_id: str, region: str) -> NotFoundError:
    return NotFoundError(
        f"The gallery image {image_id} is not available in {region} region. Please contact image owner to "
        "replicate to this region, or change your requested region.",
        code="GalleryImageNotFound",
        hint=f"add {region} to the target regions of the version, or wait for its replication",
    )


def aged(versions: Iterable[ImageVersion], newest: ImageVersion) -> tuple[ImageVersion, ...]:
    """The finished versions below `newest`, in order: what is to be marked aged."""
    return tuple(
        sorted((v for v in versions if _is_usable(v) and v.name < newest.name), key=lambda v: v.name)
    )


def marked(versions: Sequence[ImageVersion], *, today: date) -> tuple[ImageVersion, ...]:
    """The versions whose marks must change so that exactly those below the newest promoted one are aged.

    Once marked, a version keeps its date while it stays aged. When the newest is withdrawn, the one below
    it is handed out again, and so is no longer aged.
    """
    top = newest(versions)
    old = {version.id.key for version in aged(versions, top)} if top is not None else set()
    changed = []
    for version in versions:
        is_marked = AGED_TAG in version.tags
        if version.id.key in old and not is_marked:
            assert top is not None
            marks = {AGED_TAG: today.isoformat(), SUPERSEDED_BY_TAG: str(top.name)}
            changed.append(replace(version, tags={**version.tags, **marks}))
        elif version.id.key not in old and is_marked:
            kept = {k: v for k, v in version.tags.items() if k not in (AGED_TAG, SUPERSEDED_BY_TAG)}
            changed.append(replace(version, tags=kept))
    return tuple(changed)


def requires_trusted_launch(definition: ImageDefinition) -> bool:
    """Whether every VM made from it must use Trusted Launch: secure boot and a vTPM."""
    return (definition.feature("SecurityType") or "").lower() == SecurityType.TRUSTED_LAUNCH.lower()


def check_gallery_name_free(gallery: Gallery, others: Iterable[Gallery]) -> None:
    """Gallery names are unique in a subscription; raises ConflictError."""
    for other in others:
        if other.id.name.lower() == gallery.id.name.lower() and other.id.key != gallery.id.key:
            raise ConflictError(
                f"the gallery name {gallery.id.name} is in use by {other.id}, expected one unique in the "
                "subscription",
                hint="choose another name",
            )


def check_definition(definition: ImageDefinition, siblings: Iterable[ImageDefinition]) -> None:
    """Raises InvalidInputError for bad values, ConflictError when publisher, offer and sku are taken."""
    limits = (
        ("publisher", definition.identifier.publisher, 128),
        ("offer", definition.identifier.offer, 64),
        ("sku", definition.identifier.sku, 64),
    )
    for name, text, characters_max in limits:
        if not 1 <= len(text) <= characters_max or text.endswith("."):
            raise InvalidInputError(
                f"identifier.{name} is '{text}', expected 1 to {characters_max} characters, the last not '.'"
            )
    security = definition.feature("SecurityType")
    if security is not None and security.lower() not in {value.lower() for value in SecurityType}:
        raise InvalidInputError(
            f"the feature SecurityType is '{security}', expected one of {', '.join(SecurityType)}"
        )
    for sibling in siblings:
        if sibling.id.key != definition.id.key and sibling.identifier.key == definition.identifier.key:
            raise ConflictError(
                f"publisher, offer and sku of {definition.id} are those of {sibling.id}, expected a "
                "combination unique in the gallery",
                hint="choose another sku",
            )


def check_definition_change(old: ImageDefinition, new: ImageDefinition) -> None:
    """Raises ConflictError when a property that is fixed at creation differs."""
    fixed = {
        "osType": (old.os_type, new.os_type),
        "osState": (old.os_state, new.os_state),
        "hyperVGeneration": (old.hyper_v_generation, new.hyper_v_generation),
        "architecture": (old.architecture, new.architecture),
        "identifier.publisher": (old.identifier.publisher, new.identifier.publisher),
        "identifier.offer": (old.identifier.offer, new.identifier.offer),
        "identifier.sku": (old.identifier.sku, new.identifier.sku),
        "location": (region_key(old.location), region_key(new.location)),
    }
    if not (old.allow_update_image or new.allow_update_image):
        fixed["features"] = (str(_sorted_features(old)), str(_sorted_features(new)))
    _check_fixed("galleryImage", fixed, hint_for={"features": "set allowUpdateImage to change features"})


def check_version(version: ImageVersion, *, now: datetime) -> None:
    """Raises InvalidInputError when the target regions, dates or counts of a version cannot be."""
    publishing = version.publishing
    keys = [region.key for region in publishing.target_regions]
    if len(set(keys)) != len(keys):
        raise InvalidInputError("Duplicate regions are not allowed in target publishing regions")
    if len(keys) > TARGET_REGIONS_MAX:
        raise InvalidInputError(
            f"a version has {len(keys)} target regions, expected {TARGET_REGIONS_MAX} at most"
        )
    if region_key(version.location) not in keys:
        listed = ", ".join(region.name for region in publishing.target_regions)
        raise InvalidInputError(
            f"Gallery image version publishing profile regions '{listed}' must contain the location of image "
            f"version '{version.location}'"
        )
    counts = [publishing.replica_count, *(r.regional_replica_count for r in publishing.target_regions)]
    for count in counts:
        if count is not None and not 1 <= count <= REPLICAS_MAX:
            raise InvalidInputError(f"a replica count is {count}, expected 1 to {REPLICAS_MAX}")
    if publishing.storage_account_type is not None and publishing.storage_account_strategy is not None:
        raise InvalidInputError(
            "storageAccountType and storageAccountStrategy are both set, expected one at most"
        )
    if publishing.end_of_life_date is not None and publishing.end_of_life_date <= now:
        raise InvalidInputError("EndOfLifeDate must be set to a future date.")


def check_version_change(old: ImageVersion, new: ImageVersion, *, now: datetime) -> None:
    """Raises ConflictError for a property that is fixed at creation, InvalidInputError for a bad value."""
    fixed = {
        "storageProfile.source": (old.storage.source_keys, new.storage.source_keys),
        "securityProfile": (old.security_profile, new.security_profile),
        "publishingProfile.storageAccountType": (
            old.publishing.storage_account_type,
            new.publishing.storage_account_type,
        ),
        "publishingProfile.replicationMode": (
            old.publishing.replication_mode,
            new.publishing.replication_mode,
        ),
        "location": (region_key(old.location), region_key(new.location)),
    }
    _check_fixed("galleryImageVersion", fixed, hint_for={})
    # A date that has passed since it was set does not stop other changes.
    if new.publishing.end_of_life_date == old.publishing.end_of_life_date:
        new = replace(new, publishing=replace(new.publishing, end_of_life_date=None))
    check_version(new, now=now)
    removed = {r.key for r in old.publishing.target_regions} - {r.key for r in new.publishing.target_regions}
    replicated = sorted(key for key in removed if old.replicated_to(key))
    if replicated and old.safety.allow_deletion_of_replicated_locations is False:
        raise ConflictError(
            f"removing the replicated regions {', '.join(replicated)} of {old.id} was asked, and its safety "
            "profile does not allow it",
            hint="set safetyProfile.allowDeletionOfReplicatedLocations to true first",
        )


def check_deletable(version: ImageVersion, *, now: datetime) -> None:
    """Raises ConflictError while the safety profile blocks deletion.

    A version without an end of life has not reached it, so the block holds for it too.
    """
    end = version.publishing.end_of_life_date
    if version.safety.block_deletion_before_end_of_life and (end is None or now < end):
        until = f"before its end of life {iso(end)}" if end is not None else "and it has no end of life"
        raise ConflictError(
            f"the deletion of {version.id} was asked {until}, and its safety profile blocks that",
            code="DeleteGalleryImageVersionBlockedBeforeEndOfLife",
            hint="wait, or set safetyProfile.blockDeletionBeforeEndOfLife to false",
        )


def _is_usable(version: ImageVersion) -> bool:
    return (
        version.provisioning_state is ProvisioningState.SUCCEEDED and version.image_state is ImageState.ACTIVE
    )


def _is_promoted(version: ImageVersion) -> bool:
    return _is_usable(version) and not version.publishing.exclude_from_latest


def _is_latest_candidate(version: ImageVersion, region: str) -> bool:
    target = version.publishing.region(region)
    return (
        _is_promoted(version)
        and target is not None
        and not target.exclude_from_latest
        and version.replicated_to(region)
    )


def _highest(versions: Iterable[ImageVersion]) -> ImageVersion | None:
    return max(versions, key=lambda version: version.name, default=None)


def _sorted_features(definition: ImageDefinition) -> list[tuple[str, str, str | None]]:
    return sorted((f.name.lower(), f.value, f.starts_at_version) for f in definition.features)


def _check_fixed(
    noun: str, fixed: Mapping[str, tuple[object, object]], *, hint_for: Mapping[str, str]
) -> None:
    for name, (old, new) in fixed.items():
        if old != new:
            raise ConflictError(
                f"Changing property '{noun}.properties.{name}' is not allowed.",
                code="PropertyChangeNotAllowed",
                hint=hint_for.get(name, "create another one with the value wanted"),
            )
