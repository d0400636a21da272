"""Disk files by their contents: which format, how large a disk, and from one format into another."""

import os
import struct
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from goldsmith.disk.tools import run_tool
from goldsmith.kernel.cancel import Cancel
from goldsmith.kernel.errors import CorruptError, InvalidInputError, UnsupportedError
from goldsmith.kernel.files import no_space

MIB = 1 << 20
_SECTOR_BYTES = 512
_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_EXTERNAL_DATA = 0x4
_QCOW2_HEADER_BYTES = 104
_VHD_COOKIE = b"conectix"
_VHD_EPOCH = 946684800  # 2000-01-01, from which the footer counts
_VHD_FIXED, _VHD_DYNAMIC = 2, 3
_NOT_DISKS = {
    b"\x1f\x8b": "compressed with gzip",
    b"\xfd7zXZ\0": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"vhdxfile": "in the format VHDX",
    b"KDMV": "in the format VMDK",
    b"# Disk DescriptorFile": "in the format VMDK",
    b"<<< Oracle VM VirtualBox": "in the format VDI",
    b"<<< QEMU VM Virtual Disk": "in the format VDI",
}


class DiskFormat(StrEnum):
    RAW = "raw"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHD_DYNAMIC = "vhd-dynamic"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskInfo:
    """`virtual_size_bytes` is the size of the disk that a machine would see."""

    format: DiskFormat
    virtual_size_bytes: int
    file_size_bytes: int


