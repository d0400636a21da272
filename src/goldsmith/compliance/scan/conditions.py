"""Condition trees over the rows of one table: their verdicts, kept up row by row."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from goldsmith.compliance.scan.bitmaps import (
    Bits,
    Conjunction,
    Disjunction,
    Verdict,
    assign,
    is_set,
    negated,
)
from goldsmith.compliance.scan.columns import Coded, Codes, Pair, grown
from goldsmith.compliance.scan.dictionary import key_of
from goldsmith.compliance.scan.index import FleetIndex
from goldsmith.compliance.scan.projection import Field
from goldsmith.compliance.scan.scopes import ScopeColumn
from goldsmith.compliance.scan.table import Table
from goldsmith.compliance.scan.truth import ERROR, FALSE, TRUE, LeafScan
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.paths import project
from goldsmith.policy.tree import All, Always, Any, Input, Leaf, LeafNode, Negation, Node, Source

_CONSTANTS = frozenset((Source.CLOCK, Source.REQUEST))
_SCOPES = frozenset((Source.RESOURCE_GROUP, Source.SUBSCRIPTION))


@dataclass(slots=True, eq=False)
class Root:
    """A tree whose verdict is wanted, and its bitmaps as far as they have been found."""

    node: Node
    leaves: tuple[Leaf, ...]
    true: Bits | None = None
    error: Bits | None = None


@dataclass(slots=True, eq=False)
class _Used:
    scan: LeafScan
    fields: frozenset[Field]
    roots: set[Root] = field(default_factory=set)


class _Nothing:
    """The inputs of a leaf that reads nothing of the rows."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def codes(self) -> Codes:
        return np.zeros(self._table.room, np.uint8)

    def __len__(self) -> int:
        return 1

    def values(self, code: int) -> tuple[JsonValue, ...]:
        return ()


