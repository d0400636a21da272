"""An inventory as an SPDX 2.3 document in JSON; the same input gives the same bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version as installed_version
from urllib.parse import quote

from goldsmith.kernel import digest
from goldsmith.kernel.clock import iso
from goldsmith.kernel.json import JsonObject, canonical
from goldsmith.sbom.elements import (
    NONE,
    UNJUDGED,
    binary_package,
    checksum,
    file_element,
    file_set,
    language_package,
    source_package,
    source_packages,
)
from goldsmith.sbom.model import Coverage, Inventory, Step, Subject
from goldsmith.sbom.relationships import relationships
from goldsmith.sbom.spdx_id import BASE_ID, BOOT_ID, DOCUMENT_ID, FILES_ID, IMAGE_ID
from goldsmith.sbom.supplier import organization

STEP_PREFIX = "goldsmith.step "
FACT_PREFIX = "goldsmith.fact "


def to_spdx(inventory: Inventory, subject: Subject, steps: Sequence[Step]) -> JsonObject:
    """The document of one image version (SPDX 2.3, NTIA minimum elements).

    The root package is the image version with its disk's SHA-256. It contains each binary package (which is
    GENERATED_FROM its source packages and DEPENDS_ON others), the language packages, and two packages for the
    boot files and for the files no package accounts for. Steps and tattoo facts are annotations of the root
    package: `goldsmith.step {…}` and `goldsmith.fact {…}`.
    """
    file_sets = [
        file_set(BOOT_ID, "boot files", inventory.boot_files, subject),
        file_set(FILES_ID, "files outside packages", inventory.files, subject),
    ]
    packages = [
        _image(inventory, subject, steps),
        _base(subject),
        *(binary_package(package, inventory) for package in inventory.packages),
        *(source_package(source, inventory) for source in source_packages(inventory.packages)),
        *(language_package(package) for package in inventory.language_packages),
        *(part for part in file_sets if part is not None),
    ]
    files = [
        *(file_element(file) for file in inventory.boot_files),
        *(file_element(file) for file in inventory.files),
    ]
    document: JsonObject = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT_ID,
        "name": f"{subject.gallery}/{subject.definition}/{subject.version}",
        "creationInfo": {"created": iso(subject.created), "creators": sorted(_creators(subject))},
        "comment": _context(inventory.coverage),
        "packages": sorted(packages, key=lambda package: str(package["SPDXID"])),
        "relationships": relationships(inventory),
    }
    if files:
        document["files"] = sorted(files, key=lambda file: str(file["SPDXID"]))
    if inventory.extracted_licences:
        document["hasExtractedLicensingInfos"] = [
            {"licenseId": licence.id, "name": licence.name, "extractedText": licence.text}
            for licence in inventory.extracted_licences
        ]
    document["documentNamespace"] = _namespace(document, subject)
    return document


def to_bytes(document: JsonObject) -> bytes:
    """The one byte form of a document; its digest is taken over these."""
    return canonical(document)


def _namespace(document: JsonObject, subject: Subject) -> str:
    # SPDX 2.3, section 6.5: unique to this content, and the same whenever the content is.
    path = "/".join(quote(part, safe="") for part in (subject.gallery, subject.definition, subject.version))
    return f"https://spdx.org/spdxdocs/goldsmith/{path}/{digest.hex_of(digest.of_value(document))}"


def _tool() -> str:
    return f"Tool: goldsmith-{installed_version('goldsmith')}"


def _creators(subject: Subject) -> list[str]:
    return [_tool(), organization(subject.publisher)]


def _context(coverage: Coverage) -> str:
    made = "Made during the build from the offline, read-only file system of the sealed image."
    if not coverage.walked:
        return f"{made} Covers the dpkg database and the boot files; other files were not looked at."
    counts = ", ".join(f"{count} {name}" for name, count in asdict(coverage).items() if name != "walked")
    return (
        f"{made} Covers the dpkg database, boot files, Python and npm packages that no distribution package "
        "owns, and every regular file that is not byte for byte what a package installed. Not listed: "
        "pristine and generated files, kernel modules as packages, links, and /dev, /proc, /run and /sys. "
        f"Regular files: {counts}."
    )


def _image(inventory: Inventory, subject: Subject, steps: Sequence[Step]) -> JsonObject:
    return {
        "SPDXID": IMAGE_ID,
        "name": f"{subject.gallery}/{subject.definition}",
        "versionInfo": subject.version,
        "supplier": organization(subject.publisher),
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "builtDate": iso(subject.created),
        "description": f"{inventory.distribution.name} {inventory.distribution.version_id}",
        "checksums": [checksum("SHA256", digest.hex_of(subject.disk_digest))],
        "annotations": list(_annotations(subject, steps)),
        **UNJUDGED,
    }


def _annotations(subject: Subject, steps: Sequence[Step]) -> Iterator[JsonObject]:
    facts = {**subject.facts, "buildId": subject.build_id}
    comments = [FACT_PREFIX + _text({"name": name, "value": facts[name]}) for name in sorted(facts)]
    comments += [STEP_PREFIX + _text(_step(step)) for step in sorted(steps, key=lambda step: step.index)]
    for comment in comments:
        yield {
            "annotationDate": iso(subject.created),
            "annotationType": "OTHER",
            "annotator": _tool(),
            "comment": comment,
        }


def _step(step: Step) -> JsonObject:
    return {
        "index": step.index,
        "name": step.name,
        "digest": step.digest,
        "filesAdded": step.files_added,
        "packagesAdded": [asdict(package) for package in step.packages_added],
        "packagesChanged": [asdict(change) for change in step.packages_changed],
        "packagesRemoved": [asdict(package) for package in step.packages_removed],
    }


def _base(subject: Subject) -> JsonObject:
    # A marketplace URN is publisher:offer:sku:version; a gallery image has a resource id instead.
    parts = subject.base_urn.split(":")
    urn = len(parts) == 4
    return {
        "SPDXID": BASE_ID,
        "name": ":".join(parts[:3]) if urn else subject.base_urn,
        "versionInfo": parts[3] if urn else subject.base_urn.rpartition("/")[2],
        "supplier": organization(parts[0] if urn else subject.publisher),
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        "checksums": [checksum("SHA256", digest.hex_of(subject.base_digest))],
        **UNJUDGED,
    }


def _text(value: JsonObject) -> str:
    return canonical(value).decode()
