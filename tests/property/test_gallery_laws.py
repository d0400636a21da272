"""Laws of galleries: latest against a slow, obvious oracle; names and bodies that survive a round trip."""

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from goldsmith.gallery.logic import aged, latest, marked, newest
from goldsmith.gallery.model import (
    ArtifactKind,
    Evidence,
    ImageVersion,
    ProvisioningState,
    PublishingProfile,
    RegionReplication,
    RegionState,
    StorageProfile,
    TargetRegion,
    VersionName,
    parse_version_name,
)
from goldsmith.gallery.naming import ArtifactName, parse_artifact_name
from goldsmith.gallery.wire.version import parse_version, version_json
from goldsmith.kernel.ids import parse_resource_id

DEFINITION = parse_resource_id(
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/corp/images/web"
)
SPELLINGS = {"eastus": ("eastus", "East US", "EastUS"), "westeurope": ("West Europe", "westeurope")}
TODAY = date(2026, 11, 26)

numbers = st.sampled_from([0, 1, 2, 9, 10])
version_names = st.builds(VersionName, numbers, numbers, numbers)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(
    lambda instant: instant.replace(microsecond=0, tzinfo=UTC)
)


def rarely(draw: st.DrawFn) -> bool:
    # Most versions must pass each condition, or none would be left for the next one to decide.
    return draw(st.integers(0, 4)) == 4


@st.composite
def versions(draw: st.DrawFn, name: VersionName, *, with_evidence: bool = False) -> ImageVersion:
    regions = draw(st.sets(st.sampled_from(sorted(SPELLINGS)), min_size=1))
    targets, replication = [], []
    for key in sorted(regions):
        spelled = draw(st.sampled_from(SPELLINGS[key]))
        excluded = draw(st.sampled_from([None, False, True]))
        targets.append(TargetRegion(name=spelled, exclude_from_latest=excluded))
        if not rarely(draw):
            state = draw(st.sampled_from(RegionState)) if rarely(draw) else RegionState.COMPLETED
            replication.append(RegionReplication(region=draw(st.sampled_from(SPELLINGS[key])), state=state))
    return ImageVersion(
        id=DEFINITION.child("versions", str(name)),
        location=targets[0].name,
        publishing=PublishingProfile(
            target_regions=tuple(targets),
            exclude_from_latest=rarely(draw),
            published_date=draw(st.none() | instants),
            end_of_life_date=draw(st.none() | instants),
        ),
        storage=StorageProfile(source_id="/disk"),
        provisioning_state=draw(st.sampled_from(ProvisioningState))
        if rarely(draw)
        else ProvisioningState.SUCCEEDED,
        replication=tuple(replication),
        soft_deleted=draw(instants) if rarely(draw) else None,
        evidence=draw(
            st.builds(
                Evidence,
                build_id=st.text(min_size=1, max_size=5),
                disk_digest=st.none() | st.just("sha256:00"),
                disk_size_bytes=st.none() | st.integers(0, 2**50),
                boot_seconds=st.dictionaries(
                    st.sampled_from(["kernel", "userspace"]), st.floats(0, 1e6), max_size=2
                ),
                facts=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=2),
            )
        )
        if with_evidence
        else None,
        tags=draw(st.sampled_from([{}, {"aged": "2026-01-01", "supersededBy": "9.0.0"}, {"team": "a"}])),
    )


@st.composite
def galleries(draw: st.DrawFn) -> list[ImageVersion]:
    names = draw(st.lists(version_names, unique=True, min_size=1, max_size=5))
    return [draw(versions(name)) for name in names]


def oracle(held: list[ImageVersion], key: str) -> str | None:
    """Try every version number from the highest down, and read the rule off for each."""
    by_name = {version.id.name: version for version in held}
    for major in range(10, -1, -1):
        for minor in range(10, -1, -1):
            for patch in range(10, -1, -1):
                version = by_name.get(f"{major}.{minor}.{patch}")
                if version is not None and obviously_latest_in(version, key):
                    return version.id.name
    return None


def obviously_latest_in(version: ImageVersion, key: str) -> bool:
    if version.provisioning_state != "Succeeded" or version.soft_deleted is not None:
        return False
    if version.publishing.exclude_from_latest:
        return False
    for target in version.publishing.target_regions:
        if target.name in SPELLINGS[key]:
            if target.exclude_from_latest:
                return False
            for done in version.replication:
                if done.region in SPELLINGS[key] and done.state == "Completed":
                    return True
    return False


@given(galleries(), st.sampled_from(sorted(SPELLINGS)), st.data())
def test_latest_is_the_highest_that_the_rule_allows(
    held: list[ImageVersion], key: str, data: st.DataObject
) -> None:
    found = latest(held, region=data.draw(st.sampled_from(SPELLINGS[key])))
    assert (found.id.name if found else None) == oracle(held, key)


@given(galleries(), st.randoms())
def test_latest_does_not_depend_on_the_order_of_versions(held: list[ImageVersion], random: object) -> None:
    shuffled = list(held)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert latest(shuffled, region="eastus") == latest(held, region="eastus")


@given(galleries())
def test_after_marking_exactly_those_below_the_newest_are_aged(held: list[ImageVersion]) -> None:
    changed = {version.id.key: version for version in marked(held, today=TODAY)}
    after = [changed.get(version.id.key, version) for version in held]
    top = newest(after)
    below = {version.id.key for version in aged(after, top)} if top else set()
    assert {version.id.key for version in after if "aged" in version.tags} == below
    assert marked(after, today=TODAY) == ()


@given(version_names, version_names)
def test_version_names_are_ordered_by_number_and_read_as_written(
    one: VersionName, other: VersionName
) -> None:
    assert parse_version_name(str(one)) == one
    assert (one < other) is ((one.major, one.minor, one.patch) < (other.major, other.minor, other.patch))


@given(
    st.builds(
        ArtifactName,
        gallery=st.from_regex(r"[a-zA-Z0-9][\w.-]{0,20}[a-zA-Z0-9]", fullmatch=True).filter(str.isascii),
        definition=st.from_regex(r"[a-zA-Z0-9][\w.-]{0,20}[a-zA-Z0-9]", fullmatch=True).filter(str.isascii),
        version=version_names,
        build_date=st.dates(),
        kind=st.sampled_from(ArtifactKind),
    )
)
def test_an_artefact_name_is_read_as_it_was_written(name: ArtifactName) -> None:
    assert parse_artifact_name(str(name)) == name


@given(version_names.flatmap(lambda name: versions(name, with_evidence=True)))
def test_a_stored_version_is_read_back_the_same(version: ImageVersion) -> None:
    assert parse_version(version.id, version_json(version, stored=True), stored=True) == version
