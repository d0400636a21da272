"""What holds of every mirror: the fake one, and apt with a signed mirror on loopback."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from goldsmith.disk.bootstrap import Variant
from goldsmith.disk.debs import DebStore
from goldsmith.kernel.cancel import CancelFlag, NeverCancel
from goldsmith.kernel.errors import CanceledError, CorruptError, NotFoundError, UnavailableError
from goldsmith.kernel.proc import which
from goldsmith.marketplace.apt import AptMirror
from goldsmith.marketplace.catalogue import OFFERS
from goldsmith.marketplace.logic import version_of
from goldsmith.marketplace.model import ReleaseFile, Sku
from goldsmith.marketplace.ports import Fetched, Mirror, Progress, Stage
from tests.contract.marketplace_fakes import FakeMirror
from tests.contract.marketplace_mirror import SignedMirror, make_deb, signed_mirror

BOOKWORM = OFFERS[0]
SKU = replace(BOOKWORM.skus[0], packages=("extra",))


@dataclass
class World:
    mirror: Mirror
    debs: DebStore
    go_away: Callable[[], None]
    move_on: Callable[[], None]
    break_signature: Callable[[], None]

    def fetch(self, sku: Sku = SKU) -> Fetched:
        return self.mirror.fetch(
            BOOKWORM, sku, wanted=lambda _: None, cancel=NeverCancel(), on_progress=lambda _: None
        )

    def releases(self) -> tuple[ReleaseFile, ...]:
        return self.mirror.releases(BOOKWORM, cancel=NeverCancel())


def fake_world(root: Path) -> World:
    debs = DebStore(root / "debs")
    fake = FakeMirror(debs=(debs.add(make_deb(root, "extra")),))

    def go_away() -> None:
        fake.reachable = False

    def move_on() -> None:
        fake.date += timedelta(hours=6)

    def break_signature() -> None:
        fake.signed = False

    return World(fake, debs, go_away, move_on, break_signature)


def apt_world(root: Path, served: SignedMirror) -> World:
    debs = DebStore(root / "debs")
    mirror = AptMirror(
        root / "apt", debs, variant=Variant.ESSENTIAL, apt_directory=served.apt_directory(root / "etc")
    )

    def move_on() -> None:
        served.date += timedelta(hours=6)
        served.publish()

    return World(mirror, debs, served.stop, move_on, lambda: served.publish(signed=False))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[SignedMirror]:
    if missing := [name for name in ("apt-get", "gpg", "dpkg-deb") if which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    with signed_mirror(tmp_path / "mirror", payload_bytes=200_000) as mirror:
        yield mirror


@pytest.fixture(params=["fake", "apt"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "fake":
        return fake_world(tmp_path)
    return apt_world(tmp_path, request.getfixturevalue("served"))


def test_the_releases_are_those_of_the_three_suites(world: World) -> None:
    releases = world.releases()
    assert [one.suite for one in releases] == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert str(version_of(releases)) == "0.20261103.120000"
    assert len({one.digest for one in releases}) == 3


def test_the_same_state_gives_the_same_releases_and_a_later_one_a_later_version(world: World) -> None:
    first = world.releases()
    assert world.releases() == first
    world.move_on()
    assert version_of(world.releases()) > version_of(first)


def test_a_mirror_that_is_gone_is_unavailable(world: World) -> None:
    world.releases()
    world.go_away()
    with pytest.raises(UnavailableError):
        world.releases()
    with pytest.raises(UnavailableError):
        world.fetch()


def test_release_files_with_no_valid_signature_are_refused(world: World) -> None:
    world.break_signature()
    with pytest.raises(CorruptError):
        world.releases()
    with pytest.raises(CorruptError):
        world.fetch()


def test_what_is_fetched_is_in_the_store_and_is_what_the_mirror_signed(world: World) -> None:
    fetched = world.fetch()
    assert fetched.releases == world.releases()
    assert "extra" in [deb.name for deb in fetched.debs]
    assert list(fetched.debs) == sorted(fetched.debs, key=lambda deb: deb.name)
    for deb in fetched.debs:
        world.debs.verify(deb)


def test_a_state_the_caller_does_not_want_is_not_fetched(world: World) -> None:
    def refuse(releases: tuple[ReleaseFile, ...]) -> None:
        raise UnavailableError(f"not {version_of(releases)}")

    with pytest.raises(UnavailableError, match=r"not 0\.20261103\.120000"):
        world.mirror.fetch(BOOKWORM, SKU, wanted=refuse, cancel=NeverCancel(), on_progress=lambda _: None)


def test_a_canceled_caller_gets_no_releases(world: World) -> None:
    cancel = CancelFlag()
    cancel.set("enough")
    with pytest.raises(CanceledError):
        world.mirror.releases(BOOKWORM, cancel=cancel)


def test_apt_chooses_essential_packages_with_their_dependencies(served: SignedMirror, tmp_path: Path) -> None:
    fetched = apt_world(tmp_path, served).fetch()
    assert [(deb.name, deb.version, deb.source) for deb in fetched.debs] == [
        ("base-one", "1.0", "base-one 1.0"),
        ("base-two", "1:2.0-3", "base-two 1:2.0-3"),
        ("extra", "1.0", "extra 1.0"),
        ("lib-one", "1.0", "one-source 9.9"),
    ]


def test_a_package_that_is_in_the_store_is_not_downloaded_again(served: SignedMirror, tmp_path: Path) -> None:
    world = apt_world(tmp_path, served)
    world.fetch(replace(SKU, packages=()))
    assert len(served.pool_requests) == 3
    world.fetch()
    assert served.pool_requests[3:] == ["extra_1.0_amd64.deb"]
    first = world.fetch()
    assert len(served.pool_requests) == 4
    assert world.fetch() == first


def test_a_package_the_mirror_does_not_have_is_not_found(served: SignedMirror, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no-such-package"):
        apt_world(tmp_path, served).fetch(replace(SKU, packages=("no-such-package",)))


def test_a_mirror_that_dies_in_mid_download_is_unavailable_and_what_came_is_kept(
    served: SignedMirror, tmp_path: Path
) -> None:
    world = apt_world(tmp_path, served)
    served.dies_after_bytes = 50_000
    with pytest.raises(UnavailableError):
        world.fetch()
    assert not list((tmp_path / "debs").glob("*")) or all(
        world.debs.path(f"sha256:{path.stem}") == path for path in (tmp_path / "debs").glob("*.deb")
    )
    served.dies_after_bytes = None
    assert len(world.fetch().debs) == 4


def test_a_package_that_was_changed_on_the_mirror_is_refused(served: SignedMirror, tmp_path: Path) -> None:
    (served.root / "debian/pool/extra_1.0_amd64.deb").write_bytes(b"x" * 200_000)
    with pytest.raises(UnavailableError):
        apt_world(tmp_path, served).fetch()


def test_a_download_tells_how_far_it_is(served: SignedMirror, tmp_path: Path) -> None:
    told: list[Progress] = []
    apt_world(tmp_path, served).mirror.fetch(
        BOOKWORM, SKU, wanted=lambda _: None, cancel=NeverCancel(), on_progress=told.append
    )
    assert told[0].stage is Stage.INDEX
    assert told[-1] == Progress(stage=Stage.DOWNLOAD, done=4, total=4)
