"""Walks a compiled tree over the values of one document."""

from typing import assert_never

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.document import Document
from goldsmith.policy.operands import Computation
from goldsmith.policy.tree import All, Always, Any, LeafNode, Negation, Node


def evaluate_node(node: Node, document: Document) -> bool:
    """In order with short circuit; raises EvaluationError when a condition that is reached has no result.

    Results are remembered in the document by node, so rules that share nodes share the work. A failure is not
    remembered: it is the same whenever it is reached again.
    """
    results = document.nodes
    known = results.get(node.index)
    if known is not None:
        return known
    match node:
        case LeafNode(leaf=leaf):
            result = leaf.test([document.value(wanted) for wanted in leaf.inputs])
        case All(children=children):
            result = True
            for child in children:
                # Looked up here as well: most children are shared and known, and a call costs more.
                known = results.get(child.index)
                if known is None:
                    known = evaluate_node(child, document)
                if not known:
                    result = False
                    break
        case Any(children=children):
            result = False
            for child in children:
                known = results.get(child.index)
                if known is None:
                    known = evaluate_node(child, document)
                if known:
                    result = True
                    break
        case Negation(child=child):
            result = not evaluate_node(child, document)
        case Always(value=value):
            result = value
        case _:
            assert_never(node)
    results[node.index] = result
    return result


def evaluate_computation(computation: Computation, document: Document) -> JsonValue:
    """The value; raises EvaluationError."""
    return computation.compute([document.value(wanted) for wanted in computation.inputs])
