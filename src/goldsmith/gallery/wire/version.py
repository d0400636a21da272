"""`Microsoft.Compute/galleries/images/versions`: ARM JSON to `ImageVersion` and back."""

from dataclasses import replace

from goldsmith.gallery.model import (
    VERSION_TYPE,
    DiskImage,
    Evidence,
    ExecutedValidation,
    HostCaching,
    ImageVersion,
    ProvisioningState,
    PublishingProfile,
    RegionReplication,
    RegionState,
    ReplicationMode,
    SafetyProfile,
    StorageAccountStrategy,
    StorageAccountType,
    StorageProfile,
    TargetRegion,
)
from goldsmith.gallery.naming import check_id
from goldsmith.gallery.wire.envelope import (
    DEFAULT_API_VERSION,
    SECURE_BY_DEFAULT_SINCE,
    envelope,
    open_body,
)
from goldsmith.gallery.wire.evidence import parse_validations_profile, validations_profile_json
from goldsmith.gallery.wire.reader import Reader, invalid, missing, without_nulls
from goldsmith.kernel.clock import iso
from goldsmith.kernel.ids import ResourceId
from goldsmith.kernel.json import JsonObject

_MODEL = "GalleryImageVersion"

_ENCRYPTION = {
    "osDiskImage": {
        "diskEncryptionSetId": None,
        "securityProfile": {
            "confidentialVMEncryptionType": None,
            "secureVMDiskEncryptionSetId": None,
            "secureVMGuestStateSasUri": None,
        },
    },
    "dataDiskImages": [{"diskEncryptionSetId": None, "lun": None}],
}
_REPLICA_SET = {"storageAccountType": None, "regionalReplicaCount": None}
_EXTENDED_LOCATION = {
    "name": None,
    "extendedLocation": {"name": None, "type": None},
    "extendedLocationReplicaCount": None,
    "storageAccountType": None,
    "encryption": _ENCRYPTION,
}
_UEFI_KEY = {"type": None, "value": [None]}
_SECURITY = {
    "uefiSettings": {
        "signatureTemplateNames": [None],
        "additionalSignatures": {"pk": _UEFI_KEY, "kek": [_UEFI_KEY], "db": [_UEFI_KEY], "dbx": [_UEFI_KEY]},
    },
    "secretsProvisioningSettings": {"*": None},
}


def parse_version(
    id_: ResourceId,
    body: object,
    *,
    api_version: str = DEFAULT_API_VERSION,
    existing: ImageVersion | None = None,
    stored: bool = False,
) -> ImageVersion:
    """The version that a PUT of `body` asks for, or with `stored` the one that was rendered.

    An update keeps what the service alone writes, and what is fixed at creation when it is left out: az
    sends `"storageProfile": {}` with every update. Without target regions the location is the only one.
    Raises InvalidInputError.
    """
    check_id(id_)
    reader, given = open_body(body, model=_MODEL)
    location = reader.text("location") or (existing.location if existing else None)
    if not location:
        raise missing("location")
    properties = given or Reader({}, path="properties", model=_MODEL)
    safety = properties.object("safetyProfile")
    properties.ignore("restore", "imageMetadataProfiles")
    version = ImageVersion(
        id=id_,
        location=location,
        tags=reader.text_map("tags"),
        publishing=_parse_publishing(properties.object("publishingProfile"), location, stored=stored),
        storage=_parse_storage(properties.object("storageProfile"), stored=stored),
        safety=SafetyProfile(
            allow_deletion_of_replicated_locations=safety.boolean("allowDeletionOfReplicatedLocations"),
            block_deletion_before_end_of_life=safety.boolean("blockDeletionBeforeEndOfLife"),
        )
        if safety
        else SafetyProfile(),
        security_profile=properties.carried("securityProfile", _SECURITY),
    )
    if safety:
        safety.ignore("reportedForPolicyViolation", "policyViolations")
        safety.close()
    if stored:
        version = _with_read_only(version, properties)
    else:
        properties.ignore(
            "provisioningState", "replicationStatus", "validationsProfile", "softDeletedTime", "imageState"
        )
    properties.close()
    reader.close()
    if existing is not None:
        if properties.object("publishingProfile") is None:
            version = replace(version, publishing=existing.publishing)
        return _kept(version, existing)
    if stored:
        return version
    if version.storage.is_empty:
        raise missing("properties.storageProfile")
    return _with_defaults(version, api_version)


def asks_to_restore(body: object) -> bool:
    """Whether a PUT on a soft-deleted version is a restore: `restore: true`, or no `properties` at all."""
    reader, properties = open_body(body, model=_MODEL)
    reader.ignore("location", "tags")
    return properties is None or bool(properties.boolean("restore"))


