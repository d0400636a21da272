"""An empty ext4 file system gets the contents of a tree.

Everything in it follows from the tree alone: inodes are numbered and blocks are taken in the order of the
sorted names, all times are those of modification, and what the host's file system made of the tree does not
show.
"""

import stat
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.disk.ext4 import SuperBlock, read_super_block
from goldsmith.disk.ext4_attributes import place_attributes
from goldsmith.disk.ext4_checksum import crc32c_rows, words
from goldsmith.disk.ext4_data import write_files
from goldsmith.disk.ext4_directory import directory_blocks
from goldsmith.disk.ext4_extents import Extent, add_extent, extent_tree, root_extents
from goldsmith.disk.ext4_groups import BLOCK_BYTES, FullError, Groups, Volume
from goldsmith.disk.ext4_inodes import (
    INODE_BYTES,
    LINK_BYTES_MAX,
    Placed,
    fill_inodes,
    map_of,
    set_times,
    sum_inodes,
)
from goldsmith.disk.ext4_nodes import LOST_NAME, LOST_NUMBER, TOP_NUMBER, Content, Node
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import UnsupportedError

# The words of the features that `disk.assemble` names.
_FEATURES = (0x2C, 0x2C2, 0x46B)
_JOURNAL_NUMBER = 8
_BATCH_BLOCKS = 2048
_SECOND_NS = 1_000_000_000
# What a directory says of an inode, by the type in its mode.
_KINDS = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}


class _Sum(NamedTuple):
    """Of a kind of block: how many bytes its checksum covers, and where it stands."""

    covered: int
    offset: int


_DIRECTORY_SUM = _Sum(4084, 4092)
_INDEX_SUM = _Sum(4092, 4092)
_ATTRIBUTE_SUM = _Sum(4096, 16)


class _Block(NamedTuple):
    """`owner` is the inode to which it belongs: its checksum begins with that."""

    place: int
    owner: int
    data: bytes


def populate(disk: Path, offset: int, content: Content, *, epoch: int, cancel: Cancel | None = None) -> None:
    """Put `content` into the file system that `mke2fs` has just made at byte `offset` of `disk`.

    The top directory belongs to root, and its time is `epoch` (seconds). Raises FullError when it does not
    fit, ConflictError when the tree changes meanwhile, InvalidInputError for what ext4 cannot hold,
    UnsupportedError for a file system of another make.
    """
    with disk.open("r+b", buffering=0) as file:
        block = read_super_block(file, offset)
        if block is None or block.features != _FEATURES or block.inode_bytes != INODE_BYTES:
            raise UnsupportedError(
                f"mke2fs made another file system at {offset} of {disk} than it was asked for",
                hint="run 'goldsmith doctor' to see what to install",
            )
        nodes = _all_nodes(content, epoch)
        _Population(Volume(file.fileno(), offset), block, nodes, epoch).write(cancel or NeverCancel())


def _all_nodes(content: Content, epoch: int) -> list[Node]:
    """Top, lost+found (with its own contents if the tree has it), then all others by their numbers."""
    top, *others = content.nodes
    lost = next((node for node in others if node.number == LOST_NUMBER), None)
    top = replace(top, uid=0, gid=0, mtime_ns=epoch * _SECOND_NS)
    if lost is None:
        lost = Node(
            number=LOST_NUMBER,
            parent=TOP_NUMBER,
            path=LOST_NAME,
            mode=stat.S_IFDIR | 0o700,
            uid=0,
            gid=0,
            mtime_ns=epoch * _SECOND_NS,
            links=2,
        )
        top = replace(top, names=sorted([*top.names, (LOST_NAME, lost)], key=_name), links=top.links + 1)
    return [top, lost, *(node for node in others if node is not lost)]


def _name(item: tuple[bytes, Node]) -> bytes:
    return item[0]


