"""The marketplace's use cases on a real store of captures, with a mirror and a builder in memory."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from goldsmith.disk.debs import DebStore
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.clock import SystemClock
from goldsmith.kernel.errors import (
    CanceledError,
    ConflictError,
    CorruptError,
    NotFoundError,
    ProgramError,
    UnavailableError,
    UnsupportedError,
)
from goldsmith.marketplace import disks, service
from goldsmith.marketplace.catalogue import OFFERS
from goldsmith.marketplace.lock import read_lock
from goldsmith.marketplace.model import Capture, SourceKind, parse_urn
from goldsmith.marketplace.ports import Progress, Stage
from goldsmith.marketplace.store import CaptureStore
from tests.contract.marketplace_fakes import FakeBuilder, FakeMirror, write_system
from tests.contract.marketplace_mirror import make_deb

LATEST = parse_urn("debian:debian-12:12:latest")
VERSION_ID = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Compute"
    "/galleries/g/images/web/versions/1.0.0"
)


@dataclass
class World:
    state: Path
    mirror: FakeMirror
    builder: FakeBuilder
    marketplace: service.Marketplace

    def visible(self) -> list[str]:
        bases = self.state / "bases"
        return sorted(path.name for path in bases.iterdir() if path.name[0] != ".") if bases.exists() else []

    def in_work(self) -> list[str]:
        work = self.state / "bases/.work"
        return [path.name for path in work.iterdir() if path.suffix != ".lock"] if work.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> World:
    state = tmp_path / "state"
    mirror = FakeMirror(debs=(DebStore(state / "debs").add(make_deb(tmp_path, "extra")),))
    builder = FakeBuilder()
    marketplace = service.Marketplace(
        offers=OFFERS, store=CaptureStore(state), mirror=mirror, builder=builder, clock=SystemClock()
    )
    return World(state=state, mirror=mirror, builder=builder, marketplace=marketplace)


def extract(disk: Path, target: Path) -> None:
    """Stands for the reader of disk images: the tree depends on the disk's content."""
    write_system(target, disk.read_text())


def test_latest_is_the_mirrors_version_at_this_moment(world: World) -> None:
    first = service.resolve(world.marketplace, LATEST)
    assert str(first.urn) == "Debian:debian-12:12-gen2:0.20261103.120000"
    assert not first.captured
    world.mirror.date += timedelta(hours=1)
    assert str(service.resolve(world.marketplace, LATEST).urn).endswith(":0.20261103.130000")


def test_a_capture_is_made_once_and_found_again_without_the_mirror(world: World) -> None:
    made = service.capture(world.marketplace, LATEST)
    assert (made.os_version, made.architecture, made.package_count) == ("12.15", "x64", 1)
    assert world.visible() == [made.digest.removeprefix("sha256:")]
    assert world.in_work() == []
    assert service.capture(world.marketplace, LATEST) == made
    world.mirror.reachable = False
    assert made.urn is not None
    assert service.capture(world.marketplace, made.urn) == made
    assert service.resolve(world.marketplace, made.urn).captured
    assert world.builder.builds == 1
    service.verify(world.marketplace, made)


def test_latest_without_the_mirror_names_the_version_to_pin(world: World) -> None:
    world.mirror.reachable = False
    with pytest.raises(UnavailableError) as raised:
        service.capture(world.marketplace, LATEST)
    assert "pin" not in (raised.value.hint or "")
    world.mirror.reachable = True
    service.capture(world.marketplace, LATEST)
    world.mirror.date += timedelta(days=1)
    newest = service.capture(world.marketplace, LATEST)
    world.mirror.reachable = False
    with pytest.raises(UnavailableError) as raised:
        service.resolve(world.marketplace, LATEST)
    assert newest.identity in (raised.value.hint or "")


def test_versions_are_the_captured_ones_and_the_mirrors(world: World) -> None:
    made = service.capture(world.marketplace, LATEST)
    world.mirror.date += timedelta(days=1)
    rows = service.list_versions(world.marketplace, LATEST)
    assert [(row.urn.version, row.capture, row.on_mirror) for row in rows] == [
        ("0.20261103.120000", made, False),
        ("0.20261104.120000", None, True),
    ]
    world.mirror.reachable = False
    assert [row.capture for row in service.list_versions(world.marketplace, LATEST)] == [made]


def test_a_version_nobody_has_is_not_found_and_the_nearest_is_named(world: World) -> None:
    with pytest.raises(NotFoundError) as raised:
        service.capture(world.marketplace, parse_urn("Debian:debian-12:12:0.20250101.0"))
    assert "0.20261103.120000" in (raised.value.hint or "")


