"""The compliance of one resource under one assigned policy.

Specification: Azure Policy compliance states, and the effect pages.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject, JsonValue
from goldsmith.policy.applicability import (
    is_evaluated_type,
    may_set_identity,
    sets_identity,
)
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.coverage import attestation_for, exemption_for
from goldsmith.policy.details import DefaultState, DeploymentScope, read_default_state, read_existence
from goldsmith.policy.evaluate import evaluate_computation, evaluate_node
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.explain import Explained, explain, explain_existence, reasons
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.modify import PlannedChanges, conflicting, plan
from goldsmith.policy.prepared import Compiler, PreparedPolicy
from goldsmith.policy.reasons import NO_RELATED, ReasonCode
from goldsmith.policy.related import RelatedResources, ResourceList, find_related
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import SUBSCRIPTION_TYPE
from goldsmith.policy.selectors import selected
from goldsmith.policy.target import Target


class ComplianceState(StrEnum):
    """As policy states spell them; the last two are ours for what has no state in the service.

    NOT_APPLICABLE: the policy is not about the resource. NOT_EVALUATED: nobody judged, so never compliant.
    """

    COMPLIANT = "Compliant"
    NON_COMPLIANT = "NonCompliant"
    ERROR = "Error"
    CONFLICT = "Conflict"
    PROTECTED = "Protected"
    EXEMPT = "Exempt"
    UNKNOWN = "Unknown"
    NOT_APPLICABLE = "NotApplicable"
    NOT_EVALUATED = "NotEvaluated"


@dataclass(frozen=True, slots=True, kw_only=True)
class IfNotExistsDetails:
    """`resource_id` is the related resource looked at last; None when there is none."""

    resource_id: str | None
    total_resources: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The template deployment that would make the resource compliant; parameters are computed."""

    scope: DeploymentScope
    subscription: str | None
    resource_group: str | None
    location: str | None
    mode: str
    template: JsonObject
    parameters: Mapping[str, JsonValue]
    role_definition_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """`reasons` are the service's sentences (or one saying why there is no judgement)."""

    assigned: AssignedPolicy
    state: ComplianceState
    code: ReasonCode = ReasonCode.NONE
    reasons: tuple[str, ...] = ()
    if_not_exists: IfNotExistsDetails | None = None
    deployment: Deployment | None = None
    exemption: PolicyExemption | None = None
    attestation: Attestation | None = None

    @property
    def effect(self) -> str:
        return self.assigned.effect

    @property
    def reason(self) -> str | None:
        """All reasons in one line."""
        return " ".join(self.reasons) or None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """What verdicts are given with, for any number of resources."""

    compiler: Compiler
    related: RelatedResources = field(default_factory=ResourceList)
    exemptions: Sequence[PolicyExemption] = ()
    attestations: Sequence[Attestation] = ()
    with_reasons: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Consideration:
    """Whether a policy is about a target at all; `prepared` when it is, else `code` and `why`."""

    prepared: PreparedPolicy | None
    code: ReasonCode = ReasonCode.NONE
    why: str | None = None


def evaluate_policies(
    policies: Iterable[AssignedPolicy], target: Target, settings: Settings
) -> tuple[Verdict, ...]:
    """The verdict of each policy, with those in Conflict that contradict one another's changes."""
    verdicts = [evaluate_policy(each, target, settings) for each in policies]
    plans: list[PlannedChanges] = []
    for verdict in verdicts:
        changes = verdict.effect in (Effect.MODIFY, Effect.APPEND)
        if changes and verdict.state is ComplianceState.NON_COMPLIANT:
            prepared = settings.compiler.prepare(verdict.assigned, target.type)
            try:
                plans.append(plan(prepared, target, compiler=settings.compiler))
            except (EvaluationError, InvalidInputError):
                # What it would write cannot be computed; that it is non-compliant stands all the same.
                continue
    keys = conflicting(plans)
    return tuple(
        replace(
            verdict,
            state=ComplianceState.CONFLICT,
            code=ReasonCode.CONFLICT,
            reasons=("Two or more assigned policies change the same field in different ways.",),
        )
        if verdict.assigned.key in keys
        else verdict
        for verdict in verdicts
    )


def evaluate_policy(assigned: AssignedPolicy, target: Target, settings: Settings) -> Verdict:
    """The verdict on a resource at rest. Never raises for what resources or policies hold."""
    assigned = assigned.at_location(target.location)
    try:
        considered = consider(assigned, target, settings.compiler)
        if considered.prepared is None:
            state = _UNJUDGED.get(considered.code, ComplianceState.NOT_APPLICABLE)
            return _verdict(assigned, state, considered.code, considered.why)
        return _judge(considered.prepared, target, settings)
    except (EvaluationError, InvalidInputError) as error:
        return _verdict(assigned, ComplianceState.ERROR, ReasonCode.EVALUATION_ERROR, error.message)


