"""What an image template says: its source, steps, validators and distributors (api-version 2025-10-01)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

TEMPLATE_TYPE = "Microsoft.VirtualMachineImages/imageTemplates"
BUILD_TIMEOUT_MINUTES_DEFAULT = 240


class OsType(StrEnum):
    LINUX = "Linux"
    WINDOWS = "Windows"


class IdentityType(StrEnum):
    NONE = "None"
    USER_ASSIGNED = "UserAssigned"


class State(StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class OnBuildError(StrEnum):
    CLEANUP = "cleanup"
    ABORT = "abort"


class StorageAccountType(StrEnum):
    STANDARD_LRS = "Standard_LRS"
    STANDARD_ZRS = "Standard_ZRS"
    PREMIUM_LRS = "Premium_LRS"


class ReplicationMode(StrEnum):
    FULL = "Full"
    SHALLOW = "Shallow"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAssignedIdentity:
    """One identity of the template; the service alone knows its principal and client ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    type: IdentityType
    user_assigned_identities: Mapping[str, UserAssignedIdentity] = field(default_factory=dict)


# Sources


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchasePlan:
    plan_name: str
    plan_product: str
    plan_publisher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformImageSource:
    publisher: str
    offer: str
    sku: str
    version: str = "latest"
    plan_info: PurchasePlan | None = None

    def __str__(self) -> str:
        return f"{self.publisher}:{self.offer}:{self.sku}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedImageSource:
    image_id: str

    def __str__(self) -> str:
        return self.image_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedImageVersionSource:
    image_version_id: str

    def __str__(self) -> str:
        return self.image_version_id


Source = PlatformImageSource | ManagedImageSource | SharedImageVersionSource


# Customizers; the first three are validators too


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs in /bin/sh. Exactly one of `script_uri` and `inline` is given."""

    name: str | None = None
    script_uri: str | None = None
    inline: tuple[str, ...] = ()
    sha256_checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerShell:
    """Exactly one of `script_uri` and `inline` is given."""

    name: str | None = None
    script_uri: str | None = None
    inline: tuple[str, ...] = ()
    sha256_checksum: str | None = None
    run_elevated: bool = False
    run_as_system: bool = False
    valid_exit_codes: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Copies one file into the image."""

    source_uri: str
    destination: str
    name: str | None = None
    sha256_checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsRestart:
    name: str | None = None
    restart_command: str = 'shutdown /r /f /t 0 /c "packer restart"'
    restart_check_command: str | None = None
    restart_timeout: str = "5m"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsUpdate:
    name: str | None = None
    search_criteria: str = "BrowseOnly=0 and IsInstalled=0"
    filters: tuple[str, ...] = ()
    update_limit: int = 1000


Customizer = Shell | PowerShell | File | WindowsRestart | WindowsUpdate
Validator = Shell | PowerShell | File


@dataclass(frozen=True, slots=True, kw_only=True)
class VmBoot:
    state: State = State.DISABLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    state: State = State.DISABLED
    script_uri: str | None = None
    sha256_checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimize:
    vm_boot: VmBoot = VmBoot()
    workload: Workload = Workload()


@dataclass(frozen=True, slots=True, kw_only=True)
class Validate:
    continue_distribute_on_failure: bool = False
    source_validation_only: bool = False
    in_vm_validations: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorHandling:
    on_customizer_error: OnBuildError = OnBuildError.CLEANUP
    on_validation_error: OnBuildError = OnBuildError.CLEANUP


# Distributors


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedImageDistributor:
    run_output_name: str
    image_id: str
    location: str
    artifact_tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VhdDistributor:
    """`uri` None: the blob stays in the build's own staging storage."""

    run_output_name: str
    uri: str | None = None
    artifact_tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRegion:
    name: str
    replica_count: int = 1
    storage_account_type: StorageAccountType = StorageAccountType.STANDARD_LRS


@dataclass(frozen=True, slots=True, kw_only=True)
class VersioningLatest:
    """The next version above all others; with `major`, above those of that major version."""

    major: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersioningSource:
    """The source image's own version."""


Versioning = VersioningLatest | VersioningSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedImageDistributor:
    """`gallery_image_id` names an image definition, or an image version when it ends in `/versions/x.y.z`."""

    run_output_name: str
    gallery_image_id: str
    artifact_tags: Mapping[str, str] = field(default_factory=dict)
    target_regions: tuple[TargetRegion, ...] = ()
    exclude_from_latest: bool = False
    versioning: Versioning | None = None
    replication_mode: ReplicationMode = ReplicationMode.FULL
    replication_regions: tuple[str, ...] = ()
    storage_account_type: StorageAccountType | None = None


Distributor = ManagedImageDistributor | VhdDistributor | SharedImageDistributor


# The build machine


@dataclass(frozen=True, slots=True, kw_only=True)
class VnetConfig:
    subnet_id: str | None = None
    container_instance_subnet_id: str | None = None
    proxy_vm_size: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VmProfile:
    vm_size: str | None = None
    os_disk_size_gb: int | None = None
    user_assigned_identities: tuple[str, ...] = ()
    vnet_config: VnetConfig = VnetConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDisk:
    size_gb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRun:
    state: State = State.DISABLED


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTemplate:
    """A whole template; `warnings` says what an older api-version let pass, as `path message`."""

    location: str
    source: Source
    distribute: tuple[Distributor, ...]
    api_version: str
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    customize: tuple[Customizer, ...] = ()
    optimize: Optimize = Optimize()
    validate: Validate = Validate()
    error_handling: ErrorHandling = ErrorHandling()
    build_timeout_in_minutes: int = BUILD_TIMEOUT_MINUTES_DEFAULT
    vm_profile: VmProfile = VmProfile()
    additional_data_disks: tuple[DataDisk, ...] = ()
    staging_resource_group: str | None = None
    auto_run: AutoRun = AutoRun()
    managed_resource_tags: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def type(self) -> str:
        return TEMPLATE_TYPE
