"""What is in a tree of files, as the inodes and directories that a file system needs for it."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from goldsmith.disk.ext4_attributes import Attribute, stored_attribute
from goldsmith.disk.kinds import is_kept_attribute
from goldsmith.kernel.cancel import Cancel, NeverCancel
from goldsmith.kernel.errors import ConflictError, InvalidInputError

TOP_NUMBER = 2
# The directory that `mke2fs` makes for `e2fsck`, and the first inode behind it.
LOST_NUMBER = 11
LOST_NAME = b"lost+found"
FIRST_NUMBER = 12
_BLOCK_BYTES = 4096
_LINKS_MAX = 65000
_HOST_SECTOR_BYTES = 512


@dataclass(slots=True, kw_only=True)
class Node:
    """One inode: its number in the image, a path in the host by which to read it, and what was found there.

    `mode` has the type of the file in it; `has_holes` says that the host may keep less than `size_bytes`;
    `target` is that of a symbolic link; `names` are those of a directory, sorted by their bytes, with the
    node of each; `links` counts the names in this tree, whatever others the host has.
    """

    number: int
    parent: int
    path: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size_bytes: int = 0
    has_holes: bool = False
    device: int = 0
    attributes: tuple[Attribute, ...] = ()
    target: bytes = b""
    links: int = 1
    names: "list[tuple[bytes, Node]]" = field(default_factory=list)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """`nodes` are in the order of their numbers, but for the top (the first) and lost+found.

    `size_bytes` is what files and directories take in blocks of 4 KiB.
    """

    nodes: tuple[Node, ...]
    size_bytes: int


def read_content(root: Path, *, cancel: Cancel | None = None) -> Content:
    """All that is below (and with) `root`, directory by directory, depth first, sorted by the bytes of names.

    Equal trees give equal contents, whatever order the host lists them in. Raises ConflictError when the tree
    changes meanwhile, InvalidInputError when ext4 cannot hold it, OSError when it cannot be read.
    """
    stopper = cancel or NeverCancel()
    path = os.fsencode(root)
    top = _node(TOP_NUMBER, TOP_NUMBER, path, os.stat(path))  # noqa: PTH116 - bytes
    if not top.is_directory:
        raise InvalidInputError(f"the root {root} is not a directory")
    nodes = [top]
    seen: dict[tuple[int, int], Node] = {}
    number, blocks = FIRST_NUMBER, 0
    pending = [top]
    while pending:
        stopper.check()
        folder = pending.pop()
        blocks += 1
        below: list[Node] = []
        for name, path, status in _listing(folder.path):
            shared = status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode)
            known = seen.get((status.st_dev, status.st_ino)) if shared else None
            if known is not None:
                known.links += 1
                folder.names.append((name, known))
                continue
            if name == LOST_NAME and folder is top:
                node = _node(LOST_NUMBER, TOP_NUMBER, path, status)
                if not node.is_directory:
                    raise InvalidInputError(
                        "the root has a /lost+found that is no directory", hint="remove or rename it"
                    )
            else:
                node = _node(number, folder.number, path, status)
                number += 1
            nodes.append(node)
            folder.names.append((name, node))
            if node.is_directory:
                below.append(node)
                continue
            blocks += -(-status.st_size // _BLOCK_BYTES)
            if shared:
                seen[status.st_dev, status.st_ino] = node
        folder.links = 2 + len(below)
        pending += reversed(below)
    for node in seen.values():
        if node.links > _LINKS_MAX:
            raise InvalidInputError(
                f"{os.fsdecode(node.path)} has {node.links} names, expected at most {_LINKS_MAX}",
                hint="ext4 holds no more names of one file: make copies of it",
            )
    return Content(nodes=tuple(nodes), size_bytes=blocks * _BLOCK_BYTES)


def changed(path: bytes) -> ConflictError:
    return ConflictError(
        f"{os.fsdecode(path)} changed while it was written to a disk",
        hint="let nothing else write to the tree, then run it again",
    )


def _listing(folder: bytes) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    try:
        with os.scandir(folder) as listing:
            found = sorted((item.name, item) for item in listing)
        for name, item in found:
            yield name, item.path, item.stat(follow_symlinks=False)
    except FileNotFoundError as error:
        raise changed(folder) from error


def _node(number: int, parent: int, path: bytes, status: os.stat_result) -> Node:
    is_link, is_file = stat.S_ISLNK(status.st_mode), stat.S_ISREG(status.st_mode)
    return Node(
        number=number,
        parent=parent,
        path=path,
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        size_bytes=status.st_size if is_file else 0,
        has_holes=is_file and status.st_blocks * _HOST_SECTOR_BYTES < status.st_size,
        device=status.st_rdev,
        attributes=_attributes(path),
        target=os.readlink(path) if is_link else b"",  # noqa: PTH115 - bytes, and many of them
    )


def _attributes(path: bytes) -> tuple[Attribute, ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except FileNotFoundError as error:
        raise changed(path) from error
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    # The host's own labels (SELinux, IMA) are no part of a tree, as its manifest has it.
    found = [
        stored_attribute(os.fsencode(name), os.getxattr(path, name, follow_symlinks=False))
        for name in names
        if is_kept_attribute(name)
    ]
    return tuple(sorted(item for item in found if item is not None))
