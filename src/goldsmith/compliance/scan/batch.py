"""Conditions over a list of documents, once and with nothing kept: offline, and for one rule on many."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from goldsmith.compliance.scan.bitmaps import Verdict, packed
from goldsmith.compliance.scan.columns import Coded, Codes, Column, Pair
from goldsmith.compliance.scan.conditions import Walk, leaves_of
from goldsmith.compliance.scan.projection import Field, Projector, missing
from goldsmith.compliance.scan.truth import LeafScan
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.paths import project
from goldsmith.policy.tree import Leaf, Node, Source

_BATCH_DOCUMENTS = 64


def verdicts(
    nodes: Sequence[Node], documents: Sequence[JsonValue], *, around: Mapping[Source, JsonValue]
) -> list[Verdict]:
    """For each node where it is true and where it has no result; document `i` has bit `i`.

    `around` has what is the same for all documents: the moment, the request, and the resource group and the
    subscription if all are in one. What is not in it is null.
    """
    leaves = {leaf.key: leaf for node in nodes for leaf in leaves_of(node)}
    columns = _columns(leaves.values(), documents)
    scans = {key: _scan(leaf, columns, around, len(documents)) for key, leaf in leaves.items()}
    walk = Walk(packed(np.ones(len(documents), np.bool_)), scans, nodes)
    return [walk.verdict(node) for node in nodes]


def _columns(leaves: Iterable[Leaf], documents: Sequence[JsonValue]) -> dict[Field, Column]:
    fields = {
        (read.path, read.narrowing)
        for leaf in leaves
        for read in leaf.inputs
        if read.source is Source.RESOURCE
    }
    projector = Projector(sorted(fields))
    columns = {field: Column(missing(field), rows=len(documents)) for field in projector.fields}
    held: list[list[JsonValue]] = [[] for _ in columns]
    for start in range(0, len(documents), _BATCH_DOCUMENTS):
        projected = projector.columns(documents[start : start + _BATCH_DOCUMENTS])
        for whole, part in zip(held, projected, strict=True):
            whole += part
    for field, values in zip(projector.fields, held, strict=True):
        columns[field].write(np.arange(len(documents)), values)
    return columns


def _scan(
    leaf: Leaf, columns: Mapping[Field, Column], around: Mapping[Source, JsonValue], count: int
) -> LeafScan:
    coded: Coded | None = None
    constants: list[tuple[int, JsonValue]] = []
    for place, read in enumerate(leaf.inputs):
        if read.source is not Source.RESOURCE:
            constants.append((place, project(around.get(read.source), read.path, read.narrowing)))
            continue
        one = columns[read.path, read.narrowing]
        coded = one if coded is None else Pair(coded, one)
    return LeafScan(leaf, _Nothing(count) if coded is None else coded, constants)


class _Nothing:
    """The inputs of a leaf that reads nothing of the documents."""

    def __init__(self, count: int) -> None:
        self.codes: Codes = np.zeros(count, np.uint8)

    def __len__(self) -> int:
        return 1

    def values(self, code: int) -> tuple[JsonValue, ...]:
        return ()
