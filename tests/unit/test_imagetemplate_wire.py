"""Parsing and writing image templates."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.imagetemplate.model import (
    File,
    OnBuildError,
    PlatformImageSource,
    PowerShell,
    SharedImageDistributor,
    Shell,
    StorageAccountType,
    TargetRegion,
    VersioningLatest,
    VhdDistributor,
    WindowsRestart,
    WindowsUpdate,
)
from goldsmith.imagetemplate.wire import parse_template, to_wire
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject

CASES = Path(__file__).parent.parent / "cases" / "imagetemplate"
REFUSED = yaml.safe_load((CASES / "refused.yaml").read_text())
COMPUTE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"
BASE: JsonObject = {
    "location": "local",
    "properties": {
        "source": {"type": "PlatformImage", "publisher": "Debian", "offer": "debian-12", "sku": "12-gen2"},
        "customize": [{"type": "Shell", "inline": ["true"]}],
        "distribute": [
            {
                "type": "SharedImage",
                "runOutputName": "gallery",
                "galleryImageId": f"{COMPUTE}/galleries/golden/images/debian-12",
                "targetRegions": [{"name": "local"}],
            }
        ],
    },
}


def changed(*, set: dict[str, Any] | None = None, remove: list[str] | None = None) -> JsonObject:
    document = copy.deepcopy(BASE)
    for path, value in (set or {}).items():
        holder, last = _holder(document, path)
        holder[last] = value
    for path in remove or []:
        holder, last = _holder(document, path)
        del holder[last]
    return document


def _holder(document: Any, path: str) -> tuple[Any, Any]:
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        document = document[step]
    return document, last


def problems_of(document: JsonObject, *, api_version: str | None = None) -> tuple[tuple[str, str], ...]:
    with pytest.raises(InvalidInputError) as caught:
        parse_template(document, source_name="t.yaml", api_version=api_version)
    assert caught.value.code == "ValidationFailed"
    return caught.value.details


@pytest.mark.parametrize("case", REFUSED, ids=[case["name"] for case in REFUSED])
def test_refused(case: JsonObject) -> None:
    found = problems_of(changed(set=case.get("set"), remove=case.get("remove")))
    assert [path for path, _ in found] == [path for path, _ in case["problems"]]
    for (_, message), (_, expected) in zip(found, case["problems"], strict=True):
        assert message.startswith(expected)


def test_message_names_the_first_problem_and_how_many_there_are() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_template(
            changed(set={"properties.customize.0.inlines": [], "properties.validate": 1}),
            source_name="t.yaml",
        )
    assert caught.value.message == (
        "t.yaml is not a valid image template: unknown field properties.customize[0].inlines; "
        "did you mean inline? (the first of 2 problems)"
    )


def test_document_that_is_no_object_is_refused() -> None:
    not_an_object: Any = ["x"]
    with pytest.raises(InvalidInputError, match=r"the document must be an object, got a list"):
        parse_template(not_an_object, source_name="t.yaml")


def test_defaults_are_the_service_s() -> None:
    template = parse_template(BASE, source_name="t.yaml")
    assert template.api_version == "2025-10-01"
    assert template.build_timeout_in_minutes == 240
    assert template.error_handling.on_customizer_error is OnBuildError.CLEANUP
    assert template.source == PlatformImageSource(
        publisher="Debian", offer="debian-12", sku="12-gen2", version="latest"
    )
    assert template.customize == (Shell(inline=("true",)),)
    (distributor,) = template.distribute
    assert isinstance(distributor, SharedImageDistributor)
    assert not distributor.exclude_from_latest
    assert distributor.target_regions == (
        TargetRegion(name="local", replica_count=1, storage_account_type=StorageAccountType.STANDARD_LRS),
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties.buildTimeoutInMinutes", 0),
        ("properties.vmProfile", {"osDiskSizeGB": 0, "vmSize": "", "vnetConfig": {"proxyVmSize": ""}}),
        ("properties.customize.0.sha256Checksum", ""),
        ("properties.customize.0.scriptUri", None),
        ("properties.distribute.0.versioning", None),
        ("properties.stagingResourceGroup", ""),
        ("properties.validate", {}),
        ("properties.optimize", {"vmBoot": {"state": "Disabled"}}),
        ("tags", None),
    ],
)
def test_what_clients_send_for_nothing_counts_as_left_out(path: str, value: object) -> None:
    assert parse_template(changed(set={path: value}), source_name="t") == parse_template(
        BASE, source_name="t"
    )


def test_members_that_only_the_service_writes_are_dropped() -> None:
    document = changed(
        set={
            "$schema": "template.schema.json",
            "id": f"{COMPUTE}/x/y",
            "systemData": {"createdBy": "me"},
            "type": "Microsoft.VirtualMachineImages",
            "properties.provisioningState": "Succeeded",
            "properties.provisioningError": {"message": "none"},
            "properties.lastRunStatus": {"runState": "Running"},
            "properties.exactStagingResourceGroup": "/subscriptions/s/resourceGroups/IT_x",
            "properties.source.exactVersion": "0.1.2",
        }
    )
    assert parse_template(document, source_name="t") == parse_template(BASE, source_name="t")


def test_every_kind_of_step_and_distributor_is_read() -> None:
    document = changed(
        set={
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {"clientId": "c"}}},
            "properties.customize": [
                {"type": "Shell", "name": "one", "scriptUri": "a.sh", "sha256Checksum": "0" * 64},
                {"type": "PowerShell", "inline": ["x"], "runElevated": True, "runAsSystem": True},
                {"type": "File", "sourceUri": "a", "destination": "C:\\a.txt"},
                {"type": "WindowsRestart", "restartTimeout": "1h30m"},
                {"type": "WindowsUpdate", "updateLimit": 0, "filters": ["include:$true"]},
            ],
            "properties.distribute": [
                {"type": "VHD", "runOutputName": "vhd", "uri": ""},
                {
                    "type": "ManagedImage",
                    "runOutputName": "managed",
                    "imageId": f"{COMPUTE}/images/x",
                    "location": "local",
                },
                {
                    "type": "SharedImage",
                    "runOutputName": "shared",
                    "galleryImageId": f"{COMPUTE}/galleries/a/images/b",
                    "replicationRegions": ["local", "other"],
                    "storageAccountType": "Premium_LRS",
                    "versioning": {"scheme": "Latest", "major": -1},
                    "replicationMode": "Shallow",
                },
            ],
            "properties.additionalDataDisks": [{"sizeGB": 4}],
            "properties.autoRun": {"state": "Enabled"},
        }
    )
    template = parse_template(document, source_name="t")
    assert template.customize == (
        Shell(name="one", script_uri="a.sh", sha256_checksum="0" * 64),
        PowerShell(inline=("x",), run_elevated=True, run_as_system=True, valid_exit_codes=(0,)),
        File(source_uri="a", destination="C:\\a.txt"),
        WindowsRestart(restart_timeout="1h30m"),
        WindowsUpdate(update_limit=1000, filters=("include:$true",)),
    )
    assert template.distribute[0] == VhdDistributor(run_output_name="vhd", uri=None)
    assert isinstance(template.distribute[2], SharedImageDistributor)
    assert template.distribute[2].versioning == VersioningLatest(major=None)
    assert template.identity is not None
    assert list(template.identity.user_assigned_identities) == [IDENTITY]
    assert parse_template(to_wire(template), source_name="t") == template


IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/builder"
)


def test_wire_form_says_defaults_of_scalars_but_no_empty_objects() -> None:
    wire = to_wire(parse_template(BASE, source_name="t"))
    assert wire["properties"]["buildTimeoutInMinutes"] == 240
    assert wire["properties"]["source"]["version"] == "latest"
    assert not {"validate", "optimize", "vmProfile", "errorHandling"} & set(wire["properties"])
    assert wire["type"] == "Microsoft.VirtualMachineImages/imageTemplates"


@pytest.mark.parametrize("version", ["2020-02-14", "2023-07-01"])
def test_before_2024_unknown_fields_are_warnings(version: str) -> None:
    document = changed(set={"apiVersion": version, "dependsOn": [], "properties.customize.0.inlines": ["x"]})
    template = parse_template(document, source_name="t")
    assert template.customize == (Shell(inline=("true",)),)
    assert template.warnings[1] == "unknown field properties.customize[0].inlines; did you mean inline?"
    assert template.warnings[0].startswith("unknown field dependsOn; ")


def test_before_2024_wrong_values_are_still_problems() -> None:
    document = changed(set={"apiVersion": "2020-02-14", "nope": 1, "properties.buildTimeoutInMinutes": 1})
    assert [path for path, _ in problems_of(document)] == ["properties.buildTimeoutInMinutes"]


def test_api_version_of_the_request_goes_before_the_document_s() -> None:
    document = changed(set={"apiVersion": "2020-02-14", "nope": 1})
    assert [path for path, _ in problems_of(document, api_version="2024-02-01")] == ["nope"]


@pytest.mark.parametrize("version", ["2019-05-01-preview", "2025-10-1", 2024, ["2024-02-01"]])
def test_unknown_api_version_is_refused_with_the_known_ones(version: object) -> None:
    ((path, message),) = problems_of(changed(set={"apiVersion": version}))
    assert path == "apiVersion"
    assert "2020-02-14, 2021-10-01, 2022-02-14, 2022-07-01, 2023-07-01, 2024-02-01, 2025-10-01" in message
