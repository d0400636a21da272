"""Laws of tables, versions, manifests and holes over generated values."""

import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldsmith.disk.gpt import Partition, read_partitions, write_gpt
from goldsmith.disk.kernels import compare_versions
from goldsmith.disk.kinds import Kind
from goldsmith.disk.seal import sparse_sha256
from goldsmith.disk.tree import Entry, Manifest, load_manifest, write_manifest
from goldsmith.kernel.digest import of_file

VERSIONS = st.from_regex(r"[0-9][a-z0-9.+~]{0,12}", fullmatch=True)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=18)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_antisymmetrically(left: str, right: str) -> None:
    assert (compare_versions(left, right) > 0) == (compare_versions(right, left) < 0)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_order_of_versions_is_transitive(one: str, two: str, three: str) -> None:
    if compare_versions(one, two) <= 0 and compare_versions(two, three) <= 0:
        assert compare_versions(one, three) <= 0


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
@settings(max_examples=40, deadline=None)
@given(VERSIONS, VERSIONS)
def test_versions_are_ordered_as_dpkg_orders_them(left: str, right: str) -> None:
    words = ["dpkg", "--compare-versions", left, "lt", right]
    older = subprocess.run(words, check=False).returncode == 0
    assert (compare_versions(left, right) < 0) == older


@FEW
@given(st.uuids(), st.lists(st.tuples(st.integers(1, 40), st.uuids(), st.uuids(), NAMES), max_size=8))
def test_table_is_read_as_it_was_written(
    disk_id: uuid.UUID, made: list[tuple[int, uuid.UUID, uuid.UUID, str]]
) -> None:
    partitions = []
    offset = 1 << 20
    for number, (sectors, type_, id_, name) in enumerate(made, 1):
        if type_.int == 0:
            continue
        size = sectors * 512
        partitions.append(
            Partition(number=number, offset=offset, size_bytes=size, type=type_, id=id_, name=name)
        )
        offset += size
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk"
        with disk.open("wb") as file:
            file.truncate(4 << 20)
        write_gpt(disk, disk_id, partitions)
        assert read_partitions(disk) == partitions


ENTRIES = st.builds(
    Entry,
    path=st.text(max_size=20),
    kind=st.sampled_from(Kind),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 1),
    mtime=st.integers(-(2**40), 2**40),
    size=st.integers(0, 2**60),
    target=st.text(max_size=5),
    device=st.none() | st.tuples(st.integers(0, 4095), st.integers(0, 2**20)),
    opaque=st.booleans(),
    xattrs=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@FEW
@given(st.lists(ENTRIES, max_size=5))
def test_manifest_is_read_as_it_was_written(entries: list[Entry]) -> None:
    manifest = Manifest(entries=tuple(entries))
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(manifest, Path(folder) / "manifest")
        again = load_manifest(Path(folder) / "manifest")
    assert again == manifest
    assert again.digest == manifest.digest


@FEW
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=5000)), max_size=6))
def test_digest_of_a_sparse_file_is_that_of_its_bytes(writes: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        with path.open("wb") as file:
            for place, data in writes:
                file.seek(place)
                file.write(data)
        assert "sha256:" + sparse_sha256(path) == of_file(path)
