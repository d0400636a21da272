"""A root tree becomes a UEFI disk: GPT, ESP with the signed boot loaders, ext4 root; no root, loop or mount.

The same tree, plan and tools give the same bytes, whoever runs it and wherever.
"""

import os
import uuid
from dataclasses import dataclass, fields
from pathlib import Path

from goldsmith.disk.esp import find_boot_loaders, write_esp
from goldsmith.disk.ext4_nodes import Content, read_content
from goldsmith.disk.gpt import TYPE_ESP, TYPE_ROOT_ARM64, TYPE_ROOT_X86_64, Partition, write_gpt
from goldsmith.disk.model import FileWrite
from goldsmith.disk.tools import run_tool
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.files import no_space
from goldsmith.kernel.json import JsonObject

MIB = 1 << 20
GIB = 1 << 30
# The kernel tests the timer at boot and panics when it fails, which an emulated one does on a busy host.
KERNEL_ARGUMENTS = "console=tty0 console=ttyS0,115200 no_timer_check"
_ESP_BYTES = 64 * MIB
_DISK_BYTES_MIN = 2 * GIB
_HEADROOM_BYTES = 512 * MIB
_BLOCK_BYTES = 4096
_NAMESPACE = uuid.UUID("5b9bb2c8-3a6c-5c05-9d4f-0f6f1c1f9b2e")
_ROOT_TYPES = {"x86_64": TYPE_ROOT_X86_64, "arm64": TYPE_ROOT_ARM64}
# Features are named one by one, because each host's mke2fs.conf has others, and GRUB of Debian 12 reads only
# these.
_FEATURES = (
    "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
_UUID_FIELDS = ("disk_id", "esp_part_id", "root_part_id", "root_fs_id", "hash_seed")
# Bytes of the disk for each inode; percent of the blocks that only root may fill.
_INODE_RATIO = 16384
_RESERVED_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyPlan:
    """Where everything goes on the disk and what it is called; sizes and offsets in bytes, `epoch` in
    seconds.

    The names follow from the seed alone, so that boot files can be written before the size is known.
    """

    size_bytes: int
    epoch: int
    architecture: str
    kernel_arguments: str
    disk_id: uuid.UUID
    esp_part_id: uuid.UUID
    esp_volume_id: int
    root_part_id: uuid.UUID
    root_fs_id: uuid.UUID
    hash_seed: uuid.UUID

    @property
    def esp(self) -> Partition:
        return Partition(
            number=1, offset=MIB, size_bytes=_ESP_BYTES, type=TYPE_ESP, id=self.esp_part_id, name="ESP"
        )

    @property
    def root(self) -> Partition:
        start = MIB + _ESP_BYTES
        return Partition(
            number=2,
            offset=start,
            # The last MiB holds the second copy of the partition table.
            size_bytes=self.size_bytes - start - MIB,
            type=_ROOT_TYPES[self.architecture],
            id=self.root_part_id,
            name="root",
        )


def plan_assembly(
    seed: str,
    *,
    content_bytes: int,
    epoch: int,
    size_bytes: int | None = None,
    architecture: str = "x86_64",
    kernel_arguments: str = KERNEL_ARGUMENTS,
) -> AssemblyPlan:
    """Plan a disk for a tree of `content_bytes` (see `read_content`); without `size_bytes`, whole GiB with
    room.

    Raises InvalidInputError when the size is not a multiple of 1 MiB, too small for the content, or the
    architecture is not `x86_64` or `arm64`.
    """
    if architecture not in _ROOT_TYPES:
        raise InvalidInputError(
            f"disks for '{architecture}' cannot be assembled, expected {' or '.join(_ROOT_TYPES)}"
        )
    # Inode tables, journal and the reserved share of ext4 come on top of the files' blocks.
    least = _ESP_BYTES + 2 * MIB + content_bytes + content_bytes // 8 + 96 * MIB
    if size_bytes is None:
        size_bytes = max(_DISK_BYTES_MIN, -(-(least + _HEADROOM_BYTES) // GIB) * GIB)
    elif size_bytes % MIB or size_bytes < least:
        raise InvalidInputError(
            f"a disk of {size_bytes} bytes was asked for, expected whole MiB and at least {least} bytes",
            code="InvalidDiskSize",
            hint=f"ask for {-(-least // GIB)} GiB or more",
        )
    names = uuid.uuid5(_NAMESPACE, seed)

    def derived(role: str) -> uuid.UUID:
        return uuid.uuid5(names, role)

    return AssemblyPlan(
        size_bytes=size_bytes,
        epoch=epoch,
        architecture=architecture,
        kernel_arguments=kernel_arguments,
        disk_id=derived("disk"),
        esp_part_id=derived("esp-part"),
        esp_volume_id=derived("esp-fs").int >> 96,
        root_part_id=derived("root-part"),
        root_fs_id=derived("root-fs"),
        hash_seed=derived("hash-seed"),
    )


def boot_files(kernel_version: str, plan: AssemblyPlan) -> list[FileWrite]:
    """What the root must hold so that the disk boots: grub.cfg, fstab and the mount point of the ESP."""
    arguments = f"root=PARTUUID={plan.root_part_id} ro {plan.kernel_arguments}".strip()
    grub = f"""set timeout=0
serial --unit=0 --speed=115200
# The links at the top follow kernel upgrades made inside the machine.
if [ -e /boot/vmlinuz-{kernel_version} ]; then
  linux /boot/vmlinuz-{kernel_version} {arguments}
  initrd /boot/initrd.img-{kernel_version}
else
  linux /vmlinuz {arguments}
  initrd /initrd.img
fi
boot
"""
    table = (
        f"PARTUUID={plan.root_part_id} / ext4 defaults,errors=remount-ro 0 1\n"
        f"PARTUUID={plan.esp_part_id} /boot/efi vfat umask=0077,nofail,x-systemd.automount 0 2\n"
    )
    return [
        FileWrite(path="boot/efi", content=None, mode=0o755),
        FileWrite(path="boot/grub/grub.cfg", content=grub.encode()),
        FileWrite(path="etc/fstab", content=table.encode()),
    ]


def assemble(
    root: Path,
    out: Path,
    plan: AssemblyPlan,
    *,
    content: Content | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Write the raw disk `out` (sparse; absent unless whole) from the tree `root`.

    `content` is what `read_content` gave for the same tree just now, when the caller has it already. The
    caller must see the tree with its owners: as root, or inside the user namespace that owns it.
    Raises InvalidInputError when the tree has no signed boot loader or does not fit, ConflictError when it
    changes meanwhile, NoSpaceError.
    """
    loaders = find_boot_loaders(root, plan.architecture)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with no_space(out):
            with partial.open("wb") as disk:
                disk.truncate(plan.size_bytes)
            write_gpt(partial, plan.disk_id, (plan.esp, plan.root))
            write_esp(
                partial,
                plan.esp,
                loaders,
                volume_id=plan.esp_volume_id,
                root_fs_id=plan.root_fs_id,
                epoch=plan.epoch,
                cancel=cancel,
            )
            write_root(content or read_content(root, cancel=cancel), partial, plan, cancel=cancel)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def write_root(content: Content, disk: Path, plan: AssemblyPlan, *, cancel: Cancel | None = None) -> None:
    """Make the root file system in its partition of the raw `disk`, which has only zeros there.

    Raises InvalidInputError when `content` does not fit, ConflictError when the tree has changed since.
    """
    # It brings numpy along, for which the many short programs that import this module need not wait.
    from goldsmith.disk.ext4_groups import FullError
    from goldsmith.disk.ext4_populate import populate

    _make_file_system(disk, plan, cancel)
    try:
        populate(disk, plan.root.offset, content, epoch=plan.epoch, cancel=cancel)
    except FullError as error:
        raise InvalidInputError(
            f"the root does not fit on a disk of {plan.size_bytes} bytes",
            code="InvalidDiskSize",
            hint="ask for a larger disk, or none to have the size computed",
        ) from error


def _make_file_system(disk: Path, plan: AssemblyPlan, cancel: Cancel | None) -> None:
    """An empty one; its tables and journal need no zeros, because the file has nothing else."""
    extended = (
        f"offset={plan.root.offset},hash_seed={plan.hash_seed},root_owner=0:0,lazy_itable_init=1,"
        "lazy_journal_init=1,nodiscard"
    )
    options = {
        "-O": _FEATURES,
        "-b": _BLOCK_BYTES,
        "-I": 256,
        "-i": _INODE_RATIO,
        "-m": _RESERVED_PERCENT,
        "-U": plan.root_fs_id,
        "-L": "root",
        "-E": extended,
    }
    words = [str(word) for option in options.items() for word in option]
    run_tool(
        ["mke2fs", "-q", "-F", *words, disk, str(plan.root.size_bytes // _BLOCK_BYTES)],
        writes=disk,
        environment={
            # The host's defaults are not ours.
            "MKE2FS_CONFIG": os.devnull,
            "MKE2FS_SYNC": "0",
            "E2FSPROGS_FAKE_TIME": str(plan.epoch),
            "SOURCE_DATE_EPOCH": str(plan.epoch),
        },
        cancel=cancel,
    )


def plan_to_json(plan: AssemblyPlan) -> JsonObject:
    values = {item.name: getattr(plan, item.name) for item in fields(AssemblyPlan)}
    return {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in values.items()}


def plan_from_json(values: JsonObject) -> AssemblyPlan:
    ids = {name: uuid.UUID(values[name]) for name in _UUID_FIELDS}
    return AssemblyPlan(**{**values, **ids})
