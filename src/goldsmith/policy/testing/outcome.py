"""What happened to the resource of a case, in the words of its expectations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.definition import Absent
from goldsmith.policy.details import ConflictEffect
from goldsmith.policy.evaluate import evaluate_computation, evaluate_node
from goldsmith.policy.explain import EvaluatedExpression, evaluated_expressions, explain
from goldsmith.policy.modify import Modified, Trouble, apply, plan
from goldsmith.policy.prepared import PreparedPolicy
from goldsmith.policy.reader import read_operand
from goldsmith.policy.related import find_related
from goldsmith.policy.rule import Effect
from goldsmith.policy.testing.engine import Posed
from goldsmith.policy.testing.model import NO_EFFECT
from goldsmith.policy.verdict import Settings, consider, deployment_of, evaluate_policy, existence

LOOKS_FOR_RELATED = (Effect.AUDIT_IF_NOT_EXISTS, Effect.DEPLOY_IF_NOT_EXISTS)
# What is evaluated later or by others stands in the details as it is written.
_LATER = ("condition", "deployment", "existencecondition")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`effect` is NO_EFFECT or the effect that takes hold; `state` is that of the resource at rest.

    `rewritten` is the resource after modify or append. `evaluated` has the members of Azure's
    `evaluatedExpressions`.
    """

    effect: str
    state: str
    error: str | None = None
    reasons: tuple[str, ...] = ()
    evaluated: tuple[JsonObject, ...] = ()
    rewritten: JsonValue = None
    details: JsonValue = None
    deployment: Mapping[str, JsonValue] | None = None


def outcome_of(posed: Posed) -> Outcome:
    """Never raises for what the resource holds; raises InvalidInputError for details that are none."""
    target = posed.target
    settings = Settings(compiler=posed.compiler, related=posed.related)
    verdict = evaluate_policy(posed.prepared.assigned, target, settings)
    try:
        prepared = _judged(posed)
        effect = (
            NO_EFFECT if prepared is None or not _takes_hold(prepared, posed) else prepared.assigned.effect
        )
    except EvaluationError as error:
        return Outcome(effect=NO_EFFECT, state=str(verdict.state), error=error.message)
    if prepared is None:
        return Outcome(effect=NO_EFFECT, state=str(verdict.state), reasons=verdict.reasons)
    try:
        changes = effect in (Effect.MODIFY, Effect.APPEND) and not posed.rule_only
        modified = _modified(prepared, posed) if changes else None
        deployment = None
        if effect == Effect.DEPLOY_IF_NOT_EXISTS and not posed.rule_only:
            deployment = deployment_of(prepared, target, posed.compiler)
        details = None if effect == NO_EFFECT else _details(prepared, posed)
    except EvaluationError as error:
        return Outcome(effect=effect, state=str(verdict.state), error=error.message)
    if modified is not None:
        effect = _after_disputes(modified, effect)
    explained = explain(prepared, target, compiler=posed.compiler).condition
    return Outcome(
        effect=effect,
        state=str(verdict.state),
        reasons=verdict.reasons,
        evaluated=tuple(evaluated_json(each) for each in evaluated_expressions(explained)),
        rewritten=target.resource if modified is None else modified.resource,
        details=details,
        deployment=None if deployment is None else deployment.parameters,
    )


def evaluated_json(expression: EvaluatedExpression) -> JsonObject:
    """One entry of `evaluationDetails.evaluatedExpressions`, as a 403 has it."""
    operator = expression.operator.value
    body: JsonObject = {
        "result": str(expression.result),
        "expressionKind": expression.kind.value,
        "expression": expression.expression,
        "operator": operator[:1].upper() + operator[1:],
    }
    if expression.path is not None:
        body["path"] = expression.path
    if expression.value is not Absent.ABSENT:
        body["expressionValue"] = expression.value
    if expression.target is not Absent.ABSENT:
        body["targetValue"] = expression.target
    return body


def _judged(posed: Posed) -> PreparedPolicy | None:
    """The policy when it is about the resource at all; a table that asks for the rule alone skips that."""
    if posed.rule_only:
        return None if posed.prepared.assigned.effect == Effect.DISABLED else posed.prepared
    version = posed.prepared.api_version
    return consider(posed.prepared.assigned, posed.target, posed.compiler, api_version=version).prepared


def _takes_hold(prepared: PreparedPolicy, posed: Posed) -> bool:
    if not evaluate_node(prepared.rule.condition, posed.target.document):
        return False
    if prepared.assigned.effect not in LOOKS_FOR_RELATED:
        return True
    if not posed.rule_only:
        satisfied, _ = existence(prepared, posed.target, posed.related)
        return not satisfied
    condition = prepared.rule.existence
    return not any(
        condition is None or evaluate_node(condition, posed.target.document.with_related(each))
        for each in related_of(posed)
    )


def related_of(posed: Posed) -> Sequence[JsonObject]:
    """The resources that the existence condition looks at, in their order."""
    if posed.rule_only:
        return posed.given
    return find_related(posed.prepared.rule, posed.target, posed.related)


def _modified(prepared: PreparedPolicy, posed: Posed) -> Modified:
    return apply([plan(prepared, posed.target, compiler=posed.compiler)], posed.target.resource)


def _after_disputes(modified: Modified, effect: str) -> str:
    """The effect of a change that cannot be made is its conflict effect."""
    effects = {dispute.conflict_effect for dispute in modified.disputes}
    for conflict in (ConflictEffect.DENY, ConflictEffect.AUDIT):
        if conflict in effects:
            return str(conflict)
    return NO_EFFECT if effects else effect


def check_changes(posed: Posed) -> None:
    """Raises InvalidInputError for a modify policy that writes what nobody may: the service refuses it."""
    if posed.prepared.assigned.effect != Effect.MODIFY:
        return
    for change in plan(posed.prepared, posed.target, compiler=posed.compiler).changes:
        if change.trouble is Trouble.NOT_MODIFIABLE:
            raise InvalidInputError(
                f"the definition modifies '{change.field}', expected a tag or an alias that can be modified",
                hint="the alias table says which can be: defaultMetadata.attributes is Modifiable",
            )


def resolve_details(value: JsonValue, posed: Posed) -> JsonValue:
    """The value with its expressions computed; what is evaluated later or by others stays as written."""
    match value:
        case dict():
            return {
                key: member if key.lower() in _LATER else resolve_details(member, posed)
                for key, member in value.items()
            }
        case list():
            return [resolve_details(member, posed) for member in value]
        case str():
            operand = read_operand(value, at="policyRule.then.details")
            computed = posed.compiler.operand(operand, posed.prepared)
            return evaluate_computation(computed, posed.target.document)
    return value


def _details(prepared: PreparedPolicy, posed: Posed) -> JsonValue:
    rule = prepared.assigned.definition.rule
    assert rule is not None, "only definitions with a rule are prepared"
    return resolve_details(rule.details, posed)
