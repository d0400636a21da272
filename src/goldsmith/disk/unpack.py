"""Copying all files out of a file system in a raw disk; called inside a private namespace, as its root."""

import os
import re
import stat
import tempfile
from pathlib import Path

from goldsmith.disk import ext4, mounts
from goldsmith.disk.filesystems import FileSystem, Volume
from goldsmith.disk.kinds import is_kept_attribute
from goldsmith.disk.tools import raise_if_full, run_tool
from goldsmith.kernel.errors import CorruptError, UnsupportedError

# Read-only without writing a journal back: the disk stays as it is.
_MOUNT_OPTIONS = {
    FileSystem.EXT: "ro,noload",
    FileSystem.XFS: "ro,norecovery,nouuid",
    FileSystem.BTRFS: "ro",
}
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_ATTRIBUTE_NAME = re.compile(r"^\s+([a-z]+\.[^\s(]+) \(\d+\)", re.MULTILINE)
_INODE_PATH = re.compile(r"^(\d+)\s+(/.*)$", re.MULTILINE)


def copy_out(disk: Path, volume: Volume, target: Path) -> None:
    """Copy all of a file system of a raw disk into `target`.

    Raises UnsupportedError when the file system is not ext4 and cannot be mounted, CorruptError,
    NoSpaceError.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mnt-", dir=target.parent) as name:
        place = Path(name)
        problem = _mount(disk, volume, place)
        if problem is None:
            try:
                run_tool(["cp", "-a", "--reflink=auto", f"{place}/.", target], writes=target)
            finally:
                run_tool(["umount", place], writes=target, check=False)
        elif volume.kind is FileSystem.EXT:
            dump_ext(disk, volume.partition.offset, target, place)
        else:
            raise UnsupportedError(
                f"the file system {volume.kind.value} cannot be mounted here: {problem}",
                hint="run as root on a kernel that has it, or convert the root to ext4",
            )
    lost = target / "lost+found"
    if lost.is_dir() and not any(lost.iterdir()):
        status = target.stat()
        lost.rmdir()
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _mount(disk: Path, volume: Volume, place: Path) -> str | None:
    """Why the file system could not be mounted at `place`, or None when it was."""
    if not mounts.is_real_root():
        return "needs root"
    where = f"offset={volume.partition.offset},sizelimit={volume.partition.size_bytes}"
    options = f"{_MOUNT_OPTIONS[volume.kind]},nosuid,nodev,noexec,loop,{where}"
    result = run_tool(
        ["mount", "-t", volume.kind.value, "-o", options, disk, place], writes=place, check=False
    )
    return None if result.returncode == 0 else result.error_text.strip()


def dump_ext(disk: Path, offset: int, target: Path, scratch: Path) -> None:
    """Copy all of the ext4 at `offset` into `target` without mounting it; device nodes are left out."""
    image = f"{disk}?offset={offset}"
    result = run_tool(["debugfs", "-f", "-", image], input=_command("rdump", "/", str(target)), writes=target)
    raise_if_full(result.error_text, target)
    if not any(target.iterdir()):
        raise CorruptError(
            f"the file system at {offset} of {disk} cannot be read: {result.error_text.strip()}"
        )
    _restore(disk, offset, target, scratch)


def _restore(disk: Path, offset: int, target: Path, scratch: Path) -> None:
    """Give what debugfs has written the rest: special bits, times of links, second names, attributes."""
    image = f"{disk}?offset={offset}"
    inodes = {
        inode.number: inode
        for inode in ext4.read_inodes(disk, offset)
        if inode.has_attributes
        or inode.mode & _SPECIAL_BITS
        or stat.S_ISLNK(inode.mode)
        or (stat.S_ISREG(inode.mode) and inode.link_count > 1)
    }
    if not inodes:
        return
    numbers = [str(number) for number in inodes]
    names = run_tool(["debugfs", "-f", "-", image], input=_command("ncheck", *numbers), writes=target).text
    first: dict[str, Path] = {}
    for number, path in _INODE_PATH.findall(names):
        inode, place = inodes[int(number)], target / path.lstrip("/")
        if not place.is_symlink() and not place.exists():
            continue
        if stat.S_ISREG(inode.mode) and first.setdefault(number, place) != place:
            _link(first[number], place)
            continue
        if stat.S_ISLNK(inode.mode):
            os.utime(place, (inode.mtime, inode.mtime), follow_symlinks=False)
        else:
            place.chmod(stat.S_IMODE(inode.mode))
        if inode.has_attributes:
            _restore_attributes(image, number, place, scratch / "value")


def _link(first: Path, place: Path) -> None:
    status = place.parent.stat()
    place.unlink()
    os.link(first, place)
    os.utime(place.parent, ns=(status.st_atime_ns, status.st_mtime_ns))


def _restore_attributes(image: str, number: str, place: Path, value: Path) -> None:
    listed = run_tool(["debugfs", "-R", f"ea_list <{number}>", image], writes=value).text
    for name in _ATTRIBUTE_NAME.findall(listed):
        if is_kept_attribute(name):
            words = ("ea_get", "-f", str(value), f"<{number}>", name)
            run_tool(["debugfs", "-f", "-", image], input=_command(*words), writes=value)
            os.setxattr(place, name, value.read_bytes(), follow_symlinks=False)


def _command(*words: str) -> bytes:
    # debugfs knows double quotes, doubled to mean themselves, and no escapes.
    return " ".join('"' + word.replace('"', '""') + '"' for word in words).encode() + b"\n"
