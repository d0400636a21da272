"""Trees, tables and disk files in small, on the file system of the test."""

import os
import struct
import uuid
import zlib
from pathlib import Path

import pytest

from goldsmith.disk.formats import DiskFormat, inspect_disk, vhd_footer
from goldsmith.disk.gpt import TYPE_ESP, TYPE_LINUX, Partition, read_partitions, write_gpt
from goldsmith.disk.kinds import Kind
from goldsmith.disk.merged import MergedTree
from goldsmith.disk.seal import seal, sparse_sha256
from goldsmith.disk.tree import load_manifest, read_manifest, verify_tree, write_manifest
from goldsmith.kernel.digest import of_file
from goldsmith.kernel.errors import CorruptError, InvalidInputError, UnsupportedError

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_bytes(b"data")
    os.link(root / "a/file", root / "a/same")
    (root / "a/link").symlink_to("file")
    os.mkfifo(root / "a/pipe")
    (root / os.fsdecode(b"odd\xff")).touch()
    return root


def test_manifest_tells_all_that_is_in_a_tree(tree: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tree)
    entries = {entry.path: entry for entry in manifest.entries}
    assert list(entries) == [".", "a", "a/b", "a/file", "a/link", "a/pipe", "a/same", "odd\udcff"]
    assert entries["a/same"].same_as == "a/file"
    assert entries["a/same"].sha256 == entries["a/file"].sha256
    assert entries["a/link"].target == "file"
    assert entries["a/pipe"].kind is Kind.FIFO
    assert manifest.size_bytes == 4
    write_manifest(manifest, tmp_path / "manifest")
    assert load_manifest(tmp_path / "manifest") == manifest


def test_unchanged_tree_is_verified_with_any_number_of_threads(tree: Path) -> None:
    manifest = read_manifest(tree, threads=1)
    verify_tree(tree, manifest, threads=4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "a/file").chmod(0o600), "a/file has another mode"),
        (lambda root: (root / "a/link").unlink(), "a/link is missing"),
        (lambda root: (root / "a/b/new").touch(), "a/b/new was added"),
        (lambda root: os.utime(root / "a/file", (5, 5)), "a/file has another mtime"),
    ],
)
def test_changed_tree_is_corrupt_and_the_path_is_named(tree: Path, change: object, said: str) -> None:
    manifest = read_manifest(tree)
    assert callable(change)
    change(tree)
    with pytest.raises(CorruptError, match=said):
        verify_tree(tree, manifest)


