"""Compiles one condition to the predicate of a leaf.

Array semantics follow "Author policies for array properties on Azure resources": a condition on a field with
`[*]` holds when it holds for every member that the field selects (an empty or missing array selects none);
inside the where of a field count the counted array has the current member only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.model import Literal
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonValue
from goldsmith.policy.limits import VALUE_COUNT_ITERATIONS_MAX
from goldsmith.policy.operands import COMPOSED, Around, Operands, Value, field_text
from goldsmith.policy.operators import (
    COMPLEMENTS,
    ORDERINGS,
    Test,
    holds,
    normal_location,
    prepare,
    prepare_location,
    target_problem,
)
from goldsmith.policy.paths import WILDCARD, FieldKind
from goldsmith.policy.reading import (
    FieldScope,
    Frame,
    Read,
    ValueScope,
    binding_scopes,
    constantly,
    failing,
    flat,
    reader,
)
from goldsmith.policy.rule import (
    AllOf,
    AnyOf,
    Computed,
    Condition,
    Constant,
    CountCondition,
    FieldCondition,
    FieldCount,
    Not,
    Operand,
    Operator,
    ValueCondition,
    ValueCount,
)
from goldsmith.policy.tree import Narrowing, Source

Holds: TypeAlias = Callable[[Frame], bool]


@dataclass(frozen=True, slots=True)
class Predicate:
    """`key` has the whole meaning but for the inputs of the leaf."""

    holds: Holds
    key: str
    may_fail: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operator with its right side. `test` is set when that is known; else `against` gives the test."""

    test: Test | None
    computed: Callable[[Frame], Test] | None
    key: str
    may_fail: bool

    def against(self, frame: Frame) -> Test:
        if self.test is not None:
            return self.test
        assert self.computed is not None, "a comparison has a test or computes it"
        return self.computed(frame)


def predicate(operands: Operands, condition: Condition, around: Around) -> Predicate:
    """Raise InvalidInputError for what cannot be compiled (a parameter without value, a bad field name)."""
    match condition:
        case FieldCondition():
            return _field_condition(operands, condition, around)
        case ValueCondition():
            left = _coalesced(operands.value(condition.value, around), condition.operator)
            compared = _comparison(operands, condition.operator, condition.target, around)
            return _single(left, compared, may_fail=left.constant is None)
        case CountCondition(count=count):
            left = _count(operands, count, around)
            compared = _comparison(operands, condition.operator, condition.target, around)
            return _single(left, compared, may_fail=True)
        case Not(condition=child):
            inner = predicate(operands, child, around)
            test = inner.holds
            return Predicate(lambda frame: not test(frame), f"not({inner.key})", inner.may_fail)
        case AllOf(conditions=children):
            parts: list[Predicate] = []
            for child in children:
                parts.append(predicate(operands, child, around))
            return _every(parts)
        case AnyOf(conditions=children):
            parts = []
            for child in children:
                parts.append(predicate(operands, child, around))
            return _some(parts)
        case _:
            assert_never(condition)


def _coalesced(left: Value, operator: Operator) -> Value:
    """Linter, "tryGet use with null-coercing operator": `value` conditions see null as the empty text.

    The operators themselves do so but for `like`, to which a missing field is something else.
    """
    if COMPLEMENTS.get(operator, operator) is not Operator.LIKE:
        return left
    read = left.read
    if left.constant is not None:
        return left if left.constant.value is not None else Value(constantly(""), '""', Constant(""))
    return Value(lambda frame: "" if (value := read(frame)) is None else value, f"text {left.key}")


def _count(operands: Operands, count: FieldCount | ValueCount, around: Around) -> Value:
    if isinstance(count, FieldCount):
        return _field_count(operands, count, around)
    return _value_count(operands, count, around)


def _every(parts: list[Predicate]) -> Predicate:
    tests = tuple(part.holds for part in parts)

    def every(frame: Frame) -> bool:
        for test in tests:  # noqa: SIM110  # a generator would cost a frame for each level of nesting
            if not test(frame):
                return False
        return True

    key = "all(" + ",".join(part.key for part in parts) + ")"
    return Predicate(every, key, any(part.may_fail for part in parts))


def _some(parts: list[Predicate]) -> Predicate:
    tests = tuple(part.holds for part in parts)

    def some(frame: Frame) -> bool:
        for test in tests:  # noqa: SIM110  # a generator would cost a frame for each level of nesting
            if test(frame):
                return True
        return False

    key = "any(" + ",".join(part.key for part in parts) + ")"
    return Predicate(some, key, any(part.may_fail for part in parts))


def _single(left: Value, compared: Comparison, *, may_fail: bool) -> Predicate:
    read, test, against = left.read, compared.test, compared.against
    key = f"({left.key} {compared.key})"
    if test is not None:
        return Predicate(lambda frame: test(read(frame)), key, may_fail or compared.may_fail)
    return Predicate(lambda frame: against(frame)(read(frame)), key, True)


