"""A hundred rules on virtual machines, as Azure Policy JSON; one is true on about one machine in ten."""

from collections.abc import Iterator

from bench.policy.fleet import DEFINITIONS, DISK_KINDS, GALLERY, REGIONS, TYPE
from goldsmith.kernel.json import JsonObject

COUNT = 100
_DISKS = f"{TYPE}/storageProfile.dataDisks[*]"
_IMAGE = f"{TYPE}/storageProfile.imageReference.id"
_OS_TYPE = f"{TYPE}/storageProfile.osDisk.osType"


def rules() -> dict[str, JsonObject]:
    """Name -> `policyRule`; a hundred, always the same."""
    found = dict(_named())
    number = 0
    while len(found) < COUNT:
        found[f"team budget {number}"] = _budget(number)
        number += 1
    return dict(list(found.items())[:COUNT])


def image_rule() -> JsonObject:
    """The one that everybody begins with: machines come from our gallery or not at all."""
    return _rule({"field": _IMAGE, "notLike": f"{GALLERY}/*"}, effect="deny")


def _rule(*conditions: JsonObject, effect: str = "audit") -> JsonObject:
    return {
        "if": {"allOf": [{"field": "type", "equals": TYPE}, *conditions]},
        "then": {"effect": effect},
    }


def _disks(where: JsonObject) -> JsonObject:
    return {"count": {"field": _DISKS, "where": where}, "greater": 0}


