"""Bounds of the expression language: of its text, and of the values that evaluation builds.

Specification: Azure Policy, "limits of policy rules" (documented run-time and authoring limits).
"""

from typing import TypeVar

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.json import JsonValue

EXPRESSION_LENGTH_MAX = 81_920
NESTING_MAX = 64
ARGUMENTS_MAX = 128

STRING_LENGTH_MAX = 131_072
DEPTH_MAX = 128
NODES_MAX = 32_768

J = TypeVar("J", bound=JsonValue)


def check_string_length(length: int) -> None:
    """Raises EvaluationError: asked before a long string is built."""
    if length > STRING_LENGTH_MAX:
        raise EvaluationError(f"a string of {length} characters exceeds the limit of {STRING_LENGTH_MAX}")


def check_node_count(count: int) -> None:
    """Raises EvaluationError: asked before a long array is built."""
    if count > NODES_MAX:
        raise EvaluationError(f"a value of {count} nodes exceeds the limit of {NODES_MAX}")


def within_limits(value: J) -> J:
    """The value itself; raises EvaluationError when it is too long, too deep or has too many members."""
    if isinstance(value, str):
        check_string_length(len(value))
    elif isinstance(value, (list, dict)):
        _check_tree(value)
    return value


def _check_tree(value: JsonValue) -> None:
    # Level by level and never by recursion: the value may come from a resource and be nested at will.
    level: list[JsonValue] = [value]
    count = 0
    for _ in range(DEPTH_MAX + 1):
        count += len(level)
        if count > NODES_MAX:
            raise EvaluationError(f"the value has more than {NODES_MAX} nodes")
        below: list[JsonValue] = []
        for node in level:
            if isinstance(node, list):
                below += node
            elif isinstance(node, dict):
                below += node.values()
            elif isinstance(node, str):
                check_string_length(len(node))
        if not below:
            return
        level = below
    raise EvaluationError(f"the value is nested deeper than {DEPTH_MAX} levels")