def _comparison(
    operands: Operands, operator: Operator, target: Operand, around: Around, *, location: bool = False
) -> Comparison:
    right = operands.value(target, around)
    key = f"{operator}{'~' if location else ''} {right.key}"
    if right.constant is None:
        read = right.read

        def computed(frame: Frame) -> Test:
            wanted = read(frame)
            if wanted is None:
                raise _null_target(operator)
            if location:
                return prepare_location(operator, wanted)
            return lambda value: holds(operator, value, wanted)

        return Comparison(None, computed, key, True)
    wanted = right.constant.value
    if (wanted is None and isinstance(target, Computed)) or target_problem(operator, wanted) is not None:
        problem = target_problem(operator, wanted)

        def refuse(_frame: Frame) -> Test:
            raise EvaluationError(f"{operator}: {problem}") if problem else _null_target(operator)

        return Comparison(None, refuse, f"{key} computed", True)
    test = prepare_location(operator, wanted) if location else prepare(operator, wanted)
    return Comparison(test, None, key, operator in ORDERINGS)


def _null_target(operator: Operator) -> EvaluationError:
    # Linter, "unguarded tryGet operator value": an operator value that is null fails the evaluation.
    return EvaluationError(f"{operator}: the expression on the right gave null", hint="wrap it in coalesce()")


def _field_condition(operands: Operands, condition: FieldCondition, around: Around) -> Predicate:
    operator, setting = condition.operator, operands.setting
    name = condition.field
    if isinstance(name, Computed):
        expression = setting.folded(name.expression, around.unrolled)
        if not isinstance(expression, Literal):
            return _dynamic_field_condition(operands, condition, around)
        name = Constant(expression.value)
    try:
        found = setting.field(field_text(name.value), related=operands.subject is Source.RELATED)
    except (EvaluationError, InvalidInputError) as error:
        # The reader has checked names that are written out; this one comes from a parameter.
        fail = failing(EvaluationError(error.message, hint=error.hint))
        return Predicate(lambda frame: bool(fail(frame)), f"(fails {error.message})", True)
    compared = _comparison(
        operands, operator, condition.target, around, location=found.kind is FieldKind.LOCATION
    )
    if found.path is None:
        key = f"({'[]' if found.is_collection else 'null'} {compared.key})"
        if found.is_collection:
            return _of_all(lambda _frame: [], compared, key)
        return _single(Value(constantly(None), "null"), compared, may_fail=False)
    if found.kind is FieldKind.TYPE and (known := _known_type(operands)) and operator not in _CASE_SENSITIVE:
        return _single(Value(constantly(known), f"'{known.lower()}'"), compared, may_fail=False)
    if found.kind in COMPOSED:
        read = operands.composed(found.kind, operands.subject)
        return _single(Value(read, found.kind), compared, may_fail=False)
    existence = _exists(operator, compared)
    narrowing = Narrowing.VALUE if existence is None else Narrowing.EXISTS
    place = operands.reads.place(operands.subject, found.path, narrowing, scopes=around.scopes)
    if existence is not None:
        wanted = existence
        compared = Comparison(lambda value: value is wanted, None, compared.key, False)
    key = f"{operands.subject}{found.path!r}"
    if place.depth == 0:
        return _single(Value(reader(place.position), key), compared, may_fail=False)
    position, depth = place.position, place.depth
    return _of_all(lambda frame: flat(frame[position], depth), compared, f"(all {key} {compared.key})")


_CASE_SENSITIVE = frozenset({Operator.MATCH, Operator.NOT_MATCH})


def _known_type(operands: Operands) -> str:
    if operands.subject is Source.RELATED:
        return operands.setting.related_type
    return operands.setting.resource_type


def _exists(operator: Operator, compared: Comparison) -> bool | None:
    """What `exists` asks for, when that is known: then only the existence of the value is read."""
    if operator is not Operator.EXISTS or compared.test is None:
        return None
    return compared.test(True)


def _of_all(read: Callable[[Frame], list[JsonValue]], compared: Comparison, key: str) -> Predicate:
    test, against = compared.test, compared.against
    if test is not None:
        return Predicate(lambda frame: all(map(test, read(frame))), key, compared.may_fail)
    return Predicate(lambda frame: all(map(against(frame), read(frame))), key, True)


def _dynamic_field_condition(operands: Operands, condition: FieldCondition, around: Around) -> Predicate:
    """A field whose name depends on the resource; the whole resource is the input."""
    assert isinstance(condition.field, Computed)
    setting = operands.setting
    name = operands.value(condition.field, around)
    find = operands.lookup(operands.subject, around)
    right = operands.value(condition.target, around)
    compared = _comparison(operands, condition.operator, condition.target, around)
    operator = condition.operator

    def test(frame: Frame) -> bool:
        found, value, depth = find(frame, field_text(name.read(frame)))
        wanted = compared.against(frame)
        if found.kind is FieldKind.LOCATION:
            target = normal_location(right.read(frame))
            return holds(operator, normal_location(value), target)
        if (
            found.kind is FieldKind.TYPE
            and (known := _known_type(operands))
            and operator not in _CASE_SENSITIVE
        ):
            return wanted(known)
        return all(map(wanted, flat(value, depth)))

    # What a name means depends on the type and API version, which no input shows.
    seen_as = f"{setting.resource_type}@{setting.api_version}/{setting.related_type}".lower()
    return Predicate(test, f"(field {name.key} as {seen_as} {compared.key})", True)


