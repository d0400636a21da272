"""What ext4 has on disk, byte by byte where a specification says so."""

import os
import struct

import numpy as np
import pytest

from goldsmith.disk.ext4 import crc32c
from goldsmith.disk.ext4_attributes import BLOCK_BYTES, INODE_BYTES, place_attributes, stored_attribute
from goldsmith.disk.ext4_checksum import crc32c_rows, words
from goldsmith.disk.ext4_data import data_runs
from goldsmith.disk.ext4_directory import TAIL_BYTES, directory_blocks
from goldsmith.disk.ext4_extents import EXTENT_BLOCKS_MAX, Extent, add_extent, extent_tree, root_extents
from goldsmith.disk.ext4_groups import runs
from goldsmith.kernel.errors import InvalidInputError, UnsupportedError


@pytest.mark.parametrize("size", [0, 4, 36, 256])
def test_checksums_of_rows_are_those_of_each(size: int) -> None:
    data = os.urandom(5 * size)
    rows = np.frombuffer(data, np.uint8).reshape(5, size)
    expected = [crc32c(77, data[number * size : (number + 1) * size]) for number in range(5)]
    assert crc32c_rows(77, rows).tolist() == expected


def test_checksums_go_on_from_those_of_what_is_before() -> None:
    numbers = np.array([1, 2**40 + 3], np.uint64)
    rows = np.frombuffer(b"abcdefgh", np.uint8).reshape(2, 4)
    expected = [crc32c(9, struct.pack("<Q", 1) + b"abcd"), crc32c(9, struct.pack("<Q", 2**40 + 3) + b"efgh")]
    assert crc32c_rows(crc32c_rows(9, words(numbers, count=2)), rows).tolist() == expected


@pytest.mark.parametrize(
    ("name", "index", "short"),
    [
        (b"user.note", 1, b"note"),
        (b"trusted.x", 4, b"x"),
        (b"security.capability", 6, b"capability"),
        (b"user.overlay", 1, b"overlay"),
    ],
)
def test_attribute_is_kept_under_the_number_of_its_kind(name: bytes, index: int, short: bytes) -> None:
    stored = stored_attribute(name, b"value")
    assert stored is not None
    assert (stored.index, stored.name, stored.value) == (index, short, b"value")


@pytest.mark.parametrize(
    "name", [b"trusted.overlay.opaque", b"user.overlay.x", b"system.nfs4_acl", b"btrfs.x"]
)
def test_attribute_of_the_host_stays_there(name: bytes) -> None:
    assert stored_attribute(name, b"value") is None


def test_list_of_access_control_has_ids_only_where_one_is_named() -> None:
    given = struct.pack("<I", 2) + struct.pack("<HHI", 1, 7, 2**32 - 1) + struct.pack("<HHI", 8, 5, 1000)
    stored = stored_attribute(b"system.posix_acl_access", given)
    assert stored is not None
    assert (stored.index, stored.name) == (2, b"")
    assert stored.value == struct.pack("<I", 1) + struct.pack("<HH", 1, 7) + struct.pack("<HHI", 8, 5, 1000)
    with pytest.raises(UnsupportedError):
        stored_attribute(b"system.posix_acl_access", b"\x03\0\0\0")


def test_attributes_that_fit_are_in_the_inode_and_others_in_a_block() -> None:
    small, large = stored_attribute(b"user.a", b"1"), stored_attribute(b"user.b", b"2" * 100)
    assert small is not None
    assert large is not None
    inside, outside = place_attributes([large, small], path=b"/x")
    assert len(inside) == INODE_BYTES
    assert inside.startswith(bytes.fromhex("000002ea"))
    assert inside.endswith(b"1\0\0\0")
    assert outside is not None
    assert len(outside) == BLOCK_BYTES
    assert outside.endswith(b"2" * 100)
    assert place_attributes([small], path=b"/x") == (inside, None)
    assert place_attributes([], path=b"/x") == (bytes(INODE_BYTES), None)


def test_attributes_that_fit_nowhere_are_refused_with_the_path() -> None:
    items = [stored_attribute(b"user.%d" % number, bytes(1500)) for number in range(3)]
    with pytest.raises(InvalidInputError, match="of /some/file take"):
        place_attributes([item for item in items if item is not None], path=b"/some/file")


