"""A generated fleet: virtual machines of about 4 KB as an inventory lists them, the same every time."""

import random
from collections.abc import Iterator

from goldsmith.kernel.json import JsonObject

TYPE = "Microsoft.Compute/virtualMachines"
GALLERY = (
    "/subscriptions/5e1f0000-0000-4000-8000-000000000001/resourceGroups/images"
    "/providers/Microsoft.Compute/galleries/golden/images"
)
DEFINITIONS = ("debian-12", "ubuntu-2204", "ubuntu-2404", "rhel-9", "windows-2022", "windows-2025")
REGIONS = (
    *("eastus", "eastus2", "westus2", "westus3", "centralus", "canadacentral", "brazilsouth"),
    *("northeurope", "westeurope", "uksouth", "francecentral", "germanywestcentral", "swedencentral"),
    *("japaneast", "koreacentral", "southeastasia", "australiaeast", "centralindia"),
)
SIZES = tuple(
    f"Standard_{family}{cores}s_v{version}"
    for family in "BDEF"
    for cores in (2, 4, 8, 16)
    for version in (3, 5)
)
DISK_KINDS = ("Premium_LRS", "StandardSSD_LRS", "Standard_LRS", "PremiumV2_LRS")
ENVIRONMENTS = ("production", "Production", "staging", "test", "development")
EXTENSIONS = (
    ("Microsoft.Azure.Monitor", "AzureMonitorLinuxAgent"),
    ("Microsoft.Azure.Monitor", "AzureMonitorWindowsAgent"),
    ("Microsoft.GuestConfiguration", "ConfigurationforLinux"),
    ("Microsoft.Azure.Security.LinuxAttestation", "GuestAttestation"),
    ("Microsoft.Azure.Extensions", "CustomScript"),
    ("Fabrikam.Legacy", "InventoryAgent"),
)
_MARKETPLACE = (
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
    ("RedHat", "RHEL", "9-lvm-gen2"),
    ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-azure-edition"),
)
# Seeding a generator takes longer than making a machine: one serves this many.
_BLOCK = 1000


