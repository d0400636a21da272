"""SPDX licence expressions as trees: joined, without doubles, in one order (SPDX 2.3, annex D)."""

from collections.abc import Iterable
from typing import Literal

Operator = Literal["and", "or"]
# A leaf is a licence, or a licence WITH an exception; `and` binds tighter than `or`.
Tree = str | tuple[Operator, tuple["Tree", ...]]


def combine(operator: Operator, operands: Iterable[Tree]) -> Tree:
    """One tree of at least one operand: nested equal operators become one, equal operands are kept once."""
    found: dict[str, Tree] = {}
    for operand in operands:
        parts = operand[1] if isinstance(operand, tuple) and operand[0] == operator else (operand,)
        found.update((render(part), part) for part in parts)
    assert found, "an expression has at least one licence"
    unique = tuple(found[text] for text in sorted(found))
    return unique[0] if len(unique) == 1 else (operator, unique)


def render(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    operator, operands = tree
    return f" {operator.upper()} ".join(
        render(operand) if isinstance(operand, str) else f"({render(operand)})" for operand in operands
    )
