"""The one description of an image template's fields: parser, editor schema and reference page all read it."""

from collections.abc import Iterator

from goldsmith.imagetemplate import model
from goldsmith.imagetemplate.shape import (
    ArmId,
    Choice,
    Field,
    Flag,
    ListOf,
    MapOf,
    OneOf,
    Record,
    Rule,
    Text,
    Whole,
    exactly_one,
    needs,
    needs_true,
    not_both,
)
from goldsmith.kernel.json import JsonObject

API_VERSIONS = (
    "2020-02-14",
    "2021-10-01",
    "2022-02-14",
    "2022-07-01",
    "2023-07-01",
    "2024-02-01",
    "2025-10-01",
)
API_VERSION_DEFAULT = "2025-10-01"
# From this one on the service refuses fields it does not know.
API_VERSION_STRICT = "2024-02-01"


def fold_region(name: str) -> str:
    """`West US 2` and `westus2` are one region."""
    return name.replace(" ", "").lower()


def _identities(given: JsonObject) -> Iterator[tuple[str, str]]:
    if given.get("type") == "None" and given.get("userAssignedIdentities"):
        yield "userAssignedIdentities", "cannot be given with type None; use type UserAssigned"
    if given.get("type") == "UserAssigned" and not given.get("userAssignedIdentities"):
        yield "userAssignedIdentities", "is required with type UserAssigned"


def _version_given_twice(given: JsonObject) -> Iterator[tuple[str, str]]:
    image = given.get("galleryImageId")
    if isinstance(image, str) and "/versions/" in image.lower() and "versioning" in given:
        yield "versioning", "cannot be given when galleryImageId names a version; drop one of them"


def _enabled_without_script(given: JsonObject) -> Iterator[tuple[str, str]]:
    if given.get("state") == "Enabled" and "scriptUri" not in given:
        yield "scriptUri", "is required when state is Enabled"


