"""A rule compiled for one resource type and one set of parameter values: a boolean tree over leaves.

A leaf is the only place where a condition has a meaning: a predicate over the values of its inputs.
The door calls it on one resource, the fleet scan once per distinct value of its inputs' columns.
Nodes and leaves are interned in a `Pool`: equal ones are one object, shared by all rules compiled into it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from goldsmith.kernel.json import JsonValue
from goldsmith.policy.rule import Condition


class Source(StrEnum):
    """Where an input's value is read."""

    RESOURCE = "resource"
    RELATED = "related"
    RESOURCE_GROUP = "resourceGroup"
    SUBSCRIPTION = "subscription"
    REQUEST = "requestContext"
    CLOCK = "utcNow"


class Narrowing(StrEnum):
    """What of the value the leaf needs; a narrower input has fewer distinct values in a fleet.

    VALUE hands the value over as it is, EXISTS a boolean (neither missing nor null; for a path with `[*]` one
    for each member, in the same nesting of lists), LENGTH the members of arrays as nulls: only their number.
    """

    VALUE = "value"
    EXISTS = "exists"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Input:
    """One value that a leaf reads.

    `path` has lower-case segments; `[*]` stands for each member of the array so far, a number selects one of
    its members, and the empty path is the whole of the source. The value of a path
    with `[*]` is a list with one entry a member (a list of lists for two `[*]`); an array that is missing,
    null or no array gives an empty list, a member without the rest of the path gives null. A path without
    `[*]` gives the value or null. CLOCK has the empty path: the .NET round-trip text of the moment. Values
    keep the spelling of their own keys.
    """

    source: Source
    path: tuple[str, ...]
    narrowing: Narrowing = Narrowing.VALUE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leaf:
    """`test` takes the values of `inputs` in their order; raises EvaluationError when the condition has none.

    `key` says what is tested, with everything folded in: equal keys mean equal meaning.
    `index` is its number in the pool. `condition` is the (first) condition it was compiled from; a negative
    one (`notEquals`) is compiled as the negation of its opposite where that is exact, so it may be that.
    A leaf without inputs fails whenever it is reached.
    """

    index: int
    key: str
    inputs: tuple[Input, ...]
    test: Callable[[Sequence[JsonValue]], bool]
    may_fail: bool
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeafNode:
    index: int
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class All:
    """True when every child is; children are tried in order, the first false one decides."""

    index: int
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Any:
    """True when one child is; children are tried in order, the first true one decides."""

    index: int
    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Negation:
    index: int
    child: "Node"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Always:
    """A condition that folding has decided."""

    index: int
    value: bool


Node: TypeAlias = LeafNode | All | Any | Negation | Always
