"""How the elements of an SPDX document belong together."""

from collections.abc import Iterable, Iterator, Mapping

from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.model import Inventory, Package, SourceVersion
from goldsmith.sbom.spdx_id import (
    BASE_ID,
    BOOT_ID,
    DOCUMENT_ID,
    FILES_ID,
    IMAGE_ID,
    file_id,
    language_id,
    package_id,
    source_id,
)

_Triple = tuple[str, str, str]


def relationships(inventory: Inventory) -> list[JsonObject]:
    """Every relationship of the document, sorted, each once."""
    triples = {
        (DOCUMENT_ID, "DESCRIBES", IMAGE_ID),
        (IMAGE_ID, "GENERATED_FROM", BASE_ID),
        *_packages(inventory),
        *_files(inventory),
    }
    return [
        {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}
        for element, kind, related in sorted(triples)
    ]


def _packages(inventory: Inventory) -> Iterator[_Triple]:
    providers = _providers(inventory.packages)
    for package in inventory.packages:
        own = package_id(package)
        yield IMAGE_ID, "CONTAINS", own
        built_from = SourceVersion(name=package.source, version=package.source_version)
        for source in (built_from, *package.built_using):
            yield own, "GENERATED_FROM", source_id(source)
        for group in package.depends:
            for other in _installed(group, package.architecture, providers):
                if other != own:
                    yield own, "DEPENDS_ON", other
    for language_package in inventory.language_packages:
        yield IMAGE_ID, "CONTAINS", language_id(language_package)


def _files(inventory: Inventory) -> Iterator[_Triple]:
    for set_id, files in ((BOOT_ID, inventory.boot_files), (FILES_ID, inventory.files)):
        if files:
            yield IMAGE_ID, "CONTAINS", set_id
        for file in files:
            yield set_id, "CONTAINS", file_id(file)


def _providers(packages: Iterable[Package]) -> Mapping[str, list[tuple[str, str]]]:
    """Real or virtual package name → (architecture, SPDX id) of what is installed under it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for package in packages:
        for name in {package.name, *package.provides}:
            found.setdefault(name, []).append((package.architecture, package_id(package)))
    return found


def _installed(
    group: Iterable[str], architecture: str, providers: Mapping[str, list[tuple[str, str]]]
) -> Iterator[str]:
    """Those of a group of alternatives that are installed, of the same architecture where there is one."""
    for name in group:
        candidates = providers.get(name, [])
        same = [id_ for other, id_ in candidates if other in (architecture, "all")]
        yield from same or [id_ for _, id_ in candidates]
