"""Reads the values of a leaf: which inputs it has, and how members of counted arrays are bound to them.

A leaf gets a frame: the values of its inputs, then (at the end, numbered backwards) one slot for each value
that a count binds while it goes through its members.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.limits import INNER_ITERATIONS_MAX
from goldsmith.policy.paths import WILDCARD
from goldsmith.policy.tree import Input, Narrowing, Source

Frame: TypeAlias = list[JsonValue]
Read: TypeAlias = Callable[[Frame], JsonValue]


@dataclass(slots=True)
class FieldScope:
    """A field count over `path`; `bound` pairs where an array is read with the slot for its current member.

    `depth` says how many levels of lists lie between what is read and its members: 1 for one `[*]` beyond the
    scope around it, 0 when the same array is counted again inside its own where.
    """

    source: Source
    path: tuple[str, ...]
    depth: int
    bound: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class ValueScope:
    """A value count whose members are only known at evaluation; `iterations` is where their number stands.

    That number includes those of the value counts around it.
    """

    name: str
    slot: int
    iterations: int


Scope: TypeAlias = FieldScope | ValueScope


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands in the frame, and how many levels of lists it still has."""

    position: int
    depth: int
    is_bound: bool


@dataclass(slots=True)
class LeafReader:
    """Gathers the inputs and slots of one leaf while it is compiled."""

    inputs: list[Input] = field(default_factory=list)
    slots: int = 0
    is_dynamic: bool = False
    _steps: int | None = None

    def input(self, source: Source, path: tuple[str, ...], narrowing: Narrowing = Narrowing.VALUE) -> int:
        wanted = Input(source, path, narrowing)
        if wanted not in self.inputs:
            self.inputs.append(wanted)
        return self.inputs.index(wanted)

    def slot(self) -> int:
        self.slots += 1
        return -self.slots

    def tally(self) -> Callable[[Frame, int], None]:
        """Adds to what inner counts have gone through; what it gives raises EvaluationError for too much."""
        if self._steps is None:
            self._steps = self.slot()
        slot = self._steps

        def add(frame: Frame, number: int) -> None:
            total = number + (frame[slot] or 0)  # type: ignore[operator]  # the slot holds nothing else
            if total > INNER_ITERATIONS_MAX:
                raise EvaluationError(
                    f"counts inside counts go through more than {INNER_ITERATIONS_MAX} members",
                    hint="count one array, or shorten the arrays",
                )
            frame[slot] = total

        return add

    def place(
        self,
        source: Source,
        path: tuple[str, ...],
        narrowing: Narrowing = Narrowing.VALUE,
        *,
        scopes: Sequence[Scope] = (),
    ) -> Place:
        """Where the value of `path` stands inside those scopes: counts that go over a part of it bind it."""
        position = self.input(source, path, narrowing)
        depth = path.count(WILDCARD)
        is_bound = False
        for scope in binding_scopes(source, path, scopes):
            if position not in scope.bound:
                scope.bound[position] = self.slot()
            position = scope.bound[position]
            depth = path.count(WILDCARD) - scope.path.count(WILDCARD)
            is_bound = True
        return Place(position, depth, is_bound)

    def frame(self, values: Sequence[JsonValue]) -> Frame:
        return [*values, *(None,) * self.slots]


def binding_scopes(source: Source, path: tuple[str, ...], scopes: Sequence[Scope]) -> Iterator[FieldScope]:
    """The field counts, outer ones first, whose array `path` runs through."""
    length = 0
    for scope in scopes:
        if (
            isinstance(scope, FieldScope)
            and scope.source is source
            and len(scope.path) >= length
            and path[: len(scope.path)] == scope.path
        ):
            length = len(scope.path)
            yield scope


def reader(position: int) -> Read:
    return lambda frame: frame[position]


def constantly(value: JsonValue) -> Read:
    return lambda _frame: value


def failing(problem: EvaluationError) -> Read:
    """Raises what went wrong while compiling, each time it is read."""

    def fail(_frame: Frame) -> JsonValue:
        raise EvaluationError(problem.message, hint=problem.hint)

    return fail


def flat(value: JsonValue, depth: int) -> list[JsonValue]:
    """`value` has `depth` levels of lists; 0 makes a list of the one value."""
    if depth == 0:
        return [value]
    assert isinstance(value, list), "a path with [*] selects a list"
    for _ in range(depth - 1):
        value = [member for members in value for member in members]  # type: ignore[union-attr]  # lists all
    return value