def test_show_tells_the_capture_of_what_is_meant(world: World) -> None:
    assert service.show(world.marketplace, LATEST).capture is None
    made = service.capture(world.marketplace, LATEST)
    details = service.show(world.marketplace, LATEST)
    assert (details.capture, details.urn, details.sku.hyper_v_generation) == (made, made.urn, "V2")


def test_a_mirror_that_moves_on_meanwhile_gives_the_version_it_then_has(world: World) -> None:
    def move_on(progress: Progress) -> None:
        if progress.stage is Stage.INDEX:
            world.mirror.date += timedelta(days=1)

    made = service.capture(world.marketplace, LATEST, on_progress=move_on)
    assert made.identity.endswith(":0.20261104.120000")


def test_a_version_that_was_asked_for_exactly_is_never_another(world: World) -> None:
    exact = service.resolve(world.marketplace, LATEST).urn

    def move_on(progress: Progress) -> None:
        if progress.stage is Stage.INDEX:
            world.mirror.date += timedelta(days=1)

    with pytest.raises(NotFoundError):
        service.capture(world.marketplace, exact, on_progress=move_on)
    assert world.visible() == []


@pytest.mark.parametrize(
    "failure",
    [
        ProgramError("mmdebstrap ended with exit status 25", argv=["mmdebstrap"], returncode=25),
        CanceledError("enough"),
    ],
)
def test_a_failed_capture_leaves_nothing_and_the_next_works(world: World, failure: Exception) -> None:
    world.builder.failure = failure
    with pytest.raises(type(failure)):
        service.capture(world.marketplace, LATEST)
    assert world.visible() == []
    assert world.in_work() == []
    world.builder.failure = None
    service.verify(world.marketplace, service.capture(world.marketplace, LATEST))


def test_of_two_captures_at_once_one_works_and_the_other_waits(world: World) -> None:
    waiting = Event()
    world.builder.pause = lambda: None if waiting.wait(60) else pytest.fail("the second never waited")

    def told(progress: Progress) -> None:
        if progress.stage is Stage.WAIT:
            waiting.set()

    def one() -> Capture:
        return service.capture(world.marketplace, LATEST, on_progress=told)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(one), pool.submit(one)
        assert first.result(120) == second.result(120)
    assert (world.builder.builds, world.builder.concurrent_max) == (1, 1)


def test_leftovers_of_a_killed_capture_are_swept_but_not_those_of_a_living_one(world: World) -> None:
    store = world.marketplace.store
    dead = store.new_work("Debian:debian-12:12-gen2:latest")
    (dead / "root").mkdir()
    assert store.list() == ()
    living = Event()
    done = Event()
    swept: list[Path] = []

    def look() -> None:
        living.set()
        swept.extend(service.sweep(world.marketplace))
        done.set()

    world.builder.pause = look
    service.capture(world.marketplace, parse_urn("Debian:debian-13:13:latest"))
    assert done.is_set()
    assert swept == [dead]
    assert world.in_work() == []


def test_a_lock_makes_the_same_base_again_with_the_mirror_gone(world: World, tmp_path: Path) -> None:
    made = service.capture(world.marketplace, LATEST)
    assert made.lock is not None
    lock = read_lock(made.lock)
    assert (lock.tree_digest, lock.digest) == (made.digest, made.source_digest)
    elsewhere = service.Marketplace(
        offers=OFFERS,
        store=CaptureStore(tmp_path / "elsewhere"),
        mirror=FakeMirror(reachable=False),
        builder=world.builder,
        clock=SystemClock(),
    )
    again = service.capture_from_lock(elsewhere, made.lock)
    assert (again.digest, again.identity, again.source_digest) == (
        made.digest,
        made.identity,
        made.source_digest,
    )


def test_a_changed_base_is_named_and_made_again_from_its_lock(world: World) -> None:
    made = service.capture(world.marketplace, LATEST)
    assert made.lock is not None
    assert service.capture_from_lock(world.marketplace, made.lock) == made
    assert world.builder.builds == 1
    (made.root / "etc/content").write_text("tampered")
    with pytest.raises(CorruptError, match="etc/content") as raised:
        service.verify(world.marketplace, made)
    assert "--from-lock" in (raised.value.hint or "")
    again = service.capture_from_lock(world.marketplace, made.lock)
    assert again.digest == made.digest
    service.verify(world.marketplace, again)
    assert world.in_work() == []


