"""Compiles expressions and operands of a leaf to functions of its frame.

`field()` reads the resource the `if` looks at, also inside an existence condition; `current()` reads what the
counts around it go through.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.evaluate import compile_expression, render
from goldsmith.expressions.model import Call, Context, Expression, Literal
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.paths import WILDCARD, FieldKind, select
from goldsmith.policy.reading import (
    FieldScope,
    Frame,
    LeafReader,
    Read,
    Scope,
    ValueScope,
    binding_scopes,
    constantly,
    failing,
    flat,
    reader,
)
from goldsmith.policy.rule import Computed, Constant, ListOf, ObjectOf, Operand
from goldsmith.policy.setting import Field, Setting, constant_of, is_constant
from goldsmith.policy.tree import Input, Narrowing, Source

COMPOSED = frozenset({FieldKind.FULL_NAME, FieldKind.API_VERSION})
"""Fields whose value is put together from several inputs."""

Lookup: TypeAlias = Callable[[Frame, str], tuple[Field, JsonValue, int]]
_CONTEXTS = {
    "resourcegroup": Source.RESOURCE_GROUP,
    "subscription": Source.SUBSCRIPTION,
    "requestcontext": Source.REQUEST,
    "utcnow": Source.CLOCK,
}


@dataclass(frozen=True, slots=True)
class Around:
    """The counts around a condition: those bound while evaluating, and the members of unrolled ones by name.

    The innermost unrolled member is also found under the empty name, for `current()`. `iterations` says how
    often the unrolled counts go through what is inside them.
    """

    scopes: tuple[Scope, ...] = ()
    unrolled: Mapping[str, JsonValue] = field(default_factory=dict)
    iterations: int = 1

    def inside(self, scope: Scope) -> "Around":
        unrolled = {name: member for name, member in self.unrolled.items() if name}
        return replace(self, scopes=(*self.scopes, scope), unrolled=unrolled)

    def at_member(self, name: str, member: JsonValue, *, of: int) -> "Around":
        """Inside an unrolled count of that many members, at one of them."""
        unrolled = {**self.unrolled, name.lower(): member, "": member}
        return replace(self, unrolled=unrolled, iterations=self.iterations * of)


@dataclass(frozen=True, slots=True)
class Value:
    """`key` has the whole meaning but for the inputs; a constant has been folded and reads nothing."""

    read: Read
    key: str
    constant: Constant | None = None


@dataclass(slots=True, kw_only=True)
class Operands:
    """Compiles what stands in one leaf. `subject` is what its `field` conditions look at."""

    setting: Setting
    subject: Source = Source.RESOURCE
    reads: LeafReader = field(default_factory=LeafReader)

    def value(self, operand: Operand, around: Around) -> Value:
        """Raise InvalidInputError for a parameter without value and the like."""
        folded = self.setting.operand(operand, around.unrolled)
        if is_constant(folded):
            value = constant_of(folded)
            return Value(constantly(value), _text(value), Constant(value))
        match folded:
            case Computed(expression, _):
                return Value(self._expression(expression, around), render(expression))
            case ListOf(members):
                parts = [self.value(member, around) for member in members]
                reads = [part.read for part in parts]
                return Value(
                    lambda frame: [read(frame) for read in reads],
                    "[" + ",".join(part.key for part in parts) + "]",
                )
            case ObjectOf(pairs):
                named = [(name, self.value(member, around)) for name, member in pairs]
                return Value(
                    lambda frame: {name: part.read(frame) for name, part in named},
                    "{" + ",".join(f"{_text(name)}:{part.key}" for name, part in named) + "}",
                )
            case Constant():
                raise AssertionError("a constant has been handled above")

    def _bind(self, call: Call, around: Around) -> Read | None:
        try:
            return self._bound(call, around)
        except InvalidInputError as error:
            # The reader has checked the names that are written out; this one is what folding has made of a
            # parameter, and fails when (and only if) it is needed, as one that depends on the resource does.
            return failing(EvaluationError(error.message, hint=error.hint))

    def _bound(self, call: Call, around: Around) -> Read | None:
        match call:
            case Call("field", (Literal(str(name)),)):
                return self._field(name, around)
            case Call("field", (name,)):
                return self._dynamic_field(self._expression(name, around), around)
            case Call("current", ()):
                return self._innermost(around)
            case Call("current", (Literal(str(name)),)):
                return self._current(name, around)
            case Call("current", (name,)):
                return self._dynamic_current(self._expression(name, around), around)
            case Call("length" | "empty", (Call("field", (Literal(str(name)),)),)):
                return self._number_of_members(call.name, name, around)
            case Call("parameters", (name,)):
                return self._dynamic_parameter(self._expression(name, around))
            case Call(name, _) if name in _CONTEXTS:
                return reader(self.reads.input(_CONTEXTS[name], ()))
            case _:
                return None

    def _expression(self, expression: Expression, around: Around) -> Read:
        return compile_expression(
            expression, context=Context.POLICY, bind=lambda call: self._bind(call, around)
        )

    def _field(self, name: str, around: Around) -> Read:
        found = self.setting.field(name, related=False)
        if found.path is None:
            return constantly([] if found.is_collection else "")
        if found.kind in COMPOSED:
            read = self.composed(found.kind, Source.RESOURCE)
            return lambda frame: "" if (value := read(frame)) is None else value
        place = self.reads.place(Source.RESOURCE, found.path, scopes=around.scopes)
        position, depth = place.position, place.depth
        if found.is_collection:
            return lambda frame: _present(flat(frame[position], depth))
        return lambda frame: "" if frame[position] is None else frame[position]

    def _number_of_members(self, function: str, name: str, around: Around) -> Read | None:
        """`length(field('a[*]'))` needs no values, only which members are there."""
        found = self.setting.field(name, related=False)
        if found.path is None or not found.is_collection:
            return None
        if any(True for _ in binding_scopes(Source.RESOURCE, found.path, around.scopes)):
            return None
        position = self.reads.input(Source.RESOURCE, found.path, Narrowing.EXISTS)
        depth = found.path.count(WILDCARD)
        if function == "length":
            return lambda frame: flat(frame[position], depth).count(True)
        return lambda frame: True not in flat(frame[position], depth)

    def composed(self, kind: FieldKind, source: Source) -> Read:
        """`fullName` (parent/child) and `apiVersion`: as the resource has it, else from its surroundings."""
        own, *others = (
            [self.reads.input(source, (segment,)) for segment in ("fullname", "id", "name")]
            if kind is FieldKind.FULL_NAME
            else [
                self.reads.input(source, ("apiversion",)),
                self.reads.input(Source.REQUEST, ("apiversion",)),
            ]
        )

        def full_name(frame: Frame) -> JsonValue:
            full, resource_id, name = frame[own], frame[others[0]], frame[others[1]]
            if full is not None:
                return full
            return (_names_in(resource_id) if isinstance(resource_id, str) else None) or name

        def api_version(frame: Frame) -> JsonValue:
            return frame[others[0]] if frame[own] is None else frame[own]

        return full_name if kind is FieldKind.FULL_NAME else api_version

    def lookup(self, source: Source, around: Around) -> Lookup:
        """Finds a field whose name is known at evaluation only: what it is, its value, its depth in lists."""
        root = self.reads.input(source, ())
        self.reads.is_dynamic = True
        related = source is Source.RELATED
        members: dict[tuple[str, ...], int] = {}
        for index, scope in enumerate(around.scopes):
            if isinstance(scope, FieldScope) and scope.source is source:
                place = self.reads.place(source, scope.path, scopes=around.scopes[: index + 1])
                members[scope.path] = place.position
        composed = {kind: self.composed(kind, source) for kind in COMPOSED}

        def find(frame: Frame, name: str) -> tuple[Field, JsonValue, int]:
            try:
                found = self.setting.field(name, related=related)
            except InvalidInputError as error:
                raise EvaluationError(error.message, hint=error.hint) from error
            if found.kind in composed:
                return found, composed[found.kind](frame), 0
            path = found.path
            if path is None:
                return found, [] if found.is_collection else None, int(found.is_collection)
            value, rest = frame[root], path
            for scope in binding_scopes(source, path, around.scopes):
                value, rest = frame[members[scope.path]], path[len(scope.path) :]
            return found, select(value, rest), rest.count(WILDCARD)

        return find

    def _dynamic_field(self, name: Read, around: Around) -> Read:
        find = self.lookup(Source.RESOURCE, around)

        def read(frame: Frame) -> JsonValue:
            found, value, depth = find(frame, field_text(name(frame)))
            if found.is_collection:
                return _present(flat(value, depth))
            return "" if value is None else value

        return read

    def _innermost(self, around: Around) -> Read:
        scope = around.scopes[-1] if around.scopes else None
        if isinstance(scope, ValueScope):
            return reader(scope.slot)
        if scope is None:
            raise InvalidInputError(
                "current() outside the where of a count", hint="see the reference of count"
            )
        return reader(self.reads.place(scope.source, scope.path, scopes=around.scopes).position)

    def _current(self, name: str, around: Around) -> Read:
        for scope in reversed(around.scopes):
            if isinstance(scope, ValueScope) and scope.name.lower() == name.lower():
                return reader(scope.slot)
        found = self.setting.field(name, related=self.subject is Source.RELATED)
        if found.path is None:
            return constantly(None)
        place = self.reads.place(self.subject, found.path, scopes=around.scopes)
        if not place.is_bound:
            raise InvalidInputError(
                f"current('{name}') names no count around it", hint="name the array that a count goes through"
            )
        position, depth = place.position, place.depth
        return (lambda frame: flat(frame[position], depth)) if depth else reader(position)

    def _dynamic_current(self, name: Read, around: Around) -> Read:
        slots = {scope.name.lower(): scope.slot for scope in around.scopes if isinstance(scope, ValueScope)}
        unrolled = {known: member for known, member in around.unrolled.items() if known}
        find = self.lookup(self.subject, around)

        def read(frame: Frame) -> JsonValue:
            wanted = field_text(name(frame))
            if wanted.lower() in slots:
                return frame[slots[wanted.lower()]]
            if wanted.lower() in unrolled:
                return unrolled[wanted.lower()]
            _, value, depth = find(frame, wanted)
            return flat(value, depth) if depth else value

        return read

    def _dynamic_parameter(self, name: Read) -> Read:
        def read(frame: Frame) -> JsonValue:
            try:
                return self.setting.parameter(field_text(name(frame))).value
            except InvalidInputError as error:
                raise EvaluationError(error.message, hint=error.hint) from error

        return read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Computation:
    """A value computed from inputs: a look-up name, a value that modify writes, a parameter of a deployment.

    `compute` takes the values of `inputs` in their order and raises EvaluationError when there is none.
    """

    inputs: tuple[Input, ...]
    compute: Callable[[list[JsonValue]], JsonValue]


def computation(operands: Operands, read: Read) -> Computation:
    """What has been compiled with `operands`, by itself."""
    reads = operands.reads
    return Computation(inputs=tuple(reads.inputs), compute=lambda values: read(reads.frame(values)))


def field_text(name: JsonValue) -> str:
    """The name that an expression gave; raises EvaluationError when it is no text."""
    if not isinstance(name, str):
        raise EvaluationError(f"the name of a field must be a string, got {_text(name)[:80]}")
    return name


def _present(members: list[JsonValue]) -> list[JsonValue]:
    return [member for member in members if member is not None]


def _names_in(resource_id: str) -> str | None:
    """`.../providers/A.B/parents/p/children/c` -> `p/c`."""
    at = resource_id.lower().rfind("/providers/")
    segments = resource_id[at + 1 :].split("/") if at >= 0 else []
    return "/".join(segments[3::2]) or None


def _text(value: JsonValue) -> str:
    # ASCII, for texts may hold half of a surrogate pair.
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