def consider(
    assigned: AssignedPolicy, target: Target, compiler: Compiler, *, api_version: str | None = None
) -> Consideration:
    """Whether the policy is about the target: scope, selectors, mode, effect and applicability.

    Raises EvaluationError when applicability is decided by conditions that fail, and InvalidInputError when
    the rule cannot be compiled with its values.
    """
    definition = assigned.definition
    if not definition.evaluated:
        return _not(ReasonCode.MODE, f"Mode '{definition.mode}' is not evaluated.")
    if not target.is_in_scope(assigned.assignment):
        return _OUT_OF_SCOPE
    selectors = assigned.assignment.resource_selectors
    if selectors and not selected(selectors, target.subject(assigned.reference_id)):
        return _not(ReasonCode.NOT_SELECTED, "The resource selectors of the assignment leave it out.")
    if assigned.effect == Effect.DISABLED:
        return _DISABLED
    if not target.indexed and definition.indexed:
        return _not(ReasonCode.RESOURCE_TYPE, f"Mode '{definition.mode}' does not look at this type.")
    prepared = compiler.prepare(assigned, target.type, api_version)
    barred = prepared.once("barred", lambda: _barred(prepared))
    if barred is not None:
        return barred
    applies = prepared.applies
    if not (applies if isinstance(applies, bool) else evaluate_node(applies, target.document)):
        return _OTHERS
    return prepared.once("considered", lambda: Consideration(prepared=prepared))


def existence(
    prepared: PreparedPolicy, target: Target, related: RelatedResources
) -> tuple[bool, list[JsonObject]]:
    """Whether a related resource satisfies the policy, and those looked at, the deciding one last."""
    found = find_related(prepared.rule, target, related)
    condition = prepared.rule.existence
    if condition is None:
        return bool(found), found
    for index, each in enumerate(found):
        if evaluate_node(condition, target.document.with_related(each)):
            return True, [*found[:index], *found[index + 1 :], each]
    return False, found


def deployment_of(prepared: PreparedPolicy, target: Target, compiler: Compiler) -> Deployment | None:
    """The deployment of a deployIfNotExists policy, its parameters computed; raises EvaluationError."""
    rule = prepared.assigned.definition.rule
    assert rule is not None, "only definitions with a rule of ours are prepared"
    details = read_existence(rule.details, prepared.assigned.parameters, deploys=True).deployment
    if details is None:
        return None
    group = target.place.group
    named = prepared.rule.lookup.get("resourceGroupName")
    if named is not None:
        text = evaluate_computation(named, target.document)
        group = text if isinstance(text, str) and text else group
    at_subscription = details.scope is DeploymentScope.SUBSCRIPTION
    return Deployment(
        scope=details.scope,
        subscription=target.place.subscription,
        resource_group=None if at_subscription else group,
        location=details.location,
        mode=details.mode,
        template=details.template,
        parameters={
            name: evaluate_computation(compiler.operand(operand, prepared), target.document)
            for name, operand in details.parameters.items()
        },
        role_definition_ids=details.role_definition_ids,
    )


_OUT_OF_SCOPE = Consideration(
    prepared=None,
    code=ReasonCode.OUT_OF_SCOPE,
    why="The resource is outside the scope of the assignment.",
)
_DISABLED = Consideration(prepared=None, code=ReasonCode.DISABLED, why="The effect is disabled.")
_OTHERS = Consideration(
    prepared=None, code=ReasonCode.CONDITION_NOT_MET, why="The rule is about other resources."
)
_UNJUDGED = {
    ReasonCode.MODE: ComplianceState.NOT_EVALUATED,
    ReasonCode.DISABLED: ComplianceState.NOT_EVALUATED,
}


def _barred(prepared: PreparedPolicy) -> Consideration | None:
    """Why a policy can be about no resource of its type; None when it can."""
    assigned, type_ = prepared.assigned, prepared.resource_type
    rule = assigned.definition.rule
    if not is_evaluated_type(type_):
        return _not(ReasonCode.RESOURCE_TYPE, "Resources of Microsoft.Resources are not evaluated.")
    if prepared.rule.unknown:
        names = ", ".join(sorted(prepared.rule.unknown))
        return _not(ReasonCode.UNKNOWN_ALIAS, f"The rule uses aliases that nobody knows: {names}.")
    if (
        assigned.effect == Effect.MODIFY
        and not may_set_identity(type_)
        and rule is not None
        and sets_identity(rule.details)
    ):
        return _not(
            ReasonCode.RESOURCE_TYPE, "identity.type can be modified on machines and scale sets only."
        )
    if prepared.mentions_location and type_.lower() == SUBSCRIPTION_TYPE.lower():
        return _not(ReasonCode.RESOURCE_TYPE, "A rule on locations is not about subscriptions.")
    return None


