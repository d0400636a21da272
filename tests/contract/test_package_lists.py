"""What apt fetched for one build of a template is there for the next one, and for no other template."""

from pathlib import Path

import pytest

from goldsmith.disk.sandbox import Sandbox, candidates
from goldsmith.publishing.packagelists import PackageLists


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    found = next((one for one in candidates() if one.problem(tmp_path / "probe") is None), None)
    if found is None:
        pytest.skip("no sandbox works on this host")
    return found


def test_lists_of_one_build_are_lent_to_the_next(tmp_path: Path, sandbox: Sandbox) -> None:
    lists = PackageLists(tmp_path, "web", sandbox)
    first = tmp_path / "first"
    bound = lists.lend(first)
    assert (bound.host, bound.read_only, list(first.iterdir())) == (first, False, [])
    (first / "example.org_Packages").write_text("Package: a\n")
    (first / "lock").touch()
    (first / "partial").mkdir(mode=0o700)
    lists.keep(first)
    assert not first.exists()
    second = tmp_path / "second"
    lists.lend(second)
    assert {item.name: item.read_text() for item in second.iterdir()} == {
        "example.org_Packages": "Package: a\n"
    }


def test_another_template_gets_none_of_them(tmp_path: Path, sandbox: Sandbox) -> None:
    lent = tmp_path / "lent"
    web = PackageLists(tmp_path, "web", sandbox)
    web.lend(lent)
    (lent / "example.org_Packages").touch()
    web.keep(lent)
    PackageLists(tmp_path, "database", sandbox).lend(lent)
    assert list(lent.iterdir()) == []


def test_what_a_step_replaces_or_drops_follows_and_an_emptied_directory_changes_nothing(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    lists = PackageLists(tmp_path, "web", sandbox)

    def step(*, write: dict[str, str], remove: tuple[str, ...] = ()) -> dict[str, str]:
        place = tmp_path / "step"
        lists.lend(place)
        seen = {item.name: item.read_text() for item in place.iterdir()}
        for name in remove:
            (place / name).unlink()
        for name, text in write.items():
            # As apt does it: a new file takes the name of the old one.
            (place / f"{name}.new").write_text(text)
            (place / f"{name}.new").rename(place / name)
        lists.keep(place)
        return seen

    assert step(write={"a": "1", "b": "1"}) == {}
    assert step(write={"a": "2"}, remove=("b",)) == {"a": "1", "b": "1"}
    assert step(write={}, remove=("a",)) == {"a": "2"}
    assert step(write={}) == {"a": "2"}


def test_a_step_that_fails_leaves_the_lists_as_they_were(tmp_path: Path, sandbox: Sandbox) -> None:
    lists = PackageLists(tmp_path, "web", sandbox)
    place = tmp_path / "step"
    lists.lend(place)
    (place / "a").write_text("1")
    lists.keep(place)
    lists.lend(place)
    (place / "a").unlink()
    lists.drop(place)
    lists.lend(place)
    assert (place / "a").read_text() == "1"
