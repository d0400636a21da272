"""Remediation tasks: what a task would do to which resources, decided before anything is done.

Specification: Azure Policy remediation task structure; Microsoft.PolicyInsights/remediations 2024-10-01.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from goldsmith.compliance.judge import kept
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.scan.bitmaps import rows_of
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.kernel.json import JsonObject
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.modify import apply, plan
from goldsmith.policy.rule import Effect
from goldsmith.policy.scope import covers, normal_location
from goldsmith.policy.verdict import ComplianceState, deployment_of, evaluate_policy

RESOURCES_DEFAULT = 500
RESOURCES_MAX = 50_000
PARALLEL_DEFAULT = 10
PARALLEL_MAX = 30


class DiscoveryMode(StrEnum):
    """Take what is known to be non-compliant, or evaluate everything that the policy is about again."""

    EXISTING_NON_COMPLIANT = "ExistingNonCompliant"
    RE_EVALUATE_COMPLIANCE = "ReEvaluateCompliance"


class ProvisioningState(StrEnum):
    ACCEPTED = "Accepted"
    RUNNING = "Running"
    CANCELLING = "Cancelling"
    CANCELED = "Canceled"
    FAILED = "Failed"
    COMPLETE = "Complete"
    SUCCEEDED = "Succeeded"

    @property
    def ended(self) -> bool:
        """Whether nothing will change the task any more."""
        return self in (
            ProvisioningState.CANCELED,
            ProvisioningState.FAILED,
            ProvisioningState.COMPLETE,
            ProvisioningState.SUCCEEDED,
        )


class DeploymentStatus(StrEnum):
    """`SKIPPED`: the plan says why nothing can be done."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    SKIPPED = "Skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemediationRequest:
    """`failure_share` (0-1) of the deployments may fail before the task stops; None: all may."""

    id: str
    name: str
    scope: str
    assignment_id: str
    reference_id: str | None = None
    discovery: DiscoveryMode = DiscoveryMode.EXISTING_NON_COMPLIANT
    locations: tuple[str, ...] = ()
    resource_ids: tuple[str, ...] = ()
    resource_count: int = RESOURCES_DEFAULT
    parallel_deployments: int = PARALLEL_DEFAULT
    failure_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRemediation:
    """What happens to one resource: `action` as JSON (`kind` deployment or modify), or why nothing does."""

    resource_id: str
    location: str | None
    action: JsonObject
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemediationPlan:
    """`items` in the order they will be done; `found` is how many resources there are, more than is done."""

    request: RemediationRequest
    policy: AssignedPolicy
    items: tuple[PlannedRemediation, ...]
    found: int

    @property
    def role_definition_ids(self) -> tuple[str, ...]:
        """The roles that the assignment's identity needs."""
        rule = self.policy.definition.rule
        details = None if rule is None else rule.details
        roles = details.get("roleDefinitionIds") if isinstance(details, dict) else None
        return tuple(str(each) for each in roles) if isinstance(roles, list) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemediationDeployment:
    """One resource of a task: its planned action and what became of it."""

    remediated_resource_id: str
    location: str | None
    status: DeploymentStatus
    action: JsonObject
    deployment_id: str | None
    error: JsonObject | None
    changed_at: datetime


def plan_remediation(keeper: Keeper, request: RemediationRequest) -> RemediationPlan:
    """What the task would do, from the states as they are. Nothing is written.

    Raises NotFoundError for an assignment that is not in force, InvalidInputError when the policy cannot
    remediate or the initiative's reference is missing.
    """
    policy = _policy(keeper, request)
    found = _wrong(keeper, policy, request)
    items: list[PlannedRemediation] = []
    number = 0
    for type_, id_ in found:
        document = keeper.documents.find(id_)
        if document is None or not _passes(document, request):
            continue
        number += 1
        if len(items) < request.resource_count:
            items.append(_planned(keeper, policy, document, type_))
    return RemediationPlan(request=request, policy=policy, items=tuple(items), found=number)


