"""Small Debian root directories for tests, and the subject their SBOMs are of."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from goldsmith.sbom.model import Subject

OS_RELEASE = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n'

SUBJECT = Subject(
    gallery="golden",
    definition="web server",
    version="1.2.3",
    publisher="Example Platform Team",
    disk_digest="sha256:" + "1" * 64,
    base_urn="debian:debian-12:12-gen2:0.20261101.1",
    base_digest="sha256:" + "2" * 64,
    build_id="b-7",
    created=datetime(2026, 11, 26, 4, 0, tzinfo=UTC),
    facts={"releaseType": "standard"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deb:
    """A package as it is written into a root: `files` are its own, `conffiles` its configuration."""

    name: str
    version: str = "1.0-1"
    architecture: str = "amd64"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    conffiles: Mapping[str, bytes] = field(default_factory=dict)
    status: str = "install ok installed"
    multi_arch: bool = False


def make_root(root: Path, debs: Iterable[Deb], *, os_release: str | None = OS_RELEASE) -> Path:
    """A root with these packages installed, its `bin` and `lib` links into `usr` as Debian has them."""
    for directory in ("etc", "usr/bin", "usr/lib", "var/lib/dpkg/info", "boot"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    if os_release is not None:
        put(root, "usr/lib/os-release", os_release.encode())
        (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    stanzas = [_install(root, deb) for deb in debs]
    put(root, "var/lib/dpkg/status", "\n".join(stanzas).encode())
    return root


def put(root: Path, path: str, data: bytes) -> Path:
    where = root / path
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(data)
    return where


def _install(root: Path, deb: Deb) -> str:
    info = root / "var/lib/dpkg/info"
    stem = f"{deb.name}:{deb.architecture}" if deb.multi_arch else deb.name
    paths = sorted([*deb.files, *deb.conffiles])
    (info / f"{stem}.list").write_text("".join(f"/{path}\n" for path in ("./", *paths)))
    sums = "".join(f"{_md5(data)}  {path}\n" for path, data in deb.files.items())
    (info / f"{stem}.md5sums").write_text(sums)
    for path, data in {**deb.files, **deb.conffiles}.items():
        put(root, path, data)
    fields = {
        "Package": deb.name,
        "Status": deb.status,
        "Maintainer": "Debian Testers <testers@lists.example.org>",
        "Architecture": deb.architecture,
        "Version": deb.version,
        **deb.fields,
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    if deb.conffiles:
        text += "Conffiles:\n"
        text += "".join(f" /{path} {_md5(data)}\n" for path, data in deb.conffiles.items())
    return text + "Description: a package\n that is made up\n .\n for tests\n"


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
