"""The EFI system partition: FAT32 with shim, MokManager and signed GRUB out of the tree, at fixed times."""

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from goldsmith.disk.gpt import SECTOR_BYTES, Partition
from goldsmith.disk.tools import run_tool
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import InvalidInputError

# GRUB finds its stub through the prefix built into the signed program.
_PREFIX = re.compile(rb"/EFI/([A-Za-z0-9._-]{1,32})\x00")
_SUFFIXES = {"x86_64": ("x64", "x86_64"), "arm64": ("aa64", "arm64")}
_ALWAYS = ("BOOT", "debian")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootLoaders:
    """Files of the tree by their names in EFI/BOOT; `vendors`: the folders where GRUB looks for its stub."""

    files: Mapping[str, Path]
    vendors: tuple[str, ...]


def find_boot_loaders(root: Path, architecture: str) -> BootLoaders:
    """Raises InvalidInputError when the tree lacks the signed shim or GRUB of the architecture."""
    suffix, platform = _SUFFIXES[architecture]
    shim = root / f"usr/lib/shim/shim{suffix}.efi.signed"
    grub = root / f"usr/lib/grub/{platform}-efi-signed/grub{suffix}.efi.signed"
    missing = [str(path.relative_to(root)) for path in (shim, grub) if not path.is_file()]
    if missing:
        raise InvalidInputError(
            f"the root has no signed boot loader: {' and '.join(missing)} not found",
            code="BootLoaderMissing",
            hint="install shim-signed and grub-efi-amd64-signed (arm64: grub-efi-arm64-signed) in the image",
        )
    files = {f"BOOT{suffix.upper()}.EFI": shim, f"grub{suffix}.efi": grub}
    manager = shim.with_name(f"mm{suffix}.efi.signed")
    if manager.is_file():
        files[f"mm{suffix}.efi"] = manager
    found = {name.decode() for name in _PREFIX.findall(grub.read_bytes())}
    return BootLoaders(files=files, vendors=_distinct(found))


def write_esp(
    disk: Path,
    place: Partition,
    loaders: BootLoaders,
    *,
    volume_id: int,
    root_fs_id: uuid.UUID,
    epoch: int,
    cancel: Cancel | None = None,
) -> None:
    """Make the FAT32 file system at `place` in the existing raw `disk`."""
    environment = {
        "SOURCE_DATE_EPOCH": str(epoch),
        "MTOOLS_SKIP_CHECK": "1",
        "MTOOLSRC": "/dev/null",
        "MTOOLS_LOWER_CASE": "0",
    }
    target = ["-i", f"{disk}@@{place.offset}"]
    stub = f"search.fs_uuid {root_fs_id} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
    with tempfile.TemporaryDirectory(prefix=".esp-", dir=disk.parent) as folder_name:
        stage = Path(folder_name)
        for folder in loaders.vendors:
            (stage / folder).mkdir()
            (stage / folder / "grub.cfg").write_text(stub)
        for name, source in loaders.files.items():
            shutil.copyfile(source, stage / "BOOT" / name)
        run_tool(
            # One sector a cluster: at 64 MiB this gives the 65,525 clusters that make a FAT a FAT32.
            [
                *("mkfs.vfat", "--invariant", "-F", "32", "-s", "1", "-i", f"{volume_id:08x}", "-n", "ESP"),
                *("--offset", str(place.offset // SECTOR_BYTES), str(disk), str(place.size_bytes // 1024)),
            ],
            writes=disk,
            environment=environment,
            cancel=cancel,
        )
        folders = ["::EFI", *(f"::EFI/{folder}" for folder in loaders.vendors)]
        run_tool(["mmd", *target, *folders], writes=disk, environment=environment, cancel=cancel)
        for folder in loaders.vendors:
            files = sorted((stage / folder).iterdir())
            for file in files:
                os.utime(file, (epoch, epoch))
            run_tool(
                ["mcopy", "-m", *target, *files, f"::EFI/{folder}/"],
                writes=disk,
                environment=environment,
                cancel=cancel,
            )


def _distinct(found: set[str]) -> tuple[str, ...]:
    # FAT does not tell capitals from small letters, so neither may the list of folders.
    by_folded = {name.lower(): name for name in (*sorted(found), *_ALWAYS)}
    return tuple(by_folded[key] for key in sorted(by_folded))
