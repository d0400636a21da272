"""The store of packages, and the flat repositories made from it."""

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from goldsmith.disk.debs import DebStore, LockedDeb, parse_control, read_control
from goldsmith.kernel.digest import of_file
from goldsmith.kernel.errors import CorruptError, InvalidInputError, NotFoundError
from goldsmith.kernel.proc import run, which
from tests.contract.marketplace_mirror import make_deb

pytestmark = pytest.mark.skipif(which("dpkg-deb") is None, reason="needs dpkg-deb to make packages")


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "none"])
def test_a_control_file_is_read_as_dpkg_reads_it(tmp_path: Path, compression: str) -> None:
    deb = make_deb(tmp_path, "one", compression=compression, extra="Source: other (2:9)\nEssential: yes\n")
    by_dpkg = run(["dpkg-deb", "--field", deb], timeout_seconds=60).text
    assert parse_control(read_control(deb)) == parse_control(by_dpkg)


def test_a_package_keeps_its_identity_in_the_store(tmp_path: Path) -> None:
    store = DebStore(tmp_path / "debs")
    deb = make_deb(tmp_path, "one", version="2:1.0-3", extra="Source: other (9)\n")
    added = store.add(deb)
    assert added == LockedDeb(
        name="one",
        version="2:1.0-3",
        architecture="amd64",
        digest=of_file(deb),
        size_bytes=deb.stat().st_size,
        filename="one_2%3a1.0-3_amd64.deb",
        source="other 9",
    )
    assert store.add(deb) == added
    deb.unlink()
    assert of_file(store.verify(added)) == added.digest


def test_a_missing_and_a_changed_package_are_told_apart(tmp_path: Path) -> None:
    store = DebStore(tmp_path / "debs")
    added = store.add(make_deb(tmp_path, "one"))
    store.path(added.digest).write_bytes(b"x")
    with pytest.raises(CorruptError, match="one 1"):
        store.as_repository([added], tmp_path / "repository")
    store.path(added.digest).unlink()
    with pytest.raises(NotFoundError):
        store.verify(added)


def test_a_repository_depends_on_its_packages_alone(tmp_path: Path) -> None:
    store = DebStore(tmp_path / "debs")
    debs = [store.add(make_deb(tmp_path, name)) for name in ("two", "one", "three")]
    first = store.as_repository(debs, tmp_path / "a")
    second = store.as_repository(reversed(debs), tmp_path / "b")
    assert (first / "Packages").read_bytes() == (second / "Packages").read_bytes()
    stanzas = [parse_control(text) for text in (first / "Packages").read_text().split("\n\n")]
    assert [stanza["Package"] for stanza in stanzas] == ["one", "three", "two"]
    for stanza in stanzas:
        assert of_file(first / stanza["Filename"]) == f"sha256:{stanza['SHA256']}"


def ar(*members: tuple[str, bytes]) -> bytes:
    data = b"!<arch>\n"
    for name, content in members:
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    return data


def tar(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all",
        b"!<arch>\n",
        ar(("debian-binary", b"2.0\n")),
        ar(("control.tar.xz", b"not compressed")),
        ar(("control.tar.zst", b"not compressed")),
        ar(("control.tar.gz", b"not compressed")),
        ar(("control.tar.lz9", b"")),
        ar(("control.tar", tar("md5sums", b""))),
        ar(("control.tar", tar("control", b"Package: \xff\n"))),
        ar(("control.tar.xz", lzma.compress(bytes(40 << 20)))),
    ],
    ids=range(11),
)
def test_what_is_no_package_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match="is not a Debian package"):
        read_control(path)


def test_a_package_without_a_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(ar(("control.tar", tar("./control", b"Package: x\nArchitecture: all\n"))))
    with pytest.raises(InvalidInputError, match="no field Version"):
        DebStore(tmp_path / "debs").add(path)
    assert not (tmp_path / "debs").exists()
