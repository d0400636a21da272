"""Decide a request before it is stored: what policies change in it, and which of them forbid it.

Specification: Azure Policy effect basics, "order of evaluation", and the pages of the effects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.assignment import EnforcementMode, message_for
from goldsmith.policy.coverage import enrolled, exemption_for
from goldsmith.policy.details import (
    ActionDetails,
    CascadeBehavior,
    ConflictEffect,
    EvaluationDelay,
    parse_delay,
    read_actions,
    read_existence,
)
from goldsmith.policy.effects import AFTER_SUCCESS, ON_ACTIONS
from goldsmith.policy.enrollment import PolicyEnrollment
from goldsmith.policy.evaluate import evaluate_node
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.policy.explain import EvaluatedExpression, evaluated_expressions, explain, reasons
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.modify import Change, Dispute, PlannedChanges, apply, plan
from goldsmith.policy.prepared import Compiler, PreparedPolicy
from goldsmith.policy.rule import Effect
from goldsmith.policy.shortlist import Shortlists
from goldsmith.policy.target import Target, retargeted
from goldsmith.policy.verdict import consider

# Deleting these must stay possible, or nobody could get out again.
_NEVER_PROTECTED = frozenset(
    {
        "microsoft.authorization/policyassignments",
        "microsoft.authorization/denyassignments",
        "microsoft.blueprint/blueprintassignments",
        "microsoft.resources/deploymentstacks",
        "microsoft.resources/subscriptions",
        "microsoft.authorization/locks",
    }
)


class RequestKind(StrEnum):
    """TAGS is a PATCH that changes nothing but tags: only policies that look at tags are asked."""

    WRITE = "write"
    TAGS = "tags"
    DELETE = "delete"


class DeletedWith(StrEnum):
    """What else is deleted, so that the resource goes too."""

    NOTHING = "nothing"
    PARENT = "parent"
    RESOURCE_GROUP = "resourceGroup"
    SUBSCRIPTION = "subscription"


class DenialKind(StrEnum):
    CONDITION = "condition"
    CHANGE = "change"
    ERROR = "error"
    ACTION = "action"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdmissionRequest:
    """`target` is the resource as the request would store it (for a deletion, as it is stored).

    Its request context has `apiVersion` and `identity`. `api_version` None means the newest one.
    """

    target: Target
    kind: RequestKind = RequestKind.WRITE
    api_version: str | None = None
    deleted_with: DeletedWith = DeletedWith.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rules:
    """What decisions are made with, for any number of requests.

    Give `shortlists` (made of the same compiler) and policies as one tuple for each scope, and what cannot
    matter to a type is found out once instead of for every request.
    """

    compiler: Compiler
    exemptions: Sequence[PolicyExemption] = ()
    enrollments: Sequence[PolicyEnrollment] = ()
    shortlists: Shortlists | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Denial:
    """One policy that forbids the request. `message` is the assignment's own, if it has one."""

    assigned: AssignedPolicy
    kind: DenialKind
    reasons: tuple[str, ...]
    expressions: tuple[EvaluatedExpression, ...] = ()
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """An entry for the activity log: `Microsoft.Authorization/policies/audit/action`."""

    assigned: AssignedPolicy
    reasons: tuple[str, ...]
    expressions: tuple[EvaluatedExpression, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DueEvaluation:
    """An auditIfNotExists or deployIfNotExists policy to evaluate after the provider's success."""

    assigned: AssignedPolicy

    @property
    def delay(self) -> EvaluationDelay:
        """When to; details that cannot be read mean the default, and the evaluation then says so."""
        rule = self.assigned.definition.rule
        assert rule is not None, "only definitions with a rule of ours are decided"
        try:
            return read_existence(rule.details, self.assigned.parameters, deploys=False).evaluation_delay
        except InvalidInputError:
            return parse_delay(None, at="")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """`resource` is what to store when `allowed`; `changes` say which policy wrote what into it.

    `denials` are all policies that forbid the request, not the first alone.
    """

    allowed: bool
    resource: JsonObject
    changes: tuple[tuple[AssignedPolicy, Change], ...] = ()
    denials: tuple[Denial, ...] = ()
    audits: tuple[Audit, ...] = ()
    due: tuple[DueEvaluation, ...] = ()


@dataclass(slots=True, eq=False)
class _Case:
    """One request while it is decided."""

    request: AdmissionRequest
    rules: Rules
    denials: list[Denial] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    audited: list[tuple[PreparedPolicy, Target]] = field(default_factory=list)
    due: list[DueEvaluation] = field(default_factory=list)


def decide(request: AdmissionRequest, assigned: Sequence[AssignedPolicy], rules: Rules) -> Decision:
    """Append and modify first, then the others on what came out; every policy that denies is named.

    A rule that fails to evaluate denies. Assignments that are not enforced (DoNotEnforce, Enroll without
    an enrollment), exempt resources and excluded scopes play no part. The order of `assigned` means nothing
    but the order in the lists. Never raises for what requests or policies hold.
    """
    case = _Case(request=request, rules=rules)
    target = request.target
    shortlists = rules.shortlists or Shortlists(rules.compiler)
    listed = shortlists.of(assigned, target, api_version=request.api_version)
    in_force = [each for each in listed if _enforced(each, target, rules)]
    if request.kind is RequestKind.DELETE:
        _decide_deletion(case, in_force)
        return _decision(case, target.resource, ())
    changing = [each for each in in_force if each.effect in (Effect.APPEND, Effect.MODIFY)]
    plans = [found for each in changing if (found := _plan(case, each)) is not None]
    try:
        modified = apply(plans, target.resource)
    except EvaluationError as error:
        case.denials += [_failed(each.prepared.assigned, error) for each in plans]
        return _decision(case, target.resource, ())
    for dispute in modified.disputes:
        _settle(case, dispute)
    after = target if not modified.made else retargeted(target, modified.resource)
    for each in in_force:
        if each.effect not in (Effect.APPEND, Effect.MODIFY, *ON_ACTIONS):
            _decide_write(case, each, after)
    changes = tuple((prepared.assigned, change) for prepared, change in modified.made)
    return _decision(case, modified.resource, changes)


def _decision(
    case: _Case, resource: JsonObject, changes: tuple[tuple[AssignedPolicy, Change], ...]
) -> Decision:
    allowed = not case.denials
    return Decision(
        allowed=allowed,
        resource=resource,
        changes=changes,
        denials=tuple(case.denials),
        # What is denied is not written, and so there is nothing to audit or to look at later.
        audits=(*case.audits, *_audits(case)) if allowed else (),
        due=tuple(case.due) if allowed else (),
    )


def _audits(case: _Case) -> Iterator[Audit]:
    for prepared, target in case.audited:
        explained = explain(prepared, target, compiler=case.rules.compiler).condition
        yield Audit(
            assigned=prepared.assigned,
            reasons=reasons(explained, wanted=False),
            expressions=tuple(evaluated_expressions(explained)),
        )


def _enforced(assigned: AssignedPolicy, target: Target, rules: Rules) -> bool:
    assignment = assigned.assignment
    mode = assignment.enforcement_mode
    if mode is EnforcementMode.DO_NOT_ENFORCE:
        return False
    if mode is EnforcementMode.DEFAULT and not rules.exemptions:
        return True
    subject, above = target.subject(assigned.reference_id), target.management_groups
    if mode is EnforcementMode.ENROLL and not enrolled(
        rules.enrollments, assignment.id, subject, management_groups=above
    ):
        return False
    exemption = exemption_for(
        rules.exemptions, assignment.id, subject, now=target.now, management_groups=above
    )
    return exemption is None


def _matching(case: _Case, assigned: AssignedPolicy, target: Target) -> PreparedPolicy | None:
    """The policy prepared if it is about the target and its `if` holds; raises EvaluationError."""
    request, compiler = case.request, case.rules.compiler
    considered = consider(assigned, target, compiler, api_version=request.api_version)
    prepared = considered.prepared
    if prepared is None or (request.kind is RequestKind.TAGS and not prepared.reads_tags):
        return None
    return prepared if evaluate_node(prepared.rule.condition, target.document) else None


def _plan(case: _Case, assigned: AssignedPolicy) -> PlannedChanges | None:
    target = case.request.target
    try:
        prepared = _matching(case, assigned, target)
        return None if prepared is None else plan(prepared, target, compiler=case.rules.compiler)
    except (EvaluationError, InvalidInputError) as error:
        case.denials.append(_failed(assigned, error))
        return None


def _settle(case: _Case, dispute: Dispute) -> None:
    """A change that could not be made: forbids, is noted, or is passed over, as the policy wants."""
    why = f"The policy could not change '{', '.join(dispute.fields)}': {dispute.trouble}."
    assigned = dispute.prepared.assigned
    match dispute.conflict_effect:
        case ConflictEffect.DENY:
            expressions = _expressions(case, dispute.prepared, case.request.target)
            case.denials.append(_denial(assigned, DenialKind.CHANGE, reasons=(why,), expressions=expressions))
        case ConflictEffect.AUDIT:
            case.audits.append(Audit(assigned=assigned, reasons=(why,)))
        case ConflictEffect.DISABLED:
            pass


def _decide_write(case: _Case, assigned: AssignedPolicy, target: Target) -> None:
    """Deny, audit, and what follows success; a manual policy has no part in requests."""
    after_success = assigned.effect in AFTER_SUCCESS
    if not after_success and assigned.effect not in (Effect.DENY, Effect.AUDIT):
        return
    try:
        prepared = _matching(case, assigned, target)
        if prepared is None:
            return
        if after_success:
            case.due.append(DueEvaluation(assigned=assigned))
            return
    except (EvaluationError, InvalidInputError) as error:
        # These run after the provider's success: their failure then is a compliance state, not a denial.
        if not after_success:
            case.denials.append(_failed(assigned, error))
        return
    if assigned.effect == Effect.AUDIT:
        case.audited.append((prepared, target))
        return
    explained = explain(prepared, target, compiler=case.rules.compiler).condition
    case.denials.append(
        _denial(
            assigned,
            DenialKind.CONDITION,
            reasons=reasons(explained, wanted=False),
            expressions=tuple(evaluated_expressions(explained)),
        )
    )


def _decide_deletion(case: _Case, assigned: Sequence[AssignedPolicy]) -> None:
    target = case.request.target
    if case.request.deleted_with in (DeletedWith.PARENT, DeletedWith.SUBSCRIPTION):
        return
    for each in assigned:
        if each.effect not in ON_ACTIONS:
            continue
        if each.effect == Effect.DENY_ACTION and target.type.lower() in _NEVER_PROTECTED:
            continue
        try:
            prepared = _matching(case, each, target)
            if prepared is None or not _covers_deletion(case, each):
                continue
        except (EvaluationError, InvalidInputError) as error:
            case.denials.append(_failed(each, error))
            continue
        expressions = _expressions(case, prepared, target)
        why = "The policy protects the resource from deletion."
        if each.effect == Effect.DENY_ACTION:
            case.denials.append(_denial(each, DenialKind.ACTION, reasons=(why,), expressions=expressions))
        else:
            case.audits.append(Audit(assigned=each, reasons=(why,), expressions=expressions))


def _covers_deletion(case: _Case, assigned: AssignedPolicy) -> bool:
    """Whether this way of deleting is what the policy is against.

    The deletion of a resource group is stopped only by policies of mode Indexed whose cascade says so.
    """
    rule = assigned.definition.rule
    assert rule is not None, "only definitions with a rule of ours are prepared"
    details: ActionDetails = read_actions(rule.details, assigned.parameters)
    if "delete" not in details.action_names:
        return False
    if case.request.deleted_with is not DeletedWith.RESOURCE_GROUP:
        return True
    return assigned.definition.indexed and details.on_group_deletion is CascadeBehavior.DENY


def _expressions(case: _Case, prepared: PreparedPolicy, target: Target) -> tuple[EvaluatedExpression, ...]:
    return tuple(evaluated_expressions(explain(prepared, target, compiler=case.rules.compiler).condition))


def _failed(assigned: AssignedPolicy, error: EvaluationError | InvalidInputError) -> Denial:
    why = f"The policy could not be evaluated, which denies the request: {error.message}."
    return _denial(assigned, DenialKind.ERROR, reasons=(why,))


def _denial(
    assigned: AssignedPolicy,
    kind: DenialKind,
    *,
    reasons: tuple[str, ...],
    expressions: tuple[EvaluatedExpression, ...] = (),
) -> Denial:
    return Denial(
        assigned=assigned,
        kind=kind,
        reasons=reasons,
        expressions=expressions,
        message=message_for(assigned.assignment, assigned.reference_id),
    )
