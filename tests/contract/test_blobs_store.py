"""The blob store, in a directory and in a bucket."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from goldsmith.blobs.chunks import MAX_BYTES
from goldsmith.blobs.commit import CLAIMS, MARKER, PacksGoneError, commit
from goldsmith.blobs.index import ChunkIndex
from goldsmith.blobs.manifest import manifest_path
from goldsmith.blobs.objects import Objects, open_objects
from goldsmith.blobs.source import BytesSource
from goldsmith.blobs.store import BlobStore, open_store
from goldsmith.blobs.writer import INLINE_BYTES, write_chunks
from goldsmith.kernel import digest
from goldsmith.kernel.cancel import CancelFlag, NeverCancel
from goldsmith.kernel.errors import (
    CanceledError,
    ConflictError,
    CorruptError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from goldsmith.kernel.ids import RandomIds
from goldsmith.kernel.proc import in_private_namespace, run
from tests.servers import S3Server

TIMEOUT_SECONDS = 300
MIB = 1 << 20
DAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a store is, so that several processes can open it."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)

    def store(self) -> BlobStore:
        return open_store(self.url, self.options)

    def objects(self) -> Objects:
        return open_objects(self.url, self.options)

    def paths(self, prefix: str = "") -> list[str]:
        return sorted(info.path for info in self.objects().list(prefix))


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        return Place(url=str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue("s3")
    return Place(url=f"s3://{server.bucket}/{RandomIds().new()}", options=server.options)


@pytest.fixture
def local(tmp_path: Path) -> Place:
    return Place(url=str(tmp_path / "store"))


@pytest.fixture
def store(place: Place) -> BlobStore:
    return place.store()


def noise(size_bytes: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES, INLINE_BYTES + 1, MAX_BYTES, 5 * MIB + 7])
def test_bytes_come_back(store: BlobStore, tmp_path: Path, size: int) -> None:
    data = noise(size)
    ref = store.put_bytes(data)
    assert (ref.digest, ref.size_bytes) == (digest.of_bytes(data), size)
    assert ref.added_bytes == ref.stored_bytes
    assert store.exists(ref.digest)
    assert store.get_bytes(ref.digest) == data
    assert store.ref(ref.digest) == ref
    store.get_file(ref.digest, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    store.verify(ref.digest)


def test_file_with_holes_comes_back_with_holes(store: BlobStore, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        for offset in (0, 9 * MIB + 512, 40 * MIB):
            file.seek(offset)
            file.write(noise(MIB, seed=offset))
        file.truncate(64 * MIB + 100)
    ref = store.put_file(image)
    assert ref.digest == digest.of_file(image)
    assert ref.stored_bytes < 3.1 * MIB
    store.get_file(ref.digest, tmp_path / "out")
    assert digest.of_file(tmp_path / "out") == ref.digest
    assert (tmp_path / "out").stat().st_blocks * 512 < 5 * MIB
    store.get_file(ref.digest, tmp_path / "full", sparse=False)
    assert digest.of_file(tmp_path / "full") == ref.digest
    assert (tmp_path / "full").stat().st_blocks * 512 >= 64 * MIB


def test_zeros_take_no_room_whether_stored_as_a_hole_or_not(store: BlobStore, tmp_path: Path) -> None:
    written = tmp_path / "written"
    written.write_bytes(bytes(16 * MIB))
    hole = tmp_path / "hole"
    hole.touch()
    os.truncate(hole, 16 * MIB)
    assert store.put_file(written) == store.put_file(hole)
    assert store.ref(digest.of_file(hole)).stored_bytes == 0


def test_compressible_content_is_compressed(store: BlobStore) -> None:
    data = b"".join(b"%d of many lines\n" % number for number in range(200_000))
    ref = store.put_bytes(data)
    assert ref.stored_bytes < len(data) / 3
    assert store.get_bytes(ref.digest) == data


def test_blob_much_like_another_adds_little(place: Place) -> None:
    data = noise(8 * MIB)
    place.store().put_bytes(data)
    # In another process, as far as the store can tell; and shifted, so that no fixed block is the same.
    changed = data[: 3 * MIB] + b"some bytes more" + data[3 * MIB :]
    ref = place.store().put_bytes(changed)
    assert ref.added_bytes <= 3 * MAX_BYTES
    assert ref.stored_bytes >= 8 * MIB
    assert place.store().get_bytes(ref.digest) == changed


def test_repeated_content_is_stored_once_within_a_blob(store: BlobStore) -> None:
    part = noise(2 * MIB)
    ref = store.put_bytes(part * 4)
    assert ref.stored_bytes < 3 * MIB
    assert store.get_bytes(ref.digest) == part * 4


def test_blob_put_again_adds_nothing(place: Place) -> None:
    data = noise(2 * MIB)
    first = place.store().put_bytes(data)
    again = place.store().put_bytes(data)
    assert again == first
    assert again.added_bytes == 0
    assert list(place.store().list()) == [first.digest]


def test_two_writers_of_one_blob_both_succeed(place: Place) -> None:
    data = noise(4 * MIB)
    together = threading.Barrier(4)

    def put(_: int) -> str:
        store = place.store()
        together.wait(TIMEOUT_SECONDS)
        return store.put_bytes(data).digest

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(put, range(4))) == {digest.of_bytes(data)}
    assert list(place.store().list()) == [digest.of_bytes(data)]
    assert place.store().get_bytes(digest.of_bytes(data)) == data
    assert place.paths(CLAIMS) == []


def test_writers_of_overlapping_blobs_do_not_disturb_each_other(place: Place) -> None:
    shared = noise(2 * MIB)
    contents = [shared + noise(MIB, seed=number) for number in range(1, 4)]
    with ThreadPoolExecutor(3) as threads:
        refs = list(threads.map(lambda data: place.store().put_bytes(data), contents))
    for ref, data in zip(refs, contents, strict=True):
        assert place.store().get_bytes(ref.digest) == data


def test_of_two_who_create_an_object_one_does(place: Place) -> None:
    objects = place.objects()
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda n: objects.create("x/y", b"%d" % n), range(8))) == 1
    assert not objects.create("x/y", b"late")
    assert objects.get("x/y") != b"late"


def test_absent_blob_is_not_found(store: BlobStore, tmp_path: Path) -> None:
    absent = digest.of_bytes(b"absent")
    assert not store.exists(absent)
    store.delete(absent)
    for read in (store.ref, store.get_bytes, store.verify):
        with pytest.raises(NotFoundError):
            read(absent)
    with pytest.raises(NotFoundError):
        store.get_file(absent, tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []
    with pytest.raises(NotFoundError):
        store.put_file(tmp_path / "none")
    with pytest.raises(InvalidInputError):
        store.put_file(tmp_path)


def test_deleted_blob_is_gone(store: BlobStore) -> None:
    ref = store.put_bytes(noise(MIB))
    store.delete(ref.digest)
    assert not store.exists(ref.digest)
    assert list(store.list()) == []


@pytest.mark.parametrize("text", ["", "abc", "sha256:abc", "sha256:" + "A" * 64, "sha256:../" + "a" * 61])
def test_malformed_digest_is_refused(store: BlobStore, text: str) -> None:
    with pytest.raises(InvalidInputError):
        store.exists(text)


def test_canceled_put_leaves_no_blob(store: BlobStore, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(noise(12 * MIB))
    flag = CancelFlag()
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        flag.set("enough")

    with pytest.raises(CanceledError):
        store.put_file(image, cancel=flag, progress=progress)
    assert seen == [(4 * MIB, 12 * MIB)]
    assert list(store.list()) == []


def test_progress_goes_up_to_the_end(store: BlobStore, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(noise(MIB) + bytes(9 * MIB))
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        assert total == 10 * MIB
        seen.append(done)

    ref = store.put_file(image, progress=progress)
    store.get_file(ref.digest, tmp_path / "out", progress=progress)
    assert seen.count(10 * MIB) == 2
    assert seen.index(10 * MIB) > 0


def test_canceled_get_leaves_no_file(store: BlobStore, tmp_path: Path) -> None:
    ref = store.put_bytes(noise(MIB))
    flag = CancelFlag()
    flag.set("enough")
    with pytest.raises(CanceledError):
        store.get_file(ref.digest, tmp_path / "out", cancel=flag)
    assert list(tmp_path.glob("*out*")) == []


def test_file_that_grows_while_it_is_stored_is_refused(store: BlobStore, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(noise(9 * MIB))

    def grow(_done: int, _total: int) -> None:
        with image.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ConflictError, match="changed"):
        store.put_file(image, progress=grow)
    assert list(store.list()) == []


_WRITER = """
import json, sys
from pathlib import Path
from goldsmith.blobs.store import open_store