def _judge(prepared: PreparedPolicy, target: Target, settings: Settings) -> Verdict:
    assigned = prepared.assigned
    subject = target.subject(assigned.reference_id)
    exemption = exemption_for(
        settings.exemptions,
        assigned.assignment.id,
        subject,
        now=target.now,
        management_groups=target.management_groups,
    )
    if exemption is not None:
        why = f"Exempt as {exemption.category} by {exemption.id}."
        return replace(
            _verdict(assigned, ComplianceState.EXEMPT, ReasonCode.EXEMPTION, why), exemption=exemption
        )
    if prepared.reads_identity:
        return _verdict(
            assigned,
            ComplianceState.NOT_EVALUATED,
            ReasonCode.IDENTITY,
            "The rule judges who asks for a change.",
        )
    if assigned.effect == Effect.AUDIT_ACTION:
        return _verdict(
            assigned, ComplianceState.NOT_EVALUATED, ReasonCode.ACTION, "The policy judges actions."
        )
    if not evaluate_node(prepared.rule.condition, target.document):
        if assigned.effect == Effect.MANUAL:
            why = "The rule is about other resources."
            return _verdict(assigned, ComplianceState.NOT_APPLICABLE, ReasonCode.CONDITION_NOT_MET, why)
        return Verdict(assigned=assigned, state=ComplianceState.COMPLIANT)
    match assigned.effect:
        case Effect.DENY_ACTION:
            return Verdict(assigned=assigned, state=ComplianceState.PROTECTED)
        case Effect.MANUAL:
            return _attested(prepared, target, settings)
        case Effect.AUDIT_IF_NOT_EXISTS | Effect.DEPLOY_IF_NOT_EXISTS:
            return _judge_existence(prepared, target, settings)
        case _:
            sentences: tuple[str, ...] = ()
            if settings.with_reasons:
                explained = explain(prepared, target, compiler=settings.compiler).condition
                sentences = reasons(explained, wanted=False)
            return Verdict(
                assigned=assigned,
                state=ComplianceState.NON_COMPLIANT,
                code=ReasonCode.CONDITION,
                reasons=sentences,
            )


def _attested(prepared: PreparedPolicy, target: Target, settings: Settings) -> Verdict:
    assigned = prepared.assigned
    attestation = attestation_for(
        settings.attestations, assigned.assignment.id, target.subject(assigned.reference_id), now=target.now
    )
    if attestation is not None and attestation.state is not None:
        return replace(
            _verdict(
                assigned,
                ComplianceState(str(attestation.state)),
                ReasonCode.ATTESTATION,
                f"Attested by {attestation.owner or 'its owner'}.",
            ),
            attestation=attestation,
        )
    rule = assigned.definition.rule
    default = DefaultState.UNKNOWN if rule is None else read_default_state(rule.details, assigned.parameters)
    return _verdict(
        assigned,
        ComplianceState(str(default)),
        ReasonCode.DEFAULT_STATE,
        "Nobody has attested the state of the resource.",
    )


def _judge_existence(prepared: PreparedPolicy, target: Target, settings: Settings) -> Verdict:
    satisfied, looked_at = existence(prepared, target, settings.related)
    details = IfNotExistsDetails(
        resource_id=str(looked_at[-1].get("id", "")) if looked_at else None, total_resources=len(looked_at)
    )
    if satisfied:
        return Verdict(assigned=prepared.assigned, state=ComplianceState.COMPLIANT, if_not_exists=details)
    deployment = None
    sentences: tuple[str, ...] = (NO_RELATED,)
    if prepared.assigned.effect == Effect.DEPLOY_IF_NOT_EXISTS:
        try:
            deployment = deployment_of(prepared, target, settings.compiler)
        except EvaluationError as error:
            # The resource does not comply all the same; what cannot be computed is the cure.
            sentences += (f"The deployment cannot be computed: {error.message}.",)
    if looked_at and settings.with_reasons:
        explained = _last_explained(prepared, target, looked_at[-1], settings)
        if explained is not None:
            sentences += reasons(explained, wanted=True)
    return Verdict(
        assigned=prepared.assigned,
        state=ComplianceState.NON_COMPLIANT,
        code=ReasonCode.RELATED_NOT_MATCHING if looked_at else ReasonCode.NO_RELATED_RESOURCES,
        reasons=sentences,
        if_not_exists=details,
        deployment=deployment,
    )


def _last_explained(
    prepared: PreparedPolicy, target: Target, related: JsonObject, settings: Settings
) -> Explained | None:
    type_ = evaluate_computation(prepared.rule.lookup["type"], target.document)
    return explain_existence(prepared, target, related, related_type=str(type_), compiler=settings.compiler)


def _not(code: ReasonCode, why: str) -> Consideration:
    return Consideration(prepared=None, code=code, why=why)


def _verdict(assigned: AssignedPolicy, state: ComplianceState, code: ReasonCode, why: str | None) -> Verdict:
    return Verdict(assigned=assigned, state=state, code=code, reasons=() if why is None else (why,))
