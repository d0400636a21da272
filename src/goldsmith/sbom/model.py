"""The nouns of an SBOM: what was found in a sealed root, of which image, and by which steps it came."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class FileState(StrEnum):
    """How a file stands to the package database."""

    PRISTINE = "pristine"  # its digest is the one its package records
    MODIFIED = "modified"  # its package records another digest
    UNOWNED = "unowned"  # no installed package has it
    UNVERIFIABLE = "unverifiable"  # a package has it but records no digest


class BootRole(StrEnum):
    """What a boot file does between firmware and init."""

    KERNEL = "kernel"
    INITRD = "initrd"
    SHIM = "shim"
    GRUB = "grub"
    EFI_PROGRAM = "efi program"


class Ecosystem(StrEnum):
    """Where a language package comes from; the value is its purl type."""

    PYPI = "pypi"
    NPM = "npm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The identity the root gives itself in os-release(5)."""

    id: str
    version_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SourceVersion:
    """A source package and its version, which advisories are written about."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One installed binary package.

    `depends` holds Pre-Depends and Depends, each a group of alternative names; `provides` the virtual names.
    `licence` is an SPDX expression, or None when the root holds no statement.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    maintainer: str = ""
    section: str = ""
    summary: str = ""
    homepage: str = ""
    installed_size_kib: int | None = None
    depends: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()
    built_using: tuple[SourceVersion, ...] = ()
    licence: str | None = None
    deb_sha256: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Name and architecture: what dpkg allows once."""
        return (self.name, self.architecture)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguagePackage:
    """A package of a language's own manager that no distribution package owns."""

    ecosystem: Ecosystem
    name: str
    version: str
    path: str
    supplier: str = ""
    licence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedLicence:
    """The text behind a `LicenseRef-…` that an expression uses."""

    id: str
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFile:
    """A file the firmware or boot loader runs or loads; `path` is relative to the root."""

    path: str
    role: BootRole
    state: FileState
    size_bytes: int
    sha1: str
    sha256: str
    package: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnownedFile:
    """A file that is not exactly what a package installed; `path` is relative to the root."""

    path: str
    state: FileState
    size_bytes: int
    sha1: str
    sha256: str
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What was looked at, as counts of regular files; all zero when the tree was not walked."""

    walked: bool = False
    seen: int = 0
    pristine: int = 0
    modified: int = 0
    unowned: int = 0
    unverifiable: int = 0
    generated: int = 0
    missing: int = 0
    boot: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything found in one root; every sequence is sorted."""

    distribution: Distribution
    packages: tuple[Package, ...]
    language_packages: tuple[LanguagePackage, ...] = ()
    boot_files: tuple[BootFile, ...] = ()
    files: tuple[UnownedFile, ...] = ()
    extracted_licences: tuple[ExtractedLicence, ...] = ()
    coverage: Coverage = Coverage()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageVersion:
    """A binary package at one version."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A binary package that went from one version to another."""

    name: str
    architecture: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One customisation step and what it did to the root; `digest` is that of its layer."""

    index: int
    name: str
    digest: str
    packages_added: tuple[PackageVersion, ...] = ()
    packages_changed: tuple[PackageChange, ...] = ()
    packages_removed: tuple[PackageVersion, ...] = ()
    files_added: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The image version an SBOM is of; `facts` are those of its tattoo, by name."""

    gallery: str
    definition: str
    version: str
    publisher: str
    disk_digest: str
    base_urn: str
    base_digest: str
    build_id: str
    created: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