class Conditions:
    """`own` says which inputs are the table's: RESOURCE, or RELATED for existence conditions.

    Inputs that are the same on all rows have their value in `constants`, null when they have none there.
    """

    def __init__(self, index: FleetIndex, resource_type: str, *, own: Source = Source.RESOURCE) -> None:
        self._index = index
        self._own = own
        self.table = index.table(resource_type)
        self._constants: dict[Source, JsonValue] = {}
        self._leaves: dict[str, _Used] = {}
        self._by_field: dict[Field, list[_Used]] = {}
        self._pairs: dict[tuple[int, int], Pair] = {}
        self._scope_columns: dict[tuple[Source, Field], ScopeColumn] = {}
        self._roots: set[Root] = set()
        # After many rows changed at once nothing is kept up until somebody asks for a verdict.
        self._settled = False
        # Answers of nodes on the row that was asked about last, as long as nothing has changed.
        self._answered: dict[int, int] = {}
        self._answered_row = -1
        self.table.observe(self)
        index.watch(self)

    def add(self, node: Node) -> Root:
        """From now on its verdict is kept up; reads resources again for a column that is not there."""
        root = Root(node, tuple(leaves_of(node)))
        self._answered_row = -1
        fields = {
            (input_.path, input_.narrowing)
            for leaf in root.leaves
            for input_ in leaf.inputs
            if input_.source is self._own
        }
        self._index.require(self.table.type, sorted(fields))
        for leaf in root.leaves:
            if leaf.key not in self._leaves:
                self._add_leaf(leaf)
            self._leaves[leaf.key].roots.add(root)
        self._roots.add(root)
        return root

    def remove(self, root: Root) -> None:
        """What only this one needed goes with it, except columns."""
        self._roots.discard(root)
        self._answered_row = -1
        for leaf in root.leaves:
            used = self._leaves[leaf.key]
            used.roots.discard(root)
            if not used.roots:
                del self._leaves[leaf.key]
                for field_ in used.fields:
                    self._by_field[field_].remove(used)
        kept = {id(used.scan.coded) for used in self._leaves.values()}
        # A pair that another pair is made of stays as long as that one.
        for key, pair in reversed(list(self._pairs.items())):
            if id(pair) not in kept:
                del self._pairs[key]
            else:
                kept.add(key[0])

    def verdict(self, root: Root) -> Verdict:
        """Where it is true and where it has no result, among the living rows; it follows single changes."""
        if root.true is None:
            self.settle((root,))
        assert root.true is not None
        return Verdict(root.true, root.error)

    def settle(self, roots: Iterable[Root] | None = None) -> None:
        """Find the verdicts of these, or of all, now: what they share is found once."""
        if not self._settled:
            for pair in self._pairs.values():
                pair.refresh()
            self._settled = True
        wanted = [root for root in roots or self._roots if root.true is None]
        if not wanted:
            return
        scans = {key: used.scan for key, used in self._leaves.items()}
        walk = Walk(self.table.alive, scans, [root.node for root in wanted])
        for root in wanted:
            verdict = walk.verdict(root.node)
            root.true = verdict.true & self.table.alive
            root.error = None if verdict.error is None else verdict.error & self.table.alive

    def answer(self, root: Root, row: int) -> int:
        """FALSE, TRUE or ERROR for one row, which need not be alive."""
        if row != self._answered_row:
            self._answered_row = row
            self._answered.clear()
        return _answer(root.node, row, self._leaves, self._answered)

    def set_constant(self, source: Source, value: JsonValue) -> None:
        """CLOCK: the moment; REQUEST: what a request would bring."""
        if key_of(self._constants.get(source)) != key_of(value):
            self._constants[source] = value
            self._forget_answers(frozenset((source,)))

    def constant(self, wanted: Input) -> JsonValue:
        """The value of an input that is the same on all rows."""
        return project(self._constants.get(wanted.source), wanted.path, wanted.narrowing)

    def scopes_changed(self) -> None:
        self._forget_answers(_SCOPES)

    def rows_changed(self) -> None:
        self._settled = False
        self._answered_row = -1
        for used in self._leaves.values():
            used.scan.forget_rows()
        for root in self._roots:
            root.true = root.error = None

    def room_grown(self) -> None:
        for pair in self._pairs.values():
            pair.reserve(self.table.room)
        size = self.table.bitmap_bytes
        for used in self._leaves.values():
            used.scan.reserve(size)
        for root in self._roots:
            root.true = None if root.true is None else grown(root.true, size)
            root.error = None if root.error is None else grown(root.error, size)

    def row_changed(self, row: int, fields: frozenset[Field] | None) -> None:
        self._answered_row = -1
        if not self._settled:
            return
        for pair in self._pairs.values():
            pair.refresh_one(row)
        roots: set[Root] = set()
        for used in self._touched(fields):
            if used.scan.refresh_one(row):
                roots |= used.roots
        for root in tuple(self._roots) if fields is None else roots:
            self._refresh_root(root, row)

    def _touched(self, fields: frozenset[Field] | None) -> Iterable[_Used]:
        if fields is None:
            return self._leaves.values()
        return {id(used): used for field_ in fields for used in self._by_field.get(field_, ())}.values()

    def _refresh_root(self, root: Root, row: int) -> None:
        if root.true is None:
            return
        answer = self.answer(root, row) if is_set(self.table.alive, row) else FALSE
        assign(root.true, row, answer == TRUE)
        if root.error is None and answer == ERROR:
            root.error = np.zeros_like(root.true)
        if root.error is not None:
            assign(root.error, row, answer == ERROR)

    def _add_leaf(self, leaf: Leaf) -> None:
        coded: Coded | None = None
        fields: set[Field] = set()
        for input_ in leaf.inputs:
            if input_.source in _CONSTANTS:
                continue
            one = self._coded(input_)
            coded = one if coded is None else self._pair(coded, one)
            if input_.source is self._own:
                fields.add((input_.path, input_.narrowing))
        scan = LeafScan(leaf, _Nothing(self.table) if coded is None else coded, self._constants_of(leaf))
        used = self._leaves[leaf.key] = _Used(scan, frozenset(fields))
        for field_ in used.fields:
            self._by_field.setdefault(field_, []).append(used)

    def _coded(self, input_: Input) -> Coded:
        field_ = (input_.path, input_.narrowing)
        if input_.source in _SCOPES:
            key = (input_.source, field_)
            if key not in self._scope_columns:
                self._scope_columns[key] = ScopeColumn(
                    self.table.containers, self._index.scopes, input_.source, field_
                )
            return self._scope_columns[key]
        assert input_.source is self._own, f"a leaf reads {input_.source.value}"
        return self.table.columns[field_]

    def _pair(self, first: Coded, second: Coded) -> Pair:
        key = (id(first), id(second))
        if key not in self._pairs:
            self._pairs[key] = Pair(first, second)
        return self._pairs[key]

    def _constants_of(self, leaf: Leaf) -> list[tuple[int, JsonValue]]:
        return [
            (place, self.constant(input_))
            for place, input_ in enumerate(leaf.inputs)
            if input_.source in _CONSTANTS
        ]

    def _forget_answers(self, sources: frozenset[Source]) -> None:
        self._answered_row = -1
        for used in self._leaves.values():
            leaf = used.scan.leaf
            if any(input_.source in sources for input_ in leaf.inputs):
                used.scan.forget_answers(self._constants_of(leaf))
                for root in used.roots:
                    root.true = root.error = None


