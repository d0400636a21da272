"""Evaluate a rule condition by condition and say what each one saw.

The result of every condition is that of the compiled leaf; nothing here decides anything by itself.
Specification: `evaluationDetails.evaluatedExpressions` of policy states and of RequestDisallowedByPolicy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from goldsmith.expressions.errors import EvaluationError
from goldsmith.expressions.model import Call, Literal
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.definition import Absent
from goldsmith.policy.document import Document
from goldsmith.policy.evaluate import evaluate_computation, evaluate_node
from goldsmith.policy.operands import COMPOSED, Computation
from goldsmith.policy.paths import FieldKind, alias_segments, parse_field
from goldsmith.policy.pool import Pool
from goldsmith.policy.prepared import Compiler, PreparedPolicy
from goldsmith.policy.reasons import requirement
from goldsmith.policy.related import RelatedResources, find_related, plain_type
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
)
from goldsmith.policy.target import Target
from goldsmith.policy.tree import Input, Node, Source

_COUNT_MOST = 1 << 20


class ExpressionKind(StrEnum):
    FIELD = "Field"
    VALUE = "Value"
    COUNT = "Count"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedExpression:
    """One condition as it was evaluated; `path` is the alias' path as its table spells it.

    `value` and `target` are ABSENT when there is none. `result` is None when the evaluation failed.
    """

    kind: ExpressionKind
    operator: Operator
    expression: str
    path: str | None
    value: "JsonValue | Absent"
    target: "JsonValue | Absent"
    result: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A node of the rule. `result` is None when it failed, with `error` saying why.

    `reached` is False for what the short circuit left out; its result is computed all the same.
    `kind` is allOf, anyOf, not or condition; only a condition has an `expression`.
    """

    at: str
    kind: str
    result: bool | None
    reached: bool
    error: str | None = None
    children: tuple["Explained", ...] = ()
    expression: EvaluatedExpression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedExplanation:
    """The existence condition on one related resource; `condition` is None when the policy has none."""

    resource_id: str
    condition: Explained | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`related` is None unless the effect looks for related resources and the `if` holds."""

    condition: Explained
    related: tuple[RelatedExplanation, ...] | None = None
    related_type: str | None = None


def explain(
    prepared: PreparedPolicy,
    target: Target,
    *,
    compiler: Compiler,
    related: RelatedResources | None = None,
) -> Explanation:
    """Every condition of the rule with its result, and with `related` those on the related resources.

    Raises EvaluationError only when what to look for cannot be computed.
    """
    rule = prepared.assigned.definition.rule
    assert rule is not None, "only definitions with a rule of ours are prepared"
    seen = _Sight(prepared, compiler, target.document.with_related(None))
    condition = _explain(rule.condition, seen, reached=True)
    if related is None or not rule.lookup or condition.result is not True:
        return Explanation(condition=condition)
    found = find_related(prepared.rule, target, related)
    type_ = plain_type(str(evaluate_computation(prepared.rule.lookup["type"], target.document)))
    return Explanation(
        condition=condition,
        related_type=type_,
        related=tuple(
            RelatedExplanation(
                resource_id=str(each.get("id", "")),
                condition=explain_existence(prepared, target, each, related_type=type_, compiler=compiler),
            )
            for each in found
        ),
    )


def explain_existence(
    prepared: PreparedPolicy, target: Target, related: JsonObject, *, related_type: str, compiler: Compiler
) -> Explained | None:
    """The existence condition on one related resource."""
    rule = prepared.assigned.definition.rule
    if rule is None or rule.existence is None:
        return None
    document = target.document.with_related(related)
    sight = _Sight(prepared, compiler, document, source=Source.RELATED, resource_type=related_type)
    return _explain(rule.existence, sight, reached=True)


def evaluated_expressions(explained: Explained) -> Iterator[EvaluatedExpression]:
    """The conditions that were reached, in order."""
    if explained.expression is not None and explained.reached:
        yield explained.expression
    for child in explained.children:
        if child.reached:
            yield from evaluated_expressions(child)


def reasons(explained: Explained, *, wanted: bool) -> tuple[str, ...]:
    """The sentences that say what must change for the result to be as wanted, without repetition."""
    return tuple(dict.fromkeys(_reasons(explained, wanted=wanted)))


@dataclass(frozen=True, slots=True)
class _Sight:
    """What the conditions of one tree look at."""

    prepared: PreparedPolicy
    compiler: Compiler
    document: Document
    source: Source = Source.RESOURCE
    resource_type: str = ""

    @property
    def type(self) -> str:
        return self.resource_type or self.prepared.resource_type

    def node(self, condition: Condition) -> Node:
        """The condition compiled; those of the rule itself once for all explanations of the policy."""
        known = self.prepared.once(f"explained as {self.source}", dict[int, tuple[Condition, Node]])
        found = known.get(id(condition))
        if found is None:
            found = known[id(condition)] = condition, self.compiled(condition)
        return found[1]

    def compiled(self, condition: Condition) -> Node:
        # A pool of the policy's own: what is asked here stays out of the one that evaluations share.
        pool = self.prepared.once(f"explained in {self.source}", Pool)
        if self.source is Source.RELATED:
            return self.compiler.existence(condition, self.prepared, pool)
        return self.compiler.condition(condition, self.prepared, pool)

    def operand(self, operand: Operand) -> "JsonValue | Absent":
        known = self.prepared.once("explained operands", dict[int, tuple[Operand, Computation]])
        found = known.get(id(operand))
        if found is None:
            found = known[id(operand)] = operand, self.compiler.operand(operand, self.prepared)
        try:
            return evaluate_computation(found[1], self.document)
        except EvaluationError:
            return Absent.ABSENT


def _explain(condition: Condition, sight: _Sight, *, reached: bool) -> Explained:
    match condition:
        case AllOf():
            return _explain_list(condition.conditions, sight, at=condition.at, decides=False, reached=reached)
        case AnyOf():
            return _explain_list(condition.conditions, sight, at=condition.at, decides=True, reached=reached)
        case Not():
            inner = _explain(condition.condition, sight, reached=reached)
            return Explained(
                at=condition.at,
                kind="not",
                result=None if inner.result is None else not inner.result,
                reached=reached,
                error=inner.error,
                children=(inner,),
            )
        case _:
            return _explain_leaf(condition, sight, reached=reached)


def _explain_list(
    conditions: tuple[Condition, ...], sight: _Sight, *, at: str, decides: bool, reached: bool
) -> Explained:
    """`decides` is the result of a child that settles the whole: False for allOf, True for anyOf."""
    children: list[Explained] = []
    result: bool | None = not decides
    error = None
    open_ = True
    for each in conditions:
        child = _explain(each, sight, reached=reached and open_)
        children.append(child)
        if open_ and child.result is not (not decides):
            open_ = False
            result, error = child.result, child.error
    return Explained(
        at=at,
        kind="anyOf" if decides else "allOf",
        result=result,
        reached=reached,
        error=error,
        children=tuple(children),
    )


def _explain_leaf(
    condition: FieldCondition | ValueCondition | CountCondition, sight: _Sight, *, reached: bool
) -> Explained:
    result: bool | None
    try:
        result, error = evaluate_node(sight.node(condition), sight.document), None
    except EvaluationError as failure:
        result, error = None, failure.message
    return Explained(
        at=condition.at,
        kind="condition",
        result=result,
        reached=reached,
        error=error,
        expression=_expression(condition, sight, result=result),
    )


def _expression(
    condition: FieldCondition | ValueCondition | CountCondition, sight: _Sight, *, result: bool | None
) -> EvaluatedExpression:
    path: str | None = None
    value: JsonValue | Absent
    match condition:
        case FieldCondition():
            kind = ExpressionKind.FIELD
            name = _field_name(condition.field, sight)
            expression = name
            path, value = _field_value(name, sight)
        case ValueCondition():
            kind = ExpressionKind.VALUE
            expression = _written(condition.value, sight)
            value = sight.operand(condition.value)
        case CountCondition():
            kind = ExpressionKind.COUNT
            if isinstance(condition.count, FieldCount):
                expression = condition.count.field
                path, _ = _field_value(expression, sight)
            else:
                expression = _written(condition.count.value, sight)
            value = _count(condition, sight)
    return EvaluatedExpression(
        kind=kind,
        operator=condition.operator,
        expression=expression,
        path=path,
        value=Absent.ABSENT if value is None else value,
        target=sight.operand(condition.target),
        result=result,
    )


def _field_name(field: Constant | Computed, sight: _Sight) -> str:
    name = field.value if isinstance(field, Constant) else sight.operand(field)
    if isinstance(name, str) and not isinstance(name, Absent):
        return name
    return field.text if isinstance(field, Computed) else str(name)


def _field_value(name: str, sight: _Sight) -> "tuple[str | None, JsonValue]":
    """The path as spelled and what is there; nothing for an alias that the type does not have."""
    try:
        field = parse_field(name)
    except InvalidInputError:
        # The name is computed and no name came out: the condition itself says so.
        return None, None
    if field.kind in COMPOSED and sight.source is Source.RESOURCE:
        composed = sight.compiler.operand(Computed(Call("field", (Literal(name),)), name), sight.prepared)
        return name, evaluate_computation(composed, sight.document) or None
    if field.kind is not FieldKind.ALIAS:
        return name, sight.document.value(Input(sight.source, field.path))
    alias = sight.compiler.aliases.resolve(sight.type, name)
    if alias is None:
        return None, None
    path = alias.path_in(sight.prepared.api_version)
    return path, sight.document.value(Input(sight.source, alias_segments(path)))


def _count(condition: CountCondition, sight: _Sight) -> "JsonValue | Absent":
    """How many members it counts, asked of the compiled count itself by comparing it with numbers."""

    def at_least(number: int) -> bool:
        question = replace(condition, operator=Operator.GREATER_OR_EQUALS, target=Constant(number))
        return evaluate_node(sight.compiled(question), sight.document)

    try:
        return _highest(at_least)
    except EvaluationError:
        return Absent.ABSENT


def _highest(holds: Callable[[int], bool]) -> int:
    """The highest number that a condition holds for which holds for 0 and, once false, for no more."""
    high = 1
    while high < _COUNT_MOST and holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _written(operand: Operand, sight: _Sight) -> str:
    if isinstance(operand, Computed):
        return operand.text
    value = sight.operand(operand)
    return value if isinstance(value, str) else str(value)


def _reasons(explained: Explained, *, wanted: bool) -> Iterator[str]:
    if explained.result is None or explained.result is wanted:
        return
    expression = explained.expression
    if expression is not None:
        exists = str(expression.target).lower() != "false"
        sentence = requirement(expression.operator, result=explained.result, wanted=wanted, exists=exists)
        if sentence is not None:
            yield sentence
        return
    inner = not wanted if explained.kind == "not" else wanted
    for child in explained.children:
        if child.reached:
            yield from _reasons(child, wanted=inner)
