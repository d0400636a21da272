"""What a root tree says of itself: release, architecture, number of packages."""

import struct
from dataclasses import dataclass
from pathlib import Path

from goldsmith.kernel.errors import UnsupportedError

_SHELLS = ("usr/bin/sh", "bin/sh", "usr/bin/bash", "bin/bash", "usr/lib/systemd/systemd")
# ELF header, e_machine → Azure's word.
_MACHINES = {62: "x64", 183: "Arm64"}
_LINKS_MAX = 8
_TEXT_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFacts:
    os_version: str
    architecture: str
    package_count: int


def read_facts(root: Path) -> SystemFacts:
    """Raises UnsupportedError when the tree is no Linux system or of a machine we do not know."""
    return SystemFacts(
        os_version=_os_version(root), architecture=_architecture(root), package_count=_package_count(root)
    )


def _os_version(root: Path) -> str:
    """Debian's point release (`12.15`) where there is one, else os-release(5) VERSION_ID, else empty."""
    fields: dict[str, str] = {}
    for name in ("etc/os-release", "usr/lib/os-release"):
        for line in _text(root, name).splitlines():
            key, equals, value = line.partition("=")
            if equals:
                fields.setdefault(key.strip(), value.strip().strip("\"'"))
    point_release = _text(root, "etc/debian_version").strip()
    if fields.get("ID") == "debian" and point_release[:1].isdigit():
        return point_release
    return fields.get("VERSION_ID", "")


def _architecture(root: Path) -> str:
    for name in _SHELLS:
        path = inside(root, name)
        if path is None:
            continue
        with path.open("rb") as file:
            header = file.read(20)
        if header[:4] == b"\x7fELF" and len(header) == 20:
            order = "<" if header[5] == 1 else ">"
            (machine,) = struct.unpack(f"{order}H", header[18:20])
            if machine in _MACHINES:
                return _MACHINES[machine]
            raise UnsupportedError(
                f"the programs in {root} are for ELF machine {machine}, expected x64 or Arm64"
            )
    raise UnsupportedError(
        f"the tree {root} has no shell, so it is no Linux system",
        hint="give a disk whose root file system holds an operating system",
    )


def _package_count(root: Path) -> int:
    status = _text(root, "var/lib/dpkg/status")
    return sum(line == "Status: install ok installed" for line in status.splitlines())


def _text(root: Path, name: str) -> str:
    path = inside(root, name)
    if path is None or path.stat().st_size > _TEXT_BYTES_MAX:
        return ""
    return path.read_text(errors="replace")


def inside(root: Path, name: str) -> Path | None:
    """The regular file `name` means in the tree, links resolved below `root`; None when there is none."""
    pending = name.split("/")
    resolved: list[str] = []
    links = 0
    while pending:
        part = pending.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            resolved = resolved[:-1]
            continue
        here = root.joinpath(*resolved, part)
        if here.is_symlink():
            links += 1
            if links > _LINKS_MAX:
                return None
            target = str(here.readlink())
            if target.startswith("/"):
                resolved = []
            pending = target.split("/") + pending
        else:
            resolved.append(part)
    path = root.joinpath(*resolved)
    return path if path.is_file() else None
