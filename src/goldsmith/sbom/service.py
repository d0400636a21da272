"""Use cases of the SBOM room: what is in this root, and what did a step change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from goldsmith.sbom import dpkg
from goldsmith.sbom.distribution import read_distribution
from goldsmith.sbom.files import TreeComparison, walk, walk_boot
from goldsmith.sbom.hashing import Hasher
from goldsmith.sbom.language import read_language_packages
from goldsmith.sbom.licence import LicenceReader
from goldsmith.sbom.model import Inventory, Package, PackageChange, PackageVersion, Step
from goldsmith.sbom.ownership import read_ownership
from goldsmith.sbom.root import SealedRoot

DebHashes = Mapping[tuple[str, str, str], str]


def read_inventory(root: Path, *, deb_hashes: DebHashes, with_files: bool = True) -> Inventory:
    """Everything installed in the file system whose root directory is `root`.

    The caller mounts it read-only; links are resolved inside it. `deb_hashes` gives the SHA-256 (64 hex
    digits) of the .deb files by (name, version, architecture). With `with_files` false the tree is not
    walked: no changed files and no language packages are looked for, and the coverage says so.

    What is trusted: the package database of the root (names, versions, the MD5 it recorded for each file).
    Files are compared with it by content, never by size or time. A `.pyc` counts as generated when its source
    is unchanged.

    Raises UnsupportedError (a package manager other than dpkg, or files this process may not read) and
    CorruptError (no or an empty package database, one that contradicts itself, no os-release, a read error).
    """
    tree = SealedRoot(root)
    distribution = read_distribution(tree)
    stanzas = dpkg.read_stanzas(tree)
    ownership = read_ownership(tree, stanzas)
    entries = walk(tree) if with_files else walk_boot(tree)
    with Hasher(tree) as hasher:
        comparison = TreeComparison(tree, hasher, ownership, entries=entries, walked=with_files)
        licences = LicenceReader()
        packages = tuple(_complete(dpkg.to_package(stanza), tree, licences, deb_hashes) for stanza in stanzas)
        unowned = (entry.path for entry in entries if entry.path not in ownership.owners)
        language_packages = read_language_packages(tree, unowned) if with_files else ()
        compared = comparison.finish()
    return Inventory(
        distribution=distribution,
        packages=packages,
        language_packages=language_packages,
        boot_files=compared.boot_files,
        files=compared.files,
        extracted_licences=licences.extracted,
        coverage=compared.coverage,
    )


def read_packages(root: Path) -> tuple[Package, ...]:
    """The installed packages alone, in milliseconds: what a step's effect is told from."""
    return tuple(dpkg.to_package(stanza) for stanza in dpkg.read_stanzas(SealedRoot(root)))


def describe_step(
    before: Iterable[Package],
    after: Iterable[Package],
    *,
    index: int,
    name: str,
    digest: str,
    files_added: int = 0,
) -> Step:
    """What one customisation step did, told from the packages before and after it."""
    old = {package.key: package for package in before}
    new = {package.key: package for package in after}
    return Step(
        index=index,
        name=name,
        digest=digest,
        packages_added=_versions([new[key] for key in sorted(new.keys() - old.keys())]),
        packages_removed=_versions([old[key] for key in sorted(old.keys() - new.keys())]),
        packages_changed=tuple(
            PackageChange(name=key[0], architecture=key[1], before=old[key].version, after=new[key].version)
            for key in sorted(old.keys() & new.keys())
            if old[key].version != new[key].version
        ),
        files_added=files_added,
    )


def _complete(package: Package, root: SealedRoot, licences: LicenceReader, deb_hashes: DebHashes) -> Package:
    text = root.read(f"usr/share/doc/{package.name}/copyright") or b""
    return replace(
        package,
        licence=licences.declared(text.decode(errors="replace")),
        deb_sha256=deb_hashes.get((package.name, package.version, package.architecture)),
    )


def _versions(packages: Sequence[Package]) -> tuple[PackageVersion, ...]:
    return tuple(
        PackageVersion(name=package.name, version=package.version, architecture=package.architecture)
        for package in packages
    )