def test_a_lock_that_gives_another_tree_is_refused(world: World, tmp_path: Path) -> None:
    made = service.capture(world.marketplace, LATEST)
    assert made.lock is not None
    changed = tmp_path / "lock.json"
    changed.write_text(made.lock.read_text().replace(made.digest, "sha256:" + "0" * 64))
    world.marketplace.store.remove(made)
    with pytest.raises(CorruptError, match="gave a tree"):
        service.capture_from_lock(world.marketplace, changed)
    assert world.visible() == []


def test_a_lock_that_contradicts_a_captured_version_is_refused(world: World, tmp_path: Path) -> None:
    made = service.capture(world.marketplace, LATEST)
    assert made.lock is not None
    changed = tmp_path / "lock.json"
    changed.write_text(made.lock.read_text().replace('"1.0"', '"1.1"'))
    with pytest.raises(ConflictError, match="already captured"):
        service.capture_from_lock(world.marketplace, changed)


def test_a_lock_of_another_recipe_is_refused(world: World) -> None:
    made = service.capture(world.marketplace, LATEST)
    assert made.lock is not None
    (made.root / "etc/content").write_text("tampered")
    world.builder.recipe = "sha256:" + "b" * 64
    with pytest.raises(ConflictError, match="another recipe"):
        service.capture_from_lock(world.marketplace, made.lock)


@pytest.mark.parametrize("text", ["", "{}", '{"format": "goldsmith-lock-2"}', "[1]", "not json"])
def test_what_is_no_lock_is_refused(world: World, tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(CorruptError, match="is not a lock"):
        service.capture_from_lock(world.marketplace, path)


def test_a_disk_file_is_captured_once_per_content(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "Disk.raw"
    disk.write_text("one")
    first = disks.capture_disk_file(world.marketplace, disk, extract=extract)
    assert (first.kind, first.identity, first.epoch) == (SourceKind.MANAGED_IMAGE, str(disk), 1_700_000_000)
    assert first.urn is None
    assert disks.capture_disk_file(world.marketplace, disk, extract=extract) == first
    disk.write_text("two")
    second = disks.capture_disk_file(world.marketplace, disk, extract=extract)
    assert second.digest != first.digest
    service.verify(world.marketplace, first)
    assert set(service.list_captures(world.marketplace)) == {first, second}


def test_equal_trees_of_two_disks_are_two_captures(world: World, tmp_path: Path) -> None:
    disk, copy = tmp_path / "a.raw", tmp_path / "b.raw"
    disk.write_text("one")
    copy.write_text("one")
    first = disks.capture_disk_file(world.marketplace, disk, extract=extract)
    second = disks.capture_disk_file(world.marketplace, copy, extract=extract)
    assert first.digest == second.digest
    assert first.root != second.root
    assert len(service.list_captures(world.marketplace)) == 2


def test_an_image_version_never_changes(world: World, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_text("one")
    made = disks.capture_image_version(world.marketplace, VERSION_ID, disk, extract=extract)
    again = disks.capture_image_version(world.marketplace, VERSION_ID.upper(), disk, extract=extract)
    assert again == made
    disk.write_text("two")
    with pytest.raises(ConflictError):
        disks.capture_image_version(world.marketplace, VERSION_ID, disk, extract=extract)


def test_a_disk_that_is_absent_or_holds_no_system_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        disks.capture_disk_file(world.marketplace, tmp_path / "none.raw", extract=extract)
    disk = tmp_path / "disk.raw"
    disk.write_text("one")

    def nothing(_: Path, target: Path) -> None:
        target.mkdir()

    with pytest.raises(UnsupportedError):
        disks.capture_disk_file(world.marketplace, disk, extract=nothing)
    assert world.visible() == []
    assert world.in_work() == []


def test_a_waiting_capture_can_be_canceled(world: World) -> None:
    cancel = CancelFlag()

    def give_up(progress: Progress) -> None:
        if progress.stage is Stage.WAIT:
            cancel.set("enough")

    def second() -> None:
        with pytest.raises(CanceledError):
            service.capture(world.marketplace, LATEST, cancel=cancel, on_progress=give_up)

    with ThreadPoolExecutor(1) as pool:
        world.builder.pause = lambda: pool.submit(second).result(60)
        service.capture(world.marketplace, LATEST)


def test_links_in_a_disks_tree_do_not_lead_out_of_it(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("ID=debian\nVERSION_ID=99\n")
    disk = tmp_path / "disk.raw"
    disk.write_text("one")

    def hostile(source: Path, target: Path) -> None:
        extract(source, target)
        for name in ("etc/os-release", "etc/debian_version"):
            (target / name).unlink()
            (target / name).symlink_to(tmp_path / "secret")

    assert disks.capture_disk_file(world.marketplace, disk, extract=hostile).os_version == ""
