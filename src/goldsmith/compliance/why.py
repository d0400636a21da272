"""Why a resource is in its state: every policy on it, since when, the reason, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from goldsmith.compliance.judge import kept
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.model import PolicyKey
from goldsmith.compliance.related import StoredRelated
from goldsmith.compliance.rollup import rolled_up
from goldsmith.expressions.errors import EvaluationError
from goldsmith.kernel.errors import InvalidInputError, NotFoundError
from goldsmith.policy.applicability import is_evaluated_type
from goldsmith.policy.assignment import message_for
from goldsmith.policy.explain import Explanation, explain
from goldsmith.policy.library import AssignedPolicy
from goldsmith.policy.rule import Effect
from goldsmith.policy.target import Target
from goldsmith.policy.verdict import ComplianceState, Verdict, consider, evaluate_policies


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOnResource:
    """One policy that is about the resource. `since` is None when the state is not recorded yet.

    `message` is the assignment's own; `explanation` is None when the conditions cannot be shown.
    """

    verdict: Verdict
    since: datetime | None
    message: str | None
    explanation: Explanation | None
    next_steps: tuple[str, ...]

    @property
    def assigned(self) -> AssignedPolicy:
        return self.verdict.assigned

    @property
    def state(self) -> ComplianceState:
        return self.verdict.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """`state` stands for all of them; `others` are policies in scope that are not about the resource."""

    resource_id: str
    resource_type: str
    state: ComplianceState | None
    policies: tuple[PolicyOnResource, ...]
    others: tuple[Verdict, ...]


def why(keeper: Keeper, resource_id: str, *, assignment: str | None = None) -> Why:
    """Evaluated now, from what the store has; `assignment` is the id or name of one, None for all.

    Raises NotFoundError when there is no such resource, or no such assignment.
    """
    keeper.load()
    document = keeper.documents.find(resource_id)
    if document is None:
        raise NotFoundError(
            f"the resource {resource_id} does not exist", hint="check the id, or import the resource first"
        )
    id_, type_ = str(document["id"]), str(document["type"])
    target = keeper.judge.target(document, keeper.now)
    related = keeper.related()
    settings = keeper.judge.settings(id_, related, with_reasons=True)
    policies = [
        each
        for each in keeper.in_force.policies.values()
        if is_evaluated_type(type_) and target.is_in_scope(each.assignment)
    ]
    # All of them are judged, chosen or not: two that contradict each other are both in conflict.
    verdicts = evaluate_policies(policies, target, settings)
    if assignment is not None:
        verdicts = _chosen(verdicts, keeper, assignment)
    since = keeper.store.since(id_, type_)
    considered = {each.key for each in keeper.policies_on(type_)}
    judged = [each for each in verdicts if kept(each) is not None and each.assigned.key in considered]
    return Why(
        resource_id=id_,
        resource_type=type_,
        state=rolled_up(each.state for each in judged),
        policies=tuple(
            PolicyOnResource(
                verdict=each,
                since=_since(keeper, each, since, id_, type_),
                message=message_for(each.assigned.assignment, each.assigned.reference_id),
                explanation=_explained(keeper, each, target, related),
                next_steps=next_steps(each),
            )
            for each in sorted(judged, key=_rank)
        ),
        others=tuple(each for each in verdicts if each not in judged),
    )


def next_steps(verdict: Verdict) -> tuple[str, ...]:
    """What makes the resource compliant, or the state a judgement, in short sentences."""
    assigned = verdict.assigned
    match verdict.state:
        case ComplianceState.NON_COMPLIANT:
            return _remedies(verdict)
        case ComplianceState.CONFLICT:
            return (
                "Change one of the policies that write the same field, or exempt the resource from one.",
                "A conflictEffect of audit lets the other policy win.",
            )
        case ComplianceState.ERROR:
            return (
                f"The rule fails on this resource: correct the definition '{assigned.definition.label}'.",
                "Test it offline with 'goldsmith policy evaluate'.",
            )
        case ComplianceState.EXEMPT if verdict.exemption is not None:
            expires = verdict.exemption.expires_on
            until = "It does not expire." if expires is None else f"It expires on {expires:%Y-%m-%d}."
            return (until,)
        case ComplianceState.UNKNOWN:
            return ("Attest the state of the resource for this policy.",)
        case _:
            return ()


def _remedies(verdict: Verdict) -> tuple[str, ...]:
    assigned = verdict.assigned
    exempt = "Or exempt the resource, with a reason and an expiry."
    match assigned.effect:
        case Effect.DEPLOY_IF_NOT_EXISTS | Effect.MODIFY:
            return (
                "Create a remediation task: the policy itself can make the resource compliant.",
                exempt,
            )
        case Effect.AUDIT_IF_NOT_EXISTS:
            what = "Create the related resource that the policy looks for"
            return (f"{what}, or correct the one that is there.", exempt)
        case Effect.MANUAL:
            return ("Do what the policy asks for and attest it.", exempt)
        case _:
            return ("Change the resource so that the conditions of the rule no longer hold.", exempt)


def _chosen(verdicts: Sequence[Verdict], keeper: Keeper, assignment: str) -> tuple[Verdict, ...]:
    wanted = assignment.rstrip("/").lower()
    known = [
        each.id
        for each in keeper.objects.assignments.values()
        if wanted in (each.id.rstrip("/").lower(), each.name.lower())
    ]
    if not known:
        raise NotFoundError(
            f"there is no policy assignment '{assignment}'", hint="give the id or the name of one"
        )
    return tuple(each for each in verdicts if each.assigned.assignment.id in known)


def _since(
    keeper: Keeper, verdict: Verdict, since: dict[PolicyKey, datetime], id_: str, type_: str
) -> datetime | None:
    """None when the recorded state is another one: it is about to change."""
    key = verdict.assigned.key
    row = keeper.index.table(type_).row_of(id_)
    recorded = None if row is None else keeper.board.of_row(type_.lower(), row).get(key)
    return since.get(key) if recorded is verdict.state else None


def _explained(
    keeper: Keeper, verdict: Verdict, target: Target, related: StoredRelated
) -> Explanation | None:
    compiler = keeper.judge.compiler
    try:
        considered = consider(verdict.assigned, target, compiler)
        if considered.prepared is None:
            return None
        return explain(considered.prepared, target, compiler=compiler, related=related)
    except (EvaluationError, InvalidInputError):
        return None


def _rank(verdict: Verdict) -> tuple[int, str, str]:
    worst_first = (
        ComplianceState.NON_COMPLIANT,
        ComplianceState.CONFLICT,
        ComplianceState.ERROR,
        ComplianceState.UNKNOWN,
    )
    place = worst_first.index(verdict.state) if verdict.state in worst_first else len(worst_first)
    return (place, *verdict.assigned.key)
