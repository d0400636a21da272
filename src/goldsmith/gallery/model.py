"""Galleries, image definitions and image versions.

The members are those of Azure Compute Gallery, api-version 2026-03-03. Parts that nothing here decides on
(sharing, UEFI keys, encryption) are carried as the JSON they came as, their shape checked at the wire.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from goldsmith.gallery.regions import region_key
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.ids import ResourceId
from goldsmith.kernel.json import JsonObject

GALLERY_TYPE = "Microsoft.Compute/galleries"
DEFINITION_TYPE = "Microsoft.Compute/galleries/images"
VERSION_TYPE = "Microsoft.Compute/galleries/images/versions"

_VERSION_NAME = re.compile(r"(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})")
_NUMBER_MAX = 2**31 - 1


class ProvisioningState(StrEnum):
    CREATING = "Creating"
    UPDATING = "Updating"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"
    DELETING = "Deleting"
    MIGRATING = "Migrating"


class OsType(StrEnum):
    WINDOWS = "Windows"
    LINUX = "Linux"


class OsState(StrEnum):
    GENERALIZED = "Generalized"
    SPECIALIZED = "Specialized"


class HyperVGeneration(StrEnum):
    V1 = "V1"
    V2 = "V2"


class Architecture(StrEnum):
    X64 = "x64"
    ARM64 = "Arm64"


class SecurityType(StrEnum):
    STANDARD = "Standard"
    TRUSTED_LAUNCH = "TrustedLaunch"
    TRUSTED_LAUNCH_SUPPORTED = "TrustedLaunchSupported"
    CONFIDENTIAL_VM = "ConfidentialVM"
    CONFIDENTIAL_VM_SUPPORTED = "ConfidentialVMSupported"
    TRUSTED_LAUNCH_AND_CONFIDENTIAL_VM_SUPPORTED = "TrustedLaunchAndConfidentialVmSupported"


class StorageAccountType(StrEnum):
    STANDARD_LRS = "Standard_LRS"
    STANDARD_ZRS = "Standard_ZRS"
    PREMIUM_LRS = "Premium_LRS"
    PREMIUM_V2_LRS = "PremiumV2_LRS"


class StorageAccountStrategy(StrEnum):
    PREFER_STANDARD_ZRS = "PreferStandard_ZRS"
    DEFAULT_STANDARD_LRS = "DefaultStandard_LRS"


class ReplicationMode(StrEnum):
    FULL = "Full"
    SHALLOW = "Shallow"


class HostCaching(StrEnum):
    NONE = "None"
    READ_ONLY = "ReadOnly"
    READ_WRITE = "ReadWrite"


class ImageState(StrEnum):
    ACTIVE = "Active"
    SOFT_DELETED = "SoftDeleted"


class RegionState(StrEnum):
    UNKNOWN = "Unknown"
    REPLICATING = "Replicating"
    COMPLETED = "Completed"
    FAILED = "Failed"


class AggregatedState(StrEnum):
    UNKNOWN = "Unknown"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"


class ArtifactKind(StrEnum):
    """What is stored beside an image version; the value is how its name ends."""

    DISK_MANIFEST = "manifest.json"
    SBOM = "spdx.json"
    SBOM_SIGNATURE = "spdx.json.sig"
    PROVENANCE = "provenance.dsse.json"
    TEST_REPORT = "report.json"
    MEASUREMENTS = "measurements.json"


@dataclass(frozen=True, slots=True, order=True)
class VersionName:
    """`Major.Minor.Patch`, ordered by number: 1.10.0 is above 1.9.0."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_version_name(text: str) -> VersionName:
    """Raises InvalidInputError unless `text` is three 32-bit integers without leading zeros."""
    match = _VERSION_NAME.fullmatch(text)
    numbers = [int(group) for group in match.groups()] if match else []
    if not numbers or max(numbers) > _NUMBER_MAX:
        raise InvalidInputError(
            f"the image version name is '{text}', expected Major(int).Minor(int).Patch(int)",
            code="InvalidParameter",
            hint="for example 1.0.0",
        )
    return VersionName(*numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftDeletePolicy:
    enabled: bool = False
    retention_days: int = 7
    grace_days: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    id: ResourceId
    location: str
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    sharing_profile: JsonObject | None = None
    soft_delete_policy: SoftDeletePolicy | None = None
    identity: JsonObject | None = None
    provisioning_state: ProvisioningState = ProvisioningState.SUCCEEDED
    etag: str | None = field(default=None, compare=False)

    @property
    def unique_name(self) -> str:
        return f"{self.id.subscription}-{self.id.name}".upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    publisher: str
    offer: str
    sku: str

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.publisher.lower(), self.offer.lower(), self.sku.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    name: str
    value: str
    starts_at_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountRange:
    """A recommended amount of vCPUs or GiB of memory."""

    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchasePlan:
    name: str | None = None
    publisher: str | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDefinition:
    id: ResourceId
    location: str
    os_type: OsType
    os_state: OsState
    identifier: Identifier
    hyper_v_generation: HyperVGeneration = HyperVGeneration.V2
    architecture: Architecture = Architecture.X64
    features: tuple[Feature, ...] = ()
    allow_update_image: bool | None = None
    recommended_vcpus: AmountRange | None = None
    recommended_memory: AmountRange | None = None
    disallowed_disk_types: tuple[str, ...] = ()
    purchase_plan: PurchasePlan | None = None
    end_of_life_date: datetime | None = None
    description: str | None = None
    eula: str | None = None
    privacy_statement_uri: str | None = None
    release_note_uri: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    provisioning_state: ProvisioningState = ProvisioningState.SUCCEEDED
    etag: str | None = field(default=None, compare=False)

    def feature(self, name: str) -> str | None:
        """The value of a feature, its name compared without regard to case."""
        return next((f.value for f in self.features if f.name.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRegion:
    name: str
    regional_replica_count: int | None = None
    storage_account_type: StorageAccountType | None = None
    exclude_from_latest: bool | None = None
    encryption: JsonObject | None = None
    additional_replica_sets: tuple[JsonObject, ...] = ()

    @property
    def key(self) -> str:
        return region_key(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingProfile:
    target_regions: tuple[TargetRegion, ...] = ()
    replica_count: int | None = None
    exclude_from_latest: bool = False
    end_of_life_date: datetime | None = None
    published_date: datetime | None = None
    storage_account_type: StorageAccountType | None = None
    storage_account_strategy: StorageAccountStrategy | None = None
    replication_mode: ReplicationMode | None = None
    target_extended_locations: tuple[JsonObject, ...] = ()

    def region(self, name: str) -> TargetRegion | None:
        return next((region for region in self.target_regions if region.key == region_key(name)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskImage:
    """An OS disk (`lun` is None) or a data disk of a version."""

    lun: int | None = None
    size_gib: int | None = None
    host_caching: HostCaching | None = None
    source_id: str | None = None
    source_uri: str | None = None
    storage_account_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageProfile:
    source_id: str | None = None
    source_virtual_machine_id: str | None = None
    source_community_gallery_image_id: str | None = None
    os_disk: DiskImage | None = None
    data_disks: tuple[DiskImage, ...] = ()

    @property
    def source_keys(self) -> tuple[str, ...]:
        """Everything the version was made from, for comparing two profiles."""
        named = (self.source_id, self.source_virtual_machine_id, self.source_community_gallery_image_id)
        disks = ((self.os_disk,) if self.os_disk else ()) + self.data_disks
        of_disks = (f"{disk.lun}={disk.source_id or disk.source_uri or ''}" for disk in disks)
        return tuple((text or "").lower() for text in (*named, *of_disks))

    @property
    def is_empty(self) -> bool:
        return self == StorageProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyProfile:
    allow_deletion_of_replicated_locations: bool | None = None
    block_deletion_before_end_of_life: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionReplication:
    """How far a region has the version; `progress` is in percent."""

    region: str
    state: RegionState
    details: str = ""
    progress: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutedValidation:
    type: str
    succeeded: bool
    version: str
    executed: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file stored with a version: the path below its region's URL, and its digest `sha256:<hex>`."""

    kind: ArtifactKind
    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What Goldsmith itself knows of a version.

    On the wire it is `validationsProfile.platformAttributes`, names that begin with `goldsmith.`. Azure has
    that member for what the platform found out about an image; it is read-only, so a caller can neither
    forge a digest nor lose one by replacing all tags, and az, the SDKs and policies can still read it.
    """

    build_id: str
    disk_digest: str | None = None
    disk_size_bytes: int | None = None
    artifacts: tuple[Artifact, ...] = ()
    boot_seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds by boot phase."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Other facts by name, such as the advisory an emergency build answers."""

    def artifact(self, kind: ArtifactKind) -> Artifact | None:
        return next((artifact for artifact in self.artifacts if artifact.kind is kind), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVersion:
    id: ResourceId
    location: str
    publishing: PublishingProfile = field(default_factory=PublishingProfile)
    storage: StorageProfile = field(default_factory=StorageProfile)
    safety: SafetyProfile = field(default_factory=SafetyProfile)
    security_profile: JsonObject | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    provisioning_state: ProvisioningState = ProvisioningState.SUCCEEDED
    replication: tuple[RegionReplication, ...] = ()
    validations: tuple[ExecutedValidation, ...] = ()
    evidence: Evidence | None = None
    soft_deleted: datetime | None = None
    etag: str | None = field(default=None, compare=False)

    @property
    def name(self) -> VersionName:
        return parse_version_name(self.id.name)

    @property
    def definition_id(self) -> ResourceId:
        parent = self.id.parent
        assert parent is not None
        return parent

    @property
    def image_state(self) -> ImageState:
        return ImageState.ACTIVE if self.soft_deleted is None else ImageState.SOFT_DELETED

    @property
    def aggregated_state(self) -> AggregatedState:
        states = {replication.state for replication in self.replication}
        if not states or states == {RegionState.UNKNOWN}:
            return AggregatedState.UNKNOWN
        if RegionState.FAILED in states:
            return AggregatedState.FAILED
        if states == {RegionState.COMPLETED}:
            return AggregatedState.COMPLETED
        return AggregatedState.IN_PROGRESS

    def replicated_to(self, region: str) -> bool:
        return any(
            region_key(done.region) == region_key(region) and done.state is RegionState.COMPLETED
            for done in self.replication
        )


GalleryResource: TypeAlias = Gallery | ImageDefinition | ImageVersion
