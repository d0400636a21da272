"""Laws of the blob store over generated content: noise, zeros and repeats of any length."""

import itertools
import random
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldsmith.blobs.chunks import MAX_BYTES, Cutter
from goldsmith.blobs.source import BLOCK_BYTES, BytesSource, FileSource, Source, windows, without_zeros
from goldsmith.blobs.store import open_store
from goldsmith.kernel import digest

_lengths = st.one_of(
    st.integers(0, 3),
    st.integers(0, 400_000),
    st.sampled_from([BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 65536, 65537, 2 * MAX_BYTES]),
)
# A seed below zero is a run of zeros; equal seeds repeat each other's content.
_stretches = st.lists(st.tuples(st.integers(-2, 3), _lengths), max_size=7)


def content_of(stretches: list[tuple[int, int]]) -> bytes:
    return b"".join(
        bytes(length) if seed < 0 else random.Random(seed).randbytes(length) for seed, length in stretches
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=_stretches, second=_stretches)
def test_what_is_stored_comes_back_and_as_a_file_is_the_same_blob(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"{folder}/store")
        for stretches in (first, second):
            data = content_of(stretches)
            ref = store.put_bytes(data)
            assert ref.digest == digest.of_bytes(data)
            assert store.get_bytes(ref.digest) == data
            file = Path(folder) / "file"
            _write_with_holes(file, stretches)
            assert store.put_file(file) == ref
            store.get_file(ref.digest, file)
            assert file.read_bytes() == data
        store.collect_garbage([ref.digest], grace_seconds=0)
        assert store.get_bytes(ref.digest) == data


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stretches=_stretches, cuts=st.lists(st.integers(0, 1_000_000), max_size=8))
def test_chunks_do_not_depend_on_how_content_is_handed_over(
    stretches: list[tuple[int, int]], cuts: list[int]
) -> None:
    data = content_of(stretches)
    points = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert _cut(data, points) == _cut(data, [0, len(data)])
    assert b"".join(_cut(data, points)) == data
    assert all(len(chunk) <= MAX_BYTES for chunk in _cut(data, points))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stretches=_stretches)
def test_only_whole_blocks_of_zeros_are_left_out_and_all_of_them(stretches: list[tuple[int, int]]) -> None:
    data = content_of(stretches)
    with tempfile.NamedTemporaryFile() as file:
        _write_with_holes(Path(file.name), stretches)
        kept = [_kept(source) for source in (BytesSource(data), FileSource(file.fileno(), "file"))]
    rebuilt = bytearray(len(data))
    for start, part in kept[0]:
        rebuilt[start : start + len(part)] = part
        for block in range(0, len(part), BLOCK_BYTES):
            assert any(part[block : block + BLOCK_BYTES])
    assert bytes(rebuilt) == data
    assert kept[0] == kept[1]


def _kept(source: Source) -> list[tuple[int, bytes]]:
    """Offset and content of each stretch that is left, those that touch joined."""
    kept: list[tuple[int, bytes]] = []
    for offset, window in windows(source):
        for start, part in without_zeros(offset, window):
            if kept and kept[-1][0] + len(kept[-1][1]) == start:
                kept[-1] = (kept[-1][0], kept[-1][1] + bytes(part))
            else:
                kept.append((start, bytes(part)))
    return kept


def _cut(data: bytes, points: list[int]) -> list[bytes]:
    cutter, chunks = Cutter(), []
    for start, end in itertools.pairwise(points):
        if start < end:
            chunks += [bytes(chunk) for _, chunk in cutter.feed(start, memoryview(data)[start:end])]
    return chunks + [bytes(chunk) for _, chunk in cutter.finish()]


def _write_with_holes(file: Path, stretches: list[tuple[int, int]]) -> None:
    with file.open("wb") as target:
        for seed, length in stretches:
            if seed < 0:
                target.seek(length, 1)
            else:
                target.write(random.Random(seed).randbytes(length))
        target.truncate(target.tell())
