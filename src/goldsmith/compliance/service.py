"""Use cases of compliance: one function each, for the command line and the providers."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goldsmith.compliance import importing, summary
from goldsmith.compliance import why as explaining
from goldsmith.compliance.importing import Imported
from goldsmith.compliance.keeper import Keeper
from goldsmith.compliance.model import DayCounts, PolicyKey, Progress, Transition
from goldsmith.compliance.remediation import RemediationPlan, plan_remediation
from goldsmith.compliance.remediations import Remediation, Remediations
from goldsmith.compliance.summary import By, Line, Reasons
from goldsmith.compliance.why import Why
from goldsmith.compliance.wire import parse_remediation
from goldsmith.kernel.cancel import Cancel
from goldsmith.policy.attestation import Attestation
from goldsmith.policy.catalog.model import ImportReport
from goldsmith.policy.exemption import PolicyExemption
from goldsmith.resources.store import ResourceStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole, divided, with the worst reasons. `problems` are policy objects without effect, and why.

    `followed_at` is the instant up to which changes and the clock are in it, `scanned_at` the last full scan.
    """

    overall: Line
    lines: tuple[Line, ...]
    reasons: Reasons | None
    problems: dict[str, str]
    followed_at: datetime | None
    scanned_at: datetime | None
    next_due: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """`transitions` are the states that the scan found to be other than recorded."""

    transitions: int
    resources: int
    policies: int
    seconds: float
    overall: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Changes in the order they happened; `more` continues behind the last one as `after`."""

    transitions: tuple[Transition, ...]
    more: int | None
    days: tuple[DayCounts, ...]


def import_resources(
    resources: ResourceStore,
    documents: Iterable[Any],
    *,
    actor: str,
    on_progress: Callable[[int], None] | None = None,
) -> Imported:
    """Put resources as `az resource list` or Resource Graph export them; states follow with the next scan.

    Documents that cannot be stored are told in the result and passed over.
    """
    return importing.import_documents(resources, documents, actor=actor, on_progress=on_progress)


def put_policy_objects(
    resources: ResourceStore,
    report: ImportReport,
    *,
    actor: str,
    exemptions: Iterable[PolicyExemption] = (),
    attestations: Iterable[Attestation] = (),
) -> Imported:
    """Put the definitions, initiatives and assignments of a collection, with exemptions and attestations."""
    documents = importing.policy_documents(report, exemptions=exemptions, attestations=attestations)
    return importing.import_documents(resources, documents, actor=actor)


def scan(
    keeper: Keeper, *, cancel: Cancel | None = None, on_progress: Callable[[Progress], None] | None = None
) -> ScanResult:
    """Judge everything anew. Raises CanceledError, ConflictError (somebody else follows), CorruptError."""
    last: list[Progress] = []

    def watch(progress: Progress) -> None:
        last[:] = [progress]
        if on_progress is not None:
            on_progress(progress)

    transitions = keeper.scan(cancel=cancel, on_progress=watch)
    return ScanResult(
        transitions=transitions,
        resources=sum(len(table) for table in keeper.index.tables.values()),
        policies=len(keeper.in_force.policies),
        seconds=last[-1].seconds if last else 0.0,
        overall=summary.overall(keeper),
    )


def status(
    keeper: Keeper,
    *,
    by: By = By.ASSIGNMENT,
    scope: str = "",
    tag: str | None = None,
    reasons: int = 5,
    catch_up: bool = True,
) -> Status:
    """How the fleet stands. With `catch_up` changes that nobody has followed yet are followed first.

    `reasons` is how many of the worst to find (0: none, which saves evaluating a sample).
    """
    if catch_up:
        keeper.catch_up()
    followed = keeper.followed
    return Status(
        overall=summary.overall(keeper, scope=scope),
        lines=tuple(summary.divided(keeper, by, scope=scope, tag=tag)),
        reasons=summary.worst_reasons(keeper, scope=scope, limit=reasons) if reasons else None,
        problems=keeper.problems,
        followed_at=followed.clock_at,
        scanned_at=followed.scanned_at,
        next_due=keeper.next_due(),
    )


def summarise(keeper: Keeper, by: By, *, scope: str = "", tag: str | None = None) -> list[Line]:
    """The states that are recorded, divided; the worst first."""
    return summary.divided(keeper, by, scope=scope, tag=tag)


def why(keeper: Keeper, resource_id: str, *, assignment: str | None = None, catch_up: bool = True) -> Why:
    """All policies on a resource with state, since when, reason, explanation and what to do next.

    Raises NotFoundError when there is no such resource or assignment.
    """
    if catch_up:
        keeper.catch_up()
    return explaining.why(keeper, resource_id, assignment=assignment)


def history(
    keeper: Keeper,
    *,
    resource_id: str | None = None,
    policy: PolicyKey | None = None,
    after: int = 0,
    limit: int = 1000,
) -> History:
    """Changes of a resource, of a policy, or of all, and the counts of each day (of the policy, or all)."""
    found = keeper.store.transitions(resource=resource_id, policy_key=policy, after=after, limit=limit)
    return History(
        transitions=tuple(transition for _, transition in found),
        more=found[-1][0] if len(found) == limit else None,
        days=tuple(keeper.store.days(policy_key=policy)) if resource_id is None else (),
    )


def remediation_plan(
    keeper: Keeper, body: Any, *, id_: str | None = None, catch_up: bool = True
) -> RemediationPlan:
    """What a remediation task (ARM JSON) would do; nothing is written.

    Raises InvalidInputError and NotFoundError.
    """
    if catch_up:
        keeper.catch_up()
    return plan_remediation(keeper, parse_remediation(body, id_=id_))


def create_remediation(remediations: Remediations, plan: RemediationPlan, *, actor: str) -> Remediation:
    """Record the task as planned; raises ConflictError when one of that name is under way."""
    created = remediations.create(plan, actor=actor)
    logger.info("planned the remediation %s of %d resources", plan.request.name, len(plan.items))
    return created