def _named() -> Iterator[tuple[str, JsonObject]]:
    yield "gallery images only", image_rule()
    for definition in DEFINITIONS:
        ours = {"field": _IMAGE, "like": f"{GALLERY}/{definition}/*"}
        yield (
            f"{definition}: outdated",
            _rule(
                ours,
                {
                    "not": {
                        "field": _IMAGE,
                        "in": [
                            f"{GALLERY}/{definition}/versions/2025.{month}.{patch}"
                            for month in (10, 11, 12)
                            for patch in (0, 1, 2)
                        ],
                    }
                },
            ),
        )
        yield (
            f"{definition}: of last year",
            _rule(
                {"field": _IMAGE, "like": f"{GALLERY}/{definition}/versions/2024.*"},
                {"field": "tags['kind']", "notEquals": "pet"},
            ),
        )
        yield (
            f"{definition}: production without Trusted Launch",
            _rule(
                {"field": _IMAGE, "contains": f"/images/{definition}/"},
                {"field": "tags['environment']", "equals": "production"},
                {"field": f"{TYPE}/securityProfile.securityType", "notEquals": "TrustedLaunch"},
            ),
        )
    for tag in ("owner", "kind", "imageVersion", "team", "environment"):
        yield f"tag {tag}", _rule({"field": f"tags['{tag}']", "exists": "false"})
    yield "cost centre", _rule({"not": {"field": "tags['costCenter']", "match": "cc#####"}})
    yield "owner of ours", _rule({"field": "tags['owner']", "notLike": "*@example.org"})
    for index in range(0, len(REGIONS), 3):
        yield (
            f"region {REGIONS[index]}",
            _rule(
                {"field": "location", "in": list(REGIONS[index : index + 3])},
                {"field": "tags['team']", "like": "team-1*"},
            ),
        )
    for kind in DISK_KINDS:
        yield (
            f"test on {kind}",
            _rule(
                {"field": "tags['environment']", "equals": "test"},
                _disks({"field": f"{_DISKS}.managedDisk.storageAccountType", "equals": kind}),
            ),
        )
    for size in (256, 512, 1024):
        yield (
            f"unencrypted disks of {size} GB",
            _rule(
                _disks(
                    {
                        "allOf": [
                            {"field": f"{_DISKS}.diskSizeGB", "greaterOrEquals": size},
                            {"field": f"{_DISKS}.managedDisk.diskEncryptionSet.id", "exists": "false"},
                        ]
                    }
                ),
                {"field": "tags['environment']", "notEquals": "development"},
            ),
        )
    yield (
        "every data disk cached",
        _rule(
            {"field": f"{_DISKS}.caching", "notEquals": "None"},
            {"field": f"{TYPE}/storageProfile.osDisk.caching", "equals": "ReadOnly"},
            {"count": {"field": _DISKS}, "greater": 1},
        ),
    )
    yield (
        "every interface outlives",
        _rule(
            {"field": f"{TYPE}/networkProfile.networkInterfaces[*].deleteOption", "equals": "Detach"},
            {"field": "location", "like": "*us*"},
        ),
    )
    yield "more than two disks", _rule({"count": {"field": _DISKS}, "greater": 3})
    for name, path in (
        ("secure boot", "securityProfile.uefiSettings.secureBootEnabled"),
        ("vTPM", "securityProfile.uefiSettings.vTpmEnabled"),
        ("encryption at host", "securityProfile.encryptionAtHost"),
    ):
        yield (
            name,
            _rule(
                {"field": f"{TYPE}/securityProfile.securityType", "in": ["TrustedLaunch", "ConfidentialVM"]},
                {"field": f"{TYPE}/{path}", "notEquals": "true"},
            ),
        )
    yield (
        "boot diagnostics",
        _rule({"field": f"{TYPE}/diagnosticsProfile.bootDiagnostics.enabled", "notEquals": "true"}),
    )
    yield (
        "passwords",
        _rule(
            {"field": _OS_TYPE, "equals": "Linux"},
            {
                "field": f"{TYPE}/osProfile.linuxConfiguration.disablePasswordAuthentication",
                "equals": "false",
            },
        ),
    )
    yield (
        "automatic updates",
        _rule({"field": f"{TYPE}/osProfile.windowsConfiguration.enableAutomaticUpdates", "equals": "false"}),
    )
    for mode in ("ImageDefault", "AutomaticByOS", "AutomaticByPlatform"):
        yield (
            f"patched {mode}",
            _rule(
                {
                    "anyOf": [
                        {"field": f"{TYPE}/osProfile.{system}.patchSettings.patchMode", "equals": mode}
                        for system in ("windowsConfiguration", "linuxConfiguration")
                    ]
                },
                {"field": "tags['kind']", "equals": "pet"},
            ),
        )
    for family in "BDEF":
        for version in (3, 5):
            yield (
                f"{family} series v{version}",
                _rule(
                    {"field": f"{TYPE}/sku.name", "like": f"Standard_{family}*_v{version}"},
                    {"not": {"field": "tags['environment']", "in": ["production", "staging"]}},
                ),
            )
    yield (
        "spot in production",
        _rule(
            {"field": f"{TYPE}/priority", "equals": "Spot"},
            {"field": "tags['environment']", "equals": "production"},
        ),
    )
    yield (
        "licence",
        _rule(
            {"field": f"{TYPE}/licenseType", "exists": "false"},
            {"field": _OS_TYPE, "equals": "Windows"},
            {"field": "tags['environment']", "in": ["test", "development"]},
        ),
    )
    yield "name", _rule({"not": {"field": "name", "match": "vm#######"}})
    yield (
        "identity",
        _rule(
            {"field": "identity.type", "notEquals": "SystemAssigned"},
            {"field": "tags['environment']", "equals": "production"},
        ),
    )
    yield "no zone", _rule({"field": "zones", "exists": "false"}, {"field": "location", "like": "west*"})
    yield "large system disk", _rule({"field": f"{TYPE}/storageProfile.osDisk.diskSizeGB", "greater": 200})
    for publisher in ("Canonical", "RedHat", "MicrosoftWindowsServer"):
        yield (
            f"marketplace {publisher}",
            _rule({"field": f"{TYPE}/imagePublisher", "equals": publisher}),
        )


def _budget(number: int) -> JsonObject:
    return _rule(
        {"field": "tags['team']", "in": [f"team-{(number * 7 + step) % 250}" for step in range(60)]},
        {
            "anyOf": [
                {"field": f"{TYPE}/sku.name", "contains": ("_v3", "_v5")[number % 2]},
                {"field": "location", "equals": REGIONS[number % len(REGIONS)]},
            ]
        },
        {"field": "tags['costCenter']", "notLike": f"cc0{number % 10}*"},
    )
