"""Evaluated expressions as policy states and denials show them, and the tree of an explanation."""

from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.definition import Absent
from goldsmith.policy.explain import EvaluatedExpression, Explained, Explanation
from goldsmith.policy.members import without_absent
from goldsmith.policy.rule import Operator
from goldsmith.policy.verdict import Verdict

_RESULTS = {True: "True", False: "False", None: "Error"}


def expression_json(expression: EvaluatedExpression) -> JsonObject:
    """One member of `evaluatedExpressions`; what is absent is left out."""
    rendered: JsonObject = {
        "result": _RESULTS[expression.result],
        "expressionKind": str(expression.kind),
        "expression": expression.expression,
    }
    if expression.path is not None:
        rendered["path"] = expression.path
    if not isinstance(expression.value, Absent):
        rendered["expressionValue"] = expression.value
    if not isinstance(expression.target, Absent):
        rendered["targetValue"] = _target(expression)
    rendered["operator"] = expression.operator[:1].upper() + expression.operator[1:]
    return rendered


def policy_evaluation_details(verdict: Verdict, expressions: tuple[EvaluatedExpression, ...]) -> JsonObject:
    """`policyEvaluationDetails` of a policy state."""
    looked_at = verdict.if_not_exists
    return without_absent(
        {
            "evaluatedExpressions": [expression_json(each) for each in expressions],
            "ifNotExistsDetails": None
            if looked_at is None
            else without_absent(
                {"resourceId": looked_at.resource_id, "totalResources": looked_at.total_resources}
            ),
        }
    )


def explained_json(explained: Explained) -> JsonObject:
    """A node of the rule with its result, also where evaluation did not come."""
    return without_absent(
        {
            "at": explained.at,
            "kind": explained.kind,
            "result": _RESULTS[explained.result],
            "reached": explained.reached,
            "error": explained.error,
            "expression": None if explained.expression is None else expression_json(explained.expression),
            "conditions": [explained_json(child) for child in explained.children] or None,
        }
    )


def explanation_json(explanation: Explanation) -> JsonObject:
    """The whole explanation, for tools."""
    related = explanation.related
    return without_absent(
        {
            "if": explained_json(explanation.condition),
            "relatedType": explanation.related_type,
            "related": None
            if related is None
            else [
                without_absent(
                    {
                        "resourceId": each.resource_id,
                        "existenceCondition": None
                        if each.condition is None
                        else explained_json(each.condition),
                    }
                )
                for each in related
            ],
        }
    )


def _target(expression: EvaluatedExpression) -> JsonValue:
    target = expression.target
    if expression.operator is Operator.EXISTS:
        # The service shows it as .NET writes a boolean, however the rule wrote it.
        return str(target).capitalize()
    return target