class Walk:
    """Finds the verdicts of trees that share nodes; keeps those of shared nodes until their last use."""

    def __init__(self, among: Bits, leaves: Mapping[str, LeafScan], nodes: Iterable[Node]) -> None:
        self._among = among
        self._leaves = leaves
        self._found: dict[int, Verdict] = {}
        self._uses: dict[int, int] = {}
        pending = list(nodes)
        while pending:
            node = pending.pop()
            self._uses[id(node)] = self._uses.get(id(node), 0) + 1
            if self._uses[id(node)] == 1:
                pending.extend(_children(node))

    def verdict(self, node: Node) -> Verdict:
        # One frame a level: rules may be nested hundreds of levels deep.
        if isinstance(node, LeafNode):
            return self._leaves[node.leaf.key].verdict()
        key = id(node)
        self._uses[key] -= 1
        found = self._found.get(key)
        if found is not None:
            if self._uses[key] <= 0:
                del self._found[key]
            return found
        if isinstance(node, Always):
            found = Verdict(self._among if node.value else np.zeros_like(self._among), None)
        elif isinstance(node, Negation):
            found = negated(self.verdict(node.child), self._among)
        else:
            so_far = Conjunction(self._among) if isinstance(node, All) else Disjunction(self._among)
            for child in node.children:
                if so_far.decided:
                    break
                so_far.add(self.verdict(child))
            found = so_far.verdict()
        if self._uses[key] > 0:
            self._found[key] = found
        return found


def _answer(node: Node, row: int, leaves: Mapping[str, _Used], known: dict[int, int]) -> int:
    # One frame a level: rules may be nested hundreds of levels deep.
    if isinstance(node, LeafNode):
        return leaves[node.leaf.key].scan.answer(row)
    key = id(node)
    found = known.get(key)
    if found is not None:
        return found
    if isinstance(node, Always):
        found = TRUE if node.value else FALSE
    elif isinstance(node, Negation):
        answer = _answer(node.child, row, leaves, known)
        found = answer if answer == ERROR else TRUE - answer
    else:
        deciding = FALSE if isinstance(node, All) else TRUE
        found = TRUE - deciding
        for child in node.children:
            answer = _answer(child, row, leaves, known)
            if answer in (deciding, ERROR):
                found = answer
                break
    known[key] = found
    return found


def leaves_of(node: Node) -> Iterator[Leaf]:
    """One leaf for each key in the tree, in no particular order."""
    seen: set[int] = set()
    keys: set[str] = set()
    pending = [node]
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, LeafNode) and one.leaf.key not in keys:
            keys.add(one.leaf.key)
            yield one.leaf
        pending.extend(_children(one))


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, All | Any):
        return node.children
    return (node.child,) if isinstance(node, Negation) else ()
