"""What of an SPDX document is worth asking for over all image versions: its packages, as rows."""

from dataclasses import dataclass

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.purl import SOURCE, PackageUrl, parse_purl
from goldsmith.sbom.version import sort_key


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedPackage:
    """One package of a document. `type` is that of its purl (`deb`, `pypi`, `npm`).

    Of a source package `architecture` is `source` and `source` its own name. `sort_key` orders Debian
    versions bytewise and is empty for other types.
    """

    type: str
    name: str
    version: str
    source: str
    source_version: str
    architecture: str
    purl: str
    sort_key: bytes
    licence: str

    @property
    def is_source(self) -> bool:
        return self.architecture == SOURCE


def rows(document: JsonObject) -> tuple[IndexedPackage, ...]:
    """The packages of a document that have a purl, each purl once, sorted by it.

    Reads any SPDX 2.x document in JSON. Raises InvalidInputError when it is none.
    """
    if not str(document.get("spdxVersion", "")).startswith("SPDX-2."):
        raise InvalidInputError(
            f"the document is of version {document.get('spdxVersion')!r}, expected SPDX-2.3 as JSON"
        )
    found: dict[str, IndexedPackage] = {}
    for package in document.get("packages", []):
        for reference in package.get("externalRefs", []):
            if reference.get("referenceType") == "purl":
                text = reference["referenceLocator"]
                found[text] = _row(text, parse_purl(text), package)
    return tuple(found[text] for text in sorted(found))


def _row(text: str, url: PackageUrl, package: JsonObject) -> IndexedPackage:
    name = f"{url.namespace}/{url.name}" if url.type == "npm" and url.namespace else url.name
    # `upstream=name@version`; some tools leave the version out when it is the binary's own.
    source, _, source_version = url.qualifiers.get("upstream", "").partition("@")
    return IndexedPackage(
        type=url.type,
        name=name,
        version=url.version,
        source=source or name,
        source_version=source_version or url.version,
        architecture=url.qualifiers.get("arch", ""),
        purl=text,
        sort_key=sort_key(url.version) if url.type == "deb" else b"",
        licence=package.get("licenseDeclared", "NOASSERTION"),
    )
