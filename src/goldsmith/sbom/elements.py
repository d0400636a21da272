"""Packages and files of an inventory as SPDX 2.3 elements."""

import hashlib
from collections.abc import Iterable, Sequence

from goldsmith.kernel.json import JsonObject
from goldsmith.sbom import purl
from goldsmith.sbom.model import (
    BootFile,
    Inventory,
    LanguagePackage,
    Package,
    SourceVersion,
    Subject,
    UnownedFile,
)
from goldsmith.sbom.spdx_id import file_id, language_id, package_id, source_id
from goldsmith.sbom.supplier import organization, supplier

NONE = "NOASSERTION"
# What stands for licences that nobody looked at.
UNJUDGED = {"licenseConcluded": NONE, "licenseDeclared": NONE, "copyrightText": NONE}


def binary_package(package: Package, inventory: Inventory) -> JsonObject:
    document: JsonObject = {
        "SPDXID": package_id(package),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": supplier(package.maintainer),
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": package.licence or NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": _purpose(package.section),
        "sourceInfo": f"built from {package.source} {package.source_version}",
        "externalRefs": [_reference(purl.of_package(package, inventory.distribution))],
    }
    if package.deb_sha256:
        document["checksums"] = [checksum("SHA256", package.deb_sha256)]
        document["packageFileName"] = _deb_name(package)
    if package.summary:
        document["summary"] = package.summary
    if package.homepage:
        document["homepage"] = package.homepage
    return document


def source_packages(packages: Iterable[Package]) -> list[tuple[SourceVersion, str]]:
    """Every source package once, with the maintainer that the first of its binaries names."""
    maintainers: dict[SourceVersion, str] = {}
    for package in packages:
        own = SourceVersion(name=package.source, version=package.source_version)
        # Signed boot loaders and kernels have the maintainer of what they were built from.
        for source in (own, *package.built_using):
            maintainers[source] = maintainers.get(source) or package.maintainer
    return [(source, maintainers[source]) for source in sorted(maintainers)]


def source_package(entry: tuple[SourceVersion, str], inventory: Inventory) -> JsonObject:
    source, maintainer = entry
    return {
        "SPDXID": source_id(source),
        "name": source.name,
        "versionInfo": source.version,
        "supplier": supplier(maintainer),
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "SOURCE",
        "externalRefs": [_reference(purl.of_source(source, inventory.distribution))],
        **UNJUDGED,
    }


def language_package(package: LanguagePackage) -> JsonObject:
    return {
        "SPDXID": language_id(package),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": supplier(package.supplier),
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": package.licence or NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "LIBRARY",
        "sourceInfo": f"described by /{_printable(package.path)}, which no distribution package owns",
        "externalRefs": [_reference(purl.of_language_package(package))],
    }


def file_set(
    id_: str, name: str, files: Sequence[BootFile | UnownedFile], subject: Subject
) -> JsonObject | None:
    if not files:
        return None
    # SPDX 2.3, section 7.9: the SHA-1 of the files' SHA-1s, sorted and joined.
    joined = "".join(sorted(file.sha1 for file in files))
    code = hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
    return {
        "SPDXID": id_,
        "name": f"{subject.definition} {name}",
        "versionInfo": subject.version,
        "supplier": organization(subject.publisher),
        "downloadLocation": NONE,
        "filesAnalyzed": True,
        "packageVerificationCode": {"packageVerificationCodeValue": code},
        "licenseInfoFromFiles": [NONE],
        "primaryPackagePurpose": "FILE",
        **UNJUDGED,
    }


def file_element(file: BootFile | UnownedFile) -> JsonObject:
    state = file.state.value
    if file.package:
        state = f"{state}: of package {file.package}"
    if isinstance(file, BootFile):
        release = f" of release {file.release}" if file.release else ""
        state = f"boot {file.role.value}{release}, {state}"
    return {
        "SPDXID": file_id(file),
        "fileName": f"./{_printable(file.path)}",
        "checksums": [checksum("SHA1", file.sha1), checksum("SHA256", file.sha256)],
        "comment": f"{state}, {file.size_bytes} bytes",
        "licenseConcluded": NONE,
        "licenseInfoInFiles": [NONE],
        "copyrightText": NONE,
    }


def checksum(algorithm: str, value: str) -> JsonObject:
    return {"algorithm": algorithm, "checksumValue": value}


def _deb_name(package: Package) -> str:
    # dpkg-name(1): the epoch is not part of the file name.
    return f"{package.name}_{package.version.partition(':')[2] or package.version}_{package.architecture}.deb"


def _purpose(section: str) -> str:
    match section.rpartition("/")[2]:
        case "libs" | "oldlibs" | "libdevel" | "perl" | "python":
            return "LIBRARY"
        case "non-free-firmware":
            return "FIRMWARE"
        case _:
            return "APPLICATION"


def _reference(url: purl.PackageUrl) -> JsonObject:
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": str(url),
    }


def _printable(path: str) -> str:
    # File names are bytes; those that are no UTF-8 are written with escapes.
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
