"""Which outcomes of a rule's conditions a set of cases has seen.

Every condition that is no `allOf`, `anyOf` or `not` is a branch. It is asked only where the evaluation gets
to it: behind a false member of `allOf` or a true one of `anyOf` nothing is seen. A condition in the `where`
of a count is asked of the members: did it hold for one, and not hold for one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from goldsmith.expressions.errors import EvaluationError
from goldsmith.policy.rule import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    CountCondition,
    FieldCondition,
    FieldCount,
    Not,
    Operator,
    Rule,
    ValueCondition,
)
from goldsmith.policy.testing.model import Branch

Ask = Callable[[Condition], bool]


@dataclass(slots=True)
class Seen:
    """The outcomes seen so far, by where the condition stands."""

    outcomes: dict[str, set[bool]] = field(default_factory=dict)

    def add(self, at: str, outcome: bool) -> None:
        self.outcomes.setdefault(at, set()).add(outcome)


def visit(condition: Condition, ask: Ask, seen: Seen) -> bool:
    """The value of `condition`, with every branch on the way noted; raises EvaluationError as `ask` does."""
    match condition:
        case AllOf():
            return all(visit(each, ask, seen) for each in condition.conditions)
        case AnyOf():
            return any(visit(each, ask, seen) for each in condition.conditions)
        case Not():
            return not visit(condition.condition, ask, seen)
        case CountCondition():
            _visit_members(condition, ask, seen, lambda inner: inner)
    outcome = ask(condition)
    seen.add(condition.at, outcome)
    return outcome


def branches(rule: Rule, seen: Seen) -> tuple[Branch, ...]:
    """The rule's branches in reading order, with what was seen of each."""
    conditions = [rule.condition, *([rule.existence] if rule.existence is not None else [])]
    return tuple(
        Branch(
            at=leaf.at,
            text=describe(leaf),
            seen_true=True in seen.outcomes.get(leaf.at, ()),
            seen_false=False in seen.outcomes.get(leaf.at, ()),
        )
        for leaf in _leaves(conditions)
    )


def describe(condition: Condition) -> str:
    """One line for people: `field type equals`, `count a[*] greater`."""
    match condition:
        case FieldCondition():
            name = condition.field.value if isinstance(condition.field, Constant) else condition.field.text
            return f"field {name} {condition.operator}"
        case ValueCondition():
            return f"value {getattr(condition.value, 'text', '...')} {condition.operator}"
        case CountCondition():
            count = condition.count
            what = count.field if isinstance(count, FieldCount) else f"value ({count.name})"
            return f"count {what} {condition.operator}"
        case AllOf():
            return "allOf"
        case AnyOf():
            return "anyOf"
        case Not():
            return "not"


def _visit_members(
    condition: CountCondition, ask: Ask, seen: Seen, around: Callable[[Condition], Condition]
) -> None:
    where = condition.count.where
    if where is None:
        return

    def of_members(inner: Condition) -> Condition:
        count = replace(condition.count, where=inner)
        return around(
            CountCondition(count=count, operator=Operator.GREATER, target=Constant(0), at=condition.at)
        )

    for leaf in _leaves([where], inside=False):
        for outcome, asked in ((True, leaf), (False, Not(condition=leaf, at=leaf.at))):
            try:
                if ask(of_members(asked)):
                    seen.add(leaf.at, outcome)
            except EvaluationError:
                # The members before the failing one may have said enough; the case itself shows the error.
                continue
        if isinstance(leaf, CountCondition):
            _visit_members(leaf, ask, seen, of_members)


def _leaves(conditions: Iterable[Condition], *, inside: bool = True) -> Iterator[Condition]:
    for condition in conditions:
        match condition:
            case AllOf() | AnyOf():
                yield from _leaves(condition.conditions, inside=inside)
            case Not():
                yield from _leaves([condition.condition], inside=inside)
            case CountCondition():
                yield condition
                if inside and condition.count.where is not None:
                    yield from _leaves([condition.count.where])
            case _:
                yield condition
