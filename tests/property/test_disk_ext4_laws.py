"""Laws of trees that become ext4, over generated trees."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldsmith.disk.assemble import plan_assembly, write_root
from goldsmith.disk.ext4_nodes import read_content
from goldsmith.disk.tree import compare, read_manifest
from goldsmith.disk.unpack import dump_ext
from goldsmith.kernel import proc

MIB = 1 << 20
EPOCH = 1764000000
FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# debugfs, which reads the trees back, knows no escapes for line ends and quotes.
NAMES = st.text(st.sampled_from("aAzZ09._-é漢+ "), min_size=1, max_size=60).filter(
    lambda name: name.strip() == name and name.strip(".") != "" and name != "lost+found"
)
DATA = st.lists(
    st.tuples(st.sampled_from([b"\0", b"x", b"\xff"]), st.sampled_from([1, 100, 4095, 4096, 65536, 70000])),
    max_size=6,
).map(lambda parts: b"".join(byte * count for byte, count in parts))
# debugfs takes no others; the kernel reads some in the contract tests.
TIMES = st.integers(0, 2**31 - 1)
LEAVES = st.one_of(
    st.tuples(st.just("file"), DATA, st.integers(0, 0o7777), TIMES),
    st.tuples(st.just("link"), st.text("abc/.", min_size=1, max_size=200), st.just(0), TIMES),
    st.tuples(st.just("same"), st.just(b""), st.just(0), TIMES),
)
TREES = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=6),
    lambda below: st.dictionaries(NAMES, LEAVES | below, max_size=6),
    max_leaves=20,
)

pytestmark = pytest.mark.skipif(shutil.which("debugfs") is None, reason="debugfs is not installed")


def make(root: Path, tree: dict[str, object], files: list[Path]) -> None:
    root.mkdir()
    for name, item in tree.items():
        place = root / name
        if isinstance(item, dict):
            make(place, item, files)
            os.utime(place, (EPOCH, EPOCH))
            continue
        assert isinstance(item, tuple)
        kind, value, mode, mtime = item
        match kind:
            case "file":
                place.write_bytes(value)
                place.chmod(mode | stat.S_IRUSR)
                files.append(place)
            case "link":
                place.symlink_to(value)
            case "same" if files:
                os.link(files[-1], place)
            case _:
                place.touch()
        os.utime(place, (mtime, mtime), follow_symlinks=False)


def make_disk(tree: Path, disk: Path) -> int:
    plan = plan_assembly("seed", content_bytes=0, size_bytes=200 * MIB, epoch=EPOCH)
    with disk.open("wb") as file:
        file.truncate(plan.size_bytes)
    write_root(read_content(tree), disk, plan)
    return plan.root.offset


@FEW
@given(TREES)
def test_tree_is_read_back_from_a_whole_file_system(tree: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "tree", tree, [])
        offset = make_disk(folder / "tree", folder / "disk")
        checked = proc.run(
            ["e2fsck", "-fn", f"{folder}/disk?offset={offset}"], timeout_seconds=300, check=False
        )
        assert checked.returncode == 0, checked.text
        for made in ("back", "scratch"):
            (folder / made).mkdir()
        dump_ext(folder / "disk", offset, folder / "back", folder / "scratch")
        (folder / "back/lost+found").rmdir()
        found = list(compare(read_manifest(folder / "tree"), read_manifest(folder / "back")))
        assert [line for line in found if not line.startswith(". has another")] == []


@FEW
@given(TREES)
def test_tree_and_its_copy_give_the_same_bytes(tree: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "tree", tree, [])
        proc.run(
            ["cp", "-a", "--sparse=always", folder / "tree", folder / "copy"],
            timeout_seconds=300,
        )
        make_disk(folder / "tree", folder / "one")
        make_disk(folder / "copy", folder / "two")
        proc.run(["cmp", folder / "one", folder / "two"], timeout_seconds=300)
