"""Trees of all odd things become ext4, looked at by e2fsck, debugfs and the kernel."""

import os
import shutil
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from goldsmith.disk.assemble import AssemblyPlan, plan_assembly, write_root
from goldsmith.disk.ext4_nodes import read_content
from goldsmith.disk.tree import compare, read_manifest
from goldsmith.kernel import proc
from goldsmith.kernel.cancel import CancelFlag
from goldsmith.kernel.digest import of_file
from goldsmith.kernel.errors import CanceledError, ConflictError, InvalidInputError, ProgramError

MIB = 1 << 20
EPOCH = 1764000000
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
# Version 2; owner, a user, group, mask, others: tag, permissions, id.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 7, 2**32 - 1), (2, 5, 1000), (4, 5, 2**32 - 1), (16, 5, 2**32 - 1), (32, 0, 2**32 - 1))
)
IS_ROOT = os.geteuid() == 0
NEEDS_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can mount, give files away and make devices")


def plan_of(size: int) -> AssemblyPlan:
    return plan_assembly("seed", content_bytes=0, size_bytes=size, epoch=EPOCH)


def make_disk(tree: Path, disk: Path, *, size: int = 256 * MIB) -> Path:
    plan = plan_of(size)
    with disk.open("wb") as file:
        file.truncate(plan.size_bytes)
    write_root(read_content(tree), disk, plan)
    return disk


def image(disk: Path) -> str:
    return f"{disk}?offset={plan_of(256 * MIB).root.offset}"


def debugfs(disk: Path, command: str) -> str:
    return proc.run(["debugfs", "-R", command, image(disk)], timeout_seconds=60).text


def assert_whole(disk: Path) -> None:
    result = proc.run(["e2fsck", "-fn", image(disk)], timeout_seconds=300, check=False)
    assert result.returncode == 0, result.text


@contextmanager
def mounted(disk: Path, place: Path, *, options: str) -> Iterator[Path]:
    place.mkdir()
    where = f"loop,offset={plan_of(256 * MIB).root.offset}"
    try:
        proc.run(["mount", "-t", "ext4", "-o", f"{options},{where}", disk, place], timeout_seconds=60)
    except ProgramError as error:
        pytest.skip(f"this machine mounts no ext4: {error.message}")
    try:
        yield place
    finally:
        proc.run(["umount", place], timeout_seconds=60)


def differences(tree: Path, other: Path) -> list[str]:
    """What another tree has otherwise, but for the time of its top and the lost+found of its file system."""
    found = compare(read_manifest(tree), read_manifest(other))
    return [line for line in found if line not in (". has another mtime", "lost+found was added")]


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        pytest.skip(f"the file system of the tests has no {name}: {error.strerror}")


def make_odd_tree(root: Path) -> Path:
    files = {
        "empty": b"",
        "one": b"x",
        "block": b"y" * 4096,
        "block-and-one": b"z" * 4097,
        "zeros": bytes(40 * 4096 + 17),
        "few-zeros": b"a" + bytes(14 * 4096) + b"b",
        "pieces": os.urandom(5000) + bytes(3 * MIB) + b"end",
        "é-ü-漢": "é".encode(),
        "n" * 255: b"long name",
        "deep/er/and/deeper/file": b"deep",
        "setuid": b"#!",
        "old": b"1960",
        "late": b"2040",
    }
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / os.fsdecode(b"invalid-\xff\xfe")).write_bytes(b"invalid")
    # More extents than one block of them holds: 4 KiB of data after each hole of 64 KiB.
    with (root / "many-extents").open("wb") as file:
        for number in range(700):
            file.seek(number * 17 * 4096)
            file.write(b"%d" % number * 100)
    (root / "sparse").touch()
    os.truncate(root / "sparse", 40 * MIB + 5)
    (root / "crowd").mkdir()
    for number in range(3000):
        (root / f"crowd/name-{number:05d}-{'x' * (number % 40)}").touch()
    (root / "empty-directory").mkdir()
    (root / "short-link").symlink_to("t" * 59)
    (root / "edge-link").symlink_to("t" * 60)
    (root / "long-link").symlink_to("d/" * 2000)
    os.link(root / "one", root / "deep/second-name")
    os.link(root / "one", root / "a-third-name")
    os.mkfifo(root / "fifo")
    os.mknod(root / "socket", stat.S_IFSOCK | 0o755)
    (root / "setuid").chmod(0o6755)
    (root / "crowd").chmod(0o1777)
    set_attribute(root / "one", "user.note", b"\0binary\xff")
    set_attribute(root / "block", "user.big", os.urandom(3000))
    set_attribute(root / "block", "user.small", b"fits")
    set_attribute(root / "block", "user.none", b"")
    set_attribute(root / "block", "user." + "ä" * 20, b"second" * 40)
    set_attribute(root / "deep", "system.posix_acl_default", ACL)
    set_attribute(root / "deep/er", "system.posix_acl_access", ACL)
    if IS_ROOT:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "wide", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
        set_attribute(root / "setuid", "security.capability", CAPABILITY)
        set_attribute(root / "empty", "trusted.overlay.origin", b"not for the image")
        os.chown(root / "one", 70000, 80000)
        os.chown(root / "long-link", 5, 6, follow_symlinks=False)
    for number, place in enumerate(sorted(root.rglob("*"), reverse=True)):
        time = (EPOCH - number) * 10**9 + 123456789
        os.utime(place, ns=(time, time), follow_symlinks=False)
    os.utime(root / "old", (-315619200, -315619200))
    os.utime(root / "late", (2208988800, 2208988800))
    root.chmod(0o755)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("odd") / "root"
    root.mkdir()
    return make_odd_tree(root)


