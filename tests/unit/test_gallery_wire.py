"""ARM bodies of the three types: what is read, refused, defaulted and answered."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.gallery.model import (
    Artifact,
    ArtifactKind,
    Evidence,
    ExecutedValidation,
    HyperVGeneration,
    ImageState,
    ProvisioningState,
    RegionReplication,
    RegionState,
    StorageAccountStrategy,
    StorageAccountType,
)
from goldsmith.gallery.wire.definition import definition_json, parse_definition
from goldsmith.gallery.wire.gallery import gallery_json, parse_gallery
from goldsmith.gallery.wire.reader import merged
from goldsmith.gallery.wire.version import asks_to_restore, parse_version, version_json
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.ids import ResourceId, parse_resource_id

REFUSED = yaml.safe_load((Path(__file__).parents[1] / "cases/gallery/refused.yaml").read_text())
SCOPE = "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Compute/galleries"
GALLERY = {
    "location": "eastus",
    "tags": {"team": "a"},
    "identity": {"type": "SystemAssigned", "principalId": "p"},
    "properties": {
        "description": "d",
        "sharingProfile": {"permissions": "Groups", "groups": [{"type": "Subscriptions", "ids": ["x"]}]},
        "softDeletePolicy": {"isSoftDeleteEnabled": True, "retentionPeriodInDays": 14},
    },
}
DEFINITION = {
    "location": "eastus",
    "properties": {
        "osType": "linux",
        "osState": "Generalized",
        "identifier": {"publisher": "corp", "offer": "linux", "sku": "web"},
        "features": [{"name": "SecurityType", "value": "TrustedLaunch", "startsAtVersion": "1.0.0"}],
        "recommended": {"vCPUs": {"min": 1, "max": 8}, "memory": {"min": 2}},
        "disallowed": {"diskTypes": ["Standard_LRS"]},
        "purchasePlan": {"name": "n", "publisher": "p", "product": "q"},
        "endOfLifeDate": "2027-01-01T12:59:59.000Z",
        "eula": "e",
        "allowUpdateImage": False,
    },
}
SOURCE = "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Compute/images/i"
VERSION = {
    "location": "eastus",
    "tags": {},
    "properties": {
        "publishingProfile": {
            "targetRegions": [
                {"name": "East US", "regionalReplicaCount": 2, "storageAccountType": "premium_lrs"},
                {
                    "name": "westeurope",
                    "excludeFromLatest": True,
                    "encryption": {"osDiskImage": {"diskEncryptionSetId": "/e"}},
                    "additionalReplicaSets": [{"regionalReplicaCount": 1}],
                },
            ],
            "replicaCount": 1,
            "excludeFromLatest": False,
            "endOfLifeDate": "2027-12-01T00:00:00Z",
            "replicationMode": "Full",
        },
        "storageProfile": {
            "source": {"id": SOURCE},
            "osDiskImage": {"hostCaching": "ReadWrite"},
            "dataDiskImages": [{"lun": 3, "source": {"uri": "u", "storageAccountId": "/sa"}}],
        },
        "safetyProfile": {"allowDeletionOfReplicatedLocations": True, "blockDeletionBeforeEndOfLife": False},
        "securityProfile": {"uefiSettings": {"signatureTemplateNames": ["NoSignatureTemplate"]}},
    },
}
GOOD: dict[str, dict[str, Any]] = {"gallery": GALLERY, "definition": DEFINITION, "version": VERSION}


def id_of(type_: str, name: str | None = None) -> ResourceId:
    paths = {
        "gallery": f"{SCOPE}/{name or 'corp'}",
        "definition": f"{SCOPE}/corp/images/{name or 'web'}",
        "version": f"{SCOPE}/corp/images/web/versions/{name or '1.0.0'}",
    }
    if name == "a/b":  # an id whose type is none of the three
        return parse_resource_id(f"{SCOPE}/corp/applications/web")
    return parse_resource_id(paths[type_])


def changed(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(body)
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = result
        for parent in parents:
            target = target[parent]
        target[last] = value
    return result


@pytest.mark.parametrize("case", REFUSED, ids=[f"{case['type']}-{i}" for i, case in enumerate(REFUSED)])
def test_refused_case(case: dict[str, Any]) -> None:
    parse: dict[str, Callable[[ResourceId, object], object]] = {
        "gallery": parse_gallery,
        "definition": parse_definition,
        "version": parse_version,
    }
    id_ = id_of(case["type"], case.get("name"))
    body = changed(GOOD[case["type"]], case.get("set", {}))
    with pytest.raises(InvalidInputError) as caught:
        parse[case["type"]](id_, body)
    assert case["says"] in caught.value.message


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidInputError, match="expected an object"):
        parse_gallery(id_of("gallery"), body)


def test_a_gallery_is_answered_with_its_read_only_members() -> None:
    body = gallery_json(parse_gallery(id_of("gallery"), GALLERY))
    assert body["id"] == f"{SCOPE}/corp"
    assert body["type"] == "Microsoft.Compute/galleries"
    assert body["identity"] == GALLERY["identity"]
    assert body["properties"]["identifier"] == {"uniqueName": "S-1-CORP"}
    assert body["properties"]["provisioningState"] == "Succeeded"
    assert body["properties"]["softDeletePolicy"] == {
        "isSoftDeleteEnabled": True,
        "retentionPeriodInDays": 14,
        "gracePeriodInDays": 0,
    }


def test_what_is_answered_can_be_sent_back() -> None:
    gallery = parse_gallery(id_of("gallery"), GALLERY)
    assert parse_gallery(id_of("gallery"), gallery_json(gallery), existing=gallery) == gallery
    definition = parse_definition(id_of("definition"), DEFINITION)
    answered = definition_json(definition)
    assert parse_definition(id_of("definition"), answered, existing=definition) == definition
    version = full_version()
    assert parse_version(id_of("version"), version_json(version), existing=version) == version


def test_what_is_stored_is_read_back_the_same() -> None:
    gallery = replace(parse_gallery(id_of("gallery"), GALLERY), provisioning_state=ProvisioningState.UPDATING)
    assert parse_gallery(id_of("gallery"), through_json(gallery_json(gallery)), stored=True) == gallery
    definition = parse_definition(id_of("definition"), DEFINITION, api_version="2021-10-01")
    answered = through_json(definition_json(definition))
    assert parse_definition(id_of("definition"), answered, stored=True) == definition
    for version in (full_version(), replace(full_version(), soft_deleted=datetime(2026, 11, 27, tzinfo=UTC))):
        answered = through_json(version_json(version, stored=True))
        assert parse_version(id_of("version"), answered, stored=True) == version


def test_a_caller_cannot_write_what_is_read_only() -> None:
    forged = changed(
        VERSION,
        {
            "properties.provisioningState": "Succeeded",
            "properties.validationsProfile": {
                "platformAttributes": [{"name": "goldsmith.diskDigest", "value": "sha256:0"}]
            },
            "properties.replicationStatus": {"summary": [{"region": "eastus", "state": "Completed"}]},
            "properties.softDeletedTime": "2026-01-01",
        },
    )
    made = parse_version(id_of("version"), forged)
    assert (made.evidence, made.replication, made.image_state) == (None, (), ImageState.ACTIVE)
    kept = parse_version(id_of("version"), forged, existing=full_version())
    assert kept.evidence == full_version().evidence
    assert kept.publishing.published_date == full_version().publishing.published_date


@pytest.mark.parametrize(
    ("api_version", "given", "generation", "security"),
    [
        ("2026-03-03", {}, "V2", "TrustedLaunchSupported"),
        ("2025-03-03", {}, "V2", "TrustedLaunchSupported"),
        ("2025-03-03", {"features": [{"name": "SecurityType", "value": "Standard"}]}, "V2", "Standard"),
        ("2025-03-03", {"hyperVGeneration": "V1"}, "V1", None),
        ("2024-03-03", {}, "V1", None),
        ("2021-10-01", {"hyperVGeneration": "v2"}, "V2", None),
        ("2025-03-03-preview", {}, "V2", "TrustedLaunchSupported"),
    ],
)
def test_the_api_version_decides_what_a_new_definition_is(
    api_version: str, given: dict[str, Any], generation: str, security: str | None
) -> None:
    properties = {k: v for k, v in DEFINITION["properties"].items() if k != "features"}  # type: ignore[attr-defined]
    body = {"location": "eastus", "properties": properties | given}
    made = parse_definition(id_of("definition"), body, api_version=api_version)
    assert made.hyper_v_generation == HyperVGeneration(generation)
    assert made.feature("SecurityType") == security


def test_an_update_by_an_old_api_version_keeps_generation_and_features() -> None:
    old = parse_definition(id_of("definition"), {"location": "eastus", "properties": minimal()})
    new = parse_definition(
        id_of("definition"), {"properties": minimal()}, api_version="2021-10-01", existing=old
    )
    assert new == old


def test_the_api_version_decides_where_a_new_version_is_stored() -> None:
    new = parse_version(id_of("version"), VERSION).publishing
    assert new.storage_account_strategy is StorageAccountStrategy.PREFER_STANDARD_ZRS
    assert new.storage_account_type is None
    old = parse_version(id_of("version"), VERSION, api_version="2024-03-03").publishing
    assert old.storage_account_type is StorageAccountType.STANDARD_LRS
    assert old.storage_account_strategy is None


def test_the_empty_storage_profile_that_az_sends_blanks_nothing() -> None:
    old = full_version()
    body = changed(VERSION, {"properties.storageProfile": {}, "properties.securityProfile": None})
    new = parse_version(id_of("version"), body, existing=old)
    assert (new.storage, new.security_profile) == (old.storage, old.security_profile)


def test_a_version_without_target_regions_is_published_where_it_is() -> None:
    body = {"location": "eastus", "properties": {"storageProfile": {"source": {"id": SOURCE}}}}
    made = parse_version(id_of("version"), body)
    assert [region.name for region in made.publishing.target_regions] == ["eastus"]


def test_a_version_is_answered_as_azure_does() -> None:
    body = version_json(full_version())
    properties = body["properties"]
    assert properties["publishingProfile"]["publishedDate"] == "2026-11-26T04:00:00Z"
    assert properties["publishingProfile"]["targetRegions"][0]["excludeFromLatest"] is None
    assert properties["replicationStatus"]["aggregatedState"] == "InProgress"
    assert properties["replicationStatus"]["summary"][0] == {
        "region": "East US",
        "state": "Completed",
        "details": "",
        "progress": 100,
    }
    assert version_json(full_version(), replication_status=False)["properties"]["replicationStatus"] is None
    attributes = {a["name"]: a["value"] for a in properties["validationsProfile"]["platformAttributes"]}
    assert attributes["goldsmith.diskDigest"] == "sha256:" + "0" * 64
    assert attributes["goldsmith.artifact.sbom.path"] == "images/x.spdx.json"
    assert properties["validationsProfile"]["executedValidations"] == [
        {"type": "Boot", "status": "Succeeded", "version": "1", "executionTime": "2026-11-26T03:00:00Z"}
    ]
    assert (
        "softDeletedTime"
        not in version_json(replace(full_version(), soft_deleted=datetime(2026, 11, 26, tzinfo=UTC)))[
            "properties"
        ]
    )


def test_a_body_without_properties_or_with_restore_asks_to_restore() -> None:
    assert asks_to_restore({"location": "eastus", "tags": {}})
    assert asks_to_restore({"location": "eastus", "properties": {"restore": True}})
    assert not asks_to_restore(VERSION)


def test_a_patch_is_merged_into_what_is_there() -> None:
    target = {"tags": {"a": "1", "b": "2"}, "properties": {"x": {"y": [1, 2], "z": 3}}}
    patch = {"tags": {"a": None, "c": "3"}, "properties": {"x": {"y": [4]}}}
    assert merged(target, patch) == {
        "tags": {"b": "2", "c": "3"},
        "properties": {"x": {"y": [4], "z": 3}},
    }


def minimal() -> dict[str, Any]:
    return {
        "osType": "Linux",
        "osState": "Generalized",
        "identifier": {"publisher": "corp", "offer": "linux", "sku": "web"},
    }


def full_version() -> Any:
    made = parse_version(id_of("version"), VERSION)
    return replace(
        made,
        publishing=replace(made.publishing, published_date=datetime(2026, 11, 26, 4, tzinfo=UTC)),
        replication=(
            RegionReplication(region="East US", state=RegionState.COMPLETED, progress=100),
            RegionReplication(region="westeurope", state=RegionState.REPLICATING, details="d", progress=5),
        ),
        validations=(
            ExecutedValidation(
                type="Boot", succeeded=True, version="1", executed=datetime(2026, 11, 26, 3, tzinfo=UTC)
            ),
        ),
        evidence=Evidence(
            build_id="b-1",
            disk_digest="sha256:" + "0" * 64,
            disk_size_bytes=3 << 30,
            artifacts=(
                Artifact(kind=ArtifactKind.SBOM, path="images/x.spdx.json", digest="sha256:" + "1" * 64),
            ),
            boot_seconds={"kernel": 1.25, "userspace": 3.5},
            facts={"advisory": "DSA-1"},
        ),
    )


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
