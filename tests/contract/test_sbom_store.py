"""The index of packages, over SQLite and over PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.sbom.store import create_tables, index_sbom, packages, remove, versions_with_package

VERSION = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/G/images/i/versions/1.0.0"
OTHER = VERSION.replace("1.0.0", "1.0.1")
LIBSSL = (
    "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl%403.0.20-1~deb12u2"
)
LIBSSL_FIXED = LIBSSL.replace("3.0.20", "3.0.22")
OPENSSL = "pkg:deb/debian/openssl@3.0.20-1~deb12u2?arch=source&distro=debian-12"
KERNEL = "pkg:deb/debian/linux@6.1.176-1?arch=source&distro=debian-12"


def spdx(*purls: str) -> JsonObject:
    reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl"}
    return {
        "spdxVersion": "SPDX-2.3",
        "documentNamespace": "https://example.org/1",
        "packages": [
            {"name": "image"},
            *({"externalRefs": [{**reference, "referenceLocator": purl}]} for purl in purls),
        ],
    }


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'state.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    opened = sa.create_engine(url)
    create_tables(opened)
    yield opened
    opened.dispose()


def found(engine: sa.Engine, name: str, *, source: bool = False) -> list[tuple[str, str]]:
    return [
        (hit.version_id, hit.package.version) for hit in versions_with_package(engine, name, source=source)
    ]


def test_creating_the_tables_again_keeps_what_they_hold(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx(LIBSSL))
    create_tables(engine)
    assert len(packages(engine, VERSION)) == 1


def test_package_is_found_in_the_versions_that_have_it(engine: sa.Engine) -> None:
    index_sbom(engine, OTHER, spdx(LIBSSL_FIXED, KERNEL))
    index_sbom(engine, VERSION, spdx(LIBSSL, OPENSSL))
    assert found(engine, "libssl3") == [(VERSION, "3.0.20-1~deb12u2"), (OTHER, "3.0.22-1~deb12u2")]
    assert found(engine, "absent") == []


def test_source_package_finds_its_binaries_and_what_was_built_using_it(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx(LIBSSL, OPENSSL))
    index_sbom(engine, OTHER, spdx(KERNEL))
    hits = versions_with_package(engine, "openssl", source=True)
    assert [(hit.package.name, hit.package.is_source) for hit in hits] == [
        ("libssl3", False),
        ("openssl", True),
    ]
    assert found(engine, "linux", source=True) == [(OTHER, "6.1.176-1")]
    # A source is no installed package.
    assert found(engine, "openssl") == []


def test_indexing_again_replaces(engine: sa.Engine) -> None:
    assert index_sbom(engine, VERSION, spdx(LIBSSL, OPENSSL, KERNEL)) == 3
    assert index_sbom(engine, VERSION, spdx(LIBSSL_FIXED)) == 1
    assert [package.purl for package in packages(engine, VERSION)] == [LIBSSL_FIXED]


def test_bad_document_leaves_the_index_as_it_was(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx(LIBSSL))
    for bad in ({"spdxVersion": "SPDX-3.0"}, spdx("not a purl")):
        with pytest.raises(InvalidInputError):
            index_sbom(engine, VERSION, bad)
    assert [package.purl for package in packages(engine, VERSION)] == [LIBSSL]


def test_version_ids_are_compared_without_regard_to_case(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx(LIBSSL))
    index_sbom(engine, VERSION.upper(), spdx(LIBSSL_FIXED))
    assert [package.purl for package in packages(engine, VERSION.lower())] == [LIBSSL_FIXED]


def test_version_without_packages_is_not_one_that_was_never_indexed(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx())
    assert packages(engine, VERSION) == ()
    with pytest.raises(NotFoundError):
        packages(engine, OTHER)


def test_removed_version_is_gone_and_others_stay(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx(LIBSSL))
    index_sbom(engine, OTHER, spdx(LIBSSL_FIXED))
    assert remove(engine, VERSION)
    assert not remove(engine, VERSION)
    assert found(engine, "libssl3") == [(OTHER, "3.0.22-1~deb12u2")]
    with pytest.raises(NotFoundError):
        packages(engine, VERSION)


def test_stored_keys_answer_whether_a_version_is_older(engine: sa.Engine) -> None:
    index_sbom(engine, VERSION, spdx(LIBSSL))
    index_sbom(engine, OTHER, spdx(LIBSSL_FIXED))
    (fixed,) = packages(engine, OTHER)
    with engine.connect() as connection:
        older = connection.execute(
            sa.text("SELECT version_id FROM sbom_package WHERE name = 'libssl3' AND sort_key < :key"),
            {"key": fixed.sort_key},
        ).scalars()
        assert list(older) == [VERSION]


def test_writers_at_the_same_time_leave_one_whole_document(engine: sa.Engine) -> None:
    first, second = spdx(LIBSSL, OPENSSL), spdx(LIBSSL_FIXED, KERNEL)
    failures: list[BaseException] = []

    def write(document: JsonObject) -> None:
        try:
            for _ in range(5):
                index_sbom(engine, VERSION, document)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(document,)) for document in (first, second)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert not failures
    left = {package.purl for package in packages(engine, VERSION)}
    assert left in ({LIBSSL, OPENSSL}, {LIBSSL_FIXED, KERNEL})