def progress(done, total):
    if done >= int(sys.argv[4]):
        print("there", flush=True)
        sys.stdin.read()

open_store(sys.argv[1], json.loads(sys.argv[2])).put_file(Path(sys.argv[3]), progress=progress)
"""


def test_writer_killed_in_the_middle_leaves_only_garbage(place: Place, tmp_path: Path) -> None:
    image = tmp_path / "image"
    # A pack is full long before the end, however many batches are still being compressed by then.
    image.write_bytes(noise(96 * MIB))
    words = [place.url, json.dumps(dict(place.options)), str(image), str(96 * MIB)]
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "there\n"
        _wait_for(lambda: bool(place.paths("indexes")))
        writer.kill()
    store = place.store()
    assert not store.exists(digest.of_file(image))
    assert list(store.list()) == []

    ref = store.put_file(image)
    assert ref.added_bytes < ref.stored_bytes  # what the dead writer had stored is used
    store.verify(ref.digest)
    store.collect_garbage([ref.digest], grace_seconds=0)
    store.verify(ref.digest)
    store.collect_garbage([], grace_seconds=0)
    assert place.paths() == []
    if not place.options:
        assert [path for path in Path(place.url).rglob("*") if path.is_file()] == []


def test_half_written_local_objects_are_invisible_and_collected(local: Place) -> None:
    ref = local.store().put_bytes(noise(MIB))
    half = Path(local.url) / "packs" / "ab" / ("ab" * 32 + "#1")
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half")
    assert not any("#" in path for path in local.paths())
    local.store().collect_garbage([ref.digest])
    assert half.exists()
    local.store().collect_garbage([ref.digest], grace_seconds=0)
    assert not half.exists()
    local.store().verify(ref.digest)


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [_flip, lambda data: data[: len(data) // 2], lambda data: data[:0], None])
def test_damaged_pack_is_named_and_storing_again_repairs_it(
    place: Place, tmp_path: Path, damage: Callable[[bytes], bytes] | None
) -> None:
    data = noise(3 * MIB)
    ref = place.store().put_bytes(data)
    objects = place.objects()
    (path,) = place.paths("packs")
    if damage is None:
        objects.delete(path)
    else:
        objects.replace(path, damage(objects.get(path)))
    with pytest.raises(CorruptError) as found:
        place.store().verify(ref.digest)
    assert ref.digest in str(found.value)
    assert path.rsplit("/", 1)[1] in str(found.value)
    with pytest.raises(CorruptError):
        place.store().get_bytes(ref.digest)
    with pytest.raises(CorruptError):
        place.store().get_file(ref.digest, tmp_path / "out")
    assert list(tmp_path.glob("*out*")) == []

    assert place.store().put_bytes(data).added_bytes > 0
    assert place.store().get_bytes(ref.digest) == data


def test_repair_takes_hold_in_a_process_that_knew_the_damaged_pack(place: Place) -> None:
    store, data = place.store(), noise(3 * MIB)
    ref = store.put_bytes(data)
    (path,) = place.paths("packs")
    place.objects().replace(path, _flip(place.objects().get(path)))
    with pytest.raises(CorruptError):
        store.verify(ref.digest)
    store.put_bytes(data)
    store.verify(ref.digest)


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_manifest_cut_off_anywhere_is_damaged_and_storing_again_repairs_it(
    store: BlobStore, place: Place, size: int
) -> None:
    data = noise(size)
    ref = store.put_bytes(data)
    objects, path = place.objects(), manifest_path(ref.digest)
    whole = objects.get(path)
    for length in (0, 5, 20, 60, len(whole) // 2, len(whole) - 1):
        objects.replace(path, whole[:length], durable=False)
        with pytest.raises(CorruptError, match=ref.digest):
            store.get_bytes(ref.digest)
    for position in (3, 12, 30, 70, len(whole) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        objects.replace(path, bytes(flipped), durable=False)
        with pytest.raises(CorruptError, match=ref.digest):
            store.verify(ref.digest)
    assert store.put_bytes(data) == ref
    assert store.get_bytes(ref.digest) == data


def test_manifest_of_another_blob_is_not_taken_for_this_one(store: BlobStore, place: Place) -> None:
    one, other = store.put_bytes(noise(MIB, seed=1)), store.put_bytes(noise(MIB, seed=2))
    place.objects().replace(manifest_path(one.digest), place.objects().get(manifest_path(other.digest)))
    with pytest.raises(CorruptError, match=one.digest):
        store.get_bytes(one.digest)


def test_damaged_index_costs_room_and_nothing_else(place: Place) -> None:
    data = noise(2 * MIB)
    place.store().put_bytes(data)
    (path,) = place.paths("indexes")
    place.objects().replace(path, b"rubbish")
    ref = place.store().put_bytes(data + noise(MIB, seed=1))
    assert place.store().get_bytes(ref.digest) == data + noise(MIB, seed=1)


def test_collection_keeps_what_kept_blobs_share(place: Place) -> None:
    store = place.store()
    shared = noise(4 * MIB)
    doomed = store.put_bytes(shared)
    kept = store.put_bytes(shared + b"and a little more" * 10_000)
    alone = store.put_bytes(noise(2 * MIB, seed=9))
    small = store.put_bytes(b"small")
    packs_before = len(place.paths("packs"))
    done = store.collect_garbage([kept.digest, small.digest], grace_seconds=0)
    assert (done.blobs, done.packs, done.damaged) == (2, 1, ())
    assert done.freed_bytes >= alone.stored_bytes
    assert len(place.paths("packs")) == packs_before - 1
    assert not store.exists(doomed.digest)
    store.verify(kept.digest)
    assert sorted(store.list()) == sorted([kept.digest, small.digest])
    assert store.collect_garbage([kept.digest, small.digest], grace_seconds=0).packs == 0


def test_collected_chunks_are_stored_again_by_who_knew_them(place: Place) -> None:
    store, data = place.store(), noise(2 * MIB)
    store.put_bytes(data)
    place.store().collect_garbage([], grace_seconds=0)
    assert store.put_bytes(data).added_bytes > 0
    assert store.get_bytes(digest.of_bytes(data)) == data


def test_young_blobs_and_packs_are_not_collected(place: Place) -> None:
    store = place.store()
    ref = store.put_bytes(noise(MIB))
    store.delete(store.put_bytes(noise(MIB, seed=1)).digest)
    done = store.collect_garbage([])
    assert (done.blobs, done.packs) == (0, 0)
    store.verify(ref.digest)


def test_collection_with_a_damaged_kept_manifest_removes_no_pack(place: Place) -> None:
    store, data = place.store(), noise(MIB)
    ref = store.put_bytes(data)
    store.delete(store.put_bytes(noise(MIB, seed=1)).digest)
    place.objects().replace(manifest_path(ref.digest), b"rubbish")
    done = store.collect_garbage([ref.digest], grace_seconds=0)
    assert (done.packs, done.damaged) == (0, (ref.digest,))
    assert store.put_bytes(data).added_bytes == 0
    assert store.get_bytes(ref.digest) == data


def test_blob_whose_packs_vanish_before_it_is_there_is_refused(place: Place) -> None:
    objects = place.objects()
    source = BytesSource(noise(MIB))
    written = write_chunks(source, objects, ChunkIndex(), cancel=NeverCancel(), progress=None)
    (path,) = place.paths("packs")
    objects.delete(path)
    with pytest.raises(PacksGoneError):
        commit(objects, written, cancel=NeverCancel())
    assert not place.store().exists(written.digest)
    assert place.paths(CLAIMS) == []


def test_claimed_packs_and_blobs_are_not_collected(local: Place) -> None:
    store, data = local.store(), noise(MIB)
    ref = store.put_bytes(data)
    (pack,) = (path.rsplit("/", 1)[1] for path in local.paths("packs"))
    _age(local, days=2)
    local.objects().create(
        f"{CLAIMS}/writer", b'{"digest":"%s","packs":["%s"]}' % (ref.digest.encode(), pack.encode())
    )
    done = store.collect_garbage([])
    assert (done.blobs, done.packs) == (0, 0)
    store.verify(ref.digest)
    _age(local, days=2)
    done = store.collect_garbage([])
    assert (done.blobs, done.packs) == (1, 1)
    assert local.paths() == []


def test_collection_in_the_middle_of_a_put_makes_it_store_again_what_it_was_to_share(
    local: Place, tmp_path: Path
) -> None:
    shared = noise(8 * MIB)
    local.store().put_bytes(shared)
    _age(local, days=2)
    image = tmp_path / "image"
    image.write_bytes(shared + noise(4 * MIB, seed=1))
    collected: list[int] = []

    def collect(done: int, total: int) -> None:
        if done == total and not collected:
            collected.append(local.store().collect_garbage([]).packs)

    ref = local.store().put_file(image, progress=collect)
    assert collected == [1]
    local.store().verify(ref.digest)


def test_blob_put_again_counts_as_young(local: Place) -> None:
    store, data = local.store(), noise(MIB)
    ref = store.put_bytes(data)
    _age(local, days=2)
    store.put_bytes(data)
    store.collect_garbage([])
    store.verify(ref.digest)


def test_writer_waits_for_a_collection_under_way(place: Place) -> None:
    objects, data = place.objects(), noise(1000)
    objects.create(MARKER, b"")
    with ThreadPoolExecutor(1) as threads:
        putting = threads.submit(place.store().put_bytes, data)
        try:
            _wait_for(lambda: bool(place.paths(CLAIMS)))
            assert not place.store().exists(digest.of_bytes(data))
        finally:
            objects.delete(MARKER)
        assert place.store().get_bytes(putting.result(TIMEOUT_SECONDS).digest) == data


def test_one_collection_at_a_time(place: Place) -> None:
    place.objects().create(MARKER, b"")
    with pytest.raises(ConflictError, match="under way"):
        place.store().collect_garbage([])
    assert place.paths() == [MARKER]


def test_collection_that_died_holds_up_nobody_for_long(local: Place) -> None:
    local.objects().create(MARKER, b"")
    _age(local, days=1)
    local.store().put_bytes(b"not held up")
    local.store().collect_garbage([], grace_seconds=0)
    assert local.paths() == []


def test_putting_and_collecting_at_once_loses_nothing(place: Place) -> None:
    """A day's grace is what makes it safe, and everything here is young; so this is for the locking."""
    contents = [noise(300_000, seed=number) for number in range(6)]
    with ThreadPoolExecutor(2) as threads:
        collecting = threads.submit(lambda: [place.store().collect_garbage([]) for _ in range(4)])
        digests = [place.store().put_bytes(data).digest for data in contents]
        collecting.result(TIMEOUT_SECONDS)
    for one, data in zip(digests, contents, strict=True):
        assert place.store().get_bytes(one) == data
    assert place.paths(MARKER) == []


