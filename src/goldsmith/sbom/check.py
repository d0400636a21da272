"""Whether an SPDX 2.3 document holds together and has the NTIA minimum elements."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from goldsmith.kernel.errors import CorruptError
from goldsmith.kernel.json import JsonObject

_ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
_CREATOR = re.compile(r"(?:Tool|Organization|Person): \S.*")
_SUPPLIER = re.compile(r"(?:Organization|Person): [^()]+(?: \([^()]*\))?|NOASSERTION")
_LICENCE_REFERENCE = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")
_HEX_DIGITS = {"SHA1": 40, "SHA256": 64, "MD5": 32}
_PROBLEMS_SHOWN = 5


def require_valid(document: JsonObject) -> None:
    """Raises CorruptError when `problems` finds any."""
    found = list(problems(document))
    if found:
        raise CorruptError(
            f"the SPDX document '{document.get('name')}' has {len(found)} problems: "
            + "; ".join(found[:_PROBLEMS_SHOWN]),
            hint="report it with the document: it was made from names or data that were not foreseen",
        )


def problems(document: JsonObject) -> Iterator[str]:
    """What is wrong with a document, as short sentences; nothing for a good one.

    Checks the references between elements and the NTIA minimum elements (author, time, and of each package
    name, version, supplier field, unique identifier and relationship), which a JSON schema cannot.
    """
    yield from _document(document)
    packages, files = document.get("packages", []), document.get("files", [])
    ids = [element.get("SPDXID", "") for element in (document, *packages, *files)]
    for id_, count in Counter(ids).items():
        if count > 1:
            yield f"{id_} is the id of {count} elements"
        if not _ID.fullmatch(id_):
            yield f"'{id_}' is no SPDX id"
    known, related = set(ids), set()
    for relationship in document.get("relationships", []):
        for end in ("spdxElementId", "relatedSpdxElement"):
            related.add(relationship[end])
            if relationship[end] not in known:
                yield f"a relationship names {relationship[end]}, which does not exist"
    licences = {entry["licenseId"] for entry in document.get("hasExtractedLicensingInfos", [])}
    for package in packages:
        yield from _package(package, related, licences)
    for file in files:
        yield from _checksums(file, "SHA1")


def _document(document: JsonObject) -> Iterator[str]:
    if document.get("spdxVersion") != "SPDX-2.3":
        yield f"the version is {document.get('spdxVersion')}, expected SPDX-2.3"
    namespace = document.get("documentNamespace", "")
    if "://" not in namespace or "#" in namespace:
        yield f"the namespace '{namespace}' is no URI without a fragment"
    information = document.get("creationInfo", {})
    creators = information.get("creators", [])
    if not creators or not all(_CREATOR.fullmatch(creator) for creator in creators):
        yield f"the creators {creators} are not all Tool, Organization or Person"
    try:
        datetime.strptime(information.get("created", ""), "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        yield f"the creation time '{information.get('created')}' is no UTC instant"
    described = [
        relationship
        for relationship in document.get("relationships", [])
        if relationship.get("relationshipType") == "DESCRIBES"
    ]
    if len(described) != 1:
        yield f"the document describes {len(described)} elements, expected 1"


def _package(package: JsonObject, related: set[str], licences: set[str]) -> Iterator[str]:
    id_ = package.get("SPDXID", "")
    for name in ("name", "versionInfo", "supplier", "downloadLocation"):
        if not package.get(name):
            yield f"{id_} has no {name}"
    if not _SUPPLIER.fullmatch(package.get("supplier", "NOASSERTION")):
        yield f"{id_} has the supplier '{package['supplier']}', expected Organization or Person"
    if id_ not in related:
        yield f"{id_} has no relationship"
    if package.get("filesAnalyzed", True) != ("packageVerificationCode" in package):
        yield f"{id_} has a verification code without analysed files, or the other way round"
    for reference in _LICENCE_REFERENCE.findall(package.get("licenseDeclared", "")):
        if reference not in licences:
            yield f"{id_} is under {reference}, whose text is not in the document"
    yield from _checksums(package)


def _checksums(element: JsonObject, *required: str) -> Iterator[str]:
    checksums = {entry["algorithm"]: entry["checksumValue"] for entry in element.get("checksums", [])}
    for algorithm in required:
        if algorithm not in checksums:
            yield f"{element.get('SPDXID')} has no {algorithm}"
    for algorithm, value in checksums.items():
        length = _HEX_DIGITS.get(algorithm)
        if length is None or not re.fullmatch(rf"[0-9a-f]{{{length}}}", value):
            yield f"{element.get('SPDXID')} has the {algorithm} checksum '{value}'"
