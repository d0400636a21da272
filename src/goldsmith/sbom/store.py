"""The packages of every image version's SBOM, in the metadata database."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from goldsmith.kernel import digest
from goldsmith.kernel.errors import NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.index import IndexedPackage, rows
from goldsmith.sbom.purl import SOURCE

_metadata = sa.MetaData()

# One row per indexed version: tells "has no packages" from "was never indexed"; its lock orders writers.
_documents = sa.Table(
    "sbom_document",
    _metadata,
    sa.Column("version_key", sa.Text, primary_key=True),
    sa.Column("version_id", sa.Text, nullable=False),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
)
_packages = sa.Table(
    "sbom_package",
    _metadata,
    sa.Column("version_key", sa.Text, primary_key=True),
    sa.Column("purl", sa.Text, primary_key=True),
    sa.Column("version_id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("source_version", sa.Text, nullable=False),
    sa.Column("architecture", sa.Text, nullable=False),
    sa.Column("sort_key", sa.LargeBinary, nullable=False),
    sa.Column("licence", sa.Text, nullable=False),
    sa.Index("sbom_package_by_name", "name", "sort_key"),
    sa.Index("sbom_package_by_source", "source", "sort_key"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageOfVersion:
    """A package and the image version that has it, by its resource id."""

    version_id: str
    package: IndexedPackage


def create_tables(engine: sa.Engine) -> None:
    """Afterwards the tables exist; those that do are left as they are."""
    _metadata.create_all(engine, checkfirst=True)


def index_sbom(engine: sa.Engine, version_id: str, document: JsonObject) -> int:
    """Make `document` the indexed SBOM of an image version, in one transaction; returns its package count.

    Raises InvalidInputError when it is no SPDX 2.x document; the index is then as it was.
    """
    key = version_id.lower()
    found = rows(document)
    row = {
        "version_key": key,
        "version_id": version_id,
        "namespace": document.get("documentNamespace", ""),
        "digest": digest.of_value(document),
    }
    with engine.begin() as connection:
        connection.execute(_upsert(engine, row))
        connection.execute(sa.delete(_packages).where(_packages.c.version_key == key))
        if found:
            connection.execute(sa.insert(_packages), [_values(package, key, version_id) for package in found])
    return len(found)


def versions_with_package(
    engine: sa.Engine, name: str, *, source: bool = False
) -> tuple[PackageOfVersion, ...]:
    """The image versions that have package `name`, with the packages it names, sorted by version id and purl.

    With `source`, `name` is a source package: its binaries and the source itself are found, the source also
    when a package was only built using it (as signed kernels are).
    """
    table = _packages.c
    if source:
        wanted = table.source == name
    else:
        wanted = (table.name == name) & (table.architecture != SOURCE)
    query = sa.select(_packages).where(wanted).order_by(table.version_key, table.purl)
    with engine.connect() as connection:
        return tuple(
            PackageOfVersion(version_id=row["version_id"], package=_package(row))
            for row in connection.execute(query).mappings()
        )


def packages(engine: sa.Engine, version_id: str) -> tuple[IndexedPackage, ...]:
    """All packages of an image version, sorted by purl; raises NotFoundError when it was never indexed."""
    key = version_id.lower()
    with engine.connect() as connection:
        known = connection.execute(
            sa.select(_documents.c.version_key).where(_documents.c.version_key == key)
        ).first()
        found = connection.execute(
            sa.select(_packages).where(_packages.c.version_key == key).order_by(_packages.c.purl)
        ).mappings()
        result = tuple(_package(row) for row in found)
    if known is None:
        raise NotFoundError(
            f"no SBOM of {version_id} is indexed",
            hint="the SBOM is indexed when the version is published; publish it, or index its document again",
        )
    return result


def remove(engine: sa.Engine, version_id: str) -> bool:
    """Forget an image version; false when it was not indexed."""
    key = version_id.lower()
    with engine.begin() as connection:
        gone = connection.execute(sa.delete(_documents).where(_documents.c.version_key == key)).rowcount
        connection.execute(sa.delete(_packages).where(_packages.c.version_key == key))
    return gone > 0


def _upsert(engine: sa.Engine, row: dict[str, str]) -> sa.Insert:
    changed = {name: value for name, value in row.items() if name != "version_key"}
    if engine.dialect.name == "postgresql":
        insert = postgresql.insert(_documents).values(row)
        return insert.on_conflict_do_update(index_elements=["version_key"], set_=changed)
    return (
        sqlite.insert(_documents)
        .values(row)
        .on_conflict_do_update(index_elements=["version_key"], set_=changed)
    )


def _values(package: IndexedPackage, key: str, version_id: str) -> dict[str, Any]:
    return {
        "version_key": key,
        "version_id": version_id,
        "type": package.type,
        "name": package.name,
        "version": package.version,
        "source": package.source,
        "source_version": package.source_version,
        "architecture": package.architecture,
        "purl": package.purl,
        "sort_key": package.sort_key,
        "licence": package.licence,
    }


def _package(row: sa.RowMapping) -> IndexedPackage:
    return IndexedPackage(
        type=row["type"],
        name=row["name"],
        version=row["version"],
        source=row["source"],
        source_version=row["source_version"],
        architecture=row["architecture"],
        purl=row["purl"],
        sort_key=bytes(row["sort_key"]),
        licence=row["licence"],
    )
