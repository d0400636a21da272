"""Disk files that come from elsewhere become trees, or are refused with the reason."""

import os
import struct
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from goldsmith.disk import ext4
from goldsmith.disk.extract import extract
from goldsmith.disk.filesystems import FileSystem, read_volume
from goldsmith.disk.formats import raw_to_qcow2, raw_to_vhd
from goldsmith.disk.gpt import TYPE_LINUX, TYPE_ROOT_X86_64, Partition, write_gpt
from goldsmith.disk.tree import compare, read_manifest
from goldsmith.disk.unpack import dump_ext
from goldsmith.kernel import proc
from goldsmith.kernel.errors import ConflictError, UnsupportedError

MIB = 1 << 20
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make trees with owners")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "root"
    for path, text in {
        "etc/os-release": "ID=test\n",
        "srv/own": "own",
        'srv/a b/it\'s "q"': "quoted",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "etc/fstab").write_text("# none\n")
    (root / "boot").mkdir()
    (root / "srv/link").symlink_to("/etc/os-release")
    (root / "srv").chmod(0o1777)
    os.link(root / "srv/own", root / "second-name")
    os.chown(root / "srv/own", 1000, 1001)
    (root / "srv/own").chmod(0o6755)
    os.setxattr(root / 'srv/a b/it\'s "q"', "security.capability", CAPABILITY)
    os.setxattr(root / "srv/own", "user.note", b"\0binary\xff")
    for place in sorted(root.rglob("*"), reverse=True):
        os.utime(place, (1600000000, 1600000000), follow_symlinks=False)
    root.chmod(0o755)
    return root