def machines(count: int, *, start: int = 0) -> Iterator[JsonObject]:
    """Machines `start` to `start + count`; a machine depends on its number alone."""
    for block in range(start // _BLOCK, -(-(start + count) // _BLOCK)):
        chance = random.Random(f"fleet {block}")
        for number in range(block * _BLOCK, (block + 1) * _BLOCK):
            made = machine(number, chance)
            if start <= number < start + count:
                yield made


def machine(number: int, chance: random.Random) -> JsonObject:
    """One virtual machine, with its instance view of extensions as children in `resources`."""
    name = f"vm{number:07d}"
    subscription = f"{number % 200:08x}-0000-4000-8000-000000000000"
    scope = f"/subscriptions/{subscription}/resourceGroups/app-{number % 8000:04d}"
    providers = f"{scope}/providers"
    is_windows = chance.random() < 0.3
    region = chance.choice(REGIONS)
    properties: JsonObject = {
        "vmId": _guid(chance),
        "provisioningState": "Succeeded" if chance.random() < 0.98 else "Failed",
        "timeCreated": f"2025-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}T08:00:00.0000000+00:00",
        "hardwareProfile": {"vmSize": chance.choice(SIZES)},
        "storageProfile": _storage(name, providers, chance, is_windows=is_windows),
        "osProfile": _os(name, chance, is_windows=is_windows),
        "networkProfile": {
            "networkInterfaces": [
                {
                    "id": f"{providers}/Microsoft.Network/networkInterfaces/{name}-nic{nic}",
                    "properties": {"primary": nic == 0, "deleteOption": chance.choice(("Delete", "Detach"))},
                }
                for nic in range(chance.choice((1, 1, 1, 2)))
            ]
        },
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": chance.random() < 0.9}},
    }
    if chance.random() < 0.8:
        properties["securityProfile"] = {
            "securityType": "TrustedLaunch" if chance.random() < 0.9 else "ConfidentialVM",
            "uefiSettings": {
                "secureBootEnabled": chance.random() < 0.93,
                "vTpmEnabled": chance.random() < 0.97,
            },
            "encryptionAtHost": chance.random() < 0.8,
        }
    if chance.random() < 0.1:
        properties |= {"priority": "Spot", "evictionPolicy": "Deallocate"}
    if chance.random() < 0.2:
        properties["licenseType"] = "Windows_Server" if is_windows else "RHEL_BYOS"
    result: JsonObject = {
        "id": f"{providers}/{TYPE}/{name}",
        "name": name,
        "type": TYPE,
        "location": region,
        "tags": _tags(chance),
        "properties": properties,
        "resources": [
            {
                "id": f"{providers}/{TYPE}/{name}/extensions/{kind}",
                "name": kind,
                "type": f"{TYPE}/extensions",
                "location": region,
                "properties": {
                    "publisher": publisher,
                    "type": kind,
                    "typeHandlerVersion": f"1.{chance.randint(0, 30)}",
                    "autoUpgradeMinorVersion": True,
                    "enableAutomaticUpgrade": chance.random() < 0.7,
                    "provisioningState": "Succeeded",
                },
            }
            for publisher, kind in chance.sample(EXTENSIONS, chance.randint(0, 4))
        ],
        "etag": f'"{chance.getrandbits(64):016x}"',
    }
    if chance.random() < 0.7:
        result["identity"] = {
            "type": "SystemAssigned",
            "principalId": _guid(chance),
            "tenantId": _guid(chance),
        }
    if chance.random() < 0.6:
        result["zones"] = [str(chance.randint(1, 3))]
    return result


def _storage(name: str, providers: str, chance: random.Random, *, is_windows: bool) -> JsonObject:
    disks = f"{providers}/Microsoft.Compute/disks/{name}"
    encryption = f"{providers}/Microsoft.Compute/diskEncryptionSets/set{chance.randint(0, 40)}"
    data_disks: list[JsonObject] = []
    for unit in range(chance.choice((0, 0, 1, 1, 2, 3, 4))):
        managed: JsonObject = {
            "storageAccountType": chance.choice(DISK_KINDS),
            "id": f"{disks}_data{unit}_{chance.getrandbits(64):016x}",
        }
        if chance.random() < 0.6:
            managed["diskEncryptionSet"] = {"id": encryption}
        data_disks.append(
            {
                "lun": unit,
                "name": f"{name}_data{unit}",
                "createOption": "Attach",
                "caching": chance.choice(("None", "ReadOnly")),
                "managedDisk": managed,
                "diskSizeGB": chance.choice((32, 64, 128, 256, 512, 1024)),
                "deleteOption": "Detach",
            }
        )
    return {
        "imageReference": _image(chance),
        "osDisk": {
            "osType": "Windows" if is_windows else "Linux",
            "name": f"{name}_os_{chance.getrandbits(64):016x}",
            "createOption": "FromImage",
            "caching": chance.choice(("ReadWrite", "ReadOnly")),
            "managedDisk": {
                "storageAccountType": chance.choice(DISK_KINDS[:3]),
                "id": f"{disks}_os_{chance.getrandbits(64):016x}",
            },
            "diskSizeGB": chance.choice((30, 64, 127, 128, 256)),
            "deleteOption": "Delete",
        },
        "dataDisks": data_disks,
        "diskControllerType": "SCSI",
    }


def _image(chance: random.Random) -> JsonObject:
    if chance.random() < 0.9:
        definition = chance.choice(DEFINITIONS)
        version = f"{chance.choice((2024, 2025, 2025, 2025))}.{chance.randint(1, 12)}.{chance.randint(0, 2)}"
        return {"id": f"{GALLERY}/{definition}/versions/{version}", "exactVersion": version}
    publisher, offer, sku = chance.choice(_MARKETPLACE)
    exact = f"22.04.2025{chance.randint(1, 12):02d}010"
    return {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest", "exactVersion": exact}


def _os(name: str, chance: random.Random, *, is_windows: bool) -> JsonObject:
    profile: JsonObject = {
        "computerName": name,
        "adminUsername": "operator",
        "allowExtensionOperations": chance.random() < 0.95,
        "requireGuestProvisionSignal": True,
        "secrets": [],
    }
    patching = {
        "assessmentMode": chance.choice(("ImageDefault", "AutomaticByPlatform", "AutomaticByPlatform"))
    }
    if is_windows:
        profile["windowsConfiguration"] = {
            "provisionVMAgent": True,
            "enableAutomaticUpdates": chance.random() < 0.9,
            "patchSettings": {
                **patching,
                "patchMode": chance.choice(("AutomaticByOS", "AutomaticByPlatform")),
            },
        }
        return profile
    key = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{chance.getrandbits(256):064x} operator@{name}"
    profile["linuxConfiguration"] = {
        "disablePasswordAuthentication": chance.random() < 0.95,
        "provisionVMAgent": True,
        "ssh": {"publicKeys": [{"path": "/home/operator/.ssh/authorized_keys", "keyData": key}]},
        "patchSettings": {**patching, "patchMode": chance.choice(("ImageDefault", "AutomaticByPlatform"))},
    }
    return profile


def _tags(chance: random.Random) -> dict[str, str]:
    tags = {
        "environment": chance.choice(ENVIRONMENTS),
        "team": f"team-{chance.randint(0, 249)}",
        "costCenter": f"cc{chance.randint(0, 1999):05d}",
    }
    if chance.random() < 0.93:
        tags["owner"] = f"user{chance.randint(0, 39999)}@example.org"
    if chance.random() < 0.9:
        tags["kind"] = "pet" if chance.random() < 0.1 else "cattle"
    if chance.random() < 0.85:
        tags["imageVersion"] = f"2025.{chance.randint(1, 12)}.{chance.randint(0, 2)}"
    return tags


def _guid(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