def version_json(
    version: ImageVersion, *, replication_status: bool = True, stored: bool = False
) -> JsonObject:
    """The body of a GET, read-only members included.

    `replicationStatus` is null unless it is asked for with `$expand`; `stored` adds what only we read.
    """
    safety = version.safety
    properties: JsonObject = {
        "publishingProfile": _publishing_json(version.publishing),
        "storageProfile": _storage_json(version.storage),
        "safetyProfile": without_nulls(
            {
                "allowDeletionOfReplicatedLocations": safety.allow_deletion_of_replicated_locations,
                "blockDeletionBeforeEndOfLife": safety.block_deletion_before_end_of_life,
                "reportedForPolicyViolation": False,
                "policyViolations": [],
            }
        ),
        "replicationStatus": _replication_json(version) if replication_status else None,
        "provisioningState": version.provisioning_state.value,
    }
    optional: JsonObject = {
        "securityProfile": version.security_profile,
        "validationsProfile": validations_profile_json(version.evidence, version.validations),
    }
    if stored and version.soft_deleted is not None:
        optional["softDeletedTime"] = version.soft_deleted.isoformat()
    return envelope(
        version.id,
        VERSION_TYPE,
        location=version.location,
        tags=version.tags,
        properties=properties | without_nulls(optional),
    )


def _with_defaults(version: ImageVersion, api_version: str) -> ImageVersion:
    publishing = version.publishing
    chosen = publishing.storage_account_type or publishing.storage_account_strategy
    if chosen is None and api_version[:10] >= SECURE_BY_DEFAULT_SINCE:
        strategy = StorageAccountStrategy.PREFER_STANDARD_ZRS
        publishing = replace(publishing, storage_account_strategy=strategy)
    elif chosen is None:
        publishing = replace(publishing, storage_account_type=StorageAccountType.STANDARD_LRS)
    return replace(version, publishing=publishing)


def _kept(version: ImageVersion, old: ImageVersion) -> ImageVersion:
    publishing = version.publishing
    account_type = publishing.storage_account_type or old.publishing.storage_account_type
    strategy = publishing.storage_account_strategy or old.publishing.storage_account_strategy
    return replace(
        version,
        publishing=replace(
            publishing,
            published_date=old.publishing.published_date,
            replication_mode=publishing.replication_mode or old.publishing.replication_mode,
            storage_account_type=account_type,
            storage_account_strategy=strategy,
        ),
        storage=old.storage if version.storage.is_empty else _with_sizes(version.storage, old.storage),
        security_profile=version.security_profile or old.security_profile,
        provisioning_state=old.provisioning_state,
        replication=old.replication,
        validations=old.validations,
        evidence=old.evidence,
        soft_deleted=old.soft_deleted,
        etag=old.etag,
    )


def _with_sizes(storage: StorageProfile, old: StorageProfile) -> StorageProfile:
    # `sizeInGB` is ours; clients send it back or leave it out, and neither may change it.
    sizes = {disk.lun: disk.size_gib for disk in old.data_disks}
    os_disk = storage.os_disk
    if old.os_disk is not None:
        os_disk = replace(os_disk or old.os_disk, size_gib=old.os_disk.size_gib)
    disks = tuple(replace(disk, size_gib=sizes.get(disk.lun)) for disk in storage.data_disks)
    return replace(storage, os_disk=os_disk, data_disks=disks)


def _with_read_only(version: ImageVersion, properties: Reader) -> ImageVersion:
    evidence: Evidence | None
    validations: tuple[ExecutedValidation, ...]
    evidence, validations = parse_validations_profile(properties.object("validationsProfile"))
    status = properties.object("replicationStatus")
    return replace(
        version,
        provisioning_state=properties.choice("provisioningState", ProvisioningState)
        or ProvisioningState.SUCCEEDED,
        replication=tuple(_parse_replication(item) for item in status.objects("summary")) if status else (),
        validations=validations,
        evidence=evidence,
        soft_deleted=properties.instant("softDeletedTime"),
    )


def _parse_publishing(reader: Reader | None, location: str, *, stored: bool) -> PublishingProfile:
    if reader is None:
        return PublishingProfile(target_regions=(TargetRegion(name=location),))
    published = reader.instant("publishedDate")
    profile = PublishingProfile(
        target_regions=tuple(_parse_region(region) for region in reader.objects("targetRegions"))
        or (TargetRegion(name=location),),
        replica_count=reader.integer("replicaCount"),
        exclude_from_latest=bool(reader.boolean("excludeFromLatest")),
        end_of_life_date=reader.instant("endOfLifeDate"),
        published_date=published if stored else None,
        storage_account_type=reader.choice("storageAccountType", StorageAccountType),
        storage_account_strategy=reader.choice("storageAccountStrategy", StorageAccountStrategy),
        replication_mode=reader.choice("replicationMode", ReplicationMode),
        target_extended_locations=tuple(
            reader.carried("targetExtendedLocations", [_EXTENDED_LOCATION]) or ()
        ),
    )
    reader.close()
    return profile