@pytest.fixture(scope="module")
def disk(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_disk(tree, tmp_path_factory.mktemp("disk") / "disk.raw")


def test_file_system_of_odd_things_is_whole(disk: Path) -> None:
    assert_whole(disk)


@NEEDS_ROOT
def test_kernel_reads_what_is_in_the_tree(disk: Path, tree: Path, tmp_path: Path) -> None:
    with mounted(disk, tmp_path / "place", options="ro,noload") as place:
        assert differences(tree, place) == []
        assert os.getxattr(place / "deep", "system.posix_acl_default") == ACL
        assert os.lstat(place / "wide").st_rdev == os.makedev(259, 70000)
        assert os.lstat(place / "one").st_nlink == 3
        assert os.listxattr(place / "empty") == []
        assert place.stat().st_mtime == EPOCH
        assert sum(1 for _ in (place / "crowd").iterdir()) == 3000


@NEEDS_ROOT
def test_kernel_writes_to_it_and_leaves_it_whole(disk: Path, tmp_path: Path) -> None:
    changed = tmp_path / "disk.raw"
    proc.run(["cp", "--sparse=always", disk, changed], timeout_seconds=60)
    with mounted(changed, tmp_path / "place", options="rw") as place:
        shutil.rmtree(place / "deep")
        (place / "many-extents").unlink()
        for number in range(300):
            (place / f"crowd/new-{number}").write_bytes(b"new" * 3000)
        with (place / "sparse").open("r+b") as file:
            file.seek(20 * MIB)
            file.write(b"in the hole")
        os.setxattr(place / "block", "user.note", b"more")
        (place / "lost+found/found").touch()
    assert_whole(changed)


def test_libext2fs_reads_what_is_in_the_tree(disk: Path, tree: Path, tmp_path: Path) -> None:
    names = ["one", "block-and-one", "zeros", "few-zeros", "pieces", "many-extents", "sparse", "é-ü-漢"]
    commands = "".join(f'dump "/{name}" "{tmp_path}/{name}"\n' for name in names)
    proc.run(["debugfs", "-f", "-", image(disk)], input=commands.encode(), timeout_seconds=60)
    for name in names:
        assert (tmp_path / name).read_bytes() == (tree / name).read_bytes(), name


def test_times_are_those_of_modification_in_whole_seconds(disk: Path) -> None:
    # The extra halves of 1960 and 2040 hold nothing but the bits that continue the seconds.
    for name, shown in {"old": "0xed300880:00000000", "late": "0x83aa7e80:00000001"}.items():
        text = debugfs(disk, f"stat /{name}")
        for kind in ("ctime", "atime", "mtime", "crtime"):
            assert f"{kind}: {shown}" in text, text


def test_inodes_are_numbered_in_the_order_of_sorted_names(disk: Path, tree: Path) -> None:
    names = sorted(os.fsencode(item.name) for item in tree.iterdir())
    shown = [debugfs(disk, f"stat /{os.fsdecode(name)}").split()[1] for name in names[:3]]
    assert [name.decode() for name in names[:3]] == ["a-third-name", "block", "block-and-one"]
    assert shown == ["12", "13", "14"]


def test_same_tree_copied_in_another_order_and_without_holes_gives_the_same_bytes(
    disk: Path, tree: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    # First the names that sort last; hard links have to be copied with one call.
    names = sorted(tree.iterdir(), reverse=True)
    proc.run(["cp", "-a", "--sparse=never", *names, copy], timeout_seconds=300)
    shutil.copystat(tree, copy)
    if IS_ROOT:
        os.removexattr(copy / "empty", "trusted.overlay.origin")
    assert of_file(make_disk(copy, tmp_path / "copy.raw")) == of_file(disk)
    assert of_file(make_disk(tree, tmp_path / "again.raw")) == of_file(disk)


def test_long_runs_of_zeros_take_no_room(disk: Path) -> None:
    # A file is looked at a MiB at a time: what little is behind the last whole one is written.
    counts = {"zeros": 0, "sparse": 8, "few-zeros": 8 * 15, "pieces": 8 * (2 + 2)}
    for name, sectors in counts.items():
        assert f"Blockcount: {sectors}\n" in debugfs(disk, f"stat /{name}"), name


def test_large_files_go_around_the_journal_and_copies_of_the_super_block(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with (root / "large").open("wb") as file:
        for number in range(330):
            file.write(number.to_bytes(2, "big") * (MIB // 2))
    disk = make_disk(root, tmp_path / "disk.raw", size=500 * MIB)
    assert_whole(disk)
    extents = debugfs(disk, "stat /large").rpartition("EXTENTS:")[2].split()
    assert len(extents) >= 3, extents
    debugfs(disk, f"dump /large {tmp_path}/back")
    assert of_file(tmp_path / "back") == of_file(root / "large")


def test_lost_and_found_of_the_tree_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "lost+found").mkdir(parents=True)
    (root / "lost+found").chmod(0o750)
    (root / "lost+found/#12").write_bytes(b"found")
    disk = make_disk(root, tmp_path / "disk.raw")
    assert_whole(disk)
    shown = debugfs(disk, "stat /lost+found")
    assert shown.startswith("Inode: 11 ")
    assert "Mode:  0750" in shown
    assert debugfs(disk, "cat /lost+found/#12") == "found"
    shutil.rmtree(root / "lost+found")
    (root / "lost+found").touch()
    with pytest.raises(InvalidInputError, match="no directory"):
        read_content(root)


def test_file_that_changes_or_goes_meanwhile_is_refused(tmp_path: Path) -> None:
    root, disk, plan = tmp_path / "root", tmp_path / "disk.raw", plan_of(256 * MIB)
    root.mkdir()
    for change in ("longer", "shorter", "gone", "another"):
        (root / "file").write_bytes(b"x" * 5000)
        content = read_content(root)
        with disk.open("wb") as file:
            file.truncate(plan.size_bytes)
        match change:
            case "longer":
                (root / "file").write_bytes(b"x" * 9000)
            case "shorter":
                os.truncate(root / "file", 10)
            case "gone":
                (root / "file").unlink()
            case "another":
                (root / "file").write_bytes(b"y" * 5000)
                os.utime(root / "file", (1, 1))
        with pytest.raises(ConflictError, match="changed while"):
            write_root(content, disk, plan)


def test_more_files_than_inodes_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for number in range(7000):
        (root / f"{number}").touch()
    with pytest.raises(InvalidInputError, match="does not fit") as caught:
        make_disk(root, tmp_path / "disk.raw", size=170 * MIB)
    assert caught.value.code == "InvalidDiskSize"


def test_cancel_is_seen_while_the_tree_is_read_and_while_it_is_written(tmp_path: Path) -> None:
    root, disk, plan = tmp_path / "root", tmp_path / "disk.raw", plan_of(256 * MIB)
    root.mkdir()
    content, cancel = read_content(root), CancelFlag()
    with disk.open("wb") as file:
        file.truncate(plan.size_bytes)
    cancel.set("enough")
    with pytest.raises(CanceledError):
        read_content(root, cancel=cancel)
    with pytest.raises(CanceledError):
        write_root(content, disk, plan, cancel=cancel)


def test_content_counts_blocks_and_a_file_with_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 4097)
    os.link(tmp_path / "one", tmp_path / "two")
    assert read_content(tmp_path).size_bytes == 4096 + 2 * 4096


def test_tree_that_cannot_be_read_is_no_content(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_content(tmp_path / "absent")