def inspect_disk(path: Path) -> DiskInfo:
    """What a disk file is, whatever it is called.

    Raises UnsupportedError for compressed files, formats not read here, and a QCOW2 that is encrypted or
    reads from another file (which could be any file of the host); CorruptError for one that is cut off.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(max(0, size - _SECTOR_BYTES))
        tail = file.read(_SECTOR_BYTES)
    if head.startswith(_QCOW2_MAGIC):
        return _inspect_qcow2(path, head, size)
    if tail.startswith(_VHD_COOKIE):
        return _inspect_vhd(path, tail, size)
    for magic, words in _NOT_DISKS.items():
        if head.startswith(magic):
            raise UnsupportedError(
                f"{path} is {words}, expected raw, QCOW2 or VHD",
                hint="unpack or convert it first, for instance with 'qemu-img convert -O qcow2'",
            )
    if size == 0 or size % _SECTOR_BYTES:
        raise CorruptError(
            f"{path} has {size} bytes, expected a raw disk of whole sectors of {_SECTOR_BYTES} bytes",
            hint="the file is cut off or no disk image; fetch it again",
        )
    return DiskInfo(format=DiskFormat.RAW, virtual_size_bytes=size, file_size_bytes=size)


def raw_to_qcow2(raw: Path, out: Path, *, compressed: bool = False, cancel: Cancel | None = None) -> None:
    """Equal disks give equal files (of one version of qemu-img); `compressed` is with zstd."""
    options = ["-c", "-o", "compression_type=zstd"] if compressed else []
    _convert(["-f", "raw", "-O", "qcow2", *options, str(raw)], out, cancel)


def raw_to_vhd(raw: Path, out: Path, *, epoch: int, id_: uuid.UUID, cancel: Cancel | None = None) -> None:
    """A fixed VHD, as Azure takes it; raises InvalidInputError unless the disk is a multiple of 1 MiB."""
    footer = vhd_footer(raw.stat().st_size, epoch=epoch, id_=id_)
    partial = _partial(out)
    try:
        run_tool(["cp", "--sparse=always", "--reflink=auto", raw, partial], writes=partial, cancel=cancel)
        partial.chmod(0o644)
        with no_space(out), partial.open("ab") as file:
            file.write(footer)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def to_raw(source: Path, out: Path, *, cancel: Cancel | None = None) -> DiskInfo:
    """Write the disk in `source`, of any format that `inspect_disk` knows, as a sparse raw file."""
    info = inspect_disk(source)
    match info.format:
        case DiskFormat.RAW | DiskFormat.VHD:
            partial = _partial(out)
            try:
                run_tool(
                    ["cp", "--sparse=always", "--reflink=auto", source, partial],
                    writes=partial,
                    cancel=cancel,
                )
                partial.chmod(0o644)
                os.truncate(partial, info.virtual_size_bytes)
                partial.replace(out)
            finally:
                partial.unlink(missing_ok=True)
        case DiskFormat.QCOW2:
            _convert(["-f", "qcow2", "-O", "raw", str(source)], out, cancel)
        case DiskFormat.VHD_DYNAMIC:
            # By its own word on its size; the geometry in the footer is rounded.
            name = str(source.absolute()).replace(",", ",,")
            options = f"driver=vpc,force_size_calc=current_size,file.driver=file,file.filename={name}"
            _convert(["--image-opts", "-O", "raw", options], out, cancel)
    return info


def vhd_footer(size_bytes: int, *, epoch: int, id_: uuid.UUID) -> bytes:
    """The 512 bytes that make a raw disk a fixed VHD (Virtual Hard Disk Image Format Specification 1.0).

    Raises InvalidInputError unless the size is a positive multiple of 1 MiB.
    """
    if size_bytes <= 0 or size_bytes % MIB:
        raise InvalidInputError(
            f"a VHD of {size_bytes} bytes was asked for, expected a multiple of 1 MiB",
            code="InvalidDiskSize",
            hint="give the disk a size in whole MiB",
        )
    cylinders, heads, sectors = _geometry(size_bytes // _SECTOR_BYTES)
    footer = bytearray(
        struct.pack(
            ">8sIIQI4sI4sQQHBBII16s",
            _VHD_COOKIE,
            2,
            0x10000,
            0xFFFFFFFFFFFFFFFF,
            max(0, epoch - _VHD_EPOCH),
            # Readers believe the size field only of makers they know, and this one they do.
            b"qem2",
            0x10000,
            b"Wi2k",
            size_bytes,
            size_bytes,
            cylinders,
            heads,
            sectors,
            _VHD_FIXED,
            0,
            id_.bytes,
        ).ljust(_SECTOR_BYTES, b"\0")
    )
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    return bytes(footer)


def _geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors a track: the specification's appendix, CHS calculation."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        per_track, heads = 255, 16
        rows = sectors // per_track
    else:
        per_track = 17
        rows = sectors // per_track
        heads = max((rows + 1023) // 1024, 4)
        if rows >= heads * 1024 or heads > 16:
            per_track, heads = 31, 16
            rows = sectors // per_track
        if rows >= heads * 1024:
            per_track, heads = 63, 16
            rows = sectors // per_track
    return rows // heads, heads, per_track


def _inspect_qcow2(path: Path, head: bytes, size: int) -> DiskInfo:
    if len(head) < _QCOW2_HEADER_BYTES:
        raise CorruptError(f"{path} begins as QCOW2 and is cut off after {size} bytes")
    version, backing = struct.unpack_from(">IQ", head, 4)
    virtual, encryption = struct.unpack_from(">QI", head, 24)
    features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
    if backing or features & _QCOW2_EXTERNAL_DATA:
        raise UnsupportedError(
            f"{path} takes its contents from another file",
            hint="make it whole first with 'qemu-img convert -O qcow2'",
        )
    if encryption:
        raise UnsupportedError(
            f"{path} is encrypted", hint="decrypt it first with 'qemu-img convert' and its secret"
        )
    return DiskInfo(format=DiskFormat.QCOW2, virtual_size_bytes=virtual, file_size_bytes=size)


def _inspect_vhd(path: Path, tail: bytes, size: int) -> DiskInfo:
    virtual = struct.unpack_from(">Q", tail, 48)[0]
    kind, checksum = struct.unpack_from(">II", tail, 60)
    if ~sum(tail[:64] + tail[68:]) & 0xFFFFFFFF != checksum:
        raise CorruptError(f"the footer of the VHD {path} is damaged", hint="fetch the file again")
    if kind == _VHD_FIXED:
        if virtual + _SECTOR_BYTES != size:
            raise CorruptError(f"the VHD {path} has {size} bytes, expected {virtual + _SECTOR_BYTES}")
        return DiskInfo(format=DiskFormat.VHD, virtual_size_bytes=virtual, file_size_bytes=size)
    if kind == _VHD_DYNAMIC:
        return DiskInfo(format=DiskFormat.VHD_DYNAMIC, virtual_size_bytes=virtual, file_size_bytes=size)
    raise UnsupportedError(f"the VHD {path} takes its contents from another file", hint="merge it first")


def _convert(arguments: list[str], out: Path, cancel: Cancel | None) -> None:
    partial = _partial(out)
    try:
        run_tool(["qemu-img", "convert", *arguments, str(partial)], writes=partial, cancel=cancel)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _partial(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(f".{out.name}.{os.getpid()}.partial")