def _policy(keeper: Keeper, request: RemediationRequest) -> AssignedPolicy:
    keeper.load()
    keys = keeper.in_force.of_assignment(request.assignment_id)
    if not keys:
        raise NotFoundError(
            f"the policy assignment {request.assignment_id} is not in force",
            code="PolicyAssignmentNotFound",
            hint="assign the policy, or see 'problems' for why it has no effect",
        )
    wanted = (request.reference_id or "").lower()
    chosen = next((key for key in keys if key[1] == wanted), None)
    if chosen is None:
        raise InvalidInputError(
            f"the remediation names the reference '{request.reference_id or ''}', expected one of "
            f"{', '.join(key[1] for key in keys) or 'none'}",
            code="InvalidRemediation",
            hint="give the policyDefinitionReferenceId of one definition of the initiative",
        )
    policy = keeper.in_force.policies[chosen]
    variants = (policy, *policy.elsewhere.values())
    if not any(each.effect in (Effect.DEPLOY_IF_NOT_EXISTS, Effect.MODIFY) for each in variants):
        raise InvalidInputError(
            f"the policy has the effect '{policy.effect}', expected deployIfNotExists or modify",
            code="InvalidRemediation",
            hint="change the resources themselves, or assign a policy that can",
        )
    return policy


def _wrong(keeper: Keeper, policy: AssignedPolicy, request: RemediationRequest) -> Iterator[tuple[str, str]]:
    """(type, id) of the non-compliant resources in the task's scope, ids in order within a type."""
    related = keeper.related()
    for type_ in sorted(keeper.board.units):
        unit = keeper.board.units[type_].get(policy.key)
        if unit is None:
            continue
        table = keeper.index.table(type_)
        evaluates = request.discovery is DiscoveryMode.RE_EVALUATE_COMPLIANCE
        bits = unit.any(table.bitmap_bytes) if evaluates else unit.bits.get(ComplianceState.NON_COMPLIANT)
        if bits is None:
            continue
        rows = bits & keeper.judge.under(type_, request.scope)[: len(bits)]
        for id_ in sorted(table.ids[row] or "" for row in rows_of(rows).tolist()):
            if evaluates:
                document = keeper.documents.find(id_)
                if document is None:
                    continue
                settings = keeper.judge.settings(id_, related)
                verdict = evaluate_policy(policy, keeper.judge.target(document, keeper.now), settings)
                if kept(verdict) is not ComplianceState.NON_COMPLIANT:
                    continue
            yield type_, id_


def _passes(document: JsonObject, request: RemediationRequest) -> bool:
    location = document.get("location")
    if request.locations:
        wanted = {normal_location(each) for each in request.locations}
        if not isinstance(location, str) or normal_location(location) not in wanted:
            return False
    id_ = str(document["id"])
    return not request.resource_ids or any(covers(each, id_) for each in request.resource_ids)


def _planned(keeper: Keeper, policy: AssignedPolicy, document: JsonObject, type_: str) -> PlannedRemediation:
    location = document.get("location")
    where = location if isinstance(location, str) else None
    id_ = str(document["id"])
    try:
        action, problem = _action(keeper, policy, document, type_), None
    except (EvaluationError, InvalidInputError) as error:
        action, problem = {}, error.message
    if not action and problem is None:
        problem = "the policy has nothing that it could do"
    return PlannedRemediation(resource_id=id_, location=where, action=action, problem=problem)


def _action(keeper: Keeper, policy: AssignedPolicy, document: JsonObject, type_: str) -> JsonObject:
    compiler = keeper.judge.compiler
    target = keeper.judge.target(document, keeper.now)
    prepared = compiler.prepare(policy.at_location(target.location), type_)
    if prepared.assigned.effect == Effect.DEPLOY_IF_NOT_EXISTS:
        deployment = deployment_of(prepared, target, compiler)
        if deployment is None:
            return {}
        return {
            "kind": "deployment",
            "scope": str(deployment.scope),
            "subscription": deployment.subscription,
            "resourceGroup": deployment.resource_group,
            "location": deployment.location,
            "mode": deployment.mode,
            "template": deployment.template,
            "parameters": {name: {"value": value} for name, value in deployment.parameters.items()},
        }
    if prepared.assigned.effect != Effect.MODIFY:
        return {}
    modified = apply([plan(prepared, target, compiler=compiler)], document)
    if modified.disputes:
        trouble = modified.disputes[0]
        raise InvalidInputError(f"cannot change {', '.join(trouble.fields)}: {trouble.trouble}")
    return {
        "kind": "modify",
        "operations": [
            {"operation": str(change.kind), "field": change.field, "value": change.value}
            for _, change in modified.made
        ],
        "resource": modified.resource,
    }
