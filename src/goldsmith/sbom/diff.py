"""What changed from one SPDX document to another: packages and licences."""

from dataclasses import dataclass

from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.index import IndexedPackage, rows
from goldsmith.sbom.model import PackageChange, PackageVersion

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceChange:
    """A package whose declared licence is another one."""

    name: str
    architecture: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Every sequence is sorted by name and architecture; source packages are left out.

    `rebuilt` are those whose version changed in a way that has no order (language packages).
    """

    added: tuple[PackageVersion, ...]
    removed: tuple[PackageVersion, ...]
    upgraded: tuple[PackageChange, ...]
    downgraded: tuple[PackageChange, ...]
    changed: tuple[PackageChange, ...]
    licences: tuple[LicenceChange, ...]

    @property
    def is_empty(self) -> bool:
        return not (
            self.added or self.removed or self.upgraded or self.downgraded or self.changed or self.licences
        )


def compare(before: JsonObject, after: JsonObject) -> Difference:
    """Raises InvalidInputError when one of the two is no SPDX 2.x document."""
    old, new = _packages(before), _packages(after)
    upgraded, downgraded, changed, licences = [], [], [], []
    for key in sorted(old.keys() & new.keys()):
        one, other = old[key], new[key]
        if one.version != other.version:
            change = PackageChange(
                name=one.name, architecture=one.architecture, before=one.version, after=other.version
            )
            if one.sort_key < other.sort_key:
                upgraded.append(change)
            elif one.sort_key > other.sort_key:
                downgraded.append(change)
            else:
                changed.append(change)
        if one.licence != other.licence:
            licences.append(
                LicenceChange(
                    name=one.name, architecture=one.architecture, before=one.licence, after=other.licence
                )
            )
    return Difference(
        added=tuple(_version(new[key]) for key in sorted(new.keys() - old.keys())),
        removed=tuple(_version(old[key]) for key in sorted(old.keys() - new.keys())),
        upgraded=tuple(upgraded),
        downgraded=tuple(downgraded),
        changed=tuple(changed),
        licences=tuple(licences),
    )


def _packages(document: JsonObject) -> dict[_Key, IndexedPackage]:
    found: dict[_Key, IndexedPackage] = {}
    for row in rows(document):
        if row.is_source:
            continue
        key = (row.name, row.architecture, row.type)
        if row.type != "deb":
            # Several versions of a language package may be installed side by side.
            key = (row.name, row.version, row.type)
        found[key] = row
    return found


def _version(row: IndexedPackage) -> PackageVersion:
    return PackageVersion(name=row.name, version=row.version, architecture=row.architecture)
