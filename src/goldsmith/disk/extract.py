"""A disk file becomes a root tree with owners, modes, times and attributes.

As root the file system is mounted through a loop device in a private namespace, which takes both with it when
it ends; without root, ext4 is read by debugfs inside a user namespace.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.disk import ext4
from goldsmith.disk.filesystems import FileSystem, Volume, read_volume
from goldsmith.disk.formats import DiskFormat, inspect_disk, to_raw
from goldsmith.disk.gpt import TYPE_ROOT_ARM64, TYPE_ROOT_X86_64, Partition, read_partitions
from goldsmith.disk.sandbox import owner_call
from goldsmith.disk.tools import run_tool
from goldsmith.kernel import proc
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import ConflictError, CorruptError, UnsupportedError
from goldsmith.kernel.files import no_space

_READABLE = (FileSystem.EXT, FileSystem.XFS, FileSystem.BTRFS)
_LOCKED = (FileSystem.LUKS, FileSystem.BITLOCKER, FileSystem.LVM, FileSystem.RAID, FileSystem.NTFS)
_ROOT_TYPES = (TYPE_ROOT_X86_64, TYPE_ROOT_ARM64)
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedRoot:
    """Where the tree came from: number of the root's partition (0: the disk has none) and its file system."""

    partition: int
    kind: FileSystem
    boot_partition: int | None = None
    disk_size_bytes: int


def find_volumes(disk: Path) -> list[Volume]:
    """What is on each partition of a raw disk, or on the disk itself when it has none."""
    partitions = read_partitions(disk)
    if not partitions:
        partitions = [Partition(number=0, offset=0, size_bytes=disk.stat().st_size)]
    return [read_volume(disk, partition) for partition in partitions]


def order_candidates(volumes: Sequence[Volume]) -> list[Volume]:
    """The volumes that may be the root, the likeliest first: by partition type, then by size.

    Raises UnsupportedError, saying what is there, when there is none.
    """
    readable = [volume for volume in volumes if volume.kind in _READABLE]
    locked = sorted({volume.kind.value for volume in volumes if volume.kind in _LOCKED})
    if not readable:
        found = ", ".join(locked) or "no file system that can hold Linux"
        raise UnsupportedError(
            f"the disk has no root file system that can be read: found {found}, expected ext4, xfs or btrfs",
            code="UnsupportedDiskLayout",
            hint="bring an image whose root is a plain partition: not encrypted, no LVM, RAID or Windows",
        )
    return sorted(
        readable,
        key=lambda volume: (volume.partition.type not in _ROOT_TYPES, -volume.partition.size_bytes),
    )


def extract(disk: Path, target: Path, *, scratch: Path, cancel: Cancel | None = None) -> ExtractedRoot:
    """Unpack the root file system of the disk file `disk` (raw, QCOW2 or VHD) into the new directory
    `target`.

    A separate /boot named in its fstab is unpacked into it. `scratch` is a directory for the raw disk.
    Raises UnsupportedError (LUKS, LVM, NTFS, ...; xfs and btrfs without root), CorruptError, NoSpaceError,
    ConflictError when `target` exists.
    """
    if target.exists():
        raise ConflictError(f"{target} exists", hint="remove it, or extract into another directory")
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".extract-", dir=scratch) as name, no_space(target):
        raw = disk
        info = inspect_disk(disk)
        if info.format not in (DiskFormat.RAW, DiskFormat.VHD):
            raw = Path(name) / "disk.raw"
            to_raw(disk, raw, cancel=cancel)
        volumes = find_volumes(raw)
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            for volume in order_candidates(volumes):
                source = _clean(raw, volume, Path(name), cancel)
                owner_call("copy_out", _arguments(*source, partial), cancel=cancel)
                if any(
                    (partial / place).is_symlink() or (partial / place).is_file() for place in _OS_RELEASE
                ):
                    break
                owner_call("remove", {"path": str(partial)})
            else:
                raise UnsupportedError(
                    f"none of the file systems in {disk} has an /etc/os-release",
                    code="UnsupportedDiskLayout",
                    hint="bring the image of an installed Linux",
                )
            boot = find_boot((partial / "etc/fstab"), volumes)
            if boot is not None and boot.kind in _READABLE:
                source = _clean(raw, boot, Path(name), cancel)
                owner_call("copy_out", _arguments(*source, partial / "boot"), cancel=cancel)
            partial.rename(target)
        finally:
            if partial.exists():
                owner_call("remove", {"path": str(partial)})
    return ExtractedRoot(
        partition=volume.partition.number,
        kind=volume.kind,
        boot_partition=boot.partition.number if boot is not None else None,
        disk_size_bytes=info.virtual_size_bytes,
    )


def find_boot(fstab: Path, volumes: Sequence[Volume]) -> Volume | None:
    """The volume that fstab(5) mounts at /boot, by UUID=, LABEL= or PARTUUID=; None for none of them."""
    try:
        lines = fstab.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0].startswith("#") or words[1].rstrip("/") != "/boot":
            continue
        name, _, value = words[0].partition("=")
        value = value.strip('"').lower()
        for volume in volumes:
            names = {
                "UUID": volume.id,
                "LABEL": volume.label.lower(),
                "PARTUUID": str(volume.partition.id or ""),
            }
            if value and names.get(name.upper()) == value:
                return volume
    return None


def _clean(raw: Path, volume: Volume, scratch: Path, cancel: Cancel | None) -> tuple[Path, Volume]:
    """The same, or, when the file system was not left cleanly, a repaired copy of it in a file of its own."""
    if volume.kind is not FileSystem.EXT:
        return raw, volume
    with raw.open("rb") as file:
        block = ext4.read_super_block(file, volume.partition.offset)
    if block is None or not block.needs_recovery:
        return raw, volume
    # Alone, because e2fsck forgets an offset when it opens the file again after the journal.
    copy = scratch / f"partition-{volume.partition.number}.raw"
    skip = f"skip={volume.partition.offset}"
    words = ["dd", f"if={raw}", f"of={copy}", "bs=4M", skip, f"count={volume.partition.size_bytes}"]
    words += ["iflag=skip_bytes,count_bytes,fullblock", "conv=sparse", "status=none"]
    run_tool(words, writes=copy, cancel=cancel)
    os.truncate(copy, volume.partition.size_bytes)
    result = run_tool(["e2fsck", "-f", "-y", copy], writes=copy, check=False, cancel=cancel)
    if result.returncode & ~3:
        raise CorruptError(
            f"the file system in partition {volume.partition.number} cannot be repaired:"
            f" {proc.last_lines(result.text, 3)}",
            hint="start and shut down the machine it comes from, then copy its disk again",
        )
    return copy, replace(volume, partition=replace(volume.partition, offset=0))


def _arguments(raw: Path, volume: Volume, target: Path) -> dict[str, object]:
    return {
        "disk": str(raw.absolute()),
        "number": volume.partition.number,
        "offset": volume.partition.offset,
        "size_bytes": volume.partition.size_bytes,
        "target": str(target.absolute()),
    }