def test_named_objects(store: BlobStore) -> None:
    store.put_named("images/debian/1.0.0/sbom.spdx.json", b"{}")
    store.put_named("images/debian/1.0.0/sbom.spdx.json", b'{"a":1}')
    store.put_named("images/debian/1.0.0/report.txt", b"")
    store.put_named("images/debian-x", b"x")
    assert store.get_named("images/debian/1.0.0/sbom.spdx.json") == b'{"a":1}'
    assert store.get_named("images/debian/1.0.0/report.txt") == b""
    assert store.list_named("images/debian") == [
        "images/debian/1.0.0/report.txt",
        "images/debian/1.0.0/sbom.spdx.json",
    ]
    assert len(store.list_named()) == 3
    assert store.list_named("nothing/here") == []
    store.delete_named("images/debian-x")
    store.delete_named("images/debian-x")
    with pytest.raises(NotFoundError):
        store.get_named("images/debian-x")


def test_named_objects_are_no_garbage(store: BlobStore) -> None:
    store.put_named("a/b", b"kept")
    store.collect_garbage([], grace_seconds=0)
    assert store.get_named("a/b") == b"kept"
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", "..", "a/../b", "a/./b", ".hidden", "a\\b", "a b", "a\0", "a#1", "a%2e"],
)
def test_name_that_is_not_plain_is_refused(store: BlobStore, name: str) -> None:
    for act in (store.get_named, store.delete_named, lambda bad: store.put_named(bad, b"")):
        with pytest.raises(InvalidInputError):
            act(name)


