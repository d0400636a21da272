"""The gallery's use cases over the real resource store, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from goldsmith.gallery import lifecycle, service
from goldsmith.gallery.model import (
    Artifact,
    ArtifactKind,
    Evidence,
    Gallery,
    Identifier,
    ImageDefinition,
    ImageState,
    ImageVersion,
    OsState,
    OsType,
    ProvisioningState,
    PublishingProfile,
    RegionReplication,
    RegionState,
    SafetyProfile,
    SoftDeletePolicy,
    StorageProfile,
    TargetRegion,
)
from goldsmith.gallery.store import StoredGalleries
from goldsmith.kernel.errors import (
    ConflictError,
    CorruptError,
    Error,
    InvalidInputError,
    NotFoundError,
    PreconditionFailedError,
)
from goldsmith.kernel.ids import RandomIds, ResourceId, parse_resource_id
from goldsmith.resources.engine import open_engine
from goldsmith.resources.migrate import migrate
from goldsmith.resources.model import ChangeOperation, ResourceDraft
from goldsmith.resources.store import ResourceStore

GROUP = "/subscriptions/s1/resourceGroups/rg1"
GALLERY = parse_resource_id(f"{GROUP}/providers/Microsoft.Compute/galleries/Corp")
DEFINITION = GALLERY.child("images", "web")
ANA = "ana"
DISK = "sha256:" + "a" * 64
OTHER_DISK = "sha256:" + "b" * 64
TIMEOUT_SECONDS = 120


class SetClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.instant = datetime(2026, 11, 26, 4, tzinfo=UTC)

    def now(self) -> datetime:
        return self.instant

    def monotonic_seconds(self) -> float:
        return self.instant.timestamp()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def resources(url: str, clock: SetClock) -> Iterator[ResourceStore]:
    engine: sa.Engine = open_engine(url)
    migrate(engine)
    yield ResourceStore(engine, clock, RandomIds())
    engine.dispose()


@pytest.fixture
def store(resources: ResourceStore) -> StoredGalleries:
    """Holds the gallery Corp with the definition web."""
    galleries = StoredGalleries(resources)
    service.create_gallery(galleries, Gallery(id=GALLERY, location="eastus"), actor=ANA)
    service.create_definition(galleries, definition(), actor=ANA)
    return galleries


def definition(name: str = "web", **members: Any) -> ImageDefinition:
    values: dict[str, Any] = {
        "id": GALLERY.child("images", name),
        "location": "eastus",
        "os_type": OsType.LINUX,
        "os_state": OsState.GENERALIZED,
        "identifier": Identifier(publisher="corp", offer="linux", sku=name),
    }
    return ImageDefinition(**(values | members))


def version_id(name: str) -> ResourceId:
    return DEFINITION.child("versions", name)


def draft(name: str = "1.0.0", **members: Any) -> ImageVersion:
    values: dict[str, Any] = {
        "id": version_id(name),
        "location": "eastus",
        "publishing": PublishingProfile(
            target_regions=(TargetRegion(name="East US"), TargetRegion(name="lab"))
        ),
        "storage": StorageProfile(source_id=f"{GROUP}/providers/Microsoft.Compute/disks/d"),
    }
    return ImageVersion(**(values | members))


def evidence(build_id: str = "b-1", disk_digest: str | None = DISK) -> Evidence:
    return Evidence(
        build_id=build_id,
        disk_digest=disk_digest,
        disk_size_bytes=(3 << 30) + 1,
        artifacts=(Artifact(kind=ArtifactKind.SBOM, path="images/a.spdx.json", digest=OTHER_DISK),),
        boot_seconds={"kernel": 1.5},
    )


def publish(store: StoredGalleries, clock: SetClock, name: str, **members: Any) -> ImageVersion:
    excluded = members.pop("excluded", False)
    replicated = members.pop("replicated", None)
    build_id = f"b-{name}"
    lifecycle.begin_version(store, clock, draft(name, **members), build_id=build_id, actor=ANA)
    return lifecycle.complete_version(
        store,
        clock,
        version_id(name),
        evidence=evidence(build_id),
        exclude_from_latest=excluded,
        replicated=replicated,
        actor=ANA,
    )


def latest_name(store: StoredGalleries, region: str = "eastus") -> str:
    return service.resolve_latest(store, DEFINITION, region=region).id.name


def test_galleries_and_definitions_are_created_shown_and_listed(store: StoredGalleries) -> None:
    assert service.show_gallery(store, parse_resource_id(str(GALLERY).lower())).id == GALLERY
    assert [g.id for g in service.list_galleries(store, "s1")] == [GALLERY]
    assert service.list_galleries(store, "s1", group="other") == []
    assert [d.id for d in service.list_definitions(store, GALLERY)] == [DEFINITION]
    with pytest.raises(NotFoundError):
        service.show_definition(store, GALLERY.child("images", "absent"))


def test_creating_again_updates(store: StoredGalleries) -> None:
    gallery = service.show_gallery(store, GALLERY)
    changed = service.create_gallery(store, replace(gallery, description="ours"), actor=ANA)
    assert changed.description == "ours"
    assert changed.etag != gallery.etag
    with pytest.raises(PreconditionFailedError):
        service.create_gallery(store, replace(gallery, description="stale"), actor=ANA)
    described = service.create_definition(store, definition(description="d"), actor=ANA)
    assert described.description == "d"
    with pytest.raises(ConflictError, match="osType"):
        service.create_definition(store, definition(os_type=OsType.WINDOWS), actor=ANA)


def test_names_that_are_taken_are_refused(store: StoredGalleries) -> None:
    elsewhere = parse_resource_id(str(GALLERY).replace("rg1", "rg2").replace("Corp", "corp"))
    with pytest.raises(ConflictError, match="unique in the subscription"):
        service.create_gallery(store, Gallery(id=elsewhere, location="eastus"), actor=ANA)
    twin = definition("other", identifier=Identifier(publisher="Corp", offer="linux", sku="WEB"))
    with pytest.raises(ConflictError, match="unique in the gallery"):
        service.create_definition(store, twin, actor=ANA)


def test_a_child_of_a_missing_parent_is_refused(store: StoredGalleries, clock: SetClock) -> None:
    missing = parse_resource_id(f"{GROUP}/providers/Microsoft.Compute/galleries/none/images/web")
    orphans: list[Callable[[], object]] = [
        lambda: service.create_definition(store, definition(id=missing), actor=ANA),
        lambda: lifecycle.begin_version(
            store, clock, draft(id=missing.child("versions", "1.0.0")), build_id="b", actor=ANA
        ),
        lambda: service.list_versions(store, missing),
        lambda: service.list_definitions(store, parse_resource_id(str(missing.parent))),
    ]
    for attempt in orphans:
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert caught.value.code == "ParentResourceNotFound"
        assert "Can not perform requested operation on nested resource" in caught.value.message


def test_parents_outlive_their_children(store: StoredGalleries, clock: SetClock) -> None:
    publish(store, clock, "1.0.0")
    parents: list[Callable[[], None]] = [
        lambda: service.delete_gallery(store, GALLERY, actor=ANA),
        lambda: service.delete_definition(store, DEFINITION, actor=ANA),
    ]
    for delete in parents:
        with pytest.raises(ConflictError) as caught:
            delete()
        assert caught.value.message == "Can not delete resource before nested resources are deleted."
        assert caught.value.code == "CannotDeleteResource"
    lifecycle.delete_version(store, clock, version_id("1.0.0"), actor=ANA)
    service.delete_definition(store, DEFINITION, actor=ANA)
    service.delete_gallery(store, GALLERY, actor=ANA)
    assert service.list_galleries(store, "s1") == []


def test_a_begun_version_is_there_but_never_latest(store: StoredGalleries, clock: SetClock) -> None:
    begun = lifecycle.begin_version(store, clock, draft(), build_id="b-1", actor=ANA)
    assert begun.provisioning_state is ProvisioningState.CREATING
    assert begun.publishing.exclude_from_latest
    assert begun.publishing.published_date is None
    with pytest.raises(NotFoundError, match="There is no latest image version exists for"):
        latest_name(store)
    with pytest.raises(ConflictError, match="expected Succeeded"):
        lifecycle.promote(store, clock, begun.id, actor=ANA)


def test_a_completed_version_is_latest_with_all_its_evidence(store: StoredGalleries, clock: SetClock) -> None:
    made = publish(store, clock, "1.0.0")
    assert made.provisioning_state is ProvisioningState.SUCCEEDED
    assert made.publishing.published_date == clock.instant
    assert not made.publishing.exclude_from_latest
    assert [(r.region, r.state) for r in made.replication] == [
        ("East US", RegionState.COMPLETED),
        ("lab", RegionState.COMPLETED),
    ]
    assert made.evidence == evidence("b-1.0.0")
    assert made.storage.os_disk is not None
    assert made.storage.os_disk.size_gib == 4
    assert latest_name(store, "East US") == "1.0.0"
    assert service.show_version(store, made.id) == made


def test_a_completed_version_is_excluded_when_the_template_asks(
    store: StoredGalleries, clock: SetClock
) -> None:
    publish(store, clock, "1.0.0")
    publish(store, clock, "1.0.1", excluded=True)
    assert latest_name(store) == "1.0.0"
    assert service.show_version(store, version_id("1.0.0")).tags == {}
    lifecycle.promote(store, clock, version_id("1.0.1"), actor=ANA)
    assert latest_name(store) == "1.0.1"
    assert service.show_version(store, version_id("1.0.0")).tags == {
        "aged": "2026-11-26",
        "supersededBy": "1.0.1",
    }


def test_beginning_and_completing_again_change_nothing(
    store: StoredGalleries, clock: SetClock, resources: ResourceStore
) -> None:
    lifecycle.begin_version(store, clock, draft(), build_id="b-1", disk_digest=DISK, actor=ANA)

    def both() -> ImageVersion:
        lifecycle.begin_version(store, clock, draft(), build_id="b-1", disk_digest=DISK, actor=ANA)
        return lifecycle.complete_version(
            store, clock, version_id("1.0.0"), evidence=evidence(), exclude_from_latest=False, actor=ANA
        )

    first = both()
    changes = len(resources.changes(0))
    clock.instant += timedelta(days=1)
    assert both() == first
    assert len(resources.changes(0)) == changes


def test_a_version_that_exists_with_other_content_is_refused(store: StoredGalleries, clock: SetClock) -> None:
    lifecycle.begin_version(store, clock, draft(), build_id="b-1", actor=ANA)
    with pytest.raises(ConflictError, match="being made by b-1"):
        lifecycle.begin_version(store, clock, draft(), build_id="b-2", actor=ANA)
    lifecycle.complete_version(
        store, clock, version_id("1.0.0"), evidence=evidence(), exclude_from_latest=False, actor=ANA
    )
    for build_id, digest in (("b-2", OTHER_DISK), ("b-2", None), ("b-1", OTHER_DISK)):
        with pytest.raises(ConflictError, match="published with other content"):
            lifecycle.begin_version(store, clock, draft(), build_id=build_id, disk_digest=digest, actor=ANA)
    same = lifecycle.begin_version(store, clock, draft(), build_id="b-2", disk_digest=DISK, actor=ANA)
    assert same.provisioning_state is ProvisioningState.SUCCEEDED


def test_what_was_not_begun_so_is_not_completed(store: StoredGalleries, clock: SetClock) -> None:
    def complete(made: Evidence, **members: Any) -> None:
        lifecycle.complete_version(
            store, clock, version_id("1.0.0"), evidence=made, exclude_from_latest=False, actor=ANA, **members
        )

    with pytest.raises(NotFoundError):
        complete(evidence())
    lifecycle.begin_version(store, clock, draft(), build_id="b-1", disk_digest=DISK, actor=ANA)
    with pytest.raises(ConflictError, match="not begun by build b-2"):
        complete(evidence("b-2"))
    with pytest.raises(ConflictError, match="was begun for disk"):
        complete(evidence(disk_digest=OTHER_DISK))
    with pytest.raises(InvalidInputError, match="digest of its disk"):
        complete(evidence(disk_digest=None))
    with pytest.raises(InvalidInputError, match="no target region"):
        complete(evidence(), replicated=["mars"])
    lifecycle.fail_version(store, version_id("1.0.0"), build_id="b-1", actor=ANA)
    with pytest.raises(ConflictError, match="expected Creating"):
        complete(evidence())


def test_a_failed_version_can_be_begun_again_by_anyone(store: StoredGalleries, clock: SetClock) -> None:
    lifecycle.begin_version(store, clock, draft(), build_id="b-1", actor=ANA)
    with pytest.raises(ConflictError):
        lifecycle.fail_version(store, version_id("1.0.0"), build_id="b-2", actor=ANA)
    failed = lifecycle.fail_version(store, version_id("1.0.0"), build_id="b-1", actor=ANA)
    assert failed.provisioning_state is ProvisioningState.FAILED
    again = lifecycle.begin_version(store, clock, draft(), build_id="b-2", actor=ANA)
    assert again.provisioning_state is ProvisioningState.CREATING
    assert again.evidence == Evidence(build_id="b-2")


def test_an_abandoned_version_is_gone_and_a_published_one_cannot_be(
    store: StoredGalleries, clock: SetClock
) -> None:
    lifecycle.begin_version(store, clock, draft(), build_id="b-1", actor=ANA)
    lifecycle.abandon_version(store, version_id("1.0.0"), build_id="b-1", actor=ANA)
    lifecycle.abandon_version(store, version_id("1.0.0"), build_id="b-1", actor=ANA)
    assert service.list_versions(store, DEFINITION) == []
    publish(store, clock, "1.0.0")
    with pytest.raises(ConflictError):
        lifecycle.abandon_version(store, version_id("1.0.0"), build_id="b-1.0.0", actor=ANA)


def test_completion_and_aging_are_one_transaction(
    store: StoredGalleries, clock: SetClock, resources: ResourceStore
) -> None:
    publish(store, clock, "1.0.0")
    lifecycle.begin_version(store, clock, draft("1.0.1"), build_id="b-2", actor=ANA)
    # A sibling that cannot be read stops the marking, and so must take the completion back with it.
    broken = version_id("0.9.0")
    resources.put(
        ResourceDraft(id=str(broken), type=broken.type, name="0.9.0", properties={"x": 1}), actor="someone"
    )
    with pytest.raises(CorruptError):
        lifecycle.complete_version(
            store,
            clock,
            version_id("1.0.1"),
            evidence=evidence("b-2"),
            exclude_from_latest=False,
            actor=ANA,
        )
    begun = store.version(version_id("1.0.1"))
    assert begun is not None
    assert begun.provisioning_state is ProvisioningState.CREATING


def test_withdrawn_version_is_no_longer_latest_and_still_found_by_name(
    store: StoredGalleries, clock: SetClock
) -> None:
    publish(store, clock, "1.0.0")
    publish(store, clock, "1.0.1")
    assert "aged" in service.show_version(store, version_id("1.0.0")).tags
    lifecycle.withdraw(store, clock, version_id("1.0.1"), actor=ANA)
    assert latest_name(store) == "1.0.0"
    assert service.show_version(store, version_id("1.0.0")).tags == {}
    named = service.resolve_image(store, version_id("1.0.1"), region="eastus", clock=clock)
    assert named.id.name == "1.0.1"


def test_images_are_resolved_by_definition_latest_or_name(store: StoredGalleries, clock: SetClock) -> None:
    publish(store, clock, "1.0.0")
    publish(store, clock, "1.0.1")
    for image_id, name in (
        (DEFINITION, "1.0.1"),
        (version_id("Latest"), "1.0.1"),
        (version_id("1.0.0"), "1.0.0"),
    ):
        assert service.resolve_image(store, image_id, region="eastus", clock=clock).id.name == name
    with pytest.raises(NotFoundError, match="is not available in mars region"):
        service.resolve_image(store, version_id("1.0.0"), region="mars", clock=clock)
    with pytest.raises(NotFoundError):
        service.resolve_image(store, version_id("3.0.0"), region="eastus", clock=clock)
    with pytest.raises(InvalidInputError, match="expected an image of a gallery"):
        service.resolve_image(store, GALLERY, region="eastus", clock=clock)


def test_a_region_has_a_version_as_latest_once_it_is_replicated(
    store: StoredGalleries, clock: SetClock
) -> None:
    publish(store, clock, "1.0.0")
    publish(store, clock, "1.0.1", replicated=["eastus"])
    assert (latest_name(store), latest_name(store, "lab")) == ("1.0.1", "1.0.0")
    done = RegionReplication(region="LAB", state=RegionState.COMPLETED, progress=100)
    lifecycle.record_replication(store, version_id("1.0.1"), done, actor=ANA)
    assert latest_name(store, "lab") == "1.0.1"
    with pytest.raises(InvalidInputError, match="no target region"):
        lifecycle.record_replication(store, version_id("1.0.1"), replace(done, region="mars"), actor=ANA)


def test_updating_regions_starts_their_replication_and_keeps_the_others(
    store: StoredGalleries, clock: SetClock
) -> None:
    made = publish(store, clock, "1.0.0")
    regions = (TargetRegion(name="eastus"), TargetRegion(name="westus"))
    changed = lifecycle.update_version(
        store,
        clock,
        replace(made, publishing=replace(made.publishing, target_regions=regions)),
        actor=ANA,
    )
    assert [(r.region, r.state) for r in changed.replication] == [
        ("East US", RegionState.COMPLETED),
        ("westus", RegionState.REPLICATING),
    ]
    with pytest.raises(PreconditionFailedError):
        lifecycle.update_version(store, clock, made, actor=ANA)
    with pytest.raises(ConflictError, match=r"storageProfile\.source"):
        lifecycle.update_version(
            store, clock, replace(changed, storage=StorageProfile(source_id="/other")), actor=ANA
        )


def test_deletion_is_blocked_before_the_end_of_life(store: StoredGalleries, clock: SetClock) -> None:
    end = clock.instant + timedelta(days=30)
    publishing = PublishingProfile(target_regions=(TargetRegion(name="eastus"),), end_of_life_date=end)
    publish(
        store,
        clock,
        "1.0.0",
        publishing=publishing,
        safety=SafetyProfile(block_deletion_before_end_of_life=True),
    )
    with pytest.raises(ConflictError) as caught:
        lifecycle.delete_version(store, clock, version_id("1.0.0"), actor=ANA)
    assert caught.value.code == "DeleteGalleryImageVersionBlockedBeforeEndOfLife"
    clock.instant = end
    lifecycle.delete_version(store, clock, version_id("1.0.0"), actor=ANA)
    assert store.versions(DEFINITION) == []


def test_deleting_the_newest_makes_the_one_below_latest_again(
    store: StoredGalleries, clock: SetClock
) -> None:
    publish(store, clock, "1.0.0")
    publish(store, clock, "1.0.1")
    lifecycle.delete_version(store, clock, version_id("1.0.1"), actor=ANA)
    assert latest_name(store) == "1.0.0"
    assert service.show_version(store, version_id("1.0.0")).tags == {}


def test_a_version_being_made_is_not_deleted(store: StoredGalleries, clock: SetClock) -> None:
    lifecycle.begin_version(store, clock, draft(), build_id="b-1", actor=ANA)
    with pytest.raises(ConflictError, match="being made"):
        lifecycle.delete_version(store, clock, version_id("1.0.0"), actor=ANA)


def test_a_soft_deleted_version_can_be_restored_until_it_is_purged(
    store: StoredGalleries, clock: SetClock
) -> None:
    gallery = service.show_gallery(store, GALLERY)
    service.create_gallery(
        store, replace(gallery, soft_delete_policy=SoftDeletePolicy(enabled=True)), actor=ANA
    )
    publish(store, clock, "1.0.0")
    name = version_id("1.0.0")
    lifecycle.delete_version(store, clock, name, actor=ANA)
    with pytest.raises(NotFoundError):
        service.show_version(store, name)
    assert service.list_versions(store, DEFINITION) == []
    assert [v.image_state for v in service.list_soft_deleted(store, DEFINITION)] == [ImageState.SOFT_DELETED]
    with pytest.raises(NotFoundError, match="no latest"):
        latest_name(store)
    assert service.resolve_image(store, name, region="eastus", clock=clock).id == name
    with pytest.raises(ConflictError, match="soft-deleted"):
        lifecycle.begin_version(store, clock, draft(), build_id="b-9", actor=ANA)
    with pytest.raises(ConflictError, match="nested"):
        service.delete_definition(store, DEFINITION, actor=ANA)
    clock.instant += timedelta(days=8)
    with pytest.raises(NotFoundError):
        service.resolve_image(store, name, region="eastus", clock=clock)
    lifecycle.restore_version(store, clock, name, actor=ANA)
    assert latest_name(store) == "1.0.0"
    lifecycle.delete_version(store, clock, name, actor=ANA)
    lifecycle.purge_version(store, name, actor=ANA)
    with pytest.raises(NotFoundError):
        lifecycle.restore_version(store, clock, name, actor=ANA)
    publish(store, clock, "1.0.1")
    lifecycle.delete_version(store, clock, version_id("1.0.1"), bypass_soft_delete=True, actor=ANA)
    assert store.versions(DEFINITION) == []


def test_versions_are_listed_by_number(store: StoredGalleries, clock: SetClock) -> None:
    for name in ("1.10.0", "1.9.0", "0.1.0"):
        publish(store, clock, name)
    names = [version.id.name for version in service.list_versions(store, DEFINITION)]
    assert names == ["0.1.0", "1.9.0", "1.10.0"]


def test_one_of_two_builds_that_begin_at_once_gets_the_name(store: StoredGalleries, clock: SetClock) -> None:
    barrier = threading.Barrier(4)
    outcomes: list[str] = []

    def begin(number: int) -> None:
        barrier.wait(TIMEOUT_SECONDS)
        try:
            lifecycle.begin_version(store, clock, draft(), build_id=f"b-{number}", actor=ANA)
            outcomes.append("begun")
        except Error as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    assert sorted(outcomes) == ["Conflict", "Conflict", "Conflict", "begun"]


def test_versions_published_at_once_leave_one_that_is_not_aged(
    store: StoredGalleries, clock: SetClock
) -> None:
    names = [f"1.0.{number}" for number in range(4)]
    for name in names:
        lifecycle.begin_version(store, clock, draft(name), build_id=name, actor=ANA)
    barrier = threading.Barrier(len(names))

    def complete(name: str) -> None:
        barrier.wait(TIMEOUT_SECONDS)
        lifecycle.complete_version(
            store, clock, version_id(name), evidence=evidence(name), exclude_from_latest=False, actor=ANA
        )

    threads = [threading.Thread(target=complete, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    fresh = [v.id.name for v in service.list_versions(store, DEFINITION) if "aged" not in v.tags]
    assert fresh == ["1.0.3"]
    assert latest_name(store) == "1.0.3"


def test_each_write_names_who_made_it(
    store: StoredGalleries, clock: SetClock, resources: ResourceStore
) -> None:
    publish(store, clock, "1.0.0")
    changes = [c for c in resources.changes(0) if c.resource_id == str(version_id("1.0.0"))]
    assert [(c.operation, c.actor) for c in changes] == [
        (ChangeOperation.CREATE, ANA),
        (ChangeOperation.UPDATE, ANA),
    ]