def make_ext4(disk: Path, tree: Path | None, *, offset: int, size: int, id_: int = 1) -> None:
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-U", str(uuid.UUID(int=id_))]
    words += ["-E", f"offset={offset}", *(["-d", str(tree)] if tree else []), str(disk), str(size // 4096)]
    proc.run(words, timeout_seconds=60)


def make_disk(disk: Path, partitions: Sequence[tuple[uuid.UUID, int]]) -> list[Partition]:
    made = []
    offset = MIB
    for number, (type_, size) in enumerate(partitions, 1):
        made.append(
            Partition(number=number, offset=offset, size_bytes=size, type=type_, id=uuid.UUID(int=number))
        )
        offset += size
    with disk.open("wb") as file:
        file.truncate(offset + MIB)
    write_gpt(disk, uuid.UUID(int=99), made)
    return made


@pytest.fixture(scope="module")
def disk(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT disk: a data partition that is larger, then the root."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    data, root = make_disk(path, [(TYPE_LINUX, 24 * MIB), (TYPE_ROOT_X86_64, 16 * MIB)])
    make_ext4(path, None, offset=data.offset, size=data.size_bytes, id_=5)
    make_ext4(path, tree, offset=root.offset, size=root.size_bytes)
    return path


def differences(tree: Path, target: Path) -> list[str]:
    found = compare(read_manifest(tree), read_manifest(target))
    return [line for line in found if not line.startswith(". has another mtime")]


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vhd"])
def test_root_is_found_and_unpacked_with_owners_and_attributes(
    disk: Path, tree: Path, tmp_path: Path, kind: str
) -> None:
    given = tmp_path / "given.img"
    match kind:
        case "raw":
            given = disk
        case "qcow2":
            raw_to_qcow2(disk, given, compressed=True)
        case "vhd":
            raw_to_vhd(disk, given, epoch=0, id_=uuid.UUID(int=3))
    before = given.read_bytes()
    result = extract(given, tmp_path / "root", scratch=tmp_path / "scratch")
    assert (result.partition, result.kind) == (2, FileSystem.EXT)
    assert result.disk_size_bytes == disk.stat().st_size
    assert differences(tree, tmp_path / "root") == []
    assert given.read_bytes() == before
    assert list((tmp_path / "scratch").iterdir()) == []
    assert str(disk) not in proc.run(["losetup", "--all"], timeout_seconds=60).text


def test_what_is_read_without_mounting_is_the_same(disk: Path, tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "root"
    target.mkdir()
    (tmp_path / "scratch").mkdir()
    dump_ext(disk, 25 * MIB, target, tmp_path / "scratch")
    (target / "lost+found").rmdir()
    assert differences(tree, target) == []


def test_disk_without_partitions_and_one_with_an_mbr_are_read(tree: Path, tmp_path: Path) -> None:
    for number, offset in ((0, 0), (1, MIB)):
        path = tmp_path / f"{number}.raw"
        with path.open("wb") as file:
            file.truncate(offset + 16 * MIB)
        make_ext4(path, tree, offset=offset, size=16 * MIB)
        if offset:
            record = struct.pack("<B3sB3sII", 0x80, bytes(3), 0x83, bytes(3), offset // 512, 16 * MIB // 512)
            with path.open("r+b") as file:
                file.write(bytes(446) + record + bytes(48) + b"\x55\xaa")
        result = extract(path, tmp_path / f"root{number}", scratch=tmp_path)
        assert result.partition == number
        assert differences(tree, tmp_path / f"root{number}") == []


def test_separate_boot_is_unpacked_into_the_root(tree: Path, tmp_path: Path) -> None:
    root, kernel = tmp_path / "source", tmp_path / "kernel"
    proc.run(["cp", "-a", tree, root], timeout_seconds=60)
    (root / "etc/fstab").write_text(f"UUID={uuid.UUID(int=77)}\t/boot ext4 defaults 0 2\n")
    kernel.mkdir()
    (kernel / "vmlinuz-1").write_text("kernel")
    disk = tmp_path / "disk.raw"
    boot_place, root_place = make_disk(disk, [(TYPE_LINUX, 8 * MIB), (TYPE_LINUX, 16 * MIB)])
    make_ext4(disk, kernel, offset=boot_place.offset, size=boot_place.size_bytes, id_=77)
    make_ext4(disk, root, offset=root_place.offset, size=root_place.size_bytes)
    result = extract(disk, tmp_path / "root", scratch=tmp_path)
    assert (result.partition, result.boot_partition) == (2, 1)
    assert (tmp_path / "root/boot/vmlinuz-1").read_text() == "kernel"


def test_file_system_that_was_not_left_cleanly_is_repaired_in_a_copy(
    disk: Path, tree: Path, tmp_path: Path
) -> None:
    dirty = tmp_path / "dirty.raw"
    proc.run(["cp", disk, dirty], timeout_seconds=60)
    proc.run(
        ["debugfs", "-w", "-R", "feature needs_recovery", f"{dirty}?offset={25 * MIB}"], timeout_seconds=60
    )
    with dirty.open("rb") as file:
        block = ext4.read_super_block(file, 25 * MIB)
    assert block is not None
    assert block.needs_recovery
    before = dirty.read_bytes()
    extract(dirty, tmp_path / "root", scratch=tmp_path / "scratch")
    assert differences(tree, tmp_path / "root") == []
    assert dirty.read_bytes() == before


@pytest.mark.parametrize(
    ("offset", "magic", "name"),
    [
        (0, b"LUKS\xba\xbe\0\x02", "LUKS"),
        (512, b"LABELONE", "LVM"),
        (3, b"NTFS    ", "NTFS"),
        (4096, b"\xfc\x4e\x2b\xa9", "RAID"),
        (0, b"nothing", "no file system"),
    ],
)
def test_layout_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, offset: int, magic: bytes, name: str
) -> None:
    disk = tmp_path / "disk.raw"
    (place,) = make_disk(disk, [(TYPE_LINUX, 8 * MIB)])
    with disk.open("r+b") as file:
        file.seek(place.offset + offset)
        file.write(magic)
    with pytest.raises(UnsupportedError, match=name) as caught:
        extract(disk, tmp_path / "root", scratch=tmp_path)
    assert caught.value.code == "UnsupportedDiskLayout"
    assert not (tmp_path / "root").exists()


def test_disk_without_an_operating_system_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    (place,) = make_disk(disk, [(TYPE_LINUX, 8 * MIB)])
    make_ext4(disk, None, offset=place.offset, size=place.size_bytes)
    assert read_volume(disk, place).kind is FileSystem.EXT
    with pytest.raises(UnsupportedError, match="os-release"):
        extract(disk, tmp_path / "out/root", scratch=tmp_path / "scratch")
    assert list((tmp_path / "out").iterdir()) == list((tmp_path / "scratch").iterdir()) == []


def test_existing_target_is_kept(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        extract(disk, tmp_path, scratch=tmp_path)


def test_kill_9_leaves_no_mount_and_no_loop_device(disk: Path, tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    options = f"ro,noload,loop,offset={25 * MIB},sizelimit={16 * MIB}"
    script = f"mount -o {options} {disk} {tmp_path} && echo ready && sleep 600"
    words = [sys.executable, "-c", PARENT, *proc.in_private_namespace(["sh", "-c", script])]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            pytest.skip("no loop devices on this host")
        assert str(disk) in proc.run(["losetup", "--all"], timeout_seconds=60).text
        process.kill()
    for _ in range(600):
        if str(disk) not in proc.run(["losetup", "--all"], timeout_seconds=60).text:
            break
    else:
        pytest.fail("the loop device is still there")
    assert Path("/proc/self/mounts").read_text() == mounts


PARENT = """
import os, sys
from goldsmith.kernel import proc
proc.run(sys.argv[1:], timeout_seconds=600, on_output=lambda data: os.write(1, data))
"""