def _publishing_json(profile: PublishingProfile) -> JsonObject:
    published, end = profile.published_date, profile.end_of_life_date
    return without_nulls(
        {
            "targetRegions": [_region_json(region) for region in profile.target_regions],
            "replicaCount": profile.replica_count,
            "excludeFromLatest": profile.exclude_from_latest,
            "publishedDate": None if published is None else iso(published),
            "endOfLifeDate": None if end is None else iso(end),
            "storageAccountType": profile.storage_account_type,
            "storageAccountStrategy": profile.storage_account_strategy,
            "replicationMode": profile.replication_mode,
            "targetExtendedLocations": list(profile.target_extended_locations) or None,
        }
    )


def _parse_region(reader: Reader) -> TargetRegion:
    region = TargetRegion(
        name=reader.needed_text("name"),
        regional_replica_count=reader.integer("regionalReplicaCount"),
        storage_account_type=reader.choice("storageAccountType", StorageAccountType),
        exclude_from_latest=reader.boolean("excludeFromLatest"),
        encryption=reader.carried("encryption", _ENCRYPTION),
        additional_replica_sets=tuple(reader.carried("additionalReplicaSets", [_REPLICA_SET]) or ()),
    )
    reader.close()
    return region


def _region_json(region: TargetRegion) -> JsonObject:
    body = without_nulls(
        {
            "name": region.name,
            "regionalReplicaCount": region.regional_replica_count,
            "storageAccountType": region.storage_account_type,
            "encryption": region.encryption,
            "additionalReplicaSets": list(region.additional_replica_sets) or None,
        }
    )
    # Azure answers null here when it is unset, and clients read it without asking whether it is there.
    return body | {"excludeFromLatest": region.exclude_from_latest}


def _parse_storage(reader: Reader | None, *, stored: bool) -> StorageProfile:
    if reader is None:
        return StorageProfile()
    source = reader.object("source")
    os_disk = reader.object("osDiskImage")
    storage = StorageProfile(
        source_id=source.text("id") if source else None,
        source_virtual_machine_id=source.text("virtualMachineId") if source else None,
        source_community_gallery_image_id=source.text("communityGalleryImageId") if source else None,
        os_disk=_parse_disk(os_disk, stored=stored) if os_disk else None,
        data_disks=tuple(_parse_data_disk(disk, stored=stored) for disk in reader.objects("dataDiskImages")),
    )
    if source:
        source.close()
    reader.close()
    return storage


def _storage_json(storage: StorageProfile) -> JsonObject:
    source = without_nulls(
        {
            "id": storage.source_id,
            "virtualMachineId": storage.source_virtual_machine_id,
            "communityGalleryImageId": storage.source_community_gallery_image_id,
        }
    )
    return without_nulls(
        {
            "source": source or None,
            "osDiskImage": _disk_json(storage.os_disk) if storage.os_disk else None,
            "dataDiskImages": [_disk_json(disk) for disk in storage.data_disks] or None,
        }
    )


def _parse_data_disk(reader: Reader, *, stored: bool) -> DiskImage:
    lun = reader.integer("lun")
    if lun is None:
        raise missing(reader.at("lun"))
    if lun < 0:
        raise invalid(reader.at("lun"), f"is {lun}, expected 0 or more")
    return replace(_parse_disk(reader, stored=stored), lun=lun)


def _parse_disk(reader: Reader, *, stored: bool) -> DiskImage:
    source = reader.object("source")
    size_gib = reader.integer("sizeInGB")
    disk = DiskImage(
        size_gib=size_gib if stored else None,
        host_caching=reader.choice("hostCaching", HostCaching),
        source_id=source.text("id") if source else None,
        source_uri=source.text("uri") if source else None,
        storage_account_id=source.text("storageAccountId") if source else None,
    )
    if source:
        source.close()
    reader.close()
    return disk


def _disk_json(disk: DiskImage) -> JsonObject:
    source = without_nulls(
        {"id": disk.source_id, "uri": disk.source_uri, "storageAccountId": disk.storage_account_id}
    )
    return without_nulls(
        {
            "lun": disk.lun,
            "sizeInGB": disk.size_gib,
            "hostCaching": disk.host_caching,
            "source": source or None,
        }
    )


def _parse_replication(reader: Reader) -> RegionReplication:
    return RegionReplication(
        region=reader.needed_text("region"),
        state=reader.choice("state", RegionState) or RegionState.UNKNOWN,
        details=reader.text("details") or "",
        progress=reader.integer("progress") or 0,
    )


def _replication_json(version: ImageVersion) -> JsonObject:
    return {
        "aggregatedState": version.aggregated_state.value,
        "summary": [
            {
                "region": item.region,
                "state": item.state.value,
                "details": item.details,
                "progress": item.progress,
            }
            for item in version.replication
        ],
    }