def names_in(block: bytes) -> list[tuple[int, bytes]]:
    found, place = [], 0
    while place < BLOCK_BYTES:
        number, size, length, _ = struct.unpack_from("<IHBB", block, place)
        assert size >= 8
        assert size % 4 == 0
        if number:
            found.append((number, block[place + 8 : place + 8 + length]))
        place += size
    assert place == BLOCK_BYTES
    return found


@pytest.mark.parametrize("count", [1, 2, 255, 256, 1000])
@pytest.mark.parametrize("length", [1, 4, 8, 252, 255])
def test_directory_has_all_names_in_order_and_a_tail_in_each_block(count: int, length: int) -> None:
    entries = [(number, b"%d" % number * 255, 1) for number in range(12, 12 + count)]
    entries = [(number, name[:length], kind) for number, name, kind in entries]
    data = directory_blocks(entries)
    blocks = [data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES)]
    assert [item for block in blocks for item in names_in(block)] == [(at, name) for at, name, _ in entries]
    assert all(block[-TAIL_BYTES:] == bytes.fromhex("000000000c0000de00000000") for block in blocks)


def test_directory_may_have_more_blocks_than_it_needs() -> None:
    data = directory_blocks([(2, b".", 2), (2, b"..", 2)], blocks_min=3)
    assert len(data) == 3 * BLOCK_BYTES
    assert [names_in(data[start : start + BLOCK_BYTES]) for start in (4096, 8192)] == [[], []]


def test_extents_that_touch_become_one_of_at_most_the_longest() -> None:
    extents: list[Extent] = []
    add_extent(extents, 0, 100, 10)
    add_extent(extents, 10, 110, 5)
    add_extent(extents, 15, 200, 5)
    add_extent(extents, 30, 205, 2 * EXTENT_BLOCKS_MAX + 1)
    assert extents == [
        (0, 100, 15),
        (15, 200, 5),
        (30, 205, EXTENT_BLOCKS_MAX),
        (30 + EXTENT_BLOCKS_MAX, 205 + EXTENT_BLOCKS_MAX, EXTENT_BLOCKS_MAX),
        (30 + 2 * EXTENT_BLOCKS_MAX, 205 + 2 * EXTENT_BLOCKS_MAX, 1),
    ]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_few_extents_are_in_the_inode(count: int) -> None:
    extents = [(number * 10, 2**33 + number * 100, 5) for number in range(count)]
    root, blocks = extent_tree(extents, lambda: 0)
    assert len(root) == 60
    assert blocks == []
    assert root_extents(root) == extents


@pytest.mark.parametrize(("count", "depth"), [(5, 1), (340, 1), (341, 1), (1360, 1), (1361, 2)])
def test_many_extents_are_found_by_going_down_the_tree(count: int, depth: int) -> None:
    extents = [(number * 10, 2**33 + number * 100, 5) for number in range(count)]
    free = iter(range(2**32 + 1, 2**32 + 100))
    root, made = extent_tree(extents, lambda: next(free))
    blocks = dict(made)

    def below(node: bytes) -> list[Extent]:
        magic, entries, most, level, _ = struct.unpack_from("<HHHHI", node)
        assert (magic, most) == (0xF30A, 4 if node is root else 340)
        found: list[Extent] = []
        for place in range(12, 12 + 12 * entries, 12):
            if level:
                first, low, high, _ = struct.unpack_from("<IIHH", node, place)
                children = below(blocks[high << 32 | low])
                assert children[0][0] == first
                found += children
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, place)
                found.append((logical, high << 32 | low, length))
        return found

    assert struct.unpack_from("<H", root, 6)[0] == depth
    assert below(root) == extents


@pytest.mark.parametrize(
    ("zero", "expected"),
    [
        ("", []),
        ("1", [(0, 1)]),
        ("0" * 15, [(0, 15)]),
        ("0" * 16, []),
        ("1" + "0" * 16 + "1", [(0, 1), (17, 18)]),
        ("0" * 20 + "1" + "0" * 15 + "1", [(20, 37)]),
        ("1" + "0" * 16, [(0, 1)]),
    ],
)
def test_only_long_runs_of_zeros_are_holes(zero: str, expected: list[tuple[int, int]]) -> None:
    assert data_runs(np.array([digit == "0" for digit in zero], np.bool_)) == expected


def test_runs_are_found_at_both_ends() -> None:
    assert runs(np.array([True, False, True, True], np.bool_)) == [(0, 1), (2, 4)]
    assert runs(np.array([], np.bool_)) == []