def test_content_of_the_same_size_and_time_is_found_changed(tree: Path) -> None:
    manifest = read_manifest(tree)
    status = (tree / "a/file").stat()
    (tree / "a/file").write_bytes(b"DATA")
    os.utime(tree / "a/file", ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(CorruptError, match="a/file has another sha256"):
        verify_tree(tree, manifest)


@pytest.mark.parametrize("data", [b"", b"not zstd", b"\x28\xb5\x2f\xfd\x00"])
def test_manifest_that_is_no_manifest_is_corrupt(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest").write_bytes(data)
    with pytest.raises(CorruptError):
        load_manifest(tmp_path / "manifest")


def test_links_are_followed_inside_the_tree_only(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "usr/bin").mkdir(parents=True)
    (lower / "bin").symlink_to("/usr/bin")
    (lower / "out").symlink_to("../../../etc")
    (lower / "loop").symlink_to("loop")
    upper.mkdir()
    tree = MergedTree(layers=(upper, lower))
    assert tree.resolve("bin/x") == "usr/bin/x"
    assert tree.resolve("/out/passwd") == "etc/passwd"
    assert tree.resolve("out", follow_last=False) == "out"
    assert tree.resolve("absent/./deep/../x") == "absent/x"
    with pytest.raises(InvalidInputError):
        tree.resolve("loop/x")
    (upper / "bin").mkdir()
    assert tree.resolve("bin/x") == "bin/x"


def disk_of(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


PARTITIONS = [
    Partition(number=1, offset=MIB, size_bytes=MIB, type=TYPE_ESP, id=uuid.UUID(int=1), name="ESP"),
    Partition(number=3, offset=2 * MIB, size_bytes=MIB, type=TYPE_LINUX, id=uuid.UUID(int=2), name="röot"),
]


@pytest.mark.parametrize("damaged", [512 + 20, 1024 + 5])
def test_table_is_read_from_its_copy_when_the_first_is_damaged(tmp_path: Path, damaged: int) -> None:
    disk = disk_of(tmp_path / "disk", 4 * MIB)
    write_gpt(disk, uuid.UUID(int=9), PARTITIONS)
    with disk.open("r+b") as file:
        file.seek(damaged)
        file.write(b"\xff")
    assert read_partitions(disk) == PARTITIONS


def test_table_without_a_whole_copy_is_corrupt(tmp_path: Path) -> None:
    disk = disk_of(tmp_path / "disk", 4 * MIB)
    write_gpt(disk, uuid.UUID(int=9), PARTITIONS)
    with disk.open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff")
        file.truncate(3 * MIB)
    with pytest.raises(CorruptError):
        read_partitions(disk)


def test_partitions_that_overlap_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    disk = disk_of(tmp_path / "disk", 3 * MIB)
    for offset, size in ((MIB + 1, MIB), (MIB, 2 * MIB), (512, MIB), (MIB, 0)):
        bad = Partition(number=1, offset=offset, size_bytes=size, type=TYPE_LINUX, id=uuid.UUID(int=1))
        with pytest.raises(InvalidInputError):
            write_gpt(disk, uuid.UUID(int=9), [bad])


def test_logical_partitions_of_an_mbr_are_read(tmp_path: Path) -> None:
    def sector(*records: tuple[int, int, int]) -> bytes:
        packed = b"".join(struct.pack("<4xB3xII", *record) for record in records)
        return bytes(446) + packed.ljust(64, b"\0") + b"\x55\xaa"

    disk = disk_of(tmp_path / "disk", MIB)
    with disk.open("r+b") as file:
        file.write(sector((0x83, 10, 20), (0x05, 100, 900)))
        file.seek(100 * 512)
        file.write(sector((0x83, 1, 50), (0x05, 200, 100)))
        file.seek(300 * 512)
        file.write(sector((0x83, 2, 60)))
    found = [(item.number, item.offset // 512, item.size_bytes // 512) for item in read_partitions(disk)]
    assert found == [(1, 10, 20), (5, 101, 50), (6, 302, 60)]


def test_disk_without_a_table_has_no_partitions(tmp_path: Path) -> None:
    assert read_partitions(disk_of(tmp_path / "disk", MIB)) == []


def test_headers_are_as_the_specification_lays_them_out(tmp_path: Path) -> None:
    disk = disk_of(tmp_path / "disk", 4 * MIB)
    write_gpt(disk, uuid.UUID(int=9), PARTITIONS)
    data = disk.read_bytes()
    assert data[510:512] == b"\x55\xaa"
    assert data[450] == 0xEE
    first, last = data[512 : 512 + 92], data[-512 : -512 + 92]
    assert first[:8] == last[:8] == b"EFI PART"
    for header in (first, last):
        blanked = header[:16] + bytes(4) + header[20:]
        assert struct.unpack_from("<I", header, 16)[0] == zlib.crc32(blanked)
    assert struct.unpack_from("<QQQQ", first, 24) == (1, 8191, 34, 8192 - 34)
    assert data[1024 : 1024 + 128 * 128] == data[-512 - 128 * 128 : -512]


def test_file_with_holes_at_any_place_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = disk_of(tmp_path / "disk", 9 * MIB + 17)
    assert "sha256:" + sparse_sha256(path) == of_file(path)
    with path.open("r+b") as file:
        for place in (0, 3 * MIB + 5, 9 * MIB + 10):
            file.seek(place)
            file.write(b"here")
    assert seal(path).digest == of_file(path)
    empty = disk_of(tmp_path / "empty", 0)
    assert "sha256:" + sparse_sha256(empty) == of_file(empty)


def qcow2_header(*, backing: int = 0, encryption: int = 0, features: int = 0) -> bytes:
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", 3, backing, 0, 16, 5 * MIB, encryption)
    return (head.ljust(72, b"\0") + struct.pack(">Q", features)).ljust(4096, b"\0")


def test_disk_is_known_by_its_contents_and_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "disk.vhd"
    path.write_bytes(qcow2_header())
    info = inspect_disk(path)
    assert (info.format, info.virtual_size_bytes, info.file_size_bytes) == (DiskFormat.QCOW2, 5 * MIB, 4096)
    path.write_bytes(bytes(MIB))
    assert inspect_disk(path).format is DiskFormat.RAW
    path.write_bytes(bytes(MIB) + vhd_footer(MIB, epoch=0, id_=uuid.UUID(int=1)))
    assert (inspect_disk(path).format, inspect_disk(path).virtual_size_bytes) == (DiskFormat.VHD, MIB)


@pytest.mark.parametrize(
    "data",
    [
        qcow2_header(backing=600),
        qcow2_header(features=4),
        qcow2_header(encryption=2),
        b"\x1f\x8b\x08" + bytes(509),
        b"\xfd7zXZ\0" + bytes(506),
        b"vhdxfile" + bytes(504),
        b"KDMV" + bytes(508),
    ],
)
def test_disk_file_that_reads_others_or_is_none_of_ours_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "disk").write_bytes(data)
    with pytest.raises(UnsupportedError):
        inspect_disk(tmp_path / "disk")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(1000),
        b"QFI\xfb\0\0\0\3",
        bytes(2 * MIB) + vhd_footer(MIB, epoch=0, id_=uuid.UUID(int=1)),
        bytes(MIB) + vhd_footer(MIB, epoch=0, id_=uuid.UUID(int=1))[:-1] + b"x",
    ],
)
def test_disk_file_that_is_cut_off_is_corrupt(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "disk").write_bytes(data)
    with pytest.raises(CorruptError):
        inspect_disk(tmp_path / "disk")