def test_local_name_that_is_another_ones_folder_is_refused(local: Place) -> None:
    store = local.store()
    store.put_named("a/b", b"")
    with pytest.raises(ConflictError):
        store.put_named("a/b/c", b"")
    with pytest.raises(ConflictError):
        store.put_named("a", b"")


def test_file_url_is_a_directory(tmp_path: Path) -> None:
    ref = open_store(f"file://{tmp_path}/with%20space").put_bytes(b"x")
    assert open_store(str(tmp_path / "with space")).get_bytes(ref.digest) == b"x"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://host/x", {}),
        ("s3://", {}),
        ("s3://bucket/x", {"colour": "blue"}),
        ("/some/where", {"region": "x"}),
    ],
)
def test_what_is_no_store_is_refused(url: str, options: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        open_store(url, options)


def test_store_that_does_not_answer_is_unavailable() -> None:
    # Port 9 is "discard", which nothing serves any more.
    options = {"endpoint": "http://127.0.0.1:9", "allow_http": "true", "access_key_id": "a"}
    store = open_store("s3://bucket/x", {**options, "secret_access_key": "b", "region": "us-east-1"})
    with pytest.raises(UnavailableError):
        store.put_bytes(b"x")


_ON_FULL_DISK = """
import sys
from pathlib import Path
from goldsmith.blobs.store import open_store
from goldsmith.kernel.errors import NoSpaceError

disk, image = Path(sys.argv[1]), Path(sys.argv[2])
store = open_store(str(disk / "store"))
try:
    store.put_file(image)
except NoSpaceError as error:
    print("full:", error.hint)
assert list(store.list()) == []
print("freed", store.collect_garbage([], grace_seconds=0).packs)
small = store.put_bytes(b"x" * 3_000_000)
store.verify(small.digest)
outside = open_store(sys.argv[3])
digest = outside.put_file(image).digest
try:
    outside.get_file(digest, disk / "out")
except NoSpaceError as error:
    print("full:", error.hint)
assert sorted(path.name for path in disk.iterdir()) == ["store"]
store.verify(small.digest)
print("done")
"""


def test_full_disk_is_said_and_leaves_nothing_visible(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system of its own needs root")
    image = tmp_path / "image"
    image.write_bytes(noise(60 * MIB))
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=40m none {disk} && exec "$@"'
    inside = [sys.executable, "-c", _ON_FULL_DISK, str(disk), str(image), str(tmp_path / "outside")]
    argv = in_private_namespace(["sh", "-c", script, "sh", *inside])
    result = run(argv, timeout_seconds=TIMEOUT_SECONDS, check=False)
    if "mount:" in result.error_text or "unshare:" in result.error_text:
        pytest.skip(f"cannot mount here: {result.error_text.strip()}")
    assert result.returncode == 0, result.error_text
    assert result.text.count("full: ") == 2
    assert "freed 0" not in result.text
    assert result.text.endswith("done\n")


def _age(place: Place, *, days: float) -> None:
    """Make everything in a local store that much older."""
    for path in Path(place.url).rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - days * DAY_SECONDS
            os.utime(path, (then, then))


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
