"""Package URLs (the purl specification, ECMA-427) for what this room finds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from goldsmith.kernel.errors import InvalidInputError
from goldsmith.sbom.model import Distribution, Ecosystem, LanguagePackage, Package, SourceVersion

# The architecture qualifier that marks a source package.
SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageUrl:
    """`pkg:type/namespace/name@version?qualifiers`, decoded."""

    type: str
    namespace: str
    name: str
    version: str
    qualifiers: Mapping[str, str]

    def __str__(self) -> str:
        namespace = "".join(f"{_quote(part)}/" for part in self.namespace.split("/") if part)
        qualifiers = "&".join(f"{key}={_quote(self.qualifiers[key])}" for key in sorted(self.qualifiers))
        version = f"@{_quote(self.version)}" if self.version else ""
        return (
            f"pkg:{self.type}/{namespace}{_quote(self.name)}{version}{'?' if qualifiers else ''}{qualifiers}"
        )


def of_package(package: Package, distribution: Distribution) -> PackageUrl:
    """`upstream` and `distro` are always there: advisories are matched by them and by nothing else."""
    return PackageUrl(
        type="deb",
        namespace=distribution.id,
        name=package.name.lower(),
        version=package.version,
        qualifiers={
            "arch": package.architecture,
            "distro": _distro(distribution),
            "upstream": f"{package.source}@{package.source_version}",
        },
    )


def of_source(source: SourceVersion, distribution: Distribution) -> PackageUrl:
    return PackageUrl(
        type="deb",
        namespace=distribution.id,
        name=source.name.lower(),
        version=source.version,
        qualifiers={"arch": SOURCE, "distro": _distro(distribution)},
    )


def of_language_package(package: LanguagePackage) -> PackageUrl:
    namespace, name = "", package.name.lower()
    match package.ecosystem:
        case Ecosystem.PYPI:
            name = re.sub(r"[-_.]+", "-", name)
        case Ecosystem.NPM:
            namespace, _, name = name.rpartition("/")
    return PackageUrl(
        type=package.ecosystem, namespace=namespace, name=name, version=package.version, qualifiers={}
    )


def parse_purl(text: str) -> PackageUrl:
    """Raises InvalidInputError when `text` is no package URL."""
    scheme, _, rest = text.partition(":")
    rest, _, query = rest.partition("#")[0].partition("?")
    path, at, version = rest.rpartition("@")
    if not at:
        path, version = rest, ""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if scheme != "pkg" or len(parts) < 2 or not parts[-1]:
        raise InvalidInputError(f"'{text}' is no package URL, expected pkg:type/namespace/name@version")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return PackageUrl(
        type=parts[0].lower(),
        namespace="/".join(parts[1:-1]),
        name=parts[-1],
        version=unquote(version),
        qualifiers={key: unquote(value) for key, _, value in pairs},
    )


def _distro(distribution: Distribution) -> str:
    return f"{distribution.id}-{distribution.version_id}"


def _quote(text: str) -> str:
    # The specification leaves the colon as it is everywhere, and encodes the plus sign.
    return quote(text, safe=".-_~:")