class _Population:
    def __init__(self, volume: Volume, block: SuperBlock, nodes: Sequence[Node], epoch: int) -> None:
        assert block.checksum_seed is not None
        self._seed = block.checksum_seed
        self._volume = volume
        self._block = block
        self._groups = Groups(volume, block)
        self._nodes = nodes
        self._epoch = epoch
        self._extents: dict[int, list[Extent]] = {}
        self._attributes: dict[int, bytes] = {}
        self._attribute_blocks: dict[int, int] = {}

    def write(self, cancel: Cancel) -> None:
        count = max(LOST_NUMBER, self._nodes[-1].number)
        if count > self._block.inode_count:
            raise FullError("the file system has too few inodes")
        self._write_blocks(self._directories(), _DIRECTORY_SUM, cancel)
        self._write_blocks(self._long_links(), None, cancel)
        self._write_blocks(self._attribute_overflow(), _ATTRIBUTE_SUM, cancel)
        files = (node for node in self._nodes if node.is_file)
        self._extents |= write_files(self._volume, self._groups, files, cancel=cancel)
        self._write_inodes(count, cancel)
        numbers = np.array([node.number for node in self._nodes if node.is_directory])
        self._groups.finish(
            inode_count=count, directories=np.bincount((numbers - 1) // self._block.inodes_per_group)
        )

    def _directories(self) -> Iterator[_Block]:
        # Top and lost+found keep the blocks that they were made with.
        made = self._made_inodes()
        for number in (TOP_NUMBER, LOST_NUMBER):
            self._extents[number] = root_extents(map_of(made[number - 1]))
        for node in self._nodes:
            if not node.is_directory:
                continue
            extents = self._extents.setdefault(node.number, [])
            itself = _KINDS[stat.S_IFDIR]
            entries = [(node.number, b".", itself), (node.parent, b"..", itself)]
            entries += [(item.number, name, _KINDS[stat.S_IFMT(item.mode)]) for name, item in node.names]
            data = directory_blocks(entries, blocks_min=_count(extents))
            self._extend(extents, len(data) // BLOCK_BYTES)
            yield from _cut(data, node.number, extents)

    def _long_links(self) -> Iterator[_Block]:
        for node in self._nodes:
            if len(node.target) > LINK_BYTES_MAX:
                extents = self._extents[node.number] = []
                self._extend(extents, 1)
                yield from _cut(node.target.ljust(BLOCK_BYTES, b"\0"), node.number, extents)

    def _attribute_overflow(self) -> Iterator[_Block]:
        for node in self._nodes:
            if not node.attributes:
                continue
            inside, outside = place_attributes(node.attributes, path=node.path)
            self._attributes[node.number] = inside
            if outside is not None:
                place = self._groups.take_one()
                self._attribute_blocks[node.number] = place
                # The checksum of these begins with where they are.
                yield _Block(place, place, outside)

    def _extend(self, extents: list[Extent], count: int) -> None:
        """Add free blocks until there are `count`."""
        present = _count(extents)
        for place, length in self._groups.take(count - present):
            add_extent(extents, present, place, length)
            present += length

    def _write_inodes(self, count: int, cancel: Cancel) -> None:
        """All tables as far as they are used; extents that do not fit into an inode get blocks now."""
        per_group = self._block.inodes_per_group
        numbers = [node.number for node in self._nodes]
        indexes: list[_Block] = []
        for group in range(-(-count // per_group)):
            cancel.check()
            before = group * per_group
            rows = np.zeros((min(count - before, per_group), INODE_BYTES), np.uint8)
            if group == 0:
                rows[:LOST_NUMBER] = self._made_inodes()
                self._renew_journal(rows)
            nodes = self._nodes[bisect_right(numbers, before) : bisect_right(numbers, before + per_group)]
            inodes = np.zeros((len(nodes), INODE_BYTES), np.uint8)
            fill_inodes(inodes, nodes, [self._placed(node, indexes) for node in nodes])
            own = np.array([node.number for node in nodes], np.uint64)
            sum_inodes(inodes, own, self._seed)
            rows[own.astype(np.intp) - 1 - before] = inodes
            self._volume.write(self._groups.table_block(group), rows.tobytes())
        self._write_blocks(indexes, _INDEX_SUM, cancel)

    def _placed(self, node: Node, indexes: list[_Block]) -> Placed:
        number = node.number
        extents = self._extents.get(number)
        root: bytes | None = None
        block_count = 0
        size = node.size_bytes or len(node.target)
        if extents:
            root, below = extent_tree(extents, self._groups.take_one)
            indexes += [_Block(place, number, data) for place, data in below]
            block_count = _count(extents)
            if node.is_directory:
                size = block_count * BLOCK_BYTES
            block_count += len(below)
        attribute_block = self._attribute_blocks.get(number, 0)
        return Placed(
            size_bytes=size,
            map=root,
            block_count=block_count + bool(attribute_block),
            attribute_block=attribute_block,
            attributes=self._attributes.get(number, b""),
        )

    def _made_inodes(self) -> NDArray[np.uint8]:
        """Those that `mke2fs` has made, from the first one to lost+found."""
        data = self._volume.read(self._groups.table_block(0), 1)[: LOST_NUMBER * INODE_BYTES]
        return np.frombuffer(data, np.uint8).reshape(LOST_NUMBER, INODE_BYTES)

    def _renew_journal(self, rows: NDArray[np.uint8]) -> None:
        journal = rows[_JOURNAL_NUMBER - 1 : _JOURNAL_NUMBER]
        set_times(journal, [self._epoch])
        sum_inodes(journal, np.array([_JOURNAL_NUMBER], np.uint64), self._seed)

    def _write_blocks(self, blocks: Iterable[_Block], sum_: _Sum | None, cancel: Cancel) -> None:
        """Many at a time, those that are next to each other on the disk with one call."""
        pending = iter(blocks)
        while batch := list(islice(pending, _BATCH_BLOCKS)):
            cancel.check()
            rows = np.frombuffer(bytearray().join(block.data for block in batch), np.uint8)
            rows = rows.reshape(-1, BLOCK_BYTES)
            if sum_ is not None:
                owners = words(np.array([block.owner for block in batch], np.uint64), count=2)
                sums = crc32c_rows(crc32c_rows(self._seed, owners), rows[:, : sum_.covered])
                rows[:, sum_.offset : sum_.offset + 4] = sums.astype("<u4").view(np.uint8).reshape(-1, 4)
            places = np.array([block.place for block in batch])
            borders = np.flatnonzero(np.diff(places) != 1) + 1
            for part in np.split(np.arange(len(batch)), borders):
                self._volume.write(batch[part[0]].place, rows[part[0] : part[-1] + 1].tobytes())


def _count(extents: Iterable[Extent]) -> int:
    return sum(count for _, _, count in extents)


def _cut(data: bytes, owner: int, extents: Iterable[Extent]) -> Iterator[_Block]:
    places = (place + number for _, place, count in extents for number in range(count))
    for number, place in enumerate(places):
        yield _Block(place, owner, data[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES])
