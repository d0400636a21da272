"""Which version is latest, which are aged, and what may be changed or deleted."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.gallery.logic import (
    aged,
    check_definition,
    check_definition_change,
    check_deletable,
    check_version,
    check_version_change,
    latest,
    marked,
    newest,
    requires_trusted_launch,
    resolve,
)
from goldsmith.gallery.model import (
    AggregatedState,
    Feature,
    HyperVGeneration,
    Identifier,
    ImageDefinition,
    ImageVersion,
    OsState,
    OsType,
    ProvisioningState,
    PublishingProfile,
    RegionReplication,
    RegionState,
    SafetyProfile,
    StorageAccountStrategy,
    StorageAccountType,
    StorageProfile,
    TargetRegion,
)
from goldsmith.kernel.errors import ConflictError, InvalidInputError, NotFoundError
from goldsmith.kernel.ids import parse_resource_id

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/gallery/latest.yaml").read_text())
DEFINITION = parse_resource_id(
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/corp/images/web"
)
NOW = datetime(2026, 11, 26, 4, tzinfo=UTC)
TODAY = date(2026, 11, 26)


def version(name: str, *spoiled: str, **members: Any) -> ImageVersion:
    regions = [TargetRegion(name="eastus"), TargetRegion(name="West Europe")]
    states = [RegionReplication(region=r.name, state=RegionState.COMPLETED) for r in regions]
    state = ProvisioningState.SUCCEEDED
    tags: dict[str, str] = {}
    soft_deleted = None
    excluded = False
    for how in spoiled:
        match how:
            case "excluded":
                excluded = True
            case "excluded in eastus":
                regions[0] = replace(regions[0], exclude_from_latest=True)
            case "excluded in westeurope":
                regions[1] = replace(regions[1], exclude_from_latest=True)
            case "creating":
                state = ProvisioningState.CREATING
            case "failed":
                state = ProvisioningState.FAILED
            case "soft deleted":
                soft_deleted = NOW
            case "replicating to eastus":
                states[0] = replace(states[0], state=RegionState.REPLICATING)
            case "replicating to westeurope":
                states[1] = replace(states[1], state=RegionState.REPLICATING)
            case "not in eastus":
                regions, states = regions[1:], states[1:]
            case "aged":
                tags = {"aged": "2026-01-01", "supersededBy": "9.9.9"}
            case other:
                raise AssertionError(other)
    values: dict[str, Any] = {
        "id": DEFINITION.child("versions", name),
        "location": "westeurope",
        "publishing": PublishingProfile(target_regions=tuple(regions), exclude_from_latest=excluded),
        "storage": StorageProfile(source_id="/disk"),
        "replication": tuple(states),
        "provisioning_state": state,
        "soft_deleted": soft_deleted,
        "tags": tags,
    }
    return ImageVersion(**(values | members))


def definition(**members: Any) -> ImageDefinition:
    values: dict[str, Any] = {
        "id": DEFINITION,
        "location": "eastus",
        "os_type": OsType.LINUX,
        "os_state": OsState.GENERALIZED,
        "identifier": Identifier(publisher="corp", offer="linux", sku="web"),
    }
    return ImageDefinition(**(values | members))


def names(versions: tuple[ImageVersion, ...]) -> list[str]:
    return [str(v.name) for v in versions]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_latest_case(case: dict[str, Any]) -> None:
    versions = [version(name, *spoiled) for name, spoiled in case["versions"]]
    region = case.get("region", "eastus")
    if case["gives"] in ("none", "elsewhere"):
        assert latest(versions, region=region) is None
        with pytest.raises(NotFoundError) as caught:
            resolve(str(DEFINITION), versions, region=region)
        expected = {
            "none": f'There is no latest image version exists for "{DEFINITION}"',
            "elsewhere": f"The gallery image {DEFINITION} is not available in {region} region. "
            "Please contact image owner to replicate to this region, or change your requested region.",
        }
        assert caught.value.message == expected[case["gives"]]
        assert caught.value.code == "GalleryImageNotFound"
    else:
        assert str(resolve(str(DEFINITION), versions, region=region).name) == case["gives"]


def test_aged_are_the_finished_versions_below() -> None:
    versions = [version("1.0.2"), version("1.0.0"), version("1.0.1", "failed"), version("0.9.0", "excluded")]
    assert names(aged(versions, versions[0])) == ["0.9.0", "1.0.0"]
    assert aged(versions, versions[3]) == ()


def test_publishing_marks_all_below_the_newest_and_nothing_above() -> None:
    versions = [version("1.0.0"), version("1.0.1"), version("2.0.0", "excluded")]
    (changed,) = marked(versions, today=TODAY)
    assert changed.tags == {"aged": "2026-11-26", "supersededBy": "1.0.1"}
    assert str(changed.name) == "1.0.0"


def test_a_version_not_promoted_ages_nothing() -> None:
    assert marked([version("1.0.0"), version("1.0.1", "excluded")], today=TODAY) == ()


def test_an_aged_version_keeps_its_first_date() -> None:
    assert marked([version("1.0.0", "aged"), version("1.0.1")], today=TODAY) == ()


def test_when_the_newest_is_withdrawn_the_one_below_is_no_longer_aged() -> None:
    own = replace(version("1.0.0", "aged"), tags={"aged": "2026-01-01", "supersededBy": "1.0.1", "team": "a"})
    (changed,) = marked([own, version("1.0.1", "excluded")], today=TODAY)
    assert changed.tags == {"team": "a"}


def test_newest_looks_at_no_region() -> None:
    versions = [version("1.0.0"), version("1.0.1", "replicating to eastus", "replicating to westeurope")]
    found = newest(versions)
    assert found is not None
    assert str(found.name) == "1.0.1"


@pytest.mark.parametrize(
    ("states", "aggregated"),
    [
        ([], AggregatedState.UNKNOWN),
        ([RegionState.UNKNOWN], AggregatedState.UNKNOWN),
        ([RegionState.COMPLETED, RegionState.COMPLETED], AggregatedState.COMPLETED),
        ([RegionState.COMPLETED, RegionState.REPLICATING], AggregatedState.IN_PROGRESS),
        ([RegionState.COMPLETED, RegionState.UNKNOWN], AggregatedState.IN_PROGRESS),
        ([RegionState.REPLICATING, RegionState.FAILED], AggregatedState.FAILED),
    ],
)
def test_aggregated_state(states: list[RegionState], aggregated: AggregatedState) -> None:
    replication = tuple(RegionReplication(region=f"r{i}", state=s) for i, s in enumerate(states))
    assert version("1.0.0", replication=replication).aggregated_state is aggregated


@pytest.mark.parametrize(
    ("value", "required"),
    [
        (None, False),
        ("Standard", False),
        ("TrustedLaunch", True),
        ("trustedlaunch", True),
        ("TrustedLaunchSupported", False),
        ("ConfidentialVM", False),
    ],
)
def test_trusted_launch_is_required_only_by_its_own_security_type(value: str | None, required: bool) -> None:
    features = (Feature(name="securityType", value=value),) if value else ()
    assert requires_trusted_launch(definition(features=features)) is required


@pytest.mark.parametrize(
    ("change", "property_"),
    [
        ({"os_type": OsType.WINDOWS}, "osType"),
        ({"os_state": OsState.SPECIALIZED}, "osState"),
        ({"hyper_v_generation": HyperVGeneration.V1}, "hyperVGeneration"),
        ({"identifier": Identifier(publisher="corp", offer="linux", sku="db")}, "identifier.sku"),
        ({"features": (Feature(name="a", value="b"),)}, "features"),
        ({"location": "westus"}, "location"),
    ],
)
def test_what_is_fixed_at_creation_cannot_change(change: dict[str, Any], property_: str) -> None:
    old = definition()
    with pytest.raises(ConflictError) as caught:
        check_definition_change(old, replace(old, **change))
    assert caught.value.message == f"Changing property 'galleryImage.properties.{property_}' is not allowed."
    assert caught.value.code == "PropertyChangeNotAllowed"


def test_a_definition_may_change_its_description_region_spelling_and_with_permission_its_features() -> None:
    old = definition(allow_update_image=True)
    changed = replace(old, description="x", location="East US", features=(Feature(name="a", value="b"),))
    check_definition_change(old, changed)


def test_publisher_offer_and_sku_are_unique_in_a_gallery() -> None:
    gallery = DEFINITION.parent
    assert gallery is not None
    twin = definition(
        id=gallery.child("images", "other"), identifier=Identifier(publisher="CORP", offer="linux", sku="web")
    )
    check_definition(definition(), [definition()])
    with pytest.raises(ConflictError, match="unique"):
        check_definition(definition(), [twin])


@pytest.mark.parametrize(
    "members",
    [
        {"identifier": Identifier(publisher="p" * 129, offer="o", sku="s")},
        {"identifier": Identifier(publisher="p", offer="o" * 65, sku="s")},
        {"identifier": Identifier(publisher="p", offer="o", sku="s.")},
        {"features": (Feature(name="SecurityType", value="Strong"),)},
    ],
)
def test_a_definition_with_bad_values_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        check_definition(definition(**members), [])


def regions(*target: TargetRegion, **members: Any) -> PublishingProfile:
    return PublishingProfile(target_regions=target or (TargetRegion(name="westeurope"),), **members)


@pytest.mark.parametrize(
    ("publishing", "message"),
    [
        (regions(TargetRegion(name="eastus")), "must contain the location of image version 'westeurope'"),
        (
            regions(TargetRegion(name="westeurope"), TargetRegion(name="West Europe")),
            "Duplicate regions are not allowed in target publishing regions",
        ),
        (regions(end_of_life_date=NOW), "EndOfLifeDate must be set to a future date."),
        (regions(replica_count=0), "a replica count is 0"),
        (regions(TargetRegion(name="westeurope", regional_replica_count=101)), "a replica count is 101"),
        (
            regions(
                storage_account_type=StorageAccountType.PREMIUM_LRS,
                storage_account_strategy=StorageAccountStrategy.PREFER_STANDARD_ZRS,
            ),
            "expected one at most",
        ),
    ],
)
def test_a_version_with_bad_values_is_refused(publishing: PublishingProfile, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_version(version("1.0.0", publishing=publishing), now=NOW)
    assert message in caught.value.message


def test_the_source_and_storage_of_a_version_cannot_change() -> None:
    old = version("1.0.0")
    for change, property_ in (
        ({"storage": StorageProfile(source_id="/other")}, "storageProfile.source"),
        (
            {"publishing": replace(old.publishing, storage_account_type=StorageAccountType.PREMIUM_LRS)},
            "publishingProfile.storageAccountType",
        ),
    ):
        with pytest.raises(ConflictError) as caught:
            check_version_change(old, replace(old, **change), now=NOW)
        assert caught.value.message == (
            f"Changing property 'galleryImageVersion.properties.{property_}' is not allowed."
        )


def test_an_end_of_life_that_has_passed_does_not_stop_other_changes() -> None:
    old = version("1.0.0", publishing=regions(end_of_life_date=NOW - timedelta(days=1)))
    check_version_change(old, replace(old, tags={"a": "b"}), now=NOW)


def test_a_replicated_region_leaves_only_when_the_safety_profile_allows_it() -> None:
    old = version("1.0.0", safety=SafetyProfile(allow_deletion_of_replicated_locations=False))
    fewer = replace(
        old, publishing=replace(old.publishing, target_regions=(TargetRegion(name="westeurope"),))
    )
    with pytest.raises(ConflictError, match="eastus"):
        check_version_change(old, fewer, now=NOW)
    check_version_change(replace(old, safety=SafetyProfile()), fewer, now=NOW)


@pytest.mark.parametrize(
    ("blocked", "end", "deletable"),
    [
        (None, None, True),
        (False, NOW + timedelta(days=1), True),
        (True, NOW + timedelta(days=1), False),
        (True, NOW, True),
        (True, None, False),
    ],
)
def test_deletion_before_end_of_life(blocked: bool | None, end: datetime | None, deletable: bool) -> None:
    made = version(
        "1.0.0",
        safety=SafetyProfile(block_deletion_before_end_of_life=blocked),
        publishing=regions(end_of_life_date=end),
    )
    if deletable:
        check_deletable(made, now=NOW)
    else:
        with pytest.raises(ConflictError) as caught:
            check_deletable(made, now=NOW)
        assert caught.value.code == "DeleteGalleryImageVersionBlockedBeforeEndOfLife"