_NAME = Text(pattern=r"^[^\x00-\x1f\x7f]{1,256}$", must_be="at most 256 characters on one line")
_RESOURCE_NAME = Text(
    pattern=r"^[A-Za-z0-9._-]{1,64}$", must_be="1 to 64 letters, digits, dots, dashes or underscores"
)
_CATALOGUE_NAME = Text(
    pattern=r"^[A-Za-z0-9._-]{1,128}$", must_be="letters, digits, dots, dashes and underscores"
)
_URI = Text(pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$", must_be="a URI or a path")
_CHECKSUM = Text(
    pattern=r"^[0-9a-f]{64}$", must_be="a SHA-256 checksum: 64 lowercase hexadecimal digits, no prefix"
)
_DESTINATION = Text(
    pattern=r"^(?!.*(^|[\\/])\.\.([\\/]|$))(/|[A-Za-z]:[\\/])([^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\\/])$",
    must_be="an absolute path that names the file, without '..'",
)
_DURATION = Text(pattern=r"^([0-9]+(\.[0-9]+)?(h|m|s))+$", must_be="a magnitude and a unit, such as 5m or 2h")
_TAGS = MapOf(value=Text(may_be_empty=True))
_LINES = ListOf(item=Text(may_be_empty=True), minimum=1)
_REGION = Text()
_OPAQUE = Text()
_SUBNET = ArmId(types=("Microsoft.Network/virtualNetworks/subnets",))
_IDENTITY = ArmId(types=("Microsoft.ManagedIdentity/userAssignedIdentities",))
_STORAGE = Choice(of=model.StorageAccountType)
_STATE = Choice(of=model.State)

IDENTITY = Record(
    model=model.Identity,
    fields=(
        Field("type", Choice(of=model.IdentityType), "Whether the template has an identity.", required=True),
        Field(
            "userAssignedIdentities",
            MapOf(
                key=_IDENTITY,
                maximum=1,
                value=Record(
                    model=model.UserAssignedIdentity,
                    fields=(
                        Field("principalId", _OPAQUE, "The identity's object.", read_only=True),
                        Field("clientId", _OPAQUE, "The identity's client.", read_only=True),
                    ),
                ),
            ),
            "The identity's resource id; one at most.",
        ),
    ),
    rules=(
        Rule(
            sentence="`type: UserAssigned` needs `userAssignedIdentities`; `type: None` excludes it.",
            check=_identities,
        ),
    ),
)

SOURCE = OneOf(
    tag="type",
    cases={
        "PlatformImage": Record(
            model=model.PlatformImageSource,
            fields=(
                Field("publisher", _CATALOGUE_NAME, "Who publishes the marketplace image.", required=True),
                Field("offer", _CATALOGUE_NAME, "The publisher's product line.", required=True),
                Field("sku", _CATALOGUE_NAME, "The edition within the offer.", required=True),
                Field(
                    "version",
                    _CATALOGUE_NAME,
                    "The marketplace version; `latest` is resolved when the build starts.",
                ),
                Field("exactVersion", _OPAQUE, "The version that `latest` was resolved to.", read_only=True),
                Field(
                    "planInfo",
                    Record(
                        model=model.PurchasePlan,
                        fields=(
                            Field("planName", Text(), "The plan's name.", required=True),
                            Field("planProduct", Text(), "The plan's product.", required=True),
                            Field("planPublisher", Text(), "The plan's publisher.", required=True),
                        ),
                    ),
                    "The purchase plan of a marketplace image that has one.",
                ),
            ),
        ),
        "ManagedImage": Record(
            model=model.ManagedImageSource,
            fields=(
                Field(
                    "imageId",
                    Text(),
                    "The image to start from: the id of a managed image, or the path or file:// URL of a "
                    "disk file (raw, qcow2 or VHD); it must be generalized.",
                    required=True,
                ),
            ),
        ),
        "SharedImageVersion": Record(
            model=model.SharedImageVersionSource,
            fields=(
                Field(
                    "imageVersionId",
                    ArmId(
                        types=("Microsoft.Compute/galleries/images/versions",),
                        version=r"latest|\d+\.\d+\.\d+",
                        version_must_be="'latest' or three numbers such as 1.2.3",
                    ),
                    "The gallery image version to start from; `latest` is resolved when the build starts.",
                    required=True,
                ),
                Field(
                    "exactVersion",
                    _OPAQUE,
                    "The image version that `latest` was resolved to.",
                    read_only=True,
                ),
            ),
        ),
    },
)

_NAME_FIELD = Field("name", _NAME, "A name of its own, for logs; made from type and position if left out.")
_SCRIPT_URI = Field("scriptUri", _URI, "The script to run: a URI, or a path relative to the template.")
_INLINE = Field("inline", _LINES, "The commands to run, in order.")
_SCRIPT_CHECKSUM = Field("sha256Checksum", _CHECKSUM, "The SHA-256 checksum of the script at `scriptUri`.")
_SCRIPT_RULES = (exactly_one("scriptUri", "inline"), needs("sha256Checksum", "scriptUri"))

SHELL = Record(
    model=model.Shell, fields=(_NAME_FIELD, _SCRIPT_URI, _INLINE, _SCRIPT_CHECKSUM), rules=_SCRIPT_RULES
)
POWERSHELL = Record(
    model=model.PowerShell,
    fields=(
        _NAME_FIELD,
        _SCRIPT_URI,
        _INLINE,
        _SCRIPT_CHECKSUM,
        Field("runElevated", Flag(), "Run with elevated rights."),
        Field("runAsSystem", Flag(), "Run as the Local System user."),
        Field(
            "validExitCodes",
            ListOf(item=Whole(minimum=-(2**31)), minimum=1),
            "The exit codes that count as success.",
        ),
    ),
    rules=(*_SCRIPT_RULES, needs_true("runAsSystem", "runElevated")),
)
FILE = Record(
    model=model.File,
    fields=(
        _NAME_FIELD,
        Field(
            "sourceUri", _URI, "The file to copy: a URI, or a path relative to the template.", required=True
        ),
        Field("sha256Checksum", _CHECKSUM, "The SHA-256 checksum of the file at `sourceUri`."),
        Field("destination", _DESTINATION, "The absolute path of the file in the image.", required=True),
    ),
)
WINDOWS_RESTART = Record(
    model=model.WindowsRestart,
    fields=(
        _NAME_FIELD,
        Field("restartCommand", Text(), "The command that restarts the machine."),
        Field("restartCheckCommand", Text(), "The command that tells it is back."),
        Field("restartTimeout", _DURATION, "How long to wait for it to come back."),
    ),
)
WINDOWS_UPDATE = Record(
    model=model.WindowsUpdate,
    fields=(
        _NAME_FIELD,
        Field("searchCriteria", Text(), "The search string for Windows Update."),
        Field(
            "filters", ListOf(item=Text()), "Which of the updates found to install; all of them if left out."
        ),
        Field(
            "updateLimit",
            Whole(minimum=1, unset=0),
            "How many updates to install at most; 0 means the default.",
        ),
    ),
)

CUSTOMIZER = OneOf(
    tag="type",
    cases={
        "Shell": SHELL,
        "PowerShell": POWERSHELL,
        "File": FILE,
        "WindowsRestart": WINDOWS_RESTART,
        "WindowsUpdate": WINDOWS_UPDATE,
    },
)
VALIDATOR = OneOf(tag="type", cases={"Shell": SHELL, "PowerShell": POWERSHELL, "File": FILE})

OPTIMIZE = Record(
    model=model.Optimize,
    fields=(
        Field(
            "vmBoot",
            Record(
                model=model.VmBoot,
                fields=(Field("state", _STATE, "Whether the image is prepared for a fast boot."),),
            ),
            "Makes virtual machines of the image boot faster.",
        ),
        Field(
            "workload",
            Record(
                model=model.Workload,
                fields=(
                    Field("state", _STATE, "Whether the workload is run and optimized for."),
                    Field(
                        "scriptUri",
                        _URI,
                        "The script that runs the workload: a URI, or a path relative to the template.",
                    ),
                    _SCRIPT_CHECKSUM,
                ),
                rules=(
                    needs("sha256Checksum", "scriptUri"),
                    Rule(
                        sentence="`state: Enabled` needs `scriptUri`.",
                        check=_enabled_without_script,
                        schema={
                            "if": {"required": ["state"], "properties": {"state": {"const": "Enabled"}}},
                            "then": {"required": ["scriptUri"]},
                        },
                    ),
                ),
            ),
            "Makes the image faster for one workload.",
        ),
    ),
)

VALIDATE = Record(
    model=model.Validate,
    fields=(
        Field(
            "continueDistributeOnFailure",
            Flag(),
            "Distribute although a validator failed; the run is reported as failed all the same.",
        ),
        Field("sourceValidationOnly", Flag(), "Validate the source image itself; nothing is customized."),
        Field(
            "inVMValidations",
            ListOf(item=VALIDATOR, unique_by="name"),
            "Run in order on a machine booted from the finished image; any failure fails the run.",
        ),
    ),
)

ERROR_HANDLING = Record(
    model=model.ErrorHandling,
    fields=(
        Field(
            "onCustomizerError",
            Choice(of=model.OnBuildError),
            "After a failed customizer: `cleanup` removes the build machine, `abort` keeps it.",
        ),
        Field(
            "onValidationError",
            Choice(of=model.OnBuildError),
            "After a failed validator: `cleanup` removes the test machine, `abort` keeps it.",
        ),
    ),
)

_RUN_OUTPUT_NAME = Field(
    "runOutputName",
    _RESOURCE_NAME,
    "The name of the run output; no other distributor of the template may have it.",
    required=True,
)
_ARTIFACT_TAGS = Field("artifactTags", _TAGS, "Tags put on what is distributed.")

DISTRIBUTOR = OneOf(
    tag="type",
    cases={
        "ManagedImage": Record(
            model=model.ManagedImageDistributor,
            fields=(
                _RUN_OUTPUT_NAME,
                Field(
                    "imageId",
                    ArmId(types=("Microsoft.Compute/images",)),
                    "The managed image to write.",
                    required=True,
                ),
                Field("location", _REGION, "The managed image's region.", required=True),
                _ARTIFACT_TAGS,
            ),
        ),
        "VHD": Record(
            model=model.VhdDistributor,
            fields=(
                _RUN_OUTPUT_NAME,
                Field("uri", _URI, "Where to write the VHD; the build's own storage if left out."),
                _ARTIFACT_TAGS,
            ),
        ),
        "SharedImage": Record(
            model=model.SharedImageDistributor,
            fields=(
                _RUN_OUTPUT_NAME,
                Field(
                    "galleryImageId",
                    ArmId(
                        types=(
                            "Microsoft.Compute/galleries/images",
                            "Microsoft.Compute/galleries/images/versions",
                        ),
                        version=r"\d+\.\d+\.\d+",
                        version_must_be="three numbers such as 1.2.3",
                    ),
                    "The image definition to publish to, with a generated version; or the very image "
                    "version, `…/versions/1.2.3`.",
                    required=True,
                ),
                _ARTIFACT_TAGS,
                Field(
                    "targetRegions",
                    ListOf(
                        unique_by="name",
                        fold=fold_region,
                        item=Record(
                            model=model.TargetRegion,
                            fields=(
                                Field("name", _REGION, "The region's name.", required=True),
                                Field(
                                    "replicaCount",
                                    Whole(minimum=1, maximum=100),
                                    "How many replicas the region keeps.",
                                ),
                                Field(
                                    "storageAccountType", _STORAGE, "The storage the replicas are kept on."
                                ),
                            ),
                        ),
                    ),
                    "The regions to replicate to; the gallery's own region if left out.",
                ),
                Field("excludeFromLatest", Flag(), "Publish without ever being chosen as `latest`."),
                Field(
                    "versioning",
                    OneOf(
                        tag="scheme",
                        cases={
                            "Latest": Record(
                                model=model.VersioningLatest,
                                fields=(
                                    Field(
                                        "major",
                                        Whole(minimum=0, unset=-1),
                                        "The major version to stay in; -1 means any.",
                                    ),
                                ),
                            ),
                            "Source": Record(model=model.VersioningSource, fields=()),
                        },
                    ),
                    "How the version number is made: `Latest` if left out.",
                ),
                Field(
                    "replicationMode",
                    Choice(of=model.ReplicationMode),
                    "`Shallow` keeps one replica that refers to its source, for tests.",
                ),
                Field(
                    "replicationRegions",
                    ListOf(item=_REGION, unique_by="", fold=fold_region, minimum=1),
                    "Deprecated, use `targetRegions`: the regions to replicate to.",
                ),
                Field(
                    "storageAccountType",
                    _STORAGE,
                    "Deprecated, use `targetRegions`: the storage of every replica.",
                ),
            ),
            rules=(
                not_both("targetRegions", "replicationRegions"),
                not_both("targetRegions", "storageAccountType"),
                Rule(
                    sentence="`versioning` excludes a `galleryImageId` that names a version.",
                    check=_version_given_twice,
                ),
            ),
        ),
    },
)

VM_PROFILE = Record(
    model=model.VmProfile,
    fields=(
        Field("vmSize", Text(), "The size of the build machine; the builder's own if left out."),
        Field(
            "osDiskSizeGB",
            Whole(minimum=1, maximum=4095, unset=0),
            "The size of the OS disk in GiB; 0 means the source's size. It can only grow.",
        ),
        Field(
            "userAssignedIdentities",
            ListOf(item=_IDENTITY, unique_by="", fold=str.lower),
            "Identities of the build machine.",
        ),
        Field(
            "vnetConfig",
            Record(
                model=model.VnetConfig,
                fields=(
                    Field(
                        "subnetId",
                        _SUBNET,
                        "The subnet the steps reach the network through. Without it they have none.",
                    ),
                    Field(
                        "containerInstanceSubnetId",
                        _SUBNET,
                        "The subnet of the container that drives the build, where there is one.",
                    ),
                    Field("proxyVmSize", Text(), "The size of the proxy machine, where there is one."),
                ),
                rules=(
                    needs("containerInstanceSubnetId", "subnetId"),
                    not_both("containerInstanceSubnetId", "proxyVmSize"),
                ),
            ),
            "The network of the build machine.",
        ),
    ),
)

PROPERTIES = Record(
    model=model.ImageTemplate,
    fields=(
        Field("source", SOURCE, "The image to start from.", required=True),
        Field(
            "customize",
            ListOf(item=CUSTOMIZER, unique_by="name"),
            "The steps that change the image, in order.",
        ),
        Field("optimize", OPTIMIZE, "Optimizations of the finished image."),
        Field("validate", VALIDATE, "What must hold before the image is distributed."),
        Field(
            "distribute",
            ListOf(item=DISTRIBUTOR, minimum=1, unique_by="runOutputName", fold=str.lower),
            "Where the finished image goes.",
            required=True,
        ),
        Field("errorHandling", ERROR_HANDLING, "What becomes of the machine after a failure."),
        Field(
            "buildTimeoutInMinutes",
            Whole(minimum=6, maximum=960, unset=0),
            "How long the whole build may take, in minutes; 0 means the default.",
        ),
        Field("vmProfile", VM_PROFILE, "The machine the image is built on."),
        Field(
            "additionalDataDisks",
            ListOf(
                item=Record(
                    model=model.DataDisk,
                    fields=(
                        Field(
                            "sizeGB",
                            Whole(minimum=1, maximum=32767),
                            "The disk's size in GiB.",
                            required=True,
                        ),
                    ),
                ),
                maximum=64,
            ),
            "Data disks added to those of the source.",
        ),
        Field(
            "stagingResourceGroup",
            Text(
                pattern=r"^/subscriptions/[A-Za-z0-9-]+/resource[Gg]roups/[^/\\\x00-\x20]{1,90}$",
                must_be="a resource group's id, /subscriptions/{id}/resourceGroups/{group}",
            ),
            "The resource group for what the build needs on the way.",
        ),
        Field(
            "autoRun",
            Record(
                model=model.AutoRun,
                fields=(Field("state", _STATE, "Whether to build as soon as it is written."),),
            ),
            "Builds once when the template is created or updated.",
        ),
        Field("managedResourceTags", _TAGS, "Tags put on the resources the build makes."),
        Field("provisioningState", _OPAQUE, "The state of the last write.", read_only=True),
        Field("provisioningError", _OPAQUE, "Why the last write failed.", read_only=True),
        Field("lastRunStatus", _OPAQUE, "How the last build went.", read_only=True),
        Field(
            "exactStagingResourceGroup", _OPAQUE, "The resource group the build really uses.", read_only=True
        ),
    ),
)

TEMPLATE = Record(
    model=model.ImageTemplate,
    fields=(
        Field("$schema", _OPAQUE, "The editor's schema; it has no effect.", read_only=True),
        Field("id", _OPAQUE, "The template's resource id.", read_only=True),
        Field("systemData", _OPAQUE, "Who wrote it and when.", read_only=True),
        Field(
            "apiVersion",
            Text(pattern="^(" + "|".join(API_VERSIONS) + ")$", must_be="one of " + ", ".join(API_VERSIONS)),
            f"The version of this format the template is written in; {API_VERSION_DEFAULT} if left "
            f"out. Before {API_VERSION_STRICT} unknown fields are let pass with a warning.",
        ),
        Field(
            "type",
            Text(
                # Azure's own sample templates leave out the second half.
                pattern=r"^[Mm]icrosoft\.[Vv]irtual[Mm]achine[Ii]mages(/[Ii]mage[Tt]emplates)?$",
                must_be=model.TEMPLATE_TYPE,
            ),
            f"Always `{model.TEMPLATE_TYPE}`.",
        ),
        Field("name", _RESOURCE_NAME, "The template's name; who submits the template may give another."),
        Field("location", _REGION, "The region of the template.", required=True),
        Field("tags", _TAGS, "Tags of the template."),
        Field("identity", IDENTITY, "The identity of the template."),
        Field("properties", PROPERTIES, "What the template builds.", required=True, spread=True),
    ),
)
