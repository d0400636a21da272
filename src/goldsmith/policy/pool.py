"""Interned nodes and leaves: equal ones are one object, numbered, and constants are folded on the way in."""

from collections.abc import Callable, Sequence

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.rule import Condition
from goldsmith.policy.tree import All, Always, Any, Input, Leaf, LeafNode, Negation, Node


class Pool:
    """Share one among all rules that are evaluated together; nodes of different types may live in one pool.

    `leaves[i].index == i` and `nodes[i].index == i`. Nothing is ever removed.
    """

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.nodes: list[Node] = []
        self._leaf_by_key: dict[str, Leaf] = {}
        self._node_by_key: dict[tuple[str, tuple[int, ...]], Node] = {}
        self._inputs: dict[Input, Input] = {}
        self._may_fail: list[bool] = []

    def input(self, value: Input) -> Input:
        """The one object that stands for an input equal to `value`."""
        return self._inputs.setdefault(value, value)

    def leaf(
        self,
        key: str,
        inputs: Sequence[Input],
        test: Callable[[Sequence[JsonValue]], bool],
        *,
        may_fail: bool,
        condition: Condition,
    ) -> Node:
        leaf = self._leaf_by_key.get(key)
        if leaf is None:
            leaf = Leaf(
                index=len(self.leaves),
                key=key,
                inputs=tuple(self.input(value) for value in inputs),
                test=test,
                may_fail=may_fail,
                condition=condition,
            )
            self.leaves.append(leaf)
            self._leaf_by_key[key] = leaf
        found = leaf
        return self._intern(
            "leaf", (leaf.index,), lambda index: LeafNode(index=index, leaf=found), may_fail=leaf.may_fail
        )

    def always(self, value: bool) -> Node:
        return self._intern(
            "always", (int(value),), lambda index: Always(index=index, value=value), may_fail=False
        )

    def negation(self, child: Node) -> Node:
        match child:
            case Always(value=value):
                return self.always(not value)
            case Negation(child=inner):
                return inner
            case _:
                return self._intern(
                    "not",
                    (child.index,),
                    lambda index: Negation(index=index, child=child),
                    may_fail=self.may_fail(child),
                )

    def all(self, children: Sequence[Node]) -> Node:
        """True when every child is; see `_flattened` for what is folded."""
        kept = self._flattened(children, decisive=False)
        if not kept:
            return self.always(True)
        if len(kept) == 1:
            return kept[0]
        return self._intern(
            "all",
            tuple(child.index for child in kept),
            lambda index: All(index=index, children=kept),
            may_fail=any(self.may_fail(child) for child in kept),
        )

    def any(self, children: Sequence[Node]) -> Node:
        kept = self._flattened(children, decisive=True)
        if not kept:
            return self.always(False)
        if len(kept) == 1:
            return kept[0]
        return self._intern(
            "any",
            tuple(child.index for child in kept),
            lambda index: Any(index=index, children=kept),
            may_fail=any(self.may_fail(child) for child in kept),
        )

    def may_fail(self, node: Node) -> bool:
        """Whether evaluating the node can raise EvaluationError."""
        return self._may_fail[node.index]

    def _flattened(self, children: Sequence[Node], *, decisive: bool) -> tuple[Node, ...]:
        """The children that matter, in order: nested ones of the same kind lifted, repetitions dropped.

        A constant that decides cuts off what follows it; what stands before it stays only if it can fail,
        for a failure that comes first is the result.
        """
        kept: dict[int, Node] = {}
        kind = Any if decisive else All
        for child in children:
            for part in child.children if isinstance(child, kind) else (child,):
                if not isinstance(part, Always):
                    kept.setdefault(part.index, part)
                elif part.value is decisive:
                    if not any(self.may_fail(node) for node in kept.values()):
                        kept.clear()
                    kept[part.index] = part
                    return tuple(kept.values())
        return tuple(kept.values())

    def _intern(
        self, kind: str, key: tuple[int, ...], create: Callable[[int], Node], *, may_fail: bool
    ) -> Node:
        node = self._node_by_key.get((kind, key))
        if node is None:
            node = create(len(self.nodes))
            self.nodes.append(node)
            self._may_fail.append(may_fail)
            self._node_by_key[(kind, key)] = node
        return node
