"""One compiled condition as a plain function of a resource: for judging many by one rule, nothing kept.

The meaning is that of the leaves, as everywhere; only the bookkeeping of `Document` is left out, which pays
when many rules share what they read.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias, assert_never

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.paths import WILDCARD, member_of, project, reading
from goldsmith.policy.tree import All, Always, Any, Input, Leaf, LeafNode, Narrowing, Negation, Node, Source

Predicate: TypeAlias = Callable[[JsonValue], bool]


def predicate_of(node: Node, *, now: str | None = None) -> Predicate:
    """Whether the condition holds for a resource by itself; the function raises EvaluationError.

    `now` is what utcNow() gives. What surrounds the resource (its group, subscription, a request) is null.
    """
    match node:
        case LeafNode(leaf=leaf):
            return _of_leaf(node, leaf, now)
        case All(children=children):
            every = tuple(predicate_of(child, now=now) for child in children)

            def holds_all(resource: JsonValue) -> bool:
                for each in every:  # noqa: SIM110 - a generator costs more than all the rest
                    if not each(resource):
                        return False
                return True

            return holds_all
        case Any(children=children):
            some = tuple(predicate_of(child, now=now) for child in children)

            def holds_any(resource: JsonValue) -> bool:
                for each in some:  # noqa: SIM110 - as above
                    if each(resource):
                        return True
                return False

            return holds_any
        case Negation(child=child):
            inner = predicate_of(child, now=now)
            return lambda resource: not inner(resource)
        case Always(value=value):
            return lambda _: value
        case _:
            assert_never(node)


def _of_leaf(node: Node, leaf: Leaf, now: str | None) -> Predicate:
    if any(each.source is not Source.RESOURCE for each in leaf.inputs):
        return lambda resource: evaluate_node(node, Document(resource, now=now))
    test = leaf.test
    if len(leaf.inputs) == 1:
        (only,) = leaf.inputs
        if WILDCARD not in only.path and only.narrowing is Narrowing.VALUE:
            return reading(only.path, test)
        if WILDCARD not in only.path and only.narrowing is Narrowing.EXISTS:
            return reading(only.path, lambda values: test((values[0] is not None,)))
        read = _reader(only)
        return lambda resource: test((read(resource),))
    readers: Sequence[Callable[[JsonValue], JsonValue]] = [_reader(each) for each in leaf.inputs]
    return lambda resource: test([read(resource) for read in readers])


def _reader(wanted: Input) -> Callable[[JsonValue], JsonValue]:
    path, narrowing = wanted.path, wanted.narrowing
    if WILDCARD in path or narrowing is Narrowing.LENGTH:
        return lambda resource: project(resource, path, narrowing)

    def value(resource: JsonValue) -> JsonValue:
        for segment in path:
            resource = member_of(resource, segment)
            if resource is None:
                return None
        return resource

    if narrowing is Narrowing.EXISTS:
        return lambda resource: value(resource) is not None
    return value