def _field_count(operands: Operands, count: FieldCount, around: Around) -> Value:
    found = operands.setting.field(count.field, related=operands.subject is Source.RELATED)
    if found.path is None or WILDCARD not in found.path:
        return Value(constantly(0), "count(nothing)")
    # What is counted are members of the (last) array; a property after it is read by the where.
    last = len(found.path) - found.path[::-1].index(WILDCARD)
    path = found.path[:last]
    key = f"count({operands.subject}{path!r}"
    if count.where is None:
        place = operands.reads.place(operands.subject, path, Narrowing.LENGTH, scopes=around.scopes)
        position, depth = place.position, place.depth
        return Value(lambda frame: len(flat(frame[position], depth)), f"{key})")
    around_it = [scope.path for scope in binding_scopes(operands.subject, path, around.scopes)]
    bound_levels = around_it[-1].count(WILDCARD) if around_it else 0
    scope = FieldScope(operands.subject, path, path.count(WILDCARD) - bound_levels)
    inner = around.inside(scope)
    where = predicate(operands, count.where, inner)
    if not scope.bound:
        operands.reads.place(operands.subject, path, Narrowing.LENGTH, scopes=inner.scopes)
    tally = operands.reads.tally() if around.scopes or around.unrolled else None
    return Value(_counter(scope, where.holds, tally), f"{key} where {where.key})")


def _counter(scope: FieldScope, where: Holds, tally: Callable[[Frame, int], None] | None) -> Read:
    """`tally` hears of the members when the count is inside another one."""
    depth = scope.depth
    positions, slots = tuple(scope.bound), tuple(scope.bound.values())
    if len(positions) == 1:
        (position,), (slot,) = positions, slots

        def count_one(frame: Frame) -> JsonValue:
            number = 0
            members = flat(frame[position], depth)
            if tally is not None:
                tally(frame, len(members))
            for member in members:
                frame[slot] = member
                number += where(frame)
            return number

        return count_one

    def count(frame: Frame) -> JsonValue:
        number = 0
        columns = [flat(frame[position], depth) for position in positions]
        if tally is not None:
            tally(frame, len(columns[0]))
        for members in zip(*columns, strict=True):
            for slot, member in zip(slots, members, strict=True):
                frame[slot] = member
            number += where(frame)
        return number

    return count


def _value_count(operands: Operands, count: ValueCount, around: Around) -> Value:
    counted = operands.value(count.value, around)
    if counted.constant is not None:
        return _unrolled_count(operands, count, counted.constant.value, around)
    read = counted.read
    if count.where is None:
        return Value(lambda frame: len(_members(read(frame), 1)), f"count({counted.key})")
    scope = ValueScope(count.name, operands.reads.slot(), operands.reads.slot())
    where = predicate(operands, count.where, around.inside(scope))
    test, slot, iterations = where.holds, scope.slot, scope.iterations
    unrolled = around.iterations
    outer = next((each for each in reversed(around.scopes) if isinstance(each, ValueScope)), None)
    tally = operands.reads.tally() if around.scopes else None

    def number(frame: Frame) -> JsonValue:
        found = 0
        times = unrolled if outer is None else frame[outer.iterations]
        assert isinstance(times, int), "the count around has written it"
        members = _members(read(frame), times)
        frame[iterations] = times * len(members)
        if tally is not None:
            tally(frame, len(members))
        for member in members:
            frame[slot] = member
            found += test(frame)
        return found

    return Value(number, f"count({counted.key} as {count.name.lower()!r} where {where.key})")


def _unrolled_count(operands: Operands, count: ValueCount, value: JsonValue, around: Around) -> Value:
    """The members are known: each gets its own where, so that what depends on them folds."""
    try:
        members = _members(value, around.iterations)
    except EvaluationError as problem:
        return Value(failing(problem), f"count({value!r})")
    if count.where is None:
        total = len(members)
        return Value(constantly(total), f"count{total}", Constant(total))
    parts: list[Predicate] = []
    for member in members:
        parts.append(predicate(operands, count.where, around.at_member(count.name, member, of=len(members))))
    tests = tuple(part.holds for part in parts)
    key = "sum(" + ",".join(part.key for part in parts) + ")"
    return Value(lambda frame: sum(test(frame) for test in tests), key)


def _members(value: JsonValue, times: int) -> list[JsonValue]:
    """What a value count goes through, and that `times` over: once for each member of those around it."""
    if value is None or value == "":
        # field() of something missing gives the empty text.
        return []
    if not isinstance(value, list):
        raise EvaluationError(
            "the value of a count is no array", hint="count goes through the members of an array"
        )
    if len(value) * times > VALUE_COUNT_ITERATIONS_MAX:
        raise EvaluationError(
            f"a value count goes through {len(value) * times} members (those of the value counts around it "
            f"included), at most {VALUE_COUNT_ITERATIONS_MAX} are allowed",
            hint="shorten the array; the service has the same limit",
        )
    return value
