"""What would have to be otherwise about a resource, in one sentence with its own fields and values."""

from goldsmith.cli.policy.values import value_text
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.policy.definition import Absent
from goldsmith.policy.explain import EvaluatedExpression, Explained, Explanation, explain
from goldsmith.policy.reasons import requirement
from goldsmith.policy.rule import Operator
from goldsmith.policy.target import Target
from goldsmith.policy.verdict import ComplianceState, Settings, Verdict

_PARTS_MAX = 4
_ABOUT_TYPE = ("type", "kind")


def explanation_of(verdict: Verdict, target: Target, settings: Settings) -> Explanation | None:
    """The tree behind a verdict; None where there is no rule to explain, or it cannot be evaluated."""
    assigned = verdict.assigned
    if not assigned.definition.evaluated:
        return None
    try:
        prepared = settings.compiler.prepare(assigned.at_location(target.location), target.type)
        return explain(prepared, target, compiler=settings.compiler, related=settings.related)
    except (EvaluationError, InvalidInputError):
        # The verdict is Error, and says why.
        return None


def why(verdict: Verdict, target: Target, settings: Settings) -> str:
    """The sentence of a verdict, its tree made for it."""
    return sentence(verdict, explanation_of(verdict, target, settings))


def sentence(verdict: Verdict, explanation: Explanation | None) -> str:
    """Why the verdict is what it is."""
    if verdict.state is ComplianceState.COMPLIANT:
        looked_at = verdict.if_not_exists
        if looked_at is not None and looked_at.resource_id:
            return f"{looked_at.resource_id} is what the policy looks for."
        return "the condition for the effect does not hold."
    if verdict.state is not ComplianceState.NON_COMPLIANT or explanation is None:
        return verdict.reason or "the condition of the rule holds."
    if explanation.related is None:
        text = requirements(explanation.condition, wanted=False)
        return f"{text}." if text else (verdict.reason or "the condition of the rule holds.")
    if not explanation.related:
        return f"there is no {explanation.related_type} for it."
    last = explanation.related[-1]
    text = None if last.condition is None else requirements(last.condition, wanted=True)
    name = last.resource_id.rstrip("/").rsplit("/", 1)[-1]
    fits = f"no {explanation.related_type} is as it must be"
    return f"{fits}: of {name}, {text}." if text else f"{fits}."


def requirements(explained: Explained, *, wanted: bool) -> str | None:
    """What must hold so that the condition is as wanted; None when it is so, or nothing can be said."""
    return _of(explained, wanted=wanted, with_types=False) or _of(explained, wanted=wanted, with_types=True)


def _of(explained: Explained, *, wanted: bool, with_types: bool) -> str | None:
    if explained.result is None or explained.result is wanted:
        return None
    if explained.expression is not None:
        return _leaf(explained.expression, explained.result, wanted=wanted, with_types=with_types)
    inner = not wanted if explained.kind == "not" else wanted
    # Also what the short circuit left out: it would be the next to stand in the way.
    parts = list(
        dict.fromkeys(
            text
            for child in explained.children
            if (text := _of(child, wanted=inner, with_types=with_types)) is not None
        )
    )
    if not parts:
        return None
    # To make allOf false one of its members will do, to make anyOf false all of them must be.
    one_will_do = (explained.kind == "allOf") is not inner
    if not one_will_do:
        # Of a field that is missing every condition says something; the first one is enough.
        parts = list({part.partition(" must ")[0]: part for part in reversed(parts)}.values())[::-1]
    if len(parts) > _PARTS_MAX:
        parts = [*parts[:_PARTS_MAX], "more"]
    return (", or " if one_will_do else ", and ").join(parts)


def _leaf(expression: EvaluatedExpression, result: bool, *, wanted: bool, with_types: bool) -> str | None:
    if not with_types and expression.expression.lower() in _ABOUT_TYPE:
        return None
    exists = str(expression.target).lower() != "false"
    said = requirement(expression.operator, result=result, wanted=wanted, exists=exists)
    if said is None:
        return None
    subject = expression.path or expression.expression
    text = said.rstrip(".").replace("Current value", subject, 1)
    text = text.replace("the target value", value_text(expression.target), 1)
    if expression.operator is Operator.EXISTS:
        return text
    found = "is missing" if isinstance(expression.value, Absent) else f"is {value_text(expression.value)}"
    return f"{text} (it {found})"
